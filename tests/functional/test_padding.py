"""Margins against NumPy's, and what takes parts out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import MODES, assert_same, fill, library, seeds, under

import volta
import volta.functional as F
from volta.core.errors import BroadcastError, DimensionError, DTypeError, ShapeError

LIBRARIES = ("numpy", "array_api_strict", "torch")
REPEATING = ("edge", "reflect", "symmetric", "wrap")
STATISTICS = ("maximum", "minimum", "mean", "median")
shapes = st.lists(st.integers(1, 4), max_size=3).map(tuple)


def a_value(draw, ndim, one):
    """An option of `pad` in one of the ways of giving it."""
    pair = st.tuples(one, one)
    ways = [one, pair, pair.map(lambda p: [p]), st.tuples(*[pair] * ndim).map(list)]
    return draw(st.one_of(ways[: 4 if ndim else 2]))


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("mode", ["constant", *REPEATING, "linear_ramp", *STATISTICS])
@given(data=st.data())
def test_margins_are_numpys(lib, mode, data):
    lib = library(lib)
    shape = data.draw(shapes)
    x = fill(data.draw(seeds), shape, data.draw(st.sampled_from(["float64", "int16", "float32"])))
    width = a_value(data.draw, len(shape), st.integers(0, 9 if mode in REPEATING else 3))
    options = {}
    if mode == "constant":
        options["constant_values"] = a_value(data.draw, len(shape), st.integers(-2, 2))
    if mode == "linear_ramp":
        options["end_values"] = a_value(data.draw, len(shape), st.integers(-9, 9))
    if mode in STATISTICS and data.draw(st.booleans()):
        options["stat_length"] = a_value(data.draw, len(shape), st.integers(1, 5))
    if mode in ("reflect", "symmetric"):
        options["reflect_type"] = data.draw(st.sampled_from(["even", "odd"]))
    expected = np.pad(x, width, mode, **options)

    def fun(x):
        return F.pad(x, width, mode, **options)

    ulps = 64 if mode in ("reflect", "symmetric", "linear_ramp", "mean", "median") else 0
    ulps *= 8 if options.get("reflect_type") == "odd" else 1  # whose values grow, axis by axis
    assert_same(fun(lib.asarray(x)), expected, lib, ulps=ulps)
    (traced,) = under(data.draw(st.sampled_from(MODES)), fun, (lib.asarray(x),))
    assert_same(traced, expected, lib, ulps=ulps)


def test_odd_reflections_do_not_mix_in_what_they_do_not_reach():
    x = np.asarray([np.inf, 1.0, 2.0, 4.0])
    out = F.pad(x, (0, 2), "reflect", reflect_type="odd")
    np.testing.assert_array_equal(out, np.pad(x, (0, 2), "reflect", reflect_type="odd"))


def test_a_margin_may_be_one_element():
    torch = pytest.importorskip("torch")
    assert F.pad(torch.ones(1), 1, "linear_ramp", end_values=3.0).tolist() == [3.0, 1.0, 3.0]


def test_a_margin_keeps_16_bit_floats():
    torch = pytest.importorskip("torch")
    x = torch.ones(3, dtype=torch.bfloat16)
    for mode in ("constant", *REPEATING, "linear_ramp", *STATISTICS):
        out = F.pad(x, 2, mode)
        assert out.dtype is torch.bfloat16
        assert tuple(out.shape) == (7,)
    assert F.pad(x, 2, "reflect", reflect_type="odd").dtype is torch.bfloat16


def test_margins_of_empty_arrays_are_constant():
    np.testing.assert_array_equal(F.pad(np.ones((0, 2)), 1), np.zeros((2, 4)))
    out = F.pad(np.ones((0, 2)), ((0, 0), (1, 1)), "edge")
    assert out.shape == (0, 4)


@pytest.mark.grad_check
def test_the_gradient_counts_how_often_an_element_is_repeated():
    x = np.asarray([1.0, 2.0, 3.0])
    for mode in REPEATING:
        grad = volta.grad(lambda x, m=mode: F.sum(F.pad(x, (4, 5), m)))(x)
        places = np.pad(np.arange(3), (4, 5), mode)
        np.testing.assert_array_equal(grad, np.bincount(places))


@pytest.mark.grad_check
def test_the_gradient_reaches_a_traced_value():
    x = np.ones(3)
    grad = volta.grad(lambda v: F.sum(F.pad(x, (2, 1), constant_values=v)))(np.asarray(2.0))
    assert grad == 3.0
    grad = volta.grad(lambda v: F.sum(F.pad(x, (2, 1), constant_values=(v, 1.0))))(np.asarray(2.0))
    assert grad == 2.0


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_blocks_and_steps_are_slices(lib, data):
    lib = library(lib)
    shape = data.draw(shapes)
    x = fill(data.draw(seeds), shape, "float32")
    ranges = []
    for n in shape:
        start = data.draw(st.integers(0, n - 1))
        ranges.append((start, data.draw(st.integers(start + 1, n))))
    steps = [data.draw(st.integers(1, 5)) for _ in shape]
    mode = data.draw(st.sampled_from(MODES))
    for fun, key in (
        (lambda x: F.shrink(x, ranges), tuple(slice(*r) for r in ranges)),
        (lambda x: F.stride(x, steps), tuple(slice(None, None, s) for s in steps)),
    ):
        expected = np.asarray(x[key])
        assert_same(fun(lib.asarray(x)), expected, lib)
        assert_same(under(mode, fun, (lib.asarray(x),))[0], expected, lib)


X = np.ones((2, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.pad(X, -1), ShapeError, "pad: pad_width must not be negative; got -1. Use shr"),
        (lambda: F.pad(X, 1.5), DTypeError, "pad: pad_width must hold ints; got 1.5"),
        (lambda: F.pad(X, [(1, 1)] * 3), ShapeError, r"a pair for each axis; got .* for 2 axes"),
        (lambda: F.pad(X, (1, 1, 1)), ShapeError, "pad: pad_width must be one value, a pair"),
        (lambda: F.pad(X, 1, "mirror"), ValueError, "pad: mode must be one of constant, edge, .*"),
        (lambda: F.pad(X, 1, "reflect", reflect_type="o"), ValueError, "got 'reflect' and 'o'"),
        (
            lambda: F.pad(X[:0], 1, "edge"),
            ShapeError,
            r"an axis must have elements .* got shape \(0, 3\) and mode 'edge'",
        ),
        (lambda: F.pad(X, 1, "mean", stat_length=0), ShapeError, "stat_length must be positive"),
        (lambda: F.shrink(X, [(0, 1)]), ShapeError, "a range for each of 2 axes; got 1"),
        (
            lambda: F.shrink(X, [(0, 1), (1, 4)]),
            DimensionError,
            "ranges must lie from 0 to 3 along axis 1; got 1 to 4",
        ),
        (lambda: F.shrink(X, [(-1, 1), (0, 1)]), DimensionError, "along axis 0; got -1 to 1"),
        (lambda: F.shrink(X, [(1, 1), (0, 1)]), ShapeError, "got 1 to 1 along axis 0"),
        (lambda: F.stride(X, [1]), ShapeError, "stride: there must be a step for each of 2 axes"),
        (lambda: F.stride(X, [1, 0]), ShapeError, r"steps must be at least 1; got \[1, 0\]"),
        (lambda: F.mulacc(X, np.ones(2), 1.0), BroadcastError, r"got \(2, 3\) and \(2,\)"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
