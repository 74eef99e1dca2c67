"""The Rust framework's files: a map of name to numbers and shape, as bincode writes it.

bincode 2, "standard" configuration: little-endian, integers of variable length (below 251 one
byte; 251, 252, 253 before 2, 4, 8 bytes). A file is the number of tensors, then for each its name
(length, UTF-8), its numbers (count, float32) and its shape (count, sizes). Weights of `Linear` are
(in, out), as here.

The format: https://github.com/bincode-org/bincode/blob/trunk/docs/spec.md
"""

import os
from collections.abc import Mapping
from typing import Any, Final

from volta.io.reading import (
    MAX_AXES,
    OF_TENSOR,
    Contents,
    Cursor,
    Source,
    Stored,
    add,
    broken,
    plain,
    size_of,
    stored_plainly,
)
from volta.io.writing import octets

__all__ = ["DTYPES", "read", "write"]

DTYPES: Final = ("float32",)
WIDTHS: Final = {251: 2, 252: 4, 253: 8}


def read(source: Source) -> Contents:
    """Read the names and shapes of a mapped file."""
    cursor = Cursor(source.buffer)
    tensors: dict[str, Stored] = {}
    for _ in range(_integer(cursor, "the number of tensors")):
        name = cursor.text(_integer(cursor, "a name"), "a name")
        count = _integer(cursor, "the numbers of a tensor")
        start = cursor.skip(4 * count, f"the numbers of {plain(name)}")
        axes = _integer(cursor, "a shape")
        if axes > MAX_AXES:
            broken(f"a shape must have at most {MAX_AXES} axes", f"{axes} for {plain(name)}")
        shape = tuple(_integer(cursor, "a shape") for _ in range(axes))
        size = size_of(name, shape, 4, 4 * count)
        stored = stored_plainly(source, "f32", "float32", shape, start, size)
        add(tensors, name, stored, memory=OF_TENSOR)
    if cursor.place != cursor.end:
        got = f"{cursor.end - cursor.place} bytes more"
        broken("the file must end with its last tensor", got)
    return Contents(tensors, {"format": "volta"})


def write(
    arrays: Mapping[str, Any], metadata: Mapping[str, str], path: str | os.PathLike[str]
) -> None:
    """Write float32 NumPy arrays."""
    others = {key: value for key, value in metadata.items() if key != "format"}
    if others:
        msg = (
            f"save_file: a bincode file must have no metadata; got {others}. Save another format, "
            "or arrays without it."
        )
        raise ValueError(msg)
    with open(path, "wb") as file:
        file.write(_written(len(arrays)))
        for name, array in sorted(arrays.items()):  # as the Rust framework's map is
            text = name.encode()
            file.write(_written(len(text)) + text + _written(array.size))
            file.write(octets(array))
            file.write(_written(array.ndim) + b"".join(map(_written, array.shape)))


def _integer(cursor: Cursor, what: str) -> int:
    first = cursor.integer(1, what)
    if first < 251:
        return first
    if first not in WIDTHS:
        broken("an integer must have at most 64 bits", f"{first} before {what}")
    return cursor.integer(WIDTHS[first], what)


def _written(n: int) -> bytes:
    if n < 251:
        return bytes((n,))
    mark = next(mark for mark, width in WIDTHS.items() if n < 256**width)
    return bytes((mark,)) + n.to_bytes(WIDTHS[mark], "little")
