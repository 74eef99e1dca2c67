"""Reverse mode: `vjp`, `grad`, `value_and_grad`."""

import collections
import functools
import re

import array_api_strict as strict
import numpy as np
import pytest
from strategies import BESIDE, LINE

import volta
import volta.functional as F
from volta.core.tracer import Tracer

pytestmark = pytest.mark.core

X = np.asarray([1.0, 2.0, 3.0])
Point = collections.namedtuple("Point", "x y")


def loss(x):
    return F.sum(F.sin(x) * x)


def slope(x):
    return np.cos(x) * x + np.sin(x)


# Which arguments ---------------------------------------------------------------------------------


def three(a, b, c):
    return F.sum(a * b * b + c)


A, B, C = np.asarray([1.0, 2.0]), np.asarray([3.0, 4.0]), np.asarray([5.0, 6.0])
SLOPES = {0: B * B, 1: 2 * A * B, 2: np.ones(2)}


@pytest.mark.parametrize("n", [0, 1, 2, -1, -2, -3])
def test_argnums_an_int_gives_one_gradient(n):
    found = volta.grad(three, n)(A, B, C)
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, SLOPES[n % 3])


@pytest.mark.parametrize("argnums", [(0,), (0, 2), (2, 0), (-1, 1), [1, 2], (0, 1, 2), ()])
def test_argnums_a_sequence_gives_a_tuple_in_its_order(argnums):
    found = volta.grad(three, argnums=argnums)(A, B, C)
    assert type(found) is tuple
    for n, g in zip(argnums, found, strict=True):
        np.testing.assert_array_equal(g, SLOPES[n % 3])


@pytest.mark.parametrize("argnums", [3, -4, (0, 3), "0", (0, 1.0), 1.0, None, [None]])
def test_argnums_must_number_arguments(argnums):
    message = re.escape(
        "grad(three): argnums must number positional arguments of the call; got "
        f"argnums={argnums!r} and 3 positional arguments. Count from 0; arguments passed by "
        "keyword go in argnames."
    )
    with pytest.raises(ValueError, match="^" + message + LINE):
        volta.grad(three, argnums=argnums)(A, B, C)


@pytest.mark.parametrize("argnums", [(0, 0), (0, -3), (1, 2, 1)])
def test_argnums_name_each_argument_once(argnums):
    with pytest.raises(
        ValueError, match=r"^grad\(three\): argnums must name each argument once; got"
    ):
        volta.grad(three, argnums=argnums)(A, B, C)


def test_argnums_without_such_an_argument_in_the_call():
    message = (
        r"got argnums=0 and 0 positional arguments\. Count from 0; arguments passed by keyword go "
        r"in argnames\." + LINE
    )
    with pytest.raises(ValueError, match=message):
        volta.grad(three)(a=A, b=B, c=C)


def test_argnames_give_a_dict_beside():
    by_position, by_name = volta.grad(three, argnames="c")(A, B, c=C)
    np.testing.assert_array_equal(by_position, SLOPES[0])
    assert list(by_name) == ["c"]
    np.testing.assert_array_equal(by_name["c"], SLOPES[2])


def test_argnames_alone_and_several():
    none, by_name = volta.grad(three, argnums=(), argnames=("c", "b"))(A, b=B, c=C)
    assert none == ()
    assert list(by_name) == ["c", "b"]
    np.testing.assert_array_equal(by_name["b"], SLOPES[1])


def test_argnames_must_be_in_the_call():
    message = (
        r"^grad\(three\): argnames must name keyword arguments of the call; got 'd' and keywords "
        r"\['c'\]\." + LINE
    )
    with pytest.raises(ValueError, match=message):
        volta.grad(three, argnames=["d"])(A, B, c=C)


def test_keywords_are_passed_on_and_not_differentiated():
    def fun(x, *, factor, name):
        assert name == "text"
        assert type(factor) is np.ndarray
        return F.sum(x * factor)

    np.testing.assert_array_equal(volta.grad(fun)(X, factor=X, name="text"), X)


def test_other_arguments_are_passed_on_as_they_are():
    marker = object()
    assert volta.grad(lambda x, other: F.sum(x) if other is marker else None)(X, marker)[0] == 1


