"""Averages over steps: of updates, of parameters, and lookahead."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np

from volta.core import tree
from volta.core.errors import LoadError
from volta.core.keywords import suggesting
from volta.core.trace import located, ops
from volta.core.types import as_dtype
from volta.io.state import StateDict
from volta.nn.module import Module
from volta.optim.base import (
    Optimizer,
    check_count,
    check_number,
    either,
    following,
    kept,
    known,
    leafwise,
    needed,
    no_steps,
    times,
    with_extra_args_support,
)
from volta.optim.moments import correction, debiased, elementwise, like, running, widened

__all__ = [
    "AveragedModel",
    "EmaState",
    "LookaheadParams",
    "LookaheadState",
    "ParamsEmaState",
    "ema",
    "get_ema_avg_fn",
    "get_swa_avg_fn",
    "incremental_update",
    "lookahead",
    "params_ema",
]


class EmaState(NamedTuple):
    """State of `ema`: steps so far, and the mean."""

    count: Any
    ema: Any


@suggesting
def ema(decay: float, debias: bool = True, accumulator_dtype: Any = None) -> Optimizer:
    """Replace updates by their exponential moving average.

    Parameters
    ----------
    decay : float
        Weight of what was before, in [0, 1).
    debias : bool
        Whether to divide by the weight of the terms so far.
    accumulator_dtype : dtype, optional
        Of the mean; by default the parameters', or float32 for those of 16 bits.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If `decay` is out of its range.

    Notes
    -----
    ``mean = decay · mean + (1 − decay) · update``. For the mean of parameters see `params_ema`.

    Examples
    --------
    >>> ema = volta.optim.ema(0.5)
    >>> _, state = ema.update(np.asarray(1.0), ema.init(np.asarray(0.0)))
    >>> ema.update(np.asarray(4.0), state)[0]
    array(3.)
    """
    check_number("ema", "decay", decay, 1.0)

    def rule(g: Any, t: Any, mean: Any) -> tuple[Any, Any]:
        mean = running(mean, g, decay)
        return debiased(mean, decay, t) if debias else mean, mean

    return elementwise("ema", EmaState, lambda p: (like(p, dtype=accumulator_dtype),), rule)


class ParamsEmaState(NamedTuple):
    """State of `params_ema`: steps so far, and the mean of the parameters."""

    count: Any
    ema: Any


@suggesting
def params_ema(decay: float, debias: bool = False) -> Optimizer:
    """Keep the exponential moving average of the parameters; updates stay as they are.

    It comes last in a chain, where ``params + updates`` are the new parameters.

    Parameters
    ----------
    decay : float
        Weight of what was before, in [0, 1).
    debias : bool
        Whether the mean begins with zeros and is divided by the weight of its terms, instead of
        beginning with the parameters.

    Returns
    -------
    Optimizer
        Its `update` needs `params`. The mean is ``state.ema``, of the dtype of the parameters, or
        float32 for those of 16 bits.

    Raises
    ------
    ValueError
        If `decay` is out of its range.

    References
    ----------
    B. T. Polyak, A. B. Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J.
    Control Optim. 30 (1992), https://doi.org/10.1137/0330046.

    Examples
    --------
    >>> optimizer = volta.optim.chain(volta.optim.sgd(1.0), volta.optim.params_ema(0.75))
    >>> w = np.asarray([4.0])
    >>> _, (_, averaged) = optimizer.update(np.asarray([4.0]), optimizer.init(w), w)
    >>> averaged.ema
    array([3.])
    """
    check_number("params_ema", "decay", decay, 1.0)

    def start(p: Any) -> Any:
        return like(p) if debias else ops.asarray(widened(p), copy=True)

    def init(params: Any) -> ParamsEmaState:
        return ParamsEmaState(no_steps(), leafwise("params_ema.init", start, params=params))

    def update(grads: Any, state: ParamsEmaState, params: Any = None) -> tuple[Any, ParamsEmaState]:
        count = following(state.count)
        t = known(count)

        def leaf(u: Any, p: Any, mean: Any) -> Any:
            new = ops.add(widened(p), widened(u))
            if not debias:
                return kept(running(mean, new, decay), mean)
            before = ops.multiply(mean, correction(decay, known(state.count), mean))
            return kept(debiased(running(before, new, decay), decay, t), mean)

        mean = leafwise(
            "params_ema.update",
            leaf,
            grads=grads,
            params=needed("params_ema", params),
            ema=state.ema,
        )
        return grads, ParamsEmaState(count, mean)

    return Optimizer(init, update)


@suggesting
def incremental_update(new_tensors: Any, old_tensors: Any, step_size: Any) -> Any:
    """Go from old arrays towards new ones: ``step_size · new + (1 − step_size) · old``.

    Parameters
    ----------
    new_tensors, old_tensors : tree of arrays
        Of one structure.
    step_size : float, or array of shape ()

    Returns
    -------
    tree
        Of the dtypes of `old_tensors`.

    Raises
    ------
    ShapeError
        If structures or shapes differ.

    Examples
    --------
    >>> volta.optim.incremental_update(np.asarray(4.0), np.asarray(0.0), 0.25)
    array(1.)
    """
    return leafwise(
        "incremental_update",
        lambda old, new: kept(running(widened(old), widened(new), 1 - step_size), old),
        old_tensors=old_tensors,
        new_tensors=new_tensors,
    )


AvgFn = Callable[[Any, Any, int], Any]


class AveragedModel:
    """A copy of a model whose parameters are averages over steps; PyTorch's.

    Parameters
    ----------
    model : Module
    avg_fn : callable, optional
        From the average of a parameter, its value now, and the number of values so far to the new
        average. By default `get_swa_avg_fn`, the mean; `get_ema_avg_fn` is exponential.
    use_buffers : bool
        Whether buffers of floating numbers are averaged too, instead of copied.

    Attributes
    ----------
    module : Module
        The copy, to evaluate with.
    n_averaged : int
        Number of values so far.

    Raises
    ------
    TypeError
        If `model` is no module.

    References
    ----------
    P. Izmailov et al., "Averaging weights leads to wider optima and better generalization", UAI
    2018, https://arxiv.org/abs/1803.05407.

    Examples
    --------
    >>> model = volta.nn.Linear(1, 1, key=F.random.key(0))
    >>> averaged = volta.optim.AveragedModel(model, volta.optim.get_ema_avg_fn(0.75))
    >>> for value in (0.0, 4.0):
    ...     model.update({"bias": np.full(1, value, np.float32)})
    ...     averaged.update_parameters(model)
    >>> averaged.module.bias
    array([1.], dtype=float32)
    """

    @suggesting
    def __init__(self, model: Any, avg_fn: AvgFn | None = None, use_buffers: bool = False) -> None:
        if not isinstance(model, Module):
            msg = f"AveragedModel: takes a Module; got {type(model).__name__}."
            raise located(TypeError(msg))
        self.module: Module = deepcopy(model)
        self.n_averaged = 0
        self._avg_fn = get_swa_avg_fn() if avg_fn is None else avg_fn
        self._use_buffers = use_buffers

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the copy."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the parameters of the model as they are now; the first are copied.

        Parameters
        ----------
        model : Module
            Of the same layers.

        Raises
        ------
        ShapeError
            If names or shapes differ; nothing is changed then.
        """
        new, buffers = model.parameters(), model.buffers()
        old = self.module.parameters()
        if self._use_buffers:
            floating = {k: b for k, b in buffers.items() if as_dtype(b.dtype).kind != "int"}
            new = new | floating
            old = old | {k: b for k, b in self.module.buffers().items() if k in floating}

        def leaf(mean: Any, x: Any) -> Any:
            return kept(self._avg_fn(mean, x, self.n_averaged) if self.n_averaged else x, mean)

        averages = leafwise("AveragedModel.update_parameters", leaf, averages=old, parameters=new)
        self.module.update(buffers | averages)
        self.n_averaged += 1

    def state_dict(self) -> StateDict:
        """Return the number of values and the arrays of the copy, ``module.…``, to be saved."""
        state = self.module.state_dict()
        named = {f"module.{name}": x for name, x in state.items()}
        return StateDict(
            {"n_averaged": np.asarray(self.n_averaged), **named}, metadata=state.metadata
        )

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from a state that `state_dict` returned.

        Parameters
        ----------
        state_dict : mapping of str to array

        Raises
        ------
        LoadError
            If names or shapes do not fit; nothing is changed then.
        """
        if "n_averaged" not in state_dict or tuple(state_dict["n_averaged"].shape):
            msg = (
                "AveragedModel.load_state_dict: the state must have n_averaged of shape (); got "
                f"{', '.join(state_dict) or 'nothing'}. Nothing was changed."
            )
            raise located(LoadError(msg))
        rest = {n.removeprefix("module."): x for n, x in state_dict.items() if n != "n_averaged"}
        metadata = getattr(state_dict, "metadata", {"format": "volta"})
        self.module.load_state_dict(StateDict(rest, metadata=metadata))
        self.n_averaged = int(state_dict["n_averaged"])


@suggesting
def get_ema_avg_fn(decay: float = 0.999) -> AvgFn:
    """Exponential moving average for `AveragedModel`: ``decay · mean + (1 − decay) · x``.

    Parameters
    ----------
    decay : float
        Weight of what was before, in [0, 1).

    Returns
    -------
    callable

    Raises
    ------
    ValueError
        If `decay` is out of its range.

    Examples
    --------
    >>> volta.optim.get_ema_avg_fn(0.75)(np.asarray(0.0), np.asarray(4.0), 1)
    array(1.)
    """
    check_number("get_ema_avg_fn", "decay", decay, 1.0)
    return lambda mean, x, n: running(widened(mean), widened(x), decay)


def get_swa_avg_fn() -> AvgFn:
    """Mean of all for `AveragedModel`: ``mean + (x − mean) / (n + 1)``.

    Returns
    -------
    callable

    Examples
    --------
    >>> volta.optim.get_swa_avg_fn()(np.asarray(0.0), np.asarray(4.0), 1)
    array(2.)
    """

    def average(mean: Any, x: Any, n: int) -> Any:
        mean, x = widened(mean), widened(x)
        return ops.add(mean, ops.divide(ops.subtract(x, mean), n + 1))

    return average


class LookaheadState(NamedTuple):
    """State of `lookahead`: that of the fast optimizer, and steps since the last meeting."""

    fast_state: Any
    steps_since_sync: Any


class LookaheadParams(NamedTuple):
    """Parameters of `lookahead`; ``LookaheadParams(params, params)`` is where both begin."""

    fast: Any
    slow: Any


@suggesting
def lookahead(
    fast_optimizer: Optimizer, sync_period: int, slow_step_size: float, reset_state: bool = False
) -> Optimizer:
    """Let slow parameters follow fast ones, and the fast ones begin again from there.

    Parameters
    ----------
    fast_optimizer : Optimizer
    sync_period : int
        Steps between two meetings, at least 1.
    slow_step_size : float
        Share of the way that the slow parameters go.
    reset_state : bool
        Whether the fast optimizer begins again too.

    Returns
    -------
    Optimizer
        Of `LookaheadParams`; gradients are those of ``params.fast``.

    Raises
    ------
    ValueError
        If a number is out of its range.
    TypeError
        From `init` and `update`, if the parameters are no `LookaheadParams`.

    References
    ----------
    M. Zhang et al., "Lookahead optimizer: k steps forward, 1 step back", NeurIPS 2019,
    https://arxiv.org/abs/1907.08610, algorithm 1.

    Examples
    --------
    >>> optimizer = volta.optim.lookahead(volta.optim.sgd(1.0), 1, 0.5)
    >>> params = volta.optim.LookaheadParams(np.asarray([4.0]), np.asarray([4.0]))
    >>> updates, _ = optimizer.update(np.asarray([2.0]), optimizer.init(params), params)
    >>> volta.optim.apply_updates(params, updates)
    LookaheadParams(fast=array([3.]), slow=array([3.]))
    """
    check_count("lookahead", "sync_period", sync_period)
    check_number("lookahead", "slow_step_size", slow_step_size)
    fast_optimizer = with_extra_args_support(fast_optimizer)

    def init(params: Any) -> LookaheadState:
        return LookaheadState(fast_optimizer.init(_both("init", params).fast), no_steps())

    def update(
        grads: Any, state: LookaheadState, params: Any = None, **extra: Any
    ) -> tuple[LookaheadParams, LookaheadState]:
        fast, slow = _both("update", params)
        updates, after = fast_optimizer.update(grads, state.fast_state, fast, **extra)
        since = following(state.steps_since_sync)

        def meet() -> Any:
            way = leafwise(
                "lookahead.update",
                lambda f, u, s: kept(ops.subtract(ops.add(f, u), s), f),
                fast=fast,
                updates=updates,
                slow=slow,
            )
            ahead = tree.map(
                lambda u, w: kept(ops.subtract(u, times(w, 1 - slow_step_size)), u), updates, way
            )
            begun = fast_optimizer.init(fast) if reset_state else after
            return ahead, tree.map(lambda w: times(w, slow_step_size), way), begun, no_steps()

        def part() -> Any:
            return updates, tree.map(ops.zeros_like, slow), after, since

        fast_step, slow_step, after, since = either(ops.equal(since, sync_period), meet, part)
        return LookaheadParams(fast_step, slow_step), LookaheadState(after, since)

    return Optimizer(init, update)


def _both(name: str, params: Any) -> LookaheadParams:
    if not isinstance(params, LookaheadParams):
        msg = (
            f"lookahead.{name}: the parameters must be LookaheadParams; got "
            f"{type(params).__name__}. Make them of params with LookaheadParams(params, params)."
        )
        raise located(TypeError(msg))
    return params
