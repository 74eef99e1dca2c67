"""Staged lists as plans: recorded once, then run by one call.

The list runs once on arrays without elements, whose operations are collected apart; what they come
to is planned (`volta.wgpu.plan`). A list that must see an element on its way, such as one with a
loop that ends by a condition, cannot be recorded; it runs entry by entry.
"""

import weakref
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from volta.core.types import ArrayType
from volta.core.wengert import WengertList
from volta.wgpu.array import Array
from volta.wgpu.pending import Blank, Pending, Unknown, Value, collecting, pending_of
from volta.wgpu.plan import Plan

__all__ = ["compiled"]

_MOST: Final = 16  # plans of a list: one for each way in which its inputs lie in memory


def compiled(wengert: WengertList) -> Callable[..., Any]:
    """The function that runs a list whose arrays are all of devices."""
    return _Replay(wengert)


class _Replay:
    """Plans of a list.

    Attributes
    ----------
    wengert : WengertList
    plans : dict
        By what is pending on a device, as it was opened, and by how inputs lie in memory.
    """

    def __init__(self, wengert: WengertList) -> None:
        self.wengert = wengert
        self.plans: weakref.WeakKeyDictionary[Pending, dict[Any, Any]] = weakref.WeakKeyDictionary()

    def __call__(self, *arrays: Any) -> list[Any]:
        devices = {a.device if type(a) is Array else None for a in arrays}
        device = devices.pop() if len(devices) == 1 else None
        if device is None:
            return self.wengert.run(*arrays)  # type: ignore[no-any-return]  # a list
        pending = pending_of(device)
        values = [a.value for a in arrays]
        waiting = [v for v in values if v.operation is not None]
        if waiting:
            pending.flush(*waiting)
        plans = self.plans.setdefault(pending, {})
        key = tuple(v.layout for v in values)
        if key not in plans and len(plans) < _MOST:
            plans[key] = self._recorded(pending, values)
        recorded = plans.get(key)
        if recorded is None:
            return self.wengert.run(*arrays)  # type: ignore[no-any-return]  # a list
        return recorded.run(pending, values)  # type: ignore[no-any-return]  # a list

    def _recorded(self, pending: Pending, values: list[Value]) -> "_Recorded | None":
        """What the list does with such values; None if their elements must be seen."""
        blank = [Value(v.kind, None, Blank(i), v.layout) for i, v in enumerate(values)]
        try:
            with collecting() as effects:
                outputs = self.wengert.run(*(Array(pending.device, v) for v in blank))
        except Unknown:
            return None
        found = [x.value if type(x) is Array else x for x in outputs]
        results = [v for v in found if type(v) is Value and v.operation]
        plan, inputs = pending.planned([*results, *effects])
        place = {id(v): i for i, v in enumerate(results)}
        returned = [
            x if type(x) is not Value else _Result(place.get(id(x)), x.kind, x.buffer, x.layout)
            for x in found
        ]
        return _Recorded(plan, [v.buffer for v in inputs], returned)


class _Result(NamedTuple):
    """A result of a list: one that is made, or a view of a buffer or an input."""

    made: int | None
    kind: ArrayType
    buffer: Any
    layout: Any


class _Recorded(NamedTuple):
    """A list as a plan.

    Attributes
    ----------
    plan : Plan
    inputs : list
        What its inputs are: inputs of the list, as `Blank`, or buffers of constants.
    results : list
        `_Result`s, and Python numbers.
    """

    plan: Plan
    inputs: list[Any]
    results: list[Any]

    def run(self, pending: Pending, values: list[Value]) -> list[Any]:
        """The results, given the values of the list's inputs."""

        def buffer_of(x: Any) -> Any:
            return values[x.number].buffer if type(x) is Blank else x

        made = pending.run(self.plan, [buffer_of(x) for x in self.inputs])
        out: list[Any] = []
        for r in self.results:
            if type(r) is not _Result:
                out.append(r)
                continue
            if r.made is None:
                value = Value(r.kind, None, buffer_of(r.buffer), r.layout)
            else:
                value = Value(r.kind, None, *made[r.made])
            out.append(Array(pending.device, value))
        return out
