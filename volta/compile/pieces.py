"""Operations that threads share: each calls the kernel for a piece of the result.

Convolutions that are too short for that, as they are many calls, run beside each other where
neither needs the other's result: the input's cotangent and the weight's.

NumPy's kernels run on one thread, and of BLAS's own threads each keeps a processor busy for some
milliseconds after it is asked for something, which those that share the next operation then lack.
So all threads here are those of `threads`, and BLAS is asked for one (`threads.sharing_products`).
"""

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from volta.compile import threads
from volta.compile.standin import Divided
from volta.core.primitive import REGISTRY
from volta.core.types import ArrayType
from volta.core.wengert import Entry, operands_of

__all__ = ["Pieces", "Together", "pieces"]

_PRODUCTS: Final = 1 << 23  # multiplications that are worth waking another thread for
_ELEMENTS: Final = 1 << 19  # elements that another kernel reads or writes, likewise

Types = dict[int, ArrayType]


class Cut(NamedTuple):
    """How an operation divides.

    Attributes
    ----------
    length : int
        Of the axis that is cut.
    operands : tuple of (int or None)
        Which axis of each operand that is; None if a piece reads all of it.
    results : tuple of (int or None)
        Likewise of each result; None if it is the sum of what pieces give.
    most : int
        Pieces at most.
    """

    length: int
    operands: tuple[int | None, ...]
    results: tuple[int | None, ...]
    most: int = sys.maxsize


