"""Linear algebra against NumPy, torch and JAX, at equal and zero eigenvalues, and in 16 bits."""

import array_api_strict as strict
import ml_dtypes
import numpy as np
import pytest
from strategies import HALVES, MODES, assert_same, fill, library, numpy_dtype, quiet, under

import volta
import volta.functional as F
from volta.core.errors import BroadcastError, DTypeError, ShapeError
from volta.core.types import typeof

L = F.linalg
LIBRARIES = ("numpy", "array_api_strict", "torch")
DTYPES = ("float32", "float64", "complex64", "complex128")


def adjoint(x):
    return np.swapaxes(np.conj(x), -1, -2)


def positive(x):
    return np.asarray(x @ adjoint(x) + np.eye(x.shape[-1]), x.dtype)


def plain(x):
    return x


# name, shape, what makes the matrix suitable, options
VALUES = [
    ("cholesky", (3, 3), positive, {}),
    ("cholesky", (2, 3, 3), positive, {"upper": True}),
    ("det", (2, 3, 3), plain, {}),
    ("diagonal", (2, 3, 4), plain, {}),
    ("diagonal", (3, 4), plain, {"offset": 2}),
    ("diagonal", (2, 4, 3), plain, {"offset": -2}),
    ("diagonal", (2, 3), plain, {"offset": 5}),
    ("diagonal", (2, 3), plain, {"offset": -5}),
    ("eigvalsh", (2, 3, 3), positive, {}),
    ("inv", (2, 3, 3), plain, {}),
    *(
        ("matrix_norm", (2, 3, 4), plain, {"ord": o, "keepdims": o in ("fro", 2, 1)})
        for o in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)
    ),
    ("pinv", (2, 4, 3), plain, {}),
    ("pinv", (2, 3, 4), plain, {"rtol": 0.3}),
    ("slogdet", (2, 3, 3), plain, {}),
    ("slogdet", (3, 3), plain, {}),
    ("svdvals", (2, 3, 4), plain, {}),
    ("trace", (2, 3, 4), plain, {"offset": 1}),
    *(("vector_norm", (2, 3, 4), plain, {"ord": o}) for o in (2, 1, 0, 3, 0.5, -1, np.inf)),
    ("vector_norm", (2, 3, 4), plain, {"axis": 1, "keepdims": True}),
    ("vector_norm", (2, 3, 4), plain, {"axis": (0, -1), "ord": -np.inf}),
    ("matrix_rank", (2, 4, 3), plain, {}),
]


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "shape", "make", "options"), VALUES)
def test_values_are_the_standards(name, shape, make, options, dtype, lib):
    lib = library(lib)
    x = make(fill(0, shape, dtype))
    expected = getattr(strict.linalg, name)(strict.asarray(x), **options)
    expected = expected if isinstance(expected, tuple) else (expected,)

    def fun(x):
        return getattr(L, name)(x, **options)

    given = lib.asarray(x)
    for mode in MODES:
        for out, wanted in zip(under(mode, fun, (given,)), expected, strict=True):
            assert_same(out, wanted, lib, ulps=500)
    out = fun(given)
    for o, wanted in zip(out if isinstance(out, tuple) else (out,), expected, strict=True):
        assert_same(o, wanted, lib, ulps=500)


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 3), (2, 4, 2), (2, 4), (3, 0), (0, 3, 2)])
def test_decompositions_are_of_the_matrix(shape, dtype, lib):
    lib = library(lib)
    x = fill(0, shape, dtype)
    m, n = shape[-2:]
    close = {"atol": 200 * float(np.finfo(dtype).eps)}
    for full in (True, False):
        u, s, vh = map(lib.host, L.svd(lib.asarray(x), full_matrices=full))
        k = min(m, n)
        assert (u.shape[-1], s.shape[-1], vh.shape[-2]) == ((m, k, n) if full else (k, k, k))
        np.testing.assert_allclose((u[..., :k] * s[..., None, :]) @ vh[..., :k, :], x, **close)
        np.testing.assert_allclose(
            adjoint(u) @ u,
            np.broadcast_to(np.eye(u.shape[-1]), (*u.shape[:-2], *[u.shape[-1]] * 2)),
            **close,
        )
        q, r = map(lib.host, L.qr(lib.asarray(x), mode="complete" if full else "reduced"))
        assert q.shape[-1] == (m if full else k)
        np.testing.assert_allclose(q @ r, x, **close)
        np.testing.assert_array_equal(r, np.triu(r))


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_eigenvectors(dtype, lib):
    lib = library(lib)
    x = fill(0, (2, 3, 3), dtype)
    close = {"atol": 500 * float(np.finfo(dtype).eps)}
    w, v = map(lib.host, L.eig(lib.asarray(x)))
    assert w.dtype == v.dtype == np.result_type(x.dtype, np.complex64)
    np.testing.assert_allclose(x @ v, v * w[..., None, :], **close)
    values = lib.host(L.eigvals(lib.asarray(x)))
    np.testing.assert_allclose(np.sort(values), np.sort(w), **close)
    x = positive(x)
    result = L.eigh(lib.asarray(x))
    w, v = lib.host(result.eigenvalues), lib.host(result.eigenvectors)
    np.testing.assert_allclose((v * w[..., None, :]) @ adjoint(v), x, **close)


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((3, 3), (3,)),
        ((2, 3, 3), (3,)),
        ((3, 3, 3), (3, 3)),
        ((3, 3), (2, 3, 1)),
        ((2, 1, 3, 3), (4, 3, 2)),
    ],
)
def test_solve_takes_vectors_and_matrices(one, other, lib):
    lib = library(lib)
    a, b = fill(0, one, "float64"), fill(1, other, "float64")
    out = lib.host(L.solve(lib.asarray(a), lib.asarray(b)))
    if len(other) == 1:
        np.testing.assert_allclose(np.vecdot(a, out[..., None, :]), np.broadcast_to(b, out.shape))
    else:
        np.testing.assert_allclose(a @ out, np.broadcast_to(b, out.shape), atol=1e-12)
    for lower in (False, True):
        for unit in (False, True):
            t = np.tril(a) if lower else np.triu(a)
            t = t - unit * (t * np.eye(3) - np.eye(3))
            expected = L.solve(t, b)
            out = L.solve_triangular(
                lib.asarray(a), lib.asarray(b), lower=lower, unit_diagonal=unit
            )
            np.testing.assert_allclose(lib.host(out), expected, rtol=1e-10)


