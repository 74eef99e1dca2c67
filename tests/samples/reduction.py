"""Rows of `volta/functional/reduction.py`."""

import numpy as np

import volta.functional as F
from samples.sample import add, compose, cplx, function, ints, real
from volta.core.errors import DimensionError, ShapeError

for _name in ("sum", "mean", "prod", "max", "min"):
    _axis_error = (
        lambda f=function(_name): f(np.ones((2, 3)), axis=2),
        DimensionError,
        r"axis must be from -2 to 1; got 2",
    )
    _twice_error = (
        lambda f=function(_name): f(np.ones((2, 3)), axis=(0, -2)),
        ShapeError,
        "each axis must be named once",
    )
    add(_name, function(_name), real(2, 3), errors=(_axis_error, _twice_error))
    add(_name, lambda x, f=function(_name): f(x, axis=1), real(2, 3, 2), name=f"{_name}-axis")
    add(
        _name,
        lambda x, f=function(_name): f(x, axis=(0, -1), keepdims=True),
        real(2, 3, 2),
        name=f"{_name}-keepdims",
    )
    add(_name, lambda x, f=function(_name): f(x, axis=()), real(2, 3), name=f"{_name}-no-axis")
add("sum", F.sum, cplx(2, 3), name="sum-complex")
add("sum", F.sum, ints(2, 3), name="sum-int")
add("mean", F.mean, cplx(2, 3), name="mean-complex")
add("prod", F.prod, cplx(2, 3), name="prod-complex")
add("prod", F.prod, np.asarray([2.0, 0.0, 3.0, 0.5]), name="prod-zero")
add("prod", F.prod, np.asarray([2.0, 0.0, 3.0, 0.0, 0.7]), name="prod-two-zeros")
_cumulative_errors = (
    (
        lambda: F.cumulative_sum(np.ones((2, 3))),
        DimensionError,
        r"cumulative_sum: axis must be given unless the array has one axis; got \(2, 3\)",
    ),
    (lambda: F.cumulative_sum(np.ones(2), axis=1), DimensionError, "axis must be from -1 to 0"),
)
add("cumulative_sum", F.cumulative_sum, real(5), errors=_cumulative_errors)
add(
    "cumulative_sum",
    lambda x: F.cumulative_sum(x, axis=1, include_initial=True),
    real(2, 3, 2),
    name="cumulative_sum-initial",
)
add(
    "cumulative_sum",
    lambda x: F.cumulative_sum(x, axis=-2),
    cplx(3, 2),
    name="cumulative_sum-complex",
)
add("cumulative_sum", F.cumulative_sum, ints(4), name="cumulative_sum-int")
for _name in ("max", "min", "argmax", "argmin"):
    _empty = (
        lambda f=function(_name): f(np.ones((0, 3)), axis=0),
        ShapeError,
        "there must be an element along axis",
    )
    add(_name, function(_name), real(2, 3), diff=(), errors=(_empty,), name=f"{_name}-empty-error")
for _name in ("argmax", "argmin"):
    add(_name, lambda x, f=function(_name): f(x, axis=-1, keepdims=True), real(2, 3), diff=())
for _name in ("all", "any", "count_nonzero"):
    add(_name, lambda x, f=function(_name): f(x, axis=0), ints(2, 3, high=2))
add("softmax", lambda x: F.softmax(x, axis=0), real(3, 2))
add(
    "log_softmax",
    F.log_softmax,
    real(2, 3),
    errors=((lambda: F.log_softmax(np.ones(2), axis=1), DimensionError, "log_softmax: axis"),),
)
for _name, _primitive in (
    ("nansum", "sum"),
    ("nanprod", "prod"),
    ("nanmax", "max"),
    ("nanmin", "min"),
    ("nanmean", "sum"),
    ("nanvar", "sum"),
    ("nanstd", "sum"),
):
    add(
        _primitive,
        lambda x, f=function(_name): f(F.where(np.eye(4, 3) > 0, np.nan, x), axis=0),
        real(4, 3),
        name=_name,
    )
add(
    "sum",
    lambda x, w: F.average(x, axis=1, weights=w),
    real(4, 3),
    real(3, low=1.0),
    name="average",
)
add("cumulative_prod", F.cumulative_prod, real(5, low=0.3))
add(
    "cumulative_prod",
    lambda x: F.cumulative_prod(x, axis=1, include_initial=True),
    real(2, 3, 2),
    name="cumulative_prod-initial",
)
add(
    "cumulative_prod",
    F.cumulative_prod,
    np.asarray([2.0, 0.0, 3.0, 0.5]),
    name="cumulative_prod-zero",
)
add(
    "cumulative_prod",
    F.cumulative_prod,
    np.asarray([2.0, 0.0, 3.0, 0.0, 0.7]),
    name="cumulative_prod-two-zeros",
)
add(
    "cumulative_prod",
    lambda x: F.cumulative_prod(x, axis=0),
    cplx(3, 2),
    name="cumulative_prod-complex",
)
add(
    "cumulative_prod",
    F.cumulative_prod,
    ints(4),
    errors=(
        (
            lambda: F.cumulative_prod(np.ones((2, 3))),
            DimensionError,
            "cumulative_prod: axis must be given unless the array has one axis",
        ),
    ),
    name="cumulative_prod-int",
)
for _name in ("std", "var"):
    compose(_name, lambda x, f=function(_name): f(x, axis=1, correction=1.0), real(2, 4))
    compose(f"{_name}-keepdims", lambda x, f=function(_name): f(x, keepdims=True), real(2, 3))
compose("logsumexp", F.logsumexp, real(2, 3))
compose("logsumexp-axis", lambda x: F.logsumexp(x, axis=0, keepdims=True), real(3, 2))
compose("diff", F.diff, real(2, 4))
compose(
    "diff-ends",
    lambda x, y, z: F.diff(x, axis=0, n=2, prepend=y, append=z),
    real(3, 2),
    real(1, 2),
    real(2, 2),
)
for _name in ("cumulative_max", "cumulative_min", "cumulative_logsumexp"):
    _no_axis = (
        lambda f=function(_name): f(np.ones((2, 3))),
        DimensionError,
        f"{_name}: axis must be given unless the array has one axis",
    )
    add(_name, function(_name), real(6), errors=(_no_axis,))
    add(_name, lambda x, f=function(_name): f(x, axis=1), real(2, 4, 2), name=f"{_name}-axis")
    add(_name, lambda x, f=function(_name): f(x, axis=0), real(1, 2), name=f"{_name}-one")
add("cumulative_max", lambda x: F.cumulative_max(x, axis=0), ints(4, 2), name="cumulative_max-int")
add(
    "cumulative_logsumexp",
    lambda x: F.cumulative_logsumexp(F.where(x > 1.0, -np.inf, x)),
    real(7),
    name="cumulative_logsumexp-infinite",
)
