"""Vectorization: `vmap`."""

import functools
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

import numpy as np

from volta.core import tree
from volta.core.context import AXES, STAGING, axis_trace
from volta.core.dispatch import LIBRARIES
from volta.core.errors import DimensionError, ShapeError, TraceError, VoltaError
from volta.core.keywords import suggesting
from volta.core.primitive import Primitive
from volta.core.trace import Running, Trace, at_line, here, live, located, ops
from volta.core.tracer import (
    Tracer,
    check_foreign,
    concrete,
    constant,
    library_under,
    made,
    meeting_place,
    settled,
    unwrap_constants,
)
from volta.core.types import SCALARS, as_dtype, typeof
from volta.transforms.arguments import as_array, name_of, split_modules
from volta.transforms.lanes import (
    Event,
    Group,
    Outside,
    Parted,
    Same,
    Tape,
    groups_of,
    known,
    rows_of,
)
from volta.transforms.vjp import _frozen

__all__ = ["BATCHING", "Axis", "VmapTrace", "again", "vmap"]


# The trace whose batching rule runs, of a primitive that carries lists or functions
BATCHING: Final[ContextVar[Any]] = ContextVar("volta.batching", default=None)


class Axis(NamedTuple):
    """A batch axis, and the lanes of it that are here.

    Attributes
    ----------
    name : object
        Its name; None if it has none.
    total : int
        Its length.
    like : array or None
        A mapped array, for the library and device of arrays made for the lanes.
    lanes : array of int, slice or None
        Which of its lanes are here; None for all.
    why : str
        What the lanes were parted by.
    """

    name: Any
    total: int
    like: Any
    lanes: Any = None
    why: str = ""

    @property
    def numbers(self) -> Any:
        """Numbers of the lanes, a NumPy array."""
        everyone = np.arange(self.total)
        return everyone if self.lanes is None else everyone[self.lanes]


