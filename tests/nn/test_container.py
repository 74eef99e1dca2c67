import numpy as np
import pytest

import volta
import volta.functional as F
from volta import DimensionError, ShapeError, nn
from volta.functional import random

pytestmark = pytest.mark.neural


def linear(seed, *sizes):
    return nn.Linear(*(sizes or (2, 2)), key=random.key(seed))


def test_calls_its_layers_in_order():
    model = nn.Sequential(lambda x: x + 1, lambda x: x * 10, F.negative)
    assert model(np.asarray(2.0)) == -30
    assert nn.Sequential()(7) == 7


def test_names():
    first, last = linear(0), linear(1)
    model = nn.Sequential(("first", first), nn.ReLU(), last=last)
    assert list(model.parameters()) == ["first.weight", "first.bias", "last.weight", "last.bias"]
    assert model.first is model[0] is model[-3] is model.get_named("first") is first
    assert model.last is model[2] is last
    assert model.get_named("1") is model[1]
    assert len(model) == 3
    assert list(model) == [first, model[1], last]
    assert list(nn.Sequential(first, last).parameters()) == [
        "0.weight",
        "0.bias",
        "1.weight",
        "1.bias",
    ]


def test_slices_are_models_of_the_same_layers():
    model = nn.Sequential(("a", linear(0)), linear(1), ("b", linear(2)), linear(3))
    part = model[1:3]
    assert isinstance(part, nn.Sequential)
    assert (part[0], part[1]) == (model[1], model[2])
    assert list(part.parameters()) == ["0.weight", "0.bias", "b.weight", "b.bias"]


def test_layers_are_replaced_by_position_and_by_name():
    model = nn.Sequential(("a", linear(0)), linear(1))
    new = nn.Identity()
    model[1] = new
    model.a = new
    assert list(model) == [new, new]
    with pytest.raises(TypeError, match=r"Sequential: layers must be callable; got int for 'a'\."):
        model[0] = 3


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([("a", F.relu), ("a", F.relu)], "names must differ; got 'a' twice"),
        ([("a.b", F.relu)], "names must be text without dots, and no numbers; got 'a.b'"),
        ([("1", F.relu)], "names must be text without dots, and no numbers; got '1'"),
        ([("", F.relu)], "names must be text without dots, and no numbers; got ''"),
        ([(1, F.relu)], "names must be text without dots, and no numbers; got 1"),
        ([("train", F.relu)], "a name must not be that of an attribute of modules; got 'train'"),
        ([("_x", F.relu)], "a name must not be that of an attribute of modules; got '_x'"),
    ],
)
def test_names_are_checked(layers, message):
    with pytest.raises(ValueError, match=f"Sequential: {message}."):
        nn.Sequential(*layers)


def test_layers_that_are_not_there():
    model = nn.Sequential(("a", linear(0)), linear(1))
    with pytest.raises(
        KeyError, match=r"Sequential: there must be a layer of the name; got 'b' and \('a', '1'\)"
    ):
        model.get_named("b")
    with pytest.raises(
        DimensionError, match=r"Sequential: the index must be that of a layer; got 2 for 2\."
    ):
        model[2]
    with pytest.raises(TypeError, match="layers must be callable; got int for '0'"):
        nn.Sequential(3)


def test_every_layer_that_takes_a_key_gets_its_own():
    inner = nn.Sequential(nn.Dropout(), nn.Dropout())
    model = nn.Sequential(nn.Dropout(), F.relu, nn.Identity(), inner)
    x, key = np.ones(200), random.key(0)
    first, second = random.split(key, 2)
    third, fourth = random.split(second, 2)
    expected = x
    for k in (first, third, fourth):
        expected = nn.Dropout()(expected, key=k)
    np.testing.assert_array_equal(model(x, key=key), expected)
    assert 10 < np.sum(expected != 0) < 50
    np.testing.assert_array_equal(nn.Sequential(F.relu)(x, key=key), x)
    np.testing.assert_array_equal(model.eval()(x, key=key), x)
    np.testing.assert_array_equal(model(x), x)


def test_keys_under_vmap():
    model = nn.Sequential(nn.Dropout(), nn.Dropout())
    keys = random.split(random.key(0), 3)
    lanes = volta.vmap(lambda key: model(np.ones(50), key=key))(keys)
    np.testing.assert_array_equal(lanes, np.stack([model(np.ones(50), key=k) for k in keys]))


def test_a_missing_key_is_told_by_the_layer():
    with pytest.raises(ValueError, match="dropout: a call in training must have a random key"):
        nn.Sequential(nn.Dropout())(np.ones(3))


def test_an_error_names_the_layers_that_it_came_through():
    inner = nn.Sequential(nn.ReLU(), ("head", nn.Linear(3, 2, key=random.key(0))))
    model = nn.Sequential(nn.Tanh(), body=inner)
    for key in (None, random.key(0)):
        with pytest.raises(ShapeError, match=r"Linear: .* in_features=3") as raised:
            model(np.ones((1, 4)), key=key)
        assert raised.value.__notes__ == [
            "in the layer 'head' of a Sequential, Linear",
            "in the layer 'body' of a Sequential, Sequential",
        ]


