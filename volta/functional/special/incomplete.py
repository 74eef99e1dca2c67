"""The incomplete gamma and beta functions, which are distribution functions, in all operands.

Both are ``∫ w(t) dt`` over one side of x, of a density w. All derivatives in the shape a are such
integrals too, of the density times a polynomial in log t, with one sign over the side that has the
smaller part of the mass: nothing cancels there, and the other side is one minus that. Portable
kernels compute value and derivatives so. They divide the density by its value at x, measure from x
on the scale on which the quotient falls, and use the double exponential formula.

Reading order: the polynomials; the two integrals; the primitives of their derivatives; functions.
"""

# The rows' functions are empty: the decorator replaces them, keeping signature and docstring.
# mypy: disable-error-code="empty-body, has-type"

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np

from volta.core.derivatives import ZERO
from volta.core.types import Array, ArrayLike
from volta.functional.declare import REAL_FLOATING, elementwise
from volta.functional.elementwise import exp, log, log1p
from volta.functional.special.gamma_functions import (
    betaln,
    digamma,
    digamma_function,
    gamma_function,
    gammaln,
    log_beta,
    polygamma,
    stirling,
    zeta_function,
)
from volta.functional.special.information import xlog1py, xlogy
from volta.functional.special.kernels import (
    Native,
    Trusted,
    exponential_nodes,
    polynomial,
    portable,
)

__all__ = ["betainc", "betaincc", "gammainc", "gammaincc"]

_LARGE: Final = 8.0  # from here on Stirling's formula

Cumulant = Callable[[int, int], Any]


def _weight(i: int, j: int, cumulant: Cumulant) -> Any:
    """``∂ⁱ/∂aⁱ ∂ʲ/∂bʲ w / w`` from the same derivatives of log w: complete Bell polynomials."""
    if i == j == 0:
        return 1.0
    total: Any = 0.0
    if i:
        for k in range(i):
            for m in range(j + 1):
                count = math.comb(i - 1, k) * math.comb(j, m)
                rest = _weight(i - 1 - k, j - m, cumulant)
                total = total + count * cumulant(k + 1, m) * rest
    else:
        for m in range(j):
            rest = _weight(0, j - 1 - m, cumulant)
            total = total + math.comb(j - 1, m) * cumulant(0, m + 1) * rest
    return total


# Portable kernels -----------------------------------------------------------------------------


def log1p_rest(xp: Any, d: Any, whole: Any) -> Any:
    """``log(1 + d) − d``, of d and 1 + d: by the series of atanh where the difference is small."""
    near = xp.abs(d) < 0.4
    small = xp.where(near, d, 0.0)
    z = small / (2 + small)
    series = 2 * z * z * z * polynomial([1 / (2 * k + 3) for k in range(14)], z * z) - small * z
    return xp.where(near, series, xp.log(xp.where(near, 1.0, whole)) - d)


def _exp_rest(xp: Any, s: Any) -> Any:
    """``e⁻ˢ − 1 + s`` for s ≥ 0."""
    near = s < 0.7
    small = xp.where(near, s, 0.0)
    series = [(-1) ** k / math.factorial(k + 2) for k in range(15)]
    return xp.where(near, small * small * polynomial(series, small), xp.expm1(-s) + s)


def _polygamma(xp: Any, order: int, x: Any) -> Any:
    if order == 0:
        return digamma_function(xp, x)
    sign = (-1.0) ** (order + 1)
    return sign * math.factorial(order) * zeta_function(xp, xp.zeros_like(x) + (order + 1.0), x)


def gamma_front(xp: Any, a: Any, x: Any) -> Any:
    """``xᵃ e⁻ˣ / Γ(a)``."""
    small = xp.where(a < _LARGE, a, 1.0)
    some = xp.where(x < 800, x, 800.0)
    half = xp.exp(-some / 2)  # the power is large where the exponential function underflows
    plain = half * xp.pow(some, small) * half / gamma_function(xp, small)
    large = xp.where(a < _LARGE, _LARGE, a)
    rest = large * log1p_rest(xp, (x - large) / large, x / large)
    return xp.where(
        a < _LARGE, plain, xp.sqrt(large / (2 * math.pi)) * xp.exp(rest - stirling(large))
    )


def _gamma_cumulant(first: Any, psi: list[Any], k: int, _: int) -> Any:
    return first if k == 1 else -psi[k - 1]


