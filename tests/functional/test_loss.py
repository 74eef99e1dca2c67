"""Losses against their formulas: every option, layout and dtype."""

import itertools

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import FLOAT, HALVES, MODES, assert_same, fill, library, numpy_dtype, seeds, under

import volta
import volta.functional as F
from volta.core.errors import DimensionError, DTypeError, ShapeError
from volta.core.types import typeof

pytestmark = pytest.mark.neural
LIBRARIES = ("numpy", "array_api_strict", "torch")
REDUCTIONS = ("mean", "sum", "none")


def log_softmax(x, axis):
    shifted = x - x.max(axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))


def one_by_one(scores, target, weight, ignore, reduction, smoothing):
    """Cross entropy of log probabilities, a place at a time."""
    axis = 1 if scores.ndim > 1 else 0
    rows = np.moveaxis(scores, axis, -1)
    classes = rows.shape[-1]
    losses, factors = np.zeros(target.shape), np.zeros(target.shape)
    w = np.ones(classes) if weight is None else weight
    for place in itertools.product(*map(range, target.shape)):
        if target[place] == ignore:
            continue
        q = np.full(classes, smoothing / classes)
        q[target[place]] += 1 - smoothing
        losses[place] = -np.sum(w * q * rows[place])
        factors[place] = w[target[place]]
    if reduction == "mean":
        return np.asarray(losses.sum() / factors.sum())
    return np.asarray(losses.sum()) if reduction == "sum" else losses


@st.composite
def cases(draw):
    """Scores, targets and options that the functions take; something always counts."""
    classes = draw(st.integers(1, 4))
    rest = draw(st.sampled_from([(), (1,), (3,), (2, 3), (2, 1, 2)]))
    shape = (rest[0], classes, *rest[1:]) if rest else (classes,)
    seed = draw(seeds)
    scores = fill(seed, shape, "float64", -5, 5)
    target = fill(
        seed + 1, rest, draw(st.sampled_from(["int64", "int32", "uint8"])), 0, classes - 1
    )
    ignore = draw(st.sampled_from([-100, 0]))
    if ignore == 0 and (target == 0).all():
        ignore = -100
    weight = fill(seed + 2, (classes,), "float64", 0.5, 2) if draw(st.booleans()) else None
    return scores, target, weight, ignore, draw(st.sampled_from(REDUCTIONS))


def agree(fun, expected, arrays, lib, mode):
    given_ = tuple(map(lib.asarray, arrays))
    assert_same(fun(*given_), expected, lib, ulps=64)
    (out,) = under(mode, fun, given_)
    assert_same(out, expected, lib, ulps=64)


@pytest.mark.parametrize("lib", LIBRARIES)
@given(case=cases(), mode=st.sampled_from(MODES))
def test_nll_loss_is_its_formula(lib, case, mode):
    scores, target, weight, ignore, reduction = case

    def fun(scores, *weight):
        return F.nll_loss(scores, lib_target, *weight, ignore_index=ignore, reduction=reduction)

    lib = library(lib)
    lib_target = lib.asarray(target)
    arrays = (scores,) if weight is None else (scores, weight)
    agree(fun, one_by_one(*case, 0.0), arrays, lib, mode)


@pytest.mark.parametrize("lib", LIBRARIES)
@given(case=cases(), mode=st.sampled_from(MODES), smoothing=st.sampled_from([0.0, 0.0, 0.3, 1.0]))
def test_cross_entropy_with_classes_is_its_formula(lib, case, mode, smoothing):
    logits, target, weight, ignore, reduction = case
    lib = library(lib)
    options = {"ignore_index": ignore, "reduction": reduction, "label_smoothing": smoothing}

    def fun(logits, target, *weight):
        return F.cross_entropy(logits, target, *weight, **options)

    arrays = (logits, target) if weight is None else (logits, target, weight)
    log_probs = log_softmax(logits, 1 if logits.ndim > 1 else 0)
    agree(fun, one_by_one(log_probs, *case[1:], smoothing), arrays, lib, mode)


@pytest.mark.parametrize("lib", LIBRARIES)
@given(case=cases(), mode=st.sampled_from(MODES), smoothing=st.sampled_from([0.0, 0.3]))
def test_cross_entropy_with_probabilities_is_its_formula(lib, case, mode, smoothing):
    logits, _, weight, _, reduction = case
    lib = library(lib)
    axis = 1 if logits.ndim > 1 else 0
    target = np.exp(log_softmax(logits[::-1] * 0.5, axis))
    smooth = target * (1 - smoothing) + smoothing / logits.shape[axis]
    w = np.ones(logits.shape[axis]) if weight is None else weight
    w = w.reshape(tuple(-1 if a == axis else 1 for a in range(logits.ndim)))
    losses = np.asarray(-np.sum(w * smooth * log_softmax(logits, axis), axis=axis))
    expected = {"mean": losses.mean, "sum": losses.sum, "none": lambda: losses}[reduction]()

    def fun(logits, target, *weight):
        return F.cross_entropy(
            logits, target, *weight, reduction=reduction, label_smoothing=smoothing
        )

    arrays = (logits, target) if weight is None else (logits, target, weight)
    agree(fun, np.asarray(expected), arrays, lib, mode)


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "power"), [("mse_loss", 2), ("l1_loss", 1)])
@pytest.mark.parametrize("dtype", FLOAT)
def test_regression_losses_are_their_formulas(name, power, reduction, dtype, lib):
    lib = library(lib)
    x, y = fill(0, (3, 2), dtype), fill(1, (3, 2), dtype)
    losses = np.abs(x - y) ** power
    expected = {"mean": losses.mean, "sum": losses.sum, "none": lambda: losses}[reduction]()
    for mode in MODES:
        agree(
            lambda x, y: getattr(F, name)(x, y, reduction=reduction),
            np.asarray(expected),
            (x, y),
            lib,
            mode,
        )


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("level", [0.0, 1e4, -1e6])
def test_cross_entropy_keeps_its_digits_far_from_zero(level, lib):
    lib = library(lib)
    logits = np.asarray([[0.5, 0.0], [0.0, 0.5]], np.float32) + np.float32(level)
    out = F.cross_entropy(lib.asarray(logits), lib.asarray(np.asarray([0, 0])), reduction="none")
    exact = np.log1p(np.exp([-0.5, 0.5]))
    np.testing.assert_allclose(lib.host(out), exact, rtol=1e-6)


