"""Tables of models, mixed precision, and walking through modules."""

import numpy as np
import pytest

import volta
import volta.functional as F
from volta import nn, tree
from volta.functional import random

pytestmark = pytest.mark.neural
KEY = random.key(0)


def model():
    keys = random.split(KEY, 2)
    inner = nn.Sequential(("act", nn.Tanh()))
    return nn.Sequential(nn.Linear(3, 8, key=keys[0]), inner, nn.Linear(8, 2, key=keys[1]))


# Tables -------------------------------------------------------------------------------------------


def test_a_summary_tells_each_call():
    net = model()
    net[2].freeze()
    found = nn.summary(net, (5, 3))
    rows = {row.name: row for row in found.rows}
    assert list(rows) == ["", "0", "1", "1.act", "2"]
    assert rows["0"][1:] == ("Linear", "float32[5, 8]", 32, 5 * 8 * 6 + 40)
    assert rows["1.act"][1:] == ("Tanh", "float32[5, 8]", 0, 40)
    assert rows["1"].flops == 40
    assert rows[""].flops == sum(rows[n].flops for n in ("0", "1", "2"))
    assert (found.parameters, found.trainable, found.buffers, found.size) == (50, 32, 0, 200)
    assert "50 parameters, of which 18 are frozen; 200 B" in str(found)
    assert str(found) == repr(found)


def test_a_summary_computes_and_changes_nothing(monkeypatch):
    net = model()
    before = dict(net.parameters())
    assert net.training
    nn.summary(net, (5, 3))
    assert net.training
    assert type(net[0]) is nn.Linear
    assert all(net.parameters()[n] is p for n, p in before.items())
    y = net(np.ones((5, 3), np.float32))
    assert isinstance(y, np.ndarray)
    with pytest.raises(volta.ShapeError, match="in_features=3"):
        nn.summary(net, (5, 4))
    assert nn.summary(net, (5, 3)).rows


def test_a_summary_of_shared_layers_states_and_integers():
    class Twice(nn.Module):
        def __init__(self):
            self.letters = nn.Embedding(7, 4, key=KEY)
            self.lstm = nn.LSTM(4, 4, batch_first=True, key=KEY)

        def __call__(self, x, scale):
            out, state = self.lstm(self.letters(x))
            return self.lstm(out * scale, state)

    found = nn.summary(Twice(), np.zeros((2, 5), np.int64), scale=2.0)
    names = [row.name for row in found.rows]
    assert names == ["", "letters", "lstm", "lstm"]
    assert found.rows[2].outputs == "float32[2, 5, 4], float32[1, 2, 4], float32[1, 2, 4]"
    assert found.parameters == 28 + 2 * 64 + 32
    on_torch = pytest.importorskip("torch")
    assert nn.summary(tree.to(model(), xp=on_torch), (5, 3)).parameters == 50


def test_buffers_are_counted_apart():
    found = nn.summary(nn.BatchNorm1d(3), (5, 3))
    assert (found.parameters, found.buffers) == (6, 7)
    assert "7 elements of buffers" in str(found)


# Walking ------------------------------------------------------------------------------------------


def test_children_and_apply():
    net = model()
    assert [name for name, _ in net.named_children()] == ["0", "1", "2"]
    assert list(net.children()) == [net[0], net[1], net[2]]
    seen = []
    assert net.apply(seen.append) is net
    assert seen[-1] is net
    assert len(seen) == 5
    assert seen.index(net[1]) > seen.index(net[1][0])


# Precision ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_policy_converts_and_derivatives_come_back(dtype):
    policy = nn.Policy(compute_dtype=dtype)
    net = model()
    x = np.ones((2, 3), np.float32)

    def loss(net):
        own = policy.cast_to_compute(net)
        assert all(str(p.dtype) == dtype for p in own.parameters().values())
        return F.mean(policy.cast_to_output(own(policy.cast_to_compute(x))) ** 2)

    value, grads = volta.value_and_grad(loss)(net)
    assert value.dtype == np.float32
    wanted = volta.grad(lambda net: F.mean(net(x) ** 2))(net)
    for name, g in grads.items():
        assert g.dtype == np.float32
        np.testing.assert_allclose(g, wanted[name], rtol=0.1, atol=0.02)
    mixed = {"n": np.arange(3), "b": np.asarray([True]), "x": x, "s": 2.0}
    cast = policy.cast_to_compute(mixed)
    assert cast["n"] is mixed["n"]
    assert cast["b"] is mixed["b"]
    assert cast["s"] == 2.0
    assert str(cast["x"].dtype) == dtype
    assert policy.cast_to_param(cast)["x"].dtype == np.float32
    with pytest.raises(ValueError, match="compute_dtype must be a real floating dtype; got int64"):
        nn.Policy(compute_dtype="int64")
    with pytest.raises(volta.DTypeError, match="must be one of"):
        nn.Policy(param_dtype="float7")


def test_the_scale_of_a_loss_follows_the_gradients():
    scale = nn.DynamicLossScale(8.0, growth_interval=3)
    assert scale.scale(np.asarray(2.0)) == 16.0
    values = []
    for finite in (True, True, True, True, False, True, False, False, False, False, False):
        scale = scale.adjust(np.asarray(finite))
        values.append(float(scale.value))
    assert values == [8, 8, 16, 16, 8, 8, 4, 2, 1, 1, 1]
    top = nn.DynamicLossScale(np.asarray(3e38, np.float32), growth_interval=1)
    assert np.isfinite(top.adjust(np.asarray(True)).value)
    halves = nn.DynamicLossScale().unscale(np.asarray([1.0], np.float16))
    assert halves.dtype == np.float16
    for wrong in ({"factor": 1.0}, {"growth_interval": 0}):
        with pytest.raises(ValueError, match="factor must be greater than 1"):
            nn.DynamicLossScale(**wrong)


def test_small_gradients_of_16_bits_are_kept():
    x = np.asarray([1e-4], np.float16)

    def loss(x):
        return F.sum(x * x * np.asarray(1e-4, np.float16))

    assert volta.grad(loss)(x) == 0
    scale = nn.DynamicLossScale()
    grads = volta.grad(lambda x: scale.scale(loss(x)))(x)
    wide = F.astype(grads, F.float32)
    np.testing.assert_allclose(scale.unscale(wide), [2e-8], rtol=0.02)


def test_a_scale_is_a_tree_and_is_adjusted_in_a_loop():
    def step(scale, g):
        return scale.adjust(nn.all_finite({"g": g, "n": np.arange(2)})), scale.value

    start = nn.DynamicLossScale(np.asarray(4.0, np.float32), 2, 2.0, np.asarray(0))
    last, seen = volta.scan(step, start, np.asarray([[1.0], [np.nan], [1.0], [1.0]]))
    np.testing.assert_array_equal(seen, [4, 4, 2, 2])
    assert last.value == 4
    assert nn.all_finite([])
    assert not nn.all_finite([np.asarray([np.inf])])
