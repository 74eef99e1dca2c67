"""Values, first and second derivatives against torch and JAX, special values included.

Where the three differ the tables say so, with the reason; `VALUES` states what Volta gives there.
"""

import itertools

import numpy as np
import pytest
from strategies import quiet

import volta
import volta.functional as F

pytestmark = [pytest.mark.core, pytest.mark.grad_check]

NAN, INF = np.nan, np.inf


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def jax():
    found = pytest.importorskip("jax")
    before = found.config.jax_enable_x64
    found.config.update("jax_enable_x64", True)
    with found.disable_jit():  # compiling every function would take three times as long
        yield found
    found.config.update("jax_enable_x64", before)


# Derivatives by each library, of an elementwise function or of Σ w · f, as NumPy arrays -----------


def by_volta(fun, args, order):
    """Derivative with respect to the operands that `order` numbers, one after another."""
    for n in order:
        fun = volta.grad(lambda *a, f=fun: F.sum(f(*a)), n)
    with quiet():
        return np.asarray(fun(*args))


def torch_grad(torch):
    """``grad`` by torch.autograd: importing torch.func takes five seconds."""

    def grad(fun, nums):
        def gradient(*args):
            args = [a if a.requires_grad else a.clone().requires_grad_(True) for a in args]
            out = fun(*args)
            chosen = [args[n] for n in nums]
            if not out.requires_grad:
                return tuple(map(torch.zeros_like, chosen))
            return torch.autograd.grad(
                out, chosen, create_graph=True, allow_unused=True, materialize_grads=True
            )

        return gradient

    return grad


def first_of(fun):
    return lambda *args: fun(*args)[0]


def by_torch(torch, fun, args, order):
    for n in order:
        fun = first_of(torch_grad(torch)(lambda *a, f=fun: f(*a).sum(), (n,)))
    return fun(*map(torch.asarray, args)).resolve_conj().numpy(force=True)


def by_jax(jax, fun, args, order):
    for n in order:
        fun = jax.grad(lambda *a, f=fun: f(*a).sum(), n)
    return np.asarray(fun(*map(jax.numpy.asarray, args)))


def by(oracle, request, names, args, order):
    """What an oracle's function of a name gives, or None if it has none."""
    library = request.getfixturevalue(oracle)
    roots = (
        [library, library.nn.functional]
        if oracle == "torch"
        else [library.numpy, library.nn, library.lax]
    )
    for root, name in itertools.product(roots, names):
        if hasattr(root, name):
            return (by_torch if oracle == "torch" else by_jax)(
                library, getattr(root, name), args, order
            )
    raise AttributeError(names)


def assert_equal_but(got, expected, skipped, args, tolerance=1e-9):
    """Equal, NaN and infinities included, wherever `skipped` does not say otherwise."""
    with quiet():
        close = np.isclose(got, expected, rtol=tolerance, atol=1e-14, equal_nan=True)
    wrong = ~(close | skipped)
    lines = [
        f"{tuple(map(float, point))}: {g!r}, oracle {e!r}"
        for *point, g, e, w in zip(*args, got, expected, wrong, strict=True)
        if w
    ]
    assert not lines, "\n".join(lines)


# Elementwise, one operand -------------------------------------------------------------------------

POINTS = np.asarray(
    [
        *(0.0, -0.0, 0.3, -0.7, 0.5, -0.5, 1.0, -1.0, 1.5, -1.5, 2.0, -2.0, 3.0, 1e-8),
        *(20.0, -20.0, 800.0, -800.0, 1e100, -1e100, INF, -INF, NAN),
    ]
)

