"""Rows of `volta/functional/correlation.py`."""

import numpy as np

import volta.functional as F
from samples.sample import add, cplx, function, ints, real
from volta.core.errors import DTypeError, ShapeError

for _name in ("convolve", "correlate"):
    _errors = (
        (
            lambda f=function(_name): f(np.ones((2, 3)), np.ones(2)),
            ShapeError,
            rf"{_name}: both arrays must have one axis, .* got shapes \(2, 3\) and \(2,\)",
        ),
        (
            lambda f=function(_name): f(np.ones(3), np.ones(0)),
            ShapeError,
            r"of length 1 or more; got shapes \(3,\) and \(0,\)",
        ),
        (
            lambda f=function(_name): f(np.ones(3), np.ones(2), "most"),
            ValueError,
            f"{_name}: mode must be one of full, same, valid; got 'most'",
        ),
        (
            lambda f=function(_name): f(np.ones(3), np.ones(2, dtype=bool)),
            DTypeError,
            f"{_name}: the dtype must be numeric; got bool",
        ),
    )
    add("convolve", function(_name), real(5), real(3), errors=_errors, name=_name)
    for _mode in ("full", "same", "valid"):
        add(
            "convolve",
            lambda a, v, f=function(_name), m=_mode: f(a, v, m),
            real(3),
            real(4),
            name=f"{_name}-{_mode}",
        )
    add(
        "convolve",
        lambda a, v, f=function(_name): f(a, v, "same"),
        cplx(4),
        cplx(3),
        name=f"{_name}-complex",
    )
add("convolve", F.convolve, ints(4), ints(3), name="convolve-int")
add("convolve", F.convolve, real(1), real(1), name="convolve-one")
