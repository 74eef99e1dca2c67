"""Files of images and labels, and what is done to them before training."""

import gzip
import math
import os
import struct
import zlib
from io import BufferedIOBase
from typing import Any, Final

import numpy as np

import volta.functional as F  # noqa: N812 - the name that the documentation gives it
from volta.core.errors import DimensionError, DTypeError, LoadError, ShapeError
from volta.core.trace import located
from volta.core.types import as_dtype, broadcast_shapes, is_inexact
from volta.data.collation import is_array

__all__ = ["normalize", "read_idx", "to_one_hot"]

_DTYPES: Final = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_AXES: Final = 64  # NumPy's limit
_PART: Final = 1 << 20  # bytes read at a time: gzip's reader makes a copy of them
_MOST_PACKED: Final = 1032  # times its size, what DEFLATE packs: https://zlib.net/zlib_tech.html


def read_idx(path: str | os.PathLike[str]) -> Any:
    """Array in a file of the IDX format, in which MNIST and its kin are kept.

    Parameters
    ----------
    path : path-like
        The file, gzipped or not.

    Returns
    -------
    numpy.ndarray
        Of the shape in the file, such as (60000, 28, 28) and uint8 for images.

    Raises
    ------
    LoadError
        If the file is no such file, or is shorter or longer than it says. No memory is taken for
        what the file cannot hold.

    References
    ----------
    Y. LeCun, C. Cortes and C. Burges, "The MNIST database", where the format is described:
    http://yann.lecun.com/exdb/mnist/.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "labels.idx1-ubyte"
    >>> _ = file.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]))
    >>> volta.data.read_idx(file)
    array([5, 0, 4], dtype=uint8)
    """
    with open(path, "rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        most = os.fstat(raw.fileno()).st_size * (_MOST_PACKED if packed else 1)
        file: BufferedIOBase = gzip.GzipFile(fileobj=raw) if packed else raw
        try:
            return _array(file, most, path)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            msg = f"read_idx: the file must be gzip's to its end; got {error}, {path}."
            raise located(LoadError(msg)) from None


def _array(file: BufferedIOBase, most: int, path: str | os.PathLike[str]) -> Any:
    """Read an array from a file of at most `most` bytes; nothing is made before that is held."""
    head = file.read(4)
    kind = _DTYPES.get(head[2]) if len(head) == 4 and head[:2] == b"\0\0" else None
    if kind is None:
        got = head.hex(" ") or "nothing"
        msg = (
            "read_idx: the file must begin with two zeros, a dtype and a number of axes; got "
            f"{got}, {path}."
        )
        raise located(LoadError(msg))
    ndim, dtype = head[3], np.dtype(kind)
    lengths = file.read(4 * ndim)
    if len(lengths) < 4 * ndim or ndim > _MAX_AXES:
        msg = (
            f"read_idx: the file must tell at most {_MAX_AXES} lengths; got {len(lengths)} bytes "
            f"for {ndim} of them, {path}."
        )
        raise located(LoadError(msg))
    shape = struct.unpack(f">{ndim}I", lengths)
    start, size = len(head) + len(lengths), dtype.itemsize * math.prod(shape)
    if start + size > most:
        raise _wrong_size(shape, start + size, f"at most {most}", path)
    content = bytearray(size)
    read = _fill(content, file)
    if read < size or file.read(1):
        raise _wrong_size(shape, start + size, "more" if read == size else start + read, path)
    array = np.frombuffer(content, dtype)
    if not dtype.isnative:
        array = array.byteswap(inplace=True).view(dtype.newbyteorder("="))
    return array.reshape(shape)


def _fill(content: bytearray, file: BufferedIOBase) -> int:
    """Read until `content` is full or the file ends; returns the bytes read."""
    view, read = memoryview(content), 0
    while part := file.readinto(view[read : read + _PART]):
        read += part
    return read


def _wrong_size(
    shape: tuple[int, ...], wanted: int, got: object, path: str | os.PathLike[str]
) -> LoadError:
    msg = f"read_idx: for shape {shape} there must be {wanted} bytes; got {got}, {path}."
    return located(LoadError(msg))


def normalize(x: Any, mean: Any, std: Any) -> Any:
    """Subtract a mean and divide by a deviation, in float32 where `x` holds integers.

    Parameters
    ----------
    x : array, shape (...)
        Of any library, real or complex.
    mean, std : number or array, shape broadcastable to that of `x`
        One for all, or one for each channel, of shape (channels, 1, 1) for images of shape
        (n, channels, height, width). They are taken in the dtype of the result.

    Returns
    -------
    array, shape of `x`
        Of the dtype of `x`, or float32.

    Raises
    ------
    ShapeError
        If `mean` or `std` does not broadcast to the shape of `x`.
    ValueError
        If a deviation is not positive and finite.

    Examples
    --------
    >>> volta.data.normalize(np.asarray([0, 255], np.uint8), 127.5, 127.5)
    array([-1.,  1.], dtype=float32)
    """
    kind = as_dtype(x.dtype)
    if not is_inexact(kind):
        kind = as_dtype("float32")
        x = F.astype(x, kind)
    mean, std = (np.asarray(value) for value in (mean, std))
    for name, value in (("mean", mean), ("std", std)):
        if broadcast_shapes("normalize", value.shape, tuple(x.shape)) != tuple(x.shape):
            msg = (
                f"normalize: {name} must broadcast to the shape of x; got shapes {value.shape} and "
                f"{tuple(x.shape)}."
            )
            raise located(ShapeError(msg))
    if not np.all(np.isfinite(std) & (std > 0)):
        msg = f"normalize: deviations must be positive and finite; got {std}."
        raise located(ValueError(msg))
    return F.divide(F.subtract(x, mean.astype(kind.dtype)), std.astype(kind.dtype))


def to_one_hot(labels: Any, num_classes: int, dtype: Any = "float32") -> Any:
    """Row of zeros with a one at its place for each label: `F.one_hot`, every label checked.

    Parameters
    ----------
    labels : array of int, shape (...)
        Of any library, or a list of integers, which becomes a NumPy array.
    num_classes : int
    dtype : dtype
        Of the result.

    Returns
    -------
    array, shape (..., num_classes)
        Of the library of `labels`.

    Raises
    ------
    DimensionError
        If a label is negative or too large.
    DTypeError
        If labels are no integers.
    ShapeError
        If `num_classes` is negative.

    Examples
    --------
    >>> volta.data.to_one_hot(np.asarray([1, 0]), 2)
    array([[0., 1.],
           [1., 0.]], dtype=float32)
    """
    labels = labels if is_array(labels) else np.asarray(labels)
    if as_dtype(labels.dtype).kind not in ("int", "uint"):
        msg = f"to_one_hot: labels must be integers; got {labels.dtype}."
        raise located(DTypeError(msg))
    for found in (F.min(labels), F.max(labels)) if math.prod(labels.shape) else ():
        if not 0 <= int(found) < num_classes:
            msg = f"to_one_hot: labels must be from 0 to {num_classes - 1}; got {int(found)}."
            raise located(DimensionError(msg))
    return F.one_hot(labels, num_classes, dtype=dtype)
