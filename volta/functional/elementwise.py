"""Elementwise operations: the standard's, `exp2` and the pieces of activation functions.

Read a declaration as a row: the derivative with respect to each operand, in terms of the result
`out` and the operands; the kinds of dtype the standard defines it for; then the signature. Rules
compute with operators where they can: on raw arrays these are the library's own arithmetic.
"""

# The rows' functions are empty: the decorator replaces them, keeping signature and docstring.
# Their rules name operations declared further down.
# mypy: disable-error-code="empty-body, has-type"

import cmath
import math
import sys
from typing import Any, Final

import numpy as np

from volta.core.derivatives import ZERO, Joint, Linear, Pair, Partial
from volta.core.trace import ops
from volta.core.tracer import library_under
from volta.core.types import DTYPES, SCALARS, Array, ArrayLike, DType, as_dtype, typeof
from volta.functional.declare import (
    ALL,
    BOOLEAN,
    FLOATING,
    INTEGER,
    REAL,
    REAL_FLOATING,
    binary,
    composite,
    elementwise,
    primitive,
    unary,
)

__all__ = [
    "abs",
    "acos",
    "acosh",
    "add",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "ceil",
    "clip",
    "conj",
    "copysign",
    "cos",
    "cosh",
    "divide",
    "equal",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "floor_divide",
    "greater",
    "greater_equal",
    "hypot",
    "imag",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "nextafter",
    "not_equal",
    "positive",
    "pow",
    "real",
    "reciprocal",
    "remainder",
    "round",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "stop_gradient",
    "subtract",
    "tan",
    "tanh",
    "trunc",
    "where",
]

_LN2: Final = math.log(2.0)
_LN10: Final = math.log(10.0)


def _is_complex(x: Any) -> bool:
    return as_dtype(x.dtype).kind == "complex"


# Arithmetic ------------------------------------------------------------------------------------


