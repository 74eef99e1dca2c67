"""What the writers of files share: arrays on the host, and names that are text."""

import contextlib
import sys
from collections.abc import Collection
from typing import Any, Literal

import numpy as np

from volta.core.dispatch import to_host
from volta.core.errors import DTypeError, TraceError, VoltaError
from volta.core.trace import located

__all__ = ["check_text", "octets", "storable"]


def check_text(what: str, value: object, *, operation: str = "save_file") -> None:
    """Check that a name or an item of metadata can be written as UTF-8."""
    # A str may hold surrogates, which UTF-8 has no bytes for.
    if not isinstance(value, str) or any("\ud800" <= letter <= "\udfff" for letter in value):
        msg = f"{operation}: {what} must be text; got {value!r}. Convert it to a valid str."
        raise located(TypeError(msg))


def storable(
    name: str,
    tensor: Any,
    dtypes: Collection[str],
    *,
    operation: str = "save_file",
    order: Literal["C", "K"] = "C",
) -> Any:
    """`tensor` as a little-endian NumPy array, whose bytes in their order go to the file.

    With `order` "K" its axes lie in memory as they did.
    """
    try:
        array = _to_numpy(tensor)
    except TraceError as error:
        msg = (
            f"{operation}: tensors must not be traced; got a traced array for {name!r}. Return it "
            "from the transformed function and save what comes back."
        )
        raise TraceError(msg) from error
    except (TypeError, ValueError, RuntimeError, BufferError) as error:  # sparse, meta, …
        reason = str(error).rstrip(".")
        msg = (
            f"{operation}: tensors must convert to NumPy arrays; got {type(tensor).__name__} for "
            f"{name!r} ({reason}). Convert it before saving."
        )
        raise DTypeError(msg) from error
    if array is None:
        msg = (
            f"{operation}: tensors must be arrays; got {type(tensor).__name__} for {name!r}. Make "
            "it an array of the dtype it should have in the file."
        )
        raise DTypeError(msg)
    if array.dtype.name not in dtypes:
        msg = (
            f"{operation}: dtypes must be those of the format; got {array.dtype} for {name!r}. "
            f"Cast it to one of {', '.join(dtypes)}."
        )
        raise DTypeError(msg)
    try:
        return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order=order)
    except MemoryError as error:  # strides of 0 give an array of any size
        msg = (
            f"{operation}: a copy of each tensor in its order must fit in memory; got shape "
            f"{array.shape} and strides {array.strides} for {name!r}. Leave it out."
        )
        raise VoltaError(msg) from error


def octets(array: Any) -> memoryview:
    """Bytes of an array that lies in memory in its order, without a copy."""
    data: memoryview = array.reshape(-1).view("u1").data
    return data


def _to_numpy(tensor: Any) -> Any:
    """`tensor` as a NumPy array, or None if it is no array."""
    if isinstance(tensor, np.ma.MaskedArray):  # files have no place for the mask
        return None
    if isinstance(tensor, np.ndarray | np.generic):
        return np.asarray(tensor)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(tensor, torch.Tensor):
        return to_host(tensor)
    if hasattr(tensor, "__array__"):
        with contextlib.suppress(TypeError):  # CuPy's way to refuse
            return np.asarray(tensor)
    if hasattr(tensor, "__dlpack__"):
        return np.from_dlpack(tensor, device="cpu")
    return None
