"""The error function and its relatives, and the normal distribution."""

# The rows' functions are empty: the decorator replaces them, keeping signature and docstring.
# mypy: disable-error-code="empty-body, has-type"

import math
from typing import Any, Final

from volta.core.types import Array, ArrayLike, as_dtype
from volta.functional.declare import REAL_FLOATING, unary
from volta.functional.elementwise import exp, where
from volta.functional.special.kernels import Native, polynomial, portable

__all__ = [
    "erf",
    "erfc",
    "erfcinv",
    "erfcx",
    "erfinv",
    "log_ndtr",
    "ndtr",
    "ndtri",
    "ndtri_exp",
]

_TWO_OVER_ROOT_PI: Final = 2 / math.sqrt(math.pi)
_ROOT_HALF: Final = math.sqrt(0.5)
_ROOT_TWO_PI: Final = math.sqrt(2 * math.pi)

# Portable kernels -----------------------------------------------------------------------------

# erf(x)/x in powers of x², its Taylor series (Abramowitz and Stegun, 7.1.5)
_SERIES: Final = [
    _TWO_OVER_ROOT_PI * (-1) ** k / (math.factorial(k) * (2 * k + 1)) for k in range(20)
]


def _near_zero(x: Any) -> Any:
    """``erf(x)`` for |x| up to 1."""
    return x * polynomial(_SERIES, x * x)


def _exp_of_square(xp: Any, x: Any, factor: float) -> Any:
    """``exp(factor · x²)`` where the rounding of x² would be seen in the result.

    x² is the square of x in few bits, which is exact, and a rest: W. J. Cody, "Rational Chebyshev
    approximations for the error function", Math. Comp. 23 (1969).
    """
    x = xp.abs(x)
    x = xp.where(x > 60, 60.0, x)  # the result is 0 or infinite from here on
    short = xp.round(x * 16) / 16
    return xp.exp(factor * short * short) * xp.exp(factor * (x - short) * (x + short))


_STEP: Final = 0.5
_MIDPOINTS: Final = [(k + 0.5) * _STEP for k in range(13)]


def _scaled(xp: Any, x: Any) -> Any:
    """``erfcx(x)`` for x ≥ −1/2.

    From 1/2 on ``(2x/π) ∫₀^∞ e^{−t²}/(t² + x²) dt`` by the midpoint rule, whose error at this step
    is the residue of the pole and 10⁻¹⁷: F. Matta and A. Reichel, "Uniform computation of the
    error function and other related functions", Math. Comp. 25 (1971).
    """
    far = xp.where(x < 0.5, 0.5, x)
    total = sum(math.exp(-t * t) / (far + t * t / far) for t in reversed(_MIDPOINTS))
    pole = far * far - (2 * math.pi / _STEP) * far
    residue = 2 * xp.exp(xp.where(far > 6, -math.inf, pole))  # less e^{2πx/h} than 1 + that
    residue = residue / (1 + xp.exp(-(2 * math.pi / _STEP) * far))
    near = xp.where(x < 0.5, x, 0.5)
    return xp.where(
        x < 0.5,
        xp.exp(near * near) * (1 - _near_zero(near)),
        (2 * _STEP / math.pi) * total + residue,
    )


def _erf(xp: Any, x: Any) -> Any:
    size = xp.abs(x)
    tail = 1 - _exp_of_square(xp, size, -1.0) * _scaled(xp, size)
    return xp.where(size < 1, _near_zero(x), xp.where(x < 0, -tail, tail))


def _erfc(xp: Any, x: Any) -> Any:
    size = xp.abs(x)
    tail = _exp_of_square(xp, size, -1.0) * _scaled(xp, size)
    return xp.where(size < 0.5, 1 - _near_zero(x), xp.where(x < 0, 2 - tail, tail))


def _erfcx(xp: Any, x: Any) -> Any:
    size = xp.abs(x)
    scaled = _scaled(xp, size)
    reflected = 2 * _exp_of_square(xp, size, 1.0) - scaled
    return xp.where(x < 0, reflected, scaled)


def _ndtr(xp: Any, x: Any) -> Any:
    size = xp.abs(x)
    tail = _exp_of_square(xp, size, -0.5) * _scaled(xp, size * _ROOT_HALF) / 2
    middle = 0.5 + 0.5 * _near_zero(x * _ROOT_HALF)
    return xp.where(size < 0.5, middle, xp.where(x < 0, tail, 1 - tail))


