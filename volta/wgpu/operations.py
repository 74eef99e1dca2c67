"""Operations that are no loops over scalars: which launches they are, by their primitives."""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, Final

from volta.compile.standin import StandIn
from volta.core.wengert import Entry
from volta.wgpu.kernels.convolution import (
    convolution,
    convolution_input,
    convolution_weight,
)
from volta.wgpu.kernels.cumulative import cumulative
from volta.wgpu.kernels.elements import each, place
from volta.wgpu.kernels.extremum import arg_extremum
from volta.wgpu.kernels.gather import gather, numbers
from volta.wgpu.kernels.permutation import permuted, restored
from volta.wgpu.kernels.pooling import (
    max_places,
    max_windows,
    pick,
    put,
    spread_windows,
    sum_windows,
)
from volta.wgpu.kernels.product import product
from volta.wgpu.kernels.scatter import scatter
from volta.wgpu.kernels.sort import argsort, searchsorted, sort, top_indices
from volta.wgpu.launch import View, row_major
from volta.wgpu.loops import constant, copy
from volta.wgpu.plan import Operation, Planner, viewed
from volta.wgpu.splits import is_beyond

__all__ = ["OPERATIONS", "REQUIRES", "WITHIN"]


class _Within(StandIn):
    """What stands for a primitive in an entry that checks indices of an axis of some length."""

    name, results = "within", 1


class _Requires(StandIn):
    """What stands for a primitive in an entry that tells of elements that are false."""

    name, results, effect = "requires", 1, True


WITHIN: Final = _Within()
REQUIRES: Final = _Requires()


# Movements of elements ----------------------------------------------------------------------------


def _part(view: View, key: Any) -> View:
    """The elements of a view that a key means."""
    found = viewed("basic_slice", view, {"key": key})
    assert found is not None
    return found


def _spread(view: View, shape: tuple[int, ...]) -> View:
    """A view that is broadcast."""
    found = viewed("broadcast_to", view, {"shape": shape})
    assert found is not None
    return found


def _copied(planner: Planner, e: Entry) -> None:
    x = planner.view(e.operands[0])
    copy(planner.to, x, planner.made(e.results[0]))


def _concat(planner: Planner, e: Entry) -> None:
    axis, start = e.params["axis"], 0
    out = planner.made(e.results[0])
    for o in e.operands:
        x = planner.view(o)
        stop = start + x.shape[axis]
        copy(planner.to, x, _part(out, (*(slice(None),) * axis, slice(start, stop))))
        start = stop


def _embed_slice(planner: Planner, e: Entry) -> None:
    out = planner.made(e.results[0])
    constant(planner.to, 0, out)
    copy(planner.to, planner.view(e.operands[0]), _part(out, e.params["key"]))


def _slice_update(planner: Planner, e: Entry) -> None:
    x, v = map(planner.view, e.operands)
    out = planner.made(e.results[0])
    copy(planner.to, x, out)
    part = _part(out, e.params["key"])
    copy(planner.to, _spread(v, part.shape), part)


def _roll(planner: Planner, e: Entry) -> None:
    x, out = planner.view(e.operands[0]), planner.made(e.results[0])
    if 0 in x.shape:
        return
    shifts = dict.fromkeys(range(len(x.shape)), 0)
    for s, a in zip(e.params["shift"], e.params["axis"], strict=True):
        shifts[a % len(x.shape)] += s
    parts = []
    for a, n in enumerate(x.shape):
        s = shifts[a] % n
        whole = [(slice(None), slice(None))]
        parts.append(
            whole if s == 0 else [(slice(n - s), slice(s, n)), (slice(n - s, n), slice(s))]
        )
    for chosen in itertools.product(*parts):
        source, target = zip(*chosen, strict=True) if chosen else ((), ())
        copy(planner.to, _part(x, source), _part(out, target))


# Products -----------------------------------------------------------------------------------------


def _matmul(planner: Planner, e: Entry) -> None:
    x, y = map(planner.view, e.operands)
    out = planner.made(e.results[0])
    rows, columns = x.shape[:-1][-1:], y.shape[1:][-1:]  # empty of a vector
    lead = out.shape[: len(out.shape) - len(rows) - len(columns)]
    if not rows:
        x = _part(x, (None,))
    if not columns:
        y = _part(y, (slice(None), None))
    shape = (*lead, *(rows or (1,)), *(columns or (1,)))
    x, y = (_spread(v, (*lead, *v.shape[-2:])) for v in (x, y))
    product(planner.to, x, y, out._replace(shape=shape, strides=row_major(shape)))


def _convolution(function: Callable[..., None]) -> Operation:
    def operation(planner: Planner, e: Entry) -> None:
        x, y = map(planner.view, e.operands)
        params = {name: e.params[name] for name in ("stride", "padding", "dilation", "groups")}
        function(planner.to, x, y, planner.made(e.results[0]), **params)

    return operation


def _of_windows(function: Callable[..., None]) -> Operation:
    def operation(planner: Planner, e: Entry) -> None:
        windows = e.params["windows"]
        arrays = [*map(planner.view, e.operands), planner.made(e.results[0])]
        lanes = len(arrays[0].shape) - len(windows.kernel)
        for part in _in_parts(arrays, lanes, planner.to.facts.limits.binding):
            function(planner.to, *part, windows=windows)

    return operation


