"""Transforms of transforms, in every order: against finite differences, and JAX where installed."""

import itertools
import math

import numpy as np
import pytest

import volta
import volta.functional as F

pytestmark = [pytest.mark.core, pytest.mark.grad_check]

X = np.asarray([0.7, 1.3, 2.1])


def derivative(fun, x, order=1):
    """Central difference of a function of one number."""
    step = {1: 1e-6, 2: 1e-4, 3: 1e-3}[order]
    points, weights = {
        1: ((-1, 1), (-0.5, 0.5)),
        2: ((-1, 0, 1), (1, -2, 1)),
        3: ((-2, -1, 1, 2), (-0.5, 1, -1, 0.5)),
    }[order]
    return sum(w * fun(x + k * step) for k, w in zip(points, weights, strict=True)) / step**order


def forward(fun):
    """Derivative of a function of one number, by forward mode."""
    return lambda x: volta.jvp(fun, (x,), (F.ones_like(x),))[1]


def pulled(fun):
    """Derivative by `vjp`."""

    def slope(x):
        out, vjp_fn = volta.vjp(fun, x)
        return vjp_fn(F.ones_like(out))[0]

    return slope


def staged(fun):
    """The function by way of a list."""
    return lambda x: volta.trace(fun)(x)(x)


def batched(fun):
    """The function in one of two lanes."""
    return lambda x: volta.vmap(fun)(F.stack([x, x * 0 + 0.5]))[0]


MODES = {"forward": forward, "reverse": volta.grad, "vjp": pulled}
TWO = ("forward", "reverse")


def orders(names, repeat):
    found = list(itertools.product(names, repeat=repeat))
    return pytest.mark.parametrize("modes", found, ids=["-".join(m) for m in found])


def _written(x):
    out = F.zeros(2, dtype=F.float64)
    out[0] = F.exp(x) * x
    part = out[1:]
    part += F.exp(x)
    out[1] *= part[0]
    return F.sum(out)


FUNCTIONS = {
    "sin of cube": (lambda x: F.sin(x**3), lambda x: math.sin(x**3)),
    "quotient": (lambda x: F.exp(x) / (1 + x * x), lambda x: math.exp(x) / (1 + x * x)),
    "logs": (lambda x: F.log(x) * F.tanh(2 * x), lambda x: math.log(x) * math.tanh(2 * x)),
    "array": (
        lambda x: F.sum(F.cos(x * np.arange(3.0)) @ np.ones((3, 2))),
        lambda x: 2 * sum(math.cos(x * k) for k in range(3)),
    ),
    "writing": (_written, lambda x: math.exp(x) * x + math.exp(2 * x)),
}
functions = pytest.mark.parametrize(("fun", "plain"), list(FUNCTIONS.values()), ids=list(FUNCTIONS))


@functions
@orders(MODES, 2)
def test_second_derivatives_in_every_pair_of_modes(fun, plain, modes):
    for mode in reversed(modes):
        fun = MODES[mode](fun)
    found = fun(np.asarray(0.8))
    assert type(found) is np.ndarray
    np.testing.assert_allclose(found, derivative(plain, 0.8, 2), rtol=1e-6, atol=1e-6)


@functions
@orders(MODES, 3)
def test_third_derivatives_in_every_triple_of_modes(fun, plain, modes):
    for mode in reversed(modes):
        fun = MODES[mode](fun)
    np.testing.assert_allclose(
        fun(np.asarray(0.8)), derivative(plain, 0.8, 3), rtol=2e-4, atol=1e-3
    )


@orders(TWO, 4)
@pytest.mark.parametrize(
    ("fun", "wanted"),
    [
        (F.exp, math.exp(0.3)),
        (lambda x: F.sin(x) * x, math.sin(0.3) * 0.3 - 4 * math.cos(0.3)),
        (lambda x: x**6 / x, 120 * 0.3),
    ],
)
def test_fourth_derivatives(fun, wanted, modes):
    for mode in reversed(modes):
        fun = MODES[mode](fun)
    np.testing.assert_allclose(fun(np.asarray(0.3)), wanted, rtol=1e-10)


