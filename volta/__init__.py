"""Volta: grad, jvp, vmap and their kin over any Array API array."""

from volta import functional, tree
from volta.core.context import default_dtype
from volta.core.errors import (
    BroadcastError,
    DeviceError,
    DimensionError,
    DTypeError,
    KeyReuseError,
    LoadError,
    RuleError,
    ShapeError,
    TraceError,
    VoltaError,
)
from volta.core.lift import lift
from volta.transforms import grad, jvp, stop_gradient, trace, value_and_grad, vjp, vmap

__all__ = [
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
    "default_dtype",
    "functional",
    "grad",
    "jvp",
    "lift",
    "stop_gradient",
    "trace",
    "tree",
    "value_and_grad",
    "vjp",
    "vmap",
]
