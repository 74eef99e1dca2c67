import copy
import pickle

import numpy as np
import pytest

import volta
import volta.functional as F
from volta import LoadError, ShapeError, nn, tree
from volta.functional import random

pytestmark = pytest.mark.neural


class Counter(nn.Module):
    """Counts its calls, and scales."""

    def __init__(self):
        self.register_buffer("calls", np.zeros(2))
        self.scale = np.full(2, 3.0)

    def __call__(self, x, *, offset=0.0, key=None):
        if self.training:
            self.calls = self.calls + x
        noise = 0.0 if key is None else F.random.uniform(key, (2,), F.float64)
        return x * self.scale + offset + noise


def test_functional_call_uses_other_arrays():
    model = nn.Linear(2, 1, key=random.key(0))
    before = dict(model.parameters())
    x = np.asarray([3.0, 4.0], np.float32)
    params = {"weight": np.ones((2, 1), np.float32), "bias": np.ones(1, np.float32)}
    assert nn.functional_call(model, params, x) == 8
    assert all(model.parameters()[name] is p for name, p in before.items())
    assert nn.functional_call(model, {"bias": params["bias"] * 0}, x) == x @ before["weight"]


def test_functional_call_passes_key_and_keywords_on():
    model = Counter().eval()
    x = np.ones(2)
    assert nn.functional_call(model, {}, x, offset=2.0).tolist() == [5, 5]
    noise = F.random.uniform(random.key(1), (2,), F.float64)
    out = nn.functional_call(model, {}, x, key=random.key(1))
    np.testing.assert_allclose(out, 3 + noise)


@pytest.mark.parametrize(
    "call", [nn.functional_call, lambda m, p, x: nn.stateful_call(m, p, {}, x)]
)
def test_calls_check_names_and_shapes(call):
    model = Counter()
    with pytest.raises(
        LoadError,
        match=r"ful_call|functional_call: names must be those of the module's arrays; got 'w' and "
        r"calls, scale\.",
    ):
        call(model, {"w": np.zeros(2)}, np.zeros(2))
    with pytest.raises(ShapeError, match=r"_call: an array must have the shape of the one it re"):
        call(model, {"scale": np.zeros(3)}, np.zeros(2))


def test_stateful_call_returns_buffers():
    model = Counter()
    x = np.asarray([1.0, 2.0])
    y, buffers = nn.stateful_call(model, model.parameters(), model.buffers(), x)
    assert y.tolist() == [3, 6]
    assert buffers["calls"].tolist() == [1, 2]
    y, buffers = nn.stateful_call(model, model.parameters(), buffers, x, offset=1.0)
    assert y.tolist() == [4, 7]
    assert buffers["calls"].tolist() == [2, 4]
    assert model.calls.tolist() == [0, 0]


def test_stateful_call_under_transforms():
    model = Counter()
    x = np.asarray([1.0, 2.0])

    def loss(params, buffers, x):
        y, buffers = nn.stateful_call(model, params, buffers, x)
        return F.sum(y), buffers

    grads, buffers = volta.grad(loss, has_aux=True)(model.parameters(), model.buffers(), x)
    assert grads["scale"].tolist() == [1, 2]
    assert buffers["calls"].tolist() == [1, 2]
    _, lanes = volta.vmap(lambda x: loss(model.parameters(), model.buffers(), x))(
        np.stack([x, 2 * x])
    )
    assert lanes["calls"].tolist() == [[1, 2], [2, 4]]
    assert model.calls.tolist() == [0, 0]


# Ties --------------------------------------------------------------------------------------------


class Coder(nn.Module):
    """Maps there and back."""

    def __init__(self, turned=False):
        self.there = nn.Linear(3, 2, key=random.key(0), dtype="float64")
        shape = (2, 3) if turned else (3, 2)
        self.back = nn.Linear(*shape, key=random.key(1), dtype="float64")
        nn.tie(self, "there.weight", "back.weight", transpose=turned)

    def __call__(self, x):
        return self.back(self.there(x)) if self.back.in_features == 2 else self.back(x)


@pytest.mark.parametrize("turned", [False, True])
def test_tied_arrays_are_one(turned):
    model = Coder(turned)
    assert list(model.parameters()) == ["there.weight", "there.bias", "back.bias"]
    assert list(model.state_dict()) == list(model.parameters())
    expected = model.there.weight.T if turned else model.there.weight
    np.testing.assert_array_equal(model.back.weight, expected)
    new = np.arange(6.0).reshape(model.back.weight.shape)
    model.back.weight = new
    np.testing.assert_array_equal(model.there.weight, new.T if turned else new)
    model.update({"there.weight": np.ones((3, 2))})
    assert model.back.weight.tolist() == np.ones(model.back.weight.shape).tolist()


def test_the_derivative_of_a_tied_array_is_the_sum():
    model = Coder(turned=True)
    x = np.asarray([[1.0, 2.0, 3.0]])
    grads = volta.grad(lambda m: F.sum(m(x) ** 2))(model)
    w, b, c = model.there.weight, model.there.bias, model.back.bias

    def loss(w1, w2):
        return F.sum(((x @ w1 + b) @ w2 + c) ** 2)

    first, second = volta.grad(loss, argnums=(0, 1))(w, w.T)
    np.testing.assert_allclose(grads["there.weight"], first + second.T)
    assert list(grads) == list(model.parameters())


