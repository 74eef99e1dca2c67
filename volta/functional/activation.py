"""Activation functions."""

from typing import Any

import numpy as np

from volta.core.types import Array, ArrayLike, as_dtype
from volta.functional.declare import REAL, REAL_FLOATING, composite, unary
from volta.functional.elementwise import (
    less,
    logaddexp,
    multiply,
    where,
)

# The rows' functions are empty: the decorator replaces them, keeping signature and docstring.
# Their rules name operations declared further down.
# mypy: disable-error-code="empty-body, has-type"

__all__ = ["leaky_relu", "relu", "sigmoid", "silu", "softplus"]


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


def _sigmoid_value(xp: Any, x: Any) -> Any:
    """Logistic function without overflow: the exponential is of a number that is not positive."""
    if as_dtype(x.dtype).kind == "complex":
        right = xp.real(x) >= 0
        e = xp.exp(xp.where(right, -x, x))
    else:
        right, e = x >= 0, xp.exp(-xp.abs(x))
    return xp.where(right, 1 / (1 + e), e / (1 + e))


@unary(
    lambda out: out * (1 - out),
    kinds=REAL_FLOATING,
    value=_sigmoid_value,
    kernels={"torch": lambda x: x.sigmoid()},
)
def sigmoid(x: ArrayLike, /) -> Array:
    """Logistic function elementwise, ``1 / (1 + e⁻ˣ)``.

    Examples
    --------
    >>> F.sigmoid(np.asarray([0.0, 1000.0]))
    array([0.5, 1. ])
    """


@composite
def silu(x: Array, /) -> Any:
    """Sigmoid linear unit elementwise, ``x · sigmoid(x)``.

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
        If the array's library has no such function for the dtype.

    Examples
    --------
    >>> F.silu(np.asarray([0.0, 1.0]))
    array([0.        , 0.73105858])
    """
    return multiply(x, sigmoid(x))


@composite
def softplus(x: Array, /) -> Any:
    """Smooth rectifier elementwise, ``log(1 + eˣ)``, without overflow.

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
        If the array's library has no such function for the dtype.

    Examples
    --------
    >>> F.softplus(np.asarray([0.0, 1000.0]))
    array([6.93147181e-01, 1.00000000e+03])
    """
    return logaddexp(x, 0)


@composite
def leaky_relu(x: Array, /, negative_slope: float = 0.01) -> Any:
    """Leaky rectified linear unit elementwise, ``x`` or ``negative_slope · x``.

    Parameters
    ----------
    x : array, shape (...)
        Of real floating dtype.
    negative_slope : float
        Factor for negative elements.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    DTypeError
        If the array's library has no such function for the dtype.

    Notes
    -----
    The derivative at 0 is 1.

    Examples
    --------
    >>> F.leaky_relu(np.asarray([-1.0, 2.0]))
    array([-0.01,  2.  ])
    """
    return where(less(x, 0), multiply(x, negative_slope), x)
