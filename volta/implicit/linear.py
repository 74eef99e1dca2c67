"""Solvers of linear equations that are given by functions: `dense`, `cg`, `normal_cg`, `gmres`.

Each is called ``solve(matvec, b)`` with trees, and so can be handed to `volta.custom_linear_solve`
too. Complex numbers count as pairs of real ones: a map need be linear in real factors only, as the
derivative of a function is that is not holomorphic. The iterative solvers compare numbers, and so
need concrete values.
"""

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta import tree
from volta.core.dispatch import NUMPY
from volta.core.trace import located
from volta.core.tracer import library_under
from volta.core.types import as_dtype
from volta.functional.linalg.common import nan_where_singular
from volta.transforms import vjp, vmap
from volta.transforms.arguments import as_array

__all__ = ["cg", "dense", "gmres", "normal_cg"]

Matvec = Callable[[Any], Any]
_BLOCK: Final = 128  # columns that are made at once, which bounds memory


def dense(matvec: Matvec, b: Any) -> Any:
    """Solve ``A x = b`` by the matrix of A and elimination.

    Parameters
    ----------
    matvec : callable
        ``matvec(x) -> A x`` of trees like `b`, linear.
    b : tree
        Of floating arrays, with n numbers in all.

    Returns
    -------
    tree
        x, like `b`; NaN throughout where A is singular.

    Notes
    -----
    The n columns of A are n applications of `matvec`, 128 at once by `vmap`. Elimination takes
    8/3 n³ operations, most of them for the inverse, from which the condition number is known: A
    counts as singular where ``‖A‖₁ ‖A⁻¹‖₁ ε ≥ 1/8``, so that no digit of x would be right.

    References
    ----------
    N. Higham, "Accuracy and Stability of Numerical Algorithms" (2002), section 7.1.

    Examples
    --------
    >>> import numpy as np, volta
    >>> a = np.asarray([[2.0, 1.0], [0.0, 4.0]])
    >>> volta.implicit.dense(lambda x: a @ x, np.asarray([4.0, 8.0]))
    array([1., 2.])
    """
    flat, unravel = _reals(b)
    n = flat.shape[0]
    if not n:
        return b
    like = {"dtype": flat.dtype, "xp": library_under(flat).xp, "device": flat.device}
    if library_under(flat) is NUMPY:
        del like["device"]
    one = F.eye(n, **like)
    columns = vmap(lambda v: _reals(matvec(unravel(v)))[0])
    blocks = [columns(one[i : min(i + _BLOCK, n), :]) for i in range(0, n, _BLOCK)]
    a = F.matrix_transpose(F.concat(blocks))
    right = F.concat([F.expand_dims(flat, axis=1), one], axis=1)
    found = nan_where_singular(F.linalg.solve, a, right)
    condition = _one_norm(a) * _one_norm(found[:, 1:])
    regular = condition * (8 * float(F.finfo(flat.dtype).eps)) < 1
    return unravel(F.where(regular, found[:, 0], float("nan")))


def _one_norm(a: Any) -> Any:
    return F.max(F.sum(F.abs(a), axis=0))


def cg(matvec: Matvec, b: Any, *, rtol: float | None = None, maxiter: int | None = None) -> Any:
    """Solve ``A x = b`` for a symmetric positive definite A by conjugate gradients.

    Parameters
    ----------
    matvec : callable
        ``matvec(x) -> A x`` of trees like `b`, linear, symmetric and positive definite.
    b : tree
        Of floating arrays, with n numbers in all.
    rtol : float, optional
        ``‖A x − b‖ ≤ rtol ‖b‖`` ends it; by default ``1000 ε``.
    maxiter : int, optional
        Largest number of steps, with one application of A each; by default ``10 n``.

    Returns
    -------
    tree
        x, like `b`.

    Raises
    ------
    numpy.linalg.LinAlgError
        If A shows not to be positive definite, or if it does not converge.

    Notes
    -----
    If A is singular and there are solutions all the same, the least of them is returned.

    References
    ----------
    M. Hestenes and E. Stiefel, "Methods of conjugate gradients for solving linear systems",
    Journal of Research of the National Bureau of Standards 49 (1952), section 3.

    Examples
    --------
    >>> import numpy as np, volta
    >>> volta.implicit.cg(lambda x: np.asarray([2.0, 4.0]) * x, np.asarray([4.0, 8.0]))
    array([2., 2.])
    """
    flat, unravel = _reals(b)

    def apply(v: Any) -> Any:
        return _reals(matvec(unravel(v)))[0]

    return unravel(_cg("cg", apply, flat, rtol, maxiter))


