"""Muon: momentum, with matrices replaced by the nearest orthogonal ones."""

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from volta.core import tree
from volta.core.errors import ShapeError
from volta.core.keywords import suggesting
from volta.core.trace import located, ops
from volta.core.types import as_dtype
from volta.optim.adam import adamw
from volta.optim.base import (
    Optimizer,
    Rate,
    add_decayed_weights,
    chain,
    check_count,
    check_number,
    check_rate,
    conjugate,
    kept,
    leafwise,
    scale_by_learning_rate,
    stateless,
    times,
)
from volta.optim.masking import partition
from volta.optim.moments import (
    debiased,
    elementwise,
    like,
    root,
    running,
    squared,
    widened,
    with_nesterov,
)
from volta.optim.stateful import Groups, Stateful, decay_of

__all__ = [
    "Muon",
    "MuonState",
    "muon",
    "orthogonalize_via_newton_schulz",
    "scale_by_muon",
]

Coefficients = str | Sequence[float] | Sequence[Sequence[float]]

# K. Jordan et al., 2024; D. Amsel et al., 2025, for Dion; the last is Newton and Schulz's own
_COEFFICIENTS: Final[dict[str, Any]] = {
    "standard": (3.4445, -4.7750, 2.0315),
    "dion": (
        (4.0848, -6.8946, 2.9270),
        (3.9505, -6.3029, 2.6377),
        (3.7418, -5.5913, 2.3037),
        (2.8769, -3.1427, 1.2046),
        (2.8366, -3.0525, 1.2012),
    ),
    "cubic": (1.5, -0.5, 0.0),
}


class MuonState(NamedTuple):
    """State of `scale_by_muon`: steps so far, and the mean of the gradients."""

    count: Any
    mu: Any


@suggesting
def orthogonalize_via_newton_schulz(
    x: Any, ns_coeffs: Coefficients = "standard", ns_steps: int = 5, eps: float = 1e-8
) -> Any:
    """Bring the singular values of a matrix near 1, and keep its singular vectors.

    Parameters
    ----------
    x : array, shape (..., m, n), floating
    ns_coeffs : "standard", "dion", "cubic", three floats, or several times three
        Coefficients a, b, c of a step; "cubic" is the classical iteration, which converges to 1,
        the others come near it sooner. Of several, one for each step, the last `ns_steps` are
        taken.
    ns_steps : int
        Number of steps, at least 1.
    eps : float
        Added to the norm that `x` is first divided by.

    Returns
    -------
    array, shape (..., m, n)

    Raises
    ------
    ShapeError
        If `x` has less than two axes.
    ValueError
        If the coefficients are not three, or fewer than the steps; if there is no step.

    Notes
    -----
    ``x = x / (|x| + eps)``, then repeatedly ``x = a·x + (b·xxᴴ + c·(xxᴴ)²)·x``, with the products
    on the shorter side.

    References
    ----------
    K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024,
    https://kellerjordan.github.io/posts/muon/. N. J. Higham, "Functions of matrices", SIAM 2008,
    section 8.3, for the cubic one.

    Examples
    --------
    >>> x = np.asarray([[2.0, 0.0], [0.0, -0.5]])
    >>> volta.optim.orthogonalize_via_newton_schulz(x, "cubic", 12).round(4)
    array([[ 1.,  0.],
           [ 0., -1.]])
    """
    if len(x.shape) < 2:
        msg = (
            "orthogonalize_via_newton_schulz: x must have at least two axes; got shape "
            f"{tuple(x.shape)}."
        )
        raise located(ShapeError(msg))
    coefficients = _coefficients("orthogonalize_via_newton_schulz", ns_coeffs, ns_steps)
    check_number("orthogonalize_via_newton_schulz", "eps", eps)
    wide = widened(x)
    return kept(_iterated(ops.divide(wide, ops.add(_norm(wide), eps)), coefficients), x)


def _coefficients(operation: str, given: Any, steps: int) -> list[Any]:
    """Three numbers for each step."""
    check_count(operation, "ns_steps", steps)
    if isinstance(given, str):
        if given not in _COEFFICIENTS:
            msg = (
                f"{operation}: coefficients have the names {', '.join(_COEFFICIENTS)}; got "
                f"{given!r}."
            )
            raise located(ValueError(msg))
        given = _COEFFICIENTS[given]
    rows = list(given) if hasattr(given[0], "__len__") else [given] * steps
    if any(len(row) != 3 for row in rows) or len(rows) < steps:
        msg = (
            f"{operation}: coefficients must be three numbers, or three for each of {steps} steps; "
            f"got {given}."
        )
        raise located(ValueError(msg))
    return rows[len(rows) - steps :]


def _norm(x: Any) -> Any:
    """Frobenius norms of matrices, kept as axes; the derivative at zero is 0."""
    return root(ops.sum(squared(x), axis=(-2, -1), keepdims=True))


