import numpy as np
import pytest

import volta
import volta.functional as F
from volta import ShapeError, nn, optim, tree
from volta.functional import random

pytestmark = pytest.mark.optimizer


def params():
    draw = np.random.default_rng(0)
    return {"w": draw.normal(size=(3, 2)), "b": draw.normal(size=2)}


def gradient(p, step=0):
    return tree.map(lambda x: x * 0.7 + 0.3 + 0.1 * step, p)


def run(optimizer, steps=12, change=gradient, start=None, apply=optim.apply_updates):
    p = params() if start is None else start
    state = optimizer.init(p)
    for step in range(steps):
        updates, state = optimizer.update(change(p, step), state, p)
        p = apply(p, updates)
    return p, state


def close(a, b, rtol=1e-12):
    for x, y in zip(tree.leaves(a), tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol)


def like_optax(make, steps=12, rtol=1e-7, change=gradient):
    """The same on optax: `make` builds the optimizer from a module."""
    optax = pytest.importorskip("optax")
    jax = pytest.importorskip("jax")
    found, _ = run(make(optim), steps, change)
    with jax.enable_x64(True):
        p = tree.map(jax.numpy.asarray, params())
        oracle = make(optax)
        state = oracle.init(p)
        update = jax.jit(oracle.update)
        for step in range(steps):
            updates, state = update(change(p, step), state, p)
            p = optax.apply_updates(p, updates)
        close(found, tree.map(np.asarray, p), rtol)


WRAPPED = [
    lambda m: m.chain(m.clip(0.4), m.sgd(0.1)),
    lambda m: m.chain(m.clip_by_global_norm(0.5), m.sgd(0.1)),
    lambda m: m.chain(m.clip_by_global_norm(50.0), m.sgd(0.1)),
    lambda m: m.chain(m.clip_by_block_rms(0.4), m.sgd(0.1)),
    lambda m: m.chain(m.adaptive_grad_clip(0.2, 0.3), m.sgd(0.1)),
    lambda m: m.chain(m.adaptive_grad_clip(0.2, 3.0), m.sgd(0.1)),
    lambda m: m.chain(m.scale_by_param_block_norm(0.3), m.sgd(0.1)),
    lambda m: m.chain(m.scale_by_param_block_rms(0.3), m.sgd(0.1)),
    lambda m: m.chain(m.centralize(), m.sgd(0.1)),
    lambda m: m.chain(m.ema(0.7), m.sgd(0.1)),
    lambda m: m.chain(m.ema(0.7, debias=False), m.sgd(0.1)),
    lambda m: m.chain(m.scale_by_stddev(0.7, 0.1), m.scale(-0.1)),
    lambda m: m.chain(m.sgd(0.3), m.keep_params_nonnegative()),
    lambda m: m.masked(m.sgd(0.1), {"w": True, "b": False}),
    lambda m: m.chain(m.sgd(0.1), m.freeze({"w": True, "b": False})),
    lambda m: m.partition({"fast": m.sgd(0.2), "slow": m.adam(0.01)}, {"w": "fast", "b": "slow"}),
    lambda m: m.named_chain(("clip", m.clip(0.4)), ("step", m.sgd(0.1))),
    lambda m: m.MultiSteps(m.adam(0.1), 3),
    lambda m: m.MultiSteps(m.sgd(0.1), 3, use_grad_mean=False),
    lambda m: m.MultiSteps(m.sgd(0.1), lambda step: 2 + step),
    lambda m: m.apply_if_finite(m.adam(0.1), 5),
    lambda m: m.inject_hyperparams(m.adam)(0.1, b1=0.7),
    lambda m: m.inject_hyperparams(m.sgd)(m.exponential_decay(0.5, 3, 0.5), momentum=0.5),
    lambda m: m.chain(m.scale_by_trust_ratio(0.9, 0.5, 0.2), m.sgd(0.1)),
    lambda m: m.chain(m.sgd(0.1), m.set_to_zero()),
    lambda m: m.chain(m.identity(), m.scale_by_schedule(m.linear_schedule(-0.1, -0.5, 9))),
]


@pytest.mark.parametrize("make", WRAPPED, ids=[f"{i}" for i in range(len(WRAPPED))])
def test_goes_optax_s_way(make):
    like_optax(make)


