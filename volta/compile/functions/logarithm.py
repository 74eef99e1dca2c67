"""Logarithms and inverse hyperbolic functions."""

import math
from typing import Any, Final

from volta.compile.functions.arithmetic import (
    FORMATS,
    bits,
    bits_of,
    horner,
    product,
    total,
)
from volta.compile.functions.exponential import exp

__all__ = ["acosh", "asinh", "atanh", "log", "log1p", "log2", "log10", "log_in_parts", "logaddexp"]

_SERIES: Final = {  # (log((1 + s) / (1 − s)) / s − 2) / s² in s², |s| ≤ 3 − 2 √2
    "float32": (
        *(0.666666665540420124, 0.400001222118106494, 0.285507786331919654),
        0.233316144718434992,
    ),
    "float64": (
        *(0.666666666666666665, 0.400000000000008832, 0.28571428570799785),
        *(0.222222223925810451, 0.181817955475211362, 0.153862447376216666),
        *(0.132686383692668239, 0.130880348509275538),
    ),
}
_REST: Final = {  # (log((1 + s) / (1 − s)) / s − 2 − ⅔ s²) / s⁴ in s², |s| ≤ 5 − 2 √6
    "float32": (0.40000000614, 0.28570347864, 0.22503556482),
    "float64": (
        *(0.399999999999999933, 0.285714285714758589, 0.222222221682519452),
        *(0.181818406930715624, 0.153803764787686575, 0.137001412810099131),
    ),
}


def log(xp: Any, x: Any) -> Any:
    """Natural logarithm."""
    k, f = _split(xp, x, math.sqrt(0.5))
    return _of_domain(xp, x, _with_exponent(xp, k, _log_parts(xp, f)))


def log2(xp: Any, x: Any) -> Any:
    """Logarithm to base 2."""
    return _to_base(xp, x, (1.0, 0.0), 1.44269504088896340736)


def log10(xp: Any, x: Any) -> Any:
    """Logarithm to base 10."""
    return _to_base(xp, x, FORMATS[x.dtype.name].log10_2, 0.43429448190325182765)


def _to_base(xp: Any, x: Any, of_2: tuple[float, float], of_e: float) -> Any:
    """Logarithm to the base in which those of 2 and e are given."""
    k, f = _split(xp, x, math.sqrt(0.5))
    high, lower, rest = _log_parts(xp, f)
    high, lost = total(high, rest - lower)
    scaled = xp.fma(high, of_e, xp.fma(lost, of_e, k * of_2[1]))
    return _of_domain(xp, x, xp.fma(k, of_2[0], scaled))


def log1p(xp: Any, x: Any) -> Any:
    """``log(1 + x)``, also near 0."""
    out = _log_one_plus(xp, x, xp.constant_like(x, 0.0))
    return xp.where(x == 0, x, _of_domain(xp, 1 + x, out))


def logaddexp(xp: Any, x: Any, y: Any) -> Any:
    """``log(eˣ + eʸ)``."""
    first = (x > y) | (x != x)
    larger, smaller = xp.where(first, x, y), xp.where(first, y, x)
    step = smaller - larger
    back = step - smaller
    lost = (smaller - (step - back)) - (larger + back)  # what the difference is rounded by
    out = larger + log1p(xp, exp(xp, step, lost))
    return xp.where(x == y, x + math.log(2), out)


def asinh(xp: Any, x: Any) -> Any:
    """Inverse hyperbolic sine: the logarithm of 1 plus ``x + x² / (1 + √(1 + x²))``."""
    size = xp.abs(x)
    square = size * size
    rest = square / (1 + xp.sqrt(1 + square))  # which is smaller than x
    return xp.copysign(_of_large(xp, size, *total(size, rest)), x)


def acosh(xp: Any, x: Any) -> Any:
    """Inverse hyperbolic cosine: the logarithm of 1 plus ``t + √(t (2 + t))``, t = x − 1."""
    t = x - 1
    square = xp.fma(t, t, 2 * t)
    root = xp.sqrt(square)
    return xp.where(x >= 1, _of_large(xp, x, *total(root, t)), x * math.nan)


