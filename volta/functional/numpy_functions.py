"""NumPy's functions with NumPy's arguments, in terms of the op set.

A function's name here is NumPy's; `FUNCTIONS` is keyed by module and name. An argument that is
not listed has no counterpart, and giving it raises.
"""

import math
import operator
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from volta.core.dispatch import NUMPY
from volta.core.trace import ops
from volta.core.tracer import widest
from volta.core.types import as_dtype, is_inexact
from volta.functional.dtypes import finfo
from volta.functional.sorting import METHODS

__all__ = ["FUNCTIONS", "UFUNCS", "UncoveredError"]

FUNCTIONS: Final[dict[tuple[str, str], Callable[..., Any]]] = {}


class UncoveredError(TypeError):
    """An argument that NumPy takes and these functions do not."""


def _require(holds: bool, what: str) -> None:
    """Refuse a call with `what` in it, unless `holds`."""
    if not holds:
        raise UncoveredError(what)


def _numpys(function: Callable[..., Any]) -> Callable[..., Any]:
    """Enter a function under its name, less the underscore that keeps it from hiding another."""
    FUNCTIONS["numpy", function.__name__.rstrip("_")] = function
    return function


def _array(a: Any) -> Any:
    """`a`, or the array of a list of numbers and arrays."""
    return a if hasattr(a, "ndim") else ops.namespace(NUMPY).asarray(a)


def _arrays(arrays: Any) -> list[Any]:
    return [_array(a) for a in arrays]


def _flat(a: Any, axis: int | None) -> tuple[Any, int]:
    """Array and axis that NumPy's ``axis=None`` means where the order of elements matters."""
    a = _array(a)
    return (ops.reshape(a, (-1,)), 0) if axis is None else (a, axis)


def _axis_first(a: Any, axis: int) -> Any:
    return ops.moveaxis(_array(a), axis, 0)


# Reductions ---------------------------------------------------------------------------------------


def _reduction(name: str) -> Callable[..., Any]:
    def call(a: Any, axis: Any = None, keepdims: Any = False) -> Any:
        return getattr(ops, name)(_array(a), axis=axis, keepdims=keepdims)

    return call


for _name in ("sum", "mean", "max", "min", "prod", "all", "any", "argmax", "argmin"):
    FUNCTIONS["numpy", _name] = _reduction(_name)
FUNCTIONS["numpy", "amax"] = FUNCTIONS["numpy", "max"]
FUNCTIONS["numpy", "amin"] = FUNCTIONS["numpy", "min"]
FUNCTIONS["numpy", "count_nonzero"] = _reduction("count_nonzero")


def _spread(name: str) -> Callable[..., Any]:
    def call(
        a: Any, axis: Any = None, ddof: float = 0, keepdims: Any = False, correction: Any = None
    ) -> Any:
        correction = ddof if correction is None else correction
        return getattr(ops, name)(_array(a), axis=axis, correction=correction, keepdims=keepdims)

    return call


FUNCTIONS["numpy", "std"] = _spread("std")
FUNCTIONS["numpy", "var"] = _spread("var")


for _name in ("nansum", "nanprod", "nanmax", "nanmin", "nanmean"):
    FUNCTIONS["numpy", _name] = _reduction(_name)
FUNCTIONS["numpy", "nanstd"] = _spread("nanstd")
FUNCTIONS["numpy", "nanvar"] = _spread("nanvar")


@_numpys
def ptp(a: Any, axis: Any = None, keepdims: Any = False) -> Any:
    a = _array(a)
    return ops.max(a, axis=axis, keepdims=keepdims) - ops.min(a, axis=axis, keepdims=keepdims)


@_numpys
def average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False
) -> Any:
    a = _array(a)
    if weights is None:
        weights = ops.ones_like(a)
    elif _array(weights).ndim == 1 and a.ndim > 1:
        shape = [1] * a.ndim
        shape[axis] = -1
        weights = ops.reshape(_array(weights), tuple(shape))
    total = ops.sum(ops.broadcast_to(_array(weights), a.shape), axis=axis, keepdims=keepdims)
    out = ops.sum(a * weights, axis=axis, keepdims=keepdims) / total
    return (out, total) if returned else out


