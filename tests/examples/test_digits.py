"""The example keeps what its page says."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from volta import io

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
pytestmark = [pytest.mark.neural, pytest.mark.optimizer]
ROOT = Path(__file__).resolve().parents[2]


def run(folder, *arguments):
    """Output lines of the example, run in a process of its own; warnings are errors."""
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / "digits.py"), *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_default_run(tmp_path):
    lines = run(tmp_path)
    assert lines[-1].startswith("test accuracy: 0.97")
    assert float(lines[-1].removeprefix("test accuracy: ")) >= 0.97
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digits.png", "digits.safetensors"]
    assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "digits.png").stat().st_size > 50_000
    weights = io.load_file(tmp_path / "digits.safetensors")
    assert weights.metadata == {"format": "volta"}
    assert {name: x.shape for name, x in weights.items() if name.endswith("weight")} == {
        "0.weight": (64, 256),
        "3.weight": (256, 256),
        "6.weight": (256, 10),
    }


@pytest.fixture
def digits(monkeypatch):
    """The example as a module."""
    for library in ("OPENBLAS", "OMP"):
        monkeypatch.setenv(f"{library}_NUM_THREADS", "1")
    spec = importlib.util.spec_from_file_location("digits", ROOT / "examples" / "digits.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_run_is_the_same_each_time_and_on_torch(tmp_path, digits):
    def run(folder, backend):
        arguments = ["--backend", backend, "--seed", "3", "--epochs", "2"]
        result = digits.main([*arguments, "--out", str(tmp_path / folder)])
        return result, io.load_file(tmp_path / folder / "digits.safetensors")

    result, first = run("first", "numpy")
    assert 0.85 < result < 1
    _, second = run("second", "numpy")
    for name, x in first.items():
        np.testing.assert_array_equal(x, second[name])
    pytest.importorskip("torch")
    _, third = run("third", "torch")
    for name, x in first.items():
        np.testing.assert_allclose(x, third[name], atol=1e-3)
