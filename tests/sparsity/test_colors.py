"""Colourings: right for random matrices, and few where few are known to do."""

import numpy as np
import pytest
import scipy.sparse

from volta.sparse.colors import color_columns, color_symmetric


def random_matrix(seed, m, n, density=0.15):
    rng = np.random.default_rng(seed)
    return scipy.sparse.csr_array(rng.random((m, n)) < density)


@pytest.mark.parametrize("seed", range(20))
def test_columns_of_one_color_have_no_row_in_common(seed):
    matrix = random_matrix(seed, 20, 30)
    colors, count = color_columns(matrix)
    together = matrix.toarray().astype(int) @ (colors[:, None] == np.arange(count))
    assert together.max() <= 1
    used = matrix.toarray().any(axis=0)
    assert colors[used].max() == count - 1


@pytest.mark.parametrize("seed", range(20))
def test_no_path_of_four_has_two_colors(seed):
    matrix = random_matrix(seed, 12, 12, 0.2)
    near = (matrix + matrix.T).toarray() & ~np.eye(12, dtype=bool)
    colors, count = color_symmetric(scipy.sparse.csr_array(near))
    assert count == colors.max() + 1
    edges = list(zip(*np.nonzero(near), strict=True))
    assert all(colors[a] != colors[b] for a, b in edges)
    for b, c in edges:
        for a in np.flatnonzero(near[b]):
            for d in np.flatnonzero(near[c]):
                if len({a, b, c, d}) == 4:
                    assert len({colors[v] for v in (a, b, c, d)}) > 2


def banded(n, width):
    distance = np.abs(np.arange(n)[:, None] - np.arange(n))
    return scipy.sparse.csr_array(distance <= width)


@pytest.mark.parametrize("width", [0, 1, 2, 5])
def test_a_band_takes_as_many_colors_as_it_is_wide(width):
    assert color_columns(banded(100, width))[1] == 2 * width + 1


def test_an_arrow_takes_two_colors_if_it_is_symmetric():
    arrow = np.eye(50, dtype=bool)
    arrow[0] = arrow[:, 0] = True
    assert color_symmetric(scipy.sparse.csr_array(arrow))[1] == 2
    assert color_columns(scipy.sparse.csr_array(arrow))[1] == 50


def test_a_full_row_leaves_little_to_win():
    full = np.zeros((3, 10), dtype=bool)
    full[0, :6] = True
    colors, count = color_columns(scipy.sparse.csr_array(full))
    assert count == 10
    assert colors.tolist() == list(range(10))


def test_nothing_takes_no_colors():
    assert color_columns(scipy.sparse.csr_array((3, 4), dtype=bool))[1] == 0
    assert color_columns(scipy.sparse.csr_array((0, 0), dtype=bool))[1] == 0
    assert color_symmetric(scipy.sparse.csr_array((0, 0), dtype=bool))[1] == 0
    assert color_symmetric(scipy.sparse.csr_array((3, 3), dtype=bool))[1] == 1
