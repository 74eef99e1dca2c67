"""Special functions: portable kernels against mpmath and SciPy, and their place in namespaces."""

import functools
import importlib
import os
import subprocess
import sys

import ml_dtypes
import mpmath
import numpy as np
import pytest
from strategies import MODES, assert_same, library, quiet, under

import volta
import volta.functional as F
from volta.core.dispatch import library_for
from volta.core.primitive import REGISTRY
from volta.functional import special

scipy_special = pytest.importorskip("scipy.special")

LIBRARIES = ("numpy", "array_api_strict", "torch")
SPECIAL_POINTS = np.asarray([0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, np.inf, -np.inf, np.nan])


def portable(name, *args, xp=np):
    """What the portable kernel computes, whatever library has a function of the name."""
    return REGISTRY[NAMES.get(name, name)].value(xp, *args)


NAMES = {"zeta": "_hurwitz"}


def spread(low, high, count=60):
    return np.random.default_rng(0).uniform(low, high, count)


def exponents(low, high, count=60):
    return 10 ** spread(low, high, count)


def scaled(x):
    return mpmath.exp(x * x) * mpmath.erfc(x)


def normal(x):
    return mpmath.erfc(-x / mpmath.sqrt(2)) / 2


def log_beta(a, b):
    return mpmath.loggamma(a) + mpmath.loggamma(b) - mpmath.loggamma(a + b)


POSITIVE = np.concatenate([exponents(-20, 0), spread(0.5, 40), [24.9, 25.0, 25.1, 600.0]])


@functools.cache
def besselk(order, x):
    return mpmath.besselk(order, x)


def power(x, exponent):
    return mpmath.expm1(exponent * mpmath.log(x)) / exponent


# name: function of mpmath, points where it is well conditioned, ulps
UNARY = {
    "digamma": (mpmath.digamma, np.concatenate([spread(0.01, 1.2), exponents(0.3, 6)]), 20),
    "entr": (lambda x: -x * mpmath.log(x), exponents(-20, -1), 4),
    "erf": (mpmath.erf, np.concatenate([spread(-4, 4), exponents(-20, 0)]), 4),
    "erfc": (mpmath.erfc, np.concatenate([spread(-4, 25), exponents(-20, 0)]), 4),
    "erfcinv": (lambda q: mpmath.erfinv(1 - q), np.append(exponents(-90, -1), spread(0, 0.8)), 4),
    "erfcx": (scaled, spread(-5, 30), 4),
    "erfinv": (mpmath.erfinv, np.append(spread(-0.99, 0.99), exponents(-20, -1)), 4),
    "exp1": (mpmath.e1, np.append(exponents(-12, 0), spread(0.5, 60)), 8),
    "expi": (
        mpmath.ei,
        np.concatenate([spread(-60, -0.1), spread(0.8, 80), [39.0, 39.9, 40.0, 41.0]]),
        12,
    ),
    "gamma": (mpmath.gamma, np.append(spread(0, 20), exponents(-10, 0)), 6),
    "gammaln": (mpmath.loggamma, np.append(spread(2.1, 20), exponents(1, 8)), 4),
    "i0": (lambda x: mpmath.besseli(0, x), np.append(spread(-60, 60), exponents(-8, 0)), 6),
    "i0e": (
        lambda x: mpmath.besseli(0, x) * mpmath.exp(-abs(x)),
        np.append(spread(-60, 60), exponents(-8, 2.5)),
        6,
    ),
    "i1": (lambda x: mpmath.besseli(1, x), np.append(spread(-60, 60), exponents(-8, 0)), 6),
    "i1e": (
        lambda x: mpmath.besseli(1, x) * mpmath.exp(-abs(x)),
        np.append(spread(-60, 60), exponents(-8, 2.5)),
        6,
    ),
    "j0": (lambda x: mpmath.besselj(0, x), spread(-1.5, 1.5), 4),
    "j1": (lambda x: mpmath.besselj(1, x), np.append(spread(-1.5, 1.5), exponents(-8, 0)), 6),
    "k0": (lambda x: besselk(0, x), POSITIVE, 6),
    "k0e": (lambda x: besselk(0, x) * mpmath.exp(x), POSITIVE, 6),
    "k1": (lambda x: besselk(1, x), POSITIVE, 6),
    "k1e": (lambda x: besselk(1, x) * mpmath.exp(x), POSITIVE, 6),
    "log_expit": (lambda x: -mpmath.log(1 + mpmath.exp(-x)), spread(-40, 30), 4),
    "log_ndtr": (lambda x: mpmath.log(normal(x)), spread(-35, 8), 4),
    "logit": (lambda p: mpmath.log(p / (1 - p)), np.append(spread(0, 0.9), exponents(-20, -1)), 4),
    "ndtr": (normal, spread(-37, 8), 4),
    "ndtri": (
        lambda p: -mpmath.sqrt(2) * mpmath.erfinv(1 - 2 * p),
        np.append(exponents(-90, -1), spread(0, 0.4)),
        4,
    ),
    "ndtri_exp": (
        lambda y: -mpmath.sqrt(2) * mpmath.erfinv(1 - 2 * mpmath.exp(y)),
        np.concatenate([spread(-200, -1), spread(-0.5, 0), -exponents(-20, -1)]),
        6,
    ),
    "sinc": (
        lambda x: mpmath.sincpi(x),
        np.asarray([1e-9, 0.3, 0.7, 1.4, 2.5, 20.25, 0.5, 9.4]),
        4,
    ),
    "exprel": (
        lambda x: mpmath.expm1(x) / x,
        np.append(spread(-30, 30), exponents(-20, 0)),
        4,
    ),
    "spence": (
        lambda x: mpmath.re(mpmath.polylog(2, 1 - x)),
        np.concatenate([spread(0.01, 0.9), spread(1.1, 30), exponents(-20, -1)]),
        8,
    ),
    "y0": (lambda x: mpmath.bessely(0, x), np.append(exponents(-20, 0), spread(0, 0.7)), 6),
    "y1": (lambda x: mpmath.bessely(1, x), np.append(exponents(-20, 0), spread(0, 1.8)), 6),
}
BINARY = {
    "beta": (mpmath.beta, exponents(-3, 0.9), exponents(-3, 0.9)[::-1], 20),
    "betaln": (log_beta, exponents(1, 5), exponents(1, 5)[::-1], 8),
    "boxcox": (power, exponents(-3, 3), spread(-2, 2)[::-1], 32),
    "boxcox1p": (lambda x, k: power(1 + x, k), exponents(-20, 3), spread(-2, 2)[::-1], 32),
    "kl_div": (lambda x, y: x * mpmath.log(x / y) - x + y, spread(0, 1), spread(3, 9), 8),
    "rel_entr": (lambda x, y: x * mpmath.log(x / y), spread(0, 1), spread(3, 9), 4),
    "xlog1py": (lambda x, y: x * mpmath.log1p(y), spread(-2, 2), exponents(-20, 3), 4),
    "xlogy": (lambda x, y: x * mpmath.log(y), spread(-2, 2), exponents(2, 20), 4),
    "zeta": (mpmath.zeta, spread(1.1, 12), spread(0.05, 30)[::-1], 4),
}


