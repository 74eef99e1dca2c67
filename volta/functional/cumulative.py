"""Running sums, products and extrema along an axis, and the differences of neighbours."""

import math
import operator
import sys
from typing import Any

import numpy as np

from volta.core.derivatives import Linear, Pair
from volta.core.errors import DimensionError, ShapeError
from volta.core.primitive import Unspecified
from volta.core.trace import located, ops
from volta.core.types import DTYPES, HALVES, Array, ArrayType, as_dtype, typeof
from volta.functional.axes import normalize_axis
from volta.functional.declare import composite, primitive, structural
from volta.functional.elementwise import (
    add,
    equal,
    exp,
    isnan,
    logical_or,
    multiply,
    not_equal,
    subtract,
    where,
)
from volta.functional.indexing import take_along_axis
from volta.functional.manipulation import broadcast_to, concat, flip, reshape
from volta.functional.reduction import accumulated, half, in_32_bits, in_dtype

__all__ = [
    "cumulative_logsumexp",
    "cumulative_max",
    "cumulative_min",
    "cumulative_prod",
    "cumulative_sum",
    "diff",
]


def _cumulative_sum_type(x: ArrayType, *, axis: int) -> ArrayType:
    return ArrayType(x.shape, accumulated("cumulative_sum", x))


def _cumulative_sum_value(xp: Any, x: Any, *, axis: int) -> Any:
    dtype = as_dtype(x.dtype)
    if dtype.kind == "float" and dtype.itemsize == 2:  # summed in 32 bits
        return xp.astype(xp.cumulative_sum(xp.astype(x, xp.float32), axis=axis), x.dtype)
    return xp.cumulative_sum(x, axis=axis)


def _numpy_cumulative_sum(x: Any, *, axis: int) -> Any:
    if x.itemsize == 2 and half(x):
        return np.add.accumulate(x, axis, np.float32).astype(x.dtype)
    return x.cumsum(axis)


_cumulative_sum: Any = primitive(
    "cumulative_sum",
    type_rule=_cumulative_sum_type,
    batch=lambda size, batched, x, *, axis: _cumulative_sum(x, axis=axis + 1),
    derivatives=(
        Linear(
            lambda ct, *, axis: flip(_cumulative_sum(flip(ct, axis=axis), axis=axis), axis=axis)
        ),
    ),
    value=_cumulative_sum_value,
    kernels={"numpy": _numpy_cumulative_sum},
)


@structural(_cumulative_sum)
def cumulative_sum(
    x: Array,
    /,
    *,
    axis: int | None = None,
    dtype: Any = None,
    include_initial: bool = False,
) -> Any:
    """Sums of the first 1, 2, 3, … elements along an axis, ``out[i] = Σ_{j ≤ i} x[j]``.

    Parameters
    ----------
    x : array, shape (..., n, ...)
        Of numeric dtype; 16-bit floats are summed in 32 bits.
    axis : int, optional
        May be left out if `x` has one axis.
    dtype : dtype, optional
        Of the result, to which `x` is converted first; by default that of `x`, and int64 or
        uint64 for small integers.
    include_initial : bool
        Whether the sum of no elements, 0, comes first.

    Returns
    -------
    array, shape (..., n, ...), or (..., n + 1, ...) with `include_initial`

    Raises
    ------
    DimensionError
        If there is no such axis, or it is not given and there are several.

    Examples
    --------
    >>> F.cumulative_sum(np.asarray([1.0, 2.0, 3.0]), include_initial=True)
    array([0., 1., 3., 6.])
    """
    axis = _the_axis("cumulative_sum", x, axis)
    if dtype is None:
        out = _cumulative_sum(x, axis=axis)
    else:
        out = in_dtype(_cumulative_sum, x, dtype, axis=axis)
    return _after(0, out, axis) if include_initial else out


def _the_axis(name: str, x: Any, axis: Any) -> int:
    """The axis given, or the only one."""
    if axis is None and x.ndim != 1:
        msg = f"{name}: axis must be given unless the array has one axis; got {tuple(x.shape)}."
        raise located(DimensionError(msg))
    return normalize_axis(name, 0 if axis is None else axis, x.ndim)


