"""Teach a network of two layers exclusive or, save it, load it, and draw what it learned.

    python examples/xor.py
    python examples/xor.py --seed 3 --out results

The last line printed is the largest error on the four inputs.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from figures import BLUE, ORANGE, draw_loss, frame
from matplotlib.figure import Figure

import volta
import volta.functional as F
from volta import data, io, nn, optim

X = np.asarray([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=np.float32)
Y = np.asarray([[0.0], [1.0], [1.0], [0.0]], dtype=np.float32)


def make_model(key):
    """From two numbers to one, by eight hidden ones; layers have names."""
    first, second = F.random.split(key)
    return nn.Sequential(
        ("hidden", nn.Linear(2, 8, key=first)),
        ("activation", nn.Tanh()),
        ("output", nn.Linear(8, 1, key=second)),
    )


def loss_fn(model):
    return F.mse_loss(model(X), Y)


def train(model, steps):
    """Train `model` in place; return the losses."""
    optimizer = optim.Adam(model, lr=0.1)
    step = volta.value_and_grad(loss_fn)
    losses = []
    with data.progress(range(steps), desc="training") as bar:
        for _ in bar:
            loss, grads = step(model)
            optimizer.step(grads)
            losses.append(float(loss))
    return losses


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="of the weights")
    parser.add_argument("--steps", type=int, default=301, help="default %(default)s")
    parser.add_argument("--out", type=Path, default=Path(), help="directory of the two files")
    options = parser.parse_args(arguments)

    model = make_model(F.random.key(options.seed))
    losses = train(model, options.steps)
    options.out.mkdir(parents=True, exist_ok=True)
    weights = options.out / "xor.safetensors"
    io.save_file(model.state_dict(), weights)
    fresh = make_model(F.random.key(options.seed + 1000))
    fresh.load_state_dict(io.load_file(weights))
    for x, y in zip(X, fresh(X), strict=True):
        print(f"{x[0]:.0f} xor {x[1]:.0f} = {y[0]:.4f}")
    picture = options.out / "xor.png"
    draw(picture, losses, fresh)
    print(f"saved and loaded {weights}, drew {picture}")
    result = float(np.max(np.abs(fresh(X) - Y)))
    print(f"largest error: {result:.4f}")
    return result


def draw(path, losses, model):
    """Draw how training went, and the network's answer everywhere between the inputs."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_loss(left, losses, "mean squared error of the four inputs")
    line = np.linspace(-0.4, 1.4, 181, dtype=np.float32)
    points = np.stack(np.meshgrid(line, line), axis=-1)
    answers = model(points)[..., 0]
    shown = right.pcolormesh(line, line, answers, cmap="PuOr_r", vmin=-0.5, vmax=1.5)
    right.contour(line, line, answers, levels=[0.5], colors="white", linewidths=1.5)
    for x, y in zip(X, Y, strict=True):
        color = ORANGE if y[0] else BLUE
        right.scatter(*x, s=260, color=color, edgecolor="white", linewidth=2, zorder=3)
        right.text(*x, f"{y[0]:.0f}", color="white", ha="center", va="center", fontweight="bold")
    figure.colorbar(shown, ax=right, shrink=0.8)
    right.set_aspect("equal")
    frame(right, "The network's answer", "white: where it is one half")
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
