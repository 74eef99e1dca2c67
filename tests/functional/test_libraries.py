"""What the array libraries do in their own ways, and Volta does in one: operators, keys, errors."""

import operator

import numpy as np
import pytest
from strategies import MODES, library, raw, running, under

import volta
import volta.functional as F
from volta.core.errors import BroadcastError, DimensionError, ShapeError
from volta.core.tracer import Tracer
from volta.core.types import typeof

pytestmark = pytest.mark.core

LIBRARIES = ("numpy", "array_api_strict", "torch", "jax", "dask")


@pytest.fixture(params=LIBRARIES)
def lib(request):
    with running(request.param):
        yield library(request.param)


# Operators ----------------------------------------------------------------------------------------

OPERATORS = {
    **dict.fromkeys(
        ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"), "float64"
    ),
    **dict.fromkeys(("and_", "or_", "xor", "lshift", "rshift"), "int64"),
}
COMPARISONS = dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge"), "float64")


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(("name", "dtype"), [*OPERATORS.items(), *COMPARISONS.items()])
@pytest.mark.parametrize("rank", [0, 2])
def test_operators_between_an_array_and_a_tracer_are_voltas(name, dtype, side, rank, lib):
    """The array's own operator must leave them to the tracer, on whichever side it stands."""
    apply = getattr(operator, name)
    x = np.asarray([[1.5, 2.0], [3.0, 4.0]], dtype=dtype)
    if rank == 0 and name == "matmul":
        pytest.skip("matmul takes no arrays of rank 0")
    y = np.asarray([[2.0, 1.0], [2.0, 3.0]], dtype=dtype) if rank else np.asarray(2, dtype=dtype)
    wanted = apply(y, x) if side == "left" else apply(x, y)
    y = lib.asarray(y)
    seen = []

    def fun(x):
        out = apply(y, x) if side == "left" else apply(x, y)
        seen.append(type(out))
        return out

    def run():
        if dtype == "int64":
            return volta.trace(fun)(lib.asarray(x))(lib.asarray(x))
        return raw(volta.vjp(fun, lib.asarray(x))[0])

    if lib.name == "array_api_strict" and side == "left":
        with pytest.raises(TypeError, match="Expected Array or Python scalar"):
            run()  # where others leave it to the right operand, it refuses
        return
    out = run()
    assert set(seen) == {Tracer}
    assert isinstance(out, lib.kind)
    assert typeof(out) == typeof(wanted)
    np.testing.assert_allclose(lib.host(out), wanted)


@pytest.mark.parametrize("mode", ["raw", *MODES])
@pytest.mark.parametrize(
    ("name", "dtypes"),
    [
        *(
            (n, ("int16", "int8"))
            for n in ("add", "subtract", "multiply", "maximum", "floor_divide", "remainder", "pow")
        ),
        *((n, ("int16", "int8")) for n in ("bitwise_and", "bitwise_or", "bitwise_xor")),
        *((n, ("int16", "int8")) for n in ("bitwise_left_shift", "bitwise_right_shift")),
        *((n, ("int64", "uint8")) for n in ("add", "equal", "less")),
        *((n, ("float64", "float32")) for n in ("add", "divide", "atan2", "hypot", "pow")),
        *((n, ("complex128", "float32")) for n in ("add", "multiply", "divide")),
    ],
)
def test_arrays_of_rank_0_promote_like_others(name, dtypes, mode, lib):
    """Torch's and old NumPy's do not: there the other operand's dtype wins."""
    small = lib.asarray(np.ones(2, dtypes[1]))
    large = lib.asarray(np.asarray(3, dtypes[0]))
    fun = getattr(F, name)
    for args in ((small, large), (large, small)):
        wanted = fun(*(np.asarray(lib.host(a)) for a in args))
        (out,) = (fun(*args),) if mode == "raw" else under(mode, fun, args)
        assert typeof(out) == typeof(wanted)
        np.testing.assert_allclose(lib.host(out), wanted, rtol=1e-6)


