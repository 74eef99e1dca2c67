"""Volta: grad, jvp, vmap and their kin over any Array API array."""

import importlib
from typing import TYPE_CHECKING, Any

from volta import functional, tree
from volta.core.context import default_dtype
from volta.core.errors import (
    AxisNameError,
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
from volta.functional.collective import (
    all_gather,
    all_to_all,
    axis_index,
    axis_size,
    pmax,
    pmean,
    pmin,
    ppermute,
    psum,
)
from volta.transforms import (
    ShapeDtypeStruct,
    associative_scan,
    checkpoint,
    checkpoint_name,
    checkpoint_policies,
    cond,
    custom_jvp,
    custom_rule,
    custom_vjp,
    eval_shape,
    fori_loop,
    ggn_vp,
    grad,
    hessian,
    hvp,
    jacfwd,
    jacobian,
    jacrev,
    jvp,
    linear_transpose,
    linearize,
    map,
    scan,
    stop_gradient,
    switch,
    trace,
    value_and_grad,
    vhp,
    vjp,
    vmap,
    while_loop,
)

if TYPE_CHECKING:
    from volta import data, io, nn, optim

__all__ = [
    "AxisNameError",
    "BroadcastError",
    "DTypeError",
    "DeviceError",
    "DimensionError",
    "KeyReuseError",
    "LoadError",
    "RuleError",
    "ShapeDtypeStruct",
    "ShapeError",
    "TraceError",
    "VoltaError",
    "all_gather",
    "all_to_all",
    "associative_scan",
    "axis_index",
    "axis_size",
    "checkpoint",
    "checkpoint_name",
    "checkpoint_policies",
    "cond",
    "custom_jvp",
    "custom_rule",
    "custom_vjp",
    "data",
    "default_dtype",
    "eval_shape",
    "fori_loop",
    "functional",
    "ggn_vp",
    "grad",
    "hessian",
    "hvp",
    "io",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "lift",
    "linear_transpose",
    "linearize",
    "map",
    "nn",
    "optim",
    "pmax",
    "pmean",
    "pmin",
    "ppermute",
    "psum",
    "scan",
    "stop_gradient",
    "switch",
    "trace",
    "tree",
    "value_and_grad",
    "vhp",
    "vjp",
    "vmap",
    "while_loop",
]

_ON_DEMAND = ("data", "io", "nn", "optim")  # imported when first named, to keep the import short


def __getattr__(name: str) -> Any:
    if name in _ON_DEMAND:
        return importlib.import_module(f"volta.{name}")
    msg = f"module 'volta' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return __all__
