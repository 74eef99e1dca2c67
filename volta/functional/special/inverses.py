"""Inverses of the incomplete gamma and beta functions in their last operand, which are quantiles.

A portable kernel solves for the point in the logarithm: the gamma density is log-concave there, and
so is the beta density in the logarithm of the odds. Then the logarithms of both masses are concave,
and Newton's method finds the point from everywhere. Halley's, on the smaller mass, takes few steps
from the starts below. No step loses what the last one knew: it multiplies the point by a factor.
"""

# The rows' functions are empty: the decorator replaces them, keeping signature and docstring.
# mypy: disable-error-code="empty-body, has-type"

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from volta.core.types import Array, ArrayLike
from volta.functional.declare import REAL_FLOATING, elementwise
from volta.functional.elementwise import (
    add,
    equal,
    exp,
    isfinite,
    logical_and,
    multiply,
    negative,
    subtract,
    where,
)
from volta.functional.special.error_functions import normal_quantile
from volta.functional.special.gamma_functions import betaln, gammaln, log_beta, log_gamma
from volta.functional.special.incomplete import (
    beta_front,
    beta_sides,
    gamma_front,
    gamma_sides,
    incomplete_beta_shape,
    incomplete_gamma_shape,
)
from volta.functional.special.information import xlog1py, xlogy
from volta.functional.special.kernels import Trusted, portable

__all__ = ["betainccinv", "betaincinv", "gammainccinv", "gammaincinv"]

# Portable kernels -----------------------------------------------------------------------------


def _at_least(xp: Any, x: Any, bound: Any) -> Any:
    return xp.where(x > bound, x, bound)


def _solved(xp: Any, start: Any, p: Any, q: Any, at: Callable[[Any], Any], steps: int) -> Any:
    """The point between masses `p` and `q`.

    `at` gives, at a point, the mass of a side, whether that is the lower, the density in the
    logarithm of the point, and the derivative of the density's logarithm in that.
    """
    from_below = p <= q
    wanted = xp.where(from_below, p, q)
    direction = xp.where(from_below, 1.0, -xp.ones_like(p))
    floor = math.exp(-_range(xp, p))
    point = _at_least(xp, start, floor)
    for _ in range(steps):
        side, lower, density, bend = at(point)
        mass = xp.where(lower == from_below, side, 1 - side)
        slope = direction * density / mass
        step = xp.log(wanted / mass) / slope
        step = step / _at_least(xp, 1 + step * (bend - slope) / 2, 0.5)
        step = xp.where(xp.isnan(step), 0.0, step)
        point = point * xp.exp(xp.where(step > 5, 5.0, _at_least(xp, step, -5.0)))
    return xp.where(start < floor, start, point)  # the power series is exact down there


def _range(xp: Any, x: Any) -> float:
    """Logarithm of about the largest number of a dtype."""
    return math.log(float(xp.finfo(x.dtype).max)) - 2


def _tail_of_normal(xp: Any, p: Any, q: Any) -> Any:
    """Quantile of the normal distribution from both masses."""
    z = normal_quantile(xp, xp.where(p < q, p, q))
    return xp.where(p < q, z, -z)


def _gamma_start(xp: Any, a: Any, p: Any, q: Any) -> Any:
    """Quantile of the gamma distribution, roughly.

    In the middle E. B. Wilson's and M. M. Hilferty's, "The distribution of chi-square", PNAS 17
    (1931); at the ends from the first terms of the power series at 0 and the asymptotic series.
    """
    root = 1 - 1 / (9 * a) + _tail_of_normal(xp, p, q) / (3 * xp.sqrt(a))
    middle = a * root * root * root
    first = xp.exp((xp.log(p) + log_gamma(xp, a + 1)) / a)
    left = first
    for _ in range(4):
        share = left / (a + 1)
        share = xp.where(share < 0.5, share, 0.5)
        left = first * xp.exp((share * (a + 1) + xp.log1p(-share)) / a)
    log_tail = -xp.log(q) - log_gamma(xp, a)
    right = xp.where(log_tail > middle, log_tail, middle)
    for _ in range(4):
        right = _at_least(xp, right, 1.0)
        quotient = (1 - a) / xp.where(right > 2 * a, right, 2 * a + 1)
        right = log_tail + (a - 1) * xp.log(right) - xp.log1p(quotient)
    out = xp.where((a >= 1) & (root > 0.5), middle, left)
    out = xp.where((a < 1) & (first > 0.5), 0.5, out)
    out = xp.where(right > 2 * a + 3, right, out)
    limit = math.exp(_range(xp, a))
    return xp.where(out < limit, out, limit)


