"""A transform of something that holds text."""

import numpy as np

import volta
import volta.functional as F

params = {"weight": np.ones(3), "name": "first"}


def loss(params):
    return F.sum(params["weight"])


volta.grad(loss)(params)  # mistake
