"""The gamma function, its logarithm and the derivatives of that, the beta function."""

# The rows' functions are empty: the decorator replaces them, keeping signature and docstring.
# mypy: disable-error-code="empty-body, has-type"

import math
import operator
from fractions import Fraction
from typing import Any, Final

from volta.core.errors import ShapeError
from volta.core.trace import located, ops
from volta.core.types import Array, ArrayLike
from volta.functional.declare import REAL_FLOATING, binary, composite, unary
from volta.functional.elementwise import abs, add, exp, greater, less, log, subtract, where
from volta.functional.special.kernels import Native, polynomial, portable

__all__ = [
    "beta",
    "betaln",
    "digamma",
    "gamma",
    "gammaln",
    "multigammaln",
    "polygamma",
    "psi",
    "spence",
    "zeta",
]

# Portable kernels -----------------------------------------------------------------------------

_FAR: Final = 8.0  # from here on the asymptotic series have full accuracy


def _bernoulli(count: int) -> list[Fraction]:
    """Bernoulli numbers B₂, B₄, …, from their recurrence."""
    found = [Fraction(1)]
    for n in range(1, 2 * count + 1):
        total = sum((math.comb(n + 1, k) * b for k, b in enumerate(found)), start=Fraction(0))
        found.append(-total / (n + 1))
    return found[2::2]


BERNOULLI: Final = _bernoulli(12)
# log Γ(x) − (x − ½) log x + x − ½ log 2π, times x, in powers of x⁻²: Abramowitz and Stegun 6.1.41
_STIRLING: Final = [float(b / (2 * k * (2 * k - 1))) for k, b in enumerate(BERNOULLI[:10], 1)]
# log x − 1/(2x) − ψ(x), times x², in powers of x⁻²: 6.3.18
_DIGAMMA: Final = [float(b / (2 * k)) for k, b in enumerate(BERNOULLI[:10], 1)]

# ζ(k) − 1 from k = 2 on: 23.3
_ZETA: Final = (
    *(0.6449340668482264, 0.2020569031595943, 0.08232323371113819, 0.03692775514336993),
    *(0.01734306198444914, 0.008349277381922827, 0.00407735619794434, 0.0020083928260822143),
    *(0.0009945751278180853, 0.0004941886041194645, 0.0002460865533080483),
    *(0.00012271334757848915, 6.124813505870483e-05, 3.058823630702049e-05),
    *(1.528225940865187e-05, 7.637197637899763e-06, 3.81729326499984e-06),
    *(1.908212716553939e-06, 9.539620338727962e-07, 4.769329867878064e-07),
    *(2.38450502727733e-07, 1.1921992596531106e-07, 5.960818905125948e-08),
    *(2.980350351465228e-08, 1.4901554828365043e-08, 7.45071178983543e-09),
    *(3.725334024788457e-09, 1.862659723513049e-09),
)
# log Γ(2 + t) / t in powers of t: 6.1.33
_ABOUT_TWO: Final = [
    0.42278433509846714,
    *((-1) ** k * z / k for k, z in enumerate(_ZETA, 2)),
]


def _about_two(y: Any, xp: Any) -> tuple[Any, Any, Any]:
    """``log Γ(2 + t)`` for the t with |t| ≤ ½ that is whole steps from `y`, 0 < y < 8.

    Also the factor and the divisor that lead back: ``Γ(y) = Γ(2 + t) · factor / divisor``.
    """
    z, factor, divisor = y, y * 0 + 1, y * 0 + 1
    for _ in range(6):
        above = z > 2.5
        z = xp.where(above, z - 1, z)
        factor = xp.where(above, factor * z, factor)
    for _ in range(2):
        below = z < 1.5
        divisor = xp.where(below, divisor * z, divisor)
        z = xp.where(below, z + 1, z)
    # of y, not of z, where the sum has rounded what is left of the difference
    t = xp.where(y < 0.5, y, xp.where(y < 1.5, y - 1, z - 2))
    return t * polynomial(_ABOUT_TWO, t), factor, divisor


def stirling(y: Any) -> Any:
    """What the logarithm of Stirling's formula lacks, for y ≥ 8."""
    return polynomial(_STIRLING, 1 / (y * y)) / y


def sine_of_pi(xp: Any, x: Any) -> Any:
    """``sin(πx)``, zero at integers."""
    whole = xp.round(x)
    sine = xp.sin(math.pi * (x - whole))
    return xp.where(xp.remainder(whole, xp.ones_like(x) * 2) == 0, sine, -sine)


