"""The initializers of ONNX models: the named constants of the graph, which are its weights.

An ONNX file is one protobuf message. Of the wire format this takes what is needed to go through
the messages ``ModelProto``, ``GraphProto`` and ``TensorProto``; nodes and subgraphs are skipped.
Numbers that stand as they are in memory (``raw_data``, files beside the model) are mapped. Whether
a matrix is (in, out) or (out, in) depends on the node that reads it, so no layout is claimed but
by the model's properties. Written is a model of initializers alone.

The format: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto and
https://protobuf.dev/programming-guides/encoding/
"""

import functools
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from volta.io.reading import (
    MAX_AXES,
    OF_TENSOR,
    Contents,
    Cursor,
    Source,
    Stored,
    add,
    broken,
    check_shape,
    dtype_named,
    mapped,
    plain,
    shortened,
    size_of,
    stored_plainly,
    text_of,
)
from volta.io.writing import octets

__all__ = ["DTYPES", "read", "write"]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types

# Fields by their numbers in onnx.proto
MODEL_GRAPH, MODEL_PROPERTIES, MODEL_PRODUCER = 7, 14, 2
GRAPH_INITIALIZER, GRAPH_SPARSE = 5, 15
KEY, VALUE = 1, 2
EXTERNAL_KEYS: Final = ("location", "offset", "length")
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
DTYPES: Final = tuple(dtype for _, dtype, _ in TYPES.values())
# Fields whose numbers have a fixed width: their dtype, and the wire type of one alone.
FIXED: Final = {FLOATS: ("<f4", FIXED32), DOUBLES: ("<f8", FIXED64)}
BITS_IN_INT32: Final = frozenset(("float16", "bfloat16"))  # and the 8-bit floats
AT_ONCE: Final = 2**13  # bytes of integers

# What is written: the version of the format and of its operations, of March 2024.
IR_VERSION, OPERATIONS = 10, 21
MODEL_IR, MODEL_OPERATIONS, OPERATIONS_VERSION, GRAPH_NAME = 1, 8, 2, 2
MAX_SIZE: Final = 2**31 - 1  # of a message, in bytes: protobuf's own limit


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
    files: dict[str, Source] = {}  # beside the model, each mapped once
    graphs = 0
    for field in _fields(source.buffer, 0, len(source.buffer)):
        if field.number == MODEL_PROPERTIES:
            key, value = _property(source.buffer, field)
            metadata[key] = value
        elif field.number == MODEL_PRODUCER:
            metadata.setdefault("producer_name", _text(source.buffer, field, "the producer"))
        elif field.number == MODEL_GRAPH:
            graphs += 1
            _read_graph(source, _message(field), tensors, files)
    if graphs != 1:
        broken("a model must have one graph", f"{graphs}")
    return Contents(tensors, metadata)


def _read_graph(
    source: Source, graph: _Field, tensors: dict[str, Stored], files: dict[str, Source]
) -> None:
    for field in _fields(source.buffer, graph.start, graph.end):
        if field.number == GRAPH_SPARSE:
            broken("initializers must be dense", "a sparse one", "Convert it to a dense one.")
        if field.number != GRAPH_INITIALIZER:
            continue
        name, stored = _tensor(source, _message(field), files)
        add(tensors, name, stored, memory=OF_TENSOR)


