"""Distinct elements, and membership.

How many there are depends on the values, which must therefore be known.
"""

import functools
from typing import Any, NamedTuple

import numpy as np

from volta.core.derivatives import ZERO
from volta.core.errors import DTypeError
from volta.core.trace import located, ops
from volta.core.tracer import concrete, library_under
from volta.core.types import DTYPES, SCALARS, Array, ArrayType, typeof
from volta.functional.declare import composite, primitive, shortcut, structural
from volta.functional.elementwise import equal, imag, not_equal, real
from volta.functional.indexing import take
from volta.functional.manipulation import concat, expand_dims, reshape
from volta.functional.sorting import argsort

__all__ = ["isin", "unique_all", "unique_counts", "unique_inverse", "unique_values"]


class UniqueAll(NamedTuple):
    """Result of `unique_all`."""

    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCounts(NamedTuple):
    """Result of `unique_counts`."""

    values: Any
    counts: Any


class UniqueInverse(NamedTuple):
    """Result of `unique_inverse`."""

    values: Any
    inverse_indices: Any


# Distinct elements ------------------------------------------------------------------------------


def _order(x: Any) -> Any:
    """Indices that put equal elements side by side, the first of them first."""
    kind = typeof(x).dtype.kind
    if kind == "bool":
        return argsort(ops.astype(x, DTYPES["uint8"]))
    if kind == "complex":
        order = argsort(imag(x))
        return take(order, argsort(take(real(x), order)))
    return argsort(x)


def _runs(name: str, x: Any) -> tuple[Any, Any, Any]:
    """Order of the elements, whether each begins a run of equal ones, and where the runs begin."""
    flat = reshape(concrete(x, name), (-1,))
    order = _order(flat)
    ranked = take(flat, order)
    n = flat.shape[0]
    first = ops.ones_like(ranked[: min(n, 1)], dtype=DTYPES["bool"])
    begins = concat(
        [first, not_equal(ranked[min(n, 1) :], ranked[: max(n - 1, 0)])]
    )  # NaN is unlike NaN
    begins = concrete(begins, name)
    (starts,) = library_under(begins).xp.nonzero(begins)
    return order, begins, starts


def _values(x: Any, order: Any, starts: Any) -> Any:
    return take(reshape(x, (-1,)), take(order, starts))


def _inverse(order: Any, begins: Any, shape: tuple[int, ...]) -> Any:
    run = ops.cumulative_sum(ops.astype(begins, order.dtype), axis=0) - 1
    return reshape(take(run, argsort(order)), shape)


def _counts(order: Any, starts: Any) -> Any:
    end = ops.full_like(starts, order.shape[0], shape=(1,))
    return ops.diff(concat([starts, end]))


@composite
def unique_all(x: Array, /) -> UniqueAll:
    """Distinct elements, where each is first, which of them each element is, and their numbers.

    Parameters
    ----------
    x : array
        Its values must be known, so inside `vmap` all lanes must share them.

    Returns
    -------
    values : array, shape (k,)
        In ascending order.
    indices : array of int64, shape (k,)
        Of their first occurrences in the flattened array.
    inverse_indices : array of int64, shape of `x`
        Such that ``values[inverse_indices]`` is `x`.
    counts : array of int64, shape (k,)

    Raises
    ------
    TraceError
        If the values are not known.

    Notes
    -----
    Every NaN is distinct. The values are taken from `x` at `indices`, and so is the derivative.

    Examples
    --------
    >>> F.unique_all(np.asarray([3, 1, 3])).counts
    array([1, 2])
    """
    order, begins, starts = _runs("unique_all", x)
    return UniqueAll(
        _values(x, order, starts),
        take(order, starts),
        _inverse(order, begins, tuple(x.shape)),
        _counts(order, starts),
    )


