"""RAdam: Adam that trusts its second moment only once it has seen enough of it."""

from typing import Any, NamedTuple

from volta.core.keywords import suggesting
from volta.core.trace import ops
from volta.optim.base import (
    Optimizer,
    Rate,
    chain,
    check_moments,
    check_number,
    check_rate,
    scale_by_learning_rate,
    times,
)
from volta.optim.moments import (
    correction,
    debiased,
    elementwise,
    like,
    power,
    real,
    real_like,
    running,
    squared,
    with_nesterov,
)
from volta.optim.stateful import Groups, Stateful, decay_of

__all__ = ["RAdam", "RadamState", "radam", "scale_by_radam"]


class RadamState(NamedTuple):
    """State of `scale_by_radam`: steps so far, first and second moments."""

    count: Any
    mu: Any
    nu: Any


@suggesting
def scale_by_radam(
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    threshold: float = 5.0,
    *,
    nesterov: bool = False,
    corrected_eps: bool = True,
) -> Optimizer:
    """Adam's direction times a rectification, once enough gradients were seen; before, their mean.

    Parameters
    ----------
    b1, b2, eps, eps_root, nesterov
        See `scale_by_adam`.
    threshold : float
        Length of the second mean, in steps, from which on it is used.
    corrected_eps : bool
        Whether `eps` is added to the root of the corrected mean (optax), or to that of the mean
        before its correction (PyTorch).

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Notes
    -----
    With m and v as in `scale_by_adam`::

        ρ∞ = 2 / (1 − b2) − 1                   ρ = ρ∞ − 2 t b2ᵗ / (1 − b2ᵗ)
        r² = (ρ − 4) (ρ − 2) ρ∞ / ((ρ∞ − 4) (ρ∞ − 2) ρ)
        update = r · m / (√(v + eps_root) + eps)  where ρ ≥ threshold, else m

    References
    ----------
    L. Liu et al., "On the variance of the adaptive learning rate and beyond", ICLR 2020,
    https://arxiv.org/abs/1908.03265, algorithm 2.

    Examples
    --------
    >>> radam = volta.optim.scale_by_radam()
    >>> np.round(radam.update(np.asarray([3.0]), radam.init(np.zeros(1)))[0], 4)
    array([3.])
    """
    check_moments("scale_by_radam", b1, b2, eps, eps_root)
    check_number("scale_by_radam", "threshold", threshold)

    def rule(g: Any, t: Any, mu: Any, nu: Any) -> tuple[Any, Any, Any]:
        mu, nu = running(mu, g, b1), running(nu, squared(g), b2)
        m = with_nesterov(mu, g, b1, t) if nesterov else debiased(mu, b1, t)
        root = ops.sqrt(ops.add(debiased(nu, b2, t), eps_root))
        added = eps if corrected_eps else eps / correction(b2, t, nu) ** 0.5
        rectified = ops.divide(m, ops.add(root, added))
        longest = 2 / (1 - b2) - 1
        rho = longest - 2 * real(t, nu) * power(b2, t, nu) / correction(b2, t, nu)
        if type(rho) is float and type(threshold) in (int, float):
            update = times(rectified, _rectification(rho, longest)) if rho >= threshold else m
            return update, mu, nu
        enough = ops.greater_equal(rho, threshold)
        # where it is not, the root might be of a negative number, and its derivative NaN
        safe = ops.where(enough, rho, longest)
        r = _rectification(safe, longest)
        return ops.where(enough, ops.multiply(rectified, r), m), mu, nu

    return elementwise("scale_by_radam", RadamState, lambda p: (like(p), real_like(p)), rule)


def _rectification(rho: Any, longest: Any) -> Any:
    return ((rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho)) ** 0.5


@suggesting
def radam(
    learning_rate: Rate,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    threshold: float = 5.0,
    *,
    nesterov: bool = False,
) -> Optimizer:
    """Rectified Adam; optax's arguments and defaults.

    Parameters
    ----------
    learning_rate : float, array of shape (), or callable
        Or a schedule, from step to rate.
    b1, b2, eps, eps_root, threshold, nesterov
        See `scale_by_radam`.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Examples
    --------
    >>> optimizer = volta.optim.radam(0.1)
    >>> np.round(optimizer.update(np.asarray([2.0]), optimizer.init(np.zeros(1)))[0], 4)
    array([-0.2])
    """
    check_rate("radam", learning_rate)
    check_moments("radam", b1, b2, eps, eps_root)
    return chain(
        scale_by_radam(b1, b2, eps, eps_root, threshold, nesterov=nesterov),
        scale_by_learning_rate(learning_rate),
    )


class RAdam(Stateful):
    """Rectified Adam on a model; PyTorch's arguments and defaults.

    Parameters
    ----------
    params : Module, or tree of arrays
    lr : float or callable
        Learning rate, or a schedule from step to rate. May be assigned to between steps.
    betas
        See `scale_by_radam`.
    eps
        See `scale_by_radam`; PyTorch adds it to the root before the correction.
    weight_decay : float
        Factor of the parameters that are added to the gradients.
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
    >>> optimizer = volta.optim.RAdam({"w": np.ones(1)}, lr=0.1)
    >>> {k: v.round(4) for k, v in optimizer.step({"w": np.full(1, 2.0)}).items()}
    {'w': array([0.8])}
    """

    @suggesting
    def __init__(
        self,
        params: Any,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
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
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
        )

    def _direction(
        self,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        decoupled_weight_decay: bool,
    ) -> Optimizer:
        b1, b2 = betas
        check_moments("RAdam", b1, b2, eps)
        direction = scale_by_radam(b1, b2, eps, corrected_eps=False)
        decay = decay_of("RAdam", weight_decay)
        return chain(direction, *decay) if decoupled_weight_decay else chain(*decay, direction)
