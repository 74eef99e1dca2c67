"""BERT: the configuration, the encoder, and the mappers from and to Hugging Face's names."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta.core.errors import LoadError, ShapeError
from volta.core.trace import located
from volta.core.types import Array, as_dtype
from volta.functional import random
from volta.io import StateDict, StateDictMapper
from volta.nn import init
from volta.nn.container import ModuleList
from volta.nn.dropout import Dropout
from volta.nn.embedding import Embedding
from volta.nn.linear import Linear
from volta.nn.module import Module
from volta.nn.normalization import LayerNorm
from volta.nn.transformer import TransformerEncoderLayer

__all__ = [
    "BertConfig",
    "BertModel",
    "BertOutput",
    "bert_from_huggingface",
    "bert_to_huggingface",
]


def _gelu_new(x: Any) -> Any:
    return F.gelu(x, approximate="tanh")


_ACTIVATIONS: Final[dict[str, Any]] = {
    "gelu": "gelu",
    "gelu_new": _gelu_new,
    "relu": "relu",
    "silu": F.silu,
}
_SIZES: Final = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)
# What another program's configuration may say, and the one value that is computed here.
_FIXED: Final = {
    "model_type": "bert",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
}
_PROJECTIONS: Final = ("query", "key", "value")
# Parts of Hugging Face's names and of those here; each is looked for after those above it.
_NAMES: Final = (
    ("encoder.layer.", "encoder."),
    ("attention.self.", "self_attn."),
    ("attention.output.dense.", "self_attn.out_proj."),
    ("attention.output.LayerNorm.", "norm1."),
    ("intermediate.dense.", "linear1."),
    ("output.dense.", "linear2."),
    ("output.LayerNorm.", "norm2."),
    ("LayerNorm.", "norm."),
    ("pooler.dense.", "pooler."),
)


@dataclass(frozen=True)
class BertConfig:
    """Sizes and choices of a `BertModel`; names and defaults are Hugging Face's.

    Parameters
    ----------
    vocab_size : int
        Number of tokens.
    hidden_size : int
        Length of the vector of a token.
    num_hidden_layers : int
    num_attention_heads : int
        Divides `hidden_size`.
    intermediate_size : int
        Length between the two linear maps of a layer.
    hidden_act : {"gelu", "gelu_new", "relu", "silu"}
        Between them; ``"gelu_new"`` is the approximation by tanh.
    hidden_dropout_prob, attention_probs_dropout_prob : float
        Probabilities, from 0 to 1, with which elements of vectors and weights of the attention
        are dropped in training.
    max_position_embeddings : int
        The most tokens of a sequence.
    type_vocab_size : int
        Number of types of tokens.
    initializer_range : float
        Standard deviation of the matrices at first.
    layer_norm_eps : float
        Added to variances.
    pad_token_id : int, optional
        Token whose vector starts as zeros and gets no derivative.

    Raises
    ------
    ValueError
        If one is out of its range.

    Examples
    --------
    >>> volta.nn.models.BertConfig(hidden_size=128, num_attention_heads=2).num_hidden_layers
    12
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0

    def __post_init__(self) -> None:
        for name in _SIZES:
            size = getattr(self, name)
            _check(type(size) is int and size > 0, f"{name} must be a positive int", size)
        heads, width = self.num_attention_heads, self.hidden_size
        _check(not width % heads, "num_attention_heads must divide hidden_size", (heads, width))
        act, known = self.hidden_act, tuple(_ACTIVATIONS)
        _check(act in known, f"hidden_act must be one of {', '.join(map(repr, known))}", act)
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            p = getattr(self, name)
            _check(_is_number(p) and 0 <= p <= 1, f"{name} must be from 0 to 1", p)
        for name in ("initializer_range", "layer_norm_eps"):
            x = getattr(self, name)
            _check(_is_number(x) and x >= 0, f"{name} must be a number that is not negative", x)
        pad = self.pad_token_id
        there = pad is None or (type(pad) is int and 0 <= pad < self.vocab_size)
        _check(there, f"pad_token_id must be None or from 0 to {self.vocab_size - 1}", pad)

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> "BertConfig":
        """Read what Hugging Face's ``config.json`` holds.

        Parameters
        ----------
        config : mapping of str to object
            What it does not name has the default; what does not concern the model is not read.

        Returns
        -------
        BertConfig

        Raises
        ------
        ValueError
            If it describes another model (``model_type``), relative positions, a decoder or
            attention to another sequence, or a value is out of its range.

        Examples
        --------
        >>> import json
        >>> text = '{"model_type": "bert", "num_hidden_layers": 6, "use_cache": true}'
        >>> volta.nn.models.BertConfig.from_dict(json.loads(text)).num_hidden_layers
        6
        """
        for name, wanted in _FIXED.items():
            _check(
                config.get(name, wanted) == wanted, f"{name} must be {wanted!r}", config.get(name)
            )
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in config.items() if name in known})


