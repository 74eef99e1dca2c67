"""Train two networks with PyTorch, load their files into Volta's models, and compare the answers.

    pip install torch '.[examples]'
    python examples/load_external.py
    python examples/load_external.py --seed 3 --out results

PyTorch makes the files, and is needed for nothing else: a multilayer perceptron and a convolutional
network with batch norms learn scikit-learn's digits, and are exported as safetensors and as
PyTorch's own ``.pt``. Mappers go from PyTorch's names to those of models that were written on their
own. The last line printed is the largest difference between two scores of a test digit.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from figures import BLUE, INK, MUTED, ORANGE, frame
from matplotlib.figure import Figure
from safetensors.torch import save_file
from sklearn.datasets import load_digits

import volta.functional as F
from volta import data, io, nn

# As someone else wrote them -----------------------------------------------------------------------


class TorchMLP(torch.nn.Module):
    """Pixels to scores, by PyTorch."""

    def __init__(self):
        super().__init__()
        t = torch.nn
        self.layers = t.Sequential(t.Flatten(), t.Linear(64, 96), t.GELU(), t.Linear(96, 10))

    def forward(self, x):
        """Scores of ten digits."""
        return self.layers(x)


class TorchCNN(torch.nn.Module):
    """Two convolutions with batch norms, by PyTorch."""

    def __init__(self):
        super().__init__()
        t = torch.nn
        self.features = t.Sequential(*self.block(1, 12), *self.block(12, 24))
        self.classifier = t.Linear(24 * 2 * 2, 10)

    @staticmethod
    def block(before, after):
        """A convolution, and what follows it."""
        t = torch.nn
        conv = t.Conv2d(before, after, 3, padding=1, bias=False)
        return conv, t.BatchNorm2d(after), t.ReLU(), t.MaxPool2d(2)

    def forward(self, x):
        """Scores of ten digits."""
        return self.classifier(self.features(x).flatten(1))


# The same networks here, with names of their own --------------------------------------------------


def make_mlp(key):
    keys = F.random.split(key)
    model = nn.Sequential.builder()
    model.add_named("pixels", nn.Flatten()).add_named("hidden", nn.Linear(64, 96, key=keys[0]))
    model.add_named("bend", nn.GELU()).add_named("scores", nn.Linear(96, 10, key=keys[1]))
    return model.build()


class CNN(nn.Module):
    """Convolutions, their norms, and a linear map."""

    def __init__(self, key):
        keys = F.random.split(key, 3)
        sizes = zip((1, 12), (12, 24), keys[:2], strict=True)
        self.convs = [nn.Conv2d(a, b, 3, padding=1, bias=False, key=k) for a, b, k in sizes]
        self.norms = [nn.BatchNorm2d(12), nn.BatchNorm2d(24)]
        self.scores = nn.Linear(96, 10, key=keys[2])

    def __call__(self, x):
        """Scores of ten digits."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.max_pool2d(F.relu(norm(conv(x))), 2)
        return self.scores(F.reshape(x, (-1, 96)))


NETWORKS = {  # PyTorch's, ours, and the way from its names to ours
    "MLP": (
        TorchMLP,
        make_mlp,
        io.StateDictMapper()
        .strip_prefix("layers.")
        .rename_prefix("1.", "hidden.")
        .rename_prefix("3.", "scores."),
    ),
    "CNN": (
        TorchCNN,
        CNN,
        io.StateDictMapper()
        .rename_prefix("features.0.", "convs.0.")
        .rename_prefix("features.1.", "norms.0.")
        .rename_prefix("features.4.", "convs.1.")
        .rename_prefix("features.5.", "norms.1.")
        .rename_prefix("classifier.", "scores."),
    ),
}


def load_data(seed):
    """Pictures and labels, for training and for testing."""
    digits = load_digits()
    arrays = ((digits.images[:, None] / 16).astype(np.float32), digits.target)
    return data.train_test_split(arrays, test_size=0.2, seed=seed, stratify=digits.target)


def train(model, pictures, labels, epochs):
    """Train PyTorch's model with PyTorch, in place."""
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    pictures, labels = torch.from_numpy(pictures), torch.from_numpy(labels)
    for _ in range(epochs):
        for part in torch.randperm(len(labels)).split(64):
            loss = torch.nn.functional.cross_entropy(model(pictures[part]), labels[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


def exported(model, name, folder):
    """Write the weights in both formats; return the files."""
    files = folder / f"{name.lower()}.safetensors", folder / f"{name.lower()}.pt"
    save_file(model.state_dict(), files[0], metadata={"format": "pt"})
    torch.save(model.state_dict(), files[1])
    return files


def compare(theirs, ours, mapper, path, pictures, labels):
    """Load a file, and tell how far scores are apart and how many digits each model reads."""
    weights = mapper.map(io.load_file(path))
    ours.load_state_dict(weights)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(pictures)).numpy()
    found = np.asarray(ours.eval()(pictures))
    right = [float(np.mean(np.argmax(scores, axis=1) == labels)) for scores in (expected, found)]
    return {
        "arrays": len(weights),
        "bytes": path.stat().st_size,
        "scores": (expected, found),
        "difference": float(np.max(np.abs(found - expected))),
        "accuracy": right,
    }


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="of the split and of PyTorch")
    parser.add_argument("--epochs", type=int, default=6, help="passes; default %(default)s")
    parser.add_argument("--out", type=Path, default=Path(), help="directory of files and picture")
    options = parser.parse_args(arguments)

    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    known, unseen = load_data(options.seed)
    print(f"{'file':<18}{'arrays':>7}{'bytes':>8}{'difference':>12}{'PyTorch':>10}{'Volta':>9}")
    rows = {}
    for name, (make_theirs, make_ours, mapper) in NETWORKS.items():
        theirs = train(make_theirs(), *known, options.epochs)
        for path in exported(theirs, name, options.out):
            ours = make_ours(F.random.key(1))
            row = rows[path.name] = compare(theirs, ours, mapper, path, *unseen)
            first, second = row["accuracy"]
            start = f"{path.name:<18}{row['arrays']:>7}{row['bytes']:>8}{row['difference']:>12.1e}"
            print(f"{start}{first:>10.4f}{second:>9.4f}")
    picture = options.out / "load_external.png"
    draw(picture, rows)
    print(f"drew {picture}")
    result = max(row["difference"] for row in rows.values())
    print(f"largest difference: {result:.2e}")
    return result


def draw(path, rows):
    """Draw every score of one library over that of the other."""
    figure = Figure(figsize=(13, 3.9), layout="constrained")
    for axes, (name, row) in zip(figure.subplots(1, len(rows)), rows.items(), strict=True):
        expected, found = row["scores"]
        ends = [expected.min() - 1, expected.max() + 1]
        axes.plot(ends, ends, color=ORANGE, linewidth=1)
        axes.scatter(expected, found, s=5, color=BLUE, alpha=0.4, linewidth=0, zorder=3)
        axes.text(
            0.04,
            0.93,
            f"apart at most {row['difference']:.0e}",
            transform=axes.transAxes,
            color=INK,
        )
        axes.set_xlabel("score of PyTorch", color=MUTED)
        axes.set_aspect("equal")
        frame(axes, name)
    figure.axes[0].set_ylabel("score of Volta", color=MUTED)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
