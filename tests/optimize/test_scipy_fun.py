"""Functions of trees for SciPy's solvers: right, of any library, and nothing done twice."""

import sys

import numpy as np
import pytest
import scipy.optimize as so

import volta
import volta.functional as F
from volta import optimize

START = {"a": np.asarray([[1.0, 2.0]]), "b": np.asarray(0.5)}


class Counted:
    """A function that counts its calls."""

    def __init__(self, fun):
        self.fun, self.calls = fun, 0
        self.__name__ = fun.__name__

    def __call__(self, *args):
        self.calls += 1
        return self.fun(*args)


def loss(params, scale=1.0):
    w, b = params["a"], params["b"]
    return scale * F.sum(F.sin(w) * b**2) + F.sum(w**4) + (b - 3) ** 2


def flat_loss(x, scale=1.0):
    return loss({"a": F.reshape(x[:2], (1, 2)), "b": x[2]}, scale)


def rosenbrock(x):
    return F.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def test_value_and_derivatives():
    p = optimize.scipy_fun(loss, START, 2.0)
    assert (type(p.x0), p.x0.dtype) == (np.ndarray, np.float64)
    np.testing.assert_array_equal(p.x0, [1, 2, 0.5])
    x, v = np.asarray([0.3, -0.7, 1.2]), np.asarray([1.0, -2.0, 0.5])
    assert type(p.fun(x)) is float
    np.testing.assert_allclose(p.fun(x), flat_loss(x, 2.0))
    gradient = volta.grad(lambda x: flat_loss(x, 2.0))
    np.testing.assert_allclose(p.jac(x), gradient(x))
    np.testing.assert_allclose(p.hessp(x, v), volta.jvp(gradient, (x,), (v,))[1])
    np.testing.assert_allclose(p.hess(x) @ v, p.hessp(x, v))
    value, slope = p.value_and_grad(x)
    assert value == p.fun(x)
    np.testing.assert_array_equal(slope, p.jac(x))
    back = p.unravel(x)
    np.testing.assert_array_equal(back["a"], [[0.3, -0.7]])
    np.testing.assert_array_equal(p.ravel(back), x)


def test_everything_at_a_point_is_computed_once():
    counted = Counted(loss)
    p = optimize.scipy_fun(counted, START)
    assert counted.calls == 0
    x = p.x0.copy()
    for _ in range(2):
        p.fun(x), p.jac(x), p.value_and_grad(x), p.jac(x.copy())
    assert counted.calls == 1
    for _ in range(3):
        p.hessp(x, x), p.hess(x)
    assert counted.calls == 2  # its gradient, once
    x[0] = 7.0  # SciPy writes into its vector
    np.testing.assert_allclose(p.fun(x), flat_loss(x))
    assert counted.calls == 3
    np.testing.assert_allclose(p.jac(x), volta.grad(flat_loss)(x))
    assert counted.calls == 3
    p.fun(np.full(3, np.nan)), p.jac(np.full(3, np.nan))
    assert counted.calls == 4


def test_results_are_the_callers_own():
    p = optimize.scipy_fun(lambda x: F.stack([x, x * x]), np.asarray(2.0))
    for make in (p.fun, p.jac):
        make(p.x0)[...] = 99
        assert not (make(p.x0) == 99).any()
    one = optimize.scipy_fun(rosenbrock, np.ones(2))
    for make in (one.jac, one.hess):
        make(one.x0)[...] = 99
        assert not (make(one.x0) == 99).any()


METHODS = {
    "BFGS": ("jac",),
    "L-BFGS-B": ("jac",),
    "Newton-CG": ("jac", "hessp"),
    "trust-krylov": ("jac", "hessp"),
    "trust-exact": ("jac", "hess"),
}


