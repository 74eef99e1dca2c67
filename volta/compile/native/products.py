"""Products of matrices in native code: one call of BLAS, or one for each matrix of a batch.

Matrices may be transposed, and rows may lie apart: their strides are read at each call.
"""

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from volta.compile.native import blas, workers
from volta.compile.native.arrays import ALIGNED, ROW_MAJOR, Argument, begin, elements, end, strides
from volta.compile.native.vectors import KINDS, Block
from volta.core.types import ArrayType, DType
from volta.core.wengert import Entry

__all__ = ["Product", "product_of", "written"]

_LONG: Final = 1 << 18  # multiplications that are worth letting other threads of Python run
_SHARED: Final = 1 << 21  # and those that are worth to be shared by workers
_ROWS, _COLUMNS = 32, 64  # of which a task has a multiple, as BLAS computes such blocks

_ROW_ORDER, _PLAIN, _TRANSPOSED = 101, 111, 112  # of BLAS


class Product(NamedTuple):
    """``x1 @ x2`` of matrices, or of stacks of them that broadcast."""

    dtype: DType
    left: tuple[int, ...]
    right: tuple[int, ...]


def product_of(e: Entry, types: dict[int, ArrayType]) -> Product | None:
    """Product that an entry is, if BLAS can compute it."""
    if e.primitive.name != "matmul" or not all(type(o) is int for o in e.operands):
        return None
    x1, x2 = (types[o] for o in e.operands)
    if x1.dtype is not x2.dtype or x1.dtype.name not in blas.FUNCTIONS or not blas.available():
        return None
    if min(x1.ndim, x2.ndim) < 2 or not math.prod((*x1.shape, *x2.shape)):
        return None
    return Product(x1.dtype, x1.shape, x2.shape)


class _Matrix(NamedTuple):
    """A matrix that BLAS takes: how it lies, how far its rows are apart, and where it is."""

    order: str
    apart: str
    base: str


def written(name: str, product: Product) -> list[Block]:
    """Text of the function of a product, and of that of a part of it where threads share it."""
    dtype, left, right = product
    flat = len(right) == 2 and len(left) > 2  # rows of all matrices are those of one
    flags = ALIGNED | (ROW_MAJOR if flat else 0)
    operands = [Argument(dtype, left, flags), Argument(dtype, right, ALIGNED)]
    block, arrays = begin(name, operands, 1)
    data = elements(block, arrays)
    steps = [strides(block, a, len(s)) for a, s in zip(arrays[:2], (left, right), strict=True)]
    if flat:  # as one matrix
        left, steps[0] = (math.prod(left[:-1]), left[-1]), steps[0][-2:]
    sizes = left[-2], left[-1], right[-1]
    matrices = [
        _matrix(block, dtype, s[-2:], step[-2:], base)
        for s, step, base in zip((left, right), steps, data[:2], strict=True)
    ]
    lead = _lead(left, right)
    work = math.prod(sizes) * math.prod(lead)
    thread = block.let("call ptr @PyEval_SaveThread()") if work > _LONG else ""
    part_name = f"{name}.part"
    if lead:
        part = _stack(part_name, block, product, steps, matrices, data[2])
    else:
        part = _shared(part_name, block, dtype, sizes, matrices, data[2])
    if thread:
        block.put(f"call void @PyEval_RestoreThread(ptr {thread})")
    end(block)
    return [block] if part is None else [part, block]


def _lead(left: tuple[int, ...], right: tuple[int, ...]) -> list[int]:
    """Shape of the stack that two make."""
    ndim = max(len(left), len(right)) - 2
    shapes = ((1,) * (ndim + 2 - len(s)) + s[:-2] for s in (left, right))
    return [max(pair) for pair in zip(*shapes, strict=True)]


def _matrix(
    block: Block, dtype: DType, shape: Sequence[int], steps: Sequence[str], base: str
) -> _Matrix:
    """How a matrix lies; goes on to ``other`` where BLAS cannot take it."""
    (m, n), (down, along), size = shape, steps, dtype.itemsize
    plain = _both(block, f"icmp eq i64 {along}, {size}", f"icmp sge i64 {down}, {n * size}")
    turned = _both(block, f"icmp eq i64 {down}, {size}", f"icmp sge i64 {along}, {m * size}")
    block.count += 1
    label = f"lies{block.count}"
    block.put(f"br i1 {block.let(f'or i1 {plain}, {turned}')}, label %{label}, label %other")
    block.begin(label)
    order = block.let(f"select i1 {plain}, i64 {_PLAIN}, i64 {_TRANSPOSED}")
    bytes_ = block.let(f"select i1 {plain}, i64 {down}, i64 {along}")
    return _Matrix(order, block.let(f"sdiv i64 {bytes_}, {size}"), base)


def _both(block: Block, first: str, second: str) -> str:
    return block.let(f"and i1 {block.let(first)}, {block.let(second)}")


def _call(
    block: Block,
    dtype: DType,
    sizes: Sequence[int | str],
    matrices: Sequence[_Matrix],
    out: str,
    apart: int,
) -> None:
    """``out = x1 @ x2``, whose rows are `apart` elements apart."""
    (m, k, n), (x1, x2), kind = sizes, matrices, KINDS[dtype.name]
    orders = [block.let(f"trunc i64 {x.order} to i32") for x in matrices]
    args = [("i32", str(_ROW_ORDER)), *(("i32", order) for order in orders)]
    args += [("i64", str(m)), ("i64", str(n)), ("i64", str(k)), (kind, "1.0")]
    args += [("ptr", x1.base), ("i64", x1.apart), ("ptr", x2.base), ("i64", x2.apart)]
    args += [(kind, "0.0"), ("ptr", out), ("i64", str(apart))]
    block.put(block.call("void", blas.FUNCTIONS[dtype.name], *args))


