import math

import numpy as np
import pytest

from volta import ShapeError
from volta.functional import random
from volta.nn import init

pytestmark = pytest.mark.neural
KEY = random.key(0)
LINEAR, CONVOLUTION = (300, 200), (64, 32, 3, 5)  # (in, out) and (out, in, *kernel)

# Function, arguments, shape, standard deviation.
SPREADS = [
    (init.kaiming_uniform, {}, LINEAR, math.sqrt(2 / 300)),
    (init.kaiming_uniform, {"a": math.sqrt(5)}, LINEAR, math.sqrt(1 / 3 / 300)),
    (init.kaiming_uniform, {"mode": "fan_out"}, LINEAR, math.sqrt(2 / 200)),
    (init.kaiming_uniform, {"nonlinearity": "tanh"}, LINEAR, 5 / 3 / math.sqrt(300)),
    (init.kaiming_uniform, {}, CONVOLUTION, math.sqrt(2 / (32 * 15))),
    (init.kaiming_uniform, {"mode": "fan_out"}, CONVOLUTION, math.sqrt(2 / (64 * 15))),
    (init.kaiming_normal, {"nonlinearity": "relu"}, LINEAR, math.sqrt(2 / 300)),
    (init.kaiming_normal, {"mode": "fan_out"}, CONVOLUTION, math.sqrt(2 / (64 * 15))),
    (init.xavier_uniform, {}, LINEAR, math.sqrt(2 / 500)),
    (init.xavier_uniform, {"gain": 3.0}, CONVOLUTION, 3 * math.sqrt(2 / (96 * 15))),
    (init.xavier_normal, {}, LINEAR, math.sqrt(2 / 500)),
    (init.xavier_normal, {"gain": 3.0}, LINEAR, 3 * math.sqrt(2 / 500)),
    (init.lecun_normal, {}, LINEAR, math.sqrt(1 / 300)),
    (init.uniform, {}, LINEAR, 1 / math.sqrt(12)),
    (init.uniform, {"a": -1.0, "b": 3.0}, LINEAR, 4 / math.sqrt(12)),
    (init.normal, {}, LINEAR, 1.0),
    (init.normal, {"mean": 5.0, "std": 0.1}, LINEAR, 0.1),
]


@pytest.mark.parametrize(("make", "arguments", "shape", "std"), SPREADS)
def test_spread(make, arguments, shape, std):
    x = make(KEY, shape, **arguments)
    assert x.shape == shape
    assert x.dtype == np.float32
    np.testing.assert_allclose(x.std(), std, rtol=0.02)
    if "uniform" in make.__name__:
        half = (x.max() - x.min()) / 2
        assert 0.99 * math.sqrt(3) * std < half <= 1.000001 * math.sqrt(3) * std
    else:
        assert np.abs(x - x.mean()).max() > 3 * std


def test_means():
    assert abs(init.normal(KEY, LINEAR, mean=5.0).mean() - 5) < 0.02
    assert abs(init.uniform(KEY, LINEAR, 1.0, 3.0).mean() - 2) < 0.01
    assert abs(init.kaiming_normal(KEY, LINEAR).mean()) < 0.002


def test_aliases():
    assert init.he_uniform is init.kaiming_uniform
    assert init.he_normal is init.kaiming_normal
    assert init.glorot_uniform is init.xavier_uniform
    assert init.glorot_normal is init.xavier_normal


@pytest.mark.parametrize("name", init.__all__)
@pytest.mark.parametrize("library", ["numpy", "array_api_strict", "torch"])
def test_where_and_what(name, library):
    if name == "calculate_gain":
        return
    xp = pytest.importorskip(library)
    make = getattr(init, name)
    kind = type(xp.asarray([1.0]))
    at_key = make(random.key(0, xp=xp), (3, 4), dtype="float64")
    asked = make(KEY, (3, 4), xp=xp)
    assert type(at_key) is type(asked) is kind
    assert (at_key.dtype, asked.dtype) == (xp.float64, xp.float32)
    np.testing.assert_array_equal(np.from_dlpack(asked), make(KEY, (3, 4)))


@pytest.mark.parametrize("name", init.__all__)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_dtypes(name, dtype):
    if name != "calculate_gain":
        assert getattr(init, name)(KEY, (3, 4), dtype=dtype).dtype.name == dtype


def test_constants():
    assert init.zeros(KEY, (2, 3)).tolist() == [[0.0] * 3] * 2
    assert init.ones(KEY, (3,), dtype="float16").tolist() == [1.0] * 3


def test_gains_are_torch_s():
    torch = pytest.importorskip("torch")
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "selu"):
        assert init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    assert init.calculate_gain("leaky_relu") == torch.nn.init.calculate_gain("leaky_relu")
    assert init.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain("leaky_relu", 0.3)


def test_errors():
    with pytest.raises(
        ShapeError, match=r"xavier_uniform: the shape must have at least two axes; got \(3,\)\."
    ):
        init.xavier_uniform(KEY, (3,))
    with pytest.raises(
        ValueError, match="kaiming_normal: mode must be 'fan_in' or 'fan_out'; got 'fan'"
    ):
        init.kaiming_normal(KEY, (3, 3), mode="fan")
    with pytest.raises(
        ValueError, match=r"calculate_gain: nonlinearity must be one of linear, .* got 'gelu'"
    ):
        init.kaiming_uniform(KEY, (3, 3), nonlinearity="gelu")
