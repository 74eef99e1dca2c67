"""Programs that operations carry: checkpoints, branches and loops are followed inside."""

import numpy as np
import pytest

import volta
import volta.functional as F
from volta.sparse import coloring, jacobian, pattern

X = np.linspace(0.5, 1.5, 4)
SHIFTED = np.eye(4, dtype=int) + np.eye(4, k=-1, dtype=int)


def mixed(x):
    return x + F.concat([np.zeros(1), x[:-1]])


def dense(fun, x):
    return np.stack([volta.jvp(fun, (x,), (u,))[1] for u in np.eye(x.size)], 1)


def steps(x, length, **options):
    return volta.scan(lambda c, _: (F.sin(mixed(c)), c * 2.0), x, length=length, **options)


PROGRAMS = {
    "checkpoint": (lambda x: volta.checkpoint(mixed)(x), SHIFTED),
    "cond": (
        lambda x: volta.cond(F.sum(x) > 0, lambda x: x[::-1] * 2.0, lambda x: x * 3.0, x),
        np.eye(4, dtype=int) | np.eye(4, dtype=int)[::-1],
    ),
    "switch that is known": (
        lambda x: volta.switch(np.asarray(1), [mixed, F.exp, F.cumulative_sum], x),
        np.eye(4, dtype=int),
    ),
    "scan": (lambda x: steps(x, 2)[0], np.minimum(SHIFTED @ SHIFTED, 1)),
    "scan's stack": (
        lambda x: steps(x, 3)[1][1],
        SHIFTED,
    ),
    "backwards": (
        lambda x: volta.scan(lambda c, y: (y, c * 1.0), x[0], x, reverse=True)[1],
        np.asarray([[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0]]),
    ),
    "known steps": (
        lambda x: volta.scan(lambda c, w: (c * w, c), x, np.eye(4)[:2] * 0 + 1.0)[0],
        np.eye(4, dtype=int),
    ),
    "steps that are zero": (
        lambda x: volta.scan(lambda c, w: (c + x * w, c), x * 0.0, np.eye(4)[:1])[0],
        np.diag([1, 0, 0, 0]),
    ),
    "long scan": (
        lambda x: steps(x, 1000)[0],
        np.tril(np.ones((4, 4), int)),
    ),
    "long scan's stack": (
        lambda x: F.sum(steps(x, 1000)[1], axis=0),
        np.tril(np.ones((4, 4), int)),
    ),
    "while": (
        lambda x: volta.while_loop(lambda c: F.sum(c) < 50.0, lambda c: c * 2.0, x),
        np.eye(4, dtype=int),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fun", "wanted"), list(PROGRAMS.values()), ids=list(PROGRAMS))
def test_patterns_of_programs_inside(fun, wanted):
    assert pattern(fun)(X).toarray().astype(int).tolist() == wanted.tolist()
    assert not np.any((dense(fun, X) != 0) & (wanted == 0))
    assert not np.any((dense(fun, X) != 0) & ~pattern(fun, local=True)(X).toarray())
    assert not np.any(pattern(fun, local=True)(X).toarray() & (wanted == 0))


def test_a_branch_is_known_at_a_point():
    fun, _ = PROGRAMS["cond"]
    assert pattern(fun, local=True)(X).toarray().astype(int).tolist() == np.eye(4)[::-1].tolist()


def test_loops_that_do_not_settle_join_everything():
    x = np.ones(100)

    def shifting(x):
        return steps(x, 1000)[0]

    def looping(x):
        return volta.while_loop(lambda c: F.sum(c) < 50.0, mixed, x)

    assert pattern(shifting)(x).nnz == 100**2
    assert pattern(looping)(x).nnz == 100**2


def test_derivatives_of_ones_own_join_everything():
    @volta.custom_jvp
    def straight(x):
        return F.floor(x)

    straight.defjvp(lambda primals, tangents: (straight(*primals), tangents[0]))
    assert pattern(straight)(X).toarray().all()


def test_a_time_stepper_has_a_band():
    def heat(u):
        def step(u, _):
            inner = u[1:-1] + 0.1 * (u[:-2] - 2.0 * u[1:-1] + u[2:])
            return F.concat([u[:1], inner, u[-1:]]), None

        return volta.scan(step, u, length=5)[0]

    u = np.linspace(0.0, 1.0, 200)
    plan = coloring(heat, u)
    assert plan.colors == 11
    np.testing.assert_allclose(jacobian(heat, plan)(u).toarray(), dense(heat, u), atol=1e-15)


def test_hessians_through_loops():
    def energy(x):
        return F.sum(volta.scan(lambda c, _: (c * c, None), x, length=2)[0])

    assert volta.sparse.pattern(volta.grad(energy))(X).nnz == 4
    found = volta.sparse.hessian(energy)(X).toarray()
    np.testing.assert_allclose(found, np.diag(12.0 * X**2))
