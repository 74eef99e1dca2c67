"""Normalizations: arrays with mean 0 and variance 1, or length 1, over some of their axes."""

import functools
import math
import operator
import sys
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from volta.core.derivatives import Pair, unbroadcast
from volta.core.errors import DTypeError, ShapeError
from volta.core.trace import live, located, ops
from volta.core.types import DTYPES, HALVES, Array, ArrayType, as_dtype, promote, typeof
from volta.functional.axes import normalize_axis
from volta.functional.declare import composite, primitive, shortcut
from volta.functional.dtypes import finfo
from volta.functional.elementwise import add, divide, maximum, multiply, pow, sqrt, square, subtract
from volta.functional.linalg import vector_norm
from volta.functional.manipulation import broadcast_to, reshape
from volta.functional.padding import pad
from volta.functional.reduction import mean

__all__ = [
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_response_norm",
    "normalize",
    "rms_norm",
    "weight_norm",
]

Axes = tuple[int, ...]


# The primitive ------------------------------------------------------------------------------------
#
# y = (x − mean) / sqrt(var + eps) · weight + bias, with weight and bias, or the weight alone, or
# neither. They broadcast to x and have one shape. Where it is not centred, the mean counts as 0.


def _kept(shape: tuple[int, ...], axes: Axes) -> tuple[int, ...]:
    return tuple(1 if a in axes else n for a, n in enumerate(shape))


def _count(shape: tuple[int, ...], axes: Axes) -> int:
    return math.prod(shape[a] for a in axes)


def _standardize_type(
    x: ArrayType, *affine: ArrayType, axes: Axes, eps: float, centred: bool
) -> tuple[ArrayType, ...]:
    moments = ArrayType(_kept(x.shape, axes), x.dtype)
    return x, moments, moments


def _standardize_batch(
    size: int, batched: tuple[bool, ...], x: Any, *affine: Any, axes: Axes, **params: Any
) -> Any:
    x = x if batched[0] else broadcast_to(x, (size, *x.shape))
    if any(batched[1:]):
        whole = (
            a if b else broadcast_to(a, (size, *a.shape))
            for a, b in zip(affine, batched[1:], strict=True)
        )
        affine = tuple(reshape(a, (size, *(1,) * (x.ndim - a.ndim), *a.shape[1:])) for a in whole)
    return _standardize(x, *affine, axes=tuple(a + 1 for a in axes), **params)


def _portable_standardize(
    xp: Any, x: Any, *affine: Any, axes: Axes, eps: float, centred: bool
) -> tuple[Any, ...]:
    if centred:
        centre = xp.mean(x, axis=axes, keepdims=True)
        x = x - centre
    var = xp.mean(x * x, axis=axes, keepdims=True)
    y = x * (1 / xp.sqrt(var + eps))
    for apply, a in zip((operator.mul, operator.add), affine, strict=False):
        y = apply(y, a)
    return y, centre if centred else xp.zeros_like(var), var


_BLOCK: Final = 1 << 20  # bytes: stays near, and is long enough a call for two threads to gain


def _rows(x: Any, weight: Any, axes: Axes) -> tuple[tuple[int, ...], Axes]:
    """Shape of `x` with the axes before the first reduced one joined, and the axes there."""
    lead = axes[0] if axes else 0
    if lead < 2 or (weight is not None and weight.ndim > x.ndim - lead):
        return x.shape, axes
    shape = (math.prod(x.shape[:lead]), *x.shape[lead:])
    return shape, tuple(a - lead + 1 for a in axes)


