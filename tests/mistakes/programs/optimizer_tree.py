"""Gradients of another structure than the parameters."""

import numpy as np

from volta import optim

optimizer = optim.adam(1e-3)
params = {"weight": np.ones((2, 2)), "bias": np.ones(2)}
state = optimizer.init(params)
grads = {"weight": np.ones((2, 2))}
optimizer.update(grads, state, params)  # mistake
