"""Checkpoints: what is saved is restored, whole, exactly, or not at all."""

import errno
import gc
import inspect
import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import warnings
import zlib

import ml_dtypes
import numpy as np
import pytest

import volta
import volta.functional as F
from volta import data, io, nn, optim, tree
from volta.core.dispatch import library_for, to_host
from volta.core.errors import DTypeError, LoadError, TraceError, VoltaError
from volta.io import Checkpoints, checkpoint, safetensors
from volta.io.formats import converted
from volta.io.reading import dtype_named
from volta.io.trees import DTYPES

KEY = F.random.key(0)


@pytest.fixture
def checkpoints(tmp_path):
    with Checkpoints(tmp_path / "run") as found:
        yield found


def facts(array):
    return array.dtype.name, array.shape, array.tobytes(), array.strides if array.size else ()


# Arrays


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)], ids=str)
@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype_and_shape_keeps_its_bits(checkpoints, name, shape):
    dtype = dtype_named(name)
    bits = np.random.default_rng(0).integers(0, 256, (*shape, dtype.itemsize), np.uint8)
    array = (bits & 1 if name == "bool" else bits).view(dtype)[..., 0]
    checkpoints.save(0, x=array)
    assert facts(checkpoints.restore().parts["x"]) == facts(
        np.ascontiguousarray(array).reshape(shape)
    )
    assert facts(checkpoints.restore(x=array).parts["x"])[:3] == facts(array)[:3]


ORDERS = {
    "rows first": np.arange(6.0).reshape(2, 3),
    "columns first": np.arange(6.0).reshape(2, 3).T,
    "any order": np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1),
    "complex": np.asfortranarray(np.arange(6).reshape(2, 3) * 1j),
    "an axis of one": np.arange(6.0).reshape(2, 1, 3).transpose(1, 2, 0),
}


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("name", ORDERS)
def test_axes_lie_in_memory_as_they_did(tmp_path, name, asynchronous):
    with Checkpoints(tmp_path, asynchronous=asynchronous) as checkpoints:
        checkpoints.save(0, x=ORDERS[name])
    found = Checkpoints(tmp_path).restore().parts["x"]
    np.testing.assert_array_equal(found, ORDERS[name])
    used = [i for i, n in enumerate(found.shape) if n > 1]
    assert [found.strides[i] for i in used] == [ORDERS[name].strides[i] for i in used]


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_a_model_has_its_axes_as_they_were(checkpoints, library):
    xp = pytest.importorskip(library)
    model, fresh = (nn.Linear(2, 3, key=KEY, xp=xp) for _ in range(2))
    model.weight = xp.asarray(np.arange(6, dtype=np.float32).reshape(3, 2)).T
    checkpoints.save(0, model=model, w=model.weight)
    found = checkpoints.restore(model=fresh, w=fresh.weight).parts["w"]
    for x in (fresh.weight, found):
        assert xp.all(x == model.weight)
        assert np.asarray(x).strides == (4, 8)


def test_strided_and_foreign_arrays_are_saved_by_value(checkpoints):
    part = [np.arange(12)[::-3], np.broadcast_to(np.float32(2), (3, 2)), np.arange(3, dtype=">i4")]
    checkpoints.save(0, part=part)
    for found, x in zip(checkpoints.restore().parts["part"], part, strict=True):
        np.testing.assert_array_equal(found, x)
        found += 1  # and may be written to


def library_arrays(library):
    """Namespace of a library, and an array of it of every dtype that it has."""
    xp = pytest.importorskip(library)
    names = DTYPES if library == "torch" else ("float32", "int32", "bool")
    found = library_for(xp)
    given = {name: np.asarray([0, 1, 1]).astype(dtype_named(name)) for name in names}
    return xp, {name: converted("test", name, x, found, None) for name, x in given.items()}


@pytest.mark.parametrize("library", ["torch", "jax.numpy", "dask.array", "array_api_strict"])
def test_arrays_come_back_to_the_library_of_their_templates(checkpoints, library):
    xp, part = library_arrays(library)
    checkpoints.save(0, part=part)
    like = {name: xp.zeros_like(x) for name, x in part.items()}
    found = checkpoints.restore(part=like).parts["part"]
    for name, x in part.items():
        assert type(found[name]) is type(x)
        assert found[name].dtype == x.dtype
        assert to_host(found[name]).tobytes() == to_host(x).tobytes()
    assert all(type(x) is np.ndarray for x in checkpoints.restore().parts["part"].values())


def test_a_library_without_the_dtype_is_told(checkpoints):
    torch = pytest.importorskip("torch")
    checkpoints.save(0, x=np.zeros(1, ml_dtypes.float8_e5m2))
    message = r"^Checkpoints\.restore: .*x of dtype float8_e5m2 instead of float32"
    with pytest.raises(LoadError, match=message):
        checkpoints.restore(x=torch.zeros(1))


def test_a_file_of_a_part_is_a_file_of_weights(checkpoints):
    model = nn.Linear(2, 2, key=KEY)
    checkpoints.save(3, model=model)
    state = io.load_file(checkpoints.directory / "step-3" / "model.safetensors")
    assert state.metadata == {"format": "volta"}
    fresh = nn.Linear(2, 2, key=F.random.key(1))
    fresh.load_state_dict(state)
    np.testing.assert_array_equal(fresh.weight, model.weight)
    checkpoints.save(4, theirs=nn.to_torch_state_dict(model))
    path = checkpoints.directory / "step-4" / "theirs.safetensors"
    assert io.load_metadata(path) == {"format": "pt"}
    assert checkpoints.restore().parts["theirs"].metadata == {"format": "pt"}


