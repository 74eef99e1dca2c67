"""What operations on matrices have in common: their types, 16-bit floats, and small pieces."""

import builtins
import functools
import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

import numpy as np

from volta.core.errors import DTypeError, ShapeError
from volta.core.trace import located, ops
from volta.core.tracer import library_under
from volta.core.types import DTYPES, ArrayType, DType, as_dtype, typeof
from volta.functional.declare import FLOATING
from volta.functional.elementwise import (
    abs,
    add,
    conj,
    divide,
    less_equal,
    multiply,
    not_equal,
    stop_gradient,
    subtract,
    where,
)
from volta.functional.manipulation import (
    broadcast_to,
    expand_dims,
    matrix_transpose,
    reshape,
    tril,
    triu,
)
from volta.functional.reduction import max

__all__ = [
    "adjoint",
    "aligned",
    "batch_matrices",
    "conjugate",
    "diagonal_matrix",
    "differences",
    "epsilon",
    "floating",
    "half_triangle",
    "hermitian",
    "is_complex",
    "nan_where_singular",
    "need_matrix",
    "need_square",
    "real_dtype",
    "reciprocal_unless_small",
    "tolerance",
    "zeros",
]

Function = TypeVar("Function", bound=Callable[..., Any])

# Words of NumPy's and of torch's messages, and what they mean
_CAUSES: Final = {
    r"Singular matrix|matrix is singular": "the matrix must be invertible; got a singular one.",
    r"not positive.definite": "the matrix must be positive definite; got one that is not.",
}
_ERRORS: Final = ("LinAlgError", "_LinAlgError")  # of NumPy and of torch, which stays unimported


def floating(function: Function) -> Function:
    """Check that arrays are of floating dtype, compute 16-bit ones in 32 bits, and name errors."""
    name = function.__name__

    @functools.wraps(function)
    def checked(*operands: Any, **options: Any) -> Any:
        dtypes = [as_dtype(x.dtype) for x in operands if hasattr(x, "dtype")]
        narrow = 0
        for dtype in dtypes:
            if dtype.kind not in FLOATING:
                msg = (
                    f"{name}: the dtype must be real or complex floating; got {dtype.name}. "
                    "Convert with astype."
                )
                raise located(DTypeError(msg))
            narrow += dtype.itemsize == 2
        if narrow:
            operands = tuple(_wide(x) for x in operands)
        try:
            out = function(*operands, **options)
        except (ValueError, RuntimeError) as error:
            cause = _cause(error)
            if cause is None:
                raise
            msg = f"{name}: {cause}"
            raise np.linalg.LinAlgError(msg) from error
        if not narrow or narrow < len(dtypes):
            return out
        if isinstance(out, tuple):
            return type(out)(*(_narrow(o, dtypes[0]) for o in out))
        return _narrow(out, dtypes[0])

    return checked  # type: ignore[return-value]  # of the same signature


def _cause(error: Exception) -> str | None:
    """What a library's error of linear algebra means, if it is one that is known."""
    if type(error).__name__ not in _ERRORS:
        return None
    return next((found for words, found in _CAUSES.items() if re.search(words, str(error))), None)


def _wide(x: Any) -> Any:
    narrow = hasattr(x, "dtype") and as_dtype(x.dtype).itemsize == 2
    return ops.astype(x, DTYPES["float32"]) if narrow else x


def _narrow(x: Any, dtype: DType) -> Any:
    return ops.astype(x, dtype) if as_dtype(x.dtype).kind == "float" else x


_SILENT: Final = ("cupy", "jax.numpy")  # divide by zero where a matrix is singular


# Types ------------------------------------------------------------------------------------------


def need_matrix(name: str, x: ArrayType) -> None:
    """Raise unless `x` has two axes or more."""
    if x.ndim < 2:
        msg = f"{name}: the array must have two axes or more; got shape {tuple(x.shape)}."
        raise located(ShapeError(msg))


def need_square(name: str, x: ArrayType) -> None:
    """Raise unless the last two axes of `x` are equally long."""
    need_matrix(name, x)
    if x.shape[-1] != x.shape[-2]:
        msg = f"{name}: the last two axes must have one length; got shape {tuple(x.shape)}."
        raise located(ShapeError(msg))


def batch_matrices(name: str, apply: Callable[..., Any]) -> Callable[..., Any]:
    """Batching rule of an operation on matrices, to which leading axes are all alike."""

    def batch(size: int, batched: tuple[bool, ...], x: Any, **params: Any) -> Any:
        if x.ndim < 3:  # with the batch axis a vector would pass for a matrix
            need_matrix(name, ArrayType(tuple(x.shape[1:]), typeof(x).dtype))
        return apply(x, **params)

    return batch


