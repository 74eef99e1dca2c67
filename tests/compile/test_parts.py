"""Groups that threads share: what they compute, raise and leave behind is as with one thread."""

import itertools
import os
import pickle
import subprocess
import sys
import threading
import warnings
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from strategies import fill

import volta
import volta.functional as F
from volta.compile import blocks, parts, store, threads
from volta.compile import numpy as programs
from volta.compile.formulas import evaluated, is_formula
from volta.compile.passes import optimized
from volta.core.errors import DimensionError
from volta.core.primitive import Primitive

pytestmark = [
    pytest.mark.core,
    pytest.mark.filterwarnings("error"),
    pytest.mark.usefixtures("by_numpy"),
]

WAIT = 60  # seconds after which a thread that never comes is given up


@pytest.fixture
def small(monkeypatch):
    """Arrays of any size are large, and worth waking a thread for."""
    monkeypatch.setattr(blocks, "_LARGE", 1)
    monkeypatch.setattr(blocks, "_PART", 64)
    monkeypatch.setattr(parts, "_LONG", 0)


def use(monkeypatch, count):
    """Have so many threads compute."""
    threads._pool.cache_clear()
    monkeypatch.setattr(threads, "threads", lambda: count)


@pytest.fixture
def two(small, monkeypatch):
    """Two threads compute; yields that, and drops the pool."""
    use(monkeypatch, 2)
    yield
    threads._pool.cache_clear()


def is_name_of_helper(name):
    return name.startswith(threads.NAME)


def is_helper():
    return is_name_of_helper(threading.current_thread().name)


@pytest.fixture
def together(two, monkeypatch):
    """Of each group another thread takes the first part, and computes it when the caller has ended.

    Gives the names of the threads that have computed parts.
    """
    names = []

    class Meeting(parts._Running):
        def __init__(self, group):
            super().__init__(group)
            self.alone, self.part = self.part, self.meet

        def __call__(self, *arrays):
            self.taken, self.ended = threading.Event(), threading.Event()
            super().__call__(*arrays)

        def _work(self, *args):
            if is_helper():
                super()._work(*args)
            else:
                assert self.taken.wait(WAIT)
                super()._work(*args)
                self.ended.set()

        def meet(self, *args):
            names.append(threading.current_thread().name)
            if is_helper():
                self.taken.set()
                assert self.ended.wait(WAIT)
            self.alone(*args)

    monkeypatch.setattr(parts, "_Running", Meeting)
    return names


def several(x, y):
    a = F.exp(-x) * y + 1
    b = F.where(a > 1.5, x, a) - y
    return b, F.tanh(b) * a


def bits(tree):
    return [(x.tobytes(), x.dtype, x.shape) for x in volta.tree.leaves(tree)]


@pytest.mark.parametrize("shape", [(96,), (24, 5), (3, 5, 7), (8, 2, 61)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_two_threads_compute_what_one_does(together, shape, dtype):
    x, y = fill(0, shape, dtype), fill(1, shape[-1:], dtype)
    jitted = volta.jit(several)
    for _ in range(3):
        assert bits(jitted(x, y)) == bits(several(x, y))
    assert {*map(is_name_of_helper, together)} == {True, False}


@pytest.mark.parametrize("shape", [(24, 5), (3, 5, 7), (40, 2, 61), (4, 300)])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_rows_are_parts(together, name, shape):
    function = getattr(F, name)
    x = fill(0, shape, "float32")
    for fun in (
        function,
        lambda x: function(x * 2) + x,
        volta.grad(lambda x: F.sum(function(x) * x)),
    ):
        together.clear()
        assert bits(volta.jit(fun)(x)) == bits(fun(x))
        assert any(map(is_name_of_helper, together))
        other = np.asfortranarray(x)  # whose rows NumPy adds up in another order
        np.testing.assert_allclose(volta.jit(fun)(other), fun(other), rtol=3e-5, atol=1e-5)


def test_rows_on_other_axes_are_no_part_of_it(two):
    x = fill(0, (24, 5), "float32")
    for fun in (lambda x: F.softmax(x, axis=0) * 2, lambda x: F.softmax(x[0]) * 2):
        entries = programs._Writer(optimized(volta.trace(fun)(x))).entries
        assert "softmax" in {e.primitive.name for e in entries}
        assert bits(volta.jit(fun)(x)) == bits(fun(x))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_any_number_of_threads(small, monkeypatch, count):
    use(monkeypatch, count)
    x, y = fill(0, (500, 3), "float64"), fill(1, (3,), "float64")
    jitted = volta.jit(several)
    for _ in range(20):
        assert bits(jitted(x, y)) == bits(several(x, y))
    threads._pool.cache_clear()


def test_a_group_with_little_to_do_wakes_nobody(small, monkeypatch):
    monkeypatch.setattr(parts, "_LONG", 1 << 20)
    monkeypatch.setattr(threads, "threads", lambda: 2)
    monkeypatch.setattr(threads, "_pool", lambda: pytest.fail("a thread was asked for"))
    x = np.ones((500, 3))
    volta.jit(several)(x, x)


@pytest.mark.parametrize(
    ("asked", "wanted"), [("1", 1), ("2", 2), ("0", 1), ("", 5), ("many", 5), ("1000", 5)]
)
def test_threads_are_those_at_hand_or_fewer_if_asked(monkeypatch, asked, wanted):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(5), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert threads.threads.__wrapped__() == wanted
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert threads.threads.__wrapped__() == wanted


# Formulas -----------------------------------------------------------------------------------------

SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 80.0, -90.0, 750.0, -750.0, 1e30, -1e30]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "name", ["gelu", "silu", "mish", "softplus", "elu", "hardswish", "softsign"]
)
def test_formulas_are_computed_as_their_kernels_do(two, name, dtype):
    function = getattr(F, name)
    x = np.concatenate([np.asarray(SPECIAL, dtype), 3 * fill(0, (300,), dtype)])
    for fun in (function, volta.grad(lambda x: F.sum(function(x) * x))):
        with np.errstate(all="ignore"):
            found, wanted = volta.jit(fun)(x), fun(x)
        np.testing.assert_array_equal(found, wanted)
        known = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(found[known]), np.signbit(wanted[known]))


