"""What losses share: checks of shapes, reductions, and 16-bit floats in 32 bits."""

from collections.abc import Callable
from typing import Any

from volta.core.errors import BroadcastError, ShapeError
from volta.core.trace import located, ops
from volta.core.types import DTYPES, HALVES, as_dtype, broadcast_shapes, typeof
from volta.functional.elementwise import divide, multiply
from volta.functional.reduction import mean
from volta.functional.reduction import sum as _sum

__all__ = [
    "check_one_shape",
    "check_reduction",
    "in_32_bits",
    "mean_over",
    "reduced",
    "weighted",
]


def check_reduction(name: str, reduction: str, *more: str) -> None:
    """Refuse a reduction that does not exist."""
    if reduction not in ("mean", "sum", "none", *more):
        known = ("'mean'", "'sum'", *(repr(m) for m in more))
        msg = f"{name}: reduction must be {', '.join(known)} or 'none'; got {reduction!r}."
        raise located(ValueError(msg))


def reduced(name: str, losses: Any, reduction: str) -> Any:
    """Mean or sum of losses, or the losses."""
    if reduction == "mean":
        return mean(losses)
    if reduction == "sum":
        return _sum(losses)
    check_reduction(name, reduction)
    return losses


def mean_over(losses: Any, factors: Any) -> Any:
    """``Σ losses / Σ factors``, in 32 bits for 16-bit losses, whose count may not fit."""
    if typeof(losses).dtype.itemsize > 2:
        return divide(_sum(losses), _sum(factors))
    wide = [_sum(ops.astype(a, DTYPES["float32"])) for a in (losses, factors)]
    return ops.astype(divide(*wide), losses.dtype)


def check_one_shape(name: str, **arrays: Any) -> None:
    """Refuse arrays of several shapes: broadcasting a target is most often an oversight."""
    shapes = [tuple(a.shape) for a in arrays.values()]
    for shape in shapes[1:]:
        if shape != shapes[0]:
            *first, last = arrays
            msg = (
                f"{name}: {', '.join(first)} and {last} must have one shape; got "
                f"{', '.join(map(str, shapes[:-1]))} and {shapes[-1]}."
            )
            raise located(ShapeError(msg))


def weighted(name: str, what: str, losses: Any, factors: Any) -> Any:
    """Losses times factors that broadcast to their shape."""
    if factors is None:
        return losses
    shape = tuple(losses.shape)
    try:
        spread = broadcast_shapes(name, shape, tuple(factors.shape))
    except BroadcastError:
        spread = ()
    if spread != shape:
        msg = f"{name}: {what} must broadcast to {shape}; got shape {tuple(factors.shape)}."
        raise located(ShapeError(msg))
    return multiply(losses, factors)


def in_32_bits(function: Callable[..., Any], *arrays: Any) -> Any:
    """``function(*arrays)``, whose intermediate results 16-bit floats would not hold."""
    dtypes = {as_dtype(a.dtype) for a in arrays}
    if not dtypes <= HALVES or len(dtypes) > 1:
        return function(*arrays)
    wide = [ops.astype(a, DTYPES["float32"]) for a in arrays]
    return ops.astype(function(*wide), arrays[0].dtype)
