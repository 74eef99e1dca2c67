"""Derivatives as properties: drawn shapes that broadcast, ranks, empty arrays, axes, keys, dtypes.

Each function is held to the finite difference and to the law that joins the two modes,
``Re Σ ct · J t = Re Σ (Jᵀ ct) · t``; at the second order too.
Values and dtypes are the matter of tests/functional.
"""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    MANIPULATIONS,
    array_key,
    away_from_integers,
    axes_of,
    basic_key,
    broadcastable,
    fill,
    full_shapes,
    leaves,
    matrix_shapes,
    seeds,
    shapes,
)

import volta
import volta.functional as F

pytestmark = [pytest.mark.core, pytest.mark.grad_check]

DTYPES = ("float64", "complex128")


# The two laws -------------------------------------------------------------------------------------


def like(seed, x):
    """Numbers of the shape and dtype of an array."""
    return fill(seed, x.shape, str(x.dtype), -1, 1)


def total(pairs):
    return sum(float(np.real(np.sum(a * b))) for a, b in pairs)


def check_derivatives(fun, args, tolerance=1e-6, step=1e-6):
    """Both laws for ``fun(*args)``, each operand together with and without the others."""
    tangents = tuple(like(100 + i, a) for i, a in enumerate(args))
    out, t_out = volta.jvp(fun, args, tangents)
    above = leaves(fun(*(a + step * t for a, t in zip(args, tangents, strict=True))))
    below = leaves(fun(*(a - step * t for a, t in zip(args, tangents, strict=True))))
    for o, t, hi, lo in zip(leaves(out), leaves(t_out), above, below, strict=True):
        assert (t.shape, t.dtype) == (o.shape, o.dtype)
        numeric = (hi - lo) / (2 * step)
        scale = 1 + np.max(np.abs(numeric), initial=0)
        np.testing.assert_allclose(t, numeric, rtol=0, atol=tolerance * scale)
    primal, vjp_fn = volta.vjp(fun, *args)
    cts = tuple(like(200 + i, o) for i, o in enumerate(leaves(primal)))
    pulled = vjp_fn(cts if isinstance(primal, tuple) else cts[0])
    for a, c in zip(args, pulled, strict=True):
        assert (c.shape, c.dtype, type(c)) == (a.shape, a.dtype, type(a))
    forward = total(zip(cts, leaves(t_out), strict=True))
    reverse = total(zip(pulled, tangents, strict=True))
    assert forward == pytest.approx(reverse, rel=1e-9, abs=1e-9)


# Elementwise --------------------------------------------------------------------------------------

# name: interval of the real operand
UNARY = {
    **dict.fromkeys(("abs", "asinh", "atan", "cos", "cosh", "exp", "exp2", "expm1"), (-2, 2)),
    **dict.fromkeys(("negative", "positive", "sin", "sinh", "square", "tanh", "conj"), (-2, 2)),
    **dict.fromkeys(("real", "relu", "sigmoid", "silu", "softplus", "leaky_relu"), (-2, 2)),
    **dict.fromkeys(("acos", "asin", "atanh"), (-0.9, 0.9)),
    **dict.fromkeys(("log", "log2", "log10", "reciprocal", "sqrt"), (0.3, 3)),
    **dict.fromkeys(("ceil", "floor", "round", "trunc", "sign"), (-2, 2)),
    "acosh": (1.2, 3),
    "log1p": (-0.7, 2),
    "tan": (-1.2, 1.2),
}
REAL_ONLY = {"relu", "sigmoid", "silu", "softplus", "leaky_relu", "ceil", "floor", "trunc", "round"}
COMPLEX_ONLY = {"imag"}
BRANCHES = {
    **dict.fromkeys(("acos", "asin", "atanh", "asinh", "atan"), 0),
    **dict.fromkeys(("log", "log10", "log1p", "log2", "sqrt"), 0.6),
    "acosh": 2.2,
}