def _iterated(x: Any, coefficients: list[Any]) -> Any:
    if tall := x.shape[-2] > x.shape[-1]:
        x = ops.matrix_transpose(x)
    for a, b, c in coefficients:
        gram = ops.matmul(x, conjugate(ops.matrix_transpose(x)))
        poly = times(gram, b)
        if c:
            poly = ops.add(poly, times(ops.matmul(gram, gram), c))
        x = ops.add(times(x, a), ops.matmul(poly, x))
    return ops.matrix_transpose(x) if tall else x


@suggesting
def scale_by_muon(
    ns_coeffs: Coefficients = "standard",
    ns_steps: int = 5,
    beta: float = 0.95,
    eps: float = 1e-8,
    mu_dtype: Any = None,
    *,
    nesterov: bool = True,
    adaptive: bool = False,
) -> Optimizer:
    """Replace gradients by the orthogonal matrices nearest to their mean.

    Parameters
    ----------
    ns_coeffs, ns_steps, eps
        See `orthogonalize_via_newton_schulz`.
    beta : float
        Decay of the mean, in [0, 1).
    mu_dtype : dtype, optional
        Of the mean; by default the parameters', or float32 for those of 16 bits.
    nesterov : bool
        Whether the mean looks one step ahead, as in `scale_by_adam`.
    adaptive : bool
        Whether the result is multiplied by its inner product with the mean.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.
    ShapeError
        From `update`, if a parameter has less than two axes. Of more, the last two are matrices.

    References
    ----------
    K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024,
    https://kellerjordan.github.io/posts/muon/. For `adaptive`: J. Bernstein, L. Newhouse, "Old
    optimizer, new norm: an anthology", 2024, https://arxiv.org/abs/2409.20325, section 3.

    Examples
    --------
    >>> muon = volta.optim.scale_by_muon("cubic", 12)
    >>> grads = np.asarray([[2.0, 0.0], [0.0, -0.5]])
    >>> muon.update(grads, muon.init(grads))[0].round(4)
    array([[ 1.,  0.],
           [ 0., -1.]])
    """
    check_number("scale_by_muon", "beta", beta, 1.0)
    check_number("scale_by_muon", "eps", eps)
    _coefficients("scale_by_muon", ns_coeffs, ns_steps)

    def rule(g: Any, t: Any, mu: Any) -> tuple[Any, Any]:
        mu = running(mu, g, beta)
        m = with_nesterov(mu, g, beta, t) if nesterov else debiased(mu, beta, t)
        update = orthogonalize_via_newton_schulz(m, ns_coeffs, ns_steps, eps)
        if adaptive:
            update = ops.multiply(ops.sum(ops.multiply(conjugate(m), update)), update)
        return update, mu

    return elementwise("scale_by_muon", MuonState, lambda p: (like(p, dtype=mu_dtype),), rule)


@suggesting
def muon(
    learning_rate: Rate,
    ns_coeffs: Coefficients = "standard",
    ns_steps: int = 5,
    beta: float = 0.95,
    eps: float = 1e-8,
    weight_decay: Any = 0.0,
    weight_decay_mask: Any = None,
    mu_dtype: Any = None,
    *,
    nesterov: bool = True,
    adaptive: bool = False,
    adam_b1: float = 0.9,
    adam_b2: float = 0.999,
    adam_eps_root: float = 0.0,
    adam_weight_decay: Any = 0.0,
    adam_learning_rate: Rate | None = None,
    consistent_rms: float | None = None,
) -> Optimizer:
    """Muon on matrices, Adam on everything else; optax's arguments and defaults.

    Parameters
    ----------
    learning_rate : float, array of shape (), or callable
        Or a schedule, from step to rate.
    ns_coeffs, ns_steps, beta, eps, mu_dtype, nesterov, adaptive
        See `scale_by_muon`; `eps`, `mu_dtype` and `nesterov` are Adam's too.
    weight_decay, weight_decay_mask
        Decoupled, of the matrices; see `adamw`.
    adam_b1, adam_b2, adam_eps_root, adam_weight_decay
        See `adamw`.
    adam_learning_rate : float, array of shape (), or callable, optional
        By default `learning_rate`.
    consistent_rms : float, optional
        Updates of a matrix of a rows and b columns are multiplied by √max(1, b/a); with it, by
        ``consistent_rms · √max(a, b)``, so that their root mean square is `consistent_rms`.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.

    Notes
    -----
    Matrices are the parameters with two axes. Rows are inputs and columns outputs, as in `Linear`.

    Examples
    --------
    >>> optimizer = volta.optim.muon(0.1, "cubic", 12)
    >>> params = {"w": np.eye(2), "b": np.zeros(2)}
    >>> updates, _ = optimizer.update(params, optimizer.init(params), params)
    >>> updates["w"].round(4)
    array([[-0.1, -0. ],
           [-0. , -0.1]])
    """
    check_rate("muon", learning_rate)
    for name, value, below in (
        ("adam_b1", adam_b1, 1.0),
        ("adam_b2", adam_b2, 1.0),
        ("adam_eps_root", adam_eps_root, math.inf),
    ):
        check_number("muon", name, value, below)
    check_rate("muon", adam_weight_decay, "adam_weight_decay")
    if adam_learning_rate is not None:
        check_rate("muon", adam_learning_rate, "adam_learning_rate")
    if consistent_rms is not None:
        check_number("muon", "consistent_rms", consistent_rms)
    matrices = chain(
        scale_by_muon(
            ns_coeffs, ns_steps, beta, eps, mu_dtype, nesterov=nesterov, adaptive=adaptive
        ),
        stateless(
            lambda grads, params: leafwise(
                "muon.update", lambda u: times(u, _factor(u, consistent_rms)), grads=grads
            )
        ),
        add_decayed_weights(weight_decay, weight_decay_mask),
        scale_by_learning_rate(learning_rate),
    )
    others = adamw(
        learning_rate if adam_learning_rate is None else adam_learning_rate,
        adam_b1,
        adam_b2,
        eps,
        adam_eps_root,
        mu_dtype,
        adam_weight_decay,
        nesterov=nesterov,
    )
    return partition(
        {"muon": matrices, "adam": others},
        lambda params: tree.map(lambda p: "muon" if len(p.shape) == 2 else "adam", params),
    )


