"""A small BERT whose weights NumPy draws, the same in tests and in scripts/record_bert_outputs."""

import numpy as np

TINY = {
    "vocab_size": 20,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 6,
    "layer_norm_eps": 0.1,
}


def drawn(shapes):
    """Arrays of these names and shapes in 64 bits."""
    rng = np.random.default_rng(5)
    return {name: rng.uniform(-1, 1, shapes[name]) for name in sorted(shapes)}
