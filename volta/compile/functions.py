"""Functions of real scalars in terms of exact operations, for kernels.

Each takes a namespace of scalars (`kernel.Namespace`) and a float32 or float64 node. None branches,
so that they are vectors' code as they stand. Errors, in units in the last place, are asserted in
tests/compile/test_functions.py: at most 4 in float32 and 2 in float64, at denormals, infinities,
NaN and both zeros too.

The polynomials interpolate their functions at Chebyshev points. How arguments are reduced: W. J.
Cody and W. Waite, "Software manual for the elementary functions", 1980; logarithms: P. T. P. Tang,
"Table-driven implementation of the logarithm function", 1990, section 2, without the table.
"""

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from volta.core.types import DTYPES

__all__ = ["exp", "expm1", "log", "log1p", "tanh"]


class _Format(NamedTuple):
    """What depends on the format of floats."""

    digits: int  # of the significand, without the one that is not stored
    bias: int
    tiny: float  # the smallest normal number
    top: float  # whose exponential is infinite, and that of minus which is 0
    deep: float  # from minus which exp(x) − 1 is −1
    flat: float  # from which tanh is 1
    ln2: tuple[float, float]  # in two parts, the first with zeros at its end
    tail: tuple[float, ...]  # (eˣ − 1 − x) / x² where |x| ≤ ln 2 / 2
    series: tuple[float, ...]  # (log((1 + s) / (1 − s)) / s − 2) / s² in s², |s| ≤ 3 − 2 √2


_FORMATS: Final = {
    "float32": _Format(
        23,
        127,
        2.0**-126,
        106.0,
        20.0,
        10.0,
        (0.693115234375, 3.194618329871446e-05),
        (
            *(0.50000000134658092, 0.166666666816232314, 0.0416664649252859054),
            *(0.00833331092548090083, 0.00139336499963092504, 0.000198909908246736538),
        ),
        (0.666666665540420124, 0.400001222118106494, 0.285507786331919654, 0.233316144718434992),
    ),
    "float64": _Format(
        52,
        1023,
        2.0**-1022,
        750.0,
        50.0,
        22.0,
        (0.6931471803691238, 1.9082149292705877e-10),
        (
            *(0.5, 0.16666666666666671, 0.0416666666666666698, 0.00833333333332613513),
            *(0.00138888888888837483, 0.000198412698748206253, 0.0000248015873255477412),
            *(2.75572554002064244e-6, 2.75572736431102953e-7, 2.51052170047207452e-8),
            2.09146869680868772e-9,
        ),
        (
            *(0.666666666666666665, 0.400000000000008832, 0.28571428570799785),
            *(0.222222223925810451, 0.181817955475211362, 0.153862447376216666),
            *(0.132686383692668239, 0.130880348509275538),
        ),
    ),
}


