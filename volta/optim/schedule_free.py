"""Schedule-free optimization: averages of the iterates in place of a rate that falls."""

from typing import Any, NamedTuple

import numpy as np

from volta.core import tree
from volta.core.keywords import suggesting
from volta.core.trace import located, ops
from volta.optim.base import (
    Optimizer,
    Rate,
    add_decayed_weights,
    chain,
    check_moments,
    check_number,
    check_rate,
    conjugate,
    following,
    kept,
    known,
    leafwise,
    merged,
    needed,
    no_steps,
    number,
    rate_at,
    scale_by_learning_rate,
    selected,
    with_extra_args_support,
)
from volta.optim.moments import running, widened
from volta.optim.rmsprop import scale_by_rms
from volta.optim.schedule import warmup_constant_schedule
from volta.optim.sgd import sgd
from volta.optim.stateful import Groups, Stateful

__all__ = [
    "AdamWScheduleFree",
    "SGDScheduleFree",
    "ScheduleFreeState",
    "schedule_free",
    "schedule_free_adamw",
    "schedule_free_eval_params",
    "schedule_free_sgd",
]


class ScheduleFreeState(NamedTuple):
    """State of `schedule_free`: b1, sum of weights, steps, largest rate, state inside, iterates."""

    b1: Any
    weight_sum: Any
    step_count: Any
    max_lr: Any
    base_optimizer_state: Any
    z: Any


def schedule_free_eval_params(state: Any, params: Any) -> Any:
    """Parameters to evaluate with: the average of the iterates of `schedule_free`.

    Parameters
    ----------
    state : ScheduleFreeState
    params : tree
        The parameters that gradients are taken at.

    Returns
    -------
    tree

    Raises
    ------
    TypeError
        If `state` is another.

    Examples
    --------
    >>> optimizer = volta.optim.schedule_free_sgd(0.5)
    >>> w = np.asarray([4.0])
    >>> updates, state = optimizer.update(np.asarray([2.0]), optimizer.init(w), w)
    >>> volta.optim.schedule_free_eval_params(state, w + updates).round(4)
    array([3.])
    """
    if not isinstance(state, ScheduleFreeState):
        msg = (
            "schedule_free_eval_params: the state must be a ScheduleFreeState; got "
            f"{type(state).__name__}."
        )
        raise located(TypeError(msg))
    return leafwise(
        "schedule_free_eval_params",
        lambda y, z: kept(_averaged(widened(y), widened(z), known(state.b1)), y),
        params=params,
        z=state.z,
    )


def _averaged(y: Any, z: Any, b1: Any) -> Any:
    """Average x where the gradient is taken at ``y = b1 · x + (1 − b1) · z``."""
    return ops.divide(ops.subtract(y, ops.multiply(z, 1 - b1)), b1)


@suggesting
def schedule_free(
    base_optimizer: Optimizer,
    learning_rate: Rate,
    b1: float = 0.9,
    weight_lr_power: float = 2.0,
    state_dtype: Any = None,
) -> Optimizer:
    """Average the iterates of an optimizer while it runs, instead of letting its rate fall.

    Parameters
    ----------
    base_optimizer : Optimizer
        Without momentum: `b1` takes its place.
    learning_rate : float, array of shape (), or callable
        The rate of `base_optimizer`. A schedule is called with 1 in the first step, as in optax.
    b1 : float
        Share of the average in where gradients are taken, in (0, 1).
    weight_lr_power : float
        Iterates weigh as the largest rate so far to this power.
    state_dtype : dtype, optional
        Of the iterates; by default the parameters', or float32 for those of 16 bits.

    Returns
    -------
    Optimizer
        Its `update` needs `params`. Evaluate with `schedule_free_eval_params`.

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Notes
    -----
    With the step ``z = z + base(gradient at y)`` and ``c = w / Σ w``, ``w = max rate ^ power``::

        x = (1 − c) · x + c · z          y = b1 · x + (1 − b1) · z

    References
    ----------
    A. Defazio et al., "The road less scheduled", NeurIPS 2024, https://arxiv.org/abs/2405.15682,
    equations 1 to 3.

    Examples
    --------
    >>> optimizer = volta.optim.schedule_free(volta.optim.sgd(0.5), 0.5, b1=0.5)
    >>> w = np.asarray([4.0])
    >>> optimizer.update(np.asarray([2.0]), optimizer.init(w), w)[0]
    array([-1.])
    """
    check_rate("schedule_free", learning_rate)
    check_number("schedule_free", "b1", b1, 1.0)
    check_number("schedule_free", "weight_lr_power", weight_lr_power)
    if type(b1) in (int, float) and b1 == 0:
        msg = "schedule_free: b1 must be greater than 0; got 0. Then nothing is averaged."
        raise located(ValueError(msg))
    base_optimizer = with_extra_args_support(base_optimizer)

    def init(params: Any) -> ScheduleFreeState:
        z = leafwise(
            "schedule_free.init",
            lambda p: ops.asarray(
                widened(p) if state_dtype is None else ops.astype(p, state_dtype), copy=True
            ),
            params=params,
        )
        first = np.asarray(b1) if type(b1) in (int, float) else b1
        zero = np.zeros(())
        return ScheduleFreeState(
            first, zero, following(no_steps()), zero, base_optimizer.init(params), z
        )

    def update(
        grads: Any, state: ScheduleFreeState, params: Any = None, **extra: Any
    ) -> tuple[Any, ScheduleFreeState]:
        needed("schedule_free", params)
        rate = number(rate_at(learning_rate, known(state.step_count)))
        largest = ops.maximum(state.max_lr, _scalar(rate))
        weight = largest**weight_lr_power
        total = state.weight_sum + weight
        # the first rate of a warm-up may be 0, and so the sum of weights
        share = known(
            ops.where(ops.greater(total, 0), weight / ops.where(total > 0, total, 1.0), 0.0)
        )
        updates, after = base_optimizer.update(grads, state.base_optimizer_state, params, **extra)

        def leaf(y: Any, u: Any, z0: Any) -> tuple[Any, Any]:
            z = kept(ops.add(z0, u), z0)
            x = _averaged(widened(y), widened(z0), b1)
            x = running(x, widened(z), 1 - share)
            return kept(ops.subtract(running(widened(z), x, 1 - b1), y), y), z

        steps, z = leafwise(
            "schedule_free.update", leaf, results=2, params=params, updates=updates, z=state.z
        )
        return steps, ScheduleFreeState(
            state.b1, _scalar(total), following(state.step_count), _scalar(largest), after, z
        )

    return Optimizer(init, update)


