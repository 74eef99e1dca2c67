"""What a program for NumPy calls for an entry of a list.

Most kernels are called as they are. An operation that is one ufunc, or a few, is written so that
its result can go to memory that there is already.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from volta.compile.memory import shares
from volta.core.dispatch import NUMPY
from volta.core.primitive import REGISTRY
from volta.core.types import ArrayType
from volta.core.wengert import Entry, Literal, operands_of

__all__ = ["QUIET", "Call", "Function", "call_of", "selected"]

QUIET: Final = functools.partial(np.errstate, all="ignore")  # as in a sweep: inf is an answer

Types = dict[int, ArrayType]


class Call(NamedTuple):
    """How an entry is written.

    Attributes
    ----------
    text : str
        Format of the call: ``{0}``, ``{1}``, … are the operands, ``{out}`` is empty or a last
        argument for the result, and the other names are those of `held`.
    held : dict of str to object
    operands : tuple of int, Literal or array
    shares : sequence of int
        Operands that results may share memory with.
    into : bool
        Whether it takes an array for its result.
    over : bool
        Whether that may be the memory of an operand.
    """

    text: str
    held: dict[str, Any]
    operands: tuple[Any, ...]
    shares: Sequence[int] = ()
    into: bool = False
    over: bool = False


class Function(NamedTuple):
    """Stands for a function of a primitive's: what applies it, or its kernel for NumPy alone."""

    name: str
    raw: bool

    @property
    def found(self) -> Callable[..., Any]:
        """The function."""
        primitive = REGISTRY[self.name]
        return primitive.kernel_of(NUMPY) if self.raw else primitive.call


def call_of(e: Entry, types: Types) -> Call:
    """How an entry is written."""
    if not _is_plain(e, types):
        return _call(e, types, raw=False)
    written = _WRITTEN.get(e.primitive.name)
    found = None if written is None else written(e, types)
    if found is not None:
        return found
    kernel = e.primitive.kernel_of(NUMPY)
    if isinstance(kernel, np.ufunc) and not e.params:
        return _ufunc(kernel, e, types)
    return _call(e, types, raw=True)


def selected(x: Any, c: Any, other: Any, out: Any = None) -> Any:
    """``where(c, x, 0)``, or with no `out` ``where(c, x, other)``.

    NumPy's own takes up to ten times as long where `c` is mixed, as it branches for each element.
    """
    if out is None:
        return np.where(c, x, other)
    if not x.dtype.isnative:  # its bits are others than those of the result
        np.copyto(out, np.where(c, x, other))
        return out
    bits = _BITS[out.itemsize]
    mask = out.view(bits)
    np.negative(c.view(np.int8), mask, dtype=bits)  # all bits of −1 are ones
    np.bitwise_and(mask, x.view(bits), mask)
    return out


_BITS: Final = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}


def _is_plain(e: Entry, types: Types) -> bool:
    """Whether an entry is one call of a kernel on arrays, with nothing that Volta adds."""
    primitive = e.primitive
    return (
        primitive.results == 1
        and (bool(operands_of(e)) or primitive.arity == 0)
        and not (primitive.carries or primitive.effect or {"axis_name", "call"} & e.params.keys())
        and not any(types[v].dtype.name == "bfloat16" for v in (*operands_of(e), *e.results))
    )


def _call(e: Entry, types: Types, raw: bool) -> Call:
    args = [f"{{{i}}}" for i in range(len(e.operands))]
    named = [f"{k}={{{k}}}" for k in e.params]
    text = f"{{function}}({', '.join([*args, *named])})"
    held = {"function": Function(e.primitive.name, raw), **e.params}
    return Call(text, held, tuple(e.operands), shares(e, types))


def _ufunc(function: np.ufunc, e: Entry, types: Types, *more: Any) -> Call:
    operands = (*(_strong(o, e, types) for o in e.operands), *more)
    args = ", ".join(f"{{{i}}}" for i in range(len(operands)))
    held = {"function": function}
    return Call(f"{{function}}({args}{{out}})", held, operands, into=True, over=True)


def _strong(operand: Any, e: Entry, types: Types) -> Any:
    """A number as an array of the dtype that it would take, which NumPy then need not find out."""
    dtypes = {types[v].dtype for v in operands_of(e)}
    if type(operand) is not Literal or len(dtypes) != 1:
        return operand
    (dtype,) = dtypes
    if type(operand.value) not in _WEAK.get(dtype.kind, ()):
        return operand
    try:
        with np.errstate(all="ignore"):
            array = np.asarray(operand.value, dtype.dtype)
    except OverflowError:
        return operand  # a comparison knows what to do
    if dtype.kind == "float" and np.isinf(array) and math.isfinite(operand.value):
        return operand  # NumPy warns of it
    return array


_WEAK: Final = {"int": (int,), "uint": (int,), "float": (int, float)}


# Operations that kernels of several lines compute ------------------------------------------------


def _of_reals(function: np.ufunc) -> Callable[[Entry, Types], Call | None]:
    """An operation whose kernel is a ufunc but for complex numbers."""

    def written(e: Entry, types: Types) -> Call | None:
        complex_ = types[e.results[0]].dtype.kind == "complex"
        return None if complex_ else _ufunc(function, e, types)

    return written


def _relu(e: Entry, types: Types) -> Call:
    zero = np.zeros((), types[e.results[0]].dtype.dtype)
    return _ufunc(np.maximum, e, types, zero)


def _where(e: Entry, types: Types) -> Call | None:
    c, x, other = e.operands
    kind = types[e.results[0]]
    if Literal in (type(c), type(x)) or type(other) is not Literal or kind.dtype.itemsize > 8:
        return None
    if repr(other.value) not in ("0", "0.0") or types[x].dtype is not kind.dtype:
        return None
    if types[c].dtype.kind != "bool":  # NumPy takes any
        return None
    text = "{function}({0}, {1}, {2}{out})"
    return Call(text, {"function": selected}, (x, c, other), into=True)


def _matmul(e: Entry, types: Types) -> Call | None:
    x1, x2 = (types[o] for o in operands_of(e))
    if x1.dtype.itemsize == 2 or (x2.ndim == 2 and x1.ndim > 2):
        return None  # Volta's kernel does more than call NumPy's
    text = "{function}({0}, {1}{out})"
    return Call(text, {"function": np.matmul}, tuple(e.operands), into=True)


def _sum(e: Entry, types: Types) -> Call | None:
    kind = types[e.operands[0]]
    if kind.dtype.name not in ("float32", "float64") or kind.ndim > 2:
        return None  # Volta's kernel does more than call NumPy's
    text = "{function}({0}, {axis}, None, None, {keepdims})"
    return Call(text, {"function": np.add.reduce, **e.params}, tuple(e.operands))


def _moved(text: str) -> Callable[[Entry, Types], Call]:
    """An operation that is a method, with its parameters by their names in `text`."""
    return lambda e, types: Call(text, e.params, tuple(e.operands), operands_of(e))


_WRITTEN: Final[dict[str, Callable[[Entry, Types], Call | None]]] = {
    "basic_slice": _moved("{0}[{key}]"),
    "expm1": _of_reals(np.expm1),
    "matmul": _matmul,
    "permute_dims": _moved("{0}.transpose({axes})"),
    "relu": _relu,
    "reshape": _moved("{0}.reshape({shape})"),
    "sum": _sum,
    "tanh": _of_reals(np.tanh),
    "where": _where,
}
