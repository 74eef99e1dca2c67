"""Resampling against PyTorch's: every mode and option; what is not finite stays where it is."""

import numpy as np
import pytest
from against_torch import assert_like_torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import FLOAT, HALVES, fill, library, seeds

import volta
import volta.functional as F
from volta.core.errors import DTypeError, ShapeError
from volta.core.types import typeof

pytestmark = pytest.mark.neural
LIBRARIES = ("numpy", "array_api_strict", "torch")
dtypes = st.sampled_from(FLOAT)
lengths = st.integers(1, 6)
RANKS = {"linear": (1,), "bilinear": (2,), "bicubic": (2,), "trilinear": (3,)}
MODES = ("nearest", "nearest-exact", "area", *RANKS)


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch").nn.functional


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("mode", MODES)
@given(data=st.data())
def test_interpolate(torch, mode, lib, data):
    draw = data.draw
    rank = draw(st.sampled_from(RANKS.get(mode, (1, 2, 3))))
    size = [draw(lengths) for _ in range(rank)]
    x = fill(draw(seeds), (1, 2, *size), "float64")
    options = {}
    if draw(st.booleans()):
        options["size"] = tuple(draw(st.integers(1, 9)) for _ in range(rank))
    else:
        chosen = st.sampled_from([1.0, 1.25, 1.7, 2.0, 3.0])
        options["scale_factor"] = tuple(draw(chosen) for _ in range(rank))
        options["recompute_scale_factor"] = draw(st.booleans())
    if mode in RANKS:
        options["align_corners"] = draw(st.booleans())
    if mode in ("bilinear", "bicubic") and "size" in options:
        options["antialias"] = options["size"][1] > 1 and draw(st.booleans())
    factors = options.get("scale_factor", ())
    if (
        mode == "nearest"
        and rank != 2
        and any(n == int(n * f) for n, f in zip(size, factors, strict=False))
    ):
        options = {"size": 7}  # PyTorch has another rule where a length stays, but for two axes
    stays = factors and size == [int(n * f) for n, f in zip(size, factors, strict=True)]
    if mode == "bicubic" and stays:
        options = {"size": 7}  # where PyTorch's derivative is another
    dtype = "float64" if mode.startswith("nearest") else draw(dtypes)
    assert_like_torch(
        lambda x: F.interpolate(x, mode=mode, **options),
        lambda x: torch.interpolate(x, mode=mode, **options),
        [x],
        dtype,
        lib,
    )


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_each_axis_is_resampled_on_its_own(mode):  # PyTorch repeats rows where the width is 1
    x = fill(0, (1, 2, 3, 4), "float64")
    y = F.interpolate(x, (5, 4), mode=mode, antialias=True)
    alone = F.interpolate(x[..., 1:2], (5, 1), mode=mode, antialias=True)
    np.testing.assert_allclose(alone, y[..., 1:2], rtol=1e-14)


@pytest.mark.grad_check
def test_the_derivative_where_lengths_stay_is_that_of_the_result():
    x = fill(0, (1, 2, 2, 3), "float64")
    volta.testing.check_grads(lambda x: F.interpolate(x, scale_factor=1.25, mode="bicubic"), (x,))


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "area", "nearest"])
@pytest.mark.parametrize("sizes", [((20, 30), (40, 10)), ((200, 210), (280, 160))])
def test_long_axes_are_resampled_as_short_ones(torch, mode, sizes):
    size, new = sizes
    x = fill(0, (1, 2, *size), "float64")
    assert_like_torch(
        lambda x: F.interpolate(x, new, mode=mode),
        lambda x: torch.interpolate(x, new, mode=mode),
        [x],
        "float64",
    )


@pytest.mark.parametrize("size", [7, 300])
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_what_is_not_finite_stays_where_it_is(size, value):
    x = np.ones((1, 1, size, size))
    x[0, 0, 3, 4] = value
    y = F.interpolate(x, scale_factor=2, mode="bilinear")
    bad = np.argwhere(~np.isfinite(y[0, 0]))
    assert bad.min(0).tolist() == [5, 7]
    assert bad.max(0).tolist() == [8, 10]


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool"])
def test_the_nearest_of_integers(dtype, lib):
    lib = library(lib)
    x = fill(0, (1, 1, 3), dtype, 0, 9)
    out = F.interpolate(lib.asarray(x), 6)
    np.testing.assert_array_equal(lib.host(out), np.repeat(x, 2, axis=-1))
    assert typeof(out) == typeof(np.repeat(x, 2, axis=-1))


@pytest.mark.parametrize("dtype", HALVES)
def test_halves(dtype):
    x = fill(0, (1, 2, 5, 6), dtype)
    y, pull = volta.vjp(lambda x: F.interpolate(x, (400, 6), mode="area"), x)
    assert typeof(y).dtype.name == dtype
    (grad,) = pull(np.ones_like(y))  # of 80 ones each
    np.testing.assert_allclose(grad.astype(float), 80)


