"""Fit y = x − x³ from noisy points with a network of three layers, and draw the fit.

    python examples/regression.py
    python examples/regression.py --seed 3 --out results

The last line printed is the largest error of the fit on [−2, 2].
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from figures import BLUE, MUTED, ORANGE, draw_loss, frame
from matplotlib.figure import Figure

import volta
import volta.functional as F
from volta import data, nn, optim


def curve(x):
    return x - x**3


def make_model(key):
    """From one number to one, by two layers of 32."""
    keys = F.random.split(key, 3)
    return nn.Sequential(
        nn.Linear(1, 32, key=keys[0]),
        nn.Tanh(),
        nn.Linear(32, 32, key=keys[1]),
        nn.Tanh(),
        nn.Linear(32, 1, key=keys[2]),
    )


def loss_fn(model, x, y):
    return F.mse_loss(model(x), y)


def train(model, x, y, epochs):
    """Train `model` in place; return the losses."""
    optimizer = optim.SGD(model, lr=0.02, momentum=0.9)
    step = volta.value_and_grad(loss_fn)
    losses = []
    with data.progress(range(epochs), desc="training") as bar:
        for _ in bar:
            loss, grads = step(model, x, y)
            optimizer.step(grads)
            losses.append(float(loss))
    return losses


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the noise")
    parser.add_argument("--epochs", type=int, default=3000, help="passes; default %(default)s")
    parser.add_argument(
        "--noise", type=float, default=0.1, help="deviation of the points; default %(default)s"
    )
    parser.add_argument("--out", type=Path, default=Path(), help="directory of the picture")
    options = parser.parse_args(arguments)

    key, noise_key = F.random.split(F.random.key(options.seed))
    x = np.linspace(-2, 2, 100, dtype=np.float32)[:, None]
    y = curve(x) + options.noise * F.random.normal(noise_key, x.shape)
    model = make_model(key)
    losses = train(model, x, y, options.epochs)
    line = np.linspace(-2, 2, 401, dtype=np.float32)[:, None]
    fit = model(line)
    slope = volta.vmap(volta.grad(lambda x: model(x)[0]))(line)
    options.out.mkdir(parents=True, exist_ok=True)
    picture = options.out / "regression.png"
    draw(picture, losses, (x, y), line, fit, slope)
    print(f"drew {picture}")
    result = float(np.max(np.abs(fit - curve(line))))
    print(f"largest error: {result:.4f}")
    return result


def draw(path, losses, points, line, fit, slope):
    """Draw how training went, the fit, and its derivative, which nobody taught it."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    first, second, third = figure.subplots(1, 3)
    draw_loss(first, losses, "mean squared error of all points", "epoch")
    second.plot(line, curve(line), color=MUTED, linewidth=4, alpha=0.5, label="x − x³")
    second.scatter(*points, s=12, color=ORANGE, label="points")
    second.plot(line, fit, color=BLUE, linewidth=2, label="network")
    second.legend(frameon=False)
    frame(second, "Fit")
    third.plot(line, 1 - 3 * line**2, color=MUTED, linewidth=4, alpha=0.5, label="1 − 3 x²")
    third.plot(line, slope, color=BLUE, linewidth=2, label="volta.grad of the network")
    third.legend(frameon=False)
    frame(third, "Derivative")
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
