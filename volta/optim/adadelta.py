"""Adadelta: steps in the units of the parameters, from the steps before."""

from typing import Any, NamedTuple

from volta.core.keywords import suggesting
from volta.core.trace import ops
from volta.optim.base import (
    Optimizer,
    Rate,
    add_decayed_weights,
    chain,
    check_number,
    check_rate,
    scale_by_learning_rate,
)
from volta.optim.moments import elementwise, real_like, running, squared
from volta.optim.stateful import Groups, Stateful, decay_of

__all__ = ["Adadelta", "AdadeltaState", "adadelta", "scale_by_adadelta"]


class AdadeltaState(NamedTuple):
    """State of `scale_by_adadelta`: steps so far, mean squares of gradients and of updates."""

    count: Any
    e_g: Any
    e_x: Any


@suggesting
def scale_by_adadelta(rho: float = 0.9, eps: float = 1e-6) -> Optimizer:
    """Scale gradients by the ratio of the mean sizes of updates and gradients.

    Parameters
    ----------
    rho : float
        Decay of both means of squares, in [0, 1).
    eps : float
        Added to both.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Notes
    -----
    ::

        e_g = rho · e_g + (1 − rho) · |g|²
        update = √(e_x + eps) / √(e_g + eps) · g
        e_x = rho · e_x + (1 − rho) · |update|²

    For complex gradients optax takes squares without the modulus.

    References
    ----------
    M. D. Zeiler, "ADADELTA: an adaptive learning rate method", 2012,
    https://arxiv.org/abs/1212.5701, algorithm 1.

    Examples
    --------
    >>> adadelta = volta.optim.scale_by_adadelta(0.75, 1.0)
    >>> adadelta.update(np.asarray([2.0]), adadelta.init(np.zeros(1)))[0].round(4)
    array([1.4142])
    """
    check_number("scale_by_adadelta", "rho", rho, 1.0)
    check_number("scale_by_adadelta", "eps", eps)

    def rule(g: Any, t: Any, e_g: Any, e_x: Any) -> tuple[Any, Any, Any]:
        e_g = running(e_g, squared(g), rho)
        ratio = ops.divide(ops.sqrt(ops.add(e_x, eps)), ops.sqrt(ops.add(e_g, eps)))
        update = ops.multiply(ratio, g)
        return update, e_g, running(e_x, squared(update), rho)

    return elementwise(
        "scale_by_adadelta", AdadeltaState, lambda p: (real_like(p), real_like(p)), rule
    )


@suggesting
def adadelta(
    learning_rate: Rate = 1.0,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: Any = 0.0,
    weight_decay_mask: Any = None,
) -> Optimizer:
    """Adadelta; optax's arguments and defaults.

    Parameters
    ----------
    learning_rate : float, array of shape (), or callable
        Or a schedule, from step to rate.
    rho, eps
        See `scale_by_adadelta`.
    weight_decay, weight_decay_mask
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
    >>> optimizer = volta.optim.adadelta(0.5, 0.75, 1.0)
    >>> w = np.zeros(1)
    >>> optimizer.update(np.asarray([2.0]), optimizer.init(w), w)[0].round(4)
    array([-0.7071])
    """
    check_rate("adadelta", learning_rate)
    return chain(
        add_decayed_weights(weight_decay, weight_decay_mask),
        scale_by_adadelta(rho, eps),
        scale_by_learning_rate(learning_rate),
    )


class Adadelta(Stateful):
    """Adadelta on a model; PyTorch's arguments and defaults.

    Parameters
    ----------
    params : Module, or tree of arrays
    lr : float or callable
        Learning rate, or a schedule from step to rate. May be assigned to between steps.
    rho
        See `scale_by_adadelta`.
    eps
        See `scale_by_adadelta`.
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
    >>> optimizer = volta.optim.Adadelta({"w": np.ones(1)}, rho=0.75, eps=1.0)
    >>> {k: v.round(4) for k, v in optimizer.step({"w": np.full(1, 2.0)}).items()}
    {'w': array([-0.4142])}
    """

    @suggesting
    def __init__(
        self,
        params: Any,
        lr: Rate = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        groups: Groups = (),
    ) -> None:
        super().__init__(
            params,
            groups,
            lr=lr,
            rho=rho,
            eps=eps,
            weight_decay=weight_decay,
            maximize=maximize,
        )

    def _direction(self, rho: float, eps: float, weight_decay: float) -> Optimizer:
        check_number("Adadelta", "rho", rho, 1.0)
        check_number("Adadelta", "eps", eps)
        return chain(*decay_of("Adadelta", weight_decay), scale_by_adadelta(rho, eps))
