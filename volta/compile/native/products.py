"""Products of matrices in native code: generated for their sizes, or calls of BLAS.

Matrices may be transposed, and rows may lie apart: their strides are read at each call.
"""

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from volta.compile.native import blas, large, tiles, workers
from volta.compile.native.arrays import ALIGNED, ROW_MAJOR, Argument, begin, elements, end, strides
from volta.compile.native.panels import Lying
from volta.compile.native.vectors import KINDS, Block
from volta.core.types import ArrayType, DType
from volta.core.wengert import Entry

__all__ = ["Product", "product_of", "written"]

_LONG: Final = 1 << 18  # multiplications that are worth letting other threads of Python run
_SHARED: Final = 1 << 21  # and those that are worth to be shared by workers
_ROWS, _COLUMNS = 32, 64  # of which a task has a multiple, as BLAS computes such blocks

_ROW_ORDER, _PLAIN, _TRANSPOSED = 101, 111, 112  # of BLAS


class Product(NamedTuple):
    """``x1 @ x2`` of matrices, or of stacks of them that broadcast.

    Attributes
    ----------
    dtype : DType
    left, right : tuple of int
        Shapes.
    order : tuple of int
        Axes of the result in the order in which they lie in memory, if that is another.
    """

    dtype: DType
    left: tuple[int, ...]
    right: tuple[int, ...]
    order: tuple[int, ...] = ()

    @property
    def is_flat(self) -> bool:
        """Whether the rows of all first matrices are those of one."""
        return len(self.right) == 2 and len(self.left) > 2

    @property
    def lead(self) -> tuple[int, ...]:
        """Shape of the stack."""
        return () if self.is_flat else np.broadcast_shapes(self.left[:-2], self.right[:-2])

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Rows of a first matrix, its columns, and those of a second one."""
        rows = math.prod(self.left[:-1]) if self.is_flat else self.left[-2]
        return rows, self.left[-1], self.right[-1]

    @property
    def plan(self) -> tiles.Plan | large.Plan | None:
        """How it is generated, if BLAS is not called."""
        plan = tiles.Plan(self.dtype, self.lead, self.sizes, self.order)
        if plan.is_fast:
            return plan
        if self.lead or self.order:
            return None
        whole = large.Plan(self.dtype, self.sizes)
        return whole if whole.is_fast else None

    @property
    def scratch(self) -> int:
        """Bytes of memory that it needs."""
        plan = self.plan
        return 0 if plan is None else plan.scratch


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
    """Text of the function of a product, and of those of its parts."""
    (dtype, left, right), plan = product[:3], product.plan
    flags = ALIGNED | (ROW_MAJOR if product.is_flat else 0)
    operands = [Argument(dtype, left, flags), Argument(dtype, right, ALIGNED)]
    block, arrays = begin(name, operands, 1 if plan is None else 2)
    data = elements(block, arrays)
    steps = [strides(block, a, len(s)) for a, s in zip(arrays[:2], (left, right), strict=True)]
    lead, sizes = product.lead, product.sizes
    if product.is_flat:  # as one matrix
        left, steps[0] = sizes[:2], steps[0][-2:]
    places = [_apart(len(lead), s, step) for s, step in zip((left, right), steps, strict=True)]
    x2 = _matrix(block, dtype, right[-2:], steps[1][-2:], data[1])
    matrices = [x2]
    if not isinstance(plan, tiles.Plan):
        matrices.insert(0, _matrix(block, dtype, left[-2:], steps[0][-2:], data[0]))
    is_long = math.prod(sizes) * math.prod(lead) > _LONG
    thread = block.let("call ptr @PyEval_SaveThread()") if is_long else ""
    if isinstance(plan, tiles.Plan):
        sides = tiles.Left(data[0], *steps[0][-2:]), _lying(block, dtype, x2)
        parts = tiles.written(name, plan, block, sides, places, *data[2:])
    elif plan is not None:
        both = _lying(block, dtype, matrices[0]), _lying(block, dtype, x2)
        parts = large.written(name, plan, block, both, *data[2:])
    elif lead:
        parts = _stack(f"{name}.part", block, product, places, matrices, data[2])
    else:
        parts = _shared(f"{name}.part", block, dtype, sizes, matrices, data[2])
    if thread:
        block.put(f"call void @PyEval_RestoreThread(ptr {thread})")
    end(block)
    return [*parts, block]


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


def _lying(block: Block, dtype: DType, x: _Matrix) -> Lying:
    turned = block.let(f"icmp eq i64 {x.order}, {_TRANSPOSED}")
    return Lying(x.base, turned, block.let(f"mul i64 {x.apart}, {dtype.itemsize}"))


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
    places: Sequence[Sequence[str]],
    matrices: Sequence[_Matrix],
    out: str,
) -> list[Block]:
    """Products of the matrices of two stacks, of which workers compute some each; as `_shared`."""
    dtype, lead, (m, k, n) = product.dtype, product.lead, product.sizes
    count, threads = math.prod(lead), workers.threads()

    def some(block: Block, matrices: Any, places: Any, out: str, part: Any) -> None:
        def one(index: str) -> None:
            bases = [x.base for x in matrices]
            for axis, place in enumerate(block.places(index, *lead[1:])):
                bases = [
                    b if p[axis] == "0" else block.at(b, place, p[axis])
                    for b, p in zip(bases, places, strict=True)
                ]
            found = [x._replace(base=b) for x, b in zip(matrices, bases, strict=True)]
            to = block.at(out, index, m * n * dtype.itemsize)
            _call(block, dtype, (m, k, n), found, to, n)

        begin, stop = part
        block.each(stop, one, start=begin)

    step = -(-count // (4 * threads))
    tasks = -(-count // step)
    if threads == 1 or tasks == 1 or count * m * k * n < _SHARED:
        some(block, matrices, places, out, ("0", count))
        return []
    given = [v for x in matrices for v in (("i64", x.order), ("i64", x.apart), ("ptr", x.base))]
    given += [("i64", d) for p in places for d in p if d != "0"]
    workers.put_job(block, name, [*given, ("ptr", out)], tasks)
    part = Block(f"void @{name}(ptr %context, i64 %task)", "internal")
    *found, out = workers.take_job(part, [kind for kind, _ in given] + ["ptr"])
    taken = iter(found[6:])
    own = [[d if d == "0" else next(taken) for d in p] for p in places]
    first, stop = workers.take_share(part, step, count)
    some(part, [_Matrix(*found[:3]), _Matrix(*found[3:6])], own, out, (first, stop))
    part.put("ret void")
    part.end()
    return [part]


def _shared(
    name: str,
    block: Block,
    dtype: DType,
    sizes: tuple[int, int, int],
    matrices: Sequence[_Matrix],
    out: str,
) -> list[Block]:
    """A product of which workers compute rows, or columns; returns the functions that it calls."""
    m, k, n = sizes
    threads = workers.threads()
    by_rows = m >= n
    size, unit = (m, _ROWS) if by_rows else (n, _COLUMNS)
    # one part for each thread: in each, BLAS packs all of the other matrix again
    step = -(-size // threads // unit) * unit
    tasks = -(-size // step)
    if threads == 1 or tasks == 1 or m * k * n < _SHARED:
        _call(block, dtype, sizes, matrices, out, n)
        return []
    given = [v for x in matrices for v in (("i64", x.order), ("i64", x.apart), ("ptr", x.base))]
    workers.put_job(block, name, [*given, ("ptr", out)], tasks)
    part = Block(f"void @{name}(ptr %context, i64 %task)", "internal")
    *found, out = workers.take_job(part, [kind for kind, _ in given] + ["ptr"])
    x1, x2 = _Matrix(*found[:3]), _Matrix(*found[3:])
    first = part.let(f"mul i64 %task, {step}")
    rest = part.let(f"sub i64 {size}, {first}")
    count = part.least(rest, step)
    bytes_ = part.let(f"mul i64 {first}, {dtype.itemsize}")
    if by_rows:
        x1 = _from(part, x1, bytes_, _PLAIN)
        out = part.at(out, bytes_, n)
        _call(part, dtype, (count, k, n), (x1, x2), out, n)
    else:
        x2 = _from(part, x2, bytes_, _TRANSPOSED)
        out = part.at(out, bytes_, 1)
        _call(part, dtype, (m, k, count), (x1, x2), out, n)
    part.put("ret void")
    part.end()
    return [part]


def _from(block: Block, x: _Matrix, offset: str, order: int) -> _Matrix:
    """The matrix from a row or column on, `offset` bytes on, or rows apart if it is of `order`."""
    rows = block.let(f"icmp eq i64 {x.order}, {order}")
    step = block.let(f"select i1 {rows}, i64 {x.apart}, i64 1")
    return x._replace(base=block.at(x.base, offset, step))
