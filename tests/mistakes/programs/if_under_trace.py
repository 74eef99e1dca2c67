"""A Python if on a value that a staged function does not know."""

import numpy as np

import volta


def relu(x):
    if x > 0:  # mistake
        return x
    return 0.0 * x


volta.trace(relu)(np.asarray(1.0))
