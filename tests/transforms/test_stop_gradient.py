"""Cutting derivatives."""

import array_api_strict as strict
import numpy as np
import pytest

import volta
import volta.functional as F
from volta.core.tracer import Tracer

pytestmark = pytest.mark.core

X = np.asarray([1.0, 2.0, 3.0])


@pytest.mark.grad_check
def test_the_derivative_of_a_constant_in_both_modes():
    def fun(x):
        return F.sum(x * volta.stop_gradient(x))

    np.testing.assert_array_equal(volta.grad(fun)(X), X)
    assert volta.jvp(fun, (X,), (np.ones(3),))[1] == X.sum()
    assert not volta.grad(lambda x: F.sum(volta.stop_gradient(x)))(X).any()


@pytest.mark.grad_check
def test_the_second_derivative_sees_the_first_cut():
    def fun(x):
        return F.sum(volta.stop_gradient(x) * x**3)

    second = volta.grad(lambda x: F.sum(volta.grad(fun)(x)))(X)
    np.testing.assert_allclose(second, 6 * X**2)  # x̄ · 6x with x̄ = x


@pytest.mark.grad_check
def test_an_outer_transform_is_cut_as_well():
    def outer(x):
        return F.sum(volta.grad(lambda y: F.sum(y * volta.stop_gradient(x)))(x))

    assert not volta.grad(outer)(X).any()


def test_values_under_vmap_and_trace():
    np.testing.assert_array_equal(volta.vmap(volta.stop_gradient)(np.eye(3)), np.eye(3))
    staged = volta.trace(lambda x: volta.stop_gradient(x) * x)(X)
    assert [e.primitive.name for e in staged.entries] == ["stop_gradient", "multiply"]
    np.testing.assert_array_equal(volta.grad(lambda x: F.sum(staged(x)))(X), X)


def test_trees_numbers_and_libraries():
    cut = volta.stop_gradient({"x": X, "n": 3, "none": None, "s": strict.ones(2)})
    assert cut["x"] is X or cut["x"].tolist() == X.tolist()
    assert cut["n"] == 3
    assert cut["none"] is None
    assert type(cut["s"]) is type(strict.ones(2))


def test_the_result_converts():
    seen = []

    def fun(x):
        cut = volta.stop_gradient(x)
        seen.extend([float(cut[0]), np.asarray(cut), type(cut)])
        return F.sum(x)

    volta.grad(fun)(X)
    assert seen[0] == 1.0
    np.testing.assert_array_equal(seen[1], X)
    assert seen[2] is Tracer


def test_integers_and_booleans_pass():
    assert volta.stop_gradient(np.arange(3)).dtype == np.int64
    assert volta.stop_gradient(np.ones(2, bool)).dtype == bool
