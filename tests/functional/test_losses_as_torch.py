"""Losses and their layers against torch's: values and gradients of every option, of any shape."""

import inspect
import itertools
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest
from against_torch import assert_like_torch, assert_second_derivatives, layouts, twice_as_often
from hypothesis import given
from hypothesis import strategies as st
from strategies import FLOAT, fill, library, quiet, seeds

import volta
import volta.functional as F
from volta import nn

pytestmark = [pytest.mark.neural, pytest.mark.grad_check]
SHAPE = (3, 4)


class Call(NamedTuple):
    """Arrays of which the derivatives are compared, what comes after them, and options."""

    arrays: list
    fixed: tuple = ()
    options: Any = MappingProxyType({})


def number(draw, least, most):
    return draw(st.integers(least, most))


def shape(draw, least=0, most=3, shortest=0):
    """Lengths from 1, or now and then from `shortest`, to 4."""
    low = draw(st.sampled_from([1, 1, 1, shortest]))
    return tuple(number(draw, low, 4) for _ in range(number(draw, least, most)))


def real(draw, full):
    """Numbers, sometimes so large that what overflows does."""
    return fill(draw(seeds), full, "float64") * draw(st.sampled_from([1.0, 1.0, 1e4]))


def share(draw, full):
    """Numbers between 0 and 1, sometimes near the ends."""
    edge = draw(st.sampled_from([0.02, 1e-5]))
    return fill(draw(seeds), full, "float64", edge, 1 - edge)


def maybe(draw, *arrays):
    return [a if draw(st.booleans()) else None for a in arrays]


def eighths(least, most):
    return st.integers(8 * least, 8 * most).map(lambda n: n / 8)


positive = st.integers(1, 16).map(lambda n: n / 8)
flag = st.booleans()


def pair(**options):
    """Row of a loss of two arrays of numbers of one shape."""

    def row(draw):
        full = shape(draw)
        chosen = {n: draw(o) for n, o in options.items()}
        return Call([real(draw, full), real(draw, full)], (), chosen)

    return row


def weighted_pair(**options):
    def row(draw):
        arrays, fixed, chosen = pair(**options)(draw)
        if draw(flag):
            chosen["weight"] = share(draw, arrays[0].shape)
        return Call(arrays, fixed, chosen)

    return row


def poisson(draw):
    full = shape(draw)
    log = draw(flag)
    rate = fill(draw(seeds), full, "float64", -3 if log else 0.02)
    counts = fill(draw(seeds), full, "int64", 0, 6).astype(float)
    options = {"log_input": log, "full": draw(flag), "eps": draw(st.sampled_from([1e-8, 0.5]))}
    return Call([rate], (counts,), options)


def gaussian(draw):
    full = shape(draw, 1)
    shared = draw(st.sampled_from([full, (*full[:-1], 1)]))  # the variance of a row
    options = {"full": draw(flag), "eps": draw(st.sampled_from([1e-6, 0.5]))}
    return Call([real(draw, full), real(draw, full), share(draw, shared)], (), options)


def binary(draw):
    full = shape(draw)
    (weight,) = maybe(draw, share(draw, full[draw(st.integers(0, len(full))) :]))
    return Call([share(draw, full), share(draw, full)], (), {"weight": weight})


def binary_of_logits(draw):
    full = shape(draw)
    weight, factor = maybe(draw, share(draw, full), fill(draw(seeds), full[-1:], "float64", 0.1))
    options = {"weight": weight, "pos_weight": factor}
    return Call([real(draw, full), share(draw, full)], (), options)


def divergence(draw):
    full, log = shape(draw), draw(flag)
    p, q = share(draw, full), share(draw, full)
    return Call([np.log(p), np.log(q) if log else q], (), {"log_target": log})


def signs(draw, full):
    return np.where(fill(draw(seeds), full, "float64") < 0, -1.0, 1.0)


def hinge(draw):
    full = shape(draw)
    return Call([real(draw, full)], (signs(draw, full),), {"margin": draw(positive)})


