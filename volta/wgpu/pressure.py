"""A warning, early, of memory that grows from step to step: the device's, or the host's.

A `Monitor` is told of each step and looks at every few of them. What is in use goes up and down
within a step, so it is the least of some readings that must grow, four times in a row.

Readers of the host's memory come first: of Linux, macOS and Windows.
"""

import ctypes
import itertools
import os
import re
import struct
import subprocess
import sys
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from volta.core.source import running_line
from volta.wgpu.device import Device

__all__ = ["Host", "MemoryPressureWarning", "Monitor", "host_memory"]


class Host(NamedTuple):
    """Memory of the host.

    Attributes
    ----------
    used : int
        Bytes that this process has in memory.
    free : int
        Bytes that programs can have without others being put out.
    """

    used: int
    free: int


def host_memory() -> Host | None:
    """Return the memory of the host; None on systems that are not known.

    Returns
    -------
    Host or None
    """
    reader = _READERS.get(sys.platform)
    return None if reader is None else reader()


def _of_linux() -> Host:
    statm = Path("/proc/self/statm").read_text(encoding="ascii")
    meminfo = Path("/proc/meminfo").read_text(encoding="ascii")
    return linux(statm, meminfo, os.sysconf("SC_PAGE_SIZE"))


def linux(statm: str, meminfo: str, page: int) -> Host:
    """What two files of /proc say, whose pages have so many bytes."""
    return Host(int(statm.split()[1]) * page, 1024 * _number(r"MemAvailable:\s+(\d+) kB", meminfo))


def _of_macos() -> Host:
    commands = ["ps", "-o", "rss=", "-p", str(os.getpid())], ["vm_stat"]
    return macos(*(subprocess.run(c, capture_output=True, text=True).stdout for c in commands))


def macos(ps: str, vm_stat: str) -> Host:
    """What ``ps -o rss=`` and ``vm_stat`` print."""
    page = _number(r"page size of (\d+) bytes", vm_stat)
    kinds = "free", "inactive", "speculative"
    return Host(1024 * int(ps), page * sum(_number(rf"Pages {k}:\s+(\d+)", vm_stat) for k in kinds))


def _of_windows() -> Host:
    api: Any = ctypes
    counters = ctypes.create_string_buffer(struct.pack("<I", 72), 72)
    process = api.windll.kernel32.GetCurrentProcess
    process.restype = ctypes.c_void_p
    api.windll.psapi.GetProcessMemoryInfo(ctypes.c_void_p(process()), counters, 72)
    status = ctypes.create_string_buffer(struct.pack("<I", 64), 64)
    api.windll.kernel32.GlobalMemoryStatusEx(status)
    return windows(counters.raw, status.raw)


def windows(counters: bytes, status: bytes) -> Host:
    """What structures PROCESS_MEMORY_COUNTERS and MEMORYSTATUSEX of 64 bits hold."""
    _, _, _, used = struct.unpack_from("<IIQQ", counters)
    _, _, _, free = struct.unpack_from("<IIQQ", status)
    return Host(used, free)


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


_READERS: Final[dict[str, Callable[[], Host]]] = {
    "linux": _of_linux,
    "darwin": _of_macos,
    "win32": _of_windows,
}


# Trends -------------------------------------------------------------------------------------------

_READINGS: Final = 32  # that a trend is seen in
_PARTS: Final = 4  # of these, whose least must grow
_AHEAD: Final = 1_000_000  # steps before the end of memory that are early enough
_SHOWN: Final = 3  # lines of a warning


class MemoryPressureWarning(ResourceWarning):
    """Memory grows from step to step."""


def growth(readings: Sequence[int]) -> float:
    """Bytes by which readings grow from one to the next; 0 if their least does not always grow."""
    size = len(readings) // _PARTS
    least = [min(readings[k * size : (k + 1) * size]) for k in range(_PARTS)]
    grows = all(a < b for a, b in itertools.pairwise(least))
    return (least[-1] - least[0]) / (size * (_PARTS - 1)) if grows else 0.0


class Monitor:
    """Watches memory over steps, and warns once of each kind that grows.

    Parameters
    ----------
    device : Device
    every : int
        Steps between two looks, each of which takes some tens of microseconds (on macOS some
        milliseconds). A warning takes 32 looks.
    least : int
        Bytes of the host's memory, over these looks, by which growth is no accident.

    Examples
    --------
    >>> from volta.wgpu.pressure import Monitor
    >>> def train(device, steps):  # doctest: +SKIP
    ...     monitor = Monitor(device)
    ...     for step in steps:
    ...         step()
    ...         monitor.step()
    """

    def __init__(self, device: Device, *, every: int = 10, least: int = 1 << 24) -> None:
        self.device, self.every, self.least = device, every, least
        self._steps = 0
        self._device: deque[int] = deque(maxlen=_READINGS)
        self._host: deque[int] = deque(maxlen=_READINGS)
        self._lines: deque[Counter[str]] = deque(maxlen=_READINGS)
        self._told: set[str] = set()

    def step(self) -> None:
        """Count a step; warns with `MemoryPressureWarning` if memory grows."""
        self._steps += 1
        if self._steps % self.every == 0:
            self._look()

    def _look(self) -> None:
        pool = self.device.queue.pool
        memory = self.device.memory
        self._device.append(memory.in_use)
        self._lines.append(pool.by_line())
        host = host_memory()
        if host is not None:
            self._host.append(host.used)
        if len(self._device) < _READINGS:
            return
        limit = None if memory.limit is None else memory.limit - memory.in_use
        self._judge(f"{self.device}", self._device, limit, 0)
        if host is not None:
            self._judge("the host", self._host, host.free, self.least)

    def _judge(self, whose: str, readings: Iterable[int], left: int | None, least: int) -> None:
        by_step = growth([*readings]) / self.every
        if whose in self._told or by_step * self.every * _READINGS <= least:
            return
        steps = None if left is None else int(left / by_step)
        if steps is not None and steps > _AHEAD:
            return
        self._told.add(whose)
        end = "" if steps is None else f", which ends in about {steps:,} steps"
        lines = self._lines[-1] - self._lines[0]
        shown = ", ".join(f"{line}: {size:,}" for line, size in lines.most_common(_SHOWN))
        where = f" Arrays that came to be: {shown}." if shown else ""
        at = running_line()
        msg = (
            f"memory of {whose}: what is in use must not grow from step to step; it grows by "
            f"{by_step:,.0f} bytes a step{end}.{where} Let go of arrays of earlier steps"
            f"{f' (line: {at})' if at else ''}"
        )
        warnings.warn(msg, MemoryPressureWarning, stacklevel=4)
