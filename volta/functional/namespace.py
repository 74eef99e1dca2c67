"""The op set as an Array API namespace of one library, which traced arrays return as theirs."""

import functools
from typing import Any, Final

from volta.core.context import default_dtype
from volta.core.dispatch import NUMPY, Library
from volta.core.trace import ops
from volta.core.tracer import Tracer, library_under
from volta.core.types import DTYPES
from volta.functional.inspection import NamespaceInfo

__all__ = ["Namespace"]

_CREATION: Final = frozenset(
    ("arange", "asarray", "empty", "eye", "from_dlpack", "full", "linspace", "ones", "zeros")
)


class Namespace:
    """View of `volta.functional` with a library's dtype objects, devices and defaults.

    There is one for each library; it is hashable and can be copied and pickled.
    """

    __array_api_version__ = "2025.12"

    def __init__(self, library: Library) -> None:
        self.__volta_library__ = library
        self.__name__ = f"volta.{library.name}"

    def __repr__(self) -> str:
        return f"<namespace {self.__name__}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return namespace, (self.__volta_library__,)

    def __copy__(self) -> "Namespace":
        return self

    def __deepcopy__(self, memo: Any) -> "Namespace":
        return self

    def __array_namespace_info__(self) -> NamespaceInfo:
        """Inspection functions of the standard."""
        return NamespaceInfo(self.__volta_library__, own=True)

    def __getattr__(self, name: str) -> Any:
        from volta import functional

        if name not in functional._OWN and name not in dir(functional):
            msg = f"{self.__name__} has no {name!r}"
            raise AttributeError(msg)
        found = getattr(functional, name)
        if name in DTYPES:
            found = self.__volta_library__.dtype(found)
            # its classes, as in NumPy: `numpy.dtype("float64") == None` holds
            found = found.type if self.__volta_library__ is NUMPY else found
        elif name in _CREATION:
            found = _bound(found, self.__volta_library__)
        elif name == "fft":
            found = Fourier(self.__volta_library__)
        setattr(self, name, found)
        return found


class Fourier:
    """View of `volta.functional.fft` in which frequencies are arrays of one library."""

    def __init__(self, library: Library) -> None:
        from volta.functional import fft

        self.__name__, self._library = f"volta.{library.name}.fft", library
        self.__all__ = fft.__all__
        for name in fft.__all__:
            found = getattr(fft, name)
            setattr(self, name, _bound(found, library) if name.endswith("freq") else found)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (namespace(self._library), "fft")


def _bound(function: Any, library: Library) -> Any:
    """Creation function with the library and its default dtype for floats filled in."""
    floating = "float64" if library is NUMPY else str(library.xp.asarray(0.0).dtype)

    @functools.wraps(function)
    def creation(*args: Any, **kwargs: Any) -> Any:
        with default_dtype(floating):
            if function.__name__ == "asarray" and hasattr(args[0] if args else None, "dtype"):
                x = args[0]
                host = library is not NUMPY and library_under(x) is NUMPY
                if not host or (type(x) is Tracer and x.trace is not None):
                    return function(*args, **kwargs)
            return function(*args, xp=library, **kwargs)

    return creation


@functools.cache
def namespace(library: Library) -> Namespace:
    """The one namespace of a library."""
    return Namespace(library)


ops.namespace = namespace
