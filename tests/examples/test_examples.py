"""The examples keep what their pages say; those of more than a run have files of their own."""

import numpy as np
import pytest

import volta.functional as F
from volta import nn

pytest.importorskip("matplotlib")
pytestmark = [pytest.mark.neural, pytest.mark.optimizer]


RESULTS = {  # between what a run with the default seed ends
    "xor": (0, 1e-3),
    "showcase": (0.9, 1),
    "regression": (0, 0.3),
    "time_series": (0, 0.05),
    "char_lm": (0, 0.2),
    "char_transformer": (0, 0.2),
    "vae": (20, 26),
    "mixed_precision": (0, 0.01),
    "lenet": (0.95, 1),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", RESULTS)
def test_an_example_reaches_its_result(name, example, tmp_path, capsys):
    if name in ("vae", "mixed_precision", "lenet"):
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
    if name == "mixed_precision":
        check_mixed_precision(lines)


def test_another_seed_is_another_run(example, tmp_path):
    xor = example("xor")
    results = [xor.main(["--seed", str(seed), "--out", str(tmp_path)]) for seed in (0, 0, 1)]
    assert results[0] == results[1] != results[2]


def test_a_run_that_was_stopped_goes_on_to_the_same_result(example, tmp_path):
    pytest.importorskip("sklearn")
    vae, out = example("vae"), ["--out", str(tmp_path)]
    whole = vae.main(["--epochs", "3", *out])
    resume = ["--resume", str(tmp_path / "run"), *out]
    stopped = vae.main(["--epochs", "1", *resume])
    assert vae.main(["--epochs", "3", *resume]) == whole != stopped
    assert sorted(path.name for path in (tmp_path / "run").glob("step-*")) == ["step-2", "step-3"]


def check_mixed_precision(lines):
    """Sixteen bits reach the loss of thirty-two, and the scale finds its place."""
    assert [line.split(":")[0] for line in lines[:3]] == ["float32", "bfloat16", "float16"]
    losses = [float(line.split()[2].rstrip(",")) for line in lines[:3]]
    assert losses == pytest.approx([losses[0]] * 3, rel=0.1)
    skipped, _, grown = (int(word) for word in lines[3].split() if word.isdigit())
    assert skipped >= 5  # from 2²⁴ down
    assert grown >= 2


def test_a_step_that_overflows_is_skipped_and_the_scale_recovers(example):
    pytest.importorskip("sklearn")
    mixed = example("mixed_precision")
    (pictures, labels), _ = mixed.load_data(0)
    one_batch = pictures[:64], labels[:64]
    policy = nn.Policy(compute_dtype="float16")
    model = mixed.make_model(F.random.key(0))
    before = model.parameters()
    _, scales = mixed.train(
        model, policy, nn.DynamicLossScale(2.0**40), one_batch, epochs=3, seed=0
    )
    assert scales == [2.0**40, 2.0**39, 2.0**38]
    for name, x in model.parameters().items():
        np.testing.assert_array_equal(x, before[name])
    scale = nn.DynamicLossScale(4.0, growth_interval=2)
    _, scales = mixed.train(model, policy, scale, one_batch, epochs=5, seed=0)
    assert scales == [4, 4, 8, 8, 16]
    assert all(np.any(x != before[name]) for name, x in model.parameters().items())
