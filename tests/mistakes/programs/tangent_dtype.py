"""A tangent of another dtype than its primal."""

import numpy as np

import volta
import volta.functional as F

volta.jvp(F.sin, (np.ones(3),), (np.ones(3, np.float32),))  # mistake
