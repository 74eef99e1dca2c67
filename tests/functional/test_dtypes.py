"""Dtypes: conversion, questions, promotion, and Python numbers beside 16-bit floats."""

import array_api_strict as strict
import ml_dtypes
import numpy as np
import pytest
from strategies import (
    COMPLEX,
    FLOATING,
    HALVES,
    MODES,
    STANDARD,
    assert_same,
    fill,
    library,
    numpy_dtype,
    quiet,
    under,
)

import volta
import volta.functional as F
from volta.core.errors import DTypeError
from volta.core.types import DTYPES, promote, typeof

NUMPY = library("numpy")
LIBRARIES = ("numpy", "array_api_strict", "torch")
ALL = (*STANDARD, *HALVES)


@pytest.fixture(params=LIBRARIES)
def lib(request):
    return library(request.param)


# Conversion ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", STANDARD)
@pytest.mark.parametrize("dtype", STANDARD)
def test_astype_is_the_standards(dtype, wanted, lib):
    x = fill(0, (2, 3), dtype, 0, 3)
    if dtype in COMPLEX and wanted not in COMPLEX:
        message = f"astype: a complex array must stay complex; got {dtype} and {wanted}. Use real"
        with pytest.raises(DTypeError, match=message):
            F.astype(lib.asarray(x), wanted)
        return
    expected = strict.astype(strict.asarray(x), getattr(strict, wanted))
    assert_same(F.astype(lib.asarray(x), getattr(F, wanted)), expected, lib)
    assert_same(F.astype(lib.asarray(x), getattr(lib.xp, wanted, wanted)), expected, lib)
    for mode in MODES:
        (out,) = under(mode, lambda x: F.astype(x, wanted), (lib.asarray(x),))
        assert_same(out, expected, lib)


def test_astype_copies_unless_told_otherwise():
    x = np.ones(2)
    assert F.astype(x, F.float64, copy=False) is x
    assert not np.shares_memory(F.astype(x, F.float64), x)


@pytest.mark.grad_check
@pytest.mark.parametrize("wanted", FLOATING)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_derivative_of_a_conversion_comes_back_in_the_old_dtype(dtype, wanted):
    x = fill(0, (3,), dtype)
    grad = volta.grad(lambda x: F.sum(F.real(F.astype(x, wanted) * 2)))(x)
    assert_same(grad, np.full(3, 2, dtype), NUMPY)


@pytest.mark.grad_check
@pytest.mark.parametrize("wanted", ["bool", "int32", "uint8"])
def test_the_derivative_through_integers_is_zero(wanted):
    x = np.asarray([1.5, 2.5])
    grad = volta.grad(lambda x: F.sum(x * F.astype(F.astype(x, wanted), F.float64)))(x)
    assert grad.tolist() == x.astype(wanted).astype(float).tolist()


# Questions ----------------------------------------------------------------------------------------

