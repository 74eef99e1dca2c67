"""Devices as an Array API namespace sees them, and making arrays on them."""

import math
from typing import Any, Final

import numpy as np

from volta.core.context import default_dtype_of
from volta.core.errors import DeviceError, DTypeError, ShapeError
from volta.core.trace import located, ops
from volta.core.types import DTYPES, ArrayType, DType, as_dtype
from volta.functional.dtypes import KINDS
from volta.wgpu.array import Array
from volta.wgpu.device import Device, devices
from volta.wgpu.kernels.positions import positions
from volta.wgpu.pending import Pending, pending_of

__all__ = [
    "Info",
    "arange",
    "asarray",
    "default_device",
    "default_of",
    "empty",
    "eye",
    "from_dlpack",
    "full",
    "linspace",
    "nonzero",
    "ones",
    "zeros",
]


# Devices and dtypes -------------------------------------------------------------------------------


def default_device() -> Device:
    """The first of `devices`.

    Raises
    ------
    DeviceError
        If there is none.
    """
    found = devices()
    if not found:
        msg = "wgpu: there must be a device; got none. Install a driver of Vulkan, Metal or D3D12"
        raise located(DeviceError(msg))
    return found[0]


def _device(device: Any) -> Device:
    if device is None:
        return default_device()
    if type(device) is not Device:
        msg = f"device: must be a volta.wgpu.Device; got {device!r}."
        raise located(DeviceError(msg))
    return device


_DEFAULTS: Final = {"bool": "bool", "int": "int64", "float": "float32"}


def default_of(kind: str, pending: Pending) -> DType:
    """Dtype of Python numbers of a kind; integers have 32 bits where a device has no more."""
    if kind not in _DEFAULTS:
        msg = f"dtype: volta.wgpu must have the dtype; got {kind} numbers."
        raise located(DTypeError(msg))
    name = _DEFAULTS[kind]
    return DTYPES[name if name in pending.target.kinds else "int32"]


