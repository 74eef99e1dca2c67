"""Layers of transformers, and stacks of them."""

import copy
from collections.abc import Callable
from typing import Any

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta.core.trace import located
from volta.core.types import Array
from volta.functional import random
from volta.nn.attention import MultiheadAttention
from volta.nn.container import ModuleList
from volta.nn.dropout import Dropout
from volta.nn.linear import Linear
from volta.nn.module import Module
from volta.nn.normalization import LayerNorm

__all__ = [
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
]

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"relu": F.relu, "gelu": F.gelu}


def _activation(name: str, activation: Any) -> Any:
    if not callable(activation) and activation not in _ACTIVATIONS:
        msg = f'{name}: activation must be "relu", "gelu" or a function; got {activation!r}.'
        raise located(ValueError(msg))
    return activation


def _keys(key: Any, count: int) -> list[Any]:
    """Random keys for the parts of a call, None where none is given."""
    return [None] * count if key is None else list(F.unstack(random.split(key, count)))


def _forward(layer: Any, x: Any, keys: list[Any]) -> Any:
    """The feed-forward part: two linear maps with an activation between them."""
    activation = layer.activation
    hidden = (activation if callable(activation) else _ACTIVATIONS[activation])(layer.linear1(x))
    return layer.linear2(layer.dropout(hidden, key=keys[0]))


