"""AMSGrad: Adam whose steps do not grow again where gradients become small."""

from typing import Any, NamedTuple

from volta.core.keywords import suggesting
from volta.core.trace import ops
from volta.optim.base import (
    Optimizer,
    Rate,
    chain,
    check_moments,
    check_rate,
    scale_by_learning_rate,
)
from volta.optim.moments import debiased, elementwise, like, real_like, running, squared

__all__ = ["AmsgradState", "amsgrad", "scale_by_amsgrad"]


class AmsgradState(NamedTuple):
    """State of `scale_by_amsgrad`: steps so far, moments, largest second moment."""

    count: Any
    mu: Any
    nu: Any
    nu_max: Any


@suggesting
def scale_by_amsgrad(
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Any = None,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
    *,
    maximum_of_corrected: bool = True,
) -> Optimizer:
    """Divide the mean of the gradients by the root of the largest mean of their squares.

    Parameters
    ----------
    b1, b2, eps, eps_root, mu_dtype
        See `scale_by_adam`.
    bias_correction_mu, bias_correction_nu : bool
        Whether the means are divided by the weight of their terms.
    maximum_of_corrected : bool
        Whether the largest mean is chosen after that (optax) or before it (PyTorch).

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Notes
    -----
    With the symbols of `scale_by_adam`, ``n = max(n, v)``, in PyTorch's form
    ``n = max(n, nu)`` and ``v = n / (1 − b2ᵗ)``; the update is ``m / (√(n + eps_root) + eps)``.

    References
    ----------
    S. J. Reddi, S. Kale, S. Kumar, "On the convergence of Adam and beyond", ICLR 2018,
    https://arxiv.org/abs/1904.09237, algorithm 2.

    Examples
    --------
    >>> amsgrad = volta.optim.scale_by_amsgrad(b1=0.0, b2=0.0)
    >>> _, state = amsgrad.update(np.asarray(4.0), amsgrad.init(np.asarray(0.0)))
    >>> amsgrad.update(np.asarray(1.0), state)[0]
    array(0.25)
    """
    check_moments("scale_by_amsgrad", b1, b2, eps, eps_root)

    def rule(g: Any, t: Any, mu: Any, nu: Any, largest: Any) -> tuple[Any, ...]:
        mu, nu = running(mu, g, b1), running(nu, squared(g), b2)
        m = debiased(mu, b1, t) if bias_correction_mu else mu
        if maximum_of_corrected:
            largest = ops.maximum(largest, debiased(nu, b2, t) if bias_correction_nu else nu)
            v = largest
        else:
            largest = ops.maximum(largest, nu)
            v = debiased(largest, b2, t) if bias_correction_nu else largest
        root = ops.sqrt(ops.add(v, eps_root))
        return ops.divide(m, ops.add(root, eps)), mu, nu, largest

    return elementwise(
        "scale_by_amsgrad",
        AmsgradState,
        lambda p: (like(p, dtype=mu_dtype), real_like(p), real_like(p)),
        rule,
    )


@suggesting
def amsgrad(
    learning_rate: Rate,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Any = None,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
) -> Optimizer:
    """AMSGrad; optax's arguments and defaults. PyTorch's is ``Adam(…, amsgrad=True)``.

    Parameters
    ----------
    learning_rate : float, array of shape (), or callable
        Or a schedule, from step to rate.
    b1, b2, eps, eps_root, mu_dtype, bias_correction_mu, bias_correction_nu
        See `scale_by_amsgrad`.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Examples
    --------
    >>> optimizer = volta.optim.amsgrad(0.1)
    >>> np.round(optimizer.update(np.asarray(2.0), optimizer.init(np.asarray(0.0)))[0], 4)
    np.float64(-0.1)
    """
    check_rate("amsgrad", learning_rate)
    check_moments("amsgrad", b1, b2, eps, eps_root)
    return chain(
        scale_by_amsgrad(b1, b2, eps, eps_root, mu_dtype, bias_correction_mu, bias_correction_nu),
        scale_by_learning_rate(learning_rate),
    )
