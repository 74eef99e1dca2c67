"""Formats of floats, and what functions are written in: polynomials, bits, numbers in two parts."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from volta.core.types import DTYPES

__all__ = ["FORMATS", "Format", "bits", "bits_of", "horner", "power", "product", "total"]


class Format(NamedTuple):
    """What depends on the format of floats.

    Numbers in parts are their sums; but for the last one, parts of `ln2` and `log10_2` end in
    zeros, so that a product with an exponent is exact.
    """

    digits: int  # of the significand, without the one that is not stored
    bias: int
    tiny: float  # the smallest normal number
    ln2: tuple[float, float]
    log10_2: tuple[float, float]
    log_3_2: tuple[float, float]
    two_thirds: tuple[float, float]
    pi: tuple[float, float, float]


FORMATS: Final = {
    "float32": Format(
        digits=23,
        bias=127,
        tiny=2.0**-126,
        ln2=(0.693115234375, 3.194618329871446e-05),
        log10_2=(0.301025390625, 4.60503906652e-6),
        log_3_2=(0.405465096235, 1.18728893383e-8),
        two_thirds=(0.666666686535, -1.98682155172e-8),
        pi=(3.14159274101, -8.74227765735e-8, -3.43024902001e-15),
    ),
    "float64": Format(
        digits=52,
        bias=1023,
        tiny=2.0**-1022,
        ln2=(0.6931471803691238, 1.9082149292705877e-10),
        log10_2=(0.30102999566588550806, -1.9043128467164274152e-12),
        log_3_2=(0.40546510810816438486, -2.8811380259626426356e-18),
        two_thirds=(0.66666666666666662966, 3.7007434154171882626e-17),
        pi=(3.141592653589793116, 1.2246467991473532072e-16, -2.9947698097183396659e-33),
    ),
}


def horner(xp: Any, x: Any, coefficients: Sequence[float]) -> Any:
    """Polynomial whose first coefficient is the constant."""
    out = xp.constant_like(x, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        out = xp.fma(out, x, c)
    return out


def bits(xp: Any, x: Any) -> Any:
    """Bits of a float, as an integer."""
    return xp.bits(x, DTYPES["int32" if x.dtype.itemsize == 4 else "int64"])


def bits_of(xp: Any, x: Any, value: float) -> Any:
    """Bits of a number in the dtype of `x`."""
    return bits(xp, xp.constant_like(x, value))


def power(xp: Any, n: Any, x: Any, form: Format) -> Any:
    """``2ⁿ`` for an integer n that is the exponent of a normal number, in the dtype of `x`."""
    return xp.bits((n + form.bias) << form.digits, x.dtype)


def total(x: Any, y: Any) -> tuple[Any, Any]:
    """``x + y``, rounded, and what it is rounded by, where x is 0 or no smaller than y."""
    out = x + y
    return out, y - (out - x)


def product(xp: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """``x · y``, rounded, and what it is rounded by."""
    out = x * y
    return out, xp.fma(x, y, -out)