def _gamma_quantile(xp: Any, a: Any, p: Any, q: Any) -> Any:
    proper = (a > 0) & xp.isfinite(a) & (p > 0) & (q > 0)
    shape, low, high = xp.where(proper, a, 1.0), xp.where(proper, p, 0.5), xp.where(proper, q, 0.5)

    def at(x: Any) -> Any:
        side, lower, _ = gamma_sides(xp, shape, x, 0)
        return side, lower, gamma_front(xp, shape, x), shape - x

    out = _solved(xp, _gamma_start(xp, shape, low, high), low, high, at, 4)
    end = xp.where(p == 0, 0.0, xp.where(q == 0, math.inf, math.nan * p))
    return xp.where(proper, out, xp.where(a >= 0, end, math.nan))


def _gammaincinv(xp: Any, a: Any, y: Any) -> Any:
    return _gamma_quantile(xp, a, y, 1 - y)


def _gammainccinv(xp: Any, a: Any, y: Any) -> Any:
    return _gamma_quantile(xp, a, 1 - y, y)


def _beta_start(xp: Any, a: Any, b: Any, p: Any, q: Any) -> Any:
    """Odds of the quantile of the beta distribution, roughly.

    In the middle 26.5.22 of Abramowitz and Stegun; else that of the gamma distribution to which
    the smaller shape leads; next to 0 and 1 from the first terms of the power series.
    """
    z = _tail_of_normal(xp, p, q)
    one, two = 2 * _at_least(xp, a, 1.01) - 1, 2 * _at_least(xp, b, 1.01) - 1
    mean = 2 / (1 / one + 1 / two)
    curve = (z * z - 3) / 6
    rest = (1 / two - 1 / one) * (curve + 5 / 6 - 2 / (3 * mean))
    w = z * xp.sqrt(_at_least(xp, mean + curve, 0.0)) / mean + rest
    middle = 2 * w + xp.log(a / b)
    swapped = a > b
    less, more = xp.where(swapped, b, a), xp.where(swapped, a, b)
    length = _gamma_start(xp, less, xp.where(swapped, q, p), xp.where(swapped, p, q))
    length = length / (more + (less - 1) / 2)  # −log(1 − x)
    limit = _range(xp, a)
    skewed = xp.log(xp.expm1(xp.where(length < limit, length, limit)))
    skewed = xp.where(swapped, -skewed, skewed)
    log = xp.where((less > 3) & (xp.abs(z) < 1.6 * xp.sqrt(less)), middle, skewed)
    total = log_beta(xp, a, b)
    left, right = (xp.log(p) + xp.log(a) + total) / a, (xp.log(q) + xp.log(b) + total) / b
    log = xp.where(xp.exp(left) * (b + 1) < 0.3, left, log)
    log = xp.where(xp.exp(right) * (a + 1) < 0.3, -right, log)
    return xp.exp(xp.where(log < limit, log, limit))


def beta_odds(xp: Any, a: Any, b: Any, p: Any, q: Any) -> Any:
    """``x / (1 − x)`` for the quantile x of the beta distribution; a, b, p and q > 0, finite."""

    def at(odds: Any) -> Any:
        x, y = odds / (1 + odds), 1 / (1 + odds)
        side, lower, _ = beta_sides(xp, a, b, x, y, 0, 0)
        return side, lower, beta_front(xp, a, b, x, y), a * y - b * x

    return _solved(xp, _beta_start(xp, a, b, p, q), p, q, at, 5)


def _beta_quantile(xp: Any, a: Any, b: Any, p: Any, q: Any) -> Any:
    inside = (a > 0) & (b > 0)
    proper = inside & xp.isfinite(a) & xp.isfinite(b) & (p > 0) & (q > 0)
    a, b = xp.where(proper, a, 1.0), xp.where(proper, b, 1.0)
    odds = beta_odds(xp, a, b, xp.where(proper, p, 0.5), xp.where(proper, q, 0.5))
    end = xp.where(p == 0, 0.0, xp.where(q == 0, 1.0, math.nan * p))
    return xp.where(proper, odds / (1 + odds), xp.where(inside, end, math.nan))


def _betaincinv(xp: Any, a: Any, b: Any, y: Any) -> Any:
    return _beta_quantile(xp, a, b, y, 1 - y)


def _betainccinv(xp: Any, a: Any, b: Any, y: Any) -> Any:
    return _beta_quantile(xp, a, b, 1 - y, y)


# SciPy 1.17 has errors of 1e-10 for a from 1e4 on, and of 1e-5 from 1e7 on
def _is_small(_out: Any, a: Any, _y: Any) -> Any:
    return np.less_equal(a, 1e4)


# SciPy 1.17 stops early next to 0; elsewhere errors grow with the shapes
def _is_plain(out: Any, a: Any, b: Any, y: Any) -> Any:
    return (np.greater(out, 1e-12) & np.greater(y, 1e-50)) & (np.maximum(a, b) <= 1e4)


# Functions ------------------------------------------------------------------------------------