def ranking(draw):
    arrays, *_ = pair()(draw)
    return Call(arrays, (signs(draw, arrays[0].shape),), {"margin": draw(eighths(-1, 1))})


def soft_margin(draw):
    full = shape(draw)
    return Call([fill(draw(seeds), full, "float64")], (signs(draw, full),))


def labelled(draw):
    """Scores (n, classes) or (classes,)."""
    return (*shape(draw, 0, 1, 1), number(draw, 1, 5))


def soft_labels(draw):
    full = shape(draw, 2, 2, 1)
    (weight,) = maybe(draw, share(draw, full[-1:]))
    return Call([real(draw, full), share(draw, full)], (), {"weight": weight})


def label_lists(draw):
    full = labelled(draw)
    rng = np.random.default_rng(draw(seeds))
    orders = rng.permuted(np.broadcast_to(np.arange(full[-1]), full), axis=-1)
    ends = rng.integers(0, full[-1] + 1, size=(*full[:-1], 1))
    return Call([real(draw, full)], (np.where(np.arange(full[-1]) < ends, orders, -1),))


def margins(draw):
    full = labelled(draw)
    (weight,) = maybe(draw, share(draw, full[-1:]))
    target = fill(draw(seeds), full[:-1], "int64", 0, full[-1] - 1)
    options = {"p": draw(st.sampled_from([1, 2])), "margin": draw(positive), "weight": weight}
    return Call([fill(draw(seeds), full, "float64")], (target,), options)


def cosine(draw):
    full = (*shape(draw, 0, 1), number(draw, 1, 4))
    target = signs(draw, full[:-1]).astype(int)
    arrays = [fill(draw(seeds), full, "float64") for _ in range(2)]
    return Call(arrays, (target,), {"margin": draw(eighths(-1, 1))})


def triplet(draw):
    full = (*shape(draw, 1, 2), number(draw, 1, 4))
    options = {"margin": draw(positive), "swap": draw(flag), "p": draw(st.sampled_from([1, 2, 3]))}
    options["p"] = float(options["p"])
    options["eps"] = draw(st.sampled_from([1e-6, 0.1]))
    return Call([fill(draw(seeds), full, "float64") for _ in range(3)], (), options)


def triplet_by_distance(draw):
    arrays, _, options = triplet(draw)
    return Call(arrays, (), {n: options[n] for n in ("margin", "swap")})


def scores(draw):
    """Shape (n, classes, ...) or (classes,), and that of the classes."""
    classes, rest = number(draw, 1, 4), shape(draw)
    return (*rest[:1], classes, *rest[1:]), rest


def classes(draw):
    full, rest = scores(draw)
    count = full[1 if rest else 0]
    target = fill(draw(seeds), rest, "int64", 0, count - 1)
    weight = draw(st.sampled_from([share(draw, (count,))] * 2 + [None]))
    options = {"weight": weight, "ignore_index": draw(st.sampled_from([0, -100, 0]))}
    return full, target, options


def negative_log(draw):
    full, target, options = classes(draw)
    return Call([real(draw, full)], (target,), options)


def entropy(draw):
    full, target, options = classes(draw)
    options["label_smoothing"] = draw(st.sampled_from([0.0, 0.3]))
    if draw(flag):
        return Call([real(draw, full)], (target,), options)
    del options["ignore_index"]
    return Call([real(draw, full), share(draw, full)], (), options)


