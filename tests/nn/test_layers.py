"""What every layer must do, from the rows of rows.py."""

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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("row", [row for row in ROWS if not row.key], ids=lambda row: row.name)
def test_learns_as_torch_does(row, dtype):
    """Results, all gradients and buffers of two calls in training and one in evaluation."""
    torch = pytest.importorskip("torch")
    layer = row.make(KEY, dtype=dtype)
    oracle = row.torch(torch.nn).to(getattr(torch, dtype))
    oracle.load_state_dict(tree.to(nn.to_torch_state_dict(layer), xp=torch))
    single = dtype == "float32"
    single = single or row.name == "Hardsigmoid"  # whose slope, 1/6, PyTorch has in 32 bits
    tolerance = {"rtol": 1e-5, "atol": 2e-5} if single else {"rtol": 1e-10, "atol": 1e-12}
    for seed, training in ((3, True), (4, True), (5, False)):
        xs = sample(row, dtype, seed)
        theirs = [torch.from_numpy(x).requires_grad_(not row.ints) for x in xs]
        expected = oracle.train(training)(*theirs)
        ct = np.random.default_rng(6).normal(size=tuple(expected.shape)).astype(dtype)
        expected.backward(torch.from_numpy(ct))

        def call(params, *floats, ints=xs):
            return nn.stateful_call(layer, params, layer.buffers(), *(floats or ints))

        layer.train(training)
        y, pull, buffers = volta.vjp(
            call, layer.parameters(), *(() if row.ints else xs), has_aux=True
        )
        grads, *at_inputs = pull(ct)
        layer.update(buffers)
        np.testing.assert_allclose(y, expected.detach().numpy(), **tolerance)
        for x, found in zip(theirs, at_inputs, strict=not row.ints):
            np.testing.assert_allclose(found, x.grad.numpy(), **tolerance)
        for name, parameter in oracle.named_parameters():
            grad = parameter.grad.numpy()
            grad = grad.T if _turned(layer, name) else grad
            np.testing.assert_allclose(grads[name], grad, **tolerance)
            parameter.grad = None
        for name, buffer in oracle.named_buffers():
            if not (name == "num_batches_tracked" and row.name.startswith("Instance")):
                np.testing.assert_allclose(buffers[name], buffer.numpy(), **tolerance)


def _turned(layer, name):
    """Whether PyTorch has the transpose of a parameter."""
    path, _, field = name.rpartition(".")
    owner = dict(layer.named_modules())[path]
    return field in owner._torch_axes


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
def test_every_parameter_has_a_derivative(row):
    layer = row.make(KEY, dtype="float64").eval()
    xs = sample(row, "float64")
    weights = np.random.default_rng(5).normal(size=layer(*xs).shape)
    varied = () if row.ints else tuple(range(1, 1 + len(xs)))

    def loss(layer, *xs):
        return F.sum(layer(*xs) * weights)

    grads, *at_inputs = volta.grad(loss, argnums=(0, *varied))(layer, *xs)
    assert tuple(grads) == row.arrays
    assert all(np.all(g != 0) for g in grads.values())
    direction = {n: np.full(p.shape, 0.5) for n, p in layer.parameters().items()}
    rng = np.random.default_rng(6)
    along = [rng.normal(size=x.shape) for x in xs] if varied else []

    def of_floats(layer, *floats):
        return loss(layer, *(floats or xs))

    primals = (layer, *(xs if varied else ()))
    _, tangent = volta.jvp(of_floats, primals, (direction, *along))
    expected = sum(np.sum(g * t) for g, t in zip(at_inputs, along, strict=True))
    expected += sum(0.5 * np.sum(g) for g in grads.values())
    np.testing.assert_allclose(tangent, expected, rtol=1e-10, atol=1e-12)
    h = 1e-6

    def moved(h):
        there = copy.deepcopy(layer)
        there.update({n: p + h * direction[n] for n, p in layer.parameters().items()})
        return (
            loss(there, *(x + h * t for x, t in zip(xs, along, strict=True)))
            if varied
            else (loss(there, *xs))
        )

    difference = (moved(h) - moved(-h)) / (2 * h)
    np.testing.assert_allclose(tangent, difference, rtol=1e-6, atol=1e-8)


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
