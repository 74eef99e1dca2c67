"""volta.functional.random against jax.random, stored and live, on every library."""

import json
import math
import zlib
from pathlib import Path

import numpy as np
import pytest
from draws import as_bits, as_library, as_numpy, fits, numpy_kind, skip_without, ulps

import volta
from volta.core.dispatch import library_for
from volta.core.errors import BroadcastError, DTypeError, ShapeError
from volta.core.types import DTYPES
from volta.functional import random
from volta.functional.random import interval, threefry
from volta.functional.random.gaussian import erfinv, random_normal
from volta.functional.random.integer import random_bits
from volta.functional.random.interval import random_unit
from volta.functional.random.keys import random_split

RECORDED = json.loads(Path(__file__).with_name("random_vectors.json").read_text())["cases"]
DTYPE = {"bernoulli": "bool", "permutation": "int64", "choice": "int64"}
NEAR = {"exponential", "gumbel", "laplace", "logistic", "cauchy"}
FLOATS = ["float16", "bfloat16", "float32", "float64"]


@pytest.fixture(params=["numpy", "array_api_strict", "torch"])
def xp(request):
    return pytest.importorskip(request.param)


# Against JAX ---------------------------------------------------------------------------------


def case_name(case):
    arguments = ",".join(f"{k}={v}" for k, v in case["arguments"].items())
    return f"{case['function']}({case['seed']},{arguments})".replace(" ", "")


@pytest.mark.parametrize("case", RECORDED, ids=case_name)
def test_recorded(xp, case):
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in case["arguments"].items()}
    skip_without(xp, arguments.get("dtype", "uint32"))
    key = random.key(case["seed"], xp=xp)
    function = case["function"]
    out = key if function == "key" else getattr(random, function)(key, **arguments)
    assert type(out) is type(key)
    assert out.shape == tuple(case["shape"])
    x = as_numpy(out)
    assert x.dtype.name == arguments.get("dtype", DTYPE.get(function, "uint32"))
    bits = as_bits(x)
    if "crc32" in case:
        assert zlib.crc32(bits.astype(bits.dtype.newbyteorder("<")).tobytes()) == case["crc32"]
        return
    expected = np.asarray(case["values"], bits.dtype).reshape(x.shape)
    if function == "normal" and x.dtype.itemsize > 2:
        assert ulps(x, expected.view(x.dtype)) <= 4
    elif function in NEAR and x.dtype.itemsize > 2:
        tolerance = 2e-14 if x.dtype.itemsize == 8 else 1e-6
        np.testing.assert_allclose(x, expected.view(x.dtype), rtol=tolerance, atol=tolerance)
    else:
        np.testing.assert_array_equal(bits, expected)


def test_nested_splits_live(xp):
    jax = pytest.importorskip("jax")
    mine, theirs = random.key(2024, xp=xp), jax.random.PRNGKey(2024)
    for n in [2, 130]:
        mine, theirs = random.split(mine, n), jax.random.split(theirs, n)
        np.testing.assert_array_equal(as_numpy(mine), theirs)
        mine, theirs = mine[n - 1, :], theirs[n - 1]
    mine, theirs = random.fold_in(mine, 3), jax.random.fold_in(theirs, 3)
    np.testing.assert_array_equal(as_numpy(mine), theirs)


