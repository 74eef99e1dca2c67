"""Smooth activation functions.

`exponential_unit` has those that are exponential on the left, `rectifier` those that are made of
straight lines, `gating` those along an axis, and `curve` the way in which smooth ones are declared.
"""

import math
import sys
from typing import Any, Final

import numpy as np

from volta.core.trace import located, ops
from volta.core.types import Array, ArrayLike, as_dtype
from volta.functional.curve import curve, kernels_of, rectifier, steps
from volta.functional.declare import REAL_FLOATING, composite, elementwise, unary
from volta.functional.elementwise import abs as _abs
from volta.functional.elementwise import (
    divide,
    exp,
    greater,
    multiply,
    negative,
    square,
    tanh,
    where,
)

# The rows' functions are empty: the decorator replaces them, keeping signature and docstring.
# Their rules name operations declared further down.
# mypy: disable-error-code="empty-body, has-type"

__all__ = [
    "gelu",
    "logsigmoid",
    "mish",
    "sigmoid",
    "silu",
    "softplus",
    "softsign",
    "squareplus",
    "tanhshrink",
]


def _torch(name: str, **options: Any) -> Any:
    """PyTorch's function of a name, whose value of −∞ is NaN; torch is there when it is called."""

    def call(x: Any) -> Any:
        function = getattr(sys.modules["torch"].nn.functional, name)
        return function(_clamped(x, None), **options)

    return call


def _torch_slope(name: str, **options: Any) -> Any:
    """PyTorch's derivative of a function, whose value of ±∞ is NaN."""

    def call(x: Any) -> Any:
        torch = sys.modules["torch"]
        backward = getattr(torch.ops.aten, f"{name}_backward")
        return backward(torch.ones_like(x), _clamped(x, 1e4), **options)

    return call


def _clamped(x: Any, high: float | None) -> Any:
    if not x.is_floating_point():
        raise TypeError(x.dtype)  # torch would convert it; the type rule tells
    return x.clamp(-1e4, high)


# The logistic function and its kin ----------------------------------------------------------------


def _logistic(xp: Any, x: Any) -> Any:
    return 1 / (1 + xp.exp(-x))  # an exponential that overflows makes a zero


_OF_FLOATS: Final = kernels_of(_logistic)


def _of_complex(xp: Any, x: Any) -> Any:
    """Logistic function whose exponential is of a number with no positive real part."""
    right = xp.real(x) >= 0
    e = xp.exp(xp.where(right, -x, x))
    return xp.where(right, 1 / (1 + e), e / (1 + e))


def _sigmoid_value(xp: Any, x: Any) -> Any:
    kind = as_dtype(x.dtype).kind
    if kind == "complex":
        return _of_complex(xp, x)
    return _OF_FLOATS["value"](xp, x) if kind == "float" else _logistic(xp, x)


def _numpy_sigmoid(x: Any) -> Any:
    return _sigmoid_value(np, x) if x.dtype.kind in "biuc" else _OF_FLOATS["kernels"]["numpy"](x)


@unary(
    lambda out: out * (1 - out),
    kinds=REAL_FLOATING,
    value=_sigmoid_value,
    kernels={"numpy": _numpy_sigmoid, "torch": lambda x: x.sigmoid()},
)
def sigmoid(x: ArrayLike, /) -> Array:
    """Logistic function elementwise, ``1 / (1 + e⁻ˣ)``.

    Examples
    --------
    >>> F.sigmoid(np.asarray([0.0, 1000.0]))
    array([0.5, 1. ])
    """


def _far_side(z: Any) -> Any:
    """``sigmoid(−z)``, the share of the smaller side."""
    return sigmoid(negative(z))


def _silu_slope(xp: Any, z: Any) -> Any:
    s = 1 / (1 + xp.exp(z))
    return s - z * (s * (1 - s))


def _silu_curvature(z: Any) -> Any:
    s = _far_side(z)
    return s * (1 - s) * (2 - z * (1 - 2 * s))


_silu = rectifier(
    "silu",
    lambda xp, z: -z / (1 + xp.exp(z)),
    _silu_slope,
    _silu_curvature,
    bound=800.0,
    torch=_torch("silu"),
    torch_slope=_torch_slope("silu"),
)


@composite
def silu(x: Array, /) -> Any:
    """Sigmoid linear unit elementwise, ``x · sigmoid(x)``, also called swish.

    Parameters
    ----------
    x : array, shape (...)
        Of real floating dtype.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    DTypeError
        If the dtype is not real floating.

    References
    ----------
    S. Elfwing et al., "Sigmoid-weighted linear units for neural network function approximation in
    reinforcement learning", Neural Networks 107 (2018), https://arxiv.org/abs/1702.03118.

    Examples
    --------
    >>> F.silu(np.asarray([0.0, 1.0]))
    array([0.        , 0.73105858])
    """
    return _silu(x)


