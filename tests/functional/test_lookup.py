"""Embeddings and bags against PyTorch's: options, modes, gradients."""

import numpy as np
import pytest
from against_torch import assert_like_torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import FLOAT, HALVES, fill, library, seeds

import volta
import volta.functional as F
from volta.core.errors import DimensionError, DTypeError, ShapeError
from volta.core.types import typeof

pytestmark = pytest.mark.neural
LIBRARIES = ("numpy", "array_api_strict", "torch")
dtypes = st.sampled_from(FLOAT)
lengths = st.integers(1, 4)


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def numbers(draw, rows, shape):
    return fill(draw(seeds), shape, draw(st.sampled_from(["int64", "int32"])), 0, rows - 1)


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_embedding(torch, lib, data):
    draw = data.draw
    rows, features = draw(lengths), draw(lengths)
    x = numbers(draw, rows, draw(st.lists(st.integers(0, 3), max_size=3).map(tuple)))
    weight = fill(draw(seeds), (rows, features), "float64")
    options = {
        "padding_idx": draw(st.sampled_from([None, 0, -1])),
        "scale_grad_by_freq": draw(st.booleans()),
    }
    ours, theirs = library(lib).asarray(x), torch.from_numpy(x)
    assert_like_torch(
        lambda w: F.embedding(ours, w, **options),
        lambda w: torch.nn.functional.embedding(theirs, w, **options),
        [weight],
        draw(dtypes),
        lib,
    )


@given(data=st.data())
def test_rows_are_shortened_in_the_result_alone(torch, data):
    draw = data.draw
    x = numbers(draw, 4, (3, 2))
    weight = fill(draw(seeds), (4, 3), "float64")
    order = draw(st.sampled_from([1.0, 2.0]))
    before = weight.copy()
    out = F.embedding(x, weight, max_norm=1.0, norm_type=order)
    np.testing.assert_array_equal(weight, before)
    expected = torch.nn.functional.embedding(
        torch.from_numpy(x), torch.from_numpy(before.copy()), max_norm=1.0, norm_type=order
    )
    np.testing.assert_allclose(out, expected.numpy(), rtol=1e-12)


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@given(data=st.data())
def test_embedding_bag(torch, mode, lib, data):
    draw = data.draw
    rows = draw(lengths)
    weight = fill(draw(seeds), (rows, draw(lengths)), "float64")
    options = {"mode": mode, "padding_idx": draw(st.sampled_from([None, 0, -1]))}
    if draw(st.booleans()):
        x, bounds = numbers(draw, rows, (draw(lengths), draw(lengths))), None
    else:
        sizes = draw(st.lists(st.integers(0, 3), min_size=1, max_size=4))
        x, bounds = numbers(draw, rows, (sum(sizes),)), np.cumsum([0, *sizes])
        options["include_last_offset"] = draw(st.booleans())
        bounds = (bounds if options["include_last_offset"] else bounds[:-1]).astype(x.dtype)
    arrays = [weight]
    if mode == "sum" and draw(st.booleans()):
        arrays.append(fill(draw(seeds), x.shape, "float64"))
    if mode == "max":  # PyTorch gives the derivative of equal elements to one of them
        x = np.unique(x) if x.ndim == 1 else x[:, :1]
        if bounds is not None:
            bounds = np.minimum(bounds, x.shape[0])
    lib_ = library(lib)
    places = None if bounds is None else lib_.asarray(bounds)
    ours = lib_.asarray(x)

    def fun(w, *factors):
        named = {"per_sample_weights": factors[0]} if factors else {}
        return F.embedding_bag(ours, w, places, **options, **named)

    def theirs(w, *factors):
        named = {"per_sample_weights": factors[0]} if factors else {}
        offsets = None if bounds is None else torch.from_numpy(bounds)
        return torch.nn.functional.embedding_bag(
            torch.from_numpy(x), w, offsets, **options, **named
        )

    assert_like_torch(fun, theirs, arrays, draw(dtypes), lib)


@pytest.mark.parametrize("dtype", HALVES)
def test_bags_of_halves_are_summed_in_32_bits(dtype):
    weight = np.ones((1, 2)).astype(fill(0, (), dtype).dtype)
    x = np.zeros((1, 4099), int)
    out = F.embedding_bag(x, weight, mode="sum")
    assert typeof(out).dtype.name == dtype
    np.testing.assert_allclose(out.astype(float), 4099, rtol=0.004)
    assert F.embedding_bag(x, weight).astype(float).tolist() == [[1.0, 1.0]]


