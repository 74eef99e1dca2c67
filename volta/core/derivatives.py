"""Derivative entries: how an operation varies with an operand, and what its rules do not mention.

One entry for each operand:

`Partial`   the elementwise derivative ∂; the driver multiplies, so it serves both modes;
`Linear`    linear in this operand alone: the tangent goes in its slot, a transpose comes back;
`Joint`     linear in a group of operands together (add, where's branches);
`Variadic`  `Joint` for every operand of an operation that takes any number (concat);
`Pair`      rules for the whole operation, forward and reverse;
`Carried`   such rules of an operation that carries lists, which see more;
`ZERO`      no dependence to first order;
`Missing`   no rule: an error when a tangent or cotangent arrives.

A rule's parameters are the result and the operands (`Partial`) or the cotangent and the operands
(transposes). What a rule names is kept for it; a parameter whose name begins with an underscore
is not kept and arrives as None, one whose name ends in ``_shape`` arrives as that operand's shape.
Operands in which the rule is linear arrive as their types, or as arrays where another rule needs
them so: ask them for shape, ndim and dtype only.

Multiplying by ∂, and undoing what broadcasting and promotion did to an operand, is written here.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from volta.core.errors import RuleError
from volta.core.trace import ops
from volta.core.tracer import Tracer, refresh
from volta.core.types import SCALARS, as_dtype

__all__ = [
    "ZERO",
    "Carried",
    "Joint",
    "Linear",
    "Missing",
    "Pair",
    "Partial",
    "Variadic",
    "cast_back",
    "fit",
    "is_finite",
    "scale",
    "unbroadcast",
    "weigh",
]


class _Entry:
    """Derivative in one operand by one rule, and what that reads.

    Attributes
    ----------
    keeps, shapes : tuple of int
        Operands that the rule names, and those of which it wants the shape alone.
    takes : int or None
        How many operands it takes after its first parameter; None for all.
    takes_params, keeps_out : bool
        Whether it takes the parameters; whether it reads the result.
    """

    __slots__ = ("keeps", "keeps_out", "rest", "rule", "shapes", "takes", "takes_params")

    def __init__(self, rule: Callable[..., Any]) -> None:
        code = rule.__code__
        names = code.co_varnames[1 : code.co_argcount]
        self.rule = rule
        self.keeps = tuple(i for i, name in enumerate(names) if not name.startswith("_"))
        self.shapes = tuple(i for i, name in enumerate(names) if name.endswith("_shape"))
        self.takes: int | None = len(names)
        self.rest = False
        keyword = code.co_argcount + code.co_kwonlyargcount
        if code.co_flags & inspect.CO_VARARGS:
            self.takes, self.rest = None, not code.co_varnames[keyword].startswith("_")
        keywords = bool(code.co_flags & inspect.CO_VARKEYWORDS)
        self.takes_params = code.co_kwonlyargcount > 0 or keywords
        self.keeps_out = False

    def reads(self, arity: int) -> set[int]:
        """Operands, of so many, that the rule reads."""
        named = self.rule.__code__.co_argcount - 1
        return {*self.keeps, *(range(named, arity) if self.rest else ())}


class Partial(_Entry):
    """Elementwise derivative: ``rule(out, *operands) -> ∂``, a factor, or a mask that selects.

    `choice` says that the rule returns a pair of masks (`maximum`): where the operand was chosen,
    and where another was too, so that each has a half. Where it was not chosen even an infinite
    cotangent is none.
    """

    __slots__ = ("choice",)

    def __init__(self, rule: Callable[..., Any], *, choice: bool = False) -> None:
        super().__init__(rule)
        self.choice = choice
        self.keeps_out = not rule.__code__.co_varnames[0].startswith("_")


class Linear(_Entry):
    """Linear in this operand: ``transpose(ct, *operands, **params) -> ct of the operand``."""

    __slots__ = ()


class Joint(Linear):
    """Linear in this operand together with the other `Joint` ones; transpose as for `Linear`."""

    __slots__ = ()


class Variadic(Linear):
    """Linear in all operands together, of which there may be any number.

    ``transpose(ct, wanted, place, shape, **params) -> (cotangent, next place)`` is called for one
    operand after another, the first with place 0; without `wanted` the cotangent may be None.
    """

    __slots__ = ()


class Zero:
    """The derivative is zero, or the result is not differentiable by its dtype."""

    __slots__ = ()


ZERO: Final = Zero()


class Missing:
    """There is no rule, for `reason`."""

    __slots__ = ("reason",)
    keeps_out = False

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def refusal(self, name: str, mode: str) -> RuleError:
        """Error that names the operation and the reason."""
        msg = f"{name}: needs a {mode}-mode derivative rule; got none, because {self.reason}."
        return RuleError(msg)


class Pair:
    """Derivative of a whole operation.

    Parameters
    ----------
    jvp : callable
        ``jvp(primals, tangents, **params) -> (out, tangent of out)``; absent tangents are None.
    fwd : callable or None
        ``fwd(*primals, **params) -> (out, residuals)``; None where the result alone is kept.
    bwd : callable
        ``bwd(residuals, ct, needed, **params) -> cotangents``, one per operand, None where
        `needed` is; with several results `ct` is a tuple in which absent ones are None.
    """

    __slots__ = ("bwd", "fwd", "jvp")

    def __init__(
        self, jvp: Callable[..., Any], fwd: Callable[..., Any] | None, bwd: Callable[..., Any]
    ) -> None:
        self.jvp, self.fwd, self.bwd = jvp, fwd, bwd


class Carried(Pair):
    """Derivative of an operation that carries lists; its rules are told which operands vary.

    Parameters
    ----------
    jvp : callable
        ``jvp(primals, tangents, hidden, **params) -> (outs, tangents of outs, hides)``; absent
        tangents are None, and `hidden` says whether zeros of tangents hide what was not looked at.
    fwd : callable
        ``fwd(needed, *primals, **params) -> (outs, residuals)``; `needed` is None for operands
        that do not vary.
    bwd : callable
        ``bwd(residuals, cts, needed, hidden, **params) -> (cotangents, hides)``.
    """

    __slots__ = ()


# The driver -----------------------------------------------------------------------------------


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
        if masked and _finite(partial) and _finite(t):
            # there is nothing to replace, and what follows is masked all the same
            if type(partial) is Tracer:
                partial = ops.hide(partial)
            if type(t) is Tracer:
                t = ops.hide(t)
        elif masked:
            safe = ops.logical_or(ops.isfinite(partial), ops.not_equal(t, 0))
            finite = ops.logical_or(ops.isfinite(t), ops.not_equal(partial, 0))
            partial, t = ops.where(safe, partial, 0), ops.where(finite, t, 0)
    return ops.multiply(t, partial), masked


def _finite(x: Any) -> bool:
    """Whether all numbers at the bottom of `x` are known to be finite, at little cost."""
    while type(x) is Tracer:
        if x.view is not None:
            refresh(x)
        x = x.value
    if type(x) is not np.ndarray:
        return getattr(x, "is_cpu", False) and bool(x.isfinite().all())  # a tensor of torch
    return x.dtype.char in "fdFD" and is_finite(x)


def is_finite(x: Any) -> bool:
    """Whether all numbers of a NumPy array are known to be finite, at little cost."""
    flat = x.reshape(-1)
    return math.isfinite(np.vdot(flat, flat).real)  # or too large to be squared


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
