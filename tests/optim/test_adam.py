import numpy as np
import pytest

import volta
import volta.functional as F
from volta import LoadError, optim
from volta.optim.adam import BLOCK, _leaf, _numpy_leaf, _own_way, _torch_leaf

pytestmark = pytest.mark.optimizer


def test_the_formula_by_hand():
    adam = optim.scale_by_adam(b1=0.5, b2=0.75, eps=0.25)
    state = adam.init(np.zeros(1))
    first, state = adam.update(np.asarray([2.0]), state)
    np.testing.assert_allclose(first, 2 / (2 + 0.25))  # both means are the gradient's own
    second, state = adam.update(np.asarray([4.0]), state)
    mu, nu = 0.5 * 1 + 0.5 * 4, 0.75 * 1 + 0.25 * 16
    np.testing.assert_allclose(second, mu / 0.75 / (np.sqrt(nu / 0.4375) + 0.25))
    assert (state.count, state.mu, state.nu) == (2, mu, nu)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("eps_root", [0.0, 0.02])
@pytest.mark.parametrize("size", [0, 1, 7, BLOCK, 2 * BLOCK + 3])
def test_blocks_on_numpy_agree_with_the_portable_way(dtype, eps_root, size):
    g, mu, nu = np.random.default_rng(0).normal(size=(3, size)).astype(dtype)
    nu = nu**2
    for count in (1, 10, 10_000):
        arguments = (g, mu, nu, count, 0.9, 0.999, 1e-8, eps_root)
        for fast, portable in zip(_numpy_leaf(*arguments), _leaf(*arguments), strict=True):
            assert fast.dtype == portable.dtype == dtype
            tolerance = 4 * np.finfo(dtype).eps
            np.testing.assert_allclose(fast, portable, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("eps_root", [0.0, 0.02])
@pytest.mark.parametrize("shape", [(), (0,), (7, 5)])
def test_torch_s_own_functions_agree_with_the_portable_way(dtype, eps_root, shape):
    torch = pytest.importorskip("torch")
    draw = np.random.default_rng(0)
    g, mu, nu = (torch.asarray(draw.normal(size=shape).astype(dtype)) for _ in range(3))
    nu = nu**2
    for count in (1, 10, 10_000):
        arguments = (g, mu, nu, count, 0.9, 0.999, 1e-8, eps_root)
        kept = [x.clone() for x in (g, mu, nu)]
        for fast, portable in zip(_torch_leaf(*arguments), _leaf(*arguments), strict=True):
            assert fast.dtype == portable.dtype == g.dtype
            tolerance = 4 * np.finfo(dtype).eps
            np.testing.assert_allclose(fast, portable, rtol=tolerance, atol=tolerance)
        assert all(torch.equal(x, y) for x, y in zip((g, mu, nu), kept, strict=True))


def test_which_way_a_parameter_goes():
    x = np.ones((3, 2), np.float32)
    assert _own_way(x, x, x) is _numpy_leaf
    half = x.astype(np.float16)
    for other in (half, x.astype(np.float64), x.T, x[::2], np.float32(1)):
        assert _own_way(other, x, x) is _own_way(x, other, x) is _leaf
    assert _own_way(half, half, half) is _own_way(x + 0j, x + 0j, x) is _leaf
    torch = pytest.importorskip("torch")
    t = torch.ones(3)
    assert _own_way(t, t, t) is _own_way(t[::2], t, t) is _torch_leaf
    assert _own_way(x, t, t) is _own_way(t.half(), t, t) is _own_way(t + 0j, t, t) is _leaf


@pytest.mark.parametrize("count", [np.asarray(3), np.int32(3)])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.0), (np.asarray(0.9), np.asarray(0.999))])
def test_counts_and_betas_may_be_arrays(count, betas):
    g, mu, nu = np.random.default_rng(0).normal(size=(3, 5)) ** 2
    plain = [float(b) for b in betas]
    expected, _ = optim.scale_by_adam(*plain).update(g, optim.AdamState(2, mu, nu))
    found, state = optim.scale_by_adam(*betas).update(g, optim.AdamState(count - 1, mu, nu))
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert state.count == 3