@binary(Joint(lambda ct: ct), Joint(lambda ct: ct))
def add(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Add elementwise, ``x1 + x2``.

    Examples
    --------
    >>> F.add(np.asarray([1.0, 2.0]), 3)
    array([4., 5.])
    """


@binary(Joint(lambda ct: ct), Joint(lambda ct: -ct))
def subtract(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Subtract elementwise, ``x1 - x2``.

    Examples
    --------
    >>> F.subtract(np.asarray([1.0, 2.0]), 3)
    array([-2., -1.])
    """


@binary(lambda _out, _x1, x2: x2, lambda _out, x1, _x2: x1)
def multiply(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Multiply elementwise, ``x1 · x2``.

    Examples
    --------
    >>> F.multiply(np.asarray([1.0, 2.0]), 3)
    array([3., 6.])
    """


def _inverse(out: Any, x: Any) -> Any:
    """``1 / x``, as precise as a quotient by it is."""
    if type(x) in SCALARS:
        return 1 / x if x else math.copysign(math.inf, x.real)
    if x.dtype != out.dtype and as_dtype(x.dtype).kind != "complex":
        wide = as_dtype(out.dtype)
        half = f"float{4 * wide.itemsize}" if wide.kind == "complex" else wide.name
        x = ops.astype(x, DTYPES[half])
    return 1 / x


@binary(
    lambda out, _x1, x2: _inverse(out, x2),
    lambda out, _x1, x2: -(out / x2),
    kinds=FLOATING,
)
def divide(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Divide elementwise, ``x1 / x2``.

    Examples
    --------
    >>> F.divide(np.asarray([1.0, 2.0]), 4)
    array([0.25, 0.5 ])
    """


@unary(Linear(lambda ct: -ct))
def negative(x: ArrayLike, /) -> Array:
    """Negate elementwise.

    Examples
    --------
    >>> F.negative(np.asarray([1.0, -2.0]))
    array([-1.,  2.])
    """


@unary(Linear(lambda ct: ct), kernels={"torch": lambda x: x.clone()})
def positive(x: ArrayLike, /) -> Array:
    """Return a copy of `x`.

    Examples
    --------
    >>> F.positive(np.asarray([1.0, -2.0]))
    array([ 1., -2.])
    """


@unary(lambda out: -(out * out), kinds=FLOATING)
def reciprocal(x: ArrayLike, /) -> Array:
    """Divide one by `x` elementwise.

    Examples
    --------
    >>> F.reciprocal(np.asarray([2.0, 4.0]))
    array([0.5 , 0.25])
    """


@unary(lambda _out, x: 2 * x)
def square(x: ArrayLike, /) -> Array:
    """Square elementwise.

    Examples
    --------
    >>> F.square(np.asarray([2.0, -3.0]))
    array([4., 9.])
    """


@unary(lambda out: 0.5 / out, kinds=FLOATING)
def sqrt(x: ArrayLike, /) -> Array:
    """Take the square root elementwise.

    Notes
    -----
    The derivative ``1 / (2 √x)`` is infinite at zero, except where a selection (`where`, `clip`,
    indexing) discards the element: there it counts as zero.

    Examples
    --------
    >>> F.sqrt(np.asarray([4.0, 9.0]))
    array([2., 3.])
    """


def _pow_base(_out: Any, x1: Any, x2: Any) -> Any:
    if not hasattr(x2, "dtype"):
        if x2 == 0:
            return 0
        return 2 * x1 if x2 == 2 else x2 * x1 ** (x2 - 1)
    # 0 · 0⁻¹ must not be NaN; elsewhere the power stays, for the mixed derivative's sake
    power = pow(x1, subtract(x2, 1))
    return multiply(x2, where(logical_or(isfinite(power), not_equal(x2, 0)), power, 1))


def _pow_exponent(out: Any, x1: Any, _x2: Any) -> Any:
    if hasattr(x1, "dtype"):
        base = ops.astype(x1, out.dtype, copy=False)  # NumPy's log of an int8 is a float16
        return multiply(out, log(where(equal(base, 0), 1, base)))
    if x1 == 0:
        return multiply(out, 0)
    if isinstance(x1, complex) or _is_complex(out):
        return multiply(out, cmath.log(x1))
    return multiply(out, math.log(x1) if x1 > 0 else math.nan)


def _jax_pow(x1: Any, x2: Any) -> Any:
    xp = sys.modules["jax.numpy"]
    mixed = type(x1) not in SCALARS and type(x2) not in SCALARS and x1.dtype != x2.dtype
    if mixed and x1.dtype.kind in "iu" and x2.dtype.kind in "iu":  # JAX keeps that of x1
        x1, x2 = (xp.astype(x, xp.result_type(x1, x2)) for x in (x1, x2))
    return xp.pow(x1, x2)


@binary(_pow_base, _pow_exponent, kernels={"jax.numpy": _jax_pow})
def pow(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Raise elementwise to a power, ``x1 ** x2``.

    Notes
    -----
    ``∂/∂x1 = x2 · x1^(x2−1)``, which is 0 where x2 is 0; ``∂/∂x2 = x1^x2 · log x1``, which is 0
    where x1 is 0 and x2 is not negative, and NaN where x1 is negative and all is real.

    Examples
    --------
    >>> F.pow(np.asarray([2.0, 3.0]), 2)
    array([4., 9.])
    """


def _floor_divide_value(xp: Any, x1: Any, x2: Any) -> Any:
    """Quotient rounded down; libraries follow Python: NaN for inf // 1, −1 for −1 // inf."""
    out = xp.floor_divide(x1, x2)
    if as_dtype(out.dtype).kind != "float":
        return out
    infinite = _isinf(xp, x1) | _isinf(xp, x2)
    return out if infinite is False else xp.where(infinite, xp.floor(xp.divide(x1, x2)), out)


def _isinf(xp: Any, x: Any) -> Any:
    return math.isinf(x) if type(x) in SCALARS else xp.isinf(x)


def _remainder_value(xp: Any, x1: Any, x2: Any) -> Any:
    """Remainder whose zeros have the sign of the divisor, as the standard asks."""
    out = xp.remainder(x1, x2)
    if as_dtype(out.dtype).kind != "float":
        return out
    divisor = xp.full_like(out, x2) if type(x2) in SCALARS else xp.astype(x2, out.dtype)
    return xp.where(out == 0, xp.copysign(xp.zeros_like(out), divisor), out)


def _numpy_floor_divide(x1: Any, x2: Any) -> Any:
    out = np.floor_divide(x1, x2)
    if out.dtype.kind in "biu":
        return out
    return np.where(np.isinf(x1) | np.isinf(x2), np.floor(np.true_divide(x1, x2)), out)


@binary(
    ZERO,
    ZERO,
    kinds=REAL,
    value=_floor_divide_value,
    kernels={"numpy": _numpy_floor_divide},
)
def floor_divide(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Divide elementwise and round down. The derivative is zero.

    Examples
    --------
    >>> F.floor_divide(np.asarray([7.0, -7.0]), 2)
    array([ 3., -4.])
    """


@binary(
    lambda _out: 1,
    lambda out, x1, x2: _remainder_slope(out, x1, x2),
    kinds=REAL,
    value=_remainder_value,
    kernels={"numpy": np.remainder},
)
def remainder(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Remainder of `floor_divide`, with the sign of `x2`.

    Notes
    -----
    ``∂/∂x1 = 1``, ``∂/∂x2 = −⌊x1/x2⌋``: the derivatives between the jumps.

    Examples
    --------
    >>> F.remainder(np.asarray([7.0, -7.0]), 3)
    array([1., 2.])
    """


def _remainder_slope(out: Any, x1: Any, x2: Any) -> Any:
    """``−⌊x1/x2⌋``; NaN for an infinite x1, and 0 or, for other signs, 1 for an infinite x2."""
    crossed = ops.astype(not_equal(out, x1), out.dtype)
    infinite: Any = math.isinf(x2) if type(x2) in SCALARS else isinf(x2)
    return where(infinite, crossed, negative(floor_divide(x1, x2))) + 0 * x1


def _abs_direction(x: Any, out: Any) -> Any:
    """``conj(x)/|x|`` (the sign of a real x), 0 at 0."""
    return conj(divide(x, where(equal(out, 0), 1, out))) if _is_complex(x) else sign(x)


def _abs_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    out = abs(x)
    slope = multiply(_abs_direction(x, out), t)
    return out, real(slope) if _is_complex(x) else slope


def _abs_fwd(x: Any) -> Any:
    out = abs(x)
    return out, (x, out)


@unary(
    pair=Pair(
        _abs_jvp,
        _abs_fwd,
        lambda residuals, ct, needed: (multiply(ct, _abs_direction(*residuals)),),
    ),
    result="real",
)
def abs(x: ArrayLike, /) -> Array:
    """Absolute value elementwise; a real array for a complex one.

    Notes
    -----
    The derivative at zero is 0.

    Examples
    --------
    >>> F.abs(np.asarray([-1.0, 2.0]))
    array([1., 2.])
    """


def _sign_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    out = sign(x)
    if not _is_complex(x):
        return out, ops.zeros_like(out)
    size = abs(x)
    along = imag(multiply(conj(out), t))
    return out, multiply(multiply(out, 1j), divide(along, where(equal(size, 0), 1, size)))


def _sign_bwd(residuals: Any, ct: Any, needed: Any) -> Any:
    x, out = residuals
    if not _is_complex(x):
        return (None,)
    size = abs(x)
    along = imag(multiply(out, ct))
    return (multiply(multiply(conj(out), 1j), divide(along, where(equal(size, 0), 1, size))),)


def _sign_fwd(x: Any) -> Any:
    out = sign(x)
    return out, (x, out)


@unary(pair=Pair(_sign_jvp, _sign_fwd, _sign_bwd))
def sign(x: ArrayLike, /) -> Array:
    """Sign elementwise, ``x / |x|``, and 0 at 0.

    Notes
    -----
    The derivative is zero for real `x`; for complex ``z`` it turns ``t`` into
    ``i s Im(s̄ t) / |z|`` with ``s = z / |z|``, and into 0 at 0.

    Examples
    --------
    >>> F.sign(np.asarray([-3.0, 0.0, 2.0]))
    array([-1.,  0.,  1.])
    """


@binary(
    lambda out, x1, _x2: divide(x1, where(equal(out, 0), 1, out)),
    lambda out, _x1, x2: divide(x2, where(equal(out, 0), 1, out)),
    kinds=REAL_FLOATING,
)
def hypot(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Length of the hypotenuse elementwise, ``√(x1² + x2²)``, without overflow.

    Notes
    -----
    The derivative at (0, 0) is (0, 0).

    Examples
    --------
    >>> F.hypot(np.asarray([3.0]), np.asarray([4.0]))
    array([5.])
    """


# Exponentials and logarithms --------------------------------------------------------------------


@unary(lambda out: out, kinds=FLOATING)
def exp(x: ArrayLike, /) -> Array:
    """Exponential elementwise, ``eˣ``.

    Examples
    --------
    >>> F.exp(np.asarray([0.0, 1.0]))
    array([1.        , 2.71828183])
    """


def _exp2(xp: Any, x: Any) -> Any:
    if as_dtype(x.dtype).kind not in FLOATING:  # powers of integers are integers
        x = xp.astype(x, xp.asarray(0.0).dtype)
    return xp.pow(xp.full_like(x, 2), x)


@unary(
    lambda out: out * _LN2,
    kinds=FLOATING,
    value=_exp2,
    kernels={"numpy": np.exp2},
)
def exp2(x: ArrayLike, /) -> Array:
    """Power of two elementwise, ``2ˣ``.

    Examples
    --------
    >>> F.exp2(np.asarray([0.0, 3.0]))
    array([1., 8.])
    """


def _numpy_complex(real: Any, imag: Any) -> Any:
    """Complex array of given parts; ``real + 1j · imag`` would mix infinities up."""
    out = np.empty(real.shape, np.result_type(real, np.complex64))
    out.real, out.imag = real, imag
    return out


def _complex_expm1(xp: Any, x: Any, joined: Any) -> Any:
    """``eˣ − 1``, which the libraries get wrong at infinities and on the real axis."""
    a, b = x.real, x.imag
    half = xp.sin(b / 2)
    real = xp.expm1(a) * xp.cos(b) - 2 * half * half
    real = xp.where((a == math.inf) & ~xp.isfinite(b), a, real)
    real = xp.where(b == 0, xp.expm1(a) + 0.0, real)  # +0 where a is −0
    imag = xp.where(b == 0, b, xp.exp(a) * xp.sin(b))
    nowhere = a == -math.inf  # there the angle does not matter
    imag = xp.where(nowhere & ~xp.isfinite(b), xp.zeros_like(b), imag)
    return joined(xp.where(nowhere, -xp.ones_like(a), real), imag)


def _numpy_expm1(x: Any) -> Any:
    return np.expm1(x) if x.dtype.kind != "c" else _complex_expm1(np, x, _numpy_complex)


def _torch_expm1(x: Any) -> Any:
    torch = sys.modules["torch"]
    return _complex_expm1(torch, x, torch.complex) if x.is_complex() else torch.expm1(x)


def _torch_log1p(x: Any) -> Any:
    torch = sys.modules["torch"]
    out = torch.log1p(x)
    if not x.is_complex():
        return out
    far = torch.isinf(x.real) | torch.isinf(x.imag)  # the modulus is infinite, whatever the angle
    angle = torch.atan2(x.imag, x.real)  # which complex64 loses where the real part is finite
    return torch.where(far, torch.complex(torch.full_like(angle, math.inf), angle), out)


def _torch_acos(x: Any) -> Any:
    torch = sys.modules["torch"]
    out = torch.acos(x)
    if not x.is_complex():
        return out
    on_axis = (x.real == 0) & (x.imag == 0)  # conj(acos(x)) = acos(conj(x)) fixes the zero's sign
    return torch.where(on_axis, torch.complex(out.real, -x.imag), out)


@unary(
    lambda out: out + 1,
    kinds=FLOATING,
    kernels={"numpy": _numpy_expm1, "torch": _torch_expm1},
)
def expm1(x: ArrayLike, /) -> Array:
    """Exponential minus one elementwise, ``eˣ − 1``, accurate near zero.

    Examples
    --------
    >>> F.expm1(np.asarray([0.0, 1e-10]))
    array([0.e+00, 1.e-10])
    """


@unary(lambda _out, x: 1 / x, kinds=FLOATING)
def log(x: ArrayLike, /) -> Array:
    """Natural logarithm elementwise.

    Examples
    --------
    >>> F.log(np.asarray([1.0, 10.0]))
    array([0.        , 2.30258509])
    """


@unary(lambda _out, x: 1 / (1 + x), kinds=FLOATING, kernels={"torch": _torch_log1p})
def log1p(x: ArrayLike, /) -> Array:
    """Natural logarithm of one plus `x` elementwise, accurate near zero.

    Examples
    --------
    >>> F.log1p(np.asarray([0.0, 1e-10]))
    array([0.e+00, 1.e-10])
    """


@unary(lambda _out, x: (1 / _LN2) / x, kinds=FLOATING)
def log2(x: ArrayLike, /) -> Array:
    """Logarithm to base 2 elementwise.

    Examples
    --------
    >>> F.log2(np.asarray([1.0, 8.0]))
    array([0., 3.])
    """


@unary(lambda _out, x: (1 / _LN10) / x, kinds=FLOATING)
def log10(x: ArrayLike, /) -> Array:
    """Logarithm to base 10 elementwise.

    Examples
    --------
    >>> F.log10(np.asarray([1.0, 100.0]))
    array([0., 2.])
    """


def _share(mine: Any, other: Any) -> Any:
    """Softmax weight ``1 / (1 + exp(other − mine))``; a half where both are the same infinity."""
    lead = subtract(mine, other)
    return ops.sigmoid(where(logical_and(equal(mine, other), isnan(lead)), 0, lead))


@binary(
    lambda _out, x1, x2: _share(x1, x2),
    lambda _out, x1, x2: _share(x2, x1),
    kinds=REAL_FLOATING,
)
def logaddexp(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Logarithm of a sum of exponentials elementwise, ``log(e^x1 + e^x2)``.

    Examples
    --------
    >>> F.logaddexp(np.asarray([1000.0]), np.asarray([1000.0]))
    array([1000.69314718])
    """


# Trigonometric and hyperbolic -------------------------------------------------------------------


@unary(lambda _out, x: cos(x), kinds=FLOATING)
def sin(x: ArrayLike, /) -> Array:
    """Sine elementwise, of radians.

    Examples
    --------
    >>> F.sin(np.asarray([0.0, 1.0]))
    array([0.        , 0.84147098])
    """


@unary(lambda _out, x: -sin(x), kinds=FLOATING)
def cos(x: ArrayLike, /) -> Array:
    """Cosine elementwise, of radians.

    Examples
    --------
    >>> F.cos(np.asarray([0.0, 1.0]))
    array([1.        , 0.54030231])
    """


@unary(lambda out: 1 + out * out, kinds=FLOATING)
def tan(x: ArrayLike, /) -> Array:
    """Tangent elementwise, of radians.

    Examples
    --------
    >>> F.tan(np.asarray([0.0, 1.0]))
    array([0.        , 1.55740772])
    """


@unary(lambda _out, x: 1 / sqrt(_one_minus_square(x)), kinds=FLOATING)
def asin(x: ArrayLike, /) -> Array:
    """Inverse sine elementwise, in radians from −π/2 to π/2.

    Examples
    --------
    >>> F.asin(np.asarray([0.0, 1.0]))
    array([0.        , 1.57079633])
    """


@unary(
    lambda _out, x: -1 / sqrt(_one_minus_square(x)),
    kinds=FLOATING,
    kernels={"torch": _torch_acos},
)
def acos(x: ArrayLike, /) -> Array:
    """Inverse cosine elementwise, in radians from 0 to π.

    Examples
    --------
    >>> F.acos(np.asarray([1.0, 0.0]))
    array([0.        , 1.57079633])
    """


@unary(lambda _out, x: 1 / (1 + x * x), kinds=FLOATING)
def atan(x: ArrayLike, /) -> Array:
    """Inverse tangent elementwise, in radians from −π/2 to π/2.

    Examples
    --------
    >>> F.atan(np.asarray([0.0, 1.0]))
    array([0.        , 0.78539816])
    """


@binary(
    lambda _out, x1, x2: _over_square(x2, hypot(x1, x2)),
    lambda _out, x1, x2: -_over_square(x1, hypot(x1, x2)),
    kinds=REAL_FLOATING,
)
def atan2(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Angle of the point (x2, x1) elementwise, in radians from −π to π.

    Notes
    -----
    The derivative at (0, 0) is NaN: every direction has another angle.

    Examples
    --------
    >>> F.atan2(np.asarray([1.0]), np.asarray([-1.0]))
    array([2.35619449])
    """


@unary(lambda _out, x: cosh(x), kinds=FLOATING)
def sinh(x: ArrayLike, /) -> Array:
    """Hyperbolic sine elementwise.

    Examples
    --------
    >>> F.sinh(np.asarray([0.0, 1.0]))
    array([0.        , 1.17520119])
    """


@unary(lambda _out, x: sinh(x), kinds=FLOATING)
def cosh(x: ArrayLike, /) -> Array:
    """Hyperbolic cosine elementwise.

    Examples
    --------
    >>> F.cosh(np.asarray([0.0, 1.0]))
    array([1.        , 1.54308063])
    """


def _numpy_tanh(x: Any) -> Any:
    out = np.tanh(x)
    if x.dtype.kind != "c":
        return out
    far = np.isinf(x.real) & np.isfinite(x.imag)  # there the zero has the sign of sin(2·imag)
    return np.where(far, _numpy_complex(out.real, np.copysign(0, x.imag)), out)


def _torch_tanh(x: Any) -> Any:
    torch = sys.modules["torch"]
    out = torch.tanh(x)
    if not x.is_complex():
        return out
    far = torch.isinf(x.real) & torch.isfinite(x.imag)
    zero = torch.copysign(torch.zeros_like(x.imag), x.imag)
    return torch.where(far, torch.complex(out.real, zero), out)


@unary(
    lambda out: _one_minus_square(out),
    kinds=FLOATING,
    kernels={"numpy": _numpy_tanh, "torch": _torch_tanh},
)
def tanh(x: ArrayLike, /) -> Array:
    """Hyperbolic tangent elementwise.

    Examples
    --------
    >>> F.tanh(np.asarray([0.0, 1.0]))
    array([0.        , 0.76159416])
    """


@unary(lambda _out, x: 1 / sqrt(1 + x * x), kinds=FLOATING)
def asinh(x: ArrayLike, /) -> Array:
    """Inverse hyperbolic sine elementwise.

    Examples
    --------
    >>> F.asinh(np.asarray([0.0, 1.0]))
    array([0.        , 0.88137359])
    """


# √(x−1)·√(x+1), not √(x²−1): the second has other branch cuts in the complex plane
@unary(lambda _out, x: 1 / (sqrt(x - 1) * sqrt(x + 1)), kinds=FLOATING)
def acosh(x: ArrayLike, /) -> Array:
    """Inverse hyperbolic cosine elementwise.

    Examples
    --------
    >>> F.acosh(np.asarray([1.0, 2.0]))
    array([0.       , 1.3169579])
    """


@unary(lambda _out, x: 1 / _one_minus_square(x), kinds=FLOATING)
def atanh(x: ArrayLike, /) -> Array:
    """Inverse hyperbolic tangent elementwise.

    Examples
    --------
    >>> F.atanh(np.asarray([0.0, 0.5]))
    array([0.        , 0.54930614])
    """


def _over_square(x: Any, size: Any) -> Any:
    return x / size / size  # the square itself would over- or underflow


def _one_minus_square(x: Any) -> Any:
    # (1 − x)(1 + x) keeps its digits where x is near ±1, which 1 − x² does not
    return (1 - x) * (1 + x)


# Complex parts ----------------------------------------------------------------------------------


@unary(
    Linear(lambda ct: conj(ct)),
    kernels={
        "numpy": np.conjugate,
        "torch": lambda x: x.conj_physical() if x.is_complex() else x.clone(),
    },
)
def conj(x: ArrayLike, /) -> Array:
    """Complex conjugate elementwise; a copy of a real array.

    Examples
    --------
    >>> F.conj(np.asarray([1 + 2j]))
    array([1.-2.j])
    """


@unary(Linear(lambda ct, x: ops.astype(ct, x.dtype)), result="real", view=True)
def real(x: ArrayLike, /) -> Array:
    """Real part elementwise.

    Examples
    --------
    >>> F.real(np.asarray([1 + 2j]))
    array([1.])
    """


@unary(
    Linear(lambda ct, x: multiply(ops.astype(ct, x.dtype), -1j)),
    kinds=("complex",),
    result="real",
    view=True,
)
def imag(x: ArrayLike, /) -> Array:
    """Imaginary part elementwise.

    Examples
    --------
    >>> F.imag(np.asarray([1 + 2j]))
    array([2.])
    """


# Choices and rounding ---------------------------------------------------------------------------


def _torch_where(condition: Any, x1: Any, x2: Any) -> Any:
    array = x2 if type(x1) in SCALARS else x1
    xp = library_under(condition if type(array) in SCALARS else array).xp
    if type(condition) is bool:
        condition = xp.asarray(condition, device=array.device)
    return xp.where(condition, x1, x2)


@elementwise(
    ZERO,
    Joint(lambda ct, condition: where(condition, ct, 0)),
    Joint(lambda ct, condition: where(condition, 0, ct)),
    kinds=ALL,
    kernels={"torch": _torch_where},
    masks=True,
    unpromoted=1,
)
def where(condition: Array, x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Choose elementwise: `x1` where `condition` is true, else `x2`.

    Notes
    -----
    What is not chosen has no influence on derivatives, even where they are infinite or NaN.

    Examples
    --------
    >>> F.where(np.asarray([True, False]), np.asarray([1.0, 2.0]), 0)
    array([1., 0.])
    """


@binary(
    Partial(lambda out, x1, x2: (x1 == out, x1 == x2), choice=True),
    Partial(lambda out, x1, x2: (x2 == out, x1 == x2), choice=True),
    kinds=REAL,
    masks=True,
)
def maximum(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Larger of two values elementwise; NaN if either is.

    Notes
    -----
    Equal values share the derivative, a half each.

    Examples
    --------
    >>> F.maximum(np.asarray([1.0, 5.0]), 3)
    array([3., 5.])
    """


@binary(
    Partial(lambda out, x1, x2: (x1 == out, x1 == x2), choice=True),
    Partial(lambda out, x1, x2: (x2 == out, x1 == x2), choice=True),
    kinds=REAL,
    masks=True,
)
def minimum(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Smaller of two values elementwise; NaN if either is.

    Notes
    -----
    Equal values share the derivative, a half each.

    Examples
    --------
    >>> F.minimum(np.asarray([1.0, 5.0]), 3)
    array([1., 3.])
    """


@elementwise(
    lambda _out, x, lo, hi: logical_and(less_equal(lo, x), less_equal(x, hi)),
    lambda _out, x, lo, hi: logical_and(less(x, lo), less_equal(lo, hi)),
    lambda _out, x, lo, hi: logical_or(less(hi, x), less(hi, lo)),
    kinds=REAL,
    masks=True,
    value=lambda xp, x, lo, hi: xp.minimum(xp.maximum(x, lo), hi),
)
def _clip(x: ArrayLike, lo: ArrayLike, hi: ArrayLike, /) -> Array:
    """Limit `x` to the interval from `lo` to `hi` elementwise."""


@composite
def clip(x: Array, /, min: Any = None, max: Any = None) -> Any:
    """Limit elementwise to an interval.

    Parameters
    ----------
    x : array, shape (...)
        Of real-valued dtype.
    min, max : array or number, optional
        Bounds, broadcastable with `x`; None is no bound.

    Returns
    -------
    array, of the broadcast shape
        ``minimum(maximum(x, min), max)``.

    Raises
    ------
    BroadcastError
        If the shapes do not broadcast together.

    Notes
    -----
    The derivative with respect to `x` is 1 inside the interval and on its ends, 0 outside.

    Examples
    --------
    >>> F.clip(np.asarray([-1.0, 0.5, 2.0]), 0, 1)
    array([0. , 0.5, 1. ])
    """
    if min is None and max is None:
        return positive(x)
    if min is None:
        min = _limit(typeof(x).dtype, -1)
    if max is None:
        max = _limit(typeof(x).dtype, 1)
    return _clip(x, min, max)


def _limit(dtype: DType, side: int) -> float:
    if dtype.kind == "float":
        return side * math.inf
    bits = 8 * dtype.itemsize
    if dtype.kind == "uint":
        return 0 if side < 0 else (1 << bits) - 1
    return -(1 << (bits - 1)) if side < 0 else (1 << (bits - 1)) - 1


def _unit(x: Any) -> Any:
    """1 or −1, by the sign bit."""
    return subtract(1, multiply(2, ops.astype(signbit(x), x.dtype)))


@binary(
    lambda out, x1, _x2: multiply(_unit(x1), _unit(out)),
    ZERO,
    kinds=REAL_FLOATING,
)
def copysign(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Magnitude of `x1` with the sign of `x2` elementwise.

    Examples
    --------
    >>> F.copysign(np.asarray([1.0, 2.0]), np.asarray([-1.0, 1.0]))
    array([-1.,  2.])
    """


@unary(ZERO, kinds=REAL)
def floor(x: ArrayLike, /) -> Array:
    """Round down elementwise. The derivative is zero.

    Examples
    --------
    >>> F.floor(np.asarray([1.5, -1.5]))
    array([ 1., -2.])
    """


@unary(ZERO, kinds=REAL)
def ceil(x: ArrayLike, /) -> Array:
    """Round up elementwise. The derivative is zero.

    Examples
    --------
    >>> F.ceil(np.asarray([1.5, -1.5]))
    array([ 2., -1.])
    """


@unary(ZERO, kinds=REAL)
def trunc(x: ArrayLike, /) -> Array:
    """Round towards zero elementwise. The derivative is zero.

    Examples
    --------
    >>> F.trunc(np.asarray([1.5, -1.5]))
    array([ 1., -1.])
    """


@unary(ZERO)
def round(x: ArrayLike, /) -> Array:
    """Round to the nearest integer elementwise, halves to even. The derivative is zero.

    Examples
    --------
    >>> F.round(np.asarray([1.5, 2.5]))
    array([2., 2.])
    """


@binary(ZERO, ZERO, kinds=REAL_FLOATING)
def nextafter(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Next floating number after `x1` towards `x2` elementwise. The derivative is zero.

    Examples
    --------
    >>> F.nextafter(np.asarray([0.0]), np.asarray([1.0]))
    array([5.e-324])
    """


@unary(ZERO, kinds=ALL, value=lambda xp, x: x, view=True)
def stop_gradient(x: ArrayLike, /) -> Array:
    """Return `x` as a constant to every derivative.

    Examples
    --------
    >>> F.stop_gradient(np.asarray([1.0]))
    array([1.])
    """


@composite
def hide(x: Any) -> Any:
    """`x`, as if chosen by a mask: where what follows is infinite its zeros are zeros."""
    return _hide(x)


_hide: Any = primitive(
    "hide",
    type_rule=lambda x: x,
    batch=lambda size, batched, x: _hide(x),
    derivatives=(Linear(lambda ct: _hide(ct)),),
    value=lambda xp, x: x,
    masks=True,
)


# Comparison and logic ---------------------------------------------------------------------------


@binary(ZERO, ZERO, kinds=ALL, result="bool")
def equal(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Whether ``x1 == x2`` elementwise.

    Examples
    --------
    >>> F.equal(np.asarray([1, 2]), 2)
    array([False,  True])
    """


@binary(ZERO, ZERO, kinds=ALL, result="bool")
def not_equal(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Whether ``x1 != x2`` elementwise.

    Examples
    --------
    >>> F.not_equal(np.asarray([1, 2]), 2)
    array([ True, False])
    """


@binary(ZERO, ZERO, kinds=REAL, result="bool")
def less(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Whether ``x1 < x2`` elementwise.

    Examples
    --------
    >>> F.less(np.asarray([1, 2]), 2)
    array([ True, False])
    """


@binary(ZERO, ZERO, kinds=REAL, result="bool")
def less_equal(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Whether ``x1 <= x2`` elementwise.

    Examples
    --------
    >>> F.less_equal(np.asarray([1, 3]), 2)
    array([ True, False])
    """


@binary(ZERO, ZERO, kinds=REAL, result="bool")
def greater(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Whether ``x1 > x2`` elementwise.

    Examples
    --------
    >>> F.greater(np.asarray([1, 3]), 2)
    array([False,  True])
    """


@binary(ZERO, ZERO, kinds=REAL, result="bool")
def greater_equal(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Whether ``x1 >= x2`` elementwise.

    Examples
    --------
    >>> F.greater_equal(np.asarray([1, 2]), 2)
    array([False,  True])
    """


@unary(ZERO, result="bool")
def isfinite(x: ArrayLike, /) -> Array:
    """Whether finite elementwise.

    Examples
    --------
    >>> F.isfinite(np.asarray([1.0, np.inf, np.nan]))
    array([ True, False, False])
    """


@unary(ZERO, result="bool")
def isinf(x: ArrayLike, /) -> Array:
    """Whether infinite elementwise.

    Examples
    --------
    >>> F.isinf(np.asarray([1.0, np.inf, np.nan]))
    array([False,  True, False])
    """


@unary(ZERO, result="bool")
def isnan(x: ArrayLike, /) -> Array:
    """Whether NaN elementwise.

    Examples
    --------
    >>> F.isnan(np.asarray([1.0, np.inf, np.nan]))
    array([False, False,  True])
    """


@unary(ZERO, kinds=REAL_FLOATING, result="bool")
def signbit(x: ArrayLike, /) -> Array:
    """Whether the sign bit is set elementwise, that of −0 included.

    Examples
    --------
    >>> F.signbit(np.asarray([-0.0, 0.0]))
    array([ True, False])
    """


@unary(ZERO, kinds=BOOLEAN, result="bool")
def logical_not(x: ArrayLike, /) -> Array:
    """Logical negation elementwise.

    Examples
    --------
    >>> F.logical_not(np.asarray([True, False]))
    array([False,  True])
    """


@binary(ZERO, ZERO, kinds=BOOLEAN, result="bool")
def logical_and(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Logical conjunction elementwise.

    Examples
    --------
    >>> F.logical_and(np.asarray([True, False]), True)
    array([ True, False])
    """


@binary(ZERO, ZERO, kinds=BOOLEAN, result="bool")
def logical_or(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Logical disjunction elementwise.

    Examples
    --------
    >>> F.logical_or(np.asarray([True, False]), False)
    array([ True, False])
    """


@binary(ZERO, ZERO, kinds=BOOLEAN, result="bool")
def logical_xor(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Exclusive disjunction elementwise.

    Examples
    --------
    >>> F.logical_xor(np.asarray([True, False]), True)
    array([False,  True])
    """


@unary(ZERO, kinds=INTEGER)
def bitwise_invert(x: ArrayLike, /) -> Array:
    """Invert each bit elementwise.

    Examples
    --------
    >>> F.bitwise_invert(np.asarray([0, 1]))
    array([-1, -2])
    """


@binary(ZERO, ZERO, kinds=INTEGER)
def bitwise_and(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Bitwise conjunction elementwise.

    Examples
    --------
    >>> F.bitwise_and(np.asarray([6, 5]), 3)
    array([2, 1])
    """


@binary(ZERO, ZERO, kinds=INTEGER)
def bitwise_or(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Bitwise disjunction elementwise.

    Examples
    --------
    >>> F.bitwise_or(np.asarray([6, 5]), 3)
    array([7, 7])
    """


@binary(ZERO, ZERO, kinds=INTEGER)
def bitwise_xor(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Bitwise exclusive disjunction elementwise.

    Examples
    --------
    >>> F.bitwise_xor(np.asarray([6, 5]), 3)
    array([5, 6])
    """


@binary(ZERO, ZERO, kinds=("int", "uint"))
def bitwise_left_shift(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Shift bits left elementwise.

    Examples
    --------
    >>> F.bitwise_left_shift(np.asarray([1, 2]), 3)
    array([ 8, 16])
    """


@binary(ZERO, ZERO, kinds=("int", "uint"))
def bitwise_right_shift(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Shift bits right elementwise, keeping the sign.

    Examples
    --------
    >>> F.bitwise_right_shift(np.asarray([8, -16]), 3)
    array([ 1, -2])
    """
