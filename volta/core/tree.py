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
    """Put leaves into a structure.

    Parameters
    ----------
    treedef : PyTreeSpec
    leaves : iterable
        As many as the structure has.

    Returns
    -------
    tree

    Raises
    ------
    ValueError
        If there are more or fewer leaves than the structure has.

    Examples
    --------
    >>> unflatten(structure([0, (0,)]), "ab")
    ['a', ('b',)]
    """
    return optree.tree_unflatten(treedef, leaves)


def leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[Any]:
    """Leaves of a tree, in order.

    Parameters
    ----------
    tree : tree
    is_leaf : callable, optional
        As for `flatten`.

    Returns
    -------
    list

    Examples
    --------
    >>> leaves({"b": 1, "a": [2, None]})
    [2, 1]
    """
    return optree.tree_leaves(tree, is_leaf, namespace=_NAMESPACE)


def structure(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> PyTreeSpec:
    """Structure of a tree.

    Parameters
    ----------
    tree : tree
    is_leaf : callable, optional
        As for `flatten`.

    Returns
    -------
    PyTreeSpec

    Examples
    --------
    >>> structure((1, 2)) == structure((3, 4)), structure((1, 2)) == structure([1, 2])
    (True, False)
    """
    return optree.tree_structure(tree, is_leaf, namespace=_NAMESPACE)


def map(
    f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: Callable[[Any], bool] | None = None
) -> Any:
    """Apply a function to the leaves of a tree, or of several in their places.

    Parameters
    ----------
    f : callable
        Of a leaf of `tree` and what each of `rest` has there.
    tree : tree
    *rest : tree
        Of the structure of `tree`, or with subtrees in place of its leaves.
    is_leaf : callable, optional
        As for `flatten`.

    Returns
    -------
    tree
        Of the structure of `tree`.

    Raises
    ------
    ValueError
        If one of `rest` does not have the structure of `tree`.

    Examples
    --------
    >>> map(lambda a, b: a + b, {"w": 1}, {"w": 2})
    {'w': 3}
    """
    return optree.tree_map(f, tree, *rest, is_leaf=is_leaf, namespace=_NAMESPACE)


def map_with_path(
    f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: Callable[[Any], bool] | None = None
) -> Any:
    """Apply a function to the leaves of a tree, with the path of each first.

    Parameters
    ----------
    f : callable
        Of a path, a leaf of `tree` and what each of `rest` has there.
    tree, *rest : tree
        As for `map`.
    is_leaf : callable, optional
        As for `flatten`.

    Returns
    -------
    tree
        Of the structure of `tree`.

    Examples
    --------
    >>> map_with_path(lambda path, x: (keystr(path), x), {"w": [1]})
    {'w': [("['w'][0]", 1)]}
    """
    return optree.tree_map_with_path(f, tree, *rest, is_leaf=is_leaf, namespace=_NAMESPACE)


def flatten_with_path(
    tree: Any, is_leaf: Callable[[Any], bool] | None = None
) -> tuple[list[tuple[Path, Any]], PyTreeSpec]:
    """Split a tree into pairs of path and leaf, and its structure.

    Parameters
    ----------
    tree : tree
    is_leaf : callable, optional
        As for `flatten`.

    Returns
    -------
    pairs : list of (tuple, leaf)
    treedef : PyTreeSpec

    Examples
    --------
    >>> pairs, treedef = flatten_with_path({"w": [1]})
    >>> pairs
    [(('w', 0), 1)]
    """
    paths, found, treedef = optree.tree_flatten_with_path(tree, is_leaf, namespace=_NAMESPACE)
    return list(zip(paths, found, strict=True)), treedef


def leaves_with_path(
    tree: Any, is_leaf: Callable[[Any], bool] | None = None
) -> list[tuple[Path, Any]]:
    """Pairs of path and leaf of a tree, in order.

    Parameters
    ----------
    tree : tree
    is_leaf : callable, optional
        As for `flatten`.

    Returns
    -------
    list of (tuple, leaf)

    Examples
    --------
    >>> leaves_with_path([1, (2,)])
    [((0,), 1), ((1, 0), 2)]
    """
    return flatten_with_path(tree, is_leaf)[0]


def keystr(path: Path, *, simple: bool = False, separator: str = "") -> str:
    """Path as text: ``['w'][0]``, or ``w.0`` with ``simple=True, separator="."``.

    Parameters
    ----------
    path : tuple
        As in `flatten_with_path`.
    simple : bool
        Whether to leave brackets and quotes out.
    separator : str
        Between the parts.

    Returns
    -------
    str

    Examples
    --------
    >>> keystr(("layers", 0)), keystr(("layers", 0), simple=True, separator=".")
    ("['layers'][0]", 'layers.0')
    """
    return separator.join(str(p) if simple else f"[{p!r}]" for p in path)


def reduce(f: Callable[[Any, Any], Any], tree: Any, *initial: Any) -> Any:
    """Fold a function over the leaves of a tree.

    Parameters
    ----------
    f : callable
        Of what is gathered so far and the next leaf.
    tree : tree
    *initial : object
        At most one: what to begin with, in place of the first leaf.

    Returns
    -------
    object

    Raises
    ------
    TypeError
        If there is neither a leaf nor `initial`.

    Examples
    --------
    >>> reduce(lambda total, x: total + x, {"a": 1, "b": (2, 3)})
    6
    """
    return optree.tree_reduce(f, tree, *initial, namespace=_NAMESPACE)


def all(tree: Any) -> bool:
    """Whether every leaf is true.

    Parameters
    ----------
    tree : tree

    Returns
    -------
    bool

    Examples
    --------
    >>> all({"a": True, "b": [1]}), all([True, 0])
    (True, False)
    """
    return optree.tree_all(tree, namespace=_NAMESPACE)


def transpose(outer: PyTreeSpec, inner: PyTreeSpec, tree: Any) -> Any:
    """Turn a tree of trees inside out.

    Parameters
    ----------
    outer, inner : PyTreeSpec
    tree : tree
        Of structure `outer`, its leaves of structure `inner`.

    Returns
    -------
    tree
        Of structure `inner`, its leaves of structure `outer`.

    Raises
    ------
    TypeError
        If `tree` has more or fewer leaves than that.

    Examples
    --------
    >>> transpose(structure([0, 0]), structure({"a": 0}), [{"a": 1}, {"a": 2}])
    {'a': [1, 2]}
    """
    return optree.tree_transpose(outer, inner, tree)


def register_pytree_node(
    cls: type, flatten: Callable[[Any], Any], unflatten: Callable[[Any, Any], Any]
) -> None:
    """Make the instances of a class nodes of trees.

    Parameters
    ----------
    cls : type
    flatten : callable
        ``flatten(x) -> (children, aux)``: what is inside, and the rest, compared by ``==``.
    unflatten : callable
        ``unflatten(aux, children) -> x``.

    Raises
    ------
    ValueError
        If `cls` is registered already.

    Examples
    --------
    >>> class Box:
    ...     def __init__(self, inside):
    ...         self.inside = inside
    >>> register_pytree_node(Box, lambda b: ((b.inside,), None), lambda aux, inside: Box(*inside))
    >>> leaves(Box([1, 2]))
    [1, 2]
    """
    optree.register_pytree_node(cls, flatten, unflatten, namespace=_NAMESPACE)


def register_dataclass(cls: type, data_fields: Iterable[str], meta_fields: Iterable[str]) -> type:
    """Make the instances of a dataclass nodes of trees.

    Parameters
    ----------
    cls : type
    data_fields : iterable of str
        Fields that hold trees.
    meta_fields : iterable of str
        Fields that belong to the structure, compared by ``==``.

    Returns
    -------
    type
        `cls`.

    Raises
    ------
    ValueError
        If `cls` is registered already.

    Examples
    --------
    >>> import dataclasses
    >>> @dataclasses.dataclass
    ... class Line:
    ...     slope: float
    ...     name: str
    >>> Line = register_dataclass(Line, data_fields=["slope"], meta_fields=["name"])
    >>> map(lambda x: 2 * x, Line(1.5, "a")).slope
    3.0
    """
    data, meta = tuple(data_fields), tuple(meta_fields)

    def flat(x: Any) -> Any:
        return [getattr(x, f) for f in data], tuple(getattr(x, f) for f in meta), data

    def build(aux: Any, children: Any) -> Any:
        return cls(**dict(zip(data, children, strict=True)), **dict(zip(meta, aux, strict=True)))

    optree.register_pytree_node(cls, flat, build, namespace=_NAMESPACE)
    return cls


def register_static(cls: type) -> type:
    """Make the instances of a class nodes without leaves, compared by ``==``.

    Parameters
    ----------
    cls : type

    Returns
    -------
    type
        `cls`.

    Raises
    ------
    ValueError
        If `cls` is registered already.

    Examples
    --------
    >>> @register_static
    ... class Unit(str):
    ...     pass
    >>> leaves({"length": 3, "unit": Unit("m")})
    [3]
    """

    def flat(x: Any) -> Any:
        return (), x

    def build(aux: Any, children: Any) -> Any:
        return aux

    optree.register_pytree_node(cls, flat, build, namespace=_NAMESPACE)
    return cls
