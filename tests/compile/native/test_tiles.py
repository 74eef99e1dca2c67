"""Products of small matrices: tiles of all heights and widths, however operands lie."""

import itertools
import math

import numpy as np
import pytest
from strategies import fill

import volta
import volta.functional as F
from volta.compile.native import blas, llvm, tiles, workers
from volta.compile.native.products import Product
from volta.compile.schedule import fused, native_of
from volta.core.types import DTYPES

pytestmark = [
    pytest.mark.core,
    pytest.mark.skipif(
        not llvm.available() or not blas.available(), reason="there is no native code of products"
    ),
]

WIDTHS = [16, 32, 64]  # bytes of a vector


@pytest.fixture
def generated(monkeypatch):
    """All products are generated."""
    monkeypatch.setattr(tiles.Plan, "is_fast", True)


def lying(shape, how, dtype, seed):
    """An array whose last two axes lie in rows, in columns, or apart."""
    x = fill(seed, shape, dtype)
    if how == "columns":
        return np.swapaxes(np.ascontiguousarray(np.swapaxes(x, -1, -2)), -1, -2)
    if how == "apart":
        wide = fill(seed + 1, (*shape[:-2], 2 * shape[-2], shape[-1] + 3), dtype)
        wide[..., ::2, :-3] = x
        return wide[..., ::2, :-3]
    return x


def agree(a, b):
    found, wanted = (
        volta.jit(lambda a, b: a @ b, backend="llvm")(a, b),
        a.astype("g") @ b.astype("g"),
    )
    assert found.dtype == a.dtype
    assert found.shape == wanted.shape
    limit = 4 * math.sqrt(a.shape[-1]) * np.finfo(a.dtype).eps * (np.abs(a) @ np.abs(b))
    assert (np.abs(found - wanted) <= limit).all()


SIZES = [
    *[(1, 1, 1), (3, 4, 5), (6, 8, 16), (7, 9, 17), (12, 16, 8), (13, 3, 33), (29, 40, 65)],
    *[(5, 300, 7), (40, 513, 20), (100, 260, 3)],  # several parts of the inner axis
]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_matrices_however_they_lie(generated, monkeypatch, sizes, dtype, width):
    monkeypatch.setattr(tiles, "vector_bytes", lambda: width)
    m, k, n = sizes
    for one, other in itertools.product(("rows", "columns", "apart"), repeat=2):
        agree(lying((m, k), one, dtype, 0), lying((k, n), other, dtype, 2))


STACKS = [
    *[((5, 7, 4), (5, 4, 6)), ((1, 7, 4), (5, 4, 6)), ((7, 4), (5, 4, 6)), ((5, 7, 4), (4, 6))],
    *[((2, 5, 7, 4), (5, 4, 6)), ((2, 1, 7, 4), (1, 5, 4, 6)), ((3, 2, 40, 9), (3, 1, 9, 33))],
]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shapes", STACKS, ids=str)
def test_stacks(generated, monkeypatch, shapes, threads):
    monkeypatch.setattr(workers, "threads", lambda: threads)
    monkeypatch.setattr(tiles, "_SHARED", 0)
    for one, other in itertools.product(("rows", "columns", "apart"), repeat=2):
        a, b = lying(shapes[0], one, "float32", 0), lying(shapes[1], other, "float32", 2)
        found = volta.jit(lambda a, b: a @ b, backend="llvm")(a, b)
        np.testing.assert_allclose(found, a @ b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "b",
    [fill(1, (8, 12), "float32")[::-1], fill(1, (8, 24), "float32")[:, ::2], np.ones((8, 1))],
    ids=["turned over", "every other", "spread"],
)
def test_second_matrices_that_lie_otherwise_are_numpys(generated, b):
    b = np.broadcast_to(b, (8, 12)).astype("float32", copy=False)
    agree(fill(0, (6, 8), "float32"), b)


def test_first_matrices_may_lie_in_any_way(generated):
    a, b = fill(0, (12, 16), "float32"), fill(1, (8, 12), "float32")
    for x in (a[::-1, ::2], a[::3, ::-2], np.broadcast_to(a[:1, :8], (6, 8))):
        agree(x, b)


