"""Products by BLAS: of any strides and batches, shared by threads, and what BLAS cannot take."""

import importlib.util
import itertools

import numpy as np
import pytest
from strategies import fill

import volta
import volta.functional as F
from volta.compile.native import blas, llvm, products, workers
from volta.compile.native.products import Product
from volta.compile.schedule import fused, native_of

pytestmark = [
    pytest.mark.core,
    pytest.mark.skipif(
        not llvm.available() or not blas.available(), reason="there is no BLAS to call"
    ),
]

SIZES = [(1, 1, 1), (3, 4, 5), (1, 7, 3), (7, 1, 3), (7, 3, 1), (33, 17, 70), (64, 64, 128)]


def bound(a, b):
    """Of the contraction's rounding errors."""
    eps = np.finfo(a.dtype).eps
    return 4 * np.sqrt(a.shape[-1]) * eps * (np.abs(a) @ np.abs(b))


def agree(a, b, fun=lambda a, b: a @ b):
    found, wanted = volta.jit(fun, backend="llvm")(a, b), fun(a.astype("g"), b.astype("g"))
    assert found.dtype == a.dtype
    assert found.shape == wanted.shape
    limit = bound(*np.broadcast_arrays(a, a)[:1], b) if fun(a, b).ndim == 2 else 1e-4
    assert (np.abs(found - wanted) <= limit).all()


def natives(fun, *args):
    listed = volta.trace(fun)(*args)
    entries = fused(listed.entries, listed.outputs, listed.types)
    return [n for e in entries if type(n := native_of(e)) is Product]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_matrices_however_they_lie(sizes, dtype):
    m, k, n = sizes
    a, b = fill(0, (m, k), dtype), fill(1, (k, n), dtype)
    wide, tall = fill(2, (2 * m, 2 * k), dtype), fill(3, (2 * k, 2 * n), dtype)
    lefts = [a, np.asfortranarray(a), wide[::2, :k], wide[:m, ::2], wide[::-1][:m, :k]]
    lefts += [np.broadcast_to(a[:1], (m, k)), np.broadcast_to(a[:, :1], (m, k))]
    rights = [b, np.asfortranarray(b), tall[:k, n:], tall[::2, ::-2]]
    for x, y in itertools.product(lefts, rights):
        agree(x, y)
    assert len(natives(lambda a, b: a @ b, a, b)) == 1


def test_transposes_of_a_program_are_no_copies():
    def fun(a, b):
        return a.T @ b, b.T @ a, (b.T @ a).T @ b.T

    a, b = fill(0, (40, 30), "float32"), fill(1, (40, 20), "float32")
    assert len(natives(fun, a, b)) == 4
    for x, y in zip(volta.jit(fun, backend="llvm")(a, b), fun(a, b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)


STACKS = [
    *[((5, 3, 4), (4, 6)), ((5, 3, 4), (5, 4, 6)), ((1, 3, 4), (5, 4, 6)), ((3, 4), (5, 4, 6))],
    *[((2, 5, 3, 4), (5, 4, 6)), ((2, 1, 3, 4), (1, 5, 4, 6)), ((2, 5, 3, 4), (4, 2))],
]


@pytest.mark.parametrize("shapes", STACKS, ids=str)
def test_stacks(shapes):
    a, b = (fill(i, s, "float64") for i, s in enumerate(shapes))
    turned = np.swapaxes(np.ascontiguousarray(np.swapaxes(a, -1, -2)), -1, -2)
    for x in (a, turned, np.swapaxes(np.ascontiguousarray(np.swapaxes(a, 0, 1)), 0, 1)):
        found = volta.jit(lambda x, y: x @ y, backend="llvm")(x, b)
        np.testing.assert_allclose(found, x @ b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sizes", [(5, 300, 700), (700, 300, 5), (130, 64, 130), (33, 9, 1000)])
@pytest.mark.parametrize("turned", [*itertools.product([False, True], repeat=2)], ids=str)
def test_workers_share_rows_or_columns(monkeypatch, sizes, turned):
    monkeypatch.setattr(workers, "threads", lambda: 3)
    monkeypatch.setattr(products, "_SHARED", 0)
    m, k, n = sizes
    a, b = fill(0, (m, k), "float32"), fill(1, (k, n), "float32")
    agree(*(np.asfortranarray(x) if t else x for x, t in zip((a, b), turned, strict=True)))


def test_results_lie_in_memory_that_is_used_again():
    def step(w, x):
        return w - 0.1 * (x.T @ (x @ w))

    w, x = fill(0, (300, 200), "float32"), fill(1, (250, 300), "float32") / 300
    compiled = volta.jit(step, backend="llvm")
    plain = w
    for _ in range(5):
        w, plain = compiled(w, x), step(plain, x)
        np.testing.assert_allclose(w, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.ones((2, 3), "int64"), np.ones((3, 2), "int64")),
        (np.ones((2, 3), "complex128"), np.ones((3, 2), "complex128")),
        (np.ones((2, 3), "float16"), np.ones((3, 2), "float16")),
        (np.ones(3), np.ones((3, 2))),
        (np.ones((2, 3)), np.ones(3)),
        (np.ones((2, 0)), np.ones((0, 3))),
        (np.ones((0, 2)), np.ones((2, 3))),
        (np.ones((2, 3), "float32"), np.ones((3, 2))),
    ],
    ids=str,
)
def test_what_blas_has_not_is_numpys(a, b):
    found = volta.jit(lambda a, b: a @ b, backend="llvm")(a, b)
    np.testing.assert_array_equal(found, F.matmul(a, b))
    if a.dtype == b.dtype:
        assert not natives(lambda a, b: a @ b, a, b)


def test_nan_and_infinity_are_not_lost():
    a, b = fill(0, (5, 4), "float64"), fill(1, (4, 3), "float64")
    a[1, 1], b[2, 0] = np.nan, np.inf
    found = volta.jit(lambda a, b: a @ b, backend="llvm")(a, b)
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(a @ b))


def test_without_the_package_products_are_numpys(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(blas, "available", blas.available.__wrapped__)
    a, b = np.ones((2, 3)), np.ones((3, 4))
    assert not natives(lambda a, b: a @ b, a, b)
    np.testing.assert_array_equal(volta.jit(lambda a, b: a @ b, backend="llvm")(a, b), a @ b)


def test_the_environment_is_as_before_after_the_library_is_loaded(monkeypatch):
    import os

    for value in (None, "7"):
        if value is None:
            monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
        else:
            monkeypatch.setenv("OPENBLAS_NUM_THREADS", value)
        with blas._one_thread():
            assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
        assert os.environ.get("OPENBLAS_NUM_THREADS") == value
