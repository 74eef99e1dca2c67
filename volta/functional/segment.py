"""Reductions over segments: rows of an array that carry the same number."""

import math
from typing import Any

import numpy as np

from volta.core.errors import DimensionError, DTypeError, ShapeError
from volta.core.trace import located, ops
from volta.core.tracer import concrete, library_under
from volta.core.types import DTYPES, HALVES, Array, as_dtype, typeof
from volta.functional.axes import normalize_shape
from volta.functional.declare import FLOATING, NUMERIC, REAL, composite, shortcut
from volta.functional.dtypes import iinfo
from volta.functional.elementwise import divide, equal, where
from volta.functional.indexing import beside, bounds_under
from volta.functional.manipulation import reshape
from volta.functional.update import (
    in_32_bits,
    scatter_add,
    scatter_max,
    scatter_min,
    scatter_multiply,
)

__all__ = ["segment_max", "segment_mean", "segment_min", "segment_prod", "segment_sum"]

_NAMES = {NUMERIC: "numeric", REAL: "real-valued", FLOATING: "floating"}


def _segments(
    name: str, kinds: tuple[str, ...], data: Any, segment_ids: Any, num_segments: Any
) -> tuple[Any, tuple[int, ...]]:
    """Ids in the library of `data`, and the shape of the result."""
    dtype = typeof(data).dtype
    if dtype.kind not in kinds:
        msg = f"{name}: the dtype of data must be {_NAMES[kinds]}; got {dtype.name}."
        raise located(DTypeError(msg))
    ids = segment_ids if hasattr(segment_ids, "dtype") else np.asarray(segment_ids)
    if as_dtype(ids.dtype).kind not in ("int", "uint"):
        msg = f"{name}: segment_ids must be integers; got {ids.dtype}."
        raise located(DTypeError(msg))
    if not data.shape or tuple(ids.shape) != tuple(data.shape[:1]):
        msg = (
            f"{name}: there must be one segment id for each row of data; got shapes "
            f"{tuple(ids.shape)} and {tuple(data.shape)}."
        )
        raise located(ShapeError(msg))
    if num_segments is None:
        own = concrete(ids, f"{name} without num_segments")
        count = int(library_under(own).xp.max(own)) + 1 if ids.shape[0] else 0
        count = max(count, 0)  # all negative, of which below
    else:
        (count,) = normalize_shape(name, num_segments)
    found = bounds_under(ids)
    if found is not None and (found[0] < 0 or found[1] >= count):
        msg = (
            f"{name}: segment_ids must be from 0 to {count - 1}; got "
            f"{found[0] if found[0] < 0 else found[1]}. Pass a larger num_segments, or leave out "
            "the rows that are in no segment."
        )
        raise located(DimensionError(msg))
    return beside(data, ids, name), (count, *data.shape[1:])


def _reduced(scatter: Any, start: Any, data: Any, ids: Any, shape: tuple[int, ...]) -> Any:
    return scatter(ops.full_like(data, start, shape=shape), data, ids, axes=(0,))


_add = in_32_bits(scatter_add)
_multiply = in_32_bits(scatter_multiply)


def _numpy_segment_sum(data: Any, segment_ids: Any, num_segments: int) -> Any:
    dtype = data.dtype
    if dtype.char not in "fdFD" or data.size > 256 or segment_ids.min() < 0:
        raise NotImplementedError
    out = np.zeros((num_segments,) + data.shape[1:], dtype)  # noqa: RUF005 - in half the time
    np.add.at(out, segment_ids, data)
    return out


@composite
@shortcut(_numpy_segment_sum, dtypes=None)
def segment_sum(data: Array, segment_ids: Array, num_segments: int | None = None) -> Any:
    """Sums of the rows of each segment.

    Parameters
    ----------
    data : array, shape (n, ...)
        Of numeric dtype; 16-bit floats are summed in 32 bits.
    segment_ids : array of int, shape (n,)
        Segment of each row, from 0 to ``num_segments - 1``, in any order.
    num_segments : int, optional
        By default one more than the largest id, whose value must then be known.

    Returns
    -------
    array, shape (num_segments, ...)
        Of the dtype of `data`; 0 for a segment without rows.

    Raises
    ------
    DimensionError
        If an id is negative or too large; seen where the ids are on the host.
    ShapeError
        If there is not one id for each row.
    DTypeError
        If the dtype of `data` or `segment_ids` is another.

    Examples
    --------
    >>> F.segment_sum(np.asarray([1.0, 2.0, 3.0, 4.0]), np.asarray([0, 0, 2, 0]))
    array([7., 0., 3.])
    """
    ids, shape = _segments("segment_sum", NUMERIC, data, segment_ids, num_segments)
    return _reduced(_add, 0, data, ids, shape)


