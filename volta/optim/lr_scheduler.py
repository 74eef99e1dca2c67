"""PyTorch's learning rate schedulers: objects that set the rates of an optimizer's groups.

Each is a list of schedules, pure functions from step to rate, one for each group: they are
`LRScheduler.schedules`, and any of them can be the rate of an optimizer itself. The rest counts.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from volta.core.errors import LoadError
from volta.core.keywords import suggesting
from volta.core.trace import located
from volta.optim.schedule import (
    constant_schedule,
    exponential_decay,
    join_schedules,
    piecewise_constant_schedule,
    polynomial_schedule,
)
from volta.optim.stateful import Stateful, restored

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]

Schedule = Callable[[Any], Any]


class _Scheduler:
    """An optimizer whose rates it sets, and numbers that say where it is."""

    _counts: tuple[str, ...] = ("last_epoch",)
    # Lists of a number for each group, beside the rates
    _lists: tuple[str, ...] = ()
    last_epoch: int

    def __init__(self, optimizer: Any) -> None:
        if not isinstance(optimizer, Stateful):
            msg = (
                f"{type(self).__name__}: takes an optimizer of volta.optim; got "
                f"{type(optimizer).__name__}."
            )
            raise located(TypeError(msg))
        self.optimizer = optimizer

    def get_last_lr(self) -> list[Any]:
        """Rates that are set now, by group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return the state by name, to be saved: counts, and the rates that are set."""
        named = {name: np.asarray(getattr(self, name)) for name in (*self._counts, *self._lists)}
        return named | {"lr": np.asarray(self.get_last_lr())}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from a state that `state_dict` returned, and set the rates.

        Parameters
        ----------
        state_dict : mapping of str to array

        Raises
        ------
        LoadError
            If names or the number of groups do not fit; nothing is changed then.
        """
        of_groups = (len(self.optimizer.param_groups),)
        wanted = dict.fromkeys(self._counts, ()) | dict.fromkeys((*self._lists, "lr"), of_groups)
        found = {name: np.shape(value) for name, value in state_dict.items()}
        if found != wanted:
            told = [
                ", ".join(f"{name} of shape {shape}" for name, shape in shapes.items())
                for shapes in (wanted, found)
            ]
            msg = (
                f"{type(self).__name__}.load_state_dict: the state must have {told[0]}; got "
                f"{told[1] or 'nothing'}. Nothing was changed."
            )
            raise located(LoadError(msg))
        for name in self._counts:
            setattr(self, name, restored(state_dict[name], 0))
        for name in self._lists:
            setattr(self, name, [restored(x, 0) for x in state_dict[name]])
        for group, rate in zip(self.optimizer.param_groups, state_dict["lr"], strict=True):
            group["lr"] = restored(rate, group["lr"])


class LRScheduler(_Scheduler):
    """Set the learning rates of an optimizer's groups, step by step.

    Parameters
    ----------
    optimizer : an optimizer of `volta.optim` that changes a model
    schedule : callable
        From the rate of a group at the start, and its number, to a schedule.
    last_epoch : int
        Number of steps so far; −1 at the start. The rate of the first step is set at once.

    Attributes
    ----------
    base_lrs : list of float
        Rates at the start, by group. They are part of the state; to go on with others, set them
        after it was loaded.
    schedules : list of callable
        Rate by step, for each group.
    last_epoch : int

    Raises
    ------
    TypeError
        If `optimizer` is none, or its rate a schedule.

    Examples
    --------
    >>> optimizer = volta.optim.SGD({"w": np.ones(1)}, lr=0.5)
    >>> scheduler = volta.optim.LRScheduler(optimizer, lambda rate, group: lambda t: rate / (1 + t))
    >>> scheduler.step()
    >>> optimizer.lr
    0.25
    """

    # Whether each rate is the first one times a factor
    _multiplies = True
    _lists = ("base_lrs",)

    @suggesting
    def __init__(
        self, optimizer: Any, schedule: Callable[[Any, int], Schedule], last_epoch: int = -1
    ) -> None:
        super().__init__(optimizer)
        groups = optimizer.param_groups
        for group in groups:
            group.setdefault("initial_lr", group["lr"])
            if callable(group["initial_lr"]):
                msg = (
                    f"{type(self).__name__}: the rates of the optimizer must be numbers; got a "
                    "schedule."
                )
                raise located(TypeError(msg))
        self.base_lrs = [group["initial_lr"] for group in groups]
        self._schedule = schedule
        self.last_epoch = last_epoch
        self.step()

    @property
    def schedules(self) -> list[Schedule]:
        """Rate by step, for each group."""
        return [self._schedule(rate, i) for i, rate in enumerate(self.base_lrs)]

    def step(self) -> None:
        """Set the rates of the next step."""
        self.last_epoch += 1
        for group, schedule in zip(self.optimizer.param_groups, self.schedules, strict=True):
            group["lr"] = schedule(self.last_epoch)


