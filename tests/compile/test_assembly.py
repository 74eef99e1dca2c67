"""Sums of slices that are put together, and those that cannot be."""

import numpy as np
import pytest
from strategies import fill

import volta
import volta.functional as F
from volta.compile import numpy as programs
from volta.compile.assembly import Assembly
from volta.compile.passes import optimized

pytestmark = pytest.mark.core


def assemblies(fun, *args):
    program = programs._Writer(optimized(volta.trace(fun)(*args)))
    found = [e.primitive for e in program.entries if type(e.primitive) is Assembly]
    return [a.whole for a in found]


def weighted(*parts):
    return volta.grad(lambda x: sum(F.sum(F.exp(p(x)) * (i + 1)) for i, p in enumerate(parts)))


CASES = {
    "halves": ((lambda x: x[:2], lambda x: x[2:]), [True]),
    "columns": (tuple(lambda x, i=i: x[:, i] for i in range(5)), [True]),
    "steps": ((lambda x: x[::2], lambda x: x[1::2, ::-1]), [True]),
    "with a gap": ((lambda x: x[:1], lambda x: x[2:]), [False]),
    "overlapping": ((lambda x: x[:3], lambda x: x[2:]), []),
    "the same": ((lambda x: x[:2], lambda x: x[:2] * 2), []),
    "one": ((lambda x: x[1:3],), []),
    "beside the whole": ((lambda x: x[:2], lambda x: x[2:], lambda x: x), []),
}


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
@pytest.mark.parametrize("name", CASES)
def test_gradients_of_slices(name, backend):
    if backend == "llvm":
        pytest.importorskip("llvmlite")
    parts, whole = CASES[name]
    fun, x = weighted(*parts), fill(0, (4, 5), "float64")
    assert assemblies(fun, x) == whole
    np.testing.assert_allclose(volta.jit(fun, backend=backend)(x), fun(x), rtol=1e-14)


def test_a_slice_that_is_read_elsewhere_is_added():
    def fun(x):
        a = volta.grad(lambda x: F.sum(F.exp(x[:2])))(x)
        b = volta.grad(lambda x: F.sum(F.exp(x[2:])))(x)
        return a + b, a * 2

    x = fill(0, (4, 5), "float64")
    assert assemblies(fun, x) == []
    for found, wanted in zip(volta.jit(fun)(x), fun(x), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-14)


def test_results_of_calls_do_not_share_memory():
    step = volta.jit(weighted(lambda x: x[:100], lambda x: x[100:]))
    first = step(fill(0, (200, 50), "float64"))
    kept = first.copy()
    step(fill(1, (200, 50), "float64"))
    np.testing.assert_array_equal(first, kept)
