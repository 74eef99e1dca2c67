"""Passes: what a list is before and after each, and that it is whole in between."""

import numpy as np
import pytest

import volta
import volta.functional as F
from volta.compile.passes import PASSES, _with, common, constant, dead, flat, optimized, plain
from volta.core.wengert import Literal

pytestmark = [pytest.mark.core, pytest.mark.usefixtures("by_numpy")]

X = np.asarray([1.0, 2.0, 3.0])


def staged(fun, *args):
    wengert = volta.trace(fun)(*args)
    wengert.check()
    return wengert


def after(change, wengert):
    changed = change(wengert)
    changed.check()
    assert (changed.inputs, len(changed.outputs)) == (wengert.inputs, len(wengert.outputs))
    for o in changed.outputs:
        assert type(o) is Literal or o in changed.types
    assert all(r in changed.places for e in changed.entries for r in e.results)
    return changed


def names(wengert):
    return [e.primitive.name for e in wengert.entries]


def equal(wengert, changed, *args):
    for x, y in zip(wengert.replay(args), changed.replay(args), strict=True):
        np.testing.assert_array_equal(x, y)
        assert np.asarray(x).dtype == np.asarray(y).dtype


def test_all_passes_run_in_order():
    wengert = once = staged(lambda x: volta.jit(lambda y: (y * 1 + y * 1, F.exp(y)))(x)[0] + 1, X)
    for change in PASSES:
        changed = after(change, wengert)
        equal(wengert, changed, X)
        wengert = changed
    assert names(wengert) == ["add", "add"]
    assert str(optimized(once)) == str(wengert)


# flat ---------------------------------------------------------------------------------------------


def test_a_jitted_call_is_replaced_by_what_it_does():
    inner = volta.jit(lambda y: F.exp(y) * y)
    wengert = staged(lambda x: inner(x + 1) - 1, X)
    assert names(wengert) == ["add", "jit", "subtract"]
    changed = after(flat, wengert)
    assert names(changed) == ["add", "exp", "multiply", "subtract"]
    equal(wengert, changed, X)


def test_calls_within_calls_and_a_list_called_twice():
    inner = volta.jit(F.exp)
    outer = volta.jit(lambda y: inner(inner(y)) * inner(y))
    wengert = staged(lambda x: outer(x) + outer(x * 2), X / 10)
    changed = after(flat, wengert)
    assert names(changed) == ["exp"] * 3 + ["multiply"] * 2 + ["exp"] * 3 + ["multiply", "add"]
    equal(wengert, changed, X / 10)


def test_a_call_may_return_its_inputs_and_numbers():
    inner = volta.jit(lambda y: (y, 2.0, y * 3))
    wengert = staged(lambda x: inner(x), X)
    changed = after(flat, wengert)
    assert names(changed) == ["multiply"]
    assert changed.outputs[0] == changed.inputs[0]
    equal(wengert, changed, X)
    used = staged(lambda x: inner(x)[0] + inner(x)[1], X)
    equal(used, after(flat, used), X)


def test_lists_without_calls_are_left_alone():
    wengert = staged(lambda x: F.exp(x), X)
    assert flat(wengert) is wengert


def test_captured_arrays_of_a_called_list_come_along():
    wengert = staged(volta.jit(lambda y: y * 2), X)
    (call,) = wengert.entries
    body = call.params["body"]
    other = staged(lambda y: y * X[::-1], X)
    assert other.captured
    assert not body.captured
    changed = after(flat, _with(wengert, [call._replace(params={**call.params, "body": other})]))
    assert len(changed.captured) == 1
    np.testing.assert_array_equal(changed.replay((X,))[0], X * X[::-1])


def test_a_result_that_is_an_input_of_the_called_list_is_not_computed_over_it():
    parts = staged(lambda x: F.unstack(x, axis=0), np.ones((2, 3)))
    first, second = parts.entries[0].results
    body = parts.between((*parts.inputs, second), (first, second))
    x, given = np.ones((2, 3)), np.zeros(3)
    outer = staged(lambda x, y: volta.jit(lambda x, y: (x[0] + y, y * 2))(x, y), x, given)
    (call,) = outer.entries
    changed = after(flat, _with(outer, [call._replace(params={**call.params, "body": body})]))
    found = changed.replay((x, given))
    np.testing.assert_array_equal(found[0], x[0])
    assert found[1] is given


def test_what_a_sweep_made_is_known_in_what_it_calls():
    inner = volta.jit(lambda y: F.sum(F.sqrt(y) * y))
    wengert = staged(volta.grad(inner), X)
    assert {e.origin for e in wengert.entries} != {None}
    for e in after(flat, wengert).entries[-3:]:
        assert e.origin is not None


