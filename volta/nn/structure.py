"""The arrays inside a module: where they are, what they are called, and putting others there.

A module's fields hold arrays, modules, containers (lists, dicts, any tree node) of these, and
static values. `slots_of` finds the arrays, each once; `rebuild` copies the modules with other
arrays in the slots; `Structure` is what remains of a module when its arrays are taken out.
"""

import types
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from volta.core import tree
from volta.core.dispatch import library_of
from volta.core.errors import DTypeError
from volta.core.trace import ops
from volta.core.tracer import Tracer
from volta.core.types import as_dtype, is_inexact
from volta.transforms.modules import unwatched

__all__ = [
    "ARRAY",
    "Place",
    "Record",
    "Slot",
    "children_of",
    "flatten_module",
    "kind_of",
    "modules_of",
    "places_of",
    "put",
    "rebuild",
    "role_of",
    "slots_of",
    "source_of",
    "turned",
    "unflatten_module",
    "whole",
]

Path = tuple[Any, ...]  # a field of a module, then entries of the containers in it
Key = tuple[int, Path]  # id of the module that holds an array, and where it holds it


class Slot(NamedTuple):
    """An array of a module tree."""

    name: str
    owner: Any
    path: Path
    value: Any

    @property
    def key(self) -> Key:
        """What the slot is known by while its owner lives."""
        return id(self.owner), self.path


class Place(NamedTuple):
    """One of the names that reach a slot."""

    slot: Slot
    owner: Any
    path: Path
    transposed: bool  # the name stands for the transpose of the array in the slot


# Kinds of values --------------------------------------------------------------------------------

STATIC, ARRAY, MODULE, NODE = range(4)


