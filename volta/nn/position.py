"""Encodings of places in a sequence."""

from typing import Any

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta.core.errors import ShapeError
from volta.core.trace import located
from volta.core.tracer import library_under
from volta.core.types import Array
from volta.nn.dropout import Dropout
from volta.nn.embedding import Embedding
from volta.nn.module import Module

__all__ = ["PositionalEncoding", "RotaryEmbedding"]

_KINDS = ("sinusoidal", "learned")


class PositionalEncoding(Module):
    """Add an encoding of its place to each element of a sequence.

    Parameters
    ----------
    embed_dim : int
        Length of an element.
    max_len : int
        Number of places that there are encodings for.
    kind : {"sinusoidal", "learned"}
        Waves, `functional.sinusoidal_encoding`, or the rows of an `Embedding`.
    dropout : float
        Probability with which, in training, an element of the sum is dropped.
    key : array, shape (2,), uint32, optional
        Random key of the initial values; needed for learned ones.
    dtype, xp, device : optional
        Of learned encodings; by default float32, and where the key is.

    Attributes
    ----------
    learned_embedding : Embedding, or None

    Raises
    ------
    ValueError
        If there is no such kind, or no key for learned encodings.
    ShapeError
        From a call, if the sequence is longer than `max_len` or its elements have another length.

    Examples
    --------
    >>> layer = volta.nn.PositionalEncoding(4, 10)
    >>> layer(np.zeros((1, 2, 4), np.float32)).round(2)
    array([[[0.  , 1.  , 0.  , 1.  ],
            [0.84, 0.54, 0.01, 1.  ]]], dtype=float32)
    """

    def __init__(
        self,
        embed_dim: int,
        max_len: int,
        kind: str = "sinusoidal",
        dropout: float = 0.0,
        *,
        key: Any = None,
        dtype: Any = None,
        xp: Any = None,
        device: Any = None,
    ) -> None:
        if kind not in _KINDS:
            msg = f'PositionalEncoding: kind must be "sinusoidal" or "learned"; got {kind!r}.'
            raise located(ValueError(msg))
        if kind == "learned" and key is None:
            msg = (
                "PositionalEncoding: learned encodings must have a random key to start from; got "
                "none. Pass key=F.random.key(seed)."
            )
            raise located(ValueError(msg))
        self.embed_dim, self.max_len, self.kind = embed_dim, max_len, kind
        self.dropout = Dropout(dropout)
        self.learned_embedding = None
        if kind == "learned":
            where = {"dtype": dtype, "xp": xp, "device": device}
            self.learned_embedding = Embedding(max_len, embed_dim, key=key, **where)

    def __call__(self, x: Array, *, start: int = 0, key: Any = None) -> Any:
        """Add encodings to `x`, of shape (..., length, embed_dim), from place `start` on."""
        shape = tuple(x.shape)
        if len(shape) < 2 or shape[-1] != self.embed_dim or start + shape[-2] > self.max_len:
            msg = (
                "PositionalEncoding: x must have shape (..., length, embed_dim) with embed_dim="
                f"{self.embed_dim} and at most max_len={self.max_len} places; got {shape}, from "
                f"place {start}."
            )
            raise located(ShapeError(msg))
        stop = start + shape[-2]
        if self.learned_embedding is not None:
            encoding = self.learned_embedding.weight[start:stop, :]
        else:
            library = library_under(x)
            encoding = F.sinusoidal_encoding(stop, self.embed_dim, dtype=x.dtype, xp=library)
            encoding = encoding[start:, :]
        return self.dropout(F.add(x, encoding), key=key)


class RotaryEmbedding(Module):
    """Rotate queries or keys by their places: `functional.rotary_embedding`.

    Parameters
    ----------
    base : float
        Longest wavelength over 2π.
    interleaved : bool
        Whether pairs of features are neighbours.

    Examples
    --------
    >>> volta.nn.RotaryEmbedding()(np.ones((3, 4))).shape
    (3, 4)
    """

    def __init__(self, base: float = 10000.0, interleaved: bool = False) -> None:
        self.base, self.interleaved = base, interleaved

    def __call__(self, x: Array, positions: Array | None = None) -> Any:
        """Rotate `x`, of shape (..., length, features)."""
        return F.rotary_embedding(x, positions, self.base, interleaved=self.interleaved)
