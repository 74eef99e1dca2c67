"""Kernels: loops over the elements of an array, in which scalars are computed.

A `Kernel` is what a generator (`llvm`) writes code for: the shape it goes over, the arrays it
loads, and a list of typed scalar operations, some of which are stored. It is made by evaluating
the value of each primitive on `Scalar` nodes: `Namespace` is to these what an array library is to
arrays, so that whatever the op set says of an operation in terms of others holds here, too.

A kernel may go over its shape in *rows*: some axes, mostly the last, along which it reduces. What
follows from a reduction is computed once a row, and what follows from that and the elements in
another pass over the row (`rows` tells what when). Besides, results may be *folded*: added up, say,
over axes that are none of a row.

The operations
--------------
============================================  =====================================================
``load`` (value: number of the operand)       an element; operands broadcast to the shape
``index``                                     number of the element, in row-major order
``constant`` (value: Python number)
``add sub mul`` (value: None or "contract")   wrap for integers; may become ``fma``
``div``                                       of integers towards zero; not by 0, nor the
                                              smallest by −1
``sqrt fma``                                  of floats; fma rounds once
``scale``                                     x · 2ⁿ for a float n that is an integer
``neg abs floor ceil trunc rint copysign``    ``rint`` to even
``eq ne lt le gt ge``                         to bool; all but ``ne`` are false of NaN
``and or xor not``                            of bools and integers
``shl lshr ashr``                             of integers, by fewer bits than they have
``select`` (condition, then, else)
``convert``                                   to another dtype, as C does: a float to an integer
                                              only where that has it
``bits``                                      the same bits as a dtype of the same size
``fmod``                                      C's; takes long
``function`` (value: name)                    a function of the generator's own
``call`` (value: `Body`; condition, else)     what a body computes of the further operands, where
                                              the condition holds, which is to be rare
``reduce`` (value: name of a `MERGES`)        of the elements of a row, in any order
============================================  =====================================================
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, NoReturn

import numpy as np

from volta.compile.functions.named import FUNCTIONS
from volta.core.types import DTYPES, DType, as_dtype

__all__ = [
    "KINDS",
    "MERGES",
    "WORD",
    "Body",
    "Builder",
    "Kernel",
    "Namespace",
    "Node",
    "Operand",
    "Result",
    "Scalar",
    "Target",
    "Unsupported",
    "with_operators",
]

MERGES: Final = ("add", "mul", "max", "min", "and", "or")  # max and min of NaN are NaN


class Unsupported(Exception):  # noqa: N818 - no error: another program is written
    """An operation that kernels have not."""


def unsupported(what: object) -> NoReturn:
    """Say that kernels have not `what`."""
    raise Unsupported(what)


class Node(NamedTuple):
    """A scalar operation; operands are numbers of nodes before it."""

    op: str
    operands: tuple[int, ...]
    dtype: DType
    value: Any = None


class Body(NamedTuple):
    """Operations that are computed rarely, apart from the others.

    Attributes
    ----------
    name : str
        What they compute, in one kernel always by the same operations.
    nodes : tuple of Node
        Which load the operands of a ``call``.
    result : int
    """

    name: str
    nodes: tuple[Node, ...]
    result: int

    def __repr__(self) -> str:
        return self.name


class Operand(NamedTuple):
    """An array that is loaded, in row-major order.

    Attributes
    ----------
    dtype : DType
    shape : tuple of int
    strides : tuple of int
        In elements, along the axes of the kernel; 0 or 1 along the last.
    offset : int
        The element that is the first.
    """

    dtype: DType
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0


class Result(NamedTuple):
    """An array that is stored, in row-major order.

    Attributes
    ----------
    node : int
    strides : tuple of int
        In elements, along the axes of the kernel; 0 along those of a row, and those that are
        folded.
    fold : str or None
        What merges elements of the folded axes.
    """

    node: int
    strides: tuple[int, ...]
    fold: str | None = None


class Kernel(NamedTuple):
    """Loops over a shape.

    Attributes
    ----------
    shape : tuple of int
    rows : tuple of int
        Axes that make up a row.
    folds : tuple of int
        Axes over which results are folded.
    operands : tuple of Operand
    nodes : tuple of Node
    results : tuple of Result
    """

    shape: tuple[int, ...]
    rows: tuple[int, ...]
    folds: tuple[int, ...]
    operands: tuple[Operand, ...]
    nodes: tuple[Node, ...]
    results: tuple[Result, ...]

    def __str__(self) -> str:
        kinds = ", ".join(f"{o.dtype.name}{list(o.shape)}" for o in self.operands)
        axes = f", rows {list(self.rows)}" if self.rows else ""
        lines = [f"kernel over {list(self.shape)}{axes} of {kinds}:"]
        for i, n in enumerate(self.nodes):
            args = ", ".join(
                [*(f"%{o}" for o in n.operands), *([] if n.value is None else [repr(n.value)])]
            )
            lines.append(f"  %{i}: {n.dtype.name} = {n.op}({args})")
        stored = (
            f"%{r.node}" if r.fold is None else f"{r.fold} of %{r.node} over {list(self.folds)}"
            for r in self.results
        )
        return "\n".join([*lines, f"  store {', '.join(stored)}"])


class Target(NamedTuple):
    """What a generator can do.

    Attributes
    ----------
    kinds : frozenset of str
        Dtypes of its scalars.
    functions : dict of str to callable
        Functions of `Scalar` nodes that are its own, by the names of `Namespace`'s and primitives.
    calls : tuple of callable
        ``call(entry, types)``: what else an entry may become, with attribute ``scratch``; or None.
    arrays : int
        That a kernel loads before it takes no more.
    buffers : int or None
        Arrays that a kernel may load and store, at most; None if any number.
    strides : bool
        Whether elements that are loaded may lie at any distance along the last axis.
    folds_of_rows : bool
        Whether a kernel with rows may fold them.
    warns : bool
        Whether somebody is to be warned of a number that is infinite as the dtype beside it has it.
    """

    kinds: frozenset[str]
    functions: Mapping[str, Callable[..., Any]]
    calls: tuple[Callable[..., Any], ...]
    arrays: int
    buffers: int | None
    strides: bool
    folds_of_rows: bool
    warns: bool


BOOL: Final = DTYPES["bool"]
WORD: Final = DTYPES["uint32"]
KINDS: Final = frozenset(
    ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
) | {"float32", "float64"}
NUMBERS: Final = (bool, int, float)


class Scalar:
    """A node being used in an expression, with the operators of a real scalar."""

    __slots__ = ("dtype", "namespace", "number")

    ndim, shape = 0, ()

    def __init__(self, namespace: "Namespace", number: int, dtype: DType) -> None:
        self.namespace, self.number, self.dtype = namespace, number, dtype

    def __bool__(self) -> bool:
        unsupported("a choice of Python's")

    __int__ = __float__ = __index__ = __len__ = __iter__ = __bool__


def with_operators(cls: type) -> None:
    """Give a class operators that are functions of its ``namespace``."""
    for method, name in _OPERATORS.items():
        setattr(cls, f"__{method}__", _operator(name))
    for method, name in _REFLECTED.items():
        setattr(cls, f"__{method}__", _operator(name))
        setattr(cls, f"__r{method}__", _operator(name, reflected=True))


def _operator(name: str, reflected: bool = False) -> Callable[..., Any]:
    if reflected:
        return lambda x, y: getattr(x.namespace, name)(y, x)
    return lambda x, *y: getattr(x.namespace, name)(x, *y)


_OPERATORS: Final = {
    "abs": "abs",
    "eq": "equal",
    "ge": "greater_equal",
    "gt": "greater",
    "invert": "bitwise_invert",
    "le": "less_equal",
    "lt": "less",
    "ne": "not_equal",
    "neg": "negative",
}
_REFLECTED: Final = {
    "add": "add",
    "and": "bitwise_and",
    "lshift": "bitwise_left_shift",
    "mul": "multiply",
    "or": "bitwise_or",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "pow",
    "rshift": "bitwise_right_shift",
    "sub": "subtract",
    "truediv": "divide",
    "xor": "bitwise_xor",
}
with_operators(Scalar)


_MOST: Final = 4096  # nodes: series of hundreds of terms take seconds to compile


class Builder:
    """Nodes being listed, each once.

    Attributes
    ----------
    target : Target
    contracts : bool
        Whether ``x · y + z`` may be rounded once.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.nodes: list[Node] = []
        self.numbers: dict[Any, int] = {}
        self.contracts = False
        self.namespace = Namespace(self)

    def node(self, op: str, operands: Sequence[Scalar], dtype: DType, value: Any = None) -> Scalar:
        """The node that is this operation."""
        if dtype.name not in self.target.kinds:
            unsupported(dtype.name)
        if self.contracts and op in ("add", "sub", "mul") and dtype.kind == "float":
            value = "contract"
        node = Node(op, tuple(o.number for o in operands), dtype, value)
        key = (*node[:3], type(value), repr(value))
        number = self.numbers.setdefault(key, len(self.nodes))
        if number == len(self.nodes):
            self.nodes.append(node)
            if number >= _MOST:
                unsupported(f"more than {_MOST} operations")
        return Scalar(self.namespace, number, dtype)

    def load(self, operand: int, dtype: DType) -> Scalar:
        """An element of an operand."""
        return self.node("load", (), dtype, operand)

    def constant(self, value: Any, dtype: DType) -> Scalar:
        """A number as `dtype` has it."""
        if dtype.kind == "float" and type(value) in NUMBERS:
            with np.errstate(all="ignore"):
                found: Any = float(dtype.dtype.type(value))
            if math.isinf(found) and math.isfinite(value) and self.target.warns:
                unsupported(value)  # NumPy warns of it
        elif dtype.kind == "bool" and type(value) is bool:
            found = value
        elif dtype.kind in ("int", "uint") and type(value) in (bool, int):
            info = np.iinfo(dtype.dtype)
            if not info.min <= value <= info.max:
                unsupported(value)
            found = int(value)
        else:
            unsupported(value)
        return self.node("constant", (), dtype, found)

    def beside(self, *args: Any) -> list[Scalar]:
        """Operands of one dtype: numbers take that of the scalars beside them."""
        dtypes = {a.dtype for a in args if type(a) is Scalar}
        if len(dtypes) != 1:
            unsupported("dtypes that differ")
        (dtype,) = dtypes
        return [a if type(a) is Scalar else self.constant(a, dtype) for a in args]


