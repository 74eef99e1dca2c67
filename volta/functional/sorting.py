"""Sorting, and the statistics that follow from order.

A NaN counts as the largest number, as in NumPy, torch and JAX: it comes last, and first in
descending order.
"""

from typing import Any, Final

import numpy as np

from volta.core.derivatives import ZERO, Linear, Pair
from volta.core.errors import DTypeError, ShapeError
from volta.core.primitive import Unspecified
from volta.core.trace import located, ops
from volta.core.types import DTYPES, Array, ArrayType, typeof
from volta.functional.axes import normalize_axes, normalize_axis
from volta.functional.declare import composite, in_one_task, primitive, shortcut, structural
from volta.functional.elementwise import add, isnan, multiply, where
from volta.functional.indexing import take_along_axis
from volta.functional.manipulation import broadcast_to, reshape

__all__ = ["argsort", "median", "quantile", "sort", "top_k"]


def _sorted_type(name: str, x: ArrayType) -> ArrayType:
    if x.dtype.kind not in ("int", "uint", "float"):
        msg = f"{name}: the dtype must be real-valued by the standard; got {x.dtype.name}."
        raise Unspecified(msg)
    return x


# Order ------------------------------------------------------------------------------------------


def _comparable(x: Any) -> Any:
    """`x`, or the same numbers where NumPy knows their order: it does not place bfloat16's NaN."""
    return x.astype(np.float32) if x.dtype.kind == "V" else x


def _numpy_argsort(x: Any, *, axis: int, descending: bool, stable: bool) -> Any:
    kind: Any = "stable" if stable else None
    x = _comparable(x)
    if not descending:
        return x.argsort(axis, kind)
    # of equal elements the last comes first in a reversed array, and so the first in the end
    return x.shape[axis] - 1 - np.flip(np.flip(x, axis).argsort(axis, kind), axis)


def _portable_argsort(xp: Any, x: Any, *, axis: int, descending: bool, stable: bool) -> Any:
    if not descending:
        return xp.argsort(x, axis=axis, stable=stable)
    order = xp.argsort(xp.flip(x, axis=axis), axis=axis, stable=stable)
    return x.shape[axis] - 1 - xp.flip(order, axis=axis)


def _argsort_type(x: ArrayType, *, axis: int, descending: bool, stable: bool) -> ArrayType:
    return ArrayType(_sorted_type("argsort", x).shape, DTYPES["int64"])


_argsort: Any = primitive(
    "argsort",
    type_rule=_argsort_type,
    batch=lambda size, batched, x, *, axis, **how: _argsort(x, axis=axis + 1, **how),
    derivatives=(ZERO,),
    value=_portable_argsort,
    kernels={
        "numpy": _numpy_argsort,
        "torch": lambda x, *, axis, descending, stable: x.argsort(
            dim=axis, descending=descending, stable=stable
        ),
    },
)