KINDS = [
    "bool",
    "signed integer",
    "unsigned integer",
    "integral",
    "real floating",
    "complex floating",
    "numeric",
    ("bool", "integral"),
    ("real floating", "complex floating"),
    (),
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("dtype", STANDARD)
def test_isdtype_is_the_standards(dtype, kind, lib):
    expected = strict.isdtype(getattr(strict, dtype), kind)
    assert F.isdtype(getattr(F, dtype), kind) is expected
    assert F.isdtype(getattr(lib.xp, dtype), kind) is expected
    assert F.isdtype(dtype, (*kind, F.int8) if isinstance(kind, tuple) else kind) is (
        expected or (isinstance(kind, tuple) and dtype == "int8")
    )


def test_isdtype_of_dtypes():
    assert F.isdtype(np.float32, F.float32)
    assert not F.isdtype(np.float32, (F.float64, "integral"))
    assert F.isdtype(F.bfloat16, "real floating")
    with pytest.raises(ValueError, match=r"isdtype: kind must be one of .*; got 'floating'"):
        F.isdtype(F.float32, "floating")


@pytest.mark.parametrize("name", ALL)
def test_every_librarys_dtype_objects_are_equal_to_ours(name):
    own = getattr(F, name)
    assert own is DTYPES[name]
    assert repr(own) == name
    assert own == numpy_dtype(name)
    assert own != (F.int8 if name != "int8" else F.int16)
    assert np.dtype(own) == numpy_dtype(name)


def test_result_type_reads_arrays_dtypes_and_numbers(lib):
    x = lib.asarray(np.ones(2, np.float32))
    assert typeof(F.zeros(1, dtype=F.result_type(x, F.float64))).dtype is F.float64
    assert F.float32 == F.result_type(x, 2)
    assert F.float32 == F.result_type(x, 2.5)
    assert F.complex64 == F.result_type(x, 2j)
    assert type(F.result_type(x)) is type(x.dtype)
    assert F.result_type(F.int8, F.uint8) is F.int16


@pytest.mark.parametrize(
    "given",
    [(F.int8, F.float32), (F.bool, 1), (F.int8, 1.0), (F.float16, F.bfloat16), (F.uint64, F.int8)],
    ids=str,
)
def test_what_does_not_promote(given):
    with pytest.raises(DTypeError, match="result_type: the dtypes must promote by the standard"):
        F.result_type(*given)


def test_what_is_no_dtype():
    with pytest.raises(DTypeError, match=r"dtype: must be one of bool, int8, .*; got 'text'"):
        F.astype(np.ones(2), "text")
    with pytest.raises(DTypeError, match="array_api_strict must have the dtype; got float16"):
        F.astype(strict.ones(2), F.float16)


# 16 bits ------------------------------------------------------------------------------------------

LIBRARY_AND_HALF = [
    pytest.param("numpy", "float16"),
    pytest.param("numpy", "bfloat16"),
    pytest.param("torch", "float16"),
    pytest.param("torch", "bfloat16"),
]
BINARY = ("add", "subtract", "multiply", "divide", "pow", "maximum", "atan2", "hypot", "logaddexp")


@pytest.mark.parametrize(("name", "dtype"), LIBRARY_AND_HALF)
@pytest.mark.parametrize("function", BINARY)
@pytest.mark.parametrize("mode", ["raw", *MODES])
def test_python_floats_are_weak_beside_halves(function, mode, name, dtype):
    lib = library(name)
    x = lib.asarray(fill(0, (3,), dtype, 1, 2))
    for fun in (lambda x: getattr(F, function)(x, 1.5), lambda x: getattr(F, function)(1.5, x)):
        (out,) = (fun(x),) if mode == "raw" else under(mode, fun, (x,))
        assert typeof(out).dtype.name == dtype


UNARY = ("sqrt", "exp", "exp2", "log", "log2", "log10", "log1p", "sin", "tanh", "reciprocal")


@pytest.mark.grad_check
@pytest.mark.parametrize("name", ["numpy", "torch"])
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(
    "function",
    [
        *("exp", "log", "log1p", "sin", "cos", "tan", "tanh", "reciprocal", "square", "abs"),
        *("asinh", "sqrt", "exp2", "log2", "log10"),
    ],
)
def test_derivatives_keep_halves(function, name, dtype):
    lib = library(name)
    x = fill(0, (2, 5), dtype, 0.3, 2)

    def loss(x):
        return F.sum(getattr(F, function)(x))

    grad = volta.grad(loss)(lib.asarray(x))
    assert typeof(grad).dtype.name == dtype
    _, tangent = volta.jvp(getattr(F, function), (lib.asarray(x),), (lib.asarray(x),))
    assert typeof(tangent).dtype.name == dtype
    exact = volta.grad(loss)(x.astype(np.float64))
    eps = float(ml_dtypes.finfo(numpy_dtype(dtype)).eps)
    np.testing.assert_allclose(
        np.asarray(lib.host(grad), np.float64), exact, rtol=4 * eps, atol=eps
    )


@pytest.mark.grad_check
@pytest.mark.parametrize("name", ["numpy", "torch"])
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("function", ["multiply", "divide", "pow", "hypot", "maximum"])
def test_gradients_of_two_halves_that_broadcast(function, dtype, name):
    lib = library(name)
    # 4096 rows: their cotangents are added up in 32 bits
    x, y = fill(0, (4096, 1), dtype, 0.5, 1.5), fill(1, (1, 2), dtype, 0.5, 1.5)

    def loss(x, y):
        return F.sum(getattr(F, function)(x, y))

    with quiet():
        grads = volta.grad(loss, (0, 1))(*map(lib.asarray, (x, y)))
    exact = volta.grad(loss, (0, 1))(x.astype(np.float64), y.astype(np.float64))
    eps = float(ml_dtypes.finfo(numpy_dtype(dtype)).eps)
    for g, e in zip(grads, exact, strict=True):
        assert typeof(g).dtype.name == dtype
        np.testing.assert_allclose(np.asarray(lib.host(g), np.float64), e, rtol=8 * eps, atol=eps)


# Limits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", STANDARD)
@pytest.mark.parametrize("from_", STANDARD)
def test_can_cast_is_the_standards(from_, to):
    wanted = strict.can_cast(getattr(strict, from_), getattr(strict, to))
    assert F.can_cast(getattr(F, from_), to) is wanted
    assert F.can_cast(np.ones(1, from_), getattr(F, to)) is wanted
    silent = promote((DTYPES[from_], DTYPES[to])) is None
    by_numpy = np.can_cast(from_, to) if silent else wanted
    assert F.can_cast(np.ones(1, from_), np.dtype(to)) is by_numpy


@pytest.mark.parametrize("dtype", [*FLOATING, *HALVES])
def test_finfo_tells_the_limits(dtype, lib):
    if dtype in HALVES and lib.name == "array_api_strict":
        pytest.skip("the standard has no 16-bit floats")
    x = lib.asarray(np.ones(2, numpy_dtype(dtype)))
    found = F.finfo(x)
    real = {"complex64": "float32", "complex128": "float64"}.get(dtype, dtype)
    wanted = ml_dtypes.finfo(numpy_dtype(real))
    for name in ("eps", "max", "min", "smallest_normal"):
        assert type(getattr(found, name)) is float
        assert getattr(found, name) == float(getattr(wanted, name))
    assert found.bits == wanted.bits
    assert found.dtype == lib.asarray(np.ones(1, numpy_dtype(real))).dtype
    assert F.finfo(getattr(F, dtype)).dtype is getattr(F, real)
    assert volta.grad(lambda y: F.real(F.sum(y)) * F.finfo(y).bits)(x).dtype == x.dtype


@pytest.mark.parametrize("dtype", [d for d in STANDARD if "int" in d])
def test_iinfo_tells_the_limits(dtype):
    found, wanted = F.iinfo(getattr(F, dtype)), np.iinfo(dtype)
    assert (found.bits, found.max, found.min) == (wanted.bits, wanted.max, wanted.min)
    assert found.dtype is getattr(F, dtype)
    assert F.iinfo(np.ones(1, dtype)).dtype == np.dtype(dtype)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: F.finfo(F.int8), "finfo: the dtype must be floating; got int8"),
        (lambda: F.iinfo(np.ones(1)), "iinfo: the dtype must be integer; got float64"),
        (lambda: F.can_cast("no", F.int8), "no"),
    ],
)
def test_limits_of_other_dtypes(call, message):
    with pytest.raises(DTypeError, match=message):
        call()
