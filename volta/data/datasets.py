"""What batches are made of: datasets, parts of them, and datasets one after the other.

Inside, a dataset is a `Source`: `rows` makes a batch of samples by their indices. Rows of arrays
are taken all at once; samples of other datasets are read one by one and put together.
"""

import bisect
import itertools
import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from volta.core import tree
from volta.core.dispatch import NUMPY, library_of
from volta.core.errors import DimensionError, DTypeError, ShapeError
from volta.core.keywords import suggesting
from volta.data.collation import collate, is_array, place
from volta.data.numbers import at_least, checked_indices, permutation, plain

__all__ = [
    "ConcatDataset",
    "Dataset",
    "IterableDataset",
    "Source",
    "Stream",
    "Subset",
    "empty",
    "random_split",
    "set_epoch",
    "source_of",
    "train_test_split",
]

T_co = TypeVar("T_co", covariant=True)


@runtime_checkable
class Dataset(Protocol[T_co]):
    """A sequence of samples: whatever has ``len(dataset)`` and ``dataset[i]``.

    There is nothing to inherit from. Samples are trees of arrays and numbers; of any objects where
    `DataLoader` is given a `collate` for them. With workers, several threads index at a time.

    Examples
    --------
    >>> class Squares:
    ...     def __len__(self):
    ...         return 4
    ...
    ...     def __getitem__(self, i):
    ...         return {"x": i, "y": i**2}
    >>> next(iter(volta.data.DataLoader(Squares(), batch_size=4)))
    {'x': array([0, 1, 2, 3]), 'y': array([0, 1, 4, 9])}
    """

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> T_co: ...


@runtime_checkable
class IterableDataset(Protocol[T_co]):
    """A stream of samples: whatever begins anew with each ``iter(dataset)``.

    For samples that come in their own order, from a file that is read from its beginning, say.

    Examples
    --------
    >>> class Lines:
    ...     def __iter__(self):
    ...         for line in ("1 2", "3 4", "5 6"):
    ...             yield np.asarray([float(word) for word in line.split()])
    >>> for batch in volta.data.DataLoader(Lines(), batch_size=2):
    ...     print(batch.shape)
    (2, 2)
    (1, 2)
    """

    def __iter__(self) -> Iterator[T_co]: ...


class Subset:
    """The samples of a dataset with certain indices, in their order.

    Parameters
    ----------
    dataset : Dataset or tree of arrays
    indices : sequence of int, shape (n,)
        Of the samples, from 0; one may occur several times.

    Raises
    ------
    DTypeError
        If `indices` are no integers.
    DimensionError
        If there is no such sample, here or where the subset is indexed.

    Examples
    --------
    >>> subset = volta.data.Subset(np.asarray([0.0, 0.1, 0.2]), [2, 0])
    >>> len(subset), subset[0].item()
    (2, 0.2)
    """

    def __init__(self, dataset: Any, indices: Any) -> None:
        self.dataset = dataset
        self._source = source_of(dataset, "Subset")
        self.indices = checked_indices(indices, len(self._source), "Subset: indices")

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self._source[int(self.indices[_within("Subset", index, len(self))])]

    def rows(self, indices: Any) -> Any:
        """Batch of the samples at `indices`, an array of int, shape (n,)."""
        return self._source.rows(self.indices[indices])

    def set_epoch(self, epoch: int) -> None:
        """Tell the dataset the epoch, if it wants to know."""
        set_epoch(self.dataset, epoch)


