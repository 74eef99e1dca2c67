"""Elementwise functions against array-api-strict, and under every transform."""

from operator import attrgetter

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    BOOL,
    COMPLEX,
    FLOAT,
    FLOATING,
    INT,
    MODES,
    NUMERIC,
    REAL,
    STANDARD,
    UINT,
    assert_same,
    broadcastable,
    fill,
    library,
    quiet,
    raw,
    seeds,
    shapes,
    under,
)

import volta
import volta.functional as F
from volta.core.errors import BroadcastError, DTypeError
from volta.core.types import DTYPES, typeof

LIBRARIES = ("numpy", "array_api_strict", "torch")
INTEGER = (*INT, *UINT)

# name: dtypes of the standard
UNARY = {
    **dict.fromkeys(("abs", "negative", "positive", "sign", "square", "round"), NUMERIC),
    **dict.fromkeys(("conj", "real", "isfinite", "isinf", "isnan"), NUMERIC),
    **dict.fromkeys(("ceil", "floor", "trunc"), REAL),
    **dict.fromkeys(("acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh"), FLOATING),
    **dict.fromkeys(("exp", "expm1", "log", "log10", "log1p", "log2", "reciprocal"), FLOATING),
    **dict.fromkeys(("sin", "sinh", "sqrt", "tan", "tanh"), FLOATING),
    "imag": COMPLEX,
    "signbit": FLOAT,
    "logical_not": BOOL,
    "bitwise_invert": (*BOOL, *INTEGER),
}
BINARY = {
    **dict.fromkeys(("add", "multiply", "subtract", "pow"), NUMERIC),
    **dict.fromkeys(("maximum", "minimum", "floor_divide", "remainder"), REAL),
    **dict.fromkeys(("less", "less_equal", "greater", "greater_equal"), REAL),
    **dict.fromkeys(("equal", "not_equal"), STANDARD),
    **dict.fromkeys(("atan2", "copysign", "hypot", "logaddexp", "nextafter"), FLOAT),
    "divide": FLOATING,
    **dict.fromkeys(("logical_and", "logical_or", "logical_xor"), BOOL),
    **dict.fromkeys(("bitwise_and", "bitwise_or", "bitwise_xor"), (*BOOL, *INTEGER)),
    **dict.fromkeys(("bitwise_left_shift", "bitwise_right_shift"), INTEGER),
}
# operands for which every library has a defined answer; by default -3 to 3
RANGES = {
    "bitwise_left_shift": (0, 3),
    "bitwise_right_shift": (0, 3),
    "floor_divide": (1, 3),
    "pow": (0, 3),
    "remainder": (1, 3),
}


def operands(draw, name, dtypes, shapes_, special):
    low, high = RANGES.get(name, (-3, 3))
    seed = draw(seeds)
    return [
        fill(seed + i, shape, dtype, low, high, special)
        for i, (shape, dtype) in enumerate(zip(shapes_, dtypes, strict=True))
    ]


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("name", UNARY)
@given(data=st.data())
def test_unary_functions_are_the_standards(name, lib, data):
    lib = library(lib)
    dtype = data.draw(st.sampled_from([d for d in UNARY[name] if d in lib.dtypes]))
    # the standard leaves complex infinities open; strict's own sign is NaN there, and rounds more
    own = lib.name == "torch" or name == "sign"
    special = 0.0 if own and dtype in COMPLEX else 0.3
    (x,) = operands(data.draw, name, (dtype,), (data.draw(shapes),), special)
    with quiet():
        out = getattr(F, name)(lib.asarray(x))
        expected = getattr(strict, name)(strict.asarray(x))
    complex_expm1 = name == "expm1" and dtype in COMPLEX  # whose formula is Volta's own
    assert_same(out, expected, lib, ulps=64 if own else 4 if complex_expm1 else 0)


def promoting(dtypes):
    """Pairs of dtypes that the standard promotes."""
    found = []
    for a in dtypes:
        for b in dtypes:
            try:
                strict.result_type(getattr(strict, a), getattr(strict, b))
            except TypeError:
                continue
            found.append((a, b))
    return found


