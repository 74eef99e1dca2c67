"""Functions of kernels against more digits, over all floats and near what is special."""

import mpmath
import numpy as np
import pytest
from floats import spread
from strategies import quiet

import volta
import volta.functional as F
from volta.compile import numpy as programs
from volta.compile.functions.named import FUNCTIONS
from volta.compile.kernel import Builder, Kernel, Operand, Result, Unsupported
from volta.compile.native import llvm, machine, vectors
from volta.compile.passes import optimized
from volta.compile.schedule import HOST, kernel_of
from volta.core.types import DTYPES

pytestmark = [
    pytest.mark.core,
    pytest.mark.skipif(not llvm.available(), reason="llvmlite is not installed"),
]
LIMITS = {"float32": 4, "float64": 2}  # units in the last place
# of float64, where a little more work keeps them far from two
CLOSER = {"atan": 1.2, "atan2": 1.4, "cos": 1.7, "log2": 1.2, "log10": 1.2, "sin": 1.7, "tan": 1.4}
MORE = {"float32": np.float64, "float64": np.longdouble}
DIVISIONS = {"floor_divide", "remainder"}
BINARY = {"atan2", "hypot", "logaddexp", "pow"}
UNARY = sorted({*FUNCTIONS} - DIVISIONS - BINARY)
ANGLES = {"sin", "cos", "tan"}


def kernel_of_function(fun, dtype, count, operands=1):
    builder = Builder(HOST)
    args = [builder.load(i, DTYPES[dtype]) for i in range(operands)]
    out = fun(builder.namespace, *args)
    kinds = tuple(Operand(DTYPES[dtype], (count,), (1,)) for _ in args)
    return Kernel((count,), (), (), kinds, tuple(builder.nodes), (Result(out.number, (1,)),))


def computed(fun, *args):
    """A function of a namespace and arrays, by a kernel."""
    (x, *_) = args
    if isinstance(fun, str):
        return computed(lambda xp, *operands: getattr(xp, fun)(*operands), *args)
    (native,), _ = llvm.functions([kernel_of_function(fun, x.dtype.name, len(x), len(args))])
    out = np.empty_like(x)
    assert native(*args, out)
    return out


def special(dtype):
    """Where functions change, with both signs."""
    info = np.finfo(dtype)
    found = [0.0, np.inf, np.nan, 1.0, 1 - info.eps / 2, 1 + info.eps, info.max, info.tiny]
    found += [info.smallest_subnormal, info.tiny * 0.75, np.log(info.max), 0.5, np.sqrt(0.5)]
    found += [2.0, 3.0, 1.5, 0.25, np.pi / 2, np.pi, 2.0**18, 2.0**18 + 1, 2.0**30, 2.0**31, 1e22]
    return np.asarray([*found, *(-x for x in found)], dtype)


def numbers(dtype, count, seed=0):
    """Of any bits, of sizes at which functions change, and near multiples of ½ π."""
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    kinds = spread(rng, count, 36, (110, 750))
    bits = rng.integers(0, 256, count * dtype.itemsize, np.uint8).view(dtype)
    return np.concatenate([special(dtype), bits, *(x.astype(dtype) for x in kinds)])


def pairs(dtype, count):
    """Each special number beside each, and others beside others, of all sizes and of about one."""
    x = numbers(dtype, count)
    rng = np.random.default_rng(1)
    first, second = (a.ravel() for a in np.meshgrid(special(dtype), special(dtype)))
    with quiet():
        near = x * rng.uniform(0.3, 3, len(x)).astype(dtype)
    return np.concatenate([first, x, x]), np.concatenate([second, rng.permutation(x), near])


def assert_few_units(out, wanted, dtype, args, size=None, limit=None):
    """Assert errors of no more units in the last place than are allowed, zeros' signs and NaN."""
    nearest = wanted.astype(dtype)
    np.testing.assert_array_equal(np.isnan(out), np.isnan(nearest))
    number = ~np.isnan(nearest)
    if size is None:
        np.testing.assert_array_equal(np.signbit(out)[number], np.signbit(nearest)[number])
    size = np.abs(nearest) if size is None else size
    finite = number & np.isfinite(nearest)
    unit = np.spacing(np.maximum(size[finite], np.finfo(dtype).tiny))
    errors = np.abs(out[finite] - wanted[finite]) / unit
    infinite = number & ~finite  # or the largest float, next to it
    np.testing.assert_array_equal(np.isinf(out[infinite]), True)
    worst = errors.argmax()
    assert errors[worst] <= (limit or LIMITS[dtype]), [x[finite][worst] for x in args]


