"""A transformer is trained without a random key."""

import numpy as np

import volta.functional as F
from volta import nn

layer = nn.TransformerEncoderLayer(4, 2, 8, key=F.random.key(0))
layer(np.ones((3, 1, 4), np.float32))  # mistake
