"""The quantized blocks of GGUF as float32.

A block holds the codes of 32 or 256 numbers in a row, and what turns codes into numbers: one
scale ``d`` for all of them, with a minimum ``m`` where the name ends in 1; or, in the K types,
scales (and minima) of 16 or 32 numbers each, themselves codes, times ``d`` (and ``dmin``).
Each function takes blocks of bytes, shape (n, bytes), and returns numbers, shape (n, numbers).

The layouts are those of ``ggml-quants.c``, functions ``dequantize_row_*``:
https://github.com/ggml-org/ggml/blob/master/src/ggml-quants.c
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

__all__ = ["BLOCKS", "Block", "dequantized"]

AT_ONCE: Final = 2**15  # numbers, so that temporaries stay in the cache


class Block(NamedTuple):
    """A type of block: its name, how many numbers it has in how many bytes, and their values."""

    name: str
    numbers: int
    size: int
    values: Callable[[Any], Any]


def dequantized(kind: int, blocks: Any) -> Any:
    """Return the numbers of blocks of a type, float32 of shape (n, numbers)."""
    block = BLOCKS[kind]
    out = np.empty((len(blocks), block.numbers), np.float32)
    with np.errstate(all="ignore"):  # scales of a broken file may be infinite
        step = AT_ONCE // block.numbers
        for start in range(0, len(blocks), step):
            some = blocks[start : start + step]
            out[start : start + step] = block.values(some).reshape(len(some), -1)
    return out


def _halves(blocks: Any, start: int, count: int = 1) -> Any:
    """Float16 numbers in each block, shape (n, count)."""
    data = np.ascontiguousarray(blocks[:, start : start + 2 * count])
    return data.view("<f2").astype(np.float32)


def _fields(data: Any, width: int, count: int) -> Any:
    """Codes of `width` bits, the `count` lowest of each byte before the next: (…, count, n)."""
    shifts = np.arange(0, width * count, width, dtype=np.uint8)[:, None]
    return (data[..., None, :] >> shifts) & np.uint8(2**width - 1)


def _fifth_bits(blocks: Any, start: int) -> Any:
    """A bit for each of 32 numbers, as 16 in place: shape (n, 32)."""
    bits = np.unpackbits(blocks[:, start : start + 4], axis=1, bitorder="little")
    return bits << np.uint8(4)


def _nibbles(data: Any) -> Any:
    """Low halves of all bytes, then the high halves."""
    return _fields(data, 4, 2).reshape(len(data), -1)


def _q4_0(blocks: Any) -> Any:
    return _halves(blocks, 0) * (_nibbles(blocks[:, 2:]).astype(np.int8) - np.int8(8))


def _q4_1(blocks: Any) -> Any:
    d, m = np.split(_halves(blocks, 0, 2), 2, axis=1)
    return d * _nibbles(blocks[:, 4:]) + m


def _q5_0(blocks: Any) -> Any:
    codes = _nibbles(blocks[:, 6:]) | _fifth_bits(blocks, 2)
    return _halves(blocks, 0) * (codes.astype(np.int8) - np.int8(16))


def _q5_1(blocks: Any) -> Any:
    d, m = np.split(_halves(blocks, 0, 2), 2, axis=1)
    return d * (_nibbles(blocks[:, 8:]) | _fifth_bits(blocks, 4)) + m


def _q8_0(blocks: Any) -> Any:
    return _halves(blocks, 0) * blocks[:, 2:].view(np.int8)


def _q2_k(blocks: Any) -> Any:
    scales, codes = blocks[:, :16], blocks[:, 16:80]
    d, dmin = np.split(_halves(blocks, 80, 2), 2, axis=1)
    codes = _fields(codes.reshape(-1, 2, 32), 2, 4).reshape(-1, 16, 16)
    return (d * (scales & 15))[..., None] * codes - (dmin * (scales >> 4))[..., None]


def _q3_k(blocks: Any) -> Any:
    high, codes, packed = blocks[:, :32], blocks[:, 32:96], blocks[:, 96:108]
    low = _fields(packed[:, :8], 4, 2).reshape(-1, 16)
    scales = low | (_fields(packed[:, 8:], 2, 4).reshape(-1, 16) << np.uint8(4))
    d = _halves(blocks, 108) * (scales.astype(np.int8) - np.int8(32))
    codes = _fields(codes.reshape(-1, 2, 32), 2, 4).reshape(-1, 16, 16)
    codes |= _fields(high, 1, 8).reshape(-1, 16, 16) << np.uint8(2)
    return d[..., None] * (codes.astype(np.int8) - np.int8(4))


def _scales_and_minima(packed: Any) -> tuple[Any, Any]:
    """Eight codes of 6 bits each from 12 bytes: four whole, four with their high bits above."""
    a, b, c = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = np.concatenate((a & 63, (c & 15) | ((a >> 6) << 4)), axis=1)
    return scales, np.concatenate((b & 63, (c >> 4) | ((b >> 6) << 4)), axis=1)


def _q4_k(blocks: Any) -> Any:
    return _k(blocks, _fields(blocks[:, 16:].reshape(-1, 4, 32), 4, 2).reshape(-1, 8, 32))


def _q5_k(blocks: Any) -> Any:
    codes = _fields(blocks[:, 48:].reshape(-1, 4, 32), 4, 2).reshape(-1, 8, 32)
    return _k(blocks, codes | (_fields(blocks[:, 16:48], 1, 8) << np.uint8(4)))


def _k(blocks: Any, codes: Any) -> Any:
    d, dmin = np.split(_halves(blocks, 0, 2), 2, axis=1)
    scales, minima = _scales_and_minima(blocks[:, 4:16])
    return (d * scales)[..., None] * codes - (dmin * minima)[..., None]


def _q6_k(blocks: Any) -> Any:
    scales = np.ascontiguousarray(blocks[:, 192:208]).view(np.int8)
    low = _fields(blocks[:, :128].reshape(-1, 2, 64), 4, 2).reshape(-1, 16, 16)
    high = _fields(blocks[:, 128:192].reshape(-1, 2, 32), 2, 4).reshape(-1, 16, 16)
    codes = (low | (high << np.uint8(4))).astype(np.int8) - np.int8(32)
    return (_halves(blocks, 208) * scales)[..., None] * codes


BLOCKS: Final = {  # by ggml's number of the type
    2: Block("Q4_0", 32, 18, _q4_0),
    3: Block("Q4_1", 32, 20, _q4_1),
    6: Block("Q5_0", 32, 22, _q5_0),
    7: Block("Q5_1", 32, 24, _q5_1),
    8: Block("Q8_0", 32, 34, _q8_0),
    10: Block("Q2_K", 256, 84, _q2_k),
    11: Block("Q3_K", 256, 110, _q3_k),
    12: Block("Q4_K", 256, 144, _q4_k),
    13: Block("Q5_K", 256, 176, _q5_k),
    14: Block("Q6_K", 256, 210, _q6_k),
}
