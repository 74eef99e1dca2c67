"""Every parameter of every layer trains: its gradient is not zero, and that of differences.

All elements of all parameters are moved, one by one, in 64 bits; in training and in evaluation.
"""

from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest
from nn.rows import MODELS, ROWS, sample
from nn.test_layers import ELSEWHERE, MIXED

import volta
import volta.functional as F
from volta import nn, tree
from volta.functional import random

pytestmark = [pytest.mark.neural, pytest.mark.grad_check]
KEY, OTHER = random.key(7), random.key(8)
WIDE = {"key": KEY, "dtype": "float64"}


class Row(NamedTuple):
    """A layer, shapes of its inputs, options of the call, and what has no slope."""

    name: str
    make: Any
    shapes: tuple
    options: Any = MappingProxyType({})
    flat: Any = MappingProxyType({})  # places by the name of a parameter


def recurrent(name, **options):
    state = {"LSTMCell": ((2, 2), (2, 2)), "RNNCell": (2, 2), "GRUCell": (2, 2)}
    shapes = ((2, 3), state[name]) if name in state else ((3, 2, 3),)
    written = "".join(f", {n}={o}" for n, o in options.items())
    return Row(name + written, lambda: getattr(nn, name)(3, 2, **options, **WIDE), shapes)


def attention(name, *shapes, flat, **options):
    make = getattr(nn, name.partition(",")[0])
    if "Transformer" in name:
        options = {"activation": "gelu", "dim_feedforward": 3, "dropout": 0.25, **options}
    key = {"key": OTHER} if "Transformer" in name else {}
    return Row(name, lambda: make(4, 2, **options, **WIDE), shapes, key, flat)


# a bias of keys moves all scores of a query alike
KEYS = {"in_proj_bias": slice(4, 8)}
OWN, ACROSS = ({f"{n}.in_proj_bias": slice(4, 8)} for n in ("self_attn", "multihead_attn"))
STACKED = {f"layers.{i}.{n}": slice(3, 6) for i in (0, 1) for n in (OWN | ACROSS)}


def stack(name, *shapes):
    def make():
        layer = getattr(nn, f"{name}Layer")(3, 1, 2, activation="gelu", **WIDE)
        return getattr(nn, name)(layer, 2, nn.LayerNorm(3, dtype="float64"), key=OTHER)

    return Row(name, make, shapes, {"key": OTHER}, STACKED)


def autoencoder():
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, stride=2, padding=1, **WIDE),
        nn.BatchNorm2d(2, dtype="float64"),
        nn.GELU(),
        nn.ConvTranspose2d(2, 1, 3, stride=2, padding=1, output_padding=1, **WIDE),
    )


MORE = [
    *(recurrent(f"{n}Cell") for n in ("RNN", "LSTM", "GRU")),
    recurrent("RNN", num_layers=2),
    recurrent("GRU", bidirectional=True),
    recurrent("LSTM", num_layers=2),
    recurrent("LSTM", bidirectional=True, proj_size=1),
    attention("MultiheadAttention", (3, 2, 4), (4, 2, 4), (4, 2, 4), flat=KEYS),
    attention("MultiheadAttention, bias_kv", *[(3, 2, 4)] * 3, flat=KEYS, add_bias_kv=True),
    attention(
        "MultiheadAttention, widths", (3, 2, 4), (4, 2, 3), (4, 2, 2), flat=KEYS, kdim=3, vdim=2
    ),
    attention("TransformerEncoderLayer", (3, 2, 4), flat=OWN),
    attention("TransformerEncoderLayer, norm first", (3, 2, 4), flat=OWN, norm_first=True),
    attention("TransformerDecoderLayer", (3, 2, 4), (4, 2, 4), flat=OWN | ACROSS),
    stack("TransformerEncoder", (2, 2, 3)),
    stack("TransformerDecoder", (2, 2, 3), (3, 2, 3)),
    Row("PositionalEncoding", lambda: nn.PositionalEncoding(4, 3, "learned", **WIDE), ((2, 3, 4),)),
    # the mean of the batch takes a bias away
    Row("autoencoder", autoencoder, ((2, 1, 4, 4),), {}, {"0.bias": slice(None)}),
]


def differences(fun, params, h=1e-5):
    """Slopes of a function of arrays by their names along each element of each."""
    found = {}
    for name, p in params.items():
        slopes = np.empty_like(p)
        for at in np.ndindex(p.shape):
            step = np.zeros_like(p)
            step[at] = h
            ahead, behind = (fun({**params, name: p + s}) for s in (step, -step))
            slopes[at] = (ahead - behind) / (2 * h)
        found[name] = slopes
    return found


def check(model, inputs, options, flat):
    """Assert it of the sum of all results, each with a random factor."""
    buffers, params = model.buffers(), model.parameters()

    def results(params):
        out, _ = nn.stateful_call(model, params, buffers, *inputs, **options)
        return tree.leaves(out)

    rng = np.random.default_rng(5)
    factors = [rng.normal(size=out.shape) for out in results(params)]

    def loss(params):
        return sum(F.sum(out * c) for out, c in zip(results(params), factors, strict=True))

    grads = volta.grad(loss)(params)
    assert grads.keys() == params.keys()
    for name, slopes in differences(loss, params).items():
        scale = max(1.0, np.max(np.abs(slopes)))
        np.testing.assert_allclose(grads[name], slopes, rtol=0, atol=1e-7 * scale, err_msg=name)
        moving = np.ones(slopes.shape, bool)
        moving[flat.get(name, slice(0))] = False
        assert np.all(np.abs(grads[name][moving]) > 1e-9), name


ADAPTIVE = [row for row in MODELS if row.name.startswith("Adaptive")]
HERE = [*(row for row in ROWS if row.arrays), *ADAPTIVE]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("row", HERE, ids=lambda row: row.name)
def test_layers_train(row, training):
    model = row.make(KEY, dtype="float64").train(training)
    options = {"key": OTHER} if row.key else {}
    check(model, sample(row, "float64"), options, {})


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("row", MORE, ids=lambda row: row.name)
def test_models_train(row, training):
    model = row.make().train(training)
    rng = np.random.default_rng(4)

    def drawn(shape):
        return rng.normal(size=shape) if isinstance(shape[0], int) else tuple(map(drawn, shape))

    flat = {} if row.name == "autoencoder" and not training else row.flat
    check(model, drawn(row.shapes), row.options, flat)


def test_there_is_a_row_of_every_layer():
    names = {row.name.partition(",")[0] for row in (*MORE, *ADAPTIVE)} - {"autoencoder"}
    models = {row.name.partition(",")[0] for row in MODELS} - MIXED
    others = {n for n in ELSEWHERE if "ool" not in n} - {"RotaryEmbedding"}  # have no parameters
    assert names == models | others
