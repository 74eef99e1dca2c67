"""NumPy's files: an array (``.npy``), or a zip archive of them (``.npz``).

Only what ``allow_pickle=False`` would read is read: arrays of numbers and booleans. Metadata is a
member of its own, a text of JSON; the dtypes of ml_dtypes, which NumPy writes as bytes without a
name, are named there.

The format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

import functools
import json
import os
import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from volta.io.archive import Member, members_of, padding
from volta.io.jsontext import texts
from volta.io.reading import (
    ML_DTYPES,
    OF_TENSOR,
    Contents,
    Cursor,
    Source,
    Stored,
    broken,
    charge,
    dtype_named,
    plain,
    shortened,
    size_of,
    view,
)

__all__ = ["DTYPES", "MAGIC", "read", "write"]

MAGIC: Final = b"\x93NUMPY"
METADATA: Final = "__metadata__"
ML_KEY: Final = "numpy.dtypes"  # of the metadata: names of the dtypes that NumPy has no names for
UNNAMED: Final = "arr_0"  # what NumPy calls an array that was given no name
MAX_HEADER: Final = 65_536
MAX_METADATA: Final = 2**20  # bytes, where deflated
LENGTHS: Final = {1: 2, 2: 4, 3: 4}  # version to bytes of the header's length
HEADER: Final = re.compile(
    r"\{'descr': '([<>|=]?[a-zA-Z?]\d*)', 'fortran_order': (True|False), "
    r"'shape': \(((?:\d++,? ?)*+)\),? ?\} *\n?"  # possessive: no run of digits is split
)
CODES: Final = {
    np.dtype(name).str[1:]: name
    for name in (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64", "complex64", "complex128"),
    )
}
DTYPES: Final = (*CODES.values(), *sorted(ML_DTYPES))


def read(source: Source) -> Contents:
    """Read the headers of a mapped ``.npy`` or ``.npz`` file."""
    if source.buffer[: len(MAGIC)] == MAGIC:
        whole = Member(UNNAMED, source.buffer, 0, len(source.buffer), len(source.buffer), False, 0)
        return Contents({UNNAMED: _stored(source, whole, {})}, {})
    members = members_of(source)
    metadata = _metadata(members.pop(f"{METADATA}.npy", None))
    dtypes = _texts(metadata.pop(ML_KEY, "{}"))
    tensors: dict[str, Stored] = {}
    for name, member in members.items():
        if not name.endswith(".npy"):
            broken("the members of an .npz file must be .npy files", plain(name))
        charge(OF_TENSOR)
        tensors[name.removesuffix(".npy")] = _stored(source, member, dtypes)
    return Contents(tensors, metadata)


def write(
    arrays: Mapping[str, Any], metadata: Mapping[str, str], path: str | os.PathLike[str]
) -> None:
    """Write NumPy arrays, uncompressed as `numpy.savez` does."""
    import zipfile  # 10 ms at import

    named = {name: x.dtype.name for name, x in arrays.items() if x.dtype.name in ML_DTYPES}
    kept = dict(metadata) | ({ML_KEY: json.dumps(named)} if named else {})
    bits = {name: x.view(f"V{x.itemsize}") if name in named else x for name, x in arrays.items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in {**bits, METADATA: np.asarray(json.dumps(kept))}.items():
            # Zip has 16 bits for a name, and its end is a NUL for some programs.
            if "\0" in name or len(name.encode()) > 0xFFF0:
                msg = f"save_file: a name in an .npz file must fit; got {plain(name)}. Rename it."
                raise ValueError(msg)
            info = zipfile.ZipInfo(f"{name}.npy")  # of 1980, so that files can be compared
            info.extra = padding(archive.start_dir, info.filename)
            with archive.open(info, "w", force_zip64=array.nbytes > 2**31) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _stored(source: Source, member: Member, dtypes: dict[str, str]) -> Stored:
    name = member.name.removesuffix(".npy")
    code, fortran, shape, start = _header(name, member.beginning(MAX_HEADER))
    kind = code.lstrip("<>|=")
    unnamed = kind.startswith("V")
    dtype = dtypes.get(name, "") if unnamed else CODES.get(kind, "")
    if dtype not in (ML_DTYPES if unnamed else DTYPES):
        broken(
            f"the dtype of an array must be one of {', '.join(DTYPES)}",
            f"{code!r} for {plain(name)}",
            "Objects and structures are not read." if kind[0] in "OV" else "Convert it first.",
        )
    in_file = dtype_named(dtype)
    if code.startswith(">"):
        in_file = in_file.newbyteorder(">")
    if unnamed and kind != f"V{in_file.itemsize}":
        broken("an element must be as long as its dtype", f"{code!r}, {dtype} for {plain(name)}")
    size_of(name, shape, in_file.itemsize, member.size - start)
    make = functools.partial(_array, source, member, start, shape, in_file, fortran)
    return Stored(code, dtype, shape, member.size - start, make)


def _header(name: str, head: bytes) -> tuple[str, bool, tuple[int, ...], int]:
    """Code of the dtype, whether columns come first, shape, and where the data begin."""
    cursor = Cursor(head)
    if cursor.take(6, "an array's header") != MAGIC:
        broken("an .npy file must begin with \\x93NUMPY", f"{head[:6]!r} for {plain(name)}")
    version = cursor.integer(1, "an array's header")
    cursor.skip(1, "an array's header")
    if version not in LENGTHS:
        broken("the version of an .npy file must be 1, 2 or 3", f"{version} for {plain(name)}")
    length = cursor.integer(LENGTHS[version], "an array's header")
    text = cursor.take(length, "an array's header").decode("latin-1")
    found = HEADER.fullmatch(text)
    if found is None:
        broken(
            "the header of an .npy file must say dtype, order and shape",
            f"{plain(text.strip())} for {plain(name)}",
            "Structures and objects are not read.",
        )
    sizes = [size.strip() for size in found[3].split(",") if size.strip()]
    if any(len(size) > 19 or " " in size for size in sizes):
        broken("a shape must be addressable", f"{plain(found[3])} for {plain(name)}")
    return found[1], found[2] == "True", tuple(map(int, sizes)), cursor.place


def _array(
    source: Source,
    member: Member,
    start: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    fortran: bool,
) -> Any:
    shape = shape[::-1] if fortran else shape
    if member.deflated:
        array: Any = np.ndarray(shape, dtype, member.contents(), start)
    else:
        if member.name != UNNAMED:  # an .npy file has no checksum
            member.check()
        array = view(source, member.start + start, shape, dtype)
    if not dtype.isnative or not array.flags.aligned:
        array = array.astype(dtype.newbyteorder("="))
    if source.writable and not array.flags.writeable:
        array = array.copy()
    array.flags.writeable = source.writable
    return array.T if fortran else array


def _metadata(member: Member | None) -> dict[str, str]:
    if member is None:
        return {}
    if member.deflated and member.size > MAX_METADATA:
        got = f"{member.size} bytes"
        must = f"metadata of more than {MAX_METADATA} bytes must be stored, not deflated"
        broken(must, got, "Save it with numpy.savez.")
    data = member.contents()
    code, _, shape, start = _header(METADATA, data)
    if shape != () or not re.fullmatch(r"<U\d+", code):
        broken("the metadata must be a text", f"{code!r} of shape {shortened(shape)}")
    charge(3 * len(data))  # the part, the text, and its bytes
    try:
        text = data[start:].decode("utf-32-le")
    except UnicodeDecodeError as error:
        broken("the metadata must be a text", str(error))
    return _texts(text)


def _texts(text: str) -> dict[str, str]:
    data = text.encode()
    return texts(data, 0, len(data), "the metadata")
