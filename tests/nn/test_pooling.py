"""Pooling layers: what the rows of rows.py do not hold."""

import numpy as np
import pytest
from nn.rows import PLAIN

import volta.functional as F
from volta import DTypeError, ShapeError, nn
from volta.functional import random

pytestmark = pytest.mark.neural
KEY = random.key(0)
POOLS = [row for row in PLAIN if "Pool" in row.name]


@pytest.mark.parametrize("row", POOLS, ids=lambda row: row.name)
def test_representations_are_pytorchs(row):
    torch = pytest.importorskip("torch")
    assert repr(row.make(KEY)) == repr(row.torch(torch.nn))


def test_representations_of_the_others():
    assert repr(nn.MaxUnpool2d((3, 2))) == (
        "MaxUnpool2d(kernel_size=(3, 2), stride=(3, 2), padding=(0, 0))"
    )
    assert repr(nn.FractionalMaxPool2d(2, output_ratio=0.5)) == (
        "FractionalMaxPool2d(kernel_size=2, output_size=None, output_ratio=0.5)"
    )
    assert repr(nn.MaxPool2d([3, 2])) == (
        "MaxPool2d(kernel_size=(3, 2), stride=(3, 2), padding=0, dilation=1, ceil_mode=False)"
    )


@pytest.mark.parametrize("nd", [1, 2, 3])
def test_unpooling_takes_back(nd):
    x = np.random.default_rng(0).permutation(2 * 5**nd).reshape(2, *(5,) * nd) / 1.0
    pool = getattr(nn, f"MaxPool{nd}d")(2, return_indices=True)
    unpool = getattr(nn, f"MaxUnpool{nd}d")(2)
    y, indices = pool(x)
    assert unpool(y, indices * 0).shape == (2, *(4,) * nd)
    back = unpool(y, indices, output_size=x.shape)
    np.testing.assert_array_equal(back, np.where(np.isin(x, y), x, 0))
    adaptive = getattr(nn, f"AdaptiveMaxPool{nd}d")(2, return_indices=True)
    maxima, indices = adaptive(x)
    np.testing.assert_array_equal(
        x.reshape(2, -1)[np.arange(2)[:, None], indices.reshape(2, -1)], maxima.reshape(2, -1)
    )


@pytest.mark.parametrize("nd", [2, 3])
def test_windows_by_chance(nd):
    x = np.arange(3.0 * 7**nd).reshape(3, *(7,) * nd)
    kind = getattr(nn, f"FractionalMaxPool{nd}d")
    y, indices = kind(2, output_ratio=0.6, return_indices=True)(x, key=KEY)
    assert y.shape == indices.shape == (3, *(4,) * nd)
    function = getattr(F, f"fractional_max_pool{nd}d")
    np.testing.assert_array_equal(y, function(x, 2, 4, key=KEY))
    samples = np.full((3, nd), 0.3)
    layer = kind(2, 4, _random_samples=samples)
    assert not layer.parameters()
    np.testing.assert_array_equal(layer(x), function(x, 2, 4, _random_samples=samples))
    with pytest.raises(ValueError, match="a random key must be given; got none"):
        kind(2, 4).eval()(x)


def test_a_model_passes_keys_on():
    model = nn.Sequential(nn.FractionalMaxPool2d(2, 3), nn.Flatten())
    x = np.arange(2 * 49.0).reshape(2, 1, 7, 7)
    assert model(x, key=KEY).shape == (2, 9)


def test_a_summary_counts_comparisons():
    keys = random.split(KEY, 2)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1, key=keys[0]),
        nn.MaxPool2d(2),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(8, 3, key=keys[1]),
    )
    rows = nn.summary(model, (5, 1, 8, 8)).rows
    assert [row.outputs for row in rows[2:4]] == ["float32[5, 2, 4, 4]", "float32[5, 2, 2, 2]"]
    assert rows[2].flops == 5 * 2 * 4 * 4 * 3
    assert rows[3].flops == 5 * 2 * 2 * 2 * 4  # three sums and a quotient
    assert rows[3].parameters == 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: nn.MaxPool2d(0),
            ValueError,
            "MaxPool2d: kernel_size must be an int of at least 1, or one for each of 2 axes; got 0",
        ),
        (lambda: nn.MaxPool1d(2.5), DTypeError, "MaxPool1d: kernel_size must be an int, or one"),
        (lambda: nn.AvgPool3d(2, (1, 2)), ValueError, "AvgPool3d: stride must be an int of at"),
        (lambda: nn.MaxPool2d(2, padding=-1), ValueError, "MaxPool2d: padding must be an int of"),
        (lambda: nn.MaxUnpool1d(2, 0), ValueError, "MaxUnpool1d: stride must be an int of at"),
        (
            lambda: nn.AdaptiveAvgPool2d((0, None)),
            ValueError,
            "^AdaptiveAvgPool2d: output_size must be an int of at least 1",
        ),
        (
            lambda: nn.FractionalMaxPool2d(2, 3, 0.5),
            ValueError,
            r"FractionalMaxPool2d: either output_size or output_ratio must be given; got 3 and 0",
        ),
        (
            lambda: nn.MaxPool2d(3)(np.ones((1, 2, 2))),
            ShapeError,
            "max_pool2d: the window must fit into the padded input",
        ),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