# What may be differentiated ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        X,
        {"a": X, "b": {"c": X}},
        (X, [X, (X,)]),
        Point(X, None),
        [None, X, ()],
        collections.OrderedDict(b=X, a=X),
        {"mixed": (X.astype(np.float32), X)},
    ],
    ids=str,
)
def test_the_gradient_is_a_tree_like_the_argument(params):
    from volta import tree

    def fun(p):
        return sum((F.sum(F.sin(x) * x) for x in tree.leaves(p)), start=0.0)

    found = volta.grad(fun)(params)
    assert tree.structure(found) == tree.structure(params)
    for g, x in zip(tree.leaves(found), tree.leaves(params), strict=True):
        assert (type(g), g.dtype, g.shape) == (np.ndarray, x.dtype, x.shape)
        np.testing.assert_allclose(g, slope(x), rtol=1e-6)


@pytest.mark.parametrize(
    ("x", "dtype"),
    [
        (2.0, np.float32),
        (np.float64(2.0), np.float64),
        (np.float32(2.0), np.float32),
        (np.float16(2.0), np.float16),
        (np.asarray(2.0), np.float64),
        (np.ones((2, 0)), np.float64),
    ],
)
def test_numbers_and_arrays_of_any_rank(x, dtype):
    found = volta.grad(lambda x: F.sum(x * x))(x)
    assert type(found) is np.ndarray
    assert found.dtype == dtype
    assert found.shape == np.shape(x)
    np.testing.assert_array_equal(found, 2 * np.asarray(x))


def test_bfloat16():
    x = F.astype(X, F.bfloat16)
    found = volta.grad(lambda x: F.sum(x * x))(x)
    assert found.dtype == x.dtype
    np.testing.assert_array_equal(found.astype(np.float32), 2 * X)


@pytest.mark.parametrize("library", ["strict", "torch"])
def test_the_gradient_is_of_the_librarys_own_type(library):
    make = strict.asarray if library == "strict" else pytest.importorskip("torch").asarray
    x = make(X.astype(np.float32))
    value, found = volta.value_and_grad(loss)(x)
    assert type(found) is type(value) is type(x)
    assert (found.dtype, found.device) == (x.dtype, x.device)
    np.testing.assert_allclose(np.asarray(found), slope(X), rtol=1e-5)


def test_jax_arrays():
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray(X)
    found = volta.grad(loss)(x)
    assert isinstance(found, jax.Array)
    np.testing.assert_allclose(
        found, jax.grad(lambda x: (jax.numpy.sin(x) * x).sum())(x), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("x", "dtype", "path"),
    [
        (3, "int64", r"input\[0\]\[0\]"),
        (np.arange(3), "int64", r"input\[0\]\[0\]"),
        (True, "bool", r"input\[0\]\[0\]"),
        ({"w": X, "n": [np.uint8([1])]}, "uint8", r"input\[0\]\[0\]\['n'\]\[0\]"),
    ],
)
def test_integers_are_refused_with_their_place(x, dtype, path):
    message = (
        rf"^grad\(<lambda>\): inputs must be real or complex floating; got {dtype} at {path}\. "
        r"Convert it, leave it out of argnums, or pass allow_int=True for zeros\." + LINE
    )
    with pytest.raises(volta.DTypeError, match=message):
        volta.grad(lambda x: 1.0)(x)


def test_allow_int_gives_zeros_of_their_own_type():
    found = volta.grad(lambda p: F.sum(p["x"]) * p["n"] * 1.0, allow_int=True)(
        {"x": X, "n": 2, "m": np.ones(2, bool)}
    )
    np.testing.assert_array_equal(found["x"], [2.0, 2.0, 2.0])
    assert (found["n"].dtype, found["n"].shape, float(found["n"])) == (np.int64, (), 0.0)
    assert (found["m"].dtype, found["m"].tolist()) == (np.bool_, [False, False])


@pytest.mark.parametrize("bad", ["text", object(), {"w": "text"}, [b"bytes"]])
def test_leaves_must_be_arrays_or_numbers(bad):
    message = (
        r"^grad\(<lambda>\): every leaf must be an array or a number; got (str|object|bytes)\."
        + BESIDE
        + LINE
    )
    with pytest.raises(volta.DTypeError, match=message):
        volta.grad(lambda x: 1.0)(bad)


def test_unused_inputs_get_zeros_of_their_own_type():
    params = {"used": X, "half": np.ones(2, np.float16), "z": np.ones((1, 2), np.complex64)}
    found = volta.grad(lambda p: F.sum(p["used"]))(params)
    for name in ("half", "z"):
        assert (found[name].dtype, found[name].shape) == (params[name].dtype, params[name].shape)
        assert not found[name].any()


