"""Layers in a row, and lists and dicts of layers and of parameters."""

import inspect
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, ClassVar, Self

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta.core.errors import DimensionError
from volta.core.trace import located
from volta.functional import random
from volta.nn.module import Module
from volta.nn.structure import ARRAY, kind_of

__all__ = [
    "ModuleDict",
    "ModuleList",
    "ParameterDict",
    "ParameterList",
    "Sequential",
    "SequentialBuilder",
]

Layer = Callable[..., Any]


class Sequential(Module):
    """Layers that are called one after the other.

    Parameters
    ----------
    *layers : Module, callable, or pair (str, layer)
        Layers, named by their position (``"0"``, ``"1"``, …) unless a name is given.
    **named : layer
        More layers, with names.

    Raises
    ------
    TypeError
        If a layer is not callable.
    ValueError
        If a name occurs twice, has a dot, is a number, or is that of an attribute of modules.

    Notes
    -----
    Of a call's `key`, the i-th of the n layers that take one gets ``split(key, n)[i]``.

    Examples
    --------
    >>> key1, key2 = F.random.split(F.random.key(0))
    >>> model = volta.nn.Sequential(
    ...     ("first", volta.nn.Linear(4, 8, key=key1)),
    ...     volta.nn.ReLU(),
    ...     last=volta.nn.Linear(8, 2, key=key2),
    ... )
    >>> model
    Sequential(
      (first): Linear(in_features=4, out_features=8, bias=True)
      (1): ReLU()
      (last): Linear(in_features=8, out_features=2, bias=True)
    )
    >>> model(np.ones((5, 4))).shape
    (5, 2)
    >>> model.get_named("last") is model[2] is model.last
    True
    """

    def __init__(self, *layers: Layer | tuple[str, Layer], **named: Layer) -> None:
        self._names: tuple[str, ...] = ()
        for position, layer in enumerate(layers):
            if isinstance(layer, tuple):
                self._append(_checked_name(Sequential, layer[0]), layer[1])
            else:
                self._append(str(position), layer)
        for name, layer in named.items():
            self._append(_checked_name(Sequential, name), layer)

    def _append(self, name: str, layer: Layer) -> None:
        if name in self._names:
            msg = f"Sequential: names must differ; got {name!r} twice."
            raise located(ValueError(msg))
        self._names = (*self._names, name)
        self._set(name, layer)

    def _set(self, name: str, layer: Any) -> None:
        if not callable(layer):
            msg = f"Sequential: layers must be callable; got {type(layer).__name__} for {name!r}."
            if isinstance(layer, list | tuple):
                msg += " Unpack it: Sequential(*layers)."
            elif isinstance(layer, Mapping):
                msg += " Unpack it: Sequential(**layers)."
            elif isinstance(layer, Module):
                msg += " Give its class a __call__."
            raise located(TypeError(msg))
        setattr(self, name, layer)

    @property
    def _positions(self) -> dict[str, str]:
        return {name: str(i) for i, name in enumerate(self._names)}

    def __call__(self, x: Any, *, key: Any = None) -> Any:
        """Call the layers on `x`, one after the other."""
        fields = vars(self)
        keys = {} if key is None else self._keys(key)
        for name in self._names:
            layer = fields[name]
            try:
                x = layer(x, key=keys[name]) if name in keys else layer(x)
            except Exception as error:
                error.add_note(f"in the layer {name!r} of a Sequential, {type(layer).__name__}")
                raise
        return x

    def _keys(self, key: Any) -> dict[str, Any]:
        """Random keys for the layers that take one."""
        takers = [name for name in self._names if _takes_key(vars(self)[name])]
        keys = F.unstack(random.split(key, len(takers))) if takers else ()
        return dict(zip(takers, keys, strict=True))

    @staticmethod
    def builder() -> "SequentialBuilder":
        """Return an empty `SequentialBuilder`, to which layers are added one by one."""
        return SequentialBuilder()

    def get_named(self, name: str) -> Any:
        """Return the layer of a name.

        Parameters
        ----------
        name : str

        Returns
        -------
        layer

        Raises
        ------
        KeyError
            If there is none.
        """
        if name not in self._names:
            msg = f"Sequential: there must be a layer of the name; got {name!r} and {self._names}."
            raise located(KeyError(msg))
        return vars(self)[name]

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[Any]:
        return iter([vars(self)[name] for name in self._names])

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            layers = [
                vars(self)[name] if name.isdecimal() else (name, vars(self)[name])
                for name in self._names[index]
            ]
            return Sequential(*layers)
        return vars(self)[self._name_at(index)]

    def __setitem__(self, index: int, layer: Layer) -> None:
        self._set(self._name_at(index), layer)

    def _name_at(self, index: int) -> str:
        try:
            return self._names[index]
        except IndexError:
            msg = f"Sequential: the index must be that of a layer; got {index} for {len(self)}."
            raise DimensionError(msg) from None

    def __repr__(self) -> str:
        lines = [f"({n}): {vars(self)[n]!r}".replace("\n", "\n  ") for n in self._names]
        return "\n  ".join(["Sequential(", *lines]) + "\n)" if lines else "Sequential()"


