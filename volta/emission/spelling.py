"""How an operation is written.

What NumPy has is written as NumPy's own: ``x + y``, ``np.exp(x)``, ``x.reshape(shape)``. A kernel
of one line is written out, and any other is a function that the module defines, with the
operation's name.
"""

import math
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, Final

import numpy as np

from volta.core.dispatch import common_library
from volta.core.types import ArrayType, DType
from volta.core.wengert import Entry, Literal, operands_of
from volta.emission.bundle import Bundle, kernel_of
from volta.emission.copying import Copied
from volta.emission.text import subscript

__all__ = ["Spelling"]

Types = dict[int, ArrayType]

_SHORT: Final = 72  # characters of a kernel that is written out

_INFIX: Final = {
    "add": "+",
    "bitwise_and": "&",
    "bitwise_left_shift": "<<",
    "bitwise_or": "|",
    "bitwise_right_shift": ">>",
    "bitwise_xor": "^",
    "divide": "/",
    "equal": "==",
    "greater": ">",
    "greater_equal": ">=",
    "less": "<",
    "less_equal": "<=",
    "matmul": "@",
    "multiply": "*",
    "not_equal": "!=",
    "subtract": "-",
}
_PREFIX: Final = {"bitwise_invert": "~", "negative": "-"}
_SAME: Final = ("checkpoint_name", "hide", "stop_gradient", "transfer")
# Operations that give an array of rank 0, where others of NumPy's give a scalar
_ARRAYS: Final = ("astype", "full", "permute_dims", "reshape")


class Spelling:
    """Operations as expressions over the names of a module.

    Parameters
    ----------
    bundle : Bundle
        Of the module, which gets what they need.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def text(self, e: Entry, types: Types, names: Sequence[str]) -> str:
        """Expression for the results of an entry, whose operands have these names."""
        name = e.primitive.name
        if name in _SAME:
            return names[0]
        names = self._numbers(e, types, names)
        out = None
        if name in _INFIX and self._is_plain(e, types):
            out = f"{names[0]} {_INFIX[name]} {names[1]}"
        elif name in _PREFIX:
            out = f"{_PREFIX[name]}{names[0]}"
        elif name in _WRITTEN:
            out = _WRITTEN[name](self, e, types, names)
        if out is None:
            out = self._called(e, names)
        alone = e.primitive.results == 1 and types[e.results[0]].shape == ()
        return f"np.asarray({out})" if alone and name not in _ARRAYS else out

    def _numbers(self, e: Entry, types: Types, names: Sequence[str]) -> Sequence[str]:
        """Names in which numbers are arrays where the operation would not take them as they are."""
        kinds = [types[v] for v in operands_of(e)]
        if not kinds and e.operands:  # which all are numbers
            _, arrays = common_library(tuple(o.value for o in e.operands), e.primitive.name)
            return [self.bundle.text(a) for a in arrays]
        half = next((k.dtype for k in kinds if k.dtype.name == "bfloat16"), None)
        if half is None or not e.primitive.elementwise:
            return names
        dtype = self.bundle.dtype(half.dtype)  # NumPy knows no weak numbers beside it
        return [
            f"np.asarray({n}, {dtype})" if type(o) is Literal and type(o.value) is float else n
            for o, n in zip(e.operands, names, strict=True)
        ]

    def _is_plain(self, e: Entry, types: Types) -> bool:
        """Whether Volta's kernel is NumPy's."""
        if e.primitive.name != "matmul":
            return True
        return not any(_is_half(types[v]) for v in operands_of(e))

    def _called(self, e: Entry, names: Sequence[str]) -> str:
        """A call of NumPy's function, or of one that the module defines, or its only line."""
        name, params = e.primitive.name, dict(e.params)
        function: Any = kernel_of(e.primitive)
        texts = {k: self.value(v) for k, v in params.items()}
        if "key" in params:
            texts["key"] = f"np.s_[{subscript(params['key'])}]"
        line = self._inlined(function, names, texts)
        if line is not None:
            return line
        first = []
        if getattr(function, "args", None) == (np,):  # a portable kernel
            function, first = function.func, ["np"]
        called = self.bundle.text(function, name.strip("_"))
        given = [*first, *names, *(f"{k}={v}" for k, v in texts.items())]
        return f"{called}({', '.join(given)})"

    def _inlined(self, function: Any, names: Sequence[str], texts: dict[str, str]) -> str | None:
        """The only line of a kernel, if it is short."""
        first = []
        if getattr(function, "args", None) == (np,):  # a portable kernel
            function, first = function.func, ["np"]
        if not isinstance(function, FunctionType) or function.__name__ != "<lambda>":
            return None
        copied = Copied(self.bundle, function)
        if len(copied.positional) != len(names) + len(first):
            return None
        operands = [f"({n})" if n.startswith("-") else n for n in (*first, *names)]
        line = copied.inlined({**dict(zip(copied.positional, operands, strict=True)), **texts})
        return None if line is None or len(line) > _SHORT else line

    def value(self, value: Any) -> str:
        """Text of a parameter."""
        if isinstance(value, np.dtype):
            return self.bundle.dtype(value)
        return self.bundle.text(value)

    def dtype(self, dtype: DType) -> str:
        """NumPy's dtype of that name."""
        return self.bundle.dtype(dtype.dtype)


