"""Roots, fixed points and minima: closed forms, finite differences, any solver, every transform."""

import numpy as np
import pytest
import scipy.optimize as so

import volta
import volta.functional as F
from volta import implicit
from volta.implicit import ImplicitAdjoint, RecursiveCheckpointAdjoint

pytestmark = pytest.mark.grad_check

_rng = np.random.default_rng(0)
W, B = _rng.normal(size=(4, 4)), _rng.normal(size=4)
DW, DB = _rng.normal(size=(4, 4)), _rng.normal(size=4)
TWO = np.asarray(2.0)


def differences(f, x, t, h=1e-5):
    """Derivative of f along t, with an error of fourth order."""
    near, far = f(x + h * t) - f(x - h * t), f(x + 2 * h * t) - f(x - 2 * h * t)
    return (8 * near - far) / (12 * h)


def close(x, y, rtol=1e-6):
    np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-9)


# A system of four equations, by SciPy ------------------------------------------------------------


def system(x, w, b):
    return x + 0.3 * F.tanh(w @ x) - b


def by_scipy(f, x, *params):
    return so.root(f, x, args=params, tol=1e-14).x


def solution(w, b, **options):
    return implicit.root(system, np.zeros(4), w, b, solver=by_scipy, **options)


def loss(w):
    return F.sum(solution(w, B) ** 3)


def test_the_solution_solves():
    np.testing.assert_allclose(system(solution(W, B), W, B), 0, atol=1e-12)


def test_forward_mode_in_all_parameters():
    _, t = volta.jvp(solution, (W, B), (DW, DB))
    moved = differences(lambda s: solution(W + s * DW, B + s * DB), 0.0, 1.0)
    close(t, moved)


def test_reverse_mode_is_its_transpose():
    ct = _rng.normal(size=4)
    _, t = volta.jvp(solution, (W, B), (DW, DB))
    to_w, to_b = volta.vjp(solution, W, B)[1](ct)
    close(np.vdot(ct, t), np.vdot(to_w, DW) + np.vdot(to_b, DB), 1e-12)


@pytest.mark.parametrize("argnum", [0, 1])
def test_one_parameter_alone(argnum):
    both = volta.grad(lambda w, b: F.sum(solution(w, b)), (0, 1))(W, B)
    alone = volta.grad(lambda w, b: F.sum(solution(w, b)), argnum)(W, B)
    close(alone, both[argnum], 1e-12)


def test_second_order_in_every_order_of_modes():
    expected = differences(volta.grad(loss), W, DW)
    close(volta.jvp(volta.grad(loss), (W,), (DW,))[1], expected)
    close(
        volta.grad(lambda w: F.vecdot(F.reshape(volta.grad(loss)(w), -1), DW.ravel()))(W), expected
    )
    close(volta.grad(lambda w: volta.jvp(loss, (w,), (DW,))[1])(W), expected)
    twice = volta.jvp(lambda w: volta.jvp(loss, (w,), (DW,))[1], (W,), (DW,))[1]
    close(twice, np.vdot(expected, DW))


def test_third_order():
    def cube_root(a):
        return implicit.root(lambda x, a: x**3 - a, TWO, a, solver=lambda f, x, a: np.cbrt(a))

    third = volta.grad(volta.grad(volta.grad(cube_root)))
    close(third(np.asarray(8.0)), 10 / 27 * 8 ** (-8 / 3), 1e-10)


@pytest.mark.parametrize("solve", ["dense", "gmres", "normal_cg", implicit.gmres])
def test_linear_solvers_agree(solve):
    def other(w):
        return F.sum(solution(w, B, adjoint=ImplicitAdjoint(solve=solve)) ** 3)

    close(volta.grad(other)(W), volta.grad(loss)(W), 1e-9)
    expected = volta.jvp(volta.grad(loss), (W,), (DW,))[1]
    close(volta.jvp(volta.grad(other), (W,), (DW,))[1], expected, 1e-8)
    lanes = np.stack([W, W + 0.1])
    expected = np.stack([volta.grad(loss)(w) for w in lanes])
    close(volta.vmap(volta.grad(other))(lanes), expected, 1e-8)


