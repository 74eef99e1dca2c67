"""Arguments that samplers share: keys, dtypes, shapes."""

from typing import Any

import numpy as np

from volta.core.context import RUNNING, default_dtype_of
from volta.core.errors import DTypeError, ShapeError
from volta.core.trace import located, ops
from volta.core.tracer import made
from volta.core.types import DType, as_dtype, broadcast_shapes, typeof
from volta.functional.axes import normalize_shape
from volta.functional.manipulation import to_device

__all__ = [
    "Shape",
    "check_broadcast",
    "checked_floating",
    "checked_key",
    "checked_parameter",
    "checked_shape",
    "constant",
    "placed",
]

Shape = int | tuple[int, ...]


def checked_key(key: Any, xp: Any, device: Any, operation: str) -> Any:
    """Return the key where it should be, or raise for what is no key."""
    shape, dtype = typeof(key) if hasattr(key, "dtype") else (None, type(key).__name__)
    if str(dtype) != "uint32":
        msg = (
            f"{operation}: key must be a uint32 array of shape (2,); got {dtype}. "
            "Make one with random.key(seed)."
        )
        raise located(DTypeError(msg))
    if shape != (2,):
        msg = (
            f"{operation}: key must be a uint32 array of shape (2,); got shape {shape}. "
            "Use vmap for several keys."
        )
        raise located(ShapeError(msg))
    return key if xp is None and device is None else to_device(key, device, xp=xp)


def constant(array: Any) -> Any:
    """Return a draw as creation functions do: as a constant while a transform runs."""
    return made(array) if RUNNING.get() else array


def checked_floating(dtype: Any, operation: str) -> DType:
    """Return the real floating dtype asked for, or the default one."""
    chosen = default_dtype_of("float") if dtype is None else as_dtype(dtype)
    if chosen.kind != "float":
        msg = f"{operation}: dtype must be real floating; got {chosen.name}."
        raise located(DTypeError(msg))
    return chosen


def check_broadcast(
    operation: str, name: str, found: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    """Raise unless an argument of shape `found` broadcasts to `shape`."""
    if broadcast_shapes(operation, found, shape) != shape:
        msg = f"{operation}: {name} must broadcast to the shape; got {found} and {shape}."
        raise located(ShapeError(msg))


def checked_parameter(operation: str, name: str, value: Any, dtype: DType) -> tuple[Any, Any]:
    """Shape of a parameter, and it as a float or an array of the dtype."""
    if isinstance(value, int | float | np.integer | np.floating):
        return (), float(value)
    if not hasattr(value, "dtype") or typeof(value).dtype.kind in ("bool", "complex"):
        msg = f"{operation}: {name} must be a real number or array; got {value!r}."
        raise located(DTypeError(msg))
    return tuple(typeof(value).shape), ops.astype(value, dtype, copy=False)


def checked_shape(operation: str, shape: Any, **found: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape asked for, or that of all parameters, each of which must broadcast to it."""
    size = (
        broadcast_shapes(operation, *found.values())
        if shape is None
        else normalize_shape(operation, shape)
    )
    for name, one in found.items():
        check_broadcast(operation, name, one, size)
    return size


def placed(
    operation: str, key: Any, shape: Any, dtype: Any, xp: Any, device: Any, **parameters: Any
) -> tuple[Any, tuple[int, ...], DType, *tuple[Any, ...]]:
    """Check what samplers of real numbers take: key, shape, dtype, then the parameters."""
    chosen = checked_floating(dtype, operation)
    key = checked_key(key, xp, device, operation)
    checked = {n: checked_parameter(operation, n, p, chosen) for n, p in parameters.items()}
    size = checked_shape(operation, shape, **{n: found for n, (found, _) in checked.items()})
    return key, size, chosen, *(value for _, value in checked.values())
