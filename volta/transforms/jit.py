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
import inspect
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from itertools import pairwise
from types import MethodType
from typing import Any, Final

from volta.compile.native import llvm
from volta.compile.program import BACKENDS, backend
from volta.compile.program import described as compiled_to
from volta.core import tree
from volta.core.context import AXES, RUNNING, SETTINGS, STAGING, default_dtype_of
from volta.core.errors import TraceError
from volta.core.keywords import suggesting
from volta.core.trace import Running, located, ops
from volta.core.tracer import Tracer, concrete, settled
from volta.core.types import SCALARS
from volta.core.wengert import Literal, WengertList
from volta.transforms.arguments import as_array, is_module, name_of, split_static
from volta.transforms.deciding import Decides, JitTrace, answer_to, kind_of
from volta.transforms.direct import OTHER, Direct, direct_way
from volta.transforms.donation import Donated, check_not_static, donated_by
from volta.transforms.eval_shape import eval_shape
from volta.transforms.modules import changed, lasting, note, reads_of_modules
from volta.transforms.segments import Program, Segment
from volta.transforms.signature import PARTS, Call, Inputs, described, texts_of

__all__ = ["jit"]


class Jitted:
    """A function that is staged once for each kind of arguments; `jit` makes it."""

    def __init__(
        self,
        fun: Callable[..., Any],
        static_argnums: tuple[int, ...],
        static_argnames: tuple[str, ...],
        donate_argnums: tuple[int, ...],
        donate_argnames: tuple[str, ...],
        max_paths: int,
        backend: str | None,
    ) -> None:
        functools.update_wrapper(self, fun, updated=())
        self._fun, self._max_paths, self._backend = fun, max_paths, backend
        self._name = f"jit({name_of(fun)})"
        places = _places(fun)
        self._parameters = {place: name for name, place in places.items()}
        static = _both_ways(static_argnums, static_argnames, places)
        donated = _both_ways(donate_argnums, donate_argnames, places)
        both = [[x for x in s if x in d] for s, d in zip(static, donated, strict=True)]
        check_not_static("jit", both[1] or both[0])
        self._static_argnums, self._static_argnames = static
        self._donate_argnums, self._donate_argnames = donated
        self._has_static = bool(static_argnums or static_argnames)
        owner = fun if is_module(fun) else getattr(fun, "__self__", None)
        self._owner = owner if is_module(owner) else None
        self._programs: dict[Any, Program] = {}
        self._direct: Direct | None = None  # of the last call, if there is one
        self._whys: deque[str] = deque(maxlen=_TOLD)
        self._stagings = 0
        self._lock = threading.Lock()

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __deepcopy__(self, memo: Any) -> "Jitted":
        fun = copy.deepcopy(self._fun, memo)  # a function stays itself, a module does not
        static = self._static_argnums, self._static_argnames
        donated = self._donate_argnums, self._donate_argnames
        return Jitted(fun, *static, *donated, self._max_paths, self._backend)

    def __repr__(self) -> str:
        return f"<{self._name}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._backend is None:
            return self._called(args, kwargs)
        with backend(self._backend):
            return self._called(args, kwargs)

    def _called(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        current, direct = STAGING.get(), self._direct
        if (
            direct is not None
            and current is None
            and not RUNNING.get()
            and [s.get() for s in SETTINGS] == direct.settings
        ):
            out = direct.run(self._owner, args, kwargs)
            if out is not OTHER:
                return out
        if current is not None and current.watches:
            return self._fun(*args, **kwargs)  # it looks at every operation
        call = Call(self, args, kwargs)
        program = self._programs.get(call.key)
        if program is None or (program.modules and changed(program.modules)):
            why = self._why(program, call)
            program = Program(Inputs(call.leaves, self._name), self._donated(call))
        else:
            why = "first call outside of vmap"  # if it is not staged yet
        if program.stagings >= self._max_paths or (program.decides and AXES.get()):
            return self._fun(*args, **kwargs)
        try:
            return self._walk(program, call, why)
        except Decides:  # lanes part as they do in Python
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
        call = Call(self, args, kwargs, abstract=True)
        inputs = Inputs(call.leaves, self._name)
        _, (segment,) = self._record(call, inputs, inputs.arrays(call.leaves))
        segment.settle(set())
        donated = self._donated(call)
        if donated is not None:
            segment.give([segment], donated.places)
        variables = tuple(range(len(call.leaves)))
        parts = self._name, variables, segment.entries, segment.outputs
        types = segment.types, segment.places, segment.captured
        wengert = WengertList(*parts, *types, segment.rebuild)
        return Lowered(self, call, inputs, donated, segment, wengert)

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
            lines.append(f"program {number}: {described(key)}")
            if program.root is not None:
                with backend(self._backend) if self._backend else nullcontext():
                    lines += _branches(program.root, program.donated)
        return "\n".join(lines)

    def _parted(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[list[Any], Callable[[Sequence[Any]], list[Any]], dict[str, Any], dict[str, Any]]:
        """Arguments that are no static ones and the way back, first those by position."""
        dynamic, back = split_static(self._name, args, self._static_numbers(args))
        fixed = {k: kwargs[k] for k in self._static_argnames if k in kwargs}
        return dynamic, back, {k: v for k, v in kwargs.items() if k not in fixed}, fixed

    def _static_numbers(self, args: tuple[Any, ...]) -> list[int]:
        """Places of the static arguments; a parameter that has a name may be given by that."""
        return [n for n in self._static_argnums if n < len(args) or n not in self._parameters]

    def _donated(self, call: Call) -> Donated | None:
        """The arrays that a call donates, if arguments are donated."""
        names, n_args = self._donate_argnames, len(call.args)
        numbers = [n for n in self._donate_argnums if n < n_args or n not in self._parameters]
        if not numbers and not names:
            return None
        static = self._static_numbers(call.args)
        return donated_by(self._name, call, numbers, names, static, self._parameters)

    def _why(self, program: Program | None, call: Call) -> str:
        """Why there is no program that serves a call."""
        if program is not None:
            return changed(program.modules) or "another thread staged it"
        if not self._programs:
            return "first call"
        key = next(reversed(self._programs))
        found = [
            f"{what} are {_short(new)}, were {_short(old)}"
            for what, new, old in zip(PARTS, texts_of(call.key), texts_of(key), strict=True)
            if new != old  # of the texts, as dtypes of two libraries do not like to be compared
        ]
        return "; ".join(found) or "another kind of call"

    def _walk(self, program: Program, call: Call, why: str) -> Any:
        """Run a call, from segment to segment."""
        inputs = program.inputs
        arrays = call.leaves if inputs.raw else inputs.arrays(call.leaves)
        known = dict(enumerate(arrays))
        donated = None if RUNNING.get() else program.donated  # a transform reads them later
        if donated is not None:
            donated.check(call.leaves, arrays)
        segment = program.root or self._stage(program, call, known, [], why)
        answers: list[Any] = []
        while segment is not None:
            read = segment.read
            if read is None:
                out = segment.end(known) if donated is None else donated.finish(segment, known)
                if segment is program.root and not self._has_static:
                    self._direct = direct_way(program, call, self._direct)
                return out
            segment.run(known)
            try:
                answers.append(answer_to(read.asked, concrete(known[read.var], read.asked)))
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
        call: Call,
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

    def _keep(self, program: Program, call: Call, captured: Iterable[Any], why: str) -> None:
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
        call: Call,
        inputs: Inputs,
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

    def _call_on(self, call: Call, leaves: list[Any]) -> Any:
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
            x = ops.astype(x, default_dtype_of(kind_of(x)))
        return trace.operand(as_array(x, self._name))


_TOLD: Final = 32  # stagings of which `explain` tells


# What is shown ----------------------------------------------------------------------------------


class Lowered:
    """A staged function; `Jitted.lower` makes it.

    Attributes
    ----------
    wengert : WengertList
        From the leaves of the arguments to those of the result.
    """

    def __init__(
        self,
        jitted: Jitted,
        call: Call,
        inputs: Inputs,
        donated: Donated | None,
        segment: Segment,
        wengert: WengertList,
    ) -> None:
        self._jitted, self._key, self._inputs = jitted, call.key, inputs
        self._donated, self._segment, self.wengert = donated, segment, wengert

    def __str__(self) -> str:
        return str(self.wengert)

    as_text = __repr__ = __str__

    def compile(self) -> Callable[..., Any]:
        """Return the function of arguments like those that it was staged for.

        Raises
        ------
        TypeError
            From the function returned, if its arguments are of another kind.
        DonationError
            If a donated array has the type of no result that is left for it.
        """
        if self._donated is not None:
            self._donated.check_results(self._segment)

        def run(*args: Any, **kwargs: Any) -> Any:
            call = Call(self._jitted, args, kwargs)
            if hash(call.key) != hash(self._key) or call.key != self._key:
                msg = (
                    f"{self._jitted._name}: what was compiled takes arguments like those that it "
                    f"was lowered for; got {described(call.key)} and {described(self._key)}."
                )
                raise located(TypeError(msg))
            arrays = self._inputs.arrays(call.leaves)
            known = dict(enumerate(arrays))
            if self._donated is not None and not RUNNING.get():
                self._donated.check(call.leaves, arrays)
                return self._donated.finish(self._segment, known)
            return self._segment.end(known)

        return run


def _branches(root: Segment, donated: Donated | None) -> list[str]:
    """Lines that describe a tree of segments."""
    lines = list[str]()
    left = [(root, "", "  ")]
    while left:
        segment, title, indent = left.pop()
        assert segment.body is not None
        lines += [title] if title else []
        run = compiled_to(segment.giving[0] if segment.giving else segment.body)
        lines.append(f"{indent}{len(segment.body.entries)} entries{': ' if run else ''}{run}")
        if donated is not None and (told := donated.described(segment)):
            lines.append(f"{indent}{told}")
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
    donate_argnums: int | Sequence[int] = (),
    donate_argnames: str | Sequence[str] = (),
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
        The same by name. An argument that is static is so by position and by keyword.
    donate_argnums : int or sequence of int
        Positional arguments whose arrays the caller gives away: results are returned in their
        memory, so that parameters and optimizer states need no second copy. See the notes.
    donate_argnames : str or sequence of str
        The same by name. An argument that is donated is so by position and by keyword.
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
    ValueError
        If `fun` has no parameter of a static or donated name.
    DonationError
        From a call, before anything is written: if a donated array has the shape and dtype of no
        result that is left for it; is read-only, not row-major or not NumPy's; or shares memory
        with another argument or an array that `fun` closes over. If a donated argument is static,
        or holds a module.
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

    Each donated array is returned as the result of its shape and dtype, where there are several in
    their order if that is possible. JAX deletes donated arrays; NumPy's cannot be deleted: one that
    the caller still uses, or a view of it, shows the result. An error leaves them as they were:
    they are written to after the last value that Python reads and the last operation that may fail.
    Numbers in a donated argument are passed over. Under another transform, in another jitted
    function, and where `fun` runs without being staged, nothing is written to.

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

    A step that updates its parameters where they are:

    >>> params, grads = np.ones(3), np.ones(3)
    >>> sgd = volta.jit(lambda params, grads: params - 0.5 * grads, donate_argnums=0)
    >>> new = sgd(params, grads)
    >>> new is params, new
    (True, array([0.5, 0.5, 0.5]))
    """
    if fun is None:
        return functools.partial(
            jit,
            static_argnums=static_argnums,
            static_argnames=static_argnames,
            donate_argnums=donate_argnums,
            donate_argnames=donate_argnames,
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
    numbers, others = _tuple(static_argnums, int), _tuple(donate_argnums, int)
    names, given = _tuple(static_argnames, str), _tuple(donate_argnames, str)
    _check_names(fun, "static_argnames", names)
    _check_names(fun, "donate_argnames", given)
    return Jitted(fun, numbers, names, others, given, max_paths, backend)


def _tuple(given: Any, single: type) -> tuple[Any, ...]:
    return (given,) if isinstance(given, single) else tuple(given)


def _both_ways(
    numbers: tuple[int, ...], names: tuple[str, ...], places: Mapping[str, int]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Numbers and names of arguments, each of which is given by position or by keyword."""
    numbered = *numbers, *(places[n] for n in names if n in places)
    named = *names, *(n for n, place in places.items() if place in numbers)
    return tuple(dict.fromkeys(numbered)), tuple(dict.fromkeys(named))


def _places(fun: Callable[..., Any]) -> dict[str, int]:
    """Places of the parameters that may be given by position or by name."""
    return {
        name: i
        for i, (name, p) in enumerate(_parameters(fun).items())
        if p.kind is p.POSITIONAL_OR_KEYWORD
    }


def _parameters(fun: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(fun).parameters
    except (TypeError, ValueError):  # of some builtins nothing is known
        return {}


def _check_names(fun: Callable[..., Any], argument: str, names: Sequence[str]) -> None:
    parameters = _parameters(fun)
    if not parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    wrong = [name for name in names if name not in parameters]
    if wrong:
        msg = (
            f"jit: {argument} must be parameters of {name_of(fun)}; got "
            f"{', '.join(map(repr, wrong))}, and it has {', '.join(map(repr, parameters))}."
        )
        raise located(ValueError(msg))


def _check_backend(name: str) -> None:
    if name not in BACKENDS:
        msg = f"jit: backend must be None or one of {', '.join(map(repr, BACKENDS))}; got {name!r}."
        raise located(ValueError(msg))
    if name == "llvm" and not llvm.available():
        msg = (
            "jit: backend='llvm' needs llvmlite 0.45 or later, and CPython with a GIL on 64 bits; "
            "got a Python without. Install volta-array[llvm], or leave backend out."
        )
        raise located(ModuleNotFoundError(msg))
