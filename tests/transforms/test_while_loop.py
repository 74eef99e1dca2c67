"""Loops of unknown length: values, derivatives through any number of steps, lanes, memory."""

import threading
import weakref

import array_api_strict as strict
import numpy as np
import pytest
from differences import SEQUENCES, check, check_masked, same

import volta
import volta.functional as F
from volta import tree
from volta.core import Linear, Primitive
from volta.core.errors import ShapeError, TraceError
from volta.core.primitive import REGISTRY
from volta.core.trace import live

pytestmark = pytest.mark.core

rng = np.random.default_rng(0)
X = np.asarray([0.6, 0.9, 1.2])
A = np.asarray([1.3, 1.7, 1.1])


def loop(cond, body, value):
    """What `while_loop` means, by Python's own loop."""
    while cond(value):
        value = body(value)
    return value


def grown(a, x, run=volta.while_loop):
    return run(lambda v: F.sum(v) < 30, lambda v: v * a + 0.1, x)


def newton(a, run=volta.while_loop):
    return run(
        lambda s: F.max(F.abs(s["x"] ** 2 - a)) > 1e-12,
        lambda s: {"x": (s["x"] + a / s["x"]) / 2, "n": s["n"] + 1},
        {"x": a * 0 + 1.0, "n": np.asarray(0)},
    )


