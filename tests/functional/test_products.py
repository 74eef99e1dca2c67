"""Products against array-api-strict, under every transform, and in 16 bits."""

import array_api_strict as strict
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    COMPLEX,
    FLOAT,
    HALVES,
    INT,
    MODES,
    NUMERIC,
    UINT,
    assert_same,
    broadcastable,
    fill,
    library,
    matrix_shapes,
    numpy_dtype,
    seeds,
    under,
)

import volta
import volta.functional as F
from volta.core.errors import BroadcastError, DimensionError, DTypeError, ShapeError
from volta.core.types import typeof

LIBRARIES = ("numpy", "array_api_strict", "torch")


LONG = {  # each sums over 5000 products
    "matmul": (F.matmul, (3, 5000), (5000, 4)),
    "vecdot": (F.vecdot, (3, 5000), (5000,)),
    "tensordot": (F.tensordot, (3, 50, 100), (50, 100, 2)),
    "einsum": (lambda x, w: F.einsum("ajk,kbj->ab", x, w), (3, 50, 100), (100, 2, 50)),
    "bilinear": (lambda x, w: F.bilinear(x, np.ones((3, 50), x.dtype), w), (3, 100), (4, 100, 50)),
    "conv1d": (F.conv1d, (1, 500, 12), (3, 500, 10)),
    "conv_transpose1d": (F.conv_transpose1d, (1, 5000, 3), (5000, 2, 1)),
}


@pytest.mark.grad_check
@pytest.mark.parametrize("low", [-3.0, 1.0])  # of one sign all rounding adds up
@pytest.mark.parametrize("name", LONG)
def test_errors_of_long_sums_are_bounded(name, low):
    """By 4 √K eps Σ|a||b|, in 32 bits against 64."""
    function, *shapes = LONG[name]

    def with_gradients(x, w, ct):
        y, pull = volta.vjp(function, x, w)
        return [y, *pull(ct)]

    shapes.append(function(*map(np.ones, shapes)).shape)
    arrays = [fill(i, shape, "float32", low) for i, shape in enumerate(shapes)]
    found = with_gradients(*arrays)
    exact = with_gradients(*(a.astype(np.float64) for a in arrays))
    sizes = with_gradients(*(np.abs(a).astype(np.float64) for a in arrays))
    counts = with_gradients(*map(np.ones, shapes))
    for mine, y, size, count in zip(found, exact, sizes, counts, strict=True):
        assert mine.dtype == np.float32
        assert np.all(np.abs(mine - y) <= 4 * np.sqrt(count) * np.finfo(np.float32).eps * size)


def pair_of_dtypes(draw, lib):
    kinds = draw(st.sampled_from([(*FLOAT, *COMPLEX), INT, UINT, (*INT, "uint8")]))
    kept = [d for d in kinds if d in lib.dtypes]
    # torch multiplies matrices of one dtype only; Volta adds no conversion of its own
    first = draw(st.sampled_from(kept))
    return first, first if lib.name == "torch" else draw(st.sampled_from(kept))


def check(fun, native, lib, data, *arrays):
    expected = native(*map(strict.asarray, arrays))
    given_ = tuple(map(lib.asarray, arrays))
    assert_same(fun(*given_), expected, lib, ulps=16)
    (out,) = under(data.draw(st.sampled_from(MODES)), fun, given_)
    assert_same(out, expected, lib, ulps=16)


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_matmul_is_the_standards(lib, data):
    lib = library(lib)
    shapes = matrix_shapes(data.draw)
    seed = data.draw(seeds)
    arrays = [
        fill(seed + i, s, d)
        for i, (s, d) in enumerate(zip(shapes, pair_of_dtypes(data.draw, lib), strict=True))
    ]
    check(F.matmul, strict.matmul, lib, data, *arrays)


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_tensordot_is_the_standards(lib, data):
    lib = library(lib)
    common = data.draw(st.lists(st.integers(0, 3), max_size=2))
    first, second = (data.draw(st.lists(st.integers(0, 3), max_size=2)) for _ in range(2))
    seed = data.draw(seeds)
    dtypes = pair_of_dtypes(data.draw, lib)
    if data.draw(st.booleans()):
        axes = len(common)
        shapes = (*first, *common), (*common, *second)
    else:
        order1 = data.draw(st.permutations(range(len(first) + len(common))))
        order2 = data.draw(st.permutations(range(len(second) + len(common))))
        full1, full2 = (*first, *common), (*common, *second)
        shapes = tuple(full1[i] for i in order1), tuple(full2[i] for i in order2)
        axes = (
            tuple(order1.index(len(first) + i) for i in range(len(common))),
            tuple(order2.index(i) for i in range(len(common))),
        )
    arrays = [fill(seed + i, s, d) for i, (s, d) in enumerate(zip(shapes, dtypes, strict=True))]
    check(
        lambda x, y: F.tensordot(x, y, axes=axes),
        lambda x, y: strict.tensordot(x, y, axes=axes),
        lib,
        data,
        *arrays,
    )


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_vecdot_is_the_standards(lib, data):
    lib = library(lib)
    one, other = data.draw(broadcastable(2))
    n = data.draw(st.integers(0, 3))
    axis = -data.draw(st.integers(1, min(len(one), len(other)) + 1))
    one, other = ((*s[: len(s) + axis + 1], n, *s[len(s) + axis + 1 :]) for s in (one, other))
    seed = data.draw(seeds)
    dtypes = pair_of_dtypes(data.draw, lib)
    arrays = [
        fill(seed + i, s, d) for i, (s, d) in enumerate(zip((one, other), dtypes, strict=True))
    ]
    check(
        lambda x, y: F.vecdot(x, y, axis=axis),
        lambda x, y: strict.vecdot(x, y, axis=axis),
        lib,
        data,
        *arrays,
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["matmul", "vecdot", "tensordot"])
def test_products_where_the_standard_is_silent_follow_the_library(name, mode):
    lib = library("numpy")
    x, y = fill(0, (3, 3), "int64"), fill(1, (3, 3), "float32")
    out = getattr(F, name)(x, y)
    assert out.dtype == np.float64
    assert_same(under(mode, getattr(F, name), (x, y))[0], out, lib)


