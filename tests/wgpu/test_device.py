"""Devices: what they are, how they are lost, what ends a process and must not."""

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
from wgpu_kernels import ADD, SLOW, apply

import volta
import volta.wgpu
from volta.wgpu.native import NativeError

KINDS = ["discrete", "integrated", "cpu", "unknown"]


def as_floats(queue, buffer):
    return queue.read(buffer).view(np.float32)


def test_what_a_device_tells(device):
    assert device in volta.wgpu.devices()
    assert str(device) == "wgpu:0"
    assert repr(device) == f"Device(0, {device.name!r}, kind={device.kind!r})"
    assert device.kind in KINDS
    kinds = [KINDS.index(d.kind) for d in volta.wgpu.devices()]
    assert kinds == sorted(kinds)
    assert device.features <= {
        "float16",
        "float64",
        "int64",
        "float_atomics",
        "subgroups",
        "timestamps",
    }
    limits = device.limits
    assert limits.binding <= limits.buffer
    assert limits.groups >= 65535
    assert limits.group >= 256
    assert limits.shared >= 16384
    assert limits.buffers >= 8


def test_devices_are_chosen_by_name(device, monkeypatch):
    monkeypatch.setenv("VOLTA_WGPU_DEVICE", device.name.upper())
    assert device in volta.wgpu.devices()
    monkeypatch.setenv("VOLTA_WGPU_DEVICE", "no such device")
    assert volta.wgpu.devices() == ()


@pytest.mark.parametrize("seconds", [0, -1.0, "1", None, float("nan")])
def test_patience_is_a_time(device, seconds):
    with pytest.raises(volta.DeviceError, match=r"Device\.patience: must be seconds"):
        device.patience = seconds
    assert device.patience == 60.0


def test_what_takes_too_long_is_an_error_and_goes_on(device):
    queue = device.queue
    slow = queue.native.pipeline(SLOW, ["read", "write"], "slow")
    x = queue.write(np.zeros(64, np.float32))
    device.patience = 0.02  # of a discrete device 2000 groups need less
    try:
        out = apply(queue, slow, x, groups=2000 if device.kind == "cpu" else 65_535)
        with pytest.raises(volta.DeviceError, match=r"kernel slow must be done within 0\.02 sec"):
            device.synchronize()
    finally:
        device.patience = 60.0
    np.testing.assert_array_equal(as_floats(queue, out), 3)


def test_a_kernel_that_does_not_compile_names_its_fault(device):
    native = device.queue.native
    with pytest.raises(NativeError, match=r"kernel broken failed; .*no_such_function"):
        native.pipeline(
            ADD.replace("x[i.x] +", "no_such_function() +"), ["read", "write"], "broken"
        )
    with pytest.raises(NativeError, match="kernel unbound failed"):
        native.pipeline(ADD, ["read"], "unbound")


def test_what_is_recorded_wrongly_is_not_submitted(device):
    queue = device.queue
    add = queue.native.pipeline(ADD, ["read", "write"], "add")
    x = queue.write(np.zeros(64, np.float32))
    apply(queue, add, x, groups=device.limits.groups + 1)
    with pytest.raises(NativeError, match="what was submitted failed"):
        device.synchronize()
    with pytest.raises(volta.DeviceError, match="it is lost: wgpu: what was submitted failed"):
        queue.read(x)  # what it was to compute would be wrong
    device.reset()
    queue = device.queue
    add = queue.native.pipeline(ADD, ["read", "write"], "add")
    np.testing.assert_array_equal(
        as_floats(queue, apply(queue, add, queue.write(np.zeros(64, np.float32)))), 1
    )


def test_a_lost_device_says_so_until_it_is_reset(device):
    queue = device.queue
    add = queue.native.pipeline(ADD, ["read", "write"], "add")
    x = queue.write(np.zeros(64, np.float32))
    group = queue.native.group(
        add, [(x.handle, 0, x.size), (apply(queue, add, x).handle, 0, x.size)]
    )
    queue.native.destroy()
    calls = [
        device.synchronize,
        lambda: queue.read(x),
        lambda: queue.write(np.zeros(3)),
        lambda: queue.take(4),
        lambda: queue.copy(x, x),
        lambda: queue.dispatch(add, group, (1, 1, 1), [x]),
    ]
    for call in calls:
        with pytest.raises(volta.DeviceError, match=r"it is lost: .*Call Device\.reset\(\)"):
            call()
    device.reset()
    again = device.queue
    assert again is not queue
    np.testing.assert_array_equal(as_floats(again, again.write(np.ones(3, np.float32))), 1)
    with pytest.raises(volta.DeviceError, match="it is lost"):
        queue.read(x)


