"""Convolution as a product of Fourier transforms, for large kernels.

The transforms are as long as the padded x, or the padded part of a block. Strides take every
so-many-th element of the result; dilated kernels, and y in the other maps, get zeros in between.
Rounding errors are relative to the largest results, not to the products of each.

References
----------
M. Mathieu, M. Henaff, Y. LeCun, "Fast training of convolutional networks through FFTs", 2014,
https://arxiv.org/abs/1312.5851.
"""

from collections.abc import Iterator
from functools import cache
from math import ceil, prod
from typing import Any

from volta.core.types import typeof
from volta.functional.conv.arrays import add_to, contiguous, padded, spread, stored, zeros
from volta.functional.conv.geometry import Blocks, Geometry, Part, evened

__all__ = ["fft_blocks", "fft_input", "fft_result", "fft_weight", "of_rows", "spectrum"]


@cache
def _good(n: int) -> int:
    """Least number from `n` on without prime factors above 5."""
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += 1


def _lengths(g: Geometry) -> tuple[int, ...]:
    """Lengths of the transforms."""
    return tuple(_good(max(1, n)) for n in g.padded)


def of_rows(g: Geometry, rows: int) -> Geometry:
    """The sizes of a part of so many rows, at its largest."""
    if rows == g.y[0]:
        return g
    reach = (rows - 1) * g.stride[0] + g.extent[0]
    return g._replace(y=(rows, *g.y[1:]), x=(reach, *g.x[1:]), padding=((0, 0), *g.padding[1:]))


def spectrum(g: Geometry, complex_: bool) -> tuple[int, int]:
    """Elements of a channel that is transformed, and of its transform."""
    lengths = _lengths(g)
    last = lengths[-1] if complex_ else lengths[-1] // 2 + 1
    return prod(lengths), prod(lengths[:-1]) * last


