"""Rows of `volta/functional/convolution.py`."""

import numpy as np

import volta
import volta.functional as F
from samples.sample import add, cplx, ints, real
from volta.core.errors import DTypeError, ShapeError

SPACE = {1: (5,), 2: (5, 4), 3: (3, 4, 2)}
KERNEL = {1: (3,), 2: (3, 2), 3: (2, 2, 1)}
ALGORITHMS = [a.value for a in F.ConvAlgo if a != "auto"]


def gradient(of, function):
    """The other two maps, which only derivatives apply."""
    return lambda x, w, ct: volta.vjp(function, x, w)[1](ct)[of]


for _nd in (1, 2, 3):
    _name, _function = f"conv{_nd}d", getattr(F, f"conv{_nd}d")
    add(
        "conv",
        _function,
        real(2, 4, *SPACE[_nd]),
        real(2, 4, *KERNEL[_nd]),
        real(2),
        name=_name,
        errors=(
            (
                lambda f=_function, n=_nd: f(
                    np.ones((1, 2, *(2,) * n)), np.ones((1, 2, *(4,) * n))
                ),
                ShapeError,
                rf"{_name}: the kernel must .* fit into the padded input; got weight of shape "
                rf"\(1, 2, .*4.*\) and input of shape \(1, 2, .*2.*\)",
            ),
            (
                lambda f=_function, n=_nd: f(
                    np.ones((1, 2, *(2,) * n)), np.ones((1, 3, *(1,) * n))
                ),
                ShapeError,
                rf"{_name}: the weight .* must fit the input's channels in 1 groups",
            ),
            (
                lambda f=_function, n=_nd: f(np.ones(3), np.ones((1, 3, *(1,) * n))),
                ShapeError,
                rf"{_name}: the input must have axes .* got input of shape \(3,\) and weight",
            ),
        ),
    )
    add(
        "conv",
        lambda x, w, f=_function: f(x, w, stride=2, padding=1, dilation=2, groups=2),
        real(1, 4, *SPACE[_nd]),
        real(2, 2, *KERNEL[_nd]),
        name=f"{_name}-strided",
    )
    _name, _function = f"conv_transpose{_nd}d", getattr(F, f"conv_transpose{_nd}d")
    add(
        "conv_input",
        _function,
        real(1, 2, *KERNEL[_nd]),
        real(2, 3, *KERNEL[_nd]),
        real(3),
        name=_name,
        errors=(
            (
                lambda f=_function, n=_nd: f(
                    np.ones((1, 2, *(2,) * n)), np.ones((2, 1, *(2,) * n)), padding=2
                ),
                ShapeError,
                rf"{_name}: input and kernel must .* got input of shape \(1, 2, .* and weight",
            ),
        ),
    )
    add(
        "conv_input",
        lambda x, w, f=_function: f(x, w, None, 3, 1, 2, 2, 2),
        real(1, 2, *(2,) * _nd),
        real(2, 1, *KERNEL[_nd]),
        name=f"{_name}-strided",
    )

for _algo in ALGORITHMS:
    add(
        "conv",
        lambda x, w, a=_algo: F.conv2d(x, w, padding=1, algo=a),
        real(2, 2, 4, 5),
        real(2, 2, 3, 3),
        name=f"conv2d-{_algo}",
        sixteen="the error is relative to larger numbers" if _algo == "winograd4" else "",
    )
add("conv", lambda x, w: F.conv2d(x, w), cplx(1, 2, 3, 3), cplx(2, 2, 2, 2), name="conv2d-complex")
add(
    "conv",
    lambda x, w: F.conv2d(x, w),
    ints(1, 2, 3, 3),
    ints(2, 2, 2, 2),
    name="conv2d-int",
    cuda="it has no products of integers there",
)
add(
    "conv",
    lambda x, w: F.conv2d(x, w, padding="same"),
    real(2, 3, 3),
    real(2, 2, 2, 3),
    name="conv2d-same",
    errors=(
        (
            lambda: F.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 1, 1), bool)),
            DTypeError,
            "conv2d: input and weight must be of numeric dtypes that promote; got float64 and bool",
        ),
    ),
)
add(
    "conv_weight",
    gradient(1, lambda x, w: F.conv2d(x, w, stride=(1, 2), padding=1, groups=2)),
    real(2, 4, 4, 3),
    real(2, 2, 3, 2),
    real(2, 2, 4, 2),
    name="conv_weight",
    diff=(0, 2),
)