def _positive(operation: str, **numbers: Any) -> None:
    for name, value in numbers.items():
        if not isinstance(value, int) or value < 1:
            msg = f"{operation}: {name} must be a positive integer; got {value!r}."
            raise located(ValueError(msg))


def _for_groups(operation: str, optimizer: Any, name: str, value: Any) -> list[Any]:
    """One value for each group."""
    count = len(getattr(optimizer, "param_groups", [None]))
    values = list(value) if isinstance(value, list | tuple) else [value] * count
    if len(values) != count:
        msg = (
            f"{operation}: {name} must be one or one a group; got {len(values)} for {count} groups."
        )
        raise located(ValueError(msg))
    return values


class StepLR(LRScheduler):
    """Multiply the rate by a factor every so many steps; PyTorch's.

    Parameters
    ----------
    optimizer : an optimizer of `volta.optim` that changes a model
    step_size : int
        Positive.
    gamma : float
        The factor.
    last_epoch : int
        Number of steps so far; −1 at the start.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> optimizer = volta.optim.SGD({"w": np.ones(1)}, lr=1.0)
    >>> scheduler = volta.optim.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> [round(scheduler.schedules[0](step), 6) for step in range(4)]
    [1.0, 1.0, 0.5, 0.5]
    """

    @suggesting
    def __init__(
        self,
        optimizer: Any,
        step_size: int,
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        _positive("StepLR", step_size=step_size)
        super().__init__(
            optimizer,
            lambda rate, group: exponential_decay(rate, step_size, gamma, staircase=True),
            last_epoch,
        )


class MultiStepLR(LRScheduler):
    """Multiply the rate by a factor at given steps; PyTorch's.

    Parameters
    ----------
    optimizer : an optimizer of `volta.optim` that changes a model
    milestones : sequence of int
        Steps; one that is there twice counts twice.
    gamma : float
        The factor.
    last_epoch : int
        Number of steps so far; −1 at the start.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> optimizer = volta.optim.SGD({"w": np.ones(1)}, lr=1.0)
    >>> scheduler = volta.optim.MultiStepLR(optimizer, milestones=[1, 3], gamma=0.5)
    >>> [round(scheduler.schedules[0](step), 6) for step in range(4)]
    [1.0, 0.5, 0.5, 0.25]
    """

    @suggesting
    def __init__(
        self,
        optimizer: Any,
        milestones: Sequence[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        changes = {step: gamma**n for step, n in Counter(milestones).items()}
        super().__init__(
            optimizer, lambda rate, group: piecewise_constant_schedule(rate, changes), last_epoch
        )


class ConstantLR(LRScheduler):
    """Multiply the rate by a factor in the first steps; PyTorch's.

    Parameters
    ----------
    optimizer : an optimizer of `volta.optim` that changes a model
    factor : float
        From 0 to 1.
    total_iters : int
        Number of these steps.
    last_epoch : int
        Number of steps so far; −1 at the start.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> optimizer = volta.optim.SGD({"w": np.ones(1)}, lr=1.0)
    >>> scheduler = volta.optim.ConstantLR(optimizer, factor=0.5, total_iters=2)
    >>> [round(scheduler.schedules[0](step), 6) for step in range(3)]
    [0.5, 0.5, 1.0]
    """

    @suggesting
    def __init__(
        self,
        optimizer: Any,
        factor: float = 1 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 <= factor <= 1:
            msg = f"ConstantLR: factor must be from 0 to 1; got {factor}."
            raise located(ValueError(msg))
        super().__init__(
            optimizer,
            lambda rate, group: join_schedules(
                [constant_schedule(rate * factor), constant_schedule(rate)], [total_iters]
            ),
            last_epoch,
        )


class LinearLR(LRScheduler):
    """Go from one factor of the rate to another along a line; PyTorch's.

    Parameters
    ----------
    optimizer : an optimizer of `volta.optim` that changes a model
    start_factor : float
        Positive, at most 1.
    end_factor : float
        From 0 to 1.
    total_iters : int
        Positive.
    last_epoch : int
        Number of steps so far; −1 at the start.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> optimizer = volta.optim.SGD({"w": np.ones(1)}, lr=1.0)
    >>> scheduler = volta.optim.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> [round(scheduler.schedules[0](step), 6) for step in range(3)]
    [0.5, 0.75, 1.0]
    """

    @suggesting
    def __init__(
        self,
        optimizer: Any,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        _positive("LinearLR", total_iters=total_iters)
        if not (0 < start_factor <= 1 and 0 <= end_factor <= 1):
            msg = (
                "LinearLR: start_factor must be positive, and both factors at most 1 and not "
                f"negative; got {start_factor} and {end_factor}."
            )
            raise located(ValueError(msg))
        super().__init__(
            optimizer,
            lambda rate, group: polynomial_schedule(
                rate * start_factor, rate * end_factor, 1, total_iters
            ),
            last_epoch,
        )


class ExponentialLR(LRScheduler):
    """Multiply the rate by a factor in every step; PyTorch's.

    Parameters
    ----------
    optimizer : an optimizer of `volta.optim` that changes a model
    gamma : float
        Positive.
    last_epoch : int
        Number of steps so far; −1 at the start.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> optimizer = volta.optim.SGD({"w": np.ones(1)}, lr=1.0)
    >>> scheduler = volta.optim.ExponentialLR(optimizer, gamma=0.5)
    >>> [round(scheduler.schedules[0](step), 6) for step in range(3)]
    [1.0, 0.5, 0.25]
    """

    @suggesting
    def __init__(
        self,
        optimizer: Any,
        gamma: float,
        last_epoch: int = -1,
    ) -> None:
        super().__init__(
            optimizer, lambda rate, group: exponential_decay(rate, 1, gamma), last_epoch
        )


class PolynomialLR(LRScheduler):
    """Let the rate fall to 0 along a power; PyTorch's.

    Parameters
    ----------
    optimizer : an optimizer of `volta.optim` that changes a model
    total_iters : int
        Positive.
    power : float
        1 for a line.
    last_epoch : int
        Number of steps so far; −1 at the start.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> optimizer = volta.optim.SGD({"w": np.ones(1)}, lr=1.0)
    >>> scheduler = volta.optim.PolynomialLR(optimizer, total_iters=2, power=2.0)
    >>> [round(scheduler.schedules[0](step), 6) for step in range(3)]
    [1.0, 0.25, 0.0]
    """

    @suggesting
    def __init__(
        self,
        optimizer: Any,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        _positive("PolynomialLR", total_iters=total_iters)
        super().__init__(
            optimizer,
            lambda rate, group: polynomial_schedule(rate, 0.0, power, total_iters),
            last_epoch,
        )


class CosineAnnealingLR(LRScheduler):
    """Let the rate go to and fro along a cosine; PyTorch's.

    Parameters
    ----------
    optimizer : an optimizer of `volta.optim` that changes a model
    T_max : int
        Steps from the most to the least.
    eta_min : float
        The least.
    last_epoch : int
        Number of steps so far; −1 at the start.

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017,
    https://arxiv.org/abs/1608.03983, equation 5.

    Examples
    --------
    >>> optimizer = volta.optim.SGD({"w": np.ones(1)}, lr=1.0)
    >>> scheduler = volta.optim.CosineAnnealingLR(optimizer, T_max=2)
    >>> [round(scheduler.schedules[0](step), 6) for step in range(4)]
    [1.0, 0.5, 0.0, 0.5]
    """

    @suggesting
    def __init__(
        self,
        optimizer: Any,
        T_max: int,  # noqa: N803 - PyTorch's name
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        _positive("CosineAnnealingLR", T_max=T_max)
        self._multiplies = eta_min == 0

        def schedule(rate: Any, group: int) -> Schedule:
            def value(step: Any) -> Any:
                return eta_min + (rate - eta_min) * (1 + math.cos(math.pi * step / T_max)) / 2

            return value

        super().__init__(optimizer, schedule, last_epoch)


class CosineAnnealingWarmRestarts(LRScheduler):
    """Let the rate fall along a cosine, again and again; PyTorch's.

    Parameters
    ----------
    optimizer : an optimizer of `volta.optim` that changes a model
    T_0 : int
        Steps of the first fall.
    T_mult : int
        How much longer each next fall is.
    eta_min : float
        The least rate.
    last_epoch : int
        Number of steps so far; −1 at the start.

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017,
    https://arxiv.org/abs/1608.03983, equation 5.

    Examples
    --------
    >>> optimizer = volta.optim.SGD({"w": np.ones(1)}, lr=1.0)
    >>> scheduler = volta.optim.CosineAnnealingWarmRestarts(optimizer, T_0=2)
    >>> [round(scheduler.schedules[0](step), 6) for step in range(4)]
    [1.0, 0.5, 1.0, 0.5]
    """

    @suggesting
    def __init__(
        self,
        optimizer: Any,
        T_0: int,  # noqa: N803 - PyTorch's name
        T_mult: int = 1,  # noqa: N803 - PyTorch's name
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        _positive("CosineAnnealingWarmRestarts", T_0=T_0, T_mult=T_mult)
        self._multiplies = False

        def schedule(rate: Any, group: int) -> Schedule:
            def value(step: Any) -> Any:
                since, length = step, T_0
                while since >= length:
                    since, length = since - length, length * T_mult
                return eta_min + (rate - eta_min) * (1 + math.cos(math.pi * since / length)) / 2

            return value

        super().__init__(optimizer, schedule, last_epoch)


class LambdaLR(LRScheduler):
    """Multiply the rate by a function of the step; PyTorch's.

    Parameters
    ----------
    optimizer : an optimizer of `volta.optim` that changes a model
    lr_lambda : callable, or list of callable
        From step to factor; or one for each group.
    last_epoch : int
        Number of steps so far; −1 at the start.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> optimizer = volta.optim.SGD({"w": np.ones(1)}, lr=1.0)
    >>> scheduler = volta.optim.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    >>> [round(scheduler.schedules[0](step), 6) for step in range(3)]
    [1.0, 0.5, 0.333333]
    """

    @suggesting
    def __init__(
        self,
        optimizer: Any,
        lr_lambda: Any,
        last_epoch: int = -1,
    ) -> None:
        factors = _for_groups("LambdaLR", optimizer, "lr_lambda", lr_lambda)
        super().__init__(
            optimizer, lambda rate, group: lambda step: rate * factors[group](step), last_epoch
        )


class MultiplicativeLR(LRScheduler):
    """Multiply the rate of the step before by a function of the step; PyTorch's.

    Parameters
    ----------
    optimizer : an optimizer of `volta.optim` that changes a model
    lr_lambda : callable, or list of callable
        From step, 1 at first, to factor; or one for each group.
    last_epoch : int
        Number of steps so far; −1 at the start.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> optimizer = volta.optim.SGD({"w": np.ones(1)}, lr=1.0)
    >>> scheduler = volta.optim.MultiplicativeLR(optimizer, lambda step: 0.5)
    >>> [round(scheduler.schedules[0](step), 6) for step in range(3)]
    [1.0, 0.5, 0.25]
    """

    @suggesting
    def __init__(
        self,
        optimizer: Any,
        lr_lambda: Any,
        last_epoch: int = -1,
    ) -> None:
        factors = _for_groups("MultiplicativeLR", optimizer, "lr_lambda", lr_lambda)
        super().__init__(
            optimizer,
            lambda rate, group: (
                lambda step: rate * math.prod(factors[group](i) for i in range(1, step + 1))
            ),
            last_epoch,
        )


class _Cycling(LRScheduler):
    """Rates, and momenta that go against them: schedules for both."""

    _multiplies = False
    momenta: list[Schedule] | None

    def step(self) -> None:
        """Set the rates of the next step, and the momenta."""
        super().step()
        if self.momenta is None:
            return
        for group, momentum in zip(self.optimizer.param_groups, self.momenta, strict=True):
            value = momentum(self.last_epoch)
            if "betas" in group:
                group["betas"] = (value, *group["betas"][1:])
            else:
                group["momentum"] = value

    def _check_momentum(self, optimizer: Any) -> None:
        if isinstance(optimizer, Stateful) and not {"betas", "momentum"} & set(optimizer.defaults):
            msg = (
                f"{type(self).__name__}: cycle_momentum needs an optimizer with momentum or betas; "
                f"got {type(optimizer).__name__}. Pass cycle_momentum=False."
            )
            raise located(ValueError(msg))


class CyclicLR(_Cycling):
    """Let the rate rise and fall between bounds, the momentum against it; PyTorch's.

    Parameters
    ----------
    optimizer : an optimizer of `volta.optim` that changes a model
    base_lr : float, or list of float
        Least rate; or one for each group.
    max_lr : float, or list of float
        Largest rate.
    step_size_up : int
        Steps of a rise.
    step_size_down : int, optional
        Steps of a fall; by default as many.
    mode : {"triangular", "triangular2", "exp_range"}
        Whether the height stays, is halved every cycle, or multiplied by `gamma` every step.
    gamma : float
    scale_fn : callable, optional
        In place of `mode`: from cycle, 1 at first, or step to the factor of the height.
    scale_mode : {"cycle", "iterations"}
        Of what `scale_fn` is a function.
    cycle_momentum : bool
        Whether the momentum, or the first of the betas, changes too.
    base_momentum : float, or list of float
        Least momentum.
    max_momentum : float, or list of float
        Largest momentum, where the rate is least.
    last_epoch : int
        Number of steps so far; −1 at the start.

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    L. N. Smith, "Cyclical learning rates for training neural networks", WACV 2017,
    https://arxiv.org/abs/1506.01186.

    Examples
    --------
    >>> optimizer = volta.optim.SGD({"w": np.ones(1)}, lr=1.0)
    >>> scheduler = volta.optim.CyclicLR(optimizer, base_lr=1.0, max_lr=2.0, step_size_up=2)
    >>> [round(scheduler.schedules[0](step), 6) for step in range(5)]
    [1.0, 1.5, 2.0, 1.5, 1.0]
    """

    @suggesting
    def __init__(
        self,
        optimizer: Any,
        base_lr: Any,
        max_lr: Any,
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Any = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: Any = 0.8,
        max_momentum: Any = 0.9,
        last_epoch: int = -1,
    ) -> None:
        _positive("CyclicLR", step_size_up=step_size_up)
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            msg = (
                "CyclicLR: mode must be 'triangular', 'triangular2' or 'exp_range'; got "
                f"{mode!r}. Or pass scale_fn=."
            )
            raise located(ValueError(msg))
        down = step_size_up if step_size_down is None else step_size_down
        total = step_size_up + down
        if cycle_momentum:
            self._check_momentum(optimizer)

        def height(step: Any) -> float:
            cycle, place = divmod(step, total)
            triangle = place / step_size_up if place <= step_size_up else (total - place) / down
            if scale_fn is not None:
                factor = scale_fn(cycle + 1 if scale_mode == "cycle" else step)
            else:
                by_cycle = 0.5**cycle if mode == "triangular2" else 1.0
                factor = gamma**step if mode == "exp_range" else by_cycle
            return triangle * factor  # type: ignore[no-any-return]  # of the user's function

        def between(least: Any, most: Any) -> Schedule:
            return lambda step: least + (most - least) * height(step)

        named = {"base_lr": base_lr, "max_lr": max_lr}
        named |= {"base_momentum": base_momentum, "max_momentum": max_momentum}
        lows, highs, least, most = (
            _for_groups("CyclicLR", optimizer, n, v) for n, v in named.items()
        )
        pairs = zip(most, least, strict=True)
        self.momenta = [between(a, b) for a, b in pairs] if cycle_momentum else None
        super().__init__(
            optimizer, lambda rate, group: between(lows[group], highs[group]), last_epoch
        )


class OneCycleLR(_Cycling):
    """Let the rate rise once, and fall to almost nothing, the momentum against it; PyTorch's.

    Parameters
    ----------
    optimizer : an optimizer of `volta.optim` that changes a model
    max_lr : float, or list of float
        Largest rate; or one for each group.
    total_steps : int, optional
        Steps of it all.
    epochs : int, optional
    steps_per_epoch : int, optional
        Without `total_steps` it is their product.
    pct_start : float
        Share of the steps that the rise takes, from 0 to 1.
    anneal_strategy : {"cos", "linear"}
    cycle_momentum : bool
        Whether the momentum, or the first of the betas, changes too.
    base_momentum : float, or list of float
        Least momentum, where the rate is largest.
    max_momentum : float, or list of float
        Largest momentum.
    div_factor : float
        Largest rate over the first.
    final_div_factor : float
        First rate over the last.
    three_phase : bool
        Whether the fall goes to the first rate in as many steps as the rise, and then on.
    last_epoch : int
        Number of steps so far; −1 at the start.

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    L. N. Smith, N. Topin, "Super-convergence: very fast training of neural networks using large
    learning rates", 2018, https://arxiv.org/abs/1708.07120.

    Examples
    --------
    >>> optimizer = volta.optim.SGD({"w": np.ones(1)}, lr=1.0)
    >>> scheduler = volta.optim.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    >>> [round(scheduler.schedules[0](step), 6) for step in range(3)]
    [0.04, 0.52, 1.0]
    """

    @suggesting
    def __init__(
        self,
        optimizer: Any,
        max_lr: Any,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: Any = 0.85,
        max_momentum: Any = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        steps = total_steps if total_steps is not None else (epochs or 0) * (steps_per_epoch or 0)
        _positive("OneCycleLR", total_steps=steps)
        if not 0 <= pct_start <= 1:
            msg = f"OneCycleLR: pct_start must be from 0 to 1; got {pct_start}."
            raise located(ValueError(msg))
        if anneal_strategy not in ("cos", "linear"):
            msg = f"OneCycleLR: anneal_strategy must be 'cos' or 'linear'; got {anneal_strategy!r}."
            raise located(ValueError(msg))
        if cycle_momentum:
            self._check_momentum(optimizer)
        ends = [0, pct_start * steps - 1, steps - 1]
        if three_phase:
            ends.insert(2, 2 * pct_start * steps - 2)

        def along(values: list[Any]) -> Schedule:
            def value(step: Any) -> Any:
                if step > steps:
                    msg = f"OneCycleLR: there are {steps} steps; got {step}."
                    raise located(ValueError(msg))
                i = min(max(bisect_left(ends, step), 1), len(ends) - 1)
                done = (step - ends[i - 1]) / (ends[i] - ends[i - 1])
                if anneal_strategy == "cos":
                    done = (1 - math.cos(math.pi * done)) / 2
                return values[i - 1] + (values[i] - values[i - 1]) * done

            return value

        highs, least, most = (
            _for_groups("OneCycleLR", optimizer, n, v)
            for n, v in (
                ("max_lr", max_lr),
                ("base_momentum", base_momentum),
                ("max_momentum", max_momentum),
            )
        )

        def rates(rate: Any, group: int) -> Schedule:
            first = highs[group] / div_factor
            back = [first] if three_phase else []
            return along([first, highs[group], *back, first / final_div_factor])

        self.momenta = None
        if cycle_momentum:
            self.momenta = [
                along([b, a, *([b] if three_phase else []), b])
                for a, b in zip(least, most, strict=True)
            ]
        super().__init__(optimizer, rates, last_epoch)


class SequentialLR(LRScheduler):
    """Follow one scheduler after another; PyTorch's.

    Parameters
    ----------
    optimizer : an optimizer of `volta.optim` that changes a model
    schedulers : sequence of LRScheduler
        Of `optimizer`. Each counts its steps from where it begins.
    milestones : sequence of int
        Steps at which the second begins, the third, and so on.
    last_epoch : int
        Number of steps so far; −1 at the start.

    Raises
    ------
    ValueError
        If one is of another optimizer, or the milestones do not fit.
    TypeError
        If one has no schedules, as `ReduceLROnPlateau`.

    Examples
    --------
    >>> optimizer = volta.optim.SGD({"w": np.ones(1)}, lr=1.0)
    >>> first = volta.optim.ConstantLR(optimizer, factor=0.5)
    >>> then = volta.optim.ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler = volta.optim.SequentialLR(optimizer, [first, then], milestones=[2])
    >>> [scheduler.schedules[0](step) for step in range(4)]
    [0.5, 0.5, 1.0, 0.5]
    """

    @suggesting
    def __init__(
        self,
        optimizer: Any,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        _check_schedulers("SequentialLR", optimizer, schedulers)
        self._multiplies = all(s._multiplies for s in schedulers)
        super().__init__(
            optimizer,
            lambda rate, group: join_schedules(
                [s._schedule(rate, group) for s in schedulers], list(milestones)
            ),
            last_epoch,
        )


class ChainedScheduler(LRScheduler):
    """Multiply the factors of several schedulers; PyTorch's.

    Parameters
    ----------
    schedulers : sequence of LRScheduler
        Of one optimizer, each of which multiplies the rate: `StepLR`, `MultiStepLR`, `ConstantLR`,
        `LinearLR`, `ExponentialLR`, `PolynomialLR`, `LambdaLR`, `MultiplicativeLR`, and
        `CosineAnnealingLR` with ``eta_min=0``.
    optimizer : optional
        By default that of the schedulers.

    Raises
    ------
    ValueError
        If one is of another optimizer, or sets the rate instead.
    TypeError
        If one has no schedules, as `ReduceLROnPlateau`.

    Examples
    --------
    >>> optimizer = volta.optim.SGD({"w": np.ones(1)}, lr=1.0)
    >>> first = volta.optim.ConstantLR(optimizer, factor=0.5, total_iters=1)
    >>> then = volta.optim.ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler = volta.optim.ChainedScheduler([first, then])
    >>> [scheduler.schedules[0](step) for step in range(3)]
    [0.5, 0.5, 0.25]
    """

    @suggesting
    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Any = None) -> None:
        if not schedulers:
            msg = "ChainedScheduler: takes schedulers; got none."
            raise located(ValueError(msg))
        optimizer = schedulers[0].optimizer if optimizer is None else optimizer
        _check_schedulers("ChainedScheduler", optimizer, schedulers)
        for scheduler in schedulers:
            if not scheduler._multiplies:
                msg = (
                    "ChainedScheduler: schedulers must multiply the rate; got "
                    f"{type(scheduler).__name__}, which sets it."
                )
                raise located(ValueError(msg))

        def schedule(rate: Any, group: int) -> Schedule:
            def value(step: Any) -> Any:
                if not rate:
                    return rate
                parts = [s._schedule(rate, group)(step) for s in schedulers]
                return rate * math.prod(part / rate for part in parts)

            return value

        super().__init__(optimizer, schedule)


def _check_schedulers(operation: str, optimizer: Any, schedulers: Sequence[Any]) -> None:
    for scheduler in schedulers:
        if not isinstance(scheduler, LRScheduler):
            msg = f"{operation}: takes schedulers of steps; got {type(scheduler).__name__}."
            raise located(TypeError(msg))
        if scheduler.optimizer is not optimizer:
            msg = (
                f"{operation}: all schedulers must be of one optimizer; got "
                f"{type(scheduler).__name__} of another."
            )
            raise located(ValueError(msg))


class ReduceLROnPlateau(_Scheduler):
    """Reduce the rate when a number no longer becomes better; PyTorch's.

    Parameters
    ----------
    optimizer : an optimizer of `volta.optim` that changes a model
    mode : {"min", "max"}
        Whether less is better, or more.
    factor : float
        Of the rate, in [0, 1).
    patience : int
        Steps without a better number that are waited for.
    threshold : float
        How much better a number must be than the best.
    threshold_mode : {"rel", "abs"}
        Whether that is a share of the best.
    cooldown : int
        Steps after a reduction in which nothing counts.
    min_lr : float, or list of float
        Least rate; or one for each group.
    eps : float
        Smaller reductions are not made.

    Raises
    ------
    ValueError
        If a number or mode is out of its range.
    TypeError
        If `optimizer` is none.

    Examples
    --------
    >>> optimizer = volta.optim.SGD({"w": np.ones(1)}, lr=1.0)
    >>> scheduler = volta.optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (3.0, 2.0, 2.0, 2.0):
    ...     scheduler.step(loss)
    >>> optimizer.lr
    0.5
    """

    _counts = ("last_epoch", "num_bad_epochs", "cooldown_counter", "best")

    @suggesting
    def __init__(
        self,
        optimizer: Any,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: Any = 0.0,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(optimizer)
        if not 0 <= factor < 1:
            msg = f"ReduceLROnPlateau: factor must be at least 0 and less than 1; got {factor}."
            raise located(ValueError(msg))
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            msg = (
                "ReduceLROnPlateau: mode must be 'min' or 'max' and threshold_mode 'rel' or 'abs'; "
                f"got {mode!r} and {threshold_mode!r}."
            )
            raise located(ValueError(msg))
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.factor, self.patience, self.cooldown, self.eps = factor, patience, cooldown, eps
        self.min_lrs = _for_groups("ReduceLROnPlateau", optimizer, "min_lr", min_lr)
        self.best = math.inf if mode == "min" else -math.inf
        self.last_epoch = self.num_bad_epochs = self.cooldown_counter = 0

    def step(self, metrics: Any) -> None:
        """Take a number, and reduce the rates if it is time.

        Parameters
        ----------
        metrics : float, or array of shape ()
        """
        value = float(metrics)
        self.last_epoch += 1
        self.num_bad_epochs += 1
        if self._is_better(value):
            self.best, self.num_bad_epochs = value, 0
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
            for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
                new = max(group["lr"] * self.factor, least)
                if group["lr"] - new > self.eps:
                    group["lr"] = new

    def _is_better(self, value: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        if self.threshold_mode == "rel":
            return sign * value < sign * self.best * (1 - sign * self.threshold)
        return sign * value < sign * self.best - self.threshold