PAIRS = {dtypes: promoting(dtypes) for dtypes in set(BINARY.values())}


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("name", BINARY)
@given(data=st.data())
def test_binary_functions_are_the_standards(name, lib, data):
    lib = library(lib)
    pairs = [p for p in PAIRS[BINARY[name]] if set(p) <= set(lib.dtypes)]
    dtypes = data.draw(st.sampled_from(pairs))
    special = 0.0 if name in RANGES or (lib.name == "torch" and set(dtypes) & set(COMPLEX)) else 0.3
    x, y = operands(data.draw, name, dtypes, data.draw(broadcastable(2)), special)
    with quiet():
        out = getattr(F, name)(lib.asarray(x), lib.asarray(y))
        expected = getattr(strict, name)(strict.asarray(x), strict.asarray(y))
    assert_same(out, expected, lib)


SCALARS = {"bool": (True, False), "int": (1, 2, 3), "float": (0.5, 2.0), "complex": (1j, 1 + 2j)}
RANK = {"bool": ("bool",), "int": ("int",), "uint": ("int",), "float": ("int", "float")}


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("name", BINARY)
@given(data=st.data())
def test_python_scalars_are_weak(name, lib, data):
    lib = library(lib)
    dtype = data.draw(st.sampled_from([d for d in BINARY[name] if d in lib.dtypes]))
    kinds = RANK.get(DTYPES[dtype].kind, ("int", "float", "complex"))
    scalar = data.draw(st.sampled_from([v for k in kinds for v in SCALARS[k]]))
    (x,) = operands(data.draw, name, (dtype,), (data.draw(shapes),), 0.0)
    args = (x, scalar) if data.draw(st.booleans()) else (scalar, x)
    with quiet():
        expected = getattr(strict, name)(*(strict.asarray(a) if a is x else a for a in args))
        out = getattr(F, name)(*(lib.asarray(a) if a is x else a for a in args))
    assert_same(out, expected, lib)


# Promotion ----------------------------------------------------------------------------------------


def standard(a, b):
    try:
        return str(strict.result_type(getattr(strict, a), getattr(strict, b))).split(".")[-1]
    except TypeError:
        return None


TABLE = [(a, b, standard(a, b)) for a in STANDARD for b in STANDARD]
RANKS = [((2,), (2,)), ((), (2,)), ((2,), ()), ((), ())]


@pytest.mark.parametrize(("a", "b", "both"), TABLE)
def test_promotion_table(a, b, both):
    if both is None:
        with pytest.raises(DTypeError, match="result_type: the dtypes must promote"):
            F.result_type(getattr(F, a), getattr(F, b))
    else:
        assert F.result_type(getattr(F, a), getattr(F, b)) == getattr(F, both)


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize(("a", "b", "both"), [row for row in TABLE if row[2]])
def test_operations_promote_by_the_table_at_every_rank(a, b, both, lib):
    lib = library(lib)
    if not {a, b} <= set(lib.dtypes):
        pytest.skip(f"{lib} has no operations on {a} or {b}")
    functions = ("logical_or",) if both == "bool" else ("add", "multiply")
    for one, other in RANKS:
        x, y = (lib.asarray(fill(0, s, d, 0, 3)) for s, d in ((one, a), (other, b)))
        for name in functions:
            assert typeof(getattr(F, name)(x, y)).dtype.name == both
        assert typeof(F.where(lib.asarray(np.ones(2, bool)), x, y)).dtype.name == both


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lib", ["numpy", "torch"])
@given(data=st.data())
def test_where_the_standard_is_silent_the_library_decides_in_every_mode(lib, mode, data):
    lib = library(lib)
    rows = [(a, b) for a, b, both in TABLE if both is None and {a, b} <= set(lib.dtypes)]
    a, b = data.draw(st.sampled_from(rows))
    name = data.draw(st.sampled_from(["add", "multiply", "divide", "maximum", "less", "where"]))
    if name in ("maximum", "less") and {a, b} & set(COMPLEX):
        name = "add"
    one, other = data.draw(broadcastable(2))
    x, y = lib.asarray(fill(0, one, a, 1, 3)), lib.asarray(fill(1, other, b, 1, 3))
    own = {"where": lambda x, y: F.where(lib.asarray(np.ones(one, bool)), x, y)}
    fun = own.get(name) or getattr(F, name)
    native = getattr(np if lib.name == "numpy" else lib.xp, name, None)
    with quiet():
        out = fun(x, y)
        if name != "where" and lib.name == "numpy":
            assert typeof(np.asarray(native(x, y))) == typeof(out)
        (traced,) = under(mode, fun, (x, y))
    assert_same(traced, out, lib)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lib", ["numpy", "torch"])
