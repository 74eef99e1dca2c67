"""Elementwise entries that run part by part: which do, and that nobody can tell."""

import tracemalloc

import numpy as np
import pytest
from strategies import fill

import volta
import volta.functional as F
from volta import optim
from volta.compile import blocks
from volta.compile import numpy as programs
from volta.compile.passes import optimized

pytestmark = [
    pytest.mark.core,
    pytest.mark.filterwarnings("error"),
    pytest.mark.usefixtures("by_numpy"),
]


@pytest.fixture
def small(monkeypatch):
    """Arrays of any size are large."""
    monkeypatch.setattr(blocks, "_LARGE", 1)
    monkeypatch.setattr(blocks, "_PART", 64)


def groups(fun, *args):
    """Groups in the program of a function."""
    program = programs._Writer(optimized(volta.trace(fun)(*args)))
    return [e.primitive for e in program.entries if type(e.primitive) is blocks.Blocks]


def names(group):
    return [e.primitive.name for e in group.entries]


def equal(fun, *args):
    """Assert that a jitted function gives the bits that `fun` does, and changes nothing."""
    jitted = volta.jit(fun)
    before = [np.array(a) for a in args]
    for _ in range(2):
        pairs = zip(volta.tree.leaves(jitted(*args)), volta.tree.leaves(fun(*args)), strict=True)
        for found, wanted in pairs:
            assert found.dtype == wanted.dtype
            np.testing.assert_array_equal(found, wanted)
    for a, b in zip(args, before, strict=True):
        np.testing.assert_array_equal(a, b)


def several(x, y):
    a = F.exp(-x) * y + 1
    b = F.where(a > 1.5, x, a) - y
    return b, F.tanh(b) * a


SHAPES = [
    ((96,), (96,)),
    ((97,), (1,)),
    ((24, 5), (5,)),
    ((24, 5), (24, 1)),
    ((1, 120), (120,)),
    ((2, 48), (1, 48)),
    ((3, 5, 7), (5, 1)),
    ((3, 5, 7), (3, 1, 7)),
    ((2, 1, 61), (1, 1, 61)),
    ((2, 3, 2, 2, 5), (3, 1, 1, 5)),
    ((50, 1, 1), (50, 1, 1)),
    ((60,), ()),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "other"), SHAPES)
def test_shapes_that_broadcast(small, shape, other, dtype):
    x, y = fill(0, shape, dtype), fill(1, other, dtype)
    assert groups(several, x, y)
    equal(several, x, y)
    equal(several, x[::-1], y)
    equal(several, np.asfortranarray(x), y)


@pytest.mark.parametrize(
    ("shape", "room", "whole", "step"),
    [
        ((1000,), 100, 0, 84),  # twelve parts
        ((1009,), 100, 0, 85),  # a prime
        ((10,), 100, 0, 3),
        ((8, 1000), 100, 1, 100),
        ((8, 100), 250, 0, 2),
        ((7, 100), 250, 0, 2),
        ((7, 1000), 250, 1, 250),
        ((6, 1000), 250, 1, 250),
        ((4, 5, 6), 1, 2, 1),
        ((4, 5, 6), 6, 1, 1),
        ((4, 5, 6), 12, 1, 2),
        ((3, 6, 6), 12, 1, 2),
    ],
)
def test_parts_are_as_large_as_there_is_room(shape, room, whole, step):
    assert blocks._parts(shape, room) == (whole, step)


def test_arrays_that_stay_in_a_cache_are_computed_as_they_were():
    x = np.ones(1 << 14, np.float32)
    assert not groups(several, x, x)
    assert [names(g) for g in groups(lambda x: F.exp(-x) * 2, np.ones(1 << 20))] == [
        ["negative", "exp", "multiply"]
    ]


def test_a_single_operation_is_no_group(small):
    assert not groups(lambda x: F.sum(F.exp(x)), np.ones(100))


