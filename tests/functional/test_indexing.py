"""Keys against NumPy's own indexing: reading, writing, and the derivatives of both."""

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    MODES,
    array_key,
    assert_same,
    basic_key,
    fill,
    full_shapes,
    library,
    seeds,
    shapes,
    under,
)

import volta
import volta.functional as F
from volta.core.errors import BroadcastError, DimensionError, DTypeError, ShapeError, TraceError

NUMPY = library("numpy")
LIBRARIES = ("numpy", "array_api_strict", "torch")


def written(x, key, value):
    out = F.asarray(volta.lift(x), copy=True)
    out[key] = value
    return out


def converted(key, lib):
    """A key with its arrays in a library."""
    if isinstance(key, tuple):
        return tuple(converted(k, lib) for k in key)
    return lib.asarray(key) if isinstance(key, np.ndarray) else key


# Reading ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_basic_keys_read_as_numpys(lib, data):
    lib = library(lib)
    shape = data.draw(shapes)
    key = basic_key(data.draw, shape)
    x = fill(data.draw(seeds), shape, data.draw(st.sampled_from(["int16", "float32", "complex64"])))
    expected = np.asarray(x[key])

    def fun(x):
        return volta.lift(x)[key]

    assert_same(fun(lib.asarray(x)), expected, lib)
    mode = data.draw(st.sampled_from(MODES))
    assert_same(under(mode, fun, (lib.asarray(x),))[0], expected, lib)


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_index_arrays_and_masks_read_as_numpys(lib, data):
    lib = library(lib)
    shape = data.draw(full_shapes)
    key = array_key(data.draw, shape)
    x = fill(data.draw(seeds), shape, "float64")
    try:
        expected = np.asarray(x[key])
    except IndexError:  # shapes that do not broadcast
        with pytest.raises(BroadcastError, match="the shapes must broadcast together"):
            volta.lift(lib.asarray(x))[converted(key, lib)]
        return

    def fun(x):
        return volta.lift(x)[key]

    assert_same(fun(lib.asarray(x)), expected, lib)
    assert_same(volta.lift(lib.asarray(x))[converted(key, lib)], expected, lib)
    mode = data.draw(st.sampled_from(MODES))
    assert_same(under(mode, fun, (lib.asarray(x),))[0], expected, lib)


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_a_mask_reads_as_numpys(lib, data):
    lib = library(lib)
    shape = data.draw(shapes)
    x = fill(data.draw(seeds), shape, "float64")
    mask = fill(data.draw(seeds), shape[: data.draw(st.integers(0, len(shape)))], "bool")
    key = data.draw(st.sampled_from([mask, (mask,), (mask, ...)]))
    fun = lambda x: volta.lift(x)[converted(key, lib)]  # noqa: E731 - compared under transforms
    assert_same(fun(lib.asarray(x)), x[key], lib)
    mode = data.draw(st.sampled_from(MODES))
    assert_same(under(mode, fun, (lib.asarray(x),))[0], x[key], lib)


PAIR = np.asarray([0, 1])
SPECIAL = [
    True,
    False,
    np.True_,
    (True, 0),
    (0, True),
    (slice(None), True),
    (None, PAIR, ..., PAIR),
    (None, 0, ..., PAIR),
    (PAIR, ..., PAIR),
    (None, PAIR, PAIR),
    (PAIR, None, PAIR),
    (0, None, PAIR),
    (PAIR, slice(None)),
    ([True, False],),
    [[True, False, True], [False, True, True]],
    ([0, 1], [1, 2]),
    [],
    ([], 0),
    np.int8(1),
    np.uint8(1),
    np.asarray(1),
    (np.asarray(1), np.asarray([0, 2])),
    (slice(np.int64(0), np.uint8(1)),),
    (..., np.asarray([True, False, True])),
    (),
    ...,
    None,
]


@pytest.mark.parametrize("key", SPECIAL, ids=str)
@pytest.mark.parametrize("mode", ["constant", *MODES])
def test_special_keys_read_as_numpys(key, mode):
    x = np.arange(6.0).reshape(2, 3)
    if mode == "constant":
        assert_same(volta.lift(x)[key], np.asarray(x[key]), NUMPY)
        return
    (out,) = under(mode, lambda x: x[key], (x,))
    assert_same(out, np.asarray(x[key]), NUMPY)