@pytest.mark.parametrize("name", ["exp", "sin", "sqrt", "log1p", "tanh", "reciprocal"])
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int32", "int64"])
def test_floating_functions_of_integers_keep_the_librarys_dtype(name, dtype, lib, mode):
    lib = library(lib)
    x = lib.asarray(fill(0, (2, 3), dtype, 1, 3))
    with quiet():
        native = getattr(lib.xp, name)(x)
        (out,) = under(mode, getattr(F, name), (x,))
        assert_same(out, native, lib)
        assert_same(getattr(F, name)(x), native, lib)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lib", ["numpy", "torch"])
@pytest.mark.parametrize("scalar", [True, 2, 1.5, 2j], ids=str)
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int32", "float32", "complex64"])
def test_scalars_of_a_higher_kind_keep_the_librarys_dtype(dtype, scalar, lib, mode):
    lib = library(lib)
    x = lib.asarray(fill(0, (2, 3), dtype, 1, 3))
    native = x * scalar
    assert_same(F.multiply(x, scalar), native, lib)
    (out,) = under(mode, lambda x: F.multiply(x, scalar), (x,))
    assert_same(out, native, lib)
    (out,) = under(mode, lambda x: F.multiply(scalar, x), (x,))
    assert_same(out, native, lib)


# Tracing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", UNARY)
@given(data=st.data(), mode=st.sampled_from(MODES))
def test_tracing_a_unary_function_changes_nothing(name, mode, data):
    lib = library(data.draw(st.sampled_from(LIBRARIES)))
    dtype = data.draw(st.sampled_from([d for d in UNARY[name] if d in lib.dtypes]))
    (x,) = operands(data.draw, name, (dtype,), (data.draw(shapes),), 0.3)
    x = lib.asarray(x)
    with quiet():
        (out,) = under(mode, getattr(F, name), (x,))
        assert_same(out, getattr(F, name)(x), lib)


@pytest.mark.parametrize("name", BINARY)
@given(data=st.data(), mode=st.sampled_from(MODES))
def test_tracing_a_binary_function_changes_nothing(name, mode, data):
    lib = library(data.draw(st.sampled_from(LIBRARIES)))
    pairs = [p for p in PAIRS[BINARY[name]] if set(p) <= set(lib.dtypes)]
    dtypes = data.draw(st.sampled_from(pairs))
    x, y = map(lib.asarray, operands(data.draw, name, dtypes, data.draw(broadcastable(2)), 0.0))
    with quiet():
        (out,) = under(mode, getattr(F, name), (x, y))
        assert_same(out, getattr(F, name)(x, y), lib)


# Choices ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_where_is_the_standards(lib, data):
    lib = library(lib)
    pairs = [p for p in PAIRS[STANDARD] if set(p) <= set(lib.dtypes)]
    dtypes = data.draw(st.sampled_from(pairs))
    args = operands(data.draw, "where", ("bool", *dtypes), data.draw(broadcastable(3)), 0.3)
    out = F.where(*map(lib.asarray, args))
    assert_same(out, strict.where(*map(strict.asarray, args)), lib)
    mode = data.draw(st.sampled_from(MODES))
    assert_same(under(mode, F.where, tuple(map(lib.asarray, args)))[0], out, lib)


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_clip_is_the_standards(lib, data):
    lib = library(lib)
    dtype = data.draw(st.sampled_from([d for d in REAL if d in lib.dtypes]))
    shapes_ = data.draw(broadcastable(3))
    x, lo, hi = operands(data.draw, "clip", (dtype,) * 3, shapes_, 0.0)
    lo, hi = np.where(lo > 1, 1, lo).astype(dtype), np.where(hi < 1, 1, hi).astype(dtype)
    bound = st.sampled_from(["array", "number", "none"])
    choice = data.draw(bound), data.draw(bound)
    bounds = [
        {"array": b, "number": number, "none": None}[c]
        for b, number, c in zip((lo, hi), (0, 2), choice, strict=True)
    ]

    def clipped(xp, make):
        made = [make(b) if isinstance(b, np.ndarray) else b for b in bounds]
        return xp.clip(make(x), *made)

    out = clipped(F, lib.asarray)
    assert_same(out, clipped(strict, strict.asarray), lib)
    mode = data.draw(st.sampled_from(MODES))
    args = tuple(lib.asarray(a) for a in (x, *bounds) if isinstance(a, np.ndarray))

    def fun(x, *arrays):
        rest = iter(arrays)
        return F.clip(x, *(next(rest) if isinstance(b, np.ndarray) else b for b in bounds))

    assert_same(under(mode, fun, args)[0], out, lib)


