"""Arrays of a device over many steps, at the limit of its memory, and when it is lost."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import volta
import volta.functional as F
import volta.wgpu
from volta.wgpu.pending import pending_of

MIB = 1 << 20


def floats(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def loss(params, x, y):
    w1, b1, w2, b2 = params
    return F.mean((F.tanh(x @ w1 + b1) @ w2 + b2 - y) ** 2)


def step(params, x, y):
    value, slopes = volta.value_and_grad(loss)(params, x, y)
    return value, [p - 0.01 * s for p, s in zip(params, slopes, strict=True)]


def data():
    shapes = (8, 16), (16,), (16, 4), (4,), (32, 8), (32, 4)
    *params, x, y = (floats(*shape, seed=n) for n, shape in enumerate(shapes))
    return params, x, y


def moved(device):
    return volta.tree.map(lambda a: volta.wgpu.asarray(a, device=device), data())


def objects():
    """How many there are, but for bind groups, of which each launch keeps a few."""
    gc.collect()
    return sum(type(x).__name__ not in ("__CDataGCP", "tuple") for x in gc.get_objects())


# Many steps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [300, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("jitted", [False, True])
def test_steps_leave_nothing_behind(device, jitted, steps):
    params, x, y = moved(device)
    run = volta.jit(step) if jitted else step
    seen = []
    for n in range(steps):
        value, params = run(params, x, y)
        if n % 50 == 49:
            found = float(value)
            memory = device.memory
            seen.append((memory.allocations, memory.peak, memory.buffers, objects()))
    assert seen[2:] == [seen[2]] * (len(seen) - 2)
    host, x, y = data()
    for _ in range(min(steps, 300)):
        wanted, host = step(host, x, y)
    assert found == pytest.approx(float(wanted), 1e-4) if steps <= 300 else found < wanted


def test_nothing_is_transferred_in_a_step(device):
    params, x, y = moved(device)
    run = volta.jit(step)
    value, params = run(params, x, y)
    value.to_numpy()
    before = device.counts
    for _ in range(50):
        value, params = run(params, x, y)
    device.synchronize()
    after = device.counts
    assert (after.reads, after.writes) == (before.reads, before.writes)
    assert after.kernels > before.kernels
    assert (after.submissions - before.submissions) * 64 <= after.kernels - before.kernels + 64


def test_numbers_that_change_leave_nothing_behind(device):
    x = volta.wgpu.asarray(np.arange(6, dtype=np.int32))
    kernels = []
    for n in range(1000, 1300):
        y = F.astype(x * n, F.float32) * (n / 7)
        y.to_numpy()
        x = F.where(x < n, x, x - n)
        x.to_numpy()
        if n % 100 == 99:
            kernels.append(len(device.queue._pipelines))
    assert kernels[0] == kernels[-1]


def test_many_pending_operations_are_computed_in_between(device):
    x = volta.wgpu.asarray(np.zeros(6, np.float32))
    for _ in range(2000):
        x = x + 1.0
    assert len(pending_of(device)._waiting.values) < 300
    np.testing.assert_array_equal(x.to_numpy(), 2000)


@pytest.mark.parametrize("before", range(250, 258))
def test_what_is_computed_in_between_is_still_known(device, before):
    arrays = [
        volta.wgpu.asarray(np.arange(3, dtype=d), device=device)
        for d in ("int16", "uint16", "int32")
    ]
    x = arrays[2]
    for _ in range(before):
        x = x + 1
    out = F.concat(arrays)  # two of them are converted first, and no array has these
    np.testing.assert_array_equal(out.to_numpy(), [0, 1, 2] * 3)


def test_more_results_than_a_kernel_has_buffers(device):
    x = volta.wgpu.asarray(floats(40, 5))
    many = [x + float(n) for n in range(70)]
    sums = [F.sum(a, axis=n % 2) for n, a in enumerate(many)]
    for n in (0, 33, 69):
        np.testing.assert_allclose(many[n].to_numpy(), floats(40, 5) + n, rtol=1e-6)
        wanted = (floats(40, 5) + n).sum(axis=n % 2)
        np.testing.assert_allclose(sums[n].to_numpy(), wanted, rtol=1e-5)


# The limit of memory ------------------------------------------------------------------------------


@pytest.fixture
def limited(device):
    before = device.memory_limit
    device.memory_limit = 32 * MIB
    yield device
    device.memory_limit = before


def big(n=1):
    return volta.wgpu.asarray(np.full(n * MIB // 4, 1, np.float32))


def fill(kept, base):
    while True:
        kept.append(base + float(len(kept)))
        kept[-1][:1].to_numpy()


def test_filling_memory_with_arrays(limited):
    kept, base = [], big()
    for _ in range(3):
        with pytest.raises(volta.DeviceError, match=f"of at most {32 * MIB:,}") as caught:
            fill(kept, base)
        assert "test_endurance.py:" in str(caught.value)
        assert limited.memory.peak <= 32 * MIB
        assert len(kept) > 20
        del caught
        del kept[3:]
        np.testing.assert_array_equal((kept[2] * 2)[:3].to_numpy(), 6)
        kept.clear()
    np.testing.assert_array_equal((base + 1).to_numpy(), 2)


def test_what_does_not_fit_leaves_others_alone(limited):
    x = big()
    large = F.broadcast_to(x, (64, x.size)) + 1.0  # pending
    small = x[:3] + 5
    np.testing.assert_array_equal(small.to_numpy(), 6)
    with pytest.raises(volta.DeviceError, match="bytes must be free"):
        large.to_numpy()
    np.testing.assert_array_equal((small + 1).to_numpy(), 7)
    limited.memory_limit = None
    np.testing.assert_array_equal(large[5, :3].to_numpy(), 2)


def test_what_is_pending_and_unwanted_makes_room(limited):
    for _ in range(3):
        x = big(20)
        x + 1.0  # pending, and no array has it
        del x


# Loss ---------------------------------------------------------------------------------------------

GONE = r"it is lost: .*Call Device\.reset\(\)"


@pytest.mark.parametrize("jitted", [False, True])
def test_a_device_that_is_lost_in_a_step(device, jitted):
    run = volta.jit(step) if jitted else step
    params, x, y = moved(device)
    for _ in range(5):
        value, params = run(params, x, y)
    wanted = float(value)
    device.queue.native.destroy()
    with pytest.raises(volta.DeviceError, match=GONE):
        run(params, x, y)[0].to_numpy()
    for call in (value.to_numpy, lambda: float(loss(params, x, y)), lambda: moved(device)):
        with pytest.raises(volta.DeviceError, match=GONE):
            call()
    device.reset()
    with pytest.raises(volta.DeviceError, match=r"must be made since wgpu:\d was reset; got one"):
        run(params, x, y)[0].to_numpy()
    params, x, y = moved(device)
    for _ in range(5):
        value, params = run(params, x, y)
    assert float(value) == pytest.approx(wanted, 1e-6)


def test_arrays_of_before_a_reset_say_where_they_were_made(device):
    x = volta.wgpu.asarray(floats(6))
    pending = x + 1
    device.reset()
    new = volta.wgpu.asarray(floats(6))
    line = r"was reset; got one that was made before, at test_endurance\.py:\d+\. Make it anew"
    calls = [x.to_numpy, pending.to_numpy, lambda: x + new, lambda: (pending + new).to_numpy()]
    calls += [lambda: x[::2], lambda: F.sort(x), lambda: F.concat([new, x]).to_numpy()]
    calls += [lambda: F.nonzero(x), lambda: volta.jit(lambda a: a * 2)(x).to_numpy()]
    for call in calls:
        with pytest.raises(volta.DeviceError, match=line):
            call()
    np.testing.assert_array_equal((new + 1).to_numpy(), floats(6) + 1)


# Threads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jitted", [False, True])
def test_threads_train_on_one_device(device, jitted):
    run = volta.jit(step) if jitted else step

    def train(_):
        params, x, y = moved(device)
        for _ in range(40):
            value, params = run(params, x, y)
        return float(value)

    with ThreadPoolExecutor(6) as pool:
        found = [*pool.map(train, range(6))]
    assert found == pytest.approx([train(0)] * 6, 1e-5)


def test_threads_share_what_is_pending(device):
    x = volta.wgpu.asarray(floats(100))
    shared = [x * float(n) for n in range(40)]
    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(lambda n: (shared[n % 40] + 1.0).to_numpy(), range(400))]
    for n, out in enumerate(found):
        np.testing.assert_allclose(out, floats(100) * (n % 40) + 1, rtol=1e-6)


# Interrupts ---------------------------------------------------------------------------------------


@pytest.mark.slow  # no run is like another
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no such timers")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # in a destructor
def test_interrupts_at_any_time_lose_nothing(device):
    """Signals that come anywhere in a loop of steps, again and again."""
    x = volta.wgpu.asarray(np.zeros(64, np.float32))
    random = np.random.default_rng(0)
    is_armed = False

    def stop(*_):
        if is_armed:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    try:
        for _ in range(100):
            found = [x]
            try:
                is_armed = True
                signal.setitimer(signal.ITIMER_REAL, float(random.uniform(1e-4, 1.5e-2)), 0.01)
                while True:
                    z = found[-1] + 1.0
                    z.to_numpy()
                    found.append(z)
            except KeyboardInterrupt:
                is_armed = False
            np.testing.assert_array_equal(found[-1].to_numpy(), len(found) - 1)
    finally:
        is_armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    device.synchronize()


# Processes of their own ---------------------------------------------------------------------------

BEGIN = """
import os, signal, sys, threading
import numpy as np
import volta, volta.wgpu
import volta.functional as F
from test_endurance import GONE, moved, step

