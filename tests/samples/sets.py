"""Rows of `volta/functional/sets.py`."""

import numpy as np

import volta.functional as F
from samples.sample import add, ints
from volta.core.errors import DTypeError

add(
    "isin",
    F.isin,
    ints(2, 4, high=4),
    np.asarray([[1, 3], [1, 9]]),
    errors=((lambda: F.isin(1, 2), DTypeError, "isin: one operand must be an array; got 1 and 2"),),
)
add(
    "isin",
    lambda x1, x2: F.isin(x1, x2, invert=True),
    np.asarray([0.5, 1.0]),
    np.asarray([1.0, 2.0, 0.5]),
    diff=(),
    name="isin-invert",
)
