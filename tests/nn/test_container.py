import numpy as np
import pytest

import volta
import volta.functional as F
from volta import DimensionError, nn
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


def test_representation():
    model = nn.Sequential(nn.Sequential(("a", nn.Flatten())), F.relu)
    assert repr(model).startswith(
        "Sequential(\n  (0): Sequential(\n    (a): Flatten(start_dim=1, end_dim=-1)\n  )\n  (1): <"
    )
    assert repr(nn.Sequential()) == "Sequential()"