def test_a_linear_solver_of_scipy():
    def solve(matvec, b):
        found = so.root(lambda v: matvec(v) - b, np.zeros(4), tol=1e-14)
        return found.x

    def other(w):
        return F.sum(solution(w, B, adjoint=ImplicitAdjoint(solve)) ** 3)

    close(volta.grad(other)(W), volta.grad(loss)(W))


# Lanes -------------------------------------------------------------------------------------------


def test_vmap_runs_a_solver_of_concrete_values_lane_by_lane():
    lanes = np.stack([W, W + 0.1, W - 0.2])
    calls = []

    def counted(f, x, *params):
        assert type(x) is np.ndarray
        calls.append(x.shape)
        return by_scipy(f, x, *params)

    def one(w):
        return implicit.root(system, np.zeros(4), w, B, solver=counted)

    found = volta.vmap(one)(lanes)
    assert calls == [(4,)] * 3
    close(found, np.stack([solution(w, B) for w in lanes]), 1e-12)


def test_vmap_of_grad_and_grad_of_vmap():
    lanes = np.stack([W, W + 0.1])
    expected = np.stack([volta.grad(loss)(w) for w in lanes])
    close(volta.vmap(volta.grad(loss))(lanes), expected, 1e-12)
    close(volta.grad(lambda ws: F.sum(volta.vmap(loss)(ws)))(lanes), expected, 1e-12)


def test_shared_parameters_of_lanes_get_the_sum():
    lanes = np.stack([W, W + 0.1])

    def total(ws, b):
        return F.sum(volta.vmap(solution, in_axes=(0, None))(ws, b))

    expected = sum(volta.grad(lambda b, w=w: F.sum(solution(w, b)))(B) for w in lanes)
    close(volta.grad(total, 1)(lanes, B), expected, 1e-12)


def test_lanes_of_lanes_and_no_lanes():
    def fourth_root(a):
        return implicit.root(lambda x, a: x**4 - a, TWO, a, solver=lambda f, x, a: a**0.25)

    a = np.asarray([[1.0, 16.0], [81.0, 2.0]])
    close(volta.vmap(volta.vmap(volta.grad(fourth_root)))(a), a**-0.75 / 4, 1e-12)
    assert volta.vmap(fourth_root)(np.zeros(0)).shape == (0,)


def newton_loop(f, x, a):
    return volta.while_loop(
        lambda x: F.abs(f(x, a)) > 1e-13, lambda x: x - f(x, a) / volta.grad(f)(x, a), x
    )


def test_batched_solvers_run_once():
    shapes = []

    def counted(f, x, a):
        shapes.append((type(a).__name__, a.shape))
        return newton_loop(f, x, a)

    def square_root(a):
        return implicit.root(
            lambda x, a: x * x - a, np.asarray(1.0), a, solver=counted, batched=True, tol=1e-10
        )

    a = np.asarray([2.0, 3.0, 5.0])
    close(volta.vmap(volta.grad(square_root))(a), a**-0.5 / 2, 1e-12)
    assert shapes == [("Tracer", ())]
    with pytest.raises(ArithmeticError, match="must not exceed tol=1e-10; got 5"):
        volta.vmap(
            lambda a: implicit.root(
                lambda x, a: x * x - a,
                TWO,
                a,
                solver=lambda f, x, a: 0 * a,
                batched=True,
                tol=1e-10,
            )
        )(a)


def test_to_the_solver_no_transform_runs():
    def square_root(a):
        def solver(f, x, a):
            assert type(F.zeros(2)) is type(x) is type(a) is np.ndarray
            assert isinstance(f(x, a), np.ndarray | np.generic)
            return volta.grad(lambda v: F.sum(v**1.5) / 1.5)(a)

        return implicit.root(
            lambda x, a: x * x - a * F.ones((), dtype=F.float64), TWO, a, solver=solver
        )

    close(volta.grad(volta.grad(square_root))(TWO), -(2**-1.5) / 4, 1e-12)
    close(volta.vmap(volta.grad(square_root))(np.asarray([2.0])), 2**-0.5 / 2, 1e-12)


