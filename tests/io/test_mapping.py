import copy
import json

import array_api_strict
import numpy as np
import pytest

from volta import nn
from volta.core.errors import LoadError
from volta.functional import random
from volta.io import StateDict, StateDictMapper, diff_state_dict, from_rust, load_file, save_file
from volta.io.mapping import TRANSPOSED

KEY = random.key(0)


def state(*names, metadata=None):
    arrays = {name: np.full((2, 3), i, np.float32) for i, name in enumerate(names)}
    return StateDict(arrays, metadata=metadata)


VERBS = {
    "rename": (lambda m: m.rename("a", "c"), ["c", "b.a", "b.w"]),
    "rename_keys": (lambda m: m.rename_keys({"a": "b.a", "b.a": "a"}), ["b.a", "a", "b.w"]),
    "rename_prefix": (lambda m: m.rename_prefix("b.", "x.y."), ["a", "x.y.a", "x.y.w"]),
    "strip_prefix": (lambda m: m.strip_prefix("b"), ["a", ".a", ".w"]),
    "add_prefix": (lambda m: m.add_prefix("m."), ["m.a", "m.b.a", "m.b.w"]),
    "replace": (lambda m: m.replace("a", "x"), ["x", "b.x", "b.w"]),
    "transpose": (lambda m: m.transpose("a"), ["a", "b.a", "b.w"]),
    "transpose_pattern": (lambda m: m.transpose_pattern("b."), ["a", "b.a", "b.w"]),
    "select_keys": (lambda m: m.select_keys(["b.w", "a"]), ["a", "b.w"]),
    "select_prefix": (lambda m: m.select_prefix("b."), ["b.a", "b.w"]),
    "exclude_keys": (lambda m: m.exclude_keys(["a"]), ["b.a", "b.w"]),
    "exclude_prefix": (lambda m: m.exclude_prefix("b."), ["a"]),
    "transform": (lambda m: m.transform(lambda d: {"z": d["a"]}), ["z"]),
}


@pytest.mark.parametrize("verb", list(VERBS))
def test_names_after_each_verb(verb):
    add, names = VERBS[verb]
    given = state("a", "b.a", "b.w", metadata={"format": "pt"})
    before = copy.deepcopy(given)
    mapper = add(StateDictMapper())
    found = mapper.map(given)
    assert list(found) == names
    assert type(found) is StateDict
    assert found.metadata["format"] == "pt"
    assert (list(given), given.metadata) == (list(before), before.metadata)
    assert repr(mapper).startswith(f"StateDictMapper().{verb}(")


@pytest.mark.parametrize("verb", [v for v in VERBS if not v.startswith("transpose")])
def test_verbs_of_names_do_not_touch_the_arrays(verb):
    given = state("a", "b.a", "b.w")
    found = VERBS[verb][0](StateDictMapper()).map(given)
    assert all(any(x is y for y in given.values()) for x in found.values())
    assert found.metadata == {}


def test_mappers_are_composed():
    first, second = StateDictMapper().strip_prefix("b."), StateDictMapper().rename("w", "weight")
    both = first.then(second)
    assert list(both.map(state("b.w", "c"))) == ["weight", "c"]
    assert repr(both) == "StateDictMapper().strip_prefix('b.').rename('w', 'weight')"
    assert (repr(first), repr(second)) == (
        "StateDictMapper().strip_prefix('b.')",
        "StateDictMapper().rename('w', 'weight')",
    )
    with pytest.raises(LoadError, match=r"^rename\('w', 'weight'\): the names must be"):
        second.then(first).map(state("b.w"))


def test_steps_are_taken_in_their_order_and_mappers_do_not_change():
    base = StateDictMapper().strip_prefix("m.")
    one, two = base.add_prefix("x."), base.rename("a", "y")
    given = {"m.a": np.ones(1)}
    assert list(base.map(given)) == ["a"]
    assert list(one.map(given)) == ["x.a"]
    assert list(two.map(given)) == ["y"]
    assert list(StateDictMapper().add_prefix("x.").strip_prefix("m.").map(given)) == ["x.m.a"]


@pytest.mark.parametrize(
    ("add", "text"),
    [
        (lambda m: m.rename("a", "b"), "rename('a', 'b')"),
        (lambda m: m.rename_keys({"a": "b"}), "rename_keys({'a': 'b'})"),
        (lambda m: m.rename_prefix("a", "b"), "rename_prefix('a', 'b')"),
        (lambda m: m.replace("a", "b"), "replace('a', 'b')"),
    ],
    ids=["rename", "rename_keys", "rename_prefix", "replace"],
)
def test_two_arrays_never_get_one_name(add, text):
    with pytest.raises(LoadError) as caught:
        add(StateDictMapper()).map(state("a", "b"))
    message = (
        f"{text}: names must stay distinct; got 'a' and 'b', both to be 'b'. "
        "Exclude or rename one of them."
    )
    assert str(caught.value).startswith(message)


