"""Solutions of equations as primitives: what `custom_root` and `custom_linear_solve` rest on.

Let F(x, p) = 0 have the solution x(p). Where A = ∂F/∂x is invertible, the implicit function theorem
gives its derivative: A ẋ = −(∂F/∂p) ṗ. However x was found, its derivative is the solution of a
linear equation; forward mode solves one with A, reverse mode one with Aᵀ. That solution in turn is
differentiated by the equation that it solves.

A primitive of a solution carries a `Solution`, which has its value and its rules on flat lists:
`Root` for equations F(x, p) = 0, `Linear` for A x = b, `Lanes` for many of either at once. A solver
runs inside the value, where all arrays are raw: it may do with them what it likes.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from volta.core.context import RUNNING, STAGING
from volta.core.derivatives import Carried
from volta.core.errors import RuleError, TraceError
from volta.core.primitive import Primitive
from volta.core.trace import Running, located, ops
from volta.core.types import ArrayType, typeof
from volta.transforms.jvp import jvp
from volta.transforms.linearize import linearize
from volta.transforms.lists import zeros_of
from volta.transforms.solver import Flat
from volta.transforms.vjp import vjp
from volta.transforms.vmap import BATCHING, Axis, VmapTrace, again

__all__ = [
    "Lanes",
    "Linear",
    "Map",
    "Root",
    "Solution",
    "Solve",
    "check_gap",
    "largest",
    "no_transpose",
    "solve_linear",
    "solve_root",
]

# Of a linear equation: from the map, what that reads, what else the solver reads and the right-hand
# side to the solution, followed by what else the solver returns.
Solve = Callable[[Callable[..., Flat], Flat, Flat, Flat], Flat]


@contextmanager
def outside() -> Iterator[None]:
    """Context of a solver: to it no transform runs, so that what it creates are raw arrays."""
    token = RUNNING.set(0)
    try:
        yield
    finally:
        RUNNING.reset(token)


class Solution:
    """Value and rules of a solution.

    Attributes
    ----------
    where : str
        Whose it is, for messages.
    leaves : int
        Number of arrays of the solution; those of the solver's further results follow them.
    mappable : bool or None
        Whether the value can be computed for many lanes at once; None if that is to be tried.
    primitive : Primitive
        That carries it.
    axis_names : frozenset
        Axes of the collectives in the equation and in staged solvers.
    """

    where: str
    leaves: int
    mappable: bool | None = None
    axis_names: frozenset[Any] = frozenset()
    primitive: Primitive

    def __str__(self) -> str:
        return self.where

    def types(self, types: Sequence[ArrayType]) -> tuple[ArrayType, ...]:
        """Types of the results."""
        raise NotImplementedError

    def value(self, operands: Flat) -> Flat:
        """Results from raw arrays, or from lanes of them."""
        raise NotImplementedError

    def gap(self, operands: Flat, outs: Flat) -> Any:
        """How far the solution is from being one, an array of shape (), or None if unasked."""
        raise NotImplementedError

    def refuse(self, gap: Any) -> None:
        """Raise an error if so large a gap is too large."""
        raise NotImplementedError

    def push(self, primals: Flat, outs: Flat, tangents: Flat) -> Flat | None:
        """Tangents of the solution; None if it does not vary."""
        raise NotImplementedError

    def pull(self, primals: Flat, outs: Flat, cts: Flat, needed: Sequence[Any]) -> Flat:
        """Cotangents of the operands that are `needed`, None for the others."""
        raise NotImplementedError


class Root(Solution):
    """Solution of F(x, p) = 0.

    Its operands are parameters p, what else the solver reads, and the first guess.

    Parameters
    ----------
    where : str
    residual : callable
        ``residual(p, x) -> list``: F, of lists of arrays.
    solve : callable
        ``solve(p, held, guess) -> list``: the solution and what else the solver returns.
    tangent : Linear
        Carried by the solution of the linear equation; its map reads p and x.
    counts : tuple of int
        Number of parameters, of other arrays, and of arrays of the solution.
    extra : sequence of ArrayType, or None
        Types of what else the solver returns, if they are known.
    tol : float, optional
        Largest residual of a solution.
    mappable, axis_names
        As for `Solution`.
    """

    def __init__(
        self,
        where: str,
        residual: Callable[[Flat, Flat], Flat],
        solve: Callable[[Flat, Flat, Flat], Flat],
        tangent: "Linear",
        counts: tuple[int, int, int],
        *,
        extra: Sequence[ArrayType] | None = (),
        tol: float | None = None,
        mappable: bool | None = None,
        axis_names: frozenset[Any] = frozenset(),
    ) -> None:
        self.where, self.residual, self.solve, self.tangent = where, residual, solve, tangent
        self.params, self.held, self.leaves = counts
        self.extra, self.tol, self.mappable = extra, tol, mappable
        self.axis_names = axis_names
        self.primitive = solve_root

    def types(self, types: Sequence[ArrayType]) -> tuple[ArrayType, ...]:
        """Types of the results."""
        return (*types[self.params + self.held :], *_known(self.extra, self.where))

    def parts(self, operands: Flat) -> tuple[Flat, Flat, Flat]:
        """Parameters, what else the solver reads, guess."""
        n, m = self.params, self.params + self.held
        return list(operands[:n]), list(operands[n:m]), list(operands[m:])

    def value(self, operands: Flat) -> Flat:
        """Results from raw arrays."""
        with outside():
            return self.solve(*self.parts(operands))

    def gap(self, operands: Flat, outs: Flat) -> Any:
        """Largest number of the residual; None without `tol`."""
        if self.tol is None:
            return None
        return largest(self.residual(self.parts(operands)[0], outs[: self.leaves]))

    def refuse(self, gap: Any) -> None:
        """Raise an error if the gap is too large."""
        if self.tol is not None:
            check_gap(self.where, self.tol, gap)

    def _at(self, params: Flat, outs: Flat, moving: Sequence[int]) -> Callable[..., Flat]:
        """F at the solution, as a function of some parameters."""

        def fun(*varied: Any) -> Flat:
            held = dict(zip(moving, varied, strict=True))
            return self.residual([held.get(i, p) for i, p in enumerate(params)], outs)

        return fun

    def push(self, primals: Flat, outs: Flat, tangents: Flat) -> Flat | None:
        """Tangents of the solution."""
        params, held, _ = self.parts(primals)
        moving = [i for i in range(self.params) if tangents[i] is not None]
        if not moving:
            return None
        fun = self._at(params, outs, moving)
        moved = jvp(fun, [params[i] for i in moving], [tangents[i] for i in moving])[1]
        return self._solved(self.tangent, params, held, outs, moved)

    def pull(self, primals: Flat, outs: Flat, cts: Flat, needed: Sequence[Any]) -> Flat:
        """Cotangents of the operands."""
        params, held, _ = self.parts(primals)
        moving = [i for i in range(self.params) if needed[i] is not None]
        grads: Flat = [None] * len(needed)
        if moving:
            w = self._solved(self.tangent.transposed, params, held, outs, cts)
            back = vjp(self._at(params, outs, moving), *(params[i] for i in moving))[1]
            for i, g in zip(moving, back(w), strict=True):
                grads[i] = g
        return grads

    def _solved(self, call: "Linear", params: Flat, held: Flat, outs: Flat, b: Flat) -> Flat:
        """Solution of the linear equation with −b."""
        negated = [ops.negative(r) for r in b]
        return list(solve_linear(*params, *outs, *held, *negated, call=call)[: self.leaves])


class Map:
    """A linear map A that reads arrays, the first operands of a `Linear`.

    Parameters
    ----------
    forward : callable
        ``forward(consts, like) -> A``, a function of arrays like those in `like`.
    back : callable
        ``back(consts, like) -> Aᵀ``.
    """

    def __init__(
        self,
        forward: Callable[[Flat, Flat], Callable[..., Flat]],
        back: Callable[[Flat, Flat], Callable[..., Flat]],
    ) -> None:
        self.forward, self.back = forward, back

    @classmethod
    def derivative(
        cls, residual: Callable[[Flat, Flat], Flat], params: int, symmetric: bool
    ) -> "Map":
        """∂F/∂x, a map that reads `params` parameters and x."""

        def forward(consts: Flat, like: Flat) -> Any:
            return linearize(lambda *x: residual(consts[:params], list(x)), *consts[params:])[1]

        def back(consts: Flat, like: Flat) -> Any:
            pull = vjp(lambda *x: residual(consts[:params], list(x)), *consts[params:])[1]
            return lambda *w: list(pull(list(w)))

        return cls(forward, forward if symmetric else back)

    @classmethod
    def of(cls, apply: Callable[[Flat, Flat], Flat]) -> "Map":
        """The map that ``apply(consts, v)`` applies."""

        def forward(consts: Flat, like: Flat) -> Any:
            return lambda *v: apply(consts, list(v))

        def back(consts: Flat, like: Flat) -> Any:
            pull = vjp(lambda *v: apply(consts, list(v)), *map(zeros_of, like))[1]
            return lambda *w: list(pull(list(w)))

        return cls(forward, back)


class Linear(Solution):
    """Solution of A x = b.

    Its operands are what A reads, what else the solver reads, and b.

    Parameters
    ----------
    where : str
    map : Map
        A.
    solve : Solve
    back : Solve or None
        Solver of the transposed equation; None if there is none.
    counts : tuple of int
        Number of arrays that A reads, of others, and of those of b.
    extra, mappable, axis_names
        As for `Root`.
    """

    def __init__(
        self,
        where: str,
        map: Map,
        solve: Solve,
        back: Solve | None,
        counts: tuple[int, int, int],
        *,
        extra: Sequence[ArrayType] | None = (),
        mappable: bool | None = None,
        axis_names: frozenset[Any] = frozenset(),
    ) -> None:
        self.where, self.map, self.solve, self.back = where, map, solve, back
        self.consts, self.held, self.leaves = counts
        self.extra, self.mappable, self.axis_names = extra, mappable, axis_names
        self.primitive = solve_linear
        self._transposed: Linear | None = None

    def types(self, types: Sequence[ArrayType]) -> tuple[ArrayType, ...]:
        """Types of the results."""
        return (*types[self.consts + self.held :], *_known(self.extra, self.where))

    @property
    def transposed(self) -> "Linear":
        """That of the equation with Aᵀ."""
        if self.back is None:
            raise RuleError(no_transpose(self.where))
        if self._transposed is None:
            counts = self.consts, self.held, self.leaves
            turned = Map(self.map.back, self.map.forward)
            options: Any = {"mappable": self.mappable, "axis_names": self.axis_names}
            made = Linear(self.where, turned, self.back, self.solve, counts, **options)
            made._transposed, self._transposed = self, made
        return self._transposed

    def parts(self, operands: Flat) -> tuple[Flat, Flat, Flat]:
        """What the map reads, what else the solver reads, right-hand side."""
        n, m = self.consts, self.consts + self.held
        return list(operands[:n]), list(operands[n:m]), list(operands[m:])

    def value(self, operands: Flat) -> Flat:
        """Results from raw arrays."""
        consts, held, b = self.parts(operands)
        with outside():
            try:
                return self.solve(self.map.forward(consts, b), consts, held, b)
            except np.linalg.LinAlgError as error:
                msg = f"{_singular(self.where)} ({error})"
                raise located(np.linalg.LinAlgError(msg)) from error

    def gap(self, operands: Flat, outs: Flat) -> Any:
        """Whether the solution is not finite and the right-hand side is."""
        _, _, b = self.parts(operands)
        right = _all_finite(b)
        if right is None:
            return None
        return ops.logical_and(ops.logical_not(_all_finite(outs[: self.leaves])), right)

    def refuse(self, gap: Any) -> None:
        """Raise an error if the gap is too large."""
        if bool(gap):
            raise located(np.linalg.LinAlgError(_singular(self.where)))

    def push(self, primals: Flat, outs: Flat, tangents: Flat) -> Flat | None:
        """Tangents of the solution."""
        consts, held, b = self.parts(primals)
        m = self.consts + self.held
        moving = [i for i in range(self.consts) if tangents[i] is not None]
        right = list(tangents[m:])
        if not moving and all(t is None for t in right):
            return None
        rhs = [zeros_of(x) if t is None else t for x, t in zip(b, right, strict=True)]
        if moving:
            fun = self._at(consts, outs, moving)
            moved = jvp(fun, [consts[i] for i in moving], [tangents[i] for i in moving])[1]
            rhs = [ops.subtract(r, t) for r, t in zip(rhs, moved, strict=True)]
        return list(solve_linear(*consts, *held, *rhs, call=self)[: self.leaves])

    def pull(self, primals: Flat, outs: Flat, cts: Flat, needed: Sequence[Any]) -> Flat:
        """Cotangents of the operands."""
        consts, held, _ = self.parts(primals)
        m = self.consts + self.held
        w = list(solve_linear(*consts, *held, *cts, call=self.transposed)[: self.leaves])
        grads: Flat = [None] * m + w
        moving = [i for i in range(self.consts) if needed[i] is not None]
        if moving:
            back = vjp(self._at(consts, outs, moving), *(consts[i] for i in moving))[1]
            for i, g in zip(moving, back([ops.negative(v) for v in w]), strict=True):
                grads[i] = g
        return [None if v is None else g for v, g in zip(needed, grads, strict=True)]

    def _at(self, consts: Flat, x: Flat, moving: Sequence[int]) -> Callable[..., Flat]:
        """A x, as a function of some of what A reads."""

        def fun(*varied: Any) -> Flat:
            held = dict(zip(moving, varied, strict=True))
            whole = [held.get(i, c) for i, c in enumerate(consts)]
            return self.map.forward(whole, x)(*x)

        return fun


class Lanes(Solution):
    """Many solutions at once, whose axis is the first of the operands in `batched`.

    All results have that axis. `axis` is what it is to collectives.
    """

    def __init__(self, one: Solution, size: int, batched: Sequence[bool], axis: Axis) -> None:
        self.one, self.size, self.batched, self.axis = one, size, list(batched), axis
        self.where, self.leaves, self.mappable = one.where, one.leaves, one.mappable
        self.primitive = one.primitive
        self.axis_names = one.axis_names - {axis.name}
        self.axes = [0 if b else None for b in batched]

    def _over(self, fun: Callable[..., Any], *in_axes: Any) -> Callable[..., Any]:
        """`fun` of one lane as a function of all of them."""
        return again(fun, in_axes, 0, VmapTrace(fun, self.size, self.axis, splits=True))

    def types(self, types: Sequence[ArrayType]) -> tuple[ArrayType, ...]:
        """Types of the results."""
        inner = [
            ArrayType(t.shape[1:], t.dtype) if b else t
            for t, b in zip(types, self.batched, strict=True)
        ]
        return tuple(ArrayType((self.size, *t.shape), t.dtype) for t in self.one.types(inner))

    def value(self, operands: Flat) -> Flat:
        """Results from raw arrays."""
        if self.mappable is not False and self.size:
            try:
                return self._mapped(operands)
            except Exception:
                if self.mappable:
                    raise
        return self._one_by_one(operands)

    def _mapped(self, operands: Flat) -> Flat:
        return list(self._over(lambda *lane: self.one.value(list(lane)), *self.axes)(*operands))

    def _one_by_one(self, operands: Flat) -> Flat:
        rows = []
        for i in range(self.size):
            lane = [x[i, ...] if b else x for x, b in zip(operands, self.batched, strict=True)]
            with self._alone(i):
                rows.append(computed(self.one, lane))
        if rows:
            return [ops.stack(list(parts)) for parts in zip(*rows, strict=True)]
        return [
            ops.zeros_like_type(operands[0], kind) for kind in self.types([*map(typeof, operands)])
        ]

    def _alone(self, i: int) -> Running:
        """Context of one lane, in which collectives find that the others are not there."""
        axis = self.axis._replace(
            lanes=self.axis.numbers[i : i + 1], why=f"the solver of {self.where}"
        )
        return Running(VmapTrace(self.one, 1, axis))

    def gap(self, operands: Flat, outs: Flat) -> Any:
        """Largest gap of a lane; None if there is none."""
        if not self.size:
            return None
        found: list[Any] = []

        def one(operands: Flat, outs: Flat) -> Any:
            gap = self.one.gap(operands, outs)
            found.append(gap is None)
            return () if gap is None else gap

        gaps = self._over(one, self.axes, 0)(operands, outs)
        if found[-1]:
            return None
        return ops.any(gaps) if typeof(gaps).dtype.kind == "bool" else ops.max(gaps)

    def refuse(self, gap: Any) -> None:
        """Raise an error if the gap is too large."""
        self.one.refuse(gap)

    def push(self, primals: Flat, outs: Flat, tangents: Flat) -> Flat | None:
        """Tangents of the solution."""
        over = self._over(self.one.push, self.axes, 0, self.axes)
        found = over(list(primals), outs, list(tangents))
        return None if found is None else list(found)

    def pull(self, primals: Flat, outs: Flat, cts: Flat, needed: Sequence[Any]) -> Flat:
        """Cotangents of the operands."""

        def one(primals: Flat, outs: Flat, cts: Flat) -> Flat:
            return self.one.pull(primals, outs, cts, needed)

        fun = self._over(one, self.axes, 0, 0)
        return [
            g if g is None or b else ops.sum(g, axis=(0,))
            for g, b in zip(fun(list(primals), outs, cts), self.batched, strict=True)
        ]


def computed(call: Solution, operands: Flat) -> Flat:
    """Results, checked."""
    outs = call.value(operands)
    gap = call.gap(operands, outs)
    if gap is not None:
        call.refuse(gap)
    return outs


def _known(extra: Sequence[ArrayType] | None, where: str) -> Sequence[ArrayType]:
    """Types of a solver's further results, which must be known where it is staged."""
    if extra is None and STAGING.get() is not None:
        msg = (
            f"{where}: a solver with has_aux=True must be made of Volta's operations where it is "
            "staged, in the body of a loop; got one that needs concrete values. Leave aux out."
        )
        raise located(TraceError(msg))
    return extra or ()