def skip_unless_more_digits(dtype):
    if dtype == "float64" and np.finfo(np.longdouble).nmant < 60:
        pytest.skip("NumPy's longdouble has no more digits here")


@pytest.mark.parametrize("wide", [64, 32])
@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("name", UNARY)
def test_errors_in_the_last_place(monkeypatch, name, dtype, wide):
    if wide > machine.vector_bytes():
        pytest.skip("the processor has no such vectors")
    monkeypatch.setattr(vectors, "vector_bytes", lambda: wide)
    skip_unless_more_digits(dtype)
    x = numbers(dtype, 20_000)
    with quiet():
        wanted = getattr(np, NAMES.get(name, name))(x.astype(MORE[dtype]))
        assert_few_units(computed(name, x), wanted, dtype, (x,), None, closer(name, dtype))


def closer(name, dtype):
    return CLOSER.get(name) if dtype == "float64" else None


NAMES = {
    **{f"a{name}": f"arc{name}" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "tan2")},
    "pow": "power",
}


@pytest.mark.parametrize("wide", [64, 32])
@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("name", sorted(BINARY))
def test_errors_of_functions_of_two(monkeypatch, name, dtype, wide):
    if wide > machine.vector_bytes():
        pytest.skip("the processor has no such vectors")
    monkeypatch.setattr(vectors, "vector_bytes", lambda: wide)
    skip_unless_more_digits(dtype)
    x, y = pairs(dtype, 20_000)
    with quiet():
        wanted = getattr(np, NAMES.get(name, name))(x.astype(MORE[dtype]), y.astype(MORE[dtype]))
        size = size_of_terms(wanted.astype(dtype), x, y) if name == "logaddexp" else None
        assert_few_units(computed(name, x, y), wanted, dtype, (x, y), size, closer(name, dtype))


def size_of_terms(out, x, y):
    """Size of the larger term of the logarithm of eˣ + eʸ, which is more than it near 1."""
    larger = np.maximum(x, y)
    return np.maximum(np.maximum(abs(larger), abs(out - larger)), abs(out))


