"""Datasets, parts of them and datasets one after the other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volta.core.errors import DimensionError, DTypeError, ShapeError
from volta.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    random_split,
    train_test_split,
)


def rows(n):
    return {"x": np.arange(2.0 * n).reshape(n, 2), "y": np.arange(n)}


class Items:
    """A dataset that is only indexed, by Python integers."""

    epoch = None

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        assert type(index) is int
        return self.items[index]

    def set_epoch(self, epoch):
        self.epoch = epoch


def test_protocols_know_their_own():
    assert isinstance(Items([1]), Dataset)
    assert not isinstance(iter([1]), Dataset)
    assert isinstance(iter([1]), IterableDataset)
    assert isinstance(Subset(np.ones(2), [0]), Dataset)
    assert isinstance(ConcatDataset([np.ones(2)]), Dataset)


# Subsets


@pytest.mark.parametrize("dataset", [np.arange(5), Items(range(5)), list(range(5))])
def test_a_subset_has_the_samples_in_its_order(dataset):
    subset = Subset(dataset, [4, 0, 0])
    assert [int(s) for s in subset] == [4, 0, 0]
    assert (int(subset[-1]), int(subset[np.int64(0)]), len(subset)) == (0, 4, 3)
    assert [b.tolist() for b in DataLoader(subset, batch_size=2)] == [[4, 0], [0]]


def test_a_subset_of_a_subset():
    inner = Subset(rows(6), [5, 3, 1])
    batch = next(iter(DataLoader(Subset(inner, [2, 0]), batch_size=2)))
    assert batch["y"].tolist() == [1, 5]
    assert batch["x"].tolist() == [[2, 3], [10, 11]]


def test_rows_of_arrays_are_taken_at_once(monkeypatch):
    from volta.data import datasets

    monkeypatch.setattr(datasets, "collate", None)
    assert next(iter(DataLoader(Subset(np.arange(4), [3, 1]), batch_size=2))).tolist() == [3, 1]


@pytest.mark.parametrize(
    ("indices", "error", "message"),
    [
        ([0, 3], DimensionError, "indices must be from 0 to 2; got 3"),
        ([-1], DimensionError, "indices must be from 0 to 2; got -1"),
        ([0.5], DTypeError, r"indices must be a sequence of integers; got float64 of shape \(1,\)"),
        ([True, False], DTypeError, ".* got bool"),
        ([[0]], DTypeError, r".* got int64 of shape \(1, 1\)"),
    ],
)
def test_indices_that_a_dataset_does_not_have(indices, error, message):
    with pytest.raises(error, match=f"^Subset: {message}"):
        Subset(np.ones(3), indices)


@pytest.mark.parametrize("make", [lambda d: Subset(d, [0, 1, 2]), lambda d: ConcatDataset([d])])
def test_samples_that_are_not_there(make):
    dataset = make(np.ones(3))
    for index in (3, -4):
        with pytest.raises(DimensionError, match=f"an index must be from -3 to 2; got {index}"):
            dataset[index]
    with pytest.raises(TypeError, match="interpreted as an integer"):
        dataset[0.5]


def test_an_empty_subset_gives_no_batches():
    with pytest.raises(ShapeError, match=r"^DataLoader: the dataset must not be empty"):
        DataLoader(Subset(np.ones(3), []))


def test_a_subset_of_what_is_no_dataset():
    with pytest.raises(TypeError, match=r"^Subset: the dataset must be a tree of arrays or have"):
        Subset(3, [0])


# One after the other


def test_datasets_one_after_the_other():
    both = ConcatDataset([np.arange(3), Items([np.int64(7)]), Subset(np.arange(9), [8, 2])])
    assert [int(both[i]) for i in range(-len(both), len(both))] == [0, 1, 2, 7, 8, 2] * 2
    assert [b.tolist() for b in DataLoader(both, batch_size=4)] == [[0, 1, 2, 7], [8, 2]]


def test_no_datasets():
    with pytest.raises(ShapeError, match=r"^ConcatDataset: there must be a dataset; got none"):
        ConcatDataset([])


def test_an_empty_dataset_among_them():
    with pytest.raises(ShapeError, match=r"^ConcatDataset: the dataset must not be empty"):
        ConcatDataset([np.ones(2), []])


def test_the_epoch_reaches_the_datasets_inside():
    inner = Items([1, 2, 3])
    loader = DataLoader(Subset(ConcatDataset([np.arange(2), inner]), [0, 4]))
    list(loader)
    assert inner.epoch == 0
    list(loader)
    assert inner.epoch == 1


# Splits


@settings(derandomize=True, max_examples=40, deadline=None)
@given(n=st.integers(3, 50), data=st.data())
def test_parts_are_a_partition(n, data):
    cut = sorted(data.draw(st.sets(st.integers(1, n - 1), min_size=2, max_size=2)))
    lengths = [cut[0], cut[1] - cut[0], n - cut[1]]
    parts = random_split(np.arange(n), lengths, seed=2)
    assert [len(part) for part in parts] == lengths
    assert sorted(int(i) for part in parts for i in part) == list(range(n))


def test_parts_depend_on_the_seed_alone():
    first, other, again = (
        [*random_split(Items(range(40)), [20, 20], seed=s)[0]] for s in (0, 1, 0)
    )
    assert first == again
    assert first != other
    assert first != sorted(first)


@pytest.mark.parametrize(
    ("n", "shares", "sizes"),
    [
        (10, [0.75, 0.25], [8, 2]),  # the one left over goes to the first
        (11, [0.3, 0.3, 0.4], [4, 3, 4]),
        (10, [0.1] * 10, [1] * 10),
        (8, [1.0], [8]),
        (7, [np.int64(3), 4], [3, 4]),
    ],
)
def test_sizes_of_parts(n, shares, sizes):
    assert [len(part) for part in random_split(np.arange(n), shares, seed=0)] == sizes


def test_sizes_of_parts_are_torchs():
    torch = pytest.importorskip("torch")
    for n in range(10, 30):
        shares = [0.5, 0.3, 0.2]
        theirs = torch.utils.data.random_split(range(n), shares)
        assert [len(p) for p in random_split(np.arange(n), shares, seed=0)] == [*map(len, theirs)]


@pytest.mark.parametrize("lengths", [[3, 3], [10, 0], [11, -1], [0.5, 0.4], [0.99, 0.01], [5.0, 5]])
def test_lengths_that_do_not_add_up(lengths):
    with pytest.raises(ValueError, match=r"^random_split: lengths must be .* add up to 10, or"):
        random_split(np.arange(10), lengths, seed=0)


def test_a_split_by_a_negative_seed():
    with pytest.raises(ValueError, match=r"^random_split: seed must be an integer of at least 0"):
        random_split(np.arange(2), [1, 1], seed=-1)


# Two parts


def test_split_is_a_partition_that_keeps_rows_together():
    train, test = train_test_split(rows(10), test_size=0.3, seed=0)
    assert train["x"].shape == (7, 2)
    assert test["x"].shape == (3, 2)
    assert sorted([*train["y"], *test["y"]]) == list(range(10))
    for part in (train, test):
        np.testing.assert_array_equal(part["x"][:, 0], 2 * part["y"])


def test_split_depends_on_the_seed_alone():
    parts = [train_test_split(np.arange(40), test_size=0.5, seed=seed)[1] for seed in (0, 1, 0)]
    assert parts[0].tolist() != parts[1].tolist()
    assert parts[0].tolist() == parts[2].tolist()
    assert parts[0].tolist() != sorted(parts[0])


def test_split_stays_in_the_library():
    torch = pytest.importorskip("torch")
    labels = torch.tensor([0, 1] * 4)
    train, test = train_test_split((labels,), test_size=2, seed=0, stratify=labels)
    assert isinstance(train[0], torch.Tensor)
    assert sorted(test[0].tolist()) == [0, 1]


@settings(derandomize=True, max_examples=60, deadline=None)
@given(labels=st.lists(st.integers(0, 4), min_size=2, max_size=40), data=st.data())
def test_stratified_parts_have_each_label_in_proportion(labels, data):
    n = len(labels)
    tested = data.draw(st.integers(1, n - 1))
    train, test = train_test_split(np.arange(n), test_size=tested, seed=1, stratify=labels)
    assert len(test) == tested
    assert sorted([*train, *test]) == list(range(n))
    chosen = np.array(labels)[test]
    for label in set(labels):
        assert abs((chosen == label).sum() - labels.count(label) * tested / n) < 1


def test_stratified_rows_are_chosen_at_random():
    labels = [0, 1] * 50
    parts = [
        train_test_split(np.arange(100), test_size=0.2, seed=seed, stratify=labels)[1].tolist()
        for seed in (0, 1)
    ]
    assert sorted(parts[0]) != sorted(parts[1])
    assert parts[0] != sorted(parts[0])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"test_size": 0}, ValueError, "both parts must have rows; got test_size=0 for 4 rows"),
        ({"test_size": 4}, ValueError, "both parts must have rows; got test_size=4"),
        ({"test_size": 1.0}, ValueError, "both parts must have rows; got test_size=1.0"),
        ({"test_size": np.int64(4)}, ValueError, "both parts must have rows; got test_size=4"),
        ({"test_size": 0.5, "seed": -1}, ValueError, "seed must be an integer of at least 0"),
        (
            {"test_size": 0.5, "stratify": [0, 1]},
            ShapeError,
            r"stratify must have one label a row; got shape \(2,\) for 4 rows",
        ),
    ],
)
def test_splits_that_cannot_be_made(options, error, message):
    with pytest.raises(error, match=r"^train_test_split: " + message):
        train_test_split(np.arange(4), **({"seed": 0} | options))


def test_a_split_of_uneven_arrays():
    with pytest.raises(ShapeError, match=r"^train_test_split: all arrays must have one length"):
        train_test_split((np.ones(3), np.ones(4)), test_size=1, seed=0)
