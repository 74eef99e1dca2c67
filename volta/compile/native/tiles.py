"""Products of small matrices in generated code: sums kept in registers, tile by tile.

A call of BLAS takes as long as a product of small matrices. Here a tile is some rows by some
vectors of columns, whose sums are in registers: each element of the first matrix is spread over a
vector, and multiplied with vectors of a line of the second. The first is read where it lies,
whatever its strides. The second is laid out anew, in panels as wide as a tile, unless few tiles
above each other read it and it lies in rows. A part of the inner axis is computed at a time, so
that the part of a panel stays in the nearest cache.

After K. Goto, R. van de Geijn: Anatomy of high-performance matrix multiplication, ACM Transactions
on Mathematical Software 34 (2008), https://doi.org/10.1145/1356052.1356053, less what large
matrices need.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from volta.compile.native import workers
from volta.compile.native.machine import vector_bytes
from volta.compile.native.panels import Lying, Panels
from volta.compile.native.vectors import Block, Vectors
from volta.core.types import DType

__all__ = ["Left", "Plan", "written"]

_SMALL: Final = 1 << 21  # multiplications of two matrices, beyond which BLAS is as fast
_FEW: Final = 4  # rows below which it is, too
_SHORT: Final = 3  # tiles above each other that read a second matrix where it lies
_DEPTH: Final = 256  # of the inner axis that is computed at a time, at most
_SHARED: Final = 1 << 21  # multiplications of a stack that are worth to be shared by workers
_TASKS: Final = 4  # that each thread has, if there are so many


class Plan:
    """How products of two stacks of matrices are computed.

    Attributes
    ----------
    m, k, n : int
        Rows of a first matrix, its columns, and those of a second one.
    lanes : int
        Elements of a vector.
    rows, columns : int
        Of a tile: rows, and vectors.
    wide, line : int
        Columns of a tile, and their bytes.
    tiles, panels : int
        Whole tiles above each other, and tiles side by side.
    depth, parts : int
        Of the inner axis that is computed at a time, and how many such parts there are.
    panel, part : int
        Bytes of a part of a panel, and of all panels.
    step, tasks : int
        Matrices of a task, and how many tasks there are.
    places : tuple of int
        Bytes from each element of a result to the next, along its axes.
    """

    def __init__(
        self,
        dtype: DType,
        lead: Sequence[int],
        sizes: tuple[int, int, int],
        order: Sequence[int] = (),
    ) -> None:
        self.dtype, self.lead, self.size = dtype, lead, dtype.itemsize
        shape = (*lead, sizes[0], sizes[2])
        lying = order or range(len(shape))
        steps = {a: math.prod(shape[b] for b in lying[i + 1 :]) for i, a in enumerate(lying)}
        self.places = tuple(steps[a] * self.size for a in range(len(shape)))
        self.m, self.k, self.n = m, k, n = sizes
        bytes_ = vector_bytes()
        self.lanes = bytes_ // self.size
        self.rows, self.columns = _tile(m, -(-n // self.lanes), 32 if bytes_ == 64 else 16)
        self.wide = self.columns * self.lanes
        self.line = self.wide * self.size
        self.tiles, self.panels = m // self.rows, -(-n // self.wide)
        parts = -(-k // _DEPTH)
        self.depth = min(k, -(-k // parts // self.lanes) * self.lanes)
        self.parts = -(-k // self.depth)
        self.panel = self.depth * self.line
        self.part = self.panels * self.panel
        count, threads = math.prod(lead), workers.threads()
        self.is_shared = threads > 1 and count > 1 and count * m * k * n > _SHARED
        self.step = -(-count // (_TASKS * threads)) if self.is_shared else count
        self.tasks = -(-count // self.step)

    @property
    def is_short(self) -> bool:
        """Whether a second matrix is read where it lies, if it lies in rows."""
        return self.m <= _SHORT * self.rows

    @property
    def is_fast(self) -> bool:
        """Whether this is faster than BLAS."""
        few = self.m < _FEW or self.m * self.k * self.n > _SMALL
        return not few and (math.prod(self.lead) > 1 or self.is_short)

    @property
    def scratch(self) -> int:
        """Bytes of what is laid out anew."""
        return self.tasks * self.parts * self.part + 64


def _tile(m: int, vectors: int, registers: int) -> tuple[int, int]:
    """Rows and vectors of a tile: those that take the fewest cycles and fit into registers."""

    def cycles(rows: int, columns: int) -> float:
        def of(r: int, c: int) -> float:  # two products, or two loads, a cycle; a sum takes four
            return max(r * c / 2, (r + c) / 2, 4) if r and c else 0

        (high, low), (wide, narrow) = divmod(m, rows), divmod(vectors, columns)
        whole = high * wide * of(rows, columns)
        return whole + high * of(rows, narrow) + wide * of(low, columns) + of(low, narrow)

    # besides sums there are vectors of a line, and elements that are spread
    fitting = [(min(m, (registers - 2 - c) // c), c) for c in (2, 3, 1, 4) if c <= vectors]
    return min(fitting, key=lambda tile: cycles(*tile))


class Left(NamedTuple):
    """First matrix: its address, and the bytes from one row and one column to the next."""

    base: str
    down: str
    along: str


class _Panels(NamedTuple):
    """Second matrix as tiles read it: where, and the bytes from each to the next."""

    base: str
    part: str
    panel: str
    line: str


Steps = Sequence[Sequence[str]]


def written(
    name: str,
    plan: Plan,
    block: Block,
    sides: tuple[Left, Lying],
    steps: Steps,
    out: str,
    scratch: str,
) -> list[Block]:
    """Write products to `block`; returns the functions that it calls.

    Parameters
    ----------
    steps : two sequences of str
        Bytes from one matrix of a stack to the next, along its axes, of each operand.
    """
    left, right = sides
    writer = _Writer(name, plan)
    scratch = block.aligned(scratch)
    turned = block.let(f"zext i1 {right.turned} to i64")
    given = [("ptr", left.base), ("i64", left.down), ("i64", left.along)]
    given += [("ptr", right.base), ("i64", turned), ("i64", right.apart)]
    given += [("i64", d) for own in steps for d in own if d != "0"]
    given += [("ptr", out), ("ptr", scratch)]
    task = Block(f"void @{name}.part(ptr %context, i64 %task)", "internal")
    found = workers.take_job(task, [kind for kind, _ in given])
    taken = iter(found[6:-2])
    steps = [[d if d == "0" else next(taken) for d in own] for own in steps]
    turned = task.let(f"trunc i64 {found[4]} to i1")
    sides = Left(*found[:3]), Lying(found[3], turned, found[5])
    writer.matrices(task, sides, steps, *found[-2:])
    workers.put_job(block, f"{name}.part", given, plan.tasks, plan.is_shared)
    return [*writer.functions(), task]


class _Writer:
    """Writes the functions of a product."""

    def __init__(self, name: str, plan: Plan) -> None:
        self.name, self.plan = name, plan
        self.panels = Panels(plan.dtype, plan.lanes, plan.k, plan.depth, plan.wide)

    def functions(self) -> list[Block]:
        """Functions of tiles, and the one that lays out a part of a panel."""
        p = self.plan
        heights = dict.fromkeys(h for h in (p.rows if p.tiles else 0, p.m % p.rows) if h)
        widths = dict.fromkeys(w for w in (p.wide if p.n >= p.wide else 0, p.n % p.wide) if w)
        tiles = [self._tile(rows, columns) for rows in heights for columns in widths]
        return [*tiles, *(self.panels.function(columns) for columns in widths)]

    # matrices ------------------------------------------------------------------------------------
    def matrices(
        self, block: Block, sides: tuple[Left, Lying], steps: Steps, out: str, scratch: str
    ) -> None:
        """Write the task: the products of some matrices of the stacks."""
        p = self.plan
        own = block.at(scratch, "%task", p.parts * p.part)
        first, stop = workers.take_share(block, p.step, math.prod(p.lead))

        def one(index: str) -> None:
            places = block.places(index, *p.lead[1:]) if p.lead else []
            bases = [side.base for side in sides]
            for i, along in enumerate(steps):
                for place, step in zip(places, along, strict=True):
                    if step != "0":
                        bases[i] = block.at(bases[i], place, step)
            left, right = sides[0]._replace(base=bases[0]), sides[1]._replace(base=bases[1])
            panels = self._laid_out(block, right, own)
            to = out
            for place, bytes_ in zip(places, p.places, strict=False):
                to = block.at(to, place, bytes_)
            block.each(p.parts, lambda part: self._product(block, left, panels, to, part))

        block.each(stop, one, start=first)
        block.put("ret void")
        block.end()

    def _laid_out(self, block: Block, right: Lying, own: str) -> _Panels:
        """Lay out a second matrix, if need be."""
        p = self.plan

        def lay_out() -> None:
            block.each(p.parts, part)

        def part(number: str) -> None:
            done = block.let(f"mul i64 {number}, {p.depth}")
            lines = block.least(block.let(f"sub i64 {p.k}, {done}"), p.depth)
            down = block.let(f"select i1 {right.turned}, i64 {p.size}, i64 {right.apart}")
            along = block.let(f"select i1 {right.turned}, i64 {right.apart}, i64 {p.size}")
            source, target = block.at(right.base, done, down), block.at(own, number, p.part)

            def panel(index: str, columns: int) -> None:
                at = block.at(source, block.let(f"mul i64 {index}, {p.wide}"), along)
                to = block.at(target, index, p.panel)
                self.panels.lay_out(block, columns, at, right.turned, right.apart, lines, to)

            self._along(block, panel)

        if not p.is_short:
            lay_out()
            return _Panels(own, str(p.part), str(p.panel), str(p.line))
        block.branch(right.turned, lay_out)
        lying = block.let(f"mul i64 {right.apart}, {p.depth}")
        choices: list[tuple[str, object, object]] = [("ptr", own, right.base)]
        choices += [("i64", p.part, lying), ("i64", p.panel, p.line), ("i64", p.line, right.apart)]
        return _Panels(
            *(block.let(f"select i1 {right.turned}, {k} {x}, {k} {y}") for k, x, y in choices)
        )

    def _along(self, block: Block, one: Callable[[str, int], None]) -> None:
        """Write `one`, of a number and how many columns, for all panels."""
        p = self.plan
        whole, rest = divmod(p.n, p.wide)
        if whole:
            block.each(whole, lambda index: one(index, p.wide))
        if rest:
            one(str(whole), rest)

    def _product(self, block: Block, left: Left, panels: _Panels, out: str, part: str) -> None:
        """Set or add to a result what a part of the inner axis makes."""
        p = self.plan
        done = block.let(f"mul i64 {part}, {p.depth}")
        count = block.least(block.let(f"sub i64 {p.k}, {done}"), p.depth)
        begins = block.let(f"icmp eq i64 {part}, 0")
        first = block.at(left.base, done, left.along)
        line = block.at(panels.base, part, panels.part)
        step = block.let(f"mul i64 {left.down}, {p.rows}")

        def panel(index: str, columns: int) -> None:
            lines = block.at(line, index, panels.panel)
            to = block.at(out, index, p.line)

            def tile(number: str, rows: int) -> None:
                own = block.at(first, number, step)
                at = block.at(to, number, p.rows * p.places[-2])
                args = f"ptr {own}, i64 {left.down}, i64 {left.along}, ptr {lines}"
                args += f", i64 {panels.line}, ptr {at}, i64 {count}, i1 {begins}"
                block.put(f"call void @{self._tile_name(rows, columns)}({args})")

            if p.tiles:
                block.each(p.tiles, lambda number: tile(number, p.rows))
            if p.m % p.rows:
                tile(str(p.tiles), p.m % p.rows)

        self._along(block, panel)

    # tiles ---------------------------------------------------------------------------------------
    def _tile_name(self, rows: int, columns: int) -> str:
        return f"{self.name}.tile{rows}x{columns}"

    def _tile(self, rows: int, columns: int) -> Block:
        """The function of a tile: set, or added to what is there."""
        p = self.plan
        args = "ptr %a, i64 %down, i64 %along, ptr %b, i64 %step, ptr %c, i64 %count, i1 %first"
        block = Block(f"void @{self._tile_name(rows, columns)}({args})", "internal")
        vectors = Vectors(block, p.lanes)
        vector = vectors.kind(p.dtype)
        parts = self.panels.vectors(columns)
        # three rows are addressed from one register, as there are not enough for all rows
        twice = block.let("shl i64 %down, 1")
        bases = [block.at("%a", str(r), "%down") for r in range(0, rows, 3)]
        carried = [("ptr", base) for base in (*bases, "%b")]
        carried += [(vector, "zeroinitializer")] * (rows * len(parts))

        def turn(_: str, values: list[str]) -> list[str]:
            *bases, line = values[: -(-rows // 3) + 1]
            totals = values[len(bases) + 1 :]
            ys = [vectors.load(line, start, p.dtype, there) for start, there in parts]
            found: list[str] = []
            for r in range(rows):
                at = bases[r // 3]
                if r % 3:
                    step = twice if r % 3 == 2 else "%down"
                    at = block.let(f"getelementptr i8, ptr {at}, i64 {step}")
                x = vectors.load_one(at, p.dtype)
                for y in ys:
                    args = (vector, x), (vector, y), (vector, totals[len(found)])
                    fma = f"llvm.fma.v{p.lanes}f{8 * p.size}"
                    found.append(block.let(block.call(vector, fma, *args)))
            moved = [block.let(f"getelementptr i8, ptr {b}, i64 %along") for b in bases]
            return [*moved, block.let(f"getelementptr i8, ptr {line}, i64 %step"), *found]

        totals = block.loop("%count", 1, carried, turn)[len(bases) + 1 :]

        def put(added: bool) -> None:
            for i, total in enumerate(totals):
                r, v = divmod(i, len(parts))
                start, there = parts[v]
                row = block.at("%c", r, p.places[-2])
                if added:
                    before = vectors.load(row, start, p.dtype, there)
                    total = block.let(f"fadd {vector} {before}, {total}")
                vectors.store(row, start, p.dtype, there, total)

        block.branch("%first", lambda: put(False), lambda: put(True))
        block.put("ret void")
        block.end()
        return block
