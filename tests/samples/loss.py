"""Rows of `volta/functional/loss.py`."""

import numpy as np

import volta.functional as F
from samples.sample import add, ints, real
from volta.core.errors import DimensionError, ShapeError

_labels = ints(4, high=3)
add(
    "class_losses",
    lambda x, t: F.cross_entropy(x, t, reduction="none"),
    real(4, 3),
    _labels,
    errors=(
        (
            lambda: F.cross_entropy(np.ones((2, 3)), np.asarray([0, 3])),
            DimensionError,
            "cross_entropy: classes must be from 0 to 2; got 0 to 3",
        ),
        (
            lambda: F.cross_entropy(np.ones((2, 3)), np.asarray([0])),
            ShapeError,
            r"without its class axis; got \(1,\) and \(2, 3\)",
        ),
    ),
)
add(
    "class_losses",
    lambda x, t: F.cross_entropy(x, t, ignore_index=1),
    real(2, 3, 2),
    np.asarray([[0, 1], [2, 2]]),
    name="class_losses-ignored",
)