def test_a_formula_is_written_out_and_has_no_warnings(together):
    x = np.asarray(SPECIAL[:4] * 10)
    (group,) = [
        e
        for e in programs._Writer(optimized(volta.trace(F.gelu)(x))).entries
        if type(e.primitive) is blocks.Blocks
    ]
    types = volta.trace(F.gelu)(x).types
    (e,) = group.primitive.entries
    assert is_formula(e, types)
    assert {"exp", "multiply", "maximum"} <= {s.primitive.name for s in evaluated(e, dict(types))}
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(volta.jit(F.gelu)(x), F.gelu(x))


def test_what_is_no_sequence_of_ufuncs_is_left_as_it_is(two, monkeypatch):
    def fun(x):
        return F.hardshrink(x) * 2

    x = fill(0, (100,), "float32")
    np.testing.assert_array_equal(volta.jit(fun)(x), fun(x))
    listed = volta.trace(F.gelu)(x)
    (e,) = listed.entries
    for formula in (lambda xp, x: xp.where(x > 0, x, 0), lambda xp, x: xp.frobnicate(x)):
        monkeypatch.setattr("volta.compile.formulas._formula_of", lambda _, f=formula: f)
        assert evaluated(e, dict(listed.types)) == [e]


# Errors and warnings ------------------------------------------------------------------------------


def power(x, y):
    a = x * 2
    b = a**y  # the line
    return b + 1


def told(self, error, args, params):
    """What a primitive says of an error, with the shapes of its operands."""
    return DimensionError(f"{self.name} of {[np.shape(a) for a in args]}: {error}.")


def test_an_error_of_another_thread_is_that_of_the_operation(together, monkeypatch):
    jitted, x = volta.jit(power), np.arange(1, 101)
    np.testing.assert_array_equal(jitted(x, x % 3), power(x, x % 3))
    y = x % 3
    y[0] = -1  # in the part of the other thread
    messages = []
    for call in (power, jitted):
        with pytest.raises(ValueError, match="negative integer powers") as raised:
            call(x, y)
        messages.append(str(raised.value))
    assert messages[0] == messages[1]
    monkeypatch.setattr(Primitive, "explain", told)
    line = power.__code__.co_firstlineno + 2
    message = rf"^pow of \[\(7,\), \(7,\)\]: Integers.*test_parts\.py:{line}\)$"
    for _ in range(2):
        with pytest.raises(DimensionError, match=message):
            jitted(x, y)
    np.testing.assert_array_equal(jitted(x, x % 3), power(x, x % 3))
    (pool,) = pools_of(jitted)
    assert 1 <= len(pool) <= 2


