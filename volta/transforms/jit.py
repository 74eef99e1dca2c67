"""Staging once, running often: `jit`.

A jitted function keeps a `Program` for each kind of call: the structure of the arguments, their
types, libraries and devices, static values, and the settings in force. A program is a tree of
segments. A `Segment` is a list without a decision of Python's in it; at its end Python reads a
value (``if x > 0``, ``range(int(n))``), and the answer tells which segment follows. An answer not
seen before stages the function once more, on the call's own values, and adds a branch.

Each segment is run by a primitive that carries its list, so that every transform goes through a
jitted call, from under it and from over it.
"""

import copy
import functools
import operator
import threading
import warnings
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from hashlib import blake2b
from itertools import pairwise
from types import MethodType
from typing import Any, Final, NamedTuple

import numpy as np

from volta.compile import llvm
from volta.compile.program import BACKENDS, backend, compiled
from volta.core import tree
from volta.core.call import written
from volta.core.context import AXES, RUNNING, SETTINGS, STAGING, default_dtype_of
from volta.core.derivatives import ZERO
from volta.core.dispatch import LIBRARIES, NUMPY, Library, joined, to_host
from volta.core.errors import TraceError, VoltaError
from volta.core.keywords import suggesting
from volta.core.primitive import REGISTRY, Primitive
from volta.core.trace import Abstract, Running, here, located, ops, source_line
from volta.core.tracer import Tracer, concrete, library_under, settled
from volta.core.types import DTYPES, SCALARS, ArrayType, as_dtype, is_weak, promote, weak_dtype
from volta.core.wengert import ALL, Entry, Literal, WengertList, needed, operands_of
from volta.transforms.arguments import as_array, is_module, name_of, split_static
from volta.transforms.carrying import carrying
from volta.transforms.eval_shape import ShapeDtypeStruct, eval_shape
from volta.transforms.modules import Fields, changed, lasting, note, reads_of_modules
from volta.transforms.trace import StageTrace

__all__ = ["jit"]

_call: Final = carrying("jit", compiled).call


# Staging with values ------------------------------------------------------------------------------


class Read(NamedTuple):
    """A value that Python asked for while a function was staged."""

    before: int  # entries recorded until then
    var: int
    asked: str
    answer: Any
    line: str | None


class _Decides(BaseException):
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
                    types[i] = ArrayType((), weak_dtype(_kind_of(args[i])))
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
            ops.astype(a, dtype or default_dtype_of(_kind_of(a)))
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
            raise _Decides
        raw = concrete(self.value_of(var, asked, part), asked, part)
        self.answers[var, asked] = raw
        if self._varies(var):
            line = source_line(*here())
            self.reads.append(Read(len(self.entries), var, asked, _answer(asked, raw), line))
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


def _kind_of(x: Any) -> str:
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
    kind = _kind_of(x)
    if operation == "divide" and kind in ("bool", "int"):
        return ops.astype(
            x, DTYPES["float64"] if library_under(x).index.itemsize == 8 else "float32"
        )
    return ops.astype(x, library_under(x).index) if kind == "bool" else x


def _answer(asked: str, raw: Any) -> Hashable:
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


# Programs -----------------------------------------------------------------------------------------


