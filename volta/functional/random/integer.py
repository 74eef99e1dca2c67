"""Random integers."""

import operator
from typing import Any, Final

import numpy as np

from volta.core.derivatives import ZERO
from volta.core.dispatch import library_for
from volta.core.errors import DTypeError
from volta.core.trace import located, ops
from volta.core.tracer import library_under
from volta.core.types import DTYPES, ArrayType, DType, as_dtype, broadcast_shapes, typeof
from volta.functional.axes import normalize_shape
from volta.functional.declare import batch_elementwise, primitive
from volta.functional.random.arguments import Shape, check_broadcast, checked_key, constant
from volta.functional.random.keys import split
from volta.functional.random.sampler import drawn_type, from_key, hosted
from volta.functional.random.threefry import WORD, draw, dtype_of, from_words, is_torch

__all__ = [
    "bits",
    "checked_integer",
    "default_integer",
    "integers",
    "integers_within",
    "randint",
    "random_bits",
    "random_within",
]


def bits(
    key: Any, shape: Shape = (), dtype: Any = None, *, xp: Any = None, device: Any = None
) -> Any:
    """Draw random bits as unsigned integers.

    Parameters
    ----------
    key : array, shape (2,), uint32
    shape : int or tuple of int
    dtype : dtype, optional
        uint8, uint16, uint32 (the default) or uint64.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape or `dtype` not unsigned.

    Notes
    -----
    Element i, counted in row-major order, is made of the two words that the hash gives for the
    64-bit counter i: both of them in 64 bits, their exclusive or in 32, its low part in fewer.

    References
    ----------
    J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as
    1, 2, 3", SC 2011, https://doi.org/10.1145/2063384.2063405.

    Examples
    --------
    >>> F.random.bits(F.random.key(0), 3, "uint8")
    array([167, 146,  40], dtype=uint8)
    """
    chosen = DTYPES["uint32"] if dtype is None else as_dtype(dtype)
    if chosen.kind != "uint":
        msg = f"bits: dtype must be unsigned; got {chosen.name}."
        raise located(DTypeError(msg))
    key = checked_key(key, xp, device, "bits")
    return constant(_bits(key, shape=normalize_shape("bits", shape), dtype=chosen))


