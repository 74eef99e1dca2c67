"""Continuous distributions with parameters: against JAX and SciPy, derivatives, edges, errors."""

import math

import numpy as np
import pytest
from draws import as_library, as_numpy, fits

import volta
import volta.functional as F
from volta.core.errors import BroadcastError, DTypeError, ShapeError
from volta.functional import random

stats = pytest.importorskip("scipy.stats")
KEY = np.asarray([0, 1], np.uint32)
NAN, INF = np.nan, np.inf

# names with parameters, and SciPy's distribution of them
FAMILIES = {
    "lognormal": ((0.7,), stats.lognorm(0.7)),
    "pareto": ((2.5,), stats.pareto(2.5)),
    "rayleigh": ((2.0,), stats.rayleigh(scale=2.0)),
    "weibull_min": ((1.5, 0.7), stats.weibull_min(0.7, scale=1.5)),
    "triangular": ((-1.0, 0.5, 2.0), stats.triang(0.5, loc=-1.0, scale=3.0)),
    "maxwell": ((), stats.maxwell()),
    "wald": ((2.0,), stats.invgauss(2.0)),
    "f": ((3.0, 5.0), stats.f(3.0, 5.0)),
    "generalized_normal": ((3.0,), stats.gennorm(3.0)),
}
# what has the number of coordinates, or a shape of its own
OTHERS = {"ball": (3, 1.5), "double_sided_maxwell": (1.0, 2.0)}
ARGUMENTS = {**{name: args for name, (args, _) in FAMILIES.items()}, **OTHERS}


@pytest.fixture(params=["numpy", "array_api_strict", "torch"])
def xp(request):
    return pytest.importorskip(request.param)


def draw(name, key, shape, dtype=None, args=None):
    args = ARGUMENTS[name] if args is None else args
    return getattr(random, name)(key, *args, shape=shape, dtype=dtype)


# Distributions -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ARGUMENTS)
def test_equals_jax(name):
    jax = pytest.importorskip("jax")
    expected = draw_jax(jax, name)
    drawn = draw(name, random.key(7), 300, "float32")
    np.testing.assert_allclose(drawn, expected, rtol=2e-5)
    assert drawn.dtype == np.float32


def draw_jax(jax, name):
    args = [jax.numpy.asarray(a) if type(a) is float else a for a in ARGUMENTS[name]]
    return getattr(jax.random, name)(jax.random.PRNGKey(7), *args, shape=(300,))


@pytest.mark.parametrize("name", FAMILIES)
def test_fit(name):
    drawn = draw(name, random.key(24), 5000, "float64")
    points = np.sort(drawn)
    assert fits(points, dict(zip(points, FAMILIES[name][1].cdf(points), strict=True)).__getitem__)


@pytest.mark.parametrize(
    ("name", "args", "distribution"),
    [
        ("wald", (0.05,), stats.invgauss(0.05)),
        ("wald", (400.0,), stats.invgauss(400.0)),
        ("generalized_normal", (INF,), stats.uniform(-1, 2)),
        ("generalized_normal", (0.5,), stats.gennorm(0.5)),
        ("generalized_normal", (2.0,), stats.norm(scale=math.sqrt(0.5))),
        ("triangular", (0.0, 0.0, 1.0), stats.triang(0.0)),
        ("triangular", (0.0, 1.0, 1.0), stats.triang(1.0)),
        ("double_sided_maxwell", (1.0, 2.0), None),
    ],
)
def test_fit_elsewhere(name, args, distribution):
    points = np.sort(draw(name, random.key(23), 5000, "float64", args))
    if distribution is None:
        z = (points - 1.0) / 2.0
        below = 0.5 + 0.5 * np.sign(z) * stats.maxwell.cdf(np.abs(z))
    else:
        below = distribution.cdf(points)
    assert fits(points, dict(zip(points, below, strict=True)).__getitem__)


@pytest.mark.parametrize("p", [0.7, 1.0, 2.0, INF])
@pytest.mark.parametrize("d", [1, 3])
def test_ball_is_evenly_filled(d, p):
    drawn = random.ball(random.key(10), d, p, 4000, "float64")
    assert drawn.shape == (4000, d)
    length = (
        np.linalg.norm(drawn, ord=p, axis=-1)
        if p >= 1
        else (np.abs(drawn) ** p).sum(axis=-1) ** (1 / p)
    )
    assert fits(length, lambda r: min(r, 1.0) ** d)  # the volume within a length
    assert np.all(np.abs((drawn > 0).mean(axis=0) - 0.5) < 0.03)


