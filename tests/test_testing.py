"""Checks of numbers, derivatives and libraries: what they accept, refuse and say."""

import re
from collections import namedtuple

import numpy as np
import pytest

import volta
import volta.functional as F
from volta.testing import (
    TOLERANCES,
    assert_close,
    check_backends,
    check_grads,
    gradcheck,
    gradgradcheck,
)

RNG = np.random.default_rng(0)


def refused(*message):
    return pytest.raises(AssertionError, match=re.escape("".join(message)))


# assert_close ------------------------------------------------------------------------------------


def test_equal_trees_are_close():
    tree = {"a": (np.ones(3), None), "b": [2, np.asarray([True])]}
    assert_close(tree, {"a": (np.ones(3), None), "b": [2.0, np.asarray([True])]})


def test_nan_and_infinity_equal_themselves():
    x = np.asarray([np.nan, np.inf, -np.inf])
    assert_close(x, x.copy())
    with refused("got inf and -inf at tree[2]; 1 of 3 elements differ."):
        assert_close(np.asarray([np.nan, np.inf, np.inf]), x)


@pytest.mark.parametrize("name", list(TOLERANCES))
def test_each_dtype_has_its_tolerance(name):
    dtype = getattr(F, name).dtype
    rtol = TOLERANCES[name].rtol
    x = np.asarray([1.0], dtype)
    assert_close(x, np.asarray([1.0 + rtol / 2], dtype))
    with refused("numbers must agree within rtol="):
        assert_close(x, np.asarray([1.0 + 8 * rtol], dtype))


def test_complex_numbers_have_the_tolerance_of_their_parts():
    x = np.asarray([1 + 1j], np.complex64)
    assert_close(x, x * np.complex64(1 + 5e-6))
    with refused("got (1+1j) and (1+1.5j) at tree[0]"):
        assert_close(x, np.asarray([1 + 1.5j], np.complex64))


def test_integers_agree_exactly():
    with refused("numbers must agree within rtol=0 and atol=0; got 1 and 2 at tree[1]; 1 of 2"):
        assert_close(np.asarray([2**60, 1]), np.asarray([2**60, 2]))
    with refused(f"got {2**62} and {2**62 + 1} at tree"):
        assert_close(np.asarray(2**62), np.asarray(2**62 + 1))
    with refused("got True and False at tree[0]"):
        assert_close(np.asarray([True]), np.asarray([False]))


def test_integers_may_be_far_apart():
    def apart(dtype, a, b, **tolerances):
        assert_close(np.asarray([a], dtype), np.asarray([b], dtype), **tolerances)

    apart("uint8", 4, 5, atol=1)
    apart("uint64", 2**64 - 2, 2**64 - 1, atol=1)
    apart("int64", 2**62, 2**62 + 2, rtol=1e-18)
    for dtype, a, b in [("int8", 127, -128), ("uint8", 255, 0), ("int64", -(2**63), 2**63 - 1)]:
        with refused(f"got {a} and {b} at tree[0]"):
            apart(dtype, a, b, atol=1)
    with refused("rtol=0 and atol=1; got 4611686018427387904 and 4611686018427387906"):
        apart("int64", 2**62, 2**62 + 2, atol=1)


def test_given_tolerances_win():
    assert_close(np.asarray(1.0), np.asarray(1.1), rtol=0.1)
    assert_close(np.asarray(1.0), np.asarray(1.1), atol=0.11)
    assert_close(np.asarray(3), np.asarray(4), atol=1)


def test_shape_dtype_and_structure_are_compared():
    with refused("assert_close: shapes must agree; got (2,) and (2, 1) at tree['w']."):
        assert_close({"w": np.ones(2)}, {"w": np.ones((2, 1))})
    with refused("assert_close: dtypes must agree; got float32 and float64 at tree['w'][1]."):
        assert_close({"w": [1, np.ones(2, "float32")]}, {"w": [1, np.ones(2)]})
    with refused("assert_close: trees must have one structure; got PyTreeSpec((*, *)) and "):
        assert_close((1, 2), [1, 2])
    Point = namedtuple("Point", "x y")
    with refused("shapes must agree; got () and (1,) at tree[1]."):
        assert_close(Point(1, np.ones(())), Point(1, np.ones(1)))


def test_the_worst_element_is_named():
    with refused("got 1.0 and 3.0 at tree[1, 0]; 2 of 4 elements differ."):
        assert_close(np.ones((2, 2)), np.asarray([[1.0, 2.0], [3.0, 1.0]]))


def test_empty_arrays_are_close():
    assert_close(np.ones((0, 2)), np.ones((0, 2)))


