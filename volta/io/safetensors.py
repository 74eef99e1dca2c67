"""The safetensors format: a dictionary of named arrays to a file and back.

A file is an 8-byte little-endian length, a JSON header of that length, and the arrays' bytes::

    {"__metadata__": {"format": "volta"},
     "weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}

Writing is the safetensors package's. Reading is done here, because a mapped file needs no copy,
and in this order: `_read_header` checks everything the header says, `_views` makes the arrays.
"""

import contextlib
import json
import math
import mmap
import os
import sys
from collections.abc import Iterator, Mapping
from reprlib import repr as short
from types import ModuleType
from typing import Any, BinaryIO, Final, NamedTuple, NoReturn

import numpy as np

from volta.core.dispatch import NUMPY, Library, library_for, to_host
from volta.core.errors import DeviceError, DTypeError, LoadError, TraceError, VoltaError
from volta.core.keywords import suggesting
from volta.core.trace import located
from volta.io.files import atomic_write
from volta.io.state import StateDict

__all__ = ["load_file", "load_metadata", "save_file"]

MAX_HEADER: Final = 100_000_000  # bytes, the reference implementation's own limit
MAX_AXES: Final = 64  # NumPy's limit

# The format's dtypes by their names there: NumPy's name and the bytes of an element.
NUMPY_DTYPES: Final = {
    "BOOL": ("bool", 1),
    "U8": ("uint8", 1),
    "I8": ("int8", 1),
    "U16": ("uint16", 2),
    "I16": ("int16", 2),
    "U32": ("uint32", 4),
    "I32": ("int32", 4),
    "U64": ("uint64", 8),
    "I64": ("int64", 8),
    "F16": ("float16", 2),
    "F32": ("float32", 4),
    "F64": ("float64", 8),
    "C64": ("complex64", 8),
}
# The same for those that ml_dtypes adds to NumPy. Its names are torch's too.
ML_DTYPES: Final = {
    "BF16": ("bfloat16", 2),
    "F8_E4M3": ("float8_e4m3fn", 1),
    "F8_E4M3FNUZ": ("float8_e4m3fnuz", 1),
    "F8_E5M2": ("float8_e5m2", 1),
    "F8_E5M2FNUZ": ("float8_e5m2fnuz", 1),
    "F8_E8M0": ("float8_e8m0fnu", 1),
}
DTYPES: Final = NUMPY_DTYPES | ML_DTYPES
_ML_NAMES: Final = frozenset(name for name, _ in ML_DTYPES.values())


