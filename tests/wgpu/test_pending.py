"""Operations that are pending: what tells lists apart, what is stored, and when."""

import numpy as np
import pytest

import volta.functional as F
import volta.wgpu
from volta.core.errors import DimensionError
from volta.wgpu.pending import pending_of


@pytest.fixture
def x(device):
    return volta.wgpu.asarray(np.arange(16, dtype=np.float32).reshape(4, 4), device=device)


# Each is planned, then the other one, of as many operations, shapes and dtypes.
APART = {
    "parameters": (lambda x: F.sum(x + 1, axis=0), lambda x: F.sum(x + 1, axis=1)),
    "part": (lambda x: F.sqrt(F.exp(x))[:2], lambda x: F.sqrt(F.exp(x))[2:]),
    "step": (lambda x: F.sqrt(F.exp(x))[:4:2], lambda x: F.sqrt(F.exp(x))[:4:3]),
    "numbers": (lambda x: x * 2.0, lambda x: x * 3.0),
    "zeros": (lambda x: F.where(x > 1, x, 0.0), lambda x: F.where(x > 1, x, -0.0)),
    "operands": (lambda x: x - F.exp(x), lambda x: F.exp(x) - x),
    "layout": (lambda x: x.T + 1.0, lambda x: x + 1.0),
    "offset": (lambda x: x[1:3] + 1.0, lambda x: x[2:] + 1.0),
    "dtype": (lambda x: F.astype(x, "int32") + 1, lambda x: F.astype(x, "uint32") + 1),
}


@pytest.mark.parametrize("name", APART)
def test_lists_that_differ_are_planned_apart(x, name):
    for function in APART[name]:
        found, wanted = function(x).to_numpy(), function(x.to_numpy())
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
        np.testing.assert_array_equal(np.signbit(found), np.signbit(wanted))
        assert found.dtype == wanted.dtype


@pytest.mark.parametrize("order", [(True, False), (False, True)])
def test_the_same_list_with_other_results_is_planned_apart(x, order):
    def results(x, keep):
        y = x + 1.0
        z = F.exp(y)
        return [y, z] if keep else [z]

    for keep in order:
        pairs = zip(results(x, keep), results(x.to_numpy(), keep), strict=True)
        for found, wanted in pairs:
            np.testing.assert_allclose(found.to_numpy(), wanted, rtol=1e-6)


def test_what_no_array_refers_to_is_not_stored(x, device):
    before = device.memory
    y = F.exp((x + 1.0) * 2.0)
    x * 3.0
    y.to_numpy()
    after = device.memory
    taken = (after.allocations + after.reuses) - (before.allocations + before.reuses)
    assert taken == 2  # y, and the parameters of the kernel


def test_results_that_are_large_are_computed_at_once(x, device, monkeypatch):
    monkeypatch.setattr("volta.wgpu.pending._BYTES", 200)
    before = device.counts.kernels
    kept = [x + float(n) for n in range(3)]
    assert device.counts.kernels == before
    kept.append(x + 3.0)
    assert device.counts.kernels > before


def test_plans_that_were_used_last_are_kept(x, device, monkeypatch):
    monkeypatch.setattr("volta.wgpu.pending._PLANS", 2)
    plans = pending_of(device)._plans

    def added(count):
        sum([x] * count).to_numpy()
        return [*plans][-1]

    first, second = added(1), added(2)
    assert added(1) == first
    assert [*plans] == [second, first]
    third = added(3)
    assert [*plans] == [first, third]
    for start in range(3):
        x[start:].to_numpy()
    assert len(plans) == 2


def test_views_of_one_row_are_planned_as_rows(x, device):
    plans = pending_of(device)._plans
    row = volta.wgpu.asarray(x[:1].to_numpy(), device=device)
    (row + 1).to_numpy()
    count = len(plans)
    (x[:1] + 1).to_numpy()
    assert len(plans) == count


# Numbers that are in memory once ------------------------------------------------------------------


