import numpy as np
import pytest

import volta
import volta.functional as F
from volta import DimensionError, ShapeError, nn
from volta.functional import random

pytestmark = pytest.mark.neural
KEY = random.key(0)
TABLE = np.arange(12.0).reshape(4, 3)


def test_initial_values_are_normal():
    weight = nn.Embedding(300, 200, key=KEY).weight
    np.testing.assert_allclose([weight.mean(), weight.var()], [0, 1], atol=0.02)


@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
@pytest.mark.parametrize("padding_idx", [1, -3])
def test_padding_starts_at_zero_and_stays_there(kind, padding_idx):
    layer = kind(4, 3, padding_idx=padding_idx, key=KEY)
    assert layer.padding_idx == 1
    np.testing.assert_array_equal(layer.weight[1], 0)
    assert np.all(layer.weight[[0, 2, 3]] != 0)
    x = np.asarray([[0, 1], [3, 2]])
    grad = volta.grad(lambda layer: F.sum(layer(x)))(layer)["weight"]
    np.testing.assert_array_equal(grad[1], 0)
    assert np.all(grad[[0, 2, 3]] != 0)


@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
def test_tables_that_are_there_already(kind):
    layer = kind.from_pretrained(TABLE, padding_idx=-1)
    assert layer.parameters() == {}
    assert list(layer.state_dict()) == ["weight"]
    assert (layer.num_embeddings, layer.embedding_dim, layer.padding_idx) == (4, 3, 3)
    np.testing.assert_array_equal(layer.weight[3], TABLE[3])
    assert list(kind.from_pretrained(TABLE, freeze=False).parameters()) == ["weight"]
    with pytest.raises(ShapeError, match=r"embeddings must have two axes; got shape \(3,\)"):
        kind.from_pretrained(TABLE[0])


def test_an_embedding_may_be_tied_to_a_linear_map():
    model = nn.Sequential(
        embed=nn.Embedding(5, 3, key=KEY), out=nn.Linear(3, 5, bias=False, key=KEY)
    )
    nn.tie(model, "embed.weight", "out.weight", transpose=True)
    grads = volta.grad(lambda m: F.sum(m(np.asarray([0, 2]))))(model)
    assert list(grads) == ["embed.weight"]
    assert np.all(grads["embed.weight"] != 0)


def test_max_norm_shortens_and_writes_nothing():
    layer = nn.Embedding.from_pretrained(TABLE, max_norm=2.0)
    y = layer(np.asarray([0, 1]))
    np.testing.assert_allclose(np.linalg.norm(y, axis=-1), 2.0, rtol=1e-6)
    np.testing.assert_array_equal(layer.weight, TABLE)


def test_bags_of_a_list():
    layer = nn.EmbeddingBag.from_pretrained(TABLE, mode="sum", include_last_offset=True)
    out = layer(np.asarray([0, 1, 3]), np.asarray([0, 2, 3]), np.asarray([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(out, [TABLE[0] + 2 * TABLE[1], 3 * TABLE[3]])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Embedding(0, 3, key=KEY), ValueError, "Embedding: num_embeddings must be pos"),
        (lambda: nn.Embedding(2, -1, key=KEY), ValueError, "got 2 and -1"),
        (
            lambda: nn.Embedding(2, 3, padding_idx=2, key=KEY),
            DimensionError,
            "Embedding: padding_idx must be from -2 to 1; got 2",
        ),
        (
            lambda: nn.EmbeddingBag(2, 3, mode="min", key=KEY),
            ValueError,
            "EmbeddingBag: mode must be 'sum', 'mean' or 'max'; got 'min'",
        ),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()