class Segment:
    """A part of a program that has no decision of Python's in it.

    It keeps nothing of the trace that it was staged by but types and captured arrays.

    Attributes
    ----------
    entries : list of Entry
    read : Read or None
        What Python asked for at its end; None at the end of the function.
    branches : dict
        From answers to the segments that follow.
    outputs : tuple of int or Literal
        What the function returns at its end.
    rebuild : callable
        From a list of these to the function's result.
    captured : dict of int to array
        Arrays that the function closes over.
    needs, makes : tuple of int
        Variables that it reads, and those of its own that something after it reads.
    wants : set of int
        Variables of segments before it that it or, on the path staged last, one after it reads.
    held : dict of int to array
        Captured arrays among those that it reads.
    body : WengertList or None
        From `needs` to `makes`; None before `settle`.
    """

    def __init__(self, trace: JitTrace, entries: list[Entry], read: Read | None) -> None:
        self.name, self.types, self.places = trace.name, trace.types, trace.places
        self.captured = trace.captured
        self.entries, self.read = entries, read
        self.branches: dict[Any, Segment] = {}
        self.outputs: tuple[Any, ...] = ()
        self.rebuild: Callable[[list[Any]], Any] = list
        self.needs: tuple[int, ...] = ()
        self.makes: tuple[int, ...] = ()
        self.wants: set[int] = set()
        self.held: dict[int, Any] = {}
        self.body: WengertList | None = None

    def copy(self) -> "Segment":
        """The same, with branches of its own."""
        new = copy.copy(self)
        new.branches = dict(self.branches)
        return new

    def settle(self, later: set[int]) -> set[int]:
        """Say what segments after it want; returns what it wants itself."""
        made = {r for e in self.entries for r in e.results}
        asked = {o for o in self.outputs if type(o) is not Literal}
        if self.read is not None:
            asked.add(self.read.var)
        makes = tuple(sorted(made & asked.union(later, self.makes)))
        if self.body is None or makes != self.makes:
            entries = needed(self.entries, makes, (), ALL)
            reads = {o for e in entries for o in operands_of(e)} - made
            self.makes, self.needs = makes, tuple(sorted(reads))
            parts = self.name, self.needs, entries, makes, self.types, self.places
            self.body = WengertList(*parts, {}, list)
        read = (*self.needs, *sorted(asked))
        self.held = {v: self.captured[v] for v in read if v in self.captured}
        self.wants = (asked | later).difference(made).union(self.needs) - self.captured.keys()
        return self.wants

    def run(self, known: dict[int, Any]) -> None:
        """Add to the variables that are known those that it makes."""
        if self.held:
            known.update(self.held)
        body = self.body
        assert body is not None
        if not body.entries:
            return
        arrays = [known[v] for v in self.needs]
        # where no transform runs there is nothing but arrays, and no trace to hear of the call
        hears = RUNNING.get()
        found = _call(*arrays, body=body, policy=None) if hears else compiled(body)(*arrays)
        known.update(zip(self.makes, found, strict=True))

    def result(self, known: dict[int, Any]) -> Any:
        """What the function returns at its end."""
        return self.rebuild([o.value if type(o) is Literal else known[o] for o in self.outputs])


class Program:
    """What a jitted function does with arguments of one kind.

    Its tree of segments is replaced when it grows, so that threads that walk it see one tree.

    Attributes
    ----------
    root : Segment or None
    inputs : Inputs
    stagings : int
    decides : bool
        Whether Python asks for values.
    modules : dict of int to Fields
        Of those that the function reads and that are no arguments, as they were then.
    """

    def __init__(self, inputs: "Inputs") -> None:
        self.root: Segment | None = None
        self.inputs = inputs
        self.stagings = 0
        self.decides = False
        self.modules: dict[int, Fields] = {}

    def grow(self, staged: list[Segment]) -> tuple[list[Segment], int]:
        """Add a path; where it does not agree with the tree, it replaces that.

        Returns the path in the tree, and how many segments of it were there before.
        """
        path = list[Segment]()
        node = self.root
        for segment in staged:
            if node is None or not _alike(node, segment):
                break
            path.append(node.copy())
            node = node.branches.get(segment.read and segment.read.answer)
        kept = len(path)
        if node is not None and kept < len(staged):  # the function is not pure
            path, kept = [], 0
        path += staged[kept:]
        for (one, following), segment in zip(pairwise(path), staged, strict=False):
            assert segment.read is not None
            one.branches[segment.read.answer] = following
        later: set[int] = set()
        for segment in reversed(path):
            later = segment.settle(later)
        self.root = path[0]
        self.stagings += kept < len(staged)  # else another thread has staged the same
        self.decides = self.decides or len(path) > 1
        return path, kept


def _alike(a: Segment, b: Segment) -> bool:
    """Whether two stagings of one function recorded the same."""
    return (
        (a.read and a.read[:3]) == (b.read and b.read[:3])
        and _same_entries(a.entries, b.entries)
        and all(_same(x, b.captured.get(v)) for v, x in a.held.items())
    )


def _same_entries(a: list[Entry], b: list[Entry]) -> bool:
    return len(a) == len(b) and all(
        x.primitive is y.primitive
        and x.result == y.result
        and _same(tuple(x.operands), tuple(y.operands))
        and x.params.keys() == y.params.keys()
        and all(_same(v, y.params[k]) for k, v in x.params.items())
        for x, y in zip(a, b, strict=True)
    )


