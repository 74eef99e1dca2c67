"""Windows and channels against PyTorch's, and each other's transposes and inverses."""

import numpy as np
import pytest
from against_torch import assert_like_torch
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import FLOAT, HALVES, MODES, assert_same, fill, library, seeds, under

import volta
import volta.functional as F
from volta.core.errors import DTypeError, ShapeError
from volta.core.types import typeof

pytestmark = pytest.mark.neural
LIBRARIES = ("numpy", "array_api_strict", "torch")
dtypes = st.sampled_from(FLOAT)
lengths = st.integers(1, 3)


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch").nn.functional


@st.composite
def windows(draw):
    """Sizes of an image, and options with which a window fits into it."""
    pair = st.tuples(lengths, lengths)
    options = {name: draw(pair) for name in ("kernel_size", "dilation", "stride")}
    options["padding"] = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    size = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    for n, k, d, p in zip(
        size, *(options[name] for name in ("kernel_size", "dilation", "padding")), strict=True
    ):
        assume(d * (k - 1) + 1 <= n + 2 * p)
    lead = (draw(lengths),) if draw(st.booleans()) else ()
    return (*lead, draw(lengths), *size), options


@pytest.mark.parametrize("lib", LIBRARIES)
@given(case=windows(), seed=seeds, dtype=dtypes)
def test_unfold_and_fold(torch, lib, case, seed, dtype):
    shape, options = case
    x = fill(seed, shape, "float64")
    assert_like_torch(
        lambda x: F.unfold(x, **options), lambda x: torch.unfold(x, **options), [x], dtype, lib
    )
    columns = F.unfold(x, **options)
    given_ = {"output_size": shape[-2:], **options}
    assert_like_torch(
        lambda c: F.fold(c, **given_), lambda c: torch.fold(c, **given_), [columns], dtype, lib
    )


@given(case=windows(), seed=seeds, mode=st.sampled_from(MODES))
def test_fold_is_the_transpose_of_unfold(case, seed, mode):
    shape, options = case
    x = fill(seed, shape, "float64")
    columns, pull = volta.vjp(lambda x: F.unfold(x, **options), x)
    ct = fill(seed + 1, columns.shape, "float64")
    folded = F.fold(ct, shape[-2:], **options)
    np.testing.assert_allclose(pull(ct)[0], folded)
    np.testing.assert_allclose(np.sum(columns * ct), np.sum(x * folded))
    (traced,) = under(mode, lambda x: F.unfold(x, **options), (x,))
    assert_same(traced, columns, library("numpy"))


def test_windows_of_integers():
    x = np.arange(6).reshape(1, 2, 3)
    assert F.unfold(x, 2).dtype == x.dtype
    np.testing.assert_array_equal(F.unfold(x, 2), [[0, 1], [1, 2], [3, 4], [4, 5]])


@pytest.mark.parametrize("dtype", HALVES)
def test_overlaps_of_halves_are_summed_in_32_bits(dtype):
    ones = np.ones((1, 60, 60)).astype(fill(0, (), dtype).dtype)
    columns = F.unfold(ones, 30)
    out = F.fold(columns, 60, 30)
    assert typeof(out).dtype.name == dtype
    assert float(out.max()) == pytest.approx(900, rel=0.004)
    (grad,) = volta.vjp(lambda x: F.unfold(x, 30), ones)[1](np.ones_like(columns))
    assert float(grad.max()) == pytest.approx(900, rel=0.004)


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_pixel_shuffle_and_its_inverse(torch, lib, data):
    draw = data.draw
    lead = tuple(draw(st.lists(lengths, max_size=2)))
    c, r, h, w = (draw(lengths) for _ in range(4))
    x = fill(draw(seeds), (*lead, c * r * r, h, w), "float64")
    dtype = draw(dtypes)
    assert_like_torch(
        lambda x: F.pixel_shuffle(x, r), lambda x: torch.pixel_shuffle(x, r), [x], dtype, lib
    )
    fine = F.pixel_shuffle(x, r)
    assert_like_torch(
        lambda x: F.pixel_unshuffle(x, r),
        lambda x: torch.pixel_unshuffle(x, r),
        [fine],
        dtype,
        lib,
    )
    np.testing.assert_array_equal(F.pixel_unshuffle(fine, r), x)


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_channel_shuffle(torch, lib, data):
    draw = data.draw
    groups, size = draw(lengths), draw(lengths)
    x = fill(
        draw(seeds), (draw(lengths), groups * size, *draw(st.lists(lengths, max_size=2))), "float64"
    )
    theirs = pytest.importorskip("torch").nn.ChannelShuffle(groups)
    expected = theirs(pytest.importorskip("torch").from_numpy(x[..., None, None]))[..., 0, 0]
    out = F.channel_shuffle(library(lib).asarray(x), groups)
    np.testing.assert_array_equal(library(lib).host(out), expected.numpy())
    np.testing.assert_array_equal(F.channel_shuffle(F.channel_shuffle(x, groups), size), x)


IMAGE = np.ones((1, 4, 4, 4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.unfold(IMAGE, 5), ShapeError, r"got kernel_size \(5, 5\), dilation \(1, 1\)"),
        (lambda: F.unfold(IMAGE, 0), ShapeError, "kernel_size must be a number of at least 1, or"),
        (lambda: F.unfold(IMAGE, (1, 2, 3)), ShapeError, r"or two; got \(1, 2, 3\)"),
        (
            lambda: F.unfold(IMAGE, 1.5),
            DTypeError,
            "kernel_size must be an int or a pair of .*; got 1.5",
        ),
        (lambda: F.unfold(IMAGE, 2, padding=-1), ShapeError, "padding must be .*; got -1"),
        (lambda: F.fold(IMAGE, 3, 2), ShapeError, "fold: x must have 2 or 3 axes"),
        (lambda: F.fold(IMAGE[0], 3, 4), ShapeError, r"must fit into the image; .* \(3, 3\)"),
        (lambda: F.fold(IMAGE[0], 4, 2), ShapeError, "4 rows and 9 columns, for 3 × 3 windows"),
        (lambda: F.pixel_shuffle(IMAGE, 0), ShapeError, "upscale_factor must be at least 1; got 0"),
        (lambda: F.pixel_shuffle(IMAGE, 2.0), DTypeError, "upscale_factor must be an int; got 2.0"),
        (lambda: F.pixel_shuffle(IMAGE[0, 0], 2), ShapeError, "x must have 3 axes or more"),
        (lambda: F.channel_shuffle(IMAGE, 3), ShapeError, "a multiple of 3; got shape"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
