"""Embeddings: rows of a table looked up by number, one by one or in bags."""

import math
from typing import Any

from volta.core.errors import DimensionError, DTypeError, ShapeError
from volta.core.trace import located, ops
from volta.core.types import DTYPES, HALVES, Array, as_dtype, typeof
from volta.functional.declare import composite
from volta.functional.elementwise import (
    add,
    divide,
    equal,
    greater,
    maximum,
    multiply,
    stop_gradient,
    subtract,
    where,
)
from volta.functional.indexing import bounds_under, take
from volta.functional.linalg import vector_norm
from volta.functional.manipulation import expand_dims, reshape
from volta.functional.reduction import max as _max
from volta.functional.reduction import sum as _sum
from volta.functional.searching import searchsorted
from volta.functional.segment import segment_max, segment_sum

__all__ = ["embedding", "embedding_bag"]


def _check_table(name: str, weight: Any) -> None:
    if weight.ndim != 2:
        msg = (
            f"{name}: weight must have two axes, (rows, features); got shape {tuple(weight.shape)}."
        )
        raise located(ShapeError(msg))
    if typeof(weight).dtype.kind not in ("float", "complex"):
        msg = f"{name}: weight must be floating; got {typeof(weight).dtype.name}."
        raise located(DTypeError(msg))


def _numbers(name: str, what: str, x: Any) -> None:
    if not hasattr(x, "dtype") or as_dtype(x.dtype).kind not in ("int", "uint"):
        got = getattr(x, "dtype", type(x).__name__)
        msg = f"{name}: {what} must be an array of integers; got {got}."
        raise located(DTypeError(msg))


def _check_rows(name: str, x: Any, rows: int) -> None:
    found = bounds_under(x)
    if found is not None and (found[0] < 0 or found[1] >= rows):
        got = found[0] if found[0] < 0 else found[1]
        msg = f"{name}: row numbers must be from 0 to {rows - 1}; got {got}."
        raise located(DimensionError(msg))


def _padding_row(name: str, padding_idx: int | None, rows: int) -> int | None:
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        msg = f"{name}: padding_idx must be from {-rows} to {rows - 1}; got {padding_idx}."
        raise located(DimensionError(msg))
    return padding_idx % rows


def _at_most(rows: Any, max_norm: float, norm_type: float) -> Any:
    """`rows`, the longer ones shortened to `max_norm`."""
    length = vector_norm(rows, axis=-1, keepdims=True, ord=norm_type)
    longer = greater(length, max_norm)
    factor = where(longer, divide(max_norm, add(where(longer, length, 1), 1e-7)), 1)
    return multiply(rows, factor)


def _by_frequency(out: Any, x: Any, rows: int) -> Any:
    """`out` with derivatives divided by how often its row occurs in `x`."""
    flat = reshape(x, (-1,))
    dtype = typeof(out).dtype
    real = DTYPES["float64" if dtype.name in ("float64", "complex128") else "float32"]
    counts = segment_sum(ops.astype(ops.ones_like(flat), real), flat, rows)
    share = expand_dims(ops.astype(divide(1, take(counts, x, axis=0)), dtype), axis=-1)
    fixed = stop_gradient(out)
    return add(fixed, multiply(subtract(out, fixed), share))


def _looked_up(
    name: str,
    x: Any,
    weight: Any,
    padding_idx: int | None,
    max_norm: float | None,
    norm_type: float,
    scale_grad_by_freq: bool,
) -> tuple[Any, Any]:
    """Rows, and which are padding (None without)."""
    _check_table(name, weight)
    _numbers(name, "x", x)
    rows = int(weight.shape[0])
    _check_rows(name, x, rows)
    padding = _padding_row(name, padding_idx, rows)
    out = take(weight, x, axis=0)
    if max_norm is not None:
        out = _at_most(out, max_norm, norm_type)
    if scale_grad_by_freq:
        out = _by_frequency(out, x, rows)
    return out, None if padding is None else expand_dims(equal(x, padding), axis=-1)


@composite
def embedding(
    x: Array,
    weight: Array,
    *,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
) -> Any:
    """Look up rows of a table, ``weight[x]``.

    Parameters
    ----------
    x : array of int, shape (...)
        Row numbers, from 0 to n − 1.
    weight : array, shape (n, features)
        Of floating dtype.
    padding_idx : int, optional
        Row that gets no derivative.
    max_norm : float, optional
        Rows whose norm is larger are shortened to it.
    norm_type : float
        Order of that norm.
    scale_grad_by_freq : bool
        Whether a row's derivative is divided by how often it occurs in `x`.

    Returns
    -------
    array, shape (..., features)
        Of the dtype of `weight`.

    Raises
    ------
    DimensionError
        If there is no such row, seen where `x` is on the host; for negative numbers too.
    DTypeError
        If `x` is not of integers or `weight` not floating.
    ShapeError
        If `weight` is no table.

    Notes
    -----
    The function is pure: rows that are longer than `max_norm` are shortened in the result, and
    PyTorch's shortening of `weight` itself does not take place. The derivative is that of the
    shortened rows.

    Examples
    --------
    >>> F.embedding(np.asarray([2, 0]), np.asarray([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    array([[5., 6.],
           [1., 2.]])
    """
    out, padding = _looked_up(
        "embedding", x, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq
    )
    return out if padding is None else where(padding, stop_gradient(out), out)


