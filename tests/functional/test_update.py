"""Updates of parts against NumPy's unbuffered ones, JAX's, and finite differences."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    MODES,
    NUMERIC,
    array_key,
    assert_same,
    basic_key,
    fill,
    full_shapes,
    library,
    quiet,
    seeds,
    under,
)

import volta
import volta.functional as F
from volta.core.errors import BroadcastError, DimensionError, DTypeError, ShapeError

LIBRARIES = ("numpy", "array_api_strict", "torch")
UFUNCS = {
    "add": np.add,
    "multiply": np.multiply,
    "divide": np.divide,
    "min": np.minimum,
    "max": np.maximum,
}


def updated(x, key, mode, values):
    return getattr(F.at(x)[key], mode)(values)


def wanted(x, key, mode, values):
    out = x.copy()
    UFUNCS[mode].at(out, key, values)
    return out


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("mode", UFUNCS)
@given(data=st.data())
def test_updates_are_numpys(lib, mode, data):
    lib = library(lib)
    shape = data.draw(full_shapes)
    key = data.draw(st.sampled_from([basic_key, array_key]))(data.draw, shape)
    kinds = [d for d in NUMERIC if d in lib.dtypes]
    if mode == "divide":
        kinds = [d for d in kinds if "float" in d or "complex" in d]
    if mode in ("min", "max"):
        kinds = [d for d in kinds if "complex" not in d]
    dtype = data.draw(st.sampled_from(kinds))
    x = fill(data.draw(seeds), shape, dtype)
    try:
        part = np.asarray(x[key])
    except IndexError:  # shapes that do not broadcast
        with pytest.raises(BroadcastError, match="the shapes must broadcast together"):
            updated(lib.asarray(x), key, mode, lib.asarray(x[:0].sum()))
        return
    kept = part.shape[data.draw(st.integers(0, part.ndim)) :]
    kept = tuple(data.draw(st.sampled_from((n, 1))) for n in kept)
    values = fill(data.draw(seeds), kept, dtype, 1, 3)
    args = lib.asarray(x), lib.asarray(values)

    def fun(x, values):
        return updated(x, key, mode, values)

    with quiet():
        expected = wanted(x, key, mode, values)
        fused = mode == "multiply" and "complex" in dtype  # or not, by NumPy's loop
        ulps = 64 if lib.name == "torch" or mode == "divide" else 2 if fused else 0
        assert_same(fun(*args), expected, lib, ulps=ulps)
        assert_same(args[0], x, lib)
        (traced,) = under(data.draw(st.sampled_from(MODES)), fun, args)
        assert_same(traced, expected, lib, ulps=ulps)


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_set_and_get_are_assignment_and_indexing(lib, data):
    lib = library(lib)
    shape = data.draw(full_shapes)
    key = basic_key(data.draw, shape)
    x = fill(data.draw(seeds), shape, "float64")
    part = np.asarray(x[key])
    values = fill(data.draw(seeds), part.shape, "float32")
    expected = x.copy()
    expected[key] = values
    args = lib.asarray(x), lib.asarray(values)
    assert_same(F.at(args[0])[key].get(), part, lib)
    assert_same(F.at(args[0])[key].set(args[1]), expected, lib)
    assert_same(args[0], x, lib)
    mode = data.draw(st.sampled_from(MODES))
    (traced,) = under(mode, lambda x, v: F.at(x)[key].set(v), args)
    assert_same(traced, expected, lib)


@pytest.mark.parametrize("mode", UFUNCS)
@pytest.mark.parametrize(
    ("key", "kept"),
    [
        (fill(1, (40,), "int8", -5, 4), (40, 8, 3)),
        ((fill(1, (40, 1), "uint8", 0, 4), fill(2, (20,), "int64", -8, 7)), (40, 20, 3)),
        ((slice(None), fill(1, (40,), "int64", -8, 7)), (5, 40, 3)),
    ],
)
def test_many_values_are_combined_as_few_are(mode, key, kept):
    x, values = fill(3, (5, 8, 3), "float64"), fill(4, kept, "float64", 0.9, 1.1)
    np.testing.assert_allclose(
        updated(x, key, mode, values), wanted(x, key, mode, values), rtol=1e-12
    )
    outside = (key[0], key[1] + 8) if isinstance(key, tuple) else key + 5
    with pytest.raises(DimensionError, match="scatter: indices must be from"):
        updated(x, outside, mode, values)


@pytest.mark.parametrize("mode", UFUNCS)
@pytest.mark.parametrize("traced", [False, True])
def test_masks_select(mode, traced):
    x = np.arange(1.0, 7.0).reshape(2, 3)
    expected = wanted(x, x > 2, mode, 3.0)

    def fun(x):
        return updated(x, x > 2, mode, 3)

    out = volta.vmap(fun)(x) if traced else fun(x)
    np.testing.assert_array_equal(out, expected)
    rows = np.asarray([False, True])
    np.testing.assert_array_equal(updated(x, rows, mode, x[1:]), wanted(x, rows, mode, x[1:]))


@pytest.mark.parametrize("mode", ["set", *UFUNCS])
def test_updates_of_jax_arrays_are_jaxs(mode):
    jnp = pytest.importorskip("jax.numpy")
    x = jnp.asarray(fill(0, (4, 3), "float32"))
    v = jnp.asarray(fill(1, (5, 3), "float32", 1, 3))
    i = jnp.asarray([3, 0, 3, -1, 2] if mode != "set" else [3, 0, 1, 2, 1])
    if mode == "set":
        i, v = i[:4], v[:4]
    out = updated(x, i, mode, v)
    assert isinstance(out, type(x))
    np.testing.assert_allclose(out, getattr(x.at[i], mode)(v), rtol=1e-6)
    with pytest.raises(DimensionError, match="scatter: indices must be from -4 to 3 along axis 0"):
        updated(x, i + 1, mode, v)


@pytest.mark.parametrize("lib", ["numpy", "torch"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sums_of_16_bit_floats_are_taken_in_32(dtype, lib):
    lib = library(lib)
    x = np.zeros(2, getattr(ml_dtypes, dtype, dtype))
    i = lib.asarray(np.zeros(3000, np.int64))
    out = updated(lib.asarray(x), i, "add", lib.asarray(np.ones(3000, x.dtype)))
    assert_same(out, np.asarray([3000, 0]).astype(x.dtype), lib)


# Derivatives --------------------------------------------------------------------------------------


@pytest.mark.grad_check
def test_equal_extremes_share_the_derivative():
    x, i = np.asarray([2.0, 1.0, 5.0]), np.asarray([0, 0, 1, 2])
    v = np.asarray([2.0, 2.0, 1.0, 3.0])
    grads = volta.grad(lambda x, v: F.sum(F.at(x)[i].max(v)), argnums=(0, 1))(x, v)
    np.testing.assert_allclose(grads[0], [1 / 3, 1 / 2, 1])
    np.testing.assert_allclose(grads[1], [1 / 3, 1 / 3, 1 / 2, 0])
    t = volta.jvp(lambda v: F.at(x)[i].max(v), (v,), (np.asarray([3.0, 6.0, 4.0, 9.0]),))[1]
    np.testing.assert_allclose(t, [3, 2, 0])


@pytest.mark.grad_check
def test_equal_extremes_share_the_derivative_in_a_slice():
    x = np.asarray([2.0, 1.0])
    grads = volta.grad(lambda x, v: F.sum(F.at(x)[:1].min(v)), argnums=(0, 1))(x, x[:1])
    np.testing.assert_allclose(grads[0], [0.5, 1])
    np.testing.assert_allclose(grads[1], [0.5])


@pytest.mark.grad_check
@pytest.mark.parametrize("mode", ["max", "min"])
def test_what_is_not_a_number_stays_where_it_is(mode):
    x, i = np.asarray([np.nan, 1.0, 3.0]), np.asarray([1, 1])
    v = np.asarray([2.0, 0.5])
    out, vjp_fn = volta.vjp(lambda x: updated(x, i, mode, v), x)
    np.testing.assert_array_equal(out, wanted(x, i, mode, v))
    np.testing.assert_array_equal(vjp_fn(np.ones(3))[0], [1, 0, 1])


@pytest.mark.grad_check
@pytest.mark.parametrize("lib", LIBRARIES)
def test_the_derivative_of_a_product_with_zeros_is_that_of_the_others(lib):
    lib = library(lib)
    i = np.asarray([0, 0, 1, 1, 2, 2, 2])
    x = np.asarray([2.0, 3.0, 4.0, 7.0])
    v = np.asarray([0.0, 5.0, 0.0, 0.0, 2.0, 3.0, 0.5])

    def fun(x, v):
        return F.sum(F.at(x)[lib.asarray(i)].multiply(v))

    grads = volta.grad(fun, argnums=(0, 1))(lib.asarray(x), lib.asarray(v))
    np.testing.assert_allclose(np.asarray(grads[0]), [0, 0, 3, 1])
    np.testing.assert_allclose(np.asarray(grads[1]), [10, 0, 0, 0, 6, 4, 24])


@pytest.mark.grad_check
def test_the_second_derivative_of_a_product_with_zeros():
    i = np.asarray([0, 0, 1, 1, 2, 2, 2])
    v = np.asarray([0.0, 5.0, 0.0, 0.0, 2.0, 3.0, 0.5])
    x = np.asarray([2.0, 3.0, 4.0, 7.0])
    slope = volta.grad(lambda v: F.sum(F.at(x)[i].multiply(v)))
    hessian = [volta.jvp(slope, (v,), (unit,))[1] for unit in np.eye(7)]
    expected = np.zeros((7, 7))
    expected[[0, 2, 4, 4, 5], [1, 3, 5, 6, 6]] = [2, 3, 2, 12, 8]
    np.testing.assert_allclose(hessian, expected + expected.T)


@pytest.mark.grad_check
def test_dividing_by_several_at_one_place():
    x, v, i = np.asarray([6.0, 5.0]), np.asarray([2.0, 4.0]), np.asarray([0, 0])
    grads = volta.grad(lambda x, v: F.sum(F.at(x)[i].divide(v)), argnums=(0, 1))(x, v)
    np.testing.assert_allclose(grads[0], [1 / 8, 1])
    np.testing.assert_allclose(grads[1], [-6 / 16, -6 / 32])


@pytest.mark.grad_check
def test_only_the_value_that_was_set_has_a_derivative():
    x, v, i = np.zeros(3), np.asarray([1.0, 2.0]), np.asarray([1, 1])
    grads = volta.grad(lambda x, v: F.sum(F.at(x)[i].set(v)), argnums=(0, 1))(x, v)
    np.testing.assert_array_equal(grads[0], [1, 0, 1])
    np.testing.assert_array_equal(grads[1], [0, 1])


@pytest.mark.grad_check
def test_traced_arrays_have_the_attribute():
    x = np.asarray([1.0, 2.0])
    grad = volta.grad(lambda x: F.sum(x.at[np.asarray([0, 0])].multiply(x[:2])))(x)
    np.testing.assert_allclose(grad, [4.0, 2.0])  # of x0 · x0 · x1 + x1


@pytest.mark.grad_check
@pytest.mark.parametrize("mode", ["set", *UFUNCS])
def test_array_api_extra_updates_traced_arrays(mode):
    xpx = pytest.importorskip("array_api_extra")
    x = np.asarray([1.0, 2.0, 3.0])

    def loss(update):
        return lambda x: F.sum(update(x) ** 2)

    own = volta.grad(loss(lambda x: getattr(F.at(x)[1:], mode)(2.5)))(x)
    theirs = volta.grad(loss(lambda x: getattr(xpx.at(x)[1:], mode)(2.5)))(x)
    np.testing.assert_allclose(own, theirs)


# Errors -------------------------------------------------------------------------------------------

X = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize("lib", [*LIBRARIES, "jax"])
@pytest.mark.parametrize("mode", ["get", "set", *UFUNCS])
@pytest.mark.parametrize(
    ("key", "message"),
    [
        ((2,), "indices must be from -2 to 1 along axis 0; got 2"),
        ((0, -4), "indices must be from -3 to 2 along axis 1; got -4"),
        ((np.asarray([0, 5]),), "indices must be from -2 to 1 along axis 0; got 5"),
        ((slice(None), np.asarray([1, -4])), "indices must be from -3 to 2 along axis 1; got -4"),
        ((np.asarray([0]), np.asarray([3])), "indices must be from -3 to 2 along axis 1; got 3"),
        ((0, 0, 0), r"no more indices than axes; got 3 for shape \(2, 3\)"),
    ],
)
def test_indices_outside_the_array(lib, mode, key, message):
    asarray = pytest.importorskip("jax.numpy").asarray if lib == "jax" else library(lib).asarray
    key = tuple(asarray(k) if isinstance(k, np.ndarray) else k for k in key)
    part = F.at(asarray(X))[key]
    with pytest.raises(DimensionError, match=message):
        part.get() if mode == "get" else getattr(part, mode)(1.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: F.at(np.arange(3))[0].add(1.5),
            DTypeError,
            "at.add: the values' dtype must fit the array's; got float for int64",
        ),
        (lambda: F.at(X)[0].max(1j), DTypeError, "at.max: the values' .* got complex for float64"),
        (
            lambda: F.at(np.arange(3))[0].divide(2),
            DTypeError,
            "at.divide: the dtype must be floating; got int64",
        ),
        (lambda: F.at(X)[0].add(np.ones(2)), ShapeError, r"got shapes \(2,\) and \(3,\)"),
        (lambda: F.at(X)[[0, 1]].add(np.ones(2)), ShapeError, r"got shapes \(2,\) and \(2, 3\)"),
        (lambda: F.at(X)["a"].add(1), DTypeError, "a key must hold ints, slices, None"),
    ],
)
def test_bad_updates(call, error, message):
    with pytest.raises(error, match=message):
        call()
