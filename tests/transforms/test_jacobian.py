"""Jacobians, Hessians and products with them: finite differences, torch and JAX where installed."""

from typing import NamedTuple

import numpy as np
import pytest

import volta
import volta.functional as F
from volta import nn, tree

pytestmark = [pytest.mark.core, pytest.mark.grad_check]

rng = np.random.default_rng(0)
X = np.asarray([0.7, 1.3, 2.1])
Z = rng.normal(size=3) + 1j * rng.normal(size=3)
PARAMS = {"w": rng.normal(size=(3, 2)), "b": (rng.normal(size=2), rng.normal(size=()))}
MODES = {"forward": volta.jacfwd, "reverse": volta.jacrev}
modes = pytest.mark.parametrize("jacobian", list(MODES.values()), ids=list(MODES))
both = pytest.mark.parametrize(
    "jacobian", [volta.jacfwd, volta.jacrev, volta.hessian], ids=["jacfwd", "jacrev", "hessian"]
)


def network(p, x, xp=F):
    h = xp.tanh(x @ p["w"] + p["b"][0])
    return {"h": h, "s": xp.sum(h * h) * p["b"][1], "o": xp.exp(x) * x[0]}


def differences(fun, x, step=1e-6):
    """Jacobian of a function of one array, by central differences."""
    columns = []
    for i in np.ndindex(*x.shape):
        e = np.zeros_like(x)
        e[i] = step
        columns.append((np.asarray(fun(x + e)) - np.asarray(fun(x - e))) / (2 * step))
    return np.stack(columns, axis=-1).reshape(columns[0].shape + x.shape)


FUNCTIONS = {
    "scalar to scalar": (lambda x: F.sin(x) * x, np.asarray(0.7)),
    "scalar to vector": (lambda x: F.stack([x, x * x, F.exp(x)]), np.asarray(0.7)),
    "vector to scalar": (lambda x: F.sum(F.sin(x) * x[::-1]), X),
    "vector to vector": (lambda x: F.cumulative_sum(x * x), X),
    "vector to one element": (lambda x: F.sum(x**3, keepdims=True), X),
    "matrix to matrix": (lambda x: x @ x.T, rng.normal(size=(2, 3))),
    "part that does not vary": (lambda x: F.stack([x[0] * x[1], F.floor(x[2])]), X),
    "branches": (lambda x: F.stack([x[0] ** 2 if x[0] > 1 else x[1], x[1] * x[2]]), X),
}
functions = pytest.mark.parametrize(("fun", "x"), list(FUNCTIONS.values()), ids=list(FUNCTIONS))


@modes
@functions
def test_is_what_differences_say(jacobian, fun, x):
    found = jacobian(fun)(x)
    wanted = differences(fun, x)
    assert (type(found), found.shape, found.dtype) == (np.ndarray, wanted.shape, x.dtype)
    np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=1e-8)


@functions
def test_hessian_is_the_jacobian_of_the_jacobian(fun, x):
    found = volta.hessian(fun)(x)
    np.testing.assert_allclose(found, differences(volta.jacrev(fun), x), rtol=1e-6, atol=1e-7)
    for outer in MODES.values():
        for inner in MODES.values():
            np.testing.assert_allclose(outer(inner(fun))(x), found, rtol=1e-12, atol=1e-12)


@modes
@pytest.mark.parametrize("chunk_size", [1, 2, 3, 4, 100])
def test_chunks_are_the_whole(jacobian, chunk_size):
    found = jacobian(network, (0, 1), chunk_size=chunk_size)(PARAMS, X)
    wanted = jacobian(network, (0, 1))(PARAMS, X)
    assert tree.structure(found) == tree.structure(wanted)
    tree.map(lambda f, w: np.testing.assert_allclose(f, w, rtol=1e-14), found, wanted)
    hessian = volta.hessian(network, chunk_size=chunk_size)(PARAMS, X)
    wanted = volta.hessian(network)(PARAMS, X)
    tree.map(lambda f, w: np.testing.assert_allclose(f, w, rtol=1e-14), hessian, wanted)


@both
@pytest.mark.parametrize("argnums", [0, -1, (0,), (0, 1), (1, 0)], ids=str)
def test_trees_of_trees_as_in_jax(jacobian, argnums):
    jax = pytest.importorskip("jax")
    theirs = getattr(jax, jacobian.__name__)
    with jax.enable_x64(True):
        wanted = jax.jit(theirs(lambda p, x: network(p, x, jax.numpy), argnums))(PARAMS, X)
        for options in ({}, {"chunk_size": 2}):
            found = jacobian(network, argnums, **options)(PARAMS, X)
            assert tree.structure(found) == tree.structure(jax.tree.map(lambda x: 0, wanted))
            for x, y in zip(tree.leaves(found), jax.tree.leaves(wanted), strict=True):
                assert x.shape == y.shape
                np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-12)


