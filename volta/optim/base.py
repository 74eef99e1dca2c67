"""Optimizers as pairs of pure functions, and what they are chained from.

What goes through a chain is gradients, in the convention of `volta.grad`, until
`scale_by_learning_rate` makes a step of them: for complex parameters that is where the conjugate
is taken, so that descent is descent.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from volta.core import tree
from volta.core.context import STAGING
from volta.core.errors import DTypeError, ShapeError
from volta.core.keywords import suggesting
from volta.core.trace import located, ops
from volta.core.tracer import Tracer
from volta.core.types import as_dtype, typeof
from volta.transforms.cond import cond

__all__ = [
    "EmptyState",
    "Optimizer",
    "ScheduleState",
    "add_decayed_weights",
    "apply_updates",
    "chain",
    "identity",
    "named_chain",
    "scale",
    "scale_by_learning_rate",
    "scale_by_schedule",
    "set_to_zero",
    "with_extra_args_support",
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
        `params`, and so is `updates`, which `apply_updates` adds to them. One that needs more, as
        a line search does, takes it by keyword; `chain` and its kin pass keywords on.
    """

    init: Callable[[Any], Any]
    update: Callable[..., tuple[Any, Any]]


class EmptyState(NamedTuple):
    """State of an optimizer that has none."""


class ScheduleState(NamedTuple):
    """State of what follows a schedule: the number of steps so far."""

    step: Any


