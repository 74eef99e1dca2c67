"""Declaring an operation: each kind of derivative entry on an operation made for the purpose."""

import itertools
import pickle

import array_api_strict as strict
import numpy as np
import pytest
from strategies import LINE

import volta
import volta.functional as F
from volta.core import ZERO, Joint, Linear, Missing, Pair, Partial, Primitive, Variadic
from volta.core.primitive import REGISTRY
from volta.core.types import ArrayType

pytestmark = pytest.mark.core

_names = itertools.count()


@pytest.fixture
def declare():
    """Constructor of primitives that are gone after the test."""
    before = set(REGISTRY)

    def make(**options):
        options.setdefault("type_rule", lambda x, *others, **params: x)
        options.setdefault(
            "batch", lambda size, batched, *args, **params: primitive(*args, **params)
        )
        options.setdefault("derivatives", ())
        primitive = Primitive(options.pop("name", f"toy{next(_names)}"), **options)
        return primitive

    yield make
    for name in set(REGISTRY) - before:
        del REGISTRY[name]


X = np.asarray([2.0, 3.0])


# Construction ------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["type_rule", "batch", "derivatives"])
def test_a_primitive_without_a_rule_cannot_be_made(missing):
    rules = {"type_rule": lambda x: x, "batch": lambda *args: None, "derivatives": ()}
    del rules[missing]
    with pytest.raises(TypeError, match=missing):
        Primitive("incomplete", **rules)
    assert "incomplete" not in REGISTRY


def test_a_name_is_unique(declare):
    with pytest.raises(ValueError, match=r"^sin: a primitive's name must be unique$"):
        declare(name="sin")


def test_a_primitive_prints_and_pickles_as_its_name():
    sin = REGISTRY["sin"]
    assert repr(sin) == "<primitive sin>"
    assert pickle.loads(pickle.dumps(sin)) is sin


# Kernels -----------------------------------------------------------------------------------------


def test_the_kernel_is_the_librarys_function_of_that_name(declare):
    toy = declare(name="nanmax")
    assert toy(np.asarray([1.0, np.nan])) == 1.0
    message = r"^nanmax: the array library must have this function; got array_api_strict\." + LINE
    with pytest.raises(volta.RuleError, match=message):
        toy(strict.ones(2))


def test_a_portable_kernel_serves_every_library(declare):
    toy = declare(value=lambda xp, x, *, by: xp.multiply(x, xp.asarray(by)))
    assert type(toy(X, by=2.0)) is np.ndarray
    assert type(toy(strict.asarray(X), by=2.0)) is type(strict.asarray(X))


def test_a_librarys_own_kernel_comes_first(declare):
    toy = declare(value=lambda xp, x: xp.sin(x), kernels={"numpy": lambda x: x + 1})
    np.testing.assert_array_equal(toy(X), X + 1)
    np.testing.assert_array_equal(np.asarray(toy(strict.asarray(X))), np.sin(X))


def test_numpys_scalars_become_arrays(declare):
    out = declare(kernels={"numpy": lambda x: x[0]})(X)
    assert (type(out), out.shape) == (np.ndarray, ())


def _failing(x):
    raise RuntimeError("the library's own words")


def test_a_kernels_failure_is_phrased_by_the_type_rule(declare):
    def rule(x):
        raise volta.ShapeError("toy: the shape must be good; got a bad one.")

    with pytest.raises(
        volta.ShapeError, match=r"^toy: the shape must be good; got a bad one\." + LINE
    ):
        declare(type_rule=rule, kernels={"numpy": _failing})(X)


def test_a_kernels_failure_that_the_type_rule_does_not_explain_stays(declare):
    with pytest.raises(RuntimeError, match="the library's own words"):
        declare(kernels={"numpy": _failing})(X)


# Derivative entries ------------------------------------------------------------------------------


def check(fun, *primals, rtol=1e-6):
    """Forward against finite differences, reverse against forward, reverse twice."""
    tangents = tuple(np.cos(np.arange(p.size)).reshape(p.shape) for p in primals)
    _, forward = volta.jvp(fun, primals, tangents)
    step = 1e-6
    above = fun(*(p + step * t for p, t in zip(primals, tangents, strict=True)))
    below = fun(*(p - step * t for p, t in zip(primals, tangents, strict=True)))
    np.testing.assert_allclose(forward, (above - below) / (2 * step), rtol=rtol, atol=1e-8)
    _, vjp_fn = volta.vjp(fun, *primals)
    ct = np.sin(1 + np.arange(forward.size)).reshape(forward.shape)
    pulled = vjp_fn(ct)
    left = sum(np.sum(c * t) for c, t in zip(pulled, tangents, strict=True))
    np.testing.assert_allclose(left, np.sum(ct * forward), rtol=1e-9)