def log_gamma(xp: Any, x: Any) -> Any:
    """``log |Γ(x)|``."""
    y = xp.where(x < 0, 1 - x, x)
    near, factor, divisor = _about_two(xp.where(y < _FAR, y, 2.0), xp)
    far = xp.where(y < _FAR, _FAR, y)
    large = (far - 0.5) * (xp.log(far) - 1) + (0.5 * math.log(2 * math.pi) - 0.5) + stirling(far)
    out = xp.where(y < _FAR, near + xp.log(xp.abs(factor / divisor)), large)
    reflected = xp.log(math.pi / xp.abs(sine_of_pi(xp, x))) - out
    return xp.where(xp.isinf(x), math.inf, xp.where(x < 0, reflected, out))


def gamma_function(xp: Any, x: Any) -> Any:
    """``Γ(x)``; by Stirling's formula with the power in two, since x^x overflows first."""
    y = xp.where(x < 0, 1 - x, x)
    near, factor, divisor = _about_two(xp.where(y < _FAR, y, 2.0), xp)
    far = xp.where(y < _FAR, _FAR, y)
    power = xp.pow(far, far / 2 - 0.25)
    large = power * xp.exp(-far) * power * (math.sqrt(2 * math.pi) * xp.exp(stirling(far)))
    out = xp.where(y < _FAR, xp.exp(near) * factor / divisor, large)
    out = xp.where(y > 200, math.inf, out)
    out = xp.where(x == 0, 1 / x, out)
    pole = (x < 0) & (x == xp.round(x))
    reflected = xp.where(pole, math.nan, math.pi / (sine_of_pi(xp, x) * out))
    return xp.where(x < 0, reflected, out)


def digamma_function(xp: Any, x: Any) -> Any:
    y = xp.where(x < 0, 1 - x, x)
    small = xp.zeros_like(y)
    for _ in range(8):
        below = y < _FAR
        small = small + xp.where(below, 1 / xp.where(below, y, 1.0), 0.0)
        y = xp.where(below, y + 1, y)
    square = 1 / (y * y)
    out = xp.log(y) - 0.5 / y - square * polynomial(_DIGAMMA, square) - small
    tangent = xp.tan(math.pi * (x - xp.round(x)))
    reflected = xp.where(tangent == 0, math.nan, out - math.pi / tangent)
    return xp.where(x < 0, reflected, xp.where(x == 0, -1 / x, out))


_SHIFT: Final = 10


def zeta_function(xp: Any, s: Any, q: Any) -> Any:
    """Sum of the first terms and the Euler-Maclaurin formula for the others: 23.2.9 for q = 1."""
    start = xp.where(q > 0, q, 1.0)
    rest = start + _SHIFT
    total = xp.zeros_like(rest)
    for k in reversed(range(_SHIFT)):
        total = total + (start + k) ** -s
    power = rest**-s
    factor, correction = s / rest, xp.zeros_like(power)
    for k, b in enumerate(BERNOULLI, 1):
        term = float(b / math.factorial(2 * k)) * factor
        correction = correction + term
        factor = factor * ((s + (2 * k - 1)) / rest) * ((s + 2 * k) / rest)
    correction = xp.where(power == 0, 0.0, power * correction)
    out = rest ** (1 - s) / (s - 1) + power / 2 + correction + total
    out = xp.where(q > 0, out, math.nan)
    out = xp.where((q <= 0) & (q == xp.round(q)), math.inf, out)
    out = xp.where(xp.isinf(s) & (s > 0) & (q > 1), 0.0, out)
    return xp.where(s > 1, out, xp.where(s == 1, math.inf, out * math.nan))


# of the dilogarithm of 1 − e⁻ᵘ, over u³, in powers of u²
_DILOGARITHM: Final = [float(b / math.factorial(2 * k + 1)) for k, b in enumerate(BERNOULLI, 1)]


def _spence(xp: Any, x: Any) -> Any:
    """From ½ to 2 by its series in log x; elsewhere by the reflections of 1/x and 1 − x there."""
    above = x > 2
    outer = xp.where(above, x, 2.0)
    y = xp.where(above, 1 / outer, xp.where(x > 0, x, 1.0))
    low = (y < 0.5) & (y > 0)
    inner = xp.where(low, y, 0.25)
    u = -xp.log(xp.where(low, 1 - inner, xp.where(y > 0, y, 1.0)))
    square = u * u
    series = u - square / 4 + u * square * polynomial(_DILOGARITHM, square)
    reflected = math.pi**2 / 6 - xp.log(inner) * xp.log1p(-inner) - series
    out = xp.where(low, reflected, series)
    out = xp.where(above, -out - xp.log(outer) ** 2 / 2, out)
    out = xp.where(xp.isinf(x), -x, out)
    return xp.where(x > 0, out, xp.where(x == 0, math.pi**2 / 6, math.nan + xp.zeros_like(x)))


