"""Lion: the sign of an interpolated momentum; and other rules of signs."""

from typing import Any, NamedTuple

from volta.core.keywords import suggesting
from volta.core.trace import ops
from volta.optim.base import (
    Optimizer,
    Rate,
    add_decayed_weights,
    chain,
    check_moments,
    check_number,
    check_rate,
    leafwise,
    scale_by_learning_rate,
    stateless,
)
from volta.optim.moments import elementwise, like, running
from volta.optim.stateful import Groups, Stateful, decay_of

__all__ = ["Lion", "LionState", "lion", "scale_by_lion", "scale_by_sign", "sign_sgd"]


class LionState(NamedTuple):
    """State of `scale_by_lion`: steps so far, and the momentum."""

    count: Any
    mu: Any


@suggesting
def scale_by_lion(b1: float = 0.9, b2: float = 0.99, mu_dtype: Any = None) -> Optimizer:
    """Replace gradients by the sign of their mean with the momentum.

    Parameters
    ----------
    b1 : float
        Share of the momentum in the update, in [0, 1).
    b2 : float
        Decay of the momentum, in [0, 1).
    mu_dtype : dtype, optional
        Of the momentum; by default the parameters', or float32 for those of 16 bits.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Notes
    -----
    The update is ``sign(b1 · mu + (1 − b1) · g)``, for complex numbers of modulus 1; then
    ``mu = b2 · mu + (1 − b2) · g``.

    References
    ----------
    X. Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023,
    https://arxiv.org/abs/2302.06675, algorithm 2.

    Examples
    --------
    >>> lion = volta.optim.scale_by_lion()
    >>> lion.update(np.asarray([3.0, -0.01]), lion.init(np.zeros(2)))[0]
    array([ 1., -1.])
    """
    check_number("scale_by_lion", "b1", b1, 1.0)
    check_number("scale_by_lion", "b2", b2, 1.0)
    return elementwise(
        "scale_by_lion",
        LionState,
        lambda p: (like(p, dtype=mu_dtype),),
        lambda g, t, mu: (ops.sign(running(mu, g, b1)), running(mu, g, b2)),
    )


def scale_by_sign() -> Optimizer:
    """Replace gradients by their signs.

    Returns
    -------
    Optimizer

    References
    ----------
    J. Bernstein et al., "signSGD: compressed optimisation for non-convex problems", ICML 2018,
    https://arxiv.org/abs/1802.04434, algorithm 1.

    Examples
    --------
    >>> volta.optim.scale_by_sign().update(np.asarray([3.0, -0.1]), volta.optim.EmptyState())[0]
    array([ 1., -1.])
    """
    return stateless(lambda grads, params: leafwise("scale_by_sign.update", ops.sign, grads=grads))


@suggesting
def sign_sgd(learning_rate: Rate) -> Optimizer:
    """Steps of one size in every coordinate, by the sign of the gradient.

    Parameters
    ----------
    learning_rate : float, array of shape (), or callable
        Or a schedule, from step to rate.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If the rate is out of its range.

    Examples
    --------
    >>> optimizer = volta.optim.sign_sgd(0.1)
    >>> optimizer.update(np.asarray([3.0]), optimizer.init(np.zeros(1)))[0]
    array([-0.1])
    """
    check_rate("sign_sgd", learning_rate)
    return chain(scale_by_sign(), scale_by_learning_rate(learning_rate))


@suggesting
def lion(
    learning_rate: Rate,
    b1: float = 0.9,
    b2: float = 0.99,
    mu_dtype: Any = None,
    weight_decay: Any = 1e-3,
    mask: Any = None,
) -> Optimizer:
    """Lion, with decoupled weight decay; optax's arguments and defaults.

    Parameters
    ----------
    learning_rate : float, array of shape (), or callable
        Or a schedule, from step to rate.
    b1, b2, mu_dtype
        See `scale_by_lion`.
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
    >>> optimizer = volta.optim.lion(0.1, weight_decay=0.5)
    >>> w = np.asarray([1.0])
    >>> optimizer.update(np.asarray([3.0]), optimizer.init(w), w)[0]
    array([-0.15])
    """
    check_rate("lion", learning_rate)
    return chain(
        scale_by_lion(b1, b2, mu_dtype),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )


class Lion(Stateful):
    """Lion on a model; the paper's arguments and defaults, which PyTorch has not.

    Parameters
    ----------
    params : Module, or tree of arrays
    lr : float or callable
        Learning rate, or a schedule from step to rate. May be assigned to between steps.
    betas
        See `scale_by_lion`.
    weight_decay : float
        Share of the parameters, times `lr`, that a step takes away.
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
    >>> optimizer = volta.optim.Lion({"w": np.ones(1)}, lr=0.1, weight_decay=0.5)
    >>> {k: v.round(4) for k, v in optimizer.step({"w": np.full(1, 2.0)}).items()}
    {'w': array([0.85])}
    """

    @suggesting
    def __init__(
        self,
        params: Any,
        lr: Rate = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
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
            weight_decay=weight_decay,
            maximize=maximize,
        )

    def _direction(self, betas: tuple[float, float], weight_decay: float) -> Optimizer:
        b1, b2 = betas
        check_moments("Lion", b1, b2, 0.0)
        return chain(scale_by_lion(b1, b2), *decay_of("Lion", weight_decay))