def _strictly(x: Any, bound: float) -> tuple[Any, Any]:
    """Where x is between 0 and a bound, and x there."""
    inside = logical_and(isfinite(x), logical_and(x > 0, x < bound))
    return inside, where(inside, x, 0.5)


def _gamma_spacing(a: Any, x: Any) -> Any:
    """One over the density at x."""
    end = equal(x, math.inf)
    x = where(end, 1, x)
    log = subtract(add(gammaln(a), x), xlogy(subtract(a, 1), x))
    return where(end, math.inf, exp(log))


def _gamma_in_shape(x: Any, a: Any) -> Any:
    inside, x = _strictly(x, math.inf)
    slope = multiply(incomplete_gamma_shape(1, a, x), _gamma_spacing(a, x))
    return where(inside, negative(slope), 0)


@elementwise(
    lambda out, a, _y: _gamma_in_shape(out, a),
    lambda out, a, _y: _gamma_spacing(a, out),
    kinds=REAL_FLOATING,
    value=portable(_gammaincinv),
    kernels=Trusted("gammaincinv", portable(_gammaincinv), _is_small),
    arrays=True,
)
def gammaincinv(a: ArrayLike, y: ArrayLike, /) -> Array:
    """Inverse of `gammainc` in its last operand: the x with ``gammainc(a, x) = y``.

    Notes
    -----
    Its derivatives are those of the implicit function, in `a` too; at the ends of the range of
    `y`, where it does not depend on `a`, that in `a` is 0.

    Examples
    --------
    >>> F.special.gammaincinv(np.asarray([0.5, 2.0]), 0.5)
    array([0.22746821, 1.67834699])
    """


@elementwise(
    lambda out, a, _y: _gamma_in_shape(out, a),
    lambda out, a, _y: negative(_gamma_spacing(a, out)),
    kinds=REAL_FLOATING,
    value=portable(_gammainccinv),
    kernels=Trusted("gammainccinv", portable(_gammainccinv), _is_small),
    arrays=True,
)
def gammainccinv(a: ArrayLike, y: ArrayLike, /) -> Array:
    """Inverse of `gammaincc` in its last operand: the x with ``gammaincc(a, x) = y``.

    Notes
    -----
    Derivatives as those of `gammaincinv`.

    Examples
    --------
    >>> F.special.gammainccinv(np.asarray([0.5, 2.0]), 1e-20)
    array([43.58086671, 49.98319799])
    """


def _beta_spacing(a: Any, b: Any, x: Any) -> Any:
    """One over the density at x."""
    below = xlogy(subtract(a, 1), x)
    above = xlog1py(subtract(b, 1), negative(x))
    return exp(subtract(subtract(betaln(a, b), below), above))


def _beta_in_shape(i: int, j: int, x: Any, a: Any, b: Any) -> Any:
    inside, x = _strictly(x, 1)
    slope = multiply(incomplete_beta_shape(i, j, a, b, x), _beta_spacing(a, b, x))
    return where(inside, negative(slope), 0)


@elementwise(
    lambda out, a, b, _y: _beta_in_shape(1, 0, out, a, b),
    lambda out, a, b, _y: _beta_in_shape(0, 1, out, a, b),
    lambda out, a, b, _y: _beta_spacing(a, b, out),
    kinds=REAL_FLOATING,
    value=portable(_betaincinv),
    kernels=Trusted("betaincinv", portable(_betaincinv), _is_plain),
    arrays=True,
)
def betaincinv(a: ArrayLike, b: ArrayLike, y: ArrayLike, /) -> Array:
    """Inverse of `betainc` in its last operand: the x with ``betainc(a, b, x) = y``.

    Notes
    -----
    Its derivatives are those of the implicit function, in `a` and `b` too; at the ends of the
    range of `y`, where it does not depend on them, these are 0.

    Examples
    --------
    >>> F.special.betaincinv(np.asarray([0.5, 2.0]), 1.0, 0.25)
    array([0.0625, 0.5   ])
    """


@elementwise(
    lambda out, a, b, _y: _beta_in_shape(1, 0, out, a, b),
    lambda out, a, b, _y: _beta_in_shape(0, 1, out, a, b),
    lambda out, a, b, _y: negative(_beta_spacing(a, b, out)),
    kinds=REAL_FLOATING,
    value=portable(_betainccinv),
    kernels=Trusted("betainccinv", portable(_betainccinv), _is_plain),
    arrays=True,
)
def betainccinv(a: ArrayLike, b: ArrayLike, y: ArrayLike, /) -> Array:
    """Inverse of `betaincc` in its last operand: the x with ``betaincc(a, b, x) = y``.

    Notes
    -----
    Derivatives as those of `betaincinv`.

    Examples
    --------
    >>> F.special.betainccinv(np.asarray([0.5, 2.0]), 1.0, 0.75)
    array([0.0625, 0.5   ])
    """
