"""Kernels over arrays of which a device shows a kernel only a part, as several that see parts."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from volta.compile.kernel import Kernel, Result
from volta.wgpu.launch import View, itemsize, row_major

__all__ = ["Split", "along", "halves", "is_beyond", "is_too_large", "sliced", "widest"]

_ALIGNED: Final = 256  # bytes that a part may begin earlier than what is seen of it


class Split(NamedTuple):
    """A kernel, and where its results go."""

    kernel: Kernel
    results: list[View]


def along(strides: Sequence[int], view: View) -> tuple[int, ...]:
    """Strides of a result along a kernel's axes, given those of its array in row-major order."""
    if view.is_row_major:
        return tuple(strides)
    own = {
        s: t
        for s, t, n in zip(row_major(view.shape), view.strides, view.shape, strict=True)
        if n > 1
    }
    return tuple(own[s] if s else 0 for s in strides)


def _seen(kernel: Kernel, results: Sequence[View]) -> list[View]:
    """What it sees of arrays, along its own axes."""
    shape = kernel.shape
    loads = [View(0, o.dtype, shape, o.strides, o.offset) for o in kernel.operands]
    stores = [
        View(0, view.dtype, shape, along(r.strides, view), view.offset)
        for r, view in zip(kernel.results, results, strict=True)
    ]
    return [*loads, *stores]


def _nbytes(view: View) -> int:
    first, last = view.extent
    return (last - first) * itemsize(view.dtype)


def is_beyond(view: View, most: int) -> bool:
    """Whether a kernel that sees all of a view sees more than so many bytes."""
    return _nbytes(view) + _ALIGNED > most and view.extent[1] * itemsize(view.dtype) > most


def is_too_large(kernel: Kernel, results: Sequence[View], most: int) -> bool:
    """Whether it sees more than so many bytes of an array."""
    return any(is_beyond(view, most) for view in _seen(kernel, results))


def widest(kernel: Kernel, results: Sequence[View], axes: Sequence[int]) -> int | None:
    """The axis along which it sees most of the array of which it sees most, or None."""
    largest = max(_seen(kernel, results), key=_nbytes)
    reach = {a: abs(largest.strides[a]) * (kernel.shape[a] - 1) for a in axes}
    found = max(axes, key=lambda a: reach[a], default=None)
    return found if found is not None and reach[found] else None


def halves(kernel: Kernel, results: Sequence[View]) -> list[Split] | None:
    """Two kernels that compute it, or None where that would split an axis that is reduced."""
    axes = [a for a, n in enumerate(kernel.shape) if n > 1]
    axis = widest(kernel, results, axes)
    if axis is None or axis in kernel.rows or axis in kernel.folds:
        return None
    half = kernel.shape[axis] // 2
    parts = (0, half), (half, kernel.shape[axis])
    return [sliced(kernel, results, axis, *part) for part in parts]


def sliced(kernel: Kernel, results: Sequence[View], axis: int, start: int, stop: int) -> Split:
    """The kernel of a part of an axis."""
    shape = (*kernel.shape[:axis], stop - start, *kernel.shape[axis + 1 :])
    operands = tuple(o._replace(offset=o.offset + start * o.strides[axis]) for o in kernel.operands)
    made, views = [], []
    for r, view in zip(kernel.results, results, strict=True):
        steps = along(r.strides, view)
        own = tuple(n if s else 1 for n, s in zip(shape, r.strides, strict=True))
        made.append(Result(r.node, row_major(own), r.fold))
        offset = view.offset + start * steps[axis]
        views.append(view._replace(shape=own, strides=steps, offset=offset))
    part = kernel._replace(shape=shape, operands=operands, results=(*made,))
    return Split(part, views)
