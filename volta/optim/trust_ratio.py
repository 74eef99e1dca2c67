"""Steps in proportion to the size of what they change: LARS and LAMB."""

from typing import Any

from volta.core.keywords import suggesting
from volta.core.trace import ops
from volta.optim.adam import scale_by_adam
from volta.optim.base import (
    Optimizer,
    Rate,
    add_decayed_weights,
    chain,
    check_moments,
    check_number,
    check_rate,
    kept,
    leafwise,
    needed,
    restricted,
    scale,
    scale_by_learning_rate,
    stateless,
)
from volta.optim.moments import root, squared, widened
from volta.optim.sgd import scale_by_momentum
from volta.optim.stateful import Groups, Stateful, decay_of

__all__ = [
    "LAMB",
    "LARS",
    "lamb",
    "lars",
    "scale_by_param_block_norm",
    "scale_by_param_block_rms",
    "scale_by_trust_ratio",
]


@suggesting
def scale_by_trust_ratio(
    min_norm: float = 0.0, trust_coefficient: float = 1.0, eps: float = 0.0
) -> Optimizer:
    """Multiply each update by the ratio of the norms of its parameter and itself.

    Parameters
    ----------
    min_norm : float
        Least value of both norms.
    trust_coefficient : float
        Factor of the ratio.
    eps : float
        Added to the norm of the update.

    Returns
    -------
    Optimizer
        Its `update` needs `params`.

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Notes
    -----
    ``trust_coefficient · |p| / (|u| + eps) · u``; u itself where one norm is 0.

    References
    ----------
    Y. You, I. Gitman, B. Ginsburg, "Large batch training of convolutional networks", 2017,
    https://arxiv.org/abs/1708.03888.

    Examples
    --------
    >>> trust = volta.optim.scale_by_trust_ratio()
    >>> trust.update(np.asarray([0.5]), trust.init(None), np.asarray([4.0]))[0]
    array([4.])
    """
    names = ("min_norm", "trust_coefficient", "eps")
    for name, value in zip(names, (min_norm, trust_coefficient, eps), strict=True):
        check_number("scale_by_trust_ratio", name, value)

    def scaled(u: Any, p: Any) -> Any:
        p_norm, u_norm = _norm(p, min_norm), _norm(u, min_norm)
        none = ops.logical_or(ops.equal(p_norm, 0), ops.equal(u_norm, 0))
        divisor = ops.where(none, 1.0, ops.add(u_norm, eps))
        ratio = ops.divide(ops.multiply(p_norm, trust_coefficient), divisor)
        return kept(ops.multiply(widened(u), ops.where(none, 1.0, ratio)), u)

    return _of_params("scale_by_trust_ratio", scaled)


@suggesting
def scale_by_param_block_norm(min_scale: float = 1e-3) -> Optimizer:
    """Multiply each update by the norm of its parameter.

    Parameters
    ----------
    min_scale : float
        Least value of the norm.

    Returns
    -------
    Optimizer
        Its `update` needs `params`.

    Raises
    ------
    ValueError
        If `min_scale` is out of its range.

    Examples
    --------
    >>> block = volta.optim.scale_by_param_block_norm()
    >>> block.update(np.asarray([0.5, 1.0]), block.init(None), np.asarray([3.0, 4.0]))[0]
    array([2.5, 5. ])
    """
    check_number("scale_by_param_block_norm", "min_scale", min_scale)
    return _of_params(
        "scale_by_param_block_norm",
        lambda u, p: kept(ops.multiply(widened(u), _norm(p, min_scale)), u),
    )


@suggesting
def scale_by_param_block_rms(min_scale: float = 1e-3) -> Optimizer:
    """Multiply each update by the root of the mean square of its parameter.

    Parameters
    ----------
    min_scale : float
        Least value of the root.

    Returns
    -------
    Optimizer
        Its `update` needs `params`.

    Raises
    ------
    ValueError
        If `min_scale` is out of its range.

    Examples
    --------
    >>> block = volta.optim.scale_by_param_block_rms()
    >>> block.update(np.asarray([0.5, 1.0]), block.init(None), np.asarray([2.0, -2.0]))[0]
    array([1., 2.])
    """
    check_number("scale_by_param_block_rms", "min_scale", min_scale)
    return _of_params(
        "scale_by_param_block_rms",
        lambda u, p: kept(ops.multiply(widened(u), rms(p, min_scale)), u),
    )


def rms(x: Any, least: Any = 0.0) -> Any:
    """Root of the mean square of an array, at least `least`; its derivative there is 0."""
    return _floored_root(ops.mean(squared(widened(x))), least)


def _norm(x: Any, least: Any) -> Any:
    return _floored_root(ops.sum(squared(widened(x))), least)


def _floored_root(square: Any, least: Any) -> Any:
    return ops.maximum(root(square), least)


def _of_params(operation: str, f: Any) -> Optimizer:
    return stateless(
        lambda grads, params: leafwise(
            f"{operation}.update", f, grads=grads, params=needed(operation, params)
        )
    )


