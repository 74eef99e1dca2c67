"""Products of matrices and tensors."""

import math
import operator
from typing import Any, Final

import numpy as np

from volta.core.derivatives import Linear, unbroadcast
from volta.core.errors import ShapeError
from volta.core.primitive import Unspecified
from volta.core.trace import located
from volta.core.types import Array, ArrayType, as_dtype, broadcast_shapes, promote
from volta.functional.axes import normalize_axis
from volta.functional.declare import composite, paired, primitive, shortcut
from volta.functional.elementwise import add, conj, multiply
from volta.functional.manipulation import (
    expand_dims,
    matrix_transpose,
    moveaxis,
    permute_dims,
    reshape,
    squeeze,
)
from volta.functional.reduction import sum

__all__ = ["bilinear", "matmul", "mulacc", "tensordot", "vecdot"]


def _other_way(a: tuple[int, ...], b: tuple[int, ...]) -> str:
    """What to do about two matrices that cannot be multiplied."""
    if len(b) > 1 and a[-1] == b[-1]:
        return "Transpose x2: x1 @ x2.mT."
    if len(a) > 1 and a[-2] == (b[-2] if len(b) > 1 else b[0]):
        return "Transpose x1: x1.mT @ x2."
    return "Check which of them has the wrong shape, or name the axes with functional.einsum."


def _matmul_type(x1: ArrayType, x2: ArrayType) -> ArrayType:
    a, b = x1.shape, x2.shape
    if not a or not b:
        msg = f"matmul: both arrays must have an axis; got shapes {a} and {b}."
        raise ShapeError(msg)
    k = b[-2] if len(b) > 1 else b[0]
    if a[-1] != k:
        which = "second-last" if len(b) > 1 else "only"
        msg = (
            f"matmul: the last axis of x1 must equal the {which} one of x2; got shapes {a} "
            f"and {b}. {_other_way(a, b)}"
        )
        raise ShapeError(msg)
    lead = broadcast_shapes("matmul", a[:-2], b[:-2])
    dtype = promote((x1.dtype, x2.dtype))
    if dtype is None or dtype.kind == "bool":
        msg = (
            f"matmul: the dtypes must promote to a numeric one; got {x1.dtype.name} and "
            f"{x2.dtype.name}."
        )
        raise Unspecified(msg)
    return ArrayType((*lead, *a[-2:-1], *(b[-1:] if len(b) > 1 else ())), dtype)


def _numpy_matmul(x1: Any, x2: Any) -> Any:
    if x1.itemsize == 2 and as_dtype(x1.dtype).kind == "float" and x1.dtype == x2.dtype:
        # NumPy multiplies 16-bit floats without BLAS and adds them up in 16 bits
        return _numpy_matmul(x1.astype(np.float32), x2.astype(np.float32)).astype(x1.dtype)
    if x2.ndim == 2 and x1.ndim > 2:  # one product for BLAS; NumPy makes one of each matrix
        flat = x1.reshape(math.prod(x1.shape[:-1]), x1.shape[-1])
        return np.matmul(flat, x2).reshape(*x1.shape[:-1], x2.shape[-1])
    return np.matmul(x1, x2)


def _matmul_left(ct: Any, x1_shape: tuple[int, ...], x2: Any) -> Any:
    n1, n2 = len(x1_shape), x2.ndim
    if n1 == n2 == 2:
        return matmul(ct, x2.T)
    if n2 == 1:
        if n1 == 1:
            return multiply(ct, x2)
        return unbroadcast(multiply(expand_dims(ct, axis=-1), x2), x1_shape)
    if n1 == 1 and n2 == 2:
        return matmul(x2, ct)
    if n1 == 1:
        return unbroadcast(squeeze(matmul(x2, expand_dims(ct, axis=-1)), -1), x1_shape)
    return unbroadcast(matmul(ct, matrix_transpose(x2)), x1_shape)


def _matmul_right(ct: Any, x1: Any, x2_shape: tuple[int, ...]) -> Any:
    n1, n2 = x1.ndim, len(x2_shape)
    if n1 == n2 == 2:
        return matmul(x1.T, ct)
    if n1 == 1:
        if n2 == 1:
            return multiply(ct, x1)
        return unbroadcast(multiply(expand_dims(x1, axis=-1), expand_dims(ct, axis=-2)), x2_shape)
    if n2 == 1 and n1 == 2:
        return matmul(x1.T, ct)
    if n2 == 1:
        column = matmul(matrix_transpose(x1), expand_dims(ct, axis=-1))
        return unbroadcast(squeeze(column, -1), x2_shape)
    if n2 == 2 and n1 > 2:  # one product in place of a batch of them and a sum
        rows = math.prod(x1.shape[:-1])
        flat = reshape(x1, (rows, x1.shape[-1]))
        return matmul(matrix_transpose(flat), reshape(ct, (rows, ct.shape[-1])))
    return unbroadcast(matmul(matrix_transpose(x1), ct), x2_shape)


