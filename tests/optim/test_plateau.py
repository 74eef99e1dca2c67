"""`reduce_on_plateau` against optax's."""

import numpy as np
import pytest

import volta
from volta import optim, tree

pytestmark = pytest.mark.optimizer

ALL = {
    "factor": 0.6,
    "patience": 3,
    "rtol": 0.03,
    "atol": 0.02,
    "cooldown": 2,
    "accumulation_size": 2,
    "min_scale": 0.25,
}
ROWS = {
    "defaults": {},
    "a share that is reached": {"rtol": 0.05},
    "all terms": ALL,
    "no share": {"patience": 2, "rtol": 0.0, "atol": 0.1, "factor": 0.8},
    "waiting": {"patience": 1, "factor": 0.7, "cooldown": 3},
    "the least scale": {"patience": 1, "factor": 0.5, "min_scale": 0.3},
}
LOSSES = 0.2 + 0.9 ** np.arange(100) + 0.1 * np.abs(np.sin(np.arange(100) * 0.7)) ** 3


def scales(optimizer, asarray=np.asarray, losses=LOSSES):
    """What updates of 1 become, number by number, and the state at the end."""
    state, found = optimizer.init({"w": asarray(np.ones(()))}), []
    for loss in losses:
        updates, state = optimizer.update({"w": asarray(np.ones(()))}, state, value=loss)
        found.append(float(updates["w"]))
    return np.asarray(found), state


@pytest.mark.parametrize("name", ROWS)
def test_goes_optax_s_way(name):
    contrib = pytest.importorskip("optax").contrib
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        oracle = contrib.reduce_on_plateau(**ROWS[name])
        oracle = oracle._replace(update=jax.jit(oracle.update))
        expected, last = scales(oracle, jax.numpy.asarray)
    found, state = scales(optim.reduce_on_plateau(**ROWS[name]))
    assert min(found) < 1
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    for field in state._fields:
        np.testing.assert_allclose(getattr(state, field), getattr(last, field), rtol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_every_hyperparameter_shows(name):
    defaults = {"factor": 0.1, "patience": 10, "rtol": 1e-4, "atol": 0.0, "cooldown": 0}
    defaults |= {"accumulation_size": 1, "min_scale": 0.0}
    whole, _ = scales(optim.reduce_on_plateau(**ALL))
    other, _ = scales(optim.reduce_on_plateau(**ALL | {name: defaults[name]}))
    assert np.max(np.abs(whole - other)) > 1e-2


@pytest.mark.parametrize("dtype", ["float16", "float32", "complex64"])
def test_keeps_dtypes_and_takes_arrays(dtype):
    optimizer = optim.reduce_on_plateau(0.5, 1)
    w = np.ones(2, dtype)
    state = optimizer.init(w)
    for loss in (1.0, np.float32(1.0), np.asarray(1.0)):
        updates, after = optimizer.update(w, state, value=loss)
        assert updates.dtype == w.dtype
        assert [x.dtype for x in after] == [x.dtype for x in state]
        assert all(type(x) is np.ndarray for x in after)
        state = after
    np.testing.assert_array_equal(updates, w * 0.25)


@pytest.mark.parametrize("library", ["torch", "array_api_strict", "jax.numpy"])
def test_values_of_a_library(library):
    xp = pytest.importorskip(library)
    optimizer = optim.chain(optim.sgd(1.0), optim.reduce_on_plateau(0.5, 1))
    w = xp.ones(2)
    state = optimizer.init(w)
    for _ in range(3):
        updates, state = optimizer.update(w, state, w, value=xp.asarray(1.0))
    assert type(updates) is type(w)
    assert float(updates[0]) == -0.25


def test_runs_in_a_scan():
    optimizer = optim.reduce_on_plateau(**ALL)

    def step(state, loss):
        updates, state = optimizer.update(np.ones(()), state, value=loss)
        return state, updates

    _, found = volta.scan(step, optimizer.init(None), LOSSES)
    np.testing.assert_allclose(found, scales(optimizer)[0], rtol=1e-12)


def test_lanes_have_scales_of_their_own():
    optimizer = optim.reduce_on_plateau(**ALL)
    losses = np.stack([LOSSES, LOSSES[::-1]])
    state = tree.map(lambda x: np.stack([x, x]), optimizer.init(None))
    step = volta.vmap(lambda state, loss: optimizer.update(np.ones(()), state, value=loss))
    found = []
    for i in range(losses.shape[1]):
        updates, state = step(state, losses[:, i])
        found.append(updates)
    for lane, mine in zip(losses, np.stack(found, -1), strict=True):
        np.testing.assert_allclose(mine, scales(optimizer, losses=lane)[0], rtol=1e-12)


def test_needs_the_number():
    optimizer = optim.reduce_on_plateau()
    message = r"^reduce_on_plateau\.update: needs the number to judge; got none\. Pass value=\."
    with pytest.raises(ValueError, match=message):
        optimizer.update(np.ones(1), optimizer.init(None))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factor": 0.0}, r"factor must be in \(0, 1\); got 0.0"),
        ({"factor": 1.0}, r"factor must be in \(0, 1\); got 1.0"),
        ({"patience": 0}, "patience must be a positive integer; got 0"),
        ({"patience": 1.5}, "patience must be a positive integer; got 1.5"),
        ({"accumulation_size": 0}, "accumulation_size must be a positive integer; got 0"),
        ({"cooldown": -1}, "cooldown must be an integer, at least 0; got -1"),
        ({"rtol": 1.5}, r"rtol must be in \[0, 1\]; got 1.5"),
        ({"rtol": -0.5}, r"rtol must be in \[0, 1\]; got -0.5"),
        ({"atol": -0.5}, "atol must be finite, at least 0; got -0.5"),
        ({"rtol": 0.0}, "atol must be positive if rtol is 0; got 0.0"),
        ({"min_scale": 2.0}, r"min_scale must be in \[0, 1\]; got 2.0"),
    ],
)
def test_hyperparameters_are_checked(options, message):
    with pytest.raises(ValueError, match=rf"^reduce_on_plateau: {message}"):
        optim.reduce_on_plateau(**options)