class Info:
    """Answers of ``volta.wgpu.__array_namespace_info__()``."""

    def capabilities(self) -> dict[str, Any]:
        """Return what the namespace supports."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": None}

    def default_device(self) -> Device:
        """Return the device that creation functions use."""
        return default_device()

    def devices(self) -> tuple[Device, ...]:
        """Return the devices there are."""
        return devices()

    def default_dtypes(self, *, device: Any = None) -> dict[str, DType]:
        """Return the dtypes that creation functions give without `dtype`."""
        integer = default_of("int", pending_of(_device(device)))
        return {"real floating": DTYPES["float32"], "integral": integer, "indexing": integer}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, DType]:
        """Return the dtypes of a device by name."""
        found = pending_of(_device(device)).target.kinds - {"float16", "bfloat16"}
        names = kind if isinstance(kind, tuple) else (kind,)
        kinds = {k for name in names for k in (KINDS[name] if name else _ANY)}
        return {n: d for n, d in DTYPES.items() if n in found and d.kind in kinds}


_ANY: Final = ("bool", *KINDS["numeric"])


# Making arrays ------------------------------------------------------------------------------------


def asarray(
    obj: Any, /, *, dtype: Any = None, device: Device | None = None, copy: bool | None = None
) -> Array:
    """Array on a device.

    Parameters
    ----------
    obj : array, number or nested lists
        Arrays of any library that speaks DLPack. They are copied, but for an `Array`.
    dtype : dtype, optional
        By default that of an array; of numbers bool, int64 and float32. Integers of 64 bits have 32
        where the device has no more and they fit.
    device : Device, optional
        By default that of an `Array`, else the first of `devices`.
    copy : bool, optional
        False raises where elements must be copied.

    Returns
    -------
    Array

    Raises
    ------
    DTypeError
        If the device has no such dtype.
    DeviceError
        If there is no device, or its memory runs out.
    ValueError
        If `copy` is False and there must be one.

    Examples
    --------
    >>> volta.wgpu.asarray([[1, 2], [3, 4]], dtype=F.float32) * 2
    Array([[2., 4.],
           [6., 8.]], dtype=float32, device=wgpu:0)
    """
    if type(obj) is Array:
        out = obj if device is None else obj.to_device(_device(device))
        wanted = out.dtype if dtype is None else as_dtype(dtype)
        if copy is False and (out is not obj or wanted is not out.dtype):
            raise located(ValueError(_MUST_COPY))
        return ops.astype(out, wanted, copy=False)  # type: ignore[no-any-return]  # ops is dynamic
    if copy is False:
        raise located(ValueError(_MUST_COPY))
    pending = pending_of(_device(device))
    kinds = {"b": "bool", "i": "int", "u": "int", "f": "float", "c": "complex"}
    foreign = hasattr(obj, "__dlpack__") and not isinstance(obj, np.ndarray | np.generic)
    host = np.from_dlpack(obj) if foreign else np.asarray(obj)
    if dtype is not None:
        kind = as_dtype(dtype)
    elif hasattr(obj, "dtype"):
        kind = _fitting(host, pending)
    else:
        kind = default_of(kinds.get(host.dtype.kind, host.dtype.name), pending)
    return Array(pending.device, pending.write(host.astype(kind.dtype, copy=False), kind))


def _fitting(x: Any, pending: Pending) -> DType:
    """Dtype of an array; 32 bits of integers that fit, where a device has no more."""
    kind = as_dtype(x.dtype)
    if kind.name not in ("int64", "uint64") or kind.name in pending.target.kinds:
        return kind
    info = np.iinfo(kind.name.replace("64", "32"))
    fits = not x.size or (int(x.min()) >= info.min and int(x.max()) <= info.max)
    return DTYPES[str(info.dtype)] if fits else kind


_MUST_COPY: Final = "asarray: copy must not be False, as elements must be copied; got False."


def full(
    shape: int | tuple[int, ...],
    fill_value: complex | Array,
    *,
    dtype: Any = None,
    device: Device | None = None,
) -> Array:
    """Array of one number, which is in memory once.

    Parameters
    ----------
    shape : int or tuple of int
    fill_value : number
    dtype : dtype, optional
        By default the default one of such numbers.
    device : Device, optional
        By default the first of `devices`.

    Returns
    -------
    Array

    Raises
    ------
    DTypeError
        If the device has no such dtype.

    Examples
    --------
    >>> volta.wgpu.full(3, 2.5)
    Array([2.5, 2.5, 2.5], dtype=float32, device=wgpu:0)
    """
    pending = pending_of(_device(device))
    shape = (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)
    number = fill_value.item() if type(fill_value) is Array else fill_value
    kind = default_of(type(number).__name__, pending) if dtype is None else as_dtype(dtype)
    return Array(pending.device, pending.full(shape, number, kind))


def zeros(
    shape: int | tuple[int, ...], *, dtype: Any = None, device: Device | None = None
) -> Array:
    """Array of zeros, as `full` makes it.

    Parameters
    ----------
    shape : int or tuple of int
    dtype, device : optional
        As of `full`; float32 by default.

    Returns
    -------
    Array

    Examples
    --------
    >>> volta.wgpu.zeros(2)
    Array([0., 0.], dtype=float32, device=wgpu:0)
    """
    return full(shape, 0, dtype=dtype or default_dtype_of("float"), device=device)


def ones(shape: int | tuple[int, ...], *, dtype: Any = None, device: Device | None = None) -> Array:
    """Array of ones, as `full` makes it.

    Parameters
    ----------
    shape : int or tuple of int
    dtype, device : optional
        As of `full`; float32 by default.

    Returns
    -------
    Array

    Examples
    --------
    >>> volta.wgpu.ones((1, 2))
    Array([[1., 1.]], dtype=float32, device=wgpu:0)
    """
    return full(shape, 1, dtype=dtype or default_dtype_of("float"), device=device)


def empty(
    shape: int | tuple[int, ...], *, dtype: Any = None, device: Device | None = None
) -> Array:
    """Array of zeros: nothing is written for it, either.

    Parameters
    ----------
    shape : int or tuple of int
    dtype, device : optional
        As of `full`; float32 by default.

    Returns
    -------
    Array

    Examples
    --------
    >>> volta.wgpu.empty((2, 0)).shape
    (2, 0)
    """
    return zeros(shape, dtype=dtype, device=device)


def _counted(
    function: Any, args: Any, options: Any, floats: bool, dtype: Any, device: Any
) -> Array:
    """An array of NumPy's, which is in memory once, however often it is made."""
    pending = pending_of(_device(device))
    kind = default_of("float" if floats else "int", pending) if dtype is None else as_dtype(dtype)
    key = function, args, kind, tuple(options.items())
    made = pending.kept(key, lambda: function(*args, **options).astype(kind.dtype), kind)
    return Array(pending.device, made)