@pytest.mark.parametrize(
    ("layers", "advice"),
    [
        ([nn.ReLU()], r"got list for '0'. Unpack it: Sequential\(\*layers\)\."),
        ({"first": nn.ReLU()}, r"got dict for '0'. Unpack it: Sequential\(\*\*layers\)\."),
        (nn.ModuleList([nn.ReLU()]), "got ModuleList for '0'. Give its class a __call__\\."),
        (3, r"got int for '0'\. \(line"),
    ],
)
def test_what_is_no_layer(layers, advice):
    with pytest.raises(TypeError, match=f"Sequential: layers must be callable; {advice}"):
        nn.Sequential(layers)


def test_representation():
    model = nn.Sequential(nn.Sequential(("a", nn.Flatten())), F.relu)
    assert repr(model).startswith(
        "Sequential(\n  (0): Sequential(\n    (a): Flatten(start_dim=1, end_dim=-1)\n  )\n  (1): <"
    )
    assert repr(nn.Sequential()) == "Sequential()"


# Builders, lists and dicts ------------------------------------------------------------------------


def test_a_builder_adds_layers_one_by_one():
    first, last = linear(0), linear(1)
    builder = nn.Sequential.builder()
    model = builder.add_named("first", first).add(nn.ReLU()).add_unnamed(last).build()
    assert isinstance(model, nn.Sequential)
    assert list(model.parameters()) == ["first.weight", "first.bias", "2.weight", "2.bias"]
    assert (model.get_named("first"), model[2]) == (first, last)
    longer = builder.add(nn.Tanh()).build()
    assert (len(model), len(longer)) == (3, 4)
    with pytest.raises(ValueError, match="Sequential: names must differ; got 'a' twice"):
        nn.Sequential.builder().add_named("a", first).add_named("a", last).build()


def test_lists_of_modules():
    a, b, c = (linear(seed) for seed in range(3))
    layers = nn.ModuleList([a, b])
    assert layers.append(c) is layers
    assert list(layers) == [a, b, c]
    assert (len(layers), layers[-1], b in layers, linear(1) in layers) == (3, c, True, False)
    assert list(layers.parameters())[:3] == ["0.weight", "0.bias", "1.weight"]
    assert list(layers[1:]) == [b, c]
    assert isinstance(layers[1:], nn.ModuleList)
    layers.insert(0, c)
    assert list(layers) == [c, a, b, c]
    assert layers.pop() is c
    del layers[0]
    assert list(layers) == [a, b]
    layers[0] = c
    assert list(layers + nn.ModuleList([a])) == [c, b, a]
    del layers[:]
    assert len(layers) == 0
    assert layers.parameters() == {}


def test_lists_of_arrays():
    arrays = nn.ParameterList([np.ones(2), np.zeros(3)])
    assert {n: p.shape for n, p in arrays.parameters().items()} == {"0": (2,), "1": (3,)}

    def loss(arrays):
        return F.sum(arrays[0]) * 2 + F.sum(arrays[1] * 3)

    grads = volta.grad(loss)(arrays)
    assert {n: g.tolist() for n, g in grads.items()} == {"0": [2, 2], "1": [3, 3, 3]}


def test_dicts():
    a, b = linear(0), linear(1)
    layers = nn.ModuleDict({"a": a})
    layers["1"] = b
    assert list(layers) == ["a", "1"]
    assert layers.keys() == ("a", "1")
    assert layers.items() == (("a", a), ("1", b))
    assert ("a" in layers, "b" in layers, len(layers)) == (True, False, 2)
    assert list(layers.parameters()) == ["a.weight", "a.bias", "1.weight", "1.bias"]
    assert layers.pop("a") is a
    assert layers.values() == (b,)
    layers.clear()
    assert len(layers) == 0
    assert nn.ParameterDict([("w", np.ones(1))]).parameters()["w"].tolist() == [1.0]


def test_containers_are_trees_and_load_from_torch():
    torch = pytest.importorskip("torch")
    ours = nn.ModuleDict({"list": nn.ModuleList([linear(0), linear(1)])})
    theirs = torch.nn.ModuleDict(
        {"list": torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)])}
    )
    ours.load_state_dict(theirs.state_dict())
    x = np.ones((3, 2), np.float32)
    for i in range(2):
        expected = theirs["list"][i](torch.from_numpy(x)).detach().numpy()
        np.testing.assert_allclose(ours["list"][i](x), expected, rtol=1e-5)
    copied = volta.tree.map(lambda a: a, ours)
    assert repr(copied) == repr(ours)
    assert len(copied["list"]) == 2


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.ModuleList([3]), TypeError, "ModuleList: elements must be modules; got int"),
        (lambda: nn.ParameterList([3]), TypeError, "ParameterList: elements must be arrays; got"),
        (lambda: nn.ModuleDict({"a": 3}), TypeError, "ModuleDict: elements must be modules; got"),
        (lambda: nn.ModuleDict({"a.b": nn.ReLU()}), ValueError, "text without dots; got 'a.b'"),
        (lambda: nn.ModuleDict({"keys": nn.ReLU()}), ValueError, "an attribute of modules; got 'k"),
        (lambda: nn.ModuleList()[0], DimensionError, "ModuleList: the index must .*; got 0 for 0"),
        (lambda: nn.ModuleDict()["a"], KeyError, r"an element of the key; got 'a' and \(\)"),
    ],
)
def test_bad_elements(call, error, message):
    with pytest.raises(error, match=message):
        call()
