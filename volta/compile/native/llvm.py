"""Native code for kernels and products, by LLVM.

A module of them becomes text of LLVM's, compiled for the processor at hand. Each is a function that
Python calls as its own builtins, with the operands and the arrays for its results (see `arrays`).
"""

import ctypes
import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from volta.compile.kernel import Kernel
from volta.compile.native import blas, convolutions, machine, pools, products, workers
from volta.compile.native.arrays import (
    ALIGNED,
    NDARRAY,
    PYTHONS,
    ROW_MAJOR,
    Argument,
    begin,
    elements,
    end,
)
from volta.compile.native.convolutions import Convolution
from volta.compile.native.loops import Loops
from volta.compile.native.machine import available
from volta.compile.native.pools import Pool
from volta.compile.native.products import Product
from volta.compile.native.vectors import Block

__all__ = ["Kept", "available", "conditions", "functions", "kept"]

_LONG: Final = 1 << 20  # operations on elements that are worth letting other threads run


class Kept(NamedTuple):
    """Native code on the disk.

    Attributes
    ----------
    key : bytes
        Of its object file.
    length : int
        How many functions it has.
    calls_workers, calls_blas : bool
        What has to be there before it is loaded.
    """

    key: bytes
    length: int
    calls_workers: bool
    calls_blas: bool


def conditions() -> str:
    """What native code depends on besides what it computes."""
    return f"{machine.described()}\0{workers.threads()}\0{blas.available()}"


def functions(natives: Sequence[Any]) -> tuple[list[Any], Kept]:
    """Python functions of the operands of each and the arrays for its results.

    Second is where they are kept on the disk.
    """
    found = (
        block
        for i, native in enumerate(natives)
        for block in _WRITERS.get(type(native), _written)(_NAME.format(i), native)
    )
    blocks = [*{block.lines[0]: block for block in found}.values()]  # some serve several
    declared = dict.fromkeys([*PYTHONS, *(text for block in blocks for text in block.declared)])
    lines = [f"@{NDARRAY} = global i64 0"]
    lines += [text for block in blocks for text in block.tables]
    lines += [f"declare {text}" for text in declared]
    lines += [line for block in blocks for line in block.lines]
    code, key = machine.compiled("\n".join(lines) + "\n")
    called = {text[text.index("@") + 1 : text.index("(")] for text in declared}
    calls_blas = not called.isdisjoint(blas.FUNCTIONS.values())
    where = Kept(key, len(natives), workers.RUN in called, calls_blas)
    return _builtins(code, where.length), where


def kept(code: Kept) -> list[Any] | None:
    """The same functions, in another process; None if they are not on the disk any more."""
    if code.calls_workers:
        workers.define()
    if code.calls_blas and not blas.available():
        return None
    found = machine.kept(code.key)
    return None if found is None else _builtins(found, code.length)


def _builtins(code: Any, count: int) -> list[Any]:
    ctypes.c_int64.from_address(code.get_global_value_address(NDARRAY)).value = id(np.ndarray)
    return [machine.builtin(code, _NAME.format(i)) for i in range(count)]


_NAME: Final = "native{}"


def _written(name: str, kernel: Any) -> list[Block]:
    """Text of the function of a kernel, and of that of a part of it where threads share it."""
    long = math.prod(kernel.shape) * len(kernel.nodes) > _LONG
    operands = [Argument(o.dtype, o.shape, ROW_MAJOR | ALIGNED) for o in kernel.operands]
    block, arrays = begin(name, operands, len(kernel.results))
    pointers = elements(block, arrays)
    thread = block.let("call ptr @PyEval_SaveThread()") if long else ""
    part = _share(f"{name}.part", kernel, block, pointers) if long else None
    if part is None:
        Loops(kernel, block).write(pointers)
    if long:
        block.put(f"call void @PyEval_RestoreThread(ptr {thread})")
    end(block)
    return [block] if part is None else [part, block]


def _share(name: str, kernel: Kernel, block: Block, pointers: list[str]) -> Block | None:
    """Have threads share the loops; returns the function of a part, or None where none do."""
    count = workers.threads()
    if count == 1:
        return None
    part = Block(f"void @{name}(ptr %context, i64 %task)", "internal")
    loops = Loops(kernel, part, count)
    if not loops.tasks:
        return None
    given = [*pointers, *loops.allocate(block)]
    workers.put_job(block, name, [("ptr", pointer) for pointer in given], loops.tasks)
    loops.gather(block, given)
    loops.write(workers.take_job(part, ["ptr"] * len(given)), "%task")
    part.put("ret void")
    part.end()
    return part


_WRITERS: Final[dict[Any, Any]] = {
    Convolution: convolutions.written,
    Pool: pools.written,
    Product: products.written,
}