_softplus = curve(
    "softplus",
    lambda xp, x: xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x))),
    lambda x: sigmoid(x),
)
_logsigmoid = curve(
    "logsigmoid",
    lambda xp, x: xp.minimum(x, 0) - xp.log1p(xp.exp(-xp.abs(x))),
    _far_side,
    torch=lambda x: sys.modules["torch"].nn.functional.logsigmoid(x),
)


@composite
def softplus(x: Array, /, beta: float = 1.0, threshold: float | None = None) -> Any:
    """Smooth rectifier elementwise, ``log(1 + e^(beta · x)) / beta``, without overflow.

    Parameters
    ----------
    x : array, shape (...)
        Of real floating dtype.
    beta : float
        Sharpness: the larger, the nearer to `relu`.
    threshold : float, optional
        Where ``beta · x`` is larger the result is `x`, and its derivative 1.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    DTypeError
        If the dtype is not real floating.

    Notes
    -----
    PyTorch has a threshold of 20 lest the exponential overflow, and an error of 2e-9 there. Nothing
    overflows here, so that the function is exact without a threshold.

    References
    ----------
    C. Dugas et al., "Incorporating second-order functional knowledge for better option pricing",
    NeurIPS 2000, equation 2.

    Examples
    --------
    >>> F.softplus(np.asarray([0.0, 1000.0]))
    array([6.93147181e-01, 1.00000000e+03])
    """
    scaled = x if beta == 1 else multiply(x, beta)
    out = _softplus(scaled)
    if beta != 1:
        out = divide(out, beta)
    return out if threshold is None else where(greater(scaled, threshold), x, out)


@composite
def logsigmoid(x: Array, /) -> Any:
    """Logarithm of `sigmoid` elementwise, ``−log(1 + e⁻ˣ)``, without overflow.

    Parameters
    ----------
    x : array, shape (...)
        Of real floating dtype.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    DTypeError
        If the dtype is not real floating.

    Examples
    --------
    >>> F.logsigmoid(np.asarray([0.0, -1000.0]))
    array([-6.93147181e-01, -1.00000000e+03])
    """
    return _logsigmoid(x)


# Gaussian and other smooth units ------------------------------------------------------------------

# (4 + z) e^(z²/2) Φ(−z) in powers of (4 − z) / (4 + z): our own interpolation at Chebyshev nodes,
# to 4e-8 and 4e-16 of the value for every z ≥ 0. SciPy's ndtr takes 25 ns a number, this 5 and 15.
_TAIL_32: Final = (
    *(0.7552851304157515, 0.6078963965890951, 0.38713739914843553, 0.1865268059640718),
    *(0.06039660482805051, 0.007511891967866631, -0.0034798308762463035),
    *(-0.0015633370838796976, 0.00013351024226958792, 0.00015712155479440372),
    -1.673315370524502e-06,
)
_TAIL_64: Final = (
    *(0.7552851304157515, 0.6078966419718931, 0.3871374007422165, 0.18652185795956577),
    *(0.06039657489076385, 0.007540188969173756, -0.0034796923629270803),
    *(-0.0016308184883002484, 0.00013334425932489988, 0.00023109515339604937),
    *(-1.907910117734093e-06, -3.514565428845231e-05, 7.152835337552911e-07),
    *(5.9230022756857254e-06, -6.262295162470073e-07, -1.027127446293967e-06),
    *(2.6626564335823457e-07, 1.6234795697707545e-07, -7.9927551968398e-08),
    *(-1.9622489689966657e-08, 1.6550330486749374e-08, 1.2875469754649796e-09),
    -1.7767350662267492e-09,
)
_ROOT_TWO_PI: Final = math.sqrt(2 * math.pi)


def _normal_tail(xp: Any, z: Any) -> tuple[Any, Any]:
    """``Φ(−z)``, the normal distribution's upper tail, for z ≥ 0, and ``e^(−z²/2)``."""
    e = xp.exp(-0.5 * z * z)
    first, second, *others = reversed(_TAIL_32 if as_dtype(z.dtype).itemsize == 4 else _TAIL_64)
    place = 1 / (4 + z)
    t = (4 - z) * place
    total = t * first + second
    for c in others:
        total *= t
        total += c
    return e * total * place, e


