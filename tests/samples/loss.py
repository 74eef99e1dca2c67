"""Rows of `volta/functional/loss.py`."""

import numpy as np

import volta.functional as F
from samples.sample import add, compose, ints, real
from volta.core.errors import DimensionError, ShapeError

_labels = ints(4, high=3)
add(
    "class_losses",
    lambda x, t: F.cross_entropy(x, t, reduction="none"),
    real(4, 3),
    _labels,
    of="cross_entropy",
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
    of="cross_entropy",
    name="class_losses-ignored",
)

_weights = np.asarray([0.3, 1.7, 0.9])
compose(
    "cross_entropy-smoothed",
    lambda x, t: F.cross_entropy(x, t, _weights, label_smoothing=0.3),
    real(4, 3),
    _labels,
)
compose("cross_entropy-probabilities", F.cross_entropy, real(4, 3), real(4, 3, low=0.1, high=0.9))
compose("nll_loss", lambda x, t: F.nll_loss(x, t, _weights), real(4, 3), _labels)
for _name in ("l1_loss", "mse_loss"):
    compose(_name, getattr(F, _name), real(2, 3), real(2, 3) + 0.21)
    compose(
        f"{_name}-none",
        lambda x, y, f=getattr(F, _name): f(x, y, reduction="none"),
        real(3),
        real(3) + 0.21,
    )