def _after(first: float, x: Any, axis: int) -> Any:
    """`x` with one number before it along an axis."""
    shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    return concat([ops.full_like(x, first, shape=shape), x], axis=axis)


def _cut(axis: int, start: int, stop: int | None) -> tuple[Any, ...]:
    return (*(slice(None),) * axis, slice(start, stop), ...)


# Products -----------------------------------------------------------------------------------------


def _recurrence(a: Any, b: Any, axis: int) -> Any:
    """``y[i] = a[i] y[i − 1] + b[i]`` with ``y[−1] = 0``, in log₂ n steps over twice the distance.

    After each step ``y[i] = a[i] y[i − distance] + b[i]``: W. D. Hillis, G. L. Steele, "Data
    parallel algorithms", CACM 29 (12), 1986.
    """
    distance, n = 1, a.shape[axis]
    while distance < n:
        near, far = _cut(axis, 0, distance), _cut(axis, distance, None)
        before = _cut(axis, 0, n - distance)
        further = add(b[far], multiply(a[far], b[before]))
        b = concat([b[near], further], axis=axis)
        a = concat([multiply(a[near], 0), multiply(a[far], a[before])], axis=axis)
        distance *= 2
    return b


def _reversed_recurrence(a: Any, b: Any, axis: int) -> Any:
    """``y[i] = a[i + 1] y[i + 1] + b[i]``, the transpose of `_recurrence`."""
    after = concat([a[_cut(axis, 1, None)], multiply(a[_cut(axis, 0, 1)], 0)], axis=axis)
    return flip(_recurrence(flip(after, axis=axis), flip(b, axis=axis), axis), axis=axis)


def _before(first: float, out: Any, axis: int) -> Any:
    """The running result before each element, `first` where there is none."""
    n = out.shape[axis]
    return _after(first, out, axis)[_cut(axis, 0, n)] if n else out


def _cumulative_prod_jvp(primals: Any, tangents: Any, *, axis: int) -> Any:
    (x,), (t,) = primals, tangents
    out = _cumulative_prod(x, axis=axis)
    return out, _recurrence(x, multiply(_before(1, out, axis), t), axis)


def _cumulative_prod_fwd(x: Any, *, axis: int) -> Any:
    out = _cumulative_prod(x, axis=axis)
    return out, (x, out)


def _cumulative_prod_bwd(residuals: Any, ct: Any, needed: Any, *, axis: int) -> Any:
    """``Σ_{i ≥ j} ct[i] Π_{k ≤ i, k ≠ j} x[k]``: no quotient, so zeros are no trouble."""
    x, out = residuals
    return (multiply(_before(1, out, axis), _reversed_recurrence(x, ct, axis)),)


def _cumulative_prod_value(xp: Any, x: Any, *, axis: int) -> Any:
    dtype = as_dtype(x.dtype)
    if dtype.kind == "float" and dtype.itemsize == 2:  # multiplied in 32 bits
        return xp.astype(xp.cumulative_prod(xp.astype(x, xp.float32), axis=axis), x.dtype)
    return xp.cumulative_prod(x, axis=axis)


def _numpy_cumulative_prod(x: Any, *, axis: int) -> Any:
    if x.itemsize == 2 and half(x):
        return np.multiply.accumulate(x, axis, np.float32).astype(x.dtype)
    return x.cumprod(axis)


_cumulative_prod: Any = primitive(
    "cumulative_prod",
    type_rule=_cumulative_sum_type,
    batch=lambda size, batched, x, *, axis: _cumulative_prod(x, axis=axis + 1),
    derivatives=Pair(_cumulative_prod_jvp, _cumulative_prod_fwd, _cumulative_prod_bwd),
    value=_cumulative_prod_value,
    kernels={"numpy": _numpy_cumulative_prod},
)


