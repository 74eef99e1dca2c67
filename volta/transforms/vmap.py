"""Vectorization: `vmap`."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from volta.core import tree
from volta.core.errors import DimensionError, ShapeError, TraceError, VoltaError
from volta.core.keywords import suggesting
from volta.core.primitive import Primitive
from volta.core.trace import Running, Trace, at_line, located, ops
from volta.core.tracer import (
    Tracer,
    concrete,
    library_under,
    meeting_place,
    settled,
    unwrap_constants,
)
from volta.core.types import typeof
from volta.transforms.arguments import as_array, name_of, split_modules
from volta.transforms.vjp import _frozen

__all__ = ["vmap"]


class VmapTrace(Trace):
    """Carries values with the batch axis first; a tracer shows the axes after it."""

    __slots__ = ("size",)
    lead = 1

    def __init__(self, fun: Any, size: int) -> None:
        super().__init__("vmap", fun)
        self.size = size

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Run the operation's batching rule."""
        meeting_place(args, primitive.name)
        values = []
        batched = []
        for a in args:
            mine = type(a) is Tracer and a.trace is self
            batched.append(mine)
            if type(a) is Tracer:
                a = a.value if mine or a.trace is None else _frozen(a)
            values.append(a)
        try:
            out = primitive.batch(self.size, tuple(batched), *values, **params)
        except VoltaError:
            self._explain(primitive, args, params)
            raise
        if primitive.results == 1:
            return Tracer(self, None, out)
        return tuple(Tracer(self, None, o) for o in out)

    @staticmethod
    def _explain(primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> None:
        """Raise the error of one lane, whose shapes are the ones the user sees."""
        try:
            primitive.type_rule(*map(typeof, args), **params)
        except VoltaError as error:
            raise located(error) from None

    def read(self, value: Any, asked: str) -> Any:
        """Value that all lanes share; raises where they differ."""
        lanes = concrete(value, asked)
        first = lanes[:1, ...]
        with np.errstate(invalid="ignore"):
            alike = (lanes == first) | ((lanes != lanes) & (first != first))
        if not self.size or not bool(library_under(alike).xp.all(alike)):
            msg = (
                f"{asked}: needs one concrete value; got an array batched by {self.name}"
                f"{at_line()}, whose lanes differ. Use functional.where to choose between values."
            )
            raise TraceError(msg)
        return lanes[0, ...]


@suggesting
def vmap(fun: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
    """Map `fun` over an axis of its arguments, as one batched computation.

    Parameters
    ----------
    fun : callable
        Function of trees of arrays.
    in_axes : int, None or tree
        Axis to map over in each argument: one for all, or a tuple with one entry an argument,
        each an int, None (not mapped), or a tree prefix of the argument. Keyword arguments are
        mapped over axis 0.
    out_axes : int, None or tree
        Where the mapped axis goes in the results; None for a result without it.

    Returns
    -------
    callable
        Function of the batched arguments.

    Raises
    ------
    ShapeError
        If mapped axes differ in length, or nothing is mapped.
    DimensionError
        If an argument has no such axis.
    ValueError
        If `in_axes` or `out_axes` does not fit the arguments or results.

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> volta.vmap(F.vecdot, in_axes=(0, None))(np.eye(2), np.asarray([3.0, 4.0]))
    array([3., 4.])
    """
    where = f"vmap({name_of(fun)})"

    @functools.wraps(fun, updated=())
    def vmap_fn(*args: Any, **kwargs: Any) -> Any:
        axes = in_axes
        if isinstance(axes, list):
            axes = tuple(axes)
        if isinstance(axes, tuple) and len(axes) != len(args):
            msg = (
                f"{where}: in_axes must have one entry for each positional argument; got "
                f"{len(axes)} and {len(args)}."
            )
            raise ValueError(msg)
        split = [split_modules(a) for a in args]
        pieces = (tuple(p for p, _ in split), kwargs)
        leaves, spec = tree.flatten(pieces)
        axis_of = _spread((axes, 0), pieces, where, "in_axes")
        size, moved = _lanes(where, leaves, axis_of, spec)
        trace = VmapTrace(fun, size)
        inputs = [
            leaf if axis is None else Tracer(trace, None, x)
            for leaf, axis, x in zip(leaves, axis_of, moved, strict=True)
        ]
        with Running(trace):
            call_args, call_kwargs = tree.unflatten(spec, inputs)
            result = settled(
                fun(
                    *[join(a) for (_, join), a in zip(split, call_args, strict=True)], **call_kwargs
                )
            )
        outputs, out_spec = tree.flatten(result)
        out_axis = _spread(out_axes, result, where, "out_axes")
        return tree.unflatten(
            out_spec,
            [_collect(trace, o, axis, where) for o, axis in zip(outputs, out_axis, strict=True)],
        )

    return vmap_fn


def _is_axis(node: Any) -> bool:
    return node is None or isinstance(node, int)


def _spread(prefix: Any, full: Any, where: str, name: str) -> list[Any]:
    """Axis of every leaf of `full`, from a tree prefix of axes in which None means unmapped."""
    found: list[Any] = []

    def walk(axes: Any, part: Any) -> None:
        if _is_axis(axes):
            found.extend([axes] * len(tree.leaves(part)))
            return
        nodes, spec = tree.flatten(axes, is_leaf=_is_axis)
        try:
            parts = spec.flatten_up_to(part)
        except (ValueError, TypeError):
            msg = f"{where}: {name} must be a tree prefix of what it describes; got {axes!r}."
            raise ValueError(msg) from None
        for a, p in zip(nodes, parts, strict=True):
            if not _is_axis(a):
                msg = f"{where}: {name} must hold ints and None; got {a!r}."
                raise ValueError(msg)
            walk(a, p)

    # None is an empty node to the tree library, so levels are walked one container at a time.
    def level(axes: Any, part: Any) -> None:
        if _is_axis(axes):
            walk(axes, part)
        elif isinstance(axes, tuple | list) and isinstance(part, tuple | list):
            if len(axes) != len(part):
                msg = f"{where}: {name} must be a tree prefix of what it describes; got {axes!r}."
                raise ValueError(msg)
            for a, p in zip(axes, part, strict=True):
                level(a, p)
        elif isinstance(axes, dict) and isinstance(part, dict):
            if set(axes) != set(part):
                msg = f"{where}: {name} must be a tree prefix of what it describes; got {axes!r}."
                raise ValueError(msg)
            for key in sorted(part):
                level(axes[key], part[key])
        else:
            walk(axes, part)

    level(prefix, full)
    return found


def _lanes(
    where: str, leaves: list[Any], axis_of: list[Any], spec: tree.PyTreeSpec
) -> tuple[int, list[Any]]:
    """Number of lanes, and the mapped leaves with their mapped axis first."""
    size: int | None = None
    first = 0
    moved = []
    for i, (leaf, axis) in enumerate(zip(leaves, axis_of, strict=True)):
        if axis is None:
            moved.append(leaf)
            continue
        x = as_array(leaf, where)
        shape = tuple(x.shape)
        path = "args" + tree.keystr(spec.paths()[i][1:])
        if not -len(shape) <= axis < len(shape):
            msg = (
                f"{where}: in_axes must name an axis of the argument; got {axis} for "
                f"shape {shape} at {path}."
            )
            raise DimensionError(msg)
        axis %= len(shape)
        if size is None:
            size, first = shape[axis], i
        elif shape[axis] != size:
            other = "args" + tree.keystr(spec.paths()[first][1:])
            msg = (
                f"{where}: mapped axes must have one length; got {size} at {other} and "
                f"{shape[axis]} at {path}."
            )
            raise ShapeError(msg)
        moved.append(_frozen(x) if axis == 0 else ops.moveaxis(x, axis, 0))
    if size is None:
        msg = f"{where}: at least one argument must be mapped; got in_axes of None only."
        raise ShapeError(msg)
    return size, moved


def _collect(trace: VmapTrace, leaf: Any, axis: int | None, where: str) -> Any:
    """Result with the batch axis where it is wanted."""
    if type(leaf) is Tracer and leaf.trace is trace:
        if axis is None:
            msg = f"{where}: out_axes must be an int for a batched result; got None."
            raise ValueError(msg)
        value = leaf.value
        ndim = value.ndim
        if not -ndim <= axis < ndim:
            msg = f"{where}: out_axes must name an axis of the result; got {axis} for {ndim} axes."
            raise DimensionError(msg)
        return value if axis % ndim == 0 else ops.moveaxis(value, 0, axis)
    leaf = unwrap_constants(leaf)
    if axis is None:
        return leaf
    x = as_array(leaf, where)
    spread = ops.broadcast_to(x, (trace.size, *x.shape))
    return spread if axis == 0 else ops.moveaxis(spread, 0, axis)