def broken(p, step):
    grads = gradient(p, step)
    return tree.map(lambda g: g * np.inf if step in (2, 3, 7) else g, grads)


def test_steps_that_are_not_finite_are_skipped():
    found, state = run(optim.apply_if_finite(optim.adam(0.1), 3), 9, broken)
    p, steps = params(), [s for s in range(9) if s not in (2, 3, 7)]
    inner = optim.adam(0.1)
    expected = inner.init(p)
    for step in steps:
        updates, expected = inner.update(gradient(p, step), expected, p)
        p = optim.apply_updates(p, updates)
    close(found, p)
    close(state.inner_state, expected)
    assert (state.notfinite_count, state.total_notfinite, state.last_finite) == (0, 3, True)


def test_too_many_in_a_row_are_taken():
    guarded = optim.apply_if_finite(optim.sgd(0.1), 1)
    p, state = np.ones(2), guarded.init(np.ones(2))
    for expected in (0.0, np.nan):
        updates, state = guarded.update(np.full(2, np.nan), state, p)
        np.testing.assert_array_equal(updates, expected)
    with pytest.raises(ValueError, match="apply_if_finite: max_consecutive_errors must be finite"):
        optim.apply_if_finite(optim.sgd(0.1), -1)


@pytest.mark.parametrize(
    "optimizer",
    [
        optim.apply_if_finite(optim.adam(0.1), 3),
        optim.MultiSteps(optim.adam(0.1), 2).gradient_transformation(),
        optim.scaled_loss(optim.adam(0.1)),
        optim.inject_hyperparams(optim.adam)(0.1),
        optim.params_ema(0.9),
        optim.chain(optim.clip_by_global_norm(0.5), optim.adam(0.1)),
    ],
    ids=["finite", "multi", "scaled", "inject", "ema", "clip"],
)
def test_wrappers_run_under_vmap_and_trace(optimizer):
    lanes = np.random.default_rng(0).normal(size=(3, 4))
    state = volta.vmap(optimizer.init)(lanes)
    p = lanes
    for _ in range(3):
        updates, state = volta.vmap(optimizer.update)(0.5 * p + 1, state, p)
        p = p + updates
    one, _ = run(optimizer, 3, lambda p, step: 0.5 * p + 1, lanes[1])
    np.testing.assert_allclose(p[1], one, rtol=1e-6)
    start = optimizer.init(lanes[1])
    program = volta.trace(optimizer.update)(lanes[0], start, lanes[1])
    program.check()
    g = lanes[2]
    expected, _ = optimizer.update(g, start, lanes[1])
    np.testing.assert_allclose(
        program(*tree.leaves((g, start, lanes[1])))[0], expected, rtol=1e-6, atol=1e-12
    )


def test_accumulated_steps_are_those_of_the_whole_batch():
    x = np.random.default_rng(0).normal(size=(8, 3))
    slope = volta.grad(lambda w, x: F.mean((x @ w - 1) ** 2))
    whole, parts = optim.adam(0.1), optim.MultiSteps(optim.adam(0.1), 4)
    v = w = np.ones(3)
    state, collected = whole.init(v), parts.init(w)
    for _ in range(3):
        updates, state = whole.update(slope(v, x), state, v)
        v = v + updates
        for part in x.reshape(4, 2, 3):
            updates, collected = parts.update(slope(w, part), collected, w)
            w = w + updates
    np.testing.assert_allclose(v, w, rtol=1e-12)
    assert parts.has_updated(collected)
    assert not parts.has_updated(parts.init(w))
    with pytest.raises(
        ValueError, match="MultiSteps: every_k_schedule must be an integer, at least 1; got 0"
    ):
        optim.MultiSteps(optim.sgd(0.1), 0)


def test_16_bit_gradients_are_added_in_32():
    parts = optim.MultiSteps(optim.sgd(1.0), 2048, use_grad_mean=False)
    w = np.zeros(1, np.float16)
    state = parts.init(w)
    assert state.acc_grads.dtype == np.float32
    for _ in range(2048):
        updates, state = parts.update(np.asarray([1 + 2**-10], np.float16), state, w)
    assert updates == -2050.0


