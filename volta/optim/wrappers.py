"""Optimizers around one: accumulation, guards, scaled losses, injected hyperparameters."""

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, NamedTuple

import numpy as np

from volta.core import tree
from volta.core.keywords import suggesting
from volta.core.trace import located, ops
from volta.core.types import as_dtype
from volta.nn.precision import DynamicLossScale, all_finite
from volta.optim.base import (
    Optimizer,
    check_count,
    check_number,
    either,
    following,
    kept,
    known,
    leafwise,
    no_steps,
    number,
    with_extra_args_support,
)
from volta.optim.moments import like, widened

__all__ = [
    "ApplyIfFiniteState",
    "InjectHyperparamsState",
    "LossScaleState",
    "MultiSteps",
    "MultiStepsState",
    "apply_if_finite",
    "inject_hyperparams",
    "scaled_loss",
]


class ApplyIfFiniteState(NamedTuple):
    """State of `apply_if_finite`: refusals in a row, whether the last was finite, all refusals."""

    notfinite_count: Any
    last_finite: Any
    total_notfinite: Any
    inner_state: Any


@suggesting
def apply_if_finite(inner: Optimizer, max_consecutive_errors: int) -> Optimizer:
    """Skip a step, state and all, whose gradients hold infinity or NaN.

    Parameters
    ----------
    inner : Optimizer
    max_consecutive_errors : int
        After more in a row they are taken as they are, so that the error shows.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If the number is negative.

    Examples
    --------
    >>> optimizer = volta.optim.apply_if_finite(volta.optim.sgd(0.1), 5)
    >>> updates, state = optimizer.update(np.asarray([np.nan]), optimizer.init(np.ones(1)))
    >>> updates, int(state.total_notfinite)
    (array([0.]), 1)
    """
    check_number("apply_if_finite", "max_consecutive_errors", max_consecutive_errors)
    inner = with_extra_args_support(inner)

    def init(params: Any) -> ApplyIfFiniteState:
        return ApplyIfFiniteState(no_steps(), np.ones((), np.bool_), no_steps(), inner.init(params))

    def update(
        grads: Any, state: ApplyIfFiniteState, params: Any = None, **extra: Any
    ) -> tuple[Any, ApplyIfFiniteState]:
        finite = all_finite(grads)
        in_a_row = _unless(finite, following(state.notfinite_count), no_steps())
        total = _unless(finite, following(state.total_notfinite), state.total_notfinite)
        taken = ops.logical_or(finite, ops.greater(in_a_row, max_consecutive_errors))
        updates, after = either(
            taken,
            lambda: inner.update(grads, state.inner_state, params, **extra),
            lambda: (tree.map(ops.zeros_like, grads), state.inner_state),
        )
        return updates, ApplyIfFiniteState(in_a_row, finite, total, after)

    return Optimizer(init, update)


def _unless(finite: Any, other: Any, value: Any) -> Any:
    """`value` where gradients were finite."""
    return ops.where(finite, value, other)


class LossScaleState(NamedTuple):
    """State of `scaled_loss`: the scale of the next loss, and that of the optimizer inside."""

    loss_scale: DynamicLossScale
    inner_state: Any


@suggesting
def scaled_loss(inner: Optimizer, loss_scale: Any = None) -> Optimizer:
    """Divide gradients by the scale of their loss; skip those that are not finite, and adjust it.

    Parameters
    ----------
    inner : Optimizer
    loss_scale : DynamicLossScale, optional
        The scale at first; by default ``volta.nn.DynamicLossScale()``.

    Returns
    -------
    Optimizer
        Gradients are those of ``state.loss_scale.scale(loss)``.

    Raises
    ------
    TypeError
        If `loss_scale` is none.

    References
    ----------
    P. Micikevicius et al., "Mixed precision training", ICLR 2018, section 3.2,
    https://arxiv.org/abs/1710.03740.

    Examples
    --------
    >>> optimizer = volta.optim.scaled_loss(volta.optim.sgd(0.5))
    >>> w = np.asarray([1.0], np.float16)
    >>> state = optimizer.init(w)
    >>> grads = volta.grad(lambda w: state.loss_scale.scale(F.sum(1e-4 * w)))(w)
    >>> optimizer.update(grads, state, w)[0]
    array([-5.e-05], dtype=float16)
    """
    start = DynamicLossScale() if loss_scale is None else loss_scale
    if not isinstance(start, DynamicLossScale):
        msg = f"scaled_loss: loss_scale must be a DynamicLossScale; got {type(start).__name__}."
        raise located(TypeError(msg))
    start = DynamicLossScale(
        np.asarray(start.value, np.float32) if type(start.value) is float else start.value,
        start.growth_interval,
        start.factor,
        no_steps() if type(start.count) is int and start.count == 0 else start.count,
    )
    inner = with_extra_args_support(inner)

    def init(params: Any) -> LossScaleState:
        return LossScaleState(start, inner.init(params))

    def update(
        grads: Any, state: LossScaleState, params: Any = None, **extra: Any
    ) -> tuple[Any, LossScaleState]:
        finite = all_finite(grads)
        wide = tree.map(widened, grads)

        def step() -> tuple[Any, Any]:
            updates, after = inner.update(
                state.loss_scale.unscale(wide), state.inner_state, params, **extra
            )
            return tree.map(kept, updates, grads), after

        updates, after = either(
            finite, step, lambda: (tree.map(ops.zeros_like, grads), state.inner_state)
        )
        return updates, LossScaleState(state.loss_scale.adjust(finite), after)

    return Optimizer(init, update)


