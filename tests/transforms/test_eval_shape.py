"""Shapes and dtypes of results, without computing them."""

import array_api_strict as strict
import numpy as np
import pytest

import volta
import volta.functional as F
from volta.core.errors import ShapeError, TraceError
from volta.core.trace import live

pytestmark = pytest.mark.core

Struct = volta.ShapeDtypeStruct
HUGE = Struct((10**6, 10**6), F.float32)


def test_nothing_is_computed():
    assert volta.eval_shape(lambda x: F.sum(F.exp(x) @ x, axis=0), HUGE) == Struct(
        (10**6,), "float32"
    )


def test_trees_and_keywords():
    found = volta.eval_shape(
        lambda p, *, k: {"a": p["x"] + k, "b": (F.argmax(k), None, 2.0)},
        {"x": Struct((2, 1), np.float32)},
        k=np.ones(3),
    )
    assert found == {
        "a": Struct((2, 3), "float64"),
        "b": (Struct((), "int64"), None, Struct((), "float32")),
    }


@pytest.mark.parametrize(
    "make", [np.asarray, strict.asarray, lambda x: pytest.importorskip("torch").asarray(x)]
)
def test_arrays_of_any_library(make):
    found = volta.eval_shape(lambda x: (F.sin(x), x > 0), make(np.ones((2, 3), np.float32)))
    assert found == (Struct((2, 3), "float32"), Struct((2, 3), "bool"))
    assert found[0].dtype == make(np.ones(1, np.float32)).dtype


def test_through_transforms():
    assert volta.eval_shape(volta.grad(lambda x: F.sum(x @ x)), HUGE) == HUGE
    lanes = volta.eval_shape(volta.vmap(lambda x: F.sum(x)), HUGE)
    assert lanes == Struct((10**6,), "float32")
    last, ys = volta.eval_shape(
        lambda x: volta.scan(lambda c, v: (c + v, c * 2), x[0, ...], x), HUGE
    )
    assert (last, ys) == (Struct((10**6,), "float32"), HUGE)
    out = volta.eval_shape(lambda x: volta.jvp(F.sin, (x,), (x,)), HUGE)
    assert out == (HUGE, HUGE)


def test_modules():
    model = volta.nn.Linear(3, 2, key=F.random.key(0))
    x = Struct((5, 3), F.float32)
    assert volta.eval_shape(lambda m, x: m(x), model, x) == Struct((5, 2), "float32")
    assert volta.eval_shape(model, x) == Struct((5, 2), "float32")


def test_structs():
    s = Struct([2, 3], np.float32)
    assert (s.shape, s.ndim, s.size) == ((2, 3), 2, 6)
    assert Struct(4, "int8").shape == (4,)
    assert Struct((), "bool").size == 1
    assert s == Struct((2, 3), "float32")
    assert s != Struct((2, 3), "float64")
    assert s != Struct((3, 2), "float32")
    assert s != "float32[2, 3]"
    assert hash(s) == hash(Struct((2, 3), F.float32))
    assert repr(s) == "ShapeDtypeStruct(shape=(2, 3), dtype=float32)"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: volta.eval_shape(lambda x: x if x[0, 0] > 0 else -x, HUGE),
            TraceError,
            r"bool: needs a concrete value; got an array traced by eval_shape\(<lambda>\) at "
            r"test_eval",
        ),
        (
            lambda: volta.eval_shape(F.matmul, HUGE, Struct((3,), "float32")),
            ShapeError,
            r"^matmul: ",
        ),
        (
            lambda: volta.eval_shape(F.sin, "a"),
            TypeError,
            r"^eval_shape\(sin\): every leaf must be an array or a number; got str\.",
        ),
        (
            lambda: volta.eval_shape(lambda x: "a", HUGE),
            TypeError,
            r"^eval_shape\(<lambda>\): every leaf must be an array or a number; got str\.",
        ),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=message):
        call()
    assert live.staging == 0


def test_numbers_stay_numbers():
    x = np.ones((), np.float32)
    for k in (3, 3.1, True):
        assert volta.eval_shape(lambda x, k: x * (k + 1), x, k).dtype == np.float32
    assert volta.eval_shape(lambda x, n: F.zeros(n), x, n=3).shape == (3,)
