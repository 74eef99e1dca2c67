"""Constants by hand: `lift`."""

from typing import Any

import numpy as np

from volta.core import tree
from volta.core.dispatch import NUMPY, library_of
from volta.core.tracer import Tracer, made
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

    Raises
    ------
    DTypeError
        If a leaf is neither array nor number.

    Examples
    --------
    >>> import numpy as np, volta
    >>> c = volta.lift(np.zeros(2))
    >>> c[0] = 1.0
    >>> float(c[0])
    1.0
    """

    def wrapped(leaf: Any) -> Any:
        if type(leaf) in SCALARS or type(leaf) is Tracer:
            return leaf
        return made(np.asarray(leaf) if library_of(leaf, "lift") is NUMPY else leaf)

    return tree.map(wrapped, x)