class _Hole:
    """Where an array was."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index

    def __eq__(self, other: object) -> bool:
        return type(other) is _Hole and other.index == self.index

    def __hash__(self) -> int:
        return self.index

    def __repr__(self) -> str:
        return "*"


class Record(dict[Any, Any]):
    """What a module notes of its fields, their roles or ties: replaced when it changes."""


_PLAIN: Final[frozenset[type]] = frozenset(
    (bool, int, float, complex, str, bytes, type(None), type, slice)
)
_FUNCTIONS: Final = (types.FunctionType, types.BuiltinFunctionType)
_KINDS: Final[dict[type, int]] = {
    **dict.fromkeys((*_PLAIN, *_FUNCTIONS, Record), STATIC),
    Tracer: ARRAY,
    _Hole: ARRAY,
}


def kind_of(value: Any) -> int:
    """Whether a value is static, an array, a module or a container; found once a type."""
    kind = _KINDS.get(type(value))
    if kind is None:
        kind = _KINDS[type(value)] = _classify(value)
    return kind


def _classify(value: Any) -> int:
    cls = type(value)
    if hasattr(cls, "__volta_split__"):
        return MODULE
    if isinstance(value, np.generic):
        return STATIC
    if not tree.structure(value, is_leaf=lambda node: node is not value).is_leaf():
        return NODE
    if hasattr(cls, "dtype") and hasattr(cls, "shape"):
        try:
            library_of(value, "Module")
        except DTypeError:
            return STATIC
        return ARRAY
    return STATIC


def _is_plain(value: Any) -> bool:
    """Whether a container holds nothing but numbers and text, as sizes of kernels do."""
    return type(value) in (tuple, list) and all(type(v) in _PLAIN for v in value)


def _entries(container: Any) -> list[tuple[Any, Any]]:
    """Entries of one container with what they hold."""
    pairs, _ = tree.flatten_with_path(container, is_leaf=lambda node: node is not container)
    return [(path[0], value) for path, value in pairs]


def _remade(container: Any, make: Callable[[Any, Any], Any]) -> Any:
    """Container of the same type with `make(entry, value)` in place of each value."""
    pairs, spec = tree.flatten_with_path(container, is_leaf=lambda node: node is not container)
    return tree.unflatten(spec, [make(path[0], value) for path, value in pairs])


# Reading ----------------------------------------------------------------------------------------


def slots_of(root: Any) -> list[Slot]:
    """Find the arrays of a module tree, each once, by the first name of its module."""
    found: list[Slot] = []
    tied: list[tuple[Any, str]] = []
    seen: set[int] = set()

    def visit(module: Any, prefix: str) -> None:
        seen.add(id(module))
        if module._ties:
            tied.append((module, prefix))
        for field, value in vars(module).items():
            kind = _KINDS.get(type(value))  # the shortest path: most fields end here
            if kind is None:
                kind = kind_of(value)
            if kind is ARRAY:
                found.append(Slot(prefix + field, module, (field,), value))
            elif kind is not STATIC:
                enter(module, (field,), value, kind, prefix + field)

    def enter(module: Any, path: Path, value: Any, kind: int, name: str) -> None:
        if kind is ARRAY:
            found.append(Slot(name, module, path, value))
        elif kind is MODULE:
            if id(value) not in seen:
                visit(value, f"{name}.")
        elif kind is NODE and not _is_plain(value):
            for entry, item in _entries(value):
                enter(module, (*path, entry), item, kind_of(item), f"{name}.{entry}")

    visit(root, "")
    if tied:
        prefixes = {id(module): prefix for module, prefix in tied}
        for module, field, holder, _, _ in _anchored([m for m, _ in tied], seen):
            if holder is module:
                name = prefixes[id(module)] + field
                found.append(Slot(name, module, (field,), getattr(module, field)))
    return found


def source_of(module: Any, field: str) -> tuple[Any, str, bool]:
    """Find module and field that hold an array, and whether `field` is its transpose."""
    transposed = False
    while field in module._ties:
        module, field, turn = module._ties[field]
        transposed ^= turn
    return module, field, transposed


def _anchored(
    tied: Iterable[Any], reached: Container[int]
) -> Iterator[tuple[Any, str, Any, str, bool]]:
    """Tied fields with the module and field that hold their arrays for the modules `reached`.

    Where the source itself is out of reach the first of the fields tied to it stands in for it.
    """
    first: dict[tuple[int, str], tuple[Any, str, bool]] = {}
    for module in tied:
        for field in module._ties:
            owner, name, transposed = source_of(module, field)
            if id(owner) not in reached:
                owner, name, turn = first.setdefault((id(owner), name), (module, field, transposed))
                transposed ^= turn
            yield module, field, owner, name, transposed


def role_of(slot: Slot) -> str:
    """``"parameter"``, ``"buffer"`` or ``"frozen"``: as declared, else by the dtype."""
    owner, path = slot.owner, slot.path
    if path[0] in owner._ties:
        owner, field, _ = source_of(owner, path[0])
        path = (field,)
    roles = owner._roles
    if roles:
        role = roles.get(path) or roles.get(path[:1])
        if role is not None:
            return role  # type: ignore[no-any-return]  # an attribute of Module
    return "parameter" if is_inexact(as_dtype(slot.value.dtype)) else "buffer"


def places_of(root: Any, *, by_index: bool = False) -> dict[str, Place]:
    """Find every name that reaches an array: all names of shared modules and of ties.

    With `by_index` also those by the positions of named layers.
    """
    slots = {slot.key: slot for slot in slots_of(root)}
    modules = {id(module): module for _, module in modules_of(root)}
    ties = {
        (id(module), field): Place(slots[id(owner), (name,)], module, (field,), transposed)
        for module, field, owner, name, transposed in _anchored(modules.values(), modules)
        if (id(owner), (name,)) in slots  # else the array is computed, by a parametrization
    }
    found: dict[str, Place] = {}
    above: set[int] = set()

    def visit(module: Any, prefixes: list[str]) -> None:
        if id(module) in above:
            return
        above.add(id(module))
        positions = getattr(module, "_positions", {}) if by_index else {}
        for field, value in vars(module).items():
            fields = dict.fromkeys((field, positions.get(field, field)))
            enter(module, (field,), value, [p + f for p in prefixes for f in fields])
        for field in module._ties:
            if (id(module), field) in ties:
                found.update((p + field, ties[id(module), field]) for p in prefixes)
        above.discard(id(module))

    def enter(module: Any, path: Path, value: Any, names: list[str]) -> None:
        kind = kind_of(value)
        if kind is ARRAY:
            place = Place(slots[id(module), path], module, path, False)
            found.update(dict.fromkeys(names, place))
        elif kind is MODULE:
            visit(value, [f"{name}." for name in names])
        elif kind is NODE and not _is_plain(value):
            for entry, item in _entries(value):
                enter(module, (*path, entry), item, [f"{name}.{entry}" for name in names])

    visit(root, [""])
    return found


def children_of(module: Any) -> Iterator[tuple[str, Any]]:
    """Iterate over the modules in a module's fields and in the containers there, with names."""

    def visit(name: str, value: Any) -> Iterator[tuple[str, Any]]:
        kind = kind_of(value)
        if kind is MODULE:
            yield name, value
        elif kind is NODE and not _is_plain(value):
            for entry, item in _entries(value):
                yield from visit(f"{name}.{entry}", item)

    for field, value in vars(module).items():
        yield from visit(field, value)


def modules_of(root: Any) -> Iterator[tuple[str, Any]]:
    """Iterate over the modules of a tree with their names, each once, the root first."""
    seen: set[int] = set()

    def visit(name: str, module: Any) -> Iterator[tuple[str, Any]]:
        if id(module) not in seen:
            seen.add(id(module))
            yield name, module
            for field, child in children_of(module):
                yield from visit(f"{name}.{field}" if name else field, child)

    return visit("", root)


# Writing ----------------------------------------------------------------------------------------


