"""debug_nans and debug_infs: the operation that made NaN or an infinity, and its line."""

import contextlib
import os
import re
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

import volta
import volta.functional as F
from volta.core.context import STAGING
from volta.core.trace import live

pytestmark = [
    pytest.mark.core,
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]

X = np.asarray([1.0, -1.0, 4.0])
ZEROS = np.zeros(2)
ONE = np.asarray(1.0)


def line_of(function, after=1):
    return function.__code__.co_firstlineno + after


def told(call, context=volta.debug_nans):
    with pytest.raises(volta.NonFiniteError) as caught, context():
        call()
    return str(caught.value)


def logarithm(x):
    return F.log(x) * 2.0


FORWARD = {
    "raw": lambda f: f(X),
    "grad": lambda f: volta.grad(lambda x: F.sum(f(x)))(X),
    "jvp": lambda f: volta.jvp(f, (X,), (X,)),
    "vmap": lambda f: volta.vmap(f)(X),
    "grad of vmap": lambda f: volta.grad(lambda x: F.sum(volta.vmap(f)(x)))(X),
    "vmap of grad": lambda f: volta.vmap(volta.grad(f))(X),
    "grad of grad": lambda f: volta.vmap(volta.grad(volta.grad(f)))(X),
    "jvp of grad": lambda f: volta.jvp(volta.grad(f), (X[1],), (ONE,)),
    "linearize": lambda f: volta.linearize(f, X),
    "checkpoint": lambda f: volta.grad(volta.checkpoint(lambda x: F.sum(f(x))))(X),
    "scan": lambda f: volta.scan(lambda c, x: (c, f(x)), ONE, X),
    "grad of scan": lambda f: volta.grad(lambda x: volta.scan(lambda c, v: (f(c), v), x, X)[0])(
        -ONE
    ),
    "cond": lambda f: volta.cond(ONE > 0, f, lambda x: x, X),
    "grad of cond": lambda f: volta.grad(lambda x: volta.cond(x < 0, f, lambda x: x, x))(-ONE),
    "while_loop": lambda f: volta.while_loop(
        lambda c: c[0] < 2, lambda c: (c[0] + 1, f(c[1])), (0, -ONE)
    ),
    "map": lambda f: volta.map(f, X),
    "a program": lambda f: volta.trace(f)(X)(X),
}


@pytest.mark.parametrize("run", FORWARD)
def test_the_operation_that_made_nan(run):
    message = told(lambda: FORWARD[run](logarithm))
    assert re.match(
        r"^log: the result must be without NaN where operands are; got NaN in ", message
    )
    assert "float64[" in message
    assert message.endswith(f"(line: test_finite.py:{line_of(logarithm)})")


def test_the_message_in_full():
    message = told(lambda: logarithm(X))
    assert message == (
        "log: the result must be without NaN where operands are; got NaN in 1 of 3 elements, first "
        "at (1,), from float64[3]. Keep the operands in the domain of log, for instance by "
        f"functional.where or clip before it. (line: test_finite.py:{line_of(logarithm)})"
    )


def flat_norm(x):
    length = F.sqrt(x)
    return F.sum(length * 0.0)


def element(x):
    return F.sqrt(x) * 0.0


BACKWARD = {
    "grad": lambda: volta.grad(flat_norm)(ZEROS),
    "vjp": lambda: volta.vjp(flat_norm, ZEROS)[1](ONE),
    "jvp": lambda: volta.jvp(flat_norm, (ZEROS,), (ZEROS,)),
    "grad of grad": lambda: volta.grad(lambda x: F.sum(volta.grad(flat_norm)(x)))(ZEROS),
    "vmap of grad": lambda: volta.vmap(volta.grad(flat_norm))(np.zeros((2, 2))),
    "jvp of grad": lambda: volta.jvp(volta.grad(flat_norm), (ZEROS,), (ZEROS,)),
    "checkpoint": lambda: volta.grad(volta.checkpoint(flat_norm))(ZEROS),
    "scan": lambda: volta.grad(
        lambda w: volta.scan(lambda c, x: (c, element(c)), w, ZEROS)[1].sum()
    )(0.0 * ONE),
    "cond": lambda: volta.grad(lambda x: volta.cond(x < 1, element, lambda x: x, x))(0.0 * ONE),
    "switch": lambda: volta.grad(lambda x: volta.switch(0, [element, lambda x: x], x))(0.0 * ONE),
    "while_loop": lambda: volta.grad(
        lambda x: volta.while_loop(
            lambda c: c[0] < 2, lambda c: (c[0] + 1, c[1] + element(c[1])), (0, x)
        )[1]
    )(0.0 * ONE),
}


