"""Loops over integers."""

import array_api_strict as strict
import numpy as np
import pytest
from differences import check, same

import volta
import volta.functional as F
from volta import tree
from volta.core.errors import DTypeError, ShapeError, TraceError

pytestmark = pytest.mark.core

X = np.asarray([0.6, 0.9, 1.2])


def loop(lower, upper, body, value):
    for i in range(lower, upper):
        value = body(i, value)
    return value


def body(i, v):
    return {"x": F.sin(v["x"]) * (i + 1), "n": v["n"] + i}


START = {"x": X, "n": np.asarray(3)}


@pytest.mark.parametrize(("lower", "upper"), [(0, 0), (0, 1), (0, 5), (2, 5), (-3, 2), (5, 2)])
@pytest.mark.parametrize("bounds", ["ints", "arrays", "traced"])
def test_it_is_pythons_loop(lower, upper, bounds):
    wanted = loop(lower, upper, body, START)

    def run(lower, upper, start):
        return volta.fori_loop(lower, upper, body, start)

    if bounds == "ints":
        found = run(lower, upper, START)
    elif bounds == "arrays":
        found = run(np.asarray(lower), np.asarray(upper), START)
    else:
        found = volta.trace(run)(0, 1, START)(
            np.asarray(lower), np.asarray(upper), *tree.leaves(START)
        )
    same(found, wanted)


@pytest.mark.grad_check
@pytest.mark.parametrize("staged", [False, True])
def test_derivatives(staged):
    def fun(x, w):
        def step(i, v):
            return F.sin(v * w) * (i + 1)

        if not staged:
            return volta.fori_loop(1, 4, step, x)
        return volta.scan(
            lambda c, n: (volta.fori_loop(0, n, step, c), ()), x, np.asarray([2, 0, 1])
        )[0]

    check(fun, X, X + 0.5, order=1 if staged else 3)


def test_bounds_of_lanes():
    def fun(lower, upper, x):
        return volta.fori_loop(lower, upper, lambda i, v: v * 2 + i, x)

    lower, upper = np.asarray([0, 2, 1, 3]), np.asarray([3, 2, 4, 1])
    xs = np.asarray([1.0, 2.0, 3.0, 4.0])
    wanted = [
        loop(a, b, lambda i, v: v * 2 + i, x) for a, b, x in zip(lower, upper, xs, strict=True)
    ]
    same(volta.vmap(fun)(lower, upper, xs), np.asarray(wanted))
    found = volta.vmap(lambda n: fun(0, n, np.asarray(1.0)))(upper)
    same(found, np.asarray([loop(0, n, lambda i, v: v * 2 + i, 1.0) for n in upper]))
    slopes = volta.vmap(volta.grad(fun, 2))(lower, upper, xs)
    same(slopes, 2.0 ** np.maximum(upper - lower, 0))


@pytest.mark.parametrize(
    ("init", "step", "dtype", "wanted"),
    [
        (1, lambda i, v: v + i, "int64", 4),
        (1.0, lambda i, v: v * 2, "float32", 8.0),
        (1.0, lambda i, v: v + np.float64(1), "float64", 4.0),
    ],
)
def test_numbers(init, step, dtype, wanted):
    found = volta.fori_loop(0, 3, step, init)
    assert (str(found.dtype), float(found)) == (dtype, wanted)
    assert str(volta.fori_loop(0, 0, step, init).dtype) == dtype


@pytest.mark.parametrize(
    "make", [strict.asarray, lambda x: pytest.importorskip("torch").asarray(x)]
)
def test_other_libraries(make):
    found = volta.fori_loop(make(np.asarray(1)), 4, lambda i, v: v * F.astype(i, v.dtype), make(X))
    assert type(found) is type(make(X))
    np.testing.assert_allclose(np.asarray(found), X * 6)


def test_against_jax():
    jax = pytest.importorskip("jax")
    x = X.astype(np.float32)

    def fun(run, x):
        return run(2, 6, lambda i, v: v * 0.5 + i.astype(v.dtype), x)

    np.testing.assert_allclose(fun(volta.fori_loop, x), fun(jax.lax.fori_loop, x), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: volta.fori_loop(0, 2.5, body, START),
            DTypeError,
            r"^fori_loop\(body\): bounds must be integers, shape \(\); got float",
        ),
        (
            lambda: volta.fori_loop(X, 2, body, START),
            DTypeError,
            r"^fori_loop\(body\): bounds must be integers, shape \(\); got float64\[3\]\.",
        ),
        (
            lambda: volta.fori_loop(0, 2, lambda i, v: (v, v), X),
            ShapeError,
            r"^fori_loop\(<lambda>\): a step must keep the structure of the value",
        ),
        (
            lambda: volta.fori_loop(0, 2, lambda i, v: v > 0, X),
            ShapeError,
            r"keep the types of the value; got float64\[3\] and then bool\[3\] at value\.",
        ),
        (
            lambda: volta.fori_loop(0, 2, body, init=X),
            TypeError,
            "it takes lower, upper, body_fun, init_val",
        ),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("bounds", ["known", "traced", "upper traced"])
@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8"])
def test_the_index_has_the_dtype_of_the_bounds(dtype, bounds):
    lower, upper, start = (np.asarray(n, dtype) for n in (1, 4, 0))

    def run(lower, upper):
        return volta.fori_loop(lower, upper, lambda i, v: v + i, start)

    for low in (lower, 1):
        if bounds == "known":
            found = run(low, upper)
        elif bounds == "traced" and low is lower:
            found = volta.vmap(run)(lower[None], upper[None])[0, ...]
        else:
            found = volta.vmap(lambda upper, low=low: run(low, upper))(upper[None])[0, ...]
        same(found, np.asarray(6, dtype))


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_an_array_that_is_not_traced_has_no_such_index(library):
    w = pytest.importorskip(library).asarray([2.0, 3.0, 4.0])
    zero = w[0] * 0
    advice = r"(needs a concrete value|must have an axis).* use functional\.take, or volta\.lift"
    with pytest.raises((TraceError, TypeError), match=advice):
        volta.fori_loop(0, 3, lambda i, v: v + w[i], zero)
    for read in (lambda i: F.take(w, i, axis=0), lambda i: volta.lift(w)[i]):
        assert float(volta.fori_loop(0, 3, lambda i, v, read=read: v + read(i), zero)) == 9.0
