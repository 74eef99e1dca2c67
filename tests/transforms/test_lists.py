"""Maps of lists to lists: what they return, what they keep, how often they are made."""

import itertools

import numpy as np
import pytest
from differences import same

import volta
import volta.functional as F
from volta.core.trace import live
from volta.core.wengert import operands_of
from volta.transforms.lists import (
    batch_of,
    depends,
    hoisted,
    jvp_of,
    kept,
    known,
    push,
    record,
    split,
    stage,
    with_inputs,
)
from volta.transforms.trace import abstract

pytestmark = pytest.mark.core

X = np.asarray([0.3, -0.8, 1.1])
Y = np.asarray([0.9, 0.4, -0.5])
W = np.arange(9.0).reshape(3, 3) / 10


def program(x, y, n):
    a = F.sin(x) * y
    return [a, F.sum(x), F.argmax(y) + n, y, F.exp(n * 0.5) * 0 + y[0]]


LIST, _ = stage(program, [X, Y, np.asarray(2)], "test")
ARGS = (X, Y, np.asarray(2))
MASKS = [(True, False, False), (False, True, False), (True, True, False)]


def names(wengert):
    return [e.primitive.name for e in wengert.entries]


def entries_of(wengert):
    return sum(len(operands_of(e)) for e in wengert.entries)


@pytest.mark.parametrize("mask", MASKS)
def test_what_depends(mask):
    x, y, _ = mask
    assert depends(LIST, mask) == (x or y, x, False, y, y)


@pytest.mark.grad_check
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("wanted", [(), (True, True, False, True, True), (False,) * 5])
def test_tangents(mask, wanted):
    made = jvp_of(LIST, mask, wanted)
    made.list.check()
    some = [a for a, m in zip(ARGS, mask, strict=True) if m]
    found = made.list.replay([*ARGS, *some])
    out, moved = volta.jvp(
        lambda *varied: program(*_filled(varied, mask)), tuple(some), tuple(some)
    )
    same(found[:5], [np.asarray(o) for o in out])
    active = depends(LIST, mask)
    expected = tuple(a or w for a, w in zip(active, wanted or (False,) * 5, strict=True))
    assert made.active == expected
    same(found[5:], [t for t, a in zip(moved, expected, strict=True) if a])
    assert jvp_of(LIST, mask, wanted) is made


def _filled(varied, mask):
    rest = iter(varied)
    return [next(rest) if m else a for a, m in zip(ARGS, mask, strict=True)]


@pytest.mark.grad_check
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("policy", [None, lambda p, params: False, lambda p, params: True])
def test_cotangents(mask, hidden, policy):
    parts = split(LIST, mask, policy)
    back, present, hides = parts.bwd(hidden)
    parts.fwd.check()
    back.check()
    found = parts.fwd.replay(ARGS)
    same(found[:5], [np.asarray(o) for o in program(*ARGS)])
    held = [*(ARGS[i] for i in parts.inputs), *(found[i] for i in parts.extra)]
    cts = [np.ones(o.shape) * 1.5 for o, a in zip(found, parts.active, strict=False) if a]
    grads = iter(back.replay([*held, *cts]))
    some = tuple(a for a, m in zip(ARGS, mask, strict=True) if m)
    out, pull = volta.vjp(lambda *varied: program(*_filled(varied, mask)), *some)
    whole = [
        np.ones(o.shape) * 1.5 if a else np.zeros(o.shape, o.dtype)
        for o, a in zip(out, depends(LIST, mask), strict=True)
    ]
    assert parts.active == depends(LIST, mask)
    wanted = pull(whole)
    assert len(present) == len(wanted)
    same(
        [next(grads) for p in present if p], [w for w, p in zip(wanted, present, strict=True) if p]
    )
    assert hides == (hidden or mask[1])  # an index left the rest of y out
    assert split(LIST, mask, policy) is parts
    assert parts.bwd(hidden)[0] is back
    assert live.staging == 0


@pytest.mark.parametrize(
    "batched", [b for b in itertools.product([False, True], repeat=3) if any(b)]
)
@pytest.mark.parametrize("wanted", [(), (True,) * 5])
def test_lanes(batched, wanted):
    made, spread = batch_of(LIST, batched, 2, wanted)
    made.check()
    args = [np.stack([a, a * 2]) if b else a for a, b in zip(ARGS, batched, strict=True)]
    axes = tuple(0 if b else None for b in batched)
    whole = volta.vmap(program, in_axes=axes)(*args)
    x, y, n = batched
    own = (x or y, x, y or n, y, y or n)
    assert spread == ((True,) * 5 if wanted else own)
    wanted = [w if s else np.asarray(w)[0] for w, s in zip(whole, spread, strict=True)]
    same(made.replay(args), [np.asarray(w) for w in wanted])
    assert batch_of(LIST, batched, 2, ()) is batch_of(LIST, batched, 2, ())
    assert batch_of(LIST, batched, 3)[0] is not made


# What is kept for the way back -------------------------------------------------------------------


