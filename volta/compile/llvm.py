"""Native code for kernels, by LLVM.

A module of kernels becomes text of LLVM's, compiled for the processor at hand. A kernel is a
function that Python calls as its own builtins, with arrays as arguments: it reads the addresses of
their elements itself, which takes nanoseconds where ``ctypes`` takes microseconds. It returns
False, having done nothing, when an operand is not as the kernel says: of that shape and dtype,
row-major, aligned, of native bytes.

The layout of arrays: ``PyArrayObject_fields`` in NumPy's C API, which is stable,
https://numpy.org/doc/stable/reference/c-api/types-and-structures.html
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from volta.compile import workers
from volta.compile.kernel import Kernel
from volta.compile.loops import Loops
from volta.compile.machine import available, builtin, compiled
from volta.compile.vectors import Block

__all__ = ["available", "functions"]


def functions(kernels: Sequence[Kernel]) -> list[Any]:
    """Python functions of the operands of each kernel and the arrays for its results."""
    names = [f"kernel{i}" for i in range(len(kernels))]
    blocks = [b for n, k in zip(names, kernels, strict=True) for b in _function(n, k)]
    declared = dict.fromkeys([*_PYTHONS, *(text for block in blocks for text in block.declared)])
    lines = [f"declare {text}" for text in declared]
    code = compiled("\n".join(lines + [line for block in blocks for line in block.lines]) + "\n")
    return [builtin(code, name) for name in names]


# Text ---------------------------------------------------------------------------------------------

_HEAD: Final = object.__basicsize__
_DATA, _AXES, _SHAPE, _DESCR, _FLAGS = _HEAD, _HEAD + 8, _HEAD + 16, _HEAD + 40, _HEAD + 48
_READY: Final = 0x101  # row-major, aligned
_LONG: Final = 1 << 20  # operations on elements that are worth letting other threads run

_PYTHONS: Final = (  # functions of Python's
    "ptr @PyBool_FromLong(i64)",
    "ptr @PyEval_SaveThread()",
    "void @PyEval_RestoreThread(ptr)",
)


def _function(name: str, kernel: Kernel) -> list[Block]:
    """Text of the function of a kernel, and of that of a part of it where threads share it."""
    long = math.prod(kernel.shape) * len(kernel.nodes) > _LONG
    block = Block(f"ptr @{name}(ptr %self, ptr %args, i64 %n)")
    count = len(kernel.operands) + len(kernel.results)
    slots = [block.let(f"getelementptr ptr, ptr %args, i64 {i}") for i in range(count)]
    arrays = [block.let(f"load ptr, ptr {slot}") for slot in slots]
    _check(block, kernel, arrays)
    block.begin("ready")
    fields = [block.let(f"getelementptr i8, ptr {array}, i64 {_DATA}") for array in arrays]
    pointers = [block.let(f"load ptr, ptr {field}") for field in fields]
    thread = block.let("call ptr @PyEval_SaveThread()") if long else ""
    parts = _share(f"{name}.part", kernel, block, pointers) if long else None
    if parts is None:
        Loops(kernel, block).write(pointers)
    if long:
        block.put(f"call void @PyEval_RestoreThread(ptr {thread})")
    block.put(f"ret ptr {block.let('call ptr @PyBool_FromLong(i64 1)')}")
    block.begin("other")
    block.put(f"ret ptr {block.let('call ptr @PyBool_FromLong(i64 0)')}")
    block.end()
    return [block] if parts is None else [parts, block]


def _share(name: str, kernel: Kernel, block: Block, pointers: list[str]) -> Block | None:
    """Have threads share the loops; returns the function of a part, or None if nothing is shared."""
    count = workers.threads()
    if count == 1:
        return None
    part = Block(f"void @{name}(ptr %context, i64 %task)", "internal")
    loops = Loops(kernel, part, count)
    if not loops.tasks:
        return None
    workers.use()
    block.declared[workers.DECLARED] = None
    given = [*pointers, *loops.allocate(block)]
    context = block.let(f"alloca [{len(given)} x ptr]")
    for i, pointer in enumerate(given):
        place = block.let(f"getelementptr ptr, ptr {context}, i64 {i}")
        block.put(f"store ptr {pointer}, ptr {place}")
    block.put(f"call void @{workers.RUN}(ptr @{name}, ptr {context}, i64 {loops.tasks})")
    loops.gather(block, given)
    places = [part.let(f"getelementptr ptr, ptr %context, i64 {i}") for i in range(len(given))]
    loops.write([part.let(f"load ptr, ptr {place}") for place in places], "%task")
    part.put("ret void")
    part.end()
    return part


def _check(block: Block, kernel: Kernel, arrays: list[str]) -> None:
    """Go on to ``ready`` if the operands are as they must be, else to ``other``."""
    operands = kernel.operands
    arrays = arrays[: len(operands)]
    classes, dtypes = [id(np.ndarray)], [id(np.dtype(o.dtype.name)) for o in operands]
    _check_field(block, arrays, "i64", 8, classes * len(arrays), "arrays")
    block.begin("arrays")  # others may end before what is looked at now
    _check_field(block, arrays, "i64", _DESCR, dtypes, "native")
    block.begin("native")
    _check_field(block, arrays, "i32", _FLAGS, [_READY] * len(arrays), "ordered")
    block.begin("ordered")
    _check_field(block, arrays, "i32", _AXES, [len(o.shape) for o in operands], "sized")
    block.begin("sized")
    _check_sizes(block, kernel, arrays)


def _check_field(
    block: Block, arrays: list[str], kind: str, offset: int, wanted: list[int], after: str
) -> None:
    """Go on to a place if a field of each operand is as wanted, of flags those that are."""
    total = "true"
    for array, value in zip(arrays, wanted, strict=True):
        place = block.let(f"getelementptr i8, ptr {array}, i64 {offset}")
        found = block.let(f"load {kind}, ptr {place}")
        part = block.let(f"and {kind} {found}, {value if offset == _FLAGS else -1}")
        same = block.let(f"icmp eq {kind} {part}, {value}")
        total = block.let(f"and i1 {total}, {same}")
    block.put(f"br i1 {total}, label %{after}, label %other")


def _check_sizes(block: Block, kernel: Kernel, arrays: list[str]) -> None:
    """Go on to ``ready`` if the operands have their shapes, beyond which is others' memory."""
    total = "true"
    for array, operand in zip(arrays, kernel.operands, strict=True):
        place = block.let(f"getelementptr i8, ptr {array}, i64 {_SHAPE}")
        shape = block.let(f"load ptr, ptr {place}")
        for a, n in enumerate(operand.shape):
            place = block.let(f"getelementptr i64, ptr {shape}, i64 {a}")
            size = block.let(f"load i64, ptr {place}")
            same = block.let(f"icmp eq i64 {size}, {n}")
            total = block.let(f"and i1 {total}, {same}")
    block.put(f"br i1 {total}, label %ready, label %other")
