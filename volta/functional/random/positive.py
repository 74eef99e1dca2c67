"""Gamma numbers, and what is made of them."""

import math
from typing import Any, Final

from volta.core.derivatives import ZERO, Partial
from volta.core.dispatch import library_for
from volta.core.errors import ShapeError
from volta.core.trace import located, ops
from volta.core.types import DTYPES, ArrayType, DType, typeof
from volta.functional.declare import primitive
from volta.functional.random.arguments import (
    Shape,
    checked_floating,
    checked_key,
    checked_parameter,
    checked_shape,
    constant,
    placed,
)
from volta.functional.random.gaussian import normal_numbers, random_normal
from volta.functional.random.interval import random_unit
from volta.functional.random.keys import random_split, split
from volta.functional.random.sampler import each_batched

__all__ = [
    "beta",
    "chisquare",
    "dirichlet",
    "draw_loggamma",
    "f",
    "gamma",
    "loggamma",
    "random_loggamma",
    "t",
]


def gamma(
    key: Any,
    a: Any,
    shape: Shape | None = None,
    dtype: Any = None,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from the gamma distribution, of density ``x^(a − 1) exp(−x) / Γ(a)`` for x > 0.

    Parameters
    ----------
    key : array, shape (2,), uint32
    a : float or array, real
        Shape of the distribution, positive; converted to `dtype`.
    shape : int or tuple of int, optional
        By default the shape of `a`, which must broadcast to it.
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`
        Differentiable in `a`. Equals ``jax.random.gamma`` up to rounding.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` not real floating, or `a` not real or
        not broadcastable.

    Notes
    -----
    ``exp(loggamma(key, a, …))``, which says how.

    Examples
    --------
    >>> F.random.gamma(F.random.key(0), np.asarray([0.5, 5.0]), (1000, 2)).shape
    (1000, 2)
    """
    return constant(ops.exp(_loggamma("gamma", key, a, shape, dtype, xp, device)))


def loggamma(
    key: Any,
    a: Any,
    shape: Shape | None = None,
    dtype: Any = None,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw logarithms of gamma numbers, which do not underflow where `a` is small.

    Parameters
    ----------
    key : array, shape (2,), uint32
    a : float or array, real
        Shape of the distribution, positive; converted to `dtype`.
    shape : int or tuple of int, optional
        By default the shape of `a`, which must broadcast to it.
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`
        Differentiable in `a`. Equals ``jax.random.loggamma`` up to rounding.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` not real floating, or `a` not real or
        not broadcastable.

    Notes
    -----
    Each number has a key of its own, and rejects until it accepts. For a < 1, a gamma number of
    a + 1 is multiplied by u^(1/a). The derivative in `a` keeps the probability of smaller
    numbers: with P the distribution function and p the density of x = log of a number,
    dx/da = −(∂P/∂a) / p, an integral that is computed by quadrature.

    References
    ----------
    G. Marsaglia, W. W. Tsang, "A simple method for generating gamma variables", ACM Transactions
    on Mathematical Software 26, 2000, https://doi.org/10.1145/358407.358414; M. Figurnov,
    S. Mohamed, A. Mnih, "Implicit reparameterization gradients", NeurIPS 2018,
    https://arxiv.org/abs/1805.08498.

    Examples
    --------
    >>> F.random.loggamma(F.random.key(0), 0.001, 1000).shape
    (1000,)
    """
    return constant(_loggamma("loggamma", key, a, shape, dtype, xp, device))


def _loggamma(
    operation: str, key: Any, a: Any, shape: Any, dtype: Any, xp: Any, device: Any
) -> Any:
    key, size, chosen, a = placed(operation, key, shape, dtype, xp, device, a=a)
    return draw_loggamma(key, a, size, chosen)


def draw_loggamma(key: Any, a: Any, shape: tuple[int, ...], dtype: DType) -> Any:
    """Logarithms of gamma numbers under a checked key, for a number or an array of the dtype."""
    wide = DTYPES["float32"] if dtype.itemsize == 2 else dtype
    if type(a) is float:
        a = ops.add(ops.zeros_like_type(key, ArrayType((), wide)), a)
    a = ops.broadcast_to(ops.astype(a, wide, copy=False), shape)
    return ops.astype(_random_loggamma(key, a), dtype, copy=False)


def beta(
    key: Any,
    a: Any,
    b: Any,
    shape: Shape | None = None,
    dtype: Any = None,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from the beta distribution, of density proportional to ``x^(a−1) (1−x)^(b−1)``.

    Parameters
    ----------
    key : array, shape (2,), uint32
    a, b : float or array, real
        Parameters, positive; converted to `dtype`.
    shape : int or tuple of int, optional
        By default that of `a` and `b` together, which must broadcast to it.
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`
        Differentiable in `a` and `b`. Equals ``jax.random.beta`` up to rounding.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` not real floating, or a parameter not
        real or not broadcastable.

    Notes
    -----
    ``x / (x + y)`` for gamma numbers x of `a` and y of `b`.

    Examples
    --------
    >>> F.random.beta(F.random.key(0), 2.0, np.ones(3)).shape
    (3,)
    """
    key, size, chosen, a, b = placed("beta", key, shape, dtype, xp, device, a=a, b=b)
    keys = split(key)
    log_x, log_y = (draw_loggamma(keys[i, :], p, size, chosen) for i, p in enumerate((a, b)))
    return constant(ops.sigmoid(ops.subtract(log_x, log_y)))


def dirichlet(
    key: Any,
    alpha: Any,
    shape: Shape | None = None,
    dtype: Any = None,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from the Dirichlet distribution: positive numbers of sum 1.

    Parameters
    ----------
    key : array, shape (2,), uint32
    alpha : array, shape (..., n), real
        Concentrations, positive; converted to `dtype`.
    shape : int or tuple of int, optional
        Shape of the result less its last axis; by default that of `alpha`, which must broadcast
        to it.
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape (*`shape`, n), `dtype`
        Differentiable in `alpha`. Equals ``jax.random.dirichlet`` up to rounding.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` not real floating, or `alpha` not a
        real array of one axis or more, or not broadcastable.

    Notes
    -----
    Gamma numbers of `alpha` divided by their sum.

    Examples
    --------
    >>> F.random.dirichlet(F.random.key(0), np.ones(3), (4,)).shape
    (4, 3)
    """
    chosen = checked_floating(dtype, "dirichlet")
    key = checked_key(key, xp, device, "dirichlet")
    found, alpha = checked_parameter("dirichlet", "alpha", alpha, chosen)
    if not found:
        msg = "dirichlet: alpha must have one axis or more; got shape ()."
        raise located(ShapeError(msg))
    size = checked_shape("dirichlet", shape, alpha=found[:-1])
    logs = draw_loggamma(key, alpha, (*size, found[-1]), chosen)
    return constant(ops.softmax(logs, axis=-1))


def chisquare(
    key: Any,
    df: Any,
    shape: Shape | None = None,
    dtype: Any = None,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from the chi-square distribution: sums of squares of `df` normal numbers.

    Parameters
    ----------
    key : array, shape (2,), uint32
    df : float or array, real
        Degrees of freedom, positive; converted to `dtype`.
    shape : int or tuple of int, optional
        By default the shape of `df`, which must broadcast to it.
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`
        Differentiable in `df`. Equals ``jax.random.chisquare`` up to rounding.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` not real floating, or `df` not real or
        not broadcastable.

    Notes
    -----
    Twice a gamma number of ``df / 2``.

    Examples
    --------
    >>> F.random.chisquare(F.random.key(0), 3.0, 5).shape
    (5,)
    """
    key, size, chosen, df = placed("chisquare", key, shape, dtype, xp, device, df=df)
    return constant(ops.multiply(ops.exp(draw_loggamma(key, df / 2, size, chosen)), 2))


def t(
    key: Any,
    df: Any,
    shape: Shape | None = None,
    dtype: Any = None,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from Student's t distribution of `df` degrees of freedom.

    Parameters
    ----------
    key : array, shape (2,), uint32
    df : float or array, real
        Degrees of freedom, positive; converted to `dtype`.
    shape : int or tuple of int, optional
        By default the shape of `df`, which must broadcast to it.
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`
        Differentiable in `df`. Equals ``jax.random.t`` up to rounding.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` not real floating, or `df` not real or
        not broadcastable.

    Notes
    -----
    A normal number times ``√(df / 2 / g)`` for a gamma number g of ``df / 2``.

    Examples
    --------
    >>> F.random.t(F.random.key(0), 3.0, 5).shape
    (5,)
    """
    key, size, chosen, df = placed("t", key, shape, dtype, xp, device, df=df)
    keys = split(key)
    square = ops.multiply(ops.exp(draw_loggamma(keys[1, :], df / 2, size, chosen)), 2)
    ratio = ops.divide(square, df)
    return constant(
        ops.divide(normal_numbers(keys[0, :], shape=size, dtype=chosen), ops.sqrt(ratio))
    )


def f(
    key: Any,
    dfnum: Any,
    dfden: Any,
    shape: Shape | None = None,
    dtype: Any = None,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from the F distribution: ratios of two means of squares of normal numbers.

    Parameters
    ----------
    key : array, shape (2,), uint32
    dfnum, dfden : float or array, real
        Degrees of freedom of numerator and denominator, positive; converted to `dtype`.
    shape : int or tuple of int, optional
        By default that of `dfnum` and `dfden` together, which must broadcast to it.
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`
        Differentiable in `dfnum` and `dfden`. Equals ``jax.random.f`` up to rounding.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` not real floating, or a parameter not
        real or not broadcastable.

    Notes
    -----
    ``(x / dfnum) / (y / dfden)`` for gamma numbers x of ``dfnum / 2`` and y of ``dfden / 2``.

    Examples
    --------
    >>> F.random.f(F.random.key(0), 3.0, np.ones(4)).shape
    (4,)
    """
    key, size, chosen, dfnum, dfden = placed(
        "f", key, shape, dtype, xp, device, dfnum=dfnum, dfden=dfden
    )
    keys = split(key)
    log_x, log_y = (
        draw_loggamma(keys[i, :], df / 2, size, chosen) for i, df in ((1, dfnum), (0, dfden))
    )
    ratio = ops.exp(ops.subtract(log_x, log_y))
    return constant(ops.divide(ops.multiply(ratio, dfden), dfnum))


# Kernels -----------------------------------------------------------------------------------------


def random_loggamma(xp: Any, key: Any, a: Any) -> Any:
    """Draw under keys of shape (..., 2), for `a` of shape (..., *shape), as JAX does."""
    batch = len(key.shape) - 1
    keys = xp.reshape(random_split(xp, key, shape=tuple(a.shape[batch:])), (-1, 2))
    flat = xp.reshape(a, (-1,))
    dtype = typeof(flat).dtype
    if not flat.shape[0]:
        return xp.zeros(a.shape, dtype=a.dtype, device=library_for(xp).device(a))
    pair = random_split(xp, keys, shape=(2,))
    boosted = flat < 1.0
    d = xp.where(boosted, flat + 1.0, flat) - 1.0 / 3.0
    log_v = _log_cube(xp, pair[:, 0, :], d, dtype)
    log_u = xp.log1p(-random_unit(xp, pair[:, 1, :], shape=(), dtype=dtype))
    boost = xp.where(boosted, log_u / flat, xp.zeros_like(flat))
    return xp.reshape(xp.log(d) + log_v + boost, a.shape)


def _log_cube(xp: Any, keys: Any, d: Any, dtype: DType) -> Any:
    """Logarithm of Marsaglia and Tsang's v for each d, whose loops all run until the last ends."""
    c = (1.0 / 3.0) / xp.sqrt(d)
    log_v = xp.zeros_like(d)
    open_ = xp.ones_like(d, dtype=xp.bool)
    while bool(xp.any(open_)):
        three = random_split(xp, keys, shape=(3,))
        keys = three[:, 0, :]
        x, v = _positive(xp, three[:, 1, :], c, open_, dtype)
        u = random_unit(xp, three[:, 2, :], shape=(), dtype=dtype)
        square, cube = x * x, v * v * v
        log_cube = xp.log(cube)
        sure = u < 1.0 - 0.0331 * square * square
        some = xp.where(u > 0.0, u, xp.ones_like(u))
        allowed = xp.log(some) < 0.5 * square + d * (1.0 - cube + log_cube)
        accepted = open_ & (sure | allowed | (u == 0.0))
        log_v = xp.where(accepted, log_cube, log_v)
        # where d is NaN nothing would ever be accepted
        open_ = open_ & ~accepted & (d == d)
    return xp.where(d == d, log_v, d)


def _positive(xp: Any, keys: Any, c: Any, wanted: Any, dtype: DType) -> tuple[Any, Any]:
    """Normal numbers x, and 1 + c·x, drawn again until the latter is positive where `wanted`."""
    x, v = xp.zeros_like(c), xp.ones_like(c)
    open_ = wanted & (c == c)
    while bool(xp.any(open_)):
        pair = random_split(xp, keys, shape=(2,))
        keys = pair[:, 0, :]
        drawn = random_normal(xp, pair[:, 1, :], shape=(), dtype=dtype)
        found = 1.0 + drawn * c
        x, v = xp.where(open_, drawn, x), xp.where(open_ & (found > 0.0), found, v)
        open_ = open_ & (found <= 0.0)
    return x, v


# Primitives --------------------------------------------------------------------------------------

# Nodes y = exp(t − exp(−t)) of a double-exponential rule on (0, ∞), with weights dy/dt · step.
_STEP: Final = 0.08
_PLACES: Final = [-3.5 + _STEP * i for i in range(96)]
_NODES: Final = [math.exp(t - math.exp(-t)) for t in _PLACES]
_WEIGHTS: Final = [_STEP * (1.0 + math.exp(-t)) * y for t, y in zip(_PLACES, _NODES, strict=True)]


def _slope(out: Any, _key: Any, a: Any) -> Any:
    """How the logarithm x of a gamma number of `a` moves with `a`.

    With s = −1 below the mode and 1 above, it is ``s ∫ exp(s·a·y − eˣ(e^(s·y) − 1)) (x + s·y −
    ψ(a)) dy`` over y > 0: the derivative of the probability of smaller numbers, or of larger ones,
    over the density. The integrand has one sign, or nearly, so nothing cancels. In float64 the
    relative error is below 1e-9 for a ≥ 0.3, and below 1e-5 for a ≥ 0.01.

    References
    ----------
    H. Takahasi, M. Mori, "Double exponential formulas for numerical integration", Publications of
    the RIMS 9, 1974, https://doi.org/10.2977/prims/1195192451.
    """
    from volta.functional.special import digamma  # where needed: SciPy's names load late

    x = ops.exp(out)
    below = ops.stop_gradient(x) < ops.stop_gradient(a)
    s = 1.0 - 2.0 * ops.astype(below, a.dtype)
    curved = ops.where(below, ops.minimum(x, ops.sqrt(x)), ops.sqrt(x))
    scale = 1.0 / ops.stop_gradient(ops.abs(a - x) + curved + ops.minimum(a, 1.0))
    offset = out - digamma(a)
    total = 0.0
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        move = s * scale * node
        total = total + weight * ops.exp(a * move - x * ops.expm1(move)) * (offset + move)
    return s * scale * total


def _batch_loggamma(*args: Any) -> Any:
    return _random_loggamma(*each_batched(*args))


_random_loggamma: Any = primitive(
    "random_loggamma",
    type_rule=lambda key, a: ArrayType(a.shape, a.dtype),
    batch=_batch_loggamma,
    derivatives=(ZERO, Partial(_slope)),
    value=random_loggamma,
)
