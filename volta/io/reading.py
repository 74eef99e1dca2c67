"""What the readers of files share: mapped bytes, views of them, and how a broken rule is told.

A reader is a function from a `Source` to `Contents`. It checks what the file says of its arrays
before it makes any of them, and takes no memory for what the file only claims to hold. What it may
take is in docs/decisions/weight-files.md.
"""

import contextlib
import contextvars
import functools
import math
import mmap
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

import numpy as np

from volta.core.errors import LoadError

__all__ = [
    "ML_DTYPES",
    "BrokenRuleError",
    "Contents",
    "Cursor",
    "Source",
    "Stored",
    "add",
    "allowance",
    "broken",
    "charge",
    "check_shape",
    "dtype_named",
    "mapped",
    "naming",
    "plain",
    "shortened",
    "shown",
    "size_of",
    "stored_plainly",
    "text_of",
    "view",
]

MAX_AXES: Final = 64  # NumPy's limit
# Memory that the objects of a file may take beyond its size, and what `charge` counts for some:
# upper bounds of what CPython takes, its tables half full and copied as they grow.
FREE_MEMORY: Final = 2**26
OF_TENSOR: Final = 1536
OF_ITEM: Final = 256
SMALL: Final = 64  # what is smaller is freed soon, or counted with what it becomes
# Dtypes that ml_dtypes adds to NumPy; its names are torch's too.
ML_DTYPES: Final = frozenset(
    (
        "bfloat16",
        "float8_e4m3fn",
        "float8_e4m3fnuz",
        "float8_e5m2",
        "float8_e5m2fnuz",
        "float8_e8m0fnu",
    )
)


class Source(NamedTuple):
    """A file to read: where it is, its bytes, and whether arrays may be written to."""

    path: Path
    buffer: mmap.mmap | bytes
    writable: bool


class Stored(NamedTuple):
    """An array in a file: what it is, and how to get it."""

    encoding: str  # the format's own name for how the numbers are written
    dtype: str  # of the array that comes out
    shape: tuple[int, ...]
    size: int  # bytes in the file
    array: Callable[[], Any]


class Contents(NamedTuple):
    """What a file holds."""

    tensors: dict[str, Stored]
    metadata: dict[str, str]


def mapped(path: str | os.PathLike[str], writable: bool = False) -> Source:
    """Map a file; writing to a writable map changes copies of its pages, never the file."""
    with open(path, "rb") as file:
        empty = os.fstat(file.fileno()).st_size == 0  # which mmap refuses
        access = mmap.ACCESS_COPY if writable else mmap.ACCESS_READ
        buffer = b"" if empty else mmap.mmap(file.fileno(), 0, access=access)
        return Source(Path(path), buffer, writable)


# Broken files


class BrokenRuleError(Exception):
    """A rule of a format that a file breaks; `naming` adds the operation and the path."""


def broken(must: str, got: str, advice: str = "") -> NoReturn:
    """Say what must hold in a file, what it holds, and what to do if there is a remedy."""
    raise BrokenRuleError(must, got, advice)


@contextlib.contextmanager
def naming(operation: str, path: str | os.PathLike[str], kind: str) -> Iterator[None]:
    """Turn a `BrokenRuleError` of the body into a `LoadError`."""
    try:
        yield
    except BrokenRuleError as error:
        must, got, advice = error.args
        advice = advice or f"This is not a valid {kind} file."
        msg = f"{operation}: {must}; got {got} in {os.fspath(path)}. {advice}"
        raise LoadError(msg) from None


def plain(text: str | bytes) -> str:
    """`text` short enough for a message, on one line."""
    if len(text) > 200:  # of a name of a gigabyte nothing is copied
        return f"{repr(text[:50])[:-1]}…{repr(text[-20:])[-21:]}"
    quoted = repr(text)
    return quoted if len(quoted) <= 80 else f"{quoted[:50]}…{quoted[-20:]}"


def shown(value: object) -> str:
    """What a pickle built, for a message: a list may hold itself, and a number have any size."""
    if isinstance(value, str | bytes):
        return plain(value)
    small = type(value) is int and value.bit_length() <= 64
    return str(value) if small else type(value).__name__.strip("_").lower()


def add(
    items: dict[str, Any], name: str, value: Any, what: str = "a name", memory: int = OF_ITEM
) -> None:
    """Set an item of a dictionary that has none of this name, and `charge` for it."""
    charge(memory)
    if name in items:
        broken(f"{what} must be given once", f"{plain(name)} twice")
    items[name] = value


# Memory


class _Allowance:
    """Bytes that are left for what a reader makes of a file."""

    def __init__(self) -> None:
        self.left = FREE_MEMORY


_ALLOWANCE: contextvars.ContextVar[_Allowance | None] = contextvars.ContextVar(
    "_ALLOWANCE", default=None
)


