"""Making arrays: against array-api-strict, on every library, raw, as constants and staged."""

import itertools
import math

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import LINE, STANDARD, assert_same, fill, library, raw

import volta
import volta.functional as F
from volta.core.errors import DeviceError, DTypeError, ShapeError, TraceError
from volta.core.tracer import Tracer
from volta.core.types import typeof

NUMPY = library("numpy")
LIBRARIES = ("numpy", "array_api_strict", "torch")
INTS = ("int8", "int32", "int64", "uint8")


@pytest.fixture(params=LIBRARIES)
def lib(request):
    return library(request.param)


def staged(make):
    """What a creation gives when it is recorded, and then run."""
    wengert = volta.trace(lambda x: make())(np.zeros(()))
    out = wengert(np.zeros(()))
    assert wengert.types[wengert.outputs[0]] == typeof(out)
    return out


def everywhere(make):
    """Raw, under a running transform, and staged."""
    constant = volta.jvp(lambda x: (x, make()), (np.zeros(()),), (np.zeros(()),))[0][1]
    return make(), constant, staged(make)


# Against the standard -----------------------------------------------------------------------------

shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)


@pytest.mark.parametrize("dtype", STANDARD)
@pytest.mark.parametrize("name", ["zeros", "ones"])
def test_zeros_and_ones_are_the_standards(name, dtype, lib):
    expected = getattr(strict, name)((2, 0, 3), dtype=getattr(strict, dtype))
    for out in everywhere(lambda: getattr(F, name)((2, 0, 3), dtype=dtype, xp=lib.xp)):
        assert_same(out, expected, lib)
    assert_same(getattr(F, name)(3, dtype=dtype, xp=lib.xp), np.full(3, name == "ones", dtype), lib)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(True, "bool"), (7, "int64"), (7.5, "float32"), (1j, "complex64"), (np.nan, "float32")],
)
def test_full_has_the_default_dtype_of_its_value(value, dtype, lib):
    for out in everywhere(lambda: F.full((2,), value, xp=lib.xp)):
        assert_same(out, np.full((2,), value, dtype), lib)


@pytest.mark.parametrize("dtype", STANDARD)
def test_full_of_an_array_of_rank_0_keeps_its_dtype(dtype):
    value = fill(0, (), dtype, 0, 3)
    assert_same(F.full((2, 2), value), np.full((2, 2), value), NUMPY)
    assert_same(F.full((2, 2), value[()]), np.full((2, 2), value), NUMPY)


@given(data=st.data(), name=st.sampled_from(LIBRARIES))
def test_arange_is_the_standards(data, name):
    lib = library(name)
    start, stop = data.draw(st.integers(-5, 5)), data.draw(st.integers(-5, 5))
    step = data.draw(st.sampled_from([1, 2, 3] if name == "torch" else [1, 2, -1, -2]))
    if name == "torch" and stop < start:
        start, stop = stop, start
    dtype = data.draw(st.sampled_from(["int32", "int64", "float32", "float64"]))
    expected = strict.arange(start, stop, step, dtype=getattr(strict, dtype))
    for out in everywhere(lambda: F.arange(start, stop, step, dtype=dtype, xp=lib.xp)):
        assert_same(out, expected, lib)


@given(
    start=st.sampled_from([0.0, 0.1, -0.3, 1.0]),
    count=st.integers(0, 40),
    step=st.sampled_from([0.1, 0.2, 0.3, 0.7, 1 / 3, 1.1, -0.1, -0.7]),
    off=st.sampled_from([0.0, 1e-16, -1e-16, 0.5]),
)
def test_staged_arange_has_the_length_of_the_one_that_runs(start, count, step, off):
    stop = start + count * step + off
    out = staged(lambda: F.arange(start, stop, step, dtype="float64"))
    assert_same(out, np.arange(start, stop, step), NUMPY)


def test_arange_of_one_number_counts_from_zero():
    assert_same(F.arange(3), np.arange(3), NUMPY)
    assert_same(F.arange(2.5), np.asarray([0, 1, 2], np.float32), NUMPY)
    assert_same(F.arange(1, 2, 0.5), np.asarray([1, 1.5], np.float32), NUMPY)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_ranges_of_numpys_numbers(kind):
    assert_same(F.arange(kind(2.5)), np.asarray([0, 1, 2], np.float32), NUMPY)
    assert_same(F.arange(np.int8(2)), np.asarray([0, 1]), NUMPY)
    assert_same(F.linspace(kind(0), kind(1), 2), np.asarray([0, 1], np.float32), NUMPY)
    assert_same(F.linspace(0, np.complex64(1j), 2), np.asarray([0, 1j], np.complex64), NUMPY)


