"""Functions of matrices, and products of several."""

from collections.abc import Sequence
from typing import Any, Final

from volta.core.errors import ShapeError
from volta.core.trace import located
from volta.core.types import Array, typeof
from volta.functional.declare import composite
from volta.functional.elementwise import (
    abs,
    ceil,
    greater,
    less_equal,
    log2,
    multiply,
    pow,
    stop_gradient,
    where,
)
from volta.functional.linalg.common import floating, need_matrix, need_square
from volta.functional.linalg.solvers import eye_like, solve
from volta.functional.manipulation import expand_dims, reshape
from volta.functional.products import matmul
from volta.functional.reduction import max, sum

__all__ = ["expm", "kron", "multi_dot"]

# Coefficients of the numerator of degree 13, and the 1-norm up to which it is exact in float64
_PADE: Final = (
    64764752532480000.0,
    32382376266240000.0,
    7771770303897600.0,
    1187353796428800.0,
    129060195264000.0,
    10559470521600.0,
    670442572800.0,
    33522128640.0,
    1323241920.0,
    40840800.0,
    960960.0,
    16380.0,
    182.0,
    1.0,
)
_REACH: Final = 5.371920351148152
_MOST: Final = 20  # squarings


@composite
@floating
def expm(x: Array, /) -> Any:
    """Exponential of square matrices, ``Σ_k xᵏ / k!``.

    Parameters
    ----------
    x : array, shape (..., n, n)
        Of floating dtype, and of 1-norm below 5 · 10⁶; otherwise the result is NaN.

    Returns
    -------
    array, shape (..., n, n)

    Raises
    ------
    ShapeError
        If the matrices are not square.

    Notes
    -----
    By a rational function of ``x / 2ˢ`` that is squared s times. N. J. Higham, "The scaling and
    squaring method for the matrix exponential revisited", 2005.

    Examples
    --------
    >>> F.linalg.expm(np.asarray([[0.0, 1.0], [0.0, 0.0]]))
    array([[1., 1.],
           [0., 1.]])
    """
    need_square("expm", typeof(x))
    if not x.shape[-1]:
        return x
    size = stop_gradient(max(sum(abs(x), axis=-2, keepdims=True), axis=(-2, -1), keepdims=True))
    small = less_equal(size, _REACH)
    times = ceil(log2(where(small, 1, size / _REACH)))
    out = _rational(multiply(x, pow(2.0, -times)))
    for k in range(_MOST):
        more = greater(times, k)
        half = where(more, out, 0)  # so that what is finished does not overflow
        out = where(more, matmul(half, half), out)
    return where(less_equal(times, _MOST), out, float("nan"))


def _rational(x: Any) -> Any:
    one = eye_like(x)
    x2 = matmul(x, x)
    x4 = matmul(x2, x2)
    x6 = matmul(x2, x4)
    b = _PADE

    def part(i: int) -> Any:
        """Terms of the degrees i, i + 2, … i + 12, divided by ``xⁱ``."""
        high = x4 * b[i + 10] + x2 * b[i + 8]
        low = x6 * b[i + 6] + x4 * b[i + 4] + x2 * b[i + 2]
        return matmul(x6, high + x6 * b[i + 12]) + low + multiply(one, b[i])

    odd, even = matmul(x, part(1)), part(0)
    return solve(even - odd, even + odd)


@composite
def multi_dot(arrays: Sequence[Array], /) -> Any:
    """Product of several matrices, in the order of multiplication that costs least.

    Parameters
    ----------
    arrays : sequence of array, shape (..., m, n)
        Two or more; the first and the last may be vectors.

    Returns
    -------
    array

    Raises
    ------
    ShapeError
        If there are fewer than two arrays, or their shapes do not fit.

    Examples
    --------
    >>> F.linalg.multi_dot([np.ones((2, 9)), np.ones((9, 9)), np.ones(9)])
    array([81., 81.])
    """
    xs = tuple(arrays)
    if len(xs) < 2:
        msg = f"multi_dot: there must be two arrays or more; got {len(xs)}."
        raise located(ShapeError(msg))
    for x in xs[1:-1]:
        need_matrix("multi_dot", typeof(x))
    sizes = [1 if xs[0].ndim == 1 else xs[0].shape[-2]]
    sizes += [x.shape[-1] for x in xs[:-1]]
    sizes.append(1 if xs[-1].ndim == 1 else xs[-1].shape[-1])
    return _best_product(xs, _best_splits(sizes), 0, len(xs) - 1)


def _best_splits(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """Where to split each run of matrices; the i-th has shape ``sizes[i : i + 2]``."""
    n = len(sizes) - 1
    costs = {(i, i): 0 for i in range(n)}
    splits = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            found = [
                (costs[i, k] + costs[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            ]
            costs[i, j], splits[i, j] = sorted(found)[0]
    return splits


def _best_product(xs: Any, splits: dict[tuple[int, int], int], i: int, j: int) -> Any:
    if i == j:
        return xs[i]
    k = splits[i, j]
    return matmul(_best_product(xs, splits, i, k), _best_product(xs, splits, k + 1, j))


@composite
def kron(x1: Array, x2: Array, /) -> Any:
    """Kronecker product of matrices: blocks of `x2`, multiplied by each element of `x1`.

    Parameters
    ----------
    x1 : array, shape (..., m, n)
    x2 : array, shape (..., p, q)
        Of numeric dtype; leading axes broadcast.

    Returns
    -------
    array, shape (..., m p, n q)
        Of the promoted dtype.

    Raises
    ------
    ShapeError
        If an operand has fewer than two axes.
    BroadcastError
        If the leading axes do not broadcast together.

    Examples
    --------
    >>> F.linalg.kron(np.asarray([[1, 2]]), np.asarray([[1], [3]]))
    array([[1, 2],
           [3, 6]])
    """
    need_matrix("kron", typeof(x1))
    need_matrix("kron", typeof(x2))
    each = expand_dims(expand_dims(x1, axis=-2), axis=-1)
    blocks = expand_dims(expand_dims(x2, axis=-3), axis=-2)
    out = multiply(each, blocks)
    *lead, m, p, n, q = out.shape
    return reshape(out, (*lead, m * p, n * q))
