"""A one-hot target is made of integers."""

import numpy as np

import volta.functional as F

logits = np.zeros((2, 3))
F.cross_entropy(logits, np.asarray([[1, 0, 0], [0, 0, 1]]))  # mistake
