"""Reductions against array-api-strict, under every transform, and in 16 bits."""

import array_api_strict as strict
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    COMPLEX,
    FLOAT,
    FLOATING,
    HALVES,
    INT,
    MODES,
    NUMERIC,
    REAL,
    STANDARD,
    UINT,
    assert_same,
    axes_of,
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
from volta.core.errors import DimensionError, DTypeError, ShapeError
from volta.core.types import typeof

LIBRARIES = ("numpy", "array_api_strict", "torch")

# name: dtypes of the standard, and whether it takes several axes
REDUCTIONS = {
    **dict.fromkeys(("sum", "prod"), (NUMERIC, True)),
    "mean": (FLOATING, True),
    **dict.fromkeys(("std", "var"), (FLOAT, True)),
    **dict.fromkeys(("max", "min"), (REAL, True)),
    **dict.fromkeys(("argmax", "argmin"), (REAL, False)),
    **dict.fromkeys(("all", "any", "count_nonzero"), (STANDARD, True)),
}
NON_EMPTY = ("max", "min", "argmax", "argmin")


# NumPy, computing for array-api-strict, warns where Volta and the standard say NaN
@pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:Degrees of freedom:RuntimeWarning")
@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("name", REDUCTIONS)
@given(data=st.data())
def test_reductions_are_the_standards(name, lib, data):
    lib = library(lib)
    dtypes, several = REDUCTIONS[name]
    dtype = data.draw(st.sampled_from([d for d in dtypes if d in lib.dtypes]))
    shape = data.draw(shapes)
    if name in NON_EMPTY:
        shape = tuple(n or 1 for n in shape)
    options = {
        "axis": data.draw(axes_of(len(shape), several=several)),
        "keepdims": data.draw(st.booleans()),
    }
    if name in ("std", "var"):
        options["correction"] = data.draw(st.sampled_from([0, 1, 0.5]))
    if name in ("sum", "prod"):
        kept = [d for d in NUMERIC if d in lib.dtypes and (dtype not in COMPLEX or d in COMPLEX)]
        # torch has no sums in uint64, its own of uint8 are in int64
        default = "int64" if dtype == "uint8" and lib.name == "torch" else None
        wanted = data.draw(st.sampled_from([default, dtype, *kept]))
        if wanted is not None and (wanted in COMPLEX or dtype not in FLOAT or wanted in FLOAT):
            options["dtype"] = wanted
    x = fill(data.draw(seeds), shape, dtype, -2, 2)
    own = dict(options)
    if "dtype" in options:
        own["dtype"] = getattr(strict, options["dtype"])
        options["dtype"] = getattr(F, options["dtype"])

    def fun(x):
        return getattr(F, name)(x, **options)

    with quiet():
        expected = getattr(strict, name)(strict.asarray(x), **own)
        out = fun(lib.asarray(x))
        assert_same(out, expected, lib, ulps=4 if lib.name != "torch" else None)
        (traced,) = under(data.draw(st.sampled_from(MODES)), fun, (lib.asarray(x),))
        assert_same(traced, out, lib, ulps=4 if lib.name != "torch" else None)


@pytest.mark.parametrize("lib", ["numpy", "torch"])
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int32", "int64"])
@pytest.mark.parametrize("mode", MODES)
def test_sums_of_what_is_no_number_follow_the_library(dtype, mode, lib):
    lib = library(lib)
    x = lib.asarray(fill(0, (2, 3), dtype, 1, 3))
    out = F.sum(x, axis=0)
    assert_same(under(mode, lambda x: F.sum(x, axis=0), (x,))[0], out, lib)
    if lib.name == "numpy":
        assert_same(out, np.sum(x, axis=0), lib)
        mean = F.mean(x, axis=0)
        assert_same(mean, np.mean(x, axis=0), lib)
        assert_same(under(mode, lambda x: F.mean(x, axis=0), (x,))[0], mean, lib)


@pytest.mark.grad_check
@pytest.mark.parametrize("lib", ["numpy", "torch"])
@pytest.mark.parametrize("name", ["std", "var"])
def test_variances_of_complex_numbers_are_real(name, lib):
    lib = library(lib)
    z = fill(0, (3, 4), "complex128")
    out = getattr(F, name)(lib.asarray(z), axis=1)
    assert_same(out, getattr(np, name)(z, axis=1), lib, ulps=8)
    t = fill(1, (3, 4), "complex128")
    _, slope = volta.jvp(lambda z: getattr(F, name)(z, axis=1), (z,), (t,))
    above, below = (getattr(np, name)(z + s * t, axis=1) for s in (1e-6, -1e-6))
    np.testing.assert_allclose(slope, (above - below) / 2e-6, rtol=1e-7)


