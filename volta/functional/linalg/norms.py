"""Norms of vectors and matrices."""

import math
from typing import Any, Final

import numpy as np

from volta.core.trace import located, ops
from volta.core.types import Array, typeof
from volta.functional.axes import normalize_axes
from volta.functional.declare import composite, shortcut
from volta.functional.elementwise import abs, equal, imag, not_equal, pow, real, sqrt, where
from volta.functional.linalg.common import floating, is_complex, need_matrix
from volta.functional.linalg.decompositions import svdvals
from volta.functional.reduction import max, min, sum

__all__ = ["matrix_norm", "vector_norm"]


@composite
@shortcut(np.linalg.vector_norm)
@floating
def vector_norm(
    x: Array,
    /,
    *,
    axis: int | tuple[int, ...] | None = None,
    keepdims: bool = False,
    ord: float = 2,
) -> Any:
    """Norms of vectors, ``(Σ |x|^ord)^(1 / ord)``.

    Parameters
    ----------
    x : array
        Of floating dtype.
    axis : int or tuple of int, optional
        Over which the vectors extend; by default `x` is one vector.
    keepdims : bool
        Whether these axes stay, with length 1.
    ord : float
        The largest absolute value for ``inf``, the smallest for ``-inf``, the number of elements
        that are not 0 for 0.

    Returns
    -------
    array, real

    Raises
    ------
    DimensionError
        If there is no such axis.

    Notes
    -----
    The derivative at a vector of zeros is 0, and where there are kinks at zeros within a vector
    (`ord` up to 1) their part is 0 too. Equal largest or smallest elements share the derivative
    evenly.

    Examples
    --------
    >>> F.linalg.vector_norm(np.asarray([3.0, 4.0]))
    array(5.)
    """
    options: Any = {"axis": normalize_axes("vector_norm", axis, x.ndim), "keepdims": keepdims}
    if ord == 2:
        return _root(sum(_square(x), **options))
    if ord == 0:
        return sum(ops.astype(not_equal(x, 0), _real_dtype(x)), **options)
    size = abs(x)
    if ord == 1:
        return sum(size, **options)
    if math.isinf(ord):
        return (max if ord > 0 else min)(size, **options)
    return _power_mean(size, ord, options)


def _real_dtype(x: Any) -> Any:
    return real(x).dtype if is_complex(x) else x.dtype


def _square(x: Any) -> Any:
    if is_complex(x):  # not by the absolute value, which has a kink at 0
        a, b = real(x), imag(x)
        return a * a + b * b
    return x * x


def _root(x: Any) -> Any:
    zero = equal(x, 0)
    return where(zero, 0, sqrt(where(zero, 1, x)))


def _power_mean(size: Any, ord: float, options: dict[str, Any]) -> Any:
    none = equal(size, 0)
    powers = pow(where(none, 1, size), ord)
    total = sum(where(none, 0.0 if ord > 0 else math.inf, powers), **options)
    settled = equal(total, 0) if ord > 0 else equal(total, math.inf)
    return where(settled, 0, pow(where(settled, 1, total), 1 / ord))


_SINGULAR: Final = {2: max, -2: min, "nuc": sum}


@composite
@shortcut(np.linalg.matrix_norm)
@floating
def matrix_norm(x: Array, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """Norms of matrices.

    Parameters
    ----------
    x : array, shape (..., m, n)
        Of floating dtype.
    keepdims : bool
        Whether the last two axes stay, with length 1.
    ord : {"fro", "nuc", 1, -1, 2, -2, inf, -inf}
        The root of the sum of squares; the sum of singular values; the largest or smallest sum of
        a column; the largest or smallest singular value; the largest or smallest sum of a row.

    Returns
    -------
    array, real

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes.
    ValueError
        If there is no such norm.

    Notes
    -----
    The derivative at a matrix of zeros is 0 for ``"fro"``. Equal largest or smallest singular
    values, or sums, share the derivative evenly, which is one of the subgradients.

    Examples
    --------
    >>> F.linalg.matrix_norm(np.asarray([[1.0, -2.0], [3.0, 4.0]]), ord=1)
    array(6.)
    """
    need_matrix("matrix_norm", typeof(x))
    if ord in ("fro", None):
        return vector_norm(x, axis=(-2, -1), keepdims=keepdims)
    if ord in _SINGULAR:
        out = _SINGULAR[ord](svdvals(x), axis=-1, keepdims=keepdims)
        return ops.expand_dims(out, axis=-1) if keepdims else out
    if ord not in (1, -1, math.inf, -math.inf):
        msg = f'matrix_norm: ord must be "fro", "nuc", 1, -1, 2, -2, inf or -inf; got {ord!r}.'
        raise located(ValueError(msg))
    sums = sum(abs(x), axis=-2 if ord in (1, -1) else -1, keepdims=True)
    return (max if ord > 0 else min)(sums, axis=(-2, -1), keepdims=keepdims)
