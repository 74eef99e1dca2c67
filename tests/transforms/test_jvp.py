"""Forward mode."""

import array_api_strict as strict
import numpy as np
import pytest
from strategies import BESIDE, LINE

import volta
import volta.functional as F
from volta.core.tracer import Tracer

pytestmark = pytest.mark.core

X = np.asarray([1.0, 2.0, 3.0])
T = np.asarray([0.5, -1.0, 2.0])


def test_value_and_tangent():
    out, tangent = volta.jvp(lambda x, y: F.sin(x) * y, (X, X + 1), (T, 2 * T))
    np.testing.assert_array_equal(out, np.sin(X) * (X + 1))
    np.testing.assert_allclose(tangent, np.cos(X) * T * (X + 1) + np.sin(X) * 2 * T)
    assert type(out) is type(tangent) is np.ndarray


def test_trees_in_and_out():
    out, tangent = volta.jvp(
        lambda p: {"a": p["x"] * p["y"][0], "b": (p["x"], None)},
        ({"x": X, "y": (X,)},),
        ({"x": T, "y": (T,)},),
    )
    np.testing.assert_array_equal(out["a"], X * X)
    np.testing.assert_array_equal(tangent["a"], 2 * X * T)
    np.testing.assert_array_equal(tangent["b"][0], T)
    assert tangent["b"][1] is None


def test_lists_of_primals():
    assert volta.jvp(F.square, [np.asarray(3.0)], [np.asarray(1.0)])[1] == 6.0


def test_python_numbers():
    out, tangent = volta.jvp(lambda x: x * x, (3.0,), (2.0,))
    assert (out, tangent) == (9.0, 12.0)
    assert out.dtype == tangent.dtype == np.float32


def test_outputs_that_do_not_depend_on_the_inputs_have_zero_tangents():
    out, tangent = volta.jvp(
        lambda x: (3.0, X, F.argmax(x), F.ones(2), F.floor(x), x > 1), (X,), (T,)
    )
    assert tangent[0] == 0.0
    for o, t in zip(out[1:], tangent[1:], strict=True):
        assert type(o) is type(t) is np.ndarray
        assert (o.shape, o.dtype) == (t.shape, t.dtype)
        assert not t.any()


def test_a_function_that_returns_its_input():
    out, tangent = volta.jvp(lambda x: x, (X,), (T,))
    np.testing.assert_array_equal(out, X)
    np.testing.assert_array_equal(tangent, T)


def test_auxiliary_results():
    out, tangent, aux = volta.jvp(
        lambda x: (x * x, {"y": x * 3, "text": "kept"}), (X,), (T,), has_aux=True
    )
    np.testing.assert_array_equal(out, X * X)
    np.testing.assert_array_equal(tangent, 2 * X * T)
    np.testing.assert_array_equal(aux["y"], 3 * X)
    assert type(aux["y"]) is np.ndarray
    assert aux["text"] == "kept"


@pytest.mark.parametrize("library", ["strict", "torch"])
def test_tangents_are_of_the_librarys_own_type(library):
    make = strict.asarray if library == "strict" else pytest.importorskip("torch").asarray
    out, tangent = volta.jvp(F.sin, (make(X),), (make(T),))
    assert type(out) is type(tangent) is type(make(X))
    np.testing.assert_allclose(np.asarray(tangent), np.cos(X) * T)


def test_half_precision_and_promotion_keep_the_outputs_dtype():
    x, t = X.astype(np.float32), T.astype(np.float32)
    out, tangent = volta.jvp(lambda x: x * np.asarray([1.0, 2.0, 3.0]), (x,), (t,))
    assert out.dtype == tangent.dtype == np.float64
    out, tangent = volta.jvp(lambda x: x + 1j, (x,), (t,))
    assert out.dtype == tangent.dtype == np.complex64


@pytest.mark.broadcasting
@pytest.mark.parametrize("fun", [F.add, F.multiply, F.subtract, F.divide, F.maximum, F.hypot])
def test_tangents_broadcast_as_values_do(fun):
    a, b = np.ones((2, 1)), np.asarray([2.0, 3.0, 4.0])
    both = volta.jvp(fun, (a, b), (a, b))[1]
    left = volta.jvp(lambda a: fun(a, b), (a,), (a,))[1]
    right = volta.jvp(lambda b: fun(a, b), (b,), (b,))[1]
    assert both.shape == left.shape == right.shape == (2, 3)
    np.testing.assert_allclose(both, left + right)


def test_integer_results_inside():
    def fun(x):
        index = F.argmax(x)
        return x[index] * index

    out, tangent = volta.jvp(fun, (X,), (T,))
    assert (out, tangent) == (6.0, 4.0)


@pytest.mark.parametrize(
    ("primals", "tangents", "error", "message"),
    [
        (X, (T,), TypeError, r"primals must be a tuple or list; got ndarray\." + LINE),
        ((X,), T, TypeError, r"tangents must be a tuple or list; got ndarray\." + LINE),
        ({"x": X}, (T,), TypeError, r"primals must be a tuple or list; got dict\." + LINE),
        ((X,), (T, T), volta.ShapeError, r"tangents must have the structure of primals; got"),
        (({"a": X},), ({"b": T},), volta.ShapeError, "tangents must have the structure of primals"),
        (
            (X,),
            (np.ones(2),),
            volta.ShapeError,
            r"a tangent must have its primal's shape; got \(2,\) and \(3,\) at input\[0\]\. "
            r"Start from functional\.zeros_like of it\." + LINE,
        ),
        (
            ([X, X],),
            ([T, T.astype(np.float32)],),
            volta.DTypeError,
            r"must have its primal's dtype; got float32 and float64 at input\[0\]\[1\]\. "
            r"Convert it with functional\.astype\." + LINE,
        ),
        (
            (np.arange(3),),
            (np.arange(3),),
            volta.DTypeError,
            r"inputs must be real or complex floating; got int64 at input\[0\]\.",
        ),
        (
            ("text",),
            (T,),
            volta.DTypeError,
            r"every leaf must be an array or a number; got str\." + BESIDE + LINE,
        ),
    ],
)
def test_primals_and_tangents_must_fit(primals, tangents, error, message):
    with pytest.raises(error, match=rf"^jvp\(sin\): .*{message}"):
        volta.jvp(F.sin, primals, tangents)


def test_warnings_are_the_values_own():
    """Division by zero in the value warns, as in NumPy; in the derivative it does not."""
    with np.errstate(all="raise"):
        assert np.isinf(volta.jvp(F.sqrt, (np.asarray(0.0),), (np.asarray(1.0),))[1])
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        volta.jvp(F.log, (np.asarray(0.0),), (np.asarray(1.0),))


def test_the_tangent_is_a_handle_only_inside():
    seen = []
    volta.grad(lambda x: seen.append(volta.jvp(F.sin, (x,), (x,))) or F.sum(seen[0][1]))(X)
    assert type(seen[0][1]) is Tracer


def test_a_written_result_is_apart_from_the_input():
    def outer(x):
        out, tangent = volta.jvp(lambda y: y, (x,), (x,))
        out += 1
        tangent *= 2
        return F.sum(x * x)

    np.testing.assert_array_equal(volta.grad(outer)(X), 2 * X)
