"""The examples of a device compute on it what NumPy does."""

import importlib.util

import pytest


@pytest.fixture
def on_device(example):
    """Load an example that needs a device."""
    if importlib.util.find_spec("wgpu") is None:
        pytest.skip("the extra wgpu is not installed")
    import volta.wgpu

    if not volta.wgpu.devices():
        pytest.skip("no driver of a device")
    return example


@pytest.mark.filterwarnings("error")
def test_results_are_those_of_numpy(on_device, capsys):
    gpu = on_device("gpu")
    assert gpu.main(["--size", "48"]) < 1e-5
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 + len(gpu.programs(48))
    assert lines[0].startswith("wgpu:0: ")


@pytest.mark.neural
@pytest.mark.optimizer
@pytest.mark.filterwarnings("error")
def test_losses_are_those_of_numpy(on_device, capsys):
    gpu_training = on_device("gpu_training")
    assert gpu_training.main([]) < 1e-4
    first, *lines, last = capsys.readouterr().out.splitlines()
    assert first.startswith("wgpu:0: ")
    assert last.startswith("largest difference: ")
    ways = gpu_training.ways(0, gpu_training.volta.wgpu.devices()[0])
    assert [line.partition("  loss")[0].strip() for line in lines] == [*ways]
    assert all(" loss 0.4147 to " in line for line in lines)


def test_models_are_where_they_are_said_to_be(on_device):
    gpu_training = on_device("gpu_training")
    device = gpu_training.volta.wgpu.devices()[0]
    for name, (model, *data) in gpu_training.ways(0, device).items():
        for x in (*data, *model.parameters().values()):
            assert (getattr(x, "device", None) is device) == name.endswith("the device")
