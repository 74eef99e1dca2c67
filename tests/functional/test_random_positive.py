"""Gamma numbers and their relatives: against JAX and SciPy, derivatives, transforms, errors."""

import numpy as np
import pytest
from draws import as_library, as_numpy, fits

import volta
import volta.functional as F
from volta.core.errors import BroadcastError, DTypeError, ShapeError
from volta.functional import random

A = np.asarray([0.01, 0.3, 0.9, 1.0, 2.5, 30.0, 1e4])
KEY = np.asarray([0, 1], np.uint32)


@pytest.fixture(params=["numpy", "array_api_strict", "torch"])
def xp(request):
    return pytest.importorskip(request.param)


@pytest.fixture
def jax():
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        yield jax


def test_equal_to_jax(jax, xp):
    key, other = random.key(7, xp=xp), jax.random.PRNGKey(7)
    for name, arguments in {
        "loggamma": (A,),
        "gamma": (A,),
        "chisquare": (A,),
        "t": (A[1:],),
        "beta": (A, np.asarray(2.0)),
        "dirichlet": (A,),
    }.items():
        shape = {"dirichlet": (60,), "t": (60, 6)}.get(name, (60, 7))
        own = [as_library(xp, a) for a in arguments]
        out = getattr(random, name)(key, *own, shape, "float64")
        expected = getattr(jax.random, name)(other, *arguments, shape)
        np.testing.assert_allclose(as_numpy(out), expected, rtol=1e-9, atol=1e-11, err_msg=name)


def test_derivative_keeps_the_probability():
    special = pytest.importorskip("scipy.special")
    a = np.broadcast_to([0.1, *A[1:]], (200, 7)).copy()

    def draw(a):
        return random.loggamma(random.key(3), a, dtype="float64")

    x = np.exp(draw(a))
    below, above = special.gammainc(a, x), special.gammaincc(a, x)

    def moved(b):
        inverses = special.gammaincinv(b, below), special.gammainccinv(b, above)
        return np.log(np.where(below < 0.5, *inverses))

    h = 1e-4 * a
    expected = 8 * (moved(a + h) - moved(a - h)) - (moved(a + 2 * h) - moved(a - 2 * h))
    expected /= 12 * h
    slope = volta.grad(lambda a: F.sum(draw(a)))(a)
    np.testing.assert_allclose(slope, expected, rtol=1e-5)
    _, tangent = volta.jvp(draw, (a,), (np.ones_like(a),))
    np.testing.assert_allclose(tangent, slope, rtol=1e-12)
    second = volta.grad(lambda a: F.sum(volta.grad(lambda a: F.sum(draw(a)))(a)))(a)
    h = 3e-3 * a
    expected = (moved(a + h) - 2 * moved(a) + moved(a - h)) / h**2
    np.testing.assert_allclose(second, expected, rtol=1e-3)


def test_derivative_of_the_mean(xp):
    a = as_library(xp, np.asarray([0.5, 3.0]))
    key = random.key(2, xp=xp)
    grads = volta.grad(lambda a: F.sum(F.mean(random.gamma(key, a, (4000, 2), "float64"), axis=0)))(
        a
    )
    np.testing.assert_allclose(as_numpy(grads), [1.0, 1.0], atol=0.06)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_relatives_are_differentiable(dtype):
    a = np.asarray([0.5, 2.0, 7.0], dtype)
    for draw in [
        lambda a: F.sum(random.beta(KEY, a, 2.0, (50, 3), dtype)),
        lambda a: F.sum(random.beta(KEY, 2.0, a, (50, 3), dtype)),
        lambda a: F.sum(random.dirichlet(KEY, a, (50,), dtype)[:, 0]),
        lambda a: F.sum(random.chisquare(KEY, a, (50, 3), dtype)),
        lambda a: F.sum(random.t(KEY, a, (50, 3), dtype)),
    ]:
        grads = volta.grad(draw)(a)
        assert grads.dtype == dtype
        assert np.all(np.isfinite(grads))
        assert np.all(grads != 0)
    rise = volta.grad(lambda a: F.sum(random.beta(KEY, a, 2.0, (50, 3))))(a)
    fall = volta.grad(lambda a: F.sum(random.beta(KEY, 2.0, a, (50, 3))))(a)
    assert np.all(rise > 0)
    assert np.all(fall < 0)


