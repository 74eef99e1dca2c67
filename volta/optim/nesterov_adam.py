"""NAdam in PyTorch's form, whose momentum grows with the steps. `nadam` stands with `adam`."""

from typing import Any, NamedTuple

import numpy as np

from volta.core import tree
from volta.core.keywords import suggesting
from volta.core.trace import ops
from volta.optim.base import (
    Optimizer,
    Rate,
    chain,
    check_moments,
    check_number,
    following,
    kept,
    known,
    leafwise,
    no_steps,
    times,
)
from volta.optim.moments import debiased, like, real, real_like, running, squared, widened
from volta.optim.stateful import Groups, Stateful, decay_of

__all__ = ["NAdam", "NadamState", "scale_by_nadam"]


class NadamState(NamedTuple):
    """State of `scale_by_nadam`: steps so far, product of the momenta, moments."""

    count: Any
    mu_product: Any
    mu: Any
    nu: Any


@suggesting
def scale_by_nadam(
    b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, momentum_decay: float = 4e-3
) -> Optimizer:
    """Divide a mean of the gradients that looks ahead by the root of the mean of their squares.

    Parameters
    ----------
    b1, b2, eps
        See `scale_by_adam`.
    momentum_decay : float
        How fast the momentum grows from b1/2 to b1.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Notes
    -----
    With mu, nu and v as in `scale_by_adam`, and ``cₜ = b1 · (1 − ½ · 0.96^(t · momentum_decay))``::

        m = cₜ₊₁ · mu / (1 − c₁ ⋯ cₜ₊₁) + (1 − cₜ) · g / (1 − c₁ ⋯ cₜ)
        update = m / (√v + eps)

    References
    ----------
    T. Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016,
    https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ, algorithm 8, in PyTorch's form.

    Examples
    --------
    >>> nadam = volta.optim.scale_by_nadam()
    >>> np.round(nadam.update(np.asarray([3.0]), nadam.init(np.zeros(1)))[0], 4)
    array([1.0565])
    """
    check_moments("scale_by_nadam", b1, b2, eps)
    check_number("scale_by_nadam", "momentum_decay", momentum_decay)

    def init(params: Any) -> NadamState:
        mu, nu = leafwise(
            "scale_by_nadam.init", lambda p: (like(p), real_like(p)), results=2, params=params
        )
        return NadamState(no_steps(), np.ones(()), mu, nu)

    def update(grads: Any, state: NadamState, params: Any = None) -> tuple[Any, NadamState]:
        count, t = following(state.count), known(following(state.count))
        before, some = known(state.mu_product), next(iter(tree.leaves(grads)), np.ones(()))
        now, ahead = (
            b1 * (1 - 0.5 * 0.96 ** (real(t + later, some) * momentum_decay)) for later in (0, 1)
        )
        product = before * now
        look, share = ahead / (1 - product * ahead), (1 - now) / (1 - product)

        def leaf(g: Any, mu: Any, nu: Any) -> tuple[Any, Any, Any]:
            wide = widened(g)
            first, second = running(mu, wide, b1), kept(running(nu, squared(wide), b2), nu)
            m = ops.add(times(first, look), times(wide, share))
            root = ops.add(ops.sqrt(debiased(second, b2, t)), eps)
            return kept(ops.divide(m, root), g), kept(first, mu), second

        updates, mu, nu = leafwise(
            "scale_by_nadam.update", leaf, results=3, grads=grads, mu=state.mu, nu=state.nu
        )
        if type(product) is float:
            product = np.asarray(product)
        return updates, NadamState(count, kept(product, state.mu_product), mu, nu)

    return Optimizer(init, update)


class NAdam(Stateful):
    """Adam with Nesterov's momentum on a model; PyTorch's arguments and defaults.

    Parameters
    ----------
    params : Module, or tree of arrays
    lr : float or callable
        Learning rate, or a schedule from step to rate. May be assigned to between steps.
    betas
        See `scale_by_nadam`.
    eps
        See `scale_by_nadam`.
    weight_decay : float
        Factor of the parameters that are added to the gradients.
    momentum_decay
        See `scale_by_nadam`.
    decoupled_weight_decay : bool
        Whether the parameters are added to the direction instead, as in `AdamW`.
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
    >>> optimizer = volta.optim.NAdam({"w": np.ones(1)}, lr=0.1)
    >>> {k: v.round(4) for k, v in optimizer.step({"w": np.full(1, 2.0)}).items()}
    {'w': array([0.8944])}
    """

    @suggesting
    def __init__(
        self,
        params: Any,
        lr: Rate = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
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
            momentum_decay=momentum_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
        )

    def _direction(
        self,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        momentum_decay: float,
        decoupled_weight_decay: bool,
    ) -> Optimizer:
        b1, b2 = betas
        check_moments("NAdam", b1, b2, eps)
        check_number("NAdam", "momentum_decay", momentum_decay)
        direction = scale_by_nadam(b1, b2, eps, momentum_decay)
        decay = decay_of("NAdam", weight_decay)
        return chain(direction, *decay) if decoupled_weight_decay else chain(*decay, direction)
