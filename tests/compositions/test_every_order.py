"""Transforms in every order: what each gives of the composition below it, and what JAX gives.

Every pair and triple of kinds on three functions, sixty functions in twenty compositions each, and
two hundred of depth four. A tenth of them runs here, less beside JAX, all in
`scripts/compositions`.
"""

import itertools
import random
from types import SimpleNamespace

import numpy as np
import pytest
from compositions.combinators import KINDS, MEANINGS, Library
from compositions.functions import FUNCTIONS
from strategies import quiet, running

import volta
import volta.functional as F

pytestmark = [pytest.mark.core, pytest.mark.grad_check]

POINT = np.asarray([0.55, 0.8, 0.45])
DERIVATIVES = ("grad", "jvp", "linearize")
THREE = ("network", "solve", "slices")


def _ruled(f, rules):
    """`f` with rules of its own that say the same."""
    fun = volta.custom_rule(f)
    if "jvp" in rules:
        fun.defjvp(lambda primals, tangents: volta.jvp(f, primals, tangents))
    if "vjp" in rules:
        fun.defvjp(lambda x: (f(x), x), lambda x, ct: (volta.grad(f)(x) * ct,))
    if "vmap" in rules:

        @fun.defvmap
        def lanes(size, batched, x):
            return volta.vmap(f)(x), True

    return fun


VOLTA = Library(volta, F, volta, _ruled)


def _jax():
    jax = pytest.importorskip("jax")
    special = SimpleNamespace(
        **{n: getattr(jax.scipy.special, n) for n in dir(jax.scipy.special) if n[0] != "_"}
    )
    special.softmax = jax.nn.softmax
    numpy = jax.numpy
    names = {n: getattr(numpy, n) for n in dir(numpy) if not n.startswith("_")}
    names["special"] = special
    return Library(jax, SimpleNamespace(**names), jax.lax, lambda f, rules: f)


# Which compositions -------------------------------------------------------------------------------


def _combinators(kinds, seed):
    """A combinator of each kind, in turn where a kind has several."""
    return tuple(KINDS[k][(seed + i) % len(KINDS[k])] for i, k in enumerate(kinds))


def _cases():
    """Triples (function, combinators from the outermost to the innermost)."""
    for depth in (2, 3):
        for seed, kinds in enumerate(itertools.product(KINDS, repeat=depth)):
            for name in THREE:
                yield name, _combinators(kinds, seed)
    draw = random.Random(0)
    for name in FUNCTIONS:
        for seed in range(20):
            depth = draw.choice((1, 2, 3))
            yield name, _combinators(draw.choices(list(KINDS), k=depth), seed)
    for seed in range(200):
        yield draw.choice(list(FUNCTIONS)), _combinators(draw.choices(list(KINDS), k=4), seed)


CASES = list(_cases())


def _label(case):
    name, combinators = case
    return f"{'-'.join(c.__name__ for c in combinators)}-{name}"


def _part(share):
    """Every case; a share of them, spread by a fixed draw, runs in every run of the tests."""
    params = []
    for i, case in enumerate(CASES):
        marks = () if random.Random(i).random() < share else (pytest.mark.slow,)
        params.append(pytest.param(case, marks=marks, id=f"{i}-{_label(case)}"))
    return pytest.mark.parametrize("case", params)


def composed(lib, case):
    """The function of the composition, and that of the one below its outermost transform."""
    name, combinators = case
    below = fun = lambda x: FUNCTIONS[name](lib.m, x)
    for combinator in reversed(combinators):
        below, fun = fun, combinator(lib, fun)
    return fun, below


def test_there_are_as_many_as_are_said():
    assert len(FUNCTIONS) >= 60
    assert len(KINDS) == 8
    assert len(CASES) == 3 * (8**2 + 8**3) + 20 * len(FUNCTIONS) + 200
    assert set(MEANINGS) == {c for cs in KINDS.values() for c in cs}


@_part(0.1)
def test_the_outermost_transform_means_what_it_says(case):
    fun, below = composed(VOLTA, case)
    with quiet():
        found = fun(POINT)
        wanted = MEANINGS[case[1][0]](lambda x: float(below(x)), POINT)
    assert np.asarray(found).dtype == np.float64
    assert found.shape == ()
    size = max(abs(float(below(POINT))), abs(wanted), 1e-3)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7 * size)


@_part(0.04)  # JAX compiles each operation anew
def test_jax_agrees(case):
    jax = pytest.importorskip("jax")
    with running("jax"):
        wanted = composed(_jax(), case)[0](jax.numpy.asarray(POINT))
    with quiet():
        found = composed(VOLTA, case)[0](POINT)
    np.testing.assert_allclose(found, np.asarray(wanted), rtol=1e-9, atol=1e-10)
