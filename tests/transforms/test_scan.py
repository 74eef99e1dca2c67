"""Loops of known length: they are Python's loop, in values, derivatives and lanes."""

import itertools
import threading
import tracemalloc

import array_api_strict as strict
import numpy as np
import pytest
from differences import SEQUENCES, check, check_masked, same

import volta
import volta.functional as F
from volta import tree
from volta.core import Primitive
from volta.core.derivatives import Missing
from volta.core.errors import RuleError, ShapeError, TraceError
from volta.core.primitive import REGISTRY
from volta.core.trace import live
from volta.core.wengert import carried

pytestmark = pytest.mark.core

rng = np.random.default_rng(0)
W = rng.normal(size=(3, 3)) / 2
C = rng.normal(size=3)
XS = rng.normal(size=(4, 3))
SCALARS = np.asarray([1.0, 2.0, 3.0])


def loop(f, init, xs=None, length=None, reverse=False):
    """What `scan` means, by Python's own loop."""
    n = length if xs is None else len(tree.leaves(xs)[0])
    carry, ys = init, []
    for i in reversed(range(n)) if reverse else range(n):
        carry, y = f(carry, tree.map(lambda x, i=i: x[i, ...], xs))
        ys.append(y)
    if reverse:
        ys.reverse()
    return carry, tree.map(lambda *leaves: F.stack(leaves), *ys)


def cell(carry, x):
    carry = F.tanh(F.matmul(W, carry) + x)
    return carry, {"sum": F.sum(carry * x), "both": (carry, None)}


def pair(carry, x):
    a, b = carry["a"], carry["b"]
    return {"a": b * F.sin(a) + x[0], "b": a + x[1]["y"]}, ()


PROGRAMS = {
    "cell": (cell, C, XS),
    "trees": (pair, {"a": C, "b": C[::-1]}, (XS, {"y": XS[:, :1] * 2})),
    "no carry": (lambda c, x: ((), F.exp(x)), (), XS),
    "None": (lambda c, x: (None, x * 2), None, XS),
    "no results": (lambda c, x: (c * x, None), C, XS),
    "carry unchanged": (lambda c, x: (c, c * x), C, XS),
    "carry is x": (lambda c, x: (x, c), C, XS),
    "swapped": (lambda c, x: ((c[1], c[0] * x), c[0]), (C, C + 1), XS),
    "x twice": (lambda c, x: (c + x, (x, x)), C, XS),
    "result is constant": (lambda c, x: (c + x, W), C, XS),
    "made": (lambda c, x: (c * x + F.ones(3, dtype=F.float64), F.arange(3) * c), C, XS),
    "broadcast": (lambda c, x: (c + F.sum(x), x + W), C, XS),
    "of rank 0": (lambda c, x: (c * x, c), np.asarray(2.0), SCALARS),
    "mask": (lambda c, x: (F.where(x > 0, c, F.sqrt(F.abs(x))), c), C, XS),
    "python": (lambda c, x: (sum(x[i] * c for i in range(3)), c[0]), C, XS),
    "complex": (lambda c, x: (c * F.exp(1j * x), F.real(c)), C + 0j, XS),
    "loop inside": (
        lambda c, x: (volta.scan(lambda d, v: (F.sin(d * v) + c, ()), c, XS)[0] + x, c),
        C,
        XS,
    ),
}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", PROGRAMS)
def test_it_is_pythons_loop(name, reverse):
    f, init, xs = PROGRAMS[name]
    same(volta.scan(f, init, xs, reverse=reverse), loop(f, init, xs, reverse=reverse))


@pytest.mark.parametrize("length", [0, 1, 2])
@pytest.mark.parametrize("name", PROGRAMS)
def test_short_loops(name, length):
    f, init, xs = PROGRAMS[name]
    some = tree.map(lambda x: x[:length], xs)
    carry, ys = volta.scan(f, init, some)
    if length:
        same((carry, ys), loop(f, init, some))
    else:
        same(carry, init)
        full = volta.scan(f, init, xs)[1]
        same(ys, tree.map(lambda y: y[:0], full))


