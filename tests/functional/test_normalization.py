"""Normalizations against PyTorch's: results, statistics, gradients; large means, few bits."""

import ml_dtypes
import numpy as np
import pytest
from against_torch import assert_like_torch, assert_near, of_rounding
from hypothesis import given
from hypothesis import strategies as st
from strategies import FLOAT, HALVES, fill, library, numpy_dtype, seeds

import volta
import volta.functional as F
from volta.core.errors import DTypeError, ShapeError
from volta.core.types import typeof

pytestmark = pytest.mark.neural
LIBRARIES = ("numpy", "array_api_strict", "torch")
dtypes = st.sampled_from(FLOAT)
epsilons = st.sampled_from([1e-5, 0.1])
lengths = st.integers(1, 5)
several = st.integers(2, 6)
rest = st.lists(lengths, max_size=3).map(tuple)


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch").nn.functional


def drawn(draw, *shapes, low=-3.0):
    seed = draw(seeds)
    return [fill(seed + i, shape, "float64", low) for i, shape in enumerate(shapes)]


def optional(draw, *arrays):
    """Which of the arrays are given."""
    return [a if draw(st.booleans()) else None for a in arrays]


def given_alone(function, optional):
    """The function of those optional arrays that are given."""
    places = [i for i, a in enumerate(optional) if a is not None]

    def called(x, *arrays):
        full = [None] * len(optional)
        for i, a in zip(places, arrays, strict=True):
            full[i] = a
        return function(x, *full)

    return called, [a for a in optional if a is not None]


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_batch_norm_in_training(torch, lib, data):
    draw = data.draw
    n, channels, others = draw(several), draw(lengths), draw(rest)
    x, w, b = drawn(draw, (n, channels, *others), (channels,), (channels,))
    eps = draw(epsilons)

    def ours(x, w, b):
        return F.batch_norm(x, None, None, w, b, training=True, eps=eps)[0]

    def theirs(x, w, b):
        return torch.batch_norm(x, None, None, w, b, True, eps=eps)

    optionals = optional(draw, w, b)
    ours, arrays = given_alone(ours, optionals)
    theirs, _ = given_alone(theirs, optionals)
    assert_like_torch(ours, theirs, [x, *arrays], draw(dtypes), lib, of_rounding)


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_batch_norm_updates_and_uses_running_statistics(torch, lib, data):
    draw = data.draw
    n, channels, others = draw(st.integers(2, 5)), draw(lengths), draw(rest)
    x, w, b, mean = drawn(draw, (n, channels, *others), *[(channels,)] * 3)
    (var,) = drawn(draw, (channels,), low=0.2)
    momentum, dtype = draw(st.sampled_from([0.1, 0.5, 1.0])), draw(dtypes)
    lib = library(lib)
    host = [a.astype(dtype) for a in (x, mean, var)]
    _, *found = F.batch_norm(*map(lib.asarray, host), training=True, momentum=momentum)
    tensors = [pytest.importorskip("torch").from_numpy(a.copy()) for a in host]
    torch.batch_norm(*tensors, training=True, momentum=momentum)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    for mine, expected in zip(found, tensors[1:], strict=True):
        np.testing.assert_allclose(lib.host(mine), expected.numpy(), tolerance, tolerance)
    np.testing.assert_array_equal(host[1], mean.astype(dtype))  # it wrote nowhere
    mean, var = map(lib.asarray, host[1:])
    theirs = [pytest.importorskip("torch").from_numpy(a.astype(float)) for a in host[1:]]
    assert_like_torch(
        lambda x, w, b: F.batch_norm(x, mean, var, w, b, eps=0.01),
        lambda x, w, b: torch.batch_norm(x, *theirs, w, b, eps=0.01),
        [x, w, b],
        dtype,
        lib.name,
    )


