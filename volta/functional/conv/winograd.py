"""Winograd's minimal filtering: fewer multiplications for kernels of 3 elements an axis.

F(m, 3) computes m neighbours of the result from a tile of m + 2 of x with m + 2 multiplications
instead of 3 m: ``Aᵀ[(G w) ⊙ (Bᵀ x)]``. In several dimensions the transforms apply along each axis,
which is one product with the Kronecker power of their matrix. What is left are (m + 2)ⁿ matrix
products over the channels. The weight's map is the transpose of the result's.

Sums and differences of x and of w are multiplied, so that rounding errors are relative to the
largest of what a tile holds, not to the products of an element of the result.

References
----------
A. Lavin, S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016,
https://arxiv.org/abs/1509.09308, equations (6)–(8), and section 4.3 for F(4×4, 3×3).
"""

from collections.abc import Sequence
from functools import cache, reduce
from math import prod
from typing import Any, Final

import numpy as np

from volta.functional.conv.arrays import (
    Scratch,
    add_to,
    contiguous,
    empty,
    padded,
    reshape,
    stored,
    windows,
    zeros,
)
from volta.functional.conv.geometry import Blocks, Geometry, Part, Workspace, padded_workspace

__all__ = ["winograd_result", "winograd_weight", "winograd_workspace"]