def rebuild(root: Any, arrays: Mapping[Key, Any], writes: str | None = None) -> Any:
    """Copy of a module tree with other arrays in the slots of `arrays`; sharing is kept.

    The modules and containers are copied, static values and the other arrays are not. `writes`
    is what the copies say of writing to buffers.
    """
    arrays = {key: whole(value) for key, value in arrays.items()}
    copies: dict[int, Any] = {}
    tied: list[Any] = []

    def copied(module: Any) -> Any:
        new = copies.get(id(module))
        if new is not None:
            return new
        new = copies[id(module)] = object.__new__(type(module))
        fields = vars(module).copy()
        for field, value in fields.items():
            kind = _KINDS.get(type(value))
            if kind is None:
                kind = kind_of(value)
            if kind is ARRAY:
                fields[field] = arrays.get((id(module), (field,)), value)
            elif kind is not STATIC:
                fields[field] = replaced(module, (field,), value, kind)
        if writes is None:
            fields.pop("_writes", None)
        else:
            fields["_writes"] = writes
        object.__setattr__(new, "__dict__", fields)
        if module._ties:
            tied.append(module)
        return new

    def replaced(module: Any, path: Path, value: Any, kind: int) -> Any:
        if kind is ARRAY:
            return arrays.get((id(module), path), value)
        if kind is MODULE:
            return copied(value)
        if kind is STATIC or _is_plain(value):
            return value
        return _remade(
            value, lambda entry, item: replaced(module, (*path, entry), item, kind_of(item))
        )

    result = copied(root)
    for module in tied:
        copies[id(module)].__dict__["_ties"] = Record()
    for module, field, owner, name, transposed in _anchored(tied, copies):
        new = copies[id(module)]
        if owner is module:
            slot = Slot(field, module, (field,), getattr(module, field))
            new.__dict__[field] = arrays.get(slot.key, slot.value)
            new.__dict__["_roles"] = Record(new._roles | {slot.path: role_of(slot)})
        else:
            new._ties[field] = (copies[id(owner)], name, transposed)
    unwatched(copies.values())
    return result


def put(slot: Slot, value: Any) -> None:
    """Put an array into a slot of a module."""
    field, *rest = slot.path
    value = whole(value)

    def replaced(container: Any, path: list[Any]) -> Any:
        if not path:
            return value
        first, *others = path
        return _remade(
            container, lambda entry, item: replaced(item, others) if entry == first else item
        )

    setattr(slot.owner, field, replaced(vars(slot.owner).get(field), rest))


def whole(value: Any) -> Any:
    """Array in place of the scalar that NumPy makes of arrays of shape ()."""
    return np.asarray(value) if isinstance(value, np.generic) else value


def turned(x: Any, transposed: bool) -> Any:
    """Transpose of a matrix, if wanted."""
    return ops.matrix_transpose(x) if transposed else x


# Modules as tree nodes --------------------------------------------------------------------------

_HIDDEN: Final = frozenset(("training", "_roles", "_ties", "_writes"))


class Structure:
    """A module tree without its arrays; two are equal if the static values are."""

    __slots__ = ("keys", "names", "template")

    def __init__(self, module: Any, slots: list[Slot]) -> None:
        self.names = tuple([slot.name for slot in slots])
        self.template = rebuild(module, {slot.key: _Hole(i) for i, slot in enumerate(slots)})
        holes = sorted(slots_of(self.template), key=lambda slot: slot.value.index)
        self.keys = [slot.key for slot in holes]

    def __eq__(self, other: object) -> bool:
        if type(other) is not Structure:
            return NotImplemented
        return self is other or (
            self.names == other.names and _same(self.template, other.template, {})
        )

    def __hash__(self) -> int:
        return hash((type(self.template), self.names))

    def __repr__(self) -> str:
        return f"{type(self.template).__name__}({', '.join(self.names)})"


def _same(a: Any, b: Any, met: dict[int, int]) -> bool:
    """Whether two values without arrays are equal; `met` pairs the modules met so far."""
    if type(a) is not type(b):
        return False
    kind = kind_of(a)
    if kind is MODULE:
        if id(a) in met:
            return met[id(a)] == id(b)
        met[id(a)] = id(b)
        x, y = vars(a), vars(b)
        return (
            x.keys() - _HIDDEN == y.keys() - _HIDDEN
            and a.training == b.training
            and dict(a._roles) == dict(b._roles)
            and all(_same(x[field], y[field], met) for field in x if field not in _HIDDEN)
            and a._ties.keys() == b._ties.keys()
            and all(
                _same(s, b._ties[field][0], met) and rest == list(b._ties[field][1:])
                for field, (s, *rest) in a._ties.items()
            )
        )
    if kind is NODE:
        x, y = _entries(a), _entries(b)
        return len(x) == len(y) and all(
            e == f and _same(v, w, met) for (e, v), (f, w) in zip(x, y, strict=True)
        )
    return a is b or bool(a == b)


def flatten_module(module: Any) -> tuple[list[Any], Structure, tuple[str, ...]]:
    """Arrays of a module tree, what remains, and the arrays' names."""
    slots = slots_of(module)
    structure = Structure(module, slots)
    return [slot.value for slot in slots], structure, structure.names


def unflatten_module(structure: Structure, arrays: Any) -> Any:
    """Make the module tree of a structure with the given arrays."""
    unwatched(module for _, module in modules_of(structure.template))
    return rebuild(structure.template, dict(zip(structure.keys, arrays, strict=True)))
