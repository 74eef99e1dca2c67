"""Rows of `volta/functional/recurrent.py`."""

import numpy as np

import volta.functional as F
from samples.sample import add, compose, real
from volta.core.errors import ShapeError
from volta.functional import recurrent

add("lstm_gates", lambda gates, c: recurrent._lstm_gates(gates, c), real(2, 12), real(2, 3))
add(
    "gru_gates",
    lambda x, own, h: recurrent._gru_gates(x, own, h),
    real(2, 9),
    real(2, 9),
    real(2, 3),
)
_x, _h = real(2, 3), real(2, 2)


def _weights(gates):
    return real(gates * 2, 3), real(gates * 2, 2), real(gates * 2), real(gates * 2)


for _name, _gates in (("rnn_cell", 1), ("gru_cell", 3)):
    _cell = getattr(F, _name)
    compose(
        _name,
        _cell,
        _x,
        _h,
        *_weights(_gates),
        errors=(
            (
                lambda f=_cell: f(np.ones(3), np.ones(2), np.ones((5, 3)), np.ones((5, 2))),
                ShapeError,
                r"hidden, inputs\) .* got float64\[3\] and float64\[2\] and float64\[5, 3\]",
            ),
        ),
    )
compose(
    "lstm_cell",
    lambda x, h, c, *weights: F.lstm_cell(x, (h, c), *weights),
    _x,
    _h,
    real(2, 2),
    *_weights(4),
)
