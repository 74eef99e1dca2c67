"""Programs for NumPy against their functions run as they are: values, memory, errors, threads."""

import random
import threading
import tracemalloc
import warnings

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import fill, quiet

import volta
import volta.functional as F
from volta.compile import blocks
from volta.compile import numpy as programs
from volta.compile.passes import optimized

pytestmark = [pytest.mark.core, pytest.mark.usefixtures("by_numpy")]
N = programs._SMALLEST // 4  # float32 numbers from which results are planned


def plan_all(patch):
    """Have all results go to planned memory, however small."""
    patch.setattr(programs, "_SMALLEST", 1)
    patch.setattr(programs, "_LARGE", 1)


def cut_all(patch):
    """Have all elementwise entries run part by part, however small."""
    patch.setattr(blocks, "_LARGE", 1)
    patch.setattr(blocks, "_PART", 16)


@pytest.fixture
def planned(monkeypatch):
    plan_all(monkeypatch)


def bits(tree):
    """Bits of all numbers, signs of zeros included; there is one NaN, as its sign says nothing."""
    found = []
    for x in map(np.array, volta.tree.leaves(tree)):
        for part in (x.real, x.imag) if x.dtype.kind == "c" else (x,):
            if x.dtype.kind in "fcV":
                part[np.isnan(part)] = np.nan
        found.append((x.tobytes(), x.dtype, x.shape))
    return found


def same(fun, *calls):
    """Assert that a jitted function gives what `fun` does, call after call, and changes nothing."""
    jitted = volta.jit(fun)
    kept = []
    for args in calls:
        before = bits(args)
        wanted = bits(fun(*args))
        found = jitted(*args)
        assert all(type(x) is np.ndarray for x in volta.tree.leaves(found))
        assert bits(found) == wanted
        assert bits(args) == before
        kept.append((found, wanted))
    for found, wanted in kept:
        assert bits(found) == wanted
    assert jitted._stagings == 1


def source(fun, *args):
    """Lines of the program that is written for a function, and the program being written."""
    program = programs._Writer(optimized(volta.trace(fun)(*args)))
    return [line for line, _ in program._body()], program


def arrays(shape, dtype=np.float32, count=3):
    return [(fill(seed, shape, np.dtype(dtype).name),) for seed in range(count)]


# Values -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, N - 1, N, N + 1, 40 * N])
def test_sizes_around_the_smallest_that_is_planned(size):
    same(lambda x: F.exp(x) * 2 + F.tanh(x - 1) / 3, *arrays((size,)))
    lines, _ = source(lambda x: F.exp(x) * 2 + 1, np.zeros(size, np.float32))
    assert any("=s0" in line or "= s0" in line for line in lines) == (size >= N)


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int64", "float16", "float64", "complex64"])
def test_dtypes(dtype, planned):
    def fun(x):
        return F.square(x) * x - x, F.abs(x) + 1, F.where(x == 1, x, 0) + x

    same(fun, *arrays((7, 3), dtype))


def test_bfloat16(planned):
    def fun(x):
        y = F.multiply(x, 0.5)
        return F.exp(y) + x, F.multiply(F.where(x > 0, x, 0), 2), F.sum(x, axis=0)

    same(fun, *[(x.astype(ml_dtypes.bfloat16),) for (x,) in arrays((5, 4))])


def test_booleans(planned):
    def fun(x):
        low = x < 0.5
        return low & ~(x < 0), F.where(low, low, False), F.astype(low, F.float32) * x

    same(fun, *arrays((6, 5)))


def test_dtypes_that_change_within_one_size(planned):
    def fun(x):  # 8 bytes each
        n = F.astype(x * 3, F.int64)
        return F.astype(n + 1, F.float64) * x + F.astype(F.astype(x, F.complex64) + 1j, F.complex64)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(lambda x: F.abs(fun(x)), *arrays((30,), np.float64))


@pytest.mark.parametrize(
    "literal", [2, 2.5, -0.0, 1e-60, float("inf"), float("nan"), True, 10**30, 1e300]
)
def test_numbers_are_weak_as_they_are_without_jit(literal, planned):
    with quiet():
        for dtype in (np.float32, np.float64):
            same(lambda x: (x * literal + 1, literal - x, x < literal), *arrays((9,), dtype))


