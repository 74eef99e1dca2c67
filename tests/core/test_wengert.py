"""The Wengert list: how it prints, checks and runs, what it keeps, and its reverse sweep."""

import re
import sys
import tracemalloc
import weakref

import array_api_strict as strict
import numpy as np
import pytest
from strategies import LINE

import volta
import volta.functional as F
from volta.core import Linear, Primitive
from volta.core.derivatives import cast_back, fit
from volta.core.primitive import REGISTRY
from volta.core.trace import source_line
from volta.core.types import DTYPES, ArrayType
from volta.core.wengert import Literal, carried, needed, sweep

pytestmark = pytest.mark.core

X = np.asarray([1.0, 2.0, 3.0])


# Printing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("longest", [10_000, 0])
def test_the_error_of_an_entry_has_its_line(longest, monkeypatch):
    monkeypatch.setattr("volta.core.wengert._LONGEST", longest)
    index = np.asarray([7])

    def body(x):
        y = x * 2
        z = y + 1
        return F.sum(
            z[index],
        )

    line = body.__code__.co_firstlineno + 4
    message = (
        r"^gather: indices must be from -3 to 2 along axis 0; got 7\. .* "
        rf"\(line: test_wengert\.py:{line}\)$"
    )
    x = np.ones(3)
    for run in (
        lambda: volta.trace(body)(x)(x),
        lambda: volta.trace(body)(x).run(x),
        lambda: volta.grad(volta.checkpoint(body))(x),
        lambda: volta.map(body, np.ones((2, 3))),
        lambda: volta.cond(x[0] > 0, body, F.sum, x),
        lambda: volta.grad(lambda x: volta.scan(lambda c, _: (c, body(c)), x, x)[1][0])(x),
        lambda: volta.while_loop(lambda c: F.sum(c) < 9, lambda c: c + body(c), x),
        lambda: volta.trace(lambda x: volta.map(body, x[None]))(x)(x),
    ):
        with pytest.raises(volta.DimensionError, match=message):
            run()


def test_a_list_prints_types_parameters_literals_and_source_lines():
    weights = np.ones((3, 2))

    def model(x):
        y = F.exp(x) @ weights
        return F.sum(y * 2, axis=0)

    line = model.__code__.co_firstlineno
    lines = str(volta.trace(model)(np.zeros((4, 3)))).splitlines()
    assert lines[0] == "trace(model)(%0: float64[4, 3]):"
    assert lines[1] == "  captured %2: float64[3, 2]"
    assert re.fullmatch(
        rf"  %1: float64\[4, 3\] = exp\(%0\) +# test_wengert\.py:{line + 1}", lines[2]
    )
    assert lines[3].startswith("  %3: float64[4, 2] = matmul(%1, %2) ")
    assert lines[4].startswith("  %4: float64[4, 2] = multiply(%3, 2) ")
    assert lines[5].startswith("  %5: float64[2] = sum(%4; axis=(0,)")
    assert lines[5].endswith(f"# test_wengert.py:{line + 2}")
    assert lines[6] == "  return %5"
    assert len({text.index("#") for text in lines[2:6]}) == 1  # the comments are in one column


def test_the_line_of_a_call_over_several_lines_is_where_it_begins():
    def fun(x):
        return F.add(
            x,
            F.exp(x),
        )

    line = fun.__code__.co_firstlineno
    exp, add = str(volta.trace(fun)(X)).splitlines()[1:3]
    assert exp.endswith(f"test_wengert.py:{line + 3}")
    assert add.endswith(f"test_wengert.py:{line + 1}")


def test_long_parameters_are_cut():
    staged = volta.trace(lambda x: F.reshape(x, (1,) * 30 + (3,)))(X)
    assert "..." in str(staged)
    assert repr(staged) == str(staged)


