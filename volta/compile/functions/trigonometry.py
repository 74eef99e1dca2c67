"""Trigonometric functions and their inverses.

Angles are reduced by multiples of π, or of a half of it, in three parts. That is exact enough up to
`_FAR`; what is beyond, which is rare, is computed apart from the others: M. H. Payne and R. N.
Hanek, "Radian reduction for trigonometric functions", SIGNUM Newsletter 18 (1983).
"""

import functools
import itertools
import math
from typing import Any, Final

from volta.compile.functions.arithmetic import FORMATS, bits, horner, product, total
from volta.core.types import DTYPES

__all__ = ["acos", "asin", "atan", "atan2", "cos", "sin", "tan"]

_FAR: Final = {"float32": 2.0**18, "float64": 2.0**30}
_SIN: Final = {  # (sin x / x − 1) / x² in x² where |x| ≤ ½ π and a little more
    "float32": (
        *(-0.16666666663, 0.0083333326194, -0.00019841051367, 2.7533881882e-6),
        -2.4022192272e-8,
    ),
    "float64": (
        *(-0.166666666666666666, 0.00833333333333331584, -0.00019841269841254956),
        *(2.75573192191584306e-6, -2.50521076163845953e-8, 1.60589772728155061e-10),
        *(-7.64396903105276904e-13, 2.73142898612261585e-15),
    ),
}
_SIN_OF_QUARTER: Final = {  # the same where |x| ≤ ¼ π and a little more
    "float32": (-0.16666666662, 0.0083333312662, -0.0001983977751, 2.7212163631e-6),
    "float64": (
        *(-0.166666666666666667, 0.00833333333333333149, -0.000198412698412650602),
        *(2.75573192193354534e-6, -2.50521062311579055e-8, 1.60585314145890108e-10),
        -7.58668507009126716e-13,
    ),
}
_COS_OF_QUARTER: Final = {  # (cos x − 1 + ½ x²) / x⁴ in x² there
    "float32": (0.041666663822, -0.0013888149879, 0.000024516776341),
    "float64": (
        *(0.0416666666666666654, -0.00138888888888873957, 0.0000248015872987634332),
        *(-2.75573172705603241e-7, 2.08761460246897466e-9, -1.13826148685563246e-11),
    ),
}
_ATAN: Final = {  # (atan x / x − 1) / x² in x² where |x| ≤ tan ⅛ π
    "float32": (
        *(-0.33333331761, 0.19999540484, -0.14263955598, 0.10743731491),
        -0.064519282081,
    ),
    "float64": (
        *(-0.333333333333333302, 0.199999999999955207, -0.142857142846665429),
        *(0.111111110152563617, -0.0909090457812390189, 0.0769218319082608656),
        *(-0.06664511447381948, 0.0585814891280220988, -0.0508544973794025986),
        *(0.0392316582955871913, -0.019176887119062259),
    ),
}
_ASIN: Final = {  # (asin x / x − 1) / x² in x² where |x| ≤ ½
    "float32": (
        *(0.16666666337, 0.075000945435, 0.044599401529, 0.031100662735),
        *(0.017149238358, 0.033690847203),
    ),
    "float64": (
        *(0.166666666666666678, 0.0749999999999843293, 0.0446428571463554298),
        *(0.0303819441385312473, 0.0223721729421498879, 0.0173523927208699729),
        *(0.0139712129735529333, 0.0114791774151849059, 0.0103228143501857793),
        *(0.0054575067186403583, 0.0174008794426940224, -0.0148518870712472032),
        0.0287578513674215647,
    ),
}


def sin(xp: Any, x: Any) -> Any:
    """Sine."""
    n, whole = _turns(xp, xp.fma(x, 1 / math.pi, 0.0))
    out = _sine(xp, _left(xp, x, n, 1.0))
    out = xp.where(x == 0, x, _turned(xp, out, whole))
    return _beyond(xp, "sin", x, out)


