"""Sparse Jacobians and Hessians against dense ones, and the number of derivatives they take."""

import re

import numpy as np
import pytest
import scipy.sparse

import volta
import volta.functional as F
from volta.sparse import coloring, compressed, hessian, jacobian

RNG = np.random.default_rng(0)


def tridiagonal(x):
    y = -2.0 * x
    y[1:] = y[1:] + x[:-1] ** 2
    y[:-1] = y[:-1] + x[1:] ** 2
    return F.exp(y)


def few_rows(x):
    return F.stack([F.sum(x**2), F.sum(F.sin(x))])


def stencil(u):
    p = F.pad(u, 1)
    around = p[2:, 1:-1] + p[:-2, 1:-1] + p[1:-1, 2:] + p[1:-1, :-2]
    return around - 4.0 * u + u**3


def dense(fun, x):
    units = np.eye(x.size).reshape(x.size, *x.shape)
    return np.stack([volta.jvp(fun, (x,), (u,))[1].reshape(-1) for u in units], 1)


@pytest.mark.parametrize(
    ("fun", "shape", "mode", "colors"),
    [
        (tridiagonal, (12,), "fwd", 3),
        (few_rows, (12,), "rev", 2),
        (stencil, (6, 7), "fwd", None),
        (lambda x: F.cumulative_sum(x), (5,), "fwd", 5),
        (lambda x: x[:3] * x[3:6], (9,), "rev", 1),
        (lambda x: F.sum(x), (4,), "rev", 1),
    ],
)
def test_jacobians_are_the_dense_ones(fun, shape, mode, colors):
    x = RNG.uniform(0.2, 1.0, shape)
    plan = coloring(fun, x)
    assert plan.mode == mode
    assert colors is None or plan.colors == colors
    wanted = dense(fun, x)
    for sparsity in (None, plan, plan.pattern, wanted != 0, np.ones(wanted.shape)):
        found = jacobian(fun, sparsity)(x)
        assert type(found) is scipy.sparse.csr_array
        np.testing.assert_allclose(found.toarray(), wanted, rtol=1e-14)
    for mode in ("fwd", "rev"):
        found = jacobian(fun, coloring(fun, x, mode=mode))(x)
        np.testing.assert_allclose(found.toarray(), wanted, rtol=1e-14)


def test_a_tridiagonal_jacobian_takes_three_directions(monkeypatch):
    pushed = []

    def counted(fun):
        def run(seeds):
            pushed.append(seeds.shape)
            return volta.vmap(fun)(seeds)

        return run

    calls = []

    def once(x):
        calls.append(x)
        return tridiagonal(x)

    x = np.linspace(-1, 1, 10_000)
    plan = coloring(tridiagonal, x)
    monkeypatch.setattr(compressed, "vmap", counted)
    found = jacobian(once, plan)(x)
    assert pushed == [(3, 10_000)]
    assert len(calls) == 1
    assert found.nnz == 29_998
    rows = [0, 1, 4999, 9999]
    direction = RNG.standard_normal(10_000)
    wanted = volta.jvp(tridiagonal, (x,), (direction,))[1]
    np.testing.assert_allclose((found @ direction)[rows], wanted[rows], rtol=1e-12)


def test_a_plan_serves_other_points():
    plan = coloring(tridiagonal, np.zeros(8))
    for x in RNG.standard_normal((3, 8)):
        np.testing.assert_allclose(jacobian(tridiagonal, plan)(x).toarray(), dense(tridiagonal, x))


def test_a_pattern_at_a_point():
    def branches(x):
        return F.relu(x) if x[0] > 0 else x[::-1]

    x = np.asarray([1.0, -1.0, 2.0])
    found = jacobian(branches, local=True)(x)
    assert found.nnz == 2
    np.testing.assert_array_equal(found.toarray(), dense(branches, x))
    assert coloring(branches, x, local=True).pattern.nnz == 2


# Hessians ----------------------------------------------------------------------------------------


def rosenbrock(x):
    return F.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def arrow(x):
    return F.sum(x**3) + x[0] * F.sum(x[1:] ** 2)


def grid(u):
    return F.sum((u[1:] - u[:-1]) ** 4) + F.sum((u[:, 1:] - u[:, :-1]) ** 2 * u[:, 1:])


def linear(x):
    return F.sum(2.0 * x)


