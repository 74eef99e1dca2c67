"""The order of batches, the cursor, and workers."""

import subprocess
import sys
import threading
import time

import array_api_strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volta.core import tree
from volta.core.context import default_dtype
from volta.core.errors import DimensionError, DTypeError, LoadError, ShapeError, VoltaError
from volta.data import DataLoader
from volta.data.workers import THREADS


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


# Batches by other rules


def test_samples_as_they_are():
    assert [s.tolist() for s in DataLoader(np.arange(4).reshape(2, 2), None)] == [[0, 1], [2, 3]]
    words = DataLoader(["a", "b", "c"], batch_size=None, shuffle=True, seed=1, transform=str.upper)
    assert sorted(words) == ["A", "B", "C"]
    assert len(words) == 3


def test_what_is_given_is_transformed():
    loader = DataLoader(rows(3), batch_size=2, transform=lambda batch: batch["y"] * 10)
    assert [batch.tolist() for batch in loader] == [[0, 10], [20]]


def test_batches_in_the_order_of_a_sampler():
    loader = DataLoader(np.arange(5), batch_size=2, sampler=[4, 4, 0])
    assert len(loader) == 2
    assert taken(loader, 4) == [[4, 4], [0], [4, 4], [0]]
    assert loader.state_dict()["length"] == 3


def test_batches_by_a_batch_sampler():
    loader = DataLoader(np.arange(5), batch_sampler=[[3], [0, 1, 4], np.asarray([2, 2])])
    assert len(loader) == 3
    assert taken(loader, 3) == [[3], [0, 1, 4], [2, 2]]
    next(iter(loader))
    state = loader.state_dict()
    other = DataLoader(np.arange(5), batch_sampler=[[3], [0, 1, 4], [2, 2]])
    other.load_state_dict(state)
    assert taken(other, 3) == [[0, 1, 4], [2, 2], [3]]


class Told(list):
    """A sampler or dataset that takes the epoch."""

    def set_epoch(self, epoch):
        self[:] = [(i + epoch) % len(self) for i in range(len(self))]


@pytest.mark.parametrize("role", ["sampler", "batch_sampler", "dataset"])
def test_the_epoch_is_told_when_a_loop_begins(role):
    def make():
        if role == "dataset":
            return DataLoader(Told([0, 0, 0]))
        indices = Told([0, 0, 0]) if role == "sampler" else Batches([0, 0, 0])
        return DataLoader(np.arange(3), **{role: indices})

    class Batches(Told):
        def __iter__(self):
            return ([i] for i in super().__iter__())

    loader, other = make(), make()
    whole = taken(loader, 7)
    assert whole == [[0], [1], [2], [1], [2], [0], [2]]
    first = taken(other, 4)
    resumed = make()
    resumed.load_state_dict(other.state_dict())
    assert first + taken(resumed, 3) == whole


# Datasets that are iterated


class Stream:
    """Numbers that begin anew, and how many were read."""

    def __init__(self, n):
        self.n, self.read, self.epochs = n, 0, []

    def __iter__(self):
        for i in range(self.n):
            self.read += 1
            yield i

    def set_epoch(self, epoch):
        self.epochs.append(epoch)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"batch_size": 2}, [[0, 1], [2, 3], [4]]),
        ({"batch_size": 2, "drop_last": True}, [[0, 1], [2, 3]]),
        ({"batch_size": 5, "drop_last": True}, [[0, 1, 2, 3, 4]]),
        ({"batch_size": 9, "collate": list, "transform": np.asarray}, [[0, 1, 2, 3, 4]]),
    ],
)
def test_batches_of_a_stream(options, wanted, workers):
    loader = DataLoader(Stream(5), workers=workers, **options)
    for epoch in (0, 1):
        assert (loader.epoch, loader.batch) == (epoch, 0)
        assert [batch.tolist() for batch in loader] == wanted
    assert loader.dataset.epochs == [0, 1]


def test_samples_of_a_stream_as_they_are():
    assert list(DataLoader(Stream(3), batch_size=None)) == [0, 1, 2]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("stop", [0, 1, 2, 3])
