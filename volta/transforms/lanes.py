"""Lanes that part: how `vmap` runs a function on for each group of lanes alone.

Where a value that the function reads differs between lanes, they are partitioned by it. Python
cannot run one call on in two ways, so the function runs again for each group: a `Tape` has kept
what was computed until then, and gives the group's part of it in place of computing it again. What
a run does to things outside of it, an `Outside` undoes for the next.
"""

import gc
import weakref
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from volta.core.dispatch import NUMPY, library_of
from volta.core.errors import TraceError
from volta.core.trace import here, located, ops, source_line
from volta.core.tracer import Tracer
from volta.core.types import SCALARS, as_dtype

__all__ = ["Event", "Group", "Outside", "Parted", "Same", "Tape", "groups_of", "known", "rows_of"]


class Same(NamedTuple):
    """One of several results that is the same in all lanes, without their axis."""

    value: Any


class Event(NamedTuple):
    """What a run did: an operation or a read, its outcome and where in the user's code it was.

    `given` is what is `known` of it; `batched` says whether the values in `out` have the lanes in
    front; `error` is what it raised.
    """

    what: str
    given: Any
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

    @property
    def repeats(self) -> bool:
        """Whether the lanes of this run have yet to part, or never did."""
        return self.place <= self.end or self.answer is None

    def once(
        self, what: str, given: Any, compute: Callable[[], tuple[Any, bool]]
    ) -> tuple[Any, bool]:
        """Outcome of what comes next: as it was, or computed now if this run has got further."""
        event = self._next(what, given)
        if event is not None:
            if event.error is not None:
                raise event.error
            return event.out, event.batched
        if not self.keeps:
            return compute()
        try:
            out, batched = compute()
        except Exception as error:
            self.events.append(Event(what, given, None, False, error, here()))
            raise
        self.events.append(Event(what, given, out, batched, None, here()))
        return out, batched

    def finish(self) -> None:
        """Raise if the function came to its end before it did what it had done before."""
        place = self.place
        if place < len(self.events):
            self._differs(self.events[place], "its end")
        if place <= self.end:
            self._differs([*self.past, self.answer][place], "its end")

    def _next(self, what: str, given: Any) -> Event | None:
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
        if event.what != what or event.given != given:
            other = " with other numbers" if event.what == what else ""
            self._differs(event, f"{what}{other} at {source_line(*here())}")
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


class Outside:
    """What the runs of one call do outside of it, so that each begins from the same state.

    Arrays that a run writes to are noted with what they were before. Of those that outlive the run
    the next one finds them so again, and has to write to them as well.

    Attributes
    ----------
    met : int
        Number of effects that this run has met so far.
    done : int
        Of how many of them a run that came to nothing has had already.
    """

    __slots__ = ("__weakref__", "before", "done", "met", "written")

    def __init__(self) -> None:
        self.met = self.done = 0
        self.before: dict[int, Any] = {}  # by id, a reference to the handle and its state
        self.written: dict[int, Any] = {}  # in this run, and where if its lanes had parted

    def effect(self) -> bool:
        """Whether the effect that comes now is to happen."""
        self.met += 1
        return self.met > self.done

    def write(self, x: Tracer, parted: bool) -> None:
        """Take note of a write to `x` that is about to happen."""
        key = id(x)
        if key not in self.before:
            forget = weakref.WeakMethod(self._forget)
            self.before[key] = (
                weakref.ref(x, lambda _: (f := forget()) and f(key)),
                (x.trace, x.var, x.value),
            )
        if parted or key not in self.written:
            self.written[key] = here() if parted else None

    def _forget(self, key: int) -> None:
        self.before.pop(key, None)
        self.written.pop(key, None)

    def check(self, trace: Any) -> None:
        """Check that a run has written to what others did, and to nothing on its own.

        Raises
        ------
        TraceError
            If not: what such an array holds would depend on the order of the runs.
        """
        for _ in range(2):
            own = [at for at in self.written.values() if at is not None]
            if not own and self.before.keys() <= self.written.keys():
                return
            gc.collect()  # what only refers to itself does not live on
        got = f"one at {source_line(*own[0])} by" if own else "none by"
        msg = (
            f"{trace.name}: writes to an array that outlives the function must be done by all "
            f"lanes together, before they part; got {got} {trace.size} of {trace.total}, parted by "
            f"{trace.axis.why}. Pass the array as an argument and return it, or write outside."
        )
        raise located(TraceError(msg), source_line(*own[0]) if own else None)

    def restore(self, done: int) -> None:
        """Prepare for the next run, in which so many effects are not to happen again."""
        for reference, state in list(self.before.values()):
            if (x := reference()) is not None:
                x.trace, x.var, x.value = state
                x.family.version += 1  # its slices follow
        self.written.clear()
        self.met, self.done = 0, done


def known(args: tuple[Any, ...], params: dict[str, Any]) -> Any:
    """What must be the same when an operation happens again: its numbers that are not traced.

    Numbers are looked at where they are in the host's memory; elsewhere only shapes and dtypes are.
    """
    given = [_known(a) for a in args if type(a) is not Tracer or a.trace is None]
    return [*given, *map(_known, params.values())] if params else given


def _known(x: Any) -> Any:
    if type(x) is Tracer:
        x = x.value
    kind = type(x)
    if kind in SCALARS:
        return kind, x if x == x else "nan"
    if kind is np.ndarray:
        return x.shape, x.dtype, hash(x.tobytes())  # and not the array, to which one may write
    if kind is tuple or kind is list:
        return [_known(v) for v in x]
    if kind is slice:
        return [_known(v) for v in (x.start, x.stop, x.step)]
    if kind is str:
        return x
    if not (hasattr(x, "shape") and hasattr(x, "dtype")):
        return kind  # functions and programs
    if _in_memory(x):
        return _known(np.asarray(_host(x)))
    return tuple(x.shape), x.dtype


def _in_memory(x: Any) -> bool:
    """Whether an array that is not NumPy's shares the host's memory."""
    try:
        return x.__dlpack_device__()[0] == _HOST  # type: ignore[no-any-return]  # a pair of ints
    except Exception:  # of dask, or traced by JAX
        return isinstance(x, np.generic)


_HOST: Final = 1  # DLPack's kDLCPU


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
