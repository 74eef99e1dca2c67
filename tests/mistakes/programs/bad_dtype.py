"""A bitwise operation on floating arrays."""

import numpy as np

import volta
import volta.functional as F


def loss(w):
    return F.sum(F.bitwise_and(w, 1))  # mistake


volta.grad(loss)(np.ones(3))