# Keys ---------------------------------------------------------------------------------------------


def _zeroed(x):
    x = x * 1
    x[x > 2] = 0.0
    return F.sum(x * x)


def _tripled(x):
    x = x * 1
    x[x > 2] = x[x > 2] * 3
    return F.sum(x * x)


def _added(x):
    y = x * 2
    y += x
    return F.sum(y * y)


@pytest.mark.grad_check
@pytest.mark.parametrize(
    ("fun", "wanted"),
    [
        (lambda x: F.sum(x[x > 2] ** 2), [0, 0, 6, 8]),
        (lambda x: F.sum(x[::-2] ** 2), [0, 4, 0, 8]),
        (lambda x: F.sum(x[[1, 1, -1]] ** 2), [0, 8, 0, 8]),
        (lambda x: F.sum(x * x) if F.sum(x) > 0 else x[0], [2, 4, 6, 8]),
        (lambda x: F.sum(x * np.asarray([1.0, 2.0, 3.0, 4.0])), [1, 2, 3, 4]),
        (lambda x: F.sum(volta.grad(lambda x: F.sum(x**3))(x)), [6, 12, 18, 24]),
        (_zeroed, [2, 4, 0, 0]),
        (_tripled, [2, 4, 54, 72]),
        (_added, [18, 36, 54, 72]),
    ],
)
def test_gradients_of_keys_and_assignments(fun, wanted, lib):
    x = lib.asarray(np.asarray([1.0, 2.0, 3.0, 4.0]))
    grad = volta.grad(fun)(x)
    assert isinstance(grad, lib.kind)
    np.testing.assert_array_equal(lib.host(grad), np.asarray(wanted, float))
    np.testing.assert_array_equal(lib.host(x), [1, 2, 3, 4])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, i: x[7], DimensionError, "indices must be from -4 to 3"),
        (lambda x, i: F.sum(F.take(x, i)), DimensionError, "indices must"),
        (lambda x, i: F.sum(x[i]), DimensionError, "indices must"),
        (lambda x, i: F.sum(F.take_along_axis(x, i, axis=0)), DimensionError, "indices must"),
        (lambda x, i: F.add(x, x[1:]), BroadcastError, "the shapes must broadcast together"),
        (lambda x, i: F.reshape(x, (3,)), ShapeError, "the number of elements must stay the same"),
    ],
)
def test_errors_are_the_same_on_every_library(call, error, message, lib):
    x = lib.asarray(np.asarray([1.0, 2.0, 3.0, 4.0]))
    index = lib.asarray(np.asarray([0, 7]))
    with pytest.raises(error, match=message):
        np.asarray(lib.host(volta.grad(lambda x: call(x, index))(x)))  # dask looks only here
    with pytest.raises(error, match=message):
        np.asarray(lib.host(raw(call(volta.lift(x), index))))


# Lengths that dask does not know ------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda y, x: volta.grad(F.sum)(y),
        lambda y, x: volta.jvp(F.exp, (y,), (y,)),
        lambda y, x: volta.vmap(F.exp)(y),
        lambda y, x: volta.trace(F.exp)(y),
        lambda y, x: F.reshape(y, (2,)),
        lambda y, x: F.add(y, x),
    ],
)
def test_unknown_lengths_are_refused(call):
    lib = library("dask")
    with running("dask"):
        x = lib.asarray(np.asarray([1.0, 2.0, 3.0, 4.0]))
        y = x[x > 2]
        message = r"lengths of all axes must be known; got shape \(nan,\). Call .*compute_chunk"
        with pytest.raises(ShapeError, match=message):
            call(y, x)
        assert float(F.sum(y)) == 7  # what needs no length is computed
        y.compute_chunk_sizes()
        np.testing.assert_array_equal(volta.grad(lambda y: F.sum(y * y))(y), [6, 8])
