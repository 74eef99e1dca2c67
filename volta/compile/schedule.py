"""Which entries of a list become one kernel: those of one shape, run after run.

A group of entries stays open while the list goes on, and takes every elementwise entry of its
shape, and reductions of what it computes. It is closed, and takes its place in the program, before
the first other entry that reads one of its results. So nothing moves past what it depends on, and a
group may compute several results in one pass over its operands, such as the moments and the
parameters of an optimizer. Numbers, arrays without axes, are computed again in each group that
reads them: that is less than to store and load them.

The first reduction over the last axis makes the group one of rows: those axes. What follows from it
once a row is part of the group, too, and so is what follows from that and the elements. Sums over
other axes are folded; the group itself cannot read these.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np

from volta.compile.kernel import (
    KINDS,
    WORD,
    Builder,
    Kernel,
    Operand,
    Result,
    Scalar,
    Target,
    Unsupported,
    unsupported,
)
from volta.compile.native.convolutions import convolution_of
from volta.compile.native.pools import pool_of
from volta.compile.native.products import Product, product_of
from volta.compile.standin import StandIn
from volta.core.types import DTYPES, ArrayType, DType
from volta.core.wengert import Entry, Literal, operands_of

__all__ = ["HOST", "VIEWS", "Layout", "Native", "fused", "kernel_of", "native_of"]

HOST: Final = Target(  # LLVM's; each array is a stream of memory
    KINDS,
    {},
    (product_of, convolution_of, pool_of),
    24,
    None,
    strides=False,
    folds_of_rows=True,
    warns=True,
)
_NODES: Final = 800  # from which it takes long to compile
_MANY: Final = 1 << 15  # elements that threads may share
_SHORT: Final = 64  # elements of a row that take as long as what is done once a row
_ROOM: Final = 1 << 15  # bytes of a row that is folded: it is to stay in the nearest cache

Shape = tuple[int, ...]


class Native(StandIn):
    """What stands for a primitive in an entry of native code."""

    name = "native"

    def __init__(self, code: Any) -> None:
        self.code = code
        self.results = len(code.results) if type(code) is Kernel else 1 + (code.scratch > 0)


def native_of(e: Entry) -> Any:
    """Kernel, product or convolution that an entry stands for, if it is no plain one."""
    primitive: Any = e.primitive
    return primitive.code if type(primitive) is Native else None


def kernel_of(e: Entry) -> Kernel | None:
    """Kernel that an entry stands for, if any."""
    native = native_of(e)
    return native if type(native) is Kernel else None


class Layout(NamedTuple):
    """Where elements of an array are that is not in row-major order."""

    strides: Shape
    offset: int


def fused(
    entries: Iterable[Entry],
    outputs: Iterable[Any],
    types: dict[int, ArrayType],
    target: Target = HOST,
    layouts: Mapping[int, Layout] = MappingProxyType({}),
) -> list[Entry]:
    """Entries of which those that kernels can compute are kernels.

    `layouts` are of arrays that are there before.
    """
    schedule = _Schedule([*entries], outputs, types, target, layouts)
    for e in schedule.entries:
        schedule.place(e)
    for group in list(schedule.opened.values()):
        schedule.close(group)
    return _ordered(schedule.made, outputs)


def _ordered(entries: list[Entry], outputs: Iterable[Any]) -> list[Entry]:
    """Entries in which products that are only transposed lie so that this is in row-major order.

    A reshape of it is no copy then.
    """
    readers: dict[int, list[Entry]] = {}
    for e in entries:
        for o in operands_of(e):
            readers.setdefault(o, []).append(e)
    returned = set(filter(lambda o: type(o) is int, outputs))

    def order(e: Entry) -> tuple[int, ...]:
        v = e.results[0]
        if v in returned or any(r.primitive.name != "permute_dims" for r in readers.get(v, ())):
            return ()
        found = {r.params["axes"] for r in readers.get(v, ())}
        axes = found.pop() if len(found) == 1 else ()
        return axes if axes and axes[-1] == len(axes) - 1 else ()

    def laid_out(e: Entry) -> Entry:
        code = native_of(e)
        if type(code) is not Product or not code.scratch or not code.lead:  # one matrix, as it lies
            return e
        if not (axes := order(e)):
            return e
        primitive: Any = Native(code._replace(order=axes))
        return e._replace(primitive=primitive)

    return [laid_out(e) for e in entries]


class _View(NamedTuple):
    """Elements of another variable's array.

    Attributes
    ----------
    base : int
    example : array
        An array of no memory that is such a view of one in row-major order.
    start : int
        The element of the base that is the first of that one.
    """

    base: int
    example: Any
    start: int = 0

    @property
    def strides(self) -> tuple[int, ...]:
        """In elements."""
        return tuple(s // self.example.itemsize for s in self.example.strides)

    @property
    def offset(self) -> int:
        """The element of the base that is the first."""
        moved = _address(self.example) - _address(_MEMORY)
        return self.start + moved // int(self.example.itemsize)


_MEMORY: Final = np.zeros(16, np.uint8)


def _address(x: Any) -> int:
    return int(x.__array_interface__["data"][0])


def _example(kind: ArrayType, layout: Layout | None = None) -> Any:
    """An array, in row-major order if nothing else is said, whose elements are not there."""
    strides = [math.prod(kind.shape[a + 1 :]) for a in range(kind.ndim)]
    strides = strides if layout is None else [*layout.strides]
    size = kind.dtype.itemsize
    first = _MEMORY[:size].view(kind.dtype.dtype)
    return np.lib.stride_tricks.as_strided(first, kind.shape, [s * size for s in strides])


def _view_of(e: Entry, views: dict[int, _View], types: dict[int, ArrayType]) -> _View | None:
    """View that an entry gives, if it is one and it is known of what."""
    name = e.primitive.name
    if name not in VIEWS or type(e.operands[0]) is not int:
        return None
    (x,) = e.operands
    view = views.get(x) or _View(x, _example(types[x]))
    found = VIEWS[name](view.example, **e.params)
    return None if found is None else view._replace(example=found)


def _reshaped(example: Any, shape: Shape) -> Any:
    try:
        return np.reshape(example, shape, copy=False)
    except ValueError:
        return None


# Operations that are views of their operand: of an example of it, or None if elements move
VIEWS: Final[dict[str, Callable[..., Any]]] = {
    "basic_slice": lambda example, key: example[(*key, ...)],  # an array without axes, too
    "broadcast_to": lambda example, shape: np.broadcast_to(example, shape),
    "flip": lambda example, axis: np.flip(example, axis),
    "permute_dims": lambda example, axes: example.transpose(axes),
    "reshape": _reshaped,
}


class _Schedule:
    """Entries being put into groups.

    Attributes
    ----------
    views : dict of int to _View
        Variables that are views of others.
    uses : Counter
        How often each variable is read.
    opened : dict of tuple of int to _Group
        Groups that take entries, by their shapes.
    owners : dict of int to _Group
        Those of them that compute variables.
    sums : dict of int to set of frozenset of int
        What `_sums` finds.
    """

    def __init__(
        self,
        entries: list[Entry],
        outputs: Iterable[Any],
        types: dict[int, ArrayType],
        target: Target,
        layouts: Mapping[int, Layout],
    ) -> None:
        self.entries, self.types, self.target = entries, types, target
        self.uses = Counter(o for e in entries for o in operands_of(e))
        self.uses.update(o for o in outputs if type(o) is not Literal)
        self.sums = _sums(entries, types, target)
        self.made: list[Entry] = []
        self.opened: dict[Shape, _Group] = {}
        self.owners: dict[int, _Group] = {}
        self.views = {
            v: _View(v, _example(types[v], its), its.offset) for v, its in layouts.items()
        }
        self.fresh = count(max(types, default=0) + 1)

    def close(self, group: "_Group") -> None:
        """Give a group its place."""
        del self.opened[group.shape]
        for v in (*group.values, *group.folded):
            self.owners.pop(v, None)
        self.made.extend(group.closed(self.uses))

    def place(self, e: Entry) -> None:
        """Put an entry into a group that takes it, a new one, or on its own."""
        shape = _space(e, self.types, self.target)
        if shape is not None:
            for group in self._homes(e, shape):
                if group.has_room() and self._join(e, group):
                    return
        if shape is not None and e.primitive.name not in _MOVES:
            before = self.opened.get(shape)
            if before is not None:
                self.close(before)
            if self._join(e, _Group(shape, self.types, self.views, self.target)):
                return
        for group in self._owning(e):
            self.close(group)
        view = _view_of(e, self.views, self.types)
        if view is not None:
            self.views[e.results[0]] = view
        made = (of(e, self.types) for of in self.target.calls)
        code: Any = next(filter(None, made), None)
        if code is not None and code.scratch:  # memory for what it lays out anew
            memory = next(self.fresh)
            self.types[memory] = ArrayType((code.scratch,), DTYPES["uint8"])
            e = e._replace(result=(*e.results, memory))
        primitive: Any = e.primitive if code is None else Native(code)
        self.made.append(e._replace(primitive=primitive, params=e.params if code is None else {}))

    def _homes(self, e: Entry, shape: Shape) -> Iterator["_Group"]:
        """Open groups that may take an entry: those that compute what it reads come first."""
        found = {id(g): g for g in self._owning(e)}
        yield from found.values()
        group = self.opened.get(shape)
        if group is not None and id(group) not in found and self._suits(e, group):
            yield group

    def _suits(self, e: Entry, group: "_Group") -> bool:
        """Whether a group may take what follows from an entry that reads nothing of it.

        It cannot if it has rows, and all that is summed further on is only a part of them.
        """
        rows, sums = set(group.rows), self.sums.get(e.results[0], ())
        return not sums or any(rows <= axes or rows.isdisjoint(axes) for axes in sums)

    def _owning(self, e: Entry) -> list["_Group"]:
        return [*{id(g): g for o in operands_of(e) if (g := self.owners.get(o))}.values()]

    def _join(self, e: Entry, group: "_Group") -> bool:
        """Add an entry to a group, if it takes it; others that compute what it reads close."""
        scalars = self.opened.get(()) if group.shape else None
        if any(o in group.folded for o in operands_of(e)) or not group.add(e, scalars):
            return False
        for other in self._owning(e):
            if other is not group and other is not scalars:
                self.close(other)
        if scalars is not None:
            self.uses.subtract(o for o in operands_of(e) if o in scalars.values)
        self.opened[group.shape] = self.owners[e.results[0]] = group
        return True


_REDUCTIONS: Final = {
    "sum": "add",
    "mean": "add",
    "prod": "mul",
    "max": "max",
    "min": "min",
    "all": "and",
    "any": "or",
}
_MOVES: Final = ("broadcast_to", "reshape")  # of what is one for a row
_DRAWS: Final = ("random_bits", "random_normal", "random_unit")  # of a key
_COUNTERS: Final = 1 << 32  # numbers that are drawn, at most


def _space(e: Entry, types: dict[int, ArrayType], target: Target) -> Shape | None:
    """Shape of the kernel that an entry may be part of."""
    primitive, name = e.primitive, e.primitive.name
    reduces = name in _REDUCTIONS
    taken = primitive.elementwise or reduces or name == "astype" or name in _MOVES + _DRAWS
    if not taken:
        return None
    kinds = [types[v] for v in (*operands_of(e), *e.results)]
    if not operands_of(e) or primitive.results != 1 or "axis_name" in e.params:
        return None
    if name in _DRAWS and (kinds[0].shape != (2,) or not 1 < math.prod(kinds[1].shape) < _COUNTERS):
        return None  # other than one key, and numbers that need another word
    if any(k.dtype.name not in target.kinds for k in kinds):
        return None
    shape = kinds[0 if reduces else -1].shape
    return shape if math.prod(shape) else None


def _sums(
    entries: list[Entry], types: dict[int, ArrayType], target: Target
) -> dict[int, set[frozenset[int]]]:
    """Axes over which elements of a variable are reduced, or those of what is computed of them."""
    found: dict[int, set[frozenset[int]]] = {}
    for e in reversed(entries):
        shape = _space(e, types, target)
        if shape is None:
            continue
        if e.primitive.name in _REDUCTIONS:
            kind = types[operands_of(e)[0]]
            axes = {frozenset(a for a in _places(e, kind.ndim) if kind.shape[a] > 1)}
        else:
            axes = found.get(e.results[0], set())
        for o in operands_of(e):
            if axes and types[o].shape == shape:
                found[o] = found.get(o, set()) | axes
    return found


def _places(e: Entry, ndim: int) -> list[int]:
    """Axes that a reduction is over."""
    given = e.params["axis"]
    return [a % ndim for a in (given if isinstance(given, tuple) else (given,))]


def _merge(name: str, dtype: DType) -> str:
    """How a reduction merges elements of a dtype."""
    if dtype.kind == "bool":
        name = {"max": "any", "min": "all"}.get(name, name)
    return _REDUCTIONS[name]


class _Value(NamedTuple):
    """What a group computes of a variable.

    Attributes
    ----------
    scalar : Scalar
    axes : tuple of int
        Axes of the group that those of the variable are.
    strides : tuple of int
        Of an array of it in row-major order, along the axes of the group.
    """

    scalar: Scalar
    axes: tuple[int, ...]
    strides: tuple[int, ...]


class _Group:
    """Entries that become a kernel."""

    def __init__(
        self, shape: Shape, types: dict[int, ArrayType], views: dict[int, _View], target: Target
    ) -> None:
        self.target = target
        self.shape, self.types, self.views = shape, types, views
        self.rows: tuple[int, ...] = ()
        self.folds: tuple[int, ...] = ()
        self.whole = False  # whether rows are folded, and not only what is one for a row
        self.builder = Builder(target)
        self.entries: dict[int, Entry] = {}  # by their results
        self.loads: dict[Any, Scalar] = {}  # by variable, strides and offset
        self.values: dict[int, _Value] = {}
        self.folded: dict[int, tuple[_Value, str]] = {}
        self.others: dict[int, Scalar] = {}  # computed here again, of the group without axes

    def has_room(self) -> bool:
        """Whether it is small enough to take more."""
        return len(self.loads) < self.target.arrays and len(self.builder.nodes) < _NODES

    def add(self, e: Entry, scalars: "_Group | None") -> bool:
        """Take an entry, if kernels have its operation.

        What the group without axes, `scalars`, computes is computed here once more.
        """
        before = dict(self.loads), dict(self.others), self.rows, self.folds, self.whole
        try:
            self._take(e, scalars)
        except (Unsupported, AttributeError, LookupError, TypeError, ValueError, OverflowError):
            self.loads, self.others, self.rows, self.folds, self.whole = before
            return False
        self.entries[e.results[0]] = e
        return True

    def _take(self, e: Entry, scalars: "_Group | None") -> None:
        (v,) = e.results
        if e.primitive.name in _REDUCTIONS:
            self._reduce(e, scalars)
            return
        shape = self.types[v].shape
        axes = self._axes_of(shape)
        if e.primitive.name in _MOVES:
            (x,) = operands_of(e)
            if x not in self.values:
                unsupported("a view")
            scalar, strides = self.values[x].scalar, self._strides(shape, axes)
            spread = e.primitive.name == "broadcast_to"
            seen = self._strides(self.types[x].shape, axes) if spread else strides
            if seen != self.values[x].strides:
                unsupported("a movement of elements")
        else:
            scalar = self._value(e, axes, scalars)
        self.values[v] = _Value(scalar, axes, self._strides(shape, axes))

    # where elements are --------------------------------------------------------------------------
    def _axes_of(self, shape: Shape) -> tuple[int, ...]:
        """Axes of the group that those of a result are: all, or those of what is one for a row."""
        everything = tuple(range(len(self.shape)))
        if shape == self.shape:
            return everything
        if self.rows:
            lead = len(self.shape) - len(shape)
            seen = (1,) * lead + shape
            kept = [1 if a in self.rows else n for a, n in enumerate(self.shape)]
            if lead >= 0 and all(s in (1, n) for s, n in zip(seen, kept, strict=True)):
                return everything[lead:]
            others = tuple(a for a in everything if a not in self.rows)
            if shape == tuple(self.shape[a] for a in others):
                return others
        return unsupported(f"{list(shape)} beside {list(self.shape)}")

    def _strides(self, shape: Shape, axes: Sequence[int]) -> tuple[int, ...]:
        """Strides of a row-major array that broadcasts along some axes of the group."""
        strides, step = [0] * len(self.shape), 1
        for n, a in zip(reversed(shape), reversed(axes), strict=False):
            if n != 1:
                if n != self.shape[a]:
                    unsupported(f"{list(shape)} along {list(axes)}")
                strides[a] = step
            step *= n
        if len(shape) > len(axes):
            unsupported(f"{list(shape)} along {list(axes)}")
        return tuple(strides)

    # elementwise entries -------------------------------------------------------------------------
    def _value(self, e: Entry, axes: tuple[int, ...], scalars: "_Group | None") -> Scalar:
        xp = self.builder.namespace
        if e.primitive.name in _DRAWS:
            return self._drawn(e)
        args = [self._scalar(o, axes, scalars) for o in e.operands]
        function = e.primitive.value
        own = e.primitive.name in self.target.functions
        if function is None or own or e.primitive.name == "astype":
            out = getattr(xp, e.primitive.name)(*args, **e.params)
        else:
            wide = "in_64_bits" in function.__dict__ and "float64" in self.target.kinds
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

    def _drawn(self, e: Entry) -> Scalar:
        """Random numbers of a key."""
        (v,) = e.results
        if self.types[v].shape != self.shape:
            unsupported("numbers that are one for a row")
        (key,) = operands_of(e)
        view = self.views.get(key)
        base, first, step = (key, 0, 1) if view is None else (view.base, view.offset, *view.strides)
        words = []
        for i in range(2):
            place = base, (0,) * len(self.shape), first + i * step
            if place not in self.loads:
                self.loads[place] = self.builder.load(place, WORD)  # type: ignore[arg-type]
            words.append(self.loads[place])
        function: Any = e.primitive.value
        out: Scalar = function(self.builder.namespace, words, **e.params)
        if out.dtype is not self.types[v].dtype:
            unsupported(e.primitive.name)
        return out

    def _scalar(self, operand: Any, axes: tuple[int, ...], scalars: "_Group | None") -> Any:
        """An element of an operand that broadcasts along axes of the group."""
        if type(operand) is Literal:
            return operand.value
        kind = self.types[operand]
        strides = self._strides(kind.shape, axes)
        if operand in self.values:
            if self.values[operand].strides != strides:
                unsupported("a movement of elements")
            return self.values[operand].scalar
        if operand in self.others:
            return self.others[operand]
        if scalars is not None and operand in scalars.values:
            found = self._value(scalars.entries[operand], (), scalars)
            self.others[operand] = found
            return found
        key = self._place(operand, axes) or (operand, strides, 0)
        if key not in self.loads:
            self.loads[key] = self.builder.load(key, kind.dtype)  # type: ignore[arg-type]
        return self.loads[key]

    def _place(self, operand: int, axes: tuple[int, ...]) -> tuple[Any, ...] | None:
        """Variable, strides and offset of a view, if vectors of it can be loaded."""
        view = self.views.get(operand)
        if view is None:
            return None
        strides = [0] * len(self.shape)
        shape = self.types[operand].shape
        for n, step, a in zip(
            reversed(shape), reversed(view.strides), reversed(axes), strict=False
        ):
            strides[a] = step if n != 1 else 0
        last = max((a for a, n in enumerate(self.shape) if n > 1), default=None)
        if last is not None and strides[last] not in (0, 1) and not self.target.strides:
            return None
        return view.base, tuple(strides), view.offset

    # reductions ----------------------------------------------------------------------------------
    def _reduce(self, e: Entry, scalars: "_Group | None") -> None:
        """Reduce elements, or what is one for a row."""
        (x,), (v,) = operands_of(e), e.results
        name, kind = e.primitive.name, self.types[x]
        own = self.values[x].axes if x in self.values else self._axes_of(kind.shape)
        scalar = self._scalar(x, own, scalars)
        places = _places(e, kind.ndim)
        over = tuple(sorted(own[a] for a in places if kind.shape[a] > 1))
        left = [a for a in range(kind.ndim) if a not in places]
        axes = own if e.params["keepdims"] else tuple(own[a] for a in left)
        strides = self._strides(self.types[v].shape, axes)
        along, fold = self._parts(over, strides if kind.shape == self.shape else None)
        count = math.prod(self.shape[a] for a in over)
        scalar = self._reduced(name, scalar, along, count if not fold else 0, self.types[v].dtype)
        if fold:
            if name == "mean":
                scalar = scalar * (1 / count)
            self.folded[v] = _Value(scalar, axes, strides), _merge(name, scalar.dtype)
        else:
            self.values[v] = _Value(scalar, axes, strides)

    def _parts(self, over: tuple[int, ...], strides: tuple[int, ...] | None) -> tuple[bool, bool]:
        """Whether to reduce along rows, and to fold; `strides` are None of what is one for a row.

        Sets what is a row here, and what is folded, where that is open.
        """
        if not over:
            unsupported("a reduction of nothing")
        rows, folds, wanted = set(self.rows), set(self.folds), set(over)
        last = max(a for a, n in enumerate(self.shape) if n > 1)
        if strides is not None and not rows and last in wanted:
            rows = wanted - folds if folds <= wanted else wanted
            if not folds and self.target.folds_of_rows and self._is_large(wanted):
                rows = {last}
            if last not in rows or folds & rows:
                unsupported("other axes than those that are folded")
        along = strides is not None and bool(rows & wanted)
        if along and not rows <= wanted:
            unsupported("a part of a row")
        left = wanted - rows if along else wanted
        if left and (left & rows or (folds and folds != left)):
            unsupported("other axes than those that are folded")
        folds = folds or left
        whole = self.whole or bool(left and not along and strides is not None)
        if rows and folds and not self.target.folds_of_rows:
            unsupported("sums of rows")
        if rows and whole and math.prod(self.shape[a] for a in rows) * 8 > _ROOM:
            unsupported("rows that are long")
        self.rows, self.folds, self.whole = tuple(sorted(rows)), tuple(sorted(folds)), whole
        return along, bool(left)

    def _is_large(self, axes: set[int]) -> bool:
        """Whether elements of some axes are so many that threads may share the sum of rows."""
        length = self.shape[-1]
        count = math.prod(self.shape[a] for a in axes)
        return count == math.prod(self.shape) > _MANY and _SHORT <= length < count

    def _reduced(self, name: str, x: Any, along: bool, count: int, dtype: Any) -> Any:
        """The reduction of a row, as `dtype`; of a mean over `count` elements the quotient."""
        xp, op = self.builder.namespace, _merge(name, dtype)
        if name in ("all", "any") and x.dtype is not dtype:
            x = x != 0
        if name == "mean":  # in 64 bits: what is far from 0 may differ by little
            wide = DTYPES["float64"] if along and "float64" in self.target.kinds else dtype
            x = xp.astype(x, wide)
            if along:
                x = self.builder.node("reduce", (x,), wide, op)
            return xp.astype(x / float(count) if count else x, dtype)
        x = xp.astype(x, dtype)
        return self.builder.node("reduce", (x,), dtype, op) if along else x

    # closing -------------------------------------------------------------------------------------
    def closed(self, uses: Counter[Any]) -> list[Entry]:
        """The kernel's entry; results that only the group reads stay in it."""
        inside = Counter(o for e in self.entries.values() for o in operands_of(e))
        stored = [v for v in self.entries if uses[v] > inside[v]]
        if not stored:
            return []
        nodes, values = self.builder.nodes, self.values
        plain = not self.others and not self.folded
        if plain and all(nodes[values[v].scalar.number].op == "load" for v in stored):
            return [*self.entries.values()]  # nothing is computed: what are views stay such
        *_, entry = self.entries.values()
        made = []
        for part in self._within_buffers(stored):
            kernel, operands = _pruned(self, part)
            last = entry._replace(operands=operands, params={}, result=tuple(part))
            primitive: Any = Native(kernel)
            made.append(last._replace(primitive=primitive))
        return made

    def _within_buffers(self, stored: list[int]) -> list[list[int]]:
        """Results by kernels, each of which loads and stores as few arrays as it must."""
        most = self.target.buffers
        parts: list[list[int]] = [[]]
        for v in stored:
            more = [*parts[-1], v]
            if most is None or len({*_pruned(self, more)[1]}) + len(more) <= most or not parts[-1]:
                parts[-1] = more
            else:
                parts.append([v])
        return parts