# Objects with a state

OPTIMIZERS = {
    name: found
    for name, found in vars(optim).items()
    if inspect.isclass(found) and hasattr(found, "load_state_dict") and hasattr(found, "lr")
}


def test_there_are_optimizers_to_test():
    assert {"Adam", "SGD", "Muon", "RMSprop", "Lion"} <= set(OPTIMIZERS)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_goes_on_to_the_same_bits(checkpoints, name):
    def training():
        layers = [nn.Linear(n, m, bias=False, key=KEY) for n, m in ((3, 4), (4, 2))]
        model = nn.Sequential(layers[0], nn.Tanh(), layers[1])
        return model, OPTIMIZERS[name](model, lr=0.01)

    x = np.asarray(F.random.normal(KEY, (5, 3)))
    grad = volta.grad(lambda model: F.mean((model(x) - 1) ** 2))
    model, optimizer = training()
    for step in range(5):
        optimizer.step(grad(model))
        if step == 2:
            checkpoints.save(step, model=model, optimizer=optimizer)
    again, its = training()
    step, parts = checkpoints.restore(model=again, optimizer=its)
    assert (step, parts["model"], parts["optimizer"]) == (2, again, its)
    for _ in range(2):
        its.step(grad(again))
    for a, b in zip(again.parameters().values(), model.parameters().values(), strict=True):
        assert facts(a) == facts(b)


def test_schedulers_loaders_and_buffers(checkpoints):
    def run():
        model = nn.Sequential(nn.Linear(2, 3, key=KEY), nn.BatchNorm1d(3))
        optimizer = optim.SGD(model, lr=1.0)
        schedulers = [optim.StepLR(optimizer, 2), optim.ReduceLROnPlateau(optimizer, patience=0)]
        loader = data.DataLoader(np.arange(10.0), batch_size=3, shuffle=True)
        return {"model": model, "loop": {"schedulers": schedulers, "loader": loader}}

    before, after = run(), run()
    before["model"](np.ones((4, 2), np.float32))
    for scheduler, value in zip(before["loop"]["schedulers"], ([], [1.0]), strict=True):
        scheduler.step(*value)
    before["loop"]["schedulers"][1].step(2.0)
    _ = next(iter(before["loop"]["loader"]))
    checkpoints.save(1, **before)
    checkpoints.restore(**after)
    np.testing.assert_array_equal(after["model"][1].running_mean, before["model"][1].running_mean)
    assert after["model"][1].num_batches_tracked == 1
    for old, new in zip(before["loop"]["schedulers"], after["loop"]["schedulers"], strict=True):
        assert new.state_dict() == old.state_dict()
        assert new.last_epoch == old.last_epoch > 0
    rest = [list(parts["loop"]["loader"]) for parts in (before, after)]
    assert len(rest[0]) == 3
    np.testing.assert_equal(*rest)


def test_pure_optimizers_and_averages(checkpoints):
    optimizer = optim.chain(optim.adam(0.1), optim.params_ema(0.5))
    params = {"w": np.ones(3, np.float32)}
    updates, state = optimizer.update(params, optimizer.init(params), params)
    checkpoints.save(1, state=state, params=params)
    found = checkpoints.restore(state=optimizer.init(params), params=params).parts
    assert tree.structure(found["state"]) == tree.structure(state)
    again, _ = optimizer.update(params, found["state"], found["params"])
    wanted, _ = optimizer.update(params, state, params)
    assert facts(again["w"]) == facts(wanted["w"])
    assert not np.array_equal(updates["w"], wanted["w"])  # the state mattered


def test_an_object_and_its_state_stand_for_one_another(checkpoints):
    model, fresh = nn.Linear(2, 3, key=KEY), nn.Linear(2, 3, key=F.random.key(1))
    checkpoints.save(1, a=model, b=model.state_dict())
    state = checkpoints.restore(a=model.state_dict()).parts["a"]
    assert type(state) is io.StateDict
    np.testing.assert_array_equal(state["weight"], model.weight)
    checkpoints.restore(b=fresh)
    np.testing.assert_array_equal(fresh.weight, model.weight)


# Nothing is changed if anything does not fit


def test_all_that_does_not_fit_is_told_and_nothing_changed(checkpoints):
    model = nn.Linear(2, 3, key=KEY)
    checkpoints.save(1, model=model, ema=model.parameters(), lr="high")
    fresh = nn.Linear(2, 3, key=F.random.key(1))
    before = fresh.weight.copy()
    message = (
        r"^Checkpoints\.restore: parts must be like what they are restored into; got "
        r"ema\.weight of shape \(2, 3\) instead of \(1,\), lr of type str instead of float\. "
        r"Nothing was changed\. None takes a part as it is\."
    )
    with pytest.raises(LoadError, match=message):
        checkpoints.restore(model=fresh, ema={"weight": np.ones(1), "bias": np.ones(3)}, lr=0.1)
    np.testing.assert_array_equal(fresh.weight, before)