def test_nan_and_infinity_are_not_lost(generated):
    a, b = fill(0, (5, 4), "float64"), fill(1, (4, 3), "float64")
    a[1, 1], b[2, 0] = np.nan, np.inf
    found = volta.jit(lambda a, b: a @ b, backend="llvm")(a, b)
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(a @ b))


@pytest.mark.parametrize("width", WIDTHS)
def test_tiles_fit_into_registers(width):
    registers = 32 if width == 64 else 16
    for m, vectors in itertools.product(range(1, 70), range(1, 9)):
        rows, columns = tiles._tile(m, vectors, registers)
        assert 1 <= rows <= m
        assert 1 <= columns <= vectors
        assert rows * columns + columns + 2 <= registers


def test_small_matrices_of_stacks_are_generated_and_others_blas():
    def scratch(left, right):
        return Product(DTYPES["float32"], left, right).scratch

    assert scratch((8, 8, 128, 32), (8, 8, 32, 128))
    assert scratch((5, 64, 32), (5, 32, 64))
    assert scratch((6, 32), (32, 64))
    assert not scratch((5, 300, 300), (5, 300, 300))
    assert not scratch((512, 8), (8, 512))
    assert not scratch((5, 2, 32), (5, 32, 64))
    assert not scratch((5, 300, 8), (8, 64))  # rows of one


# How results lie ----------------------------------------------------------------------------------


def heads(x):
    """Products of each head, put side by side."""
    q = F.permute_dims(F.reshape(x, (2, 6, 3, 8)), (0, 2, 1, 3))
    made = F.matmul(F.matmul(q, F.matrix_transpose(q)), q)
    return F.reshape(F.permute_dims(made, (0, 2, 1, 3)), (2, 6, 24))


def test_products_that_are_only_transposed_lie_so(monkeypatch):
    x = fill(0, (2, 6, 24), "float32")
    listed = volta.trace(heads)(x)
    entries = fused(listed.entries, listed.outputs, listed.types)
    products = [n for e in entries if type(n := native_of(e)) is Product]
    assert [n.order for n in products] == [(), (0, 2, 1, 3)]
    for fun in (heads, volta.grad(lambda x: F.sum(heads(x) ** 2))):
        found = volta.jit(fun, backend="llvm")(x)
        np.testing.assert_allclose(found, fun(x), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    "more",
    [
        lambda made: made,
        lambda made: F.sum(made * made),
        lambda made: F.permute_dims(made, (2, 0, 1)),
        lambda made: F.reshape(F.permute_dims(made, (0, 2, 1)), (5, 42)),
        lambda made: F.matmul(made, F.matrix_transpose(made)),
    ],
)
def test_others_lie_in_row_major_order(more):
    def fun(a, b):
        made = F.matmul(a, b)
        return F.permute_dims(made, (1, 0, 2)) * 2, more(made)

    a, b = fill(0, (5, 7, 4), "float64"), fill(1, (5, 4, 6), "float64")
    for found, wanted in zip(volta.jit(fun, backend="llvm")(a, b), fun(a, b), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 0, 2, 3), (2, 0, 1, 3), (0, 2, 1, 3)])
def test_any_order(monkeypatch, order):
    def fun(a, b):
        return F.reshape(F.permute_dims(F.matmul(a, b), order), (-1,)) + 1

    a, b = fill(0, (2, 3, 7, 4), "float64"), fill(1, (2, 3, 4, 6), "float64")
    np.testing.assert_allclose(volta.jit(fun, backend="llvm")(a, b), fun(a, b), rtol=1e-12)


def test_first_matrices_that_are_rows_of_one():
    def fun(a, b):
        return F.reshape(F.permute_dims(F.matmul(a, b), (1, 0, 2)), (3, -1))

    a, b = fill(0, (2, 3, 8), "float64"), fill(1, (8, 16), "float64")
    assert Product(DTYPES["float64"], a.shape, b.shape).scratch
    np.testing.assert_allclose(volta.jit(fun, backend="llvm")(a, b), fun(a, b), rtol=1e-12)