@pytest.mark.parametrize("method", METHODS)
def test_scipys_minimize(method):
    counted = Counted(rosenbrock)
    p = optimize.scipy_fun(counted, np.asarray([-1.2, 1.0, 0.7]))
    uses = {name: getattr(p, name) for name in METHODS[method]}
    found = so.minimize(p.fun, p.x0, method=method, tol=1e-9, **uses)
    np.testing.assert_allclose(found.x, np.ones(3), rtol=1e-5)
    # a run for each point where there is a value, one for each where there is a Hessian
    assert counted.calls <= found.nfev + max(found.njev, found.get("nhev", 0))
    if uses.keys() == {"jac"}:
        assert counted.calls == found.nfev
    if method == "BFGS":
        approximate = Counted(rosenbrock)
        so.minimize(lambda x: float(approximate(x)), p.x0, method=method, tol=1e-9)
        assert approximate.calls > 3 * counted.calls


def test_one_function_for_value_and_gradient():
    p = optimize.scipy_fun(rosenbrock, np.zeros(2))
    found = so.minimize(p.value_and_grad, p.x0, jac=True)
    np.testing.assert_allclose(found.x, np.ones(2), rtol=1e-5)


TIMES = np.linspace(0, 1, 8)


def residuals(params):
    return {"fit": params["a"] * F.exp(params["rate"] * TIMES) - 2 * np.exp(-TIMES)}


@pytest.mark.parametrize("method", ["lm", "trf"])
def test_scipys_least_squares(method):
    counted = Counted(residuals)
    start = {"a": np.asarray(1.0), "rate": np.asarray(0.0)}
    p = optimize.scipy_fun(counted, start)
    found = so.least_squares(p.fun, p.x0, jac=p.jac, method=method)
    fitted = p.unravel(found.x)
    np.testing.assert_allclose([fitted["a"], fitted["rate"]], [2, -1], rtol=1e-6)
    assert counted.calls <= found.nfev + 1


def square(x):
    return F.stack([x[0] ** 2 + x[1] - 3, F.sin(x[0]) * x[1] - 0.5])


def test_scipys_root():
    counted = Counted(square)
    p = optimize.scipy_fun(counted, np.asarray([1.0, 1.0]))
    found = so.root(p.fun, p.x0, jac=p.jac, tol=1e-12)
    np.testing.assert_allclose(square(found.x), 0, atol=1e-10)
    assert counted.calls <= found.nfev


@pytest.mark.parametrize("rows", [1, 2, 3, 7])
def test_jacobians_of_any_shape(rows):
    a = np.random.default_rng(0).normal(size=(rows, 3))
    p = optimize.scipy_fun(lambda x: (F.sin(a @ x), F.expand_dims(x[0] ** 2, axis=0)), np.ones(3))
    for x in (p.x0, 2 * p.x0):
        expected = np.concatenate([np.cos(a @ x)[:, None] * a, [[2 * x[0], 0, 0]]])
        np.testing.assert_allclose(p.jac(x), expected)
        assert p.fun(x).shape == (rows + 1,)
    np.testing.assert_allclose(p.jac(3 * p.x0)[:-1], np.cos(a @ (3 * p.x0))[:, None] * a)


def test_a_tall_jacobian_is_made_of_columns(monkeypatch):
    module = sys.modules["volta.optimize.scipy_fun"]
    made, rows = [], module._rows
    monkeypatch.setattr(module, "_rows", lambda *given: made.append(given[2:]) or rows(*given))
    p = optimize.scipy_fun(residuals, {"a": np.asarray(1.0), "rate": np.asarray(0.0)})
    for x in (p.x0, p.x0 + 1, p.x0 + 2):
        assert p.jac(x).shape == (8, 2)
    assert made == [(8, 2), (2, 8), (2, 8)]