def test_clip_without_bounds_is_a_copy():
    x = np.ones(2)
    out = F.clip(x)
    assert_same(out, x, library("numpy"))
    assert not np.shares_memory(out, x)


@pytest.mark.grad_check
@pytest.mark.parametrize(
    ("x", "lo", "hi", "expected"),
    [
        (0.5, 0.0, 1.0, (1, 0, 0)),
        (-1.0, 0.0, 1.0, (0, 1, 0)),
        (2.0, 0.0, 1.0, (0, 0, 1)),
        (0.0, 0.0, 1.0, (1, 0, 0)),
        (1.0, 0.0, 1.0, (1, 0, 0)),
        (0.0, 2.0, 1.0, (0, 0, 1)),
        (1.5, 2.0, 1.0, (0, 0, 1)),
        (3.0, 2.0, 1.0, (0, 0, 1)),
        (0.0, 1.0, 1.0, (0, 1, 0)),
    ],
)
def test_clip_has_the_derivative_of_what_it_returns(x, lo, hi, expected):
    args = tuple(map(np.asarray, (x, lo, hi)))
    out, vjp_fn = volta.vjp(F.clip, *args)
    assert float(out) == min(max(x, lo), hi)
    assert tuple(map(float, vjp_fn(np.asarray(1.0)))) == expected


# Derivatives at the edges -------------------------------------------------------------------------


def slopes(fun, *args):
    """Derivative of an elementwise function with respect to each array."""
    out, vjp_fn = volta.vjp(fun, *args)
    return vjp_fn(np.ones_like(out))


@pytest.mark.grad_check
@pytest.mark.parametrize(("divisor", "slope"), [(0, np.inf), (0.0, np.inf), (-0.0, -np.inf)])
def test_division_by_a_scalar_zero_has_an_infinite_derivative(divisor, slope):
    x = np.asarray([1.0, -2.0])
    with quiet():
        assert slopes(lambda x: F.divide(x, divisor), x)[0].tolist() == [slope, slope]
        _, t = volta.jvp(lambda x: x / divisor, (x,), (x,))
    assert t.tolist() == [slope, -slope]


@pytest.mark.grad_check
@pytest.mark.parametrize("base", [2.0, 0.5, -2.0, 1j, 0.3 - 2j])
def test_power_of_a_scalar_base_by_a_complex_exponent(base):
    z = np.asarray([1.0 + 0.5j, -0.3j])
    (slope,) = slopes(lambda z: F.pow(base, z), z)
    np.testing.assert_allclose(slope, base**z * np.log(complex(base)), rtol=1e-14)
    (slope,) = slopes(lambda z: F.pow(np.asarray(base), z), z)
    np.testing.assert_allclose(slope, base**z * np.log(complex(base)), rtol=1e-14)


@pytest.mark.grad_check
def test_power_of_a_complex_scalar_by_a_real_exponent():
    x = np.asarray([0.5, 2.0])
    out, vjp_fn = volta.vjp(lambda x: F.pow(1j, x), x)
    (slope,) = vjp_fn(np.asarray([1.0, 1j]))
    assert slope.dtype == np.float64
    expected = np.real(np.asarray([1.0, 1j]) * out * (0.5j * np.pi))
    np.testing.assert_allclose(slope, expected, rtol=1e-14, atol=1e-14)


@pytest.mark.grad_check
@pytest.mark.parametrize("base", [0, 0.0, np.asarray(0.0)], ids=["int", "float", "array"])
def test_power_of_zero_has_slope_zero_in_the_exponent(base):
    assert slopes(lambda x: F.pow(base, x), np.asarray([0.0, 1.0, 2.5]))[0].tolist() == [0, 0, 0]
    with quiet():
        assert np.isnan(slopes(lambda x: F.pow(base, x), np.asarray(-1.0))[0])


