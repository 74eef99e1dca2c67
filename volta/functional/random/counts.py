"""Counts: how many events, successes or trials; how many of each kind.

Reading order: the functions; how counts become integers; the kernels, which find small counts by
adding up probabilities and large ones by rejection; the primitives.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from volta.core.derivatives import ZERO
from volta.core.dispatch import library_for
from volta.core.errors import DTypeError, ShapeError
from volta.core.trace import located, ops
from volta.core.tracer import widest
from volta.core.types import ArrayType, DType, as_dtype, typeof
from volta.functional.declare import primitive
from volta.functional.random.arguments import (
    Shape,
    checked_key,
    checked_parameter,
    checked_shape,
    constant,
)
from volta.functional.random.integer import default_integer
from volta.functional.random.interval import FORMATS, unit_reals
from volta.functional.random.keys import random_split, split
from volta.functional.random.sampler import each_batched
from volta.functional.random.threefry import draw
from volta.functional.random.transformed import open_unit

__all__ = ["binomial", "geometric", "multinomial", "poisson", "random_binomial", "random_poisson"]


def poisson(
    key: Any,
    lam: Any,
    shape: Shape | None = None,
    dtype: Any = None,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from the Poisson distribution: numbers k ≥ 0 of probability ``lamᵏ exp(−lam) / k!``.

    Parameters
    ----------
    key : array, shape (2,), uint32
    lam : float or array, real
        Rate: the mean, finite and not negative.
    shape : int or tuple of int, optional
        By default the shape of `lam`, which must broadcast to it.
    dtype : dtype, optional
        An integer or real floating dtype; by default the library's default integer one, int64 on
        most.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`
        Counts, brought between the ends of `dtype`; they have no derivative. Where `lam` is not a
        rate, NaN in a floating dtype, −1 in a signed one and the largest number in an unsigned one.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` neither integer nor real floating, or
        `lam` not real or not broadcastable.

    Notes
    -----
    Computed in float64, or in float32 where that is missing. Below a rate of 10, the first k whose
    cumulated probability exceeds a uniform number; above it, transformed rejection.

    References
    ----------
    W. Hörmann, "The transformed rejection method for generating Poisson random variables",
    Insurance: Mathematics and Economics 12, 1993, https://doi.org/10.1016/0167-6687(93)90997-4,
    algorithm PTRS.

    Examples
    --------
    >>> F.random.poisson(F.random.key(0), 4.0, 5)
    array([8, 1, 5, 5, 5])
    """
    key, size, chosen, lam = _placed("poisson", key, shape, dtype, xp, device, lam=lam)
    return constant(_counted(_poisson(key, ops.broadcast_to(lam, size)), chosen))