class MultiStepsState(NamedTuple):
    """State of `MultiSteps`: gradients so far, steps made, state inside, and their mean."""

    mini_step: Any
    gradient_step: Any
    inner_opt_state: Any
    acc_grads: Any


class MultiSteps:
    """Collect gradients, and make a step with their mean; the updates in between are zeros.

    Parameters
    ----------
    opt : Optimizer
    every_k_schedule : int or callable
        How many gradients, or a function from the number of steps so far to it.
    use_grad_mean : bool
        Whether to take their mean, or else their sum.

    Raises
    ------
    ValueError
        If the number is not positive.

    Notes
    -----
    With means of equal batches it is the step of the whole batch. It has `init` and `update`, as an
    `Optimizer` has; `gradient_transformation` makes one of it, for `chain`. Gradients of 16 bits
    are added up in 32.

    Examples
    --------
    >>> optimizer = volta.optim.MultiSteps(volta.optim.sgd(1.0), 2)
    >>> state = optimizer.init(np.zeros(1))
    >>> first, state = optimizer.update(np.asarray([2.0]), state)
    >>> second, state = optimizer.update(np.asarray([4.0]), state)
    >>> first, second, bool(optimizer.has_updated(state))
    (array([0.]), array([-3.]), True)
    """

    @suggesting
    def __init__(
        self,
        opt: Optimizer,
        every_k_schedule: int | Callable[[Any], Any],
        use_grad_mean: bool = True,
    ) -> None:
        if not callable(every_k_schedule):
            check_count("MultiSteps", "every_k_schedule", every_k_schedule)
        self._opt = with_extra_args_support(opt)
        self._every_k = every_k_schedule
        self._mean = use_grad_mean

    def init(self, params: Any) -> MultiStepsState:
        """State at the start."""
        zeros = leafwise("MultiSteps.init", like, params=params)
        return MultiStepsState(no_steps(), no_steps(), self._opt.init(params), zeros)

    def update(
        self, grads: Any, state: MultiStepsState, params: Any = None, **extra: Any
    ) -> tuple[Any, MultiStepsState]:
        """Zeros, or every k-th time the updates; and the state after."""
        step = known(state.gradient_step)
        every = self._every_k(step) if callable(self._every_k) else self._every_k
        count = following(state.mini_step)
        n = known(count)

        def added(g: Any, total: Any) -> Any:
            wide = widened(g)
            if self._mean:
                return kept(
                    ops.add(total, ops.divide(ops.subtract(wide, total), _as(n, wide))), total
                )
            return kept(ops.add(total, wide), total)

        total = leafwise("MultiSteps.update", added, grads=grads, acc_grads=state.acc_grads)

        def emit() -> tuple[Any, MultiStepsState]:
            whole = tree.map(kept, total, grads)
            updates, after = self._opt.update(whole, state.inner_opt_state, params, **extra)
            zeros = tree.map(ops.zeros_like, total)
            return updates, MultiStepsState(
                no_steps(), following(state.gradient_step), after, zeros
            )

        def wait() -> tuple[Any, MultiStepsState]:
            zeros = tree.map(ops.zeros_like, grads)
            return zeros, MultiStepsState(count, state.gradient_step, state.inner_opt_state, total)

        updates, after = either(ops.greater_equal(count, every), emit, wait)
        return updates, after

    def has_updated(self, state: MultiStepsState) -> Any:
        """Whether the last update was a step, a boolean array of shape ()."""
        return ops.logical_and(ops.equal(state.mini_step, 0), ops.greater(state.gradient_step, 0))

    def gradient_transformation(self) -> Optimizer:
        """Pair of functions, as `chain` takes it."""
        return Optimizer(self.init, self.update)


