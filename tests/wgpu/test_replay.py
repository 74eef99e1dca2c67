"""Staged lists on a device: how inputs lie in memory, what is captured, and what is returned."""

import numpy as np
import pytest

import volta
import volta.functional as F
import volta.wgpu
from volta.wgpu import replay


@pytest.fixture
def x(device):
    return volta.wgpu.asarray(np.arange(16, dtype=np.float32).reshape(4, 4), device=device)


LAYOUTS = {
    "whole": lambda x: x,
    "transposed": lambda x: x.T,
    "flipped": lambda x: x[::-1],
    "spread": lambda x: F.broadcast_to(x[1], (4, 4)),
    "pending": lambda x: F.exp(x),
    "part of what is pending": lambda x: F.exp(F.concat([x, x]))[2:6],
}


@pytest.mark.parametrize("most", [16, 2])
def test_inputs_may_lie_in_memory_in_any_way(x, monkeypatch, most):
    recorded, record = [], replay._Replay._recorded
    monkeypatch.setattr(
        replay._Replay, "_recorded", lambda *args: recorded.append(args) or record(*args)
    )
    monkeypatch.setattr(replay, "_MOST", most)
    run = volta.jit(lambda x, y: x - 2 * y)
    for _ in range(2):
        for of in LAYOUTS.values():
            found, host = run(of(x), x), x.to_numpy()
            np.testing.assert_allclose(found.to_numpy(), of(host) - 2 * host, rtol=1e-6)
    assert len(recorded) == min(most, 5)  # what is pending comes to lie as the whole does


def test_arrays_that_are_captured(x):
    first, second = x + 1, x.T

    @volta.jit
    def run(y):
        return y - first * F.tril(second)

    host = x.to_numpy()
    for factor in (1, 2):
        wanted = factor * host - (host + 1) * np.tril(host.T)
        np.testing.assert_array_equal(run(factor * x).to_numpy(), wanted)


def test_results_may_be_inputs_views_numbers_and_one_result_twice(x):
    @volta.jit
    def run(x, y):
        z = x + y
        return y, x[1:].T, z, 3, [z, F.flip(z)], y[::-1]

    def plain(x, y):
        z = x + y
        return y, x[1:].T, z, 3, [z, F.flip(z)], y[::-1]

    for _ in range(2):
        found, wanted = run(x, x * 2), plain(x.to_numpy(), x.to_numpy() * 2)
        volta.tree.map(np.testing.assert_array_equal, volta.tree.map(np.asarray, found), wanted)
