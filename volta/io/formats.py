"""Loading and saving: the table of formats, and what is the same for all of them.

A row of `FORMATS` names the suffixes and first bytes of a format, its reader and its writer. The
suffix decides; where it is none of these, or two formats share it, the first bytes do.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, Final, NamedTuple

from volta.core.dispatch import NUMPY, Library, library_for
from volta.core.errors import DeviceError, LoadError, VoltaError
from volta.core.keywords import suggesting
from volta.core.trace import located
from volta.io import bincode, gguf, npz, onnx, pytorch, safetensors, sharded
from volta.io.files import atomic_write
from volta.io.reading import ML_DTYPES, Contents, Source, allowance, mapped, naming
from volta.io.state import StateDict
from volta.io.writing import check_text, storable

__all__ = ["converted", "load_file", "load_metadata", "opened", "save_file"]


class Format(NamedTuple):
    """A format of files: how to tell it, how to read it, and how to write it."""

    name: str
    suffixes: tuple[str, ...]
    is_one: Callable[[bytes], bool]  # by the first bytes, where the suffix does not tell
    read: Callable[[Source], Contents]
    write: Callable[[Mapping[str, Any], Mapping[str, str], Any], None] | None = None
    dtypes: tuple[str, ...] = ()  # that it can hold
    layout: str | None = None  # "format" of the weights it is for; None: the metadata says


def _never(head: bytes) -> bool:
    return False


SAFETENSORS: Final = Format(
    "safetensors",
    (".safetensors",),
    lambda head: head[8:9] == b"{",
    safetensors.read,
    safetensors.write,
    tuple(name for name, _ in safetensors.DTYPES.values()),
)
PYTORCH: Final = Format(
    "PyTorch",
    (".pt", ".pth", ".bin"),
    pytorch.is_one,
    pytorch.read,
    pytorch.write,
    tuple(pytorch.DTYPES),
    "pt",
)
FORMATS: Final = (
    SAFETENSORS,
    PYTORCH,
    Format(
        "NumPy",
        (".npz", ".npy"),
        lambda head: head.startswith((npz.MAGIC, b"PK")) and not pytorch.is_one(head),
        npz.read,
        npz.write,
        npz.DTYPES,
    ),
    Format(
        "GGUF",
        (".gguf",),
        lambda head: head.startswith(gguf.MAGIC),
        gguf.read,
        gguf.write,
        gguf.DTYPES,
        "pt",
    ),
    Format("ONNX", (".onnx",), _never, onnx.read, onnx.write, onnx.DTYPES),
    Format(
        "sharded index",
        (".index.json",),
        _never,
        lambda source: sharded.read(source, read),
    ),
    Format(
        "bincode",
        (".bin",),
        _never,
        bincode.read,
        bincode.write,
        bincode.DTYPES,
        "volta",
    ),
)
SUFFIXES: Final = tuple(dict.fromkeys(s for row in FORMATS for s in row.suffixes))
BINCODE: Final = FORMATS[-1]


@suggesting
def save_file(
    tensors: Mapping[str, object],
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write named arrays to a file, in the format that its suffix names.

    The file is replaced in one step: whatever goes wrong, `path` holds the old file or the new
    one, whole.

    Parameters
    ----------
    tensors : mapping of str to array
        Arrays of any library, shape and strides. Dtypes: bool, int8 to int64, uint8 to uint64,
        float16, bfloat16, float32, float64, complex64 and the 8-bit floats; PyTorch's, NumPy's
        and ONNX' files also hold complex128, GGUF int8 to int64, float16, bfloat16, float32 and
        float64, and bincode only float32. Nothing is cast, and nothing quantized.
        Arrays on other devices are copied to the host.
    path : str or path-like
        The file: ``.safetensors``, ``.pt`` or ``.pth`` (which ``torch.load`` reads with
        ``weights_only=True``), ``.npz``, ``.gguf``, ``.onnx`` (a model of initializers alone), or
        ``.bin`` (the Rust framework's bincode). Its directory must exist.
    metadata : mapping of str to str, optional
        Kept in the file, beside what `tensors` has if it is a `StateDict`, or else
        ``{"format": "volta"}`` (``"pt"`` in PyTorch's and GGUF files), either of which it may
        override. GGUF keeps it as texts, except that ``"general.alignment"`` is a number. bincode
        has no place for it.

    Raises
    ------
    DTypeError
        If a value is not an array or has a dtype that the format lacks.
    TypeError, ValueError
        If a name or an item of `metadata` is not text, a name is ``"__metadata__"``, no format
        to write has the suffix, or the weights are laid out otherwise than the format's own
        programs expect. If a GGUF file would have a tensor of more than 4 axes, a name of more
        than 63 bytes or an alignment that is no power of two, an ONNX file a tensor without a name
        or more than 2 GB, an ``.npz`` file a name with NUL or of more than 64 KB, or bincode
        metadata.
    TraceError
        If an array is traced.
    VoltaError
        If the disk does not take the file, or the memory a copy of an array in its order.

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
    format = _format_to_write(path)
    # A state dict whose metadata does not say how it is laid out stays one.
    own = (
        tensors.metadata if isinstance(tensors, StateDict) else {"format": format.layout or "volta"}
    )
    kept = {**own, **({} if metadata is None else metadata)}
    for key, value in kept.items():
        check_text("keys of the metadata", key)
        check_text(f"metadata {key!r}", value)
    for name in tensors:
        check_text("names of tensors", name)
    if "__metadata__" in tensors:
        msg = (
            "save_file: a tensor must have a name of its own; got '__metadata__', which the "
            "format keeps for the metadata. Rename the tensor."
        )
        raise located(ValueError(msg))
    _check_layout(format, kept)
    arrays = {name: storable(name, tensor, format.dtypes) for name, tensor in tensors.items()}
    with atomic_write(path) as temporary:
        try:
            assert format.write is not None
            format.write(arrays, kept, temporary)
        except OSError as error:
            msg = (
                f"save_file: the disk must take the whole file; got {error} for "
                f"{os.fspath(path)}. What was there before is unchanged."
            )
            raise VoltaError(msg) from error


@suggesting
def load_file(
    path: str | os.PathLike[str],
    *,
    xp: ModuleType | None = None,
    device: object = None,
) -> StateDict:
    """Read all arrays of a file of weights.

    Files are mapped, not read: arrays take memory as they are used, and share it with every
    other process that maps the file. Replacing the file leaves the arrays as they were; writing
    into it does not. No code in a file is ever run.

    Parameters
    ----------
    path : str or path-like
        The file: safetensors or the index of several (``.index.json``), PyTorch's ``.pt``,
        ``.pth`` and ``.bin``, NumPy's ``.npz`` and ``.npy``, ``.gguf``, the initializers of an
        ``.onnx`` model, or the Rust framework's bincode ``.bin``.
    xp : module, optional
        The Array API namespace whose arrays to return, such as ``torch``. NumPy's if not given.
    device : device of `xp`, optional
        Where to put them.

    Returns
    -------
    StateDict
        A dict of the arrays by name, in the file's order, with the file's metadata, whose
        ``"format"`` tells how weights are laid out if the file does. Nested dictionaries of
        PyTorch's files are joined by dots, and their numbers and texts are in the metadata.
        Without `xp`, read-only NumPy arrays, views of the mapped file (a copy where one is not
        aligned in the file, compressed, or in the other byte order). With `xp`, arrays of that
        library: views if it can take them, copied when written to, so that the file never
        changes. bfloat16 and the 8-bit floats have ml_dtypes' dtypes in NumPy. The quantized
        blocks of GGUF become float32.

    Raises
    ------
    LoadError
        If the file breaks a rule of its format, or `xp` cannot hold one of its arrays.
    DeviceError
        If `xp` is no array namespace, or `device` is another than NumPy's.
    FileNotFoundError
        If there is no such file.

    Notes
    -----
    The page on :mod:`volta.io` lists the formats, and what of each is read.

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
    # torch has no read-only arrays, so other libraries get pages that are copied on writing.
    with opened("load_file", path, writable=xp is not None) as contents:
        arrays = {name: stored.array() for name, stored in contents.tensors.items()}
    if xp is not None:
        arrays = {
            name: converted("load_file", name, x, library, device) for name, x in arrays.items()
        }
    return StateDict(arrays, metadata=contents.metadata)


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read the metadata of a file of weights, and none of its arrays.

    Parameters
    ----------
    path : str or path-like
        The file, of any format that `load_file` reads and checked as there.

    Returns
    -------
    dict of str to str
        Empty if the file has none. ``"format"`` says how the weights are laid out: ``"volta"``,
        or ``"pt"`` as in PyTorch.

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
    with opened("load_metadata", path) as contents:
        return contents.metadata


