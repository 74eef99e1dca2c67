"""Adam: steps of a size that does not depend on the gradients' scale."""

import math
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import numpy as np

from volta.core.context import STAGING
from volta.core.keywords import suggesting
from volta.core.trace import ops
from volta.core.types import as_dtype
from volta.optim.base import (
    Optimizer,
    Rate,
    add_decayed_weights,
    chain,
    check_number,
    check_rate,
    kept,
    leafwise,
    scale_by_learning_rate,
    times,
)
from volta.optim.stateful import Stateful

__all__ = ["Adam", "AdamState", "adam", "scale_by_adam"]


class AdamState(NamedTuple):
    """State of `scale_by_adam`: number of steps so far, first and second moments."""

    count: Any
    mu: Any
    nu: Any


@suggesting
def scale_by_adam(
    b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, eps_root: float = 0.0
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

    Moments of 16-bit parameters are float32: squares of gradients would underflow. Those of
    complex parameters are a complex mean and a real mean of |g|², as in optax; PyTorch treats
    the real and the imaginary part as two numbers.

    References
    ----------
    D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015,
    https://arxiv.org/abs/1412.6980, algorithm 1.

    Examples
    --------
    >>> adam = volta.optim.scale_by_adam()
    >>> updates, state = adam.update(np.asarray([3.0, -0.01]), adam.init(np.zeros(2)))
    >>> np.round(updates, 4)
    array([ 1., -1.])
    """
    _check("scale_by_adam", b1, b2, eps, eps_root)

    def init(params: Any) -> AdamState:
        mu, nu = leafwise("scale_by_adam.init", _zeros, results=2, params=params)
        return AdamState(0, mu, nu)

    def update(grads: Any, state: AdamState, params: Any = None) -> tuple[Any, AdamState]:
        count = state.count + 1

        def leaf(g: Any, mu: Any, nu: Any) -> tuple[Any, Any, Any]:
            way = _own_way(g, mu, nu) if known else _leaf
            return way(g, mu, nu, count, b1, b2, eps, eps_root)

        known = STAGING.get() is None and all(
            type(v) in (int, float) for v in (count, b1, b2, eps, eps_root)
        )
        updates, mu, nu = leafwise(
            "scale_by_adam.update", leaf, results=3, grads=grads, mu=state.mu, nu=state.nu
        )
        return updates, AdamState(count, mu, nu)

    return Optimizer(init, update)


def _zeros(p: Any) -> tuple[Any, Any]:
    """First and second moment of a parameter, in the dtypes they have."""
    name = as_dtype(p.dtype).name
    first = _MOMENTS.get(name, p.dtype)
    return ops.zeros_like(p, dtype=first), ops.zeros_like(p, dtype=_REAL.get(name, first))


_MOMENTS: Final = {"float16": "float32", "bfloat16": "float32"}
_REAL: Final = {"complex64": "float32", "complex128": "float64"}


def _leaf(
    gradient: Any, mu: Any, nu: Any, count: Any, b1: Any, b2: Any, eps: Any, eps_root: Any
) -> tuple[Any, Any, Any]:
    """Update and moments of one parameter, on every library and under every transform."""
    g = kept(gradient, mu)
    mu = kept(ops.add(times(mu, b1), times(g, 1 - b1)), mu)
    nu = kept(ops.add(times(nu, b2), times(_squared(g), 1 - b2)), nu)
    m = ops.divide(mu, _correction(b1, count, nu))
    v = ops.divide(nu, _correction(b2, count, nu))
    if type(eps_root) is not float or eps_root:
        v = ops.add(v, eps_root)
    return kept(ops.divide(m, ops.add(ops.sqrt(v), eps)), gradient), mu, nu


def _squared(g: Any) -> Any:
    if as_dtype(g.dtype).kind == "complex":
        return ops.add(ops.square(ops.real(g)), ops.square(ops.imag(g)))
    return ops.square(g)


def _correction(b: Any, count: Any, like: Any) -> Any:
    """``1 − bᵗ``, in the dtype of `like` unless it is a Python number."""
    if type(count) is int and type(b) in (int, float):
        return 1 - b**count
    t = ops.astype(count, like.dtype) if hasattr(count, "dtype") else float(count)
    if type(b) in (int, float):
        return ops.negative(ops.expm1(ops.multiply(t, math.log(b)))) if b else 1.0
    return kept(ops.subtract(1.0, ops.pow(kept(b, like), t)), like)


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


def _check(operation: str, b1: Any, b2: Any, eps: Any, eps_root: Any) -> None:
    for name, value, below in (("b1", b1, 1.0), ("b2", b2, 1.0), ("eps", eps, math.inf)):
        check_number(operation, name, value, below)
    check_number(operation, "eps_root", eps_root)


@suggesting
def adam(
    learning_rate: Rate,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
) -> Optimizer:
    """Adam; optax's arguments and defaults.

    Parameters
    ----------
    learning_rate : float, array of shape (), or callable
        Or a schedule, from step to rate.
    b1, b2, eps, eps_root : float
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
    _check("adam", b1, b2, eps, eps_root)
    return chain(scale_by_adam(b1, b2, eps, eps_root), scale_by_learning_rate(learning_rate))


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
    ) -> None:
        b1, b2 = betas
        _check("Adam", b1, b2, eps, 0.0)
        check_number("Adam", "weight_decay", weight_decay)
        stages = [add_decayed_weights(weight_decay)] if weight_decay else []
        super().__init__(params, lr, chain(*stages, scale_by_adam(b1, b2, eps)))
