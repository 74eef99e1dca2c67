"""Running sums and differences against array-api-strict, under every transform, and in 16 bits."""

import array_api_strict as strict
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    FLOAT,
    HALVES,
    MODES,
    NUMERIC,
    REAL,
    assert_same,
    fill,
    full_shapes,
    library,
    quiet,
    running,
    seeds,
    shapes,
    under,
)

import volta
import volta.functional as F
from volta.core.errors import DimensionError, DTypeError, ShapeError

LIBRARIES = ("numpy", "array_api_strict", "torch")


@pytest.mark.parametrize("name", ["cumulative_sum", "cumulative_prod"])
@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_sums_and_products_are_the_standards(lib, name, data):
    lib = library(lib)
    dtype = data.draw(st.sampled_from([d for d in NUMERIC if d in lib.dtypes]))
    shape = data.draw(shapes.filter(bool))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    options = {
        "axis": data.draw(st.sampled_from([None, axis])) if len(shape) == 1 else axis,
        "include_initial": data.draw(st.booleans()),
    }
    own = dict(options)
    default = "int64" if dtype == "uint8" and lib.name == "torch" else None  # torch's own
    wanted = data.draw(st.sampled_from([default, dtype]))
    if wanted is not None:
        options["dtype"], own["dtype"] = getattr(F, wanted), getattr(strict, wanted)
    x = fill(data.draw(seeds), shape, dtype, -2, 2)

    def fun(x):
        return getattr(F, name)(x, **options)

    with quiet():
        expected = getattr(strict, name)(strict.asarray(x), **own)
        out = fun(lib.asarray(x))
        assert_same(out, expected, lib, ulps=4 if lib.name != "torch" else None)
        (traced,) = under(data.draw(st.sampled_from(MODES)), fun, (lib.asarray(x),))
        assert_same(traced, out, lib)


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_differences_are_the_standards(lib, data):
    lib = library(lib)
    dtype = data.draw(st.sampled_from([d for d in NUMERIC if d in lib.dtypes]))
    shape = data.draw(shapes.filter(bool))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    n = data.draw(st.integers(0, 3))
    x = fill(data.draw(seeds), shape, dtype, -2, 2)
    ends = {}
    for name in ("prepend", "append"):
        if data.draw(st.booleans()):
            length = data.draw(st.integers(0, 2))
            joined = tuple(length if a == axis % len(shape) else m for a, m in enumerate(shape))
            ends[name] = fill(data.draw(seeds), joined, dtype, -2, 2)

    def fun(x, *rest):
        return F.diff(x, axis=axis, n=n, **dict(zip(ends, rest, strict=True)))

    args = (x, *ends.values())
    own = {name: strict.asarray(a) for name, a in ends.items()}
    with quiet():
        expected = strict.diff(strict.asarray(x), axis=axis, n=n, **own)
        out = fun(*map(lib.asarray, args))
        assert_same(out, expected, lib)
        traced = under(data.draw(st.sampled_from(MODES)), fun, tuple(map(lib.asarray, args)))
        assert_same(traced[0], out, lib)


def test_differences_of_booleans_say_where_they_differ():
    x = np.asarray([True, True, False, True])
    np.testing.assert_array_equal(F.diff(x), np.diff(x))


def test_a_number_is_joined_as_a_slice():
    x = np.arange(6.0).reshape(2, 3)
    out = F.diff(x, axis=0, prepend=np.asarray(1.0))
    np.testing.assert_array_equal(out, np.diff(x, axis=0, prepend=1.0))


