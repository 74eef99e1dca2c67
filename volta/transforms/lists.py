"""Maps of lists to lists, on which the rules of primitives that carry lists are built.

`stage` makes a flat list of a function. From a list follow the list of its derivative (`jvp_of`),
that of many lanes (`batch_of`), and a pair of lists for reverse mode (`split`). Each is made by
running the list under the transform while a new list records what happens; it is kept with the
list that it was made of.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from volta.core import tree
from volta.core.context import STAGING
from volta.core.dispatch import NUMPY, joined
from volta.core.primitive import Primitive
from volta.core.trace import Abstract, Running, ops
from volta.core.tracer import Tracer, settled, unwrap_constants
from volta.core.types import SCALARS, ArrayType, DType, is_inexact, typeof
from volta.core.wengert import (
    ALL,
    NO,
    Entry,
    WengertList,
    carried,
    has_effect,
    needed,
    operands_of,
    sweep,
)
from volta.transforms.arguments import as_array
from volta.transforms.jvp import JvpTrace
from volta.transforms.lanes import Same
from volta.transforms.trace import StageTrace, abstract
from volta.transforms.vjp import VjpTrace, _frozen, _read
from volta.transforms.vmap import BATCHING, Axis, VmapTrace

__all__ = [
    "batch_of",
    "depends",
    "fitted",
    "hoisted",
    "holds",
    "jvp_of",
    "kept",
    "known",
    "marked",
    "moved",
    "of_place",
    "push",
    "record",
    "split",
    "stage",
    "total",
    "with_inputs",
    "zeros_of",
]

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
        numbers = {i: leaf for i, leaf in enumerate(leaves) if type(leaf) in SCALARS}
        leaves = [as_array(leaf, f"{trace.name}") for leaf in leaves]
    made = trace.finish(variables, leaves)
    made.numbers = numbers
    return made, spec


def kept(wengert: WengertList, key: Any, make: Callable[[], Any]) -> Any:
    """What `make` makes of a list, made once for each `key`."""
    made = wengert.__dict__.setdefault("made", {})
    if key not in made:
        made[key] = make()
    return made[key]


def places_of(wengert: WengertList) -> list[Abstract]:
    """What stands for the inputs of a list."""
    return [wengert.places[v] for v in wengert.inputs]


def fitted(wengert: WengertList, places: Sequence[Abstract | None]) -> WengertList:
    """The same list, in which outputs that are numbers or NumPy arrays follow others like them.

    Numbers take the dtype in `places`, if it holds such numbers, and both the library.
    """
    constants = dict(zip(wengert.captured, wengert.constants, strict=True))
    outputs = list(wengert.outputs)
    for i, (o, place) in enumerate(zip(outputs, places, strict=False)):
        found = constants.get(o)
        if place is None:
            continue
        if i in wengert.numbers and holds(place.type.dtype, wengert.numbers[i]):
            found = as_array(of_place(wengert.numbers[i], place), wengert.name)
        elif type(found) is np.ndarray and place.library is not NUMPY:
            found = joined(found, place.library, place.device)
        else:
            continue
        outputs[i] = var = max(wengert.types) + 1
        constants[var], wengert.places[var] = found, abstract(found)
        wengert.types[var] = wengert.places[var].type
    if outputs == list(wengert.outputs):
        return wengert
    args = wengert.name, wengert.inputs, wengert.entries, tuple(outputs)
    return WengertList(*args, wengert.types, wengert.places, constants, wengert.rebuild)


def moved(arrays: Sequence[Any], home: Abstract | None) -> list[Any]:
    """Arrays of which those of NumPy, where no transform traces them, have joined a library."""
    if home is None:
        return list(arrays)
    library, device = home.library, home.device
    return [joined(a, library, device) if type(a) is np.ndarray else a for a in arrays]


def holds(dtype: DType, number: Any) -> bool:
    """Whether a Python number can be one of the dtype."""
    return _KINDS.index(dtype.kind) >= _KINDS.index(type(number).__name__)


_KINDS = ("bool", "uint", "int", "float", "complex")


def of_place(number: Any, place: Abstract) -> Any:
    """A number as an array of the dtype, library and device of another."""
    options = {"dtype": place.type.dtype, "xp": place.library.xp, "device": place.device}
    return ops.full((), number, **options)


def zeros_of(x: Any) -> Any:
    """Zeros like an array, or what stands for one: raw, where `zeros_like` makes a handle."""
    return ops.zeros_like_type(x, x.type if type(x) is Abstract else typeof(x))


def known(x: Any) -> Any:
    """Concrete value that a handle stands for now, or None where lanes or a list stand for it."""
    while type(x) is Tracer:
        if x.trace is not None and (x.trace.lead or x.trace.stages):
            return None
        x = _frozen(x).value
    return x


def with_inputs(wengert: WengertList, inputs: Sequence[int | Abstract]) -> WengertList:
    """The same program with other inputs: variables, or what stands for arrays it does not read."""
    types, places = dict(wengert.types), dict(wengert.places)
    found: list[int] = []
    for x in inputs:
        if isinstance(x, int):
            found.append(x)
        else:
            found.append(max(types, default=-1) + 1)
            types[found[-1]], places[found[-1]] = x.type, x
    args = wengert.name, tuple(found), wengert.entries, wengert.outputs, types, places
    constants = zip(wengert.captured, wengert.constants, strict=True)
    return WengertList(*args, {v: c for v, c in constants if v not in found}, list)


def hoisted(wengert: WengertList) -> WengertList:
    """The same list without what depends on captured arrays alone, which is computed now."""
    current = STAGING.get()
    watched = current is not None and current.watches  # then each step is seen to use a key
    steady = set(wengert.captured)
    early: list[Entry] = []
    late: list[Entry] = []
    for e in needed(wengert.entries, wengert.outputs, (), ALL):
        stays = has_effect(e) or (watched and e.primitive.name.startswith("random_"))
        fixed = not stays and steady.issuperset(operands_of(e))
        (early if fixed else late).append(e)
        if fixed:
            steady.update(e.results)
    read = {*wengert.outputs, *(o for e in late for o in operands_of(e))}
    captured = [v for v in sorted(steady) if v in read]
    values = wengert.between((), captured, NO).replay(())
    args = wengert.name, wengert.inputs, late, wengert.outputs, wengert.types, wengert.places
    return WengertList(*args, dict(zip(captured, values, strict=True)), wengert.rebuild)


def depends(wengert: WengertList, mask: Sequence[bool]) -> tuple[bool, ...]:
    """Which outputs may vary with the inputs in `mask`: floating ones that read from them."""
    reached = {v for v, m in zip(wengert.inputs, mask, strict=True) if m}
    for e in wengert.entries:
        if not reached.isdisjoint(operands_of(e)):
            reached.update(r for r in e.results if is_inexact(wengert.types[r].dtype))
    return tuple(o in reached for o in wengert.outputs)


def total(wengert: WengertList) -> bool:
    """Whether a list takes any values: none of its operations may refuse them, or run for ever."""
    return kept(wengert, "total", lambda: all(_total(e, wengert.types) for e in wengert.entries))  # type: ignore[no-any-return]


def _total(entry: Entry, types: dict[int, ArrayType]) -> bool:
    primitive = entry.primitive
    if primitive.elementwise:  # integers may not be divided by 0, nor raised to negative powers
        return primitive.name not in _DIVIDING or is_inexact(types[entry.results[0]].dtype)
    if primitive.name in ("switch", "scan", "checkpoint"):
        return all(map(total, carried(entry)))
    return primitive.effect or primitive.name in _TOTAL


_DIVIDING = frozenset(("floor_divide", "remainder", "pow"))
_TOTAL = frozenset(
    [
        "all",
        "any",
        "arange",
        "argmax",
        "argmin",
        "astype",
        "basic_slice",
        "broadcast_to",
        "concat",
        "embed_slice",
        "expand_dims",
        "eye",
        "flip",
        "full",
        "matmul",
        "max",
        "mean",
        "min",
        "moveaxis",
        "permute_dims",
        "prod",
        *("random_between", "random_bits", "random_fold_in", "random_normal", "random_seed"),
        *("random_split", "random_unit", "random_within"),
        "reshape",
        "roll",
        "squeeze",
        "stack",
        "sum",
        "tril",
        "triu",
        "unstack",
        "vecdot",
    ]
)


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
    trace = StageTrace(wengert, "jvp")
    inputs = [trace.input(p) for p in places]
    tangents = [trace.input(p) if m else None for p, m in zip(places, mask, strict=True)]
    variables = [x.var for x in (*inputs, *tangents) if x is not None]
    with Running(trace):
        values, moved, hides = push(wengert, inputs, tangents, hidden)
        wanted = wanted or [False] * len(values)
        active = tuple(w or t is not None for t, w in zip(moved, wanted, strict=True))
        found = [
            zeros_of(v) if t is None else t
            for v, t, a in zip(values, moved, active, strict=True)
            if a
        ]
        made = trace.finish(variables, [*values, *found])
    return Pushed(made, active, hides)


def push(
    fun: WengertList | Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    hidden: bool,
) -> tuple[list[Any], list[Any], bool]:
    """Results of a list, or of a function that returns one, their tangents, and whether they hide.

    Absent tangents are None. `hidden` says that tangents have zeros where something did not look.
    """
    trace = JvpTrace("jvp", fun)
    inputs = [
        x if t is None else Tracer(trace, (_frozen(t), hidden), _frozen(x))
        for x, t in zip(primals, tangents, strict=True)
    ]
    with Running(trace):
        outs = _run(fun, inputs)
    own = [type(o) is Tracer and o.trace is trace for o in outs]
    values = [o.value if mine else unwrap_constants(o) for o, mine in zip(outs, own, strict=True)]
    moved = [o.var[0] if mine else None for o, mine in zip(outs, own, strict=True)]
    return values, moved, any(o.var[1] for o, mine in zip(outs, own, strict=True) if mine)


def _run(fun: WengertList | Callable[..., Any], arrays: Sequence[Any]) -> list[Any]:
    outs = fun.replay(arrays) if type(fun) is WengertList else fun(*arrays)
    return settled(list(outs))  # type: ignore[no-any-return]  # it is returned as it is


# Lanes ------------------------------------------------------------------------------------------


def batch_of(
    wengert: WengertList, batched: Sequence[bool], size: int, wanted: Sequence[bool] = ()
) -> tuple[WengertList, tuple[bool, ...]]:
    """List of `size` lanes, whose axis is the first of the inputs in `batched`.

    Outputs in `wanted` have that axis in any case. Returns the list, and which outputs have it.
    """
    over = BATCHING.get()
    axis = of_axis = None
    if over is not None and over.axis_name is not None:  # rules of the user's may ask for it too
        axis = over.axis
        lanes = None if axis.lanes is None else tuple(axis.numbers.tolist())
        of_axis = (axis.name, axis.total, lanes)
    made = wengert.__dict__.get("made", {}).get(("batch", tuple(batched), size, (), of_axis))
    if made is not None and all(s or not w for s, w in zip(made[1], wanted, strict=False)):
        return made  # type: ignore[no-any-return]  # what is wanted has the axis by itself
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
    trace = StageTrace(wengert, "vmap")
    inputs = [trace.input(x) for x in likes]
    variables = [x.var for x in inputs]
    with Running(trace):
        lanes = VmapTrace(wengert, size, axis)
        with Running(lanes):
            arrays = [
                Tracer(lanes, None, x) if b else x for x, b in zip(inputs, batched, strict=True)
            ]
            outs = settled(wengert.replay(arrays))
        own = [type(o) is Tracer and o.trace is lanes for o in outs]
        spread = tuple(m or w for m, w in zip(own, wanted or own, strict=True))
        found = [o.value if m else o for o, m in zip(outs, own, strict=True)]
        found = [
            ops.broadcast_to(o, (size, *o.shape)) if w and not m else o
            for o, m, w in zip(found, own, spread, strict=True)
        ]
        made = trace.finish(variables, found)
    return made, spread


def marked(results: Sequence[Any], spread: Sequence[bool]) -> tuple[Any, ...]:
    """What a batching rule returns: results that have the lanes' axis where `spread` says so."""
    return tuple(r if s else Same(r) for r, s in zip(results, spread, strict=True))


