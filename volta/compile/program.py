"""From a list to the function that runs it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from volta.compile import numpy
from volta.compile.native import llvm
from volta.compile.passes import optimized
from volta.core.context import SETTINGS, STAGING
from volta.core.trace import live
from volta.core.wengert import WengertList

__all__ = ["BACKENDS", "backend", "compiled", "described"]

BACKENDS: Final = ("numpy", "llvm")
# Which of them compiles; None is the last that there is.
_BACKEND: Final[ContextVar[str | None]] = ContextVar("volta.backend", default=None)
SETTINGS.append(_BACKEND)


@contextmanager
def backend(name: str) -> Iterator[None]:
    """Have the lists that run in the body compiled by one of `BACKENDS`."""
    token = _BACKEND.set(name)
    try:
        yield
    finally:
        _BACKEND.reset(token)


def described(wengert: WengertList) -> str:
    """What a list has been compiled to, and what of it runs on NumPy's kernels."""
    made = wengert.__dict__.get(_name())
    return getattr(made, "description", "")


def _name() -> str:
    return _BACKEND.get() or ("llvm" if llvm.available() else "numpy")


def compiled(wengert: WengertList) -> Callable[..., Any]:
    """Function of the inputs of a list that returns a list of its outputs, made once a backend.

    While a trace looks at all operations, the list runs entry by entry instead.
    """
    if live.staging and (current := STAGING.get()) is not None and current.watches:
        return wengert.run
    name = _name()
    made = wengert.__dict__.get(name)
    if made is None:
        short = optimized(wengert)
        made = numpy.write(short, name == "llvm") if numpy.takes(short) else short.run
        wengert.__dict__[name] = made
    return made