LOSSES = {
    "MSELoss": ("mse_loss", weighted_pair()),
    "L1Loss": ("l1_loss", weighted_pair()),
    "HuberLoss": ("huber_loss", weighted_pair(delta=positive)),
    "SmoothL1Loss": ("smooth_l1_loss", pair(beta=eighths(0, 2))),
    "PoissonNLLLoss": ("poisson_nll_loss", poisson),
    "GaussianNLLLoss": ("gaussian_nll_loss", gaussian),
    "BCELoss": ("binary_cross_entropy", binary),
    "BCEWithLogitsLoss": ("binary_cross_entropy_with_logits", binary_of_logits),
    "KLDivLoss": ("kl_div", divergence),
    "HingeEmbeddingLoss": ("hinge_embedding_loss", hinge),
    "MarginRankingLoss": ("margin_ranking_loss", ranking),
    "SoftMarginLoss": ("soft_margin_loss", soft_margin),
    "MultiLabelSoftMarginLoss": ("multilabel_soft_margin_loss", soft_labels),
    "MultiLabelMarginLoss": ("multilabel_margin_loss", label_lists),
    "MultiMarginLoss": ("multi_margin_loss", margins),
    "CosineEmbeddingLoss": ("cosine_embedding_loss", cosine),
    "TripletMarginLoss": ("triplet_margin_loss", triplet),
    "TripletMarginWithDistanceLoss": ("triplet_margin_with_distance_loss", triplet_by_distance),
    "NLLLoss": ("nll_loss", negative_log),
    "CrossEntropyLoss": ("cross_entropy", entropy),
}


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def smooth(arrays, options):
    """Whether differences are of use: no kink is met, no number is large, no variance is lifted."""
    apart = all(np.all(a != b) for a, b in itertools.combinations(arrays, 2) if a.shape == b.shape)
    small = all(np.all(np.abs(a) < 10) for a in arrays)
    return apart and small and options.get("eps", 0) < 0.5


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize("layer", LOSSES)
@twice_as_often
@given(data=st.data())
def test_losses_are_torchs(torch, layer, data):
    name, row = LOSSES[layer]
    arrays, fixed, options = row(data.draw)
    dtype = data.draw(st.sampled_from(FLOAT))
    options = {**options, "reduction": data.draw(st.sampled_from(["mean", "mean", "sum", "none"]))}

    def given_as(change):
        given = [change(a) if a.dtype.kind == "f" else a for a in fixed]
        named = {n: change(o) if isinstance(o, np.ndarray) else o for n, o in options.items()}
        return given, named

    own, own_options = given_as(lambda a: a.astype(dtype))
    wide, wide_options = given_as(lambda a: torch.from_numpy(a.astype(dtype).astype(float)))
    wide = [torch.as_tensor(a) for a in wide]

    def ours(*arrays):
        return getattr(F, name)(*arrays, *own, **own_options)

    def theirs(*arrays):
        return getattr(torch.nn.functional, name)(*arrays, *wide, **wide_options)

    taken = inspect.signature(getattr(nn, layer)).parameters
    with quiet():  # means of nothing, sums of large numbers
        assert_like_torch(ours, theirs, arrays, dtype, layout=data.draw(layouts))
        finite = np.all(np.isfinite(ours(*arrays)))  # not a mean of nothing
        if dtype == "float64" and finite and smooth(arrays, options):
            assert_second_derivatives(ours, arrays)
        if own_options.keys() <= taken.keys():
            made = getattr(nn, layer)(**own_options)
            arrays = [a.astype(dtype) for a in arrays]
            np.testing.assert_array_equal(made(*arrays, *own), ours(*arrays))


# CTC ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lib", ["numpy", "torch"])
@twice_as_often
@given(data=st.data())
def test_ctc_is_torchs(torch, lib, data):
    draw = data.draw
    steps, count, classes, longest = number(draw, 1, 9), number(draw, 1, 3), number(draw, 2, 5), 4
    blank = number(draw, 0, classes - 1)
    times, lengths = (
        tuple(number(draw, 0, most) for _ in range(count)) for most in (steps, longest)
    )
    labels = fill(draw(seeds), (count, longest), "int64", 0, classes - 2)
    labels = np.where(labels >= blank, labels + 1, labels)
    if draw(st.booleans()):  # all in one row
        labels = np.concatenate([row[:n] for row, n in zip(labels, lengths, strict=True)])
    logits = fill(draw(seeds), (steps, count, classes), "float64")
    if count == 1 and draw(st.booleans()):  # without a batch
        times, lengths = times[0], lengths[0]
        logits, labels = logits[:, 0], labels.reshape(-1)[:lengths]
    reduction = draw(st.sampled_from(["mean", "sum", "none"]))
    options = {"blank": blank, "reduction": reduction, "zero_infinity": True}
    own = library(lib).asarray(labels)

    def ours(x):
        return F.ctc_loss(F.log_softmax(x), own, times, lengths, **options)

    def theirs(x):  # whose derivative in log_probs is that in logits
        bounds = (torch.tensor(times), torch.tensor(lengths))
        x = torch.nn.functional.log_softmax(x, -1)
        return torch.nn.functional.ctc_loss(x, torch.from_numpy(labels), *bounds, **options)

    assert_like_torch(ours, theirs, [logits], draw(st.sampled_from(FLOAT)), lib)


