"""Collectives: what the lanes of a `vmap` with a named axis tell each other.

Each is a primitive with the parameter `axis_name`. It is the business of the youngest trace among
those of its operands, the staging list, and the axis: so its batching rule is asked either by
another axis, which it passes over, or by its own. Then `axis_name` is that axis's trace, and the
rule also says whether the result still differs between lanes.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from volta.core import tree
from volta.core.context import axis_trace
from volta.core.derivatives import Linear, Pair, weigh
from volta.core.dispatch import NUMPY, Library
from volta.core.errors import AxisNameError, ShapeError
from volta.core.trace import Trace, located, ops
from volta.core.tracer import Tracer, library_under
from volta.core.types import SCALARS, ArrayType, as_dtype
from volta.functional.axes import normalize_axis
from volta.functional.declare import primitive
from volta.functional.elementwise import divide, equal, multiply, where
from volta.functional.manipulation import broadcast_to, expand_dims, moveaxis, reshape
from volta.functional.reduction import max, min, sum

__all__ = [
    "all_gather",
    "all_to_all",
    "axis_index",
    "axis_size",
    "pmax",
    "pmean",
    "pmin",
    "ppermute",
    "psum",
]


def _axis(axis_name: Any, operation: str) -> Any:
    try:
        return axis_trace(axis_name, operation)
    except AxisNameError as error:
        raise located(error) from None


def _mapped(function: Callable[[Any], Any], x: Any) -> Any:
    """`function` of every leaf; called from here, so that the user's line is found."""
    leaves, spec = tree.flatten(x)
    return tree.unflatten(spec, [function(leaf) for leaf in leaves])


def _names(axis_name: Any) -> tuple[Any, ...]:
    return tuple(axis_name) if isinstance(axis_name, tuple | list) else (axis_name,)


def _number_of(axis_name: Any) -> int:
    return axis_trace(axis_name, "axis_size").total  # type: ignore[no-any-return]  # an int


def _collective(
    name: str,
    own: Callable[..., tuple[Any, bool]],
    past: Callable[..., Any],
    **options: Any,
) -> Any:
    """Declare a collective of one operand.

    ``own(trace, batched, x, **params) -> (out, batched)`` is the rule of its own axis, ``past(x,
    **params)`` that of another one, which `x` has in front.
    """

    def batch(
        size: int, batched: tuple[bool, ...], x: Any, *, axis_name: Any, **params: Any
    ) -> Any:
        if isinstance(axis_name, Trace):
            axis_name.together(name)  # type: ignore[attr-defined]  # it is a VmapTrace
            return own(axis_name, batched[0], x, **params)
        return past(x, axis_name=axis_name, **params)

    return primitive(name, batch=batch, **options)


def _each(x: Any, axis_name: Any, operation: str, apply: Callable[[Any, Any], Any]) -> Any:
    """`apply` to every leaf, for one name after the other."""
    names = _names(axis_name)
    for name in names:
        _axis(name, operation)

    def through(leaf: Any) -> Any:
        for name in names:
            leaf = apply(leaf, name)
        return leaf

    return _mapped(through, x)


# Reductions -------------------------------------------------------------------------------------

_psum: Any = _collective(
    "psum",
    lambda trace, batched, x: (
        sum(x, axis=0, dtype=x.dtype) if batched else multiply(x, trace.total),
        False,
    ),
    lambda x, *, axis_name: _psum(x, axis_name=axis_name),
    type_rule=lambda x, *, axis_name: x,
    derivatives=(Linear(lambda ct, *, axis_name: _psum(ct, axis_name=axis_name)),),
)


