"""Branches: values, derivatives, lanes that go different ways."""

import itertools

import array_api_strict as strict
import numpy as np
import pytest
from differences import SEQUENCES, check, check_masked, same

import volta
import volta.functional as F
from volta import tree
from volta.core.errors import DimensionError, DTypeError, ShapeError, TraceError
from volta.core.trace import live

pytestmark = pytest.mark.core

rng = np.random.default_rng(0)
X = np.asarray([0.3, 0.9, -0.4])
W = rng.normal(size=3)

BRANCHES = (
    lambda x, w: {"out": F.sin(x) * w, "n": F.sum(x)},
    lambda x, w: {"out": x * x, "n": F.sum(F.exp(w))},
    lambda x, w: {"out": w, "n": F.prod(x)},
)


# Values ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pred", "taken"),
    [
        (True, True),
        (False, False),
        (1, True),
        (0, False),
        (0.5, True),
        (np.asarray(True), True),
        (np.asarray(0.0), False),
        (np.asarray(-2), True),
        (np.bool_(False), False),
        (np.asarray(float("nan")), True),
    ],
)
def test_cond_takes_what_python_would(pred, taken):
    assert bool(pred) is taken
    out = volta.cond(pred, lambda x: (x + 1, None), lambda x: (x - 1, None), X)
    same(out, (X + 1 if taken else X - 1, None))


@pytest.mark.parametrize("index", [-5, -1, 0, 1, 2, 3, 100, np.asarray(1), np.asarray(2, np.uint8)])
def test_switch_clamps(index):
    found = volta.switch(index, BRANCHES, X, W)
    same(found, tree.map(np.asarray, BRANCHES[int(np.clip(index, 0, 2))](X, W)))


def test_one_branch_and_no_operand():
    same(volta.switch(7, [lambda: F.asarray(X) * 2]), X * 2)
    same(volta.cond(True, lambda: W, lambda: X), W)
    same(volta.cond(False, lambda *a: a, lambda *a: a, X, {"a": W}), (X, {"a": W}))
    same(volta.cond(True, lambda: (), lambda: ()), ())


def test_only_one_branch_is_computed():
    ran = []

    @volta.custom_rule
    def noted(x):
        if type(x) is np.ndarray:
            ran.append(1)
        return x

    volta.cond(True, lambda x: x * 1, noted, X)
    assert not ran
    volta.grad(lambda x: F.sum(volta.cond(F.sum(x) > 0, lambda x: x * 1, noted, x)))(X)
    assert not ran
    volta.cond(False, lambda x: x * 1, noted, X)
    assert ran


# Derivatives -------------------------------------------------------------------------------------


@pytest.mark.grad_check
@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("staged", [False, True], ids=["known", "staged"])
def test_derivatives_in_everything(index, staged):
    """In a body the number of the branch is not known."""

    def fun(x, w):
        if staged:

            def step(c, i):
                return (volta.switch(i, BRANCHES, c, w)["out"], F.sum(c))

            return volta.scan(step, x, np.asarray([index, 0, index]))
        return volta.switch(index, BRANCHES, x, w)

    check(fun, X, W, order=2 if staged else 3)


@pytest.mark.grad_check
@pytest.mark.parametrize("positive", [True, False])
def test_the_predicate_may_come_from_what_varies(positive):
    x = X if positive else X - 1

    def fun(x):
        return volta.cond(F.sum(x) > 0, lambda x: F.sin(x) * W, lambda x: x**3, x)

    same(fun(x), np.sin(x) * W if positive else x**3)
    check(fun, x, order=3)


@pytest.mark.grad_check
@pytest.mark.parametrize("staged", [False, True])
def test_closures_of_the_branches(staged):
    def fun(x, w):
        y = x * w

        def choose(p):
            return volta.cond(p, lambda: F.sin(y) * w, lambda: (x + y) * F.sin(y))

        if not staged:
            return choose(True), choose(False)
        ps = np.asarray([True, False])
        return volta.scan(lambda c, p: (c + choose(p), choose(p)), x, ps)

    check(fun, X, W)
    out = fun(X, W)
    same(tuple(out[1]) if staged else out, (np.sin(X * W) * W, (X + X * W) * np.sin(X * W)))


