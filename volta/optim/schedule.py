"""Schedules: pure functions from the number of steps so far to a value; optax's names.

A schedule is accepted wherever a learning rate is, and by `scale_by_schedule`; the number of steps
lives in the optimizer's state. Of a Python integer it makes a Python number, of an array of them an
array: float32 for integers, else of the array's dtype.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from volta.core.keywords import suggesting
from volta.core.trace import located, ops
from volta.core.types import as_dtype
from volta.optim.base import check_number, check_positive

__all__ = [
    "constant_schedule",
    "cosine_decay_schedule",
    "cosine_onecycle_schedule",
    "exponential_decay",
    "join_schedules",
    "linear_onecycle_schedule",
    "linear_schedule",
    "piecewise_constant_schedule",
    "piecewise_interpolate_schedule",
    "polynomial_schedule",
    "sgdr_schedule",
    "warmup_constant_schedule",
    "warmup_cosine_decay_schedule",
    "warmup_exponential_decay_schedule",
]

Schedule = Callable[[Any], Any]


@suggesting
def constant_schedule(value: Any) -> Schedule:
    """Give the same value in every step.

    Parameters
    ----------
    value : float, or array of shape ()

    Returns
    -------
    callable
        From the number of steps so far, an integer or an array of them, to the value.

    Examples
    --------
    >>> volta.optim.constant_schedule(0.1)(7)
    0.1
    """
    return lambda step: value


@suggesting
def polynomial_schedule(
    init_value: Any, end_value: Any, power: Any, transition_steps: int, transition_begin: int = 0
) -> Schedule:
    """Go from one value to another along a power.

    Parameters
    ----------
    init_value : float, or array of shape ()
        Value at first.
    end_value : float, or array of shape ()
        Value at last.
    power : float, or array of shape ()
        1 for a line.
    transition_steps : int
        Steps that it takes, at least 1.
    transition_begin : int
        Steps before it begins.

    Returns
    -------
    callable
        From the number of steps so far, an integer or an array of them, to the value.

    Raises
    ------
    ValueError
        If a number of steps is out of its range.

    Notes
    -----
    ``end + (init − end) · (1 − t)^power`` with t from 0 to 1.

    Examples
    --------
    >>> volta.optim.polynomial_schedule(1.0, 0.0, 2, 10)(5)
    0.25
    """
    check_number("polynomial_schedule", "transition_steps", transition_steps, least=1)
    check_number("polynomial_schedule", "transition_begin", transition_begin)

    def schedule(step: Any) -> Any:
        done = _clip(_real(step) - transition_begin, 0, transition_steps) / transition_steps
        return (init_value - end_value) * (1 - done) ** power + end_value

    return schedule


@suggesting
def linear_schedule(
    init_value: Any, end_value: Any, transition_steps: int, transition_begin: int = 0
) -> Schedule:
    """Go from one value to another along a line.

    Parameters
    ----------
    init_value, end_value, transition_steps, transition_begin
        See `polynomial_schedule`.

    Returns
    -------
    callable
        From the number of steps so far, an integer or an array of them, to the value.

    Raises
    ------
    ValueError
        If a number of steps is out of its range.

    Examples
    --------
    >>> volta.optim.linear_schedule(0.0, 1.0, 10)(5)
    0.5
    """
    return polynomial_schedule(init_value, end_value, 1, transition_steps, transition_begin)


@suggesting
def exponential_decay(
    init_value: Any,
    transition_steps: int,
    decay_rate: Any,
    transition_begin: int = 0,
    staircase: bool = False,
    end_value: Any = None,
) -> Schedule:
    """Multiply by a factor every so many steps.

    Parameters
    ----------
    init_value : float, or array of shape ()
        Value at first.
    transition_steps : int
        Steps in which the value is multiplied by `decay_rate`, at least 1.
    decay_rate : float, or array of shape ()
        Positive.
    transition_begin : int
        Steps before it begins.
    staircase : bool
        Whether the value changes only every `transition_steps`.
    end_value : float, or array of shape (), optional
        Bound: from below if `decay_rate` is less than 1, else from above.

    Returns
    -------
    callable
        From the number of steps so far, an integer or an array of them, to the value.

    Raises
    ------
    ValueError
        If a number of steps is out of its range.

    Notes
    -----
    ``init · decay_rate ^ (step / transition_steps)``.

    Examples
    --------
    >>> volta.optim.exponential_decay(1.0, 10, 0.5)(20)
    0.25
    """
    check_number("exponential_decay", "transition_steps", transition_steps, least=1)
    check_number("exponential_decay", "transition_begin", transition_begin)
    check_positive("exponential_decay", "decay_rate", decay_rate)

    def schedule(step: Any) -> Any:
        exponent = _larger(_real(step) - transition_begin, 0) / transition_steps
        value = init_value * decay_rate ** (_floor(exponent) if staircase else exponent)
        if end_value is None:
            return value
        return _larger(value, end_value) if decay_rate < 1 else _smaller(value, end_value)

    return schedule


@suggesting
def cosine_decay_schedule(
    init_value: Any, decay_steps: int, alpha: Any = 0.0, exponent: Any = 1.0
) -> Schedule:
    """Fall along half a period of a cosine.

    Parameters
    ----------
    init_value : float, or array of shape ()
        Value at first.
    decay_steps : int
        Steps that it takes, at least 1.
    alpha : float, or array of shape ()
        Share of `init_value` at last.
    exponent : float, or array of shape ()
        Of the cosine.

    Returns
    -------
    callable
        From the number of steps so far, an integer or an array of them, to the value.

    Raises
    ------
    ValueError
        If a number of steps is out of its range.

    Notes
    -----
    ``init · (alpha + (1 − alpha) · (½ + ½ cos πt)^exponent)`` with t from 0 to 1.

    References
    ----------
    I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017,
    https://arxiv.org/abs/1608.03983, equation 5.

    Examples
    --------
    >>> volta.optim.cosine_decay_schedule(1.0, 10)(10)
    0.0
    """
    check_number("cosine_decay_schedule", "decay_steps", decay_steps, least=1)

    def schedule(step: Any) -> Any:
        done = _smaller(_real(step), decay_steps) / decay_steps
        cosine = 0.5 * (1 + _cos(math.pi * done))
        return init_value * ((1 - alpha) * cosine**exponent + alpha)

    return schedule


@suggesting
def piecewise_constant_schedule(
    init_value: Any, boundaries_and_scales: Mapping[int, Any] | None = None
) -> Schedule:
    """Multiply by a factor at given steps.

    Parameters
    ----------
    init_value : float, or array of shape ()
        Value at first.
    boundaries_and_scales : mapping of int to float, optional
        From a step on, the value is multiplied by the factor, which is not negative.

    Returns
    -------
    callable
        From the number of steps so far, an integer or an array of them, to the value.

    Raises
    ------
    ValueError
        If a factor is negative.

    Examples
    --------
    >>> schedule = volta.optim.piecewise_constant_schedule(1.0, {10: 0.5, 20: 0.5})
    >>> schedule(9), schedule(10), schedule(20)
    (1.0, 0.5, 0.25)
    """
    changes = _changes("piecewise_constant_schedule", boundaries_and_scales)

    def schedule(step: Any) -> Any:
        value = init_value
        for boundary, scale in changes:
            value = _select(step < boundary, value, value * scale)
        return value

    return schedule


@suggesting
def piecewise_interpolate_schedule(
    interpolate_type: str, init_value: Any, boundaries_and_scales: Mapping[int, Any] | None = None
) -> Schedule:
    """Go from value to value along lines or cosines.

    Parameters
    ----------
    interpolate_type : {"linear", "cosine"}
    init_value : float, or array of shape ()
        Value at first.
    boundaries_and_scales : mapping of int to float, optional
        At a step, the value has become that at the boundary before, times the factor.

    Returns
    -------
    callable
        From the number of steps so far, an integer or an array of them, to the value.

    Raises
    ------
    ValueError
        If a factor is negative, or the type unknown.

    Examples
    --------
    >>> volta.optim.piecewise_interpolate_schedule("linear", 1.0, {10: 0.5})(5)
    0.75
    """
    if interpolate_type not in ("linear", "cosine"):
        msg = (
            "piecewise_interpolate_schedule: interpolate_type must be 'linear' or 'cosine'; got "
            f"{interpolate_type!r}."
        )
        raise located(ValueError(msg))
    changes = _changes("piecewise_interpolate_schedule", boundaries_and_scales)
    points = [(0, init_value)]
    for boundary, scale in changes:
        points.append((boundary, points[-1][1] * scale))

    def schedule(step: Any) -> Any:
        value = points[-1][1]
        for (begin, start), (end, stop) in reversed(list(pairwise(points))):
            done = (_real(step) - begin) / max(end - begin, 1)
            if interpolate_type == "linear":
                between = start + (stop - start) * done
            else:
                between = stop + (start - stop) / 2 * (_cos(math.pi * done) + 1)
            value = _select(step < end, between, value)
        return value

    return schedule


@suggesting
def linear_onecycle_schedule(
    transition_steps: int,
    peak_value: Any,
    pct_start: float = 0.3,
    pct_final: float = 0.85,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Schedule:
    """Rise to a peak, fall back, and further to almost nothing, along lines.

    Parameters
    ----------
    transition_steps : int
        Steps of it all, at least 1.
    peak_value : float, or array of shape ()
    pct_start, pct_final : float
        Shares of the steps after which the peak, and the first value again, is reached:
        ``0 ≤ pct_start < pct_final < 1``.
    div_factor : float
        The peak over the first value, positive.
    final_div_factor : float
        The first value over the last, positive.

    Returns
    -------
    callable
        From the number of steps so far, an integer or an array of them, to the value.

    Raises
    ------
    ValueError
        If a number of steps is out of its range.

    References
    ----------
    L. N. Smith, N. Topin, "Super-convergence: very fast training of neural networks using large
    learning rates", 2018, https://arxiv.org/abs/1708.07120.

    Examples
    --------
    >>> volta.optim.linear_onecycle_schedule(100, 1.0)(30)
    1.0
    """
    _check_cycle("linear_onecycle_schedule", transition_steps, div_factor, final_div_factor)
    check_number("linear_onecycle_schedule", "pct_final", pct_final, 1.0)
    check_number("linear_onecycle_schedule", "pct_start", pct_start, pct_final)
    return piecewise_interpolate_schedule(
        "linear",
        peak_value / div_factor,
        {
            int(pct_start * transition_steps): div_factor,
            int(pct_final * transition_steps): 1 / div_factor,
            transition_steps: 1 / final_div_factor,
        },
    )


@suggesting
def cosine_onecycle_schedule(
    transition_steps: int,
    peak_value: Any,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Schedule:
    """Rise to a peak, and fall to almost nothing, along cosines.

    Parameters
    ----------
    transition_steps, peak_value, pct_start, div_factor, final_div_factor
        See `linear_onecycle_schedule`.

    Returns
    -------
    callable
        From the number of steps so far, an integer or an array of them, to the value.

    Raises
    ------
    ValueError
        If a number of steps is out of its range.

    References
    ----------
    L. N. Smith, N. Topin, "Super-convergence: very fast training of neural networks using large
    learning rates", 2018, https://arxiv.org/abs/1708.07120.

    Examples
    --------
    >>> volta.optim.cosine_onecycle_schedule(100, 1.0)(30)
    1.0
    """
    _check_cycle("cosine_onecycle_schedule", transition_steps, div_factor, final_div_factor)
    check_number("cosine_onecycle_schedule", "pct_start", pct_start, 1.0)
    return piecewise_interpolate_schedule(
        "cosine",
        peak_value / div_factor,
        {
            int(pct_start * transition_steps): div_factor,
            transition_steps: 1 / (div_factor * final_div_factor),
        },
    )


@suggesting
def warmup_constant_schedule(init_value: Any, peak_value: Any, warmup_steps: int) -> Schedule:
    """Rise along a line, and stay.

    Parameters
    ----------
    init_value : float, or array of shape ()
        Value at first.
    peak_value : float, or array of shape ()
    warmup_steps : int
        Steps that the rise takes; 0 for none.

    Returns
    -------
    callable
        From the number of steps so far, an integer or an array of them, to the value.

    Raises
    ------
    ValueError
        If a number of steps is out of its range.

    Examples
    --------
    >>> volta.optim.warmup_constant_schedule(0.0, 1.0, 10)(5)
    0.5
    """
    check_number("warmup_constant_schedule", "warmup_steps", warmup_steps)
    if not warmup_steps:
        return constant_schedule(peak_value)
    return linear_schedule(init_value, peak_value, warmup_steps)


@suggesting
def warmup_cosine_decay_schedule(
    init_value: Any,
    peak_value: Any,
    warmup_steps: int,
    decay_steps: int,
    end_value: Any = 0.0,
    exponent: Any = 1.0,
) -> Schedule:
    """Rise along a line, then fall along a cosine.

    Parameters
    ----------
    init_value : float, or array of shape ()
        Value at first.
    peak_value : float, or array of shape ()
    warmup_steps : int
        Steps that the rise takes.
    decay_steps : int
        Steps of both, more than `warmup_steps`.
    end_value : float, or array of shape ()
        Value at last.
    exponent : float, or array of shape ()
        See `cosine_decay_schedule`.

    Returns
    -------
    callable
        From the number of steps so far, an integer or an array of them, to the value.

    Raises
    ------
    ValueError
        If a number of steps is out of its range.

    Examples
    --------
    >>> volta.optim.warmup_cosine_decay_schedule(0.0, 1.0, 10, 100)(10)
    1.0
    """
    check_number("warmup_cosine_decay_schedule", "warmup_steps", warmup_steps)
    check_number("warmup_cosine_decay_schedule", "decay_steps", decay_steps, least=warmup_steps + 1)
    alpha = 0.0 if type(peak_value) in (int, float) and peak_value == 0 else end_value / peak_value
    return join_schedules(
        [
            warmup_constant_schedule(init_value, peak_value, warmup_steps),
            cosine_decay_schedule(peak_value, decay_steps - warmup_steps, alpha, exponent),
        ],
        [warmup_steps],
    )


@suggesting
def warmup_exponential_decay_schedule(
    init_value: Any,
    peak_value: Any,
    warmup_steps: int,
    transition_steps: int,
    decay_rate: Any,
    transition_begin: int = 0,
    staircase: bool = False,
    end_value: Any = None,
) -> Schedule:
    """Rise along a line, then multiply by a factor every so many steps.

    Parameters
    ----------
    init_value : float, or array of shape ()
        Value at first.
    peak_value : float, or array of shape ()
    warmup_steps : int
        Steps that the rise takes.
    transition_steps, decay_rate, transition_begin, staircase, end_value
        See `exponential_decay`.

    Returns
    -------
    callable
        From the number of steps so far, an integer or an array of them, to the value.

    Raises
    ------
    ValueError
        If a number of steps is out of its range.

    Examples
    --------
    >>> volta.optim.warmup_exponential_decay_schedule(0.0, 1.0, 10, 10, 0.5)(20)
    0.5
    """
    check_number("warmup_exponential_decay_schedule", "warmup_steps", warmup_steps)
    return join_schedules(
        [
            warmup_constant_schedule(init_value, peak_value, warmup_steps),
            exponential_decay(
                peak_value, transition_steps, decay_rate, transition_begin, staircase, end_value
            ),
        ],
        [warmup_steps],
    )


@suggesting
def sgdr_schedule(cosine_kwargs: Iterable[Mapping[str, Any]]) -> Schedule:
    """Begin again and again: several `warmup_cosine_decay_schedule` one after another.

    Parameters
    ----------
    cosine_kwargs : iterable of dict
        Their arguments.

    Returns
    -------
    callable
        From the number of steps so far, an integer or an array of them, to the value.

    Raises
    ------
    ValueError
        If a number of steps is out of its range.

    References
    ----------
    I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017,
    https://arxiv.org/abs/1608.03983.

    Examples
    --------
    >>> part = dict(init_value=0.0, peak_value=1.0, warmup_steps=1, decay_steps=10)
    >>> volta.optim.sgdr_schedule([part, part])(11)
    1.0
    """
    parts = list(cosine_kwargs)
    boundaries, total = [], 0
    for part in parts:
        total += part["decay_steps"]
        boundaries.append(total)
    return join_schedules([warmup_cosine_decay_schedule(**part) for part in parts], boundaries[:-1])


@suggesting
def join_schedules(schedules: Sequence[Schedule], boundaries: Sequence[int]) -> Schedule:
    """Follow one schedule after another.

    Parameters
    ----------
    schedules : sequence of callable
        Each counts its steps from where it begins.
    boundaries : sequence of int
        Steps at which the second begins, the third, and so on.

    Returns
    -------
    callable
        From the number of steps so far, an integer or an array of them, to the value.

    Raises
    ------
    ValueError
        If there is not one boundary less than there are schedules, or they do not increase.

    Examples
    --------
    >>> schedule = volta.optim.join_schedules([lambda t: 1.0, lambda t: 0.5**t], [10])
    >>> schedule(9), schedule(10), schedule(11)
    (1.0, 1.0, 0.5)
    """
    if len(boundaries) != len(schedules) - 1 or any(a > b for a, b in pairwise(boundaries)):
        msg = (
            "join_schedules: boundaries must increase, and be one less than the schedules; got "
            f"{list(boundaries)} for {len(schedules)} schedules."
        )
        raise located(ValueError(msg))

    def schedule(step: Any) -> Any:
        value = schedules[0](step)
        for boundary, following in zip(boundaries, schedules[1:], strict=True):
            if type(step) is int:
                value = value if step < boundary else following(step - boundary)
            else:
                value = _select(step < boundary, value, following(step - boundary))
        return value

    return schedule


def _check_cycle(operation: str, steps: Any, div_factor: Any, final_div_factor: Any) -> None:
    check_number(operation, "transition_steps", steps, least=1)
    check_positive(operation, "div_factor", div_factor)
    check_positive(operation, "final_div_factor", final_div_factor)


def _changes(operation: str, given: Mapping[int, Any] | None) -> list[tuple[int, Any]]:
    changes = sorted((given or {}).items())
    if any(type(scale) in (int, float) and scale < 0 for _, scale in changes):
        msg = f"{operation}: factors must not be negative; got {dict(changes)}."
        raise located(ValueError(msg))
    return changes


# The same on Python numbers and on arrays --------------------------------------------------------


def _real(step: Any) -> Any:
    """Number of steps as a floating number."""
    if not hasattr(step, "dtype"):
        return float(step)
    return step if as_dtype(step.dtype).kind == "float" else ops.astype(step, "float32")


def _is_array(*values: Any) -> bool:
    return any(hasattr(v, "dtype") for v in values)


def _select(condition: Any, x: Any, y: Any) -> Any:
    if not _is_array(condition):
        return x if condition else y
    if not _is_array(x):
        x = ops.full_like(condition, x, dtype="float32")
    return ops.where(condition, x, y)


def _larger(x: Any, y: Any) -> Any:
    return ops.maximum(x, y) if _is_array(x, y) else max(x, y)


def _smaller(x: Any, y: Any) -> Any:
    return ops.minimum(x, y) if _is_array(x, y) else min(x, y)


def _clip(x: Any, low: Any, high: Any) -> Any:
    return _smaller(_larger(x, low), high)


def _floor(x: Any) -> Any:
    return ops.floor(x) if _is_array(x) else math.floor(x)


def _cos(x: Any) -> Any:
    return ops.cos(x) if _is_array(x) else math.cos(x)
