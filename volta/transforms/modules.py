"""Which modules a function reads while it is staged, however it comes by them."""

import operator
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

from volta.core import tree
from volta.core.tracer import Tracer
from volta.transforms.arguments import is_module

__all__ = ["Fields", "base_of_modules", "changed", "lasting", "note", "reads_of_modules"]

Fields = tuple[Any, dict[str, Any]]  # weak reference to a module, and the fields it had

_BASES: Final[list[type]] = []
_SEEN: Final[ContextVar[dict[int, Fields | None] | None]] = ContextVar(
    "volta.modules", default=None
)


def base_of_modules(cls: type) -> type:
    """Say that a class is the base of modules; returns it."""
    _BASES.append(cls)
    return cls


class _Taps:
    """How many functions are being staged: while there are any, modules tell of their reads.

    The method that does so would cost each read of a field 50 ns, so it is there only then.
    """

    def __init__(self) -> None:
        self.count = 0
        self.lock = threading.Lock()

    def add(self, change: int) -> None:
        with self.lock:
            self.count += change
            for base in _BASES:
                if self.count == change == 1:
                    base.__getattribute__ = _telling  # type: ignore[assignment,method-assign]  # for a while
                elif self.count == 0:
                    del base.__getattribute__


_TAPS: Final = _Taps()


def _telling(module: Any, name: str) -> Any:
    seen = _SEEN.get()
    if seen is not None and id(module) not in seen:
        seen[id(module)] = weakref.ref(module), _fields_of(module)
    return object.__getattribute__(module, name)


def _fields_of(module: Any) -> dict[str, Any]:
    """Fields of a module; of a container, which may be written to in place, what it holds."""
    fields = object.__getattribute__(module, "__dict__")
    return {k: _held(v) if isinstance(v, _CONTAINERS) else v for k, v in fields.items()}


def _held(container: Any) -> "_Held":
    return _Held(*tree.flatten(container, is_leaf=is_module))


_CONTAINERS: Final = (list, tuple, dict, deque)


class _Held(NamedTuple):
    """Leaves of a container, and its structure."""

    leaves: list[Any]
    structure: tree.PyTreeSpec


def _is(a: Any, b: Any) -> bool:
    """Whether two fields hold the same objects."""
    if type(a) is not _Held or type(b) is not _Held:
        return a is b
    return a.structure == b.structure and all(map(operator.is_, a.leaves, b.leaves))


@contextmanager
def reads_of_modules() -> Iterator[dict[int, Fields | None]]:
    """Context that notes which modules are read in it, and their fields at that time.

    Of copies, it notes None.
    """
    seen: dict[int, Fields | None] = {}
    token = _SEEN.set(seen)
    _TAPS.add(1)
    try:
        yield seen
    finally:
        _TAPS.add(-1)
        _SEEN.reset(token)


def note(modules: dict[int, Fields]) -> None:
    """Say that modules are read here, if someone wants to know: what was staged before does."""
    seen = _SEEN.get()
    if seen is not None:
        seen.update({k: v for k, v in modules.items() if k not in seen})


def unwatched(copies: Iterable[Any]) -> None:
    """Say that modules are copies, of which nobody wants to know whether they change."""
    seen = _SEEN.get()
    if seen is not None:
        seen.update((id(module), None) for module in copies)


def lasting(seen: dict[int, Fields | None]) -> dict[int, Fields]:
    """Of the modules seen those that are no copies made for a transform."""
    return {
        key: fields
        for key, fields in seen.items()
        if fields is not None
        and fields[0]() is not None
        and not any(type(x) is Tracer for x in fields[1].values())
    }


def changed(modules: dict[int, Fields]) -> str | None:
    """What became of a module that is not as it was, if there is one."""
    for reference, fields in modules.values():
        module = reference()
        if module is None:  # so that the function reads another one, if any
            return "a module that it read is gone"
        found = _fields_of(module)
        if len(found) != len(fields) or not all(
            k in found and _is(found[k], v) for k, v in fields.items()
        ):
            return f"{type(module).__name__}, which it closes over, was written to"
    return None
