"""Rows of `volta/functional/update.py` and `segment.py`."""

import numpy as np

import volta.functional as F
from samples.sample import add, compose, cplx, function, real
from volta.core.errors import DimensionError, DTypeError, ShapeError

_REPEATED = np.asarray([2, 0, 2])


def _errors(mode):
    def call(x, key, values):
        return lambda: getattr(F.at(x)[key], mode)(values)

    return (
        (call(np.ones(3), _REPEATED + 1, 1.0), DimensionError, "from -3 to 2 along axis 0; got 3"),
        (call(np.ones(3), _REPEATED, np.ones(2)), ShapeError, "the value must broadcast"),
        (call(np.ones(3), 0, 1j), DTypeError, f"at.{mode}: the values' dtype must fit"),
    )


for _mode in ("multiply", "max", "min"):
    add(
        f"scatter_{_mode}",
        lambda x, v, i, mode=_mode: getattr(F.at(x)[i], mode)(v),
        real(4, 2),
        real(3, 2, low=-1.4, high=2.6),
        _REPEATED,
        of="at",
        errors=_errors(_mode),
    )
    add(
        f"scatter_{_mode}",
        lambda x, v, i, j, mode=_mode: getattr(F.at(x)[i, 1:, j], mode)(v),
        real(3, 3, 2),
        real(2, 3, 2, low=-1.4, high=2.6),
        np.asarray([[2], [0]]),
        np.asarray([0, 1, 0]),
        of="at",
        name=f"scatter_{_mode}-apart",
    )
add(
    "scatter_multiply",
    lambda x, v, i: F.at(x)[i].multiply(v),
    np.asarray([2.0, 3.0, 0.5, 0.0]),
    np.asarray([0.0, 5.0, 0.0, 7.0, 0.0, 0.6, 1.7]),
    np.asarray([0, 0, 1, 1, 1, 2, 3]),
    of="at",
    name="scatter_multiply-zeros",
)
add(
    "scatter_multiply",
    lambda x, v, i: F.at(x)[i].multiply(v),
    cplx(3),
    cplx(3),
    _REPEATED,
    of="at",
    name="scatter_multiply-complex",
)

for _mode in ("set", "add", "divide"):
    compose(
        f"at-{_mode}",
        lambda x, v, i, mode=_mode: getattr(F.at(x)[i], mode)(v),
        real(4, 2),
        real(3, 2, low=0.3),
        _REPEATED,
    )

for _mode, _primitive in (
    ("sum", "scatter"),
    ("mean", "scatter"),
    ("prod", "scatter_multiply"),
    ("max", "scatter_max"),
    ("min", "scatter_min"),
):
    add(
        _primitive,
        lambda x, i, mode=_mode: function(f"segment_{mode}")(x, i, 3),
        real(4, 2),
        np.asarray([2, 0, 2, 1]),
        name=f"segment_{_mode}",
    )
