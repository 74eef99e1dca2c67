"""Decompositions of matrices.

The derivatives treat numbers that agree to rounding as equal: where eigenvalues are within
``10 n ε max|w|`` of each other, and singular values likewise, the reciprocal of the difference
counts as 0. So derivatives are finite, and right for what does not depend on the choice of vectors.

Reverse rules are written for the inner product ``Re Σ conj(g) · t``: the cotangent is conjugated
on its way in, the result on its way out.
"""

from typing import Any, Final, NamedTuple

import numpy as np

from volta.core.derivatives import Pair
from volta.core.trace import located, ops
from volta.core.types import DTYPES, Array, ArrayType, as_dtype, typeof
from volta.functional.declare import composite, in_one_task, primitive, shortcut, structural
from volta.functional.elementwise import add, real, subtract
from volta.functional.linalg.common import (
    adjoint,
    batch_matrices,
    conjugate,
    diagonal_matrix,
    differences,
    floating,
    half_triangle,
    hermitian,
    is_complex,
    nan_where_singular,
    need_matrix,
    need_square,
    real_dtype,
    reciprocal_unless_small,
    tolerance,
    zeros,
)
from volta.functional.linalg.parts import diagonal
from volta.functional.manipulation import concat, expand_dims, matrix_transpose, tril, triu
from volta.functional.products import matmul

__all__ = [
    "EigResult",
    "EighResult",
    "QRResult",
    "SVDResult",
    "cholesky",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "qr",
    "svd",
    "svdvals",
]


def _columns(v: Any, scale: Any) -> Any:
    """Columns of `v` times numbers."""
    return v * expand_dims(scale, axis=-2)


# Cholesky ---------------------------------------------------------------------------------------


def _cholesky_type(x: ArrayType) -> ArrayType:
    need_square("cholesky", x)
    return x


def _cholesky_jvp(primals: Any, tangents: Any) -> Any:
    out = _cholesky(primals[0])
    left = ops.solve(out, hermitian(tangents[0]))
    both = adjoint(ops.solve(out, adjoint(left)))
    return out, matmul(out, half_triangle(both))


def _cholesky_bwd(out: Any, ct: Any, needed: Any) -> Any:
    up = adjoint(out)
    inner = half_triangle(matmul(up, conjugate(tril(ct))))
    left = ops.solve(up, inner)
    return (conjugate(hermitian(adjoint(ops.solve(up, adjoint(left))))),)


_cholesky: Any = primitive(
    "cholesky",
    type_rule=_cholesky_type,
    batch=batch_matrices("cholesky", lambda x: _cholesky(x)),
    derivatives=Pair(_cholesky_jvp, None, _cholesky_bwd),
    value=lambda xp, x: xp.linalg.cholesky(x),
    kernels={"dask.array": in_one_task("cholesky")},
)


@structural(_cholesky)
@shortcut(np.linalg.cholesky)
@floating
def cholesky(x: Array, /, *, upper: bool = False) -> Any:
    """Cholesky factor of positive definite matrices, ``x = L Lᴴ`` or ``x = Uᴴ U``.

    Parameters
    ----------
    x : array, shape (..., n, n)
        Hermitian, of floating dtype; only the lower triangle is read.
    upper : bool
        Whether the result is U, upper triangular, in place of L.

    Returns
    -------
    array, shape (..., n, n)

    Raises
    ------
    ShapeError
        If the matrices are not square.
    LinAlgError
        NumPy's, if a matrix is not positive definite.

    Notes
    -----
    Derivatives are those along Hermitian matrices: a tangent's Hermitian part is taken, and a
    cotangent is Hermitian. I. Murray, "Differentiation of the Cholesky decomposition", 2016,
    https://arxiv.org/abs/1602.07527.

    Examples
    --------
    >>> F.linalg.cholesky(np.asarray([[4.0, 2.0], [2.0, 2.0]]))
    array([[2., 0.],
           [1., 1.]])
    """
    out = _cholesky(x)
    return adjoint(out) if upper else out


# Hermitian matrices -----------------------------------------------------------------------------


class EighResult(NamedTuple):
    """Result of `eigh`."""

    eigenvalues: Any
    eigenvectors: Any


def _gaps(w: Any) -> Any:
    """``1 / (w[j] − w[i])``, 0 where they are equal."""
    limit = expand_dims(tolerance(w, w.shape[-1]), axis=-1)
    return reciprocal_unless_small(differences(w), limit)


