"""Distribution functions of statistics, by the names that `scipy.stats` looks up.

Each is an incomplete gamma or beta function of its parameters; names that end in ``c`` are one
minus the distribution function, exact in the upper tail.
"""

# A row's function is empty: the decorator replaces it, keeping signature and docstring.
# mypy: disable-error-code="empty-body, has-type"

import math
from typing import Any

from volta.core.types import Array, ArrayLike
from volta.functional.declare import REAL_FLOATING, binary, composite
from volta.functional.elementwise import equal, exp, floor, less, log, log1p, where
from volta.functional.special.gamma_functions import gammaln
from volta.functional.special.incomplete import (
    beta_density,
    betainc,
    betaincc,
    gammainc,
    gammaincc,
    incomplete_beta,
    incomplete_beta_shape,
)
from volta.functional.special.kernels import Native, portable

__all__ = [
    "bdtr",
    "bdtrc",
    "chdtr",
    "chdtrc",
    "fdtr",
    "fdtrc",
    "gdtr",
    "gdtrc",
    "nbdtr",
    "nbdtrc",
    "pdtr",
    "pdtrc",
    "stdtr",
]


@composite
def bdtr(k: Any, n: Any, p: Any, /) -> Any:
    """Binomial distribution function: at most ⌊k⌋ successes in n.

    Parameters
    ----------
    k, n, p : array, shape broadcastable together
        Of real floating dtype: successes, trials, probability of a success.

    Returns
    -------
    array, shape of the broadcast

    Notes
    -----
    ``betainc(n − ⌊k⌋, ⌊k⌋ + 1, 1 − p)``.

    Examples
    --------
    >>> F.special.bdtr(np.asarray([0.0, 1.0]), 3, 0.5)
    array([0.125, 0.5  ])
    """
    k = floor(k)
    inside = less(k, n)
    return where(inside, betainc(where(inside, n - k, 1), k + 1, 1 - p), 1)


@composite
def bdtrc(k: Any, n: Any, p: Any, /) -> Any:
    """Complement of `bdtr`: more than ⌊k⌋ successes in n.

    Parameters
    ----------
    k, n, p : array, shape broadcastable together
        Of real floating dtype: successes, trials, probability of a success.

    Returns
    -------
    array, shape of the broadcast

    Notes
    -----
    ``betainc(⌊k⌋ + 1, n − ⌊k⌋, p)``.

    Examples
    --------
    >>> F.special.bdtrc(np.asarray([0.0, 1.0]), 3, 0.5)
    array([0.875, 0.5  ])
    """
    k = floor(k)
    inside = less(k, n)
    return where(inside, betainc(k + 1, where(inside, n - k, 1), p), 0)


@composite
def chdtr(v: Any, x: Any, /) -> Any:
    """Distribution function of χ².

    Parameters
    ----------
    v, x : array, shape broadcastable together
        Of real floating dtype: degrees of freedom, point.

    Returns
    -------
    array, shape of the broadcast

    Notes
    -----
    ``gammainc(v / 2, x / 2)``.

    Examples
    --------
    >>> F.special.chdtr(np.asarray([1.0, 2.0]), 3.0)
    array([0.91673548, 0.77686984])
    """
    return gammainc(v / 2, x / 2)


@composite
def chdtrc(v: Any, x: Any, /) -> Any:
    """Complement of `chdtr`.

    Parameters
    ----------
    v, x : array, shape broadcastable together
        Of real floating dtype: degrees of freedom, point.

    Returns
    -------
    array, shape of the broadcast

    Notes
    -----
    ``gammaincc(v / 2, x / 2)``.

    Examples
    --------
    >>> F.special.chdtrc(np.asarray([1.0, 2.0]), 3.0)
    array([0.08326452, 0.22313016])
    """
    return gammaincc(v / 2, x / 2)


@composite
def fdtr(dfn: Any, dfd: Any, x: Any, /) -> Any:
    """F distribution function.

    Parameters
    ----------
    dfn, dfd, x : array, shape broadcastable together
        Of real floating dtype: degrees of freedom of numerator and denominator, point.

    Returns
    -------
    array, shape of the broadcast

    Notes
    -----
    ``betainc(dfn / 2, dfd / 2, dfn·x / (dfd + dfn·x))``.

    Examples
    --------
    >>> F.special.fdtr(3.0, 5.0, np.asarray([1.0, 2.0]))
    array([0.53514521, 0.76737608])
    """
    return betainc(dfn / 2, dfd / 2, dfn * x / (dfd + dfn * x))


@composite
def fdtrc(dfn: Any, dfd: Any, x: Any, /) -> Any:
    """Complement of `fdtr`.

    Parameters
    ----------
    dfn, dfd, x : array, shape broadcastable together
        Of real floating dtype: degrees of freedom of numerator and denominator, point.

    Returns
    -------
    array, shape of the broadcast

    Notes
    -----
    ``betainc(dfd / 2, dfn / 2, dfd / (dfd + dfn·x))``.

    Examples
    --------
    >>> F.special.fdtrc(3.0, 5.0, np.asarray([1.0, 2.0]))
    array([0.46485479, 0.23262392])
    """
    return betainc(dfd / 2, dfn / 2, dfd / (dfd + dfn * x))


