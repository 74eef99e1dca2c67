"""Where extrema are: NumPy's indices, for rows of all lengths and any strides."""

import math

import numpy as np
import pytest
from wgpu_launches import lacks, ran, view_of

from volta.wgpu.kernels.extremum import arg_extremum

DTYPES = ["bool", "int8", "uint8", "int16", "int32", "uint32", "int64", "uint64"]
DTYPES += ["float16", "float32", "float64"]


def found(device, x, axis, largest, index="int32", keepdims=False):
    def write(to, x, out):
        arg_extremum(to, x, out, axis=axis, largest=largest)

    shape = np.argmax(np.zeros(x.shape, bool), axis, keepdims=keepdims).shape
    return ran(device, write, [x], [(shape, index)])[0]


def numpy_found(x, axis, largest):
    return (np.argmax if largest else np.argmin)(x, axis)


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((1,), 0),
        ((7,), 0),
        ((3, 5, 4), 1),
        ((3, 5, 4), None),
        ((), None),
        ((256,), 0),
        ((2, 257), 1),
        ((300, 3), 0),
        ((40_000,), 0),
        ((30, 40, 50), None),
        ((260, 4100), 0),
        ((0, 3), 1),
    ],
)
def test_axes_and_lengths(first, shape, axis, largest):
    n = max(math.prod(shape), 1)
    x = np.random.default_rng(n).integers(-n, n, shape).astype(np.float32)
    np.testing.assert_array_equal(found(first, x, axis, largest), numpy_found(x, axis, largest))


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("length", [50, 1000])
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(first, dtype, length, largest):
    if lacks(first, dtype):
        pytest.skip(f"the device has no {dtype}")
    rng = np.random.default_rng(2)
    if dtype == "bool":
        x = rng.integers(0, 2, (3, length)).astype(bool)
    elif dtype.startswith("float"):
        x = rng.normal(size=(3, length)).astype(dtype)
    else:
        info = np.iinfo(dtype)
        x = rng.integers(info.min, info.max, (3, length), dtype=dtype, endpoint=True)
    np.testing.assert_array_equal(found(first, x, 1, largest), numpy_found(x, 1, largest))


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("length", [20, 700])
def test_nan_equal_numbers_and_zeros(first, length, largest):
    x = np.random.default_rng(3).integers(-3, 3, (5, length)).astype(np.float32)
    x[0, 9], x[0, 13] = np.nan, -np.nan
    x[1] = np.nan
    x[2, ::2], x[2, 1::2] = -0.0, 0.0
    x[3, ::2], x[3, 1::2] = np.inf, -np.inf
    np.testing.assert_array_equal(found(first, x, 1, largest), numpy_found(x, 1, largest))


@pytest.mark.parametrize("index", ["int32", "uint32", "int64"])
def test_dtypes_of_results(first, index):
    if lacks(first, index):
        pytest.skip(f"the device has no {index}")
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    out = found(first, x, 0, True, index, keepdims=True)
    np.testing.assert_array_equal(out, [[3, 3, 3]])


@pytest.mark.parametrize("axis", [1, None])
def test_views(first, axis):
    base = np.random.default_rng(4).permutation(6 * 400).reshape(6, 400).astype(np.float32)

    def write(to, x, out):
        if axis == 1:
            out = out._replace(shape=(3,), strides=(-2,), offset=4)
        arg_extremum(to, x, out, axis=axis, largest=True)

    x = base[5::-2, ::-1]
    view = base, lambda v: view_of(v, base, (-800, -1), 5 * 400 + 399, (3, 400))
    (out,) = ran(first, write, [view], [((5,) if axis == 1 else (1,), np.int32)])
    np.testing.assert_array_equal(out[::-2] if axis == 1 else out[0], np.argmax(x, axis))