def no_transpose(where: str) -> str:
    """Message where an equation has no transposed solver."""
    return (
        f"{where}: needs a transposed solution in reverse mode, which a solver that consists of "
        "linear operations has by itself; got transpose_solve=None. Pass transpose_solve, or "
        "symmetric=True."
    )


def _singular(where: str) -> str:
    return (
        f"{where}: the linear equation must have one solution; got a singular or ill-conditioned "
        "map, or a solver that did not converge."
    )


def largest(residual: Flat) -> Any:
    """Largest absolute number in some arrays; None if there is no number in them."""
    sizes = [ops.max(ops.abs(r)) for r in residual if 0 not in r.shape]
    return functools.reduce(ops.maximum, sizes) if sizes else None


def check_gap(where: str, tol: float, gap: Any) -> None:
    """Raise an error if the residual of a solution is larger than `tol`."""
    if not float(gap) <= tol:
        msg = (
            f"{where}: the residual of the point that the solver returned must not exceed "
            f"tol={tol:g}; got {float(gap):.3g}. Let the solver run longer."
        )
        raise located(ArithmeticError(msg))


def _all_finite(arrays: Sequence[Any]) -> Any:
    """Whether all numbers of some arrays are finite; None if there are no arrays."""
    found = None
    for x in arrays:
        finite = ops.all(ops.isfinite(x))
        found = finite if found is None else ops.logical_and(found, finite)
    return found


