"""Programs: what runs of them share, in memory and in what binds it."""

import numpy as np
import pytest

from volta.core.types import DTYPES
from volta.wgpu.launch import View, Writer
from volta.wgpu.program import Program

COUNT = 100_000
STEPS = 10


def chain(device):
    """A program of launches each of which adds 1 to what the one before has made."""
    writer = Writer(device)
    x = View(0, DTYPES["float32"], (COUNT,), (1,))
    for step in range(STEPS):
        y = View(1, x.dtype, x.shape, x.strides) if step == STEPS - 1 else writer.scratch(*x[1:3])
        body = "let i = group * 64u + lane;\nif i < p.count { y[p.y_0 + i] = x[p.x_0 + i] + 1.0; }"
        writer.launch(
            "increment",
            body,
            reads={"x": x},
            writes={"y": y},
            params={"count": COUNT},
            groups=-(-COUNT // 64),
        )
        x = y
    return Program(device.queue, writer.launches, {1: 4 * COUNT, **writer.sizes}, [1])


@pytest.fixture
def groups(device, monkeypatch):
    """Bind groups that were made."""
    made, group = [], device.queue.native.group
    monkeypatch.setattr(
        device.queue.native, "group", lambda *args: made.append(args) or group(*args)
    )
    return made


def test_what_is_read_no_more_has_its_memory_used_again(device):
    program = chain(device)
    x = device.queue.write(np.zeros(COUNT, np.float32))
    before = device.memory.allocations

    out = program.run({0: x})

    assert device.memory.allocations - before == 3  # the result and two in turn
    np.testing.assert_array_equal(device.queue.read(out[1]).view(np.float32), STEPS)


def test_later_runs_bind_nothing_anew(device, groups):
    program, queue = chain(device), device.queue
    x = queue.write(np.zeros(COUNT, np.float32))
    for _ in range(4):  # the pool comes to give out the same buffers
        queue.read(program.run({0: x})[1])
    bound = len(groups)

    for _ in range(20):
        queue.read(program.run({0: x})[1])

    assert len(groups) == bound


def test_a_run_on_other_buffers_reads_these(device):
    program, queue = chain(device), device.queue
    for first in range(40):
        x = queue.write(np.full(COUNT, first, np.float32))
        found = queue.read(program.run({0: x})[1]).view(np.float32)
        np.testing.assert_array_equal(found, first + STEPS)


def test_bind_groups_keep_no_memory_from_being_freed(device, groups):
    program, queue = chain(device), device.queue
    x = queue.write(np.zeros(COUNT, np.float32))
    queue.read(program.run({0: x})[1])
    device.synchronize()
    bound = len(groups)
    assert device.memory.cached

    with queue.lock:
        queue.pool.trim()

    assert not any(ready.groups for ready in program._ready)
    np.testing.assert_array_equal(queue.read(program.run({0: x})[1]).view(np.float32), STEPS)
    assert len(groups) == bound + STEPS


def test_many_launches_are_submitted_together(device):
    program, queue = chain(device), device.queue
    x = queue.write(np.zeros(COUNT, np.float32))
    before = device.counts
    for _ in range(7):
        x = program.run({0: x})[1]
    after = device.counts
    assert after.kernels - before.kernels == 7 * STEPS
    assert after.submissions - before.submissions == 1
    np.testing.assert_array_equal(queue.read(x).view(np.float32), 7 * STEPS)


def test_a_program_may_go_before_it_has_run(device):
    program, queue = chain(device), device.queue
    x = queue.write(np.zeros(COUNT, np.float32))
    out = program.run({0: x})[1]
    nbytes = program._parameters.size
    del program
    others = [queue.write(np.zeros(nbytes, np.uint8)) for _ in range(2)]
    np.testing.assert_array_equal(queue.read(out).view(np.float32), STEPS)
    assert not any(queue.read(b).any() for b in others)
