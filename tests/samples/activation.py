"""Rows of the activation functions: `volta/functional/activation.py` and its neighbours."""

import numpy as np

import volta.functional as F
from samples.sample import add, compose, function, real
from volta.core.errors import ShapeError
from volta.core.primitive import REGISTRY
from volta.functional import exponential_unit
from volta.functional.activation import _squareplus_slope

KEY = np.asarray([1, 2], dtype=np.uint32)

for _name in ("relu", "sigmoid", "silu", "gelu", "mish", "softplus", "logsigmoid", "softsign"):
    add(_name, function(_name), real(2, 3))
for _name in ("tanhshrink", "hardsigmoid", "hardswish"):
    add(_name, function(_name), real(3, 3, low=-4.0, high=4.0))
add("gelu_tanh", lambda x: F.gelu(x, "tanh"), real(2, 3), of="gelu", name="gelu-tanh")
for _name in ("silu", "gelu", "gelu_tanh", "mish"):
    add(f"{_name}_slope", REGISTRY[f"{_name}_slope"].call, real(2, 3))
compose("softplus-sharp", lambda x: F.softplus(x, 2.5, threshold=3.0), real(2, 3))

add("_elu", lambda x: F.elu(x, 0.7), real(2, 3), name="elu")
add("_elu", F.elu, real(2, 3), np.asarray(0.7), name="elu-learned")
add("_elu", lambda x: F.celu(x, 0.7), real(2, 3), name="celu")
add("_elu", F.selu, real(2, 3), name="selu")
add("_elu", exponential_unit._elu, real(2, 3), real(3), real(3, low=0.3), name="elu-rate")
add("_elu_slope", exponential_unit._elu_slope, real(2, 3), real(3), real(3, low=0.3))
add("_squareplus", F.squareplus, real(2, 3), name="squareplus")
add("_squareplus", F.squareplus, real(2, 3), np.asarray([2.0, 3.0, 4.0]), name="squareplus-learned")
add("_squareplus_slope", _squareplus_slope, real(2, 3), np.asarray([2.0, 3.0, 4.0]))

add("_leaky", F.leaky_relu, real(2, 3), name="leaky_relu")
add(
    "_leaky",
    F.prelu,
    real(2, 3, 2),
    real(3, low=0.1),
    name="prelu",
    vmap="weight is along axis 1, which the row's lanes shift",
)
add("_leaky", F.rrelu, real(2, 3), name="rrelu")
add("_hardtanh", lambda x: F.hardtanh(x, -0.7, 0.8), real(3, 4), name="hardtanh")
add("_hardtanh", F.relu6, real(3, 4, low=-8.0, high=8.0), name="relu6")
add("_hardshrink", F.hardshrink, real(3, 4), name="hardshrink")
add("_softshrink", F.softshrink, real(3, 4), name="softshrink")
add("_softshrink", F.softshrink, real(3, 4), np.asarray(0.4), name="softshrink-learned")
compose("threshold", lambda x: F.threshold(x, 0.4, 9.0), real(3, 4))

compose("softmin", F.softmin, real(2, 3))
add(
    "",
    lambda x: F.glu(x, axis=0),
    real(4, 3),
    name="glu",
    errors=(
        (
            lambda: F.glu(np.ones((2, 3))),
            ShapeError,
            r"glu: the length of axis 1 must be even; got 3 of shape \(2, 3\)",
        ),
    ),
)
compose(
    "gumbel_softmax",
    lambda x: F.gumbel_softmax(x, 0.7, axis=0, key=KEY),
    real(3, 2),
    coarse="other numbers are drawn in other dtypes",
)
