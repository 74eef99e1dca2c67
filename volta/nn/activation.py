"""Activation functions as layers."""

from typing import Any

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta.core.errors import ShapeError
from volta.core.trace import located
from volta.core.types import Array
from volta.nn.module import Module

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]


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
    """Smooth rectifier, ``log(1 + e^(beta · x)) / beta``: `functional.softplus`.

    Parameters
    ----------
    beta : float
        Sharpness.
    threshold : float, optional
        Where ``beta · x`` is larger the result is `x`; PyTorch has 20, and its error.

    Examples
    --------
    >>> volta.nn.Softplus()(np.asarray([0.0]))
    array([0.69314718])
    """

    def __init__(self, beta: float = 1.0, threshold: float | None = None) -> None:
        self.beta = beta
        self.threshold = threshold

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.softplus(x, self.beta, self.threshold)


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


class GELU(Module):
    """Gaussian error linear unit: `functional.gelu`.

    Parameters
    ----------
    approximate : "none" or "tanh"

    Examples
    --------
    >>> volta.nn.GELU()(np.asarray([0.0, 1.0]))
    array([0.        , 0.84134475])
    """

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = approximate

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.gelu(x, self.approximate)


class Mish(Module):
    """Self-regularized unit, ``x · tanh(softplus(x))``: `functional.mish`.

    Examples
    --------
    >>> volta.nn.Mish()(np.asarray([0.0, 1.0]))
    array([0.        , 0.86509839])
    """

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.mish(x)


class ELU(Module):
    """Exponential linear unit: `functional.elu`.

    Parameters
    ----------
    alpha : float
        The limit on the left, negated.

    Examples
    --------
    >>> volta.nn.ELU()(np.asarray([-1.0, 2.0]))
    array([-0.63212056,  2.        ])
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.elu(x, self.alpha)


class CELU(Module):
    """Exponential linear unit with one slope at 0: `functional.celu`.

    Parameters
    ----------
    alpha : float
        The limit on the left, negated.

    Examples
    --------
    >>> volta.nn.CELU(0.5)(np.asarray([-1.0, 2.0]))
    array([-0.43233236,  2.        ])
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.celu(x, self.alpha)


class SELU(Module):
    """Self-normalizing exponential linear unit: `functional.selu`.

    Examples
    --------
    >>> volta.nn.SELU()(np.asarray([-1.0, 1.0]))
    array([-1.11133074,  1.05070099])
    """

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.selu(x)


class ReLU6(Module):
    """Rectified linear unit with a limit, ``min(max(x, 0), 6)``: `functional.relu6`.

    Examples
    --------
    >>> volta.nn.ReLU6()(np.asarray([-1.0, 9.0]))
    array([0., 6.])
    """

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.relu6(x)


class Hardtanh(Module):
    """Limit to an interval: `functional.hardtanh`.

    Parameters
    ----------
    min_val, max_val : float
        Ends of the interval.

    Examples
    --------
    >>> volta.nn.Hardtanh()(np.asarray([-2.0, 0.5]))
    array([-1. ,  0.5])
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        self.min_val = min_val
        self.max_val = max_val

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.hardtanh(x, self.min_val, self.max_val)


class Hardsigmoid(Module):
    """Straight lines near to `Sigmoid`: `functional.hardsigmoid`.

    Examples
    --------
    >>> volta.nn.Hardsigmoid()(np.asarray([-4.0, 0.0]))
    array([0. , 0.5])
    """

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.hardsigmoid(x)


class Hardswish(Module):
    """Parabola near to `SiLU`: `functional.hardswish`.

    Examples
    --------
    >>> volta.nn.Hardswish()(np.asarray([1.5, 4.0]))
    array([1.125, 4.   ])
    """

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.hardswish(x)


class Hardshrink(Module):
    """Set small elements to 0: `functional.hardshrink`.

    Parameters
    ----------
    lambd : float
        Largest absolute value that is small.

    Examples
    --------
    >>> volta.nn.Hardshrink()(np.asarray([0.25, 2.0]))
    array([0., 2.])
    """

    def __init__(self, lambd: float = 0.5) -> None:
        self.lambd = lambd

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.hardshrink(x, self.lambd)


class Softshrink(Module):
    """Move elements towards 0: `functional.softshrink`.

    Parameters
    ----------
    lambd : float
        How far.

    Examples
    --------
    >>> volta.nn.Softshrink()(np.asarray([0.25, 2.0]))
    array([0. , 1.5])
    """

    def __init__(self, lambd: float = 0.5) -> None:
        self.lambd = lambd

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.softshrink(x, self.lambd)


class Tanhshrink(Module):
    """What `Tanh` takes away, ``x − tanh(x)``: `functional.tanhshrink`.

    Examples
    --------
    >>> volta.nn.Tanhshrink()(np.asarray([0.0, 2.0]))
    array([0.        , 1.03597242])
    """

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.tanhshrink(x)


class Softsign(Module):
    """Squash numbers into (−1, 1), ``x / (1 + |x|)``: `functional.softsign`.

    Examples
    --------
    >>> volta.nn.Softsign()(np.asarray([-1.0, 3.0]))
    array([-0.5 ,  0.75])
    """

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.softsign(x)


class LogSigmoid(Module):
    """Logarithm of `Sigmoid`, without overflow: `functional.logsigmoid`.

    Examples
    --------
    >>> volta.nn.LogSigmoid()(np.asarray([0.0]))
    array([-0.69314718])
    """

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.logsigmoid(x)


class Threshold(Module):
    """Replace elements that are not above a threshold: `functional.threshold`.

    Parameters
    ----------
    threshold : float
    value : float
        What replaces them.

    Examples
    --------
    >>> volta.nn.Threshold(0.5, 9.0)(np.asarray([0.5, 2.0]))
    array([9., 2.])
    """

    def __init__(self, threshold: float, value: float) -> None:
        self.threshold = threshold
        self.value = value

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.threshold(x, self.threshold, self.value)


class GLU(Module):
    """Gated linear unit, ``a · sigmoid(b)`` of the halves along an axis: `functional.glu`.

    Parameters
    ----------
    axis : int

    Examples
    --------
    >>> volta.nn.GLU()(np.asarray([3.0, 0.0]))
    array([1.5])
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, with an even number of elements along the axis."""
        return F.glu(x, self.axis)


class Softmin(Module):
    """`Softmax` of the negated elements: `functional.softmin`.

    Parameters
    ----------
    axis : int

    Examples
    --------
    >>> volta.nn.Softmin()(np.asarray([0.0, 0.0]))
    array([0.5, 0.5])
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.softmin(x, self.axis)


