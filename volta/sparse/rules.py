"""What each primitive makes of the index sets of its operands.

An operation that moves elements is applied to the numbers of the sets themselves; others join
sets. A rule errs by sets that are too large, never by one too small.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, Final, NamedTuple

import numpy as np

from volta.core.derivatives import Partial, Zero
from volta.core.primitive import REGISTRY, Primitive
from volta.core.types import ArrayType
from volta.functional.windowed import seen_by_all
from volta.sparse.sets import IndexSets, scipy_sparse

__all__ = ["RULES", "Found", "Operation", "dense", "elementwise", "joined"]


class Operation(NamedTuple):
    """One operation, as its rule sees it.

    Attributes
    ----------
    primitive, params
        What it is.
    sets : list of IndexSets or None
        Of the operands; None for those that depend on no input.
    value : callable
        ``value(i)`` is operand i as a NumPy array, or None where it is not known.
    out : callable
        The result as a NumPy array, or None where it is not known.
    kinds, results : sequence of ArrayType
        Types of operands and results.
    """

    primitive: Primitive
    params: dict[str, Any]
    sets: list[IndexSets | None]
    value: Callable[[int], Any]
    out: Callable[[], Any]
    kinds: Sequence[ArrayType]
    results: Sequence[ArrayType]


Found = IndexSets | None


def joined(parts: Sequence[Found], shape: tuple[int, ...]) -> Found:
    """Union of those that there are, broadcast to `shape`."""
    total: Found = None
    for part in parts:
        if part is not None:
            part = part.broadcast(shape)
            total = part if total is None else total.join(part)
    return total


def _relevant(op: Operation) -> list[Found]:
    """Sets of the operands in which the operation has a derivative."""
    if op.primitive.pair is not None:
        return list(op.sets)
    entries = op.primitive.entries(len(op.sets))
    return [None if type(e) is Zero else s for s, e in zip(op.sets, entries, strict=True)]


def dense(op: Operation) -> list[Found]:
    """Every element of every result depends on all that any operand depends on."""
    parts = [
        None if s is None else IndexSets(s.index.reshape(-1), s.rows).over((0,))
        for s in _relevant(op)
    ]
    total = joined(parts, (1,))
    if total is None:
        return [None] * len(op.results)
    whole = IndexSets(total.index.reshape(()), total.rows)
    return [whole.broadcast(r.shape) for r in op.results]


# Element by element ------------------------------------------------------------------------------


def elementwise(op: Operation) -> list[Found]:
    """Union of the operands' sets, without those whose derivative is known to be zero."""
    parts = []
    entries = None if op.primitive.pair else op.primitive.entries(len(op.sets))
    for i, s in enumerate(_relevant(op)):
        if s is not None and entries is not None and type(entries[i]) is Partial:
            slope = _slope(op, entries[i])
            s = s if slope is None else s.without(slope == 0)
        parts.append(s)
    return [joined(parts, op.results[0].shape)]


def _slope(op: Operation, entry: Partial) -> Any:
    """∂ in one operand as a NumPy array, where what it depends on is known."""
    reads = entry.reads(len(op.sets))
    values = [op.value(i) if i in reads else None for i in range(len(op.sets))]
    out = op.out() if entry.keeps_out else None
    if any(values[i] is None for i in reads) or (entry.keeps_out and out is None):
        return None
    with np.errstate(all="ignore"):
        slope = entry.rule(out, *values[: entry.takes])
    return np.asarray(slope[0] if entry.choice else slope)


def _where(op: Operation) -> list[Found]:
    chosen = op.value(0)
    _, yes, no = op.sets
    if chosen is not None:
        yes = None if yes is None else yes.without(~chosen)
        no = None if no is None else no.without(chosen)
    return [joined([yes, no], op.results[0].shape)]


# Elements that move ------------------------------------------------------------------------------


def _moved(op: Operation) -> list[Found]:
    """The operation itself, on the numbers of the sets; what it fills with zeros is empty."""
    others = [op.value(i) for i in range(1, len(op.sets))]
    if any(o is None for o in others):
        return dense(op)
    (s,) = op.sets[:1]
    if s is None:
        return [None] * len(op.results)
    index = op.primitive(s.index, *others, **op.params)
    indices = [index] if op.primitive.results == 1 else index
    return [IndexSets(np.asarray(i), s.rows) for i in indices]


def _kept(op: Operation) -> list[Found]:
    return [op.sets[0]]


def _assembled(op: Operation) -> list[Found]:
    """Results whose elements are elements of one of several operands."""
    present = [s for s in op.sets if s is not None]
    starts = np.cumsum([0, *(s.rows.shape[0] for s in present[:-1])])
    rows = present[0].rows
    if any(s.rows is not rows for s in present):
        rows = scipy_sparse().vstack([s.rows for s in present], format="csr")
    else:
        starts = starts * 0
    begin = iter(starts)
    indices = [
        np.zeros(k.shape, np.int64)
        if s is None
        else np.where(s.index > 0, s.index + next(begin), 0)
        for s, k in zip(op.sets, op.kinds, strict=True)
    ]
    return [IndexSets(np.asarray(op.primitive(*indices, **op.params)), rows)]


