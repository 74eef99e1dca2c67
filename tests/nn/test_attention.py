"""Attention layers, transformers and encodings of places, against torch."""

import itertools

import numpy as np
import pytest
from against_torch import assert_layers_agree, dropping, twice_as_often
from hypothesis import given
from hypothesis import strategies as st
from strategies import FLOAT, fill, seeds

import volta
import volta.functional as F
from volta import io, nn, tree
from volta.core.errors import DTypeError, ShapeError
from volta.functional import random

pytestmark = pytest.mark.neural
KEY = random.key(3)
rng = np.random.default_rng(4)
START = rng.bit_generator.state
lengths = st.sampled_from([3, 2, 4, 1])


@pytest.fixture(autouse=True)
def same_numbers():
    """Each test draws the same, whichever ran before."""
    rng.bit_generator.state = START


def total(out):
    return sum(F.sum(F.sin(a) * (i + 1)) for i, a in enumerate(tree.leaves(out)))


# Against torch ------------------------------------------------------------------------------------


def drawn_mask(draw, shape, dtype):
    """None, of bool or to be added; in each row the first key is seen, or torch's are NaN."""
    kind, seed = draw(st.sampled_from([None, "bool", dtype])), draw(seeds)
    hidden = fill(seed, shape, "bool") & (np.arange(shape[-1]) > 0)
    if kind != dtype:
        return None if kind is None else hidden
    return np.where(hidden, -np.inf, fill(seed + 1, shape, dtype)).astype(dtype)


def drawn_masks(draw, dtype, batch, heads, queries, keys):
    """Masks of the scores, of the keys, and of those later than a query, for both libraries."""
    shape = (queries, keys)
    if draw(st.booleans()):
        shape = ((batch or 1) * heads, *shape)
    later = np.triu(np.ones((queries, keys), dtype=bool), 1) if draw(st.booleans()) else None
    padding = (batch, keys) if batch else (keys,)
    return drawn_mask(draw, shape, dtype), drawn_mask(draw, padding, dtype), later


def is_added(mask):
    return mask is not None and mask.dtype.kind == "f"


def filled(masks, arrays):
    """The masks, with those that are added among the arrays."""
    arrays = iter(arrays)
    return [next(arrays) if is_added(m) else m for m in masks]


def torchs_masks(masks, later):
    """As PyTorch wants them: all of bool or all added, each with what is later."""
    torch = pytest.importorskip("torch")
    masks, later = (
        [None if m is None else torch.as_tensor(m) for m in ms] for ms in (masks, later)
    )
    added = any(m is not None and m.is_floating_point() for m in masks)

    def alike(mask):
        if mask is None or mask.is_floating_point() or not added:
            return mask
        return torch.zeros(mask.shape, dtype=torch.float64).masked_fill(mask, -torch.inf)

    def merged(mask, later):
        if mask is None or later is None:
            return later if mask is None else mask
        return mask + later if added else mask | later

    return list(itertools.starmap(merged, zip(map(alike, masks), map(alike, later), strict=True)))


def drawn_numbers(draw, dtype, batch, *sizes, batch_first):
    """Sequences of the lengths and widths in `sizes`, without a batch for one of 0."""
    seed = draw(seeds)
    found = []
    for i, (length, width) in enumerate(sizes):
        lead = (length, batch) if batch else (length,)
        lead = lead[::-1] if batch_first else lead
        found.append(fill(seed + i, (*lead, width), dtype))
    return found


@pytest.mark.grad_check
@pytest.mark.parametrize("dtype", FLOAT)
@pytest.mark.parametrize("needed", [True, False])  # they are computed in two ways
@twice_as_often
@given(data=st.data())
def test_multihead_attention_is_torchs(needed, dtype, data):
    torch = pytest.importorskip("torch")
    draw = data.draw
    heads, batch = draw(st.integers(1, 3)), draw(st.integers(0, 3))
    n, queries, keys = heads * draw(st.integers(1, 3)), *draw(st.tuples(lengths, lengths))
    flags = ("bias", "add_bias_kv", "add_zero_attn", "batch_first")
    options = {name: draw(st.booleans()) for name in flags}
    options |= {name: draw(st.sampled_from([None, 1, 4])) for name in ("kdim", "vdim")}
    options["dropout"], training = dropping(draw)
    layer = nn.MultiheadAttention(n, heads, **options, key=KEY, dtype=dtype)
    oracle = torch.nn.MultiheadAttention(n, heads, **options)
    sizes = ((queries, n), (keys, options["kdim"] or n), (keys, options["vdim"] or n))
    inputs = drawn_numbers(draw, dtype, batch, *sizes, batch_first=options["batch_first"])
    *masks, later = drawn_masks(draw, dtype, batch, heads, queries, keys)
    averaged = draw(st.booleans())

    def ours(call, q, k, v, *added):
        mask, padding = filled(masks, added)
        given = (padding, needed, mask, averaged, later is not None)
        out, weights = call(q, k, v, *given, dropout_key=KEY)
        return (out, weights) if needed else out

    def theirs(call, q, k, v, *added):
        mask, padding = torchs_masks(filled(masks, added), (later, None))
        out, weights = call(q, k, v, padding, needed, mask, averaged)
        return (out, weights) if needed else out

    inputs += filter(is_added, masks)
    assert_layers_agree(draw, dtype, (layer, oracle), training, inputs, ours, theirs)


