"""A traced NumPy array meets a tensor."""

import numpy as np
import torch

import volta
import volta.functional as F


def loss(w):
    return F.sum(w * torch.ones(3))  # mistake


volta.grad(loss)(np.ones(3))