@pytest.mark.grad_check
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", PROGRAMS)
def test_derivatives_in_everything(name, reverse):
    f, init, xs = PROGRAMS[name]
    leaves, spec = tree.flatten((init, xs))
    order = 3 if name in ("cell", "trees") and not reverse else 2
    check(
        lambda *flat: volta.scan(f, *tree.unflatten(spec, flat), reverse=reverse),
        *leaves,
        order=order,
    )


@pytest.mark.grad_check
@pytest.mark.parametrize(
    "which", [s for n in (1, 2, 3) for s in itertools.combinations(range(4), n)]
)
def test_derivatives_where_some_vary(which):
    """Of what is closed over, the first carry, a second carry and xs."""
    args = [W, C, C[::-1].copy(), XS]

    def fun(*varied):
        held = dict(zip(which, varied, strict=True))
        w, a, b, xs = (held.get(i, x) for i, x in enumerate(args))

        def step(carry, x):
            a, b = carry
            return (F.tanh(w @ a + x), b * 0.9 + F.sum(w) * a), (a * b, x)

        return volta.scan(step, (a, b), xs)

    check(fun, *(args[i] for i in which))


@pytest.mark.grad_check
def test_a_carry_that_comes_to_vary_only_after_some_steps():
    def fun(x):
        def step(c, _):
            return ((x, c[0], c[1] * 2), c[2])

        return volta.scan(step, (C, C, C), length=4)

    check(fun, C + 1)


@pytest.mark.grad_check
def test_what_does_not_depend_on_the_input_has_no_derivative():
    def step(c, x):
        return ((c[0] * 2, c[1] + x), (c[0], c[1]))

    out, pull = volta.vjp(lambda xs: volta.scan(step, (C, C), xs), XS)
    ct = tree.map(lambda o: np.zeros(o.shape), out)
    ct[0][0][:] = 1.0
    ct[1][0][:] = 1.0
    same(pull(ct), (np.zeros((4, 3)),))
    _, moved = volta.jvp(lambda xs: volta.scan(step, (C, C), xs), (XS,), (np.ones((4, 3)),))
    same(moved[0][0], np.zeros(3))
    same(moved[1][0], np.zeros((4, 3)))
    same(volta.grad(lambda x: F.sum(volta.scan(step, (C, C), XS)[0][1]))(C), np.zeros(3))


@pytest.mark.grad_check
@pytest.mark.parametrize("part", ["carry", "ys"])
def test_absent_cotangents(part):
    def fun(c, xs):
        carry, ys = volta.scan(lambda c, x: (F.sin(c * x), c * c), c, xs)
        return carry if part == "carry" else ys

    check(fun, C, XS)


@pytest.mark.grad_check
def test_integers_among_carry_and_results():
    def step(carry, x):
        i, c, seen = carry
        return (i + 1, c * x + i, F.logical_or(seen, F.sum(x) > 0)), (i, F.argmax(x), c, x > 0)

    def fun(c, xs):
        return volta.scan(step, (np.asarray(2), c, np.asarray(False)), xs)

    same(fun(C, XS), loop(step, (np.asarray(2), C, np.asarray(False)), XS))
    check(fun, C, XS)
    _, moved = volta.jvp(fun, (C, XS), (C, XS))
    assert [t.dtype for t in tree.leaves(moved)] == [x.dtype for x in tree.leaves(fun(C, XS))]
    _value, grads = volta.value_and_grad(lambda c: (out := fun(c, XS), F.sum(out[0][1]))[1])(C)
    assert grads.shape == C.shape


@pytest.mark.grad_check
def test_mixed_precision():
    single = XS.astype(np.float32)

    def step(c, x):
        return (c * x, F.astype(c, F.float32) * x)

    carry, ys = volta.scan(step, C, single)
    assert (carry.dtype, ys.dtype) == (np.float64, np.float32)
    grads = volta.grad(
        lambda c, x: F.sum(volta.scan(step, c, x)[0]) + F.sum(volta.scan(step, c, x)[1]), (0, 1)
    )(C, single)
    assert [g.dtype for g in grads] == [np.float64, np.float32]
    wanted = volta.grad(
        lambda c, x: F.sum(loop(step, c, x)[0]) + F.sum(loop(step, c, x)[1]), (0, 1)
    )
    for g, w in zip(grads, wanted(C, single), strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-5)


