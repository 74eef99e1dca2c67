"""Functions of the prelude against more digits, over all floats and near what is special."""

import math
import re
from typing import Final

import mpmath
import numpy as np
import pytest
import scipy.special
from floats import spread

from volta.wgpu.wgsl.prelude import FUNCTIONS, prelude

pytestmark = pytest.mark.core
TINY: Final = np.finfo(np.float32).tiny
ZERO: Final = np.float32(0)
COUNT: Final = 50_000  # of numbers of each kind


# units in the last place; so few that no polynomial can do without a term
BOUNDS: Final = {
    "acos": 1.35,
    "acosh": 2.2,
    "asin": 1.65,
    "asinh": 1.3,
    "atan": 2.0,
    "atan2": 2.1,
    "atanh": 1.45,
    "cos": 1.1,
    "cosh": 1.5,
    "digamma": 4.4,
    "erf": 1.45,
    "erfc": 2.3,
    "exp": 1.0,
    "exp2": 1.0,
    "expm1": 1.55,
    "hypot": 1.25,
    "lgamma": 3.9,
    "log": 0.9,
    "log10": 0.8,
    "log1p": 0.9,
    "log2": 0.9,
    "logaddexp": 2.4,
    "pow": 1.15,
    "sin": 1.1,
    "sinh": 1.7,
    "tan": 2.3,
    "tanh": 1.5,
}
QUOTIENT: Final = 0.75  # more of what is computed with quotients, where they are not the nearest
BINARY: Final = ("atan2", "hypot", "logaddexp", "pow")
UNARY: Final = tuple(name for name in BOUNDS if name not in BINARY)
NAMES: Final = {
    **{f"a{name}": f"arc{name}" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "tan2")},
    "pow": "power",
}
SCIPY: Final = {
    "digamma": scipy.special.psi,
    "erf": scipy.special.erf,
    "erfc": scipy.special.erfc,
    "lgamma": lambda x: np.where(np.isneginf(x), np.inf, scipy.special.gammaln(x)),  # as C99
}
# where formulas meet, or results begin to be infinite or 0
SEAMS: Final = (
    *(2.0**-25, 2.0**-12, 2.0**-24, math.log(2) / 2, 1.5 * math.log(2), 20, 10, 88.7228, 104),
    *(89.41598, 128, 126, 149, 150, 103.972, 103.28, 87.3365, 16384, 0.875, 10.05, 9.19),
    *(0.5, 1.0, 2.0, 1.5, 3.0, math.sqrt(0.5), math.sqrt(2), math.sqrt(0.75), math.sqrt(1.5)),
    *(math.tan(math.pi / 8), math.tan(3 * math.pi / 8), 2.0**61, 2.0**-63, 2.0**-100, 2.0**100),
    *(math.pi / 4, 3 * math.pi / 4, math.pi / 2, math.pi, 2 * math.pi, 2.0**23, 2.0**24, 2.0**31),
    *(2.0**32, TINY, 2.0**-103, 2.0**123, math.sqrt(2) - 1, 1 - math.sqrt(0.5), 13.0, 22.0, 710),
)


@pytest.fixture(autouse=True)
def _quiet():
    """NumPy is not to warn of infinities and NaN, which are wanted."""
    with np.errstate(all="ignore"):
        yield


def special():
    """Where functions change, with both signs."""
    info = np.finfo(np.float32)
    found = [0.0, np.inf, np.nan, 1.0, 1 - info.eps / 2, 1 + info.eps, info.max, info.tiny]
    found += [info.smallest_subnormal, TINY * 0.75, np.log(info.max), 0.5, np.sqrt(0.5), 2.0, 3.0]
    found += [1.5, 0.25, np.pi / 2, np.pi, 2.0**23 - 0.5, 2.0**23 + 1, 2.0**24, 2.0**24 + 2]
    found += [2.0**31, 2.0**32, 1e22, 4.0, 5.0, 1e-20]
    return np.asarray([*found, *(-x for x in found)], np.float32)


def near(points, steps):
    """Floats next to points, with both signs."""
    bits = np.asarray(points, np.float32).view(np.int32)
    found = (bits[:, None] + np.arange(-steps, steps + 1, dtype=np.int32)).ravel()
    found = found.view(np.float32)
    return np.concatenate([found, -found])


