"""Pooling: the largest or the mean element of every window of an image, with PyTorch's arguments.

How windows are gone through is in `windowed`; windows of other sizes are in `adaptive_pooling`.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np

from volta.core.errors import DimensionError, DTypeError, ShapeError
from volta.core.trace import located, ops
from volta.core.types import DTYPES, HALVES, Array, as_dtype, typeof
from volta.functional.axes import per_axis
from volta.functional.declare import composite
from volta.functional.elementwise import abs as magnitude
from volta.functional.elementwise import divide, equal, multiply, pow, where
from volta.functional.indexing import beside, bounds_under
from volta.functional.manipulation import reshape
from volta.functional.update import at
from volta.functional.windowed import Windows, max_places, max_windows, pick, sum_windows

__all__ = [
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
]

Sizes = tuple[int, ...]
Numbers = int | Sequence[int]


# Arguments ----------------------------------------------------------------------------------------


_SPACE: Final = {1: "length", 2: "height, width", 3: "depth, height, width"}


def space_of(name: str, x: Any) -> Sizes:
    """Lengths of the axes that windows lie in, as many as the name says."""
    nd = int(name[-2])
    shape = tuple(x.shape)
    if len(shape) not in (nd + 1, nd + 2):
        axes = _SPACE[nd]
        msg = (
            f"{name}: x must have the axes (n, channels, {axes}) or (channels, {axes}); got shape "
            f"{shape}."
        )
        raise located(ShapeError(msg))
    if 0 in shape[-nd:]:
        msg = f"{name}: the windows' axes must have elements; got shape {shape}."
        raise located(ShapeError(msg))
    return shape[-nd:]


def check_dtype(name: str, x: Any, kinds: tuple[str, ...], word: str) -> None:
    """Whether `x` is of one of the kinds, which `word` names."""
    dtype = typeof(x).dtype
    if dtype.kind not in kinds:
        msg = f"{name}: x must be of {word} dtype; got {dtype.name}."
        raise located(DTypeError(msg))


def _places(n: int, k: int, s: int, p: int, d: int, ceil_mode: bool) -> int:
    """Number of windows along an axis; the last must begin before the padding at the end."""
    beyond = n + 2 * p - d * (k - 1) - 1
    if not ceil_mode:
        return beyond // s + 1
    places = -(-beyond // s) + 1
    return places - 1 if (places - 1) * s >= n + p else places


def _windows(
    name: str,
    lengths: Sizes,
    kernel_size: Any,
    stride: Any,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Windows:
    """Windows with these arguments, in an array with these lengths in space."""
    nd = len(lengths)
    kernel = per_axis(name, "kernel_size", kernel_size, nd, 1)
    stride = kernel if stride is None else per_axis(name, "stride", stride, nd, 1)
    padding = per_axis(name, "padding", padding, nd, 0)
    dilation = per_axis(name, "dilation", dilation, nd, 1)
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        msg = (
            f"{name}: padding must be at most half of kernel_size; got padding {padding} and "
            f"kernel_size {kernel}."
        )
        raise located(ValueError(msg))
    sizes = (lengths, kernel, stride, padding, dilation)
    places = tuple(_places(*numbers, ceil_mode) for numbers in zip(*sizes, strict=True))
    if min(places) < 1:
        msg = (
            f"{name}: the window must fit into the padded input; got kernel_size {kernel}, "
            f"dilation {dilation}, padding {padding} and lengths {lengths}."
        )
        raise located(ShapeError(msg))
    if any(_misses(*numbers) for numbers in zip(*sizes, places, strict=True)):
        msg = (
            f"{name}: every window must have an element of the input; got kernel_size {kernel}, "
            f"dilation {dilation}, padding {padding} and lengths {lengths}."
        )
        raise located(ShapeError(msg))
    return Windows(*sizes, places)


def _misses(n: int, k: int, s: int, p: int, d: int, m: int) -> bool:
    """Whether a window lies in the padding with all its elements."""
    starts = (i * s - p for i in range(m))
    return any(max(i, i % d) >= min(n, i + d * (k - 1) + 1) for i in starts)


_remembered = lru_cache(maxsize=1024, typed=True)(_windows)


def windows_of(name: str, x: Any, *arguments: Any) -> Windows:
    """`_windows` of an array: layers call with the same arguments again and again."""
    lengths = space_of(name, x)
    try:
        return _remembered(name, lengths, *arguments)
    except TypeError:  # a list, or an argument that is of a wrong type altogether
        return _windows(name, lengths, *arguments)


# Maximum ------------------------------------------------------------------------------------------


def maximum_of(name: str, x: Any, windows: Windows, return_indices: bool) -> Any:
    """Maximum of each window and, if wanted, its index in the flattened space."""
    check_dtype(name, x, ("int", "uint", "float"), "real-valued")
    if not return_indices:
        return max_windows(x, windows=windows)
    places = max_places(x, windows=windows)
    return pick(x, places, windows=windows), places


@composite
def max_pool2d(
    x: Array,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    dilation: Numbers = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Largest element of every window, ``y[p] = max_k x[stride p + dilation k − padding]``.

    Parameters
    ----------
    x : array, shape (n, channels, height, width) or (channels, height, width)
        Of real-valued dtype.
    kernel_size : int or pair of int
        Height and width of the window.
    stride : int or pair of int, optional
        Distance of the windows; by default they lie side by side.
    padding : int or pair of int
        How far windows reach beyond the image; at most half of `kernel_size`. Nothing is there,
        not even a zero: of negative numbers the maximum at the border is negative.
    dilation : int or pair of int
        Distance of the elements of a window.
    ceil_mode : bool
        Whether a last window is there too that reaches beyond the padding at the end, as long as
        it begins before it.
    return_indices : bool
        Whether to tell where each maximum was.

    Returns
    -------
    y : array, shape (..., channels, places, places), dtype of `x`
        ``⌊(height + 2 padding − dilation (kernel_size − 1) − 1) / stride⌋ + 1`` places, with
        `ceil_mode` rounded up.
    indices : array of int64, shape of `y`
        If wanted: of the maximum in the flattened height and width of `x`.

    Raises
    ------
    ShapeError
        If `x` is no image, the window does not fit into it, or one misses it.
    DTypeError
        If `x` is not real-valued, or a number no integer.
    ValueError
        If a number is out of range.

    Notes
    -----
    Of equal elements the first, in rows from left to right, has the derivative, the whole of it;
    where windows overlap, an element has that of all windows in which it is the largest. A window
    with a NaN is NaN. All as in PyTorch.

    Examples
    --------
    >>> x = np.asarray([[[-1.0, -2.0, -3.0, -4.0], [-5.0, -6.0, -1.0, -8.0]]])
    >>> F.max_pool2d(x, 2)
    array([[[-1., -1.]]])
    >>> F.max_pool2d(x, 2, return_indices=True)[1]
    array([[[0, 6]]])
    """
    windows = windows_of("max_pool2d", x, kernel_size, stride, padding, dilation, ceil_mode)
    return maximum_of("max_pool2d", x, windows, return_indices)


