"""Convolution by matrix products: of columns (im2col), or tap by tap (implicit GEMM).

*im2col* copies what each place of the result sees into a column, so that one matrix product is
the convolution; the columns are `taps` times as large as x, and are made for some images or rows
at a time. *igemm* makes none: it adds up one product for each element (tap) of the kernel.

All maps of all algorithms take x as (batch, groups, inputs, *space), w as (groups, outputs,
inputs, *kernel) and y as (batch, groups, outputs, *space).

References
----------
K. Chellapilla, S. Puri, P. Simard, "High performance convolutional neural networks for document
processing", 2006, https://inria.hal.science/inria-00112631, section 3 (im2col).
S. Chetlur et al., "cuDNN: efficient primitives for deep learning", 2014,
https://arxiv.org/abs/1410.0759, section 3 (implicit GEMM).
"""

from collections.abc import Iterable, Iterator
from math import prod
from typing import Any, Final

from volta.functional.conv.arrays import (
    BUFFER,
    Scratch,
    add_to,
    contiguous,
    empty,
    lined,
    product,
    reshape,
    spread,
    stored,
    windows,
    zeros,
)
from volta.functional.conv.geometry import Blocks, Geometry, Workspace, padded_workspace

__all__ = [
    "igemm_input",
    "igemm_result",
    "igemm_weight",
    "igemm_workspace",
    "im2col_input",
    "im2col_result",
    "im2col_weight",
    "im2col_workspace",
]


_MANY: Final = 8  # images of a block that lie beside each other for the input's map

# im2col -------------------------------------------------------------------------------------------


def im2col_workspace(g: Geometry, itemsize: int, which: str) -> Workspace:
    """Columns, the padded x, the other operand of the product, and what it becomes."""
    image, row = padded_workspace(g, itemsize)
    plane = itemsize * g.groups * g.row
    if which == "input" and g.dense:  # rows of the padded x, and one more
        plane = itemsize * g.groups * g.padded_row
        image += plane * g.inputs
    weight = itemsize * g.groups * g.inputs * g.outputs * g.taps
    columns = 0 if g.pointwise and which == "result" else plane * g.inputs * g.taps
    other = {"result": 0, "input": plane * g.outputs + row, "weight": plane * g.outputs}[which]
    once = {"result": weight, "input": weight + itemsize * BUFFER, "weight": 2 * weight}[which]
    return Workspace(once, image, row + columns + other)


def im2col_result(xp: Any, x: Any, w: Any, g: Geometry, blocks: Blocks) -> Any:
    """The map ``y(x, w)``."""
    size = g.inputs * g.taps
    matrix = contiguous(xp, reshape(xp, w, g.groups, g.outputs, size))
    y = empty(xp, x, (g.batch, g.groups, g.outputs, g.places))
    scratch = Scratch(xp)
    for part in g.parts(blocks.images, blocks.rows):
        own = part.geometry
        seen = windows(xp, scratch.padded(x[part.of_x], own), own)
        columns = scratch.copied("columns", seen, own.batch, g.groups, size, own.places)
        y = product(xp, matrix, columns, y, part.of_flat_y)
    return reshape(xp, y, g.batch, g.groups, g.outputs, *g.y)


def im2col_input(xp: Any, y: Any, w: Any, g: Geometry, blocks: Blocks) -> Any:
    """The map ``x(y, w)``."""
    matrix = reshape(xp, w, g.groups, g.outputs, g.inputs * g.taps)
    matrix = contiguous(xp, xp.permute_dims(matrix, (0, 2, 1)))
    x = zeros(xp, y, (g.batch, g.groups, g.inputs, *g.x))
    scratch = Scratch(xp)
    for part in g.parts(blocks.images, blocks.rows):
        own = part.geometry
        if own.batch >= _MANY:
            x = spread(xp, x, part.of_x, _images_beside(scratch, matrix, y[part.of_y], own), own)
            continue
        columns = scratch.matmul("columns", matrix, _in_rows(scratch, y[part.of_y], own))
        columns = reshape(xp, columns, own.batch, g.groups, g.inputs, g.taps, columns.shape[-1])
        terms = (columns[:, :, :, i, :] for i in range(g.taps))
        x = spread(xp, x, part.of_x, _sum_of_taps(scratch, y, terms, own), own)
    return x


