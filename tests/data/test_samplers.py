"""Orders in which samples are taken."""

import numpy as np
import pytest

from volta.core.errors import ShapeError
from volta.data import DataLoader, DistributedSampler, RandomSampler, WeightedRandomSampler


def distances(counts, probabilities):
    """How many standard deviations counts of draws are from what they should be."""
    n = counts.sum()
    return np.abs(counts - n * probabilities) / np.sqrt(n * probabilities * (1 - probabilities))


MAKERS = [
    lambda seed=0: RandomSampler(np.arange(50), seed=seed),
    lambda seed=0: RandomSampler(np.arange(50), replacement=True, seed=seed),
    lambda seed=0: WeightedRandomSampler(np.ones(50), 50, seed=seed),
    lambda seed=0: WeightedRandomSampler(np.ones(50), 50, False, seed=seed),
    lambda seed=0: DistributedSampler(np.arange(99), 2, 1, seed=seed),
]
NAMES = ["random", "random-replaced", "weighted", "weighted-once", "distributed"]


@pytest.mark.parametrize("make", MAKERS, ids=NAMES)
def test_an_order_depends_on_seed_and_epoch_alone(make):
    sampler = make()
    first = list(sampler)
    assert len(first) == len(sampler) == 50
    assert {type(i) for i in first} == {int}
    assert list(sampler) == first == list(make())
    sampler.set_epoch(3)
    other = list(sampler)
    assert other != first
    assert list(make(seed=1)) not in (first, other)
    again = make()
    again.set_epoch(3)
    assert list(again) == other


@pytest.mark.parametrize("make", MAKERS[:4], ids=NAMES[:4])
def test_a_loader_resumes_in_the_order_of_its_epoch(make):
    loader, other = (DataLoader(np.arange(50), 20, sampler=make()) for _ in range(2))
    batches = [batch.tolist() for _ in range(2) for batch in loader]
    assert batches[3:] != batches[:3]
    other.load_state_dict(loader.state_dict() | {"epoch": 1, "batch": 1})
    assert [batch.tolist() for batch in other] == batches[4:]


def test_each_sample_once_and_then_again():
    order = list(RandomSampler(np.arange(6), num_samples=15))
    assert sorted(order[:6]) == sorted(order[6:12]) == list(range(6))
    assert order[:6] != order[6:12]
    assert len(set(order[12:])) == 3
    assert len(list(RandomSampler(np.arange(6), num_samples=2))) == 2


def test_draws_with_replacement_are_uniform():
    order = list(RandomSampler(np.arange(5), replacement=True, num_samples=20_000))
    assert distances(np.bincount(order, minlength=5), np.full(5, 0.2)).max() < 4


WEIGHTS = np.asarray([0.0, 1.0, 2.0, 0.0, 5.0, 0.0])


def test_draws_are_in_proportion_to_weights():
    counts = np.bincount(list(WeightedRandomSampler(WEIGHTS * 3e307, 20_000)), minlength=6)
    assert counts[WEIGHTS == 0].tolist() == [0, 0, 0]
    assert distances(counts[WEIGHTS > 0], np.asarray([1, 2, 5]) / 8).max() < 4


def test_draws_without_replacement_are_in_proportion_to_the_weights_left():
    sampler = WeightedRandomSampler(WEIGHTS, 3, replacement=False)
    counts = np.zeros((3, 6))
    for epoch in range(5000):
        sampler.set_epoch(epoch)
        order = list(sampler)
        assert sorted(order) == [1, 2, 4]
        counts[range(3), order] += 1
    first, last = np.asarray([1, 2, 5]) / 8, np.zeros(3)
    for i, j, k in ((0, 1, 2), (1, 0, 2), (0, 2, 1), (2, 0, 1), (1, 2, 0), (2, 1, 0)):
        last[k] += first[i] * first[j] / (1 - first[i])
    assert distances(counts[0, [1, 2, 4]], first).max() < 4
    assert distances(counts[2, [1, 2, 4]], last).max() < 4


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize(("n", "replicas"), [(10, 3), (9, 3), (5, 1), (7, 4), (3, 2)])
def test_shares_are_torchs_and_cover_all(n, replicas, shuffle, drop_last):
    data = pytest.importorskip("torch.utils.data")
    options = {"shuffle": shuffle, "drop_last": drop_last}
    shares = [[*DistributedSampler(np.arange(n), replicas, r, **options)] for r in range(replicas)]
    theirs = [[*data.DistributedSampler(range(n), replicas, r, **options)] for r in range(replicas)]
    assert [len(share) for share in shares] == [len(share) for share in theirs]
    drawn = [i for share in shares for i in share]
    if drop_last:
        assert len(set(drawn)) == len(drawn)
    else:
        assert set(drawn) == set(range(n))
    if not shuffle:
        assert shares == theirs


def test_more_processes_than_samples():
    shares = [list(DistributedSampler(np.arange(2), 5, r, shuffle=False)) for r in range(5)]
    assert shares == [[0], [1], [0], [1], [0]]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: RandomSampler([]), ShapeError, "RandomSampler: the dataset must not be empty"),
        (lambda: RandomSampler([1], num_samples=0), ValueError, "num_samples must be .* least 1"),
        (lambda: RandomSampler([1], seed=-1), ValueError, "RandomSampler: seed must be .* least 0"),
        (
            lambda: WeightedRandomSampler([[1.0]], 1),
            ShapeError,
            r"weights must have one axis; got shape \(1, 1\)",
        ),
        (
            lambda: WeightedRandomSampler([1.0, -1.0], 1),
            ValueError,
            r"finite, not negative, and one of them positive; got \[ 1. -1.\]",
        ),
        (lambda: WeightedRandomSampler([np.nan], 1), ValueError, "weights must be finite"),
        (lambda: WeightedRandomSampler([np.inf], 1), ValueError, "weights must be finite"),
        (lambda: WeightedRandomSampler([0.0], 1), ValueError, "one of them positive"),
        (lambda: WeightedRandomSampler([1.0], 0), ValueError, "num_samples must be .* least 1"),
        (
            lambda: WeightedRandomSampler([1.0, 0.0], 2, False),
            ValueError,
            "at most the number of positive weights; got 2 and 1 of them",
        ),
        (lambda: WeightedRandomSampler([1.0], 1, seed=-1), ValueError, "seed must be .* least 0"),
        (lambda: DistributedSampler([1], 0, 0), ValueError, "num_replicas must be .* least 1"),
        (lambda: DistributedSampler([1], 1, -1), ValueError, "rank must be .* least 0"),
        (lambda: DistributedSampler([1], 1, 0, seed=-1), ValueError, "seed must be .* least 0"),
        (
            lambda: DistributedSampler([1, 2], 2, 2),
            ValueError,
            "rank must be less than num_replicas.*; got rank=2, num_replicas=2 and 2 samples",
        ),
        (
            lambda: DistributedSampler([1, 2], 3, 0, drop_last=True),
            ValueError,
            "each share have a sample; got rank=0, num_replicas=3 and 2 samples",
        ),
    ],
)
def test_samplers_that_cannot_be(make, error, message):
    with pytest.raises(error, match=message):
        make()