def pools_of(jitted):
    """Memory that is kept for each group of a jitted function's programs."""
    spaces = [p.root.body.__dict__["numpy"].__globals__ for p in jitted._programs.values()]
    values = [v for space in spaces for v in space.values()]
    return [
        v.__self__.pool for v in values if isinstance(getattr(v, "__self__", None), parts._Running)
    ]


@pytest.mark.parametrize("order", [(0.0, -1.0), (-1.0, 0.0)])
def test_the_error_is_that_of_the_first_part_that_has_one(together, order):
    def fun(x):
        return F.log(x) * 2

    jitted, x = volta.jit(fun), np.ones(100)
    x[0], x[10] = order  # in parts of two threads
    told = {0.0: "divide by zero encountered in log", -1.0: "invalid value encountered in log"}
    with np.errstate(all="raise"):
        with pytest.raises(FloatingPointError, match=told[order[0]]):
            fun(x[:5])
        with pytest.raises(FloatingPointError, match=told[order[0]]):
            jitted(x)
    assert len({*together}) == 2


def test_each_thread_has_the_callers_errstate(together):
    jitted, x = volta.jit(lambda x: F.log(x) * 2), np.ones(100)
    x[0] = x[10] = -1
    with np.errstate(all="ignore"):
        jitted(x)
    seen = []
    with np.errstate(all="call", call=lambda *_: seen.append(is_helper())):
        jitted(x)
    assert sorted(seen) == [False, True]


