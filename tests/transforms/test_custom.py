"""Rules of one's own: every combination of them, under and inside every transform."""

import gc
import itertools
import weakref
from typing import NamedTuple

import numpy as np
import pytest
from differences import SEQUENCES, check, check_masked, in_modes, same

import volta
import volta.functional as F
from volta import tree
from volta.core.errors import DTypeError, RuleError, ShapeError, TraceError
from volta.core.trace import live

pytestmark = pytest.mark.core

X = np.asarray([0.3, -0.8, 1.1])
Y = np.asarray([0.9, 0.4, -0.5])


# All combinations of rules -----------------------------------------------------------------------


class Kept(NamedTuple):
    x: object
    rest: dict


def build(rules, make=volta.custom_rule):
    """A function of trees, by some of its rules: out = sin(x) y, and a sum and a number beside."""
    fun = make(lambda p, y: {"out": F.sin(p["x"]) * y, "sum": F.sum(p["x"] * y), "n": F.argmax(y)})

    def moved(p, y, t, s):
        x, tx = p["x"], t["x"]
        return {
            "out": F.cos(x) * y * tx + F.sin(x) * s,
            "sum": F.sum(tx * y + x * s),
            "n": F.zeros_like(F.argmax(y)),
        }

    if "jvp" in rules:
        fun.defjvp(lambda primals, tangents: (fun(*primals), moved(*primals, *tangents)))
    if "vjp" in rules:

        def bwd(kept, ct):
            x, y = kept.x, kept.rest["y"][0]
            gx = F.cos(x) * y * ct["out"] + y * ct["sum"]
            return {"x": gx}, F.sin(x) * ct["out"] + x * ct["sum"]

        fun.defvjp(lambda p, y: (fun(p, y), Kept(p["x"], {"y": (y, None)})), bwd)
    if "vmap" in rules:

        @fun.defvmap
        def lanes(size, batched, p, y):
            x, by_x, by_y = p["x"], batched[0]["x"], batched[1]
            x = x if by_x else F.broadcast_to(x, (size, *x.shape))
            out = {
                "out": F.sin(x) * y,
                "sum": F.sum(x * y, axis=1),
                "n": F.argmax(y, axis=1) if by_y else F.argmax(y),
            }
            return out, {"out": True, "sum": True, "n": by_y}

    return fun


RULES = [r for n in range(4) for r in itertools.combinations(("jvp", "vjp", "vmap"), n)]
SOME = [("jvp",), ("vjp",), ("jvp", "vjp", "vmap")]
ids = "-".join


def flat(fun):
    return lambda x, y: fun({"x": x}, y)


@pytest.mark.parametrize("rules", RULES, ids=ids)
def test_values(rules):
    same(build(rules)({"x": X}, Y), {"out": np.sin(X) * Y, "sum": np.sum(X * Y), "n": np.argmax(Y)})


@pytest.mark.grad_check
@pytest.mark.parametrize("rules", RULES, ids=ids)
def test_derivatives_in_everything(rules):
    fun = build(rules)
    check(flat(fun), X, Y, order=3 if rules in SOME else 2)
    check(lambda x: fun({"x": x}, Y), X)
    check(lambda y: fun({"x": X}, y)["sum"], Y)


