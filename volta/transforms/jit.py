"""Staging once, running often: `jit`.

A jitted function keeps a `Program` for each kind of call: the structure of the arguments, their
types, libraries and devices, static values, and the settings in force. A program is a tree of
segments. A `Segment` is a list without a decision of Python's in it; at its end Python reads a
value (``if x > 0``, ``range(int(n))``), and the answer tells which segment follows. An answer not
seen before stages the function once more, on the call's own values, and adds a branch.

Each segment is run by a primitive that carries its list, so that every transform goes through a
jitted call, from under it and from over it.
"""

import functools
import operator
import threading
import warnings
from collections.abc import Callable, Hashable, Sequence
from hashlib import blake2b
from itertools import pairwise
from types import MethodType
from typing import Any, Final, NamedTuple

import numpy as np

from volta.compile.program import compiled
from volta.core import tree
from volta.core.context import AXES, SETTINGS, STAGING, default_dtype_of
from volta.core.dispatch import NUMPY, Library, joined, to_host
from volta.core.errors import TraceError, VoltaError
from volta.core.keywords import suggesting
from volta.core.trace import Abstract, Running, here, located, ops, source_line
from volta.core.tracer import Tracer, concrete, library_under, settled
from volta.core.types import SCALARS, ArrayType, as_dtype, typeof, weak_dtype
from volta.core.wengert import ALL, Entry, Literal, WengertList, needed, operands_of
from volta.transforms.arguments import as_array, is_module, name_of
from volta.transforms.carrying import carrying
from volta.transforms.eval_shape import ShapeDtypeStruct, eval_shape
from volta.transforms.modules import Fields, changed, lasting, reads_of_modules
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
    """

    __slots__ = ("answers", "numbers", "outer", "reads", "values")

    def __init__(self, fun: Any) -> None:
        super().__init__(fun, "jit")
        self.values: dict[int, Any] = {}
        self.numbers: set[int] = set()
        self.reads: list[Read] = []
        self.answers: dict[tuple[int, str], Any] = {}
        self.outer = STAGING.get()

    def process(self, primitive: Any, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Record an entry; of numbers alone an elementwise operation makes a number."""
        numbers = [self.is_number(a) for a in args] if self.numbers else ()
        if not any(numbers):
            return super().process(primitive, args, params)
        if not primitive.elementwise and primitive.name != "astype":
            args = self._as_arrays(args, numbers)
        out = super().process(primitive, args, params)
        if primitive.elementwise and primitive.results == 1 and _alone(args, numbers):
            self.numbers.add(out.var)
        return out

    def types_of(self, args: tuple[Any, ...]) -> list[ArrayType]:
        """Types of operands; beside an array a number is weak."""
        types = super().types_of(args)
        numbers = [self.is_number(a) for a in args] if self.numbers else ()
        if any(numbers) and not _alone(args, numbers):
            for i, (a, number) in enumerate(zip(args, numbers, strict=True)):
                if number:
                    types[i] = ArrayType((), weak_dtype(_kind_of(a)))
        return types

    def is_number(self, x: Any) -> bool:
        """Whether `x` stands for a Python number, or for what was computed of such alone."""
        return type(x) is Tracer and x.trace is self and x.var in self.numbers

    def _as_arrays(self, args: tuple[Any, ...], numbers: Sequence[bool]) -> tuple[Any, ...]:
        """Operands of an operation that promotes none: its numbers take the arrays' dtype."""
        others = zip(args, numbers, strict=True)
        dtype = next((a.dtype for a, n in others if not n and type(a) not in SCALARS), None)
        return tuple(
            ops.astype(a, dtype or default_dtype_of(_kind_of(a))) if number else a
            for a, number in zip(args, numbers, strict=True)
        )

    def read(self, value: Any, asked: str, part: bool = True) -> Any:
        """Value of a variable in this call; what Python does with it holds for equal ones."""
        var = next(v for v, place in self.places.items() if place is value)
        if (var, asked) in self.answers:
            return self.answers[var, asked]
        if AXES.get():
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


