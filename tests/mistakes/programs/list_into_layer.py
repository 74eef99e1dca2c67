"""A layer is given a list of numbers."""

import volta.functional as F
from volta import nn

nn.Linear(2, 3, key=F.random.key(0))([1.0, 2.0])  # mistake
