"""PyTorch's files: a pickle of tensors, and their bytes beside it.

Since PyTorch 1.6 a file is a zip archive, with members ``data.pkl``, ``data/0``, ``data/1``, …;
before, it was four pickles, a list of storages, and their bytes in a row. In both, the pickle
calls functions such as ``torch._utils._rebuild_tensor_v2`` on storages that it names by key.
Here it is run by a machine that knows these names and no others (see `unpickling`), and a tensor
is a view of the mapped file, so that tensors which share a storage share memory.

The formats: ``torch/serialization.py`` and ``torch/_utils.py``, and
https://docs.pytorch.org/docs/stable/notes/serialization.html
"""

import functools
import math
import os
import pickle
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from volta.io.archive import members_of, padding
from volta.io.reading import (
    MAX_AXES,
    OF_ITEM,
    OF_TENSOR,
    Contents,
    Cursor,
    Source,
    Stored,
    broken,
    charge,
    check_shape,
    dtype_named,
    plain,
    shortened,
    shown,
)
from volta.io.unpickling import Known, Ordered, unpickled
from volta.io.writing import octets

__all__ = ["DTYPES", "is_one", "read", "write"]

MAX_DEVICE: Final = 20  # letters of its name
MAX_EXPANDED: Final = 2**32  # bytes of a tensor that is larger than its storage
LEGACY_MAGIC: Final = 0x1950A86A20F9469CFC6C
LEGACY_HEADS: Final = tuple(pickle.dumps(LEGACY_MAGIC, protocol=n) for n in range(2, 6))
LEGACY_PROTOCOL: Final = 1001
MAX_DEPTH: Final = 64  # of dictionaries in dictionaries
# What leaves must have of the pickle's bytes, beyond what is free: a number in a list takes 2, and
# a tensor that is mentioned again 8 or more with its name; and letters of names for each byte.
FREE_BYTES: Final = 4096
BYTES_OF_ATOM: Final = 2
BYTES_OF_TENSOR: Final = 8
MAX_LETTERS: Final = 8
BARE: Final = "tensor"  # what a tensor without a dictionary is called

# Storages by the names of their classes. One of bytes takes the dtype of each tensor.
STORAGES: Final = {
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}
BYTES: Final = "bytes"
# Dtypes without a storage class of their own, which came when storages were bytes already.
UNTYPED: Final = (
    "uint16",
    "uint32",
    "uint64",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
)
DTYPES: Final = (*STORAGES.values(), *UNTYPED)
_CLASS_OF: Final = {dtype: name for name, dtype in STORAGES.items()}


class _Storage(NamedTuple):
    """Part of a storage: which one, its dtype, and where the part begins, in elements."""

    key: str
    dtype: str
    total: int  # elements of the whole storage
    begin: int
    length: int


class _Tensor(NamedTuple):
    storage: _Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    conjugated: bool = False
    negated: bool = False


def is_one(head: bytes) -> bool:
    """Whether a file begins as PyTorch's files do."""
    name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    return head.startswith(LEGACY_HEADS) or (head.startswith(b"PK") and name.endswith(b"/data.pkl"))