@pytest.mark.parametrize(
    ("result", "value"),
    [
        (lambda x: 1.5, 1.5),
        (lambda x: np.float64(2.5), 2.5),
        (lambda x: np.asarray(2.5), 2.5),
        (lambda x: F.zeros(()), 0.0),
        (lambda x: volta.stop_gradient(x[1]), 2.0),
        (lambda x: F.floor(x[2]), 3.0),
        (lambda x: x[0] * 0, 0.0),
    ],
)
def test_a_loss_that_does_not_depend_on_its_input(result, value):
    found, gradient = volta.value_and_grad(result)(X)
    assert float(found) == value
    assert type(found) is not Tracer
    assert gradient.tolist() == [0.0, 0.0, 0.0]
    assert gradient.dtype == np.float64


def test_a_function_that_returns_its_input():
    value, gradient = volta.value_and_grad(lambda x: x)(np.asarray(3.0))
    assert (float(value), float(gradient)) == (3.0, 1.0)


def test_the_same_array_twice():
    found = volta.grad(lambda x, y: F.sum(x * x * y), argnums=(0, 1))(X, X)
    np.testing.assert_array_equal(found[0], 2 * X * X)
    np.testing.assert_array_equal(found[1], X * X)
    (tied,) = volta.grad(lambda p: F.sum(p[0] * p[1]), argnums=(0,))([X, X])
    np.testing.assert_array_equal(tied[0], X)


def test_a_closure_over_the_argument_is_constant():
    np.testing.assert_array_equal(volta.grad(lambda x: F.sum(x * X))(X), X)


@pytest.mark.parametrize(
    "callable_",
    [
        functools.partial(three, c=C),
        type("C", (), {"__call__": lambda self, a, b: three(a, b, C)})(),
    ],
)
def test_any_callable(callable_):
    np.testing.assert_array_equal(volta.grad(callable_)(A, B), SLOPES[0])


def test_the_wrapper_keeps_name_and_docstring():
    def documented(x):
        """What it does."""
        return F.sum(x)

    for transformed in (volta.grad(documented), volta.value_and_grad(documented)):
        assert transformed.__name__ == "documented"
        assert transformed.__doc__ == "What it does."


@pytest.mark.broadcasting
def test_mixed_dtypes_come_back_as_they_were():
    def fun(a, b, c):
        return F.sum(a * b + c)

    args = (np.ones(2, np.float32), np.ones((3, 1)), np.ones((), np.float16))
    found = volta.grad(fun, argnums=(0, 1, 2))(*args)
    assert [g.dtype for g in found] == [a.dtype for a in args]
    assert [g.shape for g in found] == [a.shape for a in args]
    assert [g.tolist() for g in found] == [[3, 3], [[2], [2], [2]], 6]


def test_a_complex_part_of_a_real_operand():
    z = np.asarray([1 + 2j, 3 - 1j])
    found = volta.grad(lambda x: F.sum(F.imag(x * z)))(np.ones(2))
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, z.imag)


# The loss ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (
            lambda x: x,
            TypeError,
            r"the function must return one number, shape \(\); got shape \(3,\)\. Reduce it with "
            r"sum or mean, or use vjp\." + LINE,
        ),
        (lambda x: F.ones((1, 1)), TypeError, r"got shape \(1, 1\)"),
        (lambda x: None, TypeError, r"must return an array of shape \(\); got NoneType\." + LINE),
        (
            lambda x: (F.sum(x),),
            TypeError,
            r"must return an array of shape \(\); got tuple\." + LINE,
        ),
        (lambda x: {"loss": F.sum(x)}, TypeError, r"got dict\." + LINE),
        (lambda x: "text", TypeError, r"got str\." + LINE),
        (lambda x: F.argmax(x), volta.DTypeError, r"must be real floating; got int64\." + LINE),
        (lambda x: x[0] > 0, volta.DTypeError, r"must be real floating; got bool\." + LINE),
        (lambda x: 3, volta.DTypeError, r"must be real floating; got int scalar\." + LINE),
        (
            lambda x: F.sum(x) * 1j,
            volta.DTypeError,
            r"must be real floating; got complex128\. Take its real part or its absolute value, or "
            r"pass holomorphic=True\." + LINE,
        ),
    ],
)
@pytest.mark.parametrize("transform", [volta.grad, volta.value_and_grad])
def test_the_loss_must_be_one_real_number(transform, result, error, message):
    with pytest.raises(error, match=rf"^grad\(<lambda>\): .*{message}"):
        transform(result)(X)