@pytest.mark.parametrize(
    ("draw", "distribution"),
    [
        (lambda k: random.gamma(k, 0.4, 4000, "float64"), ("gamma", 0.4)),
        (lambda k: random.gamma(k, 12.0, 4000, "float64"), ("gamma", 12.0)),
        (lambda k: random.chisquare(k, 3.0, 4000, "float64"), ("chi2", 3.0)),
        (lambda k: random.t(k, 3.0, 4000, "float64"), ("t", 3.0)),
        (lambda k: random.beta(k, 0.5, 2.0, 4000, "float64"), ("beta", 0.5, 2.0)),
    ],
)
def test_fit(draw, distribution):
    stats = pytest.importorskip("scipy.stats")
    name, *parameters = distribution
    assert fits(draw(random.key(21)), lambda x: getattr(stats, name).cdf(x, *parameters))


def test_dirichlet_sums_to_one():
    drawn = random.dirichlet(random.key(4), np.asarray([1.0, 2.0, 5.0]), 20000, "float64")
    np.testing.assert_allclose(drawn.sum(axis=-1), 1.0)
    np.testing.assert_allclose(drawn.mean(axis=0), [0.125, 0.25, 0.625], atol=0.01)


@pytest.mark.parametrize("in_axes", [(0, 0), (0, None), (None, 0)])
def test_vmap(xp, in_axes):
    keys = random.split(random.key(5, xp=xp), 3)
    a = as_library(xp, np.asarray([[0.5, 2.0], [1.0, 9.0], [0.2, 3.0]]))
    operands = [x if axis == 0 else x[0, :] for x, axis in zip((keys, a), in_axes, strict=True)]

    def draw(key, a):
        return random.gamma(key, a, (4, 2), "float64")

    out = volta.vmap(draw, in_axes=in_axes)(*operands)
    for i in range(3):
        lane = [x[i, :] if axis == 0 else x for x, axis in zip(operands, in_axes, strict=True)]
        np.testing.assert_allclose(as_numpy(out)[i], as_numpy(draw(*lane)), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bits(dtype):
    drawn = random.gamma(random.key(1), 2.0, 500, dtype)
    assert drawn.dtype.name == dtype
    wide = random.gamma(random.key(1), 2.0, 500, "float32")
    np.testing.assert_allclose(drawn.astype(np.float32), wide, rtol=0.05)


def test_nothing_and_no_number():
    assert random.gamma(KEY, np.ones((0, 2))).shape == (0, 2)
    drawn = random.gamma(KEY, np.asarray([np.nan, 1.0]))
    assert np.isnan(drawn[0])
    assert np.isfinite(drawn[1])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: random.gamma(KEY, [1.0]), DTypeError, "gamma: a must be a real number or array"),
        (lambda: random.gamma(KEY, 1j), DTypeError, "gamma: a must be a real number or array"),
        (
            lambda: random.gamma(KEY, np.ones(3), ()),
            ShapeError,
            r"gamma: a must broadcast to the shape; got \(3,\) and \(\)",
        ),
        (
            lambda: random.gamma(KEY, 1.0, (), "int32"),
            DTypeError,
            "gamma: dtype must be real floating; got int32",
        ),
        (
            lambda: random.beta(KEY, np.ones(3), np.ones(2)),
            BroadcastError,
            "beta: the shapes must broadcast together",
        ),
        (
            lambda: random.beta(KEY, 1.0, np.ones(2), ()),
            ShapeError,
            "beta: b must broadcast to the shape",
        ),
        (
            lambda: random.dirichlet(KEY, 1.0),
            ShapeError,
            r"dirichlet: alpha must have one axis or more; got shape \(\)",
        ),
        (
            lambda: random.dirichlet(KEY, np.ones((2, 3)), (3,)),
            BroadcastError,
            "dirichlet: the shapes must broadcast together",
        ),
        (
            lambda: random.chisquare(KEY, np.ones(3), ()),
            ShapeError,
            "chisquare: df must broadcast to the shape",
        ),
        (
            lambda: random.t(KEY, np.ones(3), ()),
            ShapeError,
            "t: df must broadcast to the shape",
        ),
        (
            lambda: random.loggamma(np.zeros(2), 1.0),
            DTypeError,
            "loggamma: key must be a uint32 array",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
