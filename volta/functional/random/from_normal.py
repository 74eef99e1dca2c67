"""Distributions of functions of a few normal numbers."""

import math
from typing import Any, Final

import numpy as np

from volta.core.derivatives import ZERO, Partial
from volta.core.trace import ops
from volta.core.types import ArrayType, broadcast_shapes
from volta.functional.axes import normalize_shape
from volta.functional.declare import batch_elementwise, primitive
from volta.functional.random.arguments import (
    Shape,
    checked_floating,
    checked_key,
    checked_parameter,
    checked_shape,
    constant,
    placed,
)
from volta.functional.random.gaussian import normal_numbers
from volta.functional.random.interval import signs, unit
from volta.functional.random.keys import split
from volta.functional.random.transformed import in_float32

__all__ = ["double_sided_maxwell", "lognormal", "maxwell", "wald"]


def lognormal(
    key: Any,
    sigma: Any = 1.0,
    shape: Shape | None = None,
    dtype: Any = None,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from the log-normal distribution: exponentials of normal numbers of mean 0.

    Parameters
    ----------
    key : array, shape (2,), uint32
    sigma : float or array, real
        Standard deviation of the normal numbers; converted to `dtype`.
    shape : int or tuple of int, optional
        By default the shape of `sigma`, which must broadcast to it.
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`
        Differentiable in `sigma`. Equals ``jax.random.lognormal`` up to rounding.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` not real floating, or `sigma` not real
        or not broadcastable.

    Notes
    -----
    ``exp(sigma · z)`` for normal numbers z.

    Examples
    --------
    >>> F.random.lognormal(F.random.key(0), 0.5, 4)
    array([2.2508798 , 2.7528381 , 0.80509317, 0.9614539 ], dtype=float32)
    """
    key, size, chosen, sigma = placed("lognormal", key, shape, dtype, xp, device, sigma=sigma)
    z = normal_numbers(key, shape=size, dtype=chosen)
    return constant(in_float32(lambda z, sigma: ops.exp(ops.multiply(z, sigma)), z, sigma))


def maxwell(
    key: Any,
    shape: Shape = (),
    dtype: Any = None,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from the Maxwell distribution: lengths of vectors of three normal numbers.

    Parameters
    ----------
    key : array, shape (2,), uint32
    shape : int or tuple of int
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`
        Equals ``jax.random.maxwell`` up to rounding.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape or `dtype` not real floating.

    Notes
    -----
    The density is ``√(2 / π) x² exp(−x² / 2)`` for x ≥ 0.

    Examples
    --------
    >>> F.random.maxwell(F.random.key(0), 4)
    array([2.6310966, 0.9910329, 0.9649306, 3.0782752], dtype=float32)
    """
    chosen = checked_floating(dtype, "maxwell")
    key = checked_key(key, xp, device, "maxwell")
    size = normalize_shape("maxwell", shape)
    return constant(in_float32(_length, normal_numbers(key, shape=(*size, 3), dtype=chosen)))


def _length(z: Any) -> Any:
    return ops.sqrt(ops.sum(ops.square(z), axis=-1))


def double_sided_maxwell(
    key: Any,
    loc: Any,
    scale: Any,
    shape: Shape = (),
    dtype: Any = None,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    r"""Draw Maxwell numbers of either sign, scaled and moved.

    Parameters
    ----------
    key : array, shape (2,), uint32
    loc, scale : float or array, real
        Centre and scale of the distribution; converted to `dtype`.
    shape : int or tuple of int
        Put before that of `loc` and `scale` together.
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape (\*`shape`, \*shape of the parameters), `dtype`
        Differentiable in `loc` and `scale`. Equals ``jax.random.double_sided_maxwell`` without
        ``jax_enable_x64`` up to rounding, where the parameters are numbers.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` not real floating, or a parameter not
        real or not broadcastable.

    Notes
    -----
    The density is proportional to ``z² exp(−z² / 2)`` of z = (x − loc) / scale.

    Examples
    --------
    >>> F.random.double_sided_maxwell(F.random.key(0), 0.0, np.ones(3), 2).shape
    (2, 3)
    """
    chosen = checked_floating(dtype, "double_sided_maxwell")
    key = checked_key(key, xp, device, "double_sided_maxwell")
    found_loc, loc = checked_parameter("double_sided_maxwell", "loc", loc, chosen)
    found_scale, scale = checked_parameter("double_sided_maxwell", "scale", scale, chosen)
    whole = checked_shape("double_sided_maxwell", None, loc=found_loc, scale=found_scale)
    size = (*normalize_shape("double_sided_maxwell", shape), *whole)
    keys = split(key)
    z = normal_numbers(keys[0, :], shape=(*size, 3), dtype=chosen)
    return constant(in_float32(_two_sided, z, signs(keys[1, :], size, chosen), loc, scale))


def _two_sided(z: Any, sign: Any, loc: Any, scale: Any) -> Any:
    return ops.add(ops.multiply(ops.multiply(sign, _length(z)), scale), loc)


def wald(
    key: Any,
    mean: Any,
    shape: Shape | None = None,
    dtype: Any = None,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from the Wald distribution, the inverse Gaussian one of scale 1.

    Parameters
    ----------
    key : array, shape (2,), uint32
    mean : float or array, real
        Mean, positive and finite; converted to `dtype`.
    shape : int or tuple of int, optional
        By default the shape of `mean`, which must broadcast to it.
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`
        Differentiable in `mean`. Equals ``jax.random.wald`` up to rounding.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` not real floating, or `mean` not real or
        not broadcastable.

    Notes
    -----
    The density is ``exp(−(x − mean)² / (2 mean² x)) / √(2πx³)`` for x > 0. With a normal number z,
    one of the two x with ``(x − mean)² = mean² x z²``. Which one depends on the mean, so the
    derivative is not that of a root: it keeps the probability of smaller numbers, which gives
    ``∂x/∂mean = √(2π) x^(3/2) erfcx((x + mean) / (mean √(2x))) / mean²``.


    References
    ----------
    J. R. Michael, W. R. Schucany, R. W. Haas, "Generating random variates using transformations
    with multiple roots", The American Statistician 30, 1976,
    https://doi.org/10.1080/00031305.1976.10479147.

    Examples
    --------
    >>> F.random.wald(F.random.key(0), 2.0, 4)
    array([0.53342175, 0.5981154 , 0.72548366, 0.4421732 ], dtype=float32)
    """
    key, size, chosen, mean = placed("wald", key, shape, dtype, xp, device, mean=mean)
    keys = split(key)
    z = normal_numbers(keys[0, :], shape=size, dtype=chosen)
    u = unit(keys[1, :], shape=size, dtype=chosen)
    return constant(in_float32(_first_passage, z, u, mean))


# Primitive ---------------------------------------------------------------------------------------


def _root(xp: Any, z: Any, u: Any, mean: Any) -> Any:
    """Smaller root where ``u ≤ mean / (mean + root)``, else the larger one."""
    w = mean * (z * z)
    factor = 1.0 + 0.5 * w + xp.sqrt(w + 0.25 * w * w)  # of the larger root, without cancellation
    x = xp.where(u * (1.0 + 1.0 / factor) <= 1.0, mean / factor, mean * factor)
    return np.asarray(x) if xp is np else x  # rank 0 has become a scalar


def _slope(out: Any, _z: Any, _u: Any, mean: Any) -> Any:
    from volta.functional.special import erfcx  # where needed: it loads late

    root = ops.sqrt(out)
    ratio = erfcx((out / mean + 1.0) / (root * math.sqrt(2.0)))
    return math.sqrt(2.0 * math.pi) * out * root * ratio / mean**2


def _batch_first_passage(*args: Any) -> Any:
    return batch_elementwise(_first_passage, *args)


_first_passage: Final[Any] = primitive(
    "random_wald",
    type_rule=lambda z, u, mean: ArrayType(
        broadcast_shapes("wald", z.shape, u.shape, mean.shape), z.dtype
    ),
    batch=_batch_first_passage,
    derivatives=(ZERO, ZERO, Partial(_slope)),  # what is drawn is no function of anything
    value=_root,
    elementwise=True,
)