def test_objects_load_all_or_none(checkpoints):
    small, large = nn.Linear(2, 3, key=KEY), nn.Linear(4, 3, key=KEY)
    optimizer = optim.Adam(small)
    optimizer.step(small.parameters())
    checkpoints.save(1, model=small, optimizer=optimizer, other=small)
    fresh = nn.Linear(2, 3, key=F.random.key(1))
    its, before = optim.Adam(fresh), fresh.weight.copy()
    message = (
        r"(?s)^Checkpoints\.restore: objects must load the states that were saved; got, for "
        r"other, load_state_dict: the state dict must fit Linear; got weight of shape .*\. "
        r"Nothing was changed\."
    )
    with pytest.raises(LoadError, match=message):
        checkpoints.restore(model=fresh, optimizer=its, other=large)
    np.testing.assert_array_equal(fresh.weight, before)
    assert its.steps == 0
    assert not np.any(its.state_dict()["mu.weight"])
    checkpoints.restore(model=fresh, optimizer=its)
    np.testing.assert_array_equal(fresh.weight, small.weight)
    assert its.steps == 1


def test_all_objects_that_refuse_are_told(checkpoints):
    small = nn.Linear(2, 3, key=KEY)
    checkpoints.save(1, model=small, optimizer=optim.Adam(small))
    large = nn.Linear(4, 3, key=KEY)
    with pytest.raises(LoadError, match=r"(?s)for model, .*weight.*; for optimizer, .*mu\.weight"):
        checkpoints.restore(model=large, optimizer=optim.Adam(large))


class Halfway:
    """An object that has changed when it refuses a state."""

    def __init__(self, error=None):
        self.held, self.error = [0], error

    def state_dict(self):
        return {"held": list(self.held)}

    def load_state_dict(self, state_dict):
        self.held = list(state_dict["held"])
        if self.error and self.held == [1]:
            raise self.error


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt()], ids=repr)
def test_an_object_that_refuses_halfway_gets_its_state_back(checkpoints, error):
    source, first, second = Halfway(), Halfway(), Halfway(error)
    source.held = [1]
    checkpoints.save(1, a=source, b=source)
    wanted = LoadError if isinstance(error, Exception) else KeyboardInterrupt
    with pytest.raises(wanted):
        checkpoints.restore(a=first, b=second)
    assert first.held == second.held == [0]


def test_parts_that_were_not_saved(checkpoints):
    checkpoints.save(1, a=1, b=2)
    message = r"^Checkpoints\.restore: parts must be among those saved; got c, d, and a, b in "
    with pytest.raises(LoadError, match=message):
        checkpoints.restore(a=None, c=None, d=None)


def test_only_what_is_wanted_is_read(checkpoints):
    checkpoints.save(1, a=np.ones(2), b=np.ones(2))
    (checkpoints.directory / "step-1" / "b.safetensors").unlink()
    assert checkpoints.restore(a=None).parts.keys() == {"a"}
    with pytest.raises(LoadError, match=r"b\.safetensors"):
        checkpoints.restore()


# Steps


