"""Derivatives of what a selection left out: zero, not NaN, to third order in every mode."""

import itertools

import numpy as np
import pytest

import volta
import volta.functional as F
from volta.core import Pair, Primitive
from volta.core.primitive import REGISTRY

pytestmark = [pytest.mark.core, pytest.mark.grad_check]


def forward(fun):
    return lambda x: volta.jvp(fun, (x,), (F.ones_like(x),))[1]


MODES = {"forward": forward, "reverse": volta.grad}


def selected(bad):
    """`bad` computed everywhere and chosen nowhere near its singular point at 0."""
    return {
        "where": lambda x: F.where(x > 0.5, bad(x), x),
        "where, other branch": lambda x: F.where(x <= 0.5, x, bad(x)),
        "where, then more": lambda x: F.where(x > 0.5, bad(x) * F.exp(x) + bad(x) ** 2, x),
        "where, before": lambda x: F.where(F.sin(x) > 0.5, F.tanh(bad(x)), x),
        "two wheres": lambda x: F.where(x > 0.5, F.where(x > 0.6, bad(x), x), x),
        "slice": lambda x: (F.stack([bad(x), x]))[1],
        "slice of a function": lambda x: bad(x + np.asarray([0.0, 0.5]))[1] * 0 + x,
        "integer array": lambda x: F.sum(F.stack([bad(x), x, x])[np.asarray([1, 1])]) / 2,
        "take": lambda x: F.sum(F.take(F.stack([bad(x), x]), np.asarray([1]), axis=0)),
        "written over": lambda x: _written_over(bad, x),
        "mask of an assignment": lambda x: _masked(bad, x),
    }


def _written_over(bad, x):
    out = F.stack([bad(x), x * 1])
    out[0] = x
    return F.sum(out) / 2


def _masked(bad, x):
    out = bad(x) * 1
    out = F.reshape(out, (1,))
    out = out.copy()
    out[np.asarray([True])] = 0.0
    return F.sum(out) + x


BAD = {
    "sqrt": F.sqrt,
    "log": F.log,
    "0 / 0": lambda x: x / x,
    "1 / x": lambda x: 1 / x,
    "power of a half": lambda x: x**0.5,
    "power of minus one": lambda x: x**-1,
    "power of an array": lambda x: F.pow(x, np.asarray(0.5)),
    "x to the x": lambda x: x**x,
    "acos": lambda x: F.acos(1 - x),
    "atanh": lambda x: F.atanh(1 - x),
    "overflow": lambda x: F.exp((1 - x) * 1000.0),
    "atan2": lambda x: F.atan2(x, x),
    "hypot": lambda x: F.hypot(x, 2 * x),
    "norm": lambda x: F.sqrt(F.sum(F.stack([x, x]) ** 2, axis=0)),
    "sqrt of sqrt": lambda x: F.sqrt(F.sqrt(x)),
    "log of log": lambda x: F.log(F.log(1 + x)),
    "entropy": lambda x: x * F.log(x),
    "exp of minus inverse": lambda x: F.exp(-1 / x**2),
    "logaddexp of infinities": lambda x: F.logaddexp(F.log(x), F.log(x)),
    "prod": lambda x: F.sqrt(F.prod(F.stack([x, x]), axis=0)),
}
FEW = ("where", "where, before", "slice", "written over")
SEQUENCES = [m for n in (1, 2, 3) for m in itertools.product(MODES, repeat=n)]
CASES = [
    (name, how, modes)
    for name in BAD
    for how in selected(F.sqrt)
    for modes in SEQUENCES
    if len(modes) < 3 or how in FEW
]


def derivative(fun, modes):
    for mode in modes:
        fun = MODES[mode](fun)
    return fun


@pytest.mark.parametrize(
    ("name", "how", "modes"), CASES, ids=[f"{n}, {h}, {'-'.join(m)}" for n, h, m in CASES]
)
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")  # of the values at the singular point
def test_what_is_left_out_counts_as_zero(name, how, modes):
    found = derivative(selected(BAD[name])[how], modes)(np.asarray(0.0))
    assert found == (1.0 if len(modes) == 1 else 0.0)


