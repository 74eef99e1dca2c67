"""A function of each element, one after another: `map`."""

from collections.abc import Callable
from typing import Any

from volta.core import tree
from volta.core.keywords import suggesting
from volta.core.trace import located, ops
from volta.transforms.arguments import array_leaves, name_of
from volta.transforms.scan import common_length, run_steps
from volta.transforms.vmap import vmap

__all__ = ["map"]


@suggesting
def map(f: Callable[[Any], Any], xs: Any, *, batch_size: int | None = None) -> Any:
    """Apply `f` to each element of arrays, one after another, and stack the results.

    Parameters
    ----------
    f : callable
        Function of a tree of elements.
    xs : tree
        Of arrays of one length, shape (length, ...).
    batch_size : int, optional
        How many elements to compute at once, by `vmap`; at least 1.

    Returns
    -------
    tree
        Results, stacked along a leading axis.

    Raises
    ------
    ShapeError
        If lengths differ.
    TypeError
        If there is no array.
    ValueError
        If `batch_size` is less than 1.

    Examples
    --------
    >>> import numpy as np, volta
    >>> volta.map(lambda x: x**2, np.asarray([1.0, 2.0, 3.0]))
    array([1., 4., 9.])
    """
    where = f"map({name_of(f)})"
    if batch_size is not None and batch_size < 1:
        msg = f"{where}: batch_size must be at least 1; got {batch_size}."
        raise located(ValueError(msg))
    leaves, spec = array_leaves(xs, where)
    if not leaves:
        msg = f"{where}: needs arrays to map over; got none."
        raise located(TypeError(msg))
    length = common_length(where, leaves, spec)

    def over(fun: Callable[[Any], Any], xs: Any) -> Any:
        return run_steps(where, f, lambda _, x: ((), fun(x)), (), xs)[1]

    if batch_size is None:
        return over(f, tree.unflatten(spec, leaves))
    many = vmap(f)
    whole, left = divmod(length, batch_size)
    parts = []
    if whole:
        blocks = [
            ops.reshape(x[: whole * batch_size, ...], (whole, batch_size, *x.shape[1:]))
            for x in leaves
        ]
        stacked = over(many, tree.unflatten(spec, blocks))
        parts.append(tree.map(lambda y: ops.reshape(y, (-1, *y.shape[2:])), stacked))
    if left or not whole:
        parts.append(
            many(tree.map(lambda x: x[whole * batch_size :, ...], tree.unflatten(spec, leaves)))
        )
    return parts[0] if len(parts) == 1 else tree.map(lambda *ys: ops.concat(ys), *parts)
