"""A sum over an axis that one example does not have."""

import numpy as np

import volta
import volta.functional as F


def norms(x):
    return F.sum(x * x, axis=1)  # mistake


volta.vmap(norms)(np.ones((8, 3)))
