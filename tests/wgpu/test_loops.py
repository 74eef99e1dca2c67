"""Kernels over elements and rows: four elements at a time, and what subgroups share."""

import numpy as np
import pytest
from wgpu_launches import pretend, ran

import volta
import volta.functional as F
from volta.compile.kernel import Kernel, Node, Operand, Result
from volta.core.types import DTYPES
from volta.wgpu.launch import View, Writer, row_major
from volta.wgpu.loops import loops

LARGE = (128, 128)  # four elements are computed at a time


def drawn(*shape, dtype=np.float32):
    return np.random.default_rng(0).normal(scale=10, size=shape).astype(dtype)


def on_device(first, x):
    return volta.wgpu.asarray(x, device=first)


FUNCTIONS = {
    "contiguous": lambda x: x * 2 + 1,
    "transposed": lambda x: x.T * 2 + x,
    "row": lambda x: x + x[0],
    "column": lambda x: x + x[:, :1],
    "part at fours": lambda x: F.negative(x[:, 4:124]),
    "part at an odd place": lambda x: F.negative(x[:, 3:123]),
    "whole and a part": lambda x: x[1:, :] - x[:-1, :],
    "flipped": lambda x: F.negative(x[::-1, ::-1]),
    "flipped rows": lambda x: F.negative(x[::-1]),
    "every second": lambda x: F.negative(x[:, ::2]),
    "odd rows": lambda x: F.negative(x[:, :127]),
    "comparison": lambda x: x > 0,
    "choice": lambda x: F.where(x > 0, x, -x),
    "results of two types": lambda x: [x > 1, x * 2],
}


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint8])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_elements_of_large_arrays(first, name, dtype):
    x = np.abs(drawn(*LARGE)).astype(dtype)
    found = volta.jit(FUNCTIONS[name])(on_device(first, x))
    expected = FUNCTIONS[name](x)
    if not isinstance(expected, list):
        found, expected = [found], [expected]
    for got, wanted in zip(found, expected, strict=True):
        assert got.dtype.name == wanted.dtype.name
        np.testing.assert_array_equal(got.to_numpy(), wanted)


def written(device, shape, strides=None):
    """Text of a kernel that doubles an array."""
    dtype, strides = DTYPES["float32"], strides or row_major(shape)
    nodes = Node("load", (), dtype, 0), Node("add", (0, 0), dtype, None)
    kernel = Kernel(
        shape, (), (), (Operand(dtype, shape, strides),), nodes, (Result(1, row_major(shape)),)
    )
    writer = Writer(pretend(device, kind="cpu"))
    x, y = View(0, dtype, shape, strides), View(1, dtype, shape, row_major(shape))
    loops(writer, kernel, [x], [y])
    (launch,) = writer.launches
    return launch.text


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((33, 50), (1, 0)), ((3, 17, 16), (0, 2, 1)), ((20, 3, 40), (2, 1, 0)), ((15, 40), (1, 0))],
)
def test_what_lies_side_by_side_along_another_axis(first, shape, axes):
    x = drawn(*shape)
    y = drawn(*(shape[a] for a in axes))
    dtype = DTYPES["float32"]

    def write(to, *views):
        to.facts = pretend(first, kind="discrete")
        strides = tuple(row_major(shape)[a] for a in axes)
        loads = Operand(dtype, y.shape, strides), Operand(dtype, y.shape, row_major(y.shape))
        nodes = Node("load", (), dtype, 0), Node("load", (), dtype, 1), Node("sub", (0, 1), dtype)
        made = (Result(2, row_major(y.shape)),)
        loops(to, Kernel(y.shape, (), (), loads, nodes, made), views[:2], views[2:])
        (launch,) = to.launches
        assert ("squares" in launch.label) == (min(shape[-1], y.shape[-1]) >= 16)

    (found,) = ran(first, write, [x, y], [(y.shape, np.float32)])
    np.testing.assert_array_equal(found, x.transpose(axes) - y)