@composite
def embedding_bag(
    x: Array,
    weight: Array,
    offsets: Array | None = None,
    *,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    per_sample_weights: Array | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:
    """Look up rows of a table, and reduce them to one row a bag.

    Parameters
    ----------
    x : array of int, shape (bags, size) or (m,)
        Row numbers, from 0 to n − 1: one bag a row, or all bags one after the other.
    weight : array, shape (n, features)
        Of floating dtype.
    offsets : array of int, shape (bags,)
        Where each bag begins in an `x` of one axis, in order; the first at 0.
    max_norm, norm_type, scale_grad_by_freq
        As for `embedding`.
    mode : "sum", "mean" or "max"
    per_sample_weights : array, shape of `x`, optional
        Factors of the rows, for ``"sum"`` alone.
    include_last_offset : bool
        Whether `offsets` ends with the length of `x`, which begins no bag.
    padding_idx : int, optional
        Row that counts as absent.

    Returns
    -------
    array, shape (bags, features)
        Of the dtype of `weight`; zeros for an empty bag.

    Raises
    ------
    DimensionError
        If there is no such row, seen where `x` is on the host.
    ShapeError
        If a shape does not fit.
    DTypeError
        If `x` or `offsets` is not of integers, or `weight` not floating.
    ValueError
        If there is no such mode, weights come with another than ``"sum"``, or `offsets` does not
        begin at 0.

    Notes
    -----
    Equal largest elements share the derivative evenly.

    Examples
    --------
    >>> table = np.asarray([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> F.embedding_bag(np.asarray([0, 1, 2, 2]), table, np.asarray([0, 3]), mode="sum")
    array([[ 9., 12.],
           [ 5.,  6.]])
    """
    name = "embedding_bag"
    if mode not in ("sum", "mean", "max"):
        msg = f"embedding_bag: mode must be 'sum', 'mean' or 'max'; got {mode!r}."
        raise located(ValueError(msg))
    if per_sample_weights is not None and mode != "sum":
        msg = f"embedding_bag: per_sample_weights must come with mode 'sum'; got {mode!r}."
        raise located(ValueError(msg))
    if per_sample_weights is not None and tuple(per_sample_weights.shape) != tuple(x.shape):
        msg = (
            "embedding_bag: per_sample_weights must have the shape of x; got "
            f"{tuple(per_sample_weights.shape)} and {tuple(x.shape)}."
        )
        raise located(ShapeError(msg))
    if x.ndim != (2 if offsets is None else 1):
        msg = (
            "embedding_bag: x must have two axes, or one and offsets; got shape "
            f"{tuple(x.shape)} {'without' if offsets is None else 'with'} offsets."
        )
        raise located(ShapeError(msg))
    out, padding = _looked_up(name, x, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq)
    dtype = typeof(out).dtype
    if dtype in HALVES:  # of which a sum soon leaves 16 bits
        out = ops.astype(out, DTYPES["float32"])
    if per_sample_weights is not None:
        factors = ops.astype(per_sample_weights, typeof(out).dtype, copy=False)
        out = multiply(out, expand_dims(factors, axis=-1))
    bags = _Fixed() if offsets is None else _Listed(x, offsets, include_last_offset)
    reduced = _reduced(bags, out, padding, mode)
    return ops.astype(reduced, dtype, copy=False)


class _Fixed:
    """Bags that are the rows of an array."""

    def sum(self, x: Any) -> Any:
        return _sum(x, axis=1)

    def max(self, x: Any) -> Any:
        if not x.shape[1]:
            return ops.full_like(x, -math.inf, shape=(x.shape[0], x.shape[2]))
        return _max(x, axis=1)


class _Listed:
    """Bags one after the other in a list."""

    def __init__(self, x: Any, offsets: Any, include_last: bool) -> None:
        _numbers("embedding_bag", "offsets", offsets)
        if offsets.ndim != 1 or (include_last and not offsets.shape[0]):
            msg = (
                "embedding_bag: offsets must have one axis, and an element if the last is "
                f"included; got shape {tuple(offsets.shape)}."
            )
            raise located(ShapeError(msg))
        starts = offsets[:-1] if include_last else offsets
        found = bounds_under(starts)
        if found is not None and (found[0] != 0 or found[1] > x.shape[0]):
            msg = (
                "embedding_bag: offsets must begin at 0 and end in x; got "
                f"{found[0]} to {found[1]} for {x.shape[0]} elements."
            )
            raise located(ValueError(msg))
        places = ops.arange_like(x, int(x.shape[0]))
        self.count = int(starts.shape[0])
        starts = ops.astype(starts, typeof(places).dtype, copy=False)
        self.ids = subtract(searchsorted(starts, places, side="right"), 1)

    def sum(self, x: Any) -> Any:
        return segment_sum(x, self.ids, self.count)

    def max(self, x: Any) -> Any:
        return segment_max(x, self.ids, self.count)


def _reduced(bags: Any, out: Any, padding: Any, mode: str) -> Any:
    present = ops.ones_like(out[..., :1])
    if padding is not None:
        present = where(padding, 0, present)
        out = where(padding, -math.inf if mode == "max" else 0, out)
    if mode == "sum":
        return bags.sum(out)
    count = bags.sum(present)
    if mode == "max":
        return where(equal(count, 0), 0, bags.max(out))
    return divide(bags.sum(out), maximum(count, 1))
