from collections import OrderedDict

import ml_dtypes
import numpy as np
import pytest

from volta import LoadError, io, nn, tree
from volta.functional import random

pytestmark = pytest.mark.neural


def model_of(seed=0, named=False, **options):
    first, second = random.split(random.key(seed))
    layers = [nn.Linear(3, 3, key=first, **options), nn.ReLU(), nn.Linear(3, 2, key=second)]
    names = ("in", "act", "out")
    return nn.Sequential(*(zip(names, layers, strict=True) if named else layers))


def arrays_of(model):
    return {name: np.asarray(x).copy() for name, x in model.state_dict().items()}


def assert_same(model, arrays):
    for name, x in model.state_dict().items():
        np.testing.assert_array_equal(x, arrays[name])


# Layout ------------------------------------------------------------------------------------------


def test_a_layout_is_needed_where_nothing_tells():
    source, model = model_of(0), model_of(1)
    before = arrays_of(model)
    with pytest.raises(
        LoadError,
        match=r"load_state_dict: the state dict must fit Sequential; got no layout for 0.weight, "
        r'2.weight. Pass layout="torch" or layout="volta": a weight alone does not tell whether '
        r"it is \(out, in\) or \(in, out\).",
    ):
        model.load_state_dict(arrays_of(source))
    with pytest.raises(LoadError, match="no layout"):
        model.load_state_dict(io.StateDict(arrays_of(source), metadata={"format": "tf"}))
    assert_same(model, before)
    with pytest.raises(ValueError, match="layout must be 'torch' or 'volta'; got 'keras'"):
        model.load_state_dict(arrays_of(source), layout="keras")
    model.load_state_dict(arrays_of(source), layout="volta")
    assert_same(model, arrays_of(source))


def test_metadata_tells_the_layout():
    source, model = model_of(0), model_of(1)
    model.load_state_dict(source.state_dict())
    assert_same(model, arrays_of(source))
    turned = io.StateDict(
        {n: x.T if x.ndim == 2 else x for n, x in arrays_of(source).items()},
        metadata={"format": "pt"},
    )
    model = model_of(1)
    model.load_state_dict(turned)
    assert_same(model, arrays_of(source))
    model.load_state_dict(
        io.StateDict(arrays_of(source), metadata={"format": "pt"}), layout="volta"
    )
    assert_same(model, arrays_of(source))


def test_a_model_without_such_weights_needs_no_layout():
    module = nn.Identity()
    module.table = np.zeros((2, 2))
    module.load_state_dict({"table": np.ones((2, 2))})
    assert module.table.tolist() == [[1, 1], [1, 1]]


