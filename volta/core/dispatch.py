"""Array libraries: which one an array belongs to, and what Volta needs of each.

A `Library` is made on first sight of one of its arrays and found by exact type from then on.
Nothing here imports a library to detect it.
"""

import importlib
from collections.abc import Callable
from functools import cached_property
from types import ModuleType
from typing import Any, Final

import numpy as np

from volta.core.context import default_dtype_of
from volta.core.errors import DeviceError, DTypeError
from volta.core.trace import located
from volta.core.types import SCALARS, DType, as_dtype

__all__ = [
    "LIBRARIES",
    "NUMPY",
    "Library",
    "apart_from",
    "common_library",
    "has_float64",
    "joined",
    "library_for",
    "library_of",
]


class Library:
    """An array library: its Array API namespace, and its dtypes, devices and conversions.

    Attributes
    ----------
    name : str
        Short name: ``"numpy"``, ``"torch"``, ``"array_api_strict"``, …
    xp : module
        Its Array API namespace (for NumPy, numpy itself).
    kernel_of : callable or None
        The function that applies a primitive to its arrays, of a library that has its own for all.
    compiled : callable or None
        The function that runs a staged list on its arrays, of a library that has its own.
    """

    def __init__(self, name: str, xp: Any) -> None:
        self.name, self.xp = name, xp
        self.kernel_of: Callable[[Any], Callable[..., Any]] | None
        self.kernel_of = getattr(xp, "__volta_kernel__", None)
        self.compiled: Callable[[Any], Callable[..., Any]] | None
        self.compiled = getattr(xp, "__volta_compiled__", None)

    @property
    def index(self) -> DType:
        """Dtype of the library's own integers: int64, or int32 where it has 32 bits."""
        return as_dtype(np.int64 if self is NUMPY else self.xp.asarray(0).dtype)

    @property
    def in_place(self) -> bool:
        """Whether ``x += y`` writes to the array that `x` names, not only to the name."""
        return self.name not in _IMMUTABLE

    def __repr__(self) -> str:
        return f"Library({self.name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _library_named, (self.name,)

    def dtype(self, dtype: Any) -> Any:
        """Dtype object of the library for any dtype.

        Raises
        ------
        DTypeError
            If the library has no such dtype.
        """
        canonical = as_dtype(dtype)
        if self is NUMPY:
            return canonical.dtype
        try:
            return getattr(self.xp, canonical.name)
        except AttributeError:
            msg = f"dtype: {self.name} must have the dtype; got {canonical.name}."
            raise DTypeError(msg) from None

    def asarray(self, x: Any, dtype: Any = None, device: Any = None) -> Any:
        """Array of this library from host data: a NumPy array, a scalar or nested lists."""
        if self is NUMPY:
            return np.asarray(x, dtype=dtype)
        strong = isinstance(x, np.ndarray | np.generic) and self.name not in _OWN_INTEGERS
        if dtype is None and strong:
            dtype = self.dtype(x.dtype)
        if isinstance(x, np.generic):
            x = x.item()
        if self.name == "torch" and isinstance(x, np.ndarray):
            # it warns of an array that must not be written to, such as one that was broadcast
            x = x if x.flags.writeable else x.copy()
            if x.dtype.name == "bfloat16":  # which it reads from no array but its own
                x = self.xp.asarray(x.view(np.int16)).view(self.xp.bfloat16)
        if device is None:
            return self.xp.asarray(x, dtype=dtype)
        return self.xp.asarray(x, dtype=dtype, device=device)

    @cached_property
    def device(self) -> Callable[[Any], Any]:
        """The function from an array of this library to its device."""
        if self is NUMPY:
            return lambda x: "cpu"
        import array_api_compat

        compat_device: Callable[[Any], Any] = array_api_compat.device
        return compat_device

    def to_device(self, x: Any, device: Any) -> Any:
        """Array with the values of `x` on `device`."""
        if self is NUMPY:
            return x
        import array_api_compat

        return array_api_compat.to_device(x, device)


def to_host(x: Any) -> Any:
    """NumPy array with the values of another library's array, wherever it is."""
    if hasattr(x, "detach"):  # torch
        return _from_torch(x.detach().cpu().resolve_conj().resolve_neg())
    if hasattr(x, "get"):  # CuPy
        x = x.get()
    try:
        return np.from_dlpack(x)
    except (AttributeError, TypeError, BufferError, RuntimeError):
        return np.asarray(x)


def _from_torch(tensor: Any) -> Any:
    name = str(tensor.dtype).removeprefix("torch.")
    if not name.startswith(("bfloat", "float8")):
        return tensor.numpy()
    import ml_dtypes
    import torch

    bits = tensor.contiguous().view(torch.uint8 if tensor.itemsize == 1 else torch.int16)
    return bits.numpy().view(getattr(ml_dtypes, name))


# JAX has 64 bits only on demand, and volta.wgpu on some devices: they know by themselves.
_OWN_INTEGERS: Final = frozenset(("jax.numpy", "volta.wgpu"))
_IMMUTABLE: Final = frozenset(("dask.array", "jax.numpy", "volta.wgpu"))  # no in-place operators
NUMPY: Final = Library("numpy", np)

