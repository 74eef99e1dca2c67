"""Margins around an array, and its opposites: taking a block out of it, and every so many-th."""

import operator
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from volta.core.errors import DimensionError, DTypeError, ShapeError
from volta.core.trace import located, ops
from volta.core.tracer import widest
from volta.core.types import Array, typeof
from volta.functional.declare import composite
from volta.functional.elementwise import add, divide, floor, multiply, round, subtract
from volta.functional.indexing import _basic_slice, _embed_slice, _slice_update, take
from volta.functional.manipulation import broadcast_to, concat
from volta.functional.reduction import max, mean, min
from volta.functional.sorting import median

__all__ = ["pad", "shrink", "stride"]

Width = tuple[int, int]


# Arguments ----------------------------------------------------------------------------------------


def _pairs(what: str, value: Any, ndim: int) -> list[tuple[Any, Any]]:
    """One pair for each axis: of a number, of a pair for all axes, or of a pair for each."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, tuple | list):
        return [(value, value)] * ndim
    rows: list[Any] = [v if isinstance(v, tuple | list) else None for v in value]
    if None in rows:
        rows = [list(value)]
    if len(rows) == 1:
        rows = rows * ndim
    if len(rows) != ndim or any(len(row) not in (1, 2) for row in rows):
        msg = (
            f"pad: {what} must be one value, a pair, or a pair for each axis; got {value!r} for "
            f"{ndim} axes."
        )
        raise located(ShapeError(msg))
    return [(row[0], row[-1]) for row in rows]


def _widths(pad_width: Any, ndim: int) -> list[Width]:
    pairs = _pairs("pad_width", pad_width, ndim)
    try:
        widths = [(operator.index(before), operator.index(after)) for before, after in pairs]
    except TypeError:
        msg = f"pad: pad_width must hold ints; got {pad_width!r}."
        raise located(DTypeError(msg)) from None
    if any(n < 0 for width in widths for n in width):
        msg = f"pad: pad_width must not be negative; got {pad_width!r}. Use shrink to take away."
        raise located(ShapeError(msg))
    return widths


# Modes --------------------------------------------------------------------------------------------


def _constant(x: Any, widths: list[Width], values: Any) -> Any:
    key = tuple(slice(b, b + n) for (b, _), n in zip(widths, x.shape, strict=True))
    shape = tuple(b + n + a for (b, a), n in zip(widths, x.shape, strict=True))
    if type(values) in (int, float) and values == 0:
        return _embed_slice(x, key=key, shape=shape)
    if not isinstance(values, tuple | list | np.ndarray):
        return _slice_update(ops.full_like(x, values, shape=shape), x, key=key)
    return _each_axis(x, widths, _margins, _pairs("constant_values", values, x.ndim))


def _each_axis(
    x: Any, widths: list[Width], margins: Callable[..., tuple[Any, Any]], options: Sequence[Any]
) -> Any:
    """`x` with margins along one axis after another, so that the later ones fill the corners."""
    for axis, (width, option) in enumerate(zip(widths, options, strict=True)):
        if any(width):
            before, after = margins(x, axis, width, option)
            x = concat([before, x, after], axis=axis)
    return x


def _margins(x: Any, axis: int, width: Width, values: tuple[Any, Any]) -> tuple[Any, Any]:
    """Margins of one value each."""
    before, after = (
        ops.full_like(x, value, shape=_with_length(x, axis, n))
        for value, n in zip(values, width, strict=True)
    )
    return before, after


def _with_length(x: Any, axis: int, n: int) -> tuple[int, ...]:
    return (*x.shape[:axis], n, *x.shape[axis + 1 :])


def _part(x: Any, axis: int, start: int, stop: int | None, step: int = 1) -> Any:
    return _basic_slice(x, key=(*(slice(None),) * axis, slice(start, stop, step)))


def _picked(x: Any, axis: int, places: Any) -> Any:
    """Elements along an axis; by a slice, whose gradient costs less, where they are neighbours."""
    if len(places) == 0:
        return _part(x, axis, 0, 0)
    first, last = int(places[0]), int(places[-1])
    steps = set(np.diff(places).tolist())
    if steps == {0}:
        spread = _with_length(x, axis, len(places))
        return broadcast_to(_part(x, axis, first, first + 1), spread)
    if steps <= {1}:
        return _part(x, axis, first, last + 1)
    if steps == {-1}:
        return _part(x, axis, first, last - 1 if last else None, -1)
    return take(x, places, axis=axis)


def _places(mode: str, n: int, positions: Any) -> Any:
    """Elements of an axis of length `n` that lie at positions beyond its ends."""
    if mode == "edge":
        return np.clip(positions, 0, n - 1)
    if mode == "wrap":
        return positions % n
    period = 2 * n if mode == "symmetric" else 2 * n - 2 or 1
    ahead = positions % period
    return np.minimum(ahead, (period - 1 if mode == "symmetric" else period) - ahead)


def _repeated(mode: str, odd: bool) -> Callable[..., tuple[Any, Any]]:
    """Margins whose elements are others of the axis."""

    def margins(x: Any, axis: int, width: Width, _: Any) -> tuple[Any, Any]:
        n = x.shape[axis]
        positions = np.arange(-width[0], 0), np.arange(n, n + width[1])
        places = [_places(mode, n, p) for p in positions]
        if not odd or n == 1:
            before, after = (_picked(x, axis, p) for p in places)
            return before, after
        # reflected at an end, an element is twice the end minus what it was: a combination of the
        # element and of both ends, whose weights add up to one
        first, last = (np.zeros(n, np.int64) for _ in range(2))
        first[0] = last[-1] = 1
        weights = [np.pad(a, width, mode=mode, reflect_type="odd") for a in (first, last)]  # type: ignore[call-overload]
        ends = slice(None, width[0]), slice(width[0] + n, None)
        before, after = (
            _combined(x, axis, p, [w[end] for w in weights])
            for p, end in zip(places, ends, strict=True)
        )
        return before, after

    return margins


def _combined(x: Any, axis: int, places: Any, ends: list[Any]) -> Any:
    """Elements at `places`, weighted, and the first and the last of the axis."""
    n = x.shape[axis]
    own = 1 - ends[0] - ends[1]
    terms = [
        multiply(_picked(x, axis, where), _along(x, axis, weight))
        for where, weight in (
            (places, own),
            (np.zeros_like(places), ends[0]),
            (np.full_like(places, n - 1), ends[1]),
        )
        if weight.any()
    ]
    if not terms:
        return _part(x, axis, 0, 0)
    out = terms[0]
    for term in terms[1:]:
        out = add(out, term)
    return out


def _along(x: Any, axis: int, values: Any) -> Any:
    """Whole numbers from the host along an axis of `x`, where it is and of its dtype."""
    shape = [1] * x.ndim
    shape[axis] = len(values)
    return ops.numbers_like(x, values.reshape(shape))


def _ramp(x: Any, axis: int, width: Width, ends: tuple[Any, Any]) -> tuple[Any, Any]:
    """Margins that go from a value at the rim to the element at the edge."""
    n = x.shape[axis]
    whole = typeof(x).dtype.kind in ("int", "uint")
    margins = []
    for edge, count, end, back in ((0, width[0], ends[0], 1), (n - 1, width[1], ends[1], -1)):
        start = _part(x, axis, edge, edge + 1)
        if whole:
            start = ops.astype(start, widest(x))
        step = divide(subtract(start, end), count or 1)
        values = add(multiply(step, _along(start, axis, np.arange(count)[::back])), end)
        margins.append(ops.astype(floor(values), x.dtype) if whole else values)
    return margins[0], margins[1]


def _statistic(reduce: Callable[..., Any], rounds: bool) -> Callable[..., tuple[Any, Any]]:
    """Margins of a statistic of the elements next to them."""

    def margins(x: Any, axis: int, width: Width, lengths: tuple[Any, Any]) -> tuple[Any, Any]:
        n = x.shape[axis]
        found = []
        for count, length, start in ((width[0], lengths[0], 0), (width[1], lengths[1], n)):
            size = n if length is None or length > n else operator.index(length)
            if size < 1:
                msg = f"pad: stat_length must be positive; got {length}."
                raise located(ShapeError(msg))
            part = _part(x, axis, start - size if start else 0, n if start else size)
            if rounds and typeof(x).dtype.kind in ("int", "uint"):
                value = reduce(ops.astype(part, widest(x)), axis=axis, keepdims=True)
                value = ops.astype(round(value), x.dtype)
            else:
                value = reduce(part, axis=axis, keepdims=True)
            found.append(broadcast_to(value, _with_length(x, axis, count)))
        return found[0], found[1]

    return margins


_STATISTICS: Final = {
    "maximum": _statistic(max, rounds=False),
    "minimum": _statistic(min, rounds=False),
    "mean": _statistic(mean, rounds=True),
    "median": _statistic(median, rounds=True),
}
_REPEATING: Final = ("edge", "reflect", "symmetric", "wrap")
_MODES: Final = ("constant", *_REPEATING, "linear_ramp", *_STATISTICS)


@composite
def pad(
    x: Array,
    /,
    pad_width: Any,
    mode: str = "constant",
    *,
    constant_values: Any = 0,
    end_values: Any = 0,
    stat_length: Any = None,
    reflect_type: str = "even",
) -> Any:
    """Put margins around an array.

    Parameters
    ----------
    x : array
    pad_width : int, pair of int, or a pair for each axis
        Widths of the margins before and after; one pair is for all axes, an int for both ends.
    mode : str
        What the margins hold: ``"constant"`` values; the element at the ``"edge"``; a
        ``"reflect"``-ion that leaves out the edge, or a ``"symmetric"`` one that repeats it; what
        a ``"wrap"`` around the axis meets; a ``"linear_ramp"`` down to `end_values`; or
        ``"maximum"``, ``"minimum"``, ``"mean"`` or ``"median"`` of the axis.
    constant_values, end_values : number, pair of numbers, or a pair for each axis
        For ``"constant"``, and for ``"linear_ramp"``.
    stat_length : int, pair of int, or a pair for each axis, optional
        How many elements next to a margin its statistic is of; by default all.
    reflect_type : str
        ``"even"``, or ``"odd"``: what is reflected is subtracted from twice the edge.

    Returns
    -------
    array
        Of the dtype of `x`. The margins of later axes fill the corners.

    Raises
    ------
    ShapeError
        If a width is negative, there is not a pair for each axis, or there is no element to fill
        a margin from.
    DTypeError
        If a width is no integer.
    ValueError
        If there is no such mode.

    Notes
    -----
    The values are those of `numpy.pad`. Ramps, means and medians of integers are computed in
    float64, or in float32 where that is missing.

    Examples
    --------
    >>> F.pad(np.asarray([1.0, 2.0, 3.0]), (2, 1))
    array([0., 0., 1., 2., 3., 0.])
    >>> F.pad(np.asarray([1.0, 2.0, 3.0]), 2, mode="reflect")
    array([3., 2., 1., 2., 3., 2., 1.])
    """
    widths = _widths(pad_width, x.ndim)
    if mode == "constant":
        return _constant(x, widths, constant_values)
    if mode not in _MODES or reflect_type not in ("even", "odd"):
        msg = (
            f"pad: mode must be one of {', '.join(_MODES)}, and reflect_type even or odd; got "
            f"{mode!r} and {reflect_type!r}."
        )
        raise located(ValueError(msg))
    for axis, width in enumerate(widths):
        if any(width) and x.shape[axis] == 0:
            msg = (
                f"pad: an axis must have elements to fill its margins from; got shape "
                f"{tuple(x.shape)} and mode {mode!r}. Use mode 'constant'."
            )
            raise located(ShapeError(msg))
    if mode == "linear_ramp":
        return _each_axis(x, widths, _ramp, _pairs("end_values", end_values, x.ndim))
    if mode in _STATISTICS:
        lengths = _pairs("stat_length", stat_length, x.ndim)
        return _each_axis(x, widths, _STATISTICS[mode], lengths)
    odd = reflect_type == "odd" and mode in ("reflect", "symmetric")
    return _each_axis(x, widths, _repeated(mode, odd), [None] * x.ndim)


# Taking away --------------------------------------------------------------------------------------


@composite
def shrink(x: Array, /, ranges: Sequence[tuple[int, int]]) -> Any:
    """Take a block out of an array.

    Parameters
    ----------
    x : array
    ranges : sequence of pairs of int
        Where the block starts along each axis, and where it stops: the first element after it.

    Returns
    -------
    array

    Raises
    ------
    ShapeError
        If there is not a range for each axis, or one holds no element.
    DimensionError
        If a range reaches beyond its axis.

    Examples
    --------
    >>> F.shrink(np.asarray([[1, 2, 3], [4, 5, 6]]), [(0, 2), (1, 3)])
    array([[2, 3],
           [5, 6]])
    """
    pairs = [(operator.index(start), operator.index(stop)) for start, stop in ranges]
    _one_each("shrink", "range", pairs, x)
    for axis, ((start, stop), n) in enumerate(zip(pairs, x.shape, strict=True)):
        if start < 0 or stop > n:
            msg = f"shrink: ranges must lie from 0 to {n} along axis {axis}; got {start} to {stop}."
            raise located(DimensionError(msg))
        if start >= stop:
            msg = (
                f"shrink: a range must hold an element; got {start} to {stop} along axis {axis}. "
                "Use x[start:stop] for an empty one."
            )
            raise located(ShapeError(msg))
    return _basic_slice(x, key=tuple(slice(*pair) for pair in pairs))


@composite
def stride(x: Array, /, steps: Sequence[int]) -> Any:
    """Take every so many-th element along each axis.

    Parameters
    ----------
    x : array
    steps : sequence of int
        One for each axis, at least 1.

    Returns
    -------
    array
        Of length ⌈n / step⌉ along each axis.

    Raises
    ------
    ShapeError
        If there is not a step for each axis, or one is less than 1.

    Examples
    --------
    >>> F.stride(np.asarray([1, 2, 3, 4, 5]), [2])
    array([1, 3, 5])
    """
    counts = [operator.index(step) for step in steps]
    _one_each("stride", "step", counts, x)
    if any(step < 1 for step in counts):
        msg = f"stride: steps must be at least 1; got {counts}."
        raise located(ShapeError(msg))
    return _basic_slice(x, key=tuple(slice(None, None, step) for step in counts))


def _one_each(name: str, what: str, given: Sequence[Any], x: Any) -> None:
    if len(given) != x.ndim:
        msg = f"{name}: there must be a {what} for each of {x.ndim} axes; got {len(given)}."
        raise located(ShapeError(msg))
