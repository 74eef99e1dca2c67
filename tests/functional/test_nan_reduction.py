"""Reductions without NaN against NumPy's, weighted means, and vectors of classes."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import MODES, assert_same, axes_of, fill, full_shapes, library, seeds, under

import volta
import volta.functional as F
from volta.core.errors import DimensionError, DTypeError, ShapeError

LIBRARIES = ("numpy", "array_api_strict", "torch")
REDUCTIONS = ("sum", "prod", "max", "min", "mean", "var", "std")


def with_holes(seed, shape, dtype):
    x = fill(seed, shape, dtype)
    return np.where(np.random.default_rng(seed).random(shape) < 0.4, np.nan, x).astype(dtype)


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@given(data=st.data())
def test_nan_is_left_out(lib, reduction, data):
    lib = library(lib)
    shape = data.draw(full_shapes)
    dtypes = ["float64", "float32", *(["complex128"] if reduction in ("sum", "mean") else [])]
    x = with_holes(data.draw(seeds), shape, data.draw(st.sampled_from(dtypes)))
    axis = data.draw(axes_of(len(shape)).filter(lambda axis: axis != ()))
    options = {"axis": axis, "keepdims": data.draw(st.booleans())}
    own = dict(options)
    if reduction in ("var", "std"):
        options["correction"] = own["ddof"] = data.draw(st.integers(0, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.asarray(getattr(np, f"nan{reduction}")(x, **own))

    def fun(x):
        return getattr(F, f"nan{reduction}")(x, **options)

    assert_same(fun(lib.asarray(x)), expected, lib, ulps=64)
    mode = data.draw(st.sampled_from(MODES))
    assert_same(under(mode, fun, (lib.asarray(x),))[0], expected, lib, ulps=64)


@pytest.mark.parametrize("reduction", ["sum", "prod", "max", "min"])
def test_integers_have_no_nan(reduction):
    x = np.asarray([[1, 2], [5, -3]])
    out = getattr(F, f"nan{reduction}")(x, axis=0)
    np.testing.assert_array_equal(out, getattr(np, reduction)(x, axis=0))


@pytest.mark.grad_check
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_gradient_is_that_of_what_is_left(reduction):
    x = np.asarray([[0.5, np.nan, 2.0], [np.nan, 3.0, np.nan], [np.nan] * 3])
    grad = volta.grad(lambda x: F.sum(getattr(F, f"nan{reduction}")(x[:2], axis=1)))(x)
    plain = volta.grad(lambda x: getattr(F, reduction)(x))
    expected = np.zeros_like(x)
    expected[0, [0, 2]] = plain(x[0, [0, 2]])
    expected[1, [1]] = plain(x[1, [1]])
    np.testing.assert_allclose(grad, expected)
    lost = volta.grad(lambda x: F.sum(getattr(F, f"nan{reduction}")(x, axis=1)))(x)
    np.testing.assert_array_equal(lost[2], 0)


@pytest.mark.parametrize("lib", ["numpy", "torch"])
@pytest.mark.parametrize("reduction", ["mean", "var"])
def test_numbers_of_elements_do_not_leave_16_bits(reduction, lib):
    lib = library(lib)
    x = np.tile(np.asarray([0, 2, np.nan], np.float16), 3000)
    out = getattr(F, f"nan{reduction}")(lib.asarray(x))
    assert_same(out, np.asarray(1, np.float16), lib)


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize(
    ("axis", "shape"),
    [(None, (2, 3, 4)), (1, (3,)), (-1, (2, 3, 4)), ((0, 2), (2, 4)), ((2, 0), (4, 2))],
)
def test_averages_are_numpys(lib, axis, shape):
    lib = library(lib)
    x, weights = fill(0, (2, 3, 4), "float64"), fill(1, shape, "float64", 1, 2)
    order = shape == (4, 2)  # for which NumPy's weights follow the order of the axes too
    expected = np.average(x, axis=axis, weights=weights)
    assert order or expected.ndim < 3
    args = lib.asarray(x), lib.asarray(weights)
    for mode in MODES:
        (out,) = under(mode, lambda x, w: F.average(x, axis=axis, weights=w), args)
        assert_same(out, np.asarray(expected), lib, ulps=8)
    plain = F.average(args[0], axis=axis, keepdims=True)
    assert_same(plain, np.average(x, axis=axis, keepdims=True), lib, ulps=8)


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("dtype", ["int64", "uint8"])
def test_vectors_of_classes(lib, axis, dtype):
    lib = library(lib)
    x = np.asarray([[0, 2, 1], [3, 3, 0]], dtype)
    expected = np.moveaxis(np.eye(4, dtype=np.float32)[x], -1, axis)
    assert_same(F.one_hot(lib.asarray(x), 4, axis=axis), expected, lib)
    for mode in ("vmap", "trace"):
        (out,) = under(mode, lambda x: F.one_hot(x, 4, axis=axis), (lib.asarray(x),))
        assert_same(out, expected, lib)
    whole = F.one_hot(lib.asarray(x), 4, axis=axis, dtype=F.int16)
    assert_same(whole, expected.astype(np.int16), lib)


def test_vectors_of_classes_are_jaxs():
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray([0, 2])
    np.testing.assert_array_equal(F.one_hot(x, 3), jax.nn.one_hot(x, 3))


X = np.ones((2, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.nanmax(np.ones((0, 2)), axis=0), ShapeError, "there must be an element along"),
        (lambda: F.nansum(X, axis=2), DimensionError, "axis must be from -2 to 1; got 2"),
        (
            lambda: F.average(X, axis=0, weights=np.ones(3)),
            ShapeError,
            r"average: the weights must have the shape .* got \(3,\) and \(2, 3\) along \(0,\)",
        ),
        (lambda: F.one_hot(X, 2), DTypeError, "one_hot: classes must be integers; got float64"),
        (lambda: F.one_hot(np.asarray([0, 3]), 3), DimensionError, "from 0 to 2; got 3"),
        (lambda: F.one_hot(np.asarray([0, -1]), 3), DimensionError, "from 0 to 2; got -1"),
        (lambda: F.one_hot(np.asarray([0]), -1), ShapeError, "lengths must not be negative"),
        (lambda: F.one_hot(np.asarray([0]), 2, axis=2), DimensionError, "one_hot: axis must be"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