def _apart(ndim: int, shape: tuple[int, ...], steps: Sequence[str]) -> list[str]:
    """How far matrices are apart along the axes of a stack."""
    own = [d if n != 1 else "0" for n, d in zip(shape[:-2], steps, strict=False)]
    return ["0"] * (ndim - len(own)) + own


def _stack(
    name: str,
    block: Block,
    product: Product,
    steps: Sequence[Sequence[str]],
    matrices: list[_Matrix],
    out: str,
) -> Block | None:
    """Products of the matrices of two stacks, of which workers compute some each; as `_shared`."""
    dtype, left, right = product
    lead, (m, k), n = _lead(left, right), left[-2:], right[-1]
    count, threads = math.prod(lead), workers.threads()
    places = [_apart(len(lead), s, step) for s, step in zip((left, right), steps, strict=True)]

    def some(block: Block, matrices: list[_Matrix], places: Any, out: str, part: Any) -> None:
        def turn(index: str, _: list[str]) -> list[str]:
            left_over, bases = index, [x.base for x in matrices]
            for axis in range(len(lead) - 1, -1, -1):
                place = block.let(f"urem i64 {left_over}, {lead[axis]}")
                left_over = block.let(f"udiv i64 {left_over}, {lead[axis]}")
                bases = [
                    b if p[axis] == "0" else _moved(block, b, place, p[axis])
                    for b, p in zip(bases, places, strict=True)
                ]
            found = [x._replace(base=b) for x, b in zip(matrices, bases, strict=True)]
            to = _moved(block, out, index, str(m * n * dtype.itemsize))
            _call(block, dtype, (m, k, n), found, to, n)
            return []

        begin, stop = part
        block.loop(stop, 1, [], turn, begin)

    step = -(-count // (4 * threads))
    tasks = -(-count // step)
    if threads == 1 or tasks == 1 or count * m * k * n < _SHARED:
        some(block, matrices, places, out, ("0", count))
        return None
    given = [v for x in matrices for v in (("i64", x.order), ("i64", x.apart), ("ptr", x.base))]
    given += [("i64", d) for p in places for d in p if d != "0"]
    workers.put_job(block, name, [*given, ("ptr", out)], tasks)
    part = Block(f"void @{name}(ptr %context, i64 %task)", "internal")
    *found, out = workers.take_job(part, [kind for kind, _ in given] + ["ptr"])
    taken = iter(found[6:])
    places = [[d if d == "0" else next(taken) for d in p] for p in places]
    first = part.let(f"mul i64 %task, {step}")
    last = part.let(f"add i64 {first}, {step}")
    within = part.let(f"icmp ult i64 {last}, {count}")
    stop = part.let(f"select i1 {within}, i64 {last}, i64 {count}")
    some(part, [_Matrix(*found[:3]), _Matrix(*found[3:6])], places, out, (first, stop))
    part.put("ret void")
    part.end()
    return part


def _moved(block: Block, base: str, index: str, step: str) -> str:
    offset = block.let(f"mul i64 {index}, {step}")
    return block.let(f"getelementptr i8, ptr {base}, i64 {offset}")


def _shared(
    name: str,
    block: Block,
    dtype: DType,
    sizes: tuple[int, int, int],
    matrices: list[_Matrix],
    out: str,
) -> Block | None:
    """A product of which workers compute rows, or columns; returns the function of a part."""
    m, k, n = sizes
    threads = workers.threads()
    by_rows = m >= n
    size, unit = (m, _ROWS) if by_rows else (n, _COLUMNS)
    # one part for each thread: in each, BLAS packs all of the other matrix again
    step = -(-size // threads // unit) * unit
    tasks = -(-size // step)
    if threads == 1 or tasks == 1 or m * k * n < _SHARED:
        _call(block, dtype, sizes, matrices, out, n)
        return None
    given = [v for x in matrices for v in (("i64", x.order), ("i64", x.apart), ("ptr", x.base))]
    workers.put_job(block, name, [*given, ("ptr", out)], tasks)
    part = Block(f"void @{name}(ptr %context, i64 %task)", "internal")
    *found, out = workers.take_job(part, [kind for kind, _ in given] + ["ptr"])
    x1, x2 = _Matrix(*found[:3]), _Matrix(*found[3:])
    first = part.let(f"mul i64 %task, {step}")
    rest = part.let(f"sub i64 {size}, {first}")
    whole = part.let(f"icmp ult i64 {step}, {rest}")
    count = part.let(f"select i1 {whole}, i64 {step}, i64 {rest}")
    bytes_ = part.let(f"mul i64 {first}, {dtype.itemsize}")
    if by_rows:
        x1 = _from(part, x1, bytes_, _PLAIN)
        out = _moved(part, out, bytes_, str(n))
        _call(part, dtype, (count, k, n), (x1, x2), out, n)
    else:
        x2 = _from(part, x2, bytes_, _TRANSPOSED)
        out = _moved(part, out, bytes_, "1")
        _call(part, dtype, (m, k, count), (x1, x2), out, n)
    part.put("ret void")
    part.end()
    return part


def _from(block: Block, x: _Matrix, offset: str, order: int) -> _Matrix:
    """The matrix from a row or column on, `offset` bytes on, or rows apart if it is of `order`."""
    rows = block.let(f"icmp eq i64 {x.order}, {order}")
    step = block.let(f"select i1 {rows}, i64 {x.apart}, i64 1")
    return x._replace(base=_moved(block, x.base, offset, step))
