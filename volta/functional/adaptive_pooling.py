"""Pooling to a given size: windows that divide an image evenly, or lie where chance puts them.

Such windows have different lengths or distances, so what they see is laid side by side first, which
makes them windows like those of `pooling`; where the sizes divide, they are such windows already.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from volta.core.errors import ShapeError
from volta.core.trace import located, ops
from volta.core.tracer import library_under
from volta.core.types import Array
from volta.functional.axes import per_axis
from volta.functional.declare import composite
from volta.functional.elementwise import add, floor, multiply, subtract, where
from volta.functional.indexing import beside, take, take_along_axis
from volta.functional.manipulation import concat, expand_dims, reshape
from volta.functional.pooling import check_dtype, divided, maximum_of, space_of, wide
from volta.functional.random import uniform
from volta.functional.reduction import sum as total
from volta.functional.windowed import Windows, sum_windows

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "fractional_max_pool2d",
    "fractional_max_pool3d",
]

Sizes = tuple[int, ...]
Numbers = int | Sequence[int]
Lengths = int | Sequence[int | None] | None


# Evenly -------------------------------------------------------------------------------------------


def _sizes(name: str, x: Any, output_size: Any) -> tuple[Sizes, Sizes]:
    """Lengths of the space of `x`, and of the result."""
    lengths = space_of(name, x)
    nd = len(lengths)
    given = list(output_size) if isinstance(output_size, tuple | list) else [output_size] * nd
    if len(given) == nd:
        given = [n if m is None else m for n, m in zip(lengths, given, strict=True)]
    return lengths, per_axis(name, "output_size", given, nd, 1)


def _side_by_side(lengths: Sizes, kernel: Sizes) -> Windows:
    """Windows that divide an array of these lengths."""
    ones = (1,) * len(lengths)
    places = tuple(n // k for n, k in zip(lengths, kernel, strict=True))
    return Windows(lengths, kernel, kernel, tuple(n - 1 for n in ones), ones, places)


def _bounds(n: int, m: int) -> tuple[Any, Any]:
    """Ends of the m windows of an axis of n elements: ⌊i n / m⌋ and ⌈(i + 1) n / m⌉."""
    i = np.arange(m)
    return i * n // m, -(-(i + 1) * n // m)


def _laid_out(n: int, m: int) -> tuple[Any, Any]:
    """Elements that each window sees, its last one again if it is shorter; where it is again."""
    first, last = _bounds(n, m)
    seen = first[:, None] + np.arange(max(last - first))
    return np.minimum(seen, last[:, None] - 1), seen >= last[:, None]


def _adaptive_mean(name: str, x: Any, output_size: Any) -> Any:
    lengths, sizes = _sizes(name, x, output_size)
    check_dtype(name, x, ("float", "complex"), "floating")
    nd, y = len(lengths), wide(x)
    for axis, (n, m) in enumerate(zip(lengths, sizes, strict=True)):
        if n % m:
            y = _summed(y, y.ndim - nd + axis, m)
    kernel = tuple(1 if n % m else n // m for n, m in zip(lengths, sizes, strict=True))
    windows = _side_by_side(tuple(y.shape[y.ndim - nd :]), kernel)
    y = sum_windows(y, windows=windows) if windows.taps > 1 else y
    return ops.astype(divided(y, _counts(lengths, sizes)), x.dtype, copy=False)


@lru_cache(maxsize=256)
def _counts(lengths: Sizes, sizes: Sizes) -> Any:
    """How many elements each window has: a number, or an array where they differ."""
    found = np.ones((), np.int64)
    for n, m in zip(lengths, sizes, strict=True):
        first, last = _bounds(n, m)
        found = found[..., None] * (last - first)
    return int(found.flat[0]) if (found == found.flat[0]).all() else found


def _summed(x: Any, axis: int, m: int) -> Any:
    """Sums of m windows of different lengths along an axis."""
    seen, again = _laid_out(x.shape[axis], m)
    parts = take(x, ops.like_index(x, seen.reshape(-1)), axis=axis)
    parts = reshape(parts, (*x.shape[:axis], *seen.shape, *x.shape[axis + 1 :]))
    nothing = ops.like_index(x, again.reshape(*again.shape, *(1,) * (x.ndim - axis - 1)))
    return total(where(nothing, 0, parts), axis=axis + 1)


def _adaptive_maximum(name: str, x: Any, output_size: Any, return_indices: bool) -> Any:
    lengths, sizes = _sizes(name, x, output_size)
    nd = len(lengths)
    y, kernel, numbers = x, [], np.zeros((), np.int64)
    for axis, (n, m) in enumerate(zip(lengths, sizes, strict=True)):
        seen, _ = _laid_out(n, m)
        kernel.append(seen.shape[1])
        numbers = numbers[..., None] * n + seen.reshape(-1)
        if n % m:
            y = take(y, ops.like_index(y, seen.reshape(-1)), axis=y.ndim - nd + axis)
    windows = _side_by_side(tuple(y.shape[y.ndim - nd :]), tuple(kernel))
    out = maximum_of(name, y, windows, return_indices)
    if not return_indices or y is x:
        return out
    maxima, indices = out
    return maxima, take(ops.like_index(y, numbers.reshape(-1)), indices)


@composite
def adaptive_avg_pool2d(x: Array, output_size: Lengths) -> Any:
    """Means of windows that divide an image into so many rows and columns.

    Parameters
    ----------
    x : array, shape (n, channels, height, width) or (channels, height, width)
        Of real or complex floating dtype; 16-bit floats are added up in 32 bits.
    output_size : int, or pair of int or None
        Lengths of the result; None keeps that of `x`.

    Returns
    -------
    array, shape (..., channels, *output_size), dtype of `x`

    Raises
    ------
    ShapeError
        If `x` is no image.
    DTypeError
        If `x` is not floating, or a number no integer.
    ValueError
        If a number is out of range.

    Notes
    -----
    Of n elements, window i of m has those from ⌊i n / m⌋ to ⌈(i + 1) n / m⌉, the end excluded. If
    m does not divide n they share elements and differ in length.

    Examples
    --------
    >>> F.adaptive_avg_pool2d(np.asarray([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]), (1, 2))
    array([[[3., 4.]]])
    """
    return _adaptive_mean("adaptive_avg_pool2d", x, output_size)


@composite
def adaptive_avg_pool1d(x: Array, output_size: Lengths) -> Any:
    """Means of windows that divide a signal evenly; see `adaptive_avg_pool2d`.

    Parameters
    ----------
    x : array, shape (n, channels, length) or (channels, length)
    output_size : int, or one of int or None

    Returns
    -------
    array, shape (..., channels, *output_size), dtype of `x`

    Raises
    ------
    ShapeError, DTypeError, ValueError
        As from `adaptive_avg_pool2d`.

    Examples
    --------
    >>> F.adaptive_avg_pool1d(np.asarray([[1.0, 2.0, 3.0, 4.0]]), 3)
    array([[1.5, 2.5, 3.5]])
    """
    return _adaptive_mean("adaptive_avg_pool1d", x, output_size)


@composite
def adaptive_avg_pool3d(x: Array, output_size: Lengths) -> Any:
    """Means of windows that divide a volume evenly; see `adaptive_avg_pool2d`.

    Parameters
    ----------
    x : array, shape (n, channels, depth, height, width) or (channels, depth, height, width)
    output_size : int, or three of int or None

    Returns
    -------
    array, shape (..., channels, *output_size), dtype of `x`

    Raises
    ------
    ShapeError, DTypeError, ValueError
        As from `adaptive_avg_pool2d`.

    Examples
    --------
    >>> F.adaptive_avg_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), 1)
    array([[[[3.5]]]])
    """
    return _adaptive_mean("adaptive_avg_pool3d", x, output_size)


@composite
def adaptive_max_pool2d(x: Array, output_size: Lengths, return_indices: bool = False) -> Any:
    """Largest elements of windows that divide an image into so many rows and columns.

    Parameters
    ----------
    x : array, shape (n, channels, height, width) or (channels, height, width)
        Of real-valued dtype.
    output_size : int, or pair of int or None
        As for `adaptive_avg_pool2d`, where the windows are.
    return_indices : bool
        As for `max_pool2d`.

    Returns
    -------
    y : array, shape (..., channels, *output_size), dtype of `x`
    indices : array of int64, shape of `y`
        If wanted: of the maximum in the flattened height and width of `x`.

    Raises
    ------
    ShapeError
        If `x` is no image.
    DTypeError
        If `x` is not real-valued, or a number no integer.
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> F.adaptive_max_pool2d(np.asarray([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]), (1, 2))
    array([[[5., 6.]]])
    """
    return _adaptive_maximum("adaptive_max_pool2d", x, output_size, return_indices)


@composite
def adaptive_max_pool1d(x: Array, output_size: Lengths, return_indices: bool = False) -> Any:
    """Largest elements of windows that divide a signal evenly; see `adaptive_max_pool2d`.

    Parameters
    ----------
    x : array, shape (n, channels, length) or (channels, length)
    output_size : int, or one of int or None
    return_indices : bool

    Returns
    -------
    array, or y and indices
        As from `adaptive_max_pool2d`.

    Raises
    ------
    ShapeError, DTypeError, ValueError
        As from `adaptive_max_pool2d`.

    Examples
    --------
    >>> F.adaptive_max_pool1d(np.asarray([[1.0, 3.0, 2.0, 4.0]]), 3)
    array([[3., 3., 4.]])
    """
    return _adaptive_maximum("adaptive_max_pool1d", x, output_size, return_indices)


@composite
def adaptive_max_pool3d(x: Array, output_size: Lengths, return_indices: bool = False) -> Any:
    """Largest elements of windows that divide a volume evenly; see `adaptive_max_pool2d`.

    Parameters
    ----------
    x : array, shape (n, channels, depth, height, width) or (channels, depth, height, width)
    output_size : int, or three of int or None
    return_indices : bool

    Returns
    -------
    array, or y and indices
        As from `adaptive_max_pool2d`.

    Raises
    ------
    ShapeError, DTypeError, ValueError
        As from `adaptive_max_pool2d`.

    Examples
    --------
    >>> F.adaptive_max_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), 1)
    array([[[[7.]]]])
    """
    return _adaptive_maximum("adaptive_max_pool3d", x, output_size, return_indices)


# By chance ----------------------------------------------------------------------------------------


def _fractional_sizes(
    name: str, x: Any, kernel_size: Any, output_size: Any, output_ratio: Any
) -> tuple[Sizes, Sizes, Sizes]:
    """Lengths of the space of `x`, of a window, and of the result."""
    lengths = space_of(name, x)
    nd = len(lengths)
    kernel = per_axis(name, "kernel_size", kernel_size, nd, 1)
    if (output_size is None) == (output_ratio is None):
        msg = (
            f"{name}: either output_size or output_ratio must be given; got {output_size} and "
            f"{output_ratio}."
        )
        raise located(ValueError(msg))
    if output_size is None:
        ratios = output_ratio if isinstance(output_ratio, tuple | list) else [output_ratio] * nd
        if len(ratios) != nd or not all(0 < r < 1 for r in ratios):
            msg = (
                f"{name}: output_ratio must be a number between 0 and 1, or one for each of {nd} "
                f"axes; got {output_ratio!r}."
            )
            raise located(ValueError(msg))
        output_size = [int(n * r) for n, r in zip(lengths, ratios, strict=True)]
    sizes = per_axis(name, "output_size", output_size, nd, 1)
    if any(m + k - 1 > n for n, k, m in zip(lengths, kernel, sizes, strict=True)):
        msg = (
            f"{name}: output_size + kernel_size − 1 must be at most the lengths of the input; got "
            f"{sizes}, {kernel} and {lengths}."
        )
        raise located(ShapeError(msg))
    return lengths, kernel, sizes


def _samples(name: str, x: Any, nd: int, given: Any, key: Any) -> Any:
    """Numbers from 0 to 1 for each channel and axis, shape (..., channels, nd)."""
    lead = tuple(x.shape[: x.ndim - nd])
    if given is not None:
        shape = tuple(given.shape)
        if shape not in (((*lead, nd), (1, *lead, nd)) if len(lead) == 1 else ((*lead, nd),)):
            msg = f"{name}: _random_samples must have the shape {(*lead, nd)}; got {shape}."
            raise located(ShapeError(msg))
        return reshape(beside(x, given, name), (*lead, nd))
    if key is None:
        msg = f"{name}: a random key must be given; got none. Pass key=F.random.key(seed)."
        raise located(ValueError(msg))
    home = library_under(x)
    if library_under(key) is home:
        return uniform(key, (*lead, nd))
    device = x.device if hasattr(x, "device") else home.device(x)
    return uniform(key, (*lead, nd), xp=home.xp, device=device)


def _starts(sample: Any, n: int, k: int, m: int) -> Any:
    """First elements of the windows along an axis, ⌊α (i + u)⌋ − ⌊α u⌋, and n − k for the last."""
    i = ops.arange_like(sample, m - 1)
    u = expand_dims(sample, axis=-1)
    step = (n - k) / max(1, m - 1)
    places = add(ops.astype(i, u.dtype), u)
    first = subtract(floor(multiply(places, step)), floor(multiply(u, step)))
    last = ops.full_like(i, n - k, shape=(*sample.shape, 1))
    return concat([ops.astype(first, i.dtype), last], axis=-1)


def _fractional_maximum(
    name: str,
    x: Any,
    kernel_size: Any,
    output_size: Any,
    output_ratio: Any,
    return_indices: bool,
    samples: Any,
    key: Any,
) -> Any:
    lengths, kernel, sizes = _fractional_sizes(name, x, kernel_size, output_size, output_ratio)
    nd = len(lengths)
    samples = _samples(name, x, nd, samples, key)
    lead = tuple(x.shape[: x.ndim - nd])
    # the standard's order is that of the axes; of images PyTorch's is the other way round
    order = range(nd) if nd == 3 else reversed(range(nd))
    numbers: Any = None
    y: Any = x
    for axis, number, n, k, m in zip(range(nd), order, lengths, kernel, sizes, strict=True):
        starts = expand_dims(_starts(samples[..., number], n, k, m), axis=-1)
        seen = reshape(add(starts, ops.arange_like(starts, k)), (*lead, m * k))
        column = reshape(seen, (*lead, *(1,) * axis, m * k, *(1,) * (nd - axis - 1)))
        y = take_along_axis(y, column, axis=len(lead) + axis)
        numbers = column if numbers is None else add(multiply(numbers, n), column)
    windows = _side_by_side(tuple(y.shape[len(lead) :]), kernel)
    out = maximum_of(name, y, windows, return_indices)
    if not return_indices:
        return out
    maxima, indices = out
    numbers = reshape(numbers, (*lead, math.prod(windows.lengths)))
    rows = reshape(indices, (*lead, math.prod(windows.places)))
    return maxima, reshape(take_along_axis(numbers, rows, axis=-1), tuple(indices.shape))


@composite
def fractional_max_pool2d(
    x: Array,
    kernel_size: Numbers,
    output_size: Numbers | None = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Array | None = None,
    *,
    key: Any = None,
) -> Any:
    """Largest elements of windows at random distances, which add up to the image.

    Parameters
    ----------
    x : array, shape (n, channels, height, width) or (channels, height, width)
        Of real-valued dtype.
    kernel_size : int or pair of int
        Height and width of the windows.
    output_size : int or pair of int, optional
        Lengths of the result.
    output_ratio : float or pair of float, optional
        The same as parts of those of `x`, between 0 and 1. One of the two must be given.
    return_indices : bool
        As for `max_pool2d`.
    _random_samples : array, shape (..., channels, 2), optional
        Numbers from 0 to 1 in place of `key`, for the width and the height, as PyTorch has them.
    key : array, shape (2,), uint32
        Random key.

    Returns
    -------
    y : array, shape (..., channels, *output_size), dtype of `x`
    indices : array of int64, shape of `y`
        If wanted: of the maximum in the flattened height and width of `x`.

    Raises
    ------
    ShapeError
        If `x` is no image, or the windows do not fit into it.
    DTypeError
        If `x` is not real-valued, or a number no integer.
    ValueError
        If a number is out of range, or there is no key.

    Notes
    -----
    Each channel of each image has windows of its own. Along an axis of n elements window i of m
    begins at ⌊α (i + u)⌋ − ⌊α u⌋, with α = (n − kernel_size) / (m − 1) and u uniform; the last one
    ends where the axis ends. Windows of more than α elements overlap.

    References
    ----------
    B. Graham, "Fractional max-pooling", 2014, https://arxiv.org/abs/1412.6071, section 2.

    Examples
    --------
    >>> x = np.arange(25.0).reshape(1, 5, 5)
    >>> F.fractional_max_pool2d(x, 2, output_size=3, key=F.random.key(0)).shape
    (1, 3, 3)
    """
    return _fractional_maximum(
        "fractional_max_pool2d",
        x,
        kernel_size,
        output_size,
        output_ratio,
        return_indices,
        _random_samples,
        key,
    )


@composite
def fractional_max_pool3d(
    x: Array,
    kernel_size: Numbers,
    output_size: Numbers | None = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Array | None = None,
    *,
    key: Any = None,
) -> Any:
    """Largest elements of windows at random distances in a volume; see `fractional_max_pool2d`.

    Parameters
    ----------
    x : array, shape (n, channels, depth, height, width) or (channels, depth, height, width)
    kernel_size, output_size, output_ratio, return_indices, key
        As for `fractional_max_pool2d`.
    _random_samples : array, shape (..., channels, 3), optional
        Numbers from 0 to 1 in place of `key`, for depth, height and width.

    Returns
    -------
    array, or y and indices
        As from `fractional_max_pool2d`.

    Raises
    ------
    ShapeError, DTypeError, ValueError
        As from `fractional_max_pool2d`.

    References
    ----------
    As for `fractional_max_pool2d`.

    Examples
    --------
    >>> x = np.arange(64.0).reshape(1, 4, 4, 4)
    >>> F.fractional_max_pool3d(x, 2, output_ratio=0.5, key=F.random.key(0)).shape
    (1, 2, 2, 2)
    """
    return _fractional_maximum(
        "fractional_max_pool3d",
        x,
        kernel_size,
        output_size,
        output_ratio,
        return_indices,
        _random_samples,
        key,
    )
