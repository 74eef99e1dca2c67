"""Distribution functions of statistics, by the names that `scipy.stats` looks up.

Each is an incomplete gamma or beta function of its parameters; names that end in ``c`` are one
minus the distribution function, exact in the upper tail.
"""

# A row's function is empty: the decorator replaces it, keeping signature and docstring.
# mypy: disable-error-code="empty-body, has-type"

import math
from typing import Any, Final

import numpy as np

from volta.core.types import Array, ArrayLike
from volta.functional.declare import REAL_FLOATING, beside_arrays, binary, composite
from volta.functional.elementwise import (
    add,
    divide,
    equal,
    exp,
    floor,
    isinf,
    less,
    log,
    log1p,
    multiply,
    negative,
    reciprocal,
    subtract,
    where,
)
from volta.functional.special.error_functions import normal_quantile
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
from volta.functional.special.inverses import (
    beta_odds,
    betainccinv,
    betaincinv,
    gammainccinv,
    gammaincinv,
)
from volta.functional.special.kernels import Native, Trusted, portable

__all__ = [
    "bdtr",
    "bdtrc",
    "bdtri",
    "chdtr",
    "chdtrc",
    "chdtri",
    "fdtr",
    "fdtrc",
    "fdtri",
    "gdtr",
    "gdtrc",
    "gdtrix",
    "nbdtr",
    "nbdtrc",
    "nbdtri",
    "pdtr",
    "pdtrc",
    "pdtri",
    "stdtr",
    "stdtrit",
]


@composite
@beside_arrays
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
    return where(inside, betainc(where(inside, subtract(n, k), 1), k + 1, subtract(1, p)), 1)


@composite
@beside_arrays
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
    return where(inside, betainc(k + 1, where(inside, subtract(n, k), 1), p), 0)


@composite
@beside_arrays
def bdtri(k: Any, n: Any, y: Any, /) -> Any:
    """Inverse of `bdtr` in the probability: the p with ``bdtr(k, n, p) = y``.

    Parameters
    ----------
    k, n, y : array, shape broadcastable together
        Of real floating dtype: successes, trials, probability of at most ⌊k⌋ successes.

    Returns
    -------
    array, shape of the broadcast

    Notes
    -----
    ``betainccinv(⌊k⌋ + 1, n − ⌊k⌋, y)``.

    Examples
    --------
    >>> F.special.bdtri(np.asarray([0.0, 1.0]), 3, 0.5)
    array([0.20629947, 0.5       ])
    """
    k = floor(k)
    return betainccinv(k + 1, subtract(n, k), y)


@composite
@beside_arrays
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
    return gammainc(divide(v, 2), divide(x, 2))


@composite
@beside_arrays
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
    return gammaincc(divide(v, 2), divide(x, 2))


@composite
@beside_arrays
def chdtri(v: Any, p: Any, /) -> Any:
    """Inverse of `chdtrc` in the point: the x with ``chdtrc(v, x) = p``.

    Parameters
    ----------
    v, p : array, shape broadcastable together
        Of real floating dtype: degrees of freedom, probability of more.

    Returns
    -------
    array, shape of the broadcast

    Notes
    -----
    ``2 gammainccinv(v / 2, p)``.

    Examples
    --------
    >>> F.special.chdtri(np.asarray([1.0, 2.0]), 0.05)
    array([3.84145882, 5.99146455])
    """
    return multiply(2, gammainccinv(divide(v, 2), p))


@composite
@beside_arrays
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
    part = multiply(dfn, x)
    return betainc(divide(dfn, 2), divide(dfd, 2), divide(part, add(dfd, part)))


@composite
@beside_arrays
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
    share = divide(dfd, add(dfd, multiply(dfn, x)))
    return betainc(divide(dfd, 2), divide(dfn, 2), share)


@composite
@beside_arrays
def fdtri(dfn: Any, dfd: Any, p: Any, /) -> Any:
    """Inverse of `fdtr` in the point: the x with ``fdtr(dfn, dfd, x) = p``.

    Parameters
    ----------
    dfn, dfd, p : array, shape broadcastable together
        Of real floating dtype: degrees of freedom of numerator and denominator, probability
        of no more.

    Returns
    -------
    array, shape of the broadcast

    Notes
    -----
    ``dfd/dfn · w / (1 − w)`` with ``w = betaincinv(dfn / 2, dfd / 2, p)``.

    Examples
    --------
    >>> F.special.fdtri(3.0, 5.0, np.asarray([0.5, 0.95]))
    array([0.90714622, 5.40945132])
    """
    one, other = divide(dfn, 2), divide(dfd, 2)
    below = betaincinv(one, other, p)
    above = betainccinv(other, one, p)  # 1 − below, exact next to 0
    return multiply(divide(dfd, dfn), divide(below, above))


@composite
@beside_arrays
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
    return gammainc(b, multiply(a, x))


@composite
@beside_arrays
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
    return gammaincc(b, multiply(a, x))


