"""Rows of `volta/functional/normalization.py`."""

import numpy as np

import volta.functional as F
from samples.sample import add, compose, cplx, real
from volta.core.errors import DTypeError, ShapeError

_weight, _bias = real(3, low=0.5), real(3)
_running = real(3), real(3, low=0.5)


def _channels(x, fun, *affine):
    return fun(x, _running[0], _running[1], *affine)


add(
    "standardize",
    lambda x, w, b: F.layer_norm(x, 3, w, b),
    real(4, 3),
    real(3),
    real(3),
    name="layer_norm",
    errors=(
        (
            lambda: F.layer_norm(np.ones((2, 3)), 4),
            ShapeError,
            r"layer_norm: the last axes of x must be normalized_shape; got shape \(2, 3\) and \(4,",
        ),
        (
            lambda: F.layer_norm(np.ones((2, 3)), 3, np.ones(2)),
            ShapeError,
            r"layer_norm: weight must have normalized_shape, \(3,\); got shape \(2,\)",
        ),
        (
            lambda: F.layer_norm(np.ones((2, 3), int), 3),
            DTypeError,
            "layer_norm: arrays must be real floating, of dtypes that promote; got int64",
        ),
    ),
)
add("standardize", lambda x: F.layer_norm(x, (3, 2)), real(2, 3, 2), name="layer_norm-plain")
add(
    "standardize",
    lambda x, b: F.layer_norm(x, (3, 2), None, b),
    real(2, 3, 2),
    real(3, 2),
    name="layer_norm-bias",
)
add(
    "standardize",
    lambda x, w: F.layer_norm(x, 2, w),
    real(2, 3, 2),
    real(2),
    name="layer_norm-weight",
)
add("standardize", lambda x, w: F.rms_norm(x, 3, w), real(4, 3), real(3), name="rms_norm")
add("standardize", lambda x: F.rms_norm(x, 3, eps=0.1), real(4, 3), name="rms_norm-plain")
add(
    "standardize",
    lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
    real(4, 3, 2),
    real(3),
    real(3),
    name="batch_norm",
)
add(
    "standardize",
    lambda x, m, v: F.batch_norm(x, m, v, training=True, momentum=0.3)[1:],
    real(4, 3),
    real(3),
    real(3, low=0.5),
    name="batch_norm-statistics",
)
compose(
    "batch_norm-running",
    lambda x, m, v, w, b: F.batch_norm(x, m, v, w, b),
    real(4, 3, 2),
    real(3),
    real(3, low=0.5),
    real(3),
    real(3),
)
add(
    "standardize",
    lambda x, w, b: F.group_norm(x, 2, w, b),
    real(2, 4, 3),
    real(4),
    real(4),
    name="group_norm",
)
add(
    "standardize",
    lambda x, w, b: F.instance_norm(x, None, None, w, b),
    real(2, 3, 4),
    real(3),
    real(3),
    name="instance_norm",
)
add(
    "standardize",
    lambda x, *running: F.instance_norm(x, *running, momentum=0.3),
    real(2, 3, 4),
    *_running,
    name="instance_norm-statistics",
)
compose(
    "local_response_norm",
    lambda x: F.local_response_norm(x, 3, alpha=0.5, k=2.0),
    real(2, 4, 3),
)
compose("normalize", F.normalize, real(2, 3))
compose("normalize-complex", lambda x: F.normalize(x, axis=0), cplx(2, 3))
compose("normalize-order", lambda x: F.normalize(x, 3.0, axis=(0, 1)), real(2, 3))
compose("weight_norm", F.weight_norm, real(2, 3, 2), real(2, 1, 1))
