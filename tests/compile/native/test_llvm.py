"""Native kernels: what they compute, on which arrays, where they write, and what they leave."""

import gc
import math
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import SAMPLES
from strategies import fill, quiet

import volta
import volta.functional as F
from volta import optim
from volta.compile import numpy as programs
from volta.compile.kernel import KINDS, Builder, Kernel, Operand, Result, Unsupported
from volta.compile.native import llvm, machine, workers
from volta.compile.passes import optimized
from volta.compile.program import backend
from volta.compile.schedule import HOST, fused, kernel_of
from volta.core.primitive import REGISTRY
from volta.core.types import DTYPES
from volta.core.wengert import needed, operands_of
from volta.io import load_file, save_file

pytestmark = [
    pytest.mark.core,
    pytest.mark.skipif(not llvm.available(), reason="llvmlite is not installed"),
]


def kernels_of(fun, *args):
    """Kernels of the program of a function."""
    listed = volta.trace(fun)(*args)
    entries = needed(programs._broadcast_in_place(listed), listed.outputs)
    entries = fused(entries, listed.outputs, listed.types)
    return [k for e in entries if (k := kernel_of(e))]


def close(fun, *args, rtol=1e-13):
    """Assert that a function gives the same jitted as not, twice, and return that."""
    with quiet():
        wanted = fun(*args)
    jitted = volta.jit(fun, backend="llvm")
    for _ in range(2):
        found = jitted(*args)
        for x, y in zip(volta.tree.leaves(found), volta.tree.leaves(wanted), strict=True):
            assert type(x) is np.ndarray
            assert (x.dtype, x.shape) == (np.asarray(y).dtype, np.shape(y))
            np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-300)
    return found


# What a kernel is ---------------------------------------------------------------------------------


def test_a_kernel_is_shown():
    def fun(x, y):
        return F.exp(x) * y + 1

    (kernel,) = kernels_of(fun, np.ones((2, 3)), np.ones(3))
    lines = str(kernel).splitlines()
    assert lines[0] == "kernel over [2, 3] of float64[2, 3], float64[3]:"
    assert lines[1] == "  %0: float64 = load(0)"
    assert lines[-1].startswith("  store %")


def test_a_chain_is_one_kernel_and_a_product_parts_it():
    def fun(x, w):
        h = F.relu(F.exp(-x) * 2 + 1)
        y = F.tanh(h @ w)
        return y * y + h

    x = np.ones((3, 3))
    kernels = kernels_of(fun, x, x)
    assert [len(k.results) for k in kernels] == [1, 1]
    close(fun, fill(0, (3, 3), "float64"), fill(1, (3, 3), "float64"))


def test_entries_of_one_shape_share_a_kernel_and_its_loads():
    def adam(p, g, m, v):
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        return p - 1e-3 * m / (F.sqrt(v) + 1e-8), m, v

    args = [fill(n, (40,), "float64") for n in range(3)] + [np.abs(fill(3, (40,), "float64"))]
    (kernel,) = kernels_of(adam, *args)
    assert len(kernel.operands) == 4
    assert len(kernel.results) == 3
    close(adam, *args)


def test_what_the_group_alone_reads_is_not_stored_nor_what_nothing_reads():
    def fun(x):
        unused = F.exp(x)
        y = x + 1
        del unused
        return y * y

    (kernel,) = kernels_of(fun, np.ones(4))
    assert len(kernel.results) == 1


def test_a_group_is_closed_before_its_result_is_read_elsewhere():
    def fun(x):
        y = x * 2
        total = F.cumulative_sum(y)  # reads y
        z = x + 3  # could have been of the first kernel
        return z * total, y

    kernels = kernels_of(fun, np.ones(5))
    assert [len(k.results) for k in kernels] == [1, 1]
    close(fun, fill(0, (5,), "float64"))


def test_equal_kernels_are_compiled_once(monkeypatch):
    made = []
    plain = llvm.functions

    def functions(kernels):
        made.extend(kernels)
        return plain(kernels)

    monkeypatch.setattr(llvm, "functions", functions)

    def fun(x):
        for _ in range(4):
            x = F.cumulative_sum(F.exp(-x) * 2)
        return x

    close(fun, fill(0, (6,), "float64"), rtol=1e-12)
    assert len(made) == 1


def test_constants_that_are_equal_and_not_the_same_are_two():
    builder = Builder(HOST)
    x = builder.load(0, DTYPES["float64"])
    a, b = builder.constant(0.0, x.dtype), builder.constant(-0.0, x.dtype)
    assert a.number != b.number
    kinds, nodes = (Operand(x.dtype, (3,), (1,)),), tuple(builder.nodes)
    one = Kernel((3,), (), (), kinds, nodes, (Result(a.number, (1,)),))
    other = Kernel((3,), (), (), kinds, nodes, (Result(b.number, (1,)),))
    for kernel, sign in ((one, False), (other, True)):
        (native,), _ = llvm.functions([kernel])
        out = np.ones(3)
        assert native(np.ones(3), out)
        assert (np.signbit(out) == sign).all()


