"""Programs for NumPy: straight-line Python that calls kernels, the larger ones with ``out=``.

Where results go is planned when a program is written. That of a ufunc goes to a buffer that nothing
reads any more if there is one of its size: that of a dying operand, or a slot of the program's
*arena*, which is kept from call to call, so that large arrays cost no fresh pages. What the list
returns, and all that may share memory with it, is never in the arena.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from volta.core.call import as_result, written
from volta.core.dispatch import NUMPY
from volta.core.errors import VoltaError
from volta.core.trace import located, source_line
from volta.core.types import ArrayType, broadcast_shapes
from volta.core.wengert import Entry, Literal, WengertList, needed, operands_of

__all__ = ["takes", "write"]

_SMALLEST: Final = 8192  # bytes of an array that is worth a planned buffer; less is malloc's
_NEVER: Final = 1 << 62  # the number of no entry
# Operations besides ufuncs whose results share no memory with their operands
_FRESH: Final = frozenset(
    ("argmax", "argmin", "concat", "max", "mean", "min", "prod", "stack", "sum", "take", "where")
)


def takes(wengert: WengertList) -> bool:
    """Whether all arrays of a list are NumPy's."""
    used = {*wengert.inputs, *wengert.captured, *(r for e in wengert.entries for r in e.results)}
    return all(wengert.places[v].library is NUMPY for v in used)


def write(wengert: WengertList) -> Callable[..., Any]:
    """Function of the inputs of a list that returns a list of its outputs."""
    return _Program(wengert).function()


class _Program:
    """A program being written.

    Attributes
    ----------
    group : dict of int to int
        Of each variable, one that stands for all that may share memory with it.
    ends : dict of int to int
        Of each group, the number of the last entry that reads one of it.
    slots : list of int
        Bytes of the parts of the arena.
    views : dict
        Names of arrays in them, by slot and type.
    """

    def __init__(self, wengert: WengertList) -> None:
        self.list, self.types = wengert, wengert.types
        self.entries = _broadcast_in_place(wengert)
        self.space: dict[str, Any] = {"as_result": as_result, "explained": self._explained}
        self.by_line: dict[int, Entry] = {}
        self.slots: list[int] = []  # bytes of each
        self.views: dict[tuple[int, ArrayType], str] = {}  # of slots, by name
        self.group = self._groups()
        self.ends = self._ends()

    # what shares memory, and until when ----------------------------------------------------------
    def _groups(self) -> dict[int, int]:
        group: dict[int, int] = {v: v for v in (*self.list.inputs, *self.list.captured)}
        for e in self.entries:
            apart = self._ufunc(e) is not None or e.primitive.name in _FRESH
            sharing = [] if apart else [group[o] for o in operands_of(e)]
            for r in e.results:
                group[r] = r
            if sharing:
                together = {*sharing, *e.results}
                group |= {v: sharing[0] for v, g in group.items() if g in together}
        return group

    def _ends(self) -> dict[int, int]:
        ends: dict[int, int] = {}
        for i, e in enumerate(self.entries):
            kept = _NEVER if _may_keep(e) else i
            for v in operands_of(e):
                ends[self.group[v]] = max(kept, ends.get(self.group[v], 0))
            for v in e.results:
                ends.setdefault(self.group[v], i)
        for v in (*self.list.inputs, *self.list.captured, *self.list.outputs):
            if type(v) is not Literal:
                ends[self.group[v]] = _NEVER
        return ends

    # writing -------------------------------------------------------------------------------------
    def function(self) -> Callable[..., Any]:
        """The program."""
        body = self._body()
        constants = zip(self.list.captured, self.list.constants, strict=True)
        lines = [
            f"def run({', '.join(f'v{v}' for v in self.list.inputs)}):",
            *(f"    v{v} = {self._held(c)}" for v, c in constants),
        ]
        if self.views:
            self.space |= {"arena": self._arena, "pool": []}
            views = "".join(f"{name}, " for name in self.views.values())
            lines += ["    used = pool.pop() if pool else arena()", f"    {views}= used"]
        lines.append("    try:")
        for text, entry in body:
            lines.append(f"        {text}")
            if entry is not None:
                self.by_line[len(lines)] = entry
        returned = ", ".join(map(self._read, self.list.outputs))
        lines += [
            f"        return [{returned}]",
            "    except Exception as error:",
            "        told = explained(error)",
            "        if told is error:",
            "            raise",
            "        raise told from error",
        ]
        if self.views:
            lines += ["    finally:", "        pool.append(used)"]
        return written("\n".join(lines) + "\n", self.space, again=False)

    def _body(self) -> list[tuple[str, Entry | None]]:
        """Lines, each with the entry that it is of."""
        dying = defaultdict(list)
        for g, end in self.ends.items():
            dying[end].append(g)
        members = defaultdict(list)
        for v, g in self.group.items():
            members[g].append(f"v{v}")
        free: dict[int, list[int]] = defaultdict(list)  # slots, by their bytes
        homes: dict[int, int] = {}  # of groups, the slot
        lines: list[tuple[str, Entry | None]] = []

        def release(groups: Sequence[int]) -> None:
            for g in groups:
                if g in homes:
                    slot = homes.pop(g)
                    free[self.slots[slot]].append(slot)

        for i, e in enumerate(self.entries):
            ufunc, view = self._ufunc(e), ""
            if ufunc is not None and self._is_planned(e.results[0]):
                kind = self.types[e.results[0]]
                if e.primitive.elementwise:  # it may write over an operand
                    release(dying[i])
                slot = self._slot(_size(kind), free)
                homes[self.group[e.results[0]]] = slot
                view = self.views.setdefault((slot, kind), f"s{len(self.views)}")
            lines.append((self._call(e, ufunc, view), e))
            release(dying[i])
            if dying[i]:
                lines.append((f"del {', '.join(v for g in dying[i] for v in members[g])}", None))
        return lines

    def _is_planned(self, v: int) -> bool:
        return self.ends[self.group[v]] != _NEVER and _size(self.types[v]) >= _SMALLEST

    def _slot(self, size: int, free: dict[int, list[int]]) -> int:
        if free[size]:
            return free[size].pop()
        self.slots.append(size)
        return len(self.slots) - 1

    def _arena(self) -> list[Any]:
        """Arrays in new memory, in the order of their names."""
        memory = [np.empty(size, np.uint8) for size in self.slots]
        return [
            memory[slot].view(kind.dtype.dtype).reshape(kind.shape) for slot, kind in self.views
        ]

    def _call(self, e: Entry, ufunc: Any, view: str) -> str:
        given = [*map(self._read, e.operands), *([view] if view else [])]
        results = ", ".join(f"v{r}" for r in e.results) + ("," if e.primitive.results == 0 else "")
        target = f"{results} = " if e.results else ""
        if ufunc is not None:
            call = f"{self._held(ufunc)}({', '.join(given)})"
        else:
            given += [f"{k}={self._held(v)}" for k, v in e.params.items()]
            call = f"{self._held(_kernel(e, self.types))}({', '.join(given)})"
        if e.primitive.results == 1 and not self.types[e.results[0]].shape:
            call = f"as_result({call})"
        return f"{target}{call}"

    def _ufunc(self, e: Entry) -> Any:
        """The ufunc that an entry is, if it is one on arrays and numbers of NumPy's own."""
        kernel = e.primitive.kernel_of(NUMPY) if _is_plain(e, self.types) else None
        return kernel if isinstance(kernel, np.ufunc) and not e.params else None

    def _held(self, value: Any) -> str:
        name = f"c{len(self.space)}"
        self.space[name] = value
        return name

    def _read(self, operand: Any) -> str:
        return self._held(operand.value) if type(operand) is Literal else f"v{operand}"

    def _explained(self, error: Exception) -> Exception:
        """Error of the entry that failed, with its line."""
        traceback = error.__traceback__
        assert traceback is not None
        e = self.by_line.get(traceback.tb_lineno)
        if e is None:
            return error
        values = traceback.tb_frame.f_locals
        args = tuple(o.value if type(o) is Literal else values[f"v{o}"] for o in e.operands)
        told = e.primitive.explain(error, args, e.params)
        if isinstance(told, VoltaError) and e.code is not None:
            located(told, source_line(e.code, e.offset))
        return told