def _scalar(x: Any) -> Any:
    return np.asarray(x) if isinstance(x, int | float | np.generic) else x


@suggesting
def schedule_free_sgd(
    learning_rate: Any = 1.0,
    warmup_steps: int | None = None,
    b1: float = 0.9,
    weight_decay: Any = None,
    weight_lr_power: float = 2.0,
    state_dtype: Any = None,
) -> Optimizer:
    """Gradient descent in `schedule_free`; optax's arguments and defaults.

    Parameters
    ----------
    learning_rate : float, or array of shape ()
    warmup_steps : int, optional
        Steps in which the rate grows from 0.
    b1, weight_lr_power, state_dtype
        See `schedule_free`.
    weight_decay : float, array of shape (), or callable, optional
        See `add_decayed_weights`, which comes first.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Examples
    --------
    >>> optimizer = volta.optim.schedule_free_sgd(0.5)
    >>> w = np.asarray([4.0])
    >>> optimizer.update(np.asarray([2.0]), optimizer.init(w), w)[0].round(4)
    array([-1.])
    """
    check_rate("schedule_free_sgd", learning_rate)
    rate = _warm(learning_rate, warmup_steps)
    base = sgd(rate)
    if weight_decay is not None:
        base = chain(add_decayed_weights(weight_decay), base)
    return schedule_free(base, rate, b1, weight_lr_power, state_dtype)


@suggesting
def schedule_free_adamw(
    learning_rate: Any = 0.0025,
    warmup_steps: int | None = None,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: Any = 0.0,
    weight_lr_power: float = 2.0,
    state_dtype: Any = None,
) -> Optimizer:
    """AdamW in `schedule_free`; optax's arguments and defaults.

    Parameters
    ----------
    learning_rate : float, or array of shape ()
    warmup_steps : int, optional
        Steps in which the rate grows from 0.
    b1, weight_lr_power, state_dtype
        See `schedule_free`.
    b2, eps
        Decay of the mean of squares, and what is added to its root.
    weight_decay
        Decoupled; see `adamw`.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Examples
    --------
    >>> optimizer = volta.optim.schedule_free_adamw(0.5)
    >>> w = np.asarray([4.0])
    >>> optimizer.update(np.asarray([2.0]), optimizer.init(w), w)[0].round(4)
    array([-0.5])
    """
    check_rate("schedule_free_adamw", learning_rate)
    check_moments("schedule_free_adamw", b1, b2, eps)
    rate = _warm(learning_rate, warmup_steps)
    base = chain(
        scale_by_rms(b2, eps, eps_in_sqrt=False, bias_correction=True),
        add_decayed_weights(weight_decay),
        scale_by_learning_rate(rate),
    )
    return schedule_free(base, rate, b1, weight_lr_power, state_dtype)


def _warm(rate: Any, steps: int | None) -> Any:
    return rate if steps is None else warmup_constant_schedule(0.0, rate, steps)