def _blocks(x: Any, weight: Any, axes: Axes) -> list[tuple[Any, Any]]:
    """Keys of parts of `x` that are normalized on their own, and of the part of `weight` there."""
    axis = next((a for a in range(x.ndim) if a not in axes), None)
    if axis is None or x.nbytes <= _BLOCK:
        return [(..., ...)]
    n = x.shape[axis]
    step = max(1, _BLOCK * n // x.nbytes)
    lead = (slice(None),) * axis
    found: list[tuple[Any, Any]] = []
    place = -1 if weight is None else axis - x.ndim + weight.ndim
    varies = place >= 0 and weight.shape[place] > 1
    for start in range(0, n, step):
        part = slice(start, start + step)
        found.append(((*lead, part), (*lead[:place], part) if varies else ...))
    return found


def _mean_product(x: Any, y: Any, axes: Axes) -> Any:
    """Mean of x · y over axes; over the last ones by BLAS, at a third of the cost."""
    lead = x.ndim - len(axes)
    if axes != tuple(range(lead, x.ndim)):
        total = np.add.reduce(x * y, axes, keepdims=True)
    else:
        rows = (*x.shape[:lead], -1)
        total = np.vecdot(x.reshape(rows), y.reshape(rows)).reshape(_kept(x.shape, axes))
    return total / x.dtype.type(_count(x.shape, axes))


def _numpy_standardize(
    x: Any, *affine: Any, axes: Axes, eps: float, centred: bool
) -> tuple[Any, ...]:
    """Two passes over blocks that stay in the cache."""
    if not x.size:
        with np.errstate(invalid="ignore"):  # the mean of nothing is NaN
            return _portable_standardize(np, x, *affine, axes=axes, eps=eps, centred=centred)
    given, kept = x.shape, _kept(x.shape, axes)
    weight = affine[0] if affine else None
    shape, axes = _rows(x, weight, axes)
    x = x.reshape(shape)
    y = np.empty(shape, x.dtype)
    centre, var = (np.zeros(_kept(shape, axes), x.dtype) for _ in range(2))
    n = _count(shape, axes)
    for key, place in _blocks(x, weight, axes):
        part, out, moment = x[key], y[key], var[key]
        if centred:
            # in 64 bits, since a mean far from zero would lose what the numbers differ by
            centre[key] = np.add.reduce(part, axes, np.float64, keepdims=True) / n
            part = np.subtract(part, centre[key], out=out)
        moment[...] = _mean_product(part, part, axes)
        np.multiply(part, 1 / np.sqrt(moment + eps), out=out)
        for apply, a in zip((np.multiply, np.add), affine, strict=False):
            apply(out, a[place], out=out)
    return y.reshape(given), centre.reshape(kept), var.reshape(kept)


def _of_rows(x: Any, weight: Any, axes: Axes) -> bool:
    """Whether the last axes are normalized, each element there with a weight of its own."""
    lead = x.ndim - len(axes)
    last = axes == tuple(range(lead, x.ndim))
    return last and (weight is None or tuple(weight.shape) == tuple(x.shape[lead:]))


def _torch_standardize(
    x: Any, *affine: Any, axes: Axes, eps: float, centred: bool
) -> tuple[Any, ...]:
    torch = sys.modules["torch"]
    if not x.numel():  # of which it warns
        centre = x.mean(axes, keepdim=True)
        return x.clone(), centre, centre
    weight, bias = (*affine, None, None)[:2]
    sizes = x.shape[x.ndim - len(axes) :]
    rows = _of_rows(x, weight, axes)
    if not centred:
        var = x.square().mean(axes, keepdim=True)
        if rows:
            return torch.rms_norm(x, sizes, weight, eps), torch.zeros_like(var), var
        y = x * (var + eps).rsqrt()
        return y if weight is None else y * weight, torch.zeros_like(var), var
    var, centre = torch.var_mean(x, axes, correction=0, keepdim=True)
    if rows:
        return torch.layer_norm(x, sizes, weight, bias, eps), centre, var
    scale = (var + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -centre * scale
    return torch.addcmul(shift if bias is None else shift + bias, x, scale), centre, var


def _standardize_jvp(
    primals: Any, tangents: Any, *, axes: Axes, eps: float, centred: bool
) -> tuple[Any, Any]:
    x, *affine = primals
    t, *others = tangents
    outs = _standardize(x, *affine, axes=axes, eps=eps, centred=centred)
    y, centre, var = outs
    d = subtract(x, centre) if centred else x
    scale = divide(1, sqrt(add(var, eps)))
    t_centre = t_var = ops.zeros_like(var)
    terms = []
    if t is not None:
        inner = mean(multiply(d, t), axis=axes, keepdims=True)
        t_var = multiply(inner, 2)
        slope = subtract(t, multiply(d, multiply(inner, square(scale))))
        if centred:
            t_centre = mean(t, axis=axes, keepdims=True)
            slope = subtract(slope, t_centre)
        slope = multiply(slope, scale)
        terms.append(multiply(slope, affine[0]) if affine else slope)
    if others and others[0] is not None:
        terms.append(multiply(multiply(d, scale), others[0]))
    if len(others) > 1 and others[1] is not None:
        terms.append(broadcast_to(others[1], tuple(y.shape)))
    return outs, (functools.reduce(add, terms), t_centre, t_var)


def _numpy_pull(
    x: Any, centre: Any, var: Any, ct: Any, weight: Any, axes: Axes, eps: float, centred: bool
) -> tuple[Any, ...]:
    if not x.size or (weight is not None and type(weight) is not np.ndarray):
        raise NotImplementedError
    given, kept = x.shape, var.shape
    shape, axes = _rows(x, weight, axes)
    kept = _kept(shape, axes)
    x, ct, centre, var = (
        a.reshape(s) for a, s in ((x, shape), (ct, shape), (centre, kept), (var, kept))
    )
    n = _count(shape, axes)
    out = np.empty(shape, x.dtype)
    ct_weight: Any = None
    ct_bias: Any = None
    if weight is not None:
        spread = (1,) * (x.ndim - weight.ndim) + weight.shape
        summed = tuple(a for a, m in enumerate(spread) if m == 1)
        ct_weight, ct_bias = np.zeros_like(weight), np.zeros_like(weight)
    for key, place in _blocks(x, weight, axes):
        c, g = ct[key], out[key]
        scale = 1 / np.sqrt(var[key] + eps)
        h = np.subtract(x[key], centre[key])
        h *= scale
        if weight is None:
            g[...] = c
        else:
            w, inner = weight[place], h * c
            ct_weight[place] += np.add.reduce(inner, summed).reshape(w.shape)
            ct_bias[place] += np.add.reduce(c, summed).reshape(w.shape)
            np.multiply(c, w, out=g)
        h *= _mean_product(g, h, axes)
        if centred:
            total = np.add.reduce(g, axes, keepdims=True)
            total /= n
            g -= total
        g -= h
        g *= scale
    return out.reshape(given), ct_weight, ct_bias


def _torch_pull(
    x: Any, centre: Any, var: Any, ct: Any, weight: Any, axes: Axes, eps: float, centred: bool
) -> tuple[Any, ...] | None:
    """By torch's own kernels, or None where there is none."""
    aten = sys.modules["torch"].ops.aten
    scale = (var + eps).rsqrt()
    wanted = [True, weight is not None, weight is not None]
    if centred and _of_rows(x, weight, axes):
        sizes = x.shape[x.ndim - len(axes) :]
        return tuple(
            aten.native_layer_norm_backward(
                ct.contiguous(), x, sizes, centre, scale, weight, weight, wanted
            )
        )
    channels = x.shape[1:2]
    of_channels = weight is None or weight.shape == (*channels, *(1,) * (x.ndim - 2))
    if centred and axes == (0, *range(2, x.ndim)) and of_channels:
        flat = None if weight is None else weight.reshape(-1)
        at_x, *others = aten.native_batch_norm_backward(
            ct, x, flat, None, None, centre.reshape(-1), scale.reshape(-1), True, eps, wanted
        )
        return at_x, *(None if o is None else o.reshape(weight.shape) for o in others)
    return None


@shortcut(_numpy_pull, dtypes="fd")
def _pull(
    x: Array,
    centre: Array,
    var: Array,
    ct: Array,
    weight: Any,
    axes: Axes,
    eps: float,
    centred: bool,
) -> tuple[Any, ...]:
    """Cotangents of x, weight and bias from that of y."""
    arrays = (x, centre, var, ct) if weight is None else (x, centre, var, ct, weight)
    if not live.staging and type(x).__module__ == "torch" and len({*map(type, arrays)}) == 1:
        found = _torch_pull(x, centre, var, ct, weight, axes, eps, centred)
        if found is not None:
            return found
    scale = divide(1, sqrt(add(var, eps)))
    h = multiply(subtract(x, centre) if centred else x, scale)
    ct_weight = ct_bias = None
    g = ct
    if weight is not None:
        ct_weight = unbroadcast(multiply(ct, h), tuple(weight.shape))
        ct_bias = unbroadcast(ct, tuple(weight.shape))
        g = multiply(ct, weight)
    inner = mean(multiply(g, h), axis=axes, keepdims=True)
    if centred:
        g = subtract(g, mean(g, axis=axes, keepdims=True))
    return multiply(scale, subtract(g, multiply(h, inner))), ct_weight, ct_bias


def _standardize_fwd(x: Any, *affine: Any, **params: Any) -> tuple[Any, Any]:
    outs = _standardize(x, *affine, **params)
    return outs, (x, *outs[1:], *affine)


def _standardize_bwd(
    residuals: Any, cts: Any, needed: Any, *, axes: Axes, eps: float, centred: bool
) -> tuple[Any, ...]:
    x, centre, var, *affine = residuals
    ct, ct_centre, ct_var = cts
    found: tuple[Any, ...] = (None,) * 3
    if ct is not None:
        found = _pull(x, centre, var, ct, affine[0] if affine else None, axes, eps, centred)
    at_x = found[0]
    n = _count(tuple(x.shape), axes)
    if ct_centre is not None and centred:
        term = broadcast_to(divide(ct_centre, n), tuple(x.shape))
        at_x = term if at_x is None else add(at_x, term)
    if ct_var is not None:
        d = subtract(x, centre) if centred else x
        term = multiply(d, multiply(ct_var, 2 / n))
        at_x = term if at_x is None else add(at_x, term)
    return (at_x, *found[1:])[: 1 + len(affine)]


# One entry, computed block by block, in place of nine: half the time at 4096 × 768, and of results
# the mean and the variance alone are kept
_standardize: Any = primitive(
    "standardize",
    type_rule=_standardize_type,
    batch=_standardize_batch,
    derivatives=Pair(_standardize_jvp, _standardize_fwd, _standardize_bwd),
    value=_portable_standardize,
    kernels={"numpy": _numpy_standardize, "torch": _torch_standardize},
    results=3,
)


# Arguments ----------------------------------------------------------------------------------------


def _work_dtype(name: str, x: Any, *others: Any) -> tuple[Any, Any]:
    """Dtype of the result, that all operands promote to, and the one to compute in."""
    arrays = [x, *(a for a in others if a is not None)]
    dtypes = [typeof(a).dtype for a in arrays]
    dtype = promote(dtypes)
    if dtype is None or any(d.kind != "float" for d in dtypes):
        got = " and ".join(d.name for d in dtypes)
        msg = f"{name}: arrays must be real floating, of dtypes that promote; got {got}."
        raise located(DTypeError(msg))
    return dtype, DTYPES["float32"] if dtype in HALVES else dtype


def _check_channels(name: str, x: Any, least: int = 2, **vectors: Any) -> int:
    """Length of axis 1, which the vectors that are given must have."""
    if x.ndim < least:
        msg = f"{name}: x must have {least} axes or more, (n, channels, ...); got {_shape(x)}."
        raise located(ShapeError(msg))
    channels = int(x.shape[1])
    for what, v in vectors.items():
        if v is not None and _shape(v) != (channels,):
            msg = (
                f"{name}: {what} must have one number a channel, shape {(channels,)}; got shape "
                f"{_shape(v)} for x of shape {_shape(x)}."
            )
            raise located(ShapeError(msg))
    return channels


def _shape(x: Any) -> tuple[int, ...]:
    return tuple(x.shape)


def _sizes(name: str, normalized_shape: Any, x: Any, **arrays: Any) -> tuple[int, ...]:
    """Lengths of the last axes, which the arrays that are given must have."""
    given = normalized_shape if isinstance(normalized_shape, Sequence) else (normalized_shape,)
    sizes = tuple(map(operator.index, given))
    if not sizes or _shape(x)[-len(sizes) :] != sizes:
        msg = (
            f"{name}: the last axes of x must be normalized_shape; got shape {_shape(x)} and "
            f"{sizes}."
        )
        raise located(ShapeError(msg))
    for what, a in arrays.items():
        if a is not None and _shape(a) != sizes:
            msg = f"{name}: {what} must have normalized_shape, {sizes}; got shape {_shape(a)}."
            raise located(ShapeError(msg))
    return sizes


def _pair(weight: Any, bias: Any, shape: tuple[int, ...], dtype: Any) -> tuple[Any, ...]:
    """Weight and bias as operands of the primitive: both or neither."""
    if weight is None and bias is None:
        return ()
    weight = ops.ones_like(bias) if weight is None else weight
    bias = ops.zeros_like(weight) if bias is None else bias
    return tuple(ops.astype(reshape(a, shape), dtype, copy=False) for a in (weight, bias))


def _standardized(
    x: Any, affine: tuple[Any, ...], axes: Axes, eps: float, dtypes: tuple[Any, Any]
) -> tuple[Any, Any, Any]:
    """Result of the dtype wanted, mean and variance in that of the computation."""
    dtype, work = dtypes
    x = ops.astype(x, work, copy=False)
    y, centre, var = _standardize(x, *affine, axes=axes, eps=eps, centred=True)
    return ops.astype(y, dtype, copy=False), centre, var


def _updated(old: Any, new: Any, momentum: Any) -> Any:
    """Running mean of statistics, of the dtype that it has; the new one where there is none."""
    if old is None:
        return new
    dtype = typeof(old).dtype
    old = ops.astype(old, typeof(new).dtype, copy=False)
    return ops.astype(add(old, multiply(subtract(new, old), momentum)), dtype, copy=False)


# Over axes ----------------------------------------------------------------------------------------


@composite
def batch_norm(
    x: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    training: bool = False,
    momentum: Any = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Normalize each channel over all other axes, ``(x − mean) / √(var + eps) · weight + bias``.

    Parameters
    ----------
    x : array, shape (n, channels, ...)
        Of real floating dtype.
    running_mean, running_var : array, shape (channels,), optional
        Statistics of earlier batches. Out of training they normalize, and must be given.
    weight, bias : array, shape (channels,), optional
    training : bool
        Whether to normalize by the mean and the variance of `x` itself.
    momentum : float or array, shape ()
        Weight of this batch in the new running statistics; 1/k in the k-th step makes them a
        cumulative average. (In Keras and Flax it is the weight of the old ones.)
    eps : float
        Added to the variance.

    Returns
    -------
    y : array, shape of `x`
        Of the dtype that `x`, `weight` and `bias` promote to.
    running_mean, running_var : array, shape (channels,)
        In training only: ``(1 − momentum) · old + momentum · new``, of the dtypes of the old ones;
        the new ones where no old ones were given, the old ones where the batch is empty.

    Raises
    ------
    ShapeError
        If a shape does not fit.
    DTypeError
        If an array is not real floating.
    ValueError
        If a channel has but one value in training, whose variance is nothing to divide by, or none
        and no running statistics; out of training, if there are no running statistics.

    Notes
    -----
    The function is pure: what PyTorch writes into `running_mean` and `running_var` is returned.
    `x` is divided by the biased variance, Σ (x − mean)² / n; the running one is unbiased, with
    n − 1. 16-bit floats are computed in 32 bits.

    References
    ----------
    S. Ioffe, C. Szegedy, "Batch normalization: accelerating deep network training by reducing
    internal covariate shift", ICML 2015, https://arxiv.org/abs/1502.03167.

    Examples
    --------
    >>> x = np.asarray([[1.0, 10.0], [3.0, 30.0]])
    >>> y, mean, var = F.batch_norm(x, np.zeros(2), np.ones(2), training=True)
    >>> y.round(3)
    array([[-1., -1.],
           [ 1.,  1.]])
    >>> mean, var
    (array([0.2, 2. ]), array([ 1.1, 20.9]))
    >>> F.batch_norm(x, mean, var).round(3)
    array([[0.763, 1.75 ],
           [2.67 , 6.125]])
    """
    name = "batch_norm"
    channels = _check_channels(
        name, x, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    dtypes = _work_dtype(name, x, weight, bias)
    _work_dtype(name, x, running_mean, running_var)
    shape = (channels, *(1,) * (x.ndim - 2))
    affine = _pair(weight, bias, shape, dtypes[1])
    if not training:
        if running_mean is None or running_var is None:
            msg = (
                "batch_norm: there must be running statistics out of training; got "
                "none. Pass training=True to normalize by those of x."
            )
            raise located(ValueError(msg))
        return _rescaled(x, running_mean, running_var, affine, shape, eps, dtypes)
    axes = (0, *range(2, x.ndim))
    n = _count(_shape(x), axes)
    if n == 0 and running_mean is not None and running_var is not None:
        y = _rescaled(x, running_mean, running_var, affine, shape, eps, dtypes)
        return y, running_mean, running_var
    if n < 2:
        msg = (
            "batch_norm: each channel must have more than one value in training; got x of shape "
            f"{_shape(x)}."
        )
        raise located(ValueError(msg))
    y, centre, var = _standardized(x, affine, axes, eps, dtypes)
    var = multiply(reshape(var, (channels,)), n / (n - 1))
    return (
        y,
        _updated(running_mean, reshape(centre, (channels,)), momentum),
        _updated(running_var, var, momentum),
    )


def _rescaled(
    x: Any,
    centre: Any,
    var: Any,
    affine: tuple[Any, ...],
    shape: tuple[int, ...],
    eps: float,
    dtypes: tuple[Any, Any],
) -> Any:
    """``(x − mean) / √(var + eps) · weight + bias`` as one product and one sum."""
    dtype, work = dtypes
    centre, var = (ops.astype(reshape(a, shape), work, copy=False) for a in (centre, var))
    scale = divide(1, sqrt(add(var, eps)))
    if affine:
        scale = multiply(scale, affine[0])
    shift = multiply(centre, scale)
    y = multiply(ops.astype(x, work, copy=False), scale)
    y = subtract(y, subtract(shift, affine[1]) if affine else shift)
    return ops.astype(y, dtype, copy=False)


@composite
def layer_norm(
    x: Array,
    normalized_shape: Any,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
) -> Any:
    """Normalize over the last axes, ``(x − mean) / √(var + eps) · weight + bias``.

    Parameters
    ----------
    x : array, shape (..., *normalized_shape)
        Of real floating dtype.
    normalized_shape : int or tuple of int
        Lengths of the axes.
    weight, bias : array, shape `normalized_shape`, optional
    eps : float
        Added to the variance, which is the biased one.

    Returns
    -------
    array, shape of `x`
        Of the dtype that the arrays promote to.

    Raises
    ------
    ShapeError
        If a shape does not fit.
    DTypeError
        If an array is not real floating.

    Notes
    -----
    16-bit floats are computed in 32 bits.

    References
    ----------
    J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer normalization", 2016,
    https://arxiv.org/abs/1607.06450.

    Examples
    --------
    >>> F.layer_norm(np.asarray([[1.0, 3.0], [2.0, 8.0]]), 2).round(3)
    array([[-1.,  1.],
           [-1.,  1.]])
    """
    sizes = _sizes("layer_norm", normalized_shape, x, weight=weight, bias=bias)
    dtypes = _work_dtype("layer_norm", x, weight, bias)
    axes = tuple(range(x.ndim - len(sizes), x.ndim))
    return _standardized(x, _pair(weight, bias, sizes, dtypes[1]), axes, eps, dtypes)[0]


@composite
def rms_norm(
    x: Array, normalized_shape: Any, weight: Array | None = None, *, eps: float | None = None
) -> Any:
    """Divide by the root of the mean square over the last axes, ``x / √(mean x² + eps) · weight``.

    Parameters
    ----------
    x : array, shape (..., *normalized_shape)
        Of real floating dtype.
    normalized_shape : int or tuple of int
        Lengths of the axes.
    weight : array, shape `normalized_shape`, optional
    eps : float, optional
        By default the spacing of the dtype of `x` at 1.

    Returns
    -------
    array, shape of `x`
        Of the dtype that the arrays promote to.

    Raises
    ------
    ShapeError
        If a shape does not fit.
    DTypeError
        If an array is not real floating.

    References
    ----------
    B. Zhang, R. Sennrich, "Root mean square layer normalization", NeurIPS 2019,
    https://arxiv.org/abs/1910.07467.

    Examples
    --------
    >>> F.rms_norm(np.asarray([3.0, 4.0]), 2).round(3)
    array([0.849, 1.131])
    """
    sizes = _sizes("rms_norm", normalized_shape, x, weight=weight)
    dtype, work = _work_dtype("rms_norm", x, weight)
    eps = float(finfo(typeof(x).dtype).eps) if eps is None else eps
    axes = tuple(range(x.ndim - len(sizes), x.ndim))
    affine = () if weight is None else (ops.astype(weight, work, copy=False),)
    x = ops.astype(x, work, copy=False)
    y = _standardize(x, *affine, axes=axes, eps=eps, centred=False)[0]
    return ops.astype(y, dtype, copy=False)


@composite
def group_norm(
    x: Array,
    num_groups: int,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
) -> Any:
    """Normalize groups of channels of each sample, ``(x − mean) / √(var + eps) · weight + bias``.

    Parameters
    ----------
    x : array, shape (n, channels, ...)
        Of real floating dtype.
    num_groups : int
        A divisor of the number of channels; neighbours form a group.
    weight, bias : array, shape (channels,), optional
    eps : float
        Added to the variance, which is the biased one.

    Returns
    -------
    array, shape of `x`
        Of the dtype that the arrays promote to.

    Raises
    ------
    ShapeError
        If a shape does not fit, or the groups do not divide the channels.
    DTypeError
        If an array is not real floating.
    ValueError
        If a group has but one value.

    References
    ----------
    Y. Wu, K. He, "Group normalization", ECCV 2018, https://arxiv.org/abs/1803.08494.

    Examples
    --------
    >>> F.group_norm(np.asarray([[1.0, 3.0, 2.0, 8.0]]), 2).round(3)
    array([[-1.,  1., -1.,  1.]])
    """
    channels = _check_channels("group_norm", x, weight=weight, bias=bias)
    groups = operator.index(num_groups)
    if groups < 1 or channels % groups:
        msg = f"group_norm: num_groups must divide the channels; got {groups} and {_shape(x)}."
        raise located(ShapeError(msg))
    shape = _shape(x)
    _need_values("group_norm", x, math.prod(shape[2:]) * channels // groups)
    dtypes = _work_dtype("group_norm", x, weight, bias)
    split = (groups, channels // groups)
    affine = _pair(weight, bias, (*split, *(1,) * (x.ndim - 2)), dtypes[1])
    grouped = reshape(x, (shape[0], *split, *shape[2:]))
    y, _, _ = _standardized(grouped, affine, tuple(range(2, x.ndim + 1)), eps, dtypes)
    return reshape(y, shape)


def _need_values(name: str, x: Any, n: int) -> None:
    if n == 1:
        msg = f"{name}: there must be more than one value to normalize; got shape {_shape(x)}."
        raise located(ValueError(msg))


@composite
def instance_norm(
    x: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    use_input_stats: bool = True,
    momentum: Any = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Normalize each channel of each sample, ``(x − mean) / √(var + eps) · weight + bias``.

    Parameters
    ----------
    x : array, shape (n, channels, ...)
        Of real floating dtype.
    running_mean, running_var : array, shape (channels,), optional
        Statistics of earlier batches; both or neither.
    weight, bias : array, shape (channels,), optional
    use_input_stats : bool
        Whether to normalize by mean and variance of `x` itself, not by the running ones.
    momentum : float or array, shape ()
        Weight of this batch in the new running statistics.
    eps : float
        Added to the variance, which is the biased one.

    Returns
    -------
    y : array, shape of `x`
        Of the dtype that `x`, `weight` and `bias` promote to.
    running_mean, running_var : array, shape (channels,)
        Only where running ones are given and those of the input are used: the new ones, of the
        samples' mean and unbiased variance, averaged; the old ones where there is no sample.

    Raises
    ------
    ShapeError
        If a shape does not fit.
    DTypeError
        If an array is not real floating.
    ValueError
        If a channel of a sample has but one value; without `use_input_stats`, if there are no
        running statistics.

    References
    ----------
    D. Ulyanov, A. Vedaldi, V. Lempitsky, "Instance normalization: the missing ingredient for fast
    stylization", 2016, https://arxiv.org/abs/1607.08022.

    Examples
    --------
    >>> F.instance_norm(np.asarray([[[1.0, 3.0], [2.0, 8.0]]])).round(3)
    array([[[-1.,  1.],
            [-1.,  1.]]])
    """
    name = "instance_norm"
    channels = _check_channels(
        name, x, 3, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    dtypes = _work_dtype(name, x, weight, bias)
    _work_dtype(name, x, running_mean, running_var)
    shape = (channels, *(1,) * (x.ndim - 2))
    affine = _pair(weight, bias, shape, dtypes[1])
    tracked = running_mean is not None and running_var is not None
    if not use_input_stats:
        if not tracked:
            msg = "instance_norm: there must be running statistics without use_input_stats."
            raise located(ValueError(msg))
        return _rescaled(x, running_mean, running_var, affine, shape, eps, dtypes)
    axes = tuple(range(2, x.ndim))
    n = _count(_shape(x), axes)
    _need_values(name, x, n)
    y, centre, var = _standardized(x, affine, axes, eps, dtypes)
    if not tracked:
        return y
    if not x.shape[0]:
        return y, running_mean, running_var
    centre, var = (mean(reshape(a, (x.shape[0], channels)), axis=0) for a in (centre, var))
    var = multiply(var, n / (n - 1))
    return y, _updated(running_mean, centre, momentum), _updated(running_var, var, momentum)


@composite
def local_response_norm(
    x: Array, size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    """Divide by the squares of neighbouring channels, ``x / (k + alpha · mean x²)^beta``.

    Parameters
    ----------
    x : array, shape (n, channels, ...)
        Of real floating dtype.
    size : int
        How many channels the mean is over, the channel in the middle; zeros lie beyond the ends.
    alpha, beta, k : float

    Returns
    -------
    array, shape and dtype of `x`

    Raises
    ------
    ShapeError
        If `x` has no channels.
    DTypeError
        If `x` is not real floating.
    ValueError
        If `size` is not positive.

    References
    ----------
    A. Krizhevsky, I. Sutskever, G. E. Hinton, "ImageNet classification with deep convolutional
    neural networks", NeurIPS 2012, section 3.3.

    Examples
    --------
    >>> F.local_response_norm(np.asarray([[1.0, 2.0, 3.0]]), 2, alpha=1.0, beta=1.0)
    array([[0.66666667, 0.57142857, 0.4       ]])
    """
    if size < 1:
        msg = f"local_response_norm: size must be positive; got {size}."
        raise located(ValueError(msg))
    channels = _check_channels("local_response_norm", x)
    dtype, work = _work_dtype("local_response_norm", x)
    x = ops.astype(x, work, copy=False)
    margins = [(0, 0)] * x.ndim
    margins[1] = (size // 2, (size - 1) // 2)
    squares = pad(square(x), margins)
    total = squares[:, :channels, ...]
    for i in range(1, size):
        total = add(total, squares[:, i : i + channels, ...])
    y = divide(x, pow(add(multiply(total, alpha / size), k), beta))
    return ops.astype(y, dtype, copy=False)


# To length 1 --------------------------------------------------------------------------------------


@composite
def normalize(x: Array, p: float = 2.0, *, axis: Any = 1, eps: float = 1e-12) -> Any:
    """Divide vectors by their length, ``x / max(‖x‖_p, eps)``.

    Parameters
    ----------
    x : array
        Of real or complex floating dtype.
    p : float
        Order of the norm, as for `linalg.vector_norm`.
    axis : int or tuple of int
        Over which the vectors extend.
    eps : float
        The least length to divide by.

    Returns
    -------
    array, shape and dtype of `x`

    Raises
    ------
    DimensionError
        If there is no such axis.
    DTypeError
        If `x` is not floating.

    Examples
    --------
    >>> F.normalize(np.asarray([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    if typeof(x).dtype.kind not in ("float", "complex"):
        msg = f"normalize: the dtype must be floating; got {typeof(x).dtype.name}."
        raise located(DTypeError(msg))
    if typeof(x).dtype in HALVES:
        wide = normalize(ops.astype(x, DTYPES["float32"]), p, axis=axis, eps=eps)
        return ops.astype(wide, as_dtype(x.dtype))
    return divide(x, maximum(vector_norm(x, axis=axis, keepdims=True, ord=p), eps))


@composite
def weight_norm(v: Array, g: Array, *, axis: int | None = 0) -> Any:
    """Weights of given lengths and directions, ``g · v / ‖v‖``.

    Parameters
    ----------
    v : array
        Directions, of real floating dtype.
    g : array, broadcastable to `v`
        Lengths: of length 1 along all axes but `axis`.
    axis : int, optional
        Along which each slice has a length of its own; None gives the whole of `v` one.

    Returns
    -------
    array, shape and dtype of `v`

    Raises
    ------
    DimensionError
        If there is no such axis.
    ShapeError
        If the shapes do not fit.

    References
    ----------
    T. Salimans, D. P. Kingma, "Weight normalization: a simple reparameterization to accelerate
    training of deep neural networks", NeurIPS 2016, https://arxiv.org/abs/1602.07868.

    Examples
    --------
    >>> F.weight_norm(np.asarray([[3.0, 4.0], [0.0, 2.0]]), np.asarray([[10.0], [1.0]]))
    array([[6., 8.],
           [0., 1.]])
    """
    kept = None if axis is None else normalize_axis("weight_norm", axis, v.ndim)
    expected = tuple(n if a == kept else 1 for a, n in enumerate(v.shape))
    if _shape(g) not in (expected, () if kept is None else expected):
        msg = f"weight_norm: g must have shape {expected} for v of {_shape(v)}; got {_shape(g)}."
        raise located(ShapeError(msg))
    dtype, work = _work_dtype("weight_norm", v, g)
    v, g = (ops.astype(a, work, copy=False) for a in (v, g))
    others = tuple(a for a in range(v.ndim) if a != kept)
    length = vector_norm(v, axis=others, keepdims=True)
    return ops.astype(multiply(v, divide(g, length)), dtype, copy=False)
