"""debug.print, callback and breakpoint under every transform."""

import numpy as np
import pytest

import volta
import volta.functional as F
from volta import debug

pytestmark = pytest.mark.core

X = np.asarray([1.0, 2.0])
THREE = np.asarray(3.0)


def noisy(x):
    debug.print("x={x}", x=x)
    return F.sum(x * x)


ONCE = {
    "raw": lambda: noisy(X),
    "grad": lambda: volta.grad(noisy)(X),
    "vjp": lambda: volta.vjp(noisy, X)[1](np.asarray(1.0)),
    "jvp": lambda: volta.jvp(noisy, (X,), (X,)),
    "grad of grad": lambda: volta.grad(lambda x: F.sum(volta.grad(noisy)(x)))(X),
    "jvp of grad": lambda: volta.jvp(volta.grad(noisy), (X,), (X,)),
    "linearize": lambda: volta.linearize(noisy, X)[1](X),
    "checkpoint": lambda: volta.checkpoint(noisy)(X),
    "grad of checkpoint": lambda: volta.grad(volta.checkpoint(noisy))(X),
    "jvp of checkpoint": lambda: volta.jvp(volta.checkpoint(noisy), (X,), (X,)),
    "cond": lambda: volta.cond(THREE > 0, noisy, F.sum, X),
    "grad of cond": lambda: volta.grad(lambda x: volta.cond(x[0] > 0, noisy, F.sum, x))(X),
    "a program": lambda: volta.trace(noisy)(X)(X),
    "a program of a gradient": lambda: volta.trace(volta.grad(volta.checkpoint(noisy)))(X)(X),
    "watched": lambda: volta.debug_nans()(volta.grad(volta.checkpoint(noisy)))(X),
}


@pytest.mark.parametrize("run", ONCE)
def test_the_value_is_printed_once(run, capsys):
    ONCE[run]()
    assert capsys.readouterr().out == "x=[1. 2.]\n"


def test_lanes_print_in_order(capsys):
    volta.vmap(noisy)(np.asarray([[1.0, 2.0], [3.0, 4.0]]))
    volta.vmap(volta.grad(noisy))(np.asarray([[5.0, 6.0], [7.0, 8.0]]))
    shown = ["x=[1. 2.]", "x=[3. 4.]", "x=[5. 6.]", "x=[7. 8.]"]
    assert capsys.readouterr().out.splitlines() == shown


def parting(x):
    debug.print("x={x}", x=x)
    y = volta.scan(lambda c, v: (c, debug.print("{}", c) or c * v), x, np.ones(2))[1]
    y = x * 2 if x > 1 else x + F.sum(y) * 0
    debug.print("y={}", y)
    return y


@pytest.mark.parametrize(
    "run", [volta.vmap(parting), volta.grad(lambda x: F.sum(volta.vmap(parting)(x)))]
)
def test_lanes_that_part_print_once(run, capsys):
    before = ["x=1.0", "x=2.0", "1.0", "2.0", "1.0", "2.0"]
    for _ in range(2):
        run(X)
        shown = capsys.readouterr().out.splitlines()
        assert [line for line in shown if line[0] != "y"] == before
        assert sorted(line for line in shown if line[0] == "y") == ["y=1.0", "y=4.0"]


def test_lanes_of_two_axes_that_part_print_once(capsys):
    def inner(v):
        debug.print("v={}", v)
        return v if v > 0 else -v

    def outer(row):
        debug.print("row={}", row)
        row = volta.vmap(inner)(row)
        debug.print("now={}", row)
        return row if row[0] > 3 else -row

    volta.vmap(outer)(np.asarray([[1.0, -2.0], [-3.0, 4.0], [5.0, -6.0]]))
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(
        [f"v={v}" for v in (1.0, -2.0, -3.0, 4.0, 5.0, -6.0)]
        + ["row=[ 1. -2.]", "row=[-3.  4.]", "row=[ 5. -6.]"]
        + ["now=[1. 2.]", "now=[3. 4.]", "now=[5. 6.]"]
    )


def test_what_is_shared_by_all_lanes_is_printed_once(capsys):
    def f(x, y):
        debug.print("{}", y)
        return x + y

    volta.vmap(f, in_axes=(0, None))(X, THREE)
    assert capsys.readouterr().out == "3.0\n"


