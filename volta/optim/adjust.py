"""Small changes of gradients and updates: noise, centring, and what keeps numbers in bounds."""

from typing import Any, NamedTuple

from volta.core import tree
from volta.core.keywords import suggesting
from volta.core.trace import ops
from volta.functional import random
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
    needed,
    no_steps,
    scale_by_learning_rate,
    stateless,
    times,
)
from volta.optim.moments import real, widened

__all__ = [
    "NoiseState",
    "add_noise",
    "centralize",
    "keep_params_nonnegative",
    "noisy_sgd",
    "zero_nans",
]


class NoiseState(NamedTuple):
    """State of `add_noise`: steps so far, and the key of the next."""

    count: Any
    key: Any


@suggesting
def add_noise(eta: float, gamma: float, key: Any) -> Optimizer:
    """Add normal noise to gradients that becomes less with the steps.

    Parameters
    ----------
    eta : float
        Variance in the first step.
    gamma : float
        In step t it is ``eta / t^gamma``.
    key : array, shape (2,), uint32
        Random key; see `volta.functional.random.key`.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    References
    ----------
    A. Neelakantan et al., "Adding gradient noise improves learning for very deep networks", 2015,
    https://arxiv.org/abs/1511.06807, equation 1.

    Examples
    --------
    >>> noise = volta.optim.add_noise(1.0, 0.5, F.random.key(0))
    >>> updates, state = noise.update(np.zeros(10_000), noise.init(np.zeros(10_000)))
    >>> bool(0.95 < updates.std() < 1.05)
    True
    """
    check_number("add_noise", "eta", eta)
    check_number("add_noise", "gamma", gamma)

    def update(grads: Any, state: NoiseState, params: Any = None) -> tuple[Any, NoiseState]:
        leafwise("add_noise.update", lambda g: None, grads=grads)
        count = following(state.count)
        leaves, spec = tree.flatten(grads)
        new, *keys = random.split(state.key, len(leaves) + 1)
        noisy = []
        for g, own in zip(leaves, keys, strict=True):
            wide = widened(g)
            noise = random.normal(own, tuple(g.shape), ops.abs(wide).dtype)
            deviation = (eta / real(known(count), ops.abs(wide)) ** gamma) ** 0.5
            noisy.append(kept(ops.add(wide, times(noise, deviation)), g))
        return tree.unflatten(spec, noisy), NoiseState(count, new)

    return Optimizer(lambda params: NoiseState(no_steps(), key), update)


@suggesting
def noisy_sgd(
    learning_rate: Rate, eta: float = 0.01, gamma: float = 0.55, *, key: Any
) -> Optimizer:
    """Gradient descent with noise; optax's arguments and defaults, but for the key.

    Parameters
    ----------
    learning_rate : float, array of shape (), or callable
        Or a schedule, from step to rate.
    eta, gamma, key
        See `add_noise`.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Examples
    --------
    >>> optimizer = volta.optim.noisy_sgd(0.5, eta=0.0, key=F.random.key(0))
    >>> optimizer.update(np.ones(1), optimizer.init(np.ones(1)))[0]
    array([-0.5])
    """
    check_rate("noisy_sgd", learning_rate)
    return chain(add_noise(eta, gamma, key), scale_by_learning_rate(learning_rate))


def centralize() -> Optimizer:
    """Subtract from the gradient of each array of two axes or more its mean over all but the first.

    Returns
    -------
    Optimizer

    Notes
    -----
    The first axis is that of units, as in convolutions and in optax. In the weight of a `Linear`
    the first axis is that of inputs.

    References
    ----------
    H. Yong et al., "Gradient centralization: a new optimization technique for deep neural
    networks", ECCV 2020, https://arxiv.org/abs/2004.01461, equation 1.

    Examples
    --------
    >>> volta.optim.centralize().update(np.asarray([[1.0, 3.0], [5.0, 5.0]]), ())[0]
    array([[-1.,  1.],
           [ 0.,  0.]])
    """

    def centred(g: Any) -> Any:
        if len(g.shape) < 2:
            return g
        axes = tuple(range(1, len(g.shape)))
        return kept(ops.subtract(g, ops.mean(g, axis=axes, keepdims=True)), g)

    return stateless(lambda grads, params: leafwise("centralize.update", centred, grads=grads))


def zero_nans() -> Optimizer:
    """Replace NaN by 0 in updates.

    Returns
    -------
    Optimizer

    Examples
    --------
    >>> volta.optim.zero_nans().update(np.asarray([1.0, np.nan]), ())[0]
    array([1., 0.])
    """
    return stateless(
        lambda grads, params: leafwise(
            "zero_nans.update", lambda g: ops.where(ops.isnan(g), ops.zeros_like(g), g), grads=grads
        )
    )


def keep_params_nonnegative() -> Optimizer:
    """Stop updates at zero: after them no parameter is negative that was not. Last in a chain.

    Returns
    -------
    Optimizer
        Its `update` needs `params`.

    Examples
    --------
    >>> stop = volta.optim.keep_params_nonnegative()
    >>> stop.update(np.asarray([-3.0, -0.5]), (), np.asarray([1.0, 1.0]))[0]
    array([-1. , -0.5])
    """
    return stateless(
        lambda grads, params: leafwise(
            "keep_params_nonnegative.update",
            lambda u, p: ops.where(ops.less(ops.add(p, u), 0), kept(ops.negative(p), u), u),
            grads=grads,
            params=needed("keep_params_nonnegative", params),
        )
    )
