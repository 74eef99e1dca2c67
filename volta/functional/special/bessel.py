"""Bessel functions of orders 0 and 1, ordinary and modified, and the exponential integral.

Up to a limit a portable kernel is the mean of Bessel's integrand over equidistant angles, exact to
a Bessel function of the order that their number is (L. N. Trefethen and J. A. C. Weideman, "The
exponentially convergent trapezoidal rule", SIAM Review 56 (2014), section 4); beyond it Hankel's
asymptotic series (Abramowitz and Stegun 9.2.5 and 9.7.1).
"""

# The rows' functions are empty: the decorator replaces them, keeping signature and docstring.
# mypy: disable-error-code="empty-body, has-type"

import math
from typing import Any, Final

from volta.core.types import Array, ArrayLike
from volta.functional.declare import REAL_FLOATING, unary
from volta.functional.elementwise import abs, exp, less, sign, where
from volta.functional.special.kernels import Native, exponential_nodes, polynomial, portable

__all__ = ["exp1", "expi", "i0", "i0e", "i1", "i1e", "j0", "j1"]

# Portable kernels -----------------------------------------------------------------------------

_POINTS: Final = 64  # on the circle
_LIMIT: Final = 25.0


def _hankel(order: int, count: int) -> list[float]:
    """Coefficients of Hankel's series in powers of 1/x."""
    found = [1.0]
    for k in range(1, count):
        found.append(found[-1] * (4 * order * order - (2 * k - 1) ** 2) / (8 * k))
    return found


_SERIES: Final = [_hankel(order, 24) for order in (0, 1)]
_GROWING: Final = [[c * (-1) ** k for k, c in enumerate(series)] for series in _SERIES]


