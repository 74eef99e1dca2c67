"""Optimizers and schedulers that go on from their state dicts, as PyTorch's do."""

import re
import warnings

import numpy as np
import pytest
from optim.rows import STATEFUL
from optim.test_optimizers import gradients, start

from volta import LoadError, ShapeError, io, nn, optim, tree
from volta.functional import random

pytestmark = pytest.mark.optimizer

SCHEDULERS = {
    "StepLR": lambda lr, o: lr.StepLR(o, 2, gamma=0.7),
    "CosineAnnealingLR": lambda lr, o: lr.CosineAnnealingLR(o, T_max=9),
    "SequentialLR": lambda lr, o: lr.SequentialLR(
        o, [lr.ConstantLR(o, factor=0.5), lr.ExponentialLR(o, gamma=0.9)], milestones=[3]
    ),
    "ChainedScheduler": lambda lr, o: lr.ChainedScheduler(
        [lr.LinearLR(o), lr.ExponentialLR(o, gamma=0.9)]
    ),
    "OneCycleLR": lambda lr, o: lr.OneCycleLR(o, 0.2, 12, cycle_momentum=cycles(o)),
    "ReduceLROnPlateau": lambda lr, o: lr.ReduceLROnPlateau(o, factor=0.5, patience=1),
}


def cycles(optimizer):
    return bool({"momentum", "betas"} & set(optimizer.param_groups[0]))


def train(optimizer, scheduler, losses):
    for loss in losses:
        optimizer.step(gradients(optimizer.params))
        scheduler.step(*([loss] if isinstance(scheduler, optim.ReduceLROnPlateau) else []))


def exactly(a, b):
    for x, y in zip(tree.leaves(a), tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y, strict=True)


def pairs():
    """Optimizers with schedulers: two with all of them, the others with one in turn and 1cycle's.

    What a scheduler changes is the rate, but for momentum, which the policy of 1cycle does too.
    """
    for i, row in enumerate(r for r in STATEFUL if not r.matrices):
        for j, name in enumerate(SCHEDULERS):
            often = row.name in ("SGD", "Adam") or i % len(SCHEDULERS) == j or name == "OneCycleLR"
            marks = () if often else pytest.mark.slow
            yield pytest.param(row, name, marks=marks, id=f"{row.name}-{name}")


@pytest.mark.parametrize(("row", "name"), [*pairs()])
def test_a_run_goes_on_to_the_same_bits_whatever_its_rate_was(row, name, tmp_path):
    def begun(params, **change):
        optimizer = row.make(params, **row.arguments | change)
        return optimizer, SCHEDULERS[name](optim, optimizer)

    losses = [3.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0]
    with np.errstate(over="ignore", invalid="ignore"):  # climbing has no end
        whole, scheduler = begun(start())
        train(whole, scheduler, losses[:4])
        files = tmp_path / "optimizer.safetensors", tmp_path / "scheduler.safetensors"
        io.save_file(whole.state_dict(), files[0])
        io.save_file(scheduler.state_dict(), files[1])
        again, its = begun(whole.params, lr=0.77)
        again.load_state_dict(io.load_file(files[0]))
        its.load_state_dict(io.load_file(files[1]))
        train(whole, scheduler, losses[4:])
        train(again, its, losses[4:])
    assert again.param_groups == whole.param_groups
    exactly(again.params, whole.params)
    exactly(again.state, whole.state)


@pytest.mark.parametrize("name", [n for n in SCHEDULERS if n != "ReduceLROnPlateau"])
def test_rates_after_a_resumption_are_torch_s(name):
    torch = pytest.importorskip("torch")

    def torch_s(lr):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr, momentum=0.9)
        return optimizer, SCHEDULERS[name](torch.optim.lr_scheduler, optimizer)

    def ours(lr):
        optimizer = optim.SGD({"w": np.zeros(1)}, lr=lr, momentum=0.9)
        return optimizer, SCHEDULERS[name](optim, optimizer)

    seen = []
    for begun in (torch_s, ours):
        (optimizer, scheduler), (again, its) = begun(0.4), begun(0.1)
        rates = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the optimizer itself makes no step
            for _ in range(4):
                scheduler.step()
            again.load_state_dict(optimizer.state_dict())
            its.load_state_dict(scheduler.state_dict())
            for _ in range(4):
                rates.append((again.param_groups[0]["lr"], again.param_groups[0]["momentum"]))
                its.step()
        seen.append(rates)
    np.testing.assert_allclose(seen[1], seen[0], rtol=1e-12)