@both
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_as_in_torch(jacobian):
    torch = pytest.importorskip("torch")
    x = torch.asarray(X)
    found = jacobian(lambda x: F.sin(x) * F.sum(x))(x)
    assert type(found) is torch.Tensor
    theirs = getattr(torch.func, jacobian.__name__)
    np.testing.assert_allclose(found, theirs(lambda x: torch.sin(x) * torch.sum(x))(x), rtol=1e-12)


@both
def test_array_api_strict(jacobian):
    xp = pytest.importorskip("array_api_strict")
    found = jacobian(lambda x: x * F.sum(x * x))(xp.asarray(X))
    assert type(found) is type(xp.asarray(X))
    wanted = jacobian(lambda x: x * F.sum(x * x))(X)
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-12)


@both
def test_auxiliary_results(jacobian):
    def fun(x):
        return F.sin(x), {"x": x * 2, "n": 3, "none": None}

    found, aux = jacobian(fun, has_aux=True)(X)
    np.testing.assert_allclose(found, jacobian(lambda x: F.sin(x))(X))
    np.testing.assert_array_equal(aux["x"], 2 * X)
    assert (type(aux["x"]), aux["n"], aux["none"]) == (np.ndarray, 3, None)
    with pytest.raises(TypeError, match=r"must return a pair \(out, aux\)"):
        jacobian(lambda x: x, has_aux=True)(X)


class Point(NamedTuple):
    x: object
    y: object


@modes
def test_other_nodes_and_keywords(jacobian):
    def fun(point, *, scale):
        return Point(point.x * scale, F.sum(point.y))

    found = jacobian(fun)(Point(X, np.ones(2)), scale=3.0)
    assert type(found) is Point
    assert type(found.x) is Point
    np.testing.assert_array_equal(found.x.x, 3 * np.eye(3))
    np.testing.assert_array_equal(found.y.y, np.ones(2))


@both
def test_modules_are_their_parameters(jacobian):
    layer = nn.Linear(3, 2, key=F.random.key(0), dtype=np.float64)

    def fun(layer):
        return F.tanh(layer(X))

    def of_parameters(p):
        return F.tanh(X @ p["weight"] + p["bias"])

    found, wanted = jacobian(fun)(layer), jacobian(of_parameters)(layer.parameters())
    assert tree.structure(found) == tree.structure(wanted)
    tree.map(lambda f, w: np.testing.assert_allclose(f, w, rtol=1e-12), found, wanted)


def test_empty_and_constant():
    assert volta.jacrev(lambda x: F.zeros(0))(X).shape == (0, 3)
    assert volta.jacfwd(lambda x: F.zeros(0))(X).shape == (0, 3)
    assert volta.jacfwd(lambda x: x)(np.zeros(0)).shape == (0, 0)
    assert volta.jacrev(lambda x: x)(np.zeros(0)).shape == (0, 0)
    np.testing.assert_array_equal(volta.jacfwd(lambda x: 2.0)(X), np.zeros(3))
    np.testing.assert_array_equal(volta.jacrev(lambda x: 2.0)(X), np.zeros(3))
    assert volta.jacfwd(lambda x: ())(X) == ()
    assert volta.jacfwd(lambda p, x: x, argnums=0)((), X) == ()
    assert volta.jacrev(lambda p, x: x, argnums=0)((), X) == ()
    assert volta.jacrev(lambda x: ())(X) == ()
    assert volta.jacobian is volta.jacrev


# Complex numbers ----------------------------------------------------------------------------------


def holomorphic(z):
    return F.exp(z * z[0])


@both
def test_holomorphic_functions(jacobian):
    found = jacobian(holomorphic, holomorphic=True)(Z)
    assert found.dtype == np.complex128
    if jacobian is volta.hessian:
        along = [volta.jacrev(holomorphic, holomorphic=True)(Z + h) for h in 1e-6 * np.eye(3)]
        back = [volta.jacrev(holomorphic, holomorphic=True)(Z - h) for h in 1e-6 * np.eye(3)]
        wanted = np.stack([(a - b) / 2e-6 for a, b in zip(along, back, strict=True)], -1)
    else:
        wanted = differences(holomorphic, Z)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        theirs = getattr(jax, jacobian.__name__)
        wanted = jax.jit(theirs(lambda z: jax.numpy.exp(z * z[0]), holomorphic=True))(Z)
    np.testing.assert_allclose(found, wanted, rtol=1e-10)


