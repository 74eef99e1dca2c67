"""Products of large matrices in generated code: all sizes, however operands lie and tasks share."""

import itertools
import math

import numpy as np
import pytest
from strategies import fill

import volta
import volta.functional as F
from volta.compile.native import blas, large, llvm, products, tiles, workers
from volta.compile.native.products import Product
from volta.core.types import DTYPES

pytestmark = [
    pytest.mark.core,
    pytest.mark.skipif(
        not llvm.available() or not blas.available(), reason="there is no native code of products"
    ),
]

FLOAT = DTYPES["float32"]


@pytest.fixture
def generated(monkeypatch):
    """All products of two matrices are generated so, with parts and groups of few."""
    monkeypatch.setattr(tiles.Plan, "is_fast", False)
    monkeypatch.setattr(large.Plan, "is_fast", True)
    monkeypatch.setattr(large, "_DEPTH", 24)
    monkeypatch.setattr(large, "_TILES", 2)
    monkeypatch.setattr(large, "_NEAR", 1 << 12)


def lying(shape, how, dtype, seed):
    """A matrix that lies in rows, in columns, or in every other row of a larger one."""
    x = fill(seed, shape, dtype)
    if how == "columns":
        return np.asfortranarray(x)
    if how == "apart":
        wide = fill(seed + 1, (2 * shape[0], shape[1] + 3), dtype)
        wide[::2, :-3] = x
        return wide[::2, :-3]
    return x


def agree(a, b):
    found = volta.jit(lambda a, b: a @ b, backend="llvm")(a, b)
    wanted = a.astype("g") @ b.astype("g")
    assert found.dtype == a.dtype
    assert found.shape == wanted.shape
    limit = 4 * math.sqrt(a.shape[-1]) * np.finfo(a.dtype).eps * (np.abs(a) @ np.abs(b))
    assert (np.abs(found - wanted) <= limit).all()


SIZES = [
    *[(1, 1, 1), (3, 4, 5), (6, 8, 16), (7, 9, 17), (13, 3, 33), (29, 40, 65), (28, 24, 64)],
    *[(90, 51, 7), (40, 113, 140), (5, 49, 300), (100, 25, 97)],
]