@composite
@beside_arrays
def gdtrix(a: Any, b: Any, p: Any, /) -> Any:
    """Inverse of `gdtr` in the point: the x with ``gdtr(a, b, x) = p``.

    Parameters
    ----------
    a, b, p : array, shape broadcastable together
        Of real floating dtype: rate, shape, probability of no more.

    Returns
    -------
    array, shape of the broadcast

    Notes
    -----
    ``gammaincinv(b, p) / a``.

    Examples
    --------
    >>> F.special.gdtrix(2.0, 3.0, np.asarray([0.5, 0.95]))
    array([1.33703016, 3.14789681])
    """
    return divide(gammaincinv(b, p), a)


@composite
@beside_arrays
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
@beside_arrays
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
@beside_arrays
def nbdtri(k: Any, n: Any, y: Any, /) -> Any:
    """Inverse of `nbdtr` in the probability: the p with ``nbdtr(k, n, p) = y``.

    Parameters
    ----------
    k, n, y : array, shape broadcastable together
        Of real floating dtype: failures, successes, probability of at most ⌊k⌋ failures.

    Returns
    -------
    array, shape of the broadcast

    Notes
    -----
    ``betaincinv(n, ⌊k⌋ + 1, y)``.

    Examples
    --------
    >>> F.special.nbdtri(np.asarray([0.0, 1.0]), 3, 0.5)
    array([0.79370053, 0.61427243])
    """
    return betaincinv(n, floor(k) + 1, y)


@composite
@beside_arrays
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
@beside_arrays
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


@composite
@beside_arrays
def pdtri(k: Any, y: Any, /) -> Any:
    """Inverse of `pdtr` in the expected number: the m with ``pdtr(k, m) = y``.

    Parameters
    ----------
    k, y : array, shape broadcastable together
        Of real floating dtype: events, probability of at most ⌊k⌋ events.

    Returns
    -------
    array, shape of the broadcast

    Notes
    -----
    ``gammainccinv(⌊k⌋ + 1, y)``.

    Examples
    --------
    >>> F.special.pdtri(np.asarray([0.0, 1.0]), 0.5)
    array([0.69314718, 1.67834699])
    """
    return gammainccinv(floor(k) + 1, y)


def _stdtr(xp: Any, df: Any, t: Any) -> Any:
    square = t * t
    share = xp.where(xp.isinf(square), 1.0, square / (df + square))
    half = xp.zeros_like(share) + 0.5
    tail = incomplete_beta(xp, df / 2, half, df / (df + square), share) / 2
    middle = 0.5 - incomplete_beta(xp, half, df / 2, share, df / (df + square)) / 2
    tail = xp.where(middle > 0.25, middle, tail)
    out = xp.where(t < 0, tail, 1 - tail)
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
    arrays=True,
)
def stdtr(df: ArrayLike, t: ArrayLike, /) -> Array:
    """Student's t distribution function with `df` degrees of freedom.

    Examples
    --------
    >>> F.special.stdtr(3.0, np.asarray([-1.0, 0.0]))
    array([0.19550111, 0.5       ])
    """


def _stdtrit(xp: Any, df: Any, p: Any) -> Any:
    tail = xp.where(p < 0.5, p, 1 - p)
    proper = (df > 0) & (tail > 0) & (p != 0.5)
    plain = proper & (df < _ALMOST_NORMAL)
    degrees, mass = xp.where(plain, df, 1.0), xp.where(plain, 2 * tail, 0.5)
    odds = beta_odds(xp, degrees / 2, xp.zeros_like(mass) + 0.5, mass, 1 - mass)
    size = xp.sqrt(degrees) / xp.sqrt(odds)
    z = -normal_quantile(xp, tail)
    size = xp.where(plain, size, z + z * (z * z + 1) / (4 * xp.where(plain, _ALMOST_NORMAL, df)))
    size = xp.where(tail == 0, math.inf, xp.where(p == 0.5, xp.zeros_like(z), size))
    return xp.where(df > 0, xp.where(p < 0.5, -size, size), math.nan)


_ALMOST_NORMAL: Final = 1e10  # degrees of freedom, from which the first correction is enough


def _stdtrit_df(out: Any, df: Any, _p: Any) -> Any:
    """Derivative in the degrees of freedom; 0 at the ends, where the quantile is infinite."""
    end = isinf(out)
    t = where(end, 0, out)
    return where(end, 0, negative(divide(_stdtr_df(None, df, t), _stdtr_t(None, df, t))))


@binary(
    _stdtrit_df,
    lambda out, df, _p: reciprocal(_stdtr_t(None, df, out)),
    kinds=REAL_FLOATING,
    value=portable(_stdtrit),
    kernels=Trusted("stdtrit", portable(_stdtrit), lambda out, *_: np.isfinite(out)),
    arrays=True,
)
def stdtrit(df: ArrayLike, p: ArrayLike, /) -> Array:
    """Quantiles of Student's t distribution, the inverse of `stdtr` in its last operand.

    Notes
    -----
    Its derivatives are those of the implicit function, in `df` too.

    Examples
    --------
    >>> F.special.stdtrit(3.0, np.asarray([0.025, 0.5, 1.0]))
    array([-3.18244631, 0.        , inf])
    """