def test_arrays_of_any_library():
    torch = pytest.importorskip("torch")
    assert_close(torch.ones(2, dtype=torch.float64), np.ones(2))
    assert_close(torch.ones(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.bfloat16))
    z = torch.complex(torch.ones(2), torch.ones(2))
    assert_close(z.conj(), np.asarray([1 - 1j] * 2, np.complex64))
    dask = pytest.importorskip("dask.array")
    assert_close(dask.ones(3), np.ones(3))


# check_grads -------------------------------------------------------------------------------------


def squares(params, n):
    return {"s": F.sum(F.tanh(params["w"] @ params["w"])) * n, "n": n, "z": params["z"] ** 3}


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("modes", [("fwd",), ("rev",), ("fwd", "rev")])
def test_right_derivatives_pass(order, modes):
    params = {"w": RNG.standard_normal((2, 2)), "z": np.asarray([1 + 2j, 0.5 - 1j])}
    check_grads(squares, (params, np.asarray(3)), order, modes)


@pytest.mark.parametrize("dtype", list(TOLERANCES))
def test_every_precision(dtype):
    x = np.asarray([0.3, -0.7, 1.1], getattr(F, dtype).dtype)
    check_grads(lambda x: F.sin(x) * F.exp(-x), (x,), 1)


def test_another_library():
    torch = pytest.importorskip("torch")
    gradgradcheck(lambda x: F.sin(x), (torch.ones(3),))


def test_modules_are_arguments():
    layer = volta.nn.Linear(3, 2, key=F.random.key(0), dtype=np.float64)
    check_grads(lambda layer, x: layer(x), (layer, np.ones((4, 3))))


def half(x):
    return x * volta.stop_gradient(x)


def test_a_wrong_forward_derivative_is_found():
    message = (
        "check_grads(half): the fwd derivative of order 1 in args[0] must agree with the finite "
        "difference; got "
    )
    with refused(message) as raised:
        check_grads(half, (np.asarray([1.0, 2.0]),))
    numbers = re.findall(r"got (\S+) and (\S+) at output\[\d\]\.", str(raised.value))
    got, wanted = map(float, numbers[0])
    assert wanted == pytest.approx(2 * got)


def test_a_wrong_reverse_derivative_is_found():
    message = (
        "check_grads(half): the rev derivative of order 1 in args[0] must be the transpose of "
        "the finite difference; got "
    )
    with refused(message) as raised:
        check_grads(half, (np.asarray([1.0, 2.0]),), modes=("rev",))
    got, wanted = map(float, re.findall(r"got (\S+) and (\S+) for the sums", str(raised.value))[0])
    assert wanted == pytest.approx(2 * got)