def test_a_list_without_entries():
    staged = volta.trace(lambda x: (x, 2.0, None))(X)
    assert str(staged) == "trace(<lambda>)(%0: float64[3]):\n  return %0, 2.0"
    assert len(staged) == 0
    out, two, none = staged(X)
    assert out is X
    assert (two, none) == (2.0, None)


def test_results_of_an_entry_are_listed():
    text = str(volta.trace(lambda x: F.unstack(x))(X))
    assert "%1: float64[], %2: float64[], %3: float64[] = unstack(%0; axis=0)" in text


# Running -----------------------------------------------------------------------------------------


def program(x, p):
    total = F.zeros(3, dtype=F.float64)
    total[1] = x[0] * p["scale"]
    return {"sum": F.sum(total + x), "both": (x * 2, p["scale"])}


STAGED = volta.trace(program)(X, {"scale": np.asarray(2.0)})


def test_running_a_list_is_running_the_function():
    other = X + 5
    found = STAGED(other, np.asarray(3.0))
    wanted = program(other.copy(), {"scale": np.asarray(3.0)})
    np.testing.assert_allclose(found["sum"], wanted["sum"])
    np.testing.assert_allclose(found["both"][0], wanted["both"][0])
    assert found["both"][1] == 3.0


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_list_takes_as_many_arrays_as_it_has_inputs(count):
    with pytest.raises(
        TypeError, match=rf"^trace\(program\): takes 2 arrays; got {count}\." + LINE
    ):
        STAGED(*[X] * count)


@pytest.mark.grad_check
def test_a_list_runs_on_traced_arrays():
    s = np.asarray(3.0)
    np.testing.assert_array_equal(volta.grad(lambda x: STAGED(x, s)["sum"])(X), [4.0, 1.0, 1.0])
    assert volta.jvp(lambda s: STAGED(X, s)["sum"], (s,), (s,))[1] == 3.0
    lanes = np.stack([X, 2 * X])
    np.testing.assert_array_equal(
        volta.vmap(lambda x: STAGED(x, s)["sum"])(lanes), [STAGED(v, s)["sum"] for v in lanes]
    )
    again = volta.trace(STAGED)(X, s)
    assert [e.primitive for e in again.entries] == [e.primitive for e in STAGED.entries]
    inner = volta.grad(lambda x: STAGED(x * x, s)["sum"])
    np.testing.assert_array_equal(volta.grad(lambda x: F.sum(inner(x)))(X), [8.0, 2.0, 2.0])


@pytest.mark.parametrize("library", ["strict", "torch"])
def test_a_list_runs_on_another_librarys_arrays(library):
    make = strict.asarray if library == "strict" else pytest.importorskip("torch").asarray
    staged = volta.trace(lambda x: F.sum(F.exp(x) * np.asarray([1.0, 2.0, 3.0])))(X)
    out = staged(make(X))
    assert type(out) is type(make(X))
    np.testing.assert_allclose(np.asarray(out), staged(X))


def test_a_list_of_another_library_has_its_types():
    staged = volta.trace(lambda x: F.exp(x) + x.__array_namespace__().ones(3))(
        strict.asarray([1.0, 2.0, 3.0], dtype=strict.float32)
    )
    assert {str(t) for t in staged.types.values()} == {"float32[3]", "float64[3]"}


# Parts and forms of lists ------------------------------------------------------------------------


WEIGHTS = np.arange(9.0).reshape(3, 3)


def layered(x, y):
    hidden = F.exp(x) @ WEIGHTS
    low, high = F.min(hidden), F.max(hidden)
    return hidden * y, low + high, y, 2.0


LAYERED = volta.trace(layered)(X, X)


