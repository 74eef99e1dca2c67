"""A module computes in the method that PyTorch's do."""

import volta.functional as F
from volta import nn


class Net(nn.Module):  # mistake
    def __init__(self):
        self.layer = nn.Linear(4, 2, key=F.random.key(0))

    def forward(self, x):
        return self.layer(x)
