"""Programs as files: they run as the functions they were made of, and damage is told."""

import copy
import json
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import fill

import volta
import volta.functional as F
from volta import exported, nn
from volta.io import load_file, load_metadata, save_file

pytestmark = pytest.mark.core

WRITTEN = sorted(Path(__file__).parent.glob("written/*.safetensors"))
X = fill(0, (4, 6), "float32")
Pair = namedtuple("Pair", "a b")


def reloaded(fun, path, *args, **kwargs):
    volta.export(fun)(*args, **kwargs).save(path)
    return volta.load_exported(path)


def same(found, wanted):
    a, spec = volta.tree.flatten(found)
    b, other = volta.tree.flatten(wanted)
    assert spec == other
    for x, y in zip(a, b, strict=True):
        assert np.asarray(x).dtype == np.asarray(y).dtype
        np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-6)


def network(params, x, t):
    h = F.relu(F.conv1d(x[:, None], params["w"], params["b"], padding=1))
    h = F.reshape(F.max_pool1d(h, 2), (x.shape[0], -1)) @ params["v"]
    return F.cross_entropy(h, t)


PARAMS = {
    "w": fill(1, (3, 1, 3), "float32"),
    "b": fill(2, (3,), "float32"),
    "v": fill(3, (9, 2), "float32"),
}
T = np.asarray([0, 1, 1, 0])


def looped(x):
    return volta.scan(lambda c, row: (c * 0.5 + row, F.sum(c)), np.zeros(6, "float32"), x)


def chosen(x):
    return volta.cond(F.sum(x) > 0, lambda x: x * 2, lambda x: -x, x)


