"""Passes: each makes of a list a shorter one with the same results.

A pass keeps variables, types and source lines, so that what it makes prints, checks and runs as
what it was given. `optimized` runs them all.
"""

import math
from collections.abc import Callable, Hashable
from itertools import count
from typing import Any, Final

import numpy as np

from volta.compile.memory import sharing
from volta.core.dispatch import NUMPY
from volta.core.types import SCALARS
from volta.core.wengert import ALL, Entry, Literal, WengertList, has_effect, needed

__all__ = ["PASSES", "common", "constant", "dead", "flat", "optimized", "plain"]


def optimized(wengert: WengertList) -> WengertList:
    """The list after all passes."""
    for change in PASSES:
        wengert = change(wengert)
    return wengert


def flat(wengert: WengertList) -> WengertList:
    """Without calls of jitted functions: what they do stands in their place."""
    if not any(e.primitive.name == "jit" for e in wengert.entries):
        return wengert
    types, places = dict(wengert.types), dict(wengert.places)
    constants = dict(zip(wengert.captured, wengert.constants, strict=True))
    fresh = count(max(types, default=0) + 1)
    entries: list[Entry] = []

    def new(part: WengertList, v: int) -> int:
        number = next(fresh)
        types[number], places[number] = part.types[v], part.places[v]
        return number

    def put(part: WengertList, scope: dict[Any, Any], origin: str | None) -> None:
        """Add the entries of a list; `scope` maps its variables to those here."""
        for e in part.entries:
            operands = tuple(o if type(o) is Literal else scope[o] for o in e.operands)
            if e.primitive.name == "jit":
                body = e.params["body"]
                inner = dict(zip(body.inputs, operands, strict=True))
                for v, c in zip(body.captured, body.constants, strict=True):
                    inner[v] = new(body, v)
                    constants[inner[v]] = c
                put(body, inner, origin or e.origin)
                for r, o in zip(e.results, body.outputs, strict=True):
                    scope[r] = o if type(o) is Literal else inner[o]
                continue
            if part is wengert:
                results = e.results
            else:  # of several results some may be inputs of the list
                results = tuple(new(part, r) for r in e.results)
                scope.update(
                    (r, n) for r, n in zip(e.results, results, strict=True) if r not in scope
                )
            entries.append(e._replace(operands=operands, result=results, origin=e.origin or origin))

    scope = {v: v for v in types}
    put(wengert, scope, None)
    outputs = tuple(o if type(o) is Literal else scope[o] for o in wengert.outputs)
    args = wengert.name, wengert.inputs, entries, outputs, types, places, constants
    return WengertList(*args, wengert.rebuild)


def plain(wengert: WengertList) -> WengertList:
    """Without entries that change no bit of their operand, and movements merged into one.

    A copy that is returned, or a view of it, stays.
    """
    group = sharing(wengert.entries, wengert.types)
    returned = {group.get(o, o) for o in wengert.outputs if type(o) is not Literal}
    types = wengert.types
    made: dict[Any, Entry] = {}  # by their results
    same: dict[Any, Any] = {}
    entries = []
    for e in wengert.entries:
        e = _merged(e._replace(operands=tuple(same.get(o, o) for o in e.operands)), made)
        source = _unchanged(e, made)
        if type(source) is int:
            (result,) = e.results
            if types[source] == types[result] and group[result] not in returned:
                same[result] = source
                continue
        made |= dict.fromkeys(e.results, e)
        entries.append(e)
    return _with(wengert, entries)


def _merged(e: Entry, made: dict[Any, Entry]) -> Entry:
    """A reshape of a reshape, or a permutation of one, as one entry."""
    name, inner = e.primitive.name, made.get(e.operands[0]) if e.operands else None
    if inner is None or inner.primitive.name != name or name not in ("permute_dims", "reshape"):
        return e
    params = e.params
    source = made.get(inner.operands[0])
    if name == "reshape" and source is not None and source.primitive.view:
        return e  # `inner` may be a copy, and then this is a view of it
    if name == "permute_dims":
        params = {"axes": tuple(inner.params["axes"][a] for a in e.params["axes"])}
    return e._replace(operands=inner.operands, params=params)


