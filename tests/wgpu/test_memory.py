"""Memory of a device: what is used again, the limit, and what an error tells."""

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from wgpu_kernels import ADD, apply

import volta
from volta.wgpu.memory import size_class

MIB = 1 << 20


@pytest.mark.parametrize("start", [0, 200, 65_000, 65_536, 130_000, MIB - 3, 100 * MIB, 1 << 31])
def test_sizes_are_few_and_waste_little(start):
    sizes = [size_class(n) for n in range(start, start + 2000)]
    assert sizes == sorted(sizes)
    for n, size in enumerate(sizes, start):
        assert size >= max(n, 256)
        assert size % 256 == 0
        assert size - n <= max(256, n / 8)
    if start >= 130_000:
        assert len(set(sizes)) <= 2


def test_what_nothing_refers_to_is_used_again(device):
    queue = device.queue
    first = queue.take(1000)
    handle = first.handle
    assert device.memory[:3] == (1024, 0, 1024)
    assert device.memory.buffers == 1
    del first
    assert device.memory[:3] == (0, 1024, 1024)
    again, other = queue.take(900), queue.take(900)
    assert again.handle is handle
    assert other.handle is not handle
    found = device.memory
    assert (found.in_use, found.cached, found.peak, found.buffers) == (2048, 0, 2048, 2)
    assert (found.allocations, found.reuses) == (2, 1)


def test_steps_take_no_more_memory_than_the_first(device):
    queue = device.queue
    add = queue.native.pipeline(ADD, ["read", "write"], "add")
    x = queue.write(np.zeros(1000, np.float32))
    for step in range(1000):
        x = apply(queue, add, apply(queue, add, x, groups=16), groups=16)
        if step == 50:  # what is recorded and not submitted keeps its buffers
            before = device.memory.allocations
    np.testing.assert_array_equal(queue.read(x).view(np.float32), 2000)
    assert device.memory.allocations == before
    device.synchronize()
    assert device.memory.in_use == size_class(x.nbytes)


@pytest.fixture
def limited(device):
    before = device.memory_limit
    yield device
    device.memory_limit = before


def test_the_limit_is_kept_and_the_error_tells_who_has_what(limited):
    limited.memory_limit = 10 * MIB
    queue = limited.queue
    kept = [queue.take(MIB) for _ in range(8)]
    kept.append(queue.take(MIB // 2))
    with pytest.raises(volta.DeviceError) as caught:
        queue.take(2 * MIB)
    message = str(caught.value)
    assert "2,097,152 bytes must be free; got 8,912,896 in use of at most 10,485,760" in message
    assert f"({kept[0].line}: 8,388,608, {kept[8].line}: 524,288)" in message
    assert kept[0].line.startswith("test_memory.py:")
    kept.pop(0)
    assert queue.take(2 * MIB).size == 2 * MIB
    limited.memory_limit = None
    assert queue.take(20 * MIB).size == 20 * MIB


def test_what_is_cached_makes_room(limited):
    limited.memory_limit = 10 * MIB
    queue = limited.queue
    for size in range(1, 10):
        assert queue.take(size * MIB).size == size * MIB
        assert limited.memory.peak <= 10 * MIB


def test_arrays_in_cycles_make_room(limited):
    limited.memory_limit = 10 * MIB
    queue = limited.queue
    cycle = [queue.take(6 * MIB)]
    cycle.append(cycle)
    del cycle
    assert queue.take(6 * MIB).size == 6 * MIB


def test_arrays_in_cycles_are_used_again(device):
    queue = device.queue
    cycle = [queue.take(512)]
    cycle.append(cycle)
    del cycle
    gc.collect()
    x = np.arange(128, dtype=np.float32)
    np.testing.assert_array_equal(queue.read(queue.write(x)).view(np.float32), x)
    assert device.memory.reuses


def test_pending_work_keeps_what_it_uses(limited):
    limited.memory_limit = 10 * MIB
    queue = limited.queue
    add = queue.native.pipeline(ADD, ["read", "write"], "add")
    x = queue.write(np.arange(MIB, dtype=np.float32))
    y = apply(queue, add, x, groups=MIB // 64)
    del x
    z = queue.take(4 * MIB)  # of the first buffer, after the kernel is submitted
    assert queue.counts.submissions == 1
    np.testing.assert_array_equal(queue.read(y).view(np.float32), np.arange(1, MIB + 1))
    assert z.size == 4 * MIB


def test_filling_it_again_and_again(limited):
    limited.memory_limit = 10 * MIB
    queue, random = limited.queue, np.random.default_rng(0)
    for _ in range(4):  # each ends with a search for garbage, which is long beside many tests
        kept = []
        while True:
            try:
                kept.append(queue.take(int(random.integers(1, 2 * MIB))))
            except volta.DeviceError:
                break
        assert limited.memory.in_use == sum(b.size for b in kept) > 8 * MIB
        assert limited.memory.peak <= 10 * MIB
    kept.clear()
    assert limited.memory.in_use == 0


def test_other_threads_give_memory_back(device):
    queue = device.queue

    def work(_):
        for n in range(300):
            queue.take(256 * (1 + n % 7))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    found = device.memory
    assert (found.in_use, found.buffers) == (0, 0)
    assert found.allocations + found.reuses == 8 * 300
    assert found.allocations <= 8 * 7


@pytest.mark.parametrize("limit", [-1, 1.5, "1", True])
def test_a_limit_is_a_number_of_bytes(device, limit):
    before = device.memory_limit
    with pytest.raises(volta.DeviceError, match=r"Device\.memory_limit: must be a number of bytes"):
        device.memory_limit = limit
    assert device.memory_limit == before