# Reverse mode -----------------------------------------------------------------------------------

Back = Callable[[Sequence[Any], bool], tuple[list[Any], bool]]


def record(
    fun: WengertList | Callable[..., Any], primals: Sequence[Any], mask: Sequence[bool]
) -> tuple[list[Any], tuple[bool, ...], Back]:
    """Run a list, or a function that returns one, and keep what the way back needs.

    Returns
    -------
    values : list
        What it returns.
    active : tuple of bool
        Which of them vary with the inputs in `mask`.
    back : callable
        ``back(cts, hidden) -> (cotangents, hides)``: from cotangents of the values to those of the
        inputs in `mask`; absent ones are None. `hidden` says that they have zeros where something
        did not look, and `hides` that those returned do.
    """
    trace = VjpTrace("vjp", fun)
    staging = STAGING.get()
    if staging is not None:  # an entry made by one of a list is of the same line of the user

        def append(entry: Any) -> None:
            trace.entries.append((*entry[:-2], *(staging.at or entry[-2:])))

        trace.append = append
    inputs = [trace.input(x) if m else x for x, m in zip(primals, mask, strict=True)]
    variables = [x.var for x, m in zip(inputs, mask, strict=True) if m]
    with Running(trace):
        outs = _run(fun, inputs)
    read = [_read(trace, o) for o in outs]

    def back(cts: Sequence[Any], hidden: bool) -> tuple[list[Any], bool]:
        found: dict[int, Any] = {}
        for (var, _), ct in zip(read, cts, strict=True):
            if var is not None and ct is not None:
                found[var] = ops.add(found[var], ct) if var in found else ct
        masked = set(found) if hidden else set()
        sweep(trace.entries, found, consume=False, masked=masked)
        hides = any(v in masked for v in variables if v in found)
        return [unwrap_constants(found.get(v)) for v in variables], hides

    return [unwrap_constants(v) for _, v in read], tuple(v is not None for v, _ in read), back


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
    turn: int  # entries before the sweep


