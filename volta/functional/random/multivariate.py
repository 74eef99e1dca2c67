"""Vectors and matrices: normal vectors of a covariance, orthogonal matrices."""

import math
from typing import Any, Final

from volta.core.context import default_dtype_of
from volta.core.derivatives import Pair
from volta.core.errors import DTypeError, ShapeError
from volta.core.trace import located, ops
from volta.core.types import ArrayType, DType, as_dtype
from volta.functional.axes import normalize_shape
from volta.functional.declare import in_one_task, primitive
from volta.functional.linalg.common import hermitian, real_dtype
from volta.functional.random.arguments import (
    Shape,
    checked_floating,
    checked_key,
    checked_parameter,
    checked_shape,
    constant,
)
from volta.functional.random.gaussian import normal_numbers
from volta.functional.random.keys import split
from volta.functional.random.sampler import each_batched
from volta.functional.random.transformed import in_float32

__all__ = ["multivariate_normal", "orthogonal"]

_METHODS: Final = ("cholesky", "eigh", "svd")


def multivariate_normal(
    key: Any,
    mean: Any,
    cov: Any,
    shape: Shape | None = None,
    dtype: Any = None,
    method: str = "cholesky",
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw normal vectors of a mean and a covariance matrix.

    Parameters
    ----------
    key : array, shape (2,), uint32
    mean : array, shape (..., n), real
        Converted to `dtype`.
    cov : array, shape (..., n, n), real
        Symmetric and positive definite, or semidefinite unless by "cholesky"; converted to `dtype`.
    shape : int or tuple of int, optional
        Shape of the result less its last axis; by default that of `mean` and `cov` less their
        vectors and matrices, which must broadcast to it.
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    method : {"cholesky", "eigh", "svd"}
        How a square root of `cov` is found: its Cholesky factor, or the symmetric root by
        eigenvalues, of which negative ones count as 0, or by singular values.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape (*`shape`, n), `dtype`
        Differentiable in `mean` and `cov`. By "cholesky", equals ``jax.random.multivariate_normal``
        up to rounding.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` not real floating, `mean` or `cov` not
        real, or their shapes do not fit.
    ValueError
        If `method` is another one.
    LinAlgError
        NumPy's, by "cholesky", if NumPy or PyTorch finds that `cov` is not positive definite.

    Notes
    -----
    ``mean + R z`` for normal numbers z and a root R of the covariance, ``R Rᵀ = cov``. Derivatives
    are along symmetric matrices. That S of the symmetric root along a change C solves
    ``S R + R S = C``, with no quotient of differences of eigenvalues, which may be equal; it is 0
    among directions of no variance.

    Examples
    --------
    >>> cov = np.asarray([[2.0, 1.0], [1.0, 2.0]])
    >>> F.random.multivariate_normal(F.random.key(0), np.zeros(2), cov, 3).shape
    (3, 2)
    """
    if method not in _METHODS:
        msg = f"multivariate_normal: method must be one of {', '.join(_METHODS)}; got {method!r}."
        raise located(ValueError(msg))
    chosen = checked_floating(dtype, "multivariate_normal")
    key = checked_key(key, xp, device, "multivariate_normal")
    found_mean, mean = checked_parameter("multivariate_normal", "mean", mean, chosen)
    found_cov, cov = checked_parameter("multivariate_normal", "cov", cov, chosen)
    if not found_mean or found_cov[-2:] != 2 * found_mean[-1:]:
        msg = (
            "multivariate_normal: mean must have shape (..., n) and cov (..., n, n); got "
            f"{found_mean} and {found_cov}."
        )
        raise located(ShapeError(msg))
    size = checked_shape("multivariate_normal", shape, mean=found_mean[:-1], cov=found_cov[:-2])
    z = normal_numbers(key, shape=(*size, found_mean[-1]), dtype=chosen)

    def vectors(z: Any, mean: Any, cov: Any) -> Any:
        root = ops.cholesky(cov) if method == "cholesky" else _root(cov, method=method)
        if root.ndim == 2:  # one product of two matrices
            return ops.add(mean, ops.matmul(z, ops.matrix_transpose(root)))
        return ops.add(mean, ops.matmul(root, ops.expand_dims(z, axis=-1))[..., 0])

    return constant(in_float32(vectors, z, mean, cov))


def orthogonal(
    key: Any,
    n: int,
    shape: Shape = (),
    dtype: Any = None,
    m: int | None = None,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw orthogonal or unitary matrices, all with the same probability.

    Parameters
    ----------
    key : array, shape (2,), uint32
    n : int
        Number of rows.
    shape : int or tuple of int
        Shape of the result less its last two axes.
    dtype : dtype, optional
        A floating dtype, real or complex; by default the default dtype, float32.
    m : int, optional
        Number of columns, by default `n`. Of a matrix that is not square, the rows or the columns,
        whichever are shorter in number, are orthonormal.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape (*`shape`, n, m), `dtype`
        Equals ``jax.random.orthogonal`` up to rounding.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` not floating, or `n` or `m` not an int
        from 0 on.

    Notes
    -----
    Q of the decomposition Q R of normal numbers, its columns multiplied by the signs of the
    diagonal of R: with them the decomposition is unique, so that the distribution is Haar's, which
    no orthogonal matrix changes.

    References
    ----------
    F. Mezzadri, "How to generate random matrices from the classical compact groups", Notices of
    the AMS 54, 2007, https://arxiv.org/abs/math-ph/0609050.

    Examples
    --------
    >>> q = F.random.orthogonal(F.random.key(0), 3, dtype="float64")
    >>> bool(np.allclose(q @ q.T, np.eye(3)))
    True
    """
    chosen = default_dtype_of("float") if dtype is None else as_dtype(dtype)
    if chosen.kind not in ("float", "complex"):
        msg = f"orthogonal: dtype must be floating; got {chosen.name}."
        raise located(DTypeError(msg))
    key = checked_key(key, xp, device, "orthogonal")
    size = normalize_shape("orthogonal", shape)
    rows, columns = normalize_shape("orthogonal", (n, n if m is None else m))
    z = _normals(key, (*size, max(rows, columns), min(rows, columns)), chosen)
    if rows * columns:
        z = in_float32(_turned, z)
    return constant(ops.matrix_transpose(z) if rows < columns else z)


def _normals(key: Any, shape: tuple[int, ...], dtype: DType) -> Any:
    """Normal numbers of a real or complex dtype, of variance 1."""
    if dtype.kind != "complex":
        return normal_numbers(key, shape=shape, dtype=dtype)
    real, imag = (
        ops.astype(normal_numbers(k, shape=shape, dtype=real_dtype(dtype)), dtype)
        for k in ops.unstack(split(key))
    )
    return ops.multiply(ops.add(real, ops.multiply(imag, 1j)), math.sqrt(0.5))


def _turned(z: Any) -> Any:
    """Orthonormal columns, of a decomposition with a positive diagonal."""
    q, r = ops.qr(z)
    return ops.multiply(q, ops.expand_dims(ops.sign(ops.diagonal(r)), axis=-2))


# Primitives --------------------------------------------------------------------------------------


def _root_value(xp: Any, x: Any, *, method: str) -> Any:
    """Symmetric root of symmetric matrices."""
    if method == "eigh":
        w, v = xp.linalg.eigh(x)
    else:
        v, w, _ = xp.linalg.svd(x)
    columns = v * xp.sqrt(xp.where(w > 0.0, w, xp.zeros_like(w)))[..., None, :]
    return columns @ xp.matrix_transpose(v)


def _root_jvp(primals: Any, tangents: Any, *, method: str) -> Any:
    out = _root(primals[0], method=method)
    return out, _lyapunov(out, hermitian(tangents[0]))


def _root_bwd(out: Any, ct: Any, needed: Any, *, method: str) -> Any:
    return (_lyapunov(out, hermitian(ct)),)


_root: Any = primitive(
    "random_root",
    type_rule=lambda x, *, method: x,
    batch=lambda size, batched, x, *, method: _root(x, method=method),
    derivatives=Pair(_root_jvp, None, _root_bwd),
    value=_root_value,
    kernels={"dask.array": in_one_task("random_root")},
)


def _lyapunov_value(xp: Any, s: Any, b: Any) -> Any:
    """The x with ``s x + x s = b`` for a positive semidefinite s, 0 among its null vectors."""
    w, v = xp.linalg.eigh(s)
    sums = w[..., :, None] + w[..., None, :]
    # w are roots, so the errors of null ones are roots of rounding errors
    least = math.sqrt(10.0 * w.shape[-1] * float(xp.finfo(w.dtype).eps)) * w[..., -1:, None]
    inner = xp.matrix_transpose(v) @ b @ v
    some = sums > least
    inner = xp.where(some, inner / xp.where(some, sums, 1.0), xp.zeros_like(inner))
    return v @ inner @ xp.matrix_transpose(v)


def _lyapunov_jvp(primals: Any, tangents: Any) -> Any:
    (s, b), (ts, tb) = primals, tangents
    out = _lyapunov(s, b)
    change = tb
    if ts is not None:
        moved = ops.matmul(ts, out) + ops.matmul(out, ts)
        change = -moved if tb is None else tb - moved
    return out, _lyapunov(s, change)


def _lyapunov_fwd(s: Any, b: Any) -> Any:
    out = _lyapunov(s, b)
    return out, (s, out)


def _lyapunov_bwd(residuals: Any, ct: Any, needed: Any) -> Any:
    s, out = residuals
    right, left = _lyapunov(s, ct), None
    if needed[0] is not None:
        turned = ops.matrix_transpose(out)
        left = -(ops.matmul(right, turned) + ops.matmul(turned, right))
    return left, None if needed[1] is None else right


def _batch_lyapunov(*args: Any) -> Any:
    return _lyapunov(*each_batched(*args))


_lyapunov: Any = primitive(
    "random_lyapunov",
    type_rule=lambda s, b: ArrayType(b.shape, b.dtype),
    batch=_batch_lyapunov,
    derivatives=Pair(_lyapunov_jvp, _lyapunov_fwd, _lyapunov_bwd),
    value=_lyapunov_value,
    kernels={"dask.array": in_one_task("random_lyapunov")},
)
