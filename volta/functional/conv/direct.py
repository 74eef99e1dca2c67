"""Convolution by its definition: sums of products, one channel and tap after another.

No matrix product and no columns: what depthwise convolutions need, whose matrices have one row.
Axes are those of `gemm`.
"""

from typing import Any

from volta.functional.conv.arrays import (
    BUFFER,
    add_to,
    empty,
    padded,
    reshape,
    spread,
    stored,
    zeros,
)
from volta.functional.conv.geometry import Blocks, Geometry, Workspace, padded_workspace

__all__ = ["direct_input", "direct_result", "direct_weight", "direct_workspace"]


def direct_workspace(g: Geometry, itemsize: int, which: str) -> Workspace:
    """One tap's products, their sums, and the padded x."""
    image, row = padded_workspace(g, itemsize)
    plane = itemsize * g.groups * g.row
    channels = 2 * (g.inputs if which == "input" else g.outputs)
    weight = itemsize * g.groups * g.inputs * g.outputs * g.taps
    return Workspace(weight + 2 * itemsize * BUFFER, image, row + plane * channels)


def direct_result(xp: Any, x: Any, w: Any, g: Geometry, blocks: Blocks) -> Any:
    """The map ``y(x, w)``."""
    y = empty(xp, x, (g.batch, g.groups, g.outputs, *g.y))
    for part in g.parts(blocks.images, blocks.rows):
        y = stored(y, part.of_y, _result_of(xp, x[part.of_x], w, part.geometry))
    return y


def direct_input(xp: Any, y: Any, w: Any, g: Geometry, blocks: Blocks) -> Any:
    """The map ``x(y, w)``."""
    x = zeros(xp, y, (g.batch, g.groups, g.inputs, *g.x))
    for part in g.parts(blocks.images, blocks.rows):
        own = part.geometry
        x = spread(xp, x, part.of_x, _input_of(xp, y[part.of_y], w, own), own)
    return x


def direct_weight(xp: Any, x: Any, y: Any, g: Geometry, blocks: Blocks) -> Any:
    """The map ``w(x, y)``."""
    w = zeros(xp, x, (g.groups, g.outputs, g.inputs, *g.kernel))
    for part in g.parts(blocks.images, blocks.rows):
        w = _weight_of(xp, x[part.of_x], y[part.of_y], w, part.geometry)
    return w


# One block a function, so that its arrays are freed with it; and products without a name, so that
# they are freed before the next ones are made.


def _result_of(xp: Any, x: Any, w: Any, g: Geometry) -> Any:
    block = padded(xp, x, g)
    total: Any = None
    for tap in g.offsets():
        view = block[g.seen(tap)]
        for c in range(g.inputs):
            factor = _factor(xp, w[(slice(None), slice(None), c, *tap)], g)
            plane = view[:, :, c : c + 1, ...]
            total = plane * factor if total is None else add_to(xp, total, ..., plane * factor)
    return total


def _input_of(xp: Any, y: Any, w: Any, g: Geometry) -> Any:
    block = zeros(xp, y, (g.batch, g.groups, g.inputs, *g.padded))
    for tap in g.offsets():
        for o in range(g.outputs):
            factor = _factor(xp, w[(slice(None), o, slice(None), *tap)], g)
            block = add_to(xp, block, g.seen(tap), y[:, :, o : o + 1, ...] * factor)
    return block


def _weight_of(xp: Any, x: Any, y: Any, w: Any, g: Geometry) -> Any:
    block = padded(xp, x, g)
    axes = (0, *range(3, 3 + len(g.kernel)))
    for tap in g.offsets():
        view = block[g.seen(tap)]
        for c in range(g.inputs):
            key = (slice(None), slice(None), c, *tap)
            plane = view[:, :, c : c + 1, ...]
            w = add_to(xp, w, key, xp.sum(y * plane, axis=axes, dtype=w.dtype))
    return w


def _factor(xp: Any, w: Any, g: Geometry) -> Any:
    """Elements (groups, channels) of w, to be multiplied with (b, g, channels, *space)."""
    return reshape(xp, w, 1, *w.shape, *(1,) * len(g.y))