@functions
@pytest.mark.parametrize("wrap", [staged, batched], ids=["trace", "vmap"])
@pytest.mark.parametrize("place", [0, 1, 2])
@orders(TWO, 2)
def test_staging_and_batching_anywhere_between_derivatives(fun, plain, wrap, place, modes):
    wraps = [MODES[m] for m in modes]
    wraps.insert(place, wrap)
    for one in reversed(wraps):
        fun = one(fun)
    np.testing.assert_allclose(
        fun(np.asarray(0.8)), derivative(plain, 0.8, 2), rtol=1e-6, atol=1e-6
    )


ORDERS = list(itertools.permutations(["forward", "reverse", "trace", "vmap"]))


@pytest.mark.parametrize("order", ORDERS, ids=["-".join(o) for o in ORDERS])
def test_four_transforms_in_every_order(order):
    wraps = MODES | {"trace": staged, "vmap": batched}
    fun, plain = FUNCTIONS["quotient"]
    for name in order:
        fun = wraps[name](fun)
    np.testing.assert_allclose(fun(np.asarray(0.8)), derivative(plain, 0.8, 2), rtol=1e-6)


# Of several variables ----------------------------------------------------------------------------


def rosenbrock(x):
    return F.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def hessian_of_rosenbrock(x):
    h = np.zeros((3, 3))
    for i in range(2):
        h[i, i] += 1200 * x[i] ** 2 - 400 * x[i + 1] + 2
        h[i + 1, i + 1] += 200
        h[i, i + 1] = h[i + 1, i] = -400 * x[i]
    return h


def along(t):
    """Directional derivative of `rosenbrock`."""
    return lambda y: volta.jvp(rosenbrock, (y,), (t,))[1]


HESSIANS = {
    "jvp of grad": lambda x, t: volta.jvp(volta.grad(rosenbrock), (x,), (t,))[1],
    "vjp of grad": lambda x, t: volta.vjp(volta.grad(rosenbrock), x)[1](t)[0],
    "grad of jvp": lambda x, t: volta.grad(along(t))(x),
    "grad of a product": lambda x, t: volta.grad(lambda y: F.vecdot(volta.grad(rosenbrock)(y), t))(
        x
    ),
    "jvp of jvp": lambda x, t: volta.vmap(lambda s: volta.jvp(along(s), (x,), (t,))[1])(np.eye(3)),
    "jvp of a staged grad": lambda x, t: volta.jvp(
        volta.trace(volta.grad(rosenbrock))(x), (x,), (t,)
    )[1],
}


@pytest.mark.parametrize("product", list(HESSIANS.values()), ids=list(HESSIANS))
def test_rows_of_a_hessian_one_at_a_time_and_together(product):
    wanted = hessian_of_rosenbrock(X)
    rows = np.stack([product(X, t) for t in np.eye(3)])
    np.testing.assert_allclose(rows, wanted, rtol=1e-12, atol=1e-10)
    together = volta.vmap(lambda t: product(X, t))(np.eye(3))
    np.testing.assert_allclose(together, wanted, rtol=1e-12, atol=1e-10)


def test_one_list_swept_for_all_rows():
    _, vjp_fn = volta.vjp(volta.grad(rosenbrock), X)
    (together,) = volta.vmap(vjp_fn)(np.eye(3))
    np.testing.assert_allclose(together, hessian_of_rosenbrock(X), rtol=1e-12, atol=1e-10)


def network(params, x):
    hidden = F.tanh(x @ params["w1"] + params["b1"])
    return F.log_softmax(hidden @ params["w2"])[..., 0]


rng = np.random.default_rng(0)
PARAMS = {"w1": rng.normal(size=(3, 4)), "b1": rng.normal(size=4), "w2": rng.normal(size=(4, 2))}
INPUTS = rng.normal(size=(5, 3))
names = pytest.mark.parametrize("name", list(PARAMS))