def psum(x: Any, axis_name: Any) -> Any:
    """Sum over all lanes of a named axis.

    Parameters
    ----------
    x : tree
        Of arrays; the same in all lanes where they are not batched.
    axis_name : hashable or tuple of them
        Of a `vmap` around the call; of several, the sum is over all.

    Returns
    -------
    tree
        The same in all lanes; of the shapes and dtypes of `x`, for booleans of integers.

    Raises
    ------
    AxisNameError
        If no `vmap` around the call has that axis.
    TraceError
        If lanes have parted on a value that differs between them.

    Notes
    -----
    ``out = Σᵢ xᵢ``. It is its own transpose: reverse mode inside of the `vmap` is the derivative of
    the sum of all lanes' results.

    Examples
    --------
    >>> import numpy as np, volta
    >>> volta.vmap(lambda x: x / volta.psum(x, "i"), axis_name="i")(np.asarray([1.0, 3.0]))
    array([0.25, 0.75])
    """

    def apply(leaf: Any, name: Any) -> Any:
        if type(leaf) in SCALARS:
            return leaf * _number_of(name)
        if as_dtype(leaf.dtype).kind == "bool":
            leaf = ops.astype(leaf, library_under(leaf).index)
        return _psum(leaf, axis_name=name)

    return _each(x, axis_name, "psum", apply)


def pmean(x: Any, axis_name: Any) -> Any:
    """Mean over all lanes of a named axis, ``psum(x) / n``; see `psum`.

    Parameters
    ----------
    x, axis_name
        As for `psum`.

    Returns
    -------
    tree

    Examples
    --------
    >>> import numpy as np, volta
    >>> volta.vmap(lambda x: x - volta.pmean(x, "i"), axis_name="i")(np.asarray([1.0, 3.0]))
    array([-1.,  1.])
    """
    n = math.prod(_axis(name, "pmean").total for name in _names(axis_name))
    return _mapped(lambda total: total / n, psum(x, axis_name))


def _winners(x: Any, out: Any, axis_name: Any) -> Any:
    """Weight of each lane in an extremum: equal ones share it."""
    hit = ops.astype(equal(x, out), x.dtype)
    return divide(hit, _psum(hit, axis_name=axis_name))


def _extremum(name: str, reduce: Callable[..., Any]) -> Any:
    def jvp(primals: Any, tangents: Any, *, axis_name: Any) -> Any:
        (x,), (t,) = primals, tangents
        out = apply(x, axis_name=axis_name)
        return out, _psum(weigh(t, _winners(x, out, axis_name)), axis_name=axis_name)

    def fwd(x: Any, *, axis_name: Any) -> Any:
        out = apply(x, axis_name=axis_name)
        return out, (x, out)

    def bwd(residuals: Any, ct: Any, needed: Any, *, axis_name: Any) -> Any:
        x, out = residuals
        return (weigh(_psum(ct, axis_name=axis_name), _winners(x, out, axis_name)),)

    apply: Any = _collective(
        name,
        lambda trace, batched, x: (reduce(x, axis=0) if batched else x, False),
        lambda x, *, axis_name: apply(x, axis_name=axis_name),
        type_rule=lambda x, *, axis_name: x,
        derivatives=Pair(jvp, fwd, bwd),
        masks=True,
    )
    return apply


_pmax = _extremum("pmax", max)
_pmin = _extremum("pmin", min)


def pmax(x: Any, axis_name: Any) -> Any:
    """Largest value of all lanes of a named axis; lanes that tie share the derivative.

    Parameters
    ----------
    x : tree
        Of real-valued arrays.
    axis_name
        As for `psum`.

    Returns
    -------
    tree
        The same in all lanes.

    Raises
    ------
    AxisNameError, TraceError
        As `psum`.

    Examples
    --------
    >>> import numpy as np, volta
    >>> volta.vmap(lambda x: x / volta.pmax(x, "i"), axis_name="i")(np.asarray([1.0, 4.0]))
    array([0.25, 1.  ])
    """
    return _each(x, axis_name, "pmax", lambda leaf, name: _extreme(_pmax, leaf, name))


def pmin(x: Any, axis_name: Any) -> Any:
    """Smallest value of all lanes of a named axis; see `pmax`.

    Parameters
    ----------
    x, axis_name
        As for `pmax`.

    Returns
    -------
    tree

    Examples
    --------
    >>> import numpy as np, volta
    >>> volta.vmap(lambda x: x - volta.pmin(x, "i"), axis_name="i")(np.asarray([1.0, 4.0]))
    array([0., 3.])
    """
    return _each(x, axis_name, "pmin", lambda leaf, name: _extreme(_pmin, leaf, name))