PROGRAMS = {
    "grown": (grown, (A, X)),
    "trees": (newton, (A,)),
    "no step": (
        lambda a, x, run=volta.while_loop: run(lambda v: F.sum(v) < 0, lambda v: v * a, x),
        (A, X),
    ),
    "nothing changes": (
        lambda a, x, run=volta.while_loop: run(
            lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1]), (np.asarray(0), x * a)
        ),
        (A, X),
    ),
    "counted": (
        lambda a, x, run=volta.while_loop: run(
            lambda s: s[0] < 5, lambda s: (s[0] + 1, F.sin(s[1]) * a, s[1]), (np.asarray(0), x, a)
        ),
        (A, X),
    ),
    "comes to vary late": (
        lambda a, x, run=volta.while_loop: run(
            lambda s: s[0] < 4, lambda s: (s[0] + 1, a * x, s[1], s[2]), (np.asarray(0), X, X, X)
        ),
        (A, X),
    ),
    "condition closes over": (
        lambda a, x, run=volta.while_loop: run(
            lambda v: F.sum(v) < 20 * F.sum(a), lambda v: v * 1.5 + a, x
        ),
        (A, X),
    ),
    "complex": (
        lambda a, x, run=volta.while_loop: run(
            lambda v: F.sum(F.abs(v)) < 30, lambda v: v * (a + 0.5j) + F.conj(v), x + 0.1j
        ),
        (A, X),
    ),
    "loop inside": (
        lambda a, x, run=volta.while_loop: run(
            lambda v: F.sum(v) < 14, lambda v: v + PROGRAMS["counted"][0](a, v, run)[1] + 1, x
        ),
        (A, X),
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_is_pythons_loop(name):
    fun, args = PROGRAMS[name]
    same(fun(*args), fun(*args, run=loop))


@pytest.mark.grad_check
@pytest.mark.parametrize("name", PROGRAMS)
def test_derivatives_in_everything(name):
    fun, args = PROGRAMS[name]
    check(fun, *args, order={"grown": 3, "no step": 3, "loop inside": 1}.get(name, 2))


@pytest.mark.grad_check
def test_derivatives_where_some_vary():
    check(lambda a: grown(a, X), A)
    check(lambda x: grown(A, x), X)


@pytest.mark.grad_check
@pytest.mark.parametrize(
    "steps",
    [
        *(0, 1, 63, 64, 65, 127, 128, 129, 200, 4095, 4096, 4097),
        pytest.param(100_000, marks=pytest.mark.slow),
    ],
)
def test_reverse_mode_of_any_number_of_steps_is_that_of_the_full_record(steps):
    x = np.asarray([0.3, 2.0])
    a = np.asarray(0.7)

    def body(v, a):
        return v + 1e-3 * F.sin(3 * v * a) * a

    def loop(x, a):
        return volta.while_loop(
            lambda s: s[0] < steps, lambda s: (s[0] + 1, body(s[1], a)), (np.asarray(0), x)
        )[1]

    def record(x, a):
        return volta.scan(lambda v, _: (body(v, a), ()), x, length=steps)[0]

    ct = np.asarray([1.0, -0.5])
    out, pull = volta.vjp(loop, x, a)
    wanted, full = volta.vjp(record, x, a)
    same(out, wanted, rtol=1e-14)
    same(pull(ct), full(ct), rtol=1e-12)
    same(pull(ct), full(ct), rtol=1e-12)  # and again


class Counted:
    """Array whose life is counted: how many are alive at once."""

    alive, most = 0, 0

    @classmethod
    def count(cls, x):
        cls.alive += 1
        cls.most = max(cls.most, cls.alive)
        weakref.finalize(x, cls.died)
        return x

    @classmethod
    def died(cls):
        cls.alive -= 1


@pytest.fixture
def counted():
    """An identity whose results are counted as long as they live."""
    Counted.alive = Counted.most = 0
    primitive = Primitive(
        "counted_identity",
        type_rule=lambda x: x,
        batch=lambda size, batched, x: primitive(x),
        derivatives=(Linear(lambda ct: ct),),
        value=lambda xp, x: Counted.count(x.copy()),
    )
    yield primitive
    del REGISTRY["counted_identity"]


@pytest.mark.grad_check
@pytest.mark.parametrize(("steps", "most"), [(1000, 150), (100_000, 400)])
def test_reverse_mode_stores_few_states(counted, steps, most):
    x, ct = np.asarray([0.3, -1.1]), np.asarray([1.0, 0.4])
    turn = np.asarray([[np.cos(0.37), np.sin(0.37)], [-np.sin(0.37), np.cos(0.37)]])

    def loop(x, turn):
        return volta.while_loop(
            lambda s: s[0] < steps,
            lambda s: (s[0] + 1, counted(s[1] @ turn)),
            (np.asarray(0), x),
        )[1]

    def record(x, turn):
        for _ in range(steps):
            x = x @ turn
        return x

    _, pull = volta.vjp(loop, x, turn)
    assert Counted.most < 5
    grads = pull(ct)
    assert Counted.most <= most, Counted.most
    same(grads, volta.vjp(record, x, turn)[1](ct), rtol=1e-12)


@pytest.mark.grad_check
def test_absent_cotangents_and_integer_results():
    def fun(a, x):
        return volta.while_loop(
            lambda s: F.sum(s["v"]) < 25,
            lambda s: {"n": s["n"] + 1, "v": s["v"] * a + s["w"], "w": s["w"] * 0.9},
            {"n": np.asarray(0), "v": x, "w": x * 0.1},
        )

    check(lambda a, x: fun(a, x)["v"], A, X)
    check(lambda a, x: fun(a, x)["w"], A, X)
    same(volta.grad(lambda a: F.sum(fun(a, X)["n"] * 1.0))(A), np.zeros(3))
    _, moved = volta.jvp(fun, (A, X), (A, X))
    assert moved["n"].dtype == np.int64
    assert moved["n"] == 0


@pytest.mark.grad_check
def test_boolean_values():
    def fun(x):
        return volta.while_loop(
            lambda s: ~s[0], lambda s: (F.sum(s[1]) > 10, s[1] * 1.5), (np.asarray(False), x)
        )

    same(
        fun(X)[1],
        loop(lambda s: ~s[0], lambda s: (np.sum(s[1]) > 10, s[1] * 1.5), (np.asarray(False), X))[1],
    )
    check(lambda x: fun(x)[1], X)


# Numbers and libraries ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("init", "body", "dtype", "wanted"),
    [
        (0, lambda v: v + 1, "int64", 10),
        (0.0, lambda v: v + 1, "float32", 10.0),
        (0, lambda v: v + 0.5, "float32", 10.0),
        (0, lambda v: v + np.float64(0.5), "float64", 10.0),
        (0.0, lambda v: v + np.asarray(1, dtype=np.float16), "float16", 10.0),
        (1.0, lambda v: v.astype(F.float64) * 2, "float64", 16.0),
    ],
)
def test_numbers_take_the_dtype_of_the_first_step(init, body, dtype, wanted):
    found = volta.while_loop(lambda v: v < 10, body, init)
    assert str(found.dtype) == dtype
    assert found == wanted