def read(source: Source) -> Contents:
    """Read the pickle of a mapped file of either kind."""
    if source.buffer[:2] != b"PK":
        return _read_legacy(source)
    members = members_of(source)
    pickles = [name for name in members if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        got = ", ".join(map(plain, list(members)[:3])) or "an empty archive"
        broken("a PyTorch archive must have one data.pkl in a folder", got)
    folder = pickles[0].removesuffix("data.pkl")
    order = members.get(f"{folder}byteorder")
    swapped = order is not None and order.size == 3 and order.contents() == b"big"
    if members[pickles[0]].deflated:
        got = f"{members[pickles[0]].stored_size} bytes of {members[pickles[0]].size}"
        broken("the pickle of a PyTorch archive must be stored, not deflated", got)
    data = members[pickles[0]].contents()
    cursor = Cursor(data)
    value = unpickled(cursor, NAMES, _persistent)

    def place(storage: _Storage) -> tuple[int, int]:
        member = members.get(f"{folder}data/{storage.key}")
        if member is None or member.deflated:
            broken("the storage of a tensor must be in the archive, stored", plain(storage.key))
        return member.start, member.size

    return _contents(source, value, len(data), _Storages(source, place, swapped))


def _read_legacy(source: Source) -> Contents:
    if not bytes(source.buffer[:32]).startswith(LEGACY_HEADS):
        got = repr(bytes(source.buffer[:8]))
        broken("a PyTorch file must be an archive, or begin with its magic number", got)
    cursor = Cursor(source.buffer)
    unpickled(cursor, {}, _persistent)
    protocol = unpickled(cursor, {}, _persistent)
    if type(protocol) is not int or protocol != LEGACY_PROTOCOL:
        broken(f"the protocol of a PyTorch file must be {LEGACY_PROTOCOL}", shown(protocol))
    system = unpickled(cursor, {}, _persistent)
    swapped = isinstance(system, dict) and system.get("little_endian") is False
    value = unpickled(cursor, NAMES, _persistent)
    size = cursor.place
    keys = unpickled(cursor, {}, _persistent)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        broken("a PyTorch file must list the keys of its storages", type(keys).__name__)
    needed = {
        t.storage.key: t.storage for _, t in _Leaves(size).of(value) if isinstance(t, _Tensor)
    }
    places: dict[str, tuple[int, int]] = {}
    for key in keys:
        if key in places or key not in needed:
            broken("each storage must be listed once and used", plain(key))
        count = cursor.integer(8, "a storage", signed=True)
        length = max(count, 0) * _itemsize(needed[key].dtype)
        places[key] = cursor.skip(length, f"storage {plain(key)}"), length
    if cursor.place != cursor.end:
        broken("the file must end with its last storage", f"{cursor.end - cursor.place} bytes more")

    def place(storage: _Storage) -> tuple[int, int]:
        if storage.key not in places:
            broken("the storage of a tensor must be in the file", plain(storage.key))
        return places[storage.key]

    return _contents(source, value, size, _Storages(source, place, swapped))


# What the pickle builds


def _persistent(identifier: Any) -> _Storage:
    """Storage that a tuple ``("storage", class, key, device, count[, view])`` names."""
    match identifier:
        case ("storage", Known(name=name), str(key), str(), int(count), *rest) if len(rest) <= 1:
            pass
        case _:
            broken("a stored object must be a storage", type(identifier).__name__)
    dtype = STORAGE_CLASSES.get(name)
    if dtype is None or not 0 <= count < 2**60:
        broken("a storage must have a known class and count", f"{plain(name)}, {shown(count)}")
    match rest:
        case [] | [None]:
            begin, length = 0, count
        # Only before PyTorch 0.4, when all storages had a type.
        case [(str(), int(begin), int(length))] if (
            dtype != BYTES and 0 <= begin <= begin + length <= count
        ):
            pass
        case _:
            broken("the part of a storage must lie within it", plain(key))
    return _Storage(key, dtype, count, begin, length)


def _rebuild_tensor(args: tuple[Any, ...]) -> _Tensor:
    """``(storage, offset, size, stride, …)``: older and newer functions add what is not needed."""
    match args:
        case (_Storage() as storage, int(offset), tuple(shape), tuple(strides), *rest):
            pass
        case _:
            broken("a tensor must have storage, offset, size and strides", f"{len(args)} of them")
    metadata = rest[2] if len(rest) > 2 else {}
    return _tensor(storage, storage.dtype, offset, shape, strides, metadata)


def _rebuild_tensor_v3(args: tuple[Any, ...]) -> _Tensor:
    """The same with a dtype, over a storage of bytes."""
    match args:
        case (
            _Storage() as storage,
            int(offset),
            tuple(shape),
            tuple(strides),
            _,
            _,
            Known(name=name),
            *rest,
        ) if name.removeprefix("torch.") in DTYPES:
            pass
        case _:
            got = f"{len(args)} of them"
            broken("a tensor must have storage, offset, size, strides and dtype", got)
    metadata = rest[0] if rest else {}
    return _tensor(storage, name.removeprefix("torch."), offset, shape, strides, metadata)


def _tensor(
    storage: _Storage,
    dtype: str,
    offset: int,
    shape: tuple[Any, ...],
    strides: tuple[Any, ...],
    metadata: Any,
) -> _Tensor:
    if len(shape) != len(strides) or len(shape) > MAX_AXES:
        got = f"{len(shape)} and {len(strides)}"
        broken(f"a tensor must have a stride for each axis, at most {MAX_AXES}", got)
    for n in (offset, *shape, *strides):
        if type(n) is not int or not 0 <= n < 2**62:
            broken("offset, size and strides must be counts", shown(n))
    bits = {} if metadata is None else metadata
    if not isinstance(bits, dict) or not bits.keys() <= {"conj", "neg"}:
        broken("a tensor may be marked as conjugated or negated only", shown(bits))
    conjugated, negated = bits.get("conj", False) is True, bits.get("neg", False) is True
    kind = dtype_named(dtype).kind if conjugated or negated else ""
    if (conjugated and kind != "c") or (negated and kind not in "fc"):
        got = f"{dtype}, {'conjugated' if conjugated else 'negated'}"
        broken("what is conjugated must be complex, and what is negated real or complex", got)
    return _Tensor(storage, dtype, offset, shape, strides, conjugated, negated)


def _rebuild_parameter(args: tuple[Any, ...]) -> _Tensor:
    """``(tensor, requires_grad, hooks[, state])``."""
    if not 3 <= len(args) <= 4 or not isinstance(args[0], _Tensor):
        broken("a parameter must be a tensor", f"{len(args)} arguments")
    return args[0]


def _rebuild_from_type(args: tuple[Any, ...]) -> _Tensor:
    """``(function, class, arguments, attributes)``: a tensor that was given attributes."""
    match args:
        case (Known(call=call), Known(name=name), tuple(inner), _) if (
            # itself no more: there may be any number of them
            call and call is not _rebuild_from_type and name in CLASSES
        ):
            tensor = call(inner)
        case _:
            tensor = None
    if not isinstance(tensor, _Tensor):
        broken("a tensor with attributes must be a tensor", f"{len(args)} arguments")
    return tensor


def _ordered(args: tuple[Any, ...]) -> Ordered:
    if args:
        broken("an OrderedDict must begin empty", f"{len(args)} arguments")
    return Ordered()


def _size(args: tuple[Any, ...]) -> tuple[int, ...]:
    match args:
        # Few: a list that is remembered costs two bytes each time, and the copy its length.
        case ((*sizes,),) if len(sizes) <= MAX_AXES and all(type(n) is int for n in sizes):
            pass
        case _:
            broken(f"a torch.Size must be of at most {MAX_AXES} integers", f"{len(args)} arguments")
    return tuple(sizes)


def _device(args: tuple[Any, ...]) -> str:
    match args:
        case (str(name),) if len(name) <= MAX_DEVICE:
            text = name
        case (str(name), int(index)) if len(name) <= MAX_DEVICE and 0 <= index < 256:
            text = f"{name}:{int(index)}"
        case _:
            broken("a device must have a short name and a number", f"{len(args)} arguments")
    return text


CLASSES: Final = ("torch.Tensor", "torch.nn.parameter.Parameter")
STORAGE_CLASSES: Final = {
    **{f"torch.{name}": dtype for name, dtype in STORAGES.items()},
    **{f"torch.cuda.{name}": dtype for name, dtype in STORAGES.items()},
    "torch.UntypedStorage": BYTES,
    "torch.storage.UntypedStorage": BYTES,
}
_CALLS: Final[dict[str, Callable[[tuple[Any, ...]], Any]]] = {
    "collections.OrderedDict": _ordered,
    "torch.Size": _size,
    "torch.device": _device,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v3": _rebuild_tensor_v3,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch._tensor._rebuild_from_type_v2": _rebuild_from_type,
}
_DTYPE_NAMES: Final = tuple(f"torch.{name}" for name in DTYPES)
NAMES: Final = {
    **{name: Known(name) for name in (*CLASSES, *STORAGE_CLASSES, *_DTYPE_NAMES)},
    **{name: Known(name, call) for name, call in _CALLS.items()},
}


# From there to arrays


class _Storages:
    """The bytes of storages, each mapped or copied once."""

    def __init__(
        self, source: Source, place: Callable[[_Storage], tuple[int, int]], swapped: bool
    ) -> None:
        self.source, self.place, self.swapped = source, place, swapped
        self.cached: dict[tuple[Any, ...], Any] = {}

    def check(self, name: str, tensor: _Tensor) -> None:
        """Check that a tensor lies within its storage, and the storage in the file."""
        storage = tensor.storage
        _, size = self.place(storage)
        if storage.total * _itemsize(storage.dtype) != size:
            got = f"{size} bytes for {storage.total} of {storage.dtype}, {plain(name)}"
            broken("a storage must have as many bytes as its count needs", got)
        itemsize = dtype_named(tensor.dtype).itemsize
        check_shape(name, tensor.shape, itemsize)
        length = storage.length * _itemsize(storage.dtype) // itemsize
        last = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
        if math.prod(tensor.shape) and tensor.offset + last >= length:
            got = f"{plain(name)}, up to element {tensor.offset + last} of {length}"
            broken("a tensor must lie within its storage", got)
        if math.prod(tensor.shape) * itemsize > max(size, MAX_EXPANDED):
            must = f"a tensor larger than its storage must have at most {MAX_EXPANDED} bytes"
            broken(must, f"shape {shortened(tensor.shape)} for {plain(name)}")

    def array(self, tensor: _Tensor) -> Any:
        """Array that views its storage."""
        dtype = dtype_named(tensor.dtype)
        data = self._bytes(tensor, dtype)
        if not math.prod(tensor.shape):
            array: Any = np.empty(tensor.shape, dtype)
        else:
            begin = tensor.storage.begin * _itemsize(tensor.storage.dtype)
            steps = zip(tensor.shape, tensor.strides, strict=True)
            # The stride of an axis of one element may be anything, and more than NumPy takes.
            strides = tuple(step * dtype.itemsize if n > 1 else 0 for n, step in steps)
            start = begin + tensor.offset * dtype.itemsize
            array = np.ndarray(tensor.shape, dtype, data, start, strides)
        if not self.source.writable:
            array.flags.writeable = False
        return array

    def _bytes(self, tensor: _Tensor, dtype: np.dtype[Any]) -> Any:
        """Bytes of the whole storage, so that a copy serves all tensors over it.

        Of the tensor itself none is made, since one with strides of 0 is larger than its storage.
        """
        width = dtype.itemsize // (1 + (dtype.kind == "c")) if self.swapped else 1
        changed = tensor.conjugated or tensor.negated
        key = (tensor.storage.key, width, *(tensor[-2:] if changed else ()), changed and dtype)
        if key not in self.cached:
            start, size = self.place(tensor.storage)
            data: Any = (
                np.ndarray(size, "u1", self.source.buffer, start) if size else np.empty(0, "u1")
            )
            if width > 1:
                data = data[: size - size % width].view(f"u{width}").byteswap().view("u1")
            elif start % 8:
                data = data.copy()
            if changed:
                numbers = data[: size - size % dtype.itemsize].view(dtype)
                numbers = np.conjugate(numbers) if tensor.conjugated else numbers
                data = (np.negative(numbers) if tensor.negated else numbers).view("u1")
            self.cached[key] = data
        return self.cached[key]


def _contents(source: Source, value: Any, size: int, storages: _Storages) -> Contents:
    tensors: dict[str, Stored] = {}
    texts: dict[str, str] = {}
    own = _own_metadata(value)
    for name, leaf in _Leaves(size).of(value):
        if name in tensors or name in texts:
            broken("names must stay distinct when joined by dots", f"{plain(name)} twice")
        charge(OF_TENSOR // 2 if isinstance(leaf, _Tensor) else OF_ITEM)  # beside the pickle's
        if isinstance(leaf, _Tensor):
            storages.check(name, leaf)
            array = functools.partial(storages.array, leaf)
            itemsize = dtype_named(leaf.dtype).itemsize
            count = math.prod(leaf.shape) * itemsize
            tensors[name] = Stored(f"torch.{leaf.dtype}", leaf.dtype, leaf.shape, count, array)
        else:
            texts[name] = leaf
    texts.update(own)
    texts["format"] = "pt"
    return Contents(tensors, texts)


def _own_metadata(value: Any) -> dict[str, str]:
    """Metadata that `write` put beside PyTorch's own."""
    own = value.state.get("volta") if isinstance(value, Ordered) and value.state else None
    if not isinstance(own, dict):
        return {}
    if not all(isinstance(x, str) for pair in own.items() for x in pair):
        broken("the metadata must be text", "other objects")
    return dict(own)


class _Leaves:
    """What a pickle's dictionaries and lists hold, by names joined with dots.

    A pickle may mention one list many times, so that lists of lists have more leaves than there
    are bytes. So what is gone through is counted against the pickle's size.
    """

    def __init__(self, size: int) -> None:
        self.bytes, self.letters = FREE_BYTES + size, FREE_BYTES + MAX_LETTERS * size

    def of(self, node: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
        """Tensors, and numbers and texts as text, with their names, in order."""
        if isinstance(node, _Tensor):
            self._charge(BYTES_OF_TENSOR, name)
            yield name if depth else BARE, node
        elif isinstance(node, dict | list | tuple) and not isinstance(node, _Storage):
            self._charge(1, name)
            if depth == MAX_DEPTH:
                broken("a pickle must be a tree of dictionaries of tensors", f"{depth} levels")
            prefix = f"{name}." if depth else ""
            for key, item in node.items() if isinstance(node, dict) else enumerate(node):
                yield from self.of(item, f"{prefix}{key}", depth + 1)
        else:
            self._charge(BYTES_OF_ATOM, name)
            yield name if depth else BARE, _text_of_atom(name, node)

    def _charge(self, count: int, name: str) -> None:
        charge(sys.getsizeof(name))
        self.bytes -= count
        self.letters -= len(name)
        if self.bytes < 0 or self.letters < 0:
            got = "more objects than bytes"
            broken("a pickle must be a tree of dictionaries of tensors", got)


def _text_of_atom(name: str, value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > 256:
        return hex(value)  # Python makes no decimals of very long ones
    if value is None or isinstance(value, bool | int | float | str):
        return str(value)
    if not isinstance(value, Known) or value.name not in _DTYPE_NAMES:
        broken(
            "a PyTorch file must hold tensors, numbers and text",
            f"{shown(value)} for {plain(name)}",
            "Save a dictionary of tensors alone.",
        )
    return value.name


def _itemsize(dtype: str) -> int:
    return 1 if dtype == BYTES else dtype_named(dtype).itemsize


# Writing


def write(
    arrays: Mapping[str, Any], metadata: Mapping[str, str], path: str | os.PathLike[str]
) -> None:
    """Write NumPy arrays as ``torch.save`` writes an ``OrderedDict`` of tensors."""
    import zipfile  # 10 ms at import

    members = {
        "data.pkl": _pickled(arrays, metadata),
        "byteorder": b"little",
        **{f"data/{i}": x for i, x in enumerate(arrays.values())},
        "version": b"3\n",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(f"archive/{name}")  # of 1980, so that files can be compared
            info.extra = padding(archive.start_dir, info.filename)
            big = len(data) > 2**31 if isinstance(data, bytes) else data.nbytes > 2**31
            with archive.open(info, "w", force_zip64=big) as member:
                member.write(data if isinstance(data, bytes) else octets(data))


def _pickled(arrays: Mapping[str, Any], metadata: Mapping[str, str]) -> bytes:
    tensors = [
        _text(name) + _pickled_tensor(str(i), array)
        for i, (name, array) in enumerate(arrays.items())
    ]
    own = {k: v for k, v in metadata.items() if k != "format"}
    state = _text("volta") + pickle.EMPTY_DICT + pickle.MARK
    state += b"".join(_text(x) for pair in own.items() for x in pair) + pickle.SETITEMS
    return b"".join(
        (
            pickle.PROTO,
            b"\x02",
            _EMPTY_ORDERED,
            pickle.MARK,
            *tensors,
            pickle.SETITEMS,
            *((pickle.EMPTY_DICT, state, pickle.SETITEM, pickle.BUILD) if own else ()),
            pickle.STOP,
        )
    )


def _pickled_tensor(key: str, array: Any) -> bytes:
    dtype = array.dtype.name
    typed = dtype in _CLASS_OF
    storage = _CLASS_OF[dtype] if typed else "UntypedStorage"
    strides, count = [], 1
    for n in reversed(array.shape):
        strides.append(count)
        count *= max(n, 1)
    length = array.size if typed else array.nbytes
    return b"".join(
        (
            _name("torch._utils", "_rebuild_tensor_v2" if typed else "_rebuild_tensor_v3"),
            pickle.MARK,
            pickle.MARK,
            _text("storage"),
            _name("torch" if typed else "torch.storage", storage),
            _text(key),
            _text("cpu"),
            _integer(length),
            pickle.TUPLE,
            pickle.BINPERSID,
            _integer(0),
            _tuple(array.shape),
            _tuple(reversed(strides)),
            pickle.NEWFALSE,
            _EMPTY_ORDERED,
            b"" if typed else _name("torch", dtype),
            pickle.TUPLE,
            pickle.REDUCE,
        )
    )


def _name(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


_EMPTY_ORDERED: Final = _name("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE


def _text(text: str) -> bytes:
    data = text.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(data)) + data


def _integer(n: int) -> bytes:
    if n < 2**31:
        return pickle.BININT + struct.pack("<i", n)
    return pickle.LONG1 + b"\x08" + struct.pack("<q", n)


def _tuple(numbers: Any) -> bytes:
    return pickle.MARK + b"".join(map(_integer, numbers)) + pickle.TUPLE
