"""Maxima of sliding windows in native code: where they are, what is there, and putting it back.

Vectors are of windows along the last axis. For each place in a window they take what is there, from
the first to the last, and remember where the largest was. Only windows that lie in the array with
all their elements are here.
"""

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, Final, NamedTuple

from volta.compile.native import workers
from volta.compile.native.arrays import ALIGNED, ROW_MAJOR, Argument, begin, elements, end
from volta.compile.native.machine import vector_bytes
from volta.compile.native.vectors import KINDS, Block, Vectors
from volta.core.types import DTYPES, ArrayType, DType
from volta.core.wengert import Entry

__all__ = ["Pool", "pool_of", "written"]

_TAPS: Final = 64  # of a window, at most: they are written out
_LONG: Final = 1 << 14  # elements that are worth letting other threads of Python run
_SHARED: Final = 1 << 16  # and those that are worth to be shared by workers
_TASKS: Final = 4  # that each thread has


class Pool(NamedTuple):
    """An operation on windows of the last axes.

    Attributes
    ----------
    which : str
        Name of a primitive: ``max_places``, ``max_windows``, ``pick`` or ``put``.
    dtype : DType
    lead : tuple of int
        Lengths of the axes before those of the windows.
    windows : Windows
        See `volta.functional.windowed`.
    """

    which: str
    dtype: DType
    lead: tuple[int, ...]
    windows: Any

    @property
    def rows(self) -> int:
        """Arrays that have windows of their own."""
        return math.prod(self.lead)

    @property
    def scratch(self) -> int:
        """Bytes of memory that it needs besides."""
        return 0

    @property
    def length(self) -> int:
        """Elements of a row."""
        return math.prod(self.windows.lengths)

    @property
    def number(self) -> int:
        """Windows of a row."""
        return math.prod(self.windows.places)

    @property
    def steps(self) -> tuple[int, ...]:
        """Elements from one to the next along each axis of a row."""
        lengths = self.windows.lengths
        return tuple(math.prod(lengths[a + 1 :]) for a in range(len(lengths)))

    @property
    def work(self) -> int:
        """Elements that are looked at."""
        each = self.windows.taps if self.which.startswith("max") else 1
        return self.rows * (self.number * each + (self.length if self.which == "put" else 0))


def pool_of(e: Entry, types: dict[int, ArrayType]) -> Pool | None:
    """Operation on windows that an entry is, if there is native code for it."""
    name = e.primitive.name
    if name not in _WRITTEN or not all(type(o) is int for o in e.operands):
        return None
    x, w = types[e.operands[0]], e.params["windows"]
    lead = x.shape[: x.ndim - len(w.lengths)]
    found = Pool(name, x.dtype, lead, w)
    inside = all(
        p == 0 and (m - 1) * s + d * (k - 1) < n for n, k, s, p, d, m in zip(*w, strict=True)
    )
    if not inside or x.dtype.name not in ("float32", "float64") or w.taps > _TAPS:
        return None
    return found if found.rows * found.number else None


