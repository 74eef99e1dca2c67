"""The functions by their names in the Array API."""

from collections.abc import Callable
from typing import Any, Final

from volta.compile.functions.division import floor_divide, remainder
from volta.compile.functions.exponential import cosh, exp, exp2, expm1, sinh, tanh
from volta.compile.functions.logarithm import (
    acosh,
    asinh,
    atanh,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
)
from volta.compile.functions.power import hypot, pow
from volta.compile.functions.trigonometry import acos, asin, atan, atan2, cos, sin, tan

__all__ = ["FUNCTIONS"]

FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    function.__name__: function
    for function in (
        acos,
        acosh,
        asin,
        asinh,
        atan,
        atan2,
        atanh,
        cos,
        cosh,
        exp,
        exp2,
        expm1,
        floor_divide,
        hypot,
        log,
        log1p,
        log2,
        log10,
        logaddexp,
        pow,
        remainder,
        sin,
        sinh,
        tan,
        tanh,
    )
}