@pytest.mark.parametrize("name", [*UNARY, *COMPLEX_ONLY])
@given(shape=shapes, seed=seeds, data=st.data())
def test_unary_functions(name, shape, seed, data):
    kinds = DTYPES[:1] if name in REAL_ONLY else DTYPES[1:] if name in COMPLEX_ONLY else DTYPES
    dtype = data.draw(st.sampled_from(kinds))
    low, high = UNARY.get(name, (-2, 2))
    x = fill(seed, shape, dtype, low, high)
    if dtype == "float64":
        x = away_from_integers(x) if name in REAL_ONLY or name in ("abs", "sign") else x
    elif name in BRANCHES:  # off the cuts and the branch points
        x = np.asarray(0.4 * x + BRANCHES[name])
    check_derivatives(getattr(F, name), (x,), tolerance=1e-5)


BINARY = ("add", "subtract", "multiply", "divide", "pow")
REAL_BINARY = (
    *("atan2", "hypot", "logaddexp", "maximum", "minimum", "remainder"),
    *("copysign", "floor_divide"),
)


@pytest.mark.broadcasting
@pytest.mark.parametrize("name", [*BINARY, *REAL_BINARY])
@given(two=broadcastable(2), seed=seeds, data=st.data())
def test_binary_functions(name, two, seed, data):
    dtypes = [data.draw(st.sampled_from(DTYPES if name in BINARY else DTYPES[:1])) for _ in two]
    x, y = (fill(seed + i, s, d, 0.3, 3) for i, (s, d) in enumerate(zip(two, dtypes, strict=True)))
    fun = getattr(F, name)
    if name == "copysign":
        check_derivatives(lambda x: fun(x, y), (x,))
    else:
        check_derivatives(fun, (x, y), tolerance=1e-5)
    check_derivatives(lambda x: fun(x, y), (x,), tolerance=1e-5)
    if name != "copysign":
        check_derivatives(lambda y: fun(x, y), (y,), tolerance=1e-5)


@pytest.mark.broadcasting
@pytest.mark.parametrize("name", [*BINARY, *REAL_BINARY])
@given(shape=shapes, seed=seeds, dtype=st.sampled_from(DTYPES), scalar=st.sampled_from([2, 0.7, 3]))
def test_binary_functions_of_a_number(name, shape, seed, dtype, scalar):
    x = fill(seed, shape, dtype if name in BINARY else "float64", 0.3, 3)
    check_derivatives(lambda x: getattr(F, name)(x, scalar), (x,), tolerance=1e-5)
    if name != "copysign":
        check_derivatives(lambda x: getattr(F, name)(scalar, x), (x,), tolerance=1e-5)


@pytest.mark.parametrize("name", ["add", "multiply", "divide", "pow", "atan2", "where", "matmul"])
@given(two=broadcastable(2), seed=seeds, flip=st.booleans())
def test_cotangents_have_the_dtype_of_their_operand(name, two, seed, flip):
    dtypes = ("float32", "float64" if name == "atan2" or flip else "complex128")
    two = ((2, 3), (3, 2)) if name == "matmul" else two
    x, y = (fill(seed, s, d, 0.3, 3) for s, d in zip(two, dtypes, strict=True))
    fun = {"where": lambda x, y: F.where(np.asarray(flip), x, y)}.get(name) or getattr(F, name)
    primals = (y, x) if flip and name != "matmul" else (x, y)
    out, vjp_fn = volta.vjp(fun, *primals)
    for p, c in zip(primals, vjp_fn(np.ones_like(out)), strict=True):
        assert (c.shape, c.dtype) == (p.shape, p.dtype)
    out, t = volta.jvp(fun, primals, primals)
    assert (t.shape, t.dtype) == (out.shape, out.dtype)


@pytest.mark.broadcasting
@given(three=broadcastable(3), seed=seeds, dtype=st.sampled_from(DTYPES))
def test_where(three, seed, dtype):
    condition = fill(seed, three[0], "bool")
    x, y = fill(seed + 1, three[1], dtype), fill(seed + 2, three[2], "float64")
    check_derivatives(lambda x, y: F.where(condition, x, y), (x, y))
    check_derivatives(lambda x: F.where(condition, x, 1.5), (x,))


@pytest.mark.broadcasting
@given(three=broadcastable(3), seed=seeds)
def test_clip(three, seed):
    args = tuple(fill(seed + i, s, "float64") for i, s in enumerate(three))
    check_derivatives(F.clip, args)
    check_derivatives(lambda x, lo: F.clip(x, lo), args[:2])
    check_derivatives(lambda x, hi: F.clip(x, max=hi), args[:2])