def _swept(wengert: WengertList, mask: tuple[bool, ...], hidden: bool) -> Swept:
    return kept(wengert, ("swept", mask, hidden), lambda: _sweep_of(wengert, mask, hidden))  # type: ignore[no-any-return]


def _sweep_of(wengert: WengertList, mask: tuple[bool, ...], hidden: bool) -> Swept:
    trace = StageTrace(wengert, "vjp")
    inputs = [trace.input(p) for p in places_of(wengert)]
    primals = tuple(x.var for x in inputs)
    with Running(trace):
        values, active, back = record(wengert, inputs, mask)
        outs = tuple(map(trace.operand, values))
        forward, turn = set(trace.types), len(trace.entries)
        seeds = [trace.input(v) if a else None for v, a in zip(values, active, strict=True)]
        cts, hides = back(seeds, hidden)
        grads = tuple(None if g is None else trace.operand(g) for g in cts)
    given = tuple(s.var for s in seeds if s is not None)
    made = trace.finish(primals, [])
    return Swept(made, primals, outs, forward, given, grads, active, hides, turn)


class Split:
    """Two lists for reverse mode: one that runs forwards, one that carries cotangents back.

    Attributes
    ----------
    fwd : WengertList
        From the inputs to the outputs, and after them what else is kept.
    inputs : tuple of int
        Places of the inputs that are kept.
    extra : tuple of int
        For each array kept, beyond the inputs, its place among the outputs of `fwd`.
    kept : tuple of int
        Variables of what is kept, the inputs first.
    active : tuple of bool
        Outputs whose cotangents are looked at.
    """

    def __init__(self, wengert: WengertList, mask: Sequence[bool], policy: Policy | None) -> None:
        self.wengert, self.mask = wengert, tuple(mask)
        swept = _swept(wengert, self.mask, False)
        self.active = swept.active
        saved = _saved(swept, policy)
        self.inputs = tuple(i for i, v in enumerate(swept.primals) if v in saved)
        made = tuple(v for v in saved if v not in swept.primals)
        outputs = [*swept.outs, *(v for v in made if v not in swept.outs)]
        self.extra = tuple(map(outputs.index, made))
        self.kept = (*(swept.primals[i] for i in self.inputs), *made)
        self.fwd = swept.list.between(swept.primals, outputs, slice(swept.turn))

    def bwd(self, hidden: bool = False) -> tuple[WengertList, tuple[bool, ...], bool]:
        """List that carries cotangents back, which inputs get one, and whether they have gaps.

        It takes what is kept, the inputs first, and the cotangents of the outputs in `active`; it
        returns the cotangents of the inputs that have one. `hidden` says that cotangents have
        zeros where something did not look.
        """
        return kept(self.fwd, ("bwd", hidden), lambda: self._bwd(hidden))  # type: ignore[no-any-return]

    def _bwd(self, hidden: bool) -> tuple[WengertList, tuple[bool, ...], bool]:
        # the run is the same for each value of `hidden`, and so are its variables
        swept = _swept(self.wengert, self.mask, hidden)
        grads = [g for g in swept.grads if g is not None]
        effects = slice(swept.turn, None)
        back = swept.list.between((*self.kept, *swept.seeds), grads, effects)
        return back, tuple(g is not None for g in swept.grads), swept.hides


