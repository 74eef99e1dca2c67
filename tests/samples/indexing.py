"""Rows of `volta/functional/indexing.py`."""

import numpy as np

import volta
import volta.functional as F
from samples.sample import add, compose, ints, real
from volta.core.errors import DimensionError, DTypeError
from volta.functional.indexing import _embed_add, _embed_slice

_index_error = (
    lambda: volta.lift(np.ones((2, 3)))[2],
    DimensionError,
    "indices must be from -2 to 1",
)
_many_error = (lambda: volta.lift(np.ones(2))[0, 0], DimensionError, "no more indices than axes")
_key_error = (lambda: volta.lift(np.ones(2))[1.5], DTypeError, "a key must hold")
add(
    "basic_slice",
    lambda x: volta.lift(x)[1:, ..., ::-1, None, 0],
    real(3, 2, 3, 2),
    of="x[key]",
    errors=(_index_error, _many_error, _key_error),
)
add(
    "basic_slice",
    lambda x: volta.lift(x)[-1, 3:0:-2],
    real(3, 4),
    of="x[key]",
    name="basic_slice-negative",
)


def _assign(key):
    def fun(x, v):
        x = F.asarray(volta.lift(x), copy=True)
        x[key] = v
        return x

    return fun


add(
    "embed_slice",
    lambda v: _embed_slice(v, key=(slice(None, None, -2), 0), shape=(4, 2)),
    real(2),
)
add(
    "embed_add",
    lambda v, i: _embed_add(v, i, axes=(1,), shape=(2, 4)),
    real(3, 2),
    np.asarray([2, 0, 2]),
)
add("slice_update", _assign((slice(1, None), 0)), real(3, 2), real(2), of="x[key] = value")
add(
    "slice_update",
    _assign((Ellipsis, slice(None, None, -2))),
    real(3, 4),
    real(3, 1),
    of="x[key] = value",
    name="slice_update-step",
)
add(
    "gather",
    lambda x, i: volta.lift(x)[:, i],
    real(3, 4, 2),
    ints(2, 2, high=4),
    of="x[key]",
    errors=(
        (
            lambda: F.take(np.ones(3), np.asarray([3])),
            DimensionError,
            "indices must be from -3 to 2",
        ),
        (lambda: F.take(np.ones(3), np.asarray([0.5])), DTypeError, "indices must be integers"),
    ),
)
add(
    "gather",
    lambda x, i, j: volta.lift(x)[i, :, j],
    real(3, 2, 4),
    ints(2, high=3),
    ints(3, 1, high=4) - 4,
    of="x[key]",
    name="gather-apart",
)
add(
    "gather",
    lambda x, i: F.take_along_axis(x, i, axis=1),
    real(3, 4),
    ints(3, 2, high=4),
    name="take_along_axis",
)
add(
    "scatter",
    lambda x, v, i: _assign(i)(x, v),
    real(4, 2),
    real(3, 2),
    np.asarray([2, 0, 2]),
    of="x[key] = value",
)
add(
    "scatter",
    lambda x, v, i: _assign((slice(None), i))(x, v),
    real(2, 4),
    real(2, 2, 1),
    np.asarray([[1], [3]]),
    of="x[key] = value",
    name="scatter-axis",
)
add("equal", lambda x: F.one_hot(x, 5, axis=0), ints(2, 3, high=5), name="one_hot")

compose("take", lambda x, i: F.take(x, i, axis=1), real(2, 4), np.asarray([2, 0, 2]))
