"""Rprop: a step size for every coordinate, which grows until the gradient changes its sign."""

from typing import Any, NamedTuple

from volta.core.keywords import suggesting
from volta.core.trace import located, ops
from volta.optim.base import (
    Optimizer,
    Rate,
    chain,
    check_number,
    conjugate,
    leafwise,
    number,
    scale,
    stateless,
    times,
)
from volta.optim.moments import elementwise, like, real_like
from volta.optim.stateful import Groups, Stateful

__all__ = ["Rprop", "RpropState", "rprop", "scale_by_rprop"]


class RpropState(NamedTuple):
    """State of `scale_by_rprop`: steps so far, step sizes, and the updates before."""

    count: Any
    step_sizes: Any
    prev_updates: Any


@suggesting
def scale_by_rprop(
    learning_rate: float,
    eta_minus: float = 0.5,
    eta_plus: float = 1.2,
    min_step_size: float = 1e-6,
    max_step_size: float = 50.0,
) -> Optimizer:
    """Replace gradients by steps whose sizes come from their signs alone.

    Parameters
    ----------
    learning_rate : float
        Size of the first step.
    eta_minus, eta_plus : float
        Factors of the size where the sign has changed, in (0, 1), and where not, above 1.
    min_step_size, max_step_size : float
        Bounds of the size.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Notes
    -----
    With s = g · (update before)::

        size = clip(size · eta_plus) where s > 0, clip(size · eta_minus) where s < 0
        update = 0 where s < 0, else size · sign(g)

    It is meant for gradients of all the data, not of batches.

    References
    ----------
    M. Riedmiller, H. Braun, "A direct adaptive method for faster backpropagation learning: the
    RPROP algorithm", ICNN 1993, https://doi.org/10.1109/ICNN.1993.298623; without backtracking.

    Examples
    --------
    >>> rprop = volta.optim.scale_by_rprop(0.1)
    >>> _, state = rprop.update(np.asarray([3.0]), rprop.init(np.zeros(1)))
    >>> rprop.update(np.asarray([5.0]), state)[0]
    array([0.12])
    """
    _check("scale_by_rprop", learning_rate, eta_minus, eta_plus, min_step_size, max_step_size)

    def rule(g: Any, t: Any, size: Any, before: Any) -> tuple[Any, Any, Any]:
        s = ops.real(ops.multiply(g, conjugate(before)))
        grown = ops.where(ops.greater(s, 0), times(size, eta_plus), times(size, eta_minus))
        bounded = ops.clip(grown, min_step_size, max_step_size)
        size = ops.where(ops.equal(s, 0), size, bounded)
        update = ops.where(ops.less(s, 0), 0.0, ops.multiply(size, ops.sign(g)))
        return update, size, update

    return elementwise(
        "scale_by_rprop",
        RpropState,
        lambda p: (real_like(p, number(learning_rate)), like(p)),
        rule,
    )


def _check(
    operation: str, rate: Any, eta_minus: Any, eta_plus: Any, smallest: Any, largest: Any
) -> None:
    check_number(operation, "learning_rate", rate)
    check_number(operation, "eta_minus", eta_minus, 1.0)
    check_number(operation, "eta_plus", eta_plus)
    check_number(operation, "min_step_size", smallest)
    check_number(operation, "max_step_size", largest)
    if type(eta_plus) in (int, float) and eta_plus <= 1:
        msg = f"{operation}: eta_plus must be greater than 1; got {eta_plus}."
        raise located(ValueError(msg))


@suggesting
def rprop(
    learning_rate: float,
    eta_minus: float = 0.5,
    eta_plus: float = 1.2,
    min_step_size: float = 1e-6,
    max_step_size: float = 50.0,
) -> Optimizer:
    """Rprop; optax's arguments and defaults.

    Parameters
    ----------
    learning_rate, eta_minus, eta_plus, min_step_size, max_step_size
        See `scale_by_rprop`.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Notes
    -----
    The update is that of this step, as in PyTorch; optax's is that of the step before.

    Examples
    --------
    >>> optimizer = volta.optim.rprop(0.1)
    >>> optimizer.update(np.asarray([3.0]), optimizer.init(np.zeros(1)))[0]
    array([-0.1])
    """
    _check("rprop", learning_rate, eta_minus, eta_plus, min_step_size, max_step_size)
    return chain(
        scale_by_rprop(learning_rate, eta_minus, eta_plus, min_step_size, max_step_size),
        conjugated(),
        scale(-1.0),
    )


def conjugated() -> Optimizer:
    """Link that takes the conjugate, where no rate follows that does."""
    return stateless(lambda grads, params: leafwise("rprop.update", conjugate, grads=grads))


class Rprop(Stateful):
    """Rprop on a model; PyTorch's arguments and defaults.

    Parameters
    ----------
    params : Module, or tree of arrays
    lr : float
        Size of the first step; later it is not read.
    etas : pair of float
        Factors of the step sizes; see `scale_by_rprop`.
    step_sizes : pair of float
        Bounds of the step sizes.
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
    >>> optimizer = volta.optim.Rprop({"w": np.ones(1)}, lr=0.1)
    >>> {k: v.round(4) for k, v in optimizer.step({"w": np.full(1, 2.0)}).items()}
    {'w': array([0.9])}
    """

    _own_rate = True

    @suggesting
    def __init__(
        self,
        params: Any,
        lr: Rate = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        maximize: bool = False,
        groups: Groups = (),
    ) -> None:
        super().__init__(
            params,
            groups,
            lr=lr,
            etas=etas,
            step_sizes=step_sizes,
            maximize=maximize,
        )

    def _direction(
        self, lr: Rate, etas: tuple[float, float], step_sizes: tuple[float, float]
    ) -> Optimizer:
        (eta_minus, eta_plus), (smallest, largest) = etas, step_sizes
        _check("Rprop", lr, eta_minus, eta_plus, smallest, largest)
        first = min(max(number(lr), smallest), largest)
        return scale_by_rprop(first, eta_minus, eta_plus, smallest, largest)