def _extreme(apply: Any, leaf: Any, name: Any) -> Any:
    return leaf if type(leaf) in SCALARS else apply(leaf, axis_name=name)


# Exchanges --------------------------------------------------------------------------------------


def _inserted(shape: tuple[int, ...], axis: int, n: int) -> tuple[int, ...]:
    return (*shape[:axis], n, *shape[axis:])


def _gather_own(trace: Any, batched: bool, x: Any, *, axis: int) -> tuple[Any, bool]:
    if batched:
        return moveaxis(x, 0, axis), False
    shape = _inserted(tuple(x.shape), axis, trace.total)
    return broadcast_to(expand_dims(x, axis=axis), shape), False


def _scatter_own(trace: Any, batched: bool, x: Any, *, axis: int) -> tuple[Any, bool]:
    total = sum(x, axis=0, dtype=x.dtype) if batched else multiply(x, trace.total)
    return moveaxis(total, axis, 0), True


_all_gather: Any = _collective(
    "all_gather",
    _gather_own,
    lambda x, *, axis_name, axis: _all_gather(x, axis_name=axis_name, axis=axis + 1),
    type_rule=lambda x, *, axis_name, axis: ArrayType(
        _inserted(x.shape, axis, _number_of(axis_name)), x.dtype
    ),
    derivatives=(
        Linear(lambda ct, *, axis_name, axis: _psum_scatter(ct, axis_name=axis_name, axis=axis)),
    ),
)
# Each lane's place along `axis` of the sum over all lanes, the transpose of `all_gather`
_psum_scatter: Any = _collective(
    "psum_scatter",
    _scatter_own,
    lambda x, *, axis_name, axis: _psum_scatter(x, axis_name=axis_name, axis=axis + 1),
    type_rule=lambda x, *, axis_name, axis: ArrayType(
        x.shape[:axis] + x.shape[axis + 1 :], x.dtype
    ),
    derivatives=(
        Linear(lambda ct, *, axis_name, axis: _all_gather(ct, axis_name=axis_name, axis=axis)),
    ),
)


def all_gather(x: Any, axis_name: Any, *, axis: int = 0, tiled: bool = False) -> Any:
    """Give every lane the values of all lanes, along a new axis.

    Parameters
    ----------
    x : tree
        Of arrays of shape (...).
    axis_name : hashable
        Of a `vmap` around the call.
    axis : int
        Where in the result the lanes are.
    tiled : bool
        Whether to concatenate along `axis`, which `x` then has, instead.

    Returns
    -------
    tree
        The same in all lanes; with n lanes of shape (..., n, ...).

    Raises
    ------
    AxisNameError, TraceError
        As `psum`.
    DimensionError
        If the result has no such axis.

    Notes
    -----
    The transpose gives each lane its place in the sum of all lanes' cotangents.

    Examples
    --------
    >>> import numpy as np, volta
    >>> volta.vmap(lambda x: volta.all_gather(x, "i"), axis_name="i")(np.asarray([1.0, 4.0]))
    array([[1., 4.],
           [1., 4.]])
    """
    n = _axis(axis_name, "all_gather").total

    def gathered(x: Any) -> Any:
        x = _array(x)
        place = normalize_axis("all_gather", axis, x.ndim + (not tiled))
        out = _all_gather(x, axis_name=axis_name, axis=place)
        shape = tuple(x.shape)
        if tiled:
            out = reshape(out, (*shape[:place], n * shape[place], *shape[place + 1 :]))
        return out

    return _mapped(gathered, x)


def _array(leaf: Any) -> Any:
    return ops.asarray(leaf) if type(leaf) in SCALARS else leaf