def test_replay_and_run_are_the_function():
    y = X * 3
    for found in (LAYERED.replay((X, y)), LAYERED.run(X, y)):
        for a, b in zip(found, layered(X, y), strict=True):
            np.testing.assert_array_equal(a, b)
    unstacked = volta.trace(lambda x: (F.unstack(x)[1], x))(X)
    for found in (unstacked.replay((X,)), unstacked.run(X)):
        assert [np.asarray(v).tolist() for v in found] == [2.0, X.tolist()]
    empty = volta.trace(lambda x: (1.0, WEIGHTS))(X)
    for found in (empty.replay((X,)), empty.run(X)):
        assert found[0] == 1.0
        assert found[1] is WEIGHTS


def test_run_of_a_long_list_replays_it(monkeypatch):
    monkeypatch.setattr("volta.core.wengert._LONGEST", 3)
    staged = volta.trace(layered)(X, X)
    np.testing.assert_array_equal(staged.run(X, X)[0], layered(X, X)[0])


@pytest.mark.parametrize("how", ["replay", "run"])
def test_values_are_let_go_after_their_last_use(how):
    refs, most = [], []

    def value(xp, x):
        out = x.copy()
        refs.append(weakref.ref(out))
        most.append(sum(ref() is not None for ref in refs))
        return out

    primitive = Primitive(
        "held",
        type_rule=lambda x: x,
        batch=lambda size, batched, x: primitive(x),
        derivatives=(Linear(lambda ct: ct),),
        value=value,
    )
    try:

        def chain(x):
            for _ in range(10):
                x = primitive(x)
            return x

        staged = volta.trace(chain)(X)
        if how == "run":
            staged.run(X)
        else:
            staged.replay((X,))
        assert max(most) <= 2
    finally:
        del REGISTRY["held"]


def test_last_uses():
    staged = volta.trace(lambda x, y: (F.sin(x) + F.cos(x)) * x)(X, X)
    x, _ = staged.inputs
    sin, cos, add, times = (e.results[0] for e in staged.entries)
    assert [set(dead) for dead in staged.last_uses] == [set(), set(), {sin, cos}, {x, add}]
    assert staged.outputs == (times,)
    unused = volta.trace(lambda x: (F.sin(x), x)[1])(X)
    assert unused.last_uses == [unused.entries[0].results]


def test_closed_takes_what_was_captured_first():
    closed = LAYERED.closed()
    closed.check()
    assert closed.inputs == LAYERED.captured + LAYERED.inputs
    assert closed.captured == closed.constants == ()
    found = closed(2 * WEIGHTS, X, X)
    np.testing.assert_array_equal(found[0], 2 * layered(X, X)[0])
    assert closed.closed() is closed


def test_between_is_what_leads_from_some_variables_to_others():
    exp, matmul = LAYERED.entries[:2]
    back = LAYERED.between(exp.results, matmul.results)
    back.check()
    assert [e.primitive.name for e in back.entries] == ["matmul"]
    assert back.constants[0] is WEIGHTS
    np.testing.assert_array_equal(back.replay((X,))[0], X @ WEIGHTS)
    same = LAYERED.between(LAYERED.inputs, LAYERED.inputs)
    assert (len(same), same.captured) == (0, ())
    given = LAYERED.between((*LAYERED.captured, *LAYERED.inputs), LAYERED.outputs)
    assert given.captured == ()
    assert given.outputs[-1] == Literal(2.0)
    np.testing.assert_array_equal(given.replay((0 * WEIGHTS, X, X))[0], 0 * X)


def test_what_is_needed():
    exp, matmul, low, *_ = LAYERED.entries
    assert needed(LAYERED.entries, low.results) == [exp, matmul, low]
    assert needed(LAYERED.entries, low.results, matmul.results) == [low]
    assert needed(LAYERED.entries, (Literal(1.0), *LAYERED.inputs)) == []