# common -------------------------------------------------------------------------------------------


def merged(fun, *args):
    """Number of entries that `common` leaves out."""
    wengert = staged(fun, *args)
    changed = after(common, wengert)
    equal(wengert, changed, *args)
    return len(wengert) - len(changed)


def test_what_is_computed_again_is_left_out():
    assert merged(lambda x: (F.exp(x) + F.exp(x)) * F.exp(x), X) == 2
    assert merged(lambda x: F.sum(F.exp(x) * 2) + F.sum(F.exp(x) * 2), X) == 3


@pytest.mark.parametrize(
    ("a", "b"), [(0.0, -0.0), (1, True), (1, 1.0), (1.0, 1 + 0j), (0j, complex(0, -0.0))]
)
def test_numbers_that_only_compare_equal_are_not_the_same(a, b):
    assert merged(lambda x: F.sum(x * a) + F.sum(x * b), np.ones(3, np.complex128)) == 0
    assert merged(lambda x: F.sum(x * a) + F.sum(x * a), np.ones(3, np.complex128)) == 2


def test_scalars_of_numpy_among_parameters_are_told_by_their_bits():
    wengert = staged(lambda x: F.sum(F.exp(x)) + F.sum(F.exp(x)), X)
    first, total, second, *rest = wengert.entries
    zero, negative = {"of": np.float32(0.0)}, {"of": np.float32(-0.0)}

    def left(*params):
        parts = zip((first, second), params, strict=True)
        one, two = (e._replace(params=p) for e, p in parts)
        return len(common(_with(wengert, [one, total, two, *rest])))

    assert left(zero, negative) == len(wengert)
    assert left(zero, zero) == len(wengert) - 2


def test_zeros_keep_their_signs():
    def fun(x):
        return F.copysign(x, 0.0), F.copysign(x, -0.0)

    wengert = staged(lambda x: F.stack([y * 1.5 for y in fun(x)]), X)
    equal(wengert, after(optimized, wengert), X)
    assert np.all(volta.jit(lambda x: F.stack([y * 1.5 for y in fun(x)]))(X)[1] < 0)


def test_not_a_number_is_itself():
    nan = float("nan")
    assert merged(lambda x: F.sum(x + nan) + F.sum(x + nan), X) == 2


def test_parameters_count():
    x = np.ones((2, 3))
    assert merged(lambda x: F.sum(F.sum(x, axis=0)) + F.sum(F.sum(x, axis=1)), x) == 0
    assert merged(lambda x: F.sum(x[:1] * 2) + F.sum(x[1:] * 2), x) == 0
    assert merged(lambda x: F.sum(x[:1] * 2) + F.sum(x[:1] * 2), x) == 3
    assert merged(lambda x: F.exp(x) * F.astype(F.exp(x), F.float32), x) == 1


def test_what_is_returned_is_never_one_array():
    assert merged(lambda x: (F.exp(x), F.exp(x)), X) == 0
    assert merged(lambda x: (F.reshape(F.exp(x), (3, 1)), F.reshape(F.exp(x), (1, 3))), X) == 0
    a, b = volta.jit(lambda x: (F.reshape(x + 1, (3, 1)), F.reshape(x + 1, (1, 3))))(X)
    assert not np.shares_memory(a, b)


def test_effects_are_kept():
    seen = []

    def step(c, x):
        volta.debug.callback(seen.append, x)
        return c + x, None

    total = volta.jit(lambda x: volta.scan(step, x[0] * 0, x)[0])

    def fun(x):
        volta.debug.callback(seen.append, x)
        return total(x) + total(x)

    changed = after(optimized, staged(fun, X))
    assert names(changed).count("scan") == 2
    volta.jit(fun)(X)
    assert len(seen) == 1 + 2 * len(X)


def test_loops_of_one_list_are_one_and_others_are_not():
    def body(c, x):
        return c * x, c

    def fun(x):
        return volta.scan(body, x[0], x)[0] + volta.scan(body, x[0], x)[0]

    wengert = staged(fun, X)
    scans = [e for e in wengert.entries if e.primitive.name == "scan"]
    assert len(scans) == 2
    changed = after(common, wengert)
    kept = [e for e in changed.entries if e.primitive.name == "scan"]
    assert len(kept) == (1 if scans[0].params["body"] is scans[1].params["body"] else 2)
    equal(wengert, changed, X)
    other = staged(
        lambda x: volta.scan(body, x[0], x)[0] + volta.scan(lambda c, x: (c + x, c), x[0], x)[0], X
    )
    assert names(after(common, other)).count("scan") == 2


# dead ---------------------------------------------------------------------------------------------


