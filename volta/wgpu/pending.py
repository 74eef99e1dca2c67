"""Operations that are pending on a device until somebody asks for what they give.

A `Value` is an operation on other values or, once it is computed, a place in the memory of the
device. All that is pending is computed together: operations become kernels that compute several
(`volta.compile.schedule`), and what no array refers to any more is not stored. The same operations
on values of the same types are the same program, planned once (`volta.wgpu.plan`).
"""

import itertools
import math
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

import numpy as np

from volta.compile.schedule import Layout
from volta.core.errors import DeviceError, DimensionError, DTypeError, VoltaError
from volta.core.trace import located
from volta.core.types import ArrayType, DType
from volta.core.wengert import Literal
from volta.wgpu.device import Device
from volta.wgpu.launch import STORED, View, Writer, itemsize, row_major
from volta.wgpu.memory import Buffer
from volta.wgpu.operations import OPERATIONS
from volta.wgpu.plan import FAILED, FAILURES, Plan, copy, entry, planned, viewed
from volta.wgpu.program import Program
from volta.wgpu.queue import Queue
from volta.wgpu.scalars import target_of

__all__ = ["Blank", "Pending", "Unknown", "Value", "collecting", "pending_of"]

_MANY: Final = 256  # operations that are pending, at most
_BYTES: Final = 1 << 28  # of their results, likewise
_PLANS: Final = 512  # that a device keeps
_KEPT: Final = 1 << 22  # bytes of numbers, likewise
_HOST: Final = {"u32": np.uint32, "i32": np.int32, "f32": np.float32, "f16": np.float16} | {
    "i64": np.int64,
    "u64": np.uint64,
    "f64": np.float64,
}


class Value:
    """An array that is pending, or in memory.

    Attributes
    ----------
    kind : ArrayType
    operation : tuple or None
        Primitive, operands, parameters and what these are known by, while it is pending.
    buffer : Buffer, Blank or None
    layout : Layout
        Strides and offset in it.
    handle : weak reference
        To the array that has it.
    """

    __slots__ = ("buffer", "handle", "kind", "layout", "operation")

    def __init__(
        self,
        kind: ArrayType,
        operation: Any = None,
        buffer: Any = None,
        layout: Any = None,
    ) -> None:
        self.kind, self.operation, self.buffer, self.layout = kind, operation, buffer, layout
        self.handle: Any = None

    @property
    def is_wanted(self) -> bool:
        """Whether an array has it, or its operation has an effect."""
        held = self.handle is not None and self.handle() is not None
        return held or (self.operation is not None and self.operation.primitive.effect)

    @property
    def view(self) -> View:
        """Where it is in its buffer."""
        return View(0, self.kind.dtype, self.kind.shape, *self.layout)


class _Operation(NamedTuple):
    """An operation that is pending."""

    primitive: Any
    operands: Sequence[Any]
    params: dict[str, Any]
    known: Any  # parameters that can be compared
    number: int  # later ones have higher ones


_NUMBERS: Final = itertools.count()


class Blank(NamedTuple):
    """What an input of a list has in place of a buffer while its operations are collected."""

    number: int


class Unknown(Exception):  # noqa: N818 - no error: the list runs in another way
    """Elements were asked for that there are not."""


# Operations with an effect, while others are only recorded
_COLLECTED: Final[ContextVar[list[Value] | None]] = ContextVar("volta.wgpu.collected", default=None)


@contextmanager
def collecting() -> Iterator[list[Value]]:
    """Only record operations instead of having them be pending; elements cannot be seen then.

    Gives those with an effect, which nothing refers to.
    """
    effects: list[Value] = []
    token = _COLLECTED.set(effects)
    try:
        yield effects
    finally:
        _COLLECTED.reset(token)