FUNCTIONS = {
    "numbers": (lambda x: (x * 2 + 1, x > 0, F.astype(x, F.int32)), (X,)),
    "numbers that JSON has not": (
        lambda x: (F.where(x > 0, x, np.inf), F.where(x > 0, x, -np.inf), x * np.nan),
        (X,),
    ),
    "complex numbers": (lambda x: F.abs(x * (1 + 2j)), (X.astype("complex64"),)),
    "trees": (lambda d: {"a": [d["x"], (d["y"], None)], "b": d["x"]}, ({"x": X, "y": X[0]},)),
    "slices": (lambda x: (x[1:, ::-2], x[..., None, 0], x[0, 1]), (X,)),
    "constants": (lambda x: x @ np.ones((6, 2), "float32") + np.arange(2, dtype="float32"), (X,)),
    "a gradient": (volta.value_and_grad(network), (PARAMS, X, T)),
    "lanes": (volta.vmap(lambda x: F.softmax(x)), (X,)),
    "a loop": (looped, (X,)),
    "the gradient of a loop": (volta.grad(lambda x: F.sum(looped(x)[0])), (X,)),
    "a loop of unknown length": (
        lambda x: volta.while_loop(lambda x: F.sum(x) > 1, lambda x: x / 2, F.abs(x)),
        (X,),
    ),
    "a branch": (chosen, (X,)),
    "a jitted function": (volta.jit(lambda x: F.exp(x) * 2), (X,)),
    "random numbers": (lambda k: F.random.normal(k, (3,)), (F.random.key(0),)),
    "sorting": (lambda x: (F.sort(x, axis=1), F.argsort(x, axis=0)), (X,)),
    "linear algebra": (lambda x: F.linalg.qr(x.T)[1], (X,)),
    "Fourier transforms": (lambda x: F.abs(F.fft.rfft(x)), (X,)),
    "an argument that is returned": (lambda x: (x, 3.0), (X,)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_read_runs_as_the_function(tmp_path, name):
    fun, args = FUNCTIONS[name]
    same(volta.export(fun)(*args)(*args), fun(*args))
    same(reloaded(fun, tmp_path / "f.safetensors", *args)(*args), fun(*args))


def test_keywords_and_numbers_are_arguments(tmp_path):
    def fun(x, *, scale, more):
        return x * scale + more["a"]

    program = reloaded(fun, tmp_path / "f.safetensors", X, scale=2.0, more={"a": X})
    same(program(X, scale=3.0, more={"a": X}), X * np.float32(3) + X)


def test_a_layer_is_exported_with_its_parameters(tmp_path):
    model = nn.Linear(6, 2, key=F.random.key(0))

    def predict(x):
        return nn.functional_call(model, model.parameters(), x)

    program = reloaded(predict, tmp_path / "f.safetensors", X)
    same(program(X), predict(X))
    assert len(load_file(tmp_path / "f.safetensors")) == 2


def test_another_process_runs_it_on_numpy_alone(tmp_path):
    path = tmp_path / "f.safetensors"
    reloaded(volta.value_and_grad(network), path, PARAMS, X, T)
    np.savez(tmp_path / "given.npz", x=X, t=T, **PARAMS)
    text = (
        "import sys, numpy as np, volta\n"
        f"given = np.load({str(tmp_path / 'given.npz')!r})\n"
        f"program = volta.load_exported({str(path)!r})\n"
        "value, grads = program({k: given[k] for k in 'wbv'}, given['x'], given['t'])\n"
        "assert 'torch' not in sys.modules and 'jax' not in sys.modules\n"
        "print(float(value))\n"
    )
    found = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert abs(float(found.stdout) - float(network(PARAMS, X, T))) < 1e-5


@pytest.mark.parametrize("path", WRITTEN, ids=lambda p: p.stem)
def test_files_of_every_version_run_for_ever(path):
    """`tests/exported/write` wrote them; none is ever written anew."""
    program = volta.load_exported(path)
    same(program(PARAMS, X, T), volta.value_and_grad(network)(PARAMS, X, T))


def test_there_is_a_file_of_every_version():
    assert [p.stem for p in WRITTEN] == [f"version{v + 1}" for v in range(exported.VERSION)]


# Errors -------------------------------------------------------------------------------------------


def test_arguments_unlike_those_that_were_exported(tmp_path):
    program = reloaded(lambda d: d["x"] * 2, tmp_path / "f.safetensors", {"x": X})
    with pytest.raises(TypeError, match=r'must have the structure .*"x".*; got .*"y"'):
        program({"y": X})
    with pytest.raises(volta.ShapeError, match=r"leaf 0 must be float32\[4, 6\].*got float32\[6\]"):
        program({"x": X[0]})
    with pytest.raises(volta.DTypeError, match=r"leaf 0 must be float32\[4, 6\].*float64\[4, 6\]"):
        program({"x": X.astype("float64")})


def test_what_cannot_be_exported():
    with pytest.raises(TypeError, match=r"arguments must be NumPy's arrays or numbers; got .*str"):
        volta.export(lambda x: x)("text")
    with pytest.raises(TypeError, match=r"results must be arrays in dicts .*; got Pair"):
        volta.export(lambda x: Pair(x, x))(X)
    with pytest.raises(volta.TraceError):
        volta.export(lambda x: x if F.sum(x) > 0 else -x)(X)


def test_a_program_that_calls_python_is_not_saved(tmp_path):
    @volta.custom_jvp
    def own(x):
        return x * 2

    own.defjvp(lambda primals, tangents: (own(*primals), tangents[0] * 2))
    program = volta.export(own)(X)
    with pytest.raises(volta.TraceError, match="must not call Python"):
        program.save(tmp_path / "f.safetensors")
    program = volta.export(volta.checkpoint(F.sin))(X)
    with pytest.raises(volta.TraceError, match=r"got function in checkpoint\. Leave .*checkpoint"):
        program.save(tmp_path / "f.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic", "area"])
def test_interpolation(tmp_path, mode):
    def loss(x):
        return F.sum(F.interpolate(x, (3, 7), mode=mode) ** 2)

    x = fill(0, (2, 1, 4, 5), "float32")
    step = volta.value_and_grad(loss)
    same(reloaded(step, tmp_path / "f.safetensors", x)(x), step(x))


@pytest.mark.parametrize(
    "damage",
    [
        lambda taps: taps[1][0].__setitem__(0, 5),
        lambda taps: taps[1][0].__setitem__(0, -1),
        lambda taps: taps[1][0].__setitem__(0, 0.5),
        lambda taps: taps[1].pop(),
        lambda taps: taps[2][0].pop(),
        lambda taps: taps[2][0].__setitem__(0, "1"),
        lambda taps: taps.__setitem__(0, True),
        lambda taps: taps.pop(),
    ],
)
def test_damaged_interpolation_is_told(tmp_path, damage):
    path = tmp_path / "f.safetensors"
    x = fill(0, (2, 1, 5, 5), "float32")
    reloaded(lambda x: F.interpolate(x, (3, 7), mode="bilinear"), path, x)
    arrays, held = load_file(path), json.loads(load_metadata(path)["volta.export"])
    entries = held["program"]["entries"]
    damage(next(e["params"]["taps"]["taps"] for e in entries if e["op"] == "resample"))
    rewritten(path, arrays, held)
    with pytest.raises(volta.LoadError):
        volta.load_exported(path)


def test_a_file_without_a_program(tmp_path):
    save_file({"x": X}, tmp_path / "f.safetensors")
    with pytest.raises(volta.LoadError, match=r"must be a program that Exported.save wrote"):
        volta.load_exported(tmp_path / "f.safetensors")


def written(path):
    reloaded(volta.value_and_grad(network), path, PARAMS, X, T)
    return load_file(path), json.loads(load_metadata(path)["volta.export"])


def rewritten(path, arrays, held):
    save_file(dict(arrays), path, {"volta.export": json.dumps(held)})


def test_a_later_version_says_so(tmp_path):
    path = tmp_path / "f.safetensors"
    arrays, held = written(path)
    rewritten(path, arrays, held | {"version": exported.VERSION + 1})
    with pytest.raises(volta.LoadError, match=r"of version 1 to \d+; got \d+. Use a later release"):
        volta.load_exported(path)


def test_an_operation_that_this_release_has_not(tmp_path):
    path = tmp_path / "f.safetensors"
    arrays, held = written(path)
    held["program"]["entries"][0]["op"] = "os.system"
    rewritten(path, arrays, held)
    with pytest.raises(volta.LoadError, match=r"operation 'os.system', which this release"):
        volta.load_exported(path)


@pytest.mark.parametrize(
    ("part", "value", "told"),
    [
        ("operands", [999], "a variable %999 that nothing made"),
        ("results", [0], "a variable that .* makes once more"),
        ("results", [998, 999], "2 results of"),
        ("params", {"a": {"code": "x"}}, "a value of kind 'code'"),
    ],
)
def test_entries_that_are_none(tmp_path, part, value, told):
    path = tmp_path / "f.safetensors"
    arrays, held = written(path)
    held["program"]["entries"][0][part] = value
    rewritten(path, arrays, held)
    with pytest.raises(volta.LoadError, match=told):
        volta.load_exported(path)


def places(held, path=()):
    """Paths to all parts of what JSON holds."""
    yield path
    items = held.items() if type(held) is dict else enumerate(held) if type(held) is list else ()
    for key, value in items:
        yield from places(value, (*path, key))


@given(data=st.data())
def test_damaged_programs_are_told_or_do_what_they_say(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("damaged") / "f.safetensors"
    arrays, held = written(path)
    held = copy.deepcopy(held)
    every = [p for p in places(held) if p and p != ("version",)]
    for _ in range(data.draw(st.integers(1, 3))):
        *parents, last = data.draw(st.sampled_from(every))
        value = data.draw(
            st.sampled_from([None, 0, -1, 10**9, 1.5, "add", [], {}, [[]], {"tuple": []}, True])
        )
        part = held
        try:
            for key in parents:
                part = part[key]
            part[last] = value
        except (KeyError, IndexError, TypeError):
            continue
    rewritten(path, arrays, held)
    try:
        program = volta.load_exported(path)
    except volta.LoadError:
        return
    assert all(e.primitive.name for e in program.list.entries)