def two_groups(**options):
    groups = [{"params": "a", "lr": 0.5}]
    return optim.SGD({"a": np.ones(1), "b": np.ones(1)}, groups=groups, **{"lr": 0.3} | options)


def test_hyperparameters_of_every_group_come_back():
    optimizer = two_groups(momentum=0.4, nesterov=True, weight_decay=0.1)
    optimizer.param_groups[0] |= {"lr": 0.25, "momentum": 0.2}
    other = two_groups()
    other.load_state_dict(optimizer.state_dict())
    assert other.param_groups == optimizer.param_groups
    assert [type(v) for g in other.param_groups for v in g.values()] == [
        type(v) for g in optimizer.param_groups for v in g.values()
    ]
    for each in (optimizer, other):
        for _ in range(2):
            each.step({"a": np.ones(1), "b": np.full(1, 2.0)})
    exactly(other.params, optimizer.params)
    other.lr = 0.0  # after it was loaded
    exactly(other.step({"a": np.ones(1), "b": np.ones(1)}), optimizer.params)


def test_a_rate_that_is_an_array_stays_one():
    torch = pytest.importorskip("torch")
    optimizer = optim.SGD({"w": torch.ones(1)}, lr=torch.tensor(0.25))
    other = optim.SGD({"w": torch.ones(1)}, lr=torch.tensor(1.0))
    other.load_state_dict(optimizer.state_dict())
    assert type(other.lr) is torch.Tensor
    assert other.lr == 0.25


def test_a_schedule_is_the_program_s():
    optimizer = optim.SGD({"w": np.ones(1)}, lr=lambda step: 0.5**step)
    assert "param_groups.0.lr" not in optimizer.state_dict()
    other = optim.SGD({"w": np.ones(1)}, lr=lambda step: 0.25**step)
    optimizer.step({"w": np.ones(1)})
    other.load_state_dict(optimizer.state_dict())
    assert (other.steps, other.lr(1)) == (1, 0.25)


def test_the_first_rate_comes_along():
    """A scheduler that is made after the optimizer was loaded, with a number of steps."""
    optimizer = optim.SGD({"w": np.ones(1)}, lr=0.4)
    scheduler = optim.ExponentialLR(optimizer, gamma=0.5)
    for _ in range(3):
        scheduler.step()
    other = optim.SGD({"w": np.ones(1)}, lr=0.4)
    other.load_state_dict(optimizer.state_dict())
    again = optim.ExponentialLR(other, gamma=0.5, last_epoch=2)
    assert again.get_last_lr() == scheduler.get_last_lr() == [0.05]
    other.load_state_dict(optim.SGD({"w": np.ones(1)}, lr=0.2).state_dict())
    assert "initial_lr" not in other.param_groups[0]


def test_a_rate_set_by_hand_comes_back_in_any_order():
    optimizer = optim.SGD({"w": np.ones(1)}, lr=0.4)
    scheduler = optim.StepLR(optimizer, 2)
    optimizer.lr = 0.3
    states = optimizer.state_dict(), scheduler.state_dict()
    for order in ((0, 1), (1, 0)):
        other = optim.SGD({"w": np.ones(1)}, lr=0.1)
        pair = other, optim.StepLR(other, 2)
        for i in order:
            pair[i].load_state_dict(states[i])
        assert other.lr == 0.3
        assert pair[1].base_lrs == [0.4]


def changed(state, **change):
    return {k: v for k, v in (state | change).items() if v is not None}


