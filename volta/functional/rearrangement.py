"""Images cut and put together again: windows as columns, and channels as places."""

import itertools
import math
import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from volta.core.derivatives import Linear
from volta.core.dispatch import library_of
from volta.core.errors import DTypeError, ShapeError
from volta.core.trace import located, ops
from volta.core.types import DTYPES, HALVES, Array, ArrayType, typeof
from volta.functional.declare import composite, in_one_task, primitive
from volta.functional.manipulation import permute_dims, reshape
from volta.functional.padding import pad, shrink

__all__ = ["channel_shuffle", "fold", "pixel_shuffle", "pixel_unshuffle", "unfold"]

Sizes = tuple[int, ...]


# Windows ------------------------------------------------------------------------------------------
#
# `windows` copies every window of the last axes: (..., *lengths) → (..., *window, *places), with as
# many places as fit. `overlap` is its transpose: it adds up what lies on one element.


def _places(lengths: Sizes, window: Sizes, stride: Sizes, dilation: Sizes) -> Sizes:
    return tuple(
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(lengths, window, stride, dilation, strict=True)
    )


def _steps(
    window: Sizes, places: Sizes, stride: Sizes, dilation: Sizes
) -> Iterator[tuple[Sizes, tuple[Any, ...]]]:
    """Each place in the window, and the key of the elements that lie there, over all windows."""
    for offsets in itertools.product(*map(range, window)):
        key = tuple(
            slice(o * d, o * d + s * (m - 1) + 1, s)
            for o, m, s, d in zip(offsets, places, stride, dilation, strict=True)
        )
        yield offsets, (..., *key)


def _lead(x: Any, window: Sizes) -> Sizes:
    return tuple(x.shape[: x.ndim - len(window)])


def _windows_type(x: ArrayType, *, window: Sizes, stride: Sizes, dilation: Sizes) -> ArrayType:
    places = _places(x.shape[x.ndim - len(window) :], window, stride, dilation)
    return ArrayType((*_lead(x, window), *window, *places), x.dtype)


def _numpy_windows(x: Any, *, window: Sizes, stride: Sizes, dilation: Sizes) -> Any:
    lead = _lead(x, window)
    r = len(window)
    places = _places(x.shape[x.ndim - r :], window, stride, dilation)
    own = x.strides[x.ndim - r :]
    strides = (
        *x.strides[: x.ndim - r],
        *(n * d for n, d in zip(own, dilation, strict=True)),
        *(n * s for n, s in zip(own, stride, strict=True)),
    )
    shape = (*lead, *window, *places)
    return np.lib.stride_tricks.as_strided(x, shape, strides, writeable=False).copy()


def _portable_windows(xp: Any, x: Any, *, window: Sizes, stride: Sizes, dilation: Sizes) -> Any:
    lead = _lead(x, window)
    places = _places(tuple(x.shape[len(lead) :]), window, stride, dilation)
    parts = [x[key] for _, key in _steps(window, places, stride, dilation)]
    return xp.reshape(xp.stack(parts, axis=len(lead)), (*lead, *window, *places))


def _overlap_type(
    x: ArrayType, *, lengths: Sizes, window: Sizes, stride: Sizes, dilation: Sizes
) -> ArrayType:
    return ArrayType((*x.shape[: x.ndim - 2 * len(window)], *lengths), x.dtype)


def _portable_overlap(
    xp: Any, x: Any, *, lengths: Sizes, window: Sizes, stride: Sizes, dilation: Sizes
) -> Any:
    r = len(window)
    lead, places = tuple(x.shape[: x.ndim - 2 * r]), tuple(x.shape[x.ndim - r :])
    out = xp.zeros((*lead, *lengths), dtype=x.dtype, device=library_of(x, "fold").device(x))
    for offsets, key in _steps(window, places, stride, dilation):
        part = x[(*(slice(None),) * len(lead), *offsets, ...)]
        if hasattr(out, "at"):  # JAX
            out = out.at[key].add(part)
        else:
            out[key] += part
    return out