# What is differentiated --------------------------------------------------------------------------


def test_what_the_function_closes_over_is_differentiated():
    def other(w):
        x = implicit.root(lambda x: system(x, w, B), np.zeros(4), solver=by_scipy)
        return F.sum(x**3)

    close(volta.grad(other)(W), volta.grad(loss)(W), 1e-12)
    lanes = np.stack([W, W + 0.1])
    close(volta.vmap(volta.grad(other))(lanes), volta.vmap(volta.grad(loss))(lanes), 1e-12)
    close(volta.jvp(other, (W,), (DW,))[1], volta.jvp(loss, (W,), (DW,))[1], 1e-12)


def reading(x, w):
    if bool(x[0] > 100):
        return x
    return system(x, w, B)


def test_functions_that_read_values_take_parameters():
    def other(w):
        return F.sum(implicit.root(reading, np.zeros(4), w, solver=by_scipy) ** 3)

    close(volta.grad(other)(W), volta.grad(loss)(W), 1e-12)
    close(volta.jvp(other, (W,), (DW,))[1], volta.jvp(loss, (W,), (DW,))[1], 1e-12)


@pytest.mark.parametrize("solver", [by_scipy, lambda f, x: x])
def test_functions_that_read_values_must_not_close_over_traced_arrays(solver):
    def other(w):
        return F.sum(implicit.root(lambda x: reading(x, w), np.zeros(4), solver=solver))

    with pytest.raises(
        volta.TraceError,
        match=r"implicit.root\(<lambda>\): a function that reads values must not close over a "
        r"traced array; got a result traced by grad\(other\). Pass the array as a parameter.",
    ):
        volta.grad(other)(W)


def test_solvers_must_not_close_over_traced_arrays():
    def other(a, read=lambda a: a):
        return implicit.root(lambda x, a: x * x - a, TWO, a, solver=lambda f, x, _: F.sqrt(read(a)))

    with pytest.raises(
        volta.TraceError,
        match=r"a solver that needs concrete values must not close over a traced array; got a "
        r"result traced by grad\(other\). Pass the array as a parameter, or apply volta.stop_",
    ):
        volta.grad(other)(TWO)
    close(volta.grad(lambda a: other(a, volta.stop_gradient))(TWO), 2**-0.5 / 2, 1e-12)


def test_the_first_guess_is_not_differentiated():
    def other(x):
        return F.sum(implicit.root(system, x, W, B, solver=by_scipy))

    np.testing.assert_array_equal(volta.grad(other)(np.ones(4)), np.zeros(4))
    assert volta.jvp(other, (np.ones(4),), (np.ones(4),))[1] == 0


def test_parameters_are_trees_numbers_and_integers():
    def f(x, params, power, index):
        return {"x": params["a"][index] * x["x"] ** power - params["b"]}

    def other(params):
        def solver(f, x, params, power, index):
            assert type(power) is int
            return {"x": (params["b"] / params["a"][index]) ** (1 / power)}

        args = params, 3, np.asarray(1)
        return implicit.root(f, {"x": TWO}, *args, solver=solver, tol=1e-12)["x"]

    params = {"a": np.asarray([5.0, 2.0]), "b": np.asarray(16.0)}
    found = volta.grad(other)(params)
    close(found["a"], [0, -2 / 3 / 2], 1e-12)
    close(found["b"], 2 / 3 / 16, 1e-12)


@pytest.mark.parametrize("closes", [False, True])
def test_modules(closes):
    layer = volta.nn.Linear(2, 2, key=F.random.key(0))
    zeros = np.zeros(2, np.float32)

    def iterate(f, x, *params):
        for _ in range(80):
            x = f(x, *params)
        return x

    def solved(layer):
        def f(x, *given):
            return 0.3 * F.tanh((given[0] if given else layer)(x) + 1)

        params = () if closes else (layer,)
        return F.sum(implicit.fixed_point(f, zeros, *params, solver=iterate))

    def unrolled(layer):
        return F.sum(iterate(lambda x: 0.3 * F.tanh(layer(x) + 1), zeros))

    found, expected = volta.grad(solved)(layer), volta.grad(unrolled)(layer)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-7)