def test_complex_arguments():
    z = C + 1j * C[::-1]

    def f(c, x):
        return (c * x + F.conj(c), F.abs(c) ** 2)

    same(volta.scan(f, z, XS + 0.5j), loop(f, z, XS + 0.5j))
    check(lambda z, xs: volta.scan(f, z, xs), z, XS + 0.5j)


# Numbers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex128"])
@pytest.mark.parametrize("number", [0, 0.5, 1j])
def test_a_number_takes_the_dtype_of_the_first_step(number, dtype):
    xs = SCALARS.astype(dtype)
    wanted = (number + xs[:1]).dtype
    carry, ys = volta.scan(lambda c, x: (c + x, c * x), number, xs)
    assert carry.dtype == ys.dtype == wanted
    np.testing.assert_allclose(carry, number + 6.0, rtol=1e-3)


@pytest.mark.parametrize(
    ("init", "step", "dtype"),
    [
        (0, lambda c, x: (c + 1, ()), "int64"),
        (0.0, lambda c, x: (c + 1, ()), "float32"),
        (0, lambda c, x: (c + 1.5, ()), "float32"),
        (True, lambda c, x: (F.logical_and(c, x > 0), ()), "bool"),
        (True, lambda c, x: (c & (x > 0), ()), "bool"),
        (False, lambda c, x: (c + x, ()), "float64"),
        (1.0, lambda c, x: (F.exp(c) * 0.1, ()), "float32"),
        (1.0, lambda c, x: (c.astype(x.dtype) * x, ()), "float64"),  # it asks what a number lacks
        (1.0, lambda c, x: (F.reshape(c, ()) + x, ()), "float64"),
        (0, lambda c, x: (F.astype(x, F.int16), ()), "int16"),
        (2**40, lambda c, x: (c + 1, ()), "int64"),
    ],
)
def test_dtypes_of_numbers(init, step, dtype):
    assert str(volta.scan(step, init, SCALARS)[0].dtype) == dtype


@pytest.mark.parametrize(
    ("init", "step", "kinds"),
    [
        (0.5, lambda c, x: (F.astype(x, F.int32), ()), r"float32\[\] and then int32\[\]"),
        (1j, lambda c, x: (x, ()), r"complex64\[\] and then float64\[\]"),
        (0.0, lambda c, x: (c + XS[0], ()), r"float64\[\] and then float64\[3\]"),
    ],
)
def test_a_step_must_hold_the_number(init, step, kinds):
    with pytest.raises(ShapeError, match=f"keep the types of the carry; got {kinds} at carry"):
        volta.scan(step, init, SCALARS)


def test_numbers_beside_arrays():
    def step(c, x):
        return ((c[0] + x, c[1] + 1, c[2] * c[0]), c)

    found = volta.scan(step, (0.0, 0, C), SCALARS)
    same(found[0], (np.asarray(6.0), np.asarray(3), C * 0.0))


@pytest.mark.grad_check
def test_numbers_and_derivatives():
    check(lambda xs: volta.scan(lambda c, x: (c * x + x, c), 1.0, xs), SCALARS)


# Libraries ---------------------------------------------------------------------------------------


LIBRARIES = [
    pytest.param(strict.asarray, id="strict"),
    pytest.param(lambda x: pytest.importorskip("torch").asarray(x), id="torch"),
    pytest.param(lambda x: pytest.importorskip("jax.numpy").asarray(x), id="jax"),
]


