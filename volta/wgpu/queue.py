"""Work for a device: recorded, submitted in portions, and waited for without blocking Python.

Kernels and copies are recorded one after the other and take effect in this order. They are
submitted when enough have come together, or something is read. No more than a few submissions are
under way, so that neither memory nor the device's patience runs out; waiting for them looks again
and again, as a call that waits in the library can be interrupted by nothing.
"""

import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, NoReturn

import numpy as np

from volta.core.errors import DeviceError
from volta.wgpu.memory import Buffer, Pool
from volta.wgpu.native import FORKED, READ, Handle, Native, Pipeline

__all__ = ["Counts", "Queue"]

_PORTION: Final = 64  # kernels and copies that are submitted when they have come together
_LONG: Final = 512  # kernels of a program that are submitted together, at most
_WRITES: Final = 64  # copies from the host that may wait for a submission
_STAGED: Final = 1 << 26  # bytes of these, likewise
_READ: Final = 1 << 24  # bytes that are copied to the host at a time
_COMPILED: Final = 2048  # kernels that are kept though no program has them, at most
_PAUSE: Final = 1e-3  # seconds between two looks, at most
_LOOKS: Final = 8  # or this part of the time that has passed
_SPUN: Final = 2e-3  # seconds of looks without pauses, which take longer than most work


@dataclass
class Counts:
    """What a device was asked to do.

    Attributes
    ----------
    kernels, copies, submissions : int
        Kernels and copies between buffers that were recorded, and portions that were submitted.
    writes, reads : int
        Copies from and to the host.
    """

    kernels: int = 0
    copies: int = 0
    submissions: int = 0
    writes: int = 0
    reads: int = 0