# Exact array type to library; filled on first sight of a type.
LIBRARIES: Final[dict[type, Library]] = {np.ndarray: NUMPY} | dict.fromkeys(
    {np.dtype(c).type for c in np.typecodes["All"] if c not in "OVSUMm"}, NUMPY
)
_BY_NAME: Final[dict[str, Library]] = {"numpy": NUMPY}


def library_of(x: Any, operation: str) -> Library:
    """Library that the raw array `x` belongs to.

    Raises
    ------
    DTypeError
        If `x` is no array; `operation` is what the message speaks of.
    """
    found = LIBRARIES.get(type(x))
    if found is None:
        found = LIBRARIES[type(x)] = _discover(x, operation)
    return found


def _discover(x: Any, operation: str) -> Library:
    if isinstance(x, np.ndarray | np.generic):
        kinds = {c.__name__ for c in type(x).__mro__ if c.__module__.startswith("numpy")}
        if not kinds.isdisjoint(_OTHER_ALGEBRA):
            msg = (
                f"{operation}: operands must be plain arrays; got {type(x).__name__}. "
                "Convert it with numpy.array first."
            )
            raise located(DTypeError(msg))
        return NUMPY
    import array_api_compat

    try:
        xp = array_api_compat.array_namespace(x)
    except TypeError:
        msg = f"{operation}: operands must be arrays or Python numbers; got {type(x).__name__}."
        raise located(DTypeError(msg)) from None
    return library_for(xp)


_OTHER_ALGEBRA: Final = ("matrix", "MaskedArray")  # in which x * y or a sum is something else


def has_float64(xp: Any, device: Any) -> bool:
    """Whether a device of a library has float64."""
    if xp is np:
        return True
    if "torch" in xp.__name__:
        return bool(device.type != "mps")
    return "float64" in xp.__array_namespace_info__().dtypes(device=device, kind="real floating")


def library_for(xp: Any) -> Library:
    """Library of a namespace: ``numpy``, ``torch``, ``array_api_strict``, a view of one, ….

    Raises
    ------
    DeviceError
        If `xp` is no array namespace.
    """
    if isinstance(xp, Library):
        return xp
    library = getattr(xp, "__volta_library__", None)
    if library is not None:
        return library  # type: ignore[no-any-return]  # Volta's own attribute
    name = getattr(xp, "__name__", "").removeprefix("array_api_compat.")
    if name not in _BY_NAME:
        if not hasattr(xp, "asarray"):
            msg = f"xp: must be an array namespace such as numpy or torch; got {xp!r}."
            raise DeviceError(msg)
        _BY_NAME[name] = Library(name, _compat(name, xp))
    return _BY_NAME[name]


def _compat(name: str, xp: Any) -> Any:
    """Namespace that speaks the standard: array-api-compat's where it has one for `name`."""
    if isinstance(xp, ModuleType) and name in ("torch", "cupy", "dask.array"):
        import importlib

        return importlib.import_module(f"array_api_compat.{name}")
    return xp


def _library_named(name: str) -> Library:
    return library_for(NUMPY.xp if name == "numpy" else importlib.import_module(name))


def common_library(args: tuple[Any, ...], operation: str) -> tuple[Library, tuple[Any, ...]]:
    """Library that raw operands meet in, and the operands joined to it.

    NumPy arrays and scalars join another library's arrays, on their device.

    Raises
    ------
    DeviceError
        If arrays of two libraries other than NumPy meet.
    """
    library: Library | None = None
    like: Any = None
    for a in args:
        if type(a) in SCALARS:
            continue
        found = library_of(a, operation)
        if library is None or library is NUMPY:
            library, like = found, a
        elif found is not library and found is not NUMPY:
            raise apart_from(library, found, operation)
    if library is None:
        return NUMPY, _scalars(args)
    if library is NUMPY:
        return library, args
    device = library.device(like)
    return library, tuple(joined(a, library, device) for a in args)


def apart_from(library: Library, other: Library, operation: str) -> DeviceError:
    """Error of an operation on arrays of two libraries."""
    msg = (
        f"{operation}: arrays of one library must meet; got {library.name} and "
        f"{other.name}. Move one with volta.tree.to(x, xp=…)."
    )
    return located(DeviceError(msg))


def _scalars(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Python numbers as arrays of their default dtypes; ints give way to floats beside them."""
    kinds = {type(a).__name__ for a in args}
    among = "complex" if "complex" in kinds else "float" if "float" in kinds else "int"
    return tuple(
        np.asarray(a, default_dtype_of(among if type(a) is int else type(a).__name__)) for a in args
    )


def joined(a: Any, library: Library, device: Any) -> Any:
    """Host operand in `library`: NumPy's scalars become weak numbers, its arrays move."""
    if isinstance(a, np.ndarray):
        return library.asarray(a, device=device)
    return a.item() if isinstance(a, np.generic) else a