def lower_gamma(a, x):
    return mpmath.gammainc(a, 0, x, regularized=True)


def upper_gamma(a, x):
    return mpmath.gammainc(a, x, mpmath.inf, regularized=True)


def lower_beta(a, b, x):
    return mpmath.betainc(a, b, 0, x, regularized=True)


def upper_beta(a, b, x):
    return mpmath.betainc(a, b, x, 1, regularized=True)


SHAPES = exponents(-1, 3, 40)
AROUND = SHAPES * (1 + spread(-0.9, 2, 40)[::-1] / np.sqrt(1 + SHAPES))
SIDES = (exponents(-1, 1.5, 40), exponents(-1, 1.5, 40)[::-1])
ACROSS = np.clip(SIDES[0] / (SIDES[0] + SIDES[1]) * (1 + spread(-0.4, 0.4, 40)), 0.01, 0.99)
INCOMPLETE = {
    "betainc": (lower_beta, (*SIDES, ACROSS), 60),
    "betaincc": (upper_beta, (*SIDES, ACROSS), 60),
    "gammainc": (lower_gamma, (SHAPES, AROUND), 16),
    "gammaincc": (upper_gamma, (SHAPES, AROUND), 16),
}


def student(df, t):
    tail = lower_beta(df / 2, mpmath.mpf(1) / 2, df / (df + t * t)) / 2
    return tail if t < 0 else 1 - tail


def inverse(name, fun):
    """Inverse of a function of mpmath in its last operand, next to where SciPy has it."""

    def found(*args):
        *shapes, y = args
        near = float(getattr(scipy_special, name)(*map(float, args)))
        with mpmath.workdps(50):
            return near * mpmath.findroot(lambda r: fun(*shapes, near * r) / y - 1, (1, 1 - 1e-9))

    return found


MASSES = np.append(spread(0.01, 0.99, 25), exponents(-30, -2, 15))
INVERSES = {
    "betaincinv": (lower_beta, (*SIDES, MASSES), 100),
    "betainccinv": (upper_beta, (*np.maximum(SIDES, 0.5), spread(0.02, 0.98, 40)), 100),
    "gammaincinv": (lower_gamma, (SHAPES, MASSES), 40),
    "gammainccinv": (upper_gamma, (SHAPES, MASSES), 40),
    "stdtrit": (student, (SHAPES, MASSES / 2.1), 100),
}
EXACT = {n: (f, (x,), u) for n, (f, x, u) in UNARY.items()}
EXACT |= {n: (f, (x, y), u) for n, (f, x, y, u) in BINARY.items()}
EXACT |= INCOMPLETE
EXACT |= {n: (inverse(n, f), args, ulps) for n, (f, args, ulps) in INVERSES.items()}


