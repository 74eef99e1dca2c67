import copy
import pickle

import numpy as np

from volta import io, tree


def test_a_file_keeps_its_metadata(tmp_path):
    path = tmp_path / "file.safetensors"
    io.save_file({"w": np.ones(2)}, path, {"step": "7"})
    loaded = io.load_file(path)
    assert type(loaded) is io.StateDict
    assert loaded.metadata == {"format": "volta", "step": "7"} == io.load_metadata(path)
    io.save_file(loaded, path)
    assert io.load_metadata(path) == {"format": "volta", "step": "7"}


def test_a_torch_layout_stays_one(tmp_path):
    path = tmp_path / "file.safetensors"
    state = io.StateDict({"w": np.ones(2)}, metadata={"format": "pt"})
    io.save_file(state, path)
    assert io.load_file(path).metadata == {"format": "pt"}
    io.save_file(state, path, {"format": "volta"})
    assert io.load_file(path).metadata == {"format": "volta"}


def test_is_a_dict_and_a_tree():
    state = io.StateDict({"b": 1.0, "a": 2.0}, metadata={"format": "volta"})
    assert state == {"b": 1.0, "a": 2.0}
    doubled = tree.map(lambda x: 2 * x, state)
    assert type(doubled) is io.StateDict
    assert (doubled, doubled.metadata) == ({"b": 2.0, "a": 4.0}, {"format": "volta"})
    assert list(doubled) == ["b", "a"]
    assert [path for path, _ in tree.leaves_with_path(state)] == [("b",), ("a",)]
    for same in (copy.deepcopy(state), pickle.loads(pickle.dumps(state))):
        assert (same, same.metadata) == (state, state.metadata)
