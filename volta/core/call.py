"""Functions written for one primitive: to apply it, and to record that it was applied.

An operation on small arrays costs little more than Python's passing of arguments, so each primitive
has a function of its own, generated from its type rule's signature: no loop over the operands, no
packing of parameters but for an entry that keeps them. It serves raw arrays of one library and
operands of one recording trace; everything else goes to `bind`. What an entry of a recording keeps
is found in a `Plan`, for which likewise a function is written.

In the sources below ``x1`` is the first operand, ``t1`` its type and ``v1`` its value, which is that
below the trace if there is one.
"""

import functools
import linecache
import os
import sys
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any, Final

import numpy as np

from volta.core.trace import INSIDE, NOWHERE, OUTSIDE, live, user_frame
from volta.core.tracer import Tracer, bind, constant, family_of, refresh
from volta.core.types import SCALARS, typeof

__all__ = ["as_result", "caller", "recorder", "shape_of"]

Function = Callable[..., Any]

_MOST: Final = 8  # operands of an operation that takes any number and still has such a function
_NONE: Final[dict[str, Any]] = {}  # the parameters of every operation without any
_FOLDER: Final = os.path.dirname(os.path.abspath(__file__))  # so that these lines are Volta's own


def as_result(out: Any) -> Any:
    """Result of a kernel; NumPy returns scalars for rank 0, Volta arrays."""
    return np.asarray(out) if isinstance(out, np.generic) else out


def caller(primitive: Any) -> Function:
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
        if not 0 < arity <= _MOST:
            primitive = self.primitive
            return lambda *operands, **params: bind(primitive, operands, params)
        found = self[arity] = _written(self.primitive, arity)
        return found


def _written(primitive: Any, arity: int) -> Function:
    source = _source(arity, primitive.params, primitive.results == 1, primitive.pair)
    space = {
        "SCALARS": SCALARS,
        "Tracer": Tracer,
        "as_result": as_result,
        "bind": bind,
        "fwd": primitive.pair and primitive.pair.fwd,
        "kernels": primitive.kernels,
        "live": live,
        "none": _NONE,
        "plans": primitive.plans,
        "primitive": primitive,
        "refresh": refresh,
    }
    return _function(source, space)


@functools.cache
def _code(source: str) -> CodeType:
    name = os.path.join(_FOLDER, f"<{source.partition(':')[0].removeprefix('def ')}>")
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    module = compile(source, name, "exec")
    return next(c for c in module.co_consts if isinstance(c, CodeType))


def _function(source: str, space: dict[str, Any]) -> Function:
    code = _code(source)
    function = space[code.co_name] = FunctionType(code, space)
    return function


def _source(arity: int, params: tuple[str, ...], single: bool, pair: Any) -> str:
    some = range(1, arity + 1)
    names = ", ".join(f"x{i}" for i in some)
    values = ", ".join(f"v{i}" for i in some)
    given = "".join(f", {p}={p}" for p in params)
    packed = "{" + ", ".join(f"{p!r}: {p}" for p in params) + "}" if params else "none"
    rest = f"return bind(primitive, ({names},), {packed})"
    lines = [f"def call({', '.join([names, '/', *['*'][: len(params)], *params])}):"]
    lines += [f"    t{i} = type(x{i})" for i in some]
    lines += ["    trace = none", f"    if {' or '.join(f't{i} is Tracer' for i in some)}:"]
    if not single:
        lines += [f"        {rest}"]
    else:
        lines += _below_one() if arity == 1 else _below(arity)
        lines += [f"            {rest}"]
    lines += ["    else:", f"        {' = '.join(f'v{i}' for i in some)} = x1"] if arity == 1 else [
        "    else:",
        f"        {values} = {names}",
    ]
    if arity == 1:
        lines += ["    t = type(v1)"]
    else:
        lines += ["    t = type(v1)"]
        for i in some[1:]:
            lines += [
                f"    if type(v{i}) is not t and type(v{i}) not in SCALARS:",
                "        if t not in SCALARS:",
                f"            {rest}",
                f"        t = type(v{i})",
            ]
    if pair and single:
        variables = ", ".join(f"x{i}.var if t{i} is Tracer else None" for i in some)
        lines += [
            "    if trace is not none:",
            f"        out, kept = fwd({values}{given})",
            f"        return trace.record_pair(primitive, ({variables},), out, kept, {packed})",
        ]
    lines += [
        "    kernel = kernels.get(t)",
        "    if kernel is None or live.staging:",
        "        if trace is none or live.staging:",
        f"            {rest}",
        f"        out = call({values}{given})",
        "    else:",
        "        try:",
        f"            out = kernel({values}{given})",
        "        except Exception as error:",
        f"            raise primitive.explain(error, ({values},), {packed}) from error",
        "        if type(out) is not t:",
        "            out = as_result(out)",
    ]
    if single and not pair:
        mask = [f"({1 << (i - 1)} if t{i} is Tracer else 0)" for i in some]
        key = " + ".join([str(1 << arity), *mask]) if arity > 1 else "3"
        lines += [
            "    if trace is not none:",
            f"        plan = plans.get({key}) or primitive.plan({key})",
            f"        return plan.record(trace, {names}, {values}, out, {packed})",
        ]
    lines += ["    return out"]
    return "\n".join(lines) + "\n"


