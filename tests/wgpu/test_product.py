"""Products of matrices by kernels."""

from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest
from wgpu_launches import ran, view_of

from volta.wgpu.kernels.product import product
from volta.wgpu.launch import Writer

FEATURES = {"int64": "int64", "uint64": "int64", "float64": "float64", "float16": "float16"}


@pytest.fixture(params=["own", "discrete"])
def multiply(first, request):
    """Multiply on the first device as its kind has it, or with the kernel of GPUs."""

    def write(writer, *views):
        if request.param != "own":
            facts = {n: getattr(first, n) for n in ("limits", "features")}
            writer.facts = SimpleNamespace(kind=request.param, **facts)
        product(writer, *views)

    def compute(x, y, shape, dtype=np.float32):
        (out,) = ran(first, write, [x, y], [(shape, dtype)])
        return out

    return compute


def drawn(seed, *shape, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def assert_near(found, x, y):
    """As near as sums of products in 32 bits are."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    limit = 3e-7 * (np.abs(x) @ np.abs(y))
    assert np.all(np.abs(found - x @ y) <= limit)


@pytest.mark.parametrize(
    ("m", "k", "n"),
    [(1, 1, 1), (3, 5, 7), (9, 2, 70), (70, 6, 9), (33, 34, 130), (1, 2000, 3), (66, 4501, 5)],
)
def test_sizes(multiply, m, k, n):
    x, y = drawn(0, m, k), drawn(1, k, n)
    assert_near(multiply(x, y, (m, n)), x, y)


@pytest.mark.parametrize("x_turned", [False, True])
@pytest.mark.parametrize("y_turned", [False, True])
def test_transposed_factors(multiply, x_turned, y_turned):
    x, y = drawn(0, 10, 12), drawn(1, 12, 34)
    a = turned(x) if x_turned else x
    b = turned(y) if y_turned else y
    assert_near(multiply(a, b, (10, 34)), x, y)


def turned(x):
    """An array in column-major order, and its view."""
    return np.ascontiguousarray(x.T), lambda v: view_of(v, x, (1, x.shape[0]))


def test_reversed_and_offset_factors(multiply):
    x, y = drawn(0, 7, 8), drawn(1, 9, 6)
    a = (x, lambda v: view_of(v, x, (-8, -1), 55))
    b = (y, lambda v: view_of(v, y, (6, 2), 7, (8, 2)))
    assert_near(multiply(a, b, (7, 2)), x[::-1, ::-1], y[1:, 1:5:2])


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ((3, 2, 5, 4), (3, 2, 4, 6)),
        ((3, 2, 5, 4), (4, 6)),
        ((5, 4), (3, 2, 4, 6)),
        ((3, 1, 5, 4), (1, 2, 4, 6)),
        ((2, 1, 3, 1, 2, 1, 5, 4), (1, 2, 3, 2, 1, 1, 4, 6)),
        ((2, 3, 4), (2, 4, 600)),
        ((2, 2, 5000), (2, 5000, 3)),
    ],
)
def test_leading_axes(multiply, x, y):
    x, y = drawn(0, *x), drawn(1, *y)
    shape = (x @ y).shape
    a, b = (broadcast(z, shape[:-2]) for z in (x, y))
    assert_near(multiply(a, b, shape), x, y)


def broadcast(x, lead):
    wide = np.broadcast_to(x, lead + x.shape[-2:])
    strides = tuple(s // x.itemsize for s in wide.strides)
    return x, lambda v: view_of(v, x, strides, 0, wide.shape)


def test_nothing_to_add_up_is_zero(multiply):
    found = multiply(np.ones((2, 3, 0), np.float32), np.ones((2, 0, 4), np.float32), (2, 3, 4))
    np.testing.assert_array_equal(found, np.zeros((2, 3, 4)))


@pytest.mark.parametrize("shapes", [((0, 3), (3, 4)), ((0, 2, 3), (0, 3, 4))])
def test_results_without_elements_are_not_computed(first, shapes):
    x, y = (np.ones(s, np.float32) for s in shapes)
    writer = Writer(first)
    product(writer, view_of(0, x), view_of(1, y), view_of(2, x @ y))
    assert writer.launches == []


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64"])
@pytest.mark.parametrize("sign", ["", "u"])
@pytest.mark.parametrize("k", [11, 2000])
def test_integers_wrap(first, dtype, sign, k):
    dtype = np.dtype(sign + dtype)
    needs(first, dtype)
    info, rng = np.iinfo(dtype), np.random.default_rng(0)
    x, y = (rng.integers(info.min, info.max, s, dtype, True) for s in ((3, k), (k, 6)))
    stored = dtype if dtype.itemsize == 8 else np.dtype(sign + "int32")

    def write(writer, x, y, out):
        product(writer, x, y, out._replace(dtype=x.dtype))

    (found,) = ran(first, write, [x, y], [((3, 6), stored)])
    np.testing.assert_array_equal(found, x @ y)


@pytest.mark.parametrize("k", [64, 3000])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_halves_are_rounded_once(multiply, first, dtype, k):
    needs(first, np.dtype(dtype))
    x, y = drawn(0, 5, k, dtype=dtype), drawn(1, k, 6, dtype=dtype)
    found = multiply(x, y, (5, 6), dtype)
    exact = x.astype(np.float64) @ y.astype(np.float64)
    once = ml_dtypes.finfo(dtype).eps / 2
    assert np.all(np.abs(found.astype(np.float64) - exact) <= once * np.abs(exact) + 1e-4)


@pytest.mark.parametrize("k", [64, 20_000])
def test_64_bit_floats(multiply, first, k):
    needs(first, np.dtype(np.float64))
    x, y = drawn(0, 5, k, dtype=np.float64), drawn(1, k, 6, dtype=np.float64)
    np.testing.assert_allclose(multiply(x, y, (5, 6), np.float64), x @ y, rtol=1e-11, atol=1e-11)


def needs(device, dtype):
    feature = FEATURES.get(dtype.name)
    if feature is not None and feature not in device.features:
        pytest.skip(f"the device has no {dtype.name}")


def test_what_is_not_finite(multiply):
    x, y = drawn(0, 9, 6), drawn(1, 6, 20)
    x[0, 1], x[2, 3], x[4, 5], y[2, 7], y[3, 9] = np.nan, np.inf, -np.inf, np.nan, np.inf
    with np.errstate(invalid="ignore"):
        wanted = x @ y
    np.testing.assert_allclose(multiply(x, y, (9, 20)), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("positive", [False, True])
def test_long_sums_have_errors_like_those_of_numpy(multiply, positive):
    x, y = drawn(0, 16, 100_000), drawn(1, 100_000, 16)
    x, y = (np.abs(x), np.abs(y)) if positive else (x, y)
    exact = x.astype(np.float64) @ y.astype(np.float64)
    error = np.linalg.norm(multiply(x, y, (16, 16)) - exact)
    assert error < 2 * np.linalg.norm(x @ y - exact)


def test_parts_of_large_results_are_added_in_turn(multiply, monkeypatch):
    monkeypatch.setattr("volta.wgpu.kernels.contraction._SCRATCH", 2 * 4 * 6 * 8)
    x, y = drawn(0, 6, 9000), drawn(1, 9000, 8)
    assert_near(multiply(x, y, (6, 8)), x, y)


@pytest.mark.parametrize(
    ("batch", "m", "k", "n", "groups"), [(3, 40, 4, 700, 20), (1, 8, 9000, 8, 9)]
)
def test_more_groups_than_an_axis_has(first, batch, m, k, n, groups):
    few = SimpleNamespace(**{**first.limits._asdict(), "groups": groups})
    facts = SimpleNamespace(features=first.features, kind=first.kind, limits=few)
    x, y = drawn(0, batch, m, k), drawn(1, batch, k, n)

    def write(writer, *views):
        writer.facts = facts
        product(writer, *views)
        assert writer.launches[0].grid[1] > 1

    (found,) = ran(first, write, [x, y], [((batch, m, n), np.float32)])
    assert_near(found, x, y)
