"""Adafactor: second moments of matrices from the means of their rows and columns."""

import math
from typing import Any, NamedTuple

import numpy as np

from volta.core.keywords import suggesting
from volta.core.trace import located, ops
from volta.core.types import as_dtype
from volta.functional import finfo
from volta.optim.average import ema
from volta.optim.base import (
    Optimizer,
    Rate,
    add_decayed_weights,
    chain,
    check_count,
    check_is_number,
    check_number,
    check_rate,
    conjugate,
    following,
    kept,
    known,
    leafwise,
    needed,
    no_steps,
    scale,
    scale_by_schedule,
    times,
)
from volta.optim.clip import clip_by_block_rms
from volta.optim.moments import real, running, squared, widened
from volta.optim.rprop import conjugated
from volta.optim.stateful import Groups, Stateful
from volta.optim.trust_ratio import rms, scale_by_param_block_rms

__all__ = ["Adafactor", "FactoredState", "adafactor", "scale_by_factored_rms"]


class FactoredState(NamedTuple):
    """State of `scale_by_factored_rms`: steps so far; moments of rows and columns, or of all.

    What a parameter does not need has shape (1,).
    """

    count: Any
    v_row: Any
    v_col: Any
    v: Any


@suggesting
def scale_by_factored_rms(
    factored: bool = True,
    decay_rate: float = 0.8,
    step_offset: int = 0,
    min_dim_size_to_factor: int = 128,
    epsilon: float = 1e-30,
) -> Optimizer:
    """Divide gradients by the root of a mean of their squares that is a product of two vectors.

    Parameters
    ----------
    factored : bool
        Whether to keep row and column means of arrays with two axes that are long enough.
    decay_rate : float
        The mean decays by ``1 − t^(−decay_rate)``.
    step_offset : int
        Steps that are not counted, in fine-tuning.
    min_dim_size_to_factor : int
        What is long enough; the two longest axes count.
    epsilon : float
        Added to the squares.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Notes
    -----
    With β = 1 − t^(−decay_rate) and s = |g|² + epsilon::

        row = β · row + (1 − β) · mean(s over columns)
        col = β · col + (1 − β) · mean(s over rows)
        update = g / √(row · col / mean(row)),  or g / √v with v = β · v + (1 − β) · s

    References
    ----------
    N. Shazeer, M. Stern, "Adafactor: adaptive learning rates with sublinear memory cost",
    ICML 2018, https://arxiv.org/abs/1804.04235, algorithm 4.

    Examples
    --------
    >>> factored = volta.optim.scale_by_factored_rms(min_dim_size_to_factor=2)
    >>> state = factored.init(np.zeros((2, 3)))
    >>> state.v_row.shape, state.v_col.shape
    ((2,), (3,))
    """
    check_number("scale_by_factored_rms", "decay_rate", decay_rate)
    check_number("scale_by_factored_rms", "epsilon", epsilon)
    check_count("scale_by_factored_rms", "min_dim_size_to_factor", min_dim_size_to_factor, least=0)
    check_is_number("scale_by_factored_rms", "step_offset", step_offset)

    def axes(p: Any) -> tuple[int, int] | None:
        return _long_axes(tuple(p.shape), min_dim_size_to_factor) if factored else None

    def start(p: Any) -> tuple[Any, Any, Any]:
        dtype = ops.real(widened(p)).dtype if as_dtype(p.dtype).kind == "complex" else None
        zeros = ops.zeros_like(widened(p), dtype=dtype)
        none = ops.broadcast_to(ops.sum(zeros), (1,))
        found = axes(p)
        if found is None:
            return none, none, zeros
        shorter, longer = found
        return ops.sum(zeros, axis=longer), ops.sum(zeros, axis=shorter), none

    def init(params: Any) -> FactoredState:
        rows, cols, full = leafwise("scale_by_factored_rms.init", start, results=3, params=params)
        return FactoredState(no_steps(), rows, cols, full)

    def update(grads: Any, state: FactoredState, params: Any = None) -> tuple[Any, FactoredState]:
        t = known(state.count) + 1 - step_offset

        def leaf(g: Any, row: Any, col: Any, full: Any) -> tuple[Any, ...]:
            wide = widened(g)
            square = ops.add(squared(wide), epsilon)
            decay = 1 - real(t, square) ** -decay_rate
            found = axes(g)
            if found is None:
                full = kept(running(full, square, decay), full)
                return kept(ops.divide(wide, ops.sqrt(full)), g), row, col, full
            shorter, longer = found
            row = kept(running(row, ops.mean(square, axis=longer), decay), row)
            col = kept(running(col, ops.mean(square, axis=shorter), decay), col)
            kept_axis = shorter - 1 if shorter > longer else shorter
            relative = ops.divide(row, ops.mean(row, axis=kept_axis, keepdims=True))
            scaled = ops.divide(wide, ops.sqrt(ops.expand_dims(relative, axis=longer)))
            scaled = ops.divide(scaled, ops.sqrt(ops.expand_dims(col, axis=shorter)))
            return kept(scaled, g), row, col, full

        updates, rows, cols, full = leafwise(
            "scale_by_factored_rms.update",
            leaf,
            results=4,
            shapes=False,
            grads=grads,
            v_row=state.v_row,
            v_col=state.v_col,
            v=state.v,
        )
        return updates, FactoredState(following(state.count), rows, cols, full)

    return Optimizer(init, update)