def _tensor(source: Source, message: _Field, files: dict[str, Source]) -> tuple[str, Stored]:
    data = source.buffer
    last: dict[int, _Field] = {}  # of each field, which counts where there are several
    dims: list[int] = []
    where: dict[str, str] = {}
    sizes = dict.fromkeys((FLOATS, INT32S, INT64S, DOUBLES, UINT64S), 0)
    for field in _fields(data, message.start, message.end):
        if field.number == DIMS:
            dims += _dims(data, field, MAX_AXES - len(dims))
        elif field.number == EXTERNAL:
            key, value = _property(data, field)
            if key in EXTERNAL_KEYS:
                where[key] = value
        elif field.number in sizes:
            sizes[field.number] += field.end - field.start
        elif field.number in (DATA_TYPE, SEGMENT, NAME, RAW, LOCATION):
            last[field.number] = field
    name = _text(data, last[NAME], "a name") if NAME in last else ""
    shape = tuple(dims)
    kind = last[DATA_TYPE].value if DATA_TYPE in last else 0
    if kind not in TYPES or SEGMENT in last:
        known = ", ".join(name for name, *_ in TYPES.values())
        got = f"number {kind}{' in segments' * (SEGMENT in last)} for {plain(name)}"
        broken(f"the type of a tensor must be one of {known}, in one piece", got, "Convert it.")
    encoding, dtype, number = TYPES[kind]
    check_shape(name, shape, dtype_named(dtype).itemsize)
    if LOCATION in last and last[LOCATION].value == 1:
        return name, _external(source, name, encoding, dtype, shape, where, files)
    if RAW in last:
        raw = _message(last[RAW])
        size = size_of(name, shape, dtype_named(dtype).itemsize, raw.end - raw.start)
        return name, stored_plainly(source, encoding, dtype, shape, raw.start, size)
    size = sizes[number]
    count = math.prod(shape) * (2 if dtype.startswith("complex") else 1)
    width = np.dtype(FIXED[number][0]).itemsize if number in FIXED else 1
    # Before anything is made: integers take at least a byte each.
    if count * width > size or (number in FIXED and count * width != size):
        got = f"{size} bytes for {plain(name)} of shape {shortened(shape)}"
        broken("a tensor must have as many numbers as its shape needs", got)
    array = functools.partial(_typed, source, name, message, number, dtype, shape)
    return name, Stored(encoding, dtype, shape, size, array)


def _typed(
    source: Source, name: str, message: _Field, number: int, dtype: str, shape: tuple[int, ...]
) -> Any:
    """Array whose numbers stand in fields of their type."""
    into = np.dtype(FIXED[number][0] if number in FIXED else _integers_of(dtype))
    count = math.prod(shape) * (2 if number in FIXED and dtype.startswith("complex") else 1)
    array: Any = np.empty(count, into)
    place = 0
    for field in _fields(source.buffer, message.start, message.end):
        if field.number == number:
            for some in _numbers(source.buffer, field, number):
                if place + len(some) > count:
                    place = count + 1
                    break
                array[place : place + len(some)] = some.astype(into)
                place += len(some)
    if place != count:
        got = f"{'more' if place > count else place} for {plain(name)} of shape {shortened(shape)}"
        broken("a tensor must have as many numbers as its shape needs", got)
    array = array.view(dtype_named(dtype)).reshape(shape)
    array.flags.writeable = source.writable
    return array


def _integers_of(dtype: str) -> str:
    """Dtype of the integers that stand for numbers of a dtype, or for their bits."""
    if dtype in BITS_IN_INT32:
        return "<u2"
    return "u1" if dtype.startswith("float8") else dtype_named(dtype).str


def _numbers(data: Any, field: _Field, number: int) -> Iterator[Any]:
    """Arrays of the numbers in a field, one or many in a row."""
    code, alone = FIXED.get(number, ("", VARINT))
    if field.wire not in (BYTES, alone):
        broken("numbers must have the wire type of their field", f"{field.wire}")
    if code:
        yield np.frombuffer(bytes(data[field.start : field.end]), code)
    else:
        yield from _varints(data, field.start, field.end)


def _external(
    source: Source,
    name: str,
    encoding: str,
    dtype: str,
    shape: tuple[int, ...],
    where: dict[str, str],
    files: dict[str, Source],
) -> Stored:
    """Array in a file beside the model."""
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
    if location not in files:
        try:
            files[location] = mapped(source.path.parent / path, source.writable)
        except OSError as error:
            got = f"{plain(location)}, {error.strerror}"
            broken("external data must be readable", got, "Fetch all files of the model.")
    file = files[location]
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


