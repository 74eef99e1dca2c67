"""Diagonals, and products of vectors."""

from typing import Any

from volta.core.errors import ShapeError
from volta.core.trace import located
from volta.core.types import Array, typeof
from volta.functional.axes import normalize_axis
from volta.functional.declare import composite
from volta.functional.elementwise import multiply, subtract
from volta.functional.linalg.common import need_matrix
from volta.functional.manipulation import expand_dims, moveaxis, reshape, stack
from volta.functional.reduction import sum

__all__ = ["cross", "diagonal", "outer", "trace"]


@composite
def diagonal(x: Array, /, *, offset: int = 0) -> Any:
    """Diagonals of matrices.

    Parameters
    ----------
    x : array, shape (..., m, n)
    offset : int
        0 is the main diagonal; those above it are positive, those below negative.

    Returns
    -------
    array, shape (..., k)
        Of no elements if there is no such diagonal.

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.

    Examples
    --------
    >>> F.linalg.diagonal(np.asarray([[1, 2, 3], [4, 5, 6]]), offset=1)
    array([2, 6])
    """
    need_matrix("diagonal", typeof(x))
    *lead, m, n = x.shape
    length = max(min(m, n - offset) if offset >= 0 else min(m + offset, n), 0)
    start = (offset if offset >= 0 else -offset * n) if length else 0
    stop = start + (length - 1) * (n + 1) + 1 if length else 0
    return reshape(x, (*lead, m * n))[..., start : stop : n + 1]


@composite
def trace(x: Array, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """Sums of diagonals, ``Σ_i x[i, i + offset]``.

    Parameters
    ----------
    x : array, shape (..., m, n)
        Of numeric dtype.
    offset : int
        As for `diagonal`.
    dtype : dtype, optional
        Of the result, as for `sum`.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.

    Examples
    --------
    >>> F.linalg.trace(np.asarray([[1.0, 2.0], [3.0, 4.0]]))
    array(5.)
    """
    need_matrix("trace", typeof(x))
    return sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)


@composite
def outer(x1: Array, x2: Array, /) -> Any:
    """Products of every element of one vector with every element of another.

    Parameters
    ----------
    x1, x2 : array, shape (m,) and (n,)
        Of numeric dtype.

    Returns
    -------
    array, shape (m, n)
        Of the promoted dtype.

    Raises
    ------
    ShapeError
        If an operand has not one axis.

    Examples
    --------
    >>> F.linalg.outer(np.asarray([1, 2]), np.asarray([3, 4]))
    array([[3, 4],
           [6, 8]])
    """
    if x1.ndim != 1 or x2.ndim != 1:
        msg = f"outer: both arrays must have one axis; got {tuple(x1.shape)} and {tuple(x2.shape)}."
        raise located(ShapeError(msg))
    return multiply(expand_dims(x1, axis=1), expand_dims(x2, axis=0))


@composite
def cross(x1: Array, x2: Array, /, *, axis: int = -1) -> Any:
    """Vector product in three dimensions.

    Parameters
    ----------
    x1, x2 : array, of length 3 along `axis`
        Of numeric dtype; the other axes broadcast.
    axis : int

    Returns
    -------
    array
        Of the promoted dtype.

    Raises
    ------
    ShapeError
        If `axis` is not of length 3 in both.
    BroadcastError
        If the other axes do not broadcast together.
    DimensionError
        If there is no such axis.

    Examples
    --------
    >>> F.linalg.cross(np.asarray([1.0, 0.0, 0.0]), np.asarray([0.0, 1.0, 0.0]))
    array([0., 0., 1.])
    """
    a1, a2 = normalize_axis("cross", axis, x1.ndim), normalize_axis("cross", axis, x2.ndim)
    if x1.shape[a1] != 3 or x2.shape[a2] != 3:
        msg = (
            f"cross: both arrays must have length 3 along axis {axis}; got shapes "
            f"{tuple(x1.shape)} and {tuple(x2.shape)}."
        )
        raise located(ShapeError(msg))
    (u0, u1, u2), (v0, v1, v2) = (
        [moved[..., i] for i in range(3)] for moved in (moveaxis(x1, a1, -1), moveaxis(x2, a2, -1))
    )
    parts = [
        subtract(multiply(u1, v2), multiply(u2, v1)),
        subtract(multiply(u2, v0), multiply(u0, v2)),
        subtract(multiply(u0, v1), multiply(u1, v0)),
    ]
    return moveaxis(stack(parts, axis=-1), -1, axis)
