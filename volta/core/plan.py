"""Plans: what differentiation with respect to given operands needs, found once and cached.

A plan is two functions written for its primitive, so that an entry of a small array costs little
more than its kernels: ``record`` appends an entry to a trace's list, and ``pull``, which the entry
holds, carries the cotangent of its result to its operands.

In the sources below ``x1`` is the first operand, ``v1`` its value below the trace, ``s0`` what is
kept of it and ``c`` its cotangent.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any, Final

from volta.core.call import PAIR_ENTRY, RECORDING, append, hang, locate, shape_of, written
from volta.core.derivatives import ZERO, Joint, Linear, Missing, Partial, Variadic, fit, scale
from volta.core.trace import NOWHERE, ops, user_frame
from volta.core.tracer import Tracer
from volta.core.types import typeof

__all__ = ["Plan", "carried_puller", "pair_puller", "pair_recorder", "record_many"]

Function = Callable[..., Any]

VALUE, TYPE, SHAPE = range(3)  # what of an operand is kept
_KEPT: Final = ("v{0}", "typeof(v{0})", "(s if type(s := v{0}.shape) is tuple else tuple(s))")


class Plan:
    """How an operation is recorded, and its derivative taken, in given operands.

    Attributes
    ----------
    steps : tuple of (int, entry)
        Operands with a derivative, and its entry.
    joint : tuple of int
        Operands in which the operation is linear together.
    masks : bool
        As the primitive's.
    saved : dict of int to int
        Operands of which something is kept, and what: `VALUE`, `TYPE` or `SHAPE`.
    keep_out : bool
        Whether the result is kept.
    record : callable
        ``record(trace, x1, …, v1, …, out, params)`` appends an entry and returns tracers of the
        results.
    """

    __slots__ = ("joint", "keep_out", "masks", "record", "saved", "steps")

    record: Function

    def __init__(self, primitive: Any, mask: int, arity: int) -> None:
        entries = primitive.entries(arity)
        self.steps = tuple((i, e) for i, e in enumerate(entries) if mask >> i & 1 and e is not ZERO)
        self.joint = tuple(i for i, e in enumerate(entries) if isinstance(e, Joint | Variadic))
        self.masks = primitive.masks
        self.keep_out = any(e.keeps_out for _, e in self.steps)
        self.saved = _saved(self.steps, self.joint, arity)

        def first(*args: Any) -> Any:
            self.record = _recorder(self, primitive, mask, arity)
            return self.record(*args)

        self.record = first  # written when needed


def _saved(steps: Any, joint: tuple[int, ...], arity: int) -> dict[int, int]:
    """What rules read of each operand, and no more."""
    rules = [(i, e) for i, e in steps if type(e) is not Missing]
    if any(type(e) is Variadic for _, e in rules):
        return dict.fromkeys(range(rules[-1][0] + 1), SHAPE)
    whole = {k for _, e in rules for k in e.reads(arity) if k not in e.shapes}
    # an operand's own linear rule wants its type; another rule may want its value as well
    by_type = set(joint) | {
        i
        for i, e in rules
        if type(e) is Linear and not any(j != i and i in other.keeps for j, other in rules)
    }
    wanted = whole.union(*(e.shapes for _, e in rules))
    return {i: SHAPE if i not in whole else TYPE if i in by_type else VALUE for i in sorted(wanted)}


# Recording --------------------------------------------------------------------------------------


def _recorder(plan: Plan, primitive: Any, mask: int, arity: int) -> Function:
    kept = [_KEPT[what].format(i + 1) for i, what in plan.saved.items()]
    variables = [f"x{i + 1}.var" if mask >> i & 1 else "None" for i in range(arity)]
    fits = _fits(primitive, plan)
    operands = [f"x{i}" for i in range(1, arity + 1)] + [f"v{i}" for i in range(1, arity + 1)]
    head = f"def record(trace, {', '.join(operands)}, out, params):"
    space = {**RECORDING, "primitive": primitive}
    if plan.steps:
        space["pull"] = _puller(plan, primitive, arity)
        out = "out" if plan.keep_out else None
        saved = None if not kept else kept[0] if len(kept) == 1 else f"({', '.join(kept)})"
        body = [
            *fits,
            *locate(3 if primitive.wrapped else 2),
            *append(
                f"(primitive, ({', '.join(variables)},), params, var, pull, {out}, {saved}, "
                f"{'fits' if fits else None}, code, frame.f_lasti)",
                primitive,
            ),
        ]
    elif primitive.view and primitive.results == 1:
        body = ["    new = copied(constant(out))", *hang(primitive), "    return new"]
    elif primitive.results == 1:
        body = ["    return constant(out)"]
    else:
        body = ["    return tuple(map(constant, out))"]
    return written("\n".join([head, *body]) + "\n", space)


def record_many(
    trace: Any, primitive: Any, operands: Any, values: Any, out: Any, params: dict[str, Any]
) -> Any:
    """Record a `Variadic` of so many operands that nothing is written for it."""
    dtype = out.dtype
    fits = {i: typeof(v) for i, v in enumerate(values) if operands[i] and v.dtype != dtype}
    frame = user_frame(sys._getframe(1)) or NOWHERE
    var = trace.fresh()
    saved = [shape_of(v) for v in values]
    pull = functools.partial(_pull_many, primitive)
    at = (frame.f_code, frame.f_lasti)
    trace.append((primitive, operands, params, var, pull, None, saved, fits or None, *at))
    return Tracer(trace, var, out)


def pair_recorder(primitive: Any) -> Function:
    """Write ``record(trace, variables, out, kept, params)`` for a `Pair`."""
    lines = [
        "def record(trace, variables, out, kept, params):",
        *locate(3 if primitive.wrapped else 2),
        *append(PAIR_ENTRY, primitive),
    ]
    space = {**RECORDING, "primitive": primitive, "pull": primitive.pull_pair}
    return written("\n".join(lines) + "\n", space)


def _fits(primitive: Any, plan: Plan) -> list[str]:
    """Lines that find the types of operands that were broadcast or promoted."""
    if not primitive.promotes:
        return []
    lines = ["    dtype = out.dtype", "    fits = None"]
    spread = ""
    if primitive.elementwise:
        lines.append("    shape = out.shape")
        spread = "{0}.shape != shape or "
    for i, _ in plan.steps:
        test = spread + "({0}.dtype is not dtype and {0}.dtype != dtype)"
        lines += [
            f"    if {test.format(f'v{i + 1}')}:",
            f"        fits = {{**(fits or {{}}), {i}: typeof(v{i + 1})}}",
        ]
    return lines


# Pulling back -----------------------------------------------------------------------------------

_PULL: Final = "def pull(cts, masked, ct, hidden, operands, params, out, saved, fits):"


def _puller(plan: Plan, primitive: Any, arity: int) -> Function:
    """Write the function that adds to `cts` the cotangents of operands, given a result's `ct`.

    `hidden` says whether the zeros of `ct` are masked, and the set `masked` which variables' are.
    """
    names = ", ".join(f"s{i}" for i in plan.saved)
    lines = [_PULL]
    if plan.saved:
        lines.append(f"    {names} = saved")
    space = {"fit": fit, "ops": ops, "scale": scale, "shape_of": shape_of}
    place = 0
    for i, entry in plan.steps:
        hides = "hidden"
        if type(entry) is Variadic:
            space["rule"] = entry.rule
            for j in range(place, i + 1):
                which = f"{j == i}, {'place' if j else 0}, s{j}{_keywords(primitive)}"
                lines.append(f"    c, place = rule(ct, {which})")
            place = i + 1
        elif type(entry) is Missing:
            space[f"entry{i}"], space["name"] = entry, primitive.name
            lines.append(f"    raise entry{i}.refusal(name, 'reverse')")
            continue
        else:
            space[f"rule{i}"], space[f"entry{i}"] = entry.rule, entry
            read = "".join(f", {a}" for a in _arguments(entry, plan.saved, arity))
            keywords = _keywords(primitive) if entry.takes_params else ""
            first = "out" if type(entry) is Partial else "ct"
            lines.append(f"    c = rule{i}({first}{read}{keywords})")
        if type(entry) is Partial:
            hides = "hides"
            lines += _scaled(i, entry)
            space["products"] = ops.multiply.primitive.kernels
        if primitive.promotes:
            lines += [f"    if fits is not None and {i} in fits:", f"        c = fit(c, fits[{i}])"]
        lines += [
            f"    var = operands[{i}]",
            "    cts[var] = ops.add(cts[var], c) if var in cts else c",
            *(["    masked.add(var)"] if plan.masks else _if(hides, "masked.add(var)")),
        ]
    return written("\n".join(lines) + "\n", space)


def _if(condition: str, statement: str) -> list[str]:
    return [f"    if {condition}:", f"        {statement}"]


def _keywords(primitive: Any) -> str:
    if primitive.params is None:
        return ", **params"
    return "".join(f", {p}=params[{p!r}]" for p in primitive.params)


def _arguments(entry: Any, saved: dict[int, int], arity: int) -> list[str]:
    """What a rule takes after its first argument."""
    reads = entry.reads(arity)
    taken = []
    for i in range(arity if entry.takes is None else entry.takes):
        if i not in reads:
            taken.append("None")
        elif i in entry.shapes and saved[i] != SHAPE:
            taken.append(f"shape_of(s{i})")
        else:
            taken.append(f"s{i}")
    return taken


def _scaled(i: int, entry: Partial) -> list[str]:
    """Lines that multiply the cotangent by ∂, which is ``c``."""
    if entry.choice:
        return [f"    c, hides = scale(ct, entry{i}, c, hidden)"]
    return [
        "    kernel = None if hidden else products.get(type(c))",
        # of one type and dtype, so ∂ is no mask: most often the kernel will do
        "    if kernel is not None and type(ct) is type(c) and c.dtype is ct.dtype:",
        "        c = kernel(ct, c)",
        "        hides = False",
        "    else:",
        f"        c, hides = scale(ct, entry{i}, c, hidden)",
    ]


def pair_puller(primitive: Any) -> Function:
    """Write ``pull`` for a `Pair`."""
    lines = [_PULL, f"    parts = bwd(saved, ct, operands{_keywords(primitive)})"]
    if primitive.arity is None:
        lines += ["    collect(cts, masked, hidden or masks, operands, parts)"]
    for i in range(primitive.arity or 0):
        lines += [
            f"    var = operands[{i}]",
            f"    c = parts[{i}]",
            "    if var is not None and c is not None:",
            "        cts[var] = ops.add(cts[var], c) if var in cts else c",
            "        if hidden or masks:",
            "            masked.add(var)",
        ]
    space = {"bwd": primitive.pair.bwd, "collect": _collect, "masks": primitive.masks, "ops": ops}
    return written("\n".join(lines) + "\n", space)


def carried_puller(primitive: Any) -> Function:
    """Make ``pull`` for a `Carried`."""
    bwd = primitive.pair.bwd

    def pull(
        cts: dict[int, Any],
        masked: set[int],
        ct: Any,
        hidden: bool,
        operands: Any,
        params: dict[str, Any],
        _out: None,
        saved: Any,
        _fits: None,
    ) -> None:
        parts, hides = bwd(saved, ct, operands, hidden, **params)
        _collect(cts, masked, hides, operands, parts)

    return pull


def _pull_many(
    primitive: Any,
    cts: dict[int, Any],
    masked: set[int],
    ct: Any,
    hidden: bool,
    operands: Any,
    params: dict[str, Any],
    _out: None,
    saved: Any,
    fits: Any,
) -> None:
    place = 0
    parts = []
    for i, (var, shape) in enumerate(zip(operands, saved, strict=True)):
        c, place = primitive.derivatives.rule(ct, var is not None, place, shape, **params)
        parts.append(fit(c, fits[i]) if fits is not None and i in fits else c)
    _collect(cts, masked, hidden or primitive.masks, operands, parts)


def _collect(cts: dict[int, Any], masked: set[int], hides: bool, operands: Any, parts: Any) -> None:
    for var, c in zip(operands, parts, strict=True):
        if var is not None and c is not None:
            cts[var] = ops.add(cts[var], c) if var in cts else c
            if hides:
                masked.add(var)
