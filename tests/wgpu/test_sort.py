"""Order along an axis: NumPy's, stable, for rows of all lengths."""

import numpy as np
import pytest
from wgpu_launches import lacks, pretend, ran, view_of

from volta.core.errors import DTypeError
from volta.functional.sorting import _numpy_argsort
from volta.wgpu.kernels.sort import argsort, searchsorted, sort, top_indices
from volta.wgpu.launch import Writer

LENGTHS = [1, 2, 31, 33, 64, 65, 256, 257, 1000, 1024, 1025, 5000]
DTYPES = ["int8", "uint8", "int16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
DTYPES += ["bool", "float16"]


def ordered(device, x, axis, descending, index="int32"):
    """Sorted elements, and their indices."""

    def write(to, x, values, indices):
        sort(to, x, values, axis=axis, descending=descending)
        argsort(to, x, indices, axis=axis, descending=descending)

    return ran(device, write, [x], [(x.shape, x.dtype), (x.shape, index)])


def checked(device, x, axis, descending):
    values, indices = ordered(device, x, axis, descending)
    expected = _numpy_argsort(x, axis=axis, descending=descending, stable=True)
    np.testing.assert_array_equal(indices, expected)
    found = np.take_along_axis(x, expected, axis)
    assert np.asarray(values).tobytes() == np.ascontiguousarray(found).tobytes()


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("length", LENGTHS)
def test_lengths(first, length, descending):
    x = np.random.default_rng(length).integers(-40, 40, (3, length)).astype(np.float32)
    x[:, ::5] = -0.0
    x[1, ::7] = np.nan
    x[2, ::9], x[2, 1::9] = np.inf, -np.inf
    checked(
        device=first, x=np.where(np.isnan(x), np.float32(np.nan), x), axis=1, descending=descending
    )


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("length", [20, 200, 1500])
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(first, dtype, length, descending):
    if lacks(first, dtype):
        pytest.skip(f"the device has no {dtype}")
    rng = np.random.default_rng(5)
    if dtype == "bool":
        x = rng.integers(0, 2, length).astype(bool)
    elif dtype.startswith("float"):
        exponents = rng.integers(-8 if dtype == "float16" else -40, 12, length)
        x = (rng.normal(size=length) * 2.0**exponents).astype(dtype)
        x[::50] = x[1]
    else:
        info = np.iinfo(dtype)
        x = rng.integers(info.min, info.max, length, dtype=dtype, endpoint=True)
        x[:2] = info.min, info.max
        x[::50] = x[1]
    checked(first, x, 0, descending)


@pytest.mark.parametrize("length", [20, 200, 1500])
def test_bfloat16(first, length):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.random.default_rng(6).normal(size=length).astype(ml_dtypes.bfloat16)
    checked(first, x, 0, descending=True)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("length", [6, 60, 1100])
def test_axes(first, axis, length):
    shape = [3, 2, 4]
    shape[axis] = length
    x = np.random.default_rng(7).integers(0, 99, shape).astype(np.int32)
    checked(first, x, axis, descending=False)


@pytest.mark.parametrize("shape", [(0,), (0, 5), (5, 0)])
def test_nothing(first, shape):
    assert ordered(first, np.zeros(shape, np.float32), len(shape) - 1, False)[0].shape == shape


@pytest.mark.parametrize("length", [9, 90, 1030])
def test_views(first, length):
    base = np.random.default_rng(8).integers(0, 50, (5, 2 * length)).astype(np.int32)
    n = 2 * length
    view = base, lambda v: view_of(v, base, (-n, -2), 4 * n + n - 1, (4, length))

    def write(to, x, values, indices):
        turned = values._replace(shape=(4, length), strides=(1, -6), offset=(length - 1) * 6 + 1)
        sort(to, x, turned, axis=1, descending=False)
        argsort(to, x, indices, axis=1, descending=False)

    results = [((length, 6), np.int32), ((4, length), np.uint32)]
    values, indices = ran(first, write, [view], results)
    x = base[:0:-1, ::-2]
    np.testing.assert_array_equal(values[::-1, 1:5].T, np.sort(x, 1))
    np.testing.assert_array_equal(indices, np.argsort(x, 1, kind="stable"))


@pytest.mark.parametrize("shape", [(70_000, 2), (3000, 33), (300_000,)])
def test_many(first, shape):
    x = np.random.default_rng(9).integers(0, 2**31, shape).astype(np.int32)

    def write(to, x, out):
        to.facts = pretend(first, groups=1000)
        sort(to, x, out, axis=len(shape) - 1, descending=False)

    (out,) = ran(first, write, [x], [(shape, np.int32)])
    np.testing.assert_array_equal(out, np.sort(x, -1))


def test_devices_that_are_not_the_host(first):
    x = np.random.default_rng(11).normal(size=(2, 5000)).astype(np.float32)

    def write(to, x, out):
        to.facts = pretend(first, kind="discrete")
        argsort(to, x, out, axis=1, descending=False)

    (out,) = ran(first, write, [x], [(x.shape, np.int32)])
    np.testing.assert_array_equal(out, np.argsort(x, 1, kind="stable"))


@pytest.mark.parametrize("bits", [1, 4, 9])
def test_few_bits(first, bits):
    x = np.random.default_rng(10).integers(0, 1 << bits, 3000).astype(np.uint32)

    def write(to, x, out):
        argsort(to, x, out, axis=0, descending=False, bits=bits)
        assert len(to.launches) < 12  # all bits need more

    (out,) = ran(first, write, [x], [(x.shape, np.uint32)])
    np.testing.assert_array_equal(out, np.argsort(x, kind="stable"))


@pytest.mark.parametrize("length", [12, 300])
def test_the_largest(first, length):
    x = np.random.default_rng(12).integers(0, 9, (3, length, 2)).astype(np.float32)
    x[1, 3] = np.nan

    def write(to, x, out):
        top_indices(to, x, out, axis=1)

    (out,) = ran(first, write, [x], [((3, 5, 2), np.int32)])
    expected = _numpy_argsort(x, axis=1, descending=True, stable=True)
    np.testing.assert_array_equal(out, expected[:, :5])


# Searches -----------------------------------------------------------------------------------------


def places(device, x, values, side, index="int32"):
    def write(to, x, values, out):
        searchsorted(to, x, values, out, side=side)

    return ran(device, write, [x, values], [(values.shape, index)])[0]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("length", [0, 1, 2, 100, 70_001])
def test_places(first, length, side):
    x = np.sort(np.random.default_rng(length).integers(-99, 99, length)).astype(np.float32)
    values = np.asarray([[-200, -99, -0.0, 0.0], [np.inf, -np.inf, np.nan, 50]], np.float32)
    if length > 50:
        x[:5], x[-9:] = -np.inf, np.nan
    np.testing.assert_array_equal(
        places(first, x, values, side), np.searchsorted(x, values, side=side)
    )


@pytest.mark.parametrize(
    ("own", "other"),
    [
        ("int8", "int8"),
        ("int32", "int16"),
        ("uint8", "uint32"),
        ("int32", "uint32"),
        ("int64", "int32"),
        ("uint64", "uint8"),
        ("float64", "float32"),
        ("float16", "float32"),
    ],
)
def test_places_of_other_dtypes(first, own, other):
    if (
        lacks(first, own)
        or lacks(first, other)
        or ({own, other} == {"int32", "uint32"} and lacks(first, "int64"))
    ):
        pytest.skip(f"the device cannot compare {own} and {other}")
    x = np.arange(10 if own.startswith("u") else -50, 100, 3).astype(own)
    values = np.random.default_rng(0).integers(0, 120, 30).astype(other)
    np.testing.assert_array_equal(places(first, x, values, "left"), np.searchsorted(x, values))


def test_places_in_a_view(first):
    base = np.arange(20, dtype=np.int32)[::-1].copy()
    values = np.asarray([3, 4, 30], np.int32)
    view = base, lambda v: view_of(v, base, (-2,), 19, (10,))
    np.testing.assert_array_equal(places(first, view, values, "right"), [2, 3, 10])


def test_dtypes_that_do_not_meet(first):
    to = Writer(first)
    x, values, out = (to.scratch(d, (3,)) for d in ("int32", "float32", "int32"))
    with pytest.raises(DTypeError, match="must promote by the standard; got int32 and float32"):
        searchsorted(to, x, values, out, side="left")