def split(wengert: WengertList, mask: Sequence[bool], policy: Policy | None = None) -> Split:
    """Lists for reverse mode in the inputs in `mask`; `policy` says which results are kept.

    Without one, all that the way back reads is kept, but for what is cheap to make again and
    larger than what it is made of.
    """
    key = ("split", tuple(mask), policy)
    return kept(wengert, key, lambda: Split(wengert, mask, policy))  # type: ignore[no-any-return]


def _saved(swept: Swept, policy: Policy | None) -> list[int]:
    """Variables to keep: those of the run that the way back reads, or what it makes them of."""
    entries = swept.list.entries
    grads = [g for g in swept.grads if g is not None]
    moving = _reached(entries, swept.seeds)
    wanted = {
        o
        for e in needed(entries, grads, (), slice(swept.turn, None))
        if not moving.isdisjoint(e.results)
        for o in operands_of(e)
    }
    pending = [v for v in wanted.union(grads) if v not in moving]
    made_by = {r: e for e in entries for r in e.results}
    found, seen = set(), set(pending)
    while pending:
        v = pending.pop()
        entry = made_by.get(v)
        if entry is None:
            if v in swept.primals:  # and no array that a rule closes over
                found.add(v)
        elif v in swept.forward and _keeps(entry, swept.list.types, policy):
            found.add(v)
        else:
            more = [o for o in operands_of(entry) if o not in seen]
            seen.update(more)
            pending += more
    return sorted(found)


_CHEAP = frozenset(
    ("broadcast_to", "reshape", "permute_dims", "expand_dims", "squeeze", "full", "arange", "eye")
)


def _keeps(entry: Entry, types: dict[int, ArrayType], policy: Policy | None) -> bool:
    """Whether the results of an entry of the run are kept, or computed again."""
    if policy is not None:
        return policy(entry.primitive, entry.params)
    if entry.primitive.name not in _CHEAP:
        return True
    read = sum(_size(types[o]) for o in operands_of(entry))
    return read > sum(_size(types[r]) for r in entry.results)


def _size(kind: ArrayType) -> int:
    return math.prod(kind.shape) * max(kind.dtype.itemsize, 1)


def _reached(entries: Sequence[Entry], start: Iterable[int]) -> set[int]:
    """Variables that depend on those in `start`, and these."""
    found = set(start)
    for e in entries:
        if not found.isdisjoint(operands_of(e)):
            found.update(e.results)
    return found