def test_a_number_beyond_an_integer_dtype():
    same(lambda n: (n < 2**40, n == -(2**40)), *arrays((9,), np.int32))


def test_a_number_beyond_a_floating_dtype_warns():
    jitted = volta.jit(lambda x: x * 1e300)
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="overflow"):
            assert np.all(np.isinf(jitted(np.ones(3, np.float32))))


def test_scalars_of_rank_0(planned):
    same(lambda x: (x * 2, F.exp(x) - x, F.sum(x) + 1, F.where(x > 0, x, 0)), *arrays(()))


def test_arrays_that_are_not_contiguous(planned):
    def fun(x, y):
        return F.exp(x) * y, F.where(x > y, x, 0), x @ y.T, F.where(x > 0, y, 0.0) + x

    x, y = (fill(n, (8, 12), "float32") for n in (0, 1))
    odd = [
        (x[::2, ::3], y[::2, ::-3]),
        (x[:4, :4].T, y[4:, 8:]),
        (np.broadcast_to(x[0, :4], (4, 4)), y[:4, :4]),
    ]
    same(fun, *odd)


def test_read_only_arrays_stay_what_they_are(planned):
    x = np.ones(9)
    x.flags.writeable = False
    same(lambda x: (x + 1) * x - x, (x,))


@pytest.mark.parametrize("shape", [(3, 4), (4,), (2, 3, 4)])
def test_products(shape, planned):
    w, v = fill(1, (4, 5), "float32"), fill(2, (4,), "float32")

    def fun(x):
        h = x @ w
        return F.exp(h @ w.T) @ v, h * 2, x @ v, F.matrix_transpose(h[None]) @ h[None]

    if len(shape) == 1:
        same(lambda x: (x @ w @ w.T + x, x @ x, w.T @ x), *arrays(shape))
    else:
        same(fun, *arrays(shape))


def test_products_of_16_bits_are_summed_in_32(planned):
    same(lambda x: (x + 0) @ x.T, (np.ones((3, 4096), np.float16),))


@pytest.mark.parametrize("size", [8192, 8193, 20000])
def test_curves_of_several_blocks(size):
    far = np.linspace(-99, 99, size, dtype=np.float32)
    same(lambda x: (F.gelu(x) + F.sigmoid(x + 1), F.leaky_relu(x * 2)), *arrays((size,)), (far,))
    same(lambda x: F.softplus(F.gelu(x.T) * 2), *arrays((2, size)))


def test_choices_by_numbers(planned):
    n = np.asarray([0, 2, 255, -1, 0])
    same(lambda n, x: F.where(n, x, 0) + 1, (n, np.ones(5)), (n[::-1].copy(), np.zeros(5)))


def test_choices_of_zero(planned):
    def fun(x):
        row = x[0]
        return (
            F.where(x > 0, x, 0),
            F.where(x > 0, x, -0.0),
            F.where(x > 0, row, 0.0),
            F.where(row > 0, x, 0),
            F.where(x > 0, 0, x),
            F.where(x > 0, 2, x),
        )

    for dtype in ("float32", "float64", "int16", "uint8", "complex64", "complex128", "float16"):
        plain = [(fill(n, (9, 7), dtype, special=0.3),) for n in range(3)]
        if dtype.startswith("complex"):
            same(lambda x: (F.where(F.real(x) > 0, x, 0), F.where(F.real(x) > 0, x, x[0])), *plain)
        else:
            same(fun, *plain) if dtype[0] == "f" else same(lambda x: F.where(x > 1, x, 0), *plain)


def test_a_choice_of_zero_writes_over_no_operand(planned):
    def fun(x):
        y = F.exp(x)
        z = F.where(y > 1, y, 0)
        w = x * 3
        return z + 1, F.where(w > z, w, 0) * 2

    same(fun, *arrays((50,)))


# Memory -------------------------------------------------------------------------------------------


