"""Kinds of dropout: shares, expectations, channels, keys."""

import numpy as np
import pytest
from strategies import HALVES, library, numpy_dtype

import volta
import volta.functional as F
from volta.core.errors import DTypeError, ShapeError
from volta.functional import random

pytestmark = pytest.mark.neural
KEY = random.key(5)
LIBRARIES = ("numpy", "array_api_strict", "torch")
# shapes, and how many leading axes are dropped independently
KINDS = {
    "dropout": [((40, 50), 2)],
    "dropout1d": [((40, 50, 3), 2), ((2000, 3), 1)],
    "dropout2d": [((40, 50, 2, 3), 2), ((40, 50, 3), 2)],
    "dropout3d": [((40, 50, 2, 3, 2), 2), ((2000, 2, 3, 2), 1)],
    "alpha_dropout": [((40, 50), 2)],
    "feature_alpha_dropout": [((40, 50, 3, 2), 2), ((40, 50), 2)],
}
CASES = [(name, *case) for name, cases in KINDS.items() for case in cases]
LIMIT = -1.7580993408473766


@pytest.mark.parametrize(("name", "shape", "lead"), CASES)
@pytest.mark.parametrize("p", [0.2, 0.5])
def test_a_share_is_dropped_whole(name, shape, lead, p):
    y = getattr(F, name)(np.ones(shape), p, key=KEY)
    rows = y.reshape(*shape[:lead], -1)
    np.testing.assert_array_equal(rows, np.broadcast_to(rows[..., :1], rows.shape))
    low, high = np.unique(y)
    share = np.mean(y == low)
    n = np.prod(shape[:lead])
    np.testing.assert_allclose(share, p, atol=4 * np.sqrt(p * (1 - p) / n))
    if "alpha" in name:
        a = 1 / np.sqrt((1 - p) * (1 + p * LIMIT**2))
        np.testing.assert_allclose([low, high], [a * (1 - p) * LIMIT, a * (1 - p * LIMIT)])
    else:
        assert (low, high) == (0, 1 / (1 - p))


@pytest.mark.parametrize("p", [0.1, 0.7])
@pytest.mark.parametrize("name", ["alpha_dropout", "feature_alpha_dropout"])
def test_mean_and_variance_stay(name, p):
    x = random.normal(random.key(1), (400, 500), dtype="float64")
    y = getattr(F, name)(x, p, key=KEY)
    np.testing.assert_allclose([y.mean(), y.var()], [0, 1], atol=0.03)


@pytest.mark.parametrize("name", KINDS)
def test_when_nothing_is_dropped_the_result_is_the_input(name):
    x = np.ones(KINDS[name][0][0])
    fun = getattr(F, name)
    assert fun(x, 0.0) is x
    assert fun(x, training=False) is x
    np.testing.assert_array_equal(fun(x, 1.0, key=KEY), 0)


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("dtype", ["float32", "float64", *HALVES])
@pytest.mark.parametrize("name", KINDS)
def test_dtypes_and_libraries_stay_and_drop_the_same(name, dtype, lib):
    lib = library(lib)
    if dtype in HALVES and lib.name == "array_api_strict":
        pytest.skip("it has no floats of 16 bits")
    x = np.ones((4, 5, 2, 2) if "2d" in name else KINDS[name][0][0]).astype(numpy_dtype(dtype))
    fun = getattr(F, name)
    y = fun(lib.asarray(x), key=KEY)
    assert isinstance(y, lib.kind)
    assert lib.host(y).dtype == x.dtype
    np.testing.assert_allclose(
        lib.host(y).astype(float),
        fun(x.astype(float), key=KEY),
        rtol=0.01 if dtype in HALVES else 1e-6,
    )


@pytest.mark.grad_check
@pytest.mark.parametrize("name", KINDS)
def test_the_derivative_is_that_of_what_stays(name):
    shape = KINDS[name][0][0]
    x = np.linspace(-1, 1, int(np.prod(shape))).reshape(shape)
    slope = volta.grad(lambda x: F.sum(getattr(F, name)(x, key=KEY)))(x)
    kept = getattr(F, name)(np.ones(shape), key=KEY) > 0
    a = 2.0 if "alpha" not in name else 1 / np.sqrt(0.5 * (1 + 0.5 * LIMIT**2))
    np.testing.assert_allclose(slope, kept * a)


def test_lanes_have_keys_of_their_own():
    x, lanes = np.ones((3, 6, 4)), random.split(KEY, 3)
    out = volta.vmap(lambda x, key: F.dropout1d(x, key=key))(x, lanes)
    loop = [F.dropout1d(a, key=key) for a, key in zip(x, lanes, strict=True)]
    np.testing.assert_array_equal(out, np.stack(loop))


@pytest.mark.parametrize(("name", "shape", "lead"), CASES)
def test_bad_arguments(name, shape, lead):
    fun, x = getattr(F, name), np.ones(shape)
    with pytest.raises(ValueError, match=f"^{name}: p must be from 0 to 1; got 1.5"):
        fun(x, 1.5, key=KEY)
    with pytest.raises(ValueError, match=f"^{name}: a call in training must have a random key"):
        fun(x)
    with pytest.raises(DTypeError, match=f"^{name}: x must be of float.* dtype; got int64"):
        fun(x.astype(int), key=KEY)


@pytest.mark.parametrize("name", ["dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout"])
def test_inputs_without_channels(name):
    with pytest.raises(ShapeError, match=rf"{name}: x must have .* axes.*; got shape \(3,\)"):
        getattr(F, name)(np.ones(3), key=KEY)