def test_running_statistics_may_be_a_cumulative_average():
    batches = [fill(seed, (5, 2), "float64") for seed in range(4)]
    mean, var = np.zeros(2), np.ones(2)
    for k, x in enumerate(batches, 1):
        _, mean, var = F.batch_norm(x, mean, var, training=True, momentum=np.asarray(1 / k))
    np.testing.assert_allclose(mean, np.mean([x.mean(0) for x in batches], 0))
    np.testing.assert_allclose(var, np.mean([x.var(0, ddof=1) for x in batches], 0))


def test_without_running_statistics_those_of_the_batch_are_returned():
    x = fill(0, (5, 2, 3), "float32")
    _, mean, var = F.batch_norm(x, training=True)
    np.testing.assert_allclose(mean, x.mean((0, 2)), rtol=1e-5)
    np.testing.assert_allclose(var, x.var((0, 2), ddof=1), rtol=1e-5)


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_layer_norm(torch, lib, data):
    draw = data.draw
    sizes = (*draw(st.lists(lengths, max_size=2).map(tuple)), draw(several))
    x, w, b = drawn(draw, (*draw(rest), *sizes), sizes, sizes)
    eps = draw(epsilons)
    optionals = optional(draw, w, b)
    ours, arrays = given_alone(lambda x, w, b: F.layer_norm(x, sizes, w, b, eps=eps), optionals)
    theirs, _ = given_alone(lambda x, w, b: torch.layer_norm(x, sizes, w, b, eps=eps), optionals)
    assert_like_torch(ours, theirs, [x, *arrays], draw(dtypes), lib, of_rounding)


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_rms_norm(torch, lib, data):
    draw = data.draw
    sizes = (*draw(st.lists(lengths, max_size=1).map(tuple)), draw(several))
    x, w = drawn(draw, (*draw(rest), *sizes), sizes)
    eps = draw(st.sampled_from([None, 0.1]))
    optionals, dtype = optional(draw, w), draw(dtypes)
    own = np.finfo(dtype).eps if eps is None else eps  # PyTorch computes in float64 here
    ours, arrays = given_alone(lambda x, w: F.rms_norm(x, sizes, w, eps=eps), optionals)
    theirs, _ = given_alone(lambda x, w: torch.rms_norm(x, sizes, w, eps=own), optionals)
    assert_like_torch(ours, theirs, [x, *arrays], dtype, lib, of_rounding)


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_group_norm(torch, lib, data):
    draw = data.draw
    groups, size = draw(st.integers(1, 3)), draw(st.integers(2, 4))
    channels = groups * size
    x, w, b = drawn(draw, (draw(lengths), channels, *draw(rest)), (channels,), (channels,))
    optionals = [w, b] if draw(st.booleans()) else [None, None]  # PyTorch fails with one
    ours, arrays = given_alone(lambda x, w, b: F.group_norm(x, groups, w, b, eps=0.01), optionals)
    theirs, _ = given_alone(lambda x, w, b: torch.group_norm(x, groups, w, b, eps=0.01), optionals)
    assert_like_torch(ours, theirs, [x, *arrays], draw(dtypes), lib, of_rounding)


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_instance_norm(torch, lib, data):
    draw = data.draw
    n, channels = draw(lengths), draw(lengths)
    shape = (n, channels, *draw(rest)[:2], draw(several))
    x, w, b, mean = drawn(draw, shape, *[(channels,)] * 3)
    (var,) = drawn(draw, (channels,), low=0.2)
    dtype = draw(dtypes)
    assert_like_torch(
        lambda x, w, b: F.instance_norm(x, None, None, w, b, eps=0.01),
        lambda x, w, b: torch.instance_norm(x, None, None, w, b, eps=0.01),
        [x, w, b],
        dtype,
        lib,
        of_rounding,
    )
    lib = library(lib)
    host = [a.astype(dtype) for a in (x, mean, var)]
    tensors = [pytest.importorskip("torch").from_numpy(a.copy()) for a in host]
    assert_near(
        lib.host(F.instance_norm(*map(lib.asarray, host), use_input_stats=False)),
        torch.instance_norm(*tensors, use_input_stats=False).numpy(),
        dtype,
    )
    _, *found = F.instance_norm(*map(lib.asarray, host), momentum=0.3)
    torch.instance_norm(*tensors, momentum=0.3)
    for mine, expected in zip(found, tensors[1:], strict=True):
        np.testing.assert_allclose(lib.host(mine), expected.numpy(), 1e-5, 1e-5)


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_local_response_norm(torch, lib, data):
    draw = data.draw
    (x,) = drawn(draw, (draw(lengths), draw(lengths), draw(lengths), *draw(rest)[:1]))
    size = draw(st.integers(1, 6))
    assert_like_torch(
        lambda x: F.local_response_norm(x, size, alpha=0.5, beta=0.6, k=2.0),
        lambda x: torch.local_response_norm(x, size, alpha=0.5, beta=0.6, k=2.0),
        [x],
        draw(dtypes),
        lib,
        of_rounding,
    )


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_normalize(torch, lib, data):
    draw = data.draw
    shape = (draw(lengths), draw(lengths), *draw(rest))
    (x,) = drawn(draw, shape)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    p = draw(st.sampled_from([1.0, 2.0, 3.0]))
    assert_like_torch(
        lambda x: F.normalize(x, p, axis=axis),
        lambda x: torch.normalize(x, p, dim=axis),
        [x],
        draw(dtypes),
        lib,
        of_rounding,
    )


