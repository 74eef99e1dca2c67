"""Choices among given things: permutations, samples, categories."""

import math
import operator
from typing import Any, Final

from volta.core.derivatives import ZERO
from volta.core.dispatch import library_for
from volta.core.errors import DTypeError, ShapeError
from volta.core.trace import located, ops
from volta.core.types import DTYPES, ArrayType, DType, typeof
from volta.functional.axes import normalize_axis, normalize_shape
from volta.functional.declare import primitive
from volta.functional.random.arguments import Shape, check_broadcast, checked_key, constant
from volta.functional.random.integer import default_integer, integers_within, random_bits
from volta.functional.random.interval import unit
from volta.functional.random.keys import random_split
from volta.functional.random.sampler import from_key, hosted
from volta.functional.random.threefry import is_torch
from volta.functional.random.transformed import maximal

__all__ = ["categorical", "choice", "permutation", "random_order"]


def permutation(
    key: Any,
    x: Any,
    axis: int = 0,
    independent: bool = False,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Bring an array, or the integers from 0 on, into random order.

    Parameters
    ----------
    key : array, shape (2,), uint32
    x : int or array
        Of an array, the places along `axis` change; an int stands for ``arange(x)``.
    axis : int
    independent : bool
        Whether every vector along `axis` gets an order of its own.
    xp, device : optional
        Library and device of the key, and so of the result for an int.

    Returns
    -------
    array, shape and dtype of `x`
        Equals ``jax.random.permutation``.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, or `x` neither an int nor an array of at least one axis.
    DimensionError
        If `axis` is not an axis of `x`.

    Notes
    -----
    Stable sorts by random bits of 32, repeated until ties are improbable.

    Examples
    --------
    >>> F.random.permutation(F.random.key(0), 5)
    array([0, 1, 4, 3, 2])
    """
    key = checked_key(key, xp, device, "permutation")
    return _permuted(key, _population("permutation", x), x, axis, independent)


def _permuted(key: Any, shape: tuple[int, ...], x: Any, axis: int, independent: bool) -> Any:
    axis = normalize_axis("permutation", axis, len(shape))
    own = independent and len(shape) > 1
    dtype = default_integer(key)
    order = _order(
        key, shape=shape if own else (shape[axis],), axis=axis if own else 0, dtype=dtype
    )
    if not hasattr(x, "dtype") or not typeof(x).shape:
        return constant(order)
    return ops.take_along_axis(x, order, axis=axis) if own else ops.take(x, order, axis=axis)


def choice(
    key: Any,
    a: Any,
    shape: Shape = (),
    replace: bool = True,
    p: Any = None,
    axis: int = 0,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw entries of an array, or integers from 0 on.

    Parameters
    ----------
    key : array, shape (2,), uint32
    a : int or array
        What to draw from: the entries along `axis`; an int stands for ``arange(a)``.
    shape : int or tuple of int
    replace : bool
        Whether an entry may be drawn more than once.
    p : array, shape (number of entries,), real floating, optional
        Probabilities, of which the sum is taken for 1; by default all are the same.
    axis : int
    xp, device : optional
        Library and device of the key, and so of the result for an int.

    Returns
    -------
    array, shape of `a` with `axis` replaced by `shape`, dtype of `a`
        Equals ``jax.random.choice``; with `p` up to rounding in its sums. Without `p`, where an
        entry may be drawn again, draws differ where default integers have 32 bits, as in JAX.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `a` neither an int nor an array of at least
        one axis, or `p` not real floating or not one number an entry.
    DimensionError
        If `axis` is not an axis of `a`.
    ValueError
        If there are not enough entries.

    Notes
    -----
    With `p`, an entry is found by its place in the cumulated probabilities, or without `replace`
    as one of the largest of log p plus Gumbel numbers.

    References
    ----------
    T. Vieira, "Gumbel-max trick and weighted reservoir sampling", 2014,
    https://timvieira.github.io/blog/post/2014/08/01/gumbel-max-trick-and-weighted-reservoir-sampling/.

    Examples
    --------
    >>> F.random.choice(F.random.key(0), 10, (3,), replace=False).shape
    (3,)
    """
    key = checked_key(key, xp, device, "choice")
    size, population = normalize_shape("choice", shape), _population("choice", a)
    axis = normalize_axis("choice", axis, len(population))
    n, draws = population[axis], math.prod(size)
    if draws and (not n or (not replace and draws > n)):
        msg = f"choice: there must be enough entries to draw from; got {n} for {draws} draws"
        raise ValueError(msg + (" without replacement." if n else "."))
    if p is not None:
        _check_probabilities(p, n)
        places = _weighted(key, size, p) if replace else _ranked(key, p)[:draws]
    elif replace:
        places = integers_within(key, size, 0, max(n, 1), default_integer(key))
    else:
        places = _permuted(key, (n,), n, 0, False)[:draws]
    places = ops.reshape(places, size)
    if not hasattr(a, "dtype") or not typeof(a).shape:
        return constant(places)
    picked = ops.take(a, ops.reshape(places, (draws,)), axis=axis)
    return ops.reshape(picked, (*population[:axis], *size, *population[axis + 1 :]))


def _check_probabilities(p: Any, n: int) -> None:
    if not hasattr(p, "dtype") or typeof(p).dtype.kind != "float":
        found = typeof(p).dtype.name if hasattr(p, "dtype") else type(p).__name__
        msg = f"choice: p must be a real floating array; got {found}."
        raise located(DTypeError(msg))
    if typeof(p).shape != (n,):
        msg = f"choice: p must have one number for each entry; got shape {typeof(p).shape} for {n}."
        raise located(ShapeError(msg))


def _weighted(key: Any, shape: tuple[int, ...], p: Any) -> Any:
    ends = ops.stop_gradient(ops.cumulative_sum(p))
    r = ops.multiply(ends[-1], 1.0 - unit(key, shape=shape, dtype=typeof(p).dtype))
    return _search(ends, r, dtype=default_integer(key))


def _ranked(key: Any, p: Any) -> Any:
    p = ops.stop_gradient(p)
    some = ops.greater(p, 0)
    log = ops.where(some, ops.log(ops.where(some, p, 1)), -math.inf)
    score = ops.add(maximal(key, *typeof(p)), log)
    return _descending(score, dtype=default_integer(key))


def categorical(
    key: Any,
    logits: Any,
    axis: int = -1,
    shape: Shape | None = None,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw categories of given logarithmic probabilities.

    Parameters
    ----------
    key : array, shape (2,), uint32
    logits : array, real floating
        Logarithms of the probabilities along `axis`, up to a constant.
    axis : int
    shape : int or tuple of int, optional
        By default the shape of `logits` without `axis`, which must broadcast to it.
    xp, device : optional
        Library and device of the key.

    Returns
    -------
    array, shape `shape`, integer
        Places along `axis`; equals ``jax.random.categorical``. It has no derivative.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, or `logits` not real floating or not
        broadcastable.
    DimensionError
        If `axis` is not an axis of `logits`.

    Notes
    -----
    The place of the largest of ``logits + gumbel(key, …)``.

    References
    ----------
    C. J. Maddison, D. Tarlow, T. Minka, "A* sampling", NeurIPS 2014,
    https://arxiv.org/abs/1411.0030.

    Examples
    --------
    >>> F.random.categorical(F.random.key(0), np.log([0.1, 0.9]), shape=6)
    array([1, 0, 1, 1, 1, 0])
    """
    key = checked_key(key, xp, device, "categorical")
    if not hasattr(logits, "dtype") or typeof(logits).dtype.kind != "float":
        found = typeof(logits).dtype.name if hasattr(logits, "dtype") else type(logits).__name__
        msg = f"categorical: logits must be a real floating array; got {found}."
        raise located(DTypeError(msg))
    full, dtype = typeof(logits)
    axis = normalize_axis("categorical", axis, len(full))
    batch = (*full[:axis], *full[axis + 1 :])
    size = batch if shape is None else normalize_shape("categorical", shape)
    check_broadcast("categorical", "logits", batch, size)
    place = len(size) - len(batch) + axis
    noise = maximal(key, (*size[:place], full[axis], *size[place:]), dtype)
    return constant(ops.argmax(ops.add(ops.stop_gradient(logits), noise), axis=place))


def _population(operation: str, x: Any) -> tuple[int, ...]:
    """Shape of what is drawn from: of an array, or of the integers below an int."""
    if hasattr(x, "dtype") and typeof(x).shape:
        return tuple(typeof(x).shape)
    try:
        number = operator.index(x)
    except TypeError:
        found = f"{typeof(x).dtype.name} of shape ()" if hasattr(x, "dtype") else type(x).__name__
        msg = f"{operation}: the second argument must be an int or an array with axes; got {found}."
        raise located(DTypeError(msg)) from None
    return normalize_shape(operation, number)


# Kernels -----------------------------------------------------------------------------------------


def random_order(xp: Any, key: Any, *, shape: tuple[int, ...], axis: int, dtype: DType) -> Any:
    """Draw places along `axis` in random order, for each of the vectors along it.

    Sorting the order of one round by fresh bits in the next makes keys of all rounds together;
    JAX takes so many rounds that ties among them are improbable.
    """
    rounds = math.ceil(3 * math.log(max(1, math.prod(shape))) / math.log(2**32 - 1))
    axis -= len(shape)
    order = None
    for _ in range(rounds):
        pair = random_split(xp, key, shape=(2,))
        key, fresh = pair[..., 0, :], pair[..., 1, :]
        words = random_bits(xp, fresh, shape=shape, dtype=DTYPES["uint32"])
        if is_torch(xp):  # does not sort unsigned integers
            words = xp.astype(words, xp.int64)
        step = xp.argsort(words, axis=axis, stable=True)
        order = step if order is None else xp.take_along_axis(order, step, axis=axis)
    if order is None:  # one element or none
        order = xp.zeros((*key.shape[:-1], *shape), device=library_for(xp).device(key))
    return xp.astype(order, library_for(xp).dtype(dtype), copy=False)


def random_search(xp: Any, ends: Any, r: Any, *, dtype: DType) -> Any:
    """First place along the last axis of `ends` whose number is not below `r`.

    Leading axes of `ends` are leading axes of `r` too.
    """
    rows = xp.reshape(ends, (-1, ends.shape[-1]))
    parts = xp.reshape(r, (rows.shape[0], -1)) if r.shape else xp.reshape(r, (1, 1))
    found = [xp.searchsorted(rows[i, :], parts[i, :]) for i in range(rows.shape[0])]
    places = xp.reshape(found[0] if len(found) == 1 else xp.stack(found), r.shape)
    return xp.astype(places, library_for(xp).dtype(dtype), copy=False)


def random_descending(xp: Any, x: Any, *, dtype: DType) -> Any:
    """Places along the last axis in the order of falling numbers."""
    places = xp.argsort(xp.negative(x), axis=-1, stable=True)
    return xp.astype(places, library_for(xp).dtype(dtype), copy=False)


# Primitives --------------------------------------------------------------------------------------

_order: Final = from_key(
    "random_order",
    hosted(random_order),
    lambda key, *, shape, axis, dtype: ArrayType((*key.shape[:-1], *shape), dtype),
)


def _batch_search(size: int, batched: tuple[bool, ...], ends: Any, r: Any, *, dtype: DType) -> Any:
    """Give both the batch axis, except where one row of `ends` serves all of `r`."""
    if batched[0] or ends.ndim > 1:
        if not batched[0]:
            ends = ops.broadcast_to(ends, (size, *ends.shape))
        if not batched[1]:
            r = ops.broadcast_to(r, (size, *r.shape))
    return _search(ends, r, dtype=dtype)


_search: Any = primitive(
    "random_search",
    type_rule=lambda ends, r, *, dtype: ArrayType(r.shape, dtype),
    batch=_batch_search,
    derivatives=(ZERO, ZERO),
    value=random_search,
)
_descending: Final = from_key(
    "random_descending", random_descending, lambda x, *, dtype: ArrayType(x.shape, dtype)
)