class Namespace:
    """Functions of `Scalar` nodes, by the names of the Array API and of Volta's primitives.

    A function that it has not raises `Unsupported`; the dtypes are there, too.
    """

    def __init__(self, builder: Builder) -> None:
        self.builder = builder

    __name__ = "volta.compile.kernel"

    def counter(self, start: int) -> tuple[Any, Any]:
        """Words of the number of the element, from `start` on, as random numbers hash it."""
        if start:
            unsupported("numbers from others on")
        return self.builder.constant(0, WORD), self.builder.node("index", (), WORD)

    def __getattr__(self, name: str) -> Any:
        dtype = DTYPES.get(name)
        if dtype is not None:
            return dtype
        if name in (own := self.builder.target.functions):
            return functools.partial(_exactly, self, own[name])
        return self.general(name)

    def general(self, name: str) -> Callable[..., Any]:
        """A function that is not the target's own."""
        if name in _DIRECT:
            return functools.partial(_direct, self, *_DIRECT[name])
        if name in _OTHERS:
            return functools.partial(_exactly, self, _OTHERS[name])
        unsupported(name)


def _exactly(xp: Namespace, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A function that is written for kernels, every operation of it rounded as it stands."""
    before, xp.builder.contracts = xp.builder.contracts, False
    try:
        return function(xp, *args, **kwargs)
    finally:
        xp.builder.contracts = before


def _direct(xp: Namespace, op: str, kinds: tuple[str, ...], *args: Any) -> Scalar:
    """One operation on operands of one dtype; a comparison makes a bool of them."""
    operands = xp.builder.beside(*args)
    dtype = operands[0].dtype
    if dtype.kind not in kinds:
        unsupported(f"{op} of {dtype.name}")
    return xp.builder.node(op, operands, BOOL if op in COMPARISONS else dtype)


COMPARISONS: Final = ("eq", "ne", "lt", "le", "gt", "ge")
_BITS: Final = ("bool", "int", "uint")
_REAL: Final = ("int", "uint", "float")
_FLOAT: Final = ("float",)
_DIRECT: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "add": ("add", _REAL),
    "subtract": ("sub", _REAL),
    "multiply": ("mul", _REAL),
    "divide": ("div", _FLOAT),
    "quotient": ("div", ("int", "uint")),  # towards zero; not by 0, nor the smallest by −1
    "negative": ("neg", _REAL),
    "sqrt": ("sqrt", _FLOAT),
    "fma": ("fma", _FLOAT),  # x · y + z, rounded once
    "fmod": ("fmod", _FLOAT),
    "scale": ("scale", _FLOAT),  # x · 2ⁿ, rounded once; n is an integer, no larger than 2 · bias
    "copysign": ("copysign", _FLOAT),
    "equal": ("eq", (*_REAL, "bool")),
    "not_equal": ("ne", (*_REAL, "bool")),
    "less": ("lt", _REAL),
    "less_equal": ("le", _REAL),
    "greater": ("gt", _REAL),
    "greater_equal": ("ge", _REAL),
    "logical_and": ("and", ("bool",)),
    "logical_or": ("or", ("bool",)),
    "logical_xor": ("xor", ("bool",)),
    "logical_not": ("not", ("bool",)),
    "bitwise_and": ("and", _BITS),
    "bitwise_or": ("or", _BITS),
    "bitwise_xor": ("xor", _BITS),
    "bitwise_invert": ("not", _BITS),
}


def _rounded(op: str) -> Callable[[Namespace, Any], Scalar]:
    def rounded(xp: Namespace, x: Any) -> Scalar:
        return _direct(xp, op, _FLOAT, x) if x.dtype.kind == "float" else _itself(xp, x)

    return rounded


def _itself(xp: Namespace, x: Scalar) -> Scalar:
    if x.dtype.kind not in _REAL:
        unsupported(x.dtype.name)
    return x


def _abs(xp: Namespace, x: Any) -> Scalar:
    return _itself(xp, x) if x.dtype.kind == "uint" else _direct(xp, "abs", _REAL, x)


def _pow(xp: Namespace, x: Any, y: Any) -> Any:
    if type(y) in (int, float) and y in _POWERS and x.dtype.kind == "float":
        return _POWERS[y](xp, x)
    if type(y) is int and y >= 0 and x.dtype.kind in ("int", "uint"):
        return _multiplied(x, y) if y else _number(xp, x, 1)
    if _is_two(xp, x):
        return xp.exp2(y)
    return _of_float(FUNCTIONS["pow"])(xp, x, y)


def _multiplied(x: Any, n: int) -> Any:
    """``xⁿ`` by squares."""
    if n == 1:
        return x
    root = _multiplied(x, n // 2)
    return root * root * x if n % 2 else root * root


def _is_two(xp: Namespace, x: Any) -> bool:
    if type(x) is not Scalar:
        return type(x) in (int, float) and x == 2
    return xp.builder.nodes[x.number] == Node("constant", (), x.dtype, 2.0)


_POWERS: Final[dict[Any, Callable[[Namespace, Any], Any]]] = {  # within 2 units in the last place
    -2: lambda xp, x: (1 / x) * (1 / x),
    -1: lambda xp, x: 1 / x,
    -0.5: lambda xp, x: xp.where(x == -math.inf, 0.0, 1 / xp.sqrt(x + 0.0)),  # ∞ of −0
    0: lambda xp, x: _number(xp, x, 1),
    0.5: lambda xp, x: xp.sqrt(x),  # NumPy's choice, which is −0 of −0 and NaN of −∞
    1: lambda xp, x: x,
    2: lambda xp, x: x * x,
    3: lambda xp, x: x * x * x,
    4: lambda xp, x: _multiplied(x, 4),
}


def _sign(xp: Namespace, x: Any) -> Any:
    one: Any = _number(xp, x, 1)
    if x.dtype.kind == "uint":
        return _where(xp, x > 0, one, 0)
    out = _where(xp, x > 0, one, _where(xp, x < 0, -one, 0))
    return _where(xp, x != x, x, out)


def _where(xp: Namespace, condition: Any, x: Any, y: Any) -> Scalar:
    if type(condition) is not Scalar or condition.dtype is not BOOL:
        unsupported("a condition that is no bool")
    x, y = xp.builder.beside(x, y)
    return xp.builder.node("select", (condition, x, y), x.dtype)


def _extremum(op: str, opposite: str) -> Callable[[Namespace, Any, Any], Scalar]:
    def extremum(xp: Namespace, x: Any, y: Any) -> Scalar:
        number = type(y) is not Scalar and y == y
        x, y = xp.builder.beside(x, y)
        if number:  # which is no NaN: one comparison will do; of both zeros NumPy takes y
            return _where(xp, _direct(xp, opposite, _REAL, x, y), y, x)
        first: Any = _direct(xp, op, _REAL, x, y)
        return _where(xp, first | (x != x), x, y)

    return extremum


def _clip(xp: Namespace, x: Any, low: Any = None, high: Any = None) -> Any:
    x = x if low is None else xp.maximum(x, low)
    return x if high is None else xp.minimum(x, high)


def _shifted(right: bool) -> Callable[[Namespace, Any, Any], Scalar]:
    def shifted(xp: Namespace, x: Any, y: Any) -> Scalar:
        count: Any
        x, count = xp.builder.beside(x, y)
        op = "shl" if not right else "ashr" if x.dtype.kind == "int" else "lshr"
        bits = 8 * x.dtype.itemsize
        if type(y) is int and 0 <= y < bits:
            return _direct(xp, op, ("int", "uint"), x, count)
        known = (count >= 0) & (count < bits)  # others shift all bits out
        out = _direct(xp, op, ("int", "uint"), x, xp.where(known, count, 0))
        beyond = _direct(xp, op, ("int", "uint"), x, bits - 1) if op == "ashr" else 0
        return _where(xp, known, out, beyond)

    return shifted


def _of_floats(test: Callable[[Namespace, Any], Any], otherwise: bool) -> Any:
    """A question that numbers that are no floats answer all the same."""
    return lambda xp, x: (
        test(xp, x) if x.dtype.kind == "float" else xp.builder.constant(otherwise, BOOL)
    )


def _astype(xp: Namespace, x: Any, dtype: Any, copy: bool = True) -> Any:
    dtype = as_dtype(dtype)
    if x.dtype is dtype:
        return x
    if x.dtype.kind == "float" and dtype.kind in ("int", "uint"):
        return _integer(xp, x, dtype)
    return x != 0 if dtype is BOOL else xp.builder.node("convert", (x,), dtype)


def _converted(xp: Namespace, x: Any, dtype: DType) -> Scalar:
    return xp.builder.node("convert", (x,), dtype)


def _integer(xp: Namespace, x: Any, dtype: DType) -> Any:
    """A float as an integer; of one that `dtype` has not, what NumPy makes of it on x86."""
    wide = DTYPES["int64" if dtype.itemsize == 8 or dtype is DTYPES["uint32"] else "int32"]
    top = 2.0 ** (8 * wide.itemsize - 1)
    if dtype is not DTYPES["uint64"]:
        return _astype(xp, _signed(xp, x, wide, top), dtype)
    upper: Any = x >= top
    found: Any = _signed(xp, xp.where(upper, x - top, x), wide, top)
    lowest = xp.builder.constant(-(2**63), wide)
    return _astype(xp, xp.where(upper, found ^ lowest, found), dtype)


def _signed(xp: Namespace, x: Any, dtype: DType, top: float) -> Scalar:
    """A float as an integer, the lowest one where `dtype` has it not."""
    x = xp.trunc(x)
    known = (x >= -top) & (x < top)
    lowest = xp.builder.constant(-int(top), dtype)
    return _where(xp, known, _converted(xp, xp.where(known, x, 0), dtype), lowest)


def _bits(xp: Namespace, x: Any, dtype: DType) -> Scalar:
    return xp.builder.node("bits", (x,), dtype)


def _rarely(
    xp: Namespace,
    name: str,
    condition: Any,
    otherwise: Any,
    function: Callable[..., Any],
    *args: Any,
) -> Scalar:
    """What a function, of that name, gives where a condition holds, else what is given."""
    apart = Builder(xp.builder.target)
    out = function(apart.namespace, *(apart.load(i, a.dtype) for i, a in enumerate(args)))
    body = Body(name, tuple(apart.nodes), out.number)
    return xp.builder.node("call", (condition, otherwise, *args), out.dtype, body)


def _nextafter(xp: Namespace, x: Any, y: Any) -> Any:
    x, y = xp.builder.beside(x, y)
    if x.dtype.kind != "float":
        unsupported("neighbours of integers")
    integer = _INTEGERS[x.dtype.itemsize]
    bits: Any = _bits(xp, x, integer)
    outwards = (y > x) == (x > 0)
    found: Any = _bits(xp, xp.where(outwards, bits + 1, bits - 1), x.dtype)
    first: Any = _bits(xp, _number(xp, bits, 1), x.dtype)
    found = xp.where(x == 0, xp.copysign(first, y), found)
    return xp.where((x == y) | (y != y), y, xp.where(x != x, x, found))


def _signbit(xp: Namespace, x: Any) -> Any:
    if x.dtype.kind == "float":
        return xp.less(_bits(xp, x, _INTEGERS[x.dtype.itemsize]), 0)
    return x < 0 if x.dtype.kind == "int" else xp.builder.constant(False, BOOL)


def _of_float(function: Callable[..., Any], *others: str) -> Callable[..., Any]:
    """A function that is written for floats; libraries differ in what it is of integers."""

    def of_float(xp: Namespace, *args: Any) -> Any:
        operands = xp.builder.beside(*args)
        if operands[0].dtype.kind not in ("float", *others):
            unsupported("a function of floats")
        return function(xp, *operands)

    return of_float


def _number(xp: Namespace, x: Any, value: Any) -> Scalar:
    return xp.builder.constant(value, x.dtype)


_INTEGERS: Final = {4: DTYPES["int32"], 8: DTYPES["int64"]}
_OTHERS: Final[dict[str, Callable[..., Any]]] = {
    "abs": _abs,
    "astype": _astype,
    "bits": _bits,  # the same bits as a dtype of the same size
    "bitwise_left_shift": _shifted(right=False),
    "bitwise_right_shift": _shifted(right=True),
    "ceil": _rounded("ceil"),
    "clip": _clip,
    "constant_like": _number,  # a number of the dtype of x
    "converted": _converted,  # as another dtype, which has it if that is an integer's
    "floor": _rounded("floor"),
    "full_like": _number,
    "isfinite": _of_floats(lambda xp, x: xp.abs(x) < math.inf, True),
    "isinf": _of_floats(lambda xp, x: xp.abs(x) == math.inf, False),
    "isnan": _of_floats(lambda xp, x: x != x, False),
    "maximum": _extremum("gt", "le"),
    "minimum": _extremum("lt", "ge"),
    "nextafter": _nextafter,
    "ones_like": lambda xp, x: _number(xp, x, 1),
    "positive": _itself,
    "pow": _pow,
    "rarely": _rarely,
    "reciprocal": lambda xp, x: 1 / x,
    "result_type": lambda xp, *args: xp.builder.beside(*args)[0].dtype,
    "round": _rounded("rint"),
    "sign": _sign,
    "signbit": _signbit,
    "square": lambda xp, x: x * x,
    "stop_gradient": lambda xp, x: x,
    "trunc": _rounded("trunc"),
    "where": _where,
    "zeros": lambda xp, shape, *, dtype: xp.builder.constant(0, as_dtype(dtype)),
    "zeros_like": lambda xp, x: _number(xp, x, 0),
    **{name: _of_float(function) for name, function in FUNCTIONS.items() if name != "pow"},
    "floor_divide": _of_float(FUNCTIONS["floor_divide"], "int", "uint"),
    "remainder": _of_float(FUNCTIONS["remainder"], "int", "uint"),
}
