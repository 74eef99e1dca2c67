"""Quotients that are rounded down, and what is left of them, bit by bit as NumPy has them."""

import math
from typing import Any

from volta.compile.functions.arithmetic import FORMATS
from volta.core.types import DTYPES

__all__ = ["floor_divide", "remainder"]


def floor_divide(xp: Any, x: Any, y: Any) -> Any:
    """Quotient rounded down; of integers 0 where the divisor is 0."""
    if x.dtype.kind != "float":
        return _divided(xp, x, y)[0]
    left, adjusted = _left(xp, x, y)
    exact = (x - left) / y
    exact = xp.where(adjusted, exact - 1, exact)
    down = xp.floor(exact)
    down = xp.where(exact - down > 0.5, down + 1, down)
    out = xp.where(exact == 0, xp.copysign(xp.zeros_like(x), x / y), down)
    return xp.where(y == 0, x / y, out)


def remainder(xp: Any, x: Any, y: Any) -> Any:
    """What is left of a quotient rounded down, with the sign of the divisor; of integers 0 of 0."""
    if x.dtype.kind != "float":
        return _divided(xp, x, y)[1]
    left, adjusted = _left(xp, x, y)
    out = xp.where(adjusted, left + y, left)
    out = xp.where(left == 0, xp.copysign(xp.zeros_like(x), y), out)
    return xp.where(y == 0, math.nan, out)


def _left(xp: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """What is left of a quotient of floats towards 0, and whether it has the other sign than y.

    The quotient is an integer where it has no more digits than a float; others, which are rare, are
    left to C's function.
    """
    quotient = xp.trunc(x / y)
    out = xp.fma(-quotient, y, x)
    over = xp.where(x < 0, out, -out) > 0  # it was rounded up to the next integer
    out = xp.where(over, out + xp.copysign(y, x), out)
    finite = xp.abs(x) < math.inf
    out = xp.where(finite & (xp.abs(y) == math.inf), x, out)
    many = (xp.abs(quotient) >= 2.0 ** FORMATS[x.dtype.name].digits) & finite & (y != 0)
    out = xp.rarely("fmod", many, out, lambda xp, x, y: xp.fmod(x, y), x, y)
    return out, (out != 0) & ((y < 0) != (out < 0))


def _divided(xp: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Quotient of integers rounded down, and what is left.

    What a processor traps is not divided: by 0, and the smallest integer by −1.
    """
    if x.dtype.kind == "uint":
        divisor = xp.where(y == 0, 1, y)
        quotient = _towards_zero(xp, x, divisor)
        left = x - quotient * divisor
    else:
        divisor = xp.where((y == 0) | (y == -1), 1, y)
        quotient = _towards_zero(xp, x, divisor)
        left = x - quotient * divisor
        down = (left != 0) & ((left < 0) != (y < 0))
        quotient = xp.where(y == -1, -x, xp.where(down, quotient - 1, quotient))
        left = xp.where(down, left + y, left)
    return xp.where(y == 0, 0, quotient), xp.where(y == 0, 0, left)


def _towards_zero(xp: Any, x: Any, y: Any) -> Any:
    """Quotient towards 0; of integers of up to 32 bits that of float64 is no other."""
    if x.dtype.itemsize == 8:
        return xp.quotient(x, y)
    x64, y64 = (xp.astype(v, DTYPES["float64"]) for v in (x, y))
    return xp.converted(x64 / y64, x.dtype)
