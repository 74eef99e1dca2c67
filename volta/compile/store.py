"""Programs on the disk, so that a second process makes no list into one again.

A program is found by a *key*: the list as it was staged, before any pass, and what else it depends
on. What is kept of it is its code and the values that this names. These are written by `pickle`;
of what belongs to the process only the place is kept: captured arrays and carried lists by their
numbers in the list, primitives by name. What cannot be said so, such as
functions of the user's, makes a list one that is not kept.

Like the object files that it calls, a program is run as it is found. See `cache` for who can have
written it.
"""

import functools
import io
import marshal
import os
import pickle
import sys
from collections.abc import Iterable
from pathlib import Path
from types import CodeType
from typing import Any, Final, NamedTuple

import numpy as np

from volta.compile import cache, threads
from volta.compile.donation import Donation
from volta.compile.native import llvm
from volta.compile.numpy import Program, body, takes
from volta.core.context import SETTINGS
from volta.core.dispatch import NUMPY
from volta.core.primitive import REGISTRY, Primitive
from volta.core.types import ArrayType, DType
from volta.core.wengert import Literal, WengertList

__all__ = ["Staged", "read", "staged", "write"]


class Staged(NamedTuple):
    """A list, as its program on the disk refers to it.

    Attributes
    ----------
    key : bytes
    arrays : list of array
        Those that it and the lists in it captured.
    lists : list of WengertList
        It, and those that its entries carry.
    """

    key: bytes
    arrays: list[Any]
    lists: list[WengertList]


def staged(wengert: WengertList, native: bool, donation: Donation | None = None) -> Staged | None:
    """Key of a list and what is donated, if its program can be kept."""
    if not cache.is_open() or (len(wengert.entries) < _FEWEST and not native):
        return None
    found = Staged(b"", [], [])
    try:
        listed = _list(wengert, found)
    except _UnkeptError:
        return None
    conditions = (
        llvm.conditions() if native else str(threads.threads())
    )  # which share what it computes
    settings = repr([s.get() for s in SETTINGS])
    given: Any = donation and tuple(donation)
    key = marshal.dumps((listed, given, settings, conditions, _versions()), _BY_VALUE)
    return found._replace(key=key)


_FEWEST: Final = 64  # entries that take longer to compile than to find
_BY_VALUE: Final = 2  # the last version in which equal objects are always the same bytes


def write(to: Staged, program: Program) -> None:
    """Keep a program that took long to write, if it can be."""
    if program.natives is None and len(to.lists[0].entries) < _FEWEST:
        return
    file = io.BytesIO()
    try:
        _Pickler(file, to).dump(program)
    except (pickle.PicklingError, AttributeError, TypeError, ValueError):
        return
    cache.write(to.key, file.getvalue())


def read(of: Staged) -> tuple[Program, list[Any]] | None:
    """Program of a list and its native functions, if they are on the disk."""
    held = cache.read(of.key)
    if held is None:
        return None
    try:
        program = _Unpickler(io.BytesIO(held), of).load()
        return program, _natives(program)
    except Exception:  # whatever lacks here that was there, it is not to be had
        return None


class _UnkeptError(Exception):
    """What cannot be kept, or is not on the disk any more."""


def _natives(program: Program) -> list[Any]:
    if program.natives is None:
        return []
    found = llvm.kept(program.natives)
    if found is None:
        raise _UnkeptError
    return found


def _body(wengert: WengertList, program: Program) -> WengertList:
    return body(wengert, program, _natives(program))


# What a program says ------------------------------------------------------------------------------


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, to: Staged) -> None:
        super().__init__(file, protocol=5)
        self.places: dict[int, tuple[str, Any]] = {id(NUMPY): ("library", "")}
        for kind, objects in (("array", to.arrays), ("list", to.lists)):
            self.places |= {id(x): (kind, i) for i, x in enumerate(objects)}

    def persistent_id(self, x: Any) -> Any:
        return self.places.get(id(x))

    def reducer_override(self, x: Any) -> Any:
        if type(x) is CodeType:
            return marshal.loads, (marshal.dumps(x),)
        if type(x) is WengertList:
            if "made_of" not in x.__dict__:
                msg = "a list that the staged one has not"
                raise pickle.PicklingError(msg)
            return _body, x.__dict__["made_of"]
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, of: Staged) -> None:
        super().__init__(file)
        self.of = of

    def persistent_load(self, place: Any) -> Any:
        kind, which = place
        if kind == "library":
            return NUMPY
        return (self.of.arrays if kind == "array" else self.of.lists)[which]


