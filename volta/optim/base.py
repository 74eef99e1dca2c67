"""Optimizers as pairs of pure functions, and what they are chained from.

What goes through a chain is gradients, in the convention of `volta.grad`, until
`scale_by_learning_rate` makes a step of them: for complex parameters that is where the conjugate
is taken, so that descent is descent.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from volta.core import tree
from volta.core.errors import DTypeError, ShapeError
from volta.core.keywords import suggesting
from volta.core.trace import located, ops
from volta.core.tracer import Tracer
from volta.core.types import as_dtype, typeof

__all__ = [
    "EmptyState",
    "Optimizer",
    "ScheduleState",
    "add_decayed_weights",
    "apply_updates",
    "chain",
    "scale_by_learning_rate",
]

Rate = Any  # a number, an array of shape (), or a schedule: a function from step to either


class Optimizer(NamedTuple):
    """A pair of pure functions, which run under every transform.

    Attributes
    ----------
    init : callable
        ``init(params) -> state``.
    update : callable
        ``update(grads, state, params=None) -> (updates, state)``; `grads` is a tree like
        `params`, and so is `updates`, which `apply_updates` adds to them.
    """

    init: Callable[[Any], Any]
    update: Callable[..., tuple[Any, Any]]


class EmptyState(NamedTuple):
    """State of an optimizer that has none."""


class ScheduleState(NamedTuple):
    """State of `scale_by_learning_rate` with a schedule: the number of steps so far."""

    step: Any


def chain(*optimizers: Any) -> Optimizer:
    """Make one optimizer of several: each gets the updates of the one before.

    Parameters
    ----------
    *optimizers : Optimizer

    Returns
    -------
    Optimizer
        Its state is the tuple of theirs.

    Raises
    ------
    TypeError
        If one is no pair of functions.

    Examples
    --------
    >>> optimizer = volta.optim.chain(
    ...     volta.optim.add_decayed_weights(0.1), volta.optim.scale_by_learning_rate(0.5)
    ... )
    >>> params = {"w": np.asarray([2.0])}
    >>> state = optimizer.init(params)
    >>> updates, state = optimizer.update({"w": np.asarray([1.0])}, state, params)
    >>> updates
    {'w': array([-0.6])}
    """
    for optimizer in optimizers:
        if not isinstance(optimizer, tuple) or len(optimizer) != 2:
            msg = f"chain: takes optimizers, pairs (init, update); got {optimizer!r}."
            raise located(TypeError(msg))

    def init(params: Any) -> Any:
        return tuple([o.init(params) for o in optimizers])

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        if len(state) != len(optimizers):
            msg = (
                f"chain.update: the state must be that of {len(optimizers)} optimizers; got "
                f"{len(state)}. Make it with init."
            )
            raise located(ValueError(msg))
        states = []
        for optimizer, before in zip(optimizers, state, strict=True):
            grads, after = optimizer.update(grads, before, params)
            states.append(after)
        return grads, tuple(states)

    return Optimizer(init, update)


def apply_updates(params: Any, updates: Any) -> Any:
    """Add updates to parameters.

    Parameters
    ----------
    params, updates : tree
        Of one structure.

    Returns
    -------
    tree
        New parameters, of the dtypes of `params`.

    Raises
    ------
    ShapeError
        If the structures or shapes differ.

    Examples
    --------
    >>> volta.optim.apply_updates({"w": np.asarray([1.0])}, {"w": np.asarray([-0.5])})
    {'w': array([0.5])}
    """
    return leafwise(
        "apply_updates", lambda p, u: kept(ops.add(p, u), p), params=params, updates=updates
    )


@suggesting
def scale_by_learning_rate(learning_rate: Rate) -> Optimizer:
    """Turn gradients into steps downhill: ``−rate · conj(gradient)``.

    Parameters
    ----------
    learning_rate : float, array of shape (), or callable
        A schedule is called with the number of steps so far, 0 in the first.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If the rate is negative or not finite.
    TypeError
        If it is neither a number, an array nor a function.

    Examples
    --------
    >>> halving = volta.optim.scale_by_learning_rate(lambda step: 0.5**step)
    >>> state = halving.init(None)
    >>> _, state = halving.update(np.asarray(3.0), state)
    >>> halving.update(np.asarray(3.0), state)
    (array(-1.5), ScheduleState(step=2))
    """
    check_rate("scale_by_learning_rate", learning_rate)
    scheduled = callable(learning_rate)

    def init(params: Any) -> Any:
        return ScheduleState(0) if scheduled else EmptyState()

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        rate = rate_at(learning_rate, state.step) if scheduled else learning_rate
        updates = leafwise(
            "scale_by_learning_rate.update", lambda g: times(conjugate(g), -rate), grads=grads
        )
        return updates, ScheduleState(state.step + 1) if scheduled else state

    return Optimizer(init, update)


@suggesting
def add_decayed_weights(weight_decay: float = 0.0) -> Optimizer:
    """Add ``weight_decay · conj(params)`` to the gradients.

    Before an optimizer that is the gradient of ½·weight_decay·|params|², after it decoupled decay.

    Parameters
    ----------
    weight_decay : float

    Returns
    -------
    Optimizer
        Its `update` needs `params`.

    Raises
    ------
    ValueError
        If `weight_decay` is negative or not finite; from `update`, if there are no params.

    Examples
    --------
    >>> decay = volta.optim.add_decayed_weights(0.1)
    >>> decay.update(np.asarray(1.0), decay.init(None), np.asarray(5.0))
    (array(1.5), EmptyState())
    """
    check_number("add_decayed_weights", "weight_decay", weight_decay)

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        if params is None:
            msg = "add_decayed_weights.update: needs the parameters; got none. Pass params=."
            raise located(ValueError(msg))
        updates = leafwise(
            "add_decayed_weights.update",
            lambda g, p: kept(ops.add(g, times(conjugate(p), weight_decay)), g),
            grads=grads,
            params=params,
        )
        return updates, state

    return Optimizer(lambda params: EmptyState(), update)


# Leaves -----------------------------------------------------------------------------------------


def leafwise(
    operation: str, f: Callable[..., Any], *, results: int | None = None, **trees: Any
) -> Any:
    """Apply `f` to the leaves of trees that must be alike: a tree, or `results` of them."""
    names = list(trees)
    flat = [tree.flatten(t) for t in trees.values()]
    for name, (leaves, spec) in zip(names, flat, strict=True):
        for i, leaf in enumerate(leaves):
            if not hasattr(leaf, "dtype"):
                msg = (
                    f"{operation}: {name} must hold arrays; got {type(leaf).__name__} at "
                    f"{tree.keystr(spec.paths()[i])}."
                )
                raise DTypeError(msg)
    first, spec = flat[0]
    for name, (leaves, other) in zip(names[1:], flat[1:], strict=True):
        if other != spec:
            msg = (
                f"{operation}: {name} must have the structure of {names[0]}; got "
                f"{_difference(other, spec)}. Take grads of the params that init was given."
            )
            raise ShapeError(msg)
        for i, (a, b) in enumerate(zip(first, leaves, strict=True)):
            if a.shape != b.shape and tuple(a.shape) != tuple(b.shape):
                msg = (
                    f"{operation}: {name} must have the shapes of {names[0]}; got "
                    f"{tuple(b.shape)} and {tuple(a.shape)} at {tree.keystr(spec.paths()[i])}."
                )
                raise ShapeError(msg)
    made = [f(*row) for row in zip(*[leaves for leaves, _ in flat], strict=True)]
    if results is None:
        return tree.unflatten(spec, made)
    return tuple([tree.unflatten(spec, [out[k] for out in made]) for k in range(results)])


def _difference(got: tree.PyTreeSpec, wanted: tree.PyTreeSpec) -> str:
    here, there = (list(map(tree.keystr, spec.paths())) for spec in (got, wanted))
    missing = [path for path in there if path not in here]
    extra = [path for path in here if path not in there]
    if not missing and not extra:
        return f"{got} and {wanted}"
    listed = (("nothing at ", missing), ("more at ", extra))
    return " and ".join(text + ", ".join(paths) for text, paths in listed if paths)


def conjugate(x: Any) -> Any:
    """Complex conjugate; real arrays as they are."""
    return ops.conj(x) if as_dtype(x.dtype).kind == "complex" else x


def times(x: Any, factor: Any) -> Any:
    """``x · factor`` in the dtype of x, for a factor that is a number or an array of shape ()."""
    return kept(ops.multiply(x, number(factor)), x)


def kept(new: Any, x: Any) -> Any:
    """Convert `new` to the dtype of `x`."""
    return new if new.dtype == x.dtype else ops.astype(new, x.dtype)


def number(value: Any) -> Any:
    """Python number of a NumPy scalar, which would decide the dtype; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def rate_at(rate: Rate, step: Any) -> Any:
    """Learning rate of a step."""
    return number(rate(step) if callable(rate) else rate)


# Hyperparameters --------------------------------------------------------------------------------


def check_rate(operation: str, rate: Rate, name: str = "learning_rate") -> None:
    """Raise unless `rate` is a schedule, an array of shape (), or finite and not negative."""
    if not callable(rate):
        check_number(operation, name, rate)


def check_number(operation: str, name: str, value: Any, below: float = math.inf) -> None:
    """Raise unless a hyperparameter is an array of shape () or a number in [0, below)."""
    value = number(value)
    if isinstance(value, int | float):
        if not 0 <= value < below:
            upper = "" if below == math.inf else f" and less than {below:g}"
            msg = f"{operation}: {name} must be finite, at least 0{upper}; got {value}."
            raise located(ValueError(msg))
    elif not hasattr(value, "dtype") or typeof(value).shape != ():
        msg = f"{operation}: {name} must be a number; got {_described(value)}."
        raise located(TypeError(msg))


def _described(value: Any) -> str:
    if hasattr(value, "dtype") or type(value) is Tracer:
        return f"an array of shape {tuple(value.shape)}"
    return type(value).__name__