@pytest.mark.parametrize("lib", LIBRARIES)
def test_products_powers_and_least_squares(lib):
    lib = library(lib)
    x, y = fill(0, (4, 3), "float64"), fill(1, (1, 3), "float64")
    given = lib.asarray(x), lib.asarray(y)
    np.testing.assert_allclose(lib.host(L.cross(*given)), np.cross(x, y), atol=1e-15)
    turned = lib.asarray(x.T.copy()), lib.asarray(y.T.copy())
    np.testing.assert_allclose(lib.host(L.cross(*turned, axis=0)), np.cross(x, y).T, atol=1e-15)
    np.testing.assert_array_equal(
        lib.host(L.outer(given[0][0, :], given[1][0, :])), np.outer(x[0], y[0])
    )
    b = fill(2, (4, 2), "float64")
    expected = np.linalg.lstsq(x, b)[0]
    np.testing.assert_allclose(lib.host(L.lstsq(given[0], lib.asarray(b))), expected)
    np.testing.assert_allclose(
        lib.host(L.lstsq(given[0], lib.asarray(b[:, 0].copy()))), expected[:, 0]
    )
    square = fill(3, (2, 3, 3), "float64")
    for n in (-3, -1, 0, 1, 2, 5, 6):
        out = lib.host(L.matrix_power(lib.asarray(square), n))
        np.testing.assert_allclose(out, np.linalg.matrix_power(square, n), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("lib", ["numpy", "torch"])
@pytest.mark.parametrize("dtype", HALVES)
def test_halves_are_computed_in_32_bits(dtype, lib):
    lib = library(lib)
    x = positive(fill(0, (3, 3), "float32")).astype(numpy_dtype(dtype))
    wide = x.astype(np.float32)
    eps = float(ml_dtypes.finfo(numpy_dtype(dtype)).eps)
    for name in ("inv", "det", "cholesky", "svdvals", "eigvalsh", "vector_norm", "pinv", "slogdet"):
        out, expected = getattr(L, name)(lib.asarray(x)), getattr(L, name)(wide)
        out, expected = ((o if isinstance(o, tuple) else (o,)) for o in (out, expected))
        for o, e in zip(out, expected, strict=True):
            assert typeof(o).dtype.name == dtype
            np.testing.assert_allclose(np.asarray(lib.host(o), np.float32), e, rtol=eps, atol=eps)
    grad = volta.grad(lambda x: F.sum(L.inv(x)))(lib.asarray(x))
    assert typeof(grad).dtype.name == dtype


# Derivatives --------------------------------------------------------------------------------------


def assert_gradient(fun, x, rtol=1e-6):
    """Of a real function, in reverse and forward, against finite differences."""
    grad = volta.grad(fun)(x)
    assert np.all(np.isfinite(grad))
    rng = np.random.default_rng(0)
    for _ in range(4):
        t = rng.normal(size=x.shape)
        if np.iscomplexobj(x):
            t = t + 1j * rng.normal(size=x.shape)
        h = 1e-5
        numeric = (fun(x + h * t) - fun(x - h * t)) / (2 * h)
        scale = 1 + abs(numeric)
        assert abs(np.real(np.sum(grad * t)) - numeric) < rtol * scale
        assert abs(volta.jvp(fun, (x,), (t,))[1] - numeric) < rtol * scale


WEIGHTS = np.random.default_rng(7).normal(size=(4, 4))


def turned(values, dtype="float64"):
    """Hermitian matrix with these eigenvalues."""
    q = np.linalg.qr(fill(5, (len(values),) * 2, dtype))[0]
    return np.asarray((q * np.asarray(values)) @ adjoint(q))


def herm(x):
    return (x + F.matrix_transpose(F.conj(x))) / 2


@pytest.mark.grad_check
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("values", [[2, 2, 2, 2], [1, 1, 3, 3], [0, 0, 0, 2], [0, 0, 0, 0]])
def test_equal_eigenvalues(values, dtype):
    x = turned(np.asarray(values, float), dtype)
    assert_gradient(lambda x: F.sum(L.eigvalsh(herm(x)) ** 3), x)
    assert_gradient(lambda x: F.sum(L.eigh(herm(x))[0] ** 2), x)
    if values == [1, 1, 3, 3]:  # the space of two equal ones

        def projected(x):
            v = L.eigh(herm(x))[1][:, :2]
            return F.sum(F.real(F.conj(L.matmul(v, F.matrix_transpose(F.conj(v))))) * WEIGHTS)

        assert_gradient(projected, x, 1e-5)
    out = volta.grad(lambda x: F.sum(F.abs(L.eigh(x)[1]) ** 4))(x)
    assert np.all(np.isfinite(out))
    second = volta.hessian if hasattr(volta, "hessian") else None
    assert second is None or np.all(np.isfinite(second(lambda x: F.sum(L.eigvalsh(x)))(x.real)))


@pytest.mark.grad_check
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("shape", [(3, 3), (4, 3), (3, 4)])
@pytest.mark.parametrize("values", [[2, 2, 2], [3, 1, 1], [2, 1, 0], [2, 0, 0], [0, 0, 0]])
def test_equal_singular_values(values, shape, dtype, full):
    m, n = shape
    u, _, vh = np.linalg.svd(fill(6, shape, dtype), full_matrices=False)
    x = np.asarray((u * np.asarray(values, float)) @ vh)
    assert_gradient(lambda x: F.sum(L.svdvals(x) ** 2), x)
    assert_gradient(lambda x: F.sum(L.svd(x, full_matrices=full)[1] ** 4), x)

    def loss(x):
        u, s, vh = L.svd(x, full_matrices=full)
        return F.sum(F.abs(u) ** 4) + F.sum(s) + F.sum(F.abs(vh) ** 4)

    assert np.all(np.isfinite(volta.grad(loss)(x)))
    if values == [2, 2, 2]:  # the polar factor is the same whatever vectors are chosen

        def polar(x):
            u, _, vh = L.svd(x, full_matrices=full)
            return F.sum(F.real(L.matmul(u[:, :3], vh[:3, :])) * WEIGHTS[:m, :n])

        assert_gradient(polar, x)


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("mode", ["reduced", "complete"])
@pytest.mark.parametrize(
    "singular",
    [
        [[0, 0], [0, 0]],
        [[np.nan, 1], [0, 0]],
        [[0, np.inf], [0, 1]],
        [[1e-310, 1e300], [1e-310, 1e300]],  # torch's solver finds it singular, not its slogdet
    ],
)
def test_qr_beside_a_singular_matrix(singular, mode, lib):
    lib = library(lib)
    both = lib.asarray(np.asarray([[[1.0, 2], [3, 5]], singular]))
    one = lib.asarray(np.asarray([[1.0, 2], [3, 5]]))

    def along(x):
        return volta.jvp(lambda x: tuple(L.qr(x, mode=mode)), (x,), (F.ones_like(x),))[1]

    def back(x):
        return (volta.grad(lambda x: F.sum(L.qr(x, mode=mode)[0]))(x),)

    with quiet():
        for derivative in (along, back):
            for found, alone in zip(derivative(both), derivative(one), strict=True):
                np.testing.assert_allclose(lib.host(found)[0], lib.host(alone), rtol=1e-12)


@pytest.mark.grad_check
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("rank", [4, 3, 2, 1, 0])
def test_determinants_of_singular_matrices(rank, dtype):
    x = np.asarray(fill(0, (4, rank), dtype) @ fill(1, (rank, 4), dtype))
    assert_gradient(lambda x: F.real(L.det(x)), x)

    def slope(x):
        return F.real(F.sum(volta.vjp(L.det, x)[1](F.ones_like(L.det(x)))[0] * WEIGHTS))

    assert_gradient(slope, x, 1e-5)
    assert_gradient(slope, np.eye(4, dtype=dtype), 1e-5)


@pytest.mark.grad_check
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_pseudoinverse_among_matrices_of_one_rank(dtype):
    a, b = fill(0, (4, 2), dtype), fill(1, (2, 3), dtype)
    assert_gradient(lambda a: F.sum(F.real(L.pinv(L.matmul(a, b))) * WEIGHTS[:3, :]), a, 1e-5)
    assert_gradient(lambda a: F.sum(F.abs(L.lstsq(L.matmul(a, b), WEIGHTS)) ** 2), a, 1e-5)


NORMS = [("vector_norm", {"ord": o}) for o in (0, 1, 2, 3, 0.5, -1, np.inf, -np.inf)] + [
    ("matrix_norm", {"ord": o}) for o in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)
]