@pytest.mark.grad_check
def test_complex_numbers():
    z = fill(0, (1, 1, 4), "complex128")
    y = F.interpolate(z, 7, mode="linear")
    parts = [F.interpolate(a, 7, mode="linear") for a in (z.real, z.imag)]
    np.testing.assert_allclose(y, parts[0] + 1j * parts[1])


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@given(data=st.data())
def test_grid_sample(torch, mode, padding_mode, lib, data):
    draw = data.draw
    rank = 2 if mode == "bicubic" else draw(st.sampled_from([2, 3]))
    n, seed = draw(st.integers(1, 2)), draw(seeds)
    x = fill(seed, (n, 2, *(draw(lengths) for _ in range(rank))), "float64")
    grid = fill(seed + 1, (n, *[2] * rank, rank), "float64", -2.3, 2.3)
    options = {"padding_mode": padding_mode, "align_corners": draw(st.booleans())}
    assert_like_torch(
        lambda x, grid: F.grid_sample(x, grid, mode, **options),
        lambda x, grid: torch.grid_sample(x, grid, mode, **options),
        [x, grid],
        "float64",
        lib,
    )


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_affine_grid(torch, lib, data):
    draw = data.draw
    n, rank = draw(st.integers(1, 2)), draw(st.sampled_from([2, 3]))
    size = (n, 1, *(draw(lengths) for _ in range(rank)))
    theta = fill(draw(seeds), (n, rank, rank + 1), "float64")
    corners = draw(st.booleans()) and 1 not in size[2:]  # of which PyTorch warns
    assert_like_torch(
        lambda t: F.affine_grid(t, size, align_corners=corners),
        lambda t: torch.affine_grid(t, size, align_corners=corners),
        [theta],
        draw(dtypes),
        lib,
    )


def test_the_identity_finds_the_image_again():
    x = fill(0, (2, 3, 4, 5), "float64")
    theta = np.stack([np.eye(2, 3)] * 2)
    for corners in (False, True):
        grid = F.affine_grid(theta, x.shape, align_corners=corners)
        out = F.grid_sample(x, grid, align_corners=corners)
        np.testing.assert_allclose(out, x, atol=1e-12)


def test_points_at_infinity_are_outside():
    x = np.ones((1, 1, 2, 2))
    grid = np.asarray([[[[np.inf, 0.0], [-np.inf, np.inf]]]])
    assert F.grid_sample(x, grid, "nearest").tolist() == [[[[0.0, 0.0]]]]


X, IMAGE = np.ones((1, 2, 4)), np.ones((1, 2, 4, 4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.interpolate(X), ValueError, "either size or scale_factor; got None and None"),
        (lambda: F.interpolate(X, 2, 2.0), ValueError, "either size or scale_factor; got 2 and 2"),
        (lambda: F.interpolate(X, 2, mode="cubic"), ValueError, "mode must be one of nearest, .*"),
        (lambda: F.interpolate(X, (2, 3)), ShapeError, r"size must be one number or 1; got \(2, 3"),
        (lambda: F.interpolate(X, 1.5), DTypeError, "size must hold ints; got 1.5"),
        (lambda: F.interpolate(X, 0), ShapeError, r"must be positive; got \(4,\) and \(0,\)"),
        (lambda: F.interpolate(X, scale_factor=0.1), ShapeError, r"\(4,\) and \(0,\)"),
        (
            lambda: F.interpolate(X, 2, align_corners=True),
            ValueError,
            "align_corners must come with a linear or cubic mode; got 'nearest'",
        ),
        (
            lambda: F.interpolate(X, 2, mode="linear", antialias=True),
            ValueError,
            "antialias must come with 'bilinear' or 'bicubic'; got 'linear'",
        ),
        (
            lambda: F.interpolate(X.astype(int), 2, mode="linear"),
            DTypeError,
            "x must be floating for 'linear'; got int64",
        ),
        (
            lambda: F.grid_sample(IMAGE, np.ones((1, 1, 1, 2)), "linear"),
            ValueError,
            "mode must be one of bilinear, nearest, bicubic; got 'linear'",
        ),
        (
            lambda: F.grid_sample(IMAGE, np.ones((1, 1, 1, 2)), padding_mode="edge"),
            ValueError,
            "padding_mode must be one of zeros, border, reflection; got 'edge'",
        ),
        (
            lambda: F.grid_sample(IMAGE[..., None], np.ones((1, 1, 1, 1, 3)), "bicubic"),
            ValueError,
            "mode 'bicubic' must be for two axes; got three",
        ),
        (
            lambda: F.grid_sample(IMAGE, np.ones((1, 1, 1, 2), int)),
            DTypeError,
            "must be real floating; got float64, int64",
        ),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
