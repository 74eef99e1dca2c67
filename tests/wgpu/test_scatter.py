"""Writing where arrays of indices say: NumPy's results, one after the other, each time the same."""

import numpy as np
import pytest
from wgpu_launches import lacks, pretend, ran, view_of

from volta.functional.indexing import numpy_scatter
from volta.wgpu.kernels.elements import each
from volta.wgpu.kernels.scatter import scatter

MODES = ["set", "add", "multiply", "max", "min"]


def scattered(device, base, values, indices, axes, mode):
    """The result, and whether an index was outside."""

    def write(to, base, values, *others):
        *indices, out, failed = others
        to.facts = pretend(device, buffers=10)
        each(to, "0", 1, "failed[0] = 0u;", writes={"failed": failed})
        scatter(to, base, values, indices, out, axes=axes, mode=mode, failed=failed, code=3)

    results = [(base.shape, base.dtype), ((1,), "uint32")]
    out, failed = ran(device, write, [base, values, *indices], results)
    return out, int(failed[0])


def drawn(rng, shape, mode):
    """Small whole numbers, whose sums are exact; of products powers of 2."""
    if mode == "multiply":
        return 2.0 ** rng.integers(-1, 2, shape) * rng.choice([-1, 1], shape)
    return rng.integers(-99, 99, shape).astype(np.float64)


CASES = [
    ((5,), (0,), [()]),
    ((5,), (0,), [(9,)]),
    ((5, 3), (1,), [(2, 4)]),
    ((5, 4), (0, 1), [(3, 1), (1, 30)]),
    ((3, 4, 5, 2), (3, 1), [(2, 1), (7,)]),
    ((2, 3, 2, 2, 3, 2, 2, 2), tuple(range(8)), [(600,)] * 8),
    ((4, 3), (0,), [(0,)]),
    ((4, 0), (0,), [(3,)]),
    ((0, 4), (0,), [(0,)]),
    ((70, 3), (0,), [(4000,)]),
    ((1, 2), (0,), [(5000,)]),
    ((5000,), (0,), [(3000,)]),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("shape", "axes", "spread"), CASES)
def test_axes_and_shapes(first, shape, axes, spread, mode):
    rng = np.random.default_rng(len(shape))
    indices = [
        rng.integers(-shape[a], max(shape[a], 1), s).astype(np.int32)
        for a, s in zip(axes, spread, strict=True)
    ]
    kept = [n for a, n in enumerate(shape) if a not in axes]
    values = drawn(rng, (*np.broadcast_shapes(*spread), *kept), mode).astype(np.float32)
    base = drawn(rng, shape, mode).astype(np.float32)
    out, failed = scattered(first, base, values, indices, axes, mode)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        expected = numpy_scatter(base, values, *indices, axes=axes, mode=mode)
    if mode == "multiply":  # SwiftShader has no denormal numbers
        expected, out = (np.where(np.abs(a) < 1e-37, 0, a) for a in (expected, out))
    np.testing.assert_array_equal(out, expected)
    assert failed == 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int32", "int64", "uint64", "float64"])
def test_dtypes(first, dtype, mode):
    if lacks(first, dtype):
        pytest.skip(f"the device has no {dtype}")
    rng = np.random.default_rng(1)
    base, values = (rng.integers(0, 2 if dtype == "bool" else 100, n) for n in ((9, 2), (300, 2)))
    if mode == "multiply" and dtype == "float64":
        base, values = np.sign(base - 50), np.sign(values - 0.5)
    base, values, index = base.astype(dtype), values.astype(dtype), rng.integers(0, 8, 300)
    out, _ = scattered(first, base, values, [index.astype(np.int32)], (0,), mode)
    np.testing.assert_array_equal(out, numpy_scatter(base, values, index, axes=(0,), mode=mode))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("mode", ["add", "max", "set"])
def test_16_bit_floats_are_combined_in_32(first, dtype, mode):
    if lacks(first, dtype):
        pytest.skip(f"the device has no {dtype}")
    ml_dtypes = pytest.importorskip("ml_dtypes")
    dtype = np.dtype(getattr(ml_dtypes, dtype, dtype))
    rng = np.random.default_rng(2)
    base, values = (rng.normal(size=n).astype(dtype) for n in (7, 900))
    index = rng.integers(0, 6, 900)
    wide = numpy_scatter(
        base.astype(np.float32), values.astype(np.float32), index, axes=(0,), mode=mode
    )
    out, _ = scattered(first, base, values, [index.astype(np.int32)], (0,), mode)
    step = 2.0**-10 if dtype.itemsize == 2 and dtype.name == "float16" else 2.0**-8
    np.testing.assert_allclose(out.astype(np.float32), wide, rtol=step)


