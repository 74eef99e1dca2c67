"""Functions that move elements against array-api-strict, and under every transform."""

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    MANIPULATIONS,
    MODES,
    STANDARD,
    assert_same,
    broadcastable,
    fill,
    full_shapes,
    leaves,
    library,
    seeds,
    shapes,
    under,
)

import volta
import volta.functional as F
from volta.core.errors import (
    BroadcastError,
    DeviceError,
    DimensionError,
    DTypeError,
    ShapeError,
    TraceError,
)

LIBRARIES = ("numpy", "array_api_strict", "torch")


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("name", MANIPULATIONS)
@given(data=st.data())
def test_functions_of_one_array_are_the_standards(name, lib, data):
    lib = library(lib)
    shape = data.draw(shapes)
    row = MANIPULATIONS[name](data.draw, shape)
    if row is None:
        shape = (2, *shape, 3)
        row = MANIPULATIONS[name](data.draw, shape)
    args, options = row
    x = fill(data.draw(seeds), shape, data.draw(st.sampled_from(lib.dtypes)))
    expected = leaves(getattr(strict, name)(strict.asarray(x), *args, **options))

    def fun(x):
        return getattr(F, name)(x, *args, **options)

    mode = data.draw(st.sampled_from(MODES))
    given_ = lib.asarray(x)
    for out in (leaves(fun(given_)), under(mode, fun, (given_,))):
        assert len(out) == len(expected)
        for o, e in zip(out, expected, strict=True):
            assert_same(o, e, lib)


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("name", ["concat", "stack"])
@given(data=st.data())
def test_joining_is_the_standards(name, lib, data):
    lib = library(lib)
    shape = data.draw(shapes.filter(bool) if name == "concat" else shapes)
    n = len(shape) + (name == "stack")
    axis = data.draw(st.integers(-n, n - 1))
    count = data.draw(st.integers(1, 3))
    kind = data.draw(st.sampled_from([("int8", "int32"), ("float32", "complex64"), ("bool",)]))
    arrays = []
    for i in range(count):
        own = list(shape)
        if name == "concat":
            own[axis] = data.draw(st.integers(0, 3))
        arrays.append(fill(i, tuple(own), data.draw(st.sampled_from(kind))))
    if name == "concat" and data.draw(st.booleans()):
        axis = None
    expected = getattr(strict, name)([strict.asarray(a) for a in arrays], axis=axis)

    def fun(*arrays):
        return getattr(F, name)(arrays, axis=axis)

    given_ = tuple(map(lib.asarray, arrays))
    assert_same(fun(*given_), expected, lib)
    mode = data.draw(st.sampled_from(MODES))
    assert_same(under(mode, fun, given_)[0], expected, lib)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("axis", [0, 1, None])
def test_joining_where_the_standard_is_silent_follows_the_library(axis, mode):
    lib = library("numpy")
    arrays = fill(0, (2, 3), "int64"), fill(1, (2, 3), "float32")
    (out,) = under(mode, lambda *a: F.concat(a, axis=axis), arrays)
    assert_same(out, np.concatenate(arrays, axis=axis), lib)


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("name", ["broadcast_arrays", "meshgrid"])
@given(data=st.data())
def test_grids_are_the_standards(name, lib, data):
    lib = library(lib)
    count = data.draw(st.integers(1, 3))
    if name == "meshgrid":
        shapes_ = [(data.draw(st.integers(0, 3)),) for _ in range(count)]
        options = {"indexing": data.draw(st.sampled_from(("xy", "ij")))}
    else:
        shapes_, options = data.draw(broadcastable(count)), {}
    arrays = [fill(i, s, "float32") for i, s in enumerate(shapes_)]
    expected = getattr(strict, name)(*map(strict.asarray, arrays), **options)

    def fun(*arrays):
        return getattr(F, name)(*arrays, **options)

    given_ = tuple(map(lib.asarray, arrays))
    mode = data.draw(st.sampled_from(MODES))
    for found in (fun(*given_), under(mode, fun, given_)):
        for o, e in zip(found, expected, strict=True):
            assert_same(o, e, lib)