def cos(xp: Any, x: Any) -> Any:
    """Cosine: the sine of what is left of a half more than a multiple of π."""
    size = xp.abs(x)
    n, whole = _turns(xp, xp.fma(size, 1 / math.pi, -0.5))
    out = _sine(xp, _left(xp, size, n + 0.5, 1.0))
    return _beyond(xp, "cos", x, _turned(xp, out, whole + 1))


def tan(xp: Any, x: Any) -> Any:
    """Tangent."""
    n, whole = _turns(xp, xp.fma(x, 2 / math.pi, 0.0))
    out = _quotient(xp, *_left_in_parts(xp, x, n, 0.5), whole)
    return _beyond(xp, "tan", x, xp.where(x == 0, x, out))


def _turns(xp: Any, x: Any) -> tuple[Any, Any]:
    """The integer nearest to `x`, and an integer that is as even or odd."""
    shift = 1.5 * 2.0 ** FORMATS[x.dtype.name].digits
    out = x + shift
    return out - shift, bits(xp, out)


def _left(xp: Any, x: Any, n: Any, unit: float) -> Any:
    """``x − n · unit · π``, rounded once, where it is at most a little more than ½ unit · π."""
    return _left_in_parts(xp, x, n, unit)[0]


def _left_in_parts(xp: Any, x: Any, n: Any, unit: float) -> tuple[Any, Any]:
    """The same in two parts."""
    first, second, third = (-unit * part for part in FORMATS[x.dtype.name].pi)
    second, second_low = product(xp, n, xp.constant_like(x, second))
    out, lost = total(xp.fma(n, first, x), second)
    return total(out, xp.fma(n, third, lost + second_low))


def _sine(xp: Any, x: Any) -> Any:
    """Sine where ``|x| ≤ ½ π``."""
    z = x * x
    cube = x * z
    factor = horner(xp, z, _SIN[x.dtype.name])
    if x.dtype.itemsize == 4:
        return xp.fma(cube, factor, x)
    # the cube in two parts: where x is ½ π its term is more than half of the sine
    low = xp.fma(x, z, -cube) + x * xp.fma(x, x, -z)
    return x + xp.fma(cube, factor, low * factor)


def _turned(xp: Any, x: Any, whole: Any) -> Any:
    """Minus `x` where an integer is odd."""
    return xp.bits(bits(xp, x) ^ (whole << (8 * x.dtype.itemsize - 1)), x.dtype)


def _of_quarter(xp: Any, x: Any) -> tuple[Any, Any, Any, Any]:
    """Sine and cosine, each in two parts, where ``|x| ≤ ¼ π``."""
    z = x * x
    s, s_low = total(x, x * z * horner(xp, z, _SIN_OF_QUARTER[x.dtype.name]))
    rest = xp.fma(-z * z, horner(xp, z, _COS_OF_QUARTER[x.dtype.name]), 0.5 * z)
    return s, s_low, *total(xp.constant_like(x, 1.0), -rest)


def _quotient(xp: Any, x: Any, low: Any, whole: Any) -> Any:
    """Tangent of what is left of an odd or even multiple of ½ π, a quotient of two parts each."""
    s, s_low, c, c_low = _of_quarter(xp, x)
    odd = (whole & 1) != 0
    above, above_low = xp.where(odd, -c, s), xp.where(odd, -c_low, s_low)
    below, below_low = xp.where(odd, s, c), xp.where(odd, s_low, c_low)
    inverse = 1 / below
    out = above * inverse
    lost = xp.fma(-out, below, above) + (above_low - out * below_low)
    return out + xp.fma(lost, inverse, low * xp.fma(out, out, 1.0))


# Large angles -------------------------------------------------------------------------------------


def _beyond(xp: Any, name: str, x: Any, out: Any) -> Any:
    """`out`, but of large angles the function of that name."""
    size = xp.abs(x)
    far = (size > _FAR[x.dtype.name]) & (size < math.inf)
    return xp.rarely(name, far, out, functools.partial(_of_large, name), x)