@names
def test_vmap_of_grad_is_the_loop(name):
    """Gradients of each example alone."""
    found = volta.vmap(volta.grad(network), in_axes=(None, 0))(PARAMS, INPUTS)
    wanted = np.stack([volta.grad(network)(PARAMS, x)[name] for x in INPUTS])
    np.testing.assert_allclose(found[name], wanted, rtol=1e-12)


@names
def test_grad_of_vmap_is_the_sum_over_examples(name):
    def total(params):
        return F.sum(volta.vmap(network, in_axes=(None, 0))(params, INPUTS))

    each = volta.vmap(volta.grad(network), in_axes=(None, 0))(PARAMS, INPUTS)
    np.testing.assert_allclose(volta.grad(total)(PARAMS)[name], each[name].sum(axis=0), rtol=1e-12)


@names
def test_grad_of_vmap_of_grad(name):
    """A gradient penalty."""

    def penalty(params):
        slopes = volta.vmap(volta.grad(network, argnums=1), in_axes=(None, 0))(params, INPUTS)
        return F.sum(slopes**2)

    found = volta.grad(penalty)(PARAMS)[name]
    direction = np.cos(np.arange(found.size)).reshape(found.shape)
    wanted = derivative(lambda s: penalty(PARAMS | {name: PARAMS[name] + s * direction}), 0.0)
    np.testing.assert_allclose(np.sum(found * direction), wanted, rtol=1e-6)


@names
def test_trace_of_grad_shows_the_sweep_and_runs(name):
    swept = volta.trace(volta.grad(network))(PARAMS, INPUTS[0])
    swept.check()
    assert sum(e.primitive.name == "matmul" for e in swept.entries) > 2
    found = swept(*(PARAMS[k] for k in sorted(PARAMS)), INPUTS[1])
    wanted = volta.grad(network)(PARAMS, INPUTS[1])
    np.testing.assert_allclose(found[name], wanted[name], rtol=1e-12)


def test_jvp_of_vmap_of_grad_of_trace():
    def fun(t):
        slopes = volta.vmap(volta.grad(lambda x: staged(rosenbrock)(x * t)))(INPUTS)
        return F.sum(slopes * slopes)

    found = volta.jvp(fun, (np.asarray(0.9),), (np.asarray(1.0),))[1]
    np.testing.assert_allclose(found, derivative(lambda t: fun(np.asarray(t)), 0.9), rtol=1e-6)


# Perturbation confusion --------------------------------------------------------------------------

outers = pytest.mark.parametrize("outer", list(MODES.values()), ids=list(MODES))
inners = pytest.mark.parametrize("inner", list(MODES.values()), ids=list(MODES))


@outers
@inners
def test_siskind_and_pearlmutters_example(outer, inner):
    """d/dx (x · d/dy (x + y) at y = 1) is 1, not 2."""
    found = outer(lambda x: x * inner(lambda y: x + y)(np.asarray(1.0)))(np.asarray(3.0))
    assert found == 1.0


@outers
@inners
def test_the_inner_point_depends_on_the_outer_variable(outer, inner):
    """d/dx (x · d/dy (x y²) at y = x) = d/dx 2x³ = 6x²."""
    found = outer(lambda x: x * inner(lambda y: x * y * y)(x))(np.asarray(2.0))
    assert found == 24.0


@outers
@inners
def test_a_function_that_returns_a_closure_over_the_perturbed(outer, inner):
    """The inner derivative is of a function made while the outer one is under way."""

    def shifted(x):
        return lambda f: lambda y: f(x + y)

    def at(x):
        return inner(shifted(x)(lambda y: F.sin(y) * x))(np.asarray(0.5))

    wanted = derivative(lambda x: math.cos(x + 0.5) * x, 0.3)
    np.testing.assert_allclose(outer(at)(np.asarray(0.3)), wanted, rtol=1e-8)