def _eigh_type(x: ArrayType) -> tuple[ArrayType, ArrayType]:
    need_square("eigh", x)
    return ArrayType(x.shape[:-1], real_dtype(x.dtype)), x


def _eigh_jvp(primals: Any, tangents: Any) -> Any:
    w, v = _eigh(primals[0])
    inner = matmul(adjoint(v), matmul(hermitian(tangents[0]), v))
    return (w, v), (_real(diagonal(inner)), matmul(v, _gaps(w) * inner))


def _eigh_fwd(x: Any) -> Any:
    out = _eigh(x)
    return out, out


def _eigh_bwd(residuals: Any, ct: Any, needed: Any) -> Any:
    (w, v), (gw, gv) = residuals, ct
    if gv is None:
        inner = _columns(v, gw)
    else:
        middle = _gaps(w) * matmul(adjoint(v), conjugate(gv))
        inner = matmul(v, middle if gw is None else middle + diagonal_matrix(gw))
    return (conjugate(hermitian(matmul(inner, adjoint(v)))),)


def _real(x: Any) -> Any:
    return real(x) if is_complex(x) else x


_eigh: Any = primitive(
    "eigh",
    type_rule=_eigh_type,
    batch=batch_matrices("eigh", lambda x: _eigh(x)),
    derivatives=Pair(_eigh_jvp, _eigh_fwd, _eigh_bwd),
    value=lambda xp, x: tuple(xp.linalg.eigh(x)),
    kernels={"dask.array": in_one_task("eigh")},
    results=2,
)


@structural(_eigh)
@shortcut(np.linalg.eigh, result=EighResult)  # in a third of the time
@floating
def eigh(x: Array, /) -> EighResult:
    """Eigenvalues and eigenvectors of Hermitian matrices, ``x = V diag(w) Vᴴ``.

    Parameters
    ----------
    x : array, shape (..., n, n)
        Hermitian, of floating dtype; only one triangle is read.

    Returns
    -------
    EighResult
        `eigenvalues`, shape (..., n), real and ascending; `eigenvectors`, shape (..., n, n), as
        columns.

    Raises
    ------
    ShapeError
        If the matrices are not square.

    Notes
    -----
    With ``M = Vᴴ dx V``, ``dw = diag(M)`` and ``dV = V (F ∘ M)`` where
    ``F[i, j] = 1 / (w[j] − w[i])``, and 0 where these are equal up to rounding. There single
    eigenvectors have no derivative: what follows is right for sums over the equal eigenvalues
    and for the projection onto their space, to first order. A function of a matrix,
    ``V diag(f(w)) Vᴴ``, cannot be differentiated through `eigh` there: the rule of f between
    equal eigenvalues is not to be had from V and w.
    Eigenvectors of complex matrices have any phase; their derivative is the one without change of
    phase. Tangents and cotangents are taken as for `cholesky`.

    Examples
    --------
    >>> F.linalg.eigh(np.asarray([[2.0, 1.0], [1.0, 2.0]])).eigenvalues
    array([1., 3.])
    """
    return EighResult(*_eigh(x))


def _eigvalsh_type(x: ArrayType) -> ArrayType:
    need_square("eigvalsh", x)
    return ArrayType(x.shape[:-1], real_dtype(x.dtype))


def _eigvalsh_jvp(primals: Any, tangents: Any) -> Any:
    _, (t, _) = _eigh_jvp(primals, tangents)
    return _eigvalsh(primals[0]), t  # which is rounded in another way


def _eigvalsh_fwd(x: Any) -> Any:
    out = _eigh(x)
    return out[0], out


_eigvalsh: Any = primitive(
    "eigvalsh",
    type_rule=_eigvalsh_type,
    batch=batch_matrices("eigvalsh", lambda x: _eigvalsh(x)),
    derivatives=Pair(
        _eigvalsh_jvp,
        _eigvalsh_fwd,
        lambda residuals, ct, needed: _eigh_bwd(residuals, (ct, None), needed),
    ),
    value=lambda xp, x: xp.linalg.eigvalsh(x),
    kernels={"dask.array": in_one_task("eigvalsh")},
)


@structural(_eigvalsh)
@shortcut(np.linalg.eigvalsh)
@floating
def eigvalsh(x: Array, /) -> Any:
    """Eigenvalues of Hermitian matrices, ascending.

    Parameters
    ----------
    x : array, shape (..., n, n)
        Hermitian, of floating dtype; only one triangle is read.

    Returns
    -------
    array, shape (..., n), real

    Raises
    ------
    ShapeError
        If the matrices are not square.

    Notes
    -----
    Derivatives are those of `eigh`.

    Examples
    --------
    >>> F.linalg.eigvalsh(np.asarray([[2.0, 1.0], [1.0, 2.0]]))
    array([1., 3.])
    """
    return _eigvalsh(x)


