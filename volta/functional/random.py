"""Random numbers from explicit keys.

A key is a uint32 array of shape (2,), made by `key` and never changed: the same key gives the same
numbers, and new keys come from `split` and `fold_in`. Results belong to the key's library and
device. The generator is Threefry-2x32 in the layout that JAX calls partitionable (its default),
so streams equal those of `jax.random` on every library and device.

Reading order: the public functions; the kernels on raw arrays, which are the hash, the counters it
runs over, and the maps from random words to integers and real numbers; the primitives that hold
the kernels.
"""

import functools
import math
import operator
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from volta.core.context import RUNNING, default_dtype_of
from volta.core.derivatives import ZERO, Partial
from volta.core.dispatch import library_for
from volta.core.errors import DTypeError, ShapeError
from volta.core.trace import located, ops
from volta.core.tracer import Tracer, made
from volta.core.types import (
    DTYPES,
    SCALARS,
    ArrayType,
    DType,
    as_dtype,
    broadcast_shapes,
    numpy_dtype,
    typeof,
)
from volta.functional.axes import normalize_shape
from volta.functional.creation import asarray
from volta.functional.declare import batch_elementwise, primitive
from volta.functional.manipulation import to_device

__all__ = ["bernoulli", "bits", "fold_in", "key", "normal", "split", "uniform"]

Shape = int | tuple[int, ...]


def key(seed: Any, *, xp: Any = None, device: Any = None) -> Any:
    """Make a key from a seed.

    Parameters
    ----------
    seed : int or array, shape (), integer
        A Python number must fit in 64 bits, signed or unsigned.
    xp : namespace, optional
        Library of the key, and so of all that comes from it; by default that of `seed`, which is
        NumPy for a Python number.
    device : device, optional
        Device of the key.

    Returns
    -------
    array, shape (2,), uint32
        The upper and the lower 32 bits of the seed.

    Raises
    ------
    DTypeError
        If the seed is not an integer.
    ShapeError
        If the seed is an array with axes.
    ValueError
        If the seed does not fit in 64 bits.

    Notes
    -----
    Equals ``jax.random.PRNGKey(seed)`` with ``jax_enable_x64``. Without it JAX drops the upper 32
    bits, so seeds outside of [0, 2**32) give other keys there. Array seeds of 32 bits or fewer
    leave the upper word 0, as in JAX.

    Examples
    --------
    >>> F.random.key(42)
    array([ 0, 42], dtype=uint32)
    """
    if type(seed) is Tracer or hasattr(seed, "dtype"):
        shape, dtype = typeof(seed)
        if dtype.kind not in ("int", "uint"):
            msg = f"key: the seed must be an integer; got {dtype.name}."
            raise located(DTypeError(msg))
        if shape:
            msg = f"key: the seed must have shape (); got {shape}. Use vmap for several seeds."
            raise located(ShapeError(msg))
        key = _seed(seed)
        return key if xp is None and device is None else to_device(key, device, xp=xp)
    try:
        number = operator.index(seed)
    except TypeError:
        msg = f"key: the seed must be an integer; got {type(seed).__name__}."
        raise located(DTypeError(msg)) from None
    if not -(2**63) <= number < 2**64:
        msg = f"key: the seed must fit in 64 bits; got {number}."
        raise ValueError(msg)
    words = np.asarray([number >> 32 & _WORD, number & _WORD], np.uint32)
    return asarray(words, xp=xp, device=device)


def split(key: Any, num: Shape = 2, *, xp: Any = None, device: Any = None) -> Any:
    r"""Make several new keys from one, which must not be used again.

    Parameters
    ----------
    key : array, shape (2,), uint32
    num : int or tuple of int
        How many keys, or the shape in which they are laid out.
    xp, device : optional
        Library and device of the new keys; by default those of `key`.

    Returns
    -------
    array, shape (\*num, 2), uint32

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key or `num` not a shape.

    Notes
    -----
    New key number i, counted in row-major order, is the hash of i under `key`.

    Examples
    --------
    >>> F.random.split(F.random.key(0))
    array([[1797259609, 2579123966],
           [ 928981903, 3453687069]], dtype=uint32)
    """
    return _split(_checked_key(key, xp, device, "split"), shape=normalize_shape("split", num))