def _scattered(op: Operation) -> list[Found]:
    """Values added to, or put in place of, what a base has at the indices."""
    based = "shape" not in op.params  # embed_add has no base
    first = 2 if based else 1
    indices = [op.value(i) for i in range(first, len(op.sets))]
    if any(i is None for i in indices):
        return dense(op)
    shape = op.results[0].shape
    numbers = np.arange(prod(shape)).reshape(shape)
    places = np.asarray(REGISTRY["gather"](numbers, *indices, axes=op.params["axes"])).reshape(-1)
    base, values = op.sets[0] if based else None, op.sets[first - 1]
    if base is not None and op.params.get("mode") == "set":
        hit = np.zeros(prod(shape), bool)
        hit[places] = True
        base = base.without(hit.reshape(shape))
    put = None if values is None else values.grouped(places, values.index.reshape(-1), shape)
    return [joined([base, put], shape)]


# Along axes --------------------------------------------------------------------------------------


def _axes(op: Operation) -> tuple[int, ...]:
    axis = op.params.get("axis", op.params.get("axes"))
    ndim = op.kinds[0].ndim
    if axis is None:
        return tuple(range(ndim))
    return tuple(a % ndim for a in (axis if isinstance(axis, tuple | list) else (axis,)) if ndim)


def _reduced(op: Operation) -> list[Found]:
    """Union over the axes that are reduced."""
    (s,) = op.sets[:1]
    if s is None:
        return [None]
    over = s.over(_axes(op)) if s.index.ndim else s
    return [IndexSets(over.index.reshape(op.results[0].shape), s.rows if over is s else over.rows)]


def _along(op: Operation) -> list[Found]:
    """Union over axes that stay, if at another length."""
    parts = [s for s in _relevant(op)[:1] if s is not None]
    if not parts or not op.kinds[0].ndim:
        return [*parts, None][:1]
    return [parts[0].over(_axes(op)).broadcast(r.shape) for r in op.results]


_LONGEST: Final = 1024  # line of which a cumulative operation's sets are found exactly


def _cumulated(op: Operation) -> list[Found]:
    """Union with all that comes before, by doubling; of long lines with all of the line."""
    (s,) = op.sets
    if s is None or not s.index.ndim:
        return [s]
    (axis,) = _axes(op)
    length = s.index.shape[axis]
    if length > _LONGEST:
        return _along(op)
    total, step = s, 1
    while step < length:
        shifted = np.zeros_like(total.index)
        to = [slice(None)] * shifted.ndim
        of = list(to)
        to[axis], of[axis] = slice(step, None), slice(None, -step)
        shifted[tuple(to)] = total.index[tuple(of)]
        total = total.join(IndexSets(shifted, total.rows))
        step *= 2
    return [total]


# Products and matrices ---------------------------------------------------------------------------


def _matmul(op: Operation) -> list[Found]:
    """Rows of the left operand with columns of the right; where one is known, without its zeros."""
    shape = op.results[0].shape
    left, right = op.kinds[0].ndim == 1, op.kinds[1].ndim == 1
    full = list(shape)
    if left:
        full.insert(len(full) - (not right), 1)
    if right:
        full.append(1)
    a, b = op.sets
    parts = []
    if a is not None:
        index = a.index[None, :] if left else a.index
        parts.append(_product(IndexSets(index, a.rows), _second(op.value(1)), tuple(full)))
    if b is not None:
        index = b.index[:, None] if right else b.index
        known = op.value(0)
        known = None if known is None else _second(known[None, :] if left else known, flip=True)
        turned = (*full[:-2], full[-1], full[-2])
        found = _product(IndexSets(np.swapaxes(index, -1, -2), b.rows), known, turned)
        parts.append(IndexSets(np.swapaxes(found.index, -1, -2), found.rows))
    total = joined(parts, tuple(full))
    return [None if total is None else IndexSets(total.index.reshape(shape), total.rows)]


def _second(known: Any, *, flip: bool = False) -> Any:
    """Right operand of a product as a matrix of two axes, if it is one."""
    if known is None or known.ndim > 2:
        return None
    return known.T if flip else known if known.ndim == 2 else known[:, None]


_MOST: Final = 50_000_000  # terms of a product with a known matrix that are looked at one by one


def _product(a: IndexSets, known: Any, shape: tuple[int, ...]) -> IndexSets:
    """Sets of ``a @ b``, with `known` numbers of b or without."""
    lines = prod(a.index.shape[:-1])
    zero = None if known is None else known == 0
    terms = 0 if zero is None else lines * (zero.size - np.count_nonzero(zero))
    if zero is None or not zero.any() or terms > _MOST or a.index.shape[:-1] != shape[:-1]:
        return a.over((-1,)).broadcast(shape)
    inner, outer = np.nonzero(~zero)
    flat = a.index.reshape(lines, a.index.shape[-1])
    group = (np.arange(lines)[:, None] * shape[-1] + outer).reshape(-1)
    return a.grouped(group, flat[:, inner].reshape(-1), shape)