class TransformerEncoderLayer(Module):
    """Self-attention, then two linear maps, each beside a connection that skips it.

    Parameters
    ----------
    d_model : int
        Length of inputs and results.
    nhead : int
        Number of heads, which divides `d_model`.
    dim_feedforward : int
        Length between the two linear maps.
    dropout : float
        Probability with which, in training, weights of the attention, elements between the linear
        maps and elements of what is added are dropped.
    activation : {"relu", "gelu"} or callable
        Between the linear maps.
    layer_norm_eps : float
        Added to the variances.
    batch_first : bool
        Whether the batch is the first axis, and not the second.
    norm_first : bool
        Whether each part normalizes its input (pre-LN) or the sum after it (post-LN).
    bias : bool
        Whether linear maps and normalizations have biases.
    key : array, shape (2,), uint32
        Random key of the initial values.
    dtype, xp, device : optional
        As for `MultiheadAttention`.

    Attributes
    ----------
    self_attn : MultiheadAttention
    linear1, linear2 : Linear
    norm1, norm2 : LayerNorm
    dropout, dropout1, dropout2 : Dropout

    Raises
    ------
    ValueError
        If an argument is out of its range; from a call in training with dropout, without a key.
    ShapeError
        From a call, if shapes do not fit.

    References
    ----------
    A. Vaswani et al., "Attention is all you need", NeurIPS 2017, https://arxiv.org/abs/1706.03762;
    R. Xiong et al., "On layer normalization in the transformer architecture", ICML 2020,
    https://arxiv.org/abs/2002.04745, for `norm_first`.

    Examples
    --------
    >>> layer = volta.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, key=F.random.key(0))
    >>> layer.eval()(np.ones((5, 3, 8), np.float32), is_causal=True).shape
    (5, 3, 8)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        key: Any,
        dtype: Any = None,
        xp: Any = None,
        device: Any = None,
    ) -> None:
        where = {"dtype": dtype, "xp": xp, "device": device}
        keys = F.unstack(random.split(key, 3))
        self.activation = _activation("TransformerEncoderLayer", activation)
        self.norm_first = norm_first
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, key=keys[0], **where
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, key=keys[1], **where)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, key=keys[2], **where)
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **where)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **where)
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)

    def __call__(
        self,
        src: Array,
        src_mask: Array | None = None,
        src_key_padding_mask: Array | None = None,
        is_causal: bool = False,
        *,
        key: Any = None,
        cache: Any = None,
    ) -> Any:
        """Transform `src`, of shape (length, batch, d_model); masks as for `MultiheadAttention`.

        With a `KVCache` the result is a tuple of the output and the extended cache.
        """
        keys = _keys(key, 4)

        def attend(x: Any) -> Any:
            out, _, *caches = self.self_attn(
                x,
                x,
                x,
                src_key_padding_mask,
                need_weights=False,
                attn_mask=src_mask,
                is_causal=is_causal,
                dropout_key=keys[0],
                **({} if cache is None else {"cache": cache}),
            )
            return self.dropout1(out, key=keys[1]), caches

        def forward(x: Any) -> Any:
            return self.dropout2(_forward(self, x, keys[2:]), key=keys[3])

        if self.norm_first:
            added, caches = attend(self.norm1(src))
            x = F.add(src, added)
            x = F.add(x, forward(self.norm2(x)))
        else:
            added, caches = attend(src)
            x = self.norm1(F.add(src, added))
            x = self.norm2(F.add(x, forward(x)))
        return (x, *caches) if caches else x


class TransformerDecoderLayer(Module):
    """Self-attention, attention to a memory, then two linear maps, each with a skip connection.

    Parameters
    ----------
    d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first
    norm_first, bias
        As for `TransformerEncoderLayer`.
    key : array, shape (2,), uint32
        Random key of the initial values.
    dtype, xp, device : optional
        As for `MultiheadAttention`.

    Attributes
    ----------
    self_attn, multihead_attn : MultiheadAttention
    linear1, linear2 : Linear
    norm1, norm2, norm3 : LayerNorm
    dropout, dropout1, dropout2, dropout3 : Dropout

    Raises
    ------
    ValueError
        If an argument is out of its range; from a call in training with dropout, without a key.
    ShapeError
        From a call, if shapes do not fit.

    Examples
    --------
    >>> layer = volta.nn.TransformerDecoderLayer(8, 2, 16, batch_first=True, key=F.random.key(0))
    >>> x, memory = np.ones((5, 3, 8), np.float32), np.ones((5, 7, 8), np.float32)
    >>> layer.eval()(x, memory, tgt_is_causal=True).shape
    (5, 3, 8)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        key: Any,
        dtype: Any = None,
        xp: Any = None,
        device: Any = None,
    ) -> None:
        where = {"dtype": dtype, "xp": xp, "device": device}
        keys = F.unstack(random.split(key, 4))
        self.activation = _activation("TransformerDecoderLayer", activation)
        self.norm_first = norm_first
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, key=keys[0], **where
        )
        self.multihead_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, key=keys[1], **where
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, key=keys[2], **where)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, key=keys[3], **where)
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **where)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **where)
        self.norm3 = LayerNorm(d_model, layer_norm_eps, bias=bias, **where)
        self.dropout1, self.dropout2, self.dropout3 = (Dropout(dropout) for _ in range(3))

    def __call__(
        self,
        tgt: Array,
        memory: Array,
        tgt_mask: Array | None = None,
        memory_mask: Array | None = None,
        tgt_key_padding_mask: Array | None = None,
        memory_key_padding_mask: Array | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
        *,
        key: Any = None,
    ) -> Any:
        """Transform `tgt`, of shape (length, batch, d_model); masks as for `MultiheadAttention`."""
        keys = _keys(key, 6)

        def attend(x: Any) -> Any:
            out, _ = self.self_attn(
                x,
                x,
                x,
                tgt_key_padding_mask,
                need_weights=False,
                attn_mask=tgt_mask,
                is_causal=tgt_is_causal,
                dropout_key=keys[0],
            )
            return self.dropout1(out, key=keys[1])

        def look(x: Any) -> Any:
            out, _ = self.multihead_attn(
                x,
                memory,
                memory,
                memory_key_padding_mask,
                need_weights=False,
                attn_mask=memory_mask,
                is_causal=memory_is_causal,
                dropout_key=keys[2],
            )
            return self.dropout2(out, key=keys[3])

        def forward(x: Any) -> Any:
            return self.dropout3(_forward(self, x, keys[4:]), key=keys[5])

        x = tgt
        for part, norm in ((attend, self.norm1), (look, self.norm2), (forward, self.norm3)):
            x = F.add(x, part(norm(x))) if self.norm_first else norm(F.add(x, part(x)))
        return x


def _stack(name: str, layer: Any, count: int, key: Any) -> ModuleList:
    if count < 1:
        msg = f"{name}: num_layers must be positive; got {count}."
        raise located(ValueError(msg))
    if isinstance(layer, Module):
        return ModuleList([copy.deepcopy(layer) for _ in range(count)])
    if key is None:
        msg = f"{name}: a function that makes layers must have a random key; got none. Pass key=."
        raise located(ValueError(msg))
    return ModuleList([layer(k) for k in F.unstack(random.split(key, count))])


