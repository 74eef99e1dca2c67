"""The target of a binary loss holds integers."""

import numpy as np

import volta.functional as F

F.binary_cross_entropy_with_logits(np.zeros(2), np.asarray([0, 1]))  # mistake
