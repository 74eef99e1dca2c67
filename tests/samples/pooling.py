"""Rows of `volta/functional/pooling.py` and what it is made of."""

import numpy as np

import volta.functional as F
from samples.sample import add, compose, real
from volta.core.errors import DTypeError, ShapeError


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
add(
    "pick",
    lambda x: F.max_pool2d(x, 2, return_indices=True)[0],
    _apart(2, 2, 4, 6),
    name="max_pool2d-picked",
)