def test_an_array_that_both_branches_close_over_is_one_operand():
    def fun(x):
        y = x * 2
        return volta.cond(F.sum(x) > 0, lambda: y * W + X, lambda: X * y)

    entry = volta.trace(fun)(X).entries[-1]
    assert entry.primitive.name == "switch"
    assert len(entry.operands) == 4  # the number, y, W and X


@pytest.mark.grad_check
def test_results_that_do_not_vary_or_are_integers():
    def fun(x):
        return volta.cond(
            F.sum(x) > 0,
            lambda x: (W, F.argmax(x), x * 2),
            lambda x: (x, F.argmin(x), W),
            x,
        )

    for x in (X, X - 1):
        check(fun, x)
        _, moved = volta.jvp(fun, (x,), (np.ones(3),))
        assert moved[1].dtype == np.int64
        pull = volta.vjp(fun, x)[1]
        ct = (np.ones(3), np.asarray(0), np.ones(3))
        same(pull(ct), (2 * np.ones(3),) if x is X else (np.ones(3),))


@pytest.mark.grad_check
@pytest.mark.parametrize("part", ["out", "n"])
def test_absent_cotangents(part):
    for index in range(3):
        check(lambda x, w, index=index: volta.switch(index, BRANCHES, x, w)[part], X, W)


@pytest.mark.grad_check
def test_complex():
    z = X + 1j * W

    def fun(z):
        return volta.cond(F.real(F.sum(z)) > 0, lambda z: z * F.conj(z) * z, F.exp, z)

    check(fun, z)
    check(fun, -z)


Z = np.asarray([0.0, 4.0])
SECOND = np.asarray([False, True])
MASKED = {
    "after": lambda x: F.where(x > 0, volta.cond(x[1] > 0, F.sqrt, F.sin, x), 0.0),
    "inside": lambda x: volta.cond(x[1] > 0, lambda x: F.where(x > 0, F.sqrt(x), x), F.sin, x),
    "before": lambda x: volta.cond(x[1] > 0, F.sqrt, F.sin, F.clip(x, 0.0, 9.0))[1],
    "singular before": lambda x: volta.cond(
        x[1] > 0, lambda x: F.where(SECOND, x, 1.0), F.sin, F.sqrt(x)
    ),
    "singular after": lambda x: F.sqrt(
        volta.cond(x[1] > 0, lambda x: F.where(SECOND, x, 0.0), F.sin, x)
    ),
    "singular after, staged": lambda x: volta.scan(
        lambda c, p: (F.sqrt(volta.cond(p, lambda x: F.where(SECOND, x, 0.0), F.sin, c)), ()),
        x,
        np.asarray([True]),
    )[0],
    "singular before, staged": lambda x: volta.scan(
        lambda c, p: (volta.cond(p, lambda x: F.where(SECOND, x, 1.0), F.sin, F.sqrt(c)), ()),
        x,
        np.asarray([True]),
    )[0],
    "staged": lambda x: F.where(
        x > 0,
        volta.scan(lambda c, p: (volta.cond(p, F.sqrt, F.sin, c), ()), x, np.asarray([True]))[0],
        0.0,
    ),
    "inside, staged": lambda x: volta.scan(
        lambda c, p: (volta.cond(p, lambda x: F.where(x > 0, F.sqrt(x), x), F.sin, c), ()),
        x,
        np.asarray([True]),
    )[0],
}


@pytest.mark.grad_check
@pytest.mark.parametrize("modes", SEQUENCES)
@pytest.mark.parametrize("name", MASKED)
def test_masked_zeros_stay_zeros(name, modes):
    check_masked(MASKED[name], modes)
    grads = volta.grad(lambda x: F.sum(MASKED[name](x)))(Z)
    assert np.all(np.isfinite(grads)), grads