@pytest.mark.parametrize("make", LIBRARIES)
@pytest.mark.parametrize("reverse", [False, True])
def test_other_libraries(make, reverse):
    w, c, xs = (make(x.astype(np.float32)) for x in (W, C, XS))
    number = make(np.zeros((), np.float32))

    def fun(w, c, xs):
        def step(c, x):
            return ((F.tanh(F.matmul(w, c[0]) + x), c[1] + F.sum(x)), c[0] * x)

        return volta.scan(step, (c, 0.0), xs, reverse=reverse)

    (carry, total), ys = fun(w, c, xs)
    assert {type(v) for v in (carry, total, ys)} == {type(number)}
    wanted = fun(W, C, XS)
    for x, y in zip((carry, total, ys), tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(np.asarray(x), y, rtol=2e-5, atol=1e-5)

    def loss(w, c, xs):
        (carry, total), ys = fun(w, c, xs)
        return F.sum(carry) + total + F.sum(ys)

    grads = volta.grad(loss, (0, 1, 2))(w, c, xs)
    for g, y in zip(grads, volta.grad(loss, (0, 1, 2))(W, C, XS), strict=True):
        assert type(g) is type(number)
        np.testing.assert_allclose(np.asarray(g), y, rtol=2e-4, atol=1e-4)


@pytest.mark.parametrize("make", LIBRARIES)
def test_of_no_step_the_results_are_of_the_library(make):
    carry, ys = volta.scan(lambda c, x: (c + x, x * 2), make(np.ones(2)), make(np.ones((0, 2))))
    assert type(carry) is type(ys) is type(make(np.ones(2)))
    assert tuple(ys.shape) == (0, 2)


def test_a_number_with_another_librarys_closure():
    torch = pytest.importorskip("torch")
    scale = torch.asarray(2.0)
    carry, _ = volta.scan(lambda c, _: (c * scale + 1, ()), 1.0, length=3)
    assert type(carry) is torch.Tensor
    assert float(carry) == 15.0


@pytest.mark.grad_check
def test_against_jax():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def loss(scan, xp, w, c, xs):
        def step(carry, x):
            h, n = carry
            h = xp.tanh(w @ h + x) * xp.where(xp.sum(x) > 0, x, 0.5)
            return (h, n + 1), (xp.sum(h * x), h[::-1])

        (h, _), (sums, turned) = scan(step, (h0(c), 0), xs, reverse=True)
        return xp.sum(h) + xp.sum(xp.sin(sums)) + xp.sum(turned * xs)

    def h0(c):
        return c * 2

    args = tuple(x.astype(np.float32) for x in (W, C, XS))
    found = volta.value_and_grad(lambda *a: loss(volta.scan, F, *a), (0, 1, 2))(*args)
    wanted = jax.value_and_grad(lambda *a: loss(jax.lax.scan, jnp, *a), (0, 1, 2))(*args)
    for x, y in zip(tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)
    slope = volta.grad(lambda c: loss(volta.scan, F, args[0], c, args[2]))
    curved = volta.jvp(slope, (args[1],), (args[1],))[1]
    slope = jax.grad(lambda c: loss(jax.lax.scan, jnp, args[0], c, args[2]))
    wanted = jax.jvp(slope, (args[1],), (args[1],))[1]
    np.testing.assert_allclose(curved, wanted, rtol=1e-3, atol=1e-4)


# What a step closes over -------------------------------------------------------------------------


@pytest.mark.grad_check
def test_closures_over_traced_arrays_of_every_transform():
    def fun(w):
        return volta.scan(lambda c, x: (F.sin(c @ w) + x, ()), C, XS)[0]

    check(fun, W)
    lanes = np.stack([W, 2 * W, -W])
    same(volta.vmap(fun)(lanes), np.stack([fun(w) for w in lanes]))

    def slope(w):
        return volta.grad(lambda v: F.sum(fun(v) * fun(w)))(w)

    same(volta.vmap(slope)(lanes), np.stack([slope(w) for w in lanes]))


def test_a_step_may_assign_into_arrays_of_its_own():
    def step(c, x):
        c = c.copy()
        c[0] = x[1] * c[2]
        made = F.zeros(3, dtype=F.float64)
        made[1] = c[0]
        return c + made, made

    def plain(c, x):
        c = c.copy()
        c[0] = x[1] * c[2]
        made = np.zeros(3)
        made[1] = c[0]
        return c + made, made

    same(volta.scan(step, C, XS), loop(plain, C.copy(), XS))
    check(lambda c, xs: volta.scan(step, c, xs), C, XS)


@pytest.mark.grad_check
def test_it_closes_over_a_handle_as_it_is_now():
    def fun(x):
        y = x * 1
        y[0] = 5.0
        first = volta.scan(lambda c, _: (c * y, ()), x, length=2)[0]
        y[1] = 7.0
        return first, volta.scan(lambda c, _: (c * y, ()), x, length=2)[0]

    y = C.copy()
    y[0] = 5.0
    wanted = C * y * y
    y[1] = 7.0
    out, _pull = volta.vjp(fun, C)
    same(out, (wanted, C * y * y))
    check(fun, C)


def test_what_depends_on_the_closure_alone_is_computed_once():
    staged = volta.trace(lambda w, c: volta.scan(lambda c, _: (F.exp(w) @ c, ()), c, length=3))(
        W, C
    )
    assert [e.primitive.name for e in staged.entries] == ["exp", "scan"]
    (inner,) = carried(staged.entries[1])
    assert [e.primitive.name for e in inner.entries] == ["matmul"]


@pytest.mark.grad_check
def test_a_derivative_that_no_step_takes_is_zero():
    """What the closure alone decides must not be computed, with an infinite slope, for no step."""

    def fun(w):
        return F.sum(volta.scan(lambda c, x: (c + F.sqrt(w), ()), C, XS[:0])[0])

    same(volta.grad(fun)(np.zeros(3)), np.zeros(3))
    same(volta.jvp(fun, (np.zeros(3),), (np.ones(3),))[1], np.asarray(0.0))


# Masks -------------------------------------------------------------------------------------------

Z = np.asarray([0.0, 4.0])
MASKED = {
    "inside": lambda x: volta.scan(
        lambda c, v: (c + F.sum(F.sqrt(F.where(v > 0, v, 0.0))), ()),
        np.asarray(0.0),
        F.stack([x, x]),
    )[0],
    "inside, on the carry": lambda x: F.sum(
        volta.scan(lambda c, _: (F.where(c > 0, F.sqrt(c), c * c), c), x, length=2)[0]
    ),
    "after": lambda x: F.sum(
        F.where(x > 0, volta.scan(lambda c, _: (F.sqrt(c), ()), x, length=2)[0], 0.0)
    ),
    "after, of results": lambda x: F.sum(
        volta.scan(lambda c, _: (F.sqrt(c), F.sqrt(c)), x, length=2)[1][:, 1]
    ),
    "before": lambda x: F.sum(
        volta.scan(lambda c, _: (F.sqrt(c), ()), F.clip(x, 0.0, 9.0), length=2)[0][1:]
    ),
    "of the closure": lambda x: F.sum(
        F.where(x > 0, volta.scan(lambda c, _: (c * F.sqrt(x), ()), x + 1, length=2)[0], 0.0)
    ),
    "of xs": lambda x: F.sum(
        F.where(x > 0, volta.scan(lambda c, v: (c * F.sqrt(v), ()), x + 1, F.stack([x, x]))[0], 0.0)
    ),
    "singular before": lambda x: F.sum(
        volta.scan(lambda c, m: (F.where(m, c, 1.0), ()), F.sqrt(x), PARTS[1:])[0]
    ),
    "singular after": lambda x: F.sum(
        F.sqrt(volta.scan(lambda c, m: (F.where(m, c, 0.0), ()), x, PARTS[1:])[0])
    ),
    "in the step after": lambda x: F.sum(
        volta.scan(lambda c, m: (F.sqrt(F.where(m, c, 1.0)), ()), x, PARTS)[0]
    ),
    "in the step before": lambda x: F.sum(
        volta.scan(lambda c, m: (F.where(m, F.sqrt(c), 0.0), F.sqrt(c)), x + 1, PARTS[::-1])[1]
    ),
}
PARTS = np.asarray([[True, True], [False, True]])


@pytest.mark.grad_check
@pytest.mark.parametrize("modes", SEQUENCES)
@pytest.mark.parametrize("name", MASKED)
def test_masked_zeros_stay_zeros(name, modes):
    """Beside a singular point that something masks, derivatives are those of the rest."""
    check_masked(MASKED[name], modes)
    grads = volta.grad(MASKED[name])(Z)
    assert np.all(np.isfinite(grads)), grads


# Lanes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "which", [s for n in (1, 2, 3, 4) for s in itertools.combinations(range(4), n)]
)
@pytest.mark.parametrize("reverse", [False, True])
def test_lanes_of_any_operands(which, reverse):
    args = [W, C, C[::-1].copy(), XS]

    def fun(w, a, b, xs):
        def step(c, x):
            return ((F.tanh(w @ c[0] + x), c[1] * 2), (c[0] * x, c[1]))

        return volta.scan(step, (a, b), xs, reverse=reverse)

    stacked = [np.stack([x, 2 * x, -x]) if i in which else x for i, x in enumerate(args)]
    axes = tuple(0 if i in which else None for i in range(4))
    found = volta.vmap(fun, in_axes=axes)(*stacked)
    lanes = [fun(*(s[k] if i in which else s for i, s in enumerate(stacked))) for k in range(3)]
    same(found, tree.map(lambda *xs: np.stack(xs), *lanes))

    def loss(*a):
        return F.sum(F.stack([F.sum(F.sin(x)) for x in tree.leaves(fun(*a))]))

    slopes = volta.vmap(volta.grad(loss, (0, 1, 2, 3)), in_axes=axes)(*stacked)
    each = [
        volta.grad(loss, (0, 1, 2, 3))(*(s[k] if i in which else s for i, s in enumerate(stacked)))
        for k in range(3)
    ]
    same(slopes, tree.map(lambda *xs: np.stack(xs), *each))

    def total(*a):
        return F.sum(
            F.stack([F.sum(F.sin(x)) for x in tree.leaves(volta.vmap(fun, in_axes=axes)(*a))])
        )

    whole = volta.grad(total, (0, 1, 2, 3))(*stacked)
    same(
        whole,
        tuple(np.stack(g) if i in which else sum(g) for i, g in enumerate(zip(*each, strict=True))),
        rtol=1e-8,
    )


