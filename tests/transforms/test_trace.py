"""Staging a function as a list."""

import array_api_strict as strict
import numpy as np
import pytest
from strategies import BESIDE, LINE

import volta
import volta.functional as F
from volta.core.wengert import Literal

pytestmark = pytest.mark.core

X = np.asarray([1.0, 2.0, 3.0])


def names(staged):
    return [e.primitive.name for e in staged.entries]


# What is recorded --------------------------------------------------------------------------------


def test_nothing_is_computed():
    x = np.broadcast_to(np.zeros(()), (10**6, 10**6))
    staged = volta.trace(lambda x: F.sum(F.exp(x) @ x, axis=0))(x)
    assert str(staged.types[staged.outputs[0]]) == "float64[1000000]"


def test_arguments_are_trees():
    staged = volta.trace(lambda p, q, *, k: p["a"] * q[0] + k)({"a": X, "n": None}, (X, X), k=X)
    assert len(staged.inputs) == 4
    np.testing.assert_array_equal(staged(X, X + 1, X, X + 2), X * (X + 1) + X + 2)


def test_results_are_trees():
    staged = volta.trace(lambda x: {"b": (x + 1, None), "a": [x]})(X)
    out = staged(X)
    assert list(out) == ["b", "a"]
    np.testing.assert_array_equal(out["b"][0], X + 1)
    assert out["b"][1] is None


def test_python_numbers_become_arrays_as_arguments():
    staged = volta.trace(lambda x, n: x * n)(2.0, 3)
    assert [str(staged.types[v]) for v in staged.inputs] == ["float32[]", "int64[]"]


def test_numbers_in_the_function_are_literals():
    (entry,) = volta.trace(lambda x: x * 2.5)(X).entries
    assert entry.operands[1] == Literal(2.5)


def test_arrays_that_the_function_closes_over_are_captured_once():
    other = np.ones(3)
    staged = volta.trace(lambda x: x * other + other - F.sum(other))(X)
    assert len(staged.captured) == 1
    assert staged.constants[0] is other
    assert staged.types[staged.captured[0]].shape == (3,)
    np.testing.assert_array_equal(staged(X), X - 2)


def test_creation_becomes_an_entry():
    staged = volta.trace(lambda x: x + F.zeros(3) * F.arange(3.0))(X)
    assert names(staged)[:2] == ["full", "arange"]
    assert staged.captured == ()
    np.testing.assert_array_equal(staged(X), X)


def test_operations_on_captured_arrays_are_entries_too():
    staged = volta.trace(lambda x: x + F.exp(X))(X)
    assert names(staged) == ["exp", "add"]


def test_numpys_own_functions_on_numpys_arrays_are_not():
    staged = volta.trace(lambda x: x + np.exp(X))(X)
    assert names(staged) == ["add"]
    np.testing.assert_array_equal(staged.constants[0], np.exp(X))


@pytest.mark.broadcasting
def test_broadcasts_and_casts_are_entries_of_their_own():
    staged = volta.trace(lambda x, y: x * y)(np.ones((2, 1), np.float32), np.ones(3))
    assert names(staged) == ["astype", "broadcast_to", "broadcast_to", "multiply"]
    cast, left, right, product = staged.entries
    assert cast.operands == (staged.inputs[0],)
    assert cast.params["dtype"] == F.float64
    assert (left.params["shape"], right.params["shape"]) == ((2, 3), (2, 3))
    assert {str(staged.types[o]) for o in product.operands} == {"float64[2, 3]"}
    staged.check()
    np.testing.assert_array_equal(staged(np.ones((2, 1), np.float32), X), [X, X])


def test_where_casts_its_branches_and_not_its_condition():
    staged = volta.trace(F.where)(np.ones(2, bool), np.ones(2, np.float32), np.ones((1, 2)))
    casts = [e for e in staged.entries if e.primitive.name == "astype"]
    assert [e.operands[0] for e in casts] == [staged.inputs[1]]


