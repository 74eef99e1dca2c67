"""Rows of primitives that carry lists: loops, branches, checkpoints, rules of one's own."""

import numpy as np

import volta
import volta.functional as F
from samples.sample import add, cplx, real
from volta.core.errors import ShapeError


def _scanned(w, start, xs):
    def step(carry, x):
        carry = F.tanh(F.matmul(w, carry) + x)
        return carry, (F.sum(carry * x), carry)

    last, (sums, steps) = volta.scan(step, start, xs)
    return last, sums, steps


add("scan", _scanned, real(3, 3) / 3, real(3), real(4, 3))
add(
    "scan",
    lambda x, y: volta.scan(lambda c, v: (c * v + x, F.sin(c)), y, x, reverse=True),
    real(3),
    real(3),
    name="scan-reverse",
)
add(
    "scan",
    lambda z, xs: volta.scan(lambda c, x: (c * x, F.exp(c)), z, xs),
    cplx(2) / 2,
    cplx(3, 2) / 2,
    name="scan-complex",
)
add(
    "scan",
    lambda x: volta.scan(lambda c, _: ((c[1], c[0] * c[1]), ()), (x, F.sin(x)), length=3)[0],
    real(2),
    name="scan-length",
    errors=(
        (
            lambda: volta.scan(lambda c, x: (x, c), np.zeros(2), np.zeros((3, 4))),
            ShapeError,
            r"keep the types of the carry; got float64\[2\] and then float64\[4\] at carry",
        ),
    ),
)


def _newton(a):
    near = 8 * F.finfo(a.dtype).eps
    return volta.while_loop(
        lambda x: F.max(F.abs(x * x - a)) > near, lambda x: (x + F.divide(a, x)) / 2, F.ones_like(a)
    )


def _grown(a, x):
    """x · aᵏ for the least k with which it is beyond 30."""
    return volta.while_loop(lambda v: F.sum(v) < 30, lambda v: v * a + 0.1, x)


_STARTS = np.asarray([1.3, 0.7, 2.1]), np.asarray([0.6, 0.9, 1.2])
add("while_loop", _grown, 1 + _STARTS[0], _STARTS[1])
add(
    "while_loop",
    _newton,
    np.asarray([2.0, 0.5, 3.0]),
    name="while_loop-root",
)
add(
    "while_loop_back",
    lambda a, x, ct: volta.vjp(_grown, a, x)[1](ct),
    1 + _STARTS[0],
    _STARTS[1],
    np.asarray([0.4, -0.3, 0.8]),
    jit="reverse mode over reverse mode needs the number of steps, which is not known then",
)


def _branched(p, x, w):
    return volta.cond(p > 0, lambda x: (F.sin(x) * w, x), lambda x: (x * x, w * 2), x)


add("switch", lambda x, w: _branched(F.sum(x), x, w), np.asarray([0.3, 0.9]), real(2))
add(
    "switch",
    lambda x, w: _branched(-F.sum(x), x, w),
    np.asarray([0.3, 0.9]),
    real(2),
    name="switch-false",
)
add(
    "switch",
    lambda i, x: volta.switch(i, [F.sin, lambda x: x**3, F.exp], x),
    np.asarray(1),
    real(3),
    name="switch-index",
)
add(
    "checkpoint",
    lambda x, w: volta.checkpoint(lambda x: (F.sin(F.sin(x) * w), F.sum(x)))(x),
    real(3),
    real(3),
)
add(
    "checkpoint",
    lambda x, w: volta.checkpoint(
        lambda x: F.sin(volta.checkpoint_name(F.sin(x) * w, "product")),
        policy=volta.checkpoint_policies.save_only_these_names("product"),
    )(x),
    real(3),
    real(3),
    name="checkpoint-policy",
)
add(
    "jit",
    volta.jit(lambda x, w: (F.sin(F.sin(x) * w), F.sum(x))),
    real(3),
    real(3),
)
add(
    "jit",
    lambda x, w: volta.jit(lambda x: (F.sin(F.sin(x) * w), F.sum(x)))(x),
    cplx(2, 3),
    cplx(3),
    name="jit-closure",
)
add("checkpoint_name", lambda x: volta.checkpoint_name(x, "name"), real(2, 3))


def _ruled(*rules):
    """Product of a sine and an operand, with rules of its own."""
    fun = volta.custom_rule(lambda x, y: (F.sin(x) * y, F.sum(x * y)))
    if "jvp" in rules:

        @fun.defjvp
        def push(primals, tangents):
            (x, y), (t, s) = primals, tangents
            slope = F.multiply(F.multiply(F.cos(x), y), t)
            moved = F.add(F.multiply(t, y), F.multiply(x, s))
            return fun(x, y), (F.add(slope, F.multiply(F.sin(x), s)), F.sum(moved))

    if "vjp" in rules:

        def pull(kept, ct):
            (x, y), (a, b) = kept, ct
            first = F.multiply(F.multiply(F.cos(x), y), a), F.multiply(F.sin(x), a)
            return F.add(first[0], F.multiply(b, y)), F.add(first[1], F.multiply(b, x))

        fun.defvjp(lambda x, y: (fun(x, y), (x, y)), pull)
    if "vmap" in rules:

        @fun.defvmap
        def lanes(size, batched, x, y):
            x, y = (
                v if b else F.broadcast_to(v, (size, *v.shape))
                for v, b in zip((x, y), batched, strict=True)
            )
            return (F.sin(x) * y, F.sum(x * y, axis=1)), (True, True)

    return fun


for _rules in (("jvp",), ("vjp",), ("vmap",), ("jvp", "vjp", "vmap")):
    add(
        "custom_rule",
        _ruled(*_rules),
        real(3),
        real(3),
        name="-".join(("custom_rule", *_rules)),
    )


def _turned():
    fun = volta.custom_rule(lambda x: F.flip(F.multiply(x, 2.0)))
    fun.deftranspose(lambda ct: (F.multiply(F.flip(ct), 2.0),))
    return fun


add("custom_rule", _turned(), real(3), name="custom_rule-transpose")
