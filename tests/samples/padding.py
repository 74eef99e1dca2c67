"""Rows of `volta/functional/padding.py`, which composes primitives of other chapters."""

import numpy as np

import volta.functional as F
from samples.sample import add, real
from volta.core.errors import DimensionError, ShapeError

add(
    "embed_slice",
    lambda x: F.pad(x, ((1, 0), (0, 2))),
    real(2, 3),
    name="pad",
    errors=((lambda: F.pad(np.ones(2), -1), ShapeError, "pad_width must not be negative"),),
)
add(
    "slice_update",
    lambda x: F.pad(x, 1, constant_values=2.5),
    real(2, 3),
    name="pad-value",
)
add(
    "concat",
    lambda x: F.pad(x, (2, 1), constant_values=((1, 2), (3, 4))),
    real(2, 3),
    name="pad-values",
)
for _mode in (
    "edge",
    "reflect",
    "symmetric",
    "wrap",
    "linear_ramp",
    "maximum",
    "minimum",
    "mean",
    "median",
):
    add(
        "concat",
        lambda x, mode=_mode: F.pad(x, ((1, 7), (2, 0)), mode, end_values=0.5),
        real(3, 3),
        name=f"pad-{_mode}",
        dask="dask does not sort" if _mode == "median" else "",
    )
for _mode in ("reflect", "symmetric"):
    add(
        "concat",
        lambda x, mode=_mode: F.pad(x, ((1, 7), (2, 0)), mode, reflect_type="odd"),
        real(3, 3),
        name=f"pad-{_mode}-odd",
    )
add(
    "basic_slice",
    lambda x: F.shrink(x, [(1, 3), (0, 2)]),
    real(4, 3),
    name="shrink",
    errors=(
        (lambda: F.shrink(np.ones(3), [(0, 4)]), DimensionError, "from 0 to 3 along axis 0"),
        (lambda: F.shrink(np.ones(3), [(2, 1)]), ShapeError, "a range must hold an element"),
    ),
)
add(
    "basic_slice",
    lambda x: F.stride(x, (2, 1)),
    real(5, 3),
    name="stride",
    errors=((lambda: F.stride(np.ones(3), [0]), ShapeError, "steps must be at least 1"),),
)
add("multiply", lambda x, y, z: F.mulacc(x, y, z), real(3, 1), real(2), real(3, 2), name="mulacc")