@pytest.mark.parametrize("library", ["strict", "torch", "jax"])
def test_other_libraries(library):
    if library == "strict":
        make = strict.asarray
    else:
        make = pytest.importorskip("jax.numpy" if library == "jax" else "torch").asarray
    x, a = make(X.astype(np.float32)), make(A.astype(np.float32))
    found = grown(a, x)
    assert type(found) is type(x)
    np.testing.assert_allclose(np.asarray(found), grown(A, X), rtol=1e-5)
    grads = volta.grad(lambda a, x: F.sum(grown(a, x)), (0, 1))(a, x)
    for g, w in zip(grads, volta.grad(lambda a, x: F.sum(grown(a, x)), (0, 1))(A, X), strict=True):
        assert type(g) is type(x)
        np.testing.assert_allclose(np.asarray(g), w, rtol=1e-4)
    if library != "jax":
        lanes = volta.vmap(lambda x: grown(a, x))(make(np.stack([X, 2 * X]).astype(np.float32)))
        np.testing.assert_allclose(np.asarray(lanes[1, ...]), grown(A, 2 * X), rtol=1e-5)


@pytest.mark.grad_check
def test_against_jax():
    jax = pytest.importorskip("jax")
    a, x = A.astype(np.float32), X.astype(np.float32)

    def fun(run, a, x):
        return run(lambda v: v.sum() < 30, lambda v: v * a + 0.1, x)

    np.testing.assert_allclose(
        fun(volta.while_loop, a, x), fun(jax.lax.while_loop, a, x), rtol=1e-6
    )
    found = volta.jvp(lambda a, x: fun(volta.while_loop, a, x), (a, x), (x, a))[1]
    wanted = jax.jvp(lambda a, x: fun(jax.lax.while_loop, a, x), (a, x), (x, a))[1]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    xs = np.stack([x, 40 * x, 3 * x])
    np.testing.assert_allclose(
        volta.vmap(lambda x: fun(volta.while_loop, a, x))(xs),
        jax.vmap(lambda x: fun(jax.lax.while_loop, a, x))(xs),
        rtol=1e-6,
    )


# Masks -------------------------------------------------------------------------------------------


def twice(body, x):
    return volta.while_loop(lambda s: s[0] < 2, lambda s: (s[0] + 1, body(s[1])), (0, x))[1]


MASKED = {
    "after": lambda x: F.where(x > 0, twice(F.sqrt, x), 0.0),
    "inside": lambda x: twice(lambda v: F.where(v > 0, F.sqrt(v), v * v), x),
    "before": lambda x: twice(F.sqrt, F.clip(x, 0.0, 9.0))[1:],
    "of the closure": lambda x: F.where(x > 0, twice(lambda v: v * F.sqrt(x), x + 1), 0.0),
    "singular before": lambda x: twice(lambda v: F.where(SECOND, v, 1.0), F.sqrt(x)),
    "singular after": lambda x: F.sqrt(twice(lambda v: F.where(SECOND, v, 0.0), x)),
    "in the step after": lambda x: volta.while_loop(
        lambda s: s[0] < 2,
        lambda s: (s[0] + 1, F.sqrt(F.where((s[0] < 1) | SECOND, s[1], 1.0))),
        (0, x),
    )[1],
    "in the step before": lambda x: volta.while_loop(
        lambda s: s[0] < 2,
        lambda s: (
            s[0] + 1,
            F.where((s[0] > 0) | SECOND, F.sqrt(s[1]), 0.0),
            s[2] + F.sqrt(s[1]),
        ),
        (0, x + 1, x),
    )[2],
}
SECOND = np.asarray([False, True])


@pytest.mark.grad_check
@pytest.mark.parametrize("modes", SEQUENCES)
@pytest.mark.parametrize("name", MASKED)
def test_masked_zeros_stay_zeros(name, modes):
    check_masked(MASKED[name], modes)
    grads = volta.grad(lambda x: F.sum(MASKED[name](x)))(np.asarray([0.0, 4.0]))
    assert np.all(np.isfinite(grads)), grads


