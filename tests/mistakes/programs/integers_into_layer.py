"""A layer is given an image as it is stored, in integers."""

import numpy as np

import volta.functional as F
from volta import nn

model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, key=F.random.key(0)))
model(np.ones((1, 2, 2), dtype=np.uint8))  # mistake