class BertOutput(NamedTuple):
    """What a `BertModel` computes.

    Attributes
    ----------
    last_hidden_state : array, shape (batch, length, hidden_size)
        Vectors of the tokens.
    pooler_output : array, shape (batch, hidden_size), or None
        Vector of the first token, mapped and squashed by tanh; None without a pooler.
    hidden_states : tuple of array, or None
        Vectors before the first layer and after each, if they were asked for.
    """

    last_hidden_state: Any
    pooler_output: Any = None
    hidden_states: tuple[Any, ...] | None = None


class BertModel(Module):
    """Encoder of sequences of tokens: BERT.

    Parameters
    ----------
    config : BertConfig
    add_pooling_layer : bool
        Whether the vector of the first token is mapped once more.
    key : array, shape (2,), uint32
        Random key of the initial values.
    dtype, xp, device : optional
        Of the parameters; by default float32, and library and device of `key`.

    Attributes
    ----------
    config : BertConfig
    embeddings : Module
        Sums the vectors of tokens, places and types, and normalizes.
    encoder : ModuleList of TransformerEncoderLayer
    pooler : Linear or None

    Raises
    ------
    ShapeError
        From a call, if there are more tokens than places, or shapes do not fit.
    DimensionError
        From a call, if there is no such token, type or place.
    ValueError
        From a call in training with dropout, if there is no key.

    Notes
    -----
    Matrices start normal with standard deviation ``initializer_range``, biases as zeros. The
    layers are `TransformerEncoderLayer` (post-LN), whose matrices of queries, keys and values are
    one; `bert_from_huggingface` maps weights from their names there, and `bert_to_huggingface`
    back.

    References
    ----------
    J. Devlin et al., "BERT: pre-training of deep bidirectional transformers for language
    understanding", NAACL 2019, https://arxiv.org/abs/1810.04805.

    Examples
    --------
    >>> config = volta.nn.models.BertConfig(
    ...     vocab_size=100, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
    ...     intermediate_size=16,
    ... )
    >>> model = volta.nn.models.BertModel(config, key=F.random.key(0)).eval()
    >>> tokens = np.asarray([[2, 17, 5, 3], [2, 40, 3, 0]])
    >>> out = model(tokens, attention_mask=tokens != 0)
    >>> out.last_hidden_state.shape, out.pooler_output.shape
    ((2, 4, 8), (2, 8))
    """

    def __init__(
        self,
        config: BertConfig,
        add_pooling_layer: bool = True,
        *,
        key: Any,
        dtype: Any = None,
        xp: Any = None,
        device: Any = None,
    ) -> None:
        where = {"dtype": dtype, "xp": xp, "device": device}
        keys = F.unstack(random.split(key, 4))
        width = config.hidden_size
        self.config = config
        self.embeddings = _Embeddings(config, keys[0], where)
        layer = _layer(config, keys[1], where)  # drawn once; `_start` gives each copy its own
        self.encoder = ModuleList([copy.deepcopy(layer) for _ in range(config.num_hidden_layers)])
        self.pooler = Linear(width, width, key=keys[2], **where) if add_pooling_layer else None
        _start(self, keys[3], where)

    def __call__(
        self,
        input_ids: Array,
        attention_mask: Array | None = None,
        token_type_ids: Array | None = None,
        position_ids: Array | None = None,
        *,
        output_hidden_states: bool = False,
        key: Any = None,
    ) -> BertOutput:
        """Vectors of tokens.

        Parameters
        ----------
        input_ids : array of ints, shape (batch, length)
            Or without a batch.
        attention_mask : array, shape of `input_ids`, optional
            Of bools or numbers: False or 0 for tokens that nobody sees, those that fill up.
        token_type_ids : array of ints, shape of `input_ids`, optional
            By default 0.
        position_ids : array of ints, shape of `input_ids` or (length,), optional
            By default 0, 1, 2, …
        output_hidden_states : bool
            Whether vectors before the first layer and after each are returned.
        key : array, shape (2,), uint32, optional
            Random key, needed in training with dropout.

        Returns
        -------
        BertOutput
        """
        self._check_shapes(input_ids, attention_mask, token_type_ids, position_ids)
        count = len(self.encoder) + 1
        keys = [None] * count if key is None else F.unstack(random.split(key, count))
        hidden = None if attention_mask is None else _hidden(attention_mask)
        x = self.embeddings(input_ids, token_type_ids, position_ids, key=keys[0])
        states = [x]
        for layer, k in zip(self.encoder, keys[1:], strict=True):
            x = layer(x, src_key_padding_mask=hidden, key=k)
            states.append(x)
        pooled = None if self.pooler is None else F.tanh(self.pooler(x[..., 0, :]))
        return BertOutput(x, pooled, tuple(states) if output_hidden_states else None)

    def _check_shapes(self, tokens: Any, mask: Any, types: Any, positions: Any) -> None:
        shape, most = tuple(tokens.shape), self.config.max_position_embeddings
        if len(shape) not in (1, 2) or not shape[-1]:
            msg = (
                "BertModel: input_ids must have shape (batch, length) or (length,), with a token; "
                f"got shape {shape}."
            )
            raise located(ShapeError(msg))
        if shape[-1] > most and positions is None:
            msg = (
                f"BertModel: there must be at most max_position_embeddings={most} tokens; got "
                f"shape {shape}. Cut the sequences."
            )
            raise located(ShapeError(msg))
        named = {"attention_mask": mask, "token_type_ids": types, "position_ids": positions}
        for name, x in named.items():
            fitting = (shape, shape[-1:]) if name == "position_ids" else (shape,)
            if x is not None and tuple(x.shape) not in fitting:
                msg = (
                    f"BertModel: {name} must have the shape of input_ids; got {tuple(x.shape)} "
                    f"and {shape}."
                )
                raise located(ShapeError(msg))


