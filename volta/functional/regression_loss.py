"""Losses of numbers that should be others, with PyTorch's names, reductions and defaults."""

import math
from typing import Any, Final

from volta.core.errors import ShapeError
from volta.core.trace import located, ops
from volta.core.types import Array, ArrayLike
from volta.functional.curve import kernels_of
from volta.functional.declare import REAL_FLOATING, composite, elementwise
from volta.functional.elementwise import abs as _abs
from volta.functional.elementwise import (
    add,
    clip,
    divide,
    exp,
    greater,
    greater_equal,
    less,
    log,
    logical_and,
    maximum,
    multiply,
    negative,
    square,
    subtract,
    tanh,
    where,
)
from volta.functional.indexing import beside
from volta.functional.loss_reduction import check_one_shape, in_32_bits, mean_over, reduced
from volta.functional.manipulation import expand_dims
from volta.functional.reduction import mean
from volta.functional.reduction import sum as _sum

# mypy: disable-error-code="empty-body"

__all__ = [
    "gaussian_nll_loss",
    "huber_loss",
    "kl_divergence_gaussian",
    "l1_loss",
    "log_cosh_loss",
    "mse_loss",
    "poisson_nll_loss",
    "quantile_loss",
    "smooth_l1_loss",
]


def _of_differences(name: str, input: Any, target: Any, weight: Any) -> Any:
    check_one_shape(name, input=input, target=target)
    if weight is not None:
        check_one_shape(name, input=input, weight=weight)
    return subtract(input, target)


def _weighted_mean(name: str, losses: Any, weight: Any, reduction: str) -> Any:
    """Reduce losses, by a mean with weights where there are any."""
    if weight is None:
        return reduced(name, losses, reduction)
    losses = multiply(losses, weight)
    return mean_over(losses, weight) if reduction == "mean" else reduced(name, losses, reduction)


@composite
def mse_loss(
    input: Array, target: Array, *, weight: Array | None = None, reduction: str = "mean"
) -> Any:
    """Squared error, ``(input − target)²``.

    Parameters
    ----------
    input, target : array, one shape
        Of real floating dtype.
    weight : array, shape of `input`, optional
        Factor for each element; a mean is divided by their sum.
    reduction : "mean", "sum" or "none"

    Returns
    -------
    array, shape (), or that of `input` with reduction "none"

    Raises
    ------
    ShapeError
        If the shapes differ.
    ValueError
        If `reduction` is none of the three.

    Examples
    --------
    >>> F.mse_loss(np.asarray([1.0, 2.0]), np.asarray([1.0, 4.0]))
    array(2.)
    """
    difference = _of_differences("mse_loss", input, target, weight)
    return _weighted_mean("mse_loss", square(difference), weight, reduction)


@composite
def l1_loss(
    input: Array, target: Array, *, weight: Array | None = None, reduction: str = "mean"
) -> Any:
    """Absolute error, ``|input − target|``.

    Parameters
    ----------
    input, target : array, one shape
        Of real floating dtype.
    weight : array, shape of `input`, optional
        Factor for each element; a mean is divided by their sum.
    reduction : "mean", "sum" or "none"

    Returns
    -------
    array, shape (), or that of `input` with reduction "none"

    Raises
    ------
    ShapeError
        If the shapes differ.
    ValueError
        If `reduction` is none of the three.

    Notes
    -----
    The derivative is 0 where the two are equal.

    Examples
    --------
    >>> F.l1_loss(np.asarray([1.0, 2.0]), np.asarray([1.0, 4.0]))
    array(1.)
    """
    difference = _of_differences("l1_loss", input, target, weight)
    return _weighted_mean("l1_loss", _abs(difference), weight, reduction)


def _huber_value(xp: Any, x: Any, delta: Any) -> Any:
    size = xp.abs(x)
    near = xp.minimum(size, delta)
    return near * (size - 0.5 * near)


@elementwise(
    lambda _out, x, delta: clip(x, -delta, delta),
    lambda _out, x, delta: ops.relu(_abs(x) - delta),
    kinds=REAL_FLOATING,
    **kernels_of(_huber_value),
)
def _huber(x: ArrayLike, delta: ArrayLike, /) -> Array:
    """``x² / 2``, and ``delta · (|x| − delta / 2)`` from `delta` on."""


