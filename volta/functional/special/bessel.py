"""Bessel functions of orders 0 and 1, of both kinds, and the exponential integral.

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

__all__ = [
    *("exp1", "expi", "i0", "i0e", "i1", "i1e", "j0", "j1"),
    *("k0", "k0e", "k1", "k1e", "y0", "y1"),
]

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


def _phases(xp: Any, x: Any, order: int) -> tuple[Any, Any]:
    """J₀ and Y₀, or Y₁ and J₁ with the sign of Y₁ turned, for x from the limit on."""
    inverse = 1 / x
    square = -inverse * inverse
    even = polynomial(_SERIES[order][::2], square)
    odd = inverse * polynomial(_SERIES[order][1::2], square)
    cosine, sine = xp.cos(x), xp.sin(x)
    plus, minus = cosine + sine, sine - cosine
    root = xp.sqrt(math.pi * x)
    return (even * plus - odd * minus) / root, (even * minus + odd * plus) / root


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
    tail = xp.where(xp.isinf(far), 0.0, _phases(xp, far, order)[order])
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


_EULER: Final = 0.5772156649015329
_HARMONIC: Final = [sum(1 / j for j in range(1, k + 1)) for k in range(14)]
_I0: Final = [1 / math.factorial(k) ** 2 for k in range(14)]  # in powers of x²/4
_I1: Final = [1 / (math.factorial(k) * math.factorial(k + 1)) for k in range(14)]
# what the product with log(x/2) + γ lacks: 9.6.13 and 9.6.11 of Abramowitz and Stegun
_K0: Final = [c * h for c, h in zip(_I0, _HARMONIC, strict=True)]
_K1: Final = [
    c * (h + 1 / (2 * k + 2)) for k, (c, h) in enumerate(zip(_I1, _HARMONIC, strict=True))
]


def _decaying(xp: Any, x: Any, order: int, scaled: bool) -> Any:
    """K or ``eˣ K``: from 1 on ``∫₀^∞ e^{−x cosh t} cosh(order · t) dt``, trapezoidal rule."""
    small = xp.where(x < 1, x, 1.0)
    square = small * small / 4
    log = xp.log(small / 2) + _EULER
    if order:
        near = 1 / small + small / 2 * (log * polynomial(_I1, square) - polynomial(_K1, square))
    else:
        near = polynomial(_K0, square) - log * polynomial(_I0, square)
    middle = xp.where(x < 1, 1.0, xp.where(x < _LIMIT, x, 1.0))
    step, total = 0.125, xp.zeros_like(x)
    for k in reversed(range(36)):
        weight = step * (0.5 if k == 0 else 1) * math.cosh(k * step) ** order
        total = total + weight * xp.exp(middle * -(2 * math.sinh(k * step / 2) ** 2))
    far = xp.where(x < _LIMIT, _LIMIT, x)
    tail = polynomial(_SERIES[order], 1 / far) / xp.sqrt(2 / math.pi * far)
    large = xp.where(x < _LIMIT, total, tail)
    near, large = (near * xp.exp(small), large) if scaled else (near, large * xp.exp(-x))
    out = xp.where(x < 1, near, large)
    return xp.where(x > 0, out, xp.where(x == 0, math.inf, math.nan + xp.zeros_like(x)))


def _k0(xp: Any, x: Any) -> Any:
    return _decaying(xp, x, 0, False)


def _k0e(xp: Any, x: Any) -> Any:
    return _decaying(xp, x, 0, True)


def _k1(xp: Any, x: Any) -> Any:
    return _decaying(xp, x, 1, False)


def _k1e(xp: Any, x: Any) -> Any:
    return _decaying(xp, x, 1, True)


_TURNS: Final = 32  # terms of Neumann's series; J₂ₖ(25) is nothing for the next ones


def _second(xp: Any, x: Any, order: int) -> Any:
    """Y: from 2 to the limit by Neumann's series ``Σ (−1)ᵏ J₂ₖ(x)/k``, 9.1.88 of the same.

    Each J₂ₖ is a mean over the circle, as J₀ is; so is the sum. Y₁ is the slope of −Y₀.
    """
    small = xp.where((x > 0) & (x < 2), x, 1.0)
    square = -small * small / 4
    log = xp.log(small / 2) + _EULER
    if order:
        series = small / 2 * (log * polynomial(_I1, square) - polynomial(_K1, square)) - 1 / small
    else:
        series = log * polynomial(_I0, square) - polynomial(_K0, square)
    near = xp.where((x > 2) & (x < _LIMIT), x, 2.0)
    log = xp.log(near / 2) + _EULER
    mean, rest = xp.zeros_like(x), xp.zeros_like(x)
    points = 2 * _POINTS
    for j in range(points // 4 + 1):
        angle = 2 * math.pi * j / points
        weight = (1 if j in (0, points // 4) else 2) / (points // 2)
        terms = [(-1) ** k * math.cos(2 * k * angle) / k for k in range(1, _TURNS + 1)]
        sine = math.sin(angle)
        wave = sine * xp.sin(near * sine) if order else xp.cos(near * sine)
        mean = mean + weight * wave
        rest = rest + weight * math.fsum(terms) * wave
    middle = log * mean - 2 * rest
    middle = middle - _j0(xp, near) / near if order else middle
    middle = 2 / math.pi * xp.where(x < 2, series, middle)
    far = xp.where(x < _LIMIT, _LIMIT, x)
    plus, minus = _phases(xp, far, order)
    tail = -plus if order else minus
    out = xp.where(x < _LIMIT, middle, xp.where(xp.isinf(x), 0.0, tail))
    return xp.where(x > 0, out, xp.where(x == 0, -math.inf, math.nan + xp.zeros_like(x)))


def _y0(xp: Any, x: Any) -> Any:
    return _second(xp, x, 0)


def _y1(xp: Any, x: Any) -> Any:
    return _second(xp, x, 1)


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


# torch 2.13 has j0, j1, y0 and y1 only to 1e-6, beyond 5

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
    kernels=Native("j0", torch=None),
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
    kernels=Native("j1", torch=None),
)
def j1(x: ArrayLike, /) -> Array:
    """Bessel function of the first kind and order 1, elementwise.

    Examples
    --------
    >>> F.special.j1(np.asarray([0.0, 1.0]))
    array([0.        , 0.44005059])
    """


@unary(
    lambda _out, x: -k1(x),
    kinds=REAL_FLOATING,
    value=portable(_k0),
    kernels=Native("k0", torch="modified_bessel_k0"),
)
def k0(x: ArrayLike, /) -> Array:
    """Modified Bessel function of the second kind and order 0, elementwise; NaN below 0.

    Examples
    --------
    >>> F.special.k0(np.asarray([0.0, 1.0]))
    array([       inf, 0.42102444])
    """


@unary(
    lambda out, x: -k0(x) - out / x,
    kinds=REAL_FLOATING,
    value=portable(_k1),
    kernels=Native("k1", torch="modified_bessel_k1"),
)
def k1(x: ArrayLike, /) -> Array:
    """Modified Bessel function of the second kind and order 1, elementwise; NaN below 0.

    Examples
    --------
    >>> F.special.k1(np.asarray([0.0, 1.0]))
    array([       inf, 0.60190723])
    """


@unary(
    lambda out, x: out - k1e(x),
    kinds=REAL_FLOATING,
    value=portable(_k0e),
    kernels=Native("k0e", torch="scaled_modified_bessel_k0"),
)
def k0e(x: ArrayLike, /) -> Array:
    """Scaled modified Bessel function of the second kind and order 0, ``eˣ k0(x)``, elementwise.

    Examples
    --------
    >>> F.special.k0e(np.asarray([1.0, 1000.0]))
    array([1.14446308, 0.03962832])
    """


@unary(
    lambda out, x: out - k0e(x) - out / x,
    kinds=REAL_FLOATING,
    value=portable(_k1e),
    kernels=Native("k1e", torch="scaled_modified_bessel_k1"),
)
def k1e(x: ArrayLike, /) -> Array:
    """Scaled modified Bessel function of the second kind and order 1, ``eˣ k1(x)``, elementwise.

    Examples
    --------
    >>> F.special.k1e(np.asarray([1.0, 1000.0]))
    array([1.63615349, 0.03964813])
    """


@unary(
    lambda _out, x: -y1(x),
    kinds=REAL_FLOATING,
    value=portable(_y0),
    kernels=Native("y0", torch=None),
)
def y0(x: ArrayLike, /) -> Array:
    """Bessel function of the second kind and order 0, elementwise; NaN below 0.

    Examples
    --------
    >>> F.special.y0(np.asarray([0.0, 1.0]))
    array([      -inf, 0.08825696])
    """


@unary(
    lambda out, x: y0(x) - out / x,
    kinds=REAL_FLOATING,
    value=portable(_y1),
    kernels=Native("y1", torch=None),
)
def y1(x: ArrayLike, /) -> Array:
    """Bessel function of the second kind and order 1, elementwise; NaN below 0.

    Examples
    --------
    >>> F.special.y1(np.asarray([0.0, 1.0]))
    array([       -inf, -0.78121282])
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
