"""The trace that watches: what `debug_nans`, `check_tracer_leaks` and `debug_key_reuse` share.

While a context of these runs, a `Watch` is the current staging list (see `core.trace`), so that all
operations come to it: those of raw arrays, and before an inner trace those on its tracers. It has
them done as they would be without it, and shows its observers what went in and what came out.
Nothing on the way of an operation asks whether one is there.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ContextDecorator, contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final

from volta.core.call import axis_of
from volta.core.context import STAGING
from volta.core.errors import VoltaError
from volta.core.source import running_line, source_line
from volta.core.trace import Abstract, Trace, live
from volta.core.tracer import Tracer, escaped
from volta.core.types import SCALARS
from volta.core.wengert import Literal, WengertList
from volta.transforms.jvp import JvpTrace
from volta.transforms.vjp import VjpTrace

__all__ = ["SWEEPING", "Observer", "Watch", "Watching", "entry", "line", "placed", "raws", "watch"]

# Of a program that is run entry by entry: line and operation of the entry, and the operation of
# whose derivative it is part.
_ENTRY: Final[ContextVar[tuple[str, str, str | None] | None]] = ContextVar("entry", default=None)
# Whether what is done is part of something larger that is looked at as a whole.
_WITHIN: Final[ContextVar[bool]] = ContextVar("within", default=False)
# Whether a sweep runs: what is done there for a second time is no second use.
SWEEPING: Final[ContextVar[bool]] = ContextVar("sweeping", default=False)


def line() -> str:
    """The user's line: of the entry that is run, or else the one that runs."""
    at = _ENTRY.get()
    return running_line() or "?" if at is None else at[0]


def entry() -> tuple[str, str, str | None] | None:
    """Line, operation and derived operation of the entry that is run, if one is."""
    return _ENTRY.get()


def placed(error: VoltaError, where: str) -> VoltaError:
    """`error` with the line that it speaks of."""
    error.line, error.placed = where, True
    return error


class Observer:
    """What a debugging context looks at; the methods of this class do nothing."""

    def done(self, primitive: Any, args: tuple[Any, ...], params: dict[str, Any], out: Any) -> None:
        """See an operation on raw arrays."""

    def derived(self, name: str, where: str, before: Sequence[Any], after: Sequence[Any]) -> None:
        """See a derivative: what the rule of the operation `name` was given, and returned."""

    def computed(self, name: str, where: str, before: Sequence[Any], after: Sequence[Any]) -> None:
        """See an operation of a trace that computes: its operands and its results."""

    def made(self, out: Any) -> None:
        """See the result of an operation of any trace."""

    def left(self, trace: Trace) -> None:
        """See the end of the function that a transform ran."""

    def closed(self) -> None:
        """See the end of the debugging context itself."""

    def forked(self) -> Callable[[bool], None]:
        """Prepare for alternatives; the function returned is told after each, and at the end."""
        return lambda last: None


