"""Products of large matrices in generated code, both laid out anew in panels.

A tile of the result is some rows by some vectors of columns, whose sums are in registers. Lines of
a panel of the first matrix are numbers of as many rows, each of which is spread over a vector, and
multiplied with a line of a panel of the second matrix.

All panels of the second are laid out first. A task lays out rows of the first, a part of the inner
axis at a time: a panel of it stays in the nearest cache while it meets panels of the second, some
of which stay in the next cache for all rows of the task. Where a result is much wider than high,
the first is laid out before, and a task lays out columns of the second.

After K. Goto, R. van de Geijn: Anatomy of high-performance matrix multiplication, ACM Transactions
on Mathematical Software 34 (2008), https://doi.org/10.1145/1356052.1356053.
"""

import math
from collections.abc import Callable
from typing import Final, NamedTuple

from volta.compile.native import workers
from volta.compile.native.machine import vector_bytes
from volta.compile.native.panels import Lying, Panels
from volta.compile.native.vectors import Block, Vectors
from volta.core.types import DType

__all__ = ["Plan", "written"]

_DEPTH: Final = 256  # of the inner axis that is computed at a time, at most
_TILES: Final = 8  # of a task above each other or side by side, or a few more
_NEAR: Final = 1 << 18  # bytes of panels that stay in the second cache
_WIDER: Final = 4  # times that a result is wider than high, from which tasks are of columns
_MOST: Final = 1 << 24  # bytes that may be laid out before; BLAS needs less memory
_LEAST: Final = 1 << 21  # multiplications from which laying out is worth it
_FEW: Final = 32  # rows or columns below which BLAS is as fast