@pytest.mark.parametrize("key", [True, False, (), ..., None, (None, ...), (True, None)], ids=str)
def test_keys_of_rank_0(key):
    x = np.asarray(3.0)
    assert_same(volta.lift(x)[key], np.asarray(x[key]), NUMPY)


def test_traced_indices():
    x, i = np.arange(12.0).reshape(3, 4), np.asarray([2, 0])
    assert_same(
        volta.vmap(lambda x, i: x[i])(x, np.asarray([3, 0, 1])), x[[0, 1, 2], [3, 0, 1]], NUMPY
    )
    (out,) = under("trace", lambda x, i: x[:, i], (x, i))
    assert_same(out, x[:, i], NUMPY)


# Writing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_keys_write_as_numpys(lib, data):
    lib = library(lib)
    shape = data.draw(full_shapes)
    basic = data.draw(st.booleans())
    key = basic_key(data.draw, shape) if basic else array_key(data.draw, shape)
    x = fill(data.draw(seeds), shape, "float64")
    try:
        part = np.asarray(x[key])
    except IndexError:
        return
    kept = part.shape[data.draw(st.integers(0, part.ndim)) :]
    kept = tuple(data.draw(st.sampled_from((n, 1))) for n in kept)
    value = fill(
        data.draw(seeds), kept, data.draw(st.sampled_from(["float64", "float32", "int64"]))
    )
    expected = x.copy()
    expected[key] = value
    if not basic and len(np.unique(np.arange(x.size).reshape(shape)[key])) < part.size:
        return  # an index twice: which value stays is not defined
    args = (lib.asarray(x), lib.asarray(value))

    def fun(x, value):
        return written(x, key, value)

    assert_same(fun(*args), expected, lib)
    assert_same(args[0], x, lib)
    mode = data.draw(st.sampled_from(MODES))
    assert_same(under(mode, fun, args)[0], expected, lib)


X = np.arange(6.0).reshape(2, 3)
WRITES = [
    (X > 2, 7),
    (X > 2, np.asarray(7.0)),
    (X > 2, [7.0, 8.0, 9.0]),
    (X > 2, (7.0, 8.0, 9.0)),
    ((X > 3,), np.asarray([7.0, 8.0])),
    (X > 9, 7.0),
    (np.asarray([True, False]), 7.0),
    (np.asarray([True, False]), [7.0, 8.0, 9.0]),
    (True, 7.0),
    (False, 7.0),
    (0, [7.0, 8.0, 9.0]),
    ((slice(None), [0, 2]), [[7.0, 8.0]]),
    ((slice(None), -1), np.asarray([[7.0, 8.0]])),
    (..., 7),
    ((), 7.5),
    (np.asarray([1, 0]), np.asarray([[7.0], [8.0]])),
    ((None, PAIR, ..., PAIR), [[7.0], [8.0]]),
]


@pytest.mark.parametrize(("key", "value"), WRITES, ids=lambda v: str(v).replace("\n", ""))
def test_special_writes_are_numpys(key, value):
    expected = X.copy()
    expected[key] = value
    assert_same(written(X, key, value), expected, NUMPY)

    def program(x):
        x[key] = value
        return x

    for mode in MODES:
        assert_same(under(mode, program, (X.copy(),))[0], expected, NUMPY)


@pytest.mark.parametrize("dtype", ["int8", "float32", "complex64"])
@pytest.mark.parametrize("value", [1.7, 2, np.asarray([1.5, 2.5]), np.asarray([1, 2], np.int64)])
def test_what_is_written_takes_the_arrays_dtype(dtype, value):
    x = fill(0, (2,), dtype)
    expected = x.copy()
    expected[:] = value
    assert_same(written(x, slice(None), value), expected, NUMPY)


# Derivatives --------------------------------------------------------------------------------------


@pytest.mark.grad_check
@given(data=st.data())
def test_the_derivative_of_reading_adds_up_what_was_read(data):
    shape = data.draw(full_shapes)
    key = data.draw(st.sampled_from([basic_key, array_key]))(data.draw, shape)
    x = fill(data.draw(seeds), shape, "float64")
    try:
        part = np.asarray(x[key])
    except IndexError:
        return
    ct = fill(data.draw(seeds), part.shape, "float64")
    expected = np.zeros(shape)
    np.add.at(expected, key, ct)
    _, vjp_fn = volta.vjp(lambda x: x[key], x)
    np.testing.assert_allclose(vjp_fn(ct)[0], expected, rtol=1e-14, atol=1e-14)
    assert_same(volta.jvp(lambda x: x[key], (x,), (2 * x,))[1], 2 * part, NUMPY)