def _cg(
    name: str, apply: Callable[[Any], Any], b: Any, rtol: float | None, maxiter: int | None
) -> Any:
    goal, most = _goal(b, rtol), 10 * b.shape[0] if maxiter is None else maxiter
    x, r = F.zeros_like(b), b
    p, size, largest = r, _dot(r, r), 0.0
    for _ in range(most):
        if size <= goal**2:
            return x
        q = apply(p)
        curvature, length = _dot(p, q), _norm(p)
        largest = max(largest, _norm(q) / length)  # of the norm of A, as far as it is seen
        if not curvature > float(F.finfo(b.dtype).eps) * largest * length**2:
            msg = (
                f"{name}: the map must be positive definite; got pᵀ A p = {curvature:.3g} for a "
                f"vector p of length {length:.3g}."
            )
            raise located(np.linalg.LinAlgError(msg))
        x, r = x + (size / curvature) * p, r - (size / curvature) * q
        size, before = _dot(r, r), size
        p = r + (size / before) * p
    return _arrived(name, x, size**0.5, goal, most)


def normal_cg(
    matvec: Matvec, b: Any, *, rtol: float | None = None, maxiter: int | None = None
) -> Any:
    """Solve ``A x = b`` for any regular A by conjugate gradients on ``Aᵀ A x = Aᵀ b``.

    Parameters
    ----------
    matvec : callable
        ``matvec(x) -> A x`` of trees like `b`, linear and made of Volta's operations, which are
        transposed.
    b : tree
        Of floating arrays, with n numbers in all.
    rtol : float, optional
        ``‖Aᵀ (A x − b)‖ ≤ rtol ‖Aᵀ b‖`` ends it; by default ``1000 ε``.
    maxiter : int, optional
        Largest number of steps, with one application of A and Aᵀ each; by default ``10 n``.

    Returns
    -------
    tree
        x, like `b`.

    Raises
    ------
    numpy.linalg.LinAlgError
        If it does not converge, or if what it converges to is no solution: then
        ``‖A x − b‖ > √rtol ‖b‖``.

    Notes
    -----
    The condition number of the equation is the square of that of A. If A is singular and there are
    solutions all the same, the least of them is returned.

    References
    ----------
    M. Hestenes and E. Stiefel, "Methods of conjugate gradients for solving linear systems",
    Journal of Research of the National Bureau of Standards 49 (1952), section 10.

    Examples
    --------
    >>> import numpy as np, volta
    >>> a = np.asarray([[2.0, 1.0], [0.0, 4.0]])
    >>> np.round(volta.implicit.normal_cg(lambda x: a @ x, np.asarray([4.0, 8.0])), 6)
    array([1., 2.])
    """
    flat, unravel = _reals(b)

    def apply(v: Any) -> Any:
        return _reals(matvec(unravel(v)))[0]

    transpose = vjp(apply, F.zeros_like(flat))[1]
    right = transpose(flat)[0]
    x = _cg("normal_cg", lambda v: transpose(apply(v))[0], right, rtol, maxiter)
    gap, size = _norm(apply(x) - flat), _norm(flat)
    if gap > _relative(flat, rtol) ** 0.5 * size:
        msg = (
            f"normal_cg: the map must be regular; got a least residual of {gap:.3g} for a "
            f"right-hand side of {size:.3g}."
        )
        raise located(np.linalg.LinAlgError(msg))
    return unravel(x)