def _size(kind: ArrayType) -> int:
    return math.prod(kind.shape) * kind.dtype.itemsize


def _is_plain(e: Entry, types: dict[int, ArrayType]) -> bool:
    """Whether an entry is one call of a kernel on arrays, with nothing that Volta adds."""
    primitive = e.primitive
    return (
        primitive.results == 1
        and bool(operands_of(e))
        and not (primitive.carries or primitive.effect or {"axis_name", "call"} & e.params.keys())
        and not any(types[v].dtype.name == "bfloat16" for v in (*operands_of(e), *e.results))
    )


def _kernel(e: Entry, types: dict[int, ArrayType]) -> Callable[..., Any]:
    return e.primitive.kernel_of(NUMPY) if _is_plain(e, types) else e.primitive.call


def _may_keep(e: Entry) -> bool:
    """Whether an entry may keep its operands: it calls what is not Volta's."""
    return e.primitive.carries or e.primitive.effect or "call" in e.params


def _broadcast_in_place(wengert: WengertList) -> list[Entry]:
    """Entries without the broadcasts that a ufunc makes by itself."""
    sources: dict[Any, int] = {}
    entries = []
    for e in wengert.entries:
        if e.primitive.name == "broadcast_to" and type(e.operands[0]) is not Literal:
            sources[e.results[0]] = e.operands[0]
        elif e.primitive.elementwise:
            operands = list(e.operands)
            for i, o in enumerate(operands):
                if o in sources:
                    operands[i] = sources[o]
                    kinds = (wengert.types[v] for v in operands if type(v) is not Literal)
                    shapes = [k.shape for k in kinds]
                    if broadcast_shapes("", *shapes) != wengert.types[e.results[0]].shape:
                        operands[i] = o
            e = e._replace(operands=tuple(operands))
        entries.append(e)
    return needed(entries, wengert.outputs, (), slice(None))