def test_lanes_of_lanes():
    def fun(c, xs):
        return volta.scan(lambda c, x: (F.sin(c) + x, c), c, xs)

    cs, xs = np.stack([C, -C]), np.stack([XS, XS * 2, XS + 1])
    found = volta.vmap(volta.vmap(fun, in_axes=(None, 0)), in_axes=(0, None))(cs, xs)
    wanted = [[fun(c, x) for x in xs] for c in cs]
    rows = [tree.map(lambda *a: np.stack(a), *row) for row in wanted]
    same(found, tree.map(lambda *a: np.stack(a), *rows))


# Memory ------------------------------------------------------------------------------------------


def peak(fun):
    fun()
    tracemalloc.start()
    try:
        fun()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "use",
    [
        lambda w, c: w @ c,
        lambda w, c: F.exp(w) @ c,
        lambda w, c: (w.T * 0.5) @ F.sin(c),
    ],
)
def test_reverse_mode_keeps_no_copy_a_step_of_what_is_closed_over(use):
    n, steps = 150, 100
    w = rng.normal(size=(n, n)) / n
    c = rng.normal(size=n)

    def loss(w):
        return F.sum(volta.scan(lambda c, _: (F.tanh(use(w, c)), ()), c, length=steps)[0])

    used = peak(lambda: volta.grad(loss)(w))
    assert used < 12 * w.nbytes, used / w.nbytes
    used = peak(lambda: volta.vjp(lambda w: volta.grad(loss)(w), w)[1](w))
    assert used < 130 * w.nbytes  # of second order each step has a product of its own


