"""Reading an array where arrays of indices say: the results of NumPy, and what is outside."""

import numpy as np
import pytest
from wgpu_launches import lacks, pretend, ran, view_of

from volta.functional.indexing import _numpy_gather
from volta.wgpu.kernels.elements import each
from volta.wgpu.kernels.gather import gather

INTEGERS = ["int8", "uint8", "int32", "uint32", "int64", "uint64"]
DTYPES = [*INTEGERS, "bool", "float16", "float32", "float64"]


def gathered(device, x, indices, axes, view=None):
    """What is read, and whether an index was outside."""

    def write(to, x, *others):
        *indices, out, failed = others
        to.facts = pretend(device, buffers=10)  # with more indices it merges them
        each(to, "0", 1, "failed[0] = 0u;", writes={"failed": failed})
        gather(to, x, indices, out, axes=axes, failed=failed, code=7)

    kept = [n for a, n in enumerate(x.shape) if a not in axes]
    shape = (*np.broadcast_shapes(*(i.shape for i in indices)), *kept)
    inputs = [x if view is None else (view[0], view[1]), *indices]
    out, failed = ran(device, write, inputs, [(shape, x.dtype), ((1,), "uint32")])
    return out, int(failed[0])


def drawn(dtype, shape, seed=0):
    return np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_elements_of_all_dtypes(first, dtype):
    if lacks(first, dtype):
        pytest.skip(f"the device has no {dtype}")
    x, index = drawn(dtype, (7, 5)), np.asarray([3, -7, 6, 3])
    out, failed = gathered(first, x, [index.astype(np.int32)], (0,))
    np.testing.assert_array_equal(out, x[index])
    assert failed == 0


@pytest.mark.parametrize("dtype", INTEGERS)
def test_indices_of_all_dtypes(first, dtype):
    if lacks(first, dtype):
        pytest.skip(f"the device has no {dtype}")
    x = drawn("float32", (4, 6))
    index = np.asarray([[0, 5], [3, -1 if dtype.startswith("i") else 1]]).astype(dtype)
    out, failed = gathered(first, x, [index], (1,))
    np.testing.assert_array_equal(out, _numpy_gather(x, index, axes=(1,)))
    assert failed == 0


CASES = [
    ((5,), (0,), [()]),
    ((5, 4), (1,), [(3,)]),
    ((5, 4), (0, 1), [(3, 1), (1, 2)]),
    ((5, 4), (1, 0), [(2, 3), (3,)]),
    ((3, 4, 5, 2), (1, 3), [(2, 1), (7,)]),
    ((3, 4, 5, 2), (2, 0), [(), (2, 2)]),
    ((2, 3, 2, 2, 3, 2, 2, 2), (1, 4, 6), [(4, 1), (5,), (1, 1)]),
    ((2, 3, 2, 2, 3, 2, 2, 2), tuple(range(8)), [(6,)] * 8),
    ((2, 3, 1, 2, 3, 1, 2, 2, 2), (8, *range(8)), [(2, 6), *[(6,)] * 8]),
    ((4, 3), (0,), [(0,)]),
    ((0, 3), (0,), [(0, 2)]),
    ((4, 0), (0,), [(3,)]),
    ((5,), (0,), [(64 * 65_536 + 1,)]),
]


@pytest.mark.parametrize(("shape", "axes", "spread"), CASES)
def test_axes_and_shapes(first, shape, axes, spread):
    rng = np.random.default_rng(1)
    x = drawn("float32", shape)
    indices = [
        rng.integers(-shape[a], max(shape[a], 1), s).astype(np.int32)
        for a, s in zip(axes, spread, strict=True)
    ]
    out, failed = gathered(first, x, indices, axes)
    np.testing.assert_array_equal(out, _numpy_gather(x, *indices, axes=axes))
    assert failed == 0


def test_a_view(first):
    base = drawn("float32", (6, 7, 3))
    x = base[::-1, 2:6, None].transpose(1, 0, 3, 2)
    offset = (5 * 7 + 2) * 3
    view = base, lambda v: view_of(v, base, (3, -21, 1, 0), offset, (4, 6, 3, 1))
    x = base[::-1, 2:6].transpose(1, 0, 2)[..., None]
    index = np.asarray([[1, -1, 0], [4, 2, -6]], np.int32)
    out, _ = gathered(first, x, [index], (1,), view)
    np.testing.assert_array_equal(out, _numpy_gather(x, index, axes=(1,)))


def test_a_result_that_is_a_view(first):
    x, index = drawn("int32", (9,)), np.asarray([[8, 0, 3], [1, 5, 5]], np.int32)

    def write(to, x, index, out):
        turned = out._replace(shape=(2, 3), strides=(1, -2), offset=4)
        gather(to, x, [index], turned, axes=(0,))

    (out,) = ran(first, write, [x, index], [((3, 2), np.int32)])
    np.testing.assert_array_equal(out[::-1].T, x[index])


@pytest.mark.parametrize("axes", [(0,), (0, 1), (0, 1, 2, 3, 4, 5, 6, 7)])
@pytest.mark.parametrize("wrong", [3, -4, 2**31 - 1, -(2**31)])
def test_outside_is_0_and_told(first, axes, wrong):
    x = drawn("float32", (3,) * 8) + 1
    indices = [np.asarray([2, 1, -3], np.int32) for _ in axes]
    indices[-1][1] = wrong
    out, failed = gathered(first, x, indices, axes)
    indices[-1][1] = 0
    expected = _numpy_gather(x, *indices, axes=axes).copy()
    expected[1] = 0
    np.testing.assert_array_equal(out, expected)
    assert failed == 7


def test_nothing_is_read_of_an_empty_array(first):
    x = np.zeros((0, 2), np.float32)
    out, failed = gathered(first, x, [np.zeros(2, np.int32)], (0,))
    np.testing.assert_array_equal(out, np.zeros((2, 2)))
    assert failed == 7