def test_programs_that_entries_carry_stand_below_them():
    def inner(c, x):
        return F.sin(c) * x, c

    def outer(x):
        return volta.cond(
            F.sum(x) > 0, lambda x: volta.scan(inner, x, F.stack([x, x]))[0], lambda x: x, x
        )

    staged = volta.trace(outer)(X)
    lines = str(staged).splitlines()
    depth = {
        part: len(line) - len(line.lstrip())
        for line in lines
        for part in ("trace(outer)(", "cond(<lambda>)(", "scan(inner)(", "= sin(")
        if part in line
    }
    assert depth == {"trace(outer)(": 0, "cond(<lambda>)(": 4, "scan(inner)(": 8, "= sin(": 10}
    sin = next(line for line in lines if "= sin(" in line)
    assert sin.endswith(f"# test_wengert.py:{inner.__code__.co_firstlineno + 1}")
    branches = carried(staged.entries[-1])
    assert [b.name for b in branches] == ["cond(<lambda>)"] * 2
    assert [b.name for b in carried(branches[1].entries[-1])] == ["scan(inner)"]
    assert carried(staged.entries[0]) == []


def test_what_is_staged_of_a_list_has_its_lines():
    def inner(x):
        return F.sin(x)

    staged = volta.trace(inner)(X)
    line = inner.__code__.co_firstlineno + 1
    (entry,) = volta.trace(lambda x: staged(x))(X).entries
    assert source_line(entry.code, entry.offset) == f"test_wengert.py:{line}"
    after = volta.trace(lambda x: F.cos(staged(x)))(X).entries[-1]
    assert not source_line(after.code, after.offset).endswith(f":{line}")


# Checking ----------------------------------------------------------------------------------------


def test_check_accepts_what_staging_makes():
    STAGED.check()


def test_check_finds_variables_used_before_they_are_defined():
    staged = volta.trace(lambda x: F.exp(F.sin(x)))(X)
    staged.entries.reverse()
    with pytest.raises(AssertionError):
        staged.check()


def test_check_finds_variables_defined_twice():
    staged = volta.trace(lambda x: F.exp(x))(X)
    staged.entries *= 2
    with pytest.raises(AssertionError):
        staged.check()


def test_check_finds_missing_types_and_outputs():
    staged = volta.trace(lambda x: F.exp(x))(X)
    del staged.types[1]
    with pytest.raises(AssertionError):
        staged.check()
    staged = volta.trace(lambda x: F.exp(x))(X)
    staged.entries.clear()
    with pytest.raises(AssertionError):
        staged.check()


def test_literals_are_operands():
    (entry,) = volta.trace(lambda x: 3 - x)(X).entries
    assert entry.operands[0] == Literal(3)


# What is kept ------------------------------------------------------------------------------------


def kept_bytes(fun, x):
    """Bytes that the list of `fun` holds beyond its result."""
    volta.vjp(fun, x)
    tracemalloc.start()
    try:
        held = volta.vjp(fun, x)
        return tracemalloc.get_traced_memory()[0] - held[0].nbytes
    finally:
        tracemalloc.stop()


BIG = np.random.default_rng(0).random((100, 1000)) + 0.5


@pytest.mark.parametrize(
    ("fun", "arrays"),
    [
        (lambda x: x + 1.0 - x, 0),
        (lambda x: -x * 3.0, 0),
        (lambda x: F.reshape(x, (-1,))[5:] / 2.0, 0),
        (lambda x: F.sum(x), 0),
        (lambda x: F.sum(x * 2.0, axis=0), 0),
        (lambda x: F.astype(x * 2.0, F.float32), 0),
        (lambda x: F.broadcast_to(F.sum(x * 2.0, axis=0), (2, 1000)) * 1.0, 0),
        (lambda x: F.concat([x, x]), 0),
        (lambda x: F.exp(x) + 0, 1),  # the result
        (lambda x: F.sin(F.exp(x)), 1),  # one array, shared
        (lambda x: F.tanh(F.tanh(x)) + 0, 2),
        (lambda x: F.sqrt(x) + 0, 1),
        (lambda x: x**2 + 0, 0),  # the input, which is there anyway
        (lambda x: F.where(x > 0.7, x, 0.0) + 0, 1 / 8),  # a mask
        (lambda x: (x * 2.0) @ np.ones((1000, 1)), 0),  # only the fixed operand
        (lambda x: F.maximum(x, 0.7) + 0, 1),
    ],
)
def test_entries_keep_only_what_rules_read(fun, arrays):
    assert kept_bytes(fun, BIG) <= arrays * BIG.nbytes + 30_000