@given(data=st.data())
def test_weight_norm(data):
    torch = pytest.importorskip("torch")
    draw = data.draw
    shape = (draw(lengths), draw(lengths), *draw(rest)[:2])
    (v,) = drawn(draw, shape)
    axis = draw(st.integers(0, len(shape) - 1))
    (g,) = drawn(draw, tuple(n if a == axis else 1 for a, n in enumerate(shape)))
    if axis in (0, len(shape) - 1):  # as many as torch has
        assert_like_torch(
            lambda v, g: F.weight_norm(v, g, axis=axis),
            lambda v, g: torch._weight_norm(v, g, axis),
            [v, g],
            draw(dtypes),
            limit=of_rounding,
        )
    others = tuple(a for a in range(len(shape)) if a != axis)
    lengths_ = F.linalg.vector_norm(F.weight_norm(v, g, axis=axis), axis=others, keepdims=True)
    np.testing.assert_allclose(lengths_, np.abs(g))


# Numbers that are hard ----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(64, 7), (1000, 96), (40, 3, 50, 50)])
@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_a_large_mean_costs_no_more_digits_than_the_input_has(shape, mean):
    x = (fill(0, shape, "float64") + mean).astype(np.float32)
    for fun in (
        lambda x: F.layer_norm(x, shape[-1]),
        lambda x: F.batch_norm(x, training=True)[0],
        lambda x: F.group_norm(x, 1),
    ):
        exact = fun(x.astype(np.float64))
        np.testing.assert_allclose(fun(x), exact, rtol=0, atol=4e-6 + 2.4e-7 * mean)


def test_blocks_are_the_whole():
    """Arrays larger than a block, whose parts are computed one by one."""
    w, b = fill(1, (48,), "float64"), fill(2, (48,), "float64")
    x = fill(0, (3, 48, 30, 31), "float64")
    spread = (1, 48, 1, 1)
    centred = x - x.mean((0, 2, 3), keepdims=True)
    expected = centred / np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5) * w.reshape(spread)
    y = F.batch_norm(x, None, None, w, b, training=True)[0]
    np.testing.assert_allclose(y, expected + b.reshape(spread), atol=1e-12)
    assert_like_torch(
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True)[0],
        lambda x, w, b: pytest.importorskip("torch").nn.functional.batch_norm(
            x, None, None, w, b, True
        ),
        [x, w, b],
        "float64",
    )
    groups = pytest.importorskip("torch").nn.functional.group_norm
    for n in (1, 6, 48):
        assert_like_torch(
            lambda x, w, b, n=n: F.group_norm(x, n, w, b),
            lambda x, w, b, n=n: groups(x, n, w, b),
            [x, w, b],
            "float64",
        )
    turned = np.asfortranarray(x)
    np.testing.assert_allclose(F.batch_norm(turned, None, None, w, b, training=True)[0], y)


