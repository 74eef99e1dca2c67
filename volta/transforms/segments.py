"""Programs of jitted functions: trees of segments, which part where Python decided.

A `Segment` is a list without a decision of Python's in it; at its end Python reads a value, and
the answer tells which segment follows.
"""

import copy
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np

from volta.compile.donation import Donation
from volta.compile.memory import sharing
from volta.compile.program import compiled, donating
from volta.core.context import RUNNING
from volta.core.types import SCALARS
from volta.core.wengert import ALL, Entry, Literal, WengertList, needed, operands_of
from volta.transforms.carrying import carrying
from volta.transforms.deciding import JitTrace, Read
from volta.transforms.modules import Fields
from volta.transforms.signature import Inputs

__all__ = ["Program", "Segment"]


_call: Final = carrying("jit", compiled).call


class Segment:
    """A part of a program that has no decision of Python's in it.

    It keeps nothing of the trace that it was staged by but types and captured arrays.

    Attributes
    ----------
    entries : list of Entry
    read : Read or None
        What Python asked for at its end; None at the end of the function.
    branches : dict
        From answers to the segments that follow.
    outputs : tuple of int or Literal
        What the function returns at its end.
    rebuild : callable
        From a list of these to the function's result.
    captured : dict of int to array
        Arrays that the function closes over.
    needs, makes : tuple of int
        Variables that it reads, and those of its own that something after it reads.
    wants : set of int
        Variables of segments before it that it or, on the path staged last, one after it reads.
    held : dict of int to array
        Captured arrays among those that it reads.
    body : WengertList or None
        From `needs` to `makes`; None before `settle`.
    giving : (WengertList, Donation) or None
        Of the last one of a path, where arguments are donated: from what it reads and these to
        what the function returns.
    closed_over : tuple of array
        Captured arrays that the path to it reads, if `giving` is not None.
    """

    def __init__(self, trace: JitTrace, entries: list[Entry], read: Read | None) -> None:
        self.name, self.types, self.places = trace.name, trace.types, trace.places
        self.captured = trace.captured
        self.entries, self.read = entries, read
        self.branches: dict[Any, Segment] = {}
        self.outputs: tuple[Any, ...] = ()
        self.rebuild: Callable[[list[Any]], Any] = list
        self.needs: tuple[int, ...] = ()
        self.makes: tuple[int, ...] = ()
        self.wants: set[int] = set()
        self.held: dict[int, Any] = {}
        self.body: WengertList | None = None
        self.giving: tuple[WengertList, Donation] | None = None
        self.closed_over: tuple[Any, ...] = ()

    def copy(self) -> "Segment":
        """The same, with branches of its own."""
        new = copy.copy(self)
        new.branches = dict(self.branches)
        return new

    def settle(self, later: set[int]) -> set[int]:
        """Say what segments after it want; returns what it wants itself."""
        made = {r for e in self.entries for r in e.results}
        asked = {o for o in self.outputs if type(o) is not Literal}
        if self.read is not None:
            asked.add(self.read.var)
        makes = tuple(sorted(made & asked.union(later, self.makes)))
        if self.body is None or makes != self.makes:
            entries = needed(self.entries, makes, (), ALL)
            reads = {o for e in entries for o in operands_of(e)} - made
            self.makes, self.needs = makes, tuple(sorted(reads))
            parts = self.name, self.needs, entries, makes, self.types, self.places
            self.body = WengertList(*parts, {}, list)
        read = (*self.needs, *sorted(asked))
        self.held = {v: self.captured[v] for v in read if v in self.captured}
        self.wants = (asked | later).difference(made).union(self.needs) - self.captured.keys()
        return self.wants

    def give(self, path: list["Segment"], donated: Sequence[int]) -> None:
        """Have it, the last one of a path, return results in the memory of donated inputs."""
        asked = {o for o in self.outputs if type(o) is not Literal}
        entries = needed(self.entries, asked, (), ALL)
        made = {r for e in entries for r in e.results}
        read = asked.union(*map(operands_of, entries)) - made
        group = sharing((e for s in path for e in s.entries), self.types)
        views = tuple(
            (v, d)
            for v in sorted(read.difference(donated))
            for d in donated
            if v in group and group[v] == group.get(d)
        )
        inputs = tuple(sorted(read.union(donated)))
        parts = self.name, inputs, entries, self.outputs, self.types, self.places
        self.giving = WengertList(*parts, {}, self.rebuild), Donation(tuple(donated), views)
        self.closed_over = tuple(c for s in path for c in s.held.values())

    def finish(self, known: dict[int, Any]) -> Any:
        """What the function returns at its end, in the memory of donated inputs."""
        assert self.giving is not None
        known.update(self.held)
        wengert, donation = self.giving
        return self.rebuild(donating(wengert, donation)(*[known[v] for v in wengert.inputs]))

    def run(self, known: dict[int, Any]) -> None:
        """Add to the variables that are known those that it makes."""
        if self.held:
            known.update(self.held)
        body = self.body
        assert body is not None
        if not body.entries:
            return
        arrays = [known[v] for v in self.needs]
        # where no transform runs there is nothing but arrays, and no trace to hear of the call
        hears = RUNNING.get()
        found = _call(*arrays, body=body, policy=None) if hears else compiled(body)(*arrays)
        known.update(zip(self.makes, found, strict=True))

    def end(self, known: dict[int, Any]) -> Any:
        """Run the last one; returns what the function does."""
        self.run(known)
        return self.rebuild([o.value if type(o) is Literal else known[o] for o in self.outputs])