# 16 bits ------------------------------------------------------------------------------------------


@pytest.mark.grad_check
@pytest.mark.parametrize("lib", ["numpy", "torch"])
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_of_halves_count_in_32_bits(weighted, dtype, lib):
    # 3001 places are no float16 or bfloat16, 70000 no finite float16
    lib = library(lib)
    n = 70_001
    logits = fill(0, (n, 3), dtype)
    target = fill(1, (n,), "int64", 0, 2)
    weight = [fill(2, (3,), dtype, 0.5, 1.5)] if weighted else []

    def loss(logits, *weight):
        return F.cross_entropy(logits, lib_target, *weight)

    lib_target = lib.asarray(target)
    out, grad = volta.value_and_grad(loss)(*map(lib.asarray, (logits, *weight)))
    lib_target = target
    wide = [a.astype(np.float64) for a in (logits, *weight)]
    exact, _ = volta.value_and_grad(loss)(*wide)
    assert typeof(out).dtype.name == typeof(grad).dtype.name == dtype
    eps = float(ml_dtypes.finfo(numpy_dtype(dtype)).eps)
    np.testing.assert_allclose(np.float64(lib.host(out)), exact, rtol=2 * eps)


# Errors -------------------------------------------------------------------------------------------

X, T = np.zeros((2, 3)), np.asarray([0, 2])


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss"])
def test_regression_losses_want_one_shape(name):
    message = rf"{name}: input and target must have one shape; got \(2, 3\) and \(3,\)"
    with pytest.raises(ShapeError, match=message):
        getattr(F, name)(X, np.zeros(3))


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "nll_loss", "cross_entropy"])
def test_reductions_that_do_not_exist(name):
    target = T if name in ("nll_loss", "cross_entropy") else X
    message = rf"{name}: reduction must be 'mean', 'sum' or 'none'; got 'avg'"
    with pytest.raises(ValueError, match=message):
        getattr(F, name)(X, target, reduction="avg")


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("mode", ["raw", "grad"])
@pytest.mark.parametrize("bad", [-1, 3, -3, 100])
@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
def test_numbers_that_are_no_class(name, bad, mode, lib):
    lib = library(lib)
    x, target = lib.asarray(X), lib.asarray(np.asarray([0, bad]))

    def fun(x):
        return getattr(F, name)(x, target)

    with pytest.raises(DimensionError, match=f"{name}: classes must be from 0 to 2"):
        fun(x) if mode == "raw" else volta.grad(fun)(x)


BAD = [
    (lambda f: f(X, np.zeros(2, bool)), DTypeError, "target must hold class numbers; got bool"),
    (lambda f: f(X, np.zeros(3, int)), ShapeError, r"class axis; got \(3,\) and \(2, 3\)"),
    (lambda f: f(np.zeros(()), np.asarray(0)), ShapeError, r"class axis; got \(\) and \(\)"),
]


@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_targets_that_do_not_fit(name, call, error, message):
    with pytest.raises(error, match=message):
        call(getattr(F, name))


def test_log_probabilities_take_no_probabilities():
    with pytest.raises(DTypeError, match="nll_loss: target must hold class numbers; got float64"):
        F.nll_loss(X, X)


def test_probabilities_of_another_shape():
    message = r"cross_entropy: input and target must have one shape; got \(2, 3\) and \(3, 2\)"
    with pytest.raises(ShapeError, match=message):
        F.cross_entropy(X, np.zeros((3, 2)))


@pytest.mark.parametrize("smoothing", [-0.1, 1.5])
def test_smoothing_outside_its_range(smoothing):
    message = f"cross_entropy: label_smoothing must be from 0 to 1; got {smoothing}"
    with pytest.raises(ValueError, match=message):
        F.cross_entropy(X, T, label_smoothing=smoothing)


@pytest.mark.parametrize("weight", [np.ones(2), np.ones(4), np.ones((1, 3)), np.asarray(1.0)])
@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
def test_weights_that_do_not_fit(name, weight):
    message = rf"{name}: weight must have one factor a class, shape \(3,\); got shape"
    with pytest.raises(ShapeError, match=message):
        getattr(F, name)(X, T, weight)