def _varints(data: Any, start: int, end: int) -> Iterator[Any]:
    """All integers between two places, as arrays of uint64."""
    while start < end:
        octets = np.frombuffer(bytes(data[start : min(end, start + AT_ONCE)]), np.uint8)
        ends = np.flatnonzero(octets < 0x80)
        lengths = np.diff(ends, prepend=-1)
        if lengths.max(initial=0) > 10 or (not len(ends) and len(octets) > 10):
            broken("a number must have at most 64 bits", f"more after byte {start}")
        if not len(ends):
            broken("the file must not end before its contents do", "part of a number")
        values = np.zeros(len(ends), np.uint64)
        for i in range(int(lengths.max())):
            has = lengths > i
            part = octets[(ends - lengths + 1 + i)[has]] & np.uint8(0x7F)
            values[has] |= part.astype(np.uint64) << np.uint64(7 * i)
        yield values
        start += int(ends[-1]) + 1


def _dims(data: Any, field: _Field, room: int) -> list[int]:
    """Sizes in a field, one or many in a row, if there is room for them."""
    if field.wire == VARINT:
        found = [field.value]
    else:
        # A number has at most 10 bytes, so that more than these are too many numbers.
        end = min(_message(field).end, field.start + 10 * MAX_AXES + 1)
        found = [int(n) for some in _varints(data, field.start, end) for n in some]
    if len(found) > room:
        broken(f"a shape must have at most {MAX_AXES} axes", "more")
    return [_signed(n) for n in found]


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


# Writing


def write(
    arrays: Mapping[str, Any], metadata: Mapping[str, str], path: str | os.PathLike[str]
) -> None:
    """Write a model whose graph is the arrays as initializers, and its properties the metadata."""
    kinds = {dtype: kind for kind, (_, dtype, _) in TYPES.items()}
    heads: dict[str, bytes] = {}
    size = 0
    for name, array in arrays.items():
        if not name:
            msg = "save_file: a tensor in an ONNX file must have a name; got ''. Rename it."
            raise ValueError(msg)
        head = b"".join(_number(DIMS, n) for n in array.shape)
        head += _number(DATA_TYPE, kinds[array.dtype.name]) + _bytes(NAME, name.encode())
        head += _head(RAW, array.nbytes)
        heads[name] = _head(GRAPH_INITIALIZER, len(head) + array.nbytes) + head
        size += len(heads[name]) + array.nbytes
    graph = _bytes(GRAPH_NAME, b"weights")
    model = _number(MODEL_IR, IR_VERSION)
    model += _bytes(MODEL_OPERATIONS, _number(OPERATIONS_VERSION, OPERATIONS))
    for key, value in metadata.items():
        if key == "producer_name":
            model += _bytes(MODEL_PRODUCER, value.encode())
        else:
            item = _bytes(KEY, key.encode()) + _bytes(VALUE, value.encode())
            model += _bytes(MODEL_PROPERTIES, item)
    model += _head(MODEL_GRAPH, len(graph) + size) + graph
    if len(model) + size > MAX_SIZE:
        msg = (
            f"save_file: an ONNX file must have at most {MAX_SIZE} bytes; got {len(model) + size}. "
            "Save another format."
        )
        raise ValueError(msg)
    with open(path, "wb") as file:
        file.write(model)
        for name, array in arrays.items():
            file.write(heads[name])
            file.write(octets(array))


def _number(number: int, value: int) -> bytes:
    return _written(number << 3 | VARINT) + _written(value)


def _bytes(number: int, data: bytes) -> bytes:
    return _head(number, len(data)) + data


def _head(number: int, size: int) -> bytes:
    """What stands before the bytes of a field."""
    return _written(number << 3 | BYTES) + _written(size)


def _written(n: int) -> bytes:
    data = bytearray()
    while n >= 0x80:
        data.append(n & 0x7F | 0x80)
        n >>= 7
    data.append(n)
    return bytes(data)