class Softmax2d(Module):
    """`Softmax` over the channels at each place of an image.

    Examples
    --------
    >>> volta.nn.Softmax2d()(np.zeros((1, 2, 1, 1))).tolist()
    [[[[0.5]], [[0.5]]]]
    """

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (n, channels, height, width) or without an n."""
        if x.ndim not in (3, 4):
            msg = (
                "Softmax2d: the input must have shape (n, channels, height, width) or (channels, "
                f"height, width); got {tuple(x.shape)}."
            )
            raise located(ShapeError(msg))
        return F.softmax(x, axis=-3)


class PReLU(Module):
    """Leaky rectified linear unit whose slopes are learned: `functional.prelu`.

    Parameters
    ----------
    num_parameters : int
        1, or the number of channels, which are axis 1 of the input.
    init : float
        Slope to begin with.
    dtype, xp, device : optional
        Of the parameter; by default float32, and NumPy.

    Raises
    ------
    ValueError
        If `num_parameters` is less than 1.

    References
    ----------
    K. He et al., "Delving deep into rectifiers: surpassing human-level performance on ImageNet
    classification", ICCV 2015, https://arxiv.org/abs/1502.01852, equation 1.

    Examples
    --------
    >>> volta.nn.PReLU()(np.asarray([-1.0, 2.0]))
    array([-0.25,  2.  ])
    """

    weight: Array

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        *,
        dtype: Any = None,
        xp: Any = None,
        device: Any = None,
    ) -> None:
        if num_parameters < 1:
            msg = f"PReLU: num_parameters must be at least 1; got {num_parameters}."
            raise located(ValueError(msg))
        self.num_parameters = num_parameters
        self.weight = F.full(
            (num_parameters,), init, dtype=dtype or F.float32, xp=xp, device=device
        )

    def __call__(self, x: Array) -> Any:
        """Apply the function to `x`, of shape (n, channels, ...)."""
        return F.prelu(x, self.weight)


class RReLU(Module):
    """Leaky rectified linear unit with random slopes in training: `functional.rrelu`.

    Parameters
    ----------
    lower, upper : float
        Bounds of the slopes; in evaluation each is their mean.

    Raises
    ------
    ValueError
        If `lower` is larger than `upper`; from a call in training, if there is no key.

    Examples
    --------
    >>> volta.nn.RReLU(0.1, 0.3).eval()(np.asarray([-1.0, 2.0]))
    array([-0.2,  2. ])
    """

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3) -> None:
        if lower > upper:
            msg = f"RReLU: lower must not be larger than upper; got {lower} and {upper}."
            raise located(ValueError(msg))
        self.lower = lower
        self.upper = upper

    def __call__(self, x: Array, *, key: Any = None) -> Any:
        """Apply the function to `x`, of shape (...)."""
        return F.rrelu(x, self.lower, self.upper, training=self.training, key=key)
