"""Programs as files: a list of operations and its constants, to be run by a later release.

A file is a safetensors file. Its tensors are the constants; its metadata hold the program as JSON:
operations by their names, with operands, parameters and types. Nothing in it is code: what is read
is looked up among Volta's own operations, and anything else is a `LoadError`.
"""

import json
import math
import os
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Final, NoReturn

import numpy as np

from volta import functional
from volta.compile.passes import optimized
from volta.compile.program import compiled
from volta.core import tree
from volta.core.dispatch import NUMPY, Library
from volta.core.errors import DTypeError, LoadError, ShapeError, TraceError
from volta.core.keywords import suggesting
from volta.core.primitive import REGISTRY
from volta.core.trace import Abstract, located, source_line
from volta.core.types import DTYPES, SCALARS, ArrayType, DType, as_dtype, typeof
from volta.core.wengert import Entry, Literal, WengertList
from volta.transforms.trace import trace

__all__ = ["Exported", "export", "load_exported"]

VERSION: Final = 1  # of the format; what earlier ones wrote is read
_KEY: Final = "volta.export"


@suggesting
def export(fun: Callable[..., Any]) -> Callable[..., "Exported"]:
    """Return a function that makes of `fun` and arguments a program that can be saved.

    Parameters
    ----------
    fun : callable
        Function of trees (dicts with text as keys, lists, tuples) of NumPy arrays and numbers, that
        returns such.

    Returns
    -------
    callable
        Same arguments as `fun`; returns an `Exported` for arguments of their structure, shapes and
        dtypes.

    Raises
    ------
    TraceError
        If the function asks a traced array for a concrete value, or the program calls Python: rules
        of one's own, callbacks.
    TypeError
        If arguments or results are other trees, or arrays of another library.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> predict = lambda params, x: F.softmax(x @ params["w"])
    >>> params, x = {"w": np.eye(2)}, np.asarray([[0.0, np.log(3.0)]])
    >>> volta.export(predict)(params, x).save(path)
    >>> volta.load_exported(path)(params, x)
    array([[0.25, 0.75]])
    """

    def exported(*args: Any, **kwargs: Any) -> Exported:
        listed = staged("export", fun, args, kwargs)
        outputs = list(range(len(listed.outputs)))
        result = skeleton(listed.rebuild(outputs), "results")
        return Exported(listed, skeleton(numbered((args, kwargs)), "arguments"), result)

    return exported


