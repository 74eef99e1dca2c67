"""Traces: their age, what they leave behind, threads, and where the user's code is."""

import concurrent.futures
import gc
import threading
import weakref

import numpy as np
import pytest

import volta
import volta.functional as F
from volta.core.context import RUNNING, STAGING
from volta.core.trace import Running, Trace, here, live, source_line
from volta.core.wengert import WengertList
from volta.transforms.vjp import VjpTrace

pytestmark = pytest.mark.core

X = np.asarray([1.0, 2.0, 3.0])
ENTER = {
    "grad": lambda f: volta.grad(f)(X),
    "value_and_grad": lambda f: volta.value_and_grad(f)(X),
    "vjp": lambda f: volta.vjp(f, X),
    "jvp": lambda f: volta.jvp(f, (X,), (X,)),
    "vmap": lambda f: volta.vmap(f)(X),
    "trace": lambda f: volta.trace(f)(X),
}
transforms = pytest.mark.parametrize("enter", list(ENTER.values()), ids=list(ENTER))


@pytest.fixture(autouse=True)
def _nothing_is_left_behind():
    yield
    assert RUNNING.get() == 0
    assert STAGING.get() is None
    assert live.staging == 0


def leaky(seen, error=None):
    """Function that leaks its argument and perhaps fails."""

    def fun(x):
        seen.append(x * 1)
        if error is not None:
            raise error
        return F.sum(x)

    return fun


# Age ---------------------------------------------------------------------------------------------


def test_an_inner_trace_is_younger():
    serials = []

    def inner(y):
        serials.append(y.trace.serial)
        return F.sum(y)

    def outer(x):
        serials.append(x.trace.serial)
        return volta.grad(inner)(X)[0] * F.sum(x)

    volta.grad(outer)(X)
    assert serials[0] < serials[1]


def test_messages_name_the_transform_and_the_function():
    class Callable:
        def __call__(self, x):
            return F.sum(x)

    def loss(x):
        return F.sum(x)

    assert Trace("grad", loss).name == "grad(loss)"
    assert Trace("vmap", Callable()).name == "vmap(Callable)"


# Failure -----------------------------------------------------------------------------------------


@transforms
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_a_failing_function_leaves_nothing(enter, error):
    seen = []
    with pytest.raises(error):
        enter(leaky(seen, error()))
    assert not seen[0].trace.open
    assert (RUNNING.get(), STAGING.get(), live.staging) == (0, None, 0)
    assert type(F.zeros(2)) is np.ndarray
    assert volta.grad(F.sum)(X).tolist() == [1.0, 1.0, 1.0]


@transforms
def test_an_inner_failure_leaves_the_outer_trace_running(enter):
    def outer(x):
        with pytest.raises(ValueError, match="inner"):
            enter(leaky([], ValueError("inner")))
        assert x.trace.open
        return F.sum(x * x)

    np.testing.assert_array_equal(volta.grad(outer)(X), 2 * X)


@transforms
def test_a_failed_trace_is_collected(enter):
    seen = []
    with pytest.raises(ValueError, match="mine"):
        enter(leaky(seen, ValueError("mine")))
    trace = seen.pop().trace
    kept = weakref.ref(trace.fun)
    del trace
    gc.collect()
    assert kept() is None


def test_lists_are_freed_without_the_collector():
    gc.collect()
    older = [o for o in gc.get_objects() if type(o) is VjpTrace]  # kept by reports of failures
    gc.disable()
    try:
        lists = []

        def fun(x):
            y = F.exp(x)
            lists.append(y.trace.entries)
            return F.sum(y * y)

        volta.grad(fun)(X)
        assert lists[0] == []  # consumed
        out, vjp_fn = volta.vjp(F.exp, X)
        trace = next(
            c.cell_contents for c in vjp_fn.__closure__ if type(c.cell_contents) is VjpTrace
        )
        assert trace.entries
        del out, vjp_fn, trace
        left = [o for o in gc.get_objects() if type(o) is VjpTrace]
        assert len(left) == len(older)
    finally:
        gc.enable()


# Escape ------------------------------------------------------------------------------------------


@transforms
def test_an_escaped_tracer_cannot_be_used(enter):
    seen = []
    enter(leaky(seen))
    (leak,) = seen
    name = leak.trace.name
    line = test_an_escaped_tracer_cannot_be_used.__code__.co_firstlineno
    with pytest.raises(volta.TraceError) as caught:
        leak + 1
    message = str(caught.value)
    assert message.startswith(
        f"add: arrays must be used while their transform runs; got one left over from {name} "
        "at test_trace.py:"
    )
    assert message.endswith("Return it from the function (has_aux=True for extra results).")
    assert 0 < int(message.split("test_trace.py:")[1].split(".")[0]) - line < 12