def test_an_inner_gradient_of_what_varies_outside_alone_is_zero():
    found = volta.value_and_grad(lambda x: volta.grad(lambda y: x * x)(x) + x)(np.asarray(3.0))
    assert [float(f) for f in found] == [3.0, 1.0]


def test_two_inner_gradients_side_by_side():
    def fun(x):
        return volta.grad(lambda y: y**3 * x)(x) * volta.grad(lambda y: F.sin(y) * x)(x)

    wanted = derivative(lambda x: 3 * x**3 * math.cos(x) * x, 0.7)
    np.testing.assert_allclose(volta.grad(fun)(np.asarray(0.7)), wanted, rtol=1e-8)


def test_a_vjp_function_of_the_outside_called_inside():
    """The outer list is swept with a cotangent that the inner transform varies."""
    _, vjp_fn = volta.vjp(lambda x: F.sin(x) * x, X)
    found = volta.grad(lambda ct: F.sum(vjp_fn(ct)[0] ** 2))(np.ones(3))
    np.testing.assert_allclose(found, 2 * (np.cos(X) * X + np.sin(X)) ** 2)


def test_a_vjp_function_called_after_its_arrays_were_written_to():
    def outer(x):
        y = x * 1
        _, vjp_fn = volta.vjp(lambda t: t * t * y, y)
        y *= 0  # later writes do not reach what was recorded
        return F.sum(vjp_fn(F.ones_like(x))[0])

    np.testing.assert_allclose(volta.grad(outer)(X), 4 * X)


# Choices under transforms ------------------------------------------------------------------------


@pytest.mark.parametrize(("x", "first", "second"), [(1.5, 3.0, 2.0), (-1.5, 0.0, 0.0)])
def test_branches_by_value_under_nested_derivatives(x, first, second):
    def squared(t):
        return (t if t > 0 else 0 * t) ** 2

    assert volta.grad(squared)(np.asarray(x)) == first
    assert volta.grad(volta.grad(squared))(np.asarray(x)) == second
    assert forward(volta.grad(squared))(np.asarray(x)) == second


def test_a_cut_is_a_constant_to_the_level_it_was_made_in_and_to_those_outside():
    fun = volta.grad(lambda x: volta.stop_gradient(x**3) * x)  # x̄³
    assert fun(np.asarray(2.0)) == 8.0
    assert volta.grad(fun)(np.asarray(2.0)) == 0.0


# Against JAX -------------------------------------------------------------------------------------


def lanes(x):
    return x * np.asarray([1.0, 0.5, 2.0], np.float32)


COMPOSED = {
    "grad of grad": lambda t, f, x: t.grad(t.grad(f))(x),
    "jvp of grad": lambda t, f, x: t.jvp(t.grad(f), (x,), (x * 0 + 1,))[1],
    "grad of jvp": lambda t, f, x: t.grad(lambda y: t.jvp(f, (y,), (y * 0 + 1,))[1])(x),
    "vmap of grad": lambda t, f, x: t.vmap(t.grad(f))(lanes(x)),
    "vmap of jvp of grad of vmap": lambda t, f, x: t.vmap(
        lambda v: t.jvp(t.grad(lambda y: t.vmap(f)(lanes(y)).sum()), (v,), (v,))[1]
    )(lanes(x)),
    "vjp of vmap of grad": lambda t, f, x: t.vjp(t.vmap(t.grad(f)), lanes(x))[1](lanes(x))[0],
}


@pytest.mark.parametrize("compose", list(COMPOSED.values()), ids=list(COMPOSED))
def test_compositions_agree_with_jax(compose):
    jax = pytest.importorskip("jax")

    def fun(xp):
        return lambda x: xp.sin(x) * xp.exp(x / 2) + xp.sqrt(x + 1)

    x = np.asarray(0.8, np.float32)
    np.testing.assert_allclose(
        compose(volta, fun(F), x), compose(jax, fun(jax.numpy), jax.numpy.asarray(x)), rtol=2e-5
    )