@structural(_cumulative_prod)
def cumulative_prod(
    x: Array,
    /,
    *,
    axis: int | None = None,
    dtype: Any = None,
    include_initial: bool = False,
) -> Any:
    """Products of the first 1, 2, 3, … elements along an axis, ``out[i] = Π_{j ≤ i} x[j]``.

    Parameters
    ----------
    x : array, shape (..., n, ...)
        Of numeric dtype; 16-bit floats are multiplied in 32 bits.
    axis : int, optional
        May be left out if `x` has one axis.
    dtype : dtype, optional
        Of the result, to which `x` is converted first; by default that of `x`, and int64 or
        uint64 for small integers.
    include_initial : bool
        Whether the product of no elements, 1, comes first.

    Returns
    -------
    array, shape (..., n, ...), or (..., n + 1, ...) with `include_initial`

    Raises
    ------
    DimensionError
        If there is no such axis, or it is not given and there are several.

    Notes
    -----
    Derivatives are right where elements are zero too, to any order.

    Examples
    --------
    >>> F.cumulative_prod(np.asarray([1.0, 2.0, 3.0]), include_initial=True)
    array([1., 1., 2., 6.])
    """
    axis = _the_axis("cumulative_prod", x, axis)
    if dtype is None:
        out = _cumulative_prod(x, axis=axis)
    else:
        out = in_dtype(_cumulative_prod, x, dtype, axis=axis)
    return _after(1, out, axis) if include_initial else out


# Logarithms of sums of exponentials ---------------------------------------------------------------


def _doubled(xp: Any, combine: Any, x: Any, axis: int) -> Any:
    """Running results of an associative operation, in log₂ n steps over twice the distance."""
    distance, n = 1, x.shape[axis]
    while distance < n:
        far, before = _cut(axis, distance, None), _cut(axis, 0, n - distance)
        x = xp.concat([x[_cut(axis, 0, distance)], combine(x[before], x[far])], axis=axis)
        distance *= 2
    return x


def _cumulative_logsumexp_type(x: ArrayType, *, axis: int) -> ArrayType:
    if x.dtype.kind != "float":
        msg = f"cumulative_logsumexp: the dtype must be real floating; got {x.dtype.name}."
        raise Unspecified(msg)
    return x


def _cumulative_logsumexp_value(xp: Any, x: Any, *, axis: int) -> Any:
    return _doubled(xp, xp.logaddexp, x, axis)


def _shares(x: Any, out: Any, axis: int) -> tuple[Any, Any]:
    """Shares in each running sum of the one before it and of its own element; 0 in a sum of 0."""
    level = where(equal(out, -math.inf), 0, out)
    return exp(subtract(_before(-math.inf, out, axis), level)), exp(subtract(x, level))


def _cumulative_logsumexp_jvp(primals: Any, tangents: Any, *, axis: int) -> Any:
    (x,), (t,) = primals, tangents
    out = _cumulative_logsumexp(x, axis=axis)
    before, own = _shares(x, out, axis)
    return out, _recurrence(before, multiply(own, t), axis)


def _cumulative_logsumexp_fwd(x: Any, *, axis: int) -> Any:
    out = _cumulative_logsumexp(x, axis=axis)
    return out, (x, out)


def _cumulative_logsumexp_bwd(residuals: Any, ct: Any, needed: Any, *, axis: int) -> Any:
    x, out = residuals
    before, own = _shares(x, out, axis)
    return (multiply(own, _reversed_recurrence(before, ct, axis)),)


_cumulative_logsumexp: Any = primitive(
    "cumulative_logsumexp",
    type_rule=_cumulative_logsumexp_type,
    batch=lambda size, batched, x, *, axis: _cumulative_logsumexp(x, axis=axis + 1),
    derivatives=Pair(
        _cumulative_logsumexp_jvp, _cumulative_logsumexp_fwd, _cumulative_logsumexp_bwd
    ),
    value=_cumulative_logsumexp_value,
    kernels={
        "numpy": lambda x, *, axis: np.logaddexp.accumulate(x, axis),
        "torch": lambda x, *, axis: x.logcumsumexp(axis),
        "jax.numpy": lambda x, *, axis: sys.modules["jax"].lax.cumlogsumexp(x, axis=axis),
    },
)


