"""What keeps cases on a device from taking the machine with them, and from each other.

Within `guarded` the device has a cap on its memory and a deadline for its work. A case must leave
the device as it was: it fails if memory is in use that was not, or work was not waited for. A
device that is lost or late ends the process, and so the cases that this worker was yet to measure;
the harness goes on with the next one.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.harness import Case

if TYPE_CHECKING:
    from volta.wgpu import Device

MEMORY = 1 << 30  # bytes that a case may have
PATIENCE = 60.0  # seconds that a portion of its work may take


class LeftoverError(Exception):
    """A case left something on the device."""


def on_first_device(cases: list[Case]) -> list[Case]:
    """Cases that run guarded on the first device."""
    from volta.wgpu import devices

    return [replace(case, around=partial(guarded, devices()[0])) for case in cases]


@contextmanager
def guarded(device: Device) -> Iterator[None]:
    """Cap memory and time, and fail if memory or work is left."""
    from volta.core.errors import DeviceError

    limits = device.memory_limit, device.patience
    device.memory_limit, device.patience = MEMORY, PATIENCE
    try:
        _check_host()
        in_use = _in_use(device)
        yield
        _check_left(device, in_use)
    except DeviceError as error:
        if device.queue.lost or device.queue.is_busy:
            sys.exit(str(error))  # to the end of what the worker writes, where the harness looks
        raise
    finally:
        device.memory_limit, device.patience = limits


def _check_host() -> None:
    """Raise unless the host can spare what the cap allows."""
    from volta.wgpu.pressure import host_memory

    host = host_memory()
    if host is not None and host.free < MEMORY:
        msg = f"the host must have {MEMORY:,} bytes free; got {host.free:,}"
        raise MemoryError(msg)


def _in_use(device: Device) -> int:
    """Bytes in use, but for numbers that the device keeps whoever asked for them."""
    from volta.wgpu.pending import pending_of

    pending = pending_of(device)  # which opens it
    gc.collect()  # compiled functions are in cycles
    device.synchronize()
    return device.memory.in_use - pending.nbytes_kept


def _check_left(device: Device, before: int) -> None:
    is_busy, submissions = device.queue.is_busy, device.counts.submissions
    device.synchronize()
    if is_busy or device.counts.submissions > submissions:
        msg = "a case must wait for its work; it left some to do"
        raise LeftoverError(msg)
    left = _in_use(device) - before
    if left:
        lines = ", ".join(f"{k}: {n:,}" for k, n in device.queue.pool.by_line().most_common(3))
        msg = f"a case must let go of its memory; it left {left:,} bytes in use (most: {lines})"
        raise LeftoverError(msg)
