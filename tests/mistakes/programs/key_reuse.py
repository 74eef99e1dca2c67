"""One key for the noise and the mask."""

import numpy as np

import volta
import volta.functional as F


def noisy(x, key):
    noise = F.random.normal(key, x.shape)
    mask = F.random.bernoulli(key, 0.5, x.shape)  # mistake
    return x + noise * F.astype(mask, noise.dtype)


with volta.debug_key_reuse():
    noisy(np.ones(3), F.random.key(0))