def randint(
    key: Any,
    shape: Shape,
    minval: Any,
    maxval: Any,
    dtype: Any = None,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw integers from minval to maxval − 1, all with the same probability.

    Parameters
    ----------
    key : array, shape (2,), uint32
    shape : int or tuple of int
    minval, maxval : int or array, broadcastable to `shape`, integer
        Bounds; those that `dtype` cannot hold are moved to its ends.
    dtype : dtype, optional
        An integer dtype; by default the library's default one, int64 on most.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`
        Equals ``jax.random.randint`` of the same dtype. Where maxval ≤ minval, it is minval.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` or a bound not integer, or a bound
        does not broadcast to `shape`.

    Notes
    -----
    The remainder of a random integer of twice the bits of `dtype`, and of 64 at least, so that no
    integer is more probable than another by more than (maxval − minval) / 2**64.

    Examples
    --------
    >>> F.random.randint(F.random.key(0), 5, 0, 10)
    array([5, 1, 5, 7, 3])
    """
    key = checked_key(key, xp, device, "randint")
    chosen = checked_integer(dtype, "randint", key)
    size = normalize_shape("randint", shape)
    low, high = _bound(minval, "minval", size), _bound(maxval, "maxval", size)
    return constant(integers_within(key, size, low, high, chosen))


def integers_within(
    key: Any, shape: tuple[int, ...], minval: Any, maxval: Any, dtype: DType
) -> Any:
    """Integers from minval to maxval − 1 under a checked key; bounds are ints or arrays."""
    width = "uint64" if dtype.itemsize == 8 else "uint32"
    keys = ops.unstack(split(key))
    high, low = (_bits(k, shape=shape, dtype=DTYPES[width]) for k in keys)
    return _within(high, low, minval, maxval, dtype=dtype)


def checked_integer(dtype: Any, operation: str, key: Any) -> DType:
    """Return the integer dtype asked for, or the default one of the key's library."""
    chosen = default_integer(key) if dtype is None else as_dtype(dtype)
    if chosen.kind not in ("int", "uint"):
        msg = f"{operation}: dtype must be an integer dtype; got {chosen.name}."
        raise located(DTypeError(msg))
    return chosen


def default_integer(key: Any) -> DType:
    """Return the default integer dtype of the key's library."""
    return library_under(key).index


def _bound(bound: Any, name: str, shape: tuple[int, ...]) -> Any:
    """`bound` as an int or an integer array, checked to broadcast to `shape`."""
    if not isinstance(bound, np.generic) and hasattr(bound, "dtype"):
        found, dtype = typeof(bound)
        if dtype.kind in ("int", "uint"):
            check_broadcast("randint", name, found, shape)
            return bound
    elif type(bound) is not bool:
        try:
            return operator.index(bound)
        except TypeError:
            pass
    msg = f"randint: {name} must be an integer or an array of them; got {bound!r}."
    raise located(DTypeError(msg))


# Kernels -----------------------------------------------------------------------------------------


def random_bits(xp: Any, key: Any, *, shape: tuple[int, ...], dtype: DType) -> Any:
    """Draw integers of shape (..., *shape) under keys of shape (..., 2)."""
    return draw(xp, key, shape, lambda y0, y1: integers(xp, y0, y1, dtype))


def integers(xp: Any, y0: Any, y1: Any, dtype: DType) -> Any:
    """Make unsigned integers from the two words of a hash."""
    own = dtype_of(xp, dtype)
    torch = is_torch(xp)
    if dtype.itemsize == 8:
        y, low = (xp.astype(w, xp.int64 if torch else own) for w in (y0, y1))
        y <<= 32
        y |= low & WORD if torch else low
        return y.view(own) if torch else y
    y0 ^= y1
    if dtype.itemsize == 4:
        return from_words(xp, y0)
    y0 &= (1 << 8 * dtype.itemsize) - 1
    return xp.astype(y0, own)


def random_within(xp: Any, high: Any, low: Any, minval: Any, maxval: Any, *, dtype: DType) -> Any:
    """``minval + random % (maxval − minval)``, of the n bits in `high` and in `low`.

    The remainder of 2**n · high + low is that of (high % span) · (2**n % span) + low % span,
    computed in n bits as JAX does, so with overflow. A span of 0 stands for 2**n.
    """
    if is_torch(xp):  # has no arithmetic of unsigned integers
        operands = (
            d.cpu().numpy() if type(d) is not int else d for d in (high, low, minval, maxval)
        )
        out = random_within(np, *operands, dtype=dtype)
        return xp.asarray(out, device=high.device)
    shapes = [tuple(d.shape) for d in (high, minval, maxval) if type(d) is not int]
    shape = broadcast_shapes("randint", *shapes)
    high, low = (xp.broadcast_to(w, shape) for w in (high, low))
    word, bits = high.dtype, 8 * typeof(high).dtype.itemsize
    wide = dtype if 8 * dtype.itemsize == bits else DTYPES["int32"]
    start, _ = _limited(xp, minval, dtype, wide, high)
    stop, beyond = _limited(xp, maxval, dtype, wide, high)
    first = xp.astype(start, word)
    span = xp.astype(stop, word) - first + xp.astype(beyond, word)
    span = xp.where(start < stop, span, xp.ones_like(span))

    def remainder(x: Any) -> Any:
        return xp.where(span == 0, x, x % xp.where(span == 0, xp.ones_like(span), span))

    half = remainder(xp.full_like(span, 1 << bits // 2))
    high, low = (remainder(xp.reshape(w, (-1,))) for w in (high, low))
    out = first + remainder(high * remainder(half * half) + low)
    return xp.reshape(xp.astype(out, library_for(xp).dtype(dtype)), shape)


def _limited(xp: Any, bound: Any, dtype: DType, wide: DType, like: Any) -> tuple[Any, Any]:
    """A bound brought between the ends of `dtype`, as a flat array, and whether it was above."""
    least, most = _limits(dtype)
    library = library_for(xp)
    if type(bound) is int:
        device = library.device(like)
        beyond = xp.asarray([bound > most], device=device)
        bound = min(max(bound, least), most)
        return xp.asarray([bound], dtype=library.dtype(wide), device=device), beyond
    bound = xp.reshape(xp.broadcast_to(bound, like.shape), (-1,))
    low, high = _limits(typeof(bound).dtype)
    beyond = bound > most if high > most else xp.zeros_like(bound, dtype=xp.bool)
    if low < least:
        bound = xp.maximum(bound, xp.full_like(bound, least))
    if high > most:
        bound = xp.minimum(bound, xp.full_like(bound, most))
    return xp.astype(bound, library.dtype(wide)), beyond


def _limits(dtype: DType) -> tuple[int, int]:
    bits = 8 * dtype.itemsize
    return (0, (1 << bits) - 1) if dtype.kind == "uint" else (-1 << bits - 1, (1 << bits - 1) - 1)


# Primitives --------------------------------------------------------------------------------------

_bits: Final = from_key("random_bits", hosted(random_bits), drawn_type)


def _batch_within(*args: Any, **params: Any) -> Any:
    return batch_elementwise(_within, *args, **params)


_within: Any = primitive(
    "random_within",
    type_rule=lambda high, low, minval, maxval, *, dtype: ArrayType(
        broadcast_shapes("randint", high.shape, minval.shape, maxval.shape), dtype
    ),
    batch=_batch_within,
    derivatives=(ZERO,) * 4,
    value=random_within,
)
