import os
import subprocess
import sys

import numpy as np
import pytest
import weight_files as files

from volta.__main__ import main
from volta.io import StateDict, load_file, save_file


def test_inspect_prints_a_table(tmp_path, capsys):
    path = tmp_path / "a.safetensors"
    arrays = {"layer.weight": np.ones((20, 3), np.float32), "b": np.ones(3, np.float16)}
    save_file(arrays, path, {"note": "x" * 100})
    assert main(["inspect", str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "name          type  shape    bytes",
        "layer.weight  F32   (20, 3)    240",
        "b             F16   (3,)         6",
        "2 tensors, 63 numbers, 246 bytes",
        "format: volta",
        f"note: {'x' * 60}… (100 letters)",
    ]


@pytest.mark.parametrize("name", list(files.WHOLE))
def test_every_format_is_inspected(tmp_path, capsys, name):
    suffix, data = files.WHOLE[name]
    path = tmp_path / f"file{suffix}"
    path.write_bytes(data)
    assert main(["inspect", str(path)]) == 0
    assert " (2, 3)  " in capsys.readouterr().out


def test_names_do_not_move_the_cursor(tmp_path, capsys):
    save_file({"a\x1b[2J\n": np.ones(1)}, tmp_path / "a.safetensors", {"k": "\x07"})
    assert main(["inspect", str(tmp_path / "a.safetensors")]) == 0
    out = capsys.readouterr().out
    assert "a\\x1b[2J\\n" in out
    assert "k: \\x07" in out
    assert "\x1b" not in out


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".npz", ".gguf", ".onnx"])
def test_convert(tmp_path, suffix):
    source, target = tmp_path / "a.pt", tmp_path / f"b{suffix}"
    source.write_bytes(files.torch_file())
    assert main(["convert", str(source), str(target)]) == 0
    found = load_file(target)
    assert found.metadata == {"format": "pt", "step": "7"}
    np.testing.assert_array_equal(found["w"], files.W)
    np.testing.assert_array_equal(found["b"], files.B)


def test_convert_does_not_guess_the_layout(tmp_path, capsys):
    source, target = tmp_path / "a.onnx", tmp_path / "b.pt"
    source.write_bytes(files.WHOLE["onnx"][1])
    assert main(["convert", str(source), str(target)]) == 1
    assert "must hold weights as 'pt' lays them out; got format None" in capsys.readouterr().err
    assert not target.exists()
    assert main(["convert", str(source), str(target), "--layout", "pt"]) == 0
    assert load_file(target).metadata["format"] == "pt"
    assert main(["convert", str(source), str(tmp_path / "c.safetensors")]) == 0
    assert "format" not in load_file(tmp_path / "c.safetensors").metadata


def test_convert_does_not_contradict_the_file(tmp_path, capsys):
    save_file(StateDict({}, metadata={"format": "volta"}), tmp_path / "a.npz")
    command = ["convert", str(tmp_path / "a.npz"), str(tmp_path / "b.pt"), "--layout", "pt"]
    assert main(command) == 1
    assert "the layout must be what the file says; got 'pt' for" in capsys.readouterr().err


def test_errors_are_one_line(tmp_path, capsys):
    assert main(["inspect", str(tmp_path / "absent.pt")]) == 1
    assert "No such file" in capsys.readouterr().err
    (tmp_path / "a.pt").write_bytes(files.torch_file(files.ATTACKS["system"](str(tmp_path / "x"))))
    assert main(["inspect", str(tmp_path / "a.pt")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("inspect: a pickle of tensors must name only what tensors need")
    assert not (tmp_path / "x").exists()


def test_it_runs_as_a_module(tmp_path):
    save_file({"w": files.W}, tmp_path / "a.npz")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "volta", "inspect", str(tmp_path / "a.npz")]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert "w     <f4   (2, 3)     24\n" in done.stdout
    done = subprocess.run(command[:-2], env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "inspect,convert" in done.stderr
