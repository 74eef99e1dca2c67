"""Running means of gradients, and the frame of rules that act on one parameter at a time."""

import math
from collections.abc import Callable
from typing import Any, Final

from volta.core.trace import ops
from volta.core.types import as_dtype
from volta.optim.base import Optimizer, following, kept, known, leafwise, no_steps, times

__all__ = [
    "correction",
    "debiased",
    "elementwise",
    "like",
    "power",
    "real",
    "real_like",
    "root",
    "running",
    "squared",
    "widened",
    "with_nesterov",
]


def elementwise(
    operation: str,
    state_type: Callable[..., Any],
    start: Callable[[Any], tuple[Any, ...]],
    rule: Callable[..., tuple[Any, ...]],
) -> Optimizer:
    """Optimizer that treats every parameter alike.

    `state_type` is a named tuple of ``count``, the number of steps, and trees. `start` maps a
    parameter to what each of these trees holds at first, and `rule` maps a gradient, the number of
    the step from 1 on, and what they hold to an update and what they hold next. Gradients of 16
    bits are given in 32; dtypes of updates and state stay what they were, whatever `rule` returns.
    """
    names = state_type._fields[1:]  # type: ignore[attr-defined]  # of a named tuple's class

    def init(params: Any) -> Any:
        trees = leafwise(f"{operation}.init", start, results=len(names), params=params)
        return state_type(no_steps(), *trees)

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        count = following(state.count)
        t = known(count)

        def leaf(g: Any, *old: Any) -> list[Any]:
            new = rule(widened(g), t, *map(widened, old))
            return [kept(x, before) for x, before in zip(new, (g, *old), strict=True)]

        trees = {name: getattr(state, name) for name in names}
        updates, *after = leafwise(
            f"{operation}.update", leaf, results=1 + len(names), grads=grads, **trees
        )
        return updates, state_type(count, *after)

    return Optimizer(init, update)


def widened(x: Any) -> Any:
    """Array in the dtype that it is computed with: 16 bits are too few for squares and means."""
    return ops.astype(x, "float32") if as_dtype(x.dtype).name in _NARROW else x


def like(p: Any, value: float = 0.0, dtype: Any = None) -> Any:
    """Moment of the shape of a parameter, in its dtype, or float32 for one of 16 bits.

    A real `dtype` is not for complex parameters.
    """
    if dtype is None or (_kind(p.dtype) == "complex" and _kind(dtype) != "complex"):
        dtype = _NARROW.get(as_dtype(p.dtype).name, p.dtype)
    return ops.full_like(p, value, dtype=dtype) if value else ops.zeros_like(p, dtype=dtype)


def real_like(p: Any, value: float = 0.0) -> Any:
    """Moment of squares: as `like`, and real for a complex parameter."""
    dtype = _REAL.get(as_dtype(p.dtype).name)
    if dtype is None:
        return like(p, value)
    return ops.full_like(p, value, dtype=dtype)


def _kind(dtype: Any) -> str:
    return as_dtype(dtype).kind


_NARROW: Final = {"float16": "float32", "bfloat16": "float32"}
_REAL: Final = {"complex64": "float32", "complex128": "float64"}


def running(mean: Any, x: Any, decay: Any) -> Any:
    """``decay · mean + (1 − decay) · x``."""
    return ops.add(times(mean, decay), times(x, 1 - decay))


def squared(g: Any) -> Any:
    """``|g|²``, real."""
    if as_dtype(g.dtype).kind == "complex":
        return ops.add(ops.square(ops.real(g)), ops.square(ops.imag(g)))
    return ops.square(g)


def root(square: Any) -> Any:
    """Square root of what is not negative, whose derivative at 0 is 0."""
    none = ops.equal(square, 0)
    return ops.where(none, 0.0, ops.sqrt(ops.where(none, 1.0, square)))


def power(b: Any, t: Any, x: Any) -> Any:
    """``bᵗ``: a Python number where both are, else an array of the real dtype of `x`."""
    if type(t) is int and type(b) in (int, float):
        return b**t
    t = real(t, x)
    if type(b) in (int, float):
        return ops.exp(ops.multiply(t, math.log(b))) if b else 0.0
    return ops.pow(real(b, x), t)


def real(t: Any, x: Any) -> Any:
    """Number as a Python float, or as an array of the real dtype of `x`."""
    if not hasattr(t, "dtype"):
        return float(t)
    return ops.astype(t, _REAL.get(as_dtype(x.dtype).name, x.dtype))


def debiased(mean: Any, decay: Any, t: Any) -> Any:
    """Running mean of t terms that began with zero, divided by the weight of the terms."""
    return ops.divide(mean, correction(decay, t, mean))


def correction(b: Any, t: Any, x: Any) -> Any:
    """``1 − bᵗ``, to full precision where b is near 1: a Python number, or an array like `x`."""
    if type(t) is int or type(b) not in (int, float) or not b:
        return 1 - power(b, t, x)
    return ops.negative(ops.expm1(ops.multiply(real(t, x), math.log(b))))


def with_nesterov(mean: Any, g: Any, decay: Any, t: Any) -> Any:
    """Mean that looks one step ahead: as `debiased`, with the gradient counted once more."""
    return running(debiased(mean, decay, _next(t)), debiased(g, decay, t), decay)


def _next(t: Any) -> Any:
    return t + 1 if type(t) is int else ops.add(t, 1)
