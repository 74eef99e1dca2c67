"""Forecasts: operations against counts by hand, memory against what is measured."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

import volta
import volta.functional as F
from volta.core.primitive import REGISTRY
from volta.transforms import forecast as module


def cost(fun, *args):
    return volta.forecast(fun)(*args)


def ones(*shape, dtype=np.float64):
    return np.ones(shape, dtype)


Z = ones(3, 4, dtype=np.complex128)

COUNTED_BY_HAND = [
    (lambda x, y: x @ y, (ones(3, 4), ones(4, 5)), 2 * 3 * 5 * 4),
    (lambda x, y: x @ y, (ones(4), ones(4)), 2 * 4),
    (lambda x, y: x @ y, (ones(7, 3, 4), ones(4, 5)), 7 * 2 * 3 * 5 * 4),
    (lambda x: F.exp(x) + 1, (ones(3, 4),), 12 + 12),
    (lambda x, y: x * y, (ones(3, 4), ones(4)), 12),
    (lambda x: F.where(x > 0, x, 0.0), (ones(3, 4),), 12 + 12),
    (F.sum, (ones(3, 4),), 11),
    (lambda x: F.sum(x, axis=1), (ones(3, 4),), 3 * 3),
    (lambda x: F.mean(x, axis=0), (ones(3, 4),), 12),
    (lambda x: F.max(x, axis=1), (ones(3, 4),), 3 * 3),
    (lambda x: F.cumulative_sum(x, axis=1), (ones(3, 4),), 3 * 3),
    (lambda x: F.softmax(x, axis=1), (ones(3, 4),), 3 * (5 * 4 - 2)),
    (lambda x: F.log_softmax(x, axis=1), (ones(3, 4),), 3 * (5 * 4 - 1)),
    (F.fft.fft, (ones(8, dtype=np.complex128),), 5 * 8 * 3),
    (F.fft.fftn, (ones(4, 8, dtype=np.complex128),), 5 * 32 * 5),
    (F.fft.rfft, (ones(2, 16),), 2 * 5 * 16 * 4 // 2),
    (F.fft.irfft, (ones(9, dtype=np.complex128),), 5 * 16 * 4 // 2),
    (F.sort, (ones(2, 8),), 2 * 8 * 3),
    (F.linalg.cholesky, (np.eye(3),), 9),
    (F.linalg.cholesky, (np.broadcast_to(np.eye(3), (5, 3, 3)),), 5 * 9),
    (F.linalg.solve, (np.eye(3), ones(3, 2)), 18 + 36),
    (F.linalg.solve, (np.eye(3), ones(3)), 18 + 18),
    (F.linalg.inv, (np.eye(3),), 54),
    (F.linalg.eigvalsh, (np.eye(3),), 36),
    (F.linalg.svdvals, (ones(5, 3),), 2 * 5 * 9 + 2 * 27),
    (lambda z: z + z, (Z,), 2 * 12),
    (lambda z: z * z, (Z,), 6 * 12),
    (lambda z: F.exp(z), (Z,), 2 * 12),
    (lambda z: z @ z.T, (Z,), 8 * 3 * 3 * 4),
    (lambda x: F.reshape(x, (4, 3)).T[:, 1:], (ones(3, 4),), 0),
    (lambda x: F.concat([x, x])[np.asarray([0, 2])], (ones(3),), 0),
]


@pytest.mark.parametrize(("fun", "args", "flops"), COUNTED_BY_HAND)
def test_operations_are_those_counted_by_hand(fun, args, flops):
    found = cost(fun, *args)
    assert found.flops == flops
    assert found.notes == ()


def test_tables_name_primitives():
    for names in (module._FREE, module._FORMULAS, module._COMPLEX, module._COMPLEX_ALREADY):
        assert set(names) <= set(REGISTRY)
    assert set(module._PICKS) <= set(REGISTRY)


def test_what_has_no_formula_is_named():
    found = cost(F.linalg.pinv, ones(3, 2))
    assert found.notes == ("pinv: no formula, counted 1 an element",)
    assert found.flops == 6
    assert str(found).endswith("\n  pinv: no formula, counted 1 an element")


def test_traffic():
    assert cost(lambda x: F.exp(x), ones(10)).bytes_moved == 160
    assert cost(lambda x: F.exp(x.T), ones(2, 5)).bytes_moved == 160
    # an operand that was broadcast is read once; a gather reads what it takes
    assert cost(lambda x, y: x * y, ones(100, 10), ones(10)).bytes_moved == 2 * 8000 + 80
    indices = np.asarray([1, 2])
    assert cost(lambda x: x[indices], ones(1000)).bytes_moved == 16 + 16 + 16


def test_memory_follows_the_arrays():
    def chain(x):
        for _ in range(5):
            x = F.exp(x)
        return x

    assert cost(chain, ones(100)).peak_bytes == 1600
    assert cost(lambda x: (F.exp(x), F.sin(x), F.cos(x)), ones(100)).peak_bytes == 2400
    # views keep what they show
    assert cost(lambda x: F.exp(F.exp(x)[:2]), ones(100)).peak_bytes == 816
    assert cost(lambda x: x.T, ones(10, 10)).peak_bytes == 0


def test_sizes_of_inputs_and_results():
    weights = ones(7)
    found = cost(lambda x: {"a": F.sum(x * weights), "b": 2.0}, ones(7))
    assert (found.input_bytes, found.output_bytes) == (2 * 56, 8)
    assert found.operations == 2


def test_a_list_of_nothing():
    found = cost(lambda x: x, ones(3))
    assert (found.operations, found.flops, found.bytes_moved, found.peak_bytes) == (0, 0, 0, 0)
    assert found.lines == ()


# Programs inside ---------------------------------------------------------------------------------


def test_loops_count_their_steps():
    def fun(x):
        def step(c, _):
            c = F.exp(c)
            return c * 2.0, None

        return volta.scan(step, x, length=7)[0]

    found = cost(fun, ones(10))
    first = fun.__code__.co_firstlineno
    assert found.flops == 7 * 20
    assert {c.line.number - first: (c.operations, c.flops) for c in found.lines} == {
        5: (1, 0),
        2: (7, 70),
        3: (7, 70),
    }
    nested = cost(lambda x: volta.scan(lambda c, _: (fun(c), None), x, length=3)[0], ones(10))
    assert nested.flops == 3 * 7 * 20


def test_branches_count_the_one_that_costs_most():
    def fun(x):
        return volta.cond(F.sum(x) > 0, lambda x: F.exp(F.exp(x)), lambda x: x * 2.0, x)

    assert cost(fun, ones(10)).flops == 9 + 1 + 20  # sum, comparison, branch


def test_loops_of_unknown_length_are_named():
    def fun(x):
        return volta.while_loop(lambda c: F.sum(c) < 9.0, lambda c: c * 2.0, x)

    found = cost(fun, ones(5))
    assert found.notes == ("while_loop: counted as one step",)
    assert found.flops == 4 + 1 + 5


def test_checkpoints_and_rules_of_ones_own_are_looked_into():
    @volta.custom_jvp
    def twice(x):
        return F.exp(x) * 2.0

    twice.defjvp(lambda primals, tangents: (twice(*primals), tangents[0]))
    assert cost(twice, ones(5)).flops == 10
    assert cost(volta.checkpoint(lambda x: F.exp(x) * 2.0), ones(5)).flops == 10


# Gradients ---------------------------------------------------------------------------------------


def loss(params, x, y):
    for w, b in params[:-1]:
        x = F.tanh(x @ w + b)
    w, b = params[-1]
    return F.mean((x @ w + b - y) ** 2)


def problem(batch, sizes):
    rng = np.random.default_rng(0)
    params = [(rng.standard_normal((m, n)), np.zeros(n)) for m, n in pairwise(sizes)]
    return params, rng.standard_normal((batch, sizes[0])), rng.standard_normal((batch, sizes[-1]))


@pytest.mark.parametrize(
    ("batch", "sizes"), [(256, (64, 128, 128, 10)), (32, (256, 512, 10)), (512, (64,) * 8)]
)
def test_peak_memory_of_a_gradient_is_what_is_measured(batch, sizes):
    args = problem(batch, sizes)
    gradient = volta.grad(loss)
    gradient(*args)
    tracemalloc.start()
    gradient(*args)
    measured = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert volta.forecast(gradient)(*args).peak_bytes == pytest.approx(measured, rel=0.2)


def mixed(w, x):
    return F.tanh(F.exp(-(x**2)) @ w) + x


def looped(w, x):
    return F.sum(volta.scan(lambda c, _: (mixed(w, c), None), x, length=12)[0] ** 2)


def saving(w, x):
    for _ in range(12):
        x = volta.checkpoint(mixed)(w, x)
    return F.sum(x**2)


@pytest.mark.parametrize("fun", [looped, saving])
def test_peak_memory_of_loops_and_checkpoints_is_what_is_measured(fun):
    args = 0.1 * np.random.default_rng(0).standard_normal((64, 64)), ones(256, 64)
    gradient = volta.grad(fun)
    gradient(*args)
    tracemalloc.start()
    gradient(*args)
    measured = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert volta.forecast(gradient)(*args).peak_bytes == pytest.approx(measured, rel=0.2)


def test_a_sweep_is_counted_under_the_line_it_comes_from():
    args = problem(16, (8, 4))
    forward, both = cost(loss, *args), cost(volta.grad(loss), *args)
    first = loss.__code__.co_firstlineno
    lines = {c.line.number: c for c in both.lines}
    assert lines[first + 4].line.text == "return F.mean((x @ w + b - y) ** 2)"
    assert lines[first + 4].operations > forward.operations
    matmul = 2 * 16 * 8 * 4
    assert forward.flops == matmul + 4 * 16 * 4
    assert 2 * matmul < both.flops < 3 * matmul


def test_a_sweep_through_a_loop_is_counted_under_the_lines_of_its_body():
    def body(w, c):
        a = F.exp(-c)
        return F.sin(a @ w)

    def fun(w, x):
        y = volta.scan(lambda c, _: (body(w, c), None), x, length=3)[0]
        return F.sum(volta.checkpoint(body)(w, y))

    found = cost(volta.grad(fun), ones(3, 3), ones(2, 3))
    first = body.__code__.co_firstlineno
    flops = {c.line.number - first: c.flops for c in found.lines}
    matmul = 2 * 2 * 3 * 3
    assert flops[2] >= 4 * 3 * matmul  # three steps and the checkpoint; twice forward, two back
    assert flops[1] >= 4 * 2 * 6
    assert flops[5] < flops[2]  # the loop itself


def test_nothing_is_computed():
    huge = np.broadcast_to(np.float32(0), (10**6, 10**6))
    found = cost(lambda x: F.sum(F.exp(x)), huge)
    assert found.peak_bytes == 4 * 10**12 + 4
    assert found.flops == 2 * 10**12 - 1


def test_it_prints_as_a_table():
    def two(x):
        y = F.exp(x)
        return F.sum(y)

    first = two.__code__.co_firstlineno
    at = f"test_forecast.py:{first + 1}"
    rows = str(cost(two, ones(1000))).splitlines()
    assert rows == [
        "forecast(two):",
        f"  {'line':<{len(at)}}  operations  FLOPs    moved     live",
        f"  {at}           1    1 k    16 kB     8 kB  y = F.exp(x)",
        f"  test_forecast.py:{first + 2}           1    999  8.01 kB  8.01 kB  return F.sum(y)",
        f"  {'total':<{len(at)}}           2    2 k    24 kB  8.01 kB  (peak)",
        "  inputs 8 kB, results 8 B",
    ]
    assert repr(cost(two, ones(1000))) == str(cost(two, ones(1000)))


def test_reading_a_value_raises():
    with pytest.raises(volta.TraceError, match=r"needs a concrete value"):
        cost(lambda x: x if x[0] > 0 else -x, ones(3))


def test_static_arguments():
    assert volta.forecast(lambda x, n: x**n, static_argnums=1)(ones(3), 2).flops == 3
