"""Native code for kernels, by LLVM.

A module of kernels becomes text of LLVM's, compiled for the processor at hand. A kernel is a
function that Python calls as its own builtins, with arrays as arguments: it reads the addresses of
their elements itself, which takes nanoseconds where ``ctypes`` takes microseconds. It returns
False, having done nothing, when an operand is not as the kernel says: of that shape and dtype,
row-major, aligned, of native bytes.

The layout of arrays: ``PyArrayObject_fields`` in NumPy's C API, which is stable,
https://numpy.org/doc/stable/reference/c-api/types-and-structures.html
"""

import ctypes
import functools
import itertools
import math
import re
import struct
import sys
import sysconfig
import weakref
from collections.abc import Generator, Iterator, Sequence
from typing import Any, Final

import numpy as np

from volta.compile.kernel import Kernel, Node
from volta.core.types import DType

__all__ = ["available", "functions"]


OLDEST: Final = (0, 45)  # llvmlite with LLVM 20; those before read vectors written otherwise


@functools.cache
def available() -> bool:
    """Whether there is LLVM, and a Python whose objects lie as is known here."""
    known = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")
    return known and sys.maxsize > 2**32 and _version() >= OLDEST


def _version() -> tuple[int, ...]:
    """Version of llvmlite, which is not imported; (0, 0) of none."""
    import importlib.metadata  # 10 ms

    try:
        found = importlib.metadata.version("llvmlite")
    except importlib.metadata.PackageNotFoundError:
        return (0, 0)
    return tuple(int(n) for n in re.findall(r"\d+", found)[:2])


def functions(kernels: Sequence[Kernel]) -> list[Any]:
    """Python functions of the operands of each kernel and the arrays for its results."""
    made = [_Function(f"kernel{i}", kernel) for i, kernel in enumerate(kernels)]
    lines = [line for function in made for line in function.lines()]
    declared = dict.fromkeys([*_PYTHONS, *(text for f in made for text in f.declared)])
    code = _compiled("\n".join([*(f"declare {text}" for text in declared), *lines]) + "\n")
    return [_builtin(code, function.name) for function in made]


# Python's side ------------------------------------------------------------------------------------