@contextlib.contextmanager
def opened(
    operation: str, path: str | os.PathLike[str], writable: bool = False
) -> Iterator[Contents]:
    """Give the body what a file holds; what is broken in it is a `LoadError` of `operation`."""
    source = mapped(path, writable)
    format = _format_of(operation, source)
    with naming(operation, path, format.name):
        with allowance(len(source.buffer)):
            contents = format.read(source)
        yield contents


def read(source: Source) -> Contents:
    """Read a mapped file of any format but an index, which must not name another."""
    with allowance(len(source.buffer)):
        return _format_of("load_file", source).read(source)


# Formats


def _with_suffix(path: str | os.PathLike[str]) -> list[Format]:
    name = os.path.basename(os.fspath(path)).lower()
    return [format for format in FORMATS if name.endswith(format.suffixes)]


def _format_of(operation: str, source: Source) -> Format:
    found = _with_suffix(source.path)
    if len(found) == 1:
        return found[0]
    head = bytes(source.buffer[:4096])
    for format in found or FORMATS:
        if format.is_one(head):
            return format
    if found:  # .bin: what is not PyTorch's is bincode, which has no first bytes of its own
        return BINCODE
    msg = (
        f"{operation}: the format must show in the suffix or the first bytes of a file; got "
        f"{head[:8]!r} in {source.path}. Give it one of the suffixes {', '.join(SUFFIXES)}."
    )
    raise LoadError(msg)


