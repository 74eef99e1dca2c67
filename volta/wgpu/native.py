"""What Volta asks of wgpu-native, called directly.

wgpu-py checks each argument and each result, at five to ten times the cost of the call itself. So
it opens the device and compiles; buffers, bind groups, recording, submitting and mapping are calls
of the library that it has loaded, on the handles of its objects. Errors of these calls arrive in a
callback of wgpu-py's, which collects them between `capture` and `release` of its error handler.

An error inside a submission ends the process (gfx-rs/wgpu-native issue 588). What can be wrong
there is ruled out beforehand: buffers are released and never destroyed, a command buffer is
submitted once, right after it was finished, and finishing fails on a device that is lost.
"""

import importlib
import importlib.metadata
import logging
import operator
import os
import re
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType, TracebackType
from typing import Any, Final, NoReturn

import numpy as np

from volta.core.errors import DeviceError

__all__ = ["FORKED", "READ", "USED", "Native", "load"]

_VERSION: Final = "0.32"  # of wgpu-py, whose private names and C header this module relies on
FORKED: Final = 'this process was forked from one that used it. Start processes by "spawn"'
USED: Final = 0x80 | 0x40 | 0x4 | 0x8  # by kernels, also as parameters, copied from and to
READ: Final = 0x1 | 0x8  # mapped to be read, and copied to
_CHECKS: Final = 0  # that wgpu-native adds to kernels

_LOADED: Final[set[int]] = set()  # the process that has loaded the library

Handle = Any  # a pointer of cffi's


def load() -> ModuleType:
    """Import wgpu-py.

    Raises
    ------
    DeviceError
        If it is not installed, or another version is, or this process was forked from one that has
        imported it.
    """
    if _LOADED and os.getpid() not in _LOADED:
        msg = f"wgpu: the library must be loaded anew; {FORKED}"
        raise DeviceError(msg)
    try:
        found = importlib.metadata.version("wgpu")
    except importlib.metadata.PackageNotFoundError:
        msg = "wgpu: the package wgpu must be installed. Install volta-array[wgpu]"
        raise DeviceError(msg) from None
    if not found.startswith(f"{_VERSION}."):
        msg = f"wgpu: the package wgpu must be of version {_VERSION}; got {found}"
        raise DeviceError(msg)
    # the drivers' loader complains on the standard error output if it lacks this folder
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    importlib.import_module("wgpu.backends.wgpu_native")  # starts the library
    _LOADED.add(os.getpid())
    return importlib.import_module("wgpu")