def _as(n: Any, x: Any) -> Any:
    return n if type(n) is int else ops.astype(n, ops.real(x).dtype)


class InjectHyperparamsState(NamedTuple):
    """State of `inject_hyperparams`: steps so far, numbers by name, and the state inside."""

    count: Any
    hyperparams: dict[str, Any]
    inner_state: Any


@suggesting
def inject_hyperparams(
    inner_factory: Callable[..., Optimizer], static_args: str | Iterable[str] = ()
) -> Callable[..., Optimizer]:
    """Make a function like `inner_factory` whose optimizers keep hyperparameters in their state.

    There they can be read, and replaced, between steps: ``state.hyperparams["learning_rate"]``.

    Parameters
    ----------
    inner_factory : callable
        Such as `adam`, from hyperparameters to an optimizer.
    static_args : str or iterable of str
        Names of arguments that stay out of the state; flags, strings, None and trees do anyway.

    Returns
    -------
    callable
        With the arguments of `inner_factory`. Functions among them are schedules, whose value at
        the step goes into the state.

    Raises
    ------
    ValueError
        If `static_args` has a name that `inner_factory` has not.

    Examples
    --------
    >>> optimizer = volta.optim.inject_hyperparams(volta.optim.sgd)(0.5)
    >>> state = optimizer.init(np.zeros(1))
    >>> state.hyperparams["learning_rate"] = np.asarray(2.0)
    >>> optimizer.update(np.asarray([1.0]), state)[0]
    array([-2.])
    """
    signature = inspect.signature(inner_factory)
    static = {static_args} if isinstance(static_args, str) else set(static_args)
    if unknown := static - signature.parameters.keys():
        msg = (
            f"inject_hyperparams: static_args must be arguments of {inner_factory.__name__}; got "
            f"{', '.join(sorted(unknown))}."
        )
        raise located(ValueError(msg))

    @wraps(inner_factory)
    def make(*args: Any, **kwargs: Any) -> Optimizer:
        inner_factory(*args, **kwargs)  # so that bad arguments are reported here
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        numbers, schedules, others = {}, {}, {}
        for name, value in bound.arguments.items():
            value = number(value)
            if name in static or isinstance(value, bool):
                others[name] = value
            elif callable(value) and name not in _FUNCTIONS:
                schedules[name] = value
            elif isinstance(value, int | float) or hasattr(value, "dtype"):
                numbers[name] = value
            else:
                others[name] = value

        def at(count: Any) -> dict[str, Any]:
            return {name: _array(f(known(count))) for name, f in schedules.items()}

        def inner(values: dict[str, Any]) -> Optimizer:
            return with_extra_args_support(
                inner_factory(**others, **{n: known(v) for n, v in values.items()})
            )

        def init(params: Any) -> InjectHyperparamsState:
            values = {name: _array(v) for name, v in numbers.items()} | at(no_steps())
            return InjectHyperparamsState(no_steps(), values, inner(values).init(params))

        def update(
            grads: Any, state: InjectHyperparamsState, params: Any = None, **extra: Any
        ) -> tuple[Any, InjectHyperparamsState]:
            before = state.hyperparams
            values = before | {n: _typed(v, before[n]) for n, v in at(state.count).items()}
            updates, after = inner(values).update(grads, state.inner_state, params, **extra)
            return updates, InjectHyperparamsState(following(state.count), values, after)

        return Optimizer(init, update)

    return make


def _array(value: Any) -> Any:
    """Array of shape (), so that a state is a tree of arrays."""
    return np.asarray(value) if isinstance(value, int | float) else value


def _typed(new: Any, old: Any) -> Any:
    """Value of a schedule in the dtype that it had before, as a scan wants, if both are floating.

    A schedule makes float64 of a NumPy count, and float32 of a traced one.
    """
    floating = as_dtype(new.dtype).kind == as_dtype(old.dtype).kind == "float"
    return kept(new, old) if floating else new


# Arguments that are functions of trees, not schedules
_FUNCTIONS = ("mask", "weight_decay_mask", "trust_ratio_mask", "param_labels")
