"""Elements of rows in another order, and back."""

import numpy as np
import pytest
from wgpu_launches import lacks, ran, view_of

from volta.wgpu.kernels.permutation import permuted, restored


def moved(device, kernel, x, order, axis, shape=None):
    def write(to, x, order, out):
        kernel(to, x, order, out, axis=axis)

    return ran(device, write, [x, order], [(shape or order.shape, x.dtype)])[0]


def drawn(shape, axis, index="int32"):
    rng = np.random.default_rng(0)
    order = np.argsort(rng.normal(size=shape), axis).astype(index)
    return rng.normal(size=shape).astype(np.float32), order


@pytest.mark.parametrize(("shape", "axis"), [((1,), 0), ((70,), 0), ((3, 5, 4), 1), ((0, 3), 0)])
def test_there_and_back(first, shape, axis):
    x, order = drawn(shape, axis)
    out = moved(first, permuted, x, order, axis)
    np.testing.assert_array_equal(out, np.take_along_axis(x, order, axis))
    np.testing.assert_array_equal(moved(first, restored, out, order, axis), x)


@pytest.mark.parametrize("index", ["uint8", "uint32", "int64"])
def test_dtypes_of_indices(first, index):
    if lacks(first, index):
        pytest.skip(f"the device has no {index}")
    x, order = drawn((4, 9), 1, index)
    out = moved(first, permuted, x, order, 1)
    np.testing.assert_array_equal(out, np.take_along_axis(x, order.astype(np.int64), 1))


def test_some_of_a_row(first):
    x, order = drawn((4, 9), 1)
    part = np.ascontiguousarray(order[:, :2])
    np.testing.assert_array_equal(
        moved(first, permuted, x, part, 1), np.take_along_axis(x, part, 1)
    )


def test_views(first):
    base, order = drawn((6, 8), 0)
    view = base, lambda v: view_of(v, base, (1, -8), 40, (8, 6))

    def write(to, x, order, out):
        permuted(to, x, order._replace(shape=(8, 6), strides=(1, 8)), out, axis=1)

    (out,) = ran(first, write, [view, order], [((8, 6), np.float32)])
    np.testing.assert_array_equal(out, np.take_along_axis(base[::-1].T, order.T, 1))
