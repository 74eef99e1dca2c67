"""Samples put together to a batch."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from volta.core import tree
from volta.core.context import default_dtype_of
from volta.core.dispatch import NUMPY, library_of
from volta.core.errors import DTypeError, ShapeError

__all__ = ["collate", "is_array", "place"]


def collate(samples: list[Any]) -> Any:
    """Stack samples along a new first axis.

    Parameters
    ----------
    samples : list of trees
        At least one, of one structure. Their leaves are arrays, which agree in library, dtype and
        shape (...), or Python numbers.

    Returns
    -------
    tree of arrays, shape (n, ...)
        Of the structure of a sample. Python numbers become NumPy arrays of shape (n,) in Volta's
        default dtype of the widest kind among them.

    Raises
    ------
    ShapeError
        If there are none, their structures differ, or libraries, dtypes or shapes do.
    DTypeError
        If leaves are neither all arrays nor all numbers.

    Examples
    --------
    >>> volta.data.collate([{"x": np.ones(2), "y": 3}, {"x": np.zeros(2), "y": 4}])
    {'x': array([[1., 1.],
           [0., 0.]]), 'y': array([3, 4])}
    """
    if not samples:
        msg = "collate: there must be a sample; got none."
        raise ShapeError(msg)
    rows = []
    spec = tree.structure(samples[0])
    for sample in samples:
        leaves, other = tree.flatten(sample)
        if other != spec:
            msg = (
                f"collate: all samples must have one structure; got {spec} and {other}. Give "
                "DataLoader a collate of your own."
            )
            raise ShapeError(msg)
        rows.append(leaves)
    places = [place(path) for path, _ in tree.flatten_with_path(samples[0])[0]]
    columns = zip(*rows, strict=True)
    return tree.unflatten(
        spec, [_column(c, where) for c, where in zip(columns, places, strict=True)]
    )


_NUMBERS: Final = (bool, int, float, complex)  # each holds those before it


def _column(leaves: Sequence[Any], where: str) -> Any:
    by_type = {type(leaf): leaf for leaf in leaves}
    if by_type.keys() <= set(_NUMBERS):
        kind = max(by_type, key=_NUMBERS.index).__name__
        return np.asarray(leaves, NUMPY.dtype(default_dtype_of(kind)))
    if not all(map(is_array, by_type.values())):
        got = ", ".join(sorted(t.__name__ for t in by_type))
        msg = (
            f"collate: the leaves of samples must be all arrays or all numbers; got {got} at "
            f"{where}. Give DataLoader a collate of your own."
        )
        raise DTypeError(msg)
    libraries = {t: library_of(leaf, "collate") for t, leaf in by_type.items()}
    facts = {(libraries[type(x)], x.dtype, tuple(x.shape)) for x in leaves}
    if len(facts) > 1:
        got = " and ".join(sorted(f"{lib.name} {dtype} {shape}" for lib, dtype, shape in facts)[:2])
        msg = (
            f"collate: samples must have one library, dtype and shape; got {got} at {where}. Give "
            "DataLoader a collate of your own."
        )
        raise ShapeError(msg)
    return libraries[type(leaves[0])].xp.stack(leaves, axis=0)


def is_array(value: Any) -> bool:
    """Whether `value` is an array of a library that Volta knows."""
    try:
        library_of(value, "collate")
    except DTypeError:
        return False
    return True


def place(path: tuple[Any, ...]) -> str:
    """Name of a path in a tree, for messages."""
    return tree.keystr(path) or "the top"