# Libraries and dtypes --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ARGUMENTS)
def test_same_on_every_library(xp, name):
    key = random.key(3, xp=xp)
    drawn = draw(name, key, 200, "float64")
    assert type(drawn) is type(key)
    expected = draw(name, random.key(3), 200, "float64")
    np.testing.assert_allclose(as_numpy(drawn), expected, rtol=1e-11)
    args = [as_library(xp, np.asarray(a)) if type(a) is float else a for a in ARGUMENTS[name]]
    np.testing.assert_allclose(
        as_numpy(draw(name, key, 200, "float64", args)), expected, rtol=1e-11
    )


def test_jax_arrays():
    jnp = pytest.importorskip("jax.numpy")
    key = random.key(3, xp=jnp)
    for name in ("weibull_min", "wald"):
        drawn = draw(name, key, 20, None, [jnp.asarray(a) for a in ARGUMENTS[name]])
        assert type(drawn) is type(key)
        np.testing.assert_allclose(drawn, draw(name, random.key(3), 20), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ARGUMENTS)
def test_sixteen_bits(name, dtype):
    drawn = draw(name, KEY, 500, dtype)
    assert drawn.dtype.name == dtype
    assert np.all(np.isfinite(drawn.astype(np.float32)))
    wide = np.median(np.abs(draw(name, KEY, 500, "float32")))
    np.testing.assert_allclose(np.median(np.abs(drawn.astype(np.float32))), wide, rtol=0.15)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_rank_0_and_nothing(name):
    shape = (3,) if name == "ball" else ()
    for _ in range(4):  # NumPy's scalars are dealt with faster once they have been seen
        drawn = draw(name, KEY, ())
        assert (type(drawn), drawn.shape, drawn.dtype) == (np.ndarray, shape, np.float32)
    assert draw(name, KEY, (0, 2)).shape == (0, 2, *shape)


def test_default_shapes():
    a, b = np.ones((2, 1)), np.ones(3)
    assert random.lognormal(KEY).shape == ()
    assert random.weibull_min(KEY, a, b).shape == (2, 3)
    assert random.triangular(KEY, -a, 0.0, b).shape == (2, 3)
    assert random.f(KEY, a, b).shape == (2, 3)
    assert random.generalized_normal(KEY, a).shape == (2, 1)
    assert random.double_sided_maxwell(KEY, a, b, (4,)).shape == (4, 2, 3)
    assert random.ball(KEY, 0).shape == (0,)
    # numbers of their own for each parameter
    assert np.unique(random.weibull_min(KEY, np.ones(50), 1.0)).size == 50


@pytest.mark.parametrize("in_axes", [(0, 0), (0, None), (None, 0)])
@pytest.mark.parametrize("name", ["rayleigh", "wald", "generalized_normal"])
def test_vmap(xp, name, in_axes):
    keys = random.split(random.key(5, xp=xp), 3)
    a = as_library(xp, np.asarray([[0.5, 2.0], [1.0, 9.0], [0.2, 3.0]]))
    operands = [x if axis == 0 else x[0, :] for x, axis in zip((keys, a), in_axes, strict=True)]

    def drawn(key, a):
        return draw(name, key, (4, 2), "float64", (a,))

    out = as_numpy(volta.vmap(drawn, in_axes=in_axes)(*operands))
    for i in range(3):
        lane = [x[i, :] if axis == 0 else x for x, axis in zip(operands, in_axes, strict=True)]
        np.testing.assert_allclose(out[i], as_numpy(drawn(*lane)), rtol=1e-12)


# Derivatives -----------------------------------------------------------------------------------


def test_wald_derivative_keeps_the_probability():
    mean = np.broadcast_to([0.05, 0.8, 3.0, 200.0], (200, 4)).copy()

    def drawn(mean):
        return random.wald(random.key(3), mean, dtype="float64")

    x = drawn(mean)
    below, above = stats.invgauss.cdf(x, mean), stats.invgauss.sf(x, mean)

    def moved(m):
        return np.where(below < 0.5, stats.invgauss.ppf(below, m), stats.invgauss.isf(above, m))

    h = 1e-4 * mean
    expected = 8 * (moved(mean + h) - moved(mean - h)) - (moved(mean + 2 * h) - moved(mean - 2 * h))
    slope = volta.grad(lambda m: F.sum(drawn(m)))(mean)
    np.testing.assert_allclose(slope, expected / (12 * h), rtol=1e-5)