class Pieces(Divided):
    """What stands for a primitive in an entry that threads share.

    Attributes
    ----------
    entries : list of Entry
        The entry.
    cut : Cut
    step : int
        Places of the axis that a piece has.
    """

    name = "pieces"

    def __init__(self, entry: Entry, cut: Cut) -> None:
        self.entries = [entry]
        self.cut, self.results = cut, len(entry.results)
        self.step = -(-cut.length // min(threads.threads(), cut.most))
        self.starts = (range(0, cut.length, self.step),)

    def of_operand(self, axis: int | None) -> str:
        """Index of the piece of an operand; empty if that is all of it."""
        return "" if axis is None else f"[{':, ' * axis}i0:i0 + {self.step}]"

    def of_result(self, axis: int | None) -> str:
        """Index of the piece of a result, or of a term of it in the array of all terms."""
        return f"[i0 // {self.step}]" if axis is None else self.of_operand(axis)


class Together(Divided):
    """What stands for primitives in an entry of several, each of which a thread computes.

    Attributes
    ----------
    entries : list of Entry
        The several, of one result each.
    """

    name = "together"

    def __init__(self, entries: list[Entry]) -> None:
        self.entries, self.results = entries, len(entries)
        self.starts = (range(len(entries)),)


def pieces(entries: Iterable[Entry], types: Types) -> list[Entry]:
    """Entries of which threads share long ones; new types are added to `types`."""
    entries = list(entries)
    if threads.threads() == 1 or not threads.may_share_products():
        return entries
    return [made for e in _together(entries, types) for made in _shared(e, types)]


def _together(entries: list[Entry], types: Types) -> list[Entry]:
    """Entries of which convolutions that do not need each other's results are one."""
    made: list[Entry] = []
    while entries:
        e, *entries = entries
        if _fits(e, types):
            later = set(e.results)  # what is not there yet
            for i, other in enumerate(entries):
                alike = (e.origin is None) is (other.origin is None)  # whether they may warn
                if alike and later.isdisjoint(operands_of(other)) and _fits(other, types):
                    e = _joined([e, other])
                    del entries[i]
                    break
                later.update(other.results)
        made.append(e)
    return made


def _fits(e: Entry, types: Types) -> bool:
    """Whether it is a convolution that is long, but not so long that it is shared by itself."""
    if e.primitive.name not in _MAPS or not all(type(o) is int for o in e.operands):
        return False
    given, (out,) = [types[o] for o in e.operands], [types[v] for v in e.results]
    return _PRODUCTS >> 1 <= _multiplications(e.primitive.name, given, out) < _PRODUCTS << 4


def _joined(entries: list[Entry]) -> Entry:
    primitive: Any = Together(entries)
    operands = dict.fromkeys(o for e in entries for o in e.operands)
    results = tuple(v for e in entries for v in e.results)
    return entries[0]._replace(
        primitive=primitive, params={}, operands=(*operands,), result=results
    )


def _shared(e: Entry, types: Types) -> Iterator[Entry]:
    found = _CUTS.get(e.primitive.name)
    cut = None
    if found is not None and all(type(o) is int for o in e.operands):
        operands = [types[o] for o in e.operands]
        if operands[0].dtype.name in _FLOATS:
            cut = found(e, operands, [types[v] for v in e.results])
    if cut is None:
        yield e
        return
    primitive: Any = Pieces(e, cut)
    made = e._replace(primitive=primitive, params={}, operands=(*dict.fromkeys(e.operands),))
    if cut.results != (None,):
        yield made
        return
    count = len(primitive.starts[0])
    kind = types[e.results[0]]
    v = 1 + max(types)
    types[v] = kind._replace(shape=(count, *kind.shape))
    yield made._replace(result=v)
    yield e._replace(
        primitive=REGISTRY["sum"], operands=(v,), params={"axis": (0,), "keepdims": False}
    )


# How operations divide ----------------------------------------------------------------------------

Kinds = list[ArrayType]


def _first(lengths: Iterable[int], axes: Iterable[int]) -> int | None:
    """The first of `axes` that is long enough for all threads."""
    lengths = tuple(lengths)
    return next((a for a in axes if lengths[a] >= threads.threads()), None)


def _aligned(kind: ArrayType, shape: tuple[int, ...], axis: int) -> int | None:
    """Which axis of an operand is `axis` of `shape`; None if it is broadcast there."""
    own = axis - (len(shape) - kind.ndim)
    return own if own >= 0 and kind.shape[own] == shape[axis] else None


def _product(e: Entry, operands: Kinds, results: Kinds) -> Cut | None:
    (x, y), (out,) = operands, results
    if min(x.ndim, y.ndim) < 2 or math.prod(out.shape) * x.shape[-1] < _PRODUCTS:
        return None
    axis = _first(out.shape, range(out.ndim - 2))
    if axis is not None:
        lead = out.shape[:-2]
        given = (_aligned(k._replace(shape=k.shape[:-2]), lead, axis) for k in operands)
        return Cut(out.shape[axis], tuple(given), (axis,))
    *_, rows, columns = out.shape  # the larger matrix is not read by all
    if rows >= columns:
        return Cut(rows, (x.ndim - 2, None), (out.ndim - 2,))
    return Cut(columns, (None, y.ndim - 1), (out.ndim - 1,))


def _multiplications(name: str, operands: Kinds, out: ArrayType) -> int:
    """Of a convolution."""
    x, y = operands
    w, places = {"conv": (y, out), "conv_input": (y, x), "conv_weight": (out, y)}[name]
    return math.prod(w.shape) * x.shape[0] * math.prod(places.shape[2:])


def _convolution(e: Entry, kinds: Kinds, made: Kinds) -> Cut | None:
    name, (x, y), (out,) = e.primitive.name, kinds, made
    batch = x.shape[0]
    least = _PRODUCTS << 4  # others are many short calls
    if batch < threads.threads() or _multiplications(name, kinds, out) < least:
        return None
    if name != "conv_weight":
        return Cut(batch, (0, None), (0,))
    # terms of a sum take no more than operands do
    return Cut(batch, (0, 0), (None,), max(2, (x.nbytes + y.nbytes) // out.nbytes))


def _attention(e: Entry, operands: Kinds, results: Kinds) -> Cut | None:
    k = operands[1]
    *lead, queries, width = results[0].shape
    axis = _first(lead, range(len(lead)))
    if axis is None or math.prod(lead) * queries * k.shape[-2] * width < _PRODUCTS >> 2:
        return None
    given = (_aligned(kind._replace(shape=kind.shape[:-2]), tuple(lead), axis) for kind in operands)
    return Cut(lead[axis], tuple(given), (axis, axis))


def _standardized(e: Entry, operands: Kinds, results: Kinds) -> Cut | None:
    shape = operands[0].shape
    axis = _first(shape, (a for a in range(len(shape)) if a not in e.params["axes"]))
    if axis is None or math.prod(shape) < _ELEMENTS >> 1:
        return None
    given = (_aligned(kind, shape, axis) for kind in operands)
    return Cut(shape[axis], tuple(given), (axis,) * len(results))


def _reduced(e: Entry, operands: Kinds, results: Kinds) -> Cut | None:
    shape, along = operands[0].shape, e.params["axis"]
    axis = _first(shape, (a for a in range(len(shape)) if a not in along))
    if axis is None or math.prod(shape) < _ELEMENTS:
        return None
    left = axis if e.params["keepdims"] else axis - sum(a < axis for a in along)
    return Cut(shape[axis], (axis,), (left,))


def _windowed(e: Entry, operands: Kinds, results: Kinds) -> Cut | None:
    windows = e.params["windows"]
    lead = operands[0].shape[: -len(windows.kernel)]
    axis = _first(lead, range(len(lead)))
    size = max(math.prod(k.shape) for k in (*operands, *results))
    if axis is None or size < _ELEMENTS << 1:
        return None
    return Cut(lead[axis], (axis,) * len(operands), (axis,) * len(results))


_MAPS: Final = ("conv", "conv_input", "conv_weight")
_FLOATS: Final = ("float32", "float64")
_CUTS: Final[dict[str, Callable[[Entry, Kinds, Kinds], Cut | None]]] = {
    "attention": _attention,
    "conv": _convolution,
    "conv_input": _convolution,
    "conv_weight": _convolution,
    "matmul": _product,
    "max": _reduced,
    "max_places": _windowed,
    "max_windows": _windowed,
    "mean": _reduced,
    "min": _reduced,
    "pick": _windowed,
    "put": _windowed,
    "standardize": _standardized,
    "sum": _reduced,
    "sum_windows": _windowed,
}