@pytest.mark.grad_check
@pytest.mark.parametrize("dtype", [*INT, *UINT, "bool"])
def test_power_of_an_integer_base_keeps_its_digits(dtype):
    base = np.asarray([1, 1, 1] if dtype == "bool" else [3, 100, 0], dtype)
    x = np.asarray([1.5, 0.5, 2.0])
    (slope,) = slopes(lambda x: F.pow(base, x), x)
    wide = np.where(base == 0, 1.0, base)
    np.testing.assert_allclose(slope, base.astype(float) ** x * np.log(wide), rtol=1e-14)


@pytest.mark.grad_check
@pytest.mark.parametrize("dtype", [*INT, *UINT])
def test_power_to_an_integer_array(dtype):
    x, n = np.asarray([0.0, 2.0, 0.0, 3.0]), np.asarray([0, 0, 1, 2], dtype)
    assert slopes(lambda x: F.pow(x, n), x)[0].tolist() == [0.0, 0.0, 1.0, 6.0]


@pytest.mark.grad_check
def test_power_has_its_mixed_derivative_where_the_exponent_is_zero():
    x, y = np.asarray([0.5, 1.0, 2.0, 3.0]), np.zeros(4)
    base = volta.grad(lambda x, y: F.sum(F.pow(x, y)))
    exponent = volta.grad(lambda x, y: F.sum(F.pow(x, y)), 1)
    assert base(x, y).tolist() == [0.0] * 4
    np.testing.assert_allclose(volta.grad(lambda y: F.sum(base(x, y)))(y), 1 / x, rtol=1e-15)
    np.testing.assert_allclose(volta.grad(lambda x: F.sum(exponent(x, y)))(x), 1 / x, rtol=1e-15)


@pytest.mark.grad_check
@pytest.mark.parametrize("x", [0.0, -0.0, 1e-320, np.inf, np.nan])
def test_power_with_exponent_zero_has_slope_zero_in_every_base(x):
    with quiet():
        assert slopes(F.pow, np.asarray(x), np.asarray(0.0))[0] == 0


@pytest.mark.grad_check
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [0.0, 1e2, 1e5, 1e30, np.inf, -np.inf])
def test_equal_operands_of_logaddexp_share_the_derivative(size, dtype):
    x = np.asarray([size], dtype)
    with quiet():
        for slope in slopes(F.logaddexp, x, x):
            np.testing.assert_array_equal(slope, np.asarray([0.5], dtype))


@pytest.mark.grad_check
def test_logaddexp_keeps_its_digits_far_from_zero():
    x = np.asarray([1e4, 1e6, -1e6], np.float32)
    one, other = slopes(F.logaddexp, x + 1, x)
    np.testing.assert_allclose(one, 1 / (1 + np.exp(-1.0)), rtol=1e-6)
    np.testing.assert_allclose(other, 1 / (1 + np.exp(1.0)), rtol=1e-6)


@pytest.mark.grad_check
@pytest.mark.parametrize("size", [1e-300, 1e-200, 1e-30, 1.0, 1e30, 1e200])
def test_atan2_neither_over_nor_underflows(size):
    one, other = slopes(F.atan2, np.asarray([3 * size]), np.asarray([4 * size]))
    np.testing.assert_allclose(one, 0.16 / size, rtol=1e-14)
    np.testing.assert_allclose(other, -0.12 / size, rtol=1e-14)


@pytest.mark.grad_check
@pytest.mark.parametrize("name", ["atan2", "hypot", "logaddexp", "copysign", "maximum", "divide"])
def test_small_integers_beside_floats_do_not_overflow_in_derivatives(name):
    n, x = np.asarray([100, -100, 7], np.int8), np.asarray([100.0, 50.0, 7.5])
    for fun in (getattr(F, name), lambda x, n: getattr(F, name)(n, x)):
        (slope,) = slopes(lambda x, fun=fun: fun(x, n), x)
        wide = n.astype(np.float64)
        (expected,) = slopes(lambda x, fun=fun, wide=wide: fun(x, wide), x)
        np.testing.assert_allclose(slope, expected, rtol=1e-14)


# Errors -------------------------------------------------------------------------------------------

TWO_SHAPES = [n for n in BINARY if set(BINARY[n]) & set(FLOAT)]