_NO_AXIS: Final = "matmul: both arrays must have an axis; got a lane of rank 0."


def _matmul_batch(size: int, batched: tuple[bool, ...], x1: Any, x2: Any) -> Any:
    rank1, rank2 = x1.ndim - batched[0], x2.ndim - batched[1]
    if not rank1 or not rank2:
        raise ShapeError(_NO_AXIS)  # of a lane, which the type rule words with its shapes
    if rank1 <= 2 and rank2 <= 2 and not all(batched):
        # one product where lanes can be rows of it, instead of one a lane
        if batched[0]:
            if rank1 == 1:
                return matmul(x1, x2)
            _, m, k = x1.shape
            out = matmul(reshape(x1, (size * m, k)), x2)
            return reshape(out, (size, m, *out.shape[1:]))
        if rank2 == 1:
            return matmul(x2, x1.T if rank1 == 2 else x1)
    lead = max(rank1, rank2, 2) - 2
    if batched[0]:
        core = x1.shape[1:] if rank1 > 1 else (1, *x1.shape[1:])
        x1 = reshape(x1, (size, *(1,) * (lead + 2 - len(core)), *core))
    elif rank1 == 1:
        x1 = expand_dims(x1, axis=0)
    if batched[1]:
        core = x2.shape[1:] if rank2 > 1 else (*x2.shape[1:], 1)
        x2 = reshape(x2, (size, *(1,) * (lead + 2 - len(core)), *core))
    elif rank2 == 1:
        x2 = expand_dims(x2, axis=-1)
    out = matmul(x1, x2)
    drop = ((-2,) if rank1 == 1 else ()) + ((-1,) if rank2 == 1 else ())
    return squeeze(out, drop) if drop else out


_matmul: Any = primitive(
    "matmul",
    type_rule=_matmul_type,
    batch=_matmul_batch,
    derivatives=(Linear(_matmul_left), Linear(_matmul_right)),
    kernels={"numpy": _numpy_matmul},
    promotes=True,
    wrapped=False,
)


@paired(_matmul)
def matmul(x1: Array, x2: Array, /) -> Any:
    """Matrix product.

    Parameters
    ----------
    x1 : array, shape (..., m, k) or (k,)
    x2 : array, shape (..., k, n) or (k,)
        Of numeric dtype; leading axes broadcast.

    Returns
    -------
    array, shape (..., m, n), without m or n where an operand has one axis
        Of the promoted dtype; 16-bit floats accumulate in 32 bits.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or an operand has no axis.

    Examples
    --------
    >>> F.matmul(np.asarray([[1, 2], [3, 4]]), np.asarray([1, 1]))
    array([3, 7])
    """


@composite
@shortcut(np.tensordot)
def tensordot(x1: Array, x2: Array, /, *, axes: Any = 2) -> Any:
    """Contract axes of one array with axes of another.

    Parameters
    ----------
    x1, x2 : array
        Of numeric dtype.
    axes : int or pair of sequences of int
        Number of last axes of `x1` to contract with the first of `x2`; or the axes of each.

    Returns
    -------
    array
        Axes of `x1` not contracted, then those of `x2`.

    Raises
    ------
    ShapeError
        If contracted axes differ in length or number.
    DimensionError
        If there is no such axis.

    Examples
    --------
    >>> F.tensordot(np.ones((2, 3)), np.ones((3, 4)), axes=1).shape
    (2, 4)
    """
    if isinstance(axes, tuple | list):
        first, second = ([a] if isinstance(a, int) else list(a) for a in axes)
    else:
        n = operator.index(axes)
        first, second = list(range(x1.ndim - n, x1.ndim)), list(range(n))
    first = [normalize_axis("tensordot", a, x1.ndim) for a in first]
    second = [normalize_axis("tensordot", a, x2.ndim) for a in second]
    lengths1, lengths2 = [x1.shape[a] for a in first], [x2.shape[a] for a in second]
    if lengths1 != lengths2:
        msg = (
            f"tensordot: contracted axes must have equal lengths; got {lengths1} of shape "
            f"{tuple(x1.shape)} and {lengths2} of shape {tuple(x2.shape)}."
        )
        raise located(ShapeError(msg))
    rest1 = [a for a in range(x1.ndim) if a not in first]
    rest2 = [a for a in range(x2.ndim) if a not in second]
    size = math.prod(lengths1)
    left = reshape(
        permute_dims(x1, (*rest1, *first)), (math.prod(x1.shape[a] for a in rest1), size)
    )
    right = reshape(
        permute_dims(x2, (*second, *rest2)), (size, math.prod(x2.shape[a] for a in rest2))
    )
    shape = (*(x1.shape[a] for a in rest1), *(x2.shape[a] for a in rest2))
    return reshape(matmul(left, right), shape)