@pytest.mark.parametrize(
    ("shape", "strides", "kinds"),
    [
        (LARGE, None, "x0: array<vec4<f32>>, y0: array<vec4<f32>>"),
        (LARGE, (1, 128), "x0: array<f32>, y0: array<vec4<f32>>"),
        (LARGE, (0, 1), "x0: array<vec4<f32>>, y0: array<vec4<f32>>"),
        (LARGE, (129, 1), "x0: array<f32>, y0: array<vec4<f32>>"),
        ((127, 127), None, "x0: array<f32>, y0: array<f32>"),
        ((8, 8), None, "x0: array<f32>, y0: array<f32>"),
    ],
)
def test_arrays_that_are_loaded_by_four(first, shape, strides, kinds):
    text = written(first, shape, strides)
    bound = [line.split("> ")[1] if "> " in line else line for line in text.splitlines()]
    found = [b.rstrip(";") for b in bound if b.startswith(("x0: array", "y0: array"))]
    assert ", ".join(found) == kinds


# Rows ---------------------------------------------------------------------------------------------

ROWS = {
    "sum": F.sum,
    "max": F.max,
    "min": F.min,
    "prod": F.prod,
    "any": lambda x, axis: F.any(x > 20, axis=axis),
    "all": lambda x, axis: F.all(x < 20, axis=axis),
    "softmax": F.softmax,
    "logsumexp": F.logsumexp,
}


@pytest.mark.parametrize("length", [1, 5, 31, 33, 64, 129, 1000, 20_000])
@pytest.mark.parametrize("name", ROWS)
def test_reductions_of_rows(first, name, length):
    x = drawn(3, length) if name != "prod" else 1 + drawn(3, length) / (10 * length)
    found = volta.jit(lambda x: ROWS[name](x, axis=1))(on_device(first, x))
    np.testing.assert_allclose(found.to_numpy(), ROWS[name](x, axis=1), rtol=2e-5, atol=2e-3)


LONG_ROWS = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.T,
    "row": lambda x: x + x[0],
    "column": lambda x: x * x[:, :1],
    "flipped": lambda x: x[:, ::-1],
    "part at fours": lambda x: x[:, 4:124],
    "part at an odd place": lambda x: x[:, 3:123],
    "rows at odd places": lambda x: F.reshape(F.reshape(x, (-1,))[:16383], (127, 129))[:, :128],
    "integers": lambda x: F.astype(x, "int32"),
}
REDUCED = {
    "softmax": F.softmax,
    "sum": F.sum,
    "max": F.max,
    "elements beside their sum": lambda x, axis: [F.sum(x, axis=axis), x + 1],
    "variance": F.var,
}


@pytest.mark.parametrize("part", LONG_ROWS)
@pytest.mark.parametrize("name", REDUCED)
def test_rows_of_large_arrays(first, name, part):
    if part == "integers" and name in ("softmax", "variance"):
        pytest.skip("of floating numbers only")
    x = drawn(*LARGE)

    def function(x):
        return REDUCED[name](LONG_ROWS[part](x), axis=1)

    found, expected = volta.jit(function)(on_device(first, x)), function(x)
    if not isinstance(expected, list):
        found, expected = [found], [expected]
    for got, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(got.to_numpy(), wanted, rtol=2e-5, atol=1e-3)


@pytest.fixture(params=["subgroups", "trees"])
def gpu(first, monkeypatch, request):
    """The first device, as if it were a GPU whose workgroups are larger than its subgroups."""
    first.reset()
    monkeypatch.setattr(first, "kind", "discrete")
    if request.param == "trees":
        monkeypatch.setattr(first, "features", first.features - {"subgroups"})
    yield first
    monkeypatch.undo()
    first.reset()


@pytest.mark.parametrize("length", [3, 33, 129, 1000, 20_000])
@pytest.mark.parametrize("name", ROWS)
def test_reductions_of_rows_by_large_workgroups(gpu, name, length):
    test_reductions_of_rows(gpu, name, length)