@given(data=st.data(), name=st.sampled_from(LIBRARIES))
def test_linspace_is_the_standards(data, name):
    lib = library(name)
    start, stop = data.draw(st.integers(-5, 5)), data.draw(st.integers(-5, 5))
    num, end = data.draw(st.integers(0, 5)), data.draw(st.booleans())
    dtype = data.draw(st.sampled_from(["float32", "float64"]))
    expected = strict.linspace(start, stop, num, endpoint=end, dtype=getattr(strict, dtype))
    for out in everywhere(
        lambda: F.linspace(start, stop, num, endpoint=end, dtype=dtype, xp=lib.xp)
    ):
        assert_same(out, expected, lib, ulps=4)


@given(data=st.data(), name=st.sampled_from(LIBRARIES))
def test_eye_is_the_standards(data, name):
    lib = library(name)
    rows, cols = data.draw(st.integers(0, 4)), data.draw(st.one_of(st.none(), st.integers(0, 4)))
    k = data.draw(st.integers(-5, 5))
    dtype = data.draw(st.sampled_from(["bool", "int8", "float32"]))
    expected = strict.eye(rows, cols, k=k, dtype=getattr(strict, dtype))
    for out in everywhere(lambda: F.eye(rows, cols, k=k, dtype=dtype, xp=lib.xp)):
        assert_same(out, expected, lib)


@pytest.mark.parametrize("dtype", [None, "int8", "complex64"])
@pytest.mark.parametrize("name", ["zeros_like", "ones_like", "empty_like", "full_like"])
def test_likes_are_like(name, dtype, lib):
    x = lib.asarray(fill(0, (2, 0, 3), "float64"))
    args = (7,) if name == "full_like" else ()
    out = getattr(F, name)(x, *args, dtype=dtype)
    expected = {"zeros": 0, "ones": 1, "empty": 0, "full": 7}[name[:-5]]
    assert_same(out, np.full((2, 0, 3), expected, dtype or "float64"), lib)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_sixteen_bits(name, dtype):
    lib = library(name)
    for out in (
        F.full((2,), 1.5, dtype=dtype, xp=lib.xp),
        F.linspace(1.5, 1.5, 2, dtype=dtype, xp=lib.xp),
        F.asarray([1.5, 1.5], dtype=dtype, xp=lib.xp),
    ):
        assert_same(out, fill(0, (2,), dtype, 1.5, 1.5), lib)


def test_empty_holds_nothing_undefined():
    assert_same(F.empty((2, 3)), np.zeros((2, 3), np.float32), NUMPY)


# Defaults -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_default_dtype_can_be_set(dtype):
    wide = "complex128" if dtype == "float64" else "complex64"
    with volta.default_dtype(dtype):
        for out in (F.zeros(1), F.ones(1), F.empty(1), F.full(1, 1.0), F.eye(1)):
            assert out.dtype == dtype
        for out in (F.arange(1.0), F.linspace(0, 1, 2), F.asarray(1.0), F.asarray([1.0])):
            assert out.dtype == dtype
        assert F.full(1, 1j).dtype == F.asarray([1j]).dtype == F.linspace(0, 1j, 2).dtype == wide
        assert F.full(1, 1).dtype == F.arange(1).dtype == F.asarray([1]).dtype == np.int64
        assert F.full(1, True).dtype == F.asarray([True]).dtype == np.bool_


# Conversion ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", STANDARD)
def test_arrays_of_any_library_are_kept(dtype, lib):
    x = lib.asarray(fill(0, (2, 3), dtype))
    assert F.asarray(x) is x
    assert F.asarray(x, copy=False) is x
    copy = F.asarray(x, copy=True)
    assert copy is not x
    assert_same(copy, x, lib)


def test_copies_share_no_memory():
    x = np.zeros(3)
    assert not np.shares_memory(F.asarray(x, copy=True), x)
    torch = library("torch").xp
    t = torch.zeros(3)
    assert F.asarray(t, copy=True).data_ptr() != t.data_ptr()


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (True, np.asarray(True)),
        (3, np.asarray(3)),
        (2.5, np.asarray(2.5, np.float32)),
        (1j, np.asarray(1j, np.complex64)),
        ([1, 2], np.asarray([1, 2])),
        ([1, 2.5], np.asarray([1, 2.5], np.float32)),
        ([[True], [False]], np.asarray([[True], [False]])),
        (((1j, 2),), np.asarray([[1j, 2]], np.complex64)),
        ([], np.zeros(0, np.float32)),
        (np.float64(2.5), np.asarray(2.5)),
        ([np.ones(2), np.zeros(2)], np.asarray([[1.0, 1.0], [0.0, 0.0]])),
        ([np.int8(1), np.int8(2)], np.asarray([1, 2], np.int8)),
    ],
    ids=str,
)
def test_numbers_and_lists_become_arrays(obj, expected):
    assert_same(F.asarray(obj), expected, NUMPY)
    assert type(F.asarray(obj)) is np.ndarray


