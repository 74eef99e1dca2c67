"""Linear equations, inverses, determinants and powers."""

import math
import operator
from typing import Any, NamedTuple

import numpy as np

from volta.core.derivatives import Pair, unbroadcast
from volta.core.errors import ShapeError
from volta.core.trace import located, ops
from volta.core.tracer import concrete, library_under
from volta.core.types import Array, ArrayType, broadcast_shapes, promote, typeof
from volta.functional.declare import composite, in_one_task, primitive, shortcut, structural
from volta.functional.elementwise import greater, imag, real
from volta.functional.linalg.common import (
    adjoint,
    aligned,
    batch_matrices,
    conjugate,
    diagonal_matrix,
    epsilon,
    floating,
    is_complex,
    nan_where_singular,
    need_matrix,
    need_square,
    real_dtype,
    zeros,
)
from volta.functional.linalg.decompositions import svd, svdvals
from volta.functional.linalg.parts import diagonal
from volta.functional.manipulation import (
    broadcast_to,
    expand_dims,
    matrix_transpose,
    reshape,
    squeeze,
    tril,
    triu,
)
from volta.functional.products import matmul
from volta.functional.reduction import max, prod, sum

__all__ = [
    "SlogdetResult",
    "det",
    "inv",
    "lstsq",
    "matrix_power",
    "matrix_rank",
    "pinv",
    "slogdet",
    "solve",
    "solve_triangular",
]


def _of_matrix(x: Any) -> Any:
    """Numbers, one a matrix, that multiply matrices."""
    return expand_dims(expand_dims(x, axis=-1), axis=-1)


# Equations --------------------------------------------------------------------------------------


def _solve_type(x1: ArrayType, x2: ArrayType) -> ArrayType:
    need_square("solve", x1)
    if x2.shape[-2] != x1.shape[-1]:
        msg = (
            "solve: the right sides must have the length of the matrices; got shapes "
            f"{tuple(x1.shape)} and {tuple(x2.shape)}."
        )
        raise ShapeError(msg)
    lead = broadcast_shapes("solve", x1.shape[:-2], x2.shape[:-2])
    return ArrayType((*lead, *x2.shape[-2:]), x2.dtype)


def _solve_jvp(primals: Any, tangents: Any) -> Any:
    (a, b), (ta, tb) = primals, tangents
    out = _solve(a, b)
    if ta is None:
        change = tb
    else:
        change = -matmul(ta, out)
        change = change if tb is None else tb + change
    return out, solve(a, change)


def _solve_fwd(a: Any, b: Any) -> Any:
    out = _solve(a, b)
    return out, (a, out, tuple(b.shape))


def _solve_bwd(residuals: Any, ct: Any, needed: Any) -> Any:
    a, out, shape = residuals
    right = solve(matrix_transpose(a), ct)
    left = None
    if needed[0] is not None:
        left = unbroadcast(-matmul(right, matrix_transpose(out)), tuple(a.shape))
    return left, None if needed[1] is None else unbroadcast(right, shape)


def _cupy_solve(a: Any, b: Any) -> Any:
    """CuPy's, which broadcasts no stacks."""
    xp = library_under(a).xp
    lead = broadcast_shapes("solve", a.shape[:-2], b.shape[:-2])
    a, b = (xp.broadcast_to(x, (*lead, *x.shape[-2:])) for x in (a, b))
    return xp.linalg.solve(a, b)


_solve: Any = primitive(
    "solve",
    type_rule=_solve_type,
    batch=lambda size, batched, a, b: _solve(*aligned(size, batched, a, b)),
    derivatives=Pair(_solve_jvp, _solve_fwd, _solve_bwd),
    value=lambda xp, a, b: xp.linalg.solve(a, b),
    kernels={"cupy": _cupy_solve, "dask.array": in_one_task("solve")},
)


def _equations(name: str, a: Any, b: Any) -> tuple[Any, Any]:
    """Matrix and right sides of one dtype, the right sides matrices, of equal rank or higher."""
    need_matrix(name, typeof(a))
    if not b.ndim:
        msg = f"{name}: the right side must have an axis; got shape ()."
        raise located(ShapeError(msg))
    dtype = promote((typeof(a).dtype, typeof(b).dtype))
    if b.ndim == 1:
        b = expand_dims(b, axis=-1)
    if b.ndim < a.ndim:  # torch would take some for vectors
        b = reshape(b, ((1,) * (a.ndim - b.ndim) + tuple(b.shape)))
    return ops.astype(a, dtype, copy=False), ops.astype(b, dtype, copy=False)


