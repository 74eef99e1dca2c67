"""Sums of slices that lie apart, put together in one array.

The cotangent of an array of which a program takes slices is the sum of arrays that are zero but for
a slice. Where each slice of such a sum is added once to zeros, it is copied there instead.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from volta.compile.standin import StandIn
from volta.core.types import ArrayType
from volta.core.wengert import Entry, Literal, operands_of

__all__ = ["Assembly", "assembled"]

_LARGE: Final = 1 << 24  # elements of which it is not found out whether slices lie apart


class Assembly(StandIn):
    """What stands for a primitive in the entry of an array that is put together of slices."""

    name = "assemble"

    def __init__(self, kind: ArrayType, keys: Sequence[Any], whole: bool) -> None:
        self.kind, self.keys, self.whole = kind, keys, whole

    def put(self, *parts: Any, out: Any = None) -> Any:
        """The array of the parts, in `out` if it is given."""
        if out is None:
            out = np.empty(self.kind.shape, self.kind.dtype.dtype)
        if not self.whole:
            out[...] = 0
        for key, part in zip(self.keys, parts, strict=True):
            out[key] = part
        return out


def assembled(
    entries: Iterable[Entry], outputs: Iterable[Any], types: dict[int, ArrayType]
) -> list[Entry]:
    """Entries in which sums of slices that lie apart are one."""
    entries = list(entries)
    uses = Counter(o for e in entries for o in operands_of(e))
    uses.update(o for o in outputs if type(o) is not Literal)
    parts: dict[int, list[tuple[int, Any]]] = {}  # of sums of slices: variables and keys
    for e in entries:
        if e.primitive.name == "embed_slice":
            parts[e.results[0]] = [(e.operands[0], e.params["key"])]
        elif e.primitive.name == "add" and all(uses[o] == 1 and o in parts for o in e.operands):
            x, y = e.operands
            if types[x] == types[y] and x != y:
                parts[e.results[0]] = parts[x] + parts[y]
    inner = {o for e in entries if e.results[:1] and e.results[0] in parts for o in operands_of(e)}
    made = []
    for e in entries:
        v = e.results[0] if e.results else -1
        found = None if v in inner else parts.get(v)  # the whole of a sum
        if found is not None and len(found) > 1:
            whole = _lie_apart(types[v], [key for _, key in found])
            if whole is not None:
                primitive: Any = Assembly(types[v], [key for _, key in found], whole)
                operands = tuple(x for x, _ in found)
                e = e._replace(primitive=primitive, operands=operands, params={})
        made.append(e)
    return made


def _lie_apart(kind: ArrayType, keys: Sequence[Any]) -> bool | None:
    """Whether slices that lie apart are the whole array; None if they do not."""
    if math.prod(kind.shape) > _LARGE:
        return None
    count = np.zeros(kind.shape, np.uint8)
    for key in keys:
        count[key] += 1
    return None if count.max(initial=0) > 1 else bool(count.all())
