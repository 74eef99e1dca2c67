"""Results in the memory of donated inputs: what is written when, against programs without."""

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import fill, quiet

import volta
import volta.functional as F
from volta.compile import blocks
from volta.compile import numpy as programs
from volta.compile.donation import Donation, matched, may_raise, raising_first
from volta.compile.native import llvm
from volta.compile.passes import optimized
from volta.compile.program import BACKENDS

pytestmark = pytest.mark.core
INSTALLED = [b for b in BACKENDS if b != "llvm" or llvm.available()]
N = programs._LARGE // 4  # float32 numbers of a large array


@pytest.fixture(params=INSTALLED)
def backend(request):
    return request.param


STACK = fill(5, (40, 8, 8), "float32")


def homes(fun, *args, donated=(0,), backend="numpy"):
    """Homes of the results of a function, by the places of these and of the inputs."""
    wengert = optimized(volta.trace(fun)(*args))
    given = tuple(wengert.inputs[i] for i in donated)
    found = programs._Writer(wengert, backend == "llvm", Donation(given, ())).homes

    def numbered(pairs):
        return {wengert.outputs.index(o): wengert.inputs.index(d) for o, d in pairs.items()}

    return numbered(found.placed), numbered(found.copied)


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


# Which result takes which memory ------------------------------------------------------------------


def test_the_first_result_of_the_same_type_matches():
    wengert = volta.trace(lambda a, b, c: (F.sum(a), a + 1, c, b + 1, b))(*[ones(3)] * 3)
    a, b, c = wengert.inputs
    _, a1, _, b1, _ = wengert.outputs
    assert matched((a, b, c), wengert.outputs, wengert.types) == {a: a1, b: b, c: c}
    assert matched((a, b), (a1,), wengert.types) == {a: a1}
    assert matched((c, a), (b1, a1, b1), wengert.types) == {c: b1, a: a1}


def test_an_update_is_written_in_place(backend):
    def sgd(p, g):
        return p - 0.1 * g

    assert homes(sgd, ones(N), ones(N), backend=backend) == ({0: 0}, {})


def test_adam_is_written_in_place(backend):
    def adam(p, m, v, g):
        m = 0.9 * m + 0.1 * g
        v = 0.99 * v + 0.01 * g * g
        return v, p - m / (F.sqrt(v) + 1e-8), m

    args = [ones(N)] * 4
    wanted = {0: 2, 1: 0, 2: 1} if backend == "numpy" else {0: 0, 1: 1, 2: 2}
    assert homes(adam, *args, donated=(0, 1, 2), backend=backend) == (wanted, {})


def test_what_is_read_later_is_copied_at_the_end(backend):
    def fun(x, w):
        y = F.exp(x)
        return y, F.sum(y @ w, axis=0) @ x

    assert homes(fun, ones(40, 40), ones(40, 40), backend=backend) == ({}, {0: 0})


def test_a_product_does_not_write_over_its_operand(backend):
    assert homes(lambda x, w: x @ w, ones(8, 8), ones(8, 8), backend=backend) == ({}, {0: 0})
    assert homes(lambda x, w: w @ w, ones(8, 8), ones(8, 8), backend=backend) == ({0: 0}, {})


def test_views_of_a_donated_array_are_that_memory(backend):
    def late(x):
        return x * 2 + 1, F.sum(x[1:])

    def returned(x):
        return x * 2, x[1:]

    assert homes(returned, ones(6), backend=backend) == ({}, {0: 0})
    if backend == "numpy":
        assert homes(late, ones(6)) == ({}, {0: 0})


def test_a_result_that_is_the_argument_takes_no_other(backend):
    assert homes(lambda x: (x * 2, x), ones(6), backend=backend) == ({}, {})


@pytest.mark.skipif(not llvm.available(), reason="kernels are llvmlite's")
@pytest.mark.parametrize(
    ("fun", "in_place"),
    [
        (lambda x: x * 2, True),
        (lambda x: (x * 2, F.sum(x * x, axis=0)), True),  # folded
        (lambda x: (F.exp(x - F.max(x, axis=1, keepdims=True)), F.sum(x, axis=1)), True),
        (lambda x: (x * 2, F.exp(x - F.max(x, axis=1, keepdims=True))[:, :3]), False),
        (lambda x: (x * 2, F.sum(x - F.max(x, axis=1, keepdims=True), axis=1)), False),
        (lambda x: x + x.T, False),
        (lambda x: x + x[0], False),
        (lambda x: F.sum(STACK * x, axis=0), False),  # which is folded where x is read
    ],
)
def test_a_kernel_writes_where_it_has_read_for_the_last_time(fun, in_place):
    x = fill(3, (8, 8), "float32")
    jitted = volta.jit(fun, donate_argnums=0, backend="llvm")
    wanted = volta.jit(fun, backend="llvm")(x)
    found = jitted(x.copy())
    for a, b in zip(volta.tree.leaves(found), volta.tree.leaves(wanted), strict=True):
        np.testing.assert_array_equal(a, b)
    assert ("written in place" in jitted.explain()) == in_place


