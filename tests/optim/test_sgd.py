import numpy as np
import pytest

import volta
from volta import optim

pytestmark = pytest.mark.optimizer


def test_the_first_gradient_is_not_dampened():
    momentum = optim.scale_by_momentum(0.5, dampening=0.25)
    state = momentum.init(np.zeros(1))
    first, state = momentum.update(np.asarray([2.0]), state)
    second, state = momentum.update(np.asarray([4.0]), state)
    assert (first, second) == (2, 0.5 * 2 + 0.75 * 4)
    assert (state.count, state.velocity) == (2, 4)


def test_dampening_in_lanes():
    momentum = optim.scale_by_momentum(0.5, dampening=0.25)
    g = np.asarray([[2.0], [4.0]])
    state = volta.vmap(momentum.init)(g)
    first, state = volta.vmap(momentum.update)(g, state)
    second, _ = volta.vmap(momentum.update)(g, state)
    assert first.tolist() == [[2], [4]]
    assert second.tolist() == [[0.5 * 2 + 0.75 * 2], [0.5 * 4 + 0.75 * 4]]


def test_nesterov_looks_ahead():
    momentum = optim.scale_by_momentum(0.5, nesterov=True)
    update, state = momentum.update(np.asarray([2.0]), momentum.init(np.zeros(1)))
    assert (update, state.velocity) == (2 + 0.5 * 2, 2)


def test_without_momentum_there_is_no_state():
    assert optim.sgd(0.1).init(np.ones(2)) == optim.EmptyState()
    plain, moving = (optim.SGD({"w": np.ones(2)}, momentum=m).state_dict() for m in (0.0, 0.5))
    assert moving.keys() - plain.keys() == {"count", "velocity.w"}


def test_the_first_gradient_is_not_dampened_under_scan_either():
    optimizer = optim.chain(optim.scale_by_momentum(0.8, dampening=0.3), optim.scale(-0.1))
    w = np.asarray([1.0, -2.0])

    def step(carry, _):
        w, state = carry
        updates, state = optimizer.update(w, state)
        return (w + updates, state), None

    carry = w, optimizer.init(w)
    (found, _), _ = volta.scan(step, carry, None, length=4)
    for _ in range(4):
        carry, _ = step(carry, None)
    np.testing.assert_allclose(found, carry[0], rtol=1e-12)
