"""A Python if on the carry of a loop."""

import numpy as np

import volta


def step(carry, x):
    if carry > 2.0:  # mistake
        carry = carry / 2.0
    return carry + x, carry


volta.scan(step, np.asarray(0.0), np.ones(5))
