"""From entries to launches: which become kernels, which are views, and where results are."""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np

from volta.compile.kernel import Target
from volta.compile.schedule import VIEWS, Layout, fused, kernel_of
from volta.core.errors import RuleError
from volta.core.types import DTYPES, ArrayType
from volta.core.wengert import Entry, Literal, operands_of
from volta.wgpu.launch import View, Writer, itemsize, row_major
from volta.wgpu.loops import copy, loops
from volta.wgpu.memory import Buffer
from volta.wgpu.program import Program

__all__ = ["FAILED", "FAILURES", "Operation", "Plan", "Planner", "entry", "planned", "viewed"]

FAILED: Final = -1  # the variable that says what has failed
FAILURES: Final[dict[str, int]] = {}  # what that may be, by messages
_MEMORY: Final = np.zeros(1, np.int8)


def viewed(name: str, view: View, params: Mapping[str, Any]) -> View | None:
    """The view of a view that an operation gives, or None if it moves elements."""
    function = VIEWS.get(name)
    if function is None:
        return None
    example = np.lib.stride_tricks.as_strided(_MEMORY, view.shape, view.strides)
    found = function(example, **params)
    if found is None:
        return None
    moved = found.__array_interface__["data"][0] - example.__array_interface__["data"][0]
    strides = tuple(0 if n == 1 else s for n, s in zip(found.shape, found.strides, strict=True))
    return view._replace(shape=found.shape, strides=strides, offset=view.offset + moved)


class Plan(NamedTuple):
    """A program, and where its results are.

    Attributes
    ----------
    program : Program
    outputs : tuple of View
    """

    program: Program
    outputs: tuple[View, ...]

    def run(self, inputs: Mapping[int, Buffer]) -> list[tuple[Buffer, View]]:
        """Memory and place of each result."""
        made = {**inputs, **self.program.run(inputs)}
        return [(made[view.var], view) for view in self.outputs]


Operation = Callable[["Planner", Entry], None]


class Planner:
    """Launches of entries being listed.

    Attributes
    ----------
    to : Writer
    views : dict of int to View
        Where variables are.
    """

    def __init__(self, device: Any, types: dict[int, ArrayType], layouts: Mapping[int, Layout]):
        self.types = types
        self.fresh = itertools.count(max(types, default=0) + 1)
        self.to = Writer(device, self.fresh)
        self.views: dict[int, View] = {}
        self.sizes: dict[int, int] = {}
        self.layouts = layouts

    def view(self, v: Any) -> View:
        """Where a variable is."""
        found = self.views.get(v)
        if found is None:  # an input
            shape, dtype = self.types[v]
            strides, offset = self.layouts.get(v) or (row_major(shape), 0)
            found = self.views[v] = View(v, dtype, shape, tuple(strides), offset)
        return found

    def failure(self, e: Entry) -> tuple[View, int]:
        """Where a kernel says that an index is outside its axis, and by what number."""
        shape = self.types[e.operands[0]].shape
        told = f"{e.primitive.name}: an index must be within its axis; got another, for {shape}."
        told = e.params.get("told", told)
        code = FAILURES.setdefault(told, len(FAILURES) + 1)
        return View(FAILED, DTYPES["uint32"], (1,), (0,)), code

    def made(self, v: int) -> View:
        """New memory of a variable, in row-major order."""
        shape, dtype = self.types[v]
        self.sizes[v] = math.prod(shape) * itemsize(dtype)
        self.views[v] = View(v, dtype, shape, row_major(shape))
        return self.views[v]

    def put(self, e: Entry, operations: Mapping[str, Operation]) -> None:
        """List the launches of an entry."""
        kernel = kernel_of(e)
        if kernel is not None:
            results = [self.made(v) for v in e.results]
            loops(self.to, kernel, [self.view(o) for o in e.operands], results)
            return
        name = e.primitive.name
        if name in VIEWS:
            self._move(e)
            return
        if self._is_the_same(e):
            self.views[e.results[0]] = self.view(operands_of(e)[0])
            return
        operation = operations.get(name)
        if operation is None:
            kinds = ", ".join(str(self.types[o]) for o in e.operands if type(o) is not Literal)
            msg = f"{name}: volta.wgpu must have a kernel for it; got {kinds}."
            raise RuleError(msg)
        operation(self, e)

    def _is_the_same(self, e: Entry) -> bool:
        """Whether elements are those of the operand: no kernel computes such."""
        known = [*operands_of(e)]
        same = len(known) == 1 and self.types[known[0]] == self.types[e.results[0]]
        return same and e.primitive.elementwise

    def _move(self, e: Entry) -> None:
        x, v = self.view(e.operands[0]), e.results[0]
        found = viewed(e.primitive.name, x, e.params)
        if found is None:  # a reshape of what is not in order
            self.made(v)
            copy(self.to, x, self.views[v]._replace(shape=x.shape, strides=row_major(x.shape)))
        else:
            self.views[v] = found


def planned(
    device: Any,
    entries: Iterable[Entry],
    outputs: Sequence[int],
    types: dict[int, ArrayType],
    target: Target,
    operations: Mapping[str, Operation],
    layouts: Mapping[int, Layout] = MappingProxyType({}),
) -> Plan:
    """The program of entries, whose results are `outputs`."""
    planner = Planner(device, types, layouts)
    for e in fused(entries, outputs, types, target, layouts):
        planner.put(e, operations)
    views = tuple(planner.view(v) for v in outputs)
    made = {**planner.sizes, **planner.to.sizes}
    results = dict.fromkeys(view.var for view in views if view.var in made)
    return Plan(Program(device.queue, planner.to.launches, made, results), views)


def entry(primitive: Any, operands: Sequence[Any], params: dict[str, Any], result: int) -> Entry:
    """An entry of a list of pending operations."""
    return Entry(primitive, operands, params, result, None, None, None, None, None, 0)
