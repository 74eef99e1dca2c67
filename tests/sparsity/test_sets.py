"""No entry of a Jacobian is missed: rules of every primitive, of random programs and gradients.

The folder is not named sparse: pytest would import it under that name, by which array-api-compat
knows an array library.
"""

import contextlib

import numpy as np
import pytest
from programs import PROGRAMS, random_program
from samples import SAMPLES

import volta
import volta.functional as F
from volta.core import tree
from volta.core.primitive import REGISTRY
from volta.sparse import pattern
from volta.sparse.programs import _CARRIED
from volta.sparse.rules import RULES
from volta.sparse.sets import IndexSets

DIFFERENTIABLE = [s for s in SAMPLES if s.diff]
PRIMITIVES = list({s.primitive: s for s in DIFFERENTIABLE if s.primitive}.values())
ROWS = [s for s in DIFFERENTIABLE if s.primitive] + [s for s in DIFFERENTIABLE if not s.primitive][
    ::8
]


def packed(sample):
    """The row's function as one of real vectors, and the vector of the row."""
    operands = [np.asarray(sample.args[i]) for i in sample.diff]
    parts = [
        np.concatenate([a.real.reshape(-1), a.imag.reshape(-1)])
        if a.dtype.kind == "c"
        else a.reshape(-1).astype(np.float64)
        for a in operands
    ]

    def fun(x):
        args, place = list(sample.args), 0
        for i, a in zip(sample.diff, operands, strict=True):
            taken = x[place : place + a.size].reshape(a.shape)
            place += a.size
            if a.dtype.kind == "c":
                taken = taken + 1j * x[place : place + a.size].reshape(a.shape)
                place += a.size
            args[i] = F.astype(taken, a.dtype, copy=False)
        return vector(sample.fun(*args))

    return fun, np.concatenate(parts)


def vector(out):
    """Real numbers of all floating results as one vector."""
    parts = [np.zeros(1)]
    for leaf in tree.leaves(out):
        if str(leaf.dtype).startswith("complex"):
            parts += [F.reshape(F.real(leaf), (-1,)), F.reshape(F.imag(leaf), (-1,))]
        elif str(leaf.dtype).startswith("float"):
            parts.append(F.reshape(leaf, (-1,)))
    return F.concat([F.astype(p, np.float64) for p in parts])


def dense(fun, x):
    columns = [volta.jvp(fun, (x,), (unit,))[1] for unit in np.eye(x.size)]
    return np.stack(columns, 1)


def assert_bound(fun, x):
    """The patterns hold what is not zero, and the one at a point lies in the one everywhere."""
    nonzero = ~(dense(fun, x) == 0)
    at_point = pattern(fun, local=True)(x).toarray()
    assert not np.any(nonzero & ~at_point)
    try:
        anywhere = pattern(fun)(x).toarray()
    except volta.TraceError:
        return
    assert not np.any(nonzero & ~anywhere)
    assert not np.any(at_point & ~anywhere)


@pytest.mark.parametrize("sample", ROWS, ids=lambda s: s.id)
def test_nothing_is_missed_of_any_operation(sample):
    assert_bound(*packed(sample))


@pytest.mark.parametrize("sample", PRIMITIVES, ids=lambda s: s.id)
def test_nothing_is_missed_of_gradients(sample):
    fun, x = packed(sample)
    weights = np.cos(np.arange(fun(x).size))
    assert_bound(volta.grad(lambda x: F.sum(fun(x) * weights)), x)


@pytest.mark.parametrize("program", list(PROGRAMS.values()), ids=list(PROGRAMS))
def test_nothing_is_missed_of_programs_that_write(program):
    x = np.random.default_rng(0).uniform(0.5, 2.0, 12)
    assert_bound(lambda x: vector(program(x.reshape((4, 3)) * 1.0)), x)


@pytest.mark.parametrize("seed", range(60))
def test_nothing_is_missed_of_random_programs(seed):
    program = random_program(seed)
    x = np.random.default_rng(seed).uniform(0.5, 2.0, 12)
    with contextlib.suppress(volta.TraceError):  # of those that write to a view, as anywhere
        assert_bound(lambda x: vector(program(x.reshape((4, 3)) * 1.0)), x)


def test_rules_are_of_primitives():
    assert {*RULES, *_CARRIED} <= set(REGISTRY)


# Exact patterns ----------------------------------------------------------------------------------


def found(fun, n, **options):
    x = options.pop("x", np.linspace(0.5, 1.5, n))
    return pattern(fun, **options)(x).toarray().astype(int).tolist()


