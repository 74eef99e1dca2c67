"""Networks that PyTorch trained answer the same here, from either file."""

import pytest

from volta import io
from volta.core.errors import LoadError

pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
pytestmark = [pytest.mark.neural, pytest.mark.filterwarnings("error")]


def test_files_of_torchs_networks_give_their_scores(example, tmp_path, capsys):
    external = example("load_external")
    result = external.main(["--out", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["file", "arrays", "bytes", "difference", "PyTorch", "Volta"]
    rows = {row[0]: row[1:] for row in map(str.split, lines[1:5])}
    assert {name: int(row[0]) for name, row in rows.items()} == {
        "mlp.safetensors": 4,
        "mlp.pt": 4,
        "cnn.safetensors": 14,
        "cnn.pt": 14,
    }
    for name, (_, size, difference, theirs, ours) in rows.items():
        assert int(size) == (tmp_path / name).stat().st_size
        assert float(difference) <= result * 1.05 < 1e-4
        assert ours == theirs
        assert float(ours) > 0.9
    assert float(lines[-1].removeprefix("largest difference: ")) == pytest.approx(result, rel=0.01)
    assert (tmp_path / "load_external.png").stat().st_size > 20_000
    # without the mapper nothing fits
    _, make, _ = external.NETWORKS["CNN"]
    with pytest.raises(LoadError, match=r"missing_keys \['convs.0.weight', .*'classifier.bias'\]"):
        make(external.F.random.key(0)).load_state_dict(io.load_file(tmp_path / "cnn.pt"))