USES = {
    "unary": lambda leak, x: F.exp(leak),
    "binary": lambda leak, x: x * leak,
    "reflected": lambda leak, x: 2.0 / leak,
    "reduction": lambda leak, x: F.sum(leak),
    "where": lambda leak, x: F.where(x > 0, x, leak),
    "getitem": lambda leak, x: leak[None],
    "setitem": lambda leak, x: leak.__setitem__(..., 0.0),
    "in place": lambda leak, x: leak.__iadd__(1.0),
    "into": lambda leak, x: F.zeros(3).__setitem__(slice(None), leak),
    "numpy": lambda leak, x: np.sin(leak),
}


@pytest.mark.parametrize("use", list(USES.values()), ids=list(USES))
@transforms
def test_an_escaped_tracer_raises_inside_another_transform(enter, use):
    seen = []
    volta.vjp(leaky(seen), X)
    message = r"arrays must be used while their transform runs; got one left over from vjp\(fun\)"
    with pytest.raises(volta.TraceError, match=message):
        enter(lambda x: use(seen[0], x))


@pytest.mark.parametrize("enter", [ENTER[n] for n in ("vjp", "jvp", "vmap", "trace")])
@pytest.mark.parametrize("result", [lambda leak, x: leak, lambda leak, x: (x, {"a": leak})])
def test_an_escaped_tracer_as_a_result(enter, result):
    seen = []
    volta.grad(leaky(seen))(X)
    with pytest.raises(volta.TraceError, match=r"left over from grad\(fun\) at test_trace.py"):
        enter(lambda x: result(seen[0], x))


@pytest.mark.parametrize("transform", [volta.grad, volta.value_and_grad])
def test_an_escaped_tracer_as_a_loss(transform):
    seen = []
    volta.jvp(leaky(seen), (np.asarray(1.0),), (np.asarray(1.0),))
    with pytest.raises(volta.TraceError, match=r"^return: .* left over from jvp\(fun\)"):
        transform(lambda x: seen[0])(X)


def test_an_escaped_tracer_as_an_argument():
    seen = []
    volta.grad(leaky(seen))(X)
    with pytest.raises(volta.TraceError, match=r"left over from grad\(fun\)"):
        volta.value_and_grad(lambda x: F.sum(x * x))(seen[0])


def test_an_escaped_tracer_as_an_extra_result():
    seen = []
    volta.grad(leaky(seen))(X)
    with pytest.raises(volta.TraceError, match=r"^return: arrays must be used while"):
        volta.value_and_grad(lambda x: (F.sum(x), seen[0]), has_aux=True)(X)
    with pytest.raises(volta.TraceError, match=r"^return: arrays must be used while"):
        volta.vjp(lambda x: (x, seen[0]), X, has_aux=True)
    with pytest.raises(volta.TraceError, match=r"^return: arrays must be used while"):
        volta.jvp(lambda x: (x, seen[0]), (X,), (X,), has_aux=True)


def test_a_handle_written_to_inside_escapes_with_what_was_written():
    def outer(x):
        box = F.zeros(3, dtype=F.float64)
        volta.grad(lambda y: (box.__setitem__(0, y[0]), F.sum(y))[1])(X)
        return F.sum(box * x)

    with pytest.raises(volta.TraceError, match=r"multiply: .* left over from grad\(<lambda>\)"):
        volta.grad(outer)(X)


def test_an_escaped_tracer_still_prints():
    seen = []
    volta.grad(leaky(seen))(X)
    assert repr(seen[0]) == "Traced<float64[3] by grad(fun)>"
    assert seen[0].shape == (3,)


# Threads -----------------------------------------------------------------------------------------


def test_eight_threads_differentiate_at_once():
    barrier = threading.Barrier(8, timeout=20)

    def work(k):
        barrier.wait()

        def loss(x):
            for _ in range(20):
                x = F.sin(x * (1 + k / 8))
            return F.sum(x * x)

        return [volta.value_and_grad(loss)(X + k) for _ in range(5)]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(work, range(8)))
    barrier = threading.Barrier(1)
    for k, found in enumerate(together):
        for value, gradient in found:
            alone = work(k)[0]
            np.testing.assert_array_equal(value, alone[0])
            np.testing.assert_array_equal(gradient, alone[1])


