"""Running combinations in few rounds."""

import array_api_strict as strict
import numpy as np
import pytest
from differences import check, same

import volta
import volta.functional as F
from volta import tree
from volta.core.errors import DimensionError, DTypeError, ShapeError

pytestmark = pytest.mark.core

rng = np.random.default_rng(0)


def affine(a, b):
    """Composition of x → a₀ x + a₁ and then b: associative and not commutative."""
    return {"slope": a["slope"] * b["slope"], "shift": a["shift"] * b["slope"] + b["shift"]}


def elements(n):
    return {"slope": rng.normal(size=(n, 2)), "shift": rng.normal(size=(n, 2))}


def running(fn, elems, reverse=False):
    items = [tree.map(lambda x, i=i: x[i], elems) for i in range(len(tree.leaves(elems)[0]))]
    items = items[::-1] if reverse else items
    found = items[:1]
    for item in items[1:]:
        found.append(fn(found[-1], item))
    found = found[::-1] if reverse else found
    return tree.map(lambda *xs: np.stack(xs), *found)


@pytest.mark.parametrize("n", [*range(1, 18), 31, 32, 33, 100])
@pytest.mark.parametrize("reverse", [False, True])
def test_it_is_the_running_combination(n, reverse):
    elems = elements(n)
    same(volta.associative_scan(affine, elems, reverse=reverse), running(affine, elems, reverse))


def test_of_no_element():
    same(volta.associative_scan(F.add, np.zeros((0, 3))), np.zeros((0, 3)))


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
@pytest.mark.parametrize("reverse", [False, True])
def test_axes(axis, reverse):
    x = rng.normal(size=(4, 5, 6))
    wanted = np.cumsum(np.flip(x, axis) if reverse else x, axis)
    wanted = np.flip(wanted, axis) if reverse else wanted
    same(volta.associative_scan(F.add, x, reverse=reverse, axis=axis), wanted)


def test_it_takes_few_rounds():
    rounds = []

    def counted(a, b):
        rounds.append(len(a))
        return a * b

    volta.associative_scan(counted, np.ones(1024))
    assert len(rounds) <= 20
    assert sum(rounds) <= 2 * 1024


@pytest.mark.grad_check
@pytest.mark.parametrize("n", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("reverse", [False, True])
def test_derivatives(n, reverse):
    elems = elements(n)

    def fun(slope, shift):
        return volta.associative_scan(affine, {"slope": slope, "shift": shift}, reverse=reverse)

    check(fun, elems["slope"], elems["shift"])


def test_lanes():
    lanes = rng.normal(size=(3, 7, 2))
    same(volta.vmap(lambda x: volta.associative_scan(F.multiply, x))(lanes), np.cumprod(lanes, 1))


@pytest.mark.parametrize(
    "make", [strict.asarray, lambda x: pytest.importorskip("torch").asarray(x)]
)
def test_other_libraries(make):
    x = make(rng.normal(size=7))
    found = volta.associative_scan(F.add, x)
    assert type(found) is type(x)
    np.testing.assert_allclose(np.asarray(found), np.cumsum(np.asarray(x)))


def test_against_jax():
    jax = pytest.importorskip("jax")
    x = rng.normal(size=(9, 2)).astype(np.float32)
    for reverse in (False, True):
        np.testing.assert_allclose(
            volta.associative_scan(lambda a, b: a * b + a * 0, x, reverse=reverse),
            jax.lax.associative_scan(lambda a, b: a * b, x, reverse=reverse),
            rtol=1e-5,
        )


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: volta.associative_scan(F.add, ()),
            ShapeError,
            r"^associative_scan\(add\): elems must hold an array; got none\.",
        ),
        (
            lambda: volta.associative_scan(F.add, {"a": np.ones(3)}, axis=1),
            DimensionError,
            r"^associative_scan\(add\): axis must be one of the array's; got 1 for shape "
            r"\(3,\) at elems\['a'\]\.",
        ),
        (
            lambda: volta.associative_scan(affine, {"slope": np.ones(3), "shift": np.ones(2)}),
            ShapeError,
            r"^associative_scan\(affine\): elems must have one length; got 2 and 3\.",
        ),
        (
            lambda: volta.associative_scan(lambda a, b: (a, b), np.ones(3)),
            ShapeError,
            r"^associative_scan\(<lambda>\): fn must return the structure of elems; got .* "
            r"and PyTreeSpec\(\*",
        ),
        (
            lambda: volta.associative_scan(lambda a, b: F.sum(a), np.ones(5)),
            ShapeError,
            r"^associative_scan\(<lambda>\): fn must return arrays like those it is given; "
            r"got float64\[\] "
            r"and float64\[2\] at elems\.",
        ),
        (
            lambda: volta.associative_scan(F.add, ["a"]),
            DTypeError,
            r"every leaf must be an array or a number; got str",
        ),
        (
            lambda: volta.associative_scan(F.add, np.ones(2), axes=0),
            TypeError,
            "did you mean 'axis'",
        ),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=message):
        call()
