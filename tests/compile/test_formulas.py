"""Entries that are written out: what becomes part of a kernel, and what is raised all the same."""

import re

import numpy as np
import pytest
from strategies import fill, quiet

import volta
import volta.functional as F
from volta import nn
from volta.compile import numpy as programs
from volta.compile.native import llvm
from volta.compile.passes import optimized
from volta.compile.schedule import kernel_of

pytestmark = [
    pytest.mark.core,
    pytest.mark.skipif(not llvm.available(), reason="llvmlite is not installed"),
]

X = fill(0, (6, 7), "float64")
CLASSES = np.asarray([0, 6, 3, 3, 1, 5])


def plain_entries(fun, *args):
    """Names of the entries of a program that are no kernels."""
    program = programs._Writer(optimized(volta.trace(fun)(*args)), native=True)
    return [e.primitive.name for e in program.entries if kernel_of(e) is None]


def same(fun, *args, rtol=1e-13):
    found, wanted = volta.jit(fun, backend="llvm")(*args), fun(*args)
    for a, b in zip(volta.tree.leaves(found), volta.tree.leaves(wanted), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


def picked(x, i):
    return F.take_along_axis(x, i[:, None], axis=1)


WHOLE = {
    "softmax": lambda x: F.softmax(x, axis=1),
    "log_softmax": lambda x: F.log_softmax(x, axis=-1),
    "layer_norm": lambda x: F.layer_norm(x, (7,), F.sum(x, axis=0), F.max(x, axis=0)),
    "rms_norm": lambda x: F.rms_norm(x, (7,)),
    "picked": lambda x: picked(x, CLASSES) * 2,
}


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "layer_norm", "rms_norm"])
def test_these_are_one_kernel(name):
    assert {"reshape"}.issuperset(plain_entries(WHOLE[name], X))
    same(WHOLE[name], X)
    same(volta.vmap(WHOLE[name]), fill(1, (3, 6, 7), "float64"))


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "layer_norm", "rms_norm"])
def test_their_gradients_are_kernels(name):
    def loss(x):
        return F.sum(WHOLE[name](x) * F.exp(x))

    assert {"reshape"}.issuperset(plain_entries(volta.grad(loss), X))
    same(volta.grad(loss), X, rtol=1e-11)
    same(volta.grad(lambda x: F.sum(volta.grad(loss)(x) ** 2)), X, rtol=1e-10)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("shape", [(1, 1), (4, 1), (1, 4), (3, 2, 1), (2, 3, 4)], ids=str)
def test_every_shape(shape, axis):
    x = fill(0, shape, "float32")
    for fun in (F.softmax, F.log_softmax):
        same(lambda x, f=fun: f(x, axis=axis), x, rtol=1e-6)
        same(volta.grad(lambda x, f=fun: F.sum(f(x, axis=axis) * x)), x, rtol=1e-5)


def test_what_overflows_unless_the_largest_is_subtracted():
    x = np.asarray([[1e4, 1e4 - 1, -1e4], [-np.inf, 0.0, 1.0], [3e38, 3e38, 0.0]], "float32")
    same(lambda x: (F.softmax(x), F.log_softmax(x)), x, rtol=1e-6)
    infinite = np.asarray([[np.inf, 0.0], [np.nan, 1.0]])
    with quiet():
        same(lambda x: (F.softmax(x), F.log_softmax(x)), infinite)


def test_a_mean_far_from_zero_loses_no_more_than_it_must():
    x = (1e4 + fill(0, (5, 4096), "float32")).astype("float32")
    found = volta.jit(lambda x: F.layer_norm(x, (4096,)), backend="llvm")(x)
    np.testing.assert_allclose(found, F.layer_norm(x, (4096,)), rtol=2e-5, atol=2e-5)


# Places of the largest and smallest -----------------------------------------------------------


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int64", "uint32"])
def test_places_of_extrema_are_the_first(name, dtype):
    x = fill(0, (50, 7), "float64").astype(dtype)
    x[1], x[2, 3:] = 1, 7
    if dtype.startswith("f"):
        x[3, 2], x[4, 1], x[4, 4] = np.nan, np.nan, np.inf
        x[5], x[6], x[7, ::2] = -np.inf, np.nan, -0.0

    def fun(x):
        y = x * 1
        places = getattr(F, name)
        return places(y, axis=1), places(y, axis=-1, keepdims=True), F.max(y, axis=1)

    assert plain_entries(fun, x) == []
    for found, wanted in zip(volta.jit(fun, backend="llvm")(x), fun(x), strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)