# Lanes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "which", [s for n in (1, 2, 3) for s in itertools.combinations(range(3), n)]
)
def test_lanes_of_any_operands(which):
    args = [np.asarray(1), X, W]
    stacked = [np.stack([a, a * 2, a * 0]) if i in which else a for i, a in enumerate(args)]
    axes = tuple(0 if i in which else None for i in range(3))

    def fun(i, x, w):
        return volta.switch(i, BRANCHES, x, w)

    each = [tuple(s[k] if i in which else s for i, s in enumerate(stacked)) for k in range(3)]
    same(
        volta.vmap(fun, in_axes=axes)(*stacked),
        tree.map(lambda *a: np.stack(a), *(fun(*e) for e in each)),
    )

    def loss(i, x, w):
        return F.sum(F.sin(fun(i, x, w)["out"])) + fun(i, x, w)["n"]

    slope = volta.grad(loss, (1, 2))
    wanted = tree.map(lambda *a: np.stack(a), *(slope(*e) for e in each))
    same(volta.vmap(slope, in_axes=axes)(*stacked), wanted)
    total = volta.grad(lambda *a: F.sum(volta.vmap(loss, in_axes=axes)(*a)), (1, 2))(*stacked)
    same(total, tuple(w if i in which else w.sum(0) for i, w in zip((1, 2), wanted, strict=True)))

    def curved(i, x, w):
        return volta.jvp(lambda x: slope(i, x, w), (x,), (x,))[1]

    same(
        volta.vmap(curved, in_axes=axes)(*stacked),
        tree.map(lambda *a: np.stack(a), *(curved(*e) for e in each)),
    )


def test_lanes_of_lanes():
    def fun(p, x):
        return volta.cond(p > 0, lambda x: F.sin(x), lambda x: x * x, x)

    ps, xs = np.asarray([1.0, -1.0]), np.stack([X, W])
    found = volta.vmap(volta.vmap(fun, in_axes=(None, 0)), in_axes=(0, None))(ps, xs)
    same(found, np.stack([np.sin(xs), xs * xs]))


def test_a_branch_of_other_lanes_raises_no_warning_and_leaves_no_nan():
    def fun(x):
        return volta.cond(x > 0, lambda x: F.log(x), lambda x: F.sqrt(-x), x)

    xs = np.asarray([1.0, -4.0, 9.0])
    same(volta.vmap(fun)(xs), np.asarray([0.0, 2.0, np.log(9.0)]))
    same(volta.vmap(volta.grad(fun))(xs), np.asarray([1.0, -0.25, 1 / 9]))
    same(volta.grad(lambda xs: F.sum(volta.vmap(fun)(xs)))(xs), np.asarray([1.0, -0.25, 1 / 9]))


# Elsewhere ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["strict", "torch", "jax"])
def test_other_libraries(library):
    if library == "strict":
        make = strict.asarray
    else:
        make = pytest.importorskip("jax.numpy" if library == "jax" else "torch").asarray
    x, w = make(X.astype(np.float32)), make(W.astype(np.float32))
    out = volta.switch(make(np.asarray(1, np.int32)), BRANCHES, x, w)
    assert {type(v) for v in tree.leaves(out)} == {type(x)}

    def fun(x):
        return F.sum(volta.cond(F.sum(x) > 0, lambda x: F.sin(x), lambda x: x, x))

    grads = volta.grad(fun)(x)
    assert type(grads) is type(x)
    np.testing.assert_allclose(np.asarray(grads), np.cos(X), rtol=1e-5)


@pytest.mark.grad_check
def test_against_jax():
    jax = pytest.importorskip("jax")
    x = X.astype(np.float32)

    def loss(cond, switch, xp, x):
        y = cond(x.sum() > 0, lambda x: xp.sin(x), lambda x: x * x, x)
        z = switch(2, [lambda y: y, lambda y: y * 2, lambda y: xp.cos(y) * x], y)
        return (y * z).sum()

    def ours(x):
        return loss(volta.cond, volta.switch, F, x)

    def theirs(x):
        return loss(jax.lax.cond, jax.lax.switch, jax.numpy, x)

    for v in (x, x - 1):
        np.testing.assert_allclose(volta.grad(ours)(v), jax.grad(theirs)(v), rtol=1e-5)
        found = volta.jvp(volta.grad(ours), (v,), (v,))[1]
        np.testing.assert_allclose(found, jax.jvp(jax.grad(theirs), (v,), (v,))[1], rtol=1e-4)