@pytest.mark.grad_check
def test_partial_in_terms_of_the_result_or_the_operand(declare):
    of_out = declare(
        elementwise=True, value=lambda xp, x: xp.exp(x), derivatives=(Partial(lambda out, _x: out),)
    )
    of_operand = declare(
        elementwise=True,
        value=lambda xp, x: xp.exp(x),
        derivatives=(Partial(lambda _out, x: F.exp(x)),),
    )
    check(of_out, X)
    check(of_operand, X)


@pytest.mark.grad_check
def test_partial_may_be_a_number_or_a_mask(declare):
    tripled = declare(
        elementwise=True, value=lambda xp, x: 3 * x, derivatives=(Partial(lambda _out, _x: 3),)
    )
    kept = declare(
        elementwise=True,
        value=lambda xp, x: xp.where(x > 2.5, x, xp.zeros_like(x)),
        derivatives=(Partial(lambda _out, x: F.greater(x, 2.5)),),
    )
    check(tripled, X)
    check(kept, X)


@pytest.mark.grad_check
@pytest.mark.broadcasting
def test_rules_know_nothing_of_broadcasting_and_promotion(declare):
    toy = declare(
        elementwise=True,
        type_rule=lambda x, y: x,
        value=lambda xp, x, y: xp.multiply(x, y),
        derivatives=(Partial(lambda _out, _x, y: y), Partial(lambda _out, x, _y: x)),
    )
    a = np.ones((2, 1), np.float32)
    b = np.asarray([1.0, 2.0, 3.0])
    check(toy, a.astype(np.float64), b)
    ga, gb = volta.grad(lambda a, b: F.sum(toy(a, b)), argnums=(0, 1))(a, b)
    assert (ga.shape, ga.dtype) == (a.shape, a.dtype)
    assert (gb.shape, gb.dtype) == (b.shape, b.dtype)
    np.testing.assert_array_equal(ga, [[6.0], [6.0]])


@pytest.mark.grad_check
def test_linear_keeps_types_and_the_values_it_names(declare):
    seen = []

    def transpose(ct, x, y):
        seen.append((type(x), type(y)))
        return F.multiply(ct, y)

    toy = declare(
        value=lambda xp, x, y: xp.multiply(x, y),
        derivatives=(Linear(transpose), Linear(lambda ct, x, _y: F.multiply(ct, x))),
    )
    volta.vjp(lambda x: toy(x, X), X)[1](X)
    assert seen == [(ArrayType, np.ndarray)]
    check(toy, X, X + 1)


@pytest.mark.grad_check
def test_joint_is_one_group(declare):
    toy = declare(
        value=lambda xp, x, y, z: xp.add(x, 2 * y) * z,
        derivatives=(
            Joint(lambda ct, _x, _y, z: F.multiply(ct, z)),
            Joint(lambda ct, _x, _y, z: F.multiply(F.multiply(ct, 2), z)),
            ZERO,
        ),
    )
    z = np.asarray([5.0, 7.0])
    check(lambda x, y: toy(x, y, z), X, X + 1)
    check(lambda x: toy(x, X, z), X)
    np.testing.assert_array_equal(volta.grad(lambda z: F.sum(toy(X, X, z)))(z), [0.0, 0.0])


@pytest.mark.grad_check
def test_variadic_is_one_entry_for_all(declare):
    toy = declare(
        value=lambda xp, *xs: sum(xs[1:], start=xs[0]),
        derivatives=Variadic(lambda ct, needed, *shapes: tuple(F.multiply(ct, 1) for _ in shapes)),
    )
    check(toy, X, X, X)
    check(lambda x: toy(X, x, X), X)


