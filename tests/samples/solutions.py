"""Rows of solutions of equations, which are differentiated by the equation that they solve."""

import numpy as np

import volta
import volta.functional as F
from samples.sample import add, cplx, real
from volta.core.errors import DTypeError, ShapeError


def _matrix(map, like):
    """Matrix of a linear map of vectors."""
    one = F.tril(F.triu(F.ones_like(F.linalg.outer(like, like))))
    return F.matrix_transpose(volta.vmap(map)(one))


def _eliminated(map, b):
    wide = "float32" if F.finfo(b.dtype).bits < 32 else b.dtype
    a = F.astype(_matrix(map, b), wide)
    return F.astype(F.linalg.solve(a, F.astype(b, wide)), b.dtype)


def _newton(f, x):
    for _ in range(7):
        y, push = volta.linearize(f, x)
        x = x - _eliminated(push, y)
    return x


def _reading_newton(f, x):
    """Steps as long as numbers say so: it cannot be staged, nor mapped."""
    for _ in range(9):
        y, push = volta.linearize(f, x)
        if not bool(F.max(F.abs(y)) > 0):
            break
        x = x - _eliminated(push, y)
    return x


def _rooted(solve):
    def row(w, b):
        def f(x):
            return x + 0.2 * F.matmul(w, F.tanh(x)) - b

        return volta.custom_root(f, F.zeros_like(b), solve, _eliminated)

    return row


_LAZY = "each step of a solver reads values, for which dask runs all steps before it again"
add("custom_root", _rooted(_newton), real(3, 3), real(3), dask=_LAZY)
add(
    "custom_root",
    _rooted(_reading_newton),
    real(3, 3),
    real(3),
    name="custom_root-reading",
    dask=_LAZY,
)
add(
    "custom_root",
    _rooted(_newton),
    cplx(2, 2),
    cplx(2) / 4,
    name="custom_root-complex",
    dask=_LAZY,
    errors=(
        (
            lambda: volta.custom_root(lambda x: x, np.asarray(1), _newton, _eliminated),
            DTypeError,
            r"the initial guess must be floating; got int64 at input\.",
        ),
        (
            lambda: volta.custom_root(lambda x: x[0], np.ones(2), _newton, _eliminated),
            ShapeError,
            r"f must return the types of its argument; got float64\[\] and float64\[2\]",
        ),
    ),
)


def _solved(solve, **options):
    def row(a, b):
        def product(x):
            return x + 0.2 * F.matmul(a, x)

        return volta.custom_linear_solve(product, b, solve, **options)

    return row


def _transposed(map, b):
    return _eliminated(map, b)


add("custom_linear_solve", _solved(_eliminated), real(3, 3), real(3))
add(
    "custom_linear_solve",
    _solved(_eliminated, transpose_solve=_transposed),
    cplx(2, 2),
    cplx(2),
    name="custom_linear_solve-complex",
)
add(
    "custom_linear_solve",
    lambda d, b: volta.custom_linear_solve(
        lambda x: (3 + d) * x, b, lambda map, b: b / map(F.ones_like(b)), symmetric=True
    ),
    real(3),
    real(3),
    name="custom_linear_solve-symmetric",
    errors=(
        (
            lambda: volta.custom_linear_solve(lambda x: x, np.asarray([1]), _eliminated),
            DTypeError,
            r"the right-hand side must be floating; got int64 at input\.",
        ),
    ),
)
