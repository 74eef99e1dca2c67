"""Resampling of images: other sizes, and values between the pixels."""

import functools
import itertools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from volta.core.derivatives import Linear
from volta.core.errors import DTypeError, ShapeError
from volta.core.trace import located, ops
from volta.core.types import DTYPES, HALVES, Array, ArrayType, promote, typeof
from volta.functional.declare import composite, in_one_task, primitive
from volta.functional.elementwise import (
    abs as _abs,
)
from volta.functional.elementwise import (
    add,
    clip,
    floor,
    greater,
    less,
    logical_and,
    minimum,
    multiply,
    remainder,
    round,
    subtract,
    where,
)
from volta.functional.indexing import _gather, take
from volta.functional.manipulation import broadcast_to, expand_dims, moveaxis, reshape
from volta.functional.products import matmul

__all__ = ["affine_grid", "grid_sample", "interpolate"]


# Along an axis ------------------------------------------------------------------------------------


class Taps:
    """Linear map along an axis whose results read few elements each.

    Result i is ``Σ_k weights[i, k] · x[places[i, k]]``. Made once for the arguments of `taps_of`.
    """

    def __init__(self, n: int, places: Any, weights: Any) -> None:
        self.n, self.places, self.weights = n, places, weights
        self.plain = places.shape[1] == 1 and bool((weights == 1).all())  # takes, and no more

    @functools.cached_property
    def transpose(self) -> "Taps":
        """The transposed map, which reads few elements too."""
        m, k = self.places.shape
        reads, rows = self.places.reshape(-1), np.repeat(np.arange(m), k)
        order = np.argsort(reads, kind="stable")
        reads, rows, weights = reads[order], rows[order], self.weights.reshape(-1)[order]
        counts = np.bincount(reads, minlength=self.n)
        starts = np.cumsum(counts) - counts
        rank = np.arange(len(reads)) - starts[reads]
        places = np.zeros((self.n, max(int(counts.max(initial=0)), 1)), np.int64)
        places[:] = rows[np.minimum(starts, len(rows) - 1)][:, None]  # filled up by what it reads
        table = np.zeros(places.shape)
        places[reads, rank], table[reads, rank] = rows, weights
        found = Taps(m, places, table)
        found.__dict__["transpose"] = self
        return found


@functools.lru_cache(maxsize=64)
def _weights(taps: Taps, dtype: Any) -> Any:
    return taps.weights.astype(dtype)


@functools.lru_cache(maxsize=64)
def _matrix(taps: Taps, dtype: Any) -> Any:
    """The map as a matrix, (results, elements)."""
    out = np.zeros((len(taps.places), taps.n), dtype)
    np.add.at(out, (np.arange(len(taps.places))[:, None], taps.places), taps.weights)
    return out


_DENSE: Final = 1 << 15  # elements of a matrix up to which a product is faster than taking


def _numpy_resample(x: Any, *, axis: int, taps: Taps) -> Any:
    shape = (*x.shape[:axis], len(taps.places), *x.shape[axis + 1 :])
    inner = math.prod(x.shape[axis + 1 :])
    blocks = x.reshape(math.prod(x.shape[:axis]), taps.n, inner)
    if taps.plain:
        return blocks.take(taps.places[:, 0], 1).reshape(shape)
    if taps.n * len(taps.places) <= _DENSE and x.size:
        matrix = _matrix(taps, x.dtype)
        with np.errstate(all="ignore"):
            out = blocks[..., 0] @ matrix.T if inner == 1 else np.matmul(matrix, blocks)
            total = np.add.reduce(out, None)
        if np.isfinite(total):  # else zeros of the matrix may have met what is not finite
            return out.reshape(shape)
    weights = _weights(taps, x.dtype)
    terms = (
        blocks.take(places, 1) * w[:, None]
        for places, w in zip(taps.places.T, weights.T, strict=True)
    )
    return functools.reduce(operator.iadd, terms).reshape(shape)


