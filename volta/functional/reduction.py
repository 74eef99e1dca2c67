"""Reductions over axes, and the softmax family."""

import functools
import math
from typing import Any, Final

import numpy as np

from volta.core.derivatives import ZERO, Linear, Pair, weigh
from volta.core.errors import ShapeError
from volta.core.primitive import Unspecified
from volta.core.trace import located, ops
from volta.core.tracer import library_under
from volta.core.types import DTYPES, HALVES, Array, ArrayType, as_dtype, typeof
from volta.functional.axes import normalize_axes, normalize_axis
from volta.functional.declare import composite, primitive, shortcut, structural
from volta.functional.elementwise import (
    divide,
    equal,
    exp,
    log,
    multiply,
    sqrt,
    square,
    subtract,
    where,
)
from volta.functional.manipulation import _broadcast_to, reshape

__all__ = [
    "all",
    "any",
    "argmax",
    "argmin",
    "count_nonzero",
    "log_softmax",
    "logsumexp",
    "max",
    "mean",
    "min",
    "prod",
    "softmax",
    "std",
    "sum",
    "var",
]

Axes = tuple[int, ...]

# NumPy's own reductions, at half the cost of numpy.sum and kin; their stubs reject a tuple of axes
_numpy_add: Any = np.add.reduce
_numpy_max: Any = np.maximum.reduce
_numpy_multiply: Any = np.multiply.reduce


def _reduced(shape: tuple[int, ...], axis: Axes, keepdims: bool) -> tuple[int, ...]:
    if keepdims:
        return tuple(1 if i in axis else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in axis)


def _spread(ct: Any, shape: tuple[int, ...], axis: Axes, keepdims: bool) -> Any:
    """Cotangent of a reduction, repeated along the axes it reduced."""
    if not keepdims and ct.ndim:
        ct = reshape(ct, _reduced(shape, axis, True))
    return _broadcast_to(ct, shape=shape)


def _batched(apply: Any) -> Any:
    """Batching rule of a reduction: the axes move up by one."""

    def batch(size: int, batched: Any, x: Any, *, axis: Axes, keepdims: bool) -> Any:
        axes = normalize_axes(apply.primitive.name, axis, x.ndim - 1)
        return apply(x, axis=tuple(a + 1 for a in axes), keepdims=keepdims)

    return batch


def half(x: Any) -> bool:
    """Whether an array of 2-byte items is floating, and so must accumulate in 32 bits."""
    return as_dtype(x.dtype).kind == "float"


# Sums -------------------------------------------------------------------------------------------


def accumulated(name: str, x: ArrayType) -> Any:
    """Dtype that sums and products of `x` have by default."""
    if x.dtype.kind in ("float", "complex") or x.dtype.name == "uint64":
        return x.dtype
    if x.dtype.kind == "uint":  # uint64 by the standard, int64 where a library lacks that
        msg = f"{name}: the library must have sums of the dtype; got {x.dtype.name}."
        raise Unspecified(msg)
    return DTYPES["int64"]


def _sum_type(x: ArrayType, *, axis: Axes, keepdims: bool) -> ArrayType:
    normalize_axes("sum", axis, x.ndim)
    return ArrayType(_reduced(x.shape, axis, keepdims), accumulated("sum, prod", x))


def _numpy_sum(x: Any, *, axis: Axes, keepdims: bool) -> Any:
    if x.itemsize == 2 and half(x):
        return _numpy_add(x, axis, np.float32, keepdims=keepdims).astype(x.dtype)
    if x.ndim > 2 and x.size > _MANY and x.dtype.char in "fd" and len(axis) == 1:
        short, n = x.shape[-1], x.shape[-2]
        last = axis[0] == x.ndim - 1
        if 0 < short <= _SHORT and n <= _MANY and (last or axis[0] == x.ndim - 2):
            if last:
                out = np.matmul(x, _ones(short, x.dtype.char))
            else:
                out = np.matmul(_ones(n, x.dtype.char), x)
            return np.expand_dims(out, axis) if keepdims else out
    return _numpy_add(x, axis, keepdims=keepdims)


