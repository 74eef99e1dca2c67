"""Trees of arrays: JAX's names over optree, and `to`, which moves a tree elsewhere."""

from typing import Any

from volta.core.tree import *  # noqa: F403 - core.tree's __all__ is this module's
from volta.core.tree import __all__ as _core
from volta.core.tree import map as _map
from volta.core.types import SCALARS
from volta.functional import astype, to_device

__all__ = [*_core, "to"]


def to(tree: Any, *, xp: Any = None, device: Any = None, dtype: Any = None) -> Any:
    """Move the arrays of a tree to a library, a device, a dtype.

    Parameters
    ----------
    tree : tree
        Of arrays; numbers are left as they are.
    xp : namespace, optional
        Array library to move to, such as ``torch``.
    device : device, optional
        Device of that library.
    dtype : dtype, optional
        For the floating arrays; others keep theirs.

    Returns
    -------
    tree

    Raises
    ------
    DTypeError
        If the library has no such dtype.
    DeviceError
        If `xp` is no array namespace.

    Notes
    -----
    Differentiable: derivatives move back, and are converted back.

    Examples
    --------
    >>> import numpy as np
    >>> to({"w": np.ones(2)}, dtype="float32")
    {'w': array([1., 1.], dtype=float32)}
    """

    def move(x: Any) -> Any:
        if type(x) in SCALARS:
            return x
        if xp is not None or device is not None:
            x = to_device(x, device, xp=xp)
        floating = str(x.dtype).rsplit(".", 1)[-1].startswith(("float", "bfloat"))
        return astype(x, dtype, copy=False) if dtype is not None and floating else x

    return _map(move, tree)
