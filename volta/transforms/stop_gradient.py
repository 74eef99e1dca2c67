"""Cutting derivatives: `stop_gradient`."""

from typing import Any

from volta.core import tree
from volta.core.trace import ops
from volta.core.types import SCALARS

__all__ = ["stop_gradient"]


def stop_gradient(x: Any) -> Any:
    """Return `x` with the derivative of a constant, under every transform.

    Parameters
    ----------
    x : tree
        Of arrays and numbers.

    Returns
    -------
    tree
        Same values.

    Examples
    --------
    >>> import numpy as np, volta
    >>> volta.grad(lambda x: x * volta.stop_gradient(x))(np.asarray(3.0))
    array(3.)
    """
    return tree.map(lambda leaf: leaf if type(leaf) in SCALARS else ops.stop_gradient(leaf), x)