def test_hyperparameters_in_the_state_can_be_set():
    optimizer = optim.inject_hyperparams(optim.adamw)(
        optim.linear_schedule(1.0, 0.0, 2), weight_decay=0.5, mask=lambda p: True
    )
    w, state = np.ones(1), optimizer.init(np.ones(1))
    assert list(state.hyperparams) == [
        "b1",
        "b2",
        "eps",
        "eps_root",
        "weight_decay",
        "learning_rate",
    ]
    assert all(isinstance(v, np.ndarray) for v in state.hyperparams.values())
    updates, state = optimizer.update(np.zeros(1), state, w)
    assert updates == -0.5
    assert state.hyperparams["learning_rate"] == 1.0
    state.hyperparams["weight_decay"] = np.asarray(0.25)
    updates, state = optimizer.update(np.zeros(1), state, w)
    assert updates == -0.125
    assert state.hyperparams["learning_rate"] == 0.5
    with pytest.raises(ValueError, match="static_args must be arguments of sgd; got rate"):
        optim.inject_hyperparams(optim.sgd, "rate")
    with pytest.raises(ValueError, match="sgd: learning_rate must be finite"):
        optim.inject_hyperparams(optim.sgd)(-1.0)


def test_injected_schedules_run_under_scan():
    schedule = optim.exponential_decay(0.5, 3, 0.5)
    optimizer = optim.inject_hyperparams(optim.sgd)(schedule, momentum=0.5)
    w = np.asarray([1.0, -2.0], np.float32)

    def step(carry, _):
        w, state = carry
        updates, state = optimizer.update(w, state, w)
        return (optim.apply_updates(w, updates), state), None

    carry = w, optimizer.init(w)
    (found, state), _ = volta.scan(step, carry, None, length=5)
    for _ in range(5):
        carry, _ = step(carry, None)
    np.testing.assert_allclose(found, carry[0], rtol=1e-5)
    assert state.hyperparams["learning_rate"].dtype == np.float64
    np.testing.assert_allclose(state.hyperparams["learning_rate"], schedule(4), rtol=1e-6)


def test_injected_schedules_may_begin_with_an_integer():
    optimizer = optim.inject_hyperparams(optim.sgd)(lambda step: 0.5 if step else 0)
    w = np.ones(1)
    _, state = optimizer.update(w, optimizer.init(w))
    assert optimizer.update(w, state)[0].tolist() == [-0.5]


def test_injected_hyperparameters_differentiate():
    """The derivative of a loss after two steps in the decay of the moments."""
    make = optim.inject_hyperparams(optim.adam)

    def end(b1):
        optimizer = make(0.1, b1=0.5)
        w = np.asarray([1.0, -2.0])
        state = optimizer.init(w)
        state.hyperparams["b1"] = b1
        for step in range(2):
            updates, state = optimizer.update(w * (1 + step), state, w)
            w = w + updates
        return F.sum(w**2)

    slope = volta.grad(end)(np.asarray(0.5))
    difference = (end(np.asarray(0.5 + 1e-6)) - end(np.asarray(0.5 - 1e-6))) / 2e-6
    np.testing.assert_allclose(slope, difference, rtol=1e-6)


def test_scaled_losses():
    optimizer = optim.scaled_loss(optim.sgd(0.5), nn.DynamicLossScale(8.0, growth_interval=2))
    w = np.asarray([1.0], np.float16)
    state = optimizer.init(w)
    seen = []
    for g in (4.0, 4.0, np.inf, 2.0):
        scale = float(state.loss_scale.value)
        updates, state = optimizer.update(np.asarray([g * scale], np.float16), state, w)
        seen.append((scale, float(updates[0])))
        assert updates.dtype == np.float16
    assert seen == [(8, -2), (8, -2), (16, 0), (8, -1)]
    with pytest.raises(TypeError, match="scaled_loss: loss_scale must be a DynamicLossScale"):
        optim.scaled_loss(optim.sgd(0.5), 8.0)


def test_lookahead_goes_optax_s_way():
    optax = pytest.importorskip("optax")
    jax = pytest.importorskip("jax")
    for reset in (False, True):
        ours = optim.lookahead(optim.adam(0.1), 3, 0.4, reset)
        start = optim.LookaheadParams(params(), params())
        found, _ = run(ours, 10, lambda p, step: gradient(p.fast, step), start)
        with jax.enable_x64(True):
            p = optax.LookaheadParams.init_synced(tree.map(jax.numpy.asarray, params()))
            oracle = optax.lookahead(optax.adam(0.1), 3, 0.4, reset)
            state = oracle.init(p)
            for step in range(10):
                updates, state = oracle.update(gradient(p.fast, step), state, p)
                p = optax.apply_updates(p, updates)
            close(found, tree.map(np.asarray, (p.fast, p.slow)), 1e-7)
    with pytest.raises(TypeError, match=r"lookahead\.init: the parameters must be LookaheadParams"):
        ours.init(params())
    with pytest.raises(ValueError, match="lookahead: sync_period must be an integer, at least 1"):
        optim.lookahead(optim.sgd(0.1), 0, 0.5)


