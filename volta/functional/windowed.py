"""Maxima and sums over sliding windows of the last axes: the primitives of pooling.

`Windows` says where the windows lie. Sums are linear, with `_spread_windows` their transpose. The
derivative of a maximum needs to know where it was found: `max_places` tells, `pick` reads there,
and `_put` is the transpose of that. Axes before the last ones are lanes to all of these.

Windows are boxes, so that sums and maxima are taken along one axis after another: k + k operations
on views of the array in place of k · k, and no copy of the windows. Along an axis, what lies at one
place of every window is a slice with a step; what would lie outside is left out of the slice, so
that nothing is padded.
"""

import itertools
import math
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np

from volta.core.derivatives import ZERO, Linear, Pair
from volta.core.dispatch import library_of
from volta.core.primitive import Unspecified
from volta.core.trace import ops
from volta.core.types import DTYPES, HALVES, ArrayType, typeof
from volta.functional.conv.arrays import stored
from volta.functional.declare import in_one_task, primitive
from volta.functional.manipulation import broadcast_to

__all__ = ["Windows", "max_places", "max_windows", "pick", "seen_by_all", "sum_windows"]

Sizes = tuple[int, ...]


# Where windows lie --------------------------------------------------------------------------------


class Windows(NamedTuple):
    """Windows of the last axes of an array, one number an axis in each field.

    Attributes
    ----------
    lengths : tuple of int
        Of the array.
    kernel, stride, padding, dilation : tuple of int
        Lengths of a window, distances of the windows, how far the first begins before the array,
        distances of the elements of a window.
    places : tuple of int
        Numbers of windows.
    """

    lengths: Sizes
    kernel: Sizes
    stride: Sizes
    padding: Sizes
    dilation: Sizes
    places: Sizes

    @property
    def taps(self) -> int:
        """Number of elements of a window."""
        return math.prod(self.kernel)

    @property
    def overlap(self) -> bool:
        """Whether an element may lie in several windows."""
        return any(d * (k - 1) >= s for k, s, d in zip(*self[1:3], self.dilation, strict=True))

    @property
    def ceil_mode(self) -> bool:
        """Whether windows reach beyond a padding of the same length at the end."""
        return any(
            (m - 1) * s + d * (k - 1) + 1 > n + 2 * p
            for n, k, s, p, d, m in zip(*self, strict=True)
        )

    def lead(self, x: Any) -> Sizes:
        """Lengths of the axes of `x` before the last ones."""
        return tuple(x.shape[: x.ndim - len(self.kernel)])

    def single(self, axis: int) -> bool:
        """Whether each window is an element along an axis, and each element a window."""
        n, k, s, _, _, m = (sizes[axis] for sizes in self)
        return (k, s, m) == (1, 1, n)

    def divides(self, axis: int) -> bool:
        """Whether each element of an axis is in one window."""
        n, k, s, p, d, m = (sizes[axis] for sizes in self)
        return (n, p) == (k * m, 0) and (s == k or m == 1) and (d == 1 or k == 1)

    def tiles(self, axis: int) -> bool:
        """Whether the windows divide the axis, in long pieces."""
        return self.kernel[axis] >= _LONG and self.divides(axis)

    @property
    def runs(self) -> bool:
        """Whether each window is a run of the flattened axes, and a long one."""
        whole = self.taps >= _LONG and math.prod(self.places[1:]) == 1
        return whole and all(self.divides(axis) for axis in range(len(self.kernel)))


_LONG: Final = 16  # elements, which NumPy reduces in one call as fast as in one for each

Seen = tuple[int, slice, slice]