def fold_in(key: Any, data: Any, *, xp: Any = None, device: Any = None) -> Any:
    """Make a new key from a key and a number, such as a step or the index of a layer.

    Parameters
    ----------
    key : array, shape (2,), uint32
    data : int or array, shape (), integer
        A Python number must lie in [0, 2**32); of an array, the lower 32 bits count.
    xp, device : optional
        Library and device of the new key; by default those of `key`.

    Returns
    -------
    array, shape (2,), uint32
        The hash of `data` under `key`; equals ``split(key, n)[data]`` for each ``n > data``.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, or `data` no integer or has axes.
    ValueError
        If a Python number does not fit in 32 bits.

    Examples
    --------
    >>> F.random.fold_in(F.random.key(0), 1)
    array([ 928981903, 3453687069], dtype=uint32)
    """
    key = _checked_key(key, xp, device, "fold_in")
    if isinstance(data, np.integer):
        data = int(data) & _WORD
    if type(data) is not int:
        shape, dtype = typeof(data) if hasattr(data, "dtype") else ((), None)
        if dtype is None or dtype.kind not in ("int", "uint"):
            found = type(data).__name__ if dtype is None else dtype.name
            msg = f"fold_in: data must be an integer; got {found}."
            raise located(DTypeError(msg))
        if shape:
            msg = f"fold_in: data must have shape (); got {shape}. Use vmap for several numbers."
            raise located(ShapeError(msg))
        return _fold_in(key, data)
    if not 0 <= data <= _WORD:
        msg = f"fold_in: data must lie in [0, 2**32); got {data}."
        raise ValueError(msg)
    return _fold_in(key, data)


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
    key = _checked_key(key, xp, device, "bits")
    return _made(_bits(key, shape=normalize_shape("bits", shape), dtype=chosen))


