"""Losses of probabilities and logits, with PyTorch's names, reductions and defaults."""

from typing import Any

import numpy as np

from volta.core.errors import ShapeError
from volta.core.trace import located, ops
from volta.core.types import SCALARS, Array, ArrayLike
from volta.functional.activation import softplus
from volta.functional.curve import kernels_of
from volta.functional.declare import REAL_FLOATING, composite, elementwise
from volta.functional.elementwise import (
    add,
    divide,
    equal,
    exp,
    less,
    log,
    log1p,
    maximum,
    multiply,
    negative,
    pow,
    subtract,
    where,
)
from volta.functional.loss_reduction import (
    check_one_shape,
    check_reduction,
    in_32_bits,
    reduced,
    weighted,
)
from volta.functional.reduction import mean
from volta.functional.reduction import sum as _sum

# The rows' functions are empty: the decorator replaces them, keeping signature and docstring.
# Their rules name operations declared further down.
# mypy: disable-error-code="empty-body, has-type"

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "dice_loss",
    "kl_div",
    "multilabel_soft_margin_loss",
    "sigmoid_focal_loss",
    "soft_margin_loss",
    "tversky_loss",
]

_LOWEST = -100.0  # logarithm that counts for that of 0
_SMALLEST = 1e-12  # variance by which derivatives are divided


def _entropy_value(xp: Any, p: Any, t: Any) -> Any:
    _check_probabilities(xp, p)
    yes = xp.maximum(xp.log(p), _LOWEST)
    no = xp.maximum(xp.log1p(-p), _LOWEST)
    return (t - 1) * no - t * yes


def _check_probabilities(xp: Any, p: Any) -> None:
    if type(p) not in SCALARS and bool(xp.any((p < 0) | (p > 1))):
        low, high = float(xp.min(p)), float(xp.max(p))
        msg = f"binary_cross_entropy: input must be from 0 to 1; got {low:g} to {high:g}."
        raise located(ValueError(msg))


def _entropy_slope(p: Any, t: Any) -> Any:
    variance = p * (1 - p)
    return (p - t) / where(less(variance, _SMALLEST), _SMALLEST, variance)


def _entropy_target_slope(p: Any) -> Any:
    return maximum(log1p(negative(p)), _LOWEST) - maximum(log(p), _LOWEST)


@elementwise(
    lambda _out, p, t: _entropy_slope(p, t),
    lambda _out, p, _t: _entropy_target_slope(p),
    kinds=REAL_FLOATING,
    **kernels_of(_entropy_value),
)
def _binary_entropy(p: ArrayLike, t: ArrayLike, /) -> Array:
    """``−t log p − (1 − t) log(1 − p)``, with logarithms of −100 or more."""


@composite
def binary_cross_entropy(
    input: Array, target: Array, weight: Array | None = None, *, reduction: str = "mean"
) -> Any:
    """Cross entropy between probabilities of one event and targets.

    Parameters
    ----------
    input, target : array, one shape
        Probabilities from 0 to 1, of real floating dtype.
    weight : array, broadcastable to `input`, optional
        Factor for each element; a mean is divided by the number of elements.
    reduction : "mean", "sum" or "none"

    Returns
    -------
    array, shape (), or that of `input` with reduction "none"

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    ValueError
        If a probability in `input` is not from 0 to 1, or `reduction` none of the three.

    Notes
    -----
    ``−t log(p) − (1 − t) log(1 − p)``, where logarithms are −100 or more, so that a certain mistake
    costs 100. The derivative ``(p − t) / (p (1 − p))`` does not stop there: as PyTorch's it is
    divided by 1e-12 or more. `binary_cross_entropy_with_logits` has neither limit.

    Examples
    --------
    >>> F.binary_cross_entropy(np.asarray([0.5, 0.0]), np.asarray([1.0, 1.0]), reduction="none")
    array([  0.69314718, 100.        ])
    """
    check_one_shape("binary_cross_entropy", input=input, target=target)
    losses = in_32_bits(_binary_entropy, input, target)
    losses = weighted("binary_cross_entropy", "weight", losses, weight)
    return reduced("binary_cross_entropy", losses, reduction)


