"""Normal numbers of intervals: against SciPy and JAX, far tails, ends, derivatives, errors."""

import numpy as np
import pytest
from draws import as_library, as_numpy, fits

import volta
import volta.functional as F
from volta.core.errors import BroadcastError, DTypeError, ShapeError
from volta.functional import random

KEY = np.asarray([0, 1], np.uint32)
INTERVALS = [
    (-1.0, 2.0),
    (5.0, 6.0),
    (-np.inf, np.inf),
    (-3.0, np.inf),
    (-np.inf, 0.5),
    (-np.inf, -30.0),
    (100.0, np.inf),
    (-40.5, -40.0),
]


@pytest.fixture(params=["numpy", "array_api_strict", "torch"])
def xp(request):
    return pytest.importorskip(request.param)


def tail(x):
    """Logarithm of the probability of numbers above x."""
    return pytest.importorskip("scipy.special").log_ndtr(-x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("lower", "upper"), INTERVALS)
def test_fit_and_interval(xp, lower, upper, dtype):
    drawn = random.truncated_normal(random.key(3, xp=xp), lower, upper, 4000, dtype)
    assert type(drawn) is type(random.key(3, xp=xp))
    x = as_numpy(drawn)
    assert x.dtype == dtype
    assert np.all((lower <= x) & (x <= upper))
    if upper <= 0:
        lower, upper, x = -upper, -lower, -x
    first, last = tail(lower), tail(upper)

    def distribution(x):
        return np.expm1(tail(x) - first) / np.expm1(last - first)

    assert fits(x.astype(np.float64), distribution)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(("lower", "upper"), INTERVALS)
def test_sixteen_bits(lower, upper, dtype):
    drawn = random.truncated_normal(KEY, lower, upper, 500, dtype)
    assert drawn.dtype.name == dtype
    x = drawn.astype(np.float32)
    ends = np.asarray([lower, upper]).astype(drawn.dtype).astype(np.float32)
    assert np.all((ends[0] <= x) & (x <= ends[1]))


def test_same_on_every_library(xp):
    lower, upper = np.asarray([-2.0, 8.0, -np.inf]), np.asarray([[0.5], [9.0]])
    expected = random.truncated_normal(KEY, lower[:2], upper, (5, 2, 2), "float64")
    own = [as_library(xp, b) for b in (lower[:2], upper)]
    out = random.truncated_normal(as_library(xp, KEY), *own, (5, 2, 2), "float64")
    np.testing.assert_allclose(as_numpy(out), expected, rtol=1e-13)


def test_near_jax():
    jax = pytest.importorskip("jax")
    expected = jax.random.truncated_normal(jax.random.PRNGKey(7), -1.0, 2.0, (5000,))
    out = random.truncated_normal(random.key(7), -1.0, 2.0, 5000)
    np.testing.assert_allclose(out, expected, rtol=2e-6, atol=1e-6)


def test_moments():
    stats = pytest.importorskip("scipy.stats")
    drawn = random.truncated_normal(random.key(9), -0.5, 3.0, 40000, "float64")
    expected = stats.truncnorm(-0.5, 3.0)
    np.testing.assert_allclose(drawn.mean(), expected.mean(), atol=0.01)
    np.testing.assert_allclose(drawn.var(), expected.var(), atol=0.01)


def test_ends():
    nan, inf = np.nan, np.inf
    lower = np.asarray([2.0, 3.0, nan, 1.0, 1e30, -inf, inf])
    upper = np.asarray([2.0, 1.0, 1.0, nan, inf, -1e30, inf])
    drawn = random.truncated_normal(KEY, lower, upper, None, "float32")
    np.testing.assert_array_equal(
        drawn, np.asarray([2.0, nan, nan, nan, 1e30, -1e30, inf], np.float32)
    )
    assert random.truncated_normal(KEY, np.ones((0, 2)), 2.0).shape == (0, 2)
    drawn = random.truncated_normal(KEY, 0, 1)
    assert (type(drawn), drawn.shape, drawn.dtype) == (np.ndarray, (), np.float32)


def test_derivatives_by_hand(xp):
    key = random.key(4, xp=xp)
    bounds = [as_library(xp, np.asarray(b)) for b in (20.0, 21.0)]

    def draw(*bounds):
        return random.truncated_normal(key, *bounds, 50, "float64")

    lower, upper = (
        as_numpy(volta.jvp(draw, tuple(bounds), tuple(map(as_library, [xp] * 2, np.eye(2)[i])))[1])
        for i in range(2)
    )
    x = as_numpy(draw(*bounds))
    share = lower / np.exp((x**2 - 400) / 2)
    assert np.all((share > 0) & (share < 1))
    np.testing.assert_allclose(upper, (1 - share) * np.exp((x**2 - 441) / 2), rtol=1e-9)
    equal = volta.grad(lambda b: F.sum(random.truncated_normal(KEY, b, b, 5, "float64")))
    np.testing.assert_allclose(equal(np.asarray(2.0)), 5.0)
    half = volta.grad(lambda b: F.sum(random.truncated_normal(KEY, b, np.inf, 5, "float64")))
    far = volta.grad(lambda b: F.sum(random.truncated_normal(KEY, b, 30.0, 5, "float64")))
    np.testing.assert_allclose(half(np.asarray(0.5)), far(np.asarray(0.5)))
    open_ = volta.grad(lambda b: F.sum(random.truncated_normal(KEY, b, 1.0, 5, "float64")))
    np.testing.assert_array_equal(open_(np.asarray(-np.inf)), 0.0)
    np.testing.assert_array_equal(volta.grad(lambda b: open_(b))(np.asarray(-np.inf)), 0.0)


@pytest.mark.parametrize("in_axes", [(0, 0, None), (0, None, 0), (None, 0, 0)])
def test_vmap(xp, in_axes):
    keys = random.split(random.key(5, xp=xp), 3)
    lower = as_library(xp, np.asarray([[-1.0, 2.0], [1.0, 9.0], [0.2, 3.0]]))
    operands = [
        x if axis == 0 else x[0, :]
        for x, axis in zip((keys, lower, lower + 1.0), in_axes, strict=True)
    ]

    def draw(key, lower, upper):
        return random.truncated_normal(key, lower, upper, (4, 2), "float64")

    out = volta.vmap(draw, in_axes=in_axes)(*operands)
    for i in range(3):
        lane = [x[i, :] if axis == 0 else x for x, axis in zip(operands, in_axes, strict=True)]
        np.testing.assert_allclose(as_numpy(out)[i], as_numpy(draw(*lane)), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: random.truncated_normal(KEY, [1.0], 2.0),
            DTypeError,
            "truncated_normal: lower must be a real number or array",
        ),
        (
            lambda: random.truncated_normal(KEY, 1.0, 2j),
            DTypeError,
            "truncated_normal: upper must be a real number or array",
        ),
        (
            lambda: random.truncated_normal(KEY, np.ones(3), np.ones(2)),
            BroadcastError,
            "truncated_normal: the shapes must broadcast together",
        ),
        (
            lambda: random.truncated_normal(KEY, 1.0, np.ones(2), ()),
            ShapeError,
            r"truncated_normal: upper must broadcast to the shape; got \(2,\) and \(\)",
        ),
        (
            lambda: random.truncated_normal(KEY, 1.0, 2.0, (), "int32"),
            DTypeError,
            "truncated_normal: dtype must be real floating; got int32",
        ),
        (
            lambda: random.truncated_normal(np.zeros(2), 1.0, 2.0),
            DTypeError,
            "truncated_normal: key must be a uint32 array",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