# Singular values --------------------------------------------------------------------------------


class SVDResult(NamedTuple):
    """Result of `svd`."""

    U: Any
    S: Any
    Vh: Any


def _svd_type(x: ArrayType, *, full_matrices: bool) -> tuple[ArrayType, ArrayType, ArrayType]:
    need_matrix("svd", x)
    *lead, m, n = x.shape
    k = min(m, n)
    return (
        ArrayType((*lead, m, m if full_matrices else k), x.dtype),
        ArrayType((*lead, k), real_dtype(x.dtype)),
        ArrayType((*lead, n if full_matrices else k, n), x.dtype),
    )


def _padded(x: Any, size: int, axes: int) -> Any:
    """The last `axes` axes of `x` filled up with zeros to `size`."""
    for axis in range(-axes, 0):
        shape = list(x.shape)
        missing = size - shape[axis]
        if missing:
            shape[axis] = missing
            x = concat([x, ops.zeros_like_type(x, ArrayType(tuple(shape), x.dtype))], axis=axis)
    return x


def _reciprocals(s: Any, n: int) -> tuple[Any, Any, Any]:
    """``1 / (s[j] − s[i])``, ``1 / (s[j] + s[i])`` and ``1 / s``, 0 where infinite."""
    limit = tolerance(s, n)
    sums = expand_dims(s, axis=-2) + expand_dims(s, axis=-1)
    each = expand_dims(limit, axis=-1)
    return (
        reciprocal_unless_small(differences(s), each),
        reciprocal_unless_small(sums, each),
        reciprocal_unless_small(s, limit),
    )


def _svd_jvp(primals: Any, tangents: Any, *, full_matrices: bool) -> Any:
    """Tangents: ``dU = U K`` and ``dV = V L``, where K and L are skew-Hermitian.

    From ``Uᴴ dx V = K S + dS − S L`` follow the sum of K and L from its Hermitian part, which the
    differences of singular values divide, and K − L from the other part, divided by the sums.
    The null spaces of the full matrices belong to singular values 0; within them nothing turns.
    """
    (x,), (t,) = primals, tangents
    u, s, vh = out = _svd(x, full_matrices=full_matrices)
    v = adjoint(vh)
    *_, m, n = x.shape
    k = min(m, n)
    size = max(m, n) if full_matrices else k
    inner = matmul(matmul(adjoint(u), t), v)
    gaps, sums, inverse = _reciprocals(_padded(s, size, 1), max(m, n))
    square = _padded(inner, size, 2)
    mirrored = adjoint(square)
    both, skew = (square + mirrored) * gaps / 2, (square - mirrored) * sums / 2
    rows, columns = (m, n) if full_matrices else (k, k)
    du = matmul(u, (both + skew)[..., :rows, :rows])
    dv = matmul(v, (both - skew)[..., :columns, :columns])
    if not full_matrices and m > k:
        du = du + _columns(matmul(t, v) - matmul(u, inner), inverse)
    if not full_matrices and n > k:
        dv = dv + _columns(matmul(adjoint(t), u) - matmul(v, adjoint(inner)), inverse)
    return out, (du, _real(diagonal(inner)), adjoint(dv))


def _svd_fwd(x: Any, *, full_matrices: bool) -> Any:
    out = _svd(x, full_matrices=full_matrices)
    return out, out


def _svd_bwd(residuals: Any, ct: Any, needed: Any, *, full_matrices: bool) -> Any:
    (u, s, vh), (gu, gs, gvh) = residuals, ct
    if gu is None and gvh is None:
        k = s.shape[-1]
        out = matmul(_columns(u[..., :k], gs), vh[..., :k, :])
        return (conjugate(out),)
    gu = zeros(u) if gu is None else conjugate(gu)
    gv = zeros(adjoint(vh)) if gvh is None else matrix_transpose(gvh)
    v, uh = adjoint(vh), adjoint(u)
    m, n, k = u.shape[-2], vh.shape[-1], s.shape[-1]
    size = max(m, n) if full_matrices else k
    gaps, sums, inverse = _reciprocals(_padded(s, size, 1), max(m, n))
    along_u, along_v = matmul(uh, gu), matmul(vh, gv)
    left, right = _padded(along_u, size, 2), _padded(along_v, size, 2)
    both, skew = (left + right) * gaps / 2, (left - right) * sums / 2
    middle = both + adjoint(both) + skew - adjoint(skew)
    if gs is not None:
        middle = middle + diagonal_matrix(_padded(gs, size, 1))
    rows, columns = (m, n) if full_matrices else (k, k)
    out = matmul(matmul(u, middle[..., :rows, :columns]), vh)
    if not full_matrices and m > k:
        out = out + matmul(_columns(gu - matmul(u, along_u), inverse), vh)
    if not full_matrices and n > k:
        out = out + matmul(u, adjoint(_columns(gv - matmul(v, along_v), inverse)))
    return (conjugate(out),)


