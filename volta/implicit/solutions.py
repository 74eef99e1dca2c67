"""Roots, fixed points and minima around any solver: `root`, `fixed_point`, `minimize`."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from volta.core import tree
from volta.core.context import RUNNING
from volta.core.errors import DTypeError, TraceError
from volta.core.keywords import suggesting
from volta.core.lift import lift
from volta.core.trace import Trace, located, ops
from volta.core.tracer import Tracer
from volta.core.types import SCALARS, is_inexact, typeof
from volta.core.wengert import WengertList
from volta.implicit.adjoint import ImplicitAdjoint, RecursiveCheckpointAdjoint, linear_solver
from volta.transforms.arguments import (
    array_leaves,
    as_array,
    name_of,
    path_of,
    split_modules,
)
from volta.transforms.effect import effect
from volta.transforms.lists import stage
from volta.transforms.solution import Linear, Map, Root, check_gap, largest, solve_root
from volta.transforms.solver import Flat, check_like, converted, raw, split_aux
from volta.transforms.stop_gradient import stop_gradient
from volta.transforms.trace import abstract
from volta.transforms.vjp import grad

__all__ = ["fixed_point", "minimize", "root"]

Adjoint = ImplicitAdjoint | RecursiveCheckpointAdjoint
_IMPLICIT: Final = ImplicitAdjoint()


@suggesting
def root(
    fun: Callable[..., Any],
    init: Any,
    *params: Any,
    solver: Callable[..., Any],
    adjoint: Adjoint = _IMPLICIT,
    tol: float | None = None,
    has_aux: bool = False,
    batched: bool = False,
) -> Any:
    """Solve ``F(x, *params) = 0`` by any solver, differentiably.

    Parameters
    ----------
    fun : callable
        F, from x and the parameters to a tree like x, made of Volta's operations.
    init : tree
        Of floating arrays: where the solver begins. x has its structure, shapes and dtypes; its
        derivative is zero.
    *params : tree
        What x depends on: arrays, numbers, modules.
    solver : callable
        ``solver(fun, init, *params) -> x``. It may do anything, and be of any library: what it
        gets are arrays, never traced ones. A result of another float dtype, or of NumPy, is
        converted.
    adjoint : ImplicitAdjoint or RecursiveCheckpointAdjoint
        How x is differentiated. `ImplicitAdjoint` says how linear equations are solved.
    tol : float, optional
        Largest ``max |F(x)|`` that is taken for zero.
    has_aux : bool
        Whether the solver returns a pair ``(x, aux)`` with a tree of arrays and numbers, which
        are not differentiated.
    batched : bool
        Whether the solver consists of Volta's operations and can run for all lanes of `vmap` at
        once. Otherwise it runs lane by lane.

    Returns
    -------
    x : tree
    aux : tree
        Only with `has_aux`.

    Raises
    ------
    ArithmeticError
        If the residual exceeds `tol`.
    numpy.linalg.LinAlgError
        Where it is differentiated: if ``∂F/∂x`` is singular, or the linear solver fails.
    ShapeError
        If F, or the solver, returns what is not like x.
    DTypeError
        If `init` is not floating.
    TraceError
        If the solver, or a function F that reads values, closes over an array that is traced.

    Notes
    -----
    Where ``∂F/∂x`` is regular, the implicit function theorem gives

        ``ẋ = −(∂F/∂x)⁻¹ (∂F/∂p) ṗ``

    in forward mode and ``p̄ = −(∂F/∂p)ᵀ (∂F/∂x)⁻ᵀ x̄`` in reverse mode. No step of the solver is
    differentiated or kept. The rules are differentiated in turn, so derivatives of any order are
    right. They are those of the theorem at the point that the solver returned: with a residual of
    size r they are wrong by O(r), which `tol` bounds.

    Where ``∂F/∂x`` is singular, the theorem says nothing. With the default, ``solve="dense"``, that
    raises; iterative solvers notice it only where the equation has no solution.

    Arrays that F closes over are differentiated as well as parameters, except where F reads values
    (``if x > 0``): then that raises, and they must be parameters.

    Complex x count as pairs of real numbers, so F need not be holomorphic.

    References
    ----------
    S. Krantz and H. Parks, "The Implicit Function Theorem" (2002), theorem 3.3.1. M. Blondel et
    al., "Efficient and modular implicit differentiation", NeurIPS 2022,
    https://arxiv.org/abs/2105.15183, equations 2 and 3.

    Examples
    --------
    >>> import numpy as np, volta
    >>> def quartic(x, a):
    ...     return x**4 - a
    >>> def bisect(fun, x, a):
    ...     from scipy.optimize import brentq
    ...     return brentq(fun, 0, 10, args=(a,))
    >>> def fourth_root(a):
    ...     return volta.implicit.root(quartic, np.asarray(1.0), a, solver=bisect)
    >>> round(float(fourth_root(np.asarray(16.0))), 6)
    2.0
    >>> round(float(volta.grad(fourth_root)(np.asarray(16.0))), 6)  # 1 / (4 x³)
    0.03125
    """
    options = solver, adjoint, tol, has_aux, batched
    return _solution("root", fun, init, params, *options)


@suggesting
def fixed_point(
    fun: Callable[..., Any],
    init: Any,
    *params: Any,
    solver: Callable[..., Any],
    adjoint: Adjoint = _IMPLICIT,
    tol: float | None = None,
    has_aux: bool = False,
    batched: bool = False,
) -> Any:
    """Solve ``x = f(x, *params)`` by any solver, differentiably.

    Parameters
    ----------
    fun : callable
        f, from x and the parameters to a tree like x.
    init, *params, solver, adjoint, tol, has_aux, batched
        As for `root`; `tol` is for ``max |f(x) − x|``.

    Returns
    -------
    x : tree
    aux : tree
        Only with `has_aux`.

    Raises
    ------
    ArithmeticError, numpy.linalg.LinAlgError, ShapeError, DTypeError, TraceError
        As for `root`, with ``∂f/∂x − 1`` for ``∂F/∂x``.

    Notes
    -----
    `root` of ``F(x, p) = f(x, p) − x``: ``ẋ = (1 − ∂f/∂x)⁻¹ (∂f/∂p) ṗ``.

    References
    ----------
    M. Blondel et al., "Efficient and modular implicit differentiation", NeurIPS 2022,
    https://arxiv.org/abs/2105.15183, section 2.2.

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> def iterate(fun, x, a):
    ...     for _ in range(100):
    ...         x = fun(x, a)
    ...     return x
    >>> def settled(a):
    ...     return volta.implicit.fixed_point(
    ...         lambda x, a: F.cos(a * x), np.asarray(1.0), a, solver=iterate
    ...     )
    >>> x, slope = volta.value_and_grad(settled)(np.asarray(1.0))
    >>> round(float(x), 6), round(float(slope), 6)  # −x sin x / (1 + sin x)
    (0.739085, -0.297474)
    """
    options = solver, adjoint, tol, has_aux, batched
    return _solution("fixed_point", fun, init, params, *options)


@suggesting
def minimize(
    fun: Callable[..., Any],
    init: Any,
    *params: Any,
    solver: Callable[..., Any],
    adjoint: Adjoint = _IMPLICIT,
    tol: float | None = None,
    has_aux: bool = False,
    batched: bool = False,
) -> Any:
    """Find an x where ``f(x, *params)`` is least by any solver, differentiably.

    Parameters
    ----------
    fun : callable
        f, from x and the parameters to one real number.
    init, *params, solver, adjoint, tol, has_aux, batched
        As for `root`; `tol` is for ``max |∇f(x)|``.

    Returns
    -------
    x : tree
    aux : tree
        Only with `has_aux`.

    Raises
    ------
    ArithmeticError, numpy.linalg.LinAlgError, ShapeError, DTypeError, TraceError
        As for `root`, with the Hessian for ``∂F/∂x``.

    Notes
    -----
    `root` of the gradient, ``F = ∇ₓf``: ``ẋ = −(∇ₓ²f)⁻¹ (∂∇ₓf/∂p) ṗ``. The Hessian must be regular;
    at a minimum it is then positive definite, as ``solve="cg"`` asks. Constraints, and losses with
    kinks where the minimum lies, are outside the theorem.

    References
    ----------
    M. Blondel et al., "Efficient and modular implicit differentiation", NeurIPS 2022,
    https://arxiv.org/abs/2105.15183, section 2.2.

    Examples
    --------
    Ridge regression, solved by any means; how its weights vary with the penalty:

    >>> import numpy as np, volta, volta.functional as F
    >>> x, y = np.asarray([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]]), np.asarray([1.0, 2.0, 2.0])
    >>> def ridge(w, penalty):
    ...     return F.sum((x @ w - y) ** 2) + penalty * F.sum(w**2)
    >>> def normal_equations(_, w, penalty):
    ...     return np.linalg.solve(x.T @ x + penalty * np.eye(2), x.T @ y)
    >>> def weights(penalty):
    ...     return volta.implicit.minimize(ridge, np.zeros(2), penalty, solver=normal_equations)
    >>> one = np.asarray(1.0)
    >>> w, slope = volta.jvp(weights, (one,), (one,))
    >>> (weights(one + 1e-6) - weights(one - 1e-6)) / 2e-6 - slope < 1e-8
    array([ True,  True])
    """
    options = solver, adjoint, tol, has_aux, batched
    return _solution("minimize", fun, init, params, *options)


class _Function:
    """A function of x and parameters, and of what it closes over where that is traced.

    Attributes
    ----------
    constants : list of array
        What it closes over, if an array among that is traced.
    unsure : bool
        Whether it may still close over traced arrays, because it cannot be staged.
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        where: str,
        x: tuple[Flat, tree.PyTreeSpec],
        params: tuple[Any, ...],
    ) -> None:
        self.fun, self.where = fun, where
        self.guess, self.spec = x
        self.places = [abstract(leaf) for leaf in self.guess]
        split = [split_modules(p) for p in params]
        self.joins = [join for _, join in split]
        leaves, self.params_spec = tree.flatten(tuple(p for p, _ in split))
        self.numbers = {i: leaf for i, leaf in enumerate(leaves) if type(leaf) in SCALARS}
        self.params = [as_array(p, where) for p in leaves if type(p) not in SCALARS]
        self.constants: Flat = []
        self.list: WengertList | None = None
        self.unsure = False
        if RUNNING.get():
            self._look_for_closures()

    def _look_for_closures(self) -> None:
        n = len(self.params)

        def flat(*given: Any) -> Any:
            return self.fun(tree.unflatten(self.spec, given[n:]), *self.args(given[:n]))

        try:
            found, self.out_spec = stage(flat, [*self.params, *self.guess], self.where, self.fun)
        except Exception:
            self.unsure = True  # what is wrong with it, if it is wrong, will show when it runs
            return
        if any(type(c) is Tracer for c in found.constants):
            self.list, self.constants = found.closed(), list(found.constants)

    def args(self, arrays: Sequence[Any]) -> list[Any]:
        """Parameters from their arrays."""
        rest = iter(arrays)
        leaves = [
            self.numbers[i] if i in self.numbers else next(rest)
            for i in range(self.params_spec.num_leaves)
        ]
        found = tree.unflatten(self.params_spec, leaves)
        return [join(p) for join, p in zip(self.joins, found, strict=True)]

    def over(self, constants: Flat) -> Callable[..., Any]:
        """The function of x and the parameters."""
        if self.list is None:
            return self.fun
        listed = self.list

        def fun(x: Any, *params: Any) -> Any:
            split = [split_modules(p)[0] for p in params]
            given = [p for p in tree.leaves(tuple(split)) if type(p) not in SCALARS]
            return tree.unflatten(
                self.out_spec, listed.replay([*constants, *given, *tree.leaves(x)])
            )

        fun.__name__ = name_of(self.fun)
        return fun

    def for_solver(self, constants: Flat) -> Callable[..., Any]:
        """The function for a solver, which may call it with numbers of any kind."""
        inner, now = self.over(constants), Trace("implicit", self.fun).serial

        def fun(x: Any, *params: Any) -> Any:
            given = converted(self.where, "fun's argument", x, self.spec, self.places)
            out = inner(tree.unflatten(self.spec, given), *params)
            for leaf in tree.leaves(out):
                trace = leaf.trace if type(leaf) is Tracer else None
                if self.unsure and trace is not None and trace.serial < now:
                    msg = (
                        f"{self.where}: a function that reads values must not close over a traced "
                        f"array; got a result traced by {trace.name}. Pass the array as a "
                        "parameter."
                    )
                    raise located(TraceError(msg))
            return out

        fun.__name__ = name_of(self.fun)
        return fun