def _format_to_write(path: str | os.PathLike[str]) -> Format:
    name = os.fspath(path)
    if name.endswith(".bin"):
        return BINCODE
    for format in _with_suffix(path):
        if format.write is not None and not name.endswith(".npy"):
            return format
    writable = [s for f in FORMATS if f.write for s in f.suffixes if s != ".npy"]
    msg = (
        f"save_file: the suffix must be one of {', '.join(dict.fromkeys(writable))}; got "
        f"{os.path.basename(name)!r}."
    )
    raise located(ValueError(msg))


def _check_layout(format: Format, metadata: Mapping[str, str]) -> None:
    """Check that programs which take the layout for granted get the one they expect."""
    if format.layout not in (None, metadata.get("format")):
        msg = (
            f"save_file: a {format.name} file must hold weights as {format.layout!r} lays them "
            f"out; got format {metadata.get('format')!r}. "
        )
        msg += (
            "Save nn.to_torch_state_dict(model), or say it in the metadata."
            if format.layout == "pt"
            else "Load them into a model and save its state_dict()."
        )
        raise located(ValueError(msg))


# Arrays of other libraries


def converted(operation: str, name: str, view: Any, library: Library, device: Any) -> Any:
    """Array of another library with what a NumPy array holds, in its dtype."""
    try:
        if library.name == "torch":
            array = _to_torch(view, library.xp, device)
        else:
            array = library.xp.asarray(view, device=device)
    except (TypeError, ValueError, RuntimeError, AttributeError, MemoryError) as error:
        msg = (
            f"{operation}: {library.name} must be able to hold every tensor; got {error} for "
            f"{name!r}, {view.dtype} of shape {view.shape}, device {device!r}. "
            "Load NumPy arrays instead."
        )
        raise LoadError(msg) from error
    if str(array.dtype).rpartition(".")[2] != view.dtype.name:
        msg = (
            f"{operation}: {library.name} must keep the dtype of every tensor; got {array.dtype} "
            f"for {name!r}, {view.dtype} in the file. Enable that dtype or load NumPy arrays."
        )
        raise LoadError(msg)
    return array


def _to_torch(view: Any, torch: Any, device: Any) -> Any:
    if view.dtype.name in ML_DTYPES:  # torch reads these dtypes from no buffer but its own
        bits = torch.from_numpy(view.view(f"int{8 * view.itemsize}"))
        tensor = bits.view(getattr(torch, view.dtype.name))
    else:
        tensor = torch.from_numpy(view)
    return tensor if device is None else tensor.to(device)