@pytest.mark.grad_check
def test_an_input_too_short_for_its_labels_has_an_infinite_loss():
    x = F.log_softmax(np.zeros((2, 2, 3)))
    y = np.asarray([[1, 1], [1, 2]])

    def losses(x, **options):
        return F.ctc_loss(x, y, (2, 2), (2, 2), reduction="none", **options)

    assert np.isinf(losses(x)).tolist() == [True, False]
    assert losses(x, zero_infinity=True)[0] == 0.0
    grad = volta.grad(lambda x: F.sum(losses(x, zero_infinity=True)))(x)
    assert not grad[:, 0].any()
    assert grad[:, 1].any()


def by_paths(log_probs, labels, blank):
    """Negative log likelihood of labels: the sum over all paths, one by one."""
    steps, classes = log_probs.shape
    total = 0.0
    for path in itertools.product(range(classes), repeat=steps):
        merged = [c for c, _ in itertools.groupby(path)]
        if [c for c in merged if c != blank] == labels:
            total += np.exp(sum(log_probs[t, c] for t, c in enumerate(path)))
    return -np.log(total)


@pytest.mark.parametrize("labels", [[], [1], [1, 1], [1, 2], [2, 1, 2]])
def test_ctc_is_the_sum_over_all_paths(labels):
    x = F.log_softmax(np.random.default_rng(0).normal(size=(5, 3)))
    y = np.asarray(labels, dtype=np.int64)
    out = F.ctc_loss(x, y, 5, len(labels), reduction="sum")
    np.testing.assert_allclose(out, by_paths(x, labels, 0), rtol=1e-12)


def test_ctc_over_lanes_is_a_loop():
    x = F.log_softmax(np.random.default_rng(0).normal(size=(3, 6, 2, 4)))
    y = np.asarray([[[1, 2], [3, 3]], [[2, 1], [1, 1]], [[3, 2], [2, 3]]])

    def loss(x, y):
        return F.ctc_loss(x, y, (6, 5), (2, 1), reduction="none")

    loop = np.stack([loss(*lane) for lane in zip(x, y, strict=True)])
    np.testing.assert_allclose(volta.vmap(loss)(x, y), loop, rtol=1e-12)
    grads = volta.vmap(volta.grad(lambda x, y: F.sum(loss(x, y))))(x, y)
    one = volta.grad(lambda x: F.sum(loss(x, y[1])))(x[1])
    np.testing.assert_allclose(grads[1], one, rtol=1e-11)


def test_ctc_of_many_steps_does_not_underflow():
    x = np.full((2000, 1, 40), -40.0, dtype=np.float32)
    out = F.ctc_loss(x, np.full((1, 30), 3), (2000,), (30,), reduction="sum")
    assert 70_000 < out < 80_000


# Extremes -----------------------------------------------------------------------------------------

INF = np.inf