def _logit_value(xp: Any, x: Any, yes: Any, no: Any) -> Any:
    x = xp.clip(x, -1e38, 1e38)  # infinite ones times a share of 0 are none
    return (yes + no) * xp.log1p(xp.exp(-xp.abs(x))) + (
        no * xp.maximum(x, 0) - yes * xp.minimum(x, 0)
    )


def _logit_slope(xp: Any, x: Any, yes: Any, no: Any) -> Any:
    right = 1 / (1 + xp.exp(-x))
    left = 1 / (1 + xp.exp(x))  # not 1 − right, which loses the digits of small numbers
    return no * right - yes * left


def _density(x: Any) -> Any:
    s = ops.sigmoid(negative(ops.abs(x)))
    return s * (1 - s)


@elementwise(
    lambda _out, x, yes, no: _logit_slopes(x, yes, no),
    lambda _out, x, _yes, _no: softplus(negative(x)),
    lambda _out, x, _yes, _no: softplus(x),
    kinds=REAL_FLOATING,
    **kernels_of(_logit_value),
)
def _logit_losses(x: ArrayLike, yes: ArrayLike, no: ArrayLike, /) -> Array:
    """``−yes · log σ(x) − no · log σ(−x)``, in which nothing cancels."""


@elementwise(
    lambda _out, x, yes, no: (yes + no) * _density(x),
    lambda _out, x, _yes, _no: negative(ops.sigmoid(negative(x))),
    lambda _out, x, _yes, _no: ops.sigmoid(x),
    kinds=REAL_FLOATING,
    **kernels_of(_logit_slope),
)
def _logit_slopes(x: ArrayLike, yes: ArrayLike, no: ArrayLike, /) -> Array:
    """Derivative of `_logit_losses` in its first operand."""


def _binary_losses(x: Any, t: Any) -> Any:
    return _logit_losses(x, t, subtract(1, t))


@composite
def binary_cross_entropy_with_logits(
    input: Array,
    target: Array,
    weight: Array | None = None,
    *,
    pos_weight: Array | None = None,
    reduction: str = "mean",
) -> Any:
    """Cross entropy between logits of one event and targets, without overflow.

    Parameters
    ----------
    input : array
        Logits, of real floating dtype.
    target : array, shape of `input`
        Probabilities from 0 to 1.
    weight : array, broadcastable to `input`, optional
        Factor for each element; a mean is divided by the number of elements.
    pos_weight : array, broadcastable to `input`, optional
        Factor for the part of the events, where the target is not 0.
    reduction : "mean", "sum" or "none"

    Returns
    -------
    array, shape (), or that of `input` with reduction "none"

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    ValueError
        If `reduction` is none of the three.

    Notes
    -----
    ``−pos_weight · t · log σ(x) − (1 − t) · log σ(−x)``.

    Examples
    --------
    >>> x, t = np.asarray([0.0, 1000.0]), np.asarray([1.0, 0.0])
    >>> F.binary_cross_entropy_with_logits(x, t, reduction="none")
    array([6.93147181e-01, 1.00000000e+03])
    """
    name = "binary_cross_entropy_with_logits"
    check_one_shape(name, input=input, target=target)
    yes = weighted(name, "pos_weight", target, pos_weight)
    losses = _logit_losses(input, yes, subtract(1, target))
    return reduced(name, weighted(name, "weight", losses, weight), reduction)


@composite
def multilabel_soft_margin_loss(
    input: Array, target: Array, weight: Array | None = None, *, reduction: str = "mean"
) -> Any:
    """Mean over classes of the cross entropy of each, which may hold or not.

    Parameters
    ----------
    input, target : array, one shape (..., classes)
        Logits, of real floating dtype, and zeros and ones.
    weight : array, shape (classes,), optional
        Factor for each class.
    reduction : "mean", "sum" or "none"

    Returns
    -------
    array, shape (), or (...) with reduction "none"

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    ValueError
        If `reduction` is none of the three.

    Examples
    --------
    >>> F.multilabel_soft_margin_loss(np.zeros((1, 2)), np.asarray([[1.0, 0.0]]))
    array(0.69314718)
    """
    name = "multilabel_soft_margin_loss"
    check_one_shape(name, input=input, target=target)
    losses = weighted(name, "weight", _binary_losses(input, target), weight)
    if not losses.ndim:
        return reduced(name, losses, reduction)
    return reduced(name, mean(losses, axis=-1), reduction)


