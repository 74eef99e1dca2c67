"""Dropout: elements or whole channels set aside at random, from explicit keys."""

import math
from typing import Any, Final

from volta.core.errors import DTypeError, ShapeError
from volta.core.trace import located, ops
from volta.core.tracer import library_under
from volta.core.types import Array, typeof
from volta.functional.declare import composite
from volta.functional.elementwise import add, multiply, subtract
from volta.functional.random import bernoulli

__all__ = [
    "alpha_dropout",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "feature_alpha_dropout",
]


def _kept(name: str, x: Any, p: float, key: Any, shape: tuple[int, ...]) -> Any:
    """Ones where elements stay and zeros where they are dropped, of the dtype of `x`."""
    if key is None:
        msg = (
            f"{name}: a call in training must have a random key; got none. Pass "
            "key=F.random.key(seed), a new one in each step, or training=False, as eval() on a "
            "model does."
        )
        raise located(ValueError(msg))
    home = library_under(x)
    xp, device = (None, None) if library_under(key) is home else (home.xp, _device(x))
    return ops.astype(bernoulli(key, 1.0 - p, shape, xp=xp, device=device), x.dtype)


def _device(x: Any) -> Any:
    return library_under(x).device(x) if not hasattr(x, "device") else x.device


def _check(name: str, x: Any, p: float, kinds: tuple[str, ...] = ("float", "complex")) -> None:
    if not 0 <= p <= 1:
        msg = f"{name}: p must be from 0 to 1; got {p}."
        raise located(ValueError(msg))
    dtype = typeof(x).dtype
    if dtype.kind not in kinds:
        msg = f"{name}: x must be of {' or '.join(kinds)} dtype; got {dtype.name}."
        raise located(DTypeError(msg))


def _dropped(
    name: str, x: Any, p: float, key: Any, training: bool, shape: tuple[int, ...] | None = None
) -> Any:
    _check(name, x, p)
    if not training or p == 0:
        return x
    kept = _kept(name, x, p, key, tuple(x.shape) if shape is None else shape)
    scale = 1 / (1 - p) if p < 1 else 0.0
    return multiply(x, ops.astype(multiply(kept, scale), x.dtype, copy=False))


def _of_channels(name: str, x: Any, ranks: dict[int, int]) -> tuple[int, ...]:
    """Shape of one number a channel; `ranks` says how many leading axes count the channels."""
    if x.ndim not in ranks:
        wanted = " or ".join(map(str, ranks))
        msg = f"{name}: x must have {wanted} axes; got shape {tuple(x.shape)}."
        raise located(ShapeError(msg))
    lead = ranks[x.ndim]
    return (*x.shape[:lead], *(1,) * (x.ndim - lead))


@composite
def dropout(x: Array, p: float = 0.5, *, key: Any = None, training: bool = True) -> Any:
    """Set elements to zero at random, and divide the others by 1 − p.

    Parameters
    ----------
    x : array, shape (...)
        Of real or complex floating dtype.
    p : float
        Probability that an element is dropped.
    key : array, shape (2,), uint32
        Random key; the same key drops the same elements. Needed where anything is dropped.
    training : bool
        Without it the result is `x`.

    Returns
    -------
    array, shape and dtype of `x`
        Of the expectation of `x`.

    Raises
    ------
    ValueError
        If `p` is not from 0 to 1, or there is no key.
    DTypeError
        If `x` is not floating.

    References
    ----------
    N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
    JMLR 15, 2014, https://jmlr.org/papers/v15/srivastava14a.html.

    Examples
    --------
    >>> F.dropout(np.ones(4), key=F.random.key(0))
    array([0., 0., 2., 2.])
    """
    return _dropped("dropout", x, p, key, training)


@composite
def dropout1d(x: Array, p: float = 0.5, *, key: Any = None, training: bool = True) -> Any:
    """Set whole channels to zero at random, and divide the others by 1 − p.

    Parameters
    ----------
    x : array, shape (n, channels, length) or (channels, length)
        Of real or complex floating dtype.
    p, key, training
        As for `dropout`; `p` is the probability that a channel of a sample is dropped.

    Returns
    -------
    array, shape and dtype of `x`

    Raises
    ------
    ShapeError
        If `x` has another number of axes.
    ValueError, DTypeError
        As from `dropout`.

    References
    ----------
    J. Tompson et al., "Efficient object localization using convolutional networks", CVPR 2015,
    https://arxiv.org/abs/1411.4280, section 3.2.

    Examples
    --------
    >>> F.dropout1d(np.ones((4, 2)), key=F.random.key(0))
    array([[0., 0.],
           [0., 0.],
           [2., 2.],
           [2., 2.]])
    """
    shape = _of_channels("dropout1d", x, {3: 2, 2: 1})
    return _dropped("dropout1d", x, p, key, training, shape)


