"""Damaged files of weights without end: for minutes in `scripts/fuzz`, briefly in a test."""

import random

import numpy as np
import weight_files as files

from volta.core.errors import LoadError
from volta.io import load_file

# The checksums of archives would find every damage, so what they hold is damaged before.
TARGETS = {
    **{name: (suffix, data, bytes) for name, (suffix, data) in files.WHOLE.items()},
    "pickle": (".pt", files.pickled(w=files.W, b=files.B), files.torch_file),
    "npy in npz": (".npz", files.npy_file(), lambda data: files.zip_file({"w.npy": data}, 8)),
    "index": (
        ".index.json",
        b'{"weight_map": {"w": "shard.safetensors", "b": "shard.safetensors"}}',
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
    suffix, data, wrapped = TARGETS[target]
    path = folder / f"file{suffix}"
    path.write_bytes(wrapped(mutant(rng, data)))
    (folder / "shard.safetensors").write_bytes(files.WHOLE["safetensors"][1])
    try:
        loaded = load_file(path)
    except LoadError:
        return False
    for array in loaded.values():
        if array.nbytes < 10**6:  # a tensor whose strides are 0 has any size
            np.array(array).tobytes()
    return True