# Bᵀ, G and Aᵀ by the number of results of a tile
_MATRICES: Final[dict[int, tuple[Sequence[Any], Sequence[Any], Sequence[Any]]]] = {
    2: (
        [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
        [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]],
        [[1, 1, 1, 0], [0, 1, -1, -1]],
    ),
    4: (
        [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ],
        [
            [1 / 4, 0, 0],
            [-1 / 6, -1 / 6, -1 / 6],
            [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6],
            [1 / 24, -1 / 12, 1 / 6],
            [0, 0, 1],
        ],
        [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    ),
}


@cache
def _kronecker(m: int, which: int, nd: int) -> Any:
    """Power of Bᵀ, G or Aᵀ of F(m, 3), for all axes of space at once."""
    matrix: Any = np.asarray(_MATRICES[m][which], np.float64)
    return reduce(np.kron, [matrix] * nd)


def _matrix(xp: Any, like: Any, m: int, which: int, nd: int, transposed: bool = False) -> Any:
    """The same as an array like another."""
    matrix = _kronecker(m, which, nd)
    matrix = matrix.T if transposed else matrix
    if xp is np:
        return np.ascontiguousarray(matrix, dtype=like.dtype)
    return xp.asarray(matrix.tolist(), dtype=like.dtype, device=like.device)


def _tiles(g: Geometry, m: int) -> tuple[int, ...]:
    """Number of tiles along each axis of space."""
    return tuple(-(-n // m) for n in g.y)


def winograd_workspace(g: Geometry, itemsize: int, which: str, m: int) -> Workspace:
    """Tiles of x and y before and after their transforms, and the transformed weight."""
    image, row = padded_workspace(g, itemsize)
    size, nd = m + 2, len(g.y)
    line = itemsize * g.groups * prod(_tiles(g, m)[1:]) / m  # one element of each tile, for a row
    tiles = line * size**nd * (2 * g.inputs + g.outputs)
    tiles += line * m**nd * g.outputs * 2
    weight = itemsize * g.groups * g.inputs * g.outputs * (2 * size**nd + 2 * g.taps)
    over = (row + tiles) * (m - 1)  # a last tile reaches past the end
    return Workspace(weight, image + over, row * 1.5 + tiles)


def _of_x(scratch: Scratch, x: Any, part: Part, m: int) -> Any:
    """Bᵀ x of the tiles of a part: (tile elements, g, inputs, b · tiles)."""
    g, nd, size = part.geometry, len(part.geometry.y), m + 2
    tiles = _tiles(g, m)
    padding = tuple(
        (low, high + t * m - n) for (low, high), t, n in zip(g.padding, tiles, g.y, strict=True)
    )
    xp = scratch.xp
    block = scratch.padded(x[part.of_x], g._replace(padding=padding))
    tiled = g._replace(kernel=(size,) * nd, y=tiles, stride=(m,) * nd)
    return _transformed(scratch, "of x", windows(xp, block, tiled), _matrix(xp, x, m, 0, nd))


def _transformed(scratch: Scratch, name: str, seen: Any, matrix: Any) -> Any:
    """Product of a matrix and tiles (b, g, c, *tile, *tiles): (elements, g, c, b · tiles)."""
    xp = scratch.xp
    b, groups, c, *rest = seen.shape
    nd = len(rest) // 2
    order = (*range(3, 3 + nd), 1, 2, 0, *range(3 + nd, 3 + 2 * nd))
    tiles, columns = prod(rest[:nd]), groups * c * b * prod(rest[nd:])
    flat = scratch.copied("tiles", xp.permute_dims(seen, order), tiles, columns)
    out = scratch.matmul(name, matrix, flat)
    return reshape(xp, out, matrix.shape[0], groups, c, b * prod(rest[nd:]))


def winograd_result(xp: Any, x: Any, w: Any, g: Geometry, blocks: Blocks, m: int) -> Any:
    """The map ``y(x, w)``."""
    nd, size = len(g.y), m + 2
    flat = reshape(xp, xp.permute_dims(w, (*range(3, 3 + nd), 0, 1, 2)), g.taps, -1)
    weight = xp.matmul(_matrix(xp, x, m, 1, nd), flat)
    weight = reshape(xp, weight, size**nd, g.groups, g.outputs, g.inputs)
    back = _matrix(xp, x, m, 2, nd)
    y = empty(xp, x, (g.batch, g.groups, g.outputs, *g.y))
    scratch = Scratch(xp)
    for part in g.parts(blocks.images, blocks.rows):
        own, tiles = part.geometry, _tiles(part.geometry, m)
        product = scratch.matmul("product", weight, _of_x(scratch, x, part, m))
        block = scratch.matmul("block", back, reshape(xp, product, size**nd, -1))
        block = reshape(xp, block, *(m,) * nd, g.groups, g.outputs, own.batch, *tiles)
        order = (nd + 2, nd, nd + 1, *(a for i in range(nd) for a in (nd + 3 + i, i)))
        lengths = (m * t for t in tiles)
        block = xp.permute_dims(block, order)
        block = scratch.copied("result", block, own.batch, g.groups, g.outputs, *lengths)
        y = stored(y, part.of_y, block[(slice(None),) * 3 + tuple(slice(n) for n in own.y)])
    return y


def winograd_weight(xp: Any, x: Any, y: Any, g: Geometry, blocks: Blocks, m: int) -> Any:
    """The map ``w(x, y)``."""
    nd, size = len(g.y), m + 2
    ahead = _matrix(xp, x, m, 2, nd, transposed=True)
    total = zeros(xp, x, (size**nd, g.groups, g.outputs, g.inputs))
    scratch = Scratch(xp)
    for part in g.parts(blocks.images, blocks.rows):
        own, tiles = part.geometry, _tiles(part.geometry, m)
        margin = tuple((0, t * m - n) for t, n in zip(tiles, own.y, strict=True))
        whole = padded(xp, y[part.of_y], own._replace(x=own.y, padding=margin))
        tiled = own._replace(kernel=(m,) * nd, y=tiles, stride=(m,) * nd)
        of_y = _transformed(scratch, "of y", windows(xp, whole, tiled), ahead)
        of_x = xp.permute_dims(_of_x(scratch, x, part, m), (0, 1, 3, 2))
        total = add_to(xp, total, ..., scratch.matmul("product", of_y, of_x))
    w = xp.matmul(_matrix(xp, x, m, 1, nd, transposed=True), reshape(xp, total, size**nd, -1))
    w = reshape(xp, w, *g.kernel, g.groups, g.outputs, g.inputs)
    return contiguous(xp, xp.permute_dims(w, (nd, nd + 1, nd + 2, *range(nd))))
