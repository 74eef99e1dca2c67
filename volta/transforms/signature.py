"""Kinds of calls: what of the arguments decides which program serves a call.

The kind is the structure of the arguments, the dtypes, shapes, library and device of their arrays,
which of them are Python numbers, static arguments, and the settings in force.
"""

import operator
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from volta.core import tree
from volta.core.context import SETTINGS
from volta.core.dispatch import LIBRARIES, NUMPY, Library, joined
from volta.core.trace import Abstract, located
from volta.core.tracer import Tracer, library_under
from volta.core.types import SCALARS, ArrayType, as_dtype
from volta.transforms.arguments import as_array
from volta.transforms.deciding import JitTrace, kind_of
from volta.transforms.eval_shape import ShapeDtypeStruct

__all__ = ["PARTS", "Call", "Inputs", "described", "texts_of"]


class Call:
    """The arguments of a call.

    Attributes
    ----------
    key : tuple
        What decides which program serves the call: see `PARTS`.
    leaves : list
        Of the arguments that are no static ones, and of the module whose method it is.
    """

    __slots__ = ("args", "key", "kwargs", "leaves")

    def __init__(
        self,
        jitted: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        abstract: bool = False,
    ) -> None:
        self.args, self.kwargs = args, kwargs
        fixed: tuple[Any, ...] = ()
        dynamic: Sequence[Any] = args
        if jitted._has_static:
            dynamic, _, kwargs, named = jitted._parted(args, kwargs)
            fixed = _fixed(jitted._name, args, jitted._static_numbers(args), named)
        leaves, spec = tree.flatten((jitted._owner, dynamic, kwargs))
        if abstract:
            leaves = _placed(leaves, jitted._name)
        self.leaves = leaves
        name = jitted._name
        kinds = [(x.dtype, x.shape) if type(x) is np.ndarray else _kind(x, name) for x in leaves]
        self.key = spec, tuple(kinds), fixed, tuple([s.get() for s in SETTINGS])


PARTS: Final = ("structure", "arrays", "static arguments", "settings")


def _kind(x: Any, name: str) -> Any:
    """What of a leaf decides: its type if it is a number; dtype, shape, and where an array is."""
    cls = type(x)
    if cls in SCALARS or isinstance(x, np.generic):
        return cls
    if is_number_leaf(x):
        return _PYTHON[kind_of(x)]
    if cls is not Tracer and cls is not Abstract and cls not in LIBRARIES:
        x = as_array(x, name)
    library = library_under(x)
    kind: tuple[Any, ...] = x.dtype, tuple(x.shape)
    if library is not NUMPY:
        kind += library, library.device(x) if cls in LIBRARIES else x.device
    return (*kind, "constant") if cls is Tracer and x.trace is None else kind


def is_number_leaf(x: Any) -> bool:
    """Whether a leaf is a number, or stands for one in a jitted function around."""
    return type(x) in SCALARS or (
        type(x) is Tracer and type(x.trace) is JitTrace and x.trace.is_number(x)
    )


_PYTHON: Final = {"bool": bool, "int": int, "float": float, "complex": complex}


def _fixed(
    name: str, args: tuple[Any, ...], numbers: Sequence[int], named: dict[str, Any]
) -> tuple[Any, ...]:
    """Static arguments, by number or name, as part of a key."""
    given = {n % len(args): args[n % len(args)] for n in numbers} | named
    for place, value in given.items():
        try:
            hash(value)
        except TypeError:
            msg = (
                f"{name}: static arguments must be hashable; got {type(value).__name__} "
                f"for {place!r}. Pass a tuple for a list."
            )
            raise located(TypeError(msg)) from None
    return tuple((place, _exact(value)) for place, value in given.items())


def _exact(value: Any) -> Any:
    """Key in which 1, 1.0 and True are three, 0.0 and -0.0 two, and NaN is one."""
    if type(value) in SCALARS:
        return type(value), repr(value)
    return (tuple, *map(_exact, value)) if type(value) is tuple else value


class Inputs:
    """How the leaves of calls of one kind become arrays of one library.

    Attributes
    ----------
    numbers : tuple of int
        Places of Python numbers; NumPy's beside another library's arrays are such, too.
    raw : bool
        Whether the leaves are such arrays.
    """

    def __init__(self, leaves: Sequence[Any], name: str) -> None:
        self.name = name
        self.home, self.device = _home(leaves, name)
        weak = () if self.home is NUMPY else np.generic
        places = enumerate(leaves)
        self.numbers = tuple(i for i, x in places if is_number_leaf(x) or isinstance(x, weak))
        arrays = self.arrays(leaves)
        self.raw = not self.numbers and all(map(operator.is_, arrays, leaves))

    def arrays(self, leaves: Sequence[Any]) -> list[Any]:
        """Leaves as arrays; a number has 64 bits where there are such."""
        return [x if type(x) is Abstract else self._array(x) for x in leaves]

    def _array(self, leaf: Any) -> Any:
        home = self.home
        if home is not NUMPY and isinstance(leaf, np.generic):
            leaf = leaf.item()
        if type(leaf) in SCALARS:
            kind = _WIDEST[type(leaf).__name__]
            dtype = None if home.name == "jax.numpy" else home.dtype(kind)  # it knows what it has
            return home.asarray(leaf, dtype, None if home is NUMPY else self.device)
        array = as_array(leaf, self.name)
        if home is NUMPY or type(array) is not np.ndarray:
            return array
        return joined(array, home, self.device)


_WIDEST: Final = {"bool": "bool", "int": "int64", "float": "float64", "complex": "complex128"}


def _home(leaves: Sequence[Any], name: str) -> tuple[Library, Any]:
    """Library and device of a call: those of the first array that is not NumPy's."""
    for x in leaves:
        if type(x) in SCALARS or type(x) in (np.ndarray, ShapeDtypeStruct):
            continue
        library = library_under(x if type(x) is Abstract else as_array(x, name))
        if library is not NUMPY:
            return library, library.device(x) if type(x) in LIBRARIES else x.device
    return NUMPY, "cpu"


def _placed(leaves: Sequence[Any], name: str) -> list[Any]:
    """Leaves with each `ShapeDtypeStruct` on the library and device of the arrays beside it."""
    home, device = _home(leaves, name)
    return [
        Abstract(ArrayType(x.shape, as_dtype(x.dtype)), home, device)
        if type(x) is ShapeDtypeStruct
        else x
        for x in leaves
    ]


# What is shown ----------------------------------------------------------------------------------


def described(key: Any) -> str:
    """The kinds of arguments that a program serves."""
    _, kinds, fixed, _ = key
    shown = [*map(_shown, kinds), *(f"{place}={value}" for place, value in fixed)]
    return f"({', '.join(shown)})"


def texts_of(key: Any) -> tuple[str, ...]:
    """The parts of a key, for reading."""
    spec, kinds, fixed, settings = key
    return str(spec), f"({', '.join(map(_shown, kinds))})", str(fixed), str(settings)


def _shown(kind: Any) -> str:
    """Kind of a leaf, for reading."""
    if isinstance(kind, type):
        return kind.__name__
    dtype, shape, *place = kind
    text = str(ArrayType(shape, as_dtype(dtype)))
    return f"{text} of {place[0].name} on {place[1]}" if len(place) > 1 else text
