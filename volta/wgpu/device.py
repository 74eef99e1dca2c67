"""The devices that there are, and what they can do."""

import functools
import os
import threading
import weakref
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final, NamedTuple

from volta.core.errors import DeviceError
from volta.wgpu.memory import MemoryStats
from volta.wgpu.native import Native, load
from volta.wgpu.queue import Counts, Queue

__all__ = ["Device", "Limits", "devices"]

_KINDS: Final = {  # those that are most likely wanted come first
    "DiscreteGPU": "discrete",
    "IntegratedGPU": "integrated",
    "CPU": "cpu",
    "Unknown": "unknown",
}
_FEATURES: Final = {  # what wgpu-py calls what kernels use
    "float16": "shader-f16",
    "float64": "shader-f64",
    "int64": "shader-int64",
    "float_atomics": "shader-float32-atomic",
    "subgroups": "subgroup",
    "timestamps": "timestamp-query",
}
_SHARE: Final = 0.5  # of the host's memory, that a device which is the host may have
_MOST: Final = 1 << 32  # bytes of it


class Limits(NamedTuple):
    """What a kernel may have.

    Attributes
    ----------
    buffer, binding : int
        Bytes of a buffer, and of what a kernel sees of it.
    buffers : int
        Buffers of a kernel.
    groups : int
        Workgroups along each of three axes.
    group : int
        Invocations of a workgroup.
    shared : int
        Bytes that a workgroup shares.
    """

    buffer: int
    binding: int
    buffers: int
    groups: int
    group: int
    shared: int


_LIMITS: Final = {  # what wgpu-py calls them
    "buffer": "max-buffer-size",
    "binding": "max-storage-buffer-binding-size",
    "buffers": "max-storage-buffers-per-shader-stage",
    "groups": "max-compute-workgroups-per-dimension",
    "group": "max-compute-invocations-per-workgroup",
    "shared": "max-compute-workgroup-storage-size",
}


_ALL: "Final[weakref.WeakSet[Device]]" = weakref.WeakSet()


def _unlock() -> None:
    """In a forked process: another thread may have held a lock."""
    for device in _ALL:
        device._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


