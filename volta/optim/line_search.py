"""Line search: a step along a direction that meets the strong Wolfe conditions."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["strong_wolfe"]


class Point(NamedTuple):
    """Where a line search has been: step, value, slope along the direction, and the gradient."""

    t: Any
    value: Any
    slope: Any
    grad: Any


def strong_wolfe(
    line: Callable[[Any], Point],
    start: Point,
    first: Any,
    longest: Any,
    *,
    c1: float = 1e-4,
    c2: float = 0.9,
    tolerance_change: float = 1e-9,
    max_steps: int = 25,
) -> tuple[Point, int]:
    """Point with less value and slope, and how often `line` was called; not at all uphill.

    `line` maps a step to its point, `start` is that of 0, `first` the step to try first, and
    `longest` the largest number of the direction. First steps grow until they bracket a minimum,
    then the bracket shrinks by interpolation with cubics. (J. Nocedal, S. J. Wright, "Numerical
    optimization", 2nd edition, Springer 2006, algorithms 3.5 and 3.6, equation 3.59, with M.
    Schmidt's safeguards of minFunc, 2005, which PyTorch has too.)
    """
    if not start.slope < 0:
        return start, 0
    before, now = start, line(first)
    calls, steps = 1, 0
    bracket = None
    while steps < max_steps:
        high = now.value > start.value + c1 * now.t * start.slope
        if high or (steps > 1 and now.value >= before.value):
            bracket = [before, now]
            break
        if abs(now.slope) <= -c2 * start.slope:
            return now, calls
        if now.slope >= 0:
            bracket = [before, now]
            break
        least, most = now.t + 0.01 * (now.t - before.t), now.t * 10
        t = _cubic_minimum(before, now, least, most)
        before, now = now, line(t)
        calls, steps = calls + 1, steps + 1
    if bracket is None:
        bracket = [start, now]
    low, other = bracket if bracket[0].value <= bracket[1].value else reversed(bracket)
    least = tolerance_change / longest if longest else math.inf
    return _zoom(line, start, low, other, calls, max_steps - steps, least, c1, c2)


def _zoom(
    line: Callable[[Any], Point],
    start: Point,
    low: Point,
    high: Point,
    calls: int,
    steps: int,
    least: Any,
    c1: float,
    c2: float,
) -> tuple[Point, int]:
    """Best point of a bracket; `low` is its end with less value."""
    little = False  # whether the last step came too near an end
    while steps > 0 and abs(high.t - low.t) >= least:
        left, right = (low.t, high.t) if low.t <= high.t else (high.t, low.t)
        t = _cubic_minimum(low, high, left, right)
        margin = 0.1 * (right - left)
        near = right - t < margin or t - left < margin
        if near and (little or t >= right or t <= left):
            t = right - margin if abs(t - right) < abs(t - left) else left + margin
            near = False
        little = near
        now = line(t)
        calls, steps = calls + 1, steps - 1
        if now.value > start.value + c1 * t * start.slope or now.value >= low.value:
            low, high = (low, now) if low.value <= now.value else (now, low)
            continue
        if abs(now.slope) <= -c2 * start.slope:
            return now, calls
        if now.slope * (high.t - low.t) >= 0:
            high = low
        low = now
    return low, calls


def _cubic_minimum(a: Point, b: Point, least: Any, most: Any) -> Any:
    """Minimum, within bounds, of the cubic through two points with their slopes."""
    if b.t < a.t:
        a, b = b, a
    d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if square < 0:
        return (least + most) / 2
    d2 = square**0.5
    if b.slope - a.slope + 2 * d2 == 0:
        return (least + most) / 2
    t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
    return least if t < least else most if t > most else t
