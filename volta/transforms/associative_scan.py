"""Running combinations in few steps: `associative_scan`."""

from collections.abc import Callable
from typing import Any

from volta.core import tree
from volta.core.errors import DimensionError, ShapeError
from volta.core.keywords import suggesting
from volta.core.trace import ops
from volta.core.types import typeof
from volta.transforms.arguments import array_leaves, name_of, path_of

__all__ = ["associative_scan"]


@suggesting
def associative_scan(
    fn: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0
) -> Any:
    """Combine the elements along an axis from the first to each, in about 2 log₂ n rounds.

    Parameters
    ----------
    fn : callable
        Associative function of two trees like `elems`, ``fn(fn(a, b), c) = fn(a, fn(b, c))``. It
        is given many pairs at once: arrays with some of the elements along `axis`.
    elems : tree
        Of arrays of one length n along `axis`.
    reverse : bool
        Whether to combine from the last to each, ``fn(later, earlier)``.
    axis : int
        Axis of the elements.

    Returns
    -------
    tree
        Like `elems`; element i is the combination of those from the first to i.

    Raises
    ------
    DimensionError
        If an array has no such axis.
    ShapeError
        If lengths differ, there is no array, or `fn` changes the structure or types.

    References
    ----------
    G. E. Blelloch, "Prefix sums and their applications", CMU-CS-90-190 (1990), section 1.2.

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> volta.associative_scan(F.multiply, np.asarray([1.0, 2.0, 3.0, 4.0]))
    array([ 1.,  2.,  6., 24.])
    """
    where = f"associative_scan({name_of(fn)})"
    leaves, spec = array_leaves(elems, where)
    axes, length = _axes(where, leaves, spec, axis)

    def part(xs: list[Any], start: int, stop: int | None, step: int = 1) -> list[Any]:
        key = slice(start, stop, step)
        return [x[(*[slice(None)] * a, key, ...)] for x, a in zip(xs, axes, strict=True)]

    def combined(a: list[Any], b: list[Any]) -> list[Any]:
        found, found_spec = tree.flatten(fn(tree.unflatten(spec, a), tree.unflatten(spec, b)))
        if found_spec != spec:
            msg = f"{where}: fn must return the structure of elems; got {found_spec} and {spec}."
            raise ShapeError(msg)
        for i, (x, y) in enumerate(zip(a, found, strict=True)):
            if typeof(x) != typeof(y):
                path = path_of(spec, i).replace("input", "elems", 1)
                msg = (
                    f"{where}: fn must return arrays like those it is given; got {typeof(y)} and "
                    f"{typeof(x)} at {path}."
                )
                raise ShapeError(msg)
        return found

    def joined(a: list[Any], b: list[Any]) -> list[Any]:
        return [ops.concat([x, y], axis=k) for x, y, k in zip(a, b, axes, strict=True)]

    def woven(even: list[Any], odd: list[Any], n: int) -> list[Any]:
        """Elements in turn from both."""
        half = n // 2
        pairs = [
            ops.reshape(ops.stack([x, y], axis=k + 1), (*y.shape[:k], 2 * half, *y.shape[k + 1 :]))
            for x, y, k in zip(part(even, 0, half), odd, axes, strict=True)
        ]
        return joined(pairs, part(even, half, None)) if n % 2 else pairs

    def run(xs: list[Any], n: int) -> list[Any]:
        if n < 2:
            return xs
        odd = run(combined(part(xs, 0, n - 1, 2), part(xs, 1, n, 2)), n // 2)
        if n == 2:
            return joined(part(xs, 0, 1), odd)
        even = combined(part(odd, 0, (n - 1) // 2), part(xs, 2, n, 2))
        return woven(joined(part(xs, 0, 1), even), odd, n)

    def turned(xs: list[Any]) -> list[Any]:
        return [ops.flip(x, axis=a) for x, a in zip(xs, axes, strict=True)] if reverse else xs

    return tree.unflatten(spec, turned(run(turned(leaves), length)))


def _axes(where: str, leaves: list[Any], spec: tree.PyTreeSpec, axis: int) -> tuple[list[int], int]:
    """Axis of each array, and their one length along it."""
    if not leaves:
        msg = f"{where}: elems must hold an array; got none."
        raise ShapeError(msg)
    axes = []
    for i, x in enumerate(leaves):
        if not -len(x.shape) <= axis < len(x.shape):
            path = path_of(spec, i).replace("input", "elems", 1)
            msg = (
                f"{where}: axis must be one of the array's; got {axis} for shape "
                f"{tuple(x.shape)} at {path}."
            )
            raise DimensionError(msg)
        axes.append(axis % len(x.shape))
    lengths = {int(x.shape[a]) for x, a in zip(leaves, axes, strict=True)}
    if len(lengths) > 1:
        msg = f"{where}: elems must have one length; got {' and '.join(map(str, sorted(lengths)))}."
        raise ShapeError(msg)
    return axes, lengths.pop()
