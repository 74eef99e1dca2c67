"""Losses against torch's: values and gradients of every option, in both precisions."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds

import volta
import volta.functional as F

pytestmark = [pytest.mark.neural, pytest.mark.grad_check]
SHAPE = (3, 4)


class Case:
    """A loss, its options, and kinds of arguments, of which the first `varied` are varied."""

    def __init__(self, name, kinds, varied=1, **options):
        self.name, self.kinds, self.varied, self.options = name, kinds, varied, options

    def __repr__(self):
        chosen = "-".join(k if isinstance(v, np.ndarray) else f"{k}={v}" for k, v in self.items())
        return f"{self.name}-{chosen}" if chosen else self.name

    def items(self):
        return self.options.items()


def drawn(kind, rng):
    match kind:
        case "real":
            return rng.normal(size=SHAPE) * 2
        case "probability":
            return rng.uniform(0.02, 0.98, size=SHAPE)
        case "log":
            return np.log(rng.uniform(0.02, 0.98, size=SHAPE))
        case "count":
            return rng.integers(0, 6, size=SHAPE).astype(float)
        case "sign":
            return rng.choice([-1.0, 1.0], size=SHAPE)
        case "signs":
            return rng.choice([-1, 1], size=3)
        case "class":
            return rng.integers(0, 4, size=3)
    ended = np.arange(4) < rng.integers(0, 5, size=(3, 1))
    return np.where(ended, rng.permuted(np.tile(np.arange(4), (3, 1)), axis=1), -1)


REAL2, REAL3 = ("real",) * 2, ("real",) * 3
UNIT2 = ("probability", "probability")
LOGIT = ("real", "probability")
FACTORS = np.linspace(0.5, 2.0, 12).reshape(SHAPE)
CASES = [
    *(Case(n, REAL2, 2) for n in ("mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss")),
    *(Case(n, REAL2, 2, weight=FACTORS) for n in ("mse_loss", "l1_loss", "huber_loss")),
    *(Case("huber_loss", REAL2, 2, delta=d) for d in (0.3, 2.5)),
    *(Case("smooth_l1_loss", REAL2, 2, beta=b) for b in (0.0, 0.3, 2.5)),
    *(
        Case("poisson_nll_loss", (kind, "count"), log_input=log, full=full)
        for kind, log in [("real", True), ("probability", False)]
        for full in (False, True)
    ),
    *(
        Case("gaussian_nll_loss", (*REAL2, "probability"), 3, full=f, eps=e)
        for f, e in itertools.product([False, True], [1e-6, 0.5])
    ),
    Case("binary_cross_entropy", UNIT2, 2),
    Case("binary_cross_entropy", UNIT2, 2, weight=FACTORS),
    Case("binary_cross_entropy_with_logits", LOGIT, 2),
    Case("binary_cross_entropy_with_logits", LOGIT, 2, weight=FACTORS[0], pos_weight=FACTORS[1]),
    Case("kl_div", ("log", "probability"), 2),
    Case("kl_div", ("log", "log"), 2, log_target=True),
    *(Case("hinge_embedding_loss", ("real", "sign"), margin=m) for m in (0.5, 1.0)),
    *(Case("margin_ranking_loss", (*REAL2, "sign"), 2, margin=m) for m in (0.0, 0.5)),
    Case("soft_margin_loss", ("real", "sign")),
    Case("multilabel_soft_margin_loss", LOGIT, 2),
    Case("multilabel_soft_margin_loss", LOGIT, 2, weight=FACTORS[0]),
    Case("multilabel_margin_loss", ("real", "labels")),
    *(
        Case("multi_margin_loss", ("real", "class"), p=p, margin=0.7, weight=w)
        for p, w in itertools.product([1, 2], [None, FACTORS[0]])
    ),
    *(Case("cosine_embedding_loss", (*REAL2, "signs"), 2, margin=m) for m in (0.0, 0.3)),
    *(
        Case("triplet_margin_loss", REAL3, 3, p=p, swap=s)
        for p, s in itertools.product([1.0, 2.0, 3.0], [False, True])
    ),
    Case("triplet_margin_with_distance_loss", REAL3, 3, swap=True, margin=0.5),
]


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("case", CASES, ids=repr)
@settings(max_examples=5)
@given(seed=seeds, dtype=st.sampled_from(["float32", "float64"]))
def test_values_and_gradients_are_torchs(torch, case, reduction, seed, dtype):
    rng = np.random.default_rng(seed)
    args = [drawn(kind, rng) for kind in case.kinds]
    args = [a.astype(dtype) if a.dtype.kind == "f" else a for a in args]
    ours = {k: v.astype(dtype) if isinstance(v, np.ndarray) else v for k, v in case.items()}
    theirs = {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in ours.items()}
    tensors = [torch.from_numpy(a).requires_grad_(i < case.varied) for i, a in enumerate(args)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about reductions
        expected = getattr(torch.nn.functional, case.name)(*tensors, reduction=reduction, **theirs)
    w = rng.normal(size=tuple(expected.shape)).astype(dtype)

    def loss(*varied):
        out = getattr(F, case.name)(*varied, *args[case.varied :], reduction=reduction, **ours)
        return F.sum(F.multiply(out, w)), out

    places = tuple(range(case.varied))
    (_, out), grads = volta.value_and_grad(loss, places, has_aux=True)(*args[: case.varied])
    assert out.dtype == dtype
    relative = 1e-10 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(out, expected.detach().numpy(), rtol=relative, atol=relative)
    found = torch.autograd.grad((expected * torch.asarray(w)).sum(), tensors[: case.varied])
    for got, other in zip(grads, found, strict=True):
        absolute = relative * max(1.0, float(np.max(np.abs(got))))
        np.testing.assert_allclose(got, other.numpy(), rtol=relative, atol=absolute)


# CTC ----------------------------------------------------------------------------------------------

SPEECH = [  # times, labels, lengths of inputs and of targets, blank
    (12, 4, (12, 10, 9), (4, 3, 2), 0),
    (12, 4, (12, 10, 9), (4, 0, 1), 4),
    (5, 2, (5, 3, 2), (2, 2, 2), 2),
    (4, 4, (4, 2, 1), (4, 4, 4), 0),  # too short
    (1, 1, (1, 1, 1), (1, 0, 1), 0),
    (5, 2, (5, 0, 0), (2, 1, 0), 0),
]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("speech", SPEECH)
@pytest.mark.parametrize("lib", ["numpy", "torch"])
def test_ctc_is_torchs(torch, speech, reduction, together, lib):
    steps, longest, times, lengths, blank = speech
    rng = np.random.default_rng(steps)
    logits = rng.normal(size=(steps, 3, 5))
    labels = rng.integers(0, 4, size=(3, longest))
    labels = np.where(labels >= blank, labels + 1, labels)
    labels[0, -1] = labels[0, 0]  # so that some repeat
    if together:
        labels = np.concatenate([row[:n] for row, n in zip(labels, lengths, strict=True)])
    options = {"blank": blank, "reduction": reduction, "zero_infinity": True}

    def loss(space, x, y):
        return space.ctc_loss(space.log_softmax(x, -1), y, times, lengths, **options).sum()

    x, y = torch.from_numpy(logits), torch.from_numpy(labels)
    xs = x.clone().requires_grad_(True)
    expected = loss(torch.nn.functional, xs, y)
    (slope,) = torch.autograd.grad(expected, xs)
    mine, labelled = (logits, labels) if lib == "numpy" else (x, y)
    value, grad = volta.value_and_grad(lambda x: F.sum(loss(Summed, x, labelled)))(mine)
    np.testing.assert_allclose(np.asarray(value), expected.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(np.asarray(grad), slope.numpy(), rtol=1e-9, atol=1e-13)


class Summed:
    """The two functions, with a result that has a method `sum`, as torch's has."""

    log_softmax = staticmethod(F.log_softmax)

    class ctc_loss:  # noqa: N801 - in place of the function
        def __init__(self, *args, **options):
            self.out = F.ctc_loss(*args, **options)

        def sum(self):
            return self.out


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