@pytest.mark.parametrize(
    ("fun", "shape", "colors"),
    [(rosenbrock, (9,), 3), (arrow, (9,), 2), (grid, (4, 5), None), (linear, (4,), 1)],
)
def test_hessians_are_the_dense_ones(fun, shape, colors):
    x = RNG.uniform(0.2, 1.0, shape)
    wanted = dense(volta.grad(fun), x)
    plan = coloring(fun, x, of="hessian")
    assert plan.mode == "symmetric"
    assert colors is None or plan.colors == colors
    for sparsity in (None, plan, np.abs(wanted + np.eye(x.size)) > 0, np.ones(wanted.shape)):
        found = hessian(fun, sparsity)(x)
        assert type(found) is scipy.sparse.csr_array
        np.testing.assert_allclose(found.toarray(), wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("seed", range(15))
def test_hessians_of_random_graphs(seed):
    rng = np.random.default_rng(seed)
    i, j = rng.integers(0, 10, (2, 14))
    weights = rng.standard_normal(14)

    def energy(x):
        return F.sum(F.sin(x[i] * x[j]) * weights)

    x = rng.standard_normal(10)
    wanted = dense(volta.grad(energy), x)
    np.testing.assert_allclose(hessian(energy)(x).toarray(), wanted, rtol=1e-11, atol=1e-13)


def test_long_hessians_are_quick_to_plan():
    plan = coloring(arrow, np.zeros(20_000), of="hessian")
    assert (plan.colors, plan.pattern.nnz) == (2, 59_998)


# Kinds of arrays ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_dtypes_are_kept(mode):
    x = np.ones(4, np.float32)
    found = jacobian(tridiagonal, coloring(tridiagonal, x, mode=mode))(x)
    assert found.dtype == np.float32
    assert jacobian(lambda x: F.floor(x))(x).dtype == np.float32


@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_other_libraries(mode):
    torch = pytest.importorskip("torch")
    x = np.linspace(0.0, 1.0, 5)
    plan = coloring(tridiagonal, torch.asarray(x), mode=mode)
    found = jacobian(tridiagonal, plan)(torch.asarray(x))
    np.testing.assert_allclose(found.toarray(), dense(tridiagonal, x), rtol=1e-12)


def test_empty_arrays():
    assert jacobian(lambda x: x * 2.0)(np.ones(0)).shape == (0, 0)
    assert jacobian(lambda x: np.ones(3))(np.ones(2)).nnz == 0
    plan = coloring(lambda x: np.ones(3), np.ones(2), mode="rev")
    assert jacobian(lambda x: np.ones(3), plan)(np.ones(2)).shape == (3, 2)


# Refusals ----------------------------------------------------------------------------------------


def refused(error, message):
    return pytest.raises(error, match="^" + re.escape(message) + r"( \(line: .*\))?$")


X = np.ones(4)


def test_a_coloring_says_what_it_is():
    plan = coloring(tridiagonal, X)
    assert repr(plan) == "<coloring of a 4 x 4 matrix, 10 entries: fwd, 3 colors>"
    assert plan.groups.shape == (4,)


def test_sparsity_of_another_shape():
    with refused(
        volta.ShapeError, "jacobian(tridiagonal): sparsity must have shape (…, 4); got (4, 3)."
    ):
        jacobian(tridiagonal, np.ones((4, 3)))(X)
    message = "the pattern must have as many rows as the result has elements; got 5 and shape (4,)."
    for mode in ("fwd", "rev"):
        plan = coloring(tridiagonal, X, np.eye(5, 4), mode=mode)
        with refused(volta.ShapeError, f"jacobian(tridiagonal): {message}"):
            jacobian(tridiagonal, plan)(X)
    with refused(volta.ShapeError, "hessian(arrow): sparsity must have shape (4, 4); got (5, 4)."):
        hessian(arrow, np.ones((5, 4)))(X)
    with refused(
        volta.ShapeError,
        "hessian(arrow): the sparsity of a Hessian must be symmetric; got one that is not.",
    ):
        hessian(arrow, np.tril(np.ones((4, 4))))(X)


def test_a_plan_for_another_input():
    plan = coloring(tridiagonal, X)
    message = "the coloring must be of as many columns as the input has elements; got 4 and shape "
    with refused(volta.ShapeError, f"jacobian(tridiagonal): {message}(5,)."):
        jacobian(tridiagonal, plan)(np.ones(5))
    with refused(
        ValueError, "hessian(arrow): the coloring must be of a Hessian; got one of mode 'fwd'."
    ):
        hessian(arrow, plan)(X)
    with refused(volta.ShapeError, f"hessian(arrow): {message}(5,)."):
        hessian(arrow, coloring(arrow, X, of="hessian"))(np.ones(5))


def test_a_hessians_plan_is_none_for_a_jacobian():
    plan = coloring(arrow, X, of="hessian")
    with refused(
        ValueError,
        "jacobian(tridiagonal): the coloring must be of a Jacobian; got one of a Hessian.",
    ):
        jacobian(tridiagonal, plan)(X)


def test_words_are_checked():
    with refused(ValueError, "coloring(arrow): of must be 'jacobian' or 'hessian'; got 'hess'."):
        coloring(arrow, X, of="hess")
    with refused(ValueError, "coloring(arrow): mode must be 'fwd' or 'rev'; got 'forward'."):
        coloring(arrow, X, mode="forward")


def test_inputs_are_checked():
    message = "takes one array; got tuple. Concatenate the arrays of a tree."
    for transform, fun in ((jacobian, tridiagonal), (hessian, arrow)):
        name = f"{transform.__name__}({fun.__name__})"
        with refused(TypeError, f"{name}: {message}"):
            transform(fun)((X, X))
        with refused(volta.DTypeError, f"{name}: the input must be real floating; got int64."):
            transform(fun)(np.arange(3))


def test_a_result_that_is_no_array():
    with refused(TypeError, "jacobian(pair): the function must return one array; got tuple."):

        def pair(x):
            return x, x

        jacobian(pair)(X)
    with pytest.raises(TypeError, match="the function must return one number"):
        hessian(tridiagonal)(X)


def test_a_matrix_is_not_differentiated():
    def outer(w):
        return F.asarray(jacobian(lambda x: x * w)(X).data)[0]

    with pytest.raises(volta.TraceError, match=r"numpy\.asarray: would cut the array off"):
        volta.grad(outer)(np.asarray(2.0))


def test_it_runs_inside_of_other_transforms():
    def outer(w):
        found.append(jacobian(tridiagonal)(X).toarray())
        found.append(hessian(arrow)(X).toarray())
        return w * w

    found = []
    volta.grad(outer)(np.asarray(2.0))
    np.testing.assert_allclose(found[0], dense(tridiagonal, X))
    np.testing.assert_allclose(found[1], dense(volta.grad(arrow), X))