# Reductions ---------------------------------------------------------------------------------------

REDUCTIONS = ("sum", "mean", "prod", "max", "min", "std", "var", "logsumexp")


@pytest.mark.parametrize("name", REDUCTIONS)
@given(shape=shapes, seed=seeds, keepdims=st.booleans(), data=st.data())
def test_reductions(name, shape, seed, keepdims, data):
    dtype = data.draw(st.sampled_from(DTYPES if name in ("sum", "mean", "prod") else DTYPES[:1]))
    if name not in ("sum", "prod"):
        shape = tuple(n or 1 for n in shape)
    axis = data.draw(axes_of(len(shape)))
    x = fill(seed, shape, dtype, -2, 2)
    if name == "prod" and x.size and data.draw(st.booleans()):
        x.reshape(-1)[data.draw(st.lists(st.integers(0, x.size - 1), max_size=2))] = 0
    if name == "std" and np.any(np.std(x, axis=axis) == 0):
        return  # a kink
    check_derivatives(lambda x: getattr(F, name)(x, axis=axis, keepdims=keepdims), (x,), 1e-5)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@given(shape=full_shapes.filter(bool), seed=seeds, data=st.data())
def test_softmax(name, shape, seed, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    check_derivatives(lambda x: getattr(F, name)(x, axis=axis), (fill(seed, shape, "float64"),))


# Products -----------------------------------------------------------------------------------------


@given(data=st.data(), seed=seeds, dtypes=st.tuples(*[st.sampled_from(DTYPES)] * 2))
def test_matmul(data, seed, dtypes):
    two = matrix_shapes(data.draw)
    x, y = (fill(seed + i, s, d) for i, (s, d) in enumerate(zip(two, dtypes, strict=True)))
    check_derivatives(F.matmul, (x, y))
    check_derivatives(lambda x: F.matmul(x, y), (x,))
    check_derivatives(lambda y: F.matmul(x, y), (y,))


@given(two=broadcastable(2), n=st.integers(0, 3), seed=seeds, dtype=st.sampled_from(DTYPES))
def test_vecdot(two, n, seed, dtype):
    x, y = (fill(seed + i, (*s, n), dtype) for i, s in enumerate(two))
    # not linear in the first operand over the complex numbers, but over the real ones
    check_derivatives(F.vecdot, (x, y))


@given(data=st.data(), seed=seeds, dtype=st.sampled_from(DTYPES))
def test_tensordot(data, seed, dtype):
    first, common, second = (data.draw(st.lists(st.integers(0, 3), max_size=2)) for _ in range(3))
    x, y = fill(seed, (*first, *common), dtype), fill(seed + 1, (*common, *second), dtype)
    check_derivatives(lambda x, y: F.tensordot(x, y, axes=len(common)), (x, y))


# Manipulation and indexing ------------------------------------------------------------------------


@pytest.mark.parametrize("name", MANIPULATIONS)
@given(shape=shapes, seed=seeds, dtype=st.sampled_from(DTYPES), data=st.data())
def test_manipulation(name, shape, seed, dtype, data):
    row = MANIPULATIONS[name](data.draw, shape)
    if row is None:
        shape = (2, *shape, 3)
        row = MANIPULATIONS[name](data.draw, shape)
    args, options = row
    fun = getattr(F, name)
    check_derivatives(lambda x: fun(x, *args, **options), (fill(seed, shape, dtype),))


@pytest.mark.parametrize("name", ["concat", "stack"])
@given(shape=shapes.filter(bool), seed=seeds, data=st.data())
def test_joining(name, shape, seed, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    arrays = []
    for i in range(data.draw(st.integers(1, 3))):
        own = list(shape)
        if name == "concat":
            own[axis] = data.draw(st.integers(0, 3))
        arrays.append(fill(seed + i, tuple(own), data.draw(st.sampled_from(DTYPES))))
    check_derivatives(lambda *xs: getattr(F, name)(xs, axis=axis), tuple(arrays))


@pytest.mark.broadcasting
@given(three=broadcastable(3), seed=seeds)
def test_broadcast_arrays(three, seed):
    args = tuple(fill(seed + i, s, "float64") for i, s in enumerate(three))
    check_derivatives(F.broadcast_arrays, args)


@given(sizes=st.lists(st.integers(0, 3), min_size=1, max_size=3), seed=seeds)
def test_meshgrid(sizes, seed):
    check_derivatives(F.meshgrid, tuple(fill(seed + n, (n,), "float64") for n in sizes))


@given(shape=full_shapes, seed=seeds, dtype=st.sampled_from(DTYPES), data=st.data())
def test_reading_and_writing(shape, seed, dtype, data):
    key = data.draw(st.sampled_from([basic_key, array_key]))(data.draw, shape)
    x = fill(seed, shape, dtype)
    try:
        part = np.asarray(x[key])
    except IndexError:
        return  # index arrays that do not broadcast
    v = fill(seed + 1, part.shape, "float64")

    def program(x, v):
        y = F.square(x)
        y[key] = v * y[key]
        return y

    def on_arrays(x, v):
        y = np.asarray(x**2)
        y[key] = v * y[key]
        return y

    places = np.arange(x.size).reshape(shape)[key]
    if len(np.unique(places)) == np.size(places):  # else NumPy chooses which value stays
        np.testing.assert_allclose(volta.jvp(program, (x, v), (x, v))[0], on_arrays(x, v))
        tangents = like(1, x), like(2, v)
        _, t = volta.jvp(program, (x, v), tangents)
        step = 1e-6
        above = on_arrays(x + step * tangents[0], v + step * tangents[1])
        below = on_arrays(x - step * tangents[0], v - step * tangents[1])
        np.testing.assert_allclose(t, (above - below) / (2 * step), atol=1e-6)
        ct = like(3, x)
        pulled = volta.vjp(program, x, v)[1](ct)
        reverse = total(zip(pulled, tangents, strict=True))
        assert total([(ct, t)]) == pytest.approx(reverse, rel=1e-9, abs=1e-9)


# Second order -------------------------------------------------------------------------------------

PROGRAMS = {
    "pow": lambda x, y: F.pow(x, y),
    "divide": lambda x, y: F.divide(x, y),
    "hypot": lambda x, y: F.hypot(x, y),
    "atan2": lambda x, y: F.atan2(x, y),
    "logaddexp": lambda x, y: F.logaddexp(x, y),
    "where": lambda x, y: F.where(F.less(x, y), F.sqrt(x * y), x**3),
    "std": lambda x, y: F.std(x * y) * x,
    "softmax": lambda x, y: F.log_softmax(F.reshape(x * y, (-1,)), axis=0),
    "prod": lambda x, y: F.prod((x + y) / 2) * y,
    "max": lambda x, y: F.max(F.exp(x) * y) * x,
    "norm": lambda x, y: F.sqrt(F.sum(F.square(x)) + F.sum(F.square(y))),
}


@pytest.mark.broadcasting
@pytest.mark.parametrize("name", PROGRAMS)
@given(two=broadcastable(2, full_shapes), seed=seeds)
def test_second_order(name, two, seed):
    """The gradient is a function that keeps the laws too, whichever modes are nested."""
    x, y = (fill(seed + i, s, "float64", 0.4, 2) for i, s in enumerate(two))

    def loss(x, y):
        return F.sum(F.sin(PROGRAMS[name](x, y)))

    gradient = volta.grad(loss, (0, 1))
    check_derivatives(gradient, (x, y), tolerance=1e-5)
    t = like(1, x), like(2, y)
    _, forward = volta.jvp(gradient, (x, y), t)

    def directional(x, y):
        return volta.jvp(loss, (x, y), t)[1]

    for f, r in zip(forward, volta.grad(directional, (0, 1))(x, y), strict=True):
        np.testing.assert_allclose(f, r, rtol=1e-8, atol=1e-8)


# What the machine must not remember ---------------------------------------------------------------


def test_a_product_with_a_mask_leaves_later_products_alone():
    # in a process of its own, because what matters is which product comes first
    program = (
        "import numpy as np, volta, volta.functional as F\n"
        "x = np.asarray([2.0, 3.0])\n"
        "volta.grad(lambda x: F.sum(x * (x > 2.5)))(x)\n"
        "print(*volta.grad(lambda x: F.sum(x * np.asarray([5.0, 7.0])))(x))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout.split() == ["5.0", "7.0"], run.stdout + run.stderr
