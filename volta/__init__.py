"""Volta: grad, jvp, vmap and their kin over any Array API array."""

import importlib
import os
from typing import TYPE_CHECKING

from volta import functional, tree
from volta.core.context import default_dtype
from volta.core.errors import (
    AxisNameError,
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
from volta.core.later import importing_later as _importing_later
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
    custom_linear_solve,
    custom_root,
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
    from volta import data, debug, implicit, io, nn, optim, optimize, sparse, testing
    from volta.debug.finite import debug_infs, debug_nans
    from volta.debug.keys import debug_key_reuse
    from volta.debug.leaks import check_leaks, check_tracer_leaks
    from volta.emitted import Source, emit_source
    from volta.exported import Exported, export, load_exported
    from volta.transforms.draw import draw
    from volta.transforms.explain import explain
    from volta.transforms.forecast import forecast
    from volta.transforms.jit import jit

__all__ = [
    "AxisNameError",
    "BroadcastError",
    "DTypeError",
    "DeviceError",
    "DimensionError",
    "DonationError",
    "Exported",
    "KeyReuseError",
    "LoadError",
    "NonFiniteError",
    "RuleError",
    "ShapeDtypeStruct",
    "ShapeError",
    "Source",
    "TraceError",
    "VoltaError",
    "all_gather",
    "all_to_all",
    "associative_scan",
    "axis_index",
    "axis_size",
    "check_leaks",
    "check_tracer_leaks",
    "checkpoint",
    "checkpoint_name",
    "checkpoint_policies",
    "cond",
    "custom_jvp",
    "custom_linear_solve",
    "custom_root",
    "custom_rule",
    "custom_vjp",
    "data",
    "debug",
    "debug_infs",
    "debug_key_reuse",
    "debug_nans",
    "default_dtype",
    "draw",
    "emit_source",
    "eval_shape",
    "explain",
    "export",
    "forecast",
    "fori_loop",
    "functional",
    "ggn_vp",
    "grad",
    "hessian",
    "hvp",
    "implicit",
    "io",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jit",
    "jvp",
    "lift",
    "linear_transpose",
    "linearize",
    "load_exported",
    "map",
    "nn",
    "optim",
    "optimize",
    "pmax",
    "pmean",
    "pmin",
    "ppermute",
    "psum",
    "scan",
    "sparse",
    "stop_gradient",
    "switch",
    "testing",
    "trace",
    "tree",
    "value_and_grad",
    "vhp",
    "vjp",
    "vmap",
    "while_loop",
]

_PACKAGES = ("data", "debug", "implicit", "io", "nn", "optim", "optimize", "sparse", "testing")
_TOOLS = (
    "debug.finite",
    "debug.keys",
    "debug.leaks",
    "emitted",
    "exported",
    "transforms.draw",
    "transforms.explain",
    "transforms.forecast",
    "transforms.jit",
)

if not TYPE_CHECKING:  # checkers see the imports above, and that other names do not exist
    __getattr__ = _importing_later(__name__, _PACKAGES, _TOOLS)


def __dir__() -> list[str]:
    return __all__


if "VOLTA_DEBUG_NANS" in os.environ or "VOLTA_DEBUG_INFS" in os.environ:
    importlib.import_module("volta.debug.finite").switch_on()
