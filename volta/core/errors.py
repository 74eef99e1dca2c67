"""The exceptions Volta raises.

::

    VoltaError
    ├── ShapeError(ValueError)          shapes that an operation cannot take
    │   └── BroadcastError              shapes that do not broadcast together
    ├── DTypeError(TypeError)           a dtype that an operation cannot take
    ├── DimensionError(IndexError)      an axis or index outside an array
    ├── AxisNameError(NameError)        a collective over an axis that no vmap has
    ├── DeviceError                     arrays of two libraries or devices meet, or a device fails
    ├── TraceError                      a concrete value was needed, or a tracer escaped
    ├── RuleError(NotImplementedError)  an operation has no such rule
    ├── LoadError                       a file or state dict does not fit
    ├── NonFiniteError(FloatingPointError)  NaN or infinity was made, under `debug_nans`
    ├── DonationError(ValueError)       an argument that a jitted function cannot write to
    └── KeyReuseError                   a random key was used twice

Every message reads ``{operation}: {what must hold}; got {facts}. {what to do} (line: file.py:12)``,
with the line of the user's program.
"""

from typing import Any

from volta.core.source import running_line

__all__ = [
    "AxisNameError",
    "BroadcastError",
    "DTypeError",
    "DeviceError",
    "DimensionError",
    "DonationError",
    "KeyReuseError",
    "LoadError",
    "NonFiniteError",
    "RuleError",
    "ShapeError",
    "TraceError",
    "VoltaError",
]


class VoltaError(Exception):
    """Base class of every exception that Volta itself raises.

    Attributes
    ----------
    line : str or None
        Where in the user's program it was: ``file.py:12``.
    placed : bool
        Whether that line was given; by default it is the one that ran.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.line = running_line()
        self.placed = False

    def __str__(self) -> str:
        text = super().__str__()
        if self.line is None or self.line in text:
            return text
        return f"{text} (line: {self.line})"


class ShapeError(VoltaError, ValueError):
    """Shapes that an operation cannot take."""


class BroadcastError(ShapeError):
    """Shapes that do not broadcast together."""


class DTypeError(VoltaError, TypeError):
    """A dtype that an operation cannot take."""


class DimensionError(VoltaError, IndexError):
    """An axis or an index outside the array."""


class AxisNameError(VoltaError, NameError):
    """A collective is over an axis that no `vmap` around it has given a name."""


class DeviceError(VoltaError):
    """Arrays of two libraries or of two devices meet in one operation, or a device fails.

    Attributes
    ----------
    place : array or None
        The array whose library a traced NumPy array met.
    """

    place: Any = None


class TraceError(VoltaError):
    """A concrete value was asked of a traced array, or a tracer outlived its transform."""


class RuleError(VoltaError, NotImplementedError):
    """An operation has no rule for what is asked of it."""


class LoadError(VoltaError):
    """A file or a state dict does not fit what it is loaded into."""


class DonationError(VoltaError, ValueError):
    """An argument is donated to a jitted function that cannot use its memory."""


class KeyReuseError(VoltaError):
    """A random key was used twice."""


class NonFiniteError(VoltaError, FloatingPointError):
    """An operation made NaN or infinity of operands that had none."""