def _pruned(group: _Group, stored: list[int]) -> tuple[Kernel, tuple[int, ...]]:
    """Kernel of the nodes that what is stored depends on, and the variables that it loads."""
    nodes: list[Any] = group.builder.nodes
    made = [group.folded.get(v) or (group.values[v], None) for v in stored]
    wanted = {value.scalar.number for value, _ in made}
    for i in range(len(nodes) - 1, -1, -1):
        if i in wanted:
            wanted.update(nodes[i].operands)
    kept = sorted(wanted)
    place = {old: new for new, old in enumerate(kept)}
    loaded = tuple(dict.fromkeys(nodes[i].value for i in kept if nodes[i].op == "load"))
    number = {key: k for k, key in enumerate(loaded)}
    found = tuple(
        n._replace(
            operands=tuple(place[o] for o in n.operands),
            value=number[n.value] if n.op == "load" else n.value,
        )
        for n in (nodes[i] for i in kept)
    )
    operands = tuple(
        Operand(group.types[v].dtype, group.types[v].shape, strides, offset)
        for v, strides, offset in loaded
    )
    results = tuple(Result(place[value.scalar.number], value.strides, op) for value, op in made)
    rows = group.rows if any(n.op == "reduce" for n in found) else ()
    folds = group.folds if any(r.fold for r in results) else ()
    kernel = Kernel(group.shape, rows, folds, operands, found, results)
    return kernel, tuple(v for v, *_ in loaded)
