"""Random integers, choices and transformed numbers: against jax.random live, laws, errors."""

import math

import numpy as np
import pytest
from draws import as_library, as_numpy, fits

import volta
import volta.functional as F
from volta.core.errors import DimensionError, DTypeError, ShapeError
from volta.functional import random


@pytest.fixture(params=["numpy", "array_api_strict", "torch", "jax.numpy"])
def xp(request):
    return pytest.importorskip(request.param)


@pytest.fixture
def jax():
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        yield jax


X = np.arange(24.0).reshape(2, 3, 4)
P = np.asarray([0.1, 0.0, 0.2, 0.4, 0.3])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32", "int64", "uint64"])
def test_randint_of_array_bounds(jax, xp, dtype):
    low, high = np.arange(3, 7, dtype=dtype), np.asarray([[5], [120]], dtype)
    bounds = [as_library(xp, b) for b in (low, high)]
    out = random.randint(random.key(5, xp=xp), (2, 4), *bounds, dtype)
    expected = jax.random.randint(jax.random.PRNGKey(5), (2, 4), low, high, dtype)
    np.testing.assert_array_equal(as_numpy(out), expected)
    assert as_numpy(out).dtype == dtype


@pytest.mark.parametrize("independent", [False, True])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_permutation_of_array(jax, xp, axis, independent):
    out = random.permutation(random.key(6, xp=xp), as_library(xp, X), axis, independent)
    expected = jax.random.permutation(jax.random.PRNGKey(6), X, axis, independent)
    np.testing.assert_array_equal(as_numpy(out), expected)


@pytest.mark.parametrize("p", [None, P], ids=["equal", "weighted"])
@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_choice(jax, xp, p, replace, shape):
    ours = None if p is None else as_library(xp, p)
    a = np.arange(10.0).reshape(2, 5)
    mine, theirs = random.key(7, xp=xp), jax.random.PRNGKey(7)
    out = random.choice(mine, 5, shape, replace, ours)
    np.testing.assert_array_equal(as_numpy(out), jax.random.choice(theirs, 5, shape, replace, p))
    out = random.choice(mine, as_library(xp, a), shape, replace, ours, axis=1)
    expected = jax.random.choice(theirs, a, shape, replace, p, axis=1)
    np.testing.assert_array_equal(as_numpy(out), expected)


