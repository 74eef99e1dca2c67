"""Functions of groups: what a program calls to compute elementwise entries part by part.

Each is written as a program is, of one part, which threads take one after another. Where results of
entries go that stay in a group, every thread has memory of its own.
"""

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any, Final, NamedTuple

from volta.compile.blocks import ROWS, Blocks
from volta.compile.calls import QUIET, Function, call_of
from volta.compile.formulas import evaluated, is_formula
from volta.compile.memory import Arena, Slots
from volta.compile.pieces import Pieces, Together
from volta.compile.threads import helped
from volta.core.call import code_of, function_of
from volta.core.types import ArrayType
from volta.core.wengert import Entry, Literal, operands_of

__all__ = ["Parts", "written"]

_LONG: Final = 1 << 20  # elements computed by ufuncs that are worth waking another thread for
_OTHER: Final = 8  # ufuncs that take as long as another kernel, at least

Types = dict[int, ArrayType]


class Parts(NamedTuple):
    """Function of a group, with nothing in it of the process that wrote it.

    Attributes
    ----------
    code : code
        Of a function of memory, the first place of a part on each axis that is cut, and arrays:
        operands of the group, and those for its results.
    space : dict of str to object
        What it names.
    starts : tuple of range
        First places of the parts, on each axis.
    arena : Arena
        Makes the memory.
    shared : bool
        Whether there is work enough for several threads.
    """

    code: CodeType
    space: dict[str, Any]
    starts: tuple[range, ...]
    arena: Arena
    shared: bool

    @property
    def found(self) -> Callable[..., None]:
        """The function, of the arrays alone."""
        return _Running(self).__call__