def test_steps_and_the_latest(checkpoints):
    assert (checkpoints.steps, checkpoints.latest) == ([], None)
    for step in (0, 9, 10, 100):
        checkpoints.save(step, n=step)
    for name in ("step-1x", "step-007", "step-", "step--1", ".volta-ab.tmp", "damaged-3", "5"):
        (checkpoints.directory / name).mkdir()
    assert (checkpoints.steps, checkpoints.latest) == ([0, 9, 10, 100], 100)
    assert checkpoints.restore() == (100, {"n": 100})
    assert checkpoints.restore(9) == (9, {"n": 9})
    assert checkpoints.restore(np.int64(0)).step == 0
    assert repr(checkpoints).endswith("run', steps=[0, 9, 10, 100])")


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({}, [0, 1, 2, 3, 4, 5, 6, 7]),
        ({"max_to_keep": 1}, [7]),
        ({"max_to_keep": 3}, [5, 6, 7]),
        ({"max_to_keep": 2, "keep_period": 3}, [0, 3, 5, 6, 7]),
        ({"keep_period": 3}, [0, 1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_the_latest_are_kept(tmp_path, options, steps):
    with Checkpoints(tmp_path, **options) as checkpoints:
        for step in range(8):
            checkpoints.save(step, x=np.asarray(step))
        assert checkpoints.steps == steps
    assert sorted(os.listdir(tmp_path)) == sorted([".lock", *(f"step-{step}" for step in steps)])


def test_a_step_that_cannot_be_deleted_is_told_and_tried_again(tmp_path, monkeypatch):
    with Checkpoints(tmp_path, max_to_keep=1) as checkpoints:
        checkpoints.save(1, a=1)
        message = (
            r"^Checkpoints\.save: step 2 was saved, but earlier ones could not be deleted: .*full"
            r".*\. The next save tries again\."
        )
        monkeypatch.setattr(checkpoint, "remove_directory", busy)
        with pytest.warns(RuntimeWarning, match=message):
            checkpoints.save(2, a=2)
        monkeypatch.undo()
        assert checkpoints.steps == [1, 2]
        checkpoints.save(3, a=3)
        assert checkpoints.steps == [3]


def busy(path):
    raise PermissionError(errno.EACCES, "full of readers")


def test_a_reader_goes_on_to_the_step_that_replaced_its_own(tmp_path, monkeypatch):
    writer, reader = Checkpoints(tmp_path, max_to_keep=1), Checkpoints(tmp_path)
    writer.save(1, a=1)
    read = checkpoint.read_step

    def late(*args):
        if writer.latest == 1:
            writer.save(2, a=2)
        return read(*args)

    monkeypatch.setattr(checkpoint, "read_step", late)
    assert reader.restore() == (2, {"a": 2})
    writer.delete(2)
    writer.save(1, a=1)
    with pytest.raises(LoadError, match=r"step-1/checkpoint\.json"):
        reader.restore(1)  # asked for by its number


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2"], ids=repr)
@pytest.mark.parametrize("name", ["max_to_keep", "keep_period"])
def test_numbers_of_steps_are_checked(tmp_path, name, value):
    message = rf"^Checkpoints: {name} must be a positive integer; got {value!r}\."
    with pytest.raises(ValueError, match=message):
        Checkpoints(tmp_path, **{name: value})


def test_a_file_is_no_directory(tmp_path):
    (tmp_path / "file").write_text("")
    message = r"^Checkpoints: directory must be a directory; got the file .*file\."
    with pytest.raises(ValueError, match=message):
        Checkpoints(tmp_path / "file")
    message = (
        r"^Checkpoints: the directory must be writable; got .*file.*\. Choose another or "
        r"change its permissions\."
    )
    with pytest.raises(VoltaError, match=message):
        Checkpoints(tmp_path / "file" / "run").save(0, a=1)


def test_a_keyword_that_is_not_there(tmp_path):
    with pytest.raises(TypeError, match="did you mean 'max_to_keep'"):
        Checkpoints(tmp_path, max_to_keeep=3)


@pytest.mark.parametrize("step", [-1, 1.0, True, "1", None], ids=repr)
def test_a_step_is_an_integer(checkpoints, step):
    message = rf"^Checkpoints\.save: a step must be an integer of at least 0; got {step!r}\."
    with pytest.raises(ValueError, match=message):
        checkpoints.save(step, a=1)


@pytest.mark.parametrize(
    "parts", [{}, {"a/b": 1}, {"..": 1}, {"": 1}, {"a.b": 1}, {"Model": 1, "model": 2}], ids=repr
)
def test_parts_have_names_for_files(checkpoints, parts):
    got = ", ".join(map(repr, parts)) or "none"
    message = (
        rf"^Checkpoints\.save: parts must have names that are identifiers and differ in more "
        rf"than case; got {re.escape(got)}\."
    )
    with pytest.raises(ValueError, match=message):
        checkpoints.save(1, **parts)


def test_any_name_of_a_part_is_free(checkpoints):
    checkpoints.save(1, step=2, self=3, into=4)
    assert checkpoints.restore(step=None, self=None).parts == {"step": 2, "self": 3}


@pytest.mark.parametrize("step", [4, 5])
def test_steps_grow(checkpoints, step):
    checkpoints.save(5, a=1)
    message = (
        rf"^Checkpoints\.save: a step must be greater than those saved; got {step} and 5 in "
        rf".*run\. Delete the later ones to go on from an earlier\."
    )
    with pytest.raises(ValueError, match=message):
        checkpoints.save(step, a=2)
    assert checkpoints.restore() == (5, {"a": 1})


def test_later_steps_are_deleted_to_go_on_from_an_earlier(checkpoints):
    for step in range(5):
        checkpoints.save(step, a=step)
    checkpoints.delete(3, 4, 3)
    checkpoints.save(3, a="again")
    assert checkpoints.restore() == (3, {"a": "again"})
    message = (
        r"^Checkpoints\.delete: steps must be among those saved; got \[7\] and \[0, 1, 2, 3\] "
        r"in "
    )
    with pytest.raises(ValueError, match=message):
        checkpoints.delete(1, 7)
    assert checkpoints.steps == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("steps", "asked", "got"),
    [((), None, "none"), ((), 3, "3 and none"), ((1, 2), 3, r"3 and \[1, 2\]")],
)
def test_a_step_that_was_not_saved(checkpoints, steps, asked, got):
    for step in steps:
        checkpoints.save(step, a=1)
    message = rf"^Checkpoints\.restore: a step must have been saved; got {got} in .*run\."
    with pytest.raises(LoadError, match=message):
        checkpoints.restore(*(() if asked is None else (asked,)))


def test_reading_creates_nothing(tmp_path):
    checkpoints = Checkpoints(tmp_path / "run")
    assert checkpoints.latest is None
    with pytest.raises(LoadError):
        checkpoints.restore()
    assert not os.listdir(tmp_path)


def test_the_directory_is_the_same_wherever_the_program_goes(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with Checkpoints("rün 1") as checkpoints:
        checkpoints.save(1, a=1)
        monkeypatch.chdir(tmp_path / "elsewhere")
        checkpoints.save(2, a=2)
        assert checkpoints.steps == [1, 2]
    assert os.listdir(tmp_path / "elsewhere") == []
    assert Checkpoints("../rün 1").restore() == (2, {"a": 2})


def test_a_directory_behind_a_symbolic_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real", target_is_directory=True)
    with Checkpoints(tmp_path / "link", max_to_keep=1) as checkpoints:
        checkpoints.save(1, a=1)
        checkpoints.save(2, a=2)
        with pytest.raises(VoltaError, match="one writer at a time"):
            Checkpoints(tmp_path / "real").save(3, a=3)
    assert Checkpoints(tmp_path / "real").restore() == (2, {"a": 2})


def test_a_masked_array_is_refused_as_its_mask_would_be_lost(checkpoints):
    message = r"^Checkpoints\.save: tensors must be arrays; got MaskedArray for 'x'\."
    with pytest.raises(DTypeError, match=message):
        checkpoints.save(1, x=np.ma.array([1.0, 2.0], mask=[False, True]))
    with pytest.raises(DTypeError, match=r"^save_file: tensors must be arrays; got MaskedArray"):
        io.save_file({"x": np.ma.array([1.0])}, checkpoints.directory / "x.safetensors")


def test_a_traced_array_is_not_saved(checkpoints):
    message = r"^Checkpoints\.save: tensors must not be traced; got a traced array for 'w\.x'\."
    with pytest.raises(TraceError, match=message):
        volta.grad(lambda x: checkpoints.save(1, w={"x": x}) or x)(1.0)
    assert checkpoints.steps == []


# Writers


def test_two_writers_refuse_each_other_and_readers_do_not_mind(tmp_path):
    first, second = Checkpoints(tmp_path), Checkpoints(tmp_path)
    first.save(1, a=1)
    assert second.restore() == (1, {"a": 1})
    message = (
        r"^Checkpoints: one writer at a time must have a directory; got another that has .*\. "
        r"Close it, or give each run a directory of its own\."
    )
    with pytest.raises(VoltaError, match=message):
        second.save(2, a=2)
    with pytest.raises(VoltaError, match=message):
        second.delete(1)
    first.close()
    second.save(2, a=2)
    with pytest.raises(VoltaError, match=message):
        first.save(3, a=3)
    del second  # without closing
    first.save(3, a=3)
    assert first.steps == [1, 2, 3]


def test_a_writer_that_nobody_can_close_is_no_hindrance(tmp_path):
    gc.disable()
    try:
        first, second = Checkpoints(tmp_path), Checkpoints(tmp_path)
        first.save(1, a=1)
        first.itself = first
        del first
        second.save(2, a=2)
    finally:
        gc.enable()
    assert second.steps == [1, 2]


def test_another_process_is_refused(checkpoints):
    checkpoints.save(1, a=1)
    program = f"import volta; volta.io.Checkpoints({str(checkpoints.directory)!r}).save(2, a=2)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 1
    assert "VoltaError: Checkpoints: one writer at a time" in run.stderr
    assert checkpoints.steps == [1]


def test_what_a_killed_writer_left_is_removed_by_the_next_alone(tmp_path):
    left = tmp_path / ".volta-0123.tmp"
    left.mkdir()
    (left / "checkpoint.json").write_text("{}")
    (tmp_path / ".volta-4567.tmp").write_text("a file")
    (tmp_path / "notes.txt").write_text("mine")
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps == []
    assert left.exists()
    checkpoints.save(1, a=1)
    wanted = [".lock", ".volta-4567.tmp", "notes.txt", "step-1"]
    assert sorted(os.listdir(tmp_path)) == wanted


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


FULL = (
    r"^Checkpoints\.save: the disk must take the whole step; got .*No space left on device.* "
    r"for .*step-2\. What was saved before is unchanged\."
)


@pytest.mark.parametrize("place", ["os.fsync", "os.rename", "safetensors.numpy.save_file"])
def test_a_full_disk_leaves_the_steps_before(checkpoints, monkeypatch, place):
    checkpoints.save(1, x=np.ones(2))
    with monkeypatch.context() as patch:
        patch.setattr(place, full)
        with pytest.raises(VoltaError, match=FULL):
            checkpoints.save(2, x=np.zeros(2))
    assert sorted(os.listdir(checkpoints.directory)) == [".lock", "step-1"]
    checkpoints.save(2, x=np.zeros(2))
    assert checkpoints.steps == [1, 2]


CALLS = ("chmod", "close", "fsync", "listdir", "lstat", "mkdir", "open", "rename", "rmdir")
CALLS += ("scandir", "stat", "unlink")


class Killed(BaseException):
    """What ends a process at once: nothing that Volta catches, and no call succeeds after it."""


def interrupted(monkeypatch, number, once):
    """Let the call of the system with this number fail; or all from it on, as for the dead."""
    made = []

    def failing(call):
        def call_or_fail(*args, **kwargs):
            made.append(call.__name__)
            if once and len(made) == number + 1:
                raise OSError(errno.EIO, "Input/output error")
            if not once and len(made) > number:
                raise Killed
            return call(*args, **kwargs)

        return call_or_fail

    for name in CALLS:
        monkeypatch.setattr(os, name, failing(getattr(os, name)))
    monkeypatch.setattr("builtins.open", failing(open))
    monkeypatch.setattr("io.open", open)
    return made


@pytest.mark.parametrize("once", [False, True], ids=["killed", "failing"])
@pytest.mark.parametrize("number", range(40))
def test_between_any_two_calls_of_the_system_a_step_is_whole(tmp_path, monkeypatch, number, once):
    value = np.arange(3.0)
    with Checkpoints(tmp_path, max_to_keep=1) as checkpoints:
        checkpoints.save(1, a=value, b=1)
        raised = None
        with monkeypatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of steps that could not be deleted
            made = interrupted(patch, number, once)
            try:
                checkpoints.save(2, a=value + 1, b=2)
            except (Killed, OSError, VoltaError) as error:
                raised = error
        assert checkpoints.steps in ([1], [2], [1, 2])
        assert len(made) < 40  # or else there are calls at which nothing was tried
        if isinstance(raised, VoltaError):
            assert checkpoints.steps == [1]  # what save says it did not save is not there
            assert not checkpoint.left_over(tmp_path) or not once
        if raised is None:
            assert checkpoints.latest == 2
    for step in checkpoints.steps:
        found = Checkpoints(tmp_path).restore(step).parts
        np.testing.assert_array_equal(found["a"], value + step - 1)
        assert found["b"] == step
    with Checkpoints(tmp_path, max_to_keep=1) as checkpoints:
        checkpoints.save(3, a=value)
        assert sorted(os.listdir(tmp_path)) == [".lock", "step-3"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX limits")
def test_a_disk_that_becomes_full_midway(tmp_path):
    program = f"""
import resource, signal
import numpy as np
from volta import VoltaError, io

checkpoints = io.Checkpoints({str(tmp_path)!r}, max_to_keep=1)
checkpoints.save(1, a=np.ones(3))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
for large in (np.ones(100_000), list(range(100_000))):  # in a file of arrays, and in the other
    try:
        checkpoints.save(2, a=large)
    except VoltaError as error:
        print(error)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout.count("Checkpoints.save: the disk must take the whole step; got ") == 2
    assert run.stdout.count("File too large") == 2
    assert sorted(os.listdir(tmp_path)) == [".lock", "step-1"]
    np.testing.assert_array_equal(Checkpoints(tmp_path).restore().parts["a"], np.ones(3))


def test_a_system_without_locks_is_told(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(checkpoint, "lock", none)
    message = r"^Checkpoints: the directory must be writable; got .*No locks available"
    with pytest.raises(VoltaError, match=message):
        Checkpoints(tmp_path).save(1, a=1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_is_another_writer(tmp_path):
    program = f"""
import os, volta
checkpoints = volta.io.Checkpoints({str(tmp_path)!r})
checkpoints.save(1, a=1)
if os.fork() == 0:
    try:
        checkpoints.save(2, a="of the child")
    except volta.VoltaError as error:
        print(error)
else:
    os.wait()
    checkpoints.save(2, a="of the parent")
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout.startswith("Checkpoints: one writer at a time")
    assert Checkpoints(tmp_path).restore() == (2, {"a": "of the parent"})


# Asynchronous writing


@pytest.fixture
def slow(tmp_path, monkeypatch):
    """Checkpoints whose writer waits for an event, and the event."""
    go, write = threading.Event(), safetensors.write

    def waiting(*args):
        assert go.wait(10)
        write(*args)

    monkeypatch.setattr(safetensors, "write", waiting)
    with Checkpoints(tmp_path, asynchronous=True) as checkpoints:
        yield checkpoints, go
        go.set()


def test_what_is_written_is_what_was_saved(slow):
    checkpoints, go = slow
    x, y, history = np.zeros(3), np.ones((2, 2)), [1.0]
    checkpoints.save(1, x=x, part={"y": y.T, "history": history})
    x += 5
    y *= 3
    history.append(2.0)
    assert checkpoints.steps == []  # it is not there yet
    go.set()
    checkpoints.wait()
    assert checkpoints.steps == [1]
    found = checkpoints.restore().parts
    np.testing.assert_array_equal(found["x"], np.zeros(3))
    np.testing.assert_array_equal(found["part"]["y"], np.ones((2, 2)))
    assert found["part"]["history"] == [1.0]


def test_torch_tensors_that_are_written_to_in_place(slow):
    torch = pytest.importorskip("torch")
    checkpoints, go = slow
    x = torch.zeros(3, dtype=torch.bfloat16)
    checkpoints.save(1, x=x)
    x += 5
    go.set()
    assert checkpoints.restore(x=x).parts["x"].tolist() == [0, 0, 0]


def test_the_next_step_waits_for_the_one_before(slow):
    checkpoints, go = slow
    checkpoints.save(1, x=np.ones(1))
    threading.Timer(0.05, go.set).start()
    checkpoints.save(2, x=np.ones(1))
    assert 1 in checkpoints.steps
    with pytest.raises(ValueError, match="greater than those saved; got 2 and 2"):
        checkpoints.save(2, x=np.ones(1))


@pytest.mark.parametrize("call", ["save", "restore", "delete", "wait", "close", "with"])
def test_what_goes_wrong_is_raised_by_the_next_call(tmp_path, monkeypatch, call):
    checkpoints = Checkpoints(tmp_path, asynchronous=True)
    checkpoints.save(1, x=np.ones(1))
    checkpoints.wait()
    with monkeypatch.context() as patch:
        patch.setattr(safetensors, "write", full)
        checkpoints.save(2, x=np.ones(1))
        checkpoints._writer.join()
    calls = {
        "save": lambda: checkpoints.save(3, x=np.ones(1)),
        "delete": lambda: checkpoints.delete(1),
        "with": lambda: checkpoints.__exit__(None, None, None),
    }
    with pytest.raises(VoltaError, match=FULL) as caught:
        calls.get(call, getattr(checkpoints, call, None))()
    assert isinstance(caught.value.__cause__, OSError)
    assert checkpoints.steps == [1]
    checkpoints.save(3, x=np.ones(1))  # told once; and the lock is free again
    checkpoints.close()
    assert checkpoints.steps == [1, 3]


def test_an_error_that_nobody_asked_for_is_a_warning(tmp_path):
    program = f"""
import volta, numpy as np
from volta.io import safetensors

def full(*args):
    raise OSError("No space left on device")

safetensors.write = full
checkpoints = volta.io.Checkpoints({str(tmp_path)!r}, asynchronous=True)
checkpoints.save(1, x=np.ones(1))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "RuntimeWarning: Checkpoints: step 1 was not saved: No space left" in run.stderr


def test_a_program_does_not_end_before_its_last_step_is_written(tmp_path):
    program = f"""
import time, volta, numpy as np
from volta.io import safetensors

write = safetensors.write

def slowly(*args):
    time.sleep(0.2)
    write(*args)

safetensors.write = slowly
volta.io.Checkpoints({str(tmp_path)!r}, asynchronous=True).save(1, x=np.ones(1))
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
    assert Checkpoints(tmp_path).restore().step == 1


# Damage


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A directory with one step, of which tests take copies."""
    directory = tmp_path_factory.mktemp("sound")
    with Checkpoints(directory) as checkpoints:
        state = io.StateDict({"w": np.arange(4.0), "v": np.zeros(4)}, metadata={"format": "volta"})
        checkpoints.save(3, model=state, lr=0.25, z=np.asarray([1j, 2]))
    return directory


@pytest.fixture
def copied(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "run")
    return tmp_path / "run"


FILES = ["checkpoint.json", "model.safetensors", "z.safetensors"]


@pytest.mark.parametrize("name", FILES)
def test_any_flipped_bit_is_found(copied, name):
    file = copied / "step-3" / name
    whole, bits = file.read_bytes(), random.Random(name)
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bits.randrange(8)
        file.write_bytes(damaged)
        with pytest.raises(LoadError, match=rf"^Checkpoints\.restore: .*{name}"):
            Checkpoints(copied).restore()
    file.write_bytes(whole)
    assert Checkpoints(copied).restore().parts["lr"] == 0.25


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_short_or_too_long(copied, name):
    file = copied / "step-3" / name
    whole = file.read_bytes()
    for length in [*range(0, len(whole), 5), len(whole) - 1]:
        file.write_bytes(whole[:length])
        with pytest.raises(LoadError, match=rf"^Checkpoints\.restore: .*{name}"):
            Checkpoints(copied).restore()
    for more in (b"\0", b"\n", b" {}", whole):
        file.write_bytes(whole + more)
        with pytest.raises(LoadError, match=rf"^Checkpoints\.restore: .*{name}"):
            Checkpoints(copied).restore()


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_gone(copied, name):
    (copied / "step-3" / name).unlink()
    message = (
        rf"^Checkpoints\.restore: the file must be readable; got .*No such file.* in "
        rf".*{name}\. The step is damaged: restore another\."
    )
    with pytest.raises(LoadError, match=message):
        Checkpoints(copied).restore()


CHECKSUM = "a tensor must have the checksum that it was saved with; got [0-9a-f]{8} instead of "
CHECKSUM += (
    "[0-9a-f]{8} for '%s' in .*model.safetensors. The file is damaged: restore another step."
)
OTHERS = "the file must hold the tensors that were saved, and no others; got '%s' in "


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x | {"w": x["w"] + 1}, CHECKSUM % "w"),
        (lambda x: x | {"v": x["v"].astype(int)}, CHECKSUM % "v"),
        (lambda x: x | {"v": x["v"].reshape(2, 2)}, CHECKSUM % "v"),
        (lambda x: {"w": x["v"], "v": x["w"]}, CHECKSUM % "w"),
        (lambda x: {"w": x["w"]}, OTHERS % "v"),
        (lambda x: x | {"u": x["v"]}, OTHERS % "u"),
    ],
    ids=["value", "dtype", "shape", "exchanged", "fewer", "more"],
)
def test_another_file_in_its_place(copied, change, message):
    file = copied / "step-3" / "model.safetensors"
    loaded = io.load_file(file)
    io.save_file(change(dict(loaded)), file, loaded.metadata)
    with pytest.raises(LoadError, match=rf"^Checkpoints\.restore: {message}"):
        Checkpoints(copied).restore()


def test_other_metadata_are_found(copied):
    file = copied / "step-3" / "model.safetensors"
    io.save_file(io.load_file(file), file, {"format": "pt"})
    message = r"the metadata must be those that were saved; got \{'format': 'pt'\} in"
    with pytest.raises(LoadError, match=message):
        Checkpoints(copied).restore()


def rewritten(directory, body, **head):
    """Write the manifest again, with a checksum that is right."""
    told = {"format": "volta-checkpoint", "version": 1, "crc32": f"{zlib.crc32(body):08x}"} | head
    (directory / "step-3" / "checkpoint.json").write_bytes(json.dumps(told).encode() + b"\n" + body)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"format": "x"}, "the format must be volta-checkpoint, version 1; got 'x', version 1 in "),
        ({"version": 2}, "version 1; got 'volta-checkpoint', version 2 in .*Another version of"),
        ({"crc32": "0"}, "the second line must have the checksum in the first; got .* of '0' in "),
    ],
)
def test_the_first_line_is_checked(copied, head, message):
    rewritten(copied, b'{"parts": {}}', **head)
    with pytest.raises(LoadError, match=rf"^Checkpoints\.restore: .*{message}"):
        Checkpoints(copied).restore()


def test_a_first_line_that_is_none(copied):
    (copied / "step-3" / "checkpoint.json").write_bytes(b"[]\n{}")
    message = (
        r"^Checkpoints\.restore: the first line must have the format, its version and a "
        r"checksum; got b'\[\]' in .*This is not a valid checkpoint file"
    )
    with pytest.raises(LoadError, match=message):
        Checkpoints(copied).restore()


HOSTILE = {
    "no json": b"{",
    "no object": b"[]",
    "no step": b'{"parts": {}}',
    "no parts": b'{"step": 3}',
    "parts of another kind": b'{"step": 3, "parts": [1]}',
    "a part of another kind": b'{"step": 3, "parts": {"lr": 1}}',
    "no tree": b'{"step": 3, "parts": {"lr": {"arrays": {}}}}',
    **{
        f"a tree {name}": b'{"step": 3, "parts": {"lr": {"arrays": {}, "tree": %s}}}' % text
        for name, text in {
            "of an unknown kind": b'{"set": []}',
            "of no kind": b"{}",
            "with an array that is not there": b'{"array": "x"}',
            "with no integer": b'{"int": "seven"}',
            "with no float": b'{"float": "00"}',
            "with no complex": b'{"complex": [1, 2, 3]}',
            "with a list as key": b'{"dict": [[[], 1]]}',
            "with no pairs": b'{"dict": [1]}',
            "without metadata": b'{"state_dict": []}',
            "too deep": b"[" * 100_000 + b"]" * 100_000,
        }.items()
    },
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_manifest_with_the_right_checksum_and_wrong_contents(copied, name):
    rewritten(copied, HOSTILE[name])
    message = r"^Checkpoints\.restore: contents must be those that Volta writes; got "
    with pytest.raises(LoadError, match=message):
        Checkpoints(copied).restore()


def test_a_directory_that_was_renamed(copied):
    (copied / "step-3").rename(copied / "step-7")
    message = (
        r"^Checkpoints\.restore: the step must be that of its directory; got 3 in .*step-7.*\."
    )
    with pytest.raises(LoadError, match=message):
        Checkpoints(copied).restore()


def test_no_file_outside_of_the_step_is_read(copied):
    shutil.copy(copied / "step-3" / "z.safetensors", copied / "z.safetensors")
    body = (copied / "step-3" / "checkpoint.json").read_bytes().split(b"\n", 1)[1]
    rewritten(copied, body.replace(b'"z": {"tree"', b'"../z": {"tree"'))
    message = r"^Checkpoints\.restore: names of parts must be identifiers; got .*'\.\./z' in "
    with pytest.raises(LoadError, match=message):
        Checkpoints(copied).restore()


# Damage that is passed over


@pytest.fixture
def damaged(tmp_path):
    """A directory with steps 1 to 4, of which the last two are damaged."""
    with Checkpoints(tmp_path) as checkpoints:
        for step in range(1, 5):
            checkpoints.save(step, x=np.full(2, step))
    (tmp_path / "step-4" / "checkpoint.json").unlink()
    file = tmp_path / "step-3" / "x.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    return tmp_path


def test_damage_is_no_reason_to_take_another_step_unasked(damaged):
    with pytest.raises(LoadError, match=r"step-4/checkpoint\.json"):
        Checkpoints(damaged).restore()


def test_the_newest_sound_step_on_request(damaged):
    checkpoints = Checkpoints(damaged, skip_damaged=True)
    with pytest.warns(RuntimeWarning) as caught:
        step, parts = checkpoints.restore()
    assert (step, parts["x"].tolist()) == (2, [2, 2])
    texts = [str(warning.message) for warning in caught]
    for text, wanted in zip(texts, ("be readable; .*step-4", "hold all .*step-3"), strict=True):
        message = (
            rf"Checkpoints\.restore: the file must {wanted}.*\. Step {wanted[-1]} is passed over\."
        )
        assert re.fullmatch(message, text)
    assert all(warning.filename == __file__ for warning in caught)
    assert checkpoints.steps == [1, 2, 3, 4]  # reading changes nothing
    checkpoints.save(3, x=np.zeros(2))
    assert checkpoints.steps == [1, 2, 3]
    assert sorted(damaged.glob("damaged-*")) == [damaged / "damaged-3", damaged / "damaged-4"]
    assert checkpoints.restore().parts["x"].tolist() == [0, 0]


def test_a_second_damage_of_a_step_is_kept_too(damaged):
    (damaged / "damaged-4").mkdir()
    checkpoints = Checkpoints(damaged, skip_damaged=True)
    with pytest.warns(RuntimeWarning, match="passed over"):
        checkpoints.restore()
    checkpoints.save(3, x=np.zeros(2))
    names = sorted(path.name for path in damaged.glob("damaged-*"))
    assert names == ["damaged-3", "damaged-4", "damaged-4.1"]


def test_a_step_that_is_named_is_not_passed_over(damaged):
    with pytest.raises(LoadError, match="step-3/x"):
        Checkpoints(damaged, skip_damaged=True).restore(3)


def test_what_does_not_fit_is_no_damage(damaged):
    checkpoints = Checkpoints(damaged, skip_damaged=True)
    checkpoints.delete(3, 4)
    with pytest.raises(LoadError, match=r"x of shape \(2,\) instead of \(3,\)"):
        checkpoints.restore(x=np.ones(3))


def test_no_sound_step(damaged):
    checkpoints = Checkpoints(damaged, skip_damaged=True)
    checkpoints.delete(1, 2)
    with pytest.warns(RuntimeWarning), pytest.raises(LoadError, match="step-3"):
        checkpoints.restore()