def scanned(w):
    def step(c, x):
        debug.print("{} of {c}", x, c=c)
        debug.print("step")
        return c * x, c

    return volta.scan(step, w, X)[0]


def looped(w):
    def body(c):
        debug.print("{}", c[1])
        return c[0] + 1, c[1] * 2.0

    return volta.while_loop(lambda c: c[0] < 2, body, (0, w))[1]


STEPS = ["1.0 of 3.0", "step", "2.0 of 3.0", "step"]
LANES = ["1.0 of 1.0", "1.0 of 2.0", "step", "2.0 of 1.0", "2.0 of 2.0", "step"]


@pytest.mark.parametrize(
    ("run", "shown"),
    [
        (lambda: scanned(THREE), STEPS),
        (lambda: volta.grad(scanned)(THREE), STEPS),
        (lambda: volta.jvp(scanned, (THREE,), (THREE,)), STEPS),
        (lambda: volta.grad(volta.grad(scanned))(THREE), STEPS),
        (lambda: volta.grad(volta.checkpoint(scanned))(THREE), STEPS),
        (lambda: volta.vmap(scanned)(X), LANES),
        (lambda: volta.vmap(volta.grad(scanned))(X), LANES),
        (lambda: looped(THREE), ["3.0", "6.0"]),
        (lambda: volta.grad(looped)(THREE), ["3.0", "6.0"]),
        (lambda: volta.jvp(looped, (THREE,), (THREE,)), ["3.0", "6.0"]),
        (lambda: volta.vmap(looped)(X), ["1.0", "2.0", "2.0", "4.0"]),
        (lambda: volta.vmap(volta.grad(looped))(X), ["1.0", "2.0", "2.0", "4.0"]),
        (lambda: volta.map(noisy, X[:, None]), ["x=[1.]", "x=[2.]"]),
        (lambda: volta.fori_loop(0, 2, lambda i, c: debug.print("{}", i) or c, X), ["0", "1"]),
    ],
)
def test_bodies_print_whenever_they_run(run, shown, capsys):
    run()
    assert capsys.readouterr().out.splitlines() == shown


def test_rules_of_ones_own_print_where_they_run(capsys):
    @volta.custom_vjp
    def double(x):
        debug.print("fun")
        return x * 2.0

    def fwd(x):
        debug.print("fwd {}", x)
        return x * 2.0, None

    def bwd(_, ct):
        debug.print("bwd {}", ct)
        return (ct * 2.0,)

    double.defvjp(fwd, bwd)
    double(THREE)
    volta.grad(double)(THREE)
    volta.grad(lambda w: volta.scan(lambda c, x: (double(c) * x, None), w, X)[0])(THREE)
    shown = ["fun", "fwd 3.0", "bwd 1.0", "fwd 3.0", "fwd 6.0", "bwd 2.0", "bwd 4.0"]
    assert capsys.readouterr().out.splitlines() == shown


def test_both_branches_print_for_all_lanes(capsys):
    def one(x):
        debug.print("one {}", x)
        return x

    volta.vmap(lambda x: volta.cond(x > 1, one, lambda x: -x, x))(X)
    assert capsys.readouterr().out.splitlines() == ["one 1.0", "one 2.0"]


def test_staging_alone_prints_nothing(capsys):
    volta.eval_shape(noisy, X)
    text = str(volta.trace(noisy)(X))
    assert capsys.readouterr().out == ""
    assert "debug_callback(%0; " in text


def test_what_a_callback_is_given():
    found = []

    def f(x):
        debug.callback(
            lambda *a, **k: found.append((a, k)), {"x": x, "n": None}, 3, name="f", y=[x]
        )
        return F.sum(x)

    volta.grad(f)(X)
    (args, kwargs) = found[0]
    assert type(args[0]["x"]) is np.ndarray
    assert args[0]["n"] is None
    assert args[1] == 3
    assert kwargs["name"] == "f"
    np.testing.assert_array_equal(kwargs["y"][0], X)


@pytest.mark.parametrize("name", ["torch", "array_api_strict"])
def test_a_callback_is_given_the_librarys_arrays(name):
    xp = pytest.importorskip(name)
    found = []
    volta.vmap(lambda x: debug.callback(found.append, x) or x)(xp.asarray([1.0, 2.0]))
    assert [type(f) for f in found] == [type(xp.asarray(1.0))] * 2


