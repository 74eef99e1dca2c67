"""Linear equations around a solver of one's own, against `linalg.solve` and JAX."""

import numpy as np
import pytest
import scipy.sparse.linalg as sla

import volta
import volta.functional as F
from volta import implicit

pytestmark = pytest.mark.grad_check

_rng = np.random.default_rng(0)
A = 3 * np.eye(4) + _rng.normal(size=(4, 4))
POSITIVE = A @ A.T
B, DB = _rng.normal(size=4), _rng.normal(size=4)
DA = _rng.normal(size=(4, 4))


def eliminate(map, b):
    one = F.tril(F.triu(F.ones_like(F.linalg.outer(b, b))))
    return F.linalg.solve(F.matrix_transpose(volta.vmap(map)(one)), b)


def by_scipy(map, b):
    return sla.gmres(sla.LinearOperator((4, 4), map), b, rtol=1e-14, atol=0)[0]


def conjugate_gradients(map, b):
    return implicit.cg(map, b, rtol=1e-14)


WAYS = {
    "transposed": (A, {"solve": eliminate}),
    "given": (A, {"solve": eliminate, "transpose_solve": eliminate}),
    "concrete": (A, {"solve": by_scipy, "transpose_solve": by_scipy}),
    "symmetric": (POSITIVE, {"solve": conjugate_gradients, "symmetric": True}),
    "both": (POSITIVE, {"solve": eliminate, "symmetric": True, "transpose_solve": None}),
}


@pytest.fixture(params=WAYS)
def way(request):
    """A matrix, and the solution by it and by what is tested."""
    a, options = WAYS[request.param]
    even = options.get("symmetric")

    def solution(a, b):
        a = (a + F.matrix_transpose(a)) / 2 if even else a
        return volta.custom_linear_solve(lambda x: a @ x, b, **options)

    def expected(a, b):
        a = (a + F.matrix_transpose(a)) / 2 if even else a
        return F.linalg.solve(a, b)

    return a, solution, expected


def assert_close(found, wanted):
    for x, y in zip(volta.tree.leaves(found), volta.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-8, atol=1e-10)


def test_derivatives(way):
    a, solution, expected = way
    assert_close(solution(a, B), expected(a, B))
    for found, wanted in zip(
        *(volta.jvp(f, (a, B), (DA, DB)) for f in (solution, expected)), strict=True
    ):
        assert_close(found, wanted)

    def both(f):
        return volta.grad(lambda a, b: F.sum(f(a, b) ** 3), (0, 1))

    assert_close(both(solution)(a, B), both(expected)(a, B))
    for argnum in (0, 1):
        alone = volta.grad(lambda a, b: F.sum(solution(a, b) ** 3), argnum)(a, B)
        assert_close(alone, both(expected)(a, B)[argnum])
    second = [volta.jvp(both(f), (a, B), (DA, DB))[1] for f in (solution, expected)]
    assert_close(*second)

    def along(f):
        return volta.grad(
            lambda a, b: sum(F.sum(g * t) for g, t in zip(both(f)(a, b), (DA, DB), strict=True)),
            (0, 1),
        )

    assert_close(along(solution)(a, B), second[0])


@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0)])
def test_lanes(way, axes):
    a, solution, expected = way
    lanes = (
        np.stack([a, a + 0.1 * np.eye(4)]) if axes[0] == 0 else a,
        np.stack([B, DB]) if axes[1] == 0 else B,
    )

    def total(f):
        return lambda a, b: F.sum(volta.vmap(f, in_axes=axes)(a, b) ** 3)

    grads = [volta.grad(total(f), (0, 1))(*lanes) for f in (solution, expected)]
    assert_close(*grads)

    def each(f):
        return volta.vmap(volta.grad(lambda a, b: F.sum(f(a, b) ** 3)), axes)(*lanes)

    assert_close(each(solution), each(expected))


def test_derivatives_are_those_of_jax():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def over(space, solve, custom):
        def solution(a, b):
            factor = space.linalg.cholesky(a)

            def by_factor(_, y):
                return solve(factor.T, solve(factor, y))

            return custom(lambda x: a @ x, b, by_factor, symmetric=True)

        return lambda a, b: space.sum(space.sin(solution((a + a.T) / 2, b)))

    ours = over(F, F.linalg.solve, volta.custom_linear_solve)
    with jax.enable_x64(True):
        theirs = over(jnp, jnp.linalg.solve, jax.lax.custom_linear_solve)
        wanted = jax.grad(theirs, (0, 1))(POSITIVE, B)
        second = jax.jvp(jax.grad(theirs), (POSITIVE, B), (DA, DB))[1]
    assert_close(volta.grad(ours, (0, 1))(POSITIVE, B), wanted)
    assert_close(volta.jvp(volta.grad(ours), (POSITIVE, B), (DA, DB))[1], second)


def test_trees_and_aux():
    def solution(d, b):
        def solve(map, b):
            ones = {"x": F.ones_like(b["x"]), "y": F.ones_like(b["y"])}
            scale = map(ones)
            return {k: b[k] / scale[k] for k in b}, [F.sum(scale["x"])]

        return volta.custom_linear_solve(
            lambda v: {"x": d * v["x"], "y": 2 * v["y"]}, b, solve, symmetric=True, has_aux=True
        )

    b = {"x": np.ones(2), "y": np.ones((1, 1), np.float32)}
    d = np.asarray([1.0, 4.0])
    x, aux = solution(d, b)
    assert (x["y"].dtype, aux) == (np.float32, [5.0])
    (g, h), aux = volta.grad(
        lambda d, b: (lambda x, aux: (F.sum(x["x"]) + F.sum(x["y"]), aux))(*solution(d, b)),
        (0, 1),
        has_aux=True,
    )(d, b)
    assert aux == [5.0]
    assert_close(
        (g, h), (np.asarray([-1, -1 / 16]), {"x": np.asarray([1, 0.25]), "y": np.asarray([[0.5]])})
    )
    _, aux = volta.vmap(solution, in_axes=(0, None))(np.stack([d, 2 * d]), b)
    np.testing.assert_array_equal(aux[0], [5, 10])