def _gamma_factor(order: int, log_t: Any, psi: list[Any]) -> Any:
    """Derivative of the density at t of some order in a, over the density."""
    first = log_t - psi[0] if order else 0.0
    return _weight(order, 0, partial(_gamma_cumulant, first, psi))


_JOIN: Final = 0.1


def _gamma_between(xp: Any, order: int, a: Any, x: Any, psi: list[Any]) -> Any:
    """``∫ t^{a−1} e^{−t} factor dt`` from x < `_JOIN` to there, where xᵃ is not far from 1.

    A density like 1/t has all scales, too many for one formula. The series of ``e^{−t}`` is
    integrated by parts: the slope of the factor in log t is a multiple of that of one order less.
    In the first term, a may be next to 0; by Gauss's formula, which is exact for a slow power.
    """
    x = xp.where(x < _JOIN, x, _JOIN)
    low, high = xp.log(x), math.log(_JOIN)

    def antiderivative(k: int, log_t: Any) -> Any:
        total = xp.zeros_like(a)
        for j in range(order + 1):
            part = (-1) ** j * math.perm(order, j) * _gamma_factor(order - j, log_t, psi)
            total = total + part / (a + k) ** (j + 1)
        return xp.exp((a + k) * log_t) * total

    end = xp.zeros_like(a) + high
    out = xp.zeros_like(a)
    for k in range(1, 11):
        term = antiderivative(k, end) - antiderivative(k, low)
        out = out + (-1) ** k / math.factorial(k) * term
    for node, weight in zip(*np.polynomial.legendre.leggauss(12), strict=True):
        log_t = low + (high - low) * (0.5 + 0.5 * float(node))
        factor = _gamma_factor(order, log_t, psi) * xp.exp(a * log_t)
        out = out + float(weight) / 2 * (high - low) * factor
    return out


def gamma_sides(xp: Any, a: Any, x: Any, order: int) -> tuple[Any, Any, Any]:
    """Integral over the smaller side of x, whether that is the lower, and whether all is proper."""
    proper = (a > 0) & (x > 0) & xp.isfinite(a) & xp.isfinite(x)
    a, x = xp.where(proper, a, 1.0), xp.where(proper, x, 1.0)
    lower = xp.where(a < 1, xp.pow(x, a) < 0.5, x < a)
    psi = [_polygamma(xp, k, a) for k in range(order)]
    near = ~lower & (a < 1) & (x < _JOIN)
    start = xp.where(near, _JOIN, x)
    log_x = xp.log(start) if order else x

    def integral(side: Any) -> Any:
        total = xp.zeros_like(a)
        for u, weight in exponential_nodes():
            exponent, shift = side(u)
            if order:
                factor = _gamma_factor(order, log_x + shift, psi)
                total = total + weight * xp.exp(exponent) * factor
            else:
                total = total + weight * xp.exp(exponent)
        return total

    below = xp.where(lower, x, a / 2)
    scale_below = 1 / xp.where(a < 1, a, a - below + xp.sqrt(below))

    def under(u: float) -> tuple[Any, Any]:  # t = x e⁻ˢ
        s = u * scale_below
        return -(a - below) * s - below * _exp_rest(xp, s), -s

    above = xp.where(lower, a + 1, start)
    excess = xp.where(a > 1, a - 1, 0.0)
    scale_above = 1 / xp.where(a < 1, above, above - a + 1 + xp.sqrt(excess))

    def over(u: float) -> tuple[Any, Any]:  # t = x (1 + v)
        v = u * scale_above
        return -(above - a + 1) * v + (a - 1) * log1p_rest(xp, v, 1 + v), xp.log1p(v)

    found = xp.where(lower, scale_below * integral(under), scale_above * integral(over))
    found = gamma_front(xp, a, xp.where(lower, x, start)) * found
    between = _gamma_between(xp, order, xp.where(near, a, 0.5), x, psi) / gamma_function(xp, a)
    return xp.where(near, found + between, found), lower, proper


def _gamma_edge(xp: Any, a: Any, x: Any, mass: Any) -> Any:
    """Lower incomplete gamma function where an operand is zero, infinite or outside."""
    mass = xp.where((x == 0) & (a > 0), 0.0, mass)
    mass = xp.where(((a == 0) & (x > 0)) | (xp.isinf(x) & xp.isfinite(a)), 1.0, mass)
    mass = xp.where(xp.isinf(a) & xp.isfinite(x), 0.0, mass)
    outside = (a < 0) | (x < 0) | ((a == 0) & (x == 0)) | (xp.isinf(a) & xp.isinf(x))
    return xp.where(outside | xp.isnan(a) | xp.isnan(x), math.nan, mass)