@composite
def segment_mean(data: Array, segment_ids: Array, num_segments: int | None = None) -> Any:
    """Means of the rows of each segment.

    Parameters
    ----------
    data : array, shape (n, ...)
        Of real or complex floating dtype.
    segment_ids, num_segments
        As for `segment_sum`.

    Returns
    -------
    array, shape (num_segments, ...)
        Of the dtype of `data`; NaN for a segment without rows.

    Raises
    ------
    DimensionError, ShapeError, DTypeError
        As for `segment_sum`.

    Examples
    --------
    >>> F.segment_mean(np.asarray([1.0, 2.0, 3.0]), np.asarray([0, 0, 1]))
    array([1.5, 3. ])
    """
    ids, shape = _segments("segment_mean", FLOATING, data, segment_ids, num_segments)
    if typeof(data).dtype in HALVES:  # counts soon leave 16 bits
        wide = ops.astype(data, DTYPES["float32"])
        return ops.astype(segment_mean(wide, ids, shape[0]), data.dtype)
    rows = _reduced(_add, 0, ops.full_like(data, 1, shape=ids.shape), ids, shape[:1])
    rows = reshape(rows, (shape[0], *(1,) * (len(shape) - 1)))
    total = _reduced(_add, 0, data, ids, shape)
    none = equal(rows, 0)
    return where(none, math.nan, divide(total, where(none, 1, rows)))


@composite
def segment_prod(data: Array, segment_ids: Array, num_segments: int | None = None) -> Any:
    """Products of the rows of each segment.

    Parameters
    ----------
    data : array, shape (n, ...)
        Of numeric dtype.
    segment_ids, num_segments
        As for `segment_sum`.

    Returns
    -------
    array, shape (num_segments, ...)
        Of the dtype of `data`; 1 for a segment without rows.

    Raises
    ------
    DimensionError, ShapeError, DTypeError
        As for `segment_sum`.

    Notes
    -----
    Derivatives are right where elements are zero too.

    Examples
    --------
    >>> F.segment_prod(np.asarray([2, 3, 4]), np.asarray([0, 0, 2]))
    array([6, 1, 4])
    """
    ids, shape = _segments("segment_prod", NUMERIC, data, segment_ids, num_segments)
    return _reduced(_multiply, 1, data, ids, shape)


@composite
def segment_max(data: Array, segment_ids: Array, num_segments: int | None = None) -> Any:
    """Largest elements of the rows of each segment.

    Parameters
    ----------
    data : array, shape (n, ...)
        Of real-valued dtype.
    segment_ids, num_segments
        As for `segment_sum`.

    Returns
    -------
    array, shape (num_segments, ...)
        Of the dtype of `data`; −∞, or the smallest integer, for a segment without rows.

    Raises
    ------
    DimensionError, ShapeError, DTypeError
        As for `segment_sum`.

    Notes
    -----
    Equal largest elements share the derivative.

    Examples
    --------
    >>> F.segment_max(np.asarray([1.0, 5.0, 3.0]), np.asarray([0, 0, 1]))
    array([5., 3.])
    """
    ids, shape = _segments("segment_max", REAL, data, segment_ids, num_segments)
    return _reduced(scatter_max, _limit(data, -1), data, ids, shape)


@composite
def segment_min(data: Array, segment_ids: Array, num_segments: int | None = None) -> Any:
    """Smallest elements of the rows of each segment.

    Parameters
    ----------
    data : array, shape (n, ...)
        Of real-valued dtype.
    segment_ids, num_segments
        As for `segment_sum`.

    Returns
    -------
    array, shape (num_segments, ...)
        Of the dtype of `data`; ∞, or the largest integer, for a segment without rows.

    Raises
    ------
    DimensionError, ShapeError, DTypeError
        As for `segment_sum`.

    Notes
    -----
    Equal smallest elements share the derivative.

    Examples
    --------
    >>> F.segment_min(np.asarray([1.0, 5.0, 3.0]), np.asarray([0, 0, 1]))
    array([1., 3.])
    """
    ids, shape = _segments("segment_min", REAL, data, segment_ids, num_segments)
    return _reduced(scatter_min, _limit(data, 1), data, ids, shape)


def _limit(data: Any, sign: int) -> Any:
    """The largest number of a dtype, or with a `sign` of −1 the smallest."""
    dtype = typeof(data).dtype
    if dtype.kind == "float":
        return sign * math.inf
    return iinfo(dtype).max if sign > 0 else iinfo(dtype).min
