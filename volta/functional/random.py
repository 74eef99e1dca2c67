"""Random numbers from explicit keys.

A key is a uint32 array of shape (2,), made by `key` and never changed: the same key gives the same
numbers, and new keys come from `split` and `fold_in`. Results belong to the key's library and
device. The generator is Threefry-2x32 in the layout that JAX calls partitionable (its default),
so streams equal those of `jax.random` on every library and device.

Reading order: the public functions; the primitives under them; the kernels on raw arrays, which
are the hash, the counters it runs over, and the maps from random bits to real numbers.
"""

import math
import operator
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from volta.core.context import default_dtype_of
from volta.core.dispatch import NUMPY, library_for
from volta.core.errors import DeviceError, DTypeError, ShapeError
from volta.core.primitive import ZERO, Partial, Primitive
from volta.core.tracer import Tracer, library_under
from volta.core.types import (
    DTYPES,
    SCALARS,
    Array,
    ArrayType,
    DType,
    as_dtype,
    broadcast_shapes,
    typeof,
)

__all__ = ["bernoulli", "bits", "fold_in", "key", "normal", "split", "uniform"]

Shape = int | tuple[int, ...]


def key(seed: Any, *, xp: Any = None, device: Any = None) -> Any:
    """Make a key from a seed.

    Parameters
    ----------
    seed : int or array, shape (), integer
        A Python number must fit in 64 bits, signed or unsigned.
    xp : namespace, optional
        Library of the key, and so of all that comes from it; by default that of `seed`, which is
        NumPy for a Python number.
    device : device, optional
        Device of the key.

    Returns
    -------
    array, shape (2,), uint32
        The upper and the lower 32 bits of the seed.

    Raises
    ------
    DTypeError
        If the seed is not an integer.
    ShapeError
        If the seed is an array with axes.
    ValueError
        If the seed does not fit in 64 bits.

    Notes
    -----
    Equals ``jax.random.PRNGKey(seed)`` with ``jax_enable_x64``. Without it JAX drops the upper 32
    bits, so seeds outside of [0, 2**32) give other keys there. Array seeds of 32 bits or fewer
    leave the upper word 0, as in JAX.

    Examples
    --------
    >>> key(42)
    array([ 0, 42], dtype=uint32)
    """
    if type(seed) is Tracer or hasattr(seed, "dtype"):
        shape, dtype = typeof(seed)
        if dtype.kind not in ("int", "uint"):
            msg = f"key: the seed must be an integer; got {dtype.name}."
            raise DTypeError(msg)
        if shape:
            msg = f"key: the seed must have shape (); got {shape}. Use vmap for several seeds."
            raise ShapeError(msg)
        return _moved(_seed(seed), xp, device, "key")
    try:
        number = operator.index(seed)
    except TypeError:
        msg = f"key: the seed must be an integer; got {type(seed).__name__}."
        raise DTypeError(msg) from None
    if not -(2**63) <= number < 2**64:
        msg = f"key: the seed must fit in 64 bits; got {number}."
        raise ValueError(msg)
    words = np.asarray([number >> 32 & _WORD, number & _WORD], np.uint32)
    return _moved(words, xp, device, "key")


def split(key: Any, num: Shape = 2, *, xp: Any = None, device: Any = None) -> Any:
    """Make several new keys from one, which must not be used again.

    Parameters
    ----------
    key : array, shape (2,), uint32
    num : int or tuple of int
        How many keys, or the shape in which they are laid out.
    xp, device : optional
        Library and device of the new keys; by default those of `key`.

    Returns
    -------
    array, shape (\\*num, 2), uint32

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key or `num` not a shape.

    Notes
    -----
    New key number i, counted in row-major order, is the hash of i under `key`.

    Examples
    --------
    >>> split(key(0))
    array([[1797259609, 2579123966],
           [ 928981903, 3453687069]], dtype=uint32)
    """
    return _split(_checked_key(key, xp, device, "split"), shape=_checked_shape(num, "split"))


