"""Attention with several heads, and the cache that generation reads."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta import tree
from volta.core.errors import DTypeError, ShapeError
from volta.core.trace import located
from volta.core.types import Array, as_dtype
from volta.functional import random
from volta.nn import init
from volta.nn.linear import Linear
from volta.nn.module import Module

__all__ = ["KVCache", "MultiheadAttention"]


@dataclass(frozen=True)
class KVCache:
    """Keys and values of the places that a sequence has so far, for `MultiheadAttention`.

    Start with an empty one, and pass what a call returns to the next.

    Attributes
    ----------
    key, value : array, shape (batch, heads, length, features), or None
        None in an empty cache.

    Examples
    --------
    >>> layer = volta.nn.MultiheadAttention(4, 2, batch_first=True, key=F.random.key(0))
    >>> x, cache = np.ones((1, 3, 4), np.float32), volta.nn.KVCache()
    >>> for t in range(3):  # as layer(x, x, x, is_causal=True), a place at a time
    ...     y, _, cache = layer(*[x[:, t : t + 1]] * 3, need_weights=False, cache=cache)
    >>> cache.length
    3
    """

    key: Any = None
    value: Any = None

    @property
    def length(self) -> int:
        """Number of places."""
        return 0 if self.key is None else int(self.key.shape[-2])

    def extended(self, key: Any, value: Any) -> "KVCache":
        """Cache with further places at the end."""
        if self.key is None:
            return KVCache(key, value)
        return KVCache(F.concat([self.key, key], axis=-2), F.concat([self.value, value], axis=-2))


tree.register_dataclass(KVCache, ["key", "value"], [])


class MultiheadAttention(Module):
    """Attention of several heads: `functional.scaled_dot_product_attention` between linear maps.

    Parameters
    ----------
    embed_dim : int
        Length of queries and of results.
    num_heads : int
        Number of heads, each of ``embed_dim / num_heads`` features.
    dropout : float
        Probability with which, in training, a weight of a value is dropped.
    bias : bool
        Whether the linear maps have biases.
    add_bias_kv : bool
        Whether a trained key and value are added to those of the sequence.
    add_zero_attn : bool
        Whether a key and a value of zeros are added.
    kdim, vdim : int, optional
        Lengths of keys and values, by default `embed_dim`.
    batch_first : bool
        Whether the batch is the first axis of inputs and outputs, and not the second.
    key : array, shape (2,), uint32
        Random key of the initial values.
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Array library and device of the parameters; by default those of `key`.

    Attributes
    ----------
    in_proj_weight : array, shape (3 embed_dim, embed_dim), or None
        Maps of queries, keys and values; None where their lengths differ, and then there are
        `q_proj_weight`, `k_proj_weight`, `v_proj_weight`, shape (embed_dim, length).
    in_proj_bias : array, shape (3 embed_dim,), or None
    out_proj : Linear
    bias_k, bias_v : array, shape (1, 1, embed_dim), or None

    Raises
    ------
    ValueError
        If the heads do not divide `embed_dim`, or `dropout` is not from 0 to 1; from a call in
        training with dropout, if there is no random key.
    ShapeError
        From a call, if shapes do not fit.
    DTypeError
        From a call, if a mask is neither boolean nor real floating.

    Notes
    -----
    As in PyTorch, boolean masks are True where a key must *not* be seen, and weights start as
    Xavier's uniform ones.

    References
    ----------
    A. Vaswani et al., "Attention is all you need", NeurIPS 2017, https://arxiv.org/abs/1706.03762.

    Examples
    --------
    >>> layer = volta.nn.MultiheadAttention(8, 2, batch_first=True, key=F.random.key(0))
    >>> x = np.ones((5, 3, 8), np.float32)
    >>> out, weights = layer(x, x, x)
    >>> out.shape, weights.shape
    ((5, 3, 8), (5, 3, 3))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        *,
        key: Any,
        dtype: Any = None,
        xp: Any = None,
        device: Any = None,
    ) -> None:
        if embed_dim < 1 or num_heads < 1 or embed_dim % num_heads:
            msg = (
                "MultiheadAttention: num_heads must divide embed_dim, both positive; got "
                f"{num_heads} and {embed_dim}."
            )
            raise located(ValueError(msg))
        if not 0 <= dropout <= 1:
            msg = f"MultiheadAttention: dropout must be from 0 to 1; got {dropout}."
            raise located(ValueError(msg))
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.add_zero_attn, self.batch_first = add_zero_attn, batch_first
        where = {"dtype": dtype, "xp": xp, "device": device}
        keys = F.unstack(random.split(key, 6))
        together = self.kdim == self.vdim == embed_dim
        self.in_proj_weight = None
        if together:
            self.in_proj_weight = init.xavier_uniform(keys[0], (3 * embed_dim, embed_dim), **where)
        else:
            self.q_proj_weight = init.xavier_uniform(keys[0], (embed_dim, embed_dim), **where)
            self.k_proj_weight = init.xavier_uniform(keys[1], (embed_dim, self.kdim), **where)
            self.v_proj_weight = init.xavier_uniform(keys[2], (embed_dim, self.vdim), **where)
        self.in_proj_bias = init.zeros(keys[0], (3 * embed_dim,), **where) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, key=keys[3], **where)
        if bias:
            self.out_proj.bias = init.zeros(keys[3], (embed_dim,), **where)
        self.bias_k = self.bias_v = None
        if add_bias_kv:
            shape = (1, 1, embed_dim)
            self.bias_k = init.normal(keys[4], shape, std=embed_dim**-0.5, **where)
            self.bias_v = init.normal(keys[5], shape, std=embed_dim**-0.5, **where)

    def __call__(
        self,
        query: Array,
        key: Array,
        value: Array,
        key_padding_mask: Array | None = None,
        need_weights: bool = True,
        attn_mask: Array | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
        *,
        dropout_key: Any = None,
        cache: KVCache | None = None,
    ) -> Any:
        """Results and the weights of the values.

        Parameters
        ----------
        query : array, shape (length, batch, embed_dim)
            Or with the batch first, or without a batch.
        key : array, shape (keys, batch, kdim)
        value : array, shape (keys, batch, vdim)
        key_padding_mask : array, shape (batch, keys), optional
            Of bool: True for keys that nobody sees. Of floating dtype: added to the scores.
        need_weights : bool
            Whether the weights are returned, and so all of them held; if not, None is.
        attn_mask : array, shape (length, keys) or (batch · heads, length, keys), optional
            Of bool: True where a query must not see a key. Of floating dtype: added.
        average_attn_weights : bool
            Whether the weights are averaged over the heads.
        is_causal : bool
            Whether a query sees only the keys up to its own place, the cached ones before.
        dropout_key : array, shape (2,), uint32, optional
            Random key, needed in training with dropout.
        cache : KVCache, optional
            Keys and values of earlier places; the extended cache is returned as a third result.

        Returns
        -------
        out : array, shape of `query`
        weights : array, shape (batch, length, keys) or (batch, heads, length, keys), or None
        cache : KVCache
            If one was given.
        """
        batched = query.ndim == 3
        if query.ndim not in (2, 3) or {key.ndim, value.ndim} != {query.ndim}:
            shapes = " and ".join(str(tuple(x.shape)) for x in (query, key, value))
            msg = (
                "MultiheadAttention: query, key and value must all have shape (length, features), "
                f"or with a batch three axes; got {shapes}."
            )
            raise located(ShapeError(msg))
        if not batched:
            query, key, value = (F.expand_dims(x, axis=0) for x in (query, key, value))
        elif not self.batch_first:
            query, key, value = (F.moveaxis(x, 0, 1) for x in (query, key, value))
        dropout = self.dropout if self.training else 0.0
        if dropout and dropout_key is None:
            msg = (
                "MultiheadAttention: a call in training with dropout must have a random key; got "
                "none. Pass key= to the model, dropout_key= to this layer, or call eval()."
            )
            raise located(ValueError(msg))
        q, k, v = (self._heads(x) for x in self._projected(query, key, value))
        before = 0
        if cache is not None:
            before, cache = cache.length, cache.extended(k, v)
            k, v = cache.key, cache.value
        own = k.shape[-2]
        bias_k = self.bias_k
        if bias_k is not None:
            k, v = (_with_last(x, self._heads(row)) for x, row in ((k, bias_k), (v, self.bias_v)))
        if self.add_zero_attn:
            k, v = (_with_last(x, F.zeros_like(x[..., :1, :])) for x in (k, v))
        # without a mask that would have to be made, when nothing else is asked
        inside = is_causal and not before and own == k.shape[-2] and not need_weights
        masks = [] if inside or not is_causal else [_later(q.shape[-2], own, before)]
        masks += self._masks(attn_mask, key_padding_mask, (*q.shape[:-1], own))
        bias = self._bias(q, masks, k.shape[-2] - own)
        if need_weights:
            out, weights = _weighted(q, k, v, bias, dropout, dropout_key)
            weights = F.mean(weights, axis=-3) if average_attn_weights else weights
        else:
            weights = None
            out = F.scaled_dot_product_attention(
                q, k, v, bias, dropout, inside, dropout_key=dropout_key
            )
        out = F.moveaxis(out, -3, -2)
        out = self.out_proj(F.reshape(out, (*out.shape[:-2], self.embed_dim)))
        if not batched:
            out = F.squeeze(out, axis=0)
            weights = None if weights is None else F.squeeze(weights, axis=0)
        elif not self.batch_first:
            out = F.moveaxis(out, 0, 1)
        return (out, weights) if cache is None else (out, weights, cache)

    def _projected(self, query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
        n = self.embed_dim
        weights: Any
        together, bias = self.in_proj_weight, self.in_proj_bias
        if together is None:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        else:
            weights = tuple(together[i * n : (i + 1) * n, :] for i in range(3))
        out = []
        for i, (x, weight) in enumerate(zip((query, key, value), weights, strict=True)):
            if x.shape[-1] != weight.shape[1]:
                names = ("queries", "keys", "values")
                msg = (
                    f"MultiheadAttention: {names[i]} must have {weight.shape[1]} features; got "
                    f"shape {tuple(x.shape)}."
                )
                raise located(ShapeError(msg))
            y = F.matmul(x, F.matrix_transpose(weight))
            if bias is not None:
                y = F.add(y, bias[i * n : (i + 1) * n])
            out.append(y)
        return out[0], out[1], out[2]

    def _heads(self, x: Any) -> Any:
        """(batch, length, embed_dim) as (batch, heads, length, features)."""
        split = F.reshape(x, (*x.shape[:-1], self.num_heads, self.embed_dim // self.num_heads))
        return F.moveaxis(split, -2, -3)

    def _masks(self, mask: Any, padding: Any, shape: tuple[int, ...]) -> list[Any]:
        """The masks that there are, for scores of a shape (batch, heads, length, keys)."""
        batch, heads, length, keys = shape
        masks = []
        if mask is not None:
            _check_mask("attn_mask", mask, (length, keys), (batch * heads, length, keys))
            masks.append(F.reshape(mask, shape) if mask.ndim == 3 else mask)
        if padding is not None:
            _check_mask("key_padding_mask", padding, (batch, keys), *[(keys,)] * (batch == 1))
            masks.append(F.reshape(padding, (batch, 1, 1, keys)))
        return masks

    def _bias(self, q: Any, masks: list[Any], extra: int) -> Any:
        """What all masks add to the scores, nothing to those of the last, extra keys; or None."""
        bias = None
        for mask in masks:
            term = _additive(mask, q)
            bias = term if bias is None else F.add(bias, term)
        if bias is not None and extra:
            bias = F.pad(bias, [(0, 0)] * (bias.ndim - 1) + [(0, extra)])
        return bias


def _with_last(x: Any, row: Any) -> Any:
    last = F.broadcast_to(F.astype(row, x.dtype, copy=False), (*x.shape[:-2], 1, x.shape[-1]))
    return F.concat([x, last], axis=-2)


def _later(queries: int, keys: int, before: int) -> Any:
    """Whether a key is later than a query, which comes after `before` others."""
    return np.arange(keys) > before + np.arange(queries)[:, None]


def _check_mask(name: str, mask: Any, *shapes: tuple[int, ...]) -> None:
    dtype = as_dtype(mask.dtype)
    if dtype.kind not in ("bool", "float"):
        msg = (
            f"MultiheadAttention: {name} must be boolean or real floating; got {dtype.name}. "
            "Compare it with what is not to be seen, as in mask == 0."
        )
        raise located(DTypeError(msg))
    if tuple(mask.shape) not in shapes:
        msg = (
            f"MultiheadAttention: {name} must have shape {' or '.join(map(str, shapes))}; got "
            f"{tuple(mask.shape)}."
        )
        raise located(ShapeError(msg))


def _additive(mask: Any, like: Any) -> Any:
    """A mask that is True where nothing must be seen as what is added to scores."""
    if as_dtype(mask.dtype).kind == "bool":
        mask = F.where(mask, -F.inf, F.zeros((), dtype=like.dtype))
    return F.astype(mask, like.dtype, copy=False)


def _weighted(q: Any, k: Any, v: Any, bias: Any, dropout: float, key: Any) -> tuple[Any, Any]:
    """Attention that holds the weights, as it returns them."""
    scores = F.matmul(F.multiply(q, q.shape[-1] ** -0.5), F.matrix_transpose(k))
    scores = scores if bias is None else F.add(scores, bias)
    if bias is None:
        weights = F.softmax(scores, axis=-1)
    else:  # no weight for a query that sees no key
        seen = F.any(F.greater(scores, -F.inf), axis=-1, keepdims=True)
        weights = F.where(seen, F.softmax(F.where(seen, scores, 0.0), axis=-1), 0.0)
    weights = F.dropout(weights, dropout, key=key) if dropout else weights
    return F.matmul(weights, v), weights