@suggesting
def save_file(
    tensors: Mapping[str, object],
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write named arrays to a safetensors file.

    The file is replaced in one step: whatever goes wrong, `path` holds the old file or the new
    one, whole.

    Parameters
    ----------
    tensors : mapping of str to array
        Arrays of any library, shape and strides. Dtypes: bool, int8 to int64, uint8 to uint64,
        float16, bfloat16, float32, float64, complex64 and the 8-bit floats of the format.
        Arrays on other devices are copied to the host.
    path : str or path-like
        The file. Its directory must exist.
    metadata : mapping of str to str, optional
        Kept in the header, beside ``{"format": "volta"}`` and what `tensors` has if it is a
        `StateDict`, either of which it may override.

    Raises
    ------
    DTypeError
        If a value is not an array or has a dtype that the format lacks.
    TypeError, ValueError
        If a name or an item of `metadata` is not text, or a name is ``"__metadata__"``.
    TraceError
        If an array is traced.
    VoltaError
        If the disk does not take the file.

    See Also
    --------
    load_file : read the file.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> save_file({"weight": np.ones((2, 3), np.float32)}, path, {"step": "100"})
    >>> load_metadata(path)
    {'format': 'volta', 'step': '100'}
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file as write

    own = tensors.metadata if isinstance(tensors, StateDict) else {}
    header = {"format": "volta", **own, **({} if metadata is None else metadata)}
    for key, value in header.items():
        _check_text("keys of the metadata", key)
        _check_text(f"metadata {key!r}", value)
    for name in tensors:
        _check_text("names of tensors", name)
    if "__metadata__" in tensors:
        msg = (
            "save_file: a tensor must have a name of its own; got '__metadata__', which the "
            "format keeps for the metadata. Rename the tensor."
        )
        raise located(ValueError(msg))
    arrays = {name: _storable(name, tensor) for name, tensor in tensors.items()}
    try:
        with atomic_write(path) as temporary:
            write(arrays, temporary, header)
    except SafetensorError as error:
        msg = (
            f"save_file: the disk must take the whole file; got {error} for {os.fspath(path)}. "
            "What was there before is unchanged."
        )
        raise VoltaError(msg) from error


@suggesting
def load_file(
    path: str | os.PathLike[str],
    *,
    xp: ModuleType | None = None,
    device: object = None,
) -> StateDict:
    """Read all arrays of a safetensors file.

    The file is mapped, not read: arrays take memory as they are used, and share it with every
    other process that maps the file. Replacing the file leaves the arrays as they were; writing
    into it does not.

    Parameters
    ----------
    path : str or path-like
        The file.
    xp : module, optional
        The Array API namespace whose arrays to return, such as ``torch``. NumPy's if not given.
    device : device of `xp`, optional
        Where to put them.

    Returns
    -------
    StateDict
        A dict of the arrays by name, in the header's order, with the file's metadata. Without
        `xp`, read-only NumPy arrays, views of the mapped file (one that is not aligned in the
        file is a copy). With `xp`, arrays of that library: views if it can take them, copied when
        written to, so that the file never changes.
        bfloat16 and the 8-bit floats have ml_dtypes' dtypes in NumPy.

    Raises
    ------
    LoadError
        If the file breaks a rule of the format, or `xp` cannot hold one of its arrays.
    DeviceError
        If `xp` is no array namespace, or `device` is another than NumPy's.
    FileNotFoundError
        If there is no such file.

    References
    ----------
    The format: https://huggingface.co/docs/safetensors/index#format

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> save_file({"bias": np.arange(3.0)}, path)
    >>> load_file(path)
    {'bias': array([0., 1., 2.])}
    """
    library = NUMPY if xp is None else library_for(xp)
    if library is NUMPY and device not in (None, "cpu"):
        msg = (
            f"load_file: NumPy arrays must stay on the host; got device {device!r} for "
            f"{os.fspath(path)}. Pass the library of that device as xp=."
        )
        raise DeviceError(msg)
    with open(path, "rb") as file, _naming("load_file", path):
        header = _read_header(file)
        # torch has no read-only arrays, so other libraries get pages that are copied on writing.
        views = _views(file, header, writable=xp is not None)
    if xp is not None:
        views = {name: _converted(name, view, library, device) for name, view in views.items()}
    return StateDict(views, metadata=header.metadata)


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read the metadata of a safetensors file, and none of its arrays.

    Parameters
    ----------
    path : str or path-like
        The file. Its header is checked as `load_file` does.

    Returns
    -------
    dict of str to str
        In the order of its keys; empty if the file has none. ``"format"`` says who wrote the
        file and so how its weights are laid out: ``"volta"``, or ``"pt"`` for PyTorch.

    Raises
    ------
    LoadError
        If the file breaks a rule of the format.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "empty.safetensors"
    >>> save_file({}, path)
    >>> load_metadata(path)
    {'format': 'volta'}
    """
    with open(path, "rb") as file, _naming("load_metadata", path):
        return _read_header(file).metadata


# Reading: the header


class _Entry(NamedTuple):
    """What the header says of one array. The offsets count from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class _Header(NamedTuple):
    metadata: dict[str, str]
    entries: dict[str, _Entry]
    size: int  # of the whole header, its length included


class _BrokenRuleError(Exception):
    """A rule of the format that a file breaks; `_naming` adds the operation and the path."""


@contextlib.contextmanager
def _naming(operation: str, path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except _BrokenRuleError as broken:
        must, got, advice = broken.args
        msg = f"{operation}: {must}; got {got} in {os.fspath(path)}. {advice}"
        raise LoadError(msg) from None


def _broken(must: str, got: str, advice: str = "This is not a valid safetensors file.") -> NoReturn:
    raise _BrokenRuleError(must, got, advice)


def _read_header(file: BinaryIO) -> _Header:
    size = os.fstat(file.fileno()).st_size
    if size < 8:
        _broken("a file must begin with the 8-byte length of its header", f"{size} bytes")
    length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER:
        _broken(f"the header must be at most {MAX_HEADER} bytes long", f"a length of {length}")
    if length > size - 8:
        _broken(
            "the header must lie within the file", f"a length of {length}, {size} bytes of file"
        )
    parsed = _parse(file.read(length))
    metadata = _metadata(parsed.pop("__metadata__", {}))
    entries = {name: _entry(name, fields) for name, fields in parsed.items()}
    _check_layout(entries, size - 8 - length)
    return _Header(metadata, entries, 8 + length)


def _parse(data: bytes) -> dict[str, Any]:
    if not data.startswith(b"{"):
        _broken("the header must begin with '{'", repr(data[:1]))
    try:
        parsed = json.loads(data.decode(), object_pairs_hook=_distinct)
        if b"\\u" in data:  # JSON can spell surrogates, which are no text
            json.dumps(parsed, ensure_ascii=False).encode()
    except UnicodeError as error:
        _broken("the header must be UTF-8 text", str(error))
    except (ValueError, RecursionError) as error:
        _broken("the header must be JSON", str(error))
    return dict(parsed)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    items: dict[str, Any] = {}
    for name, value in pairs:
        if name in items:
            _broken("a name must be given once", f"{name!r} twice")
        items[name] = value
    return items


def _metadata(items: Any) -> dict[str, str]:
    if not isinstance(items, dict):
        _broken("the metadata must be an object", short(items))
    for key, value in items.items():
        if not isinstance(value, str):
            _broken("the metadata must be text", f"{short(value)} for {key!r}")
    return dict(sorted(items.items()))  # the package writes it in a random order


def _entry(name: str, fields: Any) -> _Entry:
    expected = {"dtype", "shape", "data_offsets"}
    if not isinstance(fields, dict) or fields.keys() != expected:
        got = short(sorted(fields) if isinstance(fields, dict) else fields)
        _broken("a tensor must have dtype, shape and data_offsets", f"{got} for {name!r}")
    dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        _broken(
            f"the dtype of a tensor must be one of {', '.join(DTYPES)}",
            f"{short(dtype)} for {name!r}",
            "NumPy has no arrays of other dtypes.",
        )
    if not _are_sizes(shape):
        _broken("a shape must be a list of sizes", f"{short(shape)} for {name!r}")
    if len(shape) > MAX_AXES:
        _broken(f"a shape must have at most {MAX_AXES} axes", f"{len(shape)} for {name!r}")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        _broken("data_offsets must be a begin and an end", f"{short(offsets)} for {name!r}")
    itemsize = DTYPES[dtype][1]
    if math.prod(n for n in shape if n) * itemsize > sys.maxsize:
        _broken("a shape must be addressable", f"{short(shape)} for {name!r}")
    begin, end = offsets
    if math.prod(shape) * itemsize != end - begin:
        _broken(
            "a tensor must have as many bytes as its shape and dtype need",
            f"{end - begin} bytes for {name!r}, {dtype} of shape {tuple(shape)}",
        )
    return _Entry(dtype, tuple(shape), begin, end)


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(n) is int and n >= 0 for n in values)


def _check_layout(entries: dict[str, _Entry], size: int) -> None:
    """Check that the arrays, in the order of their bytes, fill the rest of the file exactly."""
    expected = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1][2:]):
        if entry.begin != expected:
            must = (
                "tensors must not overlap"
                if entry.begin < expected
                else "tensors must leave no hole"
            )
            _broken(must, f"{name!r} from byte {entry.begin}, after one that ends at {expected}")
        expected = entry.end
    if expected > size:
        got = f"{size} bytes of {expected}"
        _broken("the file must hold all its tensors", got, "It is cut short: fetch it again.")
    if expected < size:
        _broken("the file must end with its last tensor", f"{size - expected} bytes more")


