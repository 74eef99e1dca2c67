"""The laws once more, staged and compiled: what every row gives, its derivatives and its lanes.

By every backend that is installed. All results go to planned memory, however small, and every
program runs twice.
"""

import numpy as np
import pytest
from samples import SAMPLES

import volta
from volta.compile.native import llvm
from volta.compile.program import BACKENDS
from volta.core.types import typeof

pytestmark = pytest.mark.core


@pytest.fixture(autouse=True)
def _memory_for_all(monkeypatch):
    monkeypatch.setattr("volta.compile.numpy._SMALLEST", 1)
    monkeypatch.setattr("volta.compile.numpy._LARGE", 1)


def leaves(out):
    return out if isinstance(out, tuple) else (out,)


def like(rng, x):
    x = np.asarray(x)
    t = rng.normal(size=x.shape)
    if x.dtype.kind == "c":
        t = t + 1j * rng.normal(size=x.shape)
    return np.asarray(t, x.dtype)


def of_row(sample, run):
    """Function and arguments of one way of running a row."""
    rng = np.random.default_rng(3)
    if run == "value":
        return sample.fun, sample.args
    if run == "vmap":
        lanes = [np.stack([a, a[..., ::-1] if a.ndim else a]) for a in sample.args]
        return volta.vmap(sample.fun), tuple(lanes)

    def alone(*varied):
        args = list(sample.args)
        for i, a in zip(sample.diff, varied, strict=True):
            args[i] = a
        return sample.fun(*args)

    primals = tuple(sample.args[i] for i in sample.diff)
    if run == "jvp":
        tangents = tuple(like(rng, p) for p in primals)
        return (lambda xs, ts: volta.jvp(alone, xs, ts)), (primals, tangents)
    out = alone(*primals)
    ct = tuple(like(rng, o) for o in leaves(out))

    def pulled(xs, ct):
        found, vjp_fn = volta.vjp(alone, *xs)
        return found, vjp_fn(ct)

    return pulled, (primals, ct if isinstance(out, tuple) else ct[0])


def rows():
    for sample in SAMPLES:
        derived = sample.diff and not sample.jit
        runs = {"value": True, "jvp": derived, "vjp": derived, "vmap": not sample.vmap}
        yield from ((sample, run) for run, has in runs.items() if has)


def same(found, wanted, exact):
    for x, y in zip(volta.tree.leaves(found), volta.tree.leaves(wanted), strict=True):
        assert type(x) is np.ndarray
        assert typeof(x) == typeof(y)
        if exact:
            np.testing.assert_array_equal(x, y)
        else:
            np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-13)


# Functions composed of what has rows of its own, whose derivatives take LLVM a second or so; their
# values are compiled here. Like them are chdtr, chdtri, gdtr, gdtrix, pdtr; chisquare.
SLOW = {
    *("bdtr", "bdtrc", "bdtri", "fdtr", "fdtrc", "fdtri", "nbdtr", "nbdtrc", "nbdtri", "pdtri"),
    *("ball", "dirichlet", "f", "generalized_normal", "t"),
}


def is_slow(sample, run, backend):
    return backend == "llvm" and run != "value" and sample.name in SLOW


def test_what_is_slow_is_composed():
    assert all(not s.primitive for s in SAMPLES if s.name in SLOW)


def cases():
    backends = [b for b in BACKENDS if b != "llvm" or llvm.available()]
    for sample, run in rows():
        for backend in backends:
            marks = [pytest.mark.slow] if is_slow(sample, run, backend) else []
            yield pytest.param(
                sample, run, backend, marks=marks, id=f"{run}-{sample.name}-{backend}"
            )


@pytest.mark.parametrize(("sample", "run", "backend"), [*cases()])
def test_a_compiled_row_is_the_row(sample, run, backend):
    fun, args = of_row(sample, run)
    wanted = fun(*args)
    jitted = volta.jit(fun, backend=backend)
    first = jitted(*args)
    kept = volta.tree.map(np.copy, first)
    again = jitted(*args)
    # alone, a jitted row runs on LLVM's functions
    exact = sample.primitive not in ("", "jit") and run == "value" and backend == "numpy"
    same(first, wanted, exact)
    same(again, wanted, exact)
    same(first, kept, True)