@pytest.mark.parametrize(
    ("x", "t", "value", "slope"),
    [
        (1000.0, 1.0, 0.0, 0.0),
        (1000.0, 0.0, 1000.0, 1.0),
        (-1000.0, 0.0, 0.0, 0.0),
        (-1000.0, 1.0, 1000.0, -1.0),
        (40.0, 1.0, np.exp(-40.0), -np.exp(-40.0)),
        (-40.0, 0.0, np.exp(-40.0), np.exp(-40.0)),
        (INF, 1.0, 0.0, 0.0),
        (-INF, 0.0, 0.0, 0.0),
    ],
)
def test_binary_cross_entropy_of_sure_logits_keeps_its_digits(x, t, value, slope):
    loss = F.binary_cross_entropy_with_logits
    found = volta.value_and_grad(loss)(np.asarray(x), np.asarray(t))
    np.testing.assert_allclose(found, (value, slope), rtol=1e-15)


def test_binary_cross_entropy_of_sure_mistakes():
    p, t = np.asarray([0.0, 1.0, 0.0, 1.0]), np.asarray([1.0, 0.0, 0.0, 1.0])
    out, grad = volta.value_and_grad(lambda p: F.binary_cross_entropy(p, t, reduction="sum"))(p)
    assert out == 200.0
    np.testing.assert_allclose(grad, [-1e12, 1e12, 0, 0])


@pytest.mark.parametrize("lib", ["numpy", "torch"])
@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_numbers_that_are_no_probability(p, lib):
    x = np.asarray([0.5, p])
    if lib == "torch":
        x = pytest.importorskip("torch").from_numpy(x)
    with pytest.raises(ValueError, match=r"binary_cross_entropy: input must be from 0 to 1; got"):
        F.binary_cross_entropy(x, x)


def test_divergence_where_a_class_is_absent():
    x, t = np.asarray([-INF, -0.5]), np.asarray([0.0, 1.0])
    out, grads = volta.value_and_grad(lambda x, t: F.kl_div(x, t, reduction="sum"), (0, 1))(x, t)
    assert out == 0.5
    np.testing.assert_array_equal(grads, [[0.0, -1.0], [0.0, 1.5]])
    logs = F.kl_div(x, np.asarray([-INF, 0.0]), log_target=True, reduction="none")
    np.testing.assert_array_equal(logs, [0.0, 0.5])


@pytest.mark.parametrize("x", [1e-8, 0.3, 1.0, 30.0, 1000.0])
def test_log_cosh_keeps_its_digits(x):
    found = volta.value_and_grad(F.log_cosh_loss)(np.asarray(x), np.asarray(0.0))
    exact = x * x / 2 if x < 1e-6 else np.logaddexp(x, -x) - np.log(2)
    np.testing.assert_allclose(found, (exact, np.tanh(x)), rtol=1e-14)


def test_negative_variances_are_not_hidden():
    x = np.asarray([1.0])
    with np.errstate(invalid="ignore"):
        assert np.isnan(F.gaussian_nll_loss(x, x, np.asarray([-1.0])))


@pytest.mark.parametrize("batch", ["mean", "batchmean"])
def test_divergence_has_two_means(batch):
    x, t = np.log(np.full((2, 4), 0.25)), np.full((2, 4), [0.7, 0.1, 0.1, 0.1])
    total = np.sum(t * (np.log(t) - x))
    out = F.kl_div(x, t, reduction=batch)
    np.testing.assert_allclose(out, total / (8 if batch == "mean" else 2), rtol=1e-14)


@pytest.mark.parametrize("shape", [(3, 4), (3, 1), (3,), "number"])
def test_variances_may_be_shared(shape):
    x, y = np.random.default_rng(0).normal(size=(2, *SHAPE))
    var = 0.7 if shape == "number" else np.random.default_rng(1).uniform(0.5, 2, size=shape)
    wide = np.reshape(var, (3, 1)) if shape == (3,) else np.asarray(var)
    expected = 0.5 * (np.log(wide) + (x - y) ** 2 / wide)
    np.testing.assert_allclose(F.gaussian_nll_loss(x, y, var), expected.mean(), rtol=1e-14)


