"""A rule that returns too few cotangents."""

import numpy as np

import volta
import volta.functional as F


@volta.custom_vjp
def scaled(x, factor):
    return x * factor


def forward(x, factor):
    return x * factor, (x, factor)


def backward(kept, ct):
    _x, factor = kept
    return (ct * factor,)


scaled.defvjp(forward, backward)
volta.grad(lambda x: F.sum(scaled(x, np.ones(3))))(np.ones(3))  # mistake