def lives(arrays):
    return sum(ref() is not None for ref in arrays)


def identity(name, transpose):
    """Primitive of that name, to be taken out of the registry, with a transpose of its own."""
    primitive = Primitive(
        name,
        type_rule=lambda x: x,
        batch=lambda size, batched, x: primitive(x),
        derivatives=(Linear(transpose),),
        value=lambda xp, x: xp.asarray(x, copy=True),
    )
    return primitive


@pytest.fixture
def spy():
    """Primitive that says, when the sweep comes to it, how many arrays live."""
    counts = []
    watched = []

    def transpose(ct):
        counts.append(lives(watched))
        return ct

    primitive = identity("spy", transpose)

    def chain(x):
        x = primitive(x)
        for _ in range(20):
            x = F.exp(-x)
            watched.append(weakref.ref(x.value))
        return F.sum(x)

    yield chain, counts, watched
    del REGISTRY["spy"]


def test_grad_frees_what_entries_kept_as_it_goes(spy):
    chain, counts, watched = spy
    volta.grad(chain)(X)
    assert counts[0] <= 1
    assert lives(watched) == 0


def test_a_vjp_function_keeps_its_list(spy):
    chain, counts, watched = spy
    _, vjp_fn = volta.vjp(chain, X)
    first, second = vjp_fn(np.asarray(1.0))[0], vjp_fn(np.asarray(2.0))[0]
    np.testing.assert_allclose(second, 2 * first)
    assert counts == [20, 20]
    del vjp_fn
    assert lives(watched) == 0


# Depth and memory --------------------------------------------------------------------------------


def negations(n):
    def fun(x):
        for _ in range(n):
            x = -x
        return x

    return fun


def test_a_list_of_a_million_entries_differentiates():
    assert volta.grad(negations(1_000_001))(np.asarray(0.5)) == -1.0


def test_memory_is_bounded_by_what_a_list_holds():
    volta.grad(negations(10))(np.asarray(0.5))
    n = 50_000
    tracemalloc.start()
    try:
        volta.grad(negations(n))(np.asarray(0.5))
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak / n < 400  # bytes an entry, of which nothing is kept
    assert (
        after < 500_000
    )  # and nothing stays but 2,000 tuples that CPython keeps for its next ones


def test_the_sweep_holds_one_cotangent_at_a_time():
    def fun(x):
        for _ in range(30):
            x = -x
        return F.sum(x)

    volta.grad(fun)(BIG)
    tracemalloc.start()
    try:
        volta.grad(fun)(BIG)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * BIG.nbytes


# The sweep's parts -------------------------------------------------------------------------------


@pytest.mark.broadcasting
@pytest.mark.parametrize(
    ("shape", "target"),
    [
        ((2, 3), (2, 3)),
        ((2, 3), (3,)),
        ((2, 3), (1, 3)),
        ((2, 3), (2, 1)),
        ((2, 3), ()),
        ((4, 2, 3), (2, 1)),
        ((1, 3), (3,)),
        ((0, 3), (3,)),
        ((1, 1), ()),
    ],
)
def test_fit_sums_what_was_broadcast(shape, target):
    ct = np.arange(1.0, 1 + np.prod(shape, dtype=int)).reshape(shape)
    found = fit(ct, ArrayType(target, DTYPES["float32"]))
    assert (found.shape, found.dtype) == (target, np.float32)
    wanted = ct
    while wanted.ndim > len(target):
        wanted = wanted.sum(axis=0)
    for axis, n in enumerate(target):
        if n == 1:
            wanted = wanted.sum(axis=axis, keepdims=True)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("ct", "dtype", "wanted"),
    [
        (np.float64([1.5]), "float32", np.float32([1.5])),
        (np.complex128([1 + 2j]), "float64", np.float64([1.0])),
        (np.complex128([1 + 2j]), "float32", np.float32([1.0])),
        (np.float32([1.5]), "complex64", np.complex64([1.5])),
        (np.float64([1.5]), "bfloat16", [1.5]),
    ],
)
def test_cast_back_undoes_promotion(ct, dtype, wanted):
    found = cast_back(ct, dtype)
    assert found.dtype == DTYPES[dtype]
    np.testing.assert_array_equal(found, wanted)


