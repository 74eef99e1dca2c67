"""Orders in which samples are taken: iterables of indices, one order for each epoch.

A sampler has ``len(sampler)`` indices, gives them in ``iter(sampler)``, and takes the epoch by
``sampler.set_epoch(epoch)``, if it has that method. `DataLoader` calls it when an epoch begins, so
that the order is a function of seed and epoch alone, wherever the loop was resumed.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from volta.core.errors import ShapeError
from volta.core.keywords import suggesting
from volta.data.datasets import source_of
from volta.data.numbers import at_least, permutation, random_bits

__all__ = ["DistributedSampler", "RandomSampler", "Sampler", "WeightedRandomSampler"]


class Sampler(Protocol):
    """What `DataLoader` takes as `sampler`: a sized iterable of indices.

    Examples
    --------
    >>> longest_first = sorted(range(4), key=lambda i: -len("a bb ccc d".split()[i]))
    >>> longest_first  # a list is one
    [2, 1, 0, 3]
    """

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[int]: ...


class RandomSampler:
    """Samples at random, each once or, with replacement, as often as it happens.

    Parameters
    ----------
    dataset : Dataset or tree of arrays
        With n samples.
    replacement : bool, default False
        Whether each draw is from all samples.
    num_samples : int, optional
        Indices in an epoch; n if not given. Without replacement, more than n go on with a new
        permutation.
    seed : int, default 0
        Non-negative.

    Raises
    ------
    ValueError
        If `num_samples` is less than 1, or `seed` negative.

    Examples
    --------
    >>> sampler = volta.data.RandomSampler(np.arange(100), num_samples=3)
    >>> len(sampler), list(sampler) == list(sampler)
    (3, True)
    >>> first = list(sampler)
    >>> sampler.set_epoch(1)
    >>> list(sampler) == first
    False
    """

    @suggesting
    def __init__(
        self,
        dataset: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        *,
        seed: int = 0,
    ) -> None:
        self._n = len(source_of(dataset, "RandomSampler"))
        wanted = self._n if num_samples is None else num_samples
        self.num_samples = at_least(1, wanted, "RandomSampler: num_samples")
        self.replacement, self.epoch = replacement, 0
        self.seed = at_least(0, seed, "RandomSampler: seed")

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        n, wanted = self._n, self.num_samples
        if self.replacement:
            # 64 bits modulo n prefer no index by more than n / 2⁶⁴
            order = random_bits(wanted, self.seed, self.epoch) % np.uint64(n)
        else:
            rounds = range(-(-wanted // n))
            order = np.concatenate([permutation(n, self.seed, self.epoch, r) for r in rounds])
        return iter(order[:wanted].tolist())

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of `epoch`."""
        self.epoch = epoch


