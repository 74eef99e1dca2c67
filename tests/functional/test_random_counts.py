"""Poisson, binomial, geometric and multinomial numbers: against SciPy and JAX, edges, errors."""

import numpy as np
import pytest
from draws import as_library, as_numpy

import volta
import volta.functional as F
from volta.core.errors import BroadcastError, DTypeError, ShapeError
from volta.core.types import DTYPES
from volta.functional import random
from volta.functional.random import counts

stats = pytest.importorskip("scipy.stats")
KEY = np.asarray([0, 1], np.uint32)
NAN, INF = np.nan, np.inf
MOST = 2**63 - 2**10  # the largest int64 that a float64 holds


@pytest.fixture(params=["numpy", "array_api_strict", "torch"])
def xp(request):
    return pytest.importorskip(request.param)


def follows(sample, distribution):
    """Whether Pearson's chi-square statistic of some forty classes is below its 0.1 % point."""
    low, high = int(distribution.ppf(1e-4)), int(distribution.ppf(1 - 1e-4))
    ends = np.arange(low, high + 1, max(1, (high - low) // 40))
    expected = sample.size * np.diff([0.0, *distribution.cdf(ends), 1.0])
    found = np.bincount(np.searchsorted(ends, sample), minlength=expected.size)
    many = expected >= 5
    found, expected = (np.append(x[many], x[~many].sum()) for x in (found, expected))
    if expected[-1] < 1e-9:
        assert found[-1] == 0
        found, expected = found[:-1], expected[:-1]
    statistic = np.sum((found - expected) ** 2 / expected)
    return stats.chi2.sf(statistic, max(expected.size - 1, 1)) > 1e-3


# Distributions -------------------------------------------------------------------------------


@pytest.mark.parametrize("lam", [0.01, 1.0, 9.99, 10.0, 12.5, 60.0, 1e4, 1e6, 1e9])
def test_poisson_follows(lam):
    drawn = random.poisson(random.key(11), lam, 60000)
    assert drawn.dtype == np.int64
    assert follows(drawn, stats.poisson(lam))


@pytest.mark.parametrize(
    ("n", "p"),
    [
        (1, 0.3),
        (20, 0.45),
        (20, 0.5),
        (60, 0.8),
        (100, 0.1),
        (1000, 0.5),
        (10**6, 1e-6),
        (10**6, 0.3),
        (10**6, 1 - 2e-5),
        (10**11, 0.5),
    ],
)
def test_binomial_follows(n, p):
    assert follows(random.binomial(random.key(12), n, p, 60000), stats.binom(n, p))


@pytest.mark.parametrize("p", [1e-5, 0.01, 0.2, 0.95])
def test_geometric_follows(p):
    assert follows(random.geometric(random.key(13), p, 60000), stats.geom(p))


def test_geometric_equals_jax():
    jax = pytest.importorskip("jax")
    p = np.asarray([0.01, 0.3, 0.9])
    with jax.enable_x64(True):
        expected = jax.random.geometric(jax.random.PRNGKey(7), p, (2000, 3))
    np.testing.assert_array_equal(random.geometric(random.key(7), p, (2000, 3)), expected)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_multinomial_follows(k):
    p = np.asarray([0.3, 0.0, 0.45, 0.05, 0.2])[:k]
    drawn = random.multinomial(random.key(14), 30, p, shape=20000)
    np.testing.assert_array_equal(drawn.sum(axis=-1), 30)
    for i, share in enumerate(p / p.sum()):
        assert follows(drawn[:, i], stats.binom(30, share))
    if k == 5:
        expected = 30 * (np.diag(p) - np.outer(p, p))
        np.testing.assert_allclose(np.cov(drawn.T), expected, atol=0.15)


MIXED = np.asarray([3.0, 40.0])


def test_libraries_draw_the_same(xp):
    drawn = random.poisson(random.key(15, xp=xp), as_library(xp, MIXED), (500, 2))
    assert type(drawn) is type(random.key(15, xp=xp))
    np.testing.assert_array_equal(as_numpy(drawn), random.poisson(random.key(15), MIXED, (500, 2)))
    drawn = random.binomial(random.key(15, xp=xp), as_library(xp, MIXED), 0.4, (500, 2))
    expected = random.binomial(random.key(15), MIXED, 0.4, (500, 2))
    np.testing.assert_array_equal(as_numpy(drawn), expected)


@pytest.mark.parametrize("size", [3.0, 40.0, 1e6])
def test_float32_follows(monkeypatch, size):
    monkeypatch.setattr(counts, "widest", lambda key: DTYPES["float32"])
    assert follows(random.poisson(random.key(1), size, 20000), stats.poisson(size))
    drawn = random.binomial(random.key(2), size, 0.25, 20000)
    assert follows(drawn, stats.binom(size, 0.25))
    assert follows(random.geometric(random.key(3), 0.25, 20000), stats.geom(0.25))


def test_jax():
    """It has no float64 here."""
    jnp = pytest.importorskip("jax.numpy")
    keys, rates = random.split(random.key(5, xp=jnp)), jnp.asarray([3.0, 40.0, 0.0, NAN])
    drawn = volta.vmap(lambda k: random.poisson(k, rates))(keys)
    assert type(drawn) is type(keys)
    assert drawn[:, 2:].tolist() == [[0, -1], [0, -1]]
    assert np.all(np.abs(drawn[:, :2] - rates[:2]) < 5 * np.sqrt(rates[:2]))


def test_log_probabilities():
    k = np.arange(-1.0, 60.0)
    for lam in (10.0, 33.3):
        expected = stats.poisson.logpmf(k, lam)
        np.testing.assert_allclose(counts._log_poisson(np, k, lam), expected, rtol=1e-12)
    n, q = np.full(61, 50.0), np.full(61, 0.3)
    expected = stats.binom.logpmf(k, 50, 0.3)
    np.testing.assert_allclose(counts._log_binomial(np, k, n, q), expected, rtol=1e-12)


# Edges ---------------------------------------------------------------------------------------


def test_poisson_edges(xp):
    lam = as_library(xp, np.asarray([0.0, NAN, -1.0, INF, 1e6]))
    drawn = as_numpy(random.poisson(random.key(0, xp=xp), lam))
    np.testing.assert_array_equal(drawn[:4], [0, -1, -1, -1])
    assert abs(drawn[4] - 1e6) < 5e3
    drawn = as_numpy(random.poisson(random.key(0, xp=xp), lam, dtype="float32"))
    np.testing.assert_array_equal(drawn[:4], np.asarray([0.0, NAN, NAN, NAN]))


def test_binomial_edges(xp):
    n = as_library(xp, np.asarray([0.0, 7, 7, 7, 7, 7, -1, NAN, INF, 7.9]))
    p = as_library(xp, np.asarray([0.5, 0.0, 1.0, -0.1, 1.1, NAN, 0.5, 0.5, 0.5, 1.0]))
    drawn = as_numpy(random.binomial(random.key(0, xp=xp), n, p))
    np.testing.assert_array_equal(drawn, [0, 0, 7, -1, -1, -1, -1, -1, -1, 7])


def test_geometric_edges(xp):
    p = as_library(xp, np.asarray([1.0, 0.0, -0.1, 1.1, NAN]))
    drawn = as_numpy(random.geometric(random.key(0, xp=xp), p))
    np.testing.assert_array_equal(drawn, [1, MOST, -1, -1, -1])


def test_multinomial_edges(xp):
    n = as_library(xp, np.asarray([5, 0, -1, 5, 5, 5, 5]))
    p = np.asarray([[0, 1, 0], [0.5, 0.5, 0], [0, 1, 0], [NAN, 1, 1], [0, 0, 0], [-1, 2, 0]])
    p = as_library(xp, np.concatenate([p, [[INF, 1, 1]]]))
    drawn = as_numpy(random.multinomial(random.key(0, xp=xp), n, p))
    np.testing.assert_array_equal(drawn, [[0, 5, 0], [0, 0, 0], *[[-1] * 3] * 5])


def test_ends_of_the_dtype():
    assert random.poisson(KEY, 1e30) == MOST
    assert random.poisson(KEY, 1e30, dtype="uint64") == 2**64 - 2**11
    rates = np.asarray([NAN, 1e4, 0.0])
    assert random.poisson(KEY, rates, dtype="uint8").tolist() == [255, 255, 0]
    assert random.poisson(KEY, rates, dtype="int8").tolist() == [-1, 127, 0]
    assert random.poisson(KEY, 3.0, dtype="bfloat16").dtype.name == "bfloat16"


def test_nothing_and_rank_0(xp):
    key = random.key(0, xp=xp)
    none = as_library(xp, np.ones((0, 2)))
    assert random.poisson(key, none).shape == (0, 2)
    assert random.binomial(key, 3, none).shape == (0, 2)
    assert random.geometric(key, none).shape == (0, 2)
    assert random.multinomial(key, 3, none).shape == (0, 2)
    for drawn in (random.poisson(key, 2), random.binomial(key, 9, 0.5), random.geometric(key, 0.5)):
        assert (type(drawn), drawn.shape) == (type(key), ())


def test_parameters_join_the_key(xp):
    here = random.poisson(random.key(3), np.asarray([1.0, 30.0]), (4, 2), xp=xp)
    assert type(here) is type(random.key(3, xp=xp))


# Transforms ----------------------------------------------------------------------------------


@pytest.mark.parametrize("in_axes", [(0, 0), (0, None), (None, 0)])
@pytest.mark.parametrize(
    "draw",
    [
        lambda key, p: random.poisson(key, 40.0 * p, (4, 2)),
        lambda key, p: random.binomial(key, 30, p, (4, 2)),
        lambda key, p: random.geometric(key, p, (4, 2)),
        lambda key, p: random.multinomial(key, 9, p, shape=(4,)),
    ],
)
def test_vmap(xp, draw, in_axes):
    keys = random.split(random.key(5, xp=xp), 3)
    p = as_library(xp, np.asarray([[0.5, 0.1], [0.99, 0.3], [0.2, 0.6]]))
    operands = [x if axis == 0 else x[0, :] for x, axis in zip((keys, p), in_axes, strict=True)]
    out = as_numpy(volta.vmap(draw, in_axes=in_axes)(*operands))
    for i in range(3):
        lane = [x[i, :] if axis == 0 else x for x, axis in zip(operands, in_axes, strict=True)]
        np.testing.assert_array_equal(out[i], as_numpy(draw(*lane)))


def test_no_derivative():
    p = np.asarray([0.2, 0.8])
    for draw in (
        lambda p: random.poisson(KEY, p, dtype="float64"),
        lambda p: random.binomial(KEY, 10 * p, p, dtype="float64"),
        lambda p: random.geometric(KEY, p, dtype="float64"),
        lambda p: random.multinomial(KEY, 9, p, dtype="float64"),
    ):
        np.testing.assert_array_equal(volta.grad(lambda p, d=draw: F.sum(d(p) * p))(p), draw(p))


# Errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: random.poisson(KEY, [1.0]),
            DTypeError,
            r"poisson: lam must be a real number or array; got \[1.0\]",
        ),
        (
            lambda: random.poisson(KEY, 1.0, (), "complex64"),
            DTypeError,
            "poisson: dtype must be integer or real floating; got complex64",
        ),
        (
            lambda: random.poisson(KEY, np.ones(3), ()),
            ShapeError,
            r"poisson: lam must broadcast to the shape; got \(3,\) and \(\)",
        ),
        (lambda: random.poisson(KEY, 1.0, -1), ShapeError, "poisson: lengths must not be negative"),
        (
            lambda: random.binomial(KEY, np.ones(3), np.ones(2)),
            BroadcastError,
            "binomial: the shapes must broadcast together",
        ),
        (
            lambda: random.binomial(KEY, 3, np.ones(2) * 1j),
            DTypeError,
            "binomial: p must be a real number or array",
        ),
        (
            lambda: random.binomial(KEY, 3, 0.5, (), "bool"),
            DTypeError,
            "binomial: dtype must be integer or real floating; got bool",
        ),
        (
            lambda: random.geometric(np.zeros(2), 0.5),
            DTypeError,
            "geometric: key must be a uint32 array",
        ),
        (
            lambda: random.multinomial(KEY, 3, 0.5),
            ShapeError,
            r"multinomial: p must have one outcome or more along its last axis; got shape \(\)",
        ),
        (
            lambda: random.multinomial(KEY, 3, np.ones((2, 0))),
            ShapeError,
            r"multinomial: p must have one outcome or more .* got shape \(2, 0\)",
        ),
        (
            lambda: random.multinomial(KEY, np.ones(3), np.ones(2), shape=()),
            ShapeError,
            "multinomial: n must broadcast to the shape",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