def test_results_that_nothing_reads_are_not_kept():
    def loss(x):
        carry, ys = volta.scan(lambda c, _: (c * 0.5, F.ones((10_000,)) * c[0]), x, length=100)
        del ys
        return F.sum(carry)

    volta.vjp(loss, C)
    tracemalloc.start()
    try:
        _, pull = volta.vjp(loss, C)
        assert tracemalloc.get_traced_memory()[0] < 100 * 10_000 * 4 / 4
        pull(np.asarray(1.0))
    finally:
        tracemalloc.stop()


# Staging -----------------------------------------------------------------------------------------


def test_the_body_prints_below_the_loop():
    def step(c, x):
        return F.sin(c) * x, c

    line = step.__code__.co_firstlineno + 1
    text = str(volta.trace(lambda c, xs: volta.scan(step, c, xs, reverse=True))(C, XS)).splitlines()
    assert "scan(%0, %1; body=scan(step); consts=0; carries=1; length=4; reverse=True)" in text[1]
    assert text[2].startswith("    scan(step)(")
    assert text[3].strip().startswith("%2: float64[3] = sin(%0)")
    assert text[3].endswith(f"# test_scan.py:{line}")


def test_a_staged_loop_runs_on_other_arrays():
    f, init, xs = PROGRAMS["trees"]
    staged = volta.trace(lambda init, xs: volta.scan(f, init, xs))(init, xs)
    other = tree.map(lambda x: x * 2 + 1, (init, xs))
    same(staged(*tree.leaves(other)), loop(f, *other))
    staged.check()