@pytest.mark.parametrize("dtype", FLOATS[1:])
def test_array_bounds_live(xp, dtype):
    skip_without(xp, dtype)
    jax = pytest.importorskip("jax")
    kind = numpy_kind(dtype)
    low = np.linspace(-3, 3, 60).astype(kind)
    high = (low + np.linspace(0.3, 5, 4)[:, None]).astype(kind)
    bounds = [as_library(xp, b) for b in (low, high)]
    out = random.uniform(random.key(5, xp=xp), (4, 60), dtype, *bounds)
    with jax.enable_x64(True):
        expected = jax.random.uniform(jax.random.PRNGKey(5), (4, 60), kind, low, high)
    np.testing.assert_array_equal(as_bits(as_numpy(out)), as_bits(np.asarray(expected)))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_bernoulli_of_array_live(xp, dtype):
    skip_without(xp, dtype)
    jax = pytest.importorskip("jax")
    p = np.linspace(0, 1, 50).astype(numpy_kind(dtype))
    out = random.bernoulli(random.key(6, xp=xp), as_library(xp, p), (3, 50))
    with jax.enable_x64(True):
        expected = jax.random.bernoulli(jax.random.PRNGKey(6), p, (3, 50))
    np.testing.assert_array_equal(as_numpy(out), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_erfinv_live(xp, dtype):
    jax = pytest.importorskip("jax")
    near_one = 1 - np.geomspace(2.0**-24, 0.5, 2000)
    x = np.concatenate([np.linspace(-0.999, 0.999, 4001), near_one, -near_one]).astype(dtype)
    out = as_numpy(erfinv(library_for(xp).xp, as_library(xp, x)))
    with jax.enable_x64(True):
        assert ulps(out, np.asarray(jax.lax.erf_inv(x))) <= 4


# Keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seed", "words"),
    [
        (np.int32(-1), [0, 2**32 - 1]),
        (np.int64(-1), [2**32 - 1, 2**32 - 1]),
        (np.uint64(2**64 - 1), [2**32 - 1, 2**32 - 1]),
        (np.uint8(200), [0, 200]),
        (np.int64(5 * 2**32 + 7), [5, 7]),
    ],
)
def test_key_of_array(xp, seed, words):
    key = random.key(as_library(xp, np.asarray(seed)))
    assert type(key) is type(random.key(0, xp=xp))
    np.testing.assert_array_equal(as_numpy(key), words)
    assert as_numpy(key).dtype == np.uint32


def test_key_of_unsigned_seed():
    np.testing.assert_array_equal(random.key(2**64 - 1), random.key(-1))


def test_split_prefix_and_fold_in_agree(xp):
    key = random.key(3, xp=xp)
    many = as_numpy(random.split(key, 200))
    np.testing.assert_array_equal(as_numpy(random.split(key, 3)), many[:3])
    np.testing.assert_array_equal(as_numpy(random.fold_in(key, 150)), many[150])
    np.testing.assert_array_equal(many.reshape(20, 10, 2), as_numpy(random.split(key, (20, 10))))


@pytest.mark.parametrize("kind", ["int8", "int32", "int64", "uint16", "uint32", "uint64"])
def test_fold_in_of_array(xp, kind):
    key = random.key(3, xp=xp)
    out = random.fold_in(key, as_library(xp, np.asarray(77, kind)))
    np.testing.assert_array_equal(as_numpy(out), as_numpy(random.fold_in(key, 77)))


def test_fold_in_of_negative_array(xp):
    key = random.key(3, xp=xp)
    out = random.fold_in(key, as_library(xp, np.asarray(-1)))
    np.testing.assert_array_equal(as_numpy(out), as_numpy(random.fold_in(key, 2**32 - 1)))


def test_arguments_are_not_written_to(xp):
    key = random.key(1, xp=xp)
    low = as_library(xp, np.asarray([0.5, 0.25], np.float32))
    random.split(key, 300)
    random.normal(key, 300)
    random.uniform(key, (3, 2), minval=low)
    random.fold_in(key, as_library(xp, np.asarray(1)))
    np.testing.assert_array_equal(as_numpy(key), [0, 1])
    np.testing.assert_array_equal(as_numpy(low), [0.5, 0.25])


def test_xp_moves_the_key(xp):
    here, there = random.key(4), random.key(4, xp=xp)
    drawn = random.normal(here, 5, xp=xp)
    assert type(drawn) is type(there)
    np.testing.assert_array_equal(as_numpy(drawn), as_numpy(random.normal(there, 5)))
    assert type(random.bits(there, 2, xp=np)) is np.ndarray
    assert type(random.split(here, xp=xp)) is type(there)
    assert type(random.fold_in(here, 1, xp=xp)) is type(there)
    assert type(random.bernoulli(here, xp=xp)) is type(there)
    assert type(random.uniform(here, xp=xp)) is type(there)


def test_device():
    torch = pytest.importorskip("torch")
    drawn = random.uniform(random.key(0), 3, xp=torch, device=torch.device("cpu"))
    assert drawn.device.type == "cpu"


# Kernels -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 50, 500])
def test_batches_of_keys(xp, size):
    namespace = library_for(xp).xp
    keys = random.split(random.key(8, xp=xp), (2, 3))
    out = as_numpy(random_bits(namespace, keys, shape=(size, 2), dtype=DTYPES["uint32"]))
    assert out.shape == (2, 3, size, 2)
    for i in range(2):
        for j in range(3):
            expected = as_numpy(random.bits(keys[i, j, :], (size, 2)))
            np.testing.assert_array_equal(out[i, j], expected)