def test_programs_do_not_confuse_kernels_that_differ_by_a_zeros_sign():
    def fun(x):
        y = F.sum(F.maximum(x, 0.0) / -1.0)
        return F.copysign(x + y, 0.0), F.sum(x), F.copysign(x + y, -0.0)

    close(fun, np.ones(3))


def test_numbers_are_computed_where_they_are_read():
    def fun(x, w, n):
        rate = 1 - F.exp(-n)
        return x / rate, w * F.sqrt(rate), n + 1

    args = fill(0, (5,), "float64"), fill(1, (2, 3), "float64"), np.asarray(2.0)
    kernels = kernels_of(fun, *args)
    assert sorted(k.shape for k in kernels) == [(), (2, 3), (5,)]
    (alone,) = (k for k in kernels if not k.shape)
    assert len(alone.nodes) == 3  # n + 1 and no more
    close(fun, *args)


def test_numbers_that_others_read_are_stored_too():
    def fun(x, n):
        rate = 1 - F.exp(-n)
        return x / rate + F.full_like(x, 2) * rate, F.sin(rate), rate

    close(fun, fill(0, (5,), "float64"), np.asarray(2.0))


def test_numbers_of_which_a_group_cannot_take_the_reader():
    def fun(x, n):
        rate = 1 - F.exp(-n)
        return F.special.gammainc(x, rate), F.special.stdtr(x, rate) * rate

    close(fun, np.abs(fill(0, (5,), "float64")), np.asarray(2.0))


def test_a_large_group_is_several_kernels():
    def fun(*xs):
        total = xs[0]
        for x in xs[1:]:
            total = total + F.exp(x)
        return total

    xs = [fill(n, (7,), "float64") for n in range(60)]
    kernels = kernels_of(fun, *xs)
    assert len(kernels) == 3
    assert max(len(k.operands) for k in kernels) <= 25
    close(fun, *xs)


# Scalars ------------------------------------------------------------------------------------------

SHAPES = [(), (1,), (3,), (4, 1), (1, 5), (4, 5), (2, 3, 4), (33,), (3, 65), (7, 130)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shapes_and_widths(shape, dtype):
    def fun(x, y):
        return F.exp(x) * F.abs(y) / (1 + x * x), x > y

    close(
        fun,
        fill(1, shape, dtype),
        fill(2, shape, dtype),
        rtol=5e-7 if dtype == "float32" else 1e-15,
    )


@pytest.mark.parametrize(
    "shapes",
    [
        ((3,), (4, 3)),
        ((4, 1), (4, 3)),
        ((1, 1), (4, 3)),
        ((), (4, 3)),
        ((2, 1, 5), (4, 1)),
        ((2, 1, 1, 40), (3, 1, 40)),
        ((40, 1), (1, 40)),
        ((5, 1, 1), (5, 4, 70)),
    ],
    ids=str,
)
def test_operands_that_broadcast(shapes):
    x, y = (fill(n, s, "float64") for n, s in enumerate(shapes))
    close(lambda x, y: (x + y) * F.tanh(y - x), x, y)


def test_every_count_that_is_left_of_a_vector():
    for n in range(1, 70):
        x = fill(n, (n,), "float32")
        guard = np.full(n + 2, 7, "float32")
        (native,), _ = llvm.functions([elementwise("square", "float32", (n,))])
        assert native(x, guard[1:-1])
        np.testing.assert_array_equal(guard[1:-1], x * x)
        assert guard[0] == guard[-1] == 7


def elementwise(name, dtype, shape):
    builder = Builder(HOST)
    x = builder.load(0, DTYPES[dtype])
    out = getattr(builder.namespace, name)(x)
    strides = tuple(math.prod(shape[a + 1 :]) for a in range(len(shape)))
    operand, result = Operand(x.dtype, shape, strides), Result(out.number, strides)
    return Kernel(shape, (), (), (operand,), tuple(builder.nodes), (result,))


BINARY = {
    "float": [
        *("add", "subtract", "multiply", "divide", "maximum", "minimum", "copysign"),
        *("floor_divide", "remainder", "nextafter"),
    ],
    "int": [
        *("add", "subtract", "multiply", "maximum", "minimum", "bitwise_and", "bitwise_or"),
        *("floor_divide", "remainder", "bitwise_left_shift", "bitwise_right_shift"),
    ],
    "bool": ["logical_and", "logical_or", "logical_xor", "bitwise_and", "bitwise_xor"],
}
COMPARED = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]
UNARY = {
    "float": [
        *("negative", "abs", "positive", "square", "sqrt", "floor", "ceil", "trunc", "round"),
        *("sign", "signbit", "isnan", "isinf", "isfinite", "reciprocal", "relu"),
    ],
    "int": ["negative", "abs", "square", "sign", "bitwise_invert", "floor", "relu"],
    "bool": ["logical_not", "bitwise_invert"],
}


