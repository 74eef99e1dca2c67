"""SciPy's `minimize` on trees."""

import sys

import numpy as np
import pytest

import volta
import volta.functional as F
from volta import optimize


def loss(params, target):
    w, b = params["a"], params["b"]
    return (
        F.sum((w - target) ** 2) + F.sum((b + 1) ** 4) + 0.1 * F.sum(w * F.expand_dims(b, axis=0))
    )


START = {"a": np.zeros((2, 2)), "b": np.zeros(2)}
TARGET = np.asarray([[1.0, 2.0], [3.0, 4.0]])
METHODS = (
    *(None, "BFGS", "CG", "L-BFGS-B", "TNC", "SLSQP", "Newton-CG", "dogleg", "trust-ncg"),
    *("trust-exact", "trust-krylov", "trust-constr", "Nelder-Mead", "Powell", "COBYLA", "COBYQA"),
)


@pytest.mark.parametrize("method", METHODS)
def test_every_method(method):
    few = method in ("COBYLA", "Nelder-Mead")
    options = {"options": {"maxiter": 5000}} if few else {}
    found = optimize.minimize(loss, START, TARGET, method=method, tol=1e-7, **options)
    slope = volta.grad(loss)(found.x, TARGET)
    assert all(np.max(np.abs(g)) < 2e-2 for g in slope.values())
    assert found.x["a"].shape == (2, 2)


def test_what_scipy_says_is_kept():
    found = optimize.minimize(loss, START, TARGET, method="BFGS")
    assert found.success
    assert found.nfev < 40
    np.testing.assert_allclose(found.fun, loss(found.x, TARGET))
    np.testing.assert_allclose(found.jac, 0, atol=1e-4)
    short = optimize.minimize(loss, START, TARGET, options={"maxiter": 1})
    assert not short.success


def test_options_of_scipy():
    calls = []
    bounds = [(0.0, 2.5)] * 4 + [(-5.0, 5.0)] * 2
    found = optimize.minimize(
        loss, START, TARGET, method="L-BFGS-B", bounds=bounds, callback=lambda x: calls.append(x)
    )
    assert calls
    assert found.x["a"].max() == 2.5


def test_torch():
    torch = pytest.importorskip("torch")
    start = {k: torch.tensor(v) for k, v in START.items()}
    found = optimize.minimize(loss, start, torch.tensor(TARGET), tol=1e-9)
    other = optimize.minimize(loss, START, TARGET, tol=1e-9)
    assert type(found.x["a"]) is torch.Tensor
    np.testing.assert_allclose(found.x["a"].numpy(), other.x["a"], rtol=1e-5)


def test_scipy_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ImportError, match=r"optimize.minimize: needs SciPy; got none. Install it"):
        optimize.minimize(loss, START, TARGET)


def test_a_near_miss_is_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'tolerance'"):
        optimize.minimize(loss, START, TARGET, tolerance=1e-3)