def test_what_nothing_reads_is_left_out():
    def fun(x):
        F.exp(F.sin(x))
        return x * 2

    wengert = staged(fun, X)
    assert names(after(dead, wengert)) == ["multiply"]
    equal(wengert, after(dead, wengert), X)


def test_several_results_of_which_one_is_read_stay_together():
    wengert = staged(lambda x: F.linalg.eigh(x)[0], np.eye(2))
    changed = after(dead, wengert)
    assert any(len(e.results) > 1 for e in changed.entries)
    equal(wengert, changed, np.eye(2))


# plain --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fun", "left"),
    [
        (lambda x: F.sum(x * 1), ["sum"]),
        (lambda x: F.sum(1.0 * x / 1), ["sum"]),
        (lambda x: F.sum(x - 0), ["sum"]),
        (lambda x: F.sum(F.negative(-x)), ["sum"]),
        (lambda x: F.sum(F.positive(x)), ["sum"]),
        (lambda x: F.exp(F.permute_dims(F.permute_dims(x, (1, 0)), (1, 0))), ["exp"]),
        (lambda x: F.exp(F.reshape(F.reshape(x, (6,)), (3, 2))), ["reshape", "exp"]),
        (lambda x: F.exp(F.reshape(F.reshape(x, (6,)), (2, 3))), ["exp"]),
        (lambda x: F.exp(F.concat([x])), ["exp"]),
        # the second one is a view of the first, which is a copy
        (
            lambda x: F.exp(F.reshape(F.reshape(F.matrix_transpose(x), (6,)), (2, 3))),
            ["permute_dims", "reshape", "reshape", "exp"],
        ),
        (lambda x: F.exp(F.broadcast_to(x, (2, 3))), ["exp"]),
        (lambda x: F.exp(volta.stop_gradient(x)), ["exp"]),
    ],
)
def test_what_does_nothing_is_left_out(fun, left):
    x = np.asarray([[-0.0, 2.0, np.nan], [np.inf, -3.0, 0.0]])
    wengert = staged(fun, x)
    changed = after(lambda w: dead(plain(w)), wengert)
    assert names(changed) == left
    for a, b in zip(wengert.replay((x,)), changed.replay((x,)), strict=True):
        assert (a.tobytes(), a.dtype, a.shape) == (b.tobytes(), b.dtype, b.shape)


@pytest.mark.parametrize(
    "fun",
    [
        lambda x: F.sum(x + 0),  # of −0 it makes 0
        lambda x: F.sum(x - (-0.0)),
        lambda x: F.sum(x * -1),
        lambda x: F.sum(x * 1j),
        lambda x: F.sum(2 - x),
        lambda x: F.sum(1 / x),
        lambda x: F.sum(F.astype(x, F.float32)),
    ],
)
def test_what_does_something_stays(fun):
    wengert = staged(fun, X)
    assert len(after(plain, wengert)) == len(wengert)


@pytest.mark.parametrize(
    "fun", [lambda x: x * 1, lambda x: F.negative(-x), lambda x: (x * 1)[None]]
)
def test_a_copy_that_is_returned_stays_one(fun):
    assert not np.shares_memory(volta.jit(fun)(X), X)


def test_a_movement_to_another_type_stays():
    wengert = staged(lambda x: F.exp(F.broadcast_to(x, (2, 3))), np.ones((1, 3)))
    assert names(after(plain, wengert)) == ["broadcast_to", "exp"]


def test_small_arrays_that_depend_on_nothing_are_made_once():
    def fun(x):
        return x + F.arange(3) * F.eye(3), F.zeros((200, 200)) + x[0]

    wengert = volta.trace(fun)(np.ones(3))
    short = constant(wengert)
    names = [e.primitive.name for e in short.entries]
    assert "arange" not in names
    assert "eye" not in names
    assert names.count("full") == 1  # 160 kB
    assert len(short.constants) == 2
    for x, y in zip(short(np.ones(3)), fun(np.ones(3)), strict=True):
        np.testing.assert_array_equal(x, y)


def test_what_is_returned_is_made_at_every_call():
    jitted = volta.jit(lambda x: (F.zeros(3), F.reshape(F.arange(4), (2, 2)), x))
    first = jitted(np.ones(2))
    for a in first:
        a += 1
    zeros, counts, _ = jitted(np.ones(2))
    np.testing.assert_array_equal(zeros, np.zeros(3))
    np.testing.assert_array_equal(counts, [[0, 1], [2, 3]])


def test_random_numbers_and_effects_are_no_constants():
    seen = []

    def fun(x):
        volta.debug.callback(lambda: seen.append(1))
        return x + F.random.uniform(F.random.key(0), (2,))

    jitted = volta.jit(fun)
    for n in (1, 2, 3):
        jitted(np.ones(2))
        assert len(seen) == n
