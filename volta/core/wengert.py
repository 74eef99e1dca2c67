"""The Wengert list: the one intermediate representation, and its reverse sweep.

Entries are in the order of execution. Under `vjp` an entry also keeps what its derivative rules
read; under staging a list knows the types of its variables and can be printed and run.
"""

from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from volta.core.primitive import Partial, Plan, Primitive
from volta.core.trace import ops, source_line
from volta.core.types import SCALARS, ArrayType, as_dtype

__all__ = [
    "Entry",
    "Literal",
    "Recorded",
    "WengertList",
    "cast_back",
    "fit",
    "scale",
    "sweep",
    "unbroadcast",
    "weigh",
]


class Literal(NamedTuple):
    """A Python number among the operands of a staged entry."""

    value: Any


class Entry(NamedTuple):
    """One line of a list: ``result = primitive(operands; params)``.

    Variables are ints from 1; `result` is a tuple of them where an operation has several results.
    An operand is a variable, a `Literal`, or None for a constant of no interest to the sweep. What
    follows `result` serves the sweep, and is empty in a staged list: the plan (None for a
    `Pair`), the result kept, what is saved of the operands (or a pair's residuals), and the types
    of operands that were broadcast or promoted.
    """

    primitive: Primitive
    operands: Sequence[Any]
    params: dict[str, Any]
    result: int | tuple[int, ...]
    plan: Plan | None
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
    Plan | None,
    Any,  # out
    Any,  # saved
    dict[int, ArrayType] | None,
    CodeType | None,
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


# Driving the derivative entries ---------------------------------------------------------------


def scale(t: Any, step: Partial, partial: Any, masked: bool) -> tuple[Any, bool]:
    """``t · ∂``, and whether its zeros mask what follows; a boolean ∂ selects.

    Where `masked`, an infinite or NaN ∂ counts as zero wherever t is zero, and t wherever ∂ is:
    forward mode over a sweep has the masked cotangent for ∂ and what it masks for t. The factor,
    not the product, is replaced, so that the derivative of t survives: this holds to any order.
    """
    if step.choice:
        chosen, shared = partial
        where = ops.where
        if type(t) is type(chosen) is type(shared):
            where = where.primitive.kernels.get(type(t), where)
        t = where(chosen, t, 0)
        return where(shared, t / 2, t), True
    if type(partial) not in SCALARS:
        if as_dtype(partial.dtype).kind == "bool":
            return ops.where(partial, t, 0), True
        if masked:
            safe = ops.logical_or(ops.isfinite(partial), ops.not_equal(t, 0))
            finite = ops.logical_or(ops.isfinite(t), ops.not_equal(partial, 0))
            partial, t = ops.where(safe, partial, 0), ops.where(finite, t, 0)
    return ops.multiply(t, partial), masked


def weigh(t: Any, weight: Any) -> Any:
    """``t · weight`` for the weight of a choice: where it is 0, t is not looked at."""
    return ops.multiply(ops.where(ops.not_equal(weight, 0), t, 0), weight)


def fit(ct: Any, target: Any) -> Any:
    """Undo broadcasting and promotion: the cotangent of an operand from that of its broadcast.

    `target` is the operand or its type.
    """
    return cast_back(unbroadcast(ct, target.shape), target.dtype)


def unbroadcast(ct: Any, shape: Any) -> Any:
    """Sum a cotangent over the axes that an operand of `shape` was broadcast along."""
    have = ct.shape
    if have == shape:
        return ct
    have, shape = tuple(have), tuple(shape)
    lead = len(have) - len(shape)
    axes = tuple([i for i, n in enumerate(have) if i < lead or (shape[i - lead] == 1 != n)])
    if axes:
        ct = ops.sum(ct, axis=axes, keepdims=not lead)
    return ops.reshape(ct, shape) if lead else ct


def cast_back(ct: Any, dtype: Any) -> Any:
    """Undo promotion: the cotangent of an operand of `dtype`."""
    got, dtype = as_dtype(ct.dtype), as_dtype(dtype)
    if got is dtype:
        return ct
    if got.kind == "complex" and dtype.kind == "float":
        ct = ops.real(ct)
    return ops.astype(ct, dtype, copy=False)


def sweep(entries: list[Recorded], cts: dict[int, Any], *, consume: bool) -> dict[int, Any]:
    """Carry cotangents back through `entries`; `cts` ends up with those of the inputs.

    Runs the rules through the op set, so that outer transforms see it. With `consume` the list
    is emptied on the way, and what its entries kept is freed.
    """
    masked: set[int] = set()
    add = ops.add
    products = ops.multiply.primitive.kernels  # raw arrays of one type skip the public function
    with np.errstate(all="ignore"):  # an infinite derivative is an answer, not an accident
        left = entries if consume else entries.copy()
        while left:
            primitive, operands, params, result, plan, out, saved, fits, _, _ = left.pop()
            ct = cts.pop(result, None)
            hidden = result in masked
            if ct is None:
                if type(result) is int:
                    continue
                ct = tuple([cts.pop(r, None) for r in result])
                if all(c is None for c in ct):
                    continue
                hidden = not masked.isdisjoint(result)
            if plan is None or plan.variadic:  # one rule answers for all operands
                if plan is None:
                    pair: Any = primitive.pair
                    pulled = pair.bwd(saved, ct, operands, **params)
                else:
                    pulled = plan.steps[0][1](ct, operands, *saved, **params)
                if fits is not None:
                    pulled = [fit(c, fits[i]) if i in fits else c for i, c in enumerate(pulled)]
                for i, var in enumerate(operands):
                    c = pulled[i]
                    if var is not None and c is not None:
                        cts[var] = add(cts[var], c) if var in cts else c
                        if hidden or primitive.masks:
                            masked.add(var)
                continue
            bare = plan.bare
            for i, rule, takes_params, partial, step in plan.steps:
                hides = hidden
                first = out if partial else ct
                if rule is None:
                    step.refuse(primitive.name, "reverse")
                elif takes_params:
                    c = rule(first, saved, **params) if bare else rule(first, *saved, **params)
                elif bare:
                    c = rule(first, saved)
                elif not saved:
                    c = rule(first)
                else:
                    c = rule(first, *saved)
                if partial:
                    kernel = None if hidden or step.choice else products.get(type(c))
                    # of one type and dtype, so ∂ is no mask: most often the kernel will do
                    if kernel is not None and type(ct) is type(c) and c.dtype is ct.dtype:
                        c = kernel(ct, c)
                    else:
                        c, hides = scale(ct, step, c, hidden)
                if fits is not None and i in fits:
                    c = fit(c, fits[i])
                var = operands[i]
                cts[var] = add(cts[var], c) if var in cts else c
                if hides or plan.masks:
                    masked.add(var)
    return cts