def test_loops_and_checkpoints_over_solutions():
    def square_root(a):
        return implicit.root(
            lambda x: x * x - a, TWO, solver=lambda f, x: so.brentq(f, 0, 10, xtol=1e-14)
        )

    def looped(a):
        steps = np.asarray([1.0, 4.0])
        return volta.scan(lambda c, b: (c + square_root(a * b), ()), np.asarray(0.0), steps)[0]

    close(volta.grad(looped)(TWO), 3 * 2**-0.5 / 2, 1e-10)
    close(volta.jvp(volta.grad(looped), (TWO,), (TWO,))[1], -3 * 2 * 2**-1.5 / 4, 1e-10)
    close(volta.grad(volta.checkpoint(square_root))(TWO), 2**-0.5 / 2, 1e-10)
    close(volta.linearize(square_root, TWO)[1](TWO), 2**-0.5, 1e-10)


# Further results ---------------------------------------------------------------------------------


def with_count(f, x, *params):
    found = so.root(f, x, args=params, tol=1e-14)
    return found.x, {"calls": found.nfev, "gap": found.fun}


def test_has_aux():
    def other(b):
        x, aux = implicit.root(system, np.zeros(4), W, b, solver=with_count, has_aux=True)
        return F.sum(x), aux

    _, aux = other(B)
    grads, same = volta.grad(other, has_aux=True)(B)
    assert aux["calls"] == same["calls"] > 4
    close(grads, volta.grad(lambda b: F.sum(solution(W, b)))(B), 1e-12)
    _, lanes = volta.vmap(other)(np.stack([B, 2 * B]))
    assert lanes["calls"].shape == (2,)
    assert lanes["gap"].shape == (2, 4)
    _, (t, none) = volta.jvp(
        lambda b: (lambda x, aux: (F.sum(x), aux["gap"]))(*_both(b)), (B,), (DB,)
    )
    assert not none.any()
    close(t, np.vdot(grads, DB), 1e-12)


def _both(b):
    return implicit.root(system, np.zeros(4), W, b, solver=with_count, has_aux=True)


def test_aux_of_unknown_type_cannot_be_staged():
    with pytest.raises(
        volta.TraceError, match=r"implicit.root\(system\): a solver with has_aux=True must be made"
    ):
        volta.trace(lambda b: _both(b)[0])(B)


def test_aux_needs_a_pair():
    with pytest.raises(TypeError, match="solver must return a pair with has_aux=True; got ndarray"):
        implicit.root(system, np.zeros(4), W, B, solver=by_scipy, has_aux=True)


# Points that are no solutions, and singular ones -------------------------------------------------


def test_a_residual_above_tol_raises():
    solution(W, B, tol=1e-9)
    message = (
        r"implicit.root\(system\): the residual of the point that the solver returned must not"
    )
    with pytest.raises(ArithmeticError, match=message):
        implicit.root(system, np.zeros(4), W, B, solver=lambda f, x, *_: x, tol=1e-3)
    with pytest.raises(ArithmeticError, match=message):
        implicit.root(system, np.zeros(4), W, B, solver=lambda f, x, *_: x * np.nan, tol=1e-3)
    with pytest.raises(ArithmeticError, match=message):
        volta.vmap(
            lambda b: implicit.root(system, np.zeros(4), W, b, solver=lambda f, x, *_: x, tol=1e-3)
        )(np.stack([B, B]))


def test_without_tol_the_derivative_is_that_of_the_point():
    half = implicit.root
    found = volta.grad(
        lambda a: half(lambda x, a: x * x - a, TWO, a, solver=lambda f, x, a: np.asarray(1.0))
    )(TWO)
    close(found, 0.5, 1e-12)  # 1 / (2 x) at x = 1


SINGULAR = r"implicit.root\(<lambda>\): the linear equation must have one solution; got a singular"