def test_eight_threads_of_different_transforms():
    barrier = threading.Barrier(8, timeout=20)
    calls = [
        lambda: volta.grad(lambda x: F.sum(x**3))(X),
        lambda: volta.jvp(F.sin, (X,), (X,))[1],
        lambda: volta.vmap(lambda x: F.exp(x) + 1)(X),
        lambda: volta.trace(lambda x: F.exp(x) + F.ones(3))(X)(X),
    ] * 2

    def work(call):
        barrier.wait()
        return [call() for _ in range(10)]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(work, calls))
    for call, found in zip(calls, together, strict=True):
        for one in found:
            np.testing.assert_array_equal(one, call())
    assert live.staging == 0


@pytest.mark.grad_check
def test_grad_in_a_pool_thread_inside_a_grad():
    """The second derivative passes through the threads; perturbations stay apart."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:

        def outer(x):
            slopes = pool.map(lambda k: volta.grad(lambda y: F.sum(y**3 * x))(x * k), (1.0, 2.0))
            return F.sum(sum(slopes, start=0.0))

        found = volta.grad(outer)(X)
    # Σ_k 3 (k x)² x summed: derivative Σ_k 9 k² x²
    np.testing.assert_allclose(found, 9 * X**2 * (1 + 4))


def test_creation_in_a_pool_thread_of_a_transform():
    """What a thread creates mixes with traced arrays, though the thread knows no transform."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        found = volta.grad(lambda x: F.sum(pool.submit(lambda: F.ones(3) * 2 * x).result()))(X)
    np.testing.assert_array_equal(found, [2.0, 2.0, 2.0])


def test_several_threads_record_into_one_trace():
    with concurrent.futures.ThreadPoolExecutor(8) as pool:

        def loss(x):
            parts = pool.map(lambda k: chain(x * k), range(1, 17))
            return F.sum(F.stack(list(parts)))

        def chain(y):
            for _ in range(20):
                y = F.sin(y) + y
            return y

        found = volta.grad(loss)(X)
    wanted = volta.grad(lambda x: F.sum(F.stack([chain(x * k) for k in range(1, 17)])))(X)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_several_threads_stage_into_one_list():
    with concurrent.futures.ThreadPoolExecutor(4) as pool:

        def fun(x):
            return F.sum(F.stack(list(pool.map(lambda k: F.exp(x * k), range(8)))))

        staged = volta.trace(fun)(X)
    staged.check()
    np.testing.assert_allclose(staged(X), sum(np.exp(X * k).sum() for k in range(8)))


def test_staging_in_one_thread_does_not_stage_in_another():
    inside, done = threading.Event(), threading.Event()
    lists = []

    def staged(x):
        inside.set()
        assert done.wait(20)
        return F.exp(x)

    thread = threading.Thread(target=lambda: lists.append(volta.trace(staged)(X)))
    thread.start()
    assert inside.wait(20)
    assert live.staging == 1
    out = F.exp(X)
    made = F.zeros(3)
    done.set()
    thread.join()
    assert type(out) is np.ndarray
    assert type(made) is np.ndarray
    (found,) = lists
    assert type(found) is WengertList
    assert len(found) == 1


# Where the user's code is ------------------------------------------------------------------------


def test_here_is_the_callers_line():
    code, offset = here()
    line = test_here_is_the_callers_line.__code__.co_firstlineno + 1
    assert source_line(code, offset) == f"test_trace.py:{line}"


def test_source_line_of_nothing():
    assert source_line(None, 0) == "?"


def test_running_restores_what_was_current():
    outer, inner = Trace("a", len), Trace("b", len)
    with Running(outer):
        assert RUNNING.get() == 1
        with Running(inner):
            assert RUNNING.get() == 2
        assert RUNNING.get() == 1
        assert not inner.open
        assert outer.open
    assert not outer.open


def test_a_plain_trace_handles_nothing():
    with pytest.raises(NotImplementedError):
        Trace("none", len).process(None, (), {})


def test_what_a_sweep_computes_has_the_line_of_the_operation_it_differentiates():
    def loss(x):
        y = F.sin(x)
        return F.sum(y)

    listed = volta.trace(volta.grad(loss))(np.ones(3))
    first = loss.__code__.co_firstlineno
    lines = {e.primitive.name: source_line(e.code, e.offset) for e in listed.entries}
    assert lines["cos"] == f"test_trace.py:{first + 1}"
    assert lines["broadcast_to"] == f"test_trace.py:{first + 2}"
