"""Exponentials and hyperbolic functions."""

import math
from typing import Any, Final

from volta.compile.functions.arithmetic import FORMATS, Format, bits, bits_of, horner, power

__all__ = ["cosh", "exp", "exp2", "expm1", "sinh", "tanh"]

_TOP: Final = {"float32": 106.0, "float64": 750.0}  # from ± which eˣ is infinite, and 0
_TOP_2: Final = {"float32": 160.0, "float64": 1100.0}  # the same of 2ˣ
_DEEP: Final = {"float32": 20.0, "float64": 50.0}  # from minus which exp(x) − 1 is −1
_FLAT: Final = {"float32": 10.0, "float64": 22.0}  # from which tanh is 1
_TAIL: Final = {  # (eˣ − 1 − x) / x² where |x| ≤ ln 2 / 2
    "float32": (
        *(0.50000000134658092, 0.166666666816232314, 0.0416664649252859054),
        *(0.00833331092548090083, 0.00139336499963092504, 0.000198909908246736538),
    ),
    "float64": (
        *(0.5, 0.16666666666666671, 0.0416666666666666698, 0.00833333333332613513),
        *(0.00138888888888837483, 0.000198412698748206253, 0.0000248015873255477412),
        *(2.75572554002064244e-6, 2.75572736431102953e-7, 2.51052170047207452e-8),
        2.09146869680868772e-9,
    ),
}
_SINH: Final = {  # (sinh x / x − 1) / x² in x² where |x| ≤ 1
    "float32": (0.16666666647, 0.0083333396759, 0.00019838101969, 2.8062802582e-6),
    "float64": (
        *(0.166666666666666667, 0.00833333333333329936, 0.000198412698413241979),
        *(2.7557319191381817e-6, 2.50521176959078236e-8, 1.60576796238016377e-10),
        7.74617859301882749e-13,
    ),
}


def _whole(xp: Any, x: Any, form: Format, scale: float = 1.0) -> tuple[Any, Any]:
    """The integer nearest to ``scale · x``, as a float and as bits.

    It is made by adding a number so large that the sum has no fraction.
    """
    shift = 1.5 * 2.0**form.digits
    out = xp.fma(x, scale, shift)
    return out - shift, bits(xp, out) - bits_of(xp, x, shift)


def _reduced(xp: Any, x: Any, form: Format, low: Any = None) -> tuple[Any, Any, Any]:
    """``eʳ − 1`` for ``x + low = n log 2 + r``, ``|r| ≤ ½ log 2``, and n as a float and as bits."""
    n, whole = _whole(xp, x, form, 1 / math.log(2))
    r = xp.fma(n, -form.ln2[1], xp.fma(n, -form.ln2[0], x))
    return _less_one(xp, r if low is None else r + low), n, whole


def _less_one(xp: Any, r: Any) -> Any:
    """``eʳ − 1`` where ``|r| ≤ ½ log 2``."""
    return xp.fma(r * r, horner(xp, r, _TAIL[r.dtype.name]), r)


def exp(xp: Any, x: Any, low: Any = None) -> Any:
    """``eˣ``, or that of ``x + low``."""
    form, top = FORMATS[x.dtype.name], _TOP[x.dtype.name]
    if low is not None:
        low = xp.where(xp.abs(x) > top, 0.0, low)
    e, n, _ = _reduced(xp, _within(xp, x, top), form, low)
    return xp.scale(1 + e, n)


def _within(xp: Any, x: Any, bound: float) -> Any:
    return xp.where(x > bound, bound, xp.where(x < -bound, -bound, x))


def exp2(xp: Any, x: Any) -> Any:
    """``2ˣ``."""
    x = _within(xp, x, _TOP_2[x.dtype.name])
    n, _ = _whole(xp, x, FORMATS[x.dtype.name])
    return xp.scale(1 + _less_one(xp, (x - n) * math.log(2)), n)


def expm1(xp: Any, x: Any) -> Any:
    """``eˣ − 1``, also near 0."""
    form, name = FORMATS[x.dtype.name], x.dtype.name
    near = xp.where(x > _TOP[name], _TOP[name], xp.where(x < -_DEEP[name], -_DEEP[name], x))
    e, _, n = _reduced(xp, near, form)
    half = n >> 1
    other = power(xp, n - half, x, form)
    # 2ⁿ e + (2ⁿ − 1), both of them by 2^(−half), as 2ⁿ may be infinite
    below = power(xp, -half, x, form)
    out = xp.fma(e, other, other - below) * power(xp, half, x, form)
    return xp.copysign(out, x)


def sinh(xp: Any, x: Any) -> Any:
    """Hyperbolic sine."""
    size = xp.abs(x)
    z = x * x
    near = xp.fma(x * z, horner(xp, z, _SINH[x.dtype.name]), x)
    return xp.where(size < 1, near, xp.copysign(_half_sum(xp, size, -1.0), x))


def cosh(xp: Any, x: Any) -> Any:
    """Hyperbolic cosine."""
    return _half_sum(xp, xp.abs(x), 1.0)


def _half_sum(xp: Any, x: Any, sign: float) -> Any:
    """``½ (eˣ ± e⁻ˣ)`` of ``x ≥ 0``."""
    e, n, _ = _reduced(xp, _within(xp, x, _TOP[x.dtype.name]), FORMATS[x.dtype.name])
    up = 1 + e
    deep = _DEEP[x.dtype.name]  # from where on e⁻ˣ is lost in eˣ
    down = xp.scale(sign / up, -2 * xp.where(n > deep, deep, n))
    return xp.scale(up + down, n - 1)


def tanh(xp: Any, x: Any) -> Any:
    """Hyperbolic tangent."""
    form, flat = FORMATS[x.dtype.name], _FLAT[x.dtype.name]
    size = xp.abs(x)
    size = xp.where(size > flat, flat, size)
    e, n, _ = _reduced(xp, 2 * size, form)
    two_to_n = xp.scale(xp.constant_like(x, 1.0), n)
    e = xp.fma(e, two_to_n, two_to_n - 1)
    total = e + 2
    out = e / total
    if form.digits > 32:  # where two units in the last place are asked for, add what was lost
        lost = xp.fma(-out, total, e) - out * (e - (total - 2))
        out = out + lost / total
    return xp.copysign(out, x)