def numbers(count=COUNT, seed=0):
    """Of all exponents, of sizes at which functions change, near seams and multiples of ½ π."""
    rng = np.random.default_rng(seed)
    exponents = np.repeat(np.arange(512, dtype=np.uint32) << np.uint32(23), 40)
    every = (exponents | rng.integers(0, 2**23, exponents.size, np.uint32)).view(np.float32)
    kinds = spread(rng, count, 17, (11, 160))
    kinds = (x.astype(np.float32) for x in kinds)
    return np.concatenate([special(), every, near(SEAMS, 60), *kinds])


def pairs(count=COUNT, seed=0):
    """Each special number beside each, and others beside others, of all sizes and of about one."""
    x = numbers(count, seed)
    rng = np.random.default_rng(seed + 1)
    first, second = (a.ravel() for a in np.meshgrid(special(), special()))
    close = x * rng.uniform(0.3, 3, x.size).astype(np.float32)
    return np.concatenate([first, x, x]), np.concatenate([second, rng.permutation(x), close])


def flushed(x):
    """Denormal numbers as 0."""
    return np.where(np.abs(x) < TINY, np.copysign(np.float32(0), x), x)


def errors(out, wanted, least=None):
    """Units in the last place of each; infinite where NaN, infinity or a sign is not as wanted."""
    nearest = wanted.astype(np.float32)
    size = np.maximum(np.abs(nearest), TINY)
    if least is not None:
        least = least.astype(np.float32)
        size = np.maximum(size, np.where(np.isfinite(least), least, ZERO))
    unit = np.spacing(size)
    found = np.abs(out - wanted) / unit
    alike = (out == nearest) | (np.isnan(out) & np.isnan(nearest))
    found[alike & ~np.isfinite(nearest)] = 0
    wrong = ~np.isfinite(found) | (np.isinf(out) != np.isinf(nearest))
    if least is None:
        wrong |= (np.signbit(out) != np.signbit(nearest)) & ~np.isnan(out)
    found[wrong] = np.inf
    return found


def worst(mapped, name, fun, args, least=None, of="{}"):
    """Largest error, and the arguments that have it."""
    out = mapped(f"v_{name}", *args, of=of)
    found = errors(out, fun(*args), least)
    if mapped.flushes:
        # arguments, results, or both
        for wanted in (fun(*args), fun(*(flushed(x) for x in args))):
            nothing = np.where(np.abs(wanted) < TINY, 0 * wanted, wanted)
            found = np.minimum(found, errors(out, wanted, least))
            found = np.minimum(found, errors(out, nothing, least))
    at = found.argmax()
    return found[at], [x[at] for x in args], out[at]


def bound(mapped, name):
    """Units in the last place that a function may be off on a device."""
    return BOUNDS[name] + QUOTIENT * mapped.coarse


def least_size(name, x):
    """What errors are measured by where a result is smaller: the largest of what it is a sum of."""
    x = x.astype(np.float64)
    if name == "digamma":
        cotangent = np.where(x < 0, np.abs(np.pi / np.tan(np.pi * x)), 0)
        return np.fmax(np.fmax(np.abs(scipy.special.psi(np.abs(x))), cotangent), 1)
    if name == "lgamma":
        return np.where(x < 0, np.fmax(scipy.special.gammaln(np.abs(x)), 1), 0)
    return None


def reference(name):
    """The function in float64."""
    fun = SCIPY.get(name) or getattr(np, NAMES.get(name, name))
    return lambda *args: fun(*(x.astype(np.float64) for x in args))


@pytest.mark.parametrize("name", UNARY)
def test_errors_in_the_last_place(mapped, name):
    x = numbers()
    found = worst(mapped, name, reference(name), (x,), least_size(name, x))
    assert found[0] <= bound(mapped, name), found


ONE: Final = np.float32(1)
SUMS: Final = {
    "{} - 1.0": lambda x: x - ONE,
    "{} + 1.0": lambda x: x + ONE,
    "1.0 - {}": lambda x: ONE - x,
}


