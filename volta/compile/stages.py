"""What of a kernel is computed when: once a row, or in which pass over it.

A value has a *level*: 0, and one more after each reduction that it depends on. Those of a row that
are of level k are computed before pass k over the row, those of elements in it. A pass computes
once more what an earlier one did, unless that is costly: then the earlier one saves it.
"""

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

from volta.compile.kernel import Kernel

__all__ = ["Pass", "Stages", "stages"]

_COSTLY: Final = 8  # operations from which to load a value takes less than to compute it again
_COSTS: Final = {"constant": 0, "load": 1, "index": 1, "convert": 1, "bits": 0, "div": 4, "sqrt": 4}
_ROOM: Final = 1 << 15  # bytes for what is saved, which should stay in the nearest cache


class Pass(NamedTuple):
    """A pass over a row.

    Attributes
    ----------
    before : tuple of int
        Nodes of the row that are computed before it.
    nodes : tuple of int
        Nodes of elements that are computed in it.
    loads : tuple of int
        Those of them that an earlier pass has saved.
    reduces : tuple of int
        Nodes that reduce what is computed in it.
    stores : tuple of int
        Results that are stored in it, by their numbers.
    saves : tuple of int
        Nodes that are saved for later passes.
    """

    before: tuple[int, ...]
    nodes: tuple[int, ...]
    loads: tuple[int, ...]
    reduces: tuple[int, ...]
    stores: tuple[int, ...]
    saves: tuple[int, ...]


class Stages(NamedTuple):
    """Passes over each row, and which nodes are of rows, not of elements."""

    of_row: frozenset[int]
    passes: tuple[Pass, ...]


def stages(kernel: Kernel, room: int = _ROOM) -> Stages:
    """Passes over the rows of a kernel, with so many bytes for what one saves for a later one."""
    return _Stages(kernel, room).found()


class _Stages:
    """The passes being found."""

    def __init__(self, kernel: Kernel, room: int) -> None:
        self.kernel, self.nodes = kernel, kernel.nodes
        self.of_row: set[int] = set()
        self.levels: list[int] = []
        for i, n in enumerate(self.nodes):
            if n.op == "load":
                alike = self._is_alike(kernel.operands[n.value].strides)
            elif n.op == "index":
                alike = False
            else:
                alike = n.op == "reduce" or self.of_row.issuperset(n.operands)
            if alike:
                self.of_row.add(i)
            level = max((self.levels[o] for o in n.operands), default=0)
            self.levels.append(level + (n.op == "reduce"))
        length = math.prod(kernel.shape[a] for a in kernel.rows)
        self.room = room if kernel.rows else 0
        self.bytes = [length * n.dtype.itemsize for n in self.nodes]
        self.stored = {r.node for r in kernel.results if r.fold is None} - self.of_row
        self.saved: dict[int, None] = {}

    def _is_alike(self, strides: tuple[int, ...]) -> bool:
        """Whether an array has one element for the whole row, or without rows for all."""
        axes = self.kernel.rows or range(len(self.kernel.shape))
        return not any(strides[a] for a in axes)

    def found(self) -> Stages:
        """The passes, from the last on: what one reads that is saved an earlier one computes."""
        results = list(enumerate(self.kernel.results))
        passes = []
        for k in range(max(self.levels, default=0), -1, -1):
            reduces = [
                i
                for i, n in enumerate(self.nodes)
                if n.op == "reduce" and self.levels[n.operands[0]] == k
            ]
            stores = [
                j
                for j, r in results
                if self.levels[r.node] == k
                and not (r.node in self.of_row and self._is_alike(r.strides))
            ]
            roots = [self.nodes[i].operands[0] for i in reduces]
            roots += [self.kernel.results[j].node for j in stores]
            roots += [i for i in self.saved if self.levels[i] == k]
            nodes = self._needed(roots, k)
            saves = tuple(i for i in self.saved if self.levels[i] == k and i not in self.stored)
            loads = tuple(i for i in nodes if i in self.saved and self.levels[i] < k)
            before = tuple(i for i in sorted(self.of_row) if self.levels[i] == k)
            passes.append(Pass(before, nodes, loads, tuple(reduces), tuple(stores), saves))
        return Stages(frozenset(self.of_row), tuple(reversed(passes)))

    def _needed(self, roots: Iterable[int], k: int) -> tuple[int, ...]:
        """Nodes of elements that pass `k` computes, or loads as an earlier one saved them."""
        wanted = {i for i in roots if i not in self.of_row}
        for i in range(len(self.nodes) - 1, -1, -1):
            if i not in wanted:
                continue
            if self.levels[i] < k and (i in self.saved or self._save(i)):
                continue
            wanted.update(o for o in self.nodes[i].operands if o not in self.of_row)
        return tuple(sorted(wanted))

    def _save(self, i: int) -> bool:
        """Save a node of an earlier pass, if that is worth it and there is room."""
        if self._cost(i) < _COSTLY:
            return False
        if i not in self.stored:  # else it is read where it is stored
            if self.bytes[i] > self.room:
                return False
            self.room -= self.bytes[i]
        self.saved[i] = None
        return True

    def _cost(self, root: int) -> int:
        """Cost of computing a node of elements from what is loaded."""
        wanted, cost = {root}, 0
        for i in range(root, -1, -1):
            if i in wanted and i not in self.of_row:
                cost += 1 if i in self.saved else _COSTS.get(self.nodes[i].op, 1)
                if i not in self.saved:
                    wanted.update(self.nodes[i].operands)
        return cost