def _below_one() -> list[str]:
    return [
        "        if x1.view is not None:",
        "            refresh(x1)",
        "        trace = x1.trace",
        "        v1 = x1.value",
        "        if trace is None or not trace.records:",
    ]


def _below(arity: int) -> list[str]:
    """Lines that find the trace and the values below it, and whether all are of that one trace."""
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


def recorder(plan: Any, primitive: Any, mask: int, arity: int) -> Function:
    """Function that appends an entry for operands `mask` to a trace's list.

    ``record(trace, x1, …, v1, …, out, params)`` returns tracers of the results.
    """
    some = range(1, arity + 1)
    names = ", ".join(f"x{i}" for i in some)
    values = ", ".join(f"v{i}" for i in some)
    variables = ", ".join(f"x{i}.var" if mask >> (i - 1) & 1 else "None" for i in some)
    saved = ["None"] * plan.width
    for i, what in plan.saved:
        saved[i] = ("v{}", "typeof(v{})", "shape_of(v{})")[what].format(i + 1)
    kept = saved[0] if plan.bare else f"({''.join(f'{part}, ' for part in saved)})"
    lines = [f"def record(trace, {names}, {values}, out, params):"]
    fits = "None"
    if primitive.promotes:
        fits = "fits"
        lines += ["    shape = out.shape", "    dtype = out.dtype", "    fits = None"]
        spread = "{0}.shape != shape or " if primitive.elementwise else ""
        differs = f"    if {spread}({{0}}.dtype is not dtype and {{0}}.dtype != dtype):"
        for i in plan.active:
            v = f"v{i + 1}"
            lines += [
                differs.format(v),
                f"        fits = {{**(fits or {{}}), {i}: typeof({v})}}",
            ]
    lines += [
        "    frame = getframe(2)",  # past this function and the one that applied the primitive
        "    while frame.f_code.co_filename in inside:",
        "        frame = frame.f_back or nowhere",
        "    code = frame.f_code",
        "    if code.co_filename not in outside:",
        "        frame = user_frame(frame) or nowhere",
        "        code = frame.f_code",
    ]
    out = "out" if plan.keep_out else "None"
    entry = f"params, {{}}, plan, {out}, {kept}, {fits}, code, frame.f_lasti"
    entry = f"(primitive, ({variables},), {entry})"
    if primitive.results == 1:
        lines += [
            "    var = trace.fresh()",
            f"    trace.entries.append({entry.format('var')})",
            "    new = make(Tracer)",  # without the cost of a call of __init__
            "    new.trace = trace",
            "    new.var = var",
            "    new.value = out",
            *(_hang(primitive) if primitive.view else ["    new.view = new.family = None"]),
            "    return new",
        ]
    else:
        lines += [
            "    variables = tuple([trace.fresh() for _ in out])",
            f"    trace.entries.append({entry.format('variables')})",
            "    return trace.several(variables, out)",
        ]
    if not plan.steps:
        lines[1:] = ["    return " + ("constant(out)" if primitive.results == 1 else "tuple(map(constant, out))")]
    space = {
        "Tracer": Tracer,
        "constant": constant,
        "family_of": family_of,
        "getframe": sys._getframe,
        "inside": INSIDE,
        "make": object.__new__,
        "nowhere": NOWHERE,
        "outside": OUTSIDE,
        "plan": plan,
        "primitive": primitive,
        "shape_of": shape_of,
        "typeof": typeof,
        "user_frame": user_frame,
    }
    return _function("\n".join(lines) + "\n", space)


def _hang(primitive: Any) -> list[str]:
    """Lines that note, as `link` does, that the result is a view of the first operand."""
    lines = ["    family = x1.family or family_of(x1)"]
    if primitive.name != "basic_slice":
        return [*lines, "    new.family = family", f"    new.view = (family.version, {primitive.name!r})"]
    return [
        *lines,
        "    view = x1.view",
        "    root = x1 if view is None or len(view) != 4 else view[3]",
        "    new.family = None",
        "    new.view = (family.version, x1, params['key'], root)",
    ]


def shape_of(x: Any) -> tuple[int, ...]:
    """Shape of an array as a plain tuple."""
    shape = x.shape
    return shape if type(shape) is tuple else tuple(shape)
