"""A derivative in an argument that is not there."""

import numpy as np

import volta
import volta.functional as F

volta.grad(lambda w, x: F.sum(w * x), argnums=2)(np.ones(3), np.ones(3))  # mistake