@composite
def soft_margin_loss(input: Array, target: Array, *, reduction: str = "mean") -> Any:
    """Logistic loss of labels 1 and −1, ``log(1 + e^(−target · input))``.

    Parameters
    ----------
    input, target : array, one shape
        Scores, of real floating dtype, and labels.
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
    >>> F.soft_margin_loss(np.asarray([0.0, -1000.0]), np.asarray([1.0, -1.0]), reduction="none")
    array([0.69314718, 0.        ])
    """
    check_one_shape("soft_margin_loss", input=input, target=target)
    losses = softplus(negative(multiply(target, input)))
    return reduced("soft_margin_loss", losses, reduction)


@composite
def sigmoid_focal_loss(
    inputs: Array,
    targets: Array,
    alpha: float = 0.25,
    gamma: float = 2.0,
    *,
    reduction: str = "none",
) -> Any:
    """Binary cross entropy in which what is right already counts little.

    Parameters
    ----------
    inputs, targets : array, one shape
        Logits, of real floating dtype, and zeros and ones.
    alpha : float
        Share of the events' part, 1 − alpha that of the others; negative for no such factors.
    gamma : float
        How much less what is right counts; not negative.
    reduction : "mean", "sum" or "none"
        By default none, as in torchvision.

    Returns
    -------
    array, shape of `inputs` with reduction "none", else ()

    Raises
    ------
    ShapeError
        If the shapes differ.
    ValueError
        If `gamma` is negative, or `reduction` none of the three.

    Notes
    -----
    ``−alpha · t · (1 − p)^gamma · log p − (1 − alpha) · (1 − t) · p^gamma · log(1 − p)`` for
    targets t of 0 and 1 and ``p = sigmoid(inputs)``.

    References
    ----------
    T.-Y. Lin et al., "Focal loss for dense object detection", ICCV 2017,
    https://arxiv.org/abs/1708.02002, equation 5.

    Examples
    --------
    >>> F.sigmoid_focal_loss(np.asarray([0.0, 9.0]), np.asarray([1.0, 1.0]))
    array([4.33216988e-02, 4.69737265e-13])
    """
    check_one_shape("sigmoid_focal_loss", inputs=inputs, targets=targets)
    if not gamma >= 0:
        msg = f"sigmoid_focal_loss: gamma must not be negative; got {gamma}."
        raise located(ValueError(msg))

    def losses(x: Any, t: Any) -> Any:
        other = subtract(1, t)
        missed = add(multiply(t, ops.sigmoid(negative(x))), multiply(other, ops.sigmoid(x)))
        out = multiply(_logit_losses(x, t, other), pow(missed, gamma))
        if alpha < 0:
            return out
        return multiply(out, add(multiply(t, alpha), multiply(other, 1 - alpha)))

    return reduced("sigmoid_focal_loss", in_32_bits(losses, inputs, targets), reduction)


@composite
def kl_div(
    input: Array, target: Array, *, log_target: bool = False, reduction: str = "mean"
) -> Any:
    """Kullback–Leibler divergence of log probabilities from target probabilities, elementwise.

    Parameters
    ----------
    input : array, shape (n, ...)
        Logarithms of probabilities, of real floating dtype.
    target : array, shape of `input`
        Probabilities, or their logarithms.
    log_target : bool
        Whether `target` holds logarithms.
    reduction : "mean", "batchmean", "sum" or "none"
        Of the elements' parts. The divergence of distributions is "sum", their mean "batchmean",
        which is the sum divided by n; "mean" is divided by the number of elements.

    Returns
    -------
    array, shape (), or that of `input` with reduction "none"

    Raises
    ------
    ShapeError
        If the shapes differ.
    ValueError
        If `reduction` is none of the four.

    Notes
    -----
    ``target · (log target − input)``. Where the target is 0, so are this and its derivatives.

    Examples
    --------
    >>> p, q = np.asarray([[0.5, 0.5]]), np.asarray([[0.25, 0.75]])
    >>> F.kl_div(np.log(p), q, reduction="batchmean")
    array(0.13081204)
    """
    check_one_shape("kl_div", input=input, target=target)
    check_reduction("kl_div", reduction, "batchmean")
    parts = in_32_bits(_log_parts if log_target else _parts, input, target)
    if reduction != "batchmean":
        return reduced("kl_div", parts, reduction)
    return divide(_sum(parts), (input.shape[0] if input.ndim else 1) or 1)