# Distances ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_cosine_similarity_is_torchs(torch, axis):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3, 1, 2)), rng.normal(size=(3, 4, 1))
    x[0] = 0.0
    xs, ys = (torch.from_numpy(a).requires_grad_(True) for a in (x, y))
    expected = torch.nn.functional.cosine_similarity(xs, ys, axis)
    np.testing.assert_allclose(F.cosine_similarity(x, y, axis), expected.detach(), atol=1e-14)
    grads = volta.grad(lambda x, y: F.sum(F.cosine_similarity(x, y, axis)), (0, 1))(x, y)
    for got, other in zip(grads, torch.autograd.grad(expected.sum(), (xs, ys)), strict=True):
        np.testing.assert_allclose(got, other.numpy(), rtol=1e-10, atol=1e-12)


def test_vectors_shorter_than_eps_are_divided_by_eps():
    x, y = 1e-3 * np.ones((2, 3)), np.asarray([[1.0, 2.0, 2.0]])
    out = F.cosine_similarity(x, y, eps=0.5)
    np.testing.assert_allclose(out, [5e-3 / 1.5] * 2, rtol=1e-14)
    volta.testing.check_grads(
        lambda x, y: F.cosine_similarity(x, y, eps=0.5), (x, y), order=2, eps=1e-5
    )


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, INF])
def test_pairwise_distance_is_torchs(torch, p, keepdims):
    x, y = np.random.default_rng(0).normal(size=(2, *SHAPE))
    y[0] = x[0]
    xs, ys = (torch.from_numpy(a).requires_grad_(True) for a in (x, y))
    expected = torch.nn.functional.pairwise_distance(xs, ys, p, 1e-3, keepdims)
    out = F.pairwise_distance(x, y, p, 1e-3, keepdims)
    np.testing.assert_allclose(out, expected.detach(), rtol=1e-12)
    grad = volta.grad(lambda x: F.sum(F.pairwise_distance(x, y, p, 1e-3)[1:]))(x)
    (other,) = torch.autograd.grad(expected[1:].sum(), xs)
    np.testing.assert_allclose(grad, other.numpy(), rtol=1e-10, atol=1e-12)


# Losses that torch does not have ------------------------------------------------------------------


@given(seed=seeds)
def test_losses_that_torch_does_not_have_are_their_formulas(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, *SHAPE))
    p, t = rng.uniform(0.01, 0.99, size=SHAPE), rng.choice([0.0, 1.0], size=SHAPE)
    d = y - x
    both = (p * t).sum(1)
    dice = 1 - (2 * both + 1) / (p.sum(1) + t.sum(1) + 1)
    rest = 0.3 * (p * (1 - t)).sum(1) + 0.7 * ((1 - p) * t).sum(1)
    s = 1 / (1 + np.exp(-x))
    right = np.where(t == 1, s, 1 - s)
    share = np.where(t == 1, 0.25, 0.75)
    pinball = np.where(d > 0, 0.8 * d, -0.2 * d)
    divergence = 0.5 * (x**2 + np.exp(y) - 1 - y)
    for out, expected in [
        (F.log_cosh_loss(x, y), np.log(np.cosh(d)).mean()),
        (F.quantile_loss(x, y, quantile=0.8, reduction="none"), pinball),
        (F.dice_loss(p, t), dice.mean()),
        (F.dice_loss(p, t, reduction="none"), dice),
        (
            F.tversky_loss(p, t, alpha=0.3, beta=0.7, smooth=2.0, reduction="sum"),
            (1 - (both + 2) / (both + rest + 2)).sum(),
        ),
        (F.sigmoid_focal_loss(x, t), -share * (1 - right) ** 2 * np.log(right)),
        (F.sigmoid_focal_loss(x, t, -1, 0.0, reduction="mean"), -np.log(right).mean()),
        (F.kl_divergence_gaussian(x, y), divergence.sum(1).mean()),
        (F.kl_divergence_gaussian(x, y, reduction="sum"), divergence.sum()),
    ]:
        np.testing.assert_allclose(out, expected, rtol=1e-11, atol=1e-14)


# Errors -------------------------------------------------------------------------------------------

X = np.ones(SHAPE)
CUBE, NUMBER = np.ones((2, 3, 4)), np.asarray(1.0)
THREE = (1, 1, 1)