def fft_blocks(g: Geometry, itemsize: int, complex_: bool, which: str, budget: float) -> Blocks:
    """Largest blocks of images, rows and channels of y within the budget, or the smallest."""
    turned = itemsize * g.groups * g.inputs * g.outputs * g.taps  # by who asks for x

    def memory(images: int, rows: int, channels: int) -> float:
        points, frequencies = spectrum(of_rows(g, rows), complex_)
        plane, bins = itemsize * points, itemsize * frequencies * (1 if complex_ else 2)
        of_x, of_y, of_w = images * g.inputs, images * channels, g.inputs * channels
        # NumPy's transforms take up to 5.5 times the memory of a spectrum on their way
        if which == "weight":
            parts = (of_x + of_y) * (plane + 2 * bins) + of_w * (plane + 5 * bins)
            return turned + g.groups * (parts + 4 * bins * max(of_x, of_y))
        ahead, back = (of_x, of_y) if which == "result" else (of_y, of_x)
        return turned + g.groups * max(
            of_w * (plane + 6 * bins) + back * (plane + 2 * bins),  # of the last part
            of_w * bins + ahead * (plane + 6 * bins),
            of_w * bins + back * (plane + 6 * bins) + ahead * bins,
        )

    rows = g.y[0]
    while True:
        channels = max(1, g.outputs)
        least = min(channels, 8) if rows > 1 else 1
        while channels > least and memory(1, rows, channels) > budget:
            channels = -(-channels // 2)
        if rows == 1 or memory(1, rows, channels) <= budget:
            break
        rows = -(-rows // 2)
    images = 1
    while rows == g.y[0] and images < g.batch and memory(2 * images, rows, channels) <= budget:
        images *= 2
    images = evened(g.batch, images)
    return Blocks(images, rows, ceil(memory(images, rows, channels)), channels)


def _chunks(g: Geometry, blocks: Blocks) -> Iterator[tuple[slice, Geometry]]:
    """Channels of y at a time, as a slice and the sizes of the convolution that has only them."""
    step = blocks.channels or max(1, g.outputs)
    for first in range(0, g.outputs, step):
        chunk = slice(first, min(first + step, g.outputs))
        yield chunk, g._replace(outputs=chunk.stop - first)


class _Transforms:
    """Transforms over the axes of space, from one length to all parts of that length."""

    def __init__(self, xp: Any, like: Any, g: Geometry) -> None:
        self.xp, self.nd = xp, len(g.y)
        self.axes = tuple(range(3, 3 + self.nd))
        self.complex = typeof(like).dtype.kind == "complex"
        self.kept: tuple[tuple[int, ...], Any] | None = None

    def ahead(self, x: Any, lengths: tuple[int, ...]) -> Any:
        """Transform, with the frequencies first: (*frequencies, a, b, c)."""
        transform = self.xp.fft.fftn if self.complex else self.xp.fft.rfftn
        x = transform(x, s=lengths, axes=self.axes)
        return self.xp.permute_dims(x, (*self.axes, 0, 1, 2))

    def mirrored(self, x: Any, lengths: tuple[int, ...]) -> Any:
        """Transform of the signal that is turned around: products with it correlate."""
        return self.xp.conj(self.ahead(self.xp.conj(x) if self.complex else x, lengths))

    def back(self, x: Any, lengths: tuple[int, ...]) -> Any:
        """Inverse of `ahead`."""
        x = self.xp.permute_dims(x, (self.nd, self.nd + 1, self.nd + 2, *range(self.nd)))
        transform = self.xp.fft.ifftn if self.complex else self.xp.fft.irfftn
        return transform(x, s=lengths, axes=self.axes)

    def weight(self, w: Any, g: Geometry, lengths: tuple[int, ...], mirrored: bool) -> Any:
        """Transform of the kernel, made once for parts of one length."""
        if self.kept is None or self.kept[0] != lengths:
            self.kept = None
            w = _apart(self.xp, w, g.dilation, g.extent)
            if mirrored:
                w = self.swapped(self.mirrored(w, lengths), (0, 2, 1))
            else:
                w = contiguous(self.xp, self.ahead(w, lengths))
            self.kept = lengths, w
        return self.kept[1]

    def swapped(self, x: Any, order: tuple[int, int, int]) -> Any:
        """The last three axes in another order, ready for a product."""
        x = self.xp.permute_dims(x, (*range(self.nd), *(self.nd + i for i in order)))
        return contiguous(self.xp, x)


def _apart(xp: Any, x: Any, steps: tuple[int, ...], lengths: tuple[int, ...]) -> Any:
    """`x` with zeros between its elements along the axes of space."""
    if all(step == 1 for step in steps):
        return x
    out = zeros(xp, x, (*x.shape[:3], *lengths))
    key = tuple(slice(0, (n - 1) * s + 1, s) for n, s in zip(x.shape[3:], steps, strict=True))
    return stored(out, (slice(None),) * 3 + key, x)


def _apart_y(xp: Any, y: Any, g: Geometry) -> Any:
    lengths = tuple((n - 1) * s + 1 for n, s in zip(g.y, g.stride, strict=True))
    return _apart(xp, y, g.stride, lengths)


def _parts(g: Geometry, blocks: Blocks) -> Iterator[tuple[Part, Geometry, tuple[int, ...]]]:
    for part in g.parts(blocks.images, blocks.rows):
        yield part, part.geometry, _lengths(part.geometry)


def fft_result(xp: Any, x: Any, w: Any, g: Geometry, blocks: Blocks) -> Any:
    """The map ``y(x, w)``."""
    y = zeros(xp, x, (g.batch, g.groups, g.outputs, *g.y))
    for chunk, chunked in _chunks(g, blocks):
        transforms = _Transforms(xp, x, g)
        for part, own, lengths in _parts(chunked, blocks):
            of_w = transforms.weight(w[:, chunk, ...], own, lengths, mirrored=True)  # g, c, o
            product = transforms.ahead(padded(xp, x[part.of_x], own), lengths)  # b, g, c
            product = transforms.swapped(product, (1, 0, 2))
            product = xp.matmul(product, of_w)
            product = transforms.swapped(product, (1, 0, 2))
            block = transforms.back(product, lengths)
            key = tuple(slice(0, (n - 1) * s + 1, s) for n, s in zip(own.y, g.stride, strict=True))
            to = (*part.of_y[:2], chunk, part.rows, ...)
            y = stored(y, to, block[(slice(None),) * 3 + key])
    return y


def fft_input(xp: Any, y: Any, w: Any, g: Geometry, blocks: Blocks) -> Any:
    """The map ``x(y, w)``."""
    x = zeros(xp, y, (g.batch, g.groups, g.inputs, *g.x))
    for chunk, chunked in _chunks(g, blocks):
        transforms = _Transforms(xp, y, g)
        for part, own, lengths in _parts(chunked, blocks):
            of_w = transforms.weight(w[:, chunk, ...], own, lengths, mirrored=False)  # g, o, c
            product = _apart_y(xp, y[part.of_y][:, :, chunk, ...], own)
            product = transforms.ahead(product, lengths)  # b, g, o
            product = transforms.swapped(product, (1, 0, 2))
            product = xp.matmul(product, of_w)
            product = transforms.swapped(product, (1, 0, 2))
            block = transforms.back(product, lengths)
            x = spread(xp, x, part.of_x, block, own)
    return x


def fft_weight(xp: Any, x: Any, y: Any, g: Geometry, blocks: Blocks) -> Any:
    """The map ``w(x, y)``."""
    w = zeros(xp, x, (g.groups, g.outputs, g.inputs, *g.kernel))
    for chunk, chunked in _chunks(g, blocks):
        transforms = _Transforms(xp, x, g)
        for part, own, lengths in _parts(chunked, blocks):
            of_x = transforms.ahead(padded(xp, x[part.of_x], own), lengths)  # b, g, c
            of_x = transforms.swapped(of_x, (1, 0, 2))
            of_y = _apart_y(xp, y[part.of_y][:, :, chunk, ...], own)
            of_y = transforms.swapped(transforms.mirrored(of_y, lengths), (1, 2, 0))
            block = transforms.back(xp.matmul(of_y, of_x), lengths)
            key = tuple(slice(0, e, d) for e, d in zip(g.extent, g.dilation, strict=True))
            w = add_to(xp, w, (slice(None), chunk, ...), block[(slice(None),) * 3 + key])
    return w
