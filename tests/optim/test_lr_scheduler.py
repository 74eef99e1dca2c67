import warnings

import numpy as np
import pytest

from volta import LoadError, optim

pytestmark = pytest.mark.optimizer
STEPS = 30
ROWS = [
    ("StepLR", {"step_size": 4, "gamma": 0.3}, {"gamma": 0.4}, {"step_size": 5}),
    ("MultiStepLR", {"milestones": [3, 7, 7], "gamma": 0.3}, {"milestones": [3, 7]}),
    ("ConstantLR", {"factor": 0.3, "total_iters": 6}, {"factor": 0.2}, {"total_iters": 5}),
    ("LinearLR", {}, {"total_iters": 6}),
    (
        "LinearLR",
        {"start_factor": 0.2, "end_factor": 0.7, "total_iters": 9},
        {"start_factor": 0.3},
        {"end_factor": 1.0},
    ),
    ("ExponentialLR", {"gamma": 0.9}, {"gamma": 0.8}),
    ("PolynomialLR", {"total_iters": 9, "power": 2.0}, {"power": 1.0}),
    ("CosineAnnealingLR", {"T_max": 8, "eta_min": 0.01}, {"eta_min": 0.0}, {"T_max": 9}),
    (
        "CosineAnnealingWarmRestarts",
        {"T_0": 4, "T_mult": 2, "eta_min": 0.01},
        {"T_mult": 1},
        {"eta_min": 0.0},
    ),
    ("LambdaLR", {"lr_lambda": lambda t: 0.9**t + 0.1}),
    ("MultiplicativeLR", {"lr_lambda": lambda t: 0.9 if t % 2 else 0.8}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 0.7, "step_size_up": 5}, {"max_lr": 0.6}),
    (
        "CyclicLR",
        {
            "base_lr": [0.1, 0.2],
            "max_lr": [0.7, 0.9],
            "step_size_up": 5,
            "step_size_down": 3,
            "mode": "triangular2",
            "base_momentum": 0.5,
            "max_momentum": 0.8,
        },
        {"step_size_down": None},
        {"mode": "triangular"},
    ),
    (
        "CyclicLR",
        {"base_lr": 0.1, "max_lr": 0.7, "step_size_up": 5, "mode": "exp_range", "gamma": 0.9},
        {"gamma": 1.0},
    ),
    (
        "CyclicLR",
        {
            "base_lr": 0.1,
            "max_lr": 0.7,
            "step_size_up": 5,
            "scale_fn": lambda x: 1 / (1 + x),
            "scale_mode": "iterations",
            "cycle_momentum": False,
        },
        {"scale_mode": "cycle"},
        {"scale_fn": None},
    ),
    ("OneCycleLR", {"max_lr": 0.7, "total_steps": 31}, {"max_lr": 0.6}),
    (
        "OneCycleLR",
        {
            "max_lr": [0.7, 0.5],
            "epochs": 4,
            "steps_per_epoch": 8,
            "pct_start": 0.25,
            "anneal_strategy": "linear",
            "base_momentum": 0.5,
            "max_momentum": 0.8,
            "div_factor": 10.0,
            "final_div_factor": 5.0,
            "three_phase": True,
        },
        {"pct_start": 0.3},
        {"anneal_strategy": "cos"},
        {"div_factor": 25.0},
        {"final_div_factor": 50.0},
        {"three_phase": False},
    ),
]
IDS = [f"{row[0]}-{i}" for i, row in enumerate(ROWS)]
rows = pytest.mark.parametrize("row", ROWS, ids=IDS)


def ours(make="SGD"):
    """Optimizer of two groups with rates of their own."""
    options = {"momentum": 0.4} if make == "SGD" else {}
    params = {"a": np.ones(1), "b": np.ones(1)}
    groups = [{"params": "a", "lr": 0.5}]
    return getattr(optim, make)(params, lr=0.3, groups=groups, **options)


def theirs(torch, make="SGD"):
    a, b = (torch.ones(1, requires_grad=True) for _ in range(2))
    options = {"momentum": 0.4} if make == "SGD" else {}
    groups = [{"params": [a], "lr": 0.5}, {"params": [b]}]
    return getattr(torch.optim, make)(groups, lr=0.3, **options)