def _exchange_own(
    trace: Any, batched: bool, x: Any, *, split_axis: int, concat_axis: int
) -> tuple[Any, bool]:
    if batched:
        return moveaxis(moveaxis(x, split_axis + 1, 0), 1, concat_axis + 1), True
    there = expand_dims(moveaxis(x, split_axis, 0), axis=concat_axis + 1)
    shape = tuple(there.shape)
    shape = (*shape[: concat_axis + 1], trace.total, *shape[concat_axis + 2 :])
    return broadcast_to(there, shape), True


def _exchange_type(x: ArrayType, *, axis_name: Any, split_axis: int, concat_axis: int) -> ArrayType:
    rest = x.shape[:split_axis] + x.shape[split_axis + 1 :]
    return ArrayType(_inserted(rest, concat_axis, _number_of(axis_name)), x.dtype)


_all_to_all: Any = _collective(
    "all_to_all",
    _exchange_own,
    lambda x, *, axis_name, split_axis, concat_axis: _all_to_all(
        x, axis_name=axis_name, split_axis=split_axis + 1, concat_axis=concat_axis + 1
    ),
    type_rule=_exchange_type,
    derivatives=(
        Linear(
            lambda ct, *, axis_name, split_axis, concat_axis: _all_to_all(
                ct, axis_name=axis_name, split_axis=concat_axis, concat_axis=split_axis
            )
        ),
    ),
)


