"""The warning of memory that grows: when it comes and what it says, and what hosts tell."""

import struct
import sys
import warnings

import numpy as np
import pytest

import volta.wgpu
from volta.wgpu import pressure
from volta.wgpu.pressure import Host, MemoryPressureWarning, Monitor

MIB = 1 << 20
MEMINFO = "MemTotal:       16314300 kB\nMemFree:          300120 kB\nMemAvailable:    9120440 kB\n"
VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               12345.
Pages active:                            400000.
Pages inactive:                          300000.
Pages speculative:                         1000.
Pages wired down:                        150000.
"""


def test_what_linux_tells():
    assert pressure.linux("80211 20553 4100 1 0 30000 0\n", MEMINFO, 4096) == Host(
        20553 * 4096, 9120440 * 1024
    )


def test_what_macos_tells():
    assert pressure.macos(" 123456\n", VM_STAT) == Host(123456 * 1024, 313345 * 16384)


def test_what_windows_tells():
    counters = struct.pack("<IIQQQQQQQQ", 72, 1000, 9 * MIB, 7 * MIB, 1, 2, 3, 4, 5, 6)
    status = struct.pack("<IIQQQQQQQ", 64, 41, 32 << 30, 19 << 30, 1, 2, 3, 4, 0)
    assert pressure.windows(counters, status) == Host(7 * MIB, 19 << 30)


def test_this_host(monkeypatch):
    if sys.platform in ("linux", "darwin", "win32"):
        found = pressure.host_memory()
        assert MIB < found.used < 1 << 40
        assert found.free > MIB
    monkeypatch.setattr(sys, "platform", "another")
    assert pressure.host_memory() is None


def test_growth_is_that_of_the_least():
    assert pressure.growth([10 * n for n in range(32)]) == 10
    assert pressure.growth([10 * n + 500 * (n % 2) for n in range(32)]) == 10
    assert pressure.growth([500 * (n % 3) for n in range(32)]) == 0
    assert pressure.growth([min(n, 12) for n in range(32)]) == 0
    assert pressure.growth([*range(32)][::-1]) == 0


def test_arrays_that_are_kept_are_told_once_and_early(device):
    kept = []
    monitor = Monitor(device, every=2)
    x = volta.wgpu.asarray(np.zeros(MIB // 4, np.float32))

    def steps(count):
        for _ in range(count):
            kept.append(x + 1.0)
            kept[-1][:1].to_numpy()
            monitor.step()

    with pytest.warns(MemoryPressureWarning) as caught:
        steps(200)
    (told,) = (w for w in caught if "wgpu:0" in str(w.message))
    message = str(told.message)
    assert f"grows by {MIB:,} bytes a step" in message
    assert ("which ends in about" in message) == (device.memory_limit is not None)
    assert "Arrays that came to be: test_pressure.py:" in message
    assert told.filename == __file__
    assert device.memory.in_use < (device.memory_limit or 1 << 62) / 4  # early


def test_steps_that_leave_nothing_are_not_told(device):
    monitor = Monitor(device, every=1, least=1 << 40)
    x = volta.wgpu.asarray(np.zeros(1000, np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("error", MemoryPressureWarning)
        for _ in range(200):
            x = x + 1.0
            x.to_numpy()
            monitor.step()


def test_the_host_is_told_apart(device, monkeypatch):
    readings = iter(range(0, 1 << 40, MIB))
    monkeypatch.setattr(pressure, "host_memory", lambda: Host(next(readings), 1000 * MIB))
    monitor = Monitor(device, every=1)
    told = r"memory of the host: .* 1,048,576 bytes a step"

    def steps():
        for _ in range(100):
            monitor.step()

    with pytest.warns(MemoryPressureWarning, match=told):
        steps()


def test_it_looks_at_few_steps(device, monkeypatch):
    looks = []
    monkeypatch.setattr("volta.wgpu.pressure.host_memory", lambda: looks.append(1))
    monitor = Monitor(device)
    before = device.counts
    for _ in range(1000):
        monitor.step()
    assert len(looks) == 100  # every tenth step, and nothing of the device
    assert device.counts == before