@pytest.mark.grad_check
def test_derivatives_can_be_staged():
    def loss(w):
        return F.sum(volta.scan(lambda c, x: (F.tanh(w @ c + x), ()), C, XS)[0])

    staged = volta.trace(volta.grad(loss))(W)
    staged.check()
    same(staged(W), volta.grad(loss)(W))
    same(staged(2 * W), volta.grad(loss)(2 * W))


def test_the_line_of_an_operation_survives_derivatives_and_lanes():
    def step(c, x):
        c = F.sin(c)
        return c * x, ()

    line = step.__code__.co_firstlineno + 1

    def fun(c):
        return volta.scan(step, c, XS)[0]

    for derived, x in ((volta.grad(lambda c: F.sum(fun(c))), C), (volta.vmap(fun), XS)):
        text = str(volta.trace(derived)(x)).splitlines()
        assert any(" = sin(" in part and part.endswith(f"test_scan.py:{line}") for part in text)


# Errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: volta.scan(cell, C),
            TypeError,
            r"^scan\(cell\): needs arrays to scan over, or a length; got neither\.",
        ),
        (
            lambda: volta.scan(cell, C, (XS, XS[:2])),
            ShapeError,
            r"^scan\(cell\): xs must have one length; got 4 for xs\[0\] and 2 at xs\[1\]\.",
        ),
        (
            lambda: volta.scan(cell, C, XS, length=3),
            ShapeError,
            r"^scan\(cell\): xs must have one length; got 3 for length and 4 at xs\.",
        ),
        (
            lambda: volta.scan(cell, C, {"a": np.asarray(1.0)}),
            ShapeError,
            r"^scan\(cell\): arrays of xs must have a leading axis; got shape \(\) at xs\['a'\]\.",
        ),
        (
            lambda: volta.scan(lambda c, x: c, C, XS),
            TypeError,
            r"^scan\(<lambda>\): a step must return a pair \(carry, y\); got Tracer\.",
        ),
        (
            lambda: volta.scan(lambda c, x: (c, x, x), C, XS),
            TypeError,
            r"a step must return a pair \(carry, y\); got a tuple of 3\.",
        ),
        (
            lambda: volta.scan(lambda c, x: ((c, c), x), C, XS),
            ShapeError,
            r"a step must keep the structure of the carry; got .* and then PyTreeSpec",
        ),
        (
            lambda: volta.scan(
                lambda c, x: ({"a": c["a"], "b": F.sum(c["b"])}, x), {"a": C, "b": C}, XS
            ),
            ShapeError,
            r"keep the types of the carry; got float64\[3\] and then float64\[\] at carry\['b'\]\.",
        ),
        (
            lambda: volta.scan(cell, "a", XS),
            Exception,
            r"every leaf must be an array or a number; got str",
        ),
        (
            lambda: volta.scan(cell, C, length=3.0),
            TypeError,
            r"^scan\(cell\): length must be an integer; got 3\.0",
        ),
        (lambda: volta.scan(cell, C, XS, lenght=3), TypeError, r"did you mean 'length'\?"),
        (
            lambda: volta.scan(lambda c, x: (c, x), C, length=-1),
            ValueError,
            r"^scan\(<lambda>\): length must be at least 0; got -1\.",
        ),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=message):
        call()
    assert live.staging == 0


