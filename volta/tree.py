"""Trees of arrays: JAX's names over optree, and `to`, which moves a tree elsewhere."""

import math
from collections.abc import Callable
from typing import Any

from volta.core.errors import ShapeError
from volta.core.trace import located
from volta.core.tree import *  # noqa: F403 - core.tree's __all__ is this module's
from volta.core.tree import __all__ as _core
from volta.core.tree import flatten as _flatten
from volta.core.tree import map as _map
from volta.core.tree import unflatten as _unflatten
from volta.core.types import SCALARS
from volta.functional import asarray, astype, concat, reshape, to_device, zeros

__all__ = [*_core, "ravel_pytree", "to"]


def ravel_pytree(tree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Put the arrays of a tree into one vector.

    Parameters
    ----------
    tree : tree
        Of arrays of one library, and numbers.

    Returns
    -------
    flat : array, shape (n,)
        The elements of all leaves, in order, in the dtype that they promote to.
    unravel : callable
        From a vector of that shape to a tree like `tree`, of its shapes and dtypes and of the
        vector's library.

    Raises
    ------
    ShapeError
        From `unravel`, if the vector has another shape.

    Notes
    -----
    Both are differentiable.

    Examples
    --------
    >>> import numpy as np
    >>> flat, unravel = ravel_pytree({"w": np.ones((2, 1)), "b": np.asarray(0.5)})
    >>> flat
    array([0.5, 1. , 1. ])
    >>> unravel(2 * flat)
    {'w': array([[2.],
           [2.]]), 'b': array(1.)}
    """
    leaves, spec = _flatten(tree)
    arrays = [asarray(x) if type(x) in SCALARS else x for x in leaves]
    shapes = [tuple(x.shape) for x in arrays]
    dtypes = [x.dtype for x in arrays]
    sizes = [math.prod(shape) for shape in shapes]
    total = sum(sizes)
    flat = concat([reshape(x, (-1,)) for x in arrays]) if arrays else zeros(0)

    def unravel(flat: Any) -> Any:
        if tuple(flat.shape) != (total,):
            msg = (
                f"ravel_pytree: unravel takes a vector of shape ({total},); got shape "
                f"{tuple(flat.shape)}."
            )
            raise located(ShapeError(msg))
        found, start = [], 0
        for size, shape, dtype in zip(sizes, shapes, dtypes, strict=True):
            part = reshape(flat[start : start + size], shape)
            found.append(astype(part, dtype, copy=False))
            start += size
        return _unflatten(spec, found)

    return flat, unravel


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
