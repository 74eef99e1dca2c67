"""Lanes that part: how `vmap` runs a function on for each group of lanes alone.

Where a value that the function reads differs between lanes, they are partitioned by it. Python
cannot run one call on in two ways, so the function runs again for each group: a `Tape` has kept
what was computed until then, and gives the group's part of it in place of computing it again.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from volta.core.dispatch import NUMPY, library_of
from volta.core.errors import TraceError
from volta.core.trace import here, ops, source_line
from volta.core.types import as_dtype

__all__ = ["Event", "Group", "Parted", "Same", "Tape", "groups_of", "rows_of"]


class Same(NamedTuple):
    """One of several results that is the same in all lanes, without their axis."""

    value: Any


class Event(NamedTuple):
    """What a run did: an operation or a read, its outcome and where in the user's code it was.

    `batched` says whether the values in `out` have the lanes in front; `error` is what it raised.
    """

    what: str
    out: Any
    batched: bool
    error: Exception | None
    at: tuple[Any, int]


class Group(NamedTuple):
    """Lanes that go on together.

    Attributes
    ----------
    lanes : array of int, slice or None
        Their places among the lanes of the call; None for all there are.
    why : str
        What they were parted by.
    past : list of Event
        What the run that was parted had done; of that run's lanes these are the `rows`.
    answer : Event or None
        The read that parted them, with this group's outcome.
    """

    lanes: Any
    why: str
    past: list[Event]
    rows: Any
    answer: Event | None


class Parted(BaseException):
    """A read whose outcome differs between the lanes of `trace`; `groups` to go on with.

    The groups are None where the run kept nothing: it is to be repeated with a tape. This is no
    error, so that functions that handle errors let it pass.
    """

    def __init__(self, trace: Any, groups: list[Group] | None) -> None:
        super().__init__("lanes part")
        self.trace, self.groups = trace, groups


class Tape:
    """Events of one run, and of the run before it that it repeats.

    Attributes
    ----------
    lanes : array of int
        Places of the lanes of this run among those of the call.
    place : int
        Number of events so far.
    events : list of Event
        Those of this run; not kept for a single lane, which cannot part.
    """

    __slots__ = ("answer", "end", "events", "keeps", "lanes", "name", "past", "place", "rows")

    def __init__(self, name: str, group: Group, lanes: Any) -> None:
        self.lanes = lanes
        self.name = name
        self.past, self.rows, self.answer = group.past, group.rows, group.answer
        self.end = len(group.past) if group.answer is not None else -1
        self.keeps = len(lanes) > 1
        self.events: list[Event] = []
        self.place = 0

    def once(self, what: str, compute: Callable[[], tuple[Any, bool]]) -> tuple[Any, bool]:
        """Outcome of what comes next: as it was, or computed now if this run has got further."""
        event = self._next(what)
        if event is not None:
            if event.error is not None:
                raise event.error
            return event.out, event.batched
        if not self.keeps:
            return compute()
        try:
            out, batched = compute()
        except Exception as error:
            self.events.append(Event(what, None, False, error, here()))
            raise
        self.events.append(Event(what, out, batched, None, here()))
        return out, batched

    def finish(self) -> None:
        """Raise if the function came to its end before it did what it had done before."""
        place = self.place
        if place < len(self.events):
            self._differs(self.events[place], "its end")
        if place <= self.end:
            self._differs([*self.past, self.answer][place], "its end")

    def _next(self, what: str) -> Event | None:
        place = self.place
        self.place = place + 1
        if place < len(self.events):
            event = self.events[place]  # once more, because an inner vmap started again
        elif place < self.end:
            event = self.past[place]
            if event.batched:
                event = event._replace(out=rows_of(event.out, self.rows))
            if self.keeps:
                self.events.append(event)
        elif place == self.end and self.answer is not None:
            event = self.answer
            if self.keeps:
                self.events.append(event)
                self.past = []
        else:
            return None
        if event.what != what:
            self._differs(event, f"{what} at {source_line(*here())}")
        return event

    def _differs(self, before: Event | None, now: str) -> None:
        assert before is not None
        msg = (
            f"{self.name}: the function must do the same whenever it runs, because it runs again "
            f"for each group of lanes that part; got {before.what} at {source_line(*before.at)} "
            f"the first time, and {now} the next. Pass what varies from call to call as an "
            "argument."
        )
        raise TraceError(msg)


def rows_of(value: Any, rows: Any) -> Any:
    """Some lanes of a value, or of each of several values."""
    if type(value) is tuple:
        return tuple([rows_of(v, rows) for v in value])
    if type(value) is Same:
        return value
    if type(rows) is slice:
        return ops.getitem(value, rows)
    if type(value) is np.ndarray:
        i = rows[0]
        return value[i : i + 1] if len(rows) == 1 else value[rows]
    return ops.take(value, rows, axis=0)


def groups_of(lanes: Any) -> list[tuple[Any, Any]]:
    """Places of equal rows of a raw array, and the row, in the order of their first places."""
    rows = _host(lanes)
    found: dict[Any, list[int]] = {}
    if rows.ndim == 1 and rows.dtype.kind in "biu":
        keys = rows.tolist()
    else:
        if rows.dtype.kind in "fc":
            rows = np.where(rows != rows, np.asarray(np.nan, rows.dtype), rows + 0)  # one NaN and 0
        rows = np.ascontiguousarray(rows).reshape(len(rows), -1)
        keys = [row.tobytes() for row in rows]
    for i, key in enumerate(keys):
        found.setdefault(key, []).append(i)
    return [(np.asarray(places), lanes[places[0], ...]) for places in found.values()]


def _host(raw: Any) -> Any:
    """NumPy array of the values of a raw array."""
    library = library_of(raw, "vmap")
    if library is NUMPY:
        return raw
    dtype = as_dtype(raw.dtype)
    if dtype.kind == "float" and dtype.itemsize == 2:
        raw = library.xp.astype(raw, library.xp.float32)
    move = next((m for m in ("get", "cpu", "compute") if hasattr(raw, m)), None)
    return np.asarray(raw if move is None else getattr(raw, move)())