def log_beta(xp: Any, a: Any, b: Any) -> Any:
    """``log |B(a, b)|``; for large operands from differences of Stirling's formula."""
    large, small = xp.where(a > b, a, b), xp.where(a > b, b, a)
    plain = log_gamma(xp, small) + (log_gamma(xp, large) - log_gamma(xp, small + large))
    high = xp.where(large < _FAR, _FAR, large)
    low = xp.where(small < 0, 1.0, small)
    both = low + high
    correction = stirling(high) - stirling(both)
    one = log_gamma(xp, low) - (both - 0.5) * xp.log1p(low / high) - low * (xp.log(high) - 1)
    low = xp.where(small < _FAR, _FAR, small)
    both = low + high
    two = (
        0.5 * math.log(2 * math.pi)
        - 0.5 * xp.log(low)
        - (high - 0.5) * xp.log1p(low / high)
        + low * xp.log(low / both)
        + (stirling(low) + (stirling(high) - stirling(both)))
    )
    out = xp.where(small < _FAR, one + correction, two)
    return xp.where((large < _FAR) | (small < 0), plain, out)


def _beta(xp: Any, a: Any, b: Any) -> Any:
    plain = gamma_function(xp, a) / gamma_function(xp, a + b) * gamma_function(xp, b)
    return xp.where((a + b < 20) | (a < 0) | (b < 0), plain, xp.exp(log_beta(xp, a, b)))


# Functions ------------------------------------------------------------------------------------


@unary(
    lambda out, x: out * digamma(x),
    kinds=REAL_FLOATING,
    value=portable(gamma_function),
    kernels=Native("gamma"),
)
def gamma(x: ArrayLike, /) -> Array:
    """Gamma function elementwise, ``∫₀^∞ t^{x−1} e^{−t} dt``; NaN at negative integers.

    Examples
    --------
    >>> F.special.gamma(np.asarray([0.5, 5.0]))
    array([ 1.77245385, 24.        ])
    """


@unary(
    lambda _out, x: digamma(x),
    kinds=REAL_FLOATING,
    value=portable(log_gamma),
    kernels=Native("gammaln"),
)
def gammaln(x: ArrayLike, /) -> Array:
    """Logarithm of the absolute value of `gamma` elementwise, without overflow.

    Examples
    --------
    >>> F.special.gammaln(np.asarray([1.0, 1000.0]))
    array([   0.        , 5905.22042321])
    """


@unary(
    lambda _out, x: polygamma(1, x),
    kinds=REAL_FLOATING,
    value=portable(digamma_function),
    kernels=Native("digamma"),
)
def digamma(x: ArrayLike, /) -> Array:
    """Derivative of `gammaln` elementwise, ``Γ′(x) / Γ(x)``.

    Examples
    --------
    >>> F.special.digamma(np.asarray([1.0, 2.0]))
    array([-0.57721566,  0.42278434])
    """


psi = digamma


def _spence_slope(_out: Any, x: Any) -> Any:
    """``log x / (1 − x)``, by its series next to 1."""
    near = less(abs(x - 1), 0.1)
    small, far = where(near, x - 1, 0), where(near, 2, x)
    series = polynomial([-((-1) ** k) / (k + 1) for k in range(18)], small)
    return where(near, series, log(far) / (1 - far))


@unary(
    _spence_slope,
    kinds=REAL_FLOATING,
    value=portable(_spence),
    kernels=Native("spence", jax=None),
)
def spence(x: ArrayLike, /) -> Array:
    """Spence's function elementwise, ``∫₁ˣ log t / (1 − t) dt``: the dilogarithm of 1 − x.

    Examples
    --------
    >>> F.special.spence(np.asarray([0.0, 1.0, 2.0]))
    array([ 1.64493407,  0.        , -0.82246703])
    """


def _zeta_slope(_out: Any, x: Any, q: Any) -> Any:
    """Derivative in the exponent: that of the sum and of each term of `zeta_function`."""
    rest = q + _SHIFT
    total = sum(-log(q + k) * exp(-x * log(q + k)) for k in reversed(range(_SHIFT)))
    along = -log(rest)
    inverse = 1 / (x - 1)
    inside = rest * inverse + 0.5
    slope = along * inside - rest * inverse * inverse
    factor, growth = x / rest, 1 / rest  # a product of factors, and its derivative
    for k, b in enumerate(BERNOULLI, 1):
        c = float(b / math.factorial(2 * k))
        slope = slope + c * (growth + along * factor)
        for j in (2 * k - 1, 2 * k):
            growth = (growth * (x + j) + factor) / rest
            factor = factor * (x + j) / rest
    return total + exp(x * along) * slope


