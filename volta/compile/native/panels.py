"""Matrices laid out anew for products of them: in panels, of which a line is read at once."""

from collections.abc import Sequence
from typing import NamedTuple

from volta.compile.native.vectors import Block, Vectors
from volta.core.types import DType

__all__ = ["Lying", "Panels", "transposed"]


class Lying(NamedTuple):
    """A matrix: its address, whether it lies in columns, and bytes between these or rows."""

    base: str
    turned: str
    apart: str


class Panels(NamedTuple):
    """Panels of a matrix.

    Attributes
    ----------
    dtype : DType
    lanes : int
        Elements of a vector.
    k, depth : int
        Lines of the matrix, and those that are laid out at a time, at most.
    wide : int
        Elements of a line, a multiple of those of a vector.
    """

    dtype: DType
    lanes: int
    k: int
    depth: int
    wide: int

    def name(self, columns: int) -> str:
        """Name of the function of so many columns, the same for all panels that it fits."""
        shape = self.wide, columns, self.k % self.lanes, int(self.depth >= self.lanes)
        return ".".join(map(str, ("panel", self.dtype.name, self.lanes, *shape)))

    @property
    def line(self) -> int:
        """Bytes of a line."""
        return self.wide * self.dtype.itemsize

    def vectors(self, columns: int) -> list[tuple[str, int | None]]:
        """Of vectors of a line the first element, and how many are there if not all."""
        left = ((start, columns - start) for start in range(0, columns, self.lanes))
        return [(str(start), None if n >= self.lanes else n) for start, n in left]

    def lay_out(
        self, block: Block, columns: int, source: str, turned: str, apart: str, lines: str, to: str
    ) -> None:
        """Write a call of `function`."""
        args = f"ptr {source}, i1 {turned}, i64 {apart}, i64 {lines}, ptr {to}"
        block.put(f"call void @{self.name(columns)}({args})")

    def function(self, columns: int) -> Block:
        """The function that lays out lines of a panel of so many columns.

        Its arguments are where the first line is, whether the matrix lies in columns, the bytes
        between these or between lines, how many lines to lay out, and where.
        """
        args = "ptr %from, i1 %turned, i64 %apart, i64 %lines, ptr %to"
        block = Block(f"void @{self.name(columns)}({args})", "internal")
        block.branch(
            "%turned", lambda: self._turned(block, columns), lambda: self._plain(block, columns)
        )
        block.put("ret void")
        block.end()
        return block

    def _plain(self, block: Block, columns: int) -> None:
        """Lay out lines that lie in rows."""
        vectors = Vectors(block, self.lanes)

        def line(index: str) -> None:
            source, target = block.at("%from", index, "%apart"), block.at("%to", index, self.line)
            for start, there in self.vectors(columns):
                x = vectors.load(source, start, self.dtype, there)
                vectors.store(target, start, self.dtype, None, x)

        block.each("%lines", line)

    def _turned(self, block: Block, columns: int) -> None:
        """Lay out lines that lie in columns: squares of them are turned in registers."""
        lanes = self.lanes
        vectors = Vectors(block, lanes)
        read = [  # beyond the last it is read again
            block.at("%from", str(min(j, columns - 1)), "%apart")
            for j in range(len(self.vectors(columns)) * lanes)
        ]

        def square(first: str, lines: int) -> None:
            there = None if lines == lanes else lines
            target = block.at("%to", first, self.line)
            for start in range(0, len(read), lanes):
                own = read[start : start + lanes]
                rows = [vectors.load(column, first, self.dtype, there) for column in own]
                for i, x in enumerate(transposed(vectors, rows, self.dtype)[:lines]):
                    vectors.store(target, str(i * self.wide + start), self.dtype, None, x)

        whole = block.let(f"udiv i64 %lines, {lanes}")
        if self.depth >= lanes:
            # the last part may have none
            some = block.let(f"icmp ne i64 {whole}, 0")

            def squares() -> None:
                block.each(whole, lambda i: square(block.let(f"mul i64 {i}, {lanes}"), lanes))

            block.branch(some, squares)
        if rest := self.k % lanes:
            done = block.let(f"mul i64 {whole}, {lanes}")
            more = block.let(f"icmp ne i64 {done}, %lines")
            block.branch(more, lambda: square(done, rest))


def transposed(vectors: Vectors, rows: Sequence[str], dtype: DType) -> list[str]:
    """Vectors of the columns of a square, by interleaving its halves again and again."""
    block, kind, n = vectors.block, vectors.kind(dtype), len(rows)
    orders = [
        ", ".join(f"i32 {start + i // 2 + (n if i % 2 else 0)}" for i in range(n))
        for start in (0, n // 2)
    ]
    found = list(rows)
    for _ in range(n.bit_length() - 1):
        pairs = [*zip(found[: n // 2], found[n // 2 :], strict=True)]
        found = [
            block.let(f"shufflevector {kind} {x}, {kind} {y}, <{n} x i32> <{order}>")
            for x, y in pairs
            for order in orders
        ]
    return found