class _Running:
    """A function of a group in a process.

    Attributes
    ----------
    pool : list
        Memory that no thread uses.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        space = {k: v.found if type(v) is Function else v for k, v in parts.space.items()}
        self.part = function_of(parts.code, space)
        self.pool: list[list[Any]] = []

    def __call__(self, *arrays: Any) -> None:
        """Compute all parts."""
        starts = deque(itertools.product(*self.parts.starts))
        given = [*arrays]
        errors: list[tuple[Any, BaseException]] = []

        def work() -> None:
            self._work(starts, given, errors)

        try:
            with helped(work, len(starts) - 1 if self.parts.shared else 0):
                work()
            if errors:  # of the first part that has one, as all before it are computed
                raise min(errors, key=lambda found: found[0])[1]
        finally:
            given.clear()  # of which a thread that has not begun would count as a reference
            errors.clear()

    def _work(
        self, starts: deque[Any], arrays: list[Any], errors: list[tuple[Any, BaseException]]
    ) -> None:
        """Compute parts until none is left."""
        used, start = None, ()
        try:
            try:
                used = self.pool.pop()
            except IndexError:
                used = self.parts.arena()
            while True:
                try:
                    start = starts.popleft()  # not asked for before: another thread may take it
                except IndexError:
                    break
                self.part(used, *start, *arrays)
        except BaseException as error:  # raised where all threads have ended
            starts.clear()
            errors.append((start, error))
        finally:
            if used is not None:
                self.pool.append(used)


def written(e: Entry, name: str, types: Types) -> tuple[Parts, dict[int, Entry]]:
    """Function of a group, called so, and entries by its lines."""
    divided: Any = e.primitive
    writer = _WRITERS.get(type(divided), _Writer)(e, divided, types)
    lines = [*writer.lines()]
    starts = ", ".join(f"i{axis}" for axis in range(len(divided.starts)))
    arrays = ", ".join(f"v{v}" for v in (*e.operands, *e.results))
    text = [f"def {name}(used, {starts}, {arrays}):"]
    if writer.slots.views:
        text.append(f"    {''.join(f'{s}, ' for s in writer.slots.views.values())}= used")
    first = len(text) + 1
    text += [f"    {line}" for line, _ in lines]
    code = code_of("\n".join(text) + "\n")
    parts = Parts(code, writer.space, divided.starts, writer.slots.arena, writer.is_long)
    return parts, {i: inner for i, (_, inner) in enumerate(lines, first)}


class _Writer:
    """A function of a group being written.

    Attributes
    ----------
    steps : list of (Entry, Entry)
        Entries that are calls, each with the one of the group that it is part of.
    """

    def __init__(self, e: Entry, blocks: Blocks, types: Types) -> None:
        self.entry, self.blocks, self.types = e, blocks, dict(types)
        self.space: dict[str, Any] = {"quiet": QUIET}
        self.slots = Slots()
        self.steps = [(step, inner) for inner in blocks.entries for step in self._steps(inner)]
        self.calls = [call_of(step, self.types) for step, _ in self.steps]

    def _steps(self, e: Entry) -> list[Entry]:
        if e.primitive.name in ROWS:  # parts may have fewer axes
            return [e._replace(params={"axis": -1})]
        return evaluated(e, self.types) if is_formula(e, self.types) else [e]

    @property
    def is_long(self) -> bool:
        """Whether it takes much longer than to wake a thread."""
        ufuncs = sum(1 if call.into else _OTHER for call in self.calls)
        return math.prod(self.blocks.shape) * ufuncs >= _LONG

    def lines(self) -> Iterator[tuple[str, Entry]]:
        """Lines that compute a part, each with the entry that it is of."""
        e, blocks = self.entry, self.blocks
        names: dict[Any, str] = {}  # of the parts of variables
        for v in (*e.operands, *e.results):
            index = blocks.index(self.types[v].shape)
            names[v] = f"b{v}" if index else f"v{v}"
            if index:
                yield f"b{v} = v{v}{index}", e
        last = {o: i for i, (step, _) in enumerate(self.steps) for o in operands_of(step)}
        homes: dict[int, int] = {}  # slots of results that stay in the group

        def release(i: int, step: Entry) -> None:
            for o in {*operands_of(step), *step.results}:
                if o in homes and last.get(o, i) <= i:
                    self.slots.give(homes.pop(o))

        quiet: Any = None  # formula that the lines are of
        for i, ((step, inner), call) in enumerate(zip(self.steps, self.calls, strict=True)):
            if not is_formula(inner, self.types):
                quiet = None
            elif quiet is not inner:
                quiet = inner
                yield "with quiet():", inner
            indent = "" if quiet is None else "    "
            (v,) = step.results
            if v not in e.results and call.into:
                if call.over:
                    release(i, step)
                part = self.types[v]._replace(shape=blocks.part)
                homes[v] = slot = self.slots.take(part.nbytes)
                names[v] = f"b{v}"
                yield f"{indent}b{v} = {self.slots.view(slot, part)}{blocks.cut}", inner
            held = {name: self._held(value) for name, value in call.held.items()}
            args = [names[o] if type(o) is int else self._read(o) for o in call.operands]
            text = call.text.format(*args, out=f", out={names.get(v)}" if call.into else "", **held)
            if not call.into:
                target = f"{names[v]}[...]" if v in e.results else f"b{v}"
                names[v] = names.get(v, f"b{v}")
                text = f"{target} = {text}"
            yield indent + text, inner
            release(i, step)

    def _held(self, value: Any) -> str:
        name = f"c{len(self.space)}"
        self.space[name] = value
        return name

    def _read(self, operand: Any) -> str:
        return self._held(operand.value if type(operand) is Literal else operand)


class _PieceWriter:
    """A function of an operation that threads share being written."""

    is_long = True

    def __init__(self, e: Entry, pieces: Pieces, types: Types) -> None:
        self.entry, self.pieces = e, pieces
        self.space: dict[str, Any] = {}
        self.slots = Slots()
        self.call = call_of(pieces.entries[0], types)

    def lines(self) -> Iterator[tuple[str, Entry]]:
        """Lines that compute a piece, each with the entry that it is of."""
        (e,), call, cut = self.pieces.entries, self.call, self.pieces.cut
        pairs = zip(call.operands, cut.operands, strict=True)
        args = [f"v{v}{self.pieces.of_operand(axis)}" for v, axis in pairs]
        pairs = zip(self.entry.results, cut.results, strict=True)
        places = [f"v{v}{self.pieces.of_result(axis)}" for v, axis in pairs]
        for name, value in call.held.items():
            self.space[f"c{name}"] = value
        held = {name: f"c{name}" for name in call.held}
        out = f", out={places[0]}" if call.into else ""
        text = call.text.format(*args, out=out, **held)
        if call.into:
            yield text, e
            return
        found = [f"r{i}" for i in range(len(places))]
        yield f"{', '.join(found)} = {text}", e
        for place, value in zip(places, found, strict=True):
            yield f"{place} = {value}", e


class _TogetherWriter:
    """A function of operations that run beside each other being written."""

    is_long = True

    def __init__(self, e: Entry, together: Together, types: Types) -> None:
        self.together = together
        self.space: dict[str, Any] = {}
        self.slots = Slots()
        self.calls = [call_of(inner, types) for inner in together.entries]

    def lines(self) -> Iterator[tuple[str, Entry]]:
        """Lines that compute one of them, each with the entry that it is of."""
        for i, (e, call) in enumerate(zip(self.together.entries, self.calls, strict=True)):
            held = {name: f"c{i}{name}" for name in call.held}
            self.space |= {held[name]: value for name, value in call.held.items()}
            args = [f"v{v}" for v in call.operands]
            (v,) = e.results
            yield f"if i0 == {i}:", e
            yield f"    v{v}[...] = {call.text.format(*args, out='', **held)}", e


_WRITERS: Final[dict[Any, Any]] = {Pieces: _PieceWriter, Together: _TogetherWriter}