@pytest.mark.grad_check
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize(("name", "options"), NORMS)
def test_norms(name, options, dtype):
    def norm(x):
        return getattr(L, name)(x, **options)

    assert_gradient(norm, fill(0, (3, 4), dtype))
    if options["ord"] != 0:
        v = fill(1, (3, 4), dtype)
        slope = volta.grad(lambda x: F.real(F.sum(volta.grad(norm)(x) * v)))(fill(0, (3, 4), dtype))
        assert np.all(np.isfinite(slope))
    assert np.all(np.isfinite(volta.grad(norm)(np.zeros((3, 4), dtype))))


def test_norm_of_zeros_has_derivative_zero():
    zero = np.zeros(3)
    for p in (2, 3, 1.5, 1, 0):
        np.testing.assert_array_equal(
            volta.grad(lambda x, p=p: L.vector_norm(x, ord=p))(zero), zero
        )
    x = np.asarray([3.0, 0.0, 4.0])
    np.testing.assert_allclose(volta.grad(L.vector_norm)(x), x / 5)

    def bent(x):
        return F.sum(volta.grad(L.vector_norm)(x))

    # (1 - x x' / |x|²) / |x|, summed over rows: right at an element that is zero too
    np.testing.assert_allclose(volta.grad(bent)(x), (1 - x * 7 / 25) / 5)


