"""Tune the model of sentence_search.py on names and what they do, and draw what it gains.

    python examples/tune_search.py
    python examples/tune_search.py --epochs 4 --save tuned.safetensors --out results
    python examples/sentence_search.py "keep gradients from exploding" --weights tuned.safetensors

The pairs are the names of Volta's public functions and classes, in words, and the first sentences
of their documentation: almost 800, of which a fifth, drawn by the seed, is held out. The
loss is InfoNCE (A. van den Oord et al., https://arxiv.org/abs/1807.03748, equation 4): the cross
entropy of a name's sentence among all those of the batch, by their cosines times 20. Vectors of
words stay as they are. The last line printed is the loss of the pairs held out, each among all.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from figures import BLUE, MUTED, ORANGE, draw_loss, frame
from matplotlib.figure import Figure
from minilm import embed, load_model, summaries, tokens_of, vectors_of, words

import volta
import volta.functional as F
from volta import data, io, nn, optim
from volta.nn.models import bert_to_huggingface

SHARPNESS = 20.0  # by which cosines become scores


def load_pairs(seed, most=None):
    """Pairs of a name and a sentence, every name once, to learn and held out."""
    pairs = list({words(name): text for name, text in summaries().items()}.items())
    order = np.random.default_rng(seed).permutation(len(pairs))
    order = order[:most]
    held = len(order) // 5
    return [pairs[i] for i in order[held:]], [pairs[i] for i in order[:held]]


def contrast(names, sentences):
    """InfoNCE: how surely each name finds its own sentence."""
    scores = SHARPNESS * F.matmul(names, F.matrix_transpose(sentences))
    return F.cross_entropy(scores, np.arange(scores.shape[0]))


def loss_fn(model, names, sentences, key):
    keys = F.random.split(key)
    return contrast(vectors_of(model, *names, keys[0]), vectors_of(model, *sentences, keys[1]))


def judge(model, tokenizer, pairs):
    """Loss of pairs, and the place of each name's sentence among all: 0 is the first."""
    names, sentences = (embed(model, tokenizer, texts) for texts in zip(*pairs, strict=True))
    similarities = names @ sentences.T
    places = np.sum(similarities > np.diag(similarities)[:, None], axis=1)
    return float(contrast(names, sentences)), places


def tune(model, tokenizer, pairs, *, epochs, steps, batch, seed):
    """Train `model` in place; return the loss of every step."""
    loader = data.DataLoader(
        pairs, batch_size=batch, shuffle=True, seed=seed, drop_last=True, collate=list
    )
    steps = epochs * len(loader) if steps is None else steps
    schedule = optim.warmup_cosine_decay_schedule(0.0, 1e-4, 1 + steps // 10, steps + 2)
    model.freeze("embeddings.*", "pooler.*").train()
    optimizer = optim.AdamW(model, lr=schedule)
    step = volta.value_and_grad(loss_fn)
    key, losses = F.random.key(seed), []
    with data.progress(range(steps), desc="tuning") as bar:
        batches = (batch for _ in range(epochs) for batch in loader)
        for i, part in zip(bar, batches, strict=False):
            names, sentences = (tokens_of(tokenizer, texts) for texts in zip(*part, strict=True))
            loss, grads = step(model, names, sentences, F.random.fold_in(key, i))
            optimizer.step(grads)
            losses.append(float(loss))
            bar.set_postfix(loss=f"{losses[-1]:.3f}")
    model.unfreeze().eval()
    return losses


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="of the split, the order, the dropout")
    parser.add_argument("--epochs", type=int, default=2, help="passes; default %(default)s")
    parser.add_argument("--batch", type=int, default=32, help="pairs of a step")
    parser.add_argument("--pairs", type=int, help="how many to take; all if not given")
    parser.add_argument("--steps", type=int, help="to stop after; all of the epochs if not given")
    parser.add_argument("--save", type=Path, help="file for the weights, by Hugging Face's names")
    parser.add_argument("--out", type=Path, default=Path(), help="directory of the picture")
    options = parser.parse_args(arguments)

    known, held = load_pairs(options.seed, options.pairs)
    model, tokenizer = load_model()
    print(f"{len(known)} pairs to learn, {len(held)} held out")
    before, places = judge(model, tokenizer, held)
    print(f"before: loss {before:.4f}, {first(places):.0%} found at once")
    chosen = {name: getattr(options, name) for name in ("epochs", "steps", "batch", "seed")}
    losses = tune(model, tokenizer, known, **chosen)
    result, better = judge(model, tokenizer, held)
    print(f"after:  loss {result:.4f}, {first(better):.0%} found at once")
    if options.save:
        io.save_file(bert_to_huggingface().map(nn.to_torch_state_dict(model)), options.save)
        print(f"saved {options.save}")
    options.out.mkdir(parents=True, exist_ok=True)
    picture = options.out / "tune_search.png"
    draw(picture, losses, options.batch, (before, result), (places, better))
    print(f"drew {picture}")
    print(f"loss of the pairs held out: {result:.4f}")
    return result


def first(places):
    """Share of the sentences that come first."""
    return float(np.mean(places == 0))


def draw(path, losses, batch, held, places):
    """Draw the loss while tuning, and how many sentences are found in how many places."""
    figure = Figure(figsize=(12, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_loss(left, losses, f"InfoNCE among {batch} sentences, each step")
    most = np.arange(1, 21)
    for name, value, found, color in zip(
        ("before", "after"), held, places, (ORANGE, BLUE), strict=True
    ):
        shares = [100 * np.mean(found < n) for n in most]
        label = f"{name}, loss {value:.2f}"
        right.plot(most, shares, color=color, linewidth=2, marker="o", markersize=4, label=label)
    right.set_xlabel("sentences looked at", color=MUTED)
    right.set_xticks([1, 5, 10, 15, 20])
    right.set_ylim(0, 102)
    right.legend(frameon=False, loc="lower right")
    frame(right, "Names held out that find their sentence", "per cent")
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
