import math

import numpy as np
import pytest

from volta import ShapeError, nn
from volta.functional import random
from volta.nn import init

pytestmark = pytest.mark.neural
KEY = random.key(0)
NEEDED = {"constant": (0.5,), "sparse": (0.5,)}  # arguments without a default
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
    (init.trunc_normal, {}, LINEAR, 0.87963),  # √(1 − 4 φ(2) / (2 Φ(2) − 1))
    (init.trunc_normal, {"std": 0.1}, LINEAR, 0.1),
    (init.sparse, {"sparsity": 0.75}, LINEAR, 0.005),
    (init.sparse, {"sparsity": 0.0, "std": 0.3}, LINEAR, 0.3),
    (init.orthogonal, {}, LINEAR, math.sqrt(1 / 300)),
    (init.orthogonal, {"gain": 3.0}, CONVOLUTION, 3 * math.sqrt(1 / (32 * 15))),
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
    elif make is not init.trunc_normal or arguments:
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


MAKERS = [name for name in init.__all__ if name != "calculate_gain"]


def called(name, key, **where):
    shape = (3, 4, 3) if name == "dirac" else (3, 4)
    return getattr(init, name)(key, shape, *NEEDED.get(name, ()), **where)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("library", ["numpy", "array_api_strict", "torch"])
def test_where_and_what(name, library):
    xp = pytest.importorskip(library)
    kind = type(xp.asarray([1.0]))
    at_key = called(name, random.key(0, xp=xp), dtype="float64")
    asked = called(name, KEY, xp=xp)
    assert type(at_key) is type(asked) is kind
    assert (at_key.dtype, asked.dtype) == (xp.float64, xp.float32)
    host = called(name, KEY)
    tolerance = 2e-6 if name in ("orthogonal", "trunc_normal") else 0  # of erfinv, and of QR
    np.testing.assert_allclose(np.from_dlpack(asked), host, rtol=tolerance, atol=tolerance)
    assert host.dtype == np.float32


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_dtypes(name, dtype):
    assert called(name, KEY, dtype=dtype).dtype.name == dtype


def test_constants():
    assert init.zeros(KEY, (2, 3)).tolist() == [[0.0] * 3] * 2
    assert init.ones(KEY, (3,), dtype="float16").tolist() == [1.0] * 3
    assert init.constant(KEY, (2, 2), 7).tolist() == [[7.0] * 2] * 2
    assert init.eye(KEY, (3, 2)).tolist() == [[1, 0], [0, 1], [0, 0]]


def test_torchs_list_is_here():
    torch = pytest.importorskip("torch")
    theirs = {n[:-1] for n in dir(torch.nn.init) if n.endswith("_") and n[0] != "_"}
    assert theirs - set(init.__all__) == set()


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (6, 2, 3), (2, 3, 2, 2), (1, 1)])
def test_orthogonal(shape):
    x = init.orthogonal(KEY, shape, 1.5, dtype="float64").reshape(shape[0], -1)
    x = x if x.shape[0] >= x.shape[1] else x.T
    np.testing.assert_allclose(x.T @ x, 2.25 * np.eye(x.shape[1]), atol=1e-13)


def test_orthogonal_is_drawn_evenly():
    """Haar's distribution: the mean of a matrix is 0, and that of its trace's square is 1."""
    draws = np.stack([init.orthogonal(k, (3, 3)) for k in random.split(KEY, 400)])
    assert np.abs(draws.mean(0)).max() < 0.12
    np.testing.assert_allclose((np.trace(draws, axis1=1, axis2=2) ** 2).mean(), 1.0, atol=0.25)


def test_trunc_normal():
    x = init.trunc_normal(KEY, (20000,), 1.0, 2.0, 0.5, 4.0, dtype="float64")
    assert 0.5 <= x.min() < 0.501
    assert 3.99 < x.max() <= 4.0
    stats = pytest.importorskip("scipy.stats")
    law = stats.truncnorm(-0.25, 1.5, 1.0, 2.0)
    assert stats.kstest(x, law.cdf).pvalue > 0.01
    narrow = init.trunc_normal(KEY, (20000,), 0.1, 0.3, 0.7, 0.70001)  # some round to more
    assert narrow.max() == np.float32(0.70001)


def test_sparse():
    x = init.sparse(KEY, (400, 10), 0.65, 2.0)
    zeros = x == 0
    assert set(zeros.sum(1)) == {7}
    np.testing.assert_allclose(zeros.mean(0), 0.7, atol=0.1)
    np.testing.assert_allclose(x[~zeros].std(), 2.0, rtol=0.05)
    assert not init.sparse(KEY, (4, 10), 1.0).any()


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("shape", [(6, 2, 3), (6, 4, 3, 4), (3, 5, 2, 3, 1)])
def test_dirac_is_torchs(shape, groups):
    torch = pytest.importorskip("torch")
    expected = torch.nn.init.dirac_(torch.empty(shape), groups).numpy()
    np.testing.assert_array_equal(init.dirac(KEY, shape, groups), expected)
    assert expected.any()


def test_dirac_passes_images_on():
    layer = nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False, key=KEY)
    layer.weight = init.dirac(KEY, layer.weight.shape, 2)
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 6)).astype(np.float32)
    np.testing.assert_allclose(layer(x), x, rtol=1e-6)


def test_gains_are_torch_s():
    torch = pytest.importorskip("torch")
    convolutions = [f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)]
    for name in ("linear", *convolutions, "sigmoid", "tanh", "relu", "selu"):
        assert init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    assert init.calculate_gain("leaky_relu") == torch.nn.init.calculate_gain("leaky_relu")
    assert init.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain("leaky_relu", 0.3)


def test_errors():
    with pytest.raises(ShapeError, match=r"eye: the shape must have 2 axes; got \(3,\)\."):
        init.eye(KEY, (3,))
    with pytest.raises(ShapeError, match=r"sparse: the shape must have 2 axes; got \(3, 2, 1\)\."):
        init.sparse(KEY, (3, 2, 1), 0.5)
    with pytest.raises(ValueError, match=r"sparse: sparsity must be from 0 to 1; got 1\.5"):
        init.sparse(KEY, (3, 2), 1.5)
    with pytest.raises(ShapeError, match=r"dirac: the shape must have 3 or 4 or 5 axes; got \(3,"):
        init.dirac(KEY, (3, 2))
    with pytest.raises(ValueError, match="dirac: groups must divide the number of outputs; got 2 "):
        init.dirac(KEY, (3, 2, 1), 2)
    with pytest.raises(ShapeError, match="orthogonal: the shape must have at least two axes; got"):
        init.orthogonal(KEY, (3,))
    for wrong in ({"std": 0.0}, {"a": 2.0}):
        with pytest.raises(
            ValueError, match="trunc_normal: std must be positive, and a less than b; got std="
        ):
            init.trunc_normal(KEY, (3,), **wrong)
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