def test_numbers_of_the_same_bits_are_told_apart(device):
    for dtype, number in (("uint8", 255), ("int8", -1), ("bool", True), ("uint8", 1)):
        found = volta.wgpu.full((2, 2), number, dtype=dtype, device=device)
        assert (F.astype(found, "int32") + 0).tolist() == [[int(number)] * 2] * 2


def test_numbers_that_are_kept_are_not_too_many(device, monkeypatch):
    monkeypatch.setattr("volta.wgpu.pending._KEPT", 2048)
    for n in range(9):
        volta.wgpu.arange(100 + n, dtype="int32", device=device)
    device.synchronize()
    assert device.memory.in_use <= 2048 + 1024


# Rows by their numbers, of each of which an element is picked ------------------------------------

NUMBERS = {
    "all": lambda n: n[:, None],
    "of one axis": lambda n: n,
    "the first": lambda n: n[:4, None],
    "others": lambda n: n[1:5, None],
    "each second": lambda n: n[::2, None],
    "backwards": lambda n: n[::-1, None],
    "one": lambda n: F.broadcast_to(n[:1, None], (8, 1)),
    "all, spread": lambda n: F.broadcast_to(n[:, None], (8, 3)),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_elements_of_rows(device, name):
    x = np.arange(32, dtype=np.float32).reshape(8, 4)
    numbers = NUMBERS[name](np.arange(8, dtype=np.int32))
    columns = np.int32([3, 0, 2, 1, 1, 3, 0, 2])[: len(numbers)]
    columns = columns[:, None] if numbers.ndim == 2 else columns
    its = volta.wgpu.asarray(x, device=device)
    rows = NUMBERS[name](volta.wgpu.arange(8, dtype="int32", device=device))
    found = its[rows, volta.wgpu.asarray(columns, device=device)]
    np.testing.assert_array_equal(found.to_numpy(), x[numbers, columns])


@pytest.mark.parametrize("mode", ["set", "add", "multiply", "max", "min"])
def test_elements_of_rows_are_changed(device, mode):
    x = np.arange(32, dtype=np.float32).reshape(8, 4)
    columns = np.int32([3, 0, 2, 1, 1, 3, 0, 2])[:, None]
    values = np.full((8, 1), 9.0, np.float32)
    its, there, new = (volta.wgpu.asarray(a, device=device) for a in (x, columns, values))
    rows = volta.wgpu.arange(8, dtype="int32", device=device)[:, None]
    found = getattr(F.at(its)[rows, there], mode)(new)
    wanted = getattr(F.at(x)[np.arange(8)[:, None], columns], mode)(values)
    np.testing.assert_array_equal(found.to_numpy(), wanted)


def test_rows_without_elements_have_none_to_pick(device):
    x = volta.wgpu.zeros((8, 0), device=device)
    rows = volta.wgpu.arange(8, dtype="int32", device=device)[:, None]
    with pytest.raises(DimensionError, match="an index must be within its axis"):
        x[rows, rows * 0].to_numpy()


def test_numbers_that_begin_later_are_outside(device):
    x = volta.wgpu.zeros((8, 4), device=device) + 1
    rows = volta.wgpu.arange(9, dtype="int32", device=device)[1:, None]
    columns = volta.wgpu.asarray(np.zeros((8, 1), np.int32), device=device)
    with pytest.raises(DimensionError, match="an index must be within its axis"):
        x[rows, columns].to_numpy()


# What is not pending ------------------------------------------------------------------------------


def test_views_of_one_shape_are_read_apart(x):
    host = x.to_numpy()
    words = volta.wgpu.asarray(host.astype(np.int32), device=x.device)
    for view in (lambda x: x.T, lambda x: x[::-1], lambda x: x[:, ::-1]):
        np.testing.assert_array_equal(view(x).to_numpy(), view(host))
        np.testing.assert_array_equal(view(words).to_numpy(), view(host.astype(np.int32)))
    for view in (lambda x: x > 3, lambda x: (x > 3).T, lambda x: (x > 3)[::-1]):
        np.testing.assert_array_equal(volta.wgpu.nonzero(view(x)), np.nonzero(view(host)))
