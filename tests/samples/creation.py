"""Rows of `volta/functional/creation.py`."""

import volta.functional as F
from samples.sample import add, real

for _name, _make in {
    "full": lambda x: F.multiply(F.full((2,), 3.0, dtype=F.float64), x),
    "arange": lambda x: F.multiply(F.arange(2, dtype=F.float64), x),
    "linspace": lambda x: F.multiply(F.linspace(0.0, 1.0, 2, dtype=F.float64), x),
    "eye": lambda x: F.multiply(F.eye(2, dtype=F.float64), x),
}.items():
    add(_name, _make, real(2))
