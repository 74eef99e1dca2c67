"""Mapped arguments of different lengths."""

import numpy as np

import volta
import volta.functional as F

volta.vmap(F.add)(np.ones((4, 2)), np.ones((3, 2)))  # mistake