class Native:
    """An opened device.

    Attributes
    ----------
    gpu : wgpu.GPUDevice
    binding : int
        Bytes of a buffer that a kernel may see.
    on_loss : callable
        Is told when a call fails as the device is lost, and raises.
    """

    on_loss: Callable[[str], NoReturn]

    def __init__(self, gpu: Any) -> None:
        from wgpu.backends.wgpu_native import _api, _ffi

        self.gpu = gpu
        self.binding: int = gpu.limits["max-storage-buffer-binding-size"] // 4 * 4
        self.lib, self.ffi = _ffi.lib, _ffi.ffi
        self._api, self._errors = _api, _api.error_handler
        self._device, self._queue = gpu._internal, gpu.queue._internal
        new = self.ffi.new
        self._none = self.ffi.NULL
        self._interrupt: BaseException | None = None
        self._set_pipeline = self.lib.wgpuComputePassEncoderSetPipeline
        self._set_group = self.lib.wgpuComputePassEncoderSetBindGroup
        self._dispatch = self.lib.wgpuComputePassEncoderDispatchWorkgroups
        self._of_buffer = new("WGPUBufferDescriptor *")
        self._submitted = new("WGPUCommandBuffer[1]")
        self._spontaneous = self.lib.WGPUCallbackMode_AllowSpontaneous

    def _watch(self, what: str) -> None:
        """Collect what calls from here on report."""
        self._errors.capture(what)

    def _raise(self, what: str) -> None:
        """Raise what calls since `_watch` have reported, as an error of `what`."""
        found = self._errors.release(what)
        if found is not None:
            failure = NativeError(what, *found)
            self._told(failure)
            raise failure

    def _told(self, failure: "NativeError") -> None:
        if failure.is_loss:
            self.on_loss(str(failure))

    # memory --------------------------------------------------------------------------------------
    def buffer(self, nbytes: int, usage: int) -> Handle:
        """Allocate a buffer, freed when nothing refers to it and no pending work uses it."""
        wanted = self._of_buffer
        wanted.usage, wanted.size = usage, nbytes
        self._watch("a buffer")
        handle = self.lib.wgpuDeviceCreateBuffer(self._device, wanted)
        self._raise("a buffer")
        return self.ffi.gc(handle, self.lib.wgpuBufferRelease)

    def write(self, buffer: Handle, data: np.ndarray) -> None:
        """Copy bytes from the host, before all that is submitted next."""
        self._watch("a copy to the device")
        source = self.ffi.from_buffer(data)
        self.lib.wgpuQueueWriteBuffer(self._queue, buffer, 0, source, data.nbytes)
        self._raise("a copy to the device")

    def map(self, buffer: Handle, nbytes: int, then: Any, number: int) -> None:
        """Ask for a buffer that the host reads; `then` is called with `number` when it is there."""
        info = self.ffi.new("WGPUBufferMapCallbackInfo *")
        info.mode, info.callback = self._spontaneous, then
        info.userdata1 = self.ffi.cast("void *", number)
        self._watch("a copy from the device")
        self.lib.wgpuBufferMapAsync(buffer, 1, 0, nbytes, info[0])
        self._raise("a copy from the device")

    def mapped(self, buffer: Handle, nbytes: int) -> Any:
        """The memory of a mapped buffer, until `unmap`."""
        return self.ffi.buffer(self.lib.wgpuBufferGetConstMappedRange(buffer, 0, nbytes), nbytes)

    def unmap(self, buffer: Handle) -> None:
        """Give a mapped buffer back to the device."""
        self.lib.wgpuBufferUnmap(buffer)

    # compiling -----------------------------------------------------------------------------------
    def pipeline(self, wgsl: str, bindings: Sequence[str], label: str) -> "Pipeline":
        """Compile a kernel, ``fn main``, whose buffers are ``read``, ``write`` or ``uniform``."""
        kinds = {"read": "read-only-storage", "write": "storage", "uniform": "uniform"}
        entries = [
            {"binding": i, "visibility": 4, "buffer": {"type": kinds[b]}}
            for i, b in enumerate(bindings)
        ]
        gpu, module = self.gpu, self._module(wgsl, label)
        try:
            layout = gpu.create_bind_group_layout(entries=entries)
            whole = gpu.create_pipeline_layout(bind_group_layouts=[layout])
            made = gpu.create_compute_pipeline(
                layout=whole, compute={"module": module, "entry_point": "main"}
            )
        except Exception as error:  # of wgpu's: its classes have no common base
            failure = NativeError(f"kernel {label}", type(error).__name__, str(error))
            self._told(failure)
            raise failure from None
        return Pipeline(made, layout, label)

    def _module(self, wgsl: str, label: str) -> Any:
        """Text of a kernel, read and checked.

        Nothing is added to it: neither steps of loops that are counted, so that they end, which
        keeps compilers from unrolling them, nor comparisons of indices. Kernels see to both, and
        drivers to what is beyond the end of a buffer.
        """
        new = self.ffi.new
        text = new("char[]", wgsl.encode())
        source = new("WGPUShaderSourceWGSL *")
        source.chain.sType = self.lib.WGPUSType_ShaderSourceWGSL
        source.code.data, source.code.length = text, len(text) - 1
        wanted = new("WGPUShaderModuleDescriptor *")
        wanted.nextInChain = self.ffi.cast("WGPUChainedStruct *", source)
        self._watch(f"kernel {label}")
        handle = self.lib.wgpuDeviceCreateShaderModuleTrusted(self._device, wanted, _CHECKS)
        self._raise(f"kernel {label}")
        return self._api.GPUShaderModule("", handle, self.gpu)

    def group(self, pipeline: "Pipeline", buffers: Sequence[tuple[Handle, int, int]]) -> Handle:
        """Bind buffers to a pipeline: of each, from a byte on, so many."""
        entries = self.ffi.new("WGPUBindGroupEntry[]", len(buffers))
        for i, (handle, start, nbytes) in enumerate(buffers):
            entry = entries[i]
            entry.binding, entry.buffer, entry.offset, entry.size = i, handle, start, nbytes
        wanted = self.ffi.new("WGPUBindGroupDescriptor *")  # not shared by threads
        wanted.layout, wanted.entryCount, wanted.entries = pipeline.layout, len(buffers), entries
        self._watch(f"kernel {pipeline.label}")
        handle = self.lib.wgpuDeviceCreateBindGroup(self._device, wanted)
        self._raise(f"kernel {pipeline.label}")
        return self.ffi.gc(handle, self.lib.wgpuBindGroupRelease)

    # recording and submitting --------------------------------------------------------------------
    def encoder(self) -> Handle:
        """Begin to record."""
        return self.lib.wgpuDeviceCreateCommandEncoder(self._device, self._none)

    def pass_(self, encoder: Handle, into: list[Handle]) -> None:
        """Begin to record kernels: the pass becomes the element of a list (see `finish`)."""
        into.extend(map(self.lib.wgpuCommandEncoderBeginComputePass, (encoder,), (self._none,)))

    def end_pass(self, begun: list[Handle]) -> None:
        """End that, and empty the list."""
        lib = self.lib
        steps = (
            partial(lib.wgpuComputePassEncoderEnd, begun[0]),
            partial(lib.wgpuComputePassEncoderRelease, begun[0]),
            begun.clear,
        )
        deque(map(operator.call, steps), maxlen=0)  # type: ignore[arg-type]  # of any function

    def dispatch(
        self, pass_: Handle, pipeline: "Pipeline", group: Handle, grid: tuple[int, int, int]
    ) -> None:
        """Record a kernel over so many workgroups."""
        self._set_pipeline(pass_, pipeline.handle)
        self._set_group(pass_, 0, group, 0, self._none)
        self._dispatch(pass_, *grid)

    def copy(
        self, encoder: Handle, source: Handle, target: Handle, nbytes: int, start: int = 0
    ) -> None:
        """Record a copy of bytes of a buffer, from a multiple of four on and as many."""
        self.lib.wgpuCommandEncoderCopyBufferToBuffer(encoder, source, start, target, 0, nbytes)

    def finish(self, encoder: Handle, into: list[Handle]) -> None:
        """Finish recording: what is to be submitted becomes the element of a list.

        A signal is noticed between two calls, and an error that it raises would lose what the first
        has returned. So the list is extended by what calls the library, as one call.
        """
        self._watch("what was submitted")
        into.extend(map(self.lib.wgpuCommandEncoderFinish, (encoder,), (self._none,)))
        self._raise("what was submitted")

    def submit(
        self, finished: list[Handle], then: Any, number: int, after: Sequence[Callable[[], object]]
    ) -> None:
        """Submit what was finished, and empty the list; `then` is called with `number` at the end.

        All that is one call, for the same reason; so are the calls of `after`, of no Python code.
        """
        lib = self.lib
        info = self.ffi.new("WGPUQueueWorkDoneCallbackInfo *")
        info.mode, info.callback = self._spontaneous, then
        info.userdata1 = self.ffi.cast("void *", number)
        self._submitted[0] = finished[0]
        steps = (
            partial(lib.wgpuQueueSubmitForIndex, self._queue, 1, self._submitted),
            partial(lib.wgpuCommandBufferRelease, finished[0]),
            partial(lib.wgpuQueueOnSubmittedWorkDone, self._queue, info[0]),
            finished.clear,
            *after,
        )
        deque(map(operator.call, steps), maxlen=0)  # type: ignore[arg-type]  # of any function

    def drop(self, encoder: Handle) -> None:
        """Forget what was recorded."""
        self.lib.wgpuCommandEncoderRelease(encoder)

    def poll(self) -> None:
        """Call back what is done, without waiting."""
        self.lib.wgpuDevicePoll(self._device, 0, self._none)

    def noticed(self) -> None:
        """Raise an error that a signal has raised where nothing could be interrupted."""
        if self._interrupt is not None and threading.current_thread() is threading.main_thread():
            error, self._interrupt = self._interrupt, None
            raise error

    def callback(self, kind: str, call: Callable[[int, bool], None]) -> Any:
        """What `submit` and `map` call: `call` gets their number, and whether they succeeded.

        It lives as long as the process, since what is pending calls it in the end.
        """
        ffi, success = self.ffi, getattr(self.lib, f"WGPU{_STATUS[kind]}_Success")

        def failed(_: Any, error: BaseException, traceback: TracebackType) -> None:
            """An interrupt came in the call, where it would be lost, and the call with it."""
            given = traceback.tb_frame.f_locals
            call(int(ffi.cast("uintptr_t", given["number"])), given["status"] == success)
            self._interrupt = error

        @ffi.callback(f"WGPU{kind}Callback", onerror=failed)  # type: ignore[untyped-decorator]
        def called(status: int, _: Any, number: Any, __: Any) -> None:
            call(int(ffi.cast("uintptr_t", number)), status == success)

        _CALLED.append(called)
        return called

    def destroy(self) -> None:
        """Give the device up: what is pending fails.

        No other thread may use it now: reading mapped memory then ends the process, too.
        """
        log = logging.getLogger("wgpu")  # where wgpu-py complains that the device is lost
        before, log.disabled = log.disabled, True
        try:
            self.lib.wgpuDeviceDestroy(self._device)
            self.poll()
        finally:
            log.disabled = before


_STATUS: Final = {"QueueWorkDone": "QueueWorkDoneStatus", "BufferMap": "MapAsyncStatus"}
_CALLED: Final[list[Any]] = []


class Pipeline:
    """A compiled kernel."""

    def __init__(self, made: Any, layout: Any, label: str) -> None:
        self._kept = made, layout  # wgpu-py releases them with its objects
        self.handle, self.layout, self.label = made._internal, layout._internal, label
        self.name = f"kernel {label}"


class NativeError(DeviceError):
    """What wgpu-native reported.

    Attributes
    ----------
    is_loss : bool
        Whether the device is lost.
    is_memory : bool
        Whether memory ran out.
    """

    def __init__(self, what: str, kind: str, message: str) -> None:
        text = re.sub(r"\s+", " ", message).strip()
        super().__init__(f"wgpu: {what} failed; got {text}")
        self.is_loss = "lost" in text.lower()
        self.is_memory = "OutOfMemory" in kind or "out of memory" in text.lower()