# that a driver adds numbers to a sum in another order is not to be seen
@pytest.mark.parametrize("of", SUMS)
@pytest.mark.parametrize("name", UNARY)
def test_errors_of_sums(mapped, name, of):
    x, sum_ = numbers(8000), SUMS[of]
    least = least_size(name, sum_(x))
    found = worst(mapped, name, lambda x: reference(name)(sum_(x)), (x,), least, of)
    assert found[0] <= bound(mapped, name), found


@pytest.mark.parametrize("name", BINARY)
def test_errors_of_two_arguments(mapped, name):
    args = pairs()
    # the result may be far smaller than what it is a sum of
    least = np.maximum(*np.abs(args)) if name == "logaddexp" else None
    found = worst(mapped, name, reference(name), args, least)
    assert found[0] <= bound(mapped, name), found


def maximum(x, y):
    """As NumPy's, but +0 is more than -0."""
    zeros = (x == 0) & (y == 0)
    return np.where(zeros, np.where(np.signbit(x) & np.signbit(y), x, 0), np.maximum(x, y))


def minimum(x, y):
    return -maximum(-x, -y)


EXACT: Final = {
    "abs": np.abs,
    "ceil": np.ceil,
    "copysign": np.copysign,
    "floor": np.floor,
    "floor_divide": np.floor_divide,
    "fmod": np.fmod,
    "maximum": maximum,
    "minimum": minimum,
    "nextafter": np.nextafter,
    "quotient": np.divide,
    "remainder": np.remainder,
    "round": np.rint,
    "sign": np.sign,
    "sqrt": np.sqrt,
    "trunc": np.trunc,
}

# units in the last place, of WGSL, where quotients are not the nearest numbers
COARSE: Final = {"floor_divide": 1, "quotient": 2.5, "sqrt": 2.5}


@pytest.mark.parametrize("name", EXACT)
def test_exact(mapped, name):
    fun = EXACT[name]
    args = (numbers(),) if getattr(fun, "nin", 2) == 1 else pairs()
    found = worst(mapped, name, fun, args)
    assert found[0] <= COARSE.get(name, 0) * mapped.coarse, found


@pytest.mark.parametrize("name", ["floor_divide", "fmod", "remainder"])
@pytest.mark.parametrize("times", [1, 2, 3, 1e3, 2.0**23, 2.0**24, 2.0**30])
def test_exact_next_to_multiples(mapped, name, times):
    y = numbers()
    rng = np.random.default_rng(2)
    x = (y * np.float32(times)).view(np.int32) + rng.integers(-2, 3, y.size, np.int32)
    args = (x.view(np.float32), y * rng.choice(np.float32([-1, 1]), y.size))
    found = worst(mapped, name, EXACT[name], args)
    assert found[0] <= COARSE.get(name, 0) * mapped.coarse, found


@pytest.mark.parametrize("name", ["isfinite", "isinf", "isnan", "signbit"])
def test_kinds(mapped, name):
    x = numbers()
    out = mapped(f"v_{name}", x, dtype=np.uint32)
    np.testing.assert_array_equal(out, getattr(np, name)(x))


COMPARISONS: Final = {
    "eq": np.equal,
    "ge": np.greater_equal,
    "gt": np.greater,
    "le": np.less_equal,
    "lt": np.less,
    "ne": np.not_equal,
}


@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons(mapped, name):
    x, y = pairs()
    y[::3] = x[::3]
    out = mapped(f"v_{name}", x, y, dtype=np.uint32)
    np.testing.assert_array_equal(out, COMPARISONS[name](x, y))


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_angles_next_to_multiples_of_a_right_angle(mapped, name):
    # of the floats of each binade those next to them, by continued fractions
    x = np.asarray([*closest_angles()], np.float32)
    with mpmath.workdps(80):
        fun = getattr(mpmath, name)
        wanted = np.asarray([float(fun(mpmath.mpf(float(v)))) for v in x])
    found = errors(mapped(f"v_{name}", x), wanted)
    assert found.max() <= bound(mapped, name), x[found.argmax()]


