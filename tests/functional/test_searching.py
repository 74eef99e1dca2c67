"""Searching against array-api-strict and NumPy, under every transform."""

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import MODES, assert_same, fill, library, seeds, shapes, under

import volta
import volta.functional as F
from volta.core.errors import DimensionError, DTypeError, ShapeError, TraceError

LIBRARIES = ("numpy", "array_api_strict", "torch")
REAL = ("int8", "int64", "uint8", "float32", "float64")


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_places_are_the_standards(lib, data):
    lib = library(lib)
    dtype = data.draw(st.sampled_from(REAL))
    x1 = np.round(fill(data.draw(seeds), (data.draw(st.integers(0, 6)),), dtype, -3, 3))
    x2 = np.round(fill(data.draw(seeds), data.draw(shapes), dtype, -3, 3))
    side = data.draw(st.sampled_from(["left", "right"]))
    rest = (np.argsort(x1),) if data.draw(st.booleans()) else ()
    x1 = x1 if rest else np.sort(x1)

    def fun(x1, x2, *rest):
        return F.searchsorted(x1, x2, side=side, sorter=rest[0] if rest else None)

    args = tuple(map(lib.asarray, (x1, x2, *rest)))
    expected = np.asarray(np.searchsorted(x1, x2, side=side, sorter=rest[0] if rest else None))
    assert_same(fun(*args), expected, lib)
    (traced,) = under(data.draw(st.sampled_from(MODES)), fun, args)
    assert_same(traced, expected, lib)


@pytest.mark.parametrize("lib", LIBRARIES)
def test_a_number_is_searched_for(lib):
    lib = library(lib)
    x = lib.asarray(np.asarray([1.0, 2.0, 2.0]))
    assert_same(F.searchsorted(x, 2), np.asarray(1), lib)
    assert_same(F.searchsorted(x, 2.0, side="right"), np.asarray(3), lib)


def test_each_lane_is_searched():
    x1 = np.sort(fill(0, (5, 7), "float64"), axis=1)
    x2 = np.concatenate([x1[:, :3], fill(1, (5, 2), "float64")], axis=1)
    x1[0, -1] = x2[0, -1] = np.nan
    for side in ("left", "right"):

        def search(x1, x2, side=side):
            return F.searchsorted(x1, x2, side=side)

        both = [np.searchsorted(a, b, side=side) for a, b in zip(x1, x2, strict=True)]
        np.testing.assert_array_equal(volta.vmap(search)(x1, x2), both)
        one = [np.searchsorted(a, x2[1], side=side) for a in x1]
        np.testing.assert_array_equal(volta.vmap(search, in_axes=(0, None))(x1, x2[1]), one)


def test_torch_promotes():
    torch = pytest.importorskip("torch")
    x = torch.arange(4)
    np.testing.assert_array_equal(F.searchsorted(x, torch.asarray([0.5, 2.0])), [1, 2])


def test_jax_agrees():
    jnp = pytest.importorskip("jax.numpy")
    x = jnp.asarray([1.0, 2.0, 2.0])
    np.testing.assert_array_equal(F.searchsorted(x, jnp.asarray([2.0]), side="right"), [3])
    np.testing.assert_array_equal(F.nonzero(x - 1)[0], [1, 2])


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("dtype", ["bool", "int64", "float64"])
def test_nonzero_is_the_standards(lib, dtype):
    lib = library(lib)
    x = fill(0, (3, 4), dtype, -1, 1)
    x[1] = 0
    expected = strict.nonzero(strict.asarray(x))
    for out, wanted in zip(F.nonzero(lib.asarray(x)), expected, strict=True):
        assert_same(out, wanted, lib)


@pytest.mark.parametrize("lib", LIBRARIES)
def test_what_nonzero_finds_differentiates(lib):
    x = library(lib).asarray(np.asarray([0.0, 3.0, 0.0, 5.0]))

    def squares(x):
        (found,) = F.nonzero(x)
        return F.sum(F.take(x, found) ** 2)

    np.testing.assert_array_equal(np.asarray(volta.grad(squares)(x)), [0, 6, 0, 10])
    out, t = volta.jvp(squares, (x,), (x,))
    assert (float(out), float(t)) == (34, 68)


@pytest.mark.parametrize(
    "transform", [lambda f: volta.vmap(f, on_branch="raise"), volta.trace], ids=["vmap", "trace"]
)
def test_nonzero_needs_values(transform):
    with pytest.raises(TraceError, match="nonzero"):
        transform(lambda x: F.nonzero(x)[0])(np.eye(2, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.nonzero(np.asarray(1.0)), ShapeError, r"must have an axis; got shape \(\)"),
        (lambda: F.searchsorted(np.ones(2), 1.0, side="up"), ValueError, "side .* got 'up'"),
        (
            lambda: F.searchsorted(np.arange(2), 0.5),
            DTypeError,
            "searchsorted: the dtype of x1 must hold x2; got int64 and 0.5",
        ),
        (
            lambda: F.searchsorted(np.ones(2), np.ones(1), sorter=np.asarray([0, 2])),
            DimensionError,
            "indices must be from -2 to 1",
        ),
        (
            lambda: F.searchsorted(strict.asarray([True]), strict.asarray([True])),
            DTypeError,
            "the dtype must be real-valued by the standard; got bool and bool",
        ),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("lib", LIBRARIES)
def test_a_table_of_two_axes_is_refused(lib):
    x = library(lib).asarray(np.ones((2, 2)))
    with pytest.raises(ShapeError, match=r"x1 must have one axis; got shape \(2, 2\)"):
        F.searchsorted(x, x)