def arange(
    start: float,
    /,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    device: Device | None = None,
) -> Array:
    """Evenly spaced numbers from `start` up to, not including, `stop`; see `functional.arange`.

    Parameters
    ----------
    start, stop : number
        With one of them alone it is `stop`, and `start` is 0.
    step : number
        Not zero.
    dtype, device : optional
        As of `full`; float32 by default if one of the numbers is a float, else that of integers.

    Returns
    -------
    Array

    Examples
    --------
    >>> volta.wgpu.arange(3, dtype=F.int32)
    Array([0, 1, 2], dtype=int32, device=wgpu:0)
    """
    start, stop = (0, start) if stop is None else (start, stop)
    floats = float in map(type, (start, stop, step))
    count = max(0, math.ceil((stop - start) / step))
    if floats:  # as many as the standard says, however they are rounded
        return _counted(_spaced, (start, step, count), {}, True, dtype, device)
    return _counted(np.arange, (start, stop, step), {}, False, dtype, device)


def _spaced(start: float, step: float, count: int) -> Any:
    return start + step * np.arange(count)


def linspace(
    start: float,
    stop: float,
    /,
    num: int,
    *,
    dtype: Any = None,
    device: Device | None = None,
    endpoint: bool = True,
) -> Array:
    """`num` evenly spaced numbers; see `functional.linspace`.

    Parameters
    ----------
    start, stop : number
    num : int
        How many.
    endpoint : bool
        Whether `stop` is the last of them.
    dtype, device : optional
        As of `full`; float32 by default.

    Returns
    -------
    Array

    Examples
    --------
    >>> volta.wgpu.linspace(0, 1, 3)
    Array([0. , 0.5, 1. ], dtype=float32, device=wgpu:0)
    """
    options = {"endpoint": endpoint}
    return _counted(np.linspace, (start, stop, num), options, True, dtype, device)


def eye(
    n_rows: int,
    n_cols: int | None = None,
    /,
    *,
    k: int = 0,
    dtype: Any = None,
    device: Device | None = None,
) -> Array:
    """Ones on a diagonal, zeros elsewhere; see `functional.eye`.

    Parameters
    ----------
    n_rows, n_cols : int
        Lengths of the axes; by default a square matrix.
    k : int
        Diagonal: 0 the main one, positive ones above it.
    dtype, device : optional
        As of `full`; float32 by default.

    Returns
    -------
    Array

    Examples
    --------
    >>> volta.wgpu.eye(2)
    Array([[1., 0.],
           [0., 1.]], dtype=float32, device=wgpu:0)
    """
    return _counted(np.eye, (n_rows, n_cols, k), {}, True, dtype, device)


def from_dlpack(x: Any, /, *, device: Device | None = None, copy: bool | None = None) -> Array:
    """Copy of another library's array on a device, through the DLPack protocol.

    Parameters
    ----------
    x : object with ``__dlpack__``
    device, copy : optional
        As of `asarray`.

    Returns
    -------
    Array
        Of the shape and dtype of `x`.

    Raises
    ------
    BufferError
        If `copy` is False and `x` is no `Array`.

    Examples
    --------
    >>> volta.wgpu.from_dlpack(np.asarray([1.5, 2.5], np.float32))
    Array([1.5, 2.5], dtype=float32, device=wgpu:0)
    """
    if type(x) is Array:
        return x if device is None else x.to_device(device)
    if copy is False:
        msg = "from_dlpack: copy must not be False, as elements are copied to the device."
        raise located(BufferError(msg))
    return asarray(np.from_dlpack(x), device=device)


def nonzero(x: Array, /) -> tuple[Array, ...]:
    """Indices along each axis of the elements that are not 0; their number is read back.

    Parameters
    ----------
    x : Array
        With an axis at least.

    Returns
    -------
    tuple of Array
        Integers, for each axis, in row-major order.

    Raises
    ------
    ShapeError
        If `x` has no axis.

    Examples
    --------
    >>> volta.wgpu.nonzero(volta.wgpu.asarray([0.0, 7.0, 3.0]))[0].tolist()
    [1, 2]
    """
    if not x.shape:
        msg = "nonzero: the array must have an axis; got shape (). Reshape it to (1,) first."
        raise located(ShapeError(msg))
    pending = pending_of(x.device)
    mask = x if x.dtype.kind == "bool" else ops.not_equal(x, 0)
    word = DTYPES["uint32"]
    kinds = ArrayType((x.size,), word), ArrayType((1,), word)
    found, total = pending.ran("nonzero", positions, [mask.value], kinds)
    count = int(pending.read(total)[0]) if x.size else 0
    flat = Array(x.device, found)[:count]
    out, step = [], 1
    for n in reversed(x.shape):
        place = ops.remainder(ops.floor_divide(flat, step), n) if n else flat
        out.append(ops.astype(place, default_of("int", pending)))
        step *= n
    return tuple(reversed(out))
