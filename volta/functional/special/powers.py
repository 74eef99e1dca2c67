"""Powers next to their logarithms: ``(eˣ − 1)/x`` and the transformations of Box and Cox."""

# The rows' functions are empty: the decorator replaces them, keeping signature and docstring.
# mypy: disable-error-code="empty-body, has-type"

import math
from typing import Any, Final

from volta.core.types import Array, ArrayLike
from volta.functional.declare import REAL_FLOATING, binary, unary
from volta.functional.elementwise import abs, exp, less, log, log1p, multiply, subtract, where
from volta.functional.special.kernels import Native, polynomial, portable

__all__ = ["boxcox", "boxcox1p", "exprel"]

# Portable kernels -----------------------------------------------------------------------------


def _exprel(xp: Any, x: Any) -> Any:
    zero = x == 0
    out = xp.where(zero, 1.0, xp.expm1(x) / xp.where(zero, 1.0, x))
    return xp.where(xp.isinf(x), xp.where(x > 0, x, 0.0), out)


def _power(xp: Any, log_x: Any, lmbda: Any) -> Any:
    zero = lmbda == 0
    return xp.where(zero, log_x, xp.expm1(lmbda * log_x) / xp.where(zero, 1.0, lmbda))


def _boxcox(xp: Any, x: Any, lmbda: Any) -> Any:
    return _power(xp, xp.log(x), lmbda)


def _boxcox1p(xp: Any, x: Any, lmbda: Any) -> Any:
    return _power(xp, xp.log1p(x), lmbda)


# Functions ------------------------------------------------------------------------------------

_SLOPE: Final = [(k + 1) / math.factorial(k + 2) for k in range(18)]


def _exprel_slope(out: Any, x: Any) -> Any:
    """``(eˣ − out) / x``, by its series next to 0, and without ∞ − ∞ on the right."""
    near, right = less(abs(x), 1), x > 0
    small, far = where(near, x, 0), where(near, 1, x)
    upper = multiply(out, 1 - 1 / far) + 1 / far
    lower = subtract(exp(where(right, 0, far)), out) / far
    return where(near, polynomial(_SLOPE, small), where(right, upper, lower))


@unary(
    _exprel_slope,
    kinds=REAL_FLOATING,
    value=portable(_exprel),
    kernels=Native("exprel"),
)
def exprel(x: ArrayLike, /) -> Array:
    """Relative error exponential elementwise, ``(eˣ − 1) / x``, and 1 at 0.

    Examples
    --------
    >>> F.special.exprel(np.asarray([0.0, 1.0]))
    array([1.        , 1.71828183])
    """


def _in_exponent(log_x: Any, lmbda: Any) -> Any:
    """``log²x · exprel′(λ log x)``, the derivative in λ."""
    exponent = multiply(lmbda, log_x)
    return multiply(multiply(log_x, log_x), _exprel_slope(exprel(exponent), exponent))


@binary(
    lambda _out, x, lmbda: exp(multiply(subtract(lmbda, 1), log(x))),
    lambda _out, x, lmbda: _in_exponent(log(x), lmbda),
    kinds=REAL_FLOATING,
    value=portable(_boxcox),
    kernels=Native("boxcox", jax=None),
    arrays=True,
)
def boxcox(x: ArrayLike, lmbda: ArrayLike, /) -> Array:
    """Transformation of Box and Cox elementwise, ``(x^λ − 1) / λ``, and ``log x`` for λ = 0.

    Notes
    -----
    It is differentiable in λ too, at 0 as elsewhere.

    Examples
    --------
    >>> F.special.boxcox(np.asarray([1.0, 4.0]), 0.5)
    array([0., 2.])
    """


@binary(
    lambda _out, x, lmbda: exp(multiply(subtract(lmbda, 1), log1p(x))),
    lambda _out, x, lmbda: _in_exponent(log1p(x), lmbda),
    kinds=REAL_FLOATING,
    value=portable(_boxcox1p),
    kernels=Native("boxcox1p", jax=None),
    arrays=True,
)
def boxcox1p(x: ArrayLike, lmbda: ArrayLike, /) -> Array:
    """Transformation of Box and Cox of 1 + x, exact for small x.

    Notes
    -----
    ``((1 + x)^λ − 1) / λ``, and ``log(1 + x)`` for λ = 0.

    Examples
    --------
    >>> F.special.boxcox1p(np.asarray([0.0, 3.0]), 0.5)
    array([0., 2.])
    """
