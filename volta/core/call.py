"""Functions written for one primitive: to apply it, and to record that it was applied.

An operation on small arrays costs little more than Python's passing of arguments, so each primitive
has a function of its own, generated from its type rule's signature: no loop over the operands, no
packing of parameters but for an entry that keeps them. It serves raw arrays of one library and
operands of one recording trace; everything else goes to `bind`. What an entry of a recording keeps
is found in a `Plan`, for which likewise a function is written.

In the sources below ``x1`` is the first operand, ``v1`` its value, below the trace if there is one,
``t1`` the type first of the one and then of the other, and ``t`` that of the arrays among all.
"""

import builtins
import functools
import linecache
import os
import sys
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any, Final

import numpy as np

from volta.core.trace import NOWHERE, OUTSIDE, live, user_frame
from volta.core.tracer import Tracer, bind, constant, family_of, refresh
from volta.core.types import SCALARS, typeof

__all__ = [
    "MOST",
    "as_result",
    "caller",
    "pair_recorder",
    "record_many",
    "recorder",
    "shape_of",
    "weak",
    "written",
]

Function = Callable[..., Any]

MOST: Final = 8  # operands of an operation that takes any number and still has such a function
_NONE: Final[dict[str, Any]] = {}  # no trace, and the parameters of every operation without any
_FOLDER: Final = os.path.dirname(os.path.abspath(__file__))  # so that these lines are Volta's own


def as_result(out: Any) -> Any:
    """Result of a kernel; NumPy returns scalars for rank 0, Volta arrays."""
    return np.asarray(out) if isinstance(out, np.generic) else out


def shape_of(x: Any) -> tuple[int, ...]:
    """Shape of an array as a plain tuple."""
    shape = x.shape
    return shape if type(shape) is tuple else tuple(shape)


def weak(*operands: Any) -> tuple[Any, ...]:
    """Operands of a NumPy kernel in which a Python float keeps the others' dtype.

    NumPy does so by itself, but not for dtypes that are not its own, such as bfloat16.
    """
    for a in operands:
        if type(a) is np.ndarray and a.dtype.num > 255:  # a dtype that is not NumPy's own
            dtype = a.dtype
            return tuple([np.asarray(b, dtype) if type(b) is float else b for b in operands])
    return operands


def caller(primitive: Any) -> Any:
    """Function of the operands of `primitive`, and its parameters by keyword, that applies it."""
    if primitive.params is None or primitive.arity == 0:
        return lambda *operands, **params: bind(primitive, operands, params)
    if primitive.arity is not None:
        return _written(primitive, primitive.arity)
    return _Variadic(primitive)


class _Variadic(dict[int, Function]):
    """Function for any number of operands; by that number, the function for so many."""

    def __init__(self, primitive: Any) -> None:
        self.primitive = primitive

    def __call__(self, *operands: Any, **params: Any) -> Any:
        return self[len(operands)](*operands, **params)

    def __missing__(self, arity: int) -> Function:
        if not 0 < arity <= MOST:
            primitive = self.primitive
            return lambda *operands, **params: bind(primitive, operands, params)
        found = self[arity] = _written(self.primitive, arity)
        return found


def _written(primitive: Any, arity: int) -> Function:
    taken = {"kernel", "kept", "out", "plan", "several", "t", "told", "trace", "which"}
    assert taken.isdisjoint(primitive.params), (primitive.name, "a parameter has a name used here")
    promotes = primitive.elementwise and arity > 1
    source = _source(arity, primitive.params, primitive.results == 1, primitive.pair, promotes)
    space = {
        "SCALARS": SCALARS,
        "Tracer": Tracer,
        "as_result": as_result,
        "bind": bind,
        "fwd": primitive.pair and primitive.pair.fwd,
        "kernels": primitive.kernels,
        "live": live,
        "ndarray": np.ndarray,
        "none": _NONE,
        "plans": primitive.plans,
        "primitive": primitive,
        "record": primitive.record_pair,
        "refresh": refresh,
        "weak": weak,
    }
    if arity == 1 and not primitive.pair:  # of which there is one plan, made when first needed

        def record(*args: Any) -> Any:
            plan = primitive.plan(3)
            out = plan.record(*args)
            space["record"] = plan.record
            return out

        space["record"] = record
    return written(source, space)


@functools.cache
def _code(source: str) -> CodeType:
    number = _code.cache_info().currsize + 1
    name = os.path.join(_FOLDER, f"<call {number}>")
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    module = compile(source, name, "exec")
    return next(c for c in module.co_consts if isinstance(c, CodeType))


def written(source: str, space: dict[str, Any]) -> Function:
    """Function of a source, over the names in `space`."""
    code = _code(source)
    space |= {"__builtins__": builtins, "__name__": __name__}  # warnings look for these
    function = space[code.co_name] = FunctionType(code, space)
    return function


