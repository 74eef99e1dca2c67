"""Rows of `volta/functional/linalg`.

Vectors with a sign or phase of their own are squared, so that all libraries agree; matrices that
must be Hermitian are made so, for the rules are those along Hermitian matrices.
"""

import numpy as np

from samples.sample import add, compose, cplx, real
from volta.core.errors import ShapeError
from volta.functional import linalg as L
from volta.functional.elementwise import abs, conj
from volta.functional.linalg.solvers import _adjugate


def _square(name, *args):
    return (
        lambda: getattr(L, name)(np.ones((2, 3)), *args),
        ShapeError,
        rf"{name}: the last two axes must have one length; got shape \(2, 3\)",
    )


def _rank(name):
    return (
        lambda: getattr(L, name)(np.ones(3)),
        ShapeError,
        rf"{name}: the array must have two axes or more; got shape \(3,\)",
    )


def _hermitian(x):
    return x + L.matrix_transpose(conj(x))


def _definite(fun):
    """`fun` of a positive definite matrix that is made in one library."""

    def made(x):
        m = L.matmul(x, L.matrix_transpose(conj(x)))
        return fun(m + L.matrix_transpose(conj(m)) + L.matrix_power(x, 0))

    return made


for _kind, _make in (("", real), ("-complex", cplx)):
    add("solve", L.solve, _make(2, 3, 3), _make(3), name=f"solve-vector{_kind}")
    add("solve", L.solve, _make(3, 3), _make(2, 3, 2), name=f"solve-broadcast{_kind}")
    add("inv", L.inv, _make(2, 3, 3), name=f"inv{_kind}")
    add("det", L.det, _make(2, 3, 3), name=f"det{_kind}")
    add("slogdet", lambda x: tuple(L.slogdet(x)), _make(2, 3, 3), name=f"slogdet{_kind}")
    add("cholesky", _definite(L.cholesky), _make(2, 3, 3), name=f"cholesky{_kind}")
    add(
        "eigh",
        lambda x: (L.eigh(_hermitian(x))[0], abs(L.eigh(_hermitian(x))[1]) ** 2),
        _make(2, 3, 3),
        name=f"eigh{_kind}",
    )
    add("eigvalsh", lambda x: L.eigvalsh(_hermitian(x)), _make(2, 3, 3), name=f"eigvalsh{_kind}")
    for _shape in ((3, 3), (4, 2), (2, 4)):
        for _full in (False, True):

            def _svd(x, full=_full, k=min(_shape)):
                u, s, vh = L.svd(x, full_matrices=full)
                null = u[..., k:], vh[..., k:, :]
                spaces = [
                    L.matmul(null[0], L.matrix_transpose(conj(null[0]))),
                    L.matmul(L.matrix_transpose(conj(null[1])), null[1]),
                ]
                polar = L.matmul(u[..., :k], vh[..., :k, :])
                return (abs(u[..., :k]) ** 2, s, abs(vh[..., :k, :]) ** 2, polar, *spaces)

            add(
                "svd",
                _svd,
                _make(*_shape),
                name=f"svd-{_shape[0]}-{_shape[1]}{'-full' * _full}{_kind}",
            )

        for _mode in ("reduced", "complete"):

            def _qr(x, mode=_mode, k=min(_shape)):
                q, r = L.qr(x, mode=mode)
                null = q[..., k:]
                return (
                    abs(q[..., :k]) ** 2,
                    abs(r) ** 2,
                    L.matmul(null, L.matrix_transpose(conj(null))),
                )

            add("qr", _qr, _make(*_shape), name=f"qr-{_shape[0]}-{_shape[1]}-{_mode}{_kind}")
        add("svdvals", L.svdvals, _make(*_shape), name=f"svdvals-{_shape[0]}-{_shape[1]}{_kind}")
        add("pinv", L.pinv, _make(*_shape), name=f"pinv-{_shape[0]}-{_shape[1]}{_kind}")

    def _eig(x):
        # along a path on which eigenvalues are far apart, in the order that LAPACK gives
        w, v = L.eig(x)
        return w * w, abs(v) ** 2

    add("eig", _eig, np.diag([3.0, 1.0, -2.0]) + 0.2 * _make(3, 3), name=f"eig{_kind}")

