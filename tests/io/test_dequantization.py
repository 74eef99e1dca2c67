"""Each type of block against the loops of ggml-quants.c, written out, and against `gguf`."""

import numpy as np
import pytest

from volta.io.dequantization import AT_ONCE, BLOCKS, dequantized

NUMBERS = {block.name: kind for kind, block in BLOCKS.items()}


def half(data, place):
    return np.frombuffer(bytes(data[place : place + 2]), "<f2")[0].astype(np.float32)


def signed(byte):
    return byte - 256 if byte > 127 else byte


def simple(data, start, offset, with_minimum, with_high):
    """The types Q4_0 to Q5_1."""
    d, m = half(data, 0), half(data, 2) if with_minimum else np.float32(0)
    high = int.from_bytes(bytes(data[start - 4 : start]), "little") if with_high else 0
    out = np.zeros(32, np.float32)
    for j in range(16):
        low = (data[start + j] & 15) | (high >> j & 1) << 4
        top = data[start + j] >> 4 | (high >> (j + 16) & 1) << 4
        out[j], out[j + 16] = (low - offset) * d + m, (top - offset) * d + m
    return out


def q8_0(data):
    return np.array([signed(x) for x in data[2:]], np.float32) * half(data, 0)


def q2_k(data):
    scales, q, d, dmin = data[:16], data[16:80], half(data, 80), half(data, 82)
    out = []
    for n in range(2):
        for j in range(4):
            for part in range(2):
                scale = scales[8 * n + 2 * j + part]
                for i in range(16):
                    code = q[32 * n + 16 * part + i] >> 2 * j & 3
                    out.append(d * (scale & 15) * code - dmin * (scale >> 4))
    return np.array(out, np.float32)


def q3_k(data):
    mask, q, packed, d = data[:32], data[32:96], data[96:108], half(data, 108)
    scales = [
        (packed[i % 8] >> 4 * (i // 8) & 15 | (packed[8 + i % 4] >> 2 * (i // 4) & 3) << 4) - 32
        for i in range(16)
    ]
    out = []
    for n in range(2):
        for j in range(4):
            for part in range(2):
                for i in range(16):
                    code = q[32 * n + 16 * part + i] >> 2 * j & 3
                    missing = not mask[16 * part + i] >> (4 * n + j) & 1
                    out.append(d * scales[8 * n + 2 * j + part] * (code - 4 * missing))
    return np.array(out, np.float32)


def scale_and_minimum(j, q):
    if j < 4:
        return q[j] & 63, q[j + 4] & 63
    return (
        (q[j + 4] & 15) | (q[j - 4] >> 6) << 4,
        (q[j + 4] >> 4) | (q[j] >> 6) << 4,
    )


def q4_or_5_k(data, high):
    d, dmin, packed = half(data, 0), half(data, 2), data[4:16]
    q = data[48:] if high else data[16:]
    out = []
    for j in range(8):
        scale, minimum = scale_and_minimum(j, packed)
        for i in range(32):
            code = q[32 * (j // 2) + i] >> 4 * (j % 2) & 15
            code |= (data[16 + i] >> j & 1) << 4 if high else 0
            out.append(d * scale * code - dmin * minimum)
    return np.array(out, np.float32)


def q6_k(data):
    low, high, scales, d = data[:128], data[128:192], data[192:208], half(data, 208)
    out = np.zeros(256, np.float32)
    for n in range(2):
        for j in range(4):
            for i in range(32):
                code = low[64 * n + 32 * (j % 2) + i] >> 4 * (j // 2) & 15
                code |= (high[32 * n + i] >> 2 * j & 3) << 4
                scale = signed(scales[8 * n + 2 * j + i // 16])
                out[128 * n + 32 * j + i] = d * scale * (code - 32)
    return out


FORMULAS = {
    "Q4_0": lambda data: simple(data, 2, 8, False, False),
    "Q4_1": lambda data: simple(data, 4, 0, True, False),
    "Q5_0": lambda data: simple(data, 6, 16, False, True),
    "Q5_1": lambda data: simple(data, 8, 0, True, True),
    "Q8_0": q8_0,
    "Q2_K": q2_k,
    "Q3_K": q3_k,
    "Q4_K": lambda data: q4_or_5_k(data, False),
    "Q5_K": lambda data: q4_or_5_k(data, True),
    "Q6_K": q6_k,
}
SCALES = {"Q4_1": (0, 2), "Q5_1": (0, 2), "Q2_K": (80, 82), "Q3_K": (108,), "Q6_K": (208,)}
SCALES |= {"Q4_K": (0, 2), "Q5_K": (0, 2)}  # places of d and the minimum's scale; others at 0


def some_blocks(name, count, finite=True):
    block = BLOCKS[NUMBERS[name]]
    rng = np.random.default_rng(0)
    data = rng.integers(0, 256, (count, block.size), dtype=np.uint8)
    for place in SCALES.get(name, (0,)) if finite else ():
        scale = rng.uniform(-2, 2, (count, 1)).astype("<f2")
        data[:, place : place + 2] = scale.view(np.uint8)
    return data


@pytest.mark.parametrize("name", list(NUMBERS))
def test_numbers_are_those_of_the_formula(name):
    blocks = some_blocks(name, 6)
    want = np.stack([FORMULAS[name](list(map(int, block))) for block in blocks])
    got = dequantized(NUMBERS[name], blocks)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=3e-6, atol=1e-5)
    assert np.std(want) > 1e-2


@pytest.mark.parametrize("name", list(NUMBERS))
def test_numbers_are_those_of_gguf(name):
    gguf = pytest.importorskip("gguf")
    kind = gguf.GGMLQuantizationType(NUMBERS[name])
    block = BLOCKS[NUMBERS[name]]
    assert (kind.name, gguf.GGML_QUANT_SIZES[kind]) == (name, (block.numbers, block.size))
    blocks = some_blocks(name, 50, finite=False)
    with np.errstate(all="ignore"):
        want = gguf.quants.dequantize(blocks, kind).reshape(50, -1)
    np.testing.assert_array_equal(dequantized(NUMBERS[name], blocks), want)


def test_many_blocks_are_taken_in_parts():
    blocks = np.resize(some_blocks("Q8_0", 3), (AT_ONCE + 5, 34))
    got = dequantized(NUMBERS["Q8_0"], blocks)
    np.testing.assert_array_equal(
        got, np.resize(dequantized(NUMBERS["Q8_0"], blocks[:3]), got.shape)
    )


def test_scales_that_are_not_finite_warn_of_nothing():
    blocks = some_blocks("Q4_1", 1)
    blocks[0, :4] = np.array([np.inf, -np.inf], "<f2").view(np.uint8)
    assert not np.isfinite(dequantized(NUMBERS["Q4_1"], blocks)).any()
