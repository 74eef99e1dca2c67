"""Namespaces of traced arrays, for `test_conformance` and the public suite (`scripts/compliance`).

`namespace("vjp.numpy")` is a namespace like that of NumPy arrays inside `vjp`, but everything that
it makes belongs to one transform that stays open: floating arrays are recorded by `vjp`, or carry
a tangent under `jvp`; all arrays have two equal lanes under `vmap`.

The arrays are Volta's own. For the public suite with one difference: `float`, `complex` and
`__dlpack__` read the value, as its assertions need.
"""

import functools
import importlib
from typing import Any

import volta.functional as F
from volta.core import tree
from volta.core.dispatch import library_for
from volta.core.trace import Running
from volta.core.tracer import Tracer, concrete, constant
from volta.core.types import as_dtype, is_inexact
from volta.functional.inspection import NamespaceInfo
from volta.functional.namespace import namespace as view_of
from volta.transforms.jvp import JvpTrace
from volta.transforms.vjp import VjpTrace
from volta.transforms.vmap import VmapTrace

MODES = ("vjp", "jvp", "vmap")
LONGEST = 10_000  # entries that a list may grow to before it is forgotten


def suite():
    """What the transforms are runs of, for messages."""


def _recorded(trace: VjpTrace, x: Any) -> Tracer:
    if len(trace.entries) > LONGEST:
        trace.entries.clear()
    return trace.input(x) if is_inexact(as_dtype(x.dtype)) else constant(x)


def _pushed(trace: JvpTrace, x: Any) -> Tracer:
    if not is_inexact(as_dtype(x.dtype)):
        return constant(x)
    return Tracer(trace, (F.ones_like(x), False), x)


def _batched(trace: VmapTrace, x: Any) -> Tracer:
    return Tracer(trace, None, F.stack([x, x]))


class Info(NamespaceInfo):
    """Inspection under `vmap`, whose lanes must agree in shape."""

    def capabilities(self) -> dict[str, Any]:
        """Return what the namespace supports."""
        return {**super().capabilities(), "data-dependent shapes": False, "boolean indexing": False}


class Traced:
    """Namespace of the arrays of one open transform."""

    __array_api_version__ = "2025.12"

    def __init__(self, mode: str, library: str) -> None:
        self.__name__ = f"{mode}.{library}"
        self._mode = mode
        self._view = view_of(library_for(importlib.import_module(library)))
        self._trace, self._enter = {
            "vjp": lambda: (VjpTrace("vjp", suite), _recorded),
            "jvp": lambda: (JvpTrace("jvp", suite), _pushed),
            "vmap": lambda: (VmapTrace(suite, 2), _batched),
        }[mode]()
        self.running = Running(self._trace)

    def __array_namespace_info__(self) -> NamespaceInfo:
        kind = Info if self._mode == "vmap" else NamespaceInfo
        return kind(self._view.__volta_library__, own=True)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        found = self._wrapped(getattr(self._view, name))
        setattr(self, name, found)
        return found

    def _wrapped(self, found: Any) -> Any:
        if not callable(found):
            return _Extension(self, found) if hasattr(found, "__all__") else found
        if isinstance(found, type):
            return found

        @functools.wraps(found)
        def function(*args: Any, **kwargs: Any) -> Any:
            return tree.map(self._entered, found(*args, **kwargs))

        return function

    def _entered(self, x: Any) -> Any:
        """`x` in the transform, if it is a constant."""
        if type(x) is Tracer and x.trace is None:
            made = self._enter(self._trace, concrete(x, "lift"))
            x.trace, x.var, x.value = made.trace, made.var, made.value
        return x


class _Extension:
    """Extension of a namespace, its functions wrapped likewise."""

    def __init__(self, of: Traced, module: Any) -> None:
        for name in module.__all__:
            setattr(self, name, of._wrapped(getattr(module, name)))


def namespace(name: str) -> Traced:
    """Namespace by name: a transform and a library, ``"vjp.numpy"``."""
    mode, library = name.split(".")
    for method, convert in (("__float__", float), ("__complex__", complex)):
        setattr(Tracer, method, lambda x, convert=convert: convert(concrete(x, convert.__name__)))
    own = Tracer.__dlpack__
    Tracer.__dlpack__ = functools.wraps(own)(
        lambda x, **options: own(constant(concrete(x, "dlpack")), **options)
    )
    Tracer.__dlpack_device__ = lambda x: concrete(x, "dlpack").__dlpack_device__()
    found = Traced(mode, library)
    found.running.__enter__()
    return found