# What may raise comes first -----------------------------------------------------------------------


def entry(fun, *args):
    wengert = volta.trace(fun)(*args)
    return wengert.entries[-1], wengert.types


@pytest.mark.parametrize(
    ("fun", "args", "raises"),
    [
        (lambda x: F.exp(x), (ones(3),), False),
        (lambda x: F.reshape(x, (3, 1)), (ones(3),), False),
        (lambda x: x[1:], (ones(3),), False),
        (lambda x: F.sum(x), (ones(3),), False),
        (lambda x: F.astype(x, F.float64), (ones(3),), False),
        (lambda x: F.take(x, np.asarray([0])), (ones(3),), True),
        (lambda x: F.linalg.cholesky(x), (ones(3, 3),), True),
        (lambda x, i: x**i, (ones(3, dtype=np.int64),) * 2, True),
        (lambda x, i: x**i, (ones(3),) * 2, False),
        (lambda x: x + 300, (ones(3, dtype=np.int8),), True),
        (lambda x: x + 100, (ones(3, dtype=np.int8),), False),
        (lambda x: volta.scan(lambda c, y: (c + y, None), x[0], x), (ones(3),), True),
        (lambda x: volta.debug.callback(print, x), (ones(3),), True),
    ],
)
def test_what_may_raise(fun, args, raises):
    assert may_raise(*entry(fun, *args)) is raises


def test_what_may_raise_and_what_it_depends_on_come_first():
    def fun(x, i):
        y = F.exp(x)
        z = F.sin(x)
        return y + 1, F.take(z, i) * 2

    wengert = volta.trace(fun)(ones(3), np.asarray([1]))
    entries, count = raising_first(wengert.entries, wengert.types)
    names = [e.primitive.name for e in entries]
    assert names[:count] == [n for n in names if n not in ("exp", "add", "multiply")]
    assert names[count:] == ["exp", "add", "multiply"]


# Drawn programs -----------------------------------------------------------------------------------

SHAPE = (4, 3)
SINGLE = ("exp", "tanh", "abs", "negative", "square", "relu")
PAIRS = ("add", "multiply", "subtract", "maximum")
_inner = volta.jit(lambda x, y: (F.relu(x) * y, x, y + 1), donate_argnums=0)


def _looped(x, y):
    return volta.scan(lambda c, row: ((c[1], c[0] + row), c[0]), (x[0], y[0]), x)


def cut_all(patch):
    """Have NumPy compute all elementwise entries part by part."""
    for name, value in {"_LARGE": 1, "_PART": 16}.items():
        patch.setattr(blocks, name, value)


def drawn(seed):
    """Function of four arrays: up to 16 drawn instructions, most of which keep the shape."""
    draw = random.Random(seed)
    count, start = draw.randint(2, 16), draw.random()

    def run(*args):
        draw = random.Random(start)
        registers = [*args]
        for _ in range(count):
            x, y = draw.choice(registers[-4:]), draw.choice(registers)
            step = draw.choice("ssppppvrgcjl")
            if step == "s":
                registers.append(getattr(F, draw.choice(SINGLE))(x))
            elif step == "p":
                registers.append(getattr(F, draw.choice(PAIRS))(x, y))
            elif step == "v":
                registers.append(draw.choice((x[::-1], F.flip(x), F.reshape(x, SHAPE), x[:, ::-1])))
            elif step == "r":
                axis = draw.choice((0, 1))
                registers.append(x - F.max(y, axis=axis, keepdims=True))
            elif step == "g":
                registers.append(F.take(x, np.asarray([3, 0, 1, 1]), axis=0))
            elif step == "c":
                registers.append(F.where(x > 0, y, 0))
            elif step == "j":
                registers += _inner(x, y)
            else:
                registers.append(_looped(x, y)[1])
        kept = [draw.choice(registers) for _ in range(draw.randint(4, 6))]
        return (*kept, draw.choice(registers)[1:], F.sum(draw.choice(registers)))

    return run