def test_concrete_aux():
    def solve(map, b):
        x, failed = sla.cg(sla.LinearOperator((4, 4), map), b, rtol=1e-12)
        return x, failed

    def solution(b):
        return volta.custom_linear_solve(
            lambda x: POSITIVE @ x, b, solve, symmetric=True, has_aux=True
        )

    grad, failed = volta.grad(lambda b: (F.sum(solution(b)[0]), solution(b)[1]), has_aux=True)(B)
    assert failed == 0
    assert_close(grad, np.linalg.solve(POSITIVE, np.ones(4)))
    with pytest.raises(volta.TraceError, match="a solver with has_aux=True must be made of Volta"):
        volta.trace(solution)(B)


def test_transposes_and_loops():
    def solution(b):
        return volta.custom_linear_solve(lambda x: A @ x, b, by_scipy, by_scipy)

    assert_close(volta.linear_transpose(solution, B)(DB)[0], np.linalg.solve(A.T, DB))
    looped = volta.grad(lambda b: F.sum(volta.fori_loop(0, 3, lambda _, b: solution(b), b)))(B)
    wanted = np.ones(4)
    for _ in range(3):
        wanted = np.linalg.solve(A.T, wanted)
    assert_close(looped, wanted)


def test_complex_maps_are_transposed_not_conjugated():
    a = A + 1j * DA
    b, ct = B + 1j * DB, DB - 2j * B

    def solution(b):
        return volta.custom_linear_solve(lambda x: a @ x, b, eliminate)

    assert_close(volta.vjp(solution, b)[1](ct)[0], np.linalg.solve(a.T, ct))


@pytest.mark.parametrize("place", [lambda fun: fun, volta.checkpoint])
def test_collectives_are_over_the_lanes(place):
    def solution(b):
        return volta.custom_linear_solve(
            lambda x: x * volta.psum(b, "i"), b, lambda f, b: b / f(F.ones_like(b)), symmetric=True
        )

    b = np.asarray([1.0, 7.0])
    mine, plain = (
        volta.vmap(f, axis_name="i") for f in (place(solution), lambda b: b / volta.psum(b, "i"))
    )
    np.testing.assert_allclose(mine(b), plain(b))
    for jacobian in (volta.jacfwd, volta.jacrev):
        np.testing.assert_allclose(jacobian(mine)(b), jacobian(plain)(b))


def test_nothing_is_staged_where_no_transform_runs():
    def doubled(x):
        return 2 * x if float(x) > 0 else x

    found = volta.custom_linear_solve(doubled, np.asarray(3.0), lambda map, b: b / 2)
    assert (type(found), found) == (np.ndarray, 1.5)


def solved(matvec=lambda x: 2 * x, solve=lambda map, b: b / 2, b=B, **options):
    def row(a, b):
        return volta.custom_linear_solve(lambda x: matvec(x) * a, b, solve, **options)

    return volta.vjp(row, np.asarray(1.0), b)[1](b)


def norm_first(map, b):
    return b / 2 * F.linalg.vector_norm(b) / F.linalg.vector_norm(b)


NO_TRANSPOSE = (
    r"custom_linear_solve\(<lambda>\): needs a transposed solution in reverse mode, which a solver "
    r"that consists of linear operations has by itself; got transpose_solve=None. Pass transpose_so"
)
CASES = {
    NO_TRANSPOSE: (volta.RuleError, lambda: solved(solve=norm_first)),
    NO_TRANSPOSE + "lve, or symmetric=True": (volta.RuleError, lambda: solved(solve=by_scipy)),
    r"the right-hand side must be floating; got int64 at input\[0\]": (
        volta.DTypeError,
        lambda: volta.custom_linear_solve(lambda x: x, [np.ones(2, np.int64)], eliminate),
    ),
    r"matvec must return the types of its argument; got float64\[3\] and float64\[4\] at result": (
        volta.ShapeError,
        lambda: solved(lambda x: x[1:]),
    ),
    "solve's result must have the structure of the unknown": (
        volta.ShapeError,
        lambda: solved(solve=lambda map, b: [b]),
    ),
    "transpose_solve's result must have the types of the unknown": (
        volta.ShapeError,
        lambda: solved(transpose_solve=lambda map, b: b[1:]),
    ),
    "matvec's argument must have the types of the unknown": (
        volta.ShapeError,
        lambda: solved(solve=lambda map, b: map(b[1:])),
    ),
    "solve must return a pair with has_aux=True; got ": (
        TypeError,
        lambda: solved(has_aux=True),
    ),
    "the linear equation must have one solution; got a singular or ill-conditioned map": (
        np.linalg.LinAlgError,
        lambda: solved(solve=lambda map, b: b / 0.0),
    ),
    r"a solver that did not converge. \(cg: the map must be positive definite": (
        np.linalg.LinAlgError,
        lambda: solved(lambda x: -x, implicit.cg, symmetric=True),
    ),
}


@pytest.mark.parametrize("message", CASES)
def test_messages(message):
    error, call = CASES[message]
    with np.errstate(all="ignore"), pytest.raises(error, match=message):
        call()
