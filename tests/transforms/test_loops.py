"""What loops begin with: numbers and NumPy arrays find their dtype and library."""

import array_api_strict as strict
import numpy as np
import pytest

import volta
import volta.functional as F
from volta.core.errors import DeviceError, ShapeError
from volta.core.tracer import library_under
from volta.transforms.loops import begun

pytestmark = pytest.mark.core

X = np.asarray([0.6, 0.9, 1.2])
ONE = np.asarray(1.0)


def test_first_values():
    def step(a, b, x):
        return [a + x, b]

    xs = np.ones(3, np.float32)
    (a, b), (elements,), body = begun(step, [1, X], [xs], "scan(f)", step)
    assert a.dtype == np.float32
    assert b is X
    assert elements is xs
    assert len(body) == 1
    calls = []
    (only,), _, _ = begun(lambda x: calls.append(x) or [x], [X], [], "scan(f)", None)
    assert only is X
    assert len(calls) == 1  # nothing to find out


def test_a_number_that_stays_one_takes_the_dtype_of_the_floats():
    def body(i, v):
        return v[0] + v[1] * ONE, v[1]

    total, number = volta.fori_loop(0, 2, body, (np.asarray(0.0), 0.1))
    assert float(total) == 0.2
    assert number.dtype == np.float64
    halved = volta.scan(lambda c, x: ((c[0] * x, c[1] / 2), ()), (0.1, 0.1), X)[0]
    assert [a.dtype for a in halved] == [np.float64] * 2
    whole = volta.scan(lambda c, x: (c, x), (0.1, 3, 1j), X)[0]
    assert [a.dtype.name for a in whole] == ["float64", "int64", "complex128"]
    assert volta.scan(lambda c, x: (c, ()), 0.1, length=2)[0].dtype == np.float32
    turned = volta.scan(lambda c, x: (c, x), 0.1, X * 1j)[0]
    assert turned.dtype == np.float64


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_numbers_that_steps_return_follow_the_value(dtype):
    x = np.ones(2, dtype)
    number = 0 if dtype == "int32" else 0.0
    last, seen = volta.scan(lambda c, e: (number, c), x[0, ...], x)
    assert last.dtype == seen.dtype == x.dtype
    assert seen.tolist() == [1, 0]
    found = volta.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, number), (0, x[0, ...]))
    assert found[1].dtype == x.dtype
    if dtype == "int32":
        with pytest.raises(ShapeError, match=r"must keep the types of the carry; got int32\[\]"):
            volta.scan(lambda c, e: (0.5, c), x[0, ...], x)


def cases(xp):
    """Loops of arrays of a library that begin with numbers or NumPy arrays."""

    def power(w, start):
        return volta.while_loop(lambda s: s[1] < 30, lambda s: (s[0] + 1, s[1] * w), start)

    def carried(c, e):
        return (c[0] + 1, c[1] * e), c[0]

    def indexed(n, w, start):
        return volta.fori_loop(0, n, lambda i, v: v * w + F.astype(i, w.dtype), start)

    w, xs = (xp.asarray(x, dtype=xp.float32) for x in (2.0, [2.0, 3.0]))
    zero, one = np.zeros(2, np.float32), np.ones((), np.float32)
    yield "while, a counter", lambda: power(w, (0, w))
    yield "while, numbers", lambda: power(w, (0, 1.0))
    yield "while, NumPy", lambda: power(w, (np.asarray(0), one))
    yield "scan, numbers", lambda: volta.scan(carried, (0, 1.0), xs)
    yield "scan, NumPy", lambda: volta.scan(carried, (0, one), xs)
    yield "scan over NumPy", lambda: volta.scan(carried, (0, w), zero + 2)
    yield "scan, closed over", lambda: volta.scan(lambda c, e: (c * w + e, c), one, zero)
    yield "fori, a number", lambda: indexed(3, w, 1.0)
    yield "fori, NumPy", lambda: indexed(3, w, one)
    yield "fori, a bound", lambda: indexed(xp.asarray(3), w, w)
    yield "cond", lambda: volta.cond(False, lambda x: x, lambda x: 0.0, w)
    yield "cond, NumPy", lambda: volta.cond(False, lambda x: x, lambda x: zero[0, ...], w)
    yield "cond, closed over", lambda: volta.cond(True, lambda x: x * w, lambda x: w, one)
    yield "cond, an operand", lambda: volta.cond(True, lambda x, k: x * k, lambda x, k: x, w, 3)
    yield "switch", lambda: volta.switch(1, [lambda x: x, lambda x: 1], w)


@pytest.mark.parametrize("library", ["torch", "strict", "jax"])
@pytest.mark.parametrize("name", [name for name, _ in cases(np)])
def test_numbers_and_numpy_arrays_join_the_library_they_meet(name, library):
    xp = strict if library == "strict" else pytest.importorskip(_XP[library])
    run, wanted = dict(cases(xp))[name], dict(cases(np))[name]()
    found = run()
    for leaf, other in zip(volta.tree.leaves(found), volta.tree.leaves(wanted), strict=True):
        assert library_under(leaf) is library_under(xp.asarray(1.0))
        np.testing.assert_allclose(np.asarray(leaf), other, rtol=1e-6)


_XP = {"torch": "torch", "jax": "jax.numpy"}


def test_counters_in_lanes_of_another_library():
    torch = pytest.importorskip("torch")
    w = torch.asarray([2.0, 3.0], dtype=torch.float64)

    def power(w):
        return volta.while_loop(lambda s: s[1] < 30, lambda s: (s[0] + 1, s[1] * w), (0, w))

    def fori(n, w):
        return volta.fori_loop(0, n, lambda i, v: v * w + i, w)

    count, value = volta.vmap(power)(w)
    assert (count.tolist(), value.tolist()) == ([4, 3], [32.0, 81.0])
    assert volta.vmap(fori)(torch.asarray([2, 3]), w).tolist() == [9.0, 86.0]
    assert volta.vmap(volta.grad(lambda w: power(w)[1]))(w).tolist() == [80.0, 108.0]


def test_traced_arrays_stay_where_they_are():
    torch = pytest.importorskip("torch")
    xs = torch.ones(2, dtype=torch.float64)
    with pytest.raises(DeviceError, match=r"a traced array must meet arrays of its own library"):
        volta.grad(lambda c: volta.scan(lambda c, x: (c * x, ()), c, xs)[0])(ONE)
