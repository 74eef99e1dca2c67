"""What is current: running transforms, batch axes, the staging list and the default dtype.

All of it lives in context variables, so threads and tasks see their own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from volta.core.errors import AxisNameError, DTypeError
from volta.core.types import DTYPES, DType, as_dtype

__all__ = [
    "AXES",
    "RUNNING",
    "SETTINGS",
    "STAGING",
    "axis_trace",
    "default_dtype",
    "default_dtype_of",
]

# Number of transforms whose function is running here.
RUNNING: Final[ContextVar[int]] = ContextVar("volta.running", default=0)
# The trace whose list operations on untraced arrays are staged to, if any.
STAGING: Final[ContextVar[Any]] = ContextVar("volta.staging", default=None)
# Traces of the batch axes that are open here, the innermost last.
AXES: Final[ContextVar[tuple[Any, ...]]] = ContextVar("volta.axes", default=())
_DEFAULT: Final[ContextVar[DType]] = ContextVar("volta.default_dtype", default=DTYPES["float32"])
# What decides, besides its arguments, which operations a function consists of.
SETTINGS: Final[list[ContextVar[Any]]] = [_DEFAULT]


@contextmanager
def default_dtype(dtype: Any) -> Iterator[None]:
    """Set the real floating dtype that creation functions use when none is given.

    Parameters
    ----------
    dtype : dtype
        A real floating dtype of any library; the default is float32, as in torch and JAX.

    Raises
    ------
    DTypeError
        If `dtype` is not real floating.

    Examples
    --------
    >>> import volta, volta.functional as F
    >>> with volta.default_dtype(F.float64):
    ...     F.ones(2).dtype
    dtype('float64')
    """
    chosen = as_dtype(dtype)
    if chosen.kind != "float":
        msg = f"default_dtype: must be a real floating dtype; got {chosen.name}."
        raise DTypeError(msg)
    token = _DEFAULT.set(chosen)
    try:
        yield
    finally:
        _DEFAULT.reset(token)


def default_dtype_of(kind: str) -> DType:
    """Default dtype of a kind of Python scalar: ``"bool"``, ``"int"``, ``"float"``, …."""
    if kind == "float":
        return _DEFAULT.get()
    if kind == "complex":
        return DTYPES["complex128" if _DEFAULT.get().itemsize == 8 else "complex64"]
    return DTYPES["int64" if kind == "int" else kind]


def axis_trace(axis_name: Any, operation: str) -> Any:
    """Trace of the innermost open batch axis of that name.

    Raises
    ------
    AxisNameError
        If there is none; `operation` is what asked.
    """
    axes = AXES.get()
    for trace in reversed(axes):
        if trace.axis_name is not None and trace.axis_name == axis_name:
            return trace
    known = [repr(t.axis_name) for t in axes if t.axis_name is not None]
    msg = (
        f"{operation}: axis_name must be of a vmap that the call is inside of; got {axis_name!r}, "
        f"and in scope {'is ' + ', '.join(known) if known else 'is no named axis'}. "
        "Name it with vmap(…, axis_name=…)."
    )
    raise AxisNameError(msg)