def _answer(asked: str, raw: Any) -> Hashable:
    """What Python makes of a value: a number, or all that an array holds."""
    if asked in _NUMBERS:
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
    needs, makes : tuple of int
        Variables that it reads, and those of its own that something after it reads.
    captured : dict of int to array
        Arrays that the function closes over, of those it reads.
    body : WengertList
        From `needs` to `makes`.
    """

    def __init__(self, trace: JitTrace, entries: list[Entry], read: Read | None) -> None:
        self.trace, self.entries, self.read = trace, entries, read
        self.branches: dict[Any, Segment] = {}
        self.outputs: tuple[Any, ...] = ()
        self.rebuild: Callable[[list[Any]], Any] = list
        self.needs: tuple[int, ...] = ()
        self.makes: tuple[int, ...] = ()
        self.captured: dict[int, Any] = {}
        self.body: WengertList | None = None

    def settle(self, later: set[int]) -> set[int]:
        """Say what segments after it read; returns what it and they read."""
        made = {r for e in self.entries for r in e.results}
        asked = {o for o in self.outputs if type(o) is not Literal}
        if self.read is not None:
            asked.add(self.read.var)
        makes = tuple(sorted(made & asked.union(later, self.makes)))
        if self.body is None or makes != self.makes:
            entries = needed(self.entries, makes, (), ALL)
            reads = {o for e in entries for o in operands_of(e)} - made
            self.makes, self.needs = makes, tuple(sorted(reads))
            types, places = self.trace.types, self.trace.places
            parts = self.trace.name, self.needs, entries, makes, types, places
            self.body = WengertList(*parts, {}, list)
        captured = self.trace.captured
        self.captured = {v: captured[v] for v in (*self.needs, *asked) if v in captured}
        return (asked | later).difference(made).union(self.needs) - captured.keys()

    def run(self, known: dict[int, Any]) -> None:
        """Add to the variables that are known those that it makes."""
        known.update(self.captured)
        assert self.body is not None
        if self.body.entries:
            found = _call(*map(known.__getitem__, self.needs), body=self.body, policy=None)
            known.update(zip(self.makes, found, strict=True))


class Program:
    """What a jitted function does with arguments of one kind.

    Attributes
    ----------
    root : Segment or None
    inputs : tuple of int
        Variables of the arguments' leaves.
    why : str
        Why the next staging is.
    decides : bool
        Whether Python asks for values.
    stagings : int
    modules : list of Fields
        Of those that the function closes over, as they were when it was staged.
    """

    def __init__(self, why: str) -> None:
        self.root: Segment | None = None
        self.inputs: tuple[int, ...] = ()
        self.why = why
        self.decides = False
        self.stagings = 0
        self.modules: list[Fields] = []

    def grow(self, path: list[Segment]) -> None:
        """Add what was staged; where it does not agree with the tree, it replaces that."""
        self.stagings += 1
        self.decides = self.decides or len(path) > 1
        node, merged = self.root, list[Segment]()
        for segment in path:
            if node is not None and not _alike(node, segment):
                merged = path
                break
            merged.append(node or segment)
            node = node.branches.get(segment.read and segment.read.answer) if node else None
        for (one, following), segment in zip(pairwise(merged), path, strict=False):
            assert segment.read is not None
            one.branches.setdefault(segment.read.answer, following)
        self.root = merged[0]
        later: set[int] = set()
        for segment in reversed(merged):
            later = segment.settle(later)


def _alike(a: Segment, b: Segment) -> bool:
    """Whether two stagings of one function recorded the same."""
    return (
        (a.read and a.read[:3]) == (b.read and b.read[:3])
        and _same_entries(a.entries, b.entries)
        and all(_same(x, b.trace.captured.get(v)) for v, x in a.captured.items())
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
    """Whether two operands, parameters or arrays are equal."""
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
    return type(a) in _PLAIN and repr(a) == repr(b)


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
    ) -> None:
        functools.update_wrapper(self, fun, updated=())
        self._fun, self._max_paths = fun, max_paths
        self._static_argnums, self._static_argnames = static_argnums, static_argnames
        self._name = f"jit({name_of(fun)})"
        self._programs: dict[Any, Program] = {}
        self._stagings: list[str] = []  # why, for each
        self._lock = threading.RLock()

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __repr__(self) -> str:
        return f"<{self._name}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        current = STAGING.get()
        if current is not None and current.watches:
            return self._fun(*args, **kwargs)  # it looks at every operation
        call = _Call(self, args, kwargs)
        program = self._programs.get(call.key)
        if program is None or changed(program.modules):
            program = self._programs[call.key] = Program(self._why(program, call))
        if program.stagings >= self._max_paths or (program.decides and AXES.get()):
            return self._fun(*args, **kwargs)
        try:
            return self._walk(program, call)
        except _Decides:  # lanes part as they do in Python
            program.decides = True
            return self._fun(*args, **kwargs)

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
        call = _Call(self, args, kwargs)
        trace = JitTrace(self._fun)
        inputs = [trace.input(x) for x in call.arrays]
        variables = tuple(x.var for x in inputs)
        trace.numbers.update(variables[i] for i in call.numbers)
        with Running(trace):
            outputs, spec = self._results(trace, call.run(inputs))
        parts = self._name, variables, trace.entries, outputs, trace.types, trace.places
        return Lowered(self, call, WengertList(*parts, trace.captured, list), spec)

    def eval_shape(self, *args: Any, **kwargs: Any) -> Any:
        """Shapes and dtypes of what a call would return; see `volta.eval_shape`."""
        return eval_shape(self._fun, *args, **kwargs)

    def clear_cache(self) -> None:
        """Forget all that was staged."""
        self._programs.clear()
        self._stagings.clear()

    def explain(self) -> str:
        """What was staged, what Python decided on the way, and why it was staged again."""
        lines = [f"{self._name}: staged {len(self._stagings)} times"]
        lines += [f"  {i}. {why}" for i, why in enumerate(self._stagings, 1)]
        for number, (key, program) in enumerate(self._programs.items(), 1):
            lines.append(f"program {number}: {_described(key)}")
            if program.root is not None:
                lines += _branches(program.root, "  ")
        return "\n".join(lines)

    def _why(self, program: Program | None, call: "_Call") -> str:
        """Why there is no program that serves a call."""
        if program is not None:
            return f"{changed(program.modules)}, which it closes over, was written to"
        if not self._programs:
            return "first call"
        key = next(reversed(self._programs))
        found = [
            f"{what} are {_short(new)}, were {_short(old)}"
            for what, new, old in zip(_PARTS, call.key, key, strict=True)
            if new != old
        ]
        return "; ".join(found) or "another kind of call"

    def _walk(self, program: Program, call: "_Call") -> Any:
        if program.root is None:
            self._stage(program, call)
        segment = program.root
        assert segment is not None
        known = dict(zip(program.inputs, call.arrays, strict=True))
        while True:
            segment.run(known)
            if segment.read is None:
                outs = [o.value if type(o) is Literal else known[o] for o in segment.outputs]
                return segment.rebuild(outs)
            _, var, asked, _, line = segment.read
            try:
                answer = _answer(asked, concrete(known[var], asked))
            except TraceError as error:
                raise located(error, line) from None
            following = segment.branches.get(answer)
            if following is None:
                program.why = f"{line} read {_short(answer)}"
                trace = self._stage(program, call)
                following = segment.branches.get(answer)
                if following is None:  # the function is not pure: it did otherwise this time
                    return self._fun(*call.args, **call.kwargs)
                known.update({v: trace.value_of(v) for v in following.needs if v not in known})
            segment = following

    def _stage(self, program: Program, call: "_Call") -> JitTrace:
        """Run the function on types, and add what it did to the program."""
        with self._lock:
            trace = JitTrace(self._fun)
            inputs = [trace.input(x) for x in call.arrays]
            program.inputs = tuple(x.var for x in inputs)
            trace.values.update(zip(program.inputs, call.arrays, strict=True))
            trace.numbers.update(program.inputs[i] for i in call.numbers)
            with Running(trace), reads_of_modules() as modules:
                outputs, spec = self._results(trace, call.run(inputs))
            del inputs
            marks = [0, *(r.before for r in trace.reads), len(trace.entries)]
            reads = (*trace.reads, None)
            path = [
                Segment(trace, trace.entries[start:end], read)
                for (start, end), read in zip(pairwise(marks), reads, strict=True)
            ]
            path[-1].outputs, path[-1].rebuild = outputs, functools.partial(tree.unflatten, spec)
            program.grow(path)
            program.modules = lasting(modules)
            self._stagings.append(program.why)
            outer = next((x for x in trace.captured.values() if type(x) is Tracer), None)
            if outer is not None:  # which is another one in another call
                self._programs.pop(call.key, None)
                self._stagings[-1] += (
                    f"; for one call, as it closes over an array of {outer.trace.name}"
                )
            if program.stagings == self._max_paths:
                msg = (
                    f"{self._name}: its Python code has gone {self._max_paths} ways for arguments "
                    "of one kind, which run without being staged from now on. Choose with "
                    "functional.where, volta.cond or volta.while_loop, or raise max_paths."
                )
                warnings.warn(msg, stacklevel=4)
            return trace

    def _results(self, trace: JitTrace, result: Any) -> tuple[tuple[Any, ...], tree.PyTreeSpec]:
        """Operands of a list for what the function returned, and its structure."""
        leaves, spec = tree.flatten(settled(result))
        outs = [x if type(x) in SCALARS else as_array(x, self._name) for x in leaves]
        outs = [
            ops.astype(x, default_dtype_of(_kind_of(x))) if trace.is_number(x) else x for x in outs
        ]
        return tuple(map(trace.operand, outs)), spec


class _Call:
    """The arguments of a call.

    Attributes
    ----------
    key : tuple
        What decides which program serves the call.
    arrays : list of array
        Their leaves.
    numbers : tuple of int
        Places of those that were Python numbers.
    run : callable
        Calls the function with others in place of these leaves.
    """

    def __init__(self, jitted: Jitted, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        fun, name = jitted._fun, jitted._name
        method: Any = fun
        self.args, self.kwargs = args, kwargs
        fixed = _fixed(jitted, args, kwargs)
        owner = fun if is_module(fun) else getattr(fun, "__self__", None)
        positional = [a for i, a in enumerate(args) if i not in fixed]
        named = {k: v for k, v in kwargs.items() if k not in fixed}
        leaves, spec = tree.flatten((owner if is_module(owner) else None, positional, named))
        home, device = _home(leaves, name)
        self.arrays = [_array(x, name, home, device) for x in leaves]
        self.numbers = tuple(i for i, x in enumerate(leaves) if type(x) in SCALARS)
        kinds = tuple((_type(x), library_under(x)) for x in self.arrays)
        settings = tuple(variable.get() for variable in SETTINGS)
        self.key = spec, kinds, device, self.numbers, tuple(fixed.items()), settings

        def run(leaves: Sequence[Any]) -> Any:
            own, found, others = tree.unflatten(spec, leaves)
            rest = iter(found)
            whole = [a if i in fixed else next(rest) for i, a in enumerate(args)]
            others |= {k: v for k, v in kwargs.items() if k in fixed}
            if own is None:
                return fun(*whole, **others)
            called = own if is_module(fun) else MethodType(method.__func__, own)
            return called(*whole, **others)

        self.run = run


def _type(x: Any) -> ArrayType:
    return x.type if type(x) is Abstract else typeof(x)


def _fixed(jitted: Jitted, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[Any, Any]:
    """Static arguments, by number or name."""
    found: dict[Any, Any] = {}
    for n in jitted._static_argnums:
        if not -len(args) <= n < len(args):
            msg = (
                f"{jitted._name}: static_argnums must number positional arguments of the call; got "
                f"{n} and {len(args)} positional arguments."
            )
            raise located(ValueError(msg))
        found[n % len(args)] = args[n]
    found |= {k: kwargs[k] for k in jitted._static_argnames if k in kwargs}
    for place, value in found.items():
        try:
            hash(value)
        except TypeError:
            msg = (
                f"{jitted._name}: static arguments must be hashable; got {type(value).__name__} "
                f"for {place!r}. Pass a tuple for a list."
            )
            raise located(TypeError(msg)) from None
    return found


def _home(leaves: Sequence[Any], name: str) -> tuple[Library, Any]:
    """Library and device of a call: those of the first array that is not NumPy's."""
    for x in leaves:
        if type(x) not in (*SCALARS, np.ndarray, ShapeDtypeStruct):
            array = as_array(x, name)
            library = library_under(array)
            if library is not NUMPY:
                return library, array.device if type(array) is Tracer else library.device(array)
    return NUMPY, "cpu"