def test_wald_derivative_of_the_mean():
    mean = np.asarray([0.5, 2.0])
    rise = volta.grad(lambda m: F.sum(F.mean(random.wald(KEY, m, (20000, 2), "float64"), axis=0)))
    np.testing.assert_allclose(rise(mean), 1.0, atol=0.1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_derivatives_are_finite(dtype):
    def total(name, *args):
        return lambda a: F.sum(draw(name, KEY, (2000, 2), dtype, [a, *args]))

    a = np.asarray([0.5, 2.0], dtype)
    for drawn in (
        total("lognormal"),
        total("pareto"),
        total("rayleigh"),
        total("weibull_min", 1.0),
        lambda a: F.sum(random.weibull_min(KEY, 1.0, a, (2000, 2), dtype)),
        total("triangular", 2.0, 2.5),
        total("triangular", 2.5, 2.5),
        lambda a: F.sum(random.triangular(KEY, a, a, 2.5, (2000, 2), dtype)),
        lambda a: F.sum(random.triangular(KEY, 0.5, 2.0, a, (2000, 2), dtype)[:, 1]),
        total("wald"),
        total("f", 3.0),
        total("generalized_normal"),
        lambda a: F.sum(random.ball(KEY, 3, a, (2000, 2), dtype) ** 2),
        lambda a: F.sum(random.double_sided_maxwell(KEY, a, a, 2000, dtype)),
    ):
        grads = volta.grad(drawn)(a)
        assert grads.dtype == dtype
        assert np.all(np.isfinite(grads))
        assert grads[1] != 0


def test_derivatives_of_infinite_exponents_and_empty_intervals():
    p = np.asarray(INF)
    for drawn in (
        lambda p: F.sum(random.ball(KEY, 3, p, 9, "float64")),
        lambda p: F.sum(random.generalized_normal(KEY, p, 9, "float64")),
    ):
        np.testing.assert_array_equal(volta.grad(drawn)(p), 0.0)
    point = volta.grad(lambda x: F.sum(random.triangular(KEY, x, x, x, 9, "float64")))
    np.testing.assert_array_equal(point(np.asarray(2.0)), 9.0)


# Edges and errors ------------------------------------------------------------------------------


def test_triangular_of_no_interval():
    left = np.asarray([0.0, 1.0, 0.0, NAN, 2.0])
    mode = np.asarray([-1.0, 1.5, 2.0, 1.0, 2.0])
    right = np.asarray([1.0, 1.2, 1.0, 2.0, 2.0])
    drawn = random.triangular(KEY, left, mode, right)
    np.testing.assert_array_equal(drawn, np.asarray([NAN, NAN, NAN, NAN, 2.0]))


@pytest.mark.parametrize("name", ["lognormal", "rayleigh", "wald", "generalized_normal", "pareto"])
def test_no_number(name):
    drawn = draw(name, KEY, None, None, (np.asarray([NAN, 1.0]),))
    np.testing.assert_array_equal(np.isnan(drawn), [True, False])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        *(
            (
                lambda name=name: draw(name, KEY, (), "int32"),
                DTypeError,
                f"{name}: dtype must be real floating; got int32",
            )
            for name in ARGUMENTS
        ),
        *(
            (
                lambda name=name: draw(name, np.zeros(2), ()),
                DTypeError,
                f"{name}: key must be a uint32 array",
            )
            for name in ARGUMENTS
        ),
        (
            lambda: random.lognormal(KEY, [1.0]),
            DTypeError,
            "lognormal: sigma must be a real number or array",
        ),
        (
            lambda: random.weibull_min(KEY, 1.0, np.ones(3), ()),
            ShapeError,
            r"weibull_min: concentration must broadcast to the shape; got \(3,\) and \(\)",
        ),
        (
            lambda: random.triangular(KEY, np.ones(3), np.ones(2), 1.0),
            BroadcastError,
            "triangular: the shapes must broadcast together",
        ),
        (
            lambda: random.double_sided_maxwell(KEY, 0.0, 1j),
            DTypeError,
            "double_sided_maxwell: scale must be a real number or array",
        ),
        (lambda: random.maxwell(KEY, -1), ShapeError, "maxwell: lengths must not be negative"),
        (lambda: random.ball(KEY, 2.5), DTypeError, "ball: a length must be an integer; got 2.5"),
        (lambda: random.ball(KEY, -1), ShapeError, "ball: lengths must not be negative"),
        (
            lambda: random.ball(KEY, 3, np.ones(2)),
            ShapeError,
            r"ball: p must broadcast to the shape; got \(2,\) and \(\)",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