def _unchanged(e: Entry, made: dict[Any, Entry]) -> Any:
    """Operand that an entry of the same type returns bit by bit, if there is one."""
    name, operands = e.primitive.name, e.operands
    if name in _IDENTITIES or (name == "concat" and len(operands) == 1):
        return operands[0]
    if name == "permute_dims" and e.params["axes"] == tuple(range(len(e.params["axes"]))):
        return operands[0]
    if name == "negative" and (inner := made.get(operands[0])) and inner.primitive is e.primitive:
        return inner.operands[0]
    neutral = _NEUTRAL.get(name)
    if neutral is not None:
        x, y = operands
        if type(y) is Literal and repr(y.value) in neutral:
            return x
        if name == "multiply" and type(x) is Literal and repr(x.value) in neutral:
            return y
    return None


_IDENTITIES: Final = frozenset(  # between equal types; derivatives are taken of other lists
    ("astype", "broadcast_to", "checkpoint_name", "hide", "positive", "reshape", "stop_gradient")
)
_NEUTRAL: Final = {  # as text, since −0 is not neutral; x + 0 is 0 where x is −0
    "divide": ("1", "1.0"),
    "multiply": ("1", "1.0"),
    "subtract": ("0", "0.0"),
}


def common(wengert: WengertList) -> WengertList:
    """Without entries that compute again what one before them did.

    What is returned, and all that may share memory with it, is computed all the same: two results
    are never one array.
    """
    group = sharing(wengert.entries, wengert.types)
    returned = {group.get(o, o) for o in wengert.outputs if type(o) is not Literal}
    first: dict[Hashable, tuple[int, ...]] = {}
    same: dict[int, int] = {}
    entries = []
    for e in wengert.entries:
        operands = tuple(o if type(o) is Literal else same.get(o, o) for o in e.operands)
        e = e._replace(operands=operands)
        key = None if has_effect(e) else _key(e)
        if key is not None and returned.isdisjoint(group[r] for r in e.results):
            found = first.setdefault(key, e.results)
            if found is not e.results:
                same.update(zip(e.results, found, strict=True))
                continue
        entries.append(e)
    return _with(wengert, entries)


def dead(wengert: WengertList) -> WengertList:
    """Without entries whose results nothing reads, but for those that have an effect."""
    return _with(wengert, needed(wengert.entries, wengert.outputs, (), ALL))


def constant(wengert: WengertList) -> WengertList:
    """With small arrays that depend on nothing made once, unless they are returned."""
    group = sharing(wengert.entries, wengert.types)
    returned = {group.get(o, o) for o in wengert.outputs if type(o) is not Literal}
    made: dict[int, Any] = {}
    entries = []
    for e in wengert.entries:
        primitive = e.primitive
        alone = primitive.arity == 0 and primitive.results == 1 and "axis_name" not in e.params
        if alone and not primitive.effect:
            (v,) = e.results
            kind = wengert.types[v]
            size = math.prod(kind.shape) * kind.dtype.itemsize
            if wengert.places[v].library is NUMPY and size <= _SMALL and group[v] not in returned:
                made[v] = primitive.kernel_of(NUMPY)(**e.params)  # no trace may see it
                continue
        entries.append(e)
    return _with(wengert, entries, made)


_SMALL: Final = 1 << 16  # bytes of an array that is kept rather than made again

PASSES: Final[tuple[Callable[[WengertList], WengertList], ...]] = (
    *(flat, plain, common, constant, dead),
)


def _with(
    wengert: WengertList, entries: list[Entry], made: dict[int, Any] | None = None
) -> WengertList:
    """The list with other entries, and with more constants."""
    constants = dict(zip(wengert.captured, wengert.constants, strict=True)) | (made or {})
    args = wengert.name, wengert.inputs, entries, wengert.outputs, wengert.types, wengert.places
    return WengertList(*args, constants, wengert.rebuild)


def _key(e: Entry) -> Hashable:
    """What two entries have in common that compute the same, or None where that is not known."""
    try:
        parts = tuple(map(_part, (*e.operands, *e.params.items())))
    except TypeError:
        return None
    return e.primitive.name, parts


def _part(x: Any) -> Hashable:
    if type(x) is Literal or type(x) in SCALARS or isinstance(x, np.generic):
        return type(x), repr(x)  # 0.0 == -0.0, and 1 == True
    if type(x) is slice:
        return "slice", repr(x)
    if isinstance(x, tuple):
        return type(x), tuple(map(_part, x))
    hash(x)
    return x  # type: ignore[no-any-return]  # it has a hash