def test_a_stream_is_resumed(stop, workers):
    loader, other = (DataLoader(Stream(5), batch_size=2, workers=workers) for _ in range(2))
    for number, _ in enumerate(loader, 1):
        if number == stop:
            break
    other.load_state_dict(loader.state_dict())
    wanted = [[0, 1], [2, 3], [4]][stop:]
    for resumed in (loader, other):
        if stop:
            assert [batch.tolist() for batch in resumed] == wanted
        assert (resumed.epoch, resumed.batch) == (1, 0)
        assert len(list(resumed)) == 3


def test_the_length_of_a_stream_is_its_own():
    stream = Stream(5)
    with pytest.raises(
        TypeError, match=r"^DataLoader: a dataset that is iterated must have __len__"
    ):
        len(DataLoader(stream))
    assert len(list(DataLoader(stream))) == 5
    stream.__class__ = type("Sized", (Stream,), {"__len__": lambda self: self.n})
    assert len(DataLoader(stream, batch_size=2)) == 3


def test_a_stream_without_a_batch():
    for loader in (DataLoader(Stream(0)), DataLoader(Stream(3), batch_size=4, drop_last=True)):
        with pytest.raises(ShapeError, match="the dataset must not be empty"):
            list(loader)


def test_a_stream_shorter_than_the_cursor():
    loader = DataLoader(Stream(6), batch_size=2)
    taken(loader, 2)
    shorter = DataLoader(Stream(2), batch_size=2)
    shorter.load_state_dict(loader.state_dict())
    with pytest.raises(ShapeError, match=r"must have the samples .* got 2 of them, before batch 2"):
        list(shorter)


def test_a_stream_of_torch():
    data = pytest.importorskip("torch.utils.data")

    class Numbers(data.IterableDataset):
        def __iter__(self):
            return iter(range(3))

    assert [b.tolist() for b in DataLoader(Numbers(), batch_size=2)] == [[0, 1], [2]]


def test_a_dataset_of_torch():
    torch = pytest.importorskip("torch")
    dataset = torch.utils.data.TensorDataset(torch.arange(3.0), torch.arange(3))
    x, y = next(iter(DataLoader(dataset, batch_size=3, shuffle=True, workers=2)))
    assert x.tolist() == y.tolist()
    assert sorted(y.tolist()) == [0, 1, 2]


# Workers


class Slow(Items):
    """Samples of which the first of each batch is ready last; says which threads read."""

    def __init__(self, items, fails=()):
        super().__init__(items)
        self.fails, self.threads, self.most, self.delay = fails, set(), -1, 0.002

    def __getitem__(self, index):
        self.threads.add(threading.current_thread().name)
        self.most = max(self.most, index)
        time.sleep(self.delay * (3 - index % 4))
        if index in self.fails:
            msg = f"sample {index} is broken"
            raise OSError(msg)
        return super().__getitem__(index)


def threads():
    return [t for t in threading.enumerate() if t.name.startswith(THREADS)]


def until(holds):
    """Wait until `holds()`, for ten seconds at most."""
    end = time.monotonic() + 10
    while not holds() and time.monotonic() < end:
        time.sleep(0.005)
    return holds()


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("shuffle", [False, True])
def test_workers_change_no_batch(workers, shuffle):
    options = {"batch_size": 3, "shuffle": shuffle, "seed": 4}
    dataset = Slow(list(range(20)))
    loader = DataLoader(dataset, workers=workers, **options)
    assert taken(loader, 10) == taken(DataLoader(range(20), **options), 10)
    assert len(dataset.threads) <= workers
    assert threading.current_thread().name not in dataset.threads