def bert_from_huggingface() -> StateDictMapper:
    """Return the mapper from the names that Hugging Face's BERT has to those of `BertModel`.

    Matrices and biases of queries, keys and values become one; a prefix ``bert.`` and the buffer
    ``position_ids`` go; ``gamma`` and ``beta`` of old files become ``weight`` and ``bias``. What a
    model has on top of the encoder keeps its place, so that strict loading names it.

    Returns
    -------
    StateDictMapper

    See Also
    --------
    bert_to_huggingface : the way back.

    Examples
    --------
    >>> theirs = {f"encoder.layer.0.attention.self.{name}.bias": np.zeros(2)
    ...           for name in ("query", "key", "value")}
    >>> theirs["embeddings.LayerNorm.gamma"] = np.ones(2)
    >>> mapped = volta.nn.models.bert_from_huggingface().map(theirs)
    >>> {name: x.shape for name, x in mapped.items()}
    {'embeddings.norm.weight': (2,), 'encoder.0.self_attn.in_proj_bias': (6,)}
    """
    mapper = StateDictMapper().strip_prefix("bert.").transform(_without_places)
    mapper = mapper.replace(".gamma", ".weight").replace(".beta", ".bias")
    for theirs, ours in _NAMES:
        mapper = mapper.replace(theirs, ours)
    return mapper.transform(_joined)


def bert_to_huggingface() -> StateDictMapper:
    """Return the mapper from PyTorch's state dict of a `BertModel` to Hugging Face's names.

    Returns
    -------
    StateDictMapper
        It takes what `nn.to_torch_state_dict` returns. ``.add_prefix("bert.")`` makes names of
        the encoder inside another model.

    Raises
    ------
    LoadError
        From `map`, if the state dict is not in PyTorch's layout.

    See Also
    --------
    bert_from_huggingface : the way there.

    Examples
    --------
    >>> config = volta.nn.models.BertConfig(
    ...     vocab_size=9, hidden_size=4, num_hidden_layers=1, num_attention_heads=2,
    ...     intermediate_size=6,
    ... )
    >>> model = volta.nn.models.BertModel(config, key=F.random.key(0))
    >>> ours = volta.nn.to_torch_state_dict(model)
    >>> theirs = volta.nn.models.bert_to_huggingface().map(ours)
    >>> theirs["encoder.layer.0.intermediate.dense.weight"].shape
    (6, 4)
    """
    mapper = StateDictMapper().transform(_split)
    for theirs, ours in reversed(_NAMES):
        mapper = mapper.replace(ours, theirs)
    return mapper