def test_places_that_numpy_finds_as_fast_are_left_to_it():
    x = fill(0, (3, 100), "float64")
    assert plain_entries(lambda x: F.argmax(x, axis=1), x) == ["argmax"]
    assert plain_entries(lambda x: F.argmax(F.exp(x), axis=1), x) == []
    assert plain_entries(lambda x: F.argmax(x[:, :9], axis=1), x) == []
    for fun in (lambda x: F.argmax(F.exp(x), axis=0), lambda x: F.argmin(F.exp(-x))):
        np.testing.assert_array_equal(volta.jit(fun, backend="llvm")(x), fun(x))


# Losses of classes --------------------------------------------------------------------------------


def test_a_step_of_classes_has_no_entry_that_picks_or_scatters():
    def loss(x, t):
        return F.cross_entropy(x * 2, t)

    left = plain_entries(volta.value_and_grad(loss), X, CLASSES)
    assert {"require", "reshape"}.issuperset(left)
    same(volta.value_and_grad(loss), X, CLASSES)
    same(volta.value_and_grad(loss), X, np.asarray([-100, 6, -100, 3, 1, 5]))
    same(volta.vmap(volta.grad(loss)), fill(1, (3, 6, 7), "float64"), np.stack([CLASSES] * 3))


@pytest.mark.parametrize("wrong", [-1, 7, 2**40])
def test_classes_that_are_none_raise_as_without_jit(wrong):
    target = CLASSES.copy()
    target[2] = wrong

    def loss(x, t):
        return F.cross_entropy(F.exp(x), t)  # this line

    step = volta.jit(loss, backend="llvm")
    step(X, CLASSES)
    with pytest.raises(volta.DimensionError) as plain:
        loss(X, target)
    with pytest.raises(volta.DimensionError, match="classes must be from 0 to 6") as compiled:
        step(X, target)
    assert re.search(r"got (-?\d+) to (-?\d+)", str(compiled.value)).groups() == (
        re.search(r"got (-?\d+) to (-?\d+)", str(plain.value)).groups()
    )
    assert "test_formulas.py" in str(compiled.value)
    np.testing.assert_array_equal(step(X, CLASSES), volta.jit(loss, backend="llvm")(X, CLASSES))


# Picking and putting along an axis ----------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_elements_picked_are_those_bit_by_bit(dtype):
    x = fill(0, (6, 7), "float64").astype(dtype)
    if dtype != "int32":
        x[1, 6], x[2, 0], x[3, 3], x[4, 2] = -0.0, np.nan, np.inf, np.nan  # the last is not picked
    index = np.asarray([0, 6, 3, -4, 1, -7])
    assert plain_entries(lambda x, i: picked(x, i) + 0, x, index).count("gather") == 0
    found = volta.jit(lambda x, i: picked(x, i) * 1, backend="llvm")(x, index)
    np.testing.assert_array_equal(found, picked(x, index))
    if dtype != "int32":
        assert np.signbit(found[1])


def test_what_is_added_where_an_element_was_picked():
    def loss(x, i, w):
        return F.sum(F.squeeze(picked(F.exp(x), i), axis=1) * w)

    index, w = np.asarray([0, 6, 3, -4, 1, -7]), np.arange(6.0)
    same(volta.grad(loss, argnums=(0, 2)), X, index, w)


@pytest.mark.parametrize("wrong", [-8, 7])
def test_indices_outside_raise_as_without_jit(wrong):
    index = CLASSES.copy()
    index[3] = wrong
    step = volta.jit(lambda x, i: picked(x * 2, i), backend="llvm")
    step(X, CLASSES)
    with pytest.raises(volta.DimensionError, match="-7 to 6") as compiled:
        step(X, index)
    assert str(wrong) in str(compiled.value)


def test_rows_that_are_long_are_picked_from_by_numpy():
    x = fill(0, (3, 1000), "float64")

    def fun(x):
        return picked(x, np.asarray([0, 999, 7])) * 1

    assert "gather" in plain_entries(fun, x)
    same(fun, x)


def test_indices_along_two_axes_are_left():
    def fun(x, i, j):
        return F.sum(x[i, j]) + F.sum(x[i])

    same(volta.grad(fun), X, np.asarray([0, 1, 1]), np.asarray([2, 3, 3]))


def test_layers_that_use_them():
    keys = F.random.split(F.random.key(0))
    first, last = nn.Linear(7, 5, key=keys[0]), nn.Linear(5, 7, key=keys[1])
    model = nn.Sequential(first, nn.LayerNorm(5), nn.RMSNorm(5), last)

    def loss(params, x, t):
        return F.cross_entropy(nn.functional_call(model, params, x), t)

    x = X.astype("float32")
    step = volta.value_and_grad(loss)
    same(step, model.parameters(), x, CLASSES, rtol=2e-6)
