"""Initial values of parameters, by PyTorch's names, from explicit keys.

Every function is called ``f(key, shape, ..., dtype=None, xp=None, device=None)`` and returns an
array of that shape: float32 by default, in the library and on the device of the key. The fans are
numbers of inputs and outputs that an element meets. A shape of two axes is that of a `Linear`'s
weight, (in, out); one of more axes a convolution's, (out, in, ...).
"""

import math
from typing import Any, Final

import numpy as np

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta.core.context import default_dtype_of
from volta.core.dispatch import NUMPY
from volta.core.errors import ShapeError
from volta.core.trace import located
from volta.core.tracer import Tracer, library_under
from volta.core.types import as_dtype
from volta.functional import random

__all__ = [
    "calculate_gain",
    "constant",
    "dirac",
    "eye",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "kaiming_normal",
    "kaiming_uniform",
    "lecun_normal",
    "normal",
    "ones",
    "orthogonal",
    "sparse",
    "trunc_normal",
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
    return F.zeros(shape, dtype=dtype, **home(key, xp, device))


def ones(key: Any, shape: Shape, *, dtype: Any = None, xp: Any = None, device: Any = None) -> Any:
    """Ones; see `zeros`.

    Examples
    --------
    >>> volta.nn.init.ones(F.random.key(0), (2,))
    array([1., 1.], dtype=float32)
    """
    return F.ones(shape, dtype=dtype, **home(key, xp, device))


def constant(
    key: Any,
    shape: Shape,
    val: float,
    *,
    dtype: Any = None,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """One number everywhere; see `zeros`.

    Examples
    --------
    >>> volta.nn.init.constant(F.random.key(0), (2,), 0.5)
    array([0.5, 0.5], dtype=float32)
    """
    return F.full(shape, float(val), dtype=dtype, **home(key, xp, device))


def eye(key: Any, shape: Shape, *, dtype: Any = None, xp: Any = None, device: Any = None) -> Any:
    """Ones on the diagonal, so that a `Linear` layer passes on as many inputs as it can.

    Parameters
    ----------
    key : array, shape (2,), uint32
    shape : tuple of int
        Of two axes.
    dtype, xp, device : optional
        By default the default dtype, and where the key is.

    Returns
    -------
    array, shape `shape`

    Raises
    ------
    ShapeError
        If `shape` does not have two axes.

    Examples
    --------
    >>> volta.nn.init.eye(F.random.key(0), (2, 3))
    array([[1., 0., 0.],
           [0., 1., 0.]], dtype=float32)
    """
    _check_axes("eye", shape, (2,))
    return F.eye(*shape, dtype=dtype, **home(key, xp, device))


def dirac(
    key: Any,
    shape: Shape,
    groups: int = 1,
    *,
    dtype: Any = None,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Kernels that a convolution passes on as many channels with as it can.

    Parameters
    ----------
    key : array, shape (2,), uint32
    shape : tuple of int
        Of a convolution's weight, (out, in, ...), with three to five axes.
    groups : int
        Number of groups of the convolution, each of which passes its channels on.
    dtype, xp, device : optional
        By default the default dtype, and where the key is.

    Returns
    -------
    array, shape `shape`
        Zero, but one at the kernels' centres, index ``n // 2`` of n.

    Raises
    ------
    ShapeError
        If `shape` has fewer than three axes or more than five.
    ValueError
        If `groups` does not divide the number of outputs.

    Examples
    --------
    >>> volta.nn.init.dirac(F.random.key(0), (2, 2, 3))
    array([[[0., 1., 0.],
            [0., 0., 0.]],
           [[0., 0., 0.],
            [0., 1., 0.]]], dtype=float32)
    """
    _check_axes("dirac", shape, (3, 4, 5))
    if groups < 1 or shape[0] % groups:
        msg = f"dirac: groups must divide the number of outputs; got {groups} and {shape[0]}."
        raise located(ValueError(msg))
    outputs = shape[0] // groups
    inputs = np.arange(min(outputs, shape[1]))
    at: Any = (np.arange(groups)[:, None] * outputs + inputs, inputs, *(n // 2 for n in shape[2:]))
    host = np.zeros(shape, np.float32)
    host[at] = 1
    return F.astype(F.asarray(host, **home(key, xp, device)), _floating(dtype), copy=False)


def _floating(dtype: Any) -> Any:
    return default_dtype_of("float") if dtype is None else as_dtype(dtype)


def _check_axes(name: str, shape: Shape, wanted: tuple[int, ...]) -> None:
    if len(shape) not in wanted:
        axes = " or ".join(map(str, wanted))
        msg = f"{name}: the shape must have {axes} axes; got {tuple(shape)}."
        raise ShapeError(msg)


def home(key: Any, xp: Any = None, device: Any = None) -> dict[str, Any]:
    """Library and device, by default those of an array."""
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


def trunc_normal(
    key: Any,
    shape: Shape,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    *,
    dtype: Any = None,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from a normal distribution, given an interval.

    Parameters
    ----------
    key : array, shape (2,), uint32
    shape : tuple of int
    mean, std : float
        Mean and standard deviation before the cut; `std` is positive.
    a, b : float
        Least and greatest value.
    dtype, xp, device : optional
        By default the default dtype, and where the key is.

    Returns
    -------
    array, shape `shape`

    Raises
    ------
    ValueError
        If `std` is not positive, or `a` not less than `b`.

    Notes
    -----
    As in PyTorch, and unlike JAX's function of this name, the bounds are values, not multiples of
    the standard deviation.

    Examples
    --------
    >>> x = volta.nn.init.trunc_normal(F.random.key(0), (100,), std=0.02, a=-0.04, b=0.04)
    >>> bool(np.abs(x).max() <= 0.04)
    True
    """
    if not std > 0 or not a < b:
        msg = (
            "trunc_normal: std must be positive, and a less than b; got "
            f"std={std}, a={a} and b={b}."
        )
        raise located(ValueError(msg))
    low, high = (a - mean) / std, (b - mean) / std
    x = random.truncated_normal(key, low, high, shape, dtype, xp=xp, device=device)
    return F.astype(F.clip(F.add(F.multiply(x, std), mean), a, b), x.dtype, copy=False)


def orthogonal(
    key: Any,
    shape: Shape,
    gain: float = 1.0,
    *,
    dtype: Any = None,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw an orthogonal matrix, which changes no lengths.

    Parameters
    ----------
    key : array, shape (2,), uint32
    shape : tuple of int
        Of at least two axes; those beyond the first count as one.
    gain : float
        Factor.
    dtype, xp, device : optional
        By default the default dtype, and where the key is.

    Returns
    -------
    array, shape `shape`
        Of rows and columns those that are fewer are orthogonal to each other, and of length
        `gain`.

    Raises
    ------
    ShapeError
        If `shape` has fewer than two axes.

    References
    ----------
    A. Saxe, J. McClelland, S. Ganguli, "Exact solutions to the nonlinear dynamics of learning in
    deep linear neural networks", ICLR 2014, https://arxiv.org/abs/1312.6120.

    Examples
    --------
    >>> x = volta.nn.init.orthogonal(F.random.key(0), (3, 2))
    >>> bool(np.allclose(x.T @ x, np.eye(2), atol=1e-6))
    True
    """
    _fans("orthogonal", shape)
    chosen = _floating(dtype)
    work = "float32" if chosen.itemsize < 4 else chosen  # no library decomposes shorter numbers
    rows, columns = shape[0], math.prod(shape[1:])
    q = random.orthogonal(key, rows, (), work, columns, xp=xp, device=device)
    return F.astype(F.reshape(F.multiply(q, gain), shape), chosen, copy=False)


def sparse(
    key: Any,
    shape: Shape,
    sparsity: float,
    std: float = 0.01,
    *,
    dtype: Any = None,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from a normal distribution, and drop a part of what goes out from each input.

    Parameters
    ----------
    key : array, shape (2,), uint32
    shape : tuple of int
        Of a `Linear`'s weight, (in, out).
    sparsity : float
        Part of each row that is zero, from 0 to 1; numbers of zeros are rounded up.
    std : float
        Standard deviation of the others.
    dtype, xp, device : optional
        By default the default dtype, and where the key is.

    Returns
    -------
    array, shape `shape`

    Raises
    ------
    ShapeError
        If `shape` does not have two axes.
    ValueError
        If `sparsity` is not from 0 to 1.

    References
    ----------
    J. Martens, "Deep learning via Hessian-free optimization", ICML 2010, section 5.

    Examples
    --------
    >>> x = volta.nn.init.sparse(F.random.key(0), (3, 8), 0.7)
    >>> np.sum(x == 0, axis=1)
    array([6, 6, 6])
    """
    _check_axes("sparse", shape, (2,))
    if not 0 <= sparsity <= 1:
        msg = f"sparse: sparsity must be from 0 to 1; got {sparsity}."
        raise located(ValueError(msg))
    order_key, value_key = F.unstack(random.split(key))
    order = F.argsort(random.uniform(order_key, shape, "float32", xp=xp, device=device), axis=1)
    x = normal(value_key, shape, 0.0, std, dtype=dtype, xp=xp, device=device)
    return F.where(F.less(order, math.ceil(sparsity * shape[1])), F.zeros_like(x), x)


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
    "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0,
    "conv_transpose3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 0.75,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Factor of the standard deviation that makes up for a nonlinearity; PyTorch's values.

    Parameters
    ----------
    nonlinearity : str
        ``"linear"``, ``"conv1d"`` to ``"conv3d"``, ``"conv_transpose1d"`` to
        ``"conv_transpose3d"``, ``"sigmoid"``, ``"tanh"``, ``"relu"``, ``"leaky_relu"`` or
        ``"selu"``.
    param : float, optional
        Negative slope of ``"leaky_relu"``, by default 0.01; the gain is √(2 / (1 + param²)).

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
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
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