def staged(
    operation: str, fun: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> WengertList:
    """The list of a function of NumPy's arrays and numbers, after all passes."""
    for leaf in tree.leaves((args, kwargs)):
        if not isinstance(leaf, np.ndarray | np.generic | bool | int | float | complex):
            msg = f"{operation}: arguments must be NumPy's arrays or numbers; got {type(leaf)}."
            raise located(TypeError(msg))
    listed = optimized(trace(fun)(*args, **kwargs))
    if not all(p.library is NUMPY for p in listed.places.values()):
        msg = f"{operation}: all arrays of {listed.name} must be NumPy's; got others in it."
        raise located(TypeError(msg))
    return listed


def refuse(operation: str, value: Any, e: Entry | None) -> NoReturn:
    """Raise the error of a program that calls Python, as it holds a value that is code."""
    name = "the result" if e is None else e.primitive.name
    line = None if e is None or e.code is None else source_line(e.code, e.offset)
    msg = (
        f"{operation}: a program must not call Python; got {type(value).__name__} in {name}. Leave "
        "rules of your own, callbacks and checkpoint out of it."
    )
    raise located(TraceError(msg), line)


class Exported:
    """A program that can be saved, called with arguments like those it was made for.

    Attributes
    ----------
    list : WengertList
    """

    def __init__(self, wengert: WengertList, arguments: Any, result: Any) -> None:
        self.list, self._arguments, self._result = wengert, arguments, result

    def __repr__(self) -> str:
        return f"Exported({self.list.name}, {len(self.list.entries)} entries)"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program."""
        given = skeleton(numbered((args, kwargs)), "arguments")
        if given != self._arguments:
            msg = (
                f"{self.list.name}: arguments must have the structure that was exported, "
                f"{json.dumps(self._arguments)}; got {json.dumps(given)}."
            )
            raise located(TypeError(msg))
        kinds = [self.list.types[v] for v in self.list.inputs]
        leaves = [_as(x, k) for x, k in zip(tree.leaves((args, kwargs)), kinds, strict=True)]
        for i, (leaf, kind) in enumerate(zip(leaves, kinds, strict=True)):
            found = typeof(leaf)
            if found != kind:
                error = ShapeError if found.dtype is kind.dtype else DTypeError
                msg = f"{self.list.name}: leaf {i} must be {kind}, as exported; got {found}."
                raise located(error(msg))
        return _filled(self._result, compiled(self.list)(*leaves))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the program to a ``.safetensors`` file, in one step.

        Raises
        ------
        TraceError
            If the program calls Python.
        """
        from volta.io.formats import save_file

        arrays: dict[str, Any] = {}
        program = _Writer(arrays).program(self.list)
        held = {
            "version": VERSION,
            "arguments": self._arguments,
            "result": self._result,
            "program": program,
        }
        save_file(arrays, path, {_KEY: json.dumps(held, allow_nan=False)})


@suggesting
def load_exported(path: str | os.PathLike[str]) -> Exported:
    """Read a program that `Exported.save` wrote, with this release or an earlier one.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    Exported

    Raises
    ------
    LoadError
        If the file is damaged, no such file, or of a later release.

    See Also
    --------
    export : what it is made by, with an example.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "double.safetensors"
    >>> volta.export(lambda x: x * 2)(np.ones(2)).save(path)
    >>> volta.load_exported(path)
    Exported(trace(<lambda>), 1 entries)
    """
    from volta.io.formats import load_file, load_metadata

    text = load_metadata(path).get(_KEY)
    if text is None:
        _refuse(path, "a program that Exported.save wrote", "a file without one")
    assert hasattr(functional, "__all__")  # asked for it, it declares all operations
    try:
        held = json.loads(text)
        version = held["version"]
        if type(version) is not int or not 1 <= version <= VERSION:
            _refuse(path, f"of version 1 to {VERSION}", f"{version!r}. Use a later release.")
        wengert = _Reader(dict(load_file(path))).program(held["program"])
        arguments, result = held["arguments"], held["result"]
        _check_skeleton(result, len(wengert.outputs))
        _check_skeleton(arguments, len(wengert.inputs))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        if isinstance(error, LoadError):
            raise
        _refuse(path, "whole", f"{type(error).__name__}: {error}")
    return Exported(wengert, arguments, result)


def _as(leaf: Any, kind: ArrayType) -> Any:
    """A leaf as an array; a number of Python's as the dtype that it had, if that holds it."""
    if type(leaf) in SCALARS and _ORDER.index(type(leaf).__name__) <= _ORDER.index(kind.dtype.kind):
        return np.asarray(leaf, kind.dtype.dtype)
    return np.asarray(leaf)


_ORDER: Final = ("bool", "int", "uint", "float", "complex")


def _refuse(path: Any, wanted: str, got: str) -> NoReturn:
    msg = f"load_exported: the program in {os.fspath(path)} must be {wanted}; got {got}"
    raise located(LoadError(msg)) from None


# Trees --------------------------------------------------------------------------------------------


def numbered(given: Any) -> Any:
    """A tree with the numbers of its leaves in their places."""
    numbers = count()
    return tree.map(lambda _: next(numbers), given)


def skeleton(given: Any, what: str, operation: str = "export") -> Any:
    """A tree of numbers as JSON has it: tuples are ``{"tuple": […]}``."""
    if given is None or type(given) is int:
        return given
    if type(given) is dict and all(type(k) is str for k in given):
        return {"dict": [[k, skeleton(v, what, operation)] for k, v in sorted(given.items())]}
    if type(given) in (list, tuple):
        return {type(given).__name__: [skeleton(v, what, operation) for v in given]}
    msg = (
        f"{operation}: {what} must be arrays in dicts with text as keys, lists and tuples; got "
        f"{type(given).__name__}."
    )
    raise located(TypeError(msg))


def _filled(skeleton: Any, values: Sequence[Any]) -> Any:
    if skeleton is None:
        return None
    if type(skeleton) is int:
        return values[skeleton]
    ((kind, parts),) = skeleton.items()
    if kind == "dict":
        return {k: _filled(v, values) for k, v in parts}
    return (tuple if kind == "tuple" else list)(_filled(v, values) for v in parts)


def _check_skeleton(skeleton: Any, size: int) -> None:
    """Raise unless a skeleton is one, of numbers below `size`."""
    if skeleton is None:
        return
    if type(skeleton) is int:
        if not 0 <= skeleton < size:
            msg = f"leaf {skeleton} of {size}"
            raise ValueError(msg)
        return
    ((kind, parts),) = skeleton.items()
    if kind not in ("dict", "list", "tuple"):
        msg = f"a tree of {kind!r}"
        raise ValueError(msg)
    for part in parts:
        if kind == "dict":
            key, part = part
            if type(key) is not str:
                raise TypeError(key)
        _check_skeleton(part, size)


# Writing ------------------------------------------------------------------------------------------


class _Writer:
    """Programs becoming JSON; constants go to `arrays`."""

    def __init__(self, arrays: dict[str, Any]) -> None:
        self.arrays = arrays

    def program(self, wengert: WengertList) -> dict[str, Any]:
        constants = []
        for v, c in zip(wengert.captured, wengert.constants, strict=True):
            name = f"constant{len(self.arrays)}"
            self.arrays[name] = np.asarray(c)
            constants.append([v, name])
        used = {*wengert.inputs, *wengert.captured}
        used.update(v for e in wengert.entries for v in e.results)
        return {
            "name": wengert.name,
            "inputs": list(wengert.inputs),
            "constants": constants,
            "entries": [self._entry(e) for e in wengert.entries],
            "outputs": [self._value(o, None) for o in wengert.outputs],
            "types": [
                [v, wengert.types[v].dtype.name, list(wengert.types[v].shape)] for v in sorted(used)
            ],
        }

    def _entry(self, e: Entry) -> dict[str, Any]:
        line = None if e.code is None else source_line(e.code, e.offset)
        return {
            "op": e.primitive.name,
            "operands": [self._value(o, e) for o in e.operands],
            "params": {k: self._value(v, e) for k, v in e.params.items()},
            "results": list(e.results),
            "line": line,
        }

    def _value(self, x: Any, e: Entry | None) -> Any:
        """An operand or parameter: numbers, text and None as they are, others under their kind."""
        if type(x) is Literal:
            return {"number": self._value(x.value, e)}
        if x is None or type(x) in (bool, int):
            return x
        if isinstance(x, str):
            return str(x)
        if type(x) is float:
            return x if math.isfinite(x) else {"float": repr(x)}
        if type(x) is complex:
            return {"complex": [self._value(x.real, e), self._value(x.imag, e)]}
        if isinstance(x, np.generic):
            return {"scalar": [as_dtype(x.dtype).name, self._value(x.item(), e)]}
        if type(x) is slice:
            return {"slice": [self._value(v, e) for v in (x.start, x.stop, x.step)]}
        if x is Ellipsis:
            return {"ellipsis": None}
        if type(x) is DType:
            return {"dtype": x.name}
        if isinstance(x, np.dtype):
            return {"numpy": as_dtype(x).name}
        if type(x) is Library and x is NUMPY:
            return {"library": x.name}
        if type(x) is WengertList:
            return {"program": self.program(x)}
        if type(x) is ArrayType:
            return {"type": [x.dtype.name, list(x.shape)]}
        if type(x) in _records().values():
            return {"record": [type(x).__name__, [self._value(v, e) for v in x]]}
        if type(x) is _taps():
            return {"taps": [x.n, x.places.tolist(), x.weights.tolist()]}
        if type(x) in (tuple, list):
            return {type(x).__name__: [self._value(v, e) for v in x]}
        refuse("export", x, e)


# Reading ------------------------------------------------------------------------------------------


class _Reader:
    """Programs of JSON, whose constants are in `arrays`."""

    def __init__(self, arrays: dict[str, Any]) -> None:
        self.arrays = arrays

    def program(self, held: Any) -> WengertList:
        types = {_number(v): _type(dtype, shape) for v, dtype, shape in held["types"]}
        places = {v: Abstract(t, NUMPY, "cpu") for v, t in types.items()}
        inputs = tuple(map(_number, held["inputs"]))
        constants = {_number(v): self.arrays[name] for v, name in held["constants"]}
        for v, array in constants.items():
            if typeof(array) != types[v]:
                msg = f"a constant of {typeof(array)} for {types[v]}"
                raise ValueError(msg)
        known = {*inputs, *constants}
        if len(known) != len(inputs) + len(constants):
            msg = "an input twice"
            raise ValueError(msg)
        entries = []
        for e in held["entries"]:
            entries.append(self._entry(e, known, types))
        outputs = tuple(self._operand(o, known) for o in held["outputs"])
        name = held["name"]
        if type(name) is not str:
            raise TypeError(name)
        return WengertList(name, inputs, entries, outputs, types, places, constants, list)

    def _entry(self, held: Any, known: set[int], types: dict[int, ArrayType]) -> Entry:
        primitive = REGISTRY.get(held["op"])
        if primitive is None:
            msg = f"operation {held['op']!r}, which this release does not have"
            raise ValueError(msg)
        operands = tuple(self._operand(o, known) for o in held["operands"])
        params = {str(k): self._value(v) for k, v in held["params"].items()}
        results = tuple(map(_number, held["results"]))
        if len(results) != primitive.results and primitive.results:
            msg = f"{len(results)} results of {primitive.name}"
            raise ValueError(msg)
        if not known.isdisjoint(results) or len({*results}) != len(results):
            msg = f"a variable that {primitive.name} makes once more"
            raise ValueError(msg)
        for v in results:
            types[v]
        known.update(results)
        return Entry(primitive, operands, params, results, None, None, None, None, None, -1)

    def _operand(self, held: Any, known: set[int]) -> Any:
        if type(held) is int:
            if held not in known:
                msg = f"a variable %{held} that nothing made"
                raise ValueError(msg)
            return held
        number = self._value(held["number"])
        if type(number) not in (bool, int, float, complex):
            raise TypeError(held)
        return Literal(number)

    def _value(self, x: Any) -> Any:
        if x is None or type(x) in (bool, int, float, str):
            return x
        ((kind, value),) = x.items()
        if kind in ("tuple", "list"):
            return (tuple if kind == "tuple" else list)(self._value(v) for v in value)
        if kind == "float":
            return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[value]
        if kind == "complex":
            return complex(*map(self._value, value))
        if kind == "scalar":
            return as_dtype(value[0]).dtype.type(self._value(value[1]))
        if kind == "slice":
            return slice(*map(self._value, value))
        if kind == "ellipsis":
            return ...
        if kind == "dtype":
            return DTYPES[value]
        if kind == "numpy":
            return DTYPES[value].dtype
        if kind == "library":
            return {"numpy": NUMPY}[value]
        if kind == "program":
            return self.program(value)
        if kind == "type":
            return _type(*value)
        if kind == "record":
            return _records()[value[0]](*map(self._value, value[1]))
        if kind == "taps":
            return self._taps(*value)
        msg = f"a value of kind {kind!r}"
        raise ValueError(msg)

    def _taps(self, n: int, places: list[list[int]], weights: list[list[float]]) -> Any:
        """What interpolation reads of an axis of n elements."""
        read, by = np.asarray(places), np.asarray(weights)
        if type(n) is not int or read.dtype != np.int64 or by.dtype != np.float64:
            msg = "places that are no integers, or weights that are no floats"
            raise TypeError(msg)
        if read.ndim != 2 or read.shape != by.shape or not ((read >= 0) & (read < n)).all():
            msg = f"places of {n} elements that are none"
            raise ValueError(msg)
        return _taps()(n, read, by)


def _taps() -> Any:
    """The class of what interpolation reads, which is imported where it is needed."""
    from volta.functional.resampling import Taps

    return Taps


def _records() -> dict[str, Any]:
    """Tuples with names among parameters."""
    from volta.functional.windowed import Windows

    return {"Windows": Windows}


def _number(x: Any) -> int:
    if type(x) is not int or x < 0:
        raise TypeError(x)
    return x


def _type(dtype: Any, shape: Any) -> ArrayType:
    return ArrayType(tuple(map(_number, shape)), DTYPES[dtype])
