"""Rows of `volta/functional/attention.py` and `position.py`."""

import numpy as np

import volta.functional as F
from samples.sample import add, compose, real, truth
from volta.core.errors import DTypeError, ShapeError

_q, _k, _v = real(2, 4, 3), real(2, 5, 3), real(2, 5, 2)
_sdpa = F.scaled_dot_product_attention
add(
    "attention",
    _sdpa,
    _q,
    _k,
    _v,
    of="scaled_dot_product_attention",
    errors=(
        (
            lambda: _sdpa(np.ones((4, 3)), np.ones((5, 2)), np.ones((5, 2))),
            ShapeError,
            r"as many features; got shapes \(4, 3\) and \(5, 2\) and \(5, 2\)",
        ),
        (
            lambda: _sdpa(np.ones((4, 3)), np.ones((5, 3)), np.ones((5, 3)), np.ones((4, 4))),
            ShapeError,
            r"attn_mask must broadcast to the scores; got shapes \(4, 4\) and \(4, 5\)",
        ),
        (
            lambda: _sdpa(np.ones((4, 3), int), np.ones((5, 3)), np.ones((5, 3))),
            DTypeError,
            "one real floating dtype; got int64, float64, float64",
        ),
    ),
)
add(
    "attention",
    lambda q, k, v, bias: _sdpa(q, k, v, bias, is_causal=True),
    _q,
    _k[:1],
    _v,
    real(4, 5),
    name="attention-causal",
    of="scaled_dot_product_attention",
)
add(
    "attention",
    lambda q, k, v, mask: _sdpa(q, k, v, mask, scale=0.3),
    _q,
    _k[0],
    _v,
    np.asarray([[True, False, True, True, False], [False] * 5, [True] * 5, [True] * 5]),
    diff=(0, 1, 2),
    name="attention-mask",
    of="scaled_dot_product_attention",
)
add(
    "attention",
    lambda q, k, v, bias: _sdpa(q, k, v, bias, enable_gqa=True),
    real(4, 3, 2),
    real(2, 5, 2),
    real(2, 5, 3),
    real(4, 1, 5),
    name="attention-grouped",
    of="scaled_dot_product_attention",
)
compose(
    "attention-dropout",
    lambda q, k, v: _sdpa(q, k, v, dropout_p=0.5, dropout_key=F.random.key(1)),
    _q,
    _k,
    _v,
    of="scaled_dot_product_attention",
)
compose(
    "dot_product_attention",
    lambda q, k, v, b, m: F.dot_product_attention(q, k, v, b, m),
    real(2, 4, 2, 3),
    real(2, 5, 1, 3),
    real(2, 5, 1, 2),
    real(2, 4, 5),
    truth(4, 5) | np.eye(4, 5, dtype=bool),
    diff=(0, 1, 2, 3),
)
compose("rotary_embedding", F.rotary_embedding, real(2, 3, 4))
compose(
    "rotary_embedding-positions",
    lambda x, i: F.rotary_embedding(x, i, interleaved=True),
    real(2, 3, 4),
    np.asarray([5, 0, 2]),
    of="rotary_embedding",
)
