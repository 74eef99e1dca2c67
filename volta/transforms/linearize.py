"""Derivatives as linear functions, and their transposes: `linearize`, `linear_transpose`."""

from collections.abc import Callable
from typing import Any

import numpy as np

from volta.core import tree
from volta.core.errors import DTypeError, RuleError, ShapeError
from volta.core.keywords import suggesting
from volta.core.primitive import Primitive
from volta.core.trace import Running, ops
from volta.core.tracer import Tracer, constant, settled, unwrap_constants
from volta.core.types import SCALARS, ArrayType, is_inexact, typeof
from volta.core.wengert import NO, operands_of
from volta.transforms.arguments import array_leaves, check_inexact, name_of, path_of, split_modules
from volta.transforms.eval_shape import like_leaves
from volta.transforms.jvp import JvpTrace
from volta.transforms.lists import Split, depends, hoisted, split, stage, zeros_of
from volta.transforms.trace import StageTrace
from volta.transforms.vjp import _frozen, _pair_of

__all__ = ["linear_transpose", "linearize"]


class LinearizeTrace(JvpTrace):
    """Forward mode whose tangents belong to a list, `stager`, and whose values do not."""

    __slots__ = ("stager",)

    def __init__(self, fun: Any, stager: StageTrace) -> None:
        super().__init__("linearize", fun)
        self.stager = stager

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Run the operation on the values; its derivative on the tangents goes to the list."""
        out = super().process(primitive, args, params)
        if not primitive.carries or not any(map(self._staged, out)):
            return out
        # one loop computes both, and is in the list
        own = (self, None)
        below = [a.value if type(a) is Tracer and a.trace in own else a for a in args]
        values = primitive(*below, **params)
        return tuple(
            Tracer(self, o.var, v) if o.trace is self else constant(v)
            for o, v in zip(out, values, strict=True)
        )

    def _staged(self, out: Tracer) -> bool:
        """Whether a result, or its value if it has a tangent, is in the list."""
        value = out.value if out.trace is self else out
        return type(value) is Tracer and value.trace is self.stager


@suggesting
def linearize(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """Evaluate `fun` and return its derivative there, a linear function of tangents.

    Parameters
    ----------
    fun : callable
        Function of trees of arrays, returning a tree of arrays.
    *primals : tree
        Point of evaluation; leaves are real or complex floating arrays.
    has_aux : bool
        Whether `fun` returns a pair ``(out, aux)``.

    Returns
    -------
    out : tree
        ``fun(*primals)``.
    f_jvp : callable
        From tangents like `primals` to the tangent of `out`, ``Σ ∂out/∂primal · tangent``; what
        does not depend on the tangents is computed once, here. Callable repeatedly.
    aux : tree
        Only with `has_aux`.

    Raises
    ------
    DTypeError
        If an input has an integer or boolean dtype.
    ShapeError
        From `f_jvp`, if a tangent's structure, shape or dtype is not its primal's.

    Notes
    -----
    For one tangent `jvp` does less; for several this does, and keeps what the derivatives of all
    operations read. Of a loop or a checkpointed function it keeps the operands, and runs it again
    for each tangent.

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> out, f_jvp = volta.linearize(F.sin, np.asarray(0.0))
    >>> f_jvp(np.asarray(2.0)), f_jvp(np.asarray(3.0))
    (array(2.), array(3.))
    """
    where = f"linearize({name_of(fun)})"
    split_ = [split_modules(p) for p in primals]
    leaves, spec = array_leaves(tuple(p for p, _ in split_), where)
    for i, leaf in enumerate(leaves):
        check_inexact(leaf, spec, i, where, holomorphic=False, allow_int=False)
    # the list of the tangents hears of what is computed with them alone: it is never current
    stager = StageTrace(fun, "linearize")
    tangents = [stager.input(x) for x in leaves]
    variables = [t.var for t in tangents]
    trace = LinearizeTrace(fun, stager)
    inputs = [Tracer(trace, (t, False), _frozen(x)) for t, x in zip(tangents, leaves, strict=True)]
    try:
        with Running(trace):
            args = tree.unflatten(spec, inputs)
            result = settled(fun(*[join(a) for (_, join), a in zip(split_, args, strict=True)]))
            aux = None
            if has_aux:
                result, aux = _pair_of(result, where)
        outputs, out_spec = tree.flatten(result)
        own = [type(o) is Tracer and o.trace is trace for o in outputs]
        values = [
            o.value if mine else unwrap_constants(o) for o, mine in zip(outputs, own, strict=True)
        ]
        moved = [o.var[0] for o, mine in zip(outputs, own, strict=True) if mine]
        wengert = stager.finish(variables, moved)
    finally:
        stager.open = False
    wengert = wengert.between(variables, wengert.outputs, NO)
    kinds = [typeof(x) for x in leaves]

    def f_jvp(*given: Any) -> Any:
        directions, t_spec = array_leaves(tuple(split_modules(t)[0] for t in given), where)
        if t_spec != spec:
            msg = f"{where}: tangents must have the structure of primals; got {t_spec} and {spec}."
            raise ShapeError(msg)
        must = "a tangent must have its primal's shape and dtype"
        _check_types(f"{where}: {must}", directions, kinds, spec, "input")
        with np.errstate(all="ignore"):  # as in the reverse sweep
            found = iter(wengert.replay(directions))
        read = [
            unwrap_constants(next(found)) if mine else _no_tangent(v)
            for v, mine in zip(values, own, strict=True)
        ]
        return tree.unflatten(out_spec, read)

    out = tree.unflatten(out_spec, values)
    if not has_aux:
        return out, f_jvp

    def read(leaf: Any) -> Any:
        mine = type(leaf) is Tracer and leaf.trace is trace
        return leaf.value if mine else unwrap_constants(leaf)

    return out, f_jvp, tree.map(read, aux)


def _check_types(
    must: str, given: list[Any], kinds: list[ArrayType], spec: tree.PyTreeSpec, root: str
) -> None:
    for i, (x, kind) in enumerate(zip(given, kinds, strict=True)):
        if typeof(x) != kind:
            path = path_of(spec, i).replace("input", root, 1)
            msg = f"{must}; got {typeof(x)} and {kind} at {path}."
            raise ShapeError(msg)


def _no_tangent(value: Any) -> Any:
    return type(value)(0) if type(value) in SCALARS else unwrap_constants(ops.zeros_like(value))


@suggesting
def linear_transpose(fun: Callable[..., Any], *primals: Any) -> Callable[[Any], tuple[Any, ...]]:
    """Return the transpose of a linear function.

    Parameters
    ----------
    fun : callable
        Linear function of trees of arrays. It is staged, on types.
    *primals : tree
        Arguments like those of `fun`: of arrays or `ShapeDtypeStruct`, of which only the types are
        looked at.

    Returns
    -------
    callable
        From a cotangent like ``fun(*primals)`` to the tuple of cotangents of `primals`, ``Aᵀ ct``
        for ``fun(x) = A x`` (unconjugated for complex arrays).

    Raises
    ------
    RuleError
        If the derivative of `fun` varies with its arguments, so that `fun` is not linear.
    DTypeError
        If an argument is not floating.
    ShapeError
        From the function returned, if the cotangent's structure or types are not the output's.

    Notes
    -----
    An affine function, ``A x + b``, is taken for its linear part.

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> backwards = volta.linear_transpose(lambda x: F.sum(x * 2.0), np.zeros(2))
    >>> backwards(np.asarray(1.0))
    (array([2., 2.]),)
    """
    where = f"linear_transpose({name_of(fun)})"
    leaves, spec = like_leaves(primals, where)
    for i, leaf in enumerate(leaves):
        if not is_inexact(leaf.type.dtype):
            msg = (
                f"{where}: arguments must be floating; got {leaf.type.dtype.name} at "
                f"{path_of(spec, i)}."
            )
            raise DTypeError(msg)
    staged, out_spec = stage(
        lambda *flat: fun(*tree.unflatten(spec, flat)), leaves, "linear_transpose", fun
    )
    staged = hoisted(staged)  # so that all that is left varies with the arguments
    consts = len(staged.constants)
    wengert = staged.closed()
    parts = split(wengert, [*[False] * consts, *[True] * len(leaves)])
    if depends(wengert, parts.mask) != parts.active or any(
        v not in parts.fwd.inputs[:consts] for v in parts.kept
    ):
        culprits = _culprits(parts, consts)
        if "while_loop" in culprits:
            msg = (
                f"{where}: a loop of unknown length cannot be transposed, linear or not, since its "
                "length may depend on the arguments; got while_loop. Use vjp, or a loop of known "
                "length, scan or fori_loop."
            )
            raise RuleError(msg)
        msg = (
            f"{where}: the function must be linear; got one whose derivative varies with its "
            f"arguments, by {', '.join(culprits)}. Use vjp."
        )
        raise RuleError(msg)
    back, present, _ = parts.bwd()
    kinds = [wengert.types[o] for o in wengert.outputs]

    def transposed(ct: Any) -> tuple[Any, ...]:
        seeds, ct_spec = array_leaves(ct, where)
        if ct_spec != out_spec:
            msg = (
                f"{where}: the cotangent must have the output's structure; got {ct_spec} and "
                f"{out_spec}."
            )
            raise ShapeError(msg)
        must = "a cotangent must have its output's type"
        _check_types(f"{where}: {must}", seeds, kinds, out_spec, "output")
        held = [staged.constants[i] for i in parts.inputs]
        active = [s for s, a in zip(seeds, parts.active, strict=True) if a]
        found = iter(back.replay([*held, *active]))
        grads = [next(found) if p else zeros_of(x) for x, p in zip(leaves, present, strict=True)]
        return tree.unflatten(spec, [unwrap_constants(g) for g in grads])  # type: ignore[no-any-return]

    return transposed


def _culprits(parts: Split, consts: int) -> list[str]:
    """Operations that read or return what is kept and varies, or else all."""
    kept = set(parts.kept).difference(parts.fwd.inputs[:consts])
    entries = parts.fwd.entries
    found = [e for e in entries if not kept.isdisjoint((*e.results, *operands_of(e)))]
    return list(dict.fromkeys(e.primitive.name for e in found or entries))