def test_the_value_is_the_functions_own():
    value, gradient = volta.value_and_grad(loss)(X)
    assert type(value) is np.ndarray
    assert value == loss(X)
    np.testing.assert_array_equal(gradient, volta.grad(loss)(X))


# Auxiliary results -------------------------------------------------------------------------------


def with_aux(x):
    y = F.sin(x)
    return F.sum(y * x), {"y": y, "x": x, "const": F.ones(2), "text": "kept", "n": 3, "none": None}


def check_aux(aux):
    assert type(aux["y"]) is np.ndarray
    np.testing.assert_array_equal(aux["y"], np.sin(X))
    np.testing.assert_array_equal(aux["x"], X)
    assert type(aux["const"]) is np.ndarray
    assert (aux["text"], aux["n"], aux["none"]) == ("kept", 3, None)


def test_aux_of_grad():
    gradient, aux = volta.grad(with_aux, has_aux=True)(X)
    np.testing.assert_allclose(gradient, slope(X))
    check_aux(aux)


def test_aux_of_value_and_grad():
    (value, aux), gradient = volta.value_and_grad(with_aux, has_aux=True)(X)
    np.testing.assert_allclose(gradient, slope(X))
    assert value == loss(X)
    check_aux(aux)


def test_aux_of_vjp():
    out, vjp_fn, aux = volta.vjp(with_aux, X, has_aux=True)
    assert out == loss(X)
    np.testing.assert_allclose(vjp_fn(1.0)[0], slope(X))
    check_aux(aux)


def test_aux_of_an_inner_grad_carries_derivatives_of_the_outer():
    def outer(x):
        _, y = volta.grad(lambda t: (F.sum(t), t * t), has_aux=True)(x)
        return F.sum(y)

    np.testing.assert_array_equal(volta.grad(outer)(X), 2 * X)


@pytest.mark.parametrize(
    ("result", "got"),
    [
        (lambda x: F.sum(x), "an array"),
        (lambda x: (F.sum(x), 1, 2), "a tuple of 3"),
        (lambda x: [F.sum(x), 1], "list"),
        (lambda x: None, "NoneType"),
    ],
)
@pytest.mark.parametrize(
    "transform",
    [
        lambda f: volta.grad(f, has_aux=True)(X),
        lambda f: volta.value_and_grad(f, has_aux=True)(X),
        lambda f: volta.vjp(f, X, has_aux=True),
        lambda f: volta.jvp(f, (X,), (X,), has_aux=True),
    ],
    ids=["grad", "value_and_grad", "vjp", "jvp"],
)
def test_aux_must_be_in_a_pair(transform, result, got):
    message = (
        rf"^(grad|vjp|jvp)\(<lambda>\): with has_aux=True the function must return a pair "
        rf"\(out, aux\); got {got}\. Return one, or leave has_aux out\." + LINE
    )
    with pytest.raises(TypeError, match=message):
        transform(result)


# Complex numbers ---------------------------------------------------------------------------------

Z = np.asarray([1 + 2j, -0.5 + 1j, 3 - 1j])
REAL_LOSSES = {
    "abs": lambda xp, z: xp.sum(xp.abs(z) ** 2),
    "real": lambda xp, z: xp.sum(xp.real(z * z * (2 + 1j))),
    "imag": lambda xp, z: xp.sum(xp.imag(xp.exp(z))),
    "conj": lambda xp, z: xp.real(xp.sum(xp.conj(z) * z * z)),
    "mixed": lambda xp, z: xp.sum(xp.abs(xp.sin(z)) + xp.real(z) * xp.imag(z)),
    "matmul": lambda xp, z: xp.abs(z @ (z * (1 - 2j))),
}