MISMATCHES = {
    "fewer groups": (
        lambda s: optim.SGD({"a": np.ones(1), "b": np.ones(1)}).state_dict(),
        "no param_groups.1.params, no param_groups.1.dampening",
    ),
    "more groups": (
        lambda s: optim.SGD(
            {"a": np.ones(1), "b": np.ones(1)}, groups=[{"params": "a"}, {"params": "b"}]
        ).state_dict(),
        "unknown param_groups.2.dampening",
    ),
    "others in a group": (
        lambda s: changed(s, **{"param_groups.0.params": np.asarray([1, 7])}),
        "group 0 of b, 7 instead of a",
    ),
    "no list of a group": (
        lambda s: changed(s, **{"param_groups.0.params": np.asarray(1)}),
        "group 0 of none instead of a",
    ),
    "no rate": (lambda s: changed(s, **{"param_groups.1.lr": None}), "no param_groups.1.lr"),
    "an unknown number": (
        lambda s: changed(s, **{"param_groups.1.betas.0": np.asarray(0.9)}),
        "unknown param_groups.1.betas.0",
    ),
    "many rates": (
        lambda s: changed(s, **{"param_groups.1.lr": np.ones(2)}),
        r"param_groups.1.lr of shape \(2,\) instead of \(\)",
    ),
    "many first rates": (
        lambda s: changed(s, **{"param_groups.1.initial_lr": np.ones(2)}),
        r"param_groups.1.initial_lr of shape \(2,\) instead of \(\)",
    ),
    "a rate out of range": (
        lambda s: changed(s, **{"param_groups.1.lr": np.asarray(np.nan)}),
        "SGD: lr must be finite, at least 0; got nan",
    ),
    "a momentum out of range": (
        lambda s: changed(s, **{"param_groups.1.momentum": np.asarray(2.0)}),
        "SGD: momentum must be finite, at least 0 and less than 1; got 2.0",
    ),
    "a momentum without a state": (
        lambda s: changed(s, **{"param_groups.1.momentum": np.asarray(0.5)}),
        "no 1.count, no 1.velocity.b",
    ),
}


@pytest.mark.parametrize("name", MISMATCHES)
def test_what_does_not_fit_is_told_and_nothing_changed(name):
    change, message = MISMATCHES[name]
    optimizer = two_groups()
    optimizer.step({"a": np.ones(1), "b": np.ones(1)})
    before, groups = optimizer.state_dict(), [dict(g) for g in optimizer.param_groups]
    state = change(two_groups(lr=0.9).state_dict() | {"steps": np.asarray(5)})
    with pytest.raises(LoadError, match=rf"^SGD\.load_state_dict: .*{message}.*Nothing was"):
        optimizer.load_state_dict(state)
    assert optimizer.param_groups == groups
    exactly(optimizer.state_dict(), before)
    optimizer.step({"a": np.ones(1), "b": np.ones(1)})


@pytest.mark.parametrize(
    ("change", "value"),
    [("weight_decay", 0.1), ("momentum", 0.5)],
)
def test_a_hyperparameter_that_was_zero_may_be_changed(change, value):
    """As if it had been so from the start, where the gradients before are forgotten."""
    optimizer = optim.SGD({"w": np.ones(1)}, lr=0.1)
    optimizer.step({"w": np.ones(1)})
    fresh = optim.SGD(optimizer.params, lr=0.1, **{change: value})
    optimizer.param_groups[0][change] = value
    for _ in range(2):
        exactly(optimizer.step({"w": np.ones(1)}), fresh.step({"w": np.ones(1)}))
    optimizer.param_groups[0][change] = 0.0
    before = optimizer.params["w"]
    exactly(optimizer.step({"w": np.ones(1)})["w"], before - 0.1)


