"""Sizes of a convolution, and its division into blocks that fit a budget of memory."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Blocks", "Geometry", "Part", "Workspace", "evened", "padded_workspace"]

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


class Geometry(NamedTuple):
    """Sizes of x (batch, groups · inputs, *x), w (groups · outputs, inputs, *kernel) and y.

    Attributes
    ----------
    batch, groups : int
    inputs, outputs : int
        Channels of one group of x, and of y.
    x, kernel, y : tuple of int
        Lengths in space.
    stride, padding, dilation : tuple
        One number an axis of space; a pair of `padding`, which is negative where x is cropped.
    """

    batch: int
    groups: int
    inputs: int
    outputs: int
    x: Sizes
    kernel: Sizes
    y: Sizes
    stride: Sizes
    padding: Pairs
    dilation: Sizes

    @property
    def taps(self) -> int:
        """Number of elements of the kernel."""
        return math.prod(self.kernel)

    @property
    def places(self) -> int:
        """Number of elements of a channel of y."""
        return math.prod(self.y)

    @property
    def extent(self) -> Sizes:
        """How far the kernel reaches in x."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def padded(self) -> Sizes:
        """Lengths of x with its padding."""
        return tuple(n + sum(pair) for n, pair in zip(self.x, self.padding, strict=True))

    @property
    def multiplications(self) -> int:
        """How many each of the maps has by its definition."""
        return self.batch * self.groups * self.inputs * self.outputs * self.taps * self.places

    @property
    def dense(self) -> bool:
        """Whether the stride is 1 along every axis."""
        return all(s == 1 for s in self.stride)

    @property
    def pointwise(self) -> bool:
        """Whether each place of y sees one of x, and they are the same."""
        return self.taps == 1 and self.dense and not any(map(any, self.padding))

    @property
    def row(self) -> int:
        """Elements of a channel of y that have one index along its first axis."""
        return math.prod(self.y[1:])

    @property
    def padded_row(self) -> int:
        """Likewise of the padded x."""
        return math.prod(self.padded[1:])

    def reversed(self) -> "Geometry":
        """The convolution of y that gives x, of stride 1: with the kernel turned around."""
        padding = tuple(
            (e - 1 - low, e - 1 - high)
            for e, (low, high) in zip(self.extent, self.padding, strict=True)
        )
        return self._replace(
            inputs=self.outputs, outputs=self.inputs, x=self.y, y=self.x, padding=padding
        )

    def seen(self, tap: Sequence[int]) -> tuple[slice, ...]:
        """What one element of the kernel sees of the padded x; a key for (b, g, c, *space)."""
        return (slice(None),) * 3 + tuple(
            slice(k * d, k * d + (p - 1) * s + 1, s)
            for k, d, s, p in zip(tap, self.dilation, self.stride, self.y, strict=True)
        )

    def shifts(self) -> Iterator[int]:
        """How far each tap is from the first, with the axes of the padded x made one."""
        steps = [math.prod(self.padded[i + 1 :]) for i in range(len(self.y))]
        for tap in self.offsets():
            yield sum(k * d * s for k, d, s in zip(tap, self.dilation, steps, strict=True))

    def offsets(self) -> Iterator[tuple[int, ...]]:
        """Indices of the elements of the kernel."""
        return iter(np.ndindex(self.kernel))

    def parts(self, images: int, rows: int) -> Iterator["Part"]:
        """Divide into so many images and rows of y at a time."""
        for image in range(0, self.batch, images):
            at = slice(image, min(image + images, self.batch))
            for row in range(0, self.y[0], rows):
                yield self._part(at, slice(row, min(row + rows, self.y[0])))

    def _part(self, images: slice, rows: slice) -> "Part":
        n = images.stop - images.start
        if rows == slice(0, self.y[0]):
            return Part(images, rows, slice(0, self.x[0]), self._replace(batch=n))
        start = rows.start * self.stride[0] - self.padding[0][0]
        stop = (rows.stop - 1) * self.stride[0] - self.padding[0][0] + self.extent[0]
        first = min(max(start, 0), self.x[0])
        inside = slice(first, max(first, min(stop, self.x[0])))
        geometry = self._replace(
            batch=n,
            x=(inside.stop - inside.start, *self.x[1:]),
            y=(rows.stop - rows.start, *self.y[1:]),
            padding=((inside.start - start, stop - inside.stop), *self.padding[1:]),
        )
        return Part(images, rows, inside, geometry)


class Part(NamedTuple):
    """Some images and rows of y, the rows of x that they see, and the sizes of all this.

    The keys are for arrays with the axes (batch, groups, channels, *space).
    """

    images: slice
    rows: slice
    x_rows: slice
    geometry: Geometry

    @property
    def of_x(self) -> tuple[Any, ...]:
        """Key of the part in x."""
        return (self.images, slice(None), slice(None), self.x_rows, ...)

    @property
    def of_y(self) -> tuple[Any, ...]:
        """Key of the part in y."""
        return (self.images, slice(None), slice(None), self.rows, ...)

    @property
    def of_flat_y(self) -> tuple[slice, ...]:
        """Key of the part in y with its axes of space made one."""
        row = self.geometry.row
        return (
            self.images,
            slice(None),
            slice(None),
            slice(self.rows.start * row, self.rows.stop * row),
        )


class Blocks(NamedTuple):
    """How an algorithm divides its work, and the memory that a block takes.

    Attributes
    ----------
    images, rows : int
        Of y, at a time.
    memory : int
        Bytes besides operands and result.
    channels : int
        Channels of a group of y at a time; 0 for all.
    """

    images: int
    rows: int
    memory: int
    channels: int = 0


class Workspace(NamedTuple):
    """Bytes that an algorithm needs besides operands and result: once, an image, a row of y."""

    once: float
    image: float
    row: float

    def blocks(self, g: Geometry, budget: float, cap: float, multiple: int = 1) -> Blocks:
        """Largest blocks within the budget, all about as large; or the smallest there are.

        The budget is for what a block adds to what is needed once, which each block reads, so that
        it may take twice that, too; the cap is for all. `multiple` is a number that divides the
        rows of a block unless it has all.
        """
        rows = g.y[0]
        free = min(max(budget, 2 * self.once), cap - self.once)
        images = int(free // max(1.0, self.image + rows * self.row))
        if images >= 1:
            images = evened(g.batch, images)
        else:
            images = 1
            least = -(-rows // multiple)
            rows = multiple * evened(least, int((free - self.image) // (self.row * multiple)))
            rows = min(rows, g.y[0])
        return Blocks(images, rows, math.ceil(self.once + images * (self.image + rows * self.row)))


def evened(total: int, most: int) -> int:
    """Size of pieces of at most `most` (and at least one) elements, all about as large."""
    return -(-total // -(-total // max(1, min(most, total)))) if total else 1


def padded_workspace(g: Geometry, itemsize: int) -> tuple[float, float]:
    """Bytes of the padded x: an image beyond its rows, and a row of y."""
    plane = itemsize * g.groups * g.inputs * g.padded_row
    return plane * max(0, g.extent[0] - g.stride[0]), plane * g.stride[0]