@pytest.mark.broadcasting
@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("name", BINARY)
def test_shapes_that_do_not_broadcast(name, lib):
    lib = library(lib)
    dtype = BINARY[name][0]
    x, y = (lib.asarray(fill(0, s, dtype)) for s in ((2, 3), (4,)))
    message = rf"{name}: the shapes must broadcast together; got \(2, 3\) and \(4,\)"
    with pytest.raises(BroadcastError, match=message):
        getattr(F, name)(x, y)
    with pytest.raises(BroadcastError, match=message):
        volta.trace(getattr(F, name))(x, y)
    with pytest.raises(BroadcastError, match=message):
        volta.vmap(getattr(F, name), in_axes=(0, None))(x[None, ...], y)


WRONG = {
    **dict.fromkeys((n for n in UNARY if "bool" not in UNARY[n]), "bool"),
    **dict.fromkeys((n for n in UNARY if UNARY[n] in (REAL, FLOAT)), "complex64"),
    **dict.fromkeys(("logical_not", "bitwise_invert"), "float32"),
    "imag": "float32",
}
WRONG_PAIRS = {
    **dict.fromkeys((n for n in BINARY if "bool" not in BINARY[n]), "bool"),
    **dict.fromkeys((n for n in BINARY if BINARY[n] in (REAL, FLOAT)), "complex64"),
    **dict.fromkeys((n for n in BINARY if BINARY[n][-1] in (*BOOL, *INTEGER)), "float32"),
}


@pytest.mark.parametrize("name", WRONG)
def test_dtypes_that_the_standard_refuses_in_one_operand(name):
    x = strict.asarray(fill(0, (2,), WRONG[name]))
    with pytest.raises(DTypeError, match=rf"{name}: the dtype must be .* by the standard; got"):
        getattr(F, name)(x)


@pytest.mark.parametrize("name", WRONG_PAIRS)
def test_dtypes_that_the_standard_refuses_in_two_operands(name):
    x = strict.asarray(fill(0, (2,), WRONG_PAIRS[name]))
    with pytest.raises(DTypeError, match=rf"{name}: the dtype must be .* by the standard; got"):
        getattr(F, name)(x, x)


@pytest.mark.parametrize("name", [*UNARY, *BINARY, "clip", "where"])
def test_what_is_no_array(name):
    arity = 3 if name in ("clip", "where") else 2 if name in BINARY else 1
    with pytest.raises(DTypeError, match="operands must be arrays or Python numbers; got str"):
        getattr(F, name)(*("text",) * arity)


@pytest.mark.parametrize(("x1", "x2"), [(1, 0), (0, 0)])
def test_floating_point_errors_stay_what_they_are(x1, x2):
    x1, x2 = np.asarray(x1, np.int8), np.asarray(x2, np.int8)
    with np.errstate(all="raise"), pytest.raises(FloatingPointError, match="in divide"):
        F.divide(x1, x2)


@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_numbers_alone_make_arrays_of_the_default_dtypes(name):
    dtypes = UNARY.get(name) or BINARY[name]
    value = True if dtypes == BOOL else 1 if dtypes[0] in INT else 1.0
    value = 1 if set(dtypes) <= {*BOOL, *INTEGER} and dtypes != BOOL else value
    value = 1j if dtypes == COMPLEX else value
    with quiet():
        out = getattr(F, name)(*(value,) * (1 if name in UNARY else 2))
    assert type(out) is np.ndarray
    assert out.shape == ()
    assert raw(out) is out


# The standard's values at infinities and zeros ----------------------------------------------------

INF, NAN = np.inf, np.nan