class _Method(ctypes.Structure):
    """``PyMethodDef``."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_FASTCALL: Final = 0x80  # a pointer to arguments, and how many there are


_FREE: Final[list[_Method]] = []  # definitions of functions that are no more


def _builtin(code: Any, name: str) -> Any:
    """Python function of the name; `code`, to which it is bound, lives as long as it does."""
    # A definition is never freed, only used again: the function's end reads it.
    method = _FREE.pop() if _FREE else _Method()
    method.name, method.flags = b"kernel", _FASTCALL
    method.function = code.get_function_address(name)
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype = ctypes.py_object
    make.argtypes = (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    function = make(ctypes.addressof(method), code, None)
    weakref.finalize(function, _FREE.append, method).atexit = False
    return function


@functools.cache
def _processor() -> Any:
    """Target, name and features of the processor at hand."""
    import llvmlite.binding as llvm  # 30 ms, and not in every installation

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    for name in ("PyBool_FromLong", "PyEval_SaveThread", "PyEval_RestoreThread"):
        address = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
        llvm.add_symbol(name, address)
    features = llvm.get_host_cpu_features().flatten()
    return llvm.Target.from_default_triple(), llvm.get_host_cpu_name(), features


def _compiled(text: str) -> Any:
    import llvmlite.binding as llvm

    target, name, features = _processor()
    # Code owns the machine that it was made by, and ends it.
    machine = target.create_target_machine(cpu=name, features=features, opt=2, jit=True)
    module = llvm.parse_assembly(text)
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    # None of LLVM's passes runs on the text: a kernel lists each node once, what does not change in
    # a loop stands before it, and llvmlite never frees what runs passes, 49 kB each.
    code = llvm.create_mcjit_compiler(module, machine)
    code.finalize_object()
    return code


# Text ---------------------------------------------------------------------------------------------

_TYPES: Final = {
    "bool": "i8",
    "int8": "i8",
    "int16": "i16",
    "int32": "i32",
    "int64": "i64",
    "uint8": "i8",
    "uint16": "i16",
    "uint32": "i32",
    "uint64": "i64",
    "float32": "float",
    "float64": "double",
}
_WIDTH: Final = 128  # bytes of a vector: two of AVX-512, so that one is computed beside the other
_HEAD: Final = object.__basicsize__
_DATA, _AXES, _SHAPE, _DESCR, _FLAGS = _HEAD, _HEAD + 8, _HEAD + 16, _HEAD + 40, _HEAD + 48
_READY: Final = 0x101  # row-major, aligned
_LONG: Final = 1 << 20  # operations on elements that are worth letting other threads run

_PYTHONS: Final = (  # functions of Python's
    "ptr @PyBool_FromLong(i64)",
    "ptr @PyEval_SaveThread()",
    "void @PyEval_RestoreThread(ptr)",
)


class _Function:
    """A kernel being written."""

    def __init__(self, name: str, kernel: Kernel) -> None:
        self.name, self.kernel = name, kernel
        self.axes = _axes(kernel)
        inner = self.axes[-1][0] if self.axes else 1
        widest = max(n.dtype.itemsize for n in kernel.nodes)
        self.width = min(_WIDTH // widest, 1 << (inner - 1).bit_length())
        self.numbers = itertools.count()
        self.declared: list[str] = []  # functions of LLVM's that are called

    def new(self) -> str:
        return f"%t{next(self.numbers)}"

    def lines(self) -> Iterator[str]:
        kernel = self.kernel
        count = len(kernel.operands) + len(kernel.results)
        yield f"define ptr @{self.name}(ptr %self, ptr %args, i64 %n) {{"
        yield "entry:"
        for i in range(count):
            yield f"  %slot{i} = getelementptr ptr, ptr %args, i64 {i}"
            yield f"  %array{i} = load ptr, ptr %slot{i}"
        yield from self._checks()
        yield "ready:"
        for i in range(count):
            yield f"  %field{i} = getelementptr i8, ptr %array{i}, i64 {_DATA}"
            yield f"  %data{i} = load ptr, ptr %field{i}"
        long = math.prod(kernel.shape) * len(kernel.nodes) > _LONG
        if long:
            yield "  %thread = call ptr @PyEval_SaveThread()"
        yield from self._loops(0, {}, "ready", "done")
        yield "done:"
        if long:
            yield "  call void @PyEval_RestoreThread(ptr %thread)"
        yield "  %true = call ptr @PyBool_FromLong(i64 1)"
        yield "  ret ptr %true"
        yield "other:"
        yield "  %false = call ptr @PyBool_FromLong(i64 0)"
        yield "  ret ptr %false"
        yield "}"

    def _checks(self) -> Iterator[str]:
        """Go on to ``ready`` if the operands are as they must be, else to ``other``."""
        operands = self.kernel.operands
        yield from self._check("class", "i64", 8, [id(np.ndarray)] * len(operands), "arrays")
        yield "arrays:"  # others may end before what is looked at now
        dtypes = [id(np.dtype(dtype.name)) for dtype, _ in operands]
        yield from self._check("descr", "i64", _DESCR, dtypes, "native")
        yield "native:"
        yield from self._check("flags", "i32", _FLAGS, [_READY] * len(operands), "ordered")
        yield "ordered:"
        axes = [len(shape) for _, shape in operands]
        yield from self._check("axes", "i32", _AXES, axes, "sized")
        yield "sized:"
        yield from self._check_sizes()

    def _check(
        self, what: str, kind: str, offset: int, wanted: list[int], after: str
    ) -> Iterator[str]:
        """Go on to a place if a field of each operand is as wanted, of flags those that are."""
        total = "true"
        for i, value in enumerate(wanted):
            name = f"%{what}{i}"
            yield f"  {name}at = getelementptr i8, ptr %array{i}, i64 {offset}"
            yield f"  {name} = load {kind}, ptr {name}at"
            yield f"  {name}part = and {kind} {name}, {value if what == 'flags' else -1}"
            yield f"  {name}is = icmp eq {kind} {name}part, {value}"
            yield f"  {name}all = and i1 {total}, {name}is"
            total = f"{name}all"
        yield f"  br i1 {total}, label %{after}, label %other"

    def _check_sizes(self) -> Iterator[str]:
        """Go on to ``ready`` if the operands have their shapes, beyond which is others' memory."""
        total = "true"
        for i, (_, shape) in enumerate(self.kernel.operands):
            yield f"  %shapeat{i} = getelementptr i8, ptr %array{i}, i64 {_SHAPE}"
            yield f"  %shape{i} = load ptr, ptr %shapeat{i}"
            for a, n in enumerate(shape):
                place, size, same, both = (self.new() for _ in range(4))
                yield f"  {place} = getelementptr i64, ptr %shape{i}, i64 {a}"
                yield f"  {size} = load i64, ptr {place}"
                yield f"  {same} = icmp eq i64 {size}, {n}"
                yield f"  {both} = and i1 {total}, {same}"
                total = both
        yield f"  br i1 {total}, label %ready, label %other"

    def _loops(self, depth: int, indices: dict[int, str], before: str, after: str) -> Iterator[str]:
        if depth < len(self.axes) - 1:
            size = self.axes[depth][0]
            head, tail = f"head{depth}", f"tail{depth}"
            yield f"  br label %{head}"
            yield f"{head}:"
            yield f"  %i{depth} = phi i64 [0, %{before}], [%next{depth}, %{tail}]"
            yield from self._loops(depth + 1, indices | {depth: f"%i{depth}"}, head, tail)
            yield f"{tail}:"
            yield f"  %next{depth} = add i64 %i{depth}, 1"
            yield f"  %more{depth} = icmp ult i64 %next{depth}, {size}"
            yield f"  br i1 %more{depth}, label %{head}, label %{after}"
            return
        yield from self._row(indices, before, after)

    def _row(self, indices: dict[int, str], before: str, after: str) -> Iterator[str]:
        """The innermost loop, and what is left of it."""
        size = self.axes[-1][0] if self.axes else 1
        bases = []
        for k, (dtype, strides) in enumerate(self._arrays()):
            base = f"%data{k}"
            for depth, index in indices.items():
                if strides[depth]:
                    offset, place = self.new(), self.new()
                    yield f"  {offset} = mul i64 {index}, {strides[depth] * dtype.itemsize}"
                    yield f"  {place} = getelementptr i8, ptr {base}, i64 {offset}"
                    base = place
            bases.append(base)
        splats: dict[int, str] = {}
        for k, (dtype, strides) in enumerate(self._arrays()[: len(self.kernel.operands)]):
            if not self.axes or not strides[-1]:
                one, wide = self.new(), self.new()
                kind = _TYPES[dtype.name]
                yield f"  {one} = load {kind}, ptr {bases[k]}, align {dtype.itemsize}"
                vector = f"<{self.width} x {kind}>"
                first = self.new()
                yield f"  {first} = insertelement {vector} poison, {kind} {one}, i64 0"
                yield (
                    f"  {wide} = shufflevector {vector} {first}, {vector} poison, "
                    f"<{self.width} x i32> zeroinitializer"
                )
                splats[k] = wide
        whole = size // self.width * self.width
        if whole:
            yield "  br label %row"
            yield "row:"
            yield f"  %i = phi i64 [0, %{before}], [%next, %row]"
            yield from self._body("%i", bases, splats, None)
            yield f"  %next = add i64 %i, {self.width}"
            yield f"  %more = icmp ult i64 %next, {whole}"
            yield "  br i1 %more, label %row, label %rest"
            yield "rest:"
        if size > whole:
            yield from self._body(str(whole), bases, splats, size - whole)
        yield f"  br label %{after}"

    def _arrays(self) -> list[tuple[DType, tuple[int, ...]]]:
        """Dtype and strides, in elements, of the operands and the results."""
        kernel = self.kernel
        dtypes = [d for d, _ in kernel.operands] + [kernel.nodes[r].dtype for r in kernel.results]
        return [(d, tuple(s[k] for _, s in self.axes)) for k, d in enumerate(dtypes)]

    def _body(
        self, index: str, bases: list[str], splats: dict[int, str], count: int | None
    ) -> Iterator[str]:
        """The scalars of a vector's width from `index` on, of which only `count` are there."""
        names: list[str] = []
        for node in self.kernel.nodes:
            if node.op == "constant":
                names.append(_constant(node, self.width))
                continue
            if node.op != "load":
                text = self._operation(node, [names[o] for o in node.operands])
            elif node.value in splats:
                text = splats[node.value]
            else:
                text = yield from self._moved(index, bases[node.value], node.dtype, count, None)
            if node.op == "load":
                if node.dtype.name == "bool":
                    name = self.new()
                    yield f"  {name} = icmp ne <{self.width} x i8> {text}, zeroinitializer"
                else:
                    name = text
            else:
                name = self.new()
                yield f"  {name} = {text}"
            names.append(name)
        for k, r in enumerate(self.kernel.results):
            node, value = self.kernel.nodes[r], names[r]
            if node.dtype.name == "bool":
                wide = self.new()
                yield f"  {wide} = zext <{self.width} x i1> {value} to <{self.width} x i8>"
                value = wide
            base = bases[len(self.kernel.operands) + k]
            yield from self._moved(index, base, node.dtype, count, value)

    def _moved(
        self, index: str, base: str, dtype: DType, count: int | None, value: str | None
    ) -> Generator[str, None, str]:
        """Load a vector, or store `value`; returns the name of what was loaded."""
        kind, place, name = _TYPES[dtype.name], self.new(), self.new()
        vector = f"<{self.width} x {kind}>"
        align = dtype.itemsize
        yield f"  {place} = getelementptr {kind}, ptr {base}, i64 {index}"
        if count is None:
            if value is None:
                yield f"  {name} = load {vector}, ptr {place}, align {align}"
            else:
                yield f"  store {vector} {value}, ptr {place}, align {align}"
            return name
        bits = ", ".join(f"i1 {'true' if i < count else 'false'}" for i in range(self.width))
        mask, masked = f"<{self.width} x i1>", f"v{self.width}{_suffix(dtype)}.p0"
        if value is None:
            called = f"llvm.masked.load.{masked}"
            self.declared.append(f"{vector} @{called}(ptr, i32, {mask}, {vector})")
            yield (
                f"  {name} = call {vector} @{called}(ptr {place}, i32 {align}, {mask} <{bits}>, "
                f"{vector} zeroinitializer)"
            )
        else:
            called = f"llvm.masked.store.{masked}"
            self.declared.append(f"void @{called}({vector}, ptr, i32, {mask})")
            yield (
                f"  call void @{called}({vector} {value}, ptr {place}, i32 {align}, "
                f"{mask} <{bits}>)"
            )
        return name

    def _operation(self, node: Node, args: list[str]) -> str:
        """An operation on vectors."""
        of, width = self.kernel.nodes[node.operands[0]].dtype, self.width
        given, made = _vector(of, width), _vector(node.dtype, width)
        op, floating = node.op, of.kind == "float"
        if op in ("add", "sub", "mul"):
            how = f"f{op} contract" if node.value else f"f{op}" if floating else op
            return f"{how} {made} {args[0]}, {args[1]}"
        if op == "div":
            return f"fdiv {made} {args[0]}, {args[1]}"
        if op in _SAME:
            return f"{op} {made} {args[0]}, {args[1]}"
        if op == "not":
            ones = (
                f"splat ({made.split(' x ')[1][:-1]} -1)"
                if of.kind != "bool"
                else "splat (i1 true)"
            )
            return f"xor {made} {args[0]}, {ones}"
        if op == "neg":
            return (
                f"fneg {made} {args[0]}" if floating else f"sub {made} zeroinitializer, {args[0]}"
            )
        if op == "abs" and not floating:
            name = f"llvm.abs.v{width}{_suffix(of)}"
            self.declared.append(f"{made} @{name}({made}, i1)")
            return f"call {made} @{name}({made} {args[0]}, i1 false)"
        if op in _INTRINSICS or op == "abs":
            name = f"llvm.{_INTRINSICS.get(op, 'fabs')}.v{width}{_suffix(of)}"
            self.declared.append(f"{made} @{name}({', '.join([made] * len(args))})")
            return f"call {made} @{name}({', '.join(f'{made} {a}' for a in args)})"
        if op in _COMPARED:
            how = _COMPARED[op][0 if floating else 1 if of.kind == "int" else 2]
            return f"{'f' if floating else 'i'}cmp {how} {given} {args[0]}, {args[1]}"
        if op == "select":
            return f"select {given} {args[0]}, {made} {args[1]}, {made} {args[2]}"
        if op == "bits":
            return f"bitcast {given} {args[0]} to {made}"
        assert op == "convert", op
        return f"{_conversion(of, node.dtype)} {given} {args[0]} to {made}"