def _images_beside(scratch: Scratch, matrix: Any, y: Any, g: Geometry) -> Any:
    """The padded x, as (b, g, inputs, *space), of columns in which images lie beside each other.

    What a tap adds is as long a run as there are images, and as many places.
    """
    xp, nd = scratch.xp, len(g.y)
    y = xp.permute_dims(y, (1, 2, *range(3, 3 + nd), 0))
    lines = scratch.copied("lines", y, g.groups, g.outputs, g.places * g.batch)
    columns = scratch.matmul("columns", matrix, lines)
    columns = reshape(xp, columns, g.groups, g.inputs, g.taps, *g.y, g.batch)
    block = scratch.zeros("block", y, (g.groups, g.inputs, *g.padded, g.batch))
    for i, tap in enumerate(g.offsets()):
        block = add_to(xp, block, g.seen(tap)[1:], columns[:, :, i, ...])
    return xp.permute_dims(block, (2 + nd, *range(2 + nd)))


def im2col_weight(xp: Any, x: Any, y: Any, g: Geometry, blocks: Blocks) -> Any:
    """The map ``w(x, y)``."""
    size, nd = g.inputs * g.taps, len(g.kernel)
    order = (1, 2, *range(3, 3 + nd), 0, *range(3 + nd, 3 + 2 * nd))
    w = zeros(xp, x, (g.groups, g.outputs, size))
    scratch = Scratch(xp)
    for part in g.parts(blocks.images, blocks.rows):
        own = part.geometry
        seen = xp.permute_dims(windows(xp, scratch.padded(x[part.of_x], own), own), order)
        columns = scratch.copied("columns", seen, g.groups, size, own.batch * own.places)
        left = lined(scratch, y[part.of_y])
        found = scratch.matmul("found", left, xp.permute_dims(columns, (0, 2, 1)))
        w = add_to(xp, w, ..., found)
    return reshape(xp, w, g.groups, g.outputs, g.inputs, *g.kernel)


# Implicit GEMM ------------------------------------------------------------------------------------


def igemm_workspace(g: Geometry, itemsize: int, which: str) -> Workspace:
    """One tap's view of x, its product, their sum, and the padded x."""
    image, row = padded_workspace(g, itemsize)
    plane = itemsize * g.groups * g.row
    weight = itemsize * g.groups * g.inputs * g.outputs * g.taps
    if which == "result" and g.dense:  # sums of whole rows of the padded x
        plane = itemsize * g.groups * g.padded_row
        above = itemsize * g.groups * g.inputs * g.padded_row
        return Workspace(weight, image + 2 * above, row + plane * 2 * g.outputs)
    if which == "input" and g.dense:
        plane = itemsize * g.groups * g.padded_row
        image += plane * g.inputs
    tap, sums = plane * g.inputs, plane * g.outputs
    other = {"result": tap + 2 * sums, "input": 2 * tap + sums, "weight": 2 * tap + sums}[which]
    once = 2 * weight + (itemsize * BUFFER if which == "input" else 0)
    return Workspace(once, image, row + other)


def igemm_result(xp: Any, x: Any, w: Any, g: Geometry, blocks: Blocks) -> Any:
    """The map ``y(x, w)``."""
    matrices = _matrices(xp, w, g)
    y = empty(xp, x, (g.batch, g.groups, g.outputs, *g.y))
    scratch = Scratch(xp)
    for part in g.parts(blocks.images, blocks.rows):
        own = part.geometry
        views = _long_views if g.dense else _views
        total: Any = None
        for i, view in enumerate(views(scratch, x[part.of_x], own)):
            term = scratch.matmul("term" if i else "total", matrices[i, ...], view)
            total = term if total is None else add_to(xp, total, ..., term)
        lead = (own.batch, g.groups, g.outputs)
        if g.dense:
            total = reshape(xp, total, *lead, own.y[0], *own.padded[1:])
            total = total[(slice(None),) * 4 + tuple(slice(n) for n in own.y[1:])]
        else:
            total = reshape(xp, total, *lead, *own.y)
        y = stored(y, part.of_y, total)
    return y


def _matrices(xp: Any, w: Any, g: Geometry) -> Any:
    """Matrices (taps, g, outputs, inputs), one for each tap."""
    w = reshape(xp, w, g.groups, g.outputs, g.inputs, g.taps)
    return contiguous(xp, xp.permute_dims(w, (3, 0, 1, 2)))


