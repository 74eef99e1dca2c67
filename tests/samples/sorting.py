"""Rows of `volta/functional/sorting.py`."""

import numpy as np

import volta.functional as F
from samples.sample import add, function, ints, real
from volta.core.errors import DimensionError, ShapeError
from volta.functional.sorting import _permuted, _restored

for _name in ("sort", "argsort"):
    _error = (
        lambda f=function(_name): f(np.ones(2), axis=1),
        DimensionError,
        f"{_name}: axis must be from -1 to 0",
    )
    _diff = {} if _name == "sort" else {"diff": ()}
    add(_name, function(_name), real(2, 4), errors=(_error,), **_diff)
    add(
        _name,
        lambda x, f=function(_name): f(x, axis=0, descending=True),
        real(4, 2),
        name=f"{_name}-descending",
        **_diff,
    )
    add(_name, function(_name), ints(5, high=3), name=f"{_name}-int")
for _apply in (_permuted, _restored):
    add(
        _apply.primitive.name,
        lambda x, order, f=_apply: f(x, order, axis=1),
        real(2, 4),
        np.asarray([[3, 0, 1, 2], [1, 0, 3, 2]]),
    )
add(
    "top_indices",
    lambda x: F.top_k(x, 2, axis=0),
    real(4, 3),
    diff=(),
    of="top_k",
    errors=(
        (
            lambda: F.top_k(np.ones((2, 3)), 4),
            ShapeError,
            "top_k: k must be from 0 to 3, the length of axis 1; got 4",
        ),
    ),
)
add("top_indices", lambda x: F.top_k(x, 2)[0], real(2, 4), name="top_k")
add("sort", lambda x: F.quantile(x, [0.3, 0.8], axis=1), real(2, 5, 2), name="quantile")
add("sort", lambda x: F.median(x, axis=(0, 2), keepdims=True), real(2, 3, 2), name="median")
