"""Rows of `volta/functional/resampling.py`."""

import numpy as np

import volta.functional as F
from samples.sample import add, compose, real
from volta.core.errors import ShapeError

_image, _volume = real(1, 2, 4, 5), real(1, 1, 2, 3, 2)
add(
    "resample",
    lambda x: F.interpolate(x, (3, 7), mode="bilinear"),
    _image,
    name="interpolate",
    errors=(
        (
            lambda: F.interpolate(np.ones((1, 2, 3)), 4, mode="bilinear"),
            ShapeError,
            r"interpolate: x must have 4 axes for 'bilinear'; got \(1, 2, 3\)",
        ),
    ),
)
for _mode in ("nearest", "nearest-exact", "area", "bicubic"):
    add(
        "resample",
        lambda x, mode=_mode: F.interpolate(x, (6, 3), mode=mode),
        _image,
        name=f"interpolate-{_mode}",
    )
add(
    "resample",
    lambda x: F.interpolate(x, scale_factor=1.7, mode="trilinear", align_corners=True),
    _volume,
    name="interpolate-trilinear",
)
add(
    "resample",
    lambda x: F.interpolate(x, (2, 3), mode="bicubic", antialias=True),
    _image,
    name="interpolate-smooth",
)

_points = real(1, 2, 3, 2, low=-0.9, high=0.9)
for _mode in ("bilinear", "bicubic"):
    compose(
        "grid_sample" if _mode == "bilinear" else f"grid_sample-{_mode}",
        lambda x, grid, mode=_mode: F.grid_sample(x, grid, mode, "border"),
        _image,
        _points,
    )
compose(
    "grid_sample-nearest",
    lambda x, grid: F.grid_sample(x, grid, "nearest"),
    _image,
    _points,
    diff=(0,),
)
compose(
    "grid_sample-reflection",
    lambda x, grid: F.grid_sample(x, grid, "bilinear", "reflection", align_corners=True),
    _volume,
    real(1, 2, 2, 1, 3, low=-1.8, high=1.8),
)
compose("affine_grid", lambda theta: F.affine_grid(theta, (2, 1, 2, 3)), real(2, 2, 3))
