"""Running sums and differences against array-api-strict, under every transform, and in 16 bits."""

import array_api_strict as strict
import ml_dtypes
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
    shapes,
    under,
)

import volta
import volta.functional as F
from volta.core.errors import DimensionError, ShapeError

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
