"""Shapes and dtypes of results, without computing them: `eval_shape`."""

from collections.abc import Callable
from typing import Any

from volta.core import tree
from volta.core.dispatch import NUMPY
from volta.core.keywords import suggesting
from volta.core.trace import Abstract
from volta.core.types import SCALARS, ArrayType, as_dtype
from volta.transforms.arguments import as_array, name_of, split_modules
from volta.transforms.trace import abstract

__all__ = ["ShapeDtypeStruct", "eval_shape", "like_leaves"]


class ShapeDtypeStruct:
    """Shape and dtype of an array that does not exist: an argument or a result of `eval_shape`.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype
        Of any library.

    Examples
    --------
    >>> import volta
    >>> volta.ShapeDtypeStruct((2, 3), "float32")
    ShapeDtypeStruct(shape=(2, 3), dtype=float32)
    """

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: Any, dtype: Any) -> None:
        self.shape = (shape,) if isinstance(shape, int) else tuple(map(int, shape))
        self.dtype = dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        n = 1
        for length in self.shape:
            n *= length
        return n

    def __eq__(self, other: object) -> bool:
        return (
            type(other) is ShapeDtypeStruct
            and self.shape == other.shape
            and as_dtype(self.dtype) is as_dtype(other.dtype)
        )

    def __hash__(self) -> int:
        return hash((self.shape, as_dtype(self.dtype).name))

    def __repr__(self) -> str:
        return f"ShapeDtypeStruct(shape={self.shape}, dtype={as_dtype(self.dtype).name})"


def like_leaves(argument: Any, where: str) -> tuple[list[Abstract], tree.PyTreeSpec]:
    """What stands for the leaves of an argument, arrays or structs, and its structure."""
    leaves, spec = tree.flatten(argument)
    return [_like(leaf, where) for leaf in leaves], spec


def _like(leaf: Any, where: str) -> Abstract:
    if type(leaf) is ShapeDtypeStruct:
        return Abstract(ArrayType(leaf.shape, as_dtype(leaf.dtype)), NUMPY, "cpu")
    return abstract(as_array(leaf, where))


@suggesting
def eval_shape(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return the shapes and dtypes of what `fun` returns, without computing it.

    Parameters
    ----------
    fun : callable
        Function of trees of arrays. It is staged, on types.
    *args, **kwargs : tree
        Its arguments, of arrays or `ShapeDtypeStruct`.

    Returns
    -------
    tree
        Of `ShapeDtypeStruct`, of the structure that `fun` returns.

    Raises
    ------
    TraceError
        If `fun` asks a traced array for a concrete value.

    Examples
    --------
    >>> import volta, volta.functional as F
    >>> x = volta.ShapeDtypeStruct((1000, 1000), F.float32)
    >>> volta.eval_shape(lambda x: F.sum(x @ x, axis=0), x)
    ShapeDtypeStruct(shape=(1000,), dtype=float32)
    """
    from volta.transforms.lists import stage

    where = f"eval_shape({name_of(fun)})"
    pieces = [split_modules(a) for a in args]
    leaves, spec = tree.flatten((tuple(p for p, _ in pieces), kwargs))
    like = {i: _like(x, where) for i, x in enumerate(leaves) if type(x) not in SCALARS}

    def flat(*arrays: Any) -> Any:
        given = dict(zip(like, arrays, strict=True))
        whole = (given.get(i, leaf) for i, leaf in enumerate(leaves))  # numbers are weak
        found, named = tree.unflatten(spec, whole)
        return fun(*[join(a) for (_, join), a in zip(pieces, found, strict=True)], **named)

    wengert, out_spec = stage(flat, list(like.values()), "eval_shape", fun)
    places = [wengert.places[o] for o in wengert.outputs]
    return tree.unflatten(out_spec, [ShapeDtypeStruct(p.shape, p.dtype) for p in places])
