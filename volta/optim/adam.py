"""Adam: steps of a size that does not depend on the gradients' scale."""

import math
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import numpy as np

from volta.core.context import STAGING
from volta.core.keywords import suggesting
from volta.core.trace import ops
from volta.optim.amsgrad import scale_by_amsgrad
from volta.optim.base import (
    Optimizer,
    Rate,
    add_decayed_weights,
    chain,
    check_moments,
    check_rate,
    following,
    kept,
    known,
    leafwise,
    no_steps,
    scale_by_learning_rate,
)
from volta.optim.moments import debiased, like, real_like, running, squared, widened, with_nesterov
from volta.optim.stateful import Groups, Stateful, decay_of

__all__ = ["Adam", "AdamState", "AdamW", "adam", "adamw", "nadam", "nadamw", "scale_by_adam"]


class AdamState(NamedTuple):
    """State of `scale_by_adam`: number of steps so far, first and second moments."""

    count: Any
    mu: Any
    nu: Any


@suggesting
def scale_by_adam(
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Any = None,
    *,
    nesterov: bool = False,
) -> Optimizer:
    """Divide the mean of the gradients by the root of the mean of their squares.

    Parameters
    ----------
    b1, b2 : float
        Decay of the first and of the second mean, in [0, 1).
    eps : float
        Added to the root.
    eps_root : float
        Added under the root, for derivatives through an update.
    mu_dtype : dtype, optional
        Of the first mean; by default the parameters', or float32 for those of 16 bits.
    nesterov : bool
        Whether the first mean looks one step ahead.

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

        mu = b1 · mu + (1 − b1) · g              nu = b2 · nu + (1 − b2) · |g|²
        m  = mu / (1 − b1ᵗ)                      v  = nu / (1 − b2ᵗ)
        update = m / (√(v + eps_root) + eps)

    With `nesterov` ``m = b1 · mu / (1 − b1ᵗ⁺¹) + (1 − b1) · g / (1 − b1ᵗ)``.

    Moments of 16-bit parameters are float32: squares of gradients would underflow. Those of
    complex parameters are a complex mean and a real mean of |g|², as in optax; PyTorch treats
    the real and the imaginary part as two numbers.

    References
    ----------
    D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015,
    https://arxiv.org/abs/1412.6980, algorithm 1. T. Dozat, "Incorporating Nesterov momentum into
    Adam", ICLR workshop 2016, https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ.

    Examples
    --------
    >>> adam = volta.optim.scale_by_adam()
    >>> updates, state = adam.update(np.asarray([3.0, -0.01]), adam.init(np.zeros(2)))
    >>> np.round(updates, 4)
    array([ 1., -1.])
    """
    check_moments("scale_by_adam", b1, b2, eps, eps_root)

    def init(params: Any) -> AdamState:
        mu, nu = leafwise(
            "scale_by_adam.init",
            lambda p: (like(p, dtype=mu_dtype), real_like(p)),
            results=2,
            params=params,
        )
        return AdamState(no_steps(), mu, nu)

    def update(grads: Any, state: AdamState, params: Any = None) -> tuple[Any, AdamState]:
        count = following(state.count)
        t = known(count)

        def leaf(g: Any, mu: Any, nu: Any) -> tuple[Any, Any, Any]:
            if not plain:
                return _leaf(g, mu, nu, t, b1, b2, eps, eps_root, nesterov)
            return _own_way(g, mu, nu)(g, mu, nu, t, b1, b2, eps, eps_root)

        plain = (
            not nesterov
            and STAGING.get() is None
            and all(type(v) in (int, float) for v in (t, b1, b2, eps, eps_root))
        )
        updates, mu, nu = leafwise(
            "scale_by_adam.update", leaf, results=3, grads=grads, mu=state.mu, nu=state.nu
        )
        return updates, AdamState(count, mu, nu)

    return Optimizer(init, update)


def _leaf(
    gradient: Any,
    mu: Any,
    nu: Any,
    t: Any,
    b1: Any,
    b2: Any,
    eps: Any,
    eps_root: Any,
    nesterov: bool = False,
) -> tuple[Any, Any, Any]:
    """Update and moments of one parameter, on every library and under every transform."""
    g = widened(gradient)
    first = running(widened(mu), g, b1)
    nu = kept(running(nu, squared(g), b2), nu)
    m = with_nesterov(first, g, b1, t) if nesterov else debiased(first, b1, t)
    v = debiased(nu, b2, t)
    if type(eps_root) is not float or eps_root:
        v = ops.add(v, eps_root)
    return kept(ops.divide(m, ops.add(ops.sqrt(v), eps)), gradient), kept(first, mu), nu