# Digits to compute with, for functions whose formulas above cancel none and that are slow in many
DIGITS = dict.fromkeys(("k0", "k0e", "k1", "k1e", "y0", "y1", "zeta"), 40)
DIGITS |= dict.fromkeys(("betainc", "betaincc"), 60)


def exact(fun, args, digits=220):
    """Values of a function of mpmath, rounded once."""
    with mpmath.workdps(digits):
        points = zip(*(map(float, a) for a in args), strict=True)
        return np.asarray([float(fun(*map(mpmath.mpf, p))) for p in points])


@pytest.mark.parametrize("name", EXACT)
def test_portable_kernels_are_exact_to_some_ulps(name):
    fun, args, ulps = EXACT[name]
    expected = exact(fun, args, DIGITS.get(name, 220))
    np.testing.assert_array_max_ulp(portable(name, *args), expected, ulps)


@pytest.mark.parametrize("lib", ["array_api_strict", "torch"])
@pytest.mark.parametrize("name", EXACT)
def test_portable_kernels_run_on_every_library(name, lib):
    lib = library(lib)
    _, args, _ = EXACT[name]
    out = portable(name, *map(lib.asarray, args), xp=library_for(lib.xp).xp)
    assert_same(out, portable(name, *args), lib, ulps=64)


@pytest.mark.parametrize("name", EXACT)
def test_portable_kernels_in_other_precisions(name):
    _, args, ulps = EXACT[name]
    args = tuple(np.clip(a, 1e-3, 20) if name not in ("erfcx", "erfinv") else a for a in args)
    for dtype, some in ((np.float32, 4 * ulps), (ml_dtypes.bfloat16, 1), (np.float16, 1)):
        narrow = [a.astype(dtype) for a in args]
        with quiet():
            out = portable(name, *narrow)
            expected = portable(name, *(a.astype(np.float64) for a in narrow))
            assert out.dtype == dtype
            eps = float(ml_dtypes.finfo(dtype).eps)
            np.testing.assert_allclose(
                out.astype(np.float64),
                expected.astype(dtype).astype(np.float64),
                rtol=some * eps,
                atol=8 * eps if some > 1 else float(ml_dtypes.finfo(dtype).smallest_normal),
            )


# where SciPy gives something else, and why
UNLIKE_SCIPY = {
    "gammaln": (-np.inf, "the limit of |Γ| does not exist; torch and JAX have ∞ too"),
    "i0": (np.inf, "the limits at both ends"),
    "i1": (np.inf, "the limits at both ends"),
    "j0": (np.inf, "0, the limit at both ends"),
    "j1": (np.inf, "0, the limit at both ends"),
    "sinc": (np.inf, "0, the limit at both ends"),
    "spence": (np.inf, "−∞, the limit"),
    "y0": (np.inf, "0, the limit"),
    "y1": (np.inf, "0, the limit"),
}


@pytest.mark.parametrize("name", UNARY)
def test_special_values_are_scipys(name):
    points = SPECIAL_POINTS
    if name in UNLIKE_SCIPY:
        points = points[np.abs(points) != abs(UNLIKE_SCIPY[name][0])]
    with quiet():
        np.testing.assert_allclose(
            portable(name, points), getattr(scipy_special, name)(points), rtol=1e-13, atol=1e-16
        )


@pytest.mark.parametrize("name", ["xlogy", "xlog1py", "rel_entr", "kl_div"])
def test_special_values_of_two_operands_are_scipys(name):
    first = SPECIAL_POINTS[:8] if name == "kl_div" else SPECIAL_POINTS  # ∞ there, SciPy has NaN
    args = [a.ravel() for a in np.meshgrid(first, SPECIAL_POINTS)]
    with quiet():
        np.testing.assert_allclose(
            portable(name, *args), getattr(scipy_special, name)(*args), rtol=1e-13
        )


@pytest.mark.parametrize("name", ["gammainc", "gammaincc"])
def test_ends_of_the_incomplete_gamma_functions_are_scipys(name):
    ends = np.asarray([0.0, 1.0, -1.0, 2.5, np.inf, np.nan])
    args = [a.ravel() for a in np.meshgrid(ends, ends)]
    with quiet():
        np.testing.assert_allclose(
            portable(name, *args), getattr(scipy_special, name)(*args), rtol=1e-13
        )


