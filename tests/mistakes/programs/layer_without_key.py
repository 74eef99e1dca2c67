"""A layer is made as in PyTorch, without a random key."""

from volta import nn

nn.Linear(4, 2)  # mistake
