"""Native convolutions: all maps, however large, padded, dilated and grouped, against NumPy's."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import fill

import volta
import volta.functional as F
from volta.compile import numpy as programs
from volta.compile.native import convolutions, llvm, machine, workers
from volta.compile.native.convolutions import Convolution
from volta.compile.passes import optimized
from volta.compile.schedule import native_of
from volta.core.types import DTYPES

pytestmark = [
    pytest.mark.core,
    pytest.mark.skipif(not llvm.available(), reason="llvmlite is not installed"),
]

FUNCTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def maps(x, w, seed=2, **options):
    """Function that computes a convolution and both cotangents."""
    conv = FUNCTIONS[x.ndim - 2]
    ct = fill(seed, conv(x, w, **options).shape, x.dtype.name)

    def fun(x, w):
        y, pull = volta.vjp(lambda x, w: conv(x, w, **options), x, w)
        return y, *pull(F.astype(ct, y.dtype))

    return fun


def natives(fun, *args):
    program = programs._Writer(optimized(volta.trace(fun)(*args)), native=True)
    return [c.which for e in program.entries if type(c := native_of(e)) is Convolution]


def agree(x, w, count=3, **options):
    """Compare all maps with those in more digits, and count how many are native."""
    fun = maps(x, w, **options)
    assert len(natives(fun, x, w)) == count
    found = volta.jit(fun, backend="llvm")(x, w)
    wanted = fun(x.astype("float64"), w.astype("float64"))
    sizes = [np.abs(a).max() for a in fun(np.abs(x.astype("float64")), np.abs(w))]
    for a, b, size in zip(found, wanted, sizes, strict=True):
        assert a.dtype == x.dtype
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= 32 * np.finfo(x.dtype).eps * max(size, np.abs(b).max(), 1)


@pytest.fixture
def all_sizes(monkeypatch):
    """Have small convolutions be native, too."""
    monkeypatch.setattr(convolutions, "_WORK", 0)


CASES = {
    "one of all": ((1, 1, 1), (1, 1, 1), {}),
    "a row": ((2, 3, 40), (5, 3, 3), {"padding": 1}),
    "an image": ((2, 3, 9, 11), (4, 3, 3, 3), {}),
    "padded": ((2, 3, 9, 11), (4, 3, 3, 3), {"padding": 1}),
    "padded apart": ((2, 3, 9, 11), (4, 3, 3, 5), {"padding": (2, 1)}),
    "pointwise": ((3, 20, 6, 6), (50, 20, 1, 1), {}),
    "one place": ((2, 7, 3, 3), (33, 7, 3, 3), {}),
    "dilated": ((2, 3, 12, 13), (4, 3, 3, 2), {"dilation": (2, 3), "padding": 2}),
    "groups": ((2, 6, 9, 9), (8, 3, 3, 3), {"groups": 2, "padding": 1}),
    "a channel a group": ((2, 20, 9, 9), (20, 1, 3, 3), {"groups": 20, "padding": 1}),
    "a volume": ((2, 3, 5, 6, 7), (4, 3, 2, 3, 2), {"padding": 1}),
    "five by five": ((2, 6, 14, 14), (16, 6, 5, 5), {}),
    "many outputs": ((2, 16, 14, 14), (70, 16, 3, 3), {"padding": 1}),
    "few outputs": ((2, 30, 14, 14), (1, 30, 3, 3), {"padding": 1}),
    "long rows": ((1, 2, 3, 200), (13, 2, 3, 3), {"padding": 1}),
    "same": ((2, 3, 9, 11), (4, 3, 4, 3), {"padding": "same"}),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_all_maps(all_sizes, name, dtype):
    x, w, options = CASES[name]
    agree(fill(0, x, dtype), fill(1, w, dtype), **options)


@pytest.fixture
def vectors_of(monkeypatch):
    """Function that has results be in vectors of places, or of outputs."""

    def choose(which):
        other = {"places": "_by_outputs", "outputs": "_by_places"}[which]
        tile = getattr(convolutions, other)
        monkeypatch.setattr(
            convolutions, other, lambda *args: tile(*args)._replace(cycles=math.inf)
        )

    return choose


@pytest.mark.parametrize("which", ["places", "outputs"])
@pytest.mark.parametrize("name", CASES)
def test_vectors_of_places_and_of_outputs(all_sizes, vectors_of, name, which):
    vectors_of(which)
    x, w, options = CASES[name]
    agree(fill(0, x, "float32"), fill(1, w, "float32"), **options)


@pytest.mark.parametrize("wide", [16, 32, 64])
def test_vectors_of_outputs_of_every_width(all_sizes, vectors_of, monkeypatch, wide):
    vectors_of("outputs")
    monkeypatch.setattr(convolutions, "vector_bytes", lambda: wide)
    for name in ("padded", "many outputs", "groups", "a row", "a volume", "long rows"):
        x, w, options = CASES[name]
        conv = FUNCTIONS[len(x) - 2]
        args = fill(0, x, "float32"), fill(1, w, "float32")
        found = volta.jit(lambda x, w, c=conv, o=options: c(x, w, **o), backend="llvm")(*args)
        np.testing.assert_allclose(found, conv(*args, **options), rtol=1e-4, atol=1e-4)


def test_vectors_are_chosen_by_what_they_leave_out():
    def runs(which, inputs, outputs, length):
        c = Convolution(
            *(which, DTYPES["float32"], 8, 1, inputs, outputs, (length,) * 2, (3, 3)),
            *((length,) * 2, ((1, 1),) * 2, (1, 1)),
        )
        return convolutions._Layout(c).runs

    assert sum(runs("result", 256, 256, 14)) == 14
    assert sum(runs("result", 512, 512, 7)) == 7
    assert not runs("input", 32, 3, 64)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("wide", [16, 32, 64])
def test_every_width_of_vectors(all_sizes, monkeypatch, wide, threads):
    if wide > machine.vector_bytes():
        pytest.skip("the processor has no such vectors")
    monkeypatch.setattr(convolutions, "vector_bytes", lambda: wide)
    monkeypatch.setattr(convolutions, "_SHARED", 0)
    monkeypatch.setattr(workers, "threads", lambda: threads)
    for name in ("padded", "many outputs", "five by five", "groups", "a row"):
        x, w, options = CASES[name]
        agree(fill(0, x, "float32"), fill(1, w, "float32"), **options)


@given(st.data())
def test_drawn_convolutions(data):
    ndim = data.draw(st.integers(1, 2))

    def draw(low, high):
        return data.draw(st.integers(low, high))

    which = data.draw(st.sampled_from(["_by_places", "_by_outputs"]))
    groups = draw(1, 2)
    x = (draw(1, 3), groups * draw(1, 5), *(draw(3, 20) for _ in range(ndim)))
    kernel = tuple(min(draw(1, 4), n) for n in x[2:])
    w = (groups * draw(1, 20), x[1] // groups, *kernel)
    options = {"groups": groups, "padding": tuple(draw(0, k - 1) for k in kernel)}
    tile = getattr(convolutions, which)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolutions, "_WORK", 0)
        patch.setattr(convolutions, which, lambda *args: tile(*args)._replace(cycles=math.inf))
        agree(fill(0, x, "float32"), fill(1, w, "float32"), **options)


@pytest.mark.parametrize(
    ("x", "w", "options", "count"),
    [
        ((2, 3, 9, 9), (4, 3, 3, 3), {"stride": 2}, 0),
        ((2, 3, 9, 9), (4, 3, 7, 7), {}, 0),
        ((2, 3, 9, 9), (4, 3, 3, 3), {"algo": "im2col"}, 0),
        ((2, 3, 9, 9), (4, 3, 2, 2), {"padding": 3}, 2),  # more than the turned kernel can take
    ],
    ids=str,
)
def test_what_there_is_no_native_code_for_is_numpys(all_sizes, x, w, options, count):
    agree(fill(0, x, "float32"), fill(1, w, "float32"), count, **options)


def test_small_ones_are_numpys():
    assert not natives(
        maps(np.ones((1, 1, 4, 4)), np.ones((1, 1, 3, 3))),
        *map(np.ones, ((1, 1, 4, 4), (1, 1, 3, 3))),
    )


def test_numbers_that_are_not_finite_reach_what_sees_them_and_no_more(all_sizes):
    x, w = fill(0, (2, 3, 9, 11), "float64"), fill(1, (4, 3, 3, 3), "float64")
    x[0, 0, 4, 5], x[1, 2, 0, 10] = np.nan, np.inf

    def fun(x, w):
        return F.conv2d(x, w, padding=1)

    found, wanted = volta.jit(fun, backend="llvm")(x, w), fun(x, w)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    np.testing.assert_array_equal(np.isinf(found), np.isinf(wanted))


def test_nothing_beyond_the_result_is_written(all_sizes):
    x, w = fill(0, (3, 2, 7, 9), "float32"), fill(1, (5, 2, 3, 3), "float32")

    def fun(x, w):
        return F.conv2d(x, w, padding=1)

    program = programs._Writer(optimized(volta.trace(fun)(x, w)), native=True)
    (code,) = (c for e in program.entries if (c := native_of(e)))
    (native,), _ = llvm.functions([code])
    size = 3 * 5 * 7 * 9
    memory, scratch = np.full(size + 2000, 7, "float32"), np.full(code.scratch + 256, 9, "uint8")
    out = memory[1000:-1000].reshape(3, 5, 7, 9)
    assert native(x, w, out, scratch[128:-128])
    np.testing.assert_allclose(out, fun(x, w), rtol=1e-5, atol=1e-5)
    assert (memory[:1000] == 7).all()
    assert (memory[-1000:] == 7).all()
    assert (scratch[:128] == 9).all()
    assert (scratch[-128:] == 9).all()


def test_operands_that_lie_otherwise_are_copied(all_sizes):
    x = np.moveaxis(fill(0, (2, 9, 9, 3), "float32"), -1, 1)
    w = np.moveaxis(fill(1, (3, 3, 3, 4), "float32"), -1, 0)

    def fun(x, w):
        return F.conv2d(x, w, padding=1)

    np.testing.assert_allclose(
        volta.jit(fun, backend="llvm")(x, w), fun(x, w), rtol=1e-5, atol=1e-5
    )


def test_under_vmap_and_twice_differentiated(all_sizes):
    x, w = fill(0, (2, 2, 3, 8, 8), "float64"), fill(1, (4, 3, 3, 3), "float64")

    def one(x, w):
        return F.sum(F.tanh(F.conv2d(x, w, padding=1)))

    many = volta.vmap(volta.grad(one, argnums=1), in_axes=(0, None))
    np.testing.assert_allclose(
        volta.jit(many, backend="llvm")(x, w), many(x, w), rtol=1e-10, atol=1e-12
    )
    second = volta.grad(lambda w: F.sum(volta.grad(one, argnums=1)(x[0], w) ** 2))
    np.testing.assert_allclose(
        volta.jit(second, backend="llvm")(w), second(w), rtol=1e-10, atol=1e-12
    )
