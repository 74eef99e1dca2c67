"""Small files of weights, made from code: whole ones of every format, and hostile ones."""

import io
import json
import pickle
import struct
import zipfile

import numpy as np

import volta.io.pytorch

W = np.arange(6, dtype=np.float32).reshape(2, 3)
B = np.arange(3, dtype=np.int64)


# Whole files


def safetensors_file(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def zip_file(members, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            kind = compression if isinstance(compression, int) else compression.get(name, 0)
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=kind)
    return buffer.getvalue()


def npy_file(array=W):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def pickled(**arrays):
    """Pickle of a dictionary of tensors, as in the archives."""
    return volta.io.pytorch._pickled(arrays, {"format": "pt", "step": "7"})


def torch_file(data=None, storages=(W, B), **members):
    data = pickled(w=W, b=B) if data is None else data
    parts = {"data.pkl": data, "byteorder": b"little", "version": b"3\n", **members}
    parts |= {f"data/{i}": np.asarray(x).tobytes() for i, x in enumerate(storages)}
    return zip_file({f"archive/{name}": part for name, part in parts.items()})


def legacy_file(data=None, storages=(W, B), keys=None, magic=0x1950A86A20F9469CFC6C, system=None):
    system = {"protocol_version": 1001, "little_endian": True} if system is None else system
    keys = [str(i) for i in range(len(storages))] if keys is None else keys
    return b"".join(
        (
            *(pickle.dumps(x, protocol=2) for x in (magic, 1001, system)),
            pickled(w=W, b=B) if data is None else data,
            pickle.dumps(keys, protocol=2),
            *(struct.pack("<q", x.size) + x.tobytes() for x in storages),
        )
    )


def bincode_file(*tensors):
    """Tensors of (name, numbers, shape), all counts below 251."""
    return bytes([len(tensors)]) + b"".join(
        bytes([len(name)])
        + name
        + bytes([len(x)])
        + np.asarray(x, "<f4").tobytes()
        + bytes([len(shape), *shape])
        for name, x, shape in tensors
    )


def gguf_text(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def gguf_file(tensors=None, items=(), data=None, version=3, count=None, alignment=32):
    """Tensors of (name, shape from the fastest axis, type, offset); items of (key, type, value)."""
    if tensors is None:
        tensors = [("w", (3, 2), 0, 0), ("q", (32, 1), 8, 32)]
    head = b"GGUF" + struct.pack(
        "<IQQ", version, len(tensors) if count is None else count, len(items)
    )
    for key, kind, value in items:
        head += gguf_text(key) + struct.pack("<I", kind) + value
    for name, shape, kind, offset in tensors:
        head += gguf_text(name) + struct.pack(
            f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset
        )
    if data is None:
        data = W.tobytes().ljust(32, b"\0") + np.float16(0.5).tobytes() + bytes(range(32))
    return head.ljust(-(-len(head) // alignment) * alignment, b"\0") + data


def varint(n):
    n &= 2**64 - 1
    out = b""
    while n >= 0x80:
        out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
    return out + bytes([n])


def field(number, value):
    """Field of a protobuf message: an integer, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def onnx_tensor(name=b"w", dims=(2, 3), kind=1, **fields):
    numbers = {"raw": 9, "floats": 4, "int32s": 5, "external": 13, "location": 14, "segment": 3}
    fields = fields or {"raw": W.tobytes()}
    body = b"".join(field(1, n) for n in dims) + field(2, kind) + field(8, name)
    for key, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            body += field(numbers[key], one)
    return body


def onnx_file(*tensors, graph=b""):
    return field(1, 8) + field(7, b"".join(field(5, x) for x in tensors) + graph)


def entry(key, value):
    return field(1, key) + field(2, value)


WHOLE = {
    "safetensors": (
        ".safetensors",
        safetensors_file(
            {
                "__metadata__": {"format": "pt"},
                "w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
                "b": {"dtype": "I64", "shape": [3], "data_offsets": [24, 48]},
            },
            W.tobytes() + B.tobytes(),
        ),
    ),
    "pytorch": (".pt", torch_file()),
    "legacy": (".pth", legacy_file()),
    "npz": (".npz", zip_file({"w.npy": npy_file(W), "b.npy": npy_file(B)})),
    "deflated": (".npz", zip_file({"w.npy": npy_file(W), "b.npy": npy_file(B)}, 8)),
    "npy": (".npy", npy_file()),
    "bincode": (".bin", bincode_file((b"w", W.ravel(), (2, 3)), (b"b", [1.0], (1,)))),
    "gguf": (
        ".gguf",
        gguf_file(
            items=[
                ("general.name", 8, gguf_text("a")),
                ("n", 9, struct.pack("<IQ", 4, 2) + struct.pack("<II", 1, 2)),
            ]
        ),
    ),
    "onnx": (
        ".onnx",
        onnx_file(onnx_tensor(), onnx_tensor(b"b", (3,), 7, raw=B.tobytes()))
        + field(14, entry(b"a", b"b")),
    ),
}


# Pickles that would run something: `target` is a file that it would make


def _short(text):
    return b"\x8c" + bytes([len(text)]) + text.encode()


def _touch(target):
    return f"touch {target}"


ATTACKS = {
    "system": lambda t: b"\x80\x02cos\nsystem\n" + _short(_touch(t)) + b"\x85R.",
    "posix": lambda t: b"\x80\x02cposix\nsystem\n" + _short(_touch(t)) + b"\x85R.",
    "eval": lambda t: b"\x80\x02cbuiltins\neval\n" + _short(f"open({t!r},'w')") + b"\x85R.",
    "exec": lambda t: b"\x80\x02c__builtin__\nexec\n" + _short(f"open({t!r},'w')") + b"\x85R.",
    "stack global": lambda t: (
        b"\x80\x04" + _short("os") + _short("system") + b"\x93" + _short(_touch(t)) + b"\x85R."
    ),
    "dotted": lambda t: (
        b"\x80\x04"
        + _short("torch")
        + _short("os.system")
        + b"\x93"
        + _short(_touch(t))
        + b"\x85R."
    ),
    "instance": lambda t: b"(" + _short(_touch(t)) + b"ios\nsystem\n.",
    "object": lambda t: b"(cos\nsystem\n" + _short(_touch(t)) + b"o.",
    "new object": lambda t: b"\x80\x02cbuiltins\nopen\n" + _short(t) + _short("w") + b"\x86\x81.",
    "new object, keywords": lambda t: b"\x80\x04cbuiltins\nopen\n" + _short(t) + b"\x85}\x92.",
    "extension": lambda t: b"\x80\x02\x82\x01.",
    "subprocess": lambda t: (
        b"\x80\x02csubprocess\nPopen\n" + _short(_touch(t)) + b"K\xff\x88\x87R."
    ),
    "torch.load": lambda t: b"\x80\x02ctorch\nload\n" + _short(t) + b"\x85R.",
    "attribute of what is known": lambda t: (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2.__globals__\n."
    ),
    "state": lambda t: (
        b"\x80\x02ctorch\nFloatStorage\n}" + _short("__class__") + b"cos\nsystem\nsb."
    ),
    "function in a rebuilt type": lambda t: (
        b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nctorch\nTensor\n"
        + _short(_touch(t))
        + b"\x85}tR."
    ),
    "call of text": lambda t: b"\x80\x02" + _short("os.system") + _short(_touch(t)) + b"\x85R.",
    "call of a class": lambda t: b"\x80\x02ctorch\nTensor\n)R.",
    "nested pickle": lambda t: b"\x80\x02c_pickle\nloads\n" + b"C\x08cos\nx\n..." + b"\x85R.",
}


# Files that break a rule: suffix, bytes, and what the message says


def _tensor(dtype="F32", shape=(2, 3), begin=0, end=24):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def _storage(kind="ctorch\nFloatStorage\n", key="0", count=b"K\x06"):
    return b"(" + _short("storage") + kind.encode() + _short(key) + _short("cpu") + count + b"tQ"


def rebuilt(storage=None, offset=b"K\x00", shape=b"K\x02K\x03\x86", strides=b"K\x03K\x01\x86"):
    """Pickle of one tensor whose parts are given."""
    storage = _storage() if storage is None else storage
    return (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + offset
        + shape
        + strides
        + b"\x89ccollections\nOrderedDict\n)RtR."
    )


def _flagged(storage, flag):
    """Pickle of two elements that are marked as conjugated or negated."""
    whole = rebuilt(storage, shape=b"K\x02\x85", strides=b"K\x01\x85")
    return whole[:-3] + b"}" + _short(flag.decode()) + b"\x88stR."


def _long(count):
    """An integer of so many bytes in a pickle."""
    return b"\x8b" + struct.pack("<I", count) + b"\x7f" * count


def _patched(data, old, new, nth=0):
    place = -1
    for _ in range(nth + 1):
        place = data.index(old, place + 1)
    return data[:place] + new + data[place + len(old) :]


def _two_in_one_place():
    """An archive whose second record names the first member's bytes."""
    data = bytearray(zip_file({"a.npy": npy_file(), "b.npy": npy_file()}))
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    data[second + 42 : second + 46] = bytes(4)
    data[second + 46 : second + 51] = b"a.npy"
    return bytes(data)


def _overlapping():
    inner = b"PK\x03\x04" + bytes(22) + struct.pack("<HH", 5, 0) + b"b.npy" + npy_file(B)
    data = bytearray(zip_file({"a.npy": inner, "b.npy": npy_file(B)}))
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    data[second + 42 : second + 46] = struct.pack("<I", data.index(inner))
    return bytes(data)


def _lists_of_lists():
    """60 lists of the one before, twice: more leaves than there are atoms, in 300 bytes."""
    return b"\x80\x02]" + b"2\x86" * 60 + b"."


def _names_of_names():
    """Dictionaries in dictionaries, all under one long key that is written once."""
    key = b"X" + struct.pack("<I", 50_000) + b"k" * 50_000 + b"q\x00"
    return b"\x80\x02" + key + b"K\x01" + b"q\x01}h\x00h\x01s" * 40 + b"."


NO_NUMBERS = b'"%b":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
LIE = (2**62).to_bytes(8, "little")
HOSTILE = {
    # safetensors; the rest of its rules are in test_safetensors.py
    "safetensors: header of an exabyte": (
        ".safetensors",
        LIE + b"{}",
        "the header must be at most",
    ),
    "safetensors: header past the end": (
        ".safetensors",
        (10**7).to_bytes(8, "little") + b"{}",
        "the header must lie within the file",
    ),
    "safetensors: cut": (".safetensors", WHOLE["safetensors"][1][:-1], "the file must hold all"),
    "safetensors: overlap": (
        ".safetensors",
        safetensors_file({"a": _tensor(), "b": _tensor(begin=12, end=36)}, bytes(36)),
        "tensors must not overlap",
    ),
    "safetensors: twice": (
        ".safetensors",
        safetensors_file(b"{" + b",".join([NO_NUMBERS % b"w"] * 2) + b"}"),
        "a name must be given once; got 'w' twice",
    ),
    "safetensors: shape of an exabyte": (
        ".safetensors",
        safetensors_file({"a": _tensor(shape=(2**30, 2**30))}, bytes(24)),
        "a tensor must have as many bytes|a shape must be addressable",
    ),
    "safetensors: metadata twice": (
        ".safetensors",
        safetensors_file(b'{"__metadata__":{},"__metadata__":{}}'),
        "a name must be given once; got '__metadata__' twice",
    ),
    "safetensors: names of megabytes": (
        ".safetensors",
        safetensors_file(b"{" + b",".join([NO_NUMBERS % (b"w" * 10**6)] * 2) + b"}"),
        "a name must be given once; got .{1,100} twice",
    ),
    "safetensors: long value": (
        ".safetensors",
        safetensors_file(b'{"w":[' + b"[]," * 10**5 + b"[]]}"),
        "a value in the header must be at most 16384 bytes long; got 300004 at byte 13",
    ),
    "safetensors: comma at the end": (
        ".safetensors",
        safetensors_file(b"{" + NO_NUMBERS % b"w" + b",}"),
        "the header must be JSON; got a broken member at byte",
    ),
    # the index of shards
    "index: itself": (
        ".index.json",
        b'{"weight_map": {"w": "file.index.json"}}',
        "a shard must be one of .*, and no index",
    ),
    "index: upwards": (
        ".index.json",
        b'{"weight_map": {"w": "../secret.safetensors"}}',
        "a shard must lie in the directory of its index",
    ),
    "index: absolute": (
        ".index.json",
        b'{"weight_map": {"w": "/etc/secret.safetensors"}}',
        "a shard must lie in the directory of its index",
    ),
    "index: another drive": (
        ".index.json",
        b'{"weight_map": {"w": "C:secret.safetensors"}}',
        "a shard must lie in the directory of its index",
    ),
    "index: NUL": (
        ".index.json",
        b'{"weight_map": {"w": "a\\u0000.safetensors"}}',
        "a shard must lie in the directory of its index",
    ),
    "index: half a letter": (
        ".index.json",
        b'{"weight_map": {"w": "\\ud800.safetensors"}}',
        "an index must be UTF-8 text",
    ),
    "index: missing shard": (
        ".index.json",
        b'{"weight_map": {"w": "absent.safetensors"}}',
        "the shards of an index must be readable; got 'absent.safetensors', No such file",
    ),
    "index: no text": (".index.json", b'{"weight_map": {"w": 3}}', "a shard must be the name"),
    "index: twice": (
        ".index.json",
        b'{"weight_map": {"w": "a.bin", "w": "b.bin"}}',
        "a name must be given once",
    ),
    "index: no map": (".index.json", b"{}", "an index must have one weight_map"),
    "index: two maps": (
        ".index.json",
        b'{"weight_map": {}, "weight_map": {}}',
        "an index must have one weight_map .*; got another",
    ),
    "index: no object": (".index.json", b"[]", "an index must be an object"),
    "index: no JSON": (".index.json", b"{" * 100_000, "an index must be JSON"),
    "index: no UTF-8": (".index.json", b'{"\xff": 1}', "an index must be UTF-8"),
    "index: metadata": (
        ".index.json",
        b'{"metadata": [1], "weight_map": {}}',
        "the metadata of an index must be an object",
    ),
    # zip archives
    "zip: empty": (".npz", b"", "an archive must end with its directory"),
    "zip: cut": (".npz", WHOLE["npz"][1][:-30], "an archive must end with its directory"),
    "zip: twice": (".npz", _two_in_one_place(), "members of an archive must have names of their"),
    "zip: overlap": (".npz", _overlapping(), "members must not overlap"),
    "zip: flipped bit": (
        ".npz",
        _patched(WHOLE["npz"][1], W.tobytes(), b"\x01" + W.tobytes()[1:]),
        "must have their checksums; got .*The file is damaged",
    ),
    "zip: another name inside": (
        ".npz",
        _patched(WHOLE["npz"][1], b"w.npy", b"v.npy"),
        "a member must have its name in the directory",
    ),
    "zip: directory past the end": (
        ".npz",
        WHOLE["npz"][1][:-6] + struct.pack("<I", 2**31) + bytes(2),
        "the directory of an archive must lie before its end",
    ),
    "zip: count": (
        ".npz",
        _patched(WHOLE["npz"][1], b"\x02\x00\x02\x00", b"\x03\x00\x03\x00"),
        "the file must not end before its contents do",
    ),
    "zip: several disks": (
        ".npz",
        _patched(WHOLE["npz"][1], b"\x02\x00\x02\x00", b"\x01\x00\x02\x00"),
        "an archive must be in one piece",
    ),
    "npz: bomb": (
        ".npz",
        _patched(
            zip_file({"w.npy": npy_file(np.zeros(10**5))}, 8),
            struct.pack("<I", 8 * 10**5 + 128),
            struct.pack("<I", 2**32 - 2),
            1,
        ),
        "a member must have as many bytes as the directory says",
    ),
    "npz: size of a lie": (
        ".npz",
        _patched(
            zip_file({"w.npy": npy_file(np.zeros(1000))}, 8),
            struct.pack("<I", 8128),
            struct.pack("<I", 9000),
            1,
        ),
        "a tensor must have as many bytes",
    ),
    "npz: deflated metadata": (
        ".npz",
        zip_file({"__metadata__.npy": npy_file(np.array("x" * 2**18))}, 8),
        "metadata of more than 1048576 bytes must be stored, not deflated; got 1048",
    ),
    "npz: metadata twice": (
        ".npz",
        zip_file({"__metadata__.npy": npy_file(np.array('{"a": "b", "a": "c"}'))}),
        "a name must be given once; got 'a' twice",
    ),
    "npz: metadata of half a letter": (
        ".npz",
        zip_file({"__metadata__.npy": npy_file(np.array('{"a": "\\ud800"}'))}),
        "the metadata must be UTF-8 text",
    ),
    "npy: digits that can be split": (
        ".npy",
        b"\x93NUMPY\x01\x00\x80\x00"
        + (b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"1" * 60 + b"x)}").ljust(128),
        "the header of an .npy file must say dtype",
    ),
    "npz: objects": (
        ".npz",
        zip_file({"w.npy": npy_file(np.array([None]))}),
        "dtype of an array must be one of .* got '|O'.*Objects and structures are not read",
    ),
    "npz: no array": (
        ".npz",
        zip_file({"readme.txt": b""}),
        "members of an .npz file must be .npy",
    ),
    "npy: cut": (".npy", npy_file()[:-1], "a tensor must have as many bytes"),
    "npy: code in the header": (
        ".npy",
        b"\x93NUMPY\x01\x00\x20\x00" + b"__import__('os').system('true')\n",
        "the header of an .npy file must say dtype",
    ),
    "npy: header of four gigabytes": (
        ".npy",
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}",
        "the file must not end before its contents do",
    ),
    "npy: version": (".npy", b"\x93NUMPY\x09\x00\x00\x00", "the version of an .npy file"),
    "npy: structure": (
        ".npy",
        npy_file(np.zeros(2, [("a", "f4")])),
        "the header of an .npy file must say dtype",
    ),
    "npy: bytes without a name": (".npy", npy_file(np.zeros(2, "V2")), "dtype of an array must be"),
    "npy: size": (
        ".npy",
        npy_file().replace(b"(2, 3), }", b"(99999999999999999999,)}"),
        "a shape must be addressable",
    ),
    # PyTorch's
    "pytorch: cut": (".pt", WHOLE["pytorch"][1][:-30], "an archive must end with its directory"),
    "pytorch: flipped bit in the pickle": (
        ".pt",
        _patched(WHOLE["pytorch"][1], b"_rebuild_tensor_v2", b"_rebuild_tensor_w2"),
        "must have their checksums",
    ),
    "pytorch: no pickle": (".pt", zip_file({"a": b""}), "must have one data.pkl in a folder"),
    "pytorch: not an archive": (".pt", b"GGUF" * 9, "an archive, or begin with its magic number"),
    "pytorch: missing storage": (".pt", torch_file(storages=()), "the storage of a tensor must be"),
    "pytorch: small storage": (
        ".pt",
        torch_file(storages=(W[:1], B)),
        "a storage must have as many bytes as its count needs",
    ),
    "pytorch: past its storage": (
        ".pt",
        torch_file(rebuilt(offset=b"K\x01")),
        "a tensor must lie within its storage",
    ),
    "pytorch: strides past it": (
        ".pt",
        torch_file(rebuilt(strides=b"K\x04K\x01\x86")),
        "a tensor must lie within its storage",
    ),
    "pytorch: negative stride": (
        ".pt",
        torch_file(rebuilt(strides=b"J\xff\xff\xff\xffK\x01\x86")),
        "offset, size and strides must be counts",
    ),
    "pytorch: shape of an exabyte without strides": (
        ".pt",
        torch_file(
            rebuilt(shape=b"J\xff\xff\xff\x7f" * 3 + b"\x87", strides=b"K\x00K\x00K\x00\x87")
        ),
        "a shape must be addressable",
    ),
    "pytorch: strides of fewer axes": (
        ".pt",
        torch_file(rebuilt(strides=b"K\x01\x85")),
        "a tensor must have a stride for each axis",
    ),
    "pytorch: storage of a path": (
        ".pt",
        torch_file(rebuilt(_storage(key="../../secret"))),
        "the storage of a tensor must be in the archive",
    ),
    "pytorch: unknown storage": (
        ".pt",
        torch_file(rebuilt(_storage("ctorch\nTensor\n"))),
        "a storage must have a known class and count",
    ),
    "pytorch: no storage": (".pt", torch_file(rebuilt(b"K\x01")), "must have storage, offset"),
    "pytorch: quantized": (
        ".pt",
        torch_file(b"\x80\x02ctorch._utils\n_rebuild_qtensor\n)R."),
        "must name only what tensors need; got 'torch._utils._rebuild_qtensor'",
    ),
    "pytorch: lists of lists": (".pt", torch_file(_lists_of_lists()), "a tree of dictionaries"),
    "pytorch: itself": (".pt", torch_file(b"\x80\x02]q\x00h\x00a."), "a tree of dictionaries"),
    "pytorch: long names of long names": (".pt", torch_file(_names_of_names()), "tree of dict"),
    "pytorch: deep": (".pt", torch_file(b"\x80\x02)" + b"\x85" * 500 + b"."), "tree of dict"),
    "pytorch: deep key": (
        ".pt",
        torch_file(b"\x80\x02})" + b"\x85" * 1000 + b"K\x01s."),
        "the keys of dictionaries must be text or 64-bit integers; got tuple",
    ),
    "pytorch: two of one name": (
        ".pt",
        torch_file(
            b"\x80\x02}("
            + _short("a.b")
            + b"K\x01"
            + _short("a")
            + b"}"
            + _short("b")
            + b"K\x02su."
        ),
        "names must stay distinct when joined by dots; got 'a.b' twice",
    ),
    "pytorch: shape of shapes": (  # whose text has 2**60 letters
        ".pt",
        torch_file(rebuilt(shape=b"]" + b"2\x86" * 60 + b"K\x01\x86")),
        "offset, size and strides must be counts; got tuple",
    ),
    "pytorch: long size": (
        ".pt",
        torch_file(rebuilt(shape=_long(5000) + b"K\x01\x86")),
        "offset, size and strides must be counts; got int",
    ),
    "pytorch: long count": (
        ".pt",
        torch_file(rebuilt(_storage(count=_long(5000)))),
        "a storage must have a known class and count; got 'torch.FloatStorage', int",
    ),
    "pytorch: long key": (
        ".pt",
        torch_file(b"\x80\x02}" + _long(5000) + b"K\x01s."),
        "the keys of dictionaries must be text or 64-bit integers; got int",
    ),
    "pytorch: long device": (
        ".pt",
        torch_file(b"\x80\x02ctorch\ndevice\n" + _short("cpu") + _long(5000) + b"\x86R."),
        "a device must have a short name and a number",
    ),
    "pytorch: long name of a device": (
        ".pt",
        torch_file(b"\x80\x02ctorch\ndevice\n" + _short("c" * 21) + b"\x85R."),
        "a device must have a short name and a number",
    ),
    "pytorch: long torch.Size": (
        ".pt",
        torch_file(b"\x80\x02ctorch\nSize\n](" + b"K\x01" * 65 + b"e\x85R."),
        "a torch.Size must be of at most 64 integers",
    ),
    "pytorch: many axes": (
        ".pt",
        torch_file(rebuilt(shape=b"(" + b"K\x00" * 65 + b"t", strides=b"(" + b"K\x00" * 65 + b"t")),
        "a tensor must have a stride for each axis, at most 64",
    ),
    "pytorch: type of a type": (
        ".pt",
        torch_file(
            b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\nq\x000ctorch\nTensor\nq\x010"
            + (b"h\x00" + b"(h\x00h\x01" * 2000 + b")" + b"Nt" * 2000 + b"R.")
        ),
        "a tensor with attributes must be a tensor",
    ),
    "pytorch: negated booleans": (
        ".pt",
        torch_file(_flagged(_storage("ctorch\nBoolStorage\n", count=b"K\x18"), b"neg")),
        "what is conjugated must be complex, and what is negated real or complex; got bool",
    ),
    "pytorch: conjugated reals": (
        ".pt",
        torch_file(_flagged(_storage(), b"conj")),
        "what is conjugated must be complex, .*; got float32, conjugated",
    ),
    "pytorch: expanded to terabytes": (
        ".pt",
        torch_file(rebuilt(shape=b"\x8a\x06" + bytes(5) + b"\x01\x85", strides=b"K\x00\x85")),
        r"a tensor larger than its storage must have at most .* bytes; got shape \(1099511627776,",
    ),
    "pytorch: deflated pickle": (
        ".pt",
        zip_file({"a/data.pkl": b"\x80\x02" + b"N" * 10**6 + b"."}, 8),
        "the pickle of a PyTorch archive must be stored, not deflated; got .* bytes of 1000003",
    ),
    "pytorch: lists": (
        ".pt",
        torch_file(b"\x80\x02" + b"]" * 10**5 + b"."),
        "a pickle must have more bytes than lists and the like need; got 1367 in 1369 bytes",
    ),
    "pytorch: tensors of one": (
        ".pt",
        torch_file(rebuilt()[:-1] + b"q\x00](" + b"h\x00" * 1000 + b"e."),
        "a pickle must be a tree of dictionaries of tensors; got more objects than bytes",
    ),
    "pytorch: far number": (
        ".pt",
        torch_file(b"\x80\x02Nr\xff\xff\xff\x7f."),
        "a pickle must number what it remembers in order; got number 2147483647",
    ),
    "pytorch: empty stack": (".pt", torch_file(b"\x80\x02."), "must not take more from its stack"),
    "pytorch: below the mark": (
        ".pt",
        torch_file(b"\x80\x02K\x01(\x85."),
        "must not take more from its stack",
    ),
    "pytorch: no mark": (".pt", torch_file(b"\x80\x02t."), "a pickle must have marked its stack"),
    "pytorch: odd items": (".pt", torch_file(b"\x80\x02}(K\x01u."), "must be pairs"),
    "pytorch: nothing remembered": (".pt", torch_file(b"\x80\x02h\x05."), "must remember what it"),
    "pytorch: endless": (".pt", torch_file(b"\x80\x02N"), "the file must not end before"),
    "pytorch: text of an exabyte": (
        ".pt",
        torch_file(b"\x80\x04\x8d" + LIE + b"."),
        "the file must not end before",
    ),
    "pytorch: no UTF-8": (".pt", torch_file(b"\x80\x02\x8c\x01\xff."), "must be UTF-8 text"),
    "pytorch: bytes": (".pt", torch_file(b"\x80\x02C\x01a."), "tensors, numbers and text"),
    "pytorch: protocol": (".pt", torch_file(b"\x80\x09N."), "protocol of a pickle must be at most"),
    "pytorch: long name": (".pt", torch_file(b"c" + b"a" * 2000), "a name must be at most 1000"),
    "legacy: protocol of lists": (  # whose text has 2**60 letters
        ".pth",
        pickle.dumps(0x1950A86A20F9469CFC6C, 2) + _lists_of_lists(),
        "the protocol of a PyTorch file must be 1001; got tuple",
    ),
    "legacy: long protocol": (
        ".pth",
        pickle.dumps(0x1950A86A20F9469CFC6C, 2) + b"\x80\x02" + _long(5000) + b".",
        "the protocol of a PyTorch file must be 1001; got int",
    ),
    "legacy: cut": (".pth", WHOLE["legacy"][1][:-1], "the file must not end before"),
    "legacy: longer": (
        ".pth",
        WHOLE["legacy"][1] + b"\0",
        "the file must end with its last storage",
    ),
    "legacy: twice": (".pth", legacy_file(keys=["0", "0"]), "each storage must be listed once"),
    "legacy: unlisted": (".pth", legacy_file(storages=(W,)), "storage of a tensor must be in the"),
    "legacy: keys": (".pth", legacy_file(keys=3), "must list the keys of its storages"),
    "legacy: negative": (
        ".pth",
        _patched(WHOLE["legacy"][1], struct.pack("<q", 6), struct.pack("<q", -6)),
        "a storage must have as many bytes|the file must",
    ),
    "legacy: storage of an exabyte": (
        ".pth",
        _patched(WHOLE["legacy"][1], struct.pack("<q", 6), LIE),
        "the file must not end before",
    ),
    # the Rust framework's
    "bincode: cut": (".bin", WHOLE["bincode"][1][:-1], "the file must not end before"),
    "bincode: longer": (".bin", WHOLE["bincode"][1] + b"\0", "the file must end with its last"),
    "bincode: twice": (
        ".bin",
        bincode_file((b"w", [1.0], (1,)), (b"w", [1.0], (1,))),
        "a name must be given once",
    ),
    "bincode: count of an exabyte": (".bin", b"\xfd" + LIE, "the file must not end before"),
    "bincode: name of an exabyte": (".bin", b"\x01\xfd" + LIE, "the file must not end before"),
    "bincode: numbers of an exabyte": (".bin", b"\x01\x01w\xfd" + LIE, "must not end before"),
    "bincode: axes of an exabyte": (".bin", b"\x01\x01w\x00\xfd" + LIE, "at most 64 axes"),
    "bincode: 128 bits": (".bin", b"\xfe" + bytes(16), "an integer must have at most 64 bits"),
    "bincode: shape": (
        ".bin",
        bincode_file((b"w", [1.0], (2,))),
        "a tensor must have as many bytes",
    ),
    "bincode: no UTF-8": (".bin", bincode_file((b"\xff", [1.0], (1,))), "must be UTF-8 text"),
    # GGUF
    "gguf: cut": (".gguf", WHOLE["gguf"][1][:-1], "the file must not end before"),
    "gguf: other magic": (".gguf", b"FUGG" + bytes(20), "a GGUF file must begin with GGUF"),
    "gguf: version 1": (".gguf", gguf_file(version=1), "the version must be 2 or 3"),
    "gguf: big-endian": (".gguf", gguf_file(version=3 << 24), "must be 2 or 3.*It is big-endian"),
    "gguf: tensors without end": (".gguf", gguf_file(count=2**62), "the file must not end|UTF-8"),
    "gguf: list of an exabyte": (
        ".gguf",
        gguf_file(items=[("a", 9, struct.pack("<IQ", 4, 2**62))]),
        "the file must not end before",
    ),
    "gguf: texts of an exabyte": (
        ".gguf",
        gguf_file(items=[("a", 9, struct.pack("<IQ", 8, 2**62))]),
        "the file must not end before",
    ),
    "gguf: lists of lists": (
        ".gguf",
        gguf_file(items=[("a", 9, struct.pack("<IQ", 9, 1) * 100_000)]),
        "the metadata must be numbers, texts and lists",
    ),
    "gguf: type of metadata": (
        ".gguf",
        gguf_file(items=[("a", 99, b"")]),
        "metadata must be numbers",
    ),
    "gguf: key twice": (
        ".gguf",
        gguf_file(items=[("a", 0, b"\0"), ("a", 0, b"\0")]),
        "a key must be given once",
    ),
    "gguf: name twice": (
        ".gguf",
        gguf_file([("w", (1,), 0, 0), ("w", (1,), 0, 32)]),
        "a name must be given once",
    ),
    "gguf: overlap": (
        ".gguf",
        gguf_file([("w", (9,), 0, 0), ("v", (1,), 0, 32)], data=bytes(99)),
        "tensors must not overlap",
    ),
    "gguf: offset": (".gguf", gguf_file([("w", (1,), 0, 7)]), "offsets must be multiples of 32"),
    "gguf: axes": (
        ".gguf",
        gguf_file([("w", (1,) * 5, 0, 0)]),
        "a tensor must have at most 4 axes",
    ),
    "gguf: shape of an exabyte": (
        ".gguf",
        gguf_file([("w", (2**40, 2**40), 0, 0)]),
        "a shape must be addressable",
    ),
    "gguf: past the end": (".gguf", gguf_file([("w", (999,), 0, 0)]), "must not end before"),
    "gguf: part of a block": (".gguf", gguf_file([("w", (31,), 8, 0)]), "rows of Q8_0 must be"),
    "gguf: other type": (".gguf", gguf_file([("w", (32,), 23, 0)]), "type of a tensor .* IQ4_XS"),
    "gguf: alignment": (
        ".gguf",
        gguf_file(items=[("general.alignment", 4, bytes(4))]),
        "the alignment must be a power of two",
    ),
    "gguf: odd alignment": (
        ".gguf",
        gguf_file(items=[("general.alignment", 4, struct.pack("<I", 24))]),
        "the alignment must be a power of two below 1000000; got '24'",
    ),
    # ONNX
    "onnx: nothing": (".onnx", b"", "a model must have one graph"),
    "onnx: cut": (".onnx", WHOLE["onnx"][1][:-1], "the file must not end before"),
    "onnx: number without end": (".onnx", b"\xff" * 20, "a number must have at most 64 bits"),
    "onnx: wire type": (".onnx", b"\x0b", "a field must have a known wire type"),
    "onnx: graph is a number": (".onnx", field(7, 3), "a message must have a length"),
    "onnx: twice": (".onnx", onnx_file(onnx_tensor(), onnx_tensor()), "a name must be given once"),
    "onnx: shape": (".onnx", onnx_file(onnx_tensor(dims=(2, 4))), "must have as many bytes"),
    "onnx: negative": (".onnx", onnx_file(onnx_tensor(dims=(-2, -3))), "a list of sizes"),
    "onnx: shape of an exabyte": (
        ".onnx",
        onnx_file(onnx_tensor(dims=(2**40, 2**40))),
        "a shape must be addressable",
    ),
    "onnx: many numbers of few bytes": (
        ".onnx",
        onnx_file(onnx_tensor(dims=(2**40,), kind=6, int32s=b"\x01")),
        "a tensor must have as many numbers",
    ),
    "onnx: fewer numbers than bytes": (
        ".onnx",
        onnx_file(onnx_tensor(dims=(2,), kind=6, int32s=b"\x81\x01")),
        "a tensor must have as many numbers",
    ),
    "onnx: cut number": (
        ".onnx",
        onnx_file(onnx_tensor(dims=(2,), kind=6, int32s=b"\x01\x81")),
        "the file must not end before",
    ),
    "onnx: axes without end": (
        ".onnx",
        onnx_file(field(1, b"\x01" * 10**6) + field(2, 1) + field(8, b"w")),
        "a shape must have at most 64 axes",
    ),
    "onnx: axes one by one": (
        ".onnx",
        onnx_file(field(1, 1) * 10**5 + field(2, 1) + field(8, b"w")),
        "a shape must have at most 64 axes",
    ),
    "onnx: wire type of numbers": (
        ".onnx",
        onnx_file(onnx_tensor(dims=(2,), int32s=[]) + (varint(4 << 3) + b"\x01") * 8),
        "numbers must have the wire type of their field; got 0",
    ),
    "onnx: long number of many": (
        ".onnx",
        onnx_file(onnx_tensor(dims=(1,), kind=6, int32s=b"\xff" * 11 + b"\x01")),
        "a number must have at most 64 bits",
    ),
    "onnx: type": (".onnx", onnx_file(onnx_tensor(kind=8)), "the type of a tensor must be one of"),
    "onnx: segment": (".onnx", onnx_file(onnx_tensor(segment=b"")), "in one piece"),
    "onnx: sparse": (".onnx", onnx_file(graph=field(15, b"")), "initializers must be dense"),
    "onnx: upwards": (
        ".onnx",
        onnx_file(onnx_tensor(external=[entry(b"location", b"a/../../secret")], location=1)),
        "external data must lie in the directory of the model",
    ),
    "onnx: absolute": (
        ".onnx",
        onnx_file(onnx_tensor(external=[entry(b"location", b"/etc/passwd")], location=1)),
        "external data must lie in the directory of the model",
    ),
    "onnx: no location": (
        ".onnx",
        onnx_file(onnx_tensor(external=[], location=1)),
        "external data must lie in the directory of the model",
    ),
    "onnx: missing": (
        ".onnx",
        onnx_file(onnx_tensor(external=[entry(b"location", b"absent")], location=1)),
        "external data must be readable; got 'absent', No such file",
    ),
    "onnx: past the end of the data": (
        ".onnx",
        onnx_file(
            onnx_tensor(
                external=[entry(b"location", b"file.onnx"), entry(b"offset", b"999")], location=1
            )
        ),
        "the file must not end before",
    ),
    "onnx: offset is no number": (
        ".onnx",
        onnx_file(
            onnx_tensor(
                external=[entry(b"location", b"file.onnx"), entry(b"offset", b"-1")], location=1
            )
        ),
        "the offset of external data must be a number",
    ),
}


# Files that ask for much memory: suffix, bytes, and how many bytes for each of the file's they may
# get, besides what tensors and items of metadata may (of which a file has some number)


def _many(text, count=5_000):
    return [text % b"%05d" % i for i in range(count)]


def _header(members, end=b"}"):
    return safetensors_file(b"{" + b",".join(members) + end)


def _list_of(kind, data, count):
    """A file of GGUF whose metadata is one list."""
    return gguf_file(items=[("a", 9, struct.pack("<IQ", kind, count) + data)])


GREEDY = {
    "safetensors: lists": (".safetensors", _header([b'"w":[' + b"[]," * 50_000 + b"[]]"]), 1),
    "safetensors: objects": (".safetensors", _header([b'"w":' + b'{"":' * 50_000]), 1),
    "safetensors: brackets": (".safetensors", _header([b'"w":' + b"[" * 50_000]), 1),
    "safetensors: wide letters": (
        ".safetensors",
        safetensors_file('{"__metadata__":{"a":"😀'.encode() + b"a" * 10**6 + b'"}}x'),
        7,
    ),
    "safetensors: wide letters in escapes": (
        ".safetensors",
        safetensors_file(b'{"__metadata__":{"a":"\\ud83d\\ude00' + b"a" * 10**6 + b'"}}x'),
        13,
    ),
    "safetensors: tensors": (".safetensors", _header(_many(NO_NUMBERS)), 0),
    "safetensors: tensors, then none": (
        ".safetensors",
        _header(_many(NO_NUMBERS), b"}x"),
        0,
    ),
    "safetensors: metadata": (
        ".safetensors",
        safetensors_file(b'{"__metadata__":{' + b",".join(_many(b'"%s":"ab"')) + b"}}"),
        0,
    ),
    "index: lists": (".index.json", b'{"weight_map":{},"a":[' + b"[]," * 50_000 + b"[]]}", 1),
    "index: tensors": (
        ".index.json",
        b'{"weight_map":{' + b",".join(_many(b'"%s":"absent.pt"')) + b"}}",
        0,
    ),
    "npz: lists": (
        ".npz",
        zip_file({"__metadata__.npy": npy_file(np.array('{"a":[' + "[]," * 10**5 + "[]]}"))}),
        2,
    ),
    "npz: members": (".npz", zip_file({f"{i}.npy": npy_file(B[:0]) for i in range(2000)}), 0),
    "npz: deflated": (".npz", zip_file({"w.npy": npy_file(np.zeros(10**6))}, 8), 2 * 1032),
    "pytorch: deflated byte order": (
        ".pt",
        zip_file({"a/data.pkl": b"\x80\x02).", "a/byteorder": b"b" * 10**8}, {"a/byteorder": 8}),
        1,
    ),
    "pytorch: lists": (".pt", torch_file(b"\x80\x02" + b"]" * 10**6 + b"."), 1),
    "pytorch: dictionaries": (".pt", torch_file(b"\x80\x02" + b"}" * 10**6 + b"."), 1),
    "pytorch: marks": (".pt", torch_file(b"\x80\x02" + b"(" * 10**5 + b"."), 20),
    "pytorch: tuples": (".pt", torch_file(b"\x80\x02)" + b"\x85NNN" * 3 * 10**4 + b"."), 20),
    "pytorch: memo": (".pt", torch_file(b"\x80\x04N" + b"\x94" * 2 * 10**5 + b"."), 10),
    "pytorch: OrderedDicts": (
        ".pt",
        torch_file(b"\x80\x02ccollections\nOrderedDict\nq\x00" + b"h\x00)R" * 3 * 10**4 + b"."),
        20,
    ),
    "pytorch: attributes": (  # one dictionary of many, given to many
        ".pt",
        torch_file(
            b"\x80\x02ccollections\nOrderedDict\nq\x000}("
            + b"".join(b"M%bN" % i.to_bytes(2, "little") for i in range(60_000))
            + b"uq\x010]("
            + b"h\x00)Rh\x01b" * 500
            + b"e."
        ),
        30,
    ),
    "pytorch: long keys": (  # whose hash takes their length in time
        ".pt",
        torch_file(b"\x80\x02" + _long(10**6) + b"q\x000}(" + b"h\x00N" * 50_000 + b"u."),
        20,
    ),
    "pytorch: short integers": (
        ".pt",
        torch_file(b"\x80\x02](" + b"M\xff\xff" * 10**5 + b"e0N."),
        20,
    ),
    "pytorch: long names": (  # of many, for as many bytes as there are elsewhere
        ".pt",
        torch_file(
            b"\x80\x02}(X"
            + (struct.pack("<I", 50_000) + b"a" * 50_000 + b"](" + b"N" * 80 + b"e")
            + (b"X" + struct.pack("<I", 500_000) + b"b" * 500_000)
            + b"Nu."
        ),
        22,
    ),
    "pytorch: integers": (  # none of those that Python has already
        ".pt",
        torch_file(b"\x80\x02](" + b"".join(_many(b"\x8a\x05%s")) * 6 + b"e0N."),
        20,
    ),
    "pytorch: floats": (".pt", torch_file(b"\x80\x02](" + b"G12345678" * 10**5 + b"e0N."), 20),
    "pytorch: bytes": (".pt", torch_file(b"\x80\x02](" + b"C\x02ab" * 10**5 + b"e0N."), 22),
    "pytorch: texts": (
        ".pt",
        torch_file(b"\x80\x02](" + b"".join(_many(b"X\x05\0\0\0%s")) * 9 + b"e0N."),
        20,
    ),
    "pytorch: wide texts": (
        ".pt",
        torch_file(b"\x80\x02](" + "X\x14\0\0\0😀".encode().ljust(25, b"a") * 3 * 10**4 + b"e0N."),
        20,
    ),
    "pytorch: pairs": (
        ".pt",
        torch_file(
            b"\x80\x02}("
            + b"".join(b"J%bN" % struct.pack("<i", 300 + i) for i in range(50_000))
            + b"u0N."
        ),
        40,
    ),
    "pytorch: dictionaries of one": (
        ".pt",
        torch_file(b"\x80\x02](" + b"}K\x01Ns" * 2 * 10**4 + b"e0N."),
        60,
    ),
    "pytorch: numbers": (".pt", torch_file(b"\x80\x02](" + b"K\x01" * 10**4 + b"e."), 20),
    "pytorch: tensors of one": (
        ".pt",
        torch_file(rebuilt()[:-1] + b"q\x00](" + b"h\x00" * 3 * 10**4 + b"e."),
        20,
    ),
    "pytorch: tensors": (
        ".pt",
        torch_file(
            pickled(**{str(i): np.zeros((), "f4") for i in range(800)}), storages=[W[0, 0]] * 800
        ),
        0,
    ),
    "bincode: tensors": (
        ".bin",
        b"\xfb" + struct.pack("<H", 5_000) + b"".join(_many(b"\x05%s\x00\x01\x00")),
        0,
    ),
    "bincode: axes": (
        ".bin",
        b"\x01\x01w\x00\xfc" + struct.pack("<I", 10**6) + b"\x01" * 10**6,
        0,
    ),
    "gguf: booleans": (".gguf", _list_of(7, bytes(10**6), 10**6), 15),
    "gguf: floats": (".gguf", _list_of(6, b"\xff\xff\x7f\x80" * 10**5, 10**5), 15),
    "gguf: texts": (".gguf", _list_of(8, bytes(3 * 10**5), 3 * 10**5 // 8), 20),
    "gguf: escapes": (
        ".gguf",
        gguf_file(items=[("a", 9, struct.pack("<IQQ", 8, 1, 3 * 10**5) + bytes(3 * 10**5))]),
        25,
    ),
    "gguf: lists": (
        ".gguf",
        _list_of(9, struct.pack("<IQ", 4, 0) * 3 * 10**4, 3 * 10**4),
        20,
    ),
    "gguf: tensors": (
        ".gguf",
        gguf_file([(f"{i:05}", (0,), 24, 0) for i in range(5_000)], data=b""),
        0,
    ),
    "onnx: tensors": (
        ".onnx",
        onnx_file(*(onnx_tensor(b"%05d" % i, (0,), raw=b"") for i in range(5_000))),
        0,
    ),
    "onnx: axes": (".onnx", onnx_file(field(1, 1) * 10**5 + field(2, 1)), 0),
    "onnx: unknown fields": (".onnx", onnx_file(onnx_tensor() + field(99, 1) * 4 * 10**4), 0),
    "onnx: numbers one by one": (
        ".onnx",
        onnx_file(onnx_tensor(dims=(2 * 10**4,), int32s=[]) + b"\x25\0\0\0\0" * 2 * 10**4),
        2,
    ),
    "onnx: short numbers": (  # of which int64 has eight times the bytes
        ".onnx",
        onnx_file(field(1, 10**6) + field(2, 7) + field(8, b"w") + field(7, b"\x01" * 10**6)),
        9,
    ),
}
LARGE_ARRAYS = {"npz: deflated", "onnx: short numbers"}  # larger than their files, as they say
GREEDY_NAMES = {  # how many tensors and items of metadata may be made
    "safetensors: tensors": (5_000, 0),
    "safetensors: tensors, then none": (5_000, 0),
    "safetensors: metadata": (0, 5_000),
    "index: tensors": (5_000, 0),
    "npz: members": (2000, 0),
    "pytorch: attributes": (0, 500),
    "pytorch: numbers": (0, 10_000),
    "pytorch: tensors of one": (8012, 0),
    "pytorch: tensors": (800, 0),
    "bincode: tensors": (5_000, 0),
    "gguf: tensors": (5_000, 0),
    "onnx: tensors": (5_000, 0),
}
