"""Native code for kernels and products, by LLVM.

A module of them becomes text of LLVM's, compiled for the processor at hand. Each is a function that
Python calls as its own builtins, with the operands and the arrays for its results (see `arrays`).
"""

import math
from collections.abc import Sequence
from typing import Any, Final

from volta.compile.kernel import Kernel
from volta.compile.native import convolutions, products, workers
from volta.compile.native.arrays import ALIGNED, PYTHONS, ROW_MAJOR, Argument, begin, elements, end
from volta.compile.native.convolutions import Convolution
from volta.compile.native.loops import Loops
from volta.compile.native.machine import available, builtin, compiled
from volta.compile.native.products import Product
from volta.compile.native.vectors import Block

__all__ = ["available", "functions"]

_LONG: Final = 1 << 20  # operations on elements that are worth letting other threads run


def functions(natives: Sequence[Any]) -> list[Any]:
    """Python functions of the operands of each and the arrays for its results."""
    names = [f"native{i}" for i in range(len(natives))]
    blocks = [
        block
        for name, native in zip(names, natives, strict=True)
        for block in _WRITERS.get(type(native), _written)(name, native)
    ]
    declared = dict.fromkeys([*PYTHONS, *(text for block in blocks for text in block.declared)])
    values = {name: number for block in blocks for name, number in block.values.items()}
    lines = [f"@{name} = global i64 0" for name in values]
    lines += [text for block in blocks for text in block.tables]
    lines += [f"declare {text}" for text in declared]
    code = compiled(
        "\n".join(lines + [line for block in blocks for line in block.lines]) + "\n", values
    )
    return [builtin(code, name) for name in names]


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


_WRITERS: Final[dict[Any, Any]] = {Product: products.written, Convolution: convolutions.written}