@pytest.mark.parametrize("name", ["sum", "prod"])
@pytest.mark.parametrize("dtype", [*INT, *UINT])
def test_small_integers_are_summed_as_large_ones_unless_told(name, dtype):
    x = np.full(3, 100, dtype)
    wide = getattr(F, name)(x)
    assert wide.dtype == (np.uint64 if dtype in UINT else np.int64)
    assert wide == (300 if name == "sum" else 10**6)
    narrow = getattr(F, name)(x, dtype=dtype)
    assert narrow.dtype == dtype
    assert narrow == wide.astype(dtype)


# 16 bits ------------------------------------------------------------------------------------------


@pytest.fixture(params=["numpy", "torch"])
def lib(request):
    return library(request.param)


def half_ulps(got, expected, dtype):
    """Distance from the exact answer in units of the last place of a 16-bit dtype."""
    eps = float(ml_dtypes.finfo(numpy_dtype(dtype)).eps)
    return np.max(np.abs(np.asarray(got, np.float64) - expected) / (eps * np.abs(expected)))


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", ["sum", "mean", "std", "logsumexp", "softmax", "log_softmax"])
def test_halves_accumulate_in_32_bits(name, dtype, axis, lib):
    # 4096 numbers near 1: in 16 bits a running sum stops growing at 2048 or 256
    shape = (4096, 3) if axis == 0 else (3, 4096)
    x = fill(0, shape, dtype, 0.5, 1.5)
    out = getattr(F, name)(lib.asarray(x), axis=axis)
    assert typeof(out).dtype.name == dtype
    exact = getattr(F, name)(x.astype(np.float64), axis=axis)
    assert half_ulps(lib.host(out), exact, dtype) <= 2


@pytest.mark.parametrize("axis", [0, None])
def test_products_of_halves_accumulate_in_32_bits(axis):
    x = np.asarray([[300.0], [300.0], [1e-3]], np.float16)  # 90000 is no float16
    np.testing.assert_allclose(F.prod(x, axis=axis), 90.0, rtol=1e-3)


@pytest.mark.parametrize("name", ["std", "var"])
def test_variances_of_halves_do_not_overflow_on_the_way(name, lib):
    x = np.asarray([-400.0, 400.0, 400.0, -400.0], np.float16)
    with quiet():
        out = lib.host(getattr(F, name)(lib.asarray(x)))
        assert out == (400.0 if name == "std" else np.float16(160000.0))


@pytest.mark.grad_check
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(
    "name", ["sum", "mean", "prod", "max", "min", "std", "var", "logsumexp", "softmax"]
)
def test_gradients_of_halves_keep_the_dtype(name, dtype, lib):
    x = fill(0, (5,), dtype, 0.5, 1.5)

    def loss(x):
        return F.sum(getattr(F, name)(x) * 2)

    out, grad = volta.value_and_grad(loss)(lib.asarray(x))
    assert typeof(out).dtype.name == typeof(grad).dtype.name == dtype
    exact = volta.grad(loss)(x.astype(np.float64))
    error = np.abs(np.asarray(lib.host(grad), np.float64) - exact)
    assert np.max(error) <= 4 * float(ml_dtypes.finfo(numpy_dtype(dtype)).eps)


# Kinks --------------------------------------------------------------------------------------------


@pytest.mark.grad_check
@pytest.mark.parametrize("name", ["max", "min"])
def test_ties_share_the_derivative(name):
    x = np.asarray([[2.0, 1.0, 2.0], [0.0, 0.0, 0.0]])
    x = x if name == "max" else -x
    grad = volta.grad(lambda x: F.sum(getattr(F, name)(x, axis=1)))(x)
    np.testing.assert_allclose(grad, [[0.5, 0, 0.5], [1 / 3] * 3])


@pytest.mark.grad_check
def test_standard_deviation_of_equal_elements_has_derivative_zero():
    x = np.full((2, 3), 1.5)
    assert volta.grad(F.std)(x).tolist() == [[0.0] * 3] * 2
    second = volta.grad(lambda x: F.sum(volta.grad(F.std)(x)))
    assert np.all(np.isfinite(second(x)))


@pytest.mark.grad_check
@pytest.mark.parametrize(
    ("x", "slope"),
    [
        ([2.0, 3.0, 5.0], [15.0, 10.0, 6.0]),
        ([2.0, 0.0, 5.0], [0.0, 10.0, 0.0]),
        ([0.0, 0.0, 5.0], [0.0, 0.0, 0.0]),
        ([4.0], [1.0]),
        ([], []),
    ],
)
def test_products_with_zeros_have_their_derivative(x, slope):
    assert volta.grad(F.prod)(np.asarray(x)).tolist() == slope