def _modified(xp: Any, x: Any, order: int) -> Any:
    """``e^{−|x|} I(x)``, odd for order 1."""
    size = xp.abs(x)
    near, far = xp.where(size < _LIMIT, size, 1.0), xp.where(size < _LIMIT, _LIMIT, size)
    total = xp.zeros_like(x)
    for k in reversed(range(_POINTS // 2 + 1)):
        angle = 2 * math.pi * k / _POINTS
        weight = (1 if k in (0, _POINTS // 2) else 2) / _POINTS * math.sin(angle) ** (2 * order)
        total = total + weight * xp.exp(near * (-2 * math.sin(angle / 2) ** 2))
    total = total * near if order else total
    tail = polynomial(_GROWING[order], 1 / far) / xp.sqrt(2 * math.pi * far)
    out = xp.where(size < _LIMIT, total, tail)
    return xp.where(x < 0, -out, out) if order else out


def _ordinary(xp: Any, x: Any, order: int) -> Any:
    size = xp.abs(x)
    near, far = xp.where(size < _LIMIT, size, 1.0), xp.where(size < _LIMIT, _LIMIT, size)
    total = xp.zeros_like(x)
    for k in range(_POINTS // 4 + 1):
        angle = 2 * math.pi * k / _POINTS
        weight = (1 if k in (0, _POINTS // 4) else 2) / (_POINTS // 2)
        cosine = math.cos(angle)
        wave = cosine * xp.sin(near * cosine) if order else xp.cos(near * cosine)
        total = total + weight * wave
    inverse = 1 / far
    square = -inverse * inverse
    even = polynomial(_SERIES[order][::2], square)
    odd = inverse * polynomial(_SERIES[order][1::2], square)
    cosine, sine = xp.cos(far), xp.sin(far)
    plus, minus = cosine + sine, sine - cosine
    wave = even * minus + odd * plus if order else even * plus - odd * minus
    tail = xp.where(xp.isinf(far), 0.0, wave / xp.sqrt(math.pi * far))
    out = xp.where(size < _LIMIT, total, tail)
    return xp.where(x == 0, x, xp.where(x < 0, -out, out)) if order else out


def _i0e(xp: Any, x: Any) -> Any:
    return _modified(xp, x, 0)


def _i1e(xp: Any, x: Any) -> Any:
    return _modified(xp, x, 1)


def _growth(xp: Any, x: Any, scaled: Any) -> Any:
    """``e^{|x|}`` times a scaled function, in two factors because the power overflows first."""
    half = xp.exp(xp.abs(x) / 2)
    return half * scaled * half


def _i0(xp: Any, x: Any) -> Any:
    return xp.where(xp.isinf(x), math.inf, _growth(xp, x, _modified(xp, x, 0)))


def _i1(xp: Any, x: Any) -> Any:
    return xp.where(xp.isinf(x), x, _growth(xp, x, _modified(xp, x, 1)))


def _j0(xp: Any, x: Any) -> Any:
    return _ordinary(xp, x, 0)


def _j1(xp: Any, x: Any) -> Any:
    return _ordinary(xp, x, 1)


def _exp1(xp: Any, x: Any) -> Any:
    """``e⁻ˣ ∫₀^∞ e⁻ᵘ / (x + u) du``, and below 1 the series 5.1.11 of Abramowitz and Stegun."""
    near, far = xp.where(x < 1, x, 1.0), xp.where(x < 1, 1.0, x)
    total = xp.zeros_like(x)
    for u, weight in exponential_nodes():
        total = total + weight * math.exp(-u) / (far + u)
    series = [(-1) ** k / ((k + 1) * math.factorial(k + 1)) for k in range(20)]
    small = near * polynomial(series, near) - xp.log(near) - 0.5772156649015329  # Euler's constant
    return xp.where(x < 1, small, xp.exp(-far) * total)


def _expi(xp: Any, x: Any) -> Any:
    """By 5.1.10 of Abramowitz and Stegun up to 40, then by the asymptotic series 5.1.51."""
    near, far = xp.where((x > 0) & (x < 40), x, 1.0), xp.where(x < 40, 40.0, x)
    series = xp.zeros_like(near)
    for k in reversed(range(1, 130)):  # of xᵏ⁻¹/(k · k!); a factorial would underflow in 32 bits
        series = 1 / k + series * near / (k + 1)
    small = near * series + xp.log(near) + 0.5772156649015329
    half = xp.exp(far / 2)
    large = half * (polynomial([float(math.factorial(k)) for k in range(36)], 1 / far) / far) * half
    out = xp.where(x < 40, small, xp.where(xp.isinf(x), math.inf, large))
    out = xp.where(x < 0, -_exp1(xp, xp.where(x < 0, -x, 1.0)), out)
    return xp.where(x == 0, -math.inf, out)


# Functions ------------------------------------------------------------------------------------

_NEAR: Final = 0.5
# I₁(x)/x and J₁(x)/x in powers of x² and −x²
_QUOTIENT: Final = [0.5 / (4**k * math.factorial(k) * math.factorial(k + 1)) for k in range(8)]


def _over_x(out: Any, x: Any, direction: int) -> Any:
    """``out / x`` for a function of order 1, by its series next to 0: it has derivatives there."""
    near = less(abs(x), _NEAR)
    small, far = where(near, x, 0), where(near, 1, x)
    return where(near, polynomial(_QUOTIENT, direction * small * small), out / far)


def _scaled_over_x(out: Any, x: Any) -> Any:
    """``i1e(x) / x``, in the same way."""
    near = less(abs(x), _NEAR)
    small, far = where(near, x, 0), where(near, 1, x)
    return where(near, polynomial(_QUOTIENT, small * small) * exp(-abs(small)), out / far)


@unary(
    lambda _out, x: i1(x),
    kinds=REAL_FLOATING,
    value=portable(_i0),
    kernels=Native("i0"),
)
def i0(x: ArrayLike, /) -> Array:
    """Modified Bessel function of the first kind and order 0, elementwise.

    Examples
    --------
    >>> F.special.i0(np.asarray([0.0, 1.0]))
    array([1.        , 1.26606588])
    """


@unary(
    lambda out, x: i0(x) - _over_x(out, x, 1),
    kinds=REAL_FLOATING,
    value=portable(_i1),
    kernels=Native("i1"),
)
def i1(x: ArrayLike, /) -> Array:
    """Modified Bessel function of the first kind and order 1, elementwise.

    Examples
    --------
    >>> F.special.i1(np.asarray([0.0, 1.0]))
    array([0.       , 0.5651591])
    """


@unary(
    lambda out, x: i1e(x) - sign(x) * out,
    kinds=REAL_FLOATING,
    value=portable(_i0e),
    kernels=Native("i0e"),
)
def i0e(x: ArrayLike, /) -> Array:
    """Scaled modified Bessel function of order 0, ``e^{−|x|} i0(x)``, elementwise.

    Notes
    -----
    The derivative at 0, where it has a kink, is 0.

    Examples
    --------
    >>> F.special.i0e(np.asarray([0.0, 1000.0]))
    array([1.        , 0.01261724])
    """


@unary(
    lambda out, x: i0e(x) - _scaled_over_x(out, x) - sign(x) * out,
    kinds=REAL_FLOATING,
    value=portable(_i1e),
    kernels=Native("i1e"),
)
def i1e(x: ArrayLike, /) -> Array:
    """Scaled modified Bessel function of order 1, ``e^{−|x|} i1(x)``, elementwise.

    Examples
    --------
    >>> F.special.i1e(np.asarray([0.0, 1000.0]))
    array([0.        , 0.01261093])
    """


@unary(
    lambda _out, x: -j1(x),
    kinds=REAL_FLOATING,
    value=portable(_j0),
    kernels=Native("j0", torch="bessel_j0"),
)
def j0(x: ArrayLike, /) -> Array:
    """Bessel function of the first kind and order 0, elementwise.

    Examples
    --------
    >>> F.special.j0(np.asarray([0.0, 1.0]))
    array([1.        , 0.76519769])
    """


@unary(
    lambda out, x: j0(x) - _over_x(out, x, -1),
    kinds=REAL_FLOATING,
    value=portable(_j1),
    kernels=Native("j1", torch="bessel_j1"),
)
def j1(x: ArrayLike, /) -> Array:
    """Bessel function of the first kind and order 1, elementwise.

    Examples
    --------
    >>> F.special.j1(np.asarray([0.0, 1.0]))
    array([0.        , 0.44005059])
    """


@unary(
    lambda _out, x: -exp(-x) / x,
    kinds=REAL_FLOATING,
    value=portable(_exp1),
    kernels=Native("exp1"),
)
def exp1(x: ArrayLike, /) -> Array:
    """Exponential integral elementwise, ``∫ₓ^∞ e⁻ᵗ / t dt``, for x ≥ 0.

    Examples
    --------
    >>> F.special.exp1(np.asarray([0.0, 1.0]))
    array([       inf, 0.21938393])
    """


@unary(
    lambda _out, x: exp(x) / x,
    kinds=REAL_FLOATING,
    value=portable(_expi),
    kernels=Native("expi"),
)
def expi(x: ArrayLike, /) -> Array:
    """Exponential integral elementwise, the principal value of ``∫₋∞ˣ eᵗ / t dt``.

    Examples
    --------
    >>> F.special.expi(np.asarray([-1.0, 1.0]))
    array([-0.21938393,  1.89511782])
    """