def _solution(
    kind: str,
    fun: Callable[..., Any],
    init: Any,
    params: tuple[Any, ...],
    solver: Callable[..., Any],
    adjoint: Any,
    tol: float | None,
    has_aux: bool,
    batched: bool,
) -> Any:
    where = f"implicit.{kind}({name_of(fun)})"
    if not isinstance(adjoint, ImplicitAdjoint | RecursiveCheckpointAdjoint):
        msg = (
            f"{where}: adjoint must be an ImplicitAdjoint or a RecursiveCheckpointAdjoint; got "
            f"{adjoint!r}."
        )
        raise located(TypeError(msg))
    guess, spec = array_leaves(init, where)
    for i, leaf in enumerate(guess):
        if not is_inexact(typeof(leaf).dtype):
            msg = (
                f"{where}: init must be floating; got {typeof(leaf).dtype.name} at "
                f"{path_of(spec, i)}."
            )
            raise DTypeError(msg)
    places = [abstract(leaf) for leaf in guess]

    def at(inner: Callable[..., Any], x: Flat, args: Sequence[Any]) -> Flat:
        """What is to be zero."""
        point = tree.unflatten(spec, x)
        if kind == "minimize":
            return tree.leaves(grad(inner)(point, *args))
        out = check_like(where, "fun", inner(point, *args), spec, places)
        if kind == "fixed_point":
            return [ops.subtract(o, v) for o, v in zip(out, x, strict=True)]
        return out

    if isinstance(adjoint, RecursiveCheckpointAdjoint):
        made, rest = split_aux(where, "solver", solver(fun, init, *params), has_aux)
        x = converted(where, "the solver's result", made, spec, places)
        if tol is not None and (gap := largest(at(fun, stop_gradient(x), params))) is not None:
            effect(gap, call=functools.partial(check_gap, where, tol))
        x = tree.unflatten(spec, x)
        return (x, stop_gradient(rest)) if has_aux else x

    function = _Function(fun, where, (guess, spec), params)
    m, k = len(function.constants), len(guess)
    n = m + len(function.params)
    aux: list[Any] = []

    def residual(given: Flat, x: Flat) -> Flat:
        # handles, since a library may refuse to compute with its own array and a traced one
        given, x = [lift(v) for v in given], [lift(v) for v in x]
        return at(function.over(given[:m]), x, function.args(given[m:]))

    def solve(given: Flat, _: Flat, guess: Flat) -> Flat:
        inner, args = function.for_solver(given[:m]), function.args(given[m:])
        made = solver(inner, tree.unflatten(spec, guess), *args)
        x, rest = split_aux(where, "solver", made, has_aux)
        further, further_spec = array_leaves(rest, where)
        aux[:] = [further_spec]
        found = [*converted(where, "the solver's result", x, spec, places), *further]
        if batched:
            return found
        found = [raw(where, leaf) for leaf in found]
        if function.unsure:
            inner(tree.unflatten(spec, found[:k]), *args)
        return found

    symmetric = kind == "minimize"
    unknowns = sum(
        math.prod(p.shape) * (2 if p.type.dtype.kind == "complex" else 1) for p in places
    )
    by, mappable = linear_solver(adjoint, unknowns, symmetric)

    def linear(apply: Callable[..., Flat], _: Flat, held: Flat, b: Flat) -> Flat:
        def matvec(v: Any) -> Any:
            given = converted(where, "matvec's argument", v, spec, places)
            return tree.unflatten(spec, apply(*given))

        made = by(matvec, tree.unflatten(spec, b))
        found = converted(where, "the linear solver's result", made, spec, places)
        return found if mappable else [raw(where, leaf) for leaf in found]

    slope = Map.derivative(residual, n, symmetric=symmetric)
    tangent = Linear(where, slope, linear, linear, (n + k, 0, k), mappable=bool(mappable))
    call = Root(
        where,
        residual,
        solve,
        tangent,
        (n, 0, k),
        extra=None if has_aux else (),
        tol=tol,
        mappable=batched,
    )
    found = list(solve_root(*function.constants, *function.params, *guess, call=call))
    x = tree.unflatten(spec, found[:k])
    return (x, tree.unflatten(aux[0], found[k:])) if has_aux else x
