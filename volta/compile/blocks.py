"""Elementwise entries that run part by part, so that what lies between them stays in a cache.

NumPy computes an operation for all elements before the next one begins, and what is longer than the
caches goes to memory and comes back. Entries of one shape are put together here, run after run: a
program computes all of them for some rows, then for the next ones. Values are the same bit by bit.
Softmax of rows is taken for elementwise, as parts have whole rows then.

A group of entries stays open while the list goes on, and takes its place before the first other
entry that reads one of its results.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from volta.compile.formulas import is_formula
from volta.compile.standin import Divided
from volta.core.types import ArrayType
from volta.core.wengert import Entry, Literal, operands_of

__all__ = ["ROWS", "Blocks", "blocked", "within"]

ROWS: Final = ("log_softmax", "softmax")  # operations on each row by itself

_LARGE: Final = 1 << 18  # bytes of an array from which it does not stay in a near cache
_PART: Final = 1 << 19  # bytes of a part of an array
_EVEN: Final = 4  # of which the number of parts is a multiple, so that threads have as many each
_MANY: Final = 64  # entries of a group

Types = dict[int, ArrayType]


class Blocks(Divided):
    """What stands for a primitive in the entry of a group.

    Attributes
    ----------
    entries : list of Entry
    shape : tuple of int
        Of all results.
    whole : int
        Axes of which a part has one place.
    step : int
        Places of the axis after them that a part has.
    """

    name = "blocks"

    def __init__(self, entries: list[Entry], shape: tuple[int, ...], results: int, room: int):
        self.entries, self.shape, self.results = entries, shape, results
        rows = any(e.primitive.name in ROWS for e in entries)
        self.whole, self.step = _parts(shape, room, rows)
        axis = self.whole
        self.starts = *map(range, shape[:axis]), range(0, shape[axis], self.step)

    @property
    def part(self) -> tuple[int, ...]:
        """Shape of a part."""
        return self.step, *self.shape[self.whole + 1 :]

    @property
    def cut(self) -> str:
        """Index of what the last part has of an array for a part; empty if that is all of it."""
        n, axis = self.shape[self.whole], self.whole
        return f"[:{n} - i{axis}]" if n % self.step else ""

    def index(self, shape: tuple[int, ...]) -> str:
        """Index of the part of an operand of a shape; empty if that is all of it."""
        lead, axis = len(self.shape) - len(shape), self.whole
        places = []
        for a in range(lead, axis + 1):
            if shape[a - lead] == 1:
                places.append("0" if a < axis else ":")
            else:
                places.append(f"i{a}" if a < axis else f"i{a}:i{a} + {self.step}")
        return "" if all(p == ":" for p in places) else f"[{', '.join(places)}]"

    def overwrites(self, v: int, o: int) -> bool:
        """Whether the result `v` may be where the operand `o` of its shape is: read before it."""
        made = next(i for i, e in enumerate(self.entries) if v in e.results)
        if self.entries[made].primitive.name != "where":  # which writes before it has read all
            made += 1
        return all(o not in operands_of(e) for e in self.entries[made:])


def within(e: Entry) -> list[Entry]:
    """The entries that one stands for, or the one that stands for itself."""
    primitive: Any = e.primitive
    return primitive.entries if isinstance(primitive, Divided) else [e]


def _parts(shape: tuple[int, ...], room: int, rows: bool = False) -> tuple[int, int]:
    """Axes that a part has one place of, and places of the next: of some `room` elements.

    It has whole `rows` if these are asked for.
    """
    axis, below = 0, math.prod(shape[1:])
    while below > room and axis + 1 < len(shape) - rows:
        axis += 1
        below = math.prod(shape[axis + 1 :])
    n, lead = shape[axis], math.prod(shape[:axis])
    count = -(-n // max(1, room // below))
    even = _EVEN // math.gcd(_EVEN, lead)
    return axis, -(-n // (-(-count // even) * even))


def blocked(
    entries: Iterable[Entry],
    outputs: Iterable[Any],
    types: Types,
    alone: Callable[[Entry], bool],
) -> list[Entry]:
    """Entries of which elementwise ones on large arrays are groups, but for those `alone`."""
    entries = list(entries)
    uses = Counter(o for e in entries for o in operands_of(e))
    uses.update(o for o in outputs if type(o) is not Literal)
    opened: dict[Any, list[Entry]] = {}  # by shape, and whether NumPy may warn
    home: dict[int, Any] = {}  # of results of groups that are open
    made: list[Entry] = []

    def close(key: Any) -> None:
        group = opened.pop(key)
        for e in group:
            home.pop(e.results[0])
        made.extend(_put_together(group, uses, types))

    for e in entries:
        key = None if alone(e) else _key(e, types)
        for other in dict.fromkeys(home[o] for o in operands_of(e) if o in home):
            if other != key:
                close(other)
        if key is None:
            made.append(e)
            continue
        if len(opened.get(key, ())) == _MANY:
            close(key)
        opened.setdefault(key, []).append(e)
        home[e.results[0]] = key
    for key in [*opened]:
        close(key)
    return made


def _key(e: Entry, types: Types) -> Any:
    """What entries of one group have in common, or None if one is not for groups."""
    p = e.primitive
    if (
        not (p.elementwise or _is_of_rows(e, types))
        or p.results != 1
        or p.effect
        or p.carries
        or p.view
    ):
        return None
    if {"axis_name", "call"} & e.params.keys():
        return None
    kind = types[e.results[0]]
    # NumPy rounds products of complex numbers otherwise at the end of an array, and powers where
    # one exponent is that of a whole row
    if any(types[v].dtype.kind == "complex" for v in (*operands_of(e), *e.results)):
        return None
    if p.name == "pow" and any(types[v].shape != kind.shape for v in operands_of(e)):
        return None
    if kind.dtype.itemsize * math.prod(kind.shape) < _LARGE:
        return None
    return kind.shape, e.origin is None


def _is_of_rows(e: Entry, types: Types) -> bool:
    """Whether an entry computes each row by itself: of several, of floats."""
    if e.primitive.name not in ROWS or type(e.operands[0]) is not int:
        return False
    kind = types[e.results[0]]
    known = kind.dtype.name in ("float32", "float64") and types[e.operands[0]] == kind
    return known and kind.ndim > 1 and e.params["axis"] == kind.ndim - 1


def _put_together(group: list[Entry], uses: Counter[Any], types: Types) -> Iterator[Entry]:
    """The entry of a group, if it is worth one."""
    inside = Counter(o for e in group for o in operands_of(e))
    own = dict.fromkeys(e.results[0] for e in group)
    stored = tuple(v for v in own if uses[v] > inside[v])
    read = tuple(dict.fromkeys(o for o in inside if o not in own))
    shape = types[group[0].results[0]].shape
    size = max(types[v].dtype.itemsize for v in own)
    room = _PART // size
    e = group[0]
    single = len(group) == 1 and not (is_formula(e, types) or e.primitive.name in ROWS)
    if single or math.prod(shape) < 2 * room:
        yield from group
        return
    primitive: Any = Blocks(group, shape, len(stored), room)
    last = group[-1]._replace(primitive=primitive, operands=read, params={}, result=stored)
    yield last
