"""Dropout as layers: a call in training takes a key, one in evaluation returns the input."""

from typing import Any

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta.core.trace import located
from volta.core.types import Array
from volta.nn.module import Module

__all__ = [
    "AlphaDropout",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "FeatureAlphaDropout",
]


class _Dropout(Module):
    """What the kinds have in common: a probability."""

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            msg = f"{type(self).__name__}: p must be from 0 to 1; got {p}."
            raise located(ValueError(msg))
        self.p = p


class Dropout(_Dropout):
    """Set elements to zero at random in training: `functional.dropout`.

    Parameters
    ----------
    p : float
        Probability that an element is dropped.

    Raises
    ------
    ValueError
        If `p` is not from 0 to 1; from a call in training, if there is no key.

    Notes
    -----
    In training the other elements are divided by 1 − p, so that expectations stay the same. The
    same key drops the same elements: give a new one in each step.

    References
    ----------
    N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
    JMLR 15, 2014, https://jmlr.org/papers/v15/srivastava14a.html.

    Examples
    --------
    >>> layer = volta.nn.Dropout(0.5)
    >>> layer(np.ones(4), key=F.random.key(0))
    array([0., 0., 2., 2.])
    >>> layer.eval()(np.ones(4))
    array([1., 1., 1., 1.])
    """

    def __call__(self, x: Array, *, key: Any = None) -> Any:
        """Drop elements of `x`, of shape (...) and real or complex floating dtype."""
        return F.dropout(x, self.p, key=key, training=self.training)


class Dropout1d(_Dropout):
    """Set whole channels to zero at random in training: `functional.dropout1d`.

    Parameters
    ----------
    p : float
        Probability that a channel of a sample is dropped.

    Raises
    ------
    ValueError
        As from `Dropout`.
    ShapeError
        From a call, if `x` has another number of axes.

    Examples
    --------
    >>> volta.nn.Dropout1d()(np.ones((4, 2)), key=F.random.key(0))[:, 0]
    array([0., 0., 2., 2.])
    """

    def __call__(self, x: Array, *, key: Any = None) -> Any:
        """Drop channels of `x`, of shape (n, channels, length) or (channels, length)."""
        return F.dropout1d(x, self.p, key=key, training=self.training)


class Dropout2d(_Dropout):
    """Set whole channels of images to zero at random in training: `functional.dropout2d`.

    Parameters
    ----------
    p : float
        Probability that a channel of a sample is dropped.

    Raises
    ------
    ValueError
        As from `Dropout`.
    ShapeError
        From a call, if `x` has another number of axes.

    Examples
    --------
    >>> volta.nn.Dropout2d()(np.ones((1, 4, 2, 3)), key=F.random.key(0))[0, :, 0, 0]
    array([0., 0., 2., 2.])
    """

    def __call__(self, x: Array, *, key: Any = None) -> Any:
        """Drop channels of `x`, of shape (n, channels, height, width) or (n, channels, length)."""
        return F.dropout2d(x, self.p, key=key, training=self.training)


class Dropout3d(_Dropout):
    """Set whole channels of volumes to zero at random in training: `functional.dropout3d`.

    Parameters
    ----------
    p : float
        Probability that a channel of a sample is dropped.

    Raises
    ------
    ValueError
        As from `Dropout`.
    ShapeError
        From a call, if `x` has another number of axes.

    Examples
    --------
    >>> volta.nn.Dropout3d()(np.ones((4, 2, 2, 2)), key=F.random.key(0))[:, 0, 0, 0]
    array([0., 0., 2., 2.])
    """

    def __call__(self, x: Array, *, key: Any = None) -> Any:
        """Drop channels of `x`, of shape (n, channels, depth, height, width) or without n."""
        return F.dropout3d(x, self.p, key=key, training=self.training)


class AlphaDropout(_Dropout):
    """Set elements to the limit of SELU at random in training: `functional.alpha_dropout`.

    Parameters
    ----------
    p : float
        Probability that an element is dropped.

    Raises
    ------
    ValueError
        As from `Dropout`.

    Examples
    --------
    >>> volta.nn.AlphaDropout()(np.ones(4), key=F.random.key(0)).round(3)
    array([-0.779, -0.779,  1.666,  1.666])
    """

    def __call__(self, x: Array, *, key: Any = None) -> Any:
        """Drop elements of `x`, of shape (...) and real floating dtype."""
        return F.alpha_dropout(x, self.p, key=key, training=self.training)


class FeatureAlphaDropout(_Dropout):
    """Set channels to the limit of SELU at random: `functional.feature_alpha_dropout`.

    Parameters
    ----------
    p : float
        Probability that a channel of a sample is dropped.

    Raises
    ------
    ValueError
        As from `Dropout`.
    ShapeError
        From a call, if `x` has no channels.

    Examples
    --------
    >>> layer = volta.nn.FeatureAlphaDropout()
    >>> layer(np.ones((1, 4, 9)), key=F.random.key(0))[0, :, 0].round(3)
    array([-0.779, -0.779,  1.666,  1.666])
    """

    def __call__(self, x: Array, *, key: Any = None) -> Any:
        """Drop channels of `x`, of shape (n, channels, ...)."""
        return F.feature_alpha_dropout(x, self.p, key=key, training=self.training)