add(
    "adjugate",
    lambda x: _adjugate(x),
    real(3, 3),
    sixteen="det, which it is the derivative of, computes in 32 bits",
)
add("adjugate", lambda x: _adjugate(x), cplx(2, 3, 3), name="adjugate-complex")
add(
    "det",
    L.det,
    real(3, 3) * np.asarray([1.0, 1.0, 0.0]),
    name="det-rank-2",
    errors=tuple(
        _square(name, *args)
        for name, args in (
            ("solve", (np.ones(2),)),
            ("solve_triangular", (np.ones(2),)),
            ("inv", ()),
            ("det", ()),
            ("slogdet", ()),
            ("cholesky", ()),
            ("eigh", ()),
            ("eigvalsh", ()),
            ("eig", ()),
            ("matrix_power", (2,)),
        )
    )
    + tuple(
        _rank(name)
        for name in ("svd", "svdvals", "qr", "pinv", "matrix_rank", "matrix_norm", "det", "trace")
    ),
)
add("det", L.det, np.outer([1.0, 2.0, 3.0], [0.5, -1.0, 2.0]), name="det-rank-1")

# Compositions -------------------------------------------------------------------------------------

compose("matmul", L.matmul, cplx(2, 3), cplx(3, 2))
compose("cross", lambda x, y: L.cross(x, y, axis=0), real(3, 2), real(3, 2))
compose("diagonal", lambda x: L.diagonal(x, offset=1), cplx(2, 3, 3))
compose("expm", L.expm, real(2, 3, 3))
compose("expm-complex", L.expm, cplx(3, 3))
compose("kron", L.kron, real(2, 3), cplx(2, 2))
for _shape in ((4, 2), (2, 4)):
    compose(
        f"lstsq-{_shape[0]}-{_shape[1]}",
        lambda a, b: L.lstsq(a, b),
        real(*_shape),
        real(_shape[0], 2),
    )
for _ord in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf):
    compose(f"matrix_norm-{_ord}", lambda x, ord=_ord: L.matrix_norm(x, ord=ord), real(2, 3, 3))
    compose(
        f"matrix_norm-{_ord}-complex", lambda x, ord=_ord: L.matrix_norm(x, ord=ord), cplx(3, 2)
    )
for _power in (3, -2):
    compose(f"matrix_power-{_power}", lambda x, n=_power: L.matrix_power(x, n), real(2, 3, 3))
compose("multi_dot", lambda x, y, z: L.multi_dot([x, y, z]), real(4, 2), real(2, 3), real(3))
compose("outer", L.outer, real(2), cplx(3))
for _kind, _make in (("", real), ("-complex", cplx)):
    compose(
        f"solve_triangular{_kind}",
        lambda a, b: L.solve_triangular(a, b, lower=True),
        _make(3, 3) + 3 * np.eye(3),
        _make(3, 2),
    )
    compose(
        f"eigvals{_kind}",
        lambda x: L.eigvals(x) ** 2,
        np.diag([3.0, 1.0, -2.0]) + 0.2 * _make(3, 3),
    )
compose(
    "solve_triangular-unit",
    lambda a, b: L.solve_triangular(a, b, unit_diagonal=True),
    real(2, 3, 3),
    real(3),
)
compose("trace", lambda x: L.trace(x, offset=-1), cplx(2, 3, 3))
for _ord in (2, 1, 3, np.inf, -np.inf, -1, 0.5):
    compose(
        f"vector_norm-{_ord}", lambda x, ord=_ord: L.vector_norm(x, axis=1, ord=ord), real(2, 3)
    )
    compose(f"vector_norm-{_ord}-complex", lambda x, ord=_ord: L.vector_norm(x, ord=ord), cplx(3))
