"""Batches of a dataset, in an order that depends on the seed and the epoch alone."""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Set
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import numpy as np

from volta.core import tree
from volta.core.errors import LoadError, ShapeError, VoltaError
from volta.core.keywords import suggesting
from volta.data.collation import collate as stacked
from volta.data.collation import is_array
from volta.data.datasets import Source, Stream, empty, set_epoch, source_of
from volta.data.numbers import at_least, checked_indices, permutation, plain
from volta.data.workers import in_order

__all__ = ["DataLoader"]

_END: Final = object()
T_co = TypeVar("T_co", covariant=True)


class _Sized(Protocol[T_co]):
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[T_co]: ...


class DataLoader:
    """The batches of a dataset, epoch after epoch, from wherever the last loop stopped.

    ``for batch in loader`` gives the batches that are left of the current epoch and moves on to
    the next. Breaking out leaves the cursor after the last batch given, so that the next loop
    continues there, in this process or, by `state_dict`, in another.

    Parameters
    ----------
    dataset : tree of arrays, Dataset or IterableDataset
        A tuple, dict or list of arrays, nested or not, or one array: arrays of any library with
        the same first axis, whose rows are the samples. Or an object with ``__len__`` and
        ``__getitem__`` (a list that does not only hold arrays, too), whose items are the samples:
        trees of arrays and numbers of equal shapes. Or an object with ``__iter__`` alone, which
        gives the samples of an epoch in their order.
    batch_size : int or None, default 1
        Samples in a batch. With None each sample is given as it is.
    shuffle : bool, default False
        Whether to take the samples in another random order in each epoch.
    seed : int, default 0
        Non-negative. The order is a function of `seed` and the epoch, on every machine.
    drop_last : bool, default False
        Whether to leave out the last batch of an epoch where it is smaller than the others.
    sampler : sized iterable of int, optional
        Indices of an epoch's samples, in order: see `RandomSampler` and its kin.
    batch_sampler : sized iterable of sequences of int, optional
        Indices of each batch of an epoch, in place of `batch_size` and what follows it.
    collate : callable, optional
        From the list of a batch's samples to the batch, `volta.data.collate` if not given.
    transform : callable, optional
        From a batch to what is given in its place: on another device, ``lambda batch:
        volta.tree.to(batch, device=…)``, or normalized. Workers call it.
    workers : int, default 0
        Threads that read ahead; 0 reads a batch when it is asked for. At most 1 for a dataset
        that is iterated.
    prefetch : int, default 2
        Batches that each worker may be ahead.

    Raises
    ------
    ShapeError
        If the arrays have different lengths or none, the dataset or a whole epoch is empty, or a
        sampler gives more or fewer indices than its length.
    DTypeError
        If a leaf of a tuple or dict is not an array, or an index no integer.
    DimensionError
        If a sampler gives an index that the dataset does not have.
    TypeError
        If `dataset` is none of the three kinds, or is an iterator, which cannot begin anew; if an
        iterated dataset is asked for its length and has none.
    ValueError
        If `batch_size` or `prefetch` is less than 1, `seed` or `workers` negative, no batch would
        be left, or arguments exclude each other.

    See Also
    --------
    random_split, train_test_split : parts of a dataset.
    Subset, ConcatDataset : datasets made of others.

    Notes
    -----
    A loader has one cursor, so one loop at a time runs over it: once another begins (or
    `load_state_dict` moves the cursor), going on with the first raises `VoltaError`. Two loops
    that are meant to run together need two loaders; these are cheap.

    The order sorts 64-bit outputs of Philox4x64-10 [1]_, which NumPy keeps the same from version
    to version, as it does not its ``permutation``.

    Workers change nothing but the time: batches come in the order of the indices, whichever is
    ready first, and an exception is raised where its batch would be given, with its own traceback
    and a note of the sample. The cursor counts batches that were given, not those read ahead. Where
    samples are random, derive the numbers from a seed, the epoch and the index, not from a
    generator that threads share; a dataset or sampler that has ``set_epoch(epoch)`` is told the
    epoch when a loop begins. Threads help as far as reading releases the interpreter's lock, as
    NumPy, decompression and files do, and while the training step does.

    An iterated dataset is resumed by reading again, and leaving out, what was given of the epoch.
    Only the end of its loop tells where an epoch ends: after breaking out of the last batch, the
    next loop is empty and then the next epoch begins.

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
        batch_size: int | None = 1,
        *,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        sampler: _Sized[int] | None = None,
        batch_sampler: _Sized[Any] | None = None,
        collate: Callable[[list[Any]], Any] | None = None,
        transform: Callable[[Any], Any] | None = None,
        workers: int = 0,
        prefetch: int = 2,
    ) -> None:
        self._source: Source | None = (
            None if _is_stream(dataset) else source_of(dataset, "DataLoader")
        )
        self.dataset, self.sampler, self.batch_sampler = dataset, sampler, batch_sampler
        if batch_size is not None:
            batch_size = at_least(1, batch_size, "DataLoader: batch_size")
        self.batch_size = batch_size
        self.shuffle, self.drop_last = bool(shuffle), bool(drop_last)
        self.seed = at_least(0, seed, "DataLoader: seed")
        self.collate, self.transform = collate, transform
        self.workers = at_least(0, workers, "DataLoader: workers")
        self.prefetch = at_least(1, prefetch, "DataLoader: prefetch")
        self._check()
        self._epoch = self._batch = 0
        self._turn = 0  # counts the loops begun: only the last one may go on

    def _check(self) -> None:
        stream, sampled = self._source is None, self.sampler is not None
        grouped = self.batch_sampler is not None
        unbatched = self.batch_size is None
        alone = (self.batch_size, self.shuffle, self.drop_last, sampled) == (1, False, False, False)
        for wrong, what in (
            (self.shuffle and sampled, "shuffle must be False with a sampler, which shuffles"),
            (grouped and not alone, "a batch_sampler must be alone, without batch_size and others"),
            (unbatched and self.drop_last, "drop_last must be False without a batch_size"),
            (unbatched and self.collate is not None, "collate must be None without a batch_size"),
            (stream and self.shuffle, "shuffle must be False for a dataset that is iterated"),
            (stream and (sampled or grouped), "a sampler must have a dataset that is indexed"),
            (stream and self.workers > 1, "workers must be 0 or 1 for a dataset that is iterated"),
        ):
            if wrong:
                msg = f"DataLoader: {what}; got {self._options()}."
                raise ValueError(msg)
        if not stream and len(self) == 0:
            msg = (
                f"DataLoader: an epoch must have a batch; got {self._options()}. Make the batches "
                "smaller."
            )
            raise ValueError(msg)

    def _options(self) -> str:
        names = ("batch_size", "shuffle", "drop_last", "workers", "sampler", "batch_sampler")
        told = {name: getattr(self, name) for name in (*names, "collate")}
        return ", ".join(
            f"{name}={value if isinstance(value, int) else type(value).__name__}"
            for name, value in told.items()
            if value is not None
        )

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
        if self.batch_sampler is not None:
            return len(self.batch_sampler)
        whole, rest = divmod(self._length(), self.batch_size or 1)
        return whole if self.drop_last or not rest else whole + 1

    def _length(self) -> int:
        """Samples in an epoch."""
        if self.sampler is not None:
            return len(self.sampler)
        if self._source is not None:
            return len(self._source)
        if hasattr(self.dataset, "__len__"):
            return len(self.dataset)
        msg = (
            "DataLoader: a dataset that is iterated must have __len__ for its loader to have a "
            f"length; got {type(self.dataset).__name__}."
        )
        raise TypeError(msg)

    def __iter__(self) -> Iterator[Any]:
        self._turn += 1
        return self._rest_of_epoch(self._turn)

    def _rest_of_epoch(self, turn: int) -> Iterator[Any]:
        self._check_turn(turn)
        epoch, begin = self._epoch, self._batch
        for part in (self.dataset, self.sampler, self.batch_sampler):
            set_epoch(part, epoch)
        end = None if self._source is None else len(self)
        reads = self._stream(begin) if end is None else self._reads(epoch, begin)
        batches = in_order(reads, self.workers, self.workers * self.prefetch)
        with contextlib.closing(batches):
            for number in itertools.count(begin):
                self._check_turn(turn)
                batch = next(batches, _END)
                last = batch is _END or number + 1 == end
                self._epoch, self._batch = (epoch + 1, 0) if last else (epoch, number + 1)
                if batch is not _END:
                    yield batch
                if last:
                    return

    def _check_turn(self, turn: int) -> None:
        if turn != self._turn:
            msg = (
                "DataLoader: one loop at a time must run over a loader; got a loop going on after "
                "another began or the cursor was moved. Make a loader for each loop."
            )
            raise VoltaError(msg)

    def _reads(self, epoch: int, begin: int) -> Iterator[Callable[[], Any]]:
        """Functions that read the batches of an epoch, from number `begin` on."""
        return (partial(self._read, indices) for indices in self._indices(epoch)[begin:])

    def _indices(self, epoch: int) -> list[Any]:
        n = len(self._source)  # type: ignore[arg-type]  # an iterated dataset has no indices
        if self.batch_sampler is not None:
            batches = _all_of(self.batch_sampler, "batch_sampler")
            return [checked_indices(b, n, "DataLoader: indices of batch_sampler") for b in batches]
        if self.sampler is not None:
            indices = _all_of(self.sampler, "sampler")
            order = checked_indices(indices, n, "DataLoader: indices of sampler")
        else:
            order = permutation(n, self.seed, epoch) if self.shuffle else np.arange(n)
        size = self.batch_size or 1
        return [order[i * size : (i + 1) * size] for i in range(len(self))]

    def _read(self, indices: Any) -> Any:
        source: Any = self._source
        if self.collate is None and self.batch_size is not None:
            return self._given(source.rows(indices))
        return self._given(self._together([source[int(i)] for i in indices]))

    def _stream(self, begin: int) -> Iterator[Callable[[], Any]]:
        """A function that reads the next batch of an iterated dataset, time and again."""
        samples, size = Stream(self.dataset), self.batch_size or 1

        def read() -> Any:
            if samples.count < begin * size:
                self._skip(samples, begin)
            batch = samples.take(size)
            if not batch or (self.drop_last and len(batch) < size):
                if not begin and len(batch) == samples.count:
                    raise empty(type(self).__name__)
                return _END
            return self._given(self._together(batch))

        return itertools.repeat(read)

    def _skip(self, samples: Stream, begin: int) -> None:
        size = self.batch_size or 1
        samples.skip(begin * size)
        if samples.count <= (begin - 1) * size:
            msg = (
                "DataLoader: the dataset must have the samples that the cursor has passed; got "
                f"{samples.count} of them, before batch {begin}."
            )
            raise ShapeError(msg)

    def _together(self, samples: list[Any]) -> Any:
        if self.batch_size is None:
            return samples[0]
        return (self.collate or stacked)(samples)

    def _given(self, batch: Any) -> Any:
        return batch if self.transform is None else self.transform(batch)

    def state_dict(self) -> dict[str, int]:
        """Return the cursor, and what it must meet again to mean the same.

        Returns
        -------
        dict of str to int
            ``epoch`` and ``batch`` of the next batch; ``seed``, ``length`` (samples in an epoch, 0
            of a dataset that is iterated), ``batch_size``, ``shuffle`` and ``drop_last`` of the
            loader.

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
            "length": 0 if self._source is None else self._length(),
            "batch_size": self.batch_size or 0,
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
        state = {name: plain(value) for name, value in state.items()}
        limits = {"epoch": None, "batch": None if self._source is None else len(self)}
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


def _is_stream(dataset: Any) -> bool:
    """Whether samples are had by iterating alone, as often as wanted."""
    if not tree.structure(dataset).is_leaf() or is_array(dataset):
        return False
    indexed = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
    anew = hasattr(dataset, "__iter__") and not isinstance(dataset, Iterator | Set)
    return anew and not indexed


def _all_of(indices: _Sized[T_co], name: str) -> list[T_co]:
    found = list(indices)
    if len(found) != len(indices):
        msg = (
            f"DataLoader: {name} must give as many items as its length says; got {len(found)} "
            f"instead of {len(indices)}."
        )
        raise ShapeError(msg)
    return found


def _within(value: Any, end: int | None) -> bool:
    return isinstance(value, int) and value >= 0 and (end is None or value < end)