def _source(arity: int, params: tuple[str, ...], single: bool, pair: Any, promotes: bool) -> str:
    """Source of the function that applies a primitive of such a kind."""
    names = _listed("x{}", arity)
    values = _listed("v{}", arity)
    traced = _listed("t{} is Tracer", arity, " or ")
    keywords = "".join(f", {p}={p}" for p in params)
    packed = "{" + ", ".join(f"{p!r}: {p}" for p in params) + "}" if params else "none"
    otherwise = f"return bind(primitive, ({names},), {packed})"
    variables = _listed("x{0}.var if type(x{0}) is Tracer else None", arity)
    if arity == 1:
        variables = "x1.var"
    lines = [
        f"def call({', '.join([names, '/', *['*'][: len(params)], *params])}):",
        *(f"    t{i} = type(x{i})" for i in range(1, arity + 1)),
        "    trace = none",
        f"    if {traced}:",
        *(_below(arity) if single else ["        if True:"]),
        f"            {otherwise}",
        *(f"        t{i} = type(v{i})" for i in range(1, arity + 1)),
        "    else:",
        *(f"        v{i} = x{i}" for i in range(1, arity + 1)),
        "    t = t1",
    ]
    for i in range(2, arity + 1):  # raw arrays of one type, with Python's scalars among them
        lines += [
            f"    if t{i} is not t and t{i} not in SCALARS:",
            "        if t not in SCALARS:",
            f"            {otherwise}",
            f"        t = t{i}",
        ]
    if promotes and arity == 2:
        lines += [
            "    if t1 is not t2 and t is ndarray:",
            "        if (v2 if t1 in SCALARS else v1).dtype.num > 255:",
            "            v1, v2 = weak(v1, v2)",
        ]
    elif promotes:
        floats = _listed("t{} is float", arity, " or ")
        lines += [f"    if ({floats}) and t is ndarray:", f"        {values} = weak({values})"]
    if pair and pair.fwd:
        lines += [
            "    if trace is not none and not live.staging:",
            f"        out, kept = fwd({values}{keywords})",
            f"        return record(trace, ({variables},), out, kept, {packed})",
        ]
    lines += [
        "    kernel = kernels.get(t)",
        "    if kernel is None or live.staging:",
        "        if trace is none or live.staging:",
        f"            {otherwise}",
        f"        out = call({values}{keywords})",  # below is another trace, or a new type
        "    else:",
        "        try:",
        f"            out = kernel({values}{keywords})",
        "        except Exception as error:",
        f"            told = primitive.explain(error, ({values},), {packed})",
        "            if told is error:",
        "                raise",
        "            raise told from error",
        "        if type(out) is not t:",
        "            out = as_result(out)",
        "    if trace is none:",
        "        return out",
    ]
    if pair:
        lines += [f"    return record(trace, ({variables},), out, out, {packed})"]
    elif arity == 1:
        lines += [f"    return record(trace, x1, v1, out, {packed})"]
    else:
        bits = "".join(
            f" + ({1 << (i - 1)} if type(x{i}) is Tracer else 0)" for i in range(1, arity + 1)
        )
        lines += [
            f"    which = {1 << arity}{bits}",
            "    plan = plans.get(which) or primitive.plan(which)",
            f"    return plan.record(trace, {names}, {values}, out, {packed})",
        ]
    return "\n".join(lines) + "\n"


def _listed(form: str, arity: int, separator: str = ", ") -> str:
    return separator.join(form.format(i) for i in range(1, arity + 1))


def _below(arity: int) -> list[str]:
    """Lines that find the trace and the values below it; at the end, if that is for `bind` to do.

    It is where the operands belong to several traces or to none, or to one that does not record.
    """
    if arity == 1:
        return [
            "        if x1.view is not None:",
            "            refresh(x1)",
            "        trace = x1.trace",
            "        v1 = x1.value",
            "        if trace is None or not trace.records:",
        ]
    lines = ["        several = False"]
    for i in range(1, arity + 1):
        lines += [
            f"        v{i} = x{i}",
            f"        if t{i} is Tracer:",
            f"            if x{i}.view is not None:",
            f"                refresh(x{i})",
            f"            v{i} = x{i}.value",
            f"            if x{i}.trace is not trace:",
            "                several = several or trace is not none",
            f"                trace = x{i}.trace",
        ]
    return [*lines, "        if several or trace is None or not trace.records:"]


# Recording --------------------------------------------------------------------------------------

# What is kept of an operand: its value, its type or its shape
_KEPT: Final = ("v{0}", "typeof(v{0})", "(s if type(s := v{0}.shape) is tuple else tuple(s))")