def _views(scratch: Scratch, x: Any, g: Geometry) -> Iterator[Any]:
    """What each tap sees, as matrices (b, g, inputs, places): copies."""
    block = scratch.padded(x, g)
    for tap in g.offsets():
        yield scratch.copied("tap", block[g.seen(tap)], g.batch, g.groups, g.inputs, g.places)


def _long_views(scratch: Scratch, x: Any, g: Geometry) -> Iterator[Any]:
    """What each tap sees where strides are 1, in whole rows of the padded x: no copies.

    With the axes of space made one, a tap is a shift. Past the end of a row of y come elements
    that nobody asked for. One row more of zeros lets the last tap see as much as the others.
    """
    (low, high), *rest = g.padding
    block = scratch.padded(x, g._replace(padding=((low, high + (g.padded_row > 1)), *rest)))
    block = scratch.copied("block", block, g.batch, g.groups, g.inputs, prod(block.shape[3:]))
    for start in g.shifts():
        yield block[..., start : start + g.y[0] * g.padded_row]


# The transpose of both: where strides are 1, y lies in rows as long as those of the padded x, with
# zeros at their ends, and what a tap adds is one run of an image, not one of each row.


def _in_rows(scratch: Scratch, y: Any, g: Geometry) -> Any:
    """A part of y as matrices (b, g, outputs, places)."""
    lead = (g.batch, g.groups, g.outputs)
    if g.dense and g.row < g.padded_row:
        block = scratch.zeros("rows", y, (*lead, g.y[0], *g.padded[1:]))
        y = stored(block, (slice(None),) * 4 + tuple(slice(n) for n in g.y[1:]), y)
    return reshape(scratch.xp, y, *lead, prod(y.shape[3:]))


def _sum_of_taps(scratch: Scratch, like: Any, terms: Iterable[Any], g: Geometry) -> Any:
    """The padded x, as (b, g, inputs, *space), of what each tap adds, (b, g, inputs, places)."""
    xp, lead = scratch.xp, (g.batch, g.groups, g.inputs)
    if not g.dense:
        block = scratch.zeros("block", like, (*lead, *g.padded))
        for tap, term in zip(g.offsets(), terms, strict=True):
            block = add_to(xp, block, g.seen(tap), reshape(xp, term, *lead, *g.y))
        return block
    over = g.padded_row > 1  # one row more, for the zeros at the end of the last one
    block = scratch.zeros("block", like, (*lead, (g.padded[0] + over) * g.padded_row))
    for start, term in zip(g.shifts(), terms, strict=True):
        block = add_to(xp, block, (..., slice(start, start + term.shape[-1])), term)
    return reshape(xp, block, *lead, g.padded[0] + over, *g.padded[1:])


def igemm_input(xp: Any, y: Any, w: Any, g: Geometry, blocks: Blocks) -> Any:
    """The map ``x(y, w)``."""
    matrices = contiguous(xp, xp.permute_dims(_matrices(xp, w, g), (0, 1, 3, 2)))
    x = zeros(xp, y, (g.batch, g.groups, g.inputs, *g.x))
    scratch = Scratch(xp)
    for part in g.parts(blocks.images, blocks.rows):
        own = part.geometry
        rows = _in_rows(scratch, y[part.of_y], own)
        terms = (scratch.matmul("term", matrices[i, ...], rows) for i in range(g.taps))
        x = spread(xp, x, part.of_x, _sum_of_taps(scratch, y, terms, own), own)
    return x


def igemm_weight(xp: Any, x: Any, y: Any, g: Geometry, blocks: Blocks) -> Any:
    """The map ``w(x, y)``."""
    w = zeros(xp, x, (g.taps, g.groups, g.outputs, g.inputs))
    scratch, other = Scratch(xp), Scratch(xp)
    for part in g.parts(blocks.images, blocks.rows):
        own = part.geometry
        left, block = lined(scratch, y[part.of_y]), scratch.padded(x[part.of_x], own)
        for i, tap in enumerate(g.offsets()):
            right = xp.permute_dims(lined(other, block[own.seen(tap)]), (0, 2, 1))
            w = add_to(xp, w, (i, ...), scratch.matmul("found", left, right))
    w = xp.permute_dims(w, (1, 2, 3, 0))
    return reshape(xp, w, g.groups, g.outputs, g.inputs, *g.kernel)
