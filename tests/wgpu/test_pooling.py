"""Pooling by kernels: NumPy's values, for windows and arrays of all kinds."""

import numpy as np
import pytest
from wgpu_launches import lacks, ran, view_of

import volta
import volta.functional as F
import volta.wgpu
from volta.core.primitive import REGISTRY
from volta.core.types import as_dtype
from volta.functional.pooling import windows_of
from volta.wgpu.kernels import pooling

ROWS = {  # lengths; kernel_size, stride, padding, dilation, ceil_mode
    "one_axis": ((11,), (3, 2, 1)),
    "dividing": ((8, 6), (2, 2)),
    "with_a_rest": ((9, 8), ((2, 3), (2, 3))),
    "overlapping": ((9, 8), (3, (2, 1), 1)),
    "with_gaps": ((11, 9), (2, (3, 4))),
    "of_one_row": ((4, 9), ((1, 3), None)),
    "dilated": ((13, 12), (3, (2, 1), 1, (2, 3))),
    "dilated_apart": ((13, 12), (2, 5, 0, 3)),
    "beyond_the_end": ((8, 10), (3, 2, 1, 1, True)),
    "of_a_volume": ((5, 4, 6), ((2, 3, 2), (2, 1, 2), (1, 1, 0), (1, 1, 2))),
}
LONGEST = 1 << 13  # elements that an invocation goes over
NAMES = "max_windows", "max_places", "sum_windows", "spread_windows", "pick", "put"


def windows_in(lengths, options):
    name = f"max_pool{len(lengths)}d"
    return windows_of(
        name, np.empty((1, *lengths)), *(options + (None, 0, 1, False)[len(options) - 1 :])
    )


def drawn(shape, dtype):
    """Numbers of which many are equal, and of which sums are exact."""
    low = 0 if np.dtype(dtype).kind == "u" else -9
    return np.random.default_rng(0).integers(low, 9, shape).astype(dtype)


def operands(name, windows, lanes=(2, 3), dtype=np.float32):
    """What a primitive is given: elements, or numbers of windows, and indices."""
    of_windows = name in ("spread_windows", "put")
    x = drawn((*lanes, *windows.lengths), dtype)
    first = drawn((*lanes, *windows.places), dtype) if of_windows else x
    return [first, REGISTRY["max_places"](x, windows=windows)][: 1 + (name in ("pick", "put"))]


def check(device, name, windows, arrays, *, given=None, wanted=None, index=np.int32):
    """Compare a kernel's result with NumPy's; `given` are the arrays as they lie in memory."""

    def write(to, *views):
        getattr(pooling, name)(to, *views, windows=windows)

    if wanted is None:
        wanted = REGISTRY[name](*arrays, windows=windows)
    dtype = index if name == "max_places" else arrays[0].dtype
    given = given or [arrays[0], *(a.astype(index) for a in arrays[1:])]
    (found,) = ran(device, write, given, [(wanted.shape, dtype)])
    np.testing.assert_array_equal(found, wanted.astype(dtype))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("row", ROWS)
def test_windows(first, row, name):
    windows = windows_in(*ROWS[row])
    check(first, name, windows, operands(name, windows))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "uint32", "int64", "uint64", "float16", "float64"]
)
def test_dtypes(first, dtype, name):
    if lacks(first, dtype):
        pytest.skip(f"the device has no {dtype}")
    windows = windows_in(*ROWS["overlapping"])
    arrays = operands(name, windows, dtype=dtype)
    if np.dtype(dtype).kind != "f":  # sums of small integers wrap
        arrays[0] *= np.asarray(13, dtype)
    check(first, name, windows, arrays)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["sum_windows", "spread_windows", "put"])
def test_sums_of_16_bit_floats_are_rounded_once(first, name, dtype):
    """A large number and ones, which a sum of 16 bits would not see one by one."""
    if lacks(first, dtype):
        pytest.skip(f"the device has no {dtype}")
    dtype = as_dtype(dtype).dtype
    windows = windows_in((8,), (5, 1, 2))
    large = 2.0 ** (12 if dtype == np.float16 else 9)
    x = np.where(np.arange(8) == 3, large, large / 1024).astype(dtype)
    arrays = [x, np.clip(3, np.arange(8) - 2, np.arange(8) + 2)][: 1 + (name == "put")]
    wide = REGISTRY[name](x.astype(np.float32), *arrays[1:], windows=windows)
    check(first, name, windows, arrays, wanted=wide.astype(dtype))


