"""Smaller steps once a number no longer becomes better."""

from typing import Any, NamedTuple

import numpy as np

from volta.core.keywords import suggesting
from volta.core.trace import located, ops
from volta.optim.base import Optimizer, check_number, following, known, leafwise, no_steps, times
from volta.optim.moments import real

__all__ = ["ReduceLROnPlateauState", "reduce_on_plateau"]


class ReduceLROnPlateauState(NamedTuple):
    """State of `reduce_on_plateau`: scale, best number, means without a better, waits, mean."""

    scale: Any
    best_value: Any
    plateau_count: Any
    cooldown_count: Any
    count: Any
    avg_value: Any


@suggesting
def reduce_on_plateau(
    factor: float = 0.1,
    patience: int = 10,
    rtol: float = 1e-4,
    atol: float = 0.0,
    cooldown: int = 0,
    accumulation_size: int = 1,
    min_scale: float = 0.0,
) -> Optimizer:
    """Multiply updates by a scale that falls when a number stays; optax's arguments and defaults.

    It comes last in a chain, and its `update` takes the number, such as the loss, as ``value=``.

    Parameters
    ----------
    factor : float
        Of the scale when it falls, in (0, 1).
    patience : int
        Numbers in a row that are not better, after which it falls; at least 1.
    rtol, atol : float
        How much better a number must be, as a share of the best and at least; not both 0.
    cooldown : int
        Numbers after a fall that do not count.
    accumulation_size : int
        How many numbers are averaged to one, at least 1.
    min_scale : float
        Least scale, in [0, 1].

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range; from `update`, if there is no ``value=``.

    Notes
    -----
    A number is better if ``value < (1 − rtol) · best − atol``: less is better. The stateful one,
    PyTorch's, is `ReduceLROnPlateau`; it waits for one number more.

    Examples
    --------
    >>> optimizer = volta.optim.chain(
    ...     volta.optim.sgd(1.0), volta.optim.reduce_on_plateau(factor=0.5, patience=2)
    ... )
    >>> w, scales = np.asarray([1.0]), []
    >>> state = optimizer.init(w)
    >>> for loss in (3.0, 2.0, 2.0, 2.0):
    ...     updates, state = optimizer.update(w, state, w, value=loss)
    ...     scales.append(float(updates[0]))
    >>> scales
    [-1.0, -1.0, -1.0, -0.5]
    """
    _check("factor", factor, "in (0, 1)", 0 < factor < 1)
    for name, size in (("patience", patience), ("accumulation_size", accumulation_size)):
        _check(name, size, "a positive integer", type(size) is int and size > 0)
    _check("cooldown", cooldown, "an integer, at least 0", type(cooldown) is int and cooldown >= 0)
    _check("rtol", rtol, "in [0, 1]", 0 <= rtol <= 1)
    check_number("reduce_on_plateau", "atol", atol)
    _check("atol", atol, "positive if rtol is 0", rtol > 0 or atol > 0)
    _check("min_scale", min_scale, "in [0, 1]", 0 <= min_scale <= 1)

    def init(params: Any) -> ReduceLROnPlateauState:
        one, worst, zero = map(np.asarray, (1.0, np.inf, 0.0))
        return ReduceLROnPlateauState(one, worst, no_steps(), no_steps(), no_steps(), zero)

    def judged(state: ReduceLROnPlateauState, mean: Any) -> tuple[Any, ...]:
        """State after a mean of numbers."""
        limit = ops.subtract(ops.multiply(state.best_value, 1 - rtol), atol)
        better = ops.less(mean, limit)
        waiting = ops.greater(state.cooldown_count, 0)
        bad = ops.where(better, 0, following(state.plateau_count))
        falls = ops.logical_and(ops.equal(bad, patience), ops.logical_not(waiting))
        return (
            ops.where(
                falls, ops.maximum(ops.multiply(state.scale, factor), min_scale), state.scale
            ),
            ops.where(better, mean, state.best_value),
            ops.where(ops.logical_or(falls, waiting), 0, bad),
            ops.where(falls, cooldown, ops.maximum(ops.subtract(state.cooldown_count, 1), 0)),
            no_steps(),
            ops.zeros_like(mean),
        )

    def update(
        grads: Any, state: ReduceLROnPlateauState, params: Any = None, *, value: Any = None
    ) -> tuple[Any, ReduceLROnPlateauState]:
        if value is None:
            msg = "reduce_on_plateau.update: needs the number to judge; got none. Pass value=."
            raise located(ValueError(msg))
        count = following(state.count)
        change = ops.subtract(value, state.avg_value)
        mean = ops.add(state.avg_value, ops.divide(change, real(known(count), change)))
        due = ops.equal(count, accumulation_size)
        waited = (*state[:4], count, mean)
        after = ReduceLROnPlateauState(
            *[
                _like(ops.where(due, new, old), before)
                for new, old, before in zip(judged(state, mean), waited, state, strict=True)
            ]
        )
        updates = leafwise("reduce_on_plateau.update", lambda g: times(g, after.scale), grads=grads)
        return updates, after

    return Optimizer(init, update)


def _check(name: str, value: Any, wanted: str, holds: bool) -> None:
    if not holds:
        msg = f"reduce_on_plateau: {name} must be {wanted}; got {value!r}."
        raise located(ValueError(msg))


def _like(x: Any, before: Any) -> Any:
    """Array of the dtype that it had, not one of NumPy's scalars."""
    return np.asarray(x, before.dtype) if isinstance(x, np.generic) else x