_svd: Any = primitive(
    "svd",
    type_rule=_svd_type,
    batch=batch_matrices("svd", lambda x, **params: _svd(x, **params)),
    derivatives=Pair(_svd_jvp, _svd_fwd, _svd_bwd),
    value=lambda xp, x, *, full_matrices: tuple(xp.linalg.svd(x, full_matrices=full_matrices)),
    kernels={"dask.array": in_one_task("svd")},
    results=3,
)


@structural(_svd)
@shortcut(np.linalg.svd, result=SVDResult)
@floating
def svd(x: Array, /, *, full_matrices: bool = True) -> SVDResult:
    """Singular value decomposition, ``x = U diag(S) Vh``.

    Parameters
    ----------
    x : array, shape (..., m, n)
        Of floating dtype.
    full_matrices : bool
        Whether U and Vh are square; otherwise they have the k = min(m, n) columns and rows that
        belong to singular values.

    Returns
    -------
    SVDResult
        `U`, shape (..., m, m) or (..., m, k); `S`, shape (..., k), real and descending; `Vh`,
        shape (..., n, n) or (..., k, n).

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.

    Notes
    -----
    Singular vectors of equal singular values, or of 0, have no derivative one by one; finite ones
    are returned, right for what does not depend on their choice, to first order: the space that
    they span, sums of functions of the singular values, the unitary polar factor ``U Vh`` of an
    invertible matrix. The columns beyond the k-th span a null space; their derivative is the one
    that does not turn within it. Of the common phase of a pair of complex vectors each has
    half.

    Examples
    --------
    >>> F.linalg.svd(np.asarray([[3.0, 0.0], [0.0, 4.0]])).S
    array([4., 3.])
    """
    return SVDResult(*_svd(x, full_matrices=bool(full_matrices)))


def _svdvals_type(x: ArrayType) -> ArrayType:
    need_matrix("svdvals", x)
    return ArrayType((*x.shape[:-2], min(x.shape[-2:])), real_dtype(x.dtype))


def _svdvals_jvp(primals: Any, tangents: Any) -> Any:
    u, _, vh = _svd(primals[0], full_matrices=False)
    inner = matmul(matmul(adjoint(u), tangents[0]), adjoint(vh))
    return _svdvals(primals[0]), _real(diagonal(inner))  # rounded in another way


def _svdvals_fwd(x: Any) -> Any:
    out = _svd(x, full_matrices=False)
    return out[1], out


def _svdvals_bwd(residuals: Any, ct: Any, needed: Any) -> Any:
    return _svd_bwd(residuals, (None, ct, None), needed, full_matrices=False)


_svdvals: Any = primitive(
    "svdvals",
    type_rule=_svdvals_type,
    batch=batch_matrices("svdvals", lambda x: _svdvals(x)),
    derivatives=Pair(_svdvals_jvp, _svdvals_fwd, _svdvals_bwd),
    value=lambda xp, x: xp.linalg.svdvals(x),
    kernels={"dask.array": in_one_task("svdvals")},
)


@structural(_svdvals)
@shortcut(np.linalg.svdvals)
@floating
def svdvals(x: Array, /) -> Any:
    """Singular values, descending.

    Parameters
    ----------
    x : array, shape (..., m, n)
        Of floating dtype.

    Returns
    -------
    array, shape (..., min(m, n)), real

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.

    Notes
    -----
    Derivatives are those of `svd`.

    Examples
    --------
    >>> F.linalg.svdvals(np.asarray([[3.0, 0.0], [0.0, 4.0]]))
    array([4., 3.])
    """
    return _svdvals(x)


# QR ---------------------------------------------------------------------------------------------


_QR_MODES: Final = ("reduced", "complete")


class QRResult(NamedTuple):
    """Result of `qr`."""

    Q: Any
    R: Any