@_numpys
def quantile(
    a: Any, q: Any, axis: Any = None, *, method: str = "linear", keepdims: Any = False
) -> Any:
    _require(method in METHODS, f"method={method!r}")
    a = _array(a)
    if not is_inexact(as_dtype(a.dtype)):
        a = ops.astype(a, widest(a))
    return ops.quantile(a, q, axis=axis, method=method, keepdims=keepdims)


@_numpys
def percentile(
    a: Any, q: Any, axis: Any = None, *, method: str = "linear", keepdims: Any = False
) -> Any:
    return quantile(a, np.asarray(q) / 100, axis, method=method, keepdims=keepdims)


@_numpys
def median(a: Any, axis: Any = None, keepdims: Any = False) -> Any:
    return quantile(a, 0.5, axis, keepdims=keepdims)


@_numpys
def cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: float | None = None
) -> Any:
    rows = atleast_2d(m)
    if not rowvar and _array(m).ndim > 1:
        rows = ops.matrix_transpose(rows)
    if y is not None:
        more = atleast_2d(y)
        rows = ops.concat((rows, more if rowvar else ops.matrix_transpose(more)), axis=0)
    if ddof is None:
        ddof = 0 if bias else 1
    centred = rows - ops.mean(rows, axis=1, keepdims=True)
    product = ops.matmul(centred, ops.matrix_transpose(ops.conj(centred)))
    return squeeze(product / (rows.shape[1] - ddof))


@_numpys
def corrcoef(x: Any, y: Any = None, rowvar: bool = True) -> Any:
    c = cov(x, y, rowvar)
    deviation = ops.sqrt(diagonal(c).real)
    return c / deviation[:, None] / deviation[None, :]


# Along an axis ------------------------------------------------------------------------------------


@_numpys
def cumsum(a: Any, axis: int | None = None) -> Any:
    a, axis = _flat(a, axis)
    return ops.cumulative_sum(a, axis=axis)


@_numpys
def cumprod(a: Any, axis: int | None = None) -> Any:
    a, axis = _flat(a, axis)
    return ops.cumulative_prod(a, axis=axis)


@_numpys
def nancumsum(a: Any, axis: int | None = None) -> Any:
    a = _array(a)
    return cumsum(ops.where(ops.isnan(a), 0.0, a), axis)


@_numpys
def cumulative_sum(x: Any, /, *, axis: int | None = None, include_initial: bool = False) -> Any:
    return ops.cumulative_sum(_array(x), axis=axis, include_initial=include_initial)


@_numpys
def cumulative_prod(x: Any, /, *, axis: int | None = None, include_initial: bool = False) -> Any:
    return ops.cumulative_prod(_array(x), axis=axis, include_initial=include_initial)


@_numpys
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    a = _array(a)
    one = list(a.shape)
    one[axis] = 1

    def end(x: Any) -> Any:
        return None if x is None else x if np.ndim(x) else ops.broadcast_to(_array(x), tuple(one))

    return ops.diff(a, n=n, axis=axis, prepend=end(prepend), append=end(append))


@_numpys
def ediff1d(ary: Any) -> Any:
    return ops.diff(ravel(ary))


@_numpys
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    y = ops.moveaxis(_array(y), axis, -1)
    if x is not None:
        x = _array(x)
        dx = ops.diff(x if x.ndim == 1 else ops.moveaxis(x, axis, -1))
    return ops.sum((y[..., 1:] + y[..., :-1]) * dx / 2, axis=-1)


