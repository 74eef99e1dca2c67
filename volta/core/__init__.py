"""The machine: types, primitives, traces, tracers, Wengert lists, trees, errors.

What someone adding an operation imports. Read in this order: `types`, `trace`, `tracer`,
`primitive`, `wengert`.
"""

from volta.core.derivatives import ZERO, Joint, Linear, Missing, Pair, Partial, Variadic
from volta.core.errors import (
    BroadcastError,
    DeviceError,
    DimensionError,
    DonationError,
    DTypeError,
    KeyReuseError,
    LoadError,
    NonFiniteError,
    RuleError,
    ShapeError,
    TraceError,
    VoltaError,
)
from volta.core.primitive import Primitive
from volta.core.tracer import Tracer
from volta.core.types import Array, ArrayType, DType, typeof
from volta.core.wengert import WengertList

__all__ = [
    "ZERO",
    "Array",
    "ArrayType",
    "BroadcastError",
    "DType",
    "DTypeError",
    "DeviceError",
    "DimensionError",
    "DonationError",
    "Joint",
    "KeyReuseError",
    "Linear",
    "LoadError",
    "Missing",
    "NonFiniteError",
    "Pair",
    "Partial",
    "Primitive",
    "RuleError",
    "ShapeError",
    "TraceError",
    "Tracer",
    "Variadic",
    "VoltaError",
    "WengertList",
    "typeof",
]
