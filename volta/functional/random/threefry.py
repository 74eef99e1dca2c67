"""The generator: Threefry-2x32 over counters, on raw arrays.

A word is a uint32, or an int32 in torch, which cannot add or shift uint32: int32 wraps alike.
"""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from volta.core.dispatch import library_for
from volta.core.types import DType

__all__ = [
    "BLOCK",
    "MANY",
    "WORD",
    "counter_words",
    "draw",
    "dtype_of",
    "from_words",
    "hash_counters",
    "is_torch",
    "threefry2x32",
    "words_of",
]

WORD: Final = 0xFFFFFFFF
_PARITY: Final = 0x1BD11BDA
_ROTATIONS: Final = ((13, 15, 26, 6), (17, 29, 16, 24))

# Words that NumPy hashes at a time, so that they stay in the cache.
BLOCK: Final = 1 << 16
# Words up to which Python's ints are faster than NumPy's functions.
_FEW: Final = 100
# Words up to which NumPy's functions are faster than torch's on several threads of a CPU.
MANY: Final = 1 << 18


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
    return one, WORD * one, sum(i << 64 * i for i in range(n))


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


def hash_counters(xp: Any, keys: Any, x0: Any, x1: Any) -> tuple[Any, Any]:
    """Hash counters of shape (n or 1, m) under keys of shape (n, 2), all words."""
    rotate = _rotate_numpy if xp is np else _rotate_torch if is_torch(xp) else _rotate
    return threefry2x32(rotate, keys[:, :1], keys[:, 1:], x0, x1)


def is_torch(xp: Any) -> bool:
    """Whether a namespace is torch's."""
    return bool(xp.__name__.endswith("torch"))


def dtype_of(xp: Any, dtype: DType) -> Any:
    """What a namespace calls a dtype."""
    return dtype if hasattr(xp, "counter") else library_for(xp).dtype(dtype)


def words_of(xp: Any, x: Any) -> Any:
    """Words of a uint32 array."""
    return x.view(xp.int32) if is_torch(xp) else x


def from_words(xp: Any, words: Any) -> Any:
    """Words as a uint32 array, whose memory it may share."""
    return words.view(xp.uint32) if is_torch(xp) else words


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
    width, height = (BLOCK, max(1, BLOCK // (stop - start))) if xp is np else (1 << 30, count)
    device = library_for(xp).device(keys)
    left = start
    while left < stop:
        # A block ends where the upper word of its counters changes.
        right = min(left + width, (left | WORD) + 1, stop)
        if xp is np and count == 1 and right - left <= _FEW:
            k0, k1 = keys[0].tolist()
            words = _hash_few(k0, k1, left >> 32, left & WORD, right - left)
            yield slice(0, 1), slice(left - start, right - start), *words
            left = right
            continue
        x1 = xp.arange(right - left, dtype=keys.dtype, device=device)
        x1 = _plus(xp, xp.reshape(x1, (1, right - left)), left & WORD)
        x0 = _plus(xp, xp.zeros_like(x1), left >> 32)
        for top in range(0, count, height):
            rows = slice(top, min(top + height, count))
            yield (
                rows,
                slice(left - start, right - start),
                *hash_counters(xp, keys[rows, :], x0, x1),
            )
        left = right


def _plus(xp: Any, words: Any, number: int) -> Any:
    if number:
        words += number - (1 << 32) if is_torch(xp) and number >> 31 else number
    return words


def draw(
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
    if hasattr(xp, "counter"):  # a compiler's, of one element; the key is a pair of words
        return pack(*threefry2x32(_rotate, *key, *xp.counter(start)))
    keys = words_of(xp, xp.reshape(key, (-1, 2)))
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
