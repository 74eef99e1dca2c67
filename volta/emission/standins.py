"""What kernels call of Volta's core, as a module without it has it: for NumPy's arrays alone.

Each is named in `FUNCTIONS` or `CLASSES` with what it stands for. The text of these functions is
copied like that of kernels. So are `KERNELS`, which compute an operation more plainly than Volta
does itself.
"""

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from volta.core import dispatch, trace, types

__all__ = ["CLASSES", "DROPPED", "FUNCTIONS", "KERNELS", "OPS", "DType"]


class DType:
    """A dtype, which NumPy takes for its own."""

    def __init__(self, name: str, kind: str, itemsize: int) -> None:
        self.name, self.kind, self.itemsize = name, kind, itemsize

    @property
    def dtype(self) -> Any:
        """NumPy's object."""
        if self.name == "bfloat16":
            import ml_dtypes

            return np.dtype(ml_dtypes.bfloat16)
        return np.dtype(self.name)


class ArrayType(NamedTuple):
    """Shape and dtype of an array."""

    shape: tuple[int, ...]
    dtype: Any

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)


class NumPy:
    """The array library, as kernels ask for it."""

    name = "numpy"
    xp = np
    index = np.dtype("int64")

    def dtype(self, dtype: Any) -> Any:
        """NumPy's object for a dtype."""
        return as_dtype(dtype).dtype

    def device(self, x: Any) -> str:
        """Where an array is."""
        return "cpu"

    def asarray(self, x: Any, dtype: Any = None, device: Any = None) -> Any:
        """An array of numbers."""
        return np.asarray(x, dtype=dtype)


def as_dtype(dtype: Any) -> Any:
    """The dtype of a name, or of an array."""
    if type(dtype) is types.DType:
        return dtype
    return types.DTYPES[np.dtype(dtype).name]


def typeof(x: Any) -> Any:
    """Shape and dtype of an array."""
    return types.ArrayType(np.shape(x), as_dtype(np.asarray(x).dtype))


def library_of(*_: Any) -> Any:
    """The library of arrays."""
    return dispatch.NUMPY


def bounds_under(index: Any) -> Any:
    """Smallest and largest index."""
    return (int(index.min()), int(index.max())) if index.size else None


def in_floats(formula: Callable[..., Any], x: Any, *others: Any) -> Any:
    """A formula, in 32 bits for 16-bit floats."""
    arrays = [a for a in (x, *others) if type(a) not in (bool, int, float, complex)]
    with np.errstate(all="ignore"):
        if any(a.dtype.itemsize > 2 for a in arrays):
            return formula(np, x, *others)
        wide = [
            a if type(a) in (bool, int, float, complex) else a.astype(np.float32)
            for a in (x, *others)
        ]
        return formula(np, *wide).astype(x.dtype)


def half(x: Any) -> bool:
    """Whether an array is of 16-bit floats."""
    return x.dtype.name in ("float16", "bfloat16")


def promoted(xp: Any, args: Any) -> Any:
    """Operands as arrays of one floating dtype, and that of the result where it is of 16 bits."""
    arrays = [a for a in args if type(a) not in (bool, int, float, complex)]
    dtype = np.result_type(*arrays)
    if dtype.name in ("float16", "bfloat16"):
        return [np.asarray(a, np.float32) for a in args], dtype
    dtype = dtype if dtype.kind == "f" else np.dtype(float)
    return [np.asarray(a, dtype) for a in args], None


def broadcast_to(x: Any, shape: Any) -> Any:
    """A view of `x` in a larger shape."""
    return np.broadcast_to(x, shape)


def reshape(x: Any, shape: Any) -> Any:
    """`x` in another shape."""
    return np.reshape(x, shape)


# Random numbers -----------------------------------------------------------------------------------


def hash_counters(xp: Any, keys: Any, x0: Any, x1: Any) -> Any:
    """Hash counters of two words under keys by Threefry-2x32 with 20 rounds.

    J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3.
    """
    k0, k1 = keys[:, :1], keys[:, 1:]
    words = (k0, k1, k0 ^ k1 ^ np.uint32(0x1BD11BDA))
    x0, x1 = x0 + k0, x1 + k1
    for i in range(5):
        for r in ((13, 15, 26, 6), (17, 29, 16, 24))[i % 2]:
            x0 = x0 + x1
            x1 = (x1 << r | x1 >> (32 - r)) ^ x0
        x0 = x0 + words[(i + 1) % 3]
        x1 = x1 + words[(i + 2) % 3] + np.uint32(i + 1)
    return x0, x1


