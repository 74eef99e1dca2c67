"""Powers, and the length of a hypotenuse."""

import math
from typing import Any

from volta.compile.functions.arithmetic import FORMATS, product, total
from volta.compile.functions.exponential import exp
from volta.compile.functions.logarithm import log_in_parts

__all__ = ["hypot", "pow"]


def pow(xp: Any, x: Any, y: Any) -> Any:
    """``xʸ``; special cases as in C99, F.10.4.4."""
    size = xp.abs(x)
    high, low = _log_of_size(xp, size)
    exponent, lost = product(xp, y, high)
    out = exp(xp, exponent, xp.fma(y, low, lost))
    out = xp.where((size == 1) & (y == y), 1.0, out)  # whatever ±∞ · 0 is
    half = 0.5 * y
    whole = xp.trunc(y) == y
    odd = whole & (xp.trunc(half) != half)
    out = xp.where((x < 0) & (size < math.inf) & ~whole, math.nan, out)
    out = xp.where(odd, xp.copysign(out, x), out)
    return xp.where((x == 1) | (y == 0), 1.0, out)


def _log_of_size(xp: Any, x: Any) -> tuple[Any, Any]:
    """Natural logarithm of ``x ≥ 0`` in two parts."""
    form = FORMATS[x.dtype.name]
    k, high, low = log_in_parts(xp, x)
    high, lost = total(k * form.ln2[0], high)
    high, low = total(high, xp.fma(k, form.ln2[1], lost + low))
    high = xp.where(x < math.inf, high, x)  # NaN, too
    return xp.where(x == 0, -math.inf, high), low


def hypot(xp: Any, x: Any, y: Any) -> Any:
    """``√(x² + y²)``, with squares that neither over- nor underflow."""
    form = FORMATS[x.dtype.name]
    x, y = xp.abs(x), xp.abs(y)
    infinite = (x == math.inf) | (y == math.inf)
    more, less = xp.where(x > y, x, y), xp.where(x > y, y, x)
    one = xp.constant_like(x, 1.0)
    large, small = more > 2.0 ** (form.bias // 2 - 2), more < 2.0 ** (form.digits - form.bias // 2)
    far = 2.0 ** (form.bias // 2 + form.digits + 2)
    up = xp.where(large, 1 / far, xp.where(small, far, one))
    down = xp.where(large, far, xp.where(small, 1 / far, one))
    more, less = more * up, less * up
    out = xp.sqrt(xp.fma(more, more, less * less)) * down
    return xp.where(infinite, math.inf, out)
