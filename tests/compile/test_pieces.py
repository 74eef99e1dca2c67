"""Operations that threads share give what one thread computes, and leave BLAS as it was."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from strategies import fill

import volta
import volta.functional as F
from volta.compile import numpy as programs
from volta.compile import parts, pieces, store, threads
from volta.compile.passes import optimized
from volta.core.errors import DimensionError
from volta.core.primitive import Primitive

pytestmark = [
    pytest.mark.core,
    pytest.mark.filterwarnings("error"),
    pytest.mark.usefixtures("by_numpy"),
    pytest.mark.skipif(not threads.may_share_products(), reason="NumPy has another BLAS"),
]


def use(monkeypatch, count):
    """Have so many threads compute, and share all that there is."""
    threads._pool.cache_clear()
    monkeypatch.setattr(threads, "threads", lambda: count)
    monkeypatch.setattr(pieces, "_PRODUCTS", 0)
    monkeypatch.setattr(pieces, "_ELEMENTS", 0)


@pytest.fixture(params=[2, 3])
def several(request, monkeypatch):
    """Two threads, or three, for which lengths are no multiples."""
    use(monkeypatch, request.param)
    yield request.param
    threads._pool.cache_clear()


@pytest.fixture
def two(monkeypatch):
    use(monkeypatch, 2)
    yield
    threads._pool.cache_clear()


def shared(fun, *args):
    """The operations of a program that threads share, with the axes that are cut."""
    entries = programs._Writer(optimized(volta.trace(fun)(*args))).entries
    return [
        (e.primitive.entries[0].primitive.name, e.primitive.cut.operands, e.primitive.cut.results)
        for e in entries
        if type(e.primitive) is pieces.Pieces
    ]


def agree(fun, *args):
    jitted = volta.jit(fun)
    for _ in range(3):
        found, wanted = (volta.tree.leaves(f(*args)) for f in (jitted, fun))
        for x, y in zip(found, wanted, strict=True):
            assert (x.dtype, x.shape) == (y.dtype, y.shape)
            if x.dtype.kind == "f":
                np.testing.assert_allclose(x, y, rtol=2e-5, atol=2e-5, strict=True)
            else:
                np.testing.assert_array_equal(x, y)


# What divides, and how ----------------------------------------------------------------------------


PRODUCTS = {
    "rows": ((70, 9), (9, 8), (0, None), (0,)),
    "columns": ((7, 9), (9, 80), (None, 1), (1,)),
    "stacks": ((5, 3, 4), (5, 4, 6), (0, 0), (0,)),
    "stacks of one matrix": ((5, 3, 4), (4, 6), (0, None), (0,)),
    "one matrix of stacks": ((3, 4), (5, 4, 6), (None, 0), (0,)),
    "stacks that are broadcast": ((7, 1, 3, 4), (7, 4, 6), (0, None), (0,)),
    "stacks of stacks": ((1, 7, 3, 4), (4, 1, 4, 6), (None, 0), (0,)),
    "a short stack, rows": ((1, 30, 4), (1, 4, 6), (1, None), (1,)),
    "a short stack, columns": ((1, 3, 4), (4, 30), (None, 1), (2,)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", PRODUCTS)
def test_products(several, name, dtype):
    x, y, operands, results = PRODUCTS[name]
    x, y = fill(0, x, dtype), fill(1, y, dtype)
    assert shared(F.matmul, x, y) == [("matmul", operands, results)]
    agree(F.matmul, x, y)
    agree(lambda x, y: F.matmul(x, F.matrix_transpose(F.matrix_transpose(y) * 2)), x, y)


CONVOLUTIONS = {
    "padded": ((7, 3, 8, 9), (4, 3, 3, 3), {"padding": 1}),
    "strided": ((7, 3, 9, 9), (4, 3, 3, 3), {"stride": 2}),
    "grouped": ((5, 4, 8), (6, 2, 3), {"groups": 2, "dilation": 2}),
    "of volumes": ((4, 2, 4, 5, 6), (3, 2, 2, 3, 2), {"padding": 1}),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(several, name):
    x, w, options = CONVOLUTIONS[name]
    x, w = fill(0, x, "float64"), fill(1, w, "float64")
    convolve = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[x.ndim]

    def loss(x, w):
        return F.sum(convolve(x, w, **options) ** 2)

    step = volta.value_and_grad(loss, argnums=(0, 1))
    found = {n: (operands, results) for n, operands, results in shared(step, x, w)}
    assert found["conv"] == ((0, None), (0,))
    assert found["conv_input"] == ((0, None), (0,))
    assert found["conv_weight"] == ((0, 0), (None,))
    agree(step, x, w)


def test_terms_of_a_weight_take_no_more_memory_than_what_they_are_made_of(monkeypatch):
    use(monkeypatch, 8)
    x, w = fill(0, (9, 4, 3, 3), "float64"), fill(1, (4, 4, 3, 3), "float64")

    def step(x, w):
        return volta.grad(lambda w: F.sum(F.conv2d(x, w) ** 2))(w)

    program = programs._Writer(optimized(volta.trace(step)(x, w)))
    terms = [program.types[e.results[0]] for e in program.entries if e.primitive.name == "pieces"]
    (count,) = [kind.shape[0] for kind in terms if kind.ndim == 5]
    assert count == (x.nbytes + 9 * 4 * 8) // w.nbytes == 2  # of eight threads
    agree(step, x, w)
    threads._pool.cache_clear()


@pytest.fixture
def beside(two, monkeypatch):
    """Convolutions of `gradients` are long, but not so long that they are shared themselves."""
    monkeypatch.setattr(pieces, "_PRODUCTS", 1 << 14)


X, W = fill(0, (4, 3, 8, 8), "float64"), fill(1, (3, 3, 3, 3), "float64")


def gradients(x, w):
    """Of two layers, the second's with respect to what goes in and the weight."""
    return volta.value_and_grad(
        lambda w, v: F.sum(F.conv2d(F.conv2d(x, w, padding=1) ** 2, v, padding=1) ** 2),
        argnums=(0, 1),
    )(w, 2 * w)


