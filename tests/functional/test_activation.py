"""Activation functions against their formulas, at their kinks, and in every dtype and mode."""

import ml_dtypes
import mpmath
import numpy as np
import pytest
import scipy.special
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
from volta.core.errors import DTypeError, ShapeError
from volta.core.types import typeof

pytestmark = pytest.mark.neural
LIBRARIES = ("numpy", "array_api_strict", "torch")


def logistic(x):
    return 1 / (1 + np.exp(-x))


def elu(x, alpha=1.0, rate=1.0):
    return np.where(x > 0, x, alpha * np.expm1(rate * np.minimum(x, 0)))


SELU = 1.0507009873554805, 1.6732632423543772
FORMULAS = {
    "relu": lambda x: np.where(x > 0, x, 0 * x),
    "sigmoid": logistic,
    "silu": lambda x: x * logistic(x),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "logsigmoid": lambda x: -np.log1p(np.exp(-x)),
    "leaky_relu": lambda x: np.where(x >= 0, x, 0.01 * x),
    "gelu": lambda x: x * scipy.special.ndtr(x),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "elu": elu,
    "celu": elu,
    "selu": lambda x: SELU[0] * elu(x, SELU[1]),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "tanhshrink": lambda x: x - np.tanh(x),
    "squareplus": lambda x: (x + np.sqrt(x * x + 4)) / 2,
    "relu6": lambda x: np.clip(x, 0, 6),
    "hardtanh": lambda x: np.clip(x, -1, 1),
    "hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "hardshrink": lambda x: np.where(np.abs(x) > 0.5, x, 0),
    "softshrink": lambda x: np.where(np.abs(x) > 0.5, x - np.copysign(0.5, x), 0),
    "rrelu": lambda x: np.where(x >= 0, x, (1 / 8 + 1 / 3) / 2 * x),
}
KINKED = ("leaky_relu", "rrelu", "hardshrink", "softshrink", "hardtanh", "selu", "elu", "celu")


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
@pytest.mark.parametrize("name", [n for n in FORMULAS if n not in KINKED])
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
    ("leaky_relu", 0.0, (0, 0.01, 0)),
    ("leaky_relu", -np.inf, (-np.inf, 0.01, 0)),
    ("sigmoid", 0.0, (0.5, 0.25, 0)),
    ("sigmoid", 1000.0, (1, 0, 0)),
    ("sigmoid", -1000.0, (0, 0, 0)),
    ("sigmoid", np.inf, (1, 0, 0)),
    ("sigmoid", -np.inf, (0, 0, 0)),
    ("silu", 0.0, (0, 0.5, 0.5)),
    ("silu", 1000.0, (1000, 1, 0)),
    ("silu", -1000.0, (0, 0, 0)),
    ("silu", np.inf, (np.inf, 1, 0)),
    ("silu", -np.inf, (0, 0, 0)),
    ("gelu", 0.0, (0, 0.5, np.sqrt(2 / np.pi))),
    ("gelu", np.inf, (np.inf, 1, 0)),
    ("gelu", -np.inf, (0, 0, 0)),
    ("gelu", -1e30, (0, 0, 0)),
    ("mish", np.inf, (np.inf, 1, 0)),
    ("mish", -np.inf, (0, 0, 0)),
    ("mish", 1000.0, (1000, 1, 0)),
    ("elu", 0.0, (0, 1, 0)),
    ("elu", np.inf, (np.inf, 1, 0)),
    ("elu", -np.inf, (-1, 0, 0)),
    ("celu", -np.inf, (-1, 0, 0)),
    ("selu", 0.0, (0, SELU[0] * SELU[1], 0)),
    ("logsigmoid", 0.0, (-np.log(2), 0.5, -0.25)),
    ("logsigmoid", 1000.0, (0, 0, 0)),
    ("logsigmoid", -np.inf, (-np.inf, 1, 0)),
    ("logsigmoid", np.inf, (0, 0, 0)),
    ("softsign", 0.0, (0, 1, 0)),
    ("softsign", np.inf, (1, 0, 0)),
    ("softsign", -np.inf, (-1, 0, 0)),
    ("tanhshrink", 0.0, (0, 0, 0)),
    ("tanhshrink", -np.inf, (-np.inf, 1, 0)),
    ("squareplus", np.inf, (np.inf, 1, 0)),
    ("squareplus", -np.inf, (0, 0, 0)),
    ("squareplus", 0.0, (1, 0.5, 0.25)),
    ("relu6", 0.0, (0, 0, 0)),
    ("relu6", 6.0, (6, 0, 0)),
    ("hardtanh", 1.0, (1, 0, 0)),
    ("hardtanh", -1.0, (-1, 0, 0)),
    ("hardtanh", np.inf, (1, 0, 0)),
    ("hardsigmoid", 3.0, (1, 0, 0)),
    ("hardsigmoid", -3.0, (0, 0, 0)),
    ("hardswish", 3.0, (3, 1, 0)),
    ("hardswish", -3.0, (0, 0, 0)),
    ("hardswish", -np.inf, (0, 0, 0)),
    ("hardshrink", 0.5, (0, 0, 0)),
    ("hardshrink", np.inf, (np.inf, 1, 0)),
    ("softshrink", -0.5, (0, 0, 0)),
    ("softshrink", -np.inf, (-np.inf, 1, 0)),
    ("rrelu", 0.0, (0, (1 / 8 + 1 / 3) / 2, 0)),
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


