"""Files of images and labels, and what is done to them before training."""

import gzip
import os
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np

from volta.core.errors import DimensionError, DTypeError, LoadError
from volta.core.trace import located

__all__ = ["normalize", "read_idx", "to_one_hot"]

_DTYPES: Final = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


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
        If the file is no such file, or is shorter or longer than it says.

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
    content = Path(path).read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError) as error:
            msg = f"read_idx: the file must be gzip's to its end; got {error}, {path}."
            raise located(LoadError(msg)) from None
    kind = _DTYPES.get(content[2]) if len(content) >= 4 and content[:2] == b"\0\0" else None
    if kind is None:
        msg = (
            "read_idx: the file must begin with two zeros, a dtype and a number of axes; got "
            f"{content[:4].hex(' ') or 'nothing'}, {path}."
        )
        raise located(LoadError(msg))
    start = 4 + 4 * content[3]
    if len(content) < start:
        msg = f"read_idx: it must tell {content[3]} lengths; got {len(content)} bytes, {path}."
        raise located(LoadError(msg))
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    dtype = np.dtype(kind)
    wanted = start + dtype.itemsize * int(np.prod(shape, dtype=object))
    if len(content) != wanted:
        size = len(content)
        msg = f"read_idx: for shape {shape} there must be {wanted} bytes; got {size}, {path}."
        raise located(LoadError(msg))
    array = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return array.astype(dtype.newbyteorder("="))  # to be written to as well


def normalize(x: Any, mean: Any, std: Any) -> Any:
    """Subtract a mean and divide by a deviation, in float32 where `x` holds integers.

    Parameters
    ----------
    x : array, shape (...)
    mean, std : number or array, shape broadcastable to that of `x`

    Returns
    -------
    array, shape of `x`

    Raises
    ------
    ValueError
        If a deviation is 0.

    Examples
    --------
    >>> volta.data.normalize(np.asarray([0, 255], np.uint8), 127.5, 127.5)
    array([-1.,  1.], dtype=float32)
    """
    if np.any(np.asarray(std) == 0):
        msg = f"normalize: deviations must not be 0; got {std}."
        raise located(ValueError(msg))
    if isinstance(x, np.ndarray) and x.dtype.kind in "biu":
        x = x.astype(np.float32)
    return (x - mean) / std


def to_one_hot(labels: Any, num_classes: int, dtype: Any = "float32") -> Any:
    """Row of zeros with a one at its place for each label.

    Parameters
    ----------
    labels : array of int, shape (...)
    num_classes : int
    dtype : dtype
        Of the result.

    Returns
    -------
    numpy.ndarray, shape (..., num_classes)

    Raises
    ------
    DimensionError
        If a label is negative or too large.
    DTypeError
        If labels are no integers.

    Examples
    --------
    >>> volta.data.to_one_hot(np.asarray([1, 0]), 2)
    array([[0., 1.],
           [1., 0.]], dtype=float32)
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        msg = f"to_one_hot: labels must be integers; got {labels.dtype}."
        raise located(DTypeError(msg))
    outside = labels[(labels < 0) | (labels >= num_classes)]
    if outside.size:
        msg = f"to_one_hot: labels must be from 0 to {num_classes - 1}; got {outside[0]}."
        raise located(DimensionError(msg))
    return np.eye(num_classes, dtype=dtype)[labels]