@pytest.mark.grad_check
def test_lanes_that_stand_still_do_not_look():
    """A step beyond a lane's end has an infinite derivative, which must not reach it."""

    def fun(x):
        return volta.while_loop(lambda v: v > 0, lambda v: F.sqrt(v) - 0.9, x)

    xs = np.asarray([0.81, 0.0, 3.0, -1.0])
    grads = volta.vmap(volta.grad(fun))(xs)
    same(grads, np.stack([volta.grad(fun)(np.asarray(x)) for x in xs]))
    same(volta.grad(lambda xs: F.sum(volta.vmap(fun)(xs)))(xs), grads)
    assert np.all(np.isfinite(grads))


# Lanes -------------------------------------------------------------------------------------------

XS = np.stack([X, 40 * X, 3 * X, X * 0.01])  # of 4, 0, 2 and more steps
AS = np.stack([A, A + 0.3, A * 1.5, A + 0.1])


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)])
def test_lanes_end_at_different_steps(axes):
    args = (XS if axes[0] == 0 else X, AS if axes[1] == 0 else A)

    def fun(x, a):
        return grown(a, x)

    each = [
        (x if axes[0] == 0 else X, a if axes[1] == 0 else A) for x, a in zip(XS, AS, strict=True)
    ]
    same(volta.vmap(fun, in_axes=axes)(*args), np.stack([fun(*e) for e in each]))

    def loss(x, a):
        return F.sum(F.sin(fun(x, a)))

    slopes = [volta.grad(loss, (0, 1))(*e) for e in each]
    wanted = tree.map(lambda *g: np.stack(g), *slopes)
    same(volta.vmap(volta.grad(loss, (0, 1)), in_axes=axes)(*args), wanted)
    total = volta.grad(lambda *args: F.sum(F.sin(volta.vmap(fun, in_axes=axes)(*args))), (0, 1))
    summed = tuple(w if axis == 0 else w.sum(0) for w, axis in zip(wanted, axes, strict=True))
    same(total(*args), summed)

    def curved(x, a):
        return volta.grad(lambda x: F.sum(volta.grad(loss)(x, a) * x))(x)

    same(volta.vmap(curved, in_axes=axes)(*args), np.stack([curved(*e) for e in each]), rtol=1e-8)

    def pushed(x, a):
        return volta.jvp(lambda x: volta.grad(loss)(x, a), (x,), (x,))[1]

    same(volta.vmap(pushed, in_axes=axes)(*args), np.stack([pushed(*e) for e in each]), rtol=1e-8)


def test_lanes_that_end_together():
    def fun(x):
        return volta.while_loop(
            lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * A, s[2] * 2), (np.asarray(0), x, X)
        )

    same(
        volta.vmap(fun)(XS),
        tree.map(lambda *xs: np.stack(xs), *map(fun, XS)),
    )
    found = volta.vmap(volta.grad(lambda x: F.sum(F.sin(fun(x)[1]))))(XS)
    same(found, np.stack([volta.grad(lambda x: F.sum(F.sin(fun(x)[1])))(x) for x in XS]))


def test_lanes_of_lanes():
    def fun(x, a):
        return grown(a, x)

    found = volta.vmap(volta.vmap(fun, in_axes=(None, 0)), in_axes=(0, None))(XS, AS)
    same(found, np.stack([np.stack([fun(x, a) for a in AS]) for x in XS]))

    def slope(x, a):
        return volta.grad(lambda x: F.sum(F.sin(fun(x, a))))(x)

    found = volta.vmap(volta.vmap(slope, in_axes=(None, 0)), in_axes=(0, None))(XS, AS)
    same(found, np.stack([np.stack([slope(x, a) for a in AS]) for x in XS]))


def test_only_the_condition_differs_between_lanes():
    def fun(most):
        return volta.while_loop(lambda v: v < most, lambda v: v * 2, np.asarray(1.0))

    most = np.asarray([0.5, 3.0, 100.0])
    same(volta.vmap(fun)(most), np.asarray([1.0, 4.0, 128.0]))

    def fun(x, most):
        return volta.while_loop(lambda v: v < most, lambda v: v * x, x)

    slopes = volta.vmap(volta.grad(fun), in_axes=(None, 0))(np.asarray(2.0), most)
    same(slopes, np.asarray([1.0, 4.0, 7 * 64.0]))


