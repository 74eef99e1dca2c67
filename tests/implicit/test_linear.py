"""Solvers of linear equations that are given by functions."""

import numpy as np
import pytest

import volta
import volta.functional as F
from volta import tree
from volta.implicit import cg, dense, gmres, normal_cg

SOLVERS = {f.__name__: f for f in (dense, cg, gmres, normal_cg)}
GENERAL = {name: SOLVERS[name] for name in ("dense", "gmres", "normal_cg")}

_rng = np.random.default_rng(0)
A = np.eye(6) + 0.3 * _rng.normal(size=(6, 6))
POSITIVE = A @ A.T
B = _rng.normal(size=6)


@pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS)
def test_positive_definite(solve):
    np.testing.assert_allclose(solve(lambda x: POSITIVE @ x, B), np.linalg.solve(POSITIVE, B))


@pytest.mark.parametrize("solve", GENERAL.values(), ids=GENERAL)
def test_general(solve):
    np.testing.assert_allclose(solve(lambda x: A @ x, B), np.linalg.solve(A, B))


@pytest.mark.parametrize("solve", GENERAL.values(), ids=GENERAL)
def test_trees_of_several_dtypes(solve):
    b = {"z": (B + 1j)[:3], "x": [B[3:5].astype(np.float32), B[5]]}

    def matvec(t):
        z, (x, y) = t["z"], t["x"]
        assert (x.dtype, y.shape) == (np.float32, ())
        wide = F.astype(F.real(z[:2]), "float32")
        return {"z": (2 + 1j) * z + 0.3 * y, "x": [3 * x + wide, y + F.imag(z[2])]}

    x = solve(matvec, b, **({} if solve is dense else {"rtol": 1e-6}))
    found = matvec(x)
    for got, wanted in zip(tree.leaves(found), tree.leaves(b), strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_allclose(got, wanted, rtol=1e-4)


@pytest.mark.parametrize("solve", GENERAL.values(), ids=GENERAL)
def test_maps_linear_in_real_factors_only(solve):
    b = np.asarray([1 + 2j, -1j])
    x = solve(lambda z: 2 * z + 0.5j * F.conj(z), b)
    np.testing.assert_allclose(2 * x + 0.5j * np.conj(x), b)


@pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS)
def test_zeros_and_nothing(solve):
    np.testing.assert_array_equal(solve(lambda x: POSITIVE @ x, np.zeros(6)), np.zeros(6))
    assert solve(lambda x: x, np.zeros((0, 2))).shape == (0, 2)


@pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS)
def test_torch(solve):
    torch = pytest.importorskip("torch")
    a, b = torch.tensor(POSITIVE), torch.tensor(B)
    x = solve(lambda x: a @ x, b)
    assert type(x) is torch.Tensor
    np.testing.assert_allclose(x.numpy(), np.linalg.solve(POSITIVE, B))


@pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS)
def test_in_sixteen_bits_the_work_is_done_in_thirty_two(solve):
    half = np.asarray([1.0, 2.0], np.float16)
    x = solve(lambda x: x * np.asarray([3.0, 4.0], np.float16), half)
    assert x.dtype == np.float16
    np.testing.assert_allclose(x, [1 / 3, 0.5], rtol=2e-3)


def test_dense_is_mapped_and_differentiated():
    lanes = np.stack([A, 2 * A])
    found = volta.vmap(lambda a: dense(lambda x: a @ x, B))(lanes)
    np.testing.assert_allclose(found, np.linalg.solve(lanes, B))

    def total(solve):
        return volta.grad(lambda a: F.sum(solve(a) ** 2))(A)

    expected = total(lambda a: F.linalg.solve(a, B))
    np.testing.assert_allclose(total(lambda a: dense(lambda x: a @ x, B)), expected, rtol=1e-10)


@pytest.mark.parametrize("a", [np.ones((2, 2)), np.zeros((2, 2)), np.diag([1.0, 1e-17])])
def test_dense_is_nan_where_the_map_is_singular(a):
    assert np.isnan(dense(lambda x: a @ x, np.ones(2))).all()
    lanes = volta.vmap(lambda a: dense(lambda x: a @ x, np.ones(2)))(np.stack([a, np.eye(2)]))
    np.testing.assert_array_equal(lanes, [[np.nan, np.nan], [1, 1]])


def test_gmres_begins_again():
    calls = []

    def matvec(x):
        calls.append(1)
        return A @ x

    np.testing.assert_allclose(gmres(matvec, B, restart=3, maxiter=500), np.linalg.solve(A, B))
    assert len(calls) > 8
    calls.clear()
    gmres(matvec, B)
    assert len(calls) == 7  # one a direction, and one for the residual


@pytest.mark.parametrize("solve", [cg, gmres, normal_cg])
def test_tolerances_save_steps(solve):
    a = POSITIVE + 20 * np.eye(6)
    counts = []
    for rtol in (1e-2, 1e-12):
        steps = []
        x = solve(lambda x, steps=steps: steps.append(0) or a @ x, B, rtol=rtol)
        assert np.linalg.norm(a @ x - B) <= 2 * rtol * np.linalg.norm(B)
        counts.append(len(steps))
    assert counts[0] < counts[1]


SWAP = np.asarray([[0.0, 1.0], [1.0, 0.0]])
CASES = {
    r"cg: the map must be positive definite; got pᵀ A p = -2 for a vector p of length 1\.41": (
        lambda: cg(lambda x: -x, np.ones(2))
    ),
    r"cg: must converge; got a residual of .*, after 2 steps. Raise maxiter or rtol, or use": (
        lambda: cg(lambda x: POSITIVE @ x, B, maxiter=2)
    ),
    r"gmres: must converge; got a residual of .*, after 3 steps. Raise maxiter": (
        lambda: gmres(lambda x: A @ x, B, maxiter=2)
    ),
    r"gmres: must converge; got a residual of 1, where .* was asked for": (
        lambda: gmres(lambda x: SWAP @ x, np.asarray([1.0, 0.0]), restart=1)
    ),
    r"normal_cg: the map must be regular; got a least residual of 1 for a right-hand": (
        lambda: normal_cg(lambda x: np.diag([1.0, 0.0]) @ x, np.ones(2))
    ),
}


@pytest.mark.parametrize("message", CASES)
def test_messages(message):
    with pytest.raises(np.linalg.LinAlgError, match=message):
        CASES[message]()
