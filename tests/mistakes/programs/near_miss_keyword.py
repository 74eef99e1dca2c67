"""The keyword of another library."""

import numpy as np

import volta
import volta.functional as F

volta.vmap(F.sum, in_dims=0)(np.ones((4, 2)))  # mistake