def test_blocks_of_many_keys():
    keys = random.split(random.key(8), 5000)
    out = random_bits(np, keys, shape=(40,), dtype=DTYPES["uint16"])
    for i in [0, 1637, 1638, 1639, 4999]:
        np.testing.assert_array_equal(out[i], random.bits(keys[i], 40, "uint16"))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
def test_torch_kernel_equals_numpy(dtype):
    pytest.importorskip("torch")
    xp = library_for(pytest.importorskip("torch")).xp
    out = random_bits(xp, random.key(8, xp=xp), shape=(9, 13), dtype=DTYPES[dtype])
    np.testing.assert_array_equal(out.numpy(), random.bits(random.key(8), (9, 13), dtype))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kernel", [random_unit, random_normal])
def test_torch_real_kernels_equal_numpy(kernel, dtype):
    xp = library_for(pytest.importorskip("torch")).xp
    out = kernel(xp, random.key(8, xp=xp), shape=(9, 13), dtype=DTYPES[dtype])
    expected = kernel(np, random.key(8), shape=(9, 13), dtype=DTYPES[dtype])
    assert ulps(as_numpy(out), expected) <= 4


def test_torch_split_kernel_equals_numpy():
    xp = library_for(pytest.importorskip("torch")).xp
    out = random_split(xp, random.key(8, xp=xp), shape=(9, 3))
    np.testing.assert_array_equal(out.numpy(), random.split(random.key(8), (9, 3)))


def test_counters_of_64_bits(xp):
    """Salmon et al.'s known answers pin the upper word of the counter too."""
    namespace = library_for(xp).xp
    keys = threefry.words_of(namespace, namespace.reshape(random.key(42, xp=xp), (1, 2)))
    start = 2**32 - 3
    blocks = list(threefry.counter_words(namespace, keys, start, start + 6))
    assert [block[1] for block in blocks] == [slice(0, 3), slice(3, 6)]
    words = [
        np.concatenate([as_numpy(threefry.from_words(namespace, b[i]))[0] for b in blocks])
        for i in (2, 3)
    ]
    for i, counter in enumerate(range(start, start + 6)):
        assert [int(w[i]) for w in words] == threefry_reference((0, 42), divmod(counter, 2**32))