class ConcatDataset:
    """The samples of several datasets, one dataset after the other.

    Parameters
    ----------
    datasets : sequence of Dataset or tree of arrays
        At least one. Arrays are better joined by ``concat``, when there is room for them twice:
        their rows are then taken all at once.

    Raises
    ------
    ShapeError
        If there are none.
    DimensionError
        If it is indexed out of bounds.

    Examples
    --------
    >>> both = volta.data.ConcatDataset([np.arange(3), np.arange(10, 12)])
    >>> [int(sample) for sample in both]
    [0, 1, 2, 10, 11]
    """

    def __init__(self, datasets: Sequence[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            msg = "ConcatDataset: there must be a dataset; got none."
            raise ShapeError(msg)
        self._sources = [source_of(dataset, "ConcatDataset") for dataset in self.datasets]
        self._ends = list(itertools.accumulate(map(len, self._sources)))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Any:
        index = _within("ConcatDataset", index, len(self))
        part = bisect.bisect_right(self._ends, index)
        source = self._sources[part]
        return source[index - self._ends[part] + len(source)]

    def set_epoch(self, epoch: int) -> None:
        """Tell the datasets the epoch, those that want to know."""
        for dataset in self.datasets:
            set_epoch(dataset, epoch)


@suggesting
def random_split(dataset: Any, lengths: Sequence[float], *, seed: int) -> list[Subset]:
    """Split a dataset at random into parts that do not overlap.

    Parameters
    ----------
    dataset : Dataset or tree of arrays
        Nothing of it is read or copied.
    lengths : sequence of int or of float
        Samples of each part, n in all; or the parts' shares, which add up to 1. Samples that the
        rounded-down shares leave over go to the parts in turn, as in PyTorch.
    seed : int
        Non-negative. The split is a function of `seed`, n and `lengths`, on every machine.

    Returns
    -------
    list of Subset
        A part for each length, in random order.

    Raises
    ------
    ValueError
        If the lengths do not add up, one part would be empty, or `seed` is negative.

    See Also
    --------
    train_test_split : two trees of arrays, which can be stratified.

    Examples
    --------
    >>> train, test = volta.data.random_split(np.arange(10), [0.75, 0.25], seed=0)
    >>> len(train), len(test)
    (8, 2)
    """
    n = len(source_of(dataset, "random_split"))
    sizes = _sizes([plain(length) for length in lengths], n)
    order = permutation(n, at_least(0, seed, "random_split: seed"))
    parts = np.split(order, np.cumsum(sizes)[:-1])
    return [Subset(dataset, part) for part in parts]


def _sizes(lengths: list[Any], n: int) -> list[int]:
    sizes = lengths
    if not all(isinstance(length, int) for length in lengths) and math.isclose(sum(lengths), 1):
        sizes = [math.floor(length * n) for length in lengths]
        for i in range(n - sum(sizes)):
            sizes[i % len(sizes)] += 1
    whole = all(isinstance(size, int) and size > 0 for size in sizes)
    if not whole or sum(sizes) != n:
        msg = (
            f"random_split: lengths must be numbers of samples that add up to {n}, or shares that "
            f"add up to 1, and no part empty; got {lengths}."
        )
        raise ValueError(msg)
    return sizes


@suggesting
def train_test_split(
    tree: Any, *, test_size: float, seed: int, stratify: Any = None
) -> tuple[Any, Any]:
    """Split the rows of a tree of arrays at random into two trees.

    Parameters
    ----------
    tree : tree of arrays
        Arrays of any library, of shapes (n, ...).
    test_size : float or int
        Share of the rows for testing, between 0 and 1, or their number, an int.
    seed : int
        Non-negative. The split is a function of `seed`, n and `stratify`, on every machine.
    stratify : array, shape (n,), optional
        Labels. Each label then has its share in both parts, to within one row.

    Returns
    -------
    train, test : tree of arrays
        Of the structure of `tree`, in random order. Every row is in one of them.

    Raises
    ------
    ShapeError
        If the arrays have different lengths or none, or `stratify` is not of shape (n,).
    DTypeError
        If a leaf is not an array.
    ValueError
        If one part would be empty, or `seed` is negative.

    Notes
    -----
    With `stratify`, the rows that the rounded shares leave over go to the labels with the largest
    remainders.

    Examples
    --------
    >>> import numpy as np
    >>> train, test = train_test_split(np.arange(10), test_size=0.3, seed=0)
    >>> train.shape, test.shape
    ((7,), (3,))
    """
    source = _Trees(tree, "train_test_split")
    n = len(source)
    number = plain(test_size)
    tested = number if isinstance(number, int) else round(number * n)
    if not 0 < tested < n:
        msg = (
            f"train_test_split: both parts must have rows; got test_size={test_size} for {n} rows. "
            "Give a share between 0 and 1 or a number of rows."
        )
        raise ValueError(msg)
    order = permutation(n, at_least(0, seed, "train_test_split: seed"))
    chosen = np.arange(n) < tested
    if stratify is not None:
        chosen = _stratified(_labels(stratify, n)[order], tested)
    return source.rows(order[~chosen]), source.rows(order[chosen])


def _labels(stratify: Any, n: int) -> Any:
    labels = np.asarray(stratify)
    if labels.shape != (n,):
        msg = (
            "train_test_split: stratify must have one label a row; got shape "
            f"{labels.shape} for {n} rows."
        )
        raise ShapeError(msg)
    return labels


def _stratified(labels: Any, tested: int) -> Any:
    """Choose `tested` rows, the first ones of each label, in proportion; a mask."""
    _, label, counts = np.unique(labels, return_inverse=True, return_counts=True)
    quota, remainder = np.divmod(counts * tested, len(labels))
    largest = np.argsort(-remainder, kind="stable")[: tested - int(quota.sum())]
    quota[largest] += 1
    by_label = np.argsort(label, kind="stable")
    rank = np.empty_like(by_label)  # of each row among those of its label
    rank[by_label] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rank < quota[label]


# Inside


class Source(Protocol):
    """Samples by index, one by one or as a batch."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...
    def rows(self, indices: Any) -> Any:
        """Batch of the samples at `indices`, a NumPy array of int, shape (n,)."""


def source_of(dataset: Any, operation: str) -> Source:
    """Samples of a dataset, which is refused in the name of `operation` if it is none."""
    if isinstance(dataset, Subset):
        if not len(dataset):
            raise empty(operation)
        return dataset
    leaves, spec = tree.flatten(dataset)
    if isinstance(dataset, list) and not all(map(is_array, leaves)):
        return _Samples(dataset, operation)
    if not spec.is_leaf() or is_array(dataset):
        return _Trees(dataset, operation)
    sized = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
    if not sized or isinstance(dataset, str | bytes | Mapping):
        msg = (
            f"{operation}: the dataset must be a tree of arrays or have __len__ and __getitem__; "
            f"got {type(dataset).__name__}. Put what it holds into a list, or into arrays."
        )
        raise TypeError(msg)
    return _Samples(dataset, operation)


def set_epoch(part: Any, epoch: int) -> None:
    """Tell a dataset or sampler which epoch begins, if it has a method for it."""
    told = getattr(part, "set_epoch", None)
    if told is not None:
        told(epoch)


class _Trees:
    """A tree of arrays whose rows are the samples."""

    def __init__(self, dataset: Any, operation: str) -> None:
        pairs, self._spec = tree.flatten_with_path(dataset)
        self._leaves = [leaf for _, leaf in pairs]
        for path, leaf in pairs:
            _check_leaf(leaf, place(path), operation)
        if not pairs or not self._leaves[0].shape[0]:
            raise empty(operation)
        self._length = int(self._leaves[0].shape[0])
        for path, leaf in pairs:
            if leaf.shape[0] != self._length:
                msg = (
                    f"{operation}: all arrays must have one length; got {self._length} at "
                    f"{place(pairs[0][0])} and {leaf.shape[0]} at {place(path)}."
                )
                raise ShapeError(msg)

    def __len__(self) -> int:
        return self._length

    def rows(self, indices: Any) -> Any:
        return tree.unflatten(self._spec, [_take(leaf, indices) for leaf in self._leaves])

    def __getitem__(self, index: int) -> Any:
        return tree.unflatten(self._spec, [leaf[index] for leaf in self._leaves])


def _check_leaf(leaf: Any, where: str, operation: str) -> None:
    if not is_array(leaf):
        msg = (
            f"{operation}: the leaves of the dataset must be arrays; got {type(leaf).__name__} at "
            f"{where}. Make it an array, or the dataset a list of samples."
        )
        raise DTypeError(msg)
    if not leaf.shape:
        msg = f"{operation}: arrays must have a first axis; got shape () at {where}."
        raise ShapeError(msg)


def _take(leaf: Any, indices: Any) -> Any:
    library = library_of(leaf, "DataLoader")
    if library is not NUMPY:
        indices = library.xp.asarray(indices, device=library.device(leaf))
    return library.xp.take(leaf, indices, axis=0)


class _Samples:
    """An object whose items are the samples."""

    def __init__(self, dataset: Any, operation: str) -> None:
        self._dataset, self._length = dataset, len(dataset)
        if not self._length:
            raise empty(operation)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Any:
        try:
            return self._dataset[index]
        except Exception as error:
            error.add_note(f"raised by sample {index} of {type(self._dataset).__name__}")
            raise

    def rows(self, indices: Any) -> Any:
        return collate([self[int(i)] for i in indices])


class Stream:
    """The samples of one iteration over a dataset, counted."""

    def __init__(self, dataset: Any) -> None:
        self._name, self._samples = type(dataset).__name__, iter(dataset)
        self.count = 0

    def take(self, n: int) -> list[Any]:
        """Next samples, `n` of them or those that are left."""
        return list(self._next(n))

    def skip(self, n: int) -> None:
        """Read up to `n` samples and forget them."""
        for _ in self._next(n):
            pass

    def _next(self, n: int) -> Iterator[Any]:
        try:
            for sample in itertools.islice(self._samples, n):
                self.count += 1
                yield sample
        except Exception as error:
            error.add_note(f"raised by {self._name} after {self.count} samples")
            raise


def _within(operation: str, index: Any, n: int) -> int:
    number = operator.index(index)
    if not -n <= number < n:
        msg = f"{operation}: an index must be from {-n} to {n - 1}; got {number}."
        raise DimensionError(msg)
    return number % n


def empty(operation: str) -> ShapeError:
    """Error of a dataset without samples."""
    return ShapeError(f"{operation}: the dataset must not be empty; got no samples.")
