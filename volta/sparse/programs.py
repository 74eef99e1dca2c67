"""Index sets through whole programs, and through those that operations carry.

`propagate` finds what any operation makes of index sets, `through` what a list makes of them.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from volta.core.tracer import Tracer, concrete
from volta.core.types import SCALARS, is_inexact, typeof
from volta.core.wengert import Entry, Literal, WengertList
from volta.functional import to_device
from volta.sparse.rules import RULES, Found, Operation, dense, elementwise, joined
from volta.sparse.sets import IndexSets

__all__ = ["host", "propagate", "through"]

Value = Callable[[], Any] | None  # what an input is, when asked for; None if that is not known


def propagate(op: Operation) -> list[Found]:
    """Index sets of the results of an operation."""
    if not any(op.sets) or not any(is_inexact(r.dtype) for r in op.results):
        return [None] * len(op.results)
    rule = RULES.get(op.primitive.name) or _CARRIED.get(op.primitive.name)
    if rule is None:
        rule = elementwise if op.primitive.elementwise else dense
    return [s if is_inexact(r.dtype) else None for s, r in zip(rule(op), op.results, strict=True)]


def through(listed: WengertList, sets: Sequence[Found], given: Sequence[Value]) -> list[Found]:
    """Index sets of what a list returns, from those of its inputs and what is known of these."""
    known = _Known(listed, given)
    at: dict[int, IndexSets] = {
        v: s for v, s in zip(listed.inputs, sets, strict=True) if s is not None
    }
    for e in listed.entries:
        op = Operation(
            e.primitive,
            e.params,
            [None if type(o) is Literal else at.get(o) for o in e.operands],
            lambda i, e=e: known.operand(e.operands[i]),  # type: ignore[misc]  # mypy 4226
            lambda e=e: known.operand(e.results[0]),  # type: ignore[misc]  # mypy 4226
            [typeof(o.value) if type(o) is Literal else listed.types[o] for o in e.operands],
            [listed.types[r] for r in e.results],
        )
        for r, s in zip(e.results, propagate(op), strict=True):
            if s is not None:
                at[r] = s
    return [None if type(o) is Literal else at.get(o) for o in listed.outputs]


def host(x: Any) -> Any:
    """NumPy array of the numbers in an array or scalar; None for a traced one."""
    if type(x) in SCALARS:
        return np.asarray(x)
    if type(x) is Tracer:
        return host(concrete(x, "sparse")) if x.trace is None else None
    return x if isinstance(x, np.ndarray) else np.asarray(to_device(x, xp=np))


class _Known:
    """Values that do not depend on the input, computed when asked for."""

    def __init__(self, listed: WengertList, given: Sequence[Value]) -> None:
        self.values: dict[int, Any] = dict(zip(listed.captured, listed.constants, strict=True))
        self.given = {v: g for v, g in zip(listed.inputs, given, strict=True) if g is not None}
        self.makers: dict[int, Entry] = {}
        for e in listed.entries:
            if all(type(o) is Literal or o in self.values or o in self.makers for o in e.operands):
                self.makers.update(dict.fromkeys(e.results, e))

    def operand(self, o: Any) -> Any:
        """NumPy array of an operand, or None."""
        if type(o) is Literal:
            return np.asarray(o.value)
        value = self._value(o)
        return None if value is None else host(value)

    def _value(self, var: int) -> Any:
        todo = [var]
        while todo:  # a loop, not a recursion: lists are long
            last = todo[-1]
            if last in self.values:
                todo.pop()
                continue
            if last in self.given:
                self.values[last] = self.given[last]()
                continue
            if last not in self.makers:
                return None
            e = self.makers[last]
            missing = [o for o in e.operands if type(o) is not Literal and o not in self.values]
            if missing:
                todo += missing
                continue
            operands = [o.value if type(o) is Literal else self.values[o] for o in e.operands]
            if any(x is None or (type(x) is Tracer and x.trace is not None) for x in operands):
                self.values.update(dict.fromkeys(e.results))
                continue
            out = e.primitive(*operands, **e.params)
            outs = (out,) if e.primitive.results == 1 else out
            self.values.update(zip(e.results, outs, strict=True))
        return self.values[var]


# Operations that carry programs ------------------------------------------------------------------


def _given(op: Operation, first: int = 0, last: int | None = None) -> list[Value]:
    """What is known of some operands."""
    return [partial(op.value, i) for i in range(len(op.sets))[first:last]]


def _checkpointed(op: Operation) -> list[Found]:
    return through(op.params["body"], op.sets, _given(op))


def _switched(op: Operation) -> list[Found]:
    """Union of the branches, or the one that is known to be taken."""
    branches = op.params["branches"]
    index = op.value(0)
    if index is not None:
        branches = (branches[int(index)],)
    found = [through(b, op.sets[1:], _given(op, 1)) for b in branches]
    return [
        joined(parts, r.shape)
        for parts, r in zip(zip(*found, strict=True), op.results, strict=True)
    ]


_STEPS: Final = 256  # longest loop that is followed step by step
_ROUNDS: Final = 64  # most steps after which nothing may be added any more


def _scanned(op: Operation) -> list[Found]:
    """The body, step by step; of long loops until no step adds anything."""
    body, length = op.params["body"], op.params["length"]
    consts, carries = op.params["consts"], op.params["carries"]
    first, carry, xs = (
        op.sets[:consts],
        op.sets[consts : consts + carries],
        op.sets[consts + carries :],
    )
    if length > _STEPS:
        return _settled_scan(op, first, carry, xs)
    order = range(length - 1, -1, -1) if op.params["reverse"] else range(length)
    stacks: list[list[Found]] = [[None] * length for _ in body.outputs[carries:]]

    def element(i: int, step: int) -> Any:
        whole = op.value(i)
        return None if whole is None else whole[step]

    for step in order:
        parts = [None if s is None else IndexSets(s.index[step], s.rows) for s in xs]
        given: list[Value] = [*_given(op, 0, consts), *[None] * carries]
        places = range(consts + carries, len(op.sets))
        given += [partial(element, i, step) for i in places]
        out = through(body, [*first, *carry, *parts], given)
        carry = out[:carries]
        for stack, s in zip(stacks, out[carries:], strict=True):
            stack[step] = s
    shapes = [r.shape for r in op.results[carries:]]
    return [*carry, *(_stacked(s, shape) for s, shape in zip(stacks, shapes, strict=True))]


def _stacked(parts: list[Found], shape: tuple[int, ...]) -> Found:
    """Sets of arrays put one after another along a new first axis."""
    total: Found = None
    for step, part in enumerate(parts):
        if part is not None:
            index = np.zeros(shape, np.int64)
            index[step] = part.index
            placed = IndexSets(index, part.rows)
            total = placed if total is None else total.join(placed)
    return total


def _settled_scan(
    op: Operation, first: list[Found], carry: list[Found], xs: list[Found]
) -> list[Found]:
    """Sets that hold at every step, of which each has what any element of `xs` depends on."""
    body, carries = op.params["body"], op.params["carries"]
    parts = []
    for s in xs:
        over = None if s is None else s.over((0,))
        parts.append(None if over is None else IndexSets(over.index[0], over.rows))
    given: list[Value] = [None] * len(op.sets)

    def step(now: list[Found]) -> list[Found]:
        return through(body, [*first, *now, *parts], given)

    settled = _settled(step, carry, carries)
    if settled is None:
        return dense(op)
    out = step(settled)
    stacks = [
        None if s is None else s.broadcast(r.shape)
        for s, r in zip(out[carries:], op.results[carries:], strict=True)
    ]
    return [*settled, *stacks]


def _looped(op: Operation) -> list[Found]:
    """The body until no step adds anything; the number of steps has no derivative."""
    body, tests, consts = op.params["body"], op.params["tests"], op.params["consts"]
    operands = op.sets[tests:]
    first, carry = operands[:consts], operands[consts:]
    given: list[Value] = [None] * len(operands)
    settled = _settled(lambda now: through(body, [*first, *now], given), carry, len(carry))
    return dense(op) if settled is None else [*settled, None]


def _settled(
    step: Callable[[list[Found]], list[Found]], carry: list[Found], carries: int
) -> list[Found] | None:
    """Sets that no further step adds to; None if that takes too many."""
    now = list(carry)
    for _ in range(_ROUNDS):
        after = step(now)[:carries]
        grown = [
            s if t is None else t if s is None else s.join(t)
            for s, t in zip(now, after, strict=True)
        ]
        if all(_alike(s, t) for s, t in zip(now, grown, strict=True)):
            return now
        now = grown
    return None


def _both(s: Found, t: Found) -> Found:
    return joined([s, t], t.index.shape) if t is not None else s


def _alike(s: Found, t: Found) -> bool:
    if s is None or t is None:
        return s is t
    return bool(s.matrix().nnz == t.matrix().nnz)  # t holds s


_CARRIED: Final[dict[str, Callable[[Operation], list[Found]]]] = {
    "checkpoint": _checkpointed,
    "scan": _scanned,
    "switch": _switched,
    "while_loop": _looped,
}
