"""Dropout."""

from typing import Any

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta.core.trace import located
from volta.core.tracer import library_under
from volta.core.types import Array
from volta.functional import random
from volta.nn.module import Module

__all__ = ["Dropout"]


class Dropout(Module):
    """Set elements to zero at random in training; return the input in evaluation.

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

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            msg = f"Dropout: p must be from 0 to 1; got {p}."
            raise located(ValueError(msg))
        self.p = p

    def __call__(self, x: Array, *, key: Any = None) -> Any:
        """Drop elements of `x`, of shape (...) and real or complex floating dtype."""
        if not self.training or self.p == 0:
            return x
        if key is None:
            msg = (
                "Dropout: a call in training must have a random key; got none. Pass "
                "key=F.random.key(seed), a new one in each step, or call eval() on the model."
            )
            raise located(ValueError(msg))
        home = library_under(x)
        xp, device = (None, None) if library_under(key) is home else (home.xp, _device(x))
        kept = random.bernoulli(key, 1.0 - self.p, tuple(x.shape), xp=xp, device=device)
        scale = 1 / (1 - self.p) if self.p < 1 else 0.0
        factors = F.multiply(F.astype(kept, x.dtype), scale)
        return F.multiply(x, F.astype(factors, x.dtype, copy=False))


def _device(x: Any) -> Any:
    return library_under(x).device(x) if not hasattr(x, "device") else x.device