def threefry_reference(key, counter):
    """One hash in Python's integers, written from the paper's figure."""
    ks = [*key, key[0] ^ key[1] ^ 0x1BD11BDA]
    x, y = ((c + k) % 2**32 for c, k in zip(counter, ks, strict=False))
    for i, r in enumerate([13, 15, 26, 6, 17, 29, 16, 24] * 2 + [13, 15, 26, 6], 1):
        x = (x + y) % 2**32
        y = ((y << r) % 2**32 | y >> (32 - r)) ^ x
        if i % 4 == 0:
            x = (x + ks[i // 4 % 3]) % 2**32
            y = (y + ks[(i // 4 + 1) % 3] + i // 4) % 2**32
    return [x, y]


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        ((0, 0), (0, 0), [0x6B200159, 0x99BA4EFE]),
        ((2**32 - 1,) * 2, (2**32 - 1,) * 2, [0x1CB996FC, 0xBB002BE7]),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), [0xC4923A9C, 0x483DF7A0]),
    ],
)
def test_known_answers(key, counter, expected):
    """The known-answer tests of the Random123 distribution, threefry2x32 with 20 rounds."""
    assert threefry_reference(key, counter) == expected
    k0, k1, x0, x1 = (np.asarray([[w]], np.uint32) for w in (*key, *counter))
    for rotate in (threefry._rotate, threefry._rotate_numpy):
        y = threefry.threefry2x32(rotate, k0, k1, x0, x1)
        assert [int(w[0, 0]) for w in y] == expected
    assert [int(w[0, 0]) for w in threefry._hash_few(*key, *counter, 1)] == expected


# Transforms ----------------------------------------------------------------------------------

OF_KEY = {
    "split": lambda k: random.split(k, 3),
    "fold_in": lambda k: random.fold_in(k, 9),
    "bits": lambda k: random.bits(k, (2, 3), "uint64"),
    "uniform": lambda k: random.uniform(k, (2, 3)),
    "bounded uniform": lambda k: random.uniform(k, (2, 3), None, -1.5, 2.0),
    "bernoulli": lambda k: random.bernoulli(k, 0.3, 7),
    "normal": lambda k: random.normal(k, 60),
}


@pytest.mark.parametrize("name", OF_KEY)
def test_vmap_over_keys(xp, name):
    function = OF_KEY[name]
    keys = random.split(random.key(15, xp=xp), 4)
    out = volta.vmap(function)(keys)
    assert type(out) is type(keys)
    expected = np.stack([as_numpy(function(keys[i, :])) for i in range(4)])
    np.testing.assert_array_equal(as_numpy(out), expected)


def test_vmap_over_seeds(xp):
    keys = volta.vmap(random.key)(as_library(xp, np.arange(3)))
    np.testing.assert_array_equal(as_numpy(keys), [[0, 0], [0, 1], [0, 2]])


def test_nested_vmap_of_fold_in(xp):
    keys, numbers = random.split(random.key(16, xp=xp), 3), as_library(xp, np.arange(4))
    outer = volta.vmap(lambda k: volta.vmap(lambda n: random.fold_in(k, n))(numbers))(keys)
    inner = volta.vmap(lambda n: volta.vmap(lambda k: random.fold_in(k, n))(keys))(numbers)
    both = volta.vmap(lambda k: volta.vmap(random.fold_in, in_axes=(None, 0))(k, numbers))(keys)
    expected = np.stack([as_numpy(random.split(keys[i, :], 4)) for i in range(3)])
    np.testing.assert_array_equal(as_numpy(outer), expected)
    np.testing.assert_array_equal(as_numpy(both), expected)
    np.testing.assert_array_equal(as_numpy(inner), expected.transpose(1, 0, 2))


def test_vmap_over_bounds_and_keys(xp):
    keys = random.split(random.key(17, xp=xp), 3)
    low = as_library(xp, np.asarray([-1.0, 0.0, 2.0], np.float32))
    out = volta.vmap(lambda k, a: random.uniform(k, (2, 5), None, a, 4.0))(keys, low)
    for i in range(3):
        expected = random.uniform(keys[i, :], (2, 5), None, low[i], 4.0)
        np.testing.assert_array_equal(as_numpy(out)[i], as_numpy(expected))
    same = volta.vmap(lambda a: random.uniform(keys[0, :], 2, None, a, 4.0))(low)
    expected = random.uniform(keys[0, :], 2, None, low[2], 4.0)
    np.testing.assert_array_equal(as_numpy(same)[2], as_numpy(expected))


def test_uniform_is_differentiable_in_its_bounds(xp):
    key = random.key(18, xp=xp)
    u = as_numpy(random.uniform(key, (3, 4), "float64"))
    low, high = (as_library(xp, np.asarray(b)) for b in ([1.0, 2.0, 3.0, 4.0], 7.0))

    def total(low, high):
        return volta.functional.sum(random.uniform(key, (3, 4), "float64", low, high))

    grads = volta.grad(total, argnums=(0, 1))(low, high)
    np.testing.assert_allclose(as_numpy(grads[0]), (1 - u).sum(axis=0), rtol=1e-14)
    np.testing.assert_allclose(as_numpy(grads[1]), u.sum(), rtol=1e-14)
    one = as_library(xp, np.ones(()))
    _, tangent = volta.jvp(
        lambda h: random.uniform(key, (3, 4), "float64", low, h), (high,), (one,)
    )
    np.testing.assert_allclose(as_numpy(tangent), u, rtol=1e-14)


def test_derivatives_where_the_bounds_are_in_the_wrong_order():
    key = random.key(18)

    def total(low, high):
        return volta.functional.sum(random.uniform(key, 3, "float64", low, high))

    grads = volta.grad(total, argnums=(0, 1))(np.asarray(2.0), np.asarray(1.0))
    np.testing.assert_array_equal(grads, [3.0, 0.0])


def test_draws_have_no_derivative_in_p():
    def count(p):
        return volta.functional.sum(
            volta.functional.where(random.bernoulli(random.key(0), p, (9,)), 1.0, 0.0)
        )

    assert volta.grad(count)(np.asarray(0.5)) == 0.0


def test_draws_inside_a_transform_accept_traced_values():
    def f(x):
        noise = random.normal(random.key(0), 3)
        noise[0] = x
        return volta.functional.sum(noise * noise)

    np.testing.assert_allclose(volta.grad(f)(np.asarray(3.0, np.float32)), 6.0)


def test_draws_are_staged(xp):
    key = random.key(19, xp=xp)
    x = as_library(xp, np.ones(3, np.float32))

    def f(x):
        a, b = random.split(key)[0, :], random.fold_in(key, 1)
        return x * random.normal(a, 3) + random.uniform(b, 3, None, x, 2.0)

    staged = volta.trace(f)(x)
    printed = str(staged)
    for name in ["random_split", "random_fold_in", "random_normal", "random_unit"]:
        assert name in printed
    np.testing.assert_array_equal(as_numpy(staged(x)), as_numpy(f(x)))


# Distributions -------------------------------------------------------------------------------


def test_uniform_moments_and_fit():
    u = random.uniform(random.key(11), 20000, "float64", -2.0, 3.0)
    assert abs(u.mean() - 0.5) < 0.03
    assert abs(u.var() - 25 / 12) < 0.03
    assert fits(u, lambda x: (x + 2) / 5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_moments_and_fit(dtype):
    z = random.normal(random.key(12), 20000, dtype).astype(np.float64)
    assert abs(z.mean()) < 0.02
    assert abs(z.var() - 1) < 0.03
    assert abs((z**4).mean() - 3) < 0.15
    assert fits(z, lambda x: 0.5 + 0.5 * math.erf(x / math.sqrt(2)))


@pytest.mark.parametrize("p", [0.0, 0.01, 0.5, 0.9, 1.0])
def test_bernoulli_frequency(p):
    drawn = random.bernoulli(random.key(13), p, 40000)
    assert abs(drawn.mean() - p) <= 3 * (p * (1 - p) / 40000) ** 0.5


def test_streams_of_split_keys_are_uncorrelated():
    a, b = (random.normal(k, 20000) for k in random.split(random.key(14)))
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.02


def test_default_dtype():
    with volta.default_dtype("float64"):
        assert random.uniform(random.key(0)).dtype == np.float64
        assert random.normal(random.key(0)).dtype == np.float64
    assert random.normal(random.key(0)).dtype == np.float32


def test_bounds_in_the_wrong_order_give_minval(xp):
    key = random.key(0, xp=xp)
    low, high = (as_library(xp, np.asarray(b, np.float32)) for b in (2.0, 1.0))
    np.testing.assert_array_equal(as_numpy(random.uniform(key, 5, None, 2.0, 1.0)), [2.0] * 5)
    np.testing.assert_array_equal(as_numpy(random.uniform(key, 5, None, low, high)), [2.0] * 5)


def test_uniform_without_float64_is_within_an_ulp(xp, monkeypatch):
    key = random.key(0, xp=xp)
    fused = as_numpy(random.uniform(key, 500, None, -3.3, 7.7))
    monkeypatch.setattr(interval, "has_float64", lambda xp, device: False)
    rounded = as_numpy(random.uniform(key, 500, None, -3.3, 7.7))
    assert 0 < np.max(np.abs(fused - rounded)) <= np.spacing(np.float32(11.0))


@pytest.mark.parametrize("dtype", FLOATS)
def test_bounds_of_which_one_is_an_array(xp, dtype):
    skip_without(xp, dtype)
    key = random.key(0, xp=xp)
    low, high = (as_library(xp, np.asarray(b, numpy_kind(dtype))) for b in (-3.25, 7.75))
    expected = as_bits(as_numpy(random.uniform(key, 50, dtype, -3.25, 7.75)))
    for bounds in [(low, high), (low, 7.75), (-3.25, high)]:
        out = as_bits(as_numpy(random.uniform(key, 50, dtype, *bounds)))
        np.testing.assert_array_equal(out, expected)


def test_integer_bounds_are_converted(xp):
    key = random.key(0, xp=xp)
    low, high = (as_library(xp, np.asarray([b])) for b in (-3, 5))
    expected = as_numpy(random.uniform(key, 5, None, -3.0, 5.0))
    np.testing.assert_array_equal(as_numpy(random.uniform(key, 5, None, low, high)), expected)


# Errors --------------------------------------------------------------------------------------

DRAWS = ["split", "bits", "uniform", "bernoulli", "normal"]


@pytest.mark.parametrize("function", DRAWS)
def test_key_of_wrong_shape(function):
    keys = np.zeros((3, 2), np.uint32)
    message = (
        rf"{function}: key must be a uint32 array of shape \(2,\); got shape \(3, 2\)\. Use vmap"
    )
    with pytest.raises(ShapeError, match=message):
        getattr(random, function)(keys)


@pytest.mark.parametrize("function", DRAWS)
@pytest.mark.parametrize(("key", "found"), [(np.zeros(2), "float64"), (0, "int"), ([0, 1], "list")])
def test_key_of_wrong_dtype(function, key, found):
    message = rf"{function}: key must be a uint32 array of shape \(2,\); got {found}\. Make one"
    with pytest.raises(DTypeError, match=message):
        getattr(random, function)(key)


@pytest.mark.parametrize("function", ["split", "bits", "uniform", "normal"])
def test_shape_of_negative_size(function):
    message = rf"{function}: lengths must not be negative; got \(3, -1\)"
    with pytest.raises(ShapeError, match=message):
        getattr(random, function)(random.key(0), (3, -1))


@pytest.mark.parametrize("function", ["uniform", "normal"])
@pytest.mark.parametrize("dtype", ["int32", "complex64", "bool"])
def test_dtype_not_real_floating(function, dtype):
    with pytest.raises(DTypeError, match=f"{function}: dtype must be real floating; got {dtype}"):
        getattr(random, function)(random.key(0), (2,), dtype)


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_bits_of_dtype_not_unsigned(dtype):
    with pytest.raises(DTypeError, match=f"bits: dtype must be unsigned; got {dtype}"):
        random.bits(random.key(0), (2,), dtype)


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan"), 2, 1j])
def test_bernoulli_of_p_outside(p):
    with pytest.raises(ValueError, match=r"bernoulli: p must lie in \[0, 1\]; got"):
        random.bernoulli(random.key(0), p)


def test_bernoulli_of_integer_array():
    with pytest.raises(DTypeError, match="bernoulli: p must be real floating; got int64"):
        random.bernoulli(random.key(0), np.ones(2, np.int64))


def test_bernoulli_of_list():
    with pytest.raises(DTypeError, match="bernoulli: p must be a number or an array; got list"):
        random.bernoulli(random.key(0), [0.5])


def test_bernoulli_of_larger_p():
    message = r"bernoulli: p must broadcast to the shape; got \(3, 1\) and \(2,\)"
    with pytest.raises(ShapeError, match=message):
        random.bernoulli(random.key(0), np.full((3, 1), 0.5), (2,))


def test_bernoulli_of_unbroadcastable_p():
    with pytest.raises(BroadcastError, match="bernoulli: the shapes must broadcast together"):
        random.bernoulli(random.key(0), np.full(3, 0.5), (2,))


def test_uniform_of_larger_bound():
    message = r"uniform: minval must broadcast to the shape; got \(4,\) and \(\)"
    with pytest.raises(ShapeError, match=message):
        random.uniform(random.key(0), minval=np.zeros(4))


def test_uniform_of_unbroadcastable_bound():
    with pytest.raises(BroadcastError, match="uniform: the shapes must broadcast together"):
        random.uniform(random.key(0), 3, maxval=np.ones(4))


@pytest.mark.parametrize("bound", [[0.0], 1j, np.ones(3) * 1j])
def test_uniform_of_bound_not_real(bound):
    with pytest.raises(DTypeError, match="uniform: maxval must be a real number or array; got"):
        random.uniform(random.key(0), 3, maxval=bound)


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1])
def test_seed_of_more_than_64_bits(seed):
    with pytest.raises(ValueError, match=f"key: the seed must fit in 64 bits; got {seed}"):
        random.key(seed)


