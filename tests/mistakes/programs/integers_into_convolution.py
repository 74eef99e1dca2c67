"""A convolution is given an image as it is stored, in integers."""

import numpy as np

import volta.functional as F
from volta import nn

layer = nn.Conv2d(1, 2, 3, key=F.random.key(0))
layer(np.ones((1, 1, 5, 5), dtype=np.uint8))  # mistake
