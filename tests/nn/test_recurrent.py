"""Recurrent layers and packed sequences, against torch."""

import copy
import pickle

import numpy as np
import pytest
from against_torch import (
    assert_layers_agree,
    assert_like_torch,
    assert_second_derivatives,
    dropping,
    layouts,
    of_rounding,
    twice_as_often,
)
from hypothesis import given
from hypothesis import strategies as st
from strategies import FLOAT, fill, seeds

import volta
import volta.functional as F
from volta import io, nn, tree
from volta.core.errors import ShapeError
from volta.functional import random
from volta.transforms import scan

pytestmark = pytest.mark.neural
KEY = random.key(3)
rng = np.random.default_rng(4)
START = rng.bit_generator.state
STATES = {"RNNCell": 1, "LSTMCell": 2, "GRUCell": 1}
CELLS = tuple(STATES)
LAYERS = ("RNN", "LSTM", "GRU")


@pytest.fixture(autouse=True)
def same_numbers():
    """Each test draws the same, whichever ran before."""
    rng.bit_generator.state = START


def flat(out):
    """The arrays of outputs and states, of either library."""
    if hasattr(out, "batch_sizes"):
        return (out.data,)
    return tuple(a for part in out for a in flat(part)) if isinstance(out, tuple) else (out,)


def total(out):
    """A number that all of a result takes part in."""
    return sum(F.sum(F.sin(a) * (i + 1)) for i, a in enumerate(flat(out)))


# Against torch ------------------------------------------------------------------------------------


def packed(utilities, x, lengths, batch_first):
    ordered = list(lengths) == sorted(lengths, reverse=True)
    return utilities.pack_padded_sequence(x, lengths, batch_first, enforce_sorted=ordered)