def _long_axes(shape: tuple[int, ...], least: int) -> tuple[int, int] | None:
    """The second longest and the longest axis, if both are long enough."""
    if len(shape) < 2:
        return None
    shorter, longer = (int(axis) for axis in np.argsort(shape)[-2:])
    return (shorter, longer) if shape[shorter] >= least else None


@suggesting
def adafactor(
    learning_rate: Rate | None = None,
    min_dim_size_to_factor: int = 128,
    decay_rate: float = 0.8,
    decay_offset: int = 0,
    multiply_by_parameter_scale: bool = True,
    clipping_threshold: float | None = 1.0,
    momentum: float | None = None,
    dtype_momentum: Any = "float32",
    weight_decay_rate: Any = None,
    eps: float = 1e-30,
    factored: bool = True,
    weight_decay_mask: Any = None,
) -> Optimizer:
    """Adafactor; optax's arguments and defaults.

    Parameters
    ----------
    learning_rate : float, array of shape (), or callable, optional
        Or a schedule, from step to rate. Without one the steps are those of the parameters' scale.
    min_dim_size_to_factor, decay_rate, decay_offset, eps, factored
        See `scale_by_factored_rms`, of which `decay_offset` is `step_offset`.
    multiply_by_parameter_scale : bool
        Whether steps are in proportion to the parameters; see `scale_by_param_block_rms`.
    clipping_threshold : float, optional
        See `clip_by_block_rms`.
    momentum : float, optional
        Decay of a mean of the updates.
    dtype_momentum : dtype
        Of that mean.
    weight_decay_rate : float, array of shape (), or callable, optional
        Share of the parameters that a step takes away, not multiplied by the rate.
    weight_decay_mask : tree of bool, or callable, optional
        Which parameters decay; as for `masked`.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Examples
    --------
    >>> optimizer = volta.optim.adafactor(0.1)
    >>> w = np.asarray([2.0])
    >>> optimizer.update(np.asarray([5.0]), optimizer.init(w), w)[0].round(4)
    array([-0.2])
    """
    for name, value, below in (
        ("decay_rate", decay_rate, math.inf),
        ("eps", eps, math.inf),
        ("clipping_threshold", clipping_threshold, math.inf),
        ("momentum", momentum, 1.0),
    ):
        if value is not None:
            check_number("adafactor", name, value, below)
    for name, value in (("learning_rate", learning_rate), ("weight_decay_rate", weight_decay_rate)):
        if value is not None:
            check_rate("adafactor", value, name)
    links = [scale_by_factored_rms(factored, decay_rate, decay_offset, min_dim_size_to_factor, eps)]
    if clipping_threshold is not None:
        links.append(clip_by_block_rms(clipping_threshold))
    if learning_rate is not None:
        rate = learning_rate
        links.append(scale_by_schedule(rate) if callable(rate) else scale(rate))
    if multiply_by_parameter_scale:
        links.append(scale_by_param_block_rms())
    if momentum is not None:
        links.append(ema(momentum, debias=False, accumulator_dtype=dtype_momentum))
    if weight_decay_rate is not None:
        links.append(add_decayed_weights(weight_decay_rate, weight_decay_mask))
    return chain(*links, conjugated(), scale(-1.0))


