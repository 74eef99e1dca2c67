"""The example of a device computes on it what NumPy does."""

import importlib.util

import pytest


@pytest.mark.filterwarnings("error")
def test_results_are_those_of_numpy(example, capsys):
    if importlib.util.find_spec("wgpu") is None:
        pytest.skip("the extra wgpu is not installed")
    gpu = example("gpu")
    if not gpu.volta.wgpu.devices():
        pytest.skip("no driver of a device")
    assert gpu.main(["--size", "48"]) < 1e-5
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 + len(gpu.programs(48))
    assert lines[0].startswith("wgpu:0: ")