def fold_in(key: Any, data: Any, *, xp: Any = None, device: Any = None) -> Any:
    """Make a new key from a key and a number, such as a step or the index of a layer.

    Parameters
    ----------
    key : array, shape (2,), uint32
    data : int or array, shape (), integer
        A Python number must lie in [0, 2**32); of an array, the lower 32 bits count.
    xp, device : optional
        Library and device of the new key; by default those of `key`.

    Returns
    -------
    array, shape (2,), uint32
        The hash of `data` under `key`; equals ``split(key, n)[data]`` for each ``n > data``.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, or `data` no integer or has axes.
    ValueError
        If a Python number does not fit in 32 bits.

    Examples
    --------
    >>> fold_in(key(0), 1)
    array([ 928981903, 3453687069], dtype=uint32)
    """
    key = _checked_key(key, xp, device, "fold_in")
    if type(data) is not int:
        shape, dtype = typeof(data) if hasattr(data, "dtype") else ((), None)
        if dtype is None or dtype.kind not in ("int", "uint"):
            found = type(data).__name__ if dtype is None else dtype.name
            msg = f"fold_in: data must be an integer; got {found}."
            raise DTypeError(msg)
        if shape:
            msg = f"fold_in: data must have shape (); got {shape}. Use vmap for several numbers."
            raise ShapeError(msg)
        return _fold_in(key, data)
    if not 0 <= data <= _WORD:
        msg = f"fold_in: data must lie in [0, 2**32); got {data}."
        raise ValueError(msg)
    return _fold_in(key, data)


def bits(
    key: Any, shape: Shape = (), dtype: Any = None, *, xp: Any = None, device: Any = None
) -> Any:
    """Draw random bits as unsigned integers.

    Parameters
    ----------
    key : array, shape (2,), uint32
    shape : int or tuple of int
    dtype : dtype, optional
        uint8, uint16, uint32 (the default) or uint64.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape or `dtype` not unsigned.

    Notes
    -----
    Element i, counted in row-major order, is made of the two words that the hash gives for the
    64-bit counter i: both of them in 64 bits, their exclusive or in 32, its low part in fewer.

    References
    ----------
    J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as
    1, 2, 3", SC 2011, https://doi.org/10.1145/2063384.2063405.

    Examples
    --------
    >>> bits(key(0), 3, "uint8")
    array([ 67,  82, 135], dtype=uint8)
    """
    chosen = DTYPES["uint32"] if dtype is None else as_dtype(dtype)
    if chosen.kind != "uint":
        msg = f"bits: dtype must be unsigned; got {chosen.name}."
        raise DTypeError(msg)
    key = _checked_key(key, xp, device, "bits")
    return _bits(key, shape=_checked_shape(shape, "bits"), dtype=chosen)


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
    >>> uniform(key(0), 2, minval=-1.0)
    array([0.89533377, 0.95703  ], dtype=float32)
    """
    chosen = _floating(dtype, "uniform")
    key = _checked_key(key, xp, device, "uniform")
    size = _checked_shape(shape, "uniform")
    u = _unit(key, shape=size, dtype=chosen)
    if type(minval) in SCALARS and type(maxval) in SCALARS and minval == 0 and maxval == 1:
        return u
    bounds = [_bound(b, u, name, size) for b, name in ((minval, "minval"), (maxval, "maxval"))]
    return _between(u, *bounds)


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
    >>> bernoulli(key(0), 0.3, 4)
    array([False, False, False,  True])
    """
    if type(p) in SCALARS:
        if type(p) is complex or not 0 <= p <= 1:
            msg = f"bernoulli: p must lie in [0, 1]; got {p}."
            raise ValueError(msg)
        p = float(p)
        found, dtype = (), default_dtype_of("float")
    elif hasattr(p, "dtype"):
        found, dtype = typeof(p)
    else:
        msg = f"bernoulli: p must be a number or an array; got {type(p).__name__}."
        raise DTypeError(msg)
    if dtype.kind != "float":
        msg = f"bernoulli: p must be real floating; got {dtype.name}."
        raise DTypeError(msg)
    size = found if shape is None else _checked_shape(shape, "bernoulli")
    if broadcast_shapes("bernoulli", found, size) != size:
        msg = f"bernoulli: p must broadcast to the shape; got {found} and {size}."
        raise ShapeError(msg)
    u = uniform(key, size, dtype, xp=xp, device=device)
    return u < (p if type(p) is float else _bound(p, u, "p", size))