class Device:
    """A device of this machine, opened when it is first used.

    `devices` makes them.

    Attributes
    ----------
    number : int
        Its place in `devices`.
    name, driver, backend : str
        As they are given: ``"llvmpipe (LLVM 15.0.6, 256 bits)"``, ``"Mesa 22.3.6 (LLVM 15.0.6)"``,
        ``"Vulkan"``.
    kind : str
        ``"discrete"``, ``"integrated"``, ``"cpu"`` or ``"unknown"``.
    features : frozenset of str
        Which of ``"float16"``, ``"float64"``, ``"int64"``, ``"float_atomics"``, ``"subgroups"``
        and ``"timestamps"`` it has.
    limits : Limits
    """

    def __init__(self, number: int, adapter: Any) -> None:
        self._adapter, self.number = adapter, number
        info = adapter.info
        self.name, self.driver = info["device"], info["description"]
        self.backend, self.kind = info["backend_type"], _KINDS.get(info["adapter_type"], "unknown")
        self.features = frozenset(f for f, name in _FEATURES.items() if name in adapter.features)
        self.limits = Limits(**{n: adapter.limits[its] for n, its in _LIMITS.items()})
        self._limit = _default_limit(self.kind)
        self._patience = 60.0
        self._queue: Queue | None = None
        self._lock = threading.Lock()
        _ALL.add(self)

    def __repr__(self) -> str:
        return f"Device({self.number}, {self.name!r}, kind={self.kind!r})"

    def __str__(self) -> str:
        return f"wgpu:{self.number}"

    @property
    def queue(self) -> Queue:
        """What takes work for it; opens the device.

        Raises
        ------
        DeviceError
            If it cannot be opened, or was opened by the process that this one was forked from.
        """
        with self._lock:
            if self._queue is None:
                self._queue = self._opened()
            return self._queue

    def _opened(self) -> Queue:
        load()  # a forked process cannot
        wanted = sorted(_FEATURES[f] for f in self.features)
        try:
            gpu = self._adapter.request_device_sync(required_features=wanted)
        except Exception as error:  # of wgpu's: its classes have no common base
            msg = f"wgpu: {self} ({self.name}) must open; got {error}"
            raise DeviceError(msg) from error
        # A driver on the host blocks Python in the next submission until the one before is done.
        under_way = 1 if self.kind == "cpu" else 2
        return Queue(Native(gpu), self._limit, under_way, self._patience)

    def synchronize(self) -> None:
        """Wait until all that the device was given is done.

        Raises
        ------
        DeviceError
            If that takes longer than `patience`, or the device is lost.
        """
        self.queue.finish()

    def reset(self) -> None:
        """Give the device up, and open it anew when it is used next.

        After a loss nothing else helps. Arrays that were on it are lost.
        """
        with self._lock:
            load()  # a forked process cannot
            queue, self._queue = self._queue, None
            if queue is not None:
                queue.close()

    @property
    def memory(self) -> MemoryStats:
        """What is in use of its memory."""
        queue = self.queue
        with queue.lock:
            return queue.pool.stats()

    @property
    def memory_limit(self) -> int | None:
        """Bytes that all its buffers may have together; None if the device alone decides.

        Of a device that is the host it is half of the host's memory and at most 4 GiB at first.
        """
        return self._limit

    @memory_limit.setter
    def memory_limit(self, nbytes: int | None) -> None:
        if nbytes is not None and (type(nbytes) is not int or nbytes < 0):
            msg = f"Device.memory_limit: must be a number of bytes or None; got {nbytes!r}"
            raise DeviceError(msg)
        self._limit = nbytes
        if self._queue is not None:
            self._queue.pool.limit = nbytes

    @property
    def patience(self) -> float:
        """Seconds after which waiting for a portion of work is an error; 60 at first."""
        return self._patience

    @patience.setter
    def patience(self, seconds: float) -> None:
        if type(seconds) not in (int, float) or not seconds > 0:
            msg = f"Device.patience: must be seconds, more than 0; got {seconds!r}"
            raise DeviceError(msg)
        self._patience = seconds
        if self._queue is not None:
            self._queue.patience = seconds

    @property
    def counts(self) -> Counts:
        """What it was asked to do since it was opened."""
        return self.queue.counts


def devices() -> tuple[Device, ...]:
    """Return the devices of this machine, those first that are most likely wanted.

    The environment variable ``VOLTA_WGPU_DEVICE`` leaves only those whose names contain it,
    whatever its case.

    Returns
    -------
    tuple of Device
        Discrete GPUs, then integrated ones, then drivers that compute on the host; empty if there
        is no driver.

    Raises
    ------
    DeviceError
        If the extra ``wgpu`` is not installed.

    Examples
    --------
    >>> import volta.wgpu
    >>> [str(device) for device in volta.wgpu.devices()][:1]  # none without a driver
    [...]
    >>> halves = [d for d in volta.wgpu.devices() if "float16" in d.features]
    """
    wanted = os.environ.get("VOLTA_WGPU_DEVICE", "").lower()
    return tuple(d for d in _all_devices(load()) if wanted in d.name.lower())


@functools.cache
def _all_devices(wgpu: ModuleType) -> tuple[Device, ...]:
    """All of them; those of OpenGL only if there are no others."""
    found = wgpu.gpu.enumerate_adapters_sync()
    better = [a for a in found if a.info["backend_type"] != "OpenGL"]
    kinds = list(_KINDS)
    chosen = sorted(better or found, key=lambda a: kinds.index(_known(a.info)))
    return tuple(Device(i, adapter) for i, adapter in enumerate(chosen))


def _known(info: Mapping[str, Any]) -> str:
    kind = info["adapter_type"]
    return kind if kind in _KINDS else "Unknown"


def _default_limit(kind: str) -> int | None:
    """Bytes that a device may use of the memory of the host, if it has none of its own."""
    if kind != "cpu":
        return None
    if not hasattr(os, "sysconf"):  # Windows
        return _MOST
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(int(_SHARE * host), _MOST)