# Reading: the arrays


def _views(file: BinaryIO, header: _Header, writable: bool) -> dict[str, Any]:
    access = mmap.ACCESS_COPY if writable else mmap.ACCESS_READ
    buffer = mmap.mmap(file.fileno(), 0, access=access)
    return {name: _view(buffer, entry, header.size) for name, entry in header.entries.items()}


def _view(buffer: mmap.mmap, entry: _Entry, start: int) -> Any:
    dtype = _numpy_dtype(entry.dtype)
    view = np.ndarray(entry.shape, dtype, buffer, start + entry.begin)
    if view.flags.aligned:
        return view
    copy = view.copy()
    copy.flags.writeable = view.flags.writeable
    return copy


def _numpy_dtype(code: str) -> np.dtype[Any]:
    dtype: np.dtype[Any]
    if code in NUMPY_DTYPES:
        dtype = np.dtype(NUMPY_DTYPES[code][0]).newbyteorder("<")
    else:
        import ml_dtypes  # 80 ms at import, so only where one of its dtypes occurs

        dtype = np.dtype(getattr(ml_dtypes, ML_DTYPES[code][0]))
    return dtype


def _converted(name: str, view: Any, library: Library, device: Any) -> Any:
    try:
        if library.name == "torch":
            array = _to_torch(view, library.xp, device)
        else:
            array = library.xp.asarray(view, device=device)
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        msg = (
            f"load_file: {library.name} must be able to hold every tensor; got {error} for "
            f"{name!r}, {view.dtype} of shape {view.shape}, device {device!r}. "
            "Load NumPy arrays instead."
        )
        raise LoadError(msg) from error
    if str(array.dtype).rpartition(".")[2] != view.dtype.name:
        msg = (
            f"load_file: {library.name} must keep the dtype of every tensor; got {array.dtype} "
            f"for {name!r}, {view.dtype} in the file. Enable that dtype or load NumPy arrays."
        )
        raise LoadError(msg)
    return array