def test_cast_back_to_the_same_dtype_is_the_array_itself():
    assert cast_back(X, np.float64) is X


def test_a_sweep_without_a_cotangent_does_nothing():
    entries = []
    assert sweep(entries, {}, consume=True) == {}
    assert sweep(entries, {3: X}, consume=False)[3] is X


@pytest.fixture
def failing():
    """Primitive whose transpose raises what it is given."""
    raised = []

    def transpose(ct):
        raise raised[0]

    primitive = identity("failing", transpose)
    yield primitive, raised
    del REGISTRY["failing"]


def test_an_error_in_the_sweep_names_the_operations_line(failing):
    primitive, raised = failing

    def loss(x):
        y = primitive(x)
        line.append(sys._getframe().f_lineno - 1)
        return F.sum(y)

    line = []
    raised.append(volta.ShapeError("failing: a message."))
    with pytest.raises(volta.ShapeError) as info:
        volta.grad(loss)(X)
    assert str(info.value) == f"failing: a message. (line: test_wengert.py:{line[0]})"
    raised[:] = [ZeroDivisionError("by zero")]
    with pytest.raises(ZeroDivisionError, match="by zero") as info:
        volta.grad(loss)(X)
    assert info.value.__notes__ == [f"volta: in the derivative of test_wengert.py:{line[0]}"]


@pytest.mark.parametrize("count", [2, 12])  # no function is written for twelve operands
def test_a_join_hands_back_the_operands_own_dtypes(count):
    arrived = []
    primitive = identity("arriving", lambda ct: arrived.append(ct.dtype) or ct)
    xs = [np.ones(2, (np.float32, np.float64)[i % 2]) for i in range(count)]
    try:
        volta.grad(lambda xs: F.sum(F.concat([primitive(x) for x in xs])))(xs)
    finally:
        del REGISTRY["arriving"]
    assert arrived[::-1] == [x.dtype for x in xs]


def test_branches_that_lead_nowhere_are_not_swept():
    ran = []
    primitive = Primitive(
        "nowhere",
        type_rule=lambda x: x,
        batch=lambda *args: None,
        derivatives=(Linear(lambda ct: ran.append(ct)),),
        value=lambda xp, x: xp.asarray(x, copy=True),
    )
    try:
        assert volta.grad(lambda x: (primitive(x), F.sum(x))[1])(X).tolist() == [1.0, 1.0, 1.0]
    finally:
        del REGISTRY["nowhere"]
    assert ran == []


@pytest.mark.grad_check
def test_a_variable_used_many_times_gets_the_sum():
    gradient = volta.grad(lambda x: F.sum(x * x + F.sin(x) * x - x / (x + 1)))(X)
    wanted = 2 * X + np.cos(X) * X + np.sin(X) - 1 / (X + 1) ** 2
    np.testing.assert_allclose(gradient, wanted)


def test_no_warnings_from_infinite_derivatives():
    with np.errstate(all="raise"):
        assert np.isinf(volta.grad(F.sqrt)(np.asarray(0.0)))
        assert np.isinf(volta.jvp(F.sqrt, (np.asarray(0.0),), (np.asarray(1.0),))[1])