@suggesting
def lamb(
    learning_rate: Rate,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-6,
    eps_root: float = 0.0,
    weight_decay: Any = 0.0,
    mask: Any = None,
) -> Optimizer:
    """LAMB: Adam with steps in proportion to the parameters; optax's arguments and defaults.

    Parameters
    ----------
    learning_rate : float, array of shape (), or callable
        Or a schedule, from step to rate.
    b1, b2, eps, eps_root
        See `scale_by_adam`.
    weight_decay, mask
        See `add_decayed_weights`, whose result is part of what is scaled.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    References
    ----------
    Y. You et al., "Large batch optimization for deep learning: training BERT in 76 minutes",
    ICLR 2020, https://arxiv.org/abs/1904.00962, algorithm 2.

    Examples
    --------
    >>> optimizer = volta.optim.lamb(0.1)
    >>> w = np.asarray([3.0])
    >>> optimizer.update(np.asarray([2.0]), optimizer.init(w), w)[0].round(4)
    array([-0.3])
    """
    check_rate("lamb", learning_rate)
    check_moments("lamb", b1, b2, eps, eps_root)
    return chain(
        scale_by_adam(b1, b2, eps, eps_root),
        add_decayed_weights(weight_decay, mask),
        scale_by_trust_ratio(),
        scale_by_learning_rate(learning_rate),
    )


@suggesting
def lars(
    learning_rate: Rate,
    weight_decay: Any = 0.0,
    weight_decay_mask: Any = True,
    trust_coefficient: float = 0.001,
    eps: float = 0.0,
    trust_ratio_mask: Any = True,
    momentum: float = 0.9,
    nesterov: bool = False,
) -> Optimizer:
    """LARS: momentum with steps in proportion to the parameters; optax's arguments and defaults.

    Parameters
    ----------
    learning_rate : float, array of shape (), or callable
        Or a schedule, from step to rate.
    weight_decay, weight_decay_mask
        See `add_decayed_weights`, which comes first.
    trust_coefficient, eps
        See `scale_by_trust_ratio`.
    trust_ratio_mask : tree of bool, or callable
        Which parameters are scaled; as for `masked`.
    momentum, nesterov
        See `scale_by_momentum`, which comes last, after the rate.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    References
    ----------
    Y. You, I. Gitman, B. Ginsburg, "Large batch training of convolutional networks", 2017,
    https://arxiv.org/abs/1708.03888, algorithm 1.

    Examples
    --------
    >>> optimizer = volta.optim.lars(0.1, trust_coefficient=0.5)
    >>> w = np.asarray([3.0])
    >>> optimizer.update(np.asarray([2.0]), optimizer.init(w), w)[0].round(4)
    array([-0.15])
    """
    check_rate("lars", learning_rate)
    trust = scale_by_trust_ratio(trust_coefficient=trust_coefficient, eps=eps)
    return chain(
        add_decayed_weights(weight_decay, weight_decay_mask),
        restricted("lars", trust, trust_ratio_mask),
        scale_by_learning_rate(learning_rate),
        scale_by_momentum(momentum, nesterov=nesterov),
    )


class LAMB(Stateful):
    """LAMB on a model; the paper's arguments, which PyTorch has not.

    Parameters
    ----------
    params : Module, or tree of arrays
    lr : float or callable
        Learning rate, or a schedule from step to rate. May be assigned to between steps.
    betas, eps
        See `scale_by_adam`.
    weight_decay : float
        Factor of the parameters that are added to what is scaled.
    maximize : bool
        Whether to climb.
    groups : sequence of dict
        Parameters with other hyperparameters; see `Stateful`.

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Notes
    -----
    The steps are those of `lamb`.

    Examples
    --------
    >>> optimizer = volta.optim.LAMB({"w": np.full(1, 3.0)}, lr=0.1)
    >>> {k: v.round(4) for k, v in optimizer.step({"w": np.full(1, 2.0)}).items()}
    {'w': array([2.7])}
    """

    @suggesting
    def __init__(
        self,
        params: Any,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
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
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            maximize=maximize,
        )

    def _direction(self, betas: tuple[float, float], eps: float, weight_decay: float) -> Optimizer:
        check_moments("LAMB", *betas, eps)
        moments = scale_by_adam(*betas, eps)
        return chain(moments, *decay_of("LAMB", weight_decay), scale_by_trust_ratio())


class LARS(Stateful):
    """LARS on a model; the arguments and defaults of `lars`, as PyTorch has none.

    Parameters
    ----------
    params : Module, or tree of arrays
    lr : float or callable
        Learning rate, or a schedule from step to rate. May be assigned to between steps.
    momentum, nesterov
        See `scale_by_momentum`, which comes last, after the rate.
    weight_decay : float
        Factor of the parameters that are added to the gradients.
    trust_coefficient : float, optional
        See `scale_by_trust_ratio`. None, for a group of biases, does not scale.
    eps : float
        See `scale_by_trust_ratio`.
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
    >>> optimizer = volta.optim.LARS({"w": np.full(1, 3.0)}, lr=0.1, trust_coefficient=0.5)
    >>> {k: v.round(4) for k, v in optimizer.step({"w": np.full(1, 2.0)}).items()}
    {'w': array([2.85])}
    """

    _own_rate = True

    @suggesting
    def __init__(
        self,
        params: Any,
        lr: Rate = 1e-3,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        trust_coefficient: float | None = 0.001,
        eps: float = 0.0,
        *,
        maximize: bool = False,
        groups: Groups = (),
    ) -> None:
        super().__init__(
            params,
            groups,
            lr=lr,
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=weight_decay,
            trust_coefficient=trust_coefficient,
            eps=eps,
            maximize=maximize,
        )

    def _direction(
        self,
        lr: Rate,
        momentum: float,
        nesterov: bool,
        weight_decay: float,
        trust_coefficient: float | None,
        eps: float,
    ) -> Optimizer:
        links = decay_of("LARS", weight_decay)
        if trust_coefficient is not None:
            links.append(scale_by_trust_ratio(trust_coefficient=trust_coefficient, eps=eps))
        return chain(*links, scale(lr), scale_by_momentum(momentum, nesterov=nesterov))
