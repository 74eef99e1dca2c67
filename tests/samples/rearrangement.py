"""Rows of `volta/functional/rearrangement.py`."""

import numpy as np

import volta.functional as F
from samples.sample import add, compose, real
from volta.core.errors import ShapeError

_OPTIONS = {"dilation": (1, 2), "padding": (1, 0), "stride": (2, 1)}

add(
    "windows",
    lambda x: F.unfold(x, (2, 3), **_OPTIONS),
    real(2, 2, 4, 6),
    name="unfold",
    errors=(
        (
            lambda: F.unfold(np.ones((1, 2, 2)), 3),
            ShapeError,
            r"unfold: the kernel must fit into the image; got kernel_size \(3, 3\), dilation "
            r"\(1, 1\) and lengths \(2, 2\) with margins",
        ),
    ),
)
add(
    "overlap_windows",
    lambda x: F.fold(x, (4, 6), (2, 3), **_OPTIONS),
    real(2, 12, 6),
    name="fold",
    errors=(
        (
            lambda: F.fold(np.ones((5, 4)), 3, 2),
            ShapeError,
            r"fold: x must have a multiple of 4 rows and 4 columns, for 2 × 2 windows; got shape",
        ),
    ),
)
compose("pixel_shuffle", lambda x: F.pixel_shuffle(x, 2), real(2, 8, 1, 2))
compose("pixel_unshuffle", lambda x: F.pixel_unshuffle(x, 2), real(2, 2, 2, 4))
compose("channel_shuffle", lambda x: F.channel_shuffle(x, 2), real(2, 4, 3))
