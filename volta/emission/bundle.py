"""What a module defines besides its function: helpers, tables and constants of Volta's.

Values are looked up as they are, not by their names: a function becomes its text, what NumPy and
Python have is called as they call it, a number or a tuple is written out. What each needs comes
before it.
"""

import builtins
import functools
import importlib
import inspect
import keyword
import sys
from collections.abc import Callable
from fractions import Fraction
from types import FunctionType, ModuleType
from typing import Any, Final

import numpy as np

from volta.core.dispatch import NUMPY
from volta.core.errors import RuleError
from volta.core.primitive import Primitive
from volta.core.types import DTYPES, DType
from volta.emission import standins
from volta.emission.copying import Copied, copied_class
from volta.emission.text import WIDE, collected, literal, wrapped
from volta.functional.special.kernels import Native

__all__ = ["Bundle", "kernel_of"]

_LARGE: Final = 64  # elements of an array that is a constant of its own


class Bundle:
    """Definitions of a module, in an order in which they may stand.

    Parameters
    ----------
    taken : set of str
        Names that mean something already.
    constant : callable
        Gives a large array a name.

    Attributes
    ----------
    imports : set of str
        Lines.
    definitions : list of str
    """

    def __init__(self, taken: set[str], constant: Callable[[Any], str]) -> None:
        self.taken, self.constant = taken, constant
        self.imports = {"import numpy as np"}
        self.definitions: list[str] = []
        self._names: dict[Any, str] = {}
        self._held: list[Any] = []  # whose ids are in `_names`, and stay theirs

    def fresh(self, wanted: str) -> str:
        """A name like `wanted` that nothing has."""
        name, number = wanted, 2
        while name in self.taken or keyword.iskeyword(name) or hasattr(builtins, name):
            name, number = f"{wanted}_{number}", number + 1
        self.taken.add(name)
        return name

    def imported(self, module: str) -> str:
        """Name of a module that is imported."""
        self.imports.add(f"import {module}")
        return module

    def dtype(self, dtype: Any) -> str:
        """A dtype of NumPy, or of ml_dtypes."""
        if dtype.name == "bfloat16":
            return f"{self.imported('ml_dtypes')}.bfloat16"
        return f"np.{dtype.name}"

    def text(self, value: Any, wanted: str = "value") -> str:
        """Expression for a value; what needs a definition is called `wanted`, or like that.

        Raises
        ------
        RuleError
            If it cannot be written.
        """
        plain = literal(value)
        if plain is not None and len(plain) <= WIDE:
            return plain
        value = _substitute(value)
        if id(value) in self._names:
            return self._names[id(value)]
        if plain is None:
            found = self._library(value) or self._parts(value, wanted)
            if found is not None:
                return found
        name = self._names[id(value)] = self.fresh(wanted)
        self._held.append(value)
        text = f"{name} = {wrapped(plain)}" if plain else self._defined(value, name)
        self.definitions.append(text)
        return name

    def named(self, value: Any, name: str) -> str:
        """Name of a constant of Volta's that is called `name` there."""
        key = name, repr(value)
        if key not in self._names:
            text = self.text(value, name)
            if text.isidentifier():
                return text
            self._names[key] = self.fresh(name)
            self.definitions.append(f"{self._names[key]} = {wrapped(text)}")
        return self._names[key]

    def _library(self, value: Any) -> str | None:
        """What NumPy, Python and its modules have by a name."""
        if isinstance(value, np.dtype):
            return f"np.dtype({self.dtype(value)})"
        if isinstance(value, type) and issubclass(value, np.generic):
            return self.dtype(np.dtype(value))
        if isinstance(value, ModuleType):
            return self._module(value.__name__)
        owner = getattr(value, "__self__", None)
        if isinstance(owner, np.ufunc):
            return f"np.{owner.__name__}.{value.__name__}"
        name = getattr(value, "__name__", "")
        if getattr(builtins, name, None) is value:
            return str(name)
        for module in (np, np.linalg, np.fft, np.lib.stride_tricks):
            if getattr(module, name, None) is value:
                return f"{self._module(module.__name__)}.{name}"
        home = (getattr(value, "__module__", None) or "").removeprefix("_")
        known = home.partition(".")[0] in sys.stdlib_module_names
        if known and getattr(importlib.import_module(home), name, None) is value:
            return f"{self._module(home)}.{name}"
        return None

    def _module(self, name: str) -> str:
        root = name.partition(".")[0]
        if root == "numpy":
            return name.replace("numpy", "np", 1)
        if root not in sys.stdlib_module_names | {"ml_dtypes"}:
            msg = f"a module must be Python's own or NumPy; got {name}."
            raise RuleError(msg)
        return self.imported(name)

    def _parts(self, value: Any, wanted: str) -> str | None:
        """A value that is made of others."""

        def each(values: Any) -> list[str]:
            return [self.text(v, wanted) for v in values]

        if isinstance(value, np.generic):
            return f"{self.dtype(value.dtype)}({literal(value.item())})"
        if type(value) is DType:
            return f"{self.text(DTYPES, 'DTYPES')}[{value.name!r}]"
        if value is NUMPY:
            return f"{self.text(standins.NumPy, 'NumPy')}()"
        if type(value) is Fraction:
            return f"{self.imported('fractions')}.{value!r}"
        if type(value) is slice:
            return f"slice({', '.join(each((value.start, value.stop, value.step)))})"
        if type(value) is functools.partial:
            named = [f"{k}={self.text(v, k)}" for k, v in value.keywords.items()]
            parts = ", ".join([*each((value.func, *value.args)), *named])
            return f"{self.imported('functools')}.partial({parts})"
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return f"{self.text(type(value), type(value).__name__)}({', '.join(each(value))})"
        if type(value) in (tuple, list, set, frozenset):
            return collected(type(value), each(value))
        if type(value) is dict and value is not DTYPES:
            inner = (f"{self.text(k)}: {self.text(v, str(k))}" for k, v in value.items())
            return "{" + ", ".join(inner) + "}"
        if isinstance(value, np.ndarray):
            if value.size > _LARGE:
                return self.constant(value)
            return f"np.array({literal(value.tolist())}, {self.dtype(value.dtype)})"
        return None

    def _defined(self, value: Any, name: str) -> str:
        """Definition of a function, a class or an object of one."""
        if isinstance(value, FunctionType):
            return Copied(self, value).text(name)
        if isinstance(value, functools._lru_cache_wrapper):
            function: Any = value.__wrapped__
            return f"@{self.imported('functools')}.cache\n{Copied(self, function).text(name)}"
        ours = getattr(value, "__module__", "").startswith("volta.")
        if isinstance(value, type) and ours:
            return copied_class(self, value, name)
        if value is DTYPES:
            kind = self.text(DType, "DType")
            rows = (
                f"{d.name!r}: {kind}({d.name!r}, {d.kind!r}, {d.itemsize}),"
                for d in DTYPES.values()
            )
            return "\n    ".join([f"{name} = {{", *rows]) + "\n}"
        if ours:  # made of what are its attributes
            kind = self.text(type(value), type(value).__name__)
            made = inspect.signature(type(value)).parameters
            return f"{name} = {kind}({', '.join(self.text(getattr(value, a), a) for a in made)})"
        msg = f"a value must be a function, a number or a collection; got {type(value).__name__}."
        raise RuleError(msg)


