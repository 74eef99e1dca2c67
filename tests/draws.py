"""What tests of random numbers share: arrays of each library on the host, distances, fits."""

import math
import sys

import ml_dtypes
import numpy as np
import pytest

from volta.core.dispatch import library_for


def numpy_kind(dtype):
    return np.dtype(getattr(ml_dtypes, dtype, dtype))


def skip_without(xp, dtype):
    if xp is not np and not hasattr(xp, dtype):
        pytest.skip(f"{xp.__name__} has no {dtype}")


def as_numpy(x):
    if type(x).__module__ != "torch":
        return np.asarray(x)
    if str(x.dtype) == "torch.bfloat16":
        return x.view(sys.modules["torch"].int16).numpy().view(ml_dtypes.bfloat16)
    return x.numpy()


def as_library(xp, x):
    library = library_for(xp)
    if library.name == "torch" and x.dtype == ml_dtypes.bfloat16:
        return library.asarray(x.astype(np.float32)).bfloat16()
    return library.asarray(x)


def as_bits(x):
    return x.view("u1" if x.dtype == bool else f"u{x.dtype.itemsize}")


def ulps(x, y):
    """Largest distance of two arrays of floats, counted in floats between them."""
    places = []
    for z in (x, y):
        magnitude = as_bits(z).astype(np.int64) & (2 ** (8 * z.dtype.itemsize - 1) - 1)
        places.append(np.where(np.signbit(z), -magnitude, magnitude))
    return np.max(np.abs(places[0] - places[1]), initial=0)


def fits(sample, distribution):
    """Whether the Kolmogorov-Smirnov statistic is below its 5 % point, 1.36 / √n."""
    n = sample.size
    expected = np.asarray([distribution(x) for x in np.sort(sample).tolist()])
    steps = np.arange(n) / n
    return max(np.max(expected - steps), np.max(steps + 1 / n - expected)) < 1.36 / math.sqrt(n)
