"""Files of images and labels, and what is done to them."""

import gzip
import struct

import numpy as np
import pytest

from volta import data
from volta.core.errors import DimensionError, DTypeError, LoadError


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


GOOD = idx(np.arange(6, dtype="u1").reshape(2, 3), 8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must begin with two zeros, .* got nothing"),
        (b"\x01\0\x08\x01", "got 01 00 08 01"),
        (b"\0\0\x07\x01", "got 00 00 07 01"),
        (GOOD[:9], "it must tell 2 lengths; got 9 bytes"),
        (GOOD[:-1], r"shape \(2, 3\) there must be 18 bytes; got 17"),
        (GOOD + b"\0", "must be 18 bytes; got 19"),
        (gzip.compress(GOOD, mtime=0)[:-9], "must be gzip's to its end"),
        (struct.pack(">HBB2I", 0, 8, 2, 2**32 - 1, 2**32 - 1), "must be 18446744065119617037"),
    ],
    ids=["empty", "magic", "dtype", "lengths", "short", "long", "gzip", "huge"],
)
def test_files_that_are_none_are_refused(tmp_path, content, message):
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(LoadError, match=message):
        data.read_idx(file)


def test_normalizing():
    x = np.arange(6, dtype=np.uint8).reshape(2, 3)
    found = data.normalize(x, 2.0, 4.0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, (x - 2.0) / 4.0)
    channels = data.normalize(x.astype(np.float64), np.asarray([0.0, 1.0, 2.0]), 2.0)
    np.testing.assert_allclose(channels[:, 1], [0.0, 1.5])
    with pytest.raises(ValueError, match="deviations must not be 0"):
        data.normalize(x, 0.0, np.asarray([1.0, 0.0, 1.0]))


def test_labels_become_rows():
    labels = np.asarray([[2, 0], [1, 2]])
    found = data.to_one_hot(labels, 3, "float64")
    assert found.shape == (2, 2, 3)
    np.testing.assert_array_equal(np.argmax(found, axis=-1), labels)
    np.testing.assert_array_equal(np.sum(found, axis=-1), 1)
    for wrong in (-1, 3):
        with pytest.raises(DimensionError, match=f"from 0 to 2; got {wrong}"):
            data.to_one_hot(np.asarray([0, wrong]), 3)
    with pytest.raises(DTypeError, match="must be integers; got float64"):
        data.to_one_hot(np.ones(2), 3)
