import array_api_strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volta.core import tree
from volta.core.context import default_dtype
from volta.core.errors import DTypeError, LoadError, ShapeError, VoltaError
from volta.data import DataLoader, train_test_split


def rows(n):
    return {"x": np.arange(2.0 * n).reshape(n, 2), "y": np.arange(n)}


def taken(loader, count):
    """The rows of the next `count` batches, epoch after epoch, as lists."""
    batches = []
    while len(batches) < count:
        for batch in loader:
            batches.append(batch.tolist())
            if len(batches) == count:
                break
    return batches


class Items:
    """A dataset that is only indexed, by Python integers."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        assert type(index) is int
        return self.items[index]


# Batches


def test_batches_of_a_tree_have_its_structure():
    data = (rows(5), [np.arange(5) > 2, None])
    batches = list(DataLoader(data, batch_size=2))
    assert [tree.structure(batch) for batch in batches] == [tree.structure(data)] * 3
    whole = tree.map(lambda *parts: np.concatenate(parts), *batches)
    for joined, leaf in zip(tree.leaves(whole), tree.leaves(data), strict=True):
        assert joined.dtype == leaf.dtype
        np.testing.assert_array_equal(joined, leaf)


def test_leaves_stay_together():
    for batch in DataLoader(rows(9), batch_size=4, shuffle=True):
        np.testing.assert_array_equal(batch["x"][:, 0], 2 * batch["y"])


def test_a_batch_is_no_view_of_the_dataset():
    data = np.arange(4)
    for batch in DataLoader(data, batch_size=2):
        batch += 1
    np.testing.assert_array_equal(data, np.arange(4))


@pytest.mark.parametrize(
    ("samples", "batch_size", "drop_last", "sizes"),
    [
        (6, 3, False, [3, 3]),
        (6, 3, True, [3, 3]),
        (7, 3, False, [3, 3, 1]),
        (7, 3, True, [3, 3]),
        (2, 3, False, [2]),
        (1, 1, True, [1]),
    ],
)
def test_length(samples, batch_size, drop_last, sizes):
    loader = DataLoader(np.arange(samples), batch_size=batch_size, drop_last=drop_last)
    assert len(loader) == len(sizes)
    assert [len(batch) for batch in loader] == sizes


def test_batches_stay_in_the_library():
    torch = pytest.importorskip("torch")
    data = {
        "numpy": np.arange(3),
        "strict": array_api_strict.arange(3),
        "torch": torch.arange(3),
    }
    for batch in DataLoader(data, batch_size=2, shuffle=True):
        assert {name: type(leaf) for name, leaf in batch.items()} == {
            name: type(leaf) for name, leaf in data.items()
        }
        assert batch["torch"].tolist() == batch["numpy"].tolist()
        assert [int(i) for i in batch["strict"]] == batch["numpy"].tolist()


def test_batches_of_jax_arrays():
    jnp = pytest.importorskip("jax.numpy")
    batch = next(iter(DataLoader(jnp.arange(4.0), batch_size=3)))
    assert isinstance(batch, type(jnp.arange(4.0)))
    assert batch.tolist() == [0, 1, 2]


def test_items_are_stacked():
    items = Items([{"x": np.full(2, i, np.int8), "y": (i, float(i), bool(i))} for i in range(3)])
    first, second = DataLoader(items, batch_size=2)
    assert first["x"].dtype == np.int8
    assert first["x"].tolist() == [[0, 0], [1, 1]]
    assert second["x"].tolist() == [[2, 2]]
    assert [leaf.tolist() for leaf in first["y"]] == [[0, 1], [0, 1], [False, True]]
    assert [leaf.dtype for leaf in first["y"]] == [np.int64, np.float32, np.bool]


def test_items_of_another_library():
    torch = pytest.importorskip("torch")
    batch = next(iter(DataLoader(Items([(torch.ones(2), 1)] * 3), batch_size=3)))
    assert batch[0].shape == (3, 2)
    assert isinstance(batch[0], torch.Tensor)


def test_python_numbers_meet_in_the_widest_kind_and_the_default_dtype():
    with default_dtype("float64"):
        batch = next(iter(DataLoader([True, 2, 0.5], batch_size=3)))
    assert batch.dtype == np.float64
    assert batch.tolist() == [1, 2, 0.5]


def test_a_list_of_pairs_is_a_sequence_of_samples():
    x, y = next(iter(DataLoader([(np.ones(2), 0), (np.zeros(2), 1)], batch_size=2)))
    assert x.shape == (2, 2)
    assert y.tolist() == [0, 1]


def test_a_list_of_arrays_is_a_tree():
    x, y = next(iter(DataLoader([np.ones((3, 2)), np.arange(3)], batch_size=2)))
    assert x.shape == (2, 2)
    assert y.tolist() == [0, 1]


@pytest.mark.parametrize("dataset", [np.arange(3), Items([0, 1, 2])], ids=["tree", "items"])
def test_collate_gets_the_samples(dataset):
    loader = DataLoader(dataset, batch_size=2, collate=lambda samples: [int(s) for s in samples])
    assert list(loader) == [[0, 1], [2]]


# Order


def test_the_order_is_the_same_on_every_machine():
    loader = DataLoader(np.arange(8), batch_size=8, shuffle=True, seed=7)
    assert taken(loader, 2) == [[4, 3, 6, 2, 1, 0, 5, 7], [7, 6, 1, 4, 3, 2, 5, 0]]


def test_each_epoch_is_a_permutation_of_its_own():
    loader = DataLoader(np.arange(100), batch_size=100, shuffle=True)
    first, second = taken(loader, 2)
    assert sorted(first) == sorted(second) == list(range(100))
    assert first != second
    assert first != list(range(100))


def test_the_order_depends_on_the_seed():
    orders = [
        taken(DataLoader(np.arange(50), batch_size=50, shuffle=True, seed=seed), 1)
        for seed in (0, 1, 0)
    ]
    assert orders[0] != orders[1]
    assert orders[0] == orders[2]


def test_every_place_is_as_likely():
    n, epochs = 6, 3000
    loader = DataLoader(np.arange(n), batch_size=n, shuffle=True)
    counts = np.zeros((n, n))
    for order in taken(loader, epochs):
        counts[np.arange(n), order] += 1
    deviation = (counts - epochs / n) / np.sqrt(epochs * (1 / n) * (1 - 1 / n))
    assert np.abs(deviation).max() < 4


# The cursor


def test_a_loop_continues_where_the_last_one_broke_off():
    loader = DataLoader(np.arange(6), batch_size=2)
    for _ in loader:
        break
    assert (loader.epoch, loader.batch) == (0, 1)
    assert [batch.tolist() for batch in loader] == [[2, 3], [4, 5]]
    assert (loader.epoch, loader.batch) == (1, 0)
    assert len(list(loader)) == 3


def test_after_the_last_batch_the_cursor_is_in_the_next_epoch():
    loader = DataLoader(np.arange(4), batch_size=2)
    for batch in loader:
        if batch[0] == 2:
            break
    assert loader.state_dict()["epoch"] == 1
    assert loader.state_dict()["batch"] == 0


@settings(derandomize=True, max_examples=80, deadline=None)
@given(
    samples=st.integers(1, 12),
    batch_size=st.integers(1, 5),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    before=st.integers(0, 15),
)
def test_resuming_equals_going_on(samples, batch_size, shuffle, drop_last, before):
    def make():
        size = min(batch_size, samples)
        return DataLoader(np.arange(samples), size, shuffle=shuffle, seed=3, drop_last=drop_last)

    whole = taken(make(), before + 7)
    first, second = make(), make()
    assert taken(first, before) == whole[:before]
    second.load_state_dict(first.state_dict())
    assert taken(second, 7) == whole[before:]
    assert taken(first, 7) == whole[before:]


def test_the_state_is_a_dictionary_of_integers():
    loader = DataLoader(np.arange(10), batch_size=4, shuffle=True, seed=5)
    next(iter(loader))
    assert loader.state_dict() == {
        "epoch": 0,
        "batch": 1,
        "seed": 5,
        "length": 10,
        "batch_size": 4,
        "shuffle": 1,
        "drop_last": 0,
    }
    assert {type(value) for value in loader.state_dict().values()} == {int}


def test_a_state_of_numpy_integers():
    loader = DataLoader(np.arange(10), batch_size=4)
    loader.load_state_dict(
        {name: np.int64(v) for name, v in loader.state_dict().items()} | {"batch": 2}
    )
    assert next(iter(loader)).tolist() == [8, 9]
    assert type(loader.state_dict()["epoch"]) is int


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "got seed 1 instead of 0. Make"),
        ({"length": 11}, "got length 11 instead of 10"),
        ({"batch_size": 5}, "got batch_size 5 instead of 4"),
        ({"shuffle": 1}, "got shuffle 1 instead of 0"),
        ({"drop_last": 1}, "got drop_last 1 instead of 0"),
        ({"seed": 1, "length": 11}, "got seed 1 instead of 0, length 11 instead of 10"),
        ({"batch": 3}, "got batch 3 instead of an integer from 0 to 2"),
        ({"batch": -1}, "got batch -1 instead of an integer from 0 to 2"),
        ({"batch": 1.0}, "got batch 1.0 instead of an integer from 0 to 2"),
        ({"epoch": -1}, "got epoch -1 instead of an integer from 0. Make"),
        ({"epoch": "1"}, "got epoch '1' instead of an integer from 0. Make"),
        ({"step": 1}, "got an unknown step"),
    ],
)
def test_a_state_that_does_not_fit(change, message):
    loader = DataLoader(np.arange(10), batch_size=4)
    next(iter(loader))
    before = loader.state_dict()
    with pytest.raises(LoadError, match="must be one of this loader; " + message):
        loader.load_state_dict(before | change)
    assert loader.state_dict() == before


def test_a_state_without_an_entry():
    loader = DataLoader(np.arange(10))
    with pytest.raises(LoadError, match="got no epoch, no seed, no length, no batch_size, no "):
        loader.load_state_dict({"batch": 0})


def test_two_loops_at_a_time():
    loader = DataLoader(np.arange(6), batch_size=2)
    first = iter(loader)
    assert next(first).tolist() == [0, 1]
    second = iter(loader)
    assert next(second).tolist() == [2, 3]
    with pytest.raises(VoltaError, match="one loop at a time must run over a loader; got a loop"):
        next(first)
    assert [batch.tolist() for batch in second] == [[4, 5]]


def test_a_loop_does_not_survive_a_move_of_the_cursor():
    loader = DataLoader(np.arange(6), batch_size=2)
    loop = iter(loader)
    next(loop)
    loader.load_state_dict(loader.state_dict())
    with pytest.raises(VoltaError, match=r"or the cursor was moved. Make a loader for each loop"):
        next(loop)


def test_a_sample_that_fails_is_tried_again():
    class Flaky(Items):
        fails = True

        def __getitem__(self, index):
            if self.fails and index == 2:
                raise OSError
            return super().__getitem__(index)

    dataset = Flaky([0, 1, 2, 3])
    loader = DataLoader(dataset, batch_size=2)
    with pytest.raises(OSError):  # noqa: PT011  # raised above, without a message
        list(loader)
    dataset.fails = False
    assert [batch.tolist() for batch in loader] == [[2, 3]]


# What is refused


@pytest.mark.parametrize(
    ("dataset", "options", "error", "message"),
    [
        (
            {"x": np.ones((3, 2)), "y": np.ones(4)},
            {},
            ShapeError,
            r"all arrays must have one length; got 3 at \['x'\] and 4 at \['y'\]",
        ),
        (np.ones((0, 2)), {}, ShapeError, "the dataset must not be empty; got no samples"),
        ((), {}, ShapeError, "the dataset must not be empty"),
        ([], {}, ShapeError, "the dataset must not be empty"),
        (Items([]), {}, ShapeError, "the dataset must not be empty"),
        (np.float64(1), {}, ShapeError, r"must have a first axis; got shape \(\) at the top"),
        (
            (np.ones(3), [1, 2, 3]),
            {},
            DTypeError,
            r"the leaves of the dataset must be arrays; got int at \[1\]\[0\]. Make it an array",
        ),
        (3, {}, TypeError, "must be a tree of arrays or have __len__ and __getitem__; got int"),
        (iter([1]), {}, TypeError, "got list_iterator. Put what it holds into a list"),
        ("text", {}, TypeError, "have __len__ and __getitem__; got str"),
        (np.ones(3), {"batch_size": 0}, ValueError, "batch_size must be .* at least 1; got 0"),
        (np.ones(3), {"batch_size": 1.5}, ValueError, "batch_size must be .* at least 1; got 1.5"),
        (np.ones(3), {"seed": -1}, ValueError, "seed must be an integer of at least 0; got -1"),
        (
            np.ones(3),
            {"batch_size": 4, "drop_last": True},
            ValueError,
            "drop_last must leave a batch; got 3 samples and batch_size=4. Make the batches",
        ),
    ],
)
def test_what_no_loader_is_made_of(dataset, options, error, message):
    with pytest.raises(error, match="^DataLoader: (the dataset )?(arrays )?.*" + message):
        DataLoader(dataset, **options)


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        (
            [(1, 2), (1, 2, 3)],
            ShapeError,
            r"all samples must have one structure; got PyTreeSpec\(\(\*, \*\).* and PyTreeSpec",
        ),
        (
            [{"x": np.ones(2), "y": 0}, {"x": np.ones(3), "y": 0}],
            ShapeError,
            r"must have one library, dtype and shape; got numpy float64 \(2,\) and numpy float64 "
            r"\(3,\) at \['x'\]. Pass collate=",
        ),
        (
            Items([np.ones(2), np.ones(2, np.float32)]),
            ShapeError,
            r"got numpy float32 \(2,\) and numpy float64 \(2,\) at the top",
        ),
        (
            Items([np.ones(2), array_api_strict.ones(2)]),
            ShapeError,
            r"got array_api_strict .* and numpy float64 \(2,\) at the top",
        ),
        (
            [(np.ones(2), "a"), (np.ones(2), "b")],
            DTypeError,
            r"must be all arrays or all numbers; got str at \[1\]. Pass collate=",
        ),
        (Items([np.ones(()), 1.0]), DTypeError, "got float, ndarray at the top"),
    ],
)
def test_samples_that_do_not_stack(samples, error, message):
    with pytest.raises(error, match="^DataLoader: .*" + message):
        next(iter(DataLoader(samples, batch_size=2)))


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
    with pytest.raises(error, match="^train_test_split: " + message):
        train_test_split(np.arange(4), **({"seed": 0} | options))


def test_a_split_of_uneven_arrays():
    with pytest.raises(ShapeError, match=r"^train_test_split: all arrays must have one length"):
        train_test_split((np.ones(3), np.ones(4)), test_size=1, seed=0)