@composite
@shortcut(np.vecdot)
def vecdot(x1: Array, x2: Array, /, *, axis: int = -1) -> Any:
    """Dot product of vectors along an axis, ``Σ conj(x1) · x2``.

    Parameters
    ----------
    x1, x2 : array
        Of numeric dtype and equal length along `axis`; the other axes broadcast.
    axis : int

    Returns
    -------
    array

    Raises
    ------
    ShapeError
        If the lengths differ.
    DimensionError
        If there is no such axis.

    Examples
    --------
    >>> F.vecdot(np.asarray([1.0, 2.0]), np.asarray([3.0, 4.0]))
    array(11.)
    """
    a1, a2 = normalize_axis("vecdot", axis, x1.ndim), normalize_axis("vecdot", axis, x2.ndim)
    if x1.shape[a1] != x2.shape[a2]:
        msg = (
            f"vecdot: both arrays must have one length along axis {axis}; got shapes "
            f"{tuple(x1.shape)} and {tuple(x2.shape)}."
        )
        raise located(ShapeError(msg))
    left, right = moveaxis(x1, a1, -1), moveaxis(x2, a2, -1)
    if as_dtype(left.dtype).kind == "complex":
        left = conj(left)
    products = multiply(left, right)
    return sum(products, axis=-1, dtype=products.dtype)


@composite
def mulacc(x: Array, y: Any, z: Any, /) -> Any:
    """Multiply and accumulate, ``x · y + z``, elementwise.

    Parameters
    ----------
    x, y, z : array
        Of numeric dtype, broadcastable together; `y` and `z` may be Python numbers.

    Returns
    -------
    array
        Of the promoted dtype; product and sum are each rounded.

    Raises
    ------
    BroadcastError
        If the shapes do not broadcast together.

    Examples
    --------
    >>> F.mulacc(np.asarray([1.0, 2.0]), np.asarray([3.0, 4.0]), 0.5)
    array([3.5, 8.5])
    """
    return add(multiply(x, y), z)


@composite
def bilinear(x1: Array, x2: Array, weight: Array, bias: Array | None = None) -> Any:
    """Bilinear forms of vectors, ``y_k = Σ_ij x1_i · weight_kij · x2_j + bias_k``.

    Parameters
    ----------
    x1 : array, shape (..., m)
    x2 : array, shape (..., n)
        As `x1` but for the last axis.
    weight : array, shape (k, m, n)
    bias : array, shape (k,), optional

    Returns
    -------
    array, shape (..., k)

    Raises
    ------
    ShapeError
        If the shapes do not fit.

    Examples
    --------
    >>> F.bilinear(np.asarray([1.0, 2.0]), np.asarray([3.0]), np.asarray([[[1.0], [10.0]]]))
    array([63.])
    """
    shapes = [tuple(a.shape) for a in (x1, x2, weight)]
    fits = len(shapes[2]) == 3 and shapes[0] and shapes[1] and shapes[0][:-1] == shapes[1][:-1]
    if not fits or (shapes[0][-1], shapes[1][-1]) != shapes[2][1:]:
        msg = (
            "bilinear: x1, x2 and weight must have shapes (..., m), (..., n) and (k, m, n); got "
            f"{shapes[0]}, {shapes[1]} and {shapes[2]}."
        )
        raise located(ShapeError(msg))
    k, m, n = shapes[2]
    if bias is not None and tuple(bias.shape) != (k,):
        msg = f"bilinear: bias must have shape {(k,)}; got {tuple(bias.shape)}."
        raise located(ShapeError(msg))
    flat = reshape(permute_dims(weight, (1, 0, 2)), (m, k * n))
    forms = reshape(matmul(x1, flat), (*shapes[0][:-1], k, n))
    y = squeeze(matmul(forms, expand_dims(x2, axis=-1)), axis=-1)
    return y if bias is None else add(y, bias)
