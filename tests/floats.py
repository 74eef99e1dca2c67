"""Floats at which functions of one argument change."""

import numpy as np


def spread(rng, count, digits, sizes):
    """Of sizes at which functions change, next to 1 up to exp(-digits), and multiples of ½ π."""
    small, large = sizes
    return (
        rng.normal(0, 1, count),
        rng.normal(1, 0.3, count),
        rng.normal(0, 1e-3, count),
        rng.uniform(-1, 1, count),
        1 + np.exp(rng.uniform(-digits, 0, count)),
        1 - np.exp(rng.uniform(-digits, 0, count)),
        rng.uniform(-small, small, count),
        rng.uniform(-large, large, count),
        rng.uniform(-1e5, 1e5, count),
        np.round(rng.uniform(-2e5, 2e5, count)) * (np.pi / 2),
        np.round(rng.uniform(-30, 30, count)) * (np.pi / 2),
        rng.uniform(-(2.0**30), 2.0**30, count),
        np.exp(rng.uniform(-40, 40, count)),
        -np.exp(rng.uniform(-40, 0, count)),
    )