@pytest.mark.parametrize("turned", [False, True])
def test_ties_survive_copies(turned):
    model = Coder(turned)
    leaves, spec = tree.flatten(model)
    assert spec == tree.structure(Coder(turned))
    assert spec != tree.structure(Coder(not turned))
    for same in (
        tree.unflatten(spec, leaves),
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        model.__volta_split__()[1](model.parameters()),
    ):
        assert list(same.parameters()) == list(model.parameters())
        same.there.weight = np.ones((3, 2))
        assert same.back.weight.tolist() == np.ones(same.back.weight.shape).tolist()
        assert not np.all(model.there.weight == 1)


def test_a_part_whose_source_is_elsewhere_has_the_array_itself():
    model = Coder(turned=True)
    part = model.back
    assert list(part.parameters()) == ["bias", "weight"]
    x = np.asarray([[1.0, 2.0]])
    grads = volta.grad(lambda m: F.sum(m(x)))(part)
    assert grads["weight"].tolist() == [[1, 1, 1], [2, 2, 2]]
    doubled = tree.map(lambda x: 2 * x, part)
    np.testing.assert_array_equal(doubled.weight, 2 * part.weight)
    part.update({"weight": np.zeros((2, 3))})
    assert model.there.weight.tolist() == np.zeros((3, 2)).tolist()
    part.freeze("weight")
    assert list(model.parameters()) == ["there.bias", "back.bias"]


def test_two_parts_tied_to_something_elsewhere_stay_tied():
    model = nn.Sequential(
        a=nn.Linear(2, 2, key=random.key(0)),
        heads=nn.Sequential(
            nn.Linear(2, 2, key=random.key(1)),
            nn.Linear(2, 2, key=random.key(2)),
        ),
    )
    nn.tie(model, "a.weight", "heads.0.weight", transpose=True)
    nn.tie(model, "heads.0.weight", "heads.1.weight")
    heads = model.heads
    assert list(heads.parameters()) == ["0.bias", "1.bias", "0.weight"]
    np.testing.assert_array_equal(heads[1].weight, model.a.weight.T)
    same = tree.map(lambda x: x + 1, heads)
    np.testing.assert_array_equal(same[0].weight, same[1].weight)
    np.testing.assert_array_equal(same[0].weight, heads[0].weight + 1)
    same.load_state_dict(heads.state_dict())
    np.testing.assert_array_equal(same[1].weight, heads[1].weight)


def test_ties_of_ties():
    layers = [nn.Linear(2, 2, bias=False, key=random.key(i)) for i in range(3)]
    model = nn.Sequential(*layers)
    nn.tie(model, "1.weight", "2.weight", transpose=True)
    nn.tie(model, "0.weight", "1.weight", transpose=True)
    assert list(model.parameters()) == ["0.weight"]
    np.testing.assert_array_equal(layers[2].weight, layers[0].weight)
    np.testing.assert_array_equal(layers[1].weight, layers[0].weight.T)
    nn.tie(model, "0.weight", "1.weight")  # already so
    layers[2].weight = np.ones((2, 2))
    assert layers[1].weight.tolist() == layers[0].weight.tolist() == [[1, 1], [1, 1]]
    same = tree.map(lambda x: x, model)
    assert list(same.parameters()) == ["0.weight"]


def test_a_tied_name_may_be_tied_again():
    layers = [nn.Linear(2, 2, bias=False, key=random.key(i)) for i in range(3)]
    model = nn.Sequential(*layers)
    nn.tie(model, "1.weight", "2.weight", transpose=True)
    nn.tie(model, "0.weight", "2.weight")
    assert list(model.parameters()) == ["0.weight"]
    np.testing.assert_array_equal(layers[2].weight, layers[0].weight)
    np.testing.assert_array_equal(layers[1].weight, layers[0].weight.T)


def test_a_part_tied_under_another_name_freezes_the_source():
    model, part = nn.Identity(), nn.Identity()
    model.source, part.matrix = np.ones(2), np.zeros(2)
    model.part = part
    nn.tie(model, "source", "part.matrix")
    part.freeze("matrix")
    assert model.parameters() == part.parameters() == {}
    assert tree.map(lambda x: x, part).parameters() == {}
    part.unfreeze()
    assert list(model.parameters()) == ["source"]


def test_a_tie_ends_when_the_field_gets_something_else():
    model = Coder()
    model.back.weight = None
    assert model.back.weight is None
    assert model.there.weight is not None
    model = Coder()
    del model.back.weight
    assert not hasattr(model.back, "weight")


def test_tie_checks_names_and_shapes():
    model = nn.Sequential(nn.Linear(3, 2, key=random.key(0)), nn.Linear(2, 3, key=random.key(1)))
    with pytest.raises(LoadError, match=r"tie: names must be those of the model's arrays; got 'w'"):
        nn.tie(model, "0.weight", "w")
    with pytest.raises(
        ShapeError,
        match=r"tie: the shapes must fit; got \(3, 2\) for '0.weight' and \(2, 3\) for '1.weight'",
    ):
        nn.tie(model, "0.weight", "1.weight")
    listed = nn.Identity()
    listed.arrays = [np.ones(1), np.ones(1)]
    with pytest.raises(ValueError, match=r"tie: arrays must be fields of modules; got 'arrays.0'"):
        nn.tie(listed, "arrays.0", "arrays.1")