@pytest.mark.grad_check
@given(data=st.data())
def test_the_derivative_of_writing_goes_to_what_was_written(data):
    shape = data.draw(full_shapes)
    key = data.draw(st.sampled_from([basic_key, array_key]))(data.draw, shape)
    x = fill(data.draw(seeds), shape, "float64")
    places = np.arange(x.size).reshape(shape)
    try:
        read = np.asarray(places[key])
    except IndexError:
        return
    v = fill(data.draw(seeds), read.shape, "float64")
    ct = fill(data.draw(seeds), shape, "float64")
    _, vjp_fn = volta.vjp(lambda x, v: written(x, key, v), x, v)
    ct_x, ct_v = vjp_fn(ct)
    # which of the values at an index that occurs twice is seen, NumPy decides
    mark = np.full(shape, -1)
    mark[key] = np.arange(read.size).reshape(read.shape)
    np.testing.assert_array_equal(ct_x, np.where(mark < 0, ct, 0))
    seen = np.zeros(read.size)
    seen[mark[mark >= 0]] = ct[mark >= 0]
    np.testing.assert_array_equal(ct_v, seen.reshape(read.shape))


# take ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_take_is_the_standards(lib, data):
    lib = library(lib)
    shape = data.draw(full_shapes.filter(bool))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    n = shape[axis]
    dtype = data.draw(st.sampled_from(["int8", "int64"]))
    i = fill(data.draw(seeds), (data.draw(st.integers(0, 4)),), dtype, 0, n - 1)
    x = fill(data.draw(seeds), shape, "float32")
    if len(shape) == 1 and data.draw(st.booleans()):
        axis = None
    expected = strict.take(strict.asarray(x), strict.asarray(i), axis=axis)
    args = lib.asarray(x), lib.asarray(i)
    assert_same(F.take(*args, axis=axis), expected, lib)
    mode = data.draw(st.sampled_from(MODES))
    assert_same(under(mode, lambda x, i: F.take(x, i, axis=axis), args)[0], expected, lib)


@pytest.mark.parametrize("lib", LIBRARIES)
@given(data=st.data())
def test_take_along_axis_is_the_standards(lib, data):
    lib = library(lib)
    shape = data.draw(full_shapes.filter(bool))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    n = shape[axis]
    own = [data.draw(st.sampled_from((m, 1))) for m in shape]
    own[axis] = data.draw(st.integers(0, 3))
    i = fill(data.draw(seeds), tuple(own), "int64", -n, n - 1)
    x = fill(data.draw(seeds), shape, "float32")
    expected = np.take_along_axis(x, i, axis=axis)
    args = lib.asarray(x), lib.asarray(i)
    assert_same(F.take_along_axis(*args, axis=axis), expected, lib)
    mode = data.draw(st.sampled_from(MODES))
    out = under(mode, lambda x, i: F.take_along_axis(x, i, axis=axis), args)
    assert_same(out[0], expected, lib)


def test_take_accepts_lists_and_more_axes():
    x = np.arange(6.0).reshape(2, 3)
    assert_same(F.take(x, [2, 0], axis=1), x[:, [2, 0]], NUMPY)
    assert_same(
        F.take(x, np.asarray([[0, 1], [1, 0]]), axis=1), np.take(x, [[0, 1], [1, 0]], 1), NUMPY
    )
    assert_same(F.take(x, np.asarray(1), axis=0), x[1], NUMPY)


# Errors -------------------------------------------------------------------------------------------

