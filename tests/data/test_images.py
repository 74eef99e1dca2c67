"""Files of images and labels, and what is done to them."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import volta
import volta.functional as F
from volta import data
from volta.core.errors import DimensionError, DTypeError, LoadError, ShapeError


def idx(array, code):
    return struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + array.tobytes()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("code", "dtype"),
    [(8, "u1"), (9, "i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")],
)
def test_files_are_read(tmp_path, code, dtype, packed):
    wanted = np.arange(24).reshape(2, 3, 4).astype(dtype)
    content = idx(wanted, code)
    file = tmp_path / "file"
    file.write_bytes(gzip.compress(content) if packed else content)
    found = data.read_idx(file)
    np.testing.assert_array_equal(found, wanted)
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    found[0, 0, 0] = 7


HUGE = struct.pack(">HBB2I", 0, 8, 2, 2**32 - 1, 2**32 - 1)
GOOD = idx(np.arange(6, dtype="u1").reshape(2, 3), 8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must begin with two zeros, .* got nothing"),
        (b"\x01\0\x08\x01", "got 01 00 08 01"),
        (b"\0\0\x07\x01", "got 00 00 07 01"),
        (GOOD[:9], "must tell at most 64 lengths; got 5 bytes for 2 of them"),
        (struct.pack(">HBB65I", 0, 8, 65, *[1] * 65) + b"\0", "at most 64 lengths; got 260 bytes"),
        (GOOD[:-1], r"shape \(2, 3\) there must be 18 bytes; got at most 17"),
        (gzip.compress(GOOD[:-1]), r"shape \(2, 3\) there must be 18 bytes; got 17"),
        (GOOD + b"\0", "must be 18 bytes; got more"),
        (gzip.compress(GOOD + b"\0"), "must be 18 bytes; got more"),
        (gzip.compress(GOOD, mtime=0)[:-9], "must be gzip's to its end"),
        (gzip.compress(GOOD, mtime=0)[:10] + b"\xff" * 9, "must be gzip's to its end"),
        (gzip.compress(GOOD, mtime=0)[:-8] + bytes(8), "must be gzip's to its end"),
        (HUGE, "must be 18446744065119617037 bytes; got at most 12"),
        (gzip.compress(HUGE, mtime=0), r"must be 18446744065119617037 bytes; got at most \d+,"),
    ],
    ids=[
        *("empty", "magic", "dtype", "lengths", "axes", "short", "packed-short", "long"),
        *("packed-long", "packed-cut", "packed-wrong", "packed-sum", "huge", "packed-huge"),
    ],
)
def test_files_that_are_none_are_refused(tmp_path, content, message):
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(LoadError, match=message):
        data.read_idx(file)


@settings(max_examples=150)
@given(
    packed=st.booleans(),
    change=st.one_of(
        st.tuples(st.just("cut"), st.integers(0, 40)),
        st.tuples(st.just("set"), st.integers(0, 60), st.integers(0, 255)),
        st.tuples(st.just("add"), st.binary(min_size=1, max_size=9)),
        st.tuples(st.just("all"), st.binary(max_size=60)),
    ),
)
def test_a_malformed_file_is_refused_or_read_whole(tmp_path_factory, packed, change):
    content = gzip.compress(GOOD, mtime=0) if packed else GOOD
    kind, *what = change
    if kind == "cut":
        content = content[: what[0]]
    elif kind == "set":
        place = what[0] % len(content)
        content = content[:place] + bytes([what[1]]) + content[place + 1 :]
    else:
        content = content + what[0] if kind == "add" else what[0]
    file = tmp_path_factory.mktemp("idx") / "file"
    file.write_bytes(content)
    try:
        found = data.read_idx(file)
    except LoadError:
        return
    plain = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    assert idx(found.astype(found.dtype.newbyteorder(">")), plain[2]) == plain


def test_no_memory_is_taken_for_what_the_file_cannot_hold(tmp_path):
    wrong = struct.pack(">HBB2I", 0, 8, 2, 1 << 14, 1 << 14)  # 256 MiB
    longer = gzip.compress(GOOD + bytes(1 << 26))
    for name, content in (("raw", wrong), ("packed", gzip.compress(wrong)), ("longer", longer)):
        file = tmp_path / name
        file.write_bytes(content)
        tracemalloc.start()
        try:
            with pytest.raises(LoadError):
                data.read_idx(file)
            assert tracemalloc.get_traced_memory()[1] < 1 << 21
        finally:
            tracemalloc.stop()


def test_a_file_is_read_into_its_array(tmp_path):
    file = tmp_path / "file"
    wanted = np.arange(1 << 22, dtype=">i4")
    file.write_bytes(gzip.compress(idx(wanted, 0x0C), 1))
    tracemalloc.start()
    try:
        found = data.read_idx(file)
        assert tracemalloc.get_traced_memory()[1] < 1.3 * wanted.nbytes
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(found, wanted)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        data.read_idx(tmp_path / "file")


LIBRARIES = ("numpy", "array_api_strict", "torch", "jax")


@pytest.fixture(params=LIBRARIES)
def asarray(request):
    name = request.param if request.param != "jax" else "jax.numpy"
    return pytest.importorskip(name).asarray


def test_normalizing(asarray):
    x = np.arange(6, dtype=np.uint8).reshape(2, 3)
    found = data.normalize(asarray(x), 2.0, 4.0)
    assert type(found) is type(asarray(x))
    assert str(found.dtype).endswith("float32")
    np.testing.assert_allclose(np.asarray(found), (x - 2.0) / 4.0)
    mean = np.asarray([0.0, 1.0, 2.0])
    channels = data.normalize(asarray(x.astype(np.float32)), mean, 2.0)
    assert str(channels.dtype).endswith("float32")  # and not that of the mean
    np.testing.assert_allclose(np.asarray(channels)[:, 1], [0.0, 1.5])


def test_normalizing_keeps_the_dtype_and_has_derivatives():
    assert data.normalize(np.ones(2), 1, 2).dtype == np.float64
    assert data.normalize(np.ones(2, np.float16), 1, 2).dtype == np.float16
    grads = volta.grad(lambda x: F.sum(data.normalize(x, 1.0, [2.0, 4.0])))(np.ones(2))
    np.testing.assert_array_equal(grads, [0.5, 0.25])


@pytest.mark.parametrize("std", [0.0, -1.0, np.inf, np.nan, [1.0, 0.0, 1.0]])
def test_deviations_that_are_none(std):
    with pytest.raises(
        ValueError, match=r"^normalize: deviations must be positive and finite; got"
    ):
        data.normalize(np.ones((2, 3)), 0.0, std)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ([1, 2], 1, r"the shapes must broadcast together; got \(2,\) and \(2, 3\)"),
        ([[[1]]], 1, r"mean must broadcast to the shape of x; got shapes \(1, 1, 1\) and \(2, 3\)"),
        (0, [[[1]] * 2] * 4, r"std must broadcast to .*; got shapes \(4, 2, 1\) and \(2, 3\)"),
    ],
)
def test_normalizing_by_other_shapes(mean, std, message):
    with pytest.raises(ShapeError, match=f"^normalize: {message}"):
        data.normalize(np.ones((2, 3)), mean, std)


def test_labels_become_rows(asarray):
    labels = np.asarray([[2, 0], [1, 2]])
    found = data.to_one_hot(asarray(labels), 3)
    assert type(found) is type(asarray(labels))
    found = np.asarray(found)
    assert (found.shape, found.dtype) == ((2, 2, 3), np.float32)
    np.testing.assert_array_equal(np.argmax(found, axis=-1), labels)
    np.testing.assert_array_equal(np.sum(found, axis=-1), 1)
    for wrong in (-1, 3):
        with pytest.raises(DimensionError, match=f"from 0 to 2; got {wrong}"):
            data.to_one_hot(asarray(np.asarray([0, wrong])), 3)
    with pytest.raises(DTypeError, match=r"^to_one_hot: labels must be integers; got .*float32"):
        data.to_one_hot(asarray(np.ones(2, np.float32)), 3)


def test_labels_in_a_list_and_none_at_all():
    assert data.to_one_hot([1, 0], 2, "float64").dtype == np.float64
    assert data.to_one_hot(np.zeros(0, np.uint8), 2).shape == (0, 2)
    assert data.to_one_hot(7, 8).tolist() == [0, 0, 0, 0, 0, 0, 0, 1]


def test_many_classes_cost_no_more_than_the_rows():
    tracemalloc.start()
    try:
        data.to_one_hot([1], 100_000)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