def history(scheduler, optimizer, steps=STEPS):
    """Rates and momenta of the groups, step by step."""
    seen = []
    for _ in range(steps):
        for group in optimizer.param_groups:
            momentum = group["betas"][0] if "betas" in group else group["momentum"]
            seen.append((group["lr"], momentum))
        scheduler.step()
    return np.asarray(seen)


@rows
@pytest.mark.parametrize("make", ["SGD", "Adam"])
def test_goes_torch_s_way(row, make):
    torch = pytest.importorskip("torch")
    name, arguments, *_ = row
    optimizer, oracle = ours(make), theirs(torch, make)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the optimizer itself makes no step
        theirs_ = getattr(torch.optim.lr_scheduler, name)(oracle, **arguments)
        expected = history(theirs_, oracle)
    found = history(getattr(optim, name)(optimizer, **arguments), optimizer)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@rows
def test_every_option_shows(row):
    name, arguments, *changes = row
    optimizer = ours()
    whole = history(getattr(optim, name)(optimizer, **arguments), optimizer)
    for change in changes:
        other = ours()
        found = history(getattr(optim, name)(other, **arguments | change), other)
        assert np.max(np.abs(whole - found)) > 1e-4


def composed(lr, optimizer):
    first = lr.ConstantLR(optimizer, factor=0.2, total_iters=3)
    then = lr.ExponentialLR(optimizer, gamma=0.9)
    last = lr.CosineAnnealingLR(optimizer, T_max=7)
    return [first, then, last]


def test_one_after_another_goes_torch_s_way():
    torch = pytest.importorskip("torch")
    lr, oracle, optimizer = torch.optim.lr_scheduler, theirs(torch), ours()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = history(lr.SequentialLR(oracle, composed(lr, oracle), [5, 12]), oracle)
    found = history(optim.SequentialLR(optimizer, composed(optim, optimizer), [5, 12]), optimizer)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_a_chain_goes_torch_s_way():
    torch = pytest.importorskip("torch")
    lr, oracle, optimizer = torch.optim.lr_scheduler, theirs(torch), ours()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = history(lr.ChainedScheduler(composed(lr, oracle)), oracle, 7)
    found = history(optim.ChainedScheduler(composed(optim, optimizer)), optimizer, 7)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 2, "factor": 0.5},
        {"patience": 1, "factor": 0.5, "mode": "max", "threshold": 0.3},
        {"patience": 1, "factor": 0.5, "threshold_mode": "abs", "threshold": 0.4, "cooldown": 3},
        {"patience": 0, "factor": 0.5, "min_lr": [0.2, 0.1], "mode": "max"},
        {"patience": 0, "factor": 0.5, "eps": 0.05},
        {"patience": 1, "mode": "max", "threshold_mode": "abs", "threshold": 0.4},
    ],
    ids=lambda options: "-".join(options),
)
def test_plateaus_are_torch_s(options):
    torch = pytest.importorskip("torch")
    oracle, optimizer = theirs(torch), ours()
    losses = np.abs(np.sin(np.arange(40) * 0.7)) * 2 + 1 / (1 + np.arange(40))
    expected, found = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = torch.optim.lr_scheduler.ReduceLROnPlateau(oracle, **options)
    scheduler = optim.ReduceLROnPlateau(optimizer, **options)
    for loss in losses:
        reference.step(loss)
        scheduler.step(np.asarray(loss))
        expected.append([group["lr"] for group in oracle.param_groups])
        found.append(scheduler.get_last_lr())
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found[-1] != found[0]
    other = optim.ReduceLROnPlateau(ours(), **options)
    other.load_state_dict(scheduler.state_dict())
    for loss in losses:
        scheduler.step(loss)
        other.step(loss)
    assert other.get_last_lr() == scheduler.get_last_lr()


def test_the_optimizer_steps_by_the_rate_that_is_set():
    optimizer = optim.SGD({"w": np.asarray([8.0])}, lr=1.0)
    scheduler = optim.StepLR(optimizer, step_size=1, gamma=0.5)
    for expected in (7.0, 6.5, 6.25):
        optimizer.step({"w": np.ones(1)})
        scheduler.step()
        assert optimizer.params["w"] == expected


def test_a_momentum_that_is_set_is_used():
    optimizer = optim.Adam({"w": np.zeros(1)}, lr=1.0)
    optimizer.step({"w": np.ones(1)})
    optimizer.param_groups[0]["betas"] = (0.0, 0.999)
    before = optimizer.params["w"]
    optimizer.step({"w": np.zeros(1)})
    assert optimizer.params["w"] == before  # nothing of the first gradient is left


