"""Kernels of the shared representation (`volta.compile.kernel`) as launches.

A kernel is listed as a nest of loops (`volta.wgpu.nests`), or as several kernels: if it sees more
of an array than a device shows, or goes over rows that are too long for one workgroup each.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

from volta.compile.kernel import Builder, Kernel, Node, Operand, Result
from volta.compile.stages import Pass, stages
from volta.wgpu.launch import View, Writer, row_major
from volta.wgpu.nests import PIECE, Elements, Folds, Rows
from volta.wgpu.scalars import target_of
from volta.wgpu.splits import halves, is_too_large, sliced, widest

__all__ = ["constant", "copy", "loops"]

_LONG: Final = 1 << 14  # elements of a row that workgroups share, if there are few
_FEW: Final = 64  # rows, or sums, that leave much of a device idle


def copy(to: Writer, source: View, target: View) -> None:
    """List a copy of elements between views of one shape, as the dtype of the second."""
    if 0 in source.shape:
        return
    builder = Builder(target_of(to.facts.features, 1))
    x = builder.load(0, source.dtype)
    builder.namespace.astype(x, target.dtype)
    load = Operand(source.dtype, source.shape, source.strides, source.offset)
    nodes = (*builder.nodes,)
    results = (Result(len(nodes) - 1, row_major(source.shape)),)
    loops(to, Kernel(source.shape, (), (), (load,), nodes, results), [source], [target])


def constant(to: Writer, number: Any, target: View) -> None:
    """List a kernel that has all elements be one number."""
    if 0 in target.shape:
        return
    builder = Builder(target_of(to.facts.features, 1))
    builder.constant(target.dtype.dtype.type(number).item(), target.dtype)
    results = (Result(0, row_major(target.shape)),)
    loops(to, Kernel(target.shape, (), (), (), (*builder.nodes,), results), [], [target])


def loops(to: Writer, kernel: Kernel, operands: Sequence[View], results: Sequence[View]) -> None:
    """List launches of a kernel.

    Parameters
    ----------
    to : Writer
    kernel : Kernel
    operands : sequence of View
        Memory that its operands are in; strides and offsets are those of the kernel.
    results : sequence of View
        Where its results go, of which each has the shape of its own.
    """
    if is_too_large(kernel, results, to.facts.limits.binding):
        _in_parts(to, kernel, operands, results)
    elif kernel.folds:
        if _kept(kernel) < _FEW:
            loops(to, _as_rows(kernel), operands, results)
        else:
            for left in Folds(to, kernel, operands, results).write():
                loops(to, *left)
    elif kernel.rows:
        length = math.prod(kernel.shape[a] for a in kernel.rows)
        if length > _LONG and math.prod(kernel.shape) // length < _FEW:
            _in_pieces(to, kernel, operands, results)
        else:
            Rows(to, kernel, operands, results).write()
    else:
        Elements(to, kernel, operands, results).write()


def _in_parts(
    to: Writer, kernel: Kernel, operands: Sequence[View], results: Sequence[View]
) -> None:
    """List launches each of which sees only a part of an array that is too large."""
    parts = halves(kernel, results)
    if parts is not None:
        for part in parts:
            loops(to, part.kernel, operands, part.results)
    elif kernel.folds:
        loops(to, _as_rows(kernel), operands, results)
    elif kernel.rows:
        _in_pieces(to, kernel, operands, results)
    else:
        Elements(to, kernel, operands, results).write()  # which says what there is too much of


def _kept(kernel: Kernel) -> int:
    return math.prod(n for a, n in enumerate(kernel.shape) if a not in kernel.folds)


def _as_rows(kernel: Kernel) -> Kernel:
    """A kernel that reduces rows in place of folding."""
    nodes, results = [*kernel.nodes], []
    for r in kernel.results:
        if r.fold is not None:
            dtype = kernel.nodes[r.node].dtype
            nodes.append(Node("reduce", (r.node,), dtype, r.fold))
            r = Result(len(nodes) - 1, r.strides)
        results.append(r)
    return kernel._replace(rows=kernel.folds, folds=(), nodes=(*nodes,), results=(*results,))


def _in_pieces(
    to: Writer, kernel: Kernel, operands: Sequence[View], results: Sequence[View]
) -> None:
    """Have workgroups share rows: first what is reduced of the elements as they are loaded."""
    made = stages(kernel)
    first = made.passes[0]
    kept = tuple(n for a, n in enumerate(kernel.shape) if a not in kernel.rows)
    count = math.prod(kept)
    if is_too_large(kernel, results, to.facts.limits.binding):
        done: tuple[int, ...] = ()
        parts = _halves_of_rows(to, kernel, operands, results, first)
    else:
        done = first.stores
        pieces = -(-math.prod(kernel.shape[a] for a in kernel.rows) // PIECE)
        parts = [to.scratch(kernel.nodes[i].dtype, (count, pieces)) for i in first.reduces]
        Rows(to, kernel, operands, results).pieces(parts, pieces)
    totals = []
    for i in first.reduces:
        j = _result_of_rows(kernel, results, i)
        done = done if j is None else (*done, j)
        goal = to.scratch(kernel.nodes[i].dtype, (count,)) if j is None else results[j]
        totals.append(goal._replace(shape=(count,), strides=row_major((count,))))
    loops(to, _totals(kernel, first, *parts[0].shape), parts, totals)
    # what is left loads these
    lead = list(row_major(kept))
    strides = tuple(0 if a in kernel.rows else lead.pop(0) for a in range(len(kernel.shape)))
    nodes = [*kernel.nodes]
    loads = [*kernel.operands]
    for i in first.reduces:
        nodes[i] = Node("load", (), nodes[i].dtype, len(loads))
        loads.append(Operand(nodes[i].dtype, kept, strides))
    left = kernel._replace(nodes=(*nodes,), operands=(*loads,))
    places = [j for j in range(len(results)) if j not in done]
    of_rows = [j for j in places if _is_of_rows(kernel, kernel.results[j], made.of_row)]
    of_elements = [j for j in places if j not in of_rows]
    more = any(n.op == "reduce" for n in nodes)
    if more:
        of_rows, of_elements = [], places
    for chosen, rows in ((of_rows, True), (of_elements, False)):
        if not chosen:
            continue
        its = left._replace(results=tuple(kernel.results[j] for j in chosen))
        if not more:
            its = its._replace(rows=())
        if rows:
            shape = tuple(1 if a in kernel.rows else n for a, n in enumerate(kernel.shape))
            its = its._replace(shape=shape)
        pruned, wanted = _pruned(its)
        arrays = [*operands, *totals]
        loops(to, pruned, [arrays[i] for i in wanted], [results[j] for j in chosen])


def _result_of_rows(kernel: Kernel, results: Sequence[View], node: int) -> int | None:
    """The result that is what a node reduces of each row, in their order, if there is one."""
    kept = tuple(n for a, n in enumerate(kernel.shape) if a not in kernel.rows)
    in_order = iter(row_major(kept))
    strides = tuple(0 if a in kernel.rows else next(in_order) for a in range(len(kernel.shape)))
    for j, (r, view) in enumerate(zip(kernel.results, results, strict=True)):
        if r.node == node and r.strides == strides and view.is_row_major:
            return j
    return None


def _is_of_rows(kernel: Kernel, r: Result, of_row: Iterable[int]) -> bool:
    """Whether a result is one for a row, and not stored for each of its elements."""
    return r.node in of_row and not any(r.strides[a] for a in kernel.rows)


def _halves_of_rows(
    to: Writer, kernel: Kernel, operands: Sequence[View], results: Sequence[View], first: Pass
) -> list[View]:
    """What the first pass reduces of each half of a row."""
    axis = widest(kernel, results, kernel.rows)
    assert axis is not None
    half = kernel.shape[axis] // 2
    shape = tuple(1 if a in kernel.rows else n for a, n in enumerate(kernel.shape))
    made = tuple(Result(i, row_major(shape)) for i in first.reduces)
    parts = [to.scratch(kernel.nodes[i].dtype, (math.prod(shape), 2)) for i in first.reduces]
    strides = tuple(2 * s for s in row_major(shape))
    for k, part in enumerate(((0, half), (half, kernel.shape[axis]))):
        goals = [p._replace(shape=shape, strides=strides, offset=k) for p in parts]
        pruned, wanted = _pruned(kernel._replace(results=made))
        split = sliced(pruned, goals, axis, *part)
        loops(to, split.kernel, [operands[i] for i in wanted], split.results)
    return parts


def _totals(kernel: Kernel, first: Pass, count: int, pieces: int) -> Kernel:
    """The kernel that reduces what pieces of rows gave."""
    nodes: list[Node] = []
    loads, made = [], []
    for k, i in enumerate(first.reduces):
        n = kernel.nodes[i]
        loads.append(Operand(n.dtype, (count, pieces), (pieces, 1)))
        nodes.append(Node("load", (), n.dtype, k))
        nodes.append(Node("reduce", (len(nodes) - 1,), n.dtype, n.value))
        made.append(Result(len(nodes) - 1, (1, 0)))
    return Kernel((count, pieces), (1,), (), (*loads,), (*nodes,), (*made,))


def _pruned(kernel: Kernel) -> tuple[Kernel, list[int]]:
    """A kernel without nodes that nothing needs, and which operands it loads."""
    wanted = {r.node for r in kernel.results}
    for i in range(len(kernel.nodes) - 1, -1, -1):
        if i in wanted:
            wanted.update(kernel.nodes[i].operands)
    kept = sorted(wanted)
    place = {old: new for new, old in enumerate(kept)}
    loads = [*dict.fromkeys(kernel.nodes[i].value for i in kept if kernel.nodes[i].op == "load")]
    number = {old: new for new, old in enumerate(loads)}
    nodes = tuple(
        n._replace(
            operands=tuple(place[o] for o in n.operands),
            value=number[n.value] if n.op == "load" else n.value,
        )
        for n in (kernel.nodes[i] for i in kept)
    )
    results = tuple(r._replace(node=place[r.node]) for r in kernel.results)
    operands = tuple(kernel.operands[i] for i in loads)
    return kernel._replace(nodes=nodes, results=results, operands=operands), loads
