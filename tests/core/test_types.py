"""Dtypes of any library, array types, the promotion table, broadcasting of shapes."""

import itertools
import pickle

import array_api_strict as strict
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import LINE

import volta.functional as F
from volta.core.errors import BroadcastError, DTypeError
from volta.core.types import (
    DTYPES,
    ArrayType,
    DType,
    as_dtype,
    broadcast_shapes,
    is_inexact,
    is_weak,
    promote,
    typeof,
)

pytestmark = pytest.mark.core

STANDARD = [name for name in DTYPES if name not in ("float16", "bfloat16")]


@pytest.mark.parametrize("name", DTYPES)
def test_as_dtype_reads_names_and_its_own_objects(name):
    assert as_dtype(name) is DTYPES[name]
    assert as_dtype(DTYPES[name]) is DTYPES[name]
    assert getattr(F, name) is DTYPES[name]


@pytest.mark.parametrize("name", [n for n in DTYPES if n != "bfloat16"])
def test_as_dtype_reads_numpy(name):
    assert as_dtype(np.dtype(name)) is DTYPES[name]
    assert as_dtype(np.dtype(name).type) is DTYPES[name]
    assert np.dtype(name) == DTYPES[name]
    assert DTYPES[name] == np.dtype(name)


@pytest.mark.parametrize("name", STANDARD)
def test_as_dtype_reads_array_api_strict(name):
    assert as_dtype(getattr(strict, name)) is DTYPES[name]
    assert DTYPES[name] == getattr(strict, name)


@pytest.mark.parametrize("name", DTYPES)
def test_as_dtype_reads_torch(name):
    torch = pytest.importorskip("torch")
    assert as_dtype(getattr(torch, name)) is DTYPES[name]


@pytest.mark.parametrize(
    ("kind", "name"), [(bool, "bool"), (int, "int64"), (float, "float64"), (complex, "complex128")]
)
def test_as_dtype_reads_python_types_as_numpy_does(kind, name):
    assert as_dtype(kind) is DTYPES[name]


def test_as_dtype_reads_bfloat16_of_ml_dtypes():
    assert as_dtype(np.dtype(ml_dtypes.bfloat16)) is DTYPES["bfloat16"]
    assert DTYPES["bfloat16"].dtype == np.dtype(ml_dtypes.bfloat16)


@pytest.mark.parametrize("bad", ["float8", "U3", np.dtype("U3"), object(), None.__class__, 3])
def test_as_dtype_refuses_what_is_none(bad):
    with pytest.raises(DTypeError, match=r"dtype: must be one of bool, int8, .*; got "):
        as_dtype(bad)


@pytest.mark.parametrize("name", DTYPES)
def test_numpy_accepts_a_dtype(name):
    assert np.zeros(2, dtype=DTYPES[name]).dtype == DTYPES[name].dtype


@pytest.mark.parametrize("name", DTYPES)
def test_a_dtype_is_one_object(name):
    dtype = DTYPES[name]
    assert pickle.loads(pickle.dumps(dtype)) is dtype
    assert {dtype: 1}[as_dtype(name)] == 1
    assert repr(dtype) == name
    assert dtype.itemsize == dtype.dtype.itemsize


@pytest.mark.parametrize("other", ["nothing", 3, None, object(), DTYPES["float64"]])
def test_a_dtype_differs_from_everything_else(other):
    assert DTYPES["float32"] != other


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("bool", "bool"),
        ("int8", "int"),
        ("uint64", "uint"),
        ("bfloat16", "float"),
        ("complex64", "complex"),
    ],
)
def test_kinds(name, kind):
    assert DTYPES[name].kind == kind
    assert is_inexact(DTYPES[name]) == (kind in ("float", "complex"))


@pytest.mark.parametrize(("a", "b"), list(itertools.product(STANDARD, STANDARD)))
def test_promotion_is_the_standards(a, b):
    found = promote((DTYPES[a], DTYPES[b]))
    try:
        wanted = strict.result_type(getattr(strict, a), getattr(strict, b))
    except TypeError:
        assert found is None
    else:
        assert found is as_dtype(wanted)


