"""Native workers: parts of a loop on several threads, beside other threads, forks and exits."""

import itertools
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from strategies import fill

import volta
import volta.functional as F
from volta.compile.native import llvm, loops, workers
from volta.compile.threads import threads as processors

pytestmark = [
    pytest.mark.core,
    pytest.mark.skipif(not llvm.available(), reason="llvmlite is not installed"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there are no workers"),
]

THREADS = """
import numpy as np, volta, volta.functional as F
from volta.compile.native import llvm, loops, workers
workers.threads = lambda: 3
llvm._LONG, loops._CHUNK = 0, 16
"""


@pytest.fixture
def shared(monkeypatch):
    """Have all kernels be shared by three threads."""
    monkeypatch.setattr(workers, "threads", lambda: 3)
    monkeypatch.setattr(llvm, "_LONG", 0)
    for name, value in {"_CHUNK": 16, "_COLUMNS": 4, "_PRIVATE": 64}.items():
        monkeypatch.setattr(loops, name, value)


def compiled(fun):
    return volta.jit(fun, backend="llvm")


def agree(fun, *args, rtol=3e-6):
    found, wanted = compiled(fun)(*args), fun(*args)
    for a, b in zip(volta.tree.leaves(found), volta.tree.leaves(wanted), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max(initial=0))


def parts_of(monkeypatch, fun, *args):
    """What threads share of the kernels of a function."""
    found = []
    plain = loops.Loops._split

    def split(self):
        found.append(plain(self))
        return found[-1]

    monkeypatch.setattr(loops.Loops, "_split", split)
    compiled(fun)(*args)
    return found


@pytest.mark.parametrize("n", [*range(1, 200, 7), 511, 512, 513, 5000, 100_003])
def test_elements(shared, n):
    x = fill(n, (n,), "float32")
    agree(lambda x: (F.exp(-x) * x, x + 1), x)


@pytest.mark.parametrize("shape", [(2, 3), (7, 40), (1, 300), (300, 1), (5, 3, 70), (13, 1000)])
def test_rows_and_folds(shared, shape):
    x = fill(0, shape, "float32")
    axes = range(len(shape))
    for axis in (c for k in axes for c in itertools.combinations(axes, k + 1)):
        agree(lambda x, a=axis: (x * 2, F.sum(x * x, axis=a), F.max(x, axis=a)), x)
    agree(lambda x: (F.softmax(x), F.sum(F.softmax(x) * x, axis=0), F.sum(F.softmax(x) ** 2)), x)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 100, 1000, 2000])
@pytest.mark.parametrize("width", [2, 5, 33, 700])
def test_columns(shared, n, width):
    x = fill(0, (n, width), "float32")
    agree(lambda x: (F.sum(F.exp(x), axis=0), F.min(x, axis=0)), x)


@pytest.mark.parametrize(
    ("kind", "fun"),
    [
        ("row", lambda x: x * 2),
        ("outer", F.softmax),
        ("fold", lambda x: F.sum(F.softmax(x), axis=0)),
        ("tile", lambda x: F.sum(x, axis=0)),
    ],
)
def test_every_kind_of_parts(shared, monkeypatch, kind, fun):
    x = fill(0, (4, 900), "float32")
    assert [part for part, *_ in parts_of(monkeypatch, fun, x)] == [kind]
    agree(fun, x)


def test_one_thread_has_no_parts(monkeypatch):
    monkeypatch.setattr(workers, "threads", lambda: 1)
    monkeypatch.setattr(llvm, "_LONG", 0)
    assert parts_of(monkeypatch, lambda x: x * 2, np.ones(5000)) == []


def test_results_do_not_depend_on_which_thread_is_first(shared):
    x = fill(0, (64, 300), "float32")
    step = compiled(lambda x: (F.sum(F.softmax(x) * x, axis=0), F.sum(x * x)))
    first = [a.copy() for a in step(x)]
    for _ in range(200):
        for a, b in zip(step(x), first, strict=True):
            np.testing.assert_array_equal(a, b)


def test_threads_of_python_beside_each_other(shared):
    x = [fill(i, (40, 100), "float32") for i in range(4)]
    step = compiled(lambda x: (F.softmax(x), F.sum(F.exp(x), axis=0)))
    wanted = [step(a) for a in x]
    wanted = [[np.array(b) for b in w] for w in wanted]
    wrong = []

    def run(i):
        for _ in range(500):
            for a, b in zip(step(x[i]), wanted[i], strict=True):
                if not np.array_equal(a, b):
                    wrong.append(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def ends_well(text, timeout=60):
    env = os.environ | {"OMP_NUM_THREADS": "1"}  # no threads of BLAS among those that are counted
    command = [sys.executable, "-c", THREADS + text]
    found = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=env)
    assert found.returncode == 0, found.stderr
    return found.stdout.split()


