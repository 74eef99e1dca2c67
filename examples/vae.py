"""Learn handwritten digits as a variational autoencoder, and draw digits that nobody wrote.

    python examples/vae.py
    python examples/vae.py --seed 3 --out results
    python examples/vae.py --resume run

The data are the 1,797 digits that scikit-learn ships, 8 by 8 pixels each. The last line printed is
the bound on the negative log likelihood, per picture, of the fifth that training never saw. With
--resume every epoch is saved, and a run that was stopped goes on where it was, to the same result.
"""

import argparse
import os
from contextlib import nullcontext
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from figures import INK, draw_loss
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import volta
import volta.functional as F
from volta import data, io, nn, optim

LATENT = 8


def mapping(inputs, hidden, outputs, keys):
    """Two linear maps with a smooth step between them."""
    first = nn.Linear(inputs, hidden, key=keys[0])
    return nn.Sequential(first, nn.GELU(), nn.Linear(hidden, outputs, key=keys[1]))


class Autoencoder(nn.Module):
    """Pictures to the mean and log variance of a few numbers, and those numbers to pictures."""

    def __init__(self, key, hidden=128):
        keys = F.random.split(key, 4)
        self.encoder = mapping(64, hidden, 2 * LATENT, keys[:2])
        self.decoder = mapping(LATENT, hidden, 64, keys[2:])

    def encode(self, x):
        """Mean and log variance of the few numbers."""
        both = self.encoder(x)
        return both[:, :LATENT], both[:, LATENT:]

    def __call__(self, x, key):
        """Logits of the pixels, and the mean and the log variance that they were drawn from."""
        mean, log_variance = self.encode(x)
        noise = F.random.normal(key, mean.shape)
        return self.decoder(mean + F.exp(log_variance / 2) * noise), mean, log_variance


def loss_fn(model, x, key):
    """Negative evidence lower bound of a picture, in nats."""
    logits, mean, log_variance = model(x, key)
    pixels = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / x.shape[0]
    return pixels + F.kl_divergence_gaussian(mean, log_variance)


def train(model, pictures, *, epochs, seed, checkpoints=None):
    """Train `model` in place, from the latest checkpoint on; return the loss of every epoch."""
    loader = data.DataLoader((pictures,), batch_size=64, shuffle=True, seed=seed)
    optimizer = optim.Adam(model, lr=2e-3)
    step = volta.value_and_grad(loss_fn)
    key = F.random.key(seed + 1)
    run, losses = {"model": model, "optimizer": optimizer, "loader": loader}, []
    if checkpoints is not None and checkpoints.latest is not None:
        losses = checkpoints.restore(**run, losses=None).parts["losses"]
    with data.progress(range(len(losses), epochs), desc="training") as bar:
        for _ in bar:
            total = 0.0
            for (x,) in loader:
                loss, grads = step(model, x, F.random.fold_in(key, optimizer.steps))
                optimizer.step(grads)
                total += float(loss) / len(loader)
            losses.append(total)
            if checkpoints is not None:
                checkpoints.save(len(losses), **run, losses=losses)
            bar.set_postfix(loss=f"{total:.2f}")
    return losses


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="of the split, the weights, the noise")
    parser.add_argument("--epochs", type=int, default=60, help="passes; default %(default)s")
    parser.add_argument("--out", type=Path, default=Path(), help="directory of the picture")
    parser.add_argument("--resume", type=Path, help="directory of checkpoints to go on from")
    options = parser.parse_args(arguments)

    digits = load_digits()
    pictures = (digits.data / 16).astype(np.float32)
    (known,), (unseen,) = data.train_test_split((pictures,), test_size=0.2, seed=options.seed)
    key, noise_key, draw_key = F.random.split(F.random.key(options.seed), 3)
    model = Autoencoder(key)
    kept = io.Checkpoints(options.resume, max_to_keep=2) if options.resume else nullcontext()
    with kept as checkpoints:
        losses = train(
            model, known, epochs=options.epochs, seed=options.seed, checkpoints=checkpoints
        )
    options.out.mkdir(parents=True, exist_ok=True)
    picture = options.out / "vae.png"
    draw(picture, losses, model, unseen[:28], draw_key)
    print(f"drew {picture}")
    result = float(loss_fn(model, unseen, noise_key))
    print(f"negative evidence lower bound: {result:.2f}")
    return result


def draw(path, losses, model, pictures, key):
    """Draw how training went, pictures beside what becomes of them, and pictures of noise."""
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[1, 1.2, 1])
    draw_loss(left, losses, "negative evidence lower bound, nats", "epoch")
    mean, _ = model.encode(pictures)
    again = F.sigmoid(model.decoder(mean))
    pairs = np.stack([pictures, again], axis=1).reshape(-1, 64)
    sheet(middle, pairs, 8, "Unseen digits, as written and from 8 numbers")
    drawn = F.sigmoid(model.decoder(F.random.normal(key, (30, LATENT))))
    sheet(right, drawn, 5, "Digits of noise")
    figure.savefig(path, dpi=130)


def sheet(axes, pictures, columns, title):
    """Pictures in rows."""
    rows = len(pictures) // columns
    cells = np.asarray(pictures).reshape(rows, columns, 8, 8)
    cells = np.pad(cells, [(0, 0), (0, 0), (1, 1), (1, 1)])
    axes.imshow(cells.transpose(0, 2, 1, 3).reshape(rows * 10, columns * 10), cmap="gray_r")
    axes.axis("off")
    axes.set_title(title, loc="left", color=INK, fontweight="bold")


if __name__ == "__main__":
    main()