def _log_ndtr(xp: Any, x: Any) -> Any:
    left = xp.where(x < -1, x, -1.0)
    right = xp.where(x < -1, -1.0, x)
    far = xp.log(_scaled(xp, -left * _ROOT_HALF) / 2) - left * left / 2
    return xp.where(x < -1, far, xp.log1p(-_ndtr(xp, -right)))


def _first_guess(xp: Any, log: Any) -> Any:
    """``erfinv(x)`` to 0.2 % from ``log(1 − x²)``: S. Winitzki, "A handy approximation" (2008)."""
    shape = 0.147
    half = 2 / (math.pi * shape) + log / 2
    root = xp.sqrt(half * half - log / shape)
    # the difference of root and half, without cancellation where log is small
    return xp.sqrt(xp.where(half > 0, -log / shape / (root + xp.abs(half)), root - half))


def _inverse(xp: Any, x: Any, q: Any) -> Any:
    """The z of ``erf(z) = x``, ``erfc(z) = q`` for 0 ≤ q ≤ 1, from the more exact of x and q.

    Halley's method, whose error is the cube of the last one; in the tail on the logarithm.
    """
    near = xp.where(x < 0.5, x, 0.5)
    z = _first_guess(xp, xp.log1p(-near * near))
    for _ in range(2):
        step = (_near_zero(z) - near) / (_TWO_OVER_ROOT_PI * xp.exp(-z * z))
        z = z - step / (1 + z * step)
    tail = xp.where(x < 0.5, 0.5, q)
    far = _inverse_of_log(xp, xp.log(tail), tail)
    out = xp.where(x < 0.5, z, xp.where(tail == 0, math.inf, far))
    return xp.where(q < 0, math.nan, out)


def _inverse_of_log(xp: Any, wanted: Any, tail: Any) -> Any:
    """The z of ``log erfc(z) = wanted``, of that and ``exp(wanted)``, at most ½."""
    huge = wanted < -1e10  # whose square might overflow
    far = _first_guess(xp, xp.where(huge, -1.0, wanted) + xp.log(2 - tail))
    far = xp.where(huge, xp.sqrt(-wanted), far)
    for _ in range(3):
        scaled = _scaled(xp, far)
        slope = -_TWO_OVER_ROOT_PI / scaled
        step = (xp.log(scaled) - far * far - wanted) / slope
        far = far - step / (1 - step * (-slope - 2 * far) / 2)
    return far


def _erfinv(xp: Any, x: Any) -> Any:
    size = xp.abs(x)
    out = _inverse(xp, size, 1 - size)
    return xp.where(x < 0, -out, xp.where(x == 0, x, out))


def _erfcinv(xp: Any, q: Any) -> Any:
    small = xp.where(q > 1, 2 - q, q)
    out = _inverse(xp, 1 - small, small)
    return xp.where(q > 1, -out, out)


def normal_quantile(xp: Any, p: Any) -> Any:
    return -math.sqrt(2) * _erfcinv(xp, 2 * p)


def _ndtri_exp(xp: Any, y: Any) -> Any:
    small = y < -1.5
    far = xp.where(small, y, -1.5) + math.log(2)
    near = xp.where(small, -1.0, y)
    # next to 0 the upper tail −expm1(y) says more than the lower
    upper = near > -0.5
    middle = normal_quantile(xp, xp.where(upper, -xp.expm1(near), xp.exp(near)))
    out = -math.sqrt(2) * _inverse_of_log(xp, far, xp.exp(far))
    out = xp.where(small, out, xp.where(upper, -middle, middle))
    return xp.where(xp.isinf(y) & (y < 0), y, out)


# Functions ------------------------------------------------------------------------------------


@unary(
    lambda _out, x: _TWO_OVER_ROOT_PI * exp(-x * x),
    kinds=REAL_FLOATING,
    value=portable(_erf),
    kernels=Native("erf"),
)
def erf(x: ArrayLike, /) -> Array:
    """Error function elementwise, ``(2/√π) ∫₀ˣ e^{−t²} dt``.

    Examples
    --------
    >>> F.special.erf(np.asarray([0.0, 1.0]))
    array([0.        , 0.84270079])
    """


@unary(
    lambda _out, x: -_TWO_OVER_ROOT_PI * exp(-x * x),
    kinds=REAL_FLOATING,
    value=portable(_erfc),
    kernels=Native("erfc"),
)
def erfc(x: ArrayLike, /) -> Array:
    """Complement of the error function elementwise, ``1 − erf(x)``, exact in the tail.

    Examples
    --------
    >>> F.special.erfc(np.asarray([0.0, 10.0]))
    array([1.00000000e+00, 2.08848758e-45])
    """