def test_lists_of_a_librarys_arrays_are_stacked_there():
    lib = library("torch")
    parts = [lib.asarray(np.asarray(1.5)), lib.asarray(np.asarray(2.5))]
    assert_same(F.asarray(parts), np.asarray([1.5, 2.5]), lib)


@pytest.mark.parametrize("dtype", ["int8", "float32", "complex64"])
def test_arrays_are_converted(dtype, lib):
    x = fill(0, (3,), "float64", 0, 3)
    assert_same(F.asarray(lib.asarray(x), dtype=dtype), x.astype(dtype), lib)
    assert_same(F.asarray(x, dtype=dtype, xp=lib.xp), x.astype(dtype), lib)
    assert_same(F.asarray(x.tolist(), dtype=dtype, xp=lib.xp), x.astype(dtype), lib)


@pytest.mark.grad_check
def test_lists_of_traced_arrays_are_stacked():
    def program(x, y):
        out = F.asarray([[x, y], [y, 2.0]])
        assert out.shape == (2, 2)
        return F.sum(out * np.asarray([[1.0, 2.0], [3.0, 4.0]]))

    x, y = np.asarray(5.0), np.asarray(7.0)
    assert tuple(map(float, volta.grad(program, (0, 1))(x, y))) == (1.0, 5.0)


@pytest.mark.grad_check
def test_values_that_are_traced():
    x = np.asarray(3.0)
    assert volta.grad(lambda x: F.sum(F.full((2, 3), x)))(x) == 6.0
    assert volta.grad(lambda x: F.sum(F.full_like(np.ones(4), x)))(x) == 4.0
    assert volta.grad(lambda x: F.sum(F.linspace(0.0, x, 3, dtype=F.float64)))(x) == 1.5
    assert volta.grad(lambda x: F.sum(F.linspace(x, 6.0, 4, dtype=F.float64)))(x) == 2.0
    for dtype in (None, F.float32, F.float64):  # as without a transform
        traced = volta.jvp(lambda x, d=dtype: F.linspace(x, 6.0, 4, dtype=d), (x,), (x,))
        assert traced[0].dtype == traced[1].dtype == F.linspace(x, 6.0, 4, dtype=dtype).dtype


def test_grids_of_one_vector():
    assert_same(F.meshgrid(np.arange(3))[0], np.arange(3), NUMPY)
    assert F.meshgrid() == ()


# While a transform runs ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: F.zeros(2),
        lambda: F.full(2, 1.0),
        lambda: F.arange(2.0),
        lambda: F.linspace(0, 1, 2),
        lambda: F.eye(2),
        lambda: F.asarray([1.0, 2.0]),
        lambda: F.zeros_like(np.ones(2)),
        lambda: F.asarray(np.ones(2)),
    ],
)
def test_creation_gives_constants_that_can_be_written_to(make):
    def program(x):
        out = make()
        assert type(out) is Tracer
        assert out.trace is None
        out[0] = x
        return F.sum(out)

    assert volta.grad(program)(np.asarray(2.0)) > 0
    assert type(make()) is np.ndarray


def test_constants_leave_a_transform_as_arrays():
    out = volta.jvp(lambda x: (x, F.ones(2)), (np.ones(()),), (np.ones(()),))[0][1]
    assert type(out) is np.ndarray


# Where --------------------------------------------------------------------------------------------


def test_a_device_object_names_its_library():
    torch = library("torch").xp
    out = F.zeros(2, device=torch.device("cpu"))
    assert isinstance(out, torch.Tensor)
    assert_same(
        F.asarray([1.0], device=strict.Device("CPU_DEVICE"), xp=strict),
        np.ones(1, "f4"),
        library("array_api_strict"),
    )


def test_what_is_no_namespace():
    with pytest.raises(DeviceError, match="xp: must be an array namespace such as numpy or torch"):
        F.zeros(2, xp=math)


# Errors -------------------------------------------------------------------------------------------