def _factor(x: Any, consistent_rms: Any) -> Any:
    rows, columns = x.shape
    if consistent_rms is None:
        return math.sqrt(max(1, columns / max(rows, 1)))
    return consistent_rms * math.sqrt(max(rows, columns))


def _torch_muon(
    momentum: Any, nesterov: bool, coefficients: list[Any], eps: float, match_rms: bool
) -> Optimizer:
    """Direction of PyTorch's Muon."""

    def start(p: Any) -> tuple[Any]:
        if len(p.shape) != 2 or as_dtype(p.dtype).kind == "complex":
            msg = (
                f"Muon: parameters must be real matrices; got shape {tuple(p.shape)} and dtype "
                f"{as_dtype(p.dtype).name}. Give the others to another optimizer."
            )
            raise located(ShapeError(msg))
        return (like(p),)

    def rule(g: Any, t: Any, mu: Any) -> tuple[Any, Any]:
        mu = running(mu, g, momentum)
        m = running(mu, g, momentum) if nesterov else mu
        x = _iterated(ops.divide(m, ops.maximum(_norm(m), eps)), coefficients)
        return times(x, _factor(x, 0.2 if match_rms else None)), mu

    return elementwise("Muon", MuonState, start, rule)


class Muon(Stateful):
    """Muon on a model of matrices; PyTorch's arguments and defaults.

    Parameters
    ----------
    params : Module, or tree of arrays
    lr : float or callable
        Learning rate, or a schedule from step to rate. May be assigned to between steps.
    weight_decay : float
        Share of the parameters, times `lr`, that a step takes away.
    momentum : float
        Decay of the mean of the gradients.
    nesterov : bool
        Whether the mean looks one step ahead.
    ns_coefficients : three floats, or "cubic"
        See `orthogonalize_via_newton_schulz`.
    eps : float
        Least norm that a gradient is divided by.
    ns_steps : int
        Number of iterations.
    adjust_lr_fn : {"original", "match_rms_adamw"}, optional
        Factor of `lr`, for a matrix of a rows and b columns: √max(1, b/a), also by default, or
        0.2 · √max(a, b).
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
    Parameters that are no matrices raise; give them to another optimizer. PyTorch iterates in
    bfloat16, Volta in the gradient's dtype, at least float32. Rows are inputs, as in `Linear`; in
    PyTorch they are outputs.

    Examples
    --------
    >>> optimizer = volta.optim.Muon({"w": np.eye(2)}, lr=0.1, weight_decay=0.5, ns_steps=20)
    >>> optimizer.step({"w": np.zeros((2, 2))})["w"]
    array([[0.95, 0.  ],
           [0.  , 0.95]])
    """

    @suggesting
    def __init__(
        self,
        params: Any,
        lr: Rate = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: Coefficients = _COEFFICIENTS["standard"],
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        *,
        maximize: bool = False,
        groups: Groups = (),
    ) -> None:
        super().__init__(
            params,
            groups,
            lr=lr,
            weight_decay=weight_decay,
            momentum=momentum,
            nesterov=nesterov,
            ns_coefficients=ns_coefficients,
            eps=eps,
            ns_steps=ns_steps,
            adjust_lr_fn=adjust_lr_fn,
            maximize=maximize,
        )

    def _direction(
        self,
        weight_decay: float,
        momentum: float,
        nesterov: bool,
        ns_coefficients: Coefficients,
        eps: float,
        ns_steps: int,
        adjust_lr_fn: str | None,
    ) -> Optimizer:
        check_number("Muon", "momentum", momentum, 1.0)
        check_number("Muon", "eps", eps)
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            msg = (
                f"Muon: adjust_lr_fn must be 'original' or 'match_rms_adamw'; got {adjust_lr_fn!r}."
            )
            raise located(ValueError(msg))
        coefficients = _coefficients("Muon", ns_coefficients, ns_steps)
        direction = _torch_muon(
            momentum, nesterov, coefficients, eps, adjust_lr_fn == "match_rms_adamw"
        )
        return chain(direction, *decay_of("Muon", weight_decay))
