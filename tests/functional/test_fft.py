"""Fourier transforms against array-api-strict and NumPy, under every transform."""

import pickle

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import MODES, assert_same, fill, library, raw, seeds, under

import volta
import volta.functional as F
from volta.core.dispatch import library_for
from volta.core.errors import DTypeError, ShapeError
from volta.functional.namespace import namespace

LIBRARIES = ("numpy", "array_api_strict", "torch")
NORMS = ("backward", "ortho", "forward")
COMPLEX_IN = ("fft", "ifft", "irfft", "hfft")
REAL_IN = ("rfft", "ihfft")


LIBRARY = pytest.mark.parametrize("library_name", LIBRARIES)


@pytest.fixture(params=LIBRARIES)
def lib(request):
    return library(request.param)


def compare(name, lib, x, **options):
    function, oracle = getattr(F.fft, name), getattr(strict.fft, name)
    wanted = np.asarray(oracle(strict.asarray(x), **options))
    mine = lib.asarray(x)
    assert_same(function(mine, **options), wanted, lib, ulps=512)
    for mode in MODES:
        (out,) = under(mode, lambda a: function(a, **options), (mine,))
        assert_same(out, wanted, lib, ulps=512)


@LIBRARY
@pytest.mark.parametrize("name", [*COMPLEX_IN, *REAL_IN])
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple),
    seed=seeds,
    wide=st.booleans(),
    norm=st.sampled_from(NORMS),
    n=st.none() | st.integers(1, 7),
    data=st.data(),
)
def test_transforms_along_an_axis(name, library_name, shape, seed, wide, norm, n, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    if n is None and name in ("irfft", "hfft") and shape[axis] == 1:
        n = 1
    kind = ("complex128" if wide else "complex64") if name in COMPLEX_IN else "float64"
    if name in REAL_IN and not wide:
        kind = "float32"
    compare(name, library(library_name), fill(seed, shape, kind), n=n, axis=axis, norm=norm)


@LIBRARY
@pytest.mark.parametrize("name", ["fftn", "ifftn", "rfftn", "irfftn"])
@given(
    shape=st.lists(st.integers(2, 4), min_size=2, max_size=3).map(tuple),
    seed=seeds,
    norm=st.sampled_from(NORMS),
    data=st.data(),
)
def test_transforms_along_axes(name, library_name, shape, seed, norm, data):
    some = st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True)
    axes = data.draw(st.none() | some)
    count = len(shape) if axes is None else len(axes)
    s = data.draw(st.none() | st.lists(st.integers(1, 5), min_size=count, max_size=count))
    kind = "float64" if name == "rfftn" else "complex128"
    if s is not None and axes is None:
        axes = list(range(len(shape)))
    compare(name, library(library_name), fill(seed, shape, kind), s=s, axes=axes, norm=norm)


def test_s_alone_is_for_the_last_axes():
    x = fill(1, (2, 3, 4), "complex128")
    np.testing.assert_allclose(F.fft.fftn(x, s=(3, 4)), np.fft.fftn(x, s=(3, 4), axes=(1, 2)))


@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "ihfft"])
def test_integers_and_16_bit_floats(lib, name):
    x = np.asarray([1, 2, 4, 3])
    default = np.float64 if lib.name != "torch" else np.float32
    out = getattr(F.fft, name)(lib.asarray(x))
    wanted = np.asarray(getattr(np.fft, name)(x.astype(default)))
    np.testing.assert_allclose(lib.host(out), wanted, rtol=1e-6)
    assert str(out.dtype).endswith("complex128" if default is np.float64 else "complex64")
    if lib.name != "array_api_strict":
        out = getattr(F.fft, name)(lib.asarray(x.astype(np.float16)))
        np.testing.assert_allclose(lib.host(out), wanted, rtol=1e-6)
        assert str(out.dtype).endswith("complex64")


@given(
    shape=st.lists(st.integers(0, 5), min_size=1, max_size=3).map(tuple), seed=seeds, data=st.data()
)
@LIBRARY
@pytest.mark.parametrize("name", ["fftshift", "ifftshift"])
def test_shifts(name, library_name, shape, seed, data):
    axes = data.draw(st.none() | st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True))
    compare(name, library(library_name), fill(seed, shape, "float64"), axes=axes)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
@pytest.mark.parametrize("name", ["fftfreq", "rfftfreq"])
def test_frequencies(lib, name, n):
    wanted = getattr(np.fft, name)(n, d=0.25)
    function = getattr(F.fft, name)
    out = function(n, d=0.25, xp=lib.xp)
    assert isinstance(out, lib.kind)
    np.testing.assert_allclose(lib.host(out), wanted.astype(np.float32))
    assert_same(function(n, d=0.25, dtype=F.float64, xp=lib.xp), wanted, lib)


def test_frequencies_of_a_view_are_its_librarys(lib):
    xp = namespace(library_for(lib.xp))
    assert xp.fft.fftfreq(4).dtype == xp.zeros(1).dtype
    assert isinstance(raw(xp.fft.rfftfreq(4)), lib.kind)
    assert pickle.loads(pickle.dumps(xp.fft)) is xp.fft
    with pytest.raises(DTypeError, match=r"^fftfreq: the dtype must be real floating; got int64"):
        xp.fft.fftfreq(4, dtype=F.int64)
    with pytest.raises(ShapeError, match=r"^rfftfreq: a transform must have a length of 1 or more"):
        xp.fft.rfftfreq(0)


@pytest.mark.parametrize("oracle", ["torch", "jax"])
@pytest.mark.parametrize("n", [4, 5])
@pytest.mark.parametrize("norm", NORMS)
def test_gradients_are_those_of_other_libraries(oracle, n, norm):
    other = pytest.importorskip(oracle)
    weights = fill(3, (2, n // 2 + 1), "float64")
    x = fill(2, (2, n), "float64")

    def loss(x, rfft, irfft, size):
        spectrum = rfft(x, norm=norm)
        back = irfft(spectrum * (1 + 0.5j) * weights, n=n, norm=norm)
        return size(back * spectrum.real[..., :1] ** 2)

    found = volta.grad(lambda x: loss(x, F.fft.rfft, F.fft.irfft, F.sum))(x)
    if oracle == "torch":
        t = other.asarray(x, dtype=other.float64).requires_grad_(True)
        weights = other.asarray(weights)
        loss(t, other.fft.rfft, other.fft.irfft, other.sum).backward()
        wanted = t.grad.numpy()
    else:
        with other.enable_x64():
            jnp = other.numpy
            wanted = other.grad(lambda x: loss(x, jnp.fft.rfft, jnp.fft.irfft, jnp.sum))(x)
    np.testing.assert_allclose(found, np.asarray(wanted), rtol=1e-9, atol=1e-12)