def test_a_group_ends_where_something_else_reads_of_it(small):
    def fun(x):
        a = F.exp(x) * 2
        b = F.cumulative_sum(a)
        return F.sin(b) + a * 3

    found = groups(fun, np.ones(100))
    assert [names(g) for g in found] == [["exp", "multiply"], ["sin", "multiply", "add"]]
    equal(fun, fill(0, (100,), "float64"))


def test_groups_of_two_shapes_are_open_at_a_time(small):
    def fun(x, y):
        a, b = F.exp(x), F.exp(y)
        a, b = a * 2, b * 3
        return a - 1, b - 1, F.sum(a) + F.sum(b)

    x, y = fill(0, (64,), "float64"), fill(1, (8, 16), "float64")
    assert [names(g) for g in groups(fun, x, y)] == 2 * [["exp", "multiply", "subtract"]]
    equal(fun, x, y)


def test_an_optimizers_step_is_a_group_for_each_parameter(small):
    optimizer = optim.adam(1e-2)

    def step(params, state, grads):
        updates, state = optimizer.update(grads, state, params)
        return optim.apply_updates(params, updates), state

    params = {"w": fill(0, (16, 12), "float32"), "b": fill(1, (100,), "float32")}
    grads = volta.tree.map(lambda x: x * 2, params)
    state = optimizer.init(params)
    assert sorted(len(g.entries) > 10 for g in groups(step, params, state, grads)) == [True, True]
    jitted = volta.jit(step)
    for found, wanted in zip(
        volta.tree.leaves(jitted(params, state, grads)),
        volta.tree.leaves(step(params, state, grads)),
        strict=True,
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_results_that_are_read_on_are_right(small):
    """What is stored is read again in the group, and by what comes after it."""

    def fun(x):
        a = F.exp(x)
        b = a + 1
        c = b * a
        return a, c - b, F.sum(b)

    equal(fun, fill(0, (7, 31), "float64"))


def test_memory_between_entries_is_that_of_a_part(monkeypatch):
    n = 1 << 22

    def fun(x):
        for _ in range(6):
            x = F.special.erf(x * 0.5 + 1) - x
        return x

    jitted, x = volta.jit(fun), np.linspace(-1, 1, n, dtype=np.float32)
    kept = [jitted(x) for _ in range(3)]
    tracemalloc.start()
    try:
        kept.append(jitted(x))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * n * 4  # a new result, and parts


def test_powers_whose_exponent_broadcasts_are_no_part_of_it():
    """NumPy rounds some where one exponent is that of a whole row: the last part has one row."""
    random = np.random.default_rng(0)
    x = (random.random((651, 500)) + 0.5).astype(np.float32)
    y = np.where(np.arange(651) % 2, 2, -1)[:, None].astype(np.float32)
    equal(lambda x, y: F.pow(x, y) * 1.5 + 1, x, y)
    assert [names(g) for g in groups(lambda x: F.pow(x, 3.0) * 2, x)] == [["pow", "multiply"]]


def test_complex_numbers_are_no_part_of_it(small):
    assert not groups(lambda x: F.abs(F.exp(x * 1j) * 2), np.ones(100))


def test_an_error_names_the_line(small):
    def fun(x, y):
        a = x * 2
        b = a**y
        return b + 1

    jitted, x = volta.jit(fun), np.arange(1, 101)
    assert groups(fun, x, x)
    np.testing.assert_array_equal(jitted(x, x % 3), fun(x, x % 3))
    messages = []
    for call in (fun, jitted):
        with pytest.raises(ValueError, match="negative integer powers") as raised:
            call(x, -x)
        messages.append(str(raised.value))
    assert messages[0] == messages[1]


def test_warnings_are_those_of_the_function(small):
    x = np.linspace(-1, 1, 100)
    jitted = volta.jit(lambda x: F.log(x) * 2)
    with pytest.warns(RuntimeWarning, match="invalid value"):
        jitted(x)
    gradient = volta.jit(volta.grad(lambda x: F.sum(F.sqrt(x) * 2)))
    gradient(np.zeros(100))  # a sweep has none
