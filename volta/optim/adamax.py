"""Adamax: Adam with the largest of the gradients in place of the root of their mean square."""

from typing import Any, NamedTuple

from volta.core.keywords import suggesting
from volta.core.trace import ops
from volta.optim.base import (
    Optimizer,
    Rate,
    add_decayed_weights,
    chain,
    check_moments,
    check_rate,
    scale_by_learning_rate,
    times,
)
from volta.optim.moments import debiased, elementwise, like, real_like, running
from volta.optim.stateful import Groups, Stateful, decay_of

__all__ = ["Adamax", "AdamaxState", "adamax", "adamaxw", "scale_by_adamax"]


class AdamaxState(NamedTuple):
    """State of `scale_by_adamax`: steps so far, mean, and decaying maximum."""

    count: Any
    mu: Any
    nu: Any


@suggesting
def scale_by_adamax(b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Optimizer:
    """Divide the mean of the gradients by the decaying maximum of their absolute values.

    Parameters
    ----------
    b1, b2 : float
        Decay of the mean and of the maximum, in [0, 1).
    eps : float
        Added to the absolute values.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Notes
    -----
    ``mu = b1 · mu + (1 − b1) · g``, ``nu = max(b2 · nu, |g| + eps)``; the update is
    ``mu / (1 − b1ᵗ) / nu``.

    References
    ----------
    D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015,
    https://arxiv.org/abs/1412.6980, algorithm 2.

    Examples
    --------
    >>> adamax = volta.optim.scale_by_adamax()
    >>> np.round(adamax.update(np.asarray([3.0, -1.0]), adamax.init(np.zeros(2)))[0], 4)
    array([ 1., -1.])
    """
    check_moments("scale_by_adamax", b1, b2, eps)

    def rule(g: Any, t: Any, mu: Any, nu: Any) -> tuple[Any, Any, Any]:
        mu = running(mu, g, b1)
        nu = ops.maximum(times(nu, b2), ops.add(ops.abs(g), eps))
        return ops.divide(debiased(mu, b1, t), nu), mu, nu

    return elementwise("scale_by_adamax", AdamaxState, lambda p: (like(p), real_like(p)), rule)


@suggesting
def adamax(learning_rate: Rate, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Optimizer:
    """Adamax; optax's arguments and defaults.

    Parameters
    ----------
    learning_rate : float, array of shape (), or callable
        Or a schedule, from step to rate.
    b1, b2, eps
        See `scale_by_adamax`.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Examples
    --------
    >>> optimizer = volta.optim.adamax(0.1)
    >>> np.round(optimizer.update(np.asarray([2.0]), optimizer.init(np.zeros(1)))[0], 4)
    array([-0.1])
    """
    check_rate("adamax", learning_rate)
    check_moments("adamax", b1, b2, eps)
    return chain(scale_by_adamax(b1, b2, eps), scale_by_learning_rate(learning_rate))


@suggesting
def adamaxw(
    learning_rate: Rate,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: Any = 1e-4,
    mask: Any = None,
) -> Optimizer:
    """Adamax with decoupled weight decay; optax's arguments and defaults.

    Parameters
    ----------
    learning_rate, b1, b2, eps
        See `adamax`.
    weight_decay, mask
        See `adamw`.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Examples
    --------
    >>> optimizer = volta.optim.adamaxw(0.1, weight_decay=0.5)
    >>> w = np.asarray([1.0])
    >>> optimizer.update(np.zeros(1), optimizer.init(w), w)[0]
    array([-0.05])
    """
    check_rate("adamaxw", learning_rate)
    check_moments("adamaxw", b1, b2, eps)
    return chain(
        scale_by_adamax(b1, b2, eps),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )


class Adamax(Stateful):
    """Adamax on a model; PyTorch's arguments and defaults.

    Parameters
    ----------
    params : Module, or tree of arrays
    lr : float or callable
        Learning rate, or a schedule from step to rate. May be assigned to between steps.
    betas
        See `scale_by_adamax`.
    eps
        See `scale_by_adamax`.
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
    >>> optimizer = volta.optim.Adamax({"w": np.ones(1)}, lr=0.1)
    >>> {k: v.round(4) for k, v in optimizer.step({"w": np.full(1, 2.0)}).items()}
    {'w': array([0.9])}
    """

    @suggesting
    def __init__(
        self,
        params: Any,
        lr: Rate = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        groups: Groups = (),
    ) -> None:
        super().__init__(
            params,
            groups,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            maximize=maximize,
        )

    def _direction(self, betas: tuple[float, float], eps: float, weight_decay: float) -> Optimizer:
        b1, b2 = betas
        check_moments("Adamax", b1, b2, eps)
        return chain(*decay_of("Adamax", weight_decay), scale_by_adamax(b1, b2, eps))