def test_a_cycling_momentum_of_plain_descent_is_torch_s():
    torch = pytest.importorskip("torch")
    p = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    oracle, optimizer = torch.optim.SGD([p], lr=0.1), optim.SGD({"w": np.ones(1)}, lr=0.1)
    theirs = torch.optim.lr_scheduler.CyclicLR(oracle, 0.1, 0.2, step_size_up=3)
    ours = optim.CyclicLR(optimizer, 0.1, 0.2, step_size_up=3)
    for _ in range(5):
        p.grad = 2 * p.detach()
        oracle.step()
        theirs.step()
        optimizer.step({"w": 2 * optimizer.params["w"]})
        ours.step()
    np.testing.assert_allclose(optimizer.params["w"], p.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("make", ["StepLR", "ReduceLROnPlateau"])
def test_a_scheduler_s_state_of_other_groups_changes_nothing(make):
    one, two = optim.SGD({"a": np.ones(1)}), two_groups()
    schedulers = [getattr(optim, make)(o, *([2] if make == "StepLR" else [])) for o in (one, two)]
    before = schedulers[1].state_dict()
    message = rf"^{make}\.load_state_dict: the state must have .*lr of shape \(2,\); got .*\(1,\)"
    with pytest.raises(LoadError, match=message):
        schedulers[1].load_state_dict(schedulers[0].state_dict())
    exactly(schedulers[1].state_dict(), before)


def test_the_rate_of_lbfgs_comes_back():
    optimizer, other = (optim.LBFGS({"w": np.ones(2)}, lr=lr) for lr in (0.5, 1.0))
    other.load_state_dict(optimizer.state_dict())
    assert other.lr == 0.5
    with pytest.raises(LoadError, match=r"LBFGS\.load_state_dict: .*no lr"):
        other.load_state_dict({k: v for k, v in optimizer.state_dict().items() if k != "lr"})
    other.lr = lambda step: 0.1
    assert "lr" not in other.state_dict()


# Averages of models ------------------------------------------------------------------------------


def model_of(seed):
    return nn.Sequential(nn.Linear(2, 3, key=random.key(seed)), nn.BatchNorm1d(3))


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("kind", ["ema", "swa", "default"])
def test_averaged_models_are_torch_s(kind, use_buffers):
    torch = pytest.importorskip("torch")
    utils = torch.optim.swa_utils
    options = {
        "ema": (utils.get_ema_avg_fn(0.7), optim.get_ema_avg_fn(0.7)),
        "swa": (utils.get_swa_avg_fn(), optim.get_swa_avg_fn()),
        "default": (None, None),
    }[kind]
    model, theirs = model_of(0), torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    averaged = optim.AveragedModel(model_of(1), options[1], use_buffers)
    oracle = utils.AveragedModel(theirs, avg_fn=options[0], use_buffers=use_buffers)
    draw = np.random.default_rng(0)
    for step in range(4):
        model.update(
            {n: draw.normal(size=p.shape).astype("f4") for n, p in model.parameters().items()}
        )
        for name in ("1.running_mean", "1.running_var"):
            model.update({name: draw.uniform(size=3).astype("f4")})
        state = {k: torch.tensor(v) for k, v in nn.to_torch_state_dict(model).items()}
        theirs.load_state_dict(state)
        averaged.update_parameters(model)
        oracle.update_parameters(theirs)
        assert averaged.n_averaged == step + 1
    found = nn.to_torch_state_dict(averaged.module)
    for name, x in oracle.module.state_dict().items():
        if name != "1.num_batches_tracked":  # an integer, which has no mean
            np.testing.assert_allclose(found[name], x.numpy(), rtol=1e-5, atol=1e-6)


def test_an_average_is_a_copy_that_is_called_saved_and_loaded(tmp_path):
    model = nn.Linear(2, 2, key=random.key(0))
    averaged = optim.AveragedModel(model, optim.get_ema_avg_fn(0.5))
    averaged.update_parameters(model)
    first = model.weight
    model.update({"weight": first + 2})
    exactly(averaged.module.weight, first)
    averaged.update_parameters(model)
    np.testing.assert_allclose(averaged.module.weight, first + 1, rtol=1e-6)
    x = np.ones((1, 2), np.float32)
    exactly(averaged(x), averaged.module(x))
    with io.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, ema=averaged)
    fresh = optim.AveragedModel(nn.Linear(2, 2, key=random.key(1)), optim.get_ema_avg_fn(0.5))
    checkpoints.restore(ema=fresh)
    for each in (averaged, fresh):
        each.update_parameters(model)
    exactly(fresh.state_dict(), averaged.state_dict())
    assert fresh.n_averaged == 3


def test_what_an_average_refuses():
    with pytest.raises(TypeError, match=r"^AveragedModel: takes a Module; got dict"):
        optim.AveragedModel({})
    with pytest.raises(ValueError, match=r"^get_ema_avg_fn: decay must be finite"):
        optim.get_ema_avg_fn(1.0)
    averaged = optim.AveragedModel(nn.Linear(2, 2, key=random.key(0)))
    before = averaged.state_dict()
    with pytest.raises(ShapeError, match=r"^AveragedModel\.update_parameters: parameters must"):
        averaged.update_parameters(nn.Linear(3, 2, key=random.key(0)))
    message = re.escape("the state must have n_averaged of shape (); got nothing. Nothing was")
    with pytest.raises(LoadError, match=message):
        averaged.load_state_dict({})
    with pytest.raises(LoadError, match="bias"):
        averaged.load_state_dict({k: v for k, v in before.items() if k != "module.bias"})
    exactly(averaged.state_dict(), before)
