"""Uniform numbers on an interval; booleans and signs by comparing them with a probability."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from volta.core.context import default_dtype_of
from volta.core.derivatives import Partial
from volta.core.dispatch import has_float64, library_for
from volta.core.errors import DTypeError
from volta.core.trace import located, ops
from volta.core.types import (
    DTYPES,
    SCALARS,
    ArrayType,
    DType,
    as_dtype,
    broadcast_shapes,
    typeof,
)
from volta.functional.axes import normalize_shape
from volta.functional.declare import batch_elementwise, primitive
from volta.functional.random.arguments import (
    Shape,
    check_broadcast,
    checked_floating,
    checked_key,
    constant,
)
from volta.functional.random.integer import default_integer, integers
from volta.functional.random.sampler import drawn_type, from_key, hosted
from volta.functional.random.threefry import BLOCK, draw, dtype_of, is_torch

__all__ = [
    "FORMATS",
    "bernoulli",
    "between",
    "rademacher",
    "random_unit",
    "scale_unit",
    "signs",
    "uniform",
    "unit",
    "unit_reals",
]


def uniform(
    key: Any,
    shape: Shape = (),
    dtype: Any = None,
    minval: Any = 0.0,
    maxval: Any = 1.0,
    *,
    xp: Any = None,
    device: Any = None,
) -> Any:
    """Draw from the uniform distribution on [minval, maxval).

    Parameters
    ----------
    key : array, shape (2,), uint32
    shape : int or tuple of int
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    minval, maxval : float or array, broadcastable to `shape`, real
        Bounds, converted to `dtype`; the result is differentiable in them.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, `dtype` not real floating, or a bound does not
        broadcast to `shape`.

    Notes
    -----
    ``max(minval, u·(maxval − minval) + minval)`` for u a multiple of ε in [0, 1), ε the spacing of
    `dtype` at 1. In float32 and float64 the sum is rounded once, as XLA computes it on CPUs; in
    float32 on a device without float64 it is rounded twice, which may change the last bit of the
    range. Rounding may give `maxval` itself where |minval| is much larger than the range.

    Examples
    --------
    >>> F.random.uniform(F.random.key(0), 2, minval=-1.0)
    array([0.895334  , 0.95715976], dtype=float32)
    """
    chosen = checked_floating(dtype, "uniform")
    key = checked_key(key, xp, device, "uniform")
    size = normalize_shape("uniform", shape)
    u = unit(key, shape=size, dtype=chosen)
    if type(minval) in SCALARS and type(maxval) in SCALARS and minval == 0 and maxval == 1:
        return constant(u)
    low = _bound(minval, "minval", size, chosen)
    return constant(between(u, low, _bound(maxval, "maxval", size, chosen)))


def bernoulli(
    key: Any, p: Any = 0.5, shape: Shape | None = None, *, xp: Any = None, device: Any = None
) -> Any:
    """Draw booleans that are true with probability `p`.

    Parameters
    ----------
    key : array, shape (2,), uint32
    p : float in [0, 1] or array, real floating
        Probability; the values of an array are not checked.
    shape : int or tuple of int, optional
        By default the shape of `p`, which must broadcast to it.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, bool

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape, or `p` not real floating or broadcastable.
    ValueError
        If a Python number `p` is outside of [0, 1].

    Notes
    -----
    ``uniform(key, shape, dtype of p) < p``, so probabilities are rounded up to multiples of ε, the
    spacing of that dtype at 1: 1.2e-7 in float32, which a Python number counts as by default.

    Examples
    --------
    >>> F.random.bernoulli(F.random.key(2), 0.3, 4)
    array([False, False,  True, False])
    """
    if type(p) in SCALARS or isinstance(p, np.generic):
        if isinstance(p, complex) or not 0 <= p <= 1:
            msg = f"bernoulli: p must lie in [0, 1]; got {p}."
            raise located(ValueError(msg))
        p = float(p)
        found, dtype = ArrayType((), default_dtype_of("float"))
    elif hasattr(p, "dtype"):
        found, dtype = typeof(p)
    else:
        msg = f"bernoulli: p must be a number or an array; got {type(p).__name__}."
        raise located(DTypeError(msg))
    if dtype.kind != "float":
        msg = f"bernoulli: p must be real floating; got {dtype.name}."
        raise located(DTypeError(msg))
    size = found if shape is None else normalize_shape("bernoulli", shape)
    check_broadcast("bernoulli", "p", found, size)
    key = checked_key(key, xp, device, "bernoulli")
    return constant(ops.less(unit(key, shape=size, dtype=dtype), p))


def rademacher(
    key: Any, shape: Shape = (), dtype: Any = None, *, xp: Any = None, device: Any = None
) -> Any:
    """Draw signs: −1 and 1 with equal probability.

    Parameters
    ----------
    key : array, shape (2,), uint32
    shape : int or tuple of int
    dtype : dtype, optional
        A signed numeric dtype; by default the library's default integer one, int64 on most.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`
        Equals ``jax.random.rademacher`` without ``jax_enable_x64``.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape or `dtype` not signed.

    Examples
    --------
    >>> F.random.rademacher(F.random.key(0), 4)
    array([-1, -1,  1,  1])
    """
    key = checked_key(key, xp, device, "rademacher")
    chosen = default_integer(key) if dtype is None else as_dtype(dtype)
    if chosen.kind in ("bool", "uint"):
        msg = f"rademacher: dtype must be signed; got {chosen.name}."
        raise located(DTypeError(msg))
    return constant(signs(key, normalize_shape("rademacher", shape), chosen))


def signs(key: Any, shape: tuple[int, ...], dtype: DType) -> Any:
    """Numbers −1 and 1 under a checked key."""
    low = ops.less(unit(key, shape=shape, dtype=DTYPES["float32"]), 0.5)
    return ops.subtract(ops.multiply(ops.astype(low, dtype), 2), 1)


def _bound(bound: Any, name: str, shape: tuple[int, ...], wanted: DType) -> Any:
    """`bound` as a float or an array of the dtype `wanted`, checked to broadcast to `shape`."""
    if isinstance(bound, int | float | np.integer | np.floating):
        return float(bound)
    if not hasattr(bound, "dtype") or typeof(bound).dtype.kind == "complex":
        msg = f"uniform: {name} must be a real number or array; got {bound!r}."
        raise located(DTypeError(msg))
    found, dtype = typeof(bound)
    check_broadcast("uniform", name, found, shape)
    return bound if dtype is wanted else ops.astype(bound, wanted)


# Kernels -----------------------------------------------------------------------------------------

# Random bits drawn for a dtype, and how many of them, the digits of its fraction, are used.
FORMATS: Final = {
    DTYPES["float16"]: (16, 10),
    DTYPES["bfloat16"]: (8, 7),
    DTYPES["float32"]: (32, 23),
    DTYPES["float64"]: (64, 52),
}


def random_unit(xp: Any, key: Any, *, shape: tuple[int, ...], dtype: DType) -> Any:
    """Draw multiples of 2**-digits in [0, 1) under keys of shape (..., 2)."""
    return draw(xp, key, shape, lambda y0, y1: unit_reals(xp, y0, y1, dtype))


def unit_reals(xp: Any, y0: Any, y1: Any, dtype: DType) -> Any:
    """Make multiples of 2**-digits in [0, 1) from the two words of a hash."""
    width, digits = FORMATS[dtype]
    x = integers(xp, y0, y1, DTYPES[f"uint{width}"])
    if is_torch(xp) and width > 8:
        x = x.view(getattr(xp, f"int{width}"))
    x >>= width - digits
    if is_torch(xp):
        x &= (1 << digits) - 1
    u = xp.astype(x, dtype_of(xp, dtype))
    u *= 2.0**-digits
    return u


def _blockwise(xp: Any, function: Callable[[Any], Any], x: Any) -> Any:
    """Elementwise function of an array, on NumPy by blocks whose temporaries stay in the cache."""
    if xp is not np:
        return function(x)
    flat = x.reshape(-1)
    if flat.size <= BLOCK:
        return function(flat).reshape(x.shape)
    out = np.empty_like(flat)
    for i in range(0, flat.size, BLOCK):
        out[i : i + BLOCK] = function(flat[i : i + BLOCK])
    return out.reshape(x.shape)


def scale_unit(xp: Any, u: Any, minval: Any, maxval: Any) -> Any:
    """``max(minval, u * (maxval - minval) + minval)``; bounds of the dtype of `u`, or numbers."""
    dtype = typeof(u).dtype
    numbers = type(minval) in SCALARS and type(maxval) in SCALARS
    if numbers:
        minval, maxval = (float(np.asarray(b, dtype.dtype)) for b in (minval, maxval))
        span = float(np.asarray(maxval - minval, dtype.dtype))
        if span < 0.0:
            return xp.full_like(u, minval)
    else:
        device = library_for(xp).device(u)
        minval, maxval = (xp.asarray(b, dtype=u.dtype, device=device) for b in (minval, maxval))
        span = maxval - minval
    wide = dtype.itemsize == 4 and has_float64(xp, library_for(xp).device(u))

    def scaled(u: Any) -> Any:
        if dtype.itemsize == 8:
            return _fused_multiply_add(u, span, minval, xp.floor)
        if wide:
            out = xp.astype(u, xp.float64) * _in_float64(xp, span)
            out += _in_float64(xp, minval)
            return xp.astype(out, u.dtype)
        # ml_dtypes makes float32 of bfloat16 and a Python number.
        out = xp.astype(u * span, u.dtype, copy=False)
        return xp.astype(out + minval, u.dtype, copy=False)

    out = _blockwise(xp, scaled, u) if numbers else xp.maximum(scaled(u), minval)
    return np.asarray(out) if xp is np else out  # rank 0 has become a scalar


def _in_float64(xp: Any, x: Any) -> Any:
    return x if type(x) is float else xp.astype(x, xp.float64)


def _fused_multiply_add(u: Any, span: Any, low: Any, floor: Callable[[Any], Any]) -> Any:
    """``u * span + low`` in float64, rounded once, for u a multiple of 2**-52 in [0, 1).

    References
    ----------
    T. J. Dekker, "A floating-point technique for extending the available precision", Numerische
    Mathematik 18, 1971 (splitting a number, exact product); D. E. Knuth, The Art of Computer
    Programming 2, section 4.2.2, theorem B (exact sum).
    """
    u1 = floor(u * 2.0**26) * 2.0**-26
    u2 = u - u1
    t = span * 2.0**-60  # so that splitting does not overflow
    c = t * (2.0**27 + 1.0)
    span1 = (c - (c - t)) * 2.0**60
    span2 = span - span1
    product = u * span
    error = u1 * span1 - product + u1 * span2 + u2 * span1 + u2 * span2
    total = product + low
    part = total - product
    error += product - (total - part) + (low - part)
    return total + error


# Primitives --------------------------------------------------------------------------------------

unit: Final = from_key("random_unit", hosted(random_unit), drawn_type)


def _batch_between(*args: Any) -> Any:
    return batch_elementwise(between, *args)


between: Any = primitive(
    "random_between",
    type_rule=lambda u, minval, maxval: ArrayType(
        broadcast_shapes("uniform", u.shape, minval.shape, maxval.shape), u.dtype
    ),
    batch=_batch_between,
    derivatives=(
        Partial(lambda _out, _u, minval, maxval: ops.maximum(maxval - minval, 0.0)),
        Partial(lambda _out, u, minval, maxval: ops.where(maxval < minval, 1.0, 1.0 - u)),
        Partial(lambda _out, u, minval, maxval: ops.where(maxval < minval, 0.0, u)),
    ),
    value=scale_unit,
    elementwise=True,
)