@pytest.mark.parametrize("lib", ["numpy", "torch"])
@pytest.mark.parametrize("dtype", HALVES)
def test_halves_are_computed_in_32_bits(dtype, lib):
    lib = library(lib)
    x = fill(0, (300, 6), dtype, 0, 300)  # whose squares leave float16
    weight, bias = fill(1, (6,), dtype), fill(2, (6,), dtype)
    eps = float(ml_dtypes.finfo(numpy_dtype(dtype)).eps)
    for fun in (
        lambda x, w, b: F.layer_norm(x, 6, w, b),
        lambda x, w, b: F.rms_norm(x, 6, w, eps=0.1),
        lambda x, w, b: F.group_norm(x, 2, w, b),
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True)[0],
        lambda x, w, b: F.batch_norm(x, w, b * b + 1, w, b),
        lambda x, w, b: F.local_response_norm(x, 3, alpha=1.0),
        lambda x, w, b: F.normalize(x),
    ):
        y, pull = volta.vjp(fun, *map(lib.asarray, (x, weight, bias)))
        exact, _ = volta.vjp(fun, *(a.astype(np.float64) for a in (x, weight, bias)))
        assert typeof(y).dtype.name == dtype
        scale = np.abs(exact).max()
        np.testing.assert_allclose(lib.host(y).astype(np.float64), exact, atol=3 * eps * scale)
        assert all(typeof(g).dtype.name == dtype for g in pull(y))


def test_halves_beside_wider_statistics_stay_halves():
    x = fill(0, (4, 3), "float16")
    running = np.zeros(3, np.float32), np.ones(3, np.float32)
    y, mean, var = F.batch_norm(x, *running, training=True)
    assert (y.dtype, mean.dtype, var.dtype) == (np.float16, np.float32, np.float32)
    assert F.batch_norm(x, *running).dtype == np.float16
    weight = np.ones(3, np.float32)
    assert F.layer_norm(x, 3, weight).dtype == np.float32  # as x · weight would be


@pytest.mark.parametrize("lib", LIBRARIES)
def test_empty_batches_on_every_library(lib):
    lib = library(lib)
    for shape, fun in (
        ((0, 3), lambda x: F.layer_norm(x, 3)),
        ((0, 3), lambda x: F.rms_norm(x, 3)),
        ((0, 4), lambda x: F.group_norm(x, 2)),
        ((0, 4, 3), F.instance_norm),
    ):
        x = lib.asarray(np.ones(shape))
        y, pull = volta.vjp(fun, x)
        assert tuple(y.shape) == tuple(pull(y)[0].shape) == shape


def test_lanes_have_weights_of_their_own_on_torch():
    lib = library("torch")
    x, w, b = fill(0, (4, 5), "float64"), fill(1, (3, 5), "float64"), fill(2, (3, 5), "float64")

    def pulled(w, b, x):
        y, pull = volta.vjp(lambda x, w: F.layer_norm(x, 5, w, b) + F.rms_norm(x, 5, w), x, w)
        return y, *pull(y)

    host = volta.vmap(pulled, in_axes=(0, 0, None))(w, b, x)
    on_torch = volta.vmap(pulled, in_axes=(0, 0, None))(*map(lib.asarray, (w, b, x)))
    for mine, other in zip(on_torch, host, strict=True):
        np.testing.assert_allclose(lib.host(mine), other, rtol=1e-10, atol=1e-12)


