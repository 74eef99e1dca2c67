"""Convolution by its definition: sums of products, one channel and tap after another.

No matrix product and no columns: what depthwise convolutions need, whose matrices have one row.
Axes are those of `gemm`.
"""

from typing import Any

from volta.functional.conv.arrays import add_to, empty, padded, reshape, spread, stored, zeros
from volta.functional.conv.geometry import Blocks, Geometry, Workspace, padded_workspace

__all__ = ["direct_input", "direct_result", "direct_weight", "direct_workspace"]


def direct_workspace(g: Geometry, itemsize: int, which: str) -> Workspace:
    """One tap's products, their sums, and the padded x."""
    image, row = padded_workspace(g, itemsize)
    plane = itemsize * g.groups * g.row
    channels = 2 * (g.inputs if which == "input" else g.outputs)
    weight = itemsize * g.groups * g.inputs * g.outputs * g.taps
    return Workspace(weight, image, row + plane * channels)


def direct_result(xp: Any, x: Any, w: Any, g: Geometry, blocks: Blocks) -> Any:
    """The map ``y(x, w)``."""
    y = empty(xp, x, (g.batch, g.groups, g.outputs, *g.y))
    for part in g.parts(blocks.images, blocks.rows):
        own = part.geometry
        block = padded(xp, x[part.of_x], own)
        total: Any = None
        for tap in g.offsets():
            view = block[own.seen(tap)]
            for c in range(g.inputs):
                factor = _factor(xp, w[(slice(None), slice(None), c, *tap)], g)
                term = view[:, :, c : c + 1, ...] * factor
                total = term if total is None else add_to(xp, total, ..., term)
        y = stored(y, part.of_y, total)
    return y


def _factor(xp: Any, w: Any, g: Geometry) -> Any:
    """Elements (groups, channels) of w, to be multiplied with (b, g, channels, *space)."""
    return reshape(xp, w, 1, *w.shape, *(1,) * len(g.y))


def direct_input(xp: Any, y: Any, w: Any, g: Geometry, blocks: Blocks) -> Any:
    """The map ``x(y, w)``."""
    x = zeros(xp, y, (g.batch, g.groups, g.inputs, *g.x))
    for part in g.parts(blocks.images, blocks.rows):
        own = part.geometry
        own_y = y[part.of_y]
        block = zeros(xp, y, (own.batch, g.groups, g.inputs, *own.padded))
        for tap in g.offsets():
            for o in range(g.outputs):
                factor = _factor(xp, w[(slice(None), o, slice(None), *tap)], g)
                term = own_y[:, :, o : o + 1, ...] * factor
                block = add_to(xp, block, own.seen(tap), term)
        x = spread(xp, x, part.of_x, block, own)
    return x


def direct_weight(xp: Any, x: Any, y: Any, g: Geometry, blocks: Blocks) -> Any:
    """The map ``w(x, y)``."""
    w = zeros(xp, x, (g.groups, g.outputs, g.inputs, *g.kernel))
    axes = (0, *range(3, 3 + len(g.kernel)))
    for part in g.parts(blocks.images, blocks.rows):
        own = part.geometry
        block, own_y = padded(xp, x[part.of_x], own), y[part.of_y]
        for tap in g.offsets():
            view = block[own.seen(tap)]
            for c in range(g.inputs):
                products = own_y * view[:, :, c : c + 1, ...]
                key = (slice(None), slice(None), c, *tap)
                w = add_to(xp, w, key, xp.sum(products, axis=axes, dtype=products.dtype))
    return w