def normal(
    key: Any, shape: Shape = (), dtype: Any = None, *, xp: Any = None, device: Any = None
) -> Any:
    """Draw from the normal distribution of mean 0 and variance 1.

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
        Within 4 ulp of ``jax.random.normal``.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape or `dtype` not real floating.

    Notes
    -----
    ``√2 · erfinv(x)`` for x uniform on the open interval (−1, 1). Values are bounded: by 5.6 in
    float32, 8.2 in float64, 3.5 in float16 and 2.9 in bfloat16.

    Examples
    --------
    >>> normal(key(0), 2)
    array([1.6226422, 2.0252647], dtype=float32)
    """
    chosen = _floating(dtype, "normal")
    key = _checked_key(key, xp, device, "normal")
    return _normal(key, shape=_checked_shape(shape, "normal"), dtype=chosen)


# Arguments ---------------------------------------------------------------------------------------


def _checked_key(key: Any, xp: Any, device: Any, operation: str) -> Any:
    shape, dtype = typeof(key) if hasattr(key, "dtype") else (None, type(key).__name__)
    if str(dtype) != "uint32":
        msg = (
            f"{operation}: key must be a uint32 array of shape (2,); got {dtype}. "
            "Make one with random.key(seed)."
        )
        raise DTypeError(msg)
    if shape != (2,):
        msg = (
            f"{operation}: key must be a uint32 array of shape (2,); got shape {shape}. "
            "Use vmap for several keys."
        )
        raise ShapeError(msg)
    return key if xp is None and device is None else _moved(key, xp, device, operation)


def _moved(key: Any, xp: Any, device: Any, operation: str) -> Any:
    """Key in another library or on another device."""
    if xp is None and device is None:
        return key
    here = library_under(key)
    there = here if xp is None else library_for(xp)
    if type(key) is Tracer:
        if there is here and device is None:
            return key
        msg = (
            f"{operation}: a traced key must stay where it is; got one in {here.name} and "
            f"xp={there.name}, device={device}. Move the key before the transform."
        )
        raise DeviceError(msg)
    if there is here:
        return key if device is None else here.to_device(key, device)
    # Two words, read one by one: the only way out of a library that all of them share.
    words = key if here is NUMPY else np.asarray([int(key[0]), int(key[1])], np.uint32)
    return there.asarray(words, there.dtype("uint32"), device)


def _checked_shape(shape: Any, operation: str) -> tuple[int, ...]:
    try:
        sizes = tuple(map(operator.index, shape if isinstance(shape, tuple | list) else (shape,)))
    except TypeError:
        msg = f"{operation}: a shape must be an int or a tuple of ints; got {shape!r}."
        raise ShapeError(msg) from None
    if min(sizes, default=0) < 0:
        msg = f"{operation}: the sizes of a shape must not be negative; got {sizes}."
        raise ShapeError(msg)
    return sizes


def _floating(dtype: Any, operation: str) -> DType:
    chosen = default_dtype_of("float") if dtype is None else as_dtype(dtype)
    if chosen.kind != "float":
        msg = f"{operation}: dtype must be real floating; got {chosen.name}."
        raise DTypeError(msg)
    return chosen


def _bound(bound: Any, u: Any, name: str, shape: tuple[int, ...]) -> Any:
    """Bound of a distribution as an array of the library, dtype and device of `u`."""
    raise NotImplementedError
