"""check_tracer_leaks: traced arrays do not outlive their transform."""

import gc
import sys
from types import FunctionType, ModuleType

import numpy as np
import pytest

import volta
import volta.functional as F
from volta import nn
from volta.core.tracer import Tracer

pytestmark = pytest.mark.core

X = np.ones(2)


class Holder:
    last = None


KEPT, STORE, HOLDER, LAST = [], {}, Holder(), None


@pytest.fixture(autouse=True)
def _search_little():
    """Only what the test makes is searched for leaks, which takes long beside all other tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def young(monkeypatch):
    """This module again, as young as the test."""
    module = ModuleType("young")
    vars(module).update(globals(), __name__="young")
    for program in LEAKS:
        again = FunctionType(program.__code__, vars(module), program.__name__)
        setattr(module, program.__name__, again)
    let_go(module)
    monkeypatch.setitem(sys.modules, "young", module)
    return module


def let_go(module):
    vars(module).update(KEPT=[], STORE={}, HOLDER=Holder(), LAST=None)


def in_a_list(x):
    KEPT.append(x * 2.0)
    return F.sum(x)


def in_a_dict(x):
    STORE["hidden"] = F.tanh(x)
    return F.sum(x)


def on_an_object(x):
    HOLDER.last = x + 1.0
    return F.sum(x)


def in_a_global(x):
    globals()["LAST"] = F.exp(x)
    return F.sum(x)


LEAKS = {
    in_a_list: r"held by a list of 1 \(the global 'KEPT' of .*\)\.",
    in_a_dict: r"held by a dict under 'hidden' \(the global 'STORE' of .*\)\.",
    on_an_object: r"held by the attribute 'last' of a Holder\.",
    in_a_global: r"held by (the global|a dict under) 'LAST'",
}
TRANSFORMS = {
    "grad": lambda f: volta.grad(f)(X),
    "vjp": lambda f: volta.vjp(f, X),
    "jvp": lambda f: volta.jvp(f, (X,), (X,)),
    "vmap": lambda f: volta.vmap(f)(np.ones((3, 2))),
    "trace": lambda f: volta.trace(f)(X),
    "linearize": lambda f: volta.linearize(f, X),
    "grad of vmap": lambda f: volta.grad(lambda x: F.sum(volta.vmap(f)(x)))(np.ones((3, 2))),
    "checkpoint": lambda f: volta.grad(volta.checkpoint(f))(X),
    "scan": lambda f: volta.scan(lambda c, x: (c, f(x)), X, np.ones((3, 2))),
}


@pytest.mark.parametrize(
    ("program", "run"),
    [*((p, "grad") for p in LEAKS), *((in_a_list, r) for r in TRANSFORMS if r != "grad")],
    ids=lambda v: v if isinstance(v, str) else v.__name__,
)
def test_what_is_left_behind_is_found(young, program, run):
    line = program.__code__.co_firstlineno + 1
    message = rf"^.*: no traced array may outlive the function; .*made at test_leaks\.py:{line}, "
    with volta.check_tracer_leaks():  # as the transform ends, not only as the context does
        with pytest.raises(volta.TraceError, match=message + LEAKS[program]):
            TRANSFORMS[run](vars(young)[program.__name__])
        let_go(young)


def test_the_message_in_full(young):
    line = on_an_object.__code__.co_firstlineno + 1
    with pytest.raises(volta.TraceError) as caught, volta.check_leaks():
        volta.grad(young.on_an_object)(X)
    assert str(caught.value) == (
        "grad(on_an_object): no traced array may outlive the function; got float64[2], made at "
        f"test_leaks.py:{line}, held by the attribute 'last' of a Holder. Return it from the "
        "function (has_aux=True for extra results)."
    )


def test_an_input(young):
    context = volta.check_tracer_leaks()
    with (
        pytest.raises(volta.TraceError, match=r"got float64\[2\], an input, held by a list of 1"),
        context,
    ):
        volta.vmap(lambda x: young.KEPT.append(x))(np.ones((3, 2)))


def test_a_dict_that_was_an_argument():
    store = {}

    def loss(x, store):
        store["square"] = x * x
        return F.sum(x)

    context = volta.check_tracer_leaks()
    with pytest.raises(volta.TraceError, match="held by a dict under 'square'"), context:
        volta.grad(loss)(X, store)


def test_an_inner_transform_that_leaks_into_an_outer_function():
    def outer(x):
        kept = []

        def inner(y):
            kept.append(y * x)
            return F.sum(y * y)

        return F.sum(volta.grad(inner)(x))

    context = volta.check_tracer_leaks()
    with (
        pytest.raises(volta.TraceError, match=r"^grad\(inner\): .* \(a variable that a function"),
        context,
    ):
        volta.grad(outer)(X)


def clean(x):
    y = x * 2.0
    part = y[1:]
    y[0] = 3.0
    return F.sum(y) + part[0]


def with_closures(x):
    made = [lambda i=i: x * i for i in range(3)]
    return F.sum(made[1]() + made[2]())


def loop(x):
    return F.sum(volta.scan(lambda c, v: (c * v, c), x, np.ones((3, 2)))[1])


@pytest.mark.parametrize("run", TRANSFORMS)
@pytest.mark.parametrize("program", [clean, with_closures, loop], ids=lambda p: p.__name__)
def test_what_is_returned_is_not_left(program, run):
    with volta.check_tracer_leaks():
        TRANSFORMS[run](program)
    gc.collect()
    assert not [x for x in gc.get_objects() if type(x) is Tracer]  # whatever older object holds it


def branch(x):
    return F.sum(volta.vmap(lambda v: v * 2 if v > 2 else v)(x))


def test_more_that_is_not_left():
    model = nn.Linear(2, 2, key=F.random.key(0))
    x = np.ones((1, 2), np.float32)
    with volta.check_tracer_leaks():
        volta.grad(lambda m: F.sum(m(x)))(model)
        branch(X)
        volta.grad(branch)(X)
        volta.jvp(volta.grad(branch), (X,), (X,))
        volta.grad(lambda x: (F.sum(x), {"aux": [x * 2.0]}), has_aux=True)(X)
        _, pull = volta.vjp(clean, X)
        pull(np.asarray(1.0))
        volta.grad(lambda x: F.sum(volta.grad(clean)(x) * x))(X)
        volta.vmap(volta.grad(loop))(np.ones((2, 2)))
        volta.jvp(lambda p: {"out": p["w"] * 2.0}, ({"w": X},), ({"w": X},))


@volta.custom_vjp
def by_vjp(x):
    return x**2


by_vjp.defvjp(lambda x: (x**2, x), lambda x, ct: (2 * x * ct,))


@volta.custom_jvp
def by_jvp(x):
    return x**2


by_jvp.defjvp(lambda primals, tangents: (primals[0] ** 2, 2 * primals[0] * tangents[0]))


def newton(f, x, *params):
    for _ in range(30):
        x = x - f(x, *params) / (4 * x**3)
    return x


ONE = np.asarray(1.0)
RULES = {
    "custom_vjp": lambda x: F.sum(by_vjp(x)),
    "custom_jvp": lambda x: F.sum(by_jvp(x)),
    "root": lambda x: volta.implicit.root(lambda z, x: z**4 - F.sum(x), ONE, x, solver=newton),
    "root of a closure": lambda x: volta.implicit.root(
        lambda z: z**4 - F.sum(x), ONE, solver=newton
    ),
    "minimize": lambda x: volta.implicit.minimize(
        lambda z, x: (z - F.sum(x)) ** 2, ONE, x, solver=lambda f, z, x: F.sum(x)
    ),
    "custom_root": lambda x: volta.custom_root(
        lambda z: z**4 - F.sum(x), ONE, newton, lambda g, y: y / g(ONE)
    ),
    "custom_root with a closure": lambda x: volta.custom_root(
        lambda z: z**4 - F.sum(x), ONE, newton, lambda g, y: y / g(ONE) * (x[0] / x[0])
    ),
    "custom_linear_solve": lambda x: F.sum(
        volta.custom_linear_solve(
            lambda y: y * x, x * 2, lambda f, b: b / f(F.ones_like(b)) * (x / x), symmetric=True
        )
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_calls_with_rules_leave_nothing(rule):
    f, x, kept = RULES[rule], np.asarray([1.0, 2.0]), []
    with volta.check_tracer_leaks():
        volta.grad(f)(x)
        volta.jvp(volta.grad(f), (x,), (x,))
        volta.vmap(volta.grad(f))(x[None])
        kept.append(volta.vjp(f, x)[1])
        kept.append(volta.linearize(f, x)[1])


def test_a_leak_beside_a_call_with_a_rule_is_found(young):
    def loss(x):
        young.KEPT.append(x * 2.0)
        return F.sum(by_vjp(x)) + RULES["custom_root"](x)

    context = volta.check_tracer_leaks()
    with pytest.raises(volta.TraceError, match=r"a list of 1 \(the global 'KEPT'"), context:
        volta.grad(loss)(X)


def test_a_failed_transform_is_its_own_error(young):
    def fails(x):
        young.KEPT.append(x)
        raise KeyError

    with pytest.raises(KeyError), volta.check_tracer_leaks():
        volta.grad(fails)(X)


def test_nothing_is_looked_for_without_it(young):
    volta.grad(young.in_a_list)(X)
    with volta.check_tracer_leaks():
        volta.grad(clean)(X)
