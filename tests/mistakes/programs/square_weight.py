"""A square weight, of which the layout cannot be told."""

import numpy as np

import volta.functional as F
from volta import nn

model = nn.Linear(4, 4, key=F.random.key(0))
model.load_state_dict({"weight": np.ones((4, 4)), "bias": np.ones(4)})  # mistake
