"""Rows of `volta/functional/calculus.py`, compositions of the primitives named."""

import numpy as np

import volta.functional as F
from samples.sample import add, cplx, real
from volta.core.errors import ShapeError

_KNOTS = np.asarray([-1.5, -0.25, 0.5, 1.75])
add(
    "where",
    F.interp,
    np.asarray([[-2.0, -0.7, 0.3], [1.3, 2.5, -0.1]]),
    _KNOTS,
    real(4),
    name="interp",
    errors=(
        (
            lambda: F.interp(np.ones(2), np.ones(3), np.ones(2)),
            ShapeError,
            r"interp: xp and fp must have one axis, .* got shapes \(3,\) and \(2,\)",
        ),
        (
            lambda: F.interp(np.ones(2), np.ones(3), np.ones(3), period=0),
            ValueError,
            "interp: period must not be 0; got 0",
        ),
    ),
)
add(
    "where",
    lambda x, xp, fp, left, right: F.interp(x, xp, fp, left=left, right=right),
    np.asarray([-2.0, 0.1, 2.5]),
    _KNOTS,
    real(4),
    real(),
    real(),
    name="interp-ends",
)
add("where", F.interp, np.asarray([-2.0, 0.1, 2.5]), _KNOTS, cplx(4), name="interp-complex")
add(
    "where",
    lambda x, xp, fp, period: F.interp(x, xp, fp, period=period),
    np.asarray([-2.0, 0.1, 2.5, 7.3]),
    np.asarray([0.3, 4.1, -1.0]),
    real(3),
    np.asarray(3.7),
    name="interp-period",
)
add(
    "multiply",
    F.polyval,
    real(4),
    real(2, 3),
    name="polyval",
    errors=((lambda: F.polyval(np.ones(()), 1.0), ShapeError, "coefficients must have an axis"),),
)
add("multiply", F.polyval, cplx(3), real(2), name="polyval-complex")
add("multiply", F.polyval, real(3, 2), real(4, 1), name="polyval-axes")
add("multiply", F.polyval, real(1), real(2), name="polyval-constant")