def _gelu_slope(xp: Any, z: Any) -> Any:
    tail, e = _normal_tail(xp, z)
    return tail - z * e / _ROOT_TWO_PI


_gelu = rectifier(
    "gelu",
    lambda xp, z: -z * _normal_tail(xp, z)[0],
    _gelu_slope,
    lambda z: (2 - z * z) * exp(-0.5 * z * z) / _ROOT_TWO_PI,
    bound=40.0,
    torch=_torch("gelu"),
    torch_slope=_torch_slope("gelu"),
)

_CUBIC: Final = 0.044715
_RATE: Final = 2 * math.sqrt(2 / math.pi)


def _gelu_tanh_slope(xp: Any, z: Any) -> Any:
    s = 1 / (1 + xp.exp(_RATE * z * (1 + _CUBIC * z * z)))
    return s - z * (s * (1 - s)) * (_RATE * (1 + 3 * _CUBIC * z * z))


def _gelu_tanh_curvature(z: Any) -> Any:
    s = _far_side(_RATE * z * (1 + _CUBIC * z * z))
    rate = _RATE * (1 + 3 * _CUBIC * z * z)
    change = 6 * _RATE * _CUBIC * z
    return s * (1 - s) * (2 * rate + z * (change - (1 - 2 * s) * rate * rate))


_gelu_tanh = rectifier(
    "gelu_tanh",
    lambda xp, z: -z / (1 + xp.exp(_RATE * z * (1 + _CUBIC * z * z))),
    _gelu_tanh_slope,
    _gelu_tanh_curvature,
    bound=25.0,
    torch=_torch("gelu", approximate="tanh"),
    torch_slope=_torch_slope("gelu", approximate="tanh"),
)


@composite
def gelu(x: Array, /, approximate: str = "none") -> Any:
    """Gaussian error linear unit elementwise, ``x · Φ(x)``.

    Parameters
    ----------
    x : array, shape (...)
        Of real floating dtype.
    approximate : "none" or "tanh"
        With "tanh", ``x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))``.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    DTypeError
        If the dtype is not real floating.
    ValueError
        If `approximate` is neither of the two.

    Notes
    -----
    Φ is the distribution function of the standard normal distribution.

    References
    ----------
    D. Hendrycks and K. Gimpel, "Gaussian error linear units", 2016,
    https://arxiv.org/abs/1606.08415, section 2.

    Examples
    --------
    >>> F.gelu(np.asarray([-1.0, 0.0, 1.0]))
    array([-0.15865525,  0.        ,  0.84134475])
    """
    if approximate == "none":
        return _gelu(x)
    if approximate == "tanh":
        return _gelu_tanh(x)
    msg = f"gelu: approximate must be 'none' or 'tanh'; got {approximate!r}."
    raise located(ValueError(msg))


def _mish_parts(xp: Any, x: Any) -> tuple[Any, Any]:
    """``tanh(softplus(x))``, and `x` so far as it matters."""
    soft = xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))
    return xp.tanh(soft), xp.maximum(x, -1e4)


def _mish_value(xp: Any, x: Any) -> Any:
    t, x = _mish_parts(xp, x)
    return x * t


def _mish_slope_value(xp: Any, x: Any) -> Any:
    t, x = _mish_parts(xp, x)
    x = xp.minimum(x, 1e4)
    return t + x * (1 - t * t) / (1 + xp.exp(-x))


def _mish_curvature(x: Any) -> Any:
    x = ops.clip(x, -1e4, 1e4)
    t, s = tanh(_softplus(x)), sigmoid(x)
    return (1 - t * t) * s * (2 + x * (1 - s - 2 * t * s))


_mish_slope = curve("mish_slope", _mish_slope_value, _mish_curvature, torch=_torch_slope("mish"))
_mish = curve("mish", _mish_value, _mish_slope, torch=_torch("mish"))


@composite
def mish(x: Array, /) -> Any:
    """Self-regularized unit elementwise, ``x · tanh(softplus(x))``.

    Parameters
    ----------
    x : array, shape (...)
        Of real floating dtype.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    DTypeError
        If the dtype is not real floating.

    References
    ----------
    D. Misra, "Mish: a self regularized non-monotonic activation function", BMVC 2020,
    https://arxiv.org/abs/1908.08681.

    Examples
    --------
    >>> F.mish(np.asarray([0.0, 1.0]))
    array([0.        , 0.86509839])
    """
    return _mish(x)


# Algebraic units ----------------------------------------------------------------------------------