def _of_large(name: str, xp: Any, x: Any) -> Any:
    """Function of a large angle, in float64."""
    whole, r = _left_of_large(xp, xp.abs(xp.astype(x, DTYPES["float64"])))
    if name == "tan":
        out = _quotient(xp, *r, whole)
    else:
        s, _, c, _ = _of_quarter(xp, r[0])
        whole = whole + 1 if name == "cos" else whole
        out = xp.where((whole & 1) != 0, c, s)
        out = xp.where((whole & 2) != 0, -out, out)
    out = xp.astype(out, x.dtype)
    return out if name == "cos" else xp.where(x < 0, -out, out)


# 2 / π after 64 zeros, in words of 64 bits
_TWO_OVER_PI: Final = (
    *(0x0000000000000000, 0xA2F9836E4E441529, 0xFC2757D1F534DDC0, 0xDB6295993C439041),
    *(0xFE5163ABDEBBC561, 0xB7246E3A424DD2E0, 0x06492EEA09D1921C, 0xFE1DEB1CB129A73E),
    *(0xE88235F52EBB4484, 0xE99C7026B45F7E41, 0x3991D639835339F4, 0x9C845F8BBDF9283B),
    *(0x1FF897FFDE05980F, 0xEF2F118B5A0A6D1F, 0x6D367ECF27CB09B7, 0x4F463F669E5FEA2D),
    *(0x7527BAC7EBE5F17B, 0x3D0739F78A5292EA, 0x6BFB5FB11F8D5D08, 0x56033046FC7B6BAB),
)


def _left_of_large(xp: Any, x: Any) -> tuple[Any, tuple[Any, Any]]:
    """Of ``x = n · ½ π + r``, 2¹⁸ or more, an integer that is n modulo 4, and r in two parts.

    Of 2 / π those 192 bits are multiplied by x that count: with those before them the product is a
    multiple of 4, and those after them are less than 2⁻⁷⁰ of the smallest r.
    """
    uint64 = DTYPES["uint64"]
    found = xp.bits(x, uint64)
    significand = (found & (2**52 - 1)) | 2**52
    first = (found >> 52) - (1023 + 52 - 64 + 2)  # of the bits that count
    window = _words(xp, first >> 6, first & 63)
    # limbs of 32 bits, the lowest first, and their product with both of the significand
    limbs = [limb for word in reversed(window) for limb in (word & _LIMB, word >> 32)]
    low, high = significand & _LIMB, significand >> 32
    made, carried = [], xp.constant_like(found, 0)
    for i, limb in enumerate(limbs):
        one = low * limb
        other = high * limbs[i - 1] if i else xp.constant_like(found, 0)
        sum_ = (one & _LIMB) + (other & _LIMB) + carried
        made.append(sum_ & _LIMB)
        carried = (sum_ >> 32) + (one >> 32) + (other >> 32)
    _, c, b, a, top = made[1:]
    whole = (top >> 30) + ((top >> 29) & 1)
    top = xp.bits((top << 34), DTYPES["int64"]) >> 34  # from −½ to ½ of a quarter turn
    parts = (xp.astype(v, x.dtype) * 2.0**-e for v, e in ((top, 30), (a, 62), (b, 94), (c, 126)))
    return xp.bits(whole, DTYPES["int64"]), _quarter_turns(xp, *parts)


_LIMB: Final = 2**32 - 1


def _words(xp: Any, index: Any, shift: Any) -> list[Any]:
    """Three words of 2 / π from a bit on."""
    count = len(_TWO_OVER_PI) - 3
    words = [xp.constant_like(index, word) for word in _TWO_OVER_PI]
    found = words[count - 1 :]
    for i in range(count - 1):
        found = [xp.where(index == i, words[i + j], found[j]) for j in range(4)]
    rest = 63 - shift  # a shift by 64 there is not
    return [(a << shift) | ((b >> 1) >> rest) for a, b in itertools.pairwise(found)]


def _quarter_turns(xp: Any, a: Any, b: Any, c: Any, d: Any) -> tuple[Any, Any]:
    """``½ π (a + b + c + d)`` in two parts, where each is less than the last digit before it."""
    high, low = total(a, b)
    high, lower = total(high, c)
    high, low = total(high, low + lower + d)
    pi, pi_low = (0.5 * part for part in FORMATS[a.dtype.name].pi[:2])
    out, lost = product(xp, high, xp.constant_like(high, pi))
    return total(out, xp.fma(high, pi_low, xp.fma(low, pi, lost)))


