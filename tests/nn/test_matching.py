import numpy as np
import pytest

from volta import nn
from volta.functional import random
from volta.io import StateDict

KEY = random.key(0)


def linear(n_in, n_out):
    return nn.Linear(n_in, n_out, key=KEY)


def theirs(**shapes):
    rng = np.random.default_rng(0)
    return {name.replace("__", "."): rng.normal(size=shape) for name, shape in shapes.items()}


def test_the_same_names():
    model = nn.Sequential(("a", linear(3, 3)), ("b", linear(3, 3)))
    match = nn.match_state_dict(model, model.state_dict())
    assert match.mapping == {name: name for name in model.state_dict()}
    assert set(match.reasons.values()) == {"name"}
    assert not match.undecided
    assert match.missing_keys == match.unexpected_keys == []


def test_words_in_common_tell_layers_of_one_shape_apart():
    model = nn.Sequential(("query", linear(3, 3)), ("value", linear(3, 3)))
    foreign = theirs(
        m__self__value__kernel=(3, 3),
        m__self__query__kernel=(3, 3),
        m__self__value__bias=(3,),
        m__self__query__bias=(3,),
    )
    match = nn.match_state_dict(model, foreign, layout="torch")
    assert match.mapping == {
        "m.self.value.kernel": "value.weight",
        "m.self.query.kernel": "query.weight",
        "m.self.value.bias": "value.bias",
        "m.self.query.bias": "query.bias",
    }
    assert set(match.reasons.values()) == {"words"}


def test_words_before_the_last_tell_layers_apart_too():
    model = nn.Sequential(("query", linear(3, 3)), ("value", linear(3, 3)))
    foreign = theirs(value_map__w=(3, 3), query_map__w=(3, 3))
    match = nn.match_state_dict(model, foreign, layout="torch")
    assert match.mapping == {"value_map.w": "value.weight", "query_map.w": "query.weight"}
    assert set(match.reasons.values()) == {"words"}


def test_one_array_for_two_is_not_decided():
    model = nn.Sequential(("a", linear(3, 3)), ("b", linear(3, 3)))
    match = nn.match_state_dict(model, theirs(x__w=(3, 3)), layout="torch")
    assert match.mapping == {}
    assert match.undecided == {"a.weight": ["x.w"], "b.weight": ["x.w"]}
    assert match.missing_keys == ["a.bias", "b.bias"]


def test_a_shape_that_only_one_has():
    model = nn.Sequential(("a", linear(2, 5)))
    match = nn.match_state_dict(model, theirs(x__p=(5, 2), x__q=(5,)), layout="torch")
    assert match.mapping == {"x.p": "a.weight", "x.q": "a.bias"}
    assert match.reasons == {"x.p": "shape", "x.q": "shape"}


def test_the_order_of_layers_that_are_alike():
    model = nn.Sequential(linear(3, 3), nn.ReLU(), linear(3, 3), nn.ReLU(), linear(3, 3))
    foreign = theirs(
        **{f"fc{x}__{part}": s for x in "abc" for part, s in (("w", (3, 3)), ("b", (3,)))}
    )
    match = nn.match_state_dict(model, foreign, layout="torch")
    want = {
        f"fc{x}.{part}": f"{i}.{name}"
        for i, x in zip((0, 2, 4), "abc", strict=True)
        for part, name in (("w", "weight"), ("b", "bias"))
    }
    assert match.mapping == want
    assert set(match.reasons.values()) == {"order"}


def test_what_cannot_be_decided_is_said():
    model = nn.Sequential(("a", linear(3, 3)))
    foreign = theirs(x__w=(3, 3), y__w=(3, 3), z__b=(3,), n=())
    match = nn.match_state_dict(model, foreign, layout="torch")
    assert match.mapping == {"z.b": "a.bias"}
    assert match.undecided == {"a.weight": ["x.w", "y.w"]}
    assert match.missing_keys == []
    assert match.unexpected_keys == ["x.w", "y.w", "n"]
    assert str(match).splitlines() == [
        "words       a.bias <- z.b",
        "undecided   a.weight <- x.w or y.w",
        "unexpected  x.w",
        "unexpected  y.w",
        "unexpected  n",
    ]


def test_what_does_not_fit_is_missing():
    match = nn.match_state_dict(linear(2, 3), theirs(weight=(3, 2), bias=(4,)), layout="volta")
    assert match.mapping == {}
    assert match.missing_keys == ["weight", "bias"]
    assert match.unexpected_keys == ["weight", "bias"]
    assert "missing     weight" in str(match)


@pytest.mark.parametrize(
    ("layout", "shape", "fits"),
    [
        ("torch", (3, 2), True),
        ("torch", (2, 3), False),
        ("volta", (3, 2), False),
        ("volta", (2, 3), True),
        (None, (3, 2), True),
        (None, (2, 3), True),
        (None, (6,), False),
    ],
)
def test_layouts(layout, shape, fits):
    match = nn.match_state_dict(linear(2, 3), theirs(w=shape, b=(3,)), layout)
    assert match.mapping == ({"w": "weight"} if fits else {}) | {"b": "bias"}


def test_the_layout_that_metadata_tells():
    foreign = StateDict(theirs(w=(2, 3)), metadata={"format": "pt"})
    assert nn.match_state_dict(linear(2, 3), foreign).mapping == {}
    with pytest.raises(ValueError, match="layout must be 'torch' or 'volta'; got 'x'"):
        nn.match_state_dict(linear(2, 3), foreign, layout="x")


def test_kinds_of_dtype_are_not_mixed():
    foreign = {"bias": np.ones(3, np.int64)}
    assert nn.match_state_dict(linear(2, 3), foreign).mapping == {}


def test_a_transformer_of_another_library_is_matched_and_loaded():
    torch = pytest.importorskip("torch")
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    ours = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, key=KEY)
    foreign = {f"encoder.block_0.{name}": x for name, x in layer.state_dict().items()}
    foreign = StateDict(foreign, metadata={"format": "pt"})
    match = nn.match_state_dict(ours, foreign)
    assert match.missing_keys == match.unexpected_keys == []
    assert all(old.endswith(new) for old, new in match.mapping.items())
    ours.load_state_dict(match.mapper().map(foreign))
    x = np.random.default_rng(0).normal(size=(2, 5, 8)).astype(np.float32)
    want = layer.eval()(torch.asarray(x)).detach().numpy()
    np.testing.assert_allclose(ours.eval()(x), want, rtol=1e-4, atol=1e-5)