@settings(derandomize=True, max_examples=25, deadline=None)
@given(
    samples=st.integers(1, 12),
    batch_size=st.integers(1, 5),
    workers=st.integers(1, 3),
    prefetch=st.integers(1, 3),
    before=st.integers(0, 9),
)
def test_resuming_with_workers_equals_going_on(samples, batch_size, workers, prefetch, before):
    options = {"batch_size": batch_size, "shuffle": True, "seed": 3}
    whole = taken(DataLoader(np.arange(samples), **options), before + 4)
    options |= {"workers": workers, "prefetch": prefetch}
    first, second = (DataLoader(np.arange(samples), **options) for _ in range(2))
    assert taken(first, before) == whole[:before]
    second.load_state_dict(first.state_dict())
    assert taken(second, 4) == whole[before:]


@pytest.mark.parametrize(("workers", "prefetch"), [(1, 1), (2, 3)])
def test_no_more_is_read_ahead_than_said(workers, prefetch):
    dataset = Slow(list(range(40)))
    loop = iter(DataLoader(dataset, workers=workers, prefetch=prefetch))
    for number in range(3):
        next(loop)
        ahead = number + workers * prefetch
        assert until(lambda ahead=ahead: dataset.most == ahead)
        time.sleep(0.02)
        assert dataset.most == ahead


def test_nothing_is_read_ahead_without_workers():
    dataset = Slow(list(range(9)))
    loop = iter(DataLoader(dataset, batch_size=2))
    next(loop)
    assert dataset.most == 1


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_an_error_comes_at_its_turn_with_its_sample_and_traceback(workers):
    loader = DataLoader(Slow(list(range(12)), fails=(7, 9)), batch_size=2, workers=workers)
    given = []
    with pytest.raises(OSError, match=r"^sample 7 is broken") as raised:
        given.extend(batch.tolist() for batch in loader)
    assert given == [[0, 1], [2, 3], [4, 5]]
    assert raised.value.__notes__ == ["raised by sample 7 of Slow"]
    assert raised.traceback[-1].name == "__getitem__"
    assert (loader.epoch, loader.batch) == (0, 3)
    loader.dataset.fails = ()
    assert next(iter(loader)).tolist() == [6, 7]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_a_stream(workers):
    class Broken(Stream):
        def __iter__(self):
            yield from super().__iter__()
            raise OSError

    loader = DataLoader(Broken(3), batch_size=2, workers=workers)
    loop = iter(loader)
    assert next(loop).tolist() == [0, 1]
    with pytest.raises(OSError) as raised:  # noqa: PT011  # raised above, without a message
        next(loop)
    assert raised.value.__notes__ == ["raised by Broken after 3 samples"]


def dropped(loop):
    del loop


def broken_off(loop):
    for _ in loop:
        break


def closed(loop):
    next(loop)
    loop.close()


def exhausted(loop):
    list(loop)


@pytest.mark.parametrize("end", [dropped, broken_off, closed, exhausted])
def test_workers_end_with_the_loop(end):
    assert until(lambda: not threads())
    dataset = Slow(list(range(12)))
    loop = iter(DataLoader(dataset, workers=2))
    next(loop)
    assert 1 <= len(threads()) <= 2
    end(loop)
    del loop
    assert until(lambda: not threads())
    assert dataset.most < 12 if end is exhausted else dataset.most <= 6


def test_workers_end_with_an_error():
    assert until(lambda: not threads())
    with pytest.raises(OSError, match="broken"):
        list(DataLoader(Slow(list(range(9)), fails=[2]), workers=2))
    assert until(lambda: not threads())


def test_what_has_not_begun_when_the_loop_ends_is_not_read():
    dataset = Slow(list(range(20)))
    dataset.delay = 0.03
    loop = iter(DataLoader(dataset, workers=1, prefetch=8))
    next(loop)
    loop.close()
    assert until(lambda: not threads())
    assert dataset.most <= 3


def test_workers_end_with_a_loop_that_another_has_replaced():
    assert until(lambda: not threads())
    loader = DataLoader(Slow(list(range(20))), workers=1)
    loop = iter(loader)
    next(loop)
    iter(loader)
    with pytest.raises(VoltaError, match="one loop at a time") as raised:
        next(loop)
    assert until(lambda: not threads())
    assert raised.traceback  # which holds the loop's frame