@structural(_cumulative_logsumexp)
def cumulative_logsumexp(x: Array, /, *, axis: int | None = None) -> Any:
    """Logarithms of the sums of the first 1, 2, 3, … exponentials along an axis.

    Parameters
    ----------
    x : array, shape (..., n, ...)
        Of real floating dtype; 16-bit floats are added up in 32 bits.
    axis : int, optional
        May be left out if `x` has one axis.

    Returns
    -------
    array, shape and dtype of `x`

    Raises
    ------
    DimensionError
        If there is no such axis, or it is not given and there are several.

    Notes
    -----
    ``out[i] = log Σ_{j ≤ i} e^x[j]``. Each sum is scaled by the largest of its own terms, so that
    a large element does not make those before it vanish. The derivative of ``out[i]`` is
    ``e^(x[j] − out[i])``; where every element was −∞, so that ``out[i]`` is −∞, it is 0.

    Examples
    --------
    >>> F.cumulative_logsumexp(np.asarray([-np.inf, -1000.0, -1000.0, 1000.0]))
    array([         -inf, -1000.        ,  -999.30685282,  1000.        ])
    """
    axis = _the_axis("cumulative_logsumexp", x, axis)
    if typeof(x).dtype in HALVES:
        return in_32_bits(_cumulative_logsumexp, x, axis=axis)
    return _cumulative_logsumexp(x, axis=axis)


# Extrema ------------------------------------------------------------------------------------------


def _places(out: Any, axis: int) -> Any:
    """Index of the first element that each running extremum is; of the first NaN once there is one.

    It is where the extremum last changed.
    """
    n = out.shape[axis]
    before = concat([out[_cut(axis, 0, 1)], out[_cut(axis, 0, n - 1)]], axis=axis)
    kept = logical_or(equal(out, before), isnan(before))
    numbers = reshape(ops.arange_like(out, n), (n, *(1,) * (out.ndim - axis - 1)))
    return _cumulative_max(where(kept, 0, numbers), axis=axis)


def _returned(ct: Any, out: Any, axis: int) -> Any:
    return ops.add_along_axis(ops.zeros_like_type(ct, typeof(ct)), _places(out, axis), ct, axis)


def _running_extremum(name: str, pairwise: str, own: dict[str, Any]) -> Any:
    def type_rule(x: ArrayType, *, axis: int) -> ArrayType:
        if x.dtype.kind not in ("int", "uint", "float"):
            msg = f"{name}: the dtype must be real-valued; got {x.dtype.name}."
            raise Unspecified(msg)
        return x

    def jvp(primals: Any, tangents: Any, *, axis: int) -> Any:
        out = apply(primals[0], axis=axis)
        return out, take_along_axis(tangents[0], _places(out, axis), axis=axis)

    def bwd(out: Any, ct: Any, needed: Any, *, axis: int) -> Any:
        if typeof(ct).dtype in HALVES:  # many may meet in one place
            return (in_32_bits(_returned, ct, out=out, axis=axis),)
        return (_returned(ct, out, axis),)

    apply: Any = primitive(
        name,
        type_rule=type_rule,
        batch=lambda size, batched, x, *, axis: apply(x, axis=axis + 1),
        derivatives=Pair(jvp, None, bwd),
        value=lambda xp, x, *, axis: _doubled(xp, getattr(xp, pairwise), x, axis),
        kernels=own,
        masks=True,
    )
    return apply


_cumulative_max: Any = _running_extremum(
    "cumulative_max",
    "maximum",
    {
        "numpy": lambda x, *, axis: np.maximum.accumulate(x, axis),
        "torch": lambda x, *, axis: x.cummax(axis).values,
        "jax.numpy": lambda x, *, axis: sys.modules["jax"].lax.cummax(x, axis=axis),
    },
)
_cumulative_min: Any = _running_extremum(
    "cumulative_min",
    "minimum",
    {
        "numpy": lambda x, *, axis: np.minimum.accumulate(x, axis),
        "torch": lambda x, *, axis: x.cummin(axis).values,
        "jax.numpy": lambda x, *, axis: sys.modules["jax"].lax.cummin(x, axis=axis),
    },
)


