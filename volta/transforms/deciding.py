"""Staging with values: Python may ask for them, and what it got is written down.

A `JitTrace` stages a function on the types of a call's arguments. Where Python asks for a value
(``if x > 0``, ``range(int(n))``), what it depends on is computed of the call's own arrays, and the
answer becomes a `Read` of the trace: what is staged after it holds for calls with that answer.
"""

import operator
from collections.abc import Callable, Hashable, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from volta.core.context import AXES, STAGING, default_dtype_of
from volta.core.derivatives import ZERO
from volta.core.dispatch import NUMPY, to_host
from volta.core.errors import VoltaError
from volta.core.primitive import REGISTRY, Primitive
from volta.core.trace import here, located, ops, source_line
from volta.core.tracer import Tracer, concrete, library_under, widest
from volta.core.types import SCALARS, ArrayType, as_dtype, is_weak, promote, weak_dtype
from volta.core.wengert import Literal, needed, operands_of
from volta.transforms.trace import StageTrace

__all__ = ["Decides", "JitTrace", "Read", "answer_to", "kind_of"]


class Read(NamedTuple):
    """A value that Python asked for while a function was staged."""

    before: int  # entries recorded until then
    var: int
    asked: str
    answer: Any
    line: str | None


class Decides(BaseException):
    """Python asks for a value where lanes may have different ones."""