ACTIVATIONS = ("relu", "gelu", "silu")  # the last as a function


@pytest.mark.grad_check
@pytest.mark.parametrize("dtype", FLOAT)
@pytest.mark.parametrize("which", ["Encoder", "Decoder"])
@twice_as_often
@given(data=st.data())
def test_transformers_are_torchs(which, dtype, data):
    """A layer alone, or a stack of them."""
    torch = pytest.importorskip("torch")
    draw = data.draw
    heads, batch = draw(st.integers(1, 3)), draw(st.integers(0, 3))
    n, length, keys = heads * draw(st.integers(1, 3)), *draw(st.tuples(lengths, lengths))
    sizes = (n, heads, draw(st.integers(1, 5)))
    options = {name: draw(st.booleans()) for name in ("batch_first", "norm_first", "bias")}
    options["layer_norm_eps"] = draw(st.sampled_from([1e-5, 0.1]))
    options["dropout"], training = dropping(draw)
    activation = draw(st.sampled_from(ACTIVATIONS))
    count, last = draw(st.integers(0, 2)), draw(st.booleans())

    def made(nn, functional, dtype, **more):
        function = functional.silu if activation == "silu" else activation
        layer = getattr(nn, f"Transformer{which}Layer")
        layer = layer(*sizes, activation=function, **options, dtype=dtype, **more)
        stack = getattr(nn, f"Transformer{which}")
        norm = nn.LayerNorm(n, dtype=dtype) if last else None
        nested = {"enable_nested_tensor": False} if which == "Encoder" and nn is torch.nn else {}
        return stack(layer, count, norm, **nested) if count else layer

    layers = made(nn, F, dtype, key=KEY), made(torch.nn, torch.nn.functional, torch.float64)
    many = [length] if which == "Encoder" else [length, keys]  # those that are attended to
    inputs = drawn_numbers(
        draw, dtype, batch, *((m, n) for m in many), batch_first=options["batch_first"]
    )
    drawn = [drawn_masks(draw, dtype, batch, heads, length, m) for m in many]
    scores, paddings, later = zip(*drawn, strict=True)
    masks = (*scores, *paddings)

    def ours(call, *arrays):
        xs, own = arrays[: len(many)], filled(masks, arrays[len(many) :])
        return call(*xs, *own, *(m is not None for m in later), key=KEY)

    def theirs(call, *arrays):
        xs, own = arrays[: len(many)], filled(masks, arrays[len(many) :])
        own = torchs_masks(own, (*later, *(None for _ in later)))
        return call(*xs, *own, *(False for _ in later))

    inputs += filter(is_added, masks)
    assert_layers_agree(draw, dtype, layers, training, inputs, ours, theirs)


# Transformers -------------------------------------------------------------------------------------


def encoder(count=2, **options):
    def make(key):
        return nn.TransformerEncoderLayer(
            6, 2, 10, batch_first=True, key=key, dtype="float64", **options
        )

    norm = nn.LayerNorm(6, dtype="float64")
    return nn.TransformerEncoder(make, count, norm, key=KEY)


def test_a_stack_survives_a_file_of_torchs(tmp_path):
    model = encoder(3).eval()
    x = rng.normal(size=(2, 5, 6))
    io.save_file(nn.to_torch_state_dict(model), tmp_path / "model.safetensors")
    again = encoder(3).eval()
    again.update({n: 0 * p for n, p in again.parameters().items()})
    again.load_state_dict(io.load_file(tmp_path / "model.safetensors"))
    np.testing.assert_array_equal(again(x), model(x))


def test_a_stack_of_copies_has_layers_of_its_own():
    layer = nn.TransformerDecoderLayer(6, 2, 10, key=KEY)
    layers = nn.TransformerDecoder(layer, 2).layers
    assert len({id(a) for a in (layer, *layers)}) == 3
    for a, b in zip(*(m.parameters().values() for m in layers), strict=True):
        np.testing.assert_array_equal(a, b)


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