STRAIGHT = ("relu", "relu6", "hardtanh", "hardsigmoid", "hardswish", "hardshrink", "softshrink")


@pytest.mark.parametrize("lib", ["numpy", "torch"])
@pytest.mark.parametrize(
    ("fun", "slope"),
    [
        *((getattr(F, name), 0.0) for name in STRAIGHT),
        (F.leaky_relu, 0.01),
        (lambda x: F.prelu(x, F.full_like(x, 0.25)), 0.25),
        (lambda x: F.threshold(x, 0.5, -1.0), 1.0),
    ],
)
def test_slopes_at_nan(lib, fun, slope):
    lib = library(lib)
    x = lib.asarray(np.asarray(np.nan))
    value, grad = volta.value_and_grad(fun)(x)
    assert np.isnan(lib.host(value))
    assert lib.host(grad) == slope
    assert lib.host(volta.jvp(fun, (x,), (lib.asarray(np.asarray(1.0)),))[1]) == slope


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0, -0.5])
def test_leaky_relu_takes_a_slope(slope):
    x = np.asarray([-2.0, 0.0, 3.0])
    assert_same(F.leaky_relu(x, slope), np.asarray([-2.0 * slope, 0.0, 3.0]), library("numpy"))
    grad = volta.grad(lambda x: F.sum(F.leaky_relu(x, negative_slope=slope)))(x)
    assert grad.tolist() == [slope, slope, 1.0]


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


# Digits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1000, 20_000])  # by SciPy, and by our own polynomial
@pytest.mark.parametrize(("dtype", "ulps"), [("float32", 64), ("float64", 512)])
def test_gelu_keeps_the_digits_of_its_tail(n, dtype, ulps):
    x = np.linspace(-12.0, 12.0, n).astype(dtype)
    eps = np.finfo(dtype).eps
    exact = x.astype(np.float64) * scipy.special.ndtr(x.astype(np.float64))
    np.testing.assert_allclose(F.gelu(x), exact, rtol=ulps * eps)
    density = np.exp(-(x.astype(np.float64) ** 2) / 2) / np.sqrt(2 * np.pi)
    slope = scipy.special.ndtr(x.astype(np.float64)) + x * density
    got = volta.grad(lambda x: F.sum(F.gelu(x)))(x)
    np.testing.assert_allclose(got, slope, rtol=8 * eps, atol=8 * eps)


@pytest.mark.parametrize("x", [1e-8, 1e-3, 0.3, 0.999, 1.001, 5.0])
def test_tanhshrink_keeps_the_digits_of_small_numbers(x):
    with mpmath.workdps(50):
        exact = float(mpmath.mpf(x) - mpmath.tanh(mpmath.mpf(x)))
    np.testing.assert_allclose(F.tanhshrink(np.asarray([x, -x])), [exact, -exact], rtol=1e-15)