class _Listed:
    """Values as a list over numbered variables, inputs first.

    Attributes
    ----------
    values, inputs, outputs : list of Value
        Those that outputs need, what they read that is in memory, and outputs.
    numbers : dict of int to int
        Variable of a value, by its identity.
    """

    def __init__(self, outputs: list[Value]) -> None:
        self.values = _needed(outputs)
        self.outputs = outputs
        self.inputs: list[Value] = []
        self.numbers: dict[int, int] = {}
        for v in self.values:
            for o in v.operation.operands:
                if type(o) is Value and o.operation is None and id(o) not in self.numbers:
                    self.numbers[id(o)] = len(self.inputs)
                    self.inputs.append(o)
        for v in self.values:
            self.numbers[id(v)] = len(self.numbers)

    def key(self) -> Any:
        """What tells it from lists that are planned otherwise."""
        numbers = self.numbers
        lines = tuple(
            (
                its.primitive,
                tuple(
                    numbers[id(o)] if type(o) is Value else (type(o), repr(o)) for o in its.operands
                ),
                its.known,
                kind,
            )
            for its, kind in ((v.operation, v.kind) for v in self.values)
        )
        inputs = tuple((v.kind, v.layout) for v in self.inputs)
        return inputs, lines, tuple(numbers[id(v)] for v in self.outputs)

    def planned(self, pending: "Pending") -> Plan:
        """Its plan."""
        numbers = self.numbers
        entries = []
        for v in self.values:
            its = v.operation
            read = tuple(numbers[id(o)] if type(o) is Value else Literal(o) for o in its.operands)
            entries.append(entry(its.primitive, read, its.params, numbers[id(v)]))
        layouts = {
            i: v.layout
            for i, v in enumerate(self.inputs)
            if v.layout.offset or v.layout.strides != row_major(v.kind.shape)
        }
        types = {numbers[id(v)]: v.kind for v in (*self.inputs, *self.values)}
        outputs = [numbers[id(v)] for v in self.outputs]
        return planned(pending.device, entries, outputs, types, pending.target, OPERATIONS, layouts)


def _needed(outputs: list[Value]) -> list[Value]:
    """Values that are to be computed for some, as they were recorded."""
    found = {id(v): v for v in outputs}
    left = [*outputs]
    while left:
        for o in left.pop().operation.operands:
            if type(o) is Value and o.operation is not None and id(o) not in found:
                found[id(o)] = o
                left.append(o)
    return sorted(found.values(), key=lambda v: v.operation.number)


class _Waiting(threading.local):
    """What a thread has recorded: those of others would make it another program each time.

    Attributes
    ----------
    values : list of Value
    nbytes : int
        Of their elements.
    """

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.nbytes = 0