@composite
def gdtr(a: Any, b: Any, x: Any, /) -> Any:
    """Gamma distribution function.

    Parameters
    ----------
    a, b, x : array, shape broadcastable together
        Of real floating dtype: rate, shape, point.

    Returns
    -------
    array, shape of the broadcast

    Notes
    -----
    ``gammainc(b, a·x)``.

    Examples
    --------
    >>> F.special.gdtr(2.0, 3.0, np.asarray([1.0, 2.0]))
    array([0.32332358, 0.76189669])
    """
    return gammainc(b, a * x)


@composite
def gdtrc(a: Any, b: Any, x: Any, /) -> Any:
    """Complement of `gdtr`.

    Parameters
    ----------
    a, b, x : array, shape broadcastable together
        Of real floating dtype: rate, shape, point.

    Returns
    -------
    array, shape of the broadcast

    Notes
    -----
    ``gammaincc(b, a·x)``.

    Examples
    --------
    >>> F.special.gdtrc(2.0, 3.0, np.asarray([1.0, 2.0]))
    array([0.67667642, 0.23810331])
    """
    return gammaincc(b, a * x)


@composite
def nbdtr(k: Any, n: Any, p: Any, /) -> Any:
    """Negative binomial distribution function: at most ⌊k⌋ failures before success n.

    Parameters
    ----------
    k, n, p : array, shape broadcastable together
        Of real floating dtype: failures, successes, probability of a success.

    Returns
    -------
    array, shape of the broadcast

    Notes
    -----
    ``betainc(n, ⌊k⌋ + 1, p)``.

    Examples
    --------
    >>> F.special.nbdtr(np.asarray([0.0, 1.0]), 3, 0.5)
    array([0.125 , 0.3125])
    """
    return betainc(n, floor(k) + 1, p)


@composite
def nbdtrc(k: Any, n: Any, p: Any, /) -> Any:
    """Complement of `nbdtr`.

    Parameters
    ----------
    k, n, p : array, shape broadcastable together
        Of real floating dtype: failures, successes, probability of a success.

    Returns
    -------
    array, shape of the broadcast

    Notes
    -----
    ``betaincc(n, ⌊k⌋ + 1, p)``.

    Examples
    --------
    >>> F.special.nbdtrc(np.asarray([0.0, 1.0]), 3, 0.5)
    array([0.875 , 0.6875])
    """
    return betaincc(n, floor(k) + 1, p)


@composite
def pdtr(k: Any, m: Any, /) -> Any:
    """Poisson distribution function: at most ⌊k⌋ events.

    Parameters
    ----------
    k, m : array, shape broadcastable together
        Of real floating dtype: events, their expected number.

    Returns
    -------
    array, shape of the broadcast

    Notes
    -----
    ``gammaincc(⌊k⌋ + 1, m)``.

    Examples
    --------
    >>> F.special.pdtr(np.asarray([0.0, 1.0]), 2.0)
    array([0.13533528, 0.40600585])
    """
    return gammaincc(floor(k) + 1, m)


@composite
def pdtrc(k: Any, m: Any, /) -> Any:
    """Complement of `pdtr`.

    Parameters
    ----------
    k, m : array, shape broadcastable together
        Of real floating dtype: events, their expected number.

    Returns
    -------
    array, shape of the broadcast

    Notes
    -----
    ``gammainc(⌊k⌋ + 1, m)``.

    Examples
    --------
    >>> F.special.pdtrc(np.asarray([0.0, 1.0]), 2.0)
    array([0.86466472, 0.59399415])
    """
    return gammainc(floor(k) + 1, m)


def _stdtr(xp: Any, df: Any, t: Any) -> Any:
    square = t * t
    share = xp.where(xp.isinf(square), 1.0, square / (df + square))
    half = xp.zeros_like(share) + 0.5
    tail = incomplete_beta(xp, df / 2, half, 1 - share) / 2
    middle = incomplete_beta(xp, half, df / 2, share) / 2
    out = xp.where(share < 0.5, xp.where(t < 0, 0.5 - middle, 0.5 + middle), 1 - tail)
    out = xp.where((share >= 0.5) & (t < 0), tail, out)
    return xp.where(df > 0, out, math.nan)


def _stdtr_df(_out: Any, df: Any, t: Any) -> Any:
    """Derivative of a tail in the degrees of freedom; 0 in the middle, where a half is below."""
    middle = equal(t, 0)
    away = where(middle, 1, t)
    square = away * away
    total = df + square
    share = df / total
    shape = incomplete_beta_shape(1, 0, df / 2, 0.5, share) / 4
    point = beta_density(df / 2, 0.5, share) * square / (2 * total * total)
    slope = shape + point
    return where(middle, 0, where(less(t, 0), slope, -slope))


def _stdtr_t(_out: Any, df: Any, t: Any) -> Any:
    front = gammaln((df + 1) / 2) - gammaln(df / 2) - log(math.pi * df) / 2
    return exp(front - (df + 1) / 2 * log1p(t * t / df))


@binary(
    _stdtr_df,
    _stdtr_t,
    kinds=REAL_FLOATING,
    value=portable(_stdtr),
    kernels=Native("stdtr"),
)
def stdtr(df: ArrayLike, t: ArrayLike, /) -> Array:
    """Student's t distribution function with `df` degrees of freedom.

    Examples
    --------
    >>> F.special.stdtr(3.0, np.asarray([-1.0, 0.0]))
    array([0.19550111, 0.5       ])
    """