@lru_cache(maxsize=1024)
def _seen(windows: Windows, axis: int) -> tuple[Seen, ...]:
    """For each place in a window the windows that have an element there, and these elements."""
    n, k, s, p, d, m = (sizes[axis] for sizes in windows)
    found = []
    for tap in range(k):
        at = tap * d - p
        first, last = max(0, -(at // s)), min(m, (n - 1 - at) // s + 1)
        if first < last:
            elements = slice(first * s + at, (last - 1) * s + at + 1, s)
            found.append((tap, slice(first, last), elements))
    return tuple(found)


def seen_by_all(windows: Windows) -> Iterator[tuple[int, tuple[slice, ...], tuple[slice, ...]]]:
    """Number of each tap, the windows that have an element there, and these elements."""
    for seen in itertools.product(*(_seen(windows, a) for a in range(len(windows.kernel)))):
        taps, part, elements = zip(*seen, strict=True)
        yield int(np.ravel_multi_index(taps, windows.kernel)), part, elements


@lru_cache(maxsize=256)
def _numbers(windows: Windows) -> tuple[Any, Any]:
    """Index of each window's start in the flattened axes, and what each tap is further on."""
    steps = [math.prod(windows.lengths[a + 1 :]) for a in range(len(windows.kernel))]
    starts, offsets = np.zeros((), np.int64), np.zeros((), np.int64)
    for step, k, s, p, d, m in zip(steps, *windows[1:], strict=True):
        starts = starts[..., None] + step * (np.arange(m) * s - p)
        offsets = offsets[..., None] + step * np.arange(k) * d
    return starts, offsets.reshape(-1)


# Along one axis after another ---------------------------------------------------------------------


def _cut(x: Any, windows: Windows, axis: int, part: slice) -> tuple[Any, ...]:
    """Key of a part of `x` along one of the windows' axes."""
    return (*(slice(None),) * (x.ndim - len(windows.kernel) + axis), part, ...)


def _split(x: Any, windows: Windows, axis: int) -> Sizes:
    """Shape of `x` with an axis that is divided into tiles made two."""
    at = x.ndim - len(windows.kernel) + axis
    pieces = (windows.places[axis], windows.kernel[axis])
    return (*x.shape[:at], *pieces, *x.shape[at + 1 :])


def _in_runs(x: Any, windows: Windows, count: int) -> Sizes:
    """Shape of `x` with a row of so many elements for every window that is a run."""
    return (*windows.lead(x), windows.places[0], count)


def _for_windows(like: Any, windows: Windows, axis: int) -> Sizes:
    """Shape of `like` with one element for every window along an axis."""
    at = like.ndim - len(windows.kernel) + axis
    return (*like.shape[:at], windows.places[axis], *like.shape[at + 1 :])


def _on(xp: Any, like: Any) -> dict[str, Any]:
    """Where a new array goes, beside `like`; JAX's own tracers do not say."""
    return {} if xp is np or not hasattr(like, "device") else {"device": like.device}


def _full(xp: Any, like: Any, shape: Sizes, value: Any, dtype: Any = None) -> Any:
    """Array of one value, beside `like`."""
    return xp.full(shape, value, dtype=like.dtype if dtype is None else dtype, **_on(xp, like))


def _folded(xp: Any, x: Any, windows: Windows, combine: Any, whole: Any, empty: Any) -> Any:
    """All elements of each window combined; `whole` does so with an axis."""
    if windows.runs:
        parts = xp.reshape(x, _in_runs(x, windows, windows.taps))
        return xp.reshape(whole(parts, axis=-1), (*windows.lead(x), *windows.places))
    for axis in range(len(windows.kernel)):
        if windows.single(axis) and windows.taps > 1:
            continue
        if windows.tiles(axis):
            at = x.ndim - len(windows.kernel) + axis
            x = whole(xp.reshape(x, _split(x, windows, axis)), axis=at + 1)
            continue
        seen = _seen(windows, axis)
        every = slice(0, windows.places[axis])
        first = next((s for s in seen if s[1] == every), None)
        if first is None:
            out = _full(xp, x, _for_windows(x, windows, axis), empty)
        else:
            out = xp.asarray(x[_cut(x, windows, axis, first[2])], copy=True)
        for s in seen:
            if s is not first:
                into, of = (_cut(x, windows, axis, part) for part in s[1:])
                if xp is np:
                    combine(out[into], x[of], out=out[into])
                else:
                    out = stored(out, into, combine(out[into], x[of]))
        x = out
    return x


def _unfolded(xp: Any, x: Any, windows: Windows) -> Any:
    """What the windows have, added up where they lie: the transpose of their sums."""
    if windows.runs:
        parts = xp.reshape(x, _in_runs(x, windows, 1))
        parts = xp.broadcast_to(parts, _in_runs(x, windows, windows.taps))
        return xp.reshape(parts, (*windows.lead(x), *windows.lengths))
    for axis, n in enumerate(windows.lengths):
        at = x.ndim - len(windows.kernel) + axis
        shape = (*x.shape[:at], n, *x.shape[at + 1 :])
        if windows.tiles(axis):
            parts = xp.expand_dims(x, axis=at + 1)
            x = xp.reshape(xp.broadcast_to(parts, _split(x, windows, axis)), shape)
            continue
        out = xp.zeros(shape, dtype=x.dtype, **_on(xp, x))
        for _, part, elements in _seen(windows, axis):
            into, of = _cut(x, windows, axis, elements), _cut(x, windows, axis, part)
            if not windows.overlap:
                out = stored(out, into, x[of])
            elif xp is np:
                np.add(out[into], x[of], out=out[into])
            else:
                out = stored(out, into, out[into] + x[of])
        x = out
    return x


# Kernels of the libraries -------------------------------------------------------------------------


def _least(x: Any) -> Any:
    """The number of which a maximum of none is made."""
    dtype = typeof(x).dtype
    return -math.inf if dtype.kind == "float" else int(np.iinfo(dtype.name).min)


def _torch_planes(x: Any, windows: Windows, lengths: Sizes) -> tuple[Any, list[Any]]:
    """`x` as images or volumes of one channel, and sizes of the windows as torch takes them."""
    flat = (1,) * (len(lengths) == 1)  # there are no indices, and no integers, in one dimension
    x = x.reshape(math.prod(windows.lead(x)), 1, *flat, *lengths)
    fill = (1, 1, 0, 1)
    sizes = [
        [*(value,) * len(flat), *numbers] for value, numbers in zip(fill, windows[1:5], strict=True)
    ]
    return x, sizes


def _torch_max(portable: Callable[..., Any], which: int) -> Callable[..., Any]:
    def kernel(x: Any, *, windows: Windows) -> Any:
        aten = sys.modules["torch"].ops.aten
        images = len(windows.kernel) < 3
        if typeof(x).dtype.kind == "uint" and x.dtype.itemsize > 1:  # of which it has no maxima
            return portable(library_of(x, "max_pool").xp, x, windows=windows)
        apply = aten.max_pool2d_with_indices if images else aten.max_pool3d_with_indices
        planes, (kernel, stride, padding, dilation) = _torch_planes(x, windows, windows.lengths)
        found = apply(planes, kernel, stride, padding, dilation, windows.ceil_mode)[which]
        return found.reshape(*windows.lead(x), *windows.places)

    return kernel


def _torch_sums(x: Any, windows: Windows) -> bool:
    """Whether torch has sums of these windows: not of those that are longer than a volume."""
    sizes = zip(windows.kernel, windows.lengths, strict=True)
    return x.dtype.is_floating_point and (len(windows.kernel) < 3 or all(k <= n for k, n in sizes))


def _torch_sum(x: Any, *, windows: Windows) -> Any:
    if not _torch_sums(x, windows):
        return _sum_value(library_of(x, "avg_pool").xp, x, windows=windows)
    aten = sys.modules["torch"].ops.aten
    apply = aten.avg_pool2d if len(windows.kernel) < 3 else aten.avg_pool3d
    planes, sizes = _torch_planes(x, windows, windows.lengths)
    out = apply(planes, *sizes[:3], windows.ceil_mode, True, 1)
    return out.reshape(*windows.lead(x), *windows.places)


def _torch_spread(ct: Any, *, windows: Windows) -> Any:
    if not _torch_sums(ct, windows):
        return _unfolded(library_of(ct, "avg_pool").xp, ct, windows)
    aten = sys.modules["torch"].ops.aten
    apply = aten.avg_pool2d_backward if len(windows.kernel) < 3 else aten.avg_pool3d_backward
    planes, sizes = _torch_planes(ct, windows, windows.places)
    lead = windows.lead(ct)
    flat = (1,) * (len(windows.kernel) == 1)
    # of which it looks at the shape and the strides
    like = ct.new_empty(math.prod(lead), 1, *flat, *windows.lengths)
    out = apply(planes.contiguous(), like, *sizes[:3], windows.ceil_mode, True, 1)
    return out.reshape(*lead, *windows.lengths)


def _jax_reduced(x: Any, windows: Windows, combine: str, empty: Any) -> Any:
    lax = sys.modules["jax"].lax
    ones = (1,) * len(windows.lead(x))
    margins = [
        (p, max(0, (m - 1) * s + d * (k - 1) + 1 - n - p))
        for n, k, s, p, d, m in zip(*windows, strict=True)
    ]
    return lax.reduce_window(
        x,
        np.asarray(empty, x.dtype),
        getattr(lax, combine),
        (*ones, *windows.kernel),
        (*ones, *windows.stride),
        [*((0, 0) for _ in ones), *margins],
        window_dilation=(*ones, *windows.dilation),
    )


# Maxima -------------------------------------------------------------------------------------------


def _max_type(x: ArrayType, *, windows: Windows) -> ArrayType:
    if x.dtype.kind not in ("int", "uint", "float"):
        msg = f"max_pool: the dtype must be real-valued; got {x.dtype.name}."
        raise Unspecified(msg)
    return ArrayType((*windows.lead(x), *windows.places), x.dtype)


def _max_value(xp: Any, x: Any, *, windows: Windows) -> Any:
    return _folded(xp, x, windows, xp.maximum, xp.max, _least(x))


def _searched(xp: Any, x: Any, windows: Windows, nans: bool) -> tuple[Any, Any]:
    """Maximum of each window and the number of its tap, of the first of equals.

    From the last tap to the first, a number that is as large takes the place of what was found, and
    a NaN stays. The last axis comes first: of the rows of a window the first that has the maximum
    is taken, and in this row the first element.
    """
    taps: Any = None
    best, count = x, 1
    for axis in reversed(range(len(windows.kernel))):
        out: Any = None
        tap: Any = None
        for number, part, elements in reversed(_seen(windows, axis)):
            into, of = _cut(x, windows, axis, part), _cut(x, windows, axis, elements)
            new = best[of]
            at = _numbered(xp, new, windows, number * count, None if taps is None else taps[of])
            if out is None and part == slice(0, windows.places[axis]):
                out, tap = xp.asarray(new, copy=True), at
                continue
            if out is None:
                shape = _for_windows(best, windows, axis)
                out, tap = _full(xp, x, shape, _least(x)), _full(xp, x, shape, 0, at.dtype)
            old, there = out[into], tap[into]
            better = new >= old
            if nans:
                better = better | ((new != new) & (old == old))
            if xp is np:  # without a branch for each element
                np.maximum(old, new, out=old)
                there += better.view(np.uint8) * (at - there)
            else:
                out = stored(out, into, xp.where(better, new, old))
                tap = stored(tap, into, xp.where(better, at, there))
        best, taps, count = out, tap, count * windows.kernel[axis]
    return best, taps


def _numbered(xp: Any, like: Any, windows: Windows, number: int, taps: Any) -> Any:
    """Numbers of taps: the same for all of `like`, or so much more than `taps`."""
    code = "uint8" if windows.taps <= 256 else "int64"
    if taps is not None:
        return taps + (np.dtype(code).type(number) if xp is np else number)
    return _full(xp, like, like.shape, number, getattr(xp, code))


def _places_value(xp: Any, x: Any, *, windows: Windows) -> Any:
    floating = typeof(x).dtype.kind == "float"
    best, taps = _searched(xp, x, windows, nans=floating and xp is not np)
    starts, offsets = _numbers(windows)
    if xp is np:
        if floating and np.isnan(best).any():
            _, taps = _searched(np, x, windows, nans=True)
        out = offsets.take(taps, mode="clip")
        out += starts
        return out
    library = library_of(x, "max_pool")
    starts, offsets = (library.asarray(a, **_on(xp, x)) for a in (starts, offsets))
    flat = xp.reshape(xp.astype(taps, starts.dtype), (-1,))
    return xp.reshape(xp.take(offsets, flat, axis=0), taps.shape) + starts


def _jax_max(x: Any, *, windows: Windows) -> Any:
    if any(d > 1 for d in windows.dilation):  # of which it has no derivative under its own grad
        return _max_value(sys.modules["jax"].numpy, x, windows=windows)
    return _jax_reduced(x, windows, "max", _least(x))


max_places: Any = primitive(
    "max_places",
    type_rule=lambda x, *, windows: ArrayType(_max_type(x, windows=windows).shape, DTYPES["int64"]),
    batch=lambda size, batched, x, *, windows: max_places(x, windows=windows),
    derivatives=(ZERO,),
    value=_places_value,
    kernels={"torch": _torch_max(_places_value, 1), "dask.array": in_one_task("max_places")},
)


def _max_fwd(x: Any, *, windows: Windows) -> tuple[Any, Any]:
    places = max_places(x, windows=windows)
    return pick(x, places, windows=windows), places


def _max_jvp(primals: Any, tangents: Any, *, windows: Windows) -> tuple[Any, Any]:
    out, places = _max_fwd(primals[0], windows=windows)
    return out, pick(tangents[0], places, windows=windows)


def _max_bwd(places: Any, ct: Any, needed: Any, *, windows: Windows) -> tuple[Any]:
    return (_returned(ct, None, places, windows=windows),)


# Of what a sweep keeps, the indices alone are this operation's own: 8 bytes for each window
max_windows: Any = primitive(
    "max_windows",
    type_rule=_max_type,
    batch=lambda size, batched, x, *, windows: max_windows(x, windows=windows),
    derivatives=Pair(_max_jvp, _max_fwd, _max_bwd),
    value=_max_value,
    kernels={
        "torch": _torch_max(_max_value, 0),
        "jax.numpy": _jax_max,
        "dask.array": in_one_task("max_windows"),
    },
    masks=True,
)


# What lies at an index ----------------------------------------------------------------------------


def _rows(x: Any, windows: Windows) -> tuple[int, int]:
    """Shape of `x` with the windows' axes made one, and those before them."""
    lead = windows.lead(x)
    return math.prod(lead), math.prod(x.shape[len(lead) :])


def _in_rows(places: Any, windows: Windows) -> Any:
    """Indices into the whole flattened array."""
    rows, columns = _rows(places, windows)
    first = np.arange(rows) * math.prod(windows.lengths)
    return (places.reshape(rows, columns) + first[:, None]).reshape(-1)


def _pick_batch(apply: Callable[[], Any]) -> Callable[..., Any]:
    def batch(size: int, batched: Any, x: Any, places: Any, *, windows: Windows) -> Any:
        x, places = (
            a if b else broadcast_to(a, (size, *a.shape))
            for a, b in zip((x, places), batched, strict=True)
        )
        return apply()(x, places, windows=windows)

    return batch


def _pick_value(xp: Any, x: Any, places: Any, *, windows: Windows) -> Any:
    rows = (xp.reshape(a, _rows(a, windows)) for a in (x, places))
    return xp.reshape(xp.take_along_axis(*rows, axis=1), places.shape)


def _numpy_pick(x: Any, places: Any, *, windows: Windows) -> Any:
    return x.reshape(-1).take(_in_rows(places, windows)).reshape(places.shape)


def _torch_pick(x: Any, places: Any, *, windows: Windows) -> Any:
    x, index = (a.reshape(_rows(a, windows)) for a in (x, places))
    return x.gather(1, index).reshape(places.shape)


def _put_value(xp: Any, ct: Any, places: Any, *, windows: Windows) -> Any:
    """Tap by tap: of each, all windows at once."""
    library = library_of(ct, "max_pool")
    starts, offsets = _numbers(windows)
    starts = library.asarray(starts, **_on(xp, ct))
    out = _full(xp, ct, (*windows.lead(ct), *windows.lengths), 0)
    lead = (slice(None),) * len(windows.lead(ct))
    nothing = _full(xp, ct, (), 0)
    for tap, part, elements in seen_by_all(windows):
        offset = int(offsets[tap])
        into, of = lead + elements, lead + part
        found = xp.where(places[of] == starts[part] + offset, ct[of], nothing)
        out = stored(out, into, out[into] + found)
    return out


def _numpy_put(ct: Any, places: Any, *, windows: Windows) -> Any:
    shape = (*windows.lead(ct), *windows.lengths)
    out = np.zeros(math.prod(shape), ct.dtype)
    index = _in_rows(places, windows)
    if windows.overlap:
        np.add.at(out, index, ct.reshape(-1))
    else:
        out[index] = ct.reshape(-1)
    return out.reshape(shape)


def _torch_put(ct: Any, places: Any, *, windows: Windows) -> Any:
    lead = windows.lead(ct)
    out = ct.new_zeros(math.prod(lead), math.prod(windows.lengths))
    ct, index = (a.reshape(_rows(a, windows)) for a in (ct, places))
    return out.scatter_add_(1, index, ct).reshape(*lead, *windows.lengths)


def _jax_put(ct: Any, places: Any, *, windows: Windows) -> Any:
    jnp = sys.modules["jax"].numpy
    lead = windows.lead(ct)
    ct, index = (a.reshape(_rows(a, windows)) for a in (ct, places))
    out = jnp.zeros((ct.shape[0], math.prod(windows.lengths)), ct.dtype)
    rows = jnp.arange(ct.shape[0])[:, None]
    return out.at[rows, index].add(ct).reshape(*lead, *windows.lengths)


pick: Any = primitive(
    "pick",
    type_rule=lambda x, places, *, windows: ArrayType(places.shape, x.dtype),
    batch=_pick_batch(lambda: pick),
    derivatives=(Linear(lambda ct, _x, places, *, windows: _returned(ct, _x, places, windows)),),
    value=_pick_value,
    kernels={"numpy": _numpy_pick, "torch": _torch_pick, "dask.array": in_one_task("pick")},
    masks=True,
)


def _returned(ct: Any, _x: Any, places: Any, windows: Windows) -> Any:
    """Cotangents where their numbers came from; several that meet are added up in 32 bits."""
    dtype = typeof(ct).dtype
    if dtype in HALVES and windows.overlap:
        wide = _put(ops.astype(ct, DTYPES["float32"]), places, windows=windows)
        return ops.astype(wide, dtype)
    return _put(ct, places, windows=windows)


_put: Any = primitive(
    "put",
    type_rule=lambda ct, places, *, windows: ArrayType(
        (*windows.lead(ct), *windows.lengths), ct.dtype
    ),
    batch=_pick_batch(lambda: _put),
    derivatives=(Linear(lambda ct, _ct, places, *, windows: pick(ct, places, windows=windows)),),
    value=_put_value,
    kernels={
        "numpy": _numpy_put,
        "torch": _torch_put,
        "jax.numpy": _jax_put,
        "dask.array": in_one_task("put"),
    },
)


# Sums ---------------------------------------------------------------------------------------------


def _sum_value(xp: Any, x: Any, *, windows: Windows) -> Any:
    return _folded(xp, x, windows, xp.add, xp.sum, 0)


sum_windows: Any = primitive(
    "sum_windows",
    type_rule=lambda x, *, windows: ArrayType((*windows.lead(x), *windows.places), x.dtype),
    batch=lambda size, batched, x, *, windows: sum_windows(x, windows=windows),
    derivatives=(Linear(lambda ct, *, windows: _spread_windows(ct, windows=windows)),),
    value=_sum_value,
    kernels={
        "torch": _torch_sum,
        "jax.numpy": lambda x, *, windows: _jax_reduced(x, windows, "add", 0),
        "dask.array": in_one_task("sum_windows"),
    },
    masks=True,  # elements between windows are not looked at
)

_spread_windows: Any = primitive(
    "spread_windows",
    type_rule=lambda ct, *, windows: ArrayType((*windows.lead(ct), *windows.lengths), ct.dtype),
    batch=lambda size, batched, ct, *, windows: _spread_windows(ct, windows=windows),
    derivatives=(Linear(lambda ct, *, windows: sum_windows(ct, windows=windows)),),
    value=lambda xp, ct, *, windows: _unfolded(xp, ct, windows),
    kernels={"torch": _torch_spread, "dask.array": in_one_task("spread_windows")},
)
