"""Flattening of axes."""

import math
from typing import Any

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta.core.errors import DimensionError
from volta.core.trace import located
from volta.core.types import Array
from volta.nn.module import Module

__all__ = ["Flatten"]


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