def test_a_prefix_that_held_two_apart():
    with pytest.raises(LoadError, match=r"got 'm.w' and 'w', both to be 'w'"):
        StateDictMapper().strip_prefix("m.").map(state("m.w", "w"))
    with pytest.raises(LoadError, match=r"got 'norm.gamma' and 'norm.weight', both to be"):
        from_rust().map(state("norm.gamma", "norm.weight"))


@pytest.mark.parametrize(
    "add",
    [
        lambda m: m.rename("layer", "x"),
        lambda m: m.rename_keys({"layer": "x"}),
        lambda m: m.transpose("layer"),
        lambda m: m.select_keys(["layer"]),
        lambda m: m.exclude_keys(["layer"]),
    ],
)
def test_names_that_are_not_there(add):
    message = r": the names must be in the state dict; got none for \['layer'\]. Is it 'layers'\?"
    with pytest.raises(LoadError, match=message):
        add(StateDictMapper()).map(state("layers", "b"))
    with pytest.raises(LoadError, match=r"got none for \['layer'\]. There are 1"):
        add(StateDictMapper()).map(state("b"))


def test_only_matrices_are_transposed():
    given = {"w": np.ones((2, 3)), "conv.w": np.ones((2, 3, 1, 1)), "b": np.ones(3)}
    found = StateDictMapper().transpose_pattern("w").map(given)
    assert [x.shape for x in found.values()] == [(3, 2), (2, 3, 1, 1), (3,)]
    with pytest.raises(
        LoadError, match=r"transpose\('b'\): the array must be a matrix; got shape \(3,\)"
    ):
        StateDictMapper().transpose("b").map(given)


@pytest.mark.parametrize("xp", ["torch", "jax.numpy", "array_api_strict"])
def test_arrays_of_other_libraries_are_transposed(xp):
    xp = array_api_strict if xp == "array_api_strict" else pytest.importorskip(xp)
    found = StateDictMapper().transpose("w").map({"w": xp.asarray([[1.0, 2.0]])})
    assert found["w"].shape == (2, 1)


def test_a_function_that_returns_nothing():
    with pytest.raises(
        TypeError, match=r"transform\(.*\): the function must return a state dict; got N"
    ):
        StateDictMapper().transform(lambda d: d.clear()).map({})


def test_a_function_gets_a_copy():
    given = state("a", metadata={"format": "pt"})

    def change(d):
        d["b"] = d.pop("a")
        assert d.metadata == {"format": "pt"}
        return d

    assert list(StateDictMapper().transform(change).map(given)) == ["b"]
    assert list(given) == ["a"]


# Layout: what was transposed is known, and never transposed again


def linear(n_in=3, n_out=3, seed=0):
    return nn.Linear(n_in, n_out, key=random.key(seed))


def torchs(model):
    return nn.to_torch_state_dict(model)


def loaded(model, given, **options):
    model.load_state_dict(given, **options)
    return model


def test_a_square_weight_is_transposed_once_whoever_does_it():
    source = linear()
    mapped = StateDictMapper().transpose("weight").map(torchs(source))
    for given in (torchs(source), mapped):
        np.testing.assert_array_equal(loaded(linear(seed=1), given).weight, source.weight)
    assert mapped.metadata == {"format": "pt", TRANSPOSED: '["weight"]'}
    assert not np.array_equal(source.weight, source.weight.T)


def test_what_was_transposed_is_known_after_a_file(tmp_path):
    source = linear()
    mapped = StateDictMapper().transpose("weight").map(torchs(source))
    for suffix in (".safetensors", ".npz", ".pt"):
        save_file(mapped, tmp_path / f"a{suffix}")
        given = load_file(tmp_path / f"a{suffix}")
        np.testing.assert_array_equal(loaded(linear(seed=1), given).weight, source.weight)


def test_what_was_transposed_is_known_under_other_names():
    mapper = StateDictMapper().transpose("weight").add_prefix("x.").rename("x.weight", "y")
    mapper = mapper.transform(lambda d: {**d, "z": np.ones(1)}).exclude_keys(["x.bias"])
    found = mapper.map(torchs(linear()))
    assert json.loads(found.metadata[TRANSPOSED]) == ["y"]
    assert TRANSPOSED not in mapper.exclude_keys(["y"]).map(torchs(linear())).metadata
    assert TRANSPOSED not in StateDictMapper().select_prefix("b").map(found | {"b": 1}).metadata