@pytest.mark.parametrize("mode", ["set", "max", "min", "add"])
@pytest.mark.filterwarnings("ignore:invalid")
def test_special_values(first, mode):
    special = np.asarray([-0.0, 1, -np.inf, 0, np.inf, np.nan, -1], np.float32)
    base, values = (a.ravel() for a in np.meshgrid(special, special))
    index = np.arange(base.size, dtype=np.int32)
    out, _ = scattered(first, base, values, [index], (0,), mode)
    expected = numpy_scatter(base, values, index, axes=(0,), mode=mode)
    np.testing.assert_array_equal(out, expected)
    if mode in ("set", "add"):
        known = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(out)[known], np.signbit(expected)[known])


def test_sums_are_the_same_each_time_and_close(first):
    rng = np.random.default_rng(3)
    values, index = rng.normal(size=200_000).astype(np.float32), rng.integers(0, 3, 200_000)
    index[:150_000] = 1
    base = np.zeros(3, np.float32)
    found = [
        scattered(first, base, values, [index.astype(np.int32)], (0,), "add")[0] for _ in range(2)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    exact = np.bincount(index, values)
    np.testing.assert_allclose(found[0], exact, atol=0.02)


@pytest.mark.parametrize("mode", MODES)
def test_outside_is_left_out_and_told(first, mode):
    base = np.arange(1, 13, dtype=np.int32).reshape(4, 3)
    index = np.asarray([0, 4, -5, 3, 2**31 - 1, 0], np.int32)
    values = np.arange(2, 20, dtype=np.int32).reshape(6, 3)
    out, failed = scattered(first, base, values, [index], (0,), mode)
    inside = np.asarray([0, 3, 5])
    expected = numpy_scatter(base, values[inside], index[inside], axes=(0,), mode=mode)
    np.testing.assert_array_equal(out, expected)
    assert failed == 3


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_written_behind_the_result(first, mode):
    base, index = np.ones((4, 3), np.int32), np.asarray([9, 0, -9, 4], np.int32)

    def write(to, base, values, index, out):
        each(to, "7", 18, "out[i] = 7;", writes={"out": out})
        scatter(to, base, values, [index], out._replace(shape=(4, 3)), axes=(0,), mode=mode)

    values = np.full((4, 3), 2, np.int32)
    (out,) = ran(first, write, [base, values, index], [((6, 3), np.int32)])
    assert (out[1:4] == 1).all()
    assert (out[4:] == 7).all()


def test_nothing_is_written_behind_a_result_of_many_axes(first):
    base, values = np.ones((2,) * 8, np.int32), np.asarray([3, 4], np.int32)
    indices = [np.asarray([2 if a == 0 else 1, 1], np.int32) for a in range(8)]

    def write(to, base, values, *others):
        *indices, out = others
        to.facts = pretend(first, buffers=10)
        each(to, "7", 1024, "out[i] = 7;", writes={"out": out})
        whole = out._replace(shape=base.shape, strides=base.strides)
        scatter(to, base, values, indices, whole, axes=tuple(range(8)), mode="set")

    (out,) = ran(first, write, [base, values, *indices], [((1024,), np.int32)])
    np.testing.assert_array_equal(out, [1] * 255 + [4] + [7] * 768)


@pytest.mark.parametrize("mode", ["set", "add"])
def test_views(first, mode):
    rng = np.random.default_rng(4)
    stored, whole = rng.integers(0, 9, (2, 6)).astype(np.int32), rng.integers(0, 9, (3, 8))
    whole = whole.astype(np.int32)
    index = np.asarray([[1, -1, 1, 4], [0, 0, 1, 2]], np.int32)

    def write(to, base, values, index, out):
        turned = out._replace(shape=(2, 6), strides=(-1, 3), offset=1)
        scatter(to, base, values, [index], turned, axes=(1,), mode=mode)

    base = stored, lambda v: view_of(v, stored, (0, -1), 5, (2, 6))
    values = whole, lambda v: view_of(v, whole, (4, 1, 8), 0, (2, 4, 2))
    (out,) = ran(first, write, [base, values, index], [((6, 3), np.int32)])
    expected = numpy_scatter(
        np.broadcast_to(stored[0, ::-1], (2, 6)),
        whole[:2].reshape(2, 2, 4).transpose(1, 2, 0),
        index,
        axes=(1,),
        mode=mode,
    )
    np.testing.assert_array_equal(out[:, 1::-1].T, expected)