# NumPy adds up short rows at a tenth of the speed of a product with ones: 145 against 15 µs for
# 200 × 64 × 4, which is what the lanes of a vmap look like. One thread serves so small matrices.
_MANY: Final = 4096
_SHORT: Final = 32


@functools.lru_cache(maxsize=64)
def _ones(n: int, char: str) -> Any:
    return np.ones(n, char)


_sum: Any = primitive(
    "sum",
    type_rule=_sum_type,
    batch=lambda *args, **params: _batched(_sum)(*args, **params),
    derivatives=(
        Linear(lambda ct, x_shape, *, axis, keepdims: _spread(ct, x_shape, axis, keepdims)),
    ),
    value=lambda xp, x, *, axis, keepdims: xp.sum(x, axis=axis, keepdims=keepdims),
    kernels={"numpy": _numpy_sum},
)


@structural(_sum)
def sum(x: Array, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """Sum over axes.

    Parameters
    ----------
    x : array
        Of numeric dtype.
    axis : int or tuple of int, optional
        By default all axes.
    dtype : dtype, optional
        Of the result, to which `x` is converted first; by default that of `x`, and int64 or
        uint64 for small integers.
    keepdims : bool
        Whether the reduced axes stay, with length one.

    Returns
    -------
    array

    Raises
    ------
    DimensionError
        If there is no such axis.

    Examples
    --------
    >>> F.sum(np.asarray([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    array([4., 6.])
    """
    # whether an axis is too large the type rule tells
    axes = (axis,) if type(axis) is int and axis >= 0 else normalize_axes("sum", axis, x.ndim)
    if dtype is None:
        return _sum(x, axes, keepdims)
    return in_dtype(_sum, x, dtype, axis=axes, keepdims=keepdims)


def in_dtype(apply: Any, x: Any, dtype: Any, **params: Any) -> Any:
    """Apply a sum or product to `x` converted to `dtype`."""
    # back again, because small integers are summed as large ones
    return ops.astype(apply(ops.astype(x, dtype, copy=False), **params), dtype, copy=False)


def _count(shape: tuple[int, ...], axis: Axes) -> int:
    return math.prod(shape[a] for a in axis)


def _mean_type(x: ArrayType, *, axis: Axes, keepdims: bool) -> ArrayType:
    if x.dtype.kind not in ("float", "complex"):
        msg = f"mean: the dtype must be floating by the standard; got {x.dtype.name}."
        raise Unspecified(msg)
    return ArrayType(_reduced(x.shape, axis, keepdims), x.dtype)


def _numpy_mean(x: Any, *, axis: Axes, keepdims: bool) -> Any:
    if x.itemsize == 2 and half(x):
        total = _numpy_add(x, axis, np.float32, keepdims=keepdims)
        return (total / np.float32(_count(x.shape, axis))).astype(x.dtype)
    total = _numpy_add(x, axis, keepdims=keepdims)
    with np.errstate(invalid="ignore"):  # the mean of nothing is NaN
        return np.divide(total, _count(x.shape, axis))


_mean: Any = primitive(
    "mean",
    type_rule=_mean_type,
    batch=lambda *args, **params: _batched(_mean)(*args, **params),
    derivatives=(
        Linear(
            lambda ct, x_shape, *, axis, keepdims: _spread(
                divide(ct, _count(x_shape, axis) or 1), x_shape, axis, keepdims
            )
        ),
    ),
    value=lambda xp, x, *, axis, keepdims: xp.mean(x, axis=axis, keepdims=keepdims),
    kernels={"numpy": _numpy_mean},
)


@structural(_mean)
def mean(x: Array, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Arithmetic mean over axes.

    Parameters
    ----------
    x : array
        Of floating dtype.
    axis : int or tuple of int, optional
        By default all axes.
    keepdims : bool
        Whether the reduced axes stay, with length one.

    Returns
    -------
    array
        NaN where there is nothing to average.

    Raises
    ------
    DimensionError
        If there is no such axis.

    Examples
    --------
    >>> F.mean(np.asarray([1.0, 2.0, 6.0]))
    array(3.)
    """
    return _mean(x, axis=normalize_axes("mean", axis, x.ndim), keepdims=keepdims)


def _numpy_var(x: Any, *, axis: Any, correction: float, keepdims: bool) -> Any:
    return np.var(x, axis=axis, keepdims=keepdims)  # a correction, even of 0, takes it 2 µs


@composite
@shortcut(_numpy_var, condition="not correction and x.size")  # or NumPy warns of too few numbers
def var(x: Array, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """Variance over axes, ``Σ (x − mean)² / (n − correction)``.

    Parameters
    ----------
    x : array
        Of real floating dtype.
    axis : int or tuple of int, optional
        By default all axes.
    correction : float
        0 for the population's variance, 1 for the unbiased estimate from a sample.
    keepdims : bool
        Whether the reduced axes stay, with length one.

    Returns
    -------
    array
        NaN where ``n <= correction``.

    Raises
    ------
    DimensionError
        If there is no such axis.

    Examples
    --------
    >>> F.var(np.asarray([1.0, 2.0, 3.0]), correction=1)
    array(1.)
    """
    axes = normalize_axes("var", axis, x.ndim)
    if typeof(x).dtype in HALVES:  # a square soon overflows 16 bits
        return in_32_bits(var, x, axis=axes, correction=correction, keepdims=keepdims)
    centred = subtract(x, mean(x, axis=axes, keepdims=True))
    if typeof(x).dtype.kind == "complex":
        centred = ops.abs(centred)  # the standard is silent; the libraries' variance is real
    total = sum(square(centred), axis=axes, keepdims=keepdims)
    freedom = _count(tuple(x.shape), axes) - correction
    return multiply(total, 1 / freedom if freedom > 0 else math.nan)


@composite
def std(x: Array, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """Standard deviation over axes, the square root of `var`.

    Parameters
    ----------
    x : array
        Of real floating dtype.
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
    >>> F.std(np.asarray([1.0, 3.0]))
    array(1.)
    """
    axes = normalize_axes("std", axis, x.ndim)
    if typeof(x).dtype in HALVES:
        return in_32_bits(std, x, axis=axes, correction=correction, keepdims=keepdims)
    variance = var(x, axis=axes, correction=correction, keepdims=keepdims)
    flat = equal(variance, 0)
    return where(flat, 0, sqrt(where(flat, 1, variance)))


def in_32_bits(function: Any, x: Any, **params: Any) -> Any:
    """`function` of 16-bit floats: a number of elements soon leaves them."""
    return ops.astype(function(ops.astype(x, DTYPES["float32"]), **params), x.dtype)


# Products ---------------------------------------------------------------------------------------


def _products_of_others(x: Any) -> Any:
    """Product over the last axis of all elements but each; in pairs, so zeros are no trouble."""
    n = x.shape[-1]
    if n <= 1:
        return ops.ones_like(x)
    lead = tuple(x.shape[:-1])
    if n % 2:
        x = ops.concat([x, ops.ones_like(x[..., :1])], axis=-1)
    pairs = reshape(x, (*lead, (n + 1) // 2, 2))
    outside = _products_of_others(multiply(pairs[..., 0], pairs[..., 1]))
    both = multiply(ops.flip(pairs, axis=-1), ops.expand_dims(outside, axis=-1))
    return reshape(both, (*lead, n + n % 2))[..., :n]


def _prod_slope(x: Any, axis: Axes) -> Any:
    """∂prod/∂x, of the shape of x."""
    kept = tuple(a for a in range(x.ndim) if a not in axis)
    order = (*kept, *axis)
    last = ops.permute_dims(x, order)
    flat = reshape(last, (*(x.shape[a] for a in kept), _count(tuple(x.shape), axis)))
    slope = reshape(_products_of_others(flat), tuple(last.shape))
    return ops.permute_dims(slope, tuple(map(order.index, range(x.ndim))))


def _prod_jvp(primals: Any, tangents: Any, *, axis: Axes, keepdims: bool) -> Any:
    (x,), (t,) = primals, tangents
    out = _prod(x, axis=axis, keepdims=keepdims)
    return out, sum(multiply(t, _prod_slope(x, axis)), axis=axis, keepdims=keepdims)


def _prod_bwd(x: Any, ct: Any, needed: Any, *, axis: Axes, keepdims: bool) -> Any:
    return (multiply(_spread(ct, tuple(x.shape), axis, keepdims), _prod_slope(x, axis)),)


def _numpy_prod(x: Any, *, axis: Axes, keepdims: bool) -> Any:
    if x.itemsize == 2 and half(x):
        return _numpy_multiply(x, axis, np.float32, keepdims=keepdims).astype(x.dtype)
    return _numpy_multiply(x, axis, keepdims=keepdims)


def _torch_prod(x: Any, *, axis: Axes, keepdims: bool) -> Any:
    if not axis:
        return x.unsqueeze(-1).prod(-1)
    for a in sorted(axis, reverse=True):  # torch takes one axis at a time
        x = x.prod(a, keepdim=keepdims)
    return x


_prod: Any = primitive(
    "prod",
    type_rule=_sum_type,
    batch=lambda *args, **params: _batched(_prod)(*args, **params),
    derivatives=Pair(_prod_jvp, lambda x, **params: (_prod(x, **params), x), _prod_bwd),
    value=lambda xp, x, *, axis, keepdims: xp.prod(x, axis=axis, keepdims=keepdims),
    kernels={
        "numpy": _numpy_prod,
        "torch": _torch_prod,
    },
)


@structural(_prod)
def prod(x: Array, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """Product over axes.

    Parameters
    ----------
    x : array
        Of numeric dtype.
    axis : int or tuple of int, optional
        By default all axes.
    dtype : dtype, optional
        Of the result, to which `x` is converted first; by default as for `sum`.
    keepdims : bool
        Whether the reduced axes stay, with length one.

    Returns
    -------
    array

    Raises
    ------
    DimensionError
        If there is no such axis.

    Notes
    -----
    The derivative, the product of the other elements, is right where elements are zero too.

    Examples
    --------
    >>> F.prod(np.asarray([1.0, 2.0, 3.0]))
    array(6.)
    """
    axes = normalize_axes("prod", axis, x.ndim)
    if dtype is None:
        return _prod(x, axis=axes, keepdims=keepdims)
    return in_dtype(_prod, x, dtype, axis=axes, keepdims=keepdims)


# Extrema ----------------------------------------------------------------------------------------


def _extremum_type(name: str) -> Any:
    def type_rule(x: ArrayType, *, axis: Axes, keepdims: bool) -> ArrayType:
        if _count(x.shape, axis) == 0:
            raise _no_element(name, axis, x.shape)
        if x.dtype.kind not in ("int", "uint", "float"):
            msg = f"{name}: the dtype must be real-valued by the standard; got {x.dtype.name}."
            raise Unspecified(msg)
        return ArrayType(_reduced(x.shape, axis, keepdims), x.dtype)

    return type_rule


def _winners(x: Any, out: Any, axis: Axes, keepdims: bool) -> Any:
    """Weight of each element in an extremum: equal ones share it."""
    hit = ops.astype(equal(x, _spread(out, tuple(x.shape), axis, keepdims)), x.dtype)
    return divide(hit, sum(hit, axis=axis, keepdims=True))


def _extremum(name: str, reduce: Any) -> Any:
    def jvp(primals: Any, tangents: Any, *, axis: Axes, keepdims: bool) -> Any:
        (x,), (t,) = primals, tangents
        out = apply(x, axis=axis, keepdims=keepdims)
        term = weigh(t, _winners(x, out, axis, keepdims))
        return out, sum(term, axis=axis, keepdims=keepdims)

    def fwd(x: Any, *, axis: Axes, keepdims: bool) -> Any:
        out = apply(x, axis=axis, keepdims=keepdims)
        return out, (x, out)

    def bwd(residuals: Any, ct: Any, needed: Any, *, axis: Axes, keepdims: bool) -> Any:
        x, out = residuals
        weights = _winners(x, out, axis, keepdims)
        return (weigh(_spread(ct, tuple(x.shape), axis, keepdims), weights),)

    def dask(x: Any, *, axis: Axes, keepdims: bool) -> Any:
        if not _count(x.shape, axis):
            raise ValueError(x.shape)  # dask finds out when it computes; the type rule tells
        return getattr(library_under(x).xp, name)(x, axis=axis, keepdims=keepdims)

    apply: Any = primitive(
        name,
        type_rule=_extremum_type(name),
        batch=lambda *args, **params: _batched(apply)(*args, **params),
        derivatives=Pair(jvp, fwd, bwd),
        value=lambda xp, x, *, axis, keepdims: getattr(xp, name)(x, axis=axis, keepdims=keepdims),
        kernels={
            "numpy": lambda x, *, axis, keepdims: reduce(x, axis, keepdims=keepdims),
            "dask.array": dask,
        },
        masks=True,
    )
    return apply


_max = _extremum("max", np.maximum.reduce)
_min = _extremum("min", np.minimum.reduce)


@structural(_max)
def max(x: Array, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Largest element over axes; NaN if there is one.

    Parameters
    ----------
    x : array
        Of real-valued dtype.
    axis : int or tuple of int, optional
        By default all axes.
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
        If there is no element to choose.

    Notes
    -----
    Equal largest elements share the derivative.

    Examples
    --------
    >>> F.max(np.asarray([[1, 5], [7, 2]]), axis=1)
    array([5, 7])
    """
    return _max(x, axis=normalize_axes("max", axis, x.ndim), keepdims=keepdims)


@structural(_min)
def min(x: Array, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Smallest element over axes; NaN if there is one.

    Parameters
    ----------
    x : array
        Of real-valued dtype.
    axis : int or tuple of int, optional
        By default all axes.
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
        If there is no element to choose.

    Notes
    -----
    Equal smallest elements share the derivative.

    Examples
    --------
    >>> F.min(np.asarray([[1, 5], [7, 2]]), axis=1)
    array([1, 2])
    """
    return _min(x, axis=normalize_axes("min", axis, x.ndim), keepdims=keepdims)


def _arg_type(name: str) -> Any:
    def type_rule(x: ArrayType, *, axis: int, keepdims: bool) -> ArrayType:
        if x.shape[axis] == 0:
            raise _no_element(name, axis, x.shape)
        return ArrayType(_reduced(x.shape, (axis,), keepdims), DTYPES["int64"])

    return type_rule


def _no_element(name: str, axis: Any, shape: Any) -> ShapeError:
    msg = f"{name}: there must be an element along axis {axis}; got shape {tuple(shape)}."
    return ShapeError(msg)


def _arg_extremum(name: str) -> Any:
    apply: Any = primitive(
        name,
        type_rule=_arg_type(name),
        batch=lambda size, batched, x, *, axis, keepdims: apply(
            x, axis=axis + 1, keepdims=keepdims
        ),
        derivatives=(ZERO,),
        value=lambda xp, x, *, axis, keepdims: getattr(xp, name)(x, axis=axis, keepdims=keepdims),
    )
    return apply


_argmax = _arg_extremum("argmax")
_argmin = _arg_extremum("argmin")


def _arg(name: str, apply: Any, x: Any, axis: int | None, keepdims: bool) -> Any:
    if axis is not None:
        axis = normalize_axis(name, axis, x.ndim)
        if x.shape[axis] == 0:  # which dask would tell when it computes
            raise located(_no_element(name, axis, x.shape))
        return apply(x, axis=axis, keepdims=keepdims)
    if 0 in x.shape:
        raise located(_no_element(name, axis, x.shape))
    out = apply(reshape(x, (-1,)) if x.ndim else reshape(x, (1,)), axis=0, keepdims=False)
    return reshape(out, (1,) * x.ndim) if keepdims else out


@structural(_argmax)
@shortcut(np.argmax, dtypes="fdbhilqBHILQ")
def argmax(x: Array, /, *, axis: int | None = None, keepdims: bool = False) -> Any:
    """Index of the first largest element.

    Parameters
    ----------
    x : array
        Of real-valued dtype.
    axis : int, optional
        By default the index is into the flattened array.
    keepdims : bool
        Whether the reduced axes stay, with length one.

    Returns
    -------
    array of int64

    Raises
    ------
    DimensionError
        If there is no such axis.
    ShapeError
        If there is no element to choose.

    Examples
    --------
    >>> F.argmax(np.asarray([1, 5, 5]))
    array(1)
    """
    return _arg("argmax", _argmax, x, axis, keepdims)


@structural(_argmin)
@shortcut(np.argmin, dtypes="fdbhilqBHILQ")
def argmin(x: Array, /, *, axis: int | None = None, keepdims: bool = False) -> Any:
    """Index of the first smallest element.

    Parameters
    ----------
    x : array
        Of real-valued dtype.
    axis : int, optional
        By default the index is into the flattened array.
    keepdims : bool
        Whether the reduced axes stay, with length one.

    Returns
    -------
    array of int64

    Raises
    ------
    DimensionError
        If there is no such axis.
    ShapeError
        If there is no element to choose.

    Examples
    --------
    >>> F.argmin(np.asarray([5, 1, 1]))
    array(1)
    """
    return _arg("argmin", _argmin, x, axis, keepdims)


# Truth ------------------------------------------------------------------------------------------


def _truth(name: str, dtype: str, kernels: Any = None) -> Any:
    apply: Any = primitive(
        name,
        type_rule=lambda x, *, axis, keepdims: ArrayType(
            _reduced(x.shape, axis, keepdims), DTYPES[dtype]
        ),
        batch=lambda *args, **params: _batched(apply)(*args, **params),
        derivatives=(ZERO,),
        value=lambda xp, x, *, axis, keepdims: getattr(xp, name)(x, axis=axis, keepdims=keepdims),
        kernels=kernels,
    )
    return apply


def _torch_count(x: Any, *, axis: Axes, keepdims: bool) -> Any:
    hit = (x != 0).long()
    return hit.sum(axis, keepdim=keepdims) if axis else hit  # to torch no axis is all of them


_all = _truth("all", "bool")
_any = _truth("any", "bool")
_count_nonzero = _truth("count_nonzero", "int64", {"torch": _torch_count})


def _numpy_truth(ufunc: Any, x: Any, *, axis: Any, keepdims: bool) -> Any:
    return ufunc.reduce(x, axis=axis, keepdims=keepdims)


@structural(_all)
@shortcut(functools.partial(_numpy_truth, np.logical_and), dtypes=None)
def all(x: Array, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether all elements over axes are true (not zero).

    Parameters
    ----------
    x : array
    axis : int or tuple of int, optional
        By default all axes.
    keepdims : bool
        Whether the reduced axes stay, with length one.

    Returns
    -------
    array of bool

    Raises
    ------
    DimensionError
        If there is no such axis.

    Examples
    --------
    >>> F.all(np.asarray([[True, False], [True, True]]), axis=1)
    array([False,  True])
    """
    return _all(x, axis=normalize_axes("all", axis, x.ndim), keepdims=keepdims)


@structural(_any)
@shortcut(functools.partial(_numpy_truth, np.logical_or), dtypes=None)
def any(x: Array, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether any element over axes is true (not zero).

    Parameters
    ----------
    x : array
    axis : int or tuple of int, optional
        By default all axes.
    keepdims : bool
        Whether the reduced axes stay, with length one.

    Returns
    -------
    array of bool

    Raises
    ------
    DimensionError
        If there is no such axis.

    Examples
    --------
    >>> F.any(np.asarray([[True, False], [False, False]]), axis=1)
    array([ True, False])
    """
    return _any(x, axis=normalize_axes("any", axis, x.ndim), keepdims=keepdims)


@structural(_count_nonzero)
def count_nonzero(x: Array, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Count the elements over axes that are not zero.

    Parameters
    ----------
    x : array
    axis : int or tuple of int, optional
        By default all axes.
    keepdims : bool
        Whether the reduced axes stay, with length one.

    Returns
    -------
    array of int64

    Raises
    ------
    DimensionError
        If there is no such axis.

    Examples
    --------
    >>> F.count_nonzero(np.asarray([0, 3, 0, 5]))
    array(2)
    """
    axes = normalize_axes("count_nonzero", axis, x.ndim)
    return _count_nonzero(x, axis=axes, keepdims=keepdims)


# Softmax ----------------------------------------------------------------------------------------


def _softmax_type(name: str) -> Any:
    def type_rule(x: ArrayType, *, axis: int) -> ArrayType:
        if x.dtype.kind != "float":
            msg = f"{name}: the dtype must be real floating; got {x.dtype.name}."
            raise Unspecified(msg)
        return x

    return type_rule


def _softmax_value(xp: Any, x: Any, *, axis: int) -> Any:
    if not x.shape[axis]:
        return xp.zeros_like(x)  # without elements
    e = xp.exp(x - xp.max(x, axis=axis, keepdims=True))
    return e / xp.sum(e, axis=axis, keepdims=True)


def _numpy_softmax(x: Any, *, axis: int) -> Any:
    if x.itemsize == 2 and half(x):
        return _numpy_softmax(x.astype(np.float32), axis=axis).astype(x.dtype)
    if not x.size:
        return np.zeros_like(x)
    e = np.subtract(x, _numpy_max(x, axis, keepdims=True))
    np.exp(e, out=e)
    e /= _numpy_add(e, axis, keepdims=True)
    return e


def _softmax_bwd(out: Any, ct: Any, needed: Any, *, axis: int) -> Any:
    inner = out * ct
    return (inner - out * _sum(inner, (axis,), True),)


def _softmax_jvp(primals: Any, tangents: Any, *, axis: int) -> Any:
    out = _softmax(primals[0], axis=axis)
    return out, *_softmax_bwd(out, tangents[0], None, axis=axis)  # the Jacobian is symmetric


_softmax: Any = primitive(
    "softmax",
    type_rule=_softmax_type("softmax"),
    batch=lambda size, batched, x, *, axis: _softmax(x, axis=axis + 1),
    derivatives=Pair(
        _softmax_jvp,
        None,
        _softmax_bwd,
    ),
    value=_softmax_value,
    kernels={"numpy": _numpy_softmax, "torch": lambda x, *, axis: x.softmax(axis)},
)


@structural(_softmax)
def softmax(x: Array, /, axis: int = -1) -> Any:
    """Exponentials that sum to one along an axis, ``e^x / Σ e^x``.

    Parameters
    ----------
    x : array
        Of real floating dtype.
    axis : int

    Returns
    -------
    array, shape and dtype of `x`
        From 0 to 1.

    Raises
    ------
    DimensionError
        If there is no such axis.

    Examples
    --------
    >>> F.softmax(np.asarray([0.0, np.log(3.0)]))
    array([0.25, 0.75])
    """
    n = x.ndim
    plain = type(axis) is int and -n <= axis < n  # the common case, at less cost
    return _softmax(x, axis % n if plain else normalize_axis("softmax", axis, n))


def _log_softmax_value(xp: Any, x: Any, *, axis: int) -> Any:
    if not x.shape[axis]:
        return xp.zeros_like(x)  # without elements
    shifted = x - xp.max(x, axis=axis, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=axis, keepdims=True))


def _numpy_log_softmax(x: Any, *, axis: int) -> Any:
    if x.itemsize == 2 and half(x):
        return _numpy_log_softmax(x.astype(np.float32), axis=axis).astype(x.dtype)
    if not x.size:
        return np.zeros_like(x)
    out = np.subtract(x, _numpy_max(x, axis, keepdims=True))
    out -= np.log(_numpy_add(np.exp(out), axis, keepdims=True))
    return out


def _log_softmax_jvp(primals: Any, tangents: Any, *, axis: int) -> Any:
    out = _log_softmax(primals[0], axis=axis)
    t = tangents[0]
    return out, t - _sum(exp(out) * t, axis=(axis,), keepdims=True)


def _log_softmax_bwd(out: Any, ct: Any, needed: Any, *, axis: int) -> Any:
    return (ct - exp(out) * _sum(ct, (axis,), True),)


_log_softmax: Any = primitive(
    "log_softmax",
    type_rule=_softmax_type("log_softmax"),
    batch=lambda size, batched, x, *, axis: _log_softmax(x, axis=axis + 1),
    derivatives=Pair(
        _log_softmax_jvp,
        None,
        _log_softmax_bwd,
    ),
    value=_log_softmax_value,
    kernels={"numpy": _numpy_log_softmax, "torch": lambda x, *, axis: x.log_softmax(axis)},
)


@structural(_log_softmax)
def log_softmax(x: Array, /, axis: int = -1) -> Any:
    """Logarithm of `softmax`, ``x − log Σ e^x``, without overflow.

    Parameters
    ----------
    x : array
        Of real floating dtype.
    axis : int

    Returns
    -------
    array, shape and dtype of `x`
        At most 0.

    Raises
    ------
    DimensionError
        If there is no such axis.

    Examples
    --------
    >>> F.log_softmax(np.asarray([0.0, 0.0]))
    array([-0.69314718, -0.69314718])
    """
    n = x.ndim
    plain = type(axis) is int and -n <= axis < n  # the common case, at less cost
    return _log_softmax(x, axis % n if plain else normalize_axis("log_softmax", axis, n))


def _numpy_logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    top = x.max(axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, np.zeros_like(top))
    out = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    return out if keepdims else out.squeeze(axis)


@composite
@shortcut(_numpy_logsumexp)
def logsumexp(x: Array, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Logarithm of the sum of exponentials over axes, without overflow.

    Parameters
    ----------
    x : array
        Of real floating dtype.
    axis : int or tuple of int, optional
        By default all axes.
    keepdims : bool
        Whether the reduced axes stay, with length one.

    Returns
    -------
    array
        −∞ where every element is −∞, and where there is none.

    Raises
    ------
    DimensionError
        If there is no such axis.

    Examples
    --------
    >>> F.logsumexp(np.asarray([1000.0, 1000.0]))
    array(1000.69314718)
    """
    axes = normalize_axes("logsumexp", axis, x.ndim)
    if 0 in [x.shape[a] for a in axes]:
        return log(sum(x, axis=axes, keepdims=keepdims))  # of no terms
    top = ops.stop_gradient(max(x, axis=axes, keepdims=True))
    top = where(ops.isfinite(top), top, 0)
    total = sum(exp(subtract(x, top)), axis=axes, keepdims=keepdims)
    shape = _reduced(tuple(x.shape), axes, keepdims)
    return ops.add(log(total), top if keepdims else reshape(top, shape))
