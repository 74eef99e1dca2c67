"""A carry that grows."""

import numpy as np

import volta


def step(carry, x):
    return (carry[0] + x, x), x


volta.scan(step, (np.asarray(0.0),), np.ones(5))  # mistake