@pytest.mark.parametrize("name", ["betainc", "betaincc"])
def test_ends_of_the_incomplete_beta_functions_are_scipys(name):
    shapes, ends = np.asarray([0.0, 1.0, -1.0, 2.5, np.inf, np.nan]), np.asarray([0, 0.5, 1, 2, -1])
    args = [a.ravel() for a in np.meshgrid(shapes, shapes, ends)]
    with quiet():
        np.testing.assert_allclose(
            portable(name, *args), getattr(scipy_special, name)(*args), rtol=1e-13
        )


@pytest.mark.parametrize("order", [0, 1])
def test_bessel_functions_on_both_sides_of_the_limit(order):
    x = np.concatenate([spread(-80, 80), [24.9, 25.0, 25.1]])
    for kind, found, points in (("j", mpmath.besselj, x), ("y", mpmath.bessely, np.abs(x))):
        out = portable(f"{kind}{order}", points)
        expected = exact(lambda v, f=found: f(order, v), (points,), 40)
        np.testing.assert_allclose(out, expected, rtol=0, atol=3e-15)


def test_derivatives_of_bessel_functions_at_zero():
    for name, expected in {"i1": (0.5, 0.0, 3 / 8), "j1": (0.5, 0.0, -3 / 8)}.items():
        fun = getattr(special, name)
        for value in expected:
            fun = volta.grad(lambda x, f=fun: F.sum(f(x)))
            np.testing.assert_allclose(fun(np.asarray([0.0])), [value], atol=1e-14)


# name: arguments
DISTRIBUTIONS = {
    "bdtri": ([0.0, 2.0, 4.0], 5, [0.1, 0.4, 0.9]),
    "chdtri": ([1.0, 4.0, 9.0], [0.5, 1e-30, 0.99]),
    "fdtri": ([1.0, 4.0, 9.0], 7.0, [0.5, 1e-3, 0.99]),
    "gdtrix": ([1.0, 4.0, 0.3], 2.5, [0.5, 1e-3, 0.99]),
    "nbdtri": ([0.0, 2.0, 5.0], 3, [0.1, 0.4, 0.9]),
    "pdtri": ([0.0, 2.0, 7.0], [0.5, 0.01, 0.9]),
    "bdtr": ([0.0, 2.5, 5.0], 5, [0.1, 0.4, 0.9]),
    "bdtrc": ([0.0, 2.5, 5.0], 5, [0.1, 0.4, 0.9]),
    "chdtr": ([1.0, 4.0, 9.0], [0.5, 0.0, 12.0]),
    "chdtrc": ([1.0, 4.0, 9.0], [0.5, -1.0, 12.0]),
    "fdtr": ([1.0, 4.0, 9.0], 7.0, [0.5, 0.0, 12.0]),
    "fdtrc": ([1.0, 4.0, 9.0], 7.0, [0.5, 0.0, 12.0]),
    "gdtr": ([1.0, 4.0, 0.3], 2.5, [0.5, 0.0, 12.0]),
    "gdtrc": ([1.0, 4.0, 0.3], 2.5, [0.5, 0.0, 12.0]),
    "nbdtr": ([0.0, 2.0, 5.0], 3, [0.1, 0.4, 0.9]),
    "nbdtrc": ([0.0, 2.0, 5.0], 3, [0.1, 0.4, 0.9]),
    "pdtr": ([0.0, 2.5, 7.0], [0.5, 3.0, 4.0]),
    "pdtrc": ([0.0, 2.5, 7.0], [0.5, 3.0, 4.0]),
    "stdtr": ([0.5, 3.0, 40.0, 1e6], [-2.0, 0.0, 1.5, -9.0]),
    "stdtrit": ([0.5, 3.0, 40.0, 1e6, 1e12, np.inf], [0.1, 0.5, 0.7, 1e-20, 0.9, 0.2]),
}


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distribution_functions_are_scipys(name, lib):
    lib = library(lib)
    args = [np.asarray(a) if isinstance(a, list) else a for a in DISTRIBUTIONS[name]]
    theirs = [lib.asarray(a) if isinstance(a, np.ndarray) else a for a in args]
    out = lib.host(getattr(special, name)(*theirs))
    np.testing.assert_allclose(out, getattr(scipy_special, name)(*args), rtol=1e-12)


def test_derivatives_of_students_distribution_in_the_middle():
    df, t = np.asarray([2.0]), np.asarray([0.0])
    slopes = volta.grad(lambda df, t: F.sum(special.stdtr(df, t)), (0, 1))(df, t)
    np.testing.assert_allclose(np.concatenate(slopes), [0.0, 1 / np.sqrt(8)], rtol=1e-14)