# name: its names elsewhere
UNARY = {
    name: (name,)
    for name in (
        *("abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "exp"),
        *("exp2", "expm1", "floor", "leaky_relu", "log", "log10", "log1p", "log2", "negative"),
        *("positive", "reciprocal", "relu", "round", "sigmoid", "sign", "silu", "sin", "sinh"),
        *("softplus", "sqrt", "square", "tan", "tanh", "trunc"),
        *("celu", "elu", "gelu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "mish"),
        *("relu6", "selu", "softshrink", "softsign", "tanhshrink"),
    )
}
UNARY |= {
    "logsigmoid": ("logsigmoid", "log_sigmoid"),
    "softsign": ("softsign", "soft_sign"),
    "squareplus": ("squareplus",),
    **{f"hard{n}": (f"hard{n}", f"hard_{n}") for n in ("sigmoid", "swish", "tanh")},
}
ABSENT = {  # oracles that have no such function, or another of that name
    *(("jax", n) for n in ("gelu", "hardshrink", "softshrink", "tanhshrink")),
    ("torch", "squareplus"),
}


def at(*points):
    return lambda x: np.isin(x, points)


def nan(x):
    return np.isnan(x)


# oracle, name, orders of derivative, points, reason
UNARY_DIFFERENCES = [
    ("jax", "abs", "1", at(0.0), "JAX takes the derivative from the right, 1, at the kink"),
    ("jax", "abs", "1", nan, "a number, though the value is NaN"),
    ("torch", "abs", "1", nan, "a number, though the value is NaN"),
    ("torch", "sign", "0", nan, "0 for NaN"),
    ("torch", "relu", "1", nan, "1 for NaN"),
    ("jax", "leaky_relu", "1", at(0.0), "the slope of the right; torch and Volta take the left"),
    (
        "both",
        ("gelu", "hardswish", "mish", "silu", "softsign", "squareplus"),
        "012",
        at(INF, -INF),
        "NaN, ∞ · 0 or ∞ / ∞; the limits here",
    ),
    ("torch", "gelu", "2", at(1e100, -1e100), "NaN, ∞ · 0"),
    ("torch", "mish", "2", at(800.0, 1e100), "NaN, ∞ / ∞"),
    ("both", ("celu", "elu", "selu"), "1", nan, "a number, though the value is NaN"),
    (
        "jax",
        ("celu", "elu", "selu"),
        "2",
        at(0.0),
        "the left's; torch and Volta have the right's 0",
    ),
    ("jax", "softsign", "2", at(0.0), "that of the right, −2; torch and Volta have 0"),
    ("jax", ("celu", "elu", "selu"), "2", nan, "NaN, as the value; 0 here"),
    (
        "both",
        ("hardshrink", "hardswish", "hardtanh", "relu6", "softshrink"),
        "1",
        nan,
        "1, though the value is NaN",
    ),
    ("jax", "hardswish", "1", nan, "NaN, as the value; 0 here"),
    ("jax", "hardtanh", "1", at(1.0, -1.0), "the slope inside; torch and Volta have 0"),
    ("torch", "hardsigmoid", "1", lambda x: np.abs(x) < 3, "1 / 6 rounded to float32"),
    ("both", "acosh", "12", lambda x: x < 1, "numbers outside of the domain, from √(x² − 1)"),
    ("both", "acosh", "2", at(1.0), "infinite; NaN here, ∞ − ∞ of two products"),
    ("both", "acosh", "1", at(1e100, -1e100), "0: x² overflows nothing here, but 1/x² does there"),
    ("both", "acos", "2", at(1.0, -1.0), "infinite; NaN here, ∞ · 0 of (1 − x)(1 + x)"),
    ("both", "asin", "2", at(1.0, -1.0), "infinite; NaN here, ∞ · 0 of (1 − x)(1 + x)"),
    ("both", "atanh", "2", at(1.0, -1.0), "infinite; NaN here, ∞ · 0 of (1 − x)(1 + x)"),
    ("both", "atanh", "2", at(INF, -INF), "0 or NaN, outside of the domain"),
    ("torch", "softplus", "12", at(20.0, 800.0), "the identity beyond its threshold of 20"),
    ("torch", "softplus", "0", at(20.0), "the identity beyond its threshold of 20"),
]


def skipped(table, oracle, name, order, *args):
    found = np.zeros(np.shape(args[0]), bool)
    for who, what, orders, points, _ in table:
        names = (what,) if isinstance(what, str) else what
        if who in (oracle, "both") and name in names and order in orders:
            found |= points(*args)
    return found


@pytest.mark.parametrize("oracle", ["torch", "jax"])
@pytest.mark.parametrize("order", [(), (0,), (0, 0)], ids=len)
@pytest.mark.parametrize("name", UNARY)
def test_unary_functions(name, order, oracle, request):
    if (oracle, name) in ABSENT or (oracle, name, order) == ("torch", "hardsigmoid", (0, 0)):
        pytest.skip("the oracle has no such function or derivative")
    got = by_volta(getattr(F, name), (POINTS,), order)
    expected = by(oracle, request, UNARY[name], (POINTS,), order)
    skip = skipped(UNARY_DIFFERENCES, oracle, name, str(len(order)), POINTS)
    assert_equal_but(got, expected, skip, (POINTS,))


# Elementwise, two operands ------------------------------------------------------------------------

SIDE = [0.0, -0.0, 0.5, 1.0, -1.0, 2.0, -2.0, 3.0, 30.0, -40.0, INF, -INF, NAN]
GRID = tuple(a.ravel() for a in np.meshgrid(np.asarray(SIDE), np.asarray(SIDE)))
BINARY = {
    **{n: (n,) for n in ("add", "copysign", "divide", "hypot", "logaddexp", "maximum", "minimum")},
    **{n: (n,) for n in ("multiply", "pow", "remainder", "subtract")},
    "atan2": ("atan2", "arctan2"),
}
FIRST, SECOND = ("0", "1"), ("00", "01", "10", "11")


def origin(x, y):
    return (x == 0) & (y == 0)


def infinite(x, y):
    return np.isinf(x) | np.isinf(y)


def unknown(x, y):
    return np.isnan(x) | np.isnan(y)


def either(*conditions):
    return lambda x, y: np.logical_or.reduce([c(x, y) for c in conditions])


# oracle, names, orders of derivative by operand, points, reason
BINARY_DIFFERENCES = [
    ("torch", "atan2", FIRST, origin, "0 at the origin; NaN here and in JAX, as no angle is right"),
    (
        "torch",
        "copysign",
        ("0", "00"),
        either(infinite, unknown, lambda x, y: x == 0),
        "result / x1, which is NaN there, and 0 at zero; ±1 by the sign bits here",
    ),
    (
        "jax",
        "copysign",
        ("0",),
        either(unknown, lambda x, y: (x == 0) & np.signbit(x)),
        "the sign of −0 and NaN is that of no sign bit",
    ),
    ("torch", "hypot", (*FIRST, *SECOND), origin, "NaN at the origin; 0 here, a subgradient"),
    ("torch", "hypot", SECOND, infinite, "NaN, ∞ / ∞"),
    ("jax", "hypot", FIRST, origin, "½ and ½ at the origin, no subgradient; 0 here"),
    ("jax", "hypot", FIRST, infinite, "NaN, ∞ / ∞; 0 here with respect to the finite operand"),
    (
        "jax",
        "hypot",
        SECOND,
        either(infinite, lambda x, y: np.abs(x) == np.abs(y)),
        "from maximum and minimum of |x|, whose ties lose the second derivative",
    ),
    ("torch", "logaddexp", FIRST, lambda x, y: np.isinf(x) & (x == y), "NaN, ∞ − ∞; ½ here"),
    ("torch", "logaddexp", SECOND, infinite, "NaN, ∞ − ∞"),
    ("jax", "logaddexp", (*FIRST, *SECOND), infinite, "exp of the finite operand for +∞; NaN"),
    (
        "torch",
        ("maximum", "minimum"),
        FIRST,
        unknown,
        "1 to both operands of a NaN; 0 here and in JAX",
    ),
    (
        "jax",
        "pow",
        ("0",),
        lambda x, y: (y == 0) & ((x == 0) | np.isnan(x)),
        "NaN, 0 · 0⁻¹; x⁰ is 1 whatever x, so 0 here and in torch",
    ),
    (
        "torch",
        "pow",
        ("1",),
        lambda x, y: (x == 0) & (y < 0),
        "±∞, the limit from the right; NaN here and in JAX",
    ),
    (
        "torch",
        "pow",
        SECOND,
        lambda x, y: y == 0,
        "a choice that forgets the exponent: the mixed derivative 1 / x at exponent 0 is lost",
    ),
    (
        "both",
        "pow",
        SECOND,
        either(infinite, unknown, lambda x, y: x <= 0),
        "NaN for another set of points on the border of the domain",
    ),
    ("jax", "remainder", FIRST, infinite, "±∞, though the value is NaN"),
    (
        "torch",
        "remainder",
        ("1",),
        lambda x, y: np.isinf(x) & (y == 0),
        "±∞, though the value is NaN",
    ),
]


@pytest.mark.parametrize("oracle", ["torch", "jax"])
@pytest.mark.parametrize("order", [(), (0,), (1,), (0, 0), (0, 1), (1, 0), (1, 1)], ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_binary_functions(name, order, oracle, request):
    got = by_volta(getattr(F, name), GRID, order)
    expected = by(oracle, request, BINARY[name], GRID, order)
    key = "".join(map(str, order)) or "value"
    skip = skipped(BINARY_DIFFERENCES, oracle, name, key, *GRID)
    assert_equal_but(got, expected, skip, GRID)


# What Volta gives at kinks ------------------------------------------------------------------------

# function, operands, derivative with respect to each
VALUES = [
    (F.abs, (0.0,), (0,)),
    (F.abs, (0j,), (0,)),
    (F.sign, (0j,), (0,)),
    (F.sqrt, (0.0,), (INF,)),
    (F.log, (0.0,), (INF,)),
    (F.reciprocal, (0.0,), (-INF,)),
    (F.hypot, (0.0, 0.0), (0, 0)),
    (F.hypot, (INF, 1.0), (NAN, 0)),
    (F.atan2, (0.0, 0.0), (NAN, NAN)),
    (F.atan2, (0.0, -1.0), (-1, 0)),
    (F.logaddexp, (-INF, -INF), (0.5, 0.5)),
    (F.logaddexp, (INF, INF), (0.5, 0.5)),
    (F.logaddexp, (INF, 0.0), (1, 0)),
    (F.maximum, (2.0, 2.0), (0.5, 0.5)),
    (F.minimum, (2.0, 2.0), (0.5, 0.5)),
    (F.maximum, (0.0, -0.0), (0.5, 0.5)),
    (F.maximum, (NAN, 1.0), (0, 0)),
    (F.pow, (0.0, 0.0), (0, 0)),
    (F.pow, (0.0, 1.0), (1, 0)),
    (F.pow, (0.0, 0.5), (INF, 0)),
    (F.pow, (0.0, -1.0), (-INF, NAN)),
    (F.pow, (-2.0, 2.0), (-4, NAN)),
    (F.remainder, (3.0, 1.0), (1, -3)),
    (F.copysign, (-0.0, 1.0), (-1, 0)),
    (F.clip, (1.0, 1.0, 2.0), (1, 0, 0)),
    (F.clip, (1.0, 1.0, 1.0), (1, 0, 0)),
    (lambda x: F.clip(x, 0.0, 1.0), (NAN,), (0,)),
    (F.where, (True, 1.0, 2.0), (None, 1, 0)),
]


@pytest.mark.parametrize(("fun", "args", "expected"), VALUES)
def test_values_at_kinks(fun, args, expected):
    args = tuple(map(np.asarray, args))
    diff = [i for i, e in enumerate(expected) if e is not None]

    def of_diff(*xs):
        full = list(args)
        for i, x in zip(diff, xs, strict=True):
            full[i] = x
        return fun(*full)

    with quiet():
        out, vjp_fn = volta.vjp(of_diff, *(args[i] for i in diff))
        pulled = vjp_fn(np.ones_like(out))
    for i, p in zip(diff, pulled, strict=True):
        np.testing.assert_array_equal(p, expected[i])


@pytest.mark.parametrize(
    "fun",
    [
        lambda x: F.where(x > 0, F.sqrt(x), 0),
        lambda x: F.where(x > 0, F.log(x), 0),
        lambda x: F.where(x > 0, F.sqrt(F.maximum(x, 0)), 0),
        lambda x: F.where(x > 0, 1 / x, 0),
        lambda x: F.where(x > 0, x**-2.5, 0),
        lambda x: F.where(x > 0, F.pow(x, x), 0),
        lambda x: F.sqrt(x)[1:],
        lambda x: F.take(F.log(x), np.asarray([1, 2]), axis=0),
        lambda x: F.where(x > 0, F.logaddexp(x, F.log(x)), 0),
        lambda x: F.where(x > 0, F.atan2(x, 0 * x) / x, 0),
        lambda x: F.where(x > 0, F.acosh(1 + x), 0),
    ],
)
def test_what_is_not_chosen_has_no_influence_to_third_order(fun):
    x = np.asarray([0.0, 1.0, 2.0])
    for order in range(1, 4):
        with quiet():
            whole = by_volta(fun, (x,), (0,) * order)
            chosen = by_volta(lambda y: fun(F.concat([x[:1], y])), (x[1:],), (0,) * order)
        assert whole[0] == 0
        np.testing.assert_allclose(whole[1:], chosen, rtol=1e-12)


# Complex numbers ----------------------------------------------------------------------------------

_rng = np.random.default_rng(5)
Z = _rng.normal(size=12) + 1j * _rng.normal(size=12)
Y = _rng.normal(size=12) + 1j * _rng.normal(size=12)
COMPLEX = {
    **{n: (n,) for n in ("acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "exp")},
    **{n: (n,) for n in ("expm1", "log", "log10", "log1p", "log2", "reciprocal", "sin", "sinh")},
    **{n: (n,) for n in ("sqrt", "square", "tan", "tanh", "abs", "conj", "real", "imag")},
    "sign": ("sgn", "sign"),
}
COMPLEX_DIFFERENCES = {
    ("jax", "acosh"): (
        lambda z: z.real < 0,
        "the other sign in the left half plane, from one root of (z − 1)(z + 1)",
    ),
    ("jax", "sign"): (lambda z: np.isfinite(z), "0, as for real numbers"),
}


@pytest.mark.parametrize("oracle", ["torch", "jax"])
@pytest.mark.parametrize("name", COMPLEX)
def test_gradients_of_complex_functions(name, oracle, request):
    """JAX's convention; torch's gradient is its conjugate."""
    library = request.getfixturevalue(oracle)

    def loss(z):
        values = getattr(F, name)(z)
        return F.sum(F.abs(values) ** 2) + F.sum(F.real(values * (0.3 - 0.7j)))

    got = volta.grad(loss)(Z)
    if oracle == "torch":
        z = library.asarray(Z).requires_grad_(True)
        fun = next(getattr(library, n) for n in COMPLEX[name] if hasattr(library, n))
        values = fun(z)
        total = (values.abs() ** 2).sum() + (values * (0.3 - 0.7j)).real.sum()
        expected = library.autograd.grad(total, z)[0].resolve_conj().numpy().conj()
    else:
        fun = getattr(library.numpy, name)
        expected = library.grad(
            lambda z: (library.numpy.abs(fun(z)) ** 2).sum() + (fun(z) * (0.3 - 0.7j)).real.sum()
        )(Z)
    other = COMPLEX_DIFFERENCES.get((oracle, name), (np.isnan, ""))[0](Z)
    np.testing.assert_allclose(got[~other], np.asarray(expected)[~other], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("order", [(0,), (1,), (0, 0), (0, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "pow"])
def test_holomorphic_derivatives_of_two_operands(name, order, jax):
    def derivative(grad, total, fun):
        for n in order:
            fun = grad(lambda *a, f=fun: total(f(*a)), n, holomorphic=True)
        return fun

    got = derivative(volta.grad, F.sum, getattr(F, name))(Z, Y)
    expected = derivative(jax.grad, jax.numpy.sum, getattr(jax.numpy, name))(Z, Y)
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)


# Reductions ---------------------------------------------------------------------------------------

A = _rng.normal(size=(3, 4))
TIES = np.asarray([[1.0, 3.0, 3.0, 0.0], [2.0, 2.0, 2.0, 2.0], [0.0, -1.0, 0.0, 5.0]])
ZEROS = np.asarray([[1.0, 0.0, 3.0, 2.0], [0.0, 2.0, 0.0, 2.0], [2.0, -1.0, 3.0, 5.0]])
INFINITIES = np.asarray([[-INF, 0.0, 1.0, 2.0], [-INF, -INF, -INF, -INF], [0.0, 1.0, 2.0, -INF]])
LARGE = np.asarray([[1e3, 1e3, 0.0, -1e3], [-1e3, -1e3, -1e3, -1e3], [1e3, 0.0, 0.0, 0.0]])
INPUTS = {"plain": A, "ties": TIES, "zeros": ZEROS, "infinities": INFINITIES, "large": LARGE}

# name: (on torch, on JAX), of x over axis 1
OVER_AXIS = {
    "sum": (lambda t, x: x.sum(1), lambda j, x: x.sum(1)),
    "mean": (lambda t, x: x.mean(1), lambda j, x: x.mean(1)),
    "prod": (lambda t, x: x.prod(1), lambda j, x: x.prod(1)),
    "max": (lambda t, x: x.amax(1), lambda j, x: x.max(1)),
    "min": (lambda t, x: x.amin(1), lambda j, x: x.min(1)),
    "var": (lambda t, x: x.var(1, correction=0), lambda j, x: x.var(1)),
    "std": (lambda t, x: x.std(1, correction=0), lambda j, x: x.std(1)),
    "logsumexp": (lambda t, x: x.logsumexp(1), lambda j, x: j.nn.logsumexp(x, 1)),
    "softmax": (lambda t, x: x.softmax(1), lambda j, x: j.nn.softmax(x, 1)),
    "log_softmax": (lambda t, x: x.log_softmax(1), lambda j, x: j.nn.log_softmax(x, 1)),
}
# (oracle, name, inputs, order of derivative, rows, reason)
OVER_AXIS_DIFFERENCES = [
    ("both", "prod", "infinities", 2, [0, 2], "NaN for another set of zeros times infinities"),
    ("torch", "var", "infinities", 1, [0, 2], "∞, though the value is NaN"),
    ("jax", "std", "ties large", 1, [1], "NaN for equal elements; 0 here and in torch"),
    ("jax", "std", "ties large", 2, [1], "NaN for equal elements; 0 here and in torch"),
]


@pytest.mark.parametrize(
    ("oracle", "order"),
    [
        *itertools.product(["torch"], [0, 1, 2]),
        *itertools.product(["jax"], [0, 1]),
        pytest.param("jax", 2, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("name", OVER_AXIS)
def test_reductions(name, kind, order, oracle, request):
    library = request.getfixturevalue(oracle)
    x = INPUTS[kind]
    own = OVER_AXIS[name][oracle == "jax"]
    got = by_volta(lambda x: getattr(F, name)(x, axis=1), (x,), (0,) * order)
    theirs = by_torch if oracle == "torch" else by_jax
    expected = theirs(library, lambda x: own(library, x), (x,), (0,) * order)
    left_out = [
        row
        for who, what, kinds, when, rows, _ in OVER_AXIS_DIFFERENCES
        if who in (oracle, "both") and what == name and kind in kinds.split() and when == order
        for row in rows
    ]
    kept = [row for row in range(3) if row not in left_out]
    np.testing.assert_allclose(got[kept], expected[kept], rtol=1e-9, atol=1e-12)


# Functions of other shapes ------------------------------------------------------------------------

X, V, W = _rng.normal(size=(3, 4)), _rng.normal(size=(4,)), _rng.normal(size=(4, 3))
B = _rng.normal(size=(2, 4, 3))
PLACES = np.asarray([2, 0, 2])
MASK = X > 0.3

# arrays, on Volta, on torch (t), on JAX (j)
STRUCTURAL = {
    "broadcast_to": (
        (V,),
        lambda x: F.broadcast_to(x, (2, 4)),
        lambda t, x: x.expand(2, 4),
        lambda j, x: j.broadcast_to(x, (2, 4)),
    ),
    "clip": (
        (X,),
        lambda x: F.clip(x, -0.5, 0.5),
        lambda t, x: x.clamp(-0.5, 0.5),
        lambda j, x: x.clip(-0.5, 0.5),
    ),
    "clip-arrays": (
        (X, V),
        lambda x, v: F.clip(x, v - 0.5, v + 0.5),
        lambda t, x, v: x.clamp(v - 0.5, v + 0.5),
        lambda j, x, v: x.clip(v - 0.5, v + 0.5),
    ),
    "concat": (
        (X, W),
        lambda x, w: F.concat([x, F.matrix_transpose(w)]),
        lambda t, x, w: t.cat([x, w.mT]),
        lambda j, x, w: j.concat([x, w.mT]),
    ),
    "expand_dims": (
        (X,),
        lambda x: F.expand_dims(x, axis=1),
        lambda t, x: x[:, None],
        lambda j, x: x[:, None],
    ),
    "flip": (
        (X,),
        lambda x: F.flip(x, axis=0),
        lambda t, x: x.flip(0),
        lambda j, x: j.flip(x, 0),
    ),
    "getitem": (
        (X,),
        lambda x: x[1:, ::-2],
        lambda t, x: x.flip(1)[1:, ::2],
        lambda j, x: x[1:, ::-2],
    ),
    "getitem-arrays": (
        (X,),
        lambda x: x[PLACES, 1:],
        lambda t, x: x[t.asarray(PLACES), 1:],
        lambda j, x: x[PLACES, 1:],
    ),
    "getitem-mask": (
        (X,),
        lambda x: x[MASK],
        lambda t, x: x[t.asarray(MASK)],
        lambda j, x: x[MASK],
    ),
    "matmul": ((X, W), F.matmul, lambda t, x, w: x @ w, lambda j, x, w: x @ w),
    "matmul-batch": ((X, B), F.matmul, lambda t, x, b: x @ b, lambda j, x, b: x @ b),
    "matmul-vector": ((V, B), F.matmul, lambda t, v, b: v @ b, lambda j, v, b: v @ b),
    "moveaxis": (
        (B,),
        lambda x: F.moveaxis(x, 0, -1),
        lambda t, x: x.movedim(0, -1),
        lambda j, x: j.moveaxis(x, 0, -1),
    ),
    "permute_dims": (
        (B,),
        lambda x: F.permute_dims(x, (2, 0, 1)),
        lambda t, x: x.permute(2, 0, 1),
        lambda j, x: x.transpose(2, 0, 1),
    ),
    "repeat": (
        (X,),
        lambda x: F.repeat(x, 2, axis=1),
        lambda t, x: x.repeat_interleave(2, 1),
        lambda j, x: j.repeat(x, 2, 1),
    ),
    "reshape": (
        (X,),
        lambda x: F.reshape(x, (2, -1)),
        lambda t, x: x.reshape(2, -1),
        lambda j, x: x.reshape(2, -1),
    ),
    "roll": (
        (X,),
        lambda x: F.roll(x, (1, -2), axis=(0, 1)),
        lambda t, x: x.roll((1, -2), (0, 1)),
        lambda j, x: j.roll(x, (1, -2), (0, 1)),
    ),
    "squeeze": ((X,), lambda x: F.squeeze(x[None], 0), lambda t, x: x, lambda j, x: x),
    "stack": (
        (X, W),
        lambda x, w: F.stack([x, F.matrix_transpose(w)], axis=1),
        lambda t, x, w: t.stack([x, w.mT], 1),
        lambda j, x, w: j.stack([x, w.mT], 1),
    ),
    "take": (
        (X,),
        lambda x: F.take(x, PLACES, axis=0),
        lambda t, x: x.index_select(0, t.asarray(PLACES)),
        lambda j, x: j.take(x, PLACES, 0),
    ),
    "take_along_axis": (
        (X,),
        lambda x: F.take_along_axis(x, PLACES[:, None], axis=1),
        lambda t, x: x.gather(1, t.asarray(PLACES[:, None])),
        lambda j, x: j.take_along_axis(x, PLACES[:, None], 1),
    ),
    "tensordot": (
        (X, B),
        lambda x, b: F.tensordot(x, b, axes=((1,), (1,))),
        lambda t, x, b: t.tensordot(x, b, ([1], [1])),
        lambda j, x, b: j.tensordot(x, b, ((1,), (1,))),
    ),
    "tile": (
        (X,),
        lambda x: F.tile(x, (2, 1)),
        lambda t, x: x.tile(2, 1),
        lambda j, x: j.tile(x, (2, 1)),
    ),
    "tril": (
        (X,),
        lambda x: F.tril(x, k=-1),
        lambda t, x: x.tril(-1),
        lambda j, x: j.tril(x, -1),
    ),
    "triu": (
        (X,),
        lambda x: F.triu(x, k=1),
        lambda t, x: x.triu(1),
        lambda j, x: j.triu(x, 1),
    ),
    "unstack": (
        (X,),
        lambda x: F.unstack(x, axis=1)[2],
        lambda t, x: x.unbind(1)[2],
        lambda j, x: x[:, 2],
    ),
    "vecdot": ((X, V), F.vecdot, lambda t, x, v: x @ v, lambda j, x, v: x @ v),
    "where": (
        (X, V),
        lambda x, v: F.where(MASK, x, v),
        lambda t, x, v: t.where(t.asarray(MASK), x, v),
        lambda j, x, v: j.where(MASK, x, v),
    ),
}


def products(grad, fun, dot, args, directions):
    """Gradient of ``fun`` in every argument, and a Hessian-vector product."""
    nums = tuple(range(len(args)))
    first = grad(fun, nums)

    def along(*a):
        return sum(dot(g, t) for g, t in zip(first(*a), directions, strict=True))

    return (*first(*args), *grad(along, nums)(*args))


@pytest.mark.parametrize("oracle", ["torch", pytest.param("jax", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", STRUCTURAL)
def test_functions_of_other_shapes(name, oracle, request):
    library = request.getfixturevalue(oracle)
    arrays, own, on_torch, on_jax = STRUCTURAL[name]
    xp, theirs = (library, on_torch) if oracle == "torch" else (library.numpy, on_jax)
    directions = tuple(np.cos(a + 1) for a in arrays)
    shape = volta.vjp(own, *arrays)[0].shape
    w = np.reshape(np.arange(np.prod(shape)) * 0.37 + 0.4, shape)
    got = products(
        volta.grad,
        lambda *a: F.sum(F.sin(own(*a)) * w),
        lambda g, t: F.sum(g * t),
        arrays,
        directions,
    )
    expected = products(
        torch_grad(library) if oracle == "torch" else library.grad,
        lambda *a: (xp.sin(theirs(xp, *a)) * xp.asarray(w)).sum(),
        lambda g, t: (g * t).sum(),
        tuple(map(xp.asarray, arrays)),
        tuple(map(xp.asarray, directions)),
    )
    for g, e in zip(got, expected, strict=True):
        e = e.detach() if oracle == "torch" else e
        np.testing.assert_allclose(g, np.asarray(e), rtol=1e-11, atol=1e-13)


# Losses, against torch ----------------------------------------------------------------------------

LAYOUTS = {
    "(C,)": ((4,), ()),
    "(N, C)": ((5, 4), (5,)),
    "(N, C, d)": ((3, 4, 2), (3, 2)),
    "(N, C, d, e)": ((2, 4, 2, 3), (2, 2, 3)),
}
WEIGHT = np.asarray([0.3, 1.7, 0.9, 2.2])


def check_loss(torch, own, theirs, *arrays):
    """Value, and the gradient and a Hessian-vector product of Σ sin(loss) in every array."""
    tensors = tuple(map(torch.asarray, arrays))
    directions = tuple(np.cos(a + 1) for a in arrays)
    with quiet():
        np.testing.assert_allclose(own(*arrays), theirs(*tensors), rtol=1e-12, atol=1e-14)
        got = products(
            volta.grad,
            lambda *a: F.sum(F.sin(own(*a))),
            lambda g, t: F.sum(g * t),
            arrays,
            directions,
        )
    expected = products(
        torch_grad(torch),
        lambda *a: theirs(*a).sin().sum(),
        lambda g, t: (g * torch.asarray(t)).sum(),
        tensors,
        directions,
    )
    for g, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(g, e.detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.neural
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss"])
def test_regression_losses(name, reduction, torch):
    y = np.where(MASK, X, X + 0.5)  # some equal, at the kink of |x|
    own, theirs = getattr(F, name), getattr(torch.nn.functional, name)
    check_loss(
        torch,
        lambda a, b: own(a, b, reduction=reduction),
        lambda a, b: theirs(a, b, reduction=reduction),
        X,
        y,
    )


@pytest.mark.neural
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("ignore", [-100, 1])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy", "smoothed"])
def test_losses_of_classes(name, layout, weight, ignore, reduction, torch):
    shape, places = LAYOUTS[layout]
    scores = np.random.default_rng(1).normal(size=shape)
    target = np.asarray(np.random.default_rng(2).integers(0, 4, places) if places else 2)
    options = {"ignore_index": ignore, "reduction": reduction}
    if name == "smoothed":
        options["label_smoothing"] = 0.3
    function = "nll_loss" if name == "nll_loss" else "cross_entropy"
    own, theirs = getattr(F, function), getattr(torch.nn.functional, function)
    labels = torch.asarray(target)
    factors = None if weight is None else torch.asarray(weight)
    check_loss(
        torch,
        lambda x: own(x, target, weight, **options),
        lambda x: theirs(x, labels, factors, **options),
        scores,
    )


@pytest.mark.neural
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_losses_of_probabilities(layout, weight, smoothing, reduction, torch):
    shape, _ = LAYOUTS[layout]
    scores = np.random.default_rng(1).normal(size=shape)
    target = np.exp(np.random.default_rng(2).normal(size=shape))
    target /= target.sum(1 if len(shape) > 1 else 0, keepdims=True)
    options = {"reduction": reduction, "label_smoothing": smoothing}
    factors = None if weight is None else torch.asarray(weight)
    check_loss(
        torch,
        lambda x, y: F.cross_entropy(x, y, weight, **options),
        lambda x, y: torch.nn.functional.cross_entropy(x, y, factors, **options),
        scores,
        target,
    )


@pytest.mark.neural
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
def test_losses_where_nothing_counts(name, reduction, torch):
    scores, target = np.random.default_rng(1).normal(size=(2, 3)), np.asarray([-100, -100])
    with quiet():
        out = getattr(F, name)(scores, target, reduction=reduction)
    theirs = getattr(torch.nn.functional, name)
    expected = theirs(torch.asarray(scores), torch.asarray(target), reduction=reduction)
    np.testing.assert_array_equal(out, expected)  # the mean is NaN


@pytest.mark.neural
@pytest.mark.parametrize("row", [[1e3, 0.0, -1e3], [-INF, 0.0, 1.0], [-1e3, -1e3, -1e3]], ids=str)
def test_cross_entropy_of_extreme_scores(row, torch):
    scores, target = np.asarray([row]), np.asarray([1])
    out, grad = volta.value_and_grad(lambda x: F.cross_entropy(x, target))(scores)
    x = torch.asarray(scores).requires_grad_(True)
    expected = torch.nn.functional.cross_entropy(x, torch.asarray(target))
    np.testing.assert_allclose(out, expected.detach(), rtol=1e-15)
    np.testing.assert_allclose(grad, torch.autograd.grad(expected, x)[0], rtol=1e-14, atol=1e-300)