class TransformerEncoder(Module):
    """Encoder layers, one after the other.

    Parameters
    ----------
    encoder_layer : TransformerEncoderLayer, or function from a random key to one
        A layer is copied, so that all start alike, as in PyTorch; a function makes each anew.
    num_layers : int
    norm : Module, optional
        Called at the end.
    key : array, shape (2,), uint32, optional
        Random key for the function that makes layers.

    Attributes
    ----------
    layers : ModuleList
    norm : Module or None

    Raises
    ------
    ValueError
        If there is no layer, or no key for the function.

    Examples
    --------
    >>> def layer(key):
    ...     return volta.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, key=key)
    >>> model = volta.nn.TransformerEncoder(layer, 2, key=F.random.key(0))
    >>> model.eval()(np.ones((5, 3, 8), np.float32)).shape
    (5, 3, 8)
    """

    def __init__(
        self, encoder_layer: Any, num_layers: int, norm: Any = None, *, key: Any = None
    ) -> None:
        self.layers = _stack("TransformerEncoder", encoder_layer, num_layers, key)
        self.num_layers = num_layers
        self.norm = norm

    def __call__(
        self,
        src: Array,
        mask: Array | None = None,
        src_key_padding_mask: Array | None = None,
        is_causal: bool = False,
        *,
        key: Any = None,
        caches: list[Any] | None = None,
    ) -> Any:
        """Transform `src`, of shape (length, batch, d_model).

        With `caches`, a `KVCache` for each layer, the result is a tuple of the output and the list
        of extended caches.
        """
        keys = _keys(key, self.num_layers)
        new: list[Any] = []
        for i, layer in enumerate(self.layers):
            own = {} if caches is None else {"cache": caches[i]}
            out = layer(src, mask, src_key_padding_mask, is_causal, key=keys[i], **own)
            src = out if caches is None else out[0]
            new += [] if caches is None else [out[1]]
        src = src if self.norm is None else self.norm(src)
        return src if caches is None else (src, new)


class TransformerDecoder(Module):
    """Decoder layers, one after the other.

    Parameters
    ----------
    decoder_layer : TransformerDecoderLayer, or function from a random key to one
        A layer is copied, so that all start alike, as in PyTorch; a function makes each anew.
    num_layers : int
    norm : Module, optional
        Called at the end.
    key : array, shape (2,), uint32, optional
        Random key for the function that makes layers.

    Attributes
    ----------
    layers : ModuleList
    norm : Module or None

    Raises
    ------
    ValueError
        If there is no layer, or no key for the function.

    Examples
    --------
    >>> layer = volta.nn.TransformerDecoderLayer(8, 2, 16, batch_first=True, key=F.random.key(0))
    >>> model = volta.nn.TransformerDecoder(layer, 2).eval()
    >>> model(np.ones((5, 3, 8), np.float32), np.ones((5, 7, 8), np.float32)).shape
    (5, 3, 8)
    """

    def __init__(
        self, decoder_layer: Any, num_layers: int, norm: Any = None, *, key: Any = None
    ) -> None:
        self.layers = _stack("TransformerDecoder", decoder_layer, num_layers, key)
        self.num_layers = num_layers
        self.norm = norm

    def __call__(
        self,
        tgt: Array,
        memory: Array,
        tgt_mask: Array | None = None,
        memory_mask: Array | None = None,
        tgt_key_padding_mask: Array | None = None,
        memory_key_padding_mask: Array | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
        *,
        key: Any = None,
    ) -> Any:
        """Transform `tgt`, of shape (length, batch, d_model), looking at `memory`."""
        for layer, k in zip(self.layers, _keys(key, self.num_layers), strict=True):
            tgt = layer(
                tgt,
                memory,
                tgt_mask,
                memory_mask,
                tgt_key_padding_mask,
                memory_key_padding_mask,
                tgt_is_causal,
                memory_is_causal,
                key=k,
            )
        return tgt if self.norm is None else self.norm(tgt)
