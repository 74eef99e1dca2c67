"""Kernels that go along rows: reductions, what follows from them, and sums of other axes."""

import itertools

import numpy as np
import pytest
from strategies import fill, quiet

import volta
import volta.functional as F
from volta.compile import numpy as programs
from volta.compile.native import llvm, workers
from volta.compile.passes import optimized
from volta.compile.schedule import fused, kernel_of

pytestmark = [
    pytest.mark.core,
    pytest.mark.skipif(not llvm.available(), reason="llvmlite is not installed"),
]

SHAPES = [(1,), (5,), (3, 4), (4, 1), (1, 4), (3, 1, 5), (2, 3, 4), (2, 1, 1), (2, 3, 2, 3), (70,)]
REDUCTIONS = ["sum", "mean", "max", "min", "prod"]
EPS = {"float32": 2.0**-23, "float64": 2.0**-52}


def axes_of(shape):
    """All sets of axes."""
    places = range(len(shape))
    return [c for n in range(1, len(shape) + 1) for c in itertools.combinations(places, n)]


def kernels_of(fun, *args):
    listed = volta.trace(fun)(*args)
    entries = fused(listed.entries, listed.outputs, listed.types)
    return [k for e in entries if (k := kernel_of(e))]


def agree(fun, *args, scale=64):
    """Compare compiled with eager; a sum may be off by `scale` roundings of its largest term."""
    found = volta.jit(fun, backend="llvm")(*args)
    for a, b in zip(volta.tree.leaves(found), volta.tree.leaves(fun(*args)), strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        if a.dtype.kind != "f":
            np.testing.assert_array_equal(a, b)
            continue
        finite = b[np.isfinite(b)]
        size = np.abs(finite).max(initial=0)
        eps = EPS[a.dtype.name]
        np.testing.assert_allclose(a, b, rtol=scale * eps, atol=scale * eps * size)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_set_of_axes(shape, name, keepdims):
    reduce = getattr(F, name)
    for axis in axes_of(shape):
        x = fill(1, shape, "float32")
        agree(lambda x, a=axis: reduce(x * 2, axis=a, keepdims=keepdims), x)
        agree(lambda x, a=axis: (x + 1, reduce(x * 2, axis=a, keepdims=keepdims)), x)
        agree(lambda x, a=axis: x - reduce(x * 2, axis=a, keepdims=True), x)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int32", "int64", "uint64"])
@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "all", "any"])
def test_numbers_that_are_no_floats(name, dtype):
    x = (np.arange(30).reshape(2, 3, 5) * 7 % 5).astype(dtype)
    reduce = getattr(F, name)
    if dtype == "bool" and name in ("max", "min", "sum", "prod"):
        x, name = x.astype("int8"), name
    for axis in axes_of(x.shape):
        agree(lambda x, a=axis: reduce(x, axis=a), x)
        agree(lambda x, a=axis: reduce(x == 2 if x.dtype == bool else x + x, axis=a), x)


@pytest.mark.parametrize("name", ["max", "min", "all", "any"])
def test_truths_are_as_great_as_numbers(name):
    x = fill(0, (5, 7), "float64")
    for axis in (0, 1, (0, 1)):
        agree(lambda x, a=axis: getattr(F, name)(x > 0.1, axis=a), x)
        agree(lambda x, a=axis: getattr(F, name)(x > -9, axis=a), x)
        agree(lambda x, a=axis: getattr(F, name)(x > 9, axis=a), x)
        agree(lambda x, a=axis: F.where(F.max(x > 0.1, axis=a, keepdims=True), x, 1), x)


@pytest.mark.parametrize("n", [*range(1, 70, 3), 127, 128, 129, 1000, 40_000, 100_003])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_of_every_length(n, dtype):
    x = fill(3, (2, n), dtype)
    agree(lambda x: (F.sum(x, axis=1), F.max(x, axis=1), F.mean(x * x, axis=1)), x)
    agree(lambda x: x - F.mean(x, axis=1, keepdims=True), x)
    agree(lambda x: F.sum(F.exp(x - F.max(x))), x)