@pytest.mark.parametrize("debias", [False, True])
def test_the_mean_of_parameters(debias):
    optimizer = optim.chain(optim.sgd(0.1), optim.params_ema(0.7, debias))
    p, state = params(), optimizer.init(params())
    mean, weight = (tree.map(np.zeros_like, p), 0.0) if debias else (p, 1.0)
    for step in range(4):
        updates, state = optimizer.update(gradient(p, step), state, p)
        p = optim.apply_updates(p, updates)
        mean = tree.map(lambda m, x: 0.7 * m + 0.3 * x, mean, p)
        weight = 0.7 * weight + 0.3
        close(state[1].ema, tree.map(lambda m, w=weight: m / w, mean))
    with pytest.raises(ValueError, match=r"params_ema\.update: needs the parameters; got none"):
        optim.params_ema(0.5).update(p, optim.params_ema(0.5).init(p))


def test_incremental_update():
    old, new = {"w": np.zeros(2, np.float32)}, {"w": np.full(2, 4.0)}
    found = optim.incremental_update(new, old, 0.25)["w"]
    assert found.tolist() == [1, 1]
    assert found.dtype == np.float32
    with pytest.raises(ShapeError, match="incremental_update: new_tensors must have the structure"):
        optim.incremental_update([], old, 0.5)


def test_noise_falls_and_is_another_in_every_step():
    noise = optim.add_noise(4.0, 2.0, random.key(0))
    zeros = {"a": np.zeros(20_000), "b": np.zeros(20_000)}
    state = noise.init(zeros)
    drawn = []
    for variance in (4.0, 1.0, 4 / 9):
        updates, state = noise.update(zeros, state)
        for x in updates.values():
            np.testing.assert_allclose(np.var(x), variance, rtol=0.05)
            drawn.append(x)
    assert np.max(np.abs(np.corrcoef(drawn) - np.eye(6))) < 0.05
    once = optim.noisy_sgd(0.5, 1.0, 0.0, key=random.key(1))
    again = optim.noisy_sgd(0.5, 1.0, 0.0, key=random.key(1))
    close(run(once, 2)[0], run(again, 2)[0])


def test_nans_become_zeros():
    updates, _ = optim.zero_nans().update(np.asarray([np.nan, np.inf, 1.0]), optim.EmptyState())
    assert updates.tolist() == [0, np.inf, 1]


def test_the_norm_of_nothing_is_zero():
    for nothing in ({}, [], [None], [np.zeros((0, 3))]):
        assert optim.global_norm(nothing).tolist() == 0.0


def test_norms_by_array_and_zero():
    clip = optim.clip_by_norm(1.0)
    found, _ = clip.update([np.asarray([3.0, 4.0]), np.asarray([0.3])], optim.EmptyState())
    close(found, [np.asarray([0.6, 0.8]), np.asarray([0.3])])
    for make in (optim.clip_by_norm, optim.clip_by_global_norm, optim.clip_by_block_rms):
        updates, _ = make(1.0).update(np.zeros(2), optim.EmptyState())
        assert updates.tolist() == [0, 0]
        slope = volta.grad(lambda g, c=make(1.0): F.sum(c.update(g, ())[0]))(np.zeros(2))
        np.testing.assert_allclose(slope, 1)
    updates, _ = optim.clip_by_global_norm(0.0).update(np.ones(2), ())
    assert updates.tolist() == [0, 0]
    updates, _ = optim.clip_by_global_norm(1.0).update(np.asarray([np.nan, 1.0]), ())
    assert np.isnan(updates).all()
    assert optim.global_norm([]) == 0
    np.testing.assert_allclose(optim.global_norm(np.asarray([3 + 4j, 12])), 13)
    assert optim.global_norm(np.full(100, 300.0, np.float16)).dtype == np.float32