def _torch_adafactor(
    lr: Any, beta2_decay: float, eps: tuple[float | None, float], d: float, weight_decay: Any
) -> Optimizer:
    """Whole steps of PyTorch's Adafactor, decay of the parameters included."""

    def start(p: Any) -> tuple[Any, Any, Any]:
        zeros = ops.zeros_like(squared(widened(p)))
        none = ops.broadcast_to(ops.sum(zeros), (1,))
        if len(p.shape) < 2:
            return none, none, zeros
        return ops.sum(zeros, axis=-1, keepdims=True), ops.sum(zeros, axis=-2, keepdims=True), none

    def init(params: Any) -> FactoredState:
        return FactoredState(
            no_steps(), *leafwise("Adafactor.init", start, results=3, params=params)
        )

    def update(grads: Any, state: FactoredState, params: Any = None) -> tuple[Any, FactoredState]:
        t = known(state.count) + 1

        def leaf(g: Any, p: Any, row: Any, col: Any, full: Any) -> tuple[Any, ...]:
            wide = widened(g)
            square = squared(wide)
            share = 1 - real(t, square) ** beta2_decay
            least = eps[0] if eps[0] is not None else finfo(p.dtype).eps
            if len(g.shape) > 1:
                row = kept(running(row, ops.mean(square, axis=-1, keepdims=True), share), row)
                col = kept(running(col, ops.mean(square, axis=-2, keepdims=True), share), col)
                scale = ops.maximum(ops.mean(row, axis=-2, keepdims=True), least)
                v = ops.divide(ops.multiply(row, col), scale)
            else:
                full = v = kept(running(full, square, share), full)
            direction = ops.divide(wide, ops.sqrt(ops.maximum(v, least * least)))
            clipped = ops.divide(direction, ops.maximum(ops.divide(rms(direction), d), 1.0))
            rate = ops.minimum(real(t, square) ** -0.5 * ops.ones_like(rms(p)), lr)
            step = ops.multiply(clipped, ops.multiply(rms(p, eps[1]), rate))
            step = ops.add(step, times(conjugate(widened(p)), lr * weight_decay))
            return kept(step, g), row, col, full

        steps, *after = leafwise(
            "Adafactor.update",
            leaf,
            results=4,
            shapes=False,
            grads=grads,
            params=needed("Adafactor", params),
            v_row=state.v_row,
            v_col=state.v_col,
            v=state.v,
        )
        return steps, FactoredState(following(state.count), *after)

    return Optimizer(init, update)


class Adafactor(Stateful):
    """Adafactor on a model; PyTorch's arguments and defaults.

    Parameters
    ----------
    params : Module, or tree of arrays
    lr : float or callable
        Learning rate, or a schedule from step to rate. May be assigned to between steps.
    beta2_decay : float
        The mean of squares decays by ``1 − t^beta2_decay``.
    eps : pair of float
        Least root of a mean of squares, by default the dtype's epsilon, and least scale of a
        parameter.
    d : float
        Root mean square above which an update is clipped.
    weight_decay : float
        Share of the parameters, times `lr`, that a step takes away.
    maximize : bool
        Whether to climb.
    groups : sequence of dict
        Parameters with other hyperparameters; see `Stateful`.

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Notes
    -----
    It differs from `adafactor`: every array of two axes or more is factored, along its last two;
    the step is ``min(lr, 1/√t) · max(eps[1], rms(p))``.

    Examples
    --------
    >>> optimizer = volta.optim.Adafactor({"w": np.ones(1)}, lr=0.1)
    >>> {k: v.round(4) for k, v in optimizer.step({"w": np.full(1, 2.0)}).items()}
    {'w': array([0.9])}
    """

    _own_rate = True

    @suggesting
    def __init__(
        self,
        params: Any,
        lr: Rate = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        groups: Groups = (),
    ) -> None:
        super().__init__(
            params,
            groups,
            lr=lr,
            beta2_decay=beta2_decay,
            eps=eps,
            d=d,
            weight_decay=weight_decay,
            maximize=maximize,
        )

    def _direction(
        self,
        lr: Rate,
        beta2_decay: float,
        eps: tuple[float | None, float],
        d: float,
        weight_decay: float,
    ) -> Optimizer:
        if type(beta2_decay) in (int, float) and beta2_decay > 0:
            msg = f"Adafactor: beta2_decay must be at most 0; got {beta2_decay}."
            raise located(ValueError(msg))
        if type(d) in (int, float) and d < 1:
            msg = f"Adafactor: d must be at least 1; got {d}."
            raise located(ValueError(msg))
        check_number("Adafactor", "eps[0]", 0.0 if eps[0] is None else eps[0])
        check_number("Adafactor", "eps[1]", eps[1])
        check_number("Adafactor", "weight_decay", weight_decay)
        return _torch_adafactor(lr, beta2_decay, eps, d, weight_decay)