@pytest.mark.parametrize(
    ("strides", "result", "count"),
    [((3, 1, 0), (2, 3), 2), ((1, 2, 0), (3, 2), 3), ((60_000, 20_000, 1), (2, 3, 20_000), 3)],
    ids=["in order", "transposed", "for each element"],
)
def test_sums_of_long_rows_are_stored_once(first, strides, result, count):
    """What is reduced of pieces is the result itself, where it lies as results of rows do."""
    dtype, x = DTYPES["float32"], drawn(2, 3, 20_000)
    nodes = Node("load", (), dtype, 0), Node("reduce", (0,), dtype, "add")
    operand = Operand(dtype, x.shape, row_major(x.shape))
    kernel = Kernel(x.shape, (2,), (), (operand,), nodes, (Result(1, strides),))

    def write(to, x, y):
        loops(to, kernel, [x], [y])
        assert len(to.launches) == count

    (found,) = ran(first, write, [x], [(result, np.float32)])
    seen = np.lib.stride_tricks.as_strided(found, x.shape, [4 * s for s in strides])
    wanted = np.broadcast_to(x.sum(axis=2, keepdims=True), x.shape)
    np.testing.assert_allclose(seen, wanted, rtol=2e-5, atol=2e-3)


def test_a_nan_wins_wherever_it_is(first):
    x = drawn(70, 70)
    x[np.arange(70), np.arange(70)] = np.nan
    assert np.isnan(F.max(on_device(first, x), axis=1).to_numpy()).all()
    assert np.isnan(F.min(on_device(first, x), axis=1).to_numpy()).all()


def summed(facts, shape, dtype=DTYPES["float32"]):
    """Text of a kernel that sums rows."""
    nodes = Node("load", (), dtype, 0), Node("reduce", (0,), dtype, "add")
    operand = Operand(dtype, shape, row_major(shape))
    kernel = Kernel(shape, (1,), (), (operand,), nodes, (Result(1, (1, 0)),))
    writer = Writer(facts)
    x, y = View(0, dtype, shape, row_major(shape)), View(1, dtype, shape[:1], (1,))
    loops(writer, kernel, [x], [y])
    return writer.launches[0].text


@pytest.mark.parametrize(
    ("dtype", "features", "shared"),
    [
        ("float32", {"subgroups"}, True),
        ("float32", set(), False),
        ("int32", {"subgroups"}, True),
        ("int64", {"subgroups", "int64"}, False),
    ],
)
def test_subgroups_exchange_words_where_there_are_any(first, dtype, features, shared):
    facts = pretend(first)
    facts.features = frozenset(features)
    assert ("subgroupShuffleXor" in summed(facts, LARGE, DTYPES[dtype])) == shared


@pytest.mark.parametrize(
    ("length", "most", "size"), [(1000, 256, 256), (1000, 128, 128), (100, 256, 64), (20, 256, 32)]
)
def test_workgroups_are_as_large_as_rows_need_and_devices_let_them(first, length, most, size):
    text = summed(pretend(first, kind="discrete", group=most), (5, length))
    assert f"@workgroup_size({size}, 1, 1)" in text


# Folds --------------------------------------------------------------------------------------------

FOLDED = {
    "sum": F.sum,
    "max": F.max,
    "min": F.min,
    "any": lambda x, axis: F.any(x > 30, axis=axis),
    "all": lambda x, axis: F.all(x < 30, axis=axis),
    "elements beside two": lambda x, axis: [x + 1, F.sum(x + 1, axis=axis), F.max(x, axis=axis)],
}


@pytest.mark.parametrize("turn", [False, True])
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((50, 130), 0), ((3000, 100), 0), ((300, 70, 5), 1), ((30, 9, 40, 11), (0, 2))],
)
@pytest.mark.parametrize("name", FOLDED)
def test_reductions_of_columns(first, name, shape, axis, turn):
    x = drawn(*shape[::-1]).T if turn else drawn(*shape)
    its = on_device(first, x.T.copy() if turn else x)
    if turn:
        its = F.permute_dims(its, (*range(x.ndim),)[::-1])

    def function(x):
        return FOLDED[name](x, axis=axis)

    found, expected = volta.jit(function)(its), function(x)
    if not isinstance(expected, list):
        found, expected = [found], [expected]
    for got, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(got.to_numpy(), wanted, rtol=2e-5, atol=5e-3)
