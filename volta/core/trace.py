"""Traces: what a transform does with the operations of the function it runs.

A transform opens a `Trace`, wraps the function's inputs in tracers of it, and runs the function.
Each trace has a serial number from one process-wide counter; an operation goes to the youngest
trace among its operands and the current staging list. Because an inner transform's trace is
always younger than an outer one's, perturbations of nested transforms never mix: the inner trace
handles the operation first, and what it computes with are the outer trace's tracers.
"""

import sys
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from types import FrameType, ModuleType, TracebackType
from typing import Any, Final, TypeVar

from volta.core.context import AXES, RUNNING, STAGING
from volta.core.errors import TraceError, VoltaError
from volta.core.source import (
    KNOWN,
    NOWHERE,
    OUTSIDE,
    here,
    running_line,
    source_line,
    user_frame,
)

__all__ = [
    "NOWHERE",
    "OUTSIDE",
    "Abstract",
    "Running",
    "Trace",
    "at_line",
    "here",
    "live",
    "located",
    "ops",
    "source_line",
    "user_frame",
]

# The public functions by name, filled in as primitives are declared: the operators of a tracer
# and the derivative driver reach the op set, which lies above them, through this namespace. A
# module, because its `__getattr__` (`functional`'s) costs names that are there nothing.
ops: Final[Any] = ModuleType("ops")


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
    watches : bool
        Whether it looks at all operations, of whichever trace, and changes none; see `debug`.
    """

    __slots__ = ("fun", "open", "records", "serial", "transform")
    lead = 0
    stages = False
    watches = False

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

    def deriving(self, entry: Any, cts: dict[int, Any]) -> AbstractContextManager[None]:
        """Context in which a sweep runs the rule of an entry, while the trace is current."""
        return nullcontext()

    def left(self, trace: "Trace") -> None:
        """Hear, while the trace is current, that the function of another one has ended."""

    def source(self, key: Any) -> None:
        """Hear, while the trace is current, of a random key made from a seed."""

    def replay(self, wengert: Any, arrays: Sequence[Any]) -> list[Any]:
        """Run a list while the trace is current: its entries keep their lines."""
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
        cause = None if error is None else error.__cause__
        if kind is ValueError and type(cause) is TraceError:
            # NumPy's, of a traced array assigned to an element: not a word of why
            raise cause.with_traceback(traceback) from None
        if live.staging and kind is None and (current := STAGING.get()) is not None:
            current.left(self.trace)


# The line in messages -------------------------------------------------------------------------


def at_line() -> str:
    """`` at file.py:12``, the user's running line, for the end of a message."""
    line = running_line()
    return "" if line is None else f" at {line}"


def _replayed() -> str | None:
    """Line of the entry, while a list is replayed."""
    staging = STAGING.get()
    return None if staging is None or staging.at is None else source_line(*staging.at)


KNOWN.append(_replayed)
Failure = TypeVar("Failure", bound=Exception)


def located(error: Failure, line: str | None = None) -> Failure:
    """`error` with what the user called in its message, and where: the running line, or `line`.

    A function that is made of others names itself before the one that failed: ``nansum: sum: axis
    must be …``. A line that was given stays.
    """
    if not error.args:
        return error
    message = str(error.args[0])
    asked = _asked(sys._getframe(1))
    if asked and not message.startswith(f"{asked}:"):
        if message.startswith("_"):  # an operation that users do not know
            message = message.partition(": ")[2]
        message = f"{asked}: {message}"
    if not isinstance(error, VoltaError):
        line = line or running_line()
        if line and line not in message:
            message = f"{message} (line: {line})"
    elif line is not None and not error.placed:
        error.line, error.placed = line, True
    error.args = (message,)
    return error


def _asked(frame: FrameType | None) -> str | None:
    """Name of the function of the op set that the user called, the outermost of Volta's frames."""
    user = user_frame(frame)
    found = None
    while frame is not user and frame is not None:
        name, space = frame.f_code.co_qualname, frame.f_globals
        module, public = space["__name__"], space.get("__all__", ())
        if name.startswith(_PART):
            name = name.replace(_PART, "at.")
            public = (name,)
        if module.startswith(_OP_SET) and module not in _HELPERS and name in public:
            found = found if name in _PROTOCOL else name
        frame = frame.f_back
    return found


# whose functions users do not call
_HELPERS: Final = tuple(f"volta.functional.{m}" for m in ("axes", "declare", "loss_reduction"))
_PROTOCOL: Final = ("array_function", "array_ufunc")  # by which NumPy calls them
_PART: Final = "Part."  # whose methods are those of `functional.at(x)[key]`
_OP_SET: Final = "volta.functional."  # the modules whose functions users call
