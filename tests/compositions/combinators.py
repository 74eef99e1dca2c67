"""Transforms as maps from functions of three numbers to such functions, and what they must give.

A combinator takes a function of an array of shape (3,) that returns one number, and returns
another; `meaning` says what that is in terms of the function's values alone, by finite differences
or loops. So a composition of any depth is checked at its outermost transform against values of the
composition below, which was checked in its turn. `t` is the library whose transforms these are,
with its namespace `m`: Volta or JAX.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

V = np.asarray([0.8, -0.6, 0.5])
SHIFTS = np.asarray([[0.05, 0.0, -0.02], [-0.04, 0.03, 0.01]])
WEIGHTS = np.asarray([1.0, -0.4])
STEPS = np.asarray([0.02, -0.03, 0.05])


@dataclass(frozen=True)
class Library:
    """Transforms, namespace, and rules of one's own, of which JAX cannot have all at once."""

    t: Any
    m: Any
    control: Any
    ruled: Any


def gradient(lib, f):
    return lambda x: lib.m.sum(lib.t.grad(f)(x) * V)


def pushed(lib, f):
    return lambda x: lib.t.jvp(f, (x,), (lib.m.asarray(V),))[1]


def linearized(lib, f):
    return lambda x: lib.t.linearize(f, x)[1](lib.m.asarray(V))


def lanes(lib, f):
    return lambda x: lib.m.sum(
        lib.t.vmap(lambda shift: f(x + shift))(lib.m.asarray(SHIFTS)) * WEIGHTS
    )


def checkpointed(lib, f):
    return lib.t.checkpoint(f)


def scanned(lib, f):
    def fun(x):
        def step(carry, shift):
            value = f(x + shift)
            return 0.5 * carry + value, carry * shift

        last, sums = lib.control.scan(step, f(x), lib.m.asarray(STEPS))
        return last + lib.m.sum(sums)

    return fun


def branched(lib, f):
    return lambda x: lib.control.cond(lib.m.sum(x) > 0, f, lambda x: lib.m.sum(x), x)


def other_branch(lib, f):
    return lambda x: lib.control.cond(x[0] > 40.0, lambda x: lib.m.sum(x), lambda x: 0.5 * f(x), x)


def ruled_forwards(lib, f):
    return lib.ruled(f, "jvp")


def ruled_backwards(lib, f):
    return lib.ruled(f, "vjp")


def ruled_both(lib, f):
    return lib.ruled(f, "jvp vjp vmap")


def slope(f, x):
    """Derivative along V, of a central difference of six points."""
    h = 4e-3
    one, two, three = (f(x + k * h * V) - f(x - k * h * V) for k in (1, 2, 3))
    return (45 * one - 9 * two + three) / (60 * h)


def _scan_meaning(f, x):
    carry, total = f(x), 0.0
    for shift in STEPS:
        total += carry * shift
        carry = 0.5 * carry + f(x + shift)
    return carry + total


def _same(f, x):
    return f(x)


# combinator: what it means
MEANINGS = {
    gradient: slope,
    pushed: slope,
    linearized: slope,
    lanes: lambda f, x: sum(w * f(x + s) for w, s in zip(WEIGHTS, SHIFTS, strict=True)),
    checkpointed: _same,
    scanned: _scan_meaning,
    branched: _same,
    other_branch: lambda f, x: 0.5 * f(x),
    ruled_forwards: _same,
    ruled_backwards: _same,
    ruled_both: _same,
}
# the kinds that are composed in all orders; a kind of several combinators takes them in turn
KINDS = {
    "grad": (gradient,),
    "jvp": (pushed,),
    "vmap": (lanes,),
    "checkpoint": (checkpointed,),
    "linearize": (linearized,),
    "custom": (ruled_both, ruled_forwards, ruled_backwards),
    "scan": (scanned,),
    "cond": (branched, other_branch),
}