@pytest.mark.grad_check
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_triangular_equations_read_one_triangle(dtype):
    a, b = fill(0, (3, 3), dtype) + 2 * np.eye(3), fill(1, (3, 2), dtype)
    for lower in (False, True):
        for unit in (False, True):

            def fun(a, lower=lower, unit=unit):
                return F.real(F.sum(L.solve_triangular(a, b, lower=lower, unit_diagonal=unit)))

            assert_gradient(fun, a)
            grad = volta.grad(fun)(a)
            kept = np.tril(grad, -unit) if lower else np.triu(grad, unit)
            np.testing.assert_array_equal(grad, kept)


@pytest.mark.grad_check
@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("size", [0, 0.1, 1, 30])
def test_exponentials(size, dtype, lib):
    linalg = pytest.importorskip("scipy.linalg")
    lib = library(lib)
    x = np.stack([fill(0, (3, 3), dtype) * size, fill(1, (3, 3), dtype)])
    expected = linalg.expm(x)
    scale = np.max(np.abs(expected))
    np.testing.assert_allclose(
        lib.host(L.expm(lib.asarray(x))) / scale, expected / scale, atol=1e-12
    )
    t = fill(2, (2, 3, 3), dtype)
    _, change = volta.jvp(L.expm, (lib.asarray(x),), (lib.asarray(t),))
    for i in range(2):
        exact = linalg.expm_frechet(x[i], t[i], compute_expm=False)
        scale = np.max(np.abs(exact))
        np.testing.assert_allclose(lib.host(change)[i] / scale, exact / scale, atol=1e-10)
    if lib.name == "numpy" and size < 2:
        assert_gradient(lambda x: F.sum(F.real(L.expm(x)) * WEIGHTS[:3, :3]), x)


