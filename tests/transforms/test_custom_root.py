"""Roots around a solver of one's own, against closed forms and JAX."""

import numpy as np
import pytest
import scipy.optimize as so

import volta
import volta.functional as F

pytestmark = pytest.mark.grad_check

_rng = np.random.default_rng(0)
A = 3 * np.eye(4) + _rng.normal(size=(4, 4))
POSITIVE = A @ A.T
B, DB = _rng.normal(size=4), _rng.normal(size=4)
W = _rng.normal(size=(4, 4)) / 4
LANES = np.stack([B, 2 * B, -B])
EIGHT = np.asarray(8.0)


def scalar(g, y):
    return y / g(F.ones_like(y))


def matrix(g, like):
    one = F.tril(F.triu(F.ones_like(F.linalg.outer(like, like))))
    return F.matrix_transpose(volta.vmap(g)(one))


def eliminate(g, y):
    return F.linalg.solve(matrix(g, y), y)


def newton_while(f, x):
    def step(x):
        y, push = volta.linearize(f, x)
        return x - eliminate(push, y)

    return volta.while_loop(lambda x: F.max(F.abs(f(x))) > 1e-13, step, x)


def newton_python(f, x):
    while float(np.max(np.abs(f(x)))) > 1e-13:
        y, push = volta.linearize(f, x)
        x = x - eliminate(push, y)
    return x


def by_scipy(f, x):
    return so.root(f, x, tol=1e-14).x


def solved_by(solve, tangent_solve=eliminate):
    def solution(w, b):
        def f(x):
            return x + F.tanh(w @ x) - b

        return volta.custom_root(f, np.zeros(4), solve, tangent_solve)

    return solution


SOLVERS = {f.__name__: f for f in (newton_while, newton_python, by_scipy)}


def jax_solution():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def newton(f, x):
        def step(x):
            return x - jnp.linalg.solve(jax.jacobian(f)(x), f(x))

        return jax.lax.while_loop(lambda x: jnp.max(jnp.abs(f(x))) > 1e-13, step, x)

    def solution(w, b):
        def f(x):
            return x + jnp.tanh(w @ x) - b

        def tangent(g, y):
            return jnp.linalg.solve(jax.jacobian(g)(y), y)

        return jax.lax.custom_root(f, jnp.zeros(4), newton, tangent)

    return jax, solution


@pytest.fixture(scope="module")
def expected():
    """Value, derivatives of first and second order, and of lanes, by JAX."""
    jax, solution = jax_solution()

    def total(w, b):
        return jax.numpy.sum(solution(w, b) ** 3)

    both = jax.grad(total, (0, 1))
    with jax.enable_x64(True):
        return {
            "value": np.asarray(solution(W, B)),
            "jvp": np.asarray(jax.jvp(lambda b: solution(W, b), (B,), (DB,))[1]),
            "grad": [np.asarray(g) for g in both(W, B)],
            "second": np.asarray(jax.hessian(total, 1)(W, B)),
            "lanes": np.asarray(jax.vmap(both, (None, 0))(W, LANES)[0]),
        }


@pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS)
def test_derivatives_are_those_of_jax(solve, expected):
    solution = solved_by(solve)

    def total(w, b):
        return F.sum(solution(w, b) ** 3)

    both = volta.grad(total, (0, 1))
    close = {"rtol": 1e-9, "atol": 1e-10}
    np.testing.assert_allclose(solution(W, B), expected["value"], **close)
    _, t = volta.jvp(lambda b: solution(W, b), (B,), (DB,))
    np.testing.assert_allclose(t, expected["jvp"], **close)
    for found, wanted in zip(both(W, B), expected["grad"], strict=True):
        np.testing.assert_allclose(found, wanted, **close)
    one = np.eye(4)
    second = volta.vmap(lambda t: volta.jvp(lambda b: both(W, b)[1], (B,), (t,))[1])(one)
    np.testing.assert_allclose(second, expected["second"], **close)
    twice = volta.vmap(lambda t: volta.grad(lambda b: F.vecdot(both(W, b)[1], t))(B))(one)
    np.testing.assert_allclose(twice, expected["second"], **close)
    lanes = volta.vmap(both, in_axes=(None, 0))(W, LANES)[0]
    np.testing.assert_allclose(lanes, expected["lanes"], **close)


def test_a_solver_of_operations_runs_once_for_all_lanes():
    wengert = volta.trace(volta.vmap(solved_by(newton_while), in_axes=(None, 0)))(W, LANES)
    assert [e.primitive.name for e in wengert.entries] == ["custom_root"]
    np.testing.assert_allclose(
        wengert(W, LANES)[1], solved_by(newton_while)(W, LANES[1]), rtol=1e-10
    )