@pytest.mark.grad_check
def test_equal_largest_elements_share_the_derivative():
    w = np.asarray([[1.0], [1.0], [0.0]])
    for x, offsets in (([[0, 1]], None), ([0, 1], [0])):
        arrays = (np.asarray(x), None if offsets is None else np.asarray(offsets))
        grad = volta.grad(lambda w, a=arrays: F.sum(F.embedding_bag(a[0], w, a[1], mode="max")))(w)
        np.testing.assert_array_equal(grad, [[0.5], [0.5], [0.0]])


def test_infinities_in_a_bag_stay():
    w = np.asarray([[-np.inf], [2.0]])
    assert F.embedding_bag(np.asarray([[0, 0]]), w, mode="max").tolist() == [[-np.inf]]


def test_empty_bags_are_zero():
    w = np.ones((3, 2))
    x, offsets = np.asarray([1]), np.asarray([0, 1, 1])
    for mode in ("sum", "mean", "max"):
        out = F.embedding_bag(x, w, offsets, mode=mode)
        np.testing.assert_array_equal(out, [[1, 1], [0, 0], [0, 0]])
        assert F.embedding_bag(np.ones((2, 0), int), w, mode=mode).tolist() == [[0, 0]] * 2
        grad = volta.grad(lambda w, m=mode: F.sum(F.embedding_bag(x, w, offsets, mode=m)))(w)
        np.testing.assert_array_equal(grad, [[0, 0], [1, 1], [0, 0]])


def test_lanes_have_bags_of_their_own():
    w = fill(0, (5, 2), "float64")
    x, offsets = fill(1, (3, 6), "int64", 0, 4), np.asarray([[0, 2], [0, 5], [0, 0]])
    for mode in ("sum", "mean", "max"):
        out = volta.vmap(lambda x, o, m=mode: F.embedding_bag(x, w, o, mode=m))(x, offsets)
        loop = [F.embedding_bag(a, w, o, mode=mode) for a, o in zip(x, offsets, strict=True)]
        np.testing.assert_allclose(out, np.stack(loop))


W = np.ones((3, 2))


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("bad", [-1, 3])
@pytest.mark.parametrize("name", ["embedding", "embedding_bag"])
def test_rows_that_do_not_exist(name, bad, lib):
    lib = library(lib)
    x = lib.asarray(np.asarray([[0, bad]]))
    with pytest.raises(DimensionError, match=f"{name}: row numbers must be from 0 to 2; got {bad}"):
        getattr(F, name)(x, lib.asarray(W))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.embedding([0], W), DTypeError, "x must be an array of integers; got list"),
        (
            lambda: F.embedding(np.asarray([0]), W.astype(int)),
            DTypeError,
            "weight must be floating; got int64",
        ),
        (
            lambda: F.embedding(np.asarray([0]), W, padding_idx=3),
            DimensionError,
            "padding_idx must be from -3 to 2; got 3",
        ),
        (
            lambda: F.embedding_bag(np.asarray([[0]]), W, mode="min"),
            ValueError,
            "mode must be 'sum', 'mean' or 'max'; got 'min'",
        ),
        (
            lambda: F.embedding_bag(np.asarray([[0]]), W, per_sample_weights=np.ones((1, 1))),
            ValueError,
            "per_sample_weights must come with mode 'sum'; got 'mean'",
        ),
        (
            lambda: F.embedding_bag(
                np.asarray([[0]]), W, mode="sum", per_sample_weights=np.ones(1)
            ),
            ShapeError,
            r"the shape of x; got \(1,\) and \(1, 1\)",
        ),
        (
            lambda: F.embedding_bag(np.asarray([0, 1]), W, np.asarray([1])),
            ValueError,
            "offsets must begin at 0 and end in x; got 1 to 1 for 2 elements",
        ),
        (
            lambda: F.embedding_bag(np.asarray([0, 1]), W, np.asarray([0, 5])),
            ValueError,
            "got 0 to 5 for 2 elements",
        ),
        (
            lambda: F.embedding_bag(np.asarray([0, 1]), W, np.asarray([[0]])),
            ShapeError,
            r"offsets must have one axis, .*; got shape \(1, 1\)",
        ),
        (
            lambda: F.embedding_bag(np.asarray([[0]]), W, np.asarray([0])),
            ShapeError,
            r"got shape \(1, 1\) with offsets",
        ),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