def test_a_large_step_count_does_not_lose_the_correction():
    g = np.ones(3, np.float32)
    for count in (1, np.asarray(1)):
        update, _ = optim.scale_by_adam(b2=0.999).update(
            g, optim.AdamState(count - 1, 0 * g, 0 * g)
        )
        np.testing.assert_allclose(update, 1.0, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_small_gradients_of_16_bit_parameters_do_not_explode(dtype):
    params = F.astype(np.ones(3), dtype)
    adam = optim.scale_by_adam()
    state = adam.init(params)
    assert state.mu.dtype == state.nu.dtype == np.float32
    for g in (1e-5, 0.0, 1e-5):  # their squares underflow in float16
        update, state = adam.update(F.astype(np.full(3, g), dtype), state)
        assert update.dtype == params.dtype
        assert np.all(np.abs(update.astype(np.float32)) < 1.1)


def test_moments_of_complex_parameters():
    adam = optim.scale_by_adam()
    g = np.asarray([3 + 4j], np.complex64)
    update, state = adam.update(g, adam.init(g))
    assert (state.mu.dtype, state.nu.dtype) == (np.complex64, np.float32)
    np.testing.assert_allclose(update, g / 5, rtol=1e-6)
    np.testing.assert_allclose(state.nu, 0.001 * 25, rtol=1e-6)


def test_eps_root_makes_the_derivative_at_zero_finite():
    adam = optim.scale_by_adam(eps_root=1e-8)

    def update(g):
        return F.sum(adam.update(g, adam.init(np.zeros(2)))[0])

    assert np.all(np.isfinite(volta.grad(update)(np.zeros(2))))


def test_names_of_the_state():
    optimizer = optim.Adam({"w": np.zeros(2), "layers": [np.zeros(1)]}, weight_decay=0.1)
    assert list(optimizer.state_dict()) == [
        "steps",
        "count",
        "mu.layers.0",
        "mu.w",
        "nu.layers.0",
        "nu.w",
        "param_groups.0.params",
        "param_groups.0.amsgrad",
        "param_groups.0.betas.0",
        "param_groups.0.betas.1",
        "param_groups.0.eps",
        "param_groups.0.lr",
        "param_groups.0.maximize",
        "param_groups.0.weight_decay",
    ]


def test_a_state_that_does_not_fit_is_refused_whole():
    optimizer = optim.Adam({"w": np.zeros(2)})
    optimizer.step({"w": np.ones(2)})
    other = optim.Adam({"w": np.zeros(3), "b": np.zeros(1)})
    before = optimizer.state
    with pytest.raises(
        LoadError,
        match=r"Adam.load_state_dict: the state must be that of the same optimizer and parameters; "
        r"got group 0 of w, 1 instead of w, unknown mu.b, unknown nu.b, mu.w of shape \(3,\) "
        r"instead of \(2,\), nu.w of shape \(3,\) instead of \(2,\)\. Nothing was changed\.",
    ):
        optimizer.load_state_dict(other.state_dict())
    with pytest.raises(
        LoadError, match=r"no param_groups.0.lr, .* no steps, no count, no mu.w, no nu.w\."
    ):
        optimizer.load_state_dict({})
    assert optimizer.state is before
    assert optimizer.steps == 1


def test_frozen_parameters_stay():
    from volta import nn
    from volta.functional import random

    model = nn.Linear(2, 2, key=random.key(0)).freeze("weight")
    weight, bias = model.weight, model.bias
    optimizer = optim.Adam(model, lr=0.1)
    optimizer.step(volta.grad(lambda m: F.sum(m(np.ones(2))))(model))
    assert model.weight is weight
    np.testing.assert_allclose(model.bias, bias - 0.1, rtol=1e-5)