@pytest.mark.grad_check
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("dtype", FLOAT)
@pytest.mark.parametrize("name", LAYERS)
@given(data=st.data())
def test_layers_are_torchs(name, dtype, data):
    torch = pytest.importorskip("torch")
    draw = data.draw
    width, hidden = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    options = {flag: draw(st.booleans()) for flag in ("bias", "batch_first", "bidirectional")}
    options["num_layers"] = draw(st.integers(1, 3))
    options["dropout"], training = dropping(draw)
    if options["num_layers"] == 1:
        options["dropout"] = 0.0  # PyTorch warns that there is nothing to drop
    if name == "RNN":
        options["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    if name == "LSTM":
        options["proj_size"] = draw(st.integers(0, hidden - 1))
    layer = getattr(nn, name)(width, hidden, **options, key=KEY, dtype=dtype)
    oracle = getattr(torch.nn, name)(width, hidden, **options)

    kind, first = draw(st.sampled_from(["batch", "one", "packed"])), options["batch_first"]
    steps, batch, seed = draw(st.integers(1, 5)), draw(st.integers(1, 4)), draw(seeds)
    lengths = draw(st.lists(st.integers(1, steps), min_size=batch, max_size=batch))
    count = options["num_layers"] * (1 + options["bidirectional"])
    among = () if kind == "one" else (batch,)
    lead = (*among, steps) if first else (steps, *among)
    widths = [options.get("proj_size") or hidden, hidden][: 2 if name == "LSTM" else 1]
    states = [(count, *among, n) for n in widths] if draw(st.booleans()) else []
    inputs = [fill(seed + i, s, dtype) for i, s in enumerate([(*lead, width), *states])]

    def calling(utilities, lengths, **options):
        def called(call, x, *state):
            x = packed(utilities, x, lengths, first) if kind == "packed" else x
            return flat(call(x, *([state] if name == "LSTM" and state else state), **options))

        return called

    ours = calling(nn, lengths, key=KEY)
    theirs = calling(torch.nn.utils.rnn, torch.tensor(lengths))
    assert_layers_agree(draw, dtype, (layer, oracle), training, inputs, ours, theirs)


def torchs_cell(torch, name, nonlinearity):
    """PyTorch's function of a cell, of one sample too."""
    suffix = f"{nonlinearity}_" if name == "rnn" else ""
    cell = getattr(torch, f"{name}_{suffix}cell")

    def call(x, h, *rest):
        if name == "lstm":
            h = (h, rest[0])
            rest = rest[1:]
        if x.ndim == 2:
            return cell(x, h, *rest)
        h = tuple(a[None] for a in h) if name == "lstm" else h[None]
        out = cell(x[None], h, *rest)
        return tuple(a[0] for a in out) if name == "lstm" else out[0]

    return call


@pytest.mark.grad_check
@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
@twice_as_often
@given(data=st.data())
def test_functions_of_cells_are_torchs(name, data):
    torch = pytest.importorskip("torch")
    draw = data.draw
    width, hidden = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    lead = draw(st.sampled_from([(), (0,), (1,), (3,)]))
    options = {"nonlinearity": draw(st.sampled_from(["tanh", "relu"]))} if name == "rnn" else {}
    gates = {"rnn": 1, "lstm": 4, "gru": 3}[name] * hidden
    shapes = [(*lead, width), (*lead, hidden), (gates, width), (gates, hidden)]
    shapes[2:2] = [(*lead, hidden)] if name == "lstm" else []
    shapes += [(gates,), (gates,)] if draw(st.booleans()) else []
    arrays = [fill(draw(seeds), shape, "float64") for shape in shapes]

    def ours(x, h, *rest):
        if name == "lstm":
            return F.lstm_cell(x, (h, rest[0]), *rest[1:])
        return getattr(F, f"{name}_cell")(x, h, *rest, **options)

    theirs = torchs_cell(torch, name, options.get("nonlinearity"))
    dtype = draw(st.sampled_from(FLOAT))
    assert_like_torch(ours, theirs, arrays, dtype, limit=of_rounding, layout=draw(layouts))
    if dtype == "float64":
        assert_second_derivatives(ours, arrays)


@pytest.mark.grad_check
@pytest.mark.parametrize("dtype", FLOAT)
@pytest.mark.parametrize("name", CELLS)
@given(data=st.data())
def test_cells_are_torchs(name, dtype, data):
    torch = pytest.importorskip("torch")
    draw = data.draw
    width, hidden = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    options = {"bias": draw(st.booleans())}
    if name == "RNNCell":
        options["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    cell = getattr(nn, name)(width, hidden, **options, key=KEY, dtype=dtype)
    oracle = getattr(torch.nn, name)(width, hidden, **options)
    lead, seed = draw(st.sampled_from([(), (1,), (3,)])), draw(seeds)
    shapes = [(*lead, width), *[(*lead, hidden)] * draw(st.sampled_from([0, STATES[name]]))]
    inputs = [fill(seed + i, s, dtype) for i, s in enumerate(shapes)]

    def called(call, x, *state):
        return flat(call(x, *([state] if name == "LSTMCell" and state else state)))

    assert_layers_agree(draw, dtype, (cell, oracle), True, inputs, called, called)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_its_cell_along_the_sequence(name):
    layer = getattr(nn, name)(3, 4, key=KEY, dtype="float64")
    cell = getattr(nn, f"{name}Cell")(3, 4, key=random.key(9), dtype="float64")
    cell.update({n.removesuffix("_l0"): p for n, p in layer.parameters().items()})
    x = rng.normal(size=(6, 2, 3))
    out, last = layer(x)
    state = None
    for t in range(6):
        state = cell(x[t], state)
        h = state[0] if name == "LSTM" else state
        np.testing.assert_allclose(out[t], h, rtol=1e-12)
    for a, b in zip(tree.leaves(last), tree.leaves(state), strict=True):
        np.testing.assert_allclose(a[0], b, rtol=1e-12)


@pytest.mark.grad_check
@pytest.mark.parametrize("name", LAYERS)
def test_derivatives_of_second_order(name):
    layer = getattr(nn, name)(2, 3, key=KEY, dtype="float64")

    def fun(parameters, x):
        return total(nn.functional_call(layer, parameters, x))

    volta.testing.check_grads(fun, (layer.parameters(), rng.normal(size=(3, 2, 2))), order=2)


@pytest.mark.parametrize("library", ["torch", "jax.numpy", "array_api_strict"])
@pytest.mark.parametrize("name", LAYERS)
def test_keeps_the_library(name, library):
    xp = pytest.importorskip(library)
    layer = getattr(nn, name)(3, 4, key=KEY)
    x = rng.normal(size=(5, 2, 3)).astype(np.float32)
    there = tree.to(layer, xp=xp)
    out, _ = there(xp.asarray(x))
    assert type(out) is type(xp.asarray(x))
    np.testing.assert_allclose(np.from_dlpack(out), layer(x)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", LAYERS)
def test_keeps_the_dtype(name, dtype):
    layer = getattr(nn, name)(3, 4, key=KEY, dtype=dtype)
    x = F.astype(rng.normal(size=(5, 2, 3)), dtype)
    assert {a.dtype for a in tree.leaves(layer(x))} == {x.dtype}
    if dtype == "float32":  # a state of more bits decides
        wide = rng.normal(size=(1, 2, 4))
        state = (wide, wide) if name == "LSTM" else wide
        assert {a.dtype for a in tree.leaves(layer(x, state))} == {wide.dtype}


@pytest.mark.parametrize("name", LAYERS)
def test_vmap_is_the_loop(name):
    layer = getattr(nn, name)(3, 4, bidirectional=True, key=KEY, dtype="float64")
    x = rng.normal(size=(4, 5, 2, 3))
    found = volta.vmap(layer)(x)
    for i in range(4):
        for a, b in zip(tree.leaves(found), tree.leaves(layer(x[i])), strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-10)
    keys = random.split(KEY, 3)
    layers = [getattr(nn, name)(3, 4, key=k, dtype="float64") for k in keys]
    stacked = tree.map(lambda *p: np.stack(p), *[m.parameters() for m in layers])
    found = volta.vmap(lambda p: nn.functional_call(layers[0], p, x[0])[0])(stacked)
    for i, one in enumerate(layers):
        np.testing.assert_allclose(found[i], one(x[0])[0], rtol=1e-10)


def test_dropout_is_between_layers_and_in_training():
    layer = nn.LSTM(3, 4, num_layers=2, dropout=0.5, key=KEY)
    x = rng.normal(size=(5, 2, 3)).astype(np.float32)
    with pytest.raises(
        ValueError, match="LSTM: a call in training with dropout must have a random"
    ):
        layer(x)
    first, _ = layer(x, key=random.key(1))
    again, _ = layer(x, key=random.key(1))
    other, _ = layer(x, key=random.key(2))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)
    plain, _ = layer.eval()(x)
    assert np.any(first != plain)
    single = nn.LSTM(3, 4, dropout=0.5, key=KEY)
    np.testing.assert_array_equal(single(x)[0], single.eval()(x)[0])


def test_survives_files_and_copies(tmp_path):
    layer, fresh = (nn.GRU(3, 4, num_layers=2, key=random.key(i)) for i in (0, 1))
    x = rng.normal(size=(5, 2, 3)).astype(np.float32)
    io.save_file(layer.state_dict(), tmp_path / "gru.safetensors")
    fresh.load_state_dict(io.load_file(tmp_path / "gru.safetensors"))
    for same in (fresh, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(same(x)[0], layer(x)[0])


def test_initial_values_are_uniform_within_torchs_bound():
    layer = nn.LSTM(50, 64, key=KEY)
    bound = 1 / 8
    for p in layer.parameters().values():
        assert np.max(np.abs(p)) <= bound
        assert np.max(np.abs(p)) > 0.97 * bound
        np.testing.assert_allclose(np.std(p), bound / np.sqrt(3), rtol=0.1)
    assert np.any(layer.bias_ih_l0 != layer.bias_hh_l0)


def test_a_sequence_goes_on_where_it_was_cut():
    layer = nn.LSTM(3, 4, num_layers=2, key=KEY, dtype="float64")
    x = rng.normal(size=(8, 2, 3))
    whole, last = layer(x)
    first, state = layer(x[:5])
    second, end = layer(x[5:], state)
    np.testing.assert_allclose(np.concatenate([first, second]), whole, rtol=1e-12)
    for a, b in zip(end, last, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


# Packed sequences ---------------------------------------------------------------------------------


@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=5), batch_first=st.booleans())
def test_packing_is_torchs(lengths, batch_first):
    torch = pytest.importorskip("torch")
    rnn = torch.nn.utils.rnn
    lead = (len(lengths), 6) if batch_first else (6, len(lengths))
    x = rng.normal(size=(*lead, 2))
    packed = nn.pack_padded_sequence(x, lengths, batch_first, enforce_sorted=False)
    wanted = rnn.pack_padded_sequence(
        torch.tensor(x), torch.tensor(lengths), batch_first, enforce_sorted=False
    )
    np.testing.assert_array_equal(packed.batch_sizes, wanted.batch_sizes)
    assert packed.lengths == tuple(lengths)
    for options in ({}, {"padding_value": -1.0, "total_length": 7}):
        found, sizes = nn.pad_packed_sequence(packed, batch_first, **options)
        expected, _ = rnn.pad_packed_sequence(wanted, batch_first, **options)
        np.testing.assert_array_equal(found, expected)
        assert sizes == tuple(lengths)
    sequences = nn.unpack_sequence(packed)
    assert [len(s) for s in sequences] == lengths
    again = nn.pack_sequence(sequences, enforce_sorted=False)
    np.testing.assert_array_equal(again.data, packed.data)
    for side in ("right", "left"):
        found = nn.pad_sequence(sequences, batch_first, 0.5, side)
        expected = rnn.pad_sequence([torch.tensor(s) for s in sequences], batch_first, 0.5, side)
        np.testing.assert_array_equal(found, expected)
    for a, b in zip(nn.unpad_sequence(x, lengths, batch_first), sequences, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_packed_sequence_is_a_tree():
    packed = nn.pack_sequence([np.ones(3), np.ones(2)])
    grads = volta.grad(lambda p: F.sum(nn.pad_packed_sequence(p)[0] ** 2))(packed)
    np.testing.assert_array_equal(grads.data, 2 * packed.data)
    assert grads.batch_sizes == packed.batch_sizes
    out = scan(lambda c, _: (c, F.sum(packed.data) * c), np.ones(()), length=2)[1]
    np.testing.assert_array_equal(out, [5.0, 5.0])


X = np.ones((5, 2, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.LSTM(0, 3, key=KEY), ValueError, "LSTM: input_size must be positive; got 0"),
        (lambda: nn.GRU(3, 3, 0, key=KEY), ValueError, "GRU: num_layers must be positive; got 0"),
        (lambda: nn.RNN(3, 3, dropout=2.0, key=KEY), ValueError, r"dropout must be .* got 2\.0"),
        (lambda: nn.RNN(3, 3, nonlinearity="x", key=KEY), ValueError, "RNN: nonlinearity .* 'x'"),
        (lambda: nn.RNNCell(3, 3, nonlinearity="x", key=KEY), ValueError, "RNNCell: nonlinearity"),
        (lambda: nn.LSTM(3, 3, proj_size=3, key=KEY), ValueError, "proj_size must be from 0 to"),
        (lambda: nn.LSTM(4, 3, key=KEY)(X), ShapeError, r"input_size=4 .* shape \(5, 2, 3\)"),
        (lambda: nn.LSTM(3, 3, key=KEY)(X[:0]), ShapeError, r"a step at least; got \(0, 2, 3\)"),
        (lambda: nn.GRU(3, 3, key=KEY)(X[None]), ShapeError, r"three axes, .* got \(1, 5, 2, 3\)"),
        (
            lambda: nn.LSTM(3, 3, key=KEY)(X, (np.ones((1, 2, 3)), np.ones((2, 2, 3)))),
            ShapeError,
            r"\(1, 2, 3\) and \(1, 2, 3\); got \(1, 2, 3\) and \(2, 2, 3\)",
        ),
        (lambda: nn.GRUCell(4, 3, key=KEY)(X), ShapeError, r"GRUCell: .* input_size=4"),
        (lambda: nn.pack_padded_sequence(X, [1, 2]), ShapeError, r"must not grow; got \[1, 2\]"),
        (lambda: nn.pack_padded_sequence(X, [6, 1]), ShapeError, r"1 to 5 for each of the 2 .*\[6"),
        (
            lambda: nn.pack_padded_sequence(X, [1]),
            ShapeError,
            r"each of the 2 sequences; got \[1\]",
        ),
        (
            lambda: nn.pad_packed_sequence(nn.pack_sequence([X[:, 0]]), total_length=2),
            ShapeError,
            "longest sequence at least; got 2 and 5",
        ),
        (lambda: nn.pad_sequence([X], padding_side="top"), ValueError, "padding_side must be"),
        (lambda: nn.pad_sequence([X, X[0]]), ShapeError, r"one kind; got \[\(5, 2, 3\), \(2, 3\)"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
