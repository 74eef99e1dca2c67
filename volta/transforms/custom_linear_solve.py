"""Linear equations around a solver of one's own: `custom_linear_solve`."""

from collections.abc import Callable
from typing import Any

from volta.core import tree
from volta.core.context import RUNNING
from volta.core.errors import DTypeError, RuleError
from volta.core.keywords import suggesting
from volta.core.types import is_inexact, typeof
from volta.transforms.arguments import array_leaves, name_of, path_of
from volta.transforms.lists import stage
from volta.transforms.solution import (
    Linear,
    Map,
    Solve,
    no_transpose,
    solve_linear,
)
from volta.transforms.solver import Flat, Solver, called, check_like, converted, split_aux
from volta.transforms.trace import abstract

__all__ = ["custom_linear_solve"]


@suggesting
def custom_linear_solve(
    matvec: Callable[[Any], Any],
    b: Any,
    solve: Callable[..., Any],
    transpose_solve: Callable[..., Any] | None = None,
    symmetric: bool = False,
    has_aux: bool = False,
) -> Any:
    """Solve ``A x = b`` by a solver that is not differentiated.

    Parameters
    ----------
    matvec : callable
        ``matvec(x) -> A x``, linear; staged once, on types. Arrays that it closes over are
        differentiated.
    b : tree
        Right-hand side, of floating arrays. x has its structure, shapes and dtypes.
    solve : callable
        ``solve(matvec, b) -> x``. It may do anything: it gets raw arrays.
    transpose_solve : callable, optional
        ``transpose_solve(vecmat, ct) -> w`` with ``Aᵀ w = ct``, for reverse mode. Without it
        `solve` is transposed, if it consists of linear operations.
    symmetric : bool
        Whether A is symmetric (complex: ``A = Aᵀ``, unconjugated), so that `solve` will do.
    has_aux : bool
        Whether the solvers return a pair ``(x, aux)`` with a tree of further arrays, which are not
        differentiated.

    Returns
    -------
    x : tree
    aux : tree
        Only with `has_aux`.

    Raises
    ------
    RuleError
        In reverse mode, if there is no way to solve the transposed equation.
    ShapeError
        If `matvec` or a solver does not return what is like `b`.
    DTypeError
        If `b` is not floating.
    TraceError
        If a solver that needs concrete values closes over an array that is traced.
    numpy.linalg.LinAlgError
        If the solution of an equation with a finite right-hand side is not finite.

    Notes
    -----
    Both modes solve another equation with A or Aᵀ: ``ẋ = A⁻¹ (ḃ − Ȧ x)``; and with
    ``w = A⁻ᵀ ct`` the cotangent of b is w, that of A is ``−w xᵀ``. Both are differentiated in the
    same way again.

    What a solver closes over is not differentiated. Solvers that consist of Volta's operations run
    once for all lanes of `vmap`; others, which need concrete values, run lane by lane.

    References
    ----------
    M. Giles, "An extended collection of matrix derivative results for forward and reverse mode
    algorithmic differentiation" (2008), section 2.3.1,
    https://people.maths.ox.ac.uk/gilesm/files/NA-08-01.pdf.

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> def solution(a, b):
    ...     def by_scipy(matvec, b):
    ...         import scipy.sparse.linalg as sla
    ...         n = b.shape[0]
    ...         return sla.cg(sla.LinearOperator((n, n), matvec), b, rtol=1e-10)[0]
    ...     return volta.custom_linear_solve(lambda x: a * x, b, by_scipy, symmetric=True)
    >>> a, b = np.asarray([1.0, 2.0]), np.asarray([3.0, 4.0])
    >>> solution(a, b)
    array([3., 2.])
    >>> volta.grad(lambda a: F.sum(solution(a, b)))(a)
    array([-3., -1.])
    """
    where = f"custom_linear_solve({name_of(matvec)})"
    right, spec = array_leaves(b, where)
    for i, leaf in enumerate(right):
        if not is_inexact(typeof(leaf).dtype):
            msg = (
                f"{where}: the right-hand side must be floating; got {typeof(leaf).dtype.name} at "
                f"{path_of(spec, i)}."
            )
            raise DTypeError(msg)
    like = [abstract(x) for x in right]

    def applied(*flat: Any) -> Flat:
        return check_like(where, "matvec", matvec(tree.unflatten(spec, flat)), spec, like)

    aux: list[Any] = []

    def solver(of: Callable[..., Any], what: str) -> Callable[[Any, Flat], Flat]:
        def flat(apply: Callable[..., Flat], b: Flat) -> Flat:
            def on_trees(v: Any) -> Any:
                given = converted(where, "matvec's argument", v, spec, like)
                return tree.unflatten(spec, apply(*given))

            x, rest = split_aux(where, what, of(on_trees, tree.unflatten(spec, b)), has_aux)
            further, further_spec = array_leaves(rest, where)
            if what == "solve":
                aux[:] = [further_spec]
            return [*converted(where, f"{what}'s result", x, spec, like), *further]

        return flat

    def result(found: Flat) -> Any:
        x = tree.unflatten(spec, found[: len(right)])
        return (x, tree.unflatten(aux[0], found[len(right) :])) if has_aux else x

    if not RUNNING.get():
        return result(called(where, solver(solve, "solve"), applied, right))

    product, _ = stage(applied, like, "custom_linear_solve", matvec)
    consts, product = list(product.constants), product.closed()
    through = Map.of(lambda consts, v: product.replay([*consts, *v]))
    ahead = Solver(where, solver(solve, "solve"), through.forward, consts, right, solve)
    held, names = ahead.constants, product.axis_names | ahead.axis_names
    ahead.slot = slice(0, len(held))
    back: Solve | None = None
    if symmetric:
        through, back = Map(through.forward, through.forward), ahead.run
    elif transpose_solve is not None:
        turned = solver(transpose_solve, "transpose_solve")
        behind = Solver(where, turned, through.back, consts, right, transpose_solve)
        behind.slot = slice(len(held), None)
        held, back = [*held, *behind.constants], behind.run
        names |= behind.axis_names
    elif ahead.list is not None:

        def back(apply: Any, consts: Flat, held: Flat, ct: Flat) -> Flat:
            try:
                return ahead.transposed(apply, consts, held, ct)
            except RuleError as error:
                raise RuleError(no_transpose(where)) from error

    counts, extra = (len(consts), len(held), len(right)), ahead.extra() if has_aux else ()
    call = Linear(where, through, ahead.run, back, counts, extra=extra, axis_names=names)
    return result(list(solve_linear(*consts, *held, *right, call=call)))