@composite
def max_pool1d(
    x: Array,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    dilation: Numbers = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Largest element of every window of a signal; see `max_pool2d`.

    Parameters
    ----------
    x : array, shape (n, channels, length) or (channels, length)
    kernel_size, stride, padding, dilation, ceil_mode, return_indices
        As for `max_pool2d`.

    Returns
    -------
    array, or y and indices
        As from `max_pool2d`.

    Raises
    ------
    ShapeError, DTypeError, ValueError
        As from `max_pool2d`.

    Examples
    --------
    >>> F.max_pool1d(np.asarray([[3.0, 1.0, 2.0, 5.0]]), 3, stride=1, padding=1)
    array([[3., 3., 5., 5.]])
    """
    windows = windows_of("max_pool1d", x, kernel_size, stride, padding, dilation, ceil_mode)
    return maximum_of("max_pool1d", x, windows, return_indices)


@composite
def max_pool3d(
    x: Array,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    dilation: Numbers = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Largest element of every window of a volume; see `max_pool2d`.

    Parameters
    ----------
    x : array, shape (n, channels, depth, height, width) or (channels, depth, height, width)
    kernel_size, stride, padding, dilation, ceil_mode, return_indices
        As for `max_pool2d`.

    Returns
    -------
    array, or y and indices
        As from `max_pool2d`.

    Raises
    ------
    ShapeError, DTypeError, ValueError
        As from `max_pool2d`.

    Examples
    --------
    >>> F.max_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), (1, 2, 2))
    array([[[[3.]],
    <BLANKLINE>
            [[7.]]]])
    """
    windows = windows_of("max_pool3d", x, kernel_size, stride, padding, dilation, ceil_mode)
    return maximum_of("max_pool3d", x, windows, return_indices)


# Mean ---------------------------------------------------------------------------------------------


def wide(x: Any) -> Any:
    """16-bit floats in 32 bits, to be added up."""
    return ops.astype(x, DTYPES["float32"]) if typeof(x).dtype in HALVES else x


def _counts(windows: Windows, include_pad: bool) -> Any:
    """How many elements each window has: a number, or an array where they differ."""
    found: Any = np.ones((), np.int64)
    for n, k, s, p, _, m in zip(*windows, strict=True):
        starts = np.arange(m) * s - p
        last = np.minimum(starts + k, n + p if include_pad else n)
        found = found[..., None] * (last - (starts if include_pad else np.maximum(starts, 0)))
    return int(found.flat[0]) if (found == found.flat[0]).all() else found


def divided(total: Any, counts: Any) -> Any:
    """Sums divided by numbers of the host."""
    if type(counts) is not int:
        counts = ops.numbers_like(total, counts)
    return divide(total, counts)


def _mean(
    name: str, x: Any, windows: Windows, include_pad: bool, divisor: int | None = None
) -> Any:
    check_dtype(name, x, ("float", "complex"), "floating")
    if divisor == 0:
        msg = f"{name}: divisor_override must not be 0; got 0."
        raise located(ValueError(msg))
    total = sum_windows(wide(x), windows=windows)
    counts = _counts(windows, include_pad) if divisor is None else divisor
    return ops.astype(divided(total, counts), x.dtype, copy=False)


@composite
def avg_pool2d(
    x: Array,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Mean of every window, ``y[p] = Σ_k x[stride p + k − padding] / number of k``.

    Parameters
    ----------
    x : array, shape (n, channels, height, width) or (channels, height, width)
        Of real or complex floating dtype; 16-bit floats are added up in 32 bits.
    kernel_size, stride, padding, ceil_mode
        As for `max_pool2d`; in the padding there are zeros.
    count_include_pad : bool
        Whether the number of elements of a window counts those in the padding; never those beyond
        it, to which `ceil_mode` leads.
    divisor_override : int, optional
        To divide the sums by, in place of the number of elements.

    Returns
    -------
    array, shape (..., channels, places, places), dtype of `x`
        As many places as for `max_pool2d`.

    Raises
    ------
    ShapeError
        If `x` is no image or the window does not fit into it.
    DTypeError
        If `x` is not floating, or a number no integer.
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> x = np.asarray([[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]])
    >>> F.avg_pool2d(x, 2)
    array([[[3.5, 5.5]]])
    """
    windows = windows_of("avg_pool2d", x, kernel_size, stride, padding, 1, ceil_mode)
    return _mean("avg_pool2d", x, windows, count_include_pad, divisor_override)


@composite
def avg_pool1d(
    x: Array,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """Mean of every window of a signal; see `avg_pool2d`.

    Parameters
    ----------
    x : array, shape (n, channels, length) or (channels, length)
    kernel_size, stride, padding, ceil_mode, count_include_pad
        As for `avg_pool2d`.

    Returns
    -------
    array, shape (..., channels, places), dtype of `x`

    Raises
    ------
    ShapeError, DTypeError, ValueError
        As from `avg_pool2d`.

    Examples
    --------
    >>> F.avg_pool1d(np.asarray([[1.0, 2.0, 6.0]]), 2, 1, padding=1, count_include_pad=False)
    array([[1. , 1.5, 4. , 6. ]])
    """
    windows = windows_of("avg_pool1d", x, kernel_size, stride, padding, 1, ceil_mode)
    return _mean("avg_pool1d", x, windows, count_include_pad)


@composite
def avg_pool3d(
    x: Array,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Mean of every window of a volume; see `avg_pool2d`.

    Parameters
    ----------
    x : array, shape (n, channels, depth, height, width) or (channels, depth, height, width)
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As for `avg_pool2d`.

    Returns
    -------
    array, shape (..., channels, places, places, places), dtype of `x`

    Raises
    ------
    ShapeError, DTypeError, ValueError
        As from `avg_pool2d`.

    Examples
    --------
    >>> F.avg_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), 2)
    array([[[[3.5]]]])
    """
    windows = windows_of("avg_pool3d", x, kernel_size, stride, padding, 1, ceil_mode)
    return _mean("avg_pool3d", x, windows, count_include_pad, divisor_override)


# Norm ---------------------------------------------------------------------------------------------


def _norm(name: str, x: Any, p: float, windows: Windows) -> Any:
    check_dtype(name, x, ("float",), "real floating")
    if not p > 0:
        msg = f"{name}: norm_type must be positive; got {p}."
        raise located(ValueError(msg))
    if p == math.inf:
        return max_windows(magnitude(x), windows=windows)
    total = sum_windows(pow(wide(x), p), windows=windows)
    counts = _counts(windows, include_pad=True)
    if type(counts) is not int:  # windows beyond the end count as if they were whole
        total = multiply(divided(total, counts), windows.taps)
    nothing = equal(total, 0)
    root = pow(where(nothing, 1, total), 1 / p)
    return ops.astype(where(nothing, 0, root), x.dtype, copy=False)


@composite
def lp_pool2d(
    x: Array,
    norm_type: float,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    ceil_mode: bool = False,
) -> Any:
    """Norm of every window, ``y[p] = (Σ_k x[stride p + k]^norm_type)^(1 / norm_type)``.

    Parameters
    ----------
    x : array, shape (n, channels, height, width) or (channels, height, width)
        Of real floating dtype; 16-bit floats are added up in 32 bits.
    norm_type : float
        Positive; 1 gives sums, infinity the largest absolute value.
    kernel_size, stride, ceil_mode
        As for `max_pool2d`.

    Returns
    -------
    array, shape (..., channels, places, places), dtype of `x`

    Raises
    ------
    ShapeError
        If `x` is no image or the window does not fit into it.
    DTypeError
        If `x` is not real floating, or a number no integer.
    ValueError
        If a number is out of range.

    Notes
    -----
    As in PyTorch there is no absolute value in the formula, so that an odd or broken `norm_type` is
    for numbers that are not negative; the derivative is 0 where the sum is 0; and a window that
    reaches beyond the end (`ceil_mode`) has the mean of its elements for those that it lacks.

    Examples
    --------
    >>> F.lp_pool2d(np.asarray([[[3.0, 0.0], [0.0, 4.0]]]), 2, 2)
    array([[[5.]]])
    """
    windows = windows_of("lp_pool2d", x, kernel_size, stride, 0, 1, ceil_mode)
    return _norm("lp_pool2d", x, norm_type, windows)


@composite
def lp_pool1d(
    x: Array,
    norm_type: float,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    ceil_mode: bool = False,
) -> Any:
    """Norm of every window of a signal; see `lp_pool2d`.

    Parameters
    ----------
    x : array, shape (n, channels, length) or (channels, length)
    norm_type, kernel_size, stride, ceil_mode
        As for `lp_pool2d`.

    Returns
    -------
    array, shape (..., channels, places), dtype of `x`

    Raises
    ------
    ShapeError, DTypeError, ValueError
        As from `lp_pool2d`.

    Examples
    --------
    >>> F.lp_pool1d(np.asarray([[3.0, 4.0, 5.0, 12.0]]), 2.0, 2)
    array([[ 5., 13.]])
    """
    windows = windows_of("lp_pool1d", x, kernel_size, stride, 0, 1, ceil_mode)
    return _norm("lp_pool1d", x, norm_type, windows)


@composite
def lp_pool3d(
    x: Array,
    norm_type: float,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    ceil_mode: bool = False,
) -> Any:
    """Norm of every window of a volume; see `lp_pool2d`.

    Parameters
    ----------
    x : array, shape (n, channels, depth, height, width) or (channels, depth, height, width)
    norm_type, kernel_size, stride, ceil_mode
        As for `lp_pool2d`.

    Returns
    -------
    array, shape (..., channels, places, places, places), dtype of `x`

    Raises
    ------
    ShapeError, DTypeError, ValueError
        As from `lp_pool2d`.

    Examples
    --------
    >>> F.lp_pool3d(np.ones((1, 2, 2, 2)), 1, 2)
    array([[[[8.]]]])
    """
    windows = windows_of("lp_pool3d", x, kernel_size, stride, 0, 1, ceil_mode)
    return _norm("lp_pool3d", x, norm_type, windows)


# Back to where maxima were ------------------------------------------------------------------------


def _output_size(name: str, x: Any, output_size: Any, *arguments: Any) -> Sizes:
    """Lengths in space of what was pooled."""
    before = space_of(name, x)
    nd = len(before)
    kernel, stride, padding = arguments
    kernel = per_axis(name, "kernel_size", kernel, nd, 1)
    stride = kernel if stride is None else per_axis(name, "stride", stride, nd, 1)
    padding = per_axis(name, "padding", padding, nd, 0)
    usual = tuple(
        (n - 1) * s - 2 * p + k for n, k, s, p in zip(before, kernel, stride, padding, strict=True)
    )
    if output_size is None:
        lengths = usual
    else:
        lengths = per_axis(name, "output_size", tuple(output_size)[-nd:], nd, 1)
    low = tuple(n - s for n, s in zip(usual, stride, strict=True))
    high = tuple(n + s for n, s in zip(usual, stride, strict=True))
    if min(lengths) < 1 or (
        output_size is not None
        and not all(a < n < b for a, n, b in zip(low, lengths, high, strict=True))
    ):
        msg = (
            f"{name}: output_size must be between {low} and {high}, ends excluded, and positive; "
            f"got {lengths}."
        )
        raise located(ValueError(msg))
    return lengths


def _unpooled(name: str, x: Any, indices: Any, lengths: Sizes) -> Any:
    kind = as_dtype(indices.dtype).kind
    if kind not in ("int", "uint") or tuple(indices.shape) != tuple(x.shape):
        msg = (
            f"{name}: indices must be integers and have the shape of x; got "
            f"{as_dtype(indices.dtype).name} of shape {tuple(indices.shape)} for {tuple(x.shape)}."
        )
        raise located((ShapeError if kind in ("int", "uint") else DTypeError)(msg))
    size = math.prod(lengths)
    found = bounds_under(indices)
    if found is not None and (found[0] < 0 or found[1] >= size):
        got = found[0] if found[0] < 0 else found[1]
        msg = f"{name}: indices must be from 0 to {size - 1}, for lengths {lengths}; got {got}."
        raise located(DimensionError(msg))
    indices = beside(x, indices, name)
    lead = tuple(x.shape[: x.ndim - len(lengths)])
    rows = math.prod(lead)
    flat = (rows, math.prod(x.shape[len(lead) :]))
    empty = ops.full_like(x, 0, shape=(rows, size))
    row = reshape(ops.arange_like(indices, rows), (rows, 1))
    out = at(empty)[row, reshape(indices, flat)].set(reshape(x, flat))
    return reshape(out, (*lead, *lengths))


@composite
def max_unpool2d(
    x: Array,
    indices: Array,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    output_size: Sequence[int] | None = None,
) -> Any:
    """Put maxima back to where they were, with zeros elsewhere: a partial inverse of `max_pool2d`.

    Parameters
    ----------
    x : array, shape (n, channels, height, width) or (channels, height, width)
        Maxima.
    indices : array of int, shape of `x`
        Of the maxima in the flattened height and width of what was pooled.
    kernel_size, stride, padding : int or pair of int
        As for `max_pool2d`.
    output_size : sequence of int, optional
        Lengths in space of what was pooled, or its shape; by default
        ``(places − 1) stride − 2 padding + kernel_size``, of which windows leave a rest out.

    Returns
    -------
    array, shape (..., channels, height, width), dtype of `x`

    Raises
    ------
    ShapeError
        If `x` is no image, or `indices` has another shape.
    DimensionError
        If an index is outside of the result, seen where indices are on the host.
    DTypeError
        If a number or an index is no integer.
    ValueError
        If a number is out of range.

    Notes
    -----
    An index that occurs more than once keeps one of its numbers, which alone has a derivative.

    Examples
    --------
    >>> x = np.asarray([[[1.0, 2.0], [4.0, 3.0]]])
    >>> y, indices = F.max_pool2d(x, 2, return_indices=True)
    >>> F.max_unpool2d(y, indices, 2)
    array([[[0., 0.],
            [4., 0.]]])
    """
    lengths = _output_size("max_unpool2d", x, output_size, kernel_size, stride, padding)
    return _unpooled("max_unpool2d", x, indices, lengths)


@composite
def max_unpool1d(
    x: Array,
    indices: Array,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    output_size: Sequence[int] | None = None,
) -> Any:
    """Put maxima of a signal back to where they were; see `max_unpool2d`.

    Parameters
    ----------
    x : array, shape (n, channels, length) or (channels, length)
    indices : array of int, shape of `x`
    kernel_size, stride, padding, output_size
        As for `max_unpool2d`.

    Returns
    -------
    array, shape (..., channels, length), dtype of `x`

    Raises
    ------
    ShapeError, DimensionError, DTypeError, ValueError
        As from `max_unpool2d`.

    Examples
    --------
    >>> F.max_unpool1d(np.asarray([[3.0, 5.0]]), np.asarray([[0, 3]]), 2)
    array([[3., 0., 0., 5.]])
    """
    lengths = _output_size("max_unpool1d", x, output_size, kernel_size, stride, padding)
    return _unpooled("max_unpool1d", x, indices, lengths)


@composite
def max_unpool3d(
    x: Array,
    indices: Array,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    output_size: Sequence[int] | None = None,
) -> Any:
    """Put maxima of a volume back to where they were; see `max_unpool2d`.

    Parameters
    ----------
    x : array, shape (n, channels, depth, height, width) or (channels, depth, height, width)
    indices : array of int, shape of `x`
    kernel_size, stride, padding, output_size
        As for `max_unpool2d`.

    Returns
    -------
    array, shape (..., channels, depth, height, width), dtype of `x`

    Raises
    ------
    ShapeError, DimensionError, DTypeError, ValueError
        As from `max_unpool2d`.

    Examples
    --------
    >>> F.max_unpool3d(np.ones((1, 1, 1, 1)), np.full((1, 1, 1, 1), 3), (1, 2, 2))
    array([[[[0., 0.],
             [0., 1.]]]])
    """
    lengths = _output_size("max_unpool3d", x, output_size, kernel_size, stride, padding)
    return _unpooled("max_unpool3d", x, indices, lengths)