def _overlap(x: Any, **params: Any) -> Any:
    """Sums of what overlaps, of 16-bit floats in 32 bits."""
    dtype = typeof(x).dtype
    if dtype in HALVES:
        x = ops.astype(x, DTYPES["float32"])
    return ops.astype(_overlap_windows(x, **params), dtype, copy=False)


_windows: Any = primitive(
    "windows",
    type_rule=_windows_type,
    batch=lambda size, batched, x, **params: _windows(x, **params),
    derivatives=(
        Linear(
            lambda ct, x_shape, *, window, stride, dilation: _overlap(
                ct,
                lengths=tuple(x_shape[len(x_shape) - len(window) :]),
                window=window,
                stride=stride,
                dilation=dilation,
            )
        ),
    ),
    value=_portable_windows,
    kernels={"numpy": _numpy_windows, "dask.array": in_one_task("windows")},
)


_overlap_windows: Any = primitive(
    "overlap_windows",
    type_rule=_overlap_type,
    batch=lambda size, batched, x, **params: _overlap_windows(x, **params),
    derivatives=(
        Linear(
            lambda ct, *, lengths, window, stride, dilation: _windows(
                ct, window=window, stride=stride, dilation=dilation
            )
        ),
    ),
    value=_portable_overlap,
    kernels={"dask.array": in_one_task("overlap_windows")},
)


# Columns ------------------------------------------------------------------------------------------


def _two(name: str, what: str, value: Any, least: int) -> tuple[int, int]:
    """A number for both axes, or one for each."""
    pair = tuple(value) if isinstance(value, tuple | list) else (value, value)
    try:
        found = tuple(map(operator.index, pair))
    except TypeError:
        msg = f"{name}: {what} must be an int or a pair of them; got {value!r}."
        raise located(DTypeError(msg)) from None
    if len(found) != 2 or min(found) < least:
        msg = f"{name}: {what} must be a number of at least {least}, or two; got {value!r}."
        raise located(ShapeError(msg))
    return found[0], found[1]


def _options(
    name: str, kernel_size: Any, dilation: Any, padding: Any, stride: Any
) -> tuple[dict[str, Sizes], tuple[int, int]]:
    sizes: dict[str, Sizes] = {
        "window": _two(name, "kernel_size", kernel_size, 1),
        "stride": _two(name, "stride", stride, 1),
        "dilation": _two(name, "dilation", dilation, 1),
    }
    return sizes, _two(name, "padding", padding, 0)


def _fitting(name: str, lengths: Sizes, options: dict[str, Sizes]) -> Sizes:
    places = _places(lengths, **options)
    if min(places) < 1:
        msg = (
            f"{name}: the kernel must fit into the image; got kernel_size {options['window']}, "
            f"dilation {options['dilation']} and lengths {lengths} with margins."
        )
        raise located(ShapeError(msg))
    return places


