"""Which entries of a list become one kernel: elementwise ones of a shape, run after run.

A group of entries stays open while the list goes on, and takes every elementwise entry of its
shape. It is closed, and takes its place in the program, before the first other entry that reads
one of its results. So nothing moves past what it depends on, and a group may compute several
results in one pass over its operands, such as the moments and the parameters of an optimizer.
Numbers, arrays without axes, are computed again in each group that reads them: that is less than
to store and load them.
"""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from volta.compile.kernel import KINDS, Builder, Kernel, Scalar, Unsupported, unsupported
from volta.core.types import DTYPES, ArrayType
from volta.core.wengert import Entry, Literal, operands_of

__all__ = ["fused", "kernel_of"]

_ARRAYS: Final = 24  # that a kernel may load and store: each is a stream of memory
_NODES: Final = 800  # from which it takes long to compile


class Fused:
    """What stands for a primitive in the entry of a kernel."""

    name, arity, value = "kernel", None, None
    carries = effect = elementwise = view = False

    def __init__(self, kernel: Kernel) -> None:
        self.kernel, self.results = kernel, len(kernel.results)

    def explain(self, error: Exception, args: tuple[Any, ...], params: dict[str, Any]) -> Exception:
        """The error: it is one of memory."""
        return error


def kernel_of(e: Entry) -> Kernel | None:
    """Kernel that an entry stands for, if it is no plain one."""
    primitive: Any = e.primitive
    return primitive.kernel if type(primitive) is Fused else None


def fused(
    entries: Iterable[Entry], outputs: Iterable[Any], types: dict[int, ArrayType]
) -> list[Entry]:
    """Entries of which elementwise ones are kernels."""
    entries = list(entries)
    uses = Counter(o for e in entries for o in operands_of(e))
    uses.update(o for o in outputs if type(o) is not Literal)
    made: list[Entry] = []
    opened: dict[tuple[int, ...], _Group] = {}
    owners: dict[int, _Group] = {}

    def close(group: _Group) -> None:
        del opened[group.shape]
        for v in group.values:
            owners.pop(v, None)
        made.extend(group.closed(uses))

    for e in entries:
        shape = _shape(e, types)
        group = None if shape is None else opened.get(shape)
        scalars = opened.get(()) if shape else None
        for other in {id(g): g for o in operands_of(e) if (g := owners.get(o))}.values():
            if other is not group and other is not scalars:
                close(other)
        if shape is None:
            made.append(e)
            continue
        if group is not None and not group.has_room():
            close(group)
            group = None
        found = _Group(shape, types) if group is None else group
        if found.add(e, scalars):
            if scalars is not None:
                uses.subtract(o for o in operands_of(e) if o in scalars.values)
            opened[shape] = owners[e.results[0]] = found
            continue
        for holder in (group, scalars):
            if holder is not None and any(o in holder.values for o in operands_of(e)):
                close(holder)
        made.append(e)
    for group in list(opened.values()):
        close(group)
    return made


def _shape(e: Entry, types: dict[int, ArrayType]) -> tuple[int, ...] | None:
    """Shape of the kernel that an entry may be part of."""
    primitive = e.primitive
    if not (primitive.elementwise or primitive.name == "astype") or primitive.results != 1:
        return None
    kinds = [types[v] for v in (*operands_of(e), *e.results)]
    if not operands_of(e) or any(k.dtype.name not in KINDS for k in kinds):
        return None
    shape = kinds[-1].shape
    return shape if math.prod(shape) else None


class _Group:
    """Entries that become a kernel."""

    def __init__(self, shape: tuple[int, ...], types: dict[int, ArrayType]) -> None:
        self.shape, self.types = shape, types
        self.builder = Builder()
        self.entries: dict[int, Entry] = {}  # by their results
        self.loads: dict[int, Scalar] = {}
        self.values: dict[int, Scalar] = {}
        self.others: dict[int, Scalar] = {}  # computed here again, of the group without axes

    def has_room(self) -> bool:
        return len(self.loads) < _ARRAYS and len(self.builder.nodes) < _NODES

    def add(self, e: Entry, scalars: "_Group | None") -> bool:
        """Take an entry, if kernels have its operation.

        What the group without axes, `scalars`, computes is computed here once more.
        """
        before = dict(self.loads)
        try:
            self.values[e.results[0]] = self._value(e, scalars)
        except (Unsupported, AttributeError, TypeError, ValueError, OverflowError):
            self.loads = before
            return False
        self.entries[e.results[0]] = e
        return True

    def _value(self, e: Entry, scalars: "_Group | None") -> Scalar:
        args = [self._scalar(o, scalars) for o in e.operands]
        xp = self.builder.namespace
        function = e.primitive.value
        if function is None or e.primitive.name == "astype":
            out = getattr(xp, e.primitive.name)(*args, **e.params)
        else:
            wide = "in_64_bits" in function.__dict__
            if wide:
                args = [xp.astype(a, DTYPES["float64"]) if type(a) is Scalar else a for a in args]
            self.builder.contracts = True  # a formula: how it is rounded is nobody's business
            try:
                out = function(xp, *args, **e.params)
            finally:
                self.builder.contracts = False
            if wide and type(out) is Scalar:
                out = xp.astype(out, self.types[e.results[0]].dtype)
        if type(out) is not Scalar or out.dtype is not self.types[e.results[0]].dtype:
            unsupported(e.primitive.name)
        return out

    def _scalar(self, operand: Any, scalars: "_Group | None") -> Any:
        if type(operand) is Literal:
            return operand.value
        for known in (self.values, self.others, self.loads):
            if operand in known:
                return known[operand]
        if scalars is not None and operand in scalars.entries:
            found = self.others[operand] = self._value(scalars.entries[operand], scalars)
        else:
            found = self.loads[operand] = self.builder.load(operand, self.types[operand].dtype)
        return found

    def closed(self, uses: Counter[Any]) -> list[Entry]:
        """The kernel's entry; results that only the group reads stay in it."""
        inside = Counter(o for e in self.entries.values() for o in operands_of(e))
        stored = [v for v in self.values if uses[v] > inside[v]]
        if not stored:
            return []
        nodes = self.builder.nodes
        if not self.others and all(nodes[self.values[v].number].op == "load" for v in stored):
            return [*self.entries.values()]  # nothing is computed: what are views stay such
        kernel, operands = _pruned(self, stored)
        primitive: Any = Fused(kernel)
        *_, entry = self.entries.values()
        last = entry._replace(operands=operands, params={}, result=tuple(stored))
        return [last._replace(primitive=primitive)]


def _pruned(group: _Group, stored: list[int]) -> tuple[Kernel, tuple[int, ...]]:
    """Kernel of the nodes that what is stored depends on, and the variables that it loads."""
    nodes = group.builder.nodes
    wanted = {group.values[v].number for v in stored}
    for i in range(len(nodes) - 1, -1, -1):
        if i in wanted:
            wanted.update(nodes[i].operands)
    kept = sorted(wanted)
    place = {old: new for new, old in enumerate(kept)}
    operands = tuple(dict.fromkeys(nodes[i].value for i in kept if nodes[i].op == "load"))
    number = {v: k for k, v in enumerate(operands)}
    made = tuple(
        n._replace(
            operands=tuple(place[o] for o in n.operands),
            value=number[n.value] if n.op == "load" else n.value,
        )
        for n in (nodes[i] for i in kept)
    )
    kinds = tuple((group.types[v].dtype, group.types[v].shape) for v in operands)
    return Kernel(
        group.shape, kinds, made, tuple(place[group.values[v].number] for v in stored)
    ), operands
