"""The slope of a norm at zero."""

import numpy as np

import volta
import volta.functional as F


def loss(w):
    length = F.sqrt(F.sum(w * w))  # mistake
    return 0.0 * length


with volta.debug_nans():
    volta.grad(loss)(np.zeros(3))
