"""RMSprop: gradients divided by the root of the mean of their squares."""

from typing import Any, NamedTuple

from volta.core.keywords import suggesting
from volta.core.trace import located, ops
from volta.optim.base import (
    Optimizer,
    Rate,
    chain,
    check_number,
    check_rate,
    scale_by_learning_rate,
)
from volta.optim.moments import debiased, elementwise, like, real_like, running, squared
from volta.optim.sgd import scale_by_momentum
from volta.optim.stateful import Groups, Stateful, decay_of

__all__ = ["RMSprop", "RmsState", "StddevState", "rmsprop", "scale_by_rms", "scale_by_stddev"]


class RmsState(NamedTuple):
    """State of `scale_by_rms`: steps so far, and the mean of squares."""

    count: Any
    nu: Any


class StddevState(NamedTuple):
    """State of `scale_by_stddev`: steps so far, the mean, and the mean of squares."""

    count: Any
    mu: Any
    nu: Any


@suggesting
def scale_by_rms(
    decay: float = 0.9,
    eps: float = 1e-8,
    initial_scale: float = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
) -> Optimizer:
    """Divide gradients by the root of the mean of their squares.

    Parameters
    ----------
    decay : float
        Of the mean, in [0, 1).
    eps : float
        Added to the mean, or to its root.
    initial_scale : float
        What the mean begins with.
    eps_in_sqrt : bool
        Whether `eps` is added to the mean (optax) or to its root (PyTorch).
    bias_correction : bool
        Whether the mean is divided by the weight of its terms.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Notes
    -----
    ``nu = decay · nu + (1 − decay) · |g|²``; the update is ``g / √(nu + eps)``, or
    ``g / (√nu + eps)``.

    References
    ----------
    T. Tieleman, G. Hinton, "Lecture 6.5: rmsprop", COURSERA: Neural networks for machine learning,
    2012, https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf.

    Examples
    --------
    >>> rms = volta.optim.scale_by_rms(0.75, 0.0)
    >>> rms.update(np.asarray([3.0]), rms.init(np.zeros(1)))[0]
    array([2.])
    """
    _check("scale_by_rms", decay, eps, initial_scale)

    def rule(g: Any, t: Any, nu: Any) -> tuple[Any, Any]:
        nu = running(nu, squared(g), decay)
        v = debiased(nu, decay, t) if bias_correction else nu
        return ops.divide(g, _root(v, eps, eps_in_sqrt)), nu

    return elementwise("scale_by_rms", RmsState, lambda p: (real_like(p, initial_scale),), rule)


@suggesting
def scale_by_stddev(
    decay: float = 0.9,
    eps: float = 1e-8,
    initial_scale: float = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
) -> Optimizer:
    """Divide gradients by their standard deviation.

    Parameters
    ----------
    decay, eps, initial_scale, eps_in_sqrt, bias_correction
        See `scale_by_rms`.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Notes
    -----
    As `scale_by_rms`, with ``nu − |mu|²`` in place of nu, where mu is the mean of the gradients.

    References
    ----------
    A. Graves, "Generating sequences with recurrent neural networks", 2013,
    https://arxiv.org/abs/1308.0850, equations 38 to 41.

    Examples
    --------
    >>> stddev = volta.optim.scale_by_stddev(0.75, 0.0)
    >>> stddev.update(np.asarray([3.0]), stddev.init(np.zeros(1)))[0].round(4)
    array([2.3094])
    """
    _check("scale_by_stddev", decay, eps, initial_scale)

    def rule(g: Any, t: Any, mu: Any, nu: Any) -> tuple[Any, Any, Any]:
        mu, nu = running(mu, g, decay), running(nu, squared(g), decay)
        m, v = mu, nu
        if bias_correction:
            m, v = debiased(mu, decay, t), debiased(nu, decay, t)
        variance = ops.subtract(v, squared(m))
        return ops.divide(g, _root(variance, eps, eps_in_sqrt)), mu, nu

    return elementwise(
        "scale_by_stddev", StddevState, lambda p: (like(p), real_like(p, initial_scale)), rule
    )


def _root(v: Any, eps: Any, eps_in_sqrt: bool) -> Any:
    return ops.sqrt(ops.add(v, eps)) if eps_in_sqrt else ops.add(ops.sqrt(v), eps)


def _check(operation: str, decay: Any, eps: Any, initial_scale: Any, name: str = "decay") -> None:
    check_number(operation, name, decay, 1.0)
    check_number(operation, "eps", eps)
    check_number(operation, "initial_scale", initial_scale)


@suggesting
def rmsprop(
    learning_rate: Rate,
    decay: float = 0.9,
    eps: float = 1e-8,
    initial_scale: float = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: float | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
) -> Optimizer:
    """RMSprop; optax's arguments and defaults.

    Parameters
    ----------
    learning_rate : float, array of shape (), or callable
        Or a schedule, from step to rate.
    decay, eps, initial_scale, eps_in_sqrt, bias_correction
        See `scale_by_rms`.
    centered : bool
        Whether to divide by the standard deviation; see `scale_by_stddev`.
    momentum, nesterov
        See `scale_by_momentum`, which comes last, after the rate.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Notes
    -----
    PyTorch's `RMSprop` decays by 0.99, adds `eps` to the root, and applies the momentum before
    the rate.

    Examples
    --------
    >>> optimizer = volta.optim.rmsprop(0.1, 0.75, 0.0)
    >>> optimizer.update(np.asarray([3.0]), optimizer.init(np.zeros(1)))[0]
    array([-0.2])
    """
    check_rate("rmsprop", learning_rate)
    if nesterov and momentum is None:
        msg = "rmsprop: nesterov needs a momentum; got none."
        raise located(ValueError(msg))
    scaled = scale_by_stddev if centered else scale_by_rms
    links = [
        scaled(decay, eps, initial_scale, eps_in_sqrt, bias_correction),
        scale_by_learning_rate(learning_rate),
    ]
    if momentum is not None:
        links.append(scale_by_momentum(momentum, nesterov=nesterov))
    return chain(*links)


class RMSprop(Stateful):
    """RMSprop on a model; PyTorch's arguments and defaults.

    Parameters
    ----------
    params : Module, or tree of arrays
    lr : float or callable
        Learning rate, or a schedule from step to rate. May be assigned to between steps.
    alpha : float
        Decay of the mean of squares.
    eps : float
        Added to its root.
    weight_decay : float
        Factor of the parameters that are added to the gradients.
    momentum : float
        See `scale_by_momentum`, which comes before the rate.
    centered : bool
        Whether to divide by the standard deviation; see `scale_by_stddev`.
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
    >>> optimizer = volta.optim.RMSprop({"w": np.ones(1)}, lr=0.1, alpha=0.75)
    >>> {k: v.round(4) for k, v in optimizer.step({"w": np.full(1, 2.0)}).items()}
    {'w': array([0.8])}
    """

    @suggesting
    def __init__(
        self,
        params: Any,
        lr: Rate = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
        groups: Groups = (),
    ) -> None:
        super().__init__(
            params,
            groups,
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
            maximize=maximize,
        )

    def _direction(
        self, alpha: float, eps: float, weight_decay: float, momentum: float, centered: bool
    ) -> Optimizer:
        _check("RMSprop", alpha, eps, 0.0, name="alpha")
        check_number("RMSprop", "momentum", momentum, 1.0)
        scaled = scale_by_stddev if centered else scale_by_rms
        links = [*decay_of("RMSprop", weight_decay), scaled(alpha, eps, eps_in_sqrt=False)]
        if momentum:
            links.append(scale_by_momentum(momentum))
        return chain(*links)