@pytest.mark.parametrize("lib", ["numpy", "torch"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sums_of_16_bit_floats_are_taken_in_32(dtype, lib):
    x = np.full(3000, 1.0, getattr(ml_dtypes, dtype, dtype))
    out = F.cumulative_sum(library(lib).asarray(x))
    assert str(out.dtype).removeprefix("torch.") == dtype
    exact = np.arange(1, 3001).astype(x.dtype)
    found = out.float().numpy() if lib == "torch" else out.astype(np.float32)
    np.testing.assert_array_equal(found, exact.astype(np.float32))


@pytest.mark.grad_check
@pytest.mark.parametrize("lib", LIBRARIES)
def test_a_difference_undoes_a_sum(lib):
    x = fill(0, (3, 4), "float64", -2, 2)

    def same(x):
        return F.diff(F.cumulative_sum(x, axis=1, include_initial=True), axis=1)

    xs = library(lib).asarray(x)
    np.testing.assert_allclose(np.asarray(same(xs)), x, rtol=1e-13)
    ct = fill(1, (3, 4), "float64")
    _, vjp_fn = volta.vjp(same, xs)
    np.testing.assert_allclose(np.asarray(vjp_fn(library(lib).asarray(ct))[0]), ct, rtol=1e-13)


@pytest.mark.grad_check
def test_the_gradient_reaches_what_is_joined():
    x, y = np.asarray([1.0, 4.0, 9.0]), np.asarray([0.5])
    grads = volta.grad(lambda x, y: F.sum(F.diff(x, n=2, prepend=y) ** 2), argnums=(0, 1))(x, y)
    d = np.diff(x, n=2, prepend=y)
    np.testing.assert_allclose(grads[1], [2 * d[0]])
    wanted = [-4 * d[0] + 2 * d[1], 2 * d[0] - 4 * d[1], 2 * d[1]]
    np.testing.assert_allclose(grads[0], wanted)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.cumulative_sum(np.asarray(1.0)), DimensionError, r"must be given .* got \(\)"),
        (lambda: F.diff(np.ones(3), axis=1), DimensionError, "diff: axis must be from -1 to 0"),
        (lambda: F.diff(np.ones(3), n=-1), ShapeError, "diff: n must be 0 or more; got -1"),
        (
            lambda: F.diff(np.ones((2, 3)), append=np.ones((3, 1))),
            ShapeError,
            r"shapes must agree except along axis 1; got \(2, 3\) and \(3, 1\)",
        ),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("oracle", ["torch", "jax"])
@pytest.mark.parametrize(
    "x", [[2.0, 0.5, -3.0], [2.0, 0.0, 3.0, 0.5], [0.0, 2.0, 0.0, 3.0]], ids=str
)
def test_second_derivatives_of_products_are_those_of_other_libraries(oracle, x):
    other = pytest.importorskip(oracle)
    x = np.asarray(x)
    weights = np.arange(1.0, x.size + 1)
    rows = [volta.grad(lambda x, i=i: volta.grad(_weighted)(x)[i])(x) for i in range(x.size)]
    if oracle == "torch":
        t = other.asarray(x)
        wanted = other.autograd.functional.hessian(
            lambda t: (other.cumprod(t, 0) ** 2 * other.asarray(weights)).sum(), t
        )
    else:
        with other.enable_x64():
            jnp = other.numpy
            wanted = other.hessian(lambda x: (jnp.cumprod(x) ** 2 * weights).sum())(x)
    np.testing.assert_allclose(np.stack(rows), np.asarray(wanted), rtol=1e-12)


def _weighted(x):
    return F.sum(F.cumulative_prod(x) ** 2 * np.arange(1.0, x.size + 1))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_16_bit_products_are_multiplied_in_32(dtype):
    x = np.full(64, 1.02, dtype)
    exact = np.cumprod(x.astype(np.float64)).astype(dtype)
    assert F.cumulative_prod(x).dtype == dtype
    np.testing.assert_array_equal(F.cumulative_prod(x), exact)


def test_products_of_nothing():
    x = np.zeros((2, 0))
    assert F.cumulative_prod(x, axis=1).shape == (2, 0)
    grad = volta.grad(lambda x: F.sum(F.cumulative_prod(x, axis=1)))
    assert grad(x).shape == (2, 0)
    out, t = volta.jvp(lambda x: F.cumulative_prod(x, axis=1, include_initial=True), (x,), (x,))
    np.testing.assert_array_equal((out, t), (np.ones((2, 1)), np.zeros((2, 1))))


# Extrema and logarithms of sums -------------------------------------------------------------------

ACCUMULATED = {
    "cumulative_max": np.maximum.accumulate,
    "cumulative_min": np.minimum.accumulate,
    "cumulative_logsumexp": np.logaddexp.accumulate,
}


@pytest.mark.parametrize("name", ACCUMULATED)
@pytest.mark.parametrize("lib", [*LIBRARIES, "jax", "dask"])
def test_running_results_are_numpys(lib, name):
    with running(lib):
        _compare_with_numpy(library(lib), name)


@given(data=st.data())
def _compare_with_numpy(lib, name, data):
    dtypes = FLOAT if name == "cumulative_logsumexp" else REAL
    dtype = data.draw(st.sampled_from([d for d in dtypes if d in lib.dtypes]))
    shape = data.draw((full_shapes if lib.name == "dask" else shapes).filter(bool))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = fill(data.draw(seeds), shape, dtype, -2, 2, special=0.3)
    given_axis = None if len(shape) == 1 else axis

    def fun(x):
        return getattr(F, name)(x, axis=given_axis)

    with quiet():
        wanted = ACCUMULATED[name](x, axis)
        out = fun(lib.asarray(x))
        exact = name != "cumulative_logsumexp"
        assert_same(out, wanted, lib, ulps=None if exact else 8)
        (traced,) = under(data.draw(st.sampled_from(MODES)), fun, (lib.asarray(x),))
        assert_same(traced, out, lib, ulps=None if exact else 8)


@pytest.mark.grad_check
@pytest.mark.parametrize("lib", [*LIBRARIES, "jax", "dask"])
def test_the_first_of_equal_elements_has_the_derivative(lib):
    x = np.asarray([[1.0, 1.0, 0.0, 3.0, 3.0], [2.0, np.nan, 1.0, np.nan, 4.0]])
    with running(lib):
        own = library(lib)
        found = volta.grad(lambda x: F.sum(F.cumulative_max(x, axis=1)))(own.asarray(x))
        np.testing.assert_array_equal(own.host(found), [[3, 0, 0, 2, 0], [1, 4, 0, 0, 0]])
        found = volta.grad(lambda x: F.sum(F.cumulative_min(x, axis=1)))(own.asarray(x))
        np.testing.assert_array_equal(own.host(found), [[2, 0, 3, 0, 0], [1, 4, 0, 0, 0]])
        _, t = volta.jvp(lambda x: F.cumulative_max(x, axis=1), (own.asarray(x),), (found,))
        np.testing.assert_array_equal(own.host(t), [[2, 2, 2, 0, 0], [1, 4, 4, 4, 4]])


@pytest.mark.grad_check
def test_what_is_not_the_extremum_is_not_looked_at():
    x = np.asarray([1.0, 4.0, 0.0])  # √x has an infinite derivative at the last
    found = volta.grad(lambda x: F.sum(F.cumulative_max(F.sqrt(x))))(x)
    np.testing.assert_allclose(found, [0.5, 0.5, 0.0])


@pytest.mark.grad_check
@pytest.mark.parametrize("oracle", ["torch", "jax"])
@pytest.mark.parametrize(
    "x",
    [
        [1.0, -2.0, 3.0, 0.5],
        [-1000.0, -999.0, 0.0, 1000.0, 999.0],
        [700.0, -700.0, -np.inf, 701.0, 0.0],
    ],
    ids=str,
)
def test_derivatives_of_logarithms_of_sums_are_those_of_other_libraries(oracle, x):
    other = pytest.importorskip(oracle)
    x = np.asarray(x)
    weights = np.arange(1.0, x.size + 1)

    def weighted(x):
        return F.sum(F.cumulative_logsumexp(x) * weights)

    rows = [volta.grad(lambda x, i=i: volta.grad(weighted)(x)[i])(x) for i in range(x.size)]
    if oracle == "torch":
        t = other.asarray(x)

        def theirs(t):
            return (other.logcumsumexp(t, 0) * other.asarray(weights)).sum()

        first = other.autograd.functional.jacobian(theirs, t)
        second = other.autograd.functional.hessian(theirs, t)
    else:
        with other.enable_x64():

            def of_jax(x):
                return (other.lax.cumlogsumexp(x) * weights).sum()

            first, second = other.grad(of_jax)(x), other.hessian(of_jax)(x)
    np.testing.assert_allclose(volta.grad(weighted)(x), np.asarray(first), rtol=1e-12)
    if np.all(np.isfinite(np.asarray(second))):
        np.testing.assert_allclose(np.stack(rows), np.asarray(second), rtol=1e-10, atol=1e-14)


@pytest.mark.grad_check
@pytest.mark.parametrize("lib", LIBRARIES)
def test_sums_of_nothing_have_derivative_0(lib):
    own = library(lib)
    x = np.asarray([-np.inf, -np.inf, 0.0, -np.inf, 0.0])
    with quiet():
        out = F.cumulative_logsumexp(own.asarray(x))
        np.testing.assert_allclose(own.host(out), [-np.inf, -np.inf, 0, 0, np.log(2)])
        found = volta.grad(lambda x: F.sum(F.cumulative_logsumexp(x)))(own.asarray(x))
        np.testing.assert_allclose(own.host(found), [0, 0, 2.5, 0, 0.5])
        second = volta.grad(lambda x: volta.grad(lambda x: F.sum(F.cumulative_logsumexp(x)))(x)[2])(
            own.asarray(x)
        )
        np.testing.assert_allclose(own.host(second), [0, 0, 0.25, 0, -0.25])


@pytest.mark.parametrize("name", ACCUMULATED)
@pytest.mark.parametrize("lib", ["numpy", "torch"])
@pytest.mark.parametrize("dtype", HALVES)
def test_running_results_of_16_bit_floats(dtype, lib, name):
    own = library(lib)
    x = np.full(600, 0.5, getattr(ml_dtypes, dtype, dtype))
    out = getattr(F, name)(own.asarray(x))
    assert own.host(out).dtype == x.dtype
    found = own.host(volta.grad(lambda x: F.sum(getattr(F, name)(x)))(own.asarray(x)))
    assert found.dtype == x.dtype
    wide = x.astype(np.float32)
    one_rounding = {"rtol": float(ml_dtypes.finfo(x.dtype).eps)}
    np.testing.assert_allclose(
        own.host(out) * np.float32(1), getattr(F, name)(wide), **one_rounding
    )
    wanted = volta.grad(lambda x: F.sum(getattr(F, name)(x)))(wide)
    np.testing.assert_allclose(found * np.float32(1), wanted, **one_rounding)


@pytest.mark.parametrize("name", ACCUMULATED)
def test_running_results_of_nothing(name):
    x = np.zeros((2, 0))
    fun = getattr(F, name)
    assert fun(x, axis=1).shape == (2, 0)
    assert volta.grad(lambda x: F.sum(fun(x, axis=1)))(x).shape == (2, 0)
    assert volta.jvp(lambda x: fun(x, axis=1), (x,), (x,))[1].shape == (2, 0)
    assert fun(x, axis=0).shape == (2, 0)


@pytest.mark.parametrize("name", ACCUMULATED)
def test_running_results_of_other_dtypes(name):
    message = f"{name}: the dtype must be real"
    with pytest.raises(DTypeError, match=message):
        getattr(F, name)(strict.asarray([1j, 2j]))
    with pytest.raises(DimensionError, match=f"{name}: axis must be given .* got \\(\\)"):
        getattr(F, name)(np.asarray(1.0))