def _to_torch(view: Any, torch: Any, device: Any) -> Any:
    if view.dtype.name in _ML_NAMES:  # torch reads these dtypes from no buffer but its own
        bits = torch.from_numpy(view.view(f"int{8 * view.itemsize}"))
        tensor = bits.view(getattr(torch, view.dtype.name))
    else:
        tensor = torch.from_numpy(view)
    return tensor if device is None else tensor.to(device)


# Writing


def _check_text(what: str, value: object) -> None:
    # A str may hold surrogates, which UTF-8 has no bytes for.
    if not isinstance(value, str) or any("\ud800" <= letter <= "\udfff" for letter in value):
        msg = f"save_file: {what} must be text; got {value!r}. Convert it to a valid str."
        raise located(TypeError(msg))


def _storable(name: str, tensor: Any) -> Any:
    """`tensor` as the NumPy array whose bytes, in their order, go to the file."""
    try:
        array = _to_numpy(tensor)
    except TraceError as error:
        msg = (
            f"save_file: tensors must not be traced; got a traced array for {name!r}. Return it "
            "from the transformed function and save what comes back."
        )
        raise TraceError(msg) from error
    except (TypeError, ValueError, RuntimeError, BufferError) as error:  # sparse, meta, …
        reason = str(error).rstrip(".")
        msg = (
            f"save_file: tensors must convert to NumPy arrays; got {type(tensor).__name__} for "
            f"{name!r} ({reason}). Convert it before saving."
        )
        raise DTypeError(msg) from error
    if array is None:
        msg = (
            f"save_file: tensors must be arrays; got {type(tensor).__name__} for {name!r}. Make "
            "it an array of the dtype it should have in the file."
        )
        raise DTypeError(msg)
    if array.dtype.name not in (known for known, _ in DTYPES.values()):
        msg = (
            f"save_file: dtypes must be those of the format; got {array.dtype} for {name!r}. "
            f"Cast it to one of {', '.join(known for known, _ in DTYPES.values())}."
        )
        raise DTypeError(msg)
    return np.asarray(array, order="C")


def _to_numpy(tensor: Any) -> Any:
    """`tensor` as a NumPy array, or None if it is no array."""
    if isinstance(tensor, np.ndarray | np.generic):
        return np.asarray(tensor)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(tensor, torch.Tensor):
        return to_host(tensor)
    if hasattr(tensor, "__array__"):
        with contextlib.suppress(TypeError):  # CuPy's way to refuse
            return np.asarray(tensor)
    if hasattr(tensor, "__dlpack__"):
        return np.from_dlpack(tensor, device="cpu")
    return None
