"""Rows of `volta/functional/embedding.py`."""

import numpy as np

import volta.functional as F
from samples.sample import compose, real

_rows = np.asarray([[1, 0], [3, 1], [1, 2]])
_listed = np.asarray([1, 0, 3, 3, 1])
_offsets = np.asarray([0, 2, 2])

compose("embedding", F.embedding, _rows, real(4, 3))
compose(
    "embedding-padding",
    lambda x, w: F.embedding(x, w, padding_idx=1),
    _rows,
    real(4, 3),
    reference=lambda x, w: F.embedding(x, F.at(w)[1].set(_padding)),
)
_padding = np.zeros(3)
compose("embedding-shortened", lambda x, w: F.embedding(x, w, max_norm=1.5), _rows, real(4, 3))
for _mode in ("sum", "mean", "max"):
    compose(
        "embedding_bag" if _mode == "mean" else f"embedding_bag-{_mode}",
        lambda x, w, mode=_mode: F.embedding_bag(x, w, mode=mode, padding_idx=2),
        _rows,
        real(4, 3),
    )
    compose(
        f"embedding_bag-listed-{_mode}",
        lambda x, w, mode=_mode: F.embedding_bag(x, w, _offsets, mode=mode),
        _listed,
        real(4, 3),
    )
compose(
    "embedding_bag-weighted",
    lambda x, w, p: F.embedding_bag(x, w, _offsets, mode="sum", per_sample_weights=p),
    _listed,
    real(4, 3),
    real(5),
)
