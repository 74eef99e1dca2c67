"""What every layer must do, from the rows of rows.py."""

import copy
import inspect
import pickle

import numpy as np
import pytest
from nn.rows import LOSS_ROWS, ROWS

import volta
import volta.functional as F
from volta import io, nn, tree
from volta.functional import random

pytestmark = pytest.mark.neural
KEY = random.key(7)
rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def sample(row, dtype="float32"):
    return np.random.default_rng(3).normal(size=row.shape).astype(dtype)


def test_every_layer_has_a_row():
    layers = {
        name
        for name in nn.__all__
        if inspect.isclass(getattr(nn, name)) and issubclass(getattr(nn, name), nn.Module)
    }
    assert layers - {"Module"} == {row.name.split()[0].rstrip(",") for row in (*ROWS, *LOSS_ROWS)}


@rows
def test_equals_torch(row):
    torch = pytest.importorskip("torch")
    layer = row.make(KEY, dtype="float64").eval()
    oracle = row.torch(torch.nn).double().eval()
    x = sample(row, "float64")
    oracle.load_state_dict(tree.to(nn.to_torch_state_dict(layer), xp=torch))
    expected = oracle(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(layer(x), expected, rtol=1e-13, atol=1e-15)
    fresh = row.make(random.key(8), dtype="float64").eval()
    fresh.load_state_dict(oracle.state_dict())
    np.testing.assert_array_equal(fresh(x), layer(x))


@rows
def test_names_its_parameters(row):
    layer = row.make(KEY)
    assert tuple(layer.parameters()) == row.arrays
    assert tuple(name for name, _ in layer.named_parameters()) == row.arrays
    assert layer.buffers() == {}


@rows
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_keeps_the_dtype(row, dtype):
    layer = row.make(KEY, dtype=dtype)
    keys = {"key": KEY} if row.key else {}
    x = F.astype(sample(row), dtype)
    assert layer(x, **keys).dtype == x.dtype
    assert all(p.dtype == x.dtype for p in layer.parameters().values())


@rows
@pytest.mark.parametrize("library", ["array_api_strict", "torch"])
def test_keeps_the_library(row, library):
    xp = pytest.importorskip(library)
    layer = row.make(KEY, xp=xp)
    x = xp.asarray(sample(row))
    keys = {"key": KEY} if row.key else {}
    y = layer(x, **keys)
    assert type(y) is type(x)
    assert all(type(p) is type(x) for p in layer.parameters().values())
    host = row.make(KEY)(sample(row), **keys)
    np.testing.assert_allclose(np.from_dlpack(y), host, rtol=1e-5, atol=1e-6)
    moved = tree.to(row.make(KEY), xp=xp)
    np.testing.assert_array_equal(np.from_dlpack(moved(x, **keys)), np.from_dlpack(y))


@rows
def test_every_parameter_has_a_derivative(row):
    layer = row.make(KEY, dtype="float64").eval()
    x = sample(row, "float64")
    weights = np.random.default_rng(5).normal(size=layer(x).shape)

    def loss(layer, x):
        return F.sum(layer(x) * weights)

    grads, at_input = volta.grad(loss, argnums=(0, 1))(layer, x)
    assert tuple(grads) == row.arrays
    assert all(np.all(g != 0) for g in grads.values())
    direction = {n: np.full(p.shape, 0.5) for n, p in layer.parameters().items()}
    along = np.random.default_rng(6).normal(size=x.shape)
    _, tangent = volta.jvp(loss, (layer, x), (direction, along))
    expected = np.sum(at_input * along) + sum(0.5 * np.sum(g) for g in grads.values())
    np.testing.assert_allclose(tangent, expected, rtol=1e-10)
    h = 1e-6
    moved = copy.deepcopy(layer)
    moved.update({n: p + h * direction[n] for n, p in layer.parameters().items()})
    back = copy.deepcopy(layer)
    back.update({n: p - h * direction[n] for n, p in layer.parameters().items()})
    difference = (loss(moved, x + h * along) - loss(back, x - h * along)) / (2 * h)
    np.testing.assert_allclose(tangent, difference, rtol=1e-6, atol=1e-8)


@rows
def test_vmap_over_the_input_is_a_loop(row):
    layer = row.make(KEY).eval()
    x = np.stack([sample(row), sample(row) + 1, sample(row) * 2])
    expected = np.stack([layer(lane) for lane in x])
    np.testing.assert_allclose(volta.vmap(layer)(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("row", [row for row in ROWS if row.arrays], ids=lambda row: row.name)
def test_vmap_over_models_is_a_loop(row):
    keys = random.split(KEY, 3)
    layers = [row.make(key).eval() for key in keys]
    stacked = volta.vmap(lambda key: row.make(key).parameters())(keys)
    for name in row.arrays:
        expected = np.stack([layer.parameters()[name] for layer in layers])
        np.testing.assert_array_equal(stacked[name], expected)
    x = sample(row)
    out = volta.vmap(lambda p: nn.functional_call(layers[0], p, x))(stacked)
    np.testing.assert_allclose(out, np.stack([layer(x) for layer in layers]), rtol=1e-5, atol=1e-6)


@rows
def test_survives_a_file(row, tmp_path):
    path = tmp_path / "layer.safetensors"
    layer, fresh = row.make(KEY).eval(), row.make(random.key(8)).eval()
    io.save_file(layer.state_dict(), path)
    fresh.load_state_dict(io.load_file(path))
    np.testing.assert_array_equal(fresh(sample(row)), layer(sample(row)))
    io.save_file(nn.to_torch_state_dict(layer), path)
    again = row.make(random.key(9)).eval()
    again.load_state_dict(io.load_file(path))
    np.testing.assert_array_equal(again(sample(row)), layer(sample(row)))


@rows
def test_survives_copies(row):
    layer = row.make(KEY).eval()
    x = sample(row)
    leaves, spec = tree.flatten(layer)
    for same in (
        copy.copy(layer),
        copy.deepcopy(layer),
        pickle.loads(pickle.dumps(layer)),
        tree.unflatten(spec, leaves),
    ):
        assert repr(same) == repr(layer)
        assert tree.structure(same) == spec
        np.testing.assert_array_equal(same(x), layer(x))


@rows
def test_does_not_write_to_its_input(row):
    layer = row.make(KEY)
    x = sample(row)
    x.flags.writeable = False
    layer(x, **({"key": KEY} if row.key else {}))
