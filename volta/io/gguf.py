"""GGUF, the format of llama.cpp: typed metadata, then tensors, many of them quantized.

Shapes are turned around, so that the first axis is the slowest as in NumPy; a matrix is then
(out, in), as PyTorch's are. Blocks of quantized numbers become float32 (see `dequantization`);
metadata becomes text, lists of it JSON. Written are numbers as they are, and metadata as texts.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import functools
import io
import json
import math
import os
import re
import struct
import sys
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from volta.io.dequantization import BLOCKS, dequantized
from volta.io.reading import (
    OF_TENSOR,
    SMALL,
    Contents,
    Cursor,
    Source,
    Stored,
    add,
    broken,
    charge,
    check_shape,
    dtype_named,
    plain,
    shortened,
    stored_plainly,
)
from volta.io.writing import octets

__all__ = ["DTYPES", "MAGIC", "read", "write"]

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
MAX_DIMS: Final = 4  # ggml's own limit
MAX_DEPTH: Final = 8  # of lists in lists
MAX_NAME: Final = 63  # bytes, which ggml keeps with a NUL in 64
MAX_KEY: Final = 2**16 - 1
ALIGNMENT: Final = "general.alignment"
AT_ONCE: Final = 1024  # items of a list of metadata

# Types of metadata by their numbers: bytes, code of `struct`, and NumPy's name.
SCALARS: Final = {
    0: (1, "<B", "uint8"),
    1: (1, "<b", "int8"),
    2: (2, "<H", "uint16"),
    3: (2, "<h", "int16"),
    4: (4, "<I", "uint32"),
    5: (4, "<i", "int32"),
    6: (4, "<f", "float32"),
    7: (1, "<?", "bool"),
    10: (8, "<Q", "uint64"),
    11: (8, "<q", "int64"),
    12: (8, "<d", "float64"),
}
TEXT, LIST = 8, 9

# Types of tensors by their numbers, those whose numbers stand as they are.
PLAIN: Final = {
    0: ("F32", "float32"),
    1: ("F16", "float16"),
    24: ("I8", "int8"),
    25: ("I16", "int16"),
    26: ("I32", "int32"),
    27: ("I64", "int64"),
    28: ("F64", "float64"),
    30: ("BF16", "bfloat16"),
}
DTYPES: Final = tuple(dtype for _, dtype in PLAIN.values())
# Those in blocks that are known and not read.
OTHERS: Final = {
    15: "Q8_K",
    16: "IQ2_XXS",
    17: "IQ2_XS",
    18: "IQ3_XXS",
    19: "IQ1_S",
    20: "IQ4_NL",
    21: "IQ3_S",
    22: "IQ2_S",
    23: "IQ4_XS",
    29: "IQ1_M",
    34: "TQ1_0",
    35: "TQ2_0",
    39: "MXFP4",
}


def read(source: Source) -> Contents:
    """Read the metadata and the list of tensors of a mapped file."""
    cursor = Cursor(source.buffer)
    if cursor.take(4, "the magic bytes") != MAGIC:
        broken("a GGUF file must begin with GGUF", repr(bytes(source.buffer[:4])))
    version = cursor.integer(4, "the version")
    if version not in VERSIONS:
        advice = "It is big-endian: convert it." if version >> 16 else "Convert it with llama.cpp."
        broken("the version must be 2 or 3, little-endian", str(version), advice)
    count, items = cursor.integer(8, "the counts"), cursor.integer(8, "the counts")
    metadata = _metadata(cursor, items)
    entries: dict[str, tuple[tuple[int, ...], int, int]] = {}
    for _ in range(count):
        name = _text(cursor, "a tensor's name")
        axes = cursor.integer(4, "a tensor's axes")
        if axes > MAX_DIMS:
            broken(f"a tensor must have at most {MAX_DIMS} axes", f"{axes} for {plain(name)}")
        shape = tuple(cursor.integer(8, "a tensor's shape") for _ in range(axes))[::-1]
        entry = shape, cursor.integer(4, "a type"), cursor.integer(8, "an offset")
        add(entries, name, entry, memory=OF_TENSOR)
    text = metadata.get(ALIGNMENT, "32")
    if not _is_alignment(text):
        broken("the alignment must be a power of two below 1000000", plain(text))
    alignment = int(text)
    start = _aligned(cursor.place, alignment)
    tensors = {
        name: _stored(source, name, shape, kind, start, offset, alignment)
        for name, (shape, kind, offset) in entries.items()
    }
    _check_apart({name: (entries[name][2], tensors[name].size) for name in tensors})
    return Contents(tensors, {**metadata, "format": "pt"})


def _stored(
    source: Source,
    name: str,
    shape: tuple[int, ...],
    kind: int,
    start: int,
    offset: int,
    alignment: int,
) -> Stored:
    if offset % alignment:
        broken(f"offsets must be multiples of {alignment}", f"{offset} for {plain(name)}")
    check_shape(name, shape, 8)
    space = Cursor(source.buffer, min(start, len(source.buffer)))
    space.skip(offset, f"tensor {plain(name)}")
    if kind in PLAIN:
        encoding, dtype = PLAIN[kind]
        size = math.prod(shape) * dtype_named(dtype).itemsize
        begin = space.skip(size, f"tensor {plain(name)}")
        return stored_plainly(source, encoding, dtype, shape, begin, size)
    if kind not in BLOCKS:
        known = [name for name, _ in PLAIN.values()] + [b.name for b in BLOCKS.values()]
        got = f"{OTHERS.get(kind, f'number {kind}')} for {plain(name)}"
        broken(f"the type of a tensor must be one of {', '.join(known)}", got, "Quantize it again.")
    block = BLOCKS[kind]
    if not shape or shape[-1] % block.numbers:
        got = f"shape {shortened(shape)} for {plain(name)}"
        broken(f"rows of {block.name} must be multiples of {block.numbers} long", got)
    size = math.prod(shape) // block.numbers * block.size
    begin = space.skip(size, f"tensor {plain(name)}")
    array = functools.partial(_dequantized, source, kind, begin, size, shape)
    return Stored(block.name, "float32", shape, size, array)


def _dequantized(source: Source, kind: int, begin: int, size: int, shape: tuple[int, ...]) -> Any:
    blocks = np.ndarray((size // BLOCKS[kind].size, BLOCKS[kind].size), "u1", source.buffer, begin)
    array = dequantized(kind, blocks).reshape(shape)
    array.flags.writeable = source.writable
    return array


def _check_apart(spans: dict[str, tuple[int, int]]) -> None:
    end = 0
    for name, (begin, size) in sorted(spans.items(), key=lambda item: item[1]):
        if begin < end:
            got = f"{plain(name)} from byte {begin}, after one that ends at {end}"
            broken("tensors must not overlap", got)
        end = begin + size


# Metadata


def _metadata(cursor: Cursor, count: int) -> dict[str, str]:
    metadata: dict[str, str] = {}
    for _ in range(count):
        key, kind = _text(cursor, "a key"), cursor.integer(4, "a type")
        value = _text(cursor, "a text") if kind == TEXT else _json(cursor, kind, 0)
        add(metadata, key, value, "a key")
    return metadata


def _text(cursor: Cursor, what: str) -> str:
    return cursor.text(cursor.integer(8, what), what)


def _json(cursor: Cursor, kind: int, depth: int) -> str:
    """A value as JSON, made from the bytes piece by piece: its objects would take more memory."""
    if kind == TEXT:
        text = _text(cursor, "a text")
        width = 6 if len(text) > SMALL else 1  # control characters become \\u and four digits
        charge(width * (sys.getsizeof(text) - sys.getsizeof("")))
        return json.dumps(text, ensure_ascii=False)
    if kind in SCALARS:
        width, code, _ = SCALARS[kind]
        return json.dumps(struct.unpack(code, cursor.take(width, "a number"))[0])
    if kind != LIST or depth > MAX_DEPTH:
        broken("the metadata must be numbers, texts and lists of them", f"type {kind}")
    inner, count = cursor.integer(4, "a type"), cursor.integer(8, "a list")
    whole = io.StringIO()
    whole.write("[")
    # Every item takes bytes, so a count that is too large runs into the end of the file.
    for start in range(0, count, AT_ONCE):
        piece = _items(cursor, inner, min(AT_ONCE, count - start), depth)
        charge(16 + 2 * sys.getsizeof(piece))  # which StringIO may keep until it is asked for all
        whole.write(", " + piece if start else piece)
    whole.write("]")
    return whole.getvalue()


def _items(cursor: Cursor, kind: int, count: int, depth: int) -> str:
    """Items of a list, with commas."""
    if kind in SCALARS:
        width, _, dtype = SCALARS[kind]
        numbers = np.frombuffer(cursor.take(width * count, "a list"), dtype_named(dtype))
        return json.dumps(numbers.tolist())[1:-1]
    return ", ".join([_json(cursor, kind, depth + 1) for _ in range(count)])


def _is_alignment(text: str) -> bool:
    """Whether a text is a power of two that an alignment may be."""
    return re.fullmatch(r"[1-9][0-9]{0,5}", text) is not None and int(text).bit_count() == 1


def _aligned(place: int, alignment: int) -> int:
    return -(-place // alignment) * alignment


# Writing


def write(
    arrays: Mapping[str, Any], metadata: Mapping[str, str], path: str | os.PathLike[str]
) -> None:
    """Write NumPy arrays and metadata, all of it texts but the alignment, as version 3."""
    alignment = metadata.get(ALIGNMENT, "32")
    if not _is_alignment(alignment):
        msg = (
            f"save_file: the metadata {ALIGNMENT!r} must be a power of two below 1000000; got "
            f"{alignment!r}. Leave it out."
        )
        raise ValueError(msg)
    items = {key: value for key, value in metadata.items() if key != "format"}
    kinds = {dtype: kind for kind, (_, dtype) in PLAIN.items()}
    head = bytearray(MAGIC + struct.pack("<IQQ", VERSIONS[-1], len(arrays), len(items)))
    for key, value in items.items():
        head += _written(key, MAX_KEY, "a key")
        if key == ALIGNMENT:
            head += struct.pack("<II", 4, int(value))
        else:
            head += struct.pack("<I", TEXT) + _written(value)
    offset, align = 0, int(alignment)
    for name, array in arrays.items():
        if array.ndim > MAX_DIMS:
            msg = (
                f"save_file: a tensor in a GGUF file must have at most {MAX_DIMS} axes; got shape "
                f"{array.shape} for {name!r}. Reshape it, or save another format."
            )
            raise ValueError(msg)
        head += _written(name, MAX_NAME, "a name")
        head += struct.pack(f"<I{array.ndim}Q", array.ndim, *reversed(array.shape))
        head += struct.pack("<IQ", kinds[array.dtype.name], offset)
        offset = _aligned(offset + array.nbytes, align)
    with open(path, "wb") as file:
        file.write(head.ljust(_aligned(len(head), align), b"\0"))
        for array in arrays.values():
            file.write(octets(array))
            file.write(bytes(-array.nbytes % align))


def _written(text: str, limit: int | None = None, what: str = "") -> bytes:
    data = text.encode()
    if limit is not None and len(data) > limit:
        msg = (
            f"save_file: {what} in a GGUF file must be at most {limit} bytes long; got "
            f"{len(data)} for {plain(text)}. Rename it."
        )
        raise ValueError(msg)
    return struct.pack("<Q", len(data)) + data
