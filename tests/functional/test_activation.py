"""Activation functions against their formulas, at their kinks, and in every dtype and mode."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    FLOAT,
    HALVES,
    INT,
    MODES,
    assert_same,
    fill,
    library,
    numpy_dtype,
    quiet,
    seeds,
    shapes,
    under,
)

import volta
import volta.functional as F
from volta.core.errors import DTypeError
from volta.core.types import typeof

pytestmark = pytest.mark.neural
LIBRARIES = ("numpy", "array_api_strict", "torch")

FORMULAS = {
    "relu": lambda x: np.where(x > 0, x, 0 * x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "leaky_relu": lambda x: np.where(x >= 0, x, 0.01 * x),
}


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("name", FORMULAS)
@given(data=st.data())
def test_activations_are_their_formulas(name, lib, data):
    lib = library(lib)
    dtype = data.draw(st.sampled_from(FLOAT))
    x = fill(data.draw(seeds), data.draw(shapes), dtype)
    expected = np.asarray(FORMULAS[name](x.astype(np.float64)).astype(dtype))
    out = getattr(F, name)(lib.asarray(x))
    assert_same(out, expected, lib, ulps=8)
    (traced,) = under(data.draw(st.sampled_from(MODES)), getattr(F, name), (lib.asarray(x),))
    assert_same(traced, out, lib, ulps=8)


@pytest.mark.grad_check
@pytest.mark.parametrize("lib", ["numpy", "torch"])
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", [n for n in FORMULAS if n != "leaky_relu"])
def test_activations_and_gradients_of_halves_keep_the_dtype(name, dtype, lib):
    lib = library(lib)
    x = fill(0, (2, 5), dtype)

    def loss(x):
        return F.sum(getattr(F, name)(x))

    value, grad = volta.value_and_grad(loss)(lib.asarray(x))
    exact = volta.grad(loss)(x.astype(np.float64))
    assert typeof(value).dtype.name == typeof(grad).dtype.name == dtype
    error = np.abs(np.asarray(lib.host(grad), np.float64) - exact)
    assert np.max(error) <= 2 * float(ml_dtypes.finfo(numpy_dtype(dtype)).eps)


# value, derivative, second derivative
KINKS = [
    ("relu", 0.0, (0, 0, 0)),
    ("relu", -0.0, (0, 0, 0)),
    ("relu", np.inf, (np.inf, 1, 0)),
    ("relu", -np.inf, (0, 0, 0)),
    ("leaky_relu", 0.0, (0, 1, 0)),
    ("leaky_relu", -np.inf, (-np.inf, 0.01, 0)),
    ("sigmoid", 0.0, (0.5, 0.25, 0)),
    ("sigmoid", 1000.0, (1, 0, 0)),
    ("sigmoid", -1000.0, (0, 0, 0)),
    ("sigmoid", np.inf, (1, 0, 0)),
    ("sigmoid", -np.inf, (0, 0, 0)),
    ("silu", 0.0, (0, 0.5, 0.5)),
    ("silu", 1000.0, (1000, 1, 0)),
    ("silu", -1000.0, (0, 0, 0)),
    ("softplus", 0.0, (np.log(2), 0.5, 0.25)),
    ("softplus", -0.0, (np.log(2), 0.5, 0.25)),
    ("softplus", 1000.0, (1000, 1, 0)),
    ("softplus", -1000.0, (0, 0, 0)),
    ("softplus", np.inf, (np.inf, 1, 0)),
    ("softplus", -np.inf, (0, 0, 0)),
]


@pytest.mark.grad_check
@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize(("name", "x", "expected"), KINKS)
def test_kinks_and_limits(name, x, expected, lib):
    lib = library(lib)
    fun = getattr(F, name)
    slope = volta.grad(fun)
    x = lib.asarray(np.asarray(x))
    with quiet():
        found = [fun(x), slope(x), volta.grad(slope)(x)]
    np.testing.assert_allclose([lib.host(v) for v in found], expected, rtol=1e-15)


@pytest.mark.parametrize("name", FORMULAS)
def test_nan_stays(name):
    with quiet():
        assert np.isnan(getattr(F, name)(np.asarray(np.nan)))


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0, -0.5])
def test_leaky_relu_takes_a_slope(slope):
    x = np.asarray([-2.0, 0.0, 3.0])
    assert_same(F.leaky_relu(x, slope), np.asarray([-2.0 * slope, 0.0, 3.0]), library("numpy"))
    grad = volta.grad(lambda x: F.sum(F.leaky_relu(x, negative_slope=slope)))(x)
    assert grad.tolist() == [slope, 1.0, 1.0]


@pytest.mark.grad_check
@pytest.mark.parametrize("x", [-40.0, -5.0, 5.0, 36.0])
def test_softplus_and_its_derivatives_keep_their_digits(x):
    slope = volta.grad(F.softplus)
    curve = volta.grad(slope)
    x = np.asarray(x)
    e = np.exp(-np.abs(x))
    np.testing.assert_allclose(F.softplus(x), np.maximum(x, 0) + np.log1p(e), rtol=1e-15)
    np.testing.assert_allclose(slope(x), (e if x < 0 else 1) / (1 + e), rtol=1e-14)
    np.testing.assert_allclose(curve(x), e / (1 + e) ** 2, atol=1e-16)


@pytest.mark.parametrize("dtype", INT)
def test_relu_takes_integers(dtype):
    x = np.asarray([-3, 0, 3], dtype)
    assert_same(F.relu(x), np.asarray([0, 0, 3], dtype), library("numpy"))


@pytest.mark.grad_check
@pytest.mark.parametrize("lib", ["numpy", "torch"])
def test_sigmoid_takes_complex_numbers_where_the_library_does(lib):
    lib = library(lib)
    far = -900.0 if lib.name == "numpy" else -9.0  # torch's own overflows to NaN
    z = np.asarray([0.5 + 1j, -2.0 + 0.3j, 900.0 + 1j, far - 1j])
    exact = np.where(z.real > 0, 1 / (1 + np.exp(-np.abs(z.real) - 1j * z.imag)), 0)
    left = np.exp(np.minimum(z.real, 0) + 1j * z.imag)
    exact = np.where(z.real > 0, exact, left / (1 + left))
    assert_same(F.sigmoid(lib.asarray(z)), exact, lib, ulps=8)
    out, slope = volta.jvp(F.sigmoid, (lib.asarray(z),), (lib.asarray(np.ones_like(z)),))
    assert_same(out, exact, lib, ulps=8)
    assert_same(slope, exact * (1 - exact), lib, ulps=8)


@pytest.mark.parametrize("name", ["sigmoid", "silu", "softplus"])
def test_dtypes_that_no_library_takes(name):
    x = np.asarray(["text"])
    with pytest.raises(DTypeError, match="dtype: must be one of"):
        getattr(F, name)(x)


def test_relu_of_complex_numbers_is_refused_on_strict_libraries():
    strict = library("array_api_strict")
    with pytest.raises(DTypeError, match="relu: the dtype must be real-valued by the standard"):
        F.relu(strict.asarray(np.asarray([1j])))