_TAPS: Final = 64  # longest known kernel of which each number is looked at


def _convolved(op: Operation) -> list[Found]:
    """The operation on the numbers of the sets, once for each number of a short known kernel."""
    parts: list[Found] = []
    shape = op.results[0].shape
    for i in (0, 1):
        s, other = op.sets[i], op.value(1 - i)
        if s is None:
            continue
        if other is None or other.ndim != 1 or other.size > _TAPS:
            parts.append(s.over((-1,)))
            continue
        for tap in np.flatnonzero(other):
            unit = np.zeros(other.shape)
            unit[tap] = 1.0
            pair = (s.index.astype(np.float64), unit)
            moved = op.primitive(*(pair if i == 0 else pair[::-1]), **op.params)
            parts.append(IndexSets(np.rint(moved).astype(np.int64), s.rows))
    return [joined(parts, shape)]


def _resampled(op: Operation) -> list[Found]:
    """Union of the elements that each result reads."""
    (s,) = op.sets
    if s is None:
        return [None]
    axis, places = op.params["axis"], op.params["taps"].places
    parts = [IndexSets(s.index.take(column, axis), s.rows) for column in places.T]
    return [joined(parts, op.results[0].shape)]


def _overlapped(op: Operation) -> list[Found]:
    """Union of what lies on one element."""
    (s,) = op.sets
    if s is None:
        return [None]
    shape = op.results[0].shape
    params = {k: v for k, v in op.params.items() if k != "lengths"}
    places = REGISTRY["windows"](np.arange(prod(shape)).reshape(shape), **params)
    return [s.grouped(np.asarray(places).reshape(-1), s.index.reshape(-1), shape)]


def _pooled(op: Operation) -> list[Found]:
    """Union of each window, or of the windows that an element lies in."""
    s = op.sets[0]
    if s is None:
        return [None]
    shape, windows = op.results[0].shape, op.params["windows"]
    places: Any = np.arange(prod(shape)).reshape(shape)
    down = op.primitive.name in ("max_windows", "pick", "sum_windows")
    pairs = [
        (places[..., *part], s.index[..., *elements])
        if down
        else (places[..., *elements], s.index[..., *part])
        for _, part, elements in seen_by_all(windows)
    ]
    group, index = (
        np.concatenate([a.reshape(-1) for a in each]) for each in zip(*pairs, strict=True)
    )
    return [s.grouped(group, index, shape)]


def _standardized(op: Operation) -> list[Found]:
    """All that an element is normalized with, and its own weight and bias."""
    x, *affine = op.sets
    y, *moments = op.results
    over = None if x is None else x.over(_axes(op))
    return [joined([over, *affine], y.shape), *(joined([over], m.shape) for m in moments)]


def _matrix(op: Operation) -> list[Found]:
    """Functions of matrices, the last two axes: each result depends on all of its matrix."""
    (s,) = op.sets[:1]
    if s is None:
        return [None] * len(op.results)
    over = s.over((-2, -1))
    lead = s.index.shape[:-2]
    return [
        IndexSets(over.index.reshape(lead + (1,) * (r.ndim - len(lead))), over.rows).broadcast(
            r.shape
        )
        for r in op.results
    ]


def _solved(op: Operation) -> list[Found]:
    """All of the matrix, and the column of the right-hand side."""
    a, b = op.sets
    vector = op.kinds[1].ndim == 1
    parts = []
    if a is not None:
        over = a.over((-2, -1))
        parts.append(IndexSets(over.index[..., 0] if vector else over.index, over.rows))
    if b is not None:
        parts.append(b.over((-1,) if vector else (-2,)))
    return [joined(parts, op.results[0].shape)]


def _named(rule: Callable[[Operation], list[Found]], names: str) -> dict[str, Any]:
    return dict.fromkeys(names.split(), rule)


RULES: Final[dict[str, Callable[[Operation], list[Found]]]] = {
    **_named(_kept, "astype checkpoint_name hide transfer"),
    **_named(
        _moved,
        "basic_slice broadcast_to embed_slice flip gather permute_dims permuted reshape restored "
        "roll tril triu unstack windows",
    ),
    **_named(_assembled, "concat slice_update"),
    **_named(_scattered, "embed_add scatter scatter_max scatter_min scatter_multiply"),
    **_named(_pooled, "max_windows pick put spread_windows sum_windows"),
    **_named(_reduced, "class_losses max mean min prod sum"),
    **_named(_along, "fftn irfft log_softmax rfft softmax sort"),
    **_named(
        _cumulated,
        "cumulative_logsumexp cumulative_max cumulative_min cumulative_prod cumulative_sum",
    ),
    **_named(_matrix, "adjugate cholesky det eig eigh eigvalsh inv pinv qr slogdet svd svdvals"),
    "convolve": _convolved,
    "matmul": _matmul,
    "overlap_windows": _overlapped,
    "resample": _resampled,
    "solve": _solved,
    "standardize": _standardized,
    "where": _where,
}
