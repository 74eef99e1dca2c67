"""Memory of programs: which results may share it, and where large ones go."""

import sys
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Any, Final

import numpy as np

from volta.core.types import ArrayType
from volta.core.wengert import Entry, operands_of

__all__ = ["COPYING", "Arena", "Results", "Slots", "is_fresh", "shares", "sharing"]


Types = dict[int, ArrayType]


def is_fresh(e: Entry, types: Types) -> bool:
    """Whether results of an entry share no memory with its operands, whatever the library."""
    name = e.primitive.name
    if name == "astype" and type(e.operands[0]) is int:
        return types[e.operands[0]].dtype != types[e.results[0]].dtype
    computed = e.primitive.elementwise and not e.primitive.view and name not in _PASSING
    return computed or name in COPYING


COPYING: Final = frozenset(  # operations whose results share no memory, besides elementwise ones
    (
        *("argmax", "argmin", "concat", "embed_slice", "log_softmax", "matmul", "max", "mean"),
        *("min", "prod", "softmax", "sum"),
    )
)
# torch's conjugate is a view, and what some libraries make of integers, or of real numbers, is them
_PASSING: Final = frozenset(("ceil", "conj", "floor", "positive", "round", "trunc"))


def shares(e: Entry, types: Types) -> list[int]:
    """Operands of an entry that its results may share memory with."""
    return [] if is_fresh(e, types) else operands_of(e)


def sharing(
    entries: Iterable[Entry],
    types: Types,
    shares: Callable[[Entry, Types], Iterable[int]] = shares,
) -> dict[int, int]:
    """Of each variable of entries, one that stands for all that may share memory with it."""
    parent: dict[int, int] = {}

    def root(v: int) -> int:
        parent.setdefault(v, v)
        while parent[v] != v:
            parent[v] = v = parent[parent[v]]
        return v

    for e in entries:
        for v in (*operands_of(e), *e.results):
            root(v)
        together = [*shares(e, types)]
        for v in (*together, *e.results) if together else ():
            parent[root(v)] = root(together[0])
    return {v: root(v) for v in parent}


class Results:
    """Arrays of one type that a program returns, used again when nothing else refers to them.

    A large new array costs more than what is written to it: the system hands out its pages one by
    one, and takes them back. Two arrays are kept, as a loop holds the last result while the next
    one is made. They are told by their count of references, which views and buffers of them raise.
    """

    def __init__(self, kind: ArrayType) -> None:
        self.kind = kind
        self.kept: deque[Any] = deque(maxlen=_KEPT)

    def __reduce__(self) -> tuple[Any, ...]:
        return Results, (self.kind,)

    def __call__(self) -> Any:
        """An array to write to, of any content."""
        for _ in range(_KEPT):
            try:
                memory = self.kept.popleft()  # from now on no other thread finds it
            except IndexError:
                break
            free = sys.getrefcount(memory) == _ALONE
            self.kept.append(memory)
            if free:
                return memory.view()  # so that nobody can give `memory` another shape
        memory = np.empty(self.kind.shape, self.kind.dtype.dtype)
        self.kept.append(memory)
        return memory.view()


_LINE: Final = 64  # bytes of a line of a cache
_COUNTS: Final = getattr(sys, "_is_gil_enabled", lambda: True)()  # else references are no proof
_KEPT: Final = 2 if _COUNTS else 0
_ALONE: Final = 2  # references to an array that one local variable holds; the call has another


class Arena:
    """Makes the arrays of a program that are used again in each call.

    Attributes
    ----------
    sizes : sequence of int
        Bytes of the parts of memory.
    views : sequence of (int, ArrayType)
        Of the arrays, in which part they are.
    """

    def __init__(self, sizes: Sequence[int], views: Sequence[tuple[int, ArrayType]]) -> None:
        self.sizes, self.views = sizes, views
        # an odd number of cache lines apart, so that arrays of 2ⁿ bytes share no places in a cache
        steps = ((-(-n // _LINE) | 1) * _LINE for n in sizes)
        *self.places, self.size = accumulate(steps, initial=0)

    def __call__(self) -> list[Any]:
        """Arrays in new memory: one piece, for which NumPy asks the system for large pages."""
        whole = np.empty(self.size + _LINE, np.uint8)
        first = -whole.ctypes.data % _LINE
        memory = [whole[first + p :][:n] for p, n in zip(self.places, self.sizes, strict=True)]
        return [
            memory[slot].view(kind.dtype.dtype).reshape(kind.shape) for slot, kind in self.views
        ]


class Slots:
    """An arena that is planned: parts of memory, each for one array after another.

    Attributes
    ----------
    sizes : list of int
        Their bytes.
    views : dict
        Names of arrays in them, by slot and type.
    """

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.views: dict[tuple[int, ArrayType], str] = {}
        self.free: dict[int, list[int]] = defaultdict(list)  # by their bytes

    def take(self, size: int) -> int:
        """Number of a slot that nothing is in."""
        if self.free[size]:
            return self.free[size].pop()
        self.sizes.append(size)
        return len(self.sizes) - 1

    def give(self, slot: int) -> None:
        """What is in a slot is read no more."""
        self.free[self.sizes[slot]].append(slot)

    def view(self, slot: int, kind: ArrayType) -> str:
        """Name of an array there."""
        return self.views.setdefault((slot, kind), f"s{len(self.views)}")

    @property
    def arena(self) -> Arena:
        """The arena."""
        return Arena(self.sizes, [*self.views])
