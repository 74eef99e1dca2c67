"""Normal vectors and orthogonal matrices: against JAX, moments, derivatives, transforms, errors."""

import numpy as np
import pytest
from draws import as_library, as_numpy, fits

import volta
import volta.functional as F
from volta.core.errors import BroadcastError, DTypeError, ShapeError
from volta.functional import random

KEY = np.asarray([0, 1], np.uint32)
MEAN = np.asarray([1.0, -2.0, 0.5])
COV = np.asarray([[2.0, 0.3, -0.4], [0.3, 1.0, 0.2], [-0.4, 0.2, 0.6]])
METHODS = ["cholesky", "eigh", "svd"]


@pytest.fixture(params=["numpy", "array_api_strict", "torch"])
def xp(request):
    return pytest.importorskip(request.param)


@pytest.fixture
def jax():
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        yield jax


# Normal vectors ------------------------------------------------------------------------------


def test_normal_vectors_equal_jax(jax):
    drawn = random.multivariate_normal(random.key(7), MEAN, COV, (50,), "float64")
    expected = jax.random.multivariate_normal(jax.random.PRNGKey(7), MEAN, COV, (50,))
    np.testing.assert_allclose(drawn, expected, rtol=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_moments(method):
    drawn = random.multivariate_normal(random.key(9), MEAN, COV, 40000, "float64", method)
    np.testing.assert_allclose(drawn.mean(axis=0), MEAN, atol=0.03)
    np.testing.assert_allclose(np.cov(drawn.T), COV, atol=0.05)


@pytest.mark.parametrize("method", METHODS)
def test_several(xp, method):
    covs = np.stack([COV, np.eye(3)])
    key, mean, cov = random.key(3, xp=xp), as_library(xp, MEAN), as_library(xp, covs)
    drawn = random.multivariate_normal(key, mean, cov, (4, 2), "float64", method)
    assert type(drawn) is type(key)
    z = random.normal(random.key(3), (4, 2, 3), "float64")
    np.testing.assert_allclose(as_numpy(drawn)[:, 1, :], z[:, 1, :] + MEAN, rtol=1e-12)
    found = random.multivariate_normal(random.key(3), MEAN, covs, (4, 2), "float64", method)
    np.testing.assert_allclose(as_numpy(drawn), found, rtol=1e-10)
    assert random.multivariate_normal(key, mean, cov).shape == (2, 3)
    assert random.multivariate_normal(key, mean[None, :], cov[0, :, :]).shape == (1, 3)


@pytest.mark.parametrize("method", ["eigh", "svd"])
def test_semidefinite(method):
    line = np.asarray([1.0, 2.0, -1.0])
    cov = line[:, None] * line
    drawn = random.multivariate_normal(KEY, MEAN, cov, 100, "float64", method) - MEAN
    np.testing.assert_allclose(drawn, drawn[:, :1] * line, atol=1e-6)
    none = random.multivariate_normal(KEY, MEAN, np.zeros((3, 3)), 5, "float64", method)
    np.testing.assert_array_equal(none, np.broadcast_to(MEAN, (5, 3)))

    def total(scale):
        return F.sum(random.multivariate_normal(KEY, MEAN, scale * cov, 9, "float64", method))

    scale = np.asarray(4.0)
    moved = (total(scale) - 9 * MEAN.sum()) / 8  # it grows like the root of the scale
    np.testing.assert_allclose(volta.grad(total)(scale), moved, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_derivative_of_the_mean_square(method):
    """That of E xᵀ B x = mean·B·mean + tr(B cov) is B, whatever the root."""
    b = np.asarray([[1.0, 0.4, 0.0], [0.4, 2.0, -0.3], [0.0, -0.3, 0.5]])

    def square(mean, cov):
        x = random.multivariate_normal(KEY, mean, cov, 20000, "float64", method)
        return F.mean(F.sum(F.matmul(x, b) * x, axis=-1))

    for cov in (COV, np.eye(3)):
        of_mean, of_cov = volta.grad(square, argnums=(0, 1))(MEAN, cov)
        np.testing.assert_allclose(of_mean, 2 * b @ MEAN, atol=0.1)
        np.testing.assert_allclose(of_cov, b, atol=0.1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("in_axes", [(0, 0, 0), (None, None, 0), (0, None, None), (None, 0, None)])
def test_vmap(xp, method, in_axes):
    keys = random.split(random.key(5, xp=xp), 2)
    means = as_library(xp, np.stack([MEAN, -MEAN]))
    covs = as_library(xp, np.stack([COV, COV @ COV]))
    first = [keys[0, :], means[0, :], covs[0, :, :]]
    second = [keys[1, :], means[1, :], covs[1, :, :]]
    operands = [
        x if axis == 0 else one
        for x, one, axis in zip((keys, means, covs), first, in_axes, strict=True)
    ]

    def drawn(key, mean, cov):
        return random.multivariate_normal(key, mean, cov, (4,), "float64", method)

    out = as_numpy(volta.vmap(drawn, in_axes=in_axes)(*operands))
    lane = [s if axis == 0 else f for f, s, axis in zip(first, second, in_axes, strict=True)]
    np.testing.assert_allclose(out[0], as_numpy(drawn(*first)), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(out[1], as_numpy(drawn(*lane)), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_fewer_bits(dtype, method):
    drawn = random.multivariate_normal(KEY, MEAN, COV, 50, dtype, method)
    assert drawn.dtype.name == dtype
    wide = random.multivariate_normal(KEY, MEAN, COV, 4000, "float64", method)
    narrow = random.multivariate_normal(KEY, MEAN, COV, 4000, dtype, method).astype(float)
    np.testing.assert_allclose(narrow.std(axis=0), wide.std(axis=0), rtol=0.1)


def test_no_vectors():
    assert random.multivariate_normal(KEY, MEAN, COV, (0, 2)).shape == (0, 2, 3)
    assert random.multivariate_normal(KEY, MEAN, COV, ()).shape == (3,)


def test_not_definite():
    with pytest.raises(np.linalg.LinAlgError, match="the matrix must be positive definite"):
        random.multivariate_normal(KEY, MEAN, -COV)


# Orthogonal matrices ---------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m"), [(3, None), (2, 4), (4, 2), (1, 1)])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_orthogonal(jax, xp, n, m, dtype):
    drawn = random.orthogonal(random.key(7, xp=xp), n, (5,), dtype, m)
    assert type(drawn) is type(random.key(7, xp=xp))
    q = as_numpy(drawn)
    assert (q.shape, q.dtype) == ((5, n, m or n), dtype)
    expected = jax.random.orthogonal(jax.random.PRNGKey(7), n, (5,), dtype, m)
    np.testing.assert_allclose(q, expected, rtol=1e-10, atol=1e-12)
    tall = q if n >= (m or n) else np.swapaxes(q, -1, -2)
    gram = np.swapaxes(tall.conj(), -1, -2) @ tall
    np.testing.assert_allclose(
        gram, np.broadcast_to(np.eye(gram.shape[-1]), gram.shape), atol=1e-12
    )


def test_haar():
    stats = pytest.importorskip("scipy.stats")
    q = random.orthogonal(random.key(4), 3, 3000, "float64")
    coordinate = stats.uniform(-1, 2)  # of a point of the sphere, by Archimedes
    for i, j in ((0, 0), (1, 2), (2, 2)):
        assert fits(q[:, i, j], coordinate.cdf)
    turn = random.orthogonal(random.key(5), 3, (), "float64")
    assert fits((turn @ q)[:, 2, 2], coordinate.cdf)
    assert abs((np.linalg.det(q) > 0).mean() - 0.5) < 0.04
    u = random.orthogonal(random.key(6), 2, 3000, "complex128")
    # phases of eigenvalues keep apart: their difference has the density 2 sin²(φ/2) / 2π
    phases = np.angle(np.linalg.eigvals(u))
    gap = np.remainder(phases[:, 0] - phases[:, 1], 2 * np.pi)
    assert fits(gap, lambda x: (x - np.sin(x)) / (2 * np.pi))
    assert fits(np.angle(np.linalg.det(u)), stats.uniform(-np.pi, 2 * np.pi).cdf)


def test_orthogonal_elsewhere(xp):
    keys = random.split(random.key(5, xp=xp), 3)
    out = as_numpy(volta.vmap(lambda k: random.orthogonal(k, 2, (2,), "float64"))(keys))
    for i in range(3):
        one = random.orthogonal(keys[i, :], 2, (2,), "float64")
        np.testing.assert_allclose(out[i], as_numpy(one), rtol=1e-12)
    key = random.key(0, xp=xp)
    assert random.orthogonal(key, 0, (2,)).shape == (2, 0, 0)
    assert random.orthogonal(key, 0, m=3).shape == (0, 3)
    assert random.orthogonal(key, 2, (0,)).shape == (0, 2, 2)
    assert str(random.orthogonal(key, 2).dtype).endswith("float32")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_orthogonal_in_sixteen_bits(dtype):
    q = random.orthogonal(KEY, 3, (), dtype)
    assert q.dtype.name == dtype
    wide = q.astype(np.float32)
    np.testing.assert_allclose(wide @ wide.T, np.eye(3), atol=0.02)


# Errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: random.multivariate_normal(KEY, MEAN, COV, method="qr"),
            ValueError,
            "multivariate_normal: method must be one of cholesky, eigh, svd; got 'qr'",
        ),
        (
            lambda: random.multivariate_normal(KEY, MEAN, np.eye(2)),
            ShapeError,
            r"multivariate_normal: mean must have shape \(..., n\) and cov \(..., n, n\); got "
            r"\(3,\) and \(2, 2\)",
        ),
        (
            lambda: random.multivariate_normal(KEY, 0.0, COV),
            ShapeError,
            r"multivariate_normal: mean must have shape .* got \(\) and \(3, 3\)",
        ),
        (
            lambda: random.multivariate_normal(KEY, MEAN, MEAN),
            ShapeError,
            r"multivariate_normal: mean must have shape .* got \(3,\) and \(3,\)",
        ),
        (
            lambda: random.multivariate_normal(KEY, np.ones((2, 3)), COV, ()),
            ShapeError,
            r"multivariate_normal: mean must broadcast to the shape; got \(2,\) and \(\)",
        ),
        (
            lambda: random.multivariate_normal(KEY, np.ones((2, 3)), np.ones((3, 3, 3))),
            BroadcastError,
            "multivariate_normal: the shapes must broadcast together",
        ),
        (
            lambda: random.multivariate_normal(KEY, MEAN, COV * 1j),
            DTypeError,
            "multivariate_normal: cov must be a real number or array",
        ),
        (
            lambda: random.multivariate_normal(KEY, MEAN, COV, None, "int32"),
            DTypeError,
            "multivariate_normal: dtype must be real floating; got int32",
        ),
        (
            lambda: random.orthogonal(KEY, 3, (), "int32"),
            DTypeError,
            "orthogonal: dtype must be floating; got int32",
        ),
        (
            lambda: random.orthogonal(KEY, -1),
            ShapeError,
            "orthogonal: lengths must not be negative",
        ),
        (lambda: random.orthogonal(KEY, 2.5), DTypeError, "orthogonal: a length must be an int"),
        (
            lambda: random.orthogonal(np.zeros(2), 3),
            DTypeError,
            "orthogonal: key must be a uint32 array",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
