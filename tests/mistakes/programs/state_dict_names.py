"""A state dict of another model."""

import numpy as np

import volta.functional as F
from volta import nn

model = nn.Sequential(nn.Linear(4, 8, key=F.random.key(0)))
model.load_state_dict(  # mistake
    {"0.weight": np.ones((4, 9)), "0.scale": np.ones(8)}, layout="volta"
)
