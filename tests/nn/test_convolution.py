import math

import numpy as np
import pytest

import volta
import volta.functional as F
from volta import ShapeError, nn
from volta.functional import random

pytestmark = pytest.mark.neural
KEY = random.key(0)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def test_is_the_convolution_with_the_weight_plus_the_bias():
    layer = nn.Conv1d(1, 2, 2, key=KEY)
    layer.weight = np.asarray([[[1.0, 10.0]], [[0.0, 1.0]]])
    layer.bias = np.asarray([0.5, 0.0])
    assert layer(np.asarray([[1.0, 2.0, 3.0]])).tolist() == [[21.5, 32.5], [2, 3]]


@pytest.mark.parametrize("make", [*CONVOLUTIONS, *TRANSPOSED])
def test_starts_as_torch_s_does(make):
    layer = make(24, 36, 3, groups=2, key=KEY)
    bound = 1 / math.sqrt(math.prod(layer.weight.shape[1:]))
    assert -bound <= layer.weight.min() < -0.97 * bound
    assert 0.97 * bound < layer.weight.max() < bound
    assert np.all(np.abs(layer.bias) <= bound)
    assert np.max(np.abs(layer.bias)) > 0.8 * bound
    assert layer.weight.dtype == layer.bias.dtype == np.float32


@pytest.mark.parametrize("algo", [a for a in F.ConvAlgo if a != "auto"])
@pytest.mark.parametrize("make", [nn.Conv2d, nn.ConvTranspose2d])
def test_the_algorithm_is_the_layer_s(make, algo, monkeypatch):
    layer = make(2, 3, 3, key=KEY, dtype="float64")
    x = np.random.default_rng(0).normal(size=(2, 2, 6, 5))
    expected = layer(x)
    assert layer.algo == "auto"
    layer.set_algo(algo)
    assert layer.algo == algo.value
    np.testing.assert_allclose(layer(x), expected, rtol=1e-10, atol=1e-12)
    listed = volta.trace(layer)(x)
    assert [e.params["algo"] for e in listed.entries if "algo" in e.params] == [algo.value]
    again = make(2, 3, 3, key=KEY, dtype="float64", algo=algo)
    np.testing.assert_array_equal(again(x), layer(x))


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", [(1, 2), "same", "valid"])
def test_margins_are_torchs(mode, padding):
    torch = pytest.importorskip("torch")
    options = {"padding": padding, "padding_mode": mode, "dilation": (2, 1)}
    layer = nn.Conv2d(2, 3, (3, 5), **options, key=KEY, dtype="float64")
    oracle = torch.nn.Conv2d(2, 3, (3, 5), **options).double()
    oracle.load_state_dict(volta.tree.to(nn.to_torch_state_dict(layer), xp=torch))
    x = np.random.default_rng(0).normal(size=(2, 2, 8, 7))
    np.testing.assert_allclose(layer(x), oracle(torch.tensor(x)).detach(), rtol=1e-12, atol=1e-13)


def test_a_transposed_one_reaches_a_size():
    layer = nn.ConvTranspose2d(2, 3, 3, stride=(2, 3), padding=1, key=KEY)
    x = np.ones((1, 2, 4, 5), np.float32)
    assert layer(x).shape == (1, 3, 7, 13)
    assert layer(x, output_size=(8, 15)).shape == (1, 3, 8, 15)
    np.testing.assert_array_equal(layer(x, output_size=(1, 3, 7, 13)), layer(x))
    message = (
        r"ConvTranspose2d: output_size must be from \(7, 13\) to \(8, 15\) for an input of shape "
        r"\(1, 2, 4, 5\); got \(9, 13\)"
    )
    with pytest.raises(ValueError, match=message):
        layer(x, output_size=(9, 13))


@pytest.mark.grad_check
def test_a_first_layer_and_a_decoder_train():
    encoder = nn.Conv2d(1, 4, 3, stride=2, padding=1, key=KEY, dtype="float64")
    decoder = nn.ConvTranspose2d(
        4, 1, 3, stride=2, padding=1, output_padding=1, key=random.key(1), dtype="float64"
    )
    model = nn.Sequential(encoder, nn.Tanh(), decoder)
    x = np.random.default_rng(0).normal(size=(8, 1, 8, 8))

    def loss(model):
        return F.mse_loss(model(x), x)

    optimizer = volta.optim.adam(1e-2)
    state, first = optimizer.init(model.parameters()), loss(model)
    for _ in range(60):
        grads = volta.grad(loss)(model)
        assert all(np.any(g != 0) for g in grads.values())
        updates, state = optimizer.update(grads, state, model.parameters())
        model.update(volta.optim.apply_updates(model.parameters(), updates))
    assert loss(model) < 0.7 * first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": 3}, "groups must divide in_channels and out_channels; got 3, 2 and 4"),
        ({"stride": 0}, "stride must be an int of at least 1, or one for each of 2 axes; got 0"),
        ({"padding": "full"}, "padding must be an int of at least 0, .* got 'full'"),
        ({"padding": "same", "stride": 2}, r"'same' must come with stride 1; got stride \(2, 2\)"),
        (
            {"padding_mode": "edge"},
            "must be one of zeros, reflect, replicate, circular; got 'edge'",
        ),
        ({"algo": "best"}, "algo must be one of direct, .* got 'best'"),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        nn.Conv2d(2, 4, 3, **options, key=KEY)


@pytest.mark.parametrize("options", [{"padding_mode": "reflect"}, {"padding": "same"}])
def test_arguments_of_transposed_ones_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match="padding_mode must be 'zeros', and padding ints; got"):
        nn.ConvTranspose2d(2, 4, 3, **options, key=KEY)


def test_an_input_that_does_not_fit_names_both_sides():
    layer = nn.Conv2d(2, 4, 3, key=KEY)
    message = r"got weight of shape \(4, 2, 3, 3\) and input of shape \(1, 3, 8, 8\)"
    with pytest.raises(ShapeError, match=message):
        layer(np.ones((1, 3, 8, 8)))
    with pytest.raises(ShapeError, match=message + r".* \(line: test_convolution.py:\d+\)"):
        volta.grad(lambda x: layer(x).sum())(np.ones((1, 3, 8, 8)))


def test_another_name_of_an_argument_is_explained():
    with pytest.raises(TypeError, match="Conv2d: takes no argument 'in_features'; did you"):
        nn.Conv2d(in_features=2, out_channels=4, kernel_size=3, key=KEY)


def test_representation():
    layer = nn.Conv2d(2, 4, (3, 1), padding="same", bias=False, key=KEY)
    assert repr(layer) == (
        "Conv2d(in_channels=2, out_channels=4, kernel_size=(3, 1), stride=(1, 1), padding='same', "
        "dilation=(1, 1), groups=1, padding_mode='zeros', algo='auto', bias=False)"
    )
