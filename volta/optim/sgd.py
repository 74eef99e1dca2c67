"""Stochastic gradient descent, with momentum."""

from typing import Any, NamedTuple

from volta.core.keywords import suggesting
from volta.core.trace import located, ops
from volta.optim.base import (
    Optimizer,
    Rate,
    chain,
    check_number,
    check_rate,
    following,
    kept,
    known,
    leafwise,
    no_steps,
    scale_by_learning_rate,
    times,
)
from volta.optim.moments import like, widened
from volta.optim.stateful import Groups, Stateful, decay_of

__all__ = ["SGD", "MomentumState", "scale_by_momentum", "sgd"]


class MomentumState(NamedTuple):
    """State of `scale_by_momentum`: number of steps so far, and the velocity."""

    count: Any
    velocity: Any


@suggesting
def scale_by_momentum(
    momentum: float,
    dampening: float = 0.0,
    nesterov: bool = False,
    accumulator_dtype: Any = None,
) -> Optimizer:
    """Replace gradients by their running sum.

    Parameters
    ----------
    momentum : float
        Factor of what was before, in [0, 1).
    dampening : float
        Share by which gradients after the first count less.
    nesterov : bool
        Whether to look one step ahead.
    accumulator_dtype : dtype, optional
        Of the velocity; by default the parameters', or float32 for those of 16 bits.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a number is out of its range, or `nesterov` meets no momentum or a dampening.

    Notes
    -----
    ``v = momentum · v + (1 − dampening) · g``, at first ``v = g``. The update is v, and with
    `nesterov` ``g + momentum · v``.

    References
    ----------
    I. Sutskever et al., "On the importance of initialization and momentum in deep learning",
    ICML 2013, https://proceedings.mlr.press/v28/sutskever13.html, in PyTorch's form. optax calls
    it `trace`.

    Examples
    --------
    >>> momentum = volta.optim.scale_by_momentum(0.9)
    >>> state = momentum.init(np.asarray(0.0))
    >>> _, state = momentum.update(np.asarray(1.0), state)
    >>> momentum.update(np.asarray(1.0), state)
    (array(1.9), MomentumState(count=array(2, dtype=int32), velocity=array(1.9)))
    """
    _check("scale_by_momentum", momentum, dampening, nesterov)

    def init(params: Any) -> MomentumState:
        zeros = leafwise(
            "scale_by_momentum.init", lambda p: like(p, dtype=accumulator_dtype), params=params
        )
        return MomentumState(no_steps(), zeros)

    def update(grads: Any, state: MomentumState, params: Any = None) -> tuple[Any, MomentumState]:
        share = _share(known(state.count), dampening)

        def leaf(g: Any, v: Any) -> tuple[Any, Any]:
            wide = widened(g)
            new = ops.add(
                times(widened(v), momentum), wide if share is None else times(wide, share)
            )
            ahead = ops.add(wide, times(new, momentum)) if nesterov else new
            return kept(ahead, g), kept(new, v)

        updates, velocity = leafwise(
            "scale_by_momentum.update", leaf, results=2, grads=grads, velocity=state.velocity
        )
        return updates, MomentumState(following(state.count), velocity)

    return Optimizer(init, update)


def _share(count: Any, dampening: Any) -> Any:
    """Factor of a gradient, None for 1."""
    if type(count) is int:
        return (
            None if count == 0 or (type(dampening) is float and dampening == 0) else 1 - dampening
        )
    return ops.where(ops.equal(count, 0), 1.0, 1 - dampening)


def _check(operation: str, momentum: Any, dampening: Any, nesterov: bool) -> None:
    check_number(operation, "momentum", momentum, below=1.0)
    check_number(operation, "dampening", dampening)
    if nesterov and (momentum == 0 or dampening != 0):
        msg = (
            f"{operation}: nesterov needs a momentum and no dampening; got momentum={momentum} "
            f"and dampening={dampening}."
        )
        raise located(ValueError(msg))


@suggesting
def sgd(
    learning_rate: Rate,
    momentum: float | None = None,
    nesterov: bool = False,
    accumulator_dtype: Any = None,
) -> Optimizer:
    """Stochastic gradient descent; optax's arguments and defaults.

    Parameters
    ----------
    learning_rate : float, array of shape (), or callable
        Or a schedule, from step to rate.
    momentum : float, optional
        See `scale_by_momentum`.
    nesterov, accumulator_dtype
        See `scale_by_momentum`.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Examples
    --------
    >>> optimizer = volta.optim.sgd(0.1)
    >>> params = {"w": np.asarray([1.0])}
    >>> updates, _ = optimizer.update({"w": np.asarray([2.0])}, optimizer.init(params))
    >>> volta.optim.apply_updates(params, updates)
    {'w': array([0.8])}
    """
    check_rate("sgd", learning_rate)
    step = scale_by_learning_rate(learning_rate)
    if momentum is None:
        if nesterov:
            msg = "sgd: nesterov needs a momentum; got none."
            raise located(ValueError(msg))
        return step
    _check("sgd", momentum, 0.0, nesterov)
    return chain(
        scale_by_momentum(momentum, nesterov=nesterov, accumulator_dtype=accumulator_dtype), step
    )


class SGD(Stateful):
    """Stochastic gradient descent on a model; PyTorch's arguments and defaults.

    Parameters
    ----------
    params : Module, or tree of arrays
    lr : float or callable
        Learning rate, or a schedule from step to rate. May be assigned to between steps.
    momentum, dampening, nesterov
        See `scale_by_momentum`; no momentum if 0.
    weight_decay : float
        Factor of the parameters that are added to the gradients.
    maximize : bool
        Whether to climb.
    groups : sequence of dict
        Parameters with other hyperparameters; see `Stateful`.

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Examples
    --------
    >>> model = volta.nn.Linear(1, 1, key=F.random.key(0))
    >>> optimizer = volta.optim.SGD(model, lr=0.1)
    >>> before = model.bias
    >>> grads = volta.grad(lambda model, x: F.sum(model(x)))(model, np.ones((1, 1)))
    >>> new = optimizer.step(grads)
    >>> np.allclose(model.bias, before - 0.1)
    True
    """

    @suggesting
    def __init__(
        self,
        params: Any,
        lr: Rate = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        groups: Groups = (),
    ) -> None:
        super().__init__(
            params,
            groups,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            maximize=maximize,
        )

    def _direction(
        self, momentum: float, dampening: float, weight_decay: float, nesterov: bool
    ) -> Optimizer:
        _check("SGD", momentum, dampening, nesterov)
        links = decay_of("SGD", weight_decay)
        if momentum:
            links.append(scale_by_momentum(momentum, dampening, nesterov))
        return chain(*links)