def test_solvers_close_over_traced_arrays():
    """A factor made outside is not differentiated, and all is right the same."""

    def linear(a, b):
        factor = F.linalg.cholesky(a)

        def by_factor(_, y):
            half = F.linalg.solve(factor, y)
            return F.linalg.solve(F.matrix_transpose(factor), half)

        def tangent(g, y):
            return volta.custom_linear_solve(g, y, by_factor, symmetric=True)

        return volta.custom_root(lambda x: a @ x - b, b, by_factor, tangent)

    def both(solve):
        return volta.grad(lambda a, b: F.sum(solve(a, b) ** 3), (0, 1))

    for found, wanted in zip(
        both(linear)(POSITIVE, B), both(F.linalg.solve)(POSITIVE, B), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-9)
    lanes = np.stack([POSITIVE, POSITIVE + np.eye(4)])
    found = volta.vmap(lambda a: both(linear)(a, B)[0])(lanes)
    np.testing.assert_allclose(found, [both(F.linalg.solve)(a, B)[0] for a in lanes], rtol=1e-9)
    second = volta.jvp(lambda b: both(linear)(POSITIVE, b), (B,), (DB,))[1]
    wanted = volta.jvp(lambda b: both(F.linalg.solve)(POSITIVE, b), (B,), (DB,))[1]
    np.testing.assert_allclose(second[0], wanted[0], rtol=1e-9)


def test_a_linear_tangent_solve_that_ignores_its_map_is_transposed():
    inverse = np.linalg.inv(A)

    def solution(b):
        return volta.custom_root(lambda x: A @ x - b, b, by_scipy, lambda _, y: inverse @ y)

    found = volta.vjp(solution, B)[1](DB)[0]
    np.testing.assert_allclose(found, np.linalg.solve(A.T, DB), rtol=1e-9)


@pytest.mark.parametrize("reads", [False, True])
def test_another_tangent_solve_gets_the_transposed_map(reads):
    def richardson(g, y):
        """Steps as long as the residual says so: nothing linear in y."""
        x = y / 4
        if reads:
            while float(np.linalg.norm(y - g(x))) > 1e-13:
                x = x + (y - g(x)) / 4
            return x
        return volta.while_loop(
            lambda x: F.max(F.abs(y - g(x))) > 1e-13, lambda x: x + (y - g(x)) / 4, x
        )

    a = 4 * np.eye(4) + np.triu(W)

    def solution(b):
        return volta.custom_root(lambda x: a @ x - b, b, by_scipy, richardson)

    np.testing.assert_allclose(volta.jvp(solution, (B,), (DB,))[1], np.linalg.solve(a, DB))
    np.testing.assert_allclose(volta.vjp(solution, B)[1](DB)[0], np.linalg.solve(a.T, DB))


def test_trees_and_aux():
    def solution(a):
        def f(t):
            return {"x": t["x"] ** 2 - a, "y": [t["y"][0] - t["x"] * a]}

        def solve(f, t):
            steps = 0
            while float(np.abs(f(t)["x"])) > 1e-13:
                t = {"x": t["x"] - f(t)["x"] / (2 * t["x"]), "y": t["y"]}
                steps += 1
            return {"x": t["x"], "y": [t["x"] * np.asarray(8.0)]}, {"steps": steps}

        def tangent(g, r):
            slope = g({"x": F.ones_like(a), "y": [F.zeros_like(a)]})
            x = r["x"] / slope["x"]
            return {"x": x, "y": [r["y"][0] - slope["y"][0] * x]}

        start = {"x": np.asarray(1.0), "y": [np.asarray(0.0)]}
        return volta.custom_root(f, start, solve, tangent, has_aux=True)

    t, aux = solution(EIGHT)
    assert aux["steps"] > 3
    np.testing.assert_allclose(t["y"][0], 8**1.5)
    grad, aux = volta.grad(lambda a: (solution(a)[0]["y"][0], solution(a)[1]), has_aux=True)(EIGHT)
    np.testing.assert_allclose(grad, 1.5 * 8**0.5)
    assert aux["steps"] > 3
    out, t = volta.jvp(lambda a: solution(a)[0]["y"][0], (EIGHT,), (EIGHT,))
    np.testing.assert_allclose([out, t], [8**1.5, 1.5 * 8**1.5])
    lanes, aux = volta.vmap(solution)(np.asarray([8.0, 8.0]))
    assert aux["steps"].shape == (2,)
    assert lanes["x"].shape == (2,)


def test_aux_of_a_staged_solver_has_known_types():
    def solution(a):
        def solve(f, x):
            x = newton_while(lambda v: f(v[0])[None, ...], x[None, ...])[0]
            return x, (f(x), F.astype(x, "int32"))

        return volta.custom_root(lambda x: x**3 - a, EIGHT, solve, scalar, has_aux=True)

    wengert = volta.trace(solution)(EIGHT)
    assert [str(wengert.types[o]) for o in wengert.outputs] == ["float64[]", "float64[]", "int32[]"]
    x, (_, whole) = wengert(np.asarray(27.0))
    np.testing.assert_allclose(x, 3)
    assert whole.dtype == np.int32
    slope = volta.grad(lambda a: solution(a)[0] + solution(a)[1][0])(np.asarray(27.0))
    np.testing.assert_allclose(slope, 1 / 27)


