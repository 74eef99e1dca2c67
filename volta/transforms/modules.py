"""Which modules a function reads while it is staged, however it comes by them."""

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from volta.core.tracer import Tracer

__all__ = ["Fields", "base_of_modules", "changed", "lasting", "reads_of_modules"]

Fields = tuple[Any, dict[str, Any]]  # weak reference to a module, and the fields it had

_BASES: Final[list[type]] = []
_SEEN: Final[ContextVar[dict[int, Fields] | None]] = ContextVar("volta.modules", default=None)


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
        seen[id(module)] = weakref.ref(module), dict(object.__getattribute__(module, "__dict__"))
    return object.__getattribute__(module, name)


@contextmanager
def reads_of_modules() -> Iterator[dict[int, Fields]]:
    """Context that notes which modules are read in it, and their fields at that time."""
    seen: dict[int, Fields] = {}
    token = _SEEN.set(seen)
    _TAPS.add(1)
    try:
        yield seen
    finally:
        _TAPS.add(-1)
        _SEEN.reset(token)


def lasting(seen: dict[int, Fields]) -> list[Fields]:
    """Of the modules seen those that are no copies made for a transform."""
    return [
        (module, fields)
        for module, fields in seen.values()
        if module() is not None
        and "_writes" not in fields
        and not any(type(x) is Tracer for x in fields.values())
    ]


def changed(modules: list[Fields]) -> str | None:
    """Name of the class of a module that has other fields by now, if there is one."""
    for reference, fields in modules:
        module = reference()
        if module is None:  # so the function does not read it any more
            continue
        found = vars(module)
        if len(found) != len(fields) or any(found.get(k) is not v for k, v in fields.items()):
            return type(module).__name__
    return None