class _ScheduleFree(Stateful):
    """What the optimizers that average share: whole steps, and the averages."""

    _own_rate = True

    def eval_params(self) -> Any:
        """Parameters to evaluate with: the averages.

        Returns
        -------
        tree
            Like `params`, which stay as they are; ``nn.functional_call(model, eval_params, x)``
            evaluates with them.
        """
        params = self.params
        if len(self.param_groups) == 1:
            return schedule_free_eval_params(self.state, params)
        for own, state in zip(self._own, self.state, strict=True):
            params = merged(params, own, schedule_free_eval_params(state, selected(params, own)))
        return params


class SGDScheduleFree(_ScheduleFree):
    """Gradient descent in `schedule_free` on a model; its authors' arguments and defaults.

    Parameters
    ----------
    params : Module, or tree of arrays
        While it trains, they are where gradients are taken; `eval_params` are those to use.
    lr : float or callable
        Learning rate, or a schedule from step to rate. May be assigned to between steps.
    momentum : float
        Share of the average in where gradients are taken, in (0, 1); b1 of `schedule_free`.
    weight_decay : float
        Factor of the parameters that are added to the gradients.
    warmup_steps : int
        Steps in which the rate grows from 0; 0 for none.
    weight_lr_power
        See `schedule_free`.
    groups : sequence of dict
        Parameters with other hyperparameters; see `Stateful`.

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Notes
    -----
    The steps are those of `schedule_free_sgd`.

    Examples
    --------
    >>> optimizer = volta.optim.SGDScheduleFree({"w": np.full(1, 4.0)}, lr=0.5)
    >>> for _ in range(2):
    ...     new = optimizer.step({"w": np.full(1, 2.0)})
    >>> new["w"].round(4), optimizer.eval_params()["w"].round(4)
    (array([2.45]), array([2.5]))
    """

    @suggesting
    def __init__(
        self,
        params: Any,
        lr: Rate = 1.0,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        warmup_steps: int = 0,
        weight_lr_power: float = 2.0,
        *,
        groups: Groups = (),
    ) -> None:
        super().__init__(
            params,
            groups,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            warmup_steps=warmup_steps,
            weight_lr_power=weight_lr_power,
        )

    def _direction(
        self,
        lr: Rate,
        momentum: float,
        weight_decay: float,
        warmup_steps: int,
        weight_lr_power: float,
    ) -> Optimizer:
        return _downhill(
            schedule_free_sgd(
                lr, warmup_steps or None, momentum, weight_decay or None, weight_lr_power
            )
        )


class AdamWScheduleFree(_ScheduleFree):
    """AdamW in `schedule_free` on a model; its authors' arguments and defaults.

    Parameters
    ----------
    params : Module, or tree of arrays
        While it trains, they are where gradients are taken; `eval_params` are those to use.
    lr : float or callable
        Learning rate, or a schedule from step to rate. May be assigned to between steps.
    betas
        Share of the average in where gradients are taken, in (0, 1), and decay of the mean of
        squares; b1 and b2 of `schedule_free_adamw`.
    eps : float
        Added to the root.
    weight_decay : float
        Share of the parameters, times `lr`, that a step takes away.
    warmup_steps : int
        Steps in which the rate grows from 0; 0 for none.
    weight_lr_power
        See `schedule_free`.
    groups : sequence of dict
        Parameters with other hyperparameters; see `Stateful`.

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Notes
    -----
    The steps are those of `schedule_free_adamw`.

    Examples
    --------
    >>> optimizer = volta.optim.AdamWScheduleFree({"w": np.full(1, 4.0)}, lr=0.5)
    >>> for _ in range(2):
    ...     new = optimizer.step({"w": np.full(1, 2.0)})
    >>> new["w"].round(4), optimizer.eval_params()["w"].round(4)
    (array([3.225]), array([3.25]))
    """

    @suggesting
    def __init__(
        self,
        params: Any,
        lr: Rate = 0.0025,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        warmup_steps: int = 0,
        weight_lr_power: float = 2.0,
        *,
        groups: Groups = (),
    ) -> None:
        super().__init__(
            params,
            groups,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            warmup_steps=warmup_steps,
            weight_lr_power=weight_lr_power,
        )

    def _direction(
        self,
        lr: Rate,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        warmup_steps: int,
        weight_lr_power: float,
    ) -> Optimizer:
        b1, b2 = betas
        return _downhill(
            schedule_free_adamw(
                lr, warmup_steps or None, b1, b2, eps, weight_decay, weight_lr_power
            )
        )


def _downhill(optimizer: Optimizer) -> Optimizer:
    """Optimizer of what `Stateful` subtracts the conjugate of, of one whose updates are added."""

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        updates, state = optimizer.update(grads, state, params)
        return tree.map(lambda u: ops.negative(conjugate(u)), updates), state

    return Optimizer(optimizer.init, update)
