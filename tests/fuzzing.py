"""Damaged files of weights without end: for minutes in `scripts/fuzz`, briefly in a test."""

import random
import struct

import numpy as np
import weight_files as files

from volta.core.errors import LoadError
from volta.io import load_file

MAX_SEED = 20_000  # bytes: of larger hostile files, the size is the attack


def seeds_of(suffix, *whole):
    """Whole files, and the hostile ones of their kind."""
    hostile = [data for other, data, _ in files.HOSTILE.values() if other == suffix]
    return (*whole, *(data for data in hostile if len(data) <= MAX_SEED))


# What a random program of the pickle machine is made of: operations with their arguments.
OPERATIONS = (
    *(bytes([code]) for code in b"(012NQR])}abestu\x85\x86\x87\x88\x89\x8f\x93\x94\x91\x81o"),
    *(b"K" + bytes([n]) for n in (0, 1, 3, 255)),
    *(b"h" + bytes([n]) for n in range(6)),
    *(b"q" + bytes([n]) for n in range(6)),
    *(files._short(text) for text in ("storage", "0", "cpu", "neg", "conj", "volta", "w")),
    *(b"c" + name.replace(".", "\n").encode() + b"\n" for name in ("torch.Size", "torch.device")),
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch._utils\n_rebuild_tensor_v3\n",
    b"ctorch._utils\n_rebuild_parameter\n",
    b"ctorch._tensor\n_rebuild_from_type_v2\n",
    b"ctorch\nTensor\n",
    b"ctorch\nfloat32\n",
    b"ccollections\nOrderedDict\n)R",
    files._storage(),
    files._storage("ctorch\nComplexFloatStorage\n", count=b"K\x03"),
    files._storage("ctorch.storage\nUntypedStorage\n", count=b"K\x18"),
    files.rebuilt()[2:-1],
    files._long(5000),
    b"G\x7f\xf8" + bytes(6),
    b"J\xff\xff\xff\xff",
    b"\x8a\x08" + files.LIE,
)


def program(data):
    """Random program of a pickle that the bytes choose."""
    rng = random.Random(data)
    return files.torch_file(
        b"\x80\x02" + b"".join(rng.choices(OPERATIONS, k=rng.randint(1, 60))) + b"."
    )


# The checksums of archives would find every damage, so what they hold is damaged before.
TARGETS = {
    **{
        name: (suffix, seeds_of(suffix, data), bytes)
        for name, (suffix, data) in files.WHOLE.items()
    },
    "pickle": (
        ".pt",
        (files.pickled(w=files.W, b=files.B), files._flagged(files._storage(), b"neg")),
        files.torch_file,
    ),
    "program": (".pt", (bytes(range(64)),), program),
    "npy in npz": (".npz", (files.npy_file(),), lambda data: files.zip_file({"w.npy": data}, 8)),
    "json in npz": (
        ".npz",
        ('{"a": "b", "\\u00e4\\n": "\\ud83d\\ude00", "{": "[]"}'.encode("utf-32-le"),),
        lambda data: files.zip_file(
            {
                "__metadata__.npy": files.npy_file(np.zeros((), f"<U{len(data) // 4 or 1}"))[:128]
                + data
            }
        ),
    ),
    "header": (
        ".safetensors",
        (files.WHOLE["safetensors"][1][8:-48],),
        lambda data: files.safetensors_file(data, files.W.tobytes() + files.B.tobytes()),
    ),
    "lists in gguf": (
        ".gguf",
        (
            struct.pack("<IQ", 7, 3)
            + b"\0\1\2"
            + struct.pack("<Q", 1)
            + b"b"
            + struct.pack("<IIQIQ", 9, 9, 2, 4, 1)
            + bytes(4)
            + struct.pack("<IQ", 8, 1)
            + files.gguf_text("c"),
        ),
        lambda data: files.gguf_file(items=[("a", 9, data)]),
    ),
    "numbers in onnx": (
        ".onnx",
        (
            files.onnx_tensor(dims=(3,), kind=6, int32s=[b"\x01\x81\x01", 5])
            + files.onnx_tensor(dims=(2,), kind=14, floats=bytes(16)),
            files.onnx_tensor(dims=(2,), kind=11, raw=bytes(16)),
        ),
        files.onnx_file,
    ),
    "index": (
        ".index.json",
        seeds_of(
            ".index.json", b'{"weight_map": {"w": "shard.safetensors", "b": "shard.safetensors"}}'
        ),
        bytes,
    ),
}
NUMBERS = (0, 1, 127, 128, 251, 253, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**62, 2**64 - 1)


def mutant(rng: random.Random, data: bytes) -> bytes:
    """`data` with one to four damages."""
    whole = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(whole) + 1)
        match rng.randrange(7):
            case 0 if place < len(whole):
                whole[place] ^= 1 << rng.randrange(8)
            case 1 if place < len(whole):
                whole[place] = rng.randrange(256)
            case 2:
                del whole[place:]
            case 3:
                del whole[place : place + rng.randint(1, 16)]
            case 4:
                start = rng.randrange(len(whole) + 1)
                whole[place:place] = whole[start : start + rng.randint(1, 32)]
            case 5:
                width = rng.choice((1, 2, 4, 8))
                number = rng.choice(NUMBERS) % 256**width
                whole[place : place + width] = number.to_bytes(width, "little")
            case 6:
                whole[place:place] = rng.randbytes(rng.randint(1, 8))
    return bytes(whole)


def try_one(target: str, rng: random.Random, folder) -> bool:
    """Load one damaged file; whether it is still whole. Anything but `LoadError` gets out."""
    suffix, seeds, wrapped = TARGETS[target]
    path = folder / f"file{suffix}"
    path.write_bytes(wrapped(mutant(rng, rng.choice(seeds))))
    (folder / "shard.safetensors").write_bytes(files.WHOLE["safetensors"][1])
    try:
        loaded = load_file(path)
    except LoadError:
        return False
    for array in loaded.values():
        if array.nbytes < 10**6:  # a tensor whose strides are 0 has any size
            np.array(array).tobytes()
    return True