def real_dtype(dtype: DType) -> DType:
    """Dtype of the real part."""
    if dtype.kind != "complex":
        return dtype
    return DTYPES["float32" if dtype.itemsize == 8 else "float64"]


def is_complex(x: Any) -> bool:
    """Whether an array is of complex dtype."""
    return as_dtype(x.dtype).kind == "complex"


def epsilon(x: Any) -> float:
    """Distance from 1 to the next number, in the precision of `x`."""
    return float(np.finfo(real_dtype(typeof(x).dtype).name).eps)


def aligned(size: int, batched: tuple[bool, ...], *xs: Any) -> list[Any]:
    """Operands whose leading axes broadcast, the batch axis first."""
    rank = builtins.max(x.ndim - b for x, b in zip(xs, batched, strict=True))
    return [
        reshape(x, (size, *(1,) * (rank + 1 - x.ndim), *x.shape[1:])) if b else x
        for x, b in zip(xs, batched, strict=True)
    ]


# Pieces -----------------------------------------------------------------------------------------


def conjugate(x: Any) -> Any:
    """Conjugate; `x` itself if it is real."""
    return conj(x) if is_complex(x) else x


def adjoint(x: Any) -> Any:
    """Conjugate transpose of matrices."""
    return matrix_transpose(conjugate(x))


def zeros(x: Any) -> Any:
    """Zeros of the shape and dtype of `x`."""
    return ops.zeros_like_type(x, x)


def hermitian(x: Any) -> Any:
    """Hermitian part of matrices."""
    return (x + adjoint(x)) / 2


def half_triangle(x: Any) -> Any:
    """Lower triangle, and half of the diagonal."""
    return (tril(x) + tril(x, k=-1)) / 2


def diagonal_matrix(x: Any) -> Any:
    """Matrices with vectors as their diagonals."""
    n = x.shape[-1]
    return tril(triu(broadcast_to(expand_dims(x, axis=-2), (*x.shape[:-1], n, n))))


def tolerance(x: Any, n: int) -> Any:
    """Numbers up to this are zero beside the vectors `x`, after a computation of size `n`.

    Ten times the usual bound of the error, which equal singular values were seen to exceed.
    """
    size = abs(x)
    if not x.shape[-1]:
        return size
    return max(size, axis=-1, keepdims=True) * (10 * n * epsilon(x))


def reciprocal_unless_small(x: Any, limit: Any) -> Any:
    """``1 / x``, but 0 where ``|x| ≤ limit``."""
    small = less_equal(abs(x), limit)
    return where(small, 0, divide(1, where(small, 1, x)))


def nan_where_singular(function: Callable[..., Any], a: Any, *right: Any) -> Any:
    """``function(a, *right)``, solutions of equations, NaN throughout where `a` is singular.

    The factors carry NaN into the derivatives of every order, which a `where` would cut.
    """
    try:
        out = function(a, *right)
    except np.linalg.LinAlgError:
        still = stop_gradient(a)
        regular = not_equal(ops.slogdet(still)[0], 0)
        try:
            return _solved(function, regular, a, right)
        except np.linalg.LinAlgError:  # the solver's factors underflow, not the determinant's
            return _solved(function, _one_by_one(function, still, 1 + len(right)), a, right)
    if library_under(a).name not in _SILENT:
        return out
    finite = ops.all(ops.isfinite(stop_gradient(out)), axis=(-2, -1))
    return multiply(out, _nan_unless(finite, out))


def _solved(function: Callable[..., Any], regular: Any, a: Any, right: tuple[Any, ...]) -> Any:
    """Solutions where `a` is regular, and NaN where not."""
    keep = _per_matrix(regular, a)
    n = a.shape[-1]
    one = diagonal_matrix(add(ops.zeros_like_type(a, ArrayType((n,), typeof(a).dtype)), 1))
    out = function(add(multiply(a, keep), multiply(one, subtract(1, keep))), *right)
    return multiply(out, _nan_unless(regular, out))


def _one_by_one(function: Callable[..., Any], a: Any, operands: int) -> Any:
    """Which of a batch of matrices have solutions."""
    found = []
    for matrix in ops.reshape(a, (-1, *a.shape[-2:])):
        try:
            function(*[matrix] * operands)
        except np.linalg.LinAlgError:
            found.append(False)
        else:
            found.append(True)
    return np.reshape(found, tuple(a.shape[:-2]))


def _per_matrix(x: Any, like: Any) -> Any:
    return ops.astype(expand_dims(expand_dims(x, axis=-1), axis=-1), typeof(like).dtype)


def _nan_unless(good: Any, like: Any) -> Any:
    one = _per_matrix(good, like)
    return where(not_equal(one, 0), one, float("nan"))


def differences(x: Any) -> Any:
    """Matrices of ``x[j] − x[i]``."""
    return subtract(expand_dims(x, axis=-2), expand_dims(x, axis=-1))