def test_twice_transposed_is_not_transposed():
    source = linear()
    mapper = StateDictMapper().transpose("weight").transpose_pattern("wei")
    once = StateDictMapper().transpose("weight")
    for found in (mapper.map(torchs(source)), once.map(once.map(torchs(source)))):
        assert found.metadata == {"format": "pt"}
        np.testing.assert_array_equal(loaded(linear(seed=1), found).weight, source.weight)


def test_what_was_transposed_needs_no_layout_and_other_weights_do():
    source = linear()
    plain = dict(torchs(source))
    mapped = StateDictMapper().transpose("weight").map(plain)
    np.testing.assert_array_equal(loaded(linear(seed=1), mapped).weight, source.weight)
    mapped = StateDictMapper().transpose("weight").map(plain)
    given = loaded(linear(seed=1), mapped, layout="torch")
    np.testing.assert_array_equal(given.weight, source.weight)
    with pytest.raises(LoadError, match="no layout for weight"):
        linear().load_state_dict(plain)


def test_transposing_voltas_own_layout_does_not_load():
    mapped = StateDictMapper().transpose("weight").map(linear().state_dict())
    message = "got weight transposed by a mapper from Volta's own layout"
    with pytest.raises(LoadError, match=message):
        linear().load_state_dict(mapped)


def test_what_was_transposed_is_known_under_old_names_of_computed_parameters():
    source = nn.parametrizations.weight_norm(linear())
    target = nn.parametrizations.weight_norm(linear(seed=1))
    places = nn.to_torch_state_dict(source)
    (name,) = [n for n in places if n.endswith("original1")]
    mapped = StateDictMapper().transpose(name).rename(name, "weight_v").map(places)
    assert json.loads(mapped.metadata[TRANSPOSED]) == ["weight_v"]
    target.load_state_dict(mapped)
    np.testing.assert_array_equal(target.state_dict()[name], source.state_dict()[name])


def test_pytorchs_modules_are_known():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 3))
    mapped = StateDictMapper().strip_prefix("0.").map(theirs.state_dict())
    assert mapped.metadata == {"format": "pt"}
    ours = loaded(linear(), mapped)
    np.testing.assert_array_equal(ours.weight, theirs[0].weight.detach().numpy().T)


def test_metadata_that_is_no_list_of_names():
    given = StateDict({}, metadata={TRANSPOSED: "{"})
    with pytest.raises(LoadError, match=r"the metadata 'volta.transposed' must be a JSON list"):
        linear().load_state_dict(given)


def test_the_rust_frameworks_names():
    model = nn.Sequential(("fc", linear(3, 4)), ("norm", nn.LayerNorm(4)))
    rust = {"fc.weight": np.ones((3, 4), np.float32), "fc.bias": np.zeros(4, np.float32)}
    rust |= {"norm.gamma": np.full(4, 2, np.float32), "norm.beta": np.full(4, 3, np.float32)}
    given = from_rust().map(StateDict(rust, metadata={"format": "volta"}))
    assert loaded(model, given).get_named("norm").weight[0] == 2
    assert model.get_named("norm").bias[0] == 3
    assert list(from_rust().map(state("gamma", "beta.gammas"))) == ["weight", "beta.gammas"]


# Differences


def test_all_differences_are_told():
    expected = {"a": np.ones(2), "b": np.ones(2), "c": np.ones((2, 3)), "d": np.ones(1)}
    found = {
        "b": np.ones(2),
        "c": np.ones((3, 2)),
        "d": np.ones(1, np.float32),
        "e": np.ones(1),
    }
    diff = diff_state_dict(expected, found)
    assert diff
    assert diff.missing_keys == ["a"]
    assert diff.unexpected_keys == ["e"]
    assert diff.shape_mismatches == [("c", (2, 3), (3, 2))]
    assert diff.dtype_mismatches == [("d", "float64", "float32")]
    assert str(diff).splitlines() == [
        "missing     a",
        "unexpected  e",
        "shape       c: expected (2, 3), found (3, 2)",
        "dtype       d: expected float64, found float32",
    ]


def test_no_difference():
    torch = pytest.importorskip("torch")
    model = linear(2, 3)
    theirs = {name: torch.asarray(np.asarray(x)) for name, x in model.state_dict().items()}
    diff = diff_state_dict(model.state_dict(), theirs)
    assert not diff
    assert str(diff) == "no difference"
    assert diff_state_dict({}, {"a": np.ones(1)})
