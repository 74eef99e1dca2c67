"""Adagrad: steps that shrink with the sum of the squares of all gradients so far."""

from typing import Any, NamedTuple

from volta.core.keywords import suggesting
from volta.core.trace import ops
from volta.optim.base import (
    Optimizer,
    Rate,
    chain,
    check_number,
    check_rate,
    scale_by_learning_rate,
    scale_by_schedule,
)
from volta.optim.moments import elementwise, real_like, squared
from volta.optim.stateful import Groups, Stateful, decay_of

__all__ = ["Adagrad", "RssState", "adagrad", "scale_by_rss"]


class RssState(NamedTuple):
    """State of `scale_by_rss`: steps so far, and the sum of squares."""

    count: Any
    sum_of_squares: Any


@suggesting
def scale_by_rss(
    initial_accumulator_value: float = 0.1, eps: float = 1e-7, *, eps_in_sqrt: bool = True
) -> Optimizer:
    """Divide gradients by the root of the sum of the squares of all of them.

    Parameters
    ----------
    initial_accumulator_value : float
        What the sum begins with.
    eps : float
        Added to the sum, or to its root.
    eps_in_sqrt : bool
        Whether to the sum (optax) or to the root (PyTorch).

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Notes
    -----
    ``s = s + |g|²``; the update is ``g / √(s + eps)``, or ``g / (√s + eps)``, and 0 where s is 0.

    References
    ----------
    J. Duchi, E. Hazan, Y. Singer, "Adaptive subgradient methods for online learning and stochastic
    optimization", JMLR 12 (2011), https://jmlr.org/papers/v12/duchi11a.html.

    Examples
    --------
    >>> adagrad = volta.optim.scale_by_rss(0.0, 0.0)
    >>> _, state = adagrad.update(np.asarray([3.0]), adagrad.init(np.zeros(1)))
    >>> adagrad.update(np.asarray([4.0]), state)[0]
    array([0.8])
    """
    check_number("scale_by_rss", "initial_accumulator_value", initial_accumulator_value)
    check_number("scale_by_rss", "eps", eps)

    def rule(g: Any, t: Any, total: Any) -> tuple[Any, Any]:
        total = ops.add(total, squared(g))
        none = ops.equal(total, 0)
        safe = ops.where(none, 1.0, total)
        root = ops.sqrt(ops.add(safe, eps)) if eps_in_sqrt else ops.add(ops.sqrt(safe), eps)
        return ops.where(none, 0.0, ops.divide(g, root)), total

    return elementwise(
        "scale_by_rss", RssState, lambda p: (real_like(p, initial_accumulator_value),), rule
    )


@suggesting
def adagrad(
    learning_rate: Rate, initial_accumulator_value: float = 0.1, eps: float = 1e-7
) -> Optimizer:
    """Adagrad; optax's arguments and defaults.

    Parameters
    ----------
    learning_rate : float, array of shape (), or callable
        Or a schedule, from step to rate.
    initial_accumulator_value, eps
        See `scale_by_rss`.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Examples
    --------
    >>> optimizer = volta.optim.adagrad(0.1, 0.0, 0.0)
    >>> optimizer.update(np.asarray([2.0]), optimizer.init(np.zeros(1)))[0]
    array([-0.1])
    """
    check_rate("adagrad", learning_rate)
    return chain(
        scale_by_rss(initial_accumulator_value, eps), scale_by_learning_rate(learning_rate)
    )


class Adagrad(Stateful):
    """Adagrad on a model; PyTorch's arguments and defaults.

    Parameters
    ----------
    params : Module, or tree of arrays
    lr : float or callable
        Learning rate, or a schedule from step to rate. May be assigned to between steps.
    lr_decay : float
        The rate is divided by ``1 + lr_decay · steps``.
    weight_decay : float
        Factor of the parameters that are added to the gradients.
    initial_accumulator_value
        See `scale_by_rss`.
    eps
        See `scale_by_rss`; added to the root.
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
    >>> optimizer = volta.optim.Adagrad({"w": np.ones(1)}, lr=0.1)
    >>> {k: v.round(4) for k, v in optimizer.step({"w": np.full(1, 2.0)}).items()}
    {'w': array([0.9])}
    """

    @suggesting
    def __init__(
        self,
        params: Any,
        lr: Rate = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
        groups: Groups = (),
    ) -> None:
        super().__init__(
            params,
            groups,
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
            maximize=maximize,
        )

    def _direction(
        self, lr_decay: float, weight_decay: float, initial_accumulator_value: float, eps: float
    ) -> Optimizer:
        check_number("Adagrad", "lr_decay", lr_decay)
        check_number("Adagrad", "initial_accumulator_value", initial_accumulator_value)
        check_number("Adagrad", "eps", eps)
        links = decay_of("Adagrad", weight_decay)
        links.append(scale_by_rss(initial_accumulator_value, eps, eps_in_sqrt=False))
        if lr_decay:
            links.append(scale_by_schedule(lambda step: 1 / (1 + step * lr_decay)))
        return chain(*links)