@pytest.mark.parametrize(
    ("a", "b", "result"),
    [
        ("float16", "float16", "float16"),
        ("float16", "float32", "float32"),
        ("bfloat16", "float32", "float32"),
        ("bfloat16", "float64", "float64"),
        ("float16", "bfloat16", None),
        ("float16", "complex64", None),
    ],
)
def test_promotion_of_16_bit_floats(a, b, result):
    assert promote((DTYPES[a], DTYPES[b])) is DTYPES.get(result)
    assert promote((DTYPES[b], DTYPES[a])) is DTYPES.get(result)


@pytest.mark.parametrize(
    ("dtype", "scalar", "result"),
    [
        ("bool", True, "bool"),
        ("bool", 1, None),
        ("int8", True, None),
        ("int8", 1, "int8"),
        ("uint8", 1, "uint8"),
        ("int8", 1.0, None),
        ("float16", 1.0, "float16"),
        ("bfloat16", 1, "bfloat16"),
        ("float32", 1.0, "float32"),
        ("float32", True, None),
        ("float32", 1j, "complex64"),
        ("float64", 1j, "complex128"),
        ("float16", 1j, None),
        ("complex64", 1.0, "complex64"),
        ("complex128", 1j, "complex128"),
    ],
)
def test_python_scalars_are_weak(dtype, scalar, result):
    weak = typeof(scalar).dtype
    assert is_weak(weak)
    assert promote((DTYPES[dtype], weak)) is DTYPES.get(result)
    assert promote((weak, DTYPES[dtype])) is DTYPES.get(result)


def test_the_strongest_scalar_counts():
    kinds = [typeof(v).dtype for v in (1, 1j, 1.0)]
    assert promote((DTYPES["float32"], *kinds)) is DTYPES["complex64"]
    assert promote((kinds[0], DTYPES["int8"], kinds[1])) is None


def test_promotion_of_nothing_and_of_scalars_alone():
    assert promote(()) is None
    assert promote((typeof(1).dtype, typeof(2.0).dtype)) is None


def test_typeof_arrays_and_scalars():
    assert typeof(np.zeros((2, 3), np.float32)) == ArrayType((2, 3), DTYPES["float32"])
    assert typeof(strict.zeros((), dtype=strict.int8)) == ArrayType((), DTYPES["int8"])
    assert typeof(np.float64(1)) == ArrayType((), DTYPES["float64"])
    assert typeof(2.0).shape == ()
    assert typeof(2.0).dtype.name == "float scalar"


def test_array_types_print_and_count_their_axes():
    kind = ArrayType((2, 3), DTYPES["float32"])
    assert str(kind) == "float32[2, 3]"
    assert kind.ndim == 2
    assert str(ArrayType((), DTYPES["bool"])) == "bool[]"


SHAPES = st.lists(st.lists(st.integers(0, 3), max_size=4).map(tuple), max_size=4)


@pytest.mark.broadcasting
@given(SHAPES)
def test_shapes_broadcast_as_numpys(shapes):
    try:
        wanted = np.broadcast_shapes(*shapes)
    except ValueError:
        with pytest.raises(BroadcastError):
            broadcast_shapes("f", *shapes)
    else:
        assert broadcast_shapes("f", *shapes) == wanted


@pytest.mark.broadcasting
def test_shapes_that_do_not_broadcast_name_the_axis():
    message = (
        r"^f: the shapes must broadcast together; got \(2, 3, 4\) and \(5, 1\), "
        r"which differ at axis -2\. Make these lengths equal, or one of them 1\." + LINE
    )
    with pytest.raises(BroadcastError, match=message):
        broadcast_shapes("f", (2, 3, 4), (5, 1))


def test_dtypes_cannot_be_confused_with_a_new_one_of_the_name():
    assert DType("float32", "float", 4) != DTYPES["float32"]


@pytest.mark.parametrize("other", [None, "a: b", "f8, (", 3.5, [], object])
def test_dtypes_equal_nothing_but_dtypes(other):
    assert all(d != other for d in DTYPES.values())
    with pytest.raises(DTypeError, match="dtype: must be one of bool"):
        as_dtype(other)


def test_numpys_dtype_objects_are_no_arrays():
    assert F.iinfo(np.dtype("uint8")).max == 255
    assert F.finfo(np.dtype("float32")).bits == 32
    assert F.can_cast(np.dtype("int8"), np.dtype("int16"))
    assert F.result_type(np.dtype("int8"), np.dtype("uint8")) == F.int16