def _in_parts(arrays: list[View], lanes: int, most: int) -> Iterator[list[View]]:
    """Parts of arrays along the first axes, so that kernels see at most so many bytes of each."""
    axis = next((a for a in range(lanes) if arrays[0].shape[a] > 1), None)
    if axis is None or not any(is_beyond(view, most) for view in arrays):
        yield arrays
        return
    n = arrays[0].shape[axis]
    for half in (slice(0, n // 2), slice(n // 2, n)):
        key = (*(slice(None),) * axis, half)
        yield from _in_parts([_part(view, key) for view in arrays], lanes, most)


# Indices ------------------------------------------------------------------------------------------


def _gather(planner: Planner, e: Entry) -> None:
    x, *indices = map(planner.view, e.operands)
    out, axes = planner.made(e.results[0]), e.params["axes"]
    failed, code = planner.failure(e)
    gather(planner.to, x, indices, out, axes=axes, failed=failed, code=code)


def _scatter(mode: str | None) -> Operation:
    def operation(planner: Planner, e: Entry) -> None:
        base, values, *indices = map(planner.view, e.operands)
        out, axes = planner.made(e.results[0]), e.params["axes"]
        failed, code = planner.failure(e)
        its = e.params["mode"] if mode is None else mode
        scatter(
            planner.to, base, values, indices, out, axes=axes, mode=its, failed=failed, code=code
        )

    return operation


def _within(planner: Planner, e: Entry) -> None:
    failed, code = planner.failure(e)
    index, lengths = planner.view(e.operands[0]), [e.params["length"]]
    planner.views[e.results[0]] = numbers(planner.to, [index], lengths, failed=failed, code=code)


def _requires(planner: Planner, e: Entry) -> None:
    condition = planner.view(e.operands[0])
    failed, code = planner.failure(e)
    planner.views[e.results[0]] = failed  # which nobody reads
    each(
        planner.to,
        "what is required",
        math.prod(condition.shape),
        "if (x[x_place(i)] | failed[p.failed_0]) == 0u { failed[p.failed_0] = p.code; }",
        reads={"x": condition},
        writes={"failed": failed},
        places=[place("x", condition)],
        params={"code": code},
    )


# Order --------------------------------------------------------------------------------------------


def _sort(planner: Planner, e: Entry) -> None:
    x, out = planner.view(e.operands[0]), planner.made(e.results[0])
    sort(planner.to, x, out, axis=e.params["axis"], descending=e.params["descending"])


def _argsort(planner: Planner, e: Entry) -> None:
    x, out = planner.view(e.operands[0]), planner.made(e.results[0])
    argsort(planner.to, x, out, axis=e.params["axis"], descending=e.params["descending"])


def _top_indices(planner: Planner, e: Entry) -> None:
    x, out = planner.view(e.operands[0]), planner.made(e.results[0])
    top_indices(planner.to, x, out, axis=e.params["axis"])


def _permuted(function: Callable[..., None]) -> Operation:
    def operation(planner: Planner, e: Entry) -> None:
        x, order = map(planner.view, e.operands)
        function(planner.to, x, order, planner.made(e.results[0]), axis=e.params["axis"])

    return operation


def _searchsorted(planner: Planner, e: Entry) -> None:
    x, values = map(planner.view, e.operands)
    searchsorted(planner.to, x, values, planner.made(e.results[0]), side=e.params["side"])


def _arg_extremum(largest: bool) -> Operation:
    def operation(planner: Planner, e: Entry) -> None:
        x, out = planner.view(e.operands[0]), planner.made(e.results[0])
        axis = e.params["axis"]
        kept = [1 if a == axis else n for a, n in enumerate(x.shape)]
        shape = tuple(kept) if len(out.shape) == len(x.shape) else out.shape
        goal = out._replace(shape=shape, strides=row_major(shape))
        arg_extremum(planner.to, x, goal, axis=axis, largest=largest)

    return operation


def _cumulative(mode: str) -> Operation:
    def operation(planner: Planner, e: Entry) -> None:
        x, out = planner.view(e.operands[0]), planner.made(e.results[0])
        cumulative(planner.to, x, out, axis=e.params["axis"] % len(x.shape), mode=mode)

    return operation


# Reductions of what is one element ----------------------------------------------------------------


def _reduced(planner: Planner, e: Entry) -> None:
    """A reduction over axes of length 1, which kernels of rows have not."""
    x, v = planner.view(e.operands[0]), e.results[0]
    out = planner.made(v)
    assert math.prod(x.shape) == math.prod(out.shape)
    moved = out._replace(shape=x.shape, strides=row_major(x.shape))
    copy(planner.to, x, moved)


OPERATIONS: Final[dict[str, Operation]] = {
    "argmax": _arg_extremum(largest=True),
    "argmin": _arg_extremum(largest=False),
    "argsort": _argsort,
    "astype": _copied,
    "concat": _concat,
    "conv": _convolution(convolution),
    "conv_input": _convolution(convolution_input),
    "conv_weight": _convolution(convolution_weight),
    "cumulative_logsumexp": _cumulative("logsumexp"),
    "cumulative_max": _cumulative("max"),
    "cumulative_min": _cumulative("min"),
    "cumulative_prod": _cumulative("prod"),
    "cumulative_sum": _cumulative("sum"),
    "embed_slice": _embed_slice,
    "gather": _gather,
    "matmul": _matmul,
    "max_places": _of_windows(max_places),
    "max_windows": _of_windows(max_windows),
    "permuted": _permuted(permuted),
    "pick": _of_windows(pick),
    "put": _of_windows(put),
    "requires": _requires,
    "restored": _permuted(restored),
    "roll": _roll,
    "scatter": _scatter(None),
    **{f"scatter_{mode}": _scatter(mode) for mode in ("max", "min", "multiply")},
    "searchsorted": _searchsorted,
    "slice_update": _slice_update,
    "sort": _sort,
    "spread_windows": _of_windows(spread_windows),
    "sum_windows": _of_windows(sum_windows),
    "top_indices": _top_indices,
    "within": _within,
    **dict.fromkeys(("all", "any", "max", "mean", "min", "prod", "sum"), _reduced),
}