@_numpys
def gradient(f: Any, *varargs: Any, axis: Any = None) -> Any:
    f = _array(f)
    axes = range(f.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    steps = varargs * len(axes) if len(varargs) == 1 else varargs or (1.0,) * len(axes)
    _require(not any(np.ndim(h) for h in steps), "coordinates")
    found = []
    for i, h in zip(axes, steps, strict=True):
        x = _axis_first(f, i)
        inner = (x[2:] - x[:-2]) / (2 * h)
        ends = (x[1:2] - x[:1]) / h, (x[-1:] - x[-2:-1]) / h
        found.append(ops.moveaxis(ops.concat((ends[0], inner, ends[1]), axis=0), 0, i))
    return found[0] if len(found) == 1 else tuple(found)


@_numpys
def sort(a: Any, axis: int | None = -1, *, kind: Any = None, stable: Any = None) -> Any:
    a, axis = _flat(a, axis)
    return ops.sort(a, axis=axis)


@_numpys
def argsort(a: Any, axis: int | None = -1, *, kind: Any = None, stable: Any = None) -> Any:
    a, axis = _flat(a, axis)
    return ops.argsort(a, axis=axis)


@_numpys
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    return ops.searchsorted(_array(a), _array(v), side=side, sorter=sorter)


@_numpys
def unique(
    ar: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False
) -> Any:
    if not (return_index or return_inverse or return_counts):
        return ops.unique_values(_array(ar))
    found = ops.unique_all(_array(ar))
    wanted = (True, return_index, return_inverse, return_counts)
    return tuple(x for x, w in zip(found, wanted, strict=True) if w)


@_numpys
def nonzero(a: Any) -> Any:
    return ops.nonzero(_array(a))


@_numpys
def flatnonzero(a: Any) -> Any:
    return ops.nonzero(ravel(a))[0]


@_numpys
def argwhere(a: Any) -> Any:
    return ops.stack(ops.nonzero(_array(a)), axis=-1)


@_numpys
def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    x, xp, fp = _arrays((x, xp, fp))
    return ops.interp(x, xp, fp, left=left, right=right, period=period)


@_numpys
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    return ops.convolve(*map(atleast_1d, (a, v)), mode)


@_numpys
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    return ops.correlate(*map(atleast_1d, (a, v)), mode)


# Shapes -------------------------------------------------------------------------------------------


@_numpys
def shape(a: Any) -> Any:
    return _array(a).shape


@_numpys
def ndim(a: Any) -> Any:
    return _array(a).ndim


@_numpys
def size(a: Any, axis: int | None = None) -> Any:
    return math.prod(_array(a).shape) if axis is None else _array(a).shape[axis]


def _at_least(rank: int, form: Callable[[tuple[int, ...]], tuple[int, ...]]) -> Callable[..., Any]:
    def call(*arys: Any) -> Any:
        found = [
            a if a.ndim >= rank else ops.reshape(a, form(tuple(a.shape))) for a in _arrays(arys)
        ]
        return found[0] if len(found) == 1 else tuple(found)

    return call


atleast_1d = FUNCTIONS["numpy", "atleast_1d"] = _at_least(1, lambda s: (1,))
atleast_2d = FUNCTIONS["numpy", "atleast_2d"] = _at_least(2, lambda s: (1, *s) if s else (1, 1))
atleast_3d = FUNCTIONS["numpy", "atleast_3d"] = _at_least(
    3, lambda s: {0: (1, 1, 1), 1: (1, *s, 1), 2: (*s, 1)}[len(s)]
)


@_numpys
def reshape(a: Any, /, shape: Any, order: str = "C") -> Any:
    _require(order == "C", f"order={order!r}")
    return ops.reshape(_array(a), shape)


@_numpys
def ravel(a: Any, order: str = "C") -> Any:
    return reshape(a, (-1,), order)


@_numpys
def squeeze(a: Any, axis: Any = None) -> Any:
    if axis is None:
        axis = tuple(i for i, n in enumerate(a.shape) if n == 1)
    return ops.squeeze(a, axis)


@_numpys
def transpose(a: Any, axes: Any = None) -> Any:
    a = _array(a)
    return ops.permute_dims(a, tuple(range(a.ndim))[::-1] if axes is None else axes)


@_numpys
def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    order = list(range(_array(a).ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return ops.permute_dims(_array(a), tuple(order))


@_numpys
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    axis, start = axis % a.ndim, start + a.ndim if start < 0 else start
    return ops.moveaxis(a, axis, start - 1 if axis < start else start)


@_numpys
def concatenate(arrays: Any, /, axis: Any = 0) -> Any:
    return ops.concat(tuple(_arrays(arrays)), axis=axis)


@_numpys
def stack(arrays: Any, axis: int = 0) -> Any:
    return ops.stack(tuple(_arrays(arrays)), axis=axis)


@_numpys
def hstack(tup: Any) -> Any:
    arrays = [atleast_1d(a) for a in tup]
    return ops.concat(tuple(arrays), axis=0 if arrays[0].ndim == 1 else 1)


@_numpys
def vstack(tup: Any) -> Any:
    return ops.concat(tuple(atleast_2d(a) for a in tup), axis=0)


@_numpys
def dstack(tup: Any) -> Any:
    return ops.concat(tuple(atleast_3d(a) for a in tup), axis=2)


@_numpys
def column_stack(tup: Any) -> Any:
    columns = (a[:, None] if a.ndim == 1 else a for a in map(atleast_1d, tup))
    return ops.concat(tuple(columns), axis=1)


@_numpys
def block(arrays: Any) -> Any:
    def depth(x: Any) -> int:
        return 1 + depth(x[0]) if isinstance(x, list) else 0

    def rank(x: Any) -> int:
        return max(map(rank, x)) if isinstance(x, list) else _array(x).ndim

    def joined(x: Any, axis: int) -> Any:
        if isinstance(x, list):
            return ops.concat(tuple(joined(part, axis + 1) for part in x), axis=axis)
        _require(not axis, "lists of different depths")
        x = _array(x)
        return ops.reshape(x, (1,) * (full - x.ndim) + tuple(x.shape))

    full = max(depth(arrays), rank(arrays))
    return joined(arrays, -depth(arrays))


@_numpys
def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    return ops.concat(tuple(_arrays((arr, values))), axis=axis)


@_numpys
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    x = _array(ary)
    places = np.array_split(np.arange(x.shape[axis]), indices_or_sections)
    before = (slice(None),) * (axis % x.ndim)
    ends = np.cumsum([0, *(len(p) for p in places)])
    starts = (int(p[0]) if len(p) else int(e) for p, e in zip(places, ends, strict=False))
    return [x[(*before, slice(s, s + len(p)))] for s, p in zip(starts, places, strict=True)]


@_numpys
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    np.split(np.empty(_array(ary).shape[axis]), indices_or_sections)  # raises if unequal
    return array_split(ary, indices_or_sections, axis)


@_numpys
def hsplit(ary: Any, indices_or_sections: Any) -> Any:
    return split(ary, indices_or_sections, 0 if _array(ary).ndim == 1 else 1)


@_numpys
def vsplit(ary: Any, indices_or_sections: Any) -> Any:
    return split(ary, indices_or_sections, 0)


@_numpys
def tile(A: Any, reps: Any) -> Any:  # noqa: N803 - NumPy's name
    reps = (reps,) if isinstance(reps, int) else tuple(reps)
    return ops.tile(_array(A), (1,) * (_array(A).ndim - len(reps)) + reps)


@_numpys
def pad(
    array: Any,
    pad_width: Any,
    mode: Any = "constant",
    constant_values: Any = 0,
    end_values: Any = 0,
    stat_length: Any = None,
    reflect_type: str = "even",
) -> Any:
    _require(mode != "empty" and isinstance(mode, str), f"mode={mode!r}")
    return ops.pad(
        _array(array),
        pad_width,
        mode,
        constant_values=constant_values,
        end_values=end_values,
        stat_length=stat_length,
        reflect_type=reflect_type,
    )


@_numpys
def flip(m: Any, axis: Any = None) -> Any:
    return ops.flip(_array(m), axis=axis)


@_numpys
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    m = _array(m)
    for _ in range(k % 4):
        m = swapaxes(ops.flip(m, axis=axes[1]), *axes)
    return m


@_numpys
def repeat(a: Any, repeats: Any, axis: int | None = None) -> Any:
    return ops.repeat(_array(a), repeats, axis=axis)


@_numpys
def broadcast_arrays(*args: Any) -> Any:
    return tuple(ops.broadcast_arrays(*_arrays(args)))


@_numpys
def meshgrid(*xi: Any, indexing: str = "xy") -> Any:
    return tuple(ops.meshgrid(*_arrays(xi), indexing=indexing))


@_numpys
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    a = ops.moveaxis(_array(a), (axis1, axis2), (0, 1))
    rows, columns = np.nonzero(np.eye(a.shape[0], a.shape[1], offset))
    return ops.moveaxis(a[rows, columns], 0, -1)


@_numpys
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return ops.sum(diagonal(a, offset, axis1, axis2), axis=-1)


@_numpys
def diag(v: Any, k: int = 0) -> Any:
    if _array(v).ndim == 2:
        return diagonal(v, k)
    places = np.diag(np.arange(1, _array(v).shape[0] + 1), k)  # 0 is off the diagonal
    values = ops.take(_array(v), np.maximum(places - 1, 0).ravel(), axis=0)
    return ops.where(places > 0, ops.reshape(values, places.shape), 0)


@_numpys
def take(a: Any, indices: Any, axis: int | None = None) -> Any:
    a, axis = _flat(a, axis)
    indices = _array(indices)
    found = ops.take(a, ops.reshape(indices, (-1,)), axis=axis)
    axis %= a.ndim
    return ops.reshape(found, (*a.shape[:axis], *indices.shape, *a.shape[axis + 1 :]))


@_numpys
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    arr, axis = _flat(arr, axis)
    return ops.take_along_axis(arr, indices, axis=axis)


@_numpys
def delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    arr, axis = _flat(arr, axis)
    return ops.take(arr, np.delete(np.arange(arr.shape[axis]), obj), axis=axis)


@_numpys
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    out = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        out = ops.where(condition, choice, out)
    return out


# Elementwise --------------------------------------------------------------------------------------


@_numpys
def clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    return ops.clip(_array(a), min if a_min is None else a_min, max if a_max is None else a_max)


@_numpys
def round_(a: Any, decimals: int = 0) -> Any:
    scale = 10.0**decimals
    return ops.round(_array(a) * scale) / scale if decimals else ops.round(_array(a))


FUNCTIONS["numpy", "around"] = round_


@_numpys
def nan_to_num(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    limits = finfo(x)
    x = ops.where(ops.isnan(x), nan, x)
    x = ops.where(x == math.inf, limits.max if posinf is None else posinf, x)
    return ops.where(x == -math.inf, limits.min if neginf is None else neginf, x)


@_numpys
def sinc(x: Any) -> Any:
    y = math.pi * _array(x)
    small = ops.abs(y) < 1e-4  # where two terms of the series are exact
    safe = ops.where(small, 1.0, y)
    return ops.where(small, 1 - y * y / 6, ops.sin(safe) / safe)


@_numpys
def angle(z: Any, deg: bool = False) -> Any:
    z = _array(z)
    imaginary = ops.imag(z) if as_dtype(z.dtype).kind == "complex" else ops.zeros_like(z)
    return ops.atan2(imaginary, z.real) * (180 / math.pi if deg else 1)


@_numpys
def isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    near = ops.abs(a - b) <= atol + rtol * ops.abs(b)
    near = (near & ops.isfinite(_array(b))) | ops.equal(a, b)
    return near | (ops.isnan(_array(a)) & ops.isnan(_array(b))) if equal_nan else near


@_numpys
def allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    return bool(ops.all(isclose(a, b, rtol, atol, equal_nan)))


@_numpys
def array_equal(a1: Any, a2: Any) -> Any:
    a1, a2 = _arrays((a1, a2))
    return tuple(a1.shape) == tuple(a2.shape) and bool(ops.all(ops.equal(a1, a2)))


@_numpys
def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, axis: int = 0) -> Any:
    parts = np.linspace(0.0, 1.0, num, endpoint=endpoint)
    start, stop = ops.broadcast_arrays(*_arrays((start, stop)))
    parts = np.reshape(parts, (num, *(1,) * start.ndim))
    return ops.moveaxis(start * (1 - parts) + stop * parts, 0, axis)


@_numpys
def polyval(p: Any, x: Any) -> Any:
    return ops.polyval(_array(p), _array(x))


# Products -----------------------------------------------------------------------------------------


@_numpys
def dot(a: Any, b: Any) -> Any:
    a, b = _arrays((a, b))
    if not a.ndim or not b.ndim:
        return ops.multiply(a, b)
    return ops.tensordot(a, b, axes=((-1,), (-2 if b.ndim > 1 else 0,)))


@_numpys
def inner(a: Any, b: Any, /) -> Any:
    a, b = _arrays((a, b))
    return ops.tensordot(a, b, axes=((-1,), (-1,))) if a.ndim and b.ndim else a * b


@_numpys
def outer(a: Any, b: Any) -> Any:
    return ravel(a)[:, None] * ravel(b)[None, :]


@_numpys
def vdot(a: Any, b: Any, /) -> Any:
    return ops.sum(ops.conj(ravel(a)) * ravel(b))


@_numpys
def kron(a: Any, b: Any) -> Any:
    a, b = _arrays((a, b))
    rank = max(a.ndim, b.ndim)
    n, m = ((1,) * (rank - x.ndim) + tuple(x.shape) for x in (a, b))
    left = ops.reshape(a, tuple(k for i in n for k in (i, 1)))
    right = ops.reshape(b, tuple(k for i in m for k in (1, i)))
    return ops.reshape(left * right, tuple(map(operator.mul, n, m)))


@_numpys
def cross(a: Any, b: Any, axis: int = -1) -> Any:
    a0, a1, a2 = ops.unstack(_array(a), axis=axis)
    b0, b1, b2 = ops.unstack(_array(b), axis=axis)
    products = (a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0)
    return ops.stack(products, axis=axis)


@_numpys
def einsum(*operands: Any, optimize: Any = False) -> Any:
    first, *others = operands
    if isinstance(first, str):
        return ops.einsum(first, *_arrays(others), optimize=optimize)
    terms = {*range(1, len(operands), 2), len(operands) - 1}  # the last perhaps the result's
    return ops.einsum(
        *(a if i in terms else _array(a) for i, a in enumerate(operands)), optimize=optimize
    )


# Of the same arguments ----------------------------------------------------------------------------

FUNCTIONS.update(
    {
        ("numpy", "astype"): lambda x, dtype, /, *, copy=True: ops.astype(x, dtype, copy=copy),
        ("numpy", "broadcast_to"): lambda array, shape: ops.broadcast_to(array, shape),
        ("numpy", "copy"): lambda a: a.copy(),
        ("numpy", "empty_like"): lambda prototype, dtype=None, *, shape=None: ops.full_like(
            prototype, 0, dtype=dtype, shape=shape
        ),
        ("numpy", "expand_dims"): lambda a, axis: ops.expand_dims(a, axis=axis),
        ("numpy", "fix"): lambda x: ops.trunc(x),
        ("numpy", "fliplr"): lambda m: ops.flip(_array(m), axis=1),
        ("numpy", "flipud"): lambda m: ops.flip(_array(m), axis=0),
        ("numpy", "full_like"): lambda a, fill_value, dtype=None, *, shape=None: ops.full_like(
            a, fill_value, dtype=dtype, shape=shape
        ),
        ("numpy", "imag"): lambda val: val.imag,
        ("numpy", "iscomplexobj"): lambda x: as_dtype(x.dtype).kind == "complex",
        ("numpy", "isrealobj"): lambda x: as_dtype(x.dtype).kind != "complex",
        ("numpy", "matrix_transpose"): lambda x, /: ops.matrix_transpose(x),
        ("numpy", "moveaxis"): lambda a, source, destination: ops.moveaxis(
            _array(a), source, destination
        ),
        ("numpy", "ones_like"): lambda a, dtype=None, *, shape=None: ops.full_like(
            a, 1, dtype=dtype, shape=shape
        ),
        ("numpy", "real"): lambda val: val.real,
        ("numpy", "roll"): lambda a, shift, axis=None: ops.roll(_array(a), shift, axis=axis),
        ("numpy", "tensordot"): lambda a, b, axes=2: ops.tensordot(_array(a), _array(b), axes=axes),
        ("numpy", "tril"): lambda m, k=0: ops.tril(m, k=k),
        ("numpy", "triu"): lambda m, k=0: ops.triu(m, k=k),
        ("numpy", "unstack"): lambda x, /, *, axis=0: ops.unstack(x, axis=axis),
        ("numpy", "where"): lambda condition, x, y, /: ops.where(condition, x, y),
        ("numpy", "zeros_like"): lambda a, dtype=None, *, shape=None: ops.full_like(
            a, 0, dtype=dtype, shape=shape
        ),
    }
)


# numpy.linalg, numpy.fft --------------------------------------------------------------------------


def _extension(module: str, name: str) -> Callable[..., Any]:
    """Function of `volta.functional.linalg` or `fft`, found when it is called."""

    def call(*args: Any, **kwargs: Any) -> Any:
        from volta import functional

        return getattr(getattr(functional, module), name)(*args, **kwargs)

    return call


for _name in (
    *("cholesky", "cross", "det", "eig", "eigh", "eigvals", "eigvalsh", "inv", "matmul"),
    *("matrix_norm", "matrix_power", "matrix_rank", "matrix_transpose", "outer", "pinv", "qr"),
    *("slogdet", "solve", "svd", "svdvals", "tensordot", "vecdot", "vector_norm"),
):
    FUNCTIONS["numpy.linalg", _name] = _extension("linalg", _name)
FUNCTIONS["numpy.linalg", "diagonal"] = lambda x, /, *, offset=0: diagonal(x, offset, -2, -1)
FUNCTIONS["numpy.linalg", "trace"] = lambda x, /, *, offset=0: trace(x, offset, -2, -1)


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    x = _array(x)
    if axis is None and ord is None:
        out = FUNCTIONS["numpy.linalg", "vector_norm"](ops.reshape(x, (-1,)))
        return ops.reshape(out, (1,) * x.ndim) if keepdims else out
    if axis is None:
        axis = tuple(range(x.ndim))
    if isinstance(axis, int) or len(axis) == 1:
        options = {"axis": axis, "keepdims": keepdims, "ord": 2 if ord is None else ord}
        return FUNCTIONS["numpy.linalg", "vector_norm"](x, **options)
    x = ops.moveaxis(x, axis, (-2, -1))
    out = FUNCTIONS["numpy.linalg", "matrix_norm"](x, ord="fro" if ord is None else ord)
    return ops.expand_dims(out, axis=tuple(axis)) if keepdims else out


def _multi_dot(arrays: Any) -> Any:
    out, *rest = _arrays(arrays)
    for a in rest:
        out = dot(out, a)
    return out


FUNCTIONS["numpy.linalg", "norm"] = _norm
FUNCTIONS["numpy.linalg", "multi_dot"] = _multi_dot


def _transform(name: str) -> Callable[..., Any]:
    def call(a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
        return _extension("fft", name)(_array(a), n=n, axis=axis, norm=norm or "backward")

    return call


def _transform_many(name: str, default: Any) -> Callable[..., Any]:
    def call(a: Any, s: Any = None, axes: Any = default, norm: Any = None) -> Any:
        return _extension("fft", name)(_array(a), s=s, axes=axes, norm=norm or "backward")

    return call


for _name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
    FUNCTIONS["numpy.fft", _name] = _transform(_name)
for _name in ("fftn", "ifftn", "rfftn", "irfftn"):
    FUNCTIONS["numpy.fft", _name] = _transform_many(_name, None)
    FUNCTIONS["numpy.fft", _name[:-1] + "2"] = _transform_many(_name, (-2, -1))
for _name in ("fftshift", "ifftshift"):
    FUNCTIONS["numpy.fft", _name] = lambda x, axes=None, name=_name: _extension("fft", name)(
        x, axes=axes
    )

# ufuncs that are compositions
UFUNCS: Final[dict[str, Callable[..., Any]]] = {
    "cbrt": lambda x: ops.sign(x) * ops.abs(x) ** (1 / 3),
    "deg2rad": lambda x: x * (math.pi / 180),
    "degrees": lambda x: x * (180 / math.pi),
    "fabs": lambda x: ops.abs(x),
    "float_power": lambda x, y: ops.pow(x, y),
    "fmax": lambda x, y: ops.where(ops.isnan(x), y, ops.where(ops.isnan(y), x, ops.maximum(x, y))),
    "fmin": lambda x, y: ops.where(ops.isnan(x), y, ops.where(ops.isnan(y), x, ops.minimum(x, y))),
    "fmod": lambda x, y: x - y * ops.trunc(x / y),
    "logaddexp2": lambda x, y: ops.logaddexp(x * math.log(2), y * math.log(2)) / math.log(2),
    "matvec": lambda x, y: ops.matmul(x, y[..., None])[..., 0],
    "rad2deg": lambda x: x * (180 / math.pi),
    "radians": lambda x: x * (math.pi / 180),
    "vecmat": lambda x, y: ops.matmul(ops.conj(x)[..., None, :], y)[..., 0, :],
}