def _without_places(state_dict: StateDict) -> dict[str, Any]:
    return {name: x for name, x in state_dict.items() if name != "embeddings.position_ids"}


def _joined(state_dict: StateDict) -> dict[str, Any]:
    """Three arrays of a projection as one, where all are there."""
    arrays = dict(state_dict)
    for name in state_dict:
        start, found, kind = name.partition("self_attn.query.")
        parts = [f"{start}self_attn.{part}.{kind}" for part in _PROJECTIONS]
        if found and all(part in arrays for part in parts):
            joined = F.concat([arrays.pop(part) for part in parts], axis=0)
            arrays[f"{start}self_attn.in_proj_{kind}"] = joined
    return arrays


def _split(state_dict: StateDict) -> dict[str, Any]:
    """Back: one array of a projection as three."""
    if state_dict.metadata.get("format") != "pt":
        msg = (
            "bert_to_huggingface: the state dict must be in PyTorch's layout; got format "
            f"{state_dict.metadata.get('format')!r}. Pass nn.to_torch_state_dict(model)."
        )
        raise located(LoadError(msg))
    arrays: dict[str, Any] = {}
    for name, x in state_dict.items():
        start, found, kind = name.partition("in_proj_")
        n = x.shape[0] // 3
        if found:
            for i, part in enumerate(_PROJECTIONS):
                arrays[f"{start}{part}.{kind}"] = x[i * n : (i + 1) * n, ...]
        else:
            arrays[name] = x
    return arrays


class _Embeddings(Module):
    """Vectors of tokens, places and types: their sum, normalized."""

    def __init__(self, config: BertConfig, key: Any, where: dict[str, Any]) -> None:
        keys = F.unstack(random.split(key, 3))
        tokens, places = config.vocab_size, config.max_position_embeddings
        self.word_embeddings = _table(config, tokens, config.pad_token_id, keys[0], where)
        self.position_embeddings = _table(config, places, None, keys[1], where)
        self.token_type_embeddings = _table(config, config.type_vocab_size, None, keys[2], where)
        self.norm = LayerNorm(config.hidden_size, config.layer_norm_eps, **where)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def __call__(self, tokens: Any, types: Any, positions: Any, *, key: Any) -> Any:
        places, kinds = self.position_embeddings, self.token_type_embeddings
        x = self.word_embeddings(tokens)
        x = F.add(x, kinds.weight[0, :] if types is None else kinds(types))
        length = tokens.shape[-1]
        x = F.add(x, places.weight[:length, :] if positions is None else places(positions))
        return self.dropout(self.norm(x), key=key)


def _table(
    config: BertConfig, rows: int, pad: int | None, key: Any, where: dict[str, Any]
) -> Embedding:
    shape = (rows, config.hidden_size)
    table = init.normal(key, shape, std=config.initializer_range, **where)
    table = table if pad is None else F.at(table)[pad].set(0.0)
    return Embedding.from_pretrained(table, freeze=False, padding_idx=pad)


def _layer(config: BertConfig, key: Any, where: dict[str, Any]) -> TransformerEncoderLayer:
    layer = TransformerEncoderLayer(
        config.hidden_size,
        config.num_attention_heads,
        config.intermediate_size,
        config.hidden_dropout_prob,
        _ACTIVATIONS[config.hidden_act],
        config.layer_norm_eps,
        batch_first=True,
        key=key,
        **where,
    )
    layer.self_attn.dropout = config.attention_probs_dropout_prob
    layer.dropout = Dropout(0.0)  # BERT drops nothing between the linear maps
    return layer


def _start(model: BertModel, key: Any, where: dict[str, Any]) -> None:
    """Give the linear maps, whose layers start otherwise, the values that BERT's start with."""
    std = model.config.initializer_range
    maps = {
        n: x for n, x in model.parameters().items() if "embeddings" not in n and "norm" not in n
    }
    keys = F.unstack(random.split(key, len(maps)))
    model.update(
        {
            name: init.normal(k, x.shape, std=std, **where) if x.ndim == 2 else F.zeros_like(x)
            for (name, x), k in zip(maps.items(), keys, strict=True)
        }
    )


def _hidden(mask: Any) -> Any:
    """Whether a token is not to be seen."""
    return F.logical_not(mask) if as_dtype(mask.dtype).kind == "bool" else F.equal(mask, 0)


def _is_number(x: object) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool)


def _check(holds: bool, what: str, got: object) -> None:
    if not holds:
        msg = f"BertConfig: {what}; got {got!r}."
        raise located(ValueError(msg))
