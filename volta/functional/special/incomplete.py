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
from volta.functional.special.kernels import Native, exponential_nodes, polynomial, portable

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


def _log1p_rest(xp: Any, d: Any) -> Any:
    """``log(1 + d) − d``: by the series of atanh where that is a small difference."""
    near = xp.abs(d) < 0.4
    small = xp.where(near, d, 0.0)
    z = small / (2 + small)
    series = 2 * z * z * z * polynomial([1 / (2 * k + 3) for k in range(14)], z * z) - small * z
    far = xp.where(near, 1.0, d)
    return xp.where(near, series, xp.log1p(far) - far)


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


def _gamma_front(xp: Any, a: Any, x: Any) -> Any:
    """``xᵃ e⁻ˣ / Γ(a)``."""
    small = xp.where(a < _LARGE, a, 1.0)
    some = xp.where(x < 800, x, 800.0)
    plain = xp.pow(some, small) * xp.exp(-some) / gamma_function(xp, small)
    large = xp.where(a < _LARGE, _LARGE, a)
    rest = large * _log1p_rest(xp, (x - large) / large)
    return xp.where(
        a < _LARGE, plain, xp.sqrt(large / (2 * math.pi)) * xp.exp(rest - stirling(large))
    )


def _gamma_cumulant(first: Any, psi: list[Any], k: int, _: int) -> Any:
    return first if k == 1 else -psi[k - 1]


def _gamma_sides(xp: Any, a: Any, x: Any, order: int) -> tuple[Any, Any, Any]:
    """Integral over the smaller side of x, whether that is the lower, and whether all is proper."""
    proper = (a > 0) & (x > 0) & xp.isfinite(a) & xp.isfinite(x)
    a, x = xp.where(proper, a, 1.0), xp.where(proper, x, 1.0)
    lower = xp.where(a < 1, xp.pow(x, a) < 0.5, x < a)
    psi = [_polygamma(xp, k, a) for k in range(order)]
    log_x = xp.log(x) if order else x

    def integral(side: Any) -> Any:
        total = xp.zeros_like(a)
        for u, weight in exponential_nodes():
            exponent, shift = side(u)
            if order:
                first = log_x + shift - psi[0]
                factor = _weight(order, 0, partial(_gamma_cumulant, first, psi))
                total = total + weight * xp.exp(exponent) * factor
            else:
                total = total + weight * xp.exp(exponent)
        return total

    below = xp.where(lower, x, a / 2)
    scale_below = 1 / xp.where(a < 1, a, a - below + xp.sqrt(below))

    def under(u: float) -> tuple[Any, Any]:  # t = x e⁻ˢ
        s = u * scale_below
        return -(a - below) * s - below * _exp_rest(xp, s), -s

    above = xp.where(lower, a + 1, x)
    excess = xp.where(a > 1, a - 1, 0.0)
    scale_above = 1 / xp.where(a < 1, above, above - a + 1 + xp.sqrt(excess))

    def over(u: float) -> tuple[Any, Any]:  # t = x (1 + v)
        v = u * scale_above
        return -(above - a + 1) * v + (a - 1) * _log1p_rest(xp, v), xp.log1p(v)

    found = xp.where(lower, scale_below * integral(under), scale_above * integral(over))
    return _gamma_front(xp, a, x) * found, lower, proper


def _gamma_edge(xp: Any, a: Any, x: Any, mass: Any) -> Any:
    """Lower incomplete gamma function where an operand is zero, infinite or outside."""
    mass = xp.where((x == 0) & (a > 0), 0.0, mass)
    mass = xp.where(((a == 0) & (x > 0)) | (xp.isinf(x) & xp.isfinite(a)), 1.0, mass)
    mass = xp.where(xp.isinf(a) & xp.isfinite(x), 0.0, mass)
    outside = (a < 0) | (x < 0) | ((a == 0) & (x == 0)) | (xp.isinf(a) & xp.isinf(x))
    return xp.where(outside | xp.isnan(a) | xp.isnan(x), math.nan, mass)


def _gammainc(xp: Any, a: Any, x: Any) -> Any:
    side, lower, proper = _gamma_sides(xp, a, x, 0)
    mass = xp.where(lower, side, 1 - side)
    return xp.where(proper, mass, _gamma_edge(xp, a, x, mass))


def _gammaincc(xp: Any, a: Any, x: Any) -> Any:
    side, lower, proper = _gamma_sides(xp, a, x, 0)
    mass = xp.where(lower, 1 - side, side)
    return xp.where(proper, mass, 1 - _gamma_edge(xp, a, x, mass))


def _gamma_shape(xp: Any, order: int, a: Any, x: Any) -> Any:
    side, lower, proper = _gamma_sides(xp, a, x, order)
    edge = _gamma_edge(xp, a, x, xp.zeros_like(side)) * 0
    return xp.where(proper, xp.where(lower, side, -side), edge)


