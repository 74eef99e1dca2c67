"""State dicts of all layers that have arrays, by way of files, to torch and from it."""

import numpy as np
import pytest
from nn.rows import LOSS_ROWS, WEIGHTED, sample

from volta import io, nn, tree
from volta.functional import random

pytestmark = pytest.mark.neural
rows = pytest.mark.parametrize("row", WEIGHTED, ids=lambda row: row.name)


def filled(row, seed, dtype="float64"):
    """Layer whose arrays, buffers too, are unlike those that it starts with."""
    layer = row.make(random.key(seed), dtype=dtype)
    rng = np.random.default_rng(seed)

    def other(name, x):
        if name.endswith("num_batches_tracked"):
            return np.asarray(rng.integers(2, 9), x.dtype)
        if name.endswith(("base", "original")):
            return x  # matrices that stay orthogonal
        low = 0.5 if name.endswith("var") else -1.0
        return rng.uniform(low, 1.5, x.shape).astype(x.dtype)

    layer.update({name: other(name, x) for name, x in layer.state_dict().items()})
    return layer.eval()


def same_arrays(found, expected):
    """Same names in the same order, and the same bits."""
    assert list(found) == list(expected)
    for name, x in expected.items():
        assert found[name].dtype == x.dtype, name
        np.testing.assert_array_equal(found[name], x, err_msg=name)


def same_results(found, expected, rtol=1e-12):
    flat = []

    def walk(x):
        for part in x if isinstance(x, tuple) else (x,):
            walk(part) if isinstance(part, tuple) else flat.append(part.detach().numpy())

    walk(expected)
    leaves = tree.leaves(found)
    assert len(leaves) == len(flat)
    for a, b in zip(leaves, flat, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-13)


@rows
def test_to_torch_by_a_file(row, tmp_path):
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    layer, path = filled(row, 1), tmp_path / "layer.safetensors"
    io.save_file(nn.to_torch_state_dict(layer), path)
    oracle = row.torch(torch.nn).double().eval()
    read = safetensors.load_file(path)
    oracle.load_state_dict(read, strict=True)
    for name, x in oracle.state_dict().items():
        assert torch.equal(x, read[name])
    xs = sample(row, "float64")
    same_results(layer(*xs), oracle(*map(torch.from_numpy, xs)))


@rows
def test_from_torch_by_a_file(row, tmp_path):
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    path = tmp_path / "layer.safetensors"
    oracle = row.torch(torch.nn).double().eval()
    oracle.load_state_dict(tree.to(nn.to_torch_state_dict(filled(row, 1)), xp=torch))
    safetensors.save_file({n: x.contiguous() for n, x in oracle.state_dict().items()}, path)
    layer = filled(row, 2)
    assert layer.load_state_dict(io.load_file(path), layout="torch") == ([], [])
    xs = sample(row, "float64")
    same_results(layer(*xs), oracle(*map(torch.from_numpy, xs)))
    back = nn.to_torch_state_dict(layer)
    same_arrays(back, {n: oracle.state_dict()[n].numpy() for n in back})
    assert back.keys() == oracle.state_dict().keys()


@rows
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_own_layout_by_a_file(row, dtype, tmp_path):
    path = tmp_path / "layer.safetensors"
    layer, fresh = filled(row, 1, dtype), filled(row, 2, dtype)
    io.save_file(layer.state_dict(), path)
    read = io.load_file(path)
    assert read.metadata == {"format": "volta"}
    assert fresh.load_state_dict(read) == ([], [])
    same_arrays(fresh.state_dict(), layer.state_dict())
    assert (list(fresh.parameters()), list(fresh.buffers())) == (
        list(layer.parameters()),
        list(layer.buffers()),
    )
    xs = sample(row, dtype)
    for a, b in zip(tree.leaves(fresh(*xs)), tree.leaves(layer(*xs)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6 if dtype == "float32" else 1e-12)
    io.save_file(nn.to_torch_state_dict(layer), path)
    again = filled(row, 2, dtype)
    again.load_state_dict(io.load_file(path))
    same_arrays(again.state_dict(), layer.state_dict())


@pytest.mark.parametrize("row", [r for r in LOSS_ROWS if r.buffers], ids=lambda row: row.name)
def test_weights_of_losses(row, tmp_path):
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    path = tmp_path / "loss.safetensors"
    loss, oracle = row.make(), row.torch(torch.nn)
    loss.update({name: 2 * x for name, x in loss.buffers().items()})
    io.save_file(nn.to_torch_state_dict(loss), path)
    oracle.load_state_dict(safetensors.load_file(path), strict=True)
    assert tuple(oracle.state_dict()) == row.buffers
    same_results(loss(*row.args), oracle(*map(torch.from_numpy, row.args)))
    fresh = row.make()
    fresh.load_state_dict(oracle.state_dict())
    same_arrays(fresh.state_dict(), loss.state_dict())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_other_dtypes_by_a_file(dtype, tmp_path):
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    row, path = next(row for row in WEIGHTED if row.name == "images"), tmp_path / "a.safetensors"
    layer, fresh = filled(row, 1, dtype), filled(row, 2, dtype)
    io.save_file(nn.to_torch_state_dict(layer), path)
    oracle = row.torch(torch.nn).to(getattr(torch, dtype)).eval()
    oracle.load_state_dict(safetensors.load_file(path), strict=True)
    safetensors.save_file({n: x.contiguous() for n, x in oracle.state_dict().items()}, path)
    fresh.load_state_dict(io.load_file(path), layout="torch")
    same_arrays(fresh.state_dict(), layer.state_dict())