def binomial(
    key: Any,
    n: Any,
    p: Any,
    shape: Shape | None = None,
    dtype: Any = None,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from the binomial distribution: how many of `n` trials succeed.

    Parameters
    ----------
    key : array, shape (2,), uint32
    n : int or array, real
        Number of trials, finite and not negative; rounded down.
    p : float or array, real
        Probability that a trial succeeds, in [0, 1].
    shape : int or tuple of int, optional
        By default that of `n` and `p` together, which must broadcast to it.
    dtype : dtype, optional
        An integer or real floating dtype; by default the library's default integer one, int64 on
        most. JAX's default is a floating one.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`
        Counts, brought between the ends of `dtype`; they have no derivative. Where `n` is no number
        of trials or `p` no probability, what `poisson` says.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` neither integer nor real floating, or a
        parameter not real or not broadcastable.

    Notes
    -----
    Computed in float64, or in float32 where that is missing. With q the smaller one of p and 1 − p:
    where n q < 10, the first k whose cumulated probability exceeds a uniform number; elsewhere,
    transformed rejection.

    References
    ----------
    W. Hörmann, "The generation of binomial random variates", Journal of Statistical Computation
    and Simulation 46, 1993, https://doi.org/10.1080/00949659308811496, algorithm BTRS.

    Examples
    --------
    >>> F.random.binomial(F.random.key(0), 10, np.asarray([0.0, 0.3, 1.0]))
    array([ 0,  1, 10])
    """
    key, size, chosen, n, p = _placed("binomial", key, shape, dtype, xp, device, n=n, p=p)
    n, p = (ops.broadcast_to(x, size) for x in (n, p))
    return constant(_counted(_binomial(key, n, p), chosen))


def geometric(
    key: Any,
    p: Any,
    shape: Shape | None = None,
    dtype: Any = None,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from the geometric distribution: the number of the first trial that succeeds.

    Parameters
    ----------
    key : array, shape (2,), uint32
    p : float or array, real
        Probability that a trial succeeds, in [0, 1].
    shape : int or tuple of int, optional
        By default the shape of `p`, which must broadcast to it.
    dtype : dtype, optional
        An integer or real floating dtype; by default the library's default integer one, int64 on
        most.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`
        Numbers from 1 on, brought between the ends of `dtype`, as infinity is where `p` is 0; they
        have no derivative. Where `p` is no probability, what `poisson` says. Equals
        ``jax.random.geometric`` of a float64 `p`, if that is possible on the device.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` neither integer nor real floating, or
        `p` not real or not broadcastable.

    Notes
    -----
    ``⌊log(u) / log(1 − p)⌋ + 1`` for u uniform on (0, 1), computed in float64, or in float32 where
    that is missing.

    Examples
    --------
    >>> F.random.geometric(F.random.key(0), 0.2, 5)
    array([4, 7, 1, 3, 3])
    """
    key, size, chosen, p = _placed("geometric", key, shape, dtype, xp, device, p=p)
    inside = ops.logical_and(ops.greater(p, 0), ops.less(p, 1))
    rate = ops.log1p(ops.negative(ops.where(inside, p, 0.5)))
    k = ops.floor(ops.divide(ops.log(open_unit(key, size, typeof(p).dtype)), rate)) + 1
    k = ops.where(ops.equal(p, 0), math.inf, ops.where(inside, k, math.nan))
    return constant(_counted(ops.where(ops.equal(p, 1), 1.0, k), chosen))


def multinomial(
    key: Any,
    n: Any,
    p: Any,
    *,
    shape: Shape | None = None,
    dtype: Any = None,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from the multinomial distribution: how many of `n` trials have each outcome.

    Parameters
    ----------
    key : array, shape (2,), uint32
    n : int or array, real
        Number of trials, finite and not negative; rounded down.
    p : array, shape (..., k), real
        Probabilities of the outcomes, not negative; their sum is taken for 1.
    shape : int or tuple of int, optional
        Shape of the result less its last axis; by default that of `n` and of `p` without its last
        axis together, which must broadcast to it.
    dtype : dtype, optional
        An integer or real floating dtype; by default the library's default integer one, int64 on
        most. JAX's default is a floating one.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape (*`shape`, k), `dtype`
        Counts of sum `n`, brought between the ends of `dtype`; they have no derivative. Where `n`
        is no number of trials or a probability not finite, negative, or all are 0, what `poisson`
        says.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` neither integer nor real floating, a
        parameter not real or not broadcastable, or `p` without axes or of length 0.

    Notes
    -----
    The trials are parted between two halves of the outcomes by a binomial number, then those of
    each half, and so on: as many rounds as the length of `p` has binary digits.

    Examples
    --------
    >>> F.random.multinomial(F.random.key(0), 10, np.asarray([0.2, 0.5, 0.3]))
    array([4, 3, 3])
    """
    key, chosen, wide = _dtypes("multinomial", key, dtype, xp, device)
    found_n, n = _parameter("multinomial", "n", n, key, wide)
    found, p = _parameter("multinomial", "p", p, key, wide)
    if not found or not found[-1]:
        msg = (
            f"multinomial: p must have one outcome or more along its last axis; got shape {found}."
        )
        raise located(ShapeError(msg))
    size = checked_shape("multinomial", shape, n=found_n, p=found[:-1])
    finite = ops.logical_and(ops.greater_equal(p, 0), ops.less(p, math.inf))
    sums = [_padded(ops.where(ops.all(finite, axis=-1, keepdims=True), p, 0))]
    while sums[0].shape[-1] > 1:
        sums.insert(0, ops.add(sums[0][..., ::2], sums[0][..., 1::2]))
    n = ops.broadcast_to(ops.expand_dims(ops.floor(n), axis=-1), (*size, 1))
    counts = ops.where(ops.greater(sums[0], 0), n, math.nan)
    keys = ops.unstack(split(key, len(sums)))
    for own, total, parts in zip(keys[1:], sums[:-1], sums[1:], strict=True):
        share = ops.divide(parts[..., ::2], ops.where(ops.greater(total, 0), total, 1))
        first = _binomial(own, counts, ops.broadcast_to(share, counts.shape))
        both = ops.stack([first, ops.subtract(counts, first)], axis=-1)
        counts = ops.reshape(both, (*size, 2 * total.shape[-1]))
    return constant(_counted(counts[..., : found[-1]], chosen))


def _padded(p: Any) -> Any:
    """`p` with zeros behind, up to a length that is a power of 2."""
    missing = (1 << (p.shape[-1] - 1).bit_length()) - p.shape[-1]
    return ops.pad(p, [(0, 0)] * (p.ndim - 1) + [(0, missing)])


# Arguments and results ----------------------------------------------------------------------------


def _placed(
    operation: str, key: Any, shape: Any, dtype: Any, xp: Any, device: Any, **parameters: Any
) -> tuple[Any, tuple[int, ...], DType, *tuple[Any, ...]]:
    """Check arguments; the parameters become arrays of the widest dtype, without derivative."""
    key, chosen, wide = _dtypes(operation, key, dtype, xp, device)
    checked = {n: _parameter(operation, n, p, key, wide) for n, p in parameters.items()}
    size = checked_shape(operation, shape, **{n: found for n, (found, _) in checked.items()})
    return key, size, chosen, *(value for _, value in checked.values())


def _dtypes(operation: str, key: Any, dtype: Any, xp: Any, device: Any) -> tuple[Any, DType, DType]:
    """Key, dtype of the counts, and dtype to compute in."""
    key = checked_key(key, xp, device, operation)
    chosen = default_integer(key) if dtype is None else as_dtype(dtype)
    if chosen.kind not in ("int", "uint", "float"):
        msg = f"{operation}: dtype must be integer or real floating; got {chosen.name}."
        raise located(DTypeError(msg))
    return key, chosen, widest(key)


def _parameter(operation: str, name: str, value: Any, key: Any, wide: DType) -> tuple[Any, Any]:
    found, value = checked_parameter(operation, name, value, wide)
    if type(value) is float:
        value = ops.add(ops.zeros_like_type(key, ArrayType((), wide)), value)
    return found, ops.stop_gradient(value)


def _counted(k: Any, dtype: DType) -> Any:
    """Whole numbers as numbers of a dtype; NaN as −1, or the largest one, where it has none."""
    if dtype.kind == "float":
        return ops.astype(k, dtype)
    bits = 8 * dtype.itemsize - (dtype.kind == "int")
    # the largest number that both dtypes have
    last = 2**bits - 2 ** max(bits - FORMATS[typeof(k).dtype][1] - 1, 0)
    known = ops.equal(k, k)
    whole = ops.astype(ops.minimum(ops.where(known, k, 0), last), dtype)
    return ops.where(known, whole, -1 if dtype.kind == "int" else 2**bits - 1)


# Kernels -----------------------------------------------------------------------------------------

# Means from which on rejection replaces adding up; both are right on either side of it.
_MANY: Final = 10.0


def random_poisson(xp: Any, key: Any, lam: Any) -> Any:
    """Draw under keys of shape (..., 2), for rates of shape (..., *shape)."""
    keys, flat = _lane_keys(xp, key, lam), xp.reshape(lam, (-1,))
    out = xp.full_like(flat, math.nan)
    few, many = (flat >= 0.0) & (flat < _MANY), (flat >= _MANY) & (flat < math.inf)
    out = _replaced(xp, out, few, _few_events, keys, (flat, 0.0))
    return xp.reshape(_replaced(xp, out, many, _many_events, keys, (flat, _MANY)), lam.shape)


def _few_events(xp: Any, keys: Any, lam: Any) -> Any:
    return _sought(xp, keys, xp.exp(-lam), lambda k: lam / (k + 1.0))


def _many_events(xp: Any, keys: Any, lam: Any) -> Any:
    b = 0.931 + 2.53 * xp.sqrt(lam)
    a, squeeze = -0.059 + 0.02483 * b, 0.9277 - 3.6224 / (b - 2.0)
    hat = (lam + 0.43, a, b, squeeze, 1.1239 + 1.1328 / (b - 3.4))
    return _accepted(xp, keys, hat, _log_poisson, (lam,))


def random_binomial(xp: Any, key: Any, n: Any, p: Any) -> Any:
    """Draw under keys of shape (..., 2), for `n` and `p` of shape (..., *shape)."""
    keys, n, flat = _lane_keys(xp, key, n), xp.floor(xp.reshape(n, (-1,))), xp.reshape(p, (-1,))
    valid = (n >= 0.0) & (n < math.inf) & (flat >= 0.0) & (flat <= 1.0)
    mirrored = flat > 0.5
    q = xp.where(mirrored, 1.0 - flat, flat)
    small = xp.where(valid, n, 0.0) * q < _MANY
    out = xp.full_like(n, math.nan)
    out = _replaced(xp, out, valid & small, _few_successes, keys, (n, 0.0), (q, 0.0))
    out = _replaced(xp, out, valid & ~small, _many_successes, keys, (n, 2.0 * _MANY), (q, 0.5))
    return xp.reshape(xp.where(mirrored, n - out, out), p.shape)


def _few_successes(xp: Any, keys: Any, n: Any, q: Any) -> Any:
    odds = q / (1.0 - q)
    none = xp.exp(n * xp.log1p(-q))
    return _sought(xp, keys, none, lambda k: (n - k) / (k + 1.0) * odds)


def _many_successes(xp: Any, keys: Any, n: Any, q: Any) -> Any:
    spread = xp.sqrt(n * q * (1.0 - q))
    b = 1.15 + 2.53 * spread
    top = xp.exp(_log_binomial(xp, xp.floor((n + 1.0) * q), n, q))
    a, squeeze = -0.0873 + 0.0248 * b + 0.01 * q, 0.92 - 4.2 / b
    hat = (n * q + 0.5, a, b, squeeze, (2.83 + 5.1 / b) * spread * top)
    return _accepted(xp, keys, hat, _log_binomial, (n, q))


def _lane_keys(xp: Any, key: Any, x: Any) -> Any:
    """Keys of their own for the elements of `x`, laid flat."""
    return xp.reshape(random_split(xp, key, shape=tuple(x.shape[len(key.shape) - 1 :])), (-1, 2))


def _uniform(xp: Any, keys: Any, like: Any, count: int, start: int = 0) -> Any:
    """Numbers number `start` and following of each key, in the middles of their cells."""
    dtype = typeof(like).dtype
    u = draw(xp, keys, (count,), lambda y0, y1: unit_reals(xp, y0, y1, dtype), start=start)
    return u + 2.0 ** -(FORMATS[dtype][1] + 1)


def _replaced(
    xp: Any,
    out: Any,
    chosen: Any,
    function: Callable[..., Any],
    keys: Any,
    *parameters: tuple[Any, float],
) -> Any:
    """`out` with numbers of a function where they are chosen; it never sees others' parameters.

    NumPy leaves the other lanes out. In other libraries they have parameters that do no harm.
    """
    if not bool(xp.any(chosen)):
        return out
    if xp is np:
        out[chosen] = function(np, keys[chosen], *(p[chosen] for p, _ in parameters))
        return out
    found = function(xp, keys, *(xp.where(chosen, p, harmless) for p, harmless in parameters))
    return xp.where(chosen, found, out)


def _sought(xp: Any, keys: Any, first: Any, ratio: Callable[[Any], Any]) -> Any:
    """First k whose cumulated probability exceeds a uniform number.

    `first` is the probability of 0, and ``ratio(k)`` what leads from that of k to that of k + 1.
    It ends where nothing is added any more, in case that rounding leaves the sum below 1.
    """
    u = _uniform(xp, keys, first, 1)[:, 0]
    k, mass, total = xp.zeros_like(first), first, first
    open_ = u > total
    while bool(xp.any(open_)):
        mass = mass * ratio(k)
        grown = total + mass
        open_ = open_ & (grown > total)
        k, total = xp.where(open_, k + 1.0, k), grown
        open_ = open_ & (u > total)
    return k


def _accepted(
    xp: Any,
    keys: Any,
    hat: Sequence[Any],
    log_mass: Callable[..., Any],
    parameters: Sequence[Any],
) -> Any:
    """Whole numbers by transformed rejection, in rounds that run until the last is accepted.

    Each round accepts most of what is left, whatever the parameters, by its first condition.
    NumPy goes on with the lanes that are left; other libraries with all.
    """
    out = xp.zeros_like(hat[0])
    open_: Any = np.arange(out.shape[0]) if xp is np else xp.ones_like(out, dtype=xp.bool)
    for turn in itertools.count():
        k, found = _attempt(xp, _uniform(xp, keys, out, 2, 2 * turn), hat, log_mass, parameters)
        if xp is np:
            out[open_[found]] = k[found]
            rest = ~found
            keys, open_ = keys[rest], open_[rest]
            hat, parameters = ([p[rest] for p in group] for group in (hat, parameters))
            ended = not open_.size
        else:
            out = xp.where(open_ & found, k, out)
            open_ = open_ & ~found
            ended = not bool(xp.any(open_))
        if ended:
            break
    return out


def _attempt(
    xp: Any,
    uniform: Any,
    hat: Sequence[Any],
    log_mass: Callable[..., Any],
    parameters: Sequence[Any],
) -> tuple[Any, Any]:
    """Whole numbers under a hat, and whether they are accepted."""
    centre, a, b, squeeze, scale = hat
    u, v = uniform[:, 0] - 0.5, uniform[:, 1]
    edge = 0.5 - xp.abs(u)
    k = xp.floor((2.0 * a / edge + b) * u + centre)
    sure = (edge >= 0.07) & (v <= squeeze)
    height = xp.log(v * scale / (a / (edge * edge) + b))
    return k, sure | (height <= log_mass(xp, k, *parameters))


def _log_poisson(xp: Any, k: Any, lam: Any) -> Any:
    """Logarithm of the probability of k, −∞ for k < 0.

    From the parts of Stirling's formula, in which nothing large cancels.

    References
    ----------
    C. Loader, "Fast and accurate computation of binomial probabilities", 2000, section 2.
    """
    some = xp.where(k < 0.0, 0.0, k)
    log = -_log_root(xp, some) - _deviance(xp, some, lam)
    return xp.where(k < 0.0, -math.inf, log)


def _log_binomial(xp: Any, k: Any, n: Any, q: Any) -> Any:
    """Logarithm of the probability of k, −∞ outside of [0, n]; see `_log_poisson`."""
    inside = (k >= 0.0) & (k <= n)
    some = xp.where(inside, k, 0.0)
    rest = n - some
    log = _log_root(xp, n) - _log_root(xp, some) - _log_root(xp, rest)
    log = log - _deviance(xp, some, n * q) - _deviance(xp, rest, n * (1.0 - q))
    return xp.where(inside, log, -math.inf)


# log(k!) − k log k + k for k below 8
_ROOTS: Final = [math.lgamma(k + 1) - k * math.log(max(k, 1)) + k for k in range(8)]


def _log_root(xp: Any, k: Any) -> Any:
    """``log(k!) − k log k + k``: little more than the logarithm of √(2πk)."""
    from volta.functional.special.gamma_functions import stirling  # it loads late

    table = xp.asarray(_ROOTS, dtype=k.dtype, device=library_for(xp).device(k))
    near = k < 8.0
    small = xp.take(table, xp.astype(xp.where(near, k, 0.0), xp.int32), axis=0)
    large = xp.where(near, 8.0, k)
    return xp.where(near, small, 0.5 * xp.log(2.0 * math.pi * large) + stirling(large))


def _deviance(xp: Any, k: Any, mean: Any) -> Any:
    """``k log(k / mean) + mean − k``."""
    from volta.functional.special.incomplete import log1p_rest  # it loads late

    some = xp.where(k > 0.0, k, 1.0)
    return xp.where(k > 0.0, -some * log1p_rest(xp, (mean - some) / some, mean / some), mean)


# Primitives --------------------------------------------------------------------------------------


def _batch_poisson(*args: Any) -> Any:
    return _poisson(*each_batched(*args))


_poisson: Any = primitive(
    "random_poisson",
    type_rule=lambda key, lam: ArrayType(lam.shape, lam.dtype),
    batch=_batch_poisson,
    derivatives=(ZERO, ZERO),
    value=random_poisson,
)


def _batch_binomial(*args: Any) -> Any:
    return _binomial(*each_batched(*args))


_binomial: Any = primitive(
    "random_binomial",
    type_rule=lambda key, n, p: ArrayType(n.shape, n.dtype),
    batch=_batch_binomial,
    derivatives=(ZERO, ZERO, ZERO),
    value=random_binomial,
)
