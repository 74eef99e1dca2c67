"""Work for a device: its order, copies, and how much is under way."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from wgpu_kernels import ADD, SLOW, apply

from volta.wgpu.queue import Counts


@pytest.fixture
def queue(device):
    return device.queue


@pytest.fixture
def add(queue):
    return queue.native.pipeline(ADD, ["read", "write"], "add")


def floats(queue, buffer):
    return queue.read(buffer).view(np.float32)


SIZES = [0, 1, 2, 3, 4, 5, 255, 256, 257, 65_535, 65_537, (1 << 24) - 1, (1 << 24) + 3, 40_000_001]


@pytest.mark.parametrize("nbytes", SIZES)
def test_bytes_come_back(queue, nbytes):
    data = np.random.default_rng(nbytes).integers(0, 256, nbytes, dtype=np.uint8)
    found = queue.read(queue.write(data))
    np.testing.assert_array_equal(found, data)
    assert queue.counts.reads == queue.counts.writes == (1 if nbytes else 0)


@pytest.mark.parametrize(
    "data", [np.arange(12.0).reshape(3, 4).T, np.float64(3), np.arange(9)[::-2]]
)
def test_arrays_are_written_in_row_major_order(queue, data):
    found = queue.read(queue.write(data)).view(data.dtype)
    np.testing.assert_array_equal(found, data.ravel())


def test_kernels_take_effect_in_their_order(queue, add):
    x = queue.write(np.zeros(64, np.float32))
    y = queue.take(256)
    for _ in range(500):
        apply(queue, add, x, out=y)
        apply(queue, add, y, out=x)
    np.testing.assert_array_equal(floats(queue, x), 1000)
    found = queue.counts
    assert found == Counts(kernels=1000, submissions=-(-1001 // 64), writes=1, reads=1)


def test_copies_take_effect_in_their_order(queue, add):
    x = queue.write(np.zeros(64, np.float32))
    y = queue.take(256)
    for _ in range(100):
        queue.copy(apply(queue, add, x), y)
        queue.copy(y, x)
    np.testing.assert_array_equal(floats(queue, x), 100)
    assert queue.counts.copies == 200


def test_the_host_does_not_overtake_what_is_recorded(queue, add):
    x = apply(queue, add, queue.write(np.zeros(64, np.float32)))  # of a kernel, so not fresh
    handle = x.handle
    y = apply(queue, add, x)
    queue._kept.clear()  # as if it were bound by a program that is run again and again
    del x
    written = queue.write(np.full(64, 100, np.float32))
    assert written.handle is handle
    np.testing.assert_array_equal(floats(queue, y), 2)
    np.testing.assert_array_equal(floats(queue, written), 100)


def test_no_more_is_under_way_than_may_be(queue, device):
    slow = queue.native.pipeline(SLOW, ["read", "write"], "slow")
    x = queue.write(np.zeros(64, np.float32))
    most = 1 if device.kind == "cpu" else 2
    for _ in range(5):
        apply(queue, slow, x, groups=10)
        queue.submit()
        assert queue._sent - queue._done <= most
    assert queue.is_busy
    device.synchronize()
    assert not queue.is_busy


def test_many_copies_from_the_host_do_not_pile_up(queue):
    kept = [queue.write(np.full(3, n, np.float32)) for n in range(1000)]
    assert queue.counts.submissions == 1000 // 64
    assert [floats(queue, b)[2] for b in kept[::100]] == [*range(0, 1000, 100)]
    before = queue.counts.submissions
    big = [queue.write(np.full(1 << 23, n, np.float32)) for n in range(3)]
    assert queue.counts.submissions == before + 1
    assert [floats(queue, b)[-1] for b in big] == [0, 1, 2]


def test_what_the_host_wrote_is_waited_for(queue):
    held = queue.write(np.zeros(64, np.float32))
    before = queue.counts.submissions
    queue.finish()
    assert queue.counts.submissions == before + 1
    queue.finish()
    assert queue.counts.submissions == before + 1
    np.testing.assert_array_equal(floats(queue, held), 0)


def test_threads_share_a_device(queue, add):
    def work(n):
        x = queue.write(np.full(64, n, np.float32))
        for _ in range(50):
            x = apply(queue, add, x)
        (found,) = set(floats(queue, x))
        return found

    with ThreadPoolExecutor(8) as pool:
        np.testing.assert_array_equal([*pool.map(work, range(8))], np.arange(8) + 50)
    assert queue.counts.kernels == 400
