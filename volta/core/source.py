"""Where the user's code is: the innermost frame outside of Volta and of what calls it back.

SciPy's solvers, the array libraries and Python's own modules call functions that they are given; of
other packages that are installed, who wrote them cannot be told, and they count as the user's.

A code object and an instruction offset are kept; lines are worked out when they are printed.
"""

import os
import re
import sys
import sysconfig
from collections.abc import Callable
from types import CodeType, FrameType, SimpleNamespace
from typing import Final

__all__ = [
    "INSIDE",
    "KNOWN",
    "NOWHERE",
    "OUTSIDE",
    "here",
    "line_number",
    "running_line",
    "source_line",
    "user_frame",
]

# Paths of the libraries that are not the user's
_LIBRARIES: Final = re.compile(
    r"[/\\](site|dist)-packages[/\\]"
    r"(array_api_compat|array_api_strict|cupy|dask|jax|jaxlib|numpy|optree|scipy|torch)[/\\]"
)
_STANDARD: Final = (sysconfig.get_path("stdlib") + os.sep, "<frozen ")
_PACKAGE: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep

# Files met so far: Volta's own and those of libraries; the user's.
INSIDE: Final[set[str]] = set()
OUTSIDE: Final[set[str]] = {"?"}
# Who may know another line than the one that runs: see `trace`.
KNOWN: Final[list[Callable[[], str | None]]] = []
# In place of a frame where Volta was not called from Python
NOWHERE: Final = SimpleNamespace(f_code=compile("None", "?", "eval"), f_lasti=0)


def user_frame(frame: FrameType | None) -> FrameType | None:
    """Innermost frame of the user's code, `frame` or one that called it.

    Where Volta is run by a library alone, as by a thread, it is the innermost one of that.
    """
    library = None
    while frame is not None:
        name = frame.f_code.co_filename
        if name in OUTSIDE:
            return frame
        if name not in INSIDE:
            (INSIDE if _is_inside(name) else OUTSIDE).add(name)
            continue
        if library is None and not name.startswith(_PACKAGE):
            library = frame
        frame = frame.f_back
    return library


def _is_inside(name: str) -> bool:
    """Whether a file is Volta's or a library's."""
    if name.startswith(_PACKAGE) or _LIBRARIES.search(name):
        return True
    return name.startswith(_STANDARD) and "-packages" + os.sep not in name


def here() -> tuple[CodeType | None, int]:
    """Code object and instruction offset of the user's running line; resolved when printed."""
    frame = user_frame(sys._getframe(1))
    return (None, 0) if frame is None else (frame.f_code, frame.f_lasti)


def source_line(code: CodeType | None, offset: int) -> str:
    """``file.py:12`` for a code object and an instruction offset."""
    if code is None:
        return "?"
    return f"{os.path.basename(code.co_filename)}:{line_number(code, offset)}"


def line_number(code: CodeType, offset: int) -> int | None:
    """Number of the line of an instruction."""
    line: int | None = code.co_firstlineno
    for start, end, number in code.co_lines():
        if start <= offset < end:
            line = number
    return line


def running_line() -> str | None:
    """``file.py:12``, the user's running line; None where Volta was not called from Python.

    While a list is replayed it is the line of the entry.
    """
    for known in KNOWN:
        if (line := known()) is not None:
            return line
    frame = user_frame(sys._getframe(1))
    if frame is None:
        return None
    return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
