"""Activation functions that are made of straight lines.

At a kink the derivative is PyTorch's: that of the left for the rectifiers, that of the constant
part for the others. Of NaN the value is NaN and the slope 0, but `negative_slope` for the leaky
ones and 1 for `threshold`. No choice is better: PyTorch's is 1 for most of them, JAX's 0.
"""

from typing import Any

import numpy as np

from volta.core.derivatives import ZERO
from volta.core.errors import ShapeError
from volta.core.trace import located, ops
from volta.core.types import Array, ArrayLike
from volta.functional import random
from volta.functional.curve import curve, kernels_of
from volta.functional.declare import REAL, REAL_FLOATING, composite, elementwise, unary
from volta.functional.elementwise import abs as _abs
from volta.functional.elementwise import (
    greater,
    greater_equal,
    less,
    less_equal,
    logical_and,
    negative,
    sign,
    where,
)
from volta.functional.gating import beside

# The rows' functions are empty: the decorator replaces them, keeping signature and docstring.
# mypy: disable-error-code="empty-body, has-type"

__all__ = [
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "prelu",
    "relu",
    "relu6",
    "rrelu",
    "softshrink",
    "threshold",
]

# Rectifiers ---------------------------------------------------------------------------------------


@unary(
    lambda out: out > 0,  # of the result: what follows keeps it anyway
    kinds=REAL,
    value=lambda xp, x: xp.maximum(x, xp.zeros((), dtype=x.dtype)),
    kernels={"numpy": lambda x: np.maximum(x, 0)},
)
def relu(x: ArrayLike, /) -> Array:
    """Rectified linear unit elementwise, ``max(x, 0)``.

    Notes
    -----
    The derivative at 0 is 0.

    Examples
    --------
    >>> F.relu(np.asarray([-1.0, 2.0]))
    array([0., 2.])
    """


def _leaky_value(xp: Any, x: Any, slope: Any) -> Any:
    return xp.maximum(x, 0) + slope * xp.minimum(x, 0)


def _leaky_slope(x: Any, slope: Any) -> Any:
    right = ops.astype(greater(x, 0), x.dtype)
    return right + (1 - right) * slope


@elementwise(
    lambda _out, x, slope: _leaky_slope(x, slope),
    lambda _out, x, _slope: negative(relu(negative(x))),
    kinds=REAL_FLOATING,
    **kernels_of(_leaky_value),
)
def _leaky(x: ArrayLike, slope: ArrayLike, /) -> Array:
    """``x``, or ``slope · x`` on the left."""


@composite
def leaky_relu(x: Array, /, negative_slope: float = 0.01) -> Any:
    """Leaky rectified linear unit elementwise, ``x`` or ``negative_slope · x``.

    Parameters
    ----------
    x : array, shape (...)
        Of real floating dtype.
    negative_slope : float or array
        Factor for negative elements; differentiable where it is an array.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    DTypeError
        If the dtype is not real floating.

    Notes
    -----
    The derivative at 0 is `negative_slope`.

    Examples
    --------
    >>> F.leaky_relu(np.asarray([-1.0, 2.0]))
    array([-0.01,  2.  ])
    """
    return _leaky(x, negative_slope)


@composite
def prelu(x: Array, weight: Array, /) -> Any:
    """Leaky rectified linear unit whose slopes are learned, ``x`` or ``weight · x``.

    Parameters
    ----------
    x : array, shape (n, channels, ...), or any for a single weight
        Of real floating dtype.
    weight : array, shape (channels,), (1,) or ()
        Factor for negative elements, one for all or one for each place of axis 1.

    Returns
    -------
    array, shape of `x`

    Raises
    ------
    ShapeError
        If there is neither one weight nor one a channel.
    DTypeError
        If the dtype is not real floating.

    Notes
    -----
    The derivative at 0 is `weight`.

    References
    ----------
    K. He et al., "Delving deep into rectifiers: surpassing human-level performance on ImageNet
    classification", ICCV 2015, https://arxiv.org/abs/1502.01852, equation 1.

    Examples
    --------
    >>> F.prelu(np.asarray([[-1.0, -1.0]]), np.asarray([0.1, 0.2]))
    array([[-0.1, -0.2]])
    """
    shape, slopes = tuple(x.shape), tuple(weight.shape)
    channels = shape[1] if len(shape) > 1 else 1
    if slopes not in ((), (1,), (channels,)):
        msg = (
            "prelu: weight must have one factor, or one for each place of the input's axis 1; got "
            f"shapes {slopes} and {shape}."
        )
        raise located(ShapeError(msg))
    if slopes != ():
        wide = slopes if len(shape) > 1 else ()
        weight = ops.reshape(weight, (*wide, *(1,) * (len(shape) - 2)))
    return _leaky(x, weight)