def _array(leaf: Any, name: str, home: Library, device: Any) -> Any:
    """Leaf as an array of the call's library; a number has 64 bits where there are such."""
    if type(leaf) is ShapeDtypeStruct:
        return Abstract(ArrayType(leaf.shape, as_dtype(leaf.dtype)), home, device)
    if type(leaf) in SCALARS:
        kind = _WIDEST[type(leaf).__name__]
        dtype = None if home.name == "jax.numpy" else home.dtype(kind)  # it knows what it has
        return home.asarray(leaf, dtype, None if home is NUMPY else device)
    array = as_array(leaf, name)
    return array if home is NUMPY or type(array) is not np.ndarray else joined(array, home, device)


_WIDEST: Final = {"bool": "bool", "int": "int64", "float": "float64", "complex": "complex128"}


# What is shown ------------------------------------------------------------------------------------


class Lowered:
    """A staged function; `Jitted.lower` makes it.

    Attributes
    ----------
    wengert : WengertList
        From the leaves of the arguments to those of the result.
    """

    def __init__(
        self, jitted: Jitted, call: _Call, wengert: WengertList, spec: tree.PyTreeSpec
    ) -> None:
        self._jitted, self._key, self._spec = jitted, call.key, spec
        self.wengert = wengert

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
        closed, constants = self.wengert.closed(), self.wengert.constants

        def run(*args: Any, **kwargs: Any) -> Any:
            call = _Call(self._jitted, args, kwargs)
            if call.key != self._key:
                msg = (
                    f"{self._jitted._name}: what was compiled takes arguments like those that it "
                    f"was lowered for; got {_described(call.key)} and {_described(self._key)}."
                )
                raise located(TypeError(msg))
            found = _call(*constants, *call.arrays, body=closed, policy=None)
            return tree.unflatten(self._spec, list(found))

        return run


