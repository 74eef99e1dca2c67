"""Distinct elements and membership against array-api-strict, under every transform."""

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import MODES, assert_same, fill, library, seeds, shapes, under

import volta
import volta.functional as F
from volta.core.errors import DTypeError, TraceError

LIBRARIES = ("numpy", "array_api_strict", "torch")
NAMES = ("unique_all", "unique_counts", "unique_inverse", "unique_values")
DTYPES = ("bool", "int8", "int64", "uint8", "float32", "float64", "complex128")


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_distinct_elements_are_the_standards(lib, data):
    lib = library(lib)
    dtype = data.draw(st.sampled_from(DTYPES))
    x = fill(data.draw(seeds), data.draw(shapes), dtype, -2, 2)
    x = x if dtype == "bool" else np.round(x)
    name = data.draw(st.sampled_from(NAMES))
    expected = getattr(strict, name)(strict.asarray(x))
    out = getattr(F, name)(lib.asarray(x))
    if name == "unique_values":
        out, expected = (out,), (expected,)
    else:
        assert out._fields == expected._fields
    (traced, *_) = under(
        data.draw(st.sampled_from(["vjp", "jvp"])),
        lambda x: getattr(F, name)(x)[0] if name != "unique_values" else F.unique_values(x),
        (lib.asarray(x),),
    )
    for a, b in zip((*out, traced), (*expected, expected[0]), strict=True):
        assert_same(a, b, lib)


@pytest.mark.parametrize("lib", LIBRARIES)
def test_every_nan_is_distinct(lib):
    x = library(lib).asarray(np.asarray([np.nan, 1.0, -0.0, np.nan, 0.0]))
    found = F.unique_all(x)
    np.testing.assert_array_equal(np.asarray(found.values), [0, 1, np.nan, np.nan])
    np.testing.assert_array_equal(np.asarray(found.indices), [2, 1, 0, 3])
    np.testing.assert_array_equal(np.asarray(found.inverse_indices), [2, 1, 0, 3, 0])
    np.testing.assert_array_equal(np.asarray(found.counts), [2, 1, 1, 1])


@pytest.mark.grad_check
@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("name", NAMES)
def test_the_derivative_goes_to_the_first_of_equal_elements(lib, name):
    x = library(lib).asarray(np.asarray([2.0, 1.0, 2.0, 3.0]))

    def cubes(x):
        found = getattr(F, name)(x)
        return F.sum((found if name == "unique_values" else found.values) ** 3)

    np.testing.assert_array_equal(np.asarray(volta.grad(cubes)(x)), [12, 3, 0, 27])
    second = volta.grad(lambda x: F.sum(volta.grad(cubes)(x)))(x)
    np.testing.assert_array_equal(np.asarray(second), [12, 6, 0, 18])


@pytest.mark.parametrize("name", NAMES)
def test_values_must_be_known(name):
    with pytest.raises(TraceError, match=name):
        volta.vmap(lambda x: getattr(F, name)(x)[0], on_branch="raise")(np.eye(2, 3))


def test_distinct_elements_of_jax():
    jnp = pytest.importorskip("jax.numpy")
    found = F.unique_all(jnp.asarray([[3, 1], [3, 2]]))
    expected = ([1, 2, 3], [1, 3, 0], [[2, 0], [2, 1]], [1, 1, 2])
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(F.isin(jnp.asarray([1, 2]), 2, invert=True), [True, False])


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_membership_is_the_standards(lib, data):
    lib = library(lib)
    dtype = data.draw(st.sampled_from(["int8", "int64", "uint8", "float64"]))
    x1, x2 = (np.round(fill(data.draw(seeds), data.draw(shapes), dtype, -3, 3)) for _ in "12")
    invert = data.draw(st.booleans())

    def fun(x1, x2):
        return F.isin(x1, x2, invert=invert)

    expected = np.asarray(np.isin(x1, x2, invert=invert))
    assert_same(fun(lib.asarray(x1), lib.asarray(x2)), expected, lib)
    args = (lib.asarray(x1), lib.asarray(x2))
    (traced,) = under(data.draw(st.sampled_from(MODES)), fun, args)
    assert_same(traced, expected, lib)


@pytest.mark.parametrize("lib", LIBRARIES)
def test_membership_of_numbers(lib):
    lib = library(lib)
    x = lib.asarray(np.asarray([1, 2]))
    assert_same(F.isin(x, 2), np.asarray([False, True]), lib)
    assert_same(F.isin(2, x), np.asarray(True), lib)
    nan = lib.asarray(np.asarray([np.nan, 1.0]))
    assert_same(F.isin(nan, nan), np.asarray([False, True]), lib)


def test_membership_needs_an_array():
    with pytest.raises(DTypeError, match="one operand must be an array; got 1 and 2"):
        F.isin(1, 2)
