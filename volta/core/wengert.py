"""The Wengert list: the one intermediate representation, and its reverse sweep.

Entries are in the order of execution. Under `vjp` an entry also keeps what its derivative rules
read; under staging a list knows the types of its variables and can be printed and run.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from types import CodeType
from typing import Any, Final, NamedTuple

import numpy as np

from volta.core.call import axes_in, written
from volta.core.context import STAGING
from volta.core.errors import VoltaError
from volta.core.primitive import Primitive
from volta.core.trace import Abstract, live, located, source_line
from volta.core.types import ArrayType

__all__ = [
    "ALL",
    "NO",
    "Entry",
    "Literal",
    "Recorded",
    "WengertList",
    "alternatives",
    "carried",
    "has_effect",
    "needed",
    "operands_of",
    "sweep",
]

# Entries with an effect that belong to a part of a list
ALL: Final = slice(None)
NO: Final = slice(0)


class Literal(NamedTuple):
    """A Python number among the operands of a staged entry."""

    value: Any


class Entry(NamedTuple):
    """One line of a list: ``result = primitive(operands; params)``.

    Variables are ints from 1; `result` is a tuple of them where an operation has several results.
    An operand is a variable, a `Literal`, or None for a constant of no interest to the sweep. What
    follows `result` serves the sweep, and is empty in a staged list: the function that carries a
    cotangent back (see `plan`), the result if its rules read it, what is saved of the operands (or
    a pair's residuals), and the types of operands that were broadcast or promoted. Then comes where
    in the user's code it was, and last, of a staged entry that a sweep made, the operation whose
    derivative it is part of.
    """

    primitive: Primitive
    operands: Sequence[Any]
    params: dict[str, Any]
    result: int | tuple[int, ...]
    pull: Callable[..., None] | None
    out: Any
    saved: Any
    fits: dict[int, ArrayType] | None
    code: CodeType | None
    offset: int
    origin: str | None = None

    @property
    def results(self) -> tuple[int, ...]:
        """Variables of the results, as a tuple."""
        return self.result if isinstance(self.result, tuple) else (self.result,)


# The fields of an Entry as a plain tuple, which is what `vjp` records: one in five of the cost
Recorded = tuple[
    Primitive,
    Sequence[Any],
    dict[str, Any],
    Any,  # result
    Callable[..., None],  # pull
    Any,  # out
    Any,  # saved
    dict[int, ArrayType] | None,
    CodeType,
    int,
]


class WengertList:
    """A staged program: inputs, entries over typed variables, outputs.

    Calling it runs it; printing it shows one line an entry, with types and source lines.

    Attributes
    ----------
    inputs, captured, outputs : tuple
        Variables of the inputs; of the arrays the function closed over; operands returned.
    constants : tuple of array
        The captured arrays.
    entries : list of Entry
    types : dict of int to ArrayType
    places : dict of int to Abstract
        Type, library and device of the variables.
    rebuild : callable
        From the list of what is returned to the function's result.
    numbers : dict of int to number
        Outputs that were Python numbers, by their places.
    """

    __slots__ = (
        "__dict__",  # what is made of the list and kept with it: see `run`, and `transforms.lists`
        "captured",
        "constants",
        "entries",
        "inputs",
        "name",
        "numbers",
        "outputs",
        "places",
        "rebuild",
        "types",
    )

    def __init__(
        self,
        name: str,
        inputs: tuple[int, ...],
        entries: list[Entry],
        outputs: tuple[Any, ...],
        types: dict[int, ArrayType],
        places: dict[int, Abstract],
        captured: dict[int, Any],
        rebuild: Callable[[list[Any]], Any],
    ) -> None:
        self.name, self.inputs, self.entries, self.outputs = name, inputs, entries, outputs
        self.types, self.places, self.rebuild = types, places, rebuild
        self.captured, self.constants = tuple(captured), tuple(captured.values())
        self.numbers: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def __name__(self) -> str:
        return self.name

    def __call__(self, *arrays: Any) -> Any:
        """Run the program on arrays, or tracers, in place of the inputs' leaves."""
        if len(arrays) != len(self.inputs):
            msg = f"{self.name}: takes {len(self.inputs)} arrays; got {len(arrays)}."
            raise located(TypeError(msg))
        return self.rebuild(self.replay(arrays))

    def replay(self, arrays: Sequence[Any]) -> list[Any]:
        """Run the program entry by entry; returns what it returns, as a list.

        A value is let go after its last use. What is staged meanwhile has the lines of this list.
        """
        values = dict(zip(self.inputs, arrays, strict=True))
        values.update(zip(self.captured, self.constants, strict=True))
        staging = STAGING.get()
        if staging is not None and staging.watches:
            return staging.replay(self, arrays)  # type: ignore[no-any-return]  # Trace.replay
        before = None if staging is None else (staging.at, staging.origin)

        def read(operand: Any) -> Any:
            return operand.value if type(operand) is Literal else values[operand]

        e = None
        try:
            for e, dead in zip(self.entries, self.last_uses, strict=True):
                if staging is not None:
                    staging.at, staging.origin = (e.code, e.offset), e.origin
                out = e.primitive.call(*map(read, e.operands), **e.params)
                if e.primitive.results == 1:
                    values[e.results[0]] = out
                else:
                    values.update(zip(e.results, out, strict=True))
                del out
                for variable in dead:
                    del values[variable]
        except VoltaError as error:
            _place(error, e)
            raise
        finally:
            if before is not None:
                staging.at, staging.origin = before
        return [read(o) for o in self.outputs]

    @functools.cached_property
    def axis_names(self) -> frozenset[Any]:
        """Axes of the collectives in the program, and in what its entries carry."""
        own = {e.params["axis_name"] for e in self.entries if "axis_name" in e.params}
        return frozenset(own.union(*(axes_in(e.params) for e in self.entries)))

    @functools.cached_property
    def last_uses(self) -> list[tuple[int, ...]]:
        """Variables that nothing reads any more, after each entry."""
        seen = {o for o in self.outputs if type(o) is not Literal}
        dead = []
        for e in reversed(self.entries):
            read = dict.fromkeys((*e.results, *operands_of(e)))
            dead.append(tuple(v for v in read if v not in seen))
            seen.update(read)
        dead.reverse()
        return dead

    @property
    def run(self) -> Callable[..., Any]:
        """Function of the inputs that returns a list of the outputs."""
        if _watch() is not None:
            return lambda *arrays: self.replay(arrays)
        return self._run

    @functools.cached_property
    def _run(self) -> Callable[..., Any]:
        """The same, written for this program."""
        if len(self.entries) > _LONGEST:
            return lambda *arrays: self.replay(arrays)
        space: dict[str, Any] = {}

        def held(value: Any) -> str:
            name = f"c{len(space)}"
            space[name] = value
            return name

        def read(o: Any) -> str:
            return held(o.value) if type(o) is Literal else f"v{o}"

        constants = zip(self.captured, self.constants, strict=True)
        lines = [
            f"def run({', '.join(map(read, self.inputs))}):",
            *(f"    v{v} = {held(c)}" for v, c in constants),
            "    try:",
        ]
        entries: dict[int, Entry] = {}  # by the number of the line

        def place(error: VoltaError) -> None:
            assert error.__traceback__ is not None
            _place(error, entries.get(error.__traceback__.tb_lineno))

        space["error_class"], space["place"] = VoltaError, place
        for e, dead in zip(self.entries, self.last_uses, strict=True):
            params = (f"{k}={held(v)}" for k, v in e.params.items())
            given = ", ".join([*map(read, e.operands), *params])
            results = ", ".join(map(read, e.results))
            several = "" if e.primitive.results == 1 or not e.results else ","
            target = f"{results}{several} = " if e.results else ""
            lines.append(f"        {target}{held(e.primitive.call)}({given})")
            entries[len(lines)] = e
            if dead:
                lines.append(f"        del {', '.join(map(read, dead))}")
        lines += [
            f"        return [{', '.join(map(read, self.outputs))}]",
            "    except error_class as error:",
            "        place(error)",
            "        raise",
        ]
        return written("\n".join(lines) + "\n", space, again=False)

    def closed(self) -> "WengertList":
        """The same program with the captured arrays as its first inputs."""
        if not self.captured:
            return self
        inputs = self.captured + self.inputs
        args = self.name, inputs, self.entries, self.outputs, self.types, self.places
        return WengertList(*args, {}, self.rebuild)

    def between(
        self, inputs: Sequence[int], outputs: Sequence[Any], effects: slice = ALL
    ) -> "WengertList":
        """The part from `inputs`, which may be results of entries, to `outputs`; it is flat.

        Of the entries that have an effect those in `effects` belong to it.
        """
        given = set(inputs)
        entries = needed(self.entries, outputs, given, effects)
        read = {o for e in entries for o in operands_of(e)}
        read.update(o for o in outputs if type(o) is not Literal)
        constants = zip(self.captured, self.constants, strict=True)
        captured = {v: c for v, c in constants if v in read and v not in given}
        args = self.name, tuple(inputs), entries, tuple(outputs), self.types, self.places
        return WengertList(*args, captured, list)

    def check(self) -> None:
        """Raise AssertionError if a variable is used before it is defined or has no type."""
        given = {*self.inputs, *self.captured}  # of several results some may be given
        known = set(given)
        for e in self.entries:
            for o in e.operands:
                assert type(o) is Literal or o in known, (e.primitive.name, o)
            assert not given.issuperset(e.results) or not e.results, e.primitive.name
            for r in e.results:
                assert r not in known or r in given, (e.primitive.name, r)
                assert r in self.types, (e.primitive.name, r)
                known.add(r)
        for o in self.outputs:
            assert type(o) is Literal or o in known, o

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> list[str]:
        """Lines of the text; the programs that an entry carries stand below it, indented."""

        def show(o: Any) -> str:
            return repr(o.value) if type(o) is Literal else f"%{o}"

        def typed(variables: Sequence[int]) -> str:
            return ", ".join(f"%{v}: {self.types[v]}" for v in variables)

        def call(e: Entry) -> str:
            params = "".join(f"; {k}={_short(v)}" for k, v in e.params.items())
            text = f"{e.primitive.name}({', '.join(map(show, e.operands))}{params})"
            return f"  {typed(e.results)} = {text}" if e.results else f"  {text}"

        lines = [f"{self.name}({typed(self.inputs)}):"]
        if self.captured:
            lines.append(f"  captured {typed(self.captured)}")
        body = [call(e) for e in self.entries]
        width = min(max(map(len, body), default=0), 72)
        for text, e in zip(body, self.entries, strict=True):
            lines.append(f"{text:<{width}}  # {source_line(e.code, e.offset)}")
            for part in carried(e):
                lines += [f"    {line}" for line in part._lines()]
        lines.append(f"  return {', '.join(map(show, self.outputs))}")
        return lines

    __repr__ = __str__


def _place(error: VoltaError, entry: Entry | None) -> None:
    """Say in an error of a program that it is the entry's line."""
    if entry is not None and entry.code is not None:
        located(error, source_line(entry.code, entry.offset))


_LONGEST: Final = 10_000  # entries of a program for which a function is written


def needed(
    entries: Sequence[Entry],
    outputs: Iterable[Any],
    given: Iterable[int] = (),
    effects: slice = NO,
) -> list[Entry]:
    """Entries on which `outputs` depend, in their order, where the variables `given` are known.

    With them come those in `effects` that have an effect, and what these depend on.
    """
    given = set(given)
    wanted = {o for o in outputs if type(o) is not Literal and o not in given}
    acting = {id(e) for e in entries[effects] if has_effect(e)}
    found = []
    for e in reversed(entries):
        if not wanted.isdisjoint(e.results) or id(e) in acting:
            found.append(e)
            wanted.update(o for o in operands_of(e) if o not in given)
    found.reverse()
    return found


def has_effect(entry: Entry) -> bool:
    """Whether an entry, or a program that it carries, does more than return its results."""
    return entry.primitive.effect or any(
        p.__dict__["effect"] if "effect" in p.__dict__ else _has_effect(p) for p in carried(entry)
    )


def _has_effect(wengert: WengertList) -> bool:
    found = wengert.__dict__["effect"] = any(map(has_effect, wengert.entries))
    return found


def alternatives(lists: Sequence[WengertList], arrays: Sequence[Any]) -> list[list[Any]]:
    """What lists return, each run for lanes of its own."""
    if (watch := _watch()) is not None:
        return watch.alternatives(lists, arrays)  # type: ignore[no-any-return]  # as below
    return [wengert.replay(arrays) for wengert in lists]


def _watch() -> Any:
    """The trace that watches, if there is one."""
    if not live.staging:
        return None
    current = STAGING.get()
    return current if current is not None and current.watches else None


def operands_of(entry: Entry) -> list[int]:
    """Variables among the operands of an entry of a staged list."""
    return [o for o in entry.operands if type(o) is not Literal]


def carried(entry: Entry) -> list[WengertList]:
    """Programs among the parameters of an entry, such as the body of a loop."""
    values = entry.params.values()
    flat = [p for v in values for p in (v if type(v) is tuple else (v,))]
    return [p for p in flat if type(p) is WengertList]


def _short(value: Any) -> str:
    if type(value) is WengertList:
        return value.name
    if type(value) is tuple and any(type(v) is WengertList for v in value):
        return f"({', '.join(map(_short, value))})"
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


# The reverse sweep ------------------------------------------------------------------------------


def sweep(
    entries: list[Recorded], cts: dict[int, Any], *, consume: bool, masked: set[int] | None = None
) -> dict[int, Any]:
    """Carry cotangents back through `entries`; `cts` ends up with those of the inputs.

    Runs the rules through the op set, so that outer transforms see it. With `consume` the list
    is emptied on the way, and what its entries kept is freed. `masked` holds the variables whose
    cotangents have zeros where something did not look; those of more are added.
    """
    masked = set() if masked is None else masked
    current = STAGING.get() if live.staging else None
    left = entries if consume else entries.copy()
    if current is None:
        _back(left, cts, masked)
        return cts
    while left:  # one by one, as someone wants to know of each
        entry = left.pop()
        with current.deriving(entry, cts):
            _back([entry], cts, masked)
    return cts


def _back(left: list[Recorded], cts: dict[int, Any], masked: set[int]) -> None:
    take = cts.pop
    code, offset = None, 0
    with np.errstate(all="ignore"):  # an infinite derivative is an answer, not an accident
        try:
            while left:
                _, operands, params, result, pull, out, saved, fits, code, offset = left.pop()
                ct = take(result, None)
                hidden = result in masked
                if ct is None:
                    if type(result) is int:
                        continue
                    ct = tuple([take(r, None) for r in result])
                    if all(c is None for c in ct):
                        continue
                    hidden = not masked.isdisjoint(result)
                pull(cts, masked, ct, hidden, operands, params, out, saved, fits)
        except VoltaError as error:
            located(error, source_line(code, offset))
            raise
        except Exception as error:
            error.add_note(f"volta: in the derivative of {source_line(code, offset)}")
            raise