def closest_angles():
    """Of each binade floats close to a multiple of ½ π.

    Their digits are multiples of denominators of convergents of 2ᵉ / (½ π).
    """
    with mpmath.workdps(80):
        for exponent in range(-23, 105):
            ratio = mpmath.ldexp(1, exponent) * 2 / mpmath.pi
            for q in denominators(ratio):
                times = np.arange(-(-(2**23) // q), (2**24 - 1) // q + 1)[:3]
                yield from (float(q * int(n)) * 2.0**exponent for n in times)


def denominators(x):
    """Denominators below 2²⁴ of the continued fraction of a number."""
    last, q = 0, 1
    while q < 2**24:
        yield q
        x = 1 / (x - mpmath.floor(x))
        last, q = q, int(mpmath.floor(x)) * q + last


# Integers -----------------------------------------------------------------------------------------


def integers(dtype):
    """Each special number beside each, and random ones beside others, of all sizes."""
    rng = np.random.default_rng(3)
    info = np.iinfo(dtype)
    found = [info.min, info.min + 1, info.max, info.max - 1, 0, 1, 2, 3, 7, 31, 32, 33, 63, 64, 255]
    found += [-v for v in found[4:]] if info.min else []
    found = np.asarray(found, dtype)
    first, second = (a.ravel() for a in np.meshgrid(found, found))
    x, y = (
        rng.integers(info.min, info.max, 50_000, dtype, endpoint=True)
        >> rng.integers(0, 31, 50_000).astype(dtype)
        for _ in range(2)
    )
    return np.concatenate([first, x]), np.concatenate([second, y])


INTEGERS: Final = {
    "floor_divide": np.floor_divide,
    "remainder": np.remainder,
    "shift_left": np.left_shift,
    "shift_right": np.right_shift,
}


@pytest.mark.parametrize("dtype", ["int32", "uint32"])
@pytest.mark.parametrize("name", INTEGERS)
def test_integers(mapped, name, dtype):
    x, y = integers(dtype)
    out = mapped(f"v_{name}_{'i' if dtype == 'int32' else 'u'}32", x, y)
    np.testing.assert_array_equal(out, INTEGERS[name](x, y))


def test_size_of_integers(mapped):
    x, _ = integers("int32")
    np.testing.assert_array_equal(mapped("v_abs_i32", x), np.abs(x))


@pytest.mark.parametrize(("name", "dtype"), [("v_to_i32", "int32"), ("v_to_u32", "uint32")])
def test_conversions(mapped, name, dtype):
    x = numbers()
    info = np.iinfo(dtype)
    out = mapped(name, x, dtype=dtype)
    # negative ones wrap
    wanted = np.clip(np.nan_to_num(x.astype(np.float64), nan=0.0), -(2.0**31), info.max)
    np.testing.assert_array_equal(out, wanted.astype(np.int64).astype(dtype))


# The text -----------------------------------------------------------------------------------------

# what is exact or rounded once on every driver, and takes or gives no NaN where it counts
ALLOWED: Final = {
    *("bitcast", "select", "f16", "f32", "i32", "u32", "u64", "vec2", "vec3", "vec4"),
    *("clamp", "max", "min", "ceil", "countLeadingZeros", "floor", "round", "sqrt", "trunc"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_follows_what_it_calls(name):
    declared = set()
    for line in prelude([name]).splitlines():
        found = re.match(r"fn (v_\w+)|var<private> (v_zero)", line)
        if found:
            declared.add(found[1] or found[2])
        assert {*re.findall(r"\bv_\w+", line)} <= declared
    assert name in declared


def test_no_more_than_is_called():
    assert "v_exp" not in prelude(["v_log"])
    assert prelude(["v_size", "v_size"]).count("fn ") == 1
    assert "v_zero" not in prelude(["v_isnan"])


def test_unknown_name():
    with pytest.raises(KeyError, match="there must be a function of each name; got 'v_nothing'"):
        prelude(["v_exp", "v_nothing"])


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_nothing_is_built_in_that_is_not_exact(function):
    called = re.findall(r"\b(?!v_)([A-Za-z]\w*)(?:<\w+>)?\(", function.text)
    assert {*called} <= ALLOWED
