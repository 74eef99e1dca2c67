"""Rows of `volta/functional/pooling.py` and what it is made of."""

import numpy as np

import volta.functional as F
from samples.sample import add, compose, real
from volta.core.errors import DTypeError, ShapeError
from volta.functional.windowed import Windows, _put, _spread_windows


def _apart(*shape):
    """Numbers that are all far from each other, so that maxima have no kinks nearby."""
    size = int(np.prod(shape))
    return np.asarray(np.random.default_rng(1).permutation(size).reshape(shape) * 0.3 - size * 0.1)


_OVERLAPPING = {"kernel_size": (3, 2), "stride": (2, 1), "padding": 1, "dilation": (1, 2)}

add(
    "max_windows",
    lambda x: F.max_pool2d(x, **_OVERLAPPING, ceil_mode=True),
    _apart(2, 2, 5, 6),
    name="max_pool2d",
    errors=(
        (
            lambda: F.max_pool2d(np.ones((1, 2, 2)), 3),
            ShapeError,
            r"max_pool2d: the window must fit into the padded input; got kernel_size \(3, 3\), "
            r"dilation \(1, 1\), padding \(0, 0\) and lengths \(2, 2\)",
        ),
        (
            lambda: F.max_pool2d(np.ones((1, 2, 2), dtype=bool), 2),
            DTypeError,
            "max_pool2d: x must be of real-valued dtype; got bool",
        ),
    ),
)
add("max_windows", lambda x: F.max_pool1d(x, 2), _apart(2, 2, 6), name="max_pool1d")
add("max_windows", lambda x: F.max_pool3d(x, 2, 1), _apart(1, 3, 3, 4), name="max_pool3d")
add(
    "max_places",
    lambda x: F.max_pool2d(x, **_OVERLAPPING, return_indices=True)[1],
    _apart(2, 2, 5, 6),
    name="max_pool2d-indices",
    diff=(),
)
_X = _apart(2, 2, 5, 6)
_WINDOWS = Windows((5, 6), (3, 2), (2, 1), (1, 1), (1, 2), (3, 6))
_PLACES = F.max_pool2d(_X, **_OVERLAPPING, return_indices=True)[1]
add(
    "pick",
    lambda x: F.max_pool2d(x, 2, return_indices=True)[0],
    _apart(2, 2, 4, 6),
    name="max_pool2d-where",
)
add("put", lambda ct: _put(ct, _PLACES, windows=_WINDOWS), real(2, 2, 3, 6))

_SUMMED = {"kernel_size": (3, 2), "stride": (2, 1), "padding": 1}
_SUMS = Windows((5, 6), (3, 2), (2, 1), (1, 1), (1, 1), (3, 7))
add(
    "sum_windows",
    lambda x: F.avg_pool2d(x, **_SUMMED, ceil_mode=True, count_include_pad=False),
    real(2, 2, 5, 6),
    name="avg_pool2d",
    errors=(
        (
            lambda: F.avg_pool2d(np.ones((1, 2, 2), dtype=int), 2),
            DTypeError,
            "avg_pool2d: x must be of floating dtype; got int64",
        ),
    ),
)
add("sum_windows", lambda x: F.avg_pool1d(x, 2), real(2, 2, 6), name="avg_pool1d")
add("sum_windows", lambda x: F.avg_pool3d(x, 2, 1), real(1, 3, 3, 4), name="avg_pool3d")
add("sum_windows", lambda x: F.avg_pool2d(x, (2, 16)), real(1, 2, 32), name="avg_pool2d-long")
add("sum_windows", lambda x: F.avg_pool2d(x, (2, 8)), real(2, 4, 8), name="avg_pool2d-runs")
add("max_windows", lambda x: F.max_pool2d(x, (2, 8)), _apart(2, 4, 8), name="max_pool2d-runs")
add("spread_windows", lambda ct: _spread_windows(ct, windows=_SUMS), real(2, 2, 3, 7))
_RUNS = Windows((4, 8), (2, 8), (2, 8), (0, 0), (1, 1), (2, 1))
add(
    "spread_windows",
    lambda ct: _spread_windows(ct, windows=_RUNS),
    real(2, 2, 1),
    name="spread_windows-runs",
)
compose("lp_pool1d", lambda x: F.lp_pool1d(x, 3.0, 2), real(2, 2, 6, low=0.1))
compose("lp_pool2d", lambda x: F.lp_pool2d(x, 2.0, (3, 2), 2, ceil_mode=True), real(1, 4, 5))
compose("lp_pool3d", lambda x: F.lp_pool3d(x, 2.0, 2), real(1, 2, 4, 2))
compose("adaptive_avg_pool1d", lambda x: F.adaptive_avg_pool1d(x, 3), real(2, 2, 6))
compose("adaptive_avg_pool2d", lambda x: F.adaptive_avg_pool2d(x, (3, 4)), real(1, 5, 4))
compose("adaptive_avg_pool3d", lambda x: F.adaptive_avg_pool3d(x, (None, 1, 2)), real(1, 2, 2, 3))
compose("adaptive_max_pool1d", lambda x: F.adaptive_max_pool1d(x, 3), _apart(2, 2, 6))
compose("adaptive_max_pool2d", lambda x: F.adaptive_max_pool2d(x, (3, 4)), _apart(1, 5, 4))
compose("adaptive_max_pool3d", lambda x: F.adaptive_max_pool3d(x, (1, 2, 2)), _apart(1, 2, 2, 3))
_SAMPLES = np.float32(np.random.default_rng(2).random((2, 3)))
compose(
    "fractional_max_pool2d",
    lambda x: F.fractional_max_pool2d(x, 2, (2, 3), _random_samples=_SAMPLES[:, :2]),
    _apart(2, 5, 7),
)
compose(
    "fractional_max_pool3d",
    lambda x: F.fractional_max_pool3d(x, 2, (1, 2, 2), _random_samples=_SAMPLES),
    _apart(2, 2, 4, 5),
)
compose("max_unpool1d", lambda x: F.max_unpool1d(x, np.asarray([[1, 2, 5]]), 2), real(1, 3))
compose(
    "max_unpool2d",
    lambda x: F.max_unpool2d(x, np.asarray([[[0, 7]]]), 2, output_size=(3, 4)),
    real(1, 1, 2),
)
compose(
    "max_unpool3d",
    lambda x: F.max_unpool3d(x, np.asarray([[[[3]], [[12]]]]), 2),
    real(1, 2, 1, 1),
)
