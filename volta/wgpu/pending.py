"""Operations that are pending on a device until somebody asks for what they give.

A `Value` is an operation on other values or, once it is computed, a place in the memory of the
device. All that is pending is computed together: operations become kernels that compute several
(`volta.compile.schedule`), and what no array refers to any more is not stored. The same operations
on values of the same types are the same program, planned once (`volta.wgpu.plan`).
"""

import math
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np

from volta.compile.schedule import Layout
from volta.core.errors import DTypeError
from volta.core.types import ArrayType, DType
from volta.core.wengert import Literal
from volta.wgpu.device import Device
from volta.wgpu.launch import STORED, View, Writer, itemsize, row_major
from volta.wgpu.memory import Buffer
from volta.wgpu.operations import OPERATIONS
from volta.wgpu.plan import Plan, copy, entry, planned, viewed
from volta.wgpu.program import Program
from volta.wgpu.queue import Queue
from volta.wgpu.scalars import target_of

__all__ = ["Pending", "Value", "pending_of"]

_MANY: Final = 256  # operations that are pending, at most
_BYTES: Final = 1 << 28  # of their results, likewise
_PLANS: Final = 512  # that a device keeps
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
    buffer : Buffer or None
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
        buffer: Buffer | None = None,
        layout: Any = None,
    ) -> None:
        self.kind, self.operation, self.buffer, self.layout = kind, operation, buffer, layout
        self.handle: Any = None

    @property
    def view(self) -> View:
        """Where it is in its buffer."""
        return View(0, self.kind.dtype, self.kind.shape, *self.layout)


