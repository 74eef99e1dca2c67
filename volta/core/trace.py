"""Traces: what a transform does with the operations of the function it runs.

A transform opens a `Trace`, wraps the function's inputs in tracers of it, and runs the function.
Each trace has a serial number from one process-wide counter; an operation goes to the youngest
trace among its operands and the current staging list. Because an inner transform's trace is
always younger than an outer one's, perturbations of nested transforms never mix: the inner trace
handles the operation first, and what it computes with are the outer trace's tracers.
"""

import os
import sys
import threading
from itertools import count
from types import CodeType, FrameType, SimpleNamespace, TracebackType
from typing import Any, Final

from volta.core.context import AXES, RUNNING, STAGING
from volta.core.errors import TraceError, VoltaError

__all__ = ["Abstract", "Running", "Trace", "here", "live", "located", "ops", "source_line"]

# The public functions by name, filled in as primitives are declared: the operators of a tracer
# and the derivative driver reach the op set, which lies above them, through this namespace.
ops: Final[Any] = SimpleNamespace()


class _Live:
    """How many staging lists are current anywhere: while none is, raw arrays skip the look-up."""

    __slots__ = ("lock", "staging")

    def __init__(self) -> None:
        self.staging = 0
        self.lock = threading.Lock()


live: Final = _Live()
_serials = count(1)


class Trace:
    """One run of a transform. Subclasses say what becomes of an operation.

    Attributes
    ----------
    serial : int
        Age: an inner trace has a larger number than an outer one.
    transform, fun
        What it is a run of.
    open : bool
        False once the transform has ended.
    records : bool
        Whether, while open, it keeps what is computed below it: then `record` and `record_pair`
        serve in place of `process`.
    lead : int
        Leading axes of a tracer's value that its user does not see (1 under vmap).
    """

    __slots__ = ("fun", "open", "records", "serial", "transform")
    lead = 0
    stages = False

    def __init__(self, transform: str, fun: Any) -> None:
        self.serial = next(_serials)
        self.transform, self.fun = transform, fun
        self.open = True
        self.records = False

    @property
    def name(self) -> str:
        """The transform and its function, for messages: ``grad(loss)``."""
        return f"{self.transform}({getattr(self.fun, '__name__', type(self.fun).__name__)})"

    def process(self, primitive: Any, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Result of `primitive` on operands of which at least one belongs to this trace."""
        raise NotImplementedError

    def read(self, value: Any, asked: str, part: bool = True) -> Any:
        """Array that a tracer with this `value` shows its user, for a read of what it holds.

        Where lanes differ they part, unless `part` is false.

        Raises
        ------
        TraceError
            If there is no such array; `asked` is what the read was for.
        """
        msg = (
            f"{asked}: needs a concrete value; got an array traced by {self.name}{at_line()}. "
            "Use functional.where to choose between values."
        )
        raise TraceError(msg)


class Abstract:
    """What a staged tracer has in place of a value: its type and where it will live."""

    __slots__ = ("device", "library", "type")

    def __init__(self, type: Any, library: Any, device: Any) -> None:
        self.type, self.library, self.device = type, library, device

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array to come."""
        return self.type.shape  # type: ignore[no-any-return]  # ArrayType.shape

    @property
    def ndim(self) -> int:
        """Number of axes of the array to come."""
        return len(self.type.shape)

    @property
    def dtype(self) -> Any:
        """Dtype of the array to come, as its library's object."""
        return self.library.dtype(self.type.dtype)


class Running:
    """Context in which a trace's function runs; closes the trace on any exit."""

    __slots__ = ("axes", "running", "staging", "trace")

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    def __enter__(self) -> Trace:
        self.running = RUNNING.set(RUNNING.get() + 1)
        if self.trace.lead:
            self.axes = AXES.set((*AXES.get(), self.trace))
        if self.trace.stages:
            self.staging = STAGING.set(self.trace)
            with live.lock:
                live.staging += 1
        return self.trace

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.trace.open = self.trace.records = False
        RUNNING.reset(self.running)
        if self.trace.lead:
            AXES.reset(self.axes)
        if self.trace.stages:
            STAGING.reset(self.staging)
            with live.lock:
                live.staging -= 1


# Where the user's code is --------------------------------------------------------------------

_PACKAGE: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


# Files met so far, Volta's own and others.
INSIDE: Final[set[str]] = set()
OUTSIDE: Final[set[str]] = {"?"}
# In place of a frame where Volta was not called from Python
NOWHERE: Final = SimpleNamespace(f_code=compile("None", "?", "eval"), f_lasti=0)


def user_frame(frame: FrameType | None) -> FrameType | None:
    """Innermost frame outside of Volta, `frame` or one that called it."""
    while frame is not None:
        name = frame.f_code.co_filename
        if name in OUTSIDE:
            break
        if name not in INSIDE:
            (INSIDE if name.startswith(_PACKAGE) else OUTSIDE).add(name)
            continue
        frame = frame.f_back
    return frame


def here() -> tuple[CodeType | None, int]:
    """Code object and instruction offset of the user's running line; resolved when printed.

    What a reverse sweep computes belongs to the line of the operation that it differentiates, and
    what a list computes, when it is run again, to the lines of the list.
    """
    frame: FrameType | None = sys._getframe(1)
    user = user_frame(frame)
    while frame is not None and frame is not user:
        name = frame.f_code.co_name
        if name == "sweep" or name == "replay":
            known = frame.f_locals  # costs nothing as long as nothing is staged
            if name == "sweep" and "offset" in known:
                return known["code"], known["offset"]
            if name == "replay" and "e" in known:
                return known["e"].code, known["e"].offset
        frame = frame.f_back
    return (None, 0) if user is None else (user.f_code, user.f_lasti)


def source_line(code: CodeType | None, offset: int) -> str:
    """``file.py:12`` for a code object and an instruction offset."""
    if code is None:
        return "?"
    line: int | None = code.co_firstlineno
    for start, end, number in code.co_lines():
        if start <= offset < end:
            line = number
    return f"{os.path.basename(code.co_filename)}:{line}"


def at_line() -> str:
    """`` at file.py:12``, the user's running line, for the end of a message.

    While a list is replayed it is the line of the entry.
    """
    staging = STAGING.get()
    if staging is not None and staging.at is not None:
        return f" at {source_line(*staging.at)}"
    frame = user_frame(sys._getframe(1))
    if frame is None:
        return ""
    return f" at {os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"


def located(error: VoltaError, line: str | None = None) -> VoltaError:
    """`error` with what the user called in its message, and where.

    The line is the running one, if a transform runs. A function that is made of others names itself
    before the one that failed: ``nansum: sum: axis must be …``.
    """
    if not error.args:
        return error
    message = error.args[0]
    asked = _asked(sys._getframe(1))
    if asked and not message.startswith(f"{asked}:"):
        message = f"{asked}: {message}"
    if line is None and RUNNING.get():
        line = at_line().removeprefix(" at ")
    if line and "(line:" not in message:
        message = f"{message} (line: {line})"
    error.args = (message,)
    return error


def _asked(frame: FrameType | None) -> str | None:
    """Name of the function of the op set that the user called, the outermost of Volta's frames."""
    user = user_frame(frame)
    found = None
    while frame is not user and frame is not None:
        name, space = frame.f_code.co_qualname, frame.f_globals
        if space["__name__"].startswith(_OP_SET) and name in space.get("__all__", ()):
            found = name
        frame = frame.f_back
    return found


_OP_SET: Final = "volta.functional."  # the modules whose functions users call
