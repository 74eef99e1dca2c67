"""Text of LLVM's for operations on vectors of scalars.

The language: https://releases.llvm.org/20.1.0/docs/LangRef.html
"""

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from volta.compile.kernel import Node
from volta.compile.native.machine import vector_bytes
from volta.core.types import DType

__all__ = ["KINDS", "Block", "Vectors"]

_LINE: Final = 64  # bytes of a line of a cache
KINDS: Final = {  # in memory
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


class Block:
    """A function being written, in basic blocks.

    Attributes
    ----------
    lines : list of str
    label : str
        Of the block that is being written.
    declared : dict of str to None
        Functions that are called.
    tables : list of str
        Constants that are read, and functions of the block's own.
    """

    def __init__(self, head: str, linkage: str = "", attributes: str = "") -> None:
        # So there are no tables for unwinding, which LLVM would register with the C++ run time: at
        # an exception that looks through all, and a process of thousands of modules crashed at one.
        self.lines = [f"define {linkage} {head} nounwind {attributes} {{"]
        self.title = head[head.index("@") + 1 : head.index("(")]
        self.tables: list[str] = []
        self.declared: dict[str, None] = {}
        self.count = 0
        self.begin("entry")

    def name(self) -> str:
        """A new name."""
        self.count += 1
        return f"%t{self.count}"

    def put(self, text: str) -> None:
        """A line that gives no value."""
        self.lines.append(f"  {text}")

    def let(self, text: str) -> str:
        """A line that gives a value, whose name is returned."""
        name = self.name()
        self.lines.append(f"  {name} = {text}")
        return name

    def begin(self, label: str) -> None:
        """Begin a basic block."""
        self.lines.append(f"{label}:")
        self.label = label

    def end(self) -> None:
        """End the function."""
        self.lines.append("}")

    def table(self, kind: str, numbers: Sequence[int]) -> str:
        """Constant integers; returns their address."""
        name = f"@{self.title}.table{len(self.tables)}"
        listed = ", ".join(f"{kind} {n}" for n in numbers)
        self.tables.append(
            f"{name} = internal constant [{len(numbers)} x {kind}] [{listed}], align 64"
        )
        return name

    def call(self, made: str, function: str, *args: tuple[str, str]) -> str:
        """Value of a function of LLVM's, declared by the types of its arguments."""
        self.declared[f"{made} @{function}({', '.join(t for t, _ in args)})"] = None
        return f"call {made} @{function}({', '.join(f'{t} {a}' for t, a in args)})"

    def branch(
        self, condition: str, yes: Callable[[], Any], no: Callable[[], Any] | None = None
    ) -> None:
        """One of two parts, of which the second may be nothing."""
        number, self.count = self.count + 1, self.count + 1
        other = f"no{number}" if no is not None else f"end{number}"
        self.put(f"br i1 {condition}, label %yes{number}, label %{other}")
        for name, part in (("yes", yes), ("no", no)):
            if part is not None:
                self.begin(f"{name}{number}")
                part()
                self.put(f"br label %end{number}")
        self.begin(f"end{number}")

    def chosen(self, condition: str, kind: str, made: Callable[[], str], otherwise: str) -> str:
        """Value of a part, where a condition holds, else another."""
        before = self.label
        found: list[tuple[str, str]] = []
        self.branch(condition, lambda: found.append((made(), self.label)))
        ((value, label),) = found
        return self.let(f"phi {kind} [{otherwise}, %{before}], [{value}, %{label}]")

    def at(self, base: str, index: int | str, step: int | str) -> str:
        """Address of what lies `index` steps of some bytes after another."""
        if isinstance(index, int) and isinstance(step, int):
            return self.let(f"getelementptr i8, ptr {base}, i64 {index * step}")
        offset = self.let(f"mul i64 {index}, {step}")
        return self.let(f"getelementptr i8, ptr {base}, i64 {offset}")

    def opaque(self, pointer: str) -> str:
        """The same pointer, of which LLVM does not know that it is."""
        return self.let(f'call ptr asm "", "=r,0"(ptr {pointer})')

    def aligned(self, pointer: str) -> str:
        """The first line of a cache that begins at an address, or after it."""
        address = self.let(f"ptrtoint ptr {pointer} to i64")
        address = self.let(f"and i64 {self.let(f'add i64 {address}, 63')}, -64")
        return self.let(f"inttoptr i64 {address} to ptr")

    def places(self, index: str, *lengths: int) -> list[str]:
        """Places along axes of an index in row-major order; the first axis may be longer."""
        found = []
        for n in reversed(lengths):
            found.append(self.let(f"urem i64 {index}, {n}"))
            index = self.let(f"udiv i64 {index}, {n}")
        return [index, *reversed(found)]

    def least(self, x: str, y: int | str) -> str:
        """The smaller of two counts."""
        smaller = self.let(f"icmp ult i64 {x}, {y}")
        return self.let(f"select i1 {smaller}, i64 {x}, i64 {y}")

    def each(
        self, stop: int | str, body: Callable[[str], Any], step: int = 1, start: str = "0"
    ) -> None:
        """A loop that carries nothing, and runs at least once."""

        def turn(index: str, _: list[str]) -> list[str]:
            body(index)
            return []

        self.loop(stop, step, [], turn, start)

    def loop(
        self,
        stop: int | str,
        step: int,
        carried: Sequence[tuple[str, str]],
        body: Callable[[str, list[str]], Sequence[str]],
        start: str = "0",
    ) -> list[str]:
        """A loop that runs at least once; returns what it carries from turn to turn.

        Parameters
        ----------
        stop, step, start
            Its index is below `stop`.
        carried : sequence of (str, str)
            Types and first values.
        body : callable
            Writes a turn: from the index and what is carried to what is carried on.
        """
        number, self.count = self.count + 1, self.count + 1
        head, index, before = f"loop{number}", f"%i{number}", self.label
        self.put(f"br label %{head}")
        self.begin(head)
        place = len(self.lines)
        names = [self.name() for _ in carried]
        made = body(index, names)
        after = self.let(f"add i64 {index}, {step}")
        more = self.let(f"icmp ult i64 {after}, {stop}")
        self.put(f"br i1 {more}, label %{head}, label %end{number}")
        phis = [f"  {index} = phi i64 [{start}, %{before}], [{after}, %{self.label}]"]
        for name, (kind, first), value in zip(names, carried, made, strict=True):
            phis.append(f"  {name} = phi {kind} [{first}, %{before}], [{value}, %{self.label}]")
        self.lines[place:place] = phis
        self.begin(f"end{number}")
        return list(made)


class Vectors:
    """Operations on vectors of `width` elements, written to a block."""

    def __init__(self, block: Block, width: int) -> None:
        self.block, self.width = block, width

    def kind(self, dtype: DType) -> str:
        """Type of a vector in a register."""
        return f"<{self.width} x {'i1' if dtype.name == 'bool' else KINDS[dtype.name]}>"

    def constant(self, value: Any, dtype: DType) -> str:
        """Text of a number in all places."""
        kind = "i1" if dtype.name == "bool" else KINDS[dtype.name]
        if dtype.kind == "float":
            text = f"0x{struct.unpack('>Q', struct.pack('>d', value))[0]:016X}"
        else:
            text = str(int(value))
        return f"splat ({kind} {text})"

    def spread(self, value: str, kind: str) -> str:
        """A scalar in all places."""
        vector = f"<{self.width} x {kind}>"
        first = self.block.let(f"insertelement {vector} poison, {kind} {value}, i64 0")
        zeros = f"<{self.width} x i32> zeroinitializer"
        return self.block.let(f"shufflevector {vector} {first}, {vector} poison, {zeros}")

    def index(self, base: str, index: str) -> str:
        """Numbers of elements, as uint32, whose addresses from 0 on are these."""
        block = self.block
        first = block.let(f"add i64 {block.let(f'ptrtoint ptr {base} to i64')}, {index}")
        places = ", ".join(f"i32 {i}" for i in range(self.width))
        spread = self.spread(block.let(f"trunc i64 {first} to i32"), "i32")
        return block.let(f"add <{self.width} x i32> {spread}, <{places}>")

    # memory --------------------------------------------------------------------------------------
    def load_one(self, base: str, dtype: DType) -> str:
        """The scalar at an address, in all places."""
        kind = KINDS[dtype.name]
        one = self.block.let(f"load {kind}, ptr {base}, align {dtype.itemsize}")
        return self._read(self.spread(one, kind), dtype)

    def store_one(self, base: str, dtype: DType, value: str) -> None:
        """Store the scalar that is in all places."""
        kind = KINDS[dtype.name]
        value = self._written(value, dtype)
        one = self.block.let(f"extractelement <{self.width} x {kind}> {value}, i64 0")
        self.block.put(f"store {kind} {one}, ptr {base}, align {dtype.itemsize}")

    def load(self, base: str, index: str, dtype: DType, count: int | None) -> str:
        """A vector from an index on, of which only `count` elements are there, if not all."""
        kind, block = KINDS[dtype.name], self.block
        vector = f"<{self.width} x {kind}>"
        place = block.let(f"getelementptr {kind}, ptr {base}, i64 {index}")
        if count is None:
            return self._read(
                block.let(f"load {vector}, ptr {place}, align {dtype.itemsize}"), dtype
            )
        mask = f"<{self.width} x i1>"
        text = block.call(
            vector,
            f"llvm.masked.load.v{self.width}{_suffix(dtype)}.p0",
            ("ptr", place),
            ("i32", str(dtype.itemsize)),
            (mask, self.mask(count)),
            (vector, "zeroinitializer"),
        )
        return self._read(block.let(text), dtype)

    def prefetch(self, base: str, index: str, dtype: DType, distance: int) -> None:
        """Ask for the lines of a vector so many elements after an index."""
        kind, block = KINDS[dtype.name], self.block
        place = block.let(f"getelementptr {kind}, ptr {base}, i64 {index}")
        for start in range(0, self.width * dtype.itemsize, _LINE):
            at = distance * dtype.itemsize + start
            line = block.let(f"getelementptr i8, ptr {place}, i64 {at}")
            args = ("ptr", line), ("i32", "0"), ("i32", "3"), ("i32", "1")
            block.put(block.call("void", "llvm.prefetch.p0", *args))

    def store(self, base: str, index: str, dtype: DType, count: int | None, value: str) -> None:
        """Store a vector, or the first `count` elements of it."""
        kind, block = KINDS[dtype.name], self.block
        vector = f"<{self.width} x {kind}>"
        value = self._written(value, dtype)
        place = block.let(f"getelementptr {kind}, ptr {base}, i64 {index}")
        if count is None:
            block.put(f"store {vector} {value}, ptr {place}, align {dtype.itemsize}")
            return
        text = block.call(
            "void",
            f"llvm.masked.store.v{self.width}{_suffix(dtype)}.p0",
            (vector, value),
            ("ptr", place),
            ("i32", str(dtype.itemsize)),
            (f"<{self.width} x i1>", self.mask(count)),
        )
        block.put(text)

    def mask(self, count: int) -> str:
        """Text of a mask of the first elements."""
        bits = (f"i1 {'true' if i < count else 'false'}" for i in range(self.width))
        return f"<{', '.join(bits)}>"

    def _read(self, value: str, dtype: DType) -> str:
        if dtype.name != "bool":
            return value
        return self.block.let(f"icmp ne <{self.width} x i8> {value}, zeroinitializer")

    def _written(self, value: str, dtype: DType) -> str:
        if dtype.name != "bool":
            return value
        return self.block.let(f"zext <{self.width} x i1> {value} to <{self.width} x i8>")

    # merging -------------------------------------------------------------------------------------
    def neutral(self, op: str, dtype: DType) -> str:
        """Text of the number that changes none by a `kernel.MERGES`."""
        if op in ("add", "mul"):
            value: Any = 1 if op == "mul" else -0.0 if dtype.kind == "float" else 0
        elif op in ("and", "or"):
            value = op == "and"
        elif dtype.kind == "float":
            value = -math.inf if op == "max" else math.inf
        else:
            info = np.iinfo(dtype.dtype)
            value = info.min if op == "max" else info.max
        return self.constant(value, dtype)

    def merged(self, op: str, dtype: DType, x: str, y: str) -> str:
        """Two vectors merged; `y` may come of a vector of a loop."""
        kind, let = self.kind(dtype), self.block.let
        if op in ("add", "mul"):
            return let(f"{'f' if dtype.kind == 'float' else ''}{op} {kind} {x}, {y}")
        if op in ("and", "or"):
            return let(f"{op} {kind} {x}, {y}")
        how = ("gt" if op == "max" else "lt", "u" if dtype.kind == "uint" else "s")
        if dtype.kind == "float":
            further = let(f"fcmp o{how[0]} {kind} {y}, {x}")
            lost = let(f"fcmp uno {kind} {y}, {y}")
            further = let(f"or <{self.width} x i1> {further}, {lost}")
        else:
            further = let(f"icmp {how[1]}{how[0]} {kind} {y}, {x}")
        return let(f"select <{self.width} x i1> {further}, {kind} {y}, {kind} {x}")

    def masked(self, op: str, dtype: DType, value: str, count: int | None) -> str:
        """A vector with what merges to nothing in place of the elements that are not there."""
        if count is None:
            return value
        kind, mask = self.kind(dtype), f"<{self.width} x i1> {self.mask(count)}"
        return self.block.let(f"select {mask}, {kind} {value}, {kind} {self.neutral(op, dtype)}")

    def folded(self, op: str, dtype: DType, value: str) -> str:
        """All elements of a vector merged, in all places.

        By halves: of a vector beside itself, turned, LLVM 20 takes some sums for the same in all
        places, which they are not.
        """
        block, kind = self.block, self.kind(dtype)
        width = self.width
        while width > 1:
            width //= 2
            half = Vectors(block, width)
            low, high = (
                block.let(
                    f"shufflevector {kind} {value}, {kind} poison, <{width} x i32> "
                    f"<{', '.join(f'i32 {i}' for i in range(start, start + width))}>"
                )
                for start in (0, width)
            )
            value, kind = half.merged(op, dtype, low, high), half.kind(dtype)
        scalar = "i1" if dtype.name == "bool" else KINDS[dtype.name]
        one = block.let(f"extractelement {kind} {value}, i64 0")
        return self.spread(one, scalar)

    # operations ----------------------------------------------------------------------------------
    def operation(self, node: Node, of: DType, args: Sequence[str]) -> str:
        """A node, of operands of dtype `of`."""
        if node.op == "scale":
            return self._scaled(of, *args)
        if node.op == "call":
            return self._called(node, *args)
        return self.block.let(self._text(node, of, args))

    def _scaled(self, dtype: DType, x: str, n: str) -> str:
        """``x · 2ⁿ``: an instruction of AVX-512, or two products with powers, both normal."""
        block, let, kind = self.block, self.block.let, self.kind(dtype)
        lanes = 64 // dtype.itemsize
        if vector_bytes() == 64 and self.width % lanes == 0:
            one, letter = f"<{lanes} x {KINDS[dtype.name]}>", "s" if dtype.itemsize == 4 else "d"
            parts = []
            for start in range(0, self.width, lanes):
                places = ", ".join(f"i32 {i}" for i in range(start, start + lanes))
                taken = [
                    let(f"shufflevector {kind} {v}, {kind} poison, <{lanes} x i32> <{places}>")
                    for v in (x, n)
                ]
                args = ((one, taken[0]), (one, taken[1]), (one, "zeroinitializer"))
                mask = (f"i{lanes}", "-1"), ("i32", "4")
                called = f"llvm.x86.avx512.mask.scalef.p{letter}.512"
                parts.append(let(block.call(one, called, *args, *mask)))
            return self._joined(KINDS[dtype.name], parts, lanes)
        integer = f"<{self.width} x i{8 * dtype.itemsize}>"
        digits, bias = (23, 127) if dtype.itemsize == 4 else (52, 1023)
        shift = self.constant(1.5 * 2.0**digits, dtype)  # a sum with it has no fraction
        bits = let(f"bitcast {kind} {let(f'fadd {kind} {n}, {shift}')} to {integer}")
        whole = let(f"sub {integer} {bits}, {let(f'bitcast {kind} {shift} to {integer}')}")
        half = let(f"ashr {integer} {whole}, splat (i{8 * dtype.itemsize} 1)")
        for part in (half, let(f"sub {integer} {whole}, {half}")):
            biased = let(f"add {integer} {part}, splat (i{8 * dtype.itemsize} {bias})")
            bits = let(f"shl {integer} {biased}, splat (i{8 * dtype.itemsize} {digits})")
            power = let(f"bitcast {integer} {bits} to {kind}")
            x = let(f"fmul {kind} {x}, {power}")
        return x

    def _called(self, node: Node, condition: str, otherwise: str, *args: str) -> str:
        """What a body computes where a condition holds, if it does anywhere."""
        kind, let, mask = self.kind(node.dtype), self.block.let, f"<{self.width} x i1>"
        kinds = [self.kind(n.dtype) for n in node.value.nodes if n.op == "load"]
        given = ", ".join(f"{k} {a}" for k, a in zip(kinds, args, strict=True))

        def made() -> str:
            found = let(f"call {kind} {self._body(node, kinds)}({given})")
            return let(f"select {mask} {condition}, {kind} {found}, {kind} {otherwise}")

        bits = let(f"bitcast {mask} {condition} to i{self.width}")
        anywhere = let(f"icmp ne i{self.width} {bits}, 0")
        return self.block.chosen(anywhere, kind, made, otherwise)

    def _body(self, node: Node, kinds: Sequence[str]) -> str:
        """Name of a function that computes a body.

        It is one of its own so that what is in registers stays there where it is not called.
        """
        name = f"@{self.block.title}.{node.value.name}.{_suffix(node.dtype)}.{self.width}"
        given = ", ".join(f"{kind} %x{i}" for i, kind in enumerate(kinds))
        block = Block(f"{self.kind(node.dtype)} {name}({given})", "internal", "noinline cold")
        vectors, names = Vectors(block, self.width), list[str]()
        for n in node.value.nodes:
            if n.op == "load":
                names.append(f"%x{n.value}")
            elif n.op == "constant":
                names.append(vectors.constant(n.value, n.dtype))
            else:
                of = node.value.nodes[n.operands[0]].dtype
                names.append(vectors.operation(n, of, [names[o] for o in n.operands]))
        block.put(f"ret {self.kind(node.dtype)} {names[node.value.result]}")
        block.end()
        text = "\n".join(block.lines)
        if text not in self.block.tables:
            self.block.tables.append(text)
            self.block.declared |= block.declared
        return name

    def _joined(self, kind: str, parts: list[str], lanes: int) -> str:
        """Vectors one after another, as one."""
        while len(parts) > 1:
            places = ", ".join(f"i32 {i}" for i in range(2 * lanes))
            vector = f"<{lanes} x {kind}>"
            parts = [
                self.block.let(
                    f"shufflevector {vector} {a}, {vector} {b}, <{2 * lanes} x i32> <{places}>"
                )
                for a, b in zip(parts[::2], parts[1::2], strict=True)
            ]
            lanes *= 2
        return parts[0]

    def _text(self, node: Node, of: DType, args: Sequence[str]) -> str:
        given, made = self.kind(of), self.kind(node.dtype)
        op, floating = node.op, of.kind == "float"
        if op in ("add", "sub", "mul"):
            how = f"f{op} contract" if node.value else f"f{op}" if floating else op
            return f"{how} {made} {args[0]}, {args[1]}"
        if op == "div":
            how = "fdiv" if floating else "sdiv" if of.kind == "int" else "udiv"
            return f"{how} {made} {args[0]}, {args[1]}"
        if op == "fmod":  # which LLVM has for vectors of float64 and float32, each a call
            return f"frem {made} {args[0]}, {args[1]}"
        if op in _SAME:
            return f"{op} {made} {args[0]}, {args[1]}"
        if op == "not":
            return f"xor {made} {args[0]}, {self.constant(-1 if of.kind != 'bool' else 1, of)}"
        if op == "neg":
            zero = "zeroinitializer"
            return f"fneg {made} {args[0]}" if floating else f"sub {made} {zero}, {args[0]}"
        if op == "abs" and not floating:
            name = f"llvm.abs.v{self.width}{_suffix(of)}"
            return self.block.call(made, name, (made, args[0]), ("i1", "false"))
        if op in _INTRINSICS:
            name = f"llvm.{_INTRINSICS[op]}.v{self.width}{_suffix(of)}"
            return self.block.call(made, name, *((made, a) for a in args))
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


_COMPARED: Final = {
    "eq": ("oeq", "eq", "eq"),
    "ne": ("une", "ne", "ne"),
    "lt": ("olt", "slt", "ult"),
    "le": ("ole", "sle", "ule"),
    "gt": ("ogt", "sgt", "ugt"),
    "ge": ("oge", "sge", "uge"),
}
_INTRINSICS: Final = {
    "abs": "fabs",
    "sqrt": "sqrt",
    "fma": "fma",
    "floor": "floor",
    "ceil": "ceil",
    "trunc": "trunc",
    "rint": "roundeven",
    "copysign": "copysign",
}
_SAME: Final = ("and", "or", "xor", "shl", "lshr", "ashr")  # LLVM's own names


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