class Queue:
    """Work of one opened device.

    Parameters
    ----------
    native : Native
    limit : int or None
        Of its memory.
    under_way : int
        Submissions that may be.
    patience : float
        Seconds after which waiting for a submission is an error.

    Attributes
    ----------
    pool : Pool
    lock : threading.RLock
        Held by whoever records, submits or takes memory.
    lost : str or None
        Why the device can do nothing any more.
    """

    def __init__(self, native: Native, limit: int | None, under_way: int, patience: float) -> None:
        self.native, self._under_way = native, under_way
        native.on_loss = self._end
        self.pool = Pool(native, limit, self.finish)
        self.pool.on_trim = self._forget
        self.programs: weakref.WeakSet[Any] = weakref.WeakSet()  # whose bind groups keep buffers
        self.patience = patience
        self.lost: str | None = None
        self.lock = threading.RLock()
        _ALL.add(self)
        self._counts = Counts()
        self._encoder: Handle | None = None
        self._finished: list[Handle] = []  # what is recorded, if it is about to be submitted
        self._pass: list[Handle] = []  # of the encoder, if one is begun
        self._recorded: list[str] = []  # names of what is in the encoder
        self._kept: list[Any] = []  # what that uses
        self._sent = self._done = 0  # submissions
        self._names: dict[int, str] = {}  # of the last kernel of each submission under way
        self._writes = self._staged = 0
        self._when_done = native.callback("QueueWorkDone", self._is_done)
        self._when_mapped = native.callback("BufferMap", self._is_mapped)
        self._mapped: dict[int, bool] = {}  # whether the host can read, by the number of the copy
        self._reader: Handle | None = None  # a buffer that the host reads
        self._readable = 0  # bytes of it
        # by text and kinds of buffers
        self._pipelines: OrderedDict[tuple[str, ...], Pipeline] = OrderedDict()

    @property
    def counts(self) -> Counts:
        """What was done so far."""
        return replace(self._counts)

    @property
    def is_busy(self) -> bool:
        """Whether a submission is under way, as far as was looked."""
        return self._done < self._sent

    def take(self, nbytes: int) -> Buffer:
        """Return memory of at least so many bytes."""
        with self.lock:
            self._check()
            return self.pool.take(nbytes)

    def pipeline(self, wgsl: str, bindings: Sequence[str], label: str) -> Pipeline:
        """A compiled kernel (see `Native.pipeline`), compiled once."""
        key = wgsl, *bindings
        with self.lock:
            self._check()
            found = self._pipelines.get(key)
            if found is None:
                found = self._pipelines[key] = self.native.pipeline(wgsl, bindings, label)
                if len(self._pipelines) > _COMPILED:
                    self._pipelines.popitem(last=False)
            else:
                self._pipelines.move_to_end(key)
            return found

    def _forget(self) -> None:
        for program in self.programs:
            program.forget()

    # recording -----------------------------------------------------------------------------------
    def dispatch(
        self,
        pipeline: Pipeline,
        group: Handle,
        grid: tuple[int, int, int],
        buffers: Sequence[Buffer],
    ) -> None:
        """Record a kernel over so many workgroups; `buffers` are those of the bind group."""
        self.run([(pipeline, group, grid)], buffers)

    def run(
        self,
        work: Sequence[tuple[Pipeline, Handle, tuple[int, int, int]]],
        buffers: Sequence[Buffer],
    ) -> None:
        """Record kernels, with bind groups and workgroups, that use no other buffers than these."""
        with self.lock:
            for buffer in buffers:
                buffer.fresh = False
            for start in range(0, len(work), _LONG):
                self._run(work[start : start + _LONG], buffers)

    def _run(self, work: Sequence[Any], buffers: Sequence[Buffer]) -> None:
        encoder = self._begun()
        if not self._pass:
            self.native.pass_(encoder, self._pass)
        self._kept += [group for _, group, _ in work]
        self._kept += buffers
        for pipeline, group, grid in work:
            self.native.dispatch(self._pass[0], pipeline, group, grid)
            self._recorded.append(pipeline.name)
        self._counts.kernels += len(work)
        if len(self._recorded) >= _PORTION:
            self.submit()

    def copy(self, source: Buffer, target: Buffer) -> None:
        """Record a copy of a buffer to one that is as large."""
        with self.lock:
            self._kept += source, target
            source.fresh = target.fresh = False
            self._copy(source.handle, target.handle, _whole(source.nbytes))
            self._counts.copies += 1
            self._record("a copy")

    def _copy(self, source: Handle, target: Handle, nbytes: int, start: int = 0) -> None:
        encoder = self._begun()
        self._end_pass()
        self.native.copy(encoder, source, target, nbytes, start)

    def _begun(self) -> Handle:
        self._check()
        if self._finished:  # and an interrupt kept it from being submitted
            self.submit()
        if self._encoder is None:
            self._encoder = self.native.encoder()
        return self._encoder

    def _end_pass(self) -> None:
        if self._pass:
            self.native.end_pass(self._pass)

    def _record(self, name: str) -> None:
        self._recorded.append(name)
        if len(self._recorded) >= _PORTION:
            self.submit()

    # submitting and waiting ----------------------------------------------------------------------
    def submit(self) -> int:
        """Submit what is recorded; returns the number of the last submission."""
        with self.lock:
            if self._encoder is None:
                return self._sent
            self._check()
            self.wait(self._sent - self._under_way + 1)
            self._end_pass()
            # An interrupt may come between any two lines: the next call goes on from there.
            encoder, number = self._encoder, self._sent + 1
            if not self._finished:
                try:
                    self.native.finish(encoder, self._finished)
                except DeviceError as error:  # what was to be computed never is
                    self._lose(str(error))
                    raise
            self._names[number] = self._recorded[-1] if self._recorded else "a copy from the host"
            after = (
                partial(setattr, self, "_encoder", None),
                partial(setattr, self, "_sent", number),
            )
            self.native.submit(self._finished, self._when_done, number, after)
            self.native.drop(encoder)
            self._recorded, self._kept = [], []  # buffers may be used by what comes from here on
            self._counts.submissions += 1
            self._writes = self._staged = 0
            return self._sent

    def finish(self) -> None:
        """Submit what is recorded and copies from the host, and wait until all is done."""
        with self.lock:
            self._check()
            if self._writes:  # which only happen with a submission
                self._begun()
            number = self.submit()
        self.wait(number)

    def wait(self, number: int) -> None:
        """Wait until a submission is done.

        Raises
        ------
        DeviceError
            If it takes longer than `patience`, or the device is lost.
        """
        self._until(lambda: self._done >= number, lambda: self._names.get(number, "work"))

    def _until(self, is_done: Callable[[], bool], name: Callable[[], str]) -> None:
        if is_done():
            return
        # a driver on the host, of which one submission is under way, needs the processor itself
        spun = _SPUN if self._under_way > 1 else 0.0
        start = time.monotonic()
        while True:
            self.native.poll()
            self.native.noticed()
            if is_done():
                return
            self._check()
            past = time.monotonic() - start
            if past > self.patience:
                msg = (
                    f"wgpu: {name()} must be done within {self.patience:g} seconds; it is not. "
                    "Give the device less work at a time, or raise Device.patience"
                )
                raise DeviceError(msg)
            if past > spun:
                time.sleep(min(_PAUSE, past / _LOOKS))

    def _is_done(self, number: int, success: bool) -> None:
        """Called back by the library."""
        self._done = max(self._done, number)
        for n in list(self._names):  # another thread may be called back meanwhile
            if n <= number:
                self._names.pop(n, None)
        if not success:
            self._lose("what was submitted was not done")

    def _is_mapped(self, number: int, success: bool) -> None:
        """Called back by the library."""
        self._mapped[number] = success

    def _lose(self, why: str) -> None:
        self.lost = self.lost or f"{why}. Call Device.reset()"

    def _end(self, why: str) -> NoReturn:
        self._lose(why)
        raise self._gone()

    def _check(self) -> None:
        self.native.noticed()
        if self.lost is not None:
            raise self._gone()

    def _gone(self) -> DeviceError:
        return DeviceError(f"wgpu: the device must be there; it is lost: {self.lost}")

    def close(self) -> None:
        """Give the device up; what is pending is not done."""
        with self.lock:
            if self._encoder is not None:
                self._end_pass()
                self.native.drop(self._encoder)
                self._encoder = None
            self._forget_reader()
            self.pool.trim()
            self._lose("it was given up")
            self.native.destroy()

    # the host ------------------------------------------------------------------------------------
    def write(self, data: np.ndarray) -> Buffer:
        """Copy an array from the host to a new buffer."""
        data = np.ascontiguousarray(data)
        with self.lock:
            self._check()
            buffer = self.pool.take(data.nbytes)
            if not data.nbytes:
                return buffer
            if not buffer.fresh:
                self.submit()  # such copies overtake what is only recorded
            flat = data.reshape(-1).view(np.uint8)
            if rest := -flat.size % 4:
                flat = np.concatenate([flat, np.zeros(rest, np.uint8)])
            self.native.write(buffer.handle, flat)
            self._counts.writes += 1
            self._writes += 1
            self._staged += flat.size
            if self._writes >= _WRITES or self._staged >= _STAGED:
                self.finish()  # the library lets go of what it holds for them
            return buffer

    def read(self, buffer: Buffer) -> np.ndarray:
        """Copy the bytes of a buffer to the host, after all that was recorded before."""
        out = np.empty(_whole(buffer.nbytes), np.uint8)
        with self.lock:
            for start in range(0, out.size, _READ):
                part = out[start : start + _READ]
                self._read(buffer, part, start)
            self._counts.reads += bool(out.size)
        return out[: buffer.nbytes]

    def _read(self, buffer: Buffer, part: np.ndarray, start: int) -> None:
        self._check()
        if self._readable < part.size:
            self._forget_reader()
            size = min(_READ, 1 << (part.size - 1).bit_length())
            self._reader, self._readable = self.native.buffer(size, READ), size
        try:
            self._copy(buffer.handle, self._reader, part.size, start)
            self._kept.append(buffer)
            self._recorded.append("a copy to the host")
            number = self.submit()
            self.native.map(self._reader, part.size, self._when_mapped, number)
            self._until(lambda: number in self._mapped, lambda: self._names.get(number, "a copy"))
            if not self._mapped.pop(number):
                self._end("a buffer could not be read")
            part[:] = np.frombuffer(self.native.mapped(self._reader, part.size), np.uint8)
            self.native.unmap(self._reader)
        except BaseException:
            self._forget_reader()  # it may be mapped, now or later
            raise

    def _forget_reader(self) -> None:
        self._reader, self._readable = None, 0


_ALL: "Final[weakref.WeakSet[Queue]]" = weakref.WeakSet()


def _lose_all() -> None:
    """In a forked process: there the library waits for threads that it has not."""
    for queue in _ALL:
        queue.lock = threading.RLock()  # another thread may have held it
        queue.lost = FORKED


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_lose_all)


def _whole(nbytes: int) -> int:
    """Bytes that can be copied: a multiple of four."""
    return -(-nbytes // 4) * 4