def with_extra_args_support(optimizer: Any) -> Optimizer:
    """Let an optimizer's `update` take any keywords: those that it does not know, it drops.

    Parameters
    ----------
    optimizer : Optimizer

    Returns
    -------
    Optimizer

    Examples
    --------
    >>> optimizer = volta.optim.with_extra_args_support(volta.optim.scale(2.0))
    >>> optimizer.update(np.asarray(3.0), optimizer.init(None), value=0.5)
    (array(6.), EmptyState())
    """
    parameters = inspect.signature(optimizer.update).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return Optimizer(*optimizer)
    known = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}

    def update(grads: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        taken = {name: value for name, value in extra.items() if name in known}
        updates, new = optimizer.update(grads, state, params, **taken)
        return updates, new

    return Optimizer(optimizer.init, update)


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
    links = _links("chain", optimizers)

    def init(params: Any) -> Any:
        return tuple([link.init(params) for link in links])

    def update(grads: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        if len(state) != len(links):
            msg = (
                f"chain.update: the state must be that of {len(links)} optimizers; got "
                f"{len(state)}. Make it with init."
            )
            raise located(ValueError(msg))
        states = []
        for link, before in zip(links, state, strict=True):
            grads, after = link.update(grads, before, params, **extra)
            states.append(after)
        return grads, tuple(states)

    return Optimizer(init, update)


def _links(operation: str, optimizers: Any) -> list[Optimizer]:
    for optimizer in optimizers:
        if not isinstance(optimizer, tuple) or len(optimizer) != 2:
            msg = f"{operation}: takes optimizers, pairs (init, update); got {optimizer!r}."
            raise located(TypeError(msg))
    return [with_extra_args_support(optimizer) for optimizer in optimizers]


def named_chain(*optimizers: Any) -> Optimizer:
    """Chain optimizers whose states have names.

    Parameters
    ----------
    *optimizers : pair of str and Optimizer

    Returns
    -------
    Optimizer
        Its state is a dict, by name.

    Raises
    ------
    ValueError
        If two have one name.
    TypeError
        If one is no pair of functions.

    Examples
    --------
    >>> optimizer = volta.optim.named_chain(
    ...     ("momentum", volta.optim.scale_by_momentum(0.9)), ("step", volta.optim.scale(-0.1))
    ... )
    >>> list(optimizer.init(np.ones(2)))
    ['momentum', 'step']
    """
    names = [name for name, _ in optimizers]
    if len(set(names)) < len(names):
        msg = f"named_chain: names must differ; got {', '.join(map(str, names))}."
        raise located(ValueError(msg))
    links = dict(zip(names, _links("named_chain", [o for _, o in optimizers]), strict=True))

    def init(params: Any) -> Any:
        return {name: link.init(params) for name, link in links.items()}

    def update(grads: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        states = {}
        for name, link in links.items():
            grads, states[name] = link.update(grads, state[name], params, **extra)
        return grads, states

    return Optimizer(init, update)


def identity() -> Optimizer:
    """Leave the gradients as they are.

    Returns
    -------
    Optimizer

    Examples
    --------
    >>> volta.optim.identity().update(np.asarray(2.0), volta.optim.EmptyState())
    (array(2.), EmptyState())
    """
    return stateless(lambda grads, params: grads)


def set_to_zero() -> Optimizer:
    """Replace updates by zeros, so that parameters stay.

    Returns
    -------
    Optimizer

    Examples
    --------
    >>> volta.optim.set_to_zero().update(np.asarray(2.0), volta.optim.EmptyState())
    (array(0.), EmptyState())
    """
    return stateless(
        lambda grads, params: leafwise("set_to_zero.update", ops.zeros_like, grads=grads)
    )


@suggesting
def scale(step_size: Any) -> Optimizer:
    """Multiply updates by a number.

    Parameters
    ----------
    step_size : float, or array of shape ()
        Of either sign.

    Returns
    -------
    Optimizer

    Raises
    ------
    TypeError
        If it is no number.

    Examples
    --------
    >>> volta.optim.scale(-0.5).update(np.asarray(2.0), volta.optim.EmptyState())
    (array(-1.), EmptyState())
    """
    check_is_number("scale", "step_size", step_size)
    return stateless(
        lambda grads, params: leafwise("scale.update", lambda g: times(g, step_size), grads=grads)
    )


@suggesting
def scale_by_schedule(step_size_fn: Any) -> Optimizer:
    """Multiply updates by a number that depends on the step.

    Parameters
    ----------
    step_size_fn : callable
        From the number of steps so far, 0 in the first, to the factor.

    Returns
    -------
    Optimizer

    Raises
    ------
    TypeError
        If it is no function.

    Examples
    --------
    >>> halving = volta.optim.scale_by_schedule(lambda step: 0.5**step)
    >>> _, state = halving.update(np.asarray(4.0), halving.init(None))
    >>> halving.update(np.asarray(4.0), state)[0]
    array(2.)
    """
    if not callable(step_size_fn):
        msg = f"scale_by_schedule: step_size_fn must be a function; got {_described(step_size_fn)}."
        raise located(TypeError(msg))

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        factor = number(step_size_fn(known(state.step)))
        updates = leafwise("scale_by_schedule.update", lambda g: times(g, factor), grads=grads)
        return updates, ScheduleState(following(state.step))

    return Optimizer(lambda params: ScheduleState(no_steps()), update)


def stateless(f: Callable[[Any, Any], Any]) -> Optimizer:
    """Optimizer of a function of gradients and parameters."""
    return Optimizer(
        lambda params: EmptyState(), lambda grads, state, params=None: (f(grads, params), state)
    )


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
    (array(-1.5), ScheduleState(step=array(2, dtype=int32)))
    """
    check_rate("scale_by_learning_rate", learning_rate)
    scheduled = callable(learning_rate)

    def init(params: Any) -> Any:
        return ScheduleState(no_steps()) if scheduled else EmptyState()

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        rate = rate_at(learning_rate, known(state.step)) if scheduled else learning_rate
        updates = leafwise(
            "scale_by_learning_rate.update", lambda g: times(conjugate(g), -rate), grads=grads
        )
        return updates, ScheduleState(following(state.step)) if scheduled else state

    return Optimizer(init, update)


@suggesting
def add_decayed_weights(weight_decay: Any = 0.0, mask: Any = None) -> Optimizer:
    """Add ``weight_decay · conj(params)`` to the gradients.

    Before an optimizer that is the gradient of ½·weight_decay·|params|², after it decoupled decay.

    Parameters
    ----------
    weight_decay : float, array of shape (), or callable
        Or a schedule, from step to factor.
    mask : tree of bool, or callable, optional
        Which parameters decay; as for `masked`.

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
    check_rate("add_decayed_weights", weight_decay, "weight_decay")
    scheduled = callable(weight_decay)

    def init(params: Any) -> Any:
        return ScheduleState(no_steps()) if scheduled else EmptyState()

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        factor = rate_at(weight_decay, known(state.step)) if scheduled else weight_decay
        updates = leafwise(
            "add_decayed_weights.update",
            lambda g, p: kept(ops.add(g, times(conjugate(p), factor)), g),
            grads=grads,
            params=needed("add_decayed_weights", params),
        )
        return updates, ScheduleState(following(state.step)) if scheduled else state

    decay = Optimizer(init, update)
    return decay if mask is None else restricted("add_decayed_weights", decay, mask)


def needed(operation: str, params: Any) -> Any:
    """Parameters, which an update must have been given."""
    if params is None:
        msg = f"{operation}.update: needs the parameters; got none. Pass params=."
        raise located(ValueError(msg))
    return params


# Parts of trees ---------------------------------------------------------------------------------


class MaskedState(NamedTuple):
    """State of what acts on a part of the parameters: the state of what is inside."""

    inner_state: Any


def restricted(operation: str, inner: Any, mask: Any) -> Optimizer:
    """Optimizer that sees only the leaves where `mask` is true, and leaves the others as is."""
    inner = with_extra_args_support(inner)

    def init(params: Any) -> MaskedState:
        return MaskedState(inner.init(_part(operation, params, mask)))

    def update(grads: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        own = flags(operation, grads, mask)
        if not any(own):
            return grads, state
        part = None if params is None else selected(params, own)
        some, new = inner.update(selected(grads, own), state.inner_state, part, **extra)
        return merged(grads, own, some), MaskedState(new)

    return Optimizer(init, update)


def _part(operation: str, params: Any, mask: Any) -> Any:
    return selected(params, flags(operation, params, mask))


def flags(operation: str, arrays: Any, mask: Any) -> list[bool]:
    """Value of a mask for each leaf of a tree; the mask may be a prefix of the tree."""
    mask = mask(arrays) if callable(mask) else mask
    try:
        spread = tree.map(lambda m, part: tree.map(lambda _: m, part), mask, arrays)
    except ValueError as error:
        msg = (
            f"{operation}: the mask must have the structure of the parameters, or be a prefix of "
            f"it; got {tree.structure(mask)} for {tree.structure(arrays)}."
        )
        raise located(ShapeError(msg)) from error
    found = tree.leaves(spread)
    for value in found:
        if type(value) not in (bool, np.bool_):
            msg = f"{operation}: a mask holds booleans; got {_described(value)}."
            raise located(TypeError(msg))
    return [bool(value) for value in found]


def selected(arrays: Any, own: list[bool]) -> Any:
    """Tree with None, which is an empty node, in place of the other leaves."""
    leaves, spec = tree.flatten(arrays)
    return tree.unflatten(spec, [x if mine else None for x, mine in zip(leaves, own, strict=True)])


def merged(arrays: Any, own: list[bool], part: Any) -> Any:
    """Tree with the leaves of `part` in their places."""
    leaves, spec = tree.flatten(arrays)
    new = iter(tree.leaves(part))
    return tree.unflatten(
        spec, [next(new) if mine else x for x, mine in zip(leaves, own, strict=True)]
    )


# Steps ------------------------------------------------------------------------------------------


def no_steps() -> Any:
    """Count of steps at the start: an array, so that a state is a tree of arrays."""
    return np.zeros((), np.int32)


def following(count: Any) -> Any:
    """Count after one more step; it stays at the largest."""
    if type(count) is int or type(count) in _PLAIN:
        return np.asarray(min(int(count) + 1, _MOST), np.int32)
    return ops.add(count, ops.astype(ops.less(count, _MOST), count.dtype))


def known(count: Any) -> Any:
    """Python number of a count, or of another number in a state, on NumPy; others as they are."""
    return count.item() if type(count) in _PLAIN else count


def either(pred: Any, true_fun: Callable[[], Any], false_fun: Callable[[], Any]) -> Any:
    """Result of one of two functions: of the chosen one alone, where the condition is concrete."""
    if type(pred) is not Tracer and STAGING.get() is None:
        return true_fun() if pred else false_fun()
    return cond(pred, true_fun, false_fun)


_PLAIN: Final = (np.ndarray, np.int32, np.int64, np.float32, np.float64)
_MOST: Final = 2**31 - 1


# Leaves -----------------------------------------------------------------------------------------


def leafwise(
    operation: str,
    f: Callable[..., Any],
    *,
    results: int | None = None,
    shapes: bool = True,
    **trees: Any,
) -> Any:
    """Apply `f` to the leaves of trees that must be alike: a tree, or `results` of them.

    Without `shapes` only their structures must be.
    """
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
        for i, (a, b) in enumerate(zip(first, leaves, strict=True) if shapes else ()):
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


def check_number(
    operation: str, name: str, value: Any, below: float = math.inf, least: float = 0
) -> None:
    """Raise unless a hyperparameter is a number in [least, below), or an array of shape ().

    Of arrays only NumPy's are looked into: elsewhere that would wait for a device.
    """
    check_is_number(operation, name, value)
    value = known(number(value))
    if isinstance(value, int | float) and not least <= value < below:
        upper = "" if below == math.inf else f" and less than {below:g}"
        msg = f"{operation}: {name} must be finite, at least {least:g}{upper}; got {value}."
        raise located(ValueError(msg))


def check_count(operation: str, name: str, value: Any, least: int = 1) -> None:
    """Raise unless a hyperparameter is an integer, at least `least`."""
    value = number(value)
    if type(value) is not int or value < least:
        msg = f"{operation}: {name} must be an integer, at least {least}; got {value!r}."
        raise located(ValueError(msg))


def check_positive(operation: str, name: str, value: Any) -> None:
    """Raise unless a hyperparameter is a positive number, or an array of shape ()."""
    check_number(operation, name, value)
    value = known(number(value))
    if isinstance(value, int | float) and value <= 0:
        msg = f"{operation}: {name} must be positive; got {value}."
        raise located(ValueError(msg))


def check_moments(operation: str, b1: Any, b2: Any, eps: Any, eps_root: Any = 0.0) -> None:
    """Raise unless the hyperparameters of two running means are in their ranges."""
    for name, value, below in (("b1", b1, 1.0), ("b2", b2, 1.0), ("eps", eps, math.inf)):
        check_number(operation, name, value, below)
    check_number(operation, "eps_root", eps_root)


def check_is_number(operation: str, name: str, value: Any) -> None:
    """Raise unless a hyperparameter is a number or an array of shape ()."""
    value = number(value)
    if isinstance(value, int | float):
        return
    if not hasattr(value, "dtype") or typeof(value).shape != ():
        msg = f"{operation}: {name} must be a number; got {_described(value)}."
        raise located(TypeError(msg))


def _described(value: Any) -> str:
    if hasattr(value, "dtype") or type(value) is Tracer:
        return f"an array of shape {tuple(value.shape)}"
    return type(value).__name__