def test_a_derivative_of_zero_raises():
    def other(p):
        return implicit.root(lambda x, p: x * x - p, TWO, p, solver=lambda f, x, p: np.sqrt(p))

    for slope in (volta.grad(other), lambda p: volta.jvp(other, (p,), (p + 1,))):
        with pytest.raises(np.linalg.LinAlgError, match=SINGULAR):
            slope(np.asarray(0.0))
    with pytest.raises(np.linalg.LinAlgError, match=SINGULAR):
        volta.vmap(volta.grad(other))(np.asarray([1.0, 0.0]))


@pytest.mark.parametrize("n", [2, 5, 30, 150])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_derivative_that_is_singular_but_for_rounding_raises(n, dtype):
    rng = np.random.default_rng(n)
    root = rng.normal(size=(n, n - 1)).astype(dtype)
    a = root @ root.T

    def other(p):
        return F.sum(
            implicit.root(lambda x, p: a @ x - p, np.ones(n, dtype), p, solver=lambda f, x, p: x)
        )

    with pytest.raises(np.linalg.LinAlgError, match=SINGULAR):
        volta.grad(other)(np.ones(n, dtype))


def test_an_ill_conditioned_derivative_does_not():
    n = 6
    a = 1 / (1 + np.arange(n) + np.arange(n)[:, None])  # Hilbert's: condition number 3e7

    def other(p):
        return implicit.root(
            lambda x, p: a @ x - p, np.ones(n), p, solver=lambda f, x, p: np.linalg.solve(a, p)
        )

    close(volta.jvp(other, (np.ones(n),), (np.ones(n),))[1], np.linalg.solve(a, np.ones(n)), 1e-6)


@pytest.mark.parametrize("solve", ["cg", "gmres", "normal_cg"])
def test_iterative_solvers_raise_where_there_is_no_solution(solve):
    a = np.diag([1.0, 2.0, 0.0])

    def other(p):
        return implicit.root(
            lambda x, p: a @ x - p,
            np.ones(3),
            p,
            solver=lambda f, x, p: x,
            adjoint=ImplicitAdjoint(solve),
        )

    with pytest.raises(np.linalg.LinAlgError, match=SINGULAR):
        volta.jvp(other, (np.ones(3),), (np.ones(3),))


def test_cotangents_that_are_not_finite_pass():
    _, pull = volta.vjp(lambda b: solution(W, b), B)
    assert np.isnan(pull(np.full(4, np.nan))[0]).all()


def test_by_thousands_without_a_matrix():
    n = 3000
    d = 2 + np.random.default_rng(0).random(n)

    def f(x, d):
        return d * x + 0.1 * F.roll(x, 1) - 1 + 0.01 * x**3

    def jacobi(f, x, d):
        for _ in range(40):
            x = x - f(x, d) / d
        return x

    def total(d):
        return F.sum(implicit.root(f, np.zeros(n), d, solver=jacobi, tol=1e-10))

    t = np.cos(np.arange(n))
    close(np.vdot(volta.grad(total)(d), t), differences(total, d, t, 1e-3))


# Dtypes and libraries ----------------------------------------------------------------------------


def test_complex_equations_need_not_be_holomorphic():
    z = np.asarray([1 + 2j, -0.5 + 1j])

    def newton(f, x, a):
        for _ in range(40):
            x = x - f(x, a) / (2 * x)
        return x

    def solved(a, conj=0.1):
        return implicit.root(
            lambda x, a: x**2 + conj * F.conj(x) - a, z, a, solver=newton, tol=1e-12
        )

    a, t = z**2, np.asarray([1 - 1j, 2j])
    close(volta.jvp(lambda a: solved(a, 0), (a,), (t,))[1], t / (2 * z), 1e-10)
    _, moved = volta.jvp(solved, (a,), (t,))
    close(moved, differences(solved, a, t))
    ct = np.asarray([0.5 + 1j, -1j])
    pulled = volta.vjp(solved, a)[1](ct)[0]
    close(np.sum(ct * moved).real, np.sum(pulled * t).real, 1e-12)