device = volta.wgpu.devices()[0]
x = volta.wgpu.asarray(np.arange(64, dtype=np.float32))
(x + 1).to_numpy()
"""


def run_alone(program):
    """Run a program in a process of its own; return what it prints."""
    tests = Path(__file__).parent
    root = Path(volta.__path__[0]).parent
    paths = (root, tests.parent, tests, os.environ.get("PYTHONPATH", ""))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BEGIN + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.usefixtures("first")
class TestProcesses:
    """Each ends well."""

    def test_it_may_end_with_work_pending(self):
        program = """
            params, a, b = moved(device)
            run = volta.jit(step)
            for _ in range(30):
                value, params = run(params, a, b)
            y = [x + float(n) for n in range(9)]
            print("end")
        """
        assert run_alone(program) == "end\n"

    def test_it_may_end_with_a_lost_device_and_work_pending(self):
        program = """
            y = F.sort(x * 2)
            device.queue.native.destroy()
            z = y + 1
            print("end")
        """
        assert run_alone(program) == "end\n"

    def test_it_may_end_in_a_thread_of_its_own(self):
        program = """
            def work():
                y = x
                while True:
                    y = (y + 1.0) * 0.5
                    y.to_numpy()

            threading.Thread(target=work, daemon=True).start()
            threading.Event().wait(0.2)
            print("end")
        """
        assert run_alone(program) == "end\n"

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
    def test_a_forked_process_is_told_to_be_spawned(self):
        program = """
            y = x * 2  # pending
            f = volta.jit(lambda a: a + 1)
            f(x).to_numpy()
            if os.fork() == 0:
                calls = [
                    y.to_numpy, x.to_numpy, lambda: f(x), lambda: F.sort(x).to_numpy(),
                    lambda: volta.wgpu.asarray(np.ones(3)), lambda: print(x), lambda: bool(x[0]),
                ]
                for call in calls:
                    try:
                        call()
                        print("no error")
                    except volta.DeviceError as error:
                        print('Start processes by "spawn"' in str(error))
                del y, x, f
                sys.stdout.flush()
                os._exit(0)
            _, status = os.wait()
            print(status, *y[:3].to_numpy())
        """
        assert run_alone(program) == 7 * "True\n" + "0 0.0 2.0 4.0\n"

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
    def test_a_process_forked_while_another_thread_computes(self):
        program = """
            stop = threading.Event()

            def work():
                y = x
                while not stop.is_set():
                    y = (y + 1.0) * 0.5
                    y.to_numpy()

            thread = threading.Thread(target=work)
            thread.start()
            for _ in range(5):
                threading.Event().wait(0.02)
                if os.fork() == 0:
                    try:
                        (x + 1).to_numpy()
                    except volta.DeviceError as error:
                        os._exit(7)
                    os._exit(1)
                print(os.waitstatus_to_exitcode(os.wait()[1]))
            stop.set()
            thread.join()
        """
        assert run_alone(program) == 5 * "7\n"

    def test_a_device_that_another_thread_resets(self):
        program = """
            def reset():
                device.reset()

            threading.Timer(0.1, reset).start()
            try:
                y = x
                while True:
                    y = (y + 1.0) * 0.5
                    y.to_numpy()
            except volta.DeviceError as error:
                print("reset" in str(error))
            print(*volta.wgpu.asarray(np.ones(2, np.float32)).to_numpy())
        """
        assert run_alone(program) == "True\n1.0 1.0\n"
