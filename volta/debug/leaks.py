"""Traced arrays that outlive their transform: `check_tracer_leaks`."""

import gc
import os
import sys
from types import CellType, FrameType, FunctionType, MethodType
from typing import Any, Final

from volta.core.errors import TraceError
from volta.core.source import INSIDE, here, source_line, user_frame
from volta.core.trace import Trace, located
from volta.core.tracer import Tracer
from volta.debug.watch import Observer, Watching

__all__ = ["check_leaks", "check_tracer_leaks"]


def check_tracer_leaks() -> Watching:
    """Raise where traced arrays are left behind by a transform.

    Returns
    -------
    context manager
        A decorator as well. It holds for the thread or task that enters it.

    Raises
    ------
    TraceError
        When the function of a transform ends and something holds a traced array that it did not
        return, or, at the latest, at the end of the context: naming the transform, the line where
        the array was made, and what holds it.

    Notes
    -----
    Without it such an array is refused when it is used. All objects of the program are looked at,
    at the end of each transform, which costs time. What an exception leaves behind is not looked
    at. `check_leaks` is the same function.

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> kept = []
    >>> def loss(x):
    ...     kept.append(x * 2.0)
    ...     return F.sum(x)
    >>> with volta.check_tracer_leaks():
    ...     volta.grad(loss)(np.ones(2))
    Traceback (most recent call last):
    volta.core.errors.TraceError: grad(loss): no traced array may outlive the function; got ...
    """
    return Watching(_Leaks)


check_leaks = check_tracer_leaks


class _Leaks(Observer):
    """Remembers where traced arrays were made, and looks for those that are left.

    Attributes
    ----------
    lines : dict
        By the serial number of a trace and the id of a handle, where it was made.
    ended : set of int
        Serial numbers of the traces whose functions have ended.
    """

    def __init__(self) -> None:
        self.lines: dict[tuple[int, int], Any] = {}
        self.ended: set[int] = set()

    def made(self, out: Any) -> None:
        """Take note of where the handles of results were made."""
        for x in out if type(out) is tuple else (out,):
            if type(x) is Tracer and x.trace is not None:
                self.lines[x.trace.serial, id(x)] = here()

    def left(self, trace: Trace) -> None:
        """Look for handles that something but the transform holds."""
        self.ended.add(trace.serial)
        frame: Any = sys._getframe(1)
        locals_: list[Any] = []
        own: set[int] = set()
        here_: Any = None
        while (frame is not None and frame.f_code.co_filename in INSIDE) or _ours(frame):
            here_ = frame.f_locals
            own.add(id(here_))
            locals_ += [v for k, v in here_.items() if k not in ("fun", "f", "self")]
            frame = frame.f_back
        owned = own | _reached(locals_)
        del locals_, frame, here_
        self._look([trace], owned)

    def closed(self) -> None:
        """Look again, now that the transforms themselves have let go."""
        everything = gc.get_objects()
        traces = {o.trace.serial: o.trace for o in everything if type(o) is Tracer and o.trace}
        del everything
        self._look([t for n, t in traces.items() if n in self.ended], set())

    def _look(self, traces: list[Trace], owned: set[int]) -> None:
        if self._found(traces, owned) is None:
            return
        gc.collect()  # what only refers to itself is not held
        found = self._found(traces, owned | _closed_over())
        if found is None:
            return
        x, holder = found
        made = self.lines.get((x.trace.serial, id(x)))
        where = _line_of(x) if made is None else f"made at {source_line(*made)}"
        kind = repr(x).partition("<")[2].partition(" by")[0]
        msg = (
            f"{x.trace.name}: no traced array may outlive the function; got {kind}, {where}, held "
            f"by {holder}. Return it from the function (has_aux=True for extra results)."
        )
        raise located(TraceError(msg), None if made is None else source_line(*made))

    def _found(self, traces: list[Trace], owned: set[int]) -> tuple[Tracer, str] | None:
        """A handle of an ended trace that something holds, and what."""
        left = [o for o in gc.get_referrers(*traces) if type(o) is Tracer] if traces else []
        if not left:
            return None
        fine = owned | {id(x.view) for x in left} | {id(left)}  # a view holds its base
        holders = gc.get_referrers(*left)
        while holders:
            holder = holders.pop()
            if id(holder) in fine or isinstance(holder, FrameType):
                continue
            if type(holder) is tuple and not gc.get_referrers(holder):
                continue  # arguments of a call that runs, which Python 3.13 does not say
            referents = {id(r) for r in gc.get_referents(holder)}
            for x in left:
                if id(x) in referents:
                    return x, _described(holder, x, [left, holders])
        return None


def _ours(frame: Any) -> bool:
    """Whether a frame is Volta's."""
    return frame is not None and user_frame(frame) is not frame