@pytest.mark.parametrize("name", ["gelu", "mish", "silu", "elu", "squareplus"])
def test_many_numbers_in_any_order_of_memory(name):
    x = np.asfortranarray(np.random.default_rng(0).normal(size=(200, 101)))
    function = getattr(F, name)
    rows = np.stack([function(row) for row in x])
    np.testing.assert_allclose(function(x), rows, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(function(x[::2, ::-1]), rows[::2, ::-1], rtol=1e-13, atol=1e-15)


# Options ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lib", LIBRARIES)
def test_gelu_by_tanh(lib):
    lib = library(lib)
    x = np.linspace(-5, 5, 11)
    exact = x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    assert_same(F.gelu(lib.asarray(x), approximate="tanh"), exact, lib, ulps=8)


@pytest.mark.grad_check
@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("beta", [0.5, 1.0, 3.0])
def test_softplus_is_the_identity_above_a_threshold(beta, lib):
    lib = library(lib)
    x = np.asarray([-2.0, 0.5, 1.0, 3.0])
    exact = np.where(beta * x > 2, x, np.log1p(np.exp(beta * x)) / beta)
    assert_same(F.softplus(lib.asarray(x), beta, 2.0), exact, lib, ulps=8)
    grad = volta.grad(lambda x: F.sum(F.softplus(x, beta, 2.0)))(lib.asarray(x))
    assert_same(grad, np.where(beta * x > 2, 1, logistic(beta * x)), lib, ulps=8)


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("alpha", [0.5, 2.0, -0.7])
def test_exponential_units_take_alpha(alpha, lib):
    lib = library(lib)
    x = np.asarray([-2.0, 0.0, 3.0])
    assert_same(F.elu(lib.asarray(x), alpha), elu(x, alpha), lib, ulps=8)
    expected = np.maximum(0, x) + np.minimum(0, alpha * np.expm1(x / alpha))
    if alpha > 0:
        assert_same(F.celu(lib.asarray(x), alpha), expected, lib, ulps=8)


def test_threshold_replaces_what_is_not_above():
    x = np.asarray([0.2, 0.5, 0.7])
    assert F.threshold(x, 0.5, -1.0).tolist() == [-1.0, -1.0, 0.7]
    assert volta.grad(lambda x: F.sum(F.threshold(x, 0.5, -1.0)))(x).tolist() == [0, 0, 1]
    assert np.isnan(F.threshold(np.asarray([np.nan]), 0.5, -1.0))


@pytest.mark.grad_check
@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (2, 3, 2)])
def test_prelu_has_a_slope_for_each_channel(shape, lib):
    lib = library(lib)
    x = fill(0, shape, "float64")
    channels = shape[1] if len(shape) > 1 else 1
    w = fill(1, (channels,), "float64", 0.1, 0.9)
    wide = w.reshape((-1, *(1,) * (len(shape) - 2))) if len(shape) > 1 else w.reshape(())
    assert_same(F.prelu(lib.asarray(x), lib.asarray(w)), np.where(x > 0, x, wide * x), lib)
    grad = volta.grad(lambda w: F.sum(F.prelu(lib.asarray(x), w)))(lib.asarray(w))
    axes = tuple(a for a in range(len(shape)) if a != 1) if len(shape) > 1 else None
    expected = np.sum(np.minimum(x, 0), axis=axes).reshape(w.shape)
    assert_same(grad, np.asarray(expected), lib, ulps=8)


@pytest.mark.parametrize("lib", ["numpy", "torch"])
def test_rrelu_draws_a_slope_for_each_element(lib):
    lib = library(lib)
    key = F.random.key(3)
    x = np.full(5000, -1.0)
    out = lib.host(F.rrelu(lib.asarray(x), 0.2, 0.6, training=True, key=key))
    assert -0.6 <= out.min() < -0.59
    assert -0.21 < out.max() <= -0.2
    assert abs(out.mean() + 0.4) < 0.01
    same = F.rrelu(lib.asarray(x), 0.2, 0.6, training=True, key=key)
    np.testing.assert_array_equal(lib.host(same), out)
    assert F.rrelu(np.asarray([2.0]), training=True, key=key).tolist() == [2.0]


