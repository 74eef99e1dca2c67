"""Train sixty-four networks at once on exclusive or, by `vmap`, and see which of them learn it.

    python examples/showcase.py
    python examples/showcase.py --seed 3 --out results

A model by the builder, a table of it, an ensemble of it under `vmap`, gradients of all its members
by one `value_and_grad`, and one optimizer for all. The last line printed is the share of the
networks that answer all four inputs right.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from figures import BLUE, MUTED, ORANGE, RED, frame
from matplotlib.figure import Figure

import volta
import volta.functional as F
from volta import data, nn, optim

X = np.asarray([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=np.float32)
Y = np.asarray([0.0, 1.0, 1.0, 0.0], dtype=np.float32)


def make_model(key):
    """A network 2-8-8-1, layer by layer."""
    keys = F.random.split(key, 3)
    builder = nn.Sequential.builder()
    builder.add_named("first", nn.Linear(2, 8, key=keys[0])).add(nn.ReLU())
    builder.add_named("second", nn.Linear(8, 8, key=keys[1])).add(nn.ReLU())
    builder.add_named("answer", nn.Linear(8, 1, key=keys[2])).add(nn.Flatten(0))
    return builder.build()


def loss_of_one(model, parameters):
    """Loss of the network that `parameters` make of `model`."""
    answers = nn.functional_call(model, parameters, X)
    return F.binary_cross_entropy_with_logits(answers, Y)


def train(model, ensemble, steps):
    """Train all networks of an ensemble, a dict of stacked parameters; their losses as well."""

    def total(ensemble):
        losses = volta.vmap(lambda p: loss_of_one(model, p))(ensemble)
        return F.sum(losses), losses

    optimizer = optim.Adam(ensemble, lr=0.05)
    step = volta.value_and_grad(total, has_aux=True)
    history = []
    with data.progress(range(steps), desc="training") as bar:
        for _ in bar:
            (_, losses), grads = step(ensemble)
            ensemble = optimizer.step(grads)
            history.append(losses)
    return ensemble, np.stack(history)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="of the weights")
    parser.add_argument("--steps", type=int, default=201, help="default %(default)s")
    parser.add_argument("--networks", type=int, default=64, help="default %(default)s")
    parser.add_argument("--out", type=Path, default=Path(), help="directory of the picture")
    options = parser.parse_args(arguments)

    keys = F.random.split(F.random.key(options.seed), options.networks)
    model = make_model(keys[0])
    print(nn.summary(model, (4, 2)))
    ensemble = volta.vmap(lambda key: make_model(key).parameters())(keys)
    ensemble, history = train(model, ensemble, options.steps)
    answers = volta.vmap(lambda p: nn.functional_call(model, p, X))(ensemble)
    right = np.all((answers > 0) == (Y > 0.5), axis=1)
    options.out.mkdir(parents=True, exist_ok=True)
    picture = options.out / "showcase.png"
    draw(picture, history, right, model, ensemble)
    print(f"drew {picture}")
    result = float(np.mean(right))
    print(f"networks that learned it: {result:.4f}")
    return result


def draw(path, history, right, model, ensemble):
    """Draw the loss of every network, and what some of them answer everywhere."""
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    left, *others = figure.subplots(1, 4, width_ratios=[1.6, 1, 1, 1])
    for losses, good in zip(history.T, right, strict=True):
        left.semilogy(losses, color=BLUE if good else RED, linewidth=1, alpha=0.5)
    left.set_xlabel("step", color=MUTED)
    frame(left, "Loss of each network", f"blue: learned it, {np.sum(right)} of {len(right)}")
    line = np.linspace(-0.4, 1.4, 91, dtype=np.float32)
    points = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    for axes, i in zip(others, np.argsort(right)[[-1, -2, 0]], strict=True):
        own = {name: x[i] for name, x in ensemble.items()}
        answers = F.sigmoid(nn.functional_call(model, own, points)).reshape(91, 91)
        axes.pcolormesh(line, line, answers, cmap="PuOr_r", vmin=0, vmax=1)
        for x, y in zip(X, Y, strict=True):
            axes.scatter(*x, s=90, color=ORANGE if y else BLUE, edgecolor="white", zorder=3)
        axes.set_aspect("equal")
        frame(axes, f"Network {i}", "" if right[i] else "did not learn it")
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
