import math

import numpy as np
import pytest

import volta
from volta import ShapeError, nn
from volta.functional import random

pytestmark = pytest.mark.neural


def test_is_the_product_with_the_weight_plus_the_bias():
    layer = nn.Linear(2, 3, key=random.key(0))
    layer.weight = np.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    layer.bias = np.asarray([0.5, 0.0, -1.0])
    assert layer(np.asarray([1.0, 10.0])).tolist() == [41.5, 52, 62]
    assert layer(np.ones((7, 4, 2))).shape == (7, 4, 3)
    layer.bias = None
    assert layer(np.asarray([1.0, 10.0])).tolist() == [41, 52, 63]
    assert list(layer.parameters()) == ["weight"]


def test_starts_as_torch_s_does():
    layer = nn.Linear(400, 300, key=random.key(0))
    bound = 1 / math.sqrt(400)
    for p in (layer.weight, layer.bias):
        assert -bound <= p.min() < -0.97 * bound
        assert 0.97 * bound < p.max() < bound
    np.testing.assert_allclose(layer.weight.std(), bound / math.sqrt(3), rtol=0.01)
    np.testing.assert_allclose(layer.bias.std(), bound / math.sqrt(3), rtol=0.1)
    assert layer.weight.dtype == layer.bias.dtype == np.float32
    with volta.default_dtype("float64"):
        assert nn.Linear(2, 2, key=random.key(0)).weight.dtype == np.float64


def test_the_key_decides_the_values():
    first, same, other = (nn.Linear(3, 3, key=random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.weight, same.weight)
    assert not np.any(first.weight == other.weight)
    assert not np.any(first.weight[0] == first.bias)


def test_empty_sizes():
    assert nn.Linear(0, 2, key=random.key(0))(np.ones((3, 0))).tolist() == [[0, 0]] * 3
    assert nn.Linear(2, 0, key=random.key(0))(np.ones((3, 2))).shape == (3, 0)
    assert nn.Linear(2, 3, key=random.key(0))(np.ones((0, 2))).shape == (0, 3)


def test_negative_sizes_are_refused():
    with pytest.raises(
        ValueError, match="Linear: in_features and out_features must not be negative; got 2 and -1"
    ):
        nn.Linear(2, -1, key=random.key(0))


@pytest.mark.parametrize("shape", [(5, 3), (3,), (), (2, 0)])
def test_an_input_that_does_not_fit_names_both_sides(shape):
    layer = nn.Linear(2, 4, key=random.key(0))
    message = (
        r"Linear: the last axis of the input must have in_features=2 elements; got input of shape "
        rf"\({str(shape)[1:-1]}\) and weight of shape \(2, 4\)\."
    )
    with pytest.raises(ShapeError, match=message):
        layer(np.ones(shape))
    with pytest.raises(ShapeError, match=message[:-2] + r"\. .* \(line: test_linear.py:\d+\)"):
        volta.grad(lambda x: layer(x).sum())(np.ones(shape))


def test_representation():
    layer = nn.Linear(2, 4, bias=False, key=random.key(0))
    assert repr(layer) == "Linear(in_features=2, out_features=4, bias=False)"


def test_bilinear_forms_are_their_sums():
    layer = nn.Bilinear(3, 4, 2, key=random.key(0), dtype="float64")
    x1, x2 = (np.random.default_rng(i).normal(size=(5, 6, n)) for i, n in enumerate((3, 4)))
    expected = np.einsum("abi,kij,abj->abk", x1, layer.weight, x2) + layer.bias
    np.testing.assert_allclose(layer(x1, x2), expected, rtol=1e-12)
    bound = 1 / math.sqrt(3)
    for array in layer.parameters().values():
        assert np.all(np.abs(array) <= bound)
        assert np.abs(array).max() > 0.5 * bound


@pytest.mark.parametrize(
    ("shapes", "got"),
    [(((5, 2), (5, 4)), r"\(5, 2\), \(5, 4\)"), (((5, 3), (4, 4)), r"\(5, 3\), \(4, 4\)")],
)
def test_inputs_of_bilinear_forms_that_do_not_fit(shapes, got):
    layer = nn.Bilinear(3, 4, 2, key=random.key(0))
    with pytest.raises(ShapeError, match=rf"bilinear: .* got {got} and \(2, 3, 4\)"):
        layer(*map(np.ones, shapes))
    with pytest.raises(ValueError, match=r"Bilinear: numbers of features must be positive; got \("):
        nn.Bilinear(0, 4, 2, key=random.key(0))
