"""Normal numbers of an interval."""

import math
from typing import Any, Final

import numpy as np

from volta.core.derivatives import ZERO, Partial
from volta.core.dispatch import library_for
from volta.core.trace import ops
from volta.core.types import ArrayType, broadcast_shapes
from volta.functional.declare import batch_elementwise, primitive
from volta.functional.random.arguments import Shape, constant, placed
from volta.functional.random.interval import FORMATS, unit
from volta.functional.random.transformed import in_float32

__all__ = ["truncate_normal", "truncated_normal"]


def truncated_normal(
    key: Any,
    lower: Any,
    upper: Any,
    shape: Shape | None = None,
    dtype: Any = None,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from the normal distribution of mean 0 and variance 1, given an interval.

    Parameters
    ----------
    key : array, shape (2,), uint32
    lower, upper : float or array, real
        Ends of the interval, which may be infinite; converted to `dtype`.
    shape : int or tuple of int, optional
        By default that of `lower` and `upper` together, which must broadcast to it.
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`
        Numbers from `lower` to `upper`, both included; NaN where lower ≤ upper does not hold.
        Differentiable in both. Where neither end is in a tail, it equals
        ``jax.random.truncated_normal`` up to rounding.

    Raises
    ------
    ShapeError, BroadcastError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` not real floating, or a bound not real
        or not broadcastable.

    Notes
    -----
    The x with ``Φ(x) = (1 − s) Φ(lower) + s Φ(upper)`` for s uniform on (0, 1) and Φ the
    distribution function, found from logarithms and on the side of 0 where Φ is small, so that no
    tail is too far. With s fixed, ``∂x/∂lower = (1 − s) exp((x² − lower²) / 2)`` and
    ``∂x/∂upper = s exp((x² − upper²) / 2)``.

    Examples
    --------
    >>> x = F.random.truncated_normal(F.random.key(0), 20.0, np.inf, 1000)
    >>> bool(x.min() > 20.0), bool(x.max() < 21.0)
    (True, True)
    """
    key, size, chosen, lower, upper = placed(
        "truncated_normal", key, shape, dtype, xp, device, lower=lower, upper=upper
    )
    # The middles of the cells of uniform numbers: exact, and never 0 or 1.
    s = ops.add(unit(key, shape=size, dtype=chosen), 2.0 ** -(FORMATS[chosen][1] + 1))
    # Rounding to 16 bits keeps order, so that it does not leave the interval of the rounded ends.
    return constant(in_float32(truncate_normal, s, lower, upper))


# Primitive ---------------------------------------------------------------------------------------


def _truncate(xp: Any, s: Any, lower: Any, upper: Any) -> Any:
    """Quantiles at `s` of the normal distribution between bounds."""
    from volta.functional.special import log_ndtr, ndtri_exp  # where needed: it loads late

    device = library_for(xp).device(s)
    lower, upper = (xp.asarray(b, dtype=s.dtype, device=device) for b in (lower, upper))
    # An interval above 0 is mirrored, so that probabilities are small where they matter.
    mirrored = lower > 0.0
    below, near = xp.where(mirrored, -upper, lower), xp.where(mirrored, -lower, upper)
    rest = xp.where(mirrored, s, 1.0 - s)
    log_near = log_ndtr(near)
    lost = xp.isinf(log_near) & (near < 0.0)  # the tail itself has underflowed
    log_near = xp.where(lost, xp.zeros_like(near), log_near)
    log_below = xp.where(below <= near, log_ndtr(below), log_near)
    x = ndtri_exp(log_near + xp.log1p(rest * xp.expm1(log_below - log_near)))
    x = xp.where(lost, near, x)
    x = xp.minimum(xp.maximum(xp.where(mirrored, -x, x), lower), upper)
    x = xp.where(lower <= upper, x, xp.full_like(x, math.nan))
    return np.asarray(x) if xp is np else x  # rank 0 has become a scalar


def _slope(out: Any, share: Any, bound: Any) -> Any:
    """``share · exp((out² − bound²) / 2)``, 0 at an infinite bound."""
    infinite = ops.isinf(bound)
    finite = ops.where(infinite, 0.0, bound)
    return ops.where(infinite, 0.0, share * ops.exp((out - finite) * (out + finite) / 2))


def _batch_truncate(*args: Any) -> Any:
    return batch_elementwise(truncate_normal, *args)


truncate_normal: Final[Any] = primitive(
    "random_truncated_normal",
    type_rule=lambda s, lower, upper: ArrayType(
        broadcast_shapes("truncated_normal", s.shape, lower.shape, upper.shape), s.dtype
    ),
    batch=_batch_truncate,
    derivatives=(
        ZERO,  # drawn under the key, which is no function of anything
        Partial(lambda out, s, lower, _upper: _slope(out, 1.0 - s, lower)),
        Partial(lambda out, s, _lower, upper: _slope(out, s, upper)),
    ),
    value=_truncate,
    elementwise=True,
)
