"""Layers and models: `Module` and what is made of it.

Layers hold parameters and call `volta.functional`; no derivative rule lives here.
"""

from volta.nn import init
from volta.nn.activation import (
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from volta.nn.container import Sequential
from volta.nn.convolution import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from volta.nn.dropout import Dropout
from volta.nn.flatten import Flatten
from volta.nn.functional_call import functional_call, stateful_call, tie
from volta.nn.linear import Identity, Linear
from volta.nn.loading import to_torch_state_dict
from volta.nn.module import Module

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Dropout",
    "Flatten",
    "Identity",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "Module",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "functional_call",
    "init",
    "stateful_call",
    "tie",
    "to_torch_state_dict",
]
