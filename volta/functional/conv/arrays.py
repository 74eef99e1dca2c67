"""What the algorithms do with arrays of any library; in place, and by strides, on NumPy."""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from volta.core.types import typeof
from volta.functional.conv.geometry import Geometry

__all__ = [
    "BUFFER",
    "Scratch",
    "add_to",
    "contiguous",
    "copy",
    "empty",
    "itemsize",
    "lined",
    "padded",
    "product",
    "reshape",
    "spread",
    "stored",
    "turned",
    "windows",
    "zeros",
]


BUFFER: Final = 8192  # elements that NumPy copies of an operand, `np.getbufsize()`


def itemsize(x: Any) -> int:
    """Bytes of an element."""
    return typeof(x).dtype.itemsize


def reshape(xp: Any, x: Any, *shape: int) -> Any:
    """`x` in another shape."""
    return x.reshape(shape) if xp is np else xp.reshape(x, shape)


def zeros(xp: Any, like: Any, shape: Sequence[int]) -> Any:
    """Zeros of the dtype of `like`, and where it is."""
    if xp is np:
        return np.zeros(shape, like.dtype)
    return xp.zeros(tuple(shape), dtype=like.dtype, device=like.device)


def empty(xp: Any, like: Any, shape: Sequence[int]) -> Any:
    """Array to be written to whole, of the dtype of `like`, and where it is."""
    return np.empty(shape, like.dtype) if xp is np else zeros(xp, like, shape)


def stored(out: Any, key: Any, value: Any) -> Any:
    """`out` with `value` at `key`: written there, or a copy where arrays do not change."""
    if hasattr(out, "at"):  # JAX
        return out.at[key].set(value)
    out[key] = value
    return out


def add_to(xp: Any, out: Any, key: Any, value: Any) -> Any:
    """`out` with `value` added at `key`."""
    if xp is np:
        view = out[key]
        np.add(view, value, out=view)
        return out
    return stored(out, key, out[key] + value)


class Scratch:
    """Memory that one block of a convolution leaves to the next.

    Large fresh arrays come from the operating system page by page, which costs NumPy as much as
    filling them. Other libraries have allocators of their own.
    """

    def __init__(self, xp: Any) -> None:
        self.xp = xp
        self.kept: dict[str, Any] = {}

    def _taken(self, name: str, shape: Sequence[int], dtype: Any) -> Any:
        """NumPy array in the memory of that name."""
        size = math.prod(shape)
        if name not in self.kept or self.kept[name].size < size:
            self.kept.pop(name, None)
            self.kept[name] = np.empty(size, dtype)
        return self.kept[name][:size].reshape(shape)

    def copied(self, name: str, x: Any, *shape: int) -> Any:
        """The elements of `x` in the order of its axes, in another shape."""
        if self.xp is not np:
            return self.xp.reshape(x, shape)
        if x.flags.c_contiguous:
            return x.reshape(shape)
        out = self._taken(name, x.shape, x.dtype)
        copy(out, x)
        return out.reshape(shape)

    def matmul(self, name: str, a: Any, b: Any) -> Any:
        """Matrix product."""
        if self.xp is not np:
            return self.xp.matmul(a, b)
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        out = self._taken(name, (*lead, a.shape[-2], b.shape[-1]), a.dtype)
        return np.matmul(a, b, out=out)

    def padded(self, x: Any, g: Geometry) -> Any:
        """See `padded`."""
        return padded(self.xp, x, g, self)

    def zeros(self, name: str, like: Any, shape: Sequence[int]) -> Any:
        """Zeros of the dtype of `like`, and where it is."""
        if self.xp is not np:
            return zeros(self.xp, like, shape)
        out = self._taken(name, shape, like.dtype)
        out[...] = 0
        return out


_RUN: Final = 256  # bytes up to which NumPy moves one long element faster than many short ones