@pytest.mark.grad_check
@pytest.mark.parametrize("fun", list(REAL_LOSSES.values()), ids=list(REAL_LOSSES))
def test_gradients_of_real_losses_follow_jaxs_convention(fun):
    """∂f/∂x − i ∂f/∂y, by finite differences, and by JAX where it is installed."""
    found = volta.grad(lambda z: fun(F, z))(Z)
    assert found.dtype == Z.dtype
    step = 1e-6
    numeric = np.zeros(3, complex)
    for k in range(3):
        d = np.zeros(3)
        d[k] = step
        dx = (fun(np, Z + d) - fun(np, Z - d)) / (2 * step)
        dy = (fun(np, Z + 1j * d) - fun(np, Z - 1j * d)) / (2 * step)
        numeric[k] = dx - 1j * dy
    np.testing.assert_allclose(found, numeric, rtol=1e-6, atol=1e-7)


@pytest.mark.grad_check
@pytest.mark.parametrize("fun", list(REAL_LOSSES.values()), ids=list(REAL_LOSSES))
def test_complex_gradients_agree_with_jax(fun):
    jax = pytest.importorskip("jax")
    z = Z.astype(np.complex64)
    wanted = jax.grad(lambda z: fun(jax.numpy, z))(z)
    np.testing.assert_allclose(volta.grad(lambda z: fun(F, z))(z), wanted, rtol=2e-5, atol=1e-5)


@pytest.mark.grad_check
def test_vjp_of_complex_outputs_agrees_with_jax():
    jax = pytest.importorskip("jax")
    z, ct = Z.astype(np.complex64), np.asarray([1j, 2 - 1j, 0.5], np.complex64)

    def fun(xp, z):
        return xp.exp(z) * xp.conj(z) + xp.real(z) * 1j

    (found,) = volta.vjp(lambda z: fun(F, z), z)[1](ct)
    (wanted,) = jax.vjp(lambda z: fun(jax.numpy, z), z)[1](ct)
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=1e-5)
    tangent = volta.jvp(lambda z: fun(F, z), (z,), (ct,))[1]
    np.testing.assert_allclose(
        tangent, jax.jvp(lambda z: fun(jax.numpy, z), (z,), (ct,))[1], rtol=2e-5, atol=1e-5
    )


@pytest.mark.parametrize("z", [Z, Z[0], 1 + 2j])
def test_holomorphic_gives_the_complex_derivative(z):
    found = volta.grad(lambda z: F.sum(F.exp(z) * z), holomorphic=True)(z)
    assert found.dtype == (np.complex64 if type(z) is complex else np.complex128)
    np.testing.assert_allclose(found, np.exp(z) * (z + 1), rtol=1e-6)


@pytest.mark.parametrize(
    ("fun", "x", "message"),
    [
        (F.sum, X, r"inputs must be complex; got float64 at input\[0\]\[0\]\." + LINE),
        (lambda z: F.sum(F.abs(z)), Z, r"the output must be complex; got float64\." + LINE),
    ],
)
def test_holomorphic_needs_complex_inputs_and_output(fun, x, message):
    with pytest.raises(volta.DTypeError, match=rf"^grad\(.*\): with holomorphic=True {message}"):
        volta.grad(fun, holomorphic=True)(x)


# Products with cotangents ------------------------------------------------------------------------


def test_vjp_returns_a_tuple_of_trees():
    out, vjp_fn = volta.vjp(lambda p, y: {"a": p["x"] * y, "b": (y,)}, {"x": X}, X)
    np.testing.assert_array_equal(out["a"], X * X)
    pulled = vjp_fn({"a": np.ones(3), "b": (2 * np.ones(3),)})
    assert type(pulled) is tuple
    np.testing.assert_array_equal(pulled[0]["x"], X)
    np.testing.assert_array_equal(pulled[1], X + 2)


def test_vjp_without_inputs():
    out, vjp_fn = volta.vjp(lambda: F.ones(2))
    assert out.tolist() == [1.0, 1.0]
    assert vjp_fn(np.ones(2, np.float32)) == ()


def test_vjp_may_be_called_again_and_again():
    _, vjp_fn = volta.vjp(lambda x: F.sin(x) * x, X)
    basis = [vjp_fn(row)[0] for row in np.eye(3)]
    np.testing.assert_allclose(np.stack(basis), np.diag(slope(X)))
    np.testing.assert_allclose(vjp_fn(np.ones(3))[0], slope(X))


def test_an_output_returned_twice_sums_its_cotangents():
    _, vjp_fn = volta.vjp(lambda x: (y := x * 2, y, x), X)
    np.testing.assert_array_equal(vjp_fn((X, X, X))[0], 5 * X)


