"""Constants by hand: `lift`."""

from typing import Any

from volta.core import tree
from volta.core.tracer import constant
from volta.core.types import SCALARS

__all__ = ["lift"]


def lift(x: Any) -> Any:
    """Wrap the arrays of a tree as constants, handles that mix with traced arrays anywhere.

    For code that asks arrays for their namespace: a NumPy array and a traced one would give two.

    Parameters
    ----------
    x : tree
        Of arrays; numbers are left as they are.

    Returns
    -------
    tree

    Examples
    --------
    >>> import numpy as np, volta
    >>> c = volta.lift(np.zeros(2))
    >>> c[0] = 1.0
    >>> float(c[0])
    1.0
    """
    return tree.map(lambda leaf: leaf if type(leaf) in SCALARS else constant(leaf), x)
