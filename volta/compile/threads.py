"""Threads of Python that help to compute the parts of a group.

NumPy lets go of the interpreter's lock while it computes, so threads are at work at the same time
where each call takes much longer than to hand that lock over, some 10 µs.

OpenBLAS, which is in NumPy's wheels, has threads of its own. They keep asking for work for tens of
milliseconds after each product, on processors that the threads here need for what comes next. A
program that shares its products itself has OpenBLAS use one thread meanwhile.
"""

import ctypes
import functools
import importlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import Any, Final

__all__ = ["NAME", "helped", "may_share_products", "sharing_products", "threads"]

NAME: Final = "volta-parts"  # beginning of the threads' names


@functools.cache
def threads() -> int:
    """How many threads compute: the processors at hand, at most ``OMP_NUM_THREADS``."""
    if hasattr(os, "sched_getaffinity"):
        found = len(os.sched_getaffinity(0))
    else:
        found = os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(found, int(asked) if asked.isdigit() else found))


@contextmanager
def helped(work: Callable[[], None], most: int) -> Iterator[None]:
    """Have at most so many other threads call `work` while the body does.

    One that has not begun by then never does, and is not waited for. Each sees the context
    variables of the caller, such as NumPy's `errstate`. `work` raises nothing.
    """
    begun: list[Future[None]] = []
    try:
        with suppress(RuntimeError):  # the interpreter is about to end: no threads start any more
            for _ in range(min(most, threads() - 1)):
                begun.append(_pool().submit(copy_context().run, work))
        yield
    finally:
        _end(begun)


def _end(begun: list[Future[None]]) -> None:
    """Wait for what has begun, for it writes to memory of the caller's: whoever presses Ctrl-C."""
    stopped = None
    for future in begun:
        while not (future.cancel() or future.done()):
            try:
                future.result()
            except KeyboardInterrupt as error:
                stopped = error
    if stopped is not None:
        raise stopped


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads() - 1, NAME)


# Threads of OpenBLAS ------------------------------------------------------------------------------


def may_share_products() -> bool:
    """Whether threads may share products: NumPy has an OpenBLAS that can be told to use one."""
    return _blas() is not None


def sharing_products(run: Callable[..., Any]) -> Callable[..., Any]:
    """`run`, while which OpenBLAS uses one thread for a product."""
    blas = _blas()
    if blas is None:
        return run

    def shared(*args: Any) -> Any:
        with blas:
            return run(*args)

    return shared


class _OpenBLAS:
    """OpenBLAS while programs are running; the last one to end gives it its threads back.

    Attributes
    ----------
    get, set : function
        Tell, and choose, how many threads it uses.
    users : int
        Programs that are running.
    """

    def __init__(self, get: Callable[[], int], set: Callable[[int], None]) -> None:
        self.get, self.set = get, set
        self.lock, self.users, self.before = threading.Lock(), 0, 1

    def __enter__(self) -> None:
        with self.lock:
            if not self.users:
                self.before = self.get()
                self.set(1)
            self.users += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.users = max(0, self.users - 1)  # it is 0 in a child that was begun meanwhile
            if not self.users:
                self.set(self.before)

    def begin_anew(self) -> None:
        """Of what ran in its parent a child runs nothing on."""
        self.lock = threading.Lock()
        if self.users:
            self.users = 0
            self.set(self.before)


_NAMES: Final = ("scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads")  # pip's and others'


@functools.cache
def _blas() -> _OpenBLAS | None:
    """NumPy's OpenBLAS, if it has one that is found."""
    try:
        umath: Any = importlib.import_module("numpy._core._multiarray_umath")
        library = ctypes.CDLL(umath.__file__)  # and what it is linked to
    except (ImportError, OSError):
        return None
    for name in _NAMES:
        try:
            functions = [library[name.format(verb)] for verb in ("get", "set")]
        except AttributeError:
            continue
        return _OpenBLAS(*functions)
    return None


def _begin_anew() -> None:
    """A child has no threads but its own."""
    _pool.cache_clear()
    blas = _blas() if _blas.cache_info().currsize else None
    if blas is not None:
        blas.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