def _softsign_value(xp: Any, x: Any) -> Any:
    x = xp.clip(x, -1e30, 1e30)  # the infinities are ±1 too
    return x / (1 + xp.abs(x))


_softsign = curve("softsign", _softsign_value, lambda x: square(1 / (1 + _abs(x))))


@composite
def softsign(x: Array, /) -> Any:
    """Squash numbers into (−1, 1) elementwise, ``x / (1 + |x|)``.

    Parameters
    ----------
    x : array, shape (...)
        Of real floating dtype.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    DTypeError
        If the dtype is not real floating.

    Notes
    -----
    The derivative at 0 is 1.

    References
    ----------
    X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010, section 2.2.

    Examples
    --------
    >>> F.softsign(np.asarray([-1.0, 0.0, 3.0]))
    array([-0.5 ,  0.  ,  0.75])
    """
    return _softsign(x)


# (x cosh x − sinh x) / x³ in powers of x²
_SHRINK: Final = [2 * k / math.factorial(2 * k + 1) for k in range(1, 10)]


def _tanhshrink_value(xp: Any, x: Any) -> Any:
    """``x − tanh(x)``, which cancels near 0, and there ``(x cosh x − sinh x) / cosh x``."""
    near = xp.clip(x, -1.0, 1.0)
    y = near * near
    total = y * _SHRINK[-1] + _SHRINK[-2]
    for c in reversed(_SHRINK[:-2]):
        total *= y
        total += c
    return xp.where(xp.abs(x) < 1, near * y * total / xp.cosh(near), x - xp.tanh(x))


_tanhshrink = curve("tanhshrink", _tanhshrink_value, lambda x: square(tanh(x)))


@composite
def tanhshrink(x: Array, /) -> Any:
    """What `tanh` takes away elementwise, ``x − tanh(x)``.

    Parameters
    ----------
    x : array, shape (...)
        Of real floating dtype.

    Returns
    -------
    array, shape (...)
        With every digit next to 0, where the difference cancels.

    Raises
    ------
    DTypeError
        If the dtype is not real floating.

    Examples
    --------
    >>> F.tanhshrink(np.asarray([0.01, 2.0]))
    array([3.33320001e-07, 1.03597242e+00])
    """
    return _tanhshrink(x)


def _squareplus_value(xp: Any, x: Any, b: Any) -> Any:
    z = xp.abs(x)
    return xp.maximum(x, 0) + 0.5 * b / (z + xp.sqrt(z * z + b))


def _squareplus_slope_value(xp: Any, x: Any, b: Any) -> Any:
    right, z = steps(xp, x), xp.abs(x)
    h = xp.sqrt(z * z + b)
    return right + (1 - 2 * right) * (0.5 * b / ((z + h) * h))


@elementwise(
    lambda _out, x, b: _squareplus_slope(x, b),
    lambda _out, x, b: 0.25 / ops.hypot(x, b**0.5),
    kinds=REAL_FLOATING,
    **kernels_of(_squareplus_value),
)
def _squareplus(x: ArrayLike, b: ArrayLike, /) -> Array:
    """``(x + √(x² + b)) / 2``."""


def _cubed(x: Any, b: Any) -> Any:
    return ops.hypot(x, b**0.5) ** 3


@elementwise(
    lambda _out, x, b: 0.5 * b / _cubed(x, b),
    lambda _out, x, b: -0.25 * x / _cubed(x, b),
    kinds=REAL_FLOATING,
    **kernels_of(_squareplus_slope_value),
)
def _squareplus_slope(x: ArrayLike, b: ArrayLike, /) -> Array:
    """Derivative of `_squareplus` in its first operand."""


@composite
def squareplus(x: Array, /, b: float = 4.0) -> Any:
    """Smooth rectifier without exponentials elementwise, ``(x + √(x² + b)) / 2``.

    Parameters
    ----------
    x : array, shape (...)
        Of real floating dtype.
    b : float or array
        Positive; the larger, the smoother. Differentiable where it is an array.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    DTypeError
        If the dtype is not real floating.
    ValueError
        If `b` is a number that is not positive.

    References
    ----------
    J. T. Barron, "Squareplus: a softplus-like algebraic rectifier", 2021,
    https://arxiv.org/abs/2112.11687, equation 1.

    Examples
    --------
    >>> F.squareplus(np.asarray([-1.5, 0.0, 1.5]))
    array([0.5, 1. , 2. ])
    """
    if type(b) in (int, float) and not b > 0:
        msg = f"squareplus: b must be positive; got {b}."
        raise located(ValueError(msg))
    return _squareplus(x, b)
