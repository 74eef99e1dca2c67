"""Reading and writing parts of an array.

Keys are split into a basic part (ints, slices, None, ...) and index arrays. `basic_slice` and
`slice_update` handle the first; `gather` and `scatter` the second, in one canonical form: the
dims of the index arrays come first in the result, then the axes not indexed.
"""

import math
import operator
import sys
import warnings
from collections.abc import Iterable
from types import EllipsisType
from typing import Any, Final

import numpy as np

from volta.core.context import default_dtype_of
from volta.core.derivatives import Joint, Linear
from volta.core.dispatch import NUMPY, apart_from, library_of
from volta.core.errors import DimensionError, DTypeError, ShapeError
from volta.core.trace import Abstract, located, ops
from volta.core.tracer import Tracer, apart, concrete, library_under
from volta.core.types import Array, ArrayType, as_dtype, broadcast_shapes, typeof
from volta.functional.axes import normalize_axis, normalize_shape
from volta.functional.declare import composite, primitive, shortcut
from volta.functional.elementwise import equal, where
from volta.functional.manipulation import broadcast_to, moveaxis, permute_dims, reshape

__all__ = ["one_hot", "take", "take_along_axis"]

Key = tuple[Any, ...]


# Basic keys -------------------------------------------------------------------------------------


def _slice_shape(shape: tuple[int, ...], key: Key) -> tuple[int, ...]:
    out = []
    axes = iter(shape)
    for k in key:
        if k is None:
            out.append(1)
        elif isinstance(k, slice):
            out.append(len(range(*k.indices(next(axes)))))
        else:
            next(axes)
    return (*out, *axes)


def _torch_slice(x: Any, *, key: Key) -> Any:
    for k in key:
        if isinstance(k, slice) and k.step is not None and k.step < 0:  # which torch does not take
            forward, turned = _ascending(key, x.shape)
            return x[forward].flip(turned)
    return x[key]


def _ascending(key: Key, shape: Any) -> tuple[Key, tuple[int, ...]]:
    """Key of the same places in ascending order, and the axes of the part then turned round."""
    parts = []
    turned = []
    axis = place = 0
    for k in key:
        if isinstance(k, slice):
            picked = range(*k.indices(shape[axis]))
            if picked.step < 0:
                turned.append(place)
                k = slice(picked[-1], picked[0] + 1, -picked.step) if picked else slice(0, 0)
        parts.append(k)
        axis += k is not None
        place += not isinstance(k, int)
    return tuple(parts), tuple(turned)


def _numpy_slice(x: Any, *, key: Key) -> Any:
    return x[key]


def _portable_slice(xp: Any, x: Any, *, key: Key) -> Any:
    """For libraries that do not take None among other indices."""
    out = x[_bare(key, x.shape)]
    return xp.reshape(out, _slice_shape(tuple(x.shape), key)) if None in key else out


def _bare(key: Key, shape: Any) -> Key:
    """Key without None, its slices within the axes, beyond which the standard says nothing."""
    bare: list[Any] = []
    for k in key:
        if isinstance(k, slice):
            start, stop, step = k.indices(shape[len(bare)])
            some = len(range(start, stop, step)) > 0
            k = slice(start, None if stop < 0 else stop, step) if some else slice(0, 0)
        if k is not None:
            bare.append(k)
    return (*bare, ...)


def _slice_type(x: ArrayType, *, key: Key) -> ArrayType:
    axis = 0
    for k in key:
        if isinstance(k, int) and (axis >= x.ndim or not -x.shape[axis] <= k < x.shape[axis]):
            n = x.shape[axis] if axis < x.ndim else 0
            raise DimensionError(_outside("getitem", n, axis, k))
        axis += k is not None
    if axis > x.ndim:
        msg = f"getitem: there must be no more indices than axes; got {axis} for shape {x.shape}."
        raise DimensionError(msg)
    return ArrayType(_slice_shape(x.shape, key), x.dtype)


_basic_slice: Any = primitive(
    "basic_slice",
    type_rule=_slice_type,
    batch=lambda size, batched, x, *, key: _basic_slice(x, key=(slice(None), *key)),
    derivatives=(Linear(lambda ct, x_shape, *, key: _embed_slice(ct, key=key, shape=x_shape)),),
    value=_portable_slice,
    kernels={"numpy": _numpy_slice, "torch": _torch_slice},
    masks=True,
    view=True,
)


def _numpy_embed_slice(x: Any, *, key: Key, shape: tuple[int, ...]) -> Any:
    out = np.zeros(shape, x.dtype)
    out[key] = x
    return out


_embed_slice: Any = primitive(
    "embed_slice",
    type_rule=lambda x, *, key, shape: ArrayType(shape, x.dtype),
    batch=lambda size, batched, x, *, key, shape: _embed_slice(
        x, key=(slice(None), *key), shape=(size, *shape)
    ),
    derivatives=(Linear(lambda ct, *, key, shape: _basic_slice(ct, key=key)),),
    value=lambda xp, x, *, key, shape: _updated(
        xp.zeros(shape, dtype=x.dtype, device=library_of(x, "getitem").device(x)), x, key=key
    ),
    kernels={"numpy": _numpy_embed_slice},
)


ops.basic_slice = _basic_slice  # ``x[key]`` for a key of ints, slices and None


