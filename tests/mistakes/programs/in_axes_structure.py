"""in_axes for three arguments, and two given."""

import numpy as np

import volta
import volta.functional as F

volta.vmap(F.matmul, in_axes=(0, None, None))(np.ones((4, 2, 2)), np.ones((2, 2)))  # mistake