LIMITED = {
    "clip": lambda x: F.clip(F.sqrt(x), 0.5, 1.0),
    "clip of a logarithm": lambda x: F.clip(F.log(x), -1.0, 1.0),
    "clip of an inverse": lambda x: F.clip(1 / x, -1.0, 1.0),
    "clip and more": lambda x: F.clip(F.tanh(F.sqrt(x)), 0.5, 1.0) ** 2,
    "maximum": lambda x: F.maximum(F.sqrt(x), 0.5),
    "maximum of a logarithm": lambda x: F.maximum(F.log(x), 0.5),
    "maximum of arrays": lambda x: F.maximum(F.log(x), np.asarray([0.5, 1.0]))[1],
    "minimum": lambda x: F.minimum(1 / x, 0.5),
    "relu": lambda x: F.relu(-F.sqrt(x) - 1),
    "maximum of a chain": lambda x: F.maximum(F.tanh(F.sqrt(x)), 0.5),
}


@pytest.mark.parametrize("modes", SEQUENCES, ids=["-".join(m) for m in SEQUENCES])
@pytest.mark.parametrize("fun", list(LIMITED.values()), ids=list(LIMITED))
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_what_a_limit_cuts_off_counts_as_zero(fun, modes):
    assert derivative(fun, modes)(np.asarray(0.0)) == 0.0


KEPT = {  # zero cotangents by accident, not by selection: derivatives of higher order remain
    "product": (lambda x: F.where(x > -1, F.sin(x) * x, 0), (0, 2, 0)),
    "cube": (lambda x: F.where(x > -1, x * x * x, 0), (0, 0, 6)),
    "power": (lambda x: F.where(x > -1, x**3 + x, 0), (1, 0, 6)),
    "nested": (lambda x: F.where(x > -1, F.exp(x * F.sin(x)), 0), (0, 2, 0)),
    "clip": (lambda x: F.clip(x * x, -1.0, 1.0) * x, (0, 0, 6)),
    "maximum": (lambda x: F.maximum(x * F.tanh(x), -1.0), (0, 2, 0)),
    "slice": (lambda x: (F.stack([x, x]) * x * x)[1], (0, 0, 6)),
    "integers": (lambda x: (F.stack([x, x]) * F.sin(x))[np.asarray([1])][0], (0, 2, 0)),
    "weight": (lambda x: x * F.where(x > -1, x * F.cos(x), 0), (0, 2, 0)),
    "weights twice": (lambda x: x * x * F.where(x > -1, F.exp(x), 0), (0, 2, 6)),
}
KEPT_CASES = [(name, modes) for name in KEPT for modes in SEQUENCES]


@pytest.mark.parametrize(
    ("name", "modes"), KEPT_CASES, ids=[f"{n}, {'-'.join(m)}" for n, m in KEPT_CASES]
)
def test_zeros_by_accident_keep_their_derivatives(name, modes):
    fun, wanted = KEPT[name]
    np.testing.assert_allclose(
        derivative(fun, modes)(np.asarray(0.0)), wanted[len(modes) - 1], atol=1e-12
    )


def test_several_results_pass_the_mask_on():
    split = Primitive(
        "split_for_a_test",
        results=2,
        type_rule=lambda x: (x, x),
        batch=lambda size, batched, x: split(x),
        value=lambda xp, x: (x * 1, x * 2),
        derivatives=Pair(
            lambda primals, tangents: (split(*primals), split(*tangents)),
            lambda x: (split(x), None),
            lambda _, cts, needed: (
                sum((c * (i + 1) for i, c in enumerate(cts) if c is not None)),
            ),
        ),
    )
    try:
        found = volta.grad(lambda x: F.where(x > 0.5, split(F.sqrt(x))[1], x))(np.asarray(0.0))
    finally:
        del REGISTRY["split_for_a_test"]
    assert found == 1.0


# Arrays ------------------------------------------------------------------------------------------

X = np.asarray([0.0, 4.0])