@composite
def unfold(
    x: Array, kernel_size: Any, *, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    """Copy every window of an image into a column (im2col).

    Parameters
    ----------
    x : array, shape (n, channels, height, width) or (channels, height, width)
    kernel_size : int or pair of int
        Height and width of the window.
    dilation : int or pair of int
        Distance of the elements of a window.
    padding : int or pair of int
        Zeros before and after each axis.
    stride : int or pair of int
        Distance of the windows.

    Returns
    -------
    array, shape (n, channels · window, places) or (channels · window, places)
        Windows in rows from left to right, elements of a window by channel, row and column.

    Raises
    ------
    ShapeError
        If `x` is no image or the window does not fit into it.
    DTypeError
        If a size is no integer.

    Notes
    -----
    A convolution is a matrix product with these columns. `fold` is the transpose.

    Examples
    --------
    >>> F.unfold(np.arange(6.0).reshape(1, 2, 3), 2)
    array([[0., 1.],
           [1., 2.],
           [3., 4.],
           [4., 5.]])
    """
    if x.ndim not in (3, 4):
        msg = f"unfold: x must have 3 or 4 axes, (n, channels, height, width); got {_shape(x)}."
        raise located(ShapeError(msg))
    options, margin = _options("unfold", kernel_size, dilation, padding, stride)
    if any(margin):
        x = pad(x, [(0, 0)] * (x.ndim - 2) + [(m, m) for m in margin])
    places = _fitting("unfold", _shape(x)[-2:], options)
    *lead, channels = _shape(x)[:-2]
    rows = channels * math.prod(options["window"])
    return reshape(_windows(x, **options), (*lead, rows, math.prod(places)))


@composite
def fold(
    x: Array,
    output_size: Any,
    kernel_size: Any,
    *,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Any:
    """Add up windows that lie in columns to an image (col2im); the transpose of `unfold`.

    Parameters
    ----------
    x : array, shape (n, channels · window, places) or (channels · window, places)
    output_size : int or pair of int
        Height and width of the image.
    kernel_size, dilation, padding, stride
        As for `unfold`.

    Returns
    -------
    array, shape (n, channels, height, width) or (channels, height, width)

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    DTypeError
        If a size is no integer.

    Examples
    --------
    >>> columns = F.unfold(np.ones((1, 2, 3)), 2)
    >>> F.fold(columns, (2, 3), 2)  # how many windows an element lies in
    array([[[1., 2., 1.],
            [1., 2., 1.]]])
    """
    if x.ndim not in (2, 3):
        msg = f"fold: x must have 2 or 3 axes, (n, channels · window, places); got {_shape(x)}."
        raise located(ShapeError(msg))
    options, margin = _options("fold", kernel_size, dilation, padding, stride)
    size = _two("fold", "output_size", output_size, 1)
    lengths = (size[0] + 2 * margin[0], size[1] + 2 * margin[1])
    places = _fitting("fold", lengths, options)
    *lead, rows, columns = _shape(x)
    window = math.prod(options["window"])
    if rows % window or columns != math.prod(places):
        msg = (
            f"fold: x must have a multiple of {window} rows and {math.prod(places)} columns, for "
            f"{places[0]} × {places[1]} windows; got shape {_shape(x)}."
        )
        raise located(ShapeError(msg))
    blocks = reshape(x, (*lead, rows // window, *options["window"], *places))
    out = _overlap(blocks, lengths=lengths, **options)
    if any(margin):
        whole = [(0, n) for n in out.shape[:-2]]
        inner = [(m, m + n) for m, n in zip(margin, size, strict=True)]
        out = shrink(out, whole + inner) if 0 not in out.shape else out[..., : size[0], : size[1]]
    return out


def _shape(x: Any) -> Sizes:
    return tuple(x.shape)


# Channels -----------------------------------------------------------------------------------------


def _factor(name: str, what: str, value: Any) -> int:
    try:
        factor = operator.index(value)
    except TypeError:
        msg = f"{name}: {what} must be an int; got {value!r}."
        raise located(DTypeError(msg)) from None
    if factor < 1:
        msg = f"{name}: {what} must be at least 1; got {factor}."
        raise located(ShapeError(msg))
    return factor


def _check_image(name: str, x: Any) -> None:
    if x.ndim < 3:
        msg = (
            f"{name}: x must have 3 axes or more, (..., channels, height, width); got {_shape(x)}."
        )
        raise located(ShapeError(msg))


@composite
def pixel_shuffle(x: Array, upscale_factor: int) -> Any:
    """Spread channels over a finer grid, (..., c · r², h, w) to (..., c, h · r, w · r).

    Parameters
    ----------
    x : array, shape (..., channels, height, width)
    upscale_factor : int
        r.

    Returns
    -------
    array, shape (..., channels / r², height · r, width · r)

    Raises
    ------
    ShapeError
        If `x` is no image or its channels are no multiple of r².
    DTypeError
        If r is no integer.

    References
    ----------
    W. Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel
    convolutional neural network", CVPR 2016, https://arxiv.org/abs/1609.05158.

    Examples
    --------
    >>> F.pixel_shuffle(np.arange(4.0).reshape(4, 1, 1), 2)
    array([[[0., 1.],
            [2., 3.]]])
    """
    _check_image("pixel_shuffle", x)
    r = _factor("pixel_shuffle", "upscale_factor", upscale_factor)
    *lead, channels, height, width = _shape(x)
    if channels % (r * r):
        msg = f"pixel_shuffle: the channels must be a multiple of {r}²; got shape {_shape(x)}."
        raise located(ShapeError(msg))
    n = len(lead)
    x = reshape(x, (*lead, channels // (r * r), r, r, height, width))
    x = permute_dims(x, (*range(n + 1), n + 3, n + 1, n + 4, n + 2))
    return reshape(x, (*lead, channels // (r * r), height * r, width * r))


@composite
def pixel_unshuffle(x: Array, downscale_factor: int) -> Any:
    """Collect a grid's neighbours in channels, (..., c, h · r, w · r) to (..., c · r², h, w).

    Parameters
    ----------
    x : array, shape (..., channels, height, width)
    downscale_factor : int
        r.

    Returns
    -------
    array, shape (..., channels · r², height / r, width / r)

    Raises
    ------
    ShapeError
        If `x` is no image or r does not divide its height and width.
    DTypeError
        If r is no integer.

    Notes
    -----
    The inverse of `pixel_shuffle`.

    Examples
    --------
    >>> F.pixel_unshuffle(np.asarray([[[0.0, 1.0], [2.0, 3.0]]]), 2).shape
    (4, 1, 1)
    """
    _check_image("pixel_unshuffle", x)
    r = _factor("pixel_unshuffle", "downscale_factor", downscale_factor)
    *lead, channels, height, width = _shape(x)
    if height % r or width % r:
        msg = f"pixel_unshuffle: height and width must be multiples of {r}; got shape {_shape(x)}."
        raise located(ShapeError(msg))
    n = len(lead)
    x = reshape(x, (*lead, channels, height // r, r, width // r, r))
    x = permute_dims(x, (*range(n + 1), n + 2, n + 4, n + 1, n + 3))
    return reshape(x, (*lead, channels * r * r, height // r, width // r))


@composite
def channel_shuffle(x: Array, groups: int) -> Any:
    """Deal the channels of groups out in turn: the first of each, the second of each, and so on.

    Parameters
    ----------
    x : array, shape (n, channels, ...)
    groups : int
        A divisor of the number of channels.

    Returns
    -------
    array, shape of `x`

    Raises
    ------
    ShapeError
        If `x` has no channels or the groups do not divide them.
    DTypeError
        If `groups` is no integer.

    References
    ----------
    X. Zhang, X. Zhou, M. Lin, J. Sun, "ShuffleNet: an extremely efficient convolutional neural
    network for mobile devices", CVPR 2018, https://arxiv.org/abs/1707.01083.

    Examples
    --------
    >>> F.channel_shuffle(np.asarray([[1, 2, 3, 4]]), 2)
    array([[1, 3, 2, 4]])
    """
    count = _factor("channel_shuffle", "groups", groups)
    if x.ndim < 2 or x.shape[1] % count:
        msg = (
            f"channel_shuffle: axis 1 must be channels, a multiple of {count}; got shape "
            f"{_shape(x)}."
        )
        raise located(ShapeError(msg))
    n, channels, *rest = _shape(x)
    x = reshape(x, (n, count, channels // count, *rest))
    return reshape(permute_dims(x, (0, 2, 1, *range(3, x.ndim))), (n, channels, *rest))
