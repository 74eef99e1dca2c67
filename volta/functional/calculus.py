"""Functions given by numbers: through points, and by coefficients."""

from typing import Any

from volta.core.errors import ShapeError
from volta.core.trace import located, ops
from volta.core.types import Array, ArrayLike
from volta.functional.declare import composite
from volta.functional.elementwise import (
    add,
    clip,
    divide,
    equal,
    greater,
    less,
    logical_or,
    multiply,
    remainder,
    subtract,
    where,
)
from volta.functional.indexing import take
from volta.functional.manipulation import concat
from volta.functional.searching import searchsorted
from volta.functional.sorting import argsort

__all__ = ["interp", "polyval"]


# Interpolation ------------------------------------------------------------------------------------


@composite
def interp(
    x: ArrayLike,
    xp: Array,
    fp: Array,
    *,
    left: Any = None,
    right: Any = None,
    period: Any = None,
) -> Any:
    """Piecewise linear function through points.

    Parameters
    ----------
    x : array or number
        Where to evaluate it; of real floating dtype.
    xp : array, shape (n,)
        Where the points are, in ascending order, which is not checked; with `period` in any.
    fp : array, shape (n,)
        Values there, real or complex.
    left, right : number or array of rank 0, optional
        Values before the first point and after the last; by default theirs.
    period : number or array of rank 0, optional
        Of `x` and `xp`: the function repeats itself, and has no ends.

    Returns
    -------
    array, shape of `x`

    Raises
    ------
    ShapeError
        If there is no point, or there is not one value for each.
    ValueError
        If `period` is 0.

    Notes
    -----
    Differentiable in all operands. The derivative with respect to `x` is the slope; at a point it
    is that of the interval after it, and at the last point, that of the last. Outside of the
    points it is 0.

    Examples
    --------
    >>> F.interp(np.asarray([0.5, 1.0, 7.0]), np.asarray([0.0, 1.0, 3.0]), np.asarray([2.0, 4, 5]))
    array([3., 4., 5.])
    """
    if xp.ndim != 1 or tuple(xp.shape) != tuple(fp.shape) or not xp.shape[0]:
        msg = (
            "interp: xp and fp must have one axis, of the same length, which is not 0; got shapes "
            f"{tuple(xp.shape)} and {tuple(fp.shape)}."
        )
        raise located(ShapeError(msg))
    if not hasattr(x, "dtype"):
        x = ops.full_like(xp, x, shape=())
    if period is not None:
        x, xp, fp = _unrolled(x, xp, fp, period)
        left = right = None
    n = xp.shape[0]
    before, after = less(x, xp[0]), greater(x, xp[n - 1])
    inside = where(logical_or(before, after), xp[0], x)
    out = _through(inside, xp, fp)
    out = where(before, fp[0] if left is None else left, out)
    return where(after, fp[n - 1] if right is None else right, out)


def _unrolled(x: Any, xp: Any, fp: Any, period: Any) -> tuple[Any, Any, Any]:
    """One period of a periodic function, with a point beyond either end."""
    if not hasattr(period, "dtype"):
        if period == 0:
            msg = "interp: period must not be 0; got 0."
            raise located(ValueError(msg))
        period = abs(period)
    else:
        period = ops.abs(period)
    x, xp = remainder(x, period), remainder(xp, period)
    order = argsort(xp)
    xp, fp = take(xp, order), take(fp, order)
    xp = concat([subtract(xp[-1:], period), xp, add(xp[:1], period)])
    return x, xp, concat([fp[-1:], fp, fp[:1]])


def _through(x: Any, xp: Any, fp: Any) -> Any:
    """Value at `x` between the first and the last point, counted from the nearer one's.

    So it is exactly that of the point at either end of an interval.
    """
    last = xp.shape[0] - 1
    above = clip(searchsorted(xp, x, side="right"), min(1, last), last)
    below = clip(above - 1, 0, last)
    x0, x1, f0, f1 = (take(y, i, axis=0) for y in (xp, fp) for i in (below, above))
    from_left = less(subtract(x, x0), subtract(x1, x))
    width = subtract(x1, x0)
    width = where(equal(width, 0), 1, width)
    part = divide(subtract(x, where(from_left, x0, x1)), width)
    return add(where(from_left, f0, f1), multiply(subtract(f1, f0), part))


# Polynomials --------------------------------------------------------------------------------------


@composite
def polyval(p: Array, x: Any, /) -> Any:
    """Polynomial by its coefficients, ``p[0] x^(n − 1) + … + p[n − 2] x + p[n − 1]``.

    Parameters
    ----------
    p : array, shape (n, ...)
        Coefficients, that of the highest power first; further axes broadcast with those of `x`.
    x : array, shape (...), or number
        Where to evaluate it.

    Returns
    -------
    array, shape (...)
        Of the promoted dtype.

    Raises
    ------
    ShapeError
        If `p` has no axis.
    BroadcastError
        If the shapes do not broadcast together.

    Notes
    -----
    By Horner's rule. The order of the coefficients is that of ``numpy.polyval``.

    Examples
    --------
    >>> F.polyval(np.asarray([3.0, 0.0, 1.0]), np.asarray([2.0, 5.0]))  # 3 x² + 1
    array([13., 76.])
    """
    if not p.ndim:
        msg = "polyval: the coefficients must have an axis; got shape ()."
        raise located(ShapeError(msg))
    n = p.shape[0]
    if not hasattr(x, "dtype"):
        x = ops.full_like(p, x, shape=())
    if not n:
        return multiply(x, 0)
    if n == 1:
        return add(multiply(x, 0), p[0, ...])
    out = p[0, ...]
    for i in range(1, n):
        out = add(multiply(out, x), p[i, ...])
    return out