@pytest.mark.parametrize("run", BACKWARD)
def test_the_line_whose_derivative_made_nan(run):
    message = told(BACKWARD[run])
    lines = line_of(flat_norm), line_of(element)
    assert message.startswith(
        "sqrt: its derivative must be without NaN where what it is made of is"
    )
    assert any(f"in the derivative of sqrt at test_finite.py:{n}." in message for n in lines)


@volta.custom_vjp
def pulled(x):
    return F.exp(x)


@volta.custom_jvp
def pushed(x):
    return F.exp(x)


# NaN made by NumPy, of which no operation of Volta's knows
pulled.defvjp(lambda x: (F.exp(x), x), lambda x, ct: (ct * np.sqrt(-np.asarray(x)),))
pushed.defjvp(lambda p, t: (F.exp(p[0]), t[0] * np.sqrt(-np.asarray(p[0]))))


@pytest.mark.parametrize("rule", [pulled, pushed], ids=["custom_vjp", "custom_jvp"])
@pytest.mark.parametrize(
    "run",
    [
        lambda f: volta.grad(lambda x: F.sum(f(x)))(X),
        lambda f: volta.jvp(f, (X,), (X,)),
    ],
    ids=["grad", "jvp"],
)
def test_the_rule_that_made_nan(rule, run):
    message = told(lambda: run(rule))
    assert message.startswith(f"{rule.where}: its derivative must be without NaN where what it is")
    assert f"in the derivative of {rule.where} at test_finite.py:" in message
    with volta.debug_nans(), np.errstate(all="ignore"):
        volta.grad(lambda x: F.sum(rule(x)))(-np.ones(2))
        volta.grad(lambda x: F.sum(rule(x)))(np.asarray([np.nan, -1.0]))


def test_the_function_with_a_rule_or_the_solver_that_made_nan():
    @volta.custom_jvp
    def outer(x):
        return np.sqrt(-np.asarray(x)) * x

    outer.defjvp(lambda p, t: (outer(p[0]), t[0]))
    told_of = told(lambda: volta.grad(lambda x: F.sum(outer(x)))(np.ones(2)))
    assert told_of.startswith("custom_jvp(outer): the result must be without NaN where operands")

    def failing(a):
        return volta.implicit.root(lambda x, a: x * a, ONE, a, solver=lambda f, x, a: x * np.nan)

    told_of = told(lambda: volta.grad(failing)(ONE))
    assert told_of.startswith("implicit.root(<lambda>): the result must be without NaN where")


def test_nan_that_was_given_is_passed_on():
    given = np.asarray([np.nan, 1.0])
    with volta.debug_nans():
        grads = volta.grad(lambda x: F.sum(F.exp(x) * 2.0))(given)
    np.testing.assert_array_equal(np.isnan(grads), [True, False])


def test_what_is_masked_is_no_answer():
    def safe(x):
        return F.sum(F.where(x > 0, F.sqrt(x), x))

    for context in (volta.debug_nans, volta.debug_infs):
        with context():
            np.testing.assert_array_equal(volta.grad(safe)(ZEROS), [1.0, 1.0])


def divided(x):
    return F.sum(1.0 / x)


def test_infinities():
    message = told(lambda: volta.grad(divided)(ZEROS), volta.debug_infs)
    assert message.startswith("divide: the result must be without infinity where operands are; got")
    assert f"test_finite.py:{line_of(divided)}" in message
    message = told(lambda: volta.grad(lambda x: F.sum(F.sqrt(x)))(ZEROS), volta.debug_infs)
    assert message.startswith("sqrt: its derivative must be without infinity")
    with volta.debug_infs():  # given, as a number and in an array
        F.add(F.full((2,), -np.inf), 1.0)
        F.maximum(ZEROS, -np.inf)
        F.softmax(np.asarray([-np.inf, 1.0]))
    with (
        volta.debug_nans(),
        pytest.raises(volta.NonFiniteError, match=r"^subtract: .*float64\[2\]"),
    ):
        F.subtract(np.full(2, np.inf), np.full(2, np.inf))


@pytest.mark.parametrize("name", ["torch", "jax.numpy", "array_api_strict"])
def test_other_libraries(name):
    xp = pytest.importorskip(name)
    assert told(lambda: F.log(xp.asarray([1.0, -1.0]))).startswith("log: ")
    zeros = xp.asarray([0.0, 0.0])
    assert "in the derivative of sqrt" in told(lambda: volta.grad(flat_norm)(zeros))