# from where on eight terms of the asymptotic series are more exact than a difference: 12, or by
# bytes of fewer bits
_FAR: Final = {2: 3.0, 4: 5.0}


def _scaled_slope(out: Any, x: Any) -> Any:
    """``2x erfcx(x) − 2/√π``, by its asymptotic series where the two terms cancel.

    That is 7.1.23 of Abramowitz and Stegun, whose coefficients 1, 1·3, 1·3·5, … are too large for
    16 bits; their quotients are not.
    """
    least = _FAR.get(as_dtype(x.dtype).itemsize, 12.0)
    far = where(x > least, x, least)
    square = 1 / (far * far)
    series = 1
    for odd in range(17, 1, -2):
        series = 1 - odd * square / 2 * series
    tail = -square / math.sqrt(math.pi) * series
    return where(x > least, tail, 2 * x * out - _TWO_OVER_ROOT_PI)


@unary(
    _scaled_slope,
    kinds=REAL_FLOATING,
    value=portable(_erfcx),
    kernels=Native("erfcx"),
)
def erfcx(x: ArrayLike, /) -> Array:
    """Scaled complement of the error function elementwise, ``e^{x²} erfc(x)``.

    Examples
    --------
    >>> F.special.erfcx(np.asarray([0.0, 100.0]))
    array([1.        , 0.00564161])
    """


@unary(
    lambda out: exp(out * out) / _TWO_OVER_ROOT_PI,
    kinds=REAL_FLOATING,
    value=portable(_erfinv),
    kernels=Native("erfinv"),
)
def erfinv(x: ArrayLike, /) -> Array:
    """Inverse of the error function elementwise; NaN outside of [−1, 1].

    Examples
    --------
    >>> F.special.erfinv(np.asarray([0.0, 0.5, 1.0]))
    array([0.        , 0.47693628,        inf])
    """


@unary(
    lambda out: -exp(out * out) / _TWO_OVER_ROOT_PI,
    kinds=REAL_FLOATING,
    value=portable(_erfcinv),
    kernels=Native("erfcinv"),
)
def erfcinv(x: ArrayLike, /) -> Array:
    """Inverse of the complement of the error function elementwise; NaN outside of [0, 2].

    Examples
    --------
    >>> F.special.erfcinv(np.asarray([0.0, 1e-20]))
    array([       inf, 6.60158062])
    """


@unary(
    lambda _out, x: exp(-x * x / 2) / _ROOT_TWO_PI,
    kinds=REAL_FLOATING,
    value=portable(_ndtr),
    kernels=Native("ndtr"),
)
def ndtr(x: ArrayLike, /) -> Array:
    """Distribution function of the standard normal distribution elementwise.

    Examples
    --------
    >>> F.special.ndtr(np.asarray([-10.0, 0.0, 1.0]))
    array([7.61985302e-24, 5.00000000e-01, 8.41344746e-01])
    """


@unary(
    lambda out: _ROOT_TWO_PI * exp(out * out / 2),
    kinds=REAL_FLOATING,
    value=portable(normal_quantile),
    kernels=Native("ndtri"),
)
def ndtri(x: ArrayLike, /) -> Array:
    """Quantiles of the standard normal distribution elementwise, the inverse of `ndtr`.

    Examples
    --------
    >>> F.special.ndtri(np.asarray([0.0, 0.025, 0.5]))
    array([       -inf, -1.95996398,  0.        ])
    """


@unary(
    lambda _out, x: math.sqrt(2 / math.pi) / erfcx(-x * _ROOT_HALF),
    kinds=REAL_FLOATING,
    value=portable(_log_ndtr),
    kernels=Native("log_ndtr"),
)
def log_ndtr(x: ArrayLike, /) -> Array:
    """Logarithm of `ndtr` elementwise, without underflow.

    Examples
    --------
    >>> F.special.log_ndtr(np.asarray([-100.0, 0.0]))
    array([-5.00552421e+03, -6.93147181e-01])
    """


@unary(
    lambda out: math.sqrt(math.pi / 2) * erfcx(-out * _ROOT_HALF),
    kinds=REAL_FLOATING,
    value=portable(_ndtri_exp),
    kernels=Native("ndtri_exp"),
)
def ndtri_exp(y: ArrayLike, /) -> Array:
    """Inverse of `log_ndtr` elementwise: quantiles of the normal distribution from logarithms.

    Examples
    --------
    >>> F.special.ndtri_exp(np.asarray([-1e4, -1.0, 0.0]))
    array([-141.37983987,   -0.33747496,           inf])
    """