@structural(_solve)
@shortcut(np.linalg.solve)
@floating
def solve(x1: Array, x2: Array, /) -> Any:
    """Solution of linear equations, X with ``x1 X = x2``.

    Parameters
    ----------
    x1 : array, shape (..., n, n)
    x2 : array, shape (n,) or (..., n, k)
        Of floating dtype; an array of one axis is a vector, any other holds matrices. Leading
        axes broadcast.

    Returns
    -------
    array, shape (..., n) if `x2` is a vector, else (..., n, k)

    Raises
    ------
    ShapeError
        If the matrices are not square, or the right sides of another length.
    BroadcastError
        If the leading axes do not broadcast together.
    LinAlgError
        NumPy's, if a matrix is singular.

    Notes
    -----
    ``dX = x1⁻¹ (dx2 − dx1 X)``.

    Examples
    --------
    >>> F.linalg.solve(np.asarray([[2.0, 0.0], [1.0, 1.0]]), np.asarray([2.0, 3.0]))
    array([1., 2.])
    """
    out = _solve(*_equations("solve", x1, x2))
    return squeeze(out, -1) if x2.ndim == 1 else out


@composite
@floating
def solve_triangular(
    a: Array, b: Array, /, *, lower: bool = False, unit_diagonal: bool = False
) -> Any:
    """Solution of equations with triangular matrices, X with ``a X = b``.

    Parameters
    ----------
    a : array, shape (..., n, n)
        Only its upper triangle counts, or with `lower` its lower one.
    b : array, shape (n,) or (..., n, k)
        As the second operand of `solve`.
    lower : bool
    unit_diagonal : bool
        Whether the diagonal of `a` counts as ones.

    Returns
    -------
    array, shape (..., n) or (..., n, k)

    Raises
    ------
    ShapeError, BroadcastError, LinAlgError
        As `solve`.

    Examples
    --------
    >>> a = np.asarray([[2.0, 1.0], [9.0, 4.0]])
    >>> F.linalg.solve_triangular(a, np.asarray([4.0, 8.0]))
    array([1., 2.])
    """
    need_square("solve_triangular", typeof(a))
    side = tril if lower else triu
    if not unit_diagonal:
        return solve(side(a), b)
    return solve(side(a, k=-1 if lower else 1) + eye_like(a), b)


def eye_like(x: Any) -> Any:
    """Identity matrices of the shape and dtype of `x`, in its library and on its device."""
    return diagonal_matrix(ops.add(zeros(x[..., 0, :]), 1))


# Inverses ---------------------------------------------------------------------------------------


def _inv_type(x: ArrayType) -> ArrayType:
    need_square("inv", x)
    return x


def _inv_jvp(primals: Any, tangents: Any) -> Any:
    out = _inv(primals[0])
    return out, -matmul(matmul(out, tangents[0]), out)


def _inv_bwd(out: Any, ct: Any, needed: Any) -> Any:
    turned = matrix_transpose(out)
    return (-matmul(matmul(turned, ct), turned),)


_inv: Any = primitive(
    "inv",
    type_rule=_inv_type,
    batch=batch_matrices("inv", lambda x: _inv(x)),
    derivatives=Pair(_inv_jvp, None, _inv_bwd),
    value=lambda xp, x: xp.linalg.inv(x),
    kernels={"dask.array": in_one_task("inv")},
)


@structural(_inv)
@shortcut(np.linalg.inv)
@floating
def inv(x: Array, /) -> Any:
    """Inverse of square matrices.

    Parameters
    ----------
    x : array, shape (..., n, n)
        Of floating dtype.

    Returns
    -------
    array, shape (..., n, n)

    Raises
    ------
    ShapeError
        If the matrices are not square.
    LinAlgError
        NumPy's, if a matrix is singular.

    Notes
    -----
    ``dx⁻¹ = −x⁻¹ dx x⁻¹``. Where the inverse is only multiplied, `solve` is faster and more
    accurate.

    Examples
    --------
    >>> F.linalg.inv(np.asarray([[2.0, 0.0], [0.0, 4.0]]))
    array([[0.5 , 0.  ],
           [0.  , 0.25]])
    """
    return _inv(x)


def _pinv_type(x: ArrayType, *, rtol: Any) -> ArrayType:
    need_matrix("pinv", x)
    *lead, m, n = x.shape
    return ArrayType((*lead, n, m), x.dtype)


def _pinv_value(xp: Any, x: Any, *, rtol: Any) -> Any:
    if not math.prod(x.shape):
        return xp.matrix_transpose(x)
    return xp.linalg.pinv(x, rtol=rtol)