def joined(fun, *args):
    entries = programs._Writer(optimized(volta.trace(fun)(*args))).entries
    return [
        [inner.primitive.name for inner in e.primitive.entries]
        for e in entries
        if type(e.primitive) is pieces.Together
    ]


def test_short_convolutions_run_beside_each_other(beside):
    assert joined(gradients, X, W) == [["conv_input", "conv_weight"]]
    agree(gradients, X, W)


def test_blas_uses_one_thread_meanwhile(beside, monkeypatch, blas):
    during = []
    monkeypatch.setattr(parts._Running, "__call__", seen(during, parts._Running.__call__))
    jitted = volta.jit(gradients)
    jitted(X, W)
    assert during == [1]
    assert threads._blas().get() == 2


def test_convolutions_that_need_each_others_results_do_not(beside):
    def chain(x, w):
        return F.conv2d(F.conv2d(x, w, padding=1) + 1, w, padding=1)

    def forked(x, w):  # what the last one needs is there before the first one
        y = F.conv2d(x, w, padding=1)
        return F.conv2d(F.exp(y), w, padding=1), F.conv2d(x, 2 * w, padding=1)

    def late(x, w):  # or is not, though it comes of no convolution
        y = F.conv2d(x, w, padding=1)
        return y, F.conv2d(F.cumulative_sum(x, axis=0), w, padding=1)

    assert not joined(chain, X, W)
    assert len(joined(forked, X, W)) <= 1
    for fun in (chain, forked, late):
        agree(fun, X, W)


def test_what_may_warn_and_what_a_sweep_made_do_not(beside):
    def step(x, w):
        y, pull = volta.vjp(lambda w: F.conv2d(x, w, padding=1), w)
        z = F.tanh(y)
        return pull(2 * y), F.conv2d(z, w, padding=1)

    assert not joined(step, X, W)
    agree(step, X, W)