@binary(
    _zeta_slope,
    lambda _out, x, q: -x * zeta(x + 1, q),
    kinds=REAL_FLOATING,
    value=portable(zeta_function),
    kernels=Native("zeta"),
    arrays=True,
)
def _hurwitz(x: ArrayLike, q: ArrayLike, /) -> Array:
    """Hurwitz zeta function elementwise."""


@composite
def zeta(x: ArrayLike, q: ArrayLike = 1.0, /) -> Any:
    """Hurwitz zeta function elementwise, ``Σ_{k ≥ 0} (q + k)^{−x}``; Riemann's for q = 1.

    Parameters
    ----------
    x, q : array, shape broadcastable together
        Of real floating dtype; x > 1 and q > 0.

    Returns
    -------
    array, shape of the broadcast

    Examples
    --------
    >>> F.special.zeta(np.asarray([2.0, 4.0]))
    array([1.64493407, 1.08232323])
    """
    return _hurwitz(x, q)


def _cotangent_derivative(n: int) -> list[float]:
    """Coefficients of the n-th derivative of cot, a polynomial in cot."""
    p = [0.0, 1.0]
    for _ in range(n):
        slope = [k * c for k, c in enumerate(p)][1:]
        p = [0.0] * (len(slope) + 2)
        for k, c in enumerate(slope):
            p[k] -= c
            p[k + 2] -= c
    return p


@composite
def polygamma(n: int, x: Any, /) -> Any:
    """Derivative of order `n` of `digamma`, elementwise.

    Parameters
    ----------
    n : int
        0 or more.
    x : array, shape (...)
        Of real floating dtype.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    ShapeError
        If `n` is negative or not a whole number.

    Notes
    -----
    ``(−1)^{n+1} n! ζ(n + 1, x)``, for negative x by reflection.

    Examples
    --------
    >>> F.special.polygamma(1, np.asarray([1.0, 2.0]))
    array([1.64493407, 0.64493407])
    """
    order = _order(n)
    if order == 0:
        return digamma(x)
    right = greater(x, 0)
    positive = where(right, x, subtract(1, x))
    sign = (-1.0) ** (order + 1)
    out = sign * math.factorial(order) * zeta(order + 1.0, positive)
    away = where(right, 0.25, x)
    angle = math.pi * (away - ops.round(away))
    cotangent = ops.cos(angle) / ops.sin(angle)
    periodic = polynomial(_cotangent_derivative(order), cotangent) * math.pi ** (order + 1)
    return where(right, out, -sign * out - periodic)


def _order(n: Any) -> int:
    try:
        order = operator.index(n)
    except TypeError:
        order = int(n) if float(n) == int(n) else -1
    if order < 0:
        msg = f"polygamma: n must be a whole number, 0 or more; got {n}."
        raise located(ShapeError(msg))
    return order


@binary(
    lambda _out, a, b: digamma(a) - digamma(a + b),
    lambda _out, a, b: digamma(b) - digamma(a + b),
    kinds=REAL_FLOATING,
    value=portable(log_beta),
    kernels=Native("betaln"),
    arrays=True,
)
def betaln(a: ArrayLike, b: ArrayLike, /) -> Array:
    """Logarithm of the absolute value of `beta` elementwise.

    Examples
    --------
    >>> F.special.betaln(np.asarray([2.0, 1000.0]), 3.0)
    array([ -2.48490665, -20.03311616])
    """


@binary(
    lambda out, a, b: out * (digamma(a) - digamma(a + b)),
    lambda out, a, b: out * (digamma(b) - digamma(a + b)),
    kinds=REAL_FLOATING,
    value=portable(_beta),
    kernels=Native("beta", jax=None),
    arrays=True,
)
def beta(a: ArrayLike, b: ArrayLike, /) -> Array:
    """Beta function elementwise, ``Γ(a) Γ(b) / Γ(a + b)``.

    Examples
    --------
    >>> F.special.beta(np.asarray([2.0, 0.5]), 0.5)
    array([1.33333333, 3.14159265])
    """


@composite
def multigammaln(a: Array, d: int, /) -> Any:
    """Logarithm of the multivariate gamma function elementwise.

    Parameters
    ----------
    a : array, shape (...)
        Of real floating dtype, more than ``(d − 1)/2``.
    d : int
        Dimension, 1 or more.

    Returns
    -------
    array, shape (...)

    Notes
    -----
    ``d(d − 1)/4 · log π + Σ_{j < d} gammaln(a − j/2)``.

    Examples
    --------
    >>> F.special.multigammaln(np.asarray([2.0, 3.0]), 2)
    array([0.45158271, 1.5501...])
    """
    total = gammaln(a)
    for j in range(1, int(d)):
        total = add(total, gammaln(subtract(a, j / 2)))
    return total + d * (d - 1) / 4 * math.log(math.pi)