def _is_half(kind: ArrayType) -> bool:
    return kind.dtype.kind == "float" and kind.dtype.itemsize == 2


# Operations that are written in words of their own; None where Volta's kernel does more -----------


def _full(s: Spelling, e: Entry, types: Types, names: Sequence[str]) -> str:
    shape, value = e.params["shape"], e.params["fill_value"]
    dtype = s.dtype(e.params["dtype"])
    if type(value) in (int, float) and repr(value) in ("0", "0.0"):
        return f"np.zeros({shape}, {dtype})"
    return f"np.full({shape}, {s.value(value)}, {dtype})"


def _creation(form: str) -> Callable[..., str]:
    """A function of NumPy that makes an array, in whose text parameters stand by their names."""

    def written(s: Spelling, e: Entry, types: Types, names: Sequence[str]) -> str:
        known = ("library", "device", "dtype")
        texts = {k: s.value(v) for k, v in e.params.items() if k not in known}
        return form.format(**texts, dtype=s.dtype(e.params["dtype"]))

    return written


def _astype(s: Spelling, e: Entry, types: Types, names: Sequence[str]) -> str | None:
    if type(e.operands[0]) is Literal:
        return None
    return f"{names[0]}.astype({s.dtype(e.params['dtype'])})"


def _reduction(method: str) -> Callable[..., str | None]:
    def written(s: Spelling, e: Entry, types: Types, names: Sequence[str]) -> str | None:
        if type(e.operands[0]) is Literal:
            return None
        kind, axis = types[e.operands[0]], e.params["axis"]
        floats = method in ("mean", "prod", "sum")
        if (floats and _is_half(kind)) or (method == "mean" and not math.prod(kind.shape)):
            return None
        options = [f"axis={axis[0] if len(axis) == 1 else axis}"]
        if sorted(a % kind.ndim for a in axis) == list(range(kind.ndim)):
            options = []
        options += ["keepdims=True"] * e.params["keepdims"]
        return f"{names[0]}.{method}({', '.join(options)})" if axis or not kind.ndim else None

    return written


def _slice(s: Spelling, e: Entry, types: Types, names: Sequence[str]) -> str:
    return f"{names[0]}[{subscript(e.params['key'])}]"


def _permuted(s: Spelling, e: Entry, types: Types, names: Sequence[str]) -> str:
    axes = e.params["axes"]
    return f"{names[0]}.T" if axes == (1, 0) else f"{names[0]}.transpose({axes})"


def _concatenated(s: Spelling, e: Entry, types: Types, names: Sequence[str]) -> str:
    return f"np.concatenate([{', '.join(names)}], axis={e.params['axis']})"


def _broadcast(s: Spelling, e: Entry, types: Types, names: Sequence[str]) -> str:
    return f"np.broadcast_to({names[0]}, {e.params['shape']})"


_WRITTEN: Final[dict[str, Callable[..., str | None]]] = {
    "all": _reduction("all"),
    "any": _reduction("any"),
    "arange": _creation("np.arange({start}, {stop}, {step}, dtype={dtype})"),
    "astype": _astype,
    "basic_slice": _slice,
    "broadcast_to": _broadcast,
    "concat": _concatenated,
    "eye": _creation("np.eye({n_rows}, {n_cols}, k={k}, dtype={dtype})"),
    "full": _full,
    "linspace": _creation(
        "np.linspace({start}, {stop}, {num}, endpoint={endpoint}, dtype={dtype})"
    ),
    "max": _reduction("max"),
    "mean": _reduction("mean"),
    "min": _reduction("min"),
    "permute_dims": _permuted,
    "prod": _reduction("prod"),
    "sum": _reduction("sum"),
}