def gmres(
    matvec: Matvec,
    b: Any,
    *,
    rtol: float | None = None,
    maxiter: int | None = None,
    restart: int = 50,
) -> Any:
    """Solve ``A x = b`` for any regular A by generalized minimal residuals.

    Parameters
    ----------
    matvec : callable
        ``matvec(x) -> A x`` of trees like `b`, linear.
    b : tree
        Of floating arrays, with n numbers in all.
    rtol : float, optional
        ``‖A x − b‖ ≤ rtol ‖b‖`` ends it; by default ``1000 ε``.
    maxiter : int, optional
        Largest number of applications of A; by default ``10 n``.
    restart : int
        Number of directions, arrays like `b`, that are kept; then it begins again from where it is.

    Returns
    -------
    tree
        x, like `b`.

    Raises
    ------
    numpy.linalg.LinAlgError
        If it does not converge.

    Notes
    -----
    If A is singular and there are solutions all the same, one of them is returned.

    References
    ----------
    Y. Saad and M. Schultz, "GMRES: a generalized minimal residual algorithm for solving
    nonsymmetric linear systems", SIAM J. Sci. Stat. Comput. 7 (1986), algorithm 4. Directions are
    made orthogonal twice.

    Examples
    --------
    >>> import numpy as np, volta
    >>> a = np.asarray([[2.0, 1.0], [0.0, 4.0]])
    >>> np.round(volta.implicit.gmres(lambda x: a @ x, np.asarray([4.0, 8.0])), 6)
    array([1., 2.])
    """
    flat, unravel = _reals(b)

    def apply(v: Any) -> Any:
        return _reals(matvec(unravel(v)))[0]

    goal, most = _goal(flat, rtol), 10 * flat.shape[0] if maxiter is None else maxiter
    x, r = F.zeros_like(flat), flat
    done = 0
    while (size := _norm(r)) > goal and done < most:
        steps = min(restart, flat.shape[0], most - done)
        x = x + _cycle(apply, r, size, goal, steps)
        r, before = flat - apply(x), size
        done += steps + 1
        if not _norm(r) < before:
            break
    return unravel(_arrived("gmres", x, _norm(r), goal, done))


def _cycle(apply: Callable[[Any], Any], r: Any, size: float, goal: float, steps: int) -> Any:
    """Correction for the residual `r` from the space of ``r, A r, A² r, …``."""
    basis = F.expand_dims(r / size, axis=0)
    h = np.zeros((steps + 1, steps))
    target = np.zeros(steps + 1)
    target[0] = size
    for j in range(steps):
        w = apply(basis[-1, ...])
        whole = _norm(w)
        for _ in range(2):
            shares = basis @ w
            w = w - F.matrix_transpose(basis) @ shares
            h[: j + 1, j] += np.asarray([float(s) for s in shares])
        h[j + 1, j] = left = _norm(w)
        y = np.linalg.lstsq(h[: j + 2, : j + 1], target[: j + 2])[0]
        rest = target[: j + 2] - h[: j + 2, : j + 1] @ y
        if left <= 1e-14 * whole or np.linalg.norm(rest) <= 0.5 * goal:
            break
        basis = F.concat([basis, F.expand_dims(w / left, axis=0)])
    return sum(float(c) * basis[i, ...] for i, c in enumerate(y))


def _goal(b: Any, rtol: float | None) -> float:
    return _relative(b, rtol) * _norm(b)


def _relative(b: Any, rtol: float | None) -> float:
    return 1000 * float(F.finfo(b.dtype).eps) if rtol is None else rtol


def _norm(x: Any) -> float:
    return math.sqrt(_dot(x, x))


def _dot(x: Any, y: Any) -> float:
    return float(F.vecdot(x, y))


def _arrived(name: str, x: Any, size: float, goal: float, steps: int) -> Any:
    if size <= goal:
        return x
    msg = (
        f"{name}: must converge; got a residual of {size:.3g}, where {goal:.3g} was asked for, "
        f"after {steps} steps. Raise maxiter or rtol, or use another solver."
    )
    raise located(np.linalg.LinAlgError(msg))


def _reals(x: Any) -> tuple[Any, Callable[[Any], Any]]:
    """A tree as a vector of real numbers of at least 32 bits, and the way back."""
    leaves, spec = tree.flatten(x)
    leaves = [as_array(leaf, "solve") for leaf in leaves]
    dtypes = [as_dtype(leaf.dtype) for leaf in leaves]
    split = [
        (F.real(leaf), F.imag(leaf)) if dtype.kind == "complex" else leaf
        for leaf, dtype in zip(leaves, dtypes, strict=True)
    ]
    flat, unravel = tree.ravel_pytree(split)
    wide = as_dtype(flat.dtype).itemsize < 4
    if wide:
        flat = F.astype(flat, "float32")

    def back(vector: Any) -> Any:
        parts = [
            F.astype(part[0], dtype) + F.astype(part[1], dtype) * 1j
            if dtype.kind == "complex"
            else part
            for part, dtype in zip(unravel(vector), dtypes, strict=True)
        ]
        return tree.unflatten(spec, parts)

    return flat, back
