"""Colourings of sparse matrices, by which few products with a matrix give all of it.

Sets of colours are the bits of Python's ints, so that the colours which a column may not have are
found by a handful of operations.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

__all__ = ["color_columns", "color_symmetric"]


def color_columns(matrix: Any) -> tuple[Any, int]:
    """Colour columns so that those of one colour have no row in common.

    Greedy, in the order of the columns and with the fullest first; the fewer colours win. A matrix
    with a row more than half full gets a colour for each column: there is little to win.

    Returns
    -------
    colors : NumPy array of int
        Colour of each column.
    count : int
        Number of colours.

    References
    ----------
    A. Curtis, M. Powell and J. Reid, "On the estimation of sparse Jacobian matrices", IMA Journal
    of Applied Mathematics 13, 1974; T. Coleman and J. Moré, "Estimation of sparse Jacobian matrices
    and graph coloring problems", SIAM J. Numer. Anal. 20, 1983 (largest first).
    """
    rows, columns = matrix.shape
    if matrix.nnz and np.diff(matrix.tocsr().indptr).max() > columns / 2 > 2:
        return np.arange(columns), columns
    lists = _columns(matrix)
    orders = (range(columns), sorted(range(columns), key=lambda j: -len(lists[j])))
    return min((_greedy(lists, rows, order) for order in orders), key=lambda found: found[1])


def _greedy(lists: list[list[int]], rows: int, order: Iterable[int]) -> tuple[Any, int]:
    """Give each column in turn the lowest colour that is free."""
    taken = [0] * rows
    colors = [0] * len(lists)
    for j in order:
        forbidden = 0
        for i in lists[j]:
            forbidden |= taken[i]
        bit = ~forbidden & (forbidden + 1)
        for i in lists[j]:
            taken[i] |= bit
        colors[j] = bit.bit_length() - 1
    count = max((c for c, own in zip(colors, lists, strict=True) if own), default=-1) + 1
    return np.asarray(colors, np.int64), count


def color_symmetric(matrix: Any) -> tuple[Any, int]:
    """Colour the vertices of a symmetric matrix so that no path of four has two colours.

    Of an entry's row and column one then has no other entry of that colour, so that a product
    with the sum of a colour's columns shows it: a star colouring.

    Returns
    -------
    colors : NumPy array of int
    count : int

    References
    ----------
    A. Gebremedhin, F. Manne and A. Pothen, "What color is your Jacobian? Graph coloring for
    computing derivatives", SIAM Review 47, 2005, sections 4.3 and 5.
    """
    n = matrix.shape[0]
    near = [[w for w in own if w != v] for v, own in enumerate(_columns(matrix))]
    colors = [-1] * n
    seen = [0] * n  # colours of a vertex's coloured neighbours
    twice = [0] * n  # those that two of its neighbours have
    first: list[dict[int, int]] = [{} for _ in range(n)]  # who had a colour first
    # Colours of a vertex's neighbours that have another neighbour of its own colour: with one of
    # these, a further neighbour of the vertex would be the end of a path of two colours.
    ends = [0] * n
    for v in sorted(range(n), key=lambda v: -len(near[v])):
        forbidden = seen[v]
        for w in near[v]:
            forbidden |= seen[w] if colors[w] < 0 else ends[w]
        bit = ~forbidden & (forbidden + 1)
        c = colors[v] = bit.bit_length() - 1
        for w in near[v]:
            if not seen[w] & bit:
                seen[w] |= bit
                first[w][c] = v
                continue
            own = 1 << colors[w]  # w is coloured: neighbours of others have distinct colours
            ends[v] |= own
            if not twice[w] & bit:
                twice[w] |= bit
                ends[first[w][c]] |= own
    return np.asarray(colors, np.int64), max(colors, default=-1) + 1


def _columns(matrix: Any) -> list[list[int]]:
    """Rows of the entries of each column."""
    by_column = matrix.tocsc()
    entries = by_column.indices.tolist()
    starts = by_column.indptr.tolist()
    return [entries[starts[j] : starts[j + 1]] for j in range(matrix.shape[1])]
