"""Random numbers in kernels: the same bits as without `jit`, of any shape and key."""

import numpy as np
import pytest

import volta
import volta.functional as F
from volta.compile import numpy as programs
from volta.compile.native import llvm, loops, workers
from volta.compile.passes import optimized
from volta.compile.schedule import native_of

pytestmark = [
    pytest.mark.core,
    pytest.mark.skipif(not llvm.available(), reason="llvmlite is not installed"),
]

KEY = F.random.key(3)
SHAPES = [(2,), (31,), (64, 70), (3, 1, 5), (2, 3, 4, 5), (10_001,)]


def plain_entries(fun, *args):
    program = programs._Writer(optimized(volta.trace(fun)(*args)), native=True)
    return [e.primitive.name for e in program.entries if native_of(e) is None]


def same(fun, *args):
    found, wanted = volta.jit(fun, backend="llvm")(*args), fun(*args)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


DRAWS = {
    "uniform": lambda k, s: F.random.uniform(k, s),
    "uniform, float64": lambda k, s: F.random.uniform(k, s, "float64"),
    "bits": lambda k, s: F.random.bits(k, s),
    "bits of 8": lambda k, s: F.random.bits(k, s, "uint8"),
    "bits of 64": lambda k, s: F.random.bits(k, s, "uint64"),
    "bernoulli": lambda k, s: F.random.bernoulli(k, 0.3, s),
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", DRAWS)
def test_bits_are_the_same(name, shape):
    def fun(k):
        return DRAWS[name](k, shape)

    assert plain_entries(fun, KEY) == []
    same(fun, KEY)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_numbers_are_the_same_within_what_their_polynomial_loses(dtype):
    def fun(k):
        return F.random.normal(k, (100_000,), dtype)

    assert plain_entries(fun, KEY) == []
    found, wanted = volta.jit(fun, backend="llvm")(KEY), fun(KEY)
    assert (np.abs(found - wanted) <= 4 * np.spacing(np.abs(wanted))).all()


def test_one_number_and_keys_in_lanes_are_numpys():
    same(lambda k: F.random.uniform(k, ()), KEY)
    same(lambda k: F.random.uniform(k, (1, 1)), KEY)
    lanes = volta.vmap(lambda k: F.random.uniform(k, (5,)))
    same(lambda k: lanes(F.random.split(k, 4)), KEY)


def test_keys_that_are_parts_of_others():
    def fun(k):
        one, two, three = F.random.split(k, 3)
        return F.random.uniform(one, (40,)) + F.random.uniform(two, (40,)) * three[0]

    same(fun, KEY)
    same(lambda k: F.random.uniform(k[::-1], (40,)), KEY)


def test_dropout_is_one_kernel_with_its_gradient():
    def fun(x, k):
        return F.sum(F.exp(F.dropout(x, 0.3, key=k)))

    x = np.linspace(-1, 1, 5000).reshape(50, 100)
    found = volta.jit(volta.grad(fun), backend="llvm")(x, KEY)
    np.testing.assert_allclose(found, volta.grad(fun)(x, KEY), rtol=1e-14)
    assert plain_entries(volta.grad(fun), x, KEY) == []


def test_threads_draw_their_parts(monkeypatch):
    monkeypatch.setattr(workers, "threads", lambda: 3)
    monkeypatch.setattr(llvm, "_LONG", 0)
    monkeypatch.setattr(loops, "_CHUNK", 16)
    for shape in SHAPES:
        same(lambda k, s=shape: F.random.uniform(k, s), KEY)
        same(lambda k, s=shape: F.max(F.random.uniform(k, s), axis=-1), KEY)
        same(lambda k, s=shape: F.max(F.random.uniform(k, s), axis=0), KEY)
