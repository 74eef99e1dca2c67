"""Trees of arrays and plain values as JSON beside named arrays, and back into trees like others.

`packed` takes a tree apart, `unpacked` puts it together again, and `Fitting` brings what came out
into the libraries, devices and dtypes of a template, or into the objects of one.

In JSON a list is an array, and None, bool, str, int and finite float are themselves; what else
there is, is an object of one key that says what it is: ``{"tuple": […]}``, ``{"dict": [[key,
value], …]}``, ``{"array": name}``. No class is named that reading would have to import.
"""

import math
import struct
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np

from volta.core import tree
from volta.core.dispatch import NUMPY, library_of
from volta.core.errors import DTypeError
from volta.core.types import SCALARS, as_dtype
from volta.io.formats import SAFETENSORS, converted
from volta.io.state import StateDict
from volta.io.writing import check_text, storable

__all__ = ["Fitting", "Packed", "is_stateful", "packed", "unpacked"]

DTYPES: Final = (*SAFETENSORS.dtypes, "complex128")
EXACT: Final = 2**53  # up to which any reader of JSON has integers exactly
KINDS: Final[dict[type, str]] = {
    list: "list",
    tuple: "tuple",
    dict: "dict",
    StateDict: "state_dict",
}


class Packed(NamedTuple):
    """A tree taken apart: what goes into JSON, and NumPy arrays by unique names."""

    node: Any
    arrays: dict[str, Any]


class Fields:
    """What a named tuple or another registered class held; the class itself is not stored."""

    def __init__(self, name: str, items: dict[Any, Any]) -> None:
        self.name, self.items = name, items


def is_stateful(x: Any) -> bool:
    """Whether an object gives its state and takes it back: a module, an optimizer, a loader."""
    return hasattr(x, "state_dict") and hasattr(x, "load_state_dict")


def packed(operation: str, name: str, part: Any, *, copy: bool) -> Packed:
    """Take a tree apart; with `copy` its arrays may change afterwards."""
    packing = _Packing(operation, name, copy)
    try:
        return Packed(packing.node(part, ()), packing.arrays)
    except RecursionError:
        msg = (
            f"{operation}: parts must be nested less deep than Python recurses; got a deeper one "
            f"for {name!r}. A list may hold itself."
        )
        raise ValueError(msg) from None


class _Packing:
    """Takes a tree apart, and keeps the arrays."""

    def __init__(self, operation: str, name: str, copy: bool) -> None:
        self.operation, self.name, self.copy = operation, name, copy
        self.arrays: dict[str, Any] = {}

    def node(self, x: Any, path: tuple[Any, ...]) -> Any:
        """What stands for `x` in JSON."""
        if is_stateful(x):
            x = x.state_dict()
        if x is None or type(x) in (bool, str):
            return x
        if type(x) is int:
            return x if -EXACT <= x <= EXACT else {"int": hex(x)}
        if type(x) is float:  # with its payload, if it is no number
            return x if math.isfinite(x) else {"float": struct.pack(">d", x).hex()}
        if type(x) is complex:
            return {"complex": [self.node(x.real, path), self.node(x.imag, path)]}
        opened = _opened(x)
        if opened is not None:
            return self._container(x, *opened, path)
        return {"scalar" if isinstance(x, np.generic) else "array": self._kept(x, path)}

    def _container(
        self, x: Any, kind: str, items: list[tuple[Any, Any]], path: tuple[Any, ...]
    ) -> Any:
        children = [self.node(child, (*path, key)) for key, child in items]
        if kind == "list":
            return children
        if kind == "tuple":
            return {kind: children}
        keys = [self.node(key, (*path, key)) for key, _ in items]
        pairs = [list(pair) for pair in zip(keys, children, strict=True)]
        if kind == "dict":
            return {kind: pairs}
        if kind == "state_dict":
            for text in (*x.metadata, *x.metadata.values()):
                check_text("metadata", text, operation=self.operation)
            return {kind: pairs, "metadata": dict(x.metadata)}
        return {"node": pairs, "class": kind}

    def _kept(self, x: Any, path: tuple[Any, ...]) -> str:
        """Keep an array; return the name that it has."""
        full = _dotted((self.name, *path))
        if not hasattr(x, "dtype"):
            msg = (
                f"{self.operation}: parts must be trees of arrays and plain values; got "
                f"{type(x).__name__} for {full!r}. Save what it is made of."
            )
            raise TypeError(msg)
        array = storable(full, x, DTYPES, operation=self.operation, order="K")
        # A name must be text, and the format keeps one of them for itself.
        name = plain = (_dotted(path) or self.name).encode("utf-8", "backslashreplace").decode()
        number = 0
        while name in self.arrays or name == "__metadata__":
            number += 1
            name = f"{plain}.{number}"
        self.arrays[name] = array.copy("K") if self.copy else array
        return name


def unpacked(node: Any, arrays: dict[str, Any]) -> Any:
    """Put a tree together; registered classes are `Fields`."""
    if type(node) is list:
        return [unpacked(child, arrays) for child in node]
    if type(node) is not dict:
        return node
    kind, *_ = node
    held = node[kind]
    match kind:
        case "array":
            return arrays[held]
        case "scalar":
            return arrays[held][()]
        case "int":
            return int(held, 16)
        case "float":
            return struct.unpack(">d", bytes.fromhex(held))[0]
        case "complex":
            return complex(*unpacked(held, arrays))
        case "tuple":
            return tuple(unpacked(held, arrays))
    items = {unpacked(key, arrays): unpacked(child, arrays) for key, child in held}
    match kind:
        case "dict":
            return items
        case "state_dict":
            return StateDict(items, metadata=node["metadata"])
        case "node":
            return Fields(node["class"], items)
    raise ValueError(kind)


