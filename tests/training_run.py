"""A training run with all that must be kept to go on with it, saved after every step.

    python tests/training_run.py DIRECTORY GOAL [asynchronous]

trains from the latest step in the directory to step GOAL, and prints a line when it begins.
"""

import sys

import numpy as np

import volta
import volta.functional as F
from volta import data, io, nn, optim


def make_model(key):
    keys = F.random.split(key, 2)
    return nn.Sequential(
        nn.Linear(6, 8, key=keys[0]),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(8, 3, key=keys[1]),
    )


def loss_fn(params, model, scale, x, y, key):
    logits, buffers = nn.stateful_call(model, params, model.buffers(), x, key=key)
    loss = F.cross_entropy(logits, y)
    return scale.scale(loss), (loss, buffers)


def train(goal, checkpoints=None):
    """Train to step `goal`; return the parts that were or would be saved there."""
    pictures = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    labels = np.arange(50) % 3
    model = make_model(F.random.key(1))
    optimizer = optim.Adam(model, lr=0.01)
    scheduler = optim.CosineAnnealingLR(optimizer, T_max=500)
    loader = data.DataLoader((pictures, labels), batch_size=8, shuffle=True, seed=3)
    scale = nn.DynamicLossScale(4.0, growth_interval=5)
    ema, key, noise, history = model.parameters(), F.random.key(2), np.random.default_rng(4), []
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "loader": loader}
    step = 0
    if checkpoints is not None and checkpoints.latest is not None:
        plain = dict.fromkeys(("key", "noise", "history"))
        step, kept = checkpoints.restore(**parts, ema=ema, scale=scale, **plain)
        ema, scale, key, history = (kept[name] for name in ("ema", "scale", "key", "history"))
        noise.bit_generator.state = kept["noise"]
    gradients = volta.grad(loss_fn, has_aux=True)
    while step < goal:
        for x, y in loader:
            key, dropout = F.random.split(key)
            x = x + noise.normal(scale=0.1, size=x.shape).astype(np.float32)
            params = model.parameters()
            grads, (loss, buffers) = gradients(params, model, scale, x, y, dropout)
            optimizer.step(scale.unscale(grads))
            scale = scale.adjust(nn.all_finite(grads))
            model.update(buffers)
            scheduler.step()
            ema = optim.incremental_update(model.parameters(), ema, 0.1)
            history = [*history[-4:], float(loss)]
            step += 1
            more = {"ema": ema, "scale": scale, "key": key, "history": history}
            state = {**parts, **more, "noise": noise.bit_generator.state}
            if checkpoints is not None:
                checkpoints.save(step, **state)
            if step == goal:
                break
    return state


if __name__ == "__main__":
    directory, goal, *how = sys.argv[1:]
    print("begins", flush=True)
    with io.Checkpoints(directory, max_to_keep=3, asynchronous=bool(how)) as checkpoints:
        train(int(goal), checkpoints)