# What a list says ---------------------------------------------------------------------------------


def _list(wengert: WengertList, found: Staged) -> Any:
    """A list in builtin types, where equal ones are the same program but for captured arrays."""
    if not takes(wengert):
        raise _UnkeptError
    found.lists.append(wengert)
    types, outputs = wengert.types, _operands(wengert.outputs)
    given = [_type(types[v]) for v in (*wengert.inputs, *wengert.captured)]
    held = [_captured(c, found) for c in wengert.constants]
    entries = []
    for e in wengert.entries:
        if not _is_own(e.primitive):
            raise _UnkeptError
        params = [(k, _value(v, found)) for k, v in e.params.items()] if e.params else None
        kinds = [_type(types[v]) for v in e.results]
        entries.append((e.primitive.name, _operands(e.operands), params, e.result, kinds, e.origin))
    return wengert.inputs, wengert.captured, given, held, entries, outputs


def _operands(operands: Iterable[Any]) -> Any:
    return [o if type(o) is int else ("number", _number(o)) for o in operands]


def _number(o: Any) -> Any:
    if type(o) is not Literal or type(o.value) not in _PLAIN:
        raise _UnkeptError
    return o.value


def _type(kind: ArrayType) -> Any:
    return kind.shape, kind.dtype.name


def _captured(array: Any, found: Staged) -> Any:
    """What a program may depend on of a captured array: which places an index has."""
    if type(array) is not np.ndarray:
        raise _UnkeptError
    found.arrays.append(array)
    return array.tobytes() if array.dtype.kind in "iu" else None


_PLAIN: Final = frozenset((type(None), bool, int, float, complex, str, bytes, type(...)))


def _value(x: Any, found: Staged) -> Any:
    """A parameter in builtin types, each with its kind."""
    kind = type(x)
    if kind in _PLAIN:
        return x
    if x is NUMPY:
        return ("library",)
    if kind is DType:
        return "dtype", x.name
    if kind is tuple or kind is list:
        return kind.__name__, [_value(v, found) for v in x]
    if kind is slice:
        return "slice", [_value(v, found) for v in (x.start, x.stop, x.step)]
    if kind is dict:
        return "dict", [(_value(k, found), _value(v, found)) for k, v in x.items()]
    if kind is WengertList:
        return "list", _list(x, found)
    if kind is np.ndarray or isinstance(x, np.generic):
        return kind.__name__, x.dtype.str, x.shape, x.tobytes()
    if isinstance(x, tuple) and _is_volta(kind):  # a named one
        return kind.__qualname__, [_value(v, found) for v in x]
    raise _UnkeptError


# What it depends on besides -----------------------------------------------------------------------


@functools.cache
def _is_own(primitive: Primitive) -> bool:
    """Whether a primitive is one of Volta's: of others the name says nothing."""
    functions = primitive.type_rule, primitive.value, *primitive.own_kernels.values()
    return REGISTRY.get(primitive.name) is primitive and all(
        f is None or type(f) is np.ufunc or _is_volta(f) or _module(f) == "numpy" for f in functions
    )


def _is_volta(x: Any) -> bool:
    return _module(x).partition(".")[0] == __name__.partition(".")[0]


def _module(x: Any) -> str:
    return getattr(getattr(x, "func", x), "__module__", None) or ""


@functools.cache
def _versions() -> str:
    """Of Python, NumPy and Volta: of that all files, as it changes without another version."""
    root = Path(__file__).parent.parent
    files = []
    for folder, _, names in os.walk(root):
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                found = os.stat(path)
                files.append((path, found.st_size, found.st_mtime_ns))
    return repr((sys.version, np.__version__, sorted(files)))
