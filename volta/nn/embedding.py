"""Embeddings as layers."""

from typing import Any, Self

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta.core.errors import DimensionError, ShapeError
from volta.core.trace import located
from volta.core.types import Array
from volta.nn import init
from volta.nn.module import Module

__all__ = ["Embedding", "EmbeddingBag"]


class _Table(Module):
    """What both layers have in common: a table of rows, one of which may be padding."""

    weight: Array

    def _size(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None) -> None:
        name = type(self).__name__
        if num_embeddings < 1 or embedding_dim < 0:
            msg = (
                f"{name}: num_embeddings must be positive and embedding_dim not negative; got "
                f"{num_embeddings} and {embedding_dim}."
            )
            raise located(ValueError(msg))
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            msg = (
                f"{name}: padding_idx must be from {-num_embeddings} to {num_embeddings - 1}; got "
                f"{padding_idx}."
            )
            raise located(DimensionError(msg))
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings

    def _fill(self, key: Any, where: dict[str, Any]) -> None:
        table = init.normal(key, (self.num_embeddings, self.embedding_dim), **where)
        if self.padding_idx is not None:
            table = F.at(table)[self.padding_idx].set(0.0)
        self.weight = table

    def _adopt(self, embeddings: Any, freeze: bool, padding_idx: int | None) -> None:
        if embeddings.ndim != 2:
            msg = (
                f"{type(self).__name__}: embeddings must have two axes; got shape "
                f"{tuple(embeddings.shape)}."
            )
            raise located(ShapeError(msg))
        self._size(int(embeddings.shape[0]), int(embeddings.shape[1]), padding_idx)
        self.weight = embeddings
        if freeze:
            self.freeze("weight")


