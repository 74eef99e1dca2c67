"""Reductions that leave out NaN, and weighted means."""

import math
from typing import Any

from volta.core.errors import ShapeError
from volta.core.trace import located, ops
from volta.core.types import DTYPES, HALVES, Array, typeof
from volta.functional.axes import normalize_axes
from volta.functional.declare import composite
from volta.functional.elementwise import (
    divide,
    equal,
    greater,
    isnan,
    logical_not,
    multiply,
    sqrt,
    square,
    subtract,
    where,
)
from volta.functional.manipulation import broadcast_to, reshape
from volta.functional.reduction import (
    all,
    count_nonzero,
    in_32_bits,
    max,
    mean,
    min,
    prod,
    std,
    sum,
    var,
)

__all__ = ["average", "nanmax", "nanmean", "nanmin", "nanprod", "nanstd", "nansum", "nanvar"]


def _inexact(x: Any) -> bool:
    """Whether a NaN may be in `x`."""
    return typeof(x).dtype.kind in ("float", "complex")


@composite
def nansum(x: Array, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """Sum over axes of the elements that are not NaN; 0 of none.

    Parameters
    ----------
    x : array
        Of numeric dtype.
    axis, dtype, keepdims
        As for `sum`.

    Returns
    -------
    array

    Raises
    ------
    DimensionError
        If there is no such axis.

    Examples
    --------
    >>> F.nansum(np.asarray([1.0, np.nan, 3.0]))
    array(4.)
    """
    x = where(isnan(x), 0, x) if _inexact(x) else x
    return sum(x, axis=axis, dtype=dtype, keepdims=keepdims)


@composite
def nanprod(x: Array, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """Product over axes of the elements that are not NaN; 1 of none.

    Parameters
    ----------
    x : array
        Of numeric dtype.
    axis, dtype, keepdims
        As for `prod`.

    Returns
    -------
    array

    Raises
    ------
    DimensionError
        If there is no such axis.

    Examples
    --------
    >>> F.nanprod(np.asarray([2.0, np.nan, 3.0]))
    array(6.)
    """
    x = where(isnan(x), 1, x) if _inexact(x) else x
    return prod(x, axis=axis, dtype=dtype, keepdims=keepdims)


@composite
def nanmax(x: Array, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Largest element over axes that is not NaN; NaN if there is none.

    Parameters
    ----------
    x : array
        Of real-valued dtype.
    axis, keepdims
        As for `max`.

    Returns
    -------
    array

    Raises
    ------
    DimensionError
        If there is no such axis.
    ShapeError
        If there is no element at all.

    Notes
    -----
    Equal largest elements share the derivative.

    Examples
    --------
    >>> F.nanmax(np.asarray([1.0, np.nan, 3.0]))
    array(3.)
    """
    if not _inexact(x):
        return max(x, axis=axis, keepdims=keepdims)
    if not _inexact(x):
        return max(x, axis=axis, keepdims=keepdims)
    missing = isnan(x)
    out = max(where(missing, -math.inf, x), axis=axis, keepdims=keepdims)
    return where(all(missing, axis=axis, keepdims=keepdims), math.nan, out)


@composite
def nanmin(x: Array, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Smallest element over axes that is not NaN; NaN if there is none.

    Parameters
    ----------
    x : array
        Of real-valued dtype.
    axis, keepdims
        As for `min`.

    Returns
    -------
    array

    Raises
    ------
    DimensionError
        If there is no such axis.
    ShapeError
        If there is no element at all.

    Notes
    -----
    Equal smallest elements share the derivative.

    Examples
    --------
    >>> F.nanmin(np.asarray([1.0, np.nan, 3.0]))
    array(1.)
    """
    if not _inexact(x):
        return min(x, axis=axis, keepdims=keepdims)
    if not _inexact(x):
        return min(x, axis=axis, keepdims=keepdims)
    missing = isnan(x)
    out = min(where(missing, math.inf, x), axis=axis, keepdims=keepdims)
    return where(all(missing, axis=axis, keepdims=keepdims), math.nan, out)


@composite
def nanmean(x: Array, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Mean over axes of the elements that are not NaN; NaN of none.

    Parameters
    ----------
    x : array
        Of floating dtype.
    axis, keepdims
        As for `mean`.

    Returns
    -------
    array

    Raises
    ------
    DimensionError
        If there is no such axis.

    Examples
    --------
    >>> F.nanmean(np.asarray([1.0, np.nan, 3.0]))
    array(2.)
    """
    if not _inexact(x):
        return mean(x, axis=axis, keepdims=keepdims)
    if typeof(x).dtype in HALVES:
        return in_32_bits(nanmean, x, axis=axis, keepdims=keepdims)
    missing = isnan(x)
    total = sum(where(missing, 0, x), axis=axis, keepdims=keepdims)
    return _shared_by(total, missing, 0, axis=axis, keepdims=keepdims)


def _shared_by(total: Any, missing: Any, less: float, *, axis: Any, keepdims: bool) -> Any:
    """`total` over the number of elements that are not `missing`, `less` so many; else NaN."""
    count = count_nonzero(logical_not(missing), axis=axis, keepdims=keepdims)
    real = typeof(total).dtype
    if real.kind == "complex":
        real = DTYPES["float32" if real.itemsize == 8 else "float64"]
    left = subtract(ops.astype(count, real), less)
    enough = greater(left, 0)
    return where(enough, divide(total, where(enough, left, 1)), math.nan)


@composite
def nanvar(
    x: Array, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False
) -> Any:
    """Variance over axes of the elements that are not NaN.

    Parameters
    ----------
    x : array
        Of floating dtype.
    axis, correction, keepdims
        As for `var`.

    Returns
    -------
    array
        NaN where there are not more such elements than `correction`.

    Raises
    ------
    DimensionError
        If there is no such axis.

    Examples
    --------
    >>> F.nanvar(np.asarray([1.0, np.nan, 3.0]))
    array(1.)
    """
    if not _inexact(x):
        return var(x, axis=axis, correction=correction, keepdims=keepdims)
    if typeof(x).dtype in HALVES:
        return in_32_bits(nanvar, x, axis=axis, correction=correction, keepdims=keepdims)
    missing = isnan(x)
    centre = nanmean(x, axis=axis, keepdims=True)
    centred = where(missing, 0, subtract(where(missing, 0, x), centre))
    if typeof(x).dtype.kind == "complex":
        centred = ops.abs(centred)
    total = sum(square(centred), axis=axis, keepdims=keepdims)
    return _shared_by(total, missing, correction, axis=axis, keepdims=keepdims)


@composite
def nanstd(
    x: Array, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False
) -> Any:
    """Standard deviation over axes of the elements that are not NaN, the root of `nanvar`.

    Parameters
    ----------
    x : array
        Of floating dtype.
    axis, correction, keepdims
        As for `var`.

    Returns
    -------
    array

    Raises
    ------
    DimensionError
        If there is no such axis.

    Notes
    -----
    The derivative is 0 where all elements are equal.

    Examples
    --------
    >>> F.nanstd(np.asarray([1.0, np.nan, 3.0]))
    array(1.)
    """
    if not _inexact(x):
        return std(x, axis=axis, correction=correction, keepdims=keepdims)
    if typeof(x).dtype in HALVES:
        return in_32_bits(nanstd, x, axis=axis, correction=correction, keepdims=keepdims)
    variance = nanvar(x, axis=axis, correction=correction, keepdims=keepdims)
    flat = equal(variance, 0)
    return where(flat, 0, sqrt(where(flat, 1, variance)))


@composite
def average(
    x: Array, /, *, axis: Any = None, weights: Array | None = None, keepdims: bool = False
) -> Any:
    """Weighted mean over axes, ``Σ w · x / Σ w``.

    Parameters
    ----------
    x : array
        Of floating dtype.
    axis : int or tuple of int, optional
        By default all axes.
    weights : array, optional
        Of the shape of `x`, or of the lengths of the axes that `axis` names; all 1 by default.
    keepdims : bool
        Whether the reduced axes stay, with length one.

    Returns
    -------
    array

    Raises
    ------
    DimensionError
        If there is no such axis.
    ShapeError
        If the weights are of another shape.

    Examples
    --------
    >>> F.average(np.asarray([1.0, 2.0]), weights=np.asarray([3.0, 1.0]))
    array(1.25)
    """
    if weights is None:
        return mean(x, axis=axis, keepdims=keepdims)
    if typeof(x).dtype in HALVES:
        return in_32_bits(average, x, axis=axis, weights=weights, keepdims=keepdims)
    axes, shape = normalize_axes("average", axis, x.ndim), tuple(x.shape)
    own = tuple(weights.shape)
    if own != shape:
        if own != tuple(shape[a] for a in axes):
            msg = (
                "average: the weights must have the shape of the array or of its axes; got "
                f"{own} and {shape} along {axes}."
            )
            raise located(ShapeError(msg))
        order = sorted(range(len(axes)), key=axes.__getitem__)
        weights = ops.permute_dims(weights, tuple(order))
        weights = reshape(weights, tuple(n if a in axes else 1 for a, n in enumerate(shape)))
    total = sum(multiply(x, weights), axis=axes, keepdims=keepdims)
    return divide(total, sum(broadcast_to(weights, shape), axis=axes, keepdims=keepdims))