def recorder(plan: Any, primitive: Any, mask: int, arity: int) -> Function:
    """Function that appends an entry for operands `mask` to a trace's list.

    ``record(trace, x1, …, v1, …, out, params)`` returns tracers of the results.
    """
    variables = ", ".join(f"x{i + 1}.var" if mask >> i & 1 else "None" for i in range(arity))
    saved = ["None"] * plan.width
    for i, what in plan.saved:
        saved[i] = _KEPT[what].format(i + 1)
    kept = saved[0] if plan.bare else f"({''.join(f'{part}, ' for part in saved)})"
    fits = _fits(primitive, plan.active)
    head = f"def record(trace, {_listed('x{}', arity)}, {_listed('v{}', arity)}, out, params):"
    if plan.steps:
        body = [
            *fits,
            *_locate(3 if primitive.wrapped else 2),
            *_append(
                f"(primitive, ({variables},), params, var, plan, "
                f"{'out' if plan.keep_out else None}, {kept}, {'fits' if fits else None}, "
                "code, frame.f_lasti)",
                primitive,
            ),
        ]
    elif primitive.view and primitive.results == 1:
        body = ["    new = copied(constant(out))", *_hang(primitive), "    return new"]
    elif primitive.results == 1:
        body = ["    return constant(out)"]
    else:
        body = ["    return tuple(map(constant, out))"]
    space = {**_SPACE, "plan": plan, "primitive": primitive}
    return written("\n".join([head, *body]) + "\n", space)


def record_many(
    trace: Any, primitive: Any, operands: Any, values: Any, out: Any, params: dict[str, Any]
) -> Any:
    """Likewise, for a `Variadic` of so many operands that none is written for it."""
    dtype = out.dtype
    fits = {i: typeof(v) for i, v in enumerate(values) if operands[i] and v.dtype != dtype}
    frame = user_frame(sys._getframe(1)) or NOWHERE
    var = trace.fresh()
    plan = primitive.plan(0b11)  # which differs from any other's in what is kept alone
    saved = [shape_of(v) for v in values]
    at = (frame.f_code, frame.f_lasti)
    trace.append((primitive, operands, params, var, plan, None, saved, fits or None, *at))
    return Tracer(trace, var, out)


def pair_recorder(primitive: Any) -> Function:
    """Likewise for a `Pair`: ``record(trace, variables, out, kept, params)``."""
    entry = "(primitive, variables, params, var, None, None, kept, None, code, frame.f_lasti)"
    lines = [
        "def record(trace, variables, out, kept, params):",
        *_locate(3 if primitive.wrapped else 2),
        *_append(entry, primitive),
    ]
    return written("\n".join(lines) + "\n", {**_SPACE, "primitive": primitive})


def _fits(primitive: Any, active: tuple[int, ...]) -> list[str]:
    """Lines that find the types of operands that were broadcast or promoted."""
    if not primitive.promotes:
        return []
    lines = ["    dtype = out.dtype", "    fits = None"]
    spread = ""
    if primitive.elementwise:
        lines.append("    shape = out.shape")
        spread = "{0}.shape != shape or "
    for i in active:
        test = spread + "({0}.dtype is not dtype and {0}.dtype != dtype)"
        lines += [
            f"    if {test.format(f'v{i + 1}')}:",
            f"        fits = {{**(fits or {{}}), {i}: typeof(v{i + 1})}}",
        ]
    return lines


def _locate(depth: int) -> list[str]:
    """Lines that find the user's code.

    Most often it lies past this function, the one that applied the primitive, and a public
    function around that.
    """
    return [
        "    try:",
        f"        frame = getframe({depth})",
        "    except ValueError:",  # called by what is not Python
        "        frame = nowhere",
        "    code = frame.f_code",
        "    if code.co_filename not in outside:",
        "        frame = user_frame(getframe(1)) or nowhere",
        "        code = frame.f_code",
    ]


def _append(entry: str, primitive: Any) -> list[str]:
    """Lines that append an entry and return tracers of the results."""
    if primitive.results != 1:
        return [
            "    var = tuple([trace.fresh() for _ in out])",
            f"    trace.append({entry})",
            "    return trace.several(var, out)",
        ]
    return [
        "    var = trace.fresh()",
        f"    trace.append({entry})",
        "    new = make(Tracer)",  # without the cost of a call of __init__
        "    new.trace = trace",
        "    new.var = var",
        "    new.value = out",
        *(_hang(primitive) if primitive.view else ["    new.view = new.family = None"]),
        "    return new",
    ]


def _hang(primitive: Any) -> list[str]:
    """Lines that note, as `link` does, that the result is a view of the first operand."""
    if primitive.name == "basic_slice":
        return [
            "    view = x1.view",
            "    root = x1 if view is None or len(view) != 4 else view[3]",
            "    family = root.family or family_of(root)",
            "    new.family = None",
            "    new.view = (family.version, x1, params['key'], root)",
        ]
    return [
        "    new.family = family = x1.family or family_of(x1)",
        f"    new.view = (family.version, {primitive.name!r})",
    ]


_SPACE: Final = {
    "Tracer": Tracer,
    "constant": constant,
    "copied": Tracer.__copy__,
    "family_of": family_of,
    "getframe": sys._getframe,
    "make": object.__new__,
    "nowhere": NOWHERE,
    "outside": OUTSIDE,
    "typeof": typeof,
    "user_frame": user_frame,
}