def test_views_of_planned_results(planned):
    def fun(x):
        y = x * 2 + 1
        moved = F.permute_dims(y, (1, 0))
        flat = F.reshape(moved, (-1,))
        z = y * 3
        part, turned = z[1:, ::2], F.flip(z, axis=0)
        wide = F.broadcast_to(z[0], (3, z.shape[1]))
        return F.sum(flat[::2]) + x, part * 2, turned - 1, wide + flat[:1]

    same(fun, *arrays((4, 6)))


def test_results_that_are_views_or_inputs_or_one_another(planned):
    def fun(x):
        y = F.exp(x)
        z = x * 2
        return y, y, F.reshape(y, (-1,)), y[0], z.T, x, x[1:], F.sum(z)

    same(fun, *arrays((3, 4)))


def test_a_view_outlives_what_it_is_of(planned):
    def fun(x):
        a = x + 1
        view = a.T[::-1]
        b = a * 2  # must not be written over `a`
        c = b - 3
        return view * 1.5 + c.T

    same(fun, *arrays((5, 5)))


def test_an_operand_twice(planned):
    same(lambda x: F.square(x + 1) - (x + 1) * (x + 1), *arrays((5, 5)))


def test_large_results_are_used_again_once_they_are_let_go():
    jitted = volta.jit(lambda x: x + 1)
    x = np.zeros(programs._LARGE // 8)
    places = set()
    for _ in range(10):
        x = jitted(x)
        places.add(x.__array_interface__["data"][0])
    assert np.all(x == 10)
    assert len(places) <= 3
    kept = [jitted(x) for _ in range(5)]
    for k, y in enumerate(kept):
        y += k
    assert [float(y[0]) for y in kept] == [11, 12, 13, 14, 15]


def test_planned_memory_is_used_again_within_a_call():
    def fun(x):
        for _ in range(20):
            x = F.exp(x * 0.1) - x
        return F.sum(x)

    _, program = source(fun, np.zeros(N, np.float32))
    assert len(program.slots.sizes) == 2


def test_an_operation_writes_over_its_operand():
    lines, program = source(lambda x: F.sum(F.exp(F.sin(x))), np.zeros(N, np.float32))
    assert len(program.slots.sizes) == 1
    assert sum("out=s0" in line for line in lines) == 2


def test_memory_of_operands_of_products_is_used_again():
    def fun(x):
        for _ in range(9):
            x = x @ x
        return F.sum(x)

    _, program = source(fun, np.zeros((64, 64), np.float32))
    assert len(program.slots.sizes) == 2


def test_a_product_never_writes_over_its_operand():
    _, program = source(lambda x: F.sum((x + 1) @ (x + 2)), np.zeros((64, 64), np.float32))
    assert len(program.slots.sizes) == 3


def test_what_is_returned_is_in_no_planned_memory():
    _, program = source(lambda x: F.reshape(x + 1, (-1,)), np.zeros((64, 64), np.float32))
    assert program.slots.sizes == []


def test_what_a_callback_may_keep_is_in_no_planned_memory():
    seen = []

    def fun(x):
        y = x + 1
        volta.debug.callback(seen.append, y)
        return F.sum(y * 2)

    jitted = volta.jit(fun)
    for k in range(3):
        jitted(np.full(N, float(k)))
    assert [float(np.max(y)) for y in seen] == [1, 2, 3]


# Guards -------------------------------------------------------------------------------------------


def masked(x):
    """A gradient whose cotangents are masked: those of a slice go through products."""
    return F.sum(F.tanh(F.sin(x) * F.exp(x))[1:] ** 2)


def test_a_masked_product_of_finite_numbers_is_the_product():
    lines, program = source(volta.grad(masked), np.ones(9))
    assert program.guards
    assert not any("isfinite" in str(program.space.get("c1")) for line in lines)
    same(volta.grad(masked), *arrays((9,), np.float64))


def test_a_masked_product_of_others_is_what_it_is_without_jit():
    x = np.asarray([np.inf, 1.0, -np.inf, np.nan, 0.0, 1e200, 3.0])
    gradient = volta.grad(lambda x: F.sum((F.sqrt(F.abs(x)) * F.exp(x))[3:]))
    with quiet():
        same(gradient, (x,), (np.zeros(7),), (np.ones(7),), (x[::-1].copy(),))
        assert np.isnan(gradient(x)[3])
        assert volta.jit(gradient)(np.asarray([0.0, 0, 0, 1, 1, 1, 1]))[0] == 0


@pytest.mark.parametrize("zero", [0, 1])
def test_a_choice_like_that_of_a_masked_product(zero, planned):
    def fun(x):
        p, t = F.exp(x) * 2, F.sin(x)
        chosen = choice(p, t, zero)
        a, b = F.sin(x * 3) * 2, F.cos(x * 5) + 1  # must not be written over `p`
        return chosen + F.sum(a) * b + a

    with quiet():
        same(fun, *arrays((5,), np.float64), (np.asarray([0.0, 710.0, np.inf, np.pi / 2, -1]),))
        same(lambda p, t: choice(p, t, zero) * 1, (np.full(3, np.inf), np.asarray([0.0, 1.0, 2.0])))


def choice(p, t, zero):
    return F.where(F.logical_or(F.isfinite(p), F.not_equal(t, zero)), p, 0)


# Errors -------------------------------------------------------------------------------------------


def test_an_error_names_the_operation_and_the_line_and_leaves_the_memory_behind(planned):
    table = np.arange(5.0)

    def fun(x, index):
        y = x * 2 + 1
        picked = F.take(table + 1, index)  # the line
        return y + F.sum(picked)

    jitted, line = volta.jit(fun), fun.__code__.co_firstlineno + 2
    x, good = np.ones(9), np.asarray([1, 2])
    wanted = jitted(x, good)
    message = rf"^gather: indices must be from -5 to 4.* got 7.*test_numpy\.py:{line}\)$"
    for _ in range(3):
        with pytest.raises(volta.DimensionError, match=message):
            jitted(x, np.asarray([1, 7]))
    np.testing.assert_array_equal(jitted(x, good), wanted)
    assert pools_of(jitted) == [1]


def pools_of(jitted):
    """Number of arenas that are kept for each program."""
    roots = [p.root for p in jitted._programs.values()]
    spaces = [r.body.__dict__["numpy"].__globals__ for r in roots]
    return [len(s["pool"]) for s in spaces]


def test_an_error_of_a_callback_passes_and_leaves_the_memory_behind(planned):
    class OwnError(Exception):
        pass

    def stop(x):
        if x[0] > 1:
            raise OwnError

    def fun(x):
        y = F.exp(x) * 2
        volta.debug.callback(stop, x)
        return F.sum(y + 1)

    jitted = volta.jit(fun)
    jitted(np.ones(4))
    for _ in range(3):
        with pytest.raises(OwnError):
            jitted(np.ones(4) + 1)
    assert jitted(np.ones(4)) == fun(np.ones(4))
    assert pools_of(jitted) == [1]


def test_warnings_are_those_without_jit():
    with pytest.warns(RuntimeWarning, match="divide by zero encountered in log"):
        volta.jit(lambda x: F.log(x) * 2)(np.zeros(3))
    with np.errstate(all="raise"), pytest.raises(FloatingPointError, match="divide by zero"):
        volta.jit(lambda x: F.log(x) * 2)(np.zeros(3))


def test_a_jitted_function_of_a_derivative_rule_warns_of_nothing():
    inverse = volta.jit(lambda x, ct: ct / x)
    fun = volta.custom_vjp(F.sum)
    fun.defvjp(lambda x: (F.sum(x), x), lambda x, ct: (inverse(x, ct),))
    found = volta.jit(volta.grad(fun))(np.asarray([0.0, 2.0]))
    np.testing.assert_array_equal(found, [np.inf, 0.5])


def test_an_infinite_derivative_warns_of_nothing():
    same(volta.grad(lambda x: F.sum(F.sqrt(x)[:2] * 2)), (np.asarray([0.0, 1, 4]),))
    with np.errstate(all="raise"):
        found = volta.jit(volta.grad(lambda x: F.sum(F.sqrt(x))))(np.asarray([0.0, 1.0]))
    np.testing.assert_array_equal(found, [np.inf, 0.5])


# Calls within calls -------------------------------------------------------------------------------


def test_a_function_that_calls_itself_while_it_runs(planned):
    seen = []

    def fun(x):
        y = F.exp(x) + 1
        volta.debug.callback(again, x)
        return F.sum(y * 2) + y

    def again(x):
        if x[0] > 1:
            seen.append(jitted(x - 1))

    jitted = volta.jit(fun)
    plain = [np.exp(np.full(5, k)) + 1 for k in (1.0, 2.0, 3.0)]
    out = jitted(np.full(5, 3.0))
    for found, y in zip([*seen, out], plain, strict=True):
        np.testing.assert_array_equal(found, np.sum(y * 2) + y)


def test_threads_share_no_memory(planned):
    def fun(x):
        for _ in range(5):
            x = F.tanh(x @ x * 0.01 + x) + 1
        return x, F.sum(x)

    jitted = volta.jit(fun, backend="numpy")
    inputs = [fill(n, (24, 24), "float64") for n in range(4)]
    wanted = [bits(fun(x)) for x in inputs]
    jitted(inputs[0])
    wrong = []

    def work(n):
        for _ in range(100):
            if bits(jitted(inputs[n])) != wanted[n]:
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    assert 1 <= pools_of(jitted)[0] <= 4


def test_memory_does_not_grow_from_call_to_call(planned):
    jitted = volta.jit(lambda x: F.exp(x) * x + F.sum(x @ x))
    x = np.ones((32, 32))
    tracemalloc.start()
    sizes = []
    for _ in range(4):  # what is made at first, by Python too, is there after two rounds
        for _ in range(500):
            x = jitted(x) * 0
        sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert sizes[3] - sizes[2] < 4096


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i4"])
@pytest.mark.parametrize("n", [100, 20_000, 200_000])
def test_choices_of_arrays_in_another_byte_order(n, dtype):
    x = np.arange(-n, n).astype(dtype)
    for fun in (
        lambda x: F.where(x > 0, x, 0) * 2,
        lambda x: F.where(x > 0, x, 0),
        lambda x: F.where(x != 3, F.astype(x, F.float64), 0) + 1,
    ):
        for _ in range(2):
            np.testing.assert_array_equal(volta.jit(fun)(x), fun(x))


# Drawn programs -----------------------------------------------------------------------------------
# Without jit a ufunc's result has the layout of its operands, here it lies in row-major order, and
# sums of other layouts round otherwise. So programs with sums and products are of small integers,
# for which these are exact, and the others have none: either way there is one right result.


def _moved(draw, x):
    kind = draw.choice(("T", "flat", "slice", "flip", "wide", "unit", "row", "twice"))
    if kind == "T":
        return F.permute_dims(x, tuple(reversed(range(x.ndim))))
    if kind == "flat":
        return F.reshape(x, (-1,))
    if kind == "slice" and x.ndim:
        return x[draw.choice((slice(1, None), slice(None, None, -1), slice(None, None, 2)))]
    if kind == "flip":
        return F.flip(x)
    if kind == "wide":
        return F.broadcast_to(x, (2, *x.shape)) if x.ndim < 3 else x
    if kind == "row" and x.ndim and x.shape[0]:
        return x[0]
    if kind == "twice" and x.ndim:
        return F.concat([x, x], axis=0)
    return F.reshape(x, (1, *x.shape)) if x.ndim < 3 else x


def _small(x):
    return F.clip(F.floor(x), -9, 9)


def _single(draw, x, whole):
    smooth = ("exp", "tanh", "sin", "sigmoid", "gelu", "abs", "square", "negative", "relu")
    return getattr(F, draw.choice(smooth[5:] if whole else smooth))(x)


def _number(draw, x):
    value = draw.choice((1, 1.0, 0, 2, -0.0, 0.5, -1.5))
    return draw.choice(
        (lambda: x * value, lambda: value - x, lambda: x + value, lambda: F.maximum(x, value))
    )()


def _pair(draw, x, y):
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        y = x
    name = draw.choice(("add", "multiply", "subtract", "maximum", "where", "zero", "clip"))
    if name == "where":
        return F.where(x > y, x, y)
    if name == "zero":
        return F.where(y > 0, x, 0)
    return F.clip(x, -1, y) if name == "clip" else getattr(F, name)(x, y)


def _reduced(draw, x, whole):
    axis = draw.randrange(x.ndim) if x.ndim and draw.random() < 0.7 else None
    reduce = F.sum if whole else F.max
    if not whole and 0 in x.shape:
        return x
    return reduce(x, axis=axis, keepdims=draw.random() < 0.5)


def _product(draw, x, y):
    fits = 0 < x.ndim < 3 and 0 < y.ndim < 3 and x.shape[-1] == y.shape[max(0, y.ndim - 2)]
    return x @ y if fits else x * 2


_inner = volta.jit(lambda x, y: (F.relu(x) * y, x, y + 1))


def drawn(seed, whole=False):
    """Function of two arrays: up to 24 drawn instructions, mostly over the last results."""
    draw = random.Random(seed)
    count, start = draw.randint(4, 24), draw.random()

    def run(a, b):
        draw = random.Random(start)
        registers = [a, b]
        for _ in range(count):
            x, y = draw.choice(registers[-3:]), draw.choice(registers)
            step = draw.choice("ssnnppppmmrxj" if whole else "ssnnppppmmrj")
            if step == "j":
                made = _inner(x, x)
            elif step == "s":
                made = (_single(draw, x, whole),)
            elif step == "n":
                made = (_number(draw, x),)
            elif step == "p":
                made = (_pair(draw, x, y),)
            elif step == "m":
                made = (_moved(draw, x),)
            elif step == "r":
                made = (_reduced(draw, x, whole),)
            else:
                made = (_product(draw, x, y),)
            registers += map(_small, made) if whole else made
        return (registers[-1], *(draw.choice(registers) for _ in range(draw.randint(0, 3))))

    return run


SHAPES = ((3, 4), (4, 4), (5,), (2, 3, 4), (), (0, 3), (1, 6))


def check_drawn(seed):
    draw = random.Random(-seed)
    shape, dtype = draw.choice(SHAPES), draw.choice(("float32", "float64"))
    for whole in (False, True):
        calls = [
            tuple(
                _small(x) if whole else x
                for x in (
                    fill(seed + k, shape, dtype, special=0.1 * (k == 1 and not whole)),
                    fill(seed + 3 + k, shape, dtype),
                )
            )
            for k in (0, 1, 2)
        ]
        with quiet():
            same(drawn(seed, whole), *calls)


@pytest.mark.parametrize("parts", [False, True])
@settings(max_examples=200)
@given(seed=st.integers(1, 2**32))
def test_drawn_programs(parts, seed):
    with pytest.MonkeyPatch.context() as patch:
        plan_all(patch)
        if parts:
            cut_all(patch)
        check_drawn(seed)


@pytest.mark.slow
@pytest.mark.parametrize("parts", [False, True])
@settings(max_examples=2000)
@given(seed=st.integers(1, 2**32))
def test_many_drawn_programs(parts, seed):
    with pytest.MonkeyPatch.context() as patch:
        plan_all(patch)
        if parts:
            cut_all(patch)
        check_drawn(seed)


@settings(max_examples=60)
@given(seed=st.integers(1, 2**32))
@example(seed=1)
def test_gradients_of_drawn_programs(seed):
    """Each product and sum of a sweep is the same, so only their order may differ: 10⁴ · eps."""
    draw = random.Random(-seed)
    shape = draw.choice(SHAPES[:4])

    def loss(a, b):
        return sum(F.sum(F.sin(x)) for x in drawn(seed)(a, b))

    gradient = volta.grad(loss, argnums=(0, 1))
    args = fill(seed, shape, "float64"), fill(seed + 1, shape, "float64")
    with quiet(), pytest.MonkeyPatch.context() as patch:
        plan_all(patch)
        wanted = gradient(*args)
        for nested in (volta.jit(gradient), volta.grad(volta.jit(loss), argnums=(0, 1))):
            for _ in range(2):
                for x, y in zip(nested(*args), wanted, strict=True):
                    largest = np.max(np.abs(y), initial=0, where=np.isfinite(y))
                    np.testing.assert_allclose(x, y, rtol=2e-12, atol=2e-12 * largest)