def shared(results):
    """Pairs of results that share memory, by their places."""
    pairs = itertools.combinations(range(len(results)), 2)
    return {(i, j) for i, j in pairs if np.shares_memory(results[i], results[j])}


def check_drawn(seed, backend):
    draw = random.Random(-seed)
    fun, count = drawn(seed), draw.randint(1, 4)
    plain = volta.jit(fun, backend=backend)
    calls = [[fill(seed + 7 * k + i, SHAPE, "float32") for i in range(4)] for k in range(3)]
    with quiet():
        results = [plain(*map(np.copy, args)) for args in calls]
    wanted = [[x.copy() for x in found] for found in results]
    together = shared(results[0])
    wengert = volta.trace(fun)(*calls[0])
    given = draw.sample(range(4), count)  # as far as there are results
    given = tuple(matched(given, wengert.outputs, wengert.types))  # inputs are numbered from 0
    donating = volta.jit(fun, donate_argnums=given, backend=backend)
    for args, values in zip(calls, wanted, strict=True):
        before = [np.copy(x) for x in args]
        with quiet():
            found = donating(*args)
        for x, y in zip(found, values, strict=True):
            np.testing.assert_array_equal(x, y)
        assert shared(found) <= together
        for i, x in enumerate(args):
            if i in given:
                assert sum(r is x for r in found) >= 1
            else:
                np.testing.assert_array_equal(x, before[i])


@pytest.mark.parametrize("parts", [False, True])
@settings(max_examples=150)
@given(seed=st.integers(1, 2**32), backend=st.sampled_from(INSTALLED))
def test_drawn_programs(parts, seed, backend):
    with pytest.MonkeyPatch.context() as patch:
        if parts:
            cut_all(patch)
        check_drawn(seed, backend)


@pytest.mark.slow
@pytest.mark.parametrize("parts", [False, True])
@settings(max_examples=1500)
@given(seed=st.integers(1, 2**32), backend=st.sampled_from(INSTALLED))
def test_many_drawn_programs(parts, seed, backend):
    with pytest.MonkeyPatch.context() as patch:
        if parts:
            cut_all(patch)
        check_drawn(seed, backend)


def test_a_group_overwrites_what_it_has_read(monkeypatch):
    cut_all(monkeypatch)

    def step(x, m, g):
        m = m * 0.9 + g
        return x - m * 0.1, m

    args = [fill(i, SHAPE, "float32") for i in range(3)]
    wanted = step(*map(np.copy, args))
    wengert = optimized(volta.trace(step)(*args))
    program = programs._Writer(wengert, False, Donation((0, 1), ()))
    assert [e.primitive.name for e in program.entries] == ["blocks"]
    assert len(program.homes.placed) == 2
    found = volta.jit(step, donate_argnums=(0, 1), backend="numpy")(*args)
    for x, y, arg in zip(found, wanted, args, strict=False):
        np.testing.assert_array_equal(x, y)
        assert x is arg


def test_a_group_that_reads_it_later_writes_elsewhere(monkeypatch):
    cut_all(monkeypatch)

    def swap(x, y):
        a = x + y
        return a, F.exp(x) - a

    args = [fill(i, SHAPE, "float32") for i in range(2)]
    wanted = swap(*map(np.copy, args))
    program = programs._Writer(optimized(volta.trace(swap)(*args)), False, Donation((0,), ()))
    assert [e.primitive.name for e in program.entries] == ["blocks"]
    found = volta.jit(swap, donate_argnums=0, backend="numpy")(*args)
    for x, y in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_choice_is_not_written_over_what_it_chooses_from(monkeypatch):
    """Its kernel writes before it has read all."""
    cut_all(monkeypatch)

    def chosen(x, y):
        return F.where(x * y > 0, x, 0)

    args = [fill(i, SHAPE, "float32") for i in range(2)]
    wanted = chosen(*map(np.copy, args))
    program = programs._Writer(optimized(volta.trace(chosen)(*args)), False, Donation((0,), ()))
    assert "blocks" in [e.primitive.name for e in program.entries]
    np.testing.assert_array_equal(
        volta.jit(chosen, donate_argnums=0, backend="numpy")(*args), wanted
    )
