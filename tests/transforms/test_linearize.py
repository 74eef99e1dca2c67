"""Derivatives as linear functions, and transposes."""

import array_api_strict as strict
import numpy as np
import pytest
from differences import check, same

import volta
import volta.functional as F
from volta import tree
from volta.core.errors import DTypeError, RuleError, ShapeError
from volta.core.trace import live

pytestmark = [pytest.mark.core, pytest.mark.grad_check]

rng = np.random.default_rng(0)
X = rng.normal(size=3)
W = rng.normal(size=(3, 3))
T = rng.normal(size=3)


def ruled():
    fun = volta.custom_jvp(lambda x: F.sin(x))
    fun.defjvp(lambda p, t: (F.sin(p[0]), F.cos(p[0]) * t[0]))
    return fun


def reverse_ruled():
    fun = volta.custom_vjp(lambda x: F.sin(x))
    fun.defvjp(lambda x: (F.sin(x), x), lambda x, ct: (F.cos(x) * ct,))
    return fun


PROGRAMS = {
    "sin": F.sin,
    "trees": lambda x: {"a": F.sin(x) * x, "b": (F.matmul(W, x), F.argmax(x), W)},
    "control flow": lambda x: F.exp(x) if x[0] < 100 else x,
    "loop": lambda x: sum((x[i] * x for i in range(3)), x),
    "assignment": lambda x: _assigned(x),
    "constant": lambda x: F.ones(3, dtype=F.float64),
    "itself": lambda x: x,
    "sort": F.sort,
    "scan": lambda x: volta.scan(lambda c, v: (F.sin(c) * v + x, c), x, x),
    "while_loop": lambda x: volta.while_loop(lambda v: F.sum(v**2) < 100, lambda v: v * 2 + x, x),
    "cond": lambda x: volta.cond(F.sum(x) > 0, F.sin, F.cos, x),
    "switch in scan": lambda x: volta.scan(
        lambda c, i: (volta.switch(i, [F.sin, F.cos], c), c), x, np.asarray([0, 1, 1])
    ),
    "checkpoint": volta.checkpoint(lambda x: (F.sin(x * x), x)),
    "custom_jvp": ruled(),
    "custom_vjp": reverse_ruled(),
    "custom": volta.custom_rule(lambda x: F.sin(x) * x),
    "vmap": lambda x: volta.vmap(lambda v: F.sin(v) * x)(F.stack([x, x])),
    "grad": volta.grad(lambda x: F.sum(F.sin(x) ** 3)),
    "grad of scan": volta.grad(
        lambda x: F.sum(volta.scan(lambda c, _: (F.sin(c) * x, ()), x, length=3)[0])
    ),
}


def _assigned(x):
    y = x * 2
    y[0] = x[1] * x[2]
    return y


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_is_jvp(name):
    fun = PROGRAMS[name]
    out, push = volta.linearize(fun, X)
    for t in (T, 2 * T, X, T):
        wanted, moved = volta.jvp(fun, (X,), (t,))
        same(out, wanted)
        same(push(t), moved)
    assert not any("Tracer" in type(leaf).__name__ for leaf in tree.leaves(out))
    assert live.staging == 0


@pytest.mark.parametrize("name", PROGRAMS)
def test_under_other_transforms(name):
    def pushed(x, t):
        out, push = volta.linearize(PROGRAMS[name], x)
        return out, push(t)

    lanes = np.stack([X, X + 0.1])
    if name != "control flow":
        found = volta.vmap(pushed)(lanes, np.stack([T, X]))
        each = [tree.map(np.asarray, pushed(x, t)) for x, t in zip(lanes, (T, X), strict=True)]
        same(found, tree.map(lambda *a: np.stack(a), *each))
    if name not in ("sort", "while_loop"):
        check(pushed, X, T, order=1)


def test_what_is_outside_the_tangents_is_computed_once():
    calls = []

    def fun(x):
        calls.append(1)
        return F.sin(F.exp(x))

    _, push = volta.linearize(fun, X)
    for _ in range(3):
        push(T)
    assert len(calls) == 1


def test_several_arguments_and_aux():
    def fun(p, y):
        return (F.matmul(p["w"], y), {"aux": y * 2, "n": 3})

    (out, push, aux) = volta.linearize(fun, {"w": W}, X, has_aux=True)
    same(out, W @ X)
    same(aux, {"aux": X * 2, "n": 3})
    same(push({"w": W * 2}, T), 2 * W @ X + W @ T)


def test_complex():
    z = X + 1j * T
    out, push = volta.linearize(lambda z: F.conj(z) * F.exp(z), z)
    same(push(1j * z), volta.jvp(lambda z: F.conj(z) * F.exp(z), (z,), (1j * z,))[1])
    same(out, np.conj(z) * np.exp(z))


def test_an_infinite_slope_is_an_answer_without_warning():
    _, push = volta.linearize(F.sqrt, np.asarray([0.0, 4.0]))
    same(push(np.ones(2)), np.asarray([np.inf, 0.25]))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: volta.linearize(F.sin, np.arange(3)),
            DTypeError,
            r"^linearize\(sin\): inputs must be real or complex floating; got int64 at input\[0\]",
        ),
        (
            lambda: volta.linearize(F.sin, X)[1](X, X),
            ShapeError,
            r"^linearize\(sin\): tangents must have the structure of primals; got",
        ),
        (
            lambda: volta.linearize(F.sin, X)[1](W),
            ShapeError,
            r"^linearize\(sin\): a tangent must have its primal's shape and dtype; got "
            r"float64\[3, 3\] and float64\[3\] at input\[0\]\.",
        ),
        (
            lambda: volta.linearize(F.sin, X)[1](X.astype(np.float32)),
            ShapeError,
            r"a tangent must have its primal's shape and dtype; got float32\[3\] and float64\[3\]",
        ),
        (
            lambda: volta.linearize(F.sin, X, has_aux=True),
            TypeError,
            r"^linearize\(sin\): with has_aux=True the function must return a pair",
        ),
        (lambda: volta.linearize(F.sin, X, hasaux=True), TypeError, "did you mean 'has_aux'"),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=message):
        call()
    assert live.staging == 0


