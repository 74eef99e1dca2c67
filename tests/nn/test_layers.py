"""What every layer must do, from the rows of rows.py.

Gradients are in test_as_torch.py and test_training.py.
"""

import copy
import inspect
import pickle

import numpy as np
import pytest
from nn.rows import LOSS_ROWS, MODELS, ROWS, sample

import volta
import volta.functional as F
from volta import io, nn, tree
from volta.functional import random

pytestmark = pytest.mark.neural
KEY = random.key(7)
rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
ELSEWHERE = {
    *("PositionalEncoding", "RotaryEmbedding"),  # test_attention.py
    *("FractionalMaxPool2d", "FractionalMaxPool3d"),  # test_pooling.py: a key in evaluation too
    *("MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d"),  # indices that must be unlike
}
MIXED = {"containers", "images", "parametrizations"}  # of several layers
NOT_CALLED = {"ModuleDict", "ModuleList", "ParameterDict", "ParameterList"}


def keys(row):
    return {"key": KEY} if row.key else {}


def test_every_layer_has_a_row():
    layers = {
        name
        for name in nn.__all__
        if inspect.isclass(getattr(nn, name)) and issubclass(getattr(nn, name), nn.Module)
    }
    rows = {row.name.split()[0].rstrip(",") for row in (*ROWS, *MODELS, *LOSS_ROWS)}
    assert layers - {"Module"} - NOT_CALLED - ELSEWHERE == rows - MIXED


@rows
def test_equals_torch(row):
    torch = pytest.importorskip("torch")
    layer = row.make(KEY, dtype="float64").eval()
    oracle = row.torch(torch.nn).double().eval()
    xs = sample(row, "float64")
    oracle.load_state_dict(tree.to(nn.to_torch_state_dict(layer), xp=torch))
    expected = oracle(*map(torch.from_numpy, xs)).detach().numpy()
    np.testing.assert_allclose(layer(*xs), expected, rtol=1e-13, atol=2e-15)
    fresh = row.make(random.key(8), dtype="float64").eval()
    fresh.load_state_dict(oracle.state_dict())
    np.testing.assert_array_equal(fresh(*xs), layer(*xs))


@rows
def test_names_its_arrays(row):
    layer = row.make(KEY)
    assert tuple(layer.parameters()) == row.arrays
    assert tuple(name for name, _ in layer.named_parameters()) == row.arrays
    assert tuple(layer.buffers()) == row.buffers


@rows
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_keeps_the_dtype(row, dtype):
    layer = row.make(KEY, dtype=dtype)
    wanted = F.astype(np.ones(1), dtype).dtype
    xs = [x if row.ints else F.astype(x, dtype) for x in sample(row)]
    for mode in (True, False):
        if not row.ints or row.arrays:
            assert layer.train(mode)(*xs, **keys(row)).dtype == wanted
    arrays = {**layer.parameters(), **layer.buffers()}
    assert all(a.dtype == wanted for name, a in arrays.items() if not name.startswith("num_"))


@rows
@pytest.mark.parametrize("library", ["array_api_strict", "torch"])
def test_keeps_the_library(row, library):
    xp = pytest.importorskip(library)
    layer = row.make(KEY, xp=xp)
    xs = [xp.asarray(x) for x in sample(row)]
    y = layer(*xs, **keys(row))
    assert type(y) is type(xs[0])
    assert all(type(p) is type(y) for p in layer.state_dict().values())
    host = row.make(KEY)(*sample(row), **keys(row))
    np.testing.assert_allclose(np.from_dlpack(y), host, rtol=1e-5, atol=2e-6)
    moved = tree.to(row.make(KEY), xp=xp)
    np.testing.assert_array_equal(np.from_dlpack(moved(*xs, **keys(row))), np.from_dlpack(y))


def test_keys_of_a_library_without_iteration():
    xp = pytest.importorskip("array_api_strict")
    key, kind = random.key(7, xp=xp), type(xp.asarray([1.0]))
    layers = nn.Linear(4, 3, key=key), nn.Bilinear(4, 3, 2, key=key), nn.Conv2d(2, 3, 3, key=key)
    assert all(type(x) is kind for layer in layers for x in layer.state_dict().values())
    model = nn.Sequential(layers[0], nn.Dropout(), nn.Dropout())
    assert type(model(xp.ones((5, 4)), key=key)) is kind


@rows
def test_vmap_over_the_input_is_a_loop(row):
    layer = row.make(KEY).eval()
    lanes = [sample(row, seed=seed) for seed in (3, 4, 5)]
    expected = np.stack([layer(*lane) for lane in lanes])
    out = volta.vmap(layer)(*map(np.stack, zip(*lanes, strict=True)))
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("row", [row for row in ROWS if row.arrays], ids=lambda row: row.name)
def test_vmap_over_models_is_a_loop(row):
    lanes = random.split(KEY, 3)
    layers = [row.make(key).eval() for key in lanes]
    stacked = volta.vmap(lambda key: row.make(key).parameters())(lanes)
    for name in row.arrays:
        expected = np.stack([layer.parameters()[name] for layer in layers])
        np.testing.assert_array_equal(stacked[name], expected)
    xs = sample(row)
    out = volta.vmap(lambda p: nn.functional_call(layers[0], p, *xs))(stacked)
    expected = np.stack([layer(*xs) for layer in layers])
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)


@rows
def test_survives_a_file(row, tmp_path):
    path = tmp_path / "layer.safetensors"
    layer, fresh = row.make(KEY).eval(), row.make(random.key(8)).eval()
    xs = sample(row)
    io.save_file(layer.state_dict(), path)
    fresh.load_state_dict(io.load_file(path))
    np.testing.assert_array_equal(fresh(*xs), layer(*xs))
    io.save_file(nn.to_torch_state_dict(layer), path)
    again = row.make(random.key(9)).eval()
    again.load_state_dict(io.load_file(path))
    np.testing.assert_array_equal(again(*xs), layer(*xs))


@rows
def test_survives_copies(row):
    layer = row.make(KEY).eval()
    xs = sample(row)
    leaves, spec = tree.flatten(layer)
    for same in (
        copy.copy(layer),
        copy.deepcopy(layer),
        pickle.loads(pickle.dumps(layer)),
        tree.unflatten(spec, leaves),
    ):
        assert repr(same) == repr(layer)
        assert tree.structure(same) == spec
        np.testing.assert_array_equal(same(*xs), layer(*xs))


@rows
def test_does_not_write_to_its_input(row):
    layer = row.make(KEY)
    xs = sample(row)
    for x in xs:
        x.flags.writeable = False
    layer(*xs, **keys(row))