class Fitting:
    """Brings stored trees into the form of templates, and notes what does not fit.

    Attributes
    ----------
    faults : list of str
    loads : list of (name, object, state)
        States that the objects among the templates are to load.
    """

    def __init__(self, operation: str) -> None:
        self.operation = operation
        self.faults: list[str] = []
        self.loads: list[tuple[str, Any, Any]] = []

    def fitted(self, value: Any, like: Any, path: tuple[Any, ...]) -> Any:
        """`value` in the form of `like`; as it is where that is None."""
        if like is None:
            return _without_fields(value)
        if is_stateful(like):
            self.loads.append((_dotted(path), like, _without_fields(value)))
            return like
        opened = _opened(like)
        found = _opened(value)
        if opened is None and found is None:
            return self._leaf(value, like, path)
        if opened is None or found is None or _shown(value) != _shown(like):
            return self._fault(path, f"type {_told(value)}", _told(like))
        (kind, items), (_, stored) = opened, found
        if kind in ("list", "tuple") and len(stored) != len(items):
            return self._fault(path, f"{len(stored)} items", f"{len(items)}")
        have = dict(stored)
        wanted = [key for key, _ in items]
        missing = [key for key in wanted if key not in have]
        unknown = [key for key in have if key not in wanted]
        self.faults += [f"no {_dotted((*path, key))}" for key in missing]
        self.faults += [f"unknown {_dotted((*path, key))}" for key in unknown]
        if missing or unknown:
            return None
        children = [self.fitted(have[key], child, (*path, key)) for key, child in items]
        return _rebuilt(kind, like, value, wanted, children)

    def _leaf(self, value: Any, like: Any, path: tuple[Any, ...]) -> Any:
        if hasattr(value, "dtype") and hasattr(like, "dtype"):
            return self._array(value, like, path)
        if type(value) is type(like) or (_is_number(value) and _is_number(like)):
            return value
        return self._fault(path, f"type {_told(value)}", _told(like))

    def _array(self, value: Any, like: Any, path: tuple[Any, ...]) -> Any:
        if value.shape != tuple(like.shape):
            return self._fault(path, f"shape {value.shape}", f"{tuple(like.shape)}")
        name = str(like.dtype).rpartition(".")[2]
        if name != value.dtype.name:
            try:
                mine, wanted = as_dtype(value.dtype), as_dtype(like.dtype)
            except DTypeError:  # one of the 8-bit floats, of which only files know
                return self._fault(path, f"dtype {value.dtype.name}", name)
            if mine.kind != wanted.kind:
                return self._fault(path, f"dtype {mine.name}", wanted.name)
            value = value.astype(wanted.dtype)
        library = library_of(like, self.operation)
        if library is NUMPY:
            return value
        return converted(self.operation, _dotted(path), value, library, library.device(like))

    def _fault(self, path: tuple[Any, ...], got: str, instead: str) -> None:
        self.faults.append(f"{_dotted(path)} of {got} instead of {instead}")


def _opened(x: Any) -> tuple[str, list[tuple[Any, Any]]] | None:
    """Kind of a container, and its children by their keys; None if it is a leaf."""
    if isinstance(x, Fields):
        return x.name, list(x.items.items())
    kind = KINDS.get(type(x))
    if kind is not None:
        return kind, list(x.items() if isinstance(x, dict) else enumerate(x))
    if x is None:
        return None
    pairs, spec = tree.flatten_with_path(x, is_leaf=lambda child: child is not x)
    if spec.is_leaf():
        return None
    keys = getattr(
        x, "_fields", [path[0] for path, _ in pairs]
    )  # a named tuple's paths are numbers
    return type(x).__name__, [(key, child) for key, (_, child) in zip(keys, pairs, strict=True)]


def _rebuilt(kind: str, like: Any, value: Any, keys: Iterable[Any], children: list[Any]) -> Any:
    """Container like a template with other children."""
    match kind:
        case "list":
            return children
        case "tuple":
            return tuple(children)
        case "dict":
            return dict(zip(keys, children, strict=True))
        case "state_dict":
            return StateDict(zip(keys, children, strict=True), metadata=value.metadata)
    return tree.unflatten(tree.structure(like, is_leaf=lambda x: x is not like), children)


def _without_fields(value: Any) -> Any:
    """A stored tree with a dict in the place of every registered class."""
    opened = _opened(value)
    if opened is None:
        return value
    keys = [key for key, _ in opened[1]]
    children = [_without_fields(child) for _, child in opened[1]]
    kind = "dict" if isinstance(value, Fields) else opened[0]
    return _rebuilt(kind, value, value, keys, children)


def _shown(x: Any) -> str:
    """Kind of a container as far as it must agree: the name of a class may change."""
    return KINDS.get(type(x), "class")


def _told(x: Any) -> str:
    return x.name if isinstance(x, Fields) else type(x).__name__


def _is_number(x: Any) -> bool:
    return type(x) in SCALARS or (hasattr(x, "dtype") and tuple(x.shape) == ())


def _dotted(path: tuple[Any, ...]) -> str:
    return tree.keystr(path, simple=True, separator=".")