def test_exponentials_of_all_sizes():
    with quiet():
        assert np.all(np.isnan(L.expm(np.full((2, 2), 1e8))))
    turn = np.asarray([[0.0, -1e5], [1e5, 0.0]])
    np.testing.assert_allclose(L.expm(turn)[0, 0], np.cos(1e5), atol=1e-9)
    x = fill(0, (3, 3), "float32")
    assert L.expm(x).dtype == np.float32
    for mode in MODES:
        np.testing.assert_allclose(under(mode, L.expm, (x,))[0], L.expm(x), rtol=1e-5)


@pytest.mark.parametrize("lib", LIBRARIES)
def test_products_of_several(lib):
    lib = library(lib)
    arrays = [fill(i, s, "float64") for i, s in enumerate([(3,), (3, 5), (5, 2), (2, 4), (4,)])]
    given = [lib.asarray(a) for a in arrays]
    for first in (0, 1):
        for last in (4, 5):
            expected = np.linalg.multi_dot(arrays[first:last])
            np.testing.assert_allclose(lib.host(L.multi_dot(given[first:last])), expected)
    batch = [
        fill(0, (2, 3, 4), "float64"),
        fill(1, (4, 5), "float64"),
        fill(2, (2, 5, 1), "float64"),
    ]
    np.testing.assert_allclose(L.multi_dot(batch), batch[0] @ batch[1] @ batch[2])
    expected = np.kron(arrays[1], arrays[2])
    np.testing.assert_allclose(lib.host(L.kron(given[1], given[2])), expected)
    assert_same(L.kron(given[1], given[1])[:3, :5], arrays[1][0, 0] * arrays[1], lib, ulps=4)


@pytest.mark.grad_check
def test_gradients_of_products():
    x = fill(0, (3, 3), "float64")
    assert_gradient(lambda x: F.sum(L.kron(x, x * x) ** 2), x)
    assert_gradient(lambda x: F.sum(L.multi_dot([x, x[:, :1], x[:1, :]]) ** 2), x)