def all_to_all(
    x: Any, axis_name: Any, split_axis: int, concat_axis: int, *, tiled: bool = False
) -> Any:
    """Give lane j the j-th part of every lane's array.

    Parameters
    ----------
    x : tree
        Of arrays.
    axis_name : hashable
        Of a `vmap` around the call, of n lanes.
    split_axis : int
        Axis of the parts, of length n; with `tiled` of a multiple of it.
    concat_axis : int
        Where in the result the lanes are that the parts came from.
    tiled : bool
        Whether the axes stay: `split_axis` divided by n, `concat_axis` n times as long.

    Returns
    -------
    tree
        The shape of `x` without `split_axis`, and with n at `concat_axis`.

    Raises
    ------
    AxisNameError, TraceError
        As `psum`.
    ShapeError
        If the length of `split_axis` does not fit.
    DimensionError
        If there is no such axis.

    Notes
    -----
    ``outⱼ[i] = xᵢ[j]``, with the index at `concat_axis` and at `split_axis`. The transpose has
    the two axes the other way round.

    Examples
    --------
    >>> import numpy as np, volta
    >>> x = np.asarray([[1, 2], [3, 4]])
    >>> volta.vmap(lambda x: volta.all_to_all(x, "i", 0, 0), axis_name="i")(x)
    array([[1, 3],
           [2, 4]])
    """
    n = _axis(axis_name, "all_to_all").total

    def exchanged(x: Any) -> Any:
        shape = tuple(x.shape)
        split = normalize_axis("all_to_all", split_axis, x.ndim)
        place = normalize_axis("all_to_all", concat_axis, x.ndim)
        length = shape[split]
        if length % n if tiled else length != n:
            msg = (
                f"all_to_all: the length of split_axis must be {'a multiple of ' * tiled}the "
                f"number of lanes; got shape {shape}, split_axis={split_axis} and {n} lanes."
            )
            raise located(ShapeError(msg))
        if not tiled:
            return _all_to_all(x, axis_name=axis_name, split_axis=split, concat_axis=place)
        parts = reshape(x, (*shape[:split], n, length // n, *shape[split + 1 :]))
        out = _all_to_all(parts, axis_name=axis_name, split_axis=split, concat_axis=place)
        kept = (*shape[:split], length // n, *shape[split + 1 :])
        return reshape(out, (*kept[:place], n * kept[place], *kept[place + 1 :]))

    return _mapped(exchanged, x)


def _permute_own(
    trace: Any, batched: bool, x: Any, *, perm: tuple[tuple[int, int], ...]
) -> tuple[Any, bool]:
    source = np.zeros(trace.total, dtype=np.int64)
    told = np.zeros(trace.total, dtype=bool)
    for i, j in perm:
        source[j], told[j] = i, True
    if batched:
        x = ops.take(x, source, axis=0)
    if told.all():
        return x, batched
    return where(np.reshape(told, (-1, *(1,) * (x.ndim - batched))), x, 0), True


_ppermute: Any = _collective(
    "ppermute",
    _permute_own,
    lambda x, *, axis_name, perm: _ppermute(x, axis_name=axis_name, perm=perm),
    type_rule=lambda x, *, axis_name, perm: x,
    derivatives=(
        Linear(
            lambda ct, *, axis_name, perm: _ppermute(
                ct, axis_name=axis_name, perm=tuple((j, i) for i, j in perm)
            )
        ),
    ),
)


def ppermute(x: Any, axis_name: Any, perm: Sequence[tuple[int, int]]) -> Any:
    """Send values from lane to lane.

    Parameters
    ----------
    x : tree
        Of arrays.
    axis_name : hashable
        Of a `vmap` around the call.
    perm : sequence of (int, int)
        Pairs (from, to) of lanes; each lane at most once on either side.

    Returns
    -------
    tree
        Of the types of `x`; zeros in lanes that nothing was sent to.

    Raises
    ------
    AxisNameError, TraceError
        As `psum`.
    ValueError
        If a lane is named twice on one side, or there is none of that number.

    Notes
    -----
    The transpose sends the other way.

    Examples
    --------
    >>> import numpy as np, volta
    >>> shift = lambda x: volta.ppermute(x, "i", [(0, 1), (1, 2)])
    >>> volta.vmap(shift, axis_name="i")(np.asarray([1.0, 2.0, 3.0]))
    array([0., 1., 2.])
    """
    n = _axis(axis_name, "ppermute").total
    pairs = tuple((int(i), int(j)) for i, j in perm)
    for side in zip(*pairs, strict=True):
        if len(set(side)) != len(side) or not all(0 <= i < n for i in side):
            msg = (
                f"ppermute: perm must name each lane from 0 to {n - 1} at most once as source and "
                f"once as destination; got {list(pairs)}."
            )
            raise located(ValueError(msg))
    return _mapped(lambda leaf: _ppermute(_array(leaf), axis_name=axis_name, perm=pairs), x)


# The axis itself --------------------------------------------------------------------------------


def _index_batch(
    size: int, batched: tuple[bool, ...], *, axis_name: Any, library: Library, device: Any
) -> Any:
    return library.asarray(axis_name.axis.numbers, library.dtype(library.index), device), True


_axis_index: Any = primitive(
    "axis_index",
    type_rule=lambda *, axis_name, library, device: ArrayType((), library.index),
    batch=_index_batch,
    derivatives=(),
)


def axis_index(axis_name: Any) -> Any:
    """Return the number of the lane, along a named axis.

    Parameters
    ----------
    axis_name : hashable
        Of a `vmap` around the call.

    Returns
    -------
    array, shape ()
        From 0 to n − 1, of the default integer dtype of the mapped arrays' library.

    Raises
    ------
    AxisNameError
        If no `vmap` around the call has that axis.

    Examples
    --------
    >>> import numpy as np, volta
    >>> volta.vmap(lambda x: x * volta.axis_index("i"), axis_name="i")(np.asarray([5, 5, 5]))
    array([ 0,  5, 10])
    """
    like = _axis(axis_name, "axis_index").axis.like
    library = NUMPY if like is None else library_under(like)
    device = None
    if library is not NUMPY:
        device = like.device if type(like) is Tracer else library.device(like)
    return _axis_index(axis_name=axis_name, library=library, device=device)


def axis_size(axis_name: Any) -> int:
    """Return the number of lanes along a named axis.

    Parameters
    ----------
    axis_name : hashable or tuple of them
        Of a `vmap` around the call; of several, the product.

    Returns
    -------
    int

    Raises
    ------
    AxisNameError
        If no `vmap` around the call has that axis.

    Examples
    --------
    >>> import numpy as np, volta
    >>> volta.vmap(lambda x: x / volta.axis_size("i"), axis_name="i")(np.ones(4))
    array([0.25, 0.25, 0.25, 0.25])
    """
    return math.prod(_axis(name, "axis_size").total for name in _names(axis_name))
