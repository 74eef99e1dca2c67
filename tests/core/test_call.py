"""The functions written for primitives: which operands take the short way, and what it records."""

import itertools
import operator
import re
import traceback

import ml_dtypes
import numpy as np
import pytest

import volta
import volta.functional as F
from volta.core import Partial, Primitive
from volta.core.call import weak
from volta.core.primitive import REGISTRY
from volta.core.trace import source_line
from volta.functional.manipulation import _concat

pytestmark = pytest.mark.core

X = np.asarray([1.0, 2.0, 3.0])


def test_the_source_shows_in_tracebacks():
    F.add(X, X)  # so that the kernel is known
    with pytest.raises(volta.BroadcastError) as caught:
        F.add(np.ones(2), np.ones(3))
    _, applied, *_ = traceback.extract_tb(caught.tb)
    assert re.search(r"<call \d+>$", applied.filename)
    assert applied.line == "raise told from error"
    assert caught.value.__cause__ is not caught.value


def test_functions_of_one_kind_share_their_code():
    assert F.sin.__code__ is F.cos.__code__
    assert F.sin.__globals__["primitive"] is REGISTRY["sin"]


def test_a_parameter_may_not_have_a_name_of_the_source():
    with pytest.raises(AssertionError, match="a parameter has a name used here"):
        Primitive(
            "named_badly", type_rule=lambda x, *, kernel: x, batch=lambda *a: None, derivatives=()
        )
    assert "named_badly" not in REGISTRY


def kinds(value):
    """Ways in which an operand of `value` may come: traced by one or another, constant, raw."""

    def by(outer, inner):
        return {"outer": outer, "inner": inner, "constant": volta.lift(value), "raw": value}

    return by


@pytest.mark.grad_check
@pytest.mark.parametrize("first", ["outer", "inner", "constant", "raw"])
@pytest.mark.parametrize("second", ["outer", "inner", "constant", "raw"])
@pytest.mark.parametrize("third", ["outer", "inner", "constant", "raw"])
def test_operands_of_several_traces(first, second, third):
    """A sum of products, differentiated with respect to the traced ones, twice."""
    values = (X + 1, X + 2, X + 3)
    chosen = (first, second, third)

    def product(x, y):  # x traced by the outer transform, y by the inner
        a, b, c = (kinds(v)(v * x, v * y)[k] for v, k in zip(values, chosen, strict=True))
        return F.sum(F.where(a > 0, F.multiply(b, c), a)) + F.sum(F.clip(F.divide(a, b), 0.0, c))

    def power(k, of):  # how often a traced factor enters a term
        return sum(1 for o in of if o == k)

    def slope(x):
        return volta.grad(lambda y: product(x, y))(np.asarray(1.0))

    one = np.asarray(1.0)
    a, b, c = values
    below = a / b <= c  # the quotient is not clipped
    y_of_product = power("inner", chosen[1:]) * b * c
    y_of_quotient = (power("inner", chosen[:1]) - power("inner", chosen[1:2])) * a / b
    y_of_bound = power("inner", chosen[2:]) * c
    wanted = np.sum(y_of_product) + np.sum(np.where(below, y_of_quotient, y_of_bound))
    np.testing.assert_allclose(slope(one), wanted, rtol=1e-12)
    out = volta.grad(lambda x: slope(x) + 0 * x)(one)
    step = 1e-6
    near = (np.asarray(slope(one + s)) for s in (step, -step))
    np.testing.assert_allclose(out, np.subtract(*near) / (2 * step), atol=1e-7)


@pytest.mark.parametrize("n", [1, 2, 8, 9, 300])
def test_operations_of_any_number_of_operands(n):
    parts = [X * (i + 1) for i in range(n)]
    grads = volta.grad(lambda xs: F.sum(F.concat(xs) ** 2))(parts)
    for part, grad in zip(parts, grads, strict=True):
        np.testing.assert_allclose(grad, 2 * part)
    assert F.concat(parts).shape == (3 * n,)
    assert max(_concat) <= 8  # of more, none is written


def test_no_operands_are_refused():
    with pytest.raises(volta.ShapeError, match="there must be at least one array; got none"):
        F.concat([])


OPERATIONS = [F.exp, F.abs, F.softmax, F.sum, F.mean, abs, operator.neg, F.expand_dims]
OPERATIONS += [operator.itemgetter(slice(1, None)), operator.itemgetter([0, 2])]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_entries_know_the_users_line(operation):
    def fun(x):
        return operation(x)

    _, vjp_fn = volta.vjp(fun, X)
    closed = dict(zip(vjp_fn.__code__.co_freevars, vjp_fn.__closure__, strict=True))
    (entry,) = closed["trace"].cell_contents.entries
    assert entry[-2] is fun.__code__
    line = fun.__code__.co_firstlineno + 1
    assert source_line(*entry[-2:]) == f"test_call.py:{line}"


def test_floats_are_weak_beside_foreign_dtypes_only():
    half = np.ones(2, ml_dtypes.bfloat16)
    first, second, third = weak(half, 1.5, 2)
    assert first is half
    assert (second.dtype, type(third)) == (half.dtype, int)
    single = np.ones(2, np.float32)
    assert weak(single, 1.5)[1] == 1.5
    for order in itertools.permutations((half, 1.5)):
        assert F.multiply(*order).dtype == half.dtype
        assert volta.lift(half).__mul__(1.5).dtype == half.dtype


def test_a_rule_may_take_fewer_operands_than_are_kept():
    toy = Primitive(
        "toy_product",
        type_rule=lambda x, y: x,
        batch=lambda size, batched, x, y: toy(x, y),
        derivatives=(Partial(lambda _out, _x, y: y), Partial(lambda _out, x: x)),
        value=lambda xp, x, y: x * y,
        elementwise=True,
    )
    try:
        got = volta.grad(lambda x, y: F.sum(toy(x, y)), (0, 1))(X, X + 1)
    finally:
        del REGISTRY["toy_product"]
    np.testing.assert_array_equal(got[0], X + 1)
    np.testing.assert_array_equal(got[1], X)
