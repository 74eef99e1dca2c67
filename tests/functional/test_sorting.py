"""Sorting and quantiles against array-api-strict, NumPy and torch, under every transform."""

import array_api_strict as strict
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    MODES,
    assert_same,
    axes_of,
    fill,
    full_shapes,
    library,
    quiet,
    seeds,
    shapes,
    under,
)

import volta
import volta.functional as F
from volta.core.errors import DimensionError, DTypeError, ShapeError

LIBRARIES = ("numpy", "array_api_strict", "torch")
REAL = ("int8", "int64", "uint8", "float32", "float64")
NAN, INF = np.nan, np.inf


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_sorting_is_the_standards(lib, data):
    lib = library(lib)
    dtype = data.draw(st.sampled_from(REAL))
    shape = data.draw(shapes.filter(bool))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    options = {"axis": axis, "descending": data.draw(st.booleans())}
    x = fill(data.draw(seeds), shape, dtype, -2, 2, special=0.3 if "float" in dtype else 0.0)
    x = np.round(x) if "float" in dtype else x  # so that some are equal
    mode = data.draw(st.sampled_from(MODES))
    with quiet():
        expected = strict.sort(strict.asarray(x), **options)
        (traced,) = under(mode, lambda x: F.sort(x, **options), (lib.asarray(x),))
        assert_same(F.sort(lib.asarray(x), **options), expected, lib)
        assert_same(traced, expected, lib)
        order = strict.argsort(strict.asarray(x), **options)
        (traced,) = under(mode, lambda x: F.argsort(x, **options), (lib.asarray(x),))
        if not options["descending"]:
            assert_same(F.argsort(lib.asarray(x), **options), order, lib)
        assert_same(traced, F.argsort(lib.asarray(x), **options), lib)


@pytest.mark.parametrize("lib", LIBRARIES)
def test_equal_elements_keep_their_order(lib):
    x = library(lib).asarray(np.asarray([[2.0, NAN, 1.0, 2.0, NAN, 1.0, 2.0]]))
    up, down = [[2, 5, 0, 3, 6, 1, 4]], [[1, 4, 0, 3, 6, 2, 5]]
    np.testing.assert_array_equal(np.asarray(F.argsort(x)), up)
    np.testing.assert_array_equal(np.asarray(F.argsort(x, descending=True)), down)
    weights = library(lib).asarray(np.arange(7.0)[None])
    for order, descending in ((up, False), (down, True)):
        (found,) = volta.vjp(lambda x, d=descending: F.sort(x, descending=d), x)[1](weights)
        np.testing.assert_array_equal(np.asarray(found)[0, order[0]], np.arange(7.0))


