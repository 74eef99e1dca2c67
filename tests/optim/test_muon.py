import numpy as np
import pytest

import volta
from volta import optim

pytestmark = pytest.mark.optimizer
SHAPES = [(3, 3), (2, 5), (5, 2), (4, 3, 2), (2, 3, 2, 4), (0, 3), (2, 0, 3)]


def draw(shape, dtype="float64"):
    numbers = np.random.default_rng(0)
    x = numbers.normal(size=shape)
    return (x + 1j * numbers.normal(size=shape)).astype(dtype) if dtype == "complex128" else x


def of_singular_values(x, coefficients, eps):
    """What the iteration does: a polynomial of each singular value, the vectors as they are."""
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    s = s / (np.sqrt(np.sum(np.abs(x) ** 2, axis=(-2, -1)))[..., None] + eps)
    for a, b, c in coefficients:
        s = a * s + b * s**3 + c * s**5
    return (u * s[..., None, :]) @ vh


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("given", "coefficients"),
    [
        ("standard", [(3.4445, -4.7750, 2.0315)] * 5),
        ("cubic", [(1.5, -0.5, 0.0)] * 5),
        ([(1.0, 0.0, 0.0), (2.0, -1.5, 0.5), (3.0, -3.2, 1.2)], [(2, -1.5, 0.5), (3, -3.2, 1.2)]),
    ],
    ids=["quintic", "cubic", "several"],
)
def test_singular_values_follow_the_polynomial(given, coefficients, shape, dtype):
    x = draw(shape, dtype)
    found = optim.orthogonalize_via_newton_schulz(x, given, len(coefficients), eps=0.1)
    assert found.dtype == x.dtype
    np.testing.assert_allclose(found, of_singular_values(x, coefficients, 0.1), atol=1e-12)


@pytest.mark.parametrize("shape", [(50, 3), (3, 50)])
def test_products_are_on_the_shorter_side(shape):
    program = str(volta.trace(optim.orthogonalize_via_newton_schulz)(draw(shape)))
    assert "float64[3, 3] = matmul" in program
    assert "[50, 50]" not in program


def test_adaptive_updates_are_as_long_as_their_product_with_the_mean():
    g = draw((3, 2), "complex128")
    plain, adaptive = (
        link.update(g, link.init(g))[0]
        for link in (optim.scale_by_muon(), optim.scale_by_muon(adaptive=True))
    )
    mean = 0.95 * (0.05 * g) / (1 - 0.95**2) + 0.05 * g / (1 - 0.95)
    np.testing.assert_allclose(adaptive, np.vdot(mean, plain) * plain, rtol=1e-12)
