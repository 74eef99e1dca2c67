"""Layers in a row."""

import inspect
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from volta.core.errors import DimensionError
from volta.core.trace import located
from volta.functional import random
from volta.nn.module import Module

__all__ = ["Sequential"]

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
                self._append(_checked_name(layer[0]), layer[1])
            else:
                self._append(str(position), layer)
        for name, layer in named.items():
            self._append(_checked_name(name), layer)

    def _append(self, name: str, layer: Layer) -> None:
        if name in self._names:
            msg = f"Sequential: names must differ; got {name!r} twice."
            raise located(ValueError(msg))
        self._names = (*self._names, name)
        self._set(name, layer)

    def _set(self, name: str, layer: Any) -> None:
        if not callable(layer):
            msg = f"Sequential: layers must be callable; got {type(layer).__name__} for {name!r}."
            raise located(TypeError(msg))
        setattr(self, name, layer)

    @property
    def _positions(self) -> dict[str, str]:
        return {name: str(i) for i, name in enumerate(self._names)}

    def __call__(self, x: Any, *, key: Any = None) -> Any:
        """Call the layers on `x`, one after the other."""
        fields = vars(self)
        layers = [fields[name] for name in self._names]
        if key is None:
            for layer in layers:
                x = layer(x)
            return x
        takers = sum(map(_takes_key, layers))
        keys = iter(random.split(key, takers)) if takers else iter(())
        for layer in layers:
            x = layer(x, key=next(keys)) if _takes_key(layer) else layer(x)
        return x

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


def _checked_name(name: Any) -> str:
    if type(name) is not str or not name or "." in name or name.isdecimal():
        msg = f"Sequential: names must be text without dots, and no numbers; got {name!r}."
        raise located(ValueError(msg))
    if name.startswith("_") or hasattr(Sequential, name):
        msg = f"Sequential: a name must not be that of an attribute of modules; got {name!r}."
        raise located(ValueError(msg))
    return name


def _takes_key(layer: Layer) -> bool:
    return isinstance(layer, Module) and _call_takes_key(type(layer).__call__)


@cache
def _call_takes_key(call: Any) -> bool:
    return "key" in inspect.signature(call).parameters