@pytest.mark.grad_check
def test_pair_with_two_results_gets_absent_cotangents_as_none(declare):
    got = []

    def jvp(primals, tangents):
        (x, y), (t, u) = primals, tangents
        out = (F.multiply(x, y), F.add(x, y))
        zero = F.zeros_like(x)
        t, u = (zero if v is None else v for v in (t, u))
        return out, (F.add(F.multiply(t, y), F.multiply(x, u)), F.add(t, u))

    def bwd(residuals, cts, needed):
        got.append(([c is None for c in cts], [n is None for n in needed]))
        x, y = residuals
        first, second = (F.zeros_like(x) if c is None else c for c in cts)
        return F.add(F.multiply(first, y), second), F.add(F.multiply(first, x), second)

    toy = declare(
        results=2,
        type_rule=lambda x, y: (x, y),
        value=lambda xp, x, y: (x * y, x + y),
        derivatives=Pair(jvp, lambda x, y: ((F.multiply(x, y), F.add(x, y)), (x, y)), bwd),
    )
    check(lambda x, y: toy(x, y)[0], X, X + 1)
    got.clear()
    gradient = volta.grad(lambda x: F.sum(toy(x, X + 1)[1]))(X)
    np.testing.assert_array_equal(gradient, [1.0, 1.0])
    assert got == [([True, False], [False, True])]


@pytest.mark.grad_check
def test_results_whose_number_depends_on_the_parameters(declare):
    toy = declare(
        results=0,
        type_rule=lambda x, *, n: (x,) * n,
        value=lambda xp, x, *, n: tuple(x * (i + 1) for i in range(n)),
        derivatives=Pair(
            lambda primals, tangents, *, n: (toy(*primals, n=n), toy(*tangents, n=n)),
            lambda x, *, n: (toy(x, n=n), None),
            lambda _, cts, needed, *, n: (
                sum((c * (i + 1) for i, c in enumerate(cts) if c is not None), start=0),
            ),
        ),
    )
    check(lambda x: toy(x, n=3)[2] + toy(x, n=1)[0], X)
    assert len(volta.trace(lambda x: toy(x, n=3))(X).outputs) == 3


def test_zero_results_are_constants(declare):
    toy = declare(value=lambda xp, x: xp.floor(x), derivatives=(ZERO,))
    seen = []
    assert volta.grad(lambda x: seen.append(toy(x)) or F.sum(x))(X).tolist() == [1.0, 1.0]
    assert seen[0].trace is None


@pytest.mark.parametrize(
    ("mode", "call"),
    [
        ("reverse", lambda toy: volta.grad(lambda x: F.sum(toy(x, X)))(X)),
        ("forward", lambda toy: volta.jvp(lambda x: toy(x, X), (X,), (X,))),
    ],
    ids=["reverse", "forward"],
)
def test_missing_refuses_when_a_derivative_arrives(declare, mode, call):
    toy = declare(
        value=lambda xp, x, y: xp.add(x, y), derivatives=(Missing("nobody wrote it"), ZERO)
    )
    message = (
        rf"^{toy.name}: needs a {mode}-mode derivative rule; got none, because nobody wrote it\. "
        r"\(line: test_primitive\.py:\d+\)$"
    )
    with pytest.raises(volta.RuleError, match=message):
        call(toy)


def test_missing_is_silent_while_no_derivative_arrives(declare):
    toy = declare(
        value=lambda xp, x, y: xp.add(x, y), derivatives=(ZERO, Missing("nobody wrote it"))
    )
    assert volta.grad(lambda x: F.sum(toy(x, X)) + F.sum(x))(X).tolist() == [1.0, 1.0]
    unused = declare(value=lambda xp, x: xp.abs(x), derivatives=(Missing("nobody wrote it"),))
    assert volta.grad(lambda x: (unused(x), F.sum(x))[1])(X).tolist() == [1.0, 1.0]


@pytest.mark.grad_check
def test_a_rule_reads_operands_past_those_it_names(declare):
    toy = declare(
        value=lambda xp, x, *factors: x * factors[0] * factors[1],
        derivatives=(
            Linear(lambda ct, _x, *factors: F.multiply(F.multiply(ct, factors[0]), factors[1])),
        ),
    )
    check(lambda x: toy(x, X, X + 1), X)


@pytest.mark.grad_check
def test_parameters_reach_every_rule(declare):
    toy = declare(
        type_rule=lambda x, *, by: x,
        value=lambda xp, x, *, by: x * by,
        derivatives=(Linear(lambda ct, x, *, by: F.multiply(ct, by)),),
    )
    check(lambda x: toy(x, by=3.0), X)
    np.testing.assert_array_equal(volta.vmap(lambda x: toy(x, by=2.0))(X), 2 * X)
    np.testing.assert_array_equal(volta.trace(lambda x: toy(x, by=2.0))(X)(X), 2 * X)
