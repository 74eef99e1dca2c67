"""Continuous distributions with parameters, by the inverses of their distribution functions."""

import math
from typing import Any

from volta.core.trace import ops
from volta.functional.random.arguments import Shape, constant, placed
from volta.functional.random.interval import unit
from volta.functional.random.transformed import in_float32, open_unit, standard

__all__ = ["pareto", "rayleigh", "triangular", "weibull_min"]


def pareto(
    key: Any,
    b: Any,
    shape: Shape | None = None,
    dtype: Any = None,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from the Pareto distribution, of density ``b / x^(b + 1)`` for x ≥ 1.

    Parameters
    ----------
    key : array, shape (2,), uint32
    b : float or array, real
        Exponent of the tail, positive; converted to `dtype`.
    shape : int or tuple of int, optional
        By default the shape of `b`, which must broadcast to it.
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`
        Differentiable in `b`. Equals ``jax.random.pareto`` up to rounding.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` not real floating, or `b` not real or
        not broadcastable.

    Notes
    -----
    ``exp(e / b)`` for exponential numbers e.

    Examples
    --------
    >>> F.random.pareto(F.random.key(0), 3.0, 4)
    array([2.673467 , 3.6007476, 1.1441184, 1.2346526], dtype=float32)
    """
    key, size, chosen, b = placed("pareto", key, shape, dtype, xp, device, b=b)
    e = standard(key, size, chosen)
    return constant(in_float32(lambda e, b: ops.exp(ops.divide(e, b)), e, b))


def rayleigh(
    key: Any,
    scale: Any,
    shape: Shape | None = None,
    dtype: Any = None,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from the Rayleigh distribution: lengths of vectors of two normal numbers.

    Parameters
    ----------
    key : array, shape (2,), uint32
    scale : float or array, real
        Standard deviation of the normal numbers, not negative; converted to `dtype`.
    shape : int or tuple of int, optional
        By default the shape of `scale`, which must broadcast to it.
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`
        Differentiable in `scale`. Equals ``jax.random.rayleigh`` up to rounding.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` not real floating, or `scale` not real
        or not broadcastable.

    Notes
    -----
    ``scale · √(−2 log(u))`` for u uniform on (0, 1).

    Examples
    --------
    >>> F.random.rayleigh(F.random.key(0), 2.0, 4)
    array([0.65575665, 0.41620055, 2.9688284 , 2.462291  ], dtype=float32)
    """
    key, size, chosen, scale = placed("rayleigh", key, shape, dtype, xp, device, scale=scale)
    u = open_unit(key, size, chosen)
    return constant(in_float32(_rayleigh, u, scale))


def _rayleigh(u: Any, scale: Any) -> Any:
    return ops.multiply(scale, ops.sqrt(ops.multiply(-2.0, ops.log(u))))


def weibull_min(
    key: Any,
    scale: Any,
    concentration: Any,
    shape: Shape | None = None,
    dtype: Any = None,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from the Weibull distribution, with ``1 − exp(−(x / scale)^concentration)`` below x ≥ 0.

    Parameters
    ----------
    key : array, shape (2,), uint32
    scale, concentration : float or array, real
        Parameters, positive; converted to `dtype`.
    shape : int or tuple of int, optional
        By default that of `scale` and `concentration` together, which must broadcast to it.
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`
        Differentiable in `scale` and `concentration`. Equals ``jax.random.weibull_min`` up to
        rounding, where `shape` is given; JAX draws one number for all parameters where it is not.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` not real floating, or a parameter not
        real or not broadcastable.

    Notes
    -----
    ``scale · (−log(1 − u))^(1 / concentration)`` for u uniform on (0, 1).

    Examples
    --------
    >>> F.random.weibull_min(F.random.key(0), 1.0, 2.0, 4)
    array([1.7175937, 1.9604654, 0.6355341, 0.7952164], dtype=float32)
    """
    key, size, chosen, scale, concentration = placed(
        "weibull_min", key, shape, dtype, xp, device, scale=scale, concentration=concentration
    )
    return constant(in_float32(_weibull, open_unit(key, size, chosen), scale, concentration))


def _weibull(u: Any, scale: Any, concentration: Any) -> Any:
    log = ops.log(ops.negative(ops.log1p(ops.negative(u))))
    return ops.multiply(scale, ops.exp(ops.divide(log, concentration)))


def triangular(
    key: Any,
    left: Any,
    mode: Any,
    right: Any,
    shape: Shape | None = None,
    dtype: Any = None,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from the triangular distribution: its density rises to `mode` and falls from there.

    Parameters
    ----------
    key : array, shape (2,), uint32
    left, mode, right : float or array, real
        Ends of the interval and the most probable number; converted to `dtype`.
    shape : int or tuple of int, optional
        By default that of `left`, `mode` and `right` together, which must broadcast to it.
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`
        NaN where left ≤ mode ≤ right does not hold. Differentiable in all three. Equals
        ``jax.random.triangular`` up to rounding.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` not real floating, or a parameter not
        real or not broadcastable.

    Notes
    -----
    With w = right − left and u uniform on [0, 1), ``left + √(u w (mode − left))`` where u w is less
    than mode − left, else ``right − √((1 − u) w (right − mode))``.

    Examples
    --------
    >>> F.random.triangular(F.random.key(0), -1.0, 0.0, 2.0, 4).shape
    (4,)
    """
    key, size, chosen, left, mode, right = placed(
        "triangular", key, shape, dtype, xp, device, left=left, mode=mode, right=right
    )
    return constant(in_float32(_triangular, unit(key, shape=size, dtype=chosen), left, mode, right))


def _triangular(u: Any, left: Any, mode: Any, right: Any) -> Any:
    width, rise, fall = (
        ops.subtract(*ends) for ends in ((right, left), (mode, left), (right, mode))
    )
    rising = ops.less(ops.multiply(u, width), rise)
    square = ops.multiply(
        ops.where(rising, ops.multiply(u, rise), ops.multiply(ops.subtract(1, u), fall)), width
    )
    some = ops.greater(square, 0)  # the root's derivative is infinite at 0
    root = ops.where(some, ops.sqrt(ops.where(some, square, 1)), 0)
    x = ops.where(rising, ops.add(left, root), ops.subtract(right, root))
    ordered = ops.logical_and(ops.greater_equal(rise, 0), ops.greater_equal(fall, 0))
    return ops.where(ordered, x, math.nan)