@pytest.mark.parametrize("which", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("rules", RULES, ids=ids)
def test_lanes(rules, which):
    fun = flat(build(rules))
    stacked = [np.stack([a, a * 2, -a]) if i in which else a for i, a in enumerate((X, Y))]
    axes = tuple(0 if i in which else None for i in range(2))
    each = [tuple(s[k] if i in which else s for i, s in enumerate(stacked)) for k in range(3)]

    def agree(fun):
        wanted = tree.map(lambda *a: np.stack(a), *(tree.map(np.asarray, fun(*e)) for e in each))
        same(volta.vmap(fun, in_axes=axes)(*stacked), wanted)
        return wanted

    agree(fun)

    def loss(x, y):
        return F.sum(fun(x, y)["out"]) * fun(x, y)["sum"]

    slopes = agree(volta.grad(loss, (0, 1)))
    agree(lambda x, y: volta.jvp(fun, (x, y), (y, x))[1])
    agree(lambda x, y: volta.jvp(volta.grad(loss), (x, y), (y, x))[1])
    total = volta.grad(lambda *a: F.sum(volta.vmap(loss, in_axes=axes)(*a)), (0, 1))(*stacked)
    same(total, tuple(s if i in which else s.sum(0) for i, s in enumerate(slopes)))


@pytest.mark.parametrize("rules", SOME, ids=ids)
def test_lanes_of_lanes(rules):
    def fun(x, y):
        return flat(build(rules))(x, y)["out"]

    xs, ys = np.stack([X, Y]), np.stack([Y, X, X + Y])
    found = volta.vmap(volta.vmap(fun, in_axes=(None, 0)), in_axes=(0, None))(xs, ys)
    same(found, np.sin(xs)[:, None] * ys)

    def slope(x, y):
        return volta.grad(lambda x: F.sum(fun(x, y)))(x)

    found = volta.vmap(volta.vmap(slope, in_axes=(None, 0)), in_axes=(0, None))(xs, ys)
    same(found, np.cos(xs)[:, None] * ys)


INSIDE = {
    "scan": lambda f: lambda x, y: volta.scan(lambda c, v: (f(c, v), c), x, F.stack([y, y])),
    "while_loop": lambda f: (
        lambda x, y: volta.while_loop(
            lambda s: s[0] < 3, lambda s: (s[0] + 1, f(s[1], y)), (np.asarray(0), x)
        )[1]
    ),
    "cond": lambda f: lambda x, y: volta.cond(F.sum(y) > 0, f, lambda x, y: x, x, y),
    "checkpoint": lambda f: volta.checkpoint(f),
    "map": lambda f: lambda x, y: volta.map(lambda v: f(v, y), F.stack([x, y])),
    "custom_rule": lambda f: volta.custom_rule(f),
    "vmap": lambda f: lambda x, y: volta.vmap(f, in_axes=(0, None))(F.stack([x, y]), y),
    "associative_scan": lambda f: (
        lambda x, y: volta.associative_scan(lambda a, b: f(a, b), F.stack([x, y]))
    ),
    "custom_vjp": lambda f: _around(f),
}


def _around(f):
    """A reverse rule that calls `f`, and its derivative."""
    outer = volta.custom_vjp(lambda x, y: f(x, y))

    def fwd(x, y):
        return volta.vjp(lambda x, y: f(x, y), x, y)[0], (x, y)

    outer.defvjp(fwd, lambda kept, ct: volta.vjp(lambda x, y: f(x, y), *kept)[1](ct))
    return outer


@pytest.mark.grad_check
@pytest.mark.parametrize("rules", SOME, ids=ids)
@pytest.mark.parametrize("name", INSIDE)
def test_inside(name, rules):
    fun = INSIDE[name](lambda x, y: flat(build(rules))(x, y)["out"])
    check(fun, X, Y, order=1 if name in ("while_loop", "associative_scan") else 2)
    lanes = np.stack([X, X * 2])
    found = volta.vmap(fun, in_axes=(0, None))(lanes, Y)
    same(found, tree.map(lambda *a: np.stack(a), *(fun(x, Y) for x in lanes)))


@pytest.mark.grad_check
def test_a_rule_is_what_counts():
    """Wrong on purpose, so that it shows which rule was used."""
    twice = volta.custom_rule(lambda x: x * 1.0)
    twice.defvjp(lambda x: (x * 1.0, None), lambda _, ct: (2.0 * ct,))
    same(volta.grad(lambda x: F.sum(twice(x)))(X), 2 * np.ones(3))
    same(volta.jvp(twice, (X,), (Y,))[1], 2 * Y)  # its transpose
    twice.defjvp(lambda p, t: (p[0] * 1.0, 3.0 * t[0]))
    same(volta.jvp(twice, (X,), (Y,))[1], 3 * Y)
    same(volta.grad(lambda x: F.sum(twice(x)))(X), 2 * np.ones(3))
    twice.defvmap(lambda size, batched, x: (x * 5.0, True))
    same(volta.vmap(twice)(np.stack([X, Y])), 5 * np.stack([X, Y]))
    same(volta.vmap(volta.grad(lambda x: F.sum(twice(x))))(np.stack([X, Y])), 2 * np.ones((2, 3)))


# Linear functions --------------------------------------------------------------------------------


@pytest.mark.grad_check
def test_transposes():
    calls = []
    fun = volta.custom_rule(lambda x, y: (F.flip(x) + 2.0 * y, F.sum(x)))

    @fun.deftranspose
    def transpose(ct):
        calls.append(1)
        return F.flip(ct[0]) + ct[1], 2.0 * ct[0]

    check(fun, X, Y)
    check(lambda x: fun(x, Y), X)
    assert calls
    lanes = np.stack([X, -Y])

    def slope(x):
        return volta.grad(lambda x: F.sum(fun(x, Y)[0] * Y) + fun(x, Y)[1])(x)

    same(volta.vmap(slope)(lanes), np.stack([slope(x) for x in lanes]))
    ct = (Y, np.asarray(1.0))
    same(volta.linear_transpose(fun, X, Y)(ct), volta.vjp(fun, X, Y)[1](ct))


# Masks -------------------------------------------------------------------------------------------


def rooted(kind):
    if kind == "plain":
        return volta.custom_rule(lambda x: F.sqrt(x))
    if kind == "jvp":
        fun = volta.custom_jvp(lambda x: F.sqrt(x))
        fun.defjvp(lambda p, t: (F.sqrt(p[0]), t[0] * (0.5 / F.sqrt(p[0]))))
        return fun
    if kind == "vjp":
        fun = volta.custom_vjp(lambda x: F.sqrt(x))
        fun.defvjp(lambda x: (F.sqrt(x), x), lambda x, ct: (ct * (0.5 / F.sqrt(x)),))
        return fun
    fun = volta.custom_rule(lambda x: F.sqrt(x))
    fun.defvmap(lambda size, batched, x: (F.sqrt(x), True))
    return fun


@pytest.mark.grad_check
@pytest.mark.parametrize("modes", SEQUENCES)
@pytest.mark.parametrize("kind", ["plain", "jvp", "vmap"])
def test_masked_zeros_stay_zeros(kind, modes):
    root = rooted(kind)

    def fun(x):
        return F.where(x > 0, root(x), 0.0)

    with np.errstate(all="ignore"):  # the user's own formula divides by zero
        check_masked(fun, modes)
        grads = volta.grad(lambda x: F.sum(fun(x)))(np.asarray([0.0, 4.0]))
    same(grads, np.asarray([0.0, 0.25]))


@pytest.mark.grad_check
@pytest.mark.parametrize("modes", [m for m in SEQUENCES if len(m) < 3])
@pytest.mark.parametrize("kind", ["plain", "vmap", "vjp"])
def test_a_masked_tangent_stays_zero(kind, modes):
    root = rooted(kind)

    def fun(y):
        return F.sum(root(F.where(np.asarray([False, True]), F.stack([y, y]), 0.0)))

    with np.errstate(all="ignore"):
        same(in_modes(fun, modes)(np.asarray(4.0)), np.asarray([0.25, -1 / 32][len(modes) - 1]))


@pytest.mark.grad_check
def test_a_forward_rule_may_run_a_loop_over_values_and_tangents():
    def powers(x):
        return volta.scan(lambda c, _: (c * x, c), x, length=2)

    fun = volta.custom_jvp(powers)
    fun.defjvp(lambda p, t: volta.jvp(powers, p, t))
    same(volta.vjp(fun, X)[0], powers(X))
    check(fun, X)


# Arguments ---------------------------------------------------------------------------------------


@pytest.mark.grad_check
@pytest.mark.parametrize("numbers", [(0, 2), (-3, -1), [0, 2]])
def test_arguments_that_are_not_differentiated(numbers):
    seen = []

    @volta.custom_vjp
    def plain(f, x, n):
        return f(x) * n

    fun = volta.custom_vjp(plain.fun, nondiff_argnums=numbers)

    def fwd(f, x, n):
        return f(x) * n, x

    def bwd(*given):
        fixed, (x, ct) = given[:2], given[2:]
        seen.append(fixed)
        return (volta.grad(lambda x: F.sum(F.sin(x)))(x) * ct * 2.0,)

    fun.defvjp(fwd, bwd)
    same(fun(F.sin, X, 2.0), np.sin(X) * 2.0)
    same(volta.grad(lambda x: F.sum(fun(F.sin, x, 2.0)))(X), 2 * np.cos(X))
    same(volta.jvp(lambda x: fun(F.sin, x, 2.0), (X,), (Y,))[1], 2 * np.cos(X) * Y)
    lanes = np.stack([X, Y])
    same(volta.vmap(lambda x: fun(F.sin, x, 2.0))(lanes), np.sin(lanes) * 2)
    slope = volta.grad(lambda x: F.sum(fun(F.sin, x, 2.0)))
    same(volta.vmap(slope)(lanes), 2 * np.cos(lanes))
    assert set(seen) == {(F.sin, 2.0)}


@pytest.mark.grad_check
def test_arguments_by_name():
    fun = volta.custom_rule(
        lambda x, y, *, mode="a", n: F.sin(x) * y * n if mode == "a" else x,
        nondiff_argnames=("mode", "n"),
    )
    fun.defvjp(
        lambda x, y, mode="a", n=1: ((F.sin(x) * y * n), (x, y, n)),
        lambda kept, ct: (F.cos(kept[0]) * kept[1] * kept[2] * ct, F.sin(kept[0]) * kept[2] * ct),
    )
    check(lambda x, y: fun(x, y, mode="a", n=3), X, Y)
    check(lambda x, y: fun(x, y=y, n=3), X, Y)
    check(lambda x, y: fun(y=y, x=x, n=3), X, Y)
    one = volta.custom_rule(lambda x, n: x * n, nondiff_argnames="n")
    same(volta.vmap(lambda x: one(x, n=3))(np.stack([X, Y])), 3 * np.stack([X, Y]))
    with pytest.raises(
        TypeError,
        match=r"must be parameters that can go by position, or in nondiff_argnames; got key\.",
    ):
        volta.custom_rule(lambda x, *, key: x)(X, key=X)


FIXED = {
    "by position": lambda fun, x: fun(x, 3),
    "by name": lambda fun, x: fun(x, n=3),
    "all by name": lambda fun, x: fun(n=3, x=x),
    "by default": lambda fun, x: fun(x),
}


@pytest.mark.parametrize("options", [{"nondiff_argnums": 1}, {"nondiff_argnames": "n"}])
@pytest.mark.parametrize("passed", FIXED)
@pytest.mark.parametrize("mode", ["jvp", "vjp"])
def test_the_rule_counts_however_a_fixed_argument_is_passed(mode, passed, options):
    fun = volta.custom_rule(_power, **options)
    if mode == "jvp":
        fun.defjvp(lambda n, primals, tangents: (primals[0] ** n, 100.0 * n * tangents[0]))
    else:
        fun.defvjp(lambda x, n: (x**n, None), lambda n, _, ct: (100.0 * n * ct,))

    def call(x):
        return FIXED[passed](fun, x)

    def looped(x):
        return volta.scan(lambda c, _: (call(c), ()), x, length=1)[0]

    same(call(X), X**3)
    same(volta.grad(lambda x: F.sum(call(x)))(X), np.full(3, 300.0))
    same(volta.jvp(call, (X,), (Y,))[1], 300 * Y)
    same(volta.vmap(volta.grad(call))(X), np.full(3, 300.0))
    same(volta.grad(lambda x: F.sum(looped(x)))(X), np.full(3, 300.0))


def _power(x, n=3):
    return x**n


def test_other_defaults_are_the_functions_own():
    scaled = volta.custom_vjp(lambda x, n=2, f=F.sin: f(x) * n, nondiff_argnums=1)
    scaled.defvjp(lambda x, n: (F.sin(x) * n, None), lambda n, _, ct: (100.0 * n * ct,))
    same(volta.grad(lambda x: F.sum(scaled(x, n=3)))(X), np.full(3, 300.0))
    with pytest.raises(DTypeError, match="every leaf must be an array or a number; got "):
        volta.grad(lambda x: F.sum(scaled(x)))(X)


@pytest.mark.grad_check
@pytest.mark.parametrize("rules", SOME, ids=ids)
def test_numbers_as_arguments(rules):
    fun = build(rules)
    same(
        volta.grad(lambda x: fun({"x": x}, 2.0 * np.ones(()))["out"])(np.asarray(0.3)),
        np.asarray(2 * np.cos(0.3)),
    )
    scaled = volta.custom_rule(lambda x, n: x * n + n)
    if "jvp" in rules:
        scaled.defjvp(lambda p, t: (p[0] * p[1] + p[1], t[0] * p[1] + p[0] * t[1] + t[1]))
    if "vjp" in rules:
        scaled.defvjp(lambda x, n: (x * n + n, (x, n)), lambda k, ct: (k[1] * ct, F.sum(k[0] * ct)))
    same(volta.grad(lambda x: F.sum(scaled(x, 3)))(X), 3 * np.ones(3))
    same(volta.jvp(lambda x: scaled(x, 3), (X,), (Y,)), (X * 3 + 3, Y * 3))
    same(volta.vmap(lambda x: scaled(x, 3))(np.stack([X, Y])), np.stack([X, Y]) * 3 + 3)
    same(volta.trace(lambda x: scaled(x, 3))(X)(Y), Y * 3 + 3)


@pytest.mark.grad_check
def test_methods():
    class Model:
        def __init__(self, n):
            self.n = n

        @volta.custom_vjp
        def nothing(self, x):
            return x

        def power(self, x):
            return x**self.n

        power = volta.custom_vjp(power, nondiff_argnums=0)

    Model.power.defvjp(
        lambda self, x: (x**self.n, x), lambda self, x, ct: (self.n * x ** (self.n - 1) * ct,)
    )
    same(volta.grad(lambda x: F.sum(Model(3).power(x)))(X), 3 * X**2)
    same(volta.grad(lambda x: F.sum(Model.power(Model(3), x)))(X), 3 * X**2)
    check(Model(3).power, X)
    with pytest.raises(RuleError, match=r"^custom_vjp\(nothing\): needs rules before"):
        Model(1).nothing(X)


def test_it_is_dressed_as_the_function():
    @volta.custom_jvp
    def fun(x):
        """What it does."""
        return x

    assert (fun.__name__, fun.__doc__) == ("fun", "What it does.")

    def rule(p, t):
        return (p[0], t[0])

    assert fun.defjvp(rule) is rule
    assert fun.defvmap(rule) is rule
    assert fun.deftranspose(rule) is rule


@pytest.mark.grad_check
def test_defjvps():
    fun = volta.custom_jvp(lambda x, y: {"a": F.sin(x) * y})
    fun.defjvps(
        lambda t, out, x, y: {"a": F.cos(x) * y * t}, lambda t, out, x, y: {"a": F.sin(x) * t}
    )
    check(fun, X, Y)
    half = volta.custom_jvp(lambda x, y: F.sin(x) * y)
    half.defjvps(lambda t, out, x, y: out * 0 + t, None)
    same(volta.grad(lambda x, y: F.sum(half(x, y)), (0, 1))(X, Y), (np.ones(3), np.zeros(3)))
    none = volta.custom_jvp(lambda x: F.sin(x))
    none.defjvps(None)
    same(volta.grad(lambda x: F.sum(none(x)))(X), np.zeros(3))
    fixed = volta.custom_jvp(lambda n, x: x**n, nondiff_argnums=0)
    fixed.defjvps(lambda t, out, x: t * 7.0)
    same(volta.grad(lambda x: F.sum(fixed(3, x)))(X), 7 * np.ones(3))


# Cotangents --------------------------------------------------------------------------------------


@pytest.mark.grad_check
def test_absent_cotangents_of_arguments():
    fun = volta.custom_vjp(lambda p, y, z: p["a"] * y + z)
    fun.defvjp(lambda p, y, z: (fun(p, y, z), (p, y)), lambda k, ct: (None, k[0]["a"] * ct, None))
    grads = volta.grad(lambda *a: F.sum(fun(*a)), (0, 1, 2))({"a": X, "b": Y}, Y, X)
    same(grads, ({"a": 0 * X, "b": 0 * X}, X, 0 * X))
    same(volta.jvp(lambda p, y: fun(p, y, X), ({"a": X}, Y), ({"a": X}, X))[1], X * X)
    lanes = np.stack([X, Y])
    found = volta.vmap(volta.grad(lambda x, y: F.sum(fun({"a": x}, y, x)), (0, 1)))(lanes, lanes)
    same(found, (0 * lanes, lanes))


@pytest.mark.grad_check
def test_cotangents_as_a_list_and_residuals_of_any_kind():
    class Opaque:
        def __init__(self, x):
            self.x = x

    fun = volta.custom_vjp(lambda x: F.sin(x))
    fun.defvjp(lambda x: [F.sin(x), Opaque(x)], lambda kept, ct: [F.cos(kept.x) * ct])
    check(fun, X)


@pytest.mark.grad_check
def test_integer_arguments_and_results():
    fun = volta.custom_vjp(lambda x, i: (F.take(x, i, axis=0), i * 2))

    def bwd(kept, ct):
        (i,) = kept
        return F.zeros(3, dtype=F.float64) + ct[0] * F.astype(F.arange(3) == i, F.float64), None

    fun.defvjp(lambda x, i: ((F.take(x, i, axis=0), i * 2), (i,)), bwd)
    i = np.asarray(1)
    same(volta.grad(lambda x: fun(x, i)[0])(X), np.asarray([0.0, 1.0, 0.0]))
    same(volta.jvp(lambda x: fun(x, i), (X,), (Y,))[1], (Y[1], np.asarray(0)))
    found = volta.vmap(volta.grad(lambda x, i: fun(x, i)[0]), in_axes=(None, 0))(X, np.arange(3))
    same(found, np.eye(3))


# Black boxes -------------------------------------------------------------------------------------


@pytest.mark.grad_check
def test_bodies_that_call_other_code():
    """Under plain derivatives the function and its rules see arrays."""
    special = pytest.importorskip("scipy.special")

    def digamma(x):
        assert type(x) is np.ndarray
        return np.asarray([float(special.gammaln(float(v))) for v in x])

    fun = volta.custom_vjp(digamma)
    fun.defvjp(lambda x: (digamma(x), x), lambda x, ct: (special.digamma(np.asarray(x)) * ct,))
    x = np.abs(X) + 1
    same(fun(x), special.gammaln(x))
    same(volta.grad(lambda x: F.sum(fun(x * 1.0)))(x), special.digamma(x))
    pushed = volta.custom_jvp(digamma)
    pushed.defjvp(lambda p, t: (digamma(p[0]), t[0] * special.digamma(p[0])))
    same(volta.jvp(lambda x: pushed(x * 1.0), (x,), (Y,))[1], Y * special.digamma(x))
    same(volta.grad(lambda x: F.sum(pushed(x * 1.0)))(x), special.digamma(x))
    lanes = volta.custom_rule(digamma)
    lanes.defvmap(lambda size, batched, x: (np.stack([digamma(v) for v in x]), True))
    same(volta.vmap(lambda x: lanes(x * 1.0))(np.stack([x, 2 * x])), special.gammaln([x, 2 * x]))


@pytest.mark.parametrize("library", ["torch", "jax.numpy"])
@pytest.mark.parametrize("rules", SOME, ids=ids)
def test_other_libraries(library, rules):
    make = pytest.importorskip(library).asarray
    x, y = make(X.astype(np.float32)), make(Y.astype(np.float32))
    fun = flat(build(rules))
    for found in (
        volta.grad(lambda x: F.sum(fun(x, y)["out"]))(x),
        volta.jvp(lambda x: fun(x, y)["out"], (x,), (make(np.ones(3, np.float32)),))[1],
    ):
        assert type(found) is type(x)
        np.testing.assert_allclose(np.asarray(found), np.cos(X) * Y, rtol=1e-5)


@pytest.mark.grad_check
def test_against_jax():
    jax = pytest.importorskip("jax")

    def define(lib, xp):
        f = lib.custom_vjp(lambda x, y: xp.sin(x) * y)
        f.defvjp(
            lambda x, y: (xp.sin(x) * y, (x, y)),
            lambda k, ct: (2 * xp.cos(k[0]) * k[1] * ct, xp.sin(k[0]) * ct),
        )
        g = lib.custom_jvp(lambda x: xp.exp(x))
        g.defjvp(lambda p, t: (xp.exp(p[0]), 3 * xp.exp(p[0]) * t[0]))
        return lambda x, y: (f(g(x), y) * g(y)).sum()

    x, y = X.astype(np.float32), Y.astype(np.float32)
    ours, theirs = define(volta, F), define(jax, jax.numpy)
    for v, w in zip(volta.grad(ours, (0, 1))(x, y), jax.grad(theirs, (0, 1))(x, y), strict=True):
        np.testing.assert_allclose(v, w, rtol=1e-5)
    found = volta.grad(lambda x: F.sum(volta.grad(ours)(x, y) * y))(x)
    wanted = jax.grad(lambda x: (jax.grad(theirs)(x, y) * y).sum())(x)
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    # forward mode of a reverse rule, which JAX refuses
    f = volta.custom_vjp(lambda x: F.sin(x))
    f.defvjp(lambda x: (F.sin(x), x), lambda x, ct: (F.cos(x) * ct,))
    same(volta.jvp(f, (X,), (Y,)), (np.sin(X), np.cos(X) * Y))
    same(volta.jvp(lambda x: volta.jvp(f, (x,), (Y,))[1], (X,), (Y,))[1], -np.sin(X) * Y * Y)


# Closing over traced arrays ----------------------------------------------------------------------

CLOSING = {
    "the function": lambda w: volta.custom_rule(lambda x: x * w),
    "fwd": lambda w: _vjp(lambda x: (x * w, x), lambda x, ct: (ct,)),
    "residuals": lambda w: _vjp(lambda x: (x * 2.0, w), lambda w, ct: (w * ct,)),
    "the forward rule": lambda w: _jvp(lambda p, t: (p[0] * 2.0, w * t[0])),
    "the value of the forward rule": lambda w: _jvp(lambda p, t: (p[0] * w, t[0])),
    "a result": lambda w: volta.custom_rule(lambda x: (x * 2.0, w)[1]),
}


def _vjp(fwd, bwd):
    fun = volta.custom_vjp(lambda x: fwd(x)[0])
    fun.defvjp(fwd, bwd)
    return fun


def _jvp(rule):
    fun = volta.custom_jvp(lambda x: x * 2.0)
    fun.defjvp(rule)
    return fun


RUNS = {
    "grad": lambda fun: volta.grad(lambda w: F.sum(fun(w)))(X),
    "vjp": lambda fun: volta.vjp(fun, X),
    "jvp": lambda fun: volta.jvp(fun, (X,), (X,)),
    "linearize": lambda fun: volta.linearize(fun, X),
}


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("name", CLOSING)
def test_arrays_of_the_same_transform_are_refused(name, run):
    with pytest.raises(
        TraceError,
        match=rf"^custom_\w+\(<lambda>\): must not close over an array traced by {run}\(.*\); got "
        r"one at test_custom\.py:\d+\. Pass it as an argument\.",
    ):
        RUNS[run](lambda w: CLOSING[name](w)(w * 1.0))
    assert live.staging == 0


@pytest.mark.parametrize("name", ["the function", "a result"])
def test_arrays_of_the_same_vmap_are_refused(name):
    with pytest.raises(TraceError, match=r"traced by vmap\(.*Pass it as an argument"):
        volta.vmap(lambda w: CLOSING[name](w)(w * 1.0))(np.stack([X, Y]))


@pytest.mark.parametrize("bwd", [lambda w: lambda _, ct: (ct * w,), lambda w: lambda _, ct: (w,)])
def test_bwd_must_not_close_over_them_either(bwd):
    def fun(w):
        return _vjp(lambda x: (x * 2.0, None), bwd(w))(w * 1.0)

    with pytest.raises(TraceError, match=r"got one left over from grad\("):
        volta.grad(lambda w: F.sum(fun(w)))(X)


@pytest.mark.parametrize("name", ["the function", "fwd"])
def test_nor_over_any_traced_array_where_it_is_staged(name):
    def fun(w):
        return volta.scan(lambda c, _: (CLOSING[name](w)(c), ()), w, length=2)[0]

    with pytest.raises(
        TraceError,
        match=r"must not close over a traced array where it is staged; got one\. Pass it",
    ):
        volta.grad(lambda w: F.sum(fun(w)))(X)
    assert live.staging == 0


@pytest.mark.grad_check
def test_arrays_of_outer_transforms_are_welcome():
    def fun(w, x):
        return volta.grad(lambda x: F.sum(F.sin(CLOSING["the function"](w)(x))))(x)

    check(fun, X, Y, order=1)
    raw = volta.custom_rule(lambda x: x * Y)
    same(volta.grad(lambda x: F.sum(raw(x)))(X), Y)

    def step(c, _):
        return (raw(c), ())

    same(volta.grad(lambda x: F.sum(volta.scan(step, x, length=2)[0]))(X), Y * Y)


def test_cotangents_that_are_numbers_or_lack_a_part():
    fun = volta.custom_vjp(lambda p, n: p["a"] * p["b"]["c"][0] * n)
    fun.defvjp(lambda p, n: (fun(p, n), None), lambda _, ct: ({"a": 3.0, "b": None}, 2))

    def both(a, n):
        return fun({"a": a, "b": {"c": [a, a]}}, n)

    for dtype in (np.float32, np.float64):
        a, n = np.asarray(0.5, dtype), np.asarray(0.7, dtype)
        wanted = np.asarray(3.0, dtype), np.asarray(2.0, dtype)
        same(volta.grad(both, (0, 1))(a, n), wanted)
        same(volta.grad(volta.checkpoint(both), (0, 1))(a, n), wanted)
        lanes = np.stack([a, a, a])
        found = volta.vmap(volta.grad(both, (0, 1)), in_axes=(0, None))(lanes, n)
        same(found, tuple(np.stack([w] * 3) for w in wanted))
        summed = volta.grad(lambda x, n: F.sum(volta.vmap(both, (0, None))(x, n)), (0, 1))
        same(summed(lanes, n), (np.full(3, 3.0, dtype), np.asarray(6.0, dtype)))
    vector = volta.custom_vjp(lambda x: x)
    vector.defvjp(lambda x: (x, None), lambda _, ct: (3.0,))
    with pytest.raises(ShapeError, match=r"a cotangent must have its argument's type; got float"):
        volta.grad(lambda x: F.sum(vector(x)))(X)


def test_a_call_keeps_no_arrays():
    last = []

    def fun(x):
        for _ in range(3):
            x = x * 2.0
            last.append(weakref.ref(x.value))
            x = signed(x)
            gc.collect()
        assert [r() is None for r in last] == [True, True, True]
        return F.sum(x)

    signed = volta.custom_vjp(lambda x: x + 1.0)
    signed.defvjp(lambda x: (x + 1.0, None), lambda _, ct: (-ct,))
    same(volta.grad(fun)(X), np.full(3, -8.0))


# Collectives -------------------------------------------------------------------------------------

PLACES = {
    "plain": lambda fun: fun,
    "checkpoint": volta.checkpoint,
    "scan": lambda fun: lambda x: volta.scan(lambda c, _: (fun(c), ()), x, length=1)[0],
    "cond": lambda fun: lambda x: volta.cond(True, fun, F.sin, x),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("rules", [r for r in RULES if "vmap" not in r], ids=ids)
def test_collectives_are_over_the_lanes(rules, place):
    def share(x):
        return x / volta.psum(x, "i") + volta.axis_index("i")

    fun = volta.custom_rule(share)
    if "jvp" in rules:
        fun.defjvp(lambda primals, tangents: volta.jvp(share, primals, tangents))
    if "vjp" in rules:
        fun.defvjp(lambda x: (share(x), x), lambda x, ct: volta.vjp(share, x)[1](ct))
    mine, plain = (volta.vmap(f, axis_name="i") for f in (PLACES[place](fun), share))
    same(mine(X), plain(X))
    same(volta.jacfwd(mine)(X), volta.jacfwd(plain)(X))
    same(volta.jacrev(mine)(X), volta.jacrev(plain)(X))
    within = [volta.vmap(volta.grad(f), axis_name="i")(X) for f in (PLACES[place](fun), share)]
    same(*within)


@pytest.mark.parametrize("place", PLACES)
def test_collectives_of_a_rule_alone(place):
    fun = volta.custom_vjp(lambda x: x)
    fun.defvjp(lambda x: (x, None), lambda _, ct: (volta.psum(ct, "i"),))
    mapped = volta.vmap(PLACES[place](fun), axis_name="i")
    same(volta.grad(lambda x: F.sum(mapped(x) * Y))(X), np.full(3, np.sum(Y)))


def test_a_collective_without_lanes_in_a_staged_function():
    index = volta.custom_rule(lambda x: x * volta.axis_index("i"))
    fun = volta.checkpoint(lambda x: x + index(np.asarray(2.0)))
    same(volta.vmap(fun, axis_name="i")(X), X + 2 * np.arange(3))


# Errors ------------------------------------------------------------------------------------------


def vjp_of(fwd=lambda x: (x * 2.0, x), bwd=lambda x, ct: (ct,)):
    return lambda: volta.grad(lambda x: F.sum(_vjp(fwd, bwd)(x)))(X)


def jvp_of(rule):
    return lambda: volta.jvp(_jvp(rule), (X,), (X,))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: volta.custom_jvp(F.sin)(X),
            RuleError,
            r"^custom_jvp\(sin\): needs a rule before it is called; got none\. Call defjvp\.",
        ),
        (
            lambda: volta.custom_vjp(F.sin)(X),
            RuleError,
            r"^custom_vjp\(sin\): needs rules before it is called; got none\. Call defvjp\.",
        ),
        (
            vjp_of(fwd=lambda x: x if type(x) is str else (x, x, x)),
            TypeError,
            r"^custom_vjp\(<lambda>\): fwd must return a pair; got 3\.",
        ),
        (
            vjp_of(bwd=lambda x, ct: ct),
            ShapeError,
            r"bwd must return a tuple with a cotangent for each of the 1 arguments; got ",
        ),
        (
            vjp_of(bwd=lambda x, ct: (ct, ct)),
            ShapeError,
            r"a cotangent for each of the 1 arguments; got 2\.",
        ),
        (
            vjp_of(bwd=lambda x, ct: ((ct, ct),)),
            ShapeError,
            r"bwd must return cotangents of the structure of the arguments; got .* for "
            r"argument 0\.",
        ),
        (
            vjp_of(bwd=lambda x, ct: (F.sum(ct),)),
            ShapeError,
            r"a cotangent must have its argument's type; got float64\[\] and float64\[3\]\.",
        ),
        (
            vjp_of(bwd=lambda x, ct: (F.astype(ct, F.float32),)),
            ShapeError,
            r"got float32\[3\] and float64\[3\]\.",
        ),
        (
            jvp_of(lambda p, t: p[0]),
            TypeError,
            r"^custom_jvp\(<lambda>\): the forward rule must return a pair; got ndarray\.",
        ),
        (
            jvp_of(lambda p, t: (p[0], (t[0], t[0]))),
            ShapeError,
            r"the forward rule must return a tangent of the structure of the result; got .* "
            r"and PyTreeSpec\(\*",
        ),
        (
            jvp_of(lambda p, t: (p[0], F.sum(t[0]))),
            ShapeError,
            r"the forward rule must return tangents of the type of the result; got "
            r"float64\[\] and float64\[3\] at result\.",
        ),
        (
            lambda: (
                volta.custom_rule(lambda x: "a")(X)
                and volta.grad(lambda x: volta.custom_rule(lambda x: "a")(x))(X)
            ),
            DTypeError,
            r"^custom_rule\(<lambda>\): every leaf must be an array or a number; got str\.",
        ),
        (
            lambda: volta.custom_rule(lambda x: x)("a"),
            DTypeError,
            r"^custom_rule\(<lambda>\): every leaf must be an array or a number; got str\.",
        ),
        (
            lambda: _lanes(lambda size, batched, x: x),
            TypeError,
            r"^custom_rule\(<lambda>\): the rule of lanes must return a pair; got ",
        ),
        (
            lambda: _lanes(lambda size, batched, x: (x, (True, True))),
            ShapeError,
            r"^custom_rule\(<lambda>\): the rule of lanes must say of each result whether it "
            r"has lanes; got ",
        ),
        (
            lambda: _lanes(lambda size, batched, x: (F.sum(x), True)),
            ShapeError,
            r"^custom_rule\(<lambda>\): results of the rule of lanes must have 2 lanes; got "
            r"float64\[\]\.",
        ),
        (
            lambda: _transposed(lambda ct: ct),
            ShapeError,
            r"the transpose rule must return a tuple with a cotangent for each of the 1 "
            r"arguments; got ",
        ),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=message):
        call()
    assert live.staging == 0


def _lanes(rule):
    fun = volta.custom_rule(lambda x: x)
    fun.defvmap(rule)
    return volta.vmap(fun)(np.stack([X, Y]))


def _transposed(rule):
    fun = volta.custom_rule(lambda x: x)
    fun.deftranspose(rule)
    return volta.grad(lambda x: F.sum(fun(x)))(X)


def test_a_rule_that_raises_leaves_nothing_behind():
    def bad(*args):
        raise KeyError("mine")

    for call in (vjp_of(fwd=bad), vjp_of(bwd=bad), jvp_of(bad), lambda: _lanes(bad)):
        with pytest.raises(KeyError, match="mine"):
            call()
        assert live.staging == 0
    same(volta.grad(lambda x: F.sum(x))(X), np.ones(3))


def test_it_prints():
    text = str(volta.trace(lambda x: build(("vjp",))({"x": x}, Y))(X))
    assert "= custom_rule(%0, %1; call=custom_rule(<lambda>))" in text