def _pinv_jvp(primals: Any, tangents: Any, *, rtol: Any) -> Any:
    (x,), (t,) = primals, tangents
    out = _pinv(x, rtol=rtol)
    up, th = adjoint(out), adjoint(t)
    left, right = matmul(matmul(out, up), th), matmul(th, matmul(up, out))
    change = left - matmul(matmul(left, x), out) + right - matmul(out, matmul(x, right))
    return out, change - matmul(matmul(out, t), out)


def _pinv_fwd(x: Any, *, rtol: Any) -> Any:
    out = _pinv(x, rtol=rtol)
    return out, (x, out)


def _pinv_bwd(residuals: Any, ct: Any, needed: Any, *, rtol: Any) -> Any:
    x, out = residuals
    up, gh = adjoint(out), adjoint(conjugate(ct))
    left, right = matmul(gh, matmul(out, up)), matmul(matmul(up, out), gh)
    change = left - matmul(x, matmul(out, left)) + right - matmul(matmul(right, out), x)
    return (conjugate(change - matmul(matmul(up, conjugate(ct)), up)),)


_pinv: Any = primitive(
    "pinv",
    type_rule=_pinv_type,
    batch=batch_matrices("pinv", lambda x, *, rtol: _pinv(x, rtol=rtol)),
    derivatives=Pair(_pinv_jvp, _pinv_fwd, _pinv_bwd),
    value=_pinv_value,
    kernels={"dask.array": in_one_task("pinv")},
)


@structural(_pinv)
@floating
def pinv(x: Array, /, *, rtol: Any = None) -> Any:
    """Pseudoinverse of matrices (Moore-Penrose).

    Parameters
    ----------
    x : array, shape (..., m, n)
        Of floating dtype.
    rtol : float or array, shape (...), optional
        Singular values up to this part of the largest count as 0; by default max(m, n) ε.

    Returns
    -------
    array, shape (..., n, m)

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.

    Notes
    -----
    The derivative is that among matrices of the same rank, where the pseudoinverse is continuous:
    ``dP = −P dx P + P Pᴴ dxᴴ (1 − x P) + (1 − P x) dxᴴ Pᴴ P``. G. H. Golub and V. Pereyra, "The
    differentiation of pseudo-inverses and nonlinear least squares problems whose variables
    separate", 1973.

    Examples
    --------
    >>> F.linalg.pinv(np.asarray([[2.0, 0.0], [0.0, 0.0]]))
    array([[0.5, 0. ],
           [0. , 0. ]])
    """
    need_matrix("pinv", typeof(x))
    rtol = _default_rtol(x) if rtol is None else concrete(rtol, "pinv, for rtol")
    return _pinv(x, rtol=rtol)


def _default_rtol(x: Any) -> float:
    m, n = x.shape[-2:]
    return float((m if m > n else n) * epsilon(x))


@composite
@floating
def lstsq(a: Array, b: Array, /, *, rtol: Any = None) -> Any:
    """The smallest X among those for which ``|a X − b|`` is least.

    Parameters
    ----------
    a : array, shape (..., m, n)
    b : array, shape (m,) or (..., m, k)
        Of floating dtype; an array of one axis is a vector, any other holds matrices. Leading
        axes broadcast.
    rtol : float, optional
        As for `pinv`.

    Returns
    -------
    array, shape (..., n) if `b` is a vector, else (..., n, k)

    Raises
    ------
    ShapeError
        If the lengths differ.

    Notes
    -----
    The product of the pseudoinverse of `a` and `b`.

    Examples
    --------
    >>> a = np.asarray([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    >>> np.round(F.linalg.lstsq(a, np.asarray([1.0, 3.0, 5.0])), 6)
    array([1., 2.])
    """
    need_matrix("lstsq", typeof(a))
    length = b.shape[-2 if b.ndim > 1 else -1] if b.ndim else None
    if length != a.shape[-2]:
        msg = (
            "lstsq: the right sides must have the length of the columns; got shapes "
            f"{tuple(a.shape)} and {tuple(b.shape)}."
        )
        raise located(ShapeError(msg))
    return matmul(pinv(a, rtol=rtol), b)