@structural(_cumulative_max)
def cumulative_max(x: Array, /, *, axis: int | None = None) -> Any:
    """Largest of the first 1, 2, 3, … elements along an axis; NaN from the first one on.

    Parameters
    ----------
    x : array, shape (..., n, ...)
        Of real-valued dtype.
    axis : int, optional
        May be left out if `x` has one axis.

    Returns
    -------
    array, shape and dtype of `x`

    Raises
    ------
    DimensionError
        If there is no such axis, or it is not given and there are several.

    Notes
    -----
    Of equal elements the first has the whole derivative, where `max` divides it among them: a
    later one changes nothing that is not its own.

    Examples
    --------
    >>> F.cumulative_max(np.asarray([1.0, 3.0, 2.0, 5.0]))
    array([1., 3., 3., 5.])
    """
    return _cumulative_max(x, axis=_the_axis("cumulative_max", x, axis))


@structural(_cumulative_min)
def cumulative_min(x: Array, /, *, axis: int | None = None) -> Any:
    """Smallest of the first 1, 2, 3, … elements along an axis; NaN from the first one on.

    Parameters
    ----------
    x : array, shape (..., n, ...)
        Of real-valued dtype.
    axis : int, optional
        May be left out if `x` has one axis.

    Returns
    -------
    array, shape and dtype of `x`

    Raises
    ------
    DimensionError
        If there is no such axis, or it is not given and there are several.

    Notes
    -----
    Of equal elements the first has the whole derivative, as in `cumulative_max`.

    Examples
    --------
    >>> F.cumulative_min(np.asarray([4.0, 3.0, 5.0, 1.0]))
    array([4., 3., 3., 1.])
    """
    return _cumulative_min(x, axis=_the_axis("cumulative_min", x, axis))


# Differences --------------------------------------------------------------------------------------


@composite
def diff(
    x: Array,
    /,
    *,
    axis: int = -1,
    n: int = 1,
    prepend: Array | None = None,
    append: Array | None = None,
) -> Any:
    """Differences of neighbours along an axis, ``out[i] = x[i + 1] − x[i]``, `n` times over.

    Parameters
    ----------
    x : array, shape (..., m, ...)
    axis : int
    n : int
        How often; 0 returns `x`, whatever is to be joined.
    prepend, append : array, optional
        Joined to `x` along the axis before the differences are taken; of its shape but for
        that axis, or of rank 0.

    Returns
    -------
    array, shape (..., max(m − n, 0), ...), where m counts what was joined
        For booleans, whether neighbours differ.

    Raises
    ------
    DimensionError
        If there is no such axis.
    ShapeError
        If `n` is negative, or the shapes of what is joined do not fit.

    Examples
    --------
    >>> F.diff(np.asarray([1.0, 4.0, 9.0]))
    array([3., 5.])
    """
    axis = normalize_axis("diff", axis, x.ndim)
    times = operator.index(n)
    if times < 0:
        msg = f"diff: n must be 0 or more; got {times}."
        raise located(ShapeError(msg))
    if times == 0:  # nothing is joined then, as in NumPy
        return x
    parts = [_joined(a, x, axis) for a in (prepend, x, append) if a is not None]
    if len(parts) > 1:
        x = concat(parts, axis=axis)
    lead = (slice(None),) * axis
    apart = not_equal if typeof(x).dtype is DTYPES["bool"] else subtract
    for _ in range(times):
        length = x.shape[axis]
        if length == 0:
            return x
        x = apart(x[(*lead, slice(1, None), ...)], x[(*lead, slice(0, length - 1), ...)])
    return x


def _joined(a: Any, x: Any, axis: int) -> Any:
    """What `diff` joins to `x`: a single number stands for a slice of it."""
    if a.ndim or not x.ndim:
        return a
    shape = tuple(x.shape)
    return broadcast_to(a, (*shape[:axis], 1, *shape[axis + 1 :]))