@pytest.mark.parametrize("mode", ["raw", *MODES[:3]])
@pytest.mark.parametrize("name", ["numpy", "torch"])
@pytest.mark.parametrize(
    ("function", "operands", "wanted"),
    [
        (
            F.floor_divide,
            ([INF, -INF, 1.0, -1.0, -0.0], [2.0, 2.0, -INF, INF, 3.0]),
            [INF, -INF, -0.0, -0.0, -0.0],
        ),
        (F.remainder, ([0.0, -0.0, 6.0], [-3.0, 3.0, -3.0]), [-0.0, 0.0, -0.0]),
        (F.expm1, ([complex(-INF, NAN), complex(-INF, INF)],), [-1 + 0j, -1 + 0j]),
        (F.expm1, ([complex(INF, NAN), complex(INF, INF)],), [complex(INF, NAN)] * 2),
        (F.expm1, ([complex(INF, 0), complex(NAN, 0)],), [complex(INF, 0), complex(NAN, 0)]),
        (F.expm1, ([complex(-0.0, 0.0)],), [0j]),
        (F.expm1, ([complex(0.5, NAN), complex(0.5, INF)],), [complex(NAN, NAN)] * 2),
        (F.tanh, ([complex(INF, 2.0), complex(-INF, 2.0)],), [1 + 0j, -1 + 0j]),
        (F.log1p, ([complex(NAN, INF), complex(INF, NAN)],), [complex(INF, NAN)] * 2),
        (
            F.log1p,
            # many, so that torch works on vectors; of 0.498 it makes NaN
            (np.complex64([complex(0.498, INF), complex(-5, -INF), complex(INF, INF)] * 8),),
            np.complex64([complex(INF, a * np.pi) for a in (0.5, -0.5, 0.25)] * 8),
        ),
        (F.acos, ([0j],), [complex(np.pi / 2, -0.0)]),
    ],
)
def test_values_that_the_standard_prescribes(name, mode, function, operands, wanted):
    lib = library(name)
    arrays = [lib.asarray(np.asarray(a)) for a in operands]
    with quiet():
        out = function(*arrays) if mode == "raw" else under(mode, function, arrays)[0]
    out, wanted = lib.host(raw(out)), np.asarray(wanted)
    for part in ("real", "imag"):
        got, due = getattr(out, part), getattr(wanted, part)
        np.testing.assert_array_equal(got, due)
        seen = ~np.isnan(due) if part == "real" else ~np.isnan(due) & np.iscomplexobj(wanted)
        np.testing.assert_array_equal(np.signbit(got)[seen], np.signbit(due)[seen])


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_expm1_of_small_complex_numbers_keeps_its_digits(name):
    lib = library(name)
    z = np.asarray([1e-9 + 1e-9j, -3e-12 + 2e-5j, 1e-3 - 1e-3j])
    series = z + z**2 / 2 + z**3 / 6 + z**4 / 24
    np.testing.assert_allclose(lib.host(F.expm1(lib.asarray(z))), series, rtol=1e-12)


def test_a_number_among_the_operands_of_floor_divide_may_be_infinite():
    assert F.floor_divide(np.asarray([1.0, -1.0]), INF).tolist() == [0.0, -0.0]
    with quiet():
        assert F.floor_divide(INF, np.asarray([2.0, -2.0])).tolist() == [INF, -INF]
    assert F.remainder(np.asarray([-4.0]), 2.0).tolist() == [0.0]


MIXED = ("atan2", "divide", "hypot", "logaddexp", "maximum", "multiply", "pow", "remainder")

MIXED_SPECIAL = [f"special.{name}" for name in ("kl_div", "rel_entr", "xlog1py", "xlogy")]


@pytest.mark.parametrize("wide", [0, 1])
@pytest.mark.parametrize("name", [*MIXED, *MIXED_SPECIAL])
def test_derivatives_of_two_precisions_are_as_precise_as_results(name, wide):
    fun = attrgetter(name)(F)
    args = [np.linspace(0.3, 1.7, 7, dtype=np.float32), np.linspace(1.1, 2, 7, dtype=np.float32)]
    exact = [np.asarray(a, np.float64) for a in args]
    mixed = [exact[i] if i == wide else a for i, a in enumerate(args)]
    ones = [np.ones_like(a) for a in mixed]
    for tangents in (ones, [o * (i == wide) for i, o in enumerate(ones)]):
        _, found = volta.jvp(fun, mixed, tangents)
        _, wanted = volta.jvp(fun, exact, [np.asarray(t, np.float64) for t in tangents])
        np.testing.assert_allclose(found, wanted, rtol=1e-14)
    grad = volta.grad(lambda *a: F.sum(fun(*a)), argnums=wide)
    np.testing.assert_allclose(grad(*mixed), grad(*exact), rtol=1e-14)


def test_logarithms_next_to_one_keep_their_digits():
    slope = volta.grad(lambda x: F.special.xlog1py(x, np.float64(1e-20)))(np.float64(2.0))
    assert slope == 1e-20