class Plan:
    """How a product of two matrices is computed.

    Attributes
    ----------
    m, k, n : int
        Rows of the first matrix, its columns, and those of the second one.
    lanes : int
        Elements of a vector.
    rows, columns : int
        Of a tile: rows, and vectors.
    high, wide : int
        Elements of lines of the first and of the second matrix.
    tiles, panels : int
        Tiles above each other, and side by side.
    depth, parts : int
        Of the inner axis that is computed at a time, and how many such parts there are.
    by_rows : bool
        Whether tasks compute rows, and the second matrix is laid out before; else columns, and it
        is the first one.
    near : int
        Panels that stay in the second cache.
    step, tasks : int
        Tiles above each other of a task, or side by side, and how many tasks there are.
    """

    def __init__(self, dtype: DType, sizes: tuple[int, int, int]) -> None:
        self.dtype, self.size = dtype, dtype.itemsize
        self.m, self.k, self.n = m, k, n = sizes
        bytes_, threads = vector_bytes(), workers.threads()
        self.lanes = bytes_ // self.size
        self.is_shared = threads > 1
        vectors = -(-n // self.lanes)
        registers = 32 if bytes_ == 64 else 16
        self.columns = 2 if vectors > 1 else 1
        most = min(m, (registers - 1 - self.columns) // self.columns)
        count = -(-m // most)
        self.by_rows = n < _WIDER * m
        if self.is_shared and count > threads and self.by_rows:
            count = -(-count // threads) * threads
        self.rows = -(-m // count)
        self.tiles = -(-m // self.rows)
        self.high = -(-self.rows // self.lanes) * self.lanes
        self.wide = self.columns * self.lanes
        self.panels = -(-n // self.wide)
        parts = -(-k // _DEPTH)
        self.depth = min(k, -(-k // parts // self.lanes) * self.lanes)
        self.parts = -(-k // self.depth)
        count = self.tiles if self.by_rows else self.panels
        self.near = max(1, _NEAR // self.panel)
        tasks = max(1, count // _TILES)
        if self.is_shared:
            tasks = -(-tasks // threads) * threads
        self.step = -(-count // tasks)
        self.tasks = -(-count // self.step)

    @property
    def tall(self) -> int:
        """Bytes of a part of a panel of the first matrix."""
        return self.depth * self.high * self.size

    @property
    def panel(self) -> int:
        """Bytes of a part of a panel of the second matrix."""
        return self.depth * self.wide * self.size

    @property
    def before(self) -> int:
        """Bytes of the matrix that is laid out before."""
        return self.parts * (self.panels * self.panel if self.by_rows else self.tiles * self.tall)

    @property
    def own(self) -> int:
        """Bytes of what a task lays out."""
        return self.step * (self.tall if self.by_rows else self.panel)

    @property
    def is_fast(self) -> bool:
        """Whether this is faster than BLAS."""
        sizes = self.m, self.k, self.n
        large = math.prod(sizes) > _LEAST and min(sizes) >= _FEW
        return large and self.before <= _MOST and vector_bytes() >= 32

    @property
    def scratch(self) -> int:
        """Bytes of what is laid out anew."""
        return self.before + self.tasks * self.own + 64


def written(
    name: str, plan: Plan, block: Block, matrices: tuple[Lying, Lying], out: str, scratch: str
) -> list[Block]:
    """Write a product to `block`; returns the functions that it calls."""
    writer = _Writer(name, plan)
    scratch = block.aligned(scratch)
    given = []
    for x in matrices:
        turned = block.let(f"zext i1 {x.turned} to i64")
        given += [("ptr", x.base), ("i64", turned), ("i64", x.apart)]
    given += [("ptr", out), ("ptr", scratch)]
    parts = []
    phases: list[tuple[str, int, Callable[..., None]]] = (
        [
            ("panels", plan.parts * plan.panels, writer.panels),
            ("rows", plan.tasks, writer.rows_of),
        ]
        if plan.by_rows
        else [
            ("tiles", plan.parts * plan.tiles, writer.tiles),
            ("columns", plan.tasks, writer.columns_of),
        ]
    )
    for phase, count, write in phases:
        part = Block(f"void @{name}.{phase}(ptr %context, i64 %task)", "internal")
        found = workers.take_job(part, [kind for kind, _ in given])
        left, right = (
            Lying(base, part.let(f"trunc i64 {turned} to i1"), apart)
            for base, turned, apart in (found[:3], found[3:6])
        )
        # what its panels take for lines are columns of the first matrix
        left = left._replace(turned=part.let(f"xor i1 {left.turned}, true"))
        write(part, left, right, found[6], found[7])
        part.put("ret void")
        part.end()
        parts.append(part)
        workers.put_job(block, f"{name}.{phase}", given, count, plan.is_shared)
    return [*writer.functions(), *parts]


class _Side(NamedTuple):
    """Panels of one matrix: rows, or columns, of which there are `size`, and `each` in a panel."""

    panels: Panels
    size: int
    each: int

    @property
    def lengths(self) -> list[int]:
        """How many a panel has: most, and the last."""
        return [*dict.fromkeys(n for n in (min(self.size, self.each), self.size % self.each) if n)]

    def last(self, block: Block, number: str, write: Callable[[int], None]) -> None:
        """Write what is done to the panel of a number, of its length."""
        whole, rest = divmod(self.size, self.each)
        if not rest or not whole:
            write(rest or self.each)
            return
        is_last = block.let(f"icmp eq i64 {number}, {whole}")
        block.branch(is_last, lambda: write(rest), lambda: write(self.each))


class _Writer:
    """Writes the functions of a product."""

    def __init__(self, name: str, plan: Plan) -> None:
        self.name, self.plan = name, p = name, plan
        self.left = _Side(Panels(p.dtype, p.lanes, p.k, p.depth, p.high), p.m, p.rows)
        self.right = _Side(Panels(p.dtype, p.lanes, p.k, p.depth, p.wide), p.n, p.wide)

    def functions(self) -> list[Block]:
        """Functions of tiles, and those that lay out panels."""
        sides = self.left, self.right
        heights, widths = (side.lengths for side in sides)
        found = [self._tile(rows, columns) for rows in heights for columns in widths]
        return found + [side.panels.function(n) for side in sides for n in side.lengths]

    # tasks ---------------------------------------------------------------------------------------
    def panels(self, block: Block, _: Lying, right: Lying, out: str, scratch: str) -> None:
        """Lay out a part of a panel of the second matrix."""
        part, number = block.places("%task", self.plan.panels)
        to = block.at(scratch, "%task", self.plan.panel)
        self._lay_out(block, self.right, right, part, number, to)

    def tiles(self, block: Block, left: Lying, _: Lying, out: str, scratch: str) -> None:
        """Lay out a part of a panel of the first matrix."""
        part, number = block.places("%task", self.plan.tiles)
        to = block.at(scratch, "%task", self.plan.tall)
        self._lay_out(block, self.left, left, part, number, to)

    def rows_of(self, block: Block, left: Lying, _: Lying, out: str, scratch: str) -> None:
        """Compute some rows."""
        p = self.plan
        tiles = first, stop = workers.take_share(block, p.step, p.tiles)
        own = block.at(block.at(scratch, "1", p.before), "%task", p.own)

        def a(tile: str) -> str:
            return block.at(own, block.let(f"sub i64 {tile}, {first}"), p.tall)

        def part(part: str) -> None:
            right = block.at(scratch, part, p.panels * p.panel)

            def lay_out(tile: str) -> None:
                self._lay_out(block, self.left, left, part, tile, a(tile))

            def near(number: str) -> None:
                panels = workers.take_share(block, p.near, p.panels, number)
                self._meet(
                    block, part, tiles, panels, a, lambda n: block.at(right, n, p.panel), out
                )

            block.each(stop, lay_out, start=first)
            block.each(-(-p.panels // p.near), near)

        block.each(p.parts, part)

    def columns_of(self, block: Block, _: Lying, right: Lying, out: str, scratch: str) -> None:
        """Compute some columns."""
        p = self.plan
        panels = first, stop = workers.take_share(block, p.step, p.panels)
        own = block.at(block.at(scratch, "1", p.before), "%task", p.own)

        def b(panel: str) -> str:
            return block.at(own, block.let(f"sub i64 {panel}, {first}"), p.panel)

        def part(part: str) -> None:
            left, tiles = block.at(scratch, part, p.tiles * p.tall), ("0", str(p.tiles))

            def lay_out(panel: str) -> None:
                self._lay_out(block, self.right, right, part, panel, b(panel))

            block.each(stop, lay_out, start=first)
            self._meet(block, part, tiles, panels, lambda t: block.at(left, t, p.tall), b, out)

        block.each(p.parts, part)

    def _meet(
        self,
        block: Block,
        part: str,
        tiles: tuple[str, str],
        panels: tuple[str, str],
        a: Callable[[str], str],
        b: Callable[[str], str],
        out: str,
    ) -> None:
        """Compute a part of some tiles side by side, then of those below.

        Of `tiles` and `panels` there are the first and the one after; `a` and `b` give addresses.
        """

        def tile(tile: str) -> None:
            at = a(tile)

            def panel(panel: str) -> None:
                self._call(block, part, tile, panel, at, b(panel), out)

            block.each(panels[1], panel, start=panels[0])

        block.each(tiles[1], tile, start=tiles[0])

    def _lay_out(
        self, block: Block, side: _Side, x: Lying, part: str, number: str, to: str
    ) -> None:
        """Lay out a part of a panel."""
        down = block.let(f"select i1 {x.turned}, i64 {self.plan.size}, i64 {x.apart}")
        along = block.let(f"select i1 {x.turned}, i64 {x.apart}, i64 {self.plan.size}")
        done, lines = self._lines(block, part)
        at = block.at(x.base, done, down)
        at = block.at(at, block.let(f"mul i64 {number}, {side.each}"), along)

        def write(columns: int) -> None:
            side.panels.lay_out(block, columns, at, x.turned, x.apart, lines, to)

        side.last(block, number, write)

    def _lines(self, block: Block, part: str) -> tuple[str, str]:
        """Where a part of the inner axis begins, and how long it is."""
        done = block.let(f"mul i64 {part}, {self.plan.depth}")
        return done, block.least(block.let(f"sub i64 {self.plan.k}, {done}"), self.plan.depth)

    # tiles ---------------------------------------------------------------------------------------
    def _call(
        self, block: Block, part: str, tile: str, panel: str, a: str, b: str, out: str
    ) -> None:
        """Compute a part of a tile."""
        p = self.plan
        _, lines = self._lines(block, part)
        begins = block.let(f"icmp eq i64 {part}, 0")
        c = block.at(block.at(out, tile, p.rows * p.n * p.size), panel, p.wide * p.size)
        args = f"ptr {a}, ptr {b}, ptr {c}, i64 {p.n * p.size}, i64 {lines}, i1 {begins}"

        def of(rows: int, columns: int) -> None:
            block.put(f"call void @{self._tile_name(rows, columns)}({args})")

        def of_rows(rows: int) -> None:
            self.right.last(block, panel, lambda columns: of(rows, columns))

        self.left.last(block, tile, of_rows)

    def _tile_name(self, rows: int, columns: int) -> str:
        """The same for all products of such tiles."""
        p = self.plan
        shape = p.lanes, p.high, p.wide, rows, columns
        return ".".join(map(str, ("tile", p.dtype.name, *shape)))

    def _tile(self, rows: int, columns: int) -> Block:
        """The function of a tile: set, or added to what is there."""
        p = self.plan
        args = "ptr %a, ptr %b, ptr %c, i64 %apart, i64 %count, i1 %first"
        block = Block(f"void @{self._tile_name(rows, columns)}({args})", "internal")
        vectors = Vectors(block, p.lanes)
        vector, fma = vectors.kind(p.dtype), f"llvm.fma.v{p.lanes}f{8 * p.size}"
        parts = self.right.panels.vectors(columns)
        carried = [("ptr", "%a"), ("ptr", "%b")]
        carried += [(vector, "zeroinitializer")] * (rows * len(parts))

        def turn(_: str, values: list[str]) -> list[str]:
            a, b, *totals = values
            ys = [vectors.load(b, start, p.dtype, None) for start, _ in parts]
            found: list[str] = []
            for r in range(rows):
                x = vectors.load_one(block.at(a, r, p.size), p.dtype)
                for y in ys:
                    args = (vector, x), (vector, y), (vector, totals[len(found)])
                    found.append(block.let(block.call(vector, fma, *args)))
            a, b = block.at(a, 1, p.high * p.size), block.at(b, 1, p.wide * p.size)
            return [a, b, *found]

        totals = block.loop("%count", 1, carried, turn)[2:]

        def put(added: bool) -> None:
            for i, total in enumerate(totals):
                r, v = divmod(i, len(parts))
                start, there = parts[v]
                row = block.at("%c", r, "%apart")
                if added:
                    before = vectors.load(row, start, p.dtype, there)
                    total = block.let(f"fadd {vector} {before}, {total}")
                vectors.store(row, start, p.dtype, there, total)

        block.branch("%first", lambda: put(False), lambda: put(True))
        block.put("ret void")
        block.end()
        return block
