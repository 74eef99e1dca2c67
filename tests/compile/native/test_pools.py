"""Maxima of windows in native code, bit by bit those of NumPy, and their derivatives."""

import numpy as np
import pytest
from strategies import fill

import volta
import volta.functional as F
from volta.compile.native import llvm, pools, workers
from volta.compile.native.pools import Pool
from volta.compile.schedule import fused, native_of

pytestmark = [
    pytest.mark.core,
    pytest.mark.skipif(not llvm.available(), reason="there is no LLVM"),
]

POOLS = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
WINDOWS = [  # lengths; kernel, stride, dilation
    *[((28, 28), 2, 2, 1), ((9, 13), 3, 2, 1), ((17, 40), 3, 1, 1), ((10, 11), 3, 3, 1)],
    *[((9, 23), 2, 2, 2), ((12, 33), 3, 2, 2), ((21, 37), 5, 4, 1), ((7, 7), 7, 1, 1)],
    *[((9, 20), (2, 3), (2, 1), (1, 2)), ((6, 50), (1, 2), (1, 2), 1), ((5, 64), 1, 2, 1)],
    *[((41,), 2, 2, 1), ((100,), 5, 2, 1), ((19,), 4, 3, 2)],
    *[((6, 7, 20), 2, 2, 1), ((5, 6, 9), 3, 1, 1), ((4, 4, 4), (2, 1, 4), 1, 1)],
]


def windows(fun, *args):
    """Names of operations on windows that are native."""
    listed = volta.trace(fun)(*args)
    entries = fused(listed.entries, listed.outputs, listed.types)
    return [n.which for e in entries if type(n := native_of(e)) is Pool]


def drawn(shape, dtype):
    """Small integers, so that many are equal, with what is no number and zeros of both signs."""
    x = np.round(2 * fill(0, shape, dtype))
    kinds = np.random.default_rng(0).integers(0, 12, shape)
    for kind, value in enumerate((np.nan, -np.inf, np.inf, -0.0)):
        x[kinds == kind] = value
    return x


@pytest.mark.parametrize("width", [16, 32])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", WINDOWS, ids=str)
def test_maxima_and_where_they_are(monkeypatch, case, dtype, width):
    monkeypatch.setattr(pools, "vector_bytes", lambda: width)
    lengths, kernel, stride, dilation = case

    def both(x):
        return POOLS[len(lengths)](x, kernel, stride, 0, dilation, return_indices=True)

    def values(x):
        return POOLS[len(lengths)](x, kernel, stride, 0, dilation)

    x = drawn((2, 3, *lengths), dtype)
    assert windows(both, x) == ["max_places", "pick"]
    for found, wanted in zip(volta.jit(both, backend="llvm")(x), both(x), strict=True):
        assert found.tobytes() == wanted.tobytes()
    assert windows(values, x) == ["max_windows"]
    # of zeros of both signs NumPy takes any
    np.testing.assert_array_equal(volta.jit(values, backend="llvm")(x), values(x))


@pytest.mark.parametrize("case", WINDOWS, ids=str)
def test_derivatives(monkeypatch, case):
    monkeypatch.setattr(workers, "threads", lambda: 3)
    monkeypatch.setattr(pools, "_SHARED", 0)
    lengths, kernel, stride, dilation = case
    x = fill(0, (3, 5, *lengths), "float64")
    weights = fill(1, POOLS[len(lengths)](x, kernel, stride, 0, dilation).shape, "float64")

    def loss(x):
        return F.sum(F.sin(POOLS[len(lengths)](x, kernel, stride, 0, dilation)) * weights)

    assert windows(volta.grad(loss), x) == ["max_places", "pick", "put"]
    found, wanted = volta.jit(volta.grad(loss), backend="llvm")(x), volta.grad(loss)(x)
    np.testing.assert_allclose(found, wanted, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("case", WINDOWS[:2], ids=str)
def test_second_derivatives(case):
    lengths, kernel, stride, dilation = case
    x, tangent = fill(0, (2, *lengths), "float64"), fill(1, (2, *lengths), "float64")

    def slope(x, tangent):
        def loss(x):
            return F.sum(F.sin(F.max_pool2d(x, kernel, stride, 0, dilation)))

        return volta.jvp(volta.grad(loss), (x,), (tangent,))

    found, wanted = volta.jit(slope, backend="llvm")(x, tangent), slope(x, tangent)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(
    ("x", "arguments"),
    [
        (fill(0, (2, 8, 8), "float32"), {"kernel_size": 3, "padding": 1}),
        (fill(0, (2, 7, 7), "float32"), {"kernel_size": 2, "ceil_mode": True}),
        (fill(0, (2, 8, 8), "float16"), {"kernel_size": 2}),
        (np.arange(128).reshape(2, 8, 8), {"kernel_size": 2}),
        (fill(0, (2, 30, 30), "float32"), {"kernel_size": 9}),
        (fill(0, (0, 8, 8), "float32"), {"kernel_size": 2}),
    ],
    ids=["padding", "beyond the end", "float16", "integers", "long", "none"],
)
def test_others_run_on_numpy(x, arguments):
    def fun(x):
        return F.max_pool2d(x, **arguments)

    assert windows(fun, x) == []
    np.testing.assert_array_equal(volta.jit(fun, backend="llvm")(x), fun(x))


def test_arrays_that_lie_otherwise_are_copied():
    x = fill(0, (2, 3, 12, 10), "float32")
    compiled = volta.jit(lambda x: F.max_pool2d(x, 2), backend="llvm")
    for view in (x, x[:, :, ::-1], np.asfortranarray(x)):
        np.testing.assert_array_equal(compiled(view), F.max_pool2d(view, 2))


def test_nothing_beside_an_array_is_read_or_written():
    """The memory around each array has numbers that would be seen."""
    x = np.full(2000, 1e9, "float32")
    inner = x[100 : 100 + 9 * 13].reshape(1, 9, 13)
    inner[...] = fill(0, (1, 9, 13), "float32")
    compiled = volta.jit(volta.grad(lambda x: F.sum(F.max_pool2d(x, 2) ** 2)), backend="llvm")
    np.testing.assert_array_equal(compiled(inner), compiled(inner.copy()))
    assert (F.max_pool2d(inner, 2) < 1e9).all()
    assert (np.delete(x, np.s_[100 : 100 + 9 * 13]) == 1e9).all()
