"""The initializers of ONNX models: the named constants of the graph, which are its weights.

An ONNX file is one protobuf message. Of the wire format this takes what is needed to go through
the messages ``ModelProto``, ``GraphProto`` and ``TensorProto``; nodes and subgraphs are skipped.
Numbers that stand as they are in memory (``raw_data``, files beside the model) are mapped. Whether
a matrix is (in, out) or (out, in) depends on the node that reads it, so no layout is claimed.

The format: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto and
https://protobuf.dev/programming-guides/encoding/
"""

import functools
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from volta.io.reading import (
    Contents,
    Cursor,
    Source,
    Stored,
    broken,
    check_shape,
    dtype_named,
    mapped,
    plain,
    size_of,
    stored_plainly,
    text_of,
)

__all__ = ["read"]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types

# Fields by their numbers in onnx.proto
MODEL_GRAPH, MODEL_PROPERTIES, MODEL_PRODUCER = 7, 14, 2
GRAPH_INITIALIZER, GRAPH_SPARSE = 5, 15
KEY, VALUE = 1, 2
DIMS, DATA_TYPE, SEGMENT, NAME, RAW, EXTERNAL, LOCATION = 1, 2, 3, 8, 9, 13, 14
FLOATS, INT32S, INT64S, DOUBLES, UINT64S = 4, 5, 7, 10, 11

# Types of data by their numbers: ONNX' name, NumPy's, and the field with the numbers if not raw.
TYPES: Final = {
    1: ("FLOAT", "float32", FLOATS),
    2: ("UINT8", "uint8", INT32S),
    3: ("INT8", "int8", INT32S),
    4: ("UINT16", "uint16", INT32S),
    5: ("INT16", "int16", INT32S),
    6: ("INT32", "int32", INT32S),
    7: ("INT64", "int64", INT64S),
    9: ("BOOL", "bool", INT32S),
    10: ("FLOAT16", "float16", INT32S),
    11: ("DOUBLE", "float64", DOUBLES),
    12: ("UINT32", "uint32", UINT64S),
    13: ("UINT64", "uint64", UINT64S),
    14: ("COMPLEX64", "complex64", FLOATS),
    15: ("COMPLEX128", "complex128", DOUBLES),
    16: ("BFLOAT16", "bfloat16", INT32S),
    17: ("FLOAT8E4M3FN", "float8_e4m3fn", INT32S),
    18: ("FLOAT8E4M3FNUZ", "float8_e4m3fnuz", INT32S),
    19: ("FLOAT8E5M2", "float8_e5m2", INT32S),
    20: ("FLOAT8E5M2FNUZ", "float8_e5m2fnuz", INT32S),
    24: ("FLOAT8E8M0", "float8_e8m0fnu", INT32S),
}
FIXED: Final = {FLOATS: "<f4", DOUBLES: "<f8"}  # fields whose numbers have a fixed width
BITS_IN_INT32: Final = frozenset(("float16", "bfloat16"))  # and the 8-bit floats


class _Field(NamedTuple):
    """A field of a message: an integer, or where its bytes begin and end."""

    number: int
    wire: int
    value: int
    start: int
    end: int


def read(source: Source) -> Contents:
    """Read the list of initializers of a mapped model."""
    tensors: dict[str, Stored] = {}
    metadata: dict[str, str] = {}
    graphs = 0
    for field in _fields(source.buffer, 0, len(source.buffer)):
        if field.number == MODEL_PROPERTIES:
            key, value = _property(source.buffer, field)
            metadata[key] = value
        elif field.number == MODEL_PRODUCER:
            metadata.setdefault("producer_name", _text(source.buffer, field, "the producer"))
        elif field.number == MODEL_GRAPH:
            graphs += 1
            _read_graph(source, _message(field), tensors)
    if graphs != 1:
        broken("a model must have one graph", f"{graphs}")
    return Contents(tensors, metadata)


def _read_graph(source: Source, graph: _Field, tensors: dict[str, Stored]) -> None:
    for field in _fields(source.buffer, graph.start, graph.end):
        if field.number == GRAPH_SPARSE:
            broken("initializers must be dense", "a sparse one", "Convert it to a dense one.")
        if field.number != GRAPH_INITIALIZER:
            continue
        name, stored = _tensor(source, _message(field))
        if name in tensors:
            broken("a name must be given once", f"{plain(name)} twice")
        tensors[name] = stored


def _tensor(source: Source, message: _Field) -> tuple[str, Stored]:
    data = source.buffer
    parts: dict[int, list[_Field]] = {}
    for field in _fields(data, message.start, message.end):
        parts.setdefault(field.number, []).append(field)
    name = _text(data, parts[NAME][-1], "a name") if NAME in parts else ""
    shape = tuple(_signed(n) for field in parts.get(DIMS, ()) for n in _integers(data, field))
    kind = parts[DATA_TYPE][-1].value if DATA_TYPE in parts else 0
    if kind not in TYPES or SEGMENT in parts:
        known = ", ".join(name for name, *_ in TYPES.values())
        got = f"number {kind}{' in segments' * (SEGMENT in parts)} for {plain(name)}"
        broken(f"the type of a tensor must be one of {known}, in one piece", got, "Convert it.")
    encoding, dtype, number = TYPES[kind]
    check_shape(name, shape, dtype_named(dtype).itemsize)
    if LOCATION in parts and parts[LOCATION][-1].value == 1:
        return name, _external(source, name, encoding, dtype, shape, parts.get(EXTERNAL, []))
    if RAW in parts:
        raw = _message(parts[RAW][-1])
        size = size_of(name, shape, dtype_named(dtype).itemsize, raw.end - raw.start)
        return name, stored_plainly(source, encoding, dtype, shape, raw.start, size)
    numbers = parts.get(number, [])
    size = sum(field.end - field.start for field in numbers)
    count = math.prod(shape) * (2 if dtype.startswith("complex") else 1)
    width = np.dtype(FIXED[number]).itemsize if number in FIXED else 1
    # Before anything is made: integers take at least a byte each.
    if count * width > size or (number in FIXED and count * width != size):
        got = f"{size} bytes for {plain(name)} of shape {shape}"
        broken("a tensor must have as many numbers as its shape needs", got)
    array = functools.partial(_typed, source, name, numbers, number, dtype, shape)
    return name, Stored(encoding, dtype, shape, size, array)