@composite
def unique_counts(x: Array, /) -> UniqueCounts:
    """Distinct elements and how often each occurs; see `unique_all`.

    Parameters
    ----------
    x : array

    Returns
    -------
    values : array, shape (k,)
    counts : array of int64, shape (k,)

    Raises
    ------
    TraceError
        If the values are not known.

    Examples
    --------
    >>> F.unique_counts(np.asarray([3, 1, 3])).values
    array([1, 3])
    """
    order, _, starts = _runs("unique_counts", x)
    return UniqueCounts(_values(x, order, starts), _counts(order, starts))


@composite
def unique_inverse(x: Array, /) -> UniqueInverse:
    """Distinct elements and which of them each element is; see `unique_all`.

    Parameters
    ----------
    x : array

    Returns
    -------
    values : array, shape (k,)
    inverse_indices : array of int64, shape of `x`

    Raises
    ------
    TraceError
        If the values are not known.

    Examples
    --------
    >>> F.unique_inverse(np.asarray([3, 1, 3])).inverse_indices
    array([1, 0, 1])
    """
    order, begins, starts = _runs("unique_inverse", x)
    return UniqueInverse(_values(x, order, starts), _inverse(order, begins, tuple(x.shape)))


@composite
@shortcut(functools.partial(np.unique, equal_nan=False), dtypes=None)
def unique_values(x: Array, /) -> Any:
    """Distinct elements; see `unique_all`.

    Parameters
    ----------
    x : array

    Returns
    -------
    array, shape (k,)

    Raises
    ------
    TraceError
        If the values are not known.

    Examples
    --------
    >>> F.unique_values(np.asarray([3, 1, 3]))
    array([1, 3])
    """
    order, _, starts = _runs("unique_values", x)
    return _values(x, order, starts)


# Membership -------------------------------------------------------------------------------------


def _torch_isin(x1: Any, x2: Any) -> Any:
    import torch

    return torch.isin(x1, x2)


def _portable_isin(xp: Any, x1: Any, x2: Any) -> Any:
    """For array-api-strict too, whose own function takes integers alone."""
    hits = xp.reshape(x1, (*x1.shape, 1)) == xp.reshape(x2, (-1,))
    return xp.any(hits, axis=-1)


def _isin_batch(size: int, batched: Any, x1: Any, x2: Any) -> Any:
    if not batched[1]:
        return _isin(x1, x2)
    lead = x1.shape[1:] if batched[0] else x1.shape
    each = reshape(x1, (*x1.shape[: batched[0]], -1, 1))
    hits = equal(each, expand_dims(reshape(x2, (size, -1)), axis=1))
    return reshape(ops.any(hits, axis=-1), (size, *lead))


_isin: Any = primitive(
    "isin",
    type_rule=lambda x1, x2: ArrayType(x1.shape, DTYPES["bool"]),
    batch=_isin_batch,
    derivatives=(ZERO, ZERO),
    value=_portable_isin,
    kernels={"numpy": np.isin, "torch": _torch_isin},
)


@structural(_isin)
def isin(x1: Any, x2: Any, /, *, invert: bool = False) -> Any:
    """Which elements of one array occur in another.

    Parameters
    ----------
    x1 : array, shape (...), or number
    x2 : array, or number
        One of the two must be an array.
    invert : bool
        Whether to say which do not.

    Returns
    -------
    array of bool, shape of `x1`

    Raises
    ------
    DTypeError
        If neither is an array, or the array's dtype cannot hold the number.

    Notes
    -----
    NaN occurs nowhere.

    Examples
    --------
    >>> F.isin(np.asarray([1, 2, 3]), np.asarray([3, 1]))
    array([ True, False,  True])
    """
    if type(x1) in SCALARS and type(x2) in SCALARS:
        msg = f"isin: one operand must be an array; got {x1} and {x2}."
        raise located(DTypeError(msg))
    if type(x1) in SCALARS:
        x1 = ops.full_like(x2, x1, shape=())
    elif type(x2) in SCALARS:
        x2 = ops.full_like(x1, x2, shape=())
    out = _isin(x1, x2)
    return ops.logical_not(out) if invert else out
