"""Processes that compute beside a measurement, as on a machine that does other work."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Its input ends with the parent, however that ends: nobody is left computing.
_PROGRAM = """
import os, threading
def watch():
    os.read(0, 1)
    os._exit(0)
threading.Thread(target=watch, daemon=True).start()
while True:
    pass
"""


@contextmanager
def busy(count: int) -> Iterator[list[int]]:
    """Keep `count` processes computing, none of them pinned; yields their ids."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-c", _PROGRAM],
                    stdin=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,  # Ctrl-C reaches them, too
                )
            )
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.communicate()