_PARTS: Final = ("structure", "arrays", "device", "numbers", "static arguments", "settings")


def _described(key: Any) -> str:
    """The kinds of arguments that a program serves."""
    _, kinds, device, numbers, fixed, _ = key
    shown = [
        kind.dtype.kind if i in numbers else f"{kind} of {library.name}"
        for i, (kind, library) in enumerate(kinds)
    ]
    shown += [f"{place}={value!r}" for place, value in fixed]
    return f"({', '.join(shown)}) on {device}"


def _branches(segment: Segment, indent: str) -> list[str]:
    """Lines that describe a segment and those that follow."""
    assert segment.body is not None
    lines = [f"{indent}{len(segment.body.entries)} entries"]
    if segment.read is not None:
        for answer, following in segment.branches.items():
            lines.append(f"{indent}{segment.read.line} read {_short(answer)}:")
            lines += _branches(following, indent + "  ")
    return lines


def _short(x: Any) -> str:
    text = repr(x)
    return text if len(text) <= 60 else text[:57] + "..."


@suggesting
def jit(
    fun: Any = None,
    *,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    max_paths: int = 32,
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

    Notes
    -----
    The kind of a call is the structure of its arguments, the shapes, dtypes, library and device of
    its arrays, which of them are Python numbers, static arguments, and the settings in force
    (`default_dtype`, `functional.conv_options`). Python numbers are no part of it: they stay weak
    in promotion, and another value is not staged again.

    Where Python asks for a value (``if x > 0``, ``while error > tol``, ``range(n)``), it gets that
    of the call, and what was staged holds for calls in which the answer is the same: another one
    stages another path. Inside `cond`, `scan`, `while_loop` and their kin there is no value to ask
    for. ``explain()`` tells what was staged and why.

    Arrays that `fun` closes over are constants. Modules are not: one that was written to is staged
    again, and those that are arguments are read at every call. What `fun` prints or appends to
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
        )
    if not callable(fun):
        msg = f"jit: fun must be callable; got {type(fun).__name__}."
        raise located(TypeError(msg))
    if max_paths < 1:
        msg = f"jit: max_paths must be at least 1; got {max_paths}."
        raise located(ValueError(msg))
    numbers = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
    names = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)
    return Jitted(fun, numbers, names, max_paths)
