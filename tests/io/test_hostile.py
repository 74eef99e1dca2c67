"""Broken and malicious files give `LoadError`: nothing runs or crashes, no memory is taken."""

import contextlib
import json
import pickle
import random
import re
import subprocess
import sys
import tracemalloc

import fuzzing
import numpy as np
import pytest
import weight_files as files

from volta.core.errors import LoadError
from volta.io import load_file, load_metadata, reading, save_file
from volta.io.dequantization import BLOCKS


@pytest.mark.parametrize("name", list(files.WHOLE))
def test_the_whole_files_are_whole(tmp_path, name):
    suffix, data = files.WHOLE[name]
    path = tmp_path / f"file{suffix}"
    path.write_bytes(data)
    assert len(load_file(path)) == (1 if name == "npy" else 2)


@pytest.mark.parametrize("name", list(files.HOSTILE))
def test_a_broken_rule_is_named(tmp_path, name):
    suffix, data, message = files.HOSTILE[name]
    path = tmp_path / f"file{suffix}"
    path.write_bytes(data)
    with peak_of_memory() as peak, pytest.raises(LoadError) as caught:
        load_file(path)
    assert re.match(rf"(?s)load_file: .*({message})", str(caught.value))
    assert f" in {path}. " in str(caught.value) or f" in {path} " in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert peak() < MEBIBYTE + 4 * len(data)


# What docs/decisions/weight-files.md says reading may take.
MEBIBYTE = 2**20
OF_A_TENSOR = 1536
OF_AN_ITEM = 300
NOISE = 2**16


@pytest.mark.parametrize("name", list(files.GREEDY))
def test_memory_is_bounded_by_the_file(tmp_path, name):
    suffix, data, of_a_byte = files.GREEDY[name]
    tensors, items = files.GREEDY_NAMES.get(name, (1, 1))
    path = tmp_path / f"file{suffix}"
    path.write_bytes(data)
    with peak_of_memory() as peak, contextlib.suppress(LoadError):
        load_file(path)
    bound = MEBIBYTE + of_a_byte * len(data) + OF_A_TENSOR * tensors + OF_AN_ITEM * items
    assert peak() < bound


@pytest.mark.parametrize(
    "free", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (2**18, 2**21)), 2**20]
)
@pytest.mark.parametrize("name", sorted(files.GREEDY.keys() - files.LARGE_ARRAYS))
def test_what_is_no_array_takes_no_more_than_the_file_and_what_is_free(
    tmp_path, monkeypatch, name, free
):
    suffix, data, _ = files.GREEDY[name]
    path = tmp_path / f"file{suffix}"
    path.write_bytes(data)
    monkeypatch.setattr(reading, "FREE_MEMORY", free)
    with peak_of_memory() as peak, contextlib.suppress(LoadError):
        load_file(path)
    assert peak() < len(data) + free + NOISE


def test_memory_is_refused_by_name_and_then_free_again(tmp_path, monkeypatch):
    suffix, data, _ = files.GREEDY["gguf: tensors"]
    path = tmp_path / f"file{suffix}"
    path.write_bytes(data)
    with monkeypatch.context() as patch:
        patch.setattr(reading, "FREE_MEMORY", 2**18)
        with pytest.raises(LoadError, match="need no more memory than the file and 262144 bytes"):
            load_file(path)
    for _ in range(10):  # each has its own
        assert len(load_file(path)) == 5_000


def test_shards_add_their_sizes_to_the_allowance(tmp_path, monkeypatch):
    names = [f"{i:04}" for i in range(200)]
    shards = {name: f"{name}.safetensors" for name in names}
    for name in names:
        save_file({name: np.zeros(1000, "f4")}, tmp_path / shards[name])
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": shards}))
    monkeypatch.setattr(reading, "FREE_MEMORY", 2**17)  # for 200 tensors it takes more
    assert len(load_file(index)) == len(names)
    for name in names:
        save_file({name: np.zeros(0, "f4")}, tmp_path / shards[name])
    with pytest.raises(LoadError, match=r"no more memory than the file.* in its shard \d+"):
        load_file(index)


