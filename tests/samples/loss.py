"""Rows of `volta/functional/loss.py`."""

import numpy as np

import volta.functional as F
from samples.sample import add, compose, ints, real
from volta.core.errors import DimensionError, ShapeError
from volta.functional import probability_loss, regression_loss

_x, _y = real(2, 3), real(2, 3)[::-1] + 0.21
_p, _q = real(2, 3, low=0.1, high=0.8), real(2, 3, low=0.1, high=0.8)[:, ::-1]

_labels = ints(4, high=3)
add(
    "class_losses",
    lambda x, t: F.cross_entropy(x, t, reduction="none"),
    real(4, 3),
    _labels,
    of="cross_entropy",
    errors=(
        (
            lambda: F.cross_entropy(np.ones((2, 3)), np.asarray([0, 3])),
            DimensionError,
            "cross_entropy: classes must be from 0 to 2; got 0 to 3",
        ),
        (
            lambda: F.cross_entropy(np.ones((2, 3)), np.asarray([0])),
            ShapeError,
            r"without its class axis; got \(1,\) and \(2, 3\)",
        ),
    ),
)
add(
    "class_losses",
    lambda x, t: F.cross_entropy(x, t, ignore_index=1),
    real(2, 3, 2),
    np.asarray([[0, 1], [2, 2]]),
    of="cross_entropy",
    name="class_losses-ignored",
)

_weights = np.asarray([0.3, 1.7, 0.9])
compose(
    "cross_entropy-smoothed",
    lambda x, t, w: F.cross_entropy(x, t, w, label_smoothing=0.3),
    real(4, 3),
    _labels,
    _weights,
)
compose("cross_entropy-probabilities", F.cross_entropy, real(4, 3), real(4, 3, low=0.1, high=0.9))
compose("nll_loss", F.nll_loss, real(4, 3), _labels, _weights)
for _name in ("l1_loss", "mse_loss", "huber_loss", "smooth_l1_loss", "log_cosh_loss"):
    _primitive = {"huber_loss": "_huber", "smooth_l1_loss": "_huber", "log_cosh_loss": "_log_cosh"}
    add(
        _primitive.get(_name, ""),
        getattr(F, _name),
        real(2, 3),
        real(2, 3) + 0.21,
        name=_name,
    )
    compose(
        f"{_name}-none",
        lambda x, y, f=getattr(F, _name): f(x, y, reduction="none"),
        real(3),
        real(3) + 0.21,
    )
add("_huber", regression_loss._huber, real(2, 3), real(3, low=0.3), name="_huber-delta")
for _name in ("l1_loss", "mse_loss", "huber_loss"):
    compose(
        f"{_name}-weighted",
        lambda x, y, w, f=getattr(F, _name): f(x, y, weight=w),
        real(2, 3),
        real(2, 3) + 0.21,
        real(2, 3, low=0.3),
    )
compose("quantile_loss", lambda x, y: F.quantile_loss(x, y, quantile=0.7), _x, _y)
_counts = np.asarray([[0.0, 1.0, 2.0], [3.0, 4.0, 7.0]], np.float32)
compose("poisson_nll_loss", lambda x: F.poisson_nll_loss(x, _counts, full=True), _x)
compose("poisson_nll_loss-rates", lambda x: F.poisson_nll_loss(x, _counts, log_input=False), _p)
compose("poisson_nll_loss-target", lambda x, y: F.poisson_nll_loss(x, y, full=True), _x, _p + 1.3)
compose("gaussian_nll_loss", lambda *a: F.gaussian_nll_loss(*a, full=True), _x, _y, _p)
compose("gaussian_nll_loss-shared", F.gaussian_nll_loss, _x, _y, _p[:, 0])
compose("kl_divergence_gaussian", F.kl_divergence_gaussian, _x, _y)

# Probabilities ------------------------------------------------------------------------------------

add("_binary_entropy", F.binary_cross_entropy, _p, _q, name="binary_cross_entropy")
compose("binary_cross_entropy-weighted", F.binary_cross_entropy, _p, _q, _weights)
add(
    "_logit_losses",
    F.binary_cross_entropy_with_logits,
    _x,
    _q,
    name="binary_cross_entropy_with_logits",
)
compose(
    "binary_cross_entropy_with_logits-weighted",
    lambda x, t, w: F.binary_cross_entropy_with_logits(x, t, w, pos_weight=w * w),
    _x,
    _q,
    _weights,
)
add("_logit_slopes", probability_loss._logit_slopes, _x, _p, _q)
compose("multilabel_soft_margin_loss", F.multilabel_soft_margin_loss, _x, _q, _weights)
_signs = np.asarray([[1.0, -1.0, 1.0], [-1.0, -1.0, 1.0]])
compose("soft_margin_loss", F.soft_margin_loss, _x, _signs)
compose("sigmoid_focal_loss", F.sigmoid_focal_loss, _x, _q)
compose("kl_div", F.kl_div, _x, _q)
compose("kl_div-batch", lambda x, t: F.kl_div(x, t, log_target=True, reduction="batchmean"), _x, _y)
compose("dice_loss", F.dice_loss, _p, _q)
compose("tversky_loss", lambda p, t: F.tversky_loss(p, t, alpha=0.3, beta=0.7), _p, _q)

# Margins ------------------------------------------------------------------------------------------

compose("cosine_similarity", F.cosine_similarity, _x, _y)
compose("cosine_similarity-outer", lambda x, y: F.cosine_similarity(x, y, -1), _x, real(4, 1, 3))
for _ord in (1.0, 2.0, 3.0):
    compose(
        "pairwise_distance" if _ord == 2 else f"pairwise_distance-{_ord}",
        lambda x, y, p=_ord: F.pairwise_distance(x, y, p),
        _x,
        _y,
    )
compose("hinge_embedding_loss", lambda x: F.hinge_embedding_loss(x, np.float32(_signs)), _x)
compose(
    "margin_ranking_loss",
    lambda x, y: F.margin_ranking_loss(x, y, np.float32(_signs), margin=0.3),
    _x,
    _y,
)
compose(
    "cosine_embedding_loss",
    lambda x, y, t: F.cosine_embedding_loss(x, y, t, margin=-0.9),
    _x,
    _y,
    np.asarray([1, -1]),
)
compose("triplet_margin_loss", lambda *a: F.triplet_margin_loss(*a, swap=True), _x, _y, _p)
compose("triplet_margin_with_distance_loss", F.triplet_margin_with_distance_loss, _x, _y, _p)
compose("multi_margin_loss", lambda x, t: F.multi_margin_loss(x, t, p=2), _x, np.asarray([2, 0]))
compose(
    "multilabel_margin_loss", F.multilabel_margin_loss, _x, np.asarray([[2, -1, 1], [1, 0, -1]])
)

# CTC ----------------------------------------------------------------------------------------------

_labelled = np.asarray([[1, 1], [2, 0]])
add(
    "ctc_paths",
    lambda x, y: F.ctc_loss(x, y, (5, 4), (2, 1)),
    real(5, 2, 3),
    _labelled,
    name="ctc_loss",
    vmap="a lane's axis 1 is not the batch of labels in the row's lanes",
)
compose("ctc_loss-single", lambda x: F.ctc_loss(x, (1, 2), 4, 2, reduction="sum"), real(4, 3))
