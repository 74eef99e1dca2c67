"""Scalar operations of kernels as WGSL, and the functions that are not those of LLVM's kernels."""

import math
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from volta.compile.functions.named import FUNCTIONS as FORMULAS
from volta.compile.kernel import Namespace, Node, Target, unsupported
from volta.core.types import DTYPES, DType, as_dtype
from volta.wgpu.launch import COMPUTED, STORED

__all__ = ["Expressions", "identity", "loaded", "merged", "stored", "target_of"]

_BOOL: Final = DTYPES["bool"]
_FLOAT: Final = DTYPES["float32"]
_HALVES: Final = ("float16", "bfloat16")  # computed as float32
_WIDE: Final = ("int64", "uint64", "float64")


# What namespaces of kernels are given -------------------------------------------------------------


def target_of(features: Iterable[str], buffers: int) -> Target:
    """What kernels of a device may have; `buffers` is how many arrays one may see."""
    kinds = {name for name in STORED if name not in _WIDE and name != "float16"}
    if "float16" in features:
        kinds.add("float16")
    if "int64" in features:
        kinds |= {"int64", "uint64"}
    if {"int64", "float64"} <= {*features}:
        kinds.add("float64")
    # an entry loads four arrays at most
    few = max(buffers - 4, 1)
    return Target(
        frozenset(kinds), _OWN, (), few, buffers, strides=True, folds_of_rows=False, warns=False
    )