def draw(
    xp: Any,
    key: Any,
    shape: Any,
    pack: Callable[..., Any],
    last: tuple[int, ...] = (),
    start: int = 0,
) -> Any:
    """Pack both words of the hashes of counters from `start` on, one for each element of `shape`.

    `pack` takes words of shape (n, m) and gives an array of shape (n, m, *last); for keys of shape
    (..., 2) the result is (..., *shape, *last).
    """
    counters = np.arange(math.prod(shape), dtype=np.uint64) + np.uint64(start)
    x0, x1 = (counters >> 32).astype(np.uint32), counters.astype(np.uint32)
    words = hash_counters(np, key.reshape((-1, 2)), x0[None], x1[None])
    return pack(*words).reshape((*key.shape[:-1], *shape, *last))


def integers(xp: Any, y0: Any, y1: Any, dtype: Any) -> Any:
    """Unsigned integers from the two words of a hash."""
    if dtype.itemsize == 8:
        return y0.astype(np.uint64) << 32 | y1
    return (y0 ^ y1).astype(dtype.dtype)


def unit_reals(xp: Any, y0: Any, y1: Any, dtype: Any) -> Any:
    """Multiples of 2**-digits in [0, 1) from the two words of a hash."""
    widths = {"float16": (16, 10), "bfloat16": (8, 7), "float32": (32, 23), "float64": (64, 52)}
    width, digits = widths[dtype.name]
    bits = integers(xp, y0, y1, types.DTYPES[f"uint{width}"])
    u = (bits >> (width - digits)).astype(dtype.dtype)
    u *= 2.0**-digits
    return u


def dtype_of(xp: Any, dtype: Any) -> Any:
    """NumPy's object for a dtype."""
    return dtype.dtype


# Operations ---------------------------------------------------------------------------------------


def padded(x: Any, padding: Any) -> Any:
    """`x` with zeros around its last axes, or cropped where the padding is negative."""
    for axis, (low, high) in enumerate(padding, x.ndim - len(padding)):
        n = x.shape[axis]
        kept = slice(min(n, max(0, -low)), max(min(n, max(0, -low)), n - max(0, -high)))
        x = x[(slice(None),) * axis + (kept,)]
        around = [(0, 0)] * x.ndim
        around[axis] = (max(0, low), max(0, high))
        x = np.pad(x, around)
    return x