def test_numbers_serve_as_cotangents_of_rank_0():
    assert volta.vjp(F.sum, X)[1](2.0)[0].tolist() == [2.0, 2.0, 2.0]
    assert volta.vjp(F.sum, X)[1](2)[0].dtype == np.float64


def test_outputs_that_do_not_depend_on_the_inputs():
    out, vjp_fn = volta.vjp(lambda x: (x, 3.0, F.argmax(x), X), X)
    assert float(out[1]) == 3.0
    np.testing.assert_array_equal(vjp_fn((X, 1.0, np.asarray(0), X))[0], X)


@pytest.mark.parametrize(
    ("ct", "error", "message"),
    [
        (
            np.ones(2),
            volta.ShapeError,
            r"must have its output's shape; got \(2,\) and \(3,\)\. "
            r"Start from functional\.ones_like of the output\." + LINE,
        ),
        (
            np.ones((3, 1)),
            volta.ShapeError,
            r"must have its output's shape; got \(3, 1\) and \(3,\)",
        ),
        (
            np.ones(3, np.float32),
            volta.DTypeError,
            r"output's dtype; got float32 and float64\. "
            r"Convert it with functional\.astype\." + LINE,
        ),
        (
            np.ones(3, complex),
            volta.DTypeError,
            r"output's dtype; got complex128 and float64\. "
            r"Convert it with functional\.astype\." + LINE,
        ),
        ((np.ones(3),), volta.ShapeError, r"must have the output's structure; got .* and "),
        ({"a": np.ones(3)}, volta.ShapeError, "must have the output's structure"),
        (None, volta.ShapeError, "must have the output's structure"),
    ],
)
def test_a_cotangent_must_fit_its_output(ct, error, message):
    _, vjp_fn = volta.vjp(F.sin, X)
    with pytest.raises(error, match=rf"^vjp\(sin\): .*{message}"):
        vjp_fn(ct)


def test_vjp_refuses_integers():
    with pytest.raises(
        volta.DTypeError, match=r"^vjp\(<lambda>\): inputs must be .* at input\[1\]\."
    ):
        volta.vjp(lambda x, n: x, X, np.arange(3))


# The caller's arrays -----------------------------------------------------------------------------


@pytest.mark.parametrize("after", [lambda x: x, lambda x: x * 1.0])
def test_gradients_are_the_callers_own(after):
    """Each may be written to, and no two share memory."""
    found = volta.grad(lambda p: F.sum(after(p["a"] + p["b"])))({"a": X, "b": X})
    found["a"] *= 0
    assert found["b"].tolist() == [1.0, 1.0, 1.0]
    alone = volta.grad(F.sum)(X)
    alone += 1
    assert alone.tolist() == [2.0, 2.0, 2.0]


def test_gradients_of_torch_are_the_callers_own():
    torch = pytest.importorskip("torch")
    x = torch.tensor(X)
    found = volta.grad(lambda p: F.sum(p["a"] + p["b"]))({"a": x, "b": x})
    found["a"] *= 0
    assert found["b"].tolist() == [1.0, 1.0, 1.0]
    alone = volta.grad(F.sum)(x)
    alone += 1
    assert alone.tolist() == [2.0, 2.0, 2.0]


def test_arguments_are_not_written_to():
    def fun(x):
        x[0] = 5.0
        x += 1
        return F.sum(x * x)

    given = X.copy()
    np.testing.assert_array_equal(volta.grad(fun)(given), [0.0, 6.0, 8.0])
    np.testing.assert_array_equal(given, X)


def test_a_value_is_not_shared_with_what_an_outer_transform_reads():
    def outer(x):
        value, gradient = volta.value_and_grad(lambda t: F.sum(F.exp(t)))(x)
        value += 1
        gradient[0] = 0.0
        return value + F.sum(gradient)

    np.testing.assert_allclose(volta.grad(outer)(X), np.exp(X) * [1, 2, 2])


# Memory ------------------------------------------------------------------------------------------


def stale_slice(x):
    y = x[0:2]
    x[0] = 5.0
    return F.sum(volta.grad(lambda z: F.sum(z**3))(y))


def test_an_inner_transform_reads_views_as_they_are_now():
    value, grad = volta.value_and_grad(stale_slice)(np.asarray([1.0, 2.0, 3.0]))
    assert value == 87.0
    np.testing.assert_array_equal(grad, [0.0, 12.0, 0.0])