def _beta_front(xp: Any, a: Any, b: Any, x: Any, y: Any) -> Any:
    """``xᵃ yᵇ / B(a, b)``."""
    plain = xp.exp(a * xp.log(x) + b * xp.log1p(-x) - log_beta(xp, a, b))
    large = (a >= _LARGE) & (b >= _LARGE)
    a, b = xp.where(large, a, _LARGE), xp.where(large, b, _LARGE)
    both = a + b
    distance = xp.where(x < 0.5, a - both * x, both * y - b)
    rest = a * _log1p_rest(xp, -distance / a) + b * _log1p_rest(xp, distance / b)
    correction = stirling(a) + stirling(b) - stirling(both)
    peak = xp.sqrt(a / both * b / (2 * math.pi))
    return xp.where(large, peak * xp.exp(rest - correction), plain)


def _beta_sides(xp: Any, a: Any, b: Any, x: Any, i: int, j: int) -> tuple[Any, Any, Any]:
    """Integral over the smaller side of x, whether that is the lower, and whether all is proper."""
    proper = (a > 0) & (b > 0) & (x > 0) & (x < 1) & xp.isfinite(a) & xp.isfinite(b)
    a, b, x = (xp.where(proper, v, one) for v, one in ((a, 1.0), (b, 1.0), (x, 0.5)))
    both = a + b
    # a shape below 1 piles mass up at its end: from there, unless the other side has next to none
    lower = (x * both <= a) & ((b >= 1) | (xp.pow(x, a) < 0.1))
    lower = lower | ((a < 1) & (xp.pow(1 - x, b) > 0.1))
    lower = xp.where(both < 2, x <= 0.5, lower)
    front = _beta_front(xp, a, b, x, 1 - x)
    near, far = xp.where(lower, x, 1 - x), xp.where(lower, 1 - x, x)
    shape = xp.where(lower, a, b)  # of the side, with `near` for its x
    logs = (xp.log(near), xp.log1p(-near)) if i or j else (near, near)
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

    slope = shape - both * near
    width = slope + xp.sqrt(xp.where(both < 2, 0.0, both * near * far))
    scale = 1 / xp.where((both < 2) | (shape < 1), shape, width)
    total = xp.zeros_like(a)
    for u, weight in exponential_nodes():  # odds of t are those of x times e⁻ˢ
        s = u * scale
        bend = _exp_rest(xp, s)
        moved = near * xp.expm1(-s)
        exponent = -slope * s - both * (near * bend + _log1p_rest(xp, moved))
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


def incomplete_beta(xp: Any, a: Any, b: Any, x: Any) -> Any:
    side, lower, proper = _beta_sides(xp, a, b, x, 0, 0)
    mass = xp.where(lower, side, 1 - side)
    return xp.where(proper, mass, _beta_edge(xp, a, b, x, mass))


def _betaincc(xp: Any, a: Any, b: Any, x: Any) -> Any:
    side, lower, proper = _beta_sides(xp, a, b, x, 0, 0)
    mass = xp.where(lower, 1 - side, side)
    return xp.where(proper, mass, 1 - _beta_edge(xp, a, b, x, mass))


def _beta_shape(xp: Any, i: int, j: int, a: Any, b: Any, x: Any) -> Any:
    side, lower, proper = _beta_sides(xp, a, b, x, i, j)
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
    lambda _out, order, a, x: _gammainc_shape(order + 1, a, x),
    lambda _out, order, a, x: _gamma_density_shape(a, x, order),
    kinds=REAL_FLOATING,
    value=_of_orders(_gamma_shape, 1),
    unpromoted=1,
)
def _gammainc_shape(order: ArrayLike, a: ArrayLike, x: ArrayLike, /) -> Array:
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
)
def incomplete_beta_shape(
    i: ArrayLike, j: ArrayLike, a: ArrayLike, b: ArrayLike, x: ArrayLike, /
) -> Array:
    """Derivative of `betainc` in its shapes, of orders that are Python numbers."""


# Functions ------------------------------------------------------------------------------------


@elementwise(
    lambda _out, a, x: _gammainc_shape(1, a, x),
    lambda _out, a, x: _gamma_density(a, x),
    kinds=REAL_FLOATING,
    value=portable(_gammainc),
    kernels=Native("gammainc"),
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
    lambda _out, a, x: -_gammainc_shape(1, a, x),
    lambda _out, a, x: -_gamma_density(a, x),
    kinds=REAL_FLOATING,
    value=portable(_gammaincc),
    kernels=Native("gammaincc"),
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
    value=portable(incomplete_beta),
    kernels=Native("betainc"),
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