def _parts(x: Any, t: Any) -> Any:
    absent = equal(t, 0)
    t, x = where(absent, 1, t), where(absent, 0, x)
    return where(absent, 0, t * (log(t) - x))


def _log_parts(x: Any, t: Any) -> Any:
    absent = equal(t, -np.inf)
    t, x = where(absent, 0, t), where(absent, 0, x)
    return where(absent, 0, exp(t) * (t - x))


@composite
def tversky_loss(
    input: Array,
    target: Array,
    *,
    alpha: float = 0.5,
    beta: float = 0.5,
    smooth: float = 1.0,
    reduction: str = "mean",
) -> Any:
    """One minus the Tversky index of probabilities and a mask.

    Parameters
    ----------
    input, target : array, one shape (n, ...)
        Probabilities from 0 to 1, of real floating dtype, and zeros and ones.
    alpha, beta : float
        Weights of what is found and is not there, and of what is there and not found.
    smooth : float
        Added to both sides of the fraction, so that empty masks have a loss.
    reduction : "mean", "sum" or "none"
        Over the examples, which axis 0 numbers.

    Returns
    -------
    array, shape (), or (n,) with reduction "none"

    Raises
    ------
    ShapeError
        If the shapes differ, or there is no axis.
    ValueError
        If `reduction` is none of the three.

    Notes
    -----
    ``1 − (Σ p t + smooth) / (Σ p t + alpha Σ p (1 − t) + beta Σ (1 − p) t + smooth)``, with sums
    over one example.

    References
    ----------
    S. S. M. Salehi et al., "Tversky loss function for image segmentation using 3D fully
    convolutional deep networks", MLMI 2017, https://arxiv.org/abs/1706.05721, equation 4.

    Examples
    --------
    >>> p, t = np.asarray([[1.0, 1.0, 0.0]]), np.asarray([[1.0, 0.0, 0.0]])
    >>> F.tversky_loss(p, t, alpha=0.75, beta=0.25, smooth=0.0)
    array(0.42857143)
    """
    return _overlap_loss("tversky_loss", input, target, (alpha, beta, smooth), reduction)


@composite
def dice_loss(input: Array, target: Array, *, smooth: float = 1.0, reduction: str = "mean") -> Any:
    """One minus the Dice coefficient of probabilities and a mask.

    Parameters
    ----------
    input, target : array, one shape (n, ...)
        Probabilities from 0 to 1, of real floating dtype, and zeros and ones.
    smooth : float
        Added to both sides of the fraction, so that empty masks have a loss.
    reduction : "mean", "sum" or "none"
        Over the examples, which axis 0 numbers.

    Returns
    -------
    array, shape (), or (n,) with reduction "none"

    Raises
    ------
    ShapeError
        If the shapes differ, or there is no axis.
    ValueError
        If `reduction` is none of the three.

    Notes
    -----
    ``1 − (2 Σ p t + smooth) / (Σ p + Σ t + smooth)``, with sums over one example.

    References
    ----------
    F. Milletari et al., "V-Net: fully convolutional neural networks for volumetric medical image
    segmentation", 3DV 2016, https://arxiv.org/abs/1606.04797, equation 3, here without squares in
    the denominator.

    Examples
    --------
    >>> p, t = np.asarray([[1.0, 1.0, 0.0]]), np.asarray([[1.0, 0.0, 0.0]])
    >>> F.dice_loss(p, t)
    array(0.25)
    """
    # half of numerator and denominator
    return _overlap_loss("dice_loss", input, target, (0.5, 0.5, smooth / 2), reduction)


def _overlap_loss(name: str, input: Any, target: Any, weights: Any, reduction: str) -> Any:
    check_one_shape(name, input=input, target=target)
    alpha, beta, smooth = weights
    axes = tuple(range(1, input.ndim))
    if not input.ndim:
        msg = f"{name}: input must have an axis of examples; got shape ()."
        raise located(ShapeError(msg))

    def losses(p: Any, t: Any) -> Any:
        both, found, there = (_sum(x, axis=axes) for x in (multiply(p, t), p, t))
        rest = add(multiply(subtract(found, both), alpha), multiply(subtract(there, both), beta))
        return divide(rest, add(add(both, smooth), rest))

    return reduced(name, in_32_bits(losses, input, target), reduction)
