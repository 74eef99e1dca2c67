"""Powers of gamma numbers: the generalized normal distribution, and points of balls."""

from typing import Any, Final

from volta.core.trace import ops
from volta.core.types import DTYPES, DType
from volta.functional.axes import normalize_shape
from volta.functional.random.arguments import Shape, constant, placed
from volta.functional.random.interval import signs
from volta.functional.random.keys import split
from volta.functional.random.positive import draw_loggamma
from volta.functional.random.transformed import standard

__all__ = ["ball", "generalized_normal"]


def generalized_normal(
    key: Any,
    p: Any,
    shape: Shape | None = None,
    dtype: Any = None,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from the generalized normal distribution, of density proportional to ``exp(−|x|ᵖ)``.

    Parameters
    ----------
    key : array, shape (2,), uint32
    p : float or array, real
        Exponent, positive; infinity gives uniform numbers. Converted to `dtype`.
    shape : int or tuple of int, optional
        By default the shape of `p`, which must broadcast to it.
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`
        Differentiable in `p`. Equals ``jax.random.generalized_normal`` without
        ``jax_enable_x64`` up to rounding.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` not real floating, or `p` not real or
        not broadcastable.

    Notes
    -----
    ``s · g^(1 / p)`` for signs s and gamma numbers g of 1 / p.

    Examples
    --------
    >>> F.random.generalized_normal(F.random.key(0), 3.0, 4)
    array([ 0.89282674,  0.09650238, -0.99550444,  0.42760137], dtype=float32)
    """
    key, size, chosen, p = placed("generalized_normal", key, shape, dtype, xp, device, p=p)
    sign, log, root = _parts(key, p, size, chosen)
    return constant(ops.astype(_powers(sign, root, log), chosen, copy=False))


def ball(
    key: Any,
    d: int,
    p: Any = 2,
    shape: Shape = (),
    dtype: Any = None,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw points of the unit ball of a p-norm, all with the same probability.

    Parameters
    ----------
    key : array, shape (2,), uint32
    d : int
        Number of coordinates.
    p : float or array, real
        Which norm: positive, infinity gives a cube. Must broadcast to `shape`; converted to
        `dtype`.
    shape : int or tuple of int
        Shape of the result less its last axis.
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape (*`shape`, d), `dtype`
        Differentiable in `p`. Equals ``jax.random.ball`` without ``jax_enable_x64`` up to
        rounding.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` not real floating, `d` not an int from 0
        on, or `p` not real or not broadcastable.

    Notes
    -----
    ``x / (Σ |x|ᵖ + e)^(1 / p)`` for generalized normal numbers x and exponential ones e.


    References
    ----------
    F. Barthe, O. Guédon, S. Mendelson, A. Naor, "A probabilistic approach to the geometry of the
    ℓₚⁿ-ball", Annals of Probability 33, 2005, https://arxiv.org/abs/math/0503650, theorem 1.

    Examples
    --------
    >>> F.random.ball(F.random.key(0), 3, 1.0, 4).shape
    (4, 3)
    """
    (count,) = normalize_shape("ball", (d,))
    key, size, chosen, p = placed("ball", key, shape, dtype, xp, device, p=p)
    keys = split(key)
    p = p if type(p) is float else ops.expand_dims(ops.broadcast_to(p, size), axis=-1)
    sign, log, root = _parts(keys[0, :], p, (*size, count), chosen)
    e = ops.astype(standard(keys[1, :], size, chosen), _wide(chosen), copy=False)
    total = ops.add(ops.sum(ops.exp(log), axis=-1, keepdims=True), ops.expand_dims(e, axis=-1))
    x = _powers(sign, root, ops.subtract(log, ops.log(total)))
    return constant(ops.astype(x, chosen, copy=False))


def _parts(key: Any, p: Any, shape: tuple[int, ...], dtype: DType) -> tuple[Any, Any, Any]:
    """Signs, logarithms of gamma numbers of 1 / p, and 1 / p, in 32 bits or more.

    The least number stands for 1 / ∞: the power 1 / p of a gamma number of it is uniform.
    """
    wide = _wide(dtype)
    if type(p) is float:
        root: Any = max(1.0 / p, _LEAST)
    else:
        root = ops.maximum(ops.divide(1.0, ops.astype(p, wide, copy=False)), _LEAST)
    keys = split(key)
    return signs(keys[1, :], shape, wide), draw_loggamma(keys[0, :], root, shape, wide), root


def _powers(sign: Any, root: Any, log: Any) -> Any:
    return ops.multiply(sign, ops.exp(ops.multiply(root, log)))


def _wide(dtype: DType) -> DType:
    return DTYPES["float32"] if dtype.itemsize == 2 else dtype


_LEAST: Final = 2.0**-100
