"""Activation functions that are exponential on the left."""

from typing import Any, Final

from volta.core.trace import located
from volta.core.types import Array, ArrayLike
from volta.functional.curve import kernels_of, steps
from volta.functional.declare import REAL_FLOATING, composite, elementwise
from volta.functional.elementwise import (
    exp,
    expm1,
    greater,
    less,
    multiply,
    where,
)

# The rows' functions are empty: the decorator replaces them, keeping signature and docstring.
# Their rules name operations declared further down.
# mypy: disable-error-code="empty-body, has-type"

__all__ = ["celu", "elu", "selu"]


def _elu_value(xp: Any, x: Any, alpha: Any, rate: Any) -> Any:
    return xp.maximum(x, 0) + alpha * xp.expm1(rate * xp.minimum(x, 0))


def _elu_slope_value(xp: Any, x: Any, alpha: Any, rate: Any) -> Any:
    right = steps(xp, x)
    return right + (1 - right) * (alpha * rate * xp.exp(rate * xp.minimum(x, 0)))


def _left(x: Any) -> Any:
    """`x` where it is not positive, with the derivative of the left at the kink."""
    return where(greater(x, 0), 0, x)


def _on_the_left(x: Any, value: Any) -> Any:
    return where(less(x, 0), value, 0)


@elementwise(
    lambda _out, x, alpha, rate: _elu_slope(x, alpha, rate),
    lambda _out, x, _alpha, rate: expm1(rate * _left(x)),
    lambda _out, x, alpha, rate: alpha * _left(x) * exp(rate * _left(x)),
    kinds=REAL_FLOATING,
    **kernels_of(_elu_value),
)
def _elu(x: ArrayLike, alpha: ArrayLike, rate: ArrayLike, /) -> Array:
    """``x``, or ``alpha · (e^(rate · x) − 1)`` on the left."""


@elementwise(
    lambda _out, x, alpha, rate: _on_the_left(x, alpha * rate * rate * exp(rate * _left(x))),
    lambda _out, x, _alpha, rate: _on_the_left(x, rate * exp(rate * _left(x))),
    lambda _out, x, alpha, rate: _on_the_left(
        x, alpha * (1 + rate * _left(x)) * exp(rate * _left(x))
    ),
    kinds=REAL_FLOATING,
    **kernels_of(_elu_slope_value),
)
def _elu_slope(x: ArrayLike, alpha: ArrayLike, rate: ArrayLike, /) -> Array:
    """Derivative of `_elu` in its first operand."""


@composite
def elu(x: Array, /, alpha: float = 1.0) -> Any:
    """Exponential linear unit elementwise, ``x`` or ``alpha · (eˣ − 1)``.

    Parameters
    ----------
    x : array, shape (...)
        Of real floating dtype.
    alpha : float or array
        The limit on the left, negated; differentiable where it is an array.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    DTypeError
        If the dtype is not real floating.

    Notes
    -----
    The derivative at 0 is `alpha`.

    References
    ----------
    D.-A. Clevert et al., "Fast and accurate deep network learning by exponential linear units",
    ICLR 2016, https://arxiv.org/abs/1511.07289, equation 15.

    Examples
    --------
    >>> F.elu(np.asarray([-1.0, 2.0]))
    array([-0.63212056,  2.        ])
    """
    return _elu(x, alpha, 1.0)


@composite
def celu(x: Array, /, alpha: float = 1.0) -> Any:
    """Exponential linear unit with one slope at 0, ``x`` or ``alpha · (e^(x / alpha) − 1)``.

    Parameters
    ----------
    x : array, shape (...)
        Of real floating dtype.
    alpha : float
        The limit on the left, negated.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    DTypeError
        If the dtype is not real floating.
    ValueError
        If `alpha` is 0.

    References
    ----------
    J. T. Barron, "Continuously differentiable exponential linear units", 2017,
    https://arxiv.org/abs/1704.07483.

    Examples
    --------
    >>> F.celu(np.asarray([-1.0, 2.0]), 0.5)
    array([-0.43233236,  2.        ])
    """
    if alpha == 0:
        msg = f"celu: alpha must not be 0; got {alpha}."
        raise located(ValueError(msg))
    return _elu(x, alpha, 1 / alpha)


_SELU_ALPHA: Final = 1.6732632423543772848170429916717
_SELU_SCALE: Final = 1.0507009873554804934193349852946


@composite
def selu(x: Array, /) -> Any:
    """Self-normalizing exponential linear unit elementwise, ``scale · elu(x, alpha)``.

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
    ``alpha = 1.6732632423543772`` and ``scale = 1.0507009873554805``, which keep mean 0 and
    variance 1. The derivative at 0 is ``scale · alpha``.

    References
    ----------
    G. Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017,
    https://arxiv.org/abs/1706.02515, equation 2 and section A2.

    Examples
    --------
    >>> F.selu(np.asarray([-1.0, 1.0]))
    array([-1.11133074,  1.05070099])
    """
    return multiply(_elu(x, _SELU_ALPHA, 1.0), _SELU_SCALE)
