"""Convolutions in native code: sums of products kept in registers, no columns, no tiles.

Arrays are laid out anew first. *Planes* of an operand get their padding, so that what an element of
the kernel (a tap) sees of a plane is that plane from some offset on: places of the result are
counted along padded rows, and those beyond a row are left out when a vector is stored. The weight
is laid out in panels of some outputs. Then

- the result is made in blocks of vectors of places by some outputs: each number of a panel is
  spread over a vector, and multiplied with vectors of the plane. Or, if that is faster, in blocks
  of vectors of outputs by some places side by side: each number of the plane is spread, and
  multiplied with vectors of the panel. No places are left out then, but outputs of the last vector;
- the weight's cotangent is made in blocks of all taps of a channel, or of several, by vectors of
  outputs, for which the cotangent of the result is laid out with outputs last.

The input's cotangent is a convolution with the kernel turned around. Only strides of 1 are here.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product
from typing import Final, NamedTuple

from volta.compile.native import workers
from volta.compile.native.arrays import ALIGNED, ROW_MAJOR, Argument, begin, elements, end
from volta.compile.native.machine import vector_bytes
from volta.compile.native.panels import transposed
from volta.compile.native.vectors import KINDS, Block, Vectors
from volta.core.types import ArrayType, DType
from volta.core.wengert import Entry

__all__ = ["Convolution", "convolution_of", "written"]

_TAPS: Final = 27  # of a kernel, at most: as many sums of a channel stay in registers
_WORK: Final = 1 << 14  # multiplications from which laying out is worth it
_CACHE: Final = 1 << 19  # bytes that stay near a core
_LONG: Final = 1 << 18  # multiplications that are worth letting other threads of Python run
_SHARED: Final = 1 << 21  # and those that are worth to be shared by workers
_TASKS: Final = 4  # of a weight's cotangent that each thread has, if there are so many

Sizes = tuple[int, ...]


class Convolution(NamedTuple):
    """A map of convolution, with strides of 1.

    Attributes
    ----------
    which : str
        "result", of x and w; "input", of y and w, seen as a result of a turned kernel; "weight",
        of x and y.
    batch, groups, inputs, outputs : int
        Inputs and outputs of a group; of "input" those of the turned kernel.
    x, kernel, y : tuple of int
        Lengths in space.
    padding : tuple of (int, int)
    dilation : tuple of int
    """

    which: str
    dtype: DType
    batch: int
    groups: int
    inputs: int
    outputs: int
    x: Sizes
    kernel: Sizes
    y: Sizes
    padding: tuple[tuple[int, int], ...]
    dilation: Sizes

    @property
    def padded(self) -> Sizes:
        """Lengths of a plane."""
        return tuple(n + low + high for n, (low, high) in zip(self.x, self.padding, strict=True))

    @property
    def steps(self) -> Sizes:
        """Elements from one place of a plane to the next, along each axis."""
        return _steps(self.padded)

    @property
    def taps(self) -> list[int]:
        """Where in a plane each tap begins to see."""
        places = product(*(range(k) for k in self.kernel))
        return [
            sum(i * d * s for i, d, s in zip(place, self.dilation, self.steps, strict=True))
            for place in places
        ]

    @property
    def shape(self) -> Sizes:
        """Shape of what is computed."""
        if self.which == "weight":
            return (self.groups * self.outputs, self.inputs, *self.kernel)
        return (self.batch, self.groups * self.outputs, *self.y)

    @property
    def work(self) -> int:
        """Multiplications."""
        products = self.groups * self.inputs * self.outputs * math.prod(self.kernel)
        return self.batch * math.prod(self.y) * products

    @property
    def scratch(self) -> int:
        """Bytes of what is laid out anew."""
        return _Layout(self).bytes


def _steps(lengths: Sizes) -> Sizes:
    """Elements from one place to the next along each axis, in row-major order."""
    return tuple(math.prod(lengths[a + 1 :]) for a in range(len(lengths)))


def convolution_of(e: Entry, types: dict[int, ArrayType]) -> Convolution | None:
    """Convolution that an entry is, if there is native code for it."""
    which = {"conv": "result", "conv_input": "input", "conv_weight": "weight"}.get(e.primitive.name)
    if which is None or not all(type(o) is int for o in e.operands) or e.params["algo"] != "auto":
        return None
    a, b, out = (types[v] for v in (*e.operands, *e.results))
    params, groups = e.params, e.params["groups"]
    if a.dtype is not b.dtype or a.dtype.name not in ("float32", "float64"):
        return None
    if any(s != 1 for s in params["stride"]) or not math.prod((*a.shape, *b.shape, *out.shape)):
        return None
    padding, dilation = params["padding"], params["dilation"]
    x, w, y = {"result": (a, b, out), "input": (out, b, a), "weight": (a, out, b)}[which]
    kernel = w.shape[2:]
    inputs, outputs = w.shape[1], w.shape[0] // groups
    lengths = x.shape[2:], kernel, y.shape[2:]
    if which == "input":
        reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        padding = tuple((r - low, r - high) for r, (low, high) in zip(reach, padding, strict=True))
        inputs, outputs, lengths = outputs, inputs, (lengths[2], kernel, lengths[0])
    found = Convolution(
        which, a.dtype, x.shape[0], groups, inputs, outputs, *lengths, padding, dilation
    )
    fits = all(
        n == p - d * (k - 1)
        for n, p, d, k in zip(found.y, found.padded, dilation, kernel, strict=True)
    )
    if not fits or min((n for pair in padding for n in pair), default=0) < 0:
        return None
    if math.prod(kernel) > _TAPS or found.work < _WORK:
        return None
    return found


class _Layout:
    """How arrays are laid out anew, and the blocks of what is computed.

    Attributes
    ----------
    lanes : int
        Elements of a vector.
    rows, columns : int
        Of a block: outputs (of a weight's cotangent channels), and vectors.
    runs : tuple of int
        Places side by side whose outputs are in vectors, along a line; empty if vectors are of
        places.
    channels, span, part : int
        Of a weight's cotangent: how many times `rows` channels there are, for how many of them a
        task goes over the result's cotangent, and how much of its first axis stays near meanwhile.
    """

    def __init__(self, c: Convolution) -> None:
        self.c = c
        wide = vector_bytes()
        self.lanes = wide // c.dtype.itemsize
        self.plane, self.taps = math.prod(c.padded), len(c.taps)
        self.places = math.prod(c.y)
        # places along padded rows, in vectors
        last = sum((n - 1) * s for n, s in zip(c.y, c.steps, strict=True))
        self.vectors = last // self.lanes + 1
        if c.which == "weight":
            sums = 27 if wide == 64 else 12  # registers but for operands
            vectors = -(-c.outputs // self.lanes)
            most = max(1, min(3, sums // self.taps, vectors))
            self.columns = min(range(1, most + 1), key=lambda n: (-vectors % n, -n))
            self.rows = max(1, sums // (self.taps * self.columns))
            self.wide = self.columns * self.lanes  # outputs of a block
            self.blocks = -(-c.outputs // self.wide)
            self.channels = -(-c.inputs // self.rows)
            few = c.groups * self.blocks * self.channels // (_TASKS * workers.threads())
            self.span = _divisor(self.channels, few)
            line = self.places // c.y[0] * self.wide * c.dtype.itemsize
            self.part = _divisor(c.y[0], _CACHE // line)
            sizes = [
                c.batch * c.groups * c.inputs * self.plane + self.lanes,
                c.groups * self.blocks * c.batch * self.places * self.wide,
                c.groups * self.blocks * self.channels * self.rows * self.taps * self.wide,
            ]
        else:
            tile = min(_by_places(c, wide, self.vectors), _by_outputs(c, wide))
            _, self.rows, self.columns, self.runs = tile
            self.blocks = -(-c.outputs // self.rows)
            sizes = [
                c.batch * c.groups * c.inputs * self.plane + (self.columns + 1) * self.lanes,
                c.groups * self.blocks * c.inputs * self.taps * self.rows,
            ]
        self.offsets: list[int] = []
        total = 0
        for n in sizes:
            self.offsets.append(total)
            total += -(-n * c.dtype.itemsize // 64) * 64
        self.bytes = total + 64


class _Tile(NamedTuple):
    """A block of a result, and cycles that an image takes in such blocks, by estimate.

    Two products, or two loads, take a cycle, and the sum of a product four.
    """

    cycles: float
    rows: int
    columns: int
    runs: tuple[int, ...] = ()


def _by_places(c: Convolution, wide: int, vectors: int) -> _Tile:
    """A block of rows of outputs in vectors of places."""
    few = 24 if wide == 64 else 10
    half = (few // 2, few // 3, few // 4)
    rows = min(half, key=lambda r: (-c.outputs % r, -r)) if c.outputs > few // 2 else c.outputs
    columns = max(1, few // rows)
    loads = rows + columns * (2 if wide == 64 else 1.5)  # of vectors from anywhere, in two lines
    stores = rows * columns * (6 if wide == 64 else 40)  # of which numbers are left out
    each = c.inputs * math.prod(c.kernel) * max(rows * columns, loads, 8) / 2 + stores
    return _Tile(-(-c.outputs // rows) * -(-vectors // columns) * each, rows, columns)


def _by_outputs(c: Convolution, wide: int) -> _Tile:
    """A block of runs of places side by side in vectors of outputs."""
    lanes, registers = wide // c.dtype.itemsize, 32 if wide == 64 else 16
    length, lines = c.y[-1], math.prod(c.y[:-1])

    def tile(columns: int) -> _Tile:
        # besides sums there are vectors of a panel, and an element that is spread
        most = (registers - 1 - columns) // columns
        count = -(-length // most)
        runs = tuple((length + i) // count for i in range(count))
        depth = c.inputs * math.prod(c.kernel)
        squares = sum(-(-n // lanes) for n in runs) * columns * 20 * lanes  # turned and stored
        cycles = sum(max(n * columns, n + columns, 8) for n in runs) * depth / 2 + squares
        rows = columns * lanes
        return _Tile(lines * -(-c.outputs // rows) * cycles, rows, columns, runs)

    return min(map(tile, (2, 3, 1, 4)), key=lambda t: t.cycles)


def _divisor(n: int, most: int) -> int:
    """The largest divisor that is at most `most`, or 1."""
    return next((d for d in range(min(n, most), 1, -1) if n % d == 0), 1)


def written(name: str, c: Convolution) -> list[Block]:
    """Text of the function of a convolution, and of those of its parts."""
    shapes = _shapes(c)
    operands = [Argument(c.dtype, s, ROW_MAJOR | ALIGNED) for s in shapes]
    block, arrays = begin(name, operands, 2)
    data = elements(block, arrays)
    thread = block.let("call ptr @PyEval_SaveThread()") if c.work > _LONG else ""
    layout = _Layout(c)
    scratch = block.aligned(data[3])
    given = [*data[:3], scratch]
    shared = workers.threads() > 1 and c.work > _SHARED
    parts = []
    for i, (count, write) in enumerate(_Writer(layout).phases()):
        part = Block(f"void @{name}.part{i}(ptr %context, i64 %task)", "internal")
        write(part, workers.take_job(part, ["ptr"] * 4), "%task")
        part.put("ret void")
        part.end()
        parts.append(part)
        context = [("ptr", pointer) for pointer in given]
        workers.put_job(block, f"{name}.part{i}", context, count, shared)
    if thread:
        block.put(f"call void @PyEval_RestoreThread(ptr {thread})")
    end(block)
    return [*parts, block]


def _shapes(c: Convolution) -> list[Sizes]:
    """Shapes of the operands."""
    x = (c.batch, c.groups * c.inputs, *c.x)
    if c.which == "weight":
        return [x, (c.batch, c.groups * c.outputs, *c.y)]
    outputs, inputs = (c.inputs, c.outputs) if c.which == "input" else (c.outputs, c.inputs)
    return [x, (c.groups * outputs, inputs, *c.kernel)]


Pointers = Sequence[str]


class _Writer:
    """The phases of a convolution, each a function of a task."""

    def __init__(self, layout: _Layout) -> None:
        self.layout, self.c = layout, layout.c
        self.kind = KINDS[self.c.dtype.name]
        self.size = self.c.dtype.itemsize

    def phases(self) -> list[tuple[int, Callable[[Block, Pointers, str], None]]]:
        """How many tasks each has, and what writes one."""
        c, y = self.c, self.layout
        if c.which == "weight":
            return [
                (c.batch * c.groups * c.inputs, self._pad),
                (c.batch * c.groups * y.blocks, self._turn),
                (c.groups * y.blocks * y.channels // y.span, self._weight),
                (c.groups * y.blocks, self._gather),
            ]
        return [
            (c.batch * c.groups * c.inputs, self._pad),
            (c.groups * y.blocks, self._panel),
            (c.batch * c.groups * y.blocks, self._result),
        ]

    # addresses -----------------------------------------------------------------------------------
    def _at(self, block: Block, base: str, index: str | int, step: int = 1) -> str:
        """Address of the element ``index · step`` of an array."""
        return block.at(base, index, step * self.size)

    def _own(self, block: Block, scratch: str, part: int) -> str:
        """Address of a part of the scratch memory."""
        return block.let(f"getelementptr i8, ptr {scratch}, i64 {self.layout.offsets[part]}")

    def _each_line(
        self,
        block: Block,
        lengths: Sizes,
        pointers: Sequence[tuple[str, Sizes]],
        write: Callable[[str, str], None],
    ) -> None:
        """Write `write` for all lines along the last axis; with pointers their steps are given."""

        def along(axis: int, *own: str) -> None:
            if axis == len(lengths) - 1:
                write(*own)
                return
            steps = [step[axis] for _, step in pointers]

            def one(i: str) -> None:
                pairs = zip(own, steps, strict=True)
                along(axis + 1, *(self._at(block, pointer, i, step) for pointer, step in pairs))

            block.each(lengths[axis], one)

        along(0, *(pointer for pointer, _ in pointers))

    # laying out ----------------------------------------------------------------------------------
    def _pad(self, block: Block, pointers: Pointers, task: str) -> None:
        """A plane of x in zeros."""
        c, y = self.c, self.layout
        source = self._at(block, pointers[0], task, math.prod(c.x))
        plane = self._at(block, self._own(block, pointers[3], 0), task, y.plane)
        if any(n for pair in c.padding for n in pair):
            zero = (("ptr", plane), ("i8", "0"), ("i64", str(y.plane * self.size)), ("i1", "false"))
            block.put(block.call("void", "llvm.memset.p0.i64", *zero))
        inner = c.x[-1]
        first = sum(low * s for (low, _), s in zip(c.padding, c.steps, strict=True))
        vectors = Vectors(block, y.lanes)

        def line(source: str, target: str) -> None:
            def copied(index: str, count: int | None) -> None:
                value = vectors.load(source, index, c.dtype, count)
                vectors.store(target, index, c.dtype, count, value)

            whole = inner // y.lanes * y.lanes
            if whole:
                block.each(whole, lambda i: copied(i, None), y.lanes)
            if whole < inner:
                copied(str(whole), inner - whole)

        sides = [(source, _steps(c.x)), (self._at(block, plane, first), c.steps)]
        self._each_line(block, c.x, sides, line)

    def _panel(self, block: Block, pointers: Pointers, task: str) -> None:
        """The weight of some outputs: (inputs, taps, outputs)."""
        c, y = self.c, self.layout
        group, number = block.places(task, y.blocks)
        first = block.let(f"mul i64 {number}, {y.rows}")
        target = self._own(block, pointers[3], 1)
        target = self._at(block, target, task, c.inputs * y.taps * y.rows)
        last = c.outputs - 1
        turned = c.which == "input"
        of_output, of_input = (
            (y.taps, c.outputs * y.taps) if turned else (c.inputs * y.taps, y.taps)
        )
        base = self._at(block, pointers[1], group, c.inputs * c.outputs * y.taps)
        rows = []
        for m in range(y.rows):
            own = block.let(f"add i64 {first}, {m}")
            there = block.let(f"icmp ult i64 {own}, {last}")
            own = block.let(f"select i1 {there}, i64 {own}, i64 {last}")  # any; none is stored
            rows.append(self._at(block, base, own, of_output))

        def one(i: str) -> None:
            line = self._at(block, target, i, y.taps * y.rows)
            begin = block.let(f"mul i64 {i}, {of_input}")

            def tap(t: str) -> None:
                own = block.let(f"sub i64 {y.taps - 1}, {t}") if turned else t
                place, to = block.let(f"add i64 {begin}, {own}"), self._at(block, line, t, y.rows)
                for m, row in enumerate(rows):
                    at = block.let(f"getelementptr {self.kind}, ptr {row}, i64 {place}")
                    self._put(block, to, m, block.let(f"load {self.kind}, ptr {at}"))

            block.each(y.taps, tap)

        block.each(c.inputs, one)

    def _put(self, block: Block, base: str, index: int, value: str) -> None:
        place = block.let(f"getelementptr {self.kind}, ptr {base}, i64 {index}")
        block.put(f"store {self.kind} {value}, ptr {place}")

    def _turn(self, block: Block, pointers: Pointers, task: str) -> None:
        """Some outputs of an image of y: (places, outputs)."""
        c, y = self.c, self.layout
        group, number, image = block.places(task, y.blocks, c.batch)
        target = self._at(block, self._own(block, pointers[3], 1), task, y.places * y.wide)
        base = self._at(block, pointers[1], image, c.groups * c.outputs * y.places)
        base = self._at(block, base, group, c.outputs * y.places)
        first = block.let(f"mul i64 {number}, {y.wide}")
        rows = []
        for m in range(y.wide):
            own = block.let(f"add i64 {first}, {m}")
            there = block.let(f"icmp ult i64 {own}, {c.outputs - 1}")
            own = block.let(f"select i1 {there}, i64 {own}, i64 {c.outputs - 1}")
            rows.append(self._at(block, base, own, y.places))

        def one(place: str) -> None:
            to = self._at(block, target, place, y.wide)
            for m in range(y.wide):
                at = block.let(f"getelementptr {self.kind}, ptr {rows[m]}, i64 {place}")
                self._put(block, to, m, block.let(f"load {self.kind}, ptr {at}"))

        block.each(y.places, one)

    # sums of products ----------------------------------------------------------------------------
    def _product(self, block: Block, vector: str, x: str, y: str, total: str) -> str:
        kind = f"v{self.layout.lanes}f{8 * self.size}"
        args = ((vector, x), (vector, y), (vector, total))
        return block.let(block.call(vector, f"llvm.fma.{kind}", *args))

    def _result(self, block: Block, pointers: Pointers, task: str) -> None:
        """Some outputs of an image: all their places."""
        c, y = self.c, self.layout
        image, group, number = block.places(task, c.groups, y.blocks)
        place = block.let(f"mul i64 {image}, {c.groups}")
        place = block.let(f"add i64 {place}, {group}")
        planes = self._own(block, pointers[3], 0)
        planes = self._at(block, planes, place, c.inputs * y.plane)
        panel = block.let(f"mul i64 {group}, {y.blocks}")
        panel = block.let(f"add i64 {panel}, {number}")
        panel = self._at(block, self._own(block, pointers[3], 1), panel, c.inputs * y.taps * y.rows)
        out = self._at(block, pointers[2], place, c.outputs * y.places)
        out = self._at(block, out, number, y.rows * y.places)
        left = c.outputs - (y.blocks - 1) * y.rows  # outputs of the last block
        is_last = block.let(f"icmp eq i64 {number}, {y.blocks - 1}")
        if y.runs:
            self._lines(block, planes, panel, out, is_last, left)
            return
        stored = _Stored(self, block, out, is_last, left)

        def some(first: str, columns: int) -> None:
            sums = self._sums(block, self._at(block, planes, first, y.lanes), panel, columns)
            for m in range(y.rows):
                stored.row(first, m, sums[m * columns : (m + 1) * columns])

        whole = y.vectors // y.columns * y.columns
        if whole:
            block.each(
                whole // y.columns,
                lambda i: some(block.let(f"mul i64 {i}, {y.columns}"), y.columns),
            )
        if whole < y.vectors:
            some(str(whole), y.vectors - whole)

    def _lines(
        self, block: Block, planes: str, panel: str, out: str, is_last: str, left: int
    ) -> None:
        """Some outputs of an image, line by line of places, in vectors of outputs."""
        c, y = self.c, self.layout

        def line(planes: str, out: str) -> None:
            start = 0
            for length, count in Counter(y.runs).items():

                def run(i: str, length: int = length, start: int = start) -> None:
                    first = block.let(f"mul i64 {i}, {length}")
                    first = block.let(f"add i64 {first}, {start}")
                    sums = self._run(block, self._at(block, planes, first), panel, length)
                    self._store_run(block, self._at(block, out, first), sums, is_last, left)

                block.each(count, run)
                start += length * count

        self._each_line(block, c.y, [(planes, c.steps), (out, _steps(c.y))], line)

    def _run(self, block: Block, planes: str, panel: str, length: int) -> list[list[str]]:
        """Vectors of outputs of each of some places side by side."""
        c, y = self.c, self.layout
        vectors = Vectors(block, y.lanes)
        vector = vectors.kind(c.dtype)
        zeros = [(vector, "zeroinitializer")] * (length * y.columns)
        # Elements that two taps see are read twice: LLVM would keep vectors of them, on the stack.
        seen = [block.opaque(self._at(block, planes, tap)) for tap in c.taps[: c.kernel[-1]]]

        def channel(i: str, totals: list[str]) -> list[str]:
            own = [self._at(block, base, i, y.plane) for base in seen]
            weights = self._at(block, panel, i, y.taps * y.rows)
            for t in range(y.taps):
                line, column = divmod(t, c.kernel[-1])
                plane = self._at(block, own[column], c.taps[line * c.kernel[-1]])
                ws = [
                    vectors.load(weights, str(t * y.rows + v * y.lanes), c.dtype, None)
                    for v in range(y.columns)
                ]
                found: list[str] = []
                for p in range(length):
                    x = vectors.load_one(self._at(block, plane, p), c.dtype)
                    for w in ws:
                        found.append(self._product(block, vector, x, w, totals[len(found)]))
                totals = found
            return totals

        totals = block.loop(c.inputs, 1, zeros, channel)
        return [totals[p * y.columns : (p + 1) * y.columns] for p in range(length)]

    def _store_run(
        self, block: Block, out: str, sums: list[list[str]], is_last: str, left: int
    ) -> None:
        """Store what a run of places is of each output of a block."""
        c, y = self.c, self.layout
        vectors = Vectors(block, y.lanes)

        def store(outputs: int) -> None:
            for v in range(-(-outputs // y.lanes)):
                for first in range(0, len(sums), y.lanes):
                    own = [place[v] for place in sums[first : first + y.lanes]]
                    more = ["poison"] * (y.lanes - len(own))
                    square = transposed(vectors, own + more, c.dtype)
                    for m, x in enumerate(square[: outputs - v * y.lanes]):
                        row = self._at(block, out, v * y.lanes + m, y.places)
                        there = None if not more else len(own)
                        vectors.store(row, str(first), c.dtype, there, x)

        if left == y.rows or y.blocks == 1:
            store(left)
        else:
            block.branch(is_last, lambda: store(left), lambda: store(y.rows))

    def _sums(self, block: Block, planes: str, panel: str, columns: int) -> list[str]:
        """Vectors of places, `columns` for each output of a panel."""
        c, y = self.c, self.layout
        vectors = Vectors(block, y.lanes)
        vector = vectors.kind(c.dtype)
        zeros = [(vector, "zeroinitializer")] * (y.rows * columns)

        def channel(i: str, totals: list[str]) -> list[str]:
            plane = self._at(block, planes, i, y.plane)
            weights = self._at(block, panel, i, y.taps * y.rows)
            for t, tap in enumerate(c.taps):
                seen = [
                    vectors.load(plane, str(tap + v * y.lanes), c.dtype, None)
                    for v in range(columns)
                ]
                found = []
                for m in range(y.rows):
                    at = self._at(block, weights, t * y.rows + m)
                    w = vectors.load_one(at, c.dtype)
                    for v in range(columns):
                        total = totals[m * columns + v]
                        found.append(self._product(block, vector, w, seen[v], total))
                totals = found
            return totals

        return block.loop(c.inputs, 1, zeros, channel)

    def _weight(self, block: Block, pointers: Pointers, task: str) -> None:
        """All taps of some channels, by some outputs.

        All channels take a part of an image before the next one, while it is in a near cache.
        """
        c, y = self.c, self.layout
        sizes = y.rows * y.taps * y.wide
        group, number, part = block.places(task, y.blocks, y.channels // y.span)
        first = block.let(f"mul i64 {part}, {y.span}")
        lead = block.let(f"mul i64 {group}, {y.blocks}")
        lead = block.let(f"add i64 {lead}, {number}")
        turned = self._own(block, pointers[3], 1)
        turned = self._at(block, turned, lead, c.batch * y.places * y.wide)
        sums = self._own(block, pointers[3], 2)
        sums = self._at(block, sums, lead, y.channels * sizes)
        sums = self._at(block, sums, first, sizes)
        zero = ("i64", str(y.span * sizes * self.size)), ("i1", "false")
        block.put(block.call("void", "llvm.memset.p0.i64", ("ptr", sums), ("i8", "0"), *zero))
        planes = self._own(block, pointers[3], 0)
        planes = self._at(block, planes, group, c.inputs * y.plane)
        planes = self._at(block, planes, first, y.rows * y.plane)
        below = y.places // c.y[0] * y.wide

        def image(index: str) -> None:
            plane = self._at(block, planes, index, c.groups * c.inputs * y.plane)
            of_y = self._at(block, turned, index, y.places * y.wide)

            def some(index: str) -> None:
                at = self._at(block, plane, index, c.steps[0])
                seen = self._at(block, of_y, index, below)
                block.each(y.span, lambda i: channels(i, at, seen))

            block.each(c.y[0], some, y.part)

        def channels(i: str, plane: str, of_y: str) -> None:
            plane = self._at(block, plane, i, y.rows * y.plane)
            own = self._at(block, sums, i, sizes)
            left = c.inputs - (y.channels - 1) * y.rows
            if left == y.rows:
                self._taps(block, plane, of_y, own, y.rows)
                return
            place = block.let(f"add i64 {first}, {i}")
            is_last = block.let(f"icmp eq i64 {place}, {y.channels - 1}")
            block.branch(
                is_last,
                lambda: self._taps(block, plane, of_y, own, left),
                lambda: self._taps(block, plane, of_y, own, y.rows),
            )

        block.each(c.batch, image)

    def _taps(self, block: Block, plane: str, of_y: str, sums: str, rows: int) -> None:
        """Add a part of an image to the sums over places, for all taps of `rows` channels."""
        c, y = self.c, self.layout
        vectors = Vectors(block, y.lanes)
        vector = vectors.kind(c.dtype)
        seen = [i * y.plane + tap for i in range(rows) for tap in c.taps]
        count = len(seen) * y.columns

        def places(
            axis: int, length: int, plane: str, image: str, totals: list[str], below: int
        ) -> list[str]:
            """Along an axis of space; `below` is what an element of it is in places."""

            def turn(index: str, totals: list[str]) -> list[str]:
                at = self._at(block, plane, index, c.steps[axis])
                of_y = self._at(block, image, index, below * y.wide)
                if axis < len(c.y) - 1:
                    n = c.y[axis + 1]
                    return places(axis + 1, n, at, of_y, totals, below // n)
                ys = [vectors.load(of_y, str(v * y.lanes), c.dtype, None) for v in range(y.columns)]
                found = []
                for k, place in enumerate(seen):
                    x = vectors.load_one(self._at(block, at, place), c.dtype)
                    for v in range(y.columns):
                        total = totals[k * y.columns + v]
                        found.append(self._product(block, vector, x, ys[v], total))
                return found

            return block.loop(length, 1, [(vector, t) for t in totals], turn)

        totals = [vectors.load(sums, str(k * y.lanes), c.dtype, None) for k in range(count)]
        totals = places(0, y.part, plane, of_y, totals, y.places // c.y[0])
        for k, total in enumerate(totals):
            vectors.store(sums, str(k * y.lanes), c.dtype, None, total)

    def _gather(self, block: Block, pointers: Pointers, task: str) -> None:
        """The weight's cotangent of some outputs, in its own order."""
        c, y = self.c, self.layout
        group, number = block.places(task, y.blocks)
        size = c.inputs * y.taps
        padded = y.channels * y.rows * y.taps * y.wide
        sums = self._at(block, self._own(block, pointers[3], 2), task, padded)
        out = self._at(block, pointers[2], group, c.outputs * size)
        out = self._at(block, out, number, y.wide * size)
        left = c.outputs - (y.blocks - 1) * y.wide

        def some(count: int) -> None:
            def one(i: str) -> None:
                source, target = self._at(block, sums, i, y.wide), self._at(block, out, i)
                for m in range(count):
                    place = block.let(f"getelementptr {self.kind}, ptr {source}, i64 {m}")
                    value = block.let(f"load {self.kind}, ptr {place}")
                    self._put(block, target, m * size, value)

            block.each(size, one)

        if left == y.wide:
            some(y.wide)
            return
        is_last = block.let(f"icmp eq i64 {number}, {y.blocks - 1}")
        block.branch(is_last, lambda: some(left), lambda: some(y.wide))


class _Stored:
    """Rows of a block being stored, without what lies beyond the rows of the result."""

    def __init__(self, writer: _Writer, block: Block, out: str, is_last: str, left: int) -> None:
        self.writer, self.block, self.out = writer, block, out
        self.is_last, self.left = is_last, left
        c, y = writer.c, writer.layout
        masks, starts, count = [], [], 0
        inside = _inside(c)
        for v in range(y.vectors):
            lanes = [inside(v * y.lanes + i) for i in range(y.lanes)]
            masks.append(sum(1 << i for i, there in enumerate(lanes) if there))
            starts.append(count)
            count += sum(lanes)
        self.whole = all(m == 2**y.lanes - 1 for m in masks)
        kind = f"i{y.lanes}"
        self.masks = block.table(kind, masks)
        self.starts = block.table("i64", starts)

    def row(self, first: str, m: int, sums: Sequence[str]) -> None:
        """Store vectors of the output `m` of a block, from vector `first` on."""
        block, y = self.block, self.writer.layout
        if m < self.left:
            self._vectors(first, m, sums)
        elif y.blocks > 1:
            inner = block.let(f"xor i1 {self.is_last}, true")
            block.branch(inner, lambda: self._vectors(first, m, sums))

    def _vectors(self, first: str, m: int, sums: Sequence[str]) -> None:
        block, y, c = self.block, self.writer.layout, self.writer.c
        kind, lanes, mask_kind = f"i{y.lanes}", y.lanes, f"<{y.lanes} x i1>"
        vectors = Vectors(block, lanes)
        vector = vectors.kind(c.dtype)
        row = self.writer._at(block, self.out, m, y.places)
        suffix = f"v{lanes}f{8 * c.dtype.itemsize}"
        for v, total in enumerate(sums):
            number = block.let(f"add i64 {first}, {v}")
            at = block.let(f"getelementptr i64, ptr {self.starts}, i64 {number}")
            start = block.let(f"load i64, ptr {at}")
            place = block.let(f"getelementptr {self.writer.kind}, ptr {row}, i64 {start}")
            if self.whole:
                block.put(f"store {vector} {total}, ptr {place}, align {c.dtype.itemsize}")
                continue
            at = block.let(f"getelementptr {kind}, ptr {self.masks}, i64 {number}")
            bits = block.let(f"load {kind}, ptr {at}")
            mask = block.let(f"bitcast {kind} {bits} to {mask_kind}")
            packed = block.let(
                block.call(
                    vector,
                    f"llvm.experimental.vector.compress.{suffix}",
                    *((vector, total), (mask_kind, mask), (vector, "poison")),
                )
            )
            count = block.let(block.call(kind, f"llvm.ctpop.{kind}", (kind, bits)))
            wide = block.let(f"zext {kind} {count} to i64")
            ones = block.let(f"shl i64 1, {wide}")
            ones = block.let(f"sub i64 {ones}, 1")
            front = block.let(f"trunc i64 {ones} to {kind}")
            front = block.let(f"bitcast {kind} {front} to {mask_kind}")
            args = ((vector, packed), ("ptr", place), ("i32", str(c.dtype.itemsize)))
            store = f"llvm.masked.store.{suffix}.p0"
            block.put(block.call("void", store, *args, (mask_kind, front)))


def _inside(c: Convolution) -> Callable[[int], bool]:
    """Whether a place along padded rows is one of the result."""

    def inside(place: int) -> bool:
        for n, step in zip(c.y, c.steps, strict=True):
            if place // step >= n:
                return False
            place %= step
        return True

    return inside
