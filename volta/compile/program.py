"""From a list to the function that runs it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from volta.compile import numpy, store
from volta.compile.donation import Donation, Homes
from volta.compile.native import llvm
from volta.compile.passes import optimized
from volta.core.context import SETTINGS, STAGING
from volta.core.trace import live
from volta.core.wengert import WengertList

__all__ = ["BACKENDS", "backend", "compiled", "described", "donating", "homes_in"]

BACKENDS: Final = ("numpy", "llvm")
# Which of them compiles; None is the last that there is.
_BACKEND: Final[ContextVar[str | None]] = ContextVar("volta.backend", default=None)
SETTINGS.append(_BACKEND)


def _elsewhere(wengert: WengertList) -> Callable[..., Any]:
    """The function of a list on another library's arrays, compiled by that if it can."""
    used = {*wengert.inputs, *wengert.captured, *(r for e in wengert.entries for r in e.results)}
    libraries = {wengert.places[v].library for v in used}
    own = libraries.pop().compiled if len(libraries) == 1 else None
    return wengert.run if own is None else own(wengert)


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
        made = wengert.__dict__[name] = _made(wengert, name == "llvm")
    return made


def donating(wengert: WengertList, donation: Donation) -> Callable[..., Any]:
    """As `compiled`, of a list of NumPy's arrays that returns results in inputs' memory."""
    name = _name()
    made = wengert.__dict__.get(name)
    if made is None:
        made = wengert.__dict__[name] = _made(wengert, name == "llvm", donation)
    return made


def homes_in(wengert: WengertList) -> Homes | None:
    """Donated inputs that results go to, in what `donating` has made of a list."""
    return getattr(wengert.__dict__.get(_name()), "homes", None)


def _made(
    wengert: WengertList, native: bool, donation: Donation | None = None
) -> Callable[..., Any]:
    """The function, from the disk if it is there."""
    staged = store.staged(wengert, native, donation)
    found = staged and store.read(staged)
    if found is None:
        short = optimized(wengert)
        if not numpy.takes(short):
            return _elsewhere(short)
        found = numpy.write(short, native, donation)
        if staged is not None:
            store.write(staged, found[0])
    program, natives = found
    return program.function(natives, wengert)
