"""Axis and shape arguments, checked once for every function that takes them."""

import operator
from typing import Any, Final

from volta.core.errors import DimensionError, DTypeError, ShapeError
from volta.core.trace import located

__all__ = ["integer", "normalize_axes", "normalize_axis", "normalize_shape", "per_axis"]


def _index(name: str, what: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        msg = f"{name}: {what} must be an integer; got {value!r}."
        raise located(DTypeError(msg)) from None


def normalize_axis(name: str, axis: Any, ndim: int) -> int:
    """Axis from 0 to ndim − 1.

    Raises
    ------
    DimensionError
        If an array of `ndim` axes has no such axis.
    DTypeError
        If `axis` is no integer.
    """
    if type(axis) is int and -ndim <= axis < ndim:  # the common case, at less cost
        return axis if axis >= 0 else axis + ndim
    i = _index(name, "axis", axis)
    if not -ndim <= i < ndim:
        msg = (
            f"{name}: axis must be from {-ndim} to {ndim - 1}; got {i} for an array of {ndim} "
            "axes. Under vmap the mapped axis is not counted."
        )
        raise located(DimensionError(msg))
    return i % ndim


_ALL: Final = tuple(tuple(range(n)) for n in range(9))


def normalize_axes(name: str, axis: Any, ndim: int) -> tuple[int, ...]:
    """Axes from 0 to ndim − 1, each once; None is all of them.

    Raises
    ------
    DimensionError
        If an array of `ndim` axes has no such axis.
    ShapeError
        If an axis is named twice.
    """
    if type(axis) is int and -ndim <= axis < ndim:
        return (axis if axis >= 0 else axis + ndim,)
    if axis is None:
        return _ALL[ndim] if ndim < len(_ALL) else tuple(range(ndim))
    if not isinstance(axis, tuple | list):
        return (normalize_axis(name, axis, ndim),)
    axes = tuple(normalize_axis(name, a, ndim) for a in axis)
    if len(set(axes)) != len(axes):
        msg = f"{name}: each axis must be named once; got {tuple(axis)}."
        raise located(ShapeError(msg))
    return axes


def normalize_shape(name: str, shape: Any) -> tuple[int, ...]:
    """Shape as a tuple of non-negative ints; an int is a shape of one axis.

    Raises
    ------
    ShapeError
        If a length is negative.
    """
    if type(shape) is tuple:
        for n in shape:
            if type(n) is not int or n < 0:
                break
        else:
            return shape
    lengths = (
        tuple(_index(name, "a length", n) for n in shape)
        if isinstance(shape, tuple | list)
        else (_index(name, "a length", shape),)
    )
    if any(n < 0 for n in lengths):
        msg = f"{name}: lengths must not be negative; got {lengths}."
        raise located(ShapeError(msg))
    return lengths


def integer(name: str, what: str, value: Any) -> int:
    """A number of an argument that takes one for each axis of space.

    Raises
    ------
    DTypeError
        If it is no integer.
    """
    try:
        return operator.index(value)
    except TypeError:
        msg = f"{name}: {what} must be an int, or one for each axis; got {value!r}."
        raise located(DTypeError(msg)) from None


def per_axis(name: str, what: str, value: Any, nd: int, least: int) -> tuple[int, ...]:
    """A number for each axis of space.

    Raises
    ------
    ValueError
        If there are as many neither as one nor as axes, or one is less than `least`.
    DTypeError
        If one is no integer.
    """
    given = list(value) if isinstance(value, tuple | list) else [value] * nd
    given = given * nd if len(given) == 1 else given
    numbers = tuple(integer(name, what, n) for n in given)
    if len(numbers) != nd or any(n < least for n in numbers):
        msg = (
            f"{name}: {what} must be an int of at least {least}, or one for each of {nd} axes; "
            f"got {value!r}."
        )
        raise located(ValueError(msg))
    return numbers