# The primitives ---------------------------------------------------------------------------------


def _jvp(
    primals: tuple[Any, ...], tangents: tuple[Any, ...], hidden: bool, *, call: Solution
) -> tuple[Any, Any, bool]:
    outs = call.primitive(*primals, call=call)
    k = call.leaves
    moved = call.push(list(primals), list(outs[:k]), list(tangents))
    return outs, (*(moved or [None] * k), *[None] * (len(outs) - k)), hidden


def _fwd(needed: Sequence[Any], *operands: Any, call: Solution) -> tuple[Any, Any]:
    outs = call.primitive(*operands, call=call)
    return outs, (operands, outs)


def _bwd(
    residuals: Any, cts: tuple[Any, ...], needed: Sequence[Any], hidden: bool, *, call: Solution
) -> tuple[list[Any], bool]:
    operands, outs = residuals
    k = call.leaves
    if all(ct is None for ct in cts[:k]):
        return [None] * len(needed), hidden
    seeds = [zeros_of(o) if ct is None else ct for o, ct in zip(outs[:k], cts, strict=False)]
    return call.pull(list(operands), list(outs[:k]), seeds, needed), hidden


def _batch(size: int, batched: tuple[bool, ...], *operands: Any, call: Solution) -> Any:
    return call.primitive(*operands, call=Lanes(call, size, batched, BATCHING.get().axis))


def _primitive(name: str) -> Primitive:
    return Primitive(
        name,
        type_rule=lambda *types, call: call.types(types),
        batch=lambda size, batched, *operands, call: _batch(size, batched, *operands, call=call),
        derivatives=Carried(_jvp, _fwd, _bwd),
        value=lambda xp, *operands, call: tuple(computed(call, list(operands))),
        results=0,
    )


solve_root = _primitive("custom_root")
solve_linear = _primitive("custom_linear_solve")