def test_a_device_that_another_thread_resets(device):
    queue = device.queue
    slow = queue.native.pipeline(SLOW, ["read", "write"], "slow")
    out = apply(queue, slow, queue.write(np.zeros(64, np.float32)), groups=100)
    threading.Timer(0.05, device.reset).start()
    with pytest.raises(volta.DeviceError, match="it is lost: it was given up"):
        read_on(queue, out)


def read_on(queue, buffer):
    while True:
        np.testing.assert_array_equal(as_floats(queue, buffer), 3)


# Processes of their own ---------------------------------------------------------------------------

BEGIN = """
import os, signal, sys
import numpy as np
import volta, volta.wgpu
from wgpu_kernels import ADD, SLOW, apply

device = volta.wgpu.devices()[0]
queue = device.queue
slow = queue.native.pipeline(SLOW, ["read", "write"], "slow")
x = queue.write(np.zeros(64, np.float32))
apply(queue, slow, x)
device.synchronize()
"""


def run(program):
    """Run a program in a process of its own; return what it prints."""
    script = BEGIN + textwrap.dedent(program)
    command = [sys.executable, "-W", "error", "-c", script]
    root = Path(volta.__path__[0]).parent
    paths = os.pathsep.join([str(root), str(root / "tests"), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=env
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.usefixtures("first")
class TestProcesses:
    """Each ends well."""

    def test_it_may_end_while_work_is_under_way(self):
        program = """
            out = [apply(queue, slow, x, groups=1000) for _ in range(3)]
            queue.submit()
            apply(queue, slow, x)  # only recorded
            print("end")
        """
        assert run(program) == "end\n"

    def test_it_may_end_with_a_lost_device(self):
        program = """
            apply(queue, slow, x, groups=1000)
            queue.submit()
            apply(queue, slow, x)
            queue.native.destroy()
            print("end")
        """
        assert run(program) == "end\n"

    def test_a_device_may_be_reset_while_work_is_under_way(self):
        program = """
            out = apply(queue, slow, x, groups=1000)
            queue.submit()
            apply(queue, slow, x)
            device.reset()
            queue = device.queue
            print(*queue.read(queue.write(np.arange(3, dtype=np.float32))).view(np.float32))
        """
        assert run(program) == "0.0 1.0 2.0\n"

    def test_waiting_and_reading_can_be_interrupted(self):
        program = """
            def stop(*_):
                raise KeyboardInterrupt

            signal.signal(signal.SIGALRM, stop)
            for wait in (device.synchronize, lambda: queue.read(out)):
                for _ in range(1 if device.kind == "cpu" else 20):
                    out = apply(queue, slow, x, groups=4000 if device.kind == "cpu" else 65_535)
                signal.setitimer(signal.ITIMER_REAL, 0.05)
                try:
                    wait()
                    print("was not interrupted")
                except KeyboardInterrupt:
                    print(queue.is_busy)  # or it has waited for the kernel after all
                print(*set(queue.read(out).view(np.float32)))
        """
        assert run(program) == "True\n3.0\nTrue\n3.0\n"

    def test_a_forked_process_is_told_to_be_spawned(self):
        program = """
            out = apply(queue, slow, x)
            if os.fork() == 0:
                for call in (
                    lambda: queue.read(x),
                    lambda: apply(queue, slow, x, out=x),
                    device.synchronize,
                    device.reset,
                    volta.wgpu.devices,
                ):
                    try:
                        call()
                        print("no error")
                    except volta.DeviceError as error:
                        print('Start processes by "spawn"' in str(error))
                sys.stdout.flush()
                os._exit(0)
            os.wait()
            device.reset()  # now it is found, and not open
            if os.fork() == 0:
                try:
                    device.queue
                except volta.DeviceError as error:
                    print('Start processes by "spawn"' in str(error))
                sys.stdout.flush()
                os._exit(0)
            os.wait()
            queue = device.queue
            out = queue.write(np.full(2, 3, np.float32))
            print(*set(queue.read(out).view(np.float32)))
        """
        assert run(program) == 6 * "True\n" + "3.0\n"