COMPARED = [
    ("solve", lambda lin, x: lin.solve(x, x @ x), plain),
    ("inv", lambda lin, x: lin.inv(x), plain),
    ("det", lambda lin, x: lin.det(x), plain),
    ("slogdet", lambda lin, x: lin.slogdet(x)[1], plain),
    ("cholesky", lambda lin, x: lin.cholesky(x), positive),
    ("eigvalsh", lambda lin, x: lin.eigvalsh(x) ** 2, positive),
    ("pinv", lambda lin, x: lin.pinv(x[:, :2]), plain),
    ("qr", lambda lin, x: abs(lin.qr(x)[1]) ** 2, plain),
    ("svd", lambda lin, x: abs(lin.svd(x, full_matrices=False)[0]) ** 2, plain),
    ("eig", lambda lin, x: abs(lin.eig(x)[0]) ** 2, plain),
    ("power", lambda lin, x: lin.matrix_power(x, -3), plain),
]


@pytest.mark.grad_check
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize(("name", "fun", "make"), COMPARED)
def test_gradients_are_torchs(name, fun, make, dtype):
    torch = pytest.importorskip("torch")
    x = make(fill(0, (3, 3), dtype))
    theirs = torch.asarray(x).requires_grad_(True)
    abs(fun(torch.linalg, theirs)).sum().backward()
    own = volta.grad(lambda x: F.sum(F.abs(fun(L, x))))(x)
    # the conjugate is torch's convention
    np.testing.assert_allclose(
        own, np.conj(theirs.grad.resolve_conj().numpy()), rtol=1e-8, atol=1e-10
    )


@pytest.mark.grad_check
@pytest.mark.parametrize("name", ["solve", "det", "cholesky", "eigvalsh", "pinv"])
def test_gradients_are_those_of_jax(name):
    jax = pytest.importorskip("jax")
    fun, make = next(row[1:] for row in COMPARED if row[0] == name)
    x = make(fill(0, (3, 3), "complex64"))
    theirs = jax.grad(lambda x: jax.numpy.sum(abs(fun(jax.numpy.linalg, x))))(x)
    own = volta.grad(lambda x: F.sum(F.abs(fun(L, x))))(jax.numpy.asarray(x))
    np.testing.assert_allclose(own, theirs, rtol=1e-3, atol=1e-3)


# Errors -------------------------------------------------------------------------------------------


X = np.ones((2, 3))
BAD = [
    (lambda: L.expm(X), ShapeError, "expm: the last two axes must have one length; got"),
    (lambda: L.kron(X, X[0]), ShapeError, "kron: the array must have two axes or more; got"),
    (lambda: L.multi_dot([X]), ShapeError, "multi_dot: there must be two arrays or more; got 1"),
    (lambda: L.eigvals(X), ShapeError, r"eigvals: the last two axes must have one length; got"),
    (lambda: L.diagonal(X[0]), ShapeError, r"diagonal: the array must have two axes or more; got"),
    (lambda: L.outer(X, X), ShapeError, r"outer: both arrays must have one axis; got \(2, 3\) and"),
    (
        lambda: L.cross(X, X, axis=0),
        ShapeError,
        r"cross: both arrays must have length 3 along axis 0",
    ),
    (
        lambda: L.solve(np.eye(3), np.ones(2)),
        ShapeError,
        "solve: the right sides must have the len",
    ),
    (
        lambda: L.solve(np.eye(3), np.ones(())),
        ShapeError,
        "solve: the right side must have an axis",
    ),
    (
        lambda: L.solve(np.ones((2, 3, 3)), np.ones((4, 3, 1))),
        BroadcastError,
        "solve: .* broadcast",
    ),
    (
        lambda: L.lstsq(X, np.ones(3)),
        ShapeError,
        "lstsq: the right sides must have the length of the",
    ),
    (
        lambda: L.qr(X, mode="raw"),
        ValueError,
        r'qr: mode must be "reduced" or "complete"; got \'raw',
    ),
    (lambda: L.matrix_norm(X, ord=3), ValueError, 'matrix_norm: ord must be "fro", .*; got 3'),
    (
        lambda: L.inv(np.eye(2, dtype=int)),
        DTypeError,
        "inv: the dtype must be real or complex float",
    ),
    (
        lambda: L.inv(np.zeros((2, 2))),
        np.linalg.LinAlgError,
        "inv: the matrix must be invertible; got",
    ),
    (
        lambda: L.cholesky(-np.eye(2)),
        np.linalg.LinAlgError,
        "cholesky: the matrix must be positive",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_bad_operands(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: L.inv(x), "inv: the matrix must be invertible; got a singular one."),
        (lambda x: L.solve(x, x), "solve: the matrix must be invertible; got a singular one."),
        (lambda x: L.cholesky(x - 1), "cholesky: the matrix must be positive definite; got one"),
    ],
)
def test_every_librarys_error_is_one(call, message, lib):
    x = library(lib).asarray(np.stack([np.eye(2), np.zeros((2, 2))]))
    for mode in MODES[:3]:
        with pytest.raises(np.linalg.LinAlgError, match=message):
            under(mode, call, (x,))