def rows():
    for dtype in sorted(KINDS):
        kind = {"f": "float", "b": "bool"}.get(dtype[0], "int")
        for name in UNARY[kind] + BINARY[kind] + (COMPARED if kind != "bool" else []):
            if not (dtype.startswith("uint") and name in ("negative", "abs", "sign")):
                yield pytest.param(name, dtype, id=f"{name}-{dtype}")


@pytest.mark.parametrize(("name", "dtype"), [*rows()])
def test_operations_are_exactly_numpys(name, dtype):
    """Of special numbers, too: every one beside every other."""
    if dtype[0] == "f":
        values = [0.0, -0.0, 1.0, -1.5, 2.5, 3.5, np.inf, -np.inf, np.nan, 1e-310, -3e38]
    elif dtype == "bool":
        values = [True, False]
    else:
        info = np.iinfo(dtype)
        values = [0, 1, 2, 7, info.max, info.max - 1, info.min, info.min and -1]
    with quiet():
        values = np.asarray(values).astype(dtype)
        x, y = (a.ravel().copy() for a in np.meshgrid(values, values))
        fun = getattr(F, name)
        args = (
            (x, y) if name in BINARY["int"] + BINARY["float"] + BINARY["bool"] + COMPARED else (x,)
        )
        wanted = fun(*args)
        copies = name == "positive" or (name == "floor" and dtype[0] != "f")
        assert bool(kernels_of(fun, *args)) is not copies
        found = volta.jit(fun, backend="llvm")(*args)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)
    if dtype[0] == "f" and wanted.dtype.kind == "f" and name not in ("maximum", "minimum", "relu"):
        number = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(found)[number], np.signbit(wanted)[number])


@pytest.mark.parametrize("name", ["erf", "erfcx", "ndtr", "log_ndtr", "i0", "k0e", "xlogy"])
def test_special_functions_in_float32_are_computed_in_float64(name):
    fun = getattr(F.special, name)
    x = np.abs(fill(0, (300,), "float32")) + np.float32(0.1)
    args = (x, x[::-1].copy()) if name == "xlogy" else (x,)
    assert kernels_of(fun, *args)
    found = volta.jit(fun, backend="llvm")(*args)
    wanted = fun(*(a.astype(np.float64) for a in args))
    assert found.dtype == np.float32
    assert (np.abs(found - wanted) <= 0.51 * np.spacing(np.abs(found))).all()


def test_formulas_may_round_once_and_programs_may_not():
    x = np.ones(3)
    (formula,) = kernels_of(F.gelu, x)
    assert any(n.value == "contract" for n in formula.nodes)
    (program,) = kernels_of(lambda x: F.exp(x * 2 + 1) * x - x, x)
    assert not any(n.value == "contract" for n in program.nodes)