# Inverses -----------------------------------------------------------------------------------------


def asin(xp: Any, x: Any) -> Any:
    """Inverse sine."""
    far, near, more = _halved(xp, x)
    pi, pi_low = FORMATS[x.dtype.name].pi[:2]
    beyond = 0.5 * pi - 2 * (near + (more - 0.25 * pi_low))
    return xp.copysign(xp.where(far, beyond, near + more), x)


def acos(xp: Any, x: Any) -> Any:
    """Inverse cosine."""
    far, near, more = _halved(xp, x)
    pi = FORMATS[x.dtype.name].pi[0]
    beyond = 2 * (near + more)
    beyond = xp.where(x < 0, pi - beyond, beyond)
    return xp.where(far, beyond, 0.5 * pi - (x + xp.copysign(more, x)))


def _halved(xp: Any, x: Any) -> tuple[Any, Any, Any]:
    """Whether |x| is beyond ½, s, which is |x| or there √(½ (1 − |x|)), and what asin s is more."""
    size = xp.abs(x)
    far = size > 0.5
    half = 0.5 - 0.5 * size
    z = xp.where(far, half, size * size)
    near = xp.where(far, xp.sqrt(half), size)
    return far, near, near * z * horner(xp, z, _ASIN[x.dtype.name])


def atan(xp: Any, x: Any) -> Any:
    """Inverse tangent."""
    return xp.copysign(_angle(xp, xp.abs(x), xp.constant_like(x, 1.0)), x)


def atan2(xp: Any, y: Any, x: Any) -> Any:
    """Angle of the point (x, y)."""
    form = FORMATS[x.dtype.name]
    up, along = xp.abs(y), xp.abs(x)
    both = (up == math.inf) & (along == math.inf)
    one = xp.constant_like(x, 1.0)
    top = 2.0 ** (form.bias - 4)
    large = (up > top) | (along > top)  # their sum may be infinite
    tiny = form.tiny * 2.0**form.digits
    small = (up < tiny) & (along < tiny)  # they may have few digits
    factor = xp.where(large, 0.0625, xp.where(small, 2.0 ** (form.digits + 1), one))
    up, along = (xp.where(both, one, size * factor) for size in (up, along))
    out = _angle(xp, up, along)
    out = xp.where(xp.signbit(x), form.pi[0] - out, out)
    return xp.copysign(out, y)


def _angle(xp: Any, y: Any, x: Any) -> Any:
    """Angle of a point with no negative coordinate, from 0 to ½ π.

    In the middle quarter that of the point turned by ¼ π is added to or taken from that, and above
    taken from ½ π.
    """
    pi, pi_low = FORMATS[x.dtype.name].pi[:2]
    upper = y > x
    larger, smaller = xp.where(upper, y, x), xp.where(upper, x, y)
    middle = smaller > larger * math.tan(math.pi / 8)
    (difference, less), (sum_, more) = total(larger, -smaller), total(larger, smaller)
    up, along = xp.where(middle, difference, smaller), xp.where(middle, sum_, larger)
    inverse = 1 / along
    t = xp.where(along == 0, up, up * inverse)
    base, low = (
        xp.where(middle, 0.25 * part, xp.where(upper, xp.constant_like(x, 0.5 * part), 0.0))
        for part in (pi, pi_low)
    )
    if x.dtype.itemsize == 8:  # what the difference, the sum and the quotient are rounded by
        lost = xp.fma(-t, along, up) + xp.where(middle, less - t * more, 0.0)
        t_low = xp.where((along > 0) & (along < math.inf), lost * inverse, 0.0)
    else:
        t_low = xp.constant_like(x, 0.0)
    minus = upper != middle
    t, t_low = xp.where(minus, -t, t), xp.where(minus, -t_low, t_low)
    z = t * t
    high, lost = total(base, t)
    return high + (lost + xp.fma(t * z, horner(xp, z, _ATAN[x.dtype.name]), low + t_low))