def test_clipping_by_units_of_convolutions():
    draw = np.random.default_rng(0)
    shapes = {"c": (3, 3, 2, 4), "m": (3, 2), "v": (5,), "s": ()}
    p = {k: draw.normal(size=s) for k, s in shapes.items()}
    optax = pytest.importorskip("optax")
    jax = pytest.importorskip("jax")
    found, _ = optim.adaptive_grad_clip(0.1).update(p, (), p)
    with jax.enable_x64(True):
        q = tree.map(jax.numpy.asarray, p)
        expected, _ = optax.adaptive_grad_clip(0.1).update(q, optax.EmptyState(), q)
        close(found, tree.map(np.asarray, expected), 1e-6)
    with pytest.raises(ShapeError, match=r"adaptive_grad_clip: arrays have at most 5 axes"):
        optim.adaptive_grad_clip(0.1).update(np.ones((1, 2) * 3), (), np.ones((1, 2) * 3))
    with pytest.raises(ValueError, match=r"clip: max_delta must be finite, at least 0; got -1"):
        optim.clip(-1.0)


def test_iterates_of_16_bit_parameters_are_of_32():
    """A step of 2⁻¹⁰ is lost in bfloat16 beside 1, and the iterates would never move."""
    optimizer = optim.schedule_free_sgd(2.0**-10)
    params = F.astype(np.ones(1), "bfloat16")
    state = optimizer.init(params)
    for _ in range(64):
        _, state = optimizer.update(params, state, params)
    assert state.z.dtype == np.float32
    np.testing.assert_allclose(state.z, 1 - 64 * 2.0**-10, rtol=1e-6)
    assert optim.schedule_free_sgd(0.1, state_dtype="bfloat16").init(params).z.dtype == params.dtype


# Masks and groups --------------------------------------------------------------------------------


def test_masks_may_be_prefixes_and_functions():
    p = {"a": {"w": np.ones(1), "b": np.ones(1)}, "c": np.ones(1)}
    for mask in (
        {"a": True, "c": False},
        lambda p: {"a": True, "c": False},
        {"a": {"w": True, "b": True}, "c": False},
    ):
        optimizer = optim.masked(optim.scale_by_momentum(0.5), mask)
        state = optimizer.init(p)
        assert state.inner_state.velocity["c"] is None
        updates, _ = optimizer.update(p, state)
        updates, _ = optimizer.update(p, optimizer.update(p, state)[1])
        close(updates, {"a": {"w": np.full(1, 1.5), "b": np.full(1, 1.5)}, "c": np.ones(1)})
    with pytest.raises(ShapeError, match="masked: the mask must have the structure of the"):
        optim.masked(optim.sgd(0.1), {"x": True}).init(p)
    with pytest.raises(TypeError, match="masked: a mask holds booleans; got str"):
        optim.masked(optim.sgd(0.1), "all").init(p)


def test_labels():
    p = {"0.weight": np.ones(1), "0.bias": np.ones(1), "1.weight": np.ones(1)}
    rules = {"slow": optim.sgd(0.1), "fast": optim.sgd(1.0), "none": optim.set_to_zero()}
    optimizer = optim.multi_transform(rules, {"*.bias": "fast", "1.*": "none", "*": "slow"})
    updates, state = optimizer.update(p, optimizer.init(p), p)
    assert [float(x[0]) for x in tree.leaves(updates)] == [-1.0, -0.1, 0.0]
    assert set(state.inner_states) == set(rules)
    with pytest.raises(ValueError, match="partition: every label must have an optimizer; got 'x'"):
        optim.partition(rules, lambda p: tree.map(lambda _: "x", p)).init(p)
    with pytest.raises(ValueError, match="partition: every parameter must have a label; got none"):
        optim.partition(rules, {"*.bias": "fast"}).init(p)
    with pytest.raises(ShapeError, match="partition: the labels must have the structure of the"):
        optim.partition(rules, ["fast"]).init(p)