@pytest.mark.parametrize(
    ("seed", "found"), [(0.5, "float"), ("1", "str"), (np.ones(()), "float64")]
)
def test_seed_not_integer(seed, found):
    with pytest.raises(DTypeError, match=f"key: the seed must be an integer; got {found}"):
        random.key(seed)


def test_seed_with_axes():
    message = r"key: the seed must have shape \(\); got \(2,\)\. Use vmap for several seeds"
    with pytest.raises(ShapeError, match=message):
        random.key(np.asarray([1, 2]))


@pytest.mark.parametrize("data", [-1, 2**32])
def test_fold_in_of_number_outside(data):
    with pytest.raises(ValueError, match=rf"fold_in: data must lie in \[0, 2\*\*32\); got {data}"):
        random.fold_in(random.key(0), data)


@pytest.mark.parametrize(
    ("data", "found"), [(0.5, "float"), (np.ones(()), "float64"), (True, "bool")]
)
def test_fold_in_of_no_integer(data, found):
    with pytest.raises(DTypeError, match=f"fold_in: data must be an integer; got {found}"):
        random.fold_in(random.key(0), data)


def test_fold_in_of_axes():
    with pytest.raises(ShapeError, match=r"fold_in: data must have shape \(\); got \(2,\)"):
        random.fold_in(random.key(0), np.asarray([1, 2]))
