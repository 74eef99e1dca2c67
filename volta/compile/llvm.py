"""Native code for kernels, by LLVM.

A module of kernels becomes text of LLVM's, compiled for the processor at hand. A kernel is a
function that Python calls as its own builtins, with arrays as arguments: it reads the addresses of
their elements itself, which takes nanoseconds where ``ctypes`` takes microseconds. It returns
False, having done nothing, when an operand is not as the kernel says: of that shape and dtype,
row-major, aligned, of native bytes.

The layout of arrays: ``PyArrayObject_fields`` in NumPy's C API, which is stable,
https://numpy.org/doc/stable/reference/c-api/types-and-structures.html
"""

import ctypes
import functools
import math
import re
import sys
import sysconfig
import weakref
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from volta.compile.kernel import Kernel
from volta.compile.loops import Loops
from volta.compile.vectors import Block

__all__ = ["available", "functions"]


OLDEST: Final = (0, 45)  # llvmlite with LLVM 20; those before read vectors written otherwise


@functools.cache
def available() -> bool:
    """Whether there is LLVM, and a Python whose objects lie as is known here."""
    known = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")
    return known and sys.maxsize > 2**32 and _version() >= OLDEST


def _version() -> tuple[int, ...]:
    """Version of llvmlite, which is not imported; (0, 0) of none."""
    import importlib.metadata  # 10 ms

    try:
        found = importlib.metadata.version("llvmlite")
    except importlib.metadata.PackageNotFoundError:
        return (0, 0)
    return tuple(int(n) for n in re.findall(r"\d+", found)[:2])


def functions(kernels: Sequence[Kernel]) -> list[Any]:
    """Python functions of the operands of each kernel and the arrays for its results."""
    names = [f"kernel{i}" for i in range(len(kernels))]
    made = [_function(name, kernel) for name, kernel in zip(names, kernels, strict=True)]
    declared = dict.fromkeys([*_PYTHONS, *(text for block in made for text in block.declared)])
    lines = [f"declare {text}" for text in declared]
    code = _compiled("\n".join(lines + [line for block in made for line in block.lines]) + "\n")
    return [_builtin(code, name) for name in names]


# Python's side ------------------------------------------------------------------------------------


class _Method(ctypes.Structure):
    """``PyMethodDef``."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_FASTCALL: Final = 0x80  # a pointer to arguments, and how many there are


_FREE: Final[list[_Method]] = []  # definitions of functions that are no more


def _builtin(code: Any, name: str) -> Any:
    """Python function of the name; `code`, to which it is bound, lives as long as it does."""
    # A definition is never freed, only used again: the function's end reads it.
    method = _FREE.pop() if _FREE else _Method()
    method.name, method.flags = b"kernel", _FASTCALL
    method.function = code.get_function_address(name)
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype = ctypes.py_object
    make.argtypes = (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    function = make(ctypes.addressof(method), code, None)
    weakref.finalize(function, _FREE.append, method).atexit = False
    return function


@functools.cache
def _processor() -> Any:
    """Target, name and features of the processor at hand."""
    import llvmlite.binding as llvm  # 30 ms, and not in every installation

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    for name in ("PyBool_FromLong", "PyEval_SaveThread", "PyEval_RestoreThread"):
        address = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
        llvm.add_symbol(name, address)
    features = llvm.get_host_cpu_features().flatten()
    return llvm.Target.from_default_triple(), llvm.get_host_cpu_name(), features


def _compiled(text: str) -> Any:
    import llvmlite.binding as llvm

    target, name, features = _processor()
    # Code owns the machine that it was made by, and ends it.
    machine = target.create_target_machine(cpu=name, features=features, opt=2, jit=True)
    module = llvm.parse_assembly(text)
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    # None of LLVM's passes runs on the text: a kernel lists each node once, what does not change in
    # a loop stands before it, and llvmlite never frees what runs passes, 49 kB each.
    code = llvm.create_mcjit_compiler(module, machine)
    code.finalize_object()
    return code


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


def _function(name: str, kernel: Kernel) -> Block:
    """Text of the function of a kernel."""
    block = Block("entry")
    block.lines.append(f"define ptr @{name}(ptr %self, ptr %args, i64 %n) {{")
    block.begin("entry")
    count = len(kernel.operands) + len(kernel.results)
    slots = [block.let(f"getelementptr ptr, ptr %args, i64 {i}") for i in range(count)]
    arrays = [block.let(f"load ptr, ptr {slot}") for slot in slots]
    _check(block, kernel, arrays)
    block.begin("ready")
    fields = [block.let(f"getelementptr i8, ptr {array}, i64 {_DATA}") for array in arrays]
    pointers = [block.let(f"load ptr, ptr {field}") for field in fields]
    long = math.prod(kernel.shape) * len(kernel.nodes) > _LONG
    thread = block.let("call ptr @PyEval_SaveThread()") if long else ""
    Loops(kernel, block).write(pointers)
    if long:
        block.put(f"call void @PyEval_RestoreThread(ptr {thread})")
    block.put(f"ret ptr {block.let('call ptr @PyBool_FromLong(i64 1)')}")
    block.begin("other")
    block.put(f"ret ptr {block.let('call ptr @PyBool_FromLong(i64 0)')}")
    block.lines.append("}")
    return block


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
