"""Logarithms that meet zeros: entropies, log-odds and logistic functions; and sin(πx)/(πx)."""

# The rows' functions are empty: the decorator replaces them, keeping signature and docstring.
# mypy: disable-error-code="empty-body, has-type"

import math
from typing import Any, Final

from volta.core.trace import ops
from volta.core.types import Array, ArrayLike
from volta.functional.activation import sigmoid
from volta.functional.declare import REAL_FLOATING, binary, composite, unary
from volta.functional.elementwise import (
    abs,
    cos,
    divide,
    equal,
    less,
    log,
    log1p,
    logical_and,
    negative,
    reciprocal,
    sin,
    where,
)
from volta.functional.special.kernels import Native, polynomial, portable

__all__ = [
    "entr",
    "expit",
    "kl_div",
    "log_expit",
    "logit",
    "rel_entr",
    "sinc",
    "xlog1py",
    "xlogy",
]

# Portable kernels -----------------------------------------------------------------------------


def _xlogy(xp: Any, x: Any, y: Any) -> Any:
    out = x * xp.log(y)
    return xp.where((x == 0) & ~xp.isnan(y), xp.zeros_like(out), out)


def _xlog1py(xp: Any, x: Any, y: Any) -> Any:
    out = x * xp.log1p(y)
    return xp.where((x == 0) & ~xp.isnan(y), xp.zeros_like(out), out)


def _entr(xp: Any, x: Any) -> Any:
    out = -x * xp.log(x)
    return xp.where(x == 0, xp.zeros_like(x), xp.where(x < 0, -math.inf, out))


def _rel_entr(xp: Any, x: Any, y: Any) -> Any:
    ratio = x / y
    fits = (ratio > 0) & xp.isfinite(ratio)
    out = x * xp.where(fits, xp.log(ratio), xp.log(x) - xp.log(y))
    out = xp.where((x == 0) & (y >= 0), xp.zeros_like(out), out)
    outside = (x < 0) | (y < 0) | ((y == 0) & (x > 0))
    return xp.where(xp.isnan(x) | xp.isnan(y), math.nan, xp.where(outside, math.inf, out))


def _kl_div(xp: Any, x: Any, y: Any) -> Any:
    out = _rel_entr(xp, x, y)
    return xp.where(out == math.inf, out, out - x + y)


def _logit(xp: Any, x: Any) -> Any:
    middle = 2 * (x - 0.5)  # exact where it is used
    near = xp.abs(middle) < 0.5
    return xp.where(near, xp.log1p(middle) - xp.log1p(-middle), xp.log(x / (1 - x)))


def _log_expit(xp: Any, x: Any) -> Any:
    return xp.where(x < 0, x, xp.zeros_like(x)) - xp.log1p(xp.exp(-xp.abs(x)))


def _sinc(xp: Any, x: Any) -> Any:
    whole = xp.round(x)
    sine = xp.sin(math.pi * (x - whole))
    odd = xp.remainder(whole, xp.ones_like(x) * 2) != 0
    out = xp.where(odd, -sine, sine) / (math.pi * xp.where(x == 0, 1.0, x))
    return xp.where(x == 0, xp.ones_like(x), xp.where(xp.isinf(x), xp.zeros_like(x), out))


# Functions ------------------------------------------------------------------------------------


@composite
def expit(x: Array, /) -> Any:
    """Logistic function elementwise: `functional.sigmoid` by SciPy's name.

    Parameters
    ----------
    x : array, shape (...)
        Of real floating dtype.

    Returns
    -------
    array, shape (...)

    Examples
    --------
    >>> F.special.expit(np.asarray([0.0, 1000.0]))
    array([0.5, 1. ])
    """
    return sigmoid(x)


@unary(
    lambda _out, x: reciprocal(x * (1 - x)),
    kinds=REAL_FLOATING,
    value=portable(_logit),
    kernels=Native("logit"),
)
def logit(x: ArrayLike, /) -> Array:
    """Logarithm of the odds elementwise, ``log(x / (1 − x))``, the inverse of `expit`.

    Examples
    --------
    >>> F.special.logit(np.asarray([0.0, 0.5, 0.75]))
    array([      -inf, 0.        , 1.09861229])
    """


@unary(
    lambda _out, x: sigmoid(-x),
    kinds=REAL_FLOATING,
    value=portable(_log_expit),
    kernels=Native("log_expit"),
)
def log_expit(x: ArrayLike, /) -> Array:
    """Logarithm of `expit` elementwise, without underflow.

    Examples
    --------
    >>> F.special.log_expit(np.asarray([-1000.0, 0.0]))
    array([-1.00000000e+03, -6.93147181e-01])
    """


def _within(out: Any, x: Any, y: Any, end: int) -> Any:
    """`y` as precise as the product; above the logarithm's end where that is flat as x is 0."""
    return ops.astype(where(logical_and(equal(x, 0), equal(y, end)), end + 1, y), out.dtype)


