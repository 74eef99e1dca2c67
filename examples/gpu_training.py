"""Train a network on exclusive or on the host and twice on a GPU, and see the same losses.

    python examples/gpu_training.py
    python examples/gpu_training.py --seed 3 --steps 1000

Where a model computes is where its parameters are: those of NumPy, those of a key that is on the
device, and NumPy's moved there. Needs ``pip install 'volta-array[wgpu]'`` and a driver of Vulkan,
Metal or Direct3D 12. A network of two layers of eight is too small for a GPU to be faster. The last
line printed is the largest difference from a loss of the host.
"""

import argparse
import time

import numpy as np

import volta
import volta.functional as F
import volta.wgpu
from volta import nn, optim, tree

X = np.asarray([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=np.float32)
Y = np.asarray([[0.0], [1.0], [1.0], [0.0]], dtype=np.float32)


def make_model(key):
    """A network 2-8-8-1, whose parameters are where `key` is."""
    keys = F.random.split(key, 3)
    return nn.Sequential(
        nn.Linear(2, 8, key=keys[0]),
        nn.Tanh(),
        nn.Linear(8, 8, key=keys[1]),
        nn.Tanh(),
        nn.Linear(8, 1, key=keys[2]),
    )


def ways(seed, device):
    """Models, and the arrays that they learn from."""
    on_host = make_model(F.random.key(seed)), X, Y
    key = F.random.key(seed, xp=volta.wgpu, device=device)
    made = make_model(key), *(volta.wgpu.asarray(x, device=device) for x in (X, Y))
    return {
        "on the host": on_host,
        "made on the device": made,
        "moved to the device": tree.to(on_host, xp=volta.wgpu, device=device),
    }


def train(model, x, y, steps, wait):
    """Losses of training a model, and the milliseconds that a step takes."""
    optimizer = optim.adam(0.05)

    def loss_fn(params):
        return F.mse_loss(nn.functional_call(model, params, x), y)

    @volta.jit
    def step(params, state):
        loss, grads = volta.value_and_grad(loss_fn)(params)
        updates, state = optimizer.update(grads, state, params)
        return optim.apply_updates(params, updates), state, loss

    params = model.parameters()
    params, state, loss = step(params, optimizer.init(params))  # compiles it
    losses = [loss]
    wait()
    start = time.perf_counter()
    for _ in range(steps - 1):
        params, state, loss = step(params, state)
        losses.append(loss)  # where it is: a look would have every step wait
    wait()
    took = time.perf_counter() - start
    return np.asarray([float(loss) for loss in losses]), 1e3 * took / max(1, steps - 1)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="of the weights")
    parser.add_argument("--steps", type=int, default=200, help="default %(default)s")
    options = parser.parse_args(arguments)
    devices = volta.wgpu.devices()
    if not devices:
        msg = "no device: install a driver of Vulkan, Metal or Direct3D 12"
        raise SystemExit(msg)
    device = devices[0]
    print(f"{device}: {device.name} ({device.kind})")
    found = {}
    for name, (model, x, y) in ways(options.seed, device).items():
        found[name], milliseconds = train(model, x, y, options.steps, device.synchronize)
        first, last = found[name][[0, -1]]
        print(f"{name:20} loss {first:.4f} to {last:.2e}, {milliseconds:6.2f} ms a step")
    result = max(float(np.max(np.abs(x - found["on the host"]))) for x in found.values())
    print(f"largest difference: {result:.1e}")
    return result


if __name__ == "__main__":
    main()
