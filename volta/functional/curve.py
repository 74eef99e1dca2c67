"""How smooth activation functions are declared: by formulas that run block by block.

A formula is a function ``formula(xp, x, ...)`` of arrays of one real floating dtype, without a
choice by `where`, which costs NumPy more than all the rest where signs are mixed. NumPy evaluates
it over blocks that stay in the cache, in 32 bits for 16-bit floats.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from volta.core.derivatives import Partial
from volta.core.types import HALVES, SCALARS, as_dtype
from volta.functional.declare import REAL_FLOATING, batch_elementwise, elementwise_type, primitive
from volta.functional.elementwise import abs as _abs
from volta.functional.elementwise import clip
from volta.functional.reduction import in_32_bits

__all__ = ["curve", "kernels_of", "rectifier", "steps", "wide"]

Formula = Callable[..., Any]

_BLOCK: Final = 8192  # elements; 1024² of them take a third of the time in blocks


def kernels_of(formula: Formula, **own: Formula) -> dict[str, Any]:
    """Options `value` and `kernels` of a primitive that a formula computes."""

    def value(xp: Any, x: Any, *others: Any) -> Any:
        halves = _halves(x, others)
        with np.errstate(all="ignore"):
            if not halves:
                return formula(xp, x, *others)
            wide = [a if type(a) in SCALARS else xp.astype(a, xp.float32) for a in (x, *others)]
            return xp.astype(formula(xp, *wide), x.dtype)

    def dask(x: Any, *others: Any) -> Any:
        _halves(x, others)  # here, not when it is computed
        elemwise = sys.modules["dask"].array.core.elemwise
        return elemwise(functools.partial(value, np), x, *others)

    numpy: Any = functools.partial(_numpy, formula)
    numpy.formula = formula  # which `volta.compile` writes out
    return {"value": value, "kernels": {"numpy": numpy, "dask.array": dask, **own}}


def _halves(x: Any, others: tuple[Any, ...]) -> bool:
    """Whether all arrays are of one dtype of 16 bits; the type rule tells what is no float."""
    dtypes = {as_dtype(a.dtype) for a in (x, *others) if type(a) not in SCALARS}
    if any(dtype.kind != "float" for dtype in dtypes):
        raise TypeError(x)
    return len(dtypes) == 1 and dtypes <= HALVES


def _numpy(formula: Formula, x: Any, *others: Any) -> Any:
    plain = type(x) is np.ndarray and x.dtype.char in "fd"
    arrays = [i for i, a in enumerate(others) if type(a) not in SCALARS]
    for i in arrays:
        a = others[i]
        plain = plain and type(a) is np.ndarray and a.dtype is x.dtype and a.shape == x.shape
    if not plain and _halves(x, others):
        wide = [a if type(a) in SCALARS else a.astype(np.float32) for a in (x, *others)]
        return _numpy(formula, *wide).astype(x.dtype)
    with np.errstate(all="ignore"):
        if not plain or x.size <= _BLOCK:
            return formula(np, x, *others)
        out = np.empty(x.shape, x.dtype)
        made, *given = (a.reshape(-1) for a in (out, x, *(others[i] for i in arrays)))
        block = list(others)
        for start in range(0, x.size, _BLOCK):
            part = slice(start, start + _BLOCK)
            for i, a in zip(arrays, given[1:], strict=True):
                block[i] = a[part]
            made[part] = formula(np, given[0][part], *block)
    return out


def wide(rule: Callable[[Any], Any], x: Any) -> Any:
    """``rule(x)``, by functions of the op set, in 32 bits for 16-bit floats."""
    return in_32_bits(rule, x) if as_dtype(x.dtype) in HALVES else rule(x)


def curve(name: str, formula: Formula, slope: Callable[[Any], Any], **own: Formula) -> Any:
    """Primitive of one operand by a formula, and its derivative by functions of the op set."""
    rule = elementwise_type(name, REAL_FLOATING, "same")
    made: Any = primitive(
        name,
        type_rule=lambda x: rule(x),
        batch=lambda *args: batch_elementwise(made, *args),
        derivatives=(Partial(lambda _out, x: wide(slope, x)),),
        elementwise=True,
        **kernels_of(formula, **own),
    )
    return made


def steps(xp: Any, x: Any) -> Any:
    """1 where `x` is positive, else 0, in its dtype."""
    return xp.astype(x > 0, x.dtype)


def rectifier(
    name: str,
    rest: Formula,
    slope: Formula,
    curvature: Callable[[Any], Any],
    *,
    bound: float,
    torch: Formula,
    torch_slope: Formula,
) -> Any:
    """Primitive of a smooth rectifier, ``f(x) = max(x, 0) + rest(|x|)``.

    That is one with ``f(x) − f(−x) = x``; its slope is ``slope(|x|)`` on the left, one minus that
    on the right, with every digit of small numbers.

    Parameters
    ----------
    name : str
        The primitive of the slope is called ``{name}_slope``.
    rest, slope : formula
        Of |x|, up to `bound`.
    curvature : callable
        Second derivative at |x|, by functions of the op set.
    bound : float
        Where all three are constant in 64 bits.
    torch, torch_slope : callable
        PyTorch's own functions.
    """

    def value(xp: Any, x: Any) -> Any:
        return xp.maximum(x, 0) + rest(xp, xp.minimum(xp.abs(x), bound))

    def slope_value(xp: Any, x: Any) -> Any:
        right = steps(xp, x)
        return right + (1 - 2 * right) * slope(xp, xp.minimum(xp.abs(x), bound))

    second = curve(
        f"{name}_slope",
        slope_value,
        lambda x: curvature(clip(_abs(x), 0, bound)),
        torch=torch_slope,
    )
    return curve(name, value, second, torch=torch)