def test_nothing_is_staged_where_no_transform_runs():
    def f(x):
        return x - 2.0 if float(x) < 5 else x

    found = volta.custom_root(f, np.asarray(1.0), lambda f, x: x - f(x), scalar)
    assert (type(found), found) == (np.ndarray, 2.0)


def rooted(f=lambda x: x - 1, guess=EIGHT, solve=lambda f, x: x, tangent=scalar, **options):
    return volta.jvp(
        lambda a: volta.custom_root(lambda x: f(x) + a, guess, solve, tangent, **options),
        (EIGHT,),
        (EIGHT,),
    )


CASES = {
    r"custom_root\(<lambda>\): the initial guess must be floating; got int64 at input\['a'\]": (
        volta.DTypeError,
        lambda: rooted(guess={"a": np.asarray(1)}),
    ),
    r"f must return the types of its argument; got float64\[2\] and float64\[\] at result": (
        volta.ShapeError,
        lambda: rooted(lambda x: F.stack([x, x])),
    ),
    r"f must have the structure of the unknown; got PyTreeSpec\(\*\) and PyTreeSpec\(\[\*\]\)": (
        volta.ShapeError,
        lambda: rooted(lambda x: x[0], [EIGHT]),
    ),
    "solve's result must have the structure of the unknown": (
        volta.ShapeError,
        lambda: rooted(solve=lambda f, x: (x, x)),
    ),
    "tangent_solve's result must have the types of the unknown; got float64": (
        volta.ShapeError,
        lambda: rooted(tangent=lambda g, y: F.stack([y, y])),
    ),
    "f's argument must have the types of the unknown": (
        volta.ShapeError,
        lambda: rooted(solve=lambda f, x: f(F.stack([x, x]))),
    ),
    "solve must return a pair with has_aux=True; got ndarray": (
        TypeError,
        lambda: rooted(has_aux=True),
    ),
    r"custom_root\(\) got an unexpected keyword argument 'init'": (
        TypeError,
        lambda: volta.custom_root(lambda x: x, EIGHT, init=1),
    ),
    r"custom_root\(<lambda>\): the linear equation must have one solution; got a singular": (
        np.linalg.LinAlgError,
        lambda: rooted(lambda x: F.stop_gradient(x), tangent=lambda g, y: y * np.inf),
    ),
    r"a solver that needs concrete values must not close over a traced array; got a r": (
        volta.TraceError,
        lambda: volta.grad(
            lambda a: volta.custom_root(
                lambda x: x - a, EIGHT, lambda f, x: a if float(x) else x, scalar
            )
        )(EIGHT),
    ),
}


@pytest.mark.parametrize("place", [lambda fun: fun, volta.checkpoint])
def test_collectives_are_over_the_lanes(place):
    def solve(f, x):
        for _ in range(30):
            x = x - f(x) / (3 * x**2)
        return x

    def root(b):
        def f(x):
            return x**3 - volta.psum(b, "i") - volta.axis_index("i")

        return volta.custom_root(f, np.asarray(1.0), solve, scalar)

    def closed(b):
        return (volta.psum(b, "i") + volta.axis_index("i")) ** (1 / 3)

    b = np.asarray([1.0, 7.0])
    mine, plain = (volta.vmap(f, axis_name="i") for f in (place(root), closed))
    assert type(mine(b)) is np.ndarray
    np.testing.assert_allclose(mine(b), plain(b))
    for jacobian in (volta.jacfwd, volta.jacrev):
        np.testing.assert_allclose(jacobian(mine)(b), jacobian(plain)(b))
    np.testing.assert_allclose(
        volta.vmap(volta.grad(place(root)), axis_name="i")(b),
        volta.vmap(volta.grad(closed), axis_name="i")(b),
    )


def test_a_collective_and_a_solver_that_runs_lane_by_lane():
    def bisect(f, x):
        return np.asarray(so.brentq(lambda v: float(f(np.asarray(v))), 0.0, 9.0))

    def root(b):
        return volta.custom_root(lambda x: x**3 - b * volta.psum(b, "i"), b, bisect, scalar)

    with pytest.raises(volta.TraceError, match=r"all lanes of axis 'i' together; got 1 of 2 "):
        volta.vmap(root, axis_name="i")(np.asarray([1.0, 7.0]))


@pytest.mark.parametrize("message", CASES)
def test_messages(message):
    error, call = CASES[message]
    with pytest.raises(error, match=message):
        call()