class Pending:
    """What is pending on an opened device.

    Attributes
    ----------
    device : Device
    target : Target
        What its kernels can do.
    """

    def __init__(self, device: Device) -> None:
        self.device, self.queue = device, device.queue
        # a kernel has its parameters beside what it sees of arrays
        self.target = target_of(device.features, device.limits.buffers)
        self.lock = threading.RLock()
        self._values: list[Value] = []
        self._bytes = 0
        self._plans: OrderedDict[Any, Plan] = OrderedDict()
        self._numbers: OrderedDict[Any, tuple[Buffer, tuple[int, ...]]] = OrderedDict()

    # recording -----------------------------------------------------------------------------------
    def record(self, primitive: Any, operands: Sequence[Any], params: Any, kind: ArrayType) -> Value:
        """An operation on values and numbers, to be computed later."""
        first = operands[0]
        if type(first) is Value and first.buffer is not None:
            view = viewed(primitive.name, first.view, params)
            if view is not None:
                layout = Layout(view.strides, view.offset)
                return Value(kind, None, first.buffer, layout)
        value = Value(kind, (primitive, operands, params, _frozen(params)))
        with self.lock:
            self._values.append(value)
            self._bytes += kind.nbytes
            if len(self._values) >= _MANY or self._bytes > _BYTES:
                self.flush(value)
        return value

    def flush(self, *wanted: Value) -> None:
        """Have the device compute what is pending and has an array, and `wanted`."""
        with self.lock:
            values, self._values = self._values, []
            try:
                outputs = [v for v in values if v.handle is not None and v.handle() is not None]
                known = {id(v) for v in outputs}
                outputs += [v for v in wanted if v.operation is not None and id(v) not in known]
                if outputs:
                    self._compute(values, outputs)
            except BaseException:
                self._values = [v for v in values if v.operation is not None] + self._values
                raise
            self._bytes = 0

    def _compute(self, values: list[Value], outputs: list[Value]) -> None:
        needed = {id(v) for v in outputs}
        for v in reversed(values):
            if id(v) in needed:
                needed.update(id(o) for o in v.operation[1] if type(o) is Value)
        values = [v for v in values if id(v) in needed]
        numbers: dict[int, int] = {}
        inputs: list[Value] = []
        for v in values:
            for o in v.operation[1]:
                if type(o) is Value and o.operation is None and id(o) not in numbers:
                    numbers[id(o)] = len(numbers)
                    inputs.append(o)
        for v in values:
            numbers[id(v)] = len(numbers)
        lines = tuple(
            (
                v.operation[0],
                tuple(
                    numbers[id(o)] if type(o) is Value else (type(o), repr(o))
                    for o in v.operation[1]
                ),
                v.operation[3],
                v.kind,
            )
            for v in values
        )
        key = (
            tuple((v.kind, v.layout) for v in inputs),
            lines,
            tuple(numbers[id(v)] for v in outputs),
        )
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._planned(values, inputs, outputs, numbers)
            if len(self._plans) > _PLANS:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(key)
        buffers: Any = {i: v.buffer for i, v in enumerate(inputs)}
        for v, (buffer, view) in zip(outputs, plan.run(buffers), strict=True):
            v.buffer, v.layout = buffer, Layout(view.strides, view.offset)
            v.operation = None

    def _planned(
        self,
        values: list[Value],
        inputs: list[Value],
        outputs: list[Value],
        numbers: dict[int, int],
    ) -> Plan:
        types = {numbers[id(v)]: v.kind for v in (*inputs, *values)}
        entries = []
        for v in values:
            primitive, operands, params, _ = v.operation
            read = tuple(numbers[id(o)] if type(o) is Value else Literal(o) for o in operands)
            entries.append(entry(primitive, read, params, numbers[id(v)]))
        layouts = {
            i: v.layout
            for i, v in enumerate(inputs)
            if v.layout.offset or v.layout.strides != row_major(v.kind.shape)
        }
        return planned(
            self.device,
            entries,
            [numbers[id(v)] for v in outputs],
            types,
            self.target,
            OPERATIONS,
            layouts,
        )

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
                if len(self._numbers) > _PLANS:
                    self._numbers.popitem(last=False)
        buffer, shape = found
        return Value(ArrayType(shape, dtype), None, buffer, Layout(row_major(shape), 0))

    def read(self, value: Value) -> Any:
        """The elements of a value as a NumPy array."""
        shape, dtype = value.kind
        if 0 in shape:
            return np.empty(shape, dtype.dtype)
        with self.lock:
            if value.operation is not None:
                self.flush(value)
            buffer, view = value.buffer, value.view
            if not view.is_row_major or view.offset:
                buffer = self._together(value)
        stored: Any = np.dtype(_HOST[STORED[dtype.name]])
        count = math.prod(shape)
        found = self.queue.read(buffer)[: count * stored.itemsize].view(stored)
        return found.astype(dtype.dtype, copy=False).reshape(shape)

    def _together(self, value: Value) -> Any:
        """Memory of the elements in row-major order."""
        key = "copy", value.kind, value.layout
        plan = self._plans.get(key)
        if plan is None:
            writer = Writer(self.device)
            target = value.view._replace(var=1, strides=row_major(value.kind.shape), offset=0)
            copy(writer, value.view, target)
            made = {1: math.prod(value.kind.shape) * itemsize(value.kind.dtype)}
            program = Program(self.queue, writer.launches, made, [1])
            plan = self._plans[key] = Plan(program, (target,))
        inputs: Any = {0: value.buffer}
        return plan.run(inputs)[0][0]


def _frozen(value: Any) -> Any:
    """What a parameter is known by."""
    if isinstance(value, dict):
        return tuple((k, _frozen(v)) for k, v in value.items())
    if isinstance(value, list | tuple):
        return (type(value), *map(_frozen, value))
    if isinstance(value, slice):
        return slice, value.start, value.stop, value.step
    return (type(value), value) if isinstance(value, bool | int | float) else value


_BY_QUEUE: "Final[weakref.WeakKeyDictionary[Queue, Pending]]" = weakref.WeakKeyDictionary()
_LOCK: Final = threading.Lock()


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


def flush(devices: Iterable[Device]) -> None:
    """Have devices compute what is pending."""
    for device in devices:
        pending_of(device).flush()
