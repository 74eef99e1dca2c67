"""Attention layers, transformers and encodings of places, against torch."""

import numpy as np
import pytest
from against_torch import twice_as_often
from hypothesis import given
from hypothesis import strategies as st

import volta
import volta.functional as F
from volta import io, nn, tree
from volta.core.errors import DTypeError, ShapeError
from volta.functional import random

pytestmark = pytest.mark.neural
KEY = random.key(3)
rng = np.random.default_rng(4)
START = rng.bit_generator.state
KEPT = ("q_proj_weight", "k_proj_weight", "v_proj_weight")  # of no Linear


@pytest.fixture(autouse=True)
def same_numbers():
    """Each test draws the same, whichever ran before."""
    rng.bit_generator.state = START


def as_torchs(torch, layer, oracle):
    oracle.load_state_dict(tree.to(nn.to_torch_state_dict(layer), xp=torch))
    return oracle


def total(out):
    return sum(F.sum(F.sin(a) * (i + 1)) for i, a in enumerate(tree.leaves(out)))


def torchs_total(torch, out):
    parts = [a for a in (out if isinstance(out, tuple) else (out,)) if a is not None]
    return sum(torch.sum(torch.sin(a) * (i + 1)) for i, a in enumerate(parts))


def gradients_agree(torch, oracle, call, operands, wanted, rtol):
    """Value and gradients of a layer and of its operands are torch's."""
    _, *arrays = operands
    value, grads = volta.value_and_grad(call, argnums=tuple(range(len(operands))))(*operands)
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    expected = torchs_total(torch, wanted(*tensors))
    expected.backward()
    np.testing.assert_allclose(value, expected.detach(), rtol=rtol, atol=rtol)
    for name, parameter in oracle.named_parameters():
        found = grads[0][name]
        if name.endswith("weight") and "in_proj" not in name and found.ndim == 2:
            found = found if name in KEPT else found.T  # Volta's Linear has it transposed
        np.testing.assert_allclose(found, parameter.grad, rtol=rtol, atol=10 * rtol)
    for found, tensor in zip(grads[1:], tensors, strict=True):
        np.testing.assert_allclose(found, tensor.grad, rtol=rtol, atol=10 * rtol)


@st.composite
def calls(draw):
    """Arguments of the layer, shapes and masks of a call."""
    heads = draw(st.integers(1, 3))
    options = {
        "embed_dim": heads * draw(st.integers(1, 3)),
        "num_heads": heads,
        "bias": draw(st.booleans()),
        "add_bias_kv": draw(st.booleans()),
        "add_zero_attn": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
    }
    if draw(st.booleans()):
        options |= {"kdim": draw(st.integers(1, 4)), "vdim": draw(st.integers(1, 4))}
    sizes = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    return options, sizes, draw(st.sampled_from([None, bool, float, "heads"])), draw(st.booleans())


@pytest.mark.grad_check
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(call=calls(), weights=st.sampled_from(["none", "mean", "all"]))
def test_multihead_attention_is_torchs(dtype, call, weights):
    torch = pytest.importorskip("torch")
    options, (batch, queries, keys), kind, padded = call
    layer = nn.MultiheadAttention(**options, key=KEY, dtype=dtype)
    oracle = torch.nn.MultiheadAttention(**options).to(getattr(torch, dtype))
    as_torchs(torch, layer, oracle)
    n, heads = options["embed_dim"], options["num_heads"]
    widths = (n, options.get("kdim", n), options.get("vdim", n))
    arrays = [
        rng.normal(size=(batch, m, width) if options["batch_first"] else (m, batch, width))
        for m, width in zip((queries, keys, keys), widths, strict=True)
    ]
    mask = padding = None
    if kind is not None:
        mask = rng.normal(
            size=(batch * heads, queries, keys) if kind == "heads" else (queries, keys)
        )
        mask = (mask > 0.5) & (np.arange(keys) > 0) if kind is bool else mask.astype(dtype)
    if padded:
        padding = (rng.random((batch, keys)) < 0.3) & (np.arange(keys) > 0)
        if kind not in (None, bool):  # torch wants both of one kind
            padding = np.where(padding, -np.inf, 0.0).astype(dtype)
    asked = (weights != "none", weights != "all")

    def call_layer(parameters, *arrays):
        given = (*arrays, padding, asked[0], mask, asked[1])
        return total(nn.functional_call(layer, parameters, *given))

    def call_oracle(*tensors):
        own = [None if m is None else torch.tensor(m) for m in (padding, mask)]
        return oracle(*tensors, own[0], asked[0], own[1], asked[1])

    operands = (layer.parameters(), *(a.astype(dtype) for a in arrays))
    rtol = 2e-5 if dtype == "float32" else 1e-9
    gradients_agree(torch, oracle, call_layer, operands, call_oracle, rtol)


