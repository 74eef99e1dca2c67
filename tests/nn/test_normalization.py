import numpy as np
import pytest

import volta
import volta.functional as F
from volta import ShapeError, TraceError, nn
from volta.functional import random

pytestmark = pytest.mark.neural


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.BatchNorm2d(3), (2, 3, 4, 4)),
        (nn.InstanceNorm1d(3, track_running_stats=True), (2, 3, 4)),
    ],
)
def test_updates_inside_a_transform_are_refused(layer, shape):
    x = normal(*shape)
    name = type(layer).__name__
    message = rf"{name}\.running_mean: a buffer must not change inside a transform .*stateful_call"
    for call in (
        lambda: volta.grad(lambda x: F.sum(layer(x)))(x),
        lambda: volta.vmap(layer)(x[None]),
        lambda: nn.functional_call(layer, {}, x),
    ):
        with pytest.raises(TraceError, match=message):
            call()
    np.testing.assert_array_equal(layer.running_mean, 0)
    assert volta.grad(lambda x: F.sum(layer.eval()(x)))(x).shape == shape


def test_a_model_learns_and_tracks_through_stateful_call():
    key = random.key(0)
    model = nn.Sequential(nn.Linear(4, 8, key=key), nn.BatchNorm1d(8), nn.ReLU())
    x = normal(16, 4)

    def loss(params, buffers):
        y, buffers = nn.stateful_call(model, params, buffers, x)
        return F.sum(y**2), buffers

    grads, buffers = volta.grad(loss, has_aux=True)(model.parameters(), model.buffers())
    assert all(np.any(g != 0) for name, g in grads.items() if name != "0.bias")
    np.testing.assert_allclose(grads["0.bias"], 0, atol=1e-4)  # the mean takes it away
    hidden = model[0](x)
    np.testing.assert_allclose(
        buffers["1.running_mean"], 0.1 * hidden.mean(0), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        buffers["1.running_var"], 0.9 + 0.1 * hidden.var(0, ddof=1), rtol=1e-4
    )
    assert buffers["1.num_batches_tracked"] == 1
    assert model[1].num_batches_tracked == 0
    model.update(buffers)
    model(x)
    assert model[1].num_batches_tracked == 2


def test_models_in_lanes_have_statistics_of_their_own():
    layer = nn.BatchNorm1d(2)
    x = normal(3, 8, 2)
    y, buffers = volta.vmap(lambda x: nn.stateful_call(layer, {}, {}, x))(x)
    for i in range(3):
        expected, single = nn.stateful_call(layer, {}, {}, x[i])
        np.testing.assert_allclose(y[i], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(buffers["running_var"][i], single["running_var"], rtol=1e-6)


def test_momentum_none_averages_all_batches():
    layer = nn.BatchNorm1d(2, momentum=None)
    batches = [normal(5, 2, seed=seed) for seed in range(4)]
    for x in batches:
        layer(x)
    assert layer.num_batches_tracked == 4
    np.testing.assert_allclose(
        layer.running_mean, np.mean([x.mean(0) for x in batches], 0), rtol=1e-5
    )


def test_one_value_a_channel_cannot_be_normalized():
    layer = nn.BatchNorm1d(3)
    with pytest.raises(ValueError, match=r"batch_norm: each channel must have more than one value"):
        layer(normal(1, 3))
    assert all(np.all(np.isfinite(b)) for b in layer.buffers().values())
    assert np.all(np.isfinite(layer.eval()(normal(1, 3))))


def test_without_tracking_the_batch_normalizes_in_evaluation_too():
    layer = nn.BatchNorm1d(3, track_running_stats=False).eval()
    x = normal(6, 3)
    np.testing.assert_allclose(layer(x).mean(0), 0, atol=1e-6)
    assert layer.state_dict().keys() == {"weight", "bias"}


@pytest.mark.parametrize("kind", ["BatchNorm1d", "InstanceNorm1d", "GroupNorm"])
def test_a_weight_without_a_bias(kind):
    """As in PyTorch from version 2.13 on; here against the layer whose bias is zeros."""
    sizes = (2, 4) if kind == "GroupNorm" else (4,)
    layer, whole = (getattr(nn, kind)(*sizes, affine=True, bias=b) for b in (False, True))
    weight = normal(4)
    layer.weight = whole.weight = weight
    assert list(layer.parameters()) == ["weight"]
    x = normal(3, 4, 5)
    np.testing.assert_array_equal(layer(x), whole(x))

    def loss(layer):
        return F.sum(layer(x) ** 3)

    grads = [volta.grad(loss)(model.eval()) for model in (layer, whole)]
    np.testing.assert_allclose(grads[0]["weight"], grads[1]["weight"], rtol=1e-12)
    assert getattr(nn, kind)(*sizes, affine=False, bias=True).parameters() == {}


def test_a_momentum_of_the_old_statistics_is_doubted():
    message = (
        "BatchNorm1d: momentum is the weight of the new statistics, 0.1 by default; got 0.99. "
        "Keras and Flax mean that of the old ones: 0.01 here."
    )
    with pytest.warns(UserWarning, match=message) as caught:
        nn.BatchNorm1d(3, momentum=0.99)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="InstanceNorm2d: momentum is") as caught:
        nn.InstanceNorm2d(3, momentum=0.9)
    assert caught[0].filename == __file__
    nn.BatchNorm1d(3, momentum=0.5)


def test_statistics_are_no_parameters_and_survive_freezing():
    layer = nn.BatchNorm1d(2)
    assert list(layer.parameters()) == ["weight", "bias"]
    layer.freeze()
    assert layer.parameters() == {}
    assert list(layer.buffers()) == ["running_mean", "running_var", "num_batches_tracked"]
    layer.unfreeze()
    assert list(layer.parameters()) == ["weight", "bias"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.BatchNorm2d(0), "BatchNorm2d: num_features must be positive; got 0"),
        (lambda: nn.LayerNorm((3, 0)), "LayerNorm: normalized_shape must be positive; got 0"),
        (lambda: nn.RMSNorm(-1), "RMSNorm: normalized_shape must be positive; got -1"),
        (lambda: nn.GroupNorm(2, 3), "num_groups must divide num_channels; got 2 and 3"),
        (lambda: nn.GroupNorm(0, 3), "GroupNorm: num_groups must be positive; got 0"),
        (lambda: nn.LocalResponseNorm(0), "LocalResponseNorm: size must be positive; got 0"),
    ],
)
def test_sizes_that_are_none(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.BatchNorm1d(3)(normal(2, 3, 4, 4)), r"BatchNorm1d: x must have 2 or 3 axes"),
        (lambda: nn.BatchNorm2d(3)(normal(2, 3)), r"must have 4 axes; got shape \(2, 3\)"),
        (lambda: nn.BatchNorm1d(3)(normal(2, 4)), r"num_features=3 channels; got shape \(2, 4\)"),
        (
            lambda: nn.InstanceNorm1d(3)(normal(2, 4)),
            r"num_features=3 channels; got shape \(2, 4\)",
        ),
        (lambda: nn.InstanceNorm2d(3)(normal(2, 3)), r"InstanceNorm2d: x must have 4 or 3 axes"),
        (lambda: nn.GroupNorm(1, 3)(normal(2, 4)), r"num_channels=3, \.\.\.\); got \(2, 4\)"),
        (lambda: nn.LayerNorm(3)(normal(2, 4)), r"got shape \(2, 4\) and \(3,\)"),
    ],
)
def test_inputs_that_do_not_fit(call, message):
    with pytest.raises(ShapeError, match=message):
        call()