class SequentialBuilder:
    """Layers to come of a `Sequential`, which ``nn.Sequential.builder()`` begins.

    Examples
    --------
    >>> key = F.random.key(0)
    >>> model = (
    ...     volta.nn.Sequential.builder()
    ...     .add_named("first", volta.nn.Linear(2, 4, key=key))
    ...     .add_unnamed(volta.nn.ReLU())
    ...     .add(volta.nn.Linear(4, 1, key=key))
    ...     .build()
    ... )
    >>> list(model.parameters())
    ['first.weight', 'first.bias', '2.weight', '2.bias']
    """

    def __init__(self) -> None:
        self._layers: list[Layer | tuple[str, Layer]] = []

    def add(self, layer: Layer) -> Self:
        """Add a layer that is named by its position; returns the builder."""
        self._layers.append(layer)
        return self

    add_unnamed = add

    def add_named(self, name: str, layer: Layer) -> Self:
        """Add a layer with a name; returns the builder."""
        self._layers.append((name, layer))
        return self

    def build(self) -> Sequential:
        """Make a model of the layers so far.

        Raises
        ------
        TypeError, ValueError
            As from `Sequential`.
        """
        return Sequential(*self._layers)


# Lists and dicts ----------------------------------------------------------------------------------


def _checked_module(container: str, value: Any) -> Any:
    if not isinstance(value, Module):
        msg = f"{container}: elements must be modules; got {type(value).__name__}."
        raise located(TypeError(msg))
    return value


def _checked_array(container: str, value: Any) -> Any:
    if kind_of(value) is not ARRAY:
        msg = f"{container}: elements must be arrays; got {type(value).__name__}."
        raise located(TypeError(msg))
    return value


class _List(Module):
    """Elements that are fields named by their positions, so that their names are as in PyTorch."""

    _check: ClassVar[Callable[[str, Any], Any]]

    def __init__(self, elements: Iterable[Any] = ()) -> None:
        self._length = 0
        self.extend(elements)

    def _elements(self) -> list[Any]:
        return [getattr(self, str(i)) for i in range(self._length)]

    def _replace(self, elements: Iterable[Any]) -> None:
        """Hold these elements alone."""
        name = type(self).__name__
        checked = [type(self)._check(name, e) for e in elements]
        for i in range(self._length):
            delattr(self, str(i))
        self._length = len(checked)
        for i, e in enumerate(checked):
            setattr(self, str(i), e)

    def _position(self, index: int) -> int:
        i = operator.index(index)
        if not -self._length <= i < self._length:
            msg = (
                f"{type(self).__name__}: the index must be that of an element; got {index} for "
                f"{self._length}."
            )
            raise DimensionError(msg)
        return i % self._length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        return iter(self._elements())

    def __contains__(self, element: Any) -> bool:
        return any(e is element for e in self._elements())

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(self._elements()[index])
        return getattr(self, str(self._position(index)))

    def __setitem__(self, index: int, element: Any) -> None:
        checked = type(self)._check(type(self).__name__, element)
        setattr(self, str(self._position(index)), checked)

    def __delitem__(self, index: int | slice) -> None:
        elements = self._elements()
        del elements[index if isinstance(index, slice) else self._position(index)]
        self._replace(elements)

    def __add__(self, others: Iterable[Any]) -> Self:
        return type(self)([*self._elements(), *others])

    def append(self, element: Any) -> Self:
        """Add an element at the end; returns itself."""
        return self.extend([element])

    def extend(self, elements: Iterable[Any]) -> Self:
        """Add elements at the end; returns itself."""
        self._replace([*self._elements(), *elements])
        return self

    def insert(self, index: int, element: Any) -> None:
        """Put an element before the one at `index`."""
        elements = self._elements()
        elements.insert(index, element)
        self._replace(elements)

    def pop(self, index: int = -1) -> Any:
        """Take an element out, and return it."""
        element = self[self._position(index)]
        del self[index]
        return element