class Pending:
    """What is pending on an opened device.

    Attributes
    ----------
    device : Device
    target : Target
        What its kernels can do.
    nbytes_kept : int
        Bytes of numbers that stay in its memory, to be used again.
    """

    def __init__(self, device: Device) -> None:
        self.device, self.queue = device, device.queue
        # a kernel has its parameters beside what it sees of arrays
        self.target = target_of(device.features, device.limits.buffers)
        self.lock = threading.RLock()
        self._waiting = _Waiting()
        self._plans: OrderedDict[Any, Plan] = OrderedDict()
        self._failed = self.queue.write(np.zeros(1, np.uint32))
        self._may_have_failed = False
        self._counting: set[Buffer] = set()  # those of the numbers from 0 on
        self._numbers: OrderedDict[Any, tuple[Buffer, tuple[int, ...]]] = OrderedDict()
        self.nbytes_kept = 0
        self.queue.pool.make_room = self._forget

    # recording -----------------------------------------------------------------------------------
    def record(
        self, primitive: Any, operands: Sequence[Any], params: Any, kind: ArrayType
    ) -> Value:
        """An operation on values and numbers, to be computed later."""
        for o in operands:
            if type(o) is Value and type(o.buffer) is Buffer:
                self._own(o.buffer)
        first = operands[0]
        if type(first) is Value and first.buffer is not None:
            view = viewed(primitive.name, first.view, params)
            if view is not None:
                return Value(kind, None, first.buffer, Layout(view.strides, view.offset))
        number = next(_NUMBERS)
        value = Value(kind, _Operation(primitive, operands, params, _frozen(params), number))
        collected = _COLLECTED.get()
        if collected is not None:
            if primitive.effect:
                collected.append(value)
            return value
        with self.lock:
            its = self._waiting
            its.values.append(value)
            its.nbytes += kind.nbytes
            if len(its.values) >= _MANY or its.nbytes > _BYTES:
                self.flush(value)
        return value

    def _own(self, buffer: Buffer) -> None:
        """Raise if an array was made before the device was reset."""
        if buffer.pool is not self.queue.pool:
            msg = (
                f"wgpu: arrays must be made since {self.device} was reset; got one that was made "
                f"before, at {buffer.line}. Make it anew"
            )
            raise DeviceError(msg)

    def flush(self, *wanted: Value) -> None:
        """Have the device compute what this thread has recorded for arrays, and `wanted`.

        Raises
        ------
        Unknown
            If one of `wanted` is only collected, and has no elements.
        """
        if _COLLECTED.get() is not None:
            raise Unknown
        with self.lock:
            # Whatever happens, what has an array is computed when that is asked for.
            its = self._waiting
            values, its.values, its.nbytes = its.values, [], 0
            outputs = [v for v in values if v.is_wanted and v.operation is not None]
            known = {id(v) for v in outputs}
            alone = [v for v in wanted if v.operation is not None]
            outputs += [v for v in alone if id(v) not in known]
            try:
                self._compute(outputs)
                return
            except VoltaError:
                if len(alone) == len(outputs) or self.queue.lost is not None:
                    raise
            self._compute(alone)  # others do not keep it from being computed

    def _forget(self) -> None:
        """Let go of what is pending and has no array, and so of what it would read."""
        if self.lock.acquire(blocking=False):  # else another thread computes it
            try:
                self._waiting.values = [v for v in self._waiting.values if v.is_wanted]
            finally:
                self.lock.release()

    def _compute(self, outputs: list[Value]) -> None:
        if not outputs:
            return
        listed = _Listed(outputs)
        key = listed.key()
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = listed.planned(self)
            if len(self._plans) > _PLANS:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(key)
        made = self.run(plan, [v.buffer for v in listed.inputs])
        for v, (buffer, layout) in zip(outputs, made, strict=True):
            v.layout, v.buffer, v.operation = layout, buffer, None  # threads look at the buffer

    def planned(self, outputs: list[Value]) -> tuple[Plan, list[Value]]:
        """The plan of values that were collected, and the values that are its inputs."""
        listed = _Listed(outputs)
        return listed.planned(self), listed.inputs

    def run(self, plan: Plan, inputs: Sequence[Any]) -> list[tuple[Buffer, Layout]]:
        """Record the launches of a plan; returns where its results are."""
        buffers = dict(enumerate(inputs))
        for buffer in inputs:
            self._own(buffer)
        with self.lock:
            if plan.program.uses(FAILED):
                buffers[FAILED] = self._failed
                self._may_have_failed = True
            found = plan.run(buffers)
        return [(buffer, Layout(view.strides, view.offset)) for buffer, view in found]

    # the host ------------------------------------------------------------------------------------
    def check(self, dtype: DType) -> None:
        """Raise unless the device has a dtype."""
        if dtype.name not in self.target.kinds:
            msg = (
                f"dtype: {self.device} ({self.device.name}) must have it; got {dtype.name}. It has "
                f"{', '.join(sorted(self.target.kinds))}"
            )
            raise DTypeError(msg)

    def write(self, x: Any, dtype: DType) -> Value:
        """A value of the elements of a NumPy array."""
        self.check(dtype)
        host = np.ascontiguousarray(x.astype(_HOST[STORED[dtype.name]]))
        kind = ArrayType(x.shape, dtype)
        return Value(kind, None, self.queue.write(host), Layout(row_major(x.shape), 0))

    def full(self, shape: tuple[int, ...], number: Any, dtype: DType) -> Value:
        """A value all elements of which are one number, which is in memory once."""
        self.check(dtype)
        host = np.asarray(number).astype(dtype.dtype)
        one = self.kept((dtype, host.tobytes()), lambda: host, dtype)
        return Value(ArrayType(shape, dtype), None, one.buffer, Layout((0,) * len(shape), 0))

    def kept(self, key: Any, made: Callable[[], Any], dtype: DType) -> Value:
        """A value that is in memory once, however often it is asked for."""
        self.check(dtype)
        with self.lock:
            found = self._numbers.get(key)
            if found is None:
                x = made()
                buffer = self.queue.write(x.astype(_HOST[STORED[dtype.name]]))
                found = self._numbers[key] = buffer, x.shape
                if x.ndim == 1 and dtype.kind in ("int", "uint") and _is_counting(x):
                    self._counting.add(buffer)
                self.nbytes_kept += buffer.size
                while self.nbytes_kept > _KEPT:
                    _, (old, _) = self._numbers.popitem(last=False)
                    self._counting.discard(old)
                    self.nbytes_kept -= old.size
        buffer, shape = found
        return Value(ArrayType(shape, dtype), None, buffer, Layout(row_major(shape), 0))

    def counts(self, value: Value, axis: int, length: int) -> bool:
        """Whether a value is known to be the number of the element along an axis."""
        if value.buffer not in self._counting or value.layout.offset:
            return False
        own = enumerate(zip(value.kind.shape, value.layout.strides, strict=True))
        return value.kind.shape[axis] == length and all(
            (s == 1 or n == 1) if a == axis else n == 1 for a, (n, s) in own
        )

    def ran(
        self, key: Any, write: Callable[..., None], inputs: Sequence[Value], kinds: Any
    ) -> list[Value]:
        """Values of `kinds` that the launches which ``write(writer, *views)`` lists compute."""
        waiting = [v for v in inputs if v.operation is not None]
        if waiting:
            self.flush(*waiting)
        if any(type(v.buffer) is Blank for v in inputs):
            raise Unknown
        key = key, tuple((v.kind, v.layout) for v in inputs), kinds
        with self.lock:
            plan = self._plans.get(key)
            if plan is None:
                writer = Writer(self.device)
                views = [v.view._replace(var=i) for i, v in enumerate(inputs)]
                made = [
                    View(i, kind.dtype, kind.shape, row_major(kind.shape))
                    for i, kind in enumerate(kinds, len(inputs))
                ]
                write(writer, *views, *made)
                sizes = {v.var: math.prod(v.shape) * itemsize(v.dtype) for v in made}
                program = Program(self.queue, writer.launches, sizes | writer.sizes, sizes)
                plan = self._plans[key] = Plan(program, (*made,))
            found = self.run(plan, [v.buffer for v in inputs])
        return [Value(kind, None, *place) for kind, place in zip(kinds, found, strict=True)]

    def read(self, value: Value) -> Any:
        """The elements of a value as a NumPy array."""
        shape, dtype = value.kind
        if 0 in shape:
            return np.empty(shape, dtype.dtype)
        with self.lock:
            if value.operation is not None:
                self.flush(value)
            buffer: Any = value.buffer
            if type(buffer) is Blank:
                raise Unknown
            self._own(buffer)
            view = value.view
            if not view.is_row_major or view.offset:
                buffer = self.ran("copy", copy, [value], (value.kind,))[0].buffer
        if self._may_have_failed:
            self._check_failure()
        stored: Any = np.dtype(_HOST[STORED[dtype.name]])
        count = math.prod(shape)
        found = self.queue.read(buffer)[: count * stored.itemsize].view(stored)
        return found.astype(dtype.dtype, copy=False).reshape(shape)

    def _check_failure(self) -> None:
        """Raise if a kernel has met an index outside its axis since that was asked last."""
        self._may_have_failed = False
        (code,) = self.queue.read(self._failed)[:4].view(np.uint32)
        if code:
            self._failed = self.queue.write(np.zeros(1, np.uint32))
            (told,) = (told for told, its in FAILURES.items() if its == code)
            raise located(DimensionError(told))


def _is_counting(x: Any) -> bool:
    return bool((x == np.arange(x.size)).all())


def _frozen(value: Any) -> Any:
    """What a parameter is known by."""
    if isinstance(value, dict):
        return tuple((k, _frozen(v)) for k, v in value.items())
    if isinstance(value, list | tuple):
        return (type(value), *map(_frozen, value))
    if isinstance(value, slice):
        return slice, value.start, value.stop, value.step
    return (type(value), value) if isinstance(value, bool | int | float) else value


def _unlock() -> None:
    """In a forked process: another thread may have held a lock."""
    global _LOCK
    _LOCK = threading.Lock()
    for pending in _BY_QUEUE.values():
        pending.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)

_BY_QUEUE: "Final[weakref.WeakKeyDictionary[Queue, Pending]]" = weakref.WeakKeyDictionary()
_LOCK = threading.Lock()


def pending_of(device: Device) -> Pending:
    """What is pending on a device, as it was opened last."""
    queue = device.queue
    found = _BY_QUEUE.get(queue)
    if found is None:
        with _LOCK:
            found = _BY_QUEUE.get(queue)
            if found is None:
                found = _BY_QUEUE[queue] = Pending(device)
    return found
