"""Batches of a dataset, in an order that depends on the seed and the epoch alone."""

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol

import numpy as np

from volta.core import tree
from volta.core.context import default_dtype_of
from volta.core.dispatch import NUMPY, library_of
from volta.core.errors import DTypeError, LoadError, ShapeError, VoltaError
from volta.core.keywords import suggesting

__all__ = ["DataLoader", "train_test_split"]


class DataLoader:
    """The batches of a dataset, epoch after epoch, from wherever the last loop stopped.

    ``for batch in loader`` gives the batches that are left of the current epoch and moves on to
    the next. Breaking out leaves the cursor after the last batch given, so that the next loop
    continues there, in this process or, by `state_dict`, in another.

    Parameters
    ----------
    dataset : tree of arrays, or sequence of samples
        A tuple, dict or list of arrays, nested or not, or one array: arrays of any library with
        the same first axis, whose rows are the samples. Or an object with ``__len__`` and
        ``__getitem__`` (a list that does not only hold arrays, too), whose items are the samples:
        trees of arrays and numbers of equal shapes.
    batch_size : int, default 1
        Samples in a batch.
    shuffle : bool, default False
        Whether to take the samples in another random order in each epoch.
    seed : int, default 0
        Non-negative. The order is a function of `seed` and the epoch, on every machine.
    drop_last : bool, default False
        Whether to leave out the last batch of an epoch where it is smaller than the others.
    collate : callable, optional
        From the list of a batch's samples to the batch. Without it, samples are stacked along a
        new first axis, Python numbers in Volta's default dtypes.

    Raises
    ------
    ShapeError
        If the arrays have different lengths or none, or the dataset is empty.
    DTypeError
        If a leaf of a tuple or dict is not an array.
    TypeError
        If `dataset` is neither of the two kinds.
    ValueError
        If `batch_size` is less than 1, `seed` is negative, or no batch would be left.

    See Also
    --------
    train_test_split : two parts of a dataset.

    Notes
    -----
    A loader has one cursor, so one loop at a time runs over it: once another begins (or
    `load_state_dict` moves the cursor), going on with the first raises `VoltaError`. Two loops
    that are meant to run together need two loaders; these are cheap.

    The order sorts 64-bit outputs of Philox4x64-10 [1]_, which NumPy keeps the same from version
    to version, as it does not its ``permutation``.

    References
    ----------
    .. [1] J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011,
       https://doi.org/10.1145/2063384.2063405

    Examples
    --------
    >>> import numpy as np
    >>> loader = DataLoader({"x": np.arange(10.0), "y": np.arange(10)}, batch_size=4)
    >>> for batch in loader:
    ...     print(batch["y"])
    [0 1 2 3]
    [4 5 6 7]
    [8 9]
    """

    @suggesting
    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        *,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        collate: Callable[[list[Any]], Any] | None = None,
    ) -> None:
        self._source = _source(dataset, "DataLoader")
        self.dataset = dataset
        self.batch_size = _at_least(1, batch_size, "DataLoader: batch_size")
        self.shuffle = bool(shuffle)
        self.seed = _at_least(0, seed, "DataLoader: seed")
        self.drop_last = bool(drop_last)
        self.collate = collate
        if len(self) == 0:
            msg = (
                f"DataLoader: drop_last must leave a batch; got {len(self._source)} samples and "
                f"batch_size={batch_size}. Make the batches smaller."
            )
            raise ValueError(msg)
        self._epoch = self._batch = 0
        self._turn = 0  # counts the loops begun: only the last one may go on

    @property
    def epoch(self) -> int:
        """Epoch of the next batch, from 0."""
        return self._epoch

    @property
    def batch(self) -> int:
        """Number of the next batch in its epoch, from 0."""
        return self._batch

    def __len__(self) -> int:
        """Batches in an epoch."""
        whole, rest = divmod(len(self._source), self.batch_size)
        return whole if self.drop_last or not rest else whole + 1

    def __iter__(self) -> Iterator[Any]:
        self._turn += 1
        return self._rest_of_epoch(self._turn)

    def _rest_of_epoch(self, turn: int) -> Iterator[Any]:
        epoch, samples = self._epoch, len(self._source)
        order = _permutation(samples, self.seed, epoch) if self.shuffle else None
        for number in range(self._batch, len(self)):
            self._check_turn(turn)
            begin = number * self.batch_size
            end = min(begin + self.batch_size, samples)
            batch = self._read(np.arange(begin, end) if order is None else order[begin:end])
            last = number + 1 == len(self)
            self._epoch, self._batch = (epoch + 1, 0) if last else (epoch, number + 1)
            yield batch

    def _check_turn(self, turn: int) -> None:
        if turn != self._turn:
            msg = (
                "DataLoader: one loop at a time must run over a loader; got a loop going on after "
                "another began or the cursor was moved. Make a loader for each loop."
            )
            raise VoltaError(msg)

    def _read(self, indices: Any) -> Any:
        if self.collate is None:
            return self._source.rows(indices)
        return self.collate([self._source.sample(int(i)) for i in indices])

    def state_dict(self) -> dict[str, int]:
        """Return the cursor, and what it must meet again to mean the same.

        Returns
        -------
        dict of str to int
            ``epoch`` and ``batch`` of the next batch; ``seed``, ``length``, ``batch_size``,
            ``shuffle`` and ``drop_last`` of the loader.

        Examples
        --------
        >>> import numpy as np
        >>> loader = DataLoader(np.arange(10.0), batch_size=4, shuffle=True)
        >>> first = next(iter(loader))
        >>> loader.state_dict()["batch"]
        1
        """
        return {"epoch": self._epoch, "batch": self._batch, **self._identity()}

    def _identity(self) -> dict[str, int]:
        return {
            "seed": self.seed,
            "length": len(self._source),
            "batch_size": self.batch_size,
            "shuffle": int(self.shuffle),
            "drop_last": int(self.drop_last),
        }

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Move the cursor to where `state_dict` was called.

        Parameters
        ----------
        state : mapping of str to int
            Of a loader with the same seed, length, batch size, shuffling and last batch.

        Raises
        ------
        LoadError
            If it is not; all differences are named, and the cursor stays where it is.
        """
        state = {name: _plain(value) for name, value in state.items()}
        limits = {"epoch": None, "batch": len(self)}
        wrong = [f"no {name}" for name in (*limits, *self._identity()) if name not in state]
        wrong += [f"an unknown {name}" for name in state if name not in self.state_dict()]
        wrong += [
            f"{name} {state[name]!r} instead of {value}"
            for name, value in self._identity().items()
            if name in state and state[name] != value
        ]
        wrong += [
            f"{name} {state[name]!r} instead of an integer from 0{f' to {end - 1}' if end else ''}"
            for name, end in limits.items()
            if name in state and not _within(state[name], end)
        ]
        if wrong:
            msg = (
                "DataLoader.load_state_dict: the state must be one of this loader; got "
                f"{', '.join(wrong)}. Make the loader as it was when the state was taken."
            )
            raise LoadError(msg)
        self._epoch, self._batch = state["epoch"], state["batch"]
        self._turn += 1


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
    number = _plain(test_size)
    tested = number if isinstance(number, int) else round(number * n)
    if not 0 < tested < n:
        msg = (
            f"train_test_split: both parts must have rows; got test_size={test_size} for {n} rows. "
            "Give a share between 0 and 1 or a number of rows."
        )
        raise ValueError(msg)
    order = _permutation(n, _at_least(0, seed, "train_test_split: seed"))
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


# Datasets: rows(indices) is a batch, sample(i) one item of it


class _Source(Protocol):
    def __len__(self) -> int: ...
    def rows(self, indices: Any) -> Any: ...
    def sample(self, index: int) -> Any: ...


def _source(dataset: Any, operation: str) -> _Source:
    leaves, spec = tree.flatten(dataset)
    if isinstance(dataset, list) and not all(map(_is_array, leaves)):
        return _Samples(dataset, operation)
    if not spec.is_leaf() or _is_array(dataset):
        return _Trees(dataset, operation)
    sized = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
    if not sized or isinstance(dataset, str | bytes | Mapping):
        msg = (
            f"{operation}: the dataset must be a tree of arrays or have __len__ and __getitem__; "
            f"got {type(dataset).__name__}. Put what it holds into a list, or into arrays."
        )
        raise TypeError(msg)
    return _Samples(dataset, operation)


class _Trees:
    """A tree of arrays whose rows are the samples."""

    def __init__(self, dataset: Any, operation: str) -> None:
        pairs, self._spec = tree.flatten_with_path(dataset)
        self._leaves = [leaf for _, leaf in pairs]
        for path, leaf in pairs:
            _check_leaf(leaf, _at(path), operation)
        if not pairs or not self._leaves[0].shape[0]:
            raise _empty(operation)
        self._length = int(self._leaves[0].shape[0])
        for path, leaf in pairs:
            if leaf.shape[0] != self._length:
                msg = (
                    f"{operation}: all arrays must have one length; got {self._length} at "
                    f"{_at(pairs[0][0])} and {leaf.shape[0]} at {_at(path)}."
                )
                raise ShapeError(msg)

    def __len__(self) -> int:
        return self._length

    def rows(self, indices: Any) -> Any:
        return tree.unflatten(self._spec, [_take(leaf, indices) for leaf in self._leaves])

    def sample(self, index: int) -> Any:
        return tree.unflatten(self._spec, [leaf[index] for leaf in self._leaves])


def _check_leaf(leaf: Any, where: str, operation: str) -> None:
    if not _is_array(leaf):
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
            raise _empty(operation)

    def __len__(self) -> int:
        return self._length

    def rows(self, indices: Any) -> Any:
        return _stack([self._dataset[int(i)] for i in indices])

    def sample(self, index: int) -> Any:
        return self._dataset[index]


def _stack(samples: list[Any]) -> Any:
    pairs, spec = tree.flatten_with_path(samples[0])
    columns = [[leaf] for _, leaf in pairs]
    for sample in samples[1:]:
        leaves, other = tree.flatten(sample)
        if other != spec:
            msg = (
                f"DataLoader: all samples must have one structure; got {spec} and {other}. "
                "Pass collate= to put them together."
            )
            raise ShapeError(msg)
        for column, leaf in zip(columns, leaves, strict=True):
            column.append(leaf)
    stacked = [_column(c, _at(path)) for c, (path, _) in zip(columns, pairs, strict=True)]
    return tree.unflatten(spec, stacked)


_NUMBERS: Final = (bool, int, float, complex)  # each holds those before it


def _column(leaves: list[Any], where: str) -> Any:
    types = {type(leaf) for leaf in leaves}
    if types <= set(_NUMBERS):
        kind = max(types, key=_NUMBERS.index).__name__
        return np.asarray(leaves, NUMPY.dtype(default_dtype_of(kind)))
    if not all(map(_is_array, leaves)):
        got = ", ".join(sorted(t.__name__ for t in types))
        msg = (
            f"DataLoader: the leaves of samples must be all arrays or all numbers; got {got} at "
            f"{where}. Pass collate= to put them together."
        )
        raise DTypeError(msg)
    facts = {(library_of(leaf, "DataLoader"), leaf.dtype, tuple(leaf.shape)) for leaf in leaves}
    if len(facts) > 1:
        got = " and ".join(sorted(f"{lib.name} {dtype} {shape}" for lib, dtype, shape in facts)[:2])
        msg = (
            f"DataLoader: samples must have one library, dtype and shape; got {got} at {where}. "
            "Pass collate= to put them together."
        )
        raise ShapeError(msg)
    library = library_of(leaves[0], "DataLoader")
    return library.xp.stack(leaves, axis=0)


def _is_array(value: Any) -> bool:
    try:
        library_of(value, "DataLoader")
    except DTypeError:
        return False
    return True


def _at(path: tuple[Any, ...]) -> str:
    return tree.keystr(path) or "the top"


def _empty(operation: str) -> ShapeError:
    return ShapeError(f"{operation}: the dataset must not be empty; got no samples.")


# Numbers


def _permutation(n: int, *seed: int) -> Any:
    """Order the numbers below `n` at random, as a function of `seed` alone."""
    bits = np.random.Philox(np.random.SeedSequence(seed)).random_raw(n)
    return np.argsort(bits, kind="stable")


def _at_least(limit: int, value: Any, what: str) -> int:
    number = _plain(value)
    if not isinstance(number, int) or number < limit:
        msg = f"{what} must be an integer of at least {limit}; got {value!r}."
        raise ValueError(msg)
    return number


def _plain(value: Any) -> Any:
    """`value` as an int where it is one (NumPy's, a 0-d array), else as it is."""
    try:
        return operator.index(value)
    except TypeError:
        return value


def _within(value: Any, end: int | None) -> bool:
    return isinstance(value, int) and value >= 0 and (end is None or value < end)
