"""Devices of this machine, where there are any."""

import importlib.util

import pytest


@pytest.fixture(scope="session")
def first():
    """The first device."""
    if importlib.util.find_spec("wgpu") is None:
        pytest.skip("the extra wgpu is not installed")
    import volta.wgpu

    found = volta.wgpu.devices()
    if not found:
        pytest.skip("no driver of a device")
    return found[0]


@pytest.fixture
def device(first):
    """The first device, newly opened."""
    first.reset()
    yield first
    first.reset()
