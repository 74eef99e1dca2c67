"""Keys: made from seeds, and new ones from old ones."""

import operator
from typing import Any, Final

import numpy as np

from volta.core.context import STAGING
from volta.core.derivatives import ZERO
from volta.core.errors import DTypeError, ShapeError
from volta.core.trace import live, located, ops
from volta.core.tracer import Tracer
from volta.core.types import DTYPES, ArrayType, broadcast_shapes, typeof
from volta.functional.axes import normalize_shape
from volta.functional.creation import asarray
from volta.functional.declare import primitive
from volta.functional.manipulation import to_device
from volta.functional.random.arguments import Shape, checked_key
from volta.functional.random.sampler import from_key, hosted
from volta.functional.random.threefry import (
    WORD,
    draw,
    from_words,
    hash_counters,
    is_torch,
    words_of,
)

__all__ = ["fold_in", "key", "random_fold_in", "random_seed", "random_split", "split"]


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
        raise located(ValueError(msg))
    words = np.asarray([number >> 32 & WORD, number & WORD], np.uint32)
    if live.staging and (current := STAGING.get()) is not None:
        current.source(words)
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
    return _split(checked_key(key, xp, device, "split"), shape=normalize_shape("split", num))


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
    key = checked_key(key, xp, device, "fold_in")
    if isinstance(data, np.integer):
        data = int(data) & WORD
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
    if not 0 <= data <= WORD:
        msg = f"fold_in: data must lie in [0, 2**32); got {data}."
        raise located(ValueError(msg))
    return _fold_in(key, data)


# Kernels -----------------------------------------------------------------------------------------


def random_split(xp: Any, key: Any, *, shape: tuple[int, ...], start: int = 0) -> Any:
    """Make keys of shape (..., *shape, 2) from keys of shape (..., 2)."""

    def pack(y0: Any, y1: Any) -> Any:
        return from_words(xp, xp.stack([y0, y1], axis=-1))

    return draw(xp, key, shape, pack, (2,), start)


def random_fold_in(xp: Any, key: Any, data: Any) -> Any:
    """Make keys of shape (..., 2) from keys of shape (..., 2) and integers of shape (...)."""
    if type(data) is int:
        return random_split(xp, key, shape=(), start=data & WORD)
    batch = broadcast_shapes("fold_in", tuple(key.shape[:-1]), tuple(data.shape))
    keys = words_of(xp, xp.reshape(xp.broadcast_to(key, (*batch, 2)), (-1, 2)))
    x1 = xp.reshape(xp.broadcast_to(_low_words(xp, data), batch), (-1, 1))
    y = xp.concat(hash_counters(xp, keys, xp.zeros_like(x1), x1), axis=1)
    return xp.reshape(from_words(xp, y), (*batch, 2))


def random_seed(xp: Any, seed: Any) -> Any:
    """Make keys of shape (..., 2) from integers of shape (...)."""
    low = _low_words(xp, seed)
    wide = typeof(seed).dtype.itemsize == 8
    if wide and is_torch(xp):
        seed = seed.view(xp.int64)
    high = _low_words(xp, seed >> 32) if wide else xp.zeros_like(low)
    return from_words(xp, xp.stack([high, low], axis=-1))


def _low_words(xp: Any, x: Any) -> Any:
    """Lower 32 bits of integers, as words."""
    if not is_torch(xp):
        return xp.astype(x, xp.uint32)
    dtype = typeof(x).dtype
    if dtype.kind == "uint" and dtype.itemsize > 2:
        x = x.view(xp.int32 if dtype.itemsize == 4 else xp.int64)
    return x.to(xp.int32)


# Primitives --------------------------------------------------------------------------------------

_seed: Final = from_key(
    "random_seed", random_seed, lambda seed: ArrayType((*seed.shape, 2), DTYPES["uint32"])
)
_split: Final = from_key(
    "random_split",
    hosted(random_split),
    lambda key, *, shape: ArrayType((*key.shape[:-1], *shape, 2), key.dtype),
)


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
    value=hosted(random_fold_in),
)