READS = {
    "bool": bool,
    "if": lambda x: 1 if x else 0,
    "int": int,
    "float": float,
    "index": lambda x: [1, 2][x],
    "item": lambda x: x.item(),
    "numpy": np.asarray,
}


@pytest.mark.parametrize("name", READS)
def test_a_step_cannot_read_what_it_is_given(name):
    def step(c, x):
        READS[name](F.sum(c) > 0 if name in ("bool", "if") else F.argmax(c))
        return c, x

    with pytest.raises(TraceError, match=r"scan\(step\).* at test_scan\.py:\d+"):
        volta.scan(step, C, XS)
    assert live.staging == 0
    same(volta.scan(cell, C, XS), loop(cell, C, XS))  # and nothing is left behind


def test_the_users_line_is_named():
    def step(c, x):
        if c[0] > 0:
            return c, x
        return x, c

    line = step.__code__.co_firstlineno + 1
    with pytest.raises(
        TraceError, match=rf"got an array traced by scan\(step\) at test_scan\.py:{line}"
    ):
        volta.scan(step, C, XS)


@pytest.mark.grad_check
def test_a_step_may_read_what_it_closes_over():
    raw = np.asarray([1.0, -1.0, 2.0])

    def fun(w, n):
        def step(c, x):
            if bool(F.sum(raw) > 0) and F.sum(w * 2) > 0:
                c = c * w
            for _ in range(n + 1):
                c = c + x
            return c, [1, 2, 3][F.argmax(F.asarray(raw))] * c

        return volta.scan(step, w, XS)

    def plain(w, n):
        return loop(lambda c, x: (c * w + (n + 1) * x, 3 * (c * w + (n + 1) * x)), w, XS)

    w = np.abs(C)
    same(fun(w, 2), plain(w, 2))
    same(volta.trace(lambda xs: fun(w, 2))(XS)(XS), plain(w, 2))
    check(lambda w: fun(w, np.asarray(1)), w)

    def outer(w):
        return volta.scan(lambda c, x: (fun(w, 1)[0] * c, ()), w, XS)[0]

    same(outer(w), plain(w, 1)[0] ** 4 * w)
    with pytest.raises(TraceError, match=r"bool: needs a concrete value"):
        volta.scan(lambda c, x: (fun(c, 1)[0], ()), w, XS)


def test_an_array_that_leaves_its_loop_is_refused():
    left = []

    def step(c, x):
        left.append(c)
        return c, x

    volta.scan(step, C, XS)
    with pytest.raises(
        TraceError, match=r"add: .* got one left over from scan\(step\) at test_scan"
    ):
        F.add(left[0], 1)


@pytest.fixture
def ruleless():
    primitive = Primitive(
        "ruleless",
        type_rule=lambda x: x,
        batch=lambda size, batched, x: primitive(x),
        derivatives=(Missing("this test needs such a primitive"),),
        value=lambda xp, x: x,
    )
    yield primitive
    del REGISTRY["ruleless"]


@pytest.mark.grad_check
def test_an_error_in_a_derivative_names_the_line_of_the_step(ruleless):
    def step(c, x):
        return ruleless(c) * x, ()

    line = step.__code__.co_firstlineno + 1

    def fun(c):
        return F.sum(volta.scan(step, c, XS)[0])

    for call in (lambda: volta.grad(fun)(C), lambda: volta.jvp(fun, (C,), (C,))):
        with pytest.raises(RuleError, match=rf"^ruleless: .*\(line: test_scan\.py:{line}\)$"):
            call()
    assert live.staging == 0


def test_threads_share_a_loop():
    staged = volta.trace(lambda c, xs: volta.scan(cell, c, xs))(C, XS)

    def loss(c):
        return F.sum(staged(c, XS)[0])

    wanted = volta.grad(loss)(C)
    found = []

    def work():
        for _ in range(5):
            found.append(volta.grad(loss)(C))
            volta.vmap(lambda c: staged(c, XS))(np.stack([C, C]))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 20
    for g in found:
        same(g, wanted)
    assert live.staging == 0
