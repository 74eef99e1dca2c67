"""Models trained on a device: the losses of NumPy's, and nothing to or from the host in a step."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

import volta
import volta.functional as F
import volta.wgpu
from volta import nn, optim

STEPS, BATCH = 50, 32


def perceptron(key):
    keys = F.random.split(key, 3)
    return nn.Sequential(
        nn.Linear(64, 64, key=keys[0]),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(64, 64, key=keys[1]),
        nn.GELU(),
        nn.Linear(64, 10, key=keys[2]),
    )


def lenet(key):
    keys = F.random.split(key, 4)
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2, key=keys[0]),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, padding=2, key=keys[1]),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 32, key=keys[2]),
        nn.ReLU(),
        nn.Linear(32, 10, key=keys[3]),
    )


class Transformer(nn.Module):
    """Rows of a picture as a sequence, two layers, and the mean of what they give."""

    def __init__(self, key):
        keys = F.random.split(key, 4)
        self.enter = nn.Linear(8, 16, key=keys[0])
        layer = nn.TransformerEncoderLayer
        self.first = layer(16, 2, 32, dropout=0.1, batch_first=True, key=keys[1])
        self.second = layer(16, 2, 32, dropout=0.1, batch_first=True, key=keys[2])
        self.leave = nn.Linear(16, 10, key=keys[3])

    def __call__(self, x, key=None):
        keys = (None, None) if key is None else F.random.split(key, 2)
        x = self.second(self.first(self.enter(x), key=keys[0]), key=keys[1])
        return self.leave(F.mean(x, axis=1))


MODELS = {  # and the shape of a picture
    "perceptron": (perceptron, (64,)),
    "lenet": (lenet, (1, 8, 8)),
    "transformer": (Transformer, (8, 8)),
}


def digits(shape):
    data = load_digits()
    pictures = (data.data[:BATCH] / 16).astype(np.float32).reshape(BATCH, *shape)
    return pictures, data.target[:BATCH].astype(np.int32)


def narrow(xp, dtype):
    """A dtype, or int32 in place of 64 bits that a device has not."""
    have = xp.__array_namespace_info__().dtypes()
    return dtype if str(dtype) in have else np.int32


def training(name, xp):
    """A step of training, and what it is given: all on the host or on the first device."""
    make, shape = MODELS[name]
    model = make(F.random.key(0))
    optimizer = optim.adamw(3e-3)

    def loss_fn(params, buffers, x, y, key):
        logits, buffers = nn.stateful_call(model, params, buffers, x, key=key)
        return F.cross_entropy(logits, y), buffers

    @volta.jit
    def step(params, buffers, state, x, y, key):
        key, used = F.random.split(key, 2)
        found, grads = volta.value_and_grad(loss_fn, has_aux=True)(params, buffers, x, y, used)
        loss, buffers = found
        updates, state = optimizer.update(grads, state, params)
        return optim.apply_updates(params, updates), buffers, state, x, y, key, loss

    def moved(tree):
        return volta.tree.map(lambda a: xp.asarray(a, dtype=narrow(xp, a.dtype)), tree)

    params, buffers = moved(model.parameters()), moved(model.buffers())
    state = optimizer.init(params)
    return step, (params, buffers, state, *moved(digits(shape)), moved(F.random.key(1)))


def trained(step, given, steps):
    losses = []
    for _ in range(steps):
        *given, loss = step(*given)
        losses.append(loss)
    return given, losses


@pytest.mark.parametrize("name", MODELS)
def test_losses_are_those_of_numpy(device, name):
    wanted = [float(v) for v in trained(*training(name, np), STEPS)[1]]
    step, given = training(name, volta.wgpu)
    given, first = trained(step, given, 2)
    device.synchronize()
    before = device.counts
    _, losses = trained(step, given, STEPS - 2)
    device.synchronize()
    after = device.counts
    assert (after.reads, after.writes) == (before.reads, before.writes)
    assert after.kernels > before.kernels
    found = [float(v) for v in first + losses]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)
    assert found[-1] < 0.7 * found[0]