@composite
def huber_loss(
    input: Array,
    target: Array,
    *,
    delta: float = 1.0,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Any:
    """Squared error near to the target, absolute error far from it.

    Parameters
    ----------
    input, target : array, one shape
        Of real floating dtype.
    delta : float
        Where the one becomes the other; positive.
    weight : array, shape of `input`, optional
        Factor for each element; as in PyTorch a mean is divided by the number of elements.
    reduction : "mean", "sum" or "none"

    Returns
    -------
    array, shape (), or that of `input` with reduction "none"

    Raises
    ------
    ShapeError
        If the shapes differ.
    ValueError
        If `delta` is not positive or `reduction` none of the three.

    Notes
    -----
    ``d² / 2`` for ``d = |input − target|`` up to `delta`, ``delta · (d − delta / 2)`` beyond.

    References
    ----------
    P. J. Huber, "Robust estimation of a location parameter", Ann. Math. Statist. 35 (1964),
    https://doi.org/10.1214/aoms/1177703732.

    Examples
    --------
    >>> F.huber_loss(np.asarray([1.0, 3.0]), np.asarray([0.0, 0.0]))
    array(1.5)
    """
    if not delta > 0:
        msg = f"huber_loss: delta must be positive; got {delta}."
        raise located(ValueError(msg))
    losses = _huber(_of_differences("huber_loss", input, target, weight), delta)
    if weight is not None:
        losses = multiply(losses, weight)
    return reduced("huber_loss", losses, reduction)


@composite
def smooth_l1_loss(
    input: Array, target: Array, *, beta: float = 1.0, reduction: str = "mean"
) -> Any:
    """Absolute error, squared near to the target.

    Parameters
    ----------
    input, target : array, one shape
        Of real floating dtype.
    beta : float
        Up to which difference the error is squared; with 0 it is `l1_loss`.
    reduction : "mean", "sum" or "none"

    Returns
    -------
    array, shape (), or that of `input` with reduction "none"

    Raises
    ------
    ShapeError
        If the shapes differ.
    ValueError
        If `beta` is negative or `reduction` none of the three.

    Notes
    -----
    ``d² / (2 beta)`` for ``d = |input − target|`` up to `beta`, ``d − beta / 2`` beyond: that is
    `huber_loss` divided by `beta`.

    References
    ----------
    R. Girshick, "Fast R-CNN", ICCV 2015, https://arxiv.org/abs/1504.08083, equation 3.

    Examples
    --------
    >>> F.smooth_l1_loss(np.asarray([1.0, 3.0]), np.asarray([0.0, 0.0]), beta=2.0)
    array(1.125)
    """
    if not beta >= 0:
        msg = f"smooth_l1_loss: beta must not be negative; got {beta}."
        raise located(ValueError(msg))
    difference = _of_differences("smooth_l1_loss", input, target, None)
    losses = divide(_huber(difference, beta), beta) if beta else _abs(difference)
    return reduced("smooth_l1_loss", losses, reduction)


_LN2: Final = math.log(2.0)


def _log_cosh_value(xp: Any, x: Any) -> Any:
    """``log cosh x``; near 0, where that cancels, ``log1p(2 sinh²(x/2))``."""
    size = xp.abs(x)
    half = xp.sinh(xp.minimum(size, 1.0) / 2)
    return xp.where(size < 1, xp.log1p(2 * half * half), size + xp.log1p(xp.exp(-2 * size)) - _LN2)


@elementwise(lambda _out, x: tanh(x), kinds=REAL_FLOATING, **kernels_of(_log_cosh_value))
def _log_cosh(x: ArrayLike, /) -> Array:
    """``log(cosh(x))``, without overflow."""


@composite
def log_cosh_loss(input: Array, target: Array, *, reduction: str = "mean") -> Any:
    """Smooth absolute error, ``log(cosh(input − target))``.

    Parameters
    ----------
    input, target : array, one shape
        Of real floating dtype.
    reduction : "mean", "sum" or "none"

    Returns
    -------
    array, shape (), or that of `input` with reduction "none"

    Raises
    ------
    ShapeError
        If the shapes differ.
    ValueError
        If `reduction` is none of the three.

    Examples
    --------
    >>> F.log_cosh_loss(np.asarray([0.0, 1000.0]), np.asarray([0.0, 0.0]), reduction="none")
    array([  0.        , 999.30685282])
    """
    difference = _of_differences("log_cosh_loss", input, target, None)
    return reduced("log_cosh_loss", _log_cosh(difference), reduction)


@composite
def quantile_loss(
    input: Array, target: Array, *, quantile: float = 0.5, reduction: str = "mean"
) -> Any:
    """Error that a quantile of the target makes smallest, also called pinball loss.

    Parameters
    ----------
    input, target : array, one shape
        Of real floating dtype.
    quantile : float
        From 0 to 1.
    reduction : "mean", "sum" or "none"

    Returns
    -------
    array, shape (), or that of `input` with reduction "none"

    Raises
    ------
    ShapeError
        If the shapes differ.
    ValueError
        If `quantile` is not from 0 to 1 or `reduction` none of the three.

    Notes
    -----
    ``quantile · d`` for ``d = target − input`` that is positive, ``(quantile − 1) · d`` else. The
    derivative where the two are equal is between those of the sides.

    References
    ----------
    R. Koenker and G. Bassett, "Regression quantiles", Econometrica 46 (1978),
    https://doi.org/10.2307/1913643, equation 3.1.

    Examples
    --------
    >>> F.quantile_loss(np.asarray([0.0, 0.0]), np.asarray([1.0, -1.0]), quantile=0.9)
    array(0.5)
    """
    if not 0 <= quantile <= 1:
        msg = f"quantile_loss: quantile must be from 0 to 1; got {quantile}."
        raise located(ValueError(msg))
    d = negative(_of_differences("quantile_loss", input, target, None))
    losses = maximum(multiply(d, quantile), multiply(d, quantile - 1))
    return reduced("quantile_loss", losses, reduction)


@composite
def poisson_nll_loss(
    input: Array,
    target: Array,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Any:
    """Negative log likelihood of counts from Poisson distributions.

    Parameters
    ----------
    input : array
        Rates, or their logarithms; of real floating dtype.
    target : array, shape of `input`
        Counts.
    log_input : bool
        Whether `input` holds logarithms.
    full : bool
        Whether to add Stirling's approximation of ``log target!``, where the target is above 1.
    eps : float
        Added to rates before their logarithm is taken.
    reduction : "mean", "sum" or "none"

    Returns
    -------
    array, shape (), or that of `input` with reduction "none"

    Raises
    ------
    ShapeError
        If the shapes differ.
    ValueError
        If `reduction` is none of the three.

    Notes
    -----
    ``e^input − target · input``, or ``input − target · log(input + eps)``; Stirling's is
    ``target · log(target) − target + log(2π · target) / 2``.

    Examples
    --------
    >>> F.poisson_nll_loss(np.asarray([0.0, 1.0]), np.asarray([1.0, 2.0]))
    array(0.85914091)
    """
    check_one_shape("poisson_nll_loss", input=input, target=target)
    target = beside(input, target, "poisson_nll_loss")

    def losses(input: Any, target: Any) -> Any:
        if log_input:
            out = subtract(exp(input), multiply(target, input))
        else:
            out = subtract(input, multiply(target, log(add(input, eps))))
        return add(out, _stirling(target)) if full else out

    return reduced("poisson_nll_loss", in_32_bits(losses, input, target), reduction)


def _stirling(n: Any) -> Any:
    """Stirling's approximation of ``log n!`` for n > 1, else 0."""
    large = greater(n, 1)
    n = where(large, n, 1)
    out = n * log(n) - n + 0.5 * log(2 * math.pi * n)
    return where(large, out, 0)


@composite
def gaussian_nll_loss(
    input: Array,
    target: Array,
    var: Any,
    *,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Any:
    """Negative log likelihood of numbers from normal distributions.

    Parameters
    ----------
    input, target : array, one shape
        Means, and numbers; of real floating dtype.
    var : array or float
        Variances: of the shape of `input`, or without its last axis, or with length 1 there.
    full : bool
        Whether to add the constant ``log(2π) / 2``.
    eps : float
        Smallest variance that is used.
    reduction : "mean", "sum" or "none"

    Returns
    -------
    array, shape (), or that of `input` with reduction "none"

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    ValueError
        If `eps` is not positive, `var` a negative number, or `reduction` none of the three.

    Notes
    -----
    ``(log v + (input − target)² / v) / 2``, where v is `var`, or `eps` if that is larger. As in
    PyTorch the derivative in `var` is that in v, so that small variances can grow. Negative ones in
    an array make NaN.

    References
    ----------
    D. A. Nix and A. S. Weigend, "Estimating the mean and variance of the target probability
    distribution", ICNN 1994, https://doi.org/10.1109/ICNN.1994.374138, equation 4.

    Examples
    --------
    >>> x, y = np.asarray([1.0, 2.0]), np.asarray([1.0, 4.0])
    >>> F.gaussian_nll_loss(x, y, np.asarray([1.0, 1.0]))
    array(1.)
    """
    check_one_shape("gaussian_nll_loss", input=input, target=target)
    if not eps > 0:
        msg = f"gaussian_nll_loss: eps must be positive; got {eps}."
        raise located(ValueError(msg))
    if type(var) in (int, float):
        if var < 0:
            msg = f"gaussian_nll_loss: var must not be negative; got {var}."
            raise located(ValueError(msg))
        var = ops.full_like(input, float(var))
    var = _like_input(input, var)

    def losses(input: Any, target: Any, var: Any) -> Any:
        v = _at_least(var, eps)
        out = 0.5 * (log(v) + square(subtract(input, target)) / v)
        return out + 0.5 * math.log(2 * math.pi) if full else out

    return reduced("gaussian_nll_loss", in_32_bits(losses, input, target, var), reduction)


def _like_input(input: Any, var: Any) -> Any:
    shape, given = tuple(input.shape), tuple(var.shape)
    if given == shape or (given and given == (*shape[:-1], 1)):
        return var
    if shape and given == shape[:-1]:
        return expand_dims(var, axis=-1)
    msg = (
        "gaussian_nll_loss: var must have the shape of input, or without its last axis, or with "
        f"length 1 there; got {given} and {shape}."
    )
    raise located(ShapeError(msg))


def _at_least(var: Any, eps: float) -> Any:
    """`var`, or `eps` with the derivative of `var` where that is smaller but no mistake."""
    small = logical_and(greater_equal(var, 0), less(var, eps))
    return where(small, add(subtract(var, ops.stop_gradient(var)), eps), var)


@composite
def kl_divergence_gaussian(mu: Array, logvar: Array, *, reduction: str = "mean") -> Any:
    """Kullback–Leibler divergence of normal distributions from the standard one.

    Parameters
    ----------
    mu, logvar : array, one shape (n, ...)
        Means, and logarithms of variances; of real floating dtype.
    reduction : "mean", "sum" or "none"
        The mean is over axis 0, the batch, of the sums over the others.

    Returns
    -------
    array, shape (), or that of `mu` with reduction "none"

    Raises
    ------
    ShapeError
        If the shapes differ, or there is no axis to take the mean over.
    ValueError
        If `reduction` is none of the three.

    Notes
    -----
    ``(mu² + e^logvar − 1 − logvar) / 2``.

    References
    ----------
    D. P. Kingma and M. Welling, "Auto-encoding variational Bayes", ICLR 2014,
    https://arxiv.org/abs/1312.6114, appendix B.

    Examples
    --------
    >>> F.kl_divergence_gaussian(np.asarray([[1.0, 0.0], [2.0, 0.0]]), np.zeros((2, 2)))
    array(1.25)
    """
    check_one_shape("kl_divergence_gaussian", mu=mu, logvar=logvar)
    if reduction == "mean" and not mu.ndim:
        msg = "kl_divergence_gaussian: mu must have a batch axis for the mean; got shape ()."
        raise located(ShapeError(msg))

    def losses(mu: Any, logvar: Any) -> Any:
        return 0.5 * add(square(mu), subtract(ops.expm1(logvar), logvar))

    out = in_32_bits(losses, mu, logvar)
    if reduction == "mean":
        return mean(_sum(out, axis=tuple(range(1, out.ndim))))
    return reduced("kl_divergence_gaussian", out, reduction)