def test_an_inner_transform_refuses_stale_views():
    def fun(x):
        y = F.reshape(x, (3, 1))
        x[0] = 5.0
        return volta.grad(lambda z: F.sum(z**3))(y)

    with pytest.raises(volta.TraceError, match="must not be used after the array it views"):
        volta.vjp(fun, np.ones(3))


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_gradients_share_no_memory(name):
    xp = pytest.importorskip(name)
    a, b, c = (xp.ones(n, dtype=xp.float64) for n in (2, 2, 4))
    grads = volta.grad(lambda p: F.sum(F.concat([p[0], p[1]]) + p[2]))((a, b, c))
    before = [np.asarray(g).copy() for g in grads]
    for k, g in enumerate(grads):
        g *= k + 2
    for k, (g, old) in enumerate(zip(grads, before, strict=True)):
        np.testing.assert_array_equal(np.asarray(g), old * (k + 2))


def test_gradients_are_not_the_callers_cotangents():
    ct = np.ones(3)
    _, vjp_fn = volta.vjp(lambda x: F.reshape(x, (3,)) + 0.0, np.ones(3))
    assert not np.shares_memory(vjp_fn(ct)[0], ct)


def test_equal_values_share_the_derivative_of_an_extremum():
    for function in (F.maximum, F.minimum):
        grads = volta.grad(lambda x, y, f=function: F.sum(f(x, y)), (0, 1))(np.ones(2), np.ones(2))
        np.testing.assert_array_equal(grads, np.full((2, 2), 0.5))


def test_a_view_with_slices_of_its_own_may_be_written_to():
    def fun(x):
        y = x * 2
        a = F.reshape(y, (-1,))
        del y
        part = a[1:]
        a[1] = 5.0
        return part

    np.testing.assert_array_equal(volta.vjp(fun, np.ones(3))[0], [5.0, 2.0])


def test_slices_of_slices_catch_up_without_recursion():
    def fun(x):
        y = x
        for _ in range(2000):
            y = y[:]
        x[0] = 2.0
        return F.sum(y)

    np.testing.assert_array_equal(volta.grad(fun)(np.ones(3)), [0.0, 1.0, 1.0])


def test_a_pair_inside_of_a_staged_function():
    def fun(x):
        return F.sum(volta.trace(lambda y: F.abs(x) * y)(x)(x))

    np.testing.assert_array_equal(volta.grad(fun)(np.asarray([1.0, -2.0])), [2.0, 4.0])


def test_stop_gradient_is_a_view():
    def fun(x):
        y = F.stop_gradient(x)
        x[0] = 5.0
        return F.sum(x * y)

    with pytest.raises(volta.TraceError, match=r"^stop_gradient: its result must not be used"):
        volta.grad(fun)(np.ones(2))


def test_torch_divides_by_integers_in_full():
    torch = pytest.importorskip("torch")
    grad = volta.grad(lambda x: F.sum(x / torch.tensor([3])))(torch.ones(1, dtype=torch.float64))
    assert float(grad[0]) == 1 / 3


@pytest.mark.parametrize("function", [F.positive, F.conj])
def test_torch_copies(function):
    torch = pytest.importorskip("torch")
    x = torch.ones(2)
    assert function(x).data_ptr() != x.data_ptr()


def test_jax_refuses_integers_out_of_range():
    jax = pytest.importorskip("jax")
    with pytest.raises(volta.DimensionError, match="indices must be from -2 to 1 along axis 0"):
        volta.grad(lambda x: F.sum(x[5]))(jax.numpy.ones((2, 3)))


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_where_takes_one_boolean(name):
    xp = pytest.importorskip(name)
    x = xp.ones(2)
    for condition in (True, np.True_):
        out = volta.grad(lambda x, c=condition: F.sum(F.where(c, x, 0)))(x)
        np.testing.assert_array_equal(np.asarray(out), [1.0, 1.0])


def test_arrays_of_another_algebra_are_refused():
    masked = np.ma.masked_array([1.0, 2.0], [True, False])
    with pytest.raises(volta.DTypeError, match=r"^add: operands must be plain arrays; got Masked"):
        F.add(np.ones(2), masked)


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_where_takes_two_numbers(name):
    xp = pytest.importorskip(name)
    out = F.where(xp.asarray([True, False]), 1.0, 0.0)
    np.testing.assert_array_equal(np.asarray(out), [1.0, 0.0])
