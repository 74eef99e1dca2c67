"""Reductions over segments against loops over them, and JAX."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    MODES,
    NUMERIC,
    assert_same,
    fill,
    library,
    quiet,
    seeds,
    under,
)

import volta
import volta.functional as F
from volta.core.errors import DimensionError, DTypeError, ShapeError, TraceError

LIBRARIES = ("numpy", "array_api_strict", "torch")
REDUCTIONS = {"sum": np.sum, "prod": np.prod, "mean": np.mean, "max": np.max, "min": np.min}


def empty(reduction, dtype):
    if reduction in ("sum", "prod"):
        return int(reduction == "prod")
    if dtype.kind in "iu":
        return getattr(np.iinfo(dtype), "min" if reduction == "max" else "max")
    return {"mean": np.nan, "max": -np.inf, "min": np.inf}[reduction]


def reduced(reduction, data, ids, count):
    out = np.full((count, *data.shape[1:]), empty(reduction, data.dtype), data.dtype)
    for i in set(ids.tolist()):
        out[i] = REDUCTIONS[reduction](data[ids == i], axis=0).astype(data.dtype)
    return out


def segments(reduction):
    return getattr(F, f"segment_{reduction}")


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@given(data=st.data())
def test_each_segment_is_reduced(lib, reduction, data):
    lib = library(lib)
    dtypes = [d for d in NUMERIC if d in lib.dtypes]
    if reduction in ("max", "min"):
        dtypes = [d for d in dtypes if "complex" not in d]
    if reduction == "mean":
        dtypes = [d for d in dtypes if "int" not in d]
    dtype = data.draw(st.sampled_from(dtypes))
    n = data.draw(st.integers(0, 6))
    shape = (n, *data.draw(st.lists(st.integers(1, 3), max_size=2)))
    x = fill(data.draw(seeds), shape, dtype, 0.5, 2)
    ids = fill(data.draw(seeds), (n,), data.draw(st.sampled_from(["int64", "int8"])), 0, 3)
    count = data.draw(st.sampled_from([None, 4, 5]))
    found = count if count is not None else (int(ids.max()) + 1 if n else 0)
    args = lib.asarray(x), lib.asarray(ids)

    def fun(x, ids):
        return segments(reduction)(x, ids, count)

    with quiet():
        expected = reduced(reduction, x, ids, found)
        assert_same(fun(*args), expected, lib, ulps=64)
        mode = data.draw(st.sampled_from(MODES if count is not None else ("vjp", "jvp")))
        assert_same(under(mode, fun, args)[0], expected, lib, ulps=64)


@pytest.mark.parametrize("reduction", ["sum", "prod", "max", "min"])
def test_segments_are_jaxs(reduction):
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray(fill(0, (5, 2), "float32"))
    ids = jax.numpy.asarray([3, 0, 3, 1, 0])
    out = segments(reduction)(x, ids, 5)
    assert isinstance(out, type(x))
    expected = getattr(jax.ops, f"segment_{reduction}")(x, ids, 5)
    np.testing.assert_allclose(out, expected, rtol=1e-6)


@pytest.mark.parametrize("lib", ["numpy", "torch"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_16_bit_floats_are_summed_in_32(reduction, lib):
    lib = library(lib)
    out = segments(reduction)(lib.asarray(np.ones(3000, np.float16)), np.zeros(3000, int), 1)
    assert_same(out, np.asarray([3000 if reduction == "sum" else 1], np.float16), lib)


def test_ids_may_be_a_list():
    np.testing.assert_array_equal(F.segment_sum(np.asarray([1, 2, 3]), [1, 1, 0]), [3, 3])


@pytest.mark.grad_check
def test_each_lane_may_have_its_own_ids():
    x, ids = fill(0, (3, 4), "float64"), np.asarray([[0, 1, 1, 2], [2, 2, 2, 2], [0, 0, 0, 1]])
    slope = volta.vmap(volta.grad(lambda x, i: F.sum(F.segment_prod(x, i, 3) ** 2)))(x, ids)
    for row, i, found in zip(x, ids, slope, strict=True):
        product = reduced("prod", row, i, 3)[i]
        np.testing.assert_allclose(found, 2 * product**2 / row)


@pytest.mark.grad_check
def test_equal_extremes_share_the_derivative():
    x, ids = np.asarray([1.0, 5.0, 5.0, 2.0]), np.asarray([0, 0, 0, 1])
    grad = volta.grad(lambda x: F.sum(F.segment_max(x, ids, 3)[:2]))(x)
    np.testing.assert_array_equal(grad, [0, 0.5, 0.5, 1])


X = np.ones((3, 2))


@pytest.mark.parametrize("lib", [*LIBRARIES, "jax"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("count", "got"), [(2, 2), (4, -1)])
def test_ids_outside_the_segments(lib, reduction, count, got):
    asarray = pytest.importorskip("jax.numpy").asarray if lib == "jax" else library(lib).asarray
    ids = asarray(np.asarray([0, 1, got]))
    message = f"segment_{reduction}: segment_ids must be from 0 to {count - 1}; got {got}"
    with pytest.raises(DimensionError, match=message):
        segments(reduction)(asarray(X), ids, count)
    with pytest.raises(DimensionError, match=message):
        volta.vmap(lambda ids: segments(reduction)(asarray(X), ids, count))(ids[None, :])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: F.segment_sum(X, [0, 1]),
            ShapeError,
            r"one segment id for each row of data; got shapes \(2,\) and \(3, 2\)",
        ),
        (lambda: F.segment_sum(np.asarray(1.0), []), DTypeError, "segment_ids must be integers"),
        (lambda: F.segment_sum(X, [0, 1, 1], -1), ShapeError, "lengths must not be negative"),
        (lambda: F.segment_sum(X > 0, [0, 1, 1]), DTypeError, "must be numeric; got bool"),
        (lambda: F.segment_max(X * 1j, [0, 1, 1]), DTypeError, "must be real-valued; got complex"),
        (lambda: F.segment_mean(np.arange(3), [0, 1, 1]), DTypeError, "must be floating; got int"),
        (
            lambda: volta.vmap(lambda i: F.segment_sum(X, i), on_branch="raise")(
                np.asarray([[0, 1, 1], [0, 0, 2]])
            ),
            TraceError,
            "segment_sum without num_segments: needs one concrete value",
        ),
    ],
)
def test_bad_segments(call, error, message):
    with pytest.raises(error, match=message):
        call()
