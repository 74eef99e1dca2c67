"""Threads that compute ahead.

Threads, not processes: they share the dataset and whatever arrays of whatever library it makes,
need no pickling, no second import of the program, and nothing of it guarded by ``__main__``; NumPy,
decompression and files let go of the interpreter's lock, and so do the kernels of the training step
beside them. `docs/decisions/workers.md` has the measurements.
"""

import contextvars
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["THREADS", "in_order"]

THREADS = "volta-loader"  # beginning of their names

T = TypeVar("T")


def in_order(
    tasks: Iterable[Callable[[], T]], workers: int, ahead: int
) -> Generator[T, None, None]:
    """Results of `tasks` in their order, whichever thread is first.

    Parameters
    ----------
    tasks : iterable of callables
        Drawn from by the caller's thread, when there is room for another; it may be endless.
    workers : int
        Threads. With 0 there are none: a task runs when its result is asked for.
    ahead : int
        How many tasks may have begun before their result is asked for.

    Notes
    -----
    A task sees the context variables of the caller, and its exception is raised in the caller at
    its turn. The threads end with the iteration, be it closed, dropped or exhausted: what has not
    begun by then never does. No thread ever waits for room, so none can be left waiting.
    """
    if not workers:
        for task in tasks:
            yield task()
        return
    begun: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(workers, THREADS)
    try:
        for task in tasks:
            if len(begun) > ahead:
                yield begun.popleft().result()
            begun.append(pool.submit(contextvars.copy_context().run, task))
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