def residuals(fun, *args, mask=None):
    wengert, _ = stage(fun, args, "test")
    parts = split(wengert.closed(), mask or [True] * len(args))
    types = [parts.fwd.types[v] for v in parts.kept]
    return [str(t) for t in types]


@pytest.mark.parametrize(
    ("fun", "what"),
    [
        (lambda x: [F.sin(x)], ["float64[3]"]),
        (lambda x: [x * 2], []),
        (lambda x: [F.exp(x)], ["float64[3]"]),
        (lambda x: [F.tanh(F.exp(x))], ["float64[3]", "float64[3]"]),
        (lambda x: [F.sum(x, axis=0) * F.ones((100, 3), dtype=F.float64)], []),
        (lambda x: [F.broadcast_to(x, (100, 3)) * F.broadcast_to(x, (100, 3))], ["float64[3]"]),
        (lambda x: [x * F.reshape(F.reshape(x, (3, 1)), (3,))], ["float64[3]"]),
        (lambda x: [F.where(x > 0, x, 0)], ["bool[3]"]),
    ],
)
def test_no_more_is_kept_than_is_read(fun, what):
    assert residuals(fun, X) == what


def test_a_policy_decides():
    def fun(x):
        return [F.tanh(F.exp(x))]

    wengert, _ = stage(fun, [X], "test")
    none = split(wengert, [True], lambda primitive, params: False)
    assert (none.inputs, none.extra) == ((0,), ())
    assert {"exp", "tanh"} <= set(names(none.bwd()[0]))
    named = split(wengert, [True], lambda primitive, params: primitive.name == "exp")
    assert len(named.extra) == 1
    assert "exp" not in names(named.bwd()[0])
    assert "tanh" in names(named.bwd()[0])


# The rest ----------------------------------------------------------------------------------------


def test_hoisting():
    def fun(x):
        unused = F.cos(x)
        del unused
        return [F.matmul(F.exp(W) @ W, x), F.sum(W), F.ones(3), x]

    wengert, _ = stage(fun, [X], "test")
    made = hoisted(wengert)
    made.check()
    assert names(made) == ["matmul"]
    assert "cos" in names(wengert)
    same(made.replay([X]), [np.exp(W) @ W @ X, np.sum(W), np.ones(3, np.float32), X])
    same(made.closed().replay([*made.constants, X]), made.replay([X]))
    grads = volta.grad(
        lambda w: F.sum(hoisted(stage(lambda x: [F.exp(w) @ x], [X], "t")[0]).replay([X])[0])
    )(W)
    same(grads, np.exp(W) * X)


def test_other_inputs():
    wengert, _ = stage(lambda x: [F.sin(x) @ W], [X], "test")
    made = with_inputs(wengert, [abstract(Y), *wengert.inputs, abstract(W), *wengert.captured])
    made.check()
    assert made.captured == ()
    same(made.replay([None, X, None, 2 * W]), [np.sin(X) @ W * 2])
    same(with_inputs(wengert, [abstract(Y), *wengert.inputs]).replay([None, X]), [np.sin(X) @ W])
    assert len(wengert.inputs) == 1
    wengert.check()


@pytest.mark.grad_check
@pytest.mark.parametrize("of", [LIST, program])
def test_push_and_record_take_lists_and_functions(of):
    values, moved, hides = push(of, ARGS, (X, None, None), False)
    same(values, [np.asarray(v) for v in program(*ARGS)])
    assert [t is None for t in moved] == [False, False, True, True, True]
    assert not hides
    assert push(of, ARGS, (X, None, None), True)[2]
    values, active, back = record(of, ARGS, (True, True, False))
    assert active == (True, True, False, True, True)
    same(values, [np.asarray(v) for v in program(*ARGS)])
    for _ in range(2):
        grads, hides = back([Y, None, None, None, None], False)
        same(grads, [np.cos(X) * Y * Y, np.sin(X) * Y])
        assert not hides
    assert back([Y, None, None, None, None], True)[1]
    assert back([None, None, None, None, np.asarray(1.0)], False)[1]
    assert back([None] * 5, True) == ([None, None], False)


def test_what_is_known():
    seen = []

    def look(x):
        return (seen.append(known(x)), x)[1]

    look(X)
    volta.grad(lambda x: F.sum(look(x)))(X)
    volta.jvp(look, (X,), (X,))
    look(3)
    for v in seen[:3]:
        same(v, X)
    assert seen.pop() == 3
    volta.vmap(look)(W)
    volta.trace(look)(W)
    volta.vmap(volta.grad(lambda x: F.sum(look(x))))(W)
    volta.grad(lambda x: F.sum(volta.vmap(look)(x)))(W)
    assert seen[3:] == [None] * 4


def test_what_is_made_of_a_list_is_kept_with_it():
    made = []
    wengert, _ = stage(lambda x: [x], [X], "test")

    def make():
        return made.append(1) or len(made)

    assert [kept(wengert, "a", make), kept(wengert, "a", make), kept(wengert, "b", make)] == [
        1,
        1,
        2,
    ]
    other, _ = stage(lambda x: [x], [X], "test")
    assert kept(other, "a", make) == 3
    assert other.__name__ == "test(<lambda>)"