def test_ends_of_the_transformations_of_box_and_cox():
    x, exponent = np.meshgrid([0.0, 1.0, -1.0, 2.5, np.inf, np.nan], [-2.0, 0.0, 0.5, np.nan])
    for name in ("boxcox", "boxcox1p"):
        with quiet():
            expected = getattr(scipy_special, name)(x, exponent)
            np.testing.assert_allclose(portable(name, x, exponent), expected, rtol=1e-13)


def test_derivatives_where_a_series_is_cut():
    x = np.asarray([0.999999, 1.0 + 1e-9])  # log(x)/(1 − x), to second order
    slope = volta.grad(lambda x: F.sum(special.spence(x)))
    np.testing.assert_allclose(slope(x), -1 + (x - 1) / 2, rtol=1e-12)
    second = volta.grad(lambda x: F.sum(slope(x)))(x)
    np.testing.assert_allclose(second, 0.5 - 2 * (x - 1) / 3, rtol=1e-11)
    x, zero = np.asarray([2.0, 7.0]), np.asarray([0.0, 0.0])
    slope = volta.grad(lambda x, k: F.sum(special.boxcox(x, k)), 1)
    np.testing.assert_allclose(slope(x, zero), np.log(x) ** 2 / 2, rtol=1e-14)
    second = volta.grad(lambda x, k: F.sum(slope(x, k)), 1)(x, zero)
    np.testing.assert_allclose(second, np.log(x) ** 3 / 3, rtol=1e-14)
    ends = volta.grad(lambda x: F.sum(special.exprel(x[:1]) + special.exprel(x[1:])))
    got = ends(np.asarray([-1e6, 3.0]))
    np.testing.assert_allclose(got, [1e-12, (2 * np.exp(3.0) + 1) / 9], rtol=1e-11)


def test_zeta_outside_of_its_domain():
    x, q = (
        np.asarray([1.0, 0.5, 2.0, 2.0, np.inf, 2.0]),
        np.asarray([2.0, 2.0, 0.0, -0.5, 2.0, 1e200]),
    )
    np.testing.assert_allclose(
        portable("zeta", x, q), [np.inf, np.nan, np.inf, np.nan, 0.0, 1e-200]
    )


# Functions ----------------------------------------------------------------------------------------


# Quantiles search for seconds, step by step in the library; here gammaincinv does it for all.
SEARCHES = {"betaincinv", "betainccinv", "gammainccinv", "stdtrit"}
SEARCHES |= {"bdtri", "fdtri", "gdtrix", "nbdtri"}


def each(names, libs, slow):
    """Every name with every library; longer sweeps are those that search in the library `slow`."""
    for name in names:
        for lib in libs:
            marks = [pytest.mark.slow] if lib == slow and name in SEARCHES else []
            yield pytest.param(name, lib, marks=marks)


@pytest.mark.parametrize(("name", "lib"), [*each(EXACT, LIBRARIES, "array_api_strict")])
def test_functions_agree_under_every_transform(name, lib):
    lib = library(lib)
    _, args, _ = EXACT[name]
    args = tuple(lib.asarray(np.clip(a, 0.2, 0.8).reshape(-1, 4)) for a in args)
    fun = getattr(special, name)
    out = fun(*args)
    np.testing.assert_allclose(
        lib.host(out), getattr(scipy_special, name)(*map(lib.host, args)), rtol=1e-12
    )
    for mode in MODES:
        (traced,) = under(mode, fun, args)
        assert_same(traced, out, lib)


