"""The examples keep what their pages say; test_digits.py has the first one."""

import importlib.util
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
pytestmark = [pytest.mark.neural, pytest.mark.optimizer]
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def example(monkeypatch):
    """Load an example as a module, by its name."""
    for library in ("OPENBLAS", "OMP"):
        monkeypatch.setenv(f"{library}_NUM_THREADS", "1")
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def load(name):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


RESULTS = {  # between what a run with the default seed ends
    "xor": (0, 1e-3),
    "showcase": (0.9, 1),
    "regression": (0, 0.3),
    "time_series": (0, 0.05),
    "char_lm": (0, 0.2),
    "char_transformer": (0, 0.2),
    "vae": (20, 26),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", RESULTS)
def test_an_example_reaches_its_result(name, example, tmp_path, capsys):
    if name == "vae":
        pytest.importorskip("sklearn")
    result = example(name).main(["--out", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    least, most = RESULTS[name]
    assert least <= result <= most
    assert float(lines[-1].rpartition(" ")[2]) == pytest.approx(result, abs=6e-3)
    picture = tmp_path / f"{name}.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000
    if name.startswith("char"):
        assert any(line.startswith("9 of 9 whole lines") for line in lines)


def test_another_seed_is_another_run(example, tmp_path):
    xor = example("xor")
    results = [xor.main(["--seed", str(seed), "--out", str(tmp_path)]) for seed in (0, 0, 1)]
    assert results[0] == results[1] != results[2]