@composite
@floating
def matrix_rank(x: Array, /, *, rtol: Any = None) -> Any:
    """Number of singular values that are not 0.

    Parameters
    ----------
    x : array, shape (..., m, n)
        Of floating dtype.
    rtol : float or array, shape (...), optional
        Singular values up to this part of the largest count as 0; by default max(m, n) ε.

    Returns
    -------
    array, shape (...)
        Of the library's integer dtype.

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.

    Examples
    --------
    >>> F.linalg.matrix_rank(np.asarray([[1.0, 2.0], [2.0, 4.0]]))
    array(1)
    """
    need_matrix("matrix_rank", typeof(x))
    rtol = _default_rtol(x) if rtol is None else concrete(rtol, "matrix_rank, for rtol")
    s = svdvals(x)
    if not s.shape[-1]:
        return ops.count_nonzero(s, axis=-1)
    limit = max(s, axis=-1, keepdims=True)
    limit = limit * (expand_dims(rtol, axis=-1) if getattr(rtol, "ndim", 0) else rtol)
    return ops.count_nonzero(greater(s, limit), axis=-1)


@composite
@floating
def matrix_power(x: Array, n: int, /) -> Any:
    """Product of `n` copies of square matrices.

    Parameters
    ----------
    x : array, shape (..., m, m)
        Of floating dtype.
    n : int
        Powers of the inverse if negative; the identity if 0.

    Returns
    -------
    array, shape (..., m, m)

    Raises
    ------
    ShapeError
        If the matrices are not square.
    LinAlgError
        NumPy's, if `n` is negative and a matrix singular.

    Examples
    --------
    >>> F.linalg.matrix_power(np.asarray([[1.0, 1.0], [0.0, 1.0]]), 5)
    array([[1., 5.],
           [0., 1.]])
    """
    need_square("matrix_power", typeof(x))
    n = operator.index(n)
    if n == 0:
        return eye_like(x) if x.shape[-1] else x
    if n < 0:
        x, n = inv(x), -n
    out = None
    while True:  # by the binary digits of n
        if n & 1:
            out = x if out is None else matmul(out, x)
        n >>= 1
        if not n:
            return out
        x = matmul(x, x)


# Determinants -----------------------------------------------------------------------------------


def _all_but_two(s: Any) -> Any:
    """Products of all elements but the i-th and the j-th, zeros where i = j; of any elements."""
    n = s.shape[-1]
    but_one = _off_diagonal(broadcast_to(expand_dims(s, axis=-2), (*s.shape[:-1], n, n)), 1)
    but_two = broadcast_to(expand_dims(but_one, axis=-2), (*s.shape[:-1], n, n, n))
    return _off_diagonal(prod(_off_diagonal(but_two, 1), axis=-1), 0)


def _off_diagonal(x: Any, fill: float) -> Any:
    """`x` with `fill` on the diagonals of the last two axes."""
    rest = tril(x, k=-1) + triu(x, k=1)
    return rest + eye_like(x) if fill else rest


def _adjugate_parts(x: Any) -> Any:
    u, s, vh = svd(x)
    unit = _det(u) * _det(vh)
    return _of_matrix(unit), adjoint(u), s, adjoint(vh)


def _adjugate_jvp(primals: Any, tangents: Any) -> Any:
    """To first order the adjugate of ``diag(s) + M``, between singular vectors."""
    (x,), (t,) = primals, tangents
    unit, uh, s, v = _adjugate_parts(x)
    inner = matmul(matmul(uh, t), v)
    change = _adjugate_change(s, inner)
    return _adjugate(x), unit * matmul(matmul(v, change), uh)


def _adjugate_change(s: Any, inner: Any) -> Any:
    two = _all_but_two(s)
    along = sum(two * expand_dims(diagonal(inner), axis=-2), axis=-1)
    return diagonal_matrix(along) - two * inner


def _adjugate_bwd(x: Any, ct: Any, needed: Any) -> Any:
    """The change is its own transpose but for the order of the axes: all is holomorphic."""
    unit, uh, s, v = _adjugate_parts(x)
    inner = matmul(matmul(matrix_transpose(v), unit * ct), matrix_transpose(uh))
    change = _adjugate_change(s, inner)
    return (matmul(matmul(matrix_transpose(uh), change), matrix_transpose(v)),)


def _adjugate_value(xp: Any, x: Any) -> Any:
    if x.shape[-1] == 0:
        return x
    u, s, vh = xp.linalg.svd(x)
    unit = xp.linalg.det(u) * xp.linalg.det(vh)
    n = s.shape[-1]
    others = [xp.prod(xp.concat([s[..., :i], s[..., i + 1 :]], axis=-1), axis=-1) for i in range(n)]
    scale = xp.stack(others, axis=-1) * unit[..., None]
    turned = xp.matrix_transpose(u)
    if xp.isdtype(x.dtype, "complex floating"):
        vh, turned = xp.conj(vh), xp.conj(turned)
    return xp.matmul(xp.matrix_transpose(vh) * scale[..., None, :], turned)