@given(data=st.data())
def test_repeat_by_counts_is_numpys(data):
    shape = data.draw(full_shapes.filter(bool))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    n = shape[axis]
    counts = np.asarray(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    x = fill(data.draw(seeds), shape, "float64")
    expected = np.repeat(x, counts, axis=axis)
    mode = data.draw(st.sampled_from(MODES))
    out = under(mode, lambda x: F.repeat(x, counts, axis=axis), (x,))
    assert_same(out[0], expected, library("numpy"))


def test_expand_dims_takes_several_axes():
    assert F.expand_dims(np.zeros((2, 3)), axis=(0, -1)).shape == (1, 2, 3, 1)
    assert F.expand_dims(np.zeros(()), axis=()).shape == ()


def test_roll_along_no_axis_is_a_copy():
    x = np.ones((2, 3))
    out = F.roll(x, (), axis=())
    assert_same(out, x, library("numpy"))
    assert not np.shares_memory(out, x)


def test_unstack_of_a_vector_is_arrays():
    parts = F.unstack(np.asarray([1.0, 2.0]))
    assert [(type(p), p.shape) for p in parts] == [(np.ndarray, ())] * 2


def test_reshape_copies_when_told():
    x = np.zeros(6)
    assert np.shares_memory(F.reshape(x, (2, 3)), x)
    assert not np.shares_memory(F.reshape(x, (2, 3), copy=True), x)


# Moving -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", STANDARD)
@pytest.mark.parametrize("lib", ["array_api_strict", "torch"])
def test_moving_to_another_library_and_back(lib, dtype):
    lib = library(lib)
    x = fill(0, (2, 3), dtype)
    there = F.to_device(x, xp=lib.xp)
    assert_same(there, x, lib)
    assert_same(F.to_device(there, xp=np), x, library("numpy"))


@pytest.mark.grad_check
@pytest.mark.parametrize("lib", ["array_api_strict", "torch"])
def test_derivatives_move_back(lib):
    lib = library(lib)
    x = np.asarray([1.0, 2.0])
    grad = volta.grad(lambda x: F.sum(F.square(F.to_device(x, xp=lib.xp))))(x)
    assert_same(grad, 2 * x, library("numpy"))


def test_devices_by_name():
    x = np.ones(2)
    assert F.to_device(x, "cpu") is x
    with pytest.raises(DeviceError, match="to_device: NumPy arrays are on 'cpu'; got device 'gpu'"):
        F.to_device(x, "gpu")
    with pytest.raises(DeviceError, match="xp: must be an array namespace such as numpy or torch"):
        F.to_device(x, xp="numpy")


@pytest.mark.parametrize(("first", "second"), [("numpy", "torch"), ("jax", "torch")])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_moving_halves_between_libraries_that_have_them(first, second, dtype):
    first, second = library(first), library(second)
    x = first.asarray(fill(0, (2, 3), dtype))
    there = F.to_device(x, xp=second.xp)
    assert_same(there, fill(0, (2, 3), dtype), second)
    assert_same(F.to_device(there, xp=first.xp), fill(0, (2, 3), dtype), first)
    assert_same(F.to_device(F.matrix_transpose(x), xp=second.xp), fill(0, (2, 3), dtype).T, second)
    moved, pull = volta.vjp(lambda x: F.to_device(x, xp=second.xp), x)
    assert_same(pull(moved)[0], fill(0, (2, 3), dtype), first)


def test_moving_tensors_that_are_conjugated_only_when_read():
    torch = pytest.importorskip("torch")
    x = np.asarray([1.0 + 2.0j, 3.0 - 1.0j])
    assert_same(F.to_device(torch.asarray(x).conj(), xp=np), np.conj(x), library("numpy"))
    imag = torch.imag(torch.asarray(x).conj())
    assert_same(F.to_device(imag, xp=np), -np.imag(x), library("numpy"))


@pytest.mark.filterwarnings("error")
def test_what_moves_to_torch_may_be_read_only():
    torch = pytest.importorskip("torch")
    x = np.broadcast_to(np.asarray(1.5), (2,))
    moved = F.to_device(x, xp=torch)
    moved[0] = 7.0
    assert_same(x, np.asarray([1.5, 1.5]), library("numpy"))


def test_a_library_that_lacks_the_dtype():
    x = fill(0, (2,), "bfloat16")
    with pytest.raises(DTypeError, match="array_api_strict must have the dtype; got bfloat16"):
        F.to_device(x, xp=strict)


# Errors -------------------------------------------------------------------------------------------

X = np.ones((2, 3))
BAD = [
    ("reshape", lambda: F.reshape(X, (4,)), ShapeError, r"got shapes \(2, 3\) and \(4,\)"),
    ("reshape", lambda: F.reshape(X, (-1, -1)), ShapeError, "one length may be -1"),
    ("reshape", lambda: F.reshape(X, (-2, 3)), ShapeError, "one length may be -1"),
    ("reshape", lambda: F.reshape(np.ones((0, 2)), (0, -1)), ShapeError, "one length may be -1"),
    ("permute_dims", lambda: F.permute_dims(X, (0, 2)), DimensionError, "axis must be from -2"),
    ("permute_dims", lambda: F.permute_dims(X, (1,)), ShapeError, "every axis must be named"),
    ("permute_dims", lambda: F.permute_dims(X, (1, -1)), ShapeError, "each axis must be named"),
    (
        "matrix_transpose",
        lambda: F.matrix_transpose(np.ones(3)),
        ShapeError,
        r"must have two axes or more; got shape \(3,\)",
    ),
    ("moveaxis", lambda: F.moveaxis(X, 2, 0), DimensionError, "axis must be from -2 to 1; got 2"),
    ("moveaxis", lambda: F.moveaxis(X, (0, 1), 0), ShapeError, r"pair up; got \(0, 1\) and 0"),
    ("moveaxis", lambda: F.moveaxis(X, (0, 0), (0, 1)), ShapeError, "each axis must be named once"),
    ("expand_dims", lambda: F.expand_dims(X, axis=3), DimensionError, "axis must be from -3 to 2"),
    ("squeeze", lambda: F.squeeze(X, 0), ShapeError, "must have length 1; got axis 0 of shape"),
    ("squeeze", lambda: F.squeeze(X, 5), DimensionError, "axis must be from -2 to 1; got 5"),
    ("broadcast_to", lambda: F.broadcast_to(X, (2, 4)), BroadcastError, "broadcast together"),
    ("broadcast_to", lambda: F.broadcast_to(X, (3,)), ShapeError, "the shape must contain"),
    ("broadcast_to", lambda: F.broadcast_to(X, (-2, 3)), ShapeError, "must not be negative"),
    (
        "broadcast_arrays",
        lambda: F.broadcast_arrays(X, np.ones(2)),
        BroadcastError,
        r"must broadcast together; got \(2, 3\) and \(2,\)",
    ),
    ("repeat", lambda: F.repeat(X, -1), ShapeError, "one count, or one for each of 6 elements"),
    ("repeat", lambda: F.repeat(X, np.ones(4, int), axis=1), ShapeError, "each of 3 elements"),
    ("repeat", lambda: F.repeat(X, 1.5), DTypeError, "must be integers; got float64"),
    ("repeat", lambda: F.repeat(X, 2, axis=2), DimensionError, "axis must be from -2 to 1"),
    ("tile", lambda: F.tile(X, (-1,)), ShapeError, r"lengths must not be negative; got \(-1,\)"),
    ("concat", lambda: F.concat([X, np.ones(3)]), ShapeError, "must agree except along axis 0"),
    ("concat", lambda: F.concat([X], axis=2), DimensionError, "axis must be from -2 to 1"),
    ("concat", lambda: F.concat([]), ShapeError, "there must be at least one array; got none"),
    ("stack", lambda: F.stack([]), ShapeError, "must have one shape; got none"),
    ("stack", lambda: F.stack([X, np.ones(3)]), ShapeError, r"got \(2, 3\) and \(3,\)"),
    ("stack", lambda: F.stack([X], axis=3), DimensionError, "axis must be from -3 to 2; got 3"),
    ("unstack", lambda: F.unstack(X, axis=2), DimensionError, "axis must be from -2 to 1"),
    ("flip", lambda: F.flip(X, axis=2), DimensionError, "axis must be from -2 to 1; got 2"),
    ("flip", lambda: F.flip(X, axis=(0, 0)), ShapeError, "each axis must be named once"),
    ("roll", lambda: F.roll(X, 1, axis=2), DimensionError, "axis must be from -2 to 1; got 2"),
    ("roll", lambda: F.roll(X, (1, 2), axis=0), ShapeError, "shift and axis must pair up"),
    ("tril", lambda: F.tril(np.ones(3)), ShapeError, "must have two axes or more"),
    ("triu", lambda: F.triu(np.ones(())), ShapeError, r"two axes or more; got shape \(\)"),
]


@pytest.mark.parametrize(("name", "call", "error", "message"), BAD, ids=lambda v: str(v)[:12])
def test_bad_arguments(name, call, error, message):
    with pytest.raises(error, match=rf"{name}: .*{message}"):
        call()


def test_joining_dtypes_that_a_library_refuses():
    arrays = strict.ones(2, dtype=strict.int64), strict.ones(2, dtype=strict.float32)
    with pytest.raises(DTypeError, match="concat: the dtypes must promote; got int64 and float32"):
        F.concat(arrays)


def test_counts_of_repeat_are_concrete():
    with pytest.raises(TraceError, match="repeat: needs"):
        volta.vmap(lambda x, n: F.repeat(x, n), on_branch="raise")(
            np.ones((2, 2)), np.asarray([[1, 2], [2, 1]])
        )


@pytest.mark.broadcasting
def test_broadcast_shapes():
    assert F.broadcast_shapes((2, 1), (3,), ()) == np.broadcast_shapes((2, 1), (3,), ())
    assert F.broadcast_shapes() == ()
    message = r"^broadcast_shapes: the shapes must broadcast together; got \(2, 3\) and \(2,\)"
    with pytest.raises(volta.BroadcastError, match=message):
        F.broadcast_shapes((2, 3), (2,))