def uniform(
    key: Any,
    shape: Shape = (),
    dtype: Any = None,
    minval: Any = 0.0,
    maxval: Any = 1.0,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from the uniform distribution on [minval, maxval).

    Parameters
    ----------
    key : array, shape (2,), uint32
    shape : int or tuple of int
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    minval, maxval : float or array, broadcastable to `shape`, real
        Bounds, converted to `dtype`; the result is differentiable in them.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` not real floating, or a bound does not
        broadcast to `shape`.

    Notes
    -----
    ``max(minval, u·(maxval − minval) + minval)`` for u a multiple of ε in [0, 1), ε the spacing of
    `dtype` at 1. In float32 and float64 the sum is rounded once, as XLA computes it on CPUs; in
    float32 on a device without float64 it is rounded twice, which may change the last bit of the
    range. Rounding may give `maxval` itself where |minval| is much larger than the range.

    Examples
    --------
    >>> F.random.uniform(F.random.key(0), 2, minval=-1.0)
    array([0.895334  , 0.95715976], dtype=float32)
    """
    chosen = _floating(dtype, "uniform")
    key = _checked_key(key, xp, device, "uniform")
    size = normalize_shape("uniform", shape)
    u = _unit(key, shape=size, dtype=chosen)
    if type(minval) in SCALARS and type(maxval) in SCALARS and minval == 0 and maxval == 1:
        return _made(u)
    low = _bound(minval, "minval", size, chosen)
    return _made(_between(u, low, _bound(maxval, "maxval", size, chosen)))


def bernoulli(
    key: Any, p: Any = 0.5, shape: Shape | None = None, *, xp: Any = None, device: Any = None
) -> Any:
    """Draw booleans that are true with probability `p`.

    Parameters
    ----------
    key : array, shape (2,), uint32
    p : float in [0, 1] or array, real floating
        Probability; the values of an array are not checked.
    shape : int or tuple of int, optional
        By default the shape of `p`, which must broadcast to it.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, bool

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, or `p` not real floating or broadcastable.
    ValueError
        If a Python number `p` is outside of [0, 1].

    Notes
    -----
    ``uniform(key, shape, dtype of p) < p``, so probabilities are rounded up to multiples of ε, the
    spacing of that dtype at 1: 1.2e-7 in float32, which a Python number counts as by default.

    Examples
    --------
    >>> F.random.bernoulli(F.random.key(2), 0.3, 4)
    array([False, False,  True, False])
    """
    if type(p) in SCALARS or isinstance(p, np.generic):
        if isinstance(p, complex) or not 0 <= p <= 1:
            msg = f"bernoulli: p must lie in [0, 1]; got {p}."
            raise ValueError(msg)
        p = float(p)
        found, dtype = ArrayType((), default_dtype_of("float"))
    elif hasattr(p, "dtype"):
        found, dtype = typeof(p)
    else:
        msg = f"bernoulli: p must be a number or an array; got {type(p).__name__}."
        raise located(DTypeError(msg))
    if dtype.kind != "float":
        msg = f"bernoulli: p must be real floating; got {dtype.name}."
        raise located(DTypeError(msg))
    size = found if shape is None else normalize_shape("bernoulli", shape)
    _check_broadcast("bernoulli", "p", found, size)
    key = _checked_key(key, xp, device, "bernoulli")
    return _made(ops.less(_unit(key, shape=size, dtype=dtype), p))


def normal(
    key: Any, shape: Shape = (), dtype: Any = None, *, xp: Any = None, device: Any = None
) -> Any:
    """Draw from the normal distribution of mean 0 and variance 1.

    Parameters
    ----------
    key : array, shape (2,), uint32
    shape : int or tuple of int
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`
        Within 4 ulp of ``jax.random.normal``.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape or `dtype` not real floating.

    Notes
    -----
    ``√2 · erfinv(x)`` for x uniform on the open interval (−1, 1). Values are bounded: by 5.5 in
    float32, 8.3 in float64, 3.5 in float16 and 2.9 in bfloat16.

    Examples
    --------
    >>> F.random.normal(F.random.key(0), 2)
    array([1.6226422, 2.0252647], dtype=float32)
    """
    chosen = _floating(dtype, "normal")
    key = _checked_key(key, xp, device, "normal")
    return _made(_normal(key, shape=normalize_shape("normal", shape), dtype=chosen))


# Arguments ---------------------------------------------------------------------------------------


def _checked_key(key: Any, xp: Any, device: Any, operation: str) -> Any:
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


def _made(array: Any) -> Any:
    """Return a draw as creation functions do: as a constant while a transform runs."""
    return made(array) if RUNNING.get() else array


def _floating(dtype: Any, operation: str) -> DType:
    chosen = default_dtype_of("float") if dtype is None else as_dtype(dtype)
    if chosen.kind != "float":
        msg = f"{operation}: dtype must be real floating; got {chosen.name}."
        raise located(DTypeError(msg))
    return chosen


def _check_broadcast(
    operation: str, name: str, found: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    if broadcast_shapes(operation, found, shape) != shape:
        msg = f"{operation}: {name} must broadcast to the shape; got {found} and {shape}."
        raise located(ShapeError(msg))


def _bound(bound: Any, name: str, shape: tuple[int, ...], wanted: DType) -> Any:
    """`bound` as a float or an array of the dtype `wanted`, checked to broadcast to `shape`."""
    if isinstance(bound, int | float | np.integer | np.floating):
        return float(bound)
    if not hasattr(bound, "dtype") or typeof(bound).dtype.kind == "complex":
        msg = f"uniform: {name} must be a real number or array; got {bound!r}."
        raise located(DTypeError(msg))
    found, dtype = typeof(bound)
    _check_broadcast("uniform", name, found, shape)
    return bound if dtype is wanted else ops.astype(bound, wanted)


# Kernels: random words ---------------------------------------------------------------------------
# A word is a uint32, or an int32 in torch, which cannot add or shift uint32: int32 wraps alike.

_WORD: Final = 0xFFFFFFFF
_PARITY: Final = 0x1BD11BDA
_ROTATIONS: Final = ((13, 15, 26, 6), (17, 29, 16, 24))

# Words that NumPy hashes at a time, so that they stay in the cache.
_BLOCK: Final = 1 << 16
# Words up to which Python's ints are faster than NumPy's functions.
_FEW: Final = 100
# Words up to which NumPy's functions are faster than torch's on several threads of a CPU.
_MANY: Final = 1 << 18


def threefry2x32(
    rotate: Callable[[Any, int], Any], k0: Any, k1: Any, x0: Any, x1: Any, one: int = 1
) -> tuple[Any, Any]:
    """Hash counters under keys by Threefry-2x32 with 20 rounds.

    Parameters
    ----------
    rotate : callable
        ``rotate(x, r)``: the words of `x` rotated left by r bits; it may reuse the memory of `x`.
    k0, k1 : words, broadcastable to the counters
        The keys.
    x0, x1 : words
        The counters.
    one : int
        The number 1 in each word; other than 1 where an int carries several words.

    Returns
    -------
    pair of words

    References
    ----------
    J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3 and
    table 2, https://doi.org/10.1145/2063384.2063405.
    """
    keys = (k0, k1, k0 ^ k1 ^ _PARITY * one)
    x0 = x0 + k0
    x1 = x1 + k1
    for i in range(5):
        for r in _ROTATIONS[i % 2]:
            x0 += x1
            x1 = rotate(x1, r)
            x1 ^= x0
        x0 += keys[(i + 1) % 3]
        x1 += keys[(i + 2) % 3] + (i + 1) * one
    return x0, x1


def _rotate(x: Any, r: int) -> Any:
    """Rotate uint32 words left, in place where arrays are mutable."""
    high = x >> (32 - r)
    x <<= r
    x |= high
    return x


# NumPy takes half as long to start on an array as on a Python int.
_SHIFTS: Final = [np.asarray(r, np.uint32) for r in range(32)]


def _rotate_numpy(x: Any, r: int) -> Any:
    high = np.right_shift(x, _SHIFTS[32 - r])
    np.left_shift(x, _SHIFTS[r], out=x)
    x |= high
    return x


def _rotate_torch(x: Any, r: int) -> Any:
    high = x >> (32 - r)
    high &= (1 << r) - 1  # the shift has copied the sign
    return high.add_(x, alpha=1 << r)


@functools.cache
def _lanes(n: int) -> tuple[int, int, int]:
    """Ints that carry in 64 bits each: n times 1, n times 2**32 − 1, and 0 to n − 1."""
    one = sum(1 << 64 * i for i in range(n))
    return one, _WORD * one, sum(i << 64 * i for i in range(n))


def _hash_few(k0: int, k1: int, high: int, low: int, n: int) -> tuple[Any, Any]:
    """`threefry2x32` of n counters from (high, low) on, as NumPy words of shape (1, n).

    All words go in one Python int, 64 bits for each, because an operation starts faster on ints
    than on arrays and the hash has 130 of them. Sums stay in their 64 bits: `rotate` clears what
    has run over in x1, and 26 additions leave x0 below 2**58.
    """
    one, mask, counters = _lanes(n)

    def rotate(x: int, r: int) -> int:
        x &= mask
        return (x << r | x >> (32 - r)) & mask

    y0, y1 = threefry2x32(rotate, k0 * one, k1 * one, high * one, counters + low * one, one)
    return _unpacked(y0 & mask, n), _unpacked(y1 & mask, n)


def _unpacked(lanes: int, n: int) -> Any:
    return np.frombuffer(lanes.to_bytes(8 * n, "little"), "<u8").astype(np.uint32).reshape(1, n)


def _hash(xp: Any, keys: Any, x0: Any, x1: Any) -> tuple[Any, Any]:
    """Hash counters of shape (n or 1, m) under keys of shape (n, 2), all words."""
    rotate = _rotate_numpy if xp is np else _rotate_torch if _is_torch(xp) else _rotate
    return threefry2x32(rotate, keys[:, :1], keys[:, 1:], x0, x1)


def _is_torch(xp: Any) -> bool:
    return bool(xp.__name__.endswith("torch"))


def _words(xp: Any, x: Any) -> Any:
    """Words of a uint32 array."""
    return x.view(xp.int32) if _is_torch(xp) else x


def _from_words(xp: Any, words: Any) -> Any:
    """Words as a uint32 array, whose memory it may share."""
    return words.view(xp.uint32) if _is_torch(xp) else words


Hashed = tuple[slice, slice, Any, Any]


def counter_words(xp: Any, keys: Any, start: int, stop: int) -> Iterator[Hashed]:
    """Hash the 64-bit counters start … stop − 1 under each key.

    Parameters
    ----------
    xp : namespace
    keys : words, shape (n, 2)
    start, stop : int
        In [0, 2**64].

    Yields
    ------
    slice, slice, words, words
        A block of keys, a block of counters less `start`, and both words of their hashes, shape
        (length of the first, length of the second).
    """
    count = keys.shape[0]
    width, height = (_BLOCK, max(1, _BLOCK // (stop - start))) if xp is np else (1 << 30, count)
    device = library_for(xp).device(keys)
    left = start
    while left < stop:
        # A block ends where the upper word of its counters changes.
        right = min(left + width, (left | _WORD) + 1, stop)
        if xp is np and count == 1 and right - left <= _FEW:
            k0, k1 = keys[0].tolist()
            words = _hash_few(k0, k1, left >> 32, left & _WORD, right - left)
            yield slice(0, 1), slice(left - start, right - start), *words
            left = right
            continue
        x1 = xp.arange(right - left, dtype=keys.dtype, device=device)
        x1 = _plus(xp, xp.reshape(x1, (1, right - left)), left & _WORD)
        x0 = _plus(xp, xp.zeros_like(x1), left >> 32)
        for top in range(0, count, height):
            rows = slice(top, min(top + height, count))
            yield rows, slice(left - start, right - start), *_hash(xp, keys[rows, :], x0, x1)
        left = right


def _plus(xp: Any, words: Any, number: int) -> Any:
    if number:
        words += number - (1 << 32) if _is_torch(xp) and number >> 31 else number
    return words


def _draw(
    xp: Any,
    key: Any,
    shape: tuple[int, ...],
    pack: Callable[[Any, Any], Any],
    last: tuple[int, ...] = (),
    start: int = 0,
) -> Any:
    """Pack both words of the hashes of counters from `start` on, one for each element of `shape`.

    `pack` takes words of shape (n, m) and gives an array of shape (n, m, *last), which may share
    memory with the first of them; for keys of shape (..., 2) the result is (..., *shape, *last).
    """
    keys = _words(xp, xp.reshape(key, (-1, 2)))
    count, size = keys.shape[0], math.prod(shape)
    final = (*key.shape[:-1], *shape, *last)
    if not count * size:
        none = xp.zeros((0, 1), dtype=keys.dtype, device=library_for(xp).device(key))
        return xp.reshape(pack(none, none), final)
    blocks = counter_words(xp, keys, start, start + size)
    if xp is not np:
        parts = [pack(y0, y1) for _, _, y0, y1 in blocks]
        return xp.reshape(parts[0] if len(parts) == 1 else xp.concat(parts, axis=1), final)
    rows, columns, y0, y1 = next(blocks)
    part = pack(y0, y1)
    if part.shape[:2] != (count, size):
        out = np.empty((count, size, *last), part.dtype)
        out[rows, columns] = part
        for rows, columns, y0, y1 in blocks:
            out[rows, columns] = pack(y0, y1)
        part = out
    return part.reshape(final)


def random_bits(xp: Any, key: Any, *, shape: tuple[int, ...], dtype: DType) -> Any:
    """Draw integers of shape (..., *shape) under keys of shape (..., 2)."""
    return _draw(xp, key, shape, lambda y0, y1: _integers(xp, y0, y1, dtype))


def _integers(xp: Any, y0: Any, y1: Any, dtype: DType) -> Any:
    """Make unsigned integers from the two words of a hash."""
    own = library_for(xp).dtype(dtype)
    torch = _is_torch(xp)
    if dtype.itemsize == 8:
        y, low = (xp.astype(w, xp.int64 if torch else own) for w in (y0, y1))
        y <<= 32
        y |= low & _WORD if torch else low
        return y.view(own) if torch else y
    y0 ^= y1
    if dtype.itemsize == 4:
        return _from_words(xp, y0)
    y0 &= (1 << 8 * dtype.itemsize) - 1
    return xp.astype(y0, own)


def random_split(xp: Any, key: Any, *, shape: tuple[int, ...], start: int = 0) -> Any:
    """Make keys of shape (..., *shape, 2) from keys of shape (..., 2)."""

    def pack(y0: Any, y1: Any) -> Any:
        return _from_words(xp, xp.stack([y0, y1], axis=-1))

    return _draw(xp, key, shape, pack, (2,), start)


def random_fold_in(xp: Any, key: Any, data: Any) -> Any:
    """Make keys of shape (..., 2) from keys of shape (..., 2) and integers of shape (...)."""
    if type(data) is int:
        return random_split(xp, key, shape=(), start=data & _WORD)
    batch = broadcast_shapes("fold_in", tuple(key.shape[:-1]), tuple(data.shape))
    keys = _words(xp, xp.reshape(xp.broadcast_to(key, (*batch, 2)), (-1, 2)))
    x1 = xp.reshape(xp.broadcast_to(_low_words(xp, data), batch), (-1, 1))
    y = xp.concat(_hash(xp, keys, xp.zeros_like(x1), x1), axis=1)
    return xp.reshape(_from_words(xp, y), (*batch, 2))


def random_seed(xp: Any, seed: Any) -> Any:
    """Make keys of shape (..., 2) from integers of shape (...)."""
    low = _low_words(xp, seed)
    wide = typeof(seed).dtype.itemsize == 8
    if wide and _is_torch(xp):
        seed = seed.view(xp.int64)
    high = _low_words(xp, seed >> 32) if wide else xp.zeros_like(low)
    return _from_words(xp, xp.stack([high, low], axis=-1))


def _low_words(xp: Any, x: Any) -> Any:
    """Lower 32 bits of integers, as words."""
    if not _is_torch(xp):
        return xp.astype(x, xp.uint32)
    dtype = typeof(x).dtype
    if dtype.kind == "uint" and dtype.itemsize > 2:
        x = x.view(xp.int32 if dtype.itemsize == 4 else xp.int64)
    return x.to(xp.int32)


# Kernels: real numbers ---------------------------------------------------------------------------

# Random bits drawn for a dtype, and how many of them, the digits of its fraction, are used.
_FORMATS: Final = {
    DTYPES["float16"]: (16, 10),
    DTYPES["bfloat16"]: (8, 7),
    DTYPES["float32"]: (32, 23),
    DTYPES["float64"]: (64, 52),
}


def random_unit(xp: Any, key: Any, *, shape: tuple[int, ...], dtype: DType) -> Any:
    """Draw multiples of 2**-digits in [0, 1) under keys of shape (..., 2)."""
    return _draw(xp, key, shape, lambda y0, y1: _unit_reals(xp, y0, y1, dtype))


def _unit_reals(xp: Any, y0: Any, y1: Any, dtype: DType) -> Any:
    """Make multiples of 2**-digits in [0, 1) from the two words of a hash."""
    width, digits = _FORMATS[dtype]
    x = _integers(xp, y0, y1, DTYPES[f"uint{width}"])
    if _is_torch(xp) and width > 8:
        x = x.view(getattr(xp, f"int{width}"))
    x >>= width - digits
    if _is_torch(xp):
        x &= (1 << digits) - 1
    u = xp.astype(x, library_for(xp).dtype(dtype))
    u *= 2.0**-digits
    return u


def random_normal(xp: Any, key: Any, *, shape: tuple[int, ...], dtype: DType) -> Any:
    """Draw standard normal numbers under keys of shape (..., 2)."""
    return _draw(xp, key, shape, lambda y0, y1: _normal_reals(xp, y0, y1, dtype))


def _normal_reals(xp: Any, y0: Any, y1: Any, dtype: DType) -> Any:
    """Make standard normal numbers from the two words of a hash."""
    x = _unit_reals(xp, y0, y1, dtype)
    # From the multiples of 2**-digits in [0, 1) to the middles of their cells in (-1, 1): exact.
    x *= 2.0
    x += 2.0 ** -(_FORMATS[dtype][1] + 1) - 1.0
    if dtype.itemsize > 2:
        x = erfinv(xp, x)
    else:
        x = xp.astype(erfinv(xp, xp.astype(x, xp.float32)), x.dtype)
    x *= float(np.asarray(math.sqrt(2.0), numpy_dtype(dtype)))
    return x


class _Branch(NamedTuple):
    """Polynomial in s, highest power first, for w of at least `start`."""

    start: float
    centre: float  # s = w - centre in the first branch, sqrt(w) - centre in the others
    coefficients: tuple[float, ...]


_ERFINV32: Final = (
    _Branch(
        0.0,
        2.5,
        (
            2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
            -0.00125372503, -0.00417768164, 0.246640727, 1.50140941,
        ),
    ),
    _Branch(
        5.0,
        3.0,
        (
            -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
            -0.0076224613, 0.00943887047, 1.00167406, 2.83297682,
        ),
    ),
)  # fmt: skip
_ERFINV64: Final = (
    _Branch(
        0.0,
        3.125,
        (
            -3.6444120640178196996e-21, -1.685059138182016589e-19, 1.2858480715256400167e-18,
            1.115787767802518096e-17, -1.333171662854620906e-16, 2.0972767875968561637e-17,
            6.6376381343583238325e-15, -4.0545662729752068639e-14, -8.1519341976054721522e-14,
            2.6335093153082322977e-12, -1.2975133253453532498e-11, -5.4154120542946279317e-11,
            1.051212273321532285e-09, -4.1126339803469836976e-09, -2.9070369957882005086e-08,
            4.2347877827932403518e-07, -1.3654692000834678645e-06, -1.3882523362786468719e-05,
            0.0001867342080340571352, -0.00074070253416626697512, -0.0060336708714301490533,
            0.24015818242558961693, 1.6536545626831027356,
        ),
    ),
    _Branch(
        6.25,
        3.25,
        (
            2.2137376921775787049e-09, 9.0756561938885390979e-08, -2.7517406297064545428e-07,
            1.8239629214389227755e-08, 1.5027403968909827627e-06, -4.013867526981545969e-06,
            2.9234449089955446044e-06, 1.2475304481671778723e-05, -4.7318229009055733981e-05,
            6.8284851459573175448e-05, 2.4031110387097893999e-05, -0.0003550375203628474796,
            0.00095328937973738049703, -0.0016882755560235047313, 0.0024914420961078508066,
            -0.0037512085075692412107, 0.005370914553590063617, 1.0052589676941592334,
            3.0838856104922207635,
        ),
    ),
    _Branch(
        16.0,
        5.0,
        (
            -2.7109920616438573243e-11, -2.5556418169965252055e-10, 1.5076572693500548083e-09,
            -3.7894654401267369937e-09, 7.6157012080783393804e-09, -1.4960026627149240478e-08,
            2.9147953450901080826e-08, -6.7711997758452339498e-08, 2.2900482228026654717e-07,
            -9.9298272942317002539e-07, 4.5260625972231537039e-06, -1.9681778105531670567e-05,
            7.5995277030017761139e-05, -0.00021503011930044477347, -0.00013871931833623122026,
            1.0103004648645343977, 4.8499064014085844221,
        ),
    ),
)  # fmt: skip


def erfinv(xp: Any, x: Any) -> Any:
    """Inverse error function on (-1, 1), as XLA computes it.

    Parameters
    ----------
    xp : namespace
    x : array of at least one axis, float32 or float64

    Returns
    -------
    array, shape and dtype of `x`

    Notes
    -----
    A polynomial in w = −log(1 − x²) times x. Because x² is rounded, the error grows with |x|, to
    some 100 ulp in float32 and 5000 in float64; XLA's is the same within 4 ulp.

    References
    ----------
    M. Giles, "Approximating the erfinv function", GPU Computing Gems Jade Edition, 2012, chapter
    10, https://people.maths.ox.ac.uk/gilesm/files/gems_erfinv.pdf, tables 5 and 6.
    """
    single = typeof(x).dtype.itemsize == 4
    centre, *tails = _ERFINV32 if single else _ERFINV64
    w = -(xp.log1p(-x * x) if single else _log1p(xp, -x * x))
    p = _horner(w - centre.centre, centre.coefficients)
    for tail in tails:
        if xp is np:  # 3 in 1000, which cost less to collect than all to compute
            found = np.nonzero(w >= tail.start)
            if found[0].size:
                p[found] = _horner(np.sqrt(w[found]) - tail.centre, tail.coefficients)
        else:
            q = _horner(xp.sqrt(w) - tail.centre, tail.coefficients)
            p = xp.where(w < tail.start, p, q)
    p *= x
    return p


_LOG1P_NUMERATOR: Final = (
    4.5270000862445199635215e-5, 4.9854102823193375972212e-1, 6.5787325942061044846969,
    29.911919328553073277375, 60.949667980987787057556, 57.112963590585538103336,
    20.039553499201281259648,
)  # fmt: skip
_LOG1P_DENOMINATOR: Final = (
    1.0, 15.062909083469192043167, 83.047565967967209469434, 221.76239823732856465394,
    309.09872225312059774938, 216.42788614495947685003, 60.118660497603843919306,
)  # fmt: skip


def _log1p(xp: Any, y: Any) -> Any:
    """``log(1 + y)`` in float64 for y in (-1, 0], with XLA's error.

    XLA uses the rational function down to 1 − √2, where it is wrong by 130 ulp; its own domain
    ends at √½ − 1. A library's accurate log1p would take `erfinv` 30 ulp away from XLA's.

    References
    ----------
    S. L. Moshier, Cephes Mathematical Library, 1984, unity.c.
    """
    ratio = y * y * _horner(y, _LOG1P_NUMERATOR)
    ratio /= _horner(y, _LOG1P_DENOMINATOR)
    ratio *= y
    ratio -= 0.5 * y * y
    ratio += y
    return xp.where(y > 1.0 - math.sqrt(2.0), ratio, xp.log(y + 1.0))


def _horner(s: Any, coefficients: tuple[float, ...]) -> Any:
    p = s * coefficients[0]
    p += coefficients[1]
    for c in coefficients[2:]:
        p *= s
        p += c
    return p


def _blockwise(xp: Any, function: Callable[[Any], Any], x: Any) -> Any:
    """Elementwise function of an array, on NumPy by blocks whose temporaries stay in the cache."""
    if xp is not np:
        return function(x)
    flat = x.reshape(-1)
    if flat.size <= _BLOCK:
        return function(flat).reshape(x.shape)
    out = np.empty_like(flat)
    for i in range(0, flat.size, _BLOCK):
        out[i : i + _BLOCK] = function(flat[i : i + _BLOCK])
    return out.reshape(x.shape)


def scale_unit(xp: Any, u: Any, minval: Any, maxval: Any) -> Any:
    """``max(minval, u * (maxval - minval) + minval)``; bounds of the dtype of `u`, or numbers."""
    dtype = typeof(u).dtype
    numbers = type(minval) in SCALARS and type(maxval) in SCALARS
    if numbers:
        minval, maxval = (float(np.asarray(b, numpy_dtype(dtype))) for b in (minval, maxval))
        span = float(np.asarray(maxval - minval, numpy_dtype(dtype)))
        if span < 0.0:
            return xp.full_like(u, minval)
    else:
        device = library_for(xp).device(u)
        minval, maxval = (xp.asarray(b, dtype=u.dtype, device=device) for b in (minval, maxval))
        span = maxval - minval
    wide = dtype.itemsize == 4 and _has_float64(xp, u)

    def scaled(u: Any) -> Any:
        if dtype.itemsize == 8:
            return _fused_multiply_add(u, span, minval, xp.floor)
        if wide:
            out = xp.astype(u, xp.float64) * _in_float64(xp, span)
            out += _in_float64(xp, minval)
            return xp.astype(out, u.dtype)
        # ml_dtypes makes float32 of bfloat16 and a Python number.
        out = xp.astype(u * span, u.dtype, copy=False)
        return xp.astype(out + minval, u.dtype, copy=False)

    out = _blockwise(xp, scaled, u) if numbers else xp.maximum(scaled(u), minval)
    return np.asarray(out) if xp is np else out  # rank 0 has become a scalar


def _in_float64(xp: Any, x: Any) -> Any:
    return x if type(x) is float else xp.astype(x, xp.float64)


def _has_float64(xp: Any, x: Any) -> bool:
    if xp is np:
        return True
    device = library_for(xp).device(x)
    if _is_torch(xp):
        return bool(device.type != "mps")
    info = xp.__array_namespace_info__()
    return "float64" in info.dtypes(device=device, kind="real floating")


def _fused_multiply_add(u: Any, span: Any, low: Any, floor: Callable[[Any], Any]) -> Any:
    """``u * span + low`` in float64, rounded once, for u a multiple of 2**-52 in [0, 1).

    References
    ----------
    T. J. Dekker, "A floating-point technique for extending the available precision", Numerische
    Mathematik 18, 1971 (splitting a number, exact product); D. E. Knuth, The Art of Computer
    Programming 2, section 4.2.2, theorem B (exact sum).
    """
    u1 = floor(u * 2.0**26) * 2.0**-26
    u2 = u - u1
    t = span * 2.0**-60  # so that splitting does not overflow
    c = t * (2.0**27 + 1.0)
    span1 = (c - (c - t)) * 2.0**60
    span2 = span - span1
    product = u * span
    error = u1 * span1 - product + u1 * span2 + u2 * span1 + u2 * span2
    total = product + low
    part = total - product
    error += product - (total - part) + (low - part)
    return total + error


# Primitives --------------------------------------------------------------------------------------
# Kernels take keys with leading batch axes, so batching most of them is the operation itself.


def _hosted(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Kernel that lends torch's tensors of the CPU to NumPy; no memory is copied."""

    @functools.wraps(kernel)
    def value(xp: Any, key: Any, *data: Any, **params: Any) -> Any:
        # A subclass of Tensor may have no memory to lend.
        lent = _is_torch(xp) and type(key).__name__ == "Tensor" and key.device.type == "cpu"
        if not lent or not all(type(d) is int for d in data):
            return kernel(xp, key, *data, **params)
        # Two threads gain little over NumPy, and lose a lot where another program is running.
        if (
            math.prod(params.get("shape", ())) * key.numel() > 2 * _MANY
            and sys.modules["torch"].get_num_threads() > 2
        ):
            return kernel(xp, key, *data, **params)
        out = kernel(np, key.numpy(), *data, **params)
        if out.dtype.name == "bfloat16":
            return xp.asarray(out.view(np.int16)).view(xp.bfloat16)
        return xp.asarray(out)

    return value


def _from_key(name: str, value: Callable[..., Any], type_rule: Callable[..., Any]) -> Any:
    """Make a primitive of one operand, whose leading axes are batch axes."""

    def batch(_size: int, _batched: tuple[bool, ...], x: Any, **params: Any) -> Any:
        return apply(x, **params)

    apply = primitive(name, type_rule=type_rule, batch=batch, derivatives=(ZERO,), value=value)
    return apply


def _drawn(key: ArrayType, *, shape: tuple[int, ...], dtype: DType) -> ArrayType:
    return ArrayType((*key.shape[:-1], *shape), dtype)


_seed: Final = _from_key(
    "random_seed", random_seed, lambda seed: ArrayType((*seed.shape, 2), DTYPES["uint32"])
)
_split: Final = _from_key(
    "random_split",
    _hosted(random_split),
    lambda key, *, shape: ArrayType((*key.shape[:-1], *shape, 2), key.dtype),
)
_bits: Final = _from_key("random_bits", _hosted(random_bits), _drawn)
_unit: Final = _from_key("random_unit", _hosted(random_unit), _drawn)
_normal: Final = _from_key("random_normal", _hosted(random_normal), _drawn)


def _batch_fold_in(_size: int, batched: tuple[bool, ...], key: Any, data: Any) -> Any:
    """Align the axes after the batch axis; those of a key are all but its last."""
    ranks = key.ndim - 1 - batched[0], typeof(data).ndim - batched[1]
    if batched[0] and ranks[0] < ranks[1]:
        ones = (1,) * (ranks[1] - ranks[0])
        key = ops.reshape(key, (key.shape[0], *ones, *key.shape[1:]))
    if batched[1] and ranks[1] < ranks[0]:
        ones = (1,) * (ranks[0] - ranks[1])
        data = ops.reshape(data, (data.shape[0], *ones, *data.shape[1:]))
    return _fold_in(key, data)


_fold_in: Any = primitive(
    "random_fold_in",
    type_rule=lambda key, data: ArrayType(
        (*broadcast_shapes("fold_in", key.shape[:-1], data.shape), 2), key.dtype
    ),
    batch=_batch_fold_in,
    derivatives=(ZERO, ZERO),
    value=_hosted(random_fold_in),
)


def _batch_between(*args: Any) -> Any:
    return batch_elementwise(_between, *args)


_between: Any = primitive(
    "random_between",
    type_rule=lambda u, minval, maxval: ArrayType(
        broadcast_shapes("uniform", u.shape, minval.shape, maxval.shape), u.dtype
    ),
    batch=_batch_between,
    derivatives=(
        Partial(lambda _out, _u, minval, maxval: ops.maximum(maxval - minval, 0.0)),
        Partial(lambda _out, u, minval, maxval: ops.where(maxval < minval, 1.0, 1.0 - u)),
        Partial(lambda _out, u, minval, maxval: ops.where(maxval < minval, 0.0, u)),
    ),
    value=scale_unit,
    elementwise=True,
)