def _adjugate_type(x: ArrayType) -> ArrayType:
    need_square("adjugate", x)
    return x


_adjugate: Any = primitive(
    "adjugate",
    type_rule=_adjugate_type,
    batch=batch_matrices("adjugate", lambda x: _adjugate(x)),
    derivatives=Pair(_adjugate_jvp, lambda x: (_adjugate(x), x), _adjugate_bwd),
    value=_adjugate_value,
    kernels={"dask.array": in_one_task("adjugate")},
)


def _det_type(x: ArrayType) -> ArrayType:
    need_square("det", x)
    return ArrayType(x.shape[:-2], x.dtype)


def _det_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    return _det(x), sum(_adjugate(x) * matrix_transpose(t), axis=(-2, -1))


_det: Any = primitive(
    "det",
    type_rule=_det_type,
    batch=batch_matrices("det", lambda x: _det(x)),
    derivatives=Pair(
        _det_jvp,
        lambda x: (_det(x), x),
        lambda x, ct, needed: (_of_matrix(ct) * matrix_transpose(_adjugate(x)),),
    ),
    value=lambda xp, x: xp.linalg.det(x),
    kernels={"dask.array": in_one_task("det")},
)


@structural(_det)
@shortcut(np.linalg.det)
@floating
def det(x: Array, /) -> Any:
    """Determinant of square matrices.

    Parameters
    ----------
    x : array, shape (..., n, n)
        Of floating dtype.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    ShapeError
        If the matrices are not square.

    Notes
    -----
    ``d det x = tr(adj(x) dx)`` with the adjugate, which exists for singular matrices too; it is
    made from a singular value decomposition. First and second derivatives are right for every
    matrix; third ones where no two singular values are equal.

    Examples
    --------
    >>> F.linalg.det(np.asarray([[2.0, 1.0], [0.0, 3.0]]))
    array(6.)
    """
    return _det(x)


class SlogdetResult(NamedTuple):
    """Result of `slogdet`."""

    sign: Any
    logabsdet: Any


def _slogdet_type(x: ArrayType) -> tuple[ArrayType, ArrayType]:
    need_square("slogdet", x)
    lead = x.shape[:-2]
    return ArrayType(lead, x.dtype), ArrayType(lead, real_dtype(x.dtype))


def _slogdet_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    sign, size = _slogdet(x)
    change = sum(diagonal(nan_where_singular(solve, x, t)), axis=-1)
    if not is_complex(x):
        return (sign, size), (zeros(sign), change)
    return (sign, size), (sign * (change - real(change)), real(change))


def _slogdet_fwd(x: Any) -> Any:
    out = _slogdet(x)
    return out, (x, out[0])


def _slogdet_bwd(residuals: Any, ct: Any, needed: Any) -> Any:
    (x, sign), (gsign, gsize) = residuals, ct
    scale = gsize
    if gsign is not None and is_complex(x):
        turn = imag(gsign * sign) * 1j
        scale = turn if gsize is None else turn + gsize
    if scale is None:
        return (zeros(x),)
    return (_of_matrix(scale) * matrix_transpose(nan_where_singular(inv, x)),)


_slogdet: Any = primitive(
    "slogdet",
    type_rule=_slogdet_type,
    batch=batch_matrices("slogdet", lambda x: _slogdet(x)),
    derivatives=Pair(_slogdet_jvp, _slogdet_fwd, _slogdet_bwd),
    value=lambda xp, x: tuple(xp.linalg.slogdet(x)),
    kernels={
        "numpy": lambda x: tuple(map(np.asarray, np.linalg.slogdet(x))),
        "dask.array": in_one_task("slogdet"),
    },
    results=2,
)


@structural(_slogdet)
@floating
def slogdet(x: Array, /) -> SlogdetResult:
    """Sign, and logarithm of the absolute value, of the determinant of square matrices.

    Parameters
    ----------
    x : array, shape (..., n, n)
        Of floating dtype.

    Returns
    -------
    SlogdetResult
        `sign`, shape (...), of absolute value 1, or 0 for singular matrices; `logabsdet`, shape
        (...), real, −∞ for singular matrices.

    Raises
    ------
    ShapeError
        If the matrices are not square.

    Notes
    -----
    ``d log|det x| = Re tr(x⁻¹ dx)``. It has no value for singular matrices, where derivatives
    are NaN; `det` has derivatives there.

    Examples
    --------
    >>> F.linalg.slogdet(np.asarray([[0.0, 1.0], [1.0, 0.0]])).sign
    array(-1.)
    """
    return SlogdetResult(*_slogdet(x))