def test_products_of_a_program_are_rounded_before_they_are_added():
    def fun(x, y, z):
        return x * y + z, x * y - z, z - x * y

    x, y = fill(0, (200,), "float32"), fill(1, (200,), "float32")
    z = -x * y  # so that what a contraction leaves is all that there is
    for found, wanted in zip(volta.jit(fun, backend="llvm")(x, y, z), fun(x, y, z), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("to", sorted(KINDS))
@pytest.mark.parametrize("dtype", sorted(KINDS))
def test_conversions_are_numpys(dtype, to):
    x = np.asarray([0, 1, 2, 3, 100]).astype(dtype)
    if dtype[0] in "if":
        x = np.concatenate([x, -x])
    if dtype[0] == "f":
        x = np.concatenate([x, np.asarray([0.5, -2.5, np.inf, np.nan], dtype)])
        if to[0] in "iu":
            x = np.abs(x[np.isfinite(x)])  # what others become: test_functions.py
    if dtype != to:
        assert kernels_of(lambda x: F.astype(x, getattr(F, to)), x)
    close(lambda x: F.astype(x, getattr(F, to)), x)


def test_operations_that_kernels_have_not_run_on_numpy():
    def fun(x):
        y = F.special.gammainc(F.exp(-x) + 1, F.abs(x)) * F.cumulative_sum(x)
        return y, F.special.stdtr(2 + F.abs(x), x + 1) * 2

    close(fun, fill(0, (9,), "float64"), rtol=1e-12)
    assert len(kernels_of(fun, np.ones(9))) > 0


# Elementwise operations on real numbers that run on NumPy's kernels.
ON_NUMPY = {
    *("gammainc", "gammaincc", "betainc", "betaincc", "stdtr"),  # series of hundreds of terms
    *("gammaincinv", "gammainccinv", "betaincinv", "betainccinv", "stdtrit"),
    *("incomplete_gamma_shape", "incomplete_beta_shape"),
    *("_binary_entropy", "random_between", "random_truncated_normal"),  # a choice of Python's
}


def test_all_other_operations_on_real_numbers_are_native():
    found, missing = set(), set()
    for sample in SAMPLES:
        if not sample.primitive or not REGISTRY[sample.primitive].elementwise:
            continue
        listed = volta.trace(sample.fun)(*sample.args)
        entries = fused(listed.entries, listed.outputs, listed.types)
        plain = {v for e in entries if not kernel_of(e) for v in e.results}
        for e in listed.entries:
            kinds = {listed.types[v].dtype.name for v in (*operands_of(e), *e.results)}
            if e.primitive.elementwise and kinds <= KINDS:
                names = found if plain.isdisjoint(e.results) else missing
                names.add(e.primitive.name)
    assert missing - found == ON_NUMPY | {"positive", "stop_gradient"}  # these compute nothing
    assert len(found) >= 135


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "complex64", "complex128"])
def test_dtypes_that_kernels_have_not_run_on_numpy(dtype):
    import ml_dtypes

    x = np.asarray([0.5, 1.0, 2.0]).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    assert not kernels_of(lambda x: x * 2 + 1, x)
    found = volta.jit(lambda x: x * 2 + 1, backend="llvm")(x)
    np.testing.assert_array_equal(found, x * 2 + 1)


def test_numbers_that_a_dtype_has_not_are_left_to_numpy():
    big = np.ones(3, np.float32)
    with quiet():
        np.testing.assert_array_equal(volta.jit(lambda x: x * 1e300)(big), big * np.inf)
    with pytest.raises(OverflowError):
        volta.jit(lambda x: x + 300)(np.ones(3, np.uint8))


def test_what_takes_long_to_compile_is_left_to_numpy():
    x = np.abs(fill(0, (5,), "float64"))
    (kernel,) = kernels_of(lambda x: F.sin(F.special.gammainc(x, x)), x)
    assert len(kernel.nodes) < 100
    x = Builder(HOST).load(0, DTYPES["float64"])
    with pytest.raises(Unsupported, match="more than"):
        sum((x * float(n) for n in range(5000)), x)


def test_a_scalar_has_no_truth_value():
    x = Builder(HOST).load(0, DTYPES["float64"])
    with pytest.raises(Unsupported):
        bool(x > 1)
    with pytest.raises(Unsupported):
        x + 1j


# Arrays -------------------------------------------------------------------------------------------


def odd_arrays():
    base = np.arange(24.0).reshape(4, 6) / 7
    unaligned = np.frombuffer(b"x" + base.tobytes(), np.uint8)[1:].view(np.float64).reshape(4, 6)
    masked = np.ma.masked_array(base, mask=base > 2).data
    return {
        "plain": base.copy(),
        "transposed": np.asfortranarray(base),
        "reversed": base[::-1, ::-1],
        "strided": np.repeat(base, 2, axis=1)[:, ::2],
        "broadcast": np.broadcast_to(base[0], (4, 6)),
        "unaligned": unaligned,
        "swapped": base.astype(">f8"),
        "read-only": np.frombuffer(base.tobytes()).reshape(4, 6),
        "view of a subclass": masked,
    }


@pytest.mark.parametrize("name", list(odd_arrays()))
def test_arrays_of_every_layout_after_one_program(name):
    def fun(x, y):
        return F.exp(-x) * y, x + 1

    jitted = volta.jit(fun, backend="llvm")
    plain = odd_arrays()["plain"]
    jitted(plain, plain)
    x = odd_arrays()[name]
    for args in ((x, plain), (plain, x), (x, x)):
        for found, wanted in zip(jitted(*args), fun(*args), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-15)


