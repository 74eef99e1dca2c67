"""What every loss must do as a layer, from the rows of rows.py."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from nn.rows import LOSS_ROWS, W

import volta
import volta.functional as F
from volta import io, nn, tree
from volta.core.errors import ShapeError

pytestmark = pytest.mark.neural
rows = pytest.mark.parametrize("row", LOSS_ROWS, ids=lambda row: row.name)


def varied(row):
    """Places of the arguments that have a derivative."""
    places = [i for i, a in enumerate(row.args) if a.dtype.kind == "f"]
    return tuple(places[: len(places) - row.fixed])


@rows
def test_value_and_gradients_equal_torchs(row):
    torch = pytest.importorskip("torch")
    args = [
        torch.from_numpy(a.copy()).requires_grad_(i in varied(row)) for i, a in enumerate(row.args)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about reductions
        expected = row.torch(torch.nn)(*args)
    loss = row.make()
    np.testing.assert_allclose(loss(*row.args), expected.detach().numpy(), rtol=1e-10, atol=1e-14)
    grads = volta.grad(lambda *a: F.sum(loss(*a)), argnums=varied(row))(*row.args)
    if row.name == "CTCLoss":  # torch's derivative is that in logits, through log_softmax
        p, (g,) = np.exp(row.args[0]), grads
        grads = (g - p * np.sum(g, axis=-1, keepdims=True),)
    theirs = torch.autograd.grad(expected.sum(), [args[i] for i in varied(row)])
    for ours, other in zip(grads, theirs, strict=True):
        np.testing.assert_allclose(ours, other.numpy(), rtol=1e-9, atol=1e-13)


@rows
@pytest.mark.parametrize("library", ["array_api_strict", "torch"])
def test_keeps_the_library(row, library):
    xp = pytest.importorskip(library)
    args = [xp.asarray(a.copy()) for a in row.args]
    out = tree.to(row.make(), xp=xp)(*args)
    assert type(out) is type(args[0])
    np.testing.assert_allclose(np.from_dlpack(out), row.make()(*row.args), rtol=1e-10)


@rows
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_keeps_the_dtype(row, dtype):
    args = [F.astype(a, dtype) if a.dtype.kind == "f" else a for a in row.args]
    loss = row.make()
    loss.update({name: F.astype(b, dtype) for name, b in loss.buffers().items()})
    out = loss(*args)
    assert out.dtype == args[0].dtype
    exact = row.make()(*row.args)
    tolerance = {"float32": 1e-5, "float16": 2e-2, "bfloat16": 1e-1}[dtype]
    scale = tolerance * max(1.0, float(np.max(np.abs(exact))))
    np.testing.assert_allclose(np.asarray(out, np.float64), exact, rtol=tolerance, atol=scale)


@rows
def test_weights_are_buffers_and_survive_files_and_copies(row, tmp_path):
    loss = row.make()
    assert loss.parameters() == {}
    assert tuple(loss.buffers()) == row.buffers
    path = tmp_path / "loss.safetensors"
    io.save_file(loss.state_dict(), path)
    fresh = row.make()
    fresh.update({name: np.zeros_like(b) for name, b in fresh.buffers().items()})
    fresh.load_state_dict(io.load_file(path))
    for same in (
        fresh,
        copy.deepcopy(loss),
        pickle.loads(pickle.dumps(loss)),
    ):
        assert repr(same) == repr(loss)
        np.testing.assert_array_equal(same(*row.args), loss(*row.args))


@pytest.mark.parametrize(
    ("make", "args", "message"),
    [
        (nn.MSELoss, (W, W[0]), r"mse_loss: input and target must have one shape"),
        (lambda: nn.CrossEntropyLoss(W[0, :2]), (W, W), r"one factor a class, shape \(5,\)"),
    ],
)
def test_losses_refuse_what_their_functions_refuse(make, args, message):
    with pytest.raises(ShapeError, match=message):
        make()(*args)


REDUCING = {type(row.make()) for row in LOSS_ROWS if hasattr(row.make(), "reduction")}


@pytest.mark.parametrize("loss", sorted(REDUCING, key=lambda loss: loss.__name__))
def test_reductions_are_checked_when_the_loss_is_made(loss):
    more = ", 'batchmean'" if loss is nn.KLDivLoss else ""
    message = f"^{loss.__name__}: reduction must be 'mean', 'sum'{more} or 'none'; got 'x'"
    with pytest.raises(ValueError, match=message):
        loss(reduction="x")


def test_softmax2d_wants_an_image():
    with pytest.raises(ShapeError, match=r"Softmax2d: the input must have .*; got \(4, 5\)"):
        nn.Softmax2d()(W)


def test_layers_check_their_options():
    with pytest.raises(ValueError, match="PReLU: num_parameters must be at least 1; got 0"):
        nn.PReLU(0)
    with pytest.raises(ValueError, match="RReLU: lower must not be larger than upper; got 1 and 0"):
        nn.RReLU(1, 0)