@pytest.mark.parametrize("kind", BLOCKS, ids=lambda kind: BLOCKS[kind].name)
def test_memory_of_quantized_blocks(tmp_path, kind):
    block = BLOCKS[kind]
    rows = 10**6 // block.size
    path = tmp_path / "file.gguf"
    tensors = [("w", (block.numbers, rows), kind, 0)]
    path.write_bytes(files.gguf_file(tensors, data=bytes(rows * block.size)))
    with peak_of_memory() as peak:
        assert load_file(path)["w"].shape == (rows, block.numbers)
    assert peak() < MEBIBYTE + 13 * path.stat().st_size


def test_memory_of_storages_in_the_other_byte_order(tmp_path):
    path = tmp_path / "file.pt"
    big = np.zeros(10**6, ">f4")
    data = files.torch_file(files.pickled(w=big), (big,), byteorder=b"big")
    path.write_bytes(data)
    with peak_of_memory() as peak:
        assert not load_file(path)["w"].any()
    assert peak() < MEBIBYTE + 2 * len(data)  # the copy, and what `any` looks at


@contextlib.contextmanager
def peak_of_memory():
    """Function that tells, after the block, the most that was allocated in it."""
    tracemalloc.start()
    try:
        peaks = []
        yield lambda: peaks[0]
        peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("wrapped", [files.torch_file, files.legacy_file], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", list(files.ATTACKS))
def test_no_pickle_runs_anything(tmp_path, name, wrapped):
    target = tmp_path / "made"
    path = tmp_path / "file.pt"
    path.write_bytes(wrapped(files.ATTACKS[name](str(target))))
    loaded = set(sys.modules)
    with pytest.raises(LoadError, match=r"^load_file: (a pickle|attributes|a tensor with)"):
        load_file(path)
    with pytest.raises(LoadError, match=r"^load_metadata: "):
        load_metadata(path)
    assert not target.exists()
    assert set(sys.modules) == loaded


@pytest.mark.skipif(sys.platform == "win32", reason="the attacks are POSIX programs")
@pytest.mark.parametrize("name", ["system", "stack global", "instance", "object"])
def test_the_attacks_would_work_elsewhere(tmp_path, name):
    target = tmp_path / "made"
    attack = files.ATTACKS[name](str(target))
    program = "import pickle, sys; pickle.loads(sys.stdin.buffer.read())"
    subprocess.run([sys.executable, "-c", program], input=attack, check=False)
    assert target.exists()


def test_a_pickle_needs_the_operations_it_may_have():
    """Every operation of pickle is known or refused; the dangerous ones are refused."""
    from volta.io.unpickling import _OPERATIONS

    names = {
        name for name in dir(pickle) if name.isupper() and isinstance(getattr(pickle, name), bytes)
    }
    refused = {name for name in names if len(getattr(pickle, name)) == 1} - {
        name for name in names if getattr(pickle, name)[0] in _OPERATIONS
    }
    assert refused >= {"INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "PERSID"}


@pytest.mark.parametrize("target", list(fuzzing.TARGETS))
def test_damage_gives_a_load_error_or_arrays(tmp_path, target):
    for seed in range(150):
        fuzzing.try_one(target, random.Random(f"{target} {seed}"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("target", list(fuzzing.TARGETS))
def test_more_damage(tmp_path, target):
    for seed in range(150, 5000):
        fuzzing.try_one(target, random.Random(f"{target} {seed}"), tmp_path)


@pytest.mark.parametrize("name", list(files.WHOLE))
def test_every_file_that_is_cut_is_refused(tmp_path, name):
    suffix, data = files.WHOLE[name]
    path = tmp_path / f"file{suffix}"
    for size in range(0, len(data), 7):
        path.write_bytes(data[:size])
        with pytest.raises(LoadError):
            load_file(path)
