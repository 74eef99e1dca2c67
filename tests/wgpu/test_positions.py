"""Where elements are true: NumPy's positions."""

import numpy as np
import pytest
from wgpu_launches import lacks, ran, view_of

from volta.wgpu.kernels.positions import positions


def found(device, mask, index="int32", view=None):
    size = mask.size
    inputs = [mask if view is None else view]
    out, total = ran(device, positions, inputs, [((size,), index), ((1,), "uint32")])
    return out[: total[0]]


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 1])
@pytest.mark.parametrize("shape", [(), (1,), (0,), (64,), (65,), (3, 0), (7, 5, 30), (300_001,)])
def test_positions(first, shape, share):
    mask = np.random.default_rng(0).uniform(size=shape) < share
    np.testing.assert_array_equal(found(first, np.asarray(mask)), np.flatnonzero(mask))


@pytest.mark.parametrize("index", ["uint32", "int64"])
def test_dtypes_of_results(first, index):
    if lacks(first, index):
        pytest.skip(f"the device has no {index}")
    np.testing.assert_array_equal(found(first, np.asarray([True, False, True]), index), [0, 2])


def test_a_view(first):
    base = np.random.default_rng(1).uniform(size=(40, 50)) < 0.3
    mask = base[::-2, 3::4].T
    view = base, lambda v: view_of(v, base, (4, -100), 39 * 50 + 3, mask.shape)
    np.testing.assert_array_equal(found(first, mask, view=view), np.flatnonzero(mask))