def test_torch_s_own_state_dicts_are_known():
    torch = pytest.importorskip("torch")
    oracle = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    model = model_of()
    model.load_state_dict(oracle.state_dict())
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    expected = oracle(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(model(x), expected, rtol=1e-6, atol=1e-7)
    held = arrays_of(model)
    on_torch = tree.to(model_of(), xp=torch)
    on_torch.load_state_dict(dict(oracle.named_parameters()), layout="torch")
    assert not any(p.requires_grad for p in on_torch.parameters().values())
    with torch.no_grad():
        oracle[0].weight.add_(1.0)
        oracle[0].bias.add_(1.0)
    assert_same(model, held)
    model.load_state_dict(dict(oracle.named_parameters()), layout="torch")
    np.testing.assert_array_equal(model[0].weight, oracle[0].weight.detach().numpy().T)


def test_the_weights_of_a_torch_layout_are_row_major():
    model = model_of()
    model.load_state_dict(nn.to_torch_state_dict(model_of(1)))
    assert model[0].weight.flags.c_contiguous
    assert model[2].weight.flags.c_contiguous


def test_to_torch_names_shared_and_tied_arrays_everywhere():
    shared = nn.Linear(2, 2, key=random.key(0))
    model = nn.Sequential(shared, shared, nn.Linear(2, 2, bias=False, key=random.key(1)))
    nn.tie(model, "0.weight", "2.weight", transpose=True)
    state = nn.to_torch_state_dict(model)
    assert list(state) == ["0.weight", "0.bias", "1.weight", "1.bias", "2.weight"]
    np.testing.assert_array_equal(state["1.weight"], shared.weight.T)
    np.testing.assert_array_equal(state["2.weight"], shared.weight)
    again = tree.map(lambda x: x * 0, model)
    again.load_state_dict(state)
    np.testing.assert_array_equal(again[2].weight, shared.weight.T)


# Names and shapes --------------------------------------------------------------------------------


def test_all_differences_are_reported_at_once_and_nothing_changes():
    model = model_of()
    before = arrays_of(model)
    state = arrays_of(model_of(1))
    del state["0.bias"]
    state |= {"3.weight": np.zeros(1), "x": np.zeros(1)}
    state["2.weight"] = np.zeros((2, 3), np.float32)
    state["2.bias"] = [1.0, 2.0]
    with pytest.raises(
        LoadError,
        match=r"load_state_dict: the state dict must fit Sequential; got missing_keys "
        r"\['0.bias'\]; unexpected_keys \['3.weight', 'x'\]; 2.weight of shape \(2, 3\) instead of "
        r"\(3, 2\); 2.bias of type list instead of an array. Nothing was changed.",
    ):
        model.load_state_dict(state, layout="volta")
    assert_same(model, before)
    with pytest.raises(LoadError, match=r"got 2.weight of shape \(2, 3\) instead of \(3, 2\); 2.b"):
        model.load_state_dict(state, strict=False, layout="volta")
    assert_same(model, before)


def test_shapes_are_told_in_the_layout_of_the_file():
    state = arrays_of(model_of()) | {"2.weight": np.zeros((3, 2), np.float32)}
    with pytest.raises(LoadError, match=r"2.weight of shape \(3, 2\) instead of \(2, 3\)"):
        model_of().load_state_dict(state, layout="torch")
    state["2.weight"] = np.zeros(3, np.float32)
    with pytest.raises(LoadError, match=r"2.weight of shape \(3,\) instead of \(2, 3\)"):
        model_of().load_state_dict(state, layout="torch")


def test_not_strict_loads_what_is_there():
    model = model_of()
    bias = np.full(3, 5.0, np.float32)
    found = model.load_state_dict({"0.bias": bias, "x": bias}, strict=False)
    assert found.missing_keys == ["0.weight", "2.weight", "2.bias"]
    assert found.unexpected_keys == ["x"]
    assert model[0].bias.tolist() == [5, 5, 5]


def test_kinds_of_dtype_must_agree():
    model = model_of()
    model.count = np.asarray(0)
    state = arrays_of(model)
    state["count"], state["0.bias"] = np.asarray(1.0), np.zeros(3, np.int64)
    with pytest.raises(
        LoadError, match=r"got 0.bias of dtype int64 instead of float32; count of dtype float64 ins"
    ):
        model.load_state_dict(state, layout="volta")


def test_named_models_load_numeric_state_dicts():
    source, model = model_of(0), model_of(1, named=True)
    assert list(model.state_dict()) == ["in.weight", "in.bias", "out.weight", "out.bias"]
    assert model.load_state_dict(source.state_dict()) == ([], [])
    np.testing.assert_array_equal(model.get_named("out").weight, source[2].weight)
    nested = nn.Sequential(body=model, head=nn.Linear(2, 2, key=random.key(5)))
    state = {f"0.{n}": x for n, x in arrays_of(source).items()}
    state |= {"head.weight": np.ones((2, 2)), "1.bias": np.ones(2)}
    nested.load_state_dict(state, layout="volta")
    np.testing.assert_array_equal(nested.body.get_named("in").bias, source[0].bias)
    assert nested.head.bias.tolist() == [1, 1]


def test_shared_and_tied_arrays_load_under_any_of_their_names():
    def make():
        shared = nn.Linear(2, 2, key=random.key(0))
        model = nn.Sequential(shared, shared, nn.Linear(2, 2, bias=False, key=random.key(1)))
        nn.tie(model, "0.weight", "2.weight", transpose=True)
        return model

    w, b = np.asarray([[1.0, 2.0], [3.0, 4.0]]), np.ones(2)
    for state in (
        {"0.weight": w, "0.bias": b},
        {"1.weight": w, "0.bias": b},
        {"2.weight": w.T, "1.bias": b},
        {"0.weight": w, "1.weight": w, "2.weight": w.T, "0.bias": b, "1.bias": b},
    ):
        model = make()
        model.load_state_dict(state, layout="volta")
        assert model[0].weight.tolist() == w.tolist()
        model = make()
        turned = {n: x.T if x.ndim == 2 else x for n, x in state.items()}
        model.load_state_dict(turned, layout="torch")
        assert model[0].weight.tolist() == w.tolist()
    with pytest.raises(LoadError, match=r"2.weight different from 0.weight, to which it is tied"):
        make().load_state_dict({"0.weight": w, "2.weight": w, "0.bias": b}, layout="volta")


def test_a_transposed_tie_loads_under_its_name():
    model = nn.Sequential(nn.Linear(3, 2, key=random.key(0)), nn.Linear(2, 3, key=random.key(1)))
    nn.tie(model, "0.weight", "1.weight", transpose=True)
    w = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    model.load_state_dict({"1.weight": w}, strict=False, layout="volta")
    np.testing.assert_array_equal(model[0].weight, w.T)
    model.load_state_dict({"1.weight": w.T + 1}, strict=False, layout="torch")
    np.testing.assert_array_equal(model[1].weight, w + 1)
    with pytest.raises(LoadError, match=r"1.weight of shape \(3, 2\) instead of \(2, 3\)"):
        model.load_state_dict({"1.weight": w.T}, strict=False, layout="volta")


# Arrays ------------------------------------------------------------------------------------------


def test_arrays_are_converted_to_those_they_replace():
    model = model_of(dtype="float16")
    state = {n: x.astype(np.float64) for n, x in arrays_of(model_of(1)).items()}
    model.load_state_dict(state, layout="volta")
    assert model[0].weight.dtype == np.float16
    assert model[2].weight.dtype == np.float32
    wide = {n: x.astype(ml_dtypes.bfloat16) for n, x in state.items()}
    model.load_state_dict(wide, layout="volta")
    assert model[2].weight.dtype == np.float32
    np.testing.assert_array_equal(model[2].weight, wide["2.weight"].astype(np.float32))


@pytest.mark.parametrize("layout", ["torch", "volta"])
@pytest.mark.parametrize("target", ["numpy", "array_api_strict", "torch"])
@pytest.mark.parametrize("source", ["numpy", "array_api_strict", "torch"])
def test_arrays_of_any_library_go_into_any_model(source, target, layout):
    here, there = pytest.importorskip(source), pytest.importorskip(target)
    given = arrays_of(model_of(1))
    model = model_of(xp=there) if target != "numpy" else model_of()
    model = tree.to(model, xp=there)
    lying = {n: x.T if x.ndim == 2 and layout == "torch" else x for n, x in given.items()}
    state = {n: here.asarray(x.copy()) for n, x in lying.items()}
    model.load_state_dict(state, layout=layout)
    for name, x in model.state_dict().items():
        assert type(x) is type(there.asarray([1.0]))
        np.testing.assert_array_equal(np.from_dlpack(x), given[name])
    for name, x in state.items():
        x[...] = 0.0
        assert np.any(np.from_dlpack(model.state_dict()[name]))


def test_mapped_files_are_not_copied(tmp_path):
    path = tmp_path / "model.safetensors"
    io.save_file(model_of(1).state_dict(), path)
    loaded = io.load_file(path)
    model = model_of()
    model.load_state_dict(loaded)
    assert model[0].bias is loaded["0.bias"]
    assert_same(model, arrays_of(model_of(1)))


def test_any_mapping_is_a_state_dict():
    model = model_of()
    state = OrderedDict(arrays_of(model_of(1)))
    model.load_state_dict(state, layout="volta")
    assert_same(model, state)