def test_real_results_of_complex_inputs_as_grad():
    found = volta.jacrev(lambda z: F.abs(z) ** 2 * F.real(z[0]))(Z)
    rows = [volta.grad(lambda z, i=i: F.abs(z[i]) ** 2 * F.real(z[0]))(Z) for i in range(3)]
    np.testing.assert_allclose(found, rows, rtol=1e-12)


def test_complex_results_of_real_inputs():
    found = volta.jacfwd(lambda x: F.exp(1j * x))(X)
    np.testing.assert_allclose(found, np.diag(1j * np.exp(1j * X)), rtol=1e-12)


# Under other transforms ---------------------------------------------------------------------------


def quartic(x):
    return F.sum(x**4) * x[0] + F.sum(F.sin(x)) ** 2


@both
def test_vmap_of_a_jacobian(jacobian):
    points = rng.normal(size=(4, 3))
    found = volta.vmap(jacobian(quartic))(points)
    np.testing.assert_allclose(found, [jacobian(quartic)(x) for x in points], rtol=1e-12)


@both
def test_grad_and_jvp_of_a_jacobian(jacobian):
    def total(x):
        return F.sum(jacobian(quartic)(x) ** 2)

    found = volta.grad(total)(X)
    np.testing.assert_allclose(found, differences(total, X), rtol=1e-5)
    np.testing.assert_allclose(volta.jvp(total, (X,), (X,))[1], np.sum(found * X), rtol=1e-12)


@both
def test_a_staged_jacobian(jacobian):
    wengert = volta.trace(jacobian(quartic))(X)
    np.testing.assert_allclose(wengert(2 * X), jacobian(quartic)(2 * X), rtol=1e-12)


# Products -----------------------------------------------------------------------------------------

V = rng.normal(size=3)


@pytest.mark.parametrize("product", [volta.hvp, volta.vhp])
def test_hessian_vector_products(product):
    grads, found = product(quartic, (X,), (V,))
    np.testing.assert_allclose(grads, volta.grad(quartic)(X), rtol=1e-12)
    np.testing.assert_allclose(found, volta.hessian(quartic)(X) @ V, rtol=1e-12)


@pytest.mark.parametrize("product", [volta.hvp, volta.vhp])
def test_products_of_several_trees(product):
    def fun(p, x):
        return F.sum(network(p, x)["h"]) * network(p, x)["s"]

    vector = (tree.map(lambda x: np.asarray(np.cos(x)), PARAMS), V)
    grads, found = product(fun, [PARAMS, X], vector)
    tree.map(np.testing.assert_allclose, grads, volta.grad(fun, (0, 1))(PARAMS, X))

    def along(s):
        moved = tree.map(lambda x, v: x + s * v, (PARAMS, X), vector)
        return volta.grad(fun, (0, 1))(*moved)

    def close(f, up, down):
        np.testing.assert_allclose(f, (up - down) / 2e-6, rtol=1e-6, atol=1e-8)

    tree.map(close, found, along(1e-6), along(-1e-6))


@pytest.mark.parametrize("product", [volta.hvp, volta.vhp])
def test_products_for_a_module(product):
    layer = nn.Linear(3, 2, key=F.random.key(0), dtype=np.float64)
    vector = tree.map(np.cos, layer.parameters())

    def loss(layer):
        return F.sum(F.tanh(layer(X)) ** 2)

    def of_parameters(p):
        return F.sum(F.tanh(X @ p["weight"] + p["bias"]) ** 2)

    found = product(loss, (layer,), (vector,))
    wanted = volta.hvp(of_parameters, (layer.parameters(),), (vector,))
    tree.map(lambda f, w: np.testing.assert_allclose(f, w, rtol=1e-12), found, wanted)


def model(x):
    return {"a": F.sin(x) * x[0], "b": F.sum(x**2)}


def model_loss(z):
    return F.sum(z["a"] ** 4) * z["b"] + F.exp(z["b"] / 5)


def test_gauss_newton_product_is_made_of_the_jacobian_and_the_hessian_of_the_loss():
    def flat(x):
        z = model(x)
        return F.concat([z["a"], F.reshape(z["b"], (1,))])

    jacobian = volta.jacfwd(flat)(X)
    hessian = volta.hessian(lambda z: model_loss({"a": z[:3], "b": z[3]}))(flat(X))
    found = volta.ggn_vp(model, model_loss, (X,), (V,))
    np.testing.assert_allclose(found, jacobian.T @ hessian @ jacobian @ V, rtol=1e-12)
    assert not np.allclose(found, volta.hvp(lambda x: model_loss(model(x)), (X,), (V,))[1])