class VmapTrace(Trace):
    """Carries values with the batch axis first; a tracer shows the axes after it.

    Attributes
    ----------
    axis : Axis
        Name and lanes.
    size : int
        How many lanes there are here.
    splits : bool
        Whether lanes part where they differ in a value that is read.
    tape : Tape or None
        What becomes of this run, where lanes part.
    parted : Parted or None
        Where they did.
    outside : Outside or None
        What the run does outside of the function, where lanes part.
    """

    __slots__ = ("axis", "outside", "parted", "size", "splits", "tape")
    lead = 1

    def __init__(
        self,
        fun: Any,
        size: int,
        axis: "Axis | None" = None,
        splits: bool = False,
        tape: Tape | None = None,
        outside: Outside | None = None,
    ) -> None:
        super().__init__("vmap", fun)
        self.size, self.splits, self.tape, self.outside = size, splits, tape, outside
        self.axis = axis or Axis(None, size, None)
        self.parted: Parted | None = None

    @property
    def axis_name(self) -> Any:
        """Name of the axis; None if it has none."""
        return self.axis.name

    @property
    def total(self) -> int:
        """Length of the axis."""
        return self.axis.total

    def together(self, operation: str) -> None:
        """Check that all lanes of the axis are here.

        Raises
        ------
        TraceError
            If they have parted; `operation` is what needs them all.
        """
        if self.axis.lanes is not None:
            msg = (
                f"{operation}: must be reached by all lanes of axis {self.axis_name!r} together; "
                f"got {self.size} of {self.total}{at_line()}, parted by {self.axis.why}. Call it "
                "before they part, or choose between values with functional.where."
            )
            raise TraceError(msg)

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Run the operation's batching rule."""
        if self.tape is None:
            out, batched = self._computed(primitive, args, params)
            if batched and primitive.results == 1:
                return Tracer(self, None, out)
        else:
            out, batched = self.tape.once(
                primitive.name,
                known(args, params),
                lambda: self._computed(primitive, args, params),
            )
        if not batched:
            return constant(out)
        if primitive.results == 1:
            return Tracer(self, None, out)
        if primitive.carries:
            check_foreign(self, primitive, params, out)
        return tuple([constant(o.value) if type(o) is Same else Tracer(self, None, o) for o in out])

    def _computed(
        self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]
    ) -> tuple[Any, bool]:
        """Result below this trace, and whether it has the lanes in front."""
        values = []
        batched = []
        kind = None
        mixed = False
        for a in args:
            mine = False
            if type(a) is Tracer:
                mine = a.trace is self
                a = a.value if mine or a.trace is None else _frozen(a)
            t = type(a)
            if t is not kind and t not in SCALARS:
                mixed, kind = kind is not None, t
            values.append(a)
            batched.append(mine)
        if mixed:
            meeting_place(args, primitive.name)
        token = BATCHING.set(self) if primitive.carries else None
        try:
            if "axis_name" in params and axis_trace(params["axis_name"], primitive.name) is self:
                over = {**params, "axis_name": self}
                return primitive.batch(self.size, tuple(batched), *values, **over)  # type: ignore[no-any-return]  # a pair, by the rule of collectives
            return primitive.batch(self.size, tuple(batched), *values, **params), True
        except VoltaError:
            self._explain(primitive, args, params)
            raise
        finally:
            if token is not None:
                BATCHING.reset(token)

    @staticmethod
    def _explain(primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> None:
        """Raise the error of one lane, whose shapes are the ones the user sees."""
        try:
            primitive.type_rule(*map(typeof, args), **params)
        except VoltaError as error:
            raise located(error) from None

    def read(self, value: Any, asked: str, part: bool = True) -> Any:
        """Value that all lanes share; where they differ, they part."""
        if self.tape is None:
            return self._shared(value, asked, part)
        return self.tape.once(asked, (), lambda: (self._shared(value, asked, part), False))[0]

    @property
    def progress(self) -> tuple[int, int]:
        """How many events and effects of this run there have been."""
        return self.tape.place if self.tape else 0, self.outside.met if self.outside else 0

    @progress.setter
    def progress(self, at: tuple[int, int]) -> None:
        if self.tape is not None:
            self.tape.place = at[0]
        if self.outside is not None:
            self.outside.met = at[1]

    def writes(self, x: Tracer) -> None:
        """Take note of a write to `x`, which another run for other lanes must not see."""
        if self.outside is not None and x.trace is not self:
            self.outside.write(x, self.tape is not None and not self.tape.repeats)

    def effect(self) -> bool:
        """Whether an effect that is met now is to happen, and has not in a run before."""
        return self.outside is None or self.outside.effect()

    def _shared(self, value: Any, asked: str, part: bool) -> Any:
        lanes = concrete(value, asked, part)
        if self.size == 1:
            return lanes[0, ...]
        first = lanes[:1, ...]
        with np.errstate(invalid="ignore"):
            alike = (lanes == first) | ((lanes != lanes) & (first != first))
        if self.size and bool(library_under(alike).xp.all(alike)):
            return lanes[0, ...]
        if not (self.size and self.splits and part):
            msg = (
                f"{asked}: needs one concrete value; got an array batched by {self.name}"
                f"{at_line()}, {'whose lanes differ' if self.size else 'which has no lanes'}. "
                "Use functional.where to choose between values"
                f"{', or on_branch=' + repr('split') if self.size else ''}."
            )
            raise TraceError(msg)
        groups = None
        if self.tape is not None:
            at, why = here(), f"{asked}{at_line()}"
            past, lanes_here = self.tape.events, self.tape.lanes
            groups = [
                Group(lanes_here[rows], why, past, rows, Event(asked, (), answer, False, None, at))
                for rows, answer in groups_of(lanes)
            ]
        self.parted = Parted(self, groups)
        raise self.parted


@suggesting
def vmap(
    fun: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_name: Any = None,
    axis_size: int | None = None,
    *,
    chunk_size: int | None = None,
    on_branch: str = "split",
) -> Callable[..., Any]:
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
    axis_name : hashable, optional
        Name of the axis, for `psum` and the other collectives inside `fun`. Inside a vmap of
        the same name it is the inner axis that is meant.
    axis_size : int, optional
        Length of the mapped axes; needed where nothing is mapped.
    chunk_size : int, optional
        Most lanes to compute at once: the rest follow one chunk after the other, which bounds
        the memory.
    on_branch : {"split", "raise"}
        What to do where `fun` reads a value (by `if`, `int`, `range`, a boolean index, ...) that
        differs between lanes: go on for each group of equal lanes alone, or raise.

    Returns
    -------
    callable
        Function of the batched arguments.

    Raises
    ------
    ShapeError
        If mapped axes differ in length or from `axis_size`, nothing is mapped and there is no
        `axis_size`, or lanes that parted return different shapes or structures.
    DimensionError
        If an argument has no such axis.
    ValueError
        If `in_axes` or `out_axes` does not fit the arguments or results, or an option is not one.
    TraceError
        If lanes differ in what is read, with ``on_branch="raise"``; if a collective is reached by
        some of the lanes only; if `fun` does something else when it runs again.

    Notes
    -----
    *Python's control flow.* Lanes that differ in a value that is read are grouped by it, and each
    group runs its own branch, on its own lanes only. Python cannot run one call on in two ways, so
    `fun` is called again for each group. The operations before the read are not computed again:
    they return what they did, for the lanes of the group. Everything else in `fun`, such as
    Python's `print`, happens again, and `fun` must do the same operations, with the same numbers,
    whenever it is called. The first call in which lanes part begins anew, because until then
    nothing is kept.

    *Writes.* Arguments are the function's own, mapped or not: what it writes to them, the caller
    does not see. An array that it closes over may be written to by all lanes together, and then
    each group finds it as it was; not by lanes that have parted. Of other libraries' arrays that
    `fun` closes over and writes to, Volta does not know.

    With no read, or equal lanes, there is one call and one batched computation.

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> volta.vmap(F.vecdot, in_axes=(0, None))(np.eye(2), np.asarray([3.0, 4.0]))
    array([3., 4.])

    Each lane runs as long as it needs to:

    >>> def collatz(n):
    ...     steps = 0
    ...     while n != 1:
    ...         n = n // 2 if n % 2 == 0 else 3 * n + 1
    ...         steps += 1
    ...     return n * 0 + steps
    >>> volta.vmap(collatz)(np.asarray([1, 6, 7, 27]))
    array([  0,   8,  16, 111])
    """
    where = f"vmap({name_of(fun)})"
    options = (axis_size, chunk_size)
    if on_branch not in ("split", "raise"):
        msg = f"{where}: on_branch must be 'split' or 'raise'; got {on_branch!r}."
        raise located(ValueError(msg))
    for name, length, least in (("axis_size", axis_size, 0), ("chunk_size", chunk_size, 1)):
        if length is not None and (type(length) is not int or length < least):
            msg = f"{where}: {name} must be an int of at least {least}; got {length!r}."
            raise located(ValueError(msg))
    axis = Axis(axis_name, -1, None)
    return _vmapped(fun, in_axes, out_axes, axis, on_branch == "split", options)


def again(
    fun: Callable[..., Any], in_axes: Any, out_axes: Any, trace: VmapTrace
) -> Callable[..., Any]:
    """Map `fun` over the lanes of `trace`, which are those of its axis also to collectives."""
    return _vmapped(fun, in_axes, out_axes, trace.axis, trace.splits, (trace.size, None))


def _vmapped(
    fun: Callable[..., Any],
    in_axes: Any,
    out_axes: Any,
    axis: Axis,
    splits: bool,
    options: tuple[int | None, int | None],
) -> Callable[..., Any]:
    """`vmap`, whose lanes may be some of those of `axis` alone; it has -1 where they are all."""
    where = f"vmap({name_of(fun)})"
    axis_size, chunk_size = options
    records = False  # from the first call on in which lanes part

    @functools.wraps(fun, updated=())
    def vmap_fn(*args: Any, **kwargs: Any) -> Any:
        nonlocal records
        axes = in_axes
        if isinstance(axes, list):
            axes = tuple(axes)
        if isinstance(axes, tuple) and len(axes) != len(args):
            msg = (
                f"{where}: in_axes must have one entry for each positional argument; got "
                f"{len(axes)} and {len(args)}. Use None for what is not mapped."
            )
            raise located(ValueError(msg))
        split = [split_modules(a) for a in args]
        pieces = (tuple(p for p, _ in split), kwargs)
        leaves, spec = tree.flatten(pieces)
        axis_of = _spread((axes, 0), pieces, where, "in_axes")
        size, moved = _lanes(where, leaves, axis_of, spec, axis_size)

        def call(inputs: list[Any]) -> Any:
            call_args, call_kwargs = tree.unflatten(spec, inputs)
            return fun(
                *[join(a) for (_, join), a in zip(split, call_args, strict=True)], **call_kwargs
            )

        on = [axis is not None for axis in axis_of]
        like = next((x for x, mapped in zip(moved, on, strict=True) if mapped), None)
        own = axis._replace(total=size, like=like) if axis.total < 0 else axis
        mapped = _Mapped(fun, own, splits, size, call, moved, on)
        parts = list(mapped.parts(_chunks(size, chunk_size), records))
        records = records or any(part.trace.tape is not None for part in parts)
        return _assembled(parts, out_axes, size, where)

    return vmap_fn


class _Part(NamedTuple):
    """What a run returned, for its lanes."""

    trace: VmapTrace
    lanes: Any
    result: Any


class _Mapped(NamedTuple):
    """One call of a vmapped function.

    `call` takes the leaves of the arguments, `moved` with the mapped axis first where `on`.
    """

    fun: Callable[..., Any]
    axis: Axis
    splits: bool
    size: int
    call: Callable[[list[Any]], Any]
    moved: list[Any]
    on: list[bool]

    def parts(self, groups: Iterable[Group], records: bool) -> Iterator[_Part]:
        """Run the function for the lanes of each group, and for those that part from them alone."""
        waiting = [*groups][::-1]
        outside = Outside() if self.splits else None
        tell = _forked()
        again = False
        while waiting:
            group = waiting.pop()
            trace = self._trace(group, records, outside)
            outer = [(t, t.progress) for t in AXES.get()]
            try:
                with Running(trace):
                    result = settled(self.call(self._inputs(trace, group.lanes)))
                    if trace.tape is not None and trace.parted is None:
                        trace.tape.finish()
            except Parted as error:
                if error.trace is not trace:
                    raise
                error.__traceback__ = None  # which holds what the run has made
            except Exception:
                if trace.parted is None:  # else the function tried to handle what is no error
                    raise
            parted, trace.parted = trace.parted, None
            done = 0
            if parted is None:
                if outside is not None and outside.before and (waiting or again):
                    result = tree.map(_frozen, result)
                    outside.check(trace)
                yield _Part(trace, group.lanes, result)
                del result
            elif parted.groups is None:
                records = True
                waiting.append(group)
                for t, progress in outer:
                    t.progress = progress
                done = trace.progress[1]
            else:
                waiting.extend(reversed(parted.groups))
            again = True
            tell(not waiting)
            if waiting and outside is not None:
                outside.restore(done)

    def _trace(self, group: Group, records: bool, outside: Outside | None) -> VmapTrace:
        lanes = np.arange(self.size)
        if group.lanes is not None:
            lanes = lanes[group.lanes]
        size = len(lanes)
        tape = None
        if group.answer is not None or (records and size > 1):
            tape = Tape(f"vmap({name_of(self.fun)})", group, lanes)
        axis = self.axis
        if group.lanes is not None:
            axis = axis._replace(lanes=axis.numbers[group.lanes], why=group.why)
        return VmapTrace(self.fun, size, axis, self.splits, tape, outside)

    def _inputs(self, trace: VmapTrace, lanes: Any) -> list[Any]:
        inputs = []
        for x, mapped in zip(self.moved, self.on, strict=True):
            if mapped:
                x = Tracer(trace, None, x if lanes is None else rows_of(x, lanes))
            elif type(x) is Tracer:
                x = _frozen(x)  # what one run writes to is nothing to the next
            elif type(x) in LIBRARIES:
                x = made(x)
            inputs.append(x)
        return inputs


def _forked() -> Callable[[bool], None]:
    """What to tell after each run, and whether it was the last, if a debugging context looks on."""
    current = STAGING.get() if live.staging else None
    if current is None or not current.watches:
        return lambda last: None
    return current.forked()  # type: ignore[no-any-return]  # as above


def _chunks(size: int, chunk_size: int | None) -> Iterator[Group]:
    """Groups of at most so many lanes."""
    if chunk_size is None or chunk_size >= size:
        yield Group(None, "", [], None, None)
        return
    for start in range(0, size, chunk_size):
        lanes = slice(start, min(start + chunk_size, size))
        yield Group(lanes, f"chunk_size={chunk_size}", [], None, None)


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
            raise located(ValueError(msg)) from None
        for a, p in zip(nodes, parts, strict=True):
            if not _is_axis(a):
                msg = f"{where}: {name} must hold ints and None; got {a!r}."
                raise located(ValueError(msg))
            walk(a, p)

    # None is an empty node to the tree library, so levels are walked one container at a time.
    def level(axes: Any, part: Any) -> None:
        if _is_axis(axes):
            walk(axes, part)
        elif isinstance(axes, tuple | list) and isinstance(part, tuple | list):
            if len(axes) != len(part):
                msg = f"{where}: {name} must be a tree prefix of what it describes; got {axes!r}."
                raise located(ValueError(msg))
            for a, p in zip(axes, part, strict=True):
                level(a, p)
        elif isinstance(axes, dict) and isinstance(part, dict):
            if set(axes) != set(part):
                msg = f"{where}: {name} must be a tree prefix of what it describes; got {axes!r}."
                raise located(ValueError(msg))
            _, one_level = tree.flatten(part, is_leaf=lambda node: node is not part)
            for key in one_level.entries():
                level(axes[key], part[key])
        else:
            walk(axes, part)

    level(prefix, full)
    return found


def _lanes(
    where: str,
    leaves: list[Any],
    axis_of: list[Any],
    spec: tree.PyTreeSpec,
    axis_size: int | None,
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
                f"{shape[axis]} at {path}. Choose other axes with in_axes, or None for what is not "
                "mapped."
            )
            raise ShapeError(msg)
        moved.append(_frozen(x) if axis == 0 else ops.moveaxis(x, axis, 0))
    if size is None:
        if axis_size is None:
            msg = (
                f"{where}: at least one argument must be mapped; got in_axes of None only. Say how "
                "many lanes there are with axis_size."
            )
            raise ShapeError(msg)
        return axis_size, moved
    if axis_size is not None and size != axis_size:
        path = "args" + tree.keystr(spec.paths()[first][1:])
        msg = (
            f"{where}: mapped axes must have length axis_size; got {size} at {path} and "
            f"{axis_size}."
        )
        raise ShapeError(msg)
    return size, moved


# Results ----------------------------------------------------------------------------------------


def _assembled(parts: list[_Part], out_axes: Any, size: int, where: str) -> Any:
    """Results of all lanes, in their order, with the batch axis where it is wanted."""
    found = [tree.flatten(part.result) for part in parts]
    leaves, spec = found[0]
    for _, other in found:
        if other != spec:
            msg = f"{where}: all lanes must return one structure; got {spec} and {other}."
            raise ShapeError(msg)
    axis_of = _spread(out_axes, parts[0].result, where, "out_axes")
    traces = [part.trace for part in parts]
    if len(parts) == 1 and parts[0].lanes is None:
        collected = [
            _collect(traces[0], leaf, axis, where)
            for leaf, axis in zip(leaves, axis_of, strict=True)
        ]
        return tree.unflatten(spec, collected)
    everyone = np.arange(size)
    order = np.concatenate([everyone[part.lanes] for part in parts])
    back = None if np.array_equal(order, everyone) else np.argsort(order)
    collected = [
        _joined(traces, [leaves[i] for leaves, _ in found], axis, back, where, path)
        for i, (axis, path) in enumerate(zip(axis_of, spec.paths(), strict=True))
    ]
    return tree.unflatten(spec, collected)


def _collect(trace: VmapTrace, leaf: Any, axis: int | None, where: str) -> Any:
    """Result with the batch axis where it is wanted."""
    if axis is None:
        _refuse_batched(trace, leaf, where)
        return unwrap_constants(leaf)
    return _moved(_with_lanes(trace, leaf, where), axis, where)


def _refuse_batched(trace: VmapTrace, leaf: Any, where: str) -> None:
    if type(leaf) is Tracer and leaf.trace is trace:
        msg = (
            f"{where}: out_axes must be an int for a batched result; got None. Leave it out for "
            "axis 0, or reduce over the lanes after vmap."
        )
        raise located(ValueError(msg))


def _with_lanes(trace: VmapTrace, leaf: Any, where: str) -> Any:
    """Result with the lanes of its run in front."""
    if type(leaf) is Tracer and leaf.trace is trace:
        return leaf.value
    x = as_array(unwrap_constants(leaf), where)
    return ops.broadcast_to(x, (trace.size, *x.shape))


def _moved(value: Any, axis: int, where: str) -> Any:
    ndim = value.ndim
    if not -ndim <= axis < ndim:
        msg = f"{where}: out_axes must name an axis of the result; got {axis} for {ndim} axes."
        raise DimensionError(msg)
    return value if axis % ndim == 0 else ops.moveaxis(value, 0, axis)


def _joined(
    traces: list[VmapTrace],
    leaves: list[Any],
    axis: int | None,
    back: Any,
    where: str,
    path: tuple[Any, ...],
) -> Any:
    """One result of all lanes from that of each run; `back` puts the lanes in order."""
    if axis is None:
        for trace, leaf in zip(traces, leaves, strict=True):
            _refuse_batched(trace, leaf, where)
        leaves = [x.value if type(x) is Tracer and x.trace is None else x for x in leaves]
        first = leaves[0]
        same = (x is first or (type(x) is type(first) in SCALARS and x == first) for x in leaves)
        if not all(same):
            msg = (
                f"{where}: out_axes must be an int for a result that each group of lanes makes; "
                "got None."
            )
            raise located(ValueError(msg))
        return unwrap_constants(first)
    leaves = _alike(leaves)
    rows = [_with_lanes(t, leaf, where) for t, leaf in zip(traces, leaves, strict=True)]
    shape = tuple(rows[0].shape[1:])
    for x in rows:
        if tuple(x.shape[1:]) != shape:
            msg = (
                f"{where}: all lanes must return one shape; got {shape} and {tuple(x.shape[1:])} "
                f"at result{tree.keystr(path)}."
            )
            raise ShapeError(msg)
    whole = rows[0] if len(rows) == 1 else ops.concat(rows)
    if back is not None:
        whole = rows_of(whole, back)
    return _moved(whole, axis, where)


_KINDS = ("bool", "int", "float", "complex")


def _alike(leaves: list[Any]) -> list[Any]:
    """Python numbers beside arrays take the arrays' dtype, as in an operation with them."""
    like = next((x for x in leaves if type(x) not in SCALARS and hasattr(x, "dtype")), None)
    if like is None:
        return leaves
    kind = as_dtype(like.dtype).kind.removeprefix("u")
    return [
        ops.full_like(like, x, shape=())
        if type(x) in SCALARS and _KINDS.index(type(x).__name__) <= _KINDS.index(kind)
        else x
        for x in leaves
    ]