def _horner(xp: Any, x: Any, coefficients: Sequence[float]) -> Any:
    """Polynomial whose first coefficient is the constant."""
    total = xp.constant_like(x, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        total = xp.fma(total, x, xp.constant_like(x, c))
    return total


def _reduced(xp: Any, x: Any, form: _Format) -> tuple[Any, Any, Any]:
    """``eʳ − 1`` for ``x = n log 2 + r``, ``|r| ≤ ½ log 2``, and n as a float and as bits.

    The integer is made by adding a number so large that the sum has no fraction.
    """
    shift = 1.5 * 2.0**form.digits
    sum_ = xp.fma(x, xp.constant_like(x, 1 / math.log(2)), xp.constant_like(x, shift))
    n = sum_ - shift
    high, low = (xp.constant_like(x, -part) for part in form.ln2)
    r = xp.fma(n, low, xp.fma(n, high, x))
    e = xp.fma(r * r, _horner(xp, r, form.tail), r)
    return e, n, _bits(xp, sum_) - _bits_of(xp, x, shift)


def _bits(xp: Any, x: Any) -> Any:
    return xp.bits(x, DTYPES["int32" if x.dtype.itemsize == 4 else "int64"])


def _bits_of(xp: Any, x: Any, value: float) -> Any:
    return _bits(xp, xp.constant_like(x, value))


def _power(xp: Any, n: Any, x: Any, form: _Format) -> Any:
    """``2ⁿ`` for an integer n that is the exponent of a normal number, in the dtype of `x`."""
    return xp.bits((n + form.bias) << form.digits, x.dtype)


def exp(xp: Any, x: Any) -> Any:
    """``eˣ``."""
    form = _FORMATS[x.dtype.name]
    x = xp.where(x > form.top, form.top, xp.where(x < -form.top, -form.top, x))
    e, n, _ = _reduced(xp, x, form)
    return xp.scale(1 + e, n)


def expm1(xp: Any, x: Any) -> Any:
    """``eˣ − 1``, also near 0."""
    form = _FORMATS[x.dtype.name]
    near = xp.where(x > form.top, form.top, xp.where(x < -form.deep, -form.deep, x))
    e, _, n = _reduced(xp, near, form)
    half = n >> 1
    other = _power(xp, n - half, x, form)
    # 2ⁿ e + (2ⁿ − 1), both of them by 2^(−half), as 2ⁿ may be infinite
    below = _power(xp, -half, x, form)
    out = xp.fma(e, other, other - below) * _power(xp, half, x, form)
    return xp.copysign(out, x)


def log(xp: Any, x: Any) -> Any:
    """Natural logarithm."""
    form = _FORMATS[x.dtype.name]
    small = x < form.tiny
    scaled = xp.where(small, x * 2.0 ** (form.digits + 2), x)
    k, f = _split(xp, scaled, form)
    k = k - xp.where(small, xp.constant_like(x, form.digits + 2.0), 0.0)
    return _of_domain(xp, x, _logarithm(xp, k, f, xp.constant_like(x, 0.0), form), x)


def log1p(xp: Any, x: Any) -> Any:
    """``log(1 + x)``, also near 0."""
    form = _FORMATS[x.dtype.name]
    u = 1 + x
    k, f = _split(xp, u, form)
    lost = xp.where(x > 1, 1 - (u - x), x - (u - 1))  # what u is without
    near = k == 0  # then there is no u
    correction = xp.where(near, xp.constant_like(x, 0.0), lost / u)
    out = _logarithm(xp, k, xp.where(near, x, f), correction, form)
    return xp.where(x == 0, x, _of_domain(xp, u, out, x))


def _split(xp: Any, x: Any, form: _Format) -> tuple[Any, Any]:
    """Of a positive normal ``x = 2ᵏ (1 + f)``, k and f, where ``√½ ≤ 1 + f < √2``."""
    root = _bits_of(xp, x, math.sqrt(0.5))
    one = _bits_of(xp, x, 1.0)
    bits = _bits(xp, x) + (one - root)
    k = (bits >> form.digits) - form.bias
    f = xp.bits((bits & (2**form.digits - 1)) + root, x.dtype) - 1
    return xp.astype(k, x.dtype), f


def _logarithm(xp: Any, k: Any, f: Any, correction: Any, form: _Format) -> Any:
    """``k log 2 + log(1 + f) + correction``."""
    s = f / (2 + f)
    z = s * s
    rest = z * _horner(xp, z, form.series)
    half = 0.5 * f * f
    high, low = (xp.constant_like(f, part) for part in form.ln2)
    small = xp.fma(k, low, xp.fma(s, half + rest, correction))
    return xp.fma(k, high, f - (half - small))


def _of_domain(xp: Any, x: Any, out: Any, given: Any) -> Any:
    """Logarithm of a positive finite `x`; those of others by rule."""
    out = xp.where(x == math.inf, xp.constant_like(x, math.inf), out)
    out = xp.where(x == 0, xp.constant_like(x, -math.inf), out)
    return xp.where(x >= 0, out, xp.where(x < 0, xp.constant_like(x, math.nan), given))


def tanh(xp: Any, x: Any) -> Any:
    """Hyperbolic tangent."""
    form = _FORMATS[x.dtype.name]
    size = xp.abs(x)
    size = xp.where(size > form.flat, xp.constant_like(x, form.flat), size)
    e, n, _ = _reduced(xp, 2 * size, form)
    two_to_n = xp.scale(xp.constant_like(x, 1.0), n)
    e = xp.fma(e, two_to_n, two_to_n - 1)
    total = e + 2
    out = e / total
    if form.digits > 32:  # where two units in the last place are asked for, add what was lost
        lost = xp.fma(-out, total, e) - out * (e - (total - 2))
        out = out + lost / total
    return xp.copysign(out, x)