def _suffix(dtype: DType) -> str:
    """Name of a type in those of intrinsics."""
    return f"f{8 * dtype.itemsize}" if dtype.kind == "float" else f"i{8 * dtype.itemsize}"


def _axes(kernel: Kernel) -> list[tuple[int, tuple[int, ...]]]:
    """Axes of the loop, outermost first: sizes, and strides of operands and results in elements.

    Axes along which all arrays go on as one are one.
    """
    shape = kernel.shape
    given = [s for _, s in kernel.operands] + [shape] * len(kernel.results)
    strides = [_strides(s, shape) for s in given]
    axes: list[tuple[int, tuple[int, ...]]] = []
    for a, n in enumerate(shape):
        if n == 1:
            continue
        steps = tuple(s[a] for s in strides)
        if axes and all(
            before == step * n for before, step in zip(axes[-1][1], steps, strict=True)
        ):
            axes[-1] = axes[-1][0] * n, steps
        else:
            axes.append((n, steps))
    return axes


def _strides(shape: tuple[int, ...], space: tuple[int, ...]) -> list[int]:
    """Strides of a row-major array along the axes of a space that it broadcasts to."""
    strides, step = [0] * len(space), 1
    for a in range(1, len(shape) + 1):
        if shape[-a] != 1:
            strides[-a] = step
        step *= shape[-a]
    return strides