WRONG = {
    "no array": 3.0,
    "a list": [1.0] * 6,
    "a short array": np.ones((2, 2)),
    "fewer axes": np.ones(6),
    "more axes": np.ones((1, 2, 3)),
    "another dtype": np.ones((2, 3), "f4"),
    "the other order": np.ones((3, 2)).T,
    "other bytes": np.ones((2, 3), ">f8"),
    "a subclass": np.ones((2, 3)).view(np.recarray),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_kernel_touches_nothing_but_what_it_expects(name):
    (native,), _ = llvm.functions([elementwise("exp", "float64", (2, 3))])
    out = np.zeros((2, 3))
    assert native(WRONG[name], out) is False
    assert not out.any()
    assert native(np.zeros((2, 3)), out) is True
    assert out.all()


def test_a_memory_map_is_read(tmp_path):
    x = np.memmap(tmp_path / "x", np.float64, "w+", shape=(5,))
    x[:] = 2
    np.testing.assert_array_equal(volta.jit(lambda x: x * x + 1)(x), np.full(5, 5.0))


def test_results_are_never_the_operands_nor_one_another():
    jitted = volta.jit(lambda x: (x * 1.5, x * 1.5, +x), backend="llvm")
    x = np.ones(6)
    outs = jitted(x)
    for a in outs:
        a += 1
    np.testing.assert_array_equal(x, np.ones(6))
    np.testing.assert_array_equal(np.stack(outs), [[2.5] * 6] * 2 + [[2.0] * 6])
    np.testing.assert_array_equal(jitted(x)[0], [1.5] * 6)


def test_a_kernel_writes_over_no_part_of_what_it_reads_elsewhere(monkeypatch):
    monkeypatch.setattr(programs, "_LARGE", 1)

    def fun(x):
        y = x @ x  # in the arena, as nobody else has it
        top = y[:1]
        return top + F.exp(y), y[1:] * F.tanh(y[:-1])

    close(fun, fill(0, (6, 6), "float64"))


def test_a_kernel_writes_over_an_operand_that_nothing_else_reads():
    jitted = volta.jit(lambda x: F.exp(x @ x) @ x, backend="llvm")
    jitted(fill(0, (64, 64), "float64") * 0.1)
    (program,) = jitted._programs.values()
    (arena,) = program.root.body.__dict__["llvm"].__globals__["pool"]
    assert len(arena) == 1  # of the product and the exponential


def test_a_narrow_operand_is_not_written_over_by_a_wide_result():
    def fun(x):
        row = F.sum(x, axis=0)  # float64 [1, 8]: as many bytes as float32 [2, 8]
        row = F.reshape(row, (1, 8))
        y = F.astype(x, F.float32) * 2
        return F.sum(F.astype(row, F.float32) + y, axis=1), F.sum(row + x)

    close(fun, fill(0, (2, 8), "float64"), rtol=1e-6)


# Programs -----------------------------------------------------------------------------------------


def test_a_training_step():
    rng = np.random.default_rng(0)
    params = {
        "w": rng.normal(size=(12, 8)).astype("f4"),
        "b": np.zeros(8, "f4"),
        "v": rng.normal(size=(8, 3)).astype("f4"),
    }
    x, y = rng.normal(size=(20, 12)).astype("f4"), rng.integers(0, 3, 20)
    optimizer = optim.adamw(1e-2)

    def loss(params):
        h = F.gelu(x @ params["w"] + params["b"])
        return F.cross_entropy(h @ params["v"], y)

    def step(params, state):
        value, grads = volta.value_and_grad(loss)(params)
        updates, state = optimizer.update(grads, state, params)
        return optim.apply_updates(params, updates), state, value

    jitted = volta.jit(step, backend="llvm")
    mine = other = params, optimizer.init(params)
    first = loss(params)
    for _ in range(30):
        *mine, value = jitted(*mine)
        *other, wanted = step(*other)
        np.testing.assert_allclose(value, wanted, rtol=2e-4)
    assert value < 0.7 * first


def test_transforms_over_a_native_program():
    def fun(x):
        return F.sum(F.tanh(x) * F.exp(-x * x))

    x = fill(0, (5,), "float64")
    jitted = volta.jit(fun, backend="llvm")
    np.testing.assert_allclose(volta.grad(jitted)(x), volta.grad(fun)(x), rtol=1e-13)
    np.testing.assert_allclose(volta.hessian(jitted)(x), volta.hessian(fun)(x), rtol=1e-12)
    lanes = fill(1, (3, 5), "float64")
    np.testing.assert_allclose(volta.vmap(jitted)(lanes), volta.vmap(fun)(lanes), rtol=1e-13)


def test_threads_share_no_memory():
    def fun(x):
        for _ in range(4):
            x = F.tanh(x @ x * 0.01 + x) + 1
        return x, F.sum(x)

    jitted = volta.jit(fun, backend="llvm")
    inputs = [fill(n, (24, 24), "float64") for n in range(4)]
    wanted = [jitted(x) for x in inputs]
    wrong = []

    def work(n):
        for _ in range(100):
            found = jitted(inputs[n])
            if any((a != b).any() for a, b in zip(found, wanted[n], strict=True)):
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_threads_compile_at_once():
    x = fill(0, (37,), "float64")
    wrong = []

    def work(n):
        for k in range(4):
            jitted = volta.jit(lambda x, s=float(n + 10 * k): F.exp(-x * s) + F.abs(x) / s)
            wanted = F.exp(-x * (n + 10 * k)) + F.abs(x) / (n + 10 * k)
            if not np.allclose(jitted(x), wanted, rtol=1e-12):
                wrong.append((n, k))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_other_threads_run_beside_a_long_kernel():
    """The time that a kernel takes is not taken from others: it lets go of the interpreter."""
    (native,), _ = llvm.functions([elementwise("exp", "float64", (2**21,))])
    x, out = np.ones(2**21), np.empty(2**21)
    others_ran, calls = [], 1000

    def call():
        for _ in range(calls):
            native(x, out)
            if others_ran:
                break
        else:
            others_ran.append(False)

    old = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # seconds: no thread is made to let go
    try:
        thread = threading.Thread(target=call)
        thread.start()  # it has the interpreter from here on, until a kernel lets go of it
        others_ran.append(True)
        thread.join()
    finally:
        sys.setswitchinterval(old)
    assert others_ran == [True]
    np.testing.assert_allclose(out, np.e)


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_child_process_calls_what_its_parent_compiled():
    program = (
        "import os, numpy as np, volta, volta.functional as F\n"
        "f = volta.jit(lambda x: F.exp(-x) * x, backend='llvm')\n"
        "x = np.ones(1000)\n"
        "wanted = f(x)\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    same = (f(x) == wanted).all() and (f(x[:3]) == wanted[:3]).all()\n"
        "    os._exit(0 if same else 1)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_code_is_freed_with_its_program():
    gc.collect()
    before = len(machine._FREE)
    jitted = volta.jit(lambda x: F.exp(-x) * x, backend="llvm")
    jitted(np.ones(4))
    del jitted
    gc.collect()
    assert len(machine._FREE) >= before
    free = len(machine._FREE)
    assert free >= 1
    for _ in range(3):  # definitions are used again
        again = volta.jit(lambda x: F.exp(-x) * x, backend="llvm")
        again(np.ones(4))
        del again
        gc.collect()
        assert len(machine._FREE) == free


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_memory_of_code_is_given_back():
    program = (
        "import gc, numpy as np, volta, volta.functional as F\n"
        "def resident():\n"
        "    return int(open('/proc/self/statm').read().split()[1]) * 4096\n"
        "def compile(count):\n"
        "    for i in range(count):\n"
        "        volta.jit(lambda x, s=i + 1.0: F.exp(-x * s) * x)(np.ones(5))\n"
        "    gc.collect()\n"
        "compile(300)\n"
        "before = resident()\n"
        "compile(100)\n"
        "grown = resident() - before\n"
        "assert grown < 100 * 10_000, grown\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_code_has_no_tables_for_unwinding(monkeypatch):
    """LLVM would register them with the C++ run time, which looks through all at an exception."""
    objects = []
    plain = machine._object

    def made(text):
        objects.append(plain(text))
        return objects[-1]

    monkeypatch.setattr(machine, "_object", made)
    monkeypatch.setenv("VOLTA_CACHE", "")
    monkeypatch.setattr(workers, "threads", lambda: 3)
    workers.define.__wrapped__()
    x, w = np.ones((8, 16, 32, 32), np.float32), np.ones((16, 16, 3, 3), np.float32)
    for fun in (lambda x: F.sin(x) * 2 @ x, lambda x: F.softmax(x) * 2, lambda x: F.sum(x % 0.3)):
        volta.jit(fun)(x)
    volta.jit(lambda x, w: F.conv2d(x, w, padding=1))(x, w)
    assert len(objects) >= 5
    assert not any(b".eh_frame" in found for found in objects)


def test_nothing_of_llvm_is_imported_before_a_list_is_compiled():
    program = (
        "import sys, numpy as np, volta, volta.functional as F\n"
        "f = volta.jit(lambda x: F.exp(x) * 2)\n"
        "assert not any(m.startswith('llvmlite') for m in sys.modules)\n"
        "f(np.ones(3))\n"
        "assert 'llvmlite' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_backend_is_chosen():
    def fun(x):
        return F.exp(x) * 2

    assert volta.jit(fun, backend="numpy")(np.ones(2)) is not None
    with backend("numpy"):
        jitted = volta.jit(fun)
        jitted(np.ones(2))
    assert "llvm" not in next(iter(jitted._programs.values())).root.body.__dict__
    with pytest.raises(
        ValueError, match=r"^jit: backend must be None or one of 'numpy', 'llvm'; got 'cuda'"
    ):
        volta.jit(fun, backend="cuda")


@pytest.mark.parametrize(
    ("version", "there"),
    [("0.44.0", False), ("0.45.0", True), ("0.50.1rc1", True), ("1.0", True), (None, False)],
)
def test_versions_of_llvmlite(monkeypatch, version, there):
    found = version and SimpleNamespace(__version__=version)
    monkeypatch.setitem(sys.modules, "llvmlite", found)
    assert machine.available.__wrapped__() is there


def test_a_backend_that_is_not_there(monkeypatch):
    monkeypatch.setattr(llvm, "available", lambda: False)
    message = r"^jit: backend='llvm' needs llvmlite .* Install volta-array\[llvm\]"
    with pytest.raises(ModuleNotFoundError, match=message):
        volta.jit(F.exp, backend="llvm")
    np.testing.assert_array_equal(volta.jit(lambda x: F.exp(x) * 2)(np.zeros(2)), [2.0, 2.0])


# Drawn programs -----------------------------------------------------------------------------------

DRAWN = [
    *(lambda x, y: F.add(x, y), lambda x, y: F.multiply(x, y), lambda x, y: x - y * 0.5),
    *(lambda x, y: F.exp(-F.abs(x)) + y, lambda x, y: F.tanh(x), lambda x, y: F.gelu(y)),
    *(lambda x, y: F.where(x > y, x, y), lambda x, y: F.sigmoid(x) * y, lambda x, y: F.relu(x - y)),
    *(lambda x, y: F.log1p(x * x), lambda x, y: x @ F.permute_dims(y, (1, 0)) @ y * 0.1),
    *(lambda x, y: x - F.mean(x, axis=-1, keepdims=True), lambda x, y: F.softmax(x) + y),
    *(lambda x, y: y + F.sum(x, axis=0), lambda x, y: F.sin(x), lambda x, y: x[:, ::-1] * 2),
    *(lambda x, y: F.layer_norm(x, x.shape[1:]) * y, lambda x, y: F.log_softmax(x) * 0.1 + y),
    *(lambda x, y: F.where(x == F.max(x, axis=1, keepdims=True), y, x), lambda x, y: x - F.min(y)),
    *(lambda x, y: x * F.sum(y) * 0.1, lambda x, y: x / (1 + F.sum(y * y, axis=1, keepdims=True))),
    lambda x, y: F.expand_dims(F.exp(-F.mean(x * x, axis=1)), axis=1) * y,
    lambda x, y: F.concat([x[:1] * 2, y[1:]]) - F.mean(x, axis=0),
    lambda x, y: F.reshape(F.permute_dims(x, (1, 0)), x.shape) + y,
    lambda x, y: F.take_along_axis(x, F.argmax(y, axis=1, keepdims=True), axis=1) * y,
    lambda x, y: F.where(F.all(F.abs(x) < 3, axis=1, keepdims=True), x, y) * 0.5,
]
SIZES = [(4, 5), (3, 17), (8, 16), (1, 40), (33, 1), (2, 130)]


def drawn(draws):
    def fun(x, y):
        values = [x, y]
        for i, a, b in draws:
            values.append(DRAWN[i % len(DRAWN)](values[a % len(values)], values[b % len(values)]))
        return values[-1], values[-2] + values[-1], F.sum(values[len(values) // 2])

    return fun


PROGRAMS = st.lists(st.tuples(*[st.integers(0, 2**20)] * 3), min_size=1, max_size=12)


def check_drawn(draws, seed):
    """Values and gradients, between no compiler, NumPy's and LLVM's."""
    fun, shape = drawn(draws), SIZES[seed % len(SIZES)]
    x, y = fill(seed, shape, "float64"), fill(seed + 1, shape, "float64")

    def loss(x, y):
        return F.sum(fun(x, y)[1])

    for f in (fun, volta.grad(loss, argnums=(0, 1))):
        with quiet():
            wanted = f(x, y)
            for name in ("numpy", "llvm"):
                found = volta.jit(f, backend=name)(x, y)
                for a, b in zip(found, wanted, strict=True):
                    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10 * (1 + np.abs(b).max()))


@settings(max_examples=40)
@given(draws=PROGRAMS, seed=st.integers(1, 100))
def test_drawn_programs(draws, seed):
    check_drawn(draws, seed)


@pytest.mark.slow
@settings(max_examples=2000)
@given(draws=PROGRAMS, seed=st.integers(1, 100))
def test_many_drawn_programs(draws, seed):
    check_drawn(draws, seed)


@pytest.mark.parametrize("dtype", sorted(KINDS))
@pytest.mark.parametrize(
    "name", ["signbit", "isnan", "isinf", "isfinite", "exp", "expm1", "log", "log1p", "tanh"]
)
def test_functions_of_floats_of_every_dtype(name, dtype):
    x = np.asarray([0, 1, 3, 100]).astype(dtype)
    if dtype[0] in "iu":
        x = np.concatenate([x, np.asarray([np.iinfo(dtype).max, np.iinfo(dtype).min], dtype)])
    function = getattr(F, name)
    with quiet():
        try:
            wanted = function(x)
        except volta.DTypeError:
            with pytest.raises(volta.DTypeError):
                volta.jit(function, backend="llvm")(x)
            return
        close(function, x, rtol=1e-6 if wanted.dtype.itemsize < 8 else 1e-14)
        if wanted.dtype == bool:
            close(lambda x: F.all(function(x)), x)
        else:
            close(lambda x: F.sum(function(x) * 2), x[:3], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_zeros_have_the_signs_that_numpy_gives_them(dtype):
    zeros = np.asarray([0.0, -0.0] * 20, dtype)
    other = np.asarray([0.0, 0.0, -0.0, -0.0] * 10, dtype)
    for name in ("maximum", "minimum"):
        function = getattr(F, name)
        for fun in (
            lambda x, y, f=function: f(x, y),
            lambda x, y, f=function: f(x, 0.0) * 1,
            lambda x, y, f=function: f(0.0, x) * 1,
            lambda x, y: F.relu(x) * 1,
        ):
            found = volta.jit(fun, backend="llvm")(zeros, other)
            np.testing.assert_array_equal(np.signbit(found), np.signbit(fun(zeros, other)))


def test_arrays_whose_dtype_is_another_object(tmp_path):
    save_file({"x": np.arange(6, dtype="float32")}, tmp_path / "x.safetensors")
    x = load_file(tmp_path / "x.safetensors")["x"]
    assert x.dtype is not np.dtype("float32")
    (native,), _ = llvm.functions([elementwise("square", "float32", (6,))])
    out = np.zeros(6, "float32")
    assert native(x, out)
    np.testing.assert_array_equal(out, x * x)
    close(lambda x: F.exp(x) * 2, x, rtol=1e-6)
    swapped = x.astype(">f4")[::2]
    close(lambda x: F.exp(x) * 2, swapped.astype("float32"), rtol=1e-6)


# Views ------------------------------------------------------------------------------------------


def heads(x):
    """As attention takes them: slices, axes exchanged."""
    x = F.reshape(x, (2, 5, 3, 4, 8))
    return [F.permute_dims(x[:, :, i], (0, 2, 1, 3)) for i in range(3)]


def test_views_are_loaded_as_they_lie():
    def fun(x):
        q, k, v = heads(F.cumulative_sum(x, axis=1))
        return q * k + v, F.sum(q * k, axis=-1), q * 2

    x = fill(0, (2, 5, 96), "float64")
    kernels = kernels_of(fun, x)
    assert {o.shape for k in kernels for o in k.operands} == {(2, 5, 96)}
    close(fun, x, rtol=1e-12)
    listed = optimized(volta.trace(fun)(x))
    program = programs._Writer(listed, native=True)
    assert [e.primitive.name for e in program.entries if not kernel_of(e)] == ["cumulative_sum"]


VIEWS = {
    "an element": lambda x: x[1, 2, 0] + x[0, 0, -1],
    "rows": lambda x: x[1:, ::-1] * 2 + x[:1],
    "every other row": lambda x: x[:, ::2] * x[:, 1:3],
    "the last axis turned": lambda x: x[..., ::-1] * 2,
    "every other column": lambda x: x[..., ::2] * 3,
    "a transpose": lambda x: F.permute_dims(x, (2, 1, 0)) * 2,
    "a new axis": lambda x: x[:, None] + x[:, :, None],
    "a reshape of a transpose": lambda x: F.reshape(F.permute_dims(x, (1, 0, 2)), (8, 6)) * 2,
    "a reshape that is a copy": lambda x: F.reshape(F.permute_dims(x, (2, 1, 0)), (8, 6)) * 2,
    "a column": lambda x: x * x[:, :, :1] + x[:, :1],
    "nothing": lambda x: x[:0] + 1,
    "of a row's values": lambda x: F.sum(x, axis=2)[:, 1:] * 2,
    "more than once": lambda x: x[:, 1:][:, 1:] * x[:, :2] + x[:, 2:],
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_of_every_kind(name):
    base = fill(0, (4, 8, 12), "float64")
    for x in (base[:2, :4, :6].copy(), base[::2, ::2, ::2], base[:2, :4, :6].T.copy().T):
        close(VIEWS[name], x)
        close(lambda x: VIEWS[name](F.exp(x)), x, rtol=1e-12)


def test_a_kernel_does_not_overwrite_what_it_reads_elsewhere():
    def fun(x, w):
        y = F.exp(x)  # in memory of the program, where the next kernel could write
        z = F.permute_dims(y, (1, 0, 2)) * 2
        return F.matmul(z, w)  # shares no memory with z, which so is planned, too

    close(fun, fill(0, (20, 20, 8), "float64"), fill(1, (8, 3), "float64"), rtol=1e-12)
