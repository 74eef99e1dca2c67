"""Train a classifier in 16 bits, with parameters of 32, and reach what 32 bits throughout reach.

    python examples/mixed_precision.py
    python examples/mixed_precision.py --seed 3 --out results

The same network learns scikit-learn's digits three times: computing in float32, in bfloat16, and in
float16, which ends at 65,504 and needs a scaled loss where gradients are small. The scale begins
far too high on purpose: steps whose gradients overflow are skipped and halve it, runs of finite
ones double it. The last line printed is the largest difference in test accuracy.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from figures import ORANGE, PALE, RED, frame
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import volta
import volta.functional as F
from volta import data, nn, optim

DTYPES = ("float32", "bfloat16", "float16")
FIRST_SCALE = 2.0**24
GROWTH_INTERVAL = 60  # steps; the default of 2,000 is for longer training


def make_model(key):
    """A multilayer perceptron from 64 pixels to 10 scores; its parameters are float32."""
    first, second = F.random.split(key)
    return nn.Sequential(nn.Linear(64, 64, key=first), nn.ReLU(), nn.Linear(64, 10, key=second))


def load_data(seed):
    digits = load_digits()
    arrays = (data.normalize(digits.data.astype(np.float32), 8.0, 8.0), digits.target)
    return data.train_test_split(arrays, test_size=0.2, seed=seed, stratify=digits.target)


def scores(model, policy, pictures):
    """What the model computes in few bits, as the policy's output dtype."""
    return policy.cast_to_output(policy.cast_to_compute(model)(policy.cast_to_compute(pictures)))


def loss_fn(model, policy, scale, pictures, labels):
    loss = F.cross_entropy(scores(model, policy, pictures), labels)
    return scale.scale(loss), loss


def train(model, policy, scale, train_set, *, epochs, seed):
    """Train `model` in place; return the loss of every epoch and the scale of every step."""
    loader = data.DataLoader(train_set, batch_size=64, shuffle=True, seed=seed)
    optimizer = optim.Adam(model, lr=3e-3)
    gradients = volta.value_and_grad(loss_fn, has_aux=True)
    losses, scales = [], []
    for _ in range(epochs):
        total = 0.0
        for pictures, labels in loader:
            (_, loss), grads = gradients(model, policy, scale, pictures, labels)
            finite = nn.all_finite(grads)
            if finite:
                optimizer.step(scale.unscale(grads))
            total += float(loss)
            scales.append(float(scale.value))
            scale = scale.adjust(finite)
        losses.append(total / len(loader))
    return losses, scales


def accuracy(model, policy, pictures, labels):
    return float(np.mean(np.argmax(scores(model, policy, pictures), axis=1) == labels))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="of the split, the weights, the order")
    parser.add_argument("--epochs", type=int, default=15, help="passes; default %(default)s")
    parser.add_argument("--out", type=Path, default=Path(), help="directory of the picture")
    options = parser.parse_args(arguments)

    train_set, test_set = load_data(options.seed)
    losses, scales, accuracies = {}, {}, {}
    for dtype in DTYPES:
        model = make_model(F.random.key(options.seed))
        policy = nn.Policy(compute_dtype=dtype)
        first = FIRST_SCALE if dtype == "float16" else 1.0  # others have float32's exponents
        scale = nn.DynamicLossScale(first, GROWTH_INTERVAL if dtype == "float16" else 2**31)
        losses[dtype], scales[dtype] = train(
            model, policy, scale, train_set, epochs=options.epochs, seed=options.seed
        )
        accuracies[dtype] = accuracy(model, policy, *test_set)
        assert {str(x.dtype) for x in model.parameters().values()} == {"float32"}
        print(f"{dtype}: loss {losses[dtype][-1]:.4f}, test accuracy {accuracies[dtype]:.4f}")

    steps = np.asarray(scales["float16"])
    skipped, grown = np.sum(steps[1:] < steps[:-1]), np.sum(steps[1:] > steps[:-1])
    print(f"float16: {skipped} steps of {len(steps)} skipped, the scale doubled {grown} times")
    options.out.mkdir(parents=True, exist_ok=True)
    picture = options.out / "mixed_precision.png"
    draw(picture, losses, steps)
    print(f"drew {picture}")
    result = max(accuracies.values()) - min(accuracies.values())
    print(f"largest difference: {result:.4f}")
    return result


def draw(path, losses, scales):
    """Draw the losses of the three trainings, and how the scale found its place."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    styles = ((PALE, 8), (ORANGE, 2), (RED, 2))  # float32 below, where the others should be
    for (dtype, values), (color, width) in zip(losses.items(), styles, strict=True):
        left.semilogy(range(1, len(values) + 1), values, color=color, linewidth=width, label=dtype)
    left.legend(frameon=False)
    left.set_xlabel("epoch")
    frame(left, "Loss", "mean cross entropy of each epoch")
    right.semilogy(scales, base=2, color=RED, linewidth=2)
    right.set_xlabel("step")
    frame(right, "Scale of the loss", "float16: halved by overflow, doubled by finite steps")
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