def test_short_and_long_convolutions_do_not(two, monkeypatch):
    for products in (1 << 10, 1 << 20):
        monkeypatch.setattr(pieces, "_PRODUCTS", products)
        assert not joined(gradients, X, W)


def test_two_threads_compute_them(beside, monkeypatch):
    """Each waits for the other one at its first product."""
    meeting, plain = threading.Barrier(2, timeout=60), np.matmul
    waited: set[int] = set()
    jitted = volta.jit(gradients)
    wanted = gradients(X, W)

    def together(self, *args):
        monkeypatch.setattr(np, "matmul", matmul)
        try:
            return call(self, *args)
        finally:
            monkeypatch.setattr(np, "matmul", plain)

    def matmul(*args, **kwargs):
        if threading.get_ident() not in waited:
            waited.add(threading.get_ident())
            meeting.wait()
        return plain(*args, **kwargs)

    call = parts._Running.__call__
    monkeypatch.setattr(parts._Running, "__call__", together)
    for x, y in zip(*(volta.tree.leaves(v) for v in (jitted(X, W), wanted)), strict=True):
        np.testing.assert_allclose(x, y)
    assert len(waited) == 2


def test_an_error_in_one_of_them_is_its_own(beside, monkeypatch):
    def fails(*args, **kwargs):
        raise ValueError("no")

    monkeypatch.setattr(Primitive, "explain", told)
    call = parts._Running.__call__

    def together(self, *args):
        monkeypatch.setattr(np, "matmul", fails)
        return call(self, *args)

    monkeypatch.setattr(parts._Running, "__call__", together)
    with pytest.raises(DimensionError, match=r"conv_input of .*: no"):
        volta.jit(gradients)(X, W)
    assert threads._blas().users == 0


@pytest.mark.parametrize("bias", [(), (6, 6), (4, 1, 6, 6), (1, 3, 6, 6)])
def test_attention(several, bias):
    q, k, v = (fill(i, (4, 3, 6, 5), "float64") for i in range(3))
    bias = fill(3, bias, "float64")

    def attend(q, k, v, bias):
        return F.scaled_dot_product_attention(q, k, v, bias if bias.ndim else None)

    (found,) = [s for s in shared(attend, q, k, v, bias) if s[0] == "attention"]
    assert found == ("attention", (0, 0, 0, 0 if bias.shape[:1] == (4,) else None), (0, 0))
    agree(
        volta.value_and_grad(lambda *args: F.sum(attend(*args) ** 2), argnums=(0, 1, 2)),
        q,
        k,
        v,
        bias,
    )


@pytest.mark.parametrize("shape", [(1, 7, 4), (5, 4)])
def test_normalization(several, shape):
    x, weight = fill(0, shape, "float64"), fill(1, shape[-1:], "float64")

    def normalize(x, weight):
        return F.layer_norm(x, shape[-1:], weight, weight)

    axis = shape.index(max(shape[:-1]))
    assert ("standardize", (axis, None, None), (axis,) * 3) in shared(normalize, x, weight)
    agree(
        volta.value_and_grad(lambda *args: F.sum(normalize(*args) ** 3), argnums=(0, 1)), x, weight
    )


def test_normalization_of_channels_divides_these(several):
    x, weight = fill(0, (2, 7, 3, 3), "float64"), fill(1, (7,), "float64")

    def normalize(x, weight):
        return F.batch_norm(x, None, None, weight, weight, training=True)

    assert ("standardize", (1, 0, 0), (1,) * 3) in shared(normalize, x, weight)
    agree(normalize, x, weight)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
def test_reductions(several, name, keepdims):
    x = fill(0, (4, 5, 6), "float64")
    for axis, cut, left in (((0, 2), 1, 0), (2, 0, 0), ((0,), 1, 0), (-2, 0, 0), ((0, -2), 2, 0)):

        def reduce(x, axis=axis):
            return getattr(F, name)(x, axis=axis, keepdims=keepdims)

        assert shared(reduce, x) == [(name, (cut,), (cut if keepdims else left,))]
        agree(reduce, x)
    assert not shared(lambda x: getattr(F, name)(x, keepdims=keepdims), x)


