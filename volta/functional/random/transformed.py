"""Continuous distributions without parameters, as functions of uniform numbers."""

import math
from collections.abc import Callable
from typing import Any, Final

from volta.core.trace import ops
from volta.core.types import DTYPES, DType, typeof
from volta.functional.axes import normalize_shape
from volta.functional.random.arguments import Shape, checked_floating, checked_key, constant
from volta.functional.random.interval import FORMATS, between, unit

__all__ = [
    "cauchy",
    "exponential",
    "gumbel",
    "in_float32",
    "laplace",
    "logistic",
    "maximal",
    "open_unit",
    "standard",
]


def exponential(
    key: Any, shape: Shape = (), dtype: Any = None, *, xp: Any = None, device: Any = None
) -> Any:
    """Draw from the exponential distribution, of density ``exp(−x)`` for x ≥ 0.

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
        Within 1 ulp of ``jax.random.exponential``, and 128 in float64, where XLA's log1p errs.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape or `dtype` not real floating.

    Notes
    -----
    ``−log(1 − u)`` for u uniform on [0, 1).

    Examples
    --------
    >>> F.random.exponential(F.random.key(0), 2)
    array([2.950128 , 3.8434246], dtype=float32)
    """
    place = _place("exponential", key, shape, dtype, xp, device)
    return constant(standard(*place))


def standard(key: Any, shape: tuple[int, ...], dtype: DType) -> Any:
    """Exponential numbers under a checked key."""
    u = unit(key, shape=shape, dtype=dtype)
    return in_float32(lambda u: ops.negative(ops.log1p(ops.negative(u))), u)


def gumbel(
    key: Any, shape: Shape = (), dtype: Any = None, *, xp: Any = None, device: Any = None
) -> Any:
    """Draw from the Gumbel distribution, of density ``exp(−(x + exp(−x)))``.

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
        Within 1e-6 of ``jax.random.gumbel`` in float32, 1e-15 in float64; JAX rounds the inner
        logarithm too in 16 bits.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape or `dtype` not real floating.

    Notes
    -----
    ``−log(−log(u))`` for u uniform on (0, 1).

    Examples
    --------
    >>> F.random.gumbel(F.random.key(0), 2).shape
    (2,)
    """
    return constant(maximal(*_place("gumbel", key, shape, dtype, xp, device)))


def maximal(key: Any, shape: tuple[int, ...], dtype: DType) -> Any:
    """Gumbel numbers under a checked key."""
    u = open_unit(key, shape, dtype)
    return in_float32(lambda u: ops.negative(ops.log(ops.negative(ops.log(u)))), u)


def laplace(
    key: Any, shape: Shape = (), dtype: Any = None, *, xp: Any = None, device: Any = None
) -> Any:
    """Draw from the Laplace distribution, of density ``exp(−|x|) / 2``.

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
        Within 1 ulp of ``jax.random.laplace``, and 128 in float64, where XLA's log1p errs.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape or `dtype` not real floating.

    Notes
    -----
    ``sign(u) · log(1 − |u|)`` for u uniform on (−1, 1).

    Examples
    --------
    >>> F.random.laplace(F.random.key(0), 2).shape
    (2,)
    """
    key, size, chosen = _place("laplace", key, shape, dtype, xp, device)
    low = -1.0 + 2.0 ** -(FORMATS[chosen][1] + 1)
    u = between(unit(key, shape=size, dtype=chosen), low, 1.0)
    return constant(in_float32(_signed, u))


def _signed(u: Any) -> Any:
    return ops.multiply(ops.sign(u), ops.log1p(ops.negative(ops.abs(u))))


def logistic(
    key: Any, shape: Shape = (), dtype: Any = None, *, xp: Any = None, device: Any = None
) -> Any:
    """Draw from the logistic distribution, whose distribution function is the sigmoid.

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
        Within 1e-6 of ``jax.random.logistic`` in float32, 2e-14 in float64; JAX rounds both
        logarithms too in 16 bits.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape or `dtype` not real floating.

    Notes
    -----
    ``log(u) − log(1 − u)`` for u uniform on (0, 1).

    Examples
    --------
    >>> F.random.logistic(F.random.key(0), 2).shape
    (2,)
    """
    u = open_unit(*_place("logistic", key, shape, dtype, xp, device))
    return constant(in_float32(lambda u: ops.subtract(ops.log(u), ops.log1p(ops.negative(u))), u))


def cauchy(
    key: Any, shape: Shape = (), dtype: Any = None, *, xp: Any = None, device: Any = None
) -> Any:
    """Draw from the Cauchy distribution, of density ``1 / (π (1 + x²))``.

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
        Within 4 ulp of ``jax.random.cauchy`` in float32 and float64.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape or `dtype` not real floating.

    Notes
    -----
    ``tan(π (u − ½))`` for u uniform on (0, 1).

    Examples
    --------
    >>> F.random.cauchy(F.random.key(0), 2).shape
    (2,)
    """
    key, size, chosen = _place("cauchy", key, shape, dtype, xp, device)
    u = between(unit(key, shape=size, dtype=chosen), 2.0 ** -FORMATS[chosen][1], 1.0)
    return constant(in_float32(lambda u: ops.tan(ops.multiply(ops.subtract(u, 0.5), math.pi)), u))


# The smallest normal number of a dtype.
_TINY: Final = {
    DTYPES["float16"]: 2.0**-14,
    DTYPES["bfloat16"]: 2.0**-126,
    DTYPES["float32"]: 2.0**-126,
    DTYPES["float64"]: 2.0**-1022,
}


def open_unit(key: Any, shape: tuple[int, ...], dtype: DType) -> Any:
    """Uniform numbers under a checked key, of which none is 0."""
    return between(unit(key, shape=shape, dtype=dtype), _TINY[dtype], 1.0)


def _place(
    operation: str, key: Any, shape: Any, dtype: Any, xp: Any, device: Any
) -> tuple[Any, tuple[int, ...], DType]:
    chosen = checked_floating(dtype, operation)
    return checked_key(key, xp, device, operation), normalize_shape(operation, shape), chosen


def in_float32(function: Callable[..., Any], x: Any, *parameters: Any) -> Any:
    """``function(x, *parameters)``, computed in float32 where `x` has 16 bits."""
    dtype = typeof(x).dtype
    if dtype.itemsize > 2:
        return function(x, *parameters)
    wide = [p if type(p) is float else ops.astype(p, DTYPES["float32"]) for p in (x, *parameters)]
    return ops.astype(function(*wide), dtype)