def _gammainc(xp: Any, a: Any, x: Any) -> Any:
    side, lower, proper = gamma_sides(xp, a, x, 0)
    mass = xp.where(lower, side, 1 - side)
    return xp.where(proper, mass, _gamma_edge(xp, a, x, mass))


def _gammaincc(xp: Any, a: Any, x: Any) -> Any:
    side, lower, proper = gamma_sides(xp, a, x, 0)
    mass = xp.where(lower, 1 - side, side)
    return xp.where(proper, mass, 1 - _gamma_edge(xp, a, x, mass))


def _gamma_shape(xp: Any, order: int, a: Any, x: Any) -> Any:
    side, lower, proper = gamma_sides(xp, a, x, order)
    edge = _gamma_edge(xp, a, x, xp.zeros_like(side)) * 0
    return xp.where(proper, xp.where(lower, side, -side), edge)


def _log(xp: Any, x: Any, y: Any) -> Any:
    """``log x`` for y = 1 − x."""
    return xp.where(y < 0.5, xp.log1p(-y), xp.log(x))


def beta_front(xp: Any, a: Any, b: Any, x: Any, y: Any) -> Any:
    """``xᵃ yᵇ / B(a, b)``."""
    plain = xp.exp(a * _log(xp, x, y) + b * _log(xp, y, x) - log_beta(xp, a, b))
    large = (a >= _LARGE) & (b >= _LARGE)
    a, b = xp.where(large, a, _LARGE), xp.where(large, b, _LARGE)
    both = a + b
    distance = xp.where(x < 0.5, a - both * x, both * y - b)
    rest = a * log1p_rest(xp, -distance / a, x * (both / a))
    rest = rest + b * log1p_rest(xp, distance / b, y * (both / b))
    correction = stirling(a) + stirling(b) - stirling(both)
    peak = xp.sqrt(a / both * b / (2 * math.pi))
    return xp.where(large, peak * xp.exp(rest - correction), plain)


def beta_sides(xp: Any, a: Any, b: Any, x: Any, y: Any, i: int, j: int) -> tuple[Any, Any, Any]:
    """Integral over the smaller side of x, whether that is the lower, and whether all is proper.

    Next to 1, y says more of x: y = 1 − x.
    """
    proper = (a > 0) & (b > 0) & (x > 0) & (y > 0) & xp.isfinite(a) & xp.isfinite(b)
    a, b = xp.where(proper, a, 1.0), xp.where(proper, b, 1.0)
    x, y = xp.where(proper, x, 0.5), xp.where(proper, y, 0.5)
    both = a + b
    # a shape below 1 piles mass up at its end: from there, unless the other side has next to none
    lower = (x * both <= a) & ((b >= 1) | (xp.pow(x, a) < 0.1))
    lower = lower | ((a < 1) & (xp.pow(y, b) > 0.1))
    lower = xp.where(both < 2, x <= 0.5, lower)
    front = beta_front(xp, a, b, x, y)
    near, far = xp.where(lower, x, y), xp.where(lower, y, x)
    shape = xp.where(lower, a, b)  # of the side, with `near` for its x
    logs = (_log(xp, near, far), _log(xp, far, near)) if i or j else (near, near)
    orders = range(i + j)
    psi_a, psi_b, psi_both = ([_polygamma(xp, k, v) for k in orders] for v in (a, b, both))

    def factor(s: Any, rest: Any) -> Any:
        log_near, log_far = logs[0] - s - rest, logs[1] - rest
        log_t, log_u = xp.where(lower, log_near, log_far), xp.where(lower, log_far, log_near)

        def cumulant(k: int, m: int) -> Any:
            if k and m:
                return psi_both[k + m - 1]
            own, log_own = (psi_a, log_t) if k else (psi_b, log_u)
            slope = psi_both[k + m - 1] - own[k + m - 1]
            return slope + log_own if k + m == 1 else slope

        return _weight(i, j, cumulant)

    slope = xp.where(near < 0.5, shape - both * near, both * far - (both - shape))
    width = slope + xp.sqrt(xp.where(both < 2, 0.0, both * near * far))
    scale = 1 / xp.where((both < 2) | (shape < 1), shape, width)
    total = xp.zeros_like(a)
    for u, weight in exponential_nodes():  # odds of t are those of x times e⁻ˢ
        s = u * scale
        bend = _exp_rest(xp, s)
        moved = near * xp.expm1(-s)
        exponent = -slope * s - both * (near * bend + log1p_rest(xp, moved, 1 + moved))
        part = weight * xp.exp(exponent)
        total = total + (part * factor(s, xp.log1p(moved)) if i or j else part)
    return front * scale * total, lower, proper


