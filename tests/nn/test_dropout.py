import numpy as np
import pytest

import volta
import volta.functional as F
from volta import nn
from volta.functional import random

pytestmark = pytest.mark.neural


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_drops_a_share_and_scales_the_rest(p):
    x = np.ones((200, 500))
    y = nn.Dropout(p)(x, key=random.key(0))
    assert set(np.unique(y)) == {0.0, 1 / (1 - p)}
    np.testing.assert_allclose(np.mean(y == 0), p, atol=4 * np.sqrt(p * (1 - p) / x.size))


def test_the_key_decides_what_is_dropped():
    layer, x = nn.Dropout(), np.ones(100)
    first, same, other = (layer(x, key=random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert np.any(first != other)


def test_evaluation_and_p_0_return_the_input():
    x = np.ones(3)
    assert nn.Dropout().eval()(x) is x
    assert nn.Dropout().eval()(x, key=random.key(0)) is x
    assert nn.Dropout(0.0)(x) is x


def test_p_1_drops_everything():
    assert nn.Dropout(1.0)(np.ones(3), key=random.key(0)).tolist() == [0, 0, 0]


def test_training_needs_a_key():
    message = (
        r"dropout: a call in training must have a random key; got none. Pass "
        r"key=F.random.key\(seed\), a new one in each step, or training=False, as eval\(\) on a "
        r"model does."
    )
    with pytest.raises(ValueError, match=message):
        nn.Dropout()(np.ones(3))


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_p_is_a_probability(p):
    with pytest.raises(ValueError, match=f"Dropout: p must be from 0 to 1; got {p}."):
        nn.Dropout(p)


def test_the_derivative_is_the_mask():
    layer, x, key = nn.Dropout(), np.arange(1.0, 9.0), random.key(3)
    slope = volta.grad(lambda x: F.sum(layer(x, key=key)))(x)
    np.testing.assert_array_equal(slope, layer(x, key=key) / x)


def test_lanes_share_a_key_or_have_their_own():
    layer, x = nn.Dropout(), np.ones((3, 50))
    shared = volta.vmap(lambda x: layer(x, key=random.key(0)))(x)
    np.testing.assert_array_equal(shared, np.stack([layer(x[0], key=random.key(0))] * 3))
    keys = random.split(random.key(0), 3)
    own = volta.vmap(lambda x, key: layer(x, key=key))(x, keys)
    np.testing.assert_array_equal(own, np.stack([layer(x[0], key=key) for key in keys]))