def _qr_type(x: ArrayType, *, mode: str) -> tuple[ArrayType, ArrayType]:
    need_matrix("qr", x)
    *lead, m, n = x.shape
    k = m if mode == "complete" else min(m, n)
    return ArrayType((*lead, m, k), x.dtype), ArrayType((*lead, k, n), x.dtype)


def _over_upper(x: Any, r: Any) -> Any:
    """``x R⁻¹``, with the square part of `r`."""
    n = r.shape[-1]
    return adjoint(nan_where_singular(ops.solve, adjoint(r[..., :n, :]), adjoint(x)))


def _over_lower(x: Any, r: Any) -> Any:
    """``x R⁻ᴴ``, with the square part of `r`."""
    n = r.shape[-1]
    return adjoint(nan_where_singular(ops.solve, r[..., :n, :], adjoint(x)))


def _qr_jvp(primals: Any, tangents: Any, *, mode: str) -> Any:
    """Tangents: ``dQ = Q K`` with K skew-Hermitian, which must keep R triangular."""
    (x,), (t,) = primals, tangents
    q, r = out = _qr(x, mode=mode)
    along = matmul(adjoint(q), t)
    lower = half_triangle(_padded(_over_upper(along, r), q.shape[-1], 2))
    turn = lower - adjoint(lower)
    dq = matmul(q, turn)
    if q.shape[-1] < x.shape[-2]:
        dq = add(dq, _over_upper(subtract(t, matmul(q, along)), r))
    return out, (dq, triu(subtract(along, matmul(turn, r))))


def _qr_fwd(x: Any, *, mode: str) -> Any:
    out = _qr(x, mode=mode)
    return out, out


def _qr_bwd(residuals: Any, ct: Any, needed: Any, *, mode: str) -> Any:
    (q, r), (gq, gr) = residuals, ct
    gq = zeros(q) if gq is None else conjugate(gq)
    gr = zeros(r) if gr is None else triu(conjugate(gr))
    along = matmul(adjoint(q), gq)
    inner = subtract(along, matmul(gr, adjoint(r)))
    turn = half_triangle(inner - adjoint(inner))[..., : r.shape[-1]]
    out = matmul(q, add(gr, _over_lower(turn, r)))
    if q.shape[-1] < q.shape[-2]:
        out = add(out, _over_lower(subtract(gq, matmul(q, along)), r))
    return (conjugate(out),)


_qr: Any = primitive(
    "qr",
    type_rule=_qr_type,
    batch=batch_matrices("qr", lambda x, **params: _qr(x, **params)),
    derivatives=Pair(_qr_jvp, _qr_fwd, _qr_bwd),
    value=lambda xp, x, *, mode: tuple(xp.linalg.qr(x, mode=mode)),
    kernels={"dask.array": in_one_task("qr")},
    results=2,
)


@structural(_qr)
@shortcut(  # more columns than rows are rounded in another way
    np.linalg.qr,
    result=QRResult,
    condition="(s := x.shape)[-1] <= s[-2] and (mode == 'reduced' or mode == 'complete')",
)
@floating
def qr(x: Array, /, *, mode: str = "reduced") -> QRResult:
    """QR decomposition: ``x = Q R`` with orthonormal columns in Q and R upper triangular.

    Parameters
    ----------
    x : array, shape (..., m, n)
        Of floating dtype.
    mode : {"reduced", "complete"}
        Whether Q has k = min(m, n) columns or m.

    Returns
    -------
    QRResult
        `Q`, shape (..., m, k) or (..., m, m); `R`, shape (..., k, n) or (..., m, n).

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.
    ValueError
        If there is no such mode.

    Notes
    -----
    Derivatives need the first k columns of `x` to be independent; otherwise there is none, and
    NaN is what they are. Of the columns of Q beyond the n-th the derivative is the one
    that does not turn within the space they span.

    Examples
    --------
    >>> Q, R = F.linalg.qr(np.asarray([[3.0, 1.0], [4.0, 2.0]]))
    >>> np.allclose(Q @ R, [[3.0, 1.0], [4.0, 2.0]])
    True
    """
    if mode not in _QR_MODES:
        msg = f'qr: mode must be "reduced" or "complete"; got {mode!r}.'
        raise located(ValueError(msg))
    need_matrix("qr", typeof(x))
    m, n = x.shape[-2:]
    if n <= m:
        return QRResult(*_qr(x, mode=mode))
    q, r = _qr(x[..., :m], mode=mode)  # which the other columns have no part in
    return QRResult(q, concat([r, matmul(adjoint(q), x[..., m:])], axis=-1))


