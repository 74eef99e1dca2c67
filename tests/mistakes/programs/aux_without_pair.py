"""has_aux=True, and one value returned."""

import numpy as np

import volta
import volta.functional as F


def loss(w):
    return F.sum(w * w)


volta.grad(loss, has_aux=True)(np.ones(3))  # mistake
