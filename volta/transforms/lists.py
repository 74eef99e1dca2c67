"""Maps of lists to lists, on which the rules of primitives that carry lists are built.

`stage` makes a flat list of a function. From a list follow the list of its derivative (`jvp_of`),
that of many lanes (`batch_of`), and a pair of lists for reverse mode (`split`). Each is made by
running the list under the transform while a new list records what happens; it is kept with the
list that it was made of.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from volta.core import tree
from volta.core.primitive import Primitive
from volta.core.trace import Abstract, Running, ops
from volta.core.tracer import Tracer, settled, unwrap_constants
from volta.core.types import ArrayType, is_inexact, typeof
from volta.core.wengert import Entry, Literal, WengertList, needed, sweep
from volta.transforms.arguments import as_array
from volta.transforms.jvp import JvpTrace
from volta.transforms.trace import StageTrace
from volta.transforms.vjp import VjpTrace, _read
from volta.transforms.vmap import BATCHING, Axis, VmapTrace

__all__ = ["Split", "batch_of", "depends", "jvp_of", "kept", "split", "stage", "zeros_of"]

Policy = Callable[[Primitive, dict[str, Any]], bool]


def stage(
    fun: Callable[..., Any], like: Sequence[Any], where: str, name: Any = None
) -> tuple[WengertList, tree.PyTreeSpec]:
    """List of a function of arrays, which may close over others, and the structure it returns.

    Parameters
    ----------
    fun : callable
        Function of as many arrays as `like` has.
    like : sequence of array or Abstract
    where : str
        Whose function it is, for messages.
    name : callable, optional
        Function that the user wrote, for messages; by default `fun`.
    """
    trace = StageTrace(name or fun, where)
    inputs = [trace.input(x) for x in like]
    variables = [x.var for x in inputs]
    with Running(trace):
        result = settled(fun(*inputs))
        leaves, spec = tree.flatten(result)
        leaves = [as_array(leaf, f"{trace.name}") for leaf in leaves]
    return trace.finish(variables, leaves), spec


def kept(wengert: WengertList, key: Any, make: Callable[[], Any]) -> Any:
    """What `make` makes of a list, made once for each `key`."""
    made = wengert.__dict__.setdefault("made", {})
    if key not in made:
        made[key] = make()
    return made[key]


def _restaged(
    wengert: WengertList, transform: str, likes: Sequence[Any]
) -> tuple[StageTrace, list[Tracer], Callable[[Sequence[Any]], list[Any]]]:
    """New staging trace with inputs, and a function that replays the list with its lines."""
    trace = StageTrace(wengert, transform)
    inputs = [trace.input(x) for x in likes]

    def follow(entry: Entry) -> None:
        trace.at = (entry.code, entry.offset)

    def replay(arrays: Sequence[Any]) -> list[Any]:
        try:
            return wengert.replay(arrays, follow)
        finally:
            trace.at = None

    return trace, inputs, replay


def places_of(wengert: WengertList) -> list[Abstract]:
    """What stands for the inputs of a list."""
    return [wengert.places[v] for v in wengert.inputs]


def zeros_of(x: Any) -> Any:
    """Zeros like an array, or what stands for one: raw, where `zeros_like` makes a handle."""
    return ops.zeros_like_type(x, x.type if type(x) is Abstract else typeof(x))


def depends(wengert: WengertList, mask: Sequence[bool]) -> tuple[bool, ...]:
    """Which outputs may vary with the inputs in `mask`: floating ones that read from them."""
    reached = {v for v, m in zip(wengert.inputs, mask, strict=True) if m}
    for e in wengert.entries:
        if any(type(o) is not Literal and o in reached for o in e.operands):
            reached.update(r for r in e.results if is_inexact(wengert.types[r].dtype))
    return tuple(type(o) is not Literal and o in reached for o in wengert.outputs)


# Forward mode -----------------------------------------------------------------------------------


class Pushed(NamedTuple):
    """List of a derivative in forward mode.

    Its inputs are those of the list, then the tangents of those that have one; its outputs those
    of the list, then the tangents of those in `active`.
    """

    list: WengertList
    active: tuple[bool, ...]
    hides: bool


def jvp_of(
    wengert: WengertList, mask: Sequence[bool], wanted: Sequence[bool] = (), hidden: bool = False
) -> Pushed:
    """List that pushes tangents of the inputs in `mask` forward.

    Outputs in `wanted` have a tangent in any case, zeros if they do not vary. `hidden` says that
    tangents have zeros where something did not look, and `hides` that those of the outputs do.
    """
    key = ("jvp", tuple(mask), tuple(wanted), hidden)
    return kept(wengert, key, lambda: _jvp_of(wengert, mask, wanted, hidden))  # type: ignore[no-any-return]


def _jvp_of(
    wengert: WengertList, mask: Sequence[bool], wanted: Sequence[bool], hidden: bool
) -> Pushed:
    places = places_of(wengert)
    likes = [*places, *(p for p, m in zip(places, mask, strict=True) if m)]
    trace, inputs, replay = _restaged(wengert, "jvp", likes)
    variables = [x.var for x in inputs]
    primals, tangents = inputs[: len(places)], iter(inputs[len(places) :])
    with Running(trace):
        push = JvpTrace("jvp", wengert)
        with Running(push):
            outs = settled(
                replay(
                    [
                        Tracer(push, (next(tangents), hidden), x) if m else x
                        for x, m in zip(primals, mask, strict=True)
                    ]
                )
            )
        values, found, active, hides = [], [], [], False
        for i, out in enumerate(outs):
            traced = type(out) is Tracer and out.trace is push
            values.append(out.value if traced else out)
            if traced:
                hides = hides or out.var[1]
                found.append(out.var[0])
            elif wanted and wanted[i]:
                found.append(zeros_of(out))
            active.append(traced or bool(wanted and wanted[i]))
        made = trace.finish(variables, [*values, *found])
    return Pushed(made, tuple(active), hides)


# Lanes ------------------------------------------------------------------------------------------


def batch_of(
    wengert: WengertList, batched: Sequence[bool], size: int, wanted: Sequence[bool] = ()
) -> tuple[WengertList, tuple[bool, ...]]:
    """List of `size` lanes, whose axis is the first of the inputs in `batched`.

    Outputs in `wanted` have that axis in any case. Returns the list, and which outputs have it.
    """
    axis = None
    over = BATCHING.get()
    if over is not None and over.axis_name in wengert.axis_names:
        axis = over.axis
    of_axis = None if axis is None else (axis.name, axis.total, tuple(axis.numbers.tolist()))
    key = ("batch", tuple(batched), size, tuple(wanted), of_axis)
    return kept(wengert, key, lambda: _batch_of(wengert, batched, size, wanted, axis))  # type: ignore[no-any-return]


def _batch_of(
    wengert: WengertList,
    batched: Sequence[bool],
    size: int,
    wanted: Sequence[bool],
    axis: Axis | None,
) -> tuple[WengertList, tuple[bool, ...]]:
    likes = [
        Abstract(ArrayType((size, *p.type.shape), p.type.dtype), p.library, p.device) if b else p
        for p, b in zip(places_of(wengert), batched, strict=True)
    ]
    trace, inputs, replay = _restaged(wengert, "vmap", likes)
    variables = [x.var for x in inputs]
    with Running(trace):
        lanes = VmapTrace(wengert, size, axis)
        with Running(lanes):
            outs = settled(
                replay(
                    [
                        Tracer(lanes, None, x) if b else x
                        for x, b in zip(inputs, batched, strict=True)
                    ]
                )
            )
        found, spread = [], []
        for i, out in enumerate(outs):
            own = type(out) is Tracer and out.trace is lanes
            out = out.value if own else out
            if wanted and wanted[i] and not own:
                out = ops.broadcast_to(out, (size, *out.shape))
            found.append(out)
            spread.append(own or bool(wanted and wanted[i]))
        made = trace.finish(variables, found)
    return made, tuple(spread)


# Reverse mode -----------------------------------------------------------------------------------


class Split:
    """Two lists for reverse mode: one that runs forwards, one that carries cotangents back.

    Attributes
    ----------
    fwd : WengertList
        From the inputs to the outputs, and after them what of `extra` is kept.
    extra : tuple of int
        For each array kept, beyond the inputs, its place among the outputs of `fwd`.
    inputs : tuple of int
        Places of the inputs that are kept.
    active : tuple of bool
        Outputs whose cotangents are looked at.
    """

    def __init__(self, wengert: WengertList, mask: Sequence[bool], policy: Policy | None) -> None:
        self.wengert, self.mask, self.policy = wengert, tuple(mask), policy
        swept = _swept(wengert, self.mask, False)
        self.active = swept.active
        whole = swept.list
        source = {v: i for i, v in enumerate(swept.primals)}
        saved = self._saved(swept, set(source))
        self.inputs = tuple(i for v, i in source.items() if v in saved)
        outputs = list(swept.outs)
        places: dict[int, int] = {}
        for v in saved:
            if v not in source:
                if v not in outputs:
                    outputs.append(v)
                places[v] = outputs.index(v)
        self.extra = tuple(places.values())
        self.kept = (*(swept.primals[i] for i in self.inputs), *places)
        self.fwd = whole.between(swept.primals, outputs)

    def _saved(self, swept: "Swept", source: set[int]) -> list[int]:
        """Variables to keep: those of the forward part that the backward part reads."""
        made_by = {r: e for e in swept.list.entries for r in e.results}
        forward = swept.forward
        back = needed(swept.list.entries, [g for g in swept.grads if g is not None])
        varying = _varying(back, swept.seeds)
        wanted = {o for e in back if varying(e) for o in e.operands if type(o) is not Literal}
        wanted |= {g for g in swept.grads if g is not None}
        pending = [v for v in wanted if v not in varying.reached]
        found: dict[int, None] = {}
        seen = set(pending)
        while pending:
            v = pending.pop()
            entry = made_by.get(v)
            if entry is None or (v in forward and self._keeps(entry, swept)):
                if v in source or entry is not None:
                    found[v] = None
                continue
            for o in entry.operands:
                if type(o) is not Literal and o not in seen:
                    seen.add(o)
                    pending.append(o)
        return sorted(found)

    def _keeps(self, entry: Entry, swept: "Swept") -> bool:
        """Whether the results of an entry of the forward part are kept, or computed again."""
        if self.policy is not None:
            return self.policy(entry.primitive, entry.params)
        if entry.primitive.name not in _CHEAP:
            return True
        sizes = [_size(swept.list.types[o]) for o in entry.operands if type(o) is not Literal]
        return sum(sizes) > sum(_size(swept.list.types[r]) for r in entry.results)

    def bwd(self, hidden: bool = False) -> tuple[WengertList, tuple[bool, ...], bool]:
        """List that carries cotangents back, which inputs get one, and whether they have gaps.

        It takes what is kept, the inputs first, and the cotangents of the outputs in `active`; it
        returns the cotangents of the inputs that have one. `hidden` says that cotangents have
        zeros where something did not look.
        """
        key = ("bwd", self.mask, self.policy, hidden)
        return kept(self.wengert, key, lambda: self._bwd(hidden))  # type: ignore[no-any-return]

    def _bwd(self, hidden: bool) -> tuple[WengertList, tuple[bool, ...], bool]:
        swept = _swept(self.wengert, self.mask, hidden)
        grads = [g for g in swept.grads if g is not None]
        back = swept.list.between((*self.kept, *swept.seeds), grads)
        return back, tuple(g is not None for g in swept.grads), swept.hides


_CHEAP = frozenset(
    ("broadcast_to", "reshape", "permute_dims", "expand_dims", "squeeze", "full", "arange", "eye")
)


def _size(kind: ArrayType) -> int:
    size = max(kind.dtype.itemsize, 1)
    for n in kind.shape:
        size *= n
    return size


def _varying(entries: Sequence[Entry], seeds: Sequence[int]) -> Any:
    """Test of entries, in their order, for reading what depends on `seeds`."""
    reached = set(seeds)
    for e in entries:
        if not reached.isdisjoint(o for o in e.operands if type(o) is not Literal):
            reached.update(e.results)

    def varies(e: Entry) -> bool:
        return not reached.isdisjoint(e.results)

    varies.reached = reached  # type: ignore[attr-defined]  # of the same set
    return varies


class Swept(NamedTuple):
    """A list run under `vjp` and swept, all in one."""

    list: WengertList
    primals: tuple[int, ...]
    outs: tuple[Any, ...]
    forward: set[int]  # variables of the run, not of the sweep
    seeds: tuple[int, ...]
    grads: tuple[Any, ...]  # of the inputs in the mask; None for those that have none
    active: tuple[bool, ...]
    hides: bool


def _swept(wengert: WengertList, mask: tuple[bool, ...], hidden: bool) -> Swept:
    return kept(wengert, ("swept", mask, hidden), lambda: _sweep_of(wengert, mask, hidden))  # type: ignore[no-any-return]


def _sweep_of(wengert: WengertList, mask: tuple[bool, ...], hidden: bool) -> Swept:
    trace, inputs, replay = _restaged(wengert, "vjp", places_of(wengert))
    primals = tuple(x.var for x in inputs)
    with Running(trace):
        record = VjpTrace("vjp", wengert)
        entries = record.entries  # with the list's own lines, not that of its replay
        record.append = lambda entry: entries.append((*entry[:-2], *(trace.at or entry[-2:])))  # type: ignore[arg-type]  # entries of a list know their code
        traced = [record.input(x) if m else x for x, m in zip(inputs, mask, strict=True)]
        variables = [x.var for x, m in zip(traced, mask, strict=True) if m]
        with Running(record):
            results = settled(replay(traced))
        read = [_read(record, o) for o in results]
        outs = tuple(trace.operand(unwrap_constants(v)) for _, v in read)
        forward = set(trace.types)
        active = tuple(var is not None for var, _ in read)
        cts: dict[int, Any] = {}
        masked: set[int] = set()
        seeds = []
        for var, value in read:
            if var is None:
                continue
            seed = trace.input(value)
            seeds.append(seed.var)
            cts[var] = seed if var not in cts else ops.add(cts[var], seed)
            if hidden:
                masked.add(var)
        sweep(record.entries, cts, consume=True, masked=masked)
        grads = tuple(
            trace.operand(unwrap_constants(cts[v])) if v in cts else None for v in variables
        )
        hides = any(v in masked for v in variables if v in cts)
    made = trace.finish(primals, [])
    return Swept(made, primals, outs, forward, tuple(seeds), grads, active, hides)


def split(wengert: WengertList, mask: Sequence[bool], policy: Policy | None = None) -> Split:
    """Lists for reverse mode in the inputs in `mask`; `policy` says which results are kept.

    Without one, all that the way back reads is kept, but for what is cheap to make again and
    larger than what it is made of.
    """
    key = ("split", tuple(mask), policy)
    return kept(wengert, key, lambda: Split(wengert, mask, policy))  # type: ignore[no-any-return]
