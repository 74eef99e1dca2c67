"""The Wengert list: the one intermediate representation, and its reverse sweep.

Entries are in the order of execution. Under `vjp` an entry also keeps what its derivative rules
read; under staging a list knows the types of its variables and can be printed and run.
"""

from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from volta.core.errors import VoltaError
from volta.core.primitive import Primitive
from volta.core.trace import located, source_line
from volta.core.types import ArrayType

__all__ = ["Entry", "Literal", "Recorded", "WengertList", "sweep"]


class Literal(NamedTuple):
    """A Python number among the operands of a staged entry."""

    value: Any


class Entry(NamedTuple):
    """One line of a list: ``result = primitive(operands; params)``.

    Variables are ints from 1; `result` is a tuple of them where an operation has several results.
    An operand is a variable, a `Literal`, or None for a constant of no interest to the sweep. What
    follows `result` serves the sweep, and is empty in a staged list: the function that carries a
    cotangent back (see `plan`), the result if its rules read it, what is saved of the operands (or
    a pair's residuals), and the types of operands that were broadcast or promoted. Last comes where
    in the user's code it was.
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
    """

    __slots__ = (
        "captured",
        "constants",
        "entries",
        "inputs",
        "name",
        "outputs",
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
        captured: dict[int, Any],
        rebuild: Callable[[list[Any]], Any],
    ) -> None:
        self.name, self.inputs, self.entries, self.outputs = name, inputs, entries, outputs
        self.types, self.rebuild = types, rebuild
        self.captured, self.constants = tuple(captured), tuple(captured.values())

    def __len__(self) -> int:
        return len(self.entries)

    def __call__(self, *arrays: Any) -> Any:
        """Run the program on arrays, or tracers, in place of the inputs' leaves."""
        if len(arrays) != len(self.inputs):
            msg = f"{self.name}: takes {len(self.inputs)} arrays; got {len(arrays)}."
            raise TypeError(msg)
        values = dict(zip(self.inputs, arrays, strict=True))
        values.update(zip(self.captured, self.constants, strict=True))

        def read(operand: Any) -> Any:
            return operand.value if type(operand) is Literal else values[operand]

        for e in self.entries:
            out = e.primitive(*map(read, e.operands), **e.params)
            if e.primitive.results == 1:
                values[e.results[0]] = out
            else:
                values.update(zip(e.results, out, strict=True))
        return self.rebuild([read(o) for o in self.outputs])

    def check(self) -> None:
        """Raise AssertionError if a variable is used before it is defined or has no type."""
        known = {*self.inputs, *self.captured}
        for e in self.entries:
            for o in e.operands:
                assert type(o) is Literal or o in known, (e.primitive.name, o)
            for r in e.results:
                assert r not in known, (e.primitive.name, r)
                assert r in self.types, (e.primitive.name, r)
                known.add(r)
        for o in self.outputs:
            assert type(o) is Literal or o in known, o

    def __str__(self) -> str:
        def show(o: Any) -> str:
            return repr(o.value) if type(o) is Literal else f"%{o}"

        def typed(variables: Sequence[int]) -> str:
            return ", ".join(f"%{v}: {self.types[v]}" for v in variables)

        lines = [f"{self.name}({typed(self.inputs)}):"]
        if self.captured:
            lines.append(f"  captured {typed(self.captured)}")
        body = [
            (
                f"  {typed(e.results)} = {e.primitive.name}({', '.join(map(show, e.operands))}"
                f"{''.join(f'; {k}={_short(v)}' for k, v in e.params.items())})",
                source_line(e.code, e.offset),
            )
            for e in self.entries
        ]
        width = min(max((len(text) for text, _ in body), default=0), 72)
        lines += [f"{text:<{width}}  # {line}" for text, line in body]
        lines.append(f"  return {', '.join(map(show, self.outputs))}")
        return "\n".join(lines)

    __repr__ = __str__


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


# The reverse sweep ------------------------------------------------------------------------------


def sweep(entries: list[Recorded], cts: dict[int, Any], *, consume: bool) -> dict[int, Any]:
    """Carry cotangents back through `entries`; `cts` ends up with those of the inputs.

    Runs the rules through the op set, so that outer transforms see it. With `consume` the list
    is emptied on the way, and what its entries kept is freed.
    """
    masked: set[int] = set()
    take = cts.pop
    code, offset = None, 0
    with np.errstate(all="ignore"):  # an infinite derivative is an answer, not an accident
        left = entries if consume else entries.copy()
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
    return cts