# 16 bits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lib", ["numpy", "torch"])
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", ["matmul", "tensordot", "vecdot"])
def test_products_of_halves_accumulate_in_32_bits(name, dtype, lib):
    lib = library(lib)
    x, y = fill(0, (2, 4096), dtype, 0.5, 1.5), fill(1, (2, 4096), dtype, 0.5, 1.5)
    if name != "vecdot":
        y = np.ascontiguousarray(y.T)
    options = {"axes": 1} if name == "tensordot" else {}
    out = getattr(F, name)(lib.asarray(x), lib.asarray(y), **options)
    assert typeof(out).dtype.name == dtype
    exact = getattr(F, name)(x.astype(np.float64), y.astype(np.float64), **options)
    eps = float(ml_dtypes.finfo(numpy_dtype(dtype)).eps)
    np.testing.assert_allclose(np.asarray(lib.host(out), np.float64), exact, rtol=2 * eps)


@pytest.mark.grad_check
@pytest.mark.parametrize("lib", ["numpy", "torch"])
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(("m", "k"), [(1, 4096), (4096, 1)])
def test_gradients_of_products_of_halves(m, k, dtype, lib):
    lib = library(lib)
    arrays = fill(0, (m, k), dtype, 0.5, 1.5), fill(1, (k, 2), dtype, 0.5, 1.5)

    def loss(x, y):
        return F.mean(F.matmul(x, y))

    grads = volta.grad(loss, (0, 1))(*map(lib.asarray, arrays))
    exact = volta.grad(loss, (0, 1))(*(a.astype(np.float64) for a in arrays))
    eps = float(ml_dtypes.finfo(numpy_dtype(dtype)).eps)
    for g, e in zip(grads, exact, strict=True):
        assert typeof(g).dtype.name == dtype
        np.testing.assert_allclose(np.asarray(lib.host(g), np.float64), e, rtol=4 * eps)


# Errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["raw", "trace"])
@pytest.mark.parametrize(
    ("one", "other", "error", "message"),
    [
        ((2, 3), (2, 3), ShapeError, r"the second-last one of x2; got shapes \(2, 3\) and \(2, 3"),
        ((3,), (2,), ShapeError, r"the only one of x2; got shapes \(3,\) and \(2,\)"),
        ((), (2,), ShapeError, r"both arrays must have an axis; got shapes \(\) and \(2,\)"),
        ((2, 2, 3), (3, 3, 2), BroadcastError, r"must broadcast together; got \(2,\) and \(3,\)"),
    ],
)
def test_matrices_that_do_not_fit(one, other, error, message, mode):
    call = F.matmul if mode == "raw" else volta.trace(F.matmul)
    with pytest.raises(error, match=f"matmul: .*{message}"):
        call(np.ones(one), np.ones(other))


def test_dtypes_without_products():
    x = strict.ones((2, 2), dtype=strict.bool)
    with pytest.raises(DTypeError, match="matmul: the dtypes must promote to a numeric one"):
        F.matmul(x, x)


X = np.ones((2, 3))
BAD = [
    ("tensordot", {"axes": 1}, ShapeError, r"equal lengths; got \[3\] of shape .* and \[2\]"),
    ("tensordot", {"axes": ((0,), (2,))}, DimensionError, "axis must be from -2 to 1; got 2"),
    ("tensordot", {"axes": ((0, 1), (0,))}, ShapeError, r"got \[2, 3\] of shape .* and \[2\]"),
    ("tensordot", {"axes": 3}, DimensionError, "axis must be from -2 to 1"),
    ("vecdot", {"axis": 2}, DimensionError, "axis must be from -2 to 1; got 2"),
]


@pytest.mark.parametrize(("name", "options", "error", "message"), BAD)
def test_axes_that_do_not_fit(name, options, error, message):
    with pytest.raises(error, match=f"{name}: .*{message}"):
        getattr(F, name)(X, X, **options)


def test_vectors_of_different_lengths():
    message = r"vecdot: both arrays must have one length along axis -1; got shapes \(2, 3\)"
    with pytest.raises(ShapeError, match=message):
        F.vecdot(X, np.ones(2))


@pytest.mark.parametrize("dtype", NUMERIC)
def test_vecdot_has_the_dtype_of_its_operands(dtype):
    x = fill(0, (3,), dtype, 0, 3)
    assert F.vecdot(x, x).dtype == x.dtype


@pytest.mark.parametrize(("one", "other"), [((1, 0), (2, 0, 1)), ((0,), (0,)), ((0, 3), (3, 2))])
def test_products_of_two_dtypes_promote_without_elements(one, other):
    torch = library("torch")
    x, y = torch.asarray(np.ones(one)), torch.asarray(np.ones(other, np.complex64))
    for a, b in ((x, y), (y, x)) if len(one) == len(other) == 1 else ((x, y),):
        assert typeof(F.matmul(a, b)).dtype.name == "complex128"
