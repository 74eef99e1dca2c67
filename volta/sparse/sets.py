"""Sets of inputs, one for each element of an array: `IndexSets`."""

import importlib
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

__all__ = ["IndexSets", "scipy_sparse"]


def scipy_sparse() -> Any:
    """SciPy's sparse arrays.

    Raises
    ------
    ImportError
        If SciPy is not installed.
    """
    try:
        return importlib.import_module("scipy.sparse")
    except ImportError as error:
        msg = "sparse: SciPy must be installed; got none. Install it with pip install scipy."
        raise ImportError(msg) from error


class IndexSets:
    """Sets of inputs, one for each element of an array.

    Attributes
    ----------
    index : NumPy array of int
        Of the array's shape: the number of each element's set. Number 0 is the empty set.
    rows : scipy.sparse.csr_array of bool, shape (sets, inputs)
        The sets.
    """

    __slots__ = ("index", "rows")

    def __init__(self, index: Any, rows: Any) -> None:
        self.index, self.rows = index, rows

    @classmethod
    def of_input(cls, shape: tuple[int, ...]) -> "IndexSets":
        """Sets of an input itself: each element depends on itself."""
        n = prod(shape)
        starts = np.concatenate([[0], np.arange(n + 1)])
        rows = scipy_sparse().csr_array((np.ones(n, bool), np.arange(n), starts), shape=(n + 1, n))
        return cls(np.arange(1, n + 1).reshape(shape), rows)

    def matrix(self) -> Any:
        """The sets of all elements in order, as the rows of a sparse matrix."""
        found = self.rows[self.index.reshape(-1)]
        found.sort_indices()
        return found

    def broadcast(self, shape: tuple[int, ...]) -> "IndexSets":
        """Sets of the array broadcast to `shape`."""
        return IndexSets(np.broadcast_to(self.index, shape), self.rows)

    def without(self, where: Any) -> "IndexSets":
        """Sets with the empty one at the elements of a mask, which broadcasts."""
        shape = np.broadcast_shapes(self.index.shape, np.shape(where))
        return IndexSets(np.where(where, 0, np.broadcast_to(self.index, shape)), self.rows)

    def join(self, other: "IndexSets") -> "IndexSets":
        """Union, element by element, of arrays of one shape."""
        if self.rows is other.rows and np.array_equal(self.index, other.index):
            return self
        count = other.rows.shape[0]
        codes = self.index.reshape(-1).astype(np.int64) * count + other.index.reshape(-1)
        codes = np.concatenate([[0], codes])  # the empty set stays number 0
        distinct, numbers = np.unique(codes, return_inverse=True)
        left, right = np.divmod(distinct, count)
        full = self._full()[left] | other._full()[right]
        if np.count_nonzero(full) > 1:  # sets of all inputs are one set
            first = int(np.argmax(full))
            kept = ~full
            kept[first] = True
            places = np.cumsum(kept) - 1
            numbers = np.where(full, places[first], places)[numbers]
            left, right = left[kept], right[kept]
        rows = self.rows[left] + other.rows[right]
        return IndexSets(numbers[1:].reshape(self.index.shape), rows)

    def _full(self) -> Any:
        n = self.rows.shape[1]
        return np.diff(self.rows.indptr) == n if n else np.zeros(self.rows.shape[0], bool)

    def grouped(self, group: Any, member: Any, shape: tuple[int, ...]) -> "IndexSets":
        """Sets of an array of `shape`: that of element ``group[i]`` has the set ``member[i]``."""
        n = prod(shape)
        inside = member > 0
        data = np.ones(np.count_nonzero(inside), bool)
        places = (group[inside] + 1, member[inside])
        which = scipy_sparse().coo_array((data, places), shape=(n + 1, self.rows.shape[0]))
        return IndexSets(np.arange(1, n + 1).reshape(shape), which.tocsr() @ self.rows)

    def over(self, axes: Sequence[int]) -> "IndexSets":
        """Union over axes, which stay with length 1."""
        ndim = self.index.ndim
        axes = sorted({a % ndim for a in axes})
        kept = [a for a in range(ndim) if a not in axes]
        shape = tuple(1 if a in axes else n for a, n in enumerate(self.index.shape))
        length = prod(self.index.shape[a] for a in axes)
        lines = self.index.transpose(*kept, *axes).reshape(prod(shape), length)
        if not lines.size:
            return IndexSets(np.zeros(shape, np.int64), self.rows)
        if (lines == lines[:, :1]).all():
            return IndexSets(lines[:, 0].reshape(shape), self.rows)
        group = np.repeat(np.arange(lines.shape[0]), lines.shape[1])
        return self.grouped(group, lines.reshape(-1), shape)