@pytest.mark.parametrize(
    ("axis", "shape"), [(-1, None), (0, None), (1, (7, 3)), (0, (2, 4, 5)), (-2, (5,))]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_categorical(jax, xp, axis, shape, dtype):
    logits = np.log(np.random.default_rng(0).random((3, 5))).astype(dtype)
    out = random.categorical(random.key(8, xp=xp), as_library(xp, logits), axis, shape)
    expected = jax.random.categorical(jax.random.PRNGKey(8), logits, axis, shape)
    np.testing.assert_array_equal(as_numpy(out), expected)


# Transforms ----------------------------------------------------------------------------------

OF_KEY = {
    "randint": lambda k: random.randint(k, (2, 3), -5, 90),
    "rademacher": lambda k: random.rademacher(k, 9),
    "permutation": lambda k: random.permutation(k, 20),
    "choice": lambda k: random.choice(k, 20, (4,), False),
    "exponential": lambda k: random.exponential(k, (2, 3)),
    "gumbel": lambda k: random.gumbel(k, 5),
    "laplace": lambda k: random.laplace(k, 5),
    "logistic": lambda k: random.logistic(k, 5),
    "cauchy": lambda k: random.cauchy(k, 5),
}


@pytest.mark.parametrize("name", OF_KEY)
def test_vmap_over_keys(xp, name):
    function = OF_KEY[name]
    keys = random.split(random.key(15, xp=xp), 4)
    out = volta.vmap(function)(keys)
    assert type(out) is type(keys)
    expected = np.stack([as_numpy(function(keys[i, :])) for i in range(4)])
    # XLA's logarithm of a vector's rest may differ in the last bit
    near = 1e-6 if xp.__name__ == "jax.numpy" else 0
    np.testing.assert_allclose(as_numpy(out), expected, rtol=near, atol=near)


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("in_axes", [(0, 0), (None, 0), (0, None)])
def test_vmap_over_probabilities(xp, replace, in_axes):
    keys = random.split(random.key(16, xp=xp), 3)
    p = as_library(xp, np.stack([P, P[::-1], np.full(5, 0.2)]))
    operands = [x if axis == 0 else x[0, :] for x, axis in zip((keys, p), in_axes, strict=True)]

    def draw(key, p):
        return random.choice(key, 5, (2, 2), replace, p)

    out = volta.vmap(draw, in_axes=in_axes)(*operands)
    for i in range(3):
        lane = [x[i, :] if axis == 0 else x for x, axis in zip(operands, in_axes, strict=True)]
        np.testing.assert_array_equal(as_numpy(out)[i], as_numpy(draw(*lane)))


def test_nested_vmap_over_probabilities():
    keys, p = random.split(random.key(17), 2), np.stack([P, P[::-1], np.full(5, 0.2)])

    def draw(key, p):
        return random.choice(key, 5, 6, p=p)

    out = volta.vmap(lambda k: volta.vmap(lambda q: draw(k, q))(p))(keys)
    other = volta.vmap(lambda q: volta.vmap(lambda k: draw(k, q))(keys))(p)
    expected = [[draw(k, q) for q in p] for k in keys]
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(np.swapaxes(other, 0, 1), expected)


def test_cotangents_go_where_the_entries_came_from(xp):
    key, x = random.key(9, xp=xp), as_library(xp, np.asarray([1.0, 2.0, 3.0, 4.0]))
    weights = as_library(xp, np.asarray([1.0, 10.0, 100.0, 1000.0]))
    grads = volta.grad(lambda x: F.sum(random.permutation(key, x) * weights))(x)
    order = as_numpy(random.permutation(key, 4))
    expected = np.zeros(4)
    expected[order] = [1.0, 10.0, 100.0, 1000.0]
    np.testing.assert_array_equal(as_numpy(grads), expected)
    grads = volta.grad(lambda x: F.sum(random.choice(key, x, (9,))))(x)
    counts = np.bincount(as_numpy(random.choice(key, 4, (9,))), minlength=4)
    np.testing.assert_array_equal(as_numpy(grads), counts)


def test_probabilities_have_no_derivative():
    def picked(p):
        return F.sum(random.choice(random.key(0), np.arange(5.0), (3,), p=p))

    np.testing.assert_array_equal(volta.grad(picked)(P), np.zeros(5))


# Distributions -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "distribution"),
    [
        ("exponential", lambda x: 1 - math.exp(-x)),
        ("gumbel", lambda x: math.exp(-math.exp(-x))),
        ("laplace", lambda x: 0.5 * math.exp(x) if x < 0 else 1 - 0.5 * math.exp(-x)),
        ("logistic", lambda x: 1 / (1 + math.exp(-x))),
        ("cauchy", lambda x: 0.5 + math.atan(x) / math.pi),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fit(name, distribution, dtype):
    assert fits(getattr(random, name)(random.key(22), 20000, dtype).astype(float), distribution)


def deviation(observed, expected):
    """Chi-square statistic less its mean, in standard deviations."""
    freedom = observed.size - 1
    return (np.sum((observed - expected) ** 2 / expected) - freedom) / math.sqrt(2 * freedom)


def test_frequencies():
    drawn = random.randint(random.key(1), 60000, -3, 7)
    assert abs(deviation(np.bincount(drawn + 3), np.full(10, 6000.0))) < 3
    drawn = random.categorical(random.key(2), np.log(P[2:]), shape=60000)
    assert abs(deviation(np.bincount(drawn), 60000 * P[2:] / P[2:].sum())) < 3
    drawn = random.choice(random.key(3), 5, 60000, p=P)
    counts = np.bincount(drawn, minlength=5)
    assert counts[1] == 0
    assert abs(deviation(counts[P > 0], 60000 * P[P > 0])) < 3
    assert abs(random.rademacher(random.key(4), 60000).mean()) < 0.01


def test_orders_are_equally_frequent():
    keys = random.split(random.key(5), 24000)
    orders = volta.vmap(lambda k: random.permutation(k, 4))(keys)
    _, counts = np.unique(orders @ [64, 16, 4, 1], return_counts=True)
    assert abs(deviation(counts, np.full(24, 1000.0))) < 3


def test_sampling_without_replacement_follows_the_weights():
    keys = random.split(random.key(6), 20000)
    p = np.asarray([0.5, 0.3, 0.2])
    first = volta.vmap(lambda k: random.choice(k, 3, (2,), False, p))(keys)
    assert np.all(first[:, 0] != first[:, 1])
    counts = np.bincount(first[:, 0])
    assert abs(deviation(counts, 20000 * p)) < 3


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["exponential", "gumbel", "laplace", "logistic", "cauchy"])
def test_sixteen_bits(name, dtype):
    torch = pytest.importorskip("torch")
    drawn = getattr(random, name)(random.key(3), 2000, dtype)
    assert drawn.dtype.name == dtype
    assert np.all(np.isfinite(drawn.astype(np.float32)))
    other = getattr(random, name)(random.key(3, xp=torch), 2000, dtype)
    np.testing.assert_allclose(
        as_numpy(other).astype(np.float32), drawn.astype(np.float32), rtol=2**-7, atol=1e-3
    )


def test_arguments_are_not_written_to(xp):
    key, x = random.key(1, xp=xp), as_library(xp, X)
    random.permutation(key, x, 1)
    random.choice(key, x, (3,), axis=2)
    random.randint(key, 9, 0, 4)
    np.testing.assert_array_equal(as_numpy(key), [0, 1])
    np.testing.assert_array_equal(as_numpy(x), X)


def test_xp_moves_the_key(xp):
    here, there = random.key(4), random.key(4, xp=xp)
    for draw in [
        lambda k, **o: random.randint(k, 5, 0, 3, **o),
        lambda k, **o: random.permutation(k, 5, **o),
        lambda k, **o: random.choice(k, 5, (2,), **o),
        lambda k, **o: random.gumbel(k, 3, **o),
        lambda k, **o: random.rademacher(k, 3, **o),
    ]:
        moved = draw(here, xp=xp)
        assert type(moved) is type(there)
        np.testing.assert_array_equal(as_numpy(moved), as_numpy(draw(there)))


# Edges ---------------------------------------------------------------------------------------


def test_nothing_to_draw(xp):
    key = random.key(0, xp=xp)
    assert random.permutation(key, 0).shape == (0,)
    assert random.choice(key, 0, (0, 2)).shape == (0, 2)
    assert random.choice(key, as_library(xp, X), (0,), axis=1).shape == (2, 0, 4)
    assert random.randint(key, (0,), 0, 3).shape == (0,)
    assert as_numpy(random.permutation(key, 1)).tolist() == [0]


@pytest.mark.parametrize(
    "name", ["exponential", "gumbel", "laplace", "logistic", "cauchy", "rademacher"]
)
def test_rank_0_is_an_array(name):
    for _ in range(4):  # NumPy's scalars are dealt with faster once they have been seen
        assert type(getattr(random, name)(KEY)) is np.ndarray


def test_bounds_outside_of_the_dtype_are_moved_to_its_ends():
    drawn = random.randint(random.key(0), 5000, -(10**30), 10**30, "uint8")
    assert drawn.min() == 0
    assert drawn.max() == 255
    drawn = random.randint(random.key(0), 5000, np.asarray(-900), np.asarray(900), "int8")
    assert drawn.min() == -128
    assert drawn.max() == 127


# Errors --------------------------------------------------------------------------------------

KEY = np.asarray([0, 1], np.uint32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: random.randint(KEY, 3, 0.5, 2), DTypeError, "randint: minval must be an integer"),
        (lambda: random.randint(KEY, 3, 0, X), DTypeError, "randint: maxval must be an integer"),
        (lambda: random.randint(KEY, 3, 0, True), DTypeError, "randint: maxval must be an integer"),
        (
            lambda: random.randint(KEY, 3, 0, 2, "float32"),
            DTypeError,
            "randint: dtype must be an integer dtype; got float32",
        ),
        (
            lambda: random.randint(KEY, (), np.arange(3), 2),
            ShapeError,
            r"randint: minval must broadcast to the shape; got \(3,\) and \(\)",
        ),
        (
            lambda: random.rademacher(KEY, 3, "uint8"),
            DTypeError,
            "rademacher: dtype must be signed; got uint8",
        ),
        (
            lambda: random.permutation(KEY, 2.5),
            DTypeError,
            "permutation: the second argument must be an int or an array with axes; got float",
        ),
        (
            lambda: random.permutation(KEY, np.asarray(2.5)),
            DTypeError,
            "must be an int or an array with axes; got float64 of shape ()",
        ),
        (lambda: random.permutation(KEY, X, 3), DimensionError, "permutation: .*axis"),
        (lambda: random.permutation(KEY, -1), ShapeError, "permutation: lengths must not be"),
        (
            lambda: random.choice(KEY, 0, (2,)),
            ValueError,
            "choice: there must be enough entries to draw from; got 0 for 2 draws.",
        ),
        (
            lambda: random.choice(KEY, 3, (4,), False),
            ValueError,
            "choice: there must be enough entries to draw from; got 3 for 4 draws without",
        ),
        (
            lambda: random.choice(KEY, 3, p=[0.2, 0.3, 0.5]),
            DTypeError,
            "choice: p must be a real floating array; got list",
        ),
        (
            lambda: random.choice(KEY, 3, p=P),
            ShapeError,
            r"choice: p must have one number for each entry; got shape \(5,\) for 3",
        ),
        (
            lambda: random.categorical(KEY, np.arange(3)),
            DTypeError,
            "categorical: logits must be a real floating array; got int64",
        ),
        (
            lambda: random.categorical(KEY, X, shape=(3,)),
            ShapeError,
            r"categorical: logits must broadcast to the shape; got \(2, 3\) and",
        ),
        (lambda: random.categorical(KEY, X, 3), DimensionError, "categorical: .*axis"),
        (
            lambda: random.gumbel(KEY, 3, "int32"),
            DTypeError,
            "gumbel: dtype must be real floating; got int32",
        ),
        (lambda: random.laplace(np.zeros(2)), DTypeError, "laplace: key must be a uint32 array"),
        (lambda: random.logistic(KEY, -2), ShapeError, "logistic: lengths must not be negative"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