def _constant(node: Node, width: int) -> str:
    kind = "i1" if node.dtype.name == "bool" else _TYPES[node.dtype.name]
    if node.dtype.kind == "float":
        value = f"0x{struct.unpack('>Q', struct.pack('>d', node.value))[0]:016X}"
    else:
        value = str(int(node.value))
    return f"<{width} x {kind}> splat ({kind} {value})".split("> ", 1)[1]


_COMPARED: Final = {
    "eq": ("oeq", "eq", "eq"),
    "ne": ("une", "ne", "ne"),
    "lt": ("olt", "slt", "ult"),
    "le": ("ole", "sle", "ule"),
    "gt": ("ogt", "sgt", "ugt"),
    "ge": ("oge", "sge", "uge"),
}
_INTRINSICS: Final = {
    "sqrt": "sqrt",
    "fma": "fma",
    "floor": "floor",
    "ceil": "ceil",
    "trunc": "trunc",
    "rint": "roundeven",
    "copysign": "copysign",
}
_SAME: Final = ("and", "or", "xor", "shl", "lshr", "ashr")  # LLVM's own names


def _vector(dtype: DType, width: int) -> str:
    return f"<{width} x {'i1' if dtype.name == 'bool' else _TYPES[dtype.name]}>"


def _conversion(of: DType, to: DType) -> str:
    if of.kind == "float":
        if to.kind == "float":
            return "fpext" if to.itemsize > of.itemsize else "fptrunc"
        return "fptosi" if to.kind == "int" else "fptoui"
    if to.kind == "float":
        return "sitofp" if of.kind == "int" else "uitofp"
    if of.kind == "bool" or to.itemsize > of.itemsize:
        return "sext" if of.kind == "int" else "zext"
    return "trunc" if to.itemsize < of.itemsize else "bitcast"