def test_pooling(several):
    x = fill(0, (4, 3, 8, 8), "float64")
    for pool in (F.max_pool2d, F.avg_pool2d):
        step = volta.value_and_grad(lambda x, pool=pool: F.sum(pool(x, 2) ** 2))
        assert all(s[1][0] == 0 for s in shared(step, x))
        agree(step, x)
    names = {n for n, *_ in shared(volta.grad(lambda x: F.sum(F.max_pool2d(x, 2) ** 2)), x)}
    assert names >= {"max_places", "pick", "put"}


@pytest.mark.parametrize("dtype", ["int64", "bool", "complex128"])
def test_what_is_no_float_is_not_shared(two, dtype):
    x = np.ones((8, 8), dtype)
    if dtype == "bool":
        assert not shared(lambda x: F.max(F.astype(x, np.int8), axis=0), x)
    else:
        assert not shared(lambda x: F.sum(F.matmul(x, x), axis=0), x)


def test_little_work_is_not_shared(monkeypatch):
    monkeypatch.setattr(threads, "threads", lambda: 2)
    x = fill(0, (100, 100), "float32")
    assert not shared(lambda x: F.sum(F.matmul(x, x), axis=0), x)
    long = fill(0, (400, 400), "float32")
    assert [n for n, *_ in shared(lambda x: F.sum(F.matmul(x, x), axis=0), long)] == ["matmul"]


def test_one_thread_shares_nothing(monkeypatch):
    use(monkeypatch, 1)
    assert not shared(F.matmul, np.ones((9, 9)), np.ones((9, 9)))


def test_threads_do_share(two, monkeypatch):
    """Each of two threads waits for the other one in its piece."""
    meeting, plain = threading.Barrier(2, timeout=60), np.matmul

    def matmul(*args, **kwargs):
        meeting.wait()
        return plain(*args, **kwargs)

    monkeypatch.setattr(np, "matmul", matmul)
    x = fill(0, (8, 8), "float64")
    jitted = volta.jit(F.matmul)
    np.testing.assert_allclose(jitted(x, x), plain(x, x))


# Memory, errors and the disk ----------------------------------------------------------------------


def test_donated_operands_are_not_overwritten_while_they_are_read(two):
    for fun in (F.matmul, lambda x, y: F.matmul(y, x)):
        jitted = volta.jit(fun, donate_argnums=0)
        for n in (8, 301):
            x, y = fill(0, (n, n), "float64"), fill(1, (n, n), "float64")
            wanted = fun(x, y)
            np.testing.assert_allclose(jitted(x.copy(), y), wanted, rtol=1e-10)


def test_a_result_goes_to_donated_memory(two):
    jitted = volta.jit(lambda x, y: F.matmul(y + 1, y) + 0 * F.sum(x), donate_argnums=0)
    plain = volta.jit(lambda x, y: (F.sum(x), F.matmul(y, y)), donate_argnums=0)
    x, y = fill(0, (64, 64), "float64"), fill(1, (64, 64), "float64")
    wanted = y @ y
    given = x.copy()
    _, found = plain(given, y)
    assert np.shares_memory(found, given)
    np.testing.assert_allclose(found, wanted)
    np.testing.assert_allclose(jitted(x.copy(), y), (y + 1) @ y)


def told(self, error, args, params):
    return DimensionError(f"{self.name} of {[np.shape(a) for a in args]}: {error}.")


def product(x, y):
    a = x * 2
    return F.matmul(a, y)  # the line