def test_many_steps_in_lanes():
    """Lanes of hundreds of steps, each with its own number of pieces."""

    def fun(n, x):
        return volta.while_loop(
            lambda s: s[0] < n, lambda s: (s[0] + 1, s[1] + 1e-2 * F.sin(s[1])), (np.asarray(0), x)
        )[1]

    ns, xs = np.asarray([0, 100, 64, 129]), np.asarray([0.1, 0.2, 0.3, 0.4])

    def slope(n, x):
        return volta.grad(lambda x: fun(n, x))(x)

    same(
        volta.vmap(slope)(ns, xs),
        np.stack([slope(n, x) for n, x in zip(ns, map(np.asarray, xs), strict=True)]),
    )


# In other bodies ---------------------------------------------------------------------------------

INSIDE = {
    "checkpoint": lambda fun: volta.checkpoint(fun),
    "scan": lambda fun: lambda a, x: volta.scan(lambda c, _: (fun(a, c * 0.1), ()), x, length=2)[0],
    "cond": lambda fun: lambda a, x: volta.cond(F.sum(x) > 0, fun, lambda a, x: x, a, x),
    "custom": lambda fun: volta.custom_rule(fun),
    "map": lambda fun: lambda a, x: volta.map(lambda v: fun(a, v), F.stack([x, 2 * x])),
}


@pytest.mark.grad_check
@pytest.mark.parametrize("name", INSIDE)
def test_inside_other_bodies(name):
    fun = INSIDE[name](grown)
    check(fun, A, X, order=1)
    same(volta.vmap(fun, in_axes=(None, 0))(A, XS), np.stack([fun(A, x) for x in XS]))

    def slope(x):
        return volta.grad(lambda x: F.sum(F.sin(fun(A, x))))(x)

    same(volta.vmap(slope)(XS), np.stack([slope(x) for x in XS]))


@pytest.mark.grad_check
@pytest.mark.parametrize("name", ["checkpoint", "scan"])
def test_second_order_where_it_is_staged(name):
    """Forward over reverse needs the number of steps, which a list does not have."""

    def fun(x):
        return F.sum(F.sin(INSIDE[name](grown)(A, x)))

    with pytest.raises(TraceError, match=r"^while_loop: reverse mode that is .* number of steps"):
        volta.grad(lambda x: F.sum(volta.grad(fun)(x) ** 2))(X)
    assert live.staging == 0

    def double(x):
        return F.sum(volta.jvp(fun, (x,), (x,))[1])

    found = volta.grad(double)(X)
    eps = 1e-5
    wanted = [(double(X + eps * e) - double(X - eps * e)) / (2 * eps) for e in np.eye(3)]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


# Errors and scope --------------------------------------------------------------------------------

ONE = np.asarray(1.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: volta.while_loop(lambda v: v < 3, lambda v: (v, v), ONE),
            ShapeError,
            r"^while_loop\(<lambda>\): a step must keep the structure of the value; got .* then",
        ),
        (
            lambda: volta.while_loop(lambda v: v["a"] < 3, lambda v: {"a": v["a"] + X}, {"a": ONE}),
            ShapeError,
            r"keep the types of the value; got float64\[\] and then float64\[3\] at value\['a'\]\.",
        ),
        (
            lambda: volta.while_loop(lambda v: v < 3, lambda v: v, X),
            ShapeError,
            r"^while_loop\(<lambda>\): the condition must be one bool, shape \(\); got bool\[3\]\.",
        ),
        (
            lambda: volta.while_loop(lambda v: v, lambda v: v, ONE),
            ShapeError,
            r"the condition must be one bool, shape \(\); got float64\[\]\.",
        ),
        (
            lambda: volta.while_loop(lambda v: (), lambda v: v, ONE),
            ShapeError,
            r"the condition must be one bool, shape \(\); got nothing\.",
        ),
        (
            lambda: volta.while_loop(lambda v: True, lambda v: v, ()),
            ShapeError,
            r"^while_loop\(<lambda>\): the value must hold an array for the loop to end; got ",
        ),
        (
            lambda: volta.while_loop(lambda v: v < 3, lambda v: v if v > 1 else v + 1, ONE),
            TraceError,
            r"bool: needs a concrete value; got an array traced by while_loop\(<lambda>\) at test_",
        ),
        (
            lambda: volta.while_loop(lambda v: bool(v < 3), lambda v: v, ONE),
            TraceError,
            r"bool: needs a concrete value; got an array traced by while_loop\(<lambda>\) at test_",
        ),
        (
            lambda: volta.while_loop(lambda v: v < 3, body_fn=None, init_val=1),
            TypeError,
            "body_fun",
        ),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=message):
        call()
    assert live.staging == 0


