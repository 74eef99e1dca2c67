"""Rows of `volta/functional/searching.py`."""

import numpy as np

import volta.functional as F
from samples.sample import add, ints
from volta.core.errors import ShapeError

for _side in ("left", "right"):
    add(
        "searchsorted",
        lambda x1, x2, side=_side: F.searchsorted(x1, x2, side=side),
        np.asarray([-1.0, 0.5, 0.5, 2.0]),
        np.asarray([[0.5, -3.0, 1.7], [2.0, 0.5, 9.0]]),
        diff=(),
        name=f"searchsorted-{_side}",
        errors=(
            (
                lambda: F.searchsorted(np.ones((2, 2)), np.ones(2)),
                ShapeError,
                r"searchsorted: x1 must have one axis; got shape \(2, 2\)",
            ),
        ),
    )
add("searchsorted", F.searchsorted, np.asarray([1, 3, 3, 7]), ints(4), name="searchsorted-int")
