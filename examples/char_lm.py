"""Learn proverbs letter by letter with an LSTM, and write some.

    python examples/char_lm.py
    python examples/char_lm.py --seed 3 --temperature 0.8 --out results

The last line printed is the mean cross entropy of a letter after training.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from figures import draw_loss, draw_text
from matplotlib.figure import Figure
from proverbs import LETTERS, PROVERBS, decode, encode, known_lines, windows

import volta
import volta.functional as F
from volta import data, nn, optim


class Writer(nn.Module):
    """Vectors of letters, an LSTM, and scores of the next letter."""

    def __init__(self, key, width=16, hidden=64):
        keys = F.random.split(key, 3)
        self.letters = nn.Embedding(len(LETTERS), width, key=keys[0])
        self.lstm = nn.LSTM(width, hidden, batch_first=True, key=keys[1])
        self.dropout = nn.Dropout(0.1)
        self.scores = nn.Linear(hidden, len(LETTERS), key=keys[2])

    def __call__(self, x, state=None, *, key=None):
        """Scores after each letter, and the state of the LSTM."""
        out, state = self.lstm(self.letters(x), state)
        return self.scores(self.dropout(out, key=key)), state


def loss_fn(model, x, y, key=None):
    scores, _ = model(x, key=key)
    return F.cross_entropy(F.reshape(scores, (-1, len(LETTERS))), F.reshape(y, (-1,)))


def train(model, *, epochs, seed):
    """Train `model` in place; return the loss of every epoch."""
    loader = data.DataLoader(windows(20), batch_size=32, shuffle=True, seed=seed)
    optimizer = optim.Adam(model, lr=0.01)
    step = volta.value_and_grad(loss_fn)
    key = F.random.key(seed + 1)
    losses = []
    with data.progress(range(epochs), desc="training") as bar:
        for _ in bar:
            total = 0.0
            for x, y in loader:
                loss, grads = step(model, x, y, F.random.fold_in(key, optimizer.steps))
                optimizer.step(grads)
                total += float(loss) / len(loader)
            losses.append(total)
            bar.set_postfix(loss=f"{total:.3f}")
    model.eval()
    return losses


def write(model, key, start, count, temperature):
    """Go on from `start`, a letter at a time, drawn by the model's probabilities."""
    scores, state = model(encode(start)[None])
    written = []
    for k in F.unstack(F.random.split(key, count)):
        letter = F.random.categorical(k, scores[0, -1] / temperature)
        written.append(int(letter))
        scores, state = model(np.asarray([[int(letter)]]), state)
    return start + decode(written)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="of the weights, the order, the text")
    parser.add_argument("--epochs", type=int, default=30, help="passes; default %(default)s")
    parser.add_argument("--temperature", type=float, default=0.5, help="small: the likeliest")
    parser.add_argument("--out", type=Path, default=Path(), help="directory of the picture")
    options = parser.parse_args(arguments)

    key, text_key = F.random.split(F.random.key(options.seed))
    model = Writer(key)
    losses = train(model, epochs=options.epochs, seed=options.seed)
    text = write(model, text_key, "the ", 300, options.temperature)
    print(text)
    right, lines = known_lines(text)
    print(f"{right} of {lines} whole lines are proverbs")
    options.out.mkdir(parents=True, exist_ok=True)
    picture = options.out / "char_lm.png"
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    left, own = figure.subplots(1, 2)
    draw_loss(left, losses, "mean cross entropy of a letter", "epoch")
    draw_text(own, text, "Written by the LSTM", PROVERBS)
    figure.savefig(picture, dpi=130)
    print(f"drew {picture}")
    result = float(loss_fn(model, *windows(20)))
    print(f"cross entropy: {result:.4f}")
    return result


if __name__ == "__main__":
    main()