def _reached(found: list[Any]) -> set[int]:
    """Ids of the containers among the variables of a transform, and of those in them."""
    seen: set[int] = set()
    pending = list(found)
    while pending:
        x = pending.pop()
        if id(x) in seen:
            continue
        if isinstance(x, dict):
            more = list(x.values())
        elif isinstance(x, list | tuple | set | frozenset):
            more = list(x)
        elif hasattr(type(x), "__volta_split__") or _is_node(x):
            more = [vars(x)] if hasattr(x, "__dict__") else []
            seen.add(id(x))
        elif type(x) is Tracer:
            more = [x.view, x.var, x.value]
        elif type(x).__name__.endswith("iterator"):
            more = gc.get_referents(x)
        elif isinstance(x, Trace):
            more = [getattr(x, "entries", None), getattr(x, "held", None)]
        elif isinstance(x, FunctionType) and (x.__module__ or "").startswith("volta."):
            more = [c.cell_contents for c in x.__closure__ or () if c != CellType()]
            seen.update(map(id, x.__closure__ or ()))
        else:
            continue
        seen.add(id(x))
        pending += more
    return seen


def _closed_over() -> set[int]:
    """Ids of the variables that solvers and rules close over, which lists keep to be called."""
    seen: set[int] = set()
    pending = [o for o in gc.get_objects() if type(o).__module__ in _KEEP_FUNCTIONS]
    while pending:
        x = pending.pop()
        if id(x) in seen:
            continue
        seen.add(id(x))
        if isinstance(x, FunctionType):
            cells = [c for c in x.__closure__ or () if c != CellType()]
            seen.update(map(id, cells))
            found = [c.cell_contents for c in cells]
            pending += [c for c in found if isinstance(c, (FunctionType, MethodType, Tracer))]
        elif isinstance(x, MethodType):
            pending += [x.__self__, x.__func__]
        elif type(x) is Tracer:
            pending.append(x.value)  # of an outer transform
        elif isinstance(x, list | tuple):
            pending += x
        elif isinstance(x, dict):
            pending += x.values()
        elif type(x).__module__ in _KEEP_FUNCTIONS:
            pending.append(getattr(x, "__dict__", {}))
    return seen


_KEEP_FUNCTIONS: Final = (
    "volta.implicit.solutions",
    "volta.transforms.custom",
    "volta.transforms.solution",
    "volta.transforms.solver",
)


def _is_node(x: Any) -> bool:
    import optree

    try:
        return optree.register_pytree_node.get(type(x)) is not None
    except (AttributeError, TypeError, ValueError):
        return False


def _line_of(x: Tracer) -> str:
    """Where a handle was made, by the list of its trace; an input otherwise."""
    for e in getattr(x.trace, "entries", ()):
        result = e[3]
        if x.var == result or (type(result) is tuple and x.var in result):
            return f"made at {source_line(e[8], e[9])}"
    return "an input"


_CONTAINERS: Final = (list, tuple, dict, set)


def _described(holder: Any, held: Any, ignored: list[Any], depth: int = 0) -> str:
    """Words for what holds an object."""
    if isinstance(holder, dict):
        key = next((k for k, v in holder.items() if v is held), None)
        for name, module in list(sys.modules.items()):
            if getattr(module, "__dict__", None) is holder:
                return f"the global {key!r} of {name}"
        owner = _owner(holder, ignored)
        if owner is not None and getattr(owner, "__dict__", None) is holder:
            return f"the attribute {key!r} of a {type(owner).__name__}"
        return f"a dict under {key!r}{_by(holder, owner, ignored, depth)}"
    if isinstance(holder, CellType):
        return "a variable that a function closes over"
    if isinstance(holder, _CONTAINERS):
        owner = _owner(holder, ignored)
        return f"a {type(holder).__name__} of {len(holder)}{_by(holder, owner, ignored, depth)}"
    if hasattr(holder, "__dict__") and not isinstance(holder, type):
        key = next((k for k, v in vars(holder).items() if v is held), None)
        if key is not None:
            return f"the attribute {key!r} of a {type(holder).__name__}"
    return f"a {type(holder).__name__}"


def _by(holder: Any, owner: Any, ignored: list[Any], depth: int) -> str:
    if owner is None or depth > 2:
        return ""
    return f" ({_described(owner, holder, [*ignored, holder], depth + 1)})"


def _owner(holder: Any, ignored: list[Any]) -> Any:
    """What holds a container, if that is something to speak of."""
    for o in gc.get_referrers(holder):
        if isinstance(o, FrameType) or any(o is i for i in ignored):
            continue
        if isinstance(o, dict) and os.path.basename(str(o.get("__file__", ""))) == "leaks.py":
            continue
        if isinstance(o, (*_CONTAINERS, CellType)) or hasattr(o, "__dict__"):
            return o
    return None
