"""Learn to read handwritten digits with a small convolutional network, LeNet, and draw how.

    python examples/lenet.py
    python examples/lenet.py --seed 3 --out results

The data are the 1,797 digits that scikit-learn ships, 8 by 8 pixels each. The network has the
layers of Y. LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 86,
1998, figure 2, with more maps of smaller pictures, and maxima in place of means. The last line
printed is the accuracy on the fifth of the digits that training never saw.
"""

import argparse
import math
import os
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from figures import BLUE, INK, MUTED, ORANGE, RED, frame
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import volta
import volta.functional as F
from volta import data, nn, optim


def make_model(key):
    """LeNet: (n, 1, 8, 8) pixels to (n, 10) scores."""
    keys = F.random.split(key, 5)
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2, key=keys[0]),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5, padding=2, key=keys[1]),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 2 * 2, 120, key=keys[2]),
        nn.ReLU(),
        nn.Linear(120, 84, key=keys[3]),
        nn.ReLU(),
        nn.Linear(84, 10, key=keys[4]),
    )


def load_data(seed):
    """Pictures, about with mean 0 and variance 1, and labels for training and for testing."""
    digits = load_digits()
    pictures = (digits.images / 16 - 0.3) / 0.38
    arrays = (pictures.astype(np.float32)[:, None], digits.target)
    return data.train_test_split(arrays, test_size=0.2, seed=seed, stratify=digits.target)


def loss_fn(model, pictures, labels):
    return F.cross_entropy(model(pictures), labels)


def accuracy(model, pictures, labels):
    return float(np.mean(F.argmax(model(pictures), axis=1) == labels))


def train(model, known, unseen, *, epochs, seed):
    """Train `model` in place; return the loss of every epoch, and accuracies after it."""
    loader = data.DataLoader(known, batch_size=32, shuffle=True, seed=seed)
    steps = epochs * len(loader)
    optimizer = optim.Adam(model, lr=lambda step: 3e-3 * math.cos(math.pi / 2 * step / steps) ** 2)
    value_and_grad = volta.value_and_grad(loss_fn)
    history = {"loss": [], "known": [], "unseen": []}
    with data.progress(range(epochs), desc="training") as bar:
        for _ in bar:
            total = 0.0
            for pictures, labels in loader:
                loss, grads = value_and_grad(model, pictures, labels)
                optimizer.step(grads)
                total += float(loss) / len(loader)
            history["loss"].append(total)
            history["known"].append(accuracy(model, *known))
            history["unseen"].append(accuracy(model, *unseen))
            bar.set_postfix(loss=f"{total:.4f}")
    return history


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="of the split, the weights, the order")
    parser.add_argument("--epochs", type=int, default=8, help="passes; default %(default)s")
    parser.add_argument("--out", type=Path, default=Path(), help="directory of the picture")
    options = parser.parse_args(arguments)

    known, unseen = load_data(options.seed)
    model = make_model(F.random.key(options.seed))
    print(nn.summary(model, (1, 1, 8, 8)))
    history = train(model, known, unseen, epochs=options.epochs, seed=options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    picture = options.out / "lenet.png"
    draw(picture, history, model, *unseen)
    print(f"drew {picture}")
    result = history["unseen"][-1]
    print(f"test accuracy: {result:.4f}")
    return result


# The picture --------------------------------------------------------------------------------------


def draw(path, history, model, pictures, labels):
    """Draw how training went, what the layers see of some digits, and what is read as what."""
    figure = Figure(figsize=(15, 4.8), layout="constrained")
    curves, maps, table = figure.subplots(1, 3, width_ratios=[1, 1.05, 1])
    draw_accuracy(curves, history)
    draw_maps(maps, model, np.stack([pictures[labels == digit][0] for digit in (0, 3, 7)]))
    draw_table(table, np.asarray(F.argmax(model(pictures), axis=1)), labels)
    figure.savefig(path, dpi=120)


def draw_accuracy(axes, history):
    epochs = range(1, len(history["loss"]) + 1)
    for name, color, offset in (("known", BLUE, 6), ("unseen", ORANGE, -18)):
        values = [100 * value for value in history[name]]
        axes.plot(epochs, values, color=color, linewidth=2)
        axes.annotate(
            f"{name} digits {values[-1]:.1f} %",
            (epochs[-1], values[-1]),
            xytext=(0, offset),
            textcoords="offset points",
            ha="right",
            color=color,
            fontweight="bold",
        )
    axes.set_ylim(60, 103)
    axes.set_xlim(1, max(2, len(epochs)))
    axes.set_xlabel("epoch", color=MUTED)
    frame(axes, "Read correctly", "per cent, after each epoch")


def draw_maps(axes, model, pictures):
    """A row for each digit: the picture, its maps after the first pooling and after the second."""
    layers = list(model)
    first, second = nn.Sequential(*layers[:3]), nn.Sequential(*layers[3:6])
    small = first(pictures)
    smaller = second(small)
    rows = []
    for picture, maps, last in zip(pictures, small, smaller, strict=True):
        digit = np.pad(np.kron(tiled(picture, 1), np.ones((2, 2))), 2)
        last = np.kron(last, np.ones((1, 2, 2)))
        gap = np.zeros((20, 4))
        row = np.concatenate([digit, gap, tiled(maps, 4), gap, tiled(last, 8)], axis=1)
        rows.append(np.pad(row, [(2, 2), (0, 0)]))
    axes.imshow(np.concatenate(rows), cmap="gray_r", vmin=0, vmax=1)
    axes.axis("off")
    for left, text in ((0, "digit"), (24, "16 maps of 4 × 4"), (48, "32 maps of 2 × 2")):
        axes.text(left, 73, text, color=MUTED, fontsize=9)
    axes.set_title("What the two poolings leave", loc="left", color=INK, fontweight="bold")


def tiled(maps, columns):
    """Maps in rows, from white for the least to black for the largest of all."""
    maps = (maps - maps.min()) / (maps.max() - maps.min())
    maps = np.pad(maps, [(0, 0), (0, 1), (0, 1)]) if columns > 1 else maps
    n, height, width = maps.shape
    cells = maps.reshape(n // columns, columns, height, width).transpose(0, 2, 1, 3)
    return cells.reshape(n // columns * height, columns * width)


def draw_table(axes, predicted, labels):
    """How often each digit is read as which."""
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (labels, predicted), 1)
    axes.imshow(np.where(np.eye(10), counts, 0), cmap="Blues", vmax=2.2 * counts.max())
    for i, j in np.argwhere(counts):
        style = {"color": INK} if i == j else {"color": RED, "fontweight": "bold"}
        axes.text(j, i, counts[i, j], ha="center", va="center", **style)
    axes.set_xticks(range(10))
    axes.set_yticks(range(10))
    axes.set_xlabel("read as", color=MUTED)
    axes.set_ylabel("is", color=MUTED)
    axes.tick_params(length=0, colors=MUTED)
    axes.spines[:].set_visible(False)
    right = int(np.trace(counts))
    title = f"{right} of {len(labels)} unseen digits read correctly"
    axes.set_title(title, loc="left", color=INK, fontweight="bold")


if __name__ == "__main__":
    main()
