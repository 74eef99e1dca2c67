"""Loops of a kernel, as text of LLVM's.

From the outside in: axes that no result is folded over, the folded ones, and in these the passes
over a row (`stages`), of which the last axis is gone along in vectors. Without rows the last axis
is gone along in one pass.

Sums are those of many places of a vector, and of blocks of vectors, so that their errors grow as
those of pairwise summation do: no sum has more than some 256 terms one after another.
"""

import functools
import math
import operator
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple

from volta.compile.kernel import Kernel
from volta.compile.native.vectors import KINDS, Block, Vectors
from volta.compile.stages import Pass, stages
from volta.core.types import DTYPES, DType

__all__ = ["Loops"]

_WIDTH: Final = 128  # bytes of a vector: two of AVX-512, so that one is computed beside the other
_NEAR: Final = 512, 1 << 14  # bytes of rows that a near cache holds some of
_TERMS: Final = 256  # that are merged one after another
_COLUMNS: Final = 256  # folded results for each thread that are worth to be shared among them
_STACK: Final = 1 << 17  # bytes of the stack that folded results may take
_PRIVATE: Final = 1 << 13  # folded results that each thread may have of its own
_CHUNK: Final = 4096  # elements that are worth a task
_TILE: Final = 2048  # elements of a row of results that are folded, where there are no other rows

Merge = tuple[str, DType]


class _Axis(NamedTuple):
    """An axis of the loops, or several that all arrays go along as one.

    Attributes
    ----------
    size : int
    strides : tuple of int
        Of each array, in elements.
    """

    size: int
    strides: tuple[int, ...]


