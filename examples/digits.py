"""Train a classifier of handwritten digits, save it, load it, and draw what it learned.

    python examples/digits.py
    python examples/digits.py --backend torch --seed 3 --out results

The data are the 1,797 digits that scikit-learn ships, 8 by 8 pixels each. The last line printed
is the accuracy on the fifth of them that training never saw.
"""

import argparse
import math
import os
from pathlib import Path

# The matrices are small: threads would cost more time than they save.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from sklearn.datasets import load_digits

import volta
import volta.functional as F
from volta import data, io, nn, optim


def make_model(key, xp):
    """A multilayer perceptron from 64 pixels to 10 scores."""
    key1, key2, key3 = F.random.split(key, 3)
    return nn.Sequential(
        nn.Linear(64, 256, key=key1, xp=xp),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(256, 256, key=key2, xp=xp),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(256, 10, key=key3, xp=xp),
    )


def load_data(xp, seed):
    """Pictures and labels for training and for testing, as arrays of the library `xp`."""
    digits = load_digits()
    pictures = (digits.data / 16).astype(np.float32)
    arrays = (xp.asarray(pictures), xp.asarray(digits.target))
    return data.train_test_split(arrays, test_size=0.2, seed=seed, stratify=digits.target)


def loss_fn(model, pictures, labels, key):
    return F.cross_entropy(model(pictures, key=key), labels)


def predict(model, pictures):
    return F.argmax(model(pictures), axis=1)


def accuracy(model, pictures, labels):
    return float(F.mean(F.astype(predict(model, pictures) == labels, F.float32)))


def train(model, train_set, test_set, *, epochs, seed):
    """Train `model` in place; return loss and accuracies of every epoch."""
    loader = data.DataLoader(train_set, batch_size=64, shuffle=True, seed=seed)
    steps = epochs * len(loader)
    optimizer = optim.Adam(model, lr=lambda step: 3e-3 * math.cos(math.pi / 2 * step / steps) ** 2)
    value_and_grad = volta.value_and_grad(loss_fn)
    key = F.random.key(seed + 1)
    history = {"loss": [], "train accuracy": [], "test accuracy": []}
    with data.progress(range(epochs), desc="training") as bar:
        for _ in bar:
            losses = []
            for pictures, labels in loader:
                dropout_key = F.random.fold_in(key, optimizer.steps)
                loss, grads = value_and_grad(model, pictures, labels, dropout_key)
                optimizer.step(grads)
                losses.append(float(loss))
            model.eval()
            history["loss"].append(sum(losses) / len(losses))
            history["train accuracy"].append(accuracy(model, *train_set))
            history["test accuracy"].append(accuracy(model, *test_set))
            model.train()
            bar.set_postfix(loss=f"{history['loss'][-1]:.4f}")
    model.eval()
    return history


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--backend",
        choices=["numpy", "torch", "wgpu"],
        default="numpy",
        help="default %(default)s",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the split, the weights, the order")
    parser.add_argument("--epochs", type=int, default=30, help="passes; default %(default)s")
    parser.add_argument("--out", type=Path, default=Path(), help="directory of the two files")
    options = parser.parse_args(arguments)

    if options.backend == "torch":
        import torch as xp
    elif options.backend == "wgpu":
        import volta.wgpu as xp
    else:
        xp = np
    train_set, test_set = load_data(xp, options.seed)
    model = make_model(F.random.key(options.seed), xp)
    history = train(model, train_set, test_set, epochs=options.epochs, seed=options.seed)

    options.out.mkdir(parents=True, exist_ok=True)
    weights = options.out / "digits.safetensors"
    io.save_file(model.state_dict(), weights)
    fresh = make_model(F.random.key(options.seed + 1000), xp).eval()
    fresh.load_state_dict(io.load_file(weights))
    pictures, labels = test_set
    predicted = predict(model, pictures)
    assert bool(F.all(predict(fresh, pictures) == predicted)), "the loaded model predicts otherwise"
    print(f"saved and loaded {weights}")

    picture = options.out / "digits.png"
    draw(picture, history, *(np.asarray(x) for x in (pictures, labels, predicted)))
    print(f"drew {picture}")
    result = accuracy(fresh, pictures, labels)
    print(f"test accuracy: {result:.4f}")
    return result