def _beta_edge(xp: Any, a: Any, b: Any, x: Any, mass: Any) -> Any:
    """Incomplete beta function where an operand is at an end of its range or outside."""
    mass = xp.where(x == 0, 0.0, xp.where(x == 1, 1.0, mass))
    mass = xp.where(((a == 0) | xp.isinf(b)) & (x > 0), 1.0, mass)
    mass = xp.where(((b == 0) | xp.isinf(a)) & (x < 1), 0.0, mass)
    both = ((a == 0) & (b == 0)) | (xp.isinf(a) & xp.isinf(b))
    outside = (a < 0) | (b < 0) | (x < 0) | (x > 1) | both
    unknown = xp.isnan(a) | xp.isnan(b) | xp.isnan(x)
    return xp.where(outside | unknown, math.nan, mass)


def incomplete_beta(xp: Any, a: Any, b: Any, x: Any, y: Any) -> Any:
    side, lower, proper = beta_sides(xp, a, b, x, y, 0, 0)
    mass = xp.where(lower, side, 1 - side)
    return xp.where(proper, mass, _beta_edge(xp, a, b, x, mass))


def _betainc(xp: Any, a: Any, b: Any, x: Any) -> Any:
    return incomplete_beta(xp, a, b, x, 1 - x)


def _betaincc(xp: Any, a: Any, b: Any, x: Any) -> Any:
    side, lower, proper = beta_sides(xp, a, b, x, 1 - x, 0, 0)
    mass = xp.where(lower, 1 - side, side)
    return xp.where(proper, mass, 1 - _beta_edge(xp, a, b, x, mass))


def _beta_shape(xp: Any, i: int, j: int, a: Any, b: Any, x: Any) -> Any:
    side, lower, proper = beta_sides(xp, a, b, x, 1 - x, i, j)
    edge = _beta_edge(xp, a, b, x, xp.zeros_like(side)) * 0
    return xp.where(proper, xp.where(lower, side, -side), edge)


# Derivatives in the shapes --------------------------------------------------------------------


def _of_orders(kernel: Callable[..., Any], count: int) -> Callable[..., Any]:
    """Portable kernel whose first operands are orders, not numbers to compute with."""

    def value(xp: Any, *args: Any) -> Any:
        orders, arrays = args[:count], args[count:]
        return portable(lambda xp, *arrays: kernel(xp, *orders, *arrays))(xp, *arrays)

    return value


def _gamma_density(a: Any, x: Any) -> Any:
    return exp(xlogy(a - 1, x) - x - gammaln(a))


def _gamma_density_shape(a: Any, x: Any, order: int) -> Any:
    """Derivative of the density of some order in a."""

    def cumulant(k: int, _: int) -> Any:
        return log(x) - digamma(a) if k == 1 else -polygamma(k - 1, a)

    return _gamma_density(a, x) * _weight(order, 0, cumulant)


@elementwise(
    ZERO,
    lambda _out, order, a, x: incomplete_gamma_shape(order + 1, a, x),
    lambda _out, order, a, x: _gamma_density_shape(a, x, order),
    kinds=REAL_FLOATING,
    value=_of_orders(_gamma_shape, 1),
    unpromoted=1,
    arrays=True,
)
def incomplete_gamma_shape(order: ArrayLike, a: ArrayLike, x: ArrayLike, /) -> Array:
    """Derivative of `gammainc` in its shape, of an order that is a Python number."""


def beta_density(a: Any, b: Any, x: Any) -> Any:
    return exp(xlogy(a - 1, x) + xlog1py(b - 1, -x) - betaln(a, b))


def _beta_density_shape(a: Any, b: Any, x: Any, i: int, j: int) -> Any:
    """Derivative of the density of orders i in a and j in b."""

    def cumulant(k: int, m: int) -> Any:
        total = polygamma(k + m - 1, a + b)
        if k and m:
            return total
        slope = total - polygamma(k + m - 1, a if k else b)
        if k + m > 1:
            return slope
        return slope + (log(x) if k else log1p(-x))

    return beta_density(a, b, x) * _weight(i, j, cumulant)