def _of_floats(name: str, otherwise: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """A function of the prelude; of what is neither 32 nor 16 bits another one."""

    def function(xp: Namespace, *args: Any) -> Any:
        operands = xp.builder.beside(*args)
        dtype = operands[0].dtype
        if dtype is _FLOAT:
            return xp.builder.node("function", operands, _FLOAT, name)
        if dtype.name in _HALVES:
            wide = [xp.builder.node("convert", (x,), _FLOAT) for x in operands]
            out = xp.builder.node("function", wide, _FLOAT, name)
            return xp.builder.node("convert", (out,), dtype)
        if otherwise is None:
            unsupported(f"{name} of {dtype.name}")
        return otherwise(xp, *operands)

    return function


def _question(name: str, otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """A function of the prelude that is true or false."""

    def function(xp: Namespace, x: Any) -> Any:
        if x.dtype is _FLOAT or x.dtype.name in _HALVES:
            wide = x if x.dtype is _FLOAT else xp.builder.node("convert", (x,), _FLOAT)
            return xp.builder.node("function", (wide,), _BOOL, name)
        return otherwise(xp, x)

    return function


def _formula(name: str) -> Callable[..., Any]:
    """Of 64 bits what LLVM's kernels have."""

    def formula(xp: Namespace, *args: Any) -> Any:
        if args[0].dtype.name != "float64":
            unsupported(f"{name} of {args[0].dtype.name}")
        return FORMULAS[name](xp, *args)

    return formula


def _of_numbers(name: str) -> Callable[..., Any]:
    """A function of the prelude of floats, and of integers of up to 32 bits."""
    of_floats = _of_floats(f"v_{name}", _formula(name))

    def function(xp: Namespace, *args: Any) -> Any:
        operands: Any = xp.builder.beside(*args)
        dtype = operands[0].dtype
        if dtype.kind not in ("int", "uint"):
            out = of_floats(xp, *operands)
            if name == "floor_divide":  # by the standard, where Python's is NaN, or -1 of -1 // inf
                x, y = operands
                out = xp.where(xp.isinf(x) | xp.isinf(y), xp.floor(x / y), out)
            return out
        if dtype.itemsize == 8:
            return FORMULAS[name](xp, *operands)
        its = "i32" if dtype.kind == "int" else "u32"
        return xp.builder.node("function", operands, dtype, f"v_{name}_{its}")

    return function


def _pow(xp: Namespace, x: Any, y: Any) -> Any:
    if type(y) in (int, float) and y == 2:
        return x * x
    x, y = xp.builder.beside(x, y)
    if x.dtype.kind in ("int", "uint"):
        if x.dtype.itemsize == 8:
            unsupported("powers of 64 bits")
        its = "i32" if x.dtype.kind == "int" else "u32"
        return xp.builder.node("function", (x, y), x.dtype, f"v_pow_{its}")
    return _POW(xp, x, y)


_POW: Final = _of_floats("v_pow", _formula("pow"))


def _astype(xp: Namespace, x: Any, dtype: Any, copy: bool = True) -> Any:
    dtype = as_dtype(dtype)
    if x.dtype is dtype:
        return x
    if dtype is _BOOL:
        return x != 0
    if x.dtype.kind != "float" or dtype.kind == "float":
        return xp.builder.node("convert", (x,), dtype)
    if x.dtype.itemsize == 8 or dtype.itemsize == 8:
        return xp.builder.node("convert", (xp.trunc(x),), dtype)
    wide: Any = x if x.dtype is _FLOAT else xp.builder.node("convert", (x,), _FLOAT)
    if dtype.name == "uint32":
        below = xp.builder.node("function", (wide,), DTYPES["int32"], "v_to_i32")
        above = xp.builder.node("function", (wide,), dtype, "v_to_u32")
        return xp.where(wide < 0, xp.builder.node("convert", (below,), dtype), above)
    whole = xp.builder.node("function", (wide,), DTYPES["int32"], "v_to_i32")
    return whole if dtype.name == "int32" else xp.builder.node("convert", (whole,), dtype)


def _extremum(name: str, op: str) -> Callable[..., Any]:
    of_floats = _of_floats(f"v_{name}")

    def extremum(xp: Namespace, x: Any, y: Any) -> Any:
        x, y = xp.builder.beside(x, y)
        if x.dtype is _FLOAT or x.dtype.name in _HALVES:
            return of_floats(xp, x, y)
        first: Any = xp.builder.node(op, (x, y), _BOOL)
        if x.dtype.kind == "float":
            first = first | xp.isnan(x)
        return xp.where(first, x, y)

    return extremum


def _same(xp: Namespace, x: Any) -> Any:
    return x


def _of_64_bits(name: str) -> Callable[..., Any]:
    def question(xp: Namespace, x: Any) -> Any:
        if x.dtype.kind != "float":
            return xp.builder.constant(name == "isfinite", _BOOL)
        if name == "isnan":
            return xp.logical_not(x == x)
        size = xp.abs(x)
        return size < math.inf if name == "isfinite" else size == math.inf

    return question


def _signbit(xp: Namespace, x: Any) -> Any:
    if x.dtype.kind == "float":
        return xp.less(xp.bits(x, DTYPES["int64"]), 0)
    return x < 0 if x.dtype.kind == "int" else xp.builder.constant(False, _BOOL)


def _sign(xp: Namespace, x: Any) -> Any:
    if x.dtype.kind == "float":
        return xp.builder.node("function", (x,), x.dtype, "v_sign_f64")
    if x.dtype.kind == "uint":
        return xp.where(x > 0, xp.constant_like(x, 1), 0)
    one: Any = xp.constant_like(x, 1)
    return xp.where(x > 0, one, xp.where(x < 0, -one, 0))


_PRELUDE: Final = (
    *("acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cos", "cosh", "exp", "exp2"),
    *("expm1", "hypot", "log", "log10", "log1p", "log2", "logaddexp", "sin", "sinh", "tan", "tanh"),
)
_OWN: Final[dict[str, Callable[..., Any]]] = {
    **{name: _of_floats(f"v_{name}", _formula(name)) for name in _PRELUDE},
    **{name: _of_numbers(name) for name in ("floor_divide", "remainder")},
    "astype": _astype,
    "conj": _same,
    "digamma": _of_floats("v_digamma"),
    "erf": _of_floats("v_erf"),
    "erfc": _of_floats("v_erfc"),
    "gammaln": _of_floats("v_lgamma"),
    "isfinite": _question("v_isfinite", _of_64_bits("isfinite")),
    "isinf": _question("v_isinf", _of_64_bits("isinf")),
    "isnan": _question("v_isnan", _of_64_bits("isnan")),
    "maximum": _extremum("maximum", "gt"),
    "minimum": _extremum("minimum", "lt"),
    "nextafter": _of_floats("v_nextafter", lambda xp, *args: xp.general("nextafter")(*args)),
    "pow": _pow,
    "real": _same,
    "sign": _of_floats("v_sign", _sign),
    "signbit": _question("v_signbit", _signbit),
}


# Elements in memory -------------------------------------------------------------------------------


def loaded(text: str, dtype: DType) -> str:
    """What is computed with of an element in memory."""
    if dtype is _BOOL:
        return f"({text} != 0u)"
    return f"f32({text})" if dtype.name == "float16" else text


def stored(text: str, dtype: DType) -> str:
    """What is in memory of what was computed."""
    if dtype is _BOOL:
        return f"select(0u, 1u, {text})"
    return f"f16({text})" if dtype.name == "float16" else text


# Reductions ---------------------------------------------------------------------------------------

_SMALLEST: Final = {
    "i32": "(-2147483647 - 1)",
    "u32": "0u",
    "i64": "(-9223372036854775807li - 1li)",
    "u64": "0lu",
    "f32": "(-v_inf())",
    "f64": "f64(-v_inf())",
}
_LARGEST: Final = {
    "i32": "2147483647",
    "u32": "4294967295u",
    "i64": "9223372036854775807li",
    "u64": "18446744073709551615lu",
    "f32": "v_inf()",
    "f64": "f64(v_inf())",
}


def identity(op: str, dtype: DType) -> str:
    """What changes nothing that it is merged with."""
    kind = COMPUTED[dtype.name]
    if kind == "bool":
        return "true" if op == "and" else "false"
    if op in ("max", "min"):
        return (_SMALLEST if op == "max" else _LARGEST)[kind]
    return f"{kind}({1 if op == 'mul' else 0})"


def merged(op: str, x: str, y: str, dtype: DType) -> str:
    """Two elements as one."""
    kind = COMPUTED[dtype.name]
    if op in ("and", "or"):
        return f"({x} {'&' if op == 'and' else '|'} {y})"
    if op in ("add", "mul"):
        return _wrapped(f"({x} {'+' if op == 'add' else '*'} {y})", dtype)
    if kind == "f32":
        return f"v_{op}imum({x}, {y})"
    sign = ">" if op == "max" else "<"
    if kind == "f64":
        return f"select({y}, {x}, ({x} {sign} {y}) | !({x} == {x}))"
    return f"select({y}, {x}, {x} {sign} {y})"


# Operations ---------------------------------------------------------------------------------------

_WRAPS: Final = {
    "int8": "((({}) << 24u) >> 24u)",
    "int16": "((({}) << 16u) >> 16u)",
    "uint8": "(({}) & 255u)",
    "uint16": "(({}) & 65535u)",
    "float16": "v_to_f16({})",
    "bfloat16": "v_to_bf16({})",
}
_SIGNS: Final = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
_COMPARED: Final = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_ROUNDED: Final = {"floor": "floor", "ceil": "ceil", "trunc": "trunc", "rint": "round"}


def _wrapped(text: str, dtype: DType) -> str:
    """A result as its dtype has it."""
    form = _WRAPS.get(dtype.name)
    return text if form is None else form.format(text)


_SMALL: Final = 64  # integers that are part of the text


class Expressions:
    """Nodes of a kernel as WGSL.

    Attributes
    ----------
    numbers : dict of str to float
        Parameters that the text names: numbers of which compilers know nothing.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes
        self.numbers: dict[str, float] = {}
        self._of_bits: dict[bytes, str] = {}

    def text(self, n: Node, args: Sequence[str]) -> str:
        """WGSL of a node, whose operands have these names."""
        return _wrapped(self._plain(n, args), n.dtype) if n.op in _NEW else self._plain(n, args)

    def _plain(self, n: Node, args: Sequence[str]) -> str:
        op, kind = n.op, COMPUTED[n.dtype.name]
        if op == "constant":
            return self._constant(n.value, kind)
        if op == "function":
            return f"{n.value}({', '.join(args)})"
        if op == "select":
            condition, x, y = args
            return f"select({y}, {x}, {condition})"
        if op == "convert":
            return _converted(args[0], COMPUTED[self.nodes[n.operands[0]].dtype.name], kind)
        if op == "bits":
            return f"bitcast<{kind}>({args[0]})"
        if op in _COMPARED:
            its = COMPUTED[self.nodes[n.operands[0]].dtype.name]
            return _compared(op, args[0], args[1], its)
        if kind in ("f32", "f64"):
            return self._of_floats(n, args, kind)
        return _of_integers(op, args, kind)

    def _constant(self, value: Any, kind: str) -> str:
        if kind == "bool":
            return "true" if value else "false"
        if kind == "f32":
            return self._parameter(value)
        if kind == "f64":
            return _double(value)
        if kind in ("i64", "u64"):  # drivers fail at some operations on parameters of 64 bits
            suffix = "li" if kind == "i64" else "lu"
            least = value == -(2**63)
            return f"(-{2**63 - 1}li - 1li)" if least else f"({value}{suffix})"
        if abs(value) <= _SMALL:
            return f"{kind}({value})"
        # a parameter, so that a kernel is compiled once, whatever numbers it is given
        name = self._named(struct.pack("<q", value), value)
        return name if kind == "u32" else f"i32({name})"

    def _parameter(self, value: float) -> str:
        """A float as a parameter: a compiler that knew it would move it, or assume it finite."""
        return self._named(struct.pack("<f", value), float(value))

    def _named(self, bits: bytes, value: float) -> str:
        name = self._of_bits.get(bits)
        if name is None:
            name = self._of_bits[bits] = f"k{len(self._of_bits)}"
            self.numbers[name] = value
        return f"p.{name}"

    def _of_floats(self, n: Node, args: Sequence[str], kind: str) -> str:
        op = n.op
        own, wide = kind == "f32", "" if kind == "f32" else "_f64"
        if op in ("add", "sub", "fma"):
            args = [self._kept(o, a, wide) for o, a in zip(n.operands, args, strict=True)]
        if op == "div" and own and not self._is_moderate(n.operands[1]):
            return f"v_quotient({args[0]}, {args[1]})"
        if op in _SIGNS:
            return f"({args[0]} {_SIGNS[op]} {args[1]})"
        if op == "neg":
            return f"(-{args[0]})"
        if op in _ROUNDED:
            return f"v_{_ROUNDED[op]}{wide}({args[0]})"
        if op in ("abs", "sqrt"):
            return f"{'v_' if own else ''}{op}({args[0]})"
        if op in ("copysign", "fmod"):
            return f"v_{op}{wide}({args[0]}, {args[1]})"
        if op == "fma":
            x, y, z = args
            return f"(v_keep({x} * {y}) + {z})" if own else f"fma({x}, {y}, {z})"
        if op == "scale":
            return f"v_scaled{wide}({args[0]}, {'i32' if own else 'i64'}({args[1]}))"
        return unsupported(f"{op} of {n.dtype.name}")

    def _is_moderate(self, operand: int) -> bool:
        """Whether any driver divides by it."""
        n = self.nodes[operand]
        return n.op == "constant" and 2.0**-126 <= abs(n.value) <= 2.0**126

    def _kept(self, operand: int, text: str, wide: str) -> str:
        """A sum that is added to, so that it is computed first.

        Once only: twice the same exclusive or is none, as compilers know.
        """
        sums = self.nodes[operand].op in ("add", "sub", "fma", "function")
        return f"v_keep{wide}({text})" if sums else text

    def called(self, name: str, n: Node, args: Sequence[str]) -> list[str]:
        """Statements that have `name` be what a body computes, where its condition holds."""
        condition, otherwise, *given = args
        inner = Expressions(n.value.nodes)
        lines = [f"var {name} = {otherwise};", f"if {condition} {{"]
        for i, m in enumerate(n.value.nodes):
            operands = [f"{name}_{o}" for o in m.operands]
            text = given[m.value] if m.op == "load" else inner.text(m, operands)
            lines.append(f"  let {name}_{i} = {text};")
        if inner.numbers:
            unsupported("rare operations of float32")
        return [*lines, f"  {name} = {name}_{n.value.result};", "}"]


_NEW: Final = frozenset(  # operations whose results may be none that their dtypes have
    ("abs", "add", "ashr", "constant", "convert", "div", "fma", "fmod", "function", "mul", "neg")
) | {"not", "scale", "shl", "sqrt", "sub"}


def _double(value: float) -> str:
    if math.isnan(value):
        return "(f64(v_nan()))"
    if math.isinf(value):
        return f"(f64({'-' if value < 0 else ''}v_inf()))"
    return f"({value!r}lf)" if "e" in repr(value) or "." in repr(value) else f"({value!r}.0lf)"


_THROUGH: Final = {("u32", "i64"): "u64", ("i32", "u64"): "i64"}


def _converted(x: str, before: str, kind: str) -> str:
    if before == kind:
        return x
    if before == "bool":
        return f"select({kind}(0), {kind}(1), {x})"
    if (before, kind) in _THROUGH:  # drivers copy the sign of u32, and put zeros before that of i32
        return f"bitcast<{kind}>({_THROUGH[before, kind]}({x}))"
    return f"{kind}({x})"


def _compared(op: str, x: str, y: str, kind: str) -> str:
    if kind == "f32":
        return f"v_{op}({x}, {y})"
    if kind == "f64" and op == "ne":
        return f"(!({x} == {y}))"
    return f"({x} {_COMPARED[op]} {y})"


def _of_integers(op: str, args: Sequence[str], kind: str) -> str:
    x, y = args[0], args[1] if len(args) > 1 else ""
    if kind == "bool":
        forms = {"and": f"({x} & {y})", "or": f"({x} | {y})", "xor": f"({x} != {y})"}
        return f"(!{x})" if op == "not" else forms[op]
    if op in _SIGNS:
        return f"({x} {_SIGNS[op]} {y})"
    if op in ("and", "or", "xor"):
        return f"({x} {({'and': '&', 'or': '|', 'xor': '^'})[op]} {y})"
    if op == "not":
        return f"(~{x})"
    if op == "neg":
        return f"(-{x})" if kind[0] == "i" else f"({kind}(0) - {x})"
    if op == "abs":
        return f"select({x}, -{x}, {x} < {kind}(0))"
    if op == "shl":
        return f"({x} << u32({y}))"
    if op in ("lshr", "ashr"):
        return f"({x} >> u32({y}))"
    return unsupported(f"{op} of {kind}")