@pytest.mark.parametrize(
    "fun",
    [
        lambda x: x / 2,
        lambda x: F.sum(x, axis=0) * np.float32(2),
        lambda x: F.maximum(x, np.zeros((2, 1), np.float16)),
        lambda x: F.where(x > 1, x, 0),
        lambda x: x + np.arange(3),
        lambda x: F.arange(3) * x,
        lambda x: F.concat([x, np.ones(2, np.float32)]),
        lambda x: F.stack([x, np.arange(3)]),
        lambda x: F.arange(3) @ x,
        lambda x: x @ np.ones((3, 2), np.float32),
        lambda x: F.mean(F.arange(3)) + x[0],
        lambda x: F.exp(F.arange(3)),
        lambda x: F.unstack(x),
        lambda x: (x > 1) & (x < 3),
        lambda x: F.linspace(0.0, 1.0, 4),
        lambda x: F.eye(2, 3) @ x,
        lambda x: F.cross_entropy(F.reshape(x, (1, 3)), np.asarray([1])),
    ],
)
def test_types_foretell_the_results(fun):
    staged = volta.trace(fun)(X)
    staged.check()
    out = fun(X.copy())
    out = out if isinstance(out, tuple) else (out,)
    for variable, value in zip(staged.outputs, out, strict=True):
        kind = staged.types[variable]
        assert (kind.shape, kind.dtype) == (np.shape(value), np.asarray(value).dtype)
    again = staged(X)
    for a, b in zip(again if isinstance(again, tuple) else (again,), out, strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_array_equal(a, b)


def test_a_result_may_be_an_input_a_captured_array_or_a_number():
    staged = volta.trace(lambda x: (x, X, 3))(X + 1)
    out = staged(X + 2)
    np.testing.assert_array_equal(out[0], X + 2)
    assert out[1] is X
    assert out[2] == 3


@pytest.mark.parametrize("bad", ["text", object()])
def test_results_must_be_arrays_or_numbers(bad):
    message = (
        r"^trace\(<lambda>\): every leaf must be an array or a number; got (str|object)\."
        + BESIDE
        + LINE
    )
    with pytest.raises(volta.DTypeError, match=message):
        volta.trace(lambda x: (x, bad))(X)


def test_arguments_must_be_arrays_or_numbers():
    message = r"^trace\(<lambda>\): every leaf must be an array or a number; got str\."
    message += BESIDE + LINE
    with pytest.raises(volta.DTypeError, match=message):
        volta.trace(lambda x, s: x)(X, "text")


# Static arguments --------------------------------------------------------------------------------


@pytest.mark.parametrize("static", [1, -1, (1,), (-1,), [1]])
def test_static_arguments_are_passed_as_they_are(static):
    def fun(x, mode):
        assert mode == "double"
        return x * 2

    staged = volta.trace(fun, static_argnums=static)(X, "double")
    assert len(staged.inputs) == 1


@pytest.mark.parametrize("static", [2, -3, (0, 5)])
def test_static_arguments_must_be_there(static):
    message = (
        r"^trace\(<lambda>\): static_argnums must number positional arguments of the call; got "
        r"static_argnums=.* and 2 positional arguments\." + LINE
    )
    with pytest.raises(ValueError, match=message):
        volta.trace(lambda x, y: x, static_argnums=static)(X, X)


# Values are not there ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asks", "what"),
    [
        (lambda x: x if x[0] > 0 else -x, "bool"),
        (lambda x: x * int(x[0]), "int"),
        (lambda x: range(F.argmax(x)), "index"),
        (lambda x: x[x > 0], "boolean index"),
        (lambda x: F.repeat(x, F.argmax(x)), "repeat"),
    ],
)
def test_asking_for_a_value_raises(asks, what):
    message = (
        rf"^{what}: needs a concrete value; got an array traced by trace\(<lambda>\) at "
        r"test_trace\.py:\d+\."
    )
    with pytest.raises(volta.TraceError, match=message):
        volta.trace(asks)(X)


def test_a_mask_that_is_not_traced_may_select():
    staged = volta.trace(lambda x: x[X > 1.5])(X)
    np.testing.assert_array_equal(staged(X * 2), [4.0, 6.0])


# Together with other transforms ------------------------------------------------------------------


def test_older_tracers_are_captured_and_differentiated():
    def outer(x):
        staged = volta.trace(lambda y: F.sum(y * x * x))(X)
        assert len(staged.captured) >= 1
        return staged(X)

    np.testing.assert_array_equal(volta.grad(outer)(X), 2 * X * X)


def test_a_list_within_a_list():
    def fun(x):
        inner = volta.trace(lambda y: y * x + F.ones(3))(X)
        return inner(F.exp(x))

    staged = volta.trace(fun)(X)
    staged.check()
    np.testing.assert_allclose(staged(X), np.exp(X) * X + 1)


def test_trace_of_jvp_and_vmap():
    staged = volta.trace(lambda x, t: volta.jvp(F.sin, (x,), (t,)))(X, X)
    np.testing.assert_allclose(staged(X, X + 1)[1], np.cos(X) * (X + 1))
    staged = volta.trace(volta.vmap(lambda x: F.sum(x * x)))(np.ones((2, 3)))
    np.testing.assert_allclose(staged(np.stack([X, X + 1])), [14.0, 29.0])


def test_staged_devices_and_libraries():
    device = strict.Device("device1")

    def fun(x):
        y = F.exp(x) * np.ones(2)
        assert y.device == device
        assert y.__array_namespace__().__name__ == "volta.array_api_strict"
        assert y.dtype == strict.float64
        z = F.zeros_like(y)
        assert z.device == device
        moved = y.to_device(strict.Device("CPU_DEVICE"))
        assert moved.device == strict.Device("CPU_DEVICE")
        return y + z

    staged = volta.trace(fun)(strict.ones(2, device=device))
    assert staged(strict.ones(2, device=device)).device == device


def test_staging_a_move_between_libraries():
    torch = pytest.importorskip("torch")

    def fun(x):
        y = volta.tree.to(x, xp=torch)
        assert y.__array_namespace__().__name__ == "volta.torch"
        return volta.tree.to(y * 2, xp=np)

    staged = volta.trace(fun)(X)
    out = staged(X)
    assert type(out) is np.ndarray
    np.testing.assert_array_equal(out, 2 * X)


def test_the_wrapper_keeps_the_name():
    assert volta.trace(F.sin).__name__ == "sin"
