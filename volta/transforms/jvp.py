"""Forward mode: `jvp`."""

from collections.abc import Callable
from typing import Any

import numpy as np

from volta.core import tree
from volta.core.derivatives import Linear, Missing, Partial, scale
from volta.core.errors import DTypeError, ShapeError
from volta.core.keywords import suggesting
from volta.core.plan import Plan
from volta.core.primitive import Primitive
from volta.core.trace import Running, Trace, located, ops
from volta.core.tracer import (
    Tracer,
    check_foreign,
    constant,
    meeting_place,
    settled,
    unwrap_constants,
)
from volta.core.types import as_dtype, is_inexact, typeof
from volta.transforms.arguments import array_leaves, check_inexact, name_of, path_of, split_modules
from volta.transforms.vjp import _frozen, _pair_of

__all__ = ["jvp"]


class JvpTrace(Trace):
    """Carries a tangent beside each value; a tracer's var is (tangent, masked)."""

    __slots__ = ()

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Run the operation on the values and its derivative on the tangents."""
        meeting_place(args, primitive.name)
        values: list[Any] = []
        tangents: list[Any] = []
        hidden = []
        for a in args:
            if type(a) is Tracer:
                if a.trace is self:
                    values.append(a.value)
                    tangents.append(a.var[0])
                    hidden.append(a.var[1])
                    continue
                a = a.value if a.trace is None else _frozen(a)
            values.append(a)
            tangents.append(None)
            hidden.append(False)
        if primitive.carries:
            rule = primitive.pair.jvp
            with np.errstate(all="ignore"):  # as in the reverse sweep
                out, t, masked = rule(tuple(values), tuple(tangents), any(hidden), **params)
            check_foreign(self, primitive, params, (out, t))
        elif primitive.pair is not None:
            with np.errstate(all="ignore"):
                out, t = primitive.pair.jvp(tuple(values), tuple(tangents), **params)
            masked = primitive.masks or any(hidden)
        else:
            out = primitive(*values, **params)
            mask = sum(1 << i for i, t in enumerate(tangents) if t is not None)
            plan = primitive.plan(mask + (1 << len(args)))
            if not plan.steps:
                return constant(out) if primitive.results == 1 else tuple(map(constant, out))
            with np.errstate(all="ignore"):
                t, masked = _push(primitive, plan, params, out, values, tangents, hidden)
        if primitive.results == 1:
            return Tracer(self, (t, masked), out)
        return tuple(
            constant(o)
            if ti is None or not is_inexact(as_dtype(o.dtype))
            else Tracer(self, (ti, masked), o)
            for o, ti in zip(out, t, strict=True)
        )


def _push(
    primitive: Primitive,
    plan: Plan,
    params: dict[str, Any],
    out: Any,
    values: list[Any],
    tangents: list[Any],
    hidden: list[bool],
) -> tuple[Any, bool]:
    """Tangent of the result, and whether its zeros are masked."""
    total: Any = None
    masked = plan.masks or any(hidden)
    grouped = False
    for i, step in plan.steps:
        if type(step) is Partial:
            slope = step.rule(out, *values[: step.takes])
            term, hides = scale(tangents[i], step, slope, hidden[i])
            masked = masked or hides
        elif type(step) is Linear:
            term = primitive(*values[:i], tangents[i], *values[i + 1 :], **params)
        elif type(step) is Missing:
            raise located(step.refusal(primitive.name, "forward"))
        elif not grouped and primitive.elementwise and _alone(plan, tangents):
            term = step.rule(tangents[i], *values[: step.takes])  # diagonal, so its own transpose
        elif not grouped:
            grouped = True
            term = primitive(
                *[_member(primitive, plan, j, v, tangents[j]) for j, v in enumerate(values)],
                **params,
            )
        else:
            continue
        if primitive.results != 1:
            total = term if total is None else tuple(map(ops.add, total, term))
        else:
            total = term if total is None else ops.add(total, term)
    if primitive.elementwise:
        if total.shape != out.shape:
            total = ops.broadcast_to(total, out.shape)
        if total.dtype != out.dtype:
            total = ops.astype(total, out.dtype)
    return total, masked


def _alone(plan: Plan, tangents: list[Any]) -> bool:
    """Whether one operand alone has a tangent of those that an operation is linear in together."""
    return len([j for j in plan.joint if tangents[j] is not None]) == 1


def _member(primitive: Primitive, plan: Plan, j: int, value: Any, tangent: Any) -> Any:
    if tangent is not None or j not in plan.joint:
        return value if tangent is None else tangent
    return 0 if primitive.elementwise else ops.zeros_like(value)


@suggesting
def jvp(fun: Callable[..., Any], primals: Any, tangents: Any, has_aux: bool = False) -> Any:
    """Evaluate `fun` and push tangents forward through it.

    Parameters
    ----------
    fun : callable
        Function of trees of arrays, returning a tree of arrays.
    primals : tuple or list of tree
        Point of evaluation.
    tangents : tuple or list of tree
        Directions, of the structure, shapes and dtypes of `primals`.
    has_aux : bool
        Whether `fun` returns a pair ``(out, aux)``.

    Returns
    -------
    out : tree
        ``fun(*primals)``.
    tangent_out : tree
        ``Σ ∂out/∂primal · tangent``, of the structure and type of `out`.
    aux : tree
        Only with `has_aux`.

    Raises
    ------
    TypeError
        If `primals` or `tangents` is no tuple or list.
    ShapeError
        If a tangent's structure or shape is not its primal's.
    DTypeError
        If a primal is not floating, or a tangent's dtype is not its primal's.

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> volta.jvp(F.sin, (np.asarray(0.0),), (np.asarray(2.0),))
    (array(0.), array(2.))
    """
    where = f"jvp({name_of(fun)})"
    for given, name in ((primals, "primals"), (tangents, "tangents")):
        if not isinstance(given, tuple | list):
            msg = f"{where}: {name} must be a tuple or list; got {type(given).__name__}."
            raise located(TypeError(msg))
    split = [split_modules(p) for p in primals]
    leaves, spec = array_leaves(tuple(p for p, _ in split), where)
    directions, t_spec = array_leaves(tuple(split_modules(t)[0] for t in tangents), where)
    if spec != t_spec:
        msg = f"{where}: tangents must have the structure of primals; got {t_spec} and {spec}."
        raise ShapeError(msg)
    for i, (x, t) in enumerate(zip(leaves, directions, strict=True)):
        check_inexact(x, spec, i, where, holomorphic=False, allow_int=False)
        kind, got = typeof(x), typeof(t)
        if kind.shape != got.shape:
            msg = (
                f"{where}: a tangent must have its primal's shape; got {got.shape} and "
                f"{kind.shape} at {path_of(spec, i)}. Start from functional.zeros_like of it."
            )
            raise ShapeError(msg)
        if kind.dtype is not got.dtype:
            msg = (
                f"{where}: a tangent must have its primal's dtype; got {got.dtype.name} and "
                f"{kind.dtype.name} at {path_of(spec, i)}. Convert it with functional.astype."
            )
            raise DTypeError(msg)
    trace = JvpTrace("jvp", fun)
    inputs = [
        Tracer(trace, (_frozen(t), False), _frozen(x))
        for x, t in zip(leaves, directions, strict=True)
    ]
    with Running(trace):
        args = tree.unflatten(spec, inputs)
        result = settled(fun(*[join(a) for (_, join), a in zip(split, args, strict=True)]))
        aux = None
        if has_aux:
            result, aux = _pair_of(result, where)
    outputs, out_spec = tree.flatten(result)
    read = [_value_and_tangent(trace, o) for o in outputs]
    out = tree.unflatten(out_spec, [v for v, _ in read])
    tangent_out = tree.unflatten(out_spec, [t for _, t in read])
    if has_aux:
        return out, tangent_out, tree.map(lambda leaf: _value_and_tangent(trace, leaf)[0], aux)
    return out, tangent_out


def _value_and_tangent(trace: JvpTrace, leaf: Any) -> tuple[Any, Any]:
    if type(leaf) is Tracer and leaf.trace is trace:
        return leaf.value, unwrap_constants(leaf.var[0])
    value = unwrap_constants(leaf)
    return value, ops.zeros_like(value) if hasattr(value, "dtype") else type(value)(0)