def square_root_in(xp, solver, dtype):
    one = xp.asarray(1.0, dtype=dtype)
    return lambda a: implicit.root(lambda x, a: x * x - a, one, a, solver=solver)


@pytest.mark.parametrize("name", ["torch", "array_api_strict", "jax.numpy"])
def test_arrays_of_any_library(name):
    xp = pytest.importorskip(name)
    a = xp.asarray(2.0, dtype=xp.float32)

    def bisect(f, x, a):
        assert type(x) is type(a)
        return so.brentq(lambda v: float(f(v, a)), 0, 5)

    found = volta.grad(square_root_in(xp, bisect, xp.float32))(a)
    assert type(found) is type(a)
    assert found.dtype == xp.float32
    np.testing.assert_allclose(float(found), 2**-0.5 / 2, rtol=1e-6)


def test_results_of_solvers_are_converted():
    single = np.asarray(1.0, np.float32)
    for made in (1.5, np.float64(1.5), np.asarray([1.5]), np.asarray(1.5), 2):
        x = implicit.root(lambda x: x, single, solver=lambda f, x, made=made: made)
        assert (x.shape, x.dtype, float(x)) == ((), np.float32, float(np.squeeze(made)))


def test_sixteen_bits():
    half = np.asarray([1.0, 2.0], np.float16)
    found = volta.grad(
        lambda a: F.sum(
            implicit.root(lambda x, a: x * x - a, half, a, solver=lambda f, x, a: np.sqrt(a))
        )
    )(half)
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, 0.5 / np.sqrt([1.0, 2.0]), rtol=2e-3)


# Fixed points and minima -------------------------------------------------------------------------


def settled(a):
    def steffensen(f, x, a):
        return so.fixed_point(f, x, args=(a,), xtol=1e-14)

    return implicit.fixed_point(lambda x, a: F.cos(a * x), np.asarray(1.0), a, solver=steffensen)


def test_fixed_point():
    a = np.asarray(0.8)
    x = settled(a)
    slope = -x * np.sin(a * x) / (1 + a * np.sin(a * x))
    close(volta.grad(settled)(a), slope, 1e-9)
    close(volta.jvp(volta.grad(settled), (a,), (a,))[1], differences(volta.grad(settled), a, a))


def ridge(w, penalty, x, y):
    return F.sum((x @ w["w"] + w["b"] - y) ** 2) + F.exp(penalty) * F.sum(w["w"] ** 2)


X, Y = _rng.normal(size=(12, 3)), _rng.normal(size=12)
ONE = np.asarray(0.4)
START = {"w": np.zeros(3), "b": np.asarray(0.0)}


def newton(f, w, *params):
    return volta.optimize.minimize(f, w, *params, method="trust-exact", tol=1e-12).x


def closed_form(penalty, y):
    whole = F.concat([X, np.ones((12, 1))], axis=1)
    weight = F.exp(penalty) * np.diag([1.0, 1.0, 1.0, 0.0])
    return F.linalg.solve(whole.T @ whole + weight, whole.T @ y)


@pytest.mark.parametrize("solve", ["auto", "cg"])
def test_minimize(solve):
    def fitted(penalty, y):
        adjoint = ImplicitAdjoint(solve)
        w = implicit.minimize(ridge, START, penalty, X, y, solver=newton, adjoint=adjoint)
        return F.concat([w["w"], F.reshape(w["b"], 1)])

    t = (np.asarray(1.0), np.cos(np.arange(12)))
    for found, expected in zip(
        volta.jvp(fitted, (ONE, Y), t), volta.jvp(closed_form, (ONE, Y), t), strict=True
    ):
        close(found, expected, 1e-8)

    def size(fit):
        return volta.grad(lambda p, y: F.sum(fit(p, y) ** 3), (0, 1))

    for found, expected in zip(size(fitted)(ONE, Y), size(closed_form)(ONE, Y), strict=True):
        close(found, expected, 1e-8)
    second = volta.grad(lambda p: size(fitted)(p, Y)[0])(ONE)
    close(second, volta.grad(lambda p: size(closed_form)(p, Y)[0])(ONE), 1e-7)
    lanes = volta.vmap(fitted, in_axes=(0, None))(np.asarray([0.0, 0.4]), Y)
    close(lanes, np.stack([closed_form(p, Y) for p in (0.0, 0.4)]), 1e-6)