class WeightedRandomSampler:
    """Samples at random, each with a probability proportional to its weight.

    Parameters
    ----------
    weights : array, shape (n,)
        Of the samples, finite and not negative; they need not add up to 1.
    num_samples : int
        Indices in an epoch.
    replacement : bool, default True
        Whether each draw is from all samples.
    seed : int, default 0
        Non-negative.

    Raises
    ------
    ShapeError
        If `weights` has not one axis.
    ValueError
        If a weight is negative or not finite, none is positive, `num_samples` is less than 1 or,
        without replacement, more than there are positive weights, or `seed` is negative.

    Notes
    -----
    Without replacement, those with the largest ``log(u) / weight`` are taken, with u uniform, in
    this order [1]_: each draw is then in proportion to the weights that are left.

    References
    ----------
    .. [1] P. S. Efraimidis and P. G. Spirakis, "Weighted random sampling with a reservoir",
       Information Processing Letters 97, 2006, https://doi.org/10.1016/j.ipl.2005.11.003

    Examples
    --------
    >>> sampler = volta.data.WeightedRandomSampler([0.0, 1.0, 0.0, 3.0], 100)
    >>> indices = list(sampler)
    >>> sorted(set(indices)), indices.count(3) > indices.count(1)
    ([1, 3], True)
    """

    @suggesting
    def __init__(
        self, weights: Any, num_samples: int, replacement: bool = True, *, seed: int = 0
    ) -> None:
        self.weights = _weights(weights)
        self.num_samples = at_least(1, num_samples, "WeightedRandomSampler: num_samples")
        positive = int(np.count_nonzero(self.weights))
        if not replacement and self.num_samples > positive:
            msg = (
                "WeightedRandomSampler: without replacement num_samples must be at most the number "
                f"of positive weights; got {num_samples} and {positive} of them."
            )
            raise ValueError(msg)
        self.replacement, self.epoch = replacement, 0
        self.seed = at_least(0, seed, "WeightedRandomSampler: seed")

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        chosen = np.flatnonzero(self.weights)
        weights = self.weights[chosen]
        if self.replacement:
            ends = np.cumsum(weights)
            places = ends[-1] * self._uniform(self.num_samples)
            drawn = np.minimum(np.searchsorted(ends, places, side="right"), len(chosen) - 1)
        else:
            with np.errstate(divide="ignore"):  # of u = 0, and of weights near the least number
                ranks = np.log(self._uniform(len(chosen))) / weights
            drawn = np.argsort(-ranks, kind="stable")[: self.num_samples]
        return iter(chosen[drawn].tolist())

    def _uniform(self, n: int) -> Any:
        """Floats from 0 to less than 1, of 53 random bits each."""
        return (random_bits(n, self.seed, self.epoch) >> np.uint64(11)) * 2.0**-53

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of `epoch`."""
        self.epoch = epoch


def _weights(weights: Any) -> Any:
    array = np.asarray(weights, np.float64)
    if array.ndim != 1:
        msg = f"WeightedRandomSampler: weights must have one axis; got shape {array.shape}."
        raise ShapeError(msg)
    if not np.all(np.isfinite(array) & (array >= 0)) or not np.any(array > 0):
        msg = (
            "WeightedRandomSampler: weights must be finite, not negative, and one of them "
            f"positive; got {array}."
        )
        raise ValueError(msg)
    return array / np.max(array)  # their sum is finite


class DistributedSampler:
    """One process's share of the samples, where several train together.

    All processes make the same order and each takes every `num_replicas`-th of it, from its `rank`
    on. All shares have one length: the order goes on from its beginning where samples are missing,
    or is cut short.

    Parameters
    ----------
    dataset : Dataset or tree of arrays
        With n samples.
    num_replicas : int
        Processes, at least 1.
    rank : int
        Number of this one, from 0.
    shuffle : bool, default True
        Whether to take the samples in another random order in each epoch.
    seed : int, default 0
        Non-negative, the same in all processes.
    drop_last : bool, default False
        Whether to leave out the last samples, rather than give some twice.

    Raises
    ------
    ValueError
        If there is no such rank, a share would be empty, or `seed` is negative.

    Examples
    --------
    >>> shares = [volta.data.DistributedSampler(np.arange(5), 2, r, shuffle=False) for r in (0, 1)]
    >>> [list(share) for share in shares]
    [[0, 2, 4], [1, 3, 0]]
    """

    @suggesting
    def __init__(
        self,
        dataset: Any,
        num_replicas: int,
        rank: int,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        self._n = len(source_of(dataset, "DistributedSampler"))
        self.num_replicas = at_least(1, num_replicas, "DistributedSampler: num_replicas")
        self.rank = at_least(0, rank, "DistributedSampler: rank")
        self.shuffle, self.drop_last, self.epoch = shuffle, drop_last, 0
        self.seed = at_least(0, seed, "DistributedSampler: seed")
        if self.rank >= self.num_replicas or not len(self):
            msg = (
                "DistributedSampler: rank must be less than num_replicas, and each share have a "
                f"sample; got rank={rank}, num_replicas={num_replicas} and {self._n} samples."
            )
            raise ValueError(msg)

    def __len__(self) -> int:
        whole, rest = divmod(self._n, self.num_replicas)
        return whole if self.drop_last or not rest else whole + 1

    def __iter__(self) -> Iterator[int]:
        n = self._n
        order = permutation(n, self.seed, self.epoch) if self.shuffle else np.arange(n)
        even = np.resize(order, len(self) * self.num_replicas)
        return iter(even[self.rank :: self.num_replicas].tolist())

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of `epoch`."""
        self.epoch = epoch
