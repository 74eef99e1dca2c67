"""Functions of elements, one after another."""

import array_api_strict as strict
import numpy as np
import pytest
from differences import check, same

import volta
import volta.functional as F
from volta import tree
from volta.core.errors import DTypeError, ShapeError

pytestmark = pytest.mark.core

XS = np.random.default_rng(0).normal(size=(7, 3))
TREE = {"a": XS, "b": (XS[:, 0], None)}


def fun(p):
    return {"out": F.sin(p["a"]) * p["b"][0], "sum": (F.sum(p["a"]), F.argmax(p["a"]))}


@pytest.mark.parametrize("batch_size", [None, 1, 2, 3, 7, 10])
@pytest.mark.parametrize("length", [0, 1, 6, 7])
def test_it_is_vmap(batch_size, length):
    xs = tree.map(lambda x: x[:length], TREE)
    found = volta.map(fun, xs, batch_size=batch_size)
    same(found, tree.map(lambda y: y[:length], volta.vmap(fun)(TREE)))


@pytest.mark.grad_check
@pytest.mark.parametrize("batch_size", [None, 2, 3, 7, 10])
def test_derivatives(batch_size):
    w = np.asarray([0.3, -0.5, 1.2])
    check(lambda xs, w: volta.map(lambda x: F.sin(x * w) + w, xs, batch_size=batch_size), XS, w)


@pytest.mark.parametrize("batch_size", [None, 2, 10])
def test_lanes(batch_size):
    def many(xs):
        return volta.map(lambda x: F.sum(x * x), xs, batch_size=batch_size)

    lanes = np.stack([XS, XS + 1])
    same(volta.vmap(many)(lanes), (lanes**2).sum(-1))


def test_no_more_than_a_batch_at_once():
    sizes = []

    @volta.custom_rule
    def noted(x):
        return x

    @noted.defvmap
    def rule(size, batched, x):
        sizes.append(size)
        return x, True

    volta.map(noted, XS, batch_size=3)
    assert set(sizes) == {3, 1}


@pytest.mark.parametrize(
    "make", [strict.asarray, lambda x: pytest.importorskip("torch").asarray(x)]
)
@pytest.mark.parametrize("batch_size", [None, 2])
def test_other_libraries(make, batch_size):
    xs = make(XS)
    found = volta.map(lambda x: F.sum(x * x), xs, batch_size=batch_size)
    assert type(found) is type(xs)
    np.testing.assert_allclose(np.asarray(found), (XS**2).sum(-1))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: volta.map(F.sin, XS, batch_size=0),
            ValueError,
            r"^map\(sin\): batch_size must be at least 1; got 0\.",
        ),
        (
            lambda: volta.map(F.sin, (XS, XS[:2])),
            ShapeError,
            r"^map\(sin\): xs must have one length; got 7 for xs\[0\] and 2",
        ),
        (
            lambda: volta.map(F.sin, (XS, XS[:2]), batch_size=2),
            ShapeError,
            r"^map\(sin\): xs must have one length; got 7 for xs\[0\] and 2 at xs\[1\]\.",
        ),
        (
            lambda: volta.map(F.sin, ()),
            TypeError,
            r"^map\(sin\): needs arrays to map over; got none\.",
        ),
        (
            lambda: volta.map(F.sin, (), batch_size=2),
            TypeError,
            r"^map\(sin\): needs arrays to map over; got none\.",
        ),
        (
            lambda: volta.map(F.sin, ["a"]),
            DTypeError,
            r"^map\(sin\): every leaf must be an array or a number; got str\.",
        ),
        (lambda: volta.map(F.sin, XS, batchsize=2), TypeError, "did you mean 'batch_size'"),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=message):
        call()
