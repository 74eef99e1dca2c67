"""Optimizers: lower-case names make pairs of pure functions, CapWords names change a model.

``adam(0.001)`` has optax's protocol, arguments and defaults, ``Adam(model, lr=0.001)`` PyTorch's.
"""

from volta.optim.adam import Adam, AdamState, adam, scale_by_adam
from volta.optim.base import (
    EmptyState,
    Optimizer,
    ScheduleState,
    add_decayed_weights,
    apply_updates,
    chain,
    scale_by_learning_rate,
)
from volta.optim.sgd import SGD, MomentumState, scale_by_momentum, sgd

__all__ = [
    "SGD",
    "Adam",
    "AdamState",
    "EmptyState",
    "MomentumState",
    "Optimizer",
    "ScheduleState",
    "adam",
    "add_decayed_weights",
    "apply_updates",
    "chain",
    "scale_by_adam",
    "scale_by_learning_rate",
    "scale_by_momentum",
    "sgd",
]
