"""Pooling against PyTorch's, over all its arguments, and what holds at ties, NaN and borders."""

import math
import tracemalloc

import numpy as np
import pytest
from against_torch import assert_like_torch
from differences import check, scalar
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import FLOAT, HALVES, INT, UINT, fill, library, numpy_dtype, running, seeds

import volta
import volta.functional as F
from volta.core.errors import DimensionError, DTypeError, ShapeError
from volta.core.types import typeof
from volta.functional.pooling import windows_of
from volta.functional.windowed import Windows, _put, max_places, max_windows, pick

pytestmark = pytest.mark.neural
LIBRARIES = ("numpy", "array_api_strict", "torch")
KEY = F.random.key(0)
dtypes = st.sampled_from(FLOAT)
ranks = st.integers(1, 3)


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch").nn.functional


def distinct(seed, shape):
    """Numbers without equals among them."""
    size = int(np.prod(shape))
    return np.random.default_rng(seed).permutation(size).reshape(shape) / 7 - size / 14


@st.composite
def windows(draw, dilated=True):
    """Rank, shape of an input, and arguments of windows that fit into it."""
    nd = draw(ranks)
    each = [draw(st.integers(1, 3 if nd == 3 else 4)) for _ in range(nd)]
    options = {
        "kernel_size": tuple(each) if draw(st.booleans()) else each[0],
        "stride": draw(st.one_of(st.none(), st.tuples(*[st.integers(1, 4)] * nd))),
        "padding": tuple(draw(st.integers(0, k // 2)) for k in each),
        "ceil_mode": draw(st.booleans()),
    }
    if not isinstance(options["kernel_size"], tuple):
        options["padding"] = draw(st.integers(0, each[0] // 2))
    if dilated:
        options["dilation"] = draw(st.integers(1, 2))
    lead = (draw(st.integers(1, 2)),) if draw(st.booleans()) else ()
    shape = (*lead, draw(st.integers(1, 2)), *(draw(st.integers(1, 7)) for _ in range(nd)))
    kernel, padding = (
        options[n] if isinstance(options[n], tuple) else (options[n],) * nd
        for n in ("kernel_size", "padding")
    )
    for n, k, p in zip(shape[-nd:], kernel, padding, strict=True):
        reach = options.get("dilation", 1) * (k - 1) + 1
        assume(reach <= n + 2 * p)
        # else a window may lie in the padding alone, of which PyTorch reads beyond the image
        assume(p == 0 or reach - p <= n or options.get("dilation", 1) == 1)
    return nd, shape, options


# Against PyTorch ----------------------------------------------------------------------------------


@pytest.mark.parametrize("lib", LIBRARIES)
@given(case=windows(), seed=seeds, dtype=dtypes)
def test_max_pool(torch, lib, case, seed, dtype):
    nd, shape, options = case
    name = f"max_pool{nd}d"
    x = distinct(seed, shape)
    ours, theirs = getattr(F, name), getattr(torch, name)
    assert_like_torch(lambda x: ours(x, **options), lambda x: theirs(x, **options), [x], dtype, lib)
    y, indices = ours(library(lib).asarray(x), **options, return_indices=True)
    expected = theirs(as_tensor(x), **options, return_indices=True)
    np.testing.assert_array_equal(library(lib).host(y), expected[0])
    np.testing.assert_array_equal(library(lib).host(indices), expected[1])
    assert typeof(indices).dtype.name == "int64"


@pytest.mark.parametrize("lib", LIBRARIES)
@given(
    case=windows(dilated=False),
    seed=seeds,
    dtype=dtypes,
    include=st.booleans(),
    divisor=st.sampled_from((None, 3)),
)
def test_avg_pool(torch, lib, case, seed, dtype, include, divisor):
    nd, shape, options = case
    options["count_include_pad"] = include
    if nd > 1:
        options["divisor_override"] = divisor
    kernel = options["kernel_size"]
    assume(nd < 3 or np.all(np.asarray(kernel) <= shape[-nd:]))  # which PyTorch asks for
    ours, theirs = (getattr(f, f"avg_pool{nd}d") for f in (F, torch))
    x = fill(seed, shape, "float64")
    assert_like_torch(lambda x: ours(x, **options), lambda x: theirs(x, **options), [x], dtype, lib)


@given(
    case=windows(dilated=False),
    seed=seeds,
    dtype=dtypes,
    p=st.sampled_from((1.0, 2.0, 3.0, 2.5)),
)
def test_lp_pool(torch, case, seed, dtype, p):
    nd, shape, options = case
    del options["padding"]
    kernel = options["kernel_size"]
    kernel = kernel if isinstance(kernel, tuple) else (kernel,) * nd
    assume(all(k <= n for k, n in zip(kernel, shape[-nd:], strict=True)))
    ours, theirs = (getattr(f, f"lp_pool{nd}d") for f in (F, torch))
    x = fill(seed, shape, "float64", low=0.1)
    # torch takes one number for signals alone, and no None for a stride beside a tuple
    given_ = {**options, "kernel_size": kernel[0] if nd == 1 else kernel}
    given_["stride"] = options["stride"] or kernel
    given_["stride"] = given_["stride"][0] if nd == 1 else given_["stride"]
    assert_like_torch(lambda x: ours(x, p, **options), lambda x: theirs(x, p, **given_), [x], dtype)


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data(), nd=ranks, seed=seeds, dtype=dtypes)
def test_adaptive_pools(torch, lib, data, nd, seed, dtype):
    shape = tuple(data.draw(st.integers(1, 6)) for _ in range(nd))
    lead = (2,) if data.draw(st.booleans()) else ()
    size = tuple(data.draw(st.sampled_from((1, 2, 3, n, 7))) for n in shape)
    x = distinct(seed, (*lead, 2, *shape))
    for kind in ("avg", "max"):
        ours, theirs = (getattr(f, f"adaptive_{kind}_pool{nd}d") for f in (F, torch))
        assert_like_torch(
            lambda x, f=ours: f(x, size), lambda x, f=theirs: f(x, size), [x], dtype, lib
        )
    y, indices = getattr(F, f"adaptive_max_pool{nd}d")(library(lib).asarray(x), size, True)
    expected = getattr(torch, f"adaptive_max_pool{nd}d")(as_tensor(x), size, True)
    np.testing.assert_array_equal(library(lib).host(y), expected[0])
    np.testing.assert_array_equal(library(lib).host(indices), expected[1])


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data(), nd=st.integers(2, 3), seed=seeds, dtype=dtypes)
def test_fractional_max_pool(torch, lib, data, nd, seed, dtype):
    kernel = tuple(data.draw(st.integers(1, 3)) for _ in range(nd))
    size = tuple(data.draw(st.integers(1, 3)) for _ in range(nd))
    least = nd - 2  # PyTorch wants more of volumes
    more = tuple(data.draw(st.integers(least, 4)) for _ in range(nd))
    shape = tuple(m + k - 1 + e for m, k, e in zip(size, kernel, more, strict=True))
    lead = (2, 3) if data.draw(st.booleans()) else (3,)
    x = distinct(seed, (*lead, *shape))
    samples = np.random.default_rng(seed).random((*lead, nd)).astype(dtype)
    theirs_samples = as_tensor(samples if len(lead) == 2 else samples[None])
    ours, theirs = (getattr(f, f"fractional_max_pool{nd}d") for f in (F, torch))
    assert_like_torch(
        lambda x: ours(x, kernel, size, _random_samples=samples),
        lambda x: theirs(x, kernel, size, _random_samples=theirs_samples.double()),
        [x],
        dtype,
        lib,
    )
    y, indices = ours(library(lib).asarray(x.astype(dtype)), kernel, size, None, True, samples)
    expected = theirs(as_tensor(x.astype(dtype)), kernel, size, None, True, theirs_samples)
    np.testing.assert_array_equal(library(lib).host(y), expected[0])
    np.testing.assert_array_equal(library(lib).host(indices), expected[1])


@pytest.mark.parametrize("lib", LIBRARIES)
@given(nd=ranks, seed=seeds, dtype=dtypes, batch=st.booleans(), rest=st.booleans())
def test_max_unpool(torch, lib, nd, seed, dtype, batch, rest):
    shape = (*((2,) if batch else ()), 2, *(4, 6, 4)[:nd])
    if rest:
        shape = (*shape[:-1], shape[-1] + 1)
    x = distinct(seed, shape)
    y, indices = getattr(F, f"max_pool{nd}d")(x, 2, return_indices=True)
    size = shape[-nd:] if rest else None
    ours, theirs = (getattr(f, f"max_unpool{nd}d") for f in (F, torch))
    assert_like_torch(
        lambda y: ours(y, indices, 2, output_size=size),
        lambda y: theirs(y, as_tensor(indices), 2, output_size=size),
        [y],
        dtype,
        lib,
    )
    back = ours(y, indices, 2, output_size=size)
    np.testing.assert_array_equal(back, np.where(np.isin(x, y), x, 0))


def as_tensor(x):
    return pytest.importorskip("torch").from_numpy(x.copy())


# Every library ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["array_api_strict", "torch", "jax", "dask"])
@pytest.mark.parametrize("dtype", [*INT, "uint8", *FLOAT, *HALVES])
def test_the_libraries_agree(name, dtype):
    lib = library(name)
    if name == "array_api_strict" and dtype in HALVES:
        pytest.skip("array-api-strict has no 16-bit floats")
    if name == "dask" and dtype in HALVES:
        pytest.skip("dask has no 16-bit floats")
    shapes = {1: (2, 9), 2: (2, 7, 6), 3: (1, 5, 4, 6)}
    if name == "jax":  # which compiles every operation
        if dtype not in ("int8", "float32", "bfloat16"):
            pytest.skip("what JAX does with one dtype it does with those like it")
        shapes = {2: shapes[2]}
    for nd, shape in shapes.items():
        x = fill(3, shape, dtype, low=-9, high=9)
        pool = getattr(F, f"max_pool{nd}d")
        options = {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}
        expected = pool(x, **options, return_indices=True)
        with running(name):
            found = pool(lib.asarray(x), **options, return_indices=True)
            alone = lib.host(pool(lib.asarray(x), **options))
            host = [lib.host(a) for a in found]
            pooled = None
            if "int" not in dtype:
                pooled = lib.host(getattr(F, f"avg_pool{nd}d")(lib.asarray(x), **options))
        np.testing.assert_array_equal(host[0], expected[0])
        np.testing.assert_array_equal(alone, expected[0])
        np.testing.assert_array_equal(host[1], expected[1])
        assert typeof(found[0]).dtype.name == dtype
        if pooled is not None:
            wanted = getattr(F, f"avg_pool{nd}d")(x, **options).astype("float64")
            tolerance = 1e-2 if dtype in HALVES else 1e-6
            np.testing.assert_allclose(pooled.astype("float64"), wanted, tolerance, tolerance)


def test_jaxs_own_transforms_see_through():
    jax = pytest.importorskip("jax")

    def with_indices(x, *sizes):
        return F.max_pool2d(x, *sizes, return_indices=True)[0]

    x = fill(0, (2, 6, 6), "float32")

    def dilated(x, *sizes):
        return F.max_pool2d(x, *sizes, dilation=2)

    for pool in (F.max_pool2d, F.avg_pool2d, with_indices, dilated):
        theirs = jax.grad(lambda x, f=pool: jax.numpy.sum(f(x, 3, 2, 1) ** 2))(jax.numpy.asarray(x))
        ours = volta.grad(lambda x, f=pool: F.sum(f(x, 3, 2, 1) ** 2))(x)
        np.testing.assert_allclose(np.asarray(theirs), ours, rtol=1e-5, atol=1e-6)


# Values -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [*INT, *FLOAT, *HALVES])
def test_there_is_nothing_in_the_padding(dtype):
    """The Rust framework put zeros there, so that negative maps were 0 at their borders."""
    x = np.full((1, 4, 4), -5).astype(numpy_dtype(dtype))
    for options in ({"padding": 1}, {"padding": 1, "ceil_mode": True, "stride": 2}):
        np.testing.assert_array_equal(F.max_pool2d(x, 3, **options), -5)
    least = np.iinfo(dtype).min if dtype in INT else -np.inf
    x = np.full((1, 4), least, dtype=numpy_dtype(dtype))
    y, indices = F.max_pool1d(x, 3, 1, 1, return_indices=True)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(indices, [[0, 0, 1, 2]])


@pytest.mark.parametrize("dtype", UINT)
def test_unsigned_integers(dtype):
    x = np.asarray([[0, 3, 1, 0, 0, 2]]).astype(dtype)
    np.testing.assert_array_equal(F.max_pool1d(x, 2), [[3, 1, 2]])
    assert F.max_pool1d(x, 2).dtype == dtype


@pytest.mark.parametrize("name", ["numpy", "array_api_strict", "torch", "jax"])
def test_the_first_of_equals_has_the_derivative(name):
    lib = library(name)
    x = np.asarray([[[1.0, 2.0, 2.0, 0.0], [2.0, 2.0, 0.0, 0.0], [0.0] * 4]])
    with running(name):
        _, pull = volta.vjp(lambda x: F.max_pool2d(x, 2), lib.asarray(x))
        (grad,) = pull(lib.asarray(np.asarray([[[3.0, 5.0]]])))
        _, indices = F.max_pool2d(lib.asarray(x), 2, return_indices=True)
    np.testing.assert_array_equal(lib.host(grad)[0, :2], [[0, 3, 5, 0], [0] * 4])
    np.testing.assert_array_equal(lib.host(indices), [[[1, 2]]])


@pytest.mark.parametrize("name", ["numpy", "array_api_strict", "torch", "jax"])
@pytest.mark.parametrize("shape", [(1, 5), (1, 3, 3)])
def test_nan_stays(name, shape):
    """As in PyTorch, the last NaN of a window."""
    lib = library(name)
    x = np.arange(float(np.prod(shape))).reshape(shape)
    x[..., 1] = np.nan
    x[..., -2] = np.nan
    x.flat[0] = -np.inf
    nd = len(shape) - 1
    with running(name):
        y, indices = getattr(F, f"max_pool{nd}d")(lib.asarray(x), shape[1:], return_indices=True)
        alone = getattr(F, f"max_pool{nd}d")(lib.asarray(x), shape[1:])
    assert np.isnan(lib.host(y)).all()
    assert np.isnan(lib.host(alone)).all()
    assert int(lib.host(indices).flat[0]) == np.flatnonzero(np.isnan(x))[-1]


def test_overlapping_windows_add_up():
    x = np.asarray([[0.0, 9.0, 1.0, 2.0]])
    np.testing.assert_array_equal(
        volta.grad(lambda x: F.sum(F.max_pool1d(x, 3, 1, 1)))(x), [[0, 3, 0, 1]]
    )
    np.testing.assert_array_equal(
        volta.grad(lambda x: F.sum(F.avg_pool1d(x, 2, 1) * 2))(x), [[1, 2, 2, 1]]
    )


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize(
    ("shape", "sizes", "runs"),
    [
        ((3, 7, 7), ((7, 7), None), True),
        ((3, 8, 4), ((4, 4), None), True),  # rows of windows, each as wide as the image
        ((3, 4, 8), ((4, 4), None), False),
        ((3, 7, 7), ((7, 7), 9), True),  # a single window is nowhere else
        ((3, 8, 4), ((4, 4), (3, 4)), False),
        ((3, 4, 4), ((4, 4), 9, (2, 0)), False),
        ((3, 5, 3, 4), ((1, 3, 4), None), False),  # too short to pay
        ((3, 4, 3, 4), ((2, 3, 4), None), True),
    ],
)
def test_windows_that_are_runs(lib, shape, sizes, runs):
    """They are summed up as one axis; the others tap by tap."""
    nd, x = len(shape) - 1, distinct(0, shape)
    pools = [getattr(F, f"{kind}_pool{nd}d") for kind in ("avg", "max")]
    windows = windows_of(f"avg_pool{nd}d", x, *sizes)
    assert windows.runs == runs
    for pool, reduce in zip(pools, (np.mean, np.max), strict=True):
        found = library(lib).host(pool(library(lib).asarray(x), *sizes))
        for i, place in enumerate(np.ndindex(windows.places)):
            start = [j * s - p for j, s, p in zip(place, *windows[2:4], strict=True)]
            part = tuple(
                slice(max(0, a), a + k) for a, k in zip(start, windows.kernel, strict=True)
            )
            wanted = reduce(x[(slice(None), *part)].reshape(3, -1), axis=1)
            if reduce is np.mean:
                wanted = wanted * math.prod(x[(0, *part)].shape) / windows.taps
            np.testing.assert_allclose(found.reshape(3, -1)[:, i], wanted, rtol=1e-13)


def test_the_last_window_begins_inside():
    x = np.arange(5.0)[None]
    assert F.max_pool1d(x, 2, 2).shape == (1, 2)
    np.testing.assert_array_equal(F.max_pool1d(x, 2, 2, ceil_mode=True), [[1, 3, 4]])
    # one more would begin at 5, in the padding at the end
    np.testing.assert_array_equal(F.max_pool1d(x, 2, 3, 1, ceil_mode=True), [[0, 3]])
    np.testing.assert_array_equal(F.avg_pool1d(x, 2, 2, ceil_mode=True), [[0.5, 2.5, 4]])
    # of the last window, from 3 to 5, the padding at 4 counts and what is beyond it does not
    np.testing.assert_array_equal(
        F.avg_pool1d(x[:, :4], 3, 2, 1, ceil_mode=True), [[1 / 3, 2, 1.5]]
    )
    y = F.lp_pool1d(np.asarray([[1.0, 2.0, 3.0]]), 2.0, 2, ceil_mode=True)
    np.testing.assert_allclose(y, [[5**0.5, 18**0.5]])


@pytest.mark.parametrize("dtype", HALVES)
def test_halves_are_added_up_in_32_bits(dtype):
    x = np.ones((1, 4096)).astype(numpy_dtype(dtype))
    assert float(F.avg_pool1d(x, 4096)[0, 0]) == 1
    assert float(F.adaptive_avg_pool1d(x, 1)[0, 0]) == 1
    assert float(F.lp_pool1d(x, 2.0, 4096)[0, 0]) == 64
    y, pull = volta.vjp(lambda x: F.max_pool1d(x, 4095, 1, 2047), x[:, :4095])
    (grad,) = pull(np.ones(y.shape, y.dtype))
    assert float(grad[0, 0]) == 2048  # all windows that hold the first of equals
    assert grad.dtype == x.dtype


def test_gaps_are_not_looked_at():
    """Between windows nothing is read: an infinite derivative there is no NaN."""
    x = np.asarray([[1.0, 0.0, 4.0, 0.0]])
    for pool in (F.max_pool1d, F.avg_pool1d):
        grad = volta.grad(lambda x, f=pool: F.sum(f(F.sqrt(x), 1, 2)))(x)
        np.testing.assert_array_equal(grad, [[0.5, 0, 0.25, 0]])


def test_norms():
    x = np.asarray([[-3.0, 4.0, 0.0, 0.0]])
    np.testing.assert_array_equal(F.lp_pool1d(x, 2.0, 2), [[5, 0]])
    np.testing.assert_array_equal(F.lp_pool1d(x, np.inf, 2), [[4, 0]])
    grad = volta.grad(lambda x: F.sum(F.lp_pool1d(x, 2.0, 2)))(x)
    np.testing.assert_allclose(grad, [[-0.6, 0.8, 0, 0]])
    _, t = volta.jvp(lambda x: F.lp_pool1d(x, 2.0, 2), (x,), (np.ones_like(x),))
    np.testing.assert_allclose(t, [[0.2, 0]])
    # a sum that is 0 has no derivative, and by convention 0
    x = np.asarray([[1.0, -1.0]])
    grad = volta.grad(lambda x: F.sum(F.lp_pool1d(x, 3.0, 2)))(x)
    np.testing.assert_array_equal(grad, [[0, 0]])


def test_windows_by_chance():
    x = np.arange(2 * 3 * 64.0).reshape(2, 3, 8, 8)
    y, indices = F.fractional_max_pool2d(x, 2, output_ratio=0.7, return_indices=True, key=KEY)
    assert y.shape == (2, 3, 5, 5)
    flat = np.take_along_axis(x.reshape(2, 3, 64), indices.reshape(2, 3, 25), 2)
    np.testing.assert_array_equal(flat.reshape(y.shape), y)
    again = F.fractional_max_pool2d(x, 2, 5, key=KEY)
    np.testing.assert_array_equal(again, y)
    other = F.fractional_max_pool2d(x, 2, 5, key=F.random.key(1))
    assert np.any(other != y)
    columns = indices % 8
    assert len({tuple(c) for c in columns[:, :, 0].reshape(6, 5)}) > 1  # its own for each channel


def test_windows_by_chance_under_transforms():
    x = np.arange(2 * 3 * 64.0).reshape(2, 3, 8, 8) % 19
    keys = F.random.split(KEY, 2)
    out = volta.vmap(lambda x, key: F.fractional_max_pool2d(x, 2, 5, key=key))(x, keys)
    loop = [F.fractional_max_pool2d(a, 2, 5, key=k) for a, k in zip(x, keys, strict=True)]
    np.testing.assert_array_equal(out, np.stack(loop))


def test_what_occurs_twice_is_put_once():
    y = F.max_unpool1d(np.asarray([[1.0, 7.0]]), np.asarray([[2, 2]]), 2)
    np.testing.assert_array_equal(y, [[0, 0, 7, 0]])


# Derivatives --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pool",
    [
        lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
        lambda x: F.max_pool2d(x, 2, return_indices=True)[0],
        lambda x: F.avg_pool2d(x, (3, 2), 2, 1, count_include_pad=False),
        lambda x: F.lp_pool2d(F.exp(x / 9), 3.0, 2),
        lambda x: F.adaptive_max_pool2d(x, (3, 2)),
        lambda x: F.adaptive_avg_pool2d(x, (3, 4)),
        lambda x: F.fractional_max_pool2d(x, 2, 3, key=KEY),
    ],
    ids=["max", "indices", "avg", "lp", "adaptive max", "adaptive avg", "fractional"],
)
def test_all_modes_to_second_order(pool):
    x = distinct(5, (2, 5, 6))
    check(scalar(pool), x)
    _, tangent = volta.linearize(pool, x)
    np.testing.assert_allclose(tangent(x), volta.jvp(pool, (x,), (x,))[1])


def test_a_lane_may_have_the_indices_alone():
    w = Windows((6,), (2,), (2,), (0,), (1,), (3,))
    x, ct = distinct(0, (2, 6)), distinct(1, (2, 3))
    lanes = np.stack([max_places(distinct(i, (2, 6)), windows=w) for i in range(3)])
    picked = volta.vmap(lambda p: pick(x, p, windows=w))(lanes)
    put = volta.vmap(lambda p: _put(ct, p, windows=w))(lanes)
    for i in range(3):
        np.testing.assert_array_equal(picked[i], np.take_along_axis(x, lanes[i], 1))
        np.testing.assert_array_equal(put[i], _put(ct, lanes[i], windows=w))


def test_many_taps():
    """More than 256 do not fit into 8 bits."""
    x = distinct(2, (1, 20, 20))
    y, indices = F.max_pool2d(x, 17, 3, return_indices=True)
    np.testing.assert_array_equal(x.reshape(-1)[indices], y)
    expected = [[x[0, i : i + 17, j : j + 17].max() for j in (0, 3)] for i in (0, 3)]
    np.testing.assert_array_equal(y[0], expected)


def test_jacobians_of_pools_are_sparse():
    x = np.random.default_rng(1).permutation(24).reshape(1, 4, 6) / 7
    for fun in (
        lambda x: F.max_pool2d(x, 3, 2, 1),
        lambda x: F.avg_pool2d(x, 2, 1),
        lambda x: volta.grad(lambda x: F.sum(F.avg_pool2d(x, 2, 2) ** 2))(x),
        lambda x: volta.grad(lambda x: F.sum(F.max_pool2d(x, 2, 2) ** 2))(x),
    ):
        dense = volta.jacfwd(fun)(x).reshape(-1, 24)
        found = volta.sparse.pattern(fun)(x)
        found = np.asarray(found.todense() if hasattr(found, "todense") else found)
        assert np.all(found[dense != 0])
        assert found.mean() < 0.4


# Memory -------------------------------------------------------------------------------------------


def test_a_sweep_keeps_the_indices_alone():
    x = np.ones((8, 16, 32, 32), np.float32)
    tracemalloc.start()
    y, pull = volta.vjp(lambda x: F.max_pool2d(F.multiply(x, 2), 2), x)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 3.1 * y.nbytes  # y, and indices of twice its size; the input has four times that
    assert pull(y)[0].shape == x.shape


@pytest.mark.parametrize(("pool", "most"), [(F.max_pool2d, 0.9), (F.avg_pool2d, 0.9)])
def test_windows_are_not_copied(pool, most):
    """Of a pass forward, with windows of 9 elements: less than the input again."""
    x = np.ones((8, 16, 56, 56), np.float32)
    pool(x, 3, 2, 1)
    tracemalloc.start()
    pool(x, 3, 2, 1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < most * x.nbytes


# Arguments ----------------------------------------------------------------------------------------

ONES = np.ones((1, 4, 4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: F.max_pool2d(np.ones((4, 4)), 2),
            ShapeError,
            r"max_pool2d: x must have the axes \(n, channels, height, width\) or \(channels, "
            r"height, width\); got shape \(4, 4\)\.",
        ),
        (
            lambda: F.avg_pool1d(np.ones((2, 0)), 1),
            ShapeError,
            r"avg_pool1d: the windows' axes must have elements; got shape \(2, 0\)",
        ),
        (
            lambda: F.max_pool2d(ONES, (2, 2, 2)),
            ValueError,
            "max_pool2d: kernel_size must be an int of at least 1, or one for each of 2 axes",
        ),
        (lambda: F.max_pool2d(ONES, 0), ValueError, "kernel_size must be an int of at least 1"),
        (lambda: F.max_pool2d(ONES, 2, 0), ValueError, "stride must be an int of at least 1"),
        (lambda: F.max_pool2d(ONES, 2, dilation=0), ValueError, "dilation must be an int of at"),
        (lambda: F.max_pool2d(ONES, 2.5), DTypeError, "kernel_size must be an int, or one for"),
        (
            lambda: F.max_pool2d(ONES, 3, padding=2),
            ValueError,
            r"max_pool2d: padding must be at most half of kernel_size; got padding \(2, 2\) and "
            r"kernel_size \(3, 3\)",
        ),
        (
            lambda: F.max_pool1d(np.ones((1, 1)), 2, padding=1, dilation=2),
            ShapeError,
            r"max_pool1d: every window must have an element of the input; got kernel_size \(2,\), "
            r"dilation \(2,\), padding \(1,\) and lengths \(1,\)",
        ),
        (
            lambda: F.max_pool2d(ONES, 5),
            ShapeError,
            r"max_pool2d: the window must fit into the padded input; got kernel_size \(5, 5\)",
        ),
        (
            lambda: F.max_pool2d(ONES + 0j, 2),
            DTypeError,
            "max_pool2d: x must be of real-valued dtype; got complex128",
        ),
        (
            lambda: F.avg_pool2d(ONES, 2, divisor_override=0),
            ValueError,
            "avg_pool2d: divisor_override must not be 0; got 0",
        ),
        (
            lambda: F.lp_pool2d(ONES, 0.0, 2),
            ValueError,
            r"lp_pool2d: norm_type must be positive; got 0\.0",
        ),
        (
            lambda: F.lp_pool2d(ONES + 0j, 2.0, 2),
            DTypeError,
            "lp_pool2d: x must be of real floating dtype; got complex128",
        ),
        (
            lambda: F.adaptive_avg_pool2d(ONES, (2, 0)),
            ValueError,
            "adaptive_avg_pool2d: output_size must be an int of at least 1",
        ),
        (
            lambda: F.adaptive_avg_pool2d(ONES.astype(int), 2),
            DTypeError,
            "adaptive_avg_pool2d: x must be of floating dtype; got int64",
        ),
        (
            lambda: F.adaptive_max_pool1d(np.ones((1, 3)), (1, 2)),
            ValueError,
            "adaptive_max_pool1d: output_size must be an int of at least 1, or one for each of 1",
        ),
        (
            lambda: F.fractional_max_pool2d(ONES, 2, 2),
            ValueError,
            "fractional_max_pool2d: a random key must be given; got none",
        ),
        (
            lambda: F.fractional_max_pool2d(ONES, 2, key=KEY),
            ValueError,
            "either output_size or output_ratio must be given; got None and None",
        ),
        (
            lambda: F.fractional_max_pool2d(ONES, 2, output_ratio=1.0, key=KEY),
            ValueError,
            "output_ratio must be a number between 0 and 1, or one for each of 2 axes; got 1",
        ),
        (
            lambda: F.fractional_max_pool2d(ONES, 2, 4, key=KEY),
            ShapeError,
            r"output_size \+ kernel_size − 1 must be at most the lengths of the input; got "
            r"\(4, 4\), \(2, 2\) and \(4, 4\)",
        ),
        (
            lambda: F.fractional_max_pool2d(ONES, 2, 2, _random_samples=np.ones((2, 2))),
            ShapeError,
            r"_random_samples must have the shape \(1, 2\); got \(2, 2\)",
        ),
        (
            lambda: F.max_unpool2d(ONES, np.zeros((1, 4, 4)), 2),
            DTypeError,
            "max_unpool2d: indices must be integers and have the shape of x; got float64",
        ),
        (
            lambda: F.max_unpool2d(ONES, np.zeros((1, 4), int), 2),
            ShapeError,
            r"indices must be integers and have the shape of x; got int64 of shape \(1, 4\) for",
        ),
        (
            lambda: F.max_unpool1d(np.ones((1, 2)), np.asarray([[0, 4]]), 2),
            DimensionError,
            r"max_unpool1d: indices must be from 0 to 3, for lengths \(4,\); got 4",
        ),
        (
            lambda: F.max_unpool1d(np.ones((1, 2)), np.asarray([[-1, 2]]), 2),
            DimensionError,
            "indices must be from 0 to 3",
        ),
        (
            lambda: F.max_unpool1d(np.ones((1, 2)), np.asarray([[0, 2]]), 2, output_size=(6,)),
            ValueError,
            r"max_unpool1d: output_size must be between \(2,\) and \(6,\), ends excluded, and "
            r"positive; got \(6,\)",
        ),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_errors_are_the_same_where_nothing_is_computed():
    with pytest.raises(ShapeError, match="the window must fit into the padded input"):
        volta.trace(lambda x: F.max_pool2d(x, 5))(ONES)
    with pytest.raises(DTypeError, match="x must be of floating dtype; got int64"):
        volta.trace(lambda x: F.avg_pool2d(x, 2))(ONES.astype(int))
    windows = Windows((4, 4), (2, 2), (2, 2), (0, 0), (1, 1), (2, 2))
    with pytest.raises(DTypeError, match="max_pool: the dtype must be real-valued; got complex128"):
        volta.trace(lambda x: max_windows(x, windows=windows))(ONES + 0j)


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_batch_of_none(name):
    lib = library(name)
    pools = {
        "max": lambda x: F.max_pool2d(x, 2, return_indices=True)[0] + F.max_pool2d(x, 2),
        "avg": lambda x: F.avg_pool2d(x, 3, 2, 1),
        "adaptive": lambda x: F.adaptive_avg_pool2d(x, 3) + F.adaptive_max_pool2d(x, 3),
        "norm": lambda x: F.lp_pool2d(x, 2.0, 2),
        "fractional": lambda x: F.fractional_max_pool2d(x, 2, 2, key=KEY),
    }
    for pool in pools.values():
        x = lib.asarray(np.ones((0, 3, 4, 4), np.float32))
        y, pull = volta.vjp(pool, x)
        assert tuple(y.shape[:2]) == (0, 3)
        assert tuple(pull(y)[0].shape) == (0, 3, 4, 4)
    indices = lib.asarray(np.ones((0, 3, 2, 2), int))
    y = F.max_unpool2d(lib.asarray(np.ones((0, 3, 2, 2), np.float32)), indices, 2)
    assert tuple(y.shape) == (0, 3, 4, 4)


def test_jax_without_64_bits():
    jax = pytest.importorskip("jax")
    x = distinct(0, (2, 5, 5)).astype(np.float32)
    y, indices = F.max_pool2d(jax.numpy.asarray(x), 2, return_indices=True)
    expected = F.max_pool2d(x, 2, return_indices=True)
    np.testing.assert_array_equal(np.asarray(y), expected[0])
    np.testing.assert_array_equal(np.asarray(indices), expected[1])
    assert typeof(indices).dtype.name == "int32"
