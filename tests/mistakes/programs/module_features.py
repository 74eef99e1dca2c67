"""A layer is given the wrong number of features."""

import numpy as np

import volta.functional as F
from volta import nn

model = nn.Sequential(nn.Linear(4, 8, key=F.random.key(0)), nn.ReLU())
model(np.ones((2, 3)))  # mistake
