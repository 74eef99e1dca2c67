"""Encodings of places: what they are, and what makes them useful."""

import numpy as np
import pytest

import volta
import volta.functional as F
from volta.core.errors import ShapeError

rng = np.random.default_rng(6)
START = rng.bit_generator.state


@pytest.fixture(autouse=True)
def same_numbers():
    """Each test draws the same, whichever ran before."""
    rng.bit_generator.state = START


def test_causal_masks_hide_what_is_later():
    mask = F.causal_mask(3, 5)
    assert mask.dtype == np.float32
    for i in range(3):
        for j in range(5):
            assert mask[i, j] == (0 if j <= i + 2 else -np.inf)
    q, k = rng.normal(size=(4, 8)), rng.normal(size=(4, 8))
    found = F.scaled_dot_product_attention(q, k, k, F.causal_mask(4))
    wanted = F.scaled_dot_product_attention(q, k, k, is_causal=True)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize("features", [0, 1, 4, 5])
def test_waves_are_those_of_the_paper(features):
    found = F.sinusoidal_encoding(7, features, dtype=F.float64)
    assert found.shape == (7, features)
    for i in range(7):
        for j in range(features):
            angle = i / 10000.0 ** ((j - j % 2) / features)
            wanted = np.cos(angle) if j % 2 else np.sin(angle)
            np.testing.assert_allclose(found[i, j], wanted, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("interleaved", [False, True])
def test_products_of_rotated_vectors_know_only_the_distance(interleaved):
    q, k = rng.normal(size=8), rng.normal(size=8)

    def product(i, j):
        x = F.rotary_embedding(np.stack([q, k]), np.asarray([i, j]), interleaved=interleaved)
        return x[0] @ x[1]

    np.testing.assert_allclose(product(3, 1), product(1003, 1001), rtol=1e-9)
    assert abs(product(3, 1) - product(4, 1)) > 1e-3
    x = rng.normal(size=(2, 9, 8))
    rotated = F.rotary_embedding(x, interleaved=interleaved)
    np.testing.assert_allclose(rotated[:, 0], x[:, 0])
    np.testing.assert_allclose(
        F.linalg.vector_norm(rotated, axis=-1), F.linalg.vector_norm(x, axis=-1), rtol=1e-12
    )
    again = F.rotary_embedding(x, np.arange(9), interleaved=interleaved)
    np.testing.assert_allclose(again, rotated, rtol=1e-12)


def test_rotations_are_those_of_complex_numbers():
    x = rng.normal(size=(5, 6))
    turns = np.exp(1j * np.arange(5)[:, None] * 10000.0 ** (-np.arange(3) / 3))
    numbers = (x[:, ::2] + 1j * x[:, 1::2]) * turns
    found = F.rotary_embedding(x, interleaved=True)
    np.testing.assert_allclose(found[:, ::2] + 1j * found[:, 1::2], numbers, rtol=1e-12)
    halves = (x[:, :3] + 1j * x[:, 3:]) * turns
    found = F.rotary_embedding(x)
    np.testing.assert_allclose(found[:, :3] + 1j * found[:, 3:], halves, rtol=1e-12)


@pytest.mark.parametrize("library", ["torch", "jax.numpy", "array_api_strict"])
def test_rotations_elsewhere_and_in_16_bits(library):
    xp = pytest.importorskip(library)
    x = rng.normal(size=(4, 6)).astype(np.float32)
    for positions in (None, xp.asarray([0, 1, 2, 3])):
        found = F.rotary_embedding(xp.asarray(x), positions)
        assert type(found) is type(xp.asarray(x))
        assert found.dtype == xp.float32
        np.testing.assert_allclose(
            np.from_dlpack(found), F.rotary_embedding(x), rtol=1e-5, atol=1e-6
        )
    half = F.rotary_embedding(x.astype(np.float16))
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, F.rotary_embedding(x), atol=4e-3)


def test_slopes_of_heads():
    def slopes(heads):
        return -F.alibi_bias(heads, 1, 2, dtype=F.float64)[:, 0, 0]

    np.testing.assert_allclose(slopes(8), 2.0 ** -np.arange(1, 9))
    np.testing.assert_allclose(slopes(1), [2.0**-8])
    np.testing.assert_allclose(slopes(3), [2.0**-4, 2.0**-8, 2.0**-2])
    bias = F.alibi_bias(4, 3, 5)
    assert bias.shape == (4, 3, 5)
    np.testing.assert_allclose(bias[0, 0], -0.25 * np.abs(np.arange(5) - 2))
    assert F.alibi_bias(0, 2).shape == (0, 2, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.causal_mask(-1), ValueError, "length must not be negative; got -1"),
        (lambda: F.alibi_bias(2, 3, -1), ValueError, "keys must not be negative; got -1"),
        (lambda: F.sinusoidal_encoding(2, -2), ValueError, "features must not be negative; got -2"),
        (
            lambda: F.rotary_embedding(np.ones(4)),
            ShapeError,
            r"even number of features; got \(4,\)",
        ),
        (
            lambda: F.rotary_embedding(np.ones((3, 4)), np.arange(2)),
            ShapeError,
            r"each place of x; got shapes \(2,\) and \(3, 4\)",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_they_are_constants_of_a_trace():
    grad = volta.grad(lambda x: F.sum((x + F.sinusoidal_encoding(3, 4)) * F.alibi_bias(2, 3, 4)))
    np.testing.assert_allclose(grad(np.ones((2, 3, 4), np.float32)), F.alibi_bias(2, 3, 4))