@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("by_rows", [True, False], ids=["by rows", "by columns"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_matrices_however_they_lie(generated, monkeypatch, sizes, by_rows, dtype, width):
    monkeypatch.setattr(large, "vector_bytes", lambda: width)
    monkeypatch.setattr(large, "_WIDER", math.inf if by_rows else 0)
    m, k, n = sizes
    for one, other in itertools.product(("rows", "columns", "apart"), repeat=2):
        agree(lying((m, k), one, dtype, 0), lying((k, n), other, dtype, 2))


@pytest.mark.parametrize("by_rows", [True, False], ids=["by rows", "by columns"])
@pytest.mark.parametrize("sizes", SIZES[5:], ids=str)
def test_tasks_are_shared(generated, monkeypatch, sizes, by_rows):
    monkeypatch.setattr(workers, "threads", lambda: 3)
    monkeypatch.setattr(large, "_WIDER", math.inf if by_rows else 0)
    m, k, n = sizes
    for _ in range(5):
        agree(fill(0, (m, k), "float32"), fill(1, (k, n), "float32"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_of_one_program_share_what_they_call(generated, monkeypatch, dtype):
    """Tiles of equal height in panels of other heights, and panels of fewer lines than a vector."""
    monkeypatch.setattr(large, "vector_bytes", lambda: 32)
    sizes = [(16, 24, 32), (4, 24, 32), (4, 3, 32), (4, 11, 32), (10, 11, 5), (5, 27, 21)]
    pairs = [
        (fill(i, (m, k), dtype), fill(i + 9, (k, n), dtype)) for i, (m, k, n) in enumerate(sizes)
    ]
    for some in (pairs, pairs[::-1]):
        found = volta.jit(lambda pairs: [a @ b for a, b in pairs], backend="llvm")(some)
        for x, (a, b) in zip(found, some, strict=True):
            np.testing.assert_allclose(x, a @ b, rtol=1e-4, atol=1e-4)
    one, both = (sum(len(b.lines) for b in written(n)) for n in (sizes[:1], sizes[:1] * 2))
    assert both < 1.9 * one


def written(sizes):
    """Functions of products, each once."""
    codes = (Product(FLOAT, (m, k), (k, n)) for m, k, n in sizes)
    blocks = (b for i, code in enumerate(codes) for b in products.written(f"native{i}", code))
    return {b.title: b for b in blocks}.values()


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("width", [32, 64])
def test_plans_cover_a_result_and_fit_into_registers(monkeypatch, width, threads):
    monkeypatch.setattr(large, "vector_bytes", lambda: width)
    monkeypatch.setattr(workers, "threads", lambda: threads)
    for m, n in itertools.product((*range(1, 40), 128, 1000), (1, 8, 17, 40, 300, 5000)):
        plan = large.Plan(FLOAT, (m, 300, n))
        assert (plan.rows + 1) * plan.columns + 1 <= (32 if width == 64 else 16)
        assert (plan.tiles - 1) * plan.rows < m <= plan.tiles * plan.rows
        assert (plan.panels - 1) * plan.wide < n <= plan.panels * plan.wide
        assert (plan.parts - 1) * plan.depth < 300 <= plan.parts * plan.depth
        count = plan.tiles if plan.by_rows else plan.panels
        assert (plan.tasks - 1) * plan.step < count <= plan.tasks * plan.step


def test_large_matrices_are_generated_and_others_blas(monkeypatch):
    monkeypatch.setattr(large, "vector_bytes", lambda: 32)

    def is_generated(left, right):
        return isinstance(Product(FLOAT, left, right).plan, large.Plan)

    assert is_generated((512, 512), (512, 512))
    assert is_generated((8, 128, 256), (256, 768))  # rows of one
    assert is_generated((64, 784), (784, 128))
    assert not is_generated((2048, 512), (512, 10))
    assert not is_generated((8, 2048), (2048, 512))
    assert not is_generated((5, 300, 300), (5, 300, 300))
    assert not is_generated((4096, 4096), (4096, 4096))
    monkeypatch.setattr(large, "vector_bytes", lambda: 16)
    assert not is_generated((512, 512), (512, 512))


@pytest.mark.parametrize("by_rows", [True, False], ids=["by rows", "by columns"])
@pytest.mark.parametrize("sizes", [(29, 40, 65), (13, 49, 33), (90, 51, 7)], ids=str)
def test_nothing_beyond_is_written_or_read(generated, monkeypatch, sizes, by_rows):
    monkeypatch.setattr(large, "_WIDER", math.inf if by_rows else 0)
    m, k, n = sizes
    code = Product(FLOAT, (m, k), (k, n))
    (native,), _ = llvm.functions([code])
    memory, scratch = np.full(m * n + 2000, 7, "float32"), np.full(code.scratch + 256, 9, "uint8")
    out = memory[1000:-1000].reshape(m, n)
    edges = np.full(m * k + 2000, np.nan, "float32"), np.full(k * n + 2000, np.nan, "float32")
    a, b = edges[0][1000:-1000].reshape(m, k), edges[1][1000:-1000].reshape(k, n)
    a[...], b[...] = fill(0, (m, k), "float32"), fill(1, (k, n), "float32")
    assert native(a, b, out, scratch[128:-128])
    np.testing.assert_allclose(out, a @ b, rtol=1e-4, atol=1e-4)
    assert (memory[:1000] == 7).all()
    assert (memory[-1000:] == 7).all()
    assert (scratch[:128] == 9).all()
    assert (scratch[-128:] == 9).all()


def test_nan_and_infinity_stay_in_their_rows_and_columns(generated):
    a, b = fill(0, (30, 50), "float64"), fill(1, (50, 40), "float64")
    a[11, 1], b[20, 33] = np.nan, np.inf
    found = volta.jit(lambda a, b: a @ b, backend="llvm")(a, b)
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(a @ b))


def test_operands_that_lie_otherwise_are_copied(generated):
    a, b = fill(0, (40, 30), "float32"), fill(1, (30, 50), "float32")
    wide, tall = fill(2, (40, 60), "float32"), fill(3, (30, 100), "float32")
    for x, y in ((a[::-1], b), (wide[:, ::2], b), (a, tall[:, ::2]), (a[:, :1], b[:1])):
        agree(x, y)
    agree(np.broadcast_to(a[:1], (40, 30)), b)


def test_gradients_of_two_layers_are_numpys():
    """At sizes that are generated without being told."""
    shapes = (64, 300), (300, 256), (256, 200)
    x, w, v = (fill(i, shape, "float32") for i, shape in enumerate(shapes))
    is_generated = isinstance(Product(FLOAT, x.shape, w.shape).plan, large.Plan)
    assert is_generated == (large.vector_bytes() >= 32)

    def loss(w, v):
        return F.sum(F.relu(x @ w) @ v)

    found = volta.jit(volta.grad(loss, argnums=(0, 1)), backend="llvm")(w, v)
    wanted = volta.grad(loss, argnums=(0, 1))(w, v)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)