def written(name: str, pool: Pool) -> list[Block]:
    """Text of the function of an operation on windows, and of that of a part of it."""
    flags = ALIGNED | ROW_MAJOR
    whole, places = (*pool.lead, *pool.windows.lengths), (*pool.lead, *pool.windows.places)
    operands = [Argument(pool.dtype, places if pool.which == "put" else whole, flags)]
    if pool.which in ("pick", "put"):
        operands.append(Argument(DTYPES["int64"], places, flags))
    block, arrays = begin(name, operands, 1)
    given = elements(block, arrays)
    thread = block.let("call ptr @PyEval_SaveThread()") if pool.work > _LONG else ""
    shared = workers.threads() > 1 and pool.work > _SHARED
    step = -(-pool.rows // (_TASKS * workers.threads())) if shared else pool.rows
    part = Block(f"void @{name}.part(ptr %context, i64 %task)", "internal")
    found = workers.take_job(part, ["ptr"] * len(given))
    first, stop = workers.take_share(part, step, pool.rows)
    part.each(stop, lambda row: _WRITTEN[pool.which](part, pool, found, row), start=first)
    part.put("ret void")
    part.end()
    workers.put_job(
        block, f"{name}.part", [("ptr", p) for p in given], -(-pool.rows // step), shared
    )
    if thread:
        block.put(f"call void @PyEval_RestoreThread(ptr {thread})")
    end(block)
    return [part, block]


# Maxima -------------------------------------------------------------------------------------------


def _maxima(block: Block, pool: Pool, pointers: Sequence[str], row: str) -> None:
    """The largest element of each window of a row, or where it is."""
    w, dtype, size = pool.windows, pool.dtype, pool.dtype.itemsize
    lanes = vector_bytes() // size
    vectors = Vectors(block, lanes)
    x = block.at(pointers[0], row, pool.length * size)
    places = pool.which == "max_places"
    made = DTYPES["int64"] if places else dtype
    out = block.at(pointers[1], row, pool.number * made.itemsize)
    last = len(w.lengths) - 1

    def some(first: str, there: int | None, window: str, source: str, target: str) -> None:
        """Windows from `first` on along the last axis, if not all then so many as are there."""
        start = block.let(f"mul i64 {first}, {w.stride[last]}")
        best, tap = _searched(vectors, pool, block.at(source, start, size), there)
        if places:
            integer, wide = f"<{lanes} x i{8 * size}>", f"<{lanes} x i64>"
            if size < 8:
                tap = block.let(f"sext {integer} {tap} to {wide}")
            begin = vectors.spread(block.let(f"add i64 {window}, {start}"), "i64")
            each = ", ".join(f"i64 {i * w.stride[last]}" for i in range(lanes))
            begin = block.let(f"add {wide} {begin}, <{each}>")
            best = block.let(f"add {wide} {begin}, {tap}")
        vectors.store(target, first, made, there, best)

    def along(axis: int, window: str, source: str, target: str) -> None:
        """Windows along an axis; `window` is where they begin in the row."""
        if axis < last:
            step = w.stride[axis] * pool.steps[axis]
            below = math.prod(w.places[axis + 1 :])

            def one(i: str) -> None:
                own = block.let(f"add i64 {window}, {block.let(f'mul i64 {i}, {step}')}")
                at = block.at(source, i, step * size), block.at(target, i, below * made.itemsize)
                along(axis + 1, own, *at)

            block.each(w.places[axis], one)
            return
        whole = w.places[axis] // lanes * lanes
        if whole:
            block.each(whole, lambda i: some(i, None, window, source, target), lanes)
        if rest := w.places[axis] - whole:
            some(str(whole), rest, window, source, target)

    along(0, "0", x, out)


def _searched(vectors: Vectors, pool: Pool, base: str, there: int | None) -> tuple[str, str]:
    """Largest element of windows and how far it is from where they begin.

    The first of those that are equal, the last of those that are no number.
    """
    block, w = vectors.block, pool.windows
    kind, bits = vectors.kind(pool.dtype), 8 * pool.dtype.itemsize
    integer, mask = f"<{vectors.width} x i{bits}>", f"<{vectors.width} x i1>"
    best = tap = ""
    for outer in product(*map(range, w.kernel[:-1])):
        before = sum(i * d * s for i, d, s in zip(outer, w.dilation, pool.steps, strict=False))
        for place, new in _row(vectors, pool, block.at(base, before, pool.dtype.itemsize), there):
            offset = f"splat (i{bits} {before + place})"
            if not best:
                best, tap = new, offset
                continue
            larger = block.let(f"fcmp ogt {kind} {new}, {best}")
            better = block.let(f"or {mask} {larger}, {block.let(f'fcmp uno {kind} {new}, {new}')}")
            best = block.let(f"select {mask} {better}, {kind} {new}, {kind} {best}")
            tap = block.let(f"select {mask} {better}, {integer} {offset}, {integer} {tap}")
    if tap.startswith("splat"):
        tap = block.let(f"or {integer} {tap}, zeroinitializer")
    return best, tap


def _row(vectors: Vectors, pool: Pool, base: str, there: int | None) -> list[tuple[int, str]]:
    """What lies at each place of windows along the last axis: how far on, and a vector."""
    w, lanes = pool.windows, vectors.width
    k, stride, dilation = w.kernel[-1], w.stride[-1], w.dilation[-1]
    count = lanes if there is None else there
    places = range(0, k * dilation, dilation)
    if stride == 1:
        return [(place, _some(vectors, pool, base, place, count)) for place in places]
    if stride > 2:
        return [(place, _gathered(vectors, pool, base, place, count)) for place in places]
    found = []
    for first in places:
        pair = dilation == 1 and first % 2 == 0 and first + 1 < k  # the next place is between
        if dilation == 1 and first % 2:
            continue
        seen = 2 * count - (not pair)
        both = [
            _some(vectors, pool, base, first, min(seen, lanes)),
            _some(vectors, pool, base, first + lanes, seen - lanes),
        ]
        found.append((first, _every_other(vectors, pool, both, 0)))
        if pair:
            found.append((first + 1, _every_other(vectors, pool, both, 1)))
    return found


def _every_other(vectors: Vectors, pool: Pool, both: Sequence[str], first: int) -> str:
    """Every other element of two vectors."""
    kind, lanes = vectors.kind(pool.dtype), vectors.width
    order = ", ".join(f"i32 {2 * j + first}" for j in range(lanes))
    pair = ", ".join(f"{kind} {v}" for v in both)
    return vectors.block.let(f"shufflevector {pair}, <{lanes} x i32> <{order}>")


def _some(vectors: Vectors, pool: Pool, base: str, start: int, count: int) -> str:
    """A vector of which only so many elements are there."""
    if count <= 0:
        return "poison"
    some = None if count >= vectors.width else count
    return vectors.load(base, str(start), pool.dtype, some)


def _gathered(vectors: Vectors, pool: Pool, base: str, start: int, count: int) -> str:
    """A vector of elements that lie apart, of which only so many are there."""
    block, lanes, bits = vectors.block, vectors.width, 8 * pool.dtype.itemsize
    steps = ", ".join(f"i64 {start + j * pool.windows.stride[-1]}" for j in range(lanes))
    scalar, kind = KINDS[pool.dtype.name], vectors.kind(pool.dtype)
    at = block.let(f"getelementptr {scalar}, ptr {base}, <{lanes} x i64> <{steps}>")
    args = [(f"<{lanes} x ptr>", at), ("i32", str(pool.dtype.itemsize))]
    args += [(f"<{lanes} x i1>", vectors.mask(count)), (kind, "zeroinitializer")]
    return block.let(block.call(kind, f"llvm.masked.gather.v{lanes}f{bits}.v{lanes}p0", *args))


# What lies at an index ----------------------------------------------------------------------------


def _within(block: Block, pool: Pool, places: str, i: str) -> str:
    """An index of a row, whatever it is: beyond the row is others' memory."""
    at = block.at(places, i, 8)
    return block.least(block.let(f"load i64, ptr {at}"), pool.length - 1)


def _pick(block: Block, pool: Pool, pointers: Sequence[str], row: str) -> None:
    """Elements of a row at indices."""
    size, kind = pool.dtype.itemsize, KINDS[pool.dtype.name]
    x = block.at(pointers[0], row, pool.length * size)
    places = block.at(pointers[1], row, pool.number * 8)
    out = block.at(pointers[2], row, pool.number * size)

    def one(i: str) -> None:
        source = block.at(x, _within(block, pool, places, i), size)
        value = block.let(f"load {kind}, ptr {source}")
        block.put(f"store {kind} {value}, ptr {block.at(out, i, size)}")

    block.each(pool.number, one)


def _put(block: Block, pool: Pool, pointers: Sequence[str], row: str) -> None:
    """A row of zeros, but for what is added up at indices."""
    size, kind = pool.dtype.itemsize, KINDS[pool.dtype.name]
    ct = block.at(pointers[0], row, pool.number * size)
    places = block.at(pointers[1], row, pool.number * 8)
    out = block.at(pointers[2], row, pool.length * size)
    zero = (("ptr", out), ("i8", "0"), ("i64", str(pool.length * size)), ("i1", "false"))
    block.put(block.call("void", "llvm.memset.p0.i64", *zero))

    def one(i: str) -> None:
        target = block.at(out, _within(block, pool, places, i), size)
        value = block.let(f"load {kind}, ptr {block.at(ct, i, size)}")
        if pool.windows.overlap:
            value = block.let(f"fadd {kind} {block.let(f'load {kind}, ptr {target}')}, {value}")
        block.put(f"store {kind} {value}, ptr {target}")

    block.each(pool.number, one)


_WRITTEN: Final[dict[str, Callable[[Block, Pool, Sequence[str], str], None]]] = {
    "max_places": _maxima,
    "max_windows": _maxima,
    "pick": _pick,
    "put": _put,
}