# The same by a library's own functions, with fewer arrays in between -----------------------------

BLOCK: Final = 32768  # elements worked on at once, so that they stay in the cache: measured best


def _own_way(*arrays: Any) -> Callable[..., tuple[Any, Any, Any]]:
    """Function for the leaves g, mu and nu of a parameter."""
    first, dtype = type(arrays[0]), arrays[0].dtype
    if any(type(a) is not first or a.dtype != dtype for a in arrays):
        return _leaf
    if first is np.ndarray:
        plain = dtype.char in "fd" and all(a.flags.c_contiguous for a in arrays)
        return _numpy_leaf if plain else _leaf
    is_tensor = first.__module__ == "torch" and first.__name__ == "Tensor"
    return _torch_leaf if is_tensor and dtype.is_floating_point else _leaf


def _factors(
    count: int, b1: float, b2: float, eps: float, eps_root: float
) -> tuple[float, float, float]:
    """Numbers a, r and e for which the update is ``a · mu / (√(nu + r) + e)``.

    With s = √(1 − b2ᵗ) these are s / (1 − b1ᵗ), eps_root · s² and eps · s.
    """
    s = math.sqrt(1 - b2**count)
    return s / (1 - b1**count), eps_root * s * s, eps * s


def _torch_leaf(
    g: Any, mu: Any, nu: Any, count: int, b1: float, b2: float, eps: float, eps_root: float
) -> tuple[Any, Any, Any]:
    factor, root, added = _factors(count, b1, b2, eps, eps_root)
    mu = mu.lerp(g, 1 - b1)
    nu = (nu * b2).addcmul_(g, g, value=1 - b2)
    update = (nu + root).sqrt_() if root else nu.sqrt()
    return (mu / update.add_(added)).mul_(factor), mu, nu


def _numpy_leaf(
    g: Any, mu: Any, nu: Any, count: int, b1: float, b2: float, eps: float, eps_root: float
) -> tuple[Any, Any, Any]:
    factor, root, added = _factors(count, b1, b2, eps, eps_root)
    update, new_mu, new_nu = np.empty_like(g), np.empty_like(mu), np.empty_like(nu)
    for x, m0, v0, u, m, v in _blocks(g, mu, nu, update, new_mu, new_nu):
        np.multiply(x, 1 - b1, out=u)
        np.multiply(m0, b1, out=m)
        np.add(m, u, out=m)
        np.multiply(x, x, out=u)
        np.multiply(u, 1 - b2, out=u)
        np.multiply(v0, b2, out=v)
        np.add(v, u, out=v)
        if root:
            np.add(v, root, out=u)
            np.sqrt(u, out=u)
        else:
            np.sqrt(v, out=u)
        np.add(u, added, out=u)
        np.divide(m, u, out=u)
        np.multiply(u, factor, out=u)
    return update, new_mu, new_nu


def _blocks(*arrays: Any) -> Iterable[Any]:
    """Views of equal places of the arrays, of at most BLOCK elements."""
    size = arrays[0].size
    if size <= BLOCK:
        return (arrays,)
    flat = [a.reshape(-1) for a in arrays]
    return ([a[i : i + BLOCK] for a in flat] for i in range(0, size, BLOCK))


@suggesting
def adam(
    learning_rate: Rate,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Any = None,
    *,
    nesterov: bool = False,
) -> Optimizer:
    """Adam; optax's arguments and defaults.

    Parameters
    ----------
    learning_rate : float, array of shape (), or callable
        Or a schedule, from step to rate.
    b1, b2, eps, eps_root, mu_dtype, nesterov
        See `scale_by_adam`.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Examples
    --------
    >>> optimizer = volta.optim.adam(0.1)
    >>> params = {"w": np.asarray([1.0])}
    >>> updates, _ = optimizer.update({"w": np.asarray([2.0])}, optimizer.init(params))
    >>> volta.optim.apply_updates(params, updates)
    {'w': array([0.9])}
    """
    check_rate("adam", learning_rate)
    check_moments("adam", b1, b2, eps, eps_root)
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        scale_by_learning_rate(learning_rate),
    )