class Watch(Trace):
    """Has operations done, and shows them to observers.

    Attributes
    ----------
    outer : Trace or None
        The list that was current before.
    observers : tuple of Observer
    given : dict
        By the id of an entry that calls functions of the user's, the entry and its operands.
    """

    __slots__ = ("at", "given", "observers", "origin", "outer")
    watches = True

    def __init__(self, outer: Trace | None, observers: tuple[Observer, ...]) -> None:
        super().__init__("debug", None)
        self.serial = math.inf  # type: ignore[assignment]  # younger than any
        self.outer, self.observers = outer, observers
        self.given: dict[int, tuple[Any, list[Any]]] = {}
        self.at = self.origin = None  # which a staging list has

    def process(self, primitive: Any, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Have the operation done by whichever trace would do it."""
        top, handles = self.outer, False
        axis = axis_of(primitive, params)
        if axis is not None and (top is None or axis.serial > top.serial):
            top = axis
        for a in args:
            if type(a) is Tracer:
                handles = True
                if a.trace is not None and (top is None or a.trace.serial > top.serial):
                    top = a.trace
        if top is None:
            values = tuple([a.value if type(a) is Tracer else a for a in args])
            out = primitive.evaluate(values, params)
            self._see(primitive, values, params, out)
            if handles:
                several = primitive.results != 1
                out = tuple(map(_handle, out)) if several else _handle(out)
        elif not top.open:
            escaped(top, primitive.name)
        elif isinstance(top, VjpTrace | JvpTrace) and (not primitive.carries or "call" in params):
            out = self._whole(top, primitive, args, params)
        else:
            out = top.process(primitive, args, params)
        for o in self.observers:
            o.made(out)
        return out

    def _see(
        self, primitive: Any, values: tuple[Any, ...], params: dict[str, Any], out: Any
    ) -> None:
        for o in self.observers:
            o.done(primitive, values, params, out)
        if _WITHIN.get() or (primitive.carries and "call" not in params):
            return
        results = out if primitive.results != 1 else (out,)
        for o in self.observers:
            o.computed(_name(primitive, params), line(), [*values, *_numbers(params)], results)

    def _whole(
        self, top: Trace, primitive: Any, args: tuple[Any, ...], params: dict[str, Any]
    ) -> Any:
        """Have a trace that computes do it, and look at the values and tangents only then.

        Of what calls a function of the user's, the operations are looked at as well.
        """
        within = _WITHIN.set(_WITHIN.get() or not primitive.carries)
        try:
            out = top.process(primitive, args, params)
        finally:
            _WITHIN.reset(within)
        if _WITHIN.get():
            return out
        results = out if primitive.results != 1 else (out,)
        (values, tangents), (new, moved) = _parts(args), _parts(results)
        if primitive.carries and isinstance(top, VjpTrace) and top.entries:
            self.given[id(top.entries[-1])] = top.entries[-1], values
        name, where = _name(primitive, params), line()
        for o in self.observers:
            o.computed(name, where, [*values, *_numbers(params)], new)
            if moved:
                o.derived(name, where, [*values, *tangents, *new], moved)
        return out

    @contextmanager
    def deriving(self, entry: Any, cts: dict[int, Any]) -> Iterator[None]:
        """Look at the cotangents that the rule of an entry makes."""
        primitive, operands, params, result, _, out, saved, *_ = entry
        results = result if type(result) is tuple else (result,)
        given = [cts[r] for r in results if r in cts]
        held = [cts[v] for v in operands if v is not None and v in cts]
        inside = _ENTRY.get()
        where = source_line(*entry[-2:]) if inside is None else inside[0]
        within = _WITHIN.set(_WITHIN.get() or not primitive.carries)
        sweeping = SWEEPING.set(True)
        try:
            yield
        finally:
            _WITHIN.reset(within)
            SWEEPING.reset(sweeping)
        if _WITHIN.get() or (primitive.carries and "call" not in params) or not given:
            return
        known, operands_were = self.given.pop(id(entry), (None, []))
        made_of = (
            operands_were if known is entry else saved
        )  # of which the user's rule made `saved`
        before = _all((*given, *held, out, made_of))
        after = _all([cts[v] for v in operands if v is not None and v in cts])
        for o in self.observers:
            o.derived(_name(primitive, params), where, before, after)

    def replay(self, wengert: WengertList, arrays: Sequence[Any]) -> list[Any]:
        """Run a list entry by entry, each at its own line."""
        values = dict(zip(wengert.inputs, arrays, strict=True))
        values.update(zip(wengert.captured, wengert.constants, strict=True))
        part: _Part | None = None

        def read(operand: Any) -> Any:
            return operand.value if type(operand) is Literal else values[operand]

        ends = _ends(wengert)
        for i, e in enumerate(wengert.entries):
            where = source_line(e.code, e.offset)
            at = _ENTRY.set((where, e.primitive.name, e.origin))
            given = [read(o) for o in e.operands]
            if part is None or part.key != (e.origin, where):
                part = _Part((e.origin, where)) if e.origin is not None else None
            within = _WITHIN.set(_WITHIN.get() or (part is not None and not e.primitive.carries))
            try:
                out = e.primitive.call(*given, **e.params)
            finally:
                _WITHIN.reset(within)
                _ENTRY.reset(at)
            outs = (out,) if e.primitive.results == 1 else tuple(out)
            values.update(zip(e.results, outs, strict=True))
            if part is not None and not _WITHIN.get():
                part.note(e, given)
                if i in ends:
                    self._show(part, ends[i], values)
        return [read(o) for o in wengert.outputs]

    def _show(self, part: "_Part", results: Sequence[int], values: dict[int, Any]) -> None:
        origin, where = part.key
        after = _all([values[r] for r in results])
        for o in self.observers:
            o.derived(origin, where, _all(part.given), after)

    def alternatives(self, lists: Sequence[WengertList], arrays: Sequence[Any]) -> list[Any]:
        """Run lists of which only one would run, but for the lanes."""
        tell = self.forked()
        found = []
        for i, wengert in enumerate(lists):
            found.append(wengert.replay(arrays))
            tell(i == len(lists) - 1)
        return found

    def forked(self) -> Callable[[bool], None]:
        """Prepare the observers for alternatives; see `Observer.forked`."""
        told = [o.forked() for o in self.observers]

        def tell(last: bool) -> None:
            for t in told:
                t(last)

        return tell

    def left(self, trace: Trace) -> None:
        """Tell the observers that the function of a transform has ended."""
        for o in self.observers:
            o.left(trace)

    def source(self, key: Any) -> None:
        """Tell the observers of a key made from a seed."""
        for o in self.observers:
            if hasattr(o, "source"):
                o.source(key)


class _Part:
    """Entries of one derivative, in a row: what they were given from outside."""

    def __init__(self, key: tuple[str | None, str]) -> None:
        self.key: Any = key
        self.given: list[Any] = []
        self.own: set[int] = set()

    def note(self, entry: Any, given: Sequence[Any]) -> None:
        """Take note of an entry that was run."""
        operands = zip(entry.operands, given, strict=True)
        self.given += [x for o, x in operands if type(o) is not Literal and o not in self.own]
        self.own.update(entry.results)


def _ends(wengert: WengertList) -> dict[int, list[int]]:
    """Of the last entry of each derivative: those of its results that others read."""
    last: dict[int, int] = {}
    start = 0
    entries = wengert.entries
    group = []
    for i, e in enumerate(entries):
        before = entries[i - 1] if i else None
        if before is None or (e.origin, e.code, e.offset) != (
            before.origin,
            before.code,
            before.offset,
        ):
            start = i
        group.append(start)
        last[start] = i
    made = {r: g for e, g in zip(entries, group, strict=True) for r in e.results}
    read: dict[int, list[int]] = {}
    for e, g in zip(entries, group, strict=True):
        for o in e.operands:
            if type(o) is not Literal and made.get(o, g) != g:
                read.setdefault(last[made[o]], []).append(o)
    for o in wengert.outputs:
        if type(o) is not Literal and o in made:
            read.setdefault(last[made[o]], []).append(o)
    return read


def _handle(out: Any) -> Tracer:
    return Tracer(None, None, out)


def _name(primitive: Any, params: dict[str, Any]) -> str:
    """Name of an operation, or of the user's function with rules, or the solution, that it is."""
    return str(params["call"]) if primitive.carries and "call" in params else primitive.name


def _numbers(params: dict[str, Any]) -> list[Any]:
    flat = [p for v in params.values() for p in (v if type(v) is tuple else (v,))]
    return [p for p in flat if type(p) in SCALARS or (hasattr(p, "dtype") and hasattr(p, "shape"))]


def raws(x: Any) -> list[Any]:
    """Raw arrays that `x` stands for: its value, and tangents if it has any."""
    values, tangents = _parts((x,))
    return [*values, *tangents]


def _all(items: Any) -> list[Any]:
    found: list[Any] = []
    for x in items:
        if isinstance(x, tuple | list):
            found += _all(x)
        elif type(x) is Tracer or hasattr(x, "dtype"):
            found += raws(x)
    return found


def _parts(items: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Raw arrays under handles: values, and tangents."""
    values, tangents = [], []
    for x in items:
        while type(x) is Tracer:
            if isinstance(x.trace, JvpTrace):
                more, most = _parts((x.var[0],))
                tangents += [*more, *most]
            x = x.value
        if type(x) is not Abstract:
            values.append(x)
    return values, tangents


class Watching(ContextDecorator):
    """A debugging context, which is a decorator as well.

    Parameters
    ----------
    observe : callable
        Makes the observer, anew for each time that the context is entered.
    """

    def __init__(self, observe: Callable[[], Observer]) -> None:
        self._observe = observe
        self._entered: list[tuple[Any, Watch, Observer]] = []

    def _recreate_cm(self) -> "Watching":
        return Watching(self._observe)

    def __enter__(self) -> None:
        observer = self._observe()
        current = watch(observer)
        self._entered.append((STAGING.set(current), current, observer))
        with live.lock:
            live.staging += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        token, current, observer = self._entered.pop()
        now = STAGING.get()
        if now is current:
            STAGING.reset(token)
        elif isinstance(now, Watch):  # of a context that was entered later and is still open
            now.observers = tuple([o for o in now.observers if o is not observer])
        current.observers = ()
        while isinstance(now := STAGING.get(), Watch) and not now.observers:
            STAGING.set(now.outer)  # that of a context which is closed
        with live.lock:
            live.staging -= 1
        if kind is None:
            observer.closed()


def watch(observer: Observer) -> Watch:
    """A watch with one observer more than the current one."""
    current = STAGING.get()
    if isinstance(current, Watch):
        return Watch(current.outer, (*current.observers, observer))
    return Watch(current, (observer,))