@elementwise(
    ZERO,
    ZERO,
    lambda _out, i, j, a, b, x: incomplete_beta_shape(i + 1, j, a, b, x),
    lambda _out, i, j, a, b, x: incomplete_beta_shape(i, j + 1, a, b, x),
    lambda _out, i, j, a, b, x: _beta_density_shape(a, b, x, i, j),
    kinds=REAL_FLOATING,
    value=_of_orders(_beta_shape, 2),
    unpromoted=2,
    arrays=True,
)
def incomplete_beta_shape(
    i: ArrayLike, j: ArrayLike, a: ArrayLike, b: ArrayLike, x: ArrayLike, /
) -> Array:
    """Derivative of `betainc` in its shapes, of orders that are Python numbers."""


# SciPy 1.17 takes no more than 2000 terms of a series of about 10 √a
def _is_moderate(_out: Any, a: Any, _x: Any) -> Any:
    return np.less_equal(a, 1e4)


# Functions ------------------------------------------------------------------------------------


@elementwise(
    lambda _out, a, x: incomplete_gamma_shape(1, a, x),
    lambda _out, a, x: _gamma_density(a, x),
    kinds=REAL_FLOATING,
    value=portable(_gammainc),
    kernels=Trusted("gammainc", portable(_gammainc), _is_moderate),
    arrays=True,
)
def gammainc(a: ArrayLike, x: ArrayLike, /) -> Array:
    """Regularized lower incomplete gamma function, ``∫₀ˣ t^{a−1} e^{−t} dt / Γ(a)``.

    Notes
    -----
    It is differentiable in `a` too, to any order.

    Examples
    --------
    >>> F.special.gammainc(np.asarray([0.5, 2.0]), 1.0)
    array([0.84270079, 0.26424112])
    """


@elementwise(
    lambda _out, a, x: -incomplete_gamma_shape(1, a, x),
    lambda _out, a, x: -_gamma_density(a, x),
    kinds=REAL_FLOATING,
    value=portable(_gammaincc),
    kernels=Trusted("gammaincc", portable(_gammaincc), _is_moderate),
    arrays=True,
)
def gammaincc(a: ArrayLike, x: ArrayLike, /) -> Array:
    """Regularized upper incomplete gamma function, ``1 − gammainc(a, x)``, exact in the tail.

    Notes
    -----
    It is differentiable in `a` too, to any order.

    Examples
    --------
    >>> F.special.gammaincc(np.asarray([0.5, 2.0]), 1.0)
    array([0.15729921, 0.73575888])
    """


@elementwise(
    lambda _out, a, b, x: incomplete_beta_shape(1, 0, a, b, x),
    lambda _out, a, b, x: incomplete_beta_shape(0, 1, a, b, x),
    lambda _out, a, b, x: beta_density(a, b, x),
    kinds=REAL_FLOATING,
    value=portable(_betainc),
    kernels=Native("betainc"),
    arrays=True,
)
def betainc(a: ArrayLike, b: ArrayLike, x: ArrayLike, /) -> Array:
    """Regularized incomplete beta function, ``∫₀ˣ t^{a−1} (1 − t)^{b−1} dt / B(a, b)``.

    Notes
    -----
    It is differentiable in `a` and `b` too, to any order.

    Examples
    --------
    >>> F.special.betainc(np.asarray([0.5, 2.0]), 1.0, 0.25)
    array([0.5   , 0.0625])
    """


@elementwise(
    lambda _out, a, b, x: -incomplete_beta_shape(1, 0, a, b, x),
    lambda _out, a, b, x: -incomplete_beta_shape(0, 1, a, b, x),
    lambda _out, a, b, x: -beta_density(a, b, x),
    kinds=REAL_FLOATING,
    value=portable(_betaincc),
    kernels=Native("betaincc"),
    arrays=True,
)
def betaincc(a: ArrayLike, b: ArrayLike, x: ArrayLike, /) -> Array:
    """Complement of the incomplete beta function, ``1 − betainc(a, b, x)``, exact in the tail.

    Notes
    -----
    It is differentiable in `a` and `b` too, to any order.

    Examples
    --------
    >>> F.special.betaincc(np.asarray([0.5, 2.0]), 1.0, 0.25)
    array([0.5   , 0.9375])
    """