@pytest.mark.parametrize("name", EXACT)
def test_without_scipy_numpy_has_the_portable_kernel(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    primitive = REGISTRY[NAMES.get(name, name)]
    monkeypatch.setattr(primitive, "kernels", {})
    _, args, _ = EXACT[name]
    np.testing.assert_array_equal(primitive.evaluate(args, {}), portable(name, *args))


@pytest.mark.parametrize(
    "name", ["betaincinv", "erf", "gammainc", "gammaincinv", "stdtrit", "zeta"]
)
def test_dask_computes_block_by_block(name):
    dask = pytest.importorskip("dask.array")
    _, args, _ = EXACT[name]
    args = [np.clip(a, 0.2, 0.8)[:24].reshape(6, 4) for a in args]
    args[0] = args[0][0] + 1
    chunks = ((4,), *[(3, 2)] * (len(args) - 1))
    lazy = [dask.from_array(a, chunks=c) for a, c in zip(args, chunks, strict=True)]
    lazy = lazy if len(lazy) > 1 else [dask.from_array(args[0], chunks=(2,))]
    fun = getattr(special, name)
    out = fun(*lazy)
    assert type(out) is dask.Array
    assert len(dict(out.dask)) < 1000
    np.testing.assert_allclose(out.compute(), fun(*args), rtol=1e-12)
    grads = volta.grad(lambda *v: F.sum(fun(*v)), tuple(range(len(args))))
    for got, wanted in zip(grads(*lazy), grads(*args), strict=True):
        assert type(got) is dask.Array
        np.testing.assert_allclose(got.compute(), wanted, rtol=1e-11)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("name", ["erf", "gammaln", "xlogy", "betaln"])
def test_the_dtype_is_kept(name, dtype):
    dtype = np.dtype(getattr(ml_dtypes, dtype, dtype))
    x = np.asarray([0.3, 0.6]).astype(dtype)
    args = (x,) if name in UNARY else (x, 0.5)
    assert getattr(special, name)(*args).dtype == dtype
    grad = volta.grad(lambda *args: F.sum(getattr(special, name)(*args)))(*args)
    assert grad.dtype == dtype


@pytest.mark.parametrize("lib", LIBRARIES)
def test_scalars_and_mixed_dtypes(lib):
    lib = library(lib)
    x = lib.asarray(np.asarray([0.5, 2.0], dtype=np.float32))
    assert_same(special.betaln(x, 2.0), special.betaln(x, x * 0 + 2.0), lib)
    wide = lib.asarray(np.asarray([1.5, 3.0]))
    assert str(special.beta(x, wide).dtype).endswith("float64")


@pytest.mark.parametrize("lib", LIBRARIES)
def test_polygamma_is_the_derivative_of_the_one_before(lib):
    lib = library(lib)
    x = np.asarray([0.3, 1.7, 9.0, -0.4, -2.3])
    for n in range(4):
        out = lib.host(special.polygamma(n, lib.asarray(x)))
        expected = exact(lambda v, n=n: mpmath.psi(n, v), (x,))
        np.testing.assert_allclose(out, expected, rtol=1e-12)
    slope = volta.grad(lambda x: F.sum(special.polygamma(1, x)))(x)
    np.testing.assert_allclose(slope, exact(lambda v: mpmath.psi(2, v), (x,)), rtol=1e-11)


def test_multigammaln():
    a = np.asarray([2.5, 7.0])
    for d in (1, 2, 4):
        expected = scipy_special.multigammaln(a, d)
        np.testing.assert_allclose(special.multigammaln(a, d), expected, rtol=1e-14)


def test_derivatives_in_the_tails():
    x = np.asarray([-1e8, -1e3, -30.0])
    slope = volta.grad(lambda x: F.sum(special.log_ndtr(x)))
    np.testing.assert_allclose(slope(x), -x + [0, 1e-3, 1 / 30 - 2 / 27000], rtol=1e-7)
    second = volta.grad(lambda x: F.sum(slope(x)))(x)
    np.testing.assert_allclose(second, [-1, -1, -0.998896228488], rtol=2e-6)
    far = np.asarray([15.0, 1e5])
    expected = exact(lambda v: 2 * v * scaled(v) - 2 / mpmath.sqrt(mpmath.pi), (far[:1],))
    got = volta.grad(lambda x: F.sum(special.erfcx(x)))(far)
    np.testing.assert_allclose(got, [expected[0], -1e-10 / np.sqrt(np.pi)], rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
def test_slope_of_the_scaled_complement_where_its_terms_cancel(dtype):
    x = np.linspace(1, 20, 200).astype(dtype)
    expected = exact(lambda v: 2 * v * scaled(v) - 2 / mpmath.sqrt(mpmath.pi), (x.astype(float),))
    got = volta.grad(lambda x: F.sum(special.erfcx(x)))(x).astype(float)
    np.testing.assert_allclose(got, expected, rtol=200 * float(ml_dtypes.finfo(dtype).eps))


def derivative(fun, orders, args):
    """Derivative by mpmath, of some order in each of the first operands."""

    def at(*point):
        fixed = point[len(orders) :]
        return mpmath.diff(lambda *v: fun(*v, *fixed), point[: len(orders)], orders)

    with mpmath.workdps(40):
        points = zip(*(map(float, a) for a in args), strict=True)
        return np.asarray([float(at(*map(mpmath.mpf, p))) for p in points])


TAILS = (
    np.asarray([0.02, 0.7, 3.0, 3.0, 200.0, 200.0]),
    np.asarray([1e-4, 2.0, 0.01, 30.0, 120.0, 300.0]),
)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_shape_derivatives_of_the_incomplete_gamma_function(order):
    slope = special.gammainc
    for _ in range(order):
        slope = volta.grad(lambda a, x, f=slope: F.sum(f(a, x)))
    expected = derivative(lower_gamma, (order,), TAILS)
    np.testing.assert_allclose(slope(*TAILS), expected, rtol=1e-9)


@pytest.mark.parametrize("orders", [(1, 0), (0, 1), (1, 1), (2, 0), (0, 2)])
def test_shape_derivatives_of_the_incomplete_beta_function(orders):
    args = tuple(np.asarray(v) for v in ([0.3, 2.0, 40.0], [0.4, 5.0, 60.0], [0.1, 0.9, 0.35]))
    slope = special.betainc
    for n, order in enumerate(orders):
        for _ in range(order):
            slope = volta.grad(lambda a, b, x, f=slope: F.sum(f(a, b, x)), n)
    np.testing.assert_allclose(slope(*args), derivative(lower_beta, orders, args), rtol=1e-9)


@pytest.mark.parametrize("a", [1e-8, 1e-3, 0.1])
def test_the_upper_incomplete_gamma_function_of_a_shape_next_to_zero(a):
    x = np.asarray([1e-60, 1e-20, 1e-7, 0.01, 0.2])
    args = np.full_like(x, a), x
    np.testing.assert_allclose(portable("gammaincc", *args), exact(upper_gamma, args), rtol=2e-15)
    slope = volta.grad(lambda a, x: F.sum(special.gammainc(a, x)))(*args)
    np.testing.assert_allclose(slope, derivative(lower_gamma, (1,), args), rtol=1e-13)


ENDS = np.asarray([0.0, 1.0, -1.0, 2.5, np.nan])
WANTED = np.asarray([0.0, 0.3, 1.0, -1.0, 2.0, np.inf, np.nan])


@pytest.mark.parametrize("name", ["gammaincinv", "gammainccinv", "betaincinv", "betainccinv"])
def test_ends_of_the_quantiles_are_scipys(name):
    shapes = (ENDS, ENDS) if name.startswith("beta") else (np.append(ENDS, np.inf),)
    args = [a.ravel() for a in np.meshgrid(*shapes, WANTED)]
    with quiet():
        expected = getattr(scipy_special, name)(*args)
        np.testing.assert_allclose(portable(name, *args), expected, rtol=1e-13)


def test_ends_of_students_quantiles():
    df = np.asarray([2.0, 2.0, 2.0, 2.0, 0.0, -1.0, np.nan, np.inf])
    p = np.asarray([0.0, 1.0, 0.5, 2.0, 0.3, 0.3, 0.3, 0.975])
    expected = [-np.inf, np.inf, 0, np.nan, np.nan, np.nan, np.nan, 1.959963984540054]
    for fun in (special.stdtrit, lambda *args: portable("stdtrit", *args)):
        np.testing.assert_allclose(fun(df, p), expected, rtol=1e-13)


FAR = {  # function: its operands but the last, and the masses
    "gammainc": ([0.006, 1.5, 188.0, 8.57e7, 3e5], [0.5, 1e-300, 1e-280, 1e-6, 0.6]),
    "gammaincc": ([0.05, 1.04, 188.0, 5e6, 7.8], [1e-90, 1e-185, 1e-300, 1e-9, 5e-307]),
    "betainc": (
        [1400.0, 0.6, 6.0, 4e4],
        [6e4, 0.03, 9e4, 0.96],
        [1e-200, 1e-28, 1e-17, 0.1],
    ),
}


@pytest.mark.parametrize("name", FAR)
def test_quantiles_far_from_the_middle(name):
    *shapes, mass = map(np.asarray, FAR[name])
    quantile = name + "inv"
    out = getattr(special, quantile)(*shapes, mass)
    np.testing.assert_allclose(portable(quantile, *shapes, mass), out, rtol=1e-13)
    np.testing.assert_allclose(getattr(special, name)(*shapes, out), mass, rtol=1e-11)


@pytest.mark.parametrize("name", ["gammaincinv", "gammainccinv", "betaincinv", "stdtrit"])
def test_derivatives_of_quantiles_at_the_ends_of_their_range(name):
    operands = (2.0, 3.0) if name == "betaincinv" else (2.0,)
    shapes = [np.full(2, a) for a in operands]
    y = np.asarray([0.0, 1.0])
    fun = getattr(special, name)
    grads = volta.vjp(fun, *shapes, y)[1](np.ones(2))
    for slope in grads[:-1]:
        np.testing.assert_array_equal(slope, [0.0, 0.0])
    sign = -1 if "cc" in name else 1
    np.testing.assert_array_equal(grads[-1], [sign * np.inf, sign * np.inf])


def test_mixed_derivatives_of_the_incomplete_functions_are_symmetric():
    a, x = TAILS[0][2:], TAILS[1][2:]

    def slope(fun, n):
        return volta.grad(lambda a, x: F.sum(fun(a, x)), n)

    one, other = (slope(slope(special.gammainc, n), 1 - n) for n in (0, 1))
    np.testing.assert_allclose(one(a, x), other(a, x), rtol=1e-12)


def test_derivatives_where_the_operands_are_zero():
    zero = np.asarray([0.0])
    for fun in (special.xlogy, special.rel_entr, special.kl_div):
        for n in (0, 1):
            grad = volta.grad(lambda *a, fun=fun: F.sum(fun(*a)), n)(zero, zero)
            assert np.isfinite(grad).all()
    third = special.sinc
    for expected in (0.0, -(np.pi**2) / 3, 0.0, np.pi**4 / 5):
        third = volta.grad(lambda x, fun=third: F.sum(fun(x)))
        np.testing.assert_allclose(third(zero), [expected], atol=1e-12)


# Namespaces ---------------------------------------------------------------------------------------


def test_the_namespace_of_a_tracer_has_the_extension():
    def erf(x):
        return F.sum(x.__array_namespace__().special.erf(x))

    x = np.asarray([0.3])
    expected = 2 / np.sqrt(np.pi) * np.exp(-(x**2))
    np.testing.assert_allclose(volta.grad(erf)(x), expected, rtol=1e-14)


THROUGH_SCIPY = """
import numpy as np, scipy.special, volta, volta.functional as F

a, x = np.asarray([1.5, 2.5]), np.asarray([0.3, 0.7])
arguments = {
    **dict.fromkeys(("erf", "ndtri", "logit", "psi", "i0e", "gammaln", "log_ndtr"), (x,)),
    **dict.fromkeys(("xlogy", "gammainc", "chdtr", "stdtr", "zeta", "rel_entr", "betaln"), (a, x)),
    **dict.fromkeys(("betainc", "fdtrc"), (a, a + 1, x)),
}
for name, args in arguments.items():
    everything = tuple(range(len(args)))
    through = volta.grad(lambda *v: F.sum(getattr(scipy.special, name)(*v)), everything)(*args)
    direct = volta.grad(lambda *v: F.sum(getattr(F.special, name)(*v)), everything)(*args)
    np.testing.assert_allclose(through, direct, rtol=1e-12, err_msg=name)
print("all agree")
"""


def test_scipy_finds_the_extension_and_differentiates():
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}  # which SciPy reads when it is imported
    run = subprocess.run(
        [sys.executable, "-c", THROUGH_SCIPY], capture_output=True, text=True, env=environment
    )
    assert run.stdout.split() == ["all", "agree"], run.stderr


def test_names_are_scipys():
    assert [n for n in special.__all__ if not hasattr(scipy_special, n)] == []


def test_importing_the_op_set_does_not_import_the_extension():
    assert importlib.import_module("volta.functional.special") is F.special
    with pytest.raises(AttributeError, match="has no attribute 'specials'"):
        _ = F.specials


# operands after the first of a family; numbers stand for all but one of them
PARAMETERS = {
    **dict.fromkeys(
        ("beta", "betaln", "boxcox", "boxcox1p", "kl_div", "rel_entr", "xlog1py", "xlogy"),
        (1.3, 0.4),
    ),
    **dict.fromkeys(("chdtr", "chdtrc", "gammainc", "gammaincc", "stdtr"), (2.4, 0.7)),
    **dict.fromkeys(("chdtri", "gammaincinv", "gammainccinv", "pdtri", "stdtrit"), (2.4, 0.7)),
    **dict.fromkeys(("betaincinv", "betainccinv", "fdtri", "gdtrix"), (1.3, 2.4, 0.4)),
    **dict.fromkeys(("bdtri", "nbdtri"), (1.3, 3.4, 0.4)),
    **dict.fromkeys(("pdtr", "pdtrc", "zeta"), (2.4, 1.7)),
    **dict.fromkeys(("betainc", "betaincc", "bdtr", "bdtrc", "nbdtr", "nbdtrc"), (1.3, 2.4, 0.4)),
    **dict.fromkeys(("fdtr", "fdtrc", "gdtr", "gdtrc"), (1.3, 2.4, 0.4)),
}


@pytest.mark.grad_check
@pytest.mark.parametrize(("name", "lib"), [*each(PARAMETERS, ["numpy", "torch"], "torch")])
def test_numbers_beside_arrays_do_not_decide_precision_or_library(name, lib):
    lib = library(lib)
    fun, point = getattr(special, name), PARAMETERS[name]
    for place in range(len(point)):
        x = np.asarray([0.0, 0.05]) + point[place]
        seed = lib.asarray(np.ones(2))

        def beside(x, of, place=place):
            return fun(*(x if i == place else of(v) for i, v in enumerate(point)))

        _, wanted = volta.jvp(lambda x: beside(x, np.asarray), (x,), (np.ones(2),))
        _, pushed = volta.jvp(lambda x: beside(x, float), (lib.asarray(x),), (seed,))
        (pulled,) = volta.vjp(lambda x: beside(x, float), lib.asarray(x))[1](seed)
        assert_same(pushed, wanted, lib, ulps=64)
        assert_same(pulled, wanted, lib, ulps=64)