@composite
def rrelu(
    x: Array,
    /,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    *,
    key: Any = None,
) -> Any:
    """Leaky rectified linear unit with random slopes.

    Parameters
    ----------
    x : array, shape (...)
        Of real floating dtype.
    lower, upper : float
        Bounds of the factors for negative elements.
    training : bool
        Whether each element's factor is drawn; else all are the mean of the bounds.
    key : array, shape (2,), uint32, optional
        Random key, needed in training: the same one draws the same.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    DTypeError
        If the dtype is not real floating.
    ValueError
        If `lower` is larger than `upper`, or there is no key in training.

    References
    ----------
    B. Xu et al., "Empirical evaluation of rectified activations in convolutional network", 2015,
    https://arxiv.org/abs/1505.00853, equation 4.

    Examples
    --------
    >>> F.rrelu(np.asarray([-1.0, 2.0]), 0.1, 0.3)
    array([-0.2,  2. ])
    """
    if lower > upper:
        msg = f"rrelu: lower must not be larger than upper; got {lower} and {upper}."
        raise located(ValueError(msg))
    if not training:
        return _leaky(x, (lower + upper) / 2)
    if key is None:
        msg = (
            "rrelu: training needs a random key; got none. Pass key=F.random.key(seed), a new one "
            "in each step."
        )
        raise located(ValueError(msg))
    return _leaky(x, beside(x, random.uniform, key, minval=lower, maxval=upper))


# Limits -------------------------------------------------------------------------------------------


@elementwise(
    lambda _out, x, lo, hi: logical_and(less(lo, x), less(x, hi)),
    lambda _out, x, lo, _hi: less_equal(x, lo),
    lambda _out, x, _lo, hi: greater_equal(x, hi),
    kinds=REAL_FLOATING,
    masks=True,
    **kernels_of(lambda xp, x, lo, hi: xp.minimum(xp.maximum(x, lo), hi)),
)
def _hardtanh(x: ArrayLike, lo: ArrayLike, hi: ArrayLike, /) -> Array:
    """`clip`, with the derivative 0 at both ends."""