class Loops:
    """The loops of a kernel, being written to a block, for one thread or a task of several.

    Attributes
    ----------
    tasks : int
        Parts that threads share; 0 where there is nothing to share.
    shared : str
        What they are parts of: the first "outer" axis, the first "fold", tiles of a row ("tile")
        of which columns are folded, or vectors of a "row".
    dtypes : list of DType
        Of the arrays: operands, results, and those of the kernel itself.
    saved : dict of int to int
        Arrays that nodes are saved in.
    partial : dict of int to int
        Of results that are folded, the arrays that blocks of them are merged in.
    """

    def __init__(self, kernel: Kernel, block: Block, threads: int = 1) -> None:
        self.kernel, self.block, self.threads = kernel, block, threads
        self.stages = stages(kernel)
        self.dtypes = [o.dtype for o in kernel.operands]
        self.dtypes += [kernel.nodes[r.node].dtype for r in kernel.results]
        self.strides = [o.strides for o in kernel.operands]
        self.strides += [r.strides for r in kernel.results]
        self.own: list[int] = []  # elements of the kernel's own arrays
        self.indices = -1  # an array from address 0 on, so that addresses are numbers of elements
        if any(n.op == "index" for n in kernel.nodes):
            self.indices = self._array(DTYPES["uint8"], self._along(range(len(kernel.shape))))
        self.saved = {
            r.node: len(kernel.operands) + j
            for j, r in enumerate(kernel.results)
            if r.fold is None and r.node not in self.stages.of_row
        }
        for i in (i for p in self.stages.passes for i in p.saves):
            self.saved[i] = self._array(kernel.nodes[i].dtype, self._along(kernel.rows))
        self.partial: dict[int, int] = {}
        many = math.prod(kernel.shape[a] for a in kernel.folds) > 2 * _TERMS
        if many and self._folded_bytes(self._inner_axes()) <= _STACK:
            for j, r in enumerate(kernel.results):
                if r.fold is not None:
                    outer = {*range(len(kernel.shape))} - {*self._inner_axes()}
                    own = tuple(0 if a in outer else s for a, s in enumerate(r.strides))
                    self.partial[j] = self._array(kernel.nodes[r.node].dtype, own)
        self.outer, self.folds, self.row = self._axes()
        inner = self.row[-1].size
        widest = max(_widths(kernel))
        self.width = min(_WIDTH // widest, 1 << (inner - 1).bit_length())
        self.vectors = Vectors(block, self.width)
        self.tile = _TILE
        self.shared, self.tasks, self.step = self._split() if threads > 1 else ("", 0, 0)
        self.range: tuple[str, str, str] | None = None  # of vectors of a row: begin, end, is last
        self.ahead = self._ahead()

    def _ahead(self) -> list[int]:
        """Operands that the first of several passes reads, and the second asks for the next row of.

        The first one does little but wait for memory, which would be idle during the others.
        """
        kernel, passes = self.kernel, self._passes()
        if len(passes) < 2 or not self.outer or kernel.rows != (len(kernel.shape) - 1,):
            return []
        read = {kernel.nodes[i].value for i in passes[0].nodes if kernel.nodes[i].op == "load"}
        whole = (*accumulate(reversed(kernel.shape[1:]), operator.mul, initial=1),)[::-1]
        return [
            k
            for k in sorted(read)
            if self.strides[k] == whole
            and _NEAR[0] <= kernel.shape[-1] * self.dtypes[k].itemsize <= _NEAR[1]
        ]

    def _passes(self) -> list[Pass]:
        """Passes that go over a row."""
        return [p for p in self.stages.passes if p.reduces or p.stores or p.saves]

    def _split(self) -> tuple[str, int, int]:
        """What threads share, in how many parts, each of how much of it."""
        several, size = 4 * self.threads, self.row[-1].size
        if self.outer:
            n = self.outer[0].size
            step = -(-n // several)
            return "outer", -(-n // step), step
        if self.folds:
            n = self.folds[0].size
            wide = not self.kernel.rows and size >= _COLUMNS * self.threads
            if wide and (n < several or size > _PRIVATE):
                step = -(-size // several)
                self.tile = min(_TILE, -(-step // self.width) * self.width)
                return "tile", -(-size // self.tile), self.tile
            each = sum(
                self._size_of(j) * self.dtypes[len(self.kernel.operands) + j].itemsize
                for j in self._folded_results()
            )
            tasks = min(self.threads, _STACK // each)
            if tasks < 2:
                return "", 0, 0
            step = -(-n // tasks)
            return "fold", -(-n // step), step
        whole = size // self.width * self.width
        if self.kernel.rows or whole < several * self.width:
            return "", 0, 0
        step = max(-(-whole // several // self.width) * self.width, _CHUNK)
        return "row", -(-whole // step), step

    def _folded_bytes(self, axes: Sequence[int]) -> int:
        """Bytes of what is folded along some axes; without rows, of a tile of them."""
        total = 0
        for j in self._folded_results():
            strides = self.kernel.results[j].strides
            size = math.prod(self.kernel.shape[a] for a in axes if strides[a])
            size = size if self.kernel.rows else min(size, _TILE)
            total += size * self.dtypes[len(self.kernel.operands) + j].itemsize
        return total

    def _inner_axes(self) -> tuple[int, ...]:
        """Axes of a row, or the last one where there are no rows."""
        shape, rows = self.kernel.shape, self.kernel.rows
        return rows or tuple(a for a in range(len(shape)) if shape[a] > 1)[-1:]

    def _along(self, axes: Sequence[int]) -> tuple[int, ...]:
        """Strides of a row-major array of some axes."""
        strides, step = [0] * len(self.kernel.shape), 1
        for a in reversed(axes):
            strides[a] = step
            step *= self.kernel.shape[a]
        return tuple(strides)

    def _array(self, dtype: DType, strides: tuple[int, ...]) -> int:
        """An array of the kernel's own; returns its number."""
        self.dtypes.append(dtype)
        self.strides.append(strides)
        shape = self.kernel.shape
        size = math.prod(n for n, s in zip(shape, strides, strict=True) if s)
        self.own.append(size if self.kernel.rows else min(size, _TILE))
        return len(self.dtypes) - 1

    def _axes(self) -> tuple[list[_Axis], list[_Axis], list[_Axis]]:
        """Axes beyond the rows, those that are folded, and those of a row."""
        kernel = self.kernel
        found: dict[str, list[_Axis]] = {"outer": [], "fold": [], "row": []}
        inner = self._inner_axes()
        for a, n in enumerate(kernel.shape):
            if n == 1:
                continue
            role = "row" if a in kernel.rows else "fold" if a in kernel.folds else "outer"
            steps = tuple(s[a] for s in self.strides)
            axes = found[role]
            if axes and all(
                before == step * n for before, step in zip(axes[-1].strides, steps, strict=True)
            ):
                axes[-1] = _Axis(axes[-1].size * n, steps)
            else:
                axes.append(_Axis(n, steps))
        if not kernel.rows and inner:
            found["row"].append(found["outer"].pop())
        if not found["row"]:
            found["row"].append(_Axis(1, (0,) * len(self.strides)))
        return found["outer"], found["fold"], found["row"]

    # threads -------------------------------------------------------------------------------------
    def _folded_results(self) -> list[int]:
        return [j for j, r in enumerate(self.kernel.results) if r.fold is not None]

    def _size_of(self, j: int) -> int:
        """Elements of a result."""
        strides = self.kernel.results[j].strides
        return math.prod(n for n, s in zip(self.kernel.shape, strides, strict=True) if s)

    def allocate(self, block: Block) -> list[str]:
        """Addresses of the folded results of all tasks, where each task has its own."""
        if self.shared != "fold":
            return []
        found = []
        for j in self._folded_results():
            size, dtype = self.tasks * self._size_of(j), self.dtypes[len(self.kernel.operands) + j]
            found.append(block.let(f"alloca [{size} x {KINDS[dtype.name]}], align 64"))
        return found

    def gather(self, block: Block, pointers: Sequence[str]) -> None:
        """Merge the folded results of all tasks, in their order."""
        if self.shared != "fold":
            return
        count = len(self.kernel.operands)
        parts = pointers[count + len(self.kernel.results) :]
        vectors = Vectors(block, self.width)
        for j, part in zip(self._folded_results(), parts, strict=True):
            self._gather(vectors, j, pointers[count + j], part)

    def _gather(self, vectors: Vectors, j: int, result: str, part: str) -> None:
        """Merge a folded result of all tasks."""
        size, (op, dtype), block = self._size_of(j), self._fold_of(j), vectors.block
        bases = [
            block.let(f"getelementptr i8, ptr {part}, i64 {task * size * dtype.itemsize}")
            for task in range(self.tasks)
        ]

        def some(index: str, count: int | None) -> list[str]:
            total = vectors.neutral(op, dtype)
            for base in bases:
                found = vectors.load(base, index, dtype, count)
                total = vectors.merged(op, dtype, total, found)
            vectors.store(result, index, dtype, count, total)
            return []

        whole = size // self.width * self.width
        if whole:
            block.loop(whole, self.width, [], lambda index, _: some(index, None))
        if whole < size:
            some(str(whole), size - whole)

    # writing -------------------------------------------------------------------------------------
    def write(self, pointers: Sequence[str], task: str = "") -> None:
        """Write the loops, for the addresses of operands and results, or a task of them."""
        count = len(self.kernel.operands) + len(self.kernel.results)
        bases = list(pointers[:count])
        for k, o in enumerate(self.kernel.operands):
            if o.offset:
                offset = o.offset * o.dtype.itemsize
                bases[k] = self.block.let(f"getelementptr i8, ptr {bases[k]}, i64 {offset}")
        for dtype, size in zip(self.dtypes[count:], self.own, strict=True):
            if len(bases) == self.indices:
                bases.append("null")
                continue
            bases.append(self.block.let(f"alloca [{size} x {KINDS[dtype.name]}], align 64"))
        if self.shared == "fold":
            for j, part in zip(self._folded_results(), pointers[count:], strict=True):
                k = len(self.kernel.operands) + j
                step = self._size_of(j) * self.dtypes[k].itemsize
                own = self.block.let(f"mul i64 {task}, {step}")
                bases[k] = self.block.let(f"getelementptr i8, ptr {part}, i64 {own}")
        self.task = task
        if self.shared == "row":
            whole = self.row[-1].size // self.width * self.width
            begin = self.block.let(f"mul i64 {task}, {self.step}")
            last = self.block.let(f"icmp eq i64 {task}, {self.tasks - 1}")
            self.range = begin, self._stop(begin, self.step, whole), last
        self._beyond(0, bases)

    def _part(self, size: int) -> tuple[str, str]:
        """Begin and end of the task along the axis that is shared."""
        begin = self.block.let(f"mul i64 {self.task}, {self.step}")
        return begin, self._stop(begin, self.step, size)

    def _at(self, bases: Sequence[str], axis: _Axis, index: str) -> list[str]:
        """Addresses at an index along an axis."""
        found = []
        for base, dtype, stride in zip(bases, self.dtypes, axis.strides, strict=True):
            if stride:
                offset = self.block.let(f"mul i64 {index}, {stride * dtype.itemsize}")
                base = self.block.let(f"getelementptr i8, ptr {base}, i64 {offset}")
            found.append(base)
        return found

    def _along_axis(
        self,
        axis: _Axis,
        bases: list[str],
        body: Callable[[list[str]], None],
        part: tuple[str, str] | None = None,
    ) -> None:
        """A loop over an axis, or a part of it."""

        def turn(index: str, _: list[str]) -> list[str]:
            body(self._at(bases, axis, index))
            return []

        begin, end = part or ("0", str(axis.size))
        self.block.loop(end, 1, [], turn, begin)

    def _beyond(self, depth: int, bases: list[str]) -> None:
        """Loops over the axes beyond the rows."""
        if depth < len(self.outer):
            axis = self.outer[depth]
            part = self._part(axis.size) if depth == 0 and self.shared == "outer" else None
            self._along_axis(axis, bases, lambda b: self._beyond(depth + 1, b), part)
            return
        last = self.row[-1]
        if not self.folds or self.kernel.rows or last.size <= self.tile:
            self._folded(bases, self.row)
            return
        steps = tuple(0 if k in self.partial.values() else s for k, s in enumerate(last.strides))
        tiles = _Axis(last.size // self.tile, tuple(self.tile * s for s in steps))
        tile, rest = [_Axis(self.tile, last.strides)], last.size % self.tile
        end = [_Axis(rest, last.strides)]
        if self.shared == "tile":
            block = self.block
            at = self._at(bases, tiles, self.task)
            if not rest:
                self._folded(at, tile)
                return
            is_rest = block.let(f"icmp eq i64 {self.task}, {tiles.size}")
            block.branch(is_rest, lambda: self._folded(at, end), lambda: self._folded(at, tile))
            return
        self._along_axis(tiles, bases, lambda b: self._folded(b, tile))
        if rest:
            self._folded(self._at(bases, tiles, str(tiles.size)), end)

    # folding -------------------------------------------------------------------------------------
    def _folded(self, bases: list[str], row: list[_Axis]) -> None:
        """Loops over the folded axes."""
        if not self.folds:
            self._row(bases, row)
            return
        count = len(self.kernel.operands)
        self._fill(bases, row, {j: count + j for j in self._folded_results()})
        self._fold(0, bases, row)

    def _fold(self, depth: int, bases: list[str], row: list[_Axis]) -> None:
        axis = self.folds[depth]
        part = self._part(axis.size) if depth == 0 and self.shared == "fold" else None
        if depth < len(self.folds) - 1:
            self._along_axis(axis, bases, lambda b: self._fold(depth + 1, b, row), part)
        elif not self.partial:
            self._along_axis(axis, bases, lambda b: self._row(b, row), part)
        else:
            begin, end = part or ("0", str(axis.size))

            def blocks(start: str, _: list[str]) -> list[str]:
                self._fill(bases, row, self.partial)

                def turn(index: str, _: list[str]) -> list[str]:
                    self._row(self._at(bases, axis, index), row)
                    return []

                self.block.loop(self._stop(start, _TERMS, end), 1, [], turn, start)
                self._flush(bases, row)
                return []

            self.block.loop(end, _TERMS, [], blocks, begin)

    def _stop(self, start: str, step: int, size: int | str) -> str:
        """Where a block ends."""
        stop = self.block.let(f"add i64 {start}, {step}")
        last = self.block.let(f"icmp ult i64 {stop}, {size}")
        return self.block.let(f"select i1 {last}, i64 {stop}, i64 {size}")

    def _fill(self, bases: list[str], row: list[_Axis], arrays: dict[int, int]) -> None:
        """Have arrays of results hold what merges to nothing."""
        for j, k in arrays.items():
            value = self.vectors.neutral(self._fold_of(j)[0], self.dtypes[k])
            self._each(bases, row, j, functools.partial(_put, k, value))

    def _flush(self, bases: list[str], row: list[_Axis]) -> None:
        """Merge results of a block with those before it."""
        count = len(self.kernel.operands)
        for j, k in self.partial.items():

            def one(put: Any, j: int = j, k: int = k) -> None:
                value = self.vectors.merged(*self._fold_of(j), put(count + j), put(k))
                put(count + j, value)

            self._each(bases, row, j, one)

    def _fold_of(self, j: int) -> Merge:
        result = self.kernel.results[j]
        assert result.fold is not None
        return result.fold, self.kernel.nodes[result.node].dtype

    def _each(self, bases: list[str], row: list[_Axis], j: int, do: Callable[[Any], None]) -> None:
        """Do something at each place in a row of a result, with a function to load and store."""
        vectors = self.vectors
        if not self._is_stored_each(j):

            def put(k: int, value: str | None = None) -> Any:
                if value is None:
                    return vectors.load_one(bases[k], self.dtypes[k])
                return vectors.store_one(bases[k], self.dtypes[k], value)

            do(put)
            return

        def at(bases: list[str], _: _Axis) -> Any:
            def body(index: str, count: int | None, totals: list[str]) -> list[str]:
                def put(k: int, value: str | None = None) -> Any:
                    if value is None:
                        return vectors.load(bases[k], index, self.dtypes[k], count)
                    return vectors.store(bases[k], index, self.dtypes[k], count, value)

                do(put)
                return totals

            return body

        self._nest(row, bases, [], at)

    def _is_stored_each(self, j: int) -> bool:
        """Whether a result is stored for each element of a row, and not once a row."""
        return any(j in p.stores for p in self.stages.passes)

    # rows ----------------------------------------------------------------------------------------
    def _row(self, bases: list[str], row: list[_Axis]) -> None:
        """Passes over a row, and what is computed and stored once a row."""
        kernel, names = self.kernel, dict[int, str]()
        passes = self._passes()
        for part in self.stages.passes:
            for i in part.before:
                self._compute(i, names, bases)
            if part not in passes:
                continue
            merges = [(kernel.nodes[i].value, kernel.nodes[i].dtype) for i in part.reduces]
            ahead = self.ahead if [part] == passes[1:2] else []
            totals = self._nest(row, bases, merges, self._pass(part, names, ahead))
            for i, merge, total in zip(part.reduces, merges, totals, strict=True):
                names[i] = self.vectors.folded(*merge, total)
        for j, r in enumerate(kernel.results):
            if not self._is_stored_each(j):
                value, k = names[r.node], self.partial.get(j, len(kernel.operands) + j)
                if r.fold is not None:
                    before = self.vectors.load_one(bases[k], self.dtypes[k])
                    value = self.vectors.merged(*self._fold_of(j), before, value)
                self.vectors.store_one(bases[k], self.dtypes[k], value)

    def _compute(self, i: int, names: dict[int, str], bases: list[str]) -> None:
        """A node that is one for the whole row."""
        node = self.kernel.nodes[i]
        if node.op == "load":
            names[i] = self.vectors.load_one(bases[node.value], node.dtype)
        elif node.op != "reduce":
            self._operation(i, names)

    def _operation(self, i: int, names: dict[int, str]) -> None:
        node = self.kernel.nodes[i]
        if node.op == "constant":
            names[i] = self.vectors.constant(node.value, node.dtype)
        else:
            of = self.kernel.nodes[node.operands[0]].dtype
            names[i] = self.vectors.operation(node, of, [names[o] for o in node.operands])

    def _nest(
        self, axes: Sequence[_Axis], bases: list[str], merges: Sequence[Merge], at: Any
    ) -> list[str]:
        """Loops over the axes of a row; returns what has been merged.

        Parameters
        ----------
        at : callable
            From addresses, and the last axis, to what writes the body: a function of the index, the
            count of elements that are there (None for all), and what has been merged, to what then
            has been.
        """
        axis, *rest = axes
        vectors, block = self.vectors, self.block
        neutral = [(vectors.kind(dtype), vectors.neutral(op, dtype)) for op, dtype in merges]

        def both(totals: list[str], found: list[str]) -> list[str]:
            parts = zip(merges, totals, found, strict=True)
            return [vectors.merged(op, dtype, x, y) for (op, dtype), x, y in parts]

        if rest:
            return block.loop(
                axis.size,
                1,
                neutral,
                lambda index, totals: both(
                    totals, self._nest(rest, self._at(bases, axis, index), merges, at)
                ),
            )
        body = at(bases, axis)
        whole = axis.size // self.width * self.width
        totals = [first for _, first in neutral]
        if merges and whole > 2 * _TERMS * self.width:
            step = _TERMS * self.width

            def blocks(start: str, totals: list[str]) -> list[str]:
                stop = self._stop(start, step, whole)
                found = block.loop(stop, self.width, neutral, lambda i, t: body(i, None, t), start)
                return both(totals, found)

            totals = block.loop(whole, step, neutral, blocks)
        elif self.range is not None:
            begin, end, last = self.range
            block.loop(end, self.width, [], lambda i, t: body(i, None, t), begin)
            if whole < axis.size:
                block.branch(last, lambda: body(str(whole), axis.size - whole, []))
            return []
        elif whole:
            totals = block.loop(whole, self.width, neutral, lambda i, t: body(i, None, t))
        if whole < axis.size:
            totals = body(str(whole), axis.size - whole, totals)
        return totals

    def _pass(self, part: Pass, of_row: dict[int, str], ahead: Sequence[int]) -> Any:
        """What writes the body of a pass (see `_nest`), which asks for the next row of `ahead`."""
        kernel, vectors = self.kernel, self.vectors

        def at(bases: list[str], axis: _Axis) -> Any:
            steady = {
                i: vectors.load_one(bases[kernel.nodes[i].value], kernel.nodes[i].dtype)
                for i in part.nodes
                if kernel.nodes[i].op == "load" and not axis.strides[kernel.nodes[i].value]
            }

            def body(index: str, count: int | None, totals: list[str]) -> list[str]:
                names = of_row | steady
                for k in ahead if count is None else ():
                    vectors.prefetch(bases[k], index, self.dtypes[k], axis.size)
                for i in part.nodes:
                    node = kernel.nodes[i]
                    if i in part.loads:
                        k = self.saved[i]
                        names[i] = vectors.load(bases[k], index, node.dtype, count)
                    elif node.op == "index":
                        names[i] = vectors.index(bases[self.indices], index)
                    elif node.op != "load":
                        self._operation(i, names)
                    elif i not in steady:
                        names[i] = vectors.load(bases[node.value], index, node.dtype, count)
                for i in part.saves:
                    vectors.store(
                        bases[self.saved[i]], index, kernel.nodes[i].dtype, count, names[i]
                    )
                for j in part.stores:
                    r = kernel.results[j]
                    value, k = names[r.node], self.partial.get(j, len(kernel.operands) + j)
                    if r.fold is not None:
                        before = vectors.load(bases[k], index, self.dtypes[k], count)
                        value = vectors.merged(*self._fold_of(j), before, value)
                    vectors.store(bases[k], index, self.dtypes[k], count, value)
                merged = []
                for i, total in zip(part.reduces, totals, strict=True):
                    node = kernel.nodes[i]
                    value = vectors.masked(node.value, node.dtype, names[node.operands[0]], count)
                    merged.append(vectors.merged(node.value, node.dtype, total, value))
                return merged

            return body

        return at


def _put(k: int, value: str, put: Callable[..., Any]) -> None:
    put(k, value)


def _widths(kernel: Kernel) -> list[int]:
    """Bytes of scalars; of what is only converted to be reduced, those before."""
    nodes = kernel.nodes
    readers: dict[int, set[str]] = {}
    for n in nodes:
        for o in n.operands:
            readers.setdefault(o, set()).add(n.op)
    for r in kernel.results:
        readers.setdefault(r.node, set()).add("store")
    return [
        n.dtype.itemsize
        for i, n in enumerate(nodes)
        if not (n.op == "convert" and readers.get(i) == {"reduce"}) and n.op != "reduce"
    ] or [1]