def whole(*shape):
    return np.ones(shape, dtype=np.int64)


REFUSED = [
    (lambda: F.huber_loss(X, X, delta=0), "huber_loss: delta must be positive; got 0"),
    (lambda: F.smooth_l1_loss(X, X, beta=-1), "smooth_l1_loss: beta must not be negative; got -1"),
    (lambda: F.quantile_loss(X, X, quantile=2), "quantile must be from 0 to 1; got 2"),
    (lambda: F.gaussian_nll_loss(X, X, X, eps=0), "gaussian_nll_loss: eps must be positive; got 0"),
    (
        lambda: F.gaussian_nll_loss(X, X, -1.0),
        "loss: var must not be negative; got -1",
    ),
    (lambda: F.sigmoid_focal_loss(X, X, gamma=-1), "gamma must not be negative; got -1"),
    (lambda: F.triplet_margin_loss(X, X, X, margin=0), "margin must be positive; got 0"),
    (lambda: F.multi_margin_loss(X, whole(3), p=3), "multi_margin_loss: p must be 1 or 2; got 3"),
    (lambda: F.kl_div(X, X, reduction="avg"), "'mean', 'sum', 'batchmean' or 'none'; got 'avg'"),
    (
        lambda: F.mse_loss(X, X, weight=X[0]),
        r"mse_loss: input and weight must have one shape; got \(3, 4\) and \(4,\)",
    ),
    (
        lambda: F.multi_margin_loss(X, whole(3), weight=X[:, 0]),
        r"weight must have one factor a class, shape \(4,\); got shape \(3,\)",
    ),
    (
        lambda: F.binary_cross_entropy(X, X, CUBE),
        r"binary_cross_entropy: weight must broadcast to \(3, 4\); got shape \(2, 3, 4\)",
    ),
    (
        lambda: F.binary_cross_entropy_with_logits(X, X, pos_weight=np.ones(3)),
        r"pos_weight must broadcast to \(3, 4\); got shape \(3,\)",
    ),
    (lambda: F.dice_loss(NUMBER, NUMBER), "dice_loss: input must have an axis of examples"),
    (lambda: F.kl_divergence_gaussian(NUMBER, NUMBER), "mu must have a batch axis"),
    (
        lambda: F.multilabel_margin_loss(CUBE, whole(2, 3, 4)),
        r"input must have shape \(n, classes\) or \(classes,\); got \(2, 3, 4\)",
    ),
    (
        lambda: F.ctc_loss(CUBE, whole(3, 2), (2, 2), THREE),
        r"ctc_loss: input_lengths must have shape \(3,\); got \(2,\)",
    ),
    (
        lambda: F.ctc_loss(CUBE, whole(4), (2, 2, 2), THREE),
        "as many as target_lengths says; got 4 and 3",
    ),
    (
        lambda: F.ctc_loss(CUBE, whole(2, 3), (2, 2, 2), THREE),
        r"targets must have shape \(3, length\) .*; got shape \(2, 3\)",
    ),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_options_and_shapes_that_make_no_sense(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("time", "length", "blank", "message"),
    [
        (3, 2, 0, "input_lengths must be from 0 to 2; got 3 to 3"),
        (2, 5, 0, "target_lengths must be from 0 to 2; got 5 to 5"),
        (2, -1, 0, "target_lengths must be from 0; got -1 to -1"),
        (2, 1, 9, "blank must be from 0 to 3; got 9"),
    ],
)
def test_ctc_lengths_outside_of_their_arrays(time, length, blank, message):
    with pytest.raises(volta.DimensionError, match=f"ctc_loss: {message}"):
        F.ctc_loss(np.ones((2, 1, 4)), whole(1, 2), (time,), (length,), blank)


def test_ctc_labels_are_integers():
    with pytest.raises(volta.DTypeError, match="ctc_loss: targets must be integers; got float64"):
        F.ctc_loss(np.ones((2, 1, 4)), np.ones((1, 2)), (2,), (1,))
