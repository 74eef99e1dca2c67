"""Memory of a device: buffers that are used again, a limit, and who has what.

A buffer goes back to the pool when nothing in Python refers to it. What is recorded next may use it
at once, as work is done in the order in which it is recorded; what the host writes to it must wait
(`volta.wgpu.queue`). Sizes are rounded up so that buffers fit again: to 256 bytes, and beyond 64
KiB to an eighth of a power of two, by which at most an eighth is wasted.
"""

import gc
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Final, NamedTuple

from volta.core.errors import DeviceError
from volta.core.source import running_line
from volta.wgpu.native import USED, Handle, Native, NativeError

__all__ = ["Buffer", "MemoryStats", "Pool", "size_class"]

_SMALL: Final = 1 << 16
_STEP: Final = 256
_SHOWN: Final = 8  # lines of the program in an error


class MemoryStats(NamedTuple):
    """Memory of a device, in bytes, and how often it was asked for.

    Attributes
    ----------
    in_use : int
        Of buffers that arrays and pending work refer to.
    cached : int
        Of buffers that are there to be used again.
    peak : int
        The most that both have been together.
    limit : int or None
        What both may be together, at most.
    buffers : int
        Buffers in use.
    allocations, reuses : int
        Buffers that were asked of the device, and of the cache.
    """

    in_use: int
    cached: int
    peak: int
    limit: int | None
    buffers: int
    allocations: int
    reuses: int


def size_class(nbytes: int) -> int:
    """Bytes of the buffer that is taken for so many."""
    if nbytes <= _SMALL:
        return max(_STEP, -(-nbytes // _STEP) * _STEP)
    step = 1 << (nbytes - 1).bit_length() - 4  # an eighth of the power of two below
    return -(-nbytes // step) * step


class Buffer:
    """Memory of a device, which returns to its pool with the last reference.

    Attributes
    ----------
    pool : Pool
    handle : cffi pointer
    nbytes : int
        Bytes that were asked for.
    size : int
        Bytes that it has.
    line : str or None
        Where in the user's program: ``file.py:12``.
    fresh : bool
        Whether nothing recorded has used it.
    """

    __slots__ = ("fresh", "handle", "line", "nbytes", "pool", "size")

    def __init__(self, pool: "Pool", handle: Handle, nbytes: int, size: int, fresh: bool) -> None:
        self.pool = pool
        self.handle, self.nbytes, self.size, self.fresh = handle, nbytes, size, fresh
        self.line = running_line()

    def __del__(self) -> None:
        # No more than that: it may run in any thread, and while the pool itself is busy.
        self.pool.returned.append((self.handle, self.size, self.line, self.fresh))


class Pool:
    """Buffers of a device.

    Attributes
    ----------
    returned : deque
        Buffers that nothing refers to any more.
    limit : int or None
        Bytes of all buffers, at most.
    make_room : callable
        Is called when there is no memory left, to let go of buffers.
    on_trim : callable
        Lets go of what keeps buffers that are about to be freed.
    """

    make_room: Callable[[], None] = staticmethod(lambda: None)
    on_trim: Callable[[], None]

    def __init__(self, native: Native, limit: int | None, finish: Callable[[], None]) -> None:
        self.native, self.limit, self._finish = native, limit, finish
        self.on_trim = lambda: None
        self.returned: deque[tuple[Handle, int, str | None, bool]] = deque()
        # by size; the sizes that were used last come last
        self._free: OrderedDict[int, list[tuple[Handle, bool]]] = OrderedDict()
        # A handle in a cycle with its buffer would be released before it is taken back.
        self._lent: set[Handle] = set()
        self._in_use = self._cached = self._peak = self._allocations = self._reuses = 0
        self._lines: Counter[tuple[str | None, int]] = Counter()

    def stats(self) -> MemoryStats:
        """What is in use."""
        self._collect()
        buffers = self._lines.total()
        sizes = self._in_use, self._cached, self._peak, self.limit
        return MemoryStats(*sizes, buffers, self._allocations, self._reuses)

    def take(self, nbytes: int) -> Buffer:
        """Return a buffer of at least so many bytes; what is in it is not defined.

        Raises
        ------
        DeviceError
            If there is no memory left, or the limit is reached: with the lines of the program that
            hold most.
        """
        self._collect()
        size = size_class(nbytes)
        free = self._free.get(size)
        if free:
            handle, fresh = free.pop()
            self._free.move_to_end(size)
            self._cached -= size
            self._reuses += 1
        else:
            handle, fresh = self._allocate(size, nbytes), True
        buffer = Buffer(self, handle, nbytes, size, fresh)
        self._lent.add(handle)
        self._in_use += size
        self._lines[buffer.line, size] += 1
        self._peak = max(self._peak, self._in_use + self._cached)
        return buffer

    def trim(self, nbytes: int = 0) -> None:
        """Free buffers that wait to be used again, until no more than so many bytes do."""
        if self._cached > nbytes:
            self.on_trim()
        while self._cached > nbytes:
            size, free = next(iter(self._free.items()))
            while free and self._cached > nbytes:
                free.pop()
                self._cached -= size
            if not free:
                del self._free[size]

    def _collect(self) -> None:
        """Take back what nothing refers to."""
        returned = self.returned
        while returned:
            handle, size, line, fresh = returned.popleft()
            self._lent.discard(handle)
            self._free.setdefault(size, []).append((handle, fresh))
            self._in_use -= size
            self._cached += size
            key = line, size
            self._lines[key] -= 1
            if not self._lines[key]:
                del self._lines[key]

    def _allocate(self, size: int, nbytes: int) -> Handle:
        """Ask the device for a buffer, if need be after all others are taken back."""
        if self._fits(size):
            handle = self._asked(size)
            if handle is not None:
                return handle
        self._finish()
        gc.collect()  # arrays in cycles
        self.make_room()
        self._collect()
        self.trim(0 if self.limit is None else max(0, self.limit - self._in_use - size))
        if self._fits(size):
            handle = self._asked(size)
            if handle is not None:
                return handle
        self.trim()
        raise DeviceError(self._told(nbytes))

    def _fits(self, size: int) -> bool:
        return self.limit is None or self._in_use + self._cached + size <= self.limit

    def _asked(self, size: int) -> Handle | None:
        try:
            handle = self.native.buffer(size, USED)
        except NativeError as failure:
            if not failure.is_memory:
                raise
            return None
        self._allocations += 1
        return handle

    def by_line(self) -> Counter[str]:
        """Bytes in use by lines of the program."""
        found: Counter[str] = Counter()
        for (line, size), count in list(self._lines.items()):
            found[line or "no line"] += size * count
        return found

    def _told(self, nbytes: int) -> str:
        """Message of an error: what is in use, and by which lines."""
        limit = "" if self.limit is None else f" of at most {self.limit:,}"
        text = f"wgpu: {nbytes:,} bytes must be free; got {self._in_use:,} in use{limit}"
        shown = (f"{line}: {size:,}" for line, size in self.by_line().most_common(_SHOWN))
        return f"{text} ({', '.join(shown)}). Let go of arrays, or set Device.memory_limit"