@pytest.mark.grad_check
@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_glu_and_softmin_are_their_formulas(axis, lib):
    lib = library(lib)
    x = fill(0, (4, 6), "float64")
    a, b = np.split(x, 2, axis)
    assert_same(F.glu(lib.asarray(x), axis), a * logistic(b), lib, ulps=8)
    e = np.exp(-x)
    assert_same(F.softmin(lib.asarray(x), axis), e / e.sum(axis, keepdims=True), lib, ulps=8)


@pytest.mark.parametrize("lib", ["numpy", "torch"])
def test_gumbel_softmax_draws_classes_by_their_probabilities(lib):
    lib = library(lib)
    p = np.asarray([0.2, 0.3, 0.5])
    logits = lib.asarray(np.log(np.tile(p, (4000, 1))))
    hard = lib.host(F.gumbel_softmax(logits, hard=True, key=F.random.key(1)))
    assert set(np.unique(hard)) == {0.0, 1.0}
    np.testing.assert_array_equal(hard.sum(-1), 1)
    np.testing.assert_allclose(hard.mean(0), p, atol=0.03)
    soft = lib.host(F.gumbel_softmax(logits, 0.1, key=F.random.key(1)))
    np.testing.assert_array_equal(soft.argmax(-1), hard.argmax(-1))
    np.testing.assert_allclose(soft.sum(-1), 1)


@pytest.mark.grad_check
def test_a_hard_draw_has_the_derivative_of_a_soft_one():
    logits, w = fill(0, (3, 4), "float64"), fill(1, (3, 4), "float64")

    def loss(hard):
        return lambda x: F.sum(w * F.gumbel_softmax(x, 0.7, hard=hard, key=F.random.key(2)))

    np.testing.assert_array_equal(volta.grad(loss(True))(logits), volta.grad(loss(False))(logits))


X = np.ones((2, 3))
REFUSED = [
    (lambda: F.gelu(X, "erf"), ValueError, "gelu: approximate must be 'none' or 'tanh'; got 'erf'"),
    (lambda: F.celu(X, 0), ValueError, "celu: alpha must not be 0; got 0"),
    (lambda: F.squareplus(X, 0), ValueError, "squareplus: b must be positive; got 0"),
    (
        lambda: F.hardtanh(X, 1, -1),
        ValueError,
        "hardtanh: min_val must not be larger than max_val; got 1 and -1",
    ),
    (lambda: F.hardshrink(X, -1), ValueError, "hardshrink: lambd must not be negative; got -1"),
    (lambda: F.softshrink(X, -1), ValueError, "softshrink: lambd must not be negative; got -1"),
    (
        lambda: F.rrelu(X, 0.5, 0.1),
        ValueError,
        "rrelu: lower must not be larger than upper; got 0.5 and 0.1",
    ),
    (lambda: F.rrelu(X, training=True), ValueError, "rrelu: training needs a random key; got none"),
    (
        lambda: F.gumbel_softmax(X, 0, key=F.random.key(0)),
        ValueError,
        "gumbel_softmax: tau must be positive; got 0",
    ),
    (
        lambda: F.prelu(X, np.ones(2)),
        ShapeError,
        r"prelu: weight must have one factor, .*; got shapes \(2,\) and \(2, 3\)",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_options_that_make_no_sense(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("name", [n for n in FORMULAS if n not in ("relu", "sigmoid")])
@pytest.mark.parametrize("dtype", ["int64", "complex128"])
def test_only_real_floats_are_taken(dtype, name, lib):
    lib = library(lib)
    with pytest.raises(DTypeError, match=f"{name}: "):
        getattr(F, name)(lib.asarray(np.ones(2, dtype)))