def _of_large(xp: Any, x: Any, more: Any, less: Any) -> Any:
    """Logarithm of ``1 + more + less``, which is ``2 x`` where x is large."""
    large = x > 2.0 ** (FORMATS[x.dtype.name].digits // 2 + 3)
    more = xp.where(large, x - 1, more)
    less = xp.where(large, 0.0, less)
    out = _log_one_plus(xp, more, less, xp.where(large, xp.constant_like(x, 1.0), 0.0))
    return xp.where(x == math.inf, x, out)


def atanh(xp: Any, x: Any) -> Any:
    """Inverse hyperbolic tangent: half the logarithm of 1 plus ``2 x / (1 − x)``."""
    size = xp.abs(x)
    below = 1 - size
    inverse = 1 / below
    more = 2 * size * inverse
    # what the difference and the quotient are rounded by
    less = (xp.fma(-more, below, 2 * size) - more * ((1 - below) - size)) * inverse
    out = 0.5 * _log_one_plus(xp, more, less)
    out = xp.where(size < 1, out, xp.where(size == 1, xp.constant_like(x, math.inf), x * math.nan))
    return xp.copysign(out, x)


def _log_one_plus(xp: Any, x: Any, low: Any, doublings: Any = None) -> Any:
    """``log(1 + x + low)``, and as many times ``log 2`` more."""
    u = 1 + x
    k, f = _split(xp, u, math.sqrt(0.5))
    lost = xp.where(x > 1, 1 - (u - x), x - (u - 1))  # what u is without
    near = k == 0  # then there is no u
    more = xp.scale(xp.where(near, low, lost + low), -k)
    k = k if doublings is None else k + doublings
    return _with_exponent(xp, k, _log_parts(xp, xp.where(near, x, f), more))


def _split(xp: Any, x: Any, root: float) -> tuple[Any, Any]:
    """Of a positive finite ``x = 2ᵏ (1 + f)``, k and f, where ``root ≤ 1 + f < 2 root``."""
    form = FORMATS[x.dtype.name]
    small = x < form.tiny
    more = form.digits + 2
    first, one = bits_of(xp, x, root), bits_of(xp, x, 1.0)
    found = bits(xp, xp.where(small, x * 2.0**more, x)) + (one - first)
    k = (found >> form.digits) - xp.where(
        small, xp.constant_like(found, form.bias + more), form.bias
    )
    f = xp.bits((found & (2**form.digits - 1)) + first, x.dtype) - 1
    return xp.astype(k, x.dtype), f


def _with_exponent(xp: Any, k: Any, parts: tuple[Any, Any, Any]) -> Any:
    """A logarithm, and k times ``log 2`` more."""
    (ln2, ln2_low), (high, lower, rest) = FORMATS[k.dtype.name].ln2, parts
    return xp.fma(k, ln2, high - (lower - xp.fma(k, ln2_low, rest)))


def _log_parts(xp: Any, f: Any, more: Any = None) -> tuple[Any, Any, Any]:
    """Of ``log(1 + f + more)`` what is added, subtracted and added: f, ½ f² and the rest."""
    s = f / (2 + f)
    z = s * s
    half = 0.5 * f * f
    rest = s * (half + z * horner(xp, z, _SERIES[f.dtype.name]))
    if more is not None:  # 1 + f is (1 + s) / (1 − s)
        rest = xp.fma(more, 1 - 2 * s * (1 - s), rest)
    return f, half, rest


def log_in_parts(xp: Any, x: Any) -> tuple[Any, Any, Any]:
    """Of a positive finite ``x = 2ᵏ m``, k and ``log m`` in two parts, where ``√¾ ≤ m < √3``.

    Of ``m = c (1 + s) / (1 − s)``, where c is 1 or 1½, all but the last terms are in two parts.
    """
    form = FORMATS[x.dtype.name]
    k, f = _split(xp, x, math.sqrt(0.75))
    upper = f > math.sqrt(1.5) - 1
    zero = xp.constant_like(x, 0.0)
    centre, centre_low = (xp.where(upper, part, zero) for part in form.log_3_2)
    distance = f - xp.where(upper, 0.5, zero)
    twice = xp.where(upper, 3.0, xp.constant_like(x, 2.0))
    sum_, sum_low = total(twice, distance)
    inverse = 1 / sum_
    s = distance * inverse
    s_low = (xp.fma(-s, sum_, distance) - s * sum_low) * inverse
    if x.dtype.itemsize == 4:  # of which 12 bits more are enough
        z = s * s
        term = 2 * s_low + s * z * (form.two_thirds[0] + z * horner(xp, z, _REST[x.dtype.name]))
        high, lower = total(centre, 2 * s)
        return k, high, lower + (term + centre_low)
    z, z_low = product(xp, s, s)
    z_low = xp.fma(2 * s, s_low, z_low)
    two_thirds = xp.constant_like(x, form.two_thirds[0])
    factor, factor_low = total(two_thirds, z * horner(xp, z, _REST[x.dtype.name]))
    cube, cube_low = product(xp, s, z)
    cube_low = cube_low + xp.fma(s, z_low, s_low * z)
    term, term_low = product(xp, cube, factor)
    factor_low = factor_low + form.two_thirds[1]
    term_low = term_low + xp.fma(cube, factor_low, cube_low * factor)
    high, low = total(2 * s, term)
    high, lower = total(centre, high)
    return k, high, lower + (low + (xp.fma(2.0, s_low, term_low) + centre_low))


def _of_domain(xp: Any, x: Any, out: Any) -> Any:
    """Logarithm of a positive finite `x`; those of others by rule."""
    out = xp.where(x < math.inf, out, x)  # NaN, too
    out = xp.where(x == 0, -math.inf, out)
    return xp.where(x < 0, math.nan, out)