def test_a_type_error_of_a_callback_is_the_users():
    message = r'^can only concatenate str \(not "int"\) to str$'
    with pytest.raises(TypeError, match=message) as caught:
        volta.grad(lambda x: debug.callback(lambda x: "x" + 1, x) or F.sum(x))(X)
    assert caught.type is TypeError
    with pytest.raises(TypeError, match=r"^unsupported format string passed to numpy\.ndarray"):
        debug.print("{:.3f}", X)


def test_an_error_of_a_callback_is_the_users():
    def fails(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        volta.grad(lambda x: debug.callback(fails, x) or F.sum(x))(X)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: debug.print(X), TypeError, r"^debug\.print: fmt must be a string; got ndarray\."),
        (
            lambda: debug.print("{y}", x=X),
            ValueError,
            r"^debug\.print: fmt must name what is given; got \{y\} and x\. .*test_effects\.py",
        ),
        (lambda: debug.print("{} {}", X), ValueError, r"got \{\} and 0\."),
        (lambda: debug.print("{x.shape}"), ValueError, r"got \{x\.shape\} and nothing\."),
        (
            lambda: debug.callback(X),
            TypeError,
            r"^debug\.callback: fun must be callable; got ndarray\.",
        ),
    ],
)
def test_wrong_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_formats(capsys):
    debug.print("{{}} {0} {1:.1f} {s.shape} {d[k]}", "a", 2.25, s=X, d={"k": 1})
    assert capsys.readouterr().out == "{} a 2.2 (2,) 1\n"


# breakpoint ---------------------------------------------------------------------------------------


@pytest.fixture
def stops(monkeypatch):
    """Namespaces that the debugger was opened with."""
    found = []

    class Fake:
        quits = False

        def run(self, command, given, names):
            found.append(names)

    monkeypatch.delenv("PYTHONBREAKPOINT", raising=False)
    monkeypatch.setattr(volta.debug.effects, "_Debugger", Fake)
    return found


def stopping(x):
    y = x * 2.0
    text = "no array"
    debug.breakpoint()
    return F.sum(y) + len(text)


@pytest.mark.parametrize(
    ("run", "values"),
    [
        (lambda: stopping(X), [[2.0, 4.0]]),
        (lambda: volta.grad(stopping)(X), [[2.0, 4.0]]),
        (lambda: volta.vmap(stopping)(np.asarray([[1.0], [2.0]])), [[2.0], [4.0]]),
        (lambda: volta.scan(lambda c, x: (c, stopping(x)), X, X[:, None]), [[2.0], [4.0]]),
        (lambda: volta.grad(volta.checkpoint(stopping))(X), [[2.0, 4.0]]),
    ],
)
def test_the_debugger_opens_with_the_values(run, values, stops, capsys):
    run()
    assert [sorted(names) for names in stops] == [["x", "y"]] * len(values)
    for names, value in zip(stops, values, strict=True):
        assert type(names["y"]) is np.ndarray
        np.testing.assert_array_equal(names["y"], value)
    line = stopping.__code__.co_firstlineno + 3
    out = capsys.readouterr().out
    assert out.startswith(f"debug.breakpoint at test_effects.py:{line}\nx = ")
    assert f"y = {np.asarray(values[0])}" in out


def test_the_debugger_shows_what_is_asked_for(stops):
    volta.grad(lambda x: debug.breakpoint(x, double=x * 2.0) or F.sum(x))(X)
    assert sorted(stops[0]) == ["arg0", "double"]


def test_the_debugger_can_be_switched_off(stops, monkeypatch):
    monkeypatch.setenv("PYTHONBREAKPOINT", "0")
    stopping(X)
    assert stops == []


def test_the_debugger_itself(monkeypatch, capsys):
    import io

    monkeypatch.delenv("PYTHONBREAKPOINT", raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO("p float(y[1])\ncontinue\n"))
    np.testing.assert_array_equal(volta.grad(stopping)(X), [2.0, 2.0])
    assert "4.0" in capsys.readouterr().out


def test_quitting_the_debugger_ends_the_program(monkeypatch):
    import bdb
    import io

    monkeypatch.delenv("PYTHONBREAKPOINT", raising=False)
    for command in ("q\n", "n\nq\n", ""):
        monkeypatch.setattr("sys.stdin", io.StringIO(command))
        with pytest.raises(bdb.BdbQuit):
            stopping(X)