def test_gauss_newton_product_of_several():
    found = volta.ggn_vp(lambda x, y: x * y, lambda z: F.sum(z**2) / 2, (X, V), (V, X))
    slope = V * V + X * X  # ∂(xy) along (V, X)
    np.testing.assert_allclose(found[0], V * slope, rtol=1e-12)
    np.testing.assert_allclose(found[1], X * slope, rtol=1e-12)


# Errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: volta.jacfwd(lambda x: x)(np.arange(3)),
            volta.DTypeError,
            r"^jacfwd\(<lambda>\): inputs must be real floating; got int64 at input\.",
        ),
        (
            lambda: volta.jacrev(lambda x: x)({"a": np.arange(3)}),
            volta.DTypeError,
            r"^jacrev\(<lambda>\): inputs must be real or complex floating; got int64 at "
            r"input\['a'\]\.",
        ),
        (
            lambda: volta.jacrev(lambda x: {"a": (x, x > 0)})(X),
            volta.DTypeError,
            r"^jacrev\(<lambda>\): outputs must be real floating; got bool at "
            r"output\['a'\]\[1\]\.",
        ),
        (
            lambda: volta.jacfwd(lambda x: F.astype(x, F.int32))(X),
            volta.DTypeError,
            r"^jacfwd\(<lambda>\): outputs must be real or complex floating; got int32 at output\.",
        ),
        (
            lambda: volta.hessian(lambda x: x > 0)(X),
            volta.DTypeError,
            r"^jacrev\(<lambda>\): outputs must be real floating; got bool at output\.",
        ),
        (
            lambda: volta.jacfwd(lambda z: z)(Z),
            volta.DTypeError,
            r"inputs must be real floating; got complex128 at input\. Pass holomorphic=True, or "
            r"use jvp\.",
        ),
        (
            lambda: volta.jacrev(lambda z: z)(Z),
            volta.DTypeError,
            r"outputs must be real floating; got complex128 at output\. Pass holomorphic=True, or "
            r"use vjp\.",
        ),
        (
            lambda: volta.jacrev(lambda x: x, holomorphic=True)(X),
            volta.DTypeError,
            r"inputs must be complex; got float64 at input\. Leave holomorphic out\.",
        ),
        (
            lambda: volta.jacfwd(F.real, holomorphic=True)(Z),
            volta.DTypeError,
            r"^jacfwd\(real\): outputs must be complex; got float64 at output\. Leave holomorphic",
        ),
        (
            lambda: volta.jacfwd(lambda x: x, chunk_size=0),
            ValueError,
            r"^jacfwd\(<lambda>\): chunk_size must be an int of at least 1; got 0\.",
        ),
        (
            lambda: volta.jacrev(lambda x: x, chunk_size=2.0),
            ValueError,
            r"^jacrev\(<lambda>\): chunk_size must be an int of at least 1; got 2\.0\.",
        ),
        (
            lambda: volta.jacrev(lambda x: x, argnums=1)(X),
            ValueError,
            "argnums must number positional arguments of the call; got argnums=1 and 1 positional",
        ),
        (
            lambda: volta.hvp(quartic, X, X),
            TypeError,
            r"^hvp\(quartic\): primals must be a tuple or list; got ndarray\.",
        ),
        (
            lambda: volta.hvp(quartic, (X,), X),
            TypeError,
            r"tangents must be a tuple or list; got ndarray\.",
        ),
        (
            lambda: volta.vhp(quartic, (X,), X),
            TypeError,
            r"^vhp\(quartic\): cotangents must be a tuple or list, one for each of 1 primals; got "
            r"ndarray\.",
        ),
        (
            lambda: volta.vhp(quartic, (X,), (X, X)),
            TypeError,
            "one for each of 1 primals; got 2",
        ),
        (
            lambda: volta.hvp(lambda x: x, (X,), (X,)),
            TypeError,
            r"the function must return one number, shape \(\); got shape \(3,\)",
        ),
        (
            lambda: volta.ggn_vp(lambda x: x, lambda z: z, (X,), (X,)),
            TypeError,
            r"the function must return one number, shape \(\); got shape \(3,\)",
        ),
        (
            lambda: volta.ggn_vp(lambda x: x, F.sum, X, X),
            TypeError,
            r"primals must be a tuple or list; got ndarray\.",
        ),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=message):
        call()