def exact(name, *args):
    """A function of mpmath's; NaN where it has no real value."""
    own = {"logaddexp": lambda x, y: max(x, y) + mpmath.log1p(mpmath.exp(-abs(x - y)))}
    own |= {"log2": lambda x: mpmath.log(x, 2), "exp2": lambda x: mpmath.mpf(2) ** x}
    own |= {"pow": mpmath.power}
    out = own.get(name, getattr(mpmath, name, None))(*args)
    return out if isinstance(out, mpmath.mpf) else mpmath.nan


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("name", [*UNARY, *sorted(BINARY)])
def test_errors_against_mpmath(name, dtype):
    """Of numbers of all sizes, those nearest to multiples of ½ π, and 1."""
    if name in BINARY:
        args = tuple(a[:: max(len(a) // 1000, 1)] for a in pairs(dtype, 400))
    else:
        args = (numbers(dtype, 60),)
    if name in ANGLES:
        args = (np.concatenate([*args, np.asarray(HARD[dtype], dtype)]),)
    top = np.log(np.finfo(dtype).max) + 2  # beyond which mpmath's exponentials have too many bits
    kept = np.all([np.isfinite(a) & (a != 0) for a in args], axis=0)
    if name in ("cosh", "exp", "exp2", "expm1", "logaddexp", "sinh"):
        kept &= np.all([np.abs(a) < top for a in args], axis=0)
    args = tuple(a[kept] for a in args)
    info = np.finfo(dtype)
    with mpmath.workprec(200), quiet():
        for *operands, out in zip(*args, computed(name, *args), strict=True):
            wanted = exact(name, *(mpmath.mpf(float(a)) for a in operands))
            if mpmath.isnan(wanted):
                assert np.isnan(out), operands
                continue
            if abs(wanted) >= mpmath.mpf(float(info.max)) * (1 + mpmath.mpf(float(info.eps)) / 4):
                assert np.isinf(out), operands
                continue
            size = abs(wanted)
            if name == "logaddexp":
                size = size_of_terms(float(wanted), *operands)
            unit = np.spacing(np.maximum(np.asarray(float(size), dtype), info.tiny))
            error = abs(mpmath.mpf(float(out)) - wanted) / mpmath.mpf(float(unit))
            assert error <= LIMITS[dtype], operands


# Those nearest to multiples of ½ π: J.-M. Muller, "Elementary functions", 2016, section 11.2
HARD = {"float32": [16367173 * 2.0**72], "float64": [6381956970095103 * 2.0**797]}


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("name", sorted(ANGLES))
def test_floats_next_to_each_multiple_of_a_quarter_turn(name, dtype):
    skip_unless_more_digits(dtype)
    x = (np.arange(1, 170_000) * (MORE[dtype](np.pi) / 2)).astype(dtype)
    wanted = getattr(np, name)(x.astype(MORE[dtype]))
    assert_few_units(computed(name, x), wanted, dtype, (x,))


@pytest.mark.parametrize("count", [1, 3, 16, 17, 100])
@pytest.mark.parametrize("dtype", LIMITS)
def test_large_angles_change_no_other_element(dtype, count):
    rng = np.random.default_rng(0)
    x = rng.normal(0, 3, count).astype(dtype)
    plain = computed("sin", x)
    x[::5] = 1e20
    out = computed("sin", x)
    np.testing.assert_allclose(out[::5], np.sin(np.float64(x[0])), rtol=1e-6)
    others = np.arange(count) % 5 != 0
    np.testing.assert_array_equal(out[others], plain[others])


def test_three_bodies_in_one_kernel():
    x = np.asarray([1.0, 1e10, -1e300, np.inf])
    with quiet():
        out = computed(lambda xp, x: xp.sin(x) + xp.cos(x) + xp.remainder(x, 3.0), x)
        np.testing.assert_allclose(out, np.sin(x) + np.cos(x) + np.remainder(x, 3.0), rtol=1e-15)


@pytest.mark.parametrize("dtype", LIMITS)
def test_logarithms_of_powers_are_integers(dtype):
    for name, base in (("log2", 2), ("log10", 10)):
        exact = {2: 120, 10: 11 if dtype == "float32" else 23}
        powers = np.arange(exact[base])
        x = np.asarray([float(base) ** n for n in powers.tolist()], dtype)
        np.testing.assert_array_equal(computed(name, x), powers)
    whole = np.arange(-100.0, 100).astype(dtype)
    np.testing.assert_array_equal(computed("exp2", whole), np.exp2(whole.astype(np.float64)))


# Powers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("n", [-3, -2, -1, -0.5, 0, 0.5, 2, 3, 4, 2.5, 7, 0.0, 2.0])
def test_powers_that_are_known(dtype, n):
    skip_unless_more_digits(dtype)
    x = numbers(dtype, 5_000)
    with quiet():
        wanted = np.sqrt(x.astype(MORE[dtype])) if n == 0.5 else np.power(x.astype(MORE[dtype]), n)
        assert_few_units(computed(lambda xp, x: xp.pow(x, n), x), wanted, dtype, (x,))


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("base", [2, 2.0, 0.5, 10.0, -2.0])
def test_powers_of_a_number(dtype, base):
    skip_unless_more_digits(dtype)
    x = np.concatenate([numbers(dtype, 2_000), np.arange(-20.0, 20).astype(dtype)])
    with quiet():
        wanted = np.power(np.asarray(base, MORE[dtype]), x.astype(MORE[dtype]))
        assert_few_units(computed(lambda xp, x: xp.pow(base, x), x), wanted, dtype, (x,))


@pytest.mark.parametrize("n", [0, 1, 2, 5, 12, 100])
@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint16", "uint64"])
def test_powers_of_integers_are_numpys(dtype, n):
    x = integers(dtype, 100)
    if n != 1:
        np.testing.assert_array_equal(computed(lambda xp, x: xp.pow(x, n), x), np.power(x, n))


def test_powers_of_integers_that_numpy_refuses_are_left_to_it():
    for exponent in (-1, 0.5):
        with pytest.raises(Unsupported):
            kernel_of_function(lambda xp, x, n=exponent: xp.pow(x, n), "int64", 3)
    with pytest.raises(ValueError, match="negative integer powers"):
        volta.jit(lambda x: (x + 1) ** -1, backend="llvm")(np.asarray([1, 2]))


# Bit by bit ---------------------------------------------------------------------------------------


def integers(dtype, count):
    """The smallest and largest, and others of all sizes."""
    rng, info = np.random.default_rng(0), np.iinfo(dtype)
    found = [0, 1, 2, 3, 7, info.max, info.max - 1, info.min, info.min + 1, info.max // 2]
    found += [-1, -2, -7] if info.min else []
    others = rng.integers(info.min, info.max, count, dtype, endpoint=True)
    sizes = rng.integers(0, info.bits, count).astype(dtype)
    return np.concatenate([np.asarray(found, dtype), others, others >> sizes])


INTEGERS = [f"{u}int{8 * n}" for u in ("", "u") for n in (1, 2, 4, 8)]
OF_INTEGERS = {
    **{name: getattr(np, name) for name in sorted(DIVISIONS)},
    "bitwise_left_shift": np.left_shift,
    "bitwise_right_shift": np.right_shift,
}


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", OF_INTEGERS)
def test_integers_are_numpys(name, dtype):
    """By 0, the smallest by −1 and shifts by no bits that there are, too, which processors trap."""
    x = integers(dtype, 3_000)
    few = x[:13]
    a, b = (v.ravel() for v in np.meshgrid(few, few))
    x, y = np.concatenate([a, x, x]), np.concatenate([b, np.roll(x, 7), x[::-1]])
    with quiet():
        np.testing.assert_array_equal(computed(name, x, y), OF_INTEGERS[name](x, y))


@pytest.mark.parametrize("divisor", [0, 1, 7, -1, -3])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_divisors_that_are_numbers(dtype, divisor):
    if divisor < 0 and dtype.startswith("u"):
        pytest.skip("no number of the dtype")
    x = integers(dtype, 200)
    with quiet():
        for name in DIVISIONS:
            out = computed(lambda xp, x, name=name: getattr(xp, name)(x, divisor), x)
            np.testing.assert_array_equal(out, OF_INTEGERS[name](x, x.dtype.type(divisor)))


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("name", [*sorted(DIVISIONS), "nextafter"])
def test_these_of_floats_are_numpys_bit_by_bit(name, dtype):
    x, y = pairs(dtype, 5_000)
    with quiet():
        out, wanted = computed(name, x, y), getattr(np, name)(x, y)
    np.testing.assert_array_equal(out, wanted)
    number = ~np.isnan(wanted)
    np.testing.assert_array_equal(np.signbit(out)[number], np.signbit(wanted)[number])


@pytest.mark.parametrize("to", INTEGERS)
@pytest.mark.parametrize("dtype", LIMITS)
def test_floats_as_integers_are_numpys(dtype, to):
    bits = np.dtype(to).itemsize * 8
    top = 2.0 ** (bits if to.startswith("u") else bits - 1)
    low = 0.0 if to.startswith("u") else -top
    x = numbers(dtype, 3_000)
    edges = np.asarray([top, low, top / 2, -0.5, 0.5, 1.5, -1.0, 300.7], dtype)
    x = np.concatenate([x, edges, np.nextafter(edges, 0), np.nextafter(edges, edges * 2)])
    with quiet():
        if machine.pause() == "" or to == "uint32":  # C leaves open what others become
            x = x[(np.trunc(x) >= low) & (np.trunc(x) < top)]
        wanted = x.astype(to)
    builder = Builder(HOST)
    out = builder.namespace.astype(builder.load(0, DTYPES[dtype]), DTYPES[to])
    operand, result = Operand(DTYPES[dtype], x.shape, (1,)), Result(out.number, (1,))
    (native,), _ = llvm.functions(
        [Kernel(x.shape, (), (), (operand,), tuple(builder.nodes), (result,))]
    )
    found = np.empty(len(x), to)
    assert native(x, found)
    np.testing.assert_array_equal(found, wanted)


# Derivatives --------------------------------------------------------------------------------------

POINTS = {"acosh": 1.5, "pow": 1.5}


@pytest.mark.parametrize("name", sorted({*FUNCTIONS} - {"floor_divide"}))
def test_derivatives_are_kernels_too(name):
    x = np.linspace(0.1, 0.8, 7) + POINTS.get(name, 0.0)
    args = (x, x[::-1] * 0.7) if name in BINARY | DIVISIONS else (x,)

    def loss(args):
        return F.sum(getattr(F, name)(*args) * args[0])

    for fun in (volta.grad(loss), volta.grad(lambda a: F.sum(volta.grad(loss)(a)[0] * a[0]))):
        program = programs._Writer(optimized(volta.trace(fun)(args)), native=True)
        assert all(kernel_of(e) for e in program.entries)
        found, wanted = volta.jit(fun, backend="llvm")(args), fun(args)
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