def _same(a: Any, b: Any) -> bool:
    """Whether two operands, parameters or arrays are equal, as far as can be told.

    Functions that are made anew at each staging, such as what `debug.print` calls, cannot be.
    """
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if type(a) is WengertList:
        ends = a.inputs == b.inputs and _same(a.outputs, b.outputs)
        return ends and _same_entries(a.entries, b.entries) and _same(a.constants, b.constants)
    if type(a) is np.ndarray:
        return (a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes())
    return type(a) not in _PLAIN or repr(a) == repr(b)


_PLAIN: Final = (*SCALARS, str, bytes, slice)


# Calls --------------------------------------------------------------------------------------------


class Jitted:
    """A function that is staged once for each kind of arguments; `jit` makes it."""

    def __init__(
        self,
        fun: Callable[..., Any],
        static_argnums: tuple[int, ...],
        static_argnames: tuple[str, ...],
        max_paths: int,
        backend: str | None,
    ) -> None:
        functools.update_wrapper(self, fun, updated=())
        self._fun, self._max_paths, self._backend = fun, max_paths, backend
        self._static_argnums, self._static_argnames = static_argnums, static_argnames
        self._has_static = bool(static_argnums or static_argnames)
        self._name = f"jit({name_of(fun)})"
        owner = fun if is_module(fun) else getattr(fun, "__self__", None)
        self._owner = owner if is_module(owner) else None
        self._programs: dict[Any, Program] = {}
        self._direct: _Direct | None = None  # of the last call, if there is one
        self._whys: deque[str] = deque(maxlen=_TOLD)
        self._stagings = 0
        self._lock = threading.Lock()

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __deepcopy__(self, memo: Any) -> "Jitted":
        fun = copy.deepcopy(self._fun, memo)  # a function stays itself, a module does not
        options = self._static_argnums, self._static_argnames, self._max_paths, self._backend
        return Jitted(fun, *options)

    def __repr__(self) -> str:
        return f"<{self._name}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._backend is None:
            return self._called(args, kwargs)
        with backend(self._backend):
            return self._called(args, kwargs)

    def _called(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        current, direct = STAGING.get(), self._direct
        if direct is not None and current is None and not RUNNING.get():
            leaves, spec = tree.flatten((self._owner, args, kwargs))
            if spec == direct.spec and [s.get() for s in SETTINGS] == direct.settings:
                out = direct.run(leaves)
                if out is not _OTHER:
                    return out
        if current is not None and current.watches:
            return self._fun(*args, **kwargs)  # it looks at every operation
        call = _Call(self, args, kwargs)
        program = self._programs.get(call.key)
        if program is None or (program.modules and changed(program.modules)):
            why = self._why(program, call)
            program = Program(Inputs(call.leaves, self._name))
        else:
            why = "first call outside of vmap"  # if it is not staged yet
        if program.stagings >= self._max_paths or (program.decides and AXES.get()):
            return self._fun(*args, **kwargs)
        try:
            return self._walk(program, call, why)
        except _Decides:  # lanes part as they do in Python
            program.decides = True
            self._programs[call.key] = program
            return self._fun(*args, **kwargs)
        finally:
            if current is not None:
                note(program.modules)

    def lower(self, *args: Any, **kwargs: Any) -> "Lowered":
        """Stage the function for arguments like these, without running it.

        Parameters
        ----------
        *args, **kwargs : tree
            Of arrays, numbers or `ShapeDtypeStruct`; static arguments as they are.

        Returns
        -------
        Lowered
            Prints as the staged list; its method `compile` returns a function of such arguments.

        Raises
        ------
        TraceError
            If the function asks a traced array for a concrete value.
        """
        call = _Call(self, args, kwargs, abstract=True)
        inputs = Inputs(call.leaves, self._name)
        _, (segment,) = self._record(call, inputs, inputs.arrays(call.leaves))
        segment.settle(set())
        variables = tuple(range(len(call.leaves)))
        parts = self._name, variables, segment.entries, segment.outputs
        types = segment.types, segment.places, segment.captured
        return Lowered(self, call, inputs, segment, WengertList(*parts, *types, segment.rebuild))

    def eval_shape(self, *args: Any, **kwargs: Any) -> Any:
        """Shapes and dtypes of what a call would return; see `volta.eval_shape`."""
        dynamic, back, named, fixed = self._parted(args, kwargs)

        @functools.wraps(self._fun, updated=())
        def fun(*args: Any, **kwargs: Any) -> Any:
            return self._fun(*back(args), **kwargs, **fixed)

        return eval_shape(fun, *dynamic, **named)

    def clear_cache(self) -> None:
        """Forget all that was staged."""
        self._programs.clear()
        self._direct = None
        self._whys.clear()
        self._stagings = 0

    def explain(self) -> str:
        """What was staged, what Python decided on the way, and why it was staged again."""
        lines = [f"{self._name}: staged {self._stagings} times"]
        first = self._stagings - len(self._whys) + 1
        lines += [f"  {i}. {why}" for i, why in enumerate(self._whys, first)]
        for number, (key, program) in enumerate([*self._programs.items()], 1):
            lines.append(f"program {number}: {_described(key)}")
            if program.root is not None:
                lines += _branches(program.root)
        return "\n".join(lines)

    def _parted(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[list[Any], Callable[[Sequence[Any]], list[Any]], dict[str, Any], dict[str, Any]]:
        """Arguments that are no static ones and the way back, first those by position."""
        dynamic, back = split_static(self._name, args, self._static_argnums)
        fixed = {k: kwargs[k] for k in self._static_argnames if k in kwargs}
        return dynamic, back, {k: v for k, v in kwargs.items() if k not in fixed}, fixed

    def _why(self, program: Program | None, call: "_Call") -> str:
        """Why there is no program that serves a call."""
        if program is not None:
            return changed(program.modules) or "another thread staged it"
        if not self._programs:
            return "first call"
        key = next(reversed(self._programs))
        found = [
            f"{what} are {_short(new)}, were {_short(old)}"
            for what, new, old in zip(_PARTS, _texts(call.key), _texts(key), strict=True)
            if new != old  # of the texts, as dtypes of two libraries do not like to be compared
        ]
        return "; ".join(found) or "another kind of call"

    def _walk(self, program: Program, call: "_Call", why: str) -> Any:
        """Run a call, from segment to segment."""
        inputs = program.inputs
        known = dict(enumerate(call.leaves if inputs.raw else inputs.arrays(call.leaves)))
        segment = program.root or self._stage(program, call, known, [], why)
        answers: list[Any] = []
        while segment is not None:
            segment.run(known)
            read = segment.read
            if read is None:
                if segment is program.root and not self._has_static:
                    self._direct = _direct(program, call, self._direct)
                return segment.result(known)
            try:
                answers.append(_answer(read.asked, concrete(known[read.var], read.asked)))
            except TraceError as error:
                raise located(error, read.line) from None
            following = segment.branches.get(answers[-1])
            if following is None:
                why = f"{read.line} read {_short(answers[-1])}"
                following = self._stage(program, call, known, answers, why)
            segment = following
        return self._fun(*call.args, **call.kwargs)  # it is not pure

    def _stage(
        self,
        program: Program,
        call: "_Call",
        known: dict[int, Any],
        answers: list[Any],
        why: str,
    ) -> Segment | None:
        """Stage a call, and add what the function did to the program.

        Returns the segment that follows after Python got `answers`, with what it reads among what
        is known; None if the function got others this time.
        """
        arrays = [known[i] for i in range(len(call.leaves))]
        with reads_of_modules() as modules:
            trace, staged = self._record(call, program.inputs, arrays, dict(enumerate(arrays)))
        self._direct = None
        with self._lock:
            path, kept = program.grow(staged)
            program.modules = lasting(modules) | program.modules
            self._keep(program, call, trace.captured.values(), why)
        if program.stagings == self._max_paths:
            msg = (
                f"{self._name}: its Python code has gone {self._max_paths} ways for arguments "
                "of one kind, which run without being staged from now on. Choose with "
                "functional.where, volta.cond or volta.while_loop, or raise max_paths."
            )
            warnings.warn(msg, stacklevel=5)
        depth = len(answers)
        if kept < depth or [s.read and s.read.answer for s in staged[:depth]] != answers:
            return None
        following = path[depth]
        known.update({v: trace.value_of(v) for v in following.wants - known.keys()})
        trace.values.clear()  # whoever keeps a tracer keeps no arrays by it
        trace.answers.clear()
        return following

    def _keep(self, program: Program, call: "_Call", captured: Iterable[Any], why: str) -> None:
        """Keep a program for other calls, and why it was staged."""
        outer = next((x for x in captured if type(x) is Tracer), None)
        if outer is None:
            self._programs[call.key] = program
        else:  # which is another one in another call
            self._programs.pop(call.key, None)
            why += f"; for one call, as it closes over an array of {outer.trace.name}"
        self._stagings += 1
        self._whys.append(why)

    def _record(
        self,
        call: "_Call",
        inputs: "Inputs",
        arrays: list[Any],
        values: dict[int, Any] | None = None,
    ) -> tuple[JitTrace, list[Segment]]:
        """Run the function on types; returns what it did, up to each read of a value."""
        trace = JitTrace(self._fun)
        tracers = [trace.input(x) for x in arrays]
        trace.values.update(values or {})
        trace.numbers.update(inputs.numbers)
        with Running(trace):
            leaves, spec = tree.flatten(settled(self._call_on(call, tracers)))
            outputs = tuple(self._output(trace, x) for x in leaves)
        marks = [0, *(r.before for r in trace.reads), len(trace.entries)]
        path = [
            Segment(trace, trace.entries[start:end], read)
            for (start, end), read in zip(pairwise(marks), (*trace.reads, None), strict=True)
        ]
        path[-1].outputs, path[-1].rebuild = outputs, functools.partial(tree.unflatten, spec)
        return trace, path

    def _call_on(self, call: "_Call", leaves: list[Any]) -> Any:
        """Call the function with others in place of the leaves of its arguments."""
        own, found, named = tree.unflatten(call.key[0], leaves)
        _, back, _, fixed = self._parted(call.args, call.kwargs)
        fun: Any = self._fun
        if own is not None:
            fun = own if is_module(fun) else MethodType(fun.__func__, own)
        return fun(*back(found), **named, **fixed)

    def _output(self, trace: JitTrace, x: Any) -> Any:
        """Operand of a list for what the function returned."""
        if type(x) in SCALARS:
            return Literal(x)
        if trace.is_number(x):
            x = ops.astype(x, default_dtype_of(_kind_of(x)))
        return trace.operand(as_array(x, self._name))


_TOLD: Final = 32  # stagings of which `explain` tells


class _Direct(NamedTuple):
    """A short way for calls that are like the last one.

    Attributes
    ----------
    program : Program
    spec, settings
        What such a call has in common with that one, besides its leaves.
    run : callable
        From the leaves to the result, or to `_OTHER` where they are of another kind.
    """

    program: Program
    spec: Any
    settings: list[Any]
    run: Callable[[list[Any]], Any]


_OTHER: Final = object()


def _direct(program: Program, call: "_Call", last: _Direct | None) -> _Direct | None:
    """The short way of a program that is one list, of NumPy's arrays alone, and that `call` ran.

    A function is written that compares the leaves, calls the compiled list and puts the result
    together: a tenth of what it takes to look a call up.
    """
    if last is not None and last.program is program:
        return last
    segment = program.root
    plain = all(type(x) is np.ndarray for x in call.leaves) and program.inputs.raw
    if segment is None or segment.body is None or program.modules or RUNNING.get() or not plain:
        return None
    leaves = [f"a{i}" for i in range(len(call.leaves))]
    space: dict[str, Any] = {"ndarray": np.ndarray, "other": _OTHER, "rebuild": segment.rebuild}
    space["compiled"] = compiled(segment.body)
    tests = []
    for name, x in zip(leaves, call.leaves, strict=True):
        space[f"d{name}"] = x.dtype
        tests.append(
            f"type({name}) is ndarray and {name}.dtype is d{name} and {name}.shape == {x.shape}"
        )
    space |= {f"c{v}": array for v, array in segment.held.items()}
    read = {v: f"c{v}" for v in segment.held} | dict(enumerate(leaves))
    given = ", ".join(read[v] for v in segment.needs)
    read |= {v: f"out[{i}]" for i, v in enumerate(segment.makes)}
    returned = []
    for i, o in enumerate(segment.outputs):
        if type(o) is Literal:
            space[f"n{i}"] = o.value
        returned.append(f"n{i}" if type(o) is Literal else read[o])
    lines = [
        "def run(leaves):",
        f"    [{', '.join(leaves)}] = leaves",
        f"    if not ({' and '.join(tests) or 'True'}):",
        "        return other",
        f"    out = compiled({given})" if segment.body.entries else "",
        f"    return rebuild([{', '.join(returned)}])",
    ]
    run = written("\n".join(lines) + "\n", space, again=False)
    return _Direct(program, call.key[0], list(call.key[3]), run)


class _Call:
    """The arguments of a call.

    Attributes
    ----------
    key : tuple
        What decides which program serves the call: see `_PARTS`.
    leaves : list
        Of the arguments that are no static ones, and of the module whose method it is.
    """

    __slots__ = ("args", "key", "kwargs", "leaves")

    def __init__(
        self,
        jitted: Jitted,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        abstract: bool = False,
    ) -> None:
        self.args, self.kwargs = args, kwargs
        fixed: tuple[Any, ...] = ()
        dynamic: Sequence[Any] = args
        if jitted._has_static:
            dynamic, _, kwargs, named = jitted._parted(args, kwargs)
            fixed = _fixed(jitted._name, args, jitted._static_argnums, named)
        leaves, spec = tree.flatten((jitted._owner, dynamic, kwargs))
        if abstract:
            leaves = _placed(leaves, jitted._name)
        self.leaves = leaves
        name = jitted._name
        kinds = [(x.dtype, x.shape) if type(x) is np.ndarray else _kind(x, name) for x in leaves]
        self.key = spec, tuple(kinds), fixed, tuple([s.get() for s in SETTINGS])


_PARTS: Final = ("structure", "arrays", "static arguments", "settings")


def _kind(x: Any, name: str) -> Any:
    """What of a leaf decides: its type if it is a number; dtype, shape, and where an array is."""
    cls = type(x)
    if cls in SCALARS or isinstance(x, np.generic):
        return cls
    if _is_number(x):
        return _PYTHON[_kind_of(x)]
    if cls is not Tracer and cls is not Abstract and cls not in LIBRARIES:
        x = as_array(x, name)
    library = library_under(x)
    kind: tuple[Any, ...] = x.dtype, tuple(x.shape)
    if library is not NUMPY:
        kind += library, library.device(x) if cls in LIBRARIES else x.device
    return (*kind, "constant") if cls is Tracer and x.trace is None else kind


def _is_number(x: Any) -> bool:
    """Whether a leaf is a number, or stands for one in a jitted function around."""
    return type(x) in SCALARS or (
        type(x) is Tracer and type(x.trace) is JitTrace and x.trace.is_number(x)
    )


_PYTHON: Final = {"bool": bool, "int": int, "float": float, "complex": complex}


def _fixed(
    name: str, args: tuple[Any, ...], numbers: Sequence[int], named: dict[str, Any]
) -> tuple[Any, ...]:
    """Static arguments, by number or name, as part of a key."""
    given = {n % len(args): args[n % len(args)] for n in numbers} | named
    for place, value in given.items():
        try:
            hash(value)
        except TypeError:
            msg = (
                f"{name}: static arguments must be hashable; got {type(value).__name__} "
                f"for {place!r}. Pass a tuple for a list."
            )
            raise located(TypeError(msg)) from None
    return tuple((place, _exact(value)) for place, value in given.items())


def _exact(value: Any) -> Any:
    """Key in which 1, 1.0 and True are three, 0.0 and -0.0 two, and NaN is one."""
    if type(value) in SCALARS:
        return type(value), repr(value)
    return (tuple, *map(_exact, value)) if type(value) is tuple else value


class Inputs:
    """How the leaves of calls of one kind become arrays of one library.

    Attributes
    ----------
    numbers : tuple of int
        Places of Python numbers; NumPy's beside another library's arrays are such, too.
    raw : bool
        Whether the leaves are such arrays.
    """

    def __init__(self, leaves: Sequence[Any], name: str) -> None:
        self.name = name
        self.home, self.device = _home(leaves, name)
        weak = () if self.home is NUMPY else np.generic
        places = enumerate(leaves)
        self.numbers = tuple(i for i, x in places if _is_number(x) or isinstance(x, weak))
        arrays = self.arrays(leaves)
        self.raw = not self.numbers and all(map(operator.is_, arrays, leaves))

    def arrays(self, leaves: Sequence[Any]) -> list[Any]:
        """Leaves as arrays; a number has 64 bits where there are such."""
        return [x if type(x) is Abstract else self._array(x) for x in leaves]

    def _array(self, leaf: Any) -> Any:
        home = self.home
        if home is not NUMPY and isinstance(leaf, np.generic):
            leaf = leaf.item()
        if type(leaf) in SCALARS:
            kind = _WIDEST[type(leaf).__name__]
            dtype = None if home.name == "jax.numpy" else home.dtype(kind)  # it knows what it has
            return home.asarray(leaf, dtype, None if home is NUMPY else self.device)
        array = as_array(leaf, self.name)
        if home is NUMPY or type(array) is not np.ndarray:
            return array
        return joined(array, home, self.device)


_WIDEST: Final = {"bool": "bool", "int": "int64", "float": "float64", "complex": "complex128"}


def _home(leaves: Sequence[Any], name: str) -> tuple[Library, Any]:
    """Library and device of a call: those of the first array that is not NumPy's."""
    for x in leaves:
        if type(x) in SCALARS or type(x) in (np.ndarray, ShapeDtypeStruct):
            continue
        library = library_under(x if type(x) is Abstract else as_array(x, name))
        if library is not NUMPY:
            return library, library.device(x) if type(x) in LIBRARIES else x.device
    return NUMPY, "cpu"


def _placed(leaves: Sequence[Any], name: str) -> list[Any]:
    """Leaves with each `ShapeDtypeStruct` on the library and device of the arrays beside it."""
    home, device = _home(leaves, name)
    return [
        Abstract(ArrayType(x.shape, as_dtype(x.dtype)), home, device)
        if type(x) is ShapeDtypeStruct
        else x
        for x in leaves
    ]


# What is shown ------------------------------------------------------------------------------------


class Lowered:
    """A staged function; `Jitted.lower` makes it.

    Attributes
    ----------
    wengert : WengertList
        From the leaves of the arguments to those of the result.
    """

    def __init__(
        self, jitted: Jitted, call: _Call, inputs: Inputs, segment: Segment, wengert: WengertList
    ) -> None:
        self._jitted, self._key, self._inputs = jitted, call.key, inputs
        self._segment, self.wengert = segment, wengert

    def __str__(self) -> str:
        return str(self.wengert)

    as_text = __repr__ = __str__

    def compile(self) -> Callable[..., Any]:
        """Return the function of arguments like those that it was staged for.

        Raises
        ------
        TypeError
            From the function returned, if its arguments are of another kind.
        """

        def run(*args: Any, **kwargs: Any) -> Any:
            call = _Call(self._jitted, args, kwargs)
            if hash(call.key) != hash(self._key) or call.key != self._key:
                msg = (
                    f"{self._jitted._name}: what was compiled takes arguments like those that it "
                    f"was lowered for; got {_described(call.key)} and {_described(self._key)}."
                )
                raise located(TypeError(msg))
            known = dict(enumerate(self._inputs.arrays(call.leaves)))
            self._segment.run(known)
            return self._segment.result(known)

        return run


def _described(key: Any) -> str:
    """The kinds of arguments that a program serves."""
    _, kinds, fixed, _ = key
    shown = [*map(_shown, kinds), *(f"{place}={value}" for place, value in fixed)]
    return f"({', '.join(shown)})"


def _texts(key: Any) -> tuple[str, ...]:
    """The parts of a key, for reading."""
    spec, kinds, fixed, settings = key
    return str(spec), f"({', '.join(map(_shown, kinds))})", str(fixed), str(settings)


def _shown(kind: Any) -> str:
    """Kind of a leaf, for reading."""
    if isinstance(kind, type):
        return kind.__name__
    dtype, shape, *place = kind
    text = str(ArrayType(shape, as_dtype(dtype)))
    return f"{text} of {place[0].name} on {place[1]}" if len(place) > 1 else text


def _branches(root: Segment) -> list[str]:
    """Lines that describe a tree of segments."""
    lines = list[str]()
    left = [(root, "", "  ")]
    while left:
        segment, title, indent = left.pop()
        assert segment.body is not None
        lines += [title] if title else []
        lines.append(f"{indent}{len(segment.body.entries)} entries")
        read, shift = segment.read, indent + "  " * (len(segment.branches) > 1)
        for answer, following in reversed(segment.branches.items()):
            assert read is not None
            left.append((following, f"{indent}{read.line} read {_short(answer)}:", shift))
    return lines


def _short(x: Any) -> str:
    text = x if type(x) is str else repr(x)
    return text if len(text) <= 60 else text[:57] + "..."


@suggesting
def jit(
    fun: Any = None,
    *,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    max_paths: int = 32,
    backend: str | None = None,
) -> Any:
    """Return `fun`, staged once for each kind of arguments and compiled.

    Parameters
    ----------
    fun : callable, optional
        Pure function of trees of arrays, Python numbers and modules, or a module. Without it, a
        decorator is returned: ``@volta.jit(static_argnums=1)``.
    static_argnums : int or sequence of int
        Positional arguments that are part of the kind: hashable, passed as they are.
    static_argnames : str or sequence of str
        The same for arguments passed by keyword.
    max_paths : int
        How many ways the Python code of `fun` may go for one kind of arguments, from 1; beyond, it
        runs without being staged, after one warning.
    backend : "llvm", "numpy" or None
        What compiles for NumPy's arrays: LLVM native code for elementwise operations (with the
        extra ``llvm``), or NumPy its own kernels; by default LLVM if it is installed.

    Returns
    -------
    callable
        Same arguments and results as `fun`, with the methods ``lower``, ``eval_shape``,
        ``explain`` and ``clear_cache``.

    Raises
    ------
    TraceError
        If `fun` converts a traced array to a float or to another library's array.
    TypeError
        If a static argument cannot be hashed.
    ModuleNotFoundError
        If `backend` is "llvm", and it is not installed.

    Notes
    -----
    The kind of a call is the structure of its arguments, the shapes, dtypes, library and device of
    its arrays, which of them are Python numbers, static arguments, and the settings in force
    (`default_dtype`, `functional.conv_options`). Python numbers are no part of it: they stay weak
    in promotion, and another value is not staged again. A result that is computed of numbers alone
    is an array of the default dtype. NumPy's arrays among the arguments join those of another
    library.

    Where Python asks for a value (``if x > 0``, ``while error > tol``, ``range(n)``), it gets that
    of the call, and what was staged holds for calls in which the answer is the same: another one
    stages another path. Inside `cond`, `scan`, `while_loop` and their kin there is no value to ask
    for. ``explain()`` tells what was staged and why.

    Arrays that `fun` closes over are constants. Modules are not: after a write to one, `fun` is
    staged again, and those that are arguments are read at every call. That a name stands for
    another module by now is seen only once the first one is gone. What `fun` prints or appends to
    happens while it is staged only.

    Results are those of `fun` but for rounding where expressions are computed in another order.

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> @volta.jit
    ... def step(x, rate):
    ...     if F.sum(x) > 2:
    ...         return x - rate * x
    ...     return x
    >>> step(np.ones(3), 0.5), step(np.ones(2), 0.5)
    (array([0.5, 0.5, 0.5]), array([1., 1.]))
    >>> print(step.explain())  # doctest: +ELLIPSIS
    jit(step): staged 2 times
      1. first call
      2. arrays are ...
    """
    if fun is None:
        return functools.partial(
            jit,
            static_argnums=static_argnums,
            static_argnames=static_argnames,
            max_paths=max_paths,
            backend=backend,
        )
    if not callable(fun):
        msg = f"jit: fun must be callable; got {type(fun).__name__}."
        raise located(TypeError(msg))
    if max_paths < 1:
        msg = f"jit: max_paths must be at least 1; got {max_paths}."
        raise located(ValueError(msg))
    if backend is not None:
        _check_backend(backend)
    numbers = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
    names = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)
    return Jitted(fun, numbers, names, max_paths, backend)


def _check_backend(name: str) -> None:
    if name not in BACKENDS:
        msg = f"jit: backend must be None or one of {', '.join(map(repr, BACKENDS))}; got {name!r}."
        raise located(ValueError(msg))
    if name == "llvm" and not llvm.available():
        msg = (
            "jit: backend='llvm' needs llvmlite and CPython with a GIL, on 64 bits; got a Python "
            "without. Install volta-array[llvm], or leave backend out."
        )
        raise located(ModuleNotFoundError(msg))