def test_groups_are_torch_s():
    torch = pytest.importorskip("torch")
    start = {"w": np.asarray([1.0, 2.0]), "b": np.asarray([3.0]), "c": np.asarray([-1.0])}
    leaves = {k: torch.tensor(v, requires_grad=True) for k, v in start.items()}
    oracle = torch.optim.Adam(
        [
            {"params": [leaves["w"]], "lr": 0.2, "weight_decay": 0.3},
            {"params": [leaves["b"]], "betas": (0.5, 0.9), "amsgrad": True},
            {"params": [leaves["c"]]},
        ],
        lr=0.1,
    )
    optimizer = optim.Adam(
        start,
        lr=0.1,
        groups=[
            {"params": "w", "lr": 0.2, "weight_decay": 0.3},
            {"params": ["b*"], "betas": (0.5, 0.9), "amsgrad": True},
        ],
    )
    assert [g["params"] for g in optimizer.param_groups] == [["w"], ["b"], ["c"]]
    for step in range(6):
        if step == 3:
            for groups in (oracle.param_groups, optimizer.param_groups):
                groups[0]["lr"], groups[2]["weight_decay"] = 0.05, 0.0
        for p in leaves.values():
            p.grad = p.detach() * 0.5 + 0.3
        oracle.step()
        optimizer.step(tree.map(lambda p: p * 0.5 + 0.3, optimizer.params))
    close(optimizer.params, {k: v.detach().numpy() for k, v in leaves.items()}, 1e-10)
    names = list(optimizer.state_dict())
    assert names[:4] == ["steps", "0.count", "0.mu.w", "0.nu.w"]
    assert "1.nu_max.b" in names
    other = optim.Adam(
        optimizer.params,
        groups=[
            {"params": "w", "weight_decay": 0.3},
            {"params": "b", "amsgrad": True},
        ],
    )
    other.load_state_dict(optimizer.state_dict())
    close(other.state, optimizer.state)


def test_groups_of_a_model():
    model = nn.Linear(2, 3, key=random.key(0))
    before = model.parameters()
    optimizer = optim.SGD(model, lr=1.0, groups=[{"params": "bias", "lr": 0.0}])
    optimizer.step(tree.map(np.ones_like, before))
    close(model.bias, before["bias"])
    close(model.weight, before["weight"] - 1, 1e-6)
    optimizer.lr = 0.5
    assert [g["lr"] for g in optimizer.param_groups] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        ([{"params": "x"}], ValueError, "SGD: a group must take a parameter; got x for w"),
        ([{"lr": 0.1}], TypeError, "SGD: a group's params must be a name or several; got None"),
        (
            [{"params": "w", "beta": 0.1}],
            TypeError,
            "SGD: a group has hyperparameters of the optimizer; got beta. There are lr, momentum",
        ),
        ([{"params": "w", "lr": -1.0}], ValueError, "SGD: lr must be finite, at least 0; got -1"),
        (
            [{"params": "w", "momentum": 1.0}],
            ValueError,
            "SGD: momentum must be finite, at least 0 and less than 1; got 1.0",
        ),
    ],
)
def test_groups_are_checked(groups, error, message):
    with pytest.raises(error, match=message):
        optim.SGD({"w": np.ones(1)}, groups=groups)


def test_states_are_trees_of_arrays():
    for make in (optim.adam, optim.sgd, optim.radam, optim.muon, optim.adafactor, optim.lars):
        state = make(lambda step: 0.1).init(params())
        assert all(isinstance(x, np.ndarray) for x in tree.leaves(state))


def test_counts_do_not_overflow():
    count = np.asarray(2**31 - 1, np.int32)
    state = optim.MomentumState(count, np.zeros(1))
    _, after = optim.scale_by_momentum(0.5).update(np.ones(1), state)
    assert after.count == 2**31 - 1
    traced = volta.vmap(
        lambda c: (
            optim.scale_by_momentum(0.5)
            .update(np.ones(1), optim.MomentumState(c, np.zeros(1)))[1]
            .count
        )
    )(count[None])
    assert traced.tolist() == [2**31 - 1]


def test_keywords_reach_who_knows_them():
    seen = {}

    def update(grads, state, params=None, *, value=None):
        seen["value"] = value
        return grads, state

    own = optim.Optimizer(lambda params: (), update)
    chained = optim.chain(optim.clip(1.0), optim.masked(own, True), optim.sgd(0.1))
    chained.update(np.ones(1), chained.init(np.ones(1)), np.ones(1), value=3, other=4)
    assert seen == {"value": 3}
    with pytest.raises(ValueError, match="named_chain: names must differ; got a, a"):
        optim.named_chain(("a", own), ("a", own))
