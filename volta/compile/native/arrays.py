"""Text of LLVM's for functions that Python calls with arrays of NumPy's.

A function reads the addresses of their elements itself, which takes nanoseconds where ``ctypes``
takes microseconds. It returns False, having done nothing, when an operand is not as it must be.

The layout of arrays: ``PyArrayObject_fields`` in NumPy's C API, which is stable,
https://numpy.org/doc/stable/reference/c-api/types-and-structures.html
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from volta.compile.native.vectors import Block
from volta.core.types import DType

__all__ = [
    "ALIGNED",
    "NDARRAY",
    "PYTHONS",
    "ROW_MAJOR",
    "Argument",
    "begin",
    "elements",
    "end",
    "strides",
]

_HEAD: Final = object.__basicsize__
_DATA, _AXES, _SHAPE, _STRIDES = _HEAD, _HEAD + 8, _HEAD + 16, _HEAD + 24
_DESCR, _FLAGS = _HEAD + 40, _HEAD + 48
_ORDER, _NUMBER = _HEAD + 10, _HEAD + 12  # of ``PyArray_Descr``: a character, and an int
ROW_MAJOR: Final = 0x1
ALIGNED: Final = 0x100

NDARRAY: Final = "volta_ndarray"  # variable that holds the address of NumPy's class of arrays
PYTHONS: Final = (  # functions of Python's
    "ptr @PyBool_FromLong(i64)",
    "ptr @PyEval_SaveThread()",
    "void @PyEval_RestoreThread(ptr)",
)


class Argument(NamedTuple):
    """What an operand must be, besides an array of NumPy's own class and of native bytes."""

    dtype: DType
    shape: tuple[int, ...]
    flags: int


def begin(name: str, operands: Sequence[Argument], results: int) -> tuple[Block, list[str]]:
    """Begin a function; returns it and the addresses of arrays, of which operands are checked."""
    block = Block(f"ptr @{name}(ptr %self, ptr %args, i64 %n)")
    slots = (
        block.let(f"getelementptr ptr, ptr %args, i64 {i}") for i in range(len(operands) + results)
    )
    arrays = [block.let(f"load ptr, ptr {slot}") for slot in slots]
    _check(block, operands, arrays[: len(operands)])
    block.begin("ready")
    return block, arrays


def elements(block: Block, arrays: Sequence[str]) -> list[str]:
    """Addresses of the elements of arrays."""
    fields = [block.let(f"getelementptr i8, ptr {array}, i64 {_DATA}") for array in arrays]
    return [block.let(f"load ptr, ptr {field}") for field in fields]


def strides(block: Block, array: str, ndim: int) -> list[str]:
    """Strides of an array, in bytes."""
    field = block.let(f"getelementptr i8, ptr {array}, i64 {_STRIDES}")
    first = block.let(f"load ptr, ptr {field}")
    places = (block.let(f"getelementptr i64, ptr {first}, i64 {a}") for a in range(ndim))
    return [block.let(f"load i64, ptr {place}") for place in places]


def end(block: Block) -> None:
    """End a function, that has done what it does or went to ``other``."""
    block.put(f"ret ptr {block.let('call ptr @PyBool_FromLong(i64 1)')}")
    block.begin("other")
    block.put(f"ret ptr {block.let('call ptr @PyBool_FromLong(i64 0)')}")
    block.end()


def _check(block: Block, operands: Sequence[Argument], arrays: list[str]) -> None:
    """Go on to ``ready`` if the operands are as they must be, else to ``other``."""
    classes = [block.let(f"load i64, ptr @{NDARRAY}")] * len(arrays)
    _check_field(block, arrays, "i64", 8, classes, "arrays")
    block.begin("arrays")  # others may end before what is looked at now
    _check_dtypes(block, operands, arrays)
    block.begin("native")
    _check_field(block, arrays, "i32", _FLAGS, [o.flags for o in operands], "ordered")
    block.begin("ordered")
    _check_field(block, arrays, "i32", _AXES, [len(o.shape) for o in operands], "sized")
    block.begin("sized")
    _check_sizes(block, operands, arrays)


def _check_dtypes(block: Block, operands: Sequence[Argument], arrays: list[str]) -> None:
    """Go on to ``native`` if the operands have their dtypes, by number and order of bytes.

    A dtype is many objects: that of an array read from a file may be another than ``float32``.
    """
    total = "true"
    for array, operand in zip(arrays, operands, strict=True):
        place = block.let(f"getelementptr i8, ptr {array}, i64 {_DESCR}")
        dtype = block.let(f"load ptr, ptr {place}")
        place = block.let(f"getelementptr i8, ptr {dtype}, i64 {_NUMBER}")
        number = block.let(f"load i32, ptr {place}")
        same = block.let(f"icmp eq i32 {number}, {np.dtype(operand.dtype.name).num}")
        total = block.let(f"and i1 {total}, {same}")
        place = block.let(f"getelementptr i8, ptr {dtype}, i64 {_ORDER}")
        order = block.let(f"load i8, ptr {place}")
        native = block.let(f"icmp ne i8 {order}, {ord('>')}")
        total = block.let(f"and i1 {total}, {native}")
    block.put(f"br i1 {total}, label %native, label %other")


def _check_field(
    block: Block, arrays: list[str], kind: str, offset: int, wanted: Sequence[int | str], after: str
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


def _check_sizes(block: Block, operands: Sequence[Argument], arrays: list[str]) -> None:
    """Go on to ``ready`` if the operands have their shapes, beyond which is others' memory."""
    total = "true"
    for array, operand in zip(arrays, operands, strict=True):
        place = block.let(f"getelementptr i8, ptr {array}, i64 {_SHAPE}")
        shape = block.let(f"load ptr, ptr {place}")
        for a, n in enumerate(operand.shape):
            place = block.let(f"getelementptr i64, ptr {shape}, i64 {a}")
            size = block.let(f"load i64, ptr {place}")
            same = block.let(f"icmp eq i64 {size}, {n}")
            total = block.let(f"and i1 {total}, {same}")
    block.put(f"br i1 {total}, label %ready, label %other")