def _updated(x: Any, v: Any, *, key: Key) -> Any:
    if hasattr(x, "at"):  # JAX
        part = x.at[_bare(key, x.shape)]
        return part.set(v.reshape(part.get().shape) if None in key else v)
    if isinstance(x, np.ndarray):
        out = x.copy()
    else:
        out = _copy(x)
        key, turned = _ascending(key, x.shape)  # torch and dask take no others
        if turned:
            v = library_under(v).xp.flip(v, axis=turned)
    if 0 in v.shape:  # to dask a mistake
        return out
    bare = _bare(key, x.shape)
    out[bare] = reshape(v, tuple(out[bare].shape)) if None in key else v
    return out


def _copy(x: Any) -> Any:
    if hasattr(x, "detach"):  # torch's asarray(copy=True) would be slower
        return x.clone()
    return library_under(x).xp.asarray(x, copy=True)


def _slice_update_batch(size: int, batched: Any, x: Any, v: Any, *, key: Key) -> Any:
    x, v = (
        a if b else broadcast_to(a, (size, *a.shape)) for a, b in zip((x, v), batched, strict=True)
    )
    return _slice_update(x, v, key=(slice(None), *key))


_slice_update: Any = primitive(
    "slice_update",
    type_rule=lambda x, v, *, key: x,
    batch=_slice_update_batch,
    derivatives=(
        Joint(lambda ct, _x, v, *, key: _slice_update(ct, ops.zeros_like_type(ct, v), key=key)),
        Joint(lambda ct, _x, _v, *, key: _basic_slice(ct, key=key)),
    ),
    value=lambda xp, x, v, *, key: _updated(x, v, key=key),
    masks=True,
)


@composite
def slice_update(x: Any, value: Any, key: Key) -> Any:
    """`x` with ``x[key] = value``; `value` has the shape of ``x[key]``."""
    return _slice_update(x, value, key=key)


# Index arrays -----------------------------------------------------------------------------------


