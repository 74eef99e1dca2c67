"""Roots around a solver of one's own: `custom_root`."""

from collections.abc import Callable
from typing import Any

from volta.core import tree
from volta.core.context import RUNNING
from volta.core.errors import DTypeError, RuleError
from volta.core.keywords import suggesting
from volta.core.types import is_inexact, typeof
from volta.transforms.arguments import array_leaves, name_of, path_of
from volta.transforms.lists import stage
from volta.transforms.solution import Linear, Map, Root, solve_root
from volta.transforms.solver import Flat, Solver, called, check_like, converted, split_aux
from volta.transforms.trace import abstract

__all__ = ["custom_root"]


@suggesting
def custom_root(
    f: Callable[[Any], Any],
    initial_guess: Any,
    solve: Callable[..., Any],
    tangent_solve: Callable[..., Any],
    has_aux: bool = False,
) -> Any:
    """Solve ``f(x) = 0`` by a solver that is not differentiated.

    Parameters
    ----------
    f : callable
        From x to a tree like x; staged once, on types. Arrays that it closes over are
        differentiated.
    initial_guess : tree
        Of floating arrays, with the structure and types of x. Its derivative is zero.
    solve : callable
        ``solve(f, initial_guess) -> x``. It may do anything: it gets raw arrays.
    tangent_solve : callable
        ``tangent_solve(g, y) -> t`` with ``g(t) = y``, for a linear function g.
    has_aux : bool
        Whether `solve` returns a pair ``(x, aux)`` with a tree of further arrays, which are not
        differentiated.

    Returns
    -------
    x : tree
    aux : tree
        Only with `has_aux`.

    Raises
    ------
    ShapeError
        If `f` or a solver does not return what is like `initial_guess`.
    DTypeError
        If `initial_guess` is not floating.
    TraceError
        If a solver that needs concrete values closes over an array that is traced.
    numpy.linalg.LinAlgError
        If the derivative of `f` is singular.

    Notes
    -----
    ``ẋ = −(∂f/∂x)⁻¹ (∂f/∂p) ṗ`` for what f closes over, p, by the implicit function theorem: see
    `volta.implicit.root`, which solves the linear equation by itself. Reverse mode transposes
    `tangent_solve`, if it consists of linear operations, and otherwise calls it with the transpose
    of g: then it must not assume which g it gets.

    What a solver closes over is not differentiated. Solvers that consist of Volta's operations run
    once for all lanes of `vmap`; others, which need concrete values, run lane by lane.

    References
    ----------
    S. Krantz and H. Parks, "The Implicit Function Theorem" (2002), theorem 3.3.1.

    Examples
    --------
    >>> import numpy as np, volta
    >>> def cube_root(a):
    ...     def newton(f, x):
    ...         while abs(float(f(x))) > 1e-12:
    ...             x = x - f(x) / volta.grad(f)(x)
    ...         return x
    ...     return volta.custom_root(
    ...         lambda x: x**3 - a, np.asarray(1.0), newton, lambda g, y: y / g(np.asarray(1.0))
    ...     )
    >>> round(float(cube_root(np.asarray(8.0))), 6)
    2.0
    >>> round(float(volta.grad(cube_root)(np.asarray(8.0))), 6)  # 1 / (3 x²)
    0.083333
    """
    where = f"custom_root({name_of(f)})"
    guess, spec = array_leaves(initial_guess, where)
    for i, leaf in enumerate(guess):
        if not is_inexact(typeof(leaf).dtype):
            msg = (
                f"{where}: the initial guess must be floating; got {typeof(leaf).dtype.name} at "
                f"{path_of(spec, i)}."
            )
            raise DTypeError(msg)
    like = [abstract(x) for x in guess]
    k = len(guess)

    def applied(*flat: Any) -> Flat:
        return check_like(where, "f", f(tree.unflatten(spec, flat)), spec, like)

    aux: list[Any] = []

    def on_trees(apply: Callable[..., Flat]) -> Callable[[Any], Any]:
        def fun(v: Any) -> Any:
            return tree.unflatten(spec, apply(*converted(where, "f's argument", v, spec, like)))

        return fun

    def solution(apply: Callable[..., Flat], guess: Flat) -> Flat:
        made = solve(on_trees(apply), tree.unflatten(spec, guess))
        x, rest = split_aux(where, "solve", made, has_aux)
        further, further_spec = array_leaves(rest, where)
        aux[:] = [further_spec]
        return [*converted(where, "solve's result", x, spec, like), *further]

    def result(found: Flat) -> Any:
        x = tree.unflatten(spec, found[:k])
        return (x, tree.unflatten(aux[0], found[k:])) if has_aux else x

    if not RUNNING.get():
        return result(called(where, solution, applied, guess))

    staged, _ = stage(applied, like, "custom_root", f)
    params, listed = list(staged.constants), staged.closed()
    n = len(params)

    def residual(params: Flat, x: Flat) -> Flat:
        return listed.replay([*params, *x])

    def function(params: Flat, _: Flat) -> Callable[..., Flat]:
        return lambda *x: residual(params, list(x))

    def tangent(apply: Callable[..., Flat], y: Flat) -> Flat:
        made = tangent_solve(on_trees(apply), tree.unflatten(spec, y))
        return converted(where, "tangent_solve's result", made, spec, like)

    slope = Map.derivative(residual, n, symmetric=False)
    solver = Solver(where, solution, function, params, guess, solve)
    solver.slot = slice(0, len(solver.constants))
    reads = [*params, *guess]
    ahead = Solver(where, tangent, slope.forward, reads, guess, tangent_solve)
    ahead.slot = slice(len(solver.constants), None)
    held = [*solver.constants, *ahead.constants]

    def back(apply: Callable[..., Flat], consts: Flat, held: Flat, ct: Flat) -> Flat:
        try:
            return ahead.transposed(apply, consts, held, ct)
        except RuleError:
            return called(where, tangent, apply, ct)

    def solved(params: Flat, held: Flat, guess: Flat) -> Flat:
        return solver.run(function(params, guess), params, held, guess)

    names = listed.axis_names | solver.axis_names | ahead.axis_names
    linear = Linear(where, slope, ahead.run, back, (n + k, len(held), k), axis_names=names)
    extra, counts = solver.extra() if has_aux else (), (n, len(held), k)
    call = Root(where, residual, solved, linear, counts, extra=extra, axis_names=names)
    return result(list(solve_root(*params, *held, *guess, call=call)))
