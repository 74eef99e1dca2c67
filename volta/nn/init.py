"""Initial values of parameters, by PyTorch's names, from explicit keys.

Every function is called ``f(key, shape, ..., dtype=None, xp=None, device=None)`` and returns an
array of that shape: float32 by default, in the library and on the device of the key. The fans are
numbers of inputs and outputs that an element meets. A shape of two axes is that of a `Linear`'s
weight, (in, out); one of more axes a convolution's, (out, in, ...).
"""

import math
from typing import Any, Final

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta.core.dispatch import NUMPY
from volta.core.errors import ShapeError
from volta.core.trace import located
from volta.core.tracer import Tracer, library_under
from volta.functional import random

__all__ = [
    "calculate_gain",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "kaiming_normal",
    "kaiming_uniform",
    "lecun_normal",
    "normal",
    "ones",
    "uniform",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]

Shape = tuple[int, ...]


def zeros(key: Any, shape: Shape, *, dtype: Any = None, xp: Any = None, device: Any = None) -> Any:
    """Zeros; the key only says where.

    Parameters
    ----------
    key : array, shape (2,), uint32
    shape : tuple of int
    dtype, xp, device : optional
        By default the default dtype, and where the key is.

    Returns
    -------
    array, shape `shape`

    Examples
    --------
    >>> volta.nn.init.zeros(F.random.key(0), (2,))
    array([0., 0.], dtype=float32)
    """
    return F.zeros(shape, dtype=dtype, **_home(key, xp, device))


def ones(key: Any, shape: Shape, *, dtype: Any = None, xp: Any = None, device: Any = None) -> Any:
    """Ones; see `zeros`.

    Examples
    --------
    >>> volta.nn.init.ones(F.random.key(0), (2,))
    array([1., 1.], dtype=float32)
    """
    return F.ones(shape, dtype=dtype, **_home(key, xp, device))


def _home(key: Any, xp: Any, device: Any) -> dict[str, Any]:
    library = library_under(key)
    if xp is None and device is None and library is not NUMPY:
        device = key.device if type(key) is Tracer else library.device(key)
    return {"xp": library if xp is None else xp, "device": device}


