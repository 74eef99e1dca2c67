"""Trees: nested containers of arrays, by optree (the C++ library behind PyTorch's pytrees).

A tree is a leaf, or a tuple, list, dict, named tuple, None (an empty node) or registered class
holding trees. Names and argument orders are JAX's.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import optree
from optree import PyTreeSpec

__all__ = [
    "PyTreeSpec",
    "all",
    "flatten",
    "flatten_with_path",
    "keystr",
    "leaves",
    "leaves_with_path",
    "map",
    "map_with_path",
    "reduce",
    "register_dataclass",
    "register_pytree_node",
    "register_static",
    "structure",
    "transpose",
    "unflatten",
]

# Volta's registrations live in a namespace of their own and disturb no other user of optree.
_NAMESPACE: Final = "volta"
Path = tuple[Any, ...]


def flatten(
    tree: Any, is_leaf: Callable[[Any], bool] | None = None
) -> tuple[list[Any], PyTreeSpec]:
    """Split a tree into its leaves and its structure.

    Parameters
    ----------
    tree : tree
    is_leaf : callable, optional
        Called on each node; where it returns true the node is taken as a leaf.

    Returns
    -------
    leaves : list
    treedef : PyTreeSpec

    Examples
    --------
    >>> leaves, treedef = flatten({"b": (1, 2), "a": None})
    >>> leaves
    [1, 2]
    >>> unflatten(treedef, [3, 4])
    {'b': (3, 4), 'a': None}
    """
    return optree.tree_flatten(tree, is_leaf, namespace=_NAMESPACE)


def unflatten(treedef: PyTreeSpec, leaves: Iterable[Any]) -> Any:
    """Tree of the structure `treedef` with the given leaves."""
    return optree.tree_unflatten(treedef, leaves)


def leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[Any]:
    """Leaves of a tree, in order."""
    return optree.tree_leaves(tree, is_leaf, namespace=_NAMESPACE)


def structure(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> PyTreeSpec:
    """Structure of a tree."""
    return optree.tree_structure(tree, is_leaf, namespace=_NAMESPACE)


def map(
    f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: Callable[[Any], bool] | None = None
) -> Any:
    """Apply `f` to the leaves of `tree` and the subtrees of `rest` in their places.

    Examples
    --------
    >>> map(lambda a, b: a + b, {"w": 1}, {"w": 2})
    {'w': 3}
    """
    return optree.tree_map(f, tree, *rest, is_leaf=is_leaf, namespace=_NAMESPACE)


def map_with_path(
    f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: Callable[[Any], bool] | None = None
) -> Any:
    """`map` whose function also gets the path of each leaf first."""
    return optree.tree_map_with_path(f, tree, *rest, is_leaf=is_leaf, namespace=_NAMESPACE)


def flatten_with_path(
    tree: Any, is_leaf: Callable[[Any], bool] | None = None
) -> tuple[list[tuple[Path, Any]], PyTreeSpec]:
    """`flatten` whose leaves are (path, leaf) pairs."""
    paths, found, treedef = optree.tree_flatten_with_path(tree, is_leaf, namespace=_NAMESPACE)
    return list(zip(paths, found, strict=True)), treedef


def leaves_with_path(
    tree: Any, is_leaf: Callable[[Any], bool] | None = None
) -> list[tuple[Path, Any]]:
    """(path, leaf) pairs of a tree."""
    return flatten_with_path(tree, is_leaf)[0]


def keystr(path: Path, *, simple: bool = False, separator: str = "") -> str:
    """Path as text, ``['w'][0]``; ``w.0`` with ``simple=True, separator="."``.

    Examples
    --------
    >>> keystr(("layers", 0)), keystr(("layers", 0), simple=True, separator=".")
    ("['layers'][0]", 'layers.0')
    """
    return separator.join(str(p) if simple else f"[{p!r}]" for p in path)


def reduce(f: Callable[[Any, Any], Any], tree: Any, *initial: Any) -> Any:
    """Fold `f` over the leaves."""
    return optree.tree_reduce(f, tree, *initial, namespace=_NAMESPACE)


def all(tree: Any) -> bool:
    """Whether every leaf is true."""
    return optree.tree_all(tree, namespace=_NAMESPACE)


def transpose(outer: PyTreeSpec, inner: PyTreeSpec, tree: Any) -> Any:
    """Tree of structure `inner` of trees `outer`, from one of structure `outer` of `inner`."""
    return optree.tree_transpose(outer, inner, tree)


def register_pytree_node(
    cls: type, flatten: Callable[[Any], Any], unflatten: Callable[[Any, Any], Any]
) -> None:
    """Make instances of `cls` nodes, by ``flatten(x) -> (children, aux)`` and its inverse."""
    optree.register_pytree_node(cls, flatten, unflatten, namespace=_NAMESPACE)


def register_dataclass(cls: type, data_fields: Iterable[str], meta_fields: Iterable[str]) -> type:
    """Make a dataclass a node: `data_fields` are children, `meta_fields` compared by ``==``."""
    data, meta = tuple(data_fields), tuple(meta_fields)

    def flat(x: Any) -> Any:
        return [getattr(x, f) for f in data], tuple(getattr(x, f) for f in meta), data

    def build(aux: Any, children: Any) -> Any:
        return cls(**dict(zip(data, children, strict=True)), **dict(zip(meta, aux, strict=True)))

    optree.register_pytree_node(cls, flat, build, namespace=_NAMESPACE)
    return cls


def register_static(cls: type) -> type:
    """Make instances of `cls` nodes without leaves, compared by ``==``."""

    def flat(x: Any) -> Any:
        return (), x

    def build(aux: Any, children: Any) -> Any:
        return aux

    optree.register_pytree_node(cls, flat, build, namespace=_NAMESPACE)
    return cls