V = volta.lift(X)
BAD = [
    (lambda: V[2], DimensionError, "indices must be from -2 to 1 along axis 0; got 2"),
    (lambda: V[0, -4], DimensionError, "indices must be from -3 to 2 along axis 1; got -4"),
    (lambda: V[0, 0, 0], DimensionError, r"no more indices than axes; got 3 for shape \(2, 3\)"),
    (lambda: V[..., ...], DimensionError, "a key may have one ellipsis"),
    (lambda: V[::0], DimensionError, "a slice's step must not be zero"),
    (lambda: V["a"], DTypeError, "a key must hold ints, slices, None, ... and arrays"),
    (lambda: V[np.asarray([0.5])], DTypeError, "got ndarray of float64"),
    (lambda: V[np.ones((3, 2), bool)], DimensionError, r"a mask must have the shape .* \(3, 2\)"),
    (lambda: V[PAIR, np.asarray([0, 1, 2])], BroadcastError, r"together; got \(2,\) and \(3,\)"),
    (
        lambda: V[np.asarray([2])],
        DimensionError,
        "indices must be from -2 to 1 along axis 0; got 2",
    ),
    (lambda: written(X, np.asarray([2]), 1.0), DimensionError, "from -2 to 1 along axis 0; got 2"),
    (lambda: written(X, 0, np.ones(2)), ShapeError, r"got shapes \(2,\) and \(3,\)"),
    (lambda: written(X, 0, np.ones((2, 3))), ShapeError, "the value must broadcast to the part"),
    (lambda: written(X, 0, 1j), DTypeError, "the value's dtype must fit the array's"),
    (lambda: F.take(X, PAIR), DimensionError, r"axis must be given unless .* got shape \(2, 3\)"),
    (lambda: F.take(X, PAIR, axis=2), DimensionError, "take: axis must be from -2 to 1; got 2"),
    (lambda: F.take(X, np.ones(2), axis=0), DTypeError, "take: indices must be integers; got fl"),
    (lambda: F.take(X, [2], axis=0), DimensionError, "indices must be from -2 to 1"),
    (
        lambda: F.take_along_axis(X, PAIR),
        ShapeError,
        r"as many axes as the array; got shapes \(2,\)",
    ),
    (lambda: F.take_along_axis(X, np.zeros((3, 1), int)), BroadcastError, "broadcast together"),
    (lambda: F.take_along_axis(X, np.full((2, 1), 3)), DimensionError, "from -3 to 2 along axis 1"),
    (lambda: F.take_along_axis(X, PAIR[None], axis=2), DimensionError, "axis must be from -2 to 1"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_bad_keys(call, error, message):
    with pytest.raises(error, match=message):
        call()


def _outside(asarray):
    """Calls with an index outside an axis, and the axis, its bounds and the index."""
    x = asarray(X)

    def index(*i):
        return asarray(np.asarray(i))

    return [
        (lambda: F.take(x, index(0, 5), axis=0), 0, -2, 1, 5),
        (lambda: F.take(x, index(0, -4), axis=-1), 1, -3, 2, -4),
        (lambda: F.take(x, asarray(np.asarray([[3]], np.uint8)), axis=1), 1, -3, 2, 3),
        (lambda: F.take_along_axis(x, index(0, -3, 0)[None, :], axis=0), 0, -2, 1, -3),
        (lambda: F.take_along_axis(x, index(0, 3)[:, None]), 1, -3, 2, 3),
        (lambda: volta.lift(x)[2], 0, -2, 1, 2),
        (lambda: volta.lift(x)[:, -4], 1, -3, 2, -4),
        (lambda: volta.lift(x)[index(0, 2)], 0, -2, 1, 2),
        (lambda: volta.lift(x)[index(0), index(3)], 1, -3, 2, 3),
        (lambda: written(x, index(0, 5), 1.0), 0, -2, 1, 5),
        (lambda: written(x, (slice(None), index(-4)), 1.0), 1, -3, 2, -4),
        (lambda: volta.jvp(lambda x: x[index(0, 5)], (x,), (x,)), 0, -2, 1, 5),
        (lambda: volta.vmap(lambda row, i: row[i])(x, index(0, 3)), 0, -3, 2, 3),  # of a lane
    ]


@pytest.mark.parametrize("case", range(len(_outside(lambda x: x))))
@pytest.mark.parametrize("lib", [*LIBRARIES, "jax"])
def test_indices_outside_the_axis_on_every_library(lib, case):
    asarray = pytest.importorskip("jax.numpy").asarray if lib == "jax" else library(lib).asarray
    call, axis, low, high, got = _outside(asarray)[case]
    message = f"indices must be from {low} to {high} along axis {axis}; got {got}"
    with pytest.raises(DimensionError, match=message):
        call()


def test_masks_have_no_batches():
    with pytest.raises(TraceError, match="boolean index: needs one concrete value"):
        volta.vmap(lambda x, m: x[m], on_branch="raise")(X, X > 2)


def test_an_empty_mask_selects_nothing():
    x = np.ones((2, 3))
    assert volta.lift(x)[np.zeros((0, 3), bool)].shape == (0,)
    assert volta.lift(x)[np.zeros(0, bool)].shape == (0, 3)
    assert volta.grad(lambda x: F.sum(x[np.zeros(0, bool)]))(x).tolist() == [[0.0] * 3] * 2
