"""Running results along an axis: those of NumPy, for chunks of all levels and any strides."""

import numpy as np
import pytest
from wgpu_launches import lacks, ran, view_of

from volta.core.errors import DTypeError
from volta.wgpu.kernels.cumulative import cumulative
from volta.wgpu.launch import Writer

UFUNCS = {
    "sum": np.add,
    "prod": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
    "logsumexp": np.logaddexp,
}


def running(device, x, axis, mode, dtype=None):
    def write(to, x, out):
        cumulative(to, x, out, axis=axis, mode=mode)

    return ran(device, write, [x], [(x.shape, dtype or x.dtype)])[0]


def drawn(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("mode", UFUNCS)
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((1,), 0), ((7,), 0), ((3, 5, 4), 1), ((257,), 0), ((2, 300, 3), 1), ((40_000,), 0)],
)
def test_modes_and_lengths(first, mode, shape, axis):
    x = drawn(shape)
    if mode == "prod":
        x = np.exp(0.01 * x)
    expected = UFUNCS[mode].accumulate(x.astype(np.float64), axis)
    tolerance = {"atol": 2e-5 * np.abs(expected).max(), "rtol": 2e-6} if mode == "sum" else {}
    np.testing.assert_allclose(
        running(first, x, axis, mode), expected, **tolerance or {"rtol": 2e-5}
    )


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3)])
def test_nothing(first, shape):
    assert running(first, np.zeros(shape, np.float32), 1 if len(shape) > 1 else 0, "sum").size == 0


def test_sums_of_many_numbers_are_closer_than_one_after_the_other(first):
    x = np.random.default_rng(1).uniform(size=1_000_000).astype(np.float32)
    exact = np.cumsum(x.astype(np.float64))
    error = np.abs(running(first, x, 0, "sum") - exact)
    assert error.max() < np.abs(np.cumsum(x) - exact).max()
    assert error.max() < 1


def test_many_rows(first):
    x = np.random.default_rng(2).integers(-9, 9, (300, 4100)).astype(np.int32)
    np.testing.assert_array_equal(running(first, x, 0, "sum"), np.cumsum(x, 0))


@pytest.mark.parametrize("length", [40, 600])
@pytest.mark.parametrize(
    ("dtype", "to"),
    [
        ("bool", "int32"),
        ("int8", "int8"),
        ("uint8", "uint8"),
        ("int16", "int32"),
        ("int32", "int32"),
        ("uint32", "uint32"),
        ("int32", "int64"),
        ("uint8", "uint64"),
        ("int8", "uint64"),
        ("int64", "int64"),
        ("float32", "float64"),
        ("int8", "float32"),
    ],
)
@pytest.mark.parametrize("mode", ["sum", "prod"])
def test_dtypes(first, length, dtype, to, mode):
    if lacks(first, dtype) or lacks(first, to):
        pytest.skip(f"the device has no {dtype} or no {to}")
    x = np.random.default_rng(3).integers(-120, 120, (2, length))
    if mode == "prod":
        x = np.where(x > 0, 3 if to.startswith(("i", "u")) else 1, -1)  # of floats exact
    x = x.astype(dtype)
    own = UFUNCS[mode].accumulate(x.astype(to), 1, dtype=to)
    np.testing.assert_array_equal(running(first, x, 1, mode, to), own)


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("dtype", ["int8", "int32", "uint32", "int64", "uint64", "float64"])
def test_extrema_of_all_dtypes(first, dtype, mode):
    if lacks(first, dtype):
        pytest.skip(f"the device has no {dtype}")
    x = np.random.default_rng(4).permutation(300).astype(np.int64) - 150
    x = (x * (2**55 if dtype.endswith("64") else 1)).astype(dtype)
    np.testing.assert_array_equal(running(first, x, 0, mode), UFUNCS[mode].accumulate(x))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bit_floats_are_summed_in_32(first, dtype):
    if lacks(first, dtype):
        pytest.skip(f"the device has no {dtype}")
    ml_dtypes = pytest.importorskip("ml_dtypes")
    dtype = np.dtype(getattr(ml_dtypes, dtype, dtype))
    x = (drawn((700,)) + 3).astype(dtype)
    expected = np.cumsum(x.astype(np.float32)).astype(dtype)
    found = running(first, x, 0, "sum").astype(np.float32)
    differ = found != expected.astype(np.float32)
    assert differ.mean() < 0.01
    np.testing.assert_allclose(found, expected.astype(np.float32), rtol=1e-2)


def test_bfloat16_is_the_nearest_even_one(first):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    bits = np.asarray([0x3F808000, 0x3F818000, 0x3F808001, 0x3F817FFF, 0x7F7FFFFF, 0x7FFFFFFF])
    x = np.concatenate([bits, bits + 0x80000000]).astype(np.uint32).view(np.float32)[:, None]
    found = running(first, x, 1, "sum", ml_dtypes.bfloat16)
    np.testing.assert_array_equal(
        found.astype(np.float32), x.astype(ml_dtypes.bfloat16).astype(np.float32)
    )


@pytest.mark.parametrize("mode", UFUNCS)
@pytest.mark.parametrize("length", [8, 400])
@pytest.mark.filterwarnings("ignore:(invalid|overflow)")
def test_special_values(first, mode, length):
    special = np.asarray([-0.0, 1, -np.inf, 0, np.inf, 5, np.nan, 2], np.float32)
    x = np.stack([special, special[::-1], -special, np.roll(special, 3)])
    if mode == "logsumexp":
        x[:, 0] = -np.inf
    x = np.concatenate([np.full((4, length - 8), x[:, :1]), x], axis=1)
    expected = UFUNCS[mode].accumulate(x, 1)
    np.testing.assert_allclose(running(first, x, 1, mode), expected, rtol=1e-5)
    if mode == "sum":
        assert np.signbit(running(first, x, 1, mode)[0, 0])


def test_views(first):
    base = drawn((6, 300))

    def write(to, x, out):
        turned = out._replace(shape=(4, 300), strides=(1, -5), offset=299 * 5)
        cumulative(to, x, turned, axis=1, mode="sum")

    x = base[4::-1, ::-1][:4]
    view = base, lambda v: view_of(v, base, (-300, -1), 4 * 300 + 299, (4, 300))
    (out,) = ran(first, write, [view], [((300, 5), np.float32)])
    np.testing.assert_allclose(out[::-1, :4].T, np.cumsum(x, 1), atol=1e-4)


def test_no_logarithms_in_64_bits(first):
    to = Writer(first)
    x = to.scratch("float64", (3,))
    with pytest.raises(DTypeError, match="must be floating of at most 32 bits; got float64"):
        cumulative(to, x, to.scratch("float64", (3,)), axis=0, mode="logsumexp")