def copy(out: Any, x: Any) -> None:
    """Copy NumPy's `x` to `out`, whose last axis is contiguous.

    NumPy copies in its innermost loop along one axis, and takes several nanoseconds for each. Where
    the last axis of `x` is contiguous, too, and short, it is taken as one element.
    """
    run = x.itemsize * x.shape[-1] if x.ndim > 1 and x.size else 0
    if x.itemsize < run <= _RUN and x.strides[-1] == x.itemsize:
        whole = np.dtype((np.void, run))
        out, x = out.view(whole), x.view(whole)
    np.copyto(out, x)


def product(xp: Any, a: Any, b: Any, out: Any, key: Any) -> Any:
    """`out` with the matrix product of `a` and `b` at `key`."""
    if xp is np:
        np.matmul(a, b, out=out[key])
        return out
    return stored(out, key, xp.matmul(a, b))


def contiguous(xp: Any, x: Any) -> Any:
    """`x` in the order of its axes: NumPy multiplies other matrices without BLAS."""
    return np.ascontiguousarray(x) if xp is np else x


def padded(xp: Any, x: Any, g: Geometry, scratch: Scratch | None = None) -> Any:
    """`x` with zeros around it, or cropped where the padding is negative."""
    lead = (slice(None),) * (x.ndim - len(g.padding))
    if any(low < 0 or high < 0 for low, high in g.padding):
        kept = []
        for n, (low, high) in zip(g.x, g.padding, strict=True):
            start = min(n, max(0, -low))
            kept.append(slice(start, max(start, n - max(0, -high))))
        x = x[lead + tuple(kept)]
    if all(low <= 0 and high <= 0 for low, high in g.padding):
        return x
    inside = tuple(
        slice(max(0, low), max(0, low) + n)
        for n, (low, _) in zip(x.shape[len(lead) :], g.padding, strict=True)
    )
    shape = (*x.shape[: len(lead)], *g.padded)
    out = zeros(xp, x, shape) if scratch is None else scratch.zeros("padded", x, shape)
    return stored(out, lead + inside, x)


def spread(xp: Any, x: Any, key: tuple[Any, ...], block: Any, g: Geometry) -> Any:
    """`x` with what belongs to its padded part at `key` added; the margins are dropped."""
    into, of = [], []
    for n, m, (low, _) in zip(g.x, g.padded, g.padding, strict=True):
        start = max(0, -low)
        stop = max(start, min(n, m - low))
        into.append(slice(start, stop))
        of.append(slice(start + low, stop + low))
    first = key[3]
    into[0] = slice(first.start + into[0].start, first.start + into[0].stop)
    return add_to(xp, x, (*key[:3], *into), block[(slice(None),) * 3 + tuple(of)])


def windows(xp: Any, x: Any, g: Geometry) -> Any:
    """What each element of the kernel sees: the padded x as (b, g, c, *kernel, *y)."""
    if xp is np:
        lead, space = x.strides[:3], x.strides[3:]
        taps = (s * d for s, d in zip(space, g.dilation, strict=True))
        places = (s * t for s, t in zip(space, g.stride, strict=True))
        shape, strides = (*x.shape[:3], *g.kernel, *g.y), (*lead, *taps, *places)
        if x.flags.c_contiguous:  # at a tenth of the cost
            return np.ndarray(shape, x.dtype, x, strides=strides)
        return np.lib.stride_tricks.as_strided(x, shape, strides, writeable=False)
    views = xp.stack([x[g.seen(tap)] for tap in g.offsets()], axis=3)
    return xp.reshape(views, (*x.shape[:3], *g.kernel, *g.y))


def lined(scratch: Scratch, x: Any) -> Any:
    """(b, g, c, *space) as matrices (g, c, b · space)."""
    b, groups, c, *space = x.shape
    x = scratch.xp.permute_dims(x, (1, 2, 0, *range(3, x.ndim)))
    return scratch.copied("lined", x, groups, c, b * math.prod(space))


def turned(xp: Any, w: Any) -> Any:
    """The kernel turned around, with its channels of x and y exchanged."""
    w = xp.flip(w, axis=tuple(range(3, w.ndim)))
    return contiguous(xp, xp.permute_dims(w, (0, 2, 1, *range(3, w.ndim))))