SINGULAR = {
    "qr": lambda x: F.sum(F.stack([*L.qr(x)]), axis=(0, -2, -1)),
    "qr, complete": lambda x: F.sum(L.qr(x, mode="complete")[0], axis=(-2, -1)),
    "slogdet": lambda x: L.slogdet(x)[1],
}


@pytest.mark.parametrize("lib", [*LIBRARIES, "jax"])
@pytest.mark.parametrize("name", SINGULAR)
def test_derivatives_at_one_singular_matrix_are_nan_there_and_right_elsewhere(name, lib):
    function, lib = SINGULAR[name], library(lib)
    x = np.stack([np.asarray([[1.0, 2.0], [1.5, 1.0]]), np.asarray([[1.0, 1.0], [0.0, 0.0]])])
    t = np.asarray([[1.0, 2.0], [3.0, 4.0]])

    def pulled(x):
        return volta.grad(lambda x: F.sum(function(x)))(x)

    def pushed(x):
        return volta.jvp(function, (x,), (lib.asarray(np.broadcast_to(t, x.shape).copy()),))[1]

    def along(x):
        return F.sum(pulled(x) * lib.asarray(t), axis=(-2, -1))

    def twice(x):
        return volta.grad(lambda x: F.sum(along(x)))(x)

    def pushed_twice(x):
        return volta.jvp(pushed, (x,), (lib.asarray(np.broadcast_to(t, x.shape).copy()),))[1]

    with quiet():
        for derivative in (pulled, pushed, along, twice, pushed_twice):
            alone = lib.host(derivative(lib.asarray(x[:1])))
            for out in (derivative(lib.asarray(x)), volta.vmap(derivative)(lib.asarray(x))):
                out = lib.host(out)
                np.testing.assert_allclose(out[0], alone[0], rtol=1e-4, err_msg=derivative.__name__)
                assert np.isnan(out[1]).all(), derivative.__name__


@pytest.mark.parametrize("name", ["inv", "eigh", "qr", "svd", "pinv"])
def test_staging_states_the_same_errors(name):
    with pytest.raises(ShapeError, match=f"{name}: "):
        volta.trace(getattr(L, name))(np.ones(3))


def test_results_have_the_standards_names():
    x = np.eye(2)
    assert L.eigh(x)._fields == L.eig(x)._fields == ("eigenvalues", "eigenvectors")
    assert L.svd(x)._fields == ("U", "S", "Vh")
    assert L.qr(x)._fields == ("Q", "R")
    assert L.slogdet(x)._fields == ("sign", "logabsdet")


def test_a_traced_tolerance_is_read():
    x = np.diag([1.0, 0.1])
    found = volta.grad(lambda r: F.sum(F.linalg.pinv(x, rtol=r)) + F.sum(r))(np.asarray(0.5))
    assert found == 1.0
    out = volta.jvp(lambda r: F.linalg.matrix_rank(x, rtol=r), (np.asarray(0.5),), (np.ones(()),))[
        0
    ]
    assert int(out) == 1