# Transposes --------------------------------------------------------------------------------------

Z = W + 1j * W.T
LINEAR = {
    "matmul": (lambda x: F.matmul(W, x), (X,)),
    "sum": (lambda x: F.sum(x, axis=0), (W,)),
    "gather": (lambda x: F.take(x, np.asarray([2, 0, 0]), axis=0), (X,)),
    "indexing": (lambda x: x[1:, None] * 2, (X,)),
    "several": (lambda x, y: (x + 2 * y["b"], F.sum(x), W), (X, {"b": T})),
    "scale by closure": (lambda x: F.exp(W) @ x, (X,)),
    "unused": (lambda x, y: x * 3, (X, T)),
    "itself": (lambda x: x, (X,)),
    "fft": (F.fft.fft, (X + 1j * T,)),
    "complex matmul": (lambda z: F.matmul(Z, z), (X + 1j * T,)),
    "real part": (F.real, (X + 1j * T,)),
    "where": (lambda x: F.where(X > 0, x, 2 * x), (T,)),
    "scan": (lambda x: volta.scan(lambda c, v: (c * 2 + v, c), F.sum(x), x), (X,)),
    "cond": (lambda x: volta.cond(X[0] > 0, lambda x: x * 2, lambda x: -x, x), (T,)),
    "checkpoint": (volta.checkpoint(lambda x: W @ x), (X,)),
    "made": (lambda x: x * F.arange(3.0, dtype=F.float64), (X,)),
    "convolution": (lambda x: F.concat([x, x[::-1]])[1:4], (X,)),
}


@pytest.mark.parametrize("name", LINEAR)
def test_the_transpose(name):
    fun, args = LINEAR[name]
    out, pull = volta.vjp(fun, *args)
    ct = tree.map(lambda o: np.ones(o.shape) * (0.3 - 0.7j if o.dtype.kind == "c" else 0.3), out)
    ct = tree.map(lambda c: c * np.arange(1.0, 1 + c.size).reshape(c.shape), ct)
    transposed = volta.linear_transpose(fun, *args)
    same(transposed(ct), pull(ct))
    same(transposed(ct), pull(ct))
    structs = tree.map(lambda a: volta.ShapeDtypeStruct(a.shape, a.dtype), args)
    same(volta.linear_transpose(fun, *structs)(ct), pull(ct))


def test_an_affine_function_is_taken_for_its_linear_part():
    same(volta.linear_transpose(lambda x: W @ x + T, X)(X), (W.T @ X,))


@pytest.mark.parametrize(
    ("fun", "by"),
    [
        (F.sin, "sin"),
        (lambda x: x * x, "multiply"),
        (lambda x: F.where(x > 0, x, 0.0), "greater, where"),
        (lambda x: 1 / x, "divide"),
        (lambda x: F.abs(x), "abs"),
        (lambda x: F.floor(x), "floor"),
        (lambda x: x[F.argmax(x)], ".*"),
        (lambda x: volta.scan(lambda c, v: (c * v, c), F.sum(x), x)[0], "(sum, )?scan"),
    ],
)
def test_a_function_that_is_not_linear(fun, by):
    message = (
        rf"the function must be linear; got one whose derivative varies .* by {by}\. Use vjp\."
    )
    with pytest.raises(RuleError, match=message):
        volta.linear_transpose(fun, X)


def test_transposes_under_other_transforms():
    def transposed(w, ct):
        return volta.linear_transpose(lambda x: w @ x, X)(ct)[0]

    same(transposed(W, T), W.T @ T)
    check(transposed, W, T)
    same(volta.vmap(transposed)(np.stack([W, -W]), np.stack([T, X])), np.stack([W.T @ T, -W.T @ X]))


def test_other_libraries():
    x = strict.asarray(X)
    (found,) = volta.linear_transpose(lambda x: F.sum(x * 2.0), x)(strict.asarray(3.0))
    assert type(found) is type(x)
    np.testing.assert_allclose(np.asarray(found), 6.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: volta.linear_transpose(F.sum, np.arange(3)),
            DTypeError,
            r"^linear_transpose\(sum\): arguments must be floating; got int64 at input\[0\]\.",
        ),
        (
            lambda: volta.linear_transpose(F.sum, X)((X, X)),
            ShapeError,
            r"^linear_transpose\(sum\): the cotangent must have the output's structure; got",
        ),
        (
            lambda: volta.linear_transpose(lambda x: {"a": F.sum(x)}, X)({"a": X}),
            ShapeError,
            r"^linear_transpose\(<lambda>\): a cotangent must have its output's type; got "
            r"float64\[3\] and float64\[\] at output\['a'\]\.",
        ),
    ],
)
def test_messages_of_transposes(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_loop_of_unknown_length_is_not_transposed():
    def doubled(x):
        return volta.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * 2), (0, x))[1]

    with pytest.raises(RuleError, match=r"unknown length cannot be transposed.*or fori_loop\."):
        volta.linear_transpose(doubled, np.asarray(1.0))