@structural(_argsort)
def argsort(x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """Indices that sort along an axis.

    Parameters
    ----------
    x : array, shape (..., n, ...)
        Of real-valued dtype.
    axis : int
    descending : bool
        Whether the largest comes first.
    stable : bool
        Whether equal elements keep their order.

    Returns
    -------
    array of int64, shape of `x`

    Raises
    ------
    DimensionError
        If there is no such axis.

    Notes
    -----
    A NaN counts as the largest number.

    Examples
    --------
    >>> F.argsort(np.asarray([3.0, 1.0, 3.0]), descending=True)
    array([0, 2, 1])
    """
    axis = normalize_axis("argsort", axis, x.ndim)
    return _argsort(x, axis=axis, descending=descending, stable=stable)


# Permutations -----------------------------------------------------------------------------------


def _permuted_batch(apply: Any) -> Any:
    def batch(size: int, batched: Any, x: Any, order: Any, *, axis: int) -> Any:
        x, order = (
            a if b else broadcast_to(a, (size, *a.shape))
            for a, b in zip((x, order), batched, strict=True)
        )
        return apply(x, order, axis=axis + 1)

    return batch


def _numpy_restored(x: Any, order: Any, *, axis: int) -> Any:
    out = np.empty_like(x)
    np.put_along_axis(out, order, x, axis)
    return out


_permuted: Any = primitive(  # like take_along_axis, of each element once: no sums in reverse
    "permuted",
    type_rule=lambda x, order, *, axis: x,
    batch=lambda *args, **params: _permuted_batch(_permuted)(*args, **params),
    derivatives=(Linear(lambda ct, _x, order, *, axis: _restored(ct, order, axis=axis)),),
    value=lambda xp, x, order, *, axis: xp.take_along_axis(x, order, axis=axis),
    kernels={
        "torch": lambda x, order, *, axis: x.gather(axis, order),
        "dask.array": in_one_task("permuted"),
    },
)

_restored: Any = primitive(
    "restored",
    type_rule=lambda x, order, *, axis: x,
    batch=lambda *args, **params: _permuted_batch(_restored)(*args, **params),
    derivatives=(Linear(lambda ct, _x, order, *, axis: _permuted(ct, order, axis=axis)),),
    value=lambda xp, x, order, *, axis: xp.take_along_axis(
        x, xp.argsort(order, axis=axis), axis=axis
    ),
    kernels={
        "numpy": _numpy_restored,
        "torch": lambda x, order, *, axis: x.new_empty(x.shape).scatter(axis, order, x),
        "dask.array": in_one_task("restored"),
    },
)


# Sorted -----------------------------------------------------------------------------------------


def _numpy_sort(x: Any, *, axis: int, descending: bool, stable: bool) -> Any:
    # equal numbers look alike, so that the faster algorithm will do
    out = np.sort(_comparable(x), axis).astype(x.dtype, copy=False)
    return np.flip(out, axis) if descending else out


def _sort_type(x: ArrayType, *, axis: int, descending: bool, stable: bool) -> ArrayType:
    return _sorted_type("sort", x)


def _sort_fwd(x: Any, *, axis: int, descending: bool, stable: bool) -> Any:
    order = _argsort(x, axis=axis, descending=descending, stable=stable)
    return _permuted(x, order, axis=axis), order


def _sort_jvp(primals: Any, tangents: Any, **how: Any) -> Any:
    out, order = _sort_fwd(*primals, **how)
    return out, _permuted(tangents[0], order, axis=how["axis"])


_sort: Any = primitive(
    "sort",
    type_rule=_sort_type,
    batch=lambda size, batched, x, *, axis, **how: _sort(x, axis=axis + 1, **how),
    derivatives=Pair(
        _sort_jvp,
        _sort_fwd,
        lambda order, ct, needed, *, axis, **_: (_restored(ct, order, axis=axis),),
    ),
    value=lambda xp, x, **how: xp.sort(x, **how),
    kernels={
        "numpy": _numpy_sort,
        "torch": lambda x, *, axis, descending, stable: (
            x.sort(dim=axis, descending=descending, stable=stable).values
        ),
    },
)


def _numpy_ascending(x: Any, *, axis: int, descending: bool, stable: bool) -> Any:
    if descending:
        raise NotImplementedError
    return np.sort(x, axis)  # equal numbers look alike


@structural(_sort)
@shortcut(_numpy_ascending, dtypes="fdbhilqBHILQ")
def sort(x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """Sort along an axis.

    Parameters
    ----------
    x : array, shape (..., n, ...)
        Of real-valued dtype.
    axis : int
    descending : bool
        Whether the largest comes first.
    stable : bool
        Whether equal elements keep their order, and so which derivative goes to which.

    Returns
    -------
    array, shape and dtype of `x`

    Raises
    ------
    DimensionError
        If there is no such axis.

    Notes
    -----
    A NaN counts as the largest number. The derivative permutes as the sort did.

    Examples
    --------
    >>> F.sort(np.asarray([3.0, 1.0, 2.0]))
    array([1., 2., 3.])
    """
    axis = normalize_axis("sort", axis, x.ndim)
    return _sort(x, axis=axis, descending=descending, stable=stable)


# The largest ------------------------------------------------------------------------------------


def _top_type(x: ArrayType, *, k: int, axis: int) -> ArrayType:
    shape = (*x.shape[:axis], k, *x.shape[axis + 1 :])
    return ArrayType(_sorted_type("top_k", ArrayType(shape, x.dtype)).shape, DTYPES["int64"])


def _top_value(xp: Any, x: Any, *, k: int, axis: int) -> Any:
    order = _portable_argsort(xp, x, axis=axis, descending=True, stable=True)
    return order[(*(slice(None),) * axis, slice(0, k), ...)]


_top: Any = primitive(
    "top_indices",
    type_rule=_top_type,
    batch=lambda size, batched, x, *, k, axis: _top(x, k=k, axis=axis + 1),
    derivatives=(ZERO,),
    value=_top_value,
    kernels={
        "numpy": lambda x, *, k, axis: _top_value(np, _comparable(x), k=k, axis=axis),
        "torch": lambda x, *, k, axis: x.topk(k, axis).indices,
    },
)


@composite
def top_k(x: Array, k: int, /, *, axis: int = -1) -> Any:
    """Largest elements along an axis, the largest first, and where they are.

    Parameters
    ----------
    x : array, shape (..., n, ...)
        Of real-valued dtype.
    k : int
        How many, from 0 to n.
    axis : int

    Returns
    -------
    values : array, shape (..., k, ...)
    indices : array of int64, shape (..., k, ...)

    Raises
    ------
    DimensionError
        If there is no such axis.
    ShapeError
        If there are fewer elements than `k`.

    Notes
    -----
    A NaN counts as the largest number. Which of equal elements are chosen is left to the library;
    the first of them, in order, except in torch.

    Examples
    --------
    >>> F.top_k(np.asarray([3.0, 1.0, 4.0, 1.0]), 2)
    (array([4., 3.]), array([2, 0]))
    """
    axis = normalize_axis("top_k", axis, x.ndim)
    if not 0 <= k <= x.shape[axis]:
        msg = f"top_k: k must be from 0 to {x.shape[axis]}, the length of axis {axis}; got {k}."
        raise located(ShapeError(msg))
    indices = _top(x, k=int(k), axis=axis)
    return take_along_axis(x, indices, axis=axis), indices


# Quantiles --------------------------------------------------------------------------------------

# where a method reads, from the place q · (n − 1) among the sorted: the elements below and above,
# and the weight of the second
METHODS: Final[dict[str, Any]] = {
    "linear": lambda at: (np.floor(at), np.ceil(at), at - np.floor(at)),
    "midpoint": lambda at: (np.floor(at), np.ceil(at), 0.5 * (at != np.floor(at))),
    "lower": lambda at: (np.floor(at), np.floor(at), np.zeros_like(at)),
    "higher": lambda at: (np.ceil(at), np.ceil(at), np.zeros_like(at)),
    "nearest": lambda at: (np.rint(at), np.rint(at), np.zeros_like(at)),
}


def _ranked(name: str, x: Any, axes: tuple[int, ...]) -> Any:
    """The elements along `axes` sorted, on one axis after the others."""
    if typeof(x).dtype.kind != "float":
        msg = f"{name}: the dtype must be real floating; got {typeof(x).dtype.name}."
        raise located(DTypeError(msg))
    kept = tuple(a for a in range(x.ndim) if a not in axes)
    shape = tuple(x.shape)
    if 0 in [shape[a] for a in axes]:
        msg = f"{name}: there must be an element along axis {axes}; got shape {shape}."
        raise located(ShapeError(msg))
    lead = tuple(shape[a] for a in kept)
    count = int(np.prod([shape[a] for a in axes], dtype=np.int64))
    return sort(reshape(ops.permute_dims(x, (*kept, *axes)), (*lead, count)))


def _quantile(name: str, x: Any, q: Any, axis: Any, keepdims: bool, method: str) -> Any:
    axes = normalize_axes(name, axis, x.ndim)
    ranked = _ranked(name, x, axes)
    count = ranked.shape[-1]
    low, high, weight = METHODS[method](q.reshape(-1) * (count - 1))

    def at(places: Any) -> Any:
        index = ops.like_index(ranked, places.astype(np.int64))
        return ops.moveaxis(ops.take(ranked, index, axis=-1), -1, 0)

    out = at(low)
    if weight.any():
        column = weight.reshape(-1, *(1,) * (ranked.ndim - 1))
        above = where(ops.like_index(ranked, column != 0), at(high), 0)  # it may be infinite
        of_low, of_high = (ops.numbers_like(ranked, w) for w in (1 - column, column))
        out = add(multiply(out, of_low), multiply(above, of_high))
    last = at(np.asarray([count - 1.0]))
    out = where(isnan(last), last, out)
    kept = [n for a, n in enumerate(x.shape) if a not in axes]
    if keepdims:
        kept = [1 if a in axes else n for a, n in enumerate(x.shape)]
    return reshape(out, (*q.shape, *kept))


@composite
def quantile(
    x: Array, q: Any, *, axis: Any = None, keepdims: bool = False, method: str = "linear"
) -> Any:
    """Number below which a share `q` of the elements over axes lies.

    Parameters
    ----------
    x : array
        Of real floating dtype.
    q : float, or list or NumPy array of them
        From 0 to 1.
    axis : int or tuple of int, optional
        By default all axes.
    keepdims : bool
        Whether the reduced axes stay, with length one.
    method : str
        What to do between two elements: ``"linear"`` interpolation, ``"lower"``, ``"higher"``,
        ``"nearest"`` or ``"midpoint"``.

    Returns
    -------
    array
        With the axes of `q` first; NaN where there is one.

    Raises
    ------
    DimensionError
        If there is no such axis.
    ShapeError
        If there is no element to choose.
    DTypeError
        If the dtype is another.
    ValueError
        If a number of `q` is not from 0 to 1, or there is no such method.

    Notes
    -----
    Of n sorted elements, counted from 0, it is the one at ``q (n − 1)``. The derivative goes to
    the elements that are read.

    Examples
    --------
    >>> F.quantile(np.asarray([1.0, 2.0, 4.0]), [0.5, 0.75])
    array([2., 3.])
    """
    if method not in METHODS:
        msg = f"quantile: method must be one of {', '.join(METHODS)}; got {method!r}."
        raise located(ValueError(msg))
    shares = np.asarray(q, dtype=np.float64)
    if not np.all((shares >= 0) & (shares <= 1)):
        msg = f"quantile: q must be from 0 to 1; got {q}."
        raise located(ValueError(msg))
    return _quantile("quantile", x, shares, axis, keepdims, method)


@composite
def median(x: Array, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Middle element over axes, or the mean of the two in the middle.

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
        NaN where there is one.

    Raises
    ------
    DimensionError
        If there is no such axis.
    ShapeError
        If there is no element to choose.
    DTypeError
        If the dtype is another.

    Examples
    --------
    >>> F.median(np.asarray([5.0, 1.0, 2.0]))
    array(2.)
    """
    return _quantile("median", x, np.asarray(0.5), axis, keepdims, "linear")