def _share(x: Any, y: Any) -> Any:
    """``x / y``, and 0 where x is."""
    return divide(x, where(equal(x, 0), 1, y))


@binary(
    lambda out, x, y: log(_within(out, x, y, 0)),
    lambda _out, x, y: _share(x, y),
    kinds=REAL_FLOATING,
    value=portable(_xlogy),
    kernels=Native("xlogy"),
    arrays=True,
)
def xlogy(x: ArrayLike, y: ArrayLike, /) -> Array:
    """Product with a logarithm elementwise, ``x log y``, and 0 where x is 0.

    Notes
    -----
    The derivatives are 0 where both operands are.

    Examples
    --------
    >>> F.special.xlogy(np.asarray([0.0, 2.0]), np.asarray([0.0, 1.0]))
    array([0., 0.])
    """


@binary(
    lambda out, x, y: log1p(_within(out, x, y, -1)),
    lambda out, x, y: _share(x, 1 + ops.astype(y, out.dtype)),
    kinds=REAL_FLOATING,
    value=portable(_xlog1py),
    kernels=Native("xlog1py"),
    arrays=True,
)
def xlog1py(x: ArrayLike, y: ArrayLike, /) -> Array:
    """Product with a logarithm elementwise, ``x log(1 + y)``, and 0 where x is 0.

    Notes
    -----
    The derivatives are 0 where x is 0 and y is −1.

    Examples
    --------
    >>> F.special.xlog1py(np.asarray([0.0, 2.0]), np.asarray([-1.0, 1e-20]))
    array([0.e+00, 2.e-20])
    """


@unary(
    lambda _out, x: -log(x) - 1,
    kinds=REAL_FLOATING,
    value=portable(_entr),
    kernels=Native("entr"),
)
def entr(x: ArrayLike, /) -> Array:
    """Entropy of a probability elementwise, ``−x log x``, 0 at 0 and −∞ below.

    Examples
    --------
    >>> F.special.entr(np.asarray([0.0, 0.5, 1.0]))
    array([ 0.        ,  0.34657359, -0.        ])
    """


def _log_ratio(out: Any, x: Any, y: Any) -> Any:
    """``log x − log y``, and 0 where both are zero."""
    return log(_within(out, y, x, 0)) - log(_within(out, x, y, 0))


@binary(
    lambda out, x, y: _log_ratio(out, x, y) + 1,
    lambda _out, x, y: negative(_share(x, y)),
    kinds=REAL_FLOATING,
    value=portable(_rel_entr),
    kernels=Native("rel_entr"),
    arrays=True,
)
def rel_entr(x: ArrayLike, y: ArrayLike, /) -> Array:
    """Terms of the relative entropy, ``x log(x / y)``, and 0 where x is 0 and y is not negative.

    Examples
    --------
    >>> F.special.rel_entr(np.asarray([0.0, 0.5]), np.asarray([0.5, 0.25]))
    array([0.        , 0.34657359])
    """


@binary(
    lambda out, x, y: _log_ratio(out, x, y),
    lambda _out, x, y: 1 - _share(x, y),
    kinds=REAL_FLOATING,
    value=portable(_kl_div),
    kernels=Native("kl_div"),
    arrays=True,
)
def kl_div(x: ArrayLike, y: ArrayLike, /) -> Array:
    """Terms of the Kullback-Leibler divergence, ``x log(x / y) − x + y``, which are not negative.

    Examples
    --------
    >>> F.special.kl_div(np.asarray([0.0, 0.5]), np.asarray([0.5, 0.25]))
    array([0.5       , 0.09657359])
    """


_NEAR: Final = 0.2
# the derivative of sin(πx)/(πx) over x, in powers of x²
_SLOPE: Final = [
    (-1) ** (k + 1) * math.pi ** (2 * k + 2) * (2 * k + 2) / math.factorial(2 * k + 3)
    for k in range(8)
]


def _sinc_slope(_out: Any, x: Any) -> Any:
    """``(cos(πx) − sinc(x)) / x``, by its series where the two cancel."""
    near = less(abs(x), _NEAR)
    small, far = where(near, x, 0), where(near, 1, x)
    ratio = sin(math.pi * far) / (math.pi * far)
    return where(
        near, small * polynomial(_SLOPE, small * small), (cos(math.pi * far) - ratio) / far
    )


@unary(
    _sinc_slope,
    kinds=REAL_FLOATING,
    value=portable(_sinc),
    kernels=Native("sinc", numpy=None),
)
def sinc(x: ArrayLike, /) -> Array:
    """Cardinal sine elementwise, ``sin(πx) / (πx)``, and 1 at 0.

    Examples
    --------
    >>> F.special.sinc(np.asarray([0.0, 0.5]))
    array([1.        , 0.63661977])
    """
