"""The safetensors format: a dictionary of named arrays to a file and back.

A file is an 8-byte little-endian length, a JSON header of that length, and the arrays' bytes::

    {"__metadata__": {"format": "volta"},
     "weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}

Writing is the safetensors package's. Reading is done here, because a mapped file needs no copy:
`read` checks everything the header says before it makes an array.

The format: https://huggingface.co/docs/safetensors/index#format
"""

import math
import os
from collections.abc import Mapping
from reprlib import repr as short
from typing import Any, Final, NamedTuple

from volta.io.jsontext import is_object, members, texts, value_of
from volta.io.reading import (
    OF_TENSOR,
    Contents,
    Source,
    add,
    broken,
    check_shape,
    plain,
    shortened,
    stored_plainly,
)

__all__ = ["read", "write"]

METADATA: Final = "__metadata__"
MAX_HEADER: Final = 100_000_000  # bytes, the reference implementation's own limit

# The format's dtypes by their names there: NumPy's or ml_dtypes' name, and bytes of an element.
DTYPES: Final = {
    "BOOL": ("bool", 1),
    "U8": ("uint8", 1),
    "I8": ("int8", 1),
    "U16": ("uint16", 2),
    "I16": ("int16", 2),
    "U32": ("uint32", 4),
    "I32": ("int32", 4),
    "U64": ("uint64", 8),
    "I64": ("int64", 8),
    "F16": ("float16", 2),
    "F32": ("float32", 4),
    "F64": ("float64", 8),
    "C64": ("complex64", 8),
    "BF16": ("bfloat16", 2),
    "F8_E4M3": ("float8_e4m3fn", 1),
    "F8_E4M3FNUZ": ("float8_e4m3fnuz", 1),
    "F8_E5M2": ("float8_e5m2", 1),
    "F8_E5M2FNUZ": ("float8_e5m2fnuz", 1),
    "F8_E8M0": ("float8_e8m0fnu", 1),
}


def read(source: Source) -> Contents:
    """Read the header of a mapped file."""
    header = _read_header(source.buffer)
    tensors = {
        name: stored_plainly(
            source,
            entry.dtype,
            DTYPES[entry.dtype][0],
            entry.shape,
            header.size + entry.begin,
            entry.end - entry.begin,
        )
        for name, entry in header.entries.items()
    }
    return Contents(tensors, header.metadata)


def write(
    arrays: Mapping[str, Any], metadata: Mapping[str, str], path: str | os.PathLike[str]
) -> None:
    """Write NumPy arrays."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    try:
        save_file(dict(arrays), path, dict(metadata))
    except SafetensorError as error:
        raise OSError(str(error)) from error


class _Entry(NamedTuple):
    """What the header says of one array. The offsets count from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class _Header(NamedTuple):
    metadata: dict[str, str]
    entries: dict[str, _Entry]
    size: int  # of the whole header, its length included


def _read_header(data: Any) -> _Header:
    size = len(data)
    if size < 8:
        broken("a file must begin with the 8-byte length of its header", f"{size} bytes")
    length = int.from_bytes(data[:8], "little")
    if length > MAX_HEADER:
        broken(f"the header must be at most {MAX_HEADER} bytes long", f"a length of {length}")
    if length > size - 8:
        broken("the header must lie within the file", f"a length of {length}, {size} bytes of file")
    first = bytes(data[8 : min(9, 8 + length)])
    if first != b"{":
        broken("the header must begin with '{'", repr(first))
    metadata: dict[str, str] = {}
    entries: dict[str, _Entry] = {}
    seen_metadata = False
    for name, start, end in members(data, 8, 8 + length, "the header"):
        if name == METADATA:
            if seen_metadata:
                broken("a name must be given once", f"{METADATA!r} twice")
            metadata, seen_metadata = _metadata(data, start, end), True
        else:
            entry = _entry(name, value_of(data, start, end, "the header"))
            add(entries, name, entry, memory=OF_TENSOR)
    _check_layout(entries, size - 8 - length)
    return _Header(metadata, entries, 8 + length)


def _metadata(data: Any, start: int, end: int) -> dict[str, str]:
    if not is_object(data, start):
        got = short(value_of(data, start, end, "the header"))
        broken("the metadata must be an object", got)
    items = texts(data, start, end, "the metadata")
    return dict(sorted(items.items()))  # the package writes it in a random order


def _entry(name: str, fields: Any) -> _Entry:
    expected = {"dtype", "shape", "data_offsets"}
    if not isinstance(fields, dict) or fields.keys() != expected:
        got = short(sorted(fields) if isinstance(fields, dict) else fields)
        broken("a tensor must have dtype, shape and data_offsets", f"{got} for {plain(name)}")
    dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        broken(
            f"the dtype of a tensor must be one of {', '.join(DTYPES)}",
            f"{short(dtype)} for {plain(name)}",
            "NumPy has no arrays of other dtypes.",
        )
    if not _are_sizes(shape):
        broken("a shape must be a list of sizes", f"{short(shape)} for {plain(name)}")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        broken("data_offsets must be a begin and an end", f"{short(offsets)} for {plain(name)}")
    itemsize = DTYPES[dtype][1]
    check_shape(name, shape, itemsize)
    begin, end = offsets
    if math.prod(shape) * itemsize != end - begin:
        broken(
            "a tensor must have as many bytes as its shape and dtype need",
            f"{end - begin} bytes for {plain(name)}, {dtype} of shape {shortened(shape)}",
        )
    return _Entry(dtype, tuple(shape), begin, end)


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(n) is int and n >= 0 for n in values)


def _check_layout(entries: dict[str, _Entry], size: int) -> None:
    """Check that the arrays, in the order of their bytes, fill the rest of the file exactly."""
    expected = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1][2:]):
        if entry.begin != expected:
            must = (
                "tensors must not overlap"
                if entry.begin < expected
                else "tensors must leave no hole"
            )
            got = f"{plain(name)} from byte {entry.begin}, after one that ends at {expected}"
            broken(must, got)
        expected = entry.end
    if expected > size:
        got = f"{size} bytes of {expected}"
        broken("the file must hold all its tensors", got, "It is cut short: fetch it again.")
    if expected < size:
        broken("the file must end with its last tensor", f"{size - expected} bytes more")
