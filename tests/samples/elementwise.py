"""Rows of `volta/functional/elementwise.py`."""

import numpy as np

import volta.functional as F
from samples.sample import (
    add,
    arrays,
    bad_dtype,
    cplx,
    function,
    ints,
    no_broadcast,
    real,
    truth,
)
from volta.core.errors import BroadcastError
from volta.core.trace import ops

# Elementwise, one operand -------------------------------------------------------------------------

for _name, _domain in {
    "acos": (-0.9, 0.9),
    "acosh": (1.2, 3.0),
    "asin": (-0.9, 0.9),
    "asinh": (-2.0, 2.0),
    "atan": (-2.0, 2.0),
    "atanh": (-0.9, 0.9),
    "cos": (-2.0, 2.0),
    "cosh": (-2.0, 2.0),
    "exp": (-2.0, 2.0),
    "exp2": (-2.0, 2.0),
    "expm1": (-2.0, 2.0),
    "log": (0.2, 3.0),
    "log10": (0.2, 3.0),
    "log1p": (-0.8, 2.0),
    "log2": (0.2, 3.0),
    "negative": (-2.0, 2.0),
    "positive": (-2.0, 2.0),
    "reciprocal": (0.2, 2.0),
    "sin": (-2.0, 2.0),
    "sinh": (-2.0, 2.0),
    "sqrt": (0.2, 3.0),
    "square": (-2.0, 2.0),
    "tan": (-1.2, 1.2),
    "tanh": (-2.0, 2.0),
}.items():
    add(_name, function(_name), real(2, 3, low=_domain[0], high=_domain[1]))
    add(_name, function(_name), 0.4 * cplx(2, 3), name=f"{_name}-complex")

add("abs", F.abs, real(2, 3))
add("abs", F.abs, cplx(2, 3), name="abs-complex")
add("conj", F.conj, cplx(2, 3))
add("real", F.real, cplx(2, 3))
add("imag", F.imag, cplx(2, 3))
add("sign", F.sign, cplx(2, 3), name="sign-complex")
for _name in ("ceil", "floor", "round", "trunc", "sign"):
    add(_name, function(_name), real(2, 3))  # the derivative is zero
add("stop_gradient", F.stop_gradient, real(2, 3), diff=())
add("hide", ops.hide, real(2, 3))
for _name in ("isfinite", "isinf", "isnan"):
    add(_name, function(_name), np.asarray([1.0, np.inf, np.nan]), diff=())
add("signbit", F.signbit, real(2, 3), diff=())
add("logical_not", F.logical_not, truth(2, 3))
add(
    "bitwise_invert",
    F.bitwise_invert,
    ints(2, 3),
    errors=(bad_dtype(F.bitwise_invert, np.ones(2)),),
)

# Elementwise, two operands ------------------------------------------------------------------------

for _name, _low in {
    "add": -2.0,
    "atan2": 0.3,
    "divide": 0.3,
    "hypot": 0.3,
    "logaddexp": -2.0,
    "maximum": -2.0,
    "minimum": -2.0,
    "multiply": -2.0,
    "pow": 0.3,
    "remainder": 0.3,
    "subtract": -2.0,
}.items():
    add(
        _name,
        function(_name),
        real(2, 3, low=_low),
        real(3, low=_low),
        errors=(no_broadcast(function(_name)),),
    )
    add(
        _name, function(_name), real(2, 1, low=_low), real(3, 2, 1, low=_low), name=f"{_name}-outer"
    )
    add(
        _name,
        lambda x, f=function(_name): f(x, 1.25),
        real(2, 3, low=_low),
        name=f"{_name}-scalar",
    )
    add(
        _name,
        lambda x, f=function(_name): f(1.25, x),
        real(2, 3, low=_low),
        name=f"{_name}-reflected",
    )
for _name in ("add", "subtract", "multiply", "divide", "pow"):
    add(_name, function(_name), cplx(2, 3), cplx(3), name=f"{_name}-complex")
    add(_name, function(_name), real(2, 3, low=0.3), cplx(3), name=f"{_name}-mixed")
add("copysign", F.copysign, real(2, 3), real(3), diff=(0,), errors=(no_broadcast(F.copysign),))
add("pow", lambda x: F.pow(x, 2), real(2, 3), name="pow-square")
add("pow", lambda x: F.pow(x, 3), real(2, 3), name="pow-cube")
for _name in ("floor_divide", "nextafter"):
    add(
        _name,
        function(_name),
        real(2, 3),
        real(3, low=0.5),
        diff=(0, 1) if _name == "floor_divide" else (),
        errors=(no_broadcast(function(_name)),),
    )
for _name in ("equal", "greater", "greater_equal", "less", "less_equal", "not_equal"):
    add(_name, function(_name), ints(2, 3), ints(3), errors=(no_broadcast(function(_name)),))
for _name in ("logical_and", "logical_or", "logical_xor"):
    add(_name, function(_name), truth(2, 3), truth(3), errors=(no_broadcast(function(_name)),))
for _name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    add(
        _name,
        function(_name),
        ints(2, 3),
        ints(3),
        errors=(no_broadcast(function(_name)), bad_dtype(function(_name), np.ones(2), np.ones(2))),
    )
for _name in ("bitwise_left_shift", "bitwise_right_shift"):
    add(
        _name,
        function(_name),
        ints(2, 3),
        ints(3, high=4),
        errors=(bad_dtype(function(_name), np.ones(2), np.ones(2)),),
    )

# Choices ------------------------------------------------------------------------------------------

add(
    "where",
    F.where,
    truth(2, 3),
    real(3),
    real(2, 1),
    errors=(
        (lambda: F.where(np.ones(2, bool), *arrays(3, 3)), BroadcastError, "where: the shapes"),
    ),
)
add("where", lambda c, x: F.where(c, x, 0), truth(2, 3), real(2, 3), name="where-scalar")
add("_clip", lambda x: F.clip(x, -0.7, 0.8), real(3, 4), name="clip-scalars")
add("_clip", F.clip, real(3, 4), real(4, low=-1, high=0), real(3, 1, low=0, high=1), name="clip")