def windows_of(x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    """What each element of a kernel sees: axes batch, groups, channels, *places, *kernel."""
    x = padded(x, padding)
    spans = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
    axes = tuple(range(2, x.ndim))
    seen = np.lib.stride_tricks.sliding_window_view(x, spans, axis=axes)
    seen = seen[(slice(None), slice(None), *(slice(None, None, s) for s in stride))]
    taps: Any = (..., *(slice(None, None, d) for d in dilation))
    seen = seen[taps]
    return seen.reshape((x.shape[0], groups, x.shape[1] // groups, *seen.shape[2:]))


def summed(form: str, *arrays: Any) -> Any:
    """Sums of products, in 32 bits for 16-bit floats."""
    dtype = arrays[0].dtype
    if dtype.itemsize > 2 or dtype.kind in "iu":
        return np.einsum(form, *arrays, optimize=True)
    return np.einsum(form, *(a.astype(np.float32) for a in arrays), optimize=True).astype(dtype)


def conv(
    x: Any, w: Any, *, stride: Any, padding: Any, dilation: Any, groups: int, **options: Any
) -> Any:
    """Convolution, without turning the kernel."""
    seen = windows_of(x, w.shape[2:], stride, padding, dilation, groups)
    places, taps = "xyz"[: x.ndim - 2], "uvw"[: x.ndim - 2]
    w = w.reshape((groups, w.shape[0] // groups, *w.shape[1:]))
    y = summed(f"bgi{places}{taps},goi{taps}->bgo{places}", seen, w)
    return y.reshape((y.shape[0], y.shape[1] * y.shape[2], *y.shape[3:]))


def conv_weight(
    x: Any,
    y: Any,
    *,
    lengths: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    **options: Any,
) -> Any:
    """Derivative of a convolution by its weight."""
    seen = windows_of(x, lengths, stride, padding, dilation, groups)
    places, taps = "xyz"[: x.ndim - 2], "uvw"[: x.ndim - 2]
    seen = seen[(slice(None),) * 3 + tuple(slice(n) for n in y.shape[2:])]
    y = y.reshape((y.shape[0], groups, y.shape[1] // groups, *y.shape[2:]))
    w = summed(f"bgi{places}{taps},bgo{places}->goi{taps}", seen, y)
    return w.reshape((w.shape[0] * w.shape[1], *w.shape[2:]))


def conv_input(
    y: Any,
    w: Any,
    *,
    lengths: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    **options: Any,
) -> Any:
    """Derivative of a convolution by its input: each place adds to what its kernel saw."""
    space = w.shape[2:]
    places = "xyz"[: len(space)]
    y = y.reshape((y.shape[0], groups, y.shape[1] // groups, *y.shape[2:]))
    w = w.reshape((groups, w.shape[0] // groups, *w.shape[1:]))
    dtype = np.float32 if y.dtype.itemsize == 2 and y.dtype.kind not in "iu" else y.dtype
    sizes = [
        n + max(0, low) + max(0, high) for n, (low, high) in zip(lengths, padding, strict=True)
    ]
    x: Any = np.zeros((y.shape[0], groups, w.shape[2], *sizes), dtype)
    for tap in np.ndindex(*space):
        part = np.einsum(
            f"bgo{places},goi->bgi{places}", y.astype(dtype), w[(..., *tap)].astype(dtype)
        )
        into = [slice(None)] * 3
        of = [slice(None)] * 3
        for t, d, s, m, n, (low, _) in zip(
            tap, dilation, stride, y.shape[3:], sizes, padding, strict=True
        ):
            start = t * d + max(0, -low)
            count = max(0, min(m, -((start - n) // s)))
            into.append(slice(start, start + s * count, s))
            of.append(slice(count))
        x[tuple(into)] += part[tuple(of)]
    kept: list[Any] = [
        slice(max(0, low), max(0, low) + n) for n, (low, _) in zip(lengths, padding, strict=True)
    ]
    x = x[(..., *kept)].astype(y.dtype)
    return x.reshape((x.shape[0], x.shape[1] * x.shape[2], *x.shape[3:]))


# Programs -----------------------------------------------------------------------------------------


def argument(x: Any, name: str, dtype: Any, shape: Any) -> Any:
    """An argument as an array, which must be as those that the program was made for."""
    if type(x) in (bool, int, float, complex) and np.result_type(x, dtype) == dtype:
        x = np.asarray(x, dtype)
    x = np.asarray(x)
    if x.dtype != dtype or x.shape != shape:
        msg = f"{name} must be {np.dtype(dtype)}{list(shape)}; got {x.dtype}{list(x.shape)}."
        raise TypeError(msg)
    return x


def fields(given: Any, name: str, *keys: Any) -> Any:
    """Values of a dict, which must have these keys."""
    if given.keys() != set(keys):
        msg = f"{name} must have the keys {list(keys)}; got {list(given)}."
        raise KeyError(msg)
    return tuple(given[k] for k in keys)


def stacked(parts: Any, shape: Any, dtype: Any) -> Any:
    """Arrays along a new first axis; there may be none."""
    return np.asarray(parts, dtype).reshape((len(parts), *shape))


def went_back(
    count: Any,
    piece: Callable[..., Any],
    onward: Callable[..., Any],
    start: Any,
    cts: Any,
    sums: Any,
) -> Any:
    """Go back all steps of a loop, in pieces of 64 steps, of which only the starts are kept."""
    pending = [(start, int(count))]
    while pending:
        start, by = pending.pop()
        if by <= 64:
            found = piece(by, start, cts)
            sums = [s + g for s, g in zip(sums, found[: len(sums)], strict=True)]
            cts = found[len(sums) :]
            continue
        size = 64
        while size * 64 < by:
            size *= 64
        while by > size:
            pending.append((start, size))
            start, by = onward(size, start), by - size
        pending.append((start, by))
    return (*sums, *cts)


# What they stand for ------------------------------------------------------------------------------

OPS: Final = trace.ops
# By module and name.
FUNCTIONS: Final[dict[tuple[str, str], Any]] = {
    ("volta.core.dispatch", "library_for"): library_of,
    ("volta.core.dispatch", "library_of"): library_of,
    ("volta.core.tracer", "library_under"): library_of,
    ("volta.core.types", "as_dtype"): as_dtype,
    ("volta.core.types", "typeof"): typeof,
    ("volta.functional.curve", "_numpy"): in_floats,
    ("volta.functional.indexing", "bounds_under"): bounds_under,
    ("volta.functional.manipulation", "broadcast_to"): broadcast_to,
    ("volta.functional.manipulation", "reshape"): reshape,
    ("volta.functional.reduction", "half"): half,
    ("volta.functional.random.integer", "integers"): integers,
    ("volta.functional.random.interval", "unit_reals"): unit_reals,
    ("volta.functional.random.threefry", "draw"): draw,
    ("volta.functional.random.threefry", "dtype_of"): dtype_of,
    ("volta.functional.random.threefry", "hash_counters"): hash_counters,
    ("volta.functional.special.kernels", "_promoted"): promoted,
}
CLASSES: Final[dict[type, type]] = {
    dispatch.Library: NumPy,
    types.ArrayType: ArrayType,
    types.DType: DType,
}
KERNELS: Final[dict[str, Callable[..., Any]]] = {
    "conv": conv,
    "conv_input": conv_input,
    "conv_weight": conv_weight,
}
# Functions of errors that give back the error
DROPPED: Final = (trace.located,)