@pytest.mark.parametrize("n", [1, 2, 3, 255, 256, 257, 512, 513, 1000, 3001])
@pytest.mark.parametrize("width", [1, 3, 16, 37, 2047, 2048, 2049, 5000])
def test_sums_of_every_number_of_rows(n, width):
    if n * width > 2_000_000:
        n = 2_000_000 // width
    x = fill(3, (n, width), "float32")
    agree(lambda x: (x * 2, F.sum(x * x, axis=0), F.max(x, axis=0), F.mean(x, axis=0)), x)
    agree(lambda x: F.sum(F.sum(x * x, axis=1)), x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_of_millions_are_as_good_as_those_of_pairs(dtype):
    eps = EPS[dtype]
    x = np.full((3000, 1000), 0.1, dtype)
    with quiet():
        exact = float(x[0, 0]) * x.size
        for fun in (F.sum, lambda x: F.sum(F.sum(x, axis=0)), lambda x: F.sum(F.sum(x, axis=1))):
            found = volta.jit(fun, backend="llvm")(x)
            assert abs(float(found) - exact) <= 4 * np.sqrt(x.size) * eps * exact
        columns = volta.jit(lambda x: F.sum(x, axis=0), backend="llvm")(x)
        exact = float(x[0, 0]) * 3000
        assert np.abs(columns.astype("float64") - exact).max() <= 4 * np.sqrt(3000) * eps * exact


def test_nan_and_infinity_reach_their_rows_and_no_others():
    x = fill(0, (6, 50), "float64")
    x[1, 7], x[2, 8], x[3, 9], x[4, :] = np.nan, np.inf, -np.inf, -np.inf
    for axis in (0, 1, (0, 1)):
        for name in REDUCTIONS:
            with quiet():
                agree(lambda x, n=name, a=axis: getattr(F, n)(x, axis=a), x, scale=1e3)


def test_a_sum_of_negative_zeros_is_one():
    found = volta.jit(lambda x: F.sum(x, axis=1), backend="llvm")(np.full((2, 37), -0.0))
    assert np.signbit(found).all()


def test_what_follows_from_a_row_is_in_its_kernel():
    def fun(x, w):
        centre = F.mean(x, axis=1, keepdims=True)
        d = x - centre
        scale = 1 / F.sqrt(F.mean(d * d, axis=1, keepdims=True) + 1e-5)
        y = d * scale * w
        e = F.exp(y - F.max(y, axis=1, keepdims=True))
        p = e / F.sum(e, axis=1, keepdims=True)
        return p, F.sum(p * x), F.sum(p * d, axis=0), F.sum(centre, axis=0), scale

    args = fill(0, (40, 300), "float32"), fill(1, (300,), "float32")
    (kernel,) = kernels_of(fun, *args)
    assert kernel.rows == (1,)
    assert kernel.folds == (0,)
    agree(fun, *args, scale=512)


def test_what_is_summed_over_parts_of_rows_is_in_no_kernel_of_whole_ones():
    def fun(x, y):
        total = F.sum(x * x)
        z = F.sin(y)
        return total, z - F.mean(z, axis=1, keepdims=True)

    args = fill(0, (40, 300), "float32"), fill(1, (40, 300), "float32")
    whole, rows = kernels_of(fun, *args)
    assert (whole.rows, len(whole.results)) == ((0, 1), 1)
    assert (rows.rows, len(rows.operands)) == ((1,), 1)  # it computes the sine itself
    agree(fun, *args)
    assert len(kernels_of(lambda x, y: (F.sum(x * x), F.sin(y)), *args)) == 1
    assert len(kernels_of(lambda x, y: (F.sum(x * x), F.max(F.sin(y))), *args)) == 1


@pytest.mark.parametrize("rows", [2, 3, 100])
def test_long_rows_are_added_up_once_more(rows):
    def fun(x):
        d = x - F.mean(x, axis=1, keepdims=True)
        return F.mean(d * d), F.sum(F.max(d, axis=1), axis=0), F.exp(d)

    def folded_too(x):
        d = x - F.mean(x, axis=1, keepdims=True)
        return F.sum(d * d, axis=0)

    x = fill(0, (rows, 6000), "float32")
    (kernel,) = kernels_of(fun, x)
    assert (kernel.rows, kernel.folds) == ((1,), (0,))
    agree(fun, x)
    assert not any(k.rows and k.folds for k in kernels_of(folded_too, x))
    agree(folded_too, x)


def test_a_row_without_its_axis_is_one_of_a_square_all_the_same():
    def fun(x):
        row = F.sum(x, axis=1)  # beside x it is another axis
        return x * row, F.exp(row) * 2, F.reshape(row, (5, 1)) * x, x - F.broadcast_to(row, (5, 5))

    agree(fun, fill(0, (5, 5), "float64"))


def test_channels():
    def fun(x, scale):
        mean = F.mean(x, axis=(0, 2, 3))
        y = (x - F.reshape(mean, (-1, 1, 1))) * F.reshape(scale, (-1, 1, 1))
        return y, F.sum(y * y, axis=(0, 2, 3)), F.reshape(mean, (1, -1)) + 1

    x, scale = fill(0, (4, 3, 5, 7), "float32"), fill(1, (3,), "float32")
    agree(fun, x, scale)
    assert next(k.rows for k in kernels_of(fun, x, scale)) == (0, 2, 3)


def test_results_do_not_overwrite_what_a_later_pass_reads():
    def fun(x, y):
        a = F.exp(x) * y  # in memory of the program
        b = F.cumulative_sum(a, axis=1)
        c = b - F.max(b, axis=1, keepdims=True)
        return F.cumulative_sum(c, axis=1) + F.sum(b, axis=0)

    agree(fun, fill(0, (64, 100), "float64"), fill(1, (64, 100), "float64"), scale=1e4)


def prefetches(fun, *args):
    """How often the code of each kernel asks for memory ahead of time."""
    kernels = programs._Writer(optimized(volta.trace(fun)(*args)), native=True).codes
    written = (llvm._written("name", kernel) for kernel in kernels)
    lines = ([line for block in blocks for line in block.lines] for blocks in written)
    return [sum("@llvm.prefetch" in line for line in text) for text in lines]


def test_a_later_pass_asks_for_the_next_row(monkeypatch):
    monkeypatch.setattr(workers, "threads", lambda: 1)
    lines = 2  # of a vector

    def softmax(x, y):
        z = x * y
        e = F.exp(z - F.max(z, axis=1, keepdims=True))
        return e / F.sum(e, axis=1, keepdims=True)

    x, y = (fill(i, (7, 256), "float32") for i in range(2))
    assert prefetches(softmax, x, y) == [2 * lines]
    assert prefetches(softmax, x, y[:1]) == [lines]  # one row is there anyhow
    assert prefetches(softmax, x, y[:, :1]) == [lines]
    assert prefetches(lambda x: softmax(F.matrix_transpose(x), 1), x) == [0]  # it is not near
    for few, many in ((3, 127), (3, 5000)):  # too short, too long to be near
        assert prefetches(softmax, *np.ones((2, few, many), "float32")) == [0]
    assert prefetches(lambda x: F.sum(x * 2, axis=1), x) == [0]  # one pass
    assert prefetches(lambda x: x * 2, x) == [0]
    agree(softmax, x, y)


def test_gradients_of_rows():
    def loss(x, w, b):
        y = F.layer_norm(x, (33,), w, b)
        return F.mean(F.log_softmax(y) * x) + F.sum(F.softmax(y) ** 2)

    args = fill(0, (9, 33), "float64"), fill(1, (33,), "float64"), fill(2, (33,), "float64")
    agree(volta.value_and_grad(loss, argnums=(0, 1, 2)), *args, scale=1e4)
