"""Threads of Python that help to compute the parts of a group.

NumPy lets go of the interpreter's lock while it computes, so threads are at work at the same time
where each call takes much longer than to hand that lock over, some 10 µs.
"""

import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import Final

__all__ = ["NAME", "helped", "threads"]

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


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a child has no threads but its own