@contextlib.contextmanager
def allowance(size: int) -> Iterator[None]:
    """Let the body read a file of `size` bytes in as much memory, and `FREE_MEMORY`.

    The files that another names add their sizes to its allowance. Arrays are not counted: they
    are made after, and take what they hold.
    """
    outer = _ALLOWANCE.get()
    allowed = outer or _Allowance()
    allowed.left += size
    token = _ALLOWANCE.set(allowed)
    try:
        yield
    finally:
        _ALLOWANCE.reset(token)


def charge(count: int) -> None:
    """Count `count` bytes that what is read is about to take, if they are left."""
    allowed = _ALLOWANCE.get()
    if allowed is None:
        return
    allowed.left -= count
    if allowed.left < 0:
        broken(
            f"what describes the tensors must need no more memory than the file and {FREE_MEMORY} "
            "bytes",
            f"{-allowed.left} bytes more, or yet more",
            "If you trust who made it, convert it with the library that wrote it.",
        )


# Bytes


class Cursor:
    """A place in bytes, which moves on as they are read and never past their end."""

    def __init__(self, data: Any, start: int = 0, end: int | None = None) -> None:
        self.data, self.place = data, start
        self.end = len(data) if end is None else end

    def skip(self, count: int, what: str) -> int:
        """Go past `count` bytes; return where they begin."""
        start = self.place
        if count > self.end - start:
            got = f"{count} bytes for {what} at byte {start} of {self.end}"
            broken("the file must not end before its contents do", got, "It is cut short.")
        self.place = start + count
        return start

    def take(self, count: int, what: str) -> bytes:
        """Return the next `count` bytes."""
        start = self.skip(count, what)
        if count > SMALL:
            charge(count)
        return bytes(self.data[start : self.place])

    def integer(self, width: int, what: str, signed: bool = False) -> int:
        """Return the next integer of `width` bytes, little-endian."""
        return int.from_bytes(self.take(width, what), "little", signed=signed)

    def text(self, count: int, what: str) -> str:
        """Return the next `count` bytes of UTF-8."""
        return text_of(self.take(count, what), what)


def text_of(data: bytes, what: str) -> str:
    """Text of UTF-8 bytes."""
    # Python has for every letter as many bytes as the widest needs, and more while it decodes.
    charge(len(data) * (1 if data.isascii() else 7))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        broken(f"{what} must be UTF-8 text", str(error))


# Arrays


def check_shape(name: str, shape: Sequence[int], itemsize: int) -> None:
    """Check that NumPy can have an array of this shape."""
    if len(shape) > MAX_AXES:
        broken(f"a shape must have at most {MAX_AXES} axes", f"{len(shape)} for {plain(name)}")
    if any(n < 0 for n in shape):
        broken("a shape must be a list of sizes", f"{shortened(shape)} for {plain(name)}")
    if math.prod(n for n in shape if n) * itemsize > sys.maxsize:
        broken("a shape must be addressable", f"{shortened(shape)} for {plain(name)}")


def shortened(shape: Sequence[int]) -> str:
    """A shape whose numbers may be absurd, for a message."""
    return plain(str(tuple(shape))).strip("'")


def size_of(name: str, shape: Sequence[int], itemsize: int, given: int) -> int:
    """Bytes that an array needs, which must be those that it has."""
    check_shape(name, shape, itemsize)
    size = math.prod(shape) * itemsize
    if size != given:
        broken(
            "a tensor must have as many bytes as its shape and dtype need",
            f"{given} bytes instead of {size} for {plain(name)} of shape {shortened(shape)}",
        )
    return size


@functools.cache
def dtype_named(name: str) -> np.dtype[Any]:
    """Little-endian dtype of NumPy or ml_dtypes by its name."""
    if name not in ML_DTYPES:
        return np.dtype(name).newbyteorder("<")
    import ml_dtypes  # 80 ms at import, so only where one of its dtypes occurs

    dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
    return dtype


def view(source: Source, start: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Array over the mapped bytes; a copy of them where they are not aligned."""
    array: Any = np.ndarray(shape, dtype, source.buffer, start)
    if array.flags.aligned:
        return array
    copy = array.copy()
    copy.flags.writeable = source.writable
    return copy


def stored_plainly(
    source: Source, encoding: str, dtype: str, shape: tuple[int, ...], start: int, size: int
) -> Stored:
    """Array whose bytes stand in the file as in memory."""
    array = functools.partial(_plain_array, source, start, shape, dtype)
    return Stored(encoding, dtype, shape, size, array)


def _plain_array(source: Source, start: int, shape: tuple[int, ...], dtype: str) -> Any:
    return view(source, start, shape, dtype_named(dtype))