@st.composite
def transformer_calls(draw):
    """Options of a layer, sizes, and the kinds of masks."""
    heads = draw(st.integers(1, 3))
    options = {
        "d_model": heads * draw(st.integers(2, 3)),
        "nhead": heads,
        "dim_feedforward": draw(st.integers(1, 5)),
        "dropout": 0.0,
        "activation": draw(st.sampled_from(["relu", "gelu"])),
        "layer_norm_eps": draw(st.sampled_from([1e-5, 0.1])),
        "batch_first": draw(st.booleans()),
        "norm_first": draw(st.booleans()),
        "bias": draw(st.booleans()),
    }
    sizes = draw(st.sampled_from([0, 1, 2, 3])), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    return options, sizes, draw(st.booleans()), draw(st.booleans()), draw(st.integers(0, 99))


@pytest.mark.grad_check
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("which", ["Encoder", "Decoder"])
@twice_as_often
@given(call=transformer_calls())
def test_transformer_layers_are_torchs(which, dtype, call):
    """Without a batch for size 0; in training, as eval takes another way in torch."""
    torch = pytest.importorskip("torch")
    options, (batch, length, keys), causal, padded, seed = call
    name = f"Transformer{which}Layer"
    layer = getattr(nn, name)(**options, key=KEY, dtype=dtype)
    oracle = getattr(torch.nn, name)(**options).to(getattr(torch, dtype))
    as_torchs(torch, layer, oracle)
    own = np.random.default_rng(seed)

    def numbers(count):
        lead = (batch, count) if options["batch_first"] else (count, batch)
        return own.normal(size=(*(lead if batch else (count,)), options["d_model"])).astype(dtype)

    arrays = [numbers(length), *([numbers(keys)] if which == "Decoder" else [])]
    names = ("src_key_padding_mask",) if which == "Encoder" else ("tgt_key_padding_mask",)
    masks = {}
    if padded:
        hidden = own.random((batch, length) if batch else (length,)) < 0.4
        masks[names[0]] = hidden & (np.arange(length) > 0)
    later = np.triu(np.ones((length, length), dtype=bool), 1)
    prefix = "src" if which == "Encoder" else "tgt"
    flag = "is_causal" if which == "Encoder" else "tgt_is_causal"

    def call_layer(parameters, *arrays):
        named = masks | ({flag: True} if causal else {})
        return total(nn.functional_call(layer, parameters, *arrays, **named))

    def call_oracle(*tensors):
        named = masks | ({f"{prefix}_mask": later} if causal else {})
        return oracle(*tensors, **{n: torch.tensor(m) for n, m in named.items()})

    rtol = 2e-5 if dtype == "float32" else 1e-9
    operands = (layer.parameters(), *arrays)
    gradients_agree(torch, oracle, call_layer, operands, call_oracle, rtol)
    if causal and not padded:
        given = {f"{prefix}_mask": later}
        np.testing.assert_allclose(
            layer(*arrays, **given), layer(*arrays, **{flag: True}), rtol=rtol, atol=rtol
        )


def encoder(count=2, **options):
    def make(key):
        return nn.TransformerEncoderLayer(
            6, 2, 10, batch_first=True, key=key, dtype="float64", **options
        )

    norm = nn.LayerNorm(6, dtype="float64")
    return nn.TransformerEncoder(make, count, norm, key=KEY)


def test_stacks_are_torchs(tmp_path):
    torch = pytest.importorskip("torch")
    model = encoder(3).eval()
    layer = torch.nn.TransformerEncoderLayer(6, 2, 10, batch_first=True)
    oracle = torch.nn.TransformerEncoder(layer, 3, torch.nn.LayerNorm(6)).double().eval()
    as_torchs(torch, model, oracle)
    x = rng.normal(size=(2, 5, 6))
    np.testing.assert_allclose(model(x), oracle(torch.tensor(x)).detach(), rtol=1e-9)
    io.save_file(nn.to_torch_state_dict(model), tmp_path / "model.safetensors")
    again = encoder(3).eval()
    again.update({n: 0 * p for n, p in again.parameters().items()})
    again.load_state_dict(io.load_file(tmp_path / "model.safetensors"))
    np.testing.assert_array_equal(again(x), model(x))
    layer = nn.TransformerDecoderLayer(6, 2, 10, batch_first=True, key=KEY, dtype="float64")
    decoder = nn.TransformerDecoder(layer, 2).eval()
    wanted = torch.nn.TransformerDecoderLayer(6, 2, 10, batch_first=True)
    wanted = as_torchs(torch, decoder, torch.nn.TransformerDecoder(wanted, 2).double().eval())
    found = decoder(x, model(x))
    expected = wanted(torch.tensor(x), torch.tensor(model(x))).detach()
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert len({id(a) for a in decoder.layers}) == 2