@pytest.mark.parametrize(
    ("loss", "wanted"),
    [
        (lambda x: F.sum(F.sqrt(x)[1:]), [0, 1 / 4]),
        (lambda x: F.sum(F.sqrt(x)[np.asarray([1, 1])]), [0, 1 / 2]),
        (lambda x: F.sum(F.sqrt(x)[np.asarray([False, True])]), [0, 1 / 4]),
        (lambda x: F.sum(F.take(F.log(x), np.asarray([1]))), [0, 1 / 4]),
        (lambda x: F.sum(F.where(x > 0, F.sqrt(x), 0)), [0, 1 / 4]),
        (lambda x: F.sum(F.where(x > 0, F.sqrt(x) * 3 + x, x)), [1, 7 / 4]),
        (lambda x: F.sum(F.where(x > 0, x * F.log(x), 0)), [0, 1 + np.log(4)]),
        (lambda x: F.where(F.sum(x) > 9, F.sum(F.sqrt(x)), F.sum(x)), [1, 1]),
        (lambda x: F.where(x[1] < 0, F.sqrt(F.sum((x - x) ** 2)), F.sum(x)), [1, 1]),
        (lambda x: F.sum(F.tril(F.sqrt(F.stack([x[::-1], x[::-1]])), k=-1)), [0, 1 / 4]),
        (lambda x: F.sum(F.maximum(F.sqrt(x), 1.0)), [0, 1 / 4]),
        (lambda x: F.sum(F.unstack(F.sqrt(x))[1]), [0, 1 / 4]),
        (lambda x: F.max(F.sqrt(x)), [0, 1 / 4]),
        (lambda x: F.min(F.stack([F.sqrt(x), x - 5])), [1, 0]),
        (lambda x: F.sum(F.unstack(F.stack([x, F.log(x)]))[0]), [1, 1]),
        (lambda x: F.vecdot(F.where(x > 0, F.sqrt(x), 0), x), [0, 3]),
    ],
)
@pytest.mark.parametrize(
    "mode", ["reverse", "forward", "reverse under vmap", "forward over reverse"]
)
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_arrays_with_elements_left_out(loss, wanted, mode):
    if mode == "reverse":
        found = volta.grad(loss)(X)
    elif mode == "forward":
        found = [volta.jvp(loss, (X,), (t,))[1] for t in np.eye(2)]
    elif mode == "reverse under vmap":
        found = volta.vmap(volta.grad(loss))(np.stack([X + 1, X]))[1]
    else:
        found, curved = volta.jvp(volta.grad(loss), (X,), (np.asarray([1.0, 0.0]),))
        assert np.isfinite(curved).all()
    np.testing.assert_allclose(found, wanted)


@pytest.mark.parametrize("limit", [F.maximum, F.clip, F.where])
@pytest.mark.parametrize("modes", SEQUENCES, ids=["-".join(m) for m in SEQUENCES])
def test_an_infinite_derivative_after_a_choice(limit, modes):
    """√ has an infinite derivative at the limit, of which nothing reaches what was cut off."""

    def fun(x):
        chosen = F.where(x > 0, x, 0) if limit is F.where else limit(x, 0.0)
        return F.sqrt(chosen)

    assert derivative(fun, modes)(np.asarray(-1.0)) == 0.0


@pytest.mark.parametrize("modes", SEQUENCES, ids=["-".join(m) for m in SEQUENCES])
@pytest.mark.parametrize(
    "through",
    [lambda x: F.prod(F.stack([x, F.ones_like(x)])), lambda x: F.max(F.stack([x, x])), F.abs],
)
def test_pairs_of_rules_pass_the_mask_on(through, modes):
    fun = derivative(lambda x: F.sqrt(through(F.where(x > 0, x, 0))), modes)
    assert fun(np.asarray(-1.0)) == 0.0


def test_what_is_not_selected_away_stays_infinite():
    assert np.isinf(volta.grad(F.sqrt)(np.asarray(0.0)))
    assert np.isinf(volta.grad(lambda x: F.where(x >= 0, F.sqrt(x), 0))(np.asarray(0.0)))
    assert np.isinf(volta.grad(lambda x: F.sum(F.sqrt(x)))(X)[0])


def test_a_mask_passes_through_a_join_of_many():
    """No function is written for so many operands."""

    def loss(x):
        y = F.concat([F.sqrt(x)] * 12)
        return F.sum(F.where(y > 0, y, 0.0))

    np.testing.assert_array_equal(volta.grad(loss)(np.asarray([0.0, 4.0])), [0.0, 3.0])
