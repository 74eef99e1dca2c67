"""The weights of a layer are the wrong way round."""

import numpy as np

import volta
import volta.functional as F


def loss(weight, x):
    return F.mean(F.tanh(x @ weight) ** 2)  # mistake


volta.grad(loss)(np.ones((3, 4)), np.ones((8, 4)))
