"""A carry that changes its dtype."""

import numpy as np

import volta
import volta.functional as F


def step(carry, x):
    return F.astype(carry + x, F.float32), carry


volta.scan(step, np.asarray(0.0), np.ones(5))  # mistake