@pytest.mark.parametrize("n", [10, 100, 1000, 10_000])
@pytest.mark.parametrize("wrong", [0.0, 3.0])
def test_one_wrong_element_of_many_is_found(n, wrong):
    @volta.custom_vjp
    def squares(x):
        return F.sum(x**2)

    def bwd(x, ct):
        return (F.at(2 * x * ct)[n // 2].multiply(wrong),)

    squares.defvjp(lambda x: (F.sum(x**2), x), bwd)
    x = np.random.default_rng(0).normal(size=n).astype(np.float32)
    x[n // 2] = x.max() if wrong else 1.0
    with refused("check_grads(squares): the rev derivative of order 1 in args[0] must be the "):
        check_grads(squares, (x,), modes=("rev",))
    check_grads(lambda x: F.sum(x**2), (x,), modes=("rev",))


@pytest.mark.parametrize(
    ("f", "got"),
    [
        (lambda x: None, "no arrays"),
        (lambda x: F.astype(x, "int64"), "int64"),
        (lambda x: (3.0, F.sum(x) > 0), "float, bool"),
    ],
)
@pytest.mark.parametrize("order", [1, 2])
def test_there_must_be_a_result_to_check(f, got, order):
    message = rf"some result must be real or complex floating; got {got}\."
    with pytest.raises(ValueError, match=message):
        check_grads(f, (np.ones(2),), order)


def test_functions_that_write_to_their_arguments():
    x, n = np.asarray([1.0, 2.0, 3.0]), np.asarray([2])

    def f(x, n):
        x[0] = 7.0
        x *= 2
        n += 1
        return F.sum(x * x * n)

    check_grads(f, (x, n), 2)
    np.testing.assert_array_equal(x, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(n, [2])


def test_numbers_are_arguments():
    check_grads(lambda s: s * s, (2.0,), 2)
    check_grads(lambda s, x: {"a": s * x, "n": 3}, (2.0, np.ones(2)))


def test_the_argument_that_is_wrong_is_named():
    with refused("derivative of order 1 in args[1]['y'] must"):
        check_grads(lambda x, p: x * volta.stop_gradient(p["y"]), (np.ones(2), {"y": np.ones(2)}))


@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_a_wrong_second_derivative_is_found(mode):
    def cube(x):  # the first derivative is right
        c = volta.stop_gradient(x)
        return c**3 + 3 * c**2 * (x - c)

    point = (np.asarray(1.5),)
    with refused(f"the {mode} derivative of order 2 in args[0] ({mode} over {mode}) must"):
        check_grads(cube, point, 2, (mode,))


def test_a_value_that_changes_under_a_transform_is_told():
    def sly(x):
        return x * 2 if type(x).__name__ == "Tracer" else x

    with refused(
        "check_grads(sly): the value under rev must be the function's: numbers must agree within "
        "rtol=1e-09 and atol=1e-12; got 2.0 and 1.0 at output; 1 of 1 elements differ."
    ):
        check_grads(sly, (np.asarray(1.0),), modes=("rev",))


def test_step_and_tolerances_can_be_given():
    with pytest.raises(AssertionError):
        check_grads(F.exp, (np.asarray(1.0),), eps=2.0)
    check_grads(F.exp, (np.asarray(1.0),), eps=2.0, rtol=0.5)
    check_grads(half, (np.asarray([1.0, 2.0]),), atol=100.0)


def test_order_modes_and_arguments_are_checked():
    x = (np.ones(2),)
    with pytest.raises(ValueError, match=r"^check_grads\(sin\): order must be at least 1; got 0\."):
        check_grads(F.sin, x, 0)
    message = r"modes must be among 'fwd' and 'rev'; got \('forward',\)\."
    with pytest.raises(ValueError, match=message):
        check_grads(F.sin, x, modes=("forward",))
    with pytest.raises(ValueError, match="modes must be among"):
        check_grads(F.sin, x, modes=())
    message = r"some argument must be real or complex floating; got int64\."
    with pytest.raises(ValueError, match=message):
        check_grads(F.sin, (np.asarray(1),))


def test_names_of_pytorch():
    gradcheck(F.sin, (np.ones(2),), modes=("rev",))
    gradgradcheck(F.sin, (np.ones(2),), eps=1e-3)
    with refused("order 1"):
        gradgradcheck(half, (np.ones(2),))


# check_backends ----------------------------------------------------------------------------------


def loss(w, n):
    hidden = F.exp(w * n)
    return F.sum(hidden) * 2.0


ARGS = (np.asarray([0.5, 1.0]), np.asarray(2))
LINES = loss.__code__.co_firstlineno


def test_libraries_that_agree():
    check_backends(loss, ARGS, ("numpy", np))
    pytest.importorskip("torch")
    pytest.importorskip("array_api_strict")
    floating = [np.asarray(a, np.float64) for a in ARGS]
    check_backends(loss, floating, ("numpy", "torch", "array_api_strict"))


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def broken(monkeypatch, torch, primitive, change):
    """Make an operation wrong on torch."""
    one = torch.ones(1)
    # kernels are looked up on first sight
    F.exp(one), F.cos(one), F.multiply(one, one), F.sum(one)
    kernel = primitive.kernels[torch.Tensor]
    monkeypatch.setitem(
        primitive.kernels, torch.Tensor, lambda *args, **params: change(kernel(*args, **params))
    )


def test_the_first_operation_that_differs_is_named(torch, monkeypatch):
    broken(monkeypatch, torch, F.exp.primitive, lambda x: x * 1.5)
    with refused(
        "check_backends(loss): the value on torch must be as on numpy: numbers must agree within "
        "rtol=1e-09 and atol=1e-12; got "
    ) as raised:
        check_backends(loss, ARGS)
    assert re.search(
        rf"The first operation that differs is exp\(float64\[2\]\) -> float64\[2\] at "
        rf"test_testing\.py:{LINES + 1}: numbers must agree within rtol=1e-09 and atol=1e-12; got "
        r"11\.08\S+ and 7\.38\S+ at its result\[1\]; 2 of 2 elements differ\.",
        str(raised.value),
    )


def test_a_difference_of_a_derivative_alone_is_found(torch, monkeypatch):
    broken(monkeypatch, torch, F.cos.primitive, lambda x: -x)
    with refused("the forward derivative on torch must be as on numpy: ") as raised:
        check_backends(lambda x: F.sin(x), ARGS[:1])
    assert "The first operation that differs is cos(float64[2]) -> float64[2]" in str(raised.value)
    check_backends(lambda x: F.sin(x), ARGS[:1], derivatives=False)


def test_an_operation_of_the_sweep_is_named_with_the_users_line(torch, monkeypatch):
    broken(monkeypatch, torch, F.sum.primitive, lambda x: x * 1.5)

    def spread(x):
        y = F.add(x, np.ones((3, 2)))
        return F.exp(y)

    line = spread.__code__.co_firstlineno + 1
    with refused("the reverse derivative on torch must be as on numpy: ") as raised:
        check_backends(spread, ARGS[:1])
    assert f"sum(float64[3, 2]) -> float64[2] at test_testing.py:{line}: " in str(raised.value)


def test_an_operation_that_fails_on_one_library_is_named(torch, monkeypatch):
    broken(monkeypatch, torch, F.exp.primitive, lambda x: x * 2)
    wrong, calls = F.exp.primitive.kernels[torch.Tensor], []

    def fails_later(x):
        calls.append(x)
        if len(calls) > 1:
            raise volta.DTypeError("exp: must be something else; got this.")
        return wrong(x)

    monkeypatch.setitem(F.exp.primitive.kernels, torch.Tensor, fails_later)
    with refused(f"exp(float64[2]) -> float64[2] at test_testing.py:{LINES + 1}: exp: must be "):
        check_backends(loss, ARGS, derivatives=False)


def test_programs_that_branch_on_the_library_are_told(torch):
    def branches(x):
        return F.exp(x) if "torch" in str(x.dtype) else F.sin(x)

    line = branches.__code__.co_firstlineno + 1
    with refused(
        f"The programs themselves differ: at test_testing.py:{line}, numpy runs sin and torch exp."
    ):
        check_backends(branches, ARGS[:1])

    def longer(x):
        return F.exp(x) + 1 if "torch" in str(x.dtype) else F.exp(x)

    with refused("numpy runs nothing more and torch add."):
        check_backends(longer, ARGS[:1])


def test_programs_with_other_numbers_are_told(torch):
    def on_torch(x):
        return "torch" in str(x.dtype)

    def literal(x):
        return x * (3 if on_torch(x) else 2)

    line = literal.__code__.co_firstlineno + 1
    at = f"-> float64[2] at test_testing.py:{line}"
    with refused(
        f"The programs themselves differ: numpy runs multiply(float64[2], 2) {at}, and torch "
        f"multiply(float64[2], 3) {at}."
    ):
        check_backends(literal, ARGS[:1])

    with refused("numpy runs sum(float64[2, 2]; axis=(0,); keepdims=False)"):
        check_backends(lambda x: F.sum(x, axis=1 if on_torch(x) else 0), (np.eye(2) * [1, 2],))

    with refused("themselves differ, in multiply(float64[2], float64[2]) -> float64[2]") as raised:
        check_backends(lambda x: F.multiply(x, np.full(2, 3.0 if on_torch(x) else 2.0)), ARGS[:1])
    assert "got 3.0 and 2.0 at an operand" in str(raised.value)


def test_programs_that_read_values_are_told(torch, monkeypatch):
    broken(monkeypatch, torch, F.exp.primitive, lambda x: x * 1.5)
    with refused("The program reads values, so that it cannot be staged to find the operation."):
        check_backends(lambda x: F.exp(x) if x[0] > 0 else x, ARGS[:1])


def test_roundings_that_add_up_are_told(torch, monkeypatch):
    broken(monkeypatch, torch, F.multiply.primitive, lambda x: x * (1 + 2e-10))
    with refused("No operation differs by itself: the roundings of 12 operations add up. Pass "):
        check_backends(lambda x: _many(x), ARGS[:1], derivatives=False)
    check_backends(lambda x: _many(x), ARGS[:1], rtol=1e-6)


def _many(x):
    for _ in range(12):
        x = F.multiply(x, 1.0)
    return x


def test_backends_are_checked():
    message = r"^check_backends\(sin\): there must be at least two backends; got 1\."
    with pytest.raises(ValueError, match=message):
        check_backends(F.sin, (np.ones(2),), ("numpy",))
    message = r"every backend must be installed; got 'no_such_library'\. Install it\."
    with pytest.raises(ImportError, match=message):
        check_backends(F.sin, (np.ones(2),), ("numpy", "no_such_library"))


def test_dtypes_that_a_library_lacks_are_told():
    jax = pytest.importorskip("jax")
    if jax.config.jax_enable_x64:
        pytest.skip("JAX has 64 bits here")
    with refused("dtypes must agree; got float32 and float64 at output."):
        check_backends(lambda x: x, (np.ones(2, np.float32).astype(np.float64),), ("numpy", "jax"))