def test_workers_see_the_context_of_the_loop():
    with default_dtype("float64"):
        batches = list(DataLoader([0.5, 1.5, 2.5], workers=2))
    assert {batch.dtype.name for batch in batches} == {"float64"}


def test_the_interpreter_ends_while_workers_read():
    program = (
        "import time, volta.data\n"
        "def slow(samples):\n    time.sleep(0.05)\n    return samples\n"
        "loop = iter(volta.data.DataLoader([0] * 1000, collate=slow, workers=2))\n"
        "print(next(loop))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0]\n", "")


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
        ({"a", "b"}, {}, TypeError, "got set. Put what it holds into a list"),
        ("text", {}, TypeError, "have __len__ and __getitem__; got str"),
        (np.ones(3), {"batch_size": 0}, ValueError, "batch_size must be .* at least 1; got 0"),
        (np.ones(3), {"batch_size": 1.5}, ValueError, "batch_size must be .* at least 1; got 1.5"),
        (np.ones(3), {"seed": -1}, ValueError, "seed must be an integer of at least 0; got -1"),
        (np.ones(3), {"workers": -1}, ValueError, "workers must be .* at least 0; got -1"),
        (np.ones(3), {"prefetch": 0}, ValueError, "prefetch must be .* at least 1; got 0"),
        (
            np.ones(3),
            {"shuffle": True, "sampler": [0]},
            ValueError,
            "shuffle must be False with a sampler, which shuffles; got batch_size=1, shuffle=True",
        ),
        (
            np.ones(3),
            {"batch_size": 2, "batch_sampler": [[0]]},
            ValueError,
            "a batch_sampler must be alone, without batch_size .* batch_sampler=list",
        ),
        (np.ones(3), {"sampler": [0], "batch_sampler": [[0]]}, ValueError, "sampler must be alone"),
        (
            np.ones(3),
            {"batch_size": None, "drop_last": True},
            ValueError,
            "drop_last must be False without a batch_size; got shuffle=False, drop_last=True",
        ),
        (
            np.ones(3),
            {"batch_size": None, "collate": list},
            ValueError,
            "collate must be None without a batch_size",
        ),
        (Stream(3), {"shuffle": True}, ValueError, "shuffle must be False for a dataset that is"),
        (Stream(3), {"sampler": [0]}, ValueError, "a sampler must have a dataset that is indexed"),
        (Stream(3), {"batch_sampler": [[0]]}, ValueError, "must have a dataset that is indexed"),
        (Stream(3), {"workers": 2}, ValueError, "workers must be 0 or 1 for a .* workers=2"),
        (np.ones(3), {"sampler": []}, ValueError, "an epoch must have a batch; .* sampler=list"),
        (
            np.ones(3),
            {"batch_size": 4, "drop_last": True},
            ValueError,
            "an epoch must have a batch; got batch_size=4, .* drop_last=True, .* Make the batches",
        ),
    ],
)
def test_what_no_loader_is_made_of(dataset, options, error, message):
    with pytest.raises(error, match="^DataLoader: (the dataset )?(arrays )?.*" + message):
        DataLoader(dataset, **options)


class Lying(list):
    def __len__(self):
        return 3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sampler": [0, 3]}, DimensionError, "indices of sampler must be from 0 to 2; got 3"),
        ({"sampler": [-1]}, DimensionError, "indices of sampler must be from 0 to 2; got -1"),
        ({"sampler": [0.5]}, DTypeError, "indices of sampler must be .* integers; got float64"),
        ({"sampler": Lying([0])}, ShapeError, "sampler must give as many .*; got 1 instead of 3"),
        ({"batch_sampler": [[3]]}, DimensionError, "indices of batch_sampler must be .* got 3"),
        ({"batch_sampler": [0]}, DTypeError, r"indices of batch_sampler .* of shape \(\)"),
        ({"batch_sampler": Lying([[0]])}, ShapeError, "batch_sampler must give .* got 1 instead"),
    ],
)
def test_orders_that_do_not_fit(options, error, message):
    with pytest.raises(error, match=f"^DataLoader: {message}"):
        list(DataLoader(np.arange(3), **options))