def test_empty_batches():
    assert F.layer_norm(np.ones((0, 3)), 3).shape == (0, 3)
    assert F.group_norm(np.ones((0, 4)), 2).shape == (0, 4)
    assert F.batch_norm(np.ones((0, 3)), np.zeros(3), np.ones(3)).shape == (0, 3)
    grad = volta.grad(lambda x: F.sum(F.layer_norm(x, 3)))(np.ones((0, 3)))
    assert grad.shape == (0, 3)


@pytest.mark.parametrize("norm", [lambda *a: F.batch_norm(*a, training=True), F.instance_norm])
def test_an_empty_batch_leaves_running_statistics_as_they_are(norm):
    mean, var = np.asarray([1.0, 2.0]), np.asarray([3.0, 4.0])
    y, *found = norm(np.ones((0, 2, 3)), mean, var, np.ones(2), np.ones(2))
    assert y.shape == (0, 2, 3)
    np.testing.assert_array_equal(found, [mean, var])
    grad = volta.grad(lambda w: F.sum(norm(np.ones((0, 2, 3)), mean, var, w, w)[0]))(mean)
    np.testing.assert_array_equal(grad, [0, 0])


def test_equal_values_are_normalized_to_zero():
    x = np.full((4, 3), 5.0)
    np.testing.assert_array_equal(F.layer_norm(x, 3), 0)
    np.testing.assert_array_equal(F.normalize(np.zeros((2, 3))), 0)
    grad = volta.grad(lambda x: F.sum(F.normalize(x)))(np.zeros((2, 3)))
    np.testing.assert_allclose(grad, 1e12)


@pytest.mark.grad_check
def test_the_gradient_of_running_statistics_is_that_of_their_formulas():
    x = fill(0, (5, 2), "float64")
    for which, formula in (
        (1, lambda x: 0.3 * F.mean(x, axis=0)),
        (2, lambda x: 0.3 * F.var(x, axis=0, correction=1)),
    ):

        def ours(x, which=which):
            new = F.batch_norm(x, np.zeros(2), np.ones(2), training=True, momentum=0.3)[which]
            return F.sum(new * np.asarray([1.0, -2.0]))

        expected = volta.grad(lambda x, f=formula: F.sum(f(x) * np.asarray([1.0, -2.0])))(x)
        np.testing.assert_allclose(volta.grad(ours)(x), expected)


# Errors -------------------------------------------------------------------------------------------

X = np.ones((4, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: F.batch_norm(X[:1], training=True),
            ValueError,
            r"batch_norm: each channel must have more than one value in training; got x of shape "
            r"\(1, 3\)",
        ),
        (lambda: F.batch_norm(X), ValueError, "there must be running statistics out of training"),
        (lambda: F.batch_norm(X[0]), ShapeError, r"x must have 2 axes or more, .*; got \(3,\)"),
        (lambda: F.group_norm(X, 3), ValueError, "more than one value to normalize; got shape"),
        (lambda: F.group_norm(X, 0), ShapeError, "num_groups must divide the channels; got 0"),
        (
            lambda: F.instance_norm(X[..., None]),
            ValueError,
            r"instance_norm: there must be more than one value to normalize; got shape \(4, 3, 1",
        ),
        (
            lambda: F.instance_norm(X[None], use_input_stats=False),
            ValueError,
            "instance_norm: there must be running statistics without use_input_stats",
        ),
        (lambda: F.layer_norm(X, ()), ShapeError, r"got shape \(4, 3\) and \(\)"),
        (lambda: F.local_response_norm(X, 0), ValueError, "size must be positive; got 0"),
        (lambda: F.normalize(X.astype(int)), DTypeError, "normalize: the dtype must be floating"),
        (
            lambda: F.layer_norm(X.astype(np.float16), 3, np.ones(3, ml_dtypes.bfloat16)),
            DTypeError,
            "of dtypes that promote; got float16 and bfloat16",
        ),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
