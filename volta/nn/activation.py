"""Activation functions as layers, elementwise but for the softmax pair."""

from typing import Any

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta.core.types import Array
from volta.nn.module import Module

__all__ = ["LeakyReLU", "LogSoftmax", "ReLU", "SiLU", "Sigmoid", "Softmax", "Softplus", "Tanh"]


class ReLU(Module):
    """Rectified linear unit, ``max(x, 0)``: `functional.relu`.

    Examples
    --------
    >>> volta.nn.ReLU()(np.asarray([-1.0, 2.0]))
    array([0., 2.])
    """

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.relu(x)


class LeakyReLU(Module):
    """Leaky rectified linear unit: `functional.leaky_relu`.

    Parameters
    ----------
    negative_slope : float
        Factor for negative elements.

    Examples
    --------
    >>> volta.nn.LeakyReLU(0.5)(np.asarray([-1.0, 2.0]))
    array([-0.5,  2. ])
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.leaky_relu(x, self.negative_slope)


class Sigmoid(Module):
    """Logistic function, ``1 / (1 + e⁻ˣ)``: `functional.sigmoid`.

    Examples
    --------
    >>> volta.nn.Sigmoid()(np.asarray([0.0]))
    array([0.5])
    """

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.sigmoid(x)


class SiLU(Module):
    """Sigmoid linear unit, ``x · sigmoid(x)``: `functional.silu`.

    Examples
    --------
    >>> volta.nn.SiLU()(np.asarray([0.0]))
    array([0.])
    """

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.silu(x)


class Softplus(Module):
    """Smooth rectifier, ``log(1 + eˣ)``: `functional.softplus`.

    Examples
    --------
    >>> volta.nn.Softplus()(np.asarray([0.0]))
    array([0.69314718])
    """

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.softplus(x)


class Tanh(Module):
    """Hyperbolic tangent: `functional.tanh`.

    Examples
    --------
    >>> volta.nn.Tanh()(np.asarray([0.0]))
    array([0.])
    """

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.tanh(x)


class Softmax(Module):
    """Exponentials divided by their sum along an axis: `functional.softmax`.

    Parameters
    ----------
    axis : int

    Examples
    --------
    >>> volta.nn.Softmax()(np.asarray([0.0, 0.0]))
    array([0.5, 0.5])
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.softmax(x, axis=self.axis)


class LogSoftmax(Module):
    """Logarithm of `Softmax`, without overflow: `functional.log_softmax`.

    Parameters
    ----------
    axis : int

    Examples
    --------
    >>> volta.nn.LogSoftmax()(np.asarray([0.0, 0.0]))
    array([-0.69314718, -0.69314718])
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.log_softmax(x, axis=self.axis)