def test_minimize_checks_the_gradient():
    with pytest.raises(ArithmeticError, match=r"implicit.minimize\(ridge\): the residual"):
        implicit.minimize(ridge, START, ONE, X, Y, solver=lambda f, w, *_: w, tol=1e-3)


def test_a_flat_minimum_raises():
    def flat(p):
        return implicit.minimize(
            lambda x, p: F.sum((x - p) ** 4), B, p, solver=lambda f, x, p: p, tol=1e-9
        )

    with pytest.raises(np.linalg.LinAlgError, match="the linear equation must have one solution"):
        volta.jvp(flat, (B,), (DB,))


def test_minimize_over_complex_numbers():
    z = np.asarray([1 + 2j])

    def descend(f, x, z):
        for _ in range(400):
            x = x - 0.2 * np.conj(volta.grad(f)(x, z))
        return x

    def nearest(z):
        return implicit.minimize(
            lambda x, z: F.sum(F.abs(x - z * z) ** 2 + 0.1 * F.real(x) ** 4),
            z,
            z,
            solver=descend,
            tol=1e-10,
        )

    t = np.asarray([1j])
    close(volta.jvp(nearest, (z,), (t,))[1], differences(nearest, z, t))


# Adjoints and messages ---------------------------------------------------------------------------


def square_root(a, **options):
    return implicit.root(lambda x, a: x * x - a, np.asarray(1.0), a, solver=newton_loop, **options)


@pytest.mark.parametrize("adjoint", [ImplicitAdjoint(), RecursiveCheckpointAdjoint()])
def test_adjoints_agree_around_a_while_loop(adjoint):
    def root(a):
        return square_root(a, adjoint=adjoint)

    close(volta.grad(root)(TWO), 2**-0.5 / 2, 1e-10)
    close(volta.jvp(root, (TWO,), (TWO,))[1], 2**-0.5, 1e-10)


def test_steps_of_a_solver_must_be_differentiable():
    steps = RecursiveCheckpointAdjoint()
    with pytest.raises(volta.TraceError, match="would cut the array off"):
        volta.grad(
            lambda a: implicit.root(
                lambda x, a: x - a, TWO, a, solver=lambda f, x, a: float(a), adjoint=steps
            )
        )(TWO)


def test_what_is_recorded_is_the_solution_alone():
    wengert = volta.trace(volta.grad(square_root))(TWO)
    names = [e.primitive.name for e in wengert.entries]
    assert names.count("custom_root") == names.count("custom_linear_solve") == 1
    assert "while_loop" not in names
    assert "call=implicit.root(<lambda>)" in str(wengert)