def test_torch_in_torch_out():
    torch = pytest.importorskip("torch")
    seen = []

    def fun(params):
        seen.append(type(volta.stop_gradient(params["a"])))
        return F.sum((params["a"] - 2) ** 2) + F.sum(params["b"] ** 4)

    start = {"a": torch.zeros(2, dtype=torch.float32), "b": torch.ones((1, 2), dtype=torch.float64)}
    p = optimize.scipy_fun(fun, start)
    found = so.minimize(p.fun, p.x0, jac=p.jac, hess=p.hess, method="trust-exact")
    params = p.unravel(found.x)
    assert (type(params["a"]), params["a"].dtype) == (torch.Tensor, torch.float32)
    assert (params["b"].dtype, tuple(params["b"].shape)) == (torch.float64, (1, 2))
    np.testing.assert_allclose(params["a"].numpy(), [2, 2], rtol=1e-5)
    np.testing.assert_allclose(p.hessp(p.x0, np.ones(4)), [2, 2, 12, 12])
    assert p.jac(p.x0).dtype == np.float64


def test_sixteen_bits():
    torch = pytest.importorskip("torch")
    half = torch.ones(2, dtype=torch.bfloat16)
    p = optimize.scipy_fun(lambda x: F.sum(x**2), half)
    np.testing.assert_array_equal(p.jac(p.x0), [2, 2])
    assert p.unravel(p.x0).dtype == torch.bfloat16


def test_nothing_to_vary():
    p = optimize.scipy_fun(lambda x: F.sum(x), np.ones(0))
    assert (p.fun(p.x0), p.jac(p.x0).shape, p.hess(p.x0).shape) == (0, (0,), (0, 0))


@pytest.mark.parametrize("x0", [np.ones(2, np.int64), np.ones(2, np.complex128)])
def test_arrays_must_be_real_floating(x0):
    name = x0.dtype.name
    with pytest.raises(
        volta.DTypeError,
        match=rf"scipy_fun\(loss\): arrays of x0 must be real floating; got {name} at input\['a'\]",
    ):
        optimize.scipy_fun(loss, {"a": x0, "b": np.ones(1)})


@pytest.mark.parametrize(
    "solve",
    [
        lambda x: optimize.scipy_fun(lambda a: F.sum(a**2), {"a": x * 2}).x0,
        lambda x: optimize.minimize(lambda a: F.sum(a**2), x).x,
    ],
)
def test_what_is_differentiated_is_no_start(solve):
    message = (
        r"^scipy_fun\(<lambda>\): x0 must not be traced, because SciPy would cut it off from "
        r"\w+\(<lambda>\), silently losing its derivative; got a traced array at input.*\. Use "
        r"implicit\.minimize for the derivative of a minimum, or volta\.stop_gradient\."
    )
    with pytest.raises(volta.TraceError, match=message):
        volta.grad(lambda x: F.sum(F.asarray(solve(x))))(np.ones(2))
    with pytest.raises(volta.TraceError, match=message):
        volta.jvp(lambda x: volta.vmap(lambda x: F.sum(x) * solve(x)[0])(x), *[(np.eye(2),)] * 2)
    found = []
    volta.grad(lambda x: found.append(solve(volta.stop_gradient(x))) or F.sum(x))(np.ones(2))
    assert found[0].shape == (2,)


def test_lanes_are_solved_one_by_one():
    def least(x0):
        return optimize.minimize(lambda a: F.sum((a - 1) ** 2), x0).x

    found = volta.vmap(least)(np.asarray([[2.0, 3.0], [4.0, 5.0]]))
    np.testing.assert_allclose(found, np.ones((2, 2)), rtol=1e-6)


def test_numbers_are_results():
    p = optimize.scipy_fun(lambda a: 3.0, np.ones(2))
    assert p.fun(p.x0) == 3.0
    np.testing.assert_array_equal(p.jac(p.x0), [0, 0])
    p = optimize.scipy_fun(lambda a: (a * 2, 3), np.ones(2))
    np.testing.assert_array_equal(p.fun(p.x0), [2, 2, 3])
    np.testing.assert_array_equal(p.jac(p.x0), [[2, 0], [0, 2], [0, 0]])


def test_the_line_is_of_the_call_of_scipys_solver():
    with pytest.raises(TypeError, match=r"\(line: test_scipy_fun\.py:\d+\)$"):
        so.minimize(volta.grad(F.cos), np.ones(2))