def test_arrays_without_values_are_not_read():
    torch = pytest.importorskip("torch")
    jax = pytest.importorskip("jax")
    with volta.debug_nans():
        assert F.log(torch.ones(2, device="meta")).shape == (2,)
        assert np.isnan(jax.jit(lambda x: F.log(x))(jax.numpy.asarray(-1.0)))


def test_a_decorator():
    @volta.debug_nans()
    def checked(x):
        """Take a logarithm."""
        return F.log(x)

    assert checked.__doc__ == "Take a logarithm."
    for _ in range(2):
        with pytest.raises(volta.NonFiniteError):
            checked(X)
    assert live.staging == 0


def test_it_ends_with_the_context_and_with_an_error():
    with pytest.raises(KeyError), volta.debug_nans():
        raise KeyError
    assert live.staging == 0
    assert np.isnan(F.log(X)[1])
    with volta.debug_nans():
        with volta.debug_infs(), pytest.raises(volta.NonFiniteError):
            F.log(ZEROS)
        F.log(ZEROS)
        with pytest.raises(volta.NonFiniteError):
            F.log(X)


def test_results_are_what_they_are_without_it():
    def loss(x):
        y = F.zeros_like(x)
        y[0] = x[1] ** 2
        return F.sum(F.softmax(y * x) * x) + F.linalg.vector_norm(x)

    x = np.asarray([0.5, 1.5, -2.0])
    runs = [
        volta.grad(loss),
        volta.grad(lambda x: F.sum(volta.grad(loss)(x) ** 2)),
        lambda x: volta.jvp(volta.grad(loss), (x,), (x,))[1],
        lambda x: volta.vmap(volta.grad(loss))(np.stack([x, x])),
        lambda x: volta.grad(lambda x: volta.scan(lambda c, v: (loss(c * x), c), F.sum(x), x)[0])(
            x
        ),
        lambda x: volta.trace(loss)(x)(x),
        loss,
    ]
    for run in runs:
        wanted = run(x)
        with volta.debug_nans(), volta.debug_infs(), volta.debug_key_reuse():
            found = run(x)
        assert type(found) is type(wanted)
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_collectives_and_solutions():
    def centred(x):
        return x - volta.pmean(x, "lanes") + volta.psum(2.0, "lanes")

    def solved(a):
        b = np.asarray([1.0, 2.0])

        def solve(matvec, b):
            return F.linalg.solve(volta.jacfwd(matvec)(b), b)

        return F.sum(volta.custom_linear_solve(lambda x: F.matmul(a, x), b, solve))

    lanes = volta.vmap(centred, axis_name="lanes")
    matrix = np.asarray([[2.0, 0.5], [0.0, 3.0]])
    wanted = lanes(X), volta.grad(solved)(matrix)
    with volta.debug_nans(), volta.debug_key_reuse(), volta.check_tracer_leaks():
        found = lanes(X), volta.grad(solved)(matrix)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_contexts_that_end_in_another_order():
    def watched():
        with volta.debug_nans():
            yield

    for order in ((0, 1), (1, 0)):
        contexts = [watched(), watched()]
        for c in contexts:
            next(c)
        contexts[order[0]].close()
        assert told(lambda: logarithm(X), contextlib.nullcontext).startswith("log: ")
        contexts[order[1]].close()
        assert STAGING.get() is None
        with np.errstate(invalid="ignore"):
            assert np.isnan(logarithm(X)).any()


def test_it_holds_for_the_thread_that_enters_it():
    found = []
    with volta.debug_nans():
        thread = threading.Thread(target=lambda: found.append(F.log(X)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            thread.start()
            thread.join()
    assert np.isnan(found[0][1])


@pytest.mark.parametrize(
    ("variables", "raised"),
    [
        ({"VOLTA_DEBUG_NANS": "1"}, "F.log(-x)"),
        ({"VOLTA_DEBUG_INFS": "1"}, "F.divide(1, F.log(x))"),
        ({"VOLTA_DEBUG_NANS": "0"}, ""),
    ],
)
def test_the_environment(variables, raised):
    for program in ("F.log(-x)", "F.divide(1, F.log(x))"):
        script = (
            "import warnings; warnings.simplefilter('ignore')\n"
            "import numpy as np, volta, volta.functional as F\n"
            f"x = np.ones(2)\n{program}"
        )
        run = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
        )
        assert ("NonFiniteError" in run.stderr) == (program == raised), run.stderr