class Embedding(_Table):
    """Look up rows of a table: `functional.embedding`.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        Number of rows, and their length.
    padding_idx : int, optional
        Row that starts as zeros and gets no derivative.
    max_norm : float, optional
        Rows whose norm is larger are shortened to it in the result.
    norm_type : float
        Order of that norm.
    scale_grad_by_freq : bool
        Whether a row's derivative is divided by how often it occurs in the input.
    key : array, shape (2,), uint32
        Random key of the initial values.
    dtype, xp, device : optional
        Of the table; by default float32, and library and device of `key`.

    Attributes
    ----------
    weight : array, shape (num_embeddings, embedding_dim)
        Normal numbers of mean 0 and variance 1 at first.

    Raises
    ------
    ValueError
        If a size is out of range.
    DimensionError
        If there is no row `padding_idx`; from a call, if there is no such row.

    Examples
    --------
    >>> layer = volta.nn.Embedding(10, 3, padding_idx=0, key=F.random.key(0))
    >>> layer(np.asarray([[1, 2], [0, 9]])).shape
    (2, 2, 3)
    >>> layer.weight[0]
    array([0., 0., 0.], dtype=float32)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        *,
        key: Any,
        dtype: Any = None,
        xp: Any = None,
        device: Any = None,
    ) -> None:
        self._size(num_embeddings, embedding_dim, padding_idx)
        self._configure(max_norm, norm_type, scale_grad_by_freq)
        self._fill(key, {"dtype": dtype, "xp": xp, "device": device})

    def _configure(
        self, max_norm: float | None, norm_type: float, scale_grad_by_freq: bool
    ) -> None:
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Array,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
    ) -> Self:
        """Make a layer of a table.

        Parameters
        ----------
        embeddings : array, shape (num_embeddings, embedding_dim)
        freeze : bool
            Whether the table is held constant: see `Module.freeze`.
        padding_idx, max_norm, norm_type, scale_grad_by_freq
            As for the layer; the row of `padding_idx` stays as it is.

        Returns
        -------
        Embedding

        Raises
        ------
        ShapeError
            If `embeddings` is no table.

        Examples
        --------
        >>> layer = volta.nn.Embedding.from_pretrained(np.asarray([[1.0, 2.0], [3.0, 4.0]]))
        >>> layer(np.asarray([1])), layer.parameters()
        (array([[3., 4.]]), {})
        """
        layer = cls.__new__(cls)
        layer._adopt(embeddings, freeze, padding_idx)
        layer._configure(max_norm, norm_type, scale_grad_by_freq)
        return layer

    def __call__(self, x: Array) -> Any:
        """Look up `x`, of ints and shape (...); the result has shape (..., embedding_dim)."""
        return F.embedding(
            x,
            self.weight,
            padding_idx=self.padding_idx,
            max_norm=self.max_norm,
            norm_type=self.norm_type,
            scale_grad_by_freq=self.scale_grad_by_freq,
        )


class EmbeddingBag(_Table):
    """Look up rows of a table, and reduce them to one row a bag: `functional.embedding_bag`.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        Number of rows, and their length.
    max_norm, norm_type, scale_grad_by_freq
        As for `Embedding`.
    mode : "sum", "mean" or "max"
    include_last_offset : bool
        Whether the offsets of a call end with the length of the input.
    padding_idx : int, optional
        Row that starts as zeros and counts as absent.
    key : array, shape (2,), uint32
        Random key of the initial values.
    dtype, xp, device : optional
        Of the table; by default float32, and library and device of `key`.

    Attributes
    ----------
    weight : array, shape (num_embeddings, embedding_dim)
        Normal numbers of mean 0 and variance 1 at first.

    Raises
    ------
    ValueError
        If a size is out of range, or there is no such mode.
    DimensionError
        If there is no row `padding_idx`; from a call, if there is no such row.

    Examples
    --------
    >>> layer = volta.nn.EmbeddingBag(10, 3, mode="sum", key=F.random.key(0))
    >>> layer(np.asarray([1, 2, 4, 5, 4]), np.asarray([0, 3])).shape
    (2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        *,
        key: Any,
        dtype: Any = None,
        xp: Any = None,
        device: Any = None,
    ) -> None:
        self._size(num_embeddings, embedding_dim, padding_idx)
        self._configure(max_norm, norm_type, scale_grad_by_freq, mode, include_last_offset)
        self._fill(key, {"dtype": dtype, "xp": xp, "device": device})

    def _configure(
        self,
        max_norm: float | None,
        norm_type: float,
        scale_grad_by_freq: bool,
        mode: str,
        include_last_offset: bool,
    ) -> None:
        if mode not in ("sum", "mean", "max"):
            msg = f"EmbeddingBag: mode must be 'sum', 'mean' or 'max'; got {mode!r}."
            raise located(ValueError(msg))
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.mode = mode
        self.include_last_offset = include_last_offset

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Array,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> Self:
        """Make a layer of a table; arguments as for the layer and `Embedding.from_pretrained`.

        Examples
        --------
        >>> table = np.asarray([[1.0, 2.0], [3.0, 4.0]])
        >>> volta.nn.EmbeddingBag.from_pretrained(table)(np.asarray([[0, 1]]))
        array([[2., 3.]])
        """
        layer = cls.__new__(cls)
        layer._adopt(embeddings, freeze, padding_idx)
        layer._configure(max_norm, norm_type, scale_grad_by_freq, mode, include_last_offset)
        return layer

    def __call__(
        self, x: Array, offsets: Array | None = None, per_sample_weights: Array | None = None
    ) -> Any:
        """Look up bags: ints `x` of shape (bags, size), or (m,) with `offsets`."""
        return F.embedding_bag(
            x,
            self.weight,
            offsets,
            max_norm=self.max_norm,
            norm_type=self.norm_type,
            scale_grad_by_freq=self.scale_grad_by_freq,
            mode=self.mode,
            per_sample_weights=per_sample_weights,
            include_last_offset=self.include_last_offset,
            padding_idx=self.padding_idx,
        )