def uniform(
    key: Any,
    shape: Shape,
    a: float = 0.0,
    b: float = 1.0,
    *,
    dtype: Any = None,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from the uniform distribution on [a, b).

    Parameters
    ----------
    key : array, shape (2,), uint32
    shape : tuple of int
    a, b : float
        Bounds.
    dtype, xp, device : optional
        By default the default dtype, and where the key is.

    Returns
    -------
    array, shape `shape`

    Examples
    --------
    >>> volta.nn.init.uniform(F.random.key(0), (2,), -1.0, 1.0).shape
    (2,)
    """
    return random.uniform(key, shape, dtype, minval=a, maxval=b, xp=xp, device=device)


def normal(
    key: Any,
    shape: Shape,
    mean: float = 0.0,
    std: float = 1.0,
    *,
    dtype: Any = None,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from a normal distribution.

    Parameters
    ----------
    key : array, shape (2,), uint32
    shape : tuple of int
    mean, std : float
        Mean and standard deviation.
    dtype, xp, device : optional
        By default the default dtype, and where the key is.

    Returns
    -------
    array, shape `shape`

    Examples
    --------
    >>> volta.nn.init.normal(F.random.key(0), (2,), std=0.01).shape
    (2,)
    """
    x = random.normal(key, shape, dtype, xp=xp, device=device)
    scaled = F.multiply(x, std)
    return F.astype(F.add(scaled, mean) if mean else scaled, x.dtype, copy=False)


def kaiming_uniform(
    key: Any,
    shape: Shape,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    dtype: Any = None,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw uniformly so that the variance of what passes a rectifier stays the same.

    Parameters
    ----------
    key : array, shape (2,), uint32
    shape : tuple of int
        Of at least two axes.
    a : float
        Slope of a leaky rectifier for negative inputs.
    mode : "fan_in" or "fan_out"
        Whether the variance is kept forward or backward.
    nonlinearity : str
        What comes after; see `calculate_gain`.
    dtype, xp, device : optional
        By default the default dtype, and where the key is.

    Returns
    -------
    array, shape `shape`

    Raises
    ------
    ShapeError
        If `shape` has fewer than two axes.
    ValueError
        If `mode` or `nonlinearity` is unknown.

    Notes
    -----
    Between ±gain·√(3/fan), the variance being gain²/fan.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, "Delving deep into rectifiers", ICCV 2015,
    https://arxiv.org/abs/1502.01852, equations (10) and (14).

    Examples
    --------
    >>> volta.nn.init.kaiming_uniform(F.random.key(0), (3, 2)).shape
    (3, 2)
    """
    bound = math.sqrt(3) * _kaiming_std("kaiming_uniform", shape, a, mode, nonlinearity)
    return uniform(key, shape, -bound, bound, dtype=dtype, xp=xp, device=device)


def kaiming_normal(
    key: Any,
    shape: Shape,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    dtype: Any = None,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from a normal distribution of the variance of `kaiming_uniform`; arguments as there.

    Examples
    --------
    >>> volta.nn.init.kaiming_normal(F.random.key(0), (3, 2)).shape
    (3, 2)
    """
    std = _kaiming_std("kaiming_normal", shape, a, mode, nonlinearity)
    return normal(key, shape, 0.0, std, dtype=dtype, xp=xp, device=device)


def _kaiming_std(name: str, shape: Shape, a: float, mode: str, nonlinearity: str) -> float:
    fans = dict(zip(("fan_in", "fan_out"), _fans(name, shape), strict=True))
    if mode not in fans:
        msg = f"{name}: mode must be 'fan_in' or 'fan_out'; got {mode!r}."
        raise located(ValueError(msg))
    return calculate_gain(nonlinearity, a) / math.sqrt(max(1, fans[mode]))


def xavier_uniform(
    key: Any,
    shape: Shape,
    gain: float = 1.0,
    *,
    dtype: Any = None,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw uniformly so that variances stay about the same forward and backward.

    Parameters
    ----------
    key : array, shape (2,), uint32
    shape : tuple of int
        Of at least two axes.
    gain : float
        Factor of the standard deviation.
    dtype, xp, device : optional
        By default the default dtype, and where the key is.

    Returns
    -------
    array, shape `shape`

    Raises
    ------
    ShapeError
        If `shape` has fewer than two axes.

    Notes
    -----
    Between ±gain·√(6/(fan_in + fan_out)), the variance being 2·gain²/(fan_in + fan_out).

    References
    ----------
    X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010, https://proceedings.mlr.press/v9/glorot10a.html, equation (16).

    Examples
    --------
    >>> volta.nn.init.xavier_uniform(F.random.key(0), (3, 2)).shape
    (3, 2)
    """
    bound = gain * math.sqrt(6 / max(1, sum(_fans("xavier_uniform", shape))))
    return uniform(key, shape, -bound, bound, dtype=dtype, xp=xp, device=device)


def xavier_normal(
    key: Any,
    shape: Shape,
    gain: float = 1.0,
    *,
    dtype: Any = None,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from a normal distribution of the variance of `xavier_uniform`; arguments as there.

    Examples
    --------
    >>> volta.nn.init.xavier_normal(F.random.key(0), (3, 2)).shape
    (3, 2)
    """
    std = gain * math.sqrt(2 / max(1, sum(_fans("xavier_normal", shape))))
    return normal(key, shape, 0.0, std, dtype=dtype, xp=xp, device=device)


def lecun_normal(
    key: Any, shape: Shape, *, dtype: Any = None, xp: Any = None, device: Any = None
) -> Any:
    """Draw from the normal distribution of variance 1/fan_in.

    Parameters
    ----------
    key : array, shape (2,), uint32
    shape : tuple of int
        Of at least two axes.
    dtype, xp, device : optional
        By default the default dtype, and where the key is.

    Returns
    -------
    array, shape `shape`

    Raises
    ------
    ShapeError
        If `shape` has fewer than two axes.

    Notes
    -----
    JAX's of this name cuts the distribution off at two standard deviations; this one does not.

    References
    ----------
    Y. LeCun, L. Bottou, G. Orr, K.-R. Müller, "Efficient backprop", Neural Networks: Tricks of
    the Trade, 1998, section 4.6.

    Examples
    --------
    >>> volta.nn.init.lecun_normal(F.random.key(0), (3, 2)).shape
    (3, 2)
    """
    fan_in, _ = _fans("lecun_normal", shape)
    return normal(key, shape, 0.0, 1 / math.sqrt(max(1, fan_in)), dtype=dtype, xp=xp, device=device)


he_uniform = kaiming_uniform
he_normal = kaiming_normal
glorot_uniform = xavier_uniform
glorot_normal = xavier_normal


_GAINS: Final = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 0.75,
}


def calculate_gain(nonlinearity: str, param: float = 0.01) -> float:
    """Factor of the standard deviation that makes up for a nonlinearity; PyTorch's values.

    Parameters
    ----------
    nonlinearity : str
        ``"linear"``, ``"conv1d"`` to ``"conv3d"``, ``"sigmoid"``, ``"tanh"``, ``"relu"``,
        ``"leaky_relu"`` or ``"selu"``.
    param : float
        Negative slope of ``"leaky_relu"``, whose gain is √(2 / (1 + param²)).

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the nonlinearity is unknown.

    Examples
    --------
    >>> volta.nn.init.calculate_gain("leaky_relu", 5**0.5) == (1 / 3) ** 0.5
    True
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + param**2))
    if nonlinearity not in _GAINS:
        known = ", ".join([*_GAINS, "leaky_relu"])
        msg = f"calculate_gain: nonlinearity must be one of {known}; got {nonlinearity!r}."
        raise located(ValueError(msg))
    return _GAINS[nonlinearity]


def _fans(name: str, shape: Shape) -> tuple[int, int]:
    """Count the inputs and outputs that an element meets."""
    if len(shape) < 2:
        msg = f"{name}: the shape must have at least two axes; got {tuple(shape)}."
        raise ShapeError(msg)
    if len(shape) == 2:
        return shape[0], shape[1]
    area = math.prod(shape[2:])
    return shape[1] * area, shape[0] * area