def test_an_error_in_a_piece_is_that_of_the_operation(two, monkeypatch):
    x = fill(0, (8, 8), "float64")

    def fails(*args, **kwargs):
        raise ValueError("no")

    monkeypatch.setattr(np, "matmul", fails)
    monkeypatch.setattr(Primitive, "explain", told)
    line = product.__code__.co_firstlineno + 2
    with pytest.raises(DimensionError, match=rf"matmul of .*: no.*test_pieces\.py:{line}\)"):
        volta.jit(product)(x, x)
    assert threads._blas().users == 0


def test_a_shared_program_is_kept_on_the_disk_for_as_many_threads(two, monkeypatch, tmp_path):
    monkeypatch.setenv("VOLTA_CACHE", str(tmp_path))
    monkeypatch.setattr(store, "_FEWEST", 0)
    made, plain = [], programs.write
    monkeypatch.setattr(programs, "write", lambda *args: made.append(1) or plain(*args))
    x = fill(0, (9, 9), "float64")

    def run():
        during = []
        jitted = volta.jit(lambda x: F.matmul(x, x) + 1)
        monkeypatch.setattr(parts._Running, "__call__", seen(during, parts._Running.__call__))
        np.testing.assert_allclose(jitted(x), x @ x + 1)
        return during

    assert run() == [1]
    assert run()[0] == 1  # found, and BLAS on one thread there, too
    assert len(made) == 1
    use(monkeypatch, 3)
    run()
    assert len(made) == 2


def seen(during, call):
    """`call`, that notes how many threads BLAS has then."""

    def noting(self, *args):
        during.append(threads._blas().get())
        return call(self, *args)

    return noting


# Threads of OpenBLAS ------------------------------------------------------------------------------


@pytest.fixture
def blas():
    """OpenBLAS, with as many threads as this machine has: two at least."""
    found = threads._blas()
    before = found.get()
    found.set(2)
    if found.get() != 2:
        pytest.skip("OpenBLAS has one thread here")
    yield found
    found.set(before)


def test_openblas_has_one_thread_while_a_program_runs(two, blas, monkeypatch):
    during = []
    monkeypatch.setattr(parts._Running, "__call__", seen(during, parts._Running.__call__))
    x = fill(0, (8, 8), "float64")
    jitted = volta.jit(F.matmul)
    jitted(x, x)
    assert during == [1]
    assert blas.get() == 2

    def fails(self, *args):
        raise KeyboardInterrupt

    monkeypatch.setattr(parts._Running, "__call__", fails)
    with pytest.raises(KeyboardInterrupt):
        volta.jit(F.matmul)(x, x)
    assert blas.get() == 2


def test_the_last_program_that_ends_gives_the_threads_back(blas):
    with blas:
        with blas:
            assert blas.get() == 1
        assert blas.get() == 1
    assert blas.get() == 2


def test_a_program_that_shares_nothing_leaves_openblas_alone(blas, monkeypatch):
    monkeypatch.setattr(type(blas), "__enter__", lambda self: pytest.fail("it was changed"))
    x = fill(0, (8, 8), "float64")
    volta.jit(F.matmul)(x, x)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_child_has_openblas_as_it_was():
    program = (
        "import os\n"
        "from volta.compile import threads\n"
        "blas = threads._blas()\n"
        "blas.set(2)\n"
        "wanted = blas.get()\n"
        "with blas:\n"
        "    child = os.fork()\n"
        "    inside = blas.get()\n"
        "if not child:\n"  # which leaves what it has never entered
        "    right = [inside == wanted, blas.get() == wanted, blas.users == 0]\n"
        "    with blas:\n"
        "        right.append(blas.get() == 1)\n"
        "    os._exit(0 if all(right) and blas.get() == wanted else 1)\n"
        "assert inside == 1 and blas.get() == wanted\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_without_openblas_products_are_left_to_numpy(monkeypatch):
    use(monkeypatch, 2)
    monkeypatch.setattr(threads, "_blas", lambda: None)
    x = fill(0, (9, 9), "float64")
    assert not shared(F.matmul, x, x)
    np.testing.assert_allclose(volta.jit(F.matmul)(x, x), x @ x)
    assert threads.sharing_products(shared) is shared
