"""Activation functions along an axis: of all elements together, or of two halves."""

from typing import Any

from volta.core.errors import ShapeError
from volta.core.trace import located, ops
from volta.core.tracer import library_under
from volta.core.types import Array
from volta.functional import random
from volta.functional.activation import sigmoid
from volta.functional.axes import normalize_axis
from volta.functional.declare import composite
from volta.functional.elementwise import (
    add,
    divide,
    multiply,
    negative,
    subtract,
)
from volta.functional.reduction import argmax, softmax

__all__ = ["glu", "gumbel_softmax", "softmin"]


@composite
def softmin(x: Array, /, axis: int = -1) -> Any:
    """`softmax` of the negated elements, largest where they are smallest.

    Parameters
    ----------
    x : array
        Of real floating dtype.
    axis : int

    Returns
    -------
    array, shape and dtype of `x`
        From 0 to 1, with sum 1 along the axis.

    Raises
    ------
    DimensionError
        If there is no such axis.

    Examples
    --------
    >>> F.softmin(np.asarray([0.0, np.log(3.0)]))
    array([0.75, 0.25])
    """
    return softmax(negative(x), axis)


@composite
def glu(x: Array, /, axis: int = -1) -> Any:
    """Gated linear unit, ``a · sigmoid(b)`` of the halves a and b along an axis.

    Parameters
    ----------
    x : array
        Of real floating dtype, with an even number of elements along the axis.
    axis : int

    Returns
    -------
    array
        Half as long along the axis.

    Raises
    ------
    DimensionError
        If there is no such axis.
    ShapeError
        If its length is odd.

    References
    ----------
    Y. N. Dauphin et al., "Language modeling with gated convolutional networks", ICML 2017,
    https://arxiv.org/abs/1612.08083, equation 1.

    Examples
    --------
    >>> F.glu(np.asarray([3.0, 4.0, 0.0, 0.0]))
    array([1.5, 2. ])
    """
    axis = normalize_axis("glu", axis, x.ndim)
    n = x.shape[axis]
    if n % 2:
        msg = f"glu: the length of axis {axis} must be even; got {n} of shape {tuple(x.shape)}."
        raise located(ShapeError(msg))
    lead = (slice(None),) * axis
    value, gate = x[(*lead, slice(None, n // 2), ...)], x[(*lead, slice(n // 2, None), ...)]
    return multiply(value, sigmoid(gate))


@composite
def gumbel_softmax(
    logits: Array, /, tau: float = 1.0, hard: bool = False, axis: int = -1, *, key: Any
) -> Any:
    """Draw vectors near to one-hot ones, differentiably.

    Parameters
    ----------
    logits : array
        Logarithms of probabilities that need not sum to one, of real floating dtype.
    tau : float
        Temperature, positive; the smaller, the nearer to one-hot.
    hard : bool
        Whether the result is one-hot, with the derivative that it would have otherwise.
    axis : int
        Of the classes.
    key : array, shape (2,), uint32
        Random key: the same one draws the same.

    Returns
    -------
    array, shape and dtype of `logits`
        With sum 1 along the axis.

    Raises
    ------
    DimensionError
        If there is no such axis.
    ValueError
        If `tau` is not positive.

    Notes
    -----
    ``softmax((logits + g) / tau)`` with g from the Gumbel distribution.

    References
    ----------
    E. Jang et al., "Categorical reparameterization with Gumbel-softmax", ICLR 2017,
    https://arxiv.org/abs/1611.01144, equation 2.

    Examples
    --------
    >>> F.gumbel_softmax(np.zeros((2, 3)), hard=True, key=F.random.key(0))
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    axis = normalize_axis("gumbel_softmax", axis, logits.ndim)
    if type(tau) in (int, float) and not tau > 0:
        msg = f"gumbel_softmax: tau must be positive; got {tau}."
        raise located(ValueError(msg))
    noise = beside(logits, random.gumbel, key)
    soft = softmax(divide(add(logits, noise), tau), axis)
    if not hard:
        return soft
    chosen = ops.one_hot(argmax(soft, axis=axis), soft.shape[axis], axis=axis, dtype=soft.dtype)
    return add(chosen, subtract(soft, ops.stop_gradient(soft)))  # exactly the chosen, plus 0


def beside(x: Any, draw: Any, key: Any, **options: Any) -> Any:
    """Random numbers for each element of `x`, of its dtype, in its library and on its device."""
    home = library_under(x)
    place = (
        {} if library_under(key) is home else {"xp": home.xp, "device": getattr(x, "device", None)}
    )
    return draw(key, tuple(x.shape), x.dtype, **options, **place)