def _front(axes: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    return (*axes, *(a for a in range(ndim) if a not in axes))


def bounds(index: Any) -> tuple[int, int] | None:
    """Smallest and largest index of a host array; None of an empty one and one elsewhere.

    Elsewhere, on a device or not yet computed, a look would have to wait.
    """
    if hasattr(index, "detach"):  # torch
        if index.device.type != "cpu" or not index.numel():
            return None
        low, high = index.aminmax()
        return int(low), int(high)
    if type(index) is not np.ndarray:
        if library_under(index).name not in ("array_api_strict", "jax.numpy"):
            return None
        try:
            index = np.asarray(index)
        except TypeError:  # inside JAX's own jit
            return None
    return (int(index.min()), int(index.max())) if index.size else None


def bounds_under(x: Any) -> tuple[int, int] | None:
    """`bounds` of an array, traced or not; under vmap those of all its lanes."""
    while type(x) is Tracer:
        x = x.value
    return None if type(x) is Abstract else bounds(x)


def _checked(name: str, shape: Any, axes: tuple[int, ...], indices: Any) -> None:
    """Raise for an index outside its axis, where the index array is on the host."""
    for a, index in zip(axes, indices, strict=True):
        found = bounds_under(index)
        if found is not None:
            low, high = found
            n = shape[a]
            if low < -n or high >= n:
                outside = low if low < -n else high
                raise located(DimensionError(_outside(name, n, a, outside)))


def _gather_type(x: ArrayType, *indices: ArrayType, axes: tuple[int, ...]) -> ArrayType:
    spread = broadcast_shapes("gather", *(i.shape for i in indices))
    return ArrayType((*spread, *(n for a, n in enumerate(x.shape) if a not in axes)), x.dtype)


def _numpy_gather(x: Any, *indices: Any, axes: tuple[int, ...]) -> Any:
    try:
        if axes == (0,) and indices[0].dtype.kind == "i":
            return x.take(indices[0], 0)  # a third of the cost of x[indices]
        return x.transpose(_front(axes, x.ndim))[indices]
    except IndexError:
        _checked("gather", x.shape, axes, indices)
        raise


def _torch_gather(x: Any, *indices: Any, axes: tuple[int, ...]) -> Any:
    try:
        return x.permute(_front(axes, x.ndim))[_torch_indices(indices)]
    except IndexError:
        _checked("gather", x.shape, axes, indices)
        raise


def _torch_indices(indices: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple([i.long() for i in indices])  # to torch a uint8 is a mask and an int8 an error


def _jax_gather(x: Any, *indices: Any, axes: tuple[int, ...]) -> Any:
    _checked("gather", x.shape, axes, indices)  # because JAX clamps them
    return x.transpose(_front(axes, x.ndim))[indices]


def _dask_gather(x: Any, *indices: Any, axes: tuple[int, ...]) -> Any:
    """With the indices checked when they are computed, because dask looks up any."""

    def within(index: Any, *, axis: int) -> Any:
        _checked("gather", x.shape, (axis,), (index,))
        return index

    within_axes = [
        i.map_blocks(within, axis=a, dtype=i.dtype) for i, a in zip(indices, axes, strict=True)
    ]
    with warnings.catch_warnings():  # of the dtypes of x and index, which dask mixes up in passing
        warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
        return _portable_gather(library_under(x).xp, x, *within_axes, axes=axes)


def _flat_index(xp: Any, shape: tuple[int, ...], indices: Any) -> tuple[Any, tuple[int, ...]]:
    """One index into the flattened indexed axes, and the shape of the index arrays."""
    spread = broadcast_shapes("gather", *(tuple(i.shape) for i in indices))
    flat: Any = 0
    for n, index in zip(shape, indices, strict=True):
        index = xp.astype(index, xp.int64)
        flat = flat * n + xp.where(index < 0, index + n, index)
    return xp.reshape(xp.broadcast_to(flat, spread), (-1,)), spread


def _portable_gather(xp: Any, x: Any, *indices: Any, axes: tuple[int, ...]) -> Any:
    _checked("gather", x.shape, axes, indices)  # flattened, one too large may lie in the next row
    front = xp.permute_dims(x, _front(axes, x.ndim))
    k = len(axes)
    flat, spread = _flat_index(xp, front.shape[:k], indices)
    rows = xp.reshape(front, (math.prod(front.shape[:k]), *front.shape[k:]))
    return xp.reshape(xp.take(rows, flat, axis=0), (*spread, *front.shape[k:]))


def _lane_indices(size: int, batched: Any, indices: Any) -> tuple[Any, ...]:
    """Index arrays with the batch axis first, and the lane's own number before them."""
    ndim = max(i.ndim - b for i, b in zip(indices, batched, strict=True))
    aligned = [
        reshape(i, (size, *(1,) * (ndim - i.ndim + 1), *i.shape[1:])) if b else i
        for i, b in zip(indices, batched, strict=True)
    ]
    lanes = ops.arange_like(indices[0], size)
    return (reshape(lanes, (size, *(1,) * ndim)), *aligned)


def _naming_lanes(name: str, first: int, rule: Any) -> Any:
    """Batching rule that tells of an index outside a lane by the lane's axes.

    Index arrays are the operands from place `first` on.
    """

    def batch(size: int, batched: tuple[bool, ...], x: Any, *others: Any, **params: Any) -> Any:
        try:
            return rule(size, batched, x, *others, **params)
        except DimensionError:
            shape = x.shape[1:] if batched[0] else x.shape
            _checked(name, shape, params["axes"], others[first - 1 :])
            raise

    return batch


def _gather_batch(
    size: int, batched: tuple[bool, ...], x: Any, *indices: Any, axes: tuple[int, ...]
) -> Any:
    ndim = max(i.ndim - b for i, b in zip(indices, batched[1:], strict=True))
    if not any(batched[1:]):
        out = _gather(x, *indices, axes=tuple(a + 1 for a in axes))
        return moveaxis(out, ndim, 0)
    if not batched[0]:
        lanes = _lane_indices(size, batched[1:], indices)[1:]
        spread = tuple(
            broadcast_to(i, (size, *i.shape)) if not b and k == 0 and not batched[1] else i
            for k, (i, b) in enumerate(zip(lanes, batched[1:], strict=True))
        )
        return _gather(x, *spread, axes=axes)
    lanes = _lane_indices(size, batched[1:], indices)
    return _gather(x, *lanes, axes=(0, *(a + 1 for a in axes)))


def _gather_transpose(
    ct: Any, x_shape: tuple[int, ...], *indices: Any, axes: tuple[int, ...]
) -> Any:
    if len(indices) == 1:
        return _embed_add[2](ct, indices[0], axes=axes, shape=x_shape)
    return _embed_add(ct, *indices, axes=axes, shape=x_shape)


_gather: Any = primitive(
    "gather",
    type_rule=_gather_type,
    batch=_naming_lanes("gather", 1, _gather_batch),
    derivatives=(Linear(_gather_transpose),),  # the indices after it have none
    value=_portable_gather,
    kernels={
        "numpy": _numpy_gather,
        "torch": _torch_gather,
        "jax.numpy": _jax_gather,
        "dask.array": _dask_gather,
    },
    masks=True,
)


def _scatter_type(
    x: ArrayType, v: ArrayType, *indices: ArrayType, axes: tuple[int, ...], mode: str
) -> ArrayType:
    wanted = _gather_type(x, *indices, axes=axes)
    if v.shape != wanted.shape:
        msg = f"scatter: the values must have the shape indexed; got {v.shape} and {wanted.shape}."
        raise ShapeError(msg)
    return x


# What a mode of scattering is called by each library; "set" is no reduction
_UFUNCS: Final = {"add": np.add, "multiply": np.multiply, "max": np.maximum, "min": np.minimum}
_TORCH_REDUCTIONS: Final = {"multiply": "prod", "max": "amax", "min": "amin"}
_STANDARD: Final = {"add": "add", "multiply": "multiply", "max": "maximum", "min": "minimum"}


def numpy_scatter(x: Any, v: Any, *indices: Any, axes: tuple[int, ...], mode: str) -> Any:
    """Copy of `x` with `v` put in, or combined with what is there, one after another."""
    out = x.copy()
    front = out.transpose(_front(axes, x.ndim))
    try:
        if mode == "set":
            front[indices] = v
        else:
            _combine("scatter", _UFUNCS[mode], out, axes, indices, v)
    except IndexError:
        _checked("scatter", x.shape, axes, indices)
        raise
    return out


def _combine(
    name: str, ufunc: Any, out: Any, axes: tuple[int, ...], indices: tuple[Any, ...], v: Any
) -> None:
    """``ufunc.at``, of many numbers in one axis: NumPy is then several times as fast."""
    front = out.transpose(_front(axes, out.ndim))
    if v.size < 256 or not front.flags.c_contiguous:
        ufunc.at(front, indices[0] if len(indices) == 1 else indices, v)
        return
    _checked(name, out.shape, axes, indices)
    flat: Any = 0
    for n, index in zip(front.shape, indices, strict=False):  # the axes indexed come first
        flat = flat * n + np.where(index < 0, index + np.intp(n), index).astype(np.intp)
    size = math.prod(front.shape[len(axes) :])
    if size != 1:
        flat = flat[..., None] * size + np.arange(size)
    ufunc.at(front.reshape(-1), flat.reshape(-1), v.reshape(-1))


def torch_scatter(x: Any, v: Any, *indices: Any, axes: tuple[int, ...], mode: str) -> Any:
    """`numpy_scatter` for torch."""
    if mode in _TORCH_REDUCTIONS:
        if x.dtype.is_complex or x.numel() == 0:  # neither of which its reductions take
            return portable_scatter(library_under(x).xp, x, v, *indices, axes=axes, mode=mode)
        return _torch_reduce(x, v, indices, axes, _TORCH_REDUCTIONS[mode])
    out = x.clone()
    front = out.permute(_front(axes, x.ndim))
    try:
        if mode == "set" and x.device.type != "cpu":
            v = _last_of_each(_torch_latest, front.shape[: len(axes)], indices, v)
        front.index_put_(_torch_indices(indices), v, accumulate=mode == "add")
    except IndexError:
        _checked("scatter", x.shape, axes, indices)
        raise
    return out


def _torch_latest(count: int, flat: Any) -> Any:
    numbers = sys.modules["torch"].arange(len(flat), device=flat.device)
    return flat.new_zeros(count).scatter_reduce_(0, flat, numbers, "amax")[flat]


def _last_of_each(latest: Any, shape: tuple[int, ...], indices: Any, v: Any) -> Any:
    """Values to set where each is the last one of its place: devices set them in any order.

    ``latest(count, flat)`` tells for each place in the flattened axes indexed, which is the last.
    """
    flat, spread = _flat_index(library_under(v).xp, shape, indices)
    rows = v.reshape(flat.shape[0], *v.shape[len(spread) :])
    return rows[latest(math.prod(shape), flat)].reshape(v.shape)


def _torch_reduce(x: Any, v: Any, indices: Any, axes: tuple[int, ...], reduction: str) -> Any:
    _checked("scatter", x.shape, axes, indices)
    xp = library_under(x).xp
    order = _front(axes, x.ndim)
    front = x.permute(order)
    k = len(axes)
    flat, _ = _flat_index(xp, front.shape[:k], indices)
    rows = front.reshape(math.prod(front.shape[:k]), -1)
    values = v.reshape(flat.shape[0], rows.shape[1])
    index = flat[:, None].expand(values.shape)
    out = rows.scatter_reduce(0, index, values, reduction)
    return out.reshape(front.shape).permute(tuple(map(order.index, range(x.ndim))))


def cupy_scatter(x: Any, v: Any, *indices: Any, axes: tuple[int, ...], mode: str) -> Any:
    """`numpy_scatter` for CuPy."""
    _checked("scatter", x.shape, axes, indices)
    out = x.copy()
    front = out.transpose(_front(axes, x.ndim))
    if mode == "set":
        front[indices] = _last_of_each(_cupy_latest, front.shape[: len(axes)], indices, v)
        return out
    try:
        if x.dtype.char == "d" and mode in ("max", "min"):
            raise TypeError  # it takes extrema of float64 in float32 (CuPy 14.2)
        getattr(sys.modules["cupy"], _STANDARD[mode]).at(front, indices, v)
    except (NotImplementedError, TypeError):  # it has no products, and not all dtypes
        return portable_scatter(library_under(x).xp, x, v, *indices, axes=axes, mode=mode)
    return out


def _cupy_latest(count: int, flat: Any) -> Any:
    cupy = sys.modules["cupy"]
    last = cupy.zeros(count, dtype=cupy.uint64)  # int64 has no maximum.at
    cupy.maximum.at(last, flat, cupy.arange(len(flat), dtype=cupy.uint64))
    return last[flat]


def jax_scatter(x: Any, v: Any, *indices: Any, axes: tuple[int, ...], mode: str) -> Any:
    """`numpy_scatter` for JAX."""
    _checked("scatter", x.shape, axes, indices)  # because JAX leaves out what is outside
    order = _front(axes, x.ndim)
    out = getattr(x.transpose(order).at[indices], mode)(v)
    return out.transpose(tuple(map(order.index, range(x.ndim))))


def dask_scatter(x: Any, v: Any, *indices: Any, axes: tuple[int, ...], mode: str) -> Any:
    """`numpy_scatter` as one task over the whole array: any index may reach any chunk."""
    dask = sys.modules["dask"]
    task = dask.delayed(numpy_scatter)(x, v, *indices, axes=axes, mode=mode)
    return dask.array.from_delayed(task, x.shape, dtype=x.dtype, meta=x._meta)


def portable_scatter(
    xp: Any, x: Any, v: Any, *indices: Any, axes: tuple[int, ...], mode: str
) -> Any:
    """One row at a time: for libraries without a scatter of their own."""
    _checked("scatter", x.shape, axes, indices)
    order = _front(axes, x.ndim)
    front = xp.permute_dims(x, order)
    k = len(axes)
    flat, _ = _flat_index(xp, front.shape[:k], indices)
    n = math.prod(front.shape[:k])
    rows = xp.asarray(xp.reshape(front, (n, *front.shape[k:])), copy=True)
    values = xp.reshape(v, (flat.shape[0], *front.shape[k:]))
    combine = (lambda _, new: new) if mode == "set" else getattr(xp, _STANDARD[mode])
    for i in range(flat.shape[0]):
        row = int(flat[i])
        rows[row, ...] = combine(rows[row, ...], values[i, ...])
    return xp.permute_dims(xp.reshape(rows, front.shape), tuple(map(order.index, range(x.ndim))))


def _embed_add_batch(
    size: int,
    batched: tuple[bool, ...],
    v: Any,
    *indices: Any,
    axes: tuple[int, ...],
    shape: tuple[int, ...],
) -> Any:
    v = v if batched[0] else broadcast_to(v, (size, *v.shape))
    lanes = _lane_indices(size, batched[1:], indices)
    return _embed_add(v, *lanes, axes=(0, *(a + 1 for a in axes)), shape=(size, *shape))


def _numpy_embed_add(v: Any, *indices: Any, axes: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    out = np.zeros(shape, v.dtype)
    _combine("gather", np.add, out, axes, indices, v)
    return out


def _portable_embed_add(
    xp: Any, v: Any, *indices: Any, axes: tuple[int, ...], shape: tuple[int, ...]
) -> Any:
    library = library_of(v, "getitem")
    zeros = xp.zeros(shape, dtype=v.dtype, device=library.device(v))
    return _scatter.primitive.kernel_of(library)(zeros, v, *indices, axes=axes, mode="add")


# The transpose of gather: `_scatter` into zeros, without a copy of them
_embed_add: Any = primitive(
    "embed_add",
    type_rule=lambda v, *indices, axes, shape: ArrayType(shape, v.dtype),
    batch=_embed_add_batch,
    derivatives=(Linear(lambda ct, _v, *indices, axes, shape: _gather(ct, *indices, axes=axes)),),
    value=_portable_embed_add,
    kernels={"numpy": _numpy_embed_add},
)


def scatter_batch(apply: Any) -> Any:
    """Batching rule of a scattering primitive, which `apply` returns."""

    def batch(
        size: int,
        batched: tuple[bool, ...],
        x: Any,
        v: Any,
        *indices: Any,
        axes: tuple[int, ...],
        **mode: str,
    ) -> Any:
        x = x if batched[0] else broadcast_to(x, (size, *x.shape))
        v = v if batched[1] else broadcast_to(v, (size, *v.shape))
        lanes = _lane_indices(size, batched[2:], indices)
        return apply()(x, v, *lanes, axes=(0, *(a + 1 for a in axes)), **mode)

    return _naming_lanes("scatter", 2, batch)


def _scatter_base(
    ct: Any, _x: Any, v: ArrayType, *indices: Any, axes: tuple[int, ...], mode: str
) -> Any:
    if mode == "add":
        return ct
    return _scatter(ct, ops.zeros_like_type(ct, v), *indices, axes=axes, mode="set")


def _scatter_values(
    ct: Any, x: ArrayType, v: ArrayType, *indices: Any, axes: tuple[int, ...], mode: str
) -> Any:
    picked = _gather(ct, *indices, axes=axes)
    if mode == "add":
        return picked
    # where an index occurs twice only the last value written is seen, so only it has a derivative
    numbers = broadcast_to(
        reshape(
            ops.arange_like(indices[0], math.prod(v.shape[: v.ndim - x.ndim + len(axes)])),
            (*v.shape[: v.ndim - x.ndim + len(axes)], *(1,) * (x.ndim - len(axes))),
        ),
        v.shape,
    )
    blank = ops.zeros_like_type(numbers, ArrayType(tuple(x.shape), typeof(numbers).dtype))
    written = _scatter(blank, numbers, *indices, axes=axes, mode="set")
    return where(equal(_gather(written, *indices, axes=axes), numbers), picked, 0)


_scatter: Any = primitive(
    "scatter",
    type_rule=_scatter_type,
    batch=scatter_batch(lambda: _scatter),
    derivatives=(Joint(_scatter_base), Joint(_scatter_values)),
    value=portable_scatter,
    kernels={
        "numpy": numpy_scatter,
        "torch": torch_scatter,
        "cupy": cupy_scatter,
        "jax.numpy": jax_scatter,
        "dask.array": dask_scatter,
    },
    masks=True,
)


# Keys -------------------------------------------------------------------------------------------


def _expanded(key: Any, shape: tuple[int, ...]) -> list[Any]:
    """Parts of a key, one for each axis or None, the ellipsis spelled out."""
    entries = key if isinstance(key, tuple) else (key,)
    parts = [k if isinstance(k, EllipsisType) else _part(k) for k in entries]
    used = 0
    for k in parts:
        if k is None or isinstance(k, EllipsisType):
            continue
        dtype = getattr(k, "dtype", None)
        used += k.ndim if dtype is not None and as_dtype(dtype).kind == "bool" else 1
    if used > len(shape):
        msg = f"getitem: there must be no more indices than axes; got {used} for shape {shape}."
        raise located(DimensionError(msg))
    where_dots = [i for i, k in enumerate(parts) if isinstance(k, EllipsisType)]
    if len(where_dots) > 1:
        msg = "getitem: a key may have one ellipsis; got more."
        raise located(DimensionError(msg))
    fill = [slice(None)] * (len(shape) - used)
    if where_dots:
        i = where_dots[0]
        return parts[:i] + fill + parts[i + 1 :]
    return parts + fill


def _whole(value: Any) -> Any:
    return None if value is None else operator.index(value)


def _part(k: Any) -> Any:
    """One entry of a key: a slice of ints, an int, None, or an index array."""
    if k is None or type(k) is int:
        return k
    if isinstance(k, slice):
        if k.step is not None and operator.index(k.step) == 0:
            msg = "getitem: a slice's step must not be zero; got 0."
            raise located(DimensionError(msg))
        return slice(_whole(k.start), _whole(k.stop), _whole(k.step))
    if isinstance(k, list):
        k = np.asarray(k) if k else np.zeros(0, dtype=np.int64)
    if isinstance(k, bool | np.bool_):
        return np.asarray(k)
    if isinstance(k, int | np.integer):
        return int(k)
    dtype = getattr(k, "dtype", None)
    kind = None if dtype is None else as_dtype(dtype).kind
    if kind not in ("int", "uint", "bool"):
        msg = (
            "getitem: a key must hold ints, slices, None, ... and arrays of ints or booleans; got "
            f"{type(k).__name__}{'' if kind is None else ' of ' + str(dtype)}."
        )
        raise located(DTypeError(msg))
    if kind != "bool" and not k.shape and type(k) is not Tracer:
        return operator.index(k)
    if kind != "bool" and type(k) is Tracer and k.trace is None and not k.shape:
        return operator.index(k)
    return k


def split_key(x: Any, key: Any) -> tuple[Key, list[tuple[int, Any]]]:
    """Basic key that leaves indexed axes whole, and (axis after it, index array) pairs."""
    shape = tuple(x.shape)
    basic: list[Any] = []
    arrays: list[tuple[int, Any]] = []
    axis = place = 0
    for k in _expanded(key, shape):
        if k is None:
            basic.append(None)
            place += 1
        elif isinstance(k, slice):
            basic.append(k)
            axis, place = axis + 1, place + 1
        elif isinstance(k, int):
            n = shape[axis]
            if not -n <= k < n:
                raise located(DimensionError(_outside("getitem", n, axis, k)))
            basic.append(k)
            axis += 1
        elif as_dtype(k.dtype).kind == "bool":
            mask = concrete(k, "boolean index")
            lengths = zip(mask.shape, shape[axis : axis + mask.ndim], strict=False)
            if any(m not in (n, 0) for m, n in lengths):  # an empty mask selects nothing
                msg = (
                    f"getitem: a mask must have the shape of the axes it selects from; got "
                    f"{tuple(mask.shape)} and {shape[axis : axis + mask.ndim]}."
                )
                raise located(DimensionError(msg))
            if mask.ndim == 0:
                basic.append(None)
                found: Iterable[Any] = (np.zeros(int(bool(mask)), dtype=np.int64),)
            else:
                found = _places(mask)
            for index in found:
                arrays.append((place, index))
                place += 1
            basic.extend([slice(None)] * mask.ndim)
            axis += mask.ndim
        else:
            basic.append(slice(None))
            arrays.append((place, k))
            axis, place = axis + 1, place + 1
    return tuple(basic), arrays


def _places(mask: Any) -> Iterable[Any]:
    """Index arrays of the places where a mask is true."""
    found = library_under(mask).xp.nonzero(mask)
    for index in found:
        if hasattr(index, "compute_chunk_sizes"):  # dask does not know how many there are
            index.compute_chunk_sizes()
    return found  # type: ignore[no-any-return]  # the library's own


def _result_place(key: Key, basic: Key, arrays: list[tuple[int, Any]]) -> int:
    """Where NumPy puts the index dims: at the first index array if they are adjacent, else first.

    An int between or beside index arrays counts as one of them, and an ellipsis separates them
    even where it stands for no axis.
    """
    if _dots_between(key):
        return 0
    advanced = {place for place, _ in arrays}
    flags = []
    place = 0
    for k in basic:
        if isinstance(k, int):
            flags.append((True, place))
            continue
        flags.append((place in advanced, place))
        place += 1
    on = [i for i, (flag, _) in enumerate(flags) if flag]
    if on != list(range(on[0], on[-1] + 1)):
        return 0
    return flags[on[0]][1]


_PLAIN: Final = frozenset((int, slice))


def _dots_between(key: Any) -> bool:
    """Whether a key has an ellipsis with ints or index arrays on both sides."""
    parts = key if isinstance(key, tuple) else (key,)
    chosen = [i for i, k in enumerate(parts) if not (k is None or isinstance(k, slice))]
    dots = next((i for i in chosen if isinstance(parts[i], EllipsisType)), None)
    return dots is not None and chosen[0] < dots < chosen[-1]


@composite
def getitem(x: Any, key: Any) -> Any:
    """``x[key]`` with the standard's and NumPy's meaning.

    Parameters
    ----------
    x : array
    key : int, slice, None, ..., array of int or bool, list, or a tuple of them

    Returns
    -------
    array

    Raises
    ------
    DimensionError
        If an index is outside its axis, or there are too many.
    DTypeError
        If the key holds anything else.

    Examples
    --------
    >>> volta.grad(lambda x: x[::2][1])(np.asarray([1.0, 2.0, 3.0, 4.0]))
    array([0., 0., 1., 0.])
    """
    if type(key) is slice:  # the common cases, at less cost
        start, stop = key.start, key.stop
        if (
            (start is None or type(start) is int)
            and (stop is None or type(stop) is int)
            and key.step is None
        ):
            return _basic_slice(x, key=(key,))
    elif type(key) is int and x.ndim > 1 and -x.shape[0] <= key < x.shape[0]:
        return _basic_slice(x, key=(key,))
    basic, arrays = split_key(x, key)
    if not arrays:
        out = _basic_slice(x, key=basic)
        return apart(out) if type(out) is Tracer and _is_scalar(out, key) else out
    if any(k != slice(None) for k in basic):
        x = _basic_slice(x, key=basic)
    axes = tuple(a for a, _ in arrays)
    out = _gather(x, *_indices(x, arrays), axes=axes)
    place = _result_place(key, basic, arrays)
    return _placed(out, out.ndim - (x.ndim - len(axes)), place)


def _is_scalar(out: Tracer, key: Any) -> bool:
    """Whether NumPy's arrays return a number for `key`, not a view of rank 0."""
    return (
        not out.shape
        and not any(k is Ellipsis for k in (key if isinstance(key, tuple) else (key,)))
        and library_under(out).name in ("numpy", "array_api_strict")
    )


def _placed(out: Any, count: int, place: int) -> Any:
    if place == 0 or count == 0:
        return out
    rest = list(range(count, out.ndim))
    return permute_dims(out, (*rest[:place], *range(count), *rest[place:]))


def _indices(x: Any, arrays: list[tuple[int, Any]]) -> list[Any]:
    """Index arrays in the library of `x`, where they must be to meet it."""
    return [beside(x, i, "gather") for _, i in arrays]


def beside(x: Any, other: Any, operation: str) -> Any:
    """A raw array beside `x`, in its library; raises if it belongs to another, but the host's."""
    if type(other) is Tracer:
        return other
    library, own = library_under(x), library_under(other)
    if own is library:
        return other
    if own is NUMPY:
        return library.asarray(other, device=x.device if type(x) is Tracer else library.device(x))
    if library is NUMPY:
        return other
    raise apart_from(library, own, operation)


@composite
def setitem(x: Any, key: Any, value: Any) -> Any:
    """`x` after ``x[key] = value``; `value` broadcasts and is converted to the dtype of `x`."""
    dtype = typeof(x).dtype
    if selects(x, key, value):
        mask = key[0] if type(key) is tuple else key
        return where(mask, converted(x, value, dtype), x)
    basic, arrays = split_key(x, key)
    value = converted(x, value, dtype)
    if not arrays:
        return _slice_update(x, spread(value, _slice_shape(tuple(x.shape), basic)), key=basic)
    return scattered(_set, x, key, basic, arrays, value)


def _set(x: Any, v: Any, *indices: Any, axes: tuple[int, ...]) -> Any:
    return _scatter(x, v, *indices, axes=axes, mode="set")


def selects(x: Any, key: Any, value: Any) -> bool:
    """Whether a key is one mask of the shape of `x` and the value one number, for `where`."""
    mask = key[0] if isinstance(key, tuple) and len(key) == 1 else key
    return (
        not isinstance(mask, tuple | list | bool)
        and getattr(mask, "dtype", None) is not None
        and as_dtype(mask.dtype).kind == "bool"
        and tuple(mask.shape) == tuple(x.shape)
        and not isinstance(value, tuple | list)
        and not getattr(value, "shape", ())
    )


def scattered(
    scatter: Any, x: Any, key: Any, basic: Key, arrays: list[tuple[int, Any]], value: Any
) -> Any:
    """`x` with `value` scattered to where a key with index arrays, split already, reads."""
    plain = all(k == slice(None) for k in basic)
    part = x if plain else _basic_slice(x, key=basic)
    axes = tuple(a for a, _ in arrays)
    indices = _indices(x, arrays)
    dims = broadcast_shapes("setitem", *(tuple(i.shape) for i in indices))
    rest = tuple(n for a, n in enumerate(part.shape) if a not in axes)
    place = _result_place(key, basic, arrays)
    value = spread(value, (*rest[:place], *dims, *rest[place:]))
    if place and dims:
        k = len(dims)
        value = permute_dims(
            value,
            (*range(place, place + k), *range(place), *range(place + k, value.ndim)),
        )
    part = scatter(part, value, *indices, axes=axes)
    return part if plain else _slice_update(x, part, key=basic)


def converted(x: Any, value: Any, dtype: Any) -> Any:
    """`value` as an array of the dtype of `x`."""
    if not hasattr(value, "dtype"):
        if isinstance(value, list | tuple):
            value = ops.asarray(value)
        elif not isinstance(value, complex) or dtype.kind == "complex":
            return ops.full_like(x, value, shape=())
        else:
            value = ops.asarray(value)
    if typeof(value).dtype is not dtype:
        if typeof(value).dtype.kind == "complex" and dtype.kind != "complex":
            msg = (
                f"setitem: the value's dtype must fit the array's; got {value.dtype} and {x.dtype}."
            )
            raise located(DTypeError(msg))
        value = ops.astype(value, dtype)
    return value


def spread(value: Any, shape: tuple[int, ...]) -> Any:
    """`value` broadcast to the shape of what it is written to."""
    have = tuple(value.shape)
    while len(have) > len(shape) and have[0] == 1:  # NumPy drops leading ones here
        have = have[1:]
    if have != tuple(value.shape):
        value = reshape(value, have)
    if have == shape:
        return value
    trailing = shape[len(shape) - len(have) :]
    if len(have) > len(shape) or any(h not in (1, n) for h, n in zip(have, trailing, strict=True)):
        msg = (
            f"setitem: the value must broadcast to the part written; got shapes {have} and {shape}."
        )
        raise located(ShapeError(msg))
    return broadcast_to(value, shape)


@composite
def take(x: Array, indices: Any, /, *, axis: int | None = None) -> Any:
    """Pick elements along an axis.

    Parameters
    ----------
    x : array
    indices : array of int
        From −n to n − 1, n the length of the axis.
    axis : int, optional
        May be left out if `x` has one axis.

    Returns
    -------
    array
        With the dims of `indices` in place of the axis.

    Raises
    ------
    DimensionError
        If an index is outside the axis, or there is no such axis.
    DTypeError
        If `indices` is not of integers.

    Examples
    --------
    >>> F.take(np.asarray([10, 20, 30]), np.asarray([2, 0]))
    array([30, 10])
    """
    if axis is None:
        if x.ndim != 1:
            msg = (
                "take: axis must be given unless the array has one axis; got shape "
                f"{tuple(x.shape)}."
            )
            raise located(DimensionError(msg))
        axis = 0
    n = x.ndim
    if type(axis) is not int or not 0 <= axis < n:
        axis = normalize_axis("take", axis, n)
    index = indices
    home = x.value if type(x) is Tracer else x
    if not (type(index) is type(home) is np.ndarray and index.dtype.kind == "i"):
        index = indices if hasattr(indices, "dtype") else np.asarray(indices)
        if as_dtype(index.dtype).kind not in ("int", "uint"):
            msg = f"take: indices must be integers; got {index.dtype}."
            raise located(DTypeError(msg))
        (index,) = _indices(x, [(axis, index)])
    out = _gather[2](x, index, axes=(axis,))
    return _placed(out, index.ndim, axis) if axis else out


@composite
@shortcut(np.take_along_axis, dtypes=None)
def take_along_axis(x: Array, indices: Array, /, *, axis: int = -1) -> Any:
    """Pick elements along an axis, with indices of their own for every place on the others.

    Parameters
    ----------
    x : array, shape (..., n, ...)
    indices : array of int, shape (..., k, ...)
        From −n to n − 1; broadcastable with `x` on the other axes.
    axis : int

    Returns
    -------
    array, shape (..., k, ...)

    Raises
    ------
    DimensionError
        If an index is outside the axis, or there is no such axis.
    ShapeError
        If the shapes do not fit.

    Examples
    --------
    >>> F.take_along_axis(np.asarray([[1, 2], [3, 4]]), np.asarray([[1], [0]]), axis=1)
    array([[2],
           [3]])
    """
    axis = normalize_axis("take_along_axis", axis, x.ndim)
    if as_dtype(indices.dtype).kind not in ("int", "uint"):
        msg = f"take_along_axis: indices must be integers; got {as_dtype(indices.dtype).name}."
        raise located(DTypeError(msg))
    if indices.ndim != x.ndim:
        msg = (
            "take_along_axis: indices must have as many axes as the array; got shapes "
            f"{tuple(indices.shape)} and {tuple(x.shape)}."
        )
        raise located(ShapeError(msg))
    shape = tuple(x.shape)
    others = [1 if a == axis else n for a, n in enumerate(shape)]
    index_others = [1 if a == axis else n for a, n in enumerate(indices.shape)]
    full = broadcast_shapes("take_along_axis", tuple(others), tuple(index_others))
    x = broadcast_to(x, tuple(shape[a] if a == axis else full[a] for a in range(x.ndim)))
    return _gather(x, *_grid(indices, full, axis), axes=tuple(range(x.ndim)))


def _grid(indices: Any, shape: tuple[int, ...], axis: int) -> list[Any]:
    """Index arrays of every axis: `indices` along `axis`, each place's own number along others."""
    ndim = len(shape)
    return [
        indices
        if a == axis
        else reshape(
            ops.arange_like(indices, shape[a]), tuple(-1 if b == a else 1 for b in range(ndim))
        )
        for a in range(ndim)
    ]


@composite
def one_hot(x: Array, num_classes: int, /, *, axis: int = -1, dtype: Any = None) -> Any:
    """Vectors with a one in the place of each class and zeros elsewhere.

    Parameters
    ----------
    x : array of int, shape (...)
        Classes, from 0 to ``num_classes - 1``.
    num_classes : int
        Length of the vectors.
    axis : int
        Which axis of the result they are along.
    dtype : dtype, optional
        By default the default real dtype, float32.

    Returns
    -------
    array, shape (..., num_classes)

    Raises
    ------
    DTypeError
        If `x` is not of integers.
    DimensionError
        If there is no such class, seen where `x` is on the host, or no such axis.
    ShapeError
        If `num_classes` is negative.

    Examples
    --------
    >>> F.one_hot(np.asarray([0, 2]), 3)
    array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    if as_dtype(x.dtype).kind not in ("int", "uint"):
        msg = f"one_hot: classes must be integers; got {x.dtype}."
        raise located(DTypeError(msg))
    (count,) = normalize_shape("one_hot", num_classes)
    axis = normalize_axis("one_hot", axis, x.ndim + 1)
    found = bounds_under(x)
    if found is not None and (found[0] < 0 or found[1] >= count):
        got = found[0] if found[0] < 0 else found[1]
        msg = f"one_hot: classes must be from 0 to {count - 1}; got {got}."
        raise located(DimensionError(msg))
    shape = tuple(x.shape)
    classes = ops.astype(ops.arange_like(x, count), x.dtype)
    classes = reshape(classes, tuple(count if a == axis else 1 for a in range(len(shape) + 1)))
    hot = equal(reshape(x, (*shape[:axis], 1, *shape[axis:])), classes)
    return ops.astype(hot, default_dtype_of("float") if dtype is None else dtype)


@composite
def add_along_axis(x: Any, indices: Any, values: Any, axis: int) -> Any:
    """`x` with `values` added where ``take_along_axis(x, indices, axis=axis)`` reads."""
    grid = _grid(indices, tuple(x.shape), axis)
    return _scatter(x, values, *grid, axes=tuple(range(x.ndim)), mode="add")


def _outside(name: str, n: int, axis: int, k: int) -> str:
    """Message for an index beyond an axis."""
    return (
        f"{name}: indices must be from {-n} to {n - 1} along axis {axis}; got {k}. They count from "
        "0, and from -1 at the end."
    )
