"""Random integers."""

from typing import Any, Final

from volta.core.dispatch import library_for
from volta.core.errors import DTypeError
from volta.core.trace import located
from volta.core.types import DTYPES, DType, as_dtype
from volta.functional.axes import normalize_shape
from volta.functional.random.arguments import Shape, checked_key, constant
from volta.functional.random.sampler import drawn_type, from_key, hosted
from volta.functional.random.threefry import WORD, draw, from_words, is_torch

__all__ = ["bits", "integers", "random_bits"]


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


def random_bits(xp: Any, key: Any, *, shape: tuple[int, ...], dtype: DType) -> Any:
    """Draw integers of shape (..., *shape) under keys of shape (..., 2)."""
    return draw(xp, key, shape, lambda y0, y1: integers(xp, y0, y1, dtype))


def integers(xp: Any, y0: Any, y1: Any, dtype: DType) -> Any:
    """Make unsigned integers from the two words of a hash."""
    own = library_for(xp).dtype(dtype)
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


_bits: Final = from_key("random_bits", hosted(random_bits), drawn_type)