@pytest.mark.parametrize("norm_first", [False, True])
def test_every_parameter_of_a_transformer_is_trained(norm_first):
    model = encoder(norm_first=norm_first, dropout=0.1, activation="gelu")
    x = rng.normal(size=(2, 5, 6))
    grads = volta.grad(lambda m: total(m(x, is_causal=True, key=KEY)))(model)
    assert tuple(grads) == tuple(model.parameters())
    for name, g in grads.items():
        if name.endswith("in_proj_bias"):  # a bias of keys moves all scores of a query alike
            g = np.concatenate([g[:6], g[12:]])
        assert np.all(g != 0), name
    first, second = model.layers[0], model.layers[1]
    assert np.any(first.linear1.weight != second.linear1.weight)


@pytest.mark.grad_check
def test_second_derivatives_of_a_transformer():
    model = encoder(1, activation="gelu").eval()  # no kinks
    x = rng.normal(size=(1, 3, 6))
    volta.testing.check_grads(
        lambda p, x: total(nn.functional_call(model, p, x, is_causal=True)),
        (model.parameters(), x),
        order=2,
    )


def test_generation_with_a_cache_is_the_whole_sequence():
    model = encoder(3).eval()
    x = rng.normal(size=(2, 7, 6))
    whole = model(x, is_causal=True)
    caches = [nn.KVCache()] * 3
    parts = []
    for start, stop in ((0, 3), (3, 4), (4, 7)):
        part, caches = model(x[:, start:stop], is_causal=True, caches=caches)
        parts.append(part)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=1e-10)
    assert [c.length for c in caches] == [7, 7, 7]


def test_a_query_that_sees_no_key_has_no_weights():
    layer = nn.MultiheadAttention(4, 2, batch_first=True, key=KEY, dtype="float64")
    x = rng.normal(size=(2, 3, 4))
    mask = np.zeros((3, 3), dtype=bool)
    mask[1] = True
    out, weights = layer(x, x, x, attn_mask=mask)
    assert not np.any(weights[:, 1])
    np.testing.assert_allclose(out, layer(x, x, x, attn_mask=mask, need_weights=False)[0])
    grads = volta.grad(lambda m: total(m(x, x, x, attn_mask=mask)))(layer)
    assert all(np.all(np.isfinite(g)) for g in grads.values())


def test_dropout_takes_a_key():
    layer = nn.MultiheadAttention(4, 2, dropout=0.5, batch_first=True, key=KEY)
    x = rng.normal(size=(2, 3, 4)).astype(np.float32)
    for needed in (True, False):
        with pytest.raises(ValueError, match="must have a random key; got none"):
            layer(x, x, x, need_weights=needed)
        first, _ = layer(x, x, x, need_weights=needed, dropout_key=random.key(1))
        other, _ = layer(x, x, x, need_weights=needed, dropout_key=random.key(2))
        assert np.any(first != other)
    model = encoder()
    with pytest.raises(ValueError, match="must have a random key; got none"):
        model(rng.normal(size=(2, 3, 6)))


