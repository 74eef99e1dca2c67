"""Functions written for one primitive, to apply it.

An operation on small arrays costs little more than Python's passing of arguments, so each primitive
has a function of its own, generated from its type rule's signature: no loop over the operands, no
packing of parameters but for an entry that keeps them. It serves raw arrays of one library and
operands of one recording trace, for which a `Plan` says what to keep; everything else goes to
`bind`.

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

from volta.core.context import AXES, axis_trace
from volta.core.trace import NOWHERE, OUTSIDE, live, user_frame
from volta.core.tracer import Tracer, bind, constant, family_of, refresh
from volta.core.types import SCALARS, typeof

__all__ = [
    "MOST",
    "PAIR_ENTRY",
    "RECORDING",
    "append",
    "as_result",
    "axes_in",
    "axis_of",
    "caller",
    "code_of",
    "function_of",
    "hang",
    "locate",
    "shape_of",
    "weak",
    "written",
]

Function = Callable[..., Any]

MOST: Final = 8  # operands of an operation that takes any number and still has such a function
_NONE: Final[dict[str, Any]] = {}  # no trace, and the parameters of every operation without any
_TAKEN: Final = (  # local names of the functions written
    "code family frame kept kernel new out params plan root several t told trace var variables view"
    " which"
)
_FOLDER: Final = os.path.dirname(os.path.abspath(__file__))  # so that these lines are Volta's own
_LIST: Final = os.path.join(_FOLDER, "<list>")


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
    """Function of the operands of `primitive`, and then its parameters, that applies it."""
    if primitive.carries or "axis_name" in (primitive.params or ()):
        return functools.partial(_over_axis, primitive)
    if primitive.params is None or primitive.arity == 0:
        return lambda *operands, **params: bind(primitive, operands, params)
    if primitive.arity is not None:
        return _written(primitive, primitive.arity)
    return _Variadic(primitive)


def _over_axis(primitive: Any, *operands: Any, **params: Any) -> Any:
    """Apply a collective, or what carries lists: the trace of an axis may be concerned."""
    return bind(primitive, operands, params, axis_of(primitive, params))


def axis_of(primitive: Any, params: dict[str, Any]) -> Any:
    """Trace of the axis that collectives of an operation are over, if there is one."""
    if "axis_name" in (primitive.params or ()):
        return axis_trace(params["axis_name"], primitive.name)
    axis = None
    if primitive.carries and AXES.get():
        names = axes_in(params)
        for trace in AXES.get():
            if trace.axis_name in names:
                axis = trace
    return axis


def axes_in(params: dict[str, Any]) -> set[Any]:
    """Axes of the collectives in what parameters carry: lists, and what has `axis_names` too."""
    parts = [p for v in params.values() for p in (v if type(v) is tuple else (v,))]
    return {n for p in parts for n in getattr(p, "axis_names", ())}


class _Variadic(dict[int, Function]):
    """Function for any number of operands; by that number, the function for so many."""

    def __init__(self, primitive: Any) -> None:
        self.primitive = primitive

    def __call__(self, *operands: Any, **params: Any) -> Any:
        return self[len(operands)](*operands, **params)

    def __missing__(self, arity: int) -> Function:
        if not 0 < arity <= MOST:
            return functools.partial(_bound, self.primitive, arity)
        found = self[arity] = _written(self.primitive, arity)
        return found


def _bound(primitive: Any, arity: int, *args: Any, **params: Any) -> Any:
    named = zip(primitive.params, args[arity:], strict=False)  # others have come by keyword
    return bind(primitive, args[:arity], {**dict(named), **params})


def _written(primitive: Any, arity: int) -> Function:
    taken = set(_TAKEN.split())
    assert taken.isdisjoint(primitive.params), (primitive.name, "a parameter has a name used here")
    space = {
        **RECORDING,
        "SCALARS": SCALARS,
        "as_result": as_result,
        "bind": bind,
        "fwd": primitive.pair and primitive.pair.fwd,
        "kernels": primitive.kernels,
        "live": live,
        "ndarray": np.ndarray,
        "none": _NONE,
        "plans": primitive.plans,
        "primitive": primitive,
        "pull": primitive.pull_pair,
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
    return written(_source(primitive, arity), space)


@functools.cache
def _code(source: str) -> CodeType:
    number = _code.cache_info().currsize + 1
    name = os.path.join(_FOLDER, f"<call {number}>")
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    return _compiled(source, name)


def _compiled(source: str, name: str) -> CodeType:
    module = compile(source, name, "exec")
    return next(c for c in module.co_consts if isinstance(c, CodeType))


def written(source: str, space: dict[str, Any], again: bool = True) -> Function:
    """Function of a source, over the names in `space`; `again` if the source may come again."""
    return function_of(_code(source) if again else code_of(source), space)


def code_of(source: str) -> CodeType:
    """Code of the function of a source."""
    return _compiled(source, _LIST)


def function_of(code: CodeType, space: dict[str, Any]) -> Function:
    """Function of a code, over the names in `space`."""
    space |= {"__builtins__": builtins, "__name__": __name__}  # warnings look for these
    function = space[code.co_name] = FunctionType(code, space)
    return function


def _source(primitive: Any, arity: int) -> str:
    """Source of the function that applies such a primitive to so many operands."""
    params, pair = primitive.params, primitive.pair
    names = _listed("x{}", arity)
    values = _listed("v{}", arity)
    keywords = "".join(f", {p}={p}" for p in params)
    packed = "{" + ", ".join(f"{p!r}: {p}" for p in params) + "}" if params else "none"
    otherwise = f"return bind(primitive, ({names},), {packed})"
    variables = _listed("x{0}.var if type(x{0}) is Tracer else None", arity)
    if arity == 1:
        variables = "x1.var"
    types = [f"t{i}" for i in range(1, arity + 1)] if arity > 1 else ["t"]
    traced = " or ".join(f"{t} is Tracer" for t in types)
    lines = [
        f"def call({', '.join([names, '/', *params])}):",
        *(f"    {t} = type(x{i})" for i, t in enumerate(types, 1)),
        "    trace = none",
        f"    if {traced}:",
        *(_below(arity) if primitive.results == 1 else ["        if True:"]),
        f"            {otherwise}",
        *(f"        {t} = type(v{i})" for i, t in enumerate(types, 1)),
        "    else:",
        *(f"        v{i} = x{i}" for i in range(1, arity + 1)),
        *(["    t = t1"] if arity > 1 else []),
    ]
    for i in range(2, arity + 1):  # raw arrays of one type, with Python's scalars among them
        lines += [
            f"    if t{i} is not t and t{i} not in SCALARS:",
            "        if t not in SCALARS:",
            f"            {otherwise}",
            f"        t = t{i}",
        ]
    promotes = primitive.elementwise and arity > 1
    if promotes and arity == 2:
        lines += [
            "    if t1 is not t2 and t is ndarray:",
            "        if (v2 if t1 in SCALARS else v1).dtype.num > 255:",
            "            v1, v2 = weak(v1, v2)",
        ]
    elif promotes:
        floats = _listed("t{} is float", arity, " or ")
        lines += [f"    if ({floats}) and t is ndarray:", f"        {values} = weak({values})"]
    appended = [
        f"    variables = ({variables},)",
        f"    params = {packed}",
        *locate(2 if primitive.wrapped else 1),
        *append(PAIR_ENTRY, primitive),
    ]
    if pair and pair.fwd:
        lines += [
            "    if trace is not none and not live.staging:",
            f"        out, kept = fwd({values}{keywords})",
            *["    " + line for line in appended],
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
        lines += ["    kept = out", *appended]
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


# Recording, in the source of more than one function ----------------------------------------------

PAIR_ENTRY: Final = (
    "(primitive, variables, params, var, pull, None, kept, None, code, frame.f_lasti)"
)


def locate(depth: int) -> list[str]:
    """Lines that find the user's code.

    Most often it lies `depth` frames up: past the functions written for the primitive, and a public
    function around them.
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


def append(entry: str, primitive: Any) -> list[str]:
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
        *(hang(primitive) if primitive.view else ["    new.view = new.family = None"]),
        "    return new",
    ]


def hang(primitive: Any) -> list[str]:
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


RECORDING: Final = {
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
