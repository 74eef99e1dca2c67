"""Learn proverbs letter by letter with a transformer, and write some from its cache.

    python examples/char_transformer.py
    python examples/char_transformer.py --seed 3 --temperature 0.8 --out results

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

LENGTH = 32  # of the windows that are learned
PLACES = 320  # that a text may have
WIDTH, HEADS, LAYERS = 32, 4, 2


class Writer(nn.Module):
    """Vectors of letters and places, layers of attention, and scores of the next letter."""

    def __init__(self, key):
        keys = F.random.split(key, 3)
        self.letters = nn.Embedding(len(LETTERS), WIDTH, key=keys[0])
        self.places = nn.PositionalEncoding(WIDTH, PLACES)
        norm = nn.LayerNorm(WIDTH)
        self.layers = nn.TransformerEncoder(self.make_layer, LAYERS, norm, key=keys[1])
        self.scores = nn.Linear(WIDTH, len(LETTERS), key=keys[2])

    @staticmethod
    def make_layer(key):
        """One layer of attention."""
        options = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": True}
        return nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, **options, key=key)

    def __call__(self, x, caches=None):
        """Scores after each letter, and the caches if some are given."""
        start = caches[0].length if caches else 0
        x = self.places(self.letters(x), start=start)
        out = self.layers(x, is_causal=True, caches=caches)
        out, new = (out, None) if caches is None else out
        return self.scores(out), new


def loss_fn(model, x, y):
    scores, _ = model(x)
    return F.cross_entropy(F.reshape(scores, (-1, len(LETTERS))), F.reshape(y, (-1,)))


def train(model, *, epochs, seed):
    """Train `model` in place; return the loss of every epoch."""
    loader = data.DataLoader(windows(LENGTH), batch_size=32, shuffle=True, seed=seed)
    optimizer = optim.Adam(model, lr=3e-3)
    step = volta.value_and_grad(loss_fn)
    losses = []
    with data.progress(range(epochs), desc="training") as bar:
        for _ in bar:
            total = 0.0
            for x, y in loader:
                loss, grads = step(model, x, y)
                optimizer.step(grads)
                total += float(loss) / len(loader)
            losses.append(total)
            bar.set_postfix(loss=f"{total:.3f}")
    model.eval()
    return losses


def write(model, key, start, count, temperature):
    """Go on from `start`, a letter at a time; what was read is in the caches."""
    scores, caches = model(encode(start)[None], [nn.KVCache()] * LAYERS)
    written = []
    for k in F.unstack(F.random.split(key, count)):
        # beyond the length of the windows the model is on its own: it begins anew there
        if caches[0].length >= LENGTH:
            recent = (start + decode(written))[-LENGTH // 2 :]
            scores, caches = model(encode(recent)[None], [nn.KVCache()] * LAYERS)
        letter = int(F.random.categorical(k, scores[0, -1] / temperature))
        written.append(letter)
        scores, caches = model(np.asarray([[letter]]), caches)
    return start + decode(written)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="of the weights, the order, the text")
    parser.add_argument("--epochs", type=int, default=25, help="passes; default %(default)s")
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
    picture = options.out / "char_transformer.png"
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    left, own = figure.subplots(1, 2)
    draw_loss(left, losses, "mean cross entropy of a letter", "epoch")
    draw_text(own, text, "Written by the transformer", PROVERBS)
    figure.savefig(picture, dpi=130)
    print(f"drew {picture}")
    result = float(loss_fn(model, *windows(LENGTH)))
    print(f"cross entropy: {result:.4f}")
    return result


if __name__ == "__main__":
    main()