def test_without_a_batch_and_under_vmap():
    layer = nn.MultiheadAttention(4, 2, batch_first=True, key=KEY, dtype="float64")
    x = rng.normal(size=(5, 3, 4))
    out, weights = layer(x, x, x)
    one, own = layer(x[0], x[0], x[0])
    np.testing.assert_allclose(one, out[0], rtol=1e-10)
    np.testing.assert_allclose(own, weights[0], rtol=1e-10)
    lanes, _ = volta.vmap(lambda x: layer(x, x, x))(x)
    np.testing.assert_allclose(lanes, out, rtol=1e-10)
    models = [nn.MultiheadAttention(4, 2, batch_first=True, key=random.key(i)) for i in range(3)]
    stacked = tree.map(lambda *p: np.stack(p), *[m.parameters() for m in models])
    x = x.astype(np.float32)
    found = volta.vmap(lambda p: nn.functional_call(models[0], p, x, x, x)[0])(stacked)
    for i, m in enumerate(models):
        np.testing.assert_allclose(found[i], m(x, x, x)[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("library", ["torch", "jax.numpy", "array_api_strict"])
def test_keeps_the_library(library):
    xp = pytest.importorskip(library)
    model = encoder().eval()
    x = rng.normal(size=(2, 3, 6))
    there = tree.to(model, xp=xp, dtype="float32")
    out = there(xp.asarray(x.astype(np.float32)), is_causal=True)
    assert type(out) is type(xp.asarray(x))
    np.testing.assert_allclose(np.from_dlpack(out), model(x, is_causal=True), rtol=1e-4, atol=1e-5)


# Places -------------------------------------------------------------------------------------------


def test_positions_are_added_and_learned_ones_are_trained():
    x = rng.normal(size=(2, 3, 4)).astype(np.float32)
    waves = nn.PositionalEncoding(4, 10)
    np.testing.assert_allclose(waves(x), x + F.sinusoidal_encoding(3, 4), rtol=1e-6)
    np.testing.assert_allclose(waves(x, start=5), x + F.sinusoidal_encoding(8, 4)[5:], rtol=1e-6)
    assert waves.parameters() == {}
    learned = nn.PositionalEncoding(4, 10, "learned", key=KEY)
    grads, at_input = volta.grad(lambda m, x: F.sum(m(x, start=2) ** 2), argnums=(0, 1))(learned, x)
    (g,) = grads.values()
    assert tuple(grads) == ("learned_embedding.weight",)
    assert np.all(g[2:5] != 0)
    assert not np.any(g[:2])
    assert not np.any(g[5:])
    assert np.all(at_input != 0)
    dropping = nn.PositionalEncoding(4, 10, dropout=0.5)
    assert np.any(dropping(x, key=KEY) == 0)


def test_rotary_layers():
    x = rng.normal(size=(2, 3, 4))
    np.testing.assert_array_equal(nn.RotaryEmbedding()(x), F.rotary_embedding(x))
    at = np.asarray([4, 5, 6])
    found = nn.RotaryEmbedding(100.0, interleaved=True)(x, at)
    np.testing.assert_array_equal(found, F.rotary_embedding(x, at, 100.0, interleaved=True))


X = np.ones((2, 3, 4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.MultiheadAttention(5, 2, key=KEY), ValueError, "divide embed_dim, .* 2 and 5"),
        (lambda: nn.MultiheadAttention(4, 2, 1.5, key=KEY), ValueError, r"dropout .* got 1\.5"),
        (
            lambda: nn.MultiheadAttention(4, 2, key=KEY)(X, X[0], X),
            ShapeError,
            r"or with a batch three axes; got \(2, 3, 4\) and \(3, 4\)",
        ),
        (
            lambda: nn.MultiheadAttention(4, 2, kdim=5, key=KEY)(X, X, X),
            ShapeError,
            r"keys must have 5 features; got shape",
        ),
        (
            lambda: nn.MultiheadAttention(4, 2, key=KEY)(X, X, X, attn_mask=np.zeros((2, 2), int)),
            DTypeError,
            "attn_mask must be boolean or real floating; got int64. Compare it",
        ),
        (
            lambda: nn.MultiheadAttention(4, 2, key=KEY)(X, X, X, np.zeros((3, 2), int)),
            DTypeError,
            "key_padding_mask must be boolean or real floating; got int64",
        ),
        (
            lambda: nn.MultiheadAttention(4, 2, key=KEY)(X, X, X, attn_mask=np.zeros((3, 3))),
            ShapeError,
            r"attn_mask must have shape \(2, 2\) or \(6, 2, 2\); got \(3, 3\)",
        ),
        (
            lambda: nn.MultiheadAttention(4, 2, key=KEY)(X, X, X, np.zeros((2, 3))),
            ShapeError,
            r"key_padding_mask must have shape \(3, 2\); got \(2, 3\)",
        ),
        (
            lambda: nn.MultiheadAttention(4, 2, 0.1, key=KEY)(X, X, X),
            ValueError,
            "^MultiheadAttention: a call in training with dropout must have a random key; got none",
        ),
        (
            lambda: nn.TransformerEncoderLayer(4, 2, activation="no", key=KEY),
            ValueError,
            "TransformerEncoderLayer: activation must be .* got 'no'",
        ),
        (lambda: nn.TransformerEncoder(None, 0), ValueError, "num_layers must be positive; got 0"),
        (lambda: nn.TransformerDecoder(lambda key: X, 2), ValueError, "must have a random key"),
        (lambda: nn.PositionalEncoding(4, 5, "x"), ValueError, "kind must be .* got 'x'"),
        (lambda: nn.PositionalEncoding(4, 5, "learned"), ValueError, "must have a random key"),
        (
            lambda: nn.PositionalEncoding(4, 2)(X),
            ShapeError,
            r"embed_dim=4 and at most max_len=2 places; got \(2, 3, 4\), from place 0",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