def _portable_resample(xp: Any, x: Any, *, axis: int, taps: Taps) -> Any:
    lead = (1,) * (x.ndim - axis - 1)
    out = None
    for places, weights in zip(taps.places.T, taps.weights.T, strict=True):
        index = ops.like_index(x, np.ascontiguousarray(places))
        term = xp.take(x, index, axis=axis)
        if not taps.plain:
            term = term * ops.numbers_like(x, weights.reshape(-1, *lead))
        out = term if out is None else out + term
    return out


_resample: Any = primitive(
    "resample",
    type_rule=lambda x, *, axis, taps: ArrayType(
        (*x.shape[:axis], len(taps.places), *x.shape[axis + 1 :]), x.dtype
    ),
    batch=lambda size, batched, x, *, axis, taps: _resample(x, axis=axis + 1, taps=taps),
    derivatives=(Linear(lambda ct, *, axis, taps: _resampled(ct, axis, taps.transpose)),),
    value=_portable_resample,
    kernels={"numpy": _numpy_resample, "dask.array": in_one_task("resample")},
)


def _resampled(x: Any, axis: int, taps: Taps) -> Any:
    """`x` resampled, of 16-bit floats in 32 bits."""
    dtype = typeof(x).dtype
    if dtype not in HALVES:
        return _resample(x, axis=axis, taps=taps)
    wide = _resample(ops.astype(x, DTYPES["float32"]), axis=axis, taps=taps)
    return ops.astype(wide, dtype)


# Kernels ------------------------------------------------------------------------------------------


def _triangle(t: Any) -> Any:
    return np.maximum(1 - np.abs(t), 0)


def _cubic(t: Any, a: float) -> Any:
    """Convolution kernel of R. Keys, IEEE Trans. ASSP 29, 1981, with a = −1/2 there."""
    t = np.abs(t)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0))


@functools.lru_cache(maxsize=256)
def taps_of(mode: str, n: int, m: int, scale: float, align_corners: bool, antialias: bool) -> Taps:
    """Map from n to m elements; `scale` is the distance of results in elements."""
    i = np.arange(m)
    one = np.ones((m, 1))
    if n == m and mode != "bicubic":
        scale = 1.0  # as in PyTorch: the length stays, and so do the elements
    if mode == "nearest":
        return Taps(n, np.minimum(np.floor(i * scale), n - 1).astype(np.int64)[:, None], one)
    if mode == "nearest-exact":
        places = np.minimum(np.floor((i + 0.5) * scale), n - 1)
        return Taps(n, places.astype(np.int64)[:, None], one)
    if mode == "area":
        return _window(n, i * n // m, -(-(i + 1) * n // m), lambda places: np.ones(places.shape))
    cubic = mode == "bicubic"
    if align_corners:
        scale = (n - 1) / (m - 1) if m > 1 else 0.0
    if antialias:
        return _smooth(n, i, scale, 2 if cubic else 1, cubic)
    at = i * scale if align_corners else (i + 0.5) * scale - 0.5
    if not cubic:
        at = np.maximum(at, 0)
    first = np.floor(at).astype(np.int64)
    around = np.arange(-1, 3) if cubic else np.arange(2)
    places = first[:, None] + around
    distance = at[:, None] - places
    weights = _cubic(distance, -0.75) if cubic else _triangle(distance)  # as PyTorch has it
    return Taps(n, np.clip(places, 0, n - 1), weights)


def _window(n: int, start: Any, stop: Any, weigh: Callable[[Any], Any]) -> Taps:
    """Means over elements from `start` to `stop`, weighted."""
    places = start[:, None] + np.arange(max(int((stop - start).max(initial=1)), 1))
    weights = np.where(places < stop[:, None], weigh(places), 0)
    weights = weights / weights.sum(1, keepdims=True)
    return Taps(n, np.minimum(places, stop[:, None] - 1), weights)


def _smooth(n: int, i: Any, scale: float, reach: int, cubic: bool) -> Taps:
    """A kernel as wide as the results are apart, so that fine patterns do not alias."""
    wide = max(scale, 1.0)
    centre = scale * (i + 0.5)
    start = np.maximum((centre - reach * wide + 0.5).astype(np.int64), 0)
    stop = np.minimum((centre + reach * wide + 0.5).astype(np.int64), n)

    def weigh(places: Any) -> Any:
        t = (places - centre[:, None] + 0.5) / wide
        return _cubic(t, -0.5) if cubic else _triangle(t)

    return _window(n, start, stop, weigh)


# Other sizes --------------------------------------------------------------------------------------

_RANKS: Final = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}
_ANY_RANK: Final = ("nearest", "nearest-exact", "area")