# The picture --------------------------------------------------------------------------------------

INK, MUTED, PALE = "#1f2933", "#7b8794", "#d9dee4"
BLUE, ORANGE, RED = "#2563eb", "#e08a00", "#d62f2f"
ROWS, COLUMNS = 8, 10  # of the grid of digits


def draw(path, history, pictures, labels, predicted):
    """Draw how training went, and test digits with what the model takes them for."""
    figure = Figure(figsize=(13, 6.6), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
    panels = [["loss", "digits"], ["accuracy", "digits"]]
    axes = figure.subplot_mosaic(panels, width_ratios=[1, 1.2])
    draw_loss(axes["loss"], history)
    draw_accuracy(axes["accuracy"], history)
    draw_digits(axes["digits"], pictures, labels, predicted)
    figure.savefig(path, dpi=130)


def draw_loss(axes, history):
    epochs = range(1, len(history["loss"]) + 1)
    axes.semilogy(epochs, history["loss"], color=BLUE, linewidth=2)
    frame(axes, "Loss", "mean cross entropy of each epoch, with dropout", epochs)


def draw_accuracy(axes, history):
    epochs = range(1, len(history["loss"]) + 1)
    for name, color, offset in (("train", BLUE, 6), ("test", ORANGE, -17)):
        values = [100 * value for value in history[f"{name} accuracy"]]
        axes.plot(epochs, values, color=color, linewidth=2)
        axes.annotate(
            f"{name} {values[-1]:.1f} %",
            (epochs[-1], values[-1]),
            xytext=(0, offset),
            textcoords="offset points",
            ha="right",
            color=color,
            fontweight="bold",
        )
    axes.set_ylim(90, 101)
    axes.set_xlabel("epoch", color=MUTED)
    frame(axes, "Accuracy", "per cent, without dropout", epochs)


def draw_digits(axes, pictures, labels, predicted):
    wrong = predicted != labels
    mistakes, others = np.flatnonzero(wrong)[: ROWS * COLUMNS], np.flatnonzero(~wrong)
    places = np.linspace(0, len(others) - 1, ROWS * COLUMNS - len(mistakes)).astype(int)
    height, width = 12, 11  # of a cell, in pixels of the digits
    sheet = np.zeros((ROWS * height, COLUMNS * width))
    for cell, i in enumerate(np.sort(np.concatenate([mistakes, others[places]]))):
        top, left = cell // COLUMNS * height + 3, cell % COLUMNS * width + 1
        sheet[top : top + 8, left : left + 8] = pictures[i].reshape(8, 8)
        color = RED if wrong[i] else PALE
        edge = {"edgecolor": color, "linewidth": 2.5 if wrong[i] else 0.8}
        axes.add_patch(Rectangle((left - 0.8, top - 0.8), 8.6, 8.6, fill=False, **edge))
        axes.text(
            left + 3.5,
            top - 1.4,
            f"{predicted[i]}, is {labels[i]}" if wrong[i] else f"{predicted[i]}",
            color=RED if wrong[i] else MUTED,
            fontweight="bold" if wrong[i] else "normal",
            fontsize=9,
            ha="center",
        )
    axes.imshow(sheet, cmap="gray_r", vmin=0, vmax=1)
    axes.axis("off")
    title = f"{len(labels) - wrong.sum()} of {len(labels)} test digits read correctly"
    axes.set_title(title, loc="left", color=INK, fontweight="bold")


def frame(axes, title, subtitle, epochs):
    axes.set_title(title, loc="left", color=INK, fontweight="bold")
    axes.set_title(subtitle, loc="right", color=MUTED, fontsize=9)
    axes.set_xlim(1, max(2, epochs[-1]))
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=MUTED, which="both")
    axes.grid(axis="y", alpha=0.25)


if __name__ == "__main__":
    main()