@composite
def hardtanh(x: Array, /, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """Limit elementwise to an interval, with PyTorch's derivative at its ends.

    Parameters
    ----------
    x : array, shape (...)
        Of real floating dtype.
    min_val, max_val : float
        Ends of the interval.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    DTypeError
        If the dtype is not real floating.
    ValueError
        If `min_val` is larger than `max_val`.

    Notes
    -----
    The derivative at the ends is 0, where that of `clip` is 1.

    Examples
    --------
    >>> F.hardtanh(np.asarray([-2.0, 0.5, 2.0]))
    array([-1. ,  0.5,  1. ])
    """
    if min_val > max_val:
        msg = f"hardtanh: min_val must not be larger than max_val; got {min_val} and {max_val}."
        raise located(ValueError(msg))
    return _hardtanh(x, min_val, max_val)


@composite
def relu6(x: Array, /) -> Any:
    """Rectified linear unit with a limit elementwise, ``min(max(x, 0), 6)``.

    Parameters
    ----------
    x : array, shape (...)
        Of real floating dtype.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    DTypeError
        If the dtype is not real floating.

    Notes
    -----
    The derivative at 0 and 6 is 0.

    References
    ----------
    A. Krizhevsky, "Convolutional deep belief networks on CIFAR-10", 2010,
    https://www.cs.toronto.edu/~kriz/conv-cifar10-aug2010.pdf, section 3.

    Examples
    --------
    >>> F.relu6(np.asarray([-1.0, 2.0, 9.0]))
    array([0., 2., 6.])
    """
    return _hardtanh(x, 0.0, 6.0)


def _within(x: Any) -> Any:
    """1 for |x| < 3, else 0."""
    return ops.astype(less(_abs(x), 3), x.dtype)


_hardsigmoid = curve(
    "hardsigmoid",
    lambda xp, x: xp.clip(x + 3, 0.0, 6.0) / 6,
    lambda x: _within(x) / 6,
)
_hardswish = curve(
    "hardswish",
    lambda xp, x: xp.maximum(x, -3.0) * xp.clip(x + 3, 0.0, 6.0) / 6,
    lambda x: where(greater(x, -3), where(less(x, 3), x / 3 + 0.5, 1), 0),
)


@composite
def hardsigmoid(x: Array, /) -> Any:
    """Straight lines near to `sigmoid` elementwise, ``min(max(x + 3, 0), 6) / 6``.

    Parameters
    ----------
    x : array, shape (...)
        Of real floating dtype.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    DTypeError
        If the dtype is not real floating.

    Notes
    -----
    The derivative at ±3 is 0.

    References
    ----------
    A. Howard et al., "Searching for MobileNetV3", ICCV 2019, https://arxiv.org/abs/1905.02244,
    section 5.2.

    Examples
    --------
    >>> F.hardsigmoid(np.asarray([-4.0, 0.0, 4.0]))
    array([0. , 0.5, 1. ])
    """
    return _hardsigmoid(x)


@composite
def hardswish(x: Array, /) -> Any:
    """Parabola near to `silu` elementwise, ``x · hardsigmoid(x)``.

    Parameters
    ----------
    x : array, shape (...)
        Of real floating dtype.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    DTypeError
        If the dtype is not real floating.

    Notes
    -----
    The derivative is 0 at −3 and 1 at 3.

    References
    ----------
    A. Howard et al., "Searching for MobileNetV3", ICCV 2019, https://arxiv.org/abs/1905.02244,
    section 5.2.

    Examples
    --------
    >>> F.hardswish(np.asarray([-1.5, 1.5, 4.0]))
    array([-0.375,  1.125,  4.   ])
    """
    return _hardswish(x)


# Shrinkage ----------------------------------------------------------------------------------------


def _hardshrink_value(xp: Any, x: Any, lambd: Any) -> Any:
    return x * xp.astype(~(xp.abs(x) <= lambd), x.dtype)


@elementwise(
    lambda _out, x, lambd: greater(_abs(x), lambd),
    ZERO,
    kinds=REAL_FLOATING,
    masks=True,
    **kernels_of(_hardshrink_value),
)
def _hardshrink(x: ArrayLike, lambd: ArrayLike, /) -> Array:
    """``x`` where ``|x| > lambd``, else 0."""


@elementwise(
    lambda _out, x, lambd: greater(_abs(x), lambd),
    lambda out, _x, _lambd: negative(sign(out)),
    kinds=REAL_FLOATING,
    masks=True,
    **kernels_of(lambda xp, x, lambd: x - xp.minimum(xp.maximum(x, -lambd), lambd)),
)
def _softshrink(x: ArrayLike, lambd: ArrayLike, /) -> Array:
    """``x`` moved towards 0 by `lambd`, at most to 0."""


def _check_lambd(name: str, lambd: Any) -> None:
    if type(lambd) in (int, float) and not lambd >= 0:
        msg = f"{name}: lambd must not be negative; got {lambd}."
        raise located(ValueError(msg))


@composite
def hardshrink(x: Array, /, lambd: float = 0.5) -> Any:
    """Set small elements to 0: ``x`` where ``|x| > lambd``.

    Parameters
    ----------
    x : array, shape (...)
        Of real floating dtype.
    lambd : float
        Largest absolute value that is small.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    DTypeError
        If the dtype is not real floating.
    ValueError
        If `lambd` is negative.

    Examples
    --------
    >>> F.hardshrink(np.asarray([-1.0, 0.25, 0.5, 2.0]))
    array([-1.,  0.,  0.,  2.])
    """
    _check_lambd("hardshrink", lambd)
    return _hardshrink(x, lambd)


@composite
def softshrink(x: Array, /, lambd: float = 0.5) -> Any:
    """Move elements towards 0 by `lambd`, at most to 0.

    Parameters
    ----------
    x : array, shape (...)
        Of real floating dtype.
    lambd : float
        How far.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    DTypeError
        If the dtype is not real floating.
    ValueError
        If `lambd` is negative.

    Notes
    -----
    The derivative at ``±lambd`` is 0. It is the proximal operator of ``lambd · |x|``.

    Examples
    --------
    >>> F.softshrink(np.asarray([-1.0, 0.25, 2.0]))
    array([-0.5,  0. ,  1.5])
    """
    _check_lambd("softshrink", lambd)
    return _softshrink(x, lambd)


@composite
def threshold(x: Array, /, threshold: float, value: float) -> Any:
    """Replace elements that are not above a threshold.

    Parameters
    ----------
    x : array, shape (...)
        Of real-valued dtype.
    threshold : float
    value : float
        What replaces them.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    DTypeError
        If the dtype is not real-valued.

    Examples
    --------
    >>> F.threshold(np.asarray([-1.0, 0.5, 2.0]), 0.5, 9.0)
    array([9., 9., 2.])
    """
    return where(less_equal(x, threshold), value, x)
