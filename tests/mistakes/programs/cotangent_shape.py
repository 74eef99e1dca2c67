"""A cotangent of another shape than the output."""

import numpy as np

import volta
import volta.functional as F

out, pull = volta.vjp(F.sin, np.ones(3))
pull(np.ones((3, 1)))  # mistake