def _typed(
    source: Source,
    name: str,
    fields: list[_Field],
    number: int,
    dtype: str,
    shape: tuple[int, ...],
) -> Any:
    """Array whose numbers stand in a field of their type."""
    data = b"".join(bytes(source.buffer[field.start : field.end]) for field in fields)
    if number in FIXED:
        array = np.frombuffer(data, FIXED[number]).view(dtype_named(dtype))
    else:
        integers = _varints(data)
        if len(integers) != math.prod(shape):
            got = f"{len(integers)} for {plain(name)} of shape {shape}"
            broken("a tensor must have as many numbers as its shape needs", got)
        if dtype in BITS_IN_INT32:
            array = integers.astype("<u2").view(dtype_named(dtype))
        elif dtype.startswith("float8"):
            array = integers.astype("u1").view(dtype_named(dtype))
        else:
            array = integers.astype(dtype_named(dtype))
    array = array.reshape(shape)
    if source.writable and not array.flags.writeable:
        array = array.copy()
    array.flags.writeable = source.writable
    return array


def _external(
    source: Source,
    name: str,
    encoding: str,
    dtype: str,
    shape: tuple[int, ...],
    fields: list[_Field],
) -> Stored:
    """Array in a file beside the model."""
    where = dict(_property(source.buffer, field) for field in fields)
    location = where.get("location", "")
    path = Path(location)
    if (
        not location
        or path.is_absolute()
        or "\0" in location
        or ".." in re.split(r"[/\\:]", location)
    ):
        broken(
            "external data must lie in the directory of the model",
            f"{plain(location)} for {plain(name)}",
            "Do not use this file.",
        )
    for key in ("offset", "length"):
        if not re.fullmatch(r"[0-9]{1,18}", where.get(key, "0")):
            broken(f"the {key} of external data must be a number", plain(where[key]))
    try:
        file = mapped(source.path.parent / path, source.writable)
    except OSError as error:
        got = f"{plain(location)}, {error.strerror}"
        broken("external data must be readable", got, "Fetch all files of the model.")
    size = math.prod(shape) * dtype_named(dtype).itemsize
    size_of(name, shape, dtype_named(dtype).itemsize, int(where.get("length", size)))
    cursor = Cursor(file.buffer)
    cursor.skip(int(where.get("offset", "0")), f"tensor {plain(name)}")
    return stored_plainly(file, encoding, dtype, shape, cursor.skip(size, plain(name)), size)


# The wire format


def _fields(data: Any, start: int, end: int) -> Iterator[_Field]:
    cursor = Cursor(data, start, end)
    while cursor.place < end:
        tag = _varint(cursor)
        number, wire = tag >> 3, tag & 7
        value, begin = 0, cursor.place
        if wire == VARINT:
            value = _varint(cursor)
        elif wire == BYTES:
            length = _varint(cursor)
            begin = cursor.skip(length, "a field")
        elif wire in (FIXED32, FIXED64):
            cursor.skip(4 if wire == FIXED32 else 8, "a field")
        else:
            broken("a field must have a known wire type", f"{wire} at byte {begin}")
        yield _Field(number, wire, value, begin, cursor.place)


def _varint(cursor: Cursor) -> int:
    value = shift = 0
    while True:
        byte = cursor.integer(1, "a number")
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1)
        shift += 7
        if shift >= 70:
            broken("a number must have at most 64 bits", f"more before byte {cursor.place}")


def _varints(data: bytes) -> Any:
    """All integers of packed bytes, as uint64."""
    octets = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(octets < 0x80)
    if len(data) and (not len(ends) or ends[-1] != len(data) - 1):
        broken("the file must not end before its contents do", "part of a number")
    lengths = np.diff(ends, prepend=-1)
    if len(lengths) and lengths.max() > 10:
        broken("a number must have at most 64 bits", f"{lengths.max()} bytes")
    values = np.zeros(len(ends), np.uint64)
    for i in range(int(lengths.max(initial=0))):
        has = lengths > i
        part = octets[(ends - lengths + 1 + i)[has]] & np.uint8(0x7F)
        values[has] |= part.astype(np.uint64) << np.uint64(7 * i)
    return values


def _integers(data: Any, field: _Field) -> list[int]:
    if field.wire == VARINT:
        return [field.value]
    return [int(n) for n in _varints(bytes(data[field.start : field.end]))]


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _message(field: _Field) -> _Field:
    if field.wire != BYTES:
        broken("a message must have a length", f"wire type {field.wire} at byte {field.start}")
    return field


def _text(data: Any, field: _Field, what: str) -> str:
    return text_of(bytes(data[_message(field).start : field.end]), what)


def _property(data: Any, message: _Field) -> tuple[str, str]:
    found = {KEY: "", VALUE: ""}
    for field in _fields(data, _message(message).start, message.end):
        if field.number in found:
            found[field.number] = _text(data, field, "a property")
    return found[KEY], found[VALUE]