TIMES = np.asarray([[1.0, 0.0, 2.0], [0.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
MASK = np.asarray([True, False, True])
PICKED = np.asarray([2, 0])

EXACT = {
    "elementwise": (lambda x: F.exp(x) * x, [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    "broadcast": (lambda x: x[:2, None] + np.zeros(2), [[1, 0, 0]] * 2 + [[0, 1, 0]] * 2),
    "outer": (
        lambda x: x[:2, None] * x[None, 1:],
        [[1, 1, 0], [1, 0, 1], [0, 1, 0], [0, 1, 1]],
    ),
    "slice": (lambda x: x[::-2], [[0, 0, 1], [1, 0, 0]]),
    "roll": (lambda x: F.roll(x, 1), [[0, 0, 1], [1, 0, 0], [0, 1, 0]]),
    "gather": (lambda x: x[PICKED], [[0, 0, 1], [1, 0, 0]]),
    "mask": (lambda x: x[MASK], [[1, 0, 0], [0, 0, 1]]),
    "pad": (lambda x: F.pad(x[:1], 1), [[0, 0, 0], [1, 0, 0], [0, 0, 0]]),
    "concat": (
        lambda x: F.concat([x[1:] + x[:-1], np.ones(1), x[:1]]),
        [[1, 1, 0], [0, 1, 1], [0, 0, 0], [1, 0, 0]],
    ),
    "tril": (
        lambda x: F.tril(F.broadcast_to(x, (2, 3))),
        [[1, 0, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]],
    ),
    "sum": (
        lambda x: F.sum(F.reshape(F.concat([x, x]), (2, 3)), axis=0),
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    ),
    "cumulative_sum": (F.cumulative_sum, [[1, 0, 0], [1, 1, 0], [1, 1, 1]]),
    "left factor": (lambda x: x @ TIMES, [[1, 0, 0], [0, 0, 1], [1, 0, 0]]),
    "right factor": (lambda x: TIMES @ x, [[1, 0, 1], [0, 0, 0], [0, 1, 0]]),
    "matrices": (
        lambda x: (F.reshape(x, (3, 1)) @ np.asarray([[0.0, 1.0]])),
        [[0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]],
    ),
    "times zero": (lambda x: x * np.asarray([1.0, 0.0, 2.0]), [[1, 0, 0], [0, 0, 0], [0, 0, 1]]),
    "known where": (lambda x: F.where(MASK, x, x[::-1] * 2), [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    "convolve": (
        lambda x: F.convolve(x, np.asarray([1.0, 0.0, 2.0]), mode="valid"),
        [[1, 0, 1]],
    ),
    "scatter": (
        lambda x: _put(x),
        [[0, 1, 0], [0, 1, 0], [1, 0, 0]],
    ),
    "scatter add": (lambda x: F.at(x)[PICKED].add(x[::2]), [[1, 0, 1], [0, 1, 0], [1, 0, 1]]),
    "floor": (lambda x: F.floor(x) + F.stop_gradient(x), [[0, 0, 0]] * 3),
    "constant": (lambda x: np.ones(2), [[0, 0, 0]] * 2),
}  # fmt: skip


def _put(x):
    y = x * 1.0
    y[PICKED] = x[:2]
    return y


@pytest.mark.parametrize(("fun", "wanted"), list(EXACT.values()), ids=list(EXACT))
def test_patterns_are_exact(fun, wanted):
    assert found(fun, 3) == wanted


@pytest.mark.parametrize(
    ("fun", "at", "wanted"),
    [
        (lambda x: F.where(x > 1, x, x[::-1]), [0.0, 2.0, 3.0], [[0, 0, 1], [0, 1, 0], [0, 0, 1]]),
        (F.relu, [-1.0, 2.0, 3.0], [[0, 0, 0], [0, 1, 0], [0, 0, 1]]),
        (lambda x: F.maximum(x, x[::-1]), [1.0, 2.0, 3.0], [[0, 0, 1], [0, 1, 0], [0, 0, 1]]),
        (F.sort, [3.0, 1.0, 2.0], [[1, 1, 1]] * 3),
        (lambda x: x[F.argsort(x)], [3.0, 1.0, 2.0], [[0, 1, 0], [0, 0, 1], [1, 0, 0]]),
        (lambda x: x if x[0] > 0 else x[::-1], [-1.0, 2.0, 3.0], [[0, 0, 1], [0, 1, 0], [1, 0, 0]]),
    ],
)
def test_patterns_at_a_point(fun, at, wanted):
    assert found(fun, 3, x=np.asarray(at), local=True) == wanted


def test_an_index_that_depends_on_the_input_joins_everything():
    assert found(lambda x: x[F.argsort(x)], 3) == [[1, 1, 1]] * 3


def test_long_cumulative_lines_are_joined():
    assert pattern(F.cumulative_sum)(np.ones(1025)).nnz == 1025**2
    assert pattern(F.cumulative_sum)(np.ones(1024)).nnz == 1024 * 1025 // 2


def test_batches_of_matrices_stay_apart():
    eye = np.stack([np.eye(2)] * 2)
    blocks = np.kron(np.eye(2), np.ones((4, 4))).astype(int).tolist()
    assert found(lambda x: F.linalg.inv(x.reshape((2, 2, 2))), 8, x=eye.reshape(-1)) == blocks

    def columns(b):
        return F.linalg.solve(np.eye(2) + 1.0, b.reshape((2, 2)))

    assert found(columns, 4) == np.kron(np.ones((2, 2)), np.eye(2)).astype(int).tolist()


# Sets --------------------------------------------------------------------------------------------


def test_sets_that_hold_everything_are_one():
    x = IndexSets.of_input((50,))
    everything = x.over((0,)).broadcast((50,))
    joined = x.join(everything)
    assert joined.rows.shape == (2, 50)
    assert len(set(joined.index.tolist())) == 1
    assert joined.matrix().nnz == 2500


def test_the_empty_set_stays_number_zero():
    x = IndexSets.of_input((3,)).without(np.asarray([True, False, False]))
    joined = x.join(IndexSets.of_input((3,)).without(np.asarray([True, True, False])))
    assert joined.index.tolist()[0] == 0
    assert joined.matrix().toarray().astype(int).tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_alike_sets_are_not_joined_again():
    x = IndexSets.of_input((3,))
    assert x.join(IndexSets(x.index.copy(), x.rows)) is x
