"""Convolution and correlation against NumPy on every library."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import HALVES, MODES, NUMERIC, assert_same, fill, library, running, seeds, under

import volta
import volta.functional as F

LIBRARIES = ("numpy", "array_api_strict", "torch")


@pytest.mark.parametrize("name", ["convolve", "correlate"])
@pytest.mark.parametrize("lib", [*LIBRARIES, "jax", "dask"])
def test_signals_are_numpys(lib, name):
    with running(lib):
        _compare(library(lib), name)


@given(data=st.data())
def _compare(lib, name, data):
    dtypes = [d for d in NUMERIC if d in lib.dtypes]
    dtype = data.draw(st.sampled_from(dtypes))
    other = data.draw(st.sampled_from(dtypes)) if lib.name == "numpy" else dtype
    n, m = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    a = fill(data.draw(seeds), (n,), dtype, -3, 3)
    v = fill(data.draw(seeds), (m,), other, -3, 3)
    mode = data.draw(st.sampled_from(["full", "same", "valid"]))

    def fun(a, v):
        return getattr(F, name)(a, v, mode)

    args = lib.asarray(a), lib.asarray(v)
    out = fun(*args)
    wanted = getattr(np, name)(a, v, mode)
    assert out.dtype == lib.asarray(wanted).dtype
    single = wanted.dtype in (np.float32, np.complex64)
    np.testing.assert_allclose(lib.host(out), wanted, **_close(single))
    (traced,) = under(data.draw(st.sampled_from(MODES)), fun, args)
    assert_same(traced[:0], out[:0], lib)
    np.testing.assert_allclose(lib.host(traced), wanted, **_close(single))


def _close(single):
    return {"rtol": 1e-4, "atol": 1e-4} if single else {"rtol": 1e-11, "atol": 1e-11}


@pytest.mark.grad_check
@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("batched", [(0, 0), (0, None), (None, 0), (1, None)])
@pytest.mark.parametrize("lengths", [(5, 3), (2, 4)])
def test_lanes_have_their_own_signals_and_gradients(lib, batched, lengths):
    own = library(lib)
    n, m = lengths
    shapes = [(n,), (m,)]
    for i, axis in enumerate(batched):
        if axis is not None:
            shapes[i] = (3, *shapes[i]) if axis == 0 else (*shapes[i], 3)
    a, v = (fill(i, s, "float64") for i, s in enumerate(shapes))
    gradient = volta.grad(lambda a, v: F.sum(F.correlate(a, v, "same") ** 3), (0, 1))
    found = volta.vmap(gradient, in_axes=batched)(own.asarray(a), own.asarray(v))

    def lane(x, axis, i):
        return x if axis is None else np.take(x, i, axis)

    for i in range(3):
        wanted = gradient(lane(a, batched[0], i), lane(v, batched[1], i))
        for f, w in zip(found, wanted, strict=True):
            np.testing.assert_allclose(own.host(f)[i], w, rtol=1e-12, atol=1e-12)


def test_lanes_of_a_traced_gradient():
    a, v = fill(0, (4, 3, 5), "float64"), fill(1, (3, 2), "float64")
    rows = volta.vmap(volta.vmap(F.convolve), in_axes=(0, None))
    wanted = np.stack([[np.convolve(a[i, j], v[j]) for j in range(3)] for i in range(4)])
    np.testing.assert_allclose(rows(a, v), wanted, rtol=1e-12)
    columns = volta.vmap(volta.vmap(F.convolve, in_axes=(None, 0)), in_axes=(0, None))
    wanted = np.stack([[np.convolve(a[i, 0], v[j]) for j in range(3)] for i in range(4)])
    np.testing.assert_allclose(columns(a[:, 0], v), wanted, rtol=1e-12)


@pytest.mark.parametrize("lib", ["numpy", "torch"])
@pytest.mark.parametrize("dtype", HALVES)
def test_16_bit_products_are_added_up_in_32(dtype, lib):
    own = library(lib)
    a = np.ones(3000, getattr(ml_dtypes, dtype, dtype))
    out = own.host(F.convolve(own.asarray(a), own.asarray(a[:2500])))
    assert out.dtype == a.dtype
    assert out[2600] == np.asarray(2500).astype(a.dtype)


def test_different_dtypes_are_promoted_and_have_their_own_gradients():
    a, v = np.ones(3), np.ones(2, np.complex64)
    assert F.convolve(a, v).dtype == np.complex128
    of_a, of_v = volta.grad(lambda a, v: F.sum(F.real(F.convolve(a, v))), (0, 1))(a, v)
    assert (of_a.dtype, of_v.dtype) == (np.float64, np.complex64)


@pytest.mark.grad_check
def test_gradients_are_torchs():
    torch = pytest.importorskip("torch")
    a, v, weights = fill(0, (6,), "float64"), fill(1, (3,), "float64"), fill(2, (4,), "float64")
    found = volta.grad(lambda a, v: F.sum(F.correlate(a, v) ** 2 * weights), (0, 1))(a, v)
    ta, tv = (torch.asarray(x).requires_grad_() for x in (a, v))
    out = torch.nn.functional.conv1d(ta[None, None], tv[None, None])[0, 0]
    (out**2 * torch.asarray(weights)).sum().backward()
    np.testing.assert_allclose(found[0], ta.grad, rtol=1e-12)
    np.testing.assert_allclose(found[1], tv.grad, rtol=1e-12)