def test_warnings_are_those_of_the_function(together):
    jitted, x = volta.jit(lambda x: F.log(x) * 2), np.ones(100)
    x[0] = -1
    with pytest.warns(RuntimeWarning, match="invalid value encountered in log"):
        jitted(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        volta.jit(volta.grad(lambda x: F.sum(F.sqrt(x) * 2)))(np.zeros(100))  # a sweep has none


# Threads ------------------------------------------------------------------------------------------


def test_memory_that_a_thread_cannot_have_is_an_error_of_the_call(small):
    x = np.ones(100)
    program = programs._Writer(optimized(volta.trace(several)(x, x)))
    (e,) = [e for e in program.entries if type(e.primitive) is blocks.Blocks]
    group, _ = parts.written(e, "group", program.types)

    def none():
        raise MemoryError

    starts, errors = deque(itertools.product(*group.starts)), []
    running = parts._Running(group._replace(arena=none))
    running._work(starts, [], errors)  # as another thread does, which raises nothing
    assert [type(error) for _, error in errors] == [MemoryError]
    assert not starts
    assert not running.pool
    with pytest.raises(MemoryError):
        running()


def test_a_thread_that_does_not_begin_is_not_waited_for(two):
    begun, end = threading.Event(), threading.Event()
    other = threads._pool().submit(lambda: (begun.set(), end.wait(WAIT)))
    assert begun.wait(WAIT)
    try:
        x, y = fill(0, (100,), "float64"), fill(1, (100,), "float64")
        assert bits(volta.jit(several)(x, y)) == bits(several(x, y))
        assert not other.done()
    finally:
        end.set()


def test_no_array_is_held_when_a_call_ends(two):
    """What waits in the queue of a pool holds none, so that results are used again."""
    begun, end = threading.Event(), threading.Event()
    threads._pool().submit(lambda: (begun.set(), end.wait(WAIT)))
    assert begun.wait(WAIT)
    try:
        jitted, x = volta.jit(lambda x: F.exp(x) * 2), np.ones(1 << 15)
        places = {jitted(x).__array_interface__["data"] for _ in range(5)}
        assert len(places) == 1
    finally:
        end.set()


def test_help_within_help_ends(two):
    done = []

    def inner():
        done.append(1)

    def outer():
        with threads.helped(inner, 3):
            inner()

    for _ in range(50):
        with threads.helped(outer, 3):
            outer()
    assert len(done) >= 50


def test_many_threads_call_one_function(two):
    jitted, wrong = volta.jit(several, backend="numpy"), []
    y = fill(1, (5,), "float64")
    jitted(fill(0, (40, 5), "float64"), y)
    start = threading.Barrier(8)

    def work(seed):
        x = fill(seed, (40, 5), "float64")
        wanted = bits(several(x, y))
        start.wait(WAIT)
        wrong.extend(seed for _ in range(30) if bits(jitted(x, y)) != wanted)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for t in workers:
        t.start()
    for t in workers:
        t.join()
    assert not wrong


def test_what_has_begun_is_waited_for_whoever_interrupts():
    class Future:
        left = 3

        def cancel(self):
            return False

        def done(self):
            return not self.left

        def result(self):
            self.left -= 1
            if self.left:
                raise KeyboardInterrupt

    futures = [Future(), Future()]
    with pytest.raises(KeyboardInterrupt):
        threads._end(futures)
    assert all(f.done() for f in futures)


def test_what_has_begun_is_waited_for_if_the_next_one_is_interrupted(small, monkeypatch):
    begun, end, done = threading.Event(), threading.Event(), []

    def work():
        begun.set()
        end.wait(WAIT)
        done.append(1)

    class Pool(ThreadPoolExecutor):
        def submit(self, *args):
            if begun.is_set():
                threading.Timer(0.1, end.set).start()
                raise KeyboardInterrupt
            future = super().submit(*args)
            assert begun.wait(WAIT)
            return future

    use(monkeypatch, 3)
    pool = Pool(2)
    monkeypatch.setattr(threads, "_pool", lambda: pool)
    try:
        with pytest.raises(KeyboardInterrupt), threads.helped(work, 2):
            pytest.fail("the body runs")
        assert done
    finally:
        end.set()
        pool.shutdown()


SCRIPT = """
import atexit, os, sys
import numpy as np, volta, volta.functional as F
from volta.compile import blocks, parts, threads
threads.threads = lambda: 2
blocks._LARGE, blocks._PART, parts._LONG = 1, 64, 0
jitted = volta.jit(lambda x: F.exp(x) * 2, backend="numpy")
x = np.linspace(0, 1, 1000)
def check():
    np.testing.assert_array_equal(jitted(x), np.exp(x) * 2)
"""


def run(lines):
    found = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", SCRIPT + lines],
        capture_output=True,
        text=True,
        timeout=5 * WAIT,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_the_interpreter_ends_and_computes_until_then():
    lines = "atexit.register(lambda: (check(), print('at exit')))\ncheck()\nprint('done')\n"
    assert run(lines).split("\n")[:2] == ["done", "at exit"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_has_threads_of_its_own():
    lines = """
check()
before = threads._pool()
child = os.fork()
if not child:
    ok = threads._pool() is not before
    for _ in range(20):
        check()
    done = threads._pool().submit(int).result(60)
    os._exit(0 if ok and done == 0 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
check()
"""
    assert run(lines) == "0\n"


# Programs -----------------------------------------------------------------------------------------


def test_results_are_written_to_donated_arrays(together):
    def step(p, m, g):
        m = m * 0.9 + g
        return p - F.sqrt(m * m + 1) * 0.1, m

    p, m, g = (fill(i, (60, 5), "float32") for i in range(3))
    wanted = bits(step(p, m, g))
    found = volta.jit(step, donate_argnums=(0, 1))(p, m, g)
    assert bits(found) == wanted
    assert found[0] is p
    assert found[1] is m
    assert len({*together}) == 2


def test_a_group_is_kept_on_the_disk(together, tmp_path, monkeypatch):
    monkeypatch.setenv("VOLTA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "_FEWEST", 0)
    made = []
    plain = programs.write
    monkeypatch.setattr(programs, "write", lambda *args: made.append(1) or plain(*args))

    def fun(x, y):
        return F.gelu(x) * y, F.sum(F.exp(x) ** 2)

    x = fill(0, (60, 5), "float32")
    for _ in range(2):
        jitted = volta.jit(lambda *args: fun(*args))
        assert bits(jitted(x, x)) == bits(fun(x, x))
        assert "gelu" in jitted.explain()
    assert made == [1]


def test_an_error_of_a_program_from_the_disk_names_the_line(together, tmp_path, monkeypatch):
    monkeypatch.setenv("VOLTA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "_FEWEST", 0)
    monkeypatch.setattr(Primitive, "explain", told)
    x = np.arange(1, 101)
    line = power.__code__.co_firstlineno + 2
    for _ in range(2):
        jitted = volta.jit(lambda x, y: power(x, y))
        jitted(x, x % 3)
        with pytest.raises(DimensionError, match=rf"^pow of .*test_parts\.py:{line}\)$"):
            jitted(x, -x)


def test_a_function_of_a_group_has_nothing_of_the_process(small):
    x = np.ones(100)
    program = programs._Writer(optimized(volta.trace(several)(x, x)))
    (e,) = [e for e in program.entries if type(e.primitive) is blocks.Blocks]
    found, by_line = parts.written(e, "group", program.types)
    pickle.dumps(found._replace(code=None))
    assert {inner.primitive.name for inner in by_line.values()} >= {"exp", "tanh", "where"}