@pytest.mark.grad_check
@pytest.mark.parametrize("correction", [0, 1, 3, 5])
def test_variance_without_freedom_is_nan(correction):
    x = np.asarray([1.0, 2.0, 4.0])
    assert np.isnan(F.var(x, correction=correction)) == (correction >= 3)


def test_logsumexp_of_infinities():
    x = np.asarray([[-np.inf, -np.inf], [-np.inf, 0.0], [np.inf, 0.0], [np.inf, -np.inf]])
    with quiet():
        assert F.logsumexp(x, axis=1).tolist() == [-np.inf, 0.0, np.inf, np.inf]
        assert F.logsumexp(x, axis=1, keepdims=True).shape == (4, 1)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lib", [*LIBRARIES, "jax"])
def test_axes_without_elements(lib, mode):
    lib = library(lib)
    x = lib.asarray(np.ones((2, 0)))
    for function in (F.softmax, F.log_softmax):
        (out,) = under(mode, function, (x,))
        assert tuple(out.shape) == (2, 0)
    with quiet():
        (out,) = under(mode, lambda x: F.logsumexp(x, axis=1), (x,))
    assert lib.host(out).tolist() == [-np.inf, -np.inf]


@pytest.mark.parametrize("dtype", HALVES)
def test_axes_without_elements_of_halves(dtype):
    x = fill(0, (0,), dtype)
    for function in (F.softmax, F.log_softmax):
        assert function(x).shape == (0,)
        assert function(x).dtype == x.dtype


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_neither_overflows_nor_misses_minus_infinity(name):
    x = np.asarray([[1e4, 1e4], [0.0, -np.inf], [-1e4, -1e4]])
    with quiet():
        out = getattr(F, name)(x, axis=-1)
    exact = np.asarray([[0.5, 0.5], [1.0, 0.0], [0.5, 0.5]])
    with quiet():
        np.testing.assert_allclose(out, exact if name == "softmax" else np.log(exact), atol=1e-15)


# Errors -------------------------------------------------------------------------------------------

SEVERAL = [n for n in REDUCTIONS if REDUCTIONS[n][1]] + ["logsumexp"]


@pytest.mark.parametrize("name", [*REDUCTIONS, "logsumexp", "softmax", "log_softmax"])
@pytest.mark.parametrize("axis", [2, -3])
def test_axes_that_do_not_exist(name, axis):
    with pytest.raises(DimensionError, match=rf"{name}: axis must be from -2 to 1; got {axis}"):
        getattr(F, name)(np.ones((2, 3)), axis=axis)


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("name", ["sum", "concat"])  # which leave the check to the library
def test_axes_that_no_library_may_take(name, lib):
    def apply(x, axis):
        return F.sum(x, axis=axis) if name == "sum" else F.concat([x, x], axis=axis)

    xp = library(lib)
    with pytest.raises(DimensionError, match=rf"^{name}: axis must be from 0 to -1; got 0 for"):
        apply(xp.asarray(np.asarray(1.0)), 0)
    lanes = rf"^{name}: axis must be from -1 to 0; got 1 for an array of 1 axes"
    with pytest.raises(DimensionError, match=lanes):
        volta.vmap(lambda x: apply(x, 1))(xp.asarray(np.ones((2, 3))))


@pytest.mark.parametrize("name", SEVERAL)
def test_axes_named_twice(name):
    with pytest.raises(ShapeError, match=rf"{name}: each axis must be named once; got \(0, -2\)"):
        getattr(F, name)(np.ones((2, 3)), axis=(0, -2))


@pytest.mark.parametrize("mode", ["raw", "trace"])
@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("shape", [(0,), (0, 3), (0, 0)])
@pytest.mark.parametrize("name", NON_EMPTY)
def test_extrema_of_nothing(name, shape, lib, mode):
    x = library(lib).asarray(np.ones(shape))

    def fun(x):
        return getattr(F, name)(x, axis=0)

    with pytest.raises(ShapeError, match=f"{name}: there must be an element along axis"):
        fun(x) if mode == "raw" else volta.trace(fun)(x)


REFUSED = {
    "mean": ("int64", "mean: the dtype must be floating by the standard; got int64"),
    "max": ("complex64", "max: the dtype must be real-valued by the standard; got complex64"),
    "min": ("bool", "min: the dtype must be real-valued by the standard; got bool"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_dtypes_that_the_standard_refuses(name):
    dtype, message = REFUSED[name]
    with pytest.raises(DTypeError, match=message):
        getattr(F, name)(strict.asarray(fill(0, (2,), dtype)))


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_integers_is_refused_where_the_library_refuses(name):
    torch = library("torch").xp
    with pytest.raises(DTypeError, match=f"{name}: the dtype must be real floating; got int64"):
        getattr(F, name)(torch.ones(2, dtype=torch.int64))