def _each(what: str, value: Any, rank: int) -> tuple[Any, ...]:
    found = tuple(value) if isinstance(value, Sequence) else (value,) * rank
    if len(found) != rank:
        msg = f"interpolate: {what} must be one number or {rank}; got {value!r}."
        raise located(ShapeError(msg))
    return found


def _output(
    x: Any, size: Any, scale_factor: Any, recompute: bool
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Lengths of the result, and the distances of its elements in those of `x`."""
    lengths = tuple(x.shape[2:])
    if (size is None) == (scale_factor is None):
        msg = (
            "interpolate: there must be either size or scale_factor; got "
            f"{size!r} and {scale_factor!r}."
        )
        raise located(ValueError(msg))
    if size is not None:
        try:
            wanted = tuple(map(operator.index, _each("size", size, len(lengths))))
        except TypeError:
            msg = f"interpolate: size must hold ints; got {size!r}."
            raise located(DTypeError(msg)) from None
    else:
        factors = _each("scale_factor", scale_factor, len(lengths))
        wanted = tuple(math.floor(n * f) for n, f in zip(lengths, factors, strict=True))
    if 0 in lengths or min(wanted) < 1:
        msg = f"interpolate: lengths must be positive; got {lengths} and {wanted}."
        raise located(ShapeError(msg))
    if size is not None or recompute:
        return wanted, tuple(n / m for n, m in zip(lengths, wanted, strict=True))
    return wanted, tuple(1 / f for f in factors)


@composite
def interpolate(
    x: Array,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    *,
    align_corners: bool | None = None,
    recompute_scale_factor: bool = False,
    antialias: bool = False,
) -> Any:
    """Resample the axes after the first two to other lengths.

    Parameters
    ----------
    x : array, shape (n, channels, ...)
        Of real or complex floating dtype; any for the nearest.
    size : int or tuple of int, optional
        New lengths; either these or `scale_factor`.
    scale_factor : float or tuple of float, optional
        Ratio of the new lengths, which are rounded down, to the old.
    mode : str
        ``"nearest"`` or ``"nearest-exact"`` element, of the corner or the middle of a result;
        ``"linear"`` (three axes), ``"bilinear"`` (four) or ``"trilinear"`` (five) between the two
        neighbours along each axis; ``"bicubic"`` (four) between four; or the mean of the
        ``"area"`` of a result.
    align_corners : bool, optional
        For the linear and cubic modes: whether the outermost elements lie on each other, or (by
        default) their outer edges.
    recompute_scale_factor : bool
        Whether the distance of results follows from the lengths, not from `scale_factor`.
    antialias : bool
        For ``"bilinear"`` and ``"bicubic"``: whether results reach as far as they are apart, so
        that a smaller image has no false patterns.

    Returns
    -------
    array, shape (n, channels, ...)
        Of the dtype of `x`.

    Raises
    ------
    ShapeError
        If the lengths do not fit, or the mode is for another number of axes.
    ValueError
        If there is no such mode, an option is not for it, or not exactly one of `size` and
        `scale_factor` is given.
    DTypeError
        If `x` is of integers, where they would be averaged.

    Notes
    -----
    Each axis is resampled on its own. The cubic kernel has a = −3/4 as in PyTorch, and −1/2
    with `antialias`. 16-bit floats are computed in 32 bits. PyTorch's derivative of "bicubic" is
    that of the identity where a `scale_factor` other than 1 leaves both lengths as they are, though
    the result is not `x`; here it is that of the result.

    Examples
    --------
    >>> F.interpolate(np.asarray([[[1.0, 3.0]]]), scale_factor=2, mode="linear")
    array([[[1. , 1.5, 2.5, 3. ]]])
    >>> F.interpolate(np.asarray([[[1.0, 3.0]]]), 4)
    array([[[1., 1., 3., 3.]]])
    """
    if mode not in _RANKS and mode not in _ANY_RANK:
        known = ", ".join((*_ANY_RANK, *_RANKS))
        msg = f"interpolate: mode must be one of {known}; got {mode!r}."
        raise located(ValueError(msg))
    rank = x.ndim - 2
    if rank < 1 or _RANKS.get(mode, rank) != rank:
        wanted = f"{_RANKS[mode] + 2}" if mode in _RANKS else "3 or more"
        msg = f"interpolate: x must have {wanted} axes for {mode!r}; got {tuple(x.shape)}."
        raise located(ShapeError(msg))
    if align_corners is not None and mode not in _RANKS:
        msg = f"interpolate: align_corners must come with a linear or cubic mode; got {mode!r}."
        raise located(ValueError(msg))
    if antialias and mode not in ("bilinear", "bicubic"):
        msg = f"interpolate: antialias must come with 'bilinear' or 'bicubic'; got {mode!r}."
        raise located(ValueError(msg))
    sizes, scales = _output(x, size, scale_factor, recompute_scale_factor)
    whole = typeof(x).dtype.kind not in ("float", "complex")
    if whole and not mode.startswith("nearest"):
        msg = f"interpolate: x must be floating for {mode!r}; got {typeof(x).dtype.name}."
        raise located(DTypeError(msg))
    for axis, (m, scale) in enumerate(zip(sizes, scales, strict=True), 2):
        taps = taps_of(mode, x.shape[axis], m, scale, bool(align_corners), antialias)
        if not (taps.plain and np.array_equal(taps.places[:, 0], np.arange(taps.n))):
            x = take(x, taps.places[:, 0], axis=axis) if whole else _resampled(x, axis, taps)
    return x


# At points ----------------------------------------------------------------------------------------


def _linspace(n: int, align_corners: bool) -> Any:
    """Places from −1 to 1, of the outermost elements' middles or outer edges."""
    if n == 1:
        return np.zeros(1)
    x = np.linspace(-1.0, 1.0, n)
    return x if align_corners else x * ((n - 1) / n)


@composite
def affine_grid(theta: Array, size: Sequence[int], *, align_corners: bool = False) -> Any:
    """Points of an image under affine maps, for `grid_sample`.

    Parameters
    ----------
    theta : array, shape (n, 2, 3) or (n, 3, 4)
        Matrices, of real floating dtype, that act on (x, y, 1) or (x, y, z, 1).
    size : tuple of int
        Shape of the image that is made, (n, channels, height, width) or with a depth before these.
    align_corners : bool
        Whether −1 and 1 are the middles of the outermost elements, or their outer edges.

    Returns
    -------
    array, shape (n, height, width, 2) or (n, depth, height, width, 3)

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    DTypeError
        If `theta` is not real floating.

    References
    ----------
    M. Jaderberg, K. Simonyan, A. Zisserman, K. Kavukcuoglu, "Spatial transformer networks",
    NeurIPS 2015, https://arxiv.org/abs/1506.02025.

    Examples
    --------
    >>> F.affine_grid(np.asarray([[[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]]]), (1, 1, 1, 2))
    array([[[[0., 0.],
             [1., 0.]]]])
    """
    sizes = tuple(map(operator.index, size))
    rank = len(sizes) - 2
    if rank not in (2, 3) or tuple(theta.shape) != (sizes[0], rank, rank + 1) or min(sizes) < 1:
        msg = (
            "affine_grid: theta must have shape (n, 2, 3) for a size of 4 numbers and (n, 3, 4) "
            f"for 5, of at least 1; got shape {tuple(theta.shape)} and {sizes}."
        )
        raise located(ShapeError(msg))
    if typeof(theta).dtype.kind != "float":
        msg = f"affine_grid: theta must be real floating; got {typeof(theta).dtype.name}."
        raise located(DTypeError(msg))
    axes = np.meshgrid(*(_linspace(n, align_corners) for n in sizes[2:]), indexing="ij")
    points = np.stack([*axes[::-1], np.ones_like(axes[0])], axis=-1).reshape(-1, rank + 1)
    out = matmul(ops.numbers_like(theta, points), ops.matrix_transpose(theta))
    return reshape(out, (sizes[0], *sizes[2:], rank))


def _unnormalized(coordinate: Any, n: int, align_corners: bool) -> Any:
    """Place among n elements, from 0, of a coordinate from −1 to 1."""
    if align_corners:
        return multiply(add(coordinate, 1), (n - 1) / 2)
    return subtract(multiply(add(coordinate, 1), n / 2), 0.5)


def _reflected(at: Any, n: int, align_corners: bool) -> Any:
    """Place mirrored at the middles of the outermost elements, or at their outer edges."""
    low, span = (0.0, float(n - 1)) if align_corners else (-0.5, float(n))
    if not span:
        return multiply(at, 0)
    away = _abs(subtract(at, low))
    rest = remainder(away, 2 * span)
    return add(minimum(rest, subtract(2 * span, rest)), low)


def _within(at: Any, n: int, padding_mode: str, align_corners: bool) -> Any:
    if padding_mode == "reflection":
        at = _reflected(at, n, align_corners)
    return at if padding_mode == "zeros" else clip(at, 0, n - 1)


def _picked(x: Any, places: Sequence[Any], padding_mode: str, align_corners: bool) -> Any:
    """Elements (n, *points, channels) at whole places, zeros or others beyond the ends."""
    lengths = x.shape[1:-1]
    batch = reshape(ops.arange_like(x, int(x.shape[0])), (-1, *(1,) * (places[0].ndim - 1)))
    inside: Any = None
    index = []
    for at, n in zip(places, lengths, strict=True):
        if padding_mode == "zeros":
            within = logical_and(greater(at, -1), less(at, n))
            inside = within if inside is None else logical_and(inside, within)
        else:
            at = _within(at, n, padding_mode, align_corners)
        at = where(ops.isfinite(at), at, 0)
        index.append(ops.astype(clip(at, 0, n - 1), DTYPES["int64"]))
    batch = broadcast_to(batch, tuple(index[0].shape))
    out = _gather(x, batch, *index, axes=tuple(range(1 + len(index))))
    return out if inside is None else where(expand_dims(inside, axis=-1), out, 0)


def _cubic_weights(t: Any) -> list[Any]:
    """Weights of the four neighbours of a place t ∈ [0, 1) after the second, with a = −3/4."""
    a = -0.75

    def near(t: Any) -> Any:
        return ((a + 2) * t - (a + 3)) * t * t + 1

    def far(t: Any) -> Any:
        return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


@composite
def grid_sample(
    x: Array,
    grid: Array,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    *,
    align_corners: bool = False,
) -> Any:
    """Values of an image at any points.

    Parameters
    ----------
    x : array, shape (n, channels, height, width) or (n, channels, depth, height, width)
        Of real floating dtype.
    grid : array, shape (n, ..., 2) or (n, ..., 3), as many axes as `x`
        Points (x, y) or (x, y, z): −1 is left, top or front, 1 right, bottom or back.
    mode : "bilinear", "nearest" or "bicubic"
        How to get values between elements; ``"bilinear"`` along three axes too.
    padding_mode : "zeros", "border" or "reflection"
        What lies beyond the image: zeros, its outermost elements, or its mirror image.
    align_corners : bool
        Whether −1 and 1 are the middles of the outermost elements, or their outer edges.

    Returns
    -------
    array, shape (n, channels, ...)
        Of the dtype that both promote to.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    DTypeError
        If an array is not real floating.
    ValueError
        If there is no such mode, or ``"bicubic"`` is for three axes.

    Notes
    -----
    The derivative by `grid` is 0 for ``"nearest"``, and of a point beyond the border.

    References
    ----------
    M. Jaderberg, K. Simonyan, A. Zisserman, K. Kavukcuoglu, "Spatial transformer networks",
    NeurIPS 2015, https://arxiv.org/abs/1506.02025.

    Examples
    --------
    >>> image = np.asarray([[[[0.0, 1.0], [2.0, 3.0]]]])
    >>> F.grid_sample(image, np.asarray([[[[0.0, 0.0]]]]))
    array([[[[1.5]]]])
    """
    rank = x.ndim - 2
    fits = tuple(grid.shape[:1]) == tuple(x.shape[:1]) and tuple(grid.shape[-1:]) == (rank,)
    if rank not in (2, 3) or grid.ndim != x.ndim or not fits or 0 in x.shape[2:]:
        msg = (
            "grid_sample: x must have shape (n, channels, height, width) and grid (n, ..., 2), or "
            f"with a depth and 3; got shapes {tuple(x.shape)} and {tuple(grid.shape)}."
        )
        raise located(ShapeError(msg))
    _check_choice("mode", mode, "bilinear", "nearest", "bicubic")
    _check_choice("padding_mode", padding_mode, "zeros", "border", "reflection")
    if mode == "bicubic" and rank == 3:
        msg = "grid_sample: mode 'bicubic' must be for two axes; got three."
        raise located(ValueError(msg))
    dtypes = [typeof(a).dtype for a in (x, grid)]
    if any(d.kind != "float" for d in dtypes):
        msg = f"grid_sample: arrays must be real floating; got {dtypes[0].name}, {dtypes[1].name}."
        raise located(DTypeError(msg))
    dtype = promote(dtypes) or DTYPES["float32"]
    work = DTYPES["float32"] if dtype in HALVES else dtype
    x, grid = (ops.astype(a, work, copy=False) for a in (x, grid))
    lengths = tuple(x.shape[2:])
    at = [_unnormalized(grid[..., rank - 1 - a], n, align_corners) for a, n in enumerate(lengths)]
    if mode != "bicubic":
        at = [_within(c, n, padding_mode, align_corners) for c, n in zip(at, lengths, strict=True)]
    out = _sampled(moveaxis(x, 1, -1), at, mode, padding_mode, align_corners)
    return ops.astype(moveaxis(out, -1, 1), dtype, copy=False)


def _check_choice(what: str, value: str, *known: str) -> None:
    if value not in known:
        msg = f"grid_sample: {what} must be one of {', '.join(known)}; got {value!r}."
        raise located(ValueError(msg))


def _sampled(x: Any, at: list[Any], mode: str, padding_mode: str, align_corners: bool) -> Any:
    if mode == "nearest":
        return _picked(x, [round(c) for c in at], padding_mode, align_corners)
    starts = [floor(c) for c in at]
    rests = [subtract(c, start) for c, start in zip(at, starts, strict=True)]
    if mode == "bicubic":
        first, weights = -1, [_cubic_weights(t) for t in rests]
    else:
        first, weights = 0, [[subtract(1, t), t] for t in rests]
    out: Any = None
    for offsets in itertools.product(range(len(weights[0])), repeat=len(at)):
        places = [add(start, first + o) for start, o in zip(starts, offsets, strict=True)]
        picked = _picked(x, places, padding_mode, align_corners)
        factor = functools.reduce(multiply, [w[o] for w, o in zip(weights, offsets, strict=True)])
        term = multiply(picked, expand_dims(factor, axis=-1))
        out = term if out is None else add(out, term)
    return out