@suggesting
def adamw(
    learning_rate: Rate,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Any = None,
    weight_decay: Any = 1e-4,
    mask: Any = None,
    *,
    nesterov: bool = False,
) -> Optimizer:
    """Adam with decoupled weight decay; optax's arguments and defaults.

    Parameters
    ----------
    learning_rate : float, array of shape (), or callable
        Or a schedule, from step to rate.
    b1, b2, eps, eps_root, mu_dtype, nesterov
        See `scale_by_adam`.
    weight_decay : float, array of shape (), or callable
        Share of the parameters, times the rate, that a step takes away; PyTorch's default is 0.01.
    mask : tree of bool, or callable, optional
        Which parameters decay; as for `masked`.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    References
    ----------
    I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019,
    https://arxiv.org/abs/1711.05101, algorithm 2.

    Examples
    --------
    >>> optimizer = volta.optim.adamw(0.1, weight_decay=0.5)
    >>> w = np.asarray([1.0])
    >>> optimizer.update(np.zeros(1), optimizer.init(w), w)[0]
    array([-0.05])
    """
    check_rate("adamw", learning_rate)
    check_moments("adamw", b1, b2, eps, eps_root)
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )


@suggesting
def nadam(
    learning_rate: Rate,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Any = None,
) -> Optimizer:
    """Adam with Nesterov's momentum: `adam` with ``nesterov=True``.

    Parameters
    ----------
    learning_rate, b1, b2, eps, eps_root, mu_dtype
        See `adam`.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Notes
    -----
    `NAdam` follows PyTorch, whose momentum grows with the steps.

    Examples
    --------
    >>> optimizer = volta.optim.nadam(0.1)
    >>> updates, _ = optimizer.update(np.asarray([2.0]), optimizer.init(np.zeros(1)))
    >>> np.round(updates, 4)
    array([-0.1474])
    """
    return adam(learning_rate, b1, b2, eps, eps_root, mu_dtype, nesterov=True)


@suggesting
def nadamw(
    learning_rate: Rate,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Any = None,
    weight_decay: Any = 1e-4,
    mask: Any = None,
) -> Optimizer:
    """`adamw` with Nesterov's momentum.

    Parameters
    ----------
    learning_rate, b1, b2, eps, eps_root, mu_dtype, weight_decay, mask
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
    >>> optimizer = volta.optim.nadamw(0.1, weight_decay=0.5)
    >>> w = np.asarray([1.0])
    >>> optimizer.update(np.zeros(1), optimizer.init(w), w)[0]
    array([-0.05])
    """
    return adamw(learning_rate, b1, b2, eps, eps_root, mu_dtype, weight_decay, mask, nesterov=True)


class Adam(Stateful):
    """Adam on a model; PyTorch's arguments and defaults.

    Parameters
    ----------
    params : Module, or tree of arrays
    lr : float or callable
        Learning rate, or a schedule from step to rate. May be assigned to between steps.
    betas : pair of float
        Decay of the first and of the second mean; see `scale_by_adam`.
    eps : float
        Added to the root.
    weight_decay : float
        Factor of the parameters that are added to the gradients.
    amsgrad : bool
        Whether to divide by the largest mean of squares so far; see `scale_by_amsgrad`.
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
    >>> optimizer = volta.optim.Adam(model, lr=0.1)
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
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
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
            amsgrad=amsgrad,
            maximize=maximize,
        )

    def _direction(
        self, betas: tuple[float, float], eps: float, weight_decay: float, amsgrad: bool
    ) -> Optimizer:
        return chain(*decay_of("Adam", weight_decay), moments_of("Adam", betas, eps, amsgrad))


class AdamW(Stateful):
    """Adam with decoupled weight decay on a model; PyTorch's arguments and defaults.

    Parameters
    ----------
    params, lr, betas, eps, amsgrad, maximize, groups
        See `Adam`.
    weight_decay : float
        Share of the parameters, times `lr`, that a step takes away.

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Examples
    --------
    >>> optimizer = volta.optim.AdamW({"w": np.ones(1)}, lr=0.1, weight_decay=0.5)
    >>> optimizer.step({"w": np.zeros(1)})
    {'w': array([0.95])}
    """

    @suggesting
    def __init__(
        self,
        params: Any,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
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
            amsgrad=amsgrad,
            maximize=maximize,
        )

    def _direction(
        self, betas: tuple[float, float], eps: float, weight_decay: float, amsgrad: bool
    ) -> Optimizer:
        return chain(moments_of("AdamW", betas, eps, amsgrad), *decay_of("AdamW", weight_decay))


def moments_of(operation: str, betas: tuple[float, float], eps: float, amsgrad: bool) -> Optimizer:
    """Direction of PyTorch's Adam."""
    b1, b2 = betas
    check_moments(operation, b1, b2, eps)
    if amsgrad:
        return scale_by_amsgrad(b1, b2, eps, maximum_of_corrected=False)
    return scale_by_adam(b1, b2, eps)
