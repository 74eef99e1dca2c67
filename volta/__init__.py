"""Volta: grad, jvp, vmap and their kin over any Array API array."""

import importlib
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from volta import data, io, nn, optim

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
    "data",
    "default_dtype",
    "functional",
    "grad",
    "io",
    "jvp",
    "lift",
    "nn",
    "optim",
    "stop_gradient",
    "trace",
    "tree",
    "value_and_grad",
    "vjp",
    "vmap",
]

_ON_DEMAND = ("data", "io", "nn", "optim")  # imported when first named, to keep the import short


def __getattr__(name: str) -> Any:
    if name in _ON_DEMAND:
        return importlib.import_module(f"volta.{name}")
    msg = f"module 'volta' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return __all__
