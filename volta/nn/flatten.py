"""Axes joined and split."""

import math
import operator
from collections.abc import Sequence
from typing import Any

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta.core.errors import DimensionError, ShapeError
from volta.core.trace import located
from volta.core.types import Array
from volta.nn.module import Module

__all__ = ["Flatten", "Unflatten"]


class Flatten(Module):
    """Join neighbouring axes into one, by default all but the first.

    Parameters
    ----------
    start_dim, end_dim : int
        First and last of the axes to join.

    Raises
    ------
    DimensionError
        From a call, if the input has no such axes, or in another order.

    Examples
    --------
    >>> volta.nn.Flatten()(np.ones((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim = start_dim
        self.end_dim = end_dim

    def __call__(self, x: Array) -> Any:
        """Join axes of `x`."""
        shape = tuple(x.shape)
        ndim = len(shape)
        start = self.start_dim + ndim if self.start_dim < 0 else self.start_dim
        end = self.end_dim + ndim if self.end_dim < 0 else self.end_dim
        if not 0 <= start <= end < ndim:
            msg = (
                f"Flatten: the input must have axes {self.start_dim} to {self.end_dim}; got shape "
                f"{shape}."
            )
            raise located(DimensionError(msg))
        joined = math.prod(shape[start : end + 1])
        return F.reshape(x, (*shape[:start], joined, *shape[end + 1 :]))


class Unflatten(Module):
    """Split an axis into several, the opposite of `Flatten`.

    Parameters
    ----------
    dim : int
        Axis to split.
    unflattened_size : tuple of int
        Lengths of the axes in its place; one may be −1.

    Raises
    ------
    DimensionError
        From a call, if the input has no such axis.
    ShapeError
        From a call, if the axis cannot be split so.

    Examples
    --------
    >>> volta.nn.Unflatten(1, (3, -1))(np.ones((2, 12))).shape
    (2, 3, 4)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        self.dim = dim
        self.unflattened_size = tuple(map(operator.index, unflattened_size))

    def __call__(self, x: Array) -> Any:
        """Split an axis of `x`."""
        shape = tuple(x.shape)
        axis = self.dim + len(shape) if self.dim < 0 else self.dim
        if not 0 <= axis < len(shape):
            msg = f"Unflatten: the input must have axis {self.dim}; got shape {shape}."
            raise located(DimensionError(msg))
        sizes = self.unflattened_size
        known = math.prod(n for n in sizes if n >= 0)
        open_axes = sum(n < 0 for n in sizes)
        fits = shape[axis] % known == 0 if open_axes and known else shape[axis] == known
        if open_axes > 1 or min(sizes, default=1) < -1 or not fits:
            msg = (
                f"Unflatten: the sizes must multiply to the length of axis {self.dim}; got {sizes} "
                f"and shape {shape}."
            )
            raise located(ShapeError(msg))
        parts = tuple(n if n >= 0 else shape[axis] // (known or 1) for n in sizes)
        return F.reshape(x, (*shape[:axis], *parts, *shape[axis + 1 :]))