def test_a_stored_state_continues():
    optimizer, other = ours(), ours()
    scheduler = optim.StepLR(optimizer, 2)
    for _ in range(5):
        scheduler.step()
    again = optim.StepLR(other, 2)
    again.load_state_dict(scheduler.state_dict())
    assert again.get_last_lr() == scheduler.get_last_lr()
    assert again.last_epoch == 5
    with pytest.raises(
        LoadError, match=r"StepLR\.load_state_dict: the state must have last_epoch .*; got nothing"
    ):
        again.load_state_dict({})


def test_schedules_are_rates_of_functions():
    schedule = optim.StepLR(ours(), 2, gamma=0.5).schedules[0]
    optimizer = optim.sgd(schedule)
    state = optimizer.init(np.ones(1))
    sizes = []
    for _ in range(3):
        updates, state = optimizer.update(np.ones(1), state)
        sizes.append(float(updates[0]))
    assert sizes == [-0.5, -0.5, -0.25]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: optim.StepLR(o, 0), "StepLR: step_size must be a positive integer; got 0"),
        (lambda o: optim.ConstantLR(o, 2.0), "ConstantLR: factor must be from 0 to 1; got 2.0"),
        (lambda o: optim.LinearLR(o, 0.0), "LinearLR: start_factor must be positive, and both"),
        (
            lambda o: optim.LambdaLR(o, [abs]),
            "LambdaLR: lr_lambda must be one or one a group; got 1 for 2 groups",
        ),
        (
            lambda o: optim.CyclicLR(o, 0.1, 0.2, mode="square"),
            "CyclicLR: mode must be 'triangular', 'triangular2' or 'exp_range'; got 'square'",
        ),
        (
            lambda o: optim.CyclicLR(optim.Adagrad({}), 0.1, 0.2),
            "CyclicLR: cycle_momentum needs an optimizer with momentum or betas; got Adagrad",
        ),
        (
            lambda o: optim.OneCycleLR(o, 0.1),
            "OneCycleLR: total_steps must be a positive integer; got 0",
        ),
        (
            lambda o: optim.OneCycleLR(o, 0.1, 10, pct_start=2.0),
            "OneCycleLR: pct_start must be from 0 to 1; got 2.0",
        ),
        (
            lambda o: optim.OneCycleLR(o, 0.1, 10, anneal_strategy="step"),
            "OneCycleLR: anneal_strategy must be 'cos' or 'linear'; got 'step'",
        ),
        (
            lambda o: optim.OneCycleLR(o, 0.1, 10).schedules[0](11),
            "OneCycleLR: there are 10 steps; got 11",
        ),
        (
            lambda o: optim.SequentialLR(o, [optim.StepLR(ours(), 1)], []),
            "SequentialLR: all schedulers must be of one optimizer; got StepLR of another",
        ),
        (lambda o: optim.ChainedScheduler([]), "ChainedScheduler: takes schedulers; got none"),
        (
            lambda o: optim.ChainedScheduler([optim.CosineAnnealingLR(o, 3, eta_min=0.1)]),
            "ChainedScheduler: schedulers must multiply the rate; got CosineAnnealingLR, which",
        ),
        (
            lambda o: optim.ReduceLROnPlateau(o, factor=1.0),
            "ReduceLROnPlateau: factor must be at least 0 and less than 1; got 1.0",
        ),
        (
            lambda o: optim.ReduceLROnPlateau(o, mode="best"),
            "ReduceLROnPlateau: mode must be 'min' or 'max' and threshold_mode 'rel' or 'abs'; got",
        ),
    ],
)
def test_arguments_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make(ours())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.StepLR(3, 1), "StepLR: takes an optimizer of volta.optim; got int"),
        (
            lambda: optim.ReduceLROnPlateau(3),
            "ReduceLROnPlateau: takes an optimizer of volta.optim; got int",
        ),
        (
            lambda: optim.StepLR(optim.SGD({}, lr=abs), 1),
            "StepLR: the rates of the optimizer must be numbers; got a schedule",
        ),
        (
            lambda: optim.SequentialLR(o := ours(), [optim.ReduceLROnPlateau(o)], []),
            "SequentialLR: takes schedulers of steps; got ReduceLROnPlateau",
        ),
    ],
)
def test_what_is_no_optimizer(make, message):
    with pytest.raises(TypeError, match=message):
        make()