BAD = [
    (lambda: F.zeros((2, -1)), ShapeError, r"lengths must not be negative; got \(2, -1\)"),
    (lambda: F.ones(-1), ShapeError, r"lengths must not be negative; got \(-1,\)"),
    (lambda: F.empty(-1), ShapeError, "lengths must not be negative"),
    (lambda: F.full(-2, 1.0), ShapeError, "full: lengths must not be negative"),
    (lambda: F.full_like(np.ones(2), 1.0, shape=-1), ShapeError, "lengths must not be negative"),
    (lambda: F.eye(-1), ShapeError, "eye: lengths must not be negative"),
    (lambda: F.linspace(0, 1, -1), ShapeError, "linspace: lengths must not be negative"),
    (lambda: F.arange(0, 1, 0), ValueError, "arange: step must not be zero; got 0"),
    (lambda: F.zeros(2, dtype="text"), DTypeError, "dtype: must be one of .*; got 'text'"),
    (lambda: F.zeros(2, dtype="bfloat16", xp=strict), DTypeError, "must have the dtype; got bfl"),
    (lambda: F.meshgrid(np.ones(2), indexing="ji"), ValueError, "must be 'xy' or 'ij'; got 'ji'"),
    (lambda: F.asarray("text"), DTypeError, "must be an array, a number or nested lists; got str"),
    (lambda: F.asarray([[1], [1, 2]]), ValueError, "inhomogeneous"),
    (lambda: F.asarray(["a"]), DTypeError, "lists must hold numbers and be rectangular"),
    (lambda: F.asarray([1.0], copy=False), ValueError, "copy=False needs an array; got a list"),
    (lambda: F.asarray(np.ones(2), dtype="int8", copy=False), ValueError, "cannot convert; got fl"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_traced_values_where_a_number_must_be_known():
    with pytest.raises(TraceError, match="needs"):
        volta.vmap(lambda n: F.zeros((n,)), on_branch="raise")(np.asarray([1, 2]))
    assert raw(volta.grad(lambda x: F.sum(F.zeros((2,)) + x))(np.asarray(1.0))) == 2.0


# DLPack -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_from_dlpack_shares_memory_unless_told_to_copy(name):
    lib = library(name)
    x = np.asarray([1.0, 2.0])
    shared = F.from_dlpack(x, xp=lib.xp)
    copied = F.from_dlpack(x, xp=lib.xp, copy=True)
    x[0] = 5.0
    assert type(shared) is lib.kind
    assert (float(shared[0]), float(copied[0])) == (5.0, 1.0)


def test_from_dlpack_takes_other_libraries_arrays():
    torch = pytest.importorskip("torch")
    out = F.from_dlpack(torch.arange(3.0))
    assert_same(out, np.arange(3, dtype=np.float32), library("numpy"))


def test_from_dlpack_keeps_derivatives_and_libraries_of_traced_arrays():
    x = np.asarray([1.0, 2.0])
    np.testing.assert_array_equal(volta.grad(lambda x: F.sum(F.from_dlpack(x) ** 2))(x), 2 * x)
    assert volta.grad(lambda x: F.sum(F.from_dlpack(F.zeros(2)) * x))(x).tolist() == [0.0, 0.0]


def test_from_dlpack_asks_for_the_protocol():
    with pytest.raises(TypeError, match=r"^from_dlpack: .* method __dlpack__; got list\." + LINE):
        F.from_dlpack([1.0])


def test_traced_arrays_do_not_leave_by_dlpack():
    with pytest.raises(volta.TraceError, match=r"^__dlpack__: would cut the array off from grad"):
        volta.grad(lambda x: F.sum(np.from_dlpack(x)))(np.ones(2))


# Lists of arrays and numbers ----------------------------------------------------------------------

PARTS = {
    **{str(d): np.asarray(1, d) for d in (bool, np.uint8, np.int32, np.int64)},
    **{str(d): np.asarray(1, d) for d in (np.float16, np.float32, np.float64, np.complex64)},
    **{str(type(v)): v for v in (True, 2, 2.5, 2j)},
}


@pytest.mark.parametrize("count", [2, 3])
def test_lists_of_arrays_and_numbers_have_one_dtype_whether_traced_or_not(count):
    seen = 0
    for parts in itertools.permutations(PARTS.values(), count):
        places = [i for i, v in enumerate(parts) if isinstance(v, np.ndarray)]
        if not places:
            continue
        wanted = F.asarray(parts).dtype
        for i in places:
            lanes = np.stack([parts[i]] * 2)
            found = volta.vmap(lambda x, i=i, p=parts: F.asarray([*p[:i], x, *p[i + 1 :]]))(lanes)
            assert found.dtype == wanted, parts
            seen += 1
    assert seen >= 140


@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        ((np.ones((), np.float16), 2.5), "float16"),
        ((np.ones((), np.float32), 3), "float32"),
        ((np.ones(2, np.float32), (1, 2.5)), "float32"),
        ((np.ones((), np.int32), 3), "int32"),
        ((np.ones((), np.int64), 2.5), "float32"),
        ((np.ones((), bool), 2.5), "float32"),
        ((np.ones((), np.float64), 2j), "complex128"),
        ((np.ones((), np.float32), 2j), "complex64"),
        ((np.ones((), np.int64), True), "int64"),
        ((np.ones((), np.int64), np.ones((), np.float32), 2j), "complex128"),
    ],
)
def test_numbers_beside_arrays_are_weak(parts, wanted):
    assert F.asarray(parts).dtype == wanted
    assert volta.trace(lambda: F.asarray(parts))()().dtype == wanted