def test_the_users_error_comes_through():
    def body(v):
        raise KeyError("mine")

    for init in (ONE, 1.0):
        with pytest.raises(KeyError, match="mine"):
            volta.while_loop(lambda v: v < 3, body, init)
    assert live.staging == 0


def test_the_condition_and_the_body_print_below_the_loop():
    text = str(volta.trace(lambda a, x: grown(a, x))(A, X))
    assert "while_loop(%0, %1; test=while_loop(<lambda>); body=while_loop(<lambda>)" in text
    assert "    while_loop(<lambda>)(" in text
    assert " = less(" in text
    assert " = multiply(" in text


def test_threads():
    wanted = volta.grad(lambda a: F.sum(grown(a, X)))(A)
    staged = volta.trace(grown)(A, X)
    found = []

    def work():
        for _ in range(5):
            found.append(volta.grad(lambda a: F.sum(grown(a, X)))(A))
            found.append(volta.grad(lambda a: F.sum(staged(a, X)))(A))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 30
    for g in found:
        same(g, wanted)


def test_a_discrete_value_that_follows_a_floating_one():
    def run(x):
        def step(s):
            i, large, x = s
            return i + 1, F.sum(x) > 3.0, F.where(large, F.sin(x) * x, x * 1.3)

        return volta.while_loop(lambda s: s[0] < 6, step, (0, np.asarray(False), x))[2]

    forward, reverse = volta.jacfwd(run), volta.jacrev(run)
    same(reverse(X), forward(X))
    lanes = np.stack([X, 2 * X])
    same(volta.vmap(reverse)(lanes), volta.vmap(forward)(lanes))


@pytest.mark.parametrize("bound", [10.0, None])
def test_no_lanes(bound):
    def run(x):
        most = 3 * x if bound is None else bound
        return volta.while_loop(lambda s: s[1] < most, lambda s: (s[0] + 1, s[1] * 2), (0, x))[1]

    none = np.ones(0)
    assert volta.vmap(run)(none).shape == (0,)
    assert volta.vmap(volta.grad(run))(none).shape == (0,)
    assert volta.grad(lambda x: F.sum(volta.vmap(run)(x)))(none).shape == (0,)
    assert volta.vmap(volta.grad(volta.grad(run)))(none).shape == (0,)
    twice = volta.vmap(volta.vmap(volta.grad(run)))
    assert twice(np.ones((0, 2))).shape == (0, 2)
    assert twice(np.ones((2, 0))).shape == (2, 0)
    assert volta.jacrev(volta.vmap(run))(none).shape == (0, 0)


def test_lanes_that_have_arrived_are_not_asked_again():
    starts = np.asarray([0, 1, 3])

    def fun(a, start):
        return volta.fori_loop(start, 3, lambda i, v: v * a + a * F.take(X, i), np.asarray(0.0))

    a = np.asarray(2.0)
    for derive in (lambda f: f, volta.grad, lambda f: volta.grad(volta.grad(f))):
        wanted = np.stack([derive(lambda a, n=n: fun(a, n))(a) for n in starts])
        found = volta.vmap(derive(fun), in_axes=(None, 0))(a, starts)
        np.testing.assert_allclose(found, wanted)

    def many(a):
        return volta.vmap(fun, in_axes=(None, 0))(a, starts)

    slopes = [volta.grad(fun)(a, n) for n in starts]
    np.testing.assert_allclose(volta.jvp(many, (a,), (np.asarray(1.0),))[1], slopes)
    np.testing.assert_allclose(volta.jacrev(many)(a), slopes)
    own = np.stack([X, 2 * X, 3 * X])  # each lane has its own array to read
    found = volta.vmap(lambda x, n: volta.fori_loop(n, 3, lambda i, v: v + F.take(x, i), 0.0))
    np.testing.assert_allclose(found(own, starts), [X.sum(), 2 * X[1:].sum(), 0.0])


def test_a_value_without_arrays():
    assert volta.while_loop(lambda v: False, lambda v: v, ()) == ()