class Program:
    """What a jitted function does with arguments of one kind.

    Its tree of segments is replaced when it grows, so that threads that walk it see one tree.

    Attributes
    ----------
    root : Segment or None
    inputs : Inputs
    donated : Donated or None
        Inputs whose memory results may take.
    stagings : int
    decides : bool
        Whether Python asks for values.
    modules : dict of int to Fields
        Of those that the function reads and that are no arguments, as they were then.
    """

    def __init__(self, inputs: Inputs, donated: Any = None) -> None:
        self.root: Segment | None = None
        self.inputs, self.donated = inputs, donated
        self.stagings = 0
        self.decides = False
        self.modules: dict[int, Fields] = {}

    def grow(self, staged: list[Segment]) -> tuple[list[Segment], int]:
        """Add a path; where it does not agree with the tree, it replaces that.

        Returns the path in the tree, and how many segments of it were there before.
        """
        path = list[Segment]()
        node = self.root
        for segment in staged:
            if node is None or not _alike(node, segment):
                break
            path.append(node.copy())
            node = node.branches.get(segment.read and segment.read.answer)
        kept = len(path)
        if node is not None and kept < len(staged):  # the function is not pure
            path, kept = [], 0
        path += staged[kept:]
        for (one, following), segment in zip(pairwise(path), staged, strict=False):
            assert segment.read is not None
            one.branches[segment.read.answer] = following
        later: set[int] = set()
        for segment in reversed(path):
            later = segment.settle(later)
        if self.donated is not None:
            path[-1].give(path, self.donated.places)
        self.root = path[0]
        self.stagings += kept < len(staged)  # else another thread has staged the same
        self.decides = self.decides or len(path) > 1
        return path, kept


def _alike(a: Segment, b: Segment) -> bool:
    """Whether two stagings of one function recorded the same."""
    return (
        (a.read and a.read[:3]) == (b.read and b.read[:3])
        and _same_entries(a.entries, b.entries)
        and all(_same(x, b.captured.get(v)) for v, x in a.held.items())
    )


def _same_entries(a: list[Entry], b: list[Entry]) -> bool:
    return len(a) == len(b) and all(
        x.primitive is y.primitive
        and x.result == y.result
        and _same(tuple(x.operands), tuple(y.operands))
        and x.params.keys() == y.params.keys()
        and all(_same(v, y.params[k]) for k, v in x.params.items())
        for x, y in zip(a, b, strict=True)
    )


def _same(a: Any, b: Any) -> bool:
    """Whether two operands, parameters or arrays are equal, as far as can be told.

    Functions that are made anew at each staging, such as what `debug.print` calls, cannot be.
    """
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if type(a) is WengertList:
        ends = a.inputs == b.inputs and _same(a.outputs, b.outputs)
        return ends and _same_entries(a.entries, b.entries) and _same(a.constants, b.constants)
    if type(a) is np.ndarray:
        return (a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes())
    return type(a) not in _PLAIN or repr(a) == repr(b)


_PLAIN: Final = (*SCALARS, str, bytes, slice)