def test_both_branches_print():
    def left(x):
        return F.sin(x)

    text = str(volta.trace(lambda x: volta.cond(x > 0, left, lambda x: x, x))(np.asarray(1.0)))
    assert "switch(%3, %0; branches=(cond(<lambda>), cond(left)))" in text
    assert "    cond(left)(%0: float64[]):" in text
    line = left.__code__.co_firstlineno + 1
    assert f"# test_cond.py:{line}" in text
    captured = str(
        volta.trace(lambda x: volta.cond(x > 0, lambda: left(x), lambda: x))(np.asarray(1.0))
    )
    assert f"# test_cond.py:{line}" in captured


def test_a_staged_choice_runs_either_way():
    staged = volta.trace(lambda p, x: volta.cond(p, lambda x: F.sin(x), lambda x: x * W, x))(
        True, X
    )
    staged.check()
    same(staged(np.asarray(True), W), np.sin(W))
    same(staged(np.asarray(False), W), W * W)


# Errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: volta.cond(X > 0, F.sin, F.cos, X),
            ShapeError,
            r"^cond\(sin, cos\): pred must be one value, shape \(\); got shape \(3,\)\.",
        ),
        (
            lambda: volta.switch(X, [F.sin], X),
            ShapeError,
            r"^switch\(sin\): index must be one value, shape \(\); got shape \(3,\)\.",
        ),
        (
            lambda: volta.switch(0.5, [F.sin], X),
            DTypeError,
            r"^switch\(sin\): index must be an integer; got float32\.",
        ),
        (
            lambda: volta.switch(0, [], X),
            ValueError,
            r"^switch: needs at least one branch; got none\.",
        ),
        (
            lambda: volta.cond(True, F.sin, lambda x: (x, x), X),
            ShapeError,
            r"branches must return the same structure; got PyTreeSpec.* from <lambda> and .* "
            r"from sin",
        ),
        (
            lambda: volta.cond(True, F.sin, lambda x: F.sum(x), X),
            ShapeError,
            r"branches must return the same types; got float64\[\] from <lambda> and "
            r"float64\[3\] from "
            r"sin at result\.",
        ),
        (
            lambda: volta.switch(
                0, [lambda x: {"a": x}, lambda x: {"a": x}, lambda x: {"a": F.argmax(x)}], X
            ),
            ShapeError,
            r"got float64\[3\] from <lambda> and int64\[\] from <lambda> at result\['a'\]\.",
        ),
        (
            lambda: volta.cond(True, lambda x: x if x[0] > 0 else -x, F.cos, X),
            TraceError,
            r"bool: needs a concrete value; got an array traced by cond\(<lambda>\) at "
            r"test_cond\.py",
        ),
        (
            lambda: volta.cond(True, F.sin, F.cos, "a"),
            DTypeError,
            r"^cond\(sin, cos\): every leaf must be an array or a number; got str\.",
        ),
        (lambda: volta.cond(True, F.sin), TypeError, "false_fun"),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=message):
        call()
    assert live.staging == 0


def test_a_branch_may_read_what_it_closes_over():
    raw = np.asarray([1.0, 2.0])

    def fun(x):
        y = x * 2
        return volta.cond(
            x > 0, lambda: y if y > 1 and F.sum(F.asarray(raw)) > 2 else -y, lambda: y
        )

    assert fun(np.asarray(1.0)) == 2.0
    assert volta.grad(fun)(np.asarray(1.0)) == 2.0
    assert volta.grad(fun)(np.asarray(0.25)) == -2.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_among_operands_stay_numbers(dtype):
    x = np.asarray(2.0, dtype)
    for k in (3, 0.1):
        found = volta.cond(True, lambda x, k: x * k, lambda x, k: x, x, k)
        assert found.dtype == x.dtype
        assert found == x * k
    shaped = volta.cond(True, lambda k: k + F.ones(k.shape), lambda k: k, 2.0)  # asks for more
    assert float(shaped) == 3.0