# Any square matrix ------------------------------------------------------------------------------


class EigResult(NamedTuple):
    """Result of `eig`."""

    eigenvalues: Any
    eigenvectors: Any


def _complex_dtype(x: ArrayType) -> Any:
    if x.dtype.kind == "complex":
        return x.dtype
    return DTYPES["complex128" if x.dtype.itemsize == 8 else "complex64"]


def _eig_type(x: ArrayType) -> tuple[ArrayType, ArrayType]:
    need_square("eig", x)
    dtype = _complex_dtype(x)
    return ArrayType(x.shape[:-1], dtype), ArrayType(x.shape, dtype)


def _eig_value(xp: Any, x: Any) -> Any:
    wanted = getattr(xp, _complex_dtype(ArrayType(tuple(x.shape), as_dtype(x.dtype))).name)
    return tuple(xp.astype(o, wanted, copy=False) for o in xp.linalg.eig(x))


def _eig_jvp(primals: Any, tangents: Any) -> Any:
    w, v = out = _eig(primals[0])
    inner = nan_where_singular(ops.solve, v, matmul(tangents[0], v))
    turn = matmul(v, _gaps(w) * inner)
    return out, (diagonal(inner), turn - _columns(v, _lengthening(v, turn)))


def _lengthening(v: Any, change: Any) -> Any:
    """Real part of the component of each column of `change` along that of `v`, of length 1."""
    return real(ops.sum(conjugate(v) * change, axis=-2))


def _eig_fwd(x: Any) -> Any:
    out = _eig(x)
    return out, (*out, is_complex(x))


def _eig_bwd(residuals: Any, ct: Any, needed: Any) -> Any:
    (w, v, holomorphic), (gw, gv) = residuals, ct
    vh = adjoint(v)
    if gv is None:
        middle = diagonal_matrix(conjugate(gw))
    else:
        gv = conjugate(gv)
        middle = matmul(vh, gv - _columns(v, _lengthening(v, gv))) * conjugate(_gaps(w))
        if gw is not None:
            middle = middle + diagonal_matrix(conjugate(gw))
    out = conjugate(nan_where_singular(ops.solve, vh, matmul(middle, vh)))
    return (out if holomorphic else real(out),)


_eig: Any = primitive(
    "eig",
    type_rule=_eig_type,
    batch=batch_matrices("eig", lambda x: _eig(x)),
    derivatives=Pair(_eig_jvp, _eig_fwd, _eig_bwd),
    value=_eig_value,
    kernels={"dask.array": in_one_task("eig")},
    results=2,
)


@structural(_eig)
@floating
def eig(x: Array, /) -> EigResult:
    """Eigenvalues and eigenvectors of square matrices, ``x V = V diag(w)``.

    Parameters
    ----------
    x : array, shape (..., n, n)
        Of floating dtype.

    Returns
    -------
    EigResult
        `eigenvalues`, shape (..., n), in no order, and `eigenvectors`, shape (..., n, n), columns
        of length 1; both of complex dtype.

    Raises
    ------
    ShapeError
        If the matrices are not square.

    Notes
    -----
    With ``M = V⁻¹ dx V``, ``dw = diag(M)`` and ``dV = V (F ∘ M)``, less what changes the lengths
    of the columns; F as for `eigh`. Eigenvectors have any phase, and the derivative is right for
    what does not depend on it. There is no derivative where a matrix has not n independent
    eigenvectors: it is NaN if they are dependent without rounding, else very large.

    Examples
    --------
    >>> F.linalg.eig(np.asarray([[0.0, 1.0], [-4.0, 0.0]])).eigenvalues
    array([0.+2.j, 0.-2.j])
    """
    return EigResult(*_eig(x))


@composite
@floating
def eigvals(x: Array, /) -> Any:
    """Eigenvalues of square matrices.

    Parameters
    ----------
    x : array, shape (..., n, n)
        Of floating dtype.

    Returns
    -------
    array, shape (..., n), complex, in no order

    Raises
    ------
    ShapeError
        If the matrices are not square.

    Notes
    -----
    Derivatives are those of `eig`.

    Examples
    --------
    >>> F.linalg.eigvals(np.asarray([[0.0, 1.0], [-4.0, 0.0]]))
    array([0.+2.j, 0.-2.j])
    """
    need_square("eigvals", typeof(x))
    return _eig(x)[0]