CASES = {
    "adjoint must be an ImplicitAdjoint or a RecursiveCheckpointAdjoint; got 'implicit'": (
        TypeError,
        lambda: square_root(TWO, adjoint="implicit"),
    ),
    "root: takes no argument 'adjoin'; did you mean 'adjoint'": (
        TypeError,
        lambda: square_root(TWO, adjoin=ImplicitAdjoint()),
    ),
    "ImplicitAdjoint: solve must be one of auto, dense, cg, gmres, normal_cg, or a f": (
        ValueError,
        lambda: ImplicitAdjoint(solve="lu"),
    ),
    r"implicit.root\(system\): init must be floating; got int64 at input\.": (
        volta.DTypeError,
        lambda: implicit.root(system, np.zeros(4, np.int64), W, B, solver=by_scipy),
    ),
    r"the solver's result must have the structure of the unknown; got PyTreeSpec\(\(\*, \*\)\)": (
        volta.ShapeError,
        lambda: implicit.root(system, B, W, B, solver=lambda f, x, *p: (x, x)),
    ),
    r"the solver's result must have the types of the unknown; got float64\[3\] and f": (
        volta.ShapeError,
        lambda: implicit.root(system, B, W, B, solver=lambda f, x, *p: np.ones(3)),
    ),
    "the solver's result must have the types of the unknown; got complex128": (
        volta.ShapeError,
        lambda: implicit.root(system, B, W, B, solver=lambda f, x, *p: x + 0j),
    ),
    r"fun's argument must have the types of the unknown; got float64\[2\] and": (
        volta.ShapeError,
        lambda: implicit.root(system, B, W, B, solver=lambda f, x, *p: f(np.ones(2), *p)),
    ),
    r"fun must return the types of its argument; got float64\[2\] and float64\[4\] at result": (
        volta.ShapeError,
        lambda: volta.grad(
            lambda b: F.sum(implicit.root(lambda x, b: b[:2], B, b, solver=lambda f, x, b: x))
        )(B),
    ),
    "the linear solver's result must have the types": (
        volta.ShapeError,
        lambda: volta.grad(
            lambda w: F.sum(solution(w, B, adjoint=ImplicitAdjoint(lambda map, b: b[:1])))
        )(W),
    ),
    r"f\(a\) and f\(b\) must have different signs": (
        ValueError,  # SciPy's own
        lambda: implicit.root(lambda x: x, TWO, solver=lambda f, x: so.brentq(f, 1, 2)),
    ),
}


@pytest.mark.parametrize("message", CASES)
def test_messages(message):
    error, call = CASES[message]
    with pytest.raises(error, match=message):
        call()


def test_errors_say_where_the_solution_was_asked_for():
    here = r"\(line: test_solutions\.py:\d+\)"
    with pytest.raises(ArithmeticError, match=here):
        implicit.root(lambda x, a: x - a, TWO, TWO, solver=lambda f, x, a: x + 5, tol=1e-6)
    with pytest.raises(np.linalg.LinAlgError, match=here):
        volta.grad(lambda a: implicit.root(lambda x, a: a, TWO, a, solver=lambda f, x, a: x))(TWO)
    with pytest.raises(np.linalg.LinAlgError, match=here):
        implicit.cg(lambda x: x * np.asarray([1.0, 1e9]), np.ones(2), maxiter=1)


STEPS = RecursiveCheckpointAdjoint()


@pytest.mark.parametrize(
    "run",
    [
        lambda f: f(TWO),
        lambda f: volta.grad(f)(TWO),
        lambda f: volta.jvp(f, (TWO,), (TWO,)),
        lambda f: volta.vmap(f)(np.asarray([2.0, 3.0])),
        lambda f: volta.checkpoint(f)(TWO),
        lambda f: volta.trace(f)(TWO)(TWO),
    ],
)
def test_steps_that_do_not_arrive_are_refused(run):
    def far(a):
        return implicit.root(
            lambda x, a: x - a, TWO, a, solver=lambda f, x, a: a + 5, tol=1e-6, adjoint=STEPS
        )

    def near(a):
        return implicit.fixed_point(
            lambda x, a: a + 0 * x, TWO, a, solver=lambda f, x, a: f(x, a), tol=1e-6, adjoint=STEPS
        )

    message = r"^implicit\.root\(<lambda>\): the residual .* tol=1e-06; got 5\. Let the solver"
    with pytest.raises(ArithmeticError, match=message):
        run(far)
    run(near)


def test_results_of_steps_are_checked():
    def solved(solver, **options):
        return implicit.root(lambda x, a: x - a, TWO, TWO, solver=solver, adjoint=STEPS, **options)

    with pytest.raises(volta.ShapeError, match=r"the solver's result must have the types"):
        solved(lambda f, x, a: np.ones(3))
    with pytest.raises(TypeError, match="solver must return a pair with has_aux=True"):
        solved(lambda f, x, a: x, has_aux=True)
    x, aux = solved(lambda f, x, a: (2.0, {"steps": 3}), has_aux=True)
    assert (x.dtype, x.shape, float(x), aux) == (np.float64, (), 2.0, {"steps": 3})
