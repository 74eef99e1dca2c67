"""The exceptions Volta raises.

::

    VoltaError
    ├── ShapeError(ValueError)          shapes that an operation cannot take
    │   └── BroadcastError              shapes that do not broadcast together
    ├── DTypeError(TypeError)           a dtype that an operation cannot take
    ├── DimensionError(IndexError)      an axis or index outside an array
    ├── AxisNameError(NameError)        a collective over an axis that no vmap has
    ├── DeviceError                     arrays of two libraries or devices meet
    ├── TraceError                      a concrete value was needed, or a tracer escaped
    ├── RuleError(NotImplementedError)  an operation has no such rule
    ├── LoadError                       a file or state dict does not fit
    └── KeyReuseError                   a random key was used twice

Every message reads ``{operation}: {what must hold}; got {facts}. {what to do}``.
"""

__all__ = [
    "AxisNameError",
    "BroadcastError",
    "DTypeError",
    "DeviceError",
    "DimensionError",
    "KeyReuseError",
    "LoadError",
    "RuleError",
    "ShapeError",
    "TraceError",
    "VoltaError",
]


class VoltaError(Exception):
    """Base class of every exception that Volta itself raises."""


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
    """Arrays of two libraries or of two devices meet in one operation."""


class TraceError(VoltaError):
    """A concrete value was asked of a traced array, or a tracer outlived its transform."""


class RuleError(VoltaError, NotImplementedError):
    """An operation has no rule for what is asked of it."""


class LoadError(VoltaError):
    """A file or a state dict does not fit what it is loaded into."""


class KeyReuseError(VoltaError):
    """A random key was used twice."""
