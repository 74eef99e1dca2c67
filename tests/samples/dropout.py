"""Rows of `volta/functional/dropout.py`: with a key that stays, functions of the input."""

import volta.functional as F
from samples.sample import compose, real

_key = F.random.key(3)
_SHAPES = {
    "dropout": (3, 4),
    "dropout1d": (2, 3, 2),
    "dropout2d": (2, 3, 2, 1),
    "dropout3d": (2, 3, 2, 1, 2),
    "alpha_dropout": (3, 4),
    "feature_alpha_dropout": (2, 3, 2),
}
for _name, _shape in _SHAPES.items():
    compose(_name, lambda x, f=getattr(F, _name): f(x, 0.4, key=_key), real(*_shape))