def test_a_child_after_fork_has_workers_of_its_own():
    said = ends_well("""
import os
x = np.linspace(0, 1, 5000)
f = volta.jit(lambda x: F.exp(-x) * x)
wanted = np.array(f(x))
for _ in range(3):
    child = os.fork()
    if not child:
        ok = all(np.array_equal(f(x), wanted) for _ in range(100))
        threads = len(os.listdir("/proc/self/task"))
        os._exit(0 if ok and threads == 3 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert np.array_equal(f(x), wanted)
print("done")
""")
    assert said == ["done"]


def test_a_process_ends_while_workers_sleep_and_while_they_spin():
    text = """
x = np.linspace(0, 1, 5000)
f = volta.jit(lambda x: F.exp(-x) * x)
f(x)
"""
    for rest in ("", "import time; time.sleep(0.1)\n", "del f, volta\nimport gc; gc.collect()\n"):
        ends_well(text + rest)


def test_workers_take_no_signals():
    said = ends_well("""
import os, signal, time
x = np.linspace(0, 1, 5000)
f = volta.jit(lambda x: F.exp(-x) * x)
f(x)
got = []
signal.signal(signal.SIGUSR1, lambda *_: got.append(1))
os.kill(os.getpid(), signal.SIGUSR1)
time.sleep(0.05)
masks = [
    line.split()[1]
    for task in os.listdir("/proc/self/task") if int(task) != os.getpid()
    for line in open(f"/proc/self/task/{task}/status") if line.startswith("SigBlk")
]
print(len(got), len(masks), all(int(m, 16) >> 9 & 1 for m in masks))
""")
    assert said == ["1", "2", "True"]


def test_many_processors_are_no_more_than_32(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(200))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(workers, "processors", processors.__wrapped__)
    assert workers.threads() == 32
    monkeypatch.setattr(sys, "platform", "darwin")
    assert workers.threads() == 1


@pytest.mark.parametrize("threads", [3, 32])
def test_folded_results_that_are_many_stay_off_the_stack(shared, monkeypatch, threads):
    monkeypatch.setattr(workers, "threads", lambda: threads)
    monkeypatch.setattr(loops, "_COLUMNS", 10**6)
    x = fill(0, (600, 3000), "float64")

    def scaled(x):
        return [F.sum(x * x * s, axis=0) for s in range(1, 21)]

    assert [part for part, *_ in parts_of(monkeypatch, scaled, x)] == [""]
    agree(scaled, x, rtol=1e-12)

    def few(x):
        return F.sum(x * x, axis=0)

    kinds = parts_of(monkeypatch, few, x)
    assert kinds[-1][0] == "fold"
    assert kinds[-1][1] * 3000 * 8 <= loops._STACK
    agree(few, x, rtol=1e-12)


def test_a_gradient_step_on_three_threads(shared):
    def loss(params, x, t):
        w, b = params
        return F.cross_entropy(F.tanh(x @ w + b), t)

    params = fill(0, (20, 10), "float32"), fill(1, (10,), "float32")
    x, t = fill(2, (50, 20), "float32"), np.arange(50) % 10
    agree(volta.value_and_grad(loss), params, x, t, rtol=1e-5)


SLOW = """
import ctypes, threading, time
import llvmlite.binding as llvm
from volta.compile.native import workers
workers.threads = lambda: 2
workers.define()
kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
run = ctypes.CFUNCTYPE(None, kind, ctypes.c_void_p, ctypes.c_int64)(
    llvm.address_of_symbol(workers.RUN)
)
own, helped, begun = threading.get_ident(), [], threading.Event()

def job(count, wait, late):
    @kind
    def task(context, i):
        if threading.get_ident() == own:
            wait()
        else:
            helped.append(i)
            begun.set()
            time.sleep(late)
    helped.clear()
    begun.clear()
    run(task, None, count)
    return len(helped)

def until_a_worker_has_begun():
    assert begun.wait(20)

first = job(2, until_a_worker_has_begun, 0.02)
start, rests = time.monotonic(), 0
for _ in range(2):
    count = job(4, lambda: time.sleep(0.001), 0)
    if time.monotonic() - start < 0.014:  # else this process was held up itself
        rests += count
time.sleep(0.05)
again = job(2, until_a_worker_has_begun, 0)
print(first, rests, again)
"""


def test_after_a_long_wait_a_thread_does_its_jobs_alone_for_a_while():
    """What a worker does that another process holds up is waited for; so it is not asked again."""
    found = subprocess.run([sys.executable, "-c", SLOW], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert found.stdout.split() == ["1", "0", "1"]
