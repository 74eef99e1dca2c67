"""Tensors of two devices."""

import torch

import volta
import volta.functional as F


def loss(w, x):
    return F.sum(w * x)  # mistake


volta.grad(loss)(torch.ones(3), torch.ones(3, device="meta"))