@composite
def dropout2d(x: Array, p: float = 0.5, *, key: Any = None, training: bool = True) -> Any:
    """Set whole channels of images to zero at random, and divide the others by 1 − p.

    Parameters
    ----------
    x : array, shape (n, channels, height, width) or (n, channels, length)
        Of real or complex floating dtype. As in PyTorch, three axes are a batch too.
    p, key, training
        As for `dropout1d`.

    Returns
    -------
    array, shape and dtype of `x`

    Raises
    ------
    ShapeError
        If `x` has another number of axes.
    ValueError, DTypeError
        As from `dropout`.

    Examples
    --------
    >>> F.dropout2d(np.ones((1, 4, 2, 3)), key=F.random.key(0))[0, :, 0, 0]
    array([0., 0., 2., 2.])
    """
    shape = _of_channels("dropout2d", x, {4: 2, 3: 2})
    return _dropped("dropout2d", x, p, key, training, shape)


@composite
def dropout3d(x: Array, p: float = 0.5, *, key: Any = None, training: bool = True) -> Any:
    """Set whole channels of volumes to zero at random, and divide the others by 1 − p.

    Parameters
    ----------
    x : array, shape (n, channels, depth, height, width) or (channels, depth, height, width)
        Of real or complex floating dtype.
    p, key, training
        As for `dropout1d`.

    Returns
    -------
    array, shape and dtype of `x`

    Raises
    ------
    ShapeError
        If `x` has another number of axes.
    ValueError, DTypeError
        As from `dropout`.

    Examples
    --------
    >>> F.dropout3d(np.ones((4, 2, 2, 2)), key=F.random.key(0))[:, 0, 0, 0]
    array([0., 0., 2., 2.])
    """
    shape = _of_channels("dropout3d", x, {5: 2, 4: 1})
    return _dropped("dropout3d", x, p, key, training, shape)


# What SELU, of which these are the constants scale · α, tends to at −∞
_SATURATED: Final = -1.0507009873554805 * 1.6732632423543772


def _saturated(
    name: str, x: Any, p: float, key: Any, training: bool, shape: tuple[int, ...]
) -> Any:
    """Dropped elements at SELU's limit, then scaled and shifted to keep mean 0 and variance 1."""
    _check(name, x, p, ("float",))
    if not training or p == 0:
        return x
    if p == 1:
        return multiply(x, 0)
    kept = _kept(name, x, p, key, shape)
    a = 1 / math.sqrt((1 - p) * (1 + p * _SATURATED**2))
    # a · (x or the limit) − a · p · limit
    shift = multiply(subtract(1 - p, kept), a * _SATURATED)
    factor = multiply(kept, a)
    return add(multiply(x, factor), shift)


@composite
def alpha_dropout(x: Array, p: float = 0.5, *, key: Any = None, training: bool = True) -> Any:
    """Set elements to the limit of SELU at random, keeping mean 0 and variance 1.

    Parameters
    ----------
    x : array, shape (...)
        Of real floating dtype.
    p, key, training
        As for `dropout`.

    Returns
    -------
    array, shape and dtype of `x`
        Zeros where `p` is 1.

    Raises
    ------
    ValueError
        If `p` is not from 0 to 1, or there is no key.
    DTypeError
        If `x` is not real floating.

    Notes
    -----
    ``a · (x or α') + b`` with α' = −1.758, the limit of SELU at −∞, and ``a`` and ``b`` such that
    an `x` of mean 0 and variance 1 keeps these.

    References
    ----------
    G. Klambauer, T. Unterthiner, A. Mayr, S. Hochreiter, "Self-normalizing neural networks",
    NeurIPS 2017, https://arxiv.org/abs/1706.02515.

    Examples
    --------
    >>> F.alpha_dropout(np.ones(4), key=F.random.key(0)).round(3)
    array([-0.779, -0.779,  1.666,  1.666])
    """
    return _saturated("alpha_dropout", x, p, key, training, tuple(x.shape))


@composite
def feature_alpha_dropout(
    x: Array, p: float = 0.5, *, key: Any = None, training: bool = True
) -> Any:
    """Set whole channels to the limit of SELU at random, keeping mean 0 and variance 1.

    Parameters
    ----------
    x : array, shape (n, channels, ...)
        Of real floating dtype.
    p, key, training
        As for `alpha_dropout`.

    Returns
    -------
    array, shape and dtype of `x`

    Raises
    ------
    ShapeError
        If `x` has no channels.
    ValueError, DTypeError
        As from `alpha_dropout`.

    Examples
    --------
    >>> F.feature_alpha_dropout(np.ones((1, 4, 9)), key=F.random.key(0))[0, :, 0].round(3)
    array([-0.779, -0.779,  1.666,  1.666])
    """
    if x.ndim < 2:
        msg = (
            "feature_alpha_dropout: x must have 2 axes or more, (n, channels, ...); got shape "
            f"{tuple(x.shape)}."
        )
        raise located(ShapeError(msg))
    shape = (*x.shape[:2], *(1,) * (x.ndim - 2))
    return _saturated("feature_alpha_dropout", x, p, key, training, shape)