class JitTrace(StageTrace):
    """Stages a call on types; a value is computed, of the call's own arrays, where Python asks.

    Attributes
    ----------
    values : dict of int to array
        Of the inputs, and of what was computed so far; empty where there are no values.
    numbers : set of int
        Variables that stand for Python numbers, which are weak in promotion.
    reads : list of Read
    answers : dict
        From a variable and what for it was asked to its value.
    outer : Trace or None
        What was current before.
    in_lanes : bool
        Whether a `vmap` is open around it, in whose lanes values may differ.
    """

    __slots__ = ("answers", "in_lanes", "numbers", "outer", "reads", "values")

    def __init__(self, fun: Any) -> None:
        super().__init__(fun, "jit")
        self.values: dict[int, Any] = {}
        self.numbers: set[int] = set()
        self.reads: list[Read] = []
        self.answers: dict[tuple[int, str], Any] = {}
        self.outer = STAGING.get()
        self.in_lanes = bool(AXES.get())

    def process(self, primitive: Any, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Record an entry; of numbers alone an elementwise operation makes a number."""
        args = self._joined(args)
        numbers = [self.is_number(a) for a in args] if self.numbers else ()
        if not any(numbers):
            return super().process(primitive, args, params)
        alone = _alone(args, numbers)
        if not primitive.elementwise:
            args = self._as_arrays(primitive, args, numbers)
        elif alone and primitive.name in _ARITHMETIC:
            args = tuple(_as_python(primitive.name, a) for a in args)
        out = super().process(primitive, args, params)
        if primitive.elementwise and primitive.results == 1 and alone:
            self.numbers.add(out.var)
        return out

    def _joined(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Operands of which those that the function made with NumPy join the library they meet."""
        place = next(
            (a for a in args if type(a) not in SCALARS and library_under(a) is not NUMPY), None
        )
        if place is None:
            return args
        to = {"library": library_under(place), "device": place.device, "source": (NUMPY, "cpu")}
        return tuple(
            REGISTRY["transfer"].call(a, **to)
            if type(a) is Tracer and a.trace is self and library_under(a) is NUMPY
            else a
            for a in args
        )

    def types_of(self, primitive: Primitive, args: tuple[Any, ...]) -> list[ArrayType]:
        """Types of operands; beside an array a number is weak."""
        types = super().types_of(primitive, args)
        numbers = [self.is_number(a) for a in args] if self.numbers else ()
        if any(numbers) and not _alone(args, numbers):
            for i in range(primitive.unpromoted, len(args)):
                if numbers[i]:
                    types[i] = ArrayType((), weak_dtype(kind_of(args[i])))
        return types

    def spell_out(
        self, primitive: Primitive, operands: list[Any], types: list[ArrayType], out: ArrayType
    ) -> None:
        """Insert casts and broadcasts; where the library has promoted, a number follows it."""
        if out.dtype.kind != "bool" and promote(t.dtype for t in types) is None:
            for i, t in enumerate(types):
                if is_weak(t.dtype) and type(operands[i]) is not Literal:
                    types[i] = ArrayType((), out.dtype)
                    operands[i] = self.changed(
                        operands[i], "astype", {"dtype": out.dtype}, types[i]
                    )
        super().spell_out(primitive, operands, types, out)

    def is_number(self, x: Any) -> bool:
        """Whether `x` stands for a Python number, or for what was computed of such alone."""
        return type(x) is Tracer and x.trace is self and x.var in self.numbers

    def _as_arrays(
        self, primitive: Primitive, args: tuple[Any, ...], numbers: Sequence[bool]
    ) -> tuple[Any, ...]:
        """Operands of an operation that promotes none: its numbers take the arrays' dtype.

        Not those that are indices, which have no derivative, nor those of lists, which have types.
        """
        if primitive.carries or primitive.pair or primitive.name == "astype":
            return args
        dtype = next(
            (
                a.dtype
                for a, n in zip(args, numbers, strict=True)
                if not n and type(a) not in SCALARS
            ),
            None,
        )
        return tuple(
            ops.astype(a, dtype or default_dtype_of(kind_of(a)))
            if number and entry is not ZERO
            else a
            for a, number, entry in zip(args, numbers, primitive.entries(len(args)), strict=True)
        )

    def read(self, value: Any, asked: str, part: bool = True) -> Any:
        """Value of a variable in this call; what Python does with it holds for equal ones."""
        var = next(v for v, place in self.places.items() if place is value)
        if (var, asked) in self.answers:
            return self.answers[var, asked]
        if self.in_lanes:
            raise Decides
        raw = concrete(self.value_of(var, asked, part), asked, part)
        self.answers[var, asked] = raw
        if self._varies(var):
            line = source_line(*here())
            self.reads.append(Read(len(self.entries), var, asked, answer_to(asked, raw), line))
        return raw

    def value_of(self, var: int, asked: str = "jit", part: bool = True) -> Any:
        """Value of a variable, computed with what it depends on unless that is done already."""
        known = self.values.keys() | self.captured.keys()
        entries = needed(self.entries, (var,), known)
        read = {var, *(o for e in entries for o in operands_of(e))}
        if not read <= known.union(*(e.results for e in entries)):  # there are no values
            return super().read(self.places[var], asked, part)
        token = STAGING.set(self.outer)  # what is read is computed, not staged
        try:
            for e in entries:
                out = e.primitive.call(*map(self._value, e.operands), **e.params)
                outs = (out,) if e.primitive.results == 1 else out
                self.values.update(zip(e.results, outs, strict=True))
            return self._value(var)
        except VoltaError as error:
            raise located(error, source_line(e.code, e.offset)) from None
        finally:
            STAGING.reset(token)

    def _value(self, operand: Any) -> Any:
        if type(operand) is Literal:
            return operand.value
        return self.values[operand] if operand in self.values else self.captured[operand]

    def _varies(self, var: int) -> bool:
        """Whether a value may be another in a later call."""
        entries = needed(self.entries, (var,))
        read = {var, *(o for e in entries for o in operands_of(e))}
        made = {r for e in entries for r in e.results}
        return not read - made <= self.captured.keys()


def kind_of(x: Any) -> str:
    """Kind of the dtype of an array, by the standard's names."""
    return as_dtype(x.dtype).kind


def _alone(args: Sequence[Any], numbers: Sequence[bool]) -> bool:
    """Whether all operands are numbers, traced or not."""
    return all(n or type(a) in SCALARS for a, n in zip(args, numbers, strict=True))


_ARITHMETIC: Final = frozenset(
    ("abs", "add", "divide", "floor_divide", "multiply", "negative", "pow", "remainder", "subtract")
)


def _as_python(operation: str, x: Any) -> Any:
    """Number as Python's arithmetic has it: a bool is an int, and a quotient of ints a float."""
    if type(x) in SCALARS:
        return x
    kind = kind_of(x)
    if operation == "divide" and kind in ("bool", "int"):
        return ops.astype(x, widest(x))
    return ops.astype(x, library_under(x).index) if kind == "bool" else x


def answer_to(asked: str, raw: Any) -> Hashable:
    """What Python makes of a value: a number, or all that an array holds."""
    if asked in _NUMBERS and not raw.ndim:  # under a vmap, Python asks for all lanes
        return _NUMBERS[asked](raw)  # type: ignore[no-any-return]  # a number
    host = to_host(raw)
    data = host.tobytes()
    return host.shape, host.dtype.name, data if len(data) < 64 else blake2b(data).digest()


_NUMBERS: Final[dict[str, Callable[[Any], Any]]] = {
    "bool": bool,
    "int": int,
    "index": operator.index,
}