@pytest.mark.parametrize("name", ["max_places", "pick", "put"])
def test_indices_of_64_bits(first, name):
    if lacks(first, "int64"):
        pytest.skip("the device has no int64")
    windows = windows_in(*ROWS["overlapping"])
    check(first, name, windows, operands(name, windows), index=np.int64)


@pytest.mark.parametrize("name", ["max_windows", "max_places"])
def test_nan_infinities_and_zeros(first, name):
    x = drawn((6, 9, 8), np.float32)
    x[0, 2:5, 3], x[1] = np.nan, np.nan
    x[2], x[3], x[3, ::2] = -np.inf, np.inf, -np.inf
    x[4], x[4, :, ::2] = 0.0, -0.0
    check(first, name, windows_in(*ROWS["overlapping"]), [x])


@pytest.mark.parametrize("name", NAMES)
def test_strided_operands(first, name):
    """Channels last, and the first axis reversed."""
    windows = windows_in(*ROWS["of_a_volume"])
    arrays = operands(name, windows)
    check(first, name, windows, arrays, given=[moved(a) for a in arrays])


def moved(x):
    kept = np.ascontiguousarray(np.moveaxis(x[::-1], 1, -1))
    kept = kept.astype(np.int32) if kept.dtype == np.int64 else kept
    seen = np.moveaxis(kept, -1, 1)[::-1]
    strides = tuple(s // kept.itemsize for s in seen.strides)
    return kept, lambda v: view_of(v, kept, strides, -strides[0] * (x.shape[0] - 1), x.shape)


@pytest.mark.parametrize("name", NAMES)
def test_many_groups(first, name):
    windows = windows_in((2, 65_536 * 17), ((1, 2), 1, (0, 1)))
    check(first, name, windows, operands(name, windows, lanes=(2,)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lanes", [(), (0, 3)])
def test_no_lanes(first, name, lanes):
    windows = windows_in(*ROWS["overlapping"])
    check(first, name, windows, operands(name, windows, lanes))


def test_longest_loops_come_to_an_end(first):
    windows = windows_in((LONGEST, 1, 1), ((LONGEST, 1, 1),))
    x = np.zeros((1, LONGEST, 1, 1), np.float32)
    x[0, 0] = 1
    check(first, "max_places", windows, [x])


@pytest.mark.parametrize(
    ("lengths", "options", "names"),
    [
        ((2 * LONGEST,), (LONGEST, 1), NAMES),
        ((3 * LONGEST,), (LONGEST + 1, 1), ("pick",)),
        ((3 * LONGEST,), (LONGEST + 1, 2), ("spread_windows", "pick", "put")),
        ((16, 1), ((16, 1),), ("max_places", "pick", "put")),  # a run is a row
    ],
)
def test_what_is_looped(lengths, options, names):
    windows = windows_in(lengths, options)
    assert tuple(name for name in NAMES if pooling.is_looped(name, windows)) == names


# Arrays -------------------------------------------------------------------------------------------


def squares(name, *options):
    return lambda x: F.sum(getattr(F, name)(x, *options) ** 2)


def same(fun, x):
    """Compare values and slopes with NumPy's."""
    its = volta.wgpu.asarray(x)
    for f in (fun, volta.grad(fun)):
        np.testing.assert_allclose(f(its).to_numpy(), f(x), rtol=1e-6, atol=1e-6)


def test_launches_of_a_slope(device):
    """Index, element, twice the element, and back."""
    its = volta.wgpu.asarray(drawn((2, 3, 9, 8), np.float32))
    volta.grad(squares("max_pool2d", 3, 2, 1))(its).to_numpy()
    assert device.counts.kernels == 4


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_long_runs_are_rows(device, name):
    same(squares(name, 30), drawn((2, 3, 30, 30), np.float32))


@pytest.fixture
def narrow(device):
    """The first device, as if it showed kernels less."""
    limits = device.limits
    device.limits = limits._replace(binding=2048)
    yield device
    device.limits = limits


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_kernels_are_split_where_they_see_too_much(narrow, name):
    same(squares(name, 3, 2, 1), drawn((7, 3, 9, 20), np.float32))
