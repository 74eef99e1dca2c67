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
from volta.nn.dropout import Dropout
from volta.nn.flatten import Flatten
from volta.nn.functional_call import functional_call, stateful_call, tie
from volta.nn.linear import Identity, Linear
from volta.nn.loading import to_torch_state_dict
from volta.nn.module import Module
from volta.nn.packing import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    pad_sequence,
    unpack_sequence,
    unpad_sequence,
)
from volta.nn.recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Dropout",
    "Flatten",
    "GRUCell",
    "Identity",
    "LSTMCell",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "Module",
    "PackedSequence",
    "RNNCell",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "functional_call",
    "init",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "stateful_call",
    "tie",
    "to_torch_state_dict",
    "unpack_sequence",
    "unpad_sequence",
]