@pytest.mark.parametrize("lib", ["numpy", "torch"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bit_floats_are_sorted_with_nan_last(lib, dtype):
    x = np.asarray([1.0, NAN, -2.0, 3.0]).astype(getattr(ml_dtypes, dtype, dtype))
    lib = library(lib)
    out = F.sort(lib.asarray(x))
    assert str(out.dtype).removeprefix("torch.") == dtype
    np.testing.assert_array_equal(lib.host(out).astype(np.float64), [-2, 1, 3, NAN])
    np.testing.assert_array_equal(np.asarray(F.argsort(lib.asarray(x))), [2, 0, 3, 1])
    np.testing.assert_array_equal(np.asarray(F.top_k(lib.asarray(x), 2)[1]), [1, 3])


def test_jax_agrees():
    jnp = pytest.importorskip("jax.numpy")
    x = np.asarray([[2.0, 1.0, 2.0], [NAN, -1.0, 0.5]], np.float32)
    for descending in (False, True):
        np.testing.assert_array_equal(
            F.sort(jnp.asarray(x), descending=descending), F.sort(x, descending=descending)
        )
        np.testing.assert_array_equal(
            F.argsort(jnp.asarray(x), descending=descending), F.argsort(x, descending=descending)
        )
    found = volta.grad(lambda x: F.sum(F.sort(x)[:, 0] ** 2))(jnp.asarray(x))
    np.testing.assert_array_equal(found, [[0, 2, 0], [0, -2, 0]])
    for a, b in zip(F.top_k(jnp.asarray(x), 2), F.top_k(x, 2), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(F.median(jnp.asarray(x), axis=1), [2, NAN])


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_the_largest_come_first(lib, data):
    lib = library(lib)
    shape = data.draw(full_shapes.filter(bool))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    k = data.draw(st.integers(0, shape[axis]))
    x = fill(data.draw(seeds), shape, data.draw(st.sampled_from(REAL)), 0, 4)
    mode = data.draw(st.sampled_from(MODES))
    values, indices = under(mode, lambda x: F.top_k(x, k, axis=axis), (lib.asarray(x),))
    expected = np.flip(np.sort(x, axis=axis), axis).take(range(k), axis)
    assert_same(values, expected, lib)
    places = lib.host(indices)
    assert places.dtype == np.int64
    np.testing.assert_array_equal(np.take_along_axis(x, places, axis), expected)
    if lib.name != "torch":
        order = np.argsort(-x.astype(float), axis=axis, kind="stable").take(range(k), axis)
        np.testing.assert_array_equal(places, order)


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_quantiles_are_numpys(lib, data):
    lib = library(lib)
    shape = data.draw(full_shapes)
    axis = data.draw(axes_of(len(shape)).filter(lambda axis: axis != ()))
    options = {"axis": axis, "keepdims": data.draw(st.booleans())}
    method = data.draw(st.sampled_from(["linear", "lower", "higher", "nearest", "midpoint"]))
    q = data.draw(st.sampled_from([0, 1.0, 0.25, 0.7, [0.5, 1 / 3], np.asarray([[0.1], [1.0]])]))
    dtype = data.draw(st.sampled_from(["float32", "float64"]))
    x = fill(data.draw(seeds), shape, dtype)
    if data.draw(st.booleans()):
        x = np.where(fill(data.draw(seeds), shape, "bool"), x, np.asarray(NAN, x.dtype))
    mode = data.draw(st.sampled_from(MODES))
    with quiet():
        expected = np.quantile(x, q, method=method, **options).astype(dtype)
        (out,) = under(
            mode, lambda x: F.quantile(x, q, method=method, **options), (lib.asarray(x),)
        )
        assert_same(out, np.asarray(expected), lib, ulps=8)
        expected = np.median(x, **options).astype(dtype)
        (out,) = under(mode, lambda x: F.median(x, **options), (lib.asarray(x),))
        assert_same(out, np.asarray(expected), lib, ulps=8)


def test_quantiles_beside_infinities():
    x = np.asarray([1.0, 2.0, INF])
    np.testing.assert_array_equal(F.quantile(x, [0.0, 0.5, 0.75, 1.0]), [1, 2, INF, INF])
    np.testing.assert_array_equal(F.median(np.asarray([-INF, -INF])), -INF)


@pytest.mark.grad_check
def test_the_derivative_of_a_median_goes_to_the_middle():
    grad = volta.grad(F.median)
    np.testing.assert_array_equal(grad(np.asarray([5.0, 1.0, 2.0])), [0, 0, 1])
    np.testing.assert_array_equal(grad(np.asarray([5.0, 1.0, 2.0, 9.0])), [0.5, 0, 0.5, 0])


@pytest.mark.grad_check
def test_derivatives_are_torchs():
    torch = pytest.importorskip("torch")
    x = np.asarray([[0.3, -1.0, 0.3, 2.0], [1.0, 1.0, 0.0, -2.0]])
    weights = np.asarray([1.0, -2.0, 3.0, 5.0])
    for descending in (False, True):
        theirs = torch.asarray(x, requires_grad=True)
        out = torch.sort(theirs, descending=descending, stable=True).values
        ((out * torch.asarray(weights)) ** 2).sum().backward()
        found = volta.grad(lambda x, d=descending: F.sum((F.sort(x, descending=d) * weights) ** 2))(
            x
        )
        np.testing.assert_allclose(found, theirs.grad.numpy())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.sort(np.asarray(1.0)), DimensionError, "sort: axis must be from 0 to -1"),
        (lambda: F.top_k(np.ones(2), 3), ShapeError, "k must be from 0 to 2.* got 3"),
        (lambda: F.top_k(np.ones(2), -1), ShapeError, "k must be from 0 to 2.* got -1"),
        (lambda: F.quantile(np.ones(2), 1.5), ValueError, "q must be from 0 to 1; got 1.5"),
        (
            lambda: F.quantile(np.ones(2), 0.5, method="best"),
            ValueError,
            "method must be one of linear, .*; got 'best'",
        ),
        (lambda: F.median(np.ones((0, 2))), ShapeError, r"median: there must be an element"),
        (lambda: F.median(np.arange(2)), DTypeError, "must be real floating; got int64"),
        (
            lambda: F.sort(strict.asarray([1j])),
            DTypeError,
            "sort: the dtype must be real-valued by the standard; got complex128",
        ),
        (
            lambda: F.argsort(strict.asarray([True])),
            DTypeError,
            "argsort: the dtype must be real-valued by the standard; got bool",
        ),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