@functools.cache
def kernel_of(primitive: Primitive) -> Callable[..., Any]:
    """The operation as a function of NumPy's arrays that needs nothing but NumPy."""
    own = primitive.own_kernels
    found = standins.KERNELS.get(primitive.name)
    if found is None and not isinstance(own, Native):  # whose functions are SciPy's
        found = own.get("numpy")
    if found is None and primitive.value is not None:
        found = functools.partial(primitive.value, np)
    return primitive.kernel_of(NUMPY) if found is None else found


def _substitute(value: Any) -> Any:
    """What stands for a value of Volta's core in a module without it."""
    if isinstance(value, FunctionType):
        code = value.__code__
        found = standins.FUNCTIONS.get((value.__globals__.get("__name__", ""), code.co_qualname))
        if found is not None:
            return found
        if code.co_qualname == "hosted.<locals>.value":  # of torch's arrays
            cells = dict(zip(code.co_freevars, value.__closure__ or (), strict=True))
            return cells["kernel"].cell_contents
    primitive = getattr(value, "primitive", None)
    if type(primitive) is Primitive and primitive.elementwise:
        return kernel_of(primitive)
    if isinstance(value, type) and issubclass(value, Exception):
        return next(c for c in value.__mro__ if c.__module__ == "builtins")
    return standins.CLASSES.get(value, value) if isinstance(value, type) else value