class ModuleList(_List):
    """List of modules, for a module that calls them itself.

    A Python list in a field of a module does as well; this one has PyTorch's methods. Slices and
    sums are lists of the same modules.

    Parameters
    ----------
    elements : iterable of Module

    Raises
    ------
    TypeError
        If an element is no module.
    DimensionError
        If there is no element of an index.

    Examples
    --------
    >>> layers = volta.nn.ModuleList([volta.nn.ReLU()]).append(volta.nn.Tanh())
    >>> layers
    ModuleList(
      (0): ReLU()
      (1): Tanh()
    )
    >>> len(layers), layers[-1]
    (2, Tanh())
    """

    _check = _checked_module


class ParameterList(_List):
    """List of arrays that are trained, with the methods of `ModuleList`.

    Parameters
    ----------
    elements : iterable of array

    Raises
    ------
    TypeError
        If an element is no array.
    DimensionError
        If there is no element of an index.

    Examples
    --------
    >>> volta.nn.ParameterList([np.ones(2), np.zeros(1)]).parameters()
    {'0': array([1., 1.]), '1': array([0.])}
    """

    _check = _checked_array


class _Dict(Module):
    """Elements that are fields named by their keys."""

    _check: ClassVar[Callable[[str, Any], Any]]

    def __init__(self, elements: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        self._keys: tuple[str, ...] = ()
        for key, element in dict(elements).items():
            self[key] = element

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __contains__(self, key: Any) -> bool:
        return key in self._keys

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            msg = (
                f"{type(self).__name__}: there must be an element of the key; got {key!r} and "
                f"{self._keys}."
            )
            raise located(KeyError(msg))
        return getattr(self, key)

    def __setitem__(self, key: str, element: Any) -> None:
        name = type(self).__name__
        checked = type(self)._check(name, element)
        if key not in self._keys:
            self._keys = (*self._keys, _checked_name(type(self), key, numbers=True))
        setattr(self, key, checked)

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def keys(self) -> tuple[str, ...]:
        """Return the keys, in the order in which they came."""
        return self._keys

    def values(self) -> tuple[Any, ...]:
        """Return the elements."""
        return tuple(getattr(self, key) for key in self._keys)

    def items(self) -> tuple[tuple[str, Any], ...]:
        """Return pairs of key and element."""
        return tuple(zip(self._keys, self.values(), strict=True))

    def pop(self, key: str) -> Any:
        """Take an element out, and return it."""
        element = self[key]
        self._keys = tuple(k for k in self._keys if k != key)
        delattr(self, key)
        return element

    def clear(self) -> None:
        """Take all elements out."""
        for key in self._keys:
            self.pop(key)


class ModuleDict(_Dict):
    """Dict of modules, for a module that calls them itself.

    Parameters
    ----------
    elements : mapping of str to Module, or pairs

    Raises
    ------
    TypeError
        If an element is no module.
    ValueError
        If a key is no text, has a dot, or is the name of an attribute of modules.
    KeyError
        If there is no element of a key.

    Notes
    -----
    ``update`` is that of all modules, which replaces arrays by name.

    Examples
    --------
    >>> heads = volta.nn.ModuleDict({"relu": volta.nn.ReLU()})
    >>> heads["tanh"] = volta.nn.Tanh()
    >>> list(heads), heads["tanh"]
    (['relu', 'tanh'], Tanh())
    """

    _check = _checked_module


class ParameterDict(_Dict):
    """Dict of arrays that are trained, with the methods of `ModuleDict`.

    Parameters
    ----------
    elements : mapping of str to array, or pairs

    Raises
    ------
    TypeError
        If an element is no array.
    ValueError, KeyError
        As from `ModuleDict`.

    Examples
    --------
    >>> volta.nn.ParameterDict({"scale": np.ones(2)}).parameters()
    {'scale': array([1., 1.])}
    """

    _check = _checked_array


# Names --------------------------------------------------------------------------------------------


def _checked_name(container: type, name: Any, numbers: bool = False) -> str:
    title = container.__name__
    if type(name) is not str or not name or "." in name or (name.isdecimal() and not numbers):
        no_numbers = "" if numbers else ", and no numbers"
        msg = f"{title}: names must be text without dots{no_numbers}; got {name!r}."
        raise located(ValueError(msg))
    if name.startswith("_") or hasattr(container, name):
        msg = f"{title}: a name must not be that of an attribute of modules; got {name!r}."
        raise located(ValueError(msg))
    return name


def _takes_key(layer: Layer) -> bool:
    return isinstance(layer, Module) and _call_takes_key(type(layer).__call__)


@cache
def _call_takes_key(call: Any) -> bool:
    return "key" in inspect.signature(call).parameters
