"""Interpolation and polynomials against NumPy, and at the kinks and ends."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import MODES, assert_same, fill, full_shapes, library, seeds, under

import volta
import volta.functional as F
from volta.core.errors import BroadcastError, ShapeError

LIBRARIES = ("numpy", "array_api_strict", "torch")


# Interpolation ------------------------------------------------------------------------------------


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_interpolation_is_numpys(lib, data):
    lib = library(lib)
    n = data.draw(st.integers(1, 6))
    xp = fill(data.draw(seeds), (n,), "float64", -4, 4)
    period = data.draw(st.sampled_from([None, 3.0, -2.5]))
    if period is None:
        xp = np.sort(xp)
    fp = fill(data.draw(seeds), (n,), data.draw(st.sampled_from(["float64", "complex128"])))
    x = fill(data.draw(seeds), data.draw(full_shapes), "float64", -5, 5)
    if data.draw(st.booleans()):  # at the points too
        infinite = [np.inf, -np.inf] if period is None else []
        missing = [np.nan] if n > 1 else []  # of one point NumPy's result is its value even then
        x = np.concatenate([x.ravel(), xp, infinite, missing])
    ends = {"left": -7.0, "right": 9.0} if data.draw(st.booleans()) else {}

    def fun(x, xp, fp):
        return F.interp(x, xp, fp, period=period, **ends)

    args = tuple(map(lib.asarray, (x, xp, fp)))
    out = fun(*args)
    wanted = np.asarray(np.interp(x, xp, fp, period=period, **ends))
    assert out.dtype == lib.asarray(wanted).dtype
    np.testing.assert_allclose(lib.host(out), wanted, rtol=1e-9, atol=1e-12)
    (traced,) = under(data.draw(st.sampled_from(MODES)), fun, args)
    assert_same(traced, out, lib, ulps=4)


def test_interpolation_at_a_point_is_its_value():
    xp = np.asarray([0.1, 0.3, 0.7, 1.9])
    fp = np.asarray([0.3, 1e9, 0.1, 1 / 3])
    np.testing.assert_array_equal(F.interp(xp, xp, fp), fp)
    same = np.full(4, 0.1)
    np.testing.assert_array_equal(F.interp(np.linspace(0, 2, 77), xp, same), np.full(77, 0.1))


def test_interpolation_of_a_step():
    xp = np.asarray([0.0, 1.0, 1.0, 2.0])
    fp = np.asarray([0.0, 1.0, 5.0, 6.0])
    x = np.asarray([0.5, 1.0, 1.5])
    np.testing.assert_array_equal(F.interp(x, xp, fp), np.interp(x, xp, fp))
    ends = np.asarray([1.0, 1.0])
    assert F.interp(1.0, ends, np.asarray([2.0, 3.0])) == 3.0
    grads = volta.grad(lambda x, xp, fp: F.interp(x, xp, fp), (0, 1, 2))(
        np.asarray(1.0), ends, np.asarray([2.0, 3.0])
    )
    assert all(np.all(np.isfinite(g)) for g in grads)


@pytest.mark.grad_check
@pytest.mark.parametrize("lib", LIBRARIES)
def test_the_derivative_of_interpolation_is_the_slope_after(lib):
    own = library(lib)
    xp, fp = np.asarray([0.0, 1.0, 3.0]), np.asarray([2.0, 4.0, 5.0])
    x = np.asarray([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0, np.inf, -np.inf])
    slope = volta.grad(lambda x: F.sum(F.interp(x, own.asarray(xp), own.asarray(fp))))
    wanted = [0, 2, 2, 0.5, 0.5, 0.5, 0, 0, 0]
    np.testing.assert_array_equal(own.host(slope(own.asarray(x))), wanted)
    by_points = volta.grad(lambda xp, fp: F.sum(F.interp(own.asarray(x), xp, fp)), (0, 1))
    of_xp, of_fp = by_points(own.asarray(xp), own.asarray(fp))
    np.testing.assert_array_equal(own.host(of_fp), [1 + 1 + 1 + 0.5, 0.5 + 1 + 0.5, 0.5 + 1 + 2])
    np.testing.assert_allclose(own.host(of_xp), [-1 - 2, -1 - 0.5 - 0.25, -0.5 - 0.25])


@pytest.mark.grad_check
def test_interpolation_against_jax():
    jax = pytest.importorskip("jax")
    x = np.asarray([-1.0, 0.2, 1.7, 2.9, 4.4])
    xp, fp = np.asarray([0.0, 1.0, 3.0]), np.asarray([2.0, 4.0, 5.0])
    with jax.enable_x64():
        for period in (None, 3.7):

            def theirs(x, xp, fp, p=period):
                return jax.numpy.sum(jax.numpy.interp(x, xp, fp, period=p) ** 2)

            def ours(x, xp, fp, p=period):
                return F.sum(F.interp(x, xp, fp, period=p) ** 2)

            wanted = jax.grad(theirs, (0, 1, 2))(x, xp, fp)
            for found, w in zip(volta.grad(ours, (0, 1, 2))(x, xp, fp), wanted, strict=True):
                np.testing.assert_allclose(found, w, rtol=1e-12, atol=1e-14)


def test_interpolation_by_numbers():
    out = F.interp(2.0, np.asarray([1.0, 3.0]), np.asarray([0.0, 10.0]))
    assert (type(out), out) == (np.ndarray, 5.0)


@pytest.mark.parametrize("period", [0, np.asarray(0.0)])
def test_interpolation_refuses(period):
    one = np.ones(1)
    with pytest.raises(ShapeError, match=r"which is not 0; got shapes \(0,\) and \(0,\)"):
        F.interp(one, np.ones(0), np.ones(0))
    if not hasattr(period, "dtype"):
        with pytest.raises(ValueError, match="period must not be 0"):
            F.interp(one, one, one, period=period)


# Polynomials --------------------------------------------------------------------------------------


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_polynomials_are_numpys(lib, data):
    lib = library(lib)
    dtypes = st.sampled_from(["float64", "complex128"])
    p = fill(data.draw(seeds), (data.draw(st.integers(0, 5)),), data.draw(dtypes))
    x = fill(data.draw(seeds), data.draw(full_shapes), data.draw(dtypes))
    args = lib.asarray(p), lib.asarray(x)
    out = F.polyval(*args)
    np.testing.assert_allclose(lib.host(out), np.polyval(p, x), rtol=1e-12, atol=1e-13)
    assert tuple(out.shape) == x.shape
    if p.size:
        (traced,) = under(data.draw(st.sampled_from(MODES)), F.polyval, args)
        assert_same(traced, out, lib, ulps=4)


def test_a_polynomial_of_a_number():
    assert F.polyval(np.asarray([3.0, 0.0, 1.0]), 2) == 13.0
    assert volta.grad(lambda x: F.polyval(np.asarray([3.0, 0.0, 1.0]), x))(np.asarray(2.0)) == 12.0


def test_polynomials_side_by_side():
    p, x = fill(0, (4, 3), "float64"), fill(1, (5, 1), "float64")
    wanted = np.stack([np.polyval(p[:, i], x[:, 0]) for i in range(3)], axis=1)
    np.testing.assert_allclose(F.polyval(p, x), wanted)
    with pytest.raises(BroadcastError, match="shapes must broadcast together"):
        F.polyval(p, np.ones(2))
