"""Donated inputs: arrays of a program's caller in whose memory results are returned.

A result is written to a donated array by the entry that makes it, if nothing reads there later, and
else copied there at the end. What may raise an error comes before the first such write, so that an
error leaves donated arrays as they were.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from volta.compile.assembly import Assembly
from volta.compile.calls import Call
from volta.compile.formulas import Requirement
from volta.compile.kernel import Kernel
from volta.compile.memory import COPYING
from volta.compile.schedule import native_of
from volta.compile.stages import stages
from volta.compile.standin import Divided
from volta.core.types import ArrayType, DType
from volta.core.wengert import Entry, Literal, operands_of

__all__ = [
    "Donation",
    "Homes",
    "homes_of",
    "matched",
    "may_keep",
    "may_raise",
    "raising_first",
    "to_home",
]

Types = Mapping[int, ArrayType]


class Donation(NamedTuple):
    """What a caller gives away.

    Attributes
    ----------
    given : tuple of int
        Inputs, each of the type of a result of its own (see `matched`).
    views : tuple of (int, int)
        Other inputs that may share memory with them, each with one that it may be a view of.
    """

    given: tuple[int, ...]
    views: tuple[tuple[int, int], ...]


def matched(donated: Iterable[int], outputs: Iterable[Any], types: Types) -> dict[int, int]:
    """Of donated inputs the results that may take their memory: the first of the same type.

    An input that is returned is its own result.
    """
    donated = [*donated]
    left = dict.fromkeys(o for o in outputs if type(o) is not Literal)
    found = {d: d for d in donated if d in left}
    for d in donated:
        fitting = (o for o in left if o not in found.values() and types[o] == types[d])
        if d not in found and (o := next(fitting, None)) is not None:
            found[d] = o
    return found


# What may raise -----------------------------------------------------------------------------------


def may_keep(e: Entry) -> bool:
    """Whether an entry may keep its operands: it calls what is not Volta's."""
    primitive: Any = e.primitive
    calls = primitive.carries or primitive.effect or "call" in e.params
    return calls and type(primitive) is not Requirement


def may_raise(e: Entry, types: Types) -> bool:
    """Whether an entry may raise an error, as far as is known: an index may be outside, say."""
    primitive: Any = e.primitive
    name = primitive.name
    if native_of(e) is not None or type(primitive) is Assembly or name in _NEVER_RAISE:
        return False
    if may_keep(e) or not (primitive.elementwise or primitive.view or name in COPYING):
        return True
    kinds = [types[v].dtype for v in operands_of(e)]
    integers = [k for k in kinds if k.kind in ("int", "uint")]
    if name == "pow" and integers:
        return True
    return not all(_holds(k, o.value) for k in integers for o in e.operands if type(o) is Literal)


_NEVER_RAISE: Final = ("astype", "random_bits", "random_normal", "random_unit")


def _holds(dtype: DType, value: Any) -> bool:
    """Whether an integer dtype has a number, if that is an integer."""
    limits = np.iinfo(dtype.dtype)
    return type(value) is not int or limits.min <= value <= limits.max


def raising_first(entries: Sequence[Entry], types: Types) -> tuple[list[Entry], int]:
    """Entries with those that may raise, and what these depend on, first; and how many that are."""
    first: list[Entry] = []
    rest: list[Entry] = []
    wanted: set[int] = set()
    for e in reversed(entries):
        early = may_raise(e, types) or not wanted.isdisjoint(e.results)
        if early:
            wanted.update(operands_of(e))
        (first if early else rest).append(e)
    return [*reversed(first), *reversed(rest)], len(first)


# Where results go ---------------------------------------------------------------------------------


class Homes(NamedTuple):
    """Donated inputs in whose memory results are returned.

    Attributes
    ----------
    placed, copied : dict of int to int
        Of results that are written there by the entries that make them, and of those that are
        copied there at the end, the inputs.
    first : int
        Number of the first entry that writes to one.
    """

    placed: dict[int, int]
    copied: dict[int, int]
    first: int


def homes_of(
    donated: Sequence[int],
    outputs: Sequence[Any],
    entries: Sequence[Entry],
    calls: Sequence[Call],
    group: Mapping[int, int],
    types: Types,
    quiet: int,
) -> Homes:
    """Homes of results, of which entries before number `quiet` may not write to one."""
    wanted = {o: d for d, o in matched(donated, outputs, types).items() if o != d}
    free = list(wanted.values())
    last = {group[v]: i for i, e in enumerate(entries) for v in operands_of(e)}
    last |= {group[o]: len(entries) for o in outputs if type(o) is not Literal}
    made = {v: i for i, e in enumerate(entries) for v in e.results}
    placed: dict[int, int] = {}

    def takes(d: int, o: int) -> bool:
        """Whether a result may be written to a donated array by the entry that makes it."""
        i, end = made[o], last.get(group[d], -1)
        e, call = entries[i], calls[i]
        primitive: Any = e.primitive
        writes = call.into or native_of(e) is not None or isinstance(primitive, Divided)
        if i < quiet or not writes:
            return False
        return end < i or (end == i and (call.over or _overwrites(e, o, d, group)))

    for o in sorted(wanted.keys() & made.keys(), key=made.__getitem__):
        fitting = [d for d in free if types[d] == types[o] and takes(d, o)]
        if fitting:
            placed[o] = wanted[o] if wanted[o] in fitting else fitting[0]
            free.remove(placed[o])
    copied = matched(free, [o for o in wanted if o not in placed], types)
    first = min((made[o] for o in placed), default=len(entries))
    return Homes(placed, {o: d for d, o in copied.items()}, first)


def _overwrites(e: Entry, o: int, d: int, group: Mapping[int, int]) -> bool:
    """Whether a kernel or a group that reads a donated array may write a result there.

    It may if it reads each element where the result's is stored, and in no later pass over a row.
    """
    primitive: Any = e.primitive
    if isinstance(primitive, Divided):
        alone = all(v == d for v in e.operands if group[v] == group[d])
        return alone and primitive.overwrites(o, d)
    code = native_of(e)
    if type(code) is not Kernel:
        return False
    number = e.results.index(o)
    strides = code.results[number].strides
    size = math.prod(n for n, s in zip(code.shape, strides, strict=True) if s)
    own = {k for k, v in enumerate(e.operands) if group[v] == group[d]}
    alike = all(e.operands[k] == d and code.operands[k][2:] == (strides, 0) for k in own)
    if not alike or size != math.prod(code.shape):
        return False
    passes = stages(code).passes
    stored = next((k for k, p in enumerate(passes) if number in p.stores), len(passes))
    loads = [i for p in passes[stored + 1 :] for i in set(p.nodes).difference(p.loads)]
    return not any(code.nodes[i].op == "load" and code.nodes[i].value in own for i in loads)


def to_home(x: Any, home: Any, *written: Any) -> Any:
    """A result, or a copy if it shares memory with arrays that are written at the end."""
    if x is home or not any(np.may_share_memory(x, w) for w in written):
        return x
    return x.copy()
