"""What a namespace can do: devices, dtypes, defaults, as the standard's inspection functions."""

from typing import Any

from volta.core.context import default_dtype_of
from volta.core.dispatch import NUMPY, Library
from volta.core.errors import DeviceError
from volta.core.types import DTYPES, as_dtype
from volta.functional.dtypes import KINDS

__all__ = ["NamespaceInfo"]


class NamespaceInfo:
    """Answers of ``xp.__array_namespace_info__()``.

    Parameters
    ----------
    library : Library
        The array library underneath.
    own : bool
        Whether dtypes are the library's objects and defaults its own, as those of a view are;
        otherwise they are Volta's.
    """

    def __init__(self, library: Library, *, own: bool) -> None:
        self._library, self._own = library, own
        self._info = library.xp.__array_namespace_info__()

    def capabilities(self) -> dict[str, Any]:
        """Return what the namespace supports: boolean indexing, data-dependent shapes, axes."""
        return dict(self._info.capabilities())

    def default_device(self) -> Any:
        """Return the device that creation functions use."""
        return self._info.default_device()

    def devices(self) -> tuple[Any, ...]:
        """Return the devices there are."""
        return tuple(self._info.devices())

    def default_dtypes(self, *, device: Any = None) -> dict[str, Any]:
        """Return the dtypes that creation functions give without `dtype`."""
        self._known(device)
        if self._own:
            return dict(self._info.default_dtypes(device=device))
        return {
            "real floating": default_dtype_of("float"),
            "complex floating": default_dtype_of("complex"),
            "integral": default_dtype_of("int"),
            "indexing": self._library.index,
        }

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, Any]:
        """Return the dtypes by name, all of them or those of a kind or of several."""
        self._known(device)
        names = kind if isinstance(kind, tuple) else (kind,)
        kinds = [k for name in names for k in (KINDS[name] if name else _ANY)]
        found = self._info.dtypes(device=device)
        return {
            name: dtype if self._own else as_dtype(dtype)
            for name, dtype in found.items()
            if name in DTYPES and DTYPES[name].kind in kinds
        }

    def _known(self, device: Any) -> None:
        if device is not None and device not in self.devices():
            msg = f"device: must be one of {self.devices()}; got {device!r}."
            raise DeviceError(msg)


_ANY = ("bool", *KINDS["numeric"])


def __array_namespace_info__() -> NamespaceInfo:  # noqa: N807 - the standard's name
    """Inspection of `volta.functional` itself, whose arrays are NumPy's unless told otherwise."""
    return NamespaceInfo(NUMPY, own=False)