def test_numbers_that_branches_return_follow_the_others():
    for dtype in ("float32", "float64"):
        x = np.asarray(2.0, dtype)
        for branches in ([F.sin, lambda x: 0.0], [lambda x: 1, F.sin], [F.sin, lambda x: True]):
            assert volta.switch(0, branches, x).dtype == x.dtype
            assert volta.switch(1, branches, x).dtype == x.dtype
            grads = [
                volta.grad(lambda x, b=branches, i=i: volta.switch(i, b, x))(x) for i in (0, 1)
            ]
            assert sorted(map(float, grads)) == sorted([float(np.cos(x)), 0.0])
    with pytest.raises(ShapeError, match=r"must return the same types; got int64\[\] .*float32"):
        volta.cond(True, lambda x: 0.5, lambda x: x, np.asarray(2))


# Lanes that a branch would refuse ----------------------------------------------------------------

EYES = np.stack([np.eye(2), 2 * np.eye(2), np.zeros((2, 2))])
REFUSING = {
    "an index": (
        lambda i: volta.cond(i < 3, lambda i: F.take(X, i), lambda i: np.asarray(0.0), i),
        np.asarray([0, 5, 2]),
    ),
    "no lane takes it": (
        lambda i: volta.cond(i < 0, lambda i: F.take(X, i), lambda i: np.asarray(0.0), i),
        np.asarray([7, 5, 9]),
    ),
    "an inverse": (lambda m: volta.cond(F.sum(m) > 0, F.linalg.inv, F.exp, m), EYES),
    "a square root": (
        lambda m: volta.cond(m[0, 0] > 1.5, F.linalg.cholesky, lambda m: m - 1, m),
        EYES - np.eye(2),
    ),
    "a power of integers": (
        lambda i: volta.switch(i, [lambda i: i, lambda i: 2**i, lambda i: -i], i),
        np.asarray([-1, 1, 2]),
    ),
    "a loop without end": (
        lambda x: volta.cond(
            x > 0, lambda x: volta.while_loop(lambda v: v < 9, lambda v: v * 2, x), lambda x: x, x
        ),
        np.asarray([1.0, 0.0, -1.0]),
    ),
    "inside a loop": (
        lambda i: volta.scan(
            lambda c, x: (c + x * volta.cond(i < 3, lambda i: F.take(X, i), lambda i: c, i), c),
            np.asarray(1.0),
            X,
        )[0],
        np.asarray([0, 5, 2]),
    ),
}


@pytest.mark.parametrize("name", REFUSING)
def test_a_branch_sees_no_lanes_but_its_own(name):
    fun, lanes = REFUSING[name]
    wanted = np.stack([fun(lane) for lane in lanes])
    np.testing.assert_allclose(volta.vmap(fun)(lanes), wanted)
    np.testing.assert_allclose(volta.vmap(volta.checkpoint(fun))(lanes), wanted)
    twice = np.stack([lanes, lanes[::-1]])
    found = volta.vmap(volta.vmap(fun))(twice)
    np.testing.assert_allclose(found, np.stack([wanted, wanted[::-1]]))
    if lanes.dtype == np.float64:

        def summed(x):
            return F.sum(fun(x))

        slopes = np.stack([volta.grad(summed)(lane) for lane in lanes])
        np.testing.assert_allclose(volta.vmap(volta.grad(summed))(lanes), slopes, atol=1e-12)
        whole = volta.grad(lambda x: F.sum(volta.vmap(fun)(x)))(lanes)
        np.testing.assert_allclose(whole, slopes, atol=1e-12)
        moved = volta.jvp(volta.vmap(summed), (lanes,), (lanes,))[1]
        ahead = [volta.jvp(summed, (lane,), (lane,))[1] for lane in lanes]
        np.testing.assert_allclose(moved, ahead, atol=1e-12)


def test_what_its_own_lanes_hold_is_refused():
    with pytest.raises(DimensionError, match=r"indices must be from -3 to 2 along axis 0; got 5"):
        volta.vmap(lambda i: volta.cond(i < 7, lambda i: F.take(X, i), lambda i: 0.0 * X[0], i))(
            np.asarray([0, 5, 9])
        )
